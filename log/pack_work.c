/* Packing in the background, segment by segment, lowest first; behind it, parts of the index are merged. What is on disk after each step:
 *   1. "<number>.pack" is being written beside the plain segment     a crash: it is overwritten
 *   2. it is whole, synced, and was read back                        a crash: the same
 *   3. it is renamed over "<number>.seg", the folder is synced       a crash: one form or the other
 * Both forms say the same, so nothing depends on which one a crash leaves. Whoever has the plain
 * file open keeps it; whoever opens the name gets the packed one. The thread has a low priority, and
 * nobody waits for it; closing stops it in the middle. */
#include "log/pack_write.h"
#include "log/parts.h"

static bool is_stopped(void *arg)
{
    dbk_log *log = arg;

    dbk_log_lock(log);
    bool stop = log->pack_stop;
    dbk_log_unlock(log);
    return stop;
}

/* Sealed, and the next one has begun: that is durable when it is in the list. */
static dbk_segment *next_plain(dbk_log *log, size_t *index)
{
    dbk_segment *found = NULL;

    dbk_log_lock(log);
    if (log->options.keep_plain) *index = log->segment_count;
    for (; *index + 1 < log->segment_count && !found && !log->pack_stop; (*index)++) {
        dbk_segment *segment = log->segments[*index];
        bool empty = segment->last_position < segment->first_position;
        if (!segment->packed && !segment->unpackable && !empty) found = segment;
    }
    dbk_log_unlock(log);
    return found;
}

/* From here on the name stands for the packed file. */
static void take_packed(dbk_log *log, dbk_segment *segment, const dbk_pack_head *head)
{
    dbk_log_lock(log);
    segment->packed = true;
    segment->packed_bytes = head->file_bytes;
    dbk_image *plain = dbk_segment_detach(segment);
    dbk_log_unlock(log);
    dbk_image_close(plain);
}

static dbk_result pack(dbk_log *log, dbk_segment *segment, const char *name, dbk_pack_head *head, dbk_error *err)
{
    dbk_pack_job job = {.port = log->port, .dir = log->dir, .name = name};
    dbk_image *image;

    job.stop = is_stopped;
    job.arg = log;
    dbk_log_lock(log);
    job.segment = *segment; /* sealed: what is asked of it does not change */
    dbk_log_unlock(log);
    dbk_result rc = dbk_segment_pin(log, segment, &image, err);
    if (rc != DBK_OK) return rc;
    job.image = image;
    rc = dbk_pack_write(&job, head, err);
    dbk_segment_unpin(log, image);
    return rc;
}

static void pack_one(dbk_log *log, dbk_segment *segment)
{
    const dbk_port *port = log->port;
    char name[DBK_SEGMENT_NAME_SIZE];
    dbk_pack_head head;

    dbk_segment_name(segment->header.number, "pack", name);
    dbk_result rc = pack(log, segment, name, &head, NULL);
    if (rc == DBK_OK && port->rename(port->ctx, log->dir, name, log->dir, segment->name) == 0) {
        (void)port->sync_dir(port->ctx, log->dir);
        take_packed(log, segment, &head);
        return;
    }
    (void)port->unlink(port->ctx, log->dir, name);
    if (rc != DBK_CORRUPT) return;
    dbk_log_lock(log);
    segment->unpackable = true; /* reading and verifying tell of it */
    dbk_log_unlock(log);
}

static void run(void *arg)
{
    dbk_log *log = arg;
    bool again = true;

    while (again) {
        dbk_segment *segment;
        size_t index = 0;
        while ((segment = next_plain(log, &index)) != NULL) pack_one(log, segment);
        dbk_merge_work(log);
        dbk_log_lock(log);
        again = log->pack_wanted && !log->pack_stop;
        log->pack_wanted = false;
        log->pack_running = again;
        dbk_log_unlock(log);
    }
}

static void run_behind(void *arg)
{
    dbk_log *log = arg;

    log->port->thread_lower(log->port->ctx);
    run(log);
}

void dbk_pack_kick(dbk_log *log)
{
    const dbk_port *port = log->port;

    if (log->options.read_only) return;
    dbk_log_lock(log);
    log->pack_wanted = log->pack_running;
    bool running = log->pack_running;
    log->pack_running = true;
    dbk_log_unlock(log);
    if (running) return;
    if (log->pack_thread) port->thread_join(port->ctx, log->pack_thread);
    log->pack_thread = NULL;
    if (!log->options.no_background &&
        port->thread_start(port->ctx, "log pack", run_behind, log, &log->pack_thread) == 0)
        return;
    log->pack_thread = NULL;
    if (log->options.no_background) {
        run(log);
        return;
    }
    dbk_log_lock(log); /* no thread to be had: at the next chance */
    log->pack_running = false;
    dbk_log_unlock(log);
}

void dbk_pack_stop(dbk_log *log)
{
    dbk_log_lock(log);
    log->pack_stop = true;
    dbk_log_unlock(log);
    if (log->pack_thread) log->port->thread_join(log->port->ctx, log->pack_thread);
    log->pack_thread = NULL;
}
