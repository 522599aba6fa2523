/* Writes to the end of a live segment.
 *
 * Direct: one write that is durable when it returns. Buffered: write, then sync. A write that fails
 * for lack of room has not been acknowledged and never will be: its range is zeroed and the log
 * goes on. A failed sync, or a direct write that fails otherwise (the device may hold any part of
 * it), leaves the outcome unknown: the log is poisoned, no sync is tried again (R12). */
#include "log/internal.h"

#include <errno.h>
#include <stdlib.h>

void dbk_log_poison(dbk_log *log)
{
    dbk_log_lock(log);
    log->poisoned = true;
    dbk_log_unlock(log);
}

dbk_tail dbk_tail_of(dbk_log *log)
{
    if (log->pending) {
        return (dbk_tail){log->pending, &log->pending_file, &log->pending_direct, DBK_SEGMENT_DATA_OFFSET};
    }
    return (dbk_tail){dbk_log_active(log), &log->write_file, &log->direct, dbk_log_active(log)->end};
}

static dbk_result open_plain(const dbk_log *log, const dbk_segment *segment, dbk_file **file, bool *direct,
                             dbk_error *err)
{
    int flags = DBK_OPEN_READ | DBK_OPEN_WRITE;
    dbk_error local;

    if (*direct) {
        dbk_result rc = dbk_io_open(log->port, log->dir, segment->name, flags | DBK_OPEN_DIRECT, file, &local);
        if (rc == DBK_OK) return DBK_OK;
        if (abs(local.os_errno) != EINVAL) {
            if (err) *err = local;
            return rc;
        }
        *direct = false;
    }
    return dbk_io_open(log->port, log->dir, segment->name, flags, file, err);
}

dbk_result dbk_tail_open(const dbk_log *log, const dbk_segment *segment, dbk_file **file, bool *direct, dbk_error *err)
{
    const dbk_port *port = log->port;

    *direct = !log->options.no_direct && segment->header.unit >= log->sector_bytes;
    dbk_result rc = open_plain(log, segment, file, direct, err);
    if (rc != DBK_OK) return rc;
    int locked = port->lock_file(port->ctx, *file);
    if (locked == 0) return DBK_OK;
    port->close_file(port->ctx, *file);
    *file = NULL;
    if (locked == -EAGAIN) {
        return dbk_fail(err, DBK_LOCKED, "cannot lock segment '%s': another process appends to it", segment->name);
    }
    return dbk_fail_os(err, dbk_result_of_errno(locked), locked, "cannot lock segment '%s'", segment->name);
}

static dbk_result fail_poisoned(dbk_log *log, const char *name, dbk_error *err)
{
    dbk_log_poison(log);
    dbk_result rc = dbk_error_wrap(err, DBK_POISONED, "cannot append to '%s', outcome unknown", name);
    dbk_error_hint(err, "check the disk, then open the store anew");
    return rc;
}

/* The file system took the open but not the write: go on without. The lock lapses for a moment; who
 * takes it then makes this writer fail, not lie. */
static dbk_result leave_direct(dbk_log *log, dbk_tail tail, dbk_error *err)
{
    log->options.no_direct = true;
    log->port->close_file(log->port->ctx, *tail.file);
    *tail.file = NULL;
    return dbk_tail_open(log, tail.segment, tail.file, tail.direct, err);
}

static bool is_write_failure(dbk_result rc, bool direct, int os_errno)
{
    int error = abs(os_errno);

    if (rc == DBK_NO_SPACE || error == EFBIG || error == ENOMEM) return true;
    return !direct && error != EROFS && error != EBADF;
}

static dbk_result zero_range(dbk_log *log, dbk_tail tail, uint64_t size, dbk_error *err)
{
    uint64_t room = tail.segment->header.size - tail.offset, done = 0;
    size_t chunk = size < 65536 ? (size_t)dbk_round_up(size, DBK_UNIT_MAX) : 65536;
    uint8_t *zeros = log->port->alloc_aligned(log->port->ctx, DBK_UNIT_MAX, chunk);
    dbk_result rc = DBK_OK;

    if (!zeros) return dbk_fail(err, DBK_NO_MEMORY, "cannot clear the tail: out of memory");
    memset(zeros, 0, chunk);
    if (dbk_never(size > room)) size = room; /* whoever wrote had measured it */
    while (done < size && rc == DBK_OK) {
        size_t now = size - done < chunk ? (size_t)(size - done) : chunk;
        rc = dbk_io_write(log->port, *tail.file, tail.segment->name, tail.offset + done, zeros, now, err);
        done += now;
    }
    log->port->free_aligned(log->port->ctx, zeros);
    return rc;
}

dbk_result dbk_tail_clean(dbk_log *log, dbk_error *err)
{
    if (log->dirty_bytes == 0) return DBK_OK;
    dbk_result rc = zero_range(log, dbk_tail_of(log), log->dirty_bytes, err);
    if (rc == DBK_OK) log->dirty_bytes = 0;
    return rc;
}

dbk_result dbk_tail_write(dbk_log *log, dbk_tail tail, const uint8_t *data, size_t size, dbk_error *err)
{
    const char *name = tail.segment->name;
    dbk_error local;

    if (!*tail.file) {
        dbk_result rc = dbk_tail_open(log, tail.segment, tail.file, tail.direct, err);
        if (rc != DBK_OK) return rc;
    }
    dbk_result rc = dbk_io_write(log->port, *tail.file, name, tail.offset, data, size, &local);
    if (rc != DBK_OK && *tail.direct && abs(local.os_errno) == EINVAL) {
        rc = leave_direct(log, tail, err);
        if (rc != DBK_OK) return rc;
        rc = dbk_io_write(log->port, *tail.file, name, tail.offset, data, size, &local);
    }
    if (rc != DBK_OK) {
        if (err) *err = local;
        if (!is_write_failure(rc, *tail.direct, local.os_errno)) return fail_poisoned(log, name, err);
        if (zero_range(log, tail, size, NULL) != DBK_OK) log->dirty_bytes = size;
        return rc == DBK_NO_SPACE || rc == DBK_NO_MEMORY ? rc : dbk_error_wrap(err, DBK_IO, "cannot append");
    }
    if (*tail.direct) return DBK_OK;
    rc = dbk_io_sync(log->port, *tail.file, name, err);
    return rc == DBK_OK ? DBK_OK : fail_poisoned(log, name, err);
}
