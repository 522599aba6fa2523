/* Work that an append need not wait for: the next segment, and the runs of sealed ones; and, after opening, the look
 * behind the end, for which the first append does wait. A thread is
 * started when there is some, and ends with it. Failures are not told: the append that needs the
 * segment makes it itself and tells; a missing run is made at the next chance. */
#include "log/parts.h"

static void make_next(dbk_log *log)
{
    dbk_segment *next = NULL;

    dbk_log_lock(log);
    dbk_segment *active = dbk_log_active(log);
    bool needed = !log->next && log->behind == DBK_BEHIND_KNOWN && !(log->closing && log->found_next);
    dbk_log_unlock(log);
    if (!needed) return;
    if (log->found_next) {
        next = log->found_next;
        log->found_next = NULL;
        if (dbk_segment_adopt(log, next, NULL) != DBK_OK) {
            dbk_segment_free(log->port, next);
            next = NULL;
        }
    }
    if (!next) {
        uint64_t size = dbk_segment_next_size(&log->options, active->header.size);
        if (dbk_segment_prepare(log, active->header.number + 1, size, &next, NULL) != DBK_OK) return;
    }
    dbk_log_lock(log);
    log->next = next;
    dbk_log_unlock(log);
}

static bool lacks_run(const dbk_log *log, const dbk_segment *segment)
{
    return segment->seal_offset && segment->last_position >= segment->first_position &&
           !dbk_parts_of(log, segment->header.number);
}

static dbk_segment *next_without_run(dbk_log *log, size_t *index)
{
    dbk_segment *found = NULL;

    dbk_log_lock(log);
    for (; *index < log->segment_count && !found; (*index)++) {
        dbk_segment *segment = log->segments[*index];
        if (lacks_run(log, segment)) found = segment;
    }
    if (found) found->table_used = true;
    dbk_log_unlock(log);
    return found;
}

/* The table of a sealed segment no longer changes, so it is read without the lock. One that only goes on
 * from a checkpoint is made whole first. */
dbk_result dbk_background_write_run(dbk_log *log, dbk_segment *segment, dbk_error *err)
{
    dbk_index_table *whole = NULL;
    char name[DBK_PART_NAME_SIZE];
    dbk_index_source source;
    size_t count;

    dbk_log_lock(log);
    const dbk_index_table *table = segment->prefix_last || !segment->table_used ? NULL : segment->table;
    dbk_log_unlock(log);
    dbk_result rc = table ? DBK_OK : dbk_load_table(log, segment, &whole, err);
    if (rc != DBK_OK) return rc;
    if (!table) table = whole;
    const dbk_index_author_run *authors = dbk_index_table_authors(table, &count);
    rc = dbk_authors_note(log, authors, count, err);
    dbk_segment_source(segment, &source);
    dbk_part_name(segment->header.number, segment->header.number, name);
    if (rc == DBK_OK) rc = dbk_index_run_write(log->port, log->dir, name, table, &source, err);
    dbk_index_table_free(whole);
    return rc;
}

/* The run is opened once before it stands for the table. */
static dbk_result check_run(dbk_log *log, const dbk_segment *segment, dbk_error *err)
{
    dbk_index_source expect, found;
    char name[DBK_PART_NAME_SIZE];
    dbk_index_run *run;

    dbk_segment_source(segment, &expect);
    expect.without_batches = true;
    dbk_part_name(segment->header.number, segment->header.number, name);
    dbk_result rc = dbk_index_run_open(log->port, log->dir, name, log->options.store_id, &expect, &found, &run, err);
    dbk_index_run_close(run);
    return rc;
}

static dbk_result make_run(dbk_log *log, dbk_segment *segment, dbk_error *err)
{
    uint64_t number = segment->header.number;
    dbk_index_table *table = NULL;

    dbk_result rc = dbk_background_write_run(log, segment, err);
    if (rc == DBK_OK) rc = check_run(log, segment, err);
    if (rc == DBK_OK) rc = dbk_parts_put(log, number, number, err);
    dbk_log_lock(log);
    segment->table_used = false;
    if (rc == DBK_OK) {
        table = segment->table;
        segment->table = NULL;
        segment->prefix_last = 0; /* its files stay open until close, for who reads them */
    }
    dbk_log_unlock(log);
    dbk_index_table_free(table);
    return rc;
}

static dbk_result note_part(dbk_log *log, dbk_part *part, dbk_error *err)
{
    size_t count;

    log->port->mutex_lock(log->port->ctx, log->run_lock);
    dbk_result rc = dbk_parts_open(log, part, err);
    if (rc == DBK_OK) {
        const dbk_index_author_run *runs = dbk_index_run_authors(part->run, &count);
        rc = dbk_authors_note(log, runs, count, err);
    }
    log->port->mutex_unlock(log->port->ctx, log->run_lock);
    return rc;
}

/* One that cannot be used is left out, and noted: it would be met again at each open. */
static dbk_result take_part(dbk_log *log, dbk_part *part, bool *useless, dbk_error *err)
{
    dbk_result rc = note_part(log, part, err);
    *useless = rc == DBK_MISSING || rc == DBK_CORRUPT;
    if (!*useless) return rc;
    dbk_buffer_put_u64(&log->useless_parts, part->first);
    dbk_buffer_put_u64(&log->useless_parts, part->last);
    dbk_parts_drop(log, part);
    return log->useless_parts.failed ? dbk_fail(err, DBK_NO_MEMORY, "cannot open the index: out of memory") : DBK_OK;
}

static dbk_result note_segment(dbk_log *log, dbk_segment *segment, dbk_error *err)
{
    size_t count;

    dbk_result rc = dbk_parts_read_segment(log, segment, err);
    if (rc != DBK_OK) return rc;
    const dbk_index_author_run *runs = dbk_index_table_authors(segment->table, &count);
    return dbk_authors_note(log, runs, count, err);
}

dbk_result dbk_parts_take(dbk_log *log, dbk_error *err)
{
    dbk_result rc = DBK_OK;

    log->parts_opening = true;
    for (uint64_t number = 1; number <= log->segment_count && rc == DBK_OK;) {
        dbk_segment *segment = log->segments[number - 1];
        dbk_part *part = dbk_parts_pin(log, number);
        uint64_t next = part ? part->last + 1 : number + 1;
        if (part) {
            bool useless;
            rc = take_part(log, part, &useless, err);
            if (useless) next = number;
            dbk_parts_unpin(log, part);
        } else if (!segment->table && lacks_run(log, segment)) {
            rc = note_segment(log, segment, err);
        }
        number = next;
    }
    return rc;
}

static void remove_useless(dbk_log *log)
{
    const dbk_buffer *useless = &log->useless_parts;
    char name[DBK_PART_NAME_SIZE];

    for (size_t i = 0; i + 16 <= useless->size; i += 16) {
        dbk_part_name(dbk_load_u64(useless->data + i), dbk_load_u64(useless->data + i + 8), name);
        (void)log->port->unlink(log->port->ctx, log->dir, name);
    }
    dbk_buffer_clear(&log->useless_parts);
}

/* Where there is no room for a run, its table is kept, or read again when it is asked. That of the last segment is made
 * beside the first appends. */
void dbk_parts_complete(dbk_log *log)
{
    remove_useless(log); /* first: a run may come under the same name */
    for (uint64_t number = 1; number < log->segment_count; number++) {
        dbk_segment *segment = log->segments[number - 1];
        if (!lacks_run(log, segment)) continue;
        segment->table_used = true;
        (void)!make_run(log, segment, NULL);
    }
    dbk_parts_relax(log);
}

static void work(dbk_log *log)
{
    size_t index = 0;
    dbk_segment *segment;

    dbk_behind_look(log);
    make_next(log);
    dbk_log_lock(log);
    log->preparing = false;
    log->port->cond_broadcast(log->port->ctx, log->wake);
    dbk_log_unlock(log);
    while ((segment = next_without_run(log, &index)) != NULL) (void)!make_run(log, segment, NULL);
    dbk_log_lock(log);
    bool checkpoint = log->checkpoint_wanted;
    log->checkpoint_wanted = false;
    dbk_log_unlock(log);
    if (checkpoint) (void)!dbk_checkpoint_save(log, true, NULL);
}

static void run(void *arg)
{
    dbk_log *log = arg;

    dbk_log_lock(log);
    while (log->wanted) {
        log->wanted = false;
        dbk_log_unlock(log);
        work(log);
        dbk_log_lock(log);
    }
    log->running = false;
    dbk_log_unlock(log);
}

void dbk_background_kick(dbk_log *log)
{
    const dbk_port *port = log->port;

    dbk_log_lock(log);
    log->wanted = true;
    log->preparing = true;
    bool running = log->running;
    log->running = true;
    dbk_log_unlock(log);
    if (running) return;
    if (log->thread) port->thread_join(port->ctx, log->thread);
    log->thread = NULL;
    if (!log->options.no_background && port->thread_start(port->ctx, "log", run, log, &log->thread) == 0) return;
    log->thread = NULL;
    run(log);
}

dbk_segment *dbk_background_take_next(dbk_log *log)
{
    dbk_log_lock(log);
    while (log->preparing) (void)log->port->cond_wait(log->port->ctx, log->wake, log->lock, -1);
    dbk_segment *next = log->next;
    log->next = NULL;
    dbk_log_unlock(log);
    return next;
}

void dbk_background_stop(dbk_log *log)
{
    dbk_log_lock(log);
    log->closing = true;
    dbk_log_unlock(log);
    if (log->thread) log->port->thread_join(log->port->ctx, log->thread);
    log->thread = NULL;
}
