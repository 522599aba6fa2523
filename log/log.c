/* Making, opening and closing a log.
 *
 * To open for writing: list the segments and take the lock of the last one (and look again, for its holder may have
 * gone on); drop the cache of the last file, so that what a failed sync left in memory is not taken for written; go on
 * from the checkpoint to the end; judge what stands there (recover.c, a table); open the index, or read what has none;
 * only then, with nothing left to refuse, repair by that judgement, sync, write the watermark, and make the files of the
 * index that are missing. To read only: the same without lock, repair and files, up to what is proven durable; a reader
 * that meets a write half done tries again. Where the watermark names the end as a clean one, nothing is dropped or
 * synced, and what is behind the end is read after opening, before the first append (behind.c); if anything is not as it
 * says, all is done anew as after a crash.
 *
 * A folder becomes a log with WATERMARK, which dbk_log_create makes last. A log closed in good order says so in it. */
#include "log/parts.h"

#include <assert.h>
#include <stdlib.h>

enum { LOAD_ATTEMPTS = 4 };

static void release(dbk_log *log)
{
    const dbk_port *port = log->port;

    dbk_cache_release(log);
    dbk_parts_release(log);
    dbk_free(port, log->authors);
    for (size_t i = 0; i < log->segment_count; i++) dbk_segment_free(port, log->segments[i]);
    dbk_free(port, log->segments);
    dbk_segment_free(port, log->pending);
    dbk_segment_free(port, log->next);
    dbk_segment_free(port, log->found_next);
    if (log->pending_file) port->close_file(port->ctx, log->pending_file);
    if (log->write_file) port->close_file(port->ctx, log->write_file);
    if (log->mark_file) port->close_file(port->ctx, log->mark_file);
    if (log->buffer) port->free_aligned(port->ctx, log->buffer);
    dbk_free(port, log->scratch);
    dbk_leaves_free(log->leaves);
    dbk_buffer_release(&log->stale_parts);
    dbk_buffer_release(&log->useless_parts);
    if (log->wake) port->cond_free(port->ctx, log->wake);
    if (log->lock) port->mutex_free(port->ctx, log->lock);
    if (log->run_lock) port->mutex_free(port->ctx, log->run_lock);
    if (log->cache_lock) port->mutex_free(port->ctx, log->cache_lock);
    dbk_free(port, log);
}

static void set_options(dbk_log *log, const dbk_log_options *options)
{
    dbk_log_options *own = &log->options;

    *own = *options;
    if (own->segment_first_bytes == 0) own->segment_first_bytes = DBK_SEGMENT_DEFAULT_FIRST;
    if (own->segment_max_bytes == 0) own->segment_max_bytes = DBK_SEGMENT_DEFAULT_MAX;
    if (own->near_bytes == 0) own->near_bytes = DBK_NEAR_DEFAULT_BYTES;
    own->near_bytes = (uint32_t)dbk_round_up(own->near_bytes, DBK_UNIT_MIN);
    if (own->checkpoint_bytes == 0) own->checkpoint_bytes = DBK_CHECKPOINT_DEFAULT_BYTES;
    if (own->segment_first_bytes < DBK_SEGMENT_SIZE_MIN) own->segment_first_bytes = DBK_SEGMENT_SIZE_MIN;
    if (own->segment_max_bytes > DBK_SEGMENT_SIZE_MAX) own->segment_max_bytes = DBK_SEGMENT_SIZE_MAX;
    if (own->segment_first_bytes > DBK_SEGMENT_SIZE_MAX) own->segment_first_bytes = DBK_SEGMENT_SIZE_MAX;
    if (own->segment_max_bytes < own->segment_first_bytes) own->segment_max_bytes = own->segment_first_bytes;
}

static dbk_result new_log(const dbk_port *port, dbk_dir *dir, const dbk_log_options *options, dbk_log **out,
                          dbk_error *err)
{
    dbk_log *log = dbk_alloc_zero(port, 1, sizeof(*log));
    dbk_space space;

    *out = NULL;
    if (!log) return dbk_fail(err, DBK_NO_MEMORY, "cannot open the log: out of memory");
    log->port = port;
    log->dir = dir;
    set_options(log, options);
    dbk_state_init(&log->state);
    dbk_buffer_init(&log->stale_parts, port);
    dbk_buffer_init(&log->useless_parts, port);
    log->scratch = dbk_alloc_zero(port, 1, sizeof(*log->scratch));
    log->lock = port->mutex_new(port->ctx);
    log->run_lock = port->mutex_new(port->ctx);
    log->cache_lock = port->mutex_new(port->ctx);
    log->wake = port->cond_new(port->ctx);
    if (!log->scratch || !log->lock || !log->run_lock || !log->cache_lock || !log->wake) {
        release(log);
        return dbk_fail(err, DBK_NO_MEMORY, "cannot open the log: out of memory");
    }
    int rc = port->space(port->ctx, dir, &space);
    if (rc != 0) {
        release(log);
        return dbk_fail_os(err, dbk_result_of_errno(rc), rc, "cannot ask the file system of the log's folder");
    }
    log->sector_bytes = space.sector_bytes;
    log->unit = space.sector_bytes < DBK_UNIT_MIN ? DBK_UNIT_MIN : space.sector_bytes;
    if (log->unit > DBK_UNIT_MAX) log->unit = DBK_UNIT_MAX; /* then no direct writes */
    *out = log;
    return DBK_OK;
}

/* The watermark comes last: a folder without one, or without a first start, is no log yet. */
static dbk_result create_files(dbk_log *log, dbk_error *err)
{
    dbk_segment *segment;

    dbk_result rc = dbk_segment_prepare(log, 1, dbk_segment_next_size(&log->options, 0), &segment, err);
    if (rc != DBK_OK) return rc;
    rc = dbk_log_reserve_segment(log, err);
    if (rc == DBK_OK) rc = dbk_log_buffer(log, DBK_UNIT_MAX, err);
    if (rc == DBK_OK) rc = dbk_tail_open(log, segment, &log->pending_file, &log->pending_direct, err);
    log->pending = segment;
    if (rc != DBK_OK) return rc;
    uint64_t bytes = dbk_log_put_start(log, segment, &log->state, log->buffer);
    rc = dbk_tail_write(log, dbk_tail_of(log), log->buffer, (size_t)bytes, err);
    if (rc != DBK_OK) return rc;
    segment->end = DBK_SEGMENT_DATA_OFFSET + bytes;
    dbk_log_activate(log);
    rc = dbk_watermark_open(log, err);
    if (rc == DBK_OK) rc = dbk_watermark_write(log, true, err);
    if (rc == DBK_OK) rc = dbk_watermark_sync(log, err);
    return rc == DBK_OK ? dbk_io_sync_dir(log->port, log->dir, "log", err) : rc;
}

dbk_result dbk_log_create(const dbk_port *port, dbk_dir *dir, const dbk_log_options *options, dbk_error *err)
{
    dbk_identity identity;
    dbk_buffer numbers;
    dbk_log *log;

    dbk_result rc = new_log(port, dir, options, &log, err);
    if (rc != DBK_OK) return rc;
    dbk_buffer_init(&numbers, port);
    rc = dbk_load_list(port, dir, &numbers, err);
    bool used = numbers.size > 0 || port->identify(port->ctx, dir, DBK_WATERMARK_NAME, &identity) == 0;
    dbk_buffer_release(&numbers);
    if (rc == DBK_OK && used) rc = dbk_fail(err, DBK_EXISTS, "there is a log in the folder already");
    if (rc == DBK_OK) rc = create_files(log, err);
    release(log);
    return rc;
}

/* Takes the lock of the last started segment, and makes sure that it still is the last one: who
 * held the lock before may have gone on to another. */
static dbk_result survey_locked(dbk_log *log, dbk_survey *survey, dbk_error *err)
{
    for (int attempt = 0; attempt < LOAD_ATTEMPTS; attempt++) {
        dbk_survey again;
        dbk_result rc = dbk_survey_take(log, NULL, survey, err);
        if (rc != DBK_OK || survey->base == 0) return rc;
        dbk_segment *base = survey->found[survey->base - 1].segment;
        rc = dbk_tail_open(log, base, &log->write_file, &log->direct, err);
        if (rc != DBK_OK) return rc;
        uint64_t before = survey->base;
        rc = dbk_survey_take(log, survey, &again, err);
        dbk_survey_release(log, survey);
        *survey = again;
        if (rc != DBK_OK || survey->base == before) return rc;
        dbk_survey_release(log, survey);
        log->port->close_file(log->port->ctx, log->write_file);
        log->write_file = NULL;
    }
    return dbk_fail(err, DBK_LOCKED, "cannot lock the log: another process goes on appending to it");
}

static dbk_result load_segments(dbk_log *log, dbk_survey *survey, dbk_error *err)
{
    dbk_result rc = dbk_survey_link(log, survey, err);

    return rc == DBK_OK ? dbk_load_active(log, &survey->found[survey->base - 1].record, err) : rc;
}

/* What a failed sync left in memory but not on disk must not be taken for written: the cache is
 * dropped before the tail is read, and what is read is synced before anyone sees it (R12, R13). */
static void forget_cached(dbk_log *log)
{
    (void)log->port->drop_cache(log->port->ctx, log->write_file, 0, dbk_log_active(log)->header.size);
}

/* The file behind the active segment, if it is one that was prepared as it would be now. */
static void take_next(dbk_log *log, dbk_survey *survey)
{
    dbk_found *found = survey->count > survey->base ? &survey->found[survey->base] : NULL;

    if (!found || !found->sound || found->used) return;
    uint64_t size = dbk_segment_next_size(&log->options, dbk_log_active(log)->header.size);
    if (found->segment->header.size != size || found->segment->header.unit != log->unit) return;
    log->found_next = found->segment;
    found->segment = NULL;
}

static dbk_result make_ready(dbk_log *log, dbk_survey *survey, const dbk_plan *plan, dbk_error *err)
{
    dbk_segment *active = dbk_log_active(log);
    dbk_result rc = DBK_OK;

    rc = dbk_parts_list(log, &log->stale_parts, err);
    if (rc == DBK_OK) rc = dbk_parts_take(log, err);
    if (rc != DBK_OK) return rc; /* up to here nothing is changed: a damaged segment without its index is refused */
    bool cut = dbk_recovery_table[plan->row].decision == DBK_DECIDE_CUT;
    log->was_clean = !cut && log->mark_valid && log->mark.clean && log->mark.position == log->state.position &&
                     log->mark.segment == active->header.number && log->mark.offset == active->end;
    if (cut) rc = dbk_log_repair(log, plan, err);
    if (rc == DBK_OK && !plan->quiet) rc = dbk_io_sync(log->port, log->write_file, active->name, err);
    if (rc == DBK_OK) rc = dbk_watermark_open(log, err);
    if (rc == DBK_OK) rc = dbk_watermark_write(log, false, err);
    if (rc == DBK_OK && log->behind == DBK_BEHIND_KNOWN) rc = dbk_watermark_sync(log, err);
    if (rc != DBK_OK) return rc;
    dbk_parts_complete(log);
    take_next(log, survey);
    dbk_background_kick(log);
    dbk_pack_kick(log);
    return DBK_OK;
}

/* No sync failed before a clean end, or the log would have been poisoned and not marked so: there the cache holds what
 * the disk holds, and is not dropped. */
static void begin_walk(dbk_log *log)
{
    if (log->mark.segment != dbk_log_active(log)->header.number) log->trusts_end = false;
    if (!log->trusts_end && !log->options.read_only) forget_cached(log);
}

static dbk_result open_writing(dbk_log *log, dbk_survey *survey, dbk_error *err)
{
    dbk_plan plan;
    uint64_t proven = 0;

    dbk_result rc = survey_locked(log, survey, err);
    if (rc == DBK_OK) rc = load_segments(log, survey, err);
    if (rc != DBK_OK) return rc;
    begin_walk(log);
    rc = dbk_checkpoint_use(log, err);
    if (rc == DBK_OK) rc = dbk_walk(log, UINT64_MAX, true, &plan, &proven, err);
    if (rc == DBK_OK && log->trusts_end && !plan.quiet) return DBK_NONE;
    if (rc == DBK_OK) rc = dbk_walk_judge(log, survey, &plan, err);
    if (rc != DBK_OK) return rc;
    if (plan.quiet) dbk_behind_begin(log, survey);
    if (log->behind == DBK_BEHIND_DOUBTED) return DBK_NONE; /* without a thread the rest is looked at by now */
    return make_ready(log, survey, &plan, err);
}

/* A reader beside a living writer sees what is proven durable: by the watermark, or by a later
 * record. What is not, may be half written. */
static dbk_result open_reading(dbk_log *log, dbk_survey *survey, dbk_error *err)
{
    uint64_t proven;
    dbk_plan plan;

    dbk_result rc = dbk_survey_take(log, NULL, survey, err);
    if (rc == DBK_OK) rc = load_segments(log, survey, err);
    if (rc != DBK_OK) return rc;
    begin_walk(log);
    rc = dbk_checkpoint_use(log, err);
    if (rc != DBK_OK) return rc;
    proven = log->mark_valid ? log->mark.position : 0;
    rc = dbk_walk(log, UINT64_MAX, false, &plan, &proven, err);
    if (rc == DBK_OK && log->trusts_end && !plan.quiet) return DBK_NONE;
    if (rc == DBK_OK) rc = dbk_walk_judge(log, survey, &plan, err);
    if (rc != DBK_OK) return rc;
    log->was_clean = log->mark_valid && log->mark.clean && dbk_recovery_table[plan.row].decision == DBK_DECIDE_OPEN &&
                     log->mark.segment == dbk_log_active(log)->header.number && log->mark.offset == plan.offset;
    if (plan.offset != dbk_log_active(log)->end) rc = dbk_walk(log, proven, true, &plan, &proven, err);
    return rc == DBK_OK ? dbk_parts_list(log, NULL, err) : rc; /* else: nothing behind the checkpoint */
}

/* `doubts`: a clean watermark is not believed. DBK_NONE: it was, and the end is not as it says. */
static dbk_result open_once(const dbk_port *port, dbk_dir *dir, const dbk_log_options *options, bool doubts,
                            dbk_log **out, dbk_error *err)
{
    dbk_survey survey = {0};
    dbk_log *log;

    dbk_result rc = new_log(port, dir, options, &log, err);
    if (rc != DBK_OK) return rc;
    log->doubts_end = doubts;
    rc = options->read_only ? open_reading(log, &survey, err) : open_writing(log, &survey, err);
    dbk_survey_release(log, &survey);
    bool trusted = log->trusts_end;
    if (rc == DBK_OK) {
        *out = log;
        return DBK_OK;
    }
    release(log);
    bool again = trusted && (rc == DBK_NONE || dbk_result_class(rc) == DBK_CLASS_CRITICAL);
    return again ? open_once(port, dir, options, true, out, err) : rc;
}

dbk_result dbk_log_open(const dbk_port *port, dbk_dir *dir, const dbk_log_options *options, dbk_log **out,
                        dbk_error *err)
{
    dbk_result rc;
    int attempt = 0;

    *out = NULL;
    do { /* a reader may have looked in the middle of a write */
        rc = open_once(port, dir, options, false, out, err);
    } while (options->read_only && rc != DBK_OK && dbk_result_class(rc) == DBK_CLASS_CRITICAL &&
             ++attempt < LOAD_ATTEMPTS);
    return rc;
}

dbk_result dbk_log_begin(dbk_log *log, dbk_error *err)
{
    if (log->behind_known || log->options.read_only) return DBK_OK;
    return dbk_behind_settle(log, err);
}

void dbk_log_leave(dbk_log *log)
{
    if (!log) return;
    dbk_pack_stop(log);
    dbk_background_stop(log);
    release(log);
}

void dbk_log_close(dbk_log *log)
{
    if (!log) return;
    dbk_pack_stop(log);
    dbk_background_stop(log);
    if (!log->options.read_only && !log->poisoned) {
        if (dbk_checkpoint_due(log)) (void)!dbk_checkpoint_save(log, dbk_log_active(log)->prefix_last != 0, NULL);
        dbk_catalog_save(log);
        bool clean = dbk_tail_clean(log, NULL) == DBK_OK && log->behind != DBK_BEHIND_DOUBTED;
        if (dbk_watermark_write(log, clean, NULL) == DBK_OK) (void)!dbk_watermark_sync(log, NULL);
    }
    release(log);
}

/* *started: the segment is there and has begun. */
static dbk_result look_at_next(dbk_log *log, dbk_segment *next, dbk_record *record, bool *started, dbk_error *err)
{
    uint64_t number = next->header.number;
    dbk_image *image = NULL;
    dbk_start start;

    dbk_result rc = dbk_image_open(log->port, log->dir, next->name, &image, err);
    if (rc == DBK_MISSING) return DBK_OK;
    if (rc == DBK_OK && image->header.number != 0) {
        next->header = image->header;
        rc = dbk_load_judge_header(&log->options, next, number, err);
        if (rc == DBK_OK) rc = dbk_load_start(image, next, record, &start, started, err);
    }
    dbk_image_close(image);
    return rc;
}

/* Goes on in the next segment if the writer has. */
static dbk_result follow(dbk_log *log, bool *followed, dbk_error *err)
{
    const dbk_port *port = log->port;
    dbk_segment *before = dbk_log_active(log), *next;
    dbk_record record;

    *followed = false;
    if (!before->seal_offset) return DBK_OK;
    next = dbk_segment_new(port, before->header.number + 1);
    if (!next) return dbk_fail(err, DBK_NO_MEMORY, "cannot follow the log: out of memory");
    dbk_result rc = look_at_next(log, next, &record, followed, err);
    if (rc == DBK_OK && *followed && record.previous != log->state.previous) {
        rc = dbk_fail(err, DBK_CORRUPT, "segment '%s' does not follow the one before it", next->name);
    }
    if (rc == DBK_OK && *followed) rc = dbk_log_reserve_segment(log, err);
    if (rc == DBK_OK && *followed) {
        next->table = dbk_index_table_new(port, log->options.store_id, next->first_position);
        if (!next->table) rc = dbk_fail(err, DBK_NO_MEMORY, "cannot follow the log: out of memory");
    }
    if (rc != DBK_OK || !*followed) {
        dbk_segment_free(port, next);
        return rc;
    }
    dbk_log_lock(log);
    log->segments[log->segment_count++] = next;
    log->state.previous = record.checksum;
    dbk_log_unlock(log);
    dbk_parts_let_go(log, before);
    return DBK_OK;
}

dbk_result dbk_log_refresh(dbk_log *log, dbk_error *err)
{
    bool followed = true, valid;
    dbk_watermark mark;

    if (!log->options.read_only) return dbk_fail(err, DBK_USAGE, "the writer of a log has nothing to refresh");
    dbk_result rc = dbk_watermark_read(log->port, log->dir, log->options.store_id, &mark, &valid, err);
    log->trusts_end = false; /* it was the end when this reader opened; a writer may have come since */
    while (rc == DBK_OK && followed) {
        uint64_t proven = valid ? mark.position : 0;
        dbk_plan plan;
        log->mark_valid = false; /* it moves while we look */
        rc = dbk_walk(log, UINT64_MAX, false, &plan, &proven, err);
        if (rc == DBK_OK) rc = dbk_walk(log, proven, true, &plan, &proven, err);
        if (rc == DBK_OK) rc = follow(log, &followed, err);
    }
    return rc;
}
