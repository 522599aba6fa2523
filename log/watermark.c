/* The watermark: what was durable when it was written. It is written after a sync returned and not
 * itself synced on the hot path, so it may lag behind the log and never leads it (R1). */
#include "log/internal.h"

static dbk_result judge_slot(const uint8_t *at, const uint8_t store_id[16], dbk_watermark *mark, bool *valid,
                             dbk_error *err)
{
    dbk_watermark found;
    dbk_decoded decoded = dbk_watermark_decode(at, &found);

    if (decoded == DBK_DECODED_NEWER) {
        return dbk_fail(err, DBK_VERSION, "'%s' has a later format than this program", DBK_WATERMARK_NAME);
    }
    if (decoded == DBK_DECODED_BAD) return DBK_OK;
    if (memcmp(found.store_id, store_id, 16) != 0) {
        return dbk_fail(err, DBK_FOREIGN, "'%s' belongs to another store", DBK_WATERMARK_NAME);
    }
    if (!*valid || found.counter > mark->counter) *mark = found;
    *valid = true;
    return DBK_OK;
}

dbk_result dbk_watermark_read(const dbk_port *port, dbk_dir *dir, const uint8_t store_id[16], dbk_watermark *mark,
                              bool *valid, dbk_error *err)
{
    uint8_t slots[2][DBK_WATERMARK_SLOT_SIZE];
    dbk_file *file;

    memset(mark, 0, sizeof(*mark));
    *valid = false;
    dbk_error local;
    dbk_result rc = dbk_io_open(port, dir, DBK_WATERMARK_NAME, DBK_OPEN_READ, &file, err ? err : &local);
    if (rc == DBK_MISSING) return DBK_OK;
    if (rc != DBK_OK) return rc;
    for (size_t i = 0; i < 2 && rc == DBK_OK; i++) {
        size_t got = 0;
        rc = dbk_io_read(port, file, DBK_WATERMARK_NAME, i * DBK_WATERMARK_STRIDE, slots[i], sizeof(slots[i]), &got,
                         err);
        if (rc == DBK_OK && got == sizeof(slots[i])) rc = judge_slot(slots[i], store_id, mark, valid, err);
    }
    port->close_file(port->ctx, file);
    return rc;
}

dbk_result dbk_watermark_open(dbk_log *log, dbk_error *err)
{
    const dbk_port *port = log->port;
    int flags = DBK_OPEN_READ | DBK_OPEN_WRITE;

    dbk_result rc = dbk_io_open(port, log->dir, DBK_WATERMARK_NAME, flags, &log->mark_file, err);
    if (rc != DBK_MISSING) return rc;
    rc = dbk_io_open(port, log->dir, DBK_WATERMARK_NAME, flags | DBK_OPEN_CREATE, &log->mark_file, err);
    return rc == DBK_OK ? dbk_io_sync_dir(port, log->dir, "log", err) : rc;
}

/* The slots take turns, so that the one before stands while this one is written. */
dbk_result dbk_watermark_write(dbk_log *log, bool clean, dbk_error *err)
{
    const dbk_segment *active = dbk_log_active(log);
    uint8_t slot[DBK_WATERMARK_SLOT_SIZE];
    dbk_watermark mark = log->mark;

    memcpy(mark.store_id, log->options.store_id, 16);
    mark.counter++;
    mark.position = log->state.position;
    mark.segment = active->header.number;
    mark.offset = active->end;
    mark.checksum = log->state.previous;
    mark.clean = clean;
    dbk_watermark_encode(&mark, slot);
    dbk_result rc = dbk_io_write(log->port, log->mark_file, DBK_WATERMARK_NAME,
                                 (mark.counter & 1) * DBK_WATERMARK_STRIDE, slot, sizeof(slot), err);
    if (rc != DBK_OK) return rc;
    log->mark = mark;
    log->mark_unsynced = true;
    return DBK_OK;
}

dbk_result dbk_watermark_sync(dbk_log *log, dbk_error *err)
{
    if (!log->mark_unsynced) return DBK_OK;
    dbk_result rc = dbk_io_sync(log->port, log->mark_file, DBK_WATERMARK_NAME, err);
    if (rc == DBK_OK) log->mark_unsynced = false;
    return rc;
}
