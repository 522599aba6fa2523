/* Applies what recovery decided, so that a crash at any point leaves the same decision to be made
 * again:
 *   1. the bytes that go are copied to "<segment>.torn-<ms>", synced with its name
 *   2. a line in recovery.ndjson tells of it, synced
 *   3. their range is zeroed, synced
 * Nothing of it was ever acknowledged or seen; nothing in front of the spot is written to. */
#include "log/internal.h"

#include <stdio.h>

static dbk_result copy_range(const dbk_port *port, dbk_file *from, dbk_file *to, const dbk_plan *plan, const char *name,
                             dbk_error *err)
{
    uint8_t *chunk = dbk_alloc(port, 65536);
    dbk_result rc = DBK_OK;

    if (!chunk) return dbk_fail(err, DBK_NO_MEMORY, "cannot copy the torn end of '%s': out of memory", name);
    for (uint64_t at = plan->offset; at < plan->used_end && rc == DBK_OK;) {
        size_t want = plan->used_end - at < 65536 ? (size_t)(plan->used_end - at) : 65536, got = 0;
        rc = dbk_io_read(port, from, name, at, chunk, want, &got, err);
        if (rc == DBK_OK && got == 0) rc = dbk_fail(err, DBK_IO, "segment '%s' ends early", name);
        if (rc == DBK_OK) rc = dbk_io_write(port, to, "torn copy", at - plan->offset, chunk, got, err);
        at += got;
    }
    dbk_free(port, chunk);
    return rc;
}

static dbk_result copy_aside(const dbk_log *log, const dbk_plan *plan, dbk_file *file, const char *name, char *copy,
                             size_t copy_size, dbk_error *err)
{
    const dbk_port *port = log->port;
    int64_t ms = port->wall_ms(port->ctx);
    dbk_file *to = NULL;
    dbk_result rc = DBK_EXISTS;

    for (int i = 0; i < 1000 && rc == DBK_EXISTS; i++) {
        snprintf(copy, copy_size, "%016llx.torn-%lld", (unsigned long long)plan->segment, (long long)(ms + i));
        rc = dbk_io_open(port, log->dir, copy, DBK_OPEN_WRITE | DBK_OPEN_CREATE | DBK_OPEN_EXCLUSIVE, &to, err);
    }
    if (rc != DBK_OK) return rc;
    rc = copy_range(port, file, to, plan, name, err);
    if (rc == DBK_OK) rc = dbk_io_sync(port, to, copy, err);
    port->close_file(port->ctx, to);
    return rc == DBK_OK ? dbk_io_sync_dir(port, log->dir, "log", err) : rc;
}

dbk_result dbk_log_note(const dbk_port *port, dbk_dir *dir, dbk_slice text, dbk_error *err)
{
    dbk_buffer line;
    dbk_file *file;
    uint64_t size = 0;
    uint8_t last = '\n';
    size_t got;

    dbk_result rc =
        dbk_io_open(port, dir, DBK_RECOVERY_NAME, DBK_OPEN_READ | DBK_OPEN_WRITE | DBK_OPEN_CREATE, &file, err);
    if (rc != DBK_OK) return rc;
    dbk_buffer_init(&line, port);
    rc = dbk_io_size(port, file, DBK_RECOVERY_NAME, &size, err);
    if (rc == DBK_OK && size) rc = dbk_io_read(port, file, DBK_RECOVERY_NAME, size - 1, &last, 1, &got, err);
    if (last != '\n') dbk_buffer_put_u8(&line, '\n'); /* a line that a crash cut short */
    dbk_buffer_put_slice(&line, text);
    dbk_buffer_put_u8(&line, '\n');
    if (rc == DBK_OK && line.failed) rc = dbk_fail(err, DBK_NO_MEMORY, "cannot note the recovery: out of memory");
    if (rc == DBK_OK) rc = dbk_io_write(port, file, DBK_RECOVERY_NAME, size, line.data, line.size, err);
    if (rc == DBK_OK) rc = dbk_io_sync(port, file, DBK_RECOVERY_NAME, err);
    dbk_buffer_release(&line);
    port->close_file(port->ctx, file);
    return rc == DBK_OK ? dbk_io_sync_dir(port, dir, "log", err) : rc;
}

static dbk_result note(const dbk_log *log, const dbk_plan *plan, const char *name, const char *copy, dbk_error *err)
{
    const dbk_port *port = log->port;
    const dbk_recovery_row *row = &dbk_recovery_table[plan->row];
    dbk_buffer line;

    dbk_buffer_init(&line, port);
    dbk_buffer_printf(&line,
                      "{\"time_ms\":%lld,\"case\":\"%s\",\"file\":\"%s\",\"offset\":%llu,\"bytes\":%llu,"
                      "\"position\":%llu,\"misdirected\":%s,\"watermark\":%s,\"copy\":\"%s\"}",
                      (long long)port->wall_ms(port->ctx), row->name, name, (unsigned long long)plan->offset,
                      (unsigned long long)(plan->used_end - plan->offset), (unsigned long long)plan->position,
                      plan->situation.head == DBK_HEAD_MISDIRECTED ? "true" : "false",
                      log->mark_valid ? "true" : "false", copy);
    dbk_result rc = line.failed ? dbk_fail(err, DBK_NO_MEMORY, "cannot note the recovery: out of memory")
                                : dbk_log_note(port, log->dir, dbk_buffer_slice(&line), err);
    dbk_buffer_release(&line);
    return rc;
}

static dbk_result clear_range(const dbk_port *port, dbk_file *file, const dbk_plan *plan, const char *name,
                              dbk_error *err)
{
    uint8_t *zeros = dbk_alloc_zero(port, 1, 65536);
    dbk_result rc = DBK_OK;

    if (!zeros) return dbk_fail(err, DBK_NO_MEMORY, "cannot clear the torn end of '%s': out of memory", name);
    for (uint64_t at = plan->offset; at < plan->used_end; at += 65536) {
        size_t now = plan->used_end - at < 65536 ? (size_t)(plan->used_end - at) : 65536;
        rc = dbk_io_write(port, file, name, at, zeros, now, err);
        if (rc != DBK_OK) break;
    }
    dbk_free(port, zeros);
    return rc == DBK_OK ? dbk_io_sync(port, file, name, err) : rc;
}

dbk_result dbk_log_repair(dbk_log *log, const dbk_plan *plan, dbk_error *err)
{
    const dbk_port *port = log->port;
    char name[DBK_SEGMENT_NAME_SIZE], copy[64];
    dbk_file *file;

    if (plan->used_end <= plan->offset) return DBK_OK;
    dbk_segment_name(plan->segment, "seg", name);
    dbk_result rc = dbk_io_open(port, log->dir, name, DBK_OPEN_READ | DBK_OPEN_WRITE, &file, err);
    if (rc != DBK_OK) return rc;
    rc = copy_aside(log, plan, file, name, copy, sizeof(copy), err);
    if (rc == DBK_OK) rc = note(log, plan, name, copy, err);
    if (rc == DBK_OK) rc = clear_range(port, file, plan, name, err);
    port->close_file(port->ctx, file);
    return rc == DBK_OK ? DBK_OK : dbk_error_wrap(err, rc, "cannot put the torn end of the log aside");
}
