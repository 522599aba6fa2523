/* Work that an append need not wait for: the next segment, and the runs of sealed ones. A thread is
 * started when there is some, and ends with it. Failures are not told: the append that needs the
 * segment makes it itself and tells; a missing run is made at the next chance. */
#include "log/load.h"

static void make_next(dbk_log *log)
{
    dbk_segment *next = NULL;

    dbk_log_lock(log);
    dbk_segment *active = dbk_log_active(log);
    bool needed = !log->next;
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

static dbk_segment *next_without_run(dbk_log *log, size_t *index)
{
    dbk_segment *found = NULL;

    dbk_log_lock(log);
    for (; *index < log->segment_count && !found; (*index)++) {
        dbk_segment *segment = log->segments[*index];
        if (segment->seal_offset && segment->table && !segment->rotten &&
            segment->last_position >= segment->first_position) {
            found = segment;
        }
    }
    dbk_log_unlock(log);
    return found;
}

/* The table of a sealed segment no longer changes, so it is read here without the lock. One that only
 * goes on from a checkpoint is made whole first. */
static void make_run(dbk_log *log, dbk_segment *segment)
{
    char name[DBK_SEGMENT_NAME_SIZE];
    dbk_index_source source, found;
    dbk_index_run *run = NULL;
    dbk_index_table *whole = NULL;

    dbk_segment_name(segment->header.number, "idx", name);
    dbk_segment_source(segment, &source);
    if (segment->prefix_last && dbk_load_table(log, segment, &whole, NULL) != DBK_OK) return;
    dbk_result rc = dbk_index_run_write(log->port, log->dir, name, whole ? whole : segment->table, &source, NULL);
    dbk_index_table_free(whole);
    if (rc != DBK_OK) return;
    if (dbk_index_run_open(log->port, log->dir, name, log->options.store_id, &source, &found, &run, NULL) != DBK_OK) {
        return;
    }
    dbk_log_lock(log);
    dbk_index_table *table = segment->table;
    segment->run = run;
    segment->table = NULL;
    segment->prefix_last = 0; /* its files stay open until close, for who reads them */
    dbk_log_unlock(log);
    dbk_index_table_free(table);
}

static void work(dbk_log *log)
{
    size_t index = 0;
    dbk_segment *segment;

    make_next(log);
    dbk_log_lock(log);
    log->preparing = false;
    log->port->cond_broadcast(log->port->ctx, log->wake);
    dbk_log_unlock(log);
    while ((segment = next_without_run(log, &index)) != NULL) make_run(log, segment);
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
    if (log->thread) log->port->thread_join(log->port->ctx, log->thread);
    log->thread = NULL;
}
