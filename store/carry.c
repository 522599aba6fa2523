/* Entries into the log of a new store, for copies and salvage: batches end where the received time changes, for a
 * batch has one, and at the limits of size. */
#include "store/carry.h"

dbk_result dbk_carry_open(dbk_carry *carry, const dbk_port *port, dbk_dir *dir, const dbk_engine_options *options,
                          const dbk_identity_file *identity, dbk_error *err)
{
    dbk_log_options log = options->log;
    memcpy(log.store_id, identity->store_id, 16);
    memcpy(log.lineage, identity->lineage, 16);
    log.no_background = log.no_background || options->no_threads;
    memset(carry, 0, sizeof *carry);
    carry->port = port;
    dbk_buffer_init(&carry->bytes, port);
    dbk_result result = dbk_io_open_dir(port, dir, "log", 0, &carry->folder, err);
    return result == DBK_OK ? dbk_log_open(port, carry->folder, &log, &carry->log, err) : result;
}

dbk_result dbk_carry_flush(dbk_carry *carry, dbk_error *err)
{
    dbk_slice origins[DBK_CARRY_MAX_ENTRIES];
    const uint8_t *at = carry->bytes.data;
    if (carry->bytes.failed) return dbk_fail(err, DBK_NO_MEMORY, "no memory to copy entries");
    for (size_t i = 0; i < carry->count; at += carry->sizes[i++]) origins[i] = dbk_slice_of(at, carry->sizes[i]);
    dbk_result result = dbk_log_append(carry->log, origins, carry->count, carry->received_ms, NULL, err);
    carry->count = 0;
    dbk_buffer_clear(&carry->bytes);
    return result;
}

/* One batch has one time of receipt. */
dbk_result dbk_carry_add(dbk_carry *carry, dbk_slice origin, int64_t received_ms, dbk_error *err)
{
    dbk_result result = DBK_OK;
    bool full = carry->count == DBK_CARRY_MAX_ENTRIES || carry->bytes.size + origin.size > DBK_CARRY_MAX_BYTES;
    if (carry->count > 0 && (full || received_ms != carry->received_ms)) result = dbk_carry_flush(carry, err);
    if (result != DBK_OK) return result;
    carry->received_ms = received_ms;
    carry->sizes[carry->count++] = origin.size;
    dbk_buffer_put_slice(&carry->bytes, origin);
    return DBK_OK;
}

void dbk_carry_close(dbk_carry *carry)
{
    dbk_log_close(carry->log);
    if (carry->folder) carry->port->close_dir(carry->port->ctx, carry->folder);
    dbk_buffer_release(&carry->bytes);
}

dbk_result dbk_draw_life(const dbk_port *port, uint32_t other, uint32_t *incarnation, char timeline[17], dbk_error *err)
{
    uint8_t random[8];
    int rc = port->random(port->ctx, random, sizeof random);
    if (rc == 0) dbk_hex_encode(dbk_slice_of(random, sizeof random), timeline);
    while (rc == 0 && (*incarnation < 2 || *incarnation == other)) { /* 1 is the first store's */
        rc = port->random(port->ctx, random, sizeof random);
        if (rc == 0) *incarnation = dbk_load_u32(random);
    }
    return rc == 0 ? DBK_OK : dbk_fail_os(err, DBK_IO, -rc, "the system gave no random bytes for the copy's ids");
}
