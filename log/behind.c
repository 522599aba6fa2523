/* What stands behind a clean end. The watermark says that nothing was appended there, and opening has looked at the
 * near bytes; the rest, of this segment and of the one prepared behind it, is some tens of MiB of zeros, which a
 * background thread reads once opening has returned, behind the sync of the watermark that is clean no more:
 *   1. nothing is written to the log's end, and the next file is not touched, before it is through
 *   2. all zeros: appends go on
 *   3. else the first append judges as opening does after a crash: what was under way is put aside and cleared; where
 *      acknowledged entries are proven lost nothing is written, and the log stays poisoned
 * A log that is closed before that has not changed: its end is as clean as it was. */
#include "log/load.h"

enum { LOOK_BYTES = 256 * 1024 }; /* at a time: closing waits for one of them */

static bool is_closing(const dbk_log *log)
{
    dbk_log_lock(log);
    bool closing = log->closing;
    dbk_log_unlock(log);
    return closing;
}

/* *zero stays true where closing ends it. */
static dbk_result look_through(dbk_log *log, const dbk_segment *segment, uint64_t from, bool *zero)
{
    uint64_t size = segment->header.size;
    dbk_scanner scanner;
    dbk_image *image;

    dbk_result rc = dbk_image_open(log->port, log->dir, segment->name, &image, NULL);
    if (rc != DBK_OK) return rc;
    dbk_scanner_init(&scanner, image, segment);
    scanner.chunk = LOOK_BYTES;
    while (from < size && *zero && !is_closing(log)) {
        const uint8_t *at;
        size_t step = size - from < LOOK_BYTES ? (size_t)(size - from) : LOOK_BYTES;
        rc = dbk_scanner_view(&scanner, from, step, &at, NULL);
        *zero = rc == DBK_OK && dbk_all_zero(at, step);
        from += step;
    }
    dbk_scanner_release(&scanner);
    dbk_image_close(image);
    return rc;
}

static bool is_all_zero(dbk_log *log, const dbk_segment *active)
{
    dbk_segment next = {.header = active->header};
    bool zero = true;

    dbk_result rc = look_through(log, active, active->end + log->options.near_bytes, &zero);
    next.header.number++;
    next.header.size = log->behind_next_bytes;
    dbk_segment_name(next.header.number, "seg", next.name);
    if (rc == DBK_OK && zero && log->behind_next_bytes)
        rc = look_through(log, &next, DBK_SEGMENT_DATA_OFFSET + log->options.near_bytes, &zero);
    return rc == DBK_OK && zero;
}

void dbk_behind_look(dbk_log *log)
{
    dbk_log_lock(log);
    bool wanted = log->behind == DBK_BEHIND_LOOKING;
    const dbk_segment *active = dbk_log_active(log);
    dbk_log_unlock(log);
    if (!wanted) return;
    bool begun = log->mark_file && dbk_io_sync(log->port, log->mark_file, DBK_WATERMARK_NAME, NULL) == DBK_OK;
    bool zero = is_all_zero(log, active);
    dbk_log_lock(log);
    log->begun = begun;
    if (!log->closing) log->behind = zero ? DBK_BEHIND_KNOWN : DBK_BEHIND_DOUBTED;
    log->port->cond_broadcast(log->port->ctx, log->wake);
    dbk_log_unlock(log);
}

void dbk_behind_begin(dbk_log *log, const dbk_survey *survey)
{
    const dbk_found *next = survey->count > survey->base ? &survey->found[survey->base] : NULL;

    log->behind_next_bytes = next && next->sound ? next->segment->header.size : 0;
    log->behind = DBK_BEHIND_LOOKING;
    if (log->options.no_background) dbk_behind_look(log);
    log->behind_known = log->options.no_background;
}

/* The walk goes on from the end, now to wherever it leads. Entries there would be newer than what opening told of. */
static dbk_result judge(dbk_log *log, const dbk_survey *survey, dbk_plan *plan, dbk_error *err)
{
    uint64_t proven = 0;

    log->trusts_end = false;
    (void)log->port->drop_cache(log->port->ctx, log->write_file, 0, dbk_log_active(log)->header.size);
    dbk_result rc = dbk_walk(log, UINT64_MAX, false, plan, &proven, err);
    if (rc == DBK_OK) rc = dbk_walk_judge(log, survey, plan, err);
    if (rc != DBK_OK || plan->position == log->state.position + 1) return rc;
    return dbk_fail(err, DBK_CORRUPT, "there are entries behind the clean end of '%s'", dbk_log_active(log)->name);
}

static dbk_result judge_and_repair(dbk_log *log, dbk_error *err)
{
    dbk_survey survey;
    dbk_plan plan;

    dbk_result rc = dbk_survey_take(log, NULL, &survey, err);
    if (rc == DBK_OK) rc = judge(log, &survey, &plan, err);
    if (rc == DBK_OK && dbk_recovery_table[plan.row].decision == DBK_DECIDE_CUT) {
        rc = dbk_log_repair(log, &plan, err);
        if (rc == DBK_OK) rc = dbk_io_sync(log->port, log->write_file, dbk_log_active(log)->name, err);
    }
    dbk_survey_release(log, &survey);
    return rc;
}

dbk_result dbk_behind_settle(dbk_log *log, dbk_error *err)
{
    dbk_result rc = DBK_OK;

    dbk_log_lock(log);
    while (log->behind == DBK_BEHIND_LOOKING) (void)log->port->cond_wait(log->port->ctx, log->wake, log->lock, -1);
    bool doubted = log->behind == DBK_BEHIND_DOUBTED, begun = log->begun;
    dbk_log_unlock(log);
    if (!begun) rc = dbk_watermark_sync(log, err);
    if (rc != DBK_OK) return rc;
    if (doubted) rc = judge_and_repair(log, err);
    if (rc == DBK_NO_MEMORY || rc == DBK_NO_SPACE) return rc; /* another time */
    if (rc != DBK_OK) {
        dbk_log_poison(log);
        return dbk_error_wrap(err, DBK_POISONED, "nothing is appended to the log");
    }
    log->behind_known = true;
    if (!doubted) return DBK_OK;
    dbk_log_lock(log);
    log->behind = DBK_BEHIND_KNOWN;
    dbk_log_unlock(log);
    dbk_background_kick(log); /* for the next segment */
    return DBK_OK;
}
