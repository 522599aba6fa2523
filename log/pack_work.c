/* Packing in the background, segment by segment, lowest first; behind it, parts of the index are merged. A packed
 * segment that has lost its table is packed again, from the blocks, by the same steps. What is on disk after each:
 *   1. "<number>.pack" is being written beside the plain segment     a crash: it is overwritten
 *   2. it is whole, synced, and was read back                        a crash: the same
 *   3. it is renamed over "<number>.seg", the folder is synced       a crash: one form or the other
 * Both forms say the same, so nothing depends on which one a crash leaves. Whoever has the plain
 * file open keeps it; whoever opens the name gets the packed one. The thread has a low priority, and
 * nobody waits for it; closing stops it in the middle. */
#include "log/pack_write.h"
#include "log/parts.h"

bool dbk_pack_is_stopped(void *arg)
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
    for (; *index + 1 < log->segment_count && !found && !log->pack_stop; (*index)++) {
        dbk_segment *segment = log->segments[*index];
        bool empty = segment->last_position < segment->first_position;
        bool due = segment->packed ? segment->table_lost : !log->options.keep_plain;
        if (due && !segment->unpackable && !empty) found = segment;
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
    segment->table_lost = false;
    dbk_image *plain = dbk_segment_detach(segment);
    dbk_log_unlock(log);
    dbk_image_close(plain);
}

static dbk_result pack(dbk_log *log, dbk_segment *segment, const char *name, dbk_pack_head *head, dbk_error *err)
{
    dbk_pack_job job = {.port = log->port, .dir = log->dir, .name = name};
    dbk_image *image;

    job.stop = dbk_pack_is_stopped;
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

/* A table that was lost is told of where a torn end is. */
static void note_table(const dbk_log *log, const dbk_segment *segment)
{
    const dbk_port *port = log->port;
    dbk_buffer line;

    dbk_buffer_init(&line, port);
    dbk_buffer_printf(&line, "{\"time_ms\":%lld,\"case\":\"table\",\"file\":\"%s\",\"bytes\":%llu}",
                      (long long)port->wall_ms(port->ctx), segment->name, (unsigned long long)segment->packed_bytes);
    if (!line.failed) (void)!dbk_log_note(port, log->dir, dbk_buffer_slice(&line), NULL);
    dbk_buffer_release(&line);
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
        if (segment->packed) note_table(log, segment);
        take_packed(log, segment, &head);
        return;
    }
    (void)port->unlink(port->ctx, log->dir, name);
    if (rc != DBK_CORRUPT) return;
    dbk_log_lock(log);
    segment->unpackable = true; /* reading and verifying tell of it */
    dbk_log_unlock(log);
}

/* What pack_one needs of the segment stands in its head. */
static dbk_result pack_from_head(const dbk_port *port, dbk_dir *dir, dbk_image *image, dbk_segment *segment,
                                 const char *name, uint64_t *bytes, dbk_error *err)
{
    dbk_pack_job job = {.port = port, .dir = dir, .image = image, .name = name};
    dbk_pack_head head;

    segment->header = image->header;
    segment->first_position = image->head.first_position;
    segment->last_position = image->head.last_position;
    segment->seal_offset = image->head.seal_offset;
    job.segment = *segment;
    dbk_result rc = dbk_pack_write(&job, &head, err);
    if (rc != DBK_OK) return rc;
    *bytes = head.file_bytes;
    int renamed = port->rename(port->ctx, dir, name, dir, segment->name);
    if (renamed != 0) return dbk_fail_os(err, dbk_result_of_errno(renamed), renamed, "cannot rename '%s'", name);
    return dbk_io_sync_dir(port, dir, "log", err);
}

dbk_result dbk_pack_again(const dbk_port *port, dbk_dir *dir, uint64_t number, uint64_t *bytes, dbk_error *err)
{
    dbk_segment *segment = dbk_segment_new(port, number);
    char name[DBK_SEGMENT_NAME_SIZE];
    dbk_image *image;

    if (!segment) return dbk_fail(err, DBK_NO_MEMORY, "cannot pack a segment: out of memory");
    dbk_segment_name(number, "pack", name);
    dbk_result rc = dbk_image_open(port, dir, segment->name, &image, err);
    if (rc == DBK_OK) {
        rc = pack_from_head(port, dir, image, segment, name, bytes, err);
        if (rc != DBK_OK) (void)port->unlink(port->ctx, dir, name);
        dbk_image_close(image);
    }
    dbk_segment_free(port, segment);
    return rc;
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
