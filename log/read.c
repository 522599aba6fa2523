/* Reading single entries: index to batch, batch to entry. Batches read last are kept. */
#include "log/internal.h"

dbk_segment *dbk_log_segment_of(dbk_log *log, uint64_t position)
{
    size_t low = 0, high;
    dbk_segment *found = NULL;

    dbk_log_lock(log);
    high = log->segment_count;
    if (position >= 1 && position <= log->state.position) {
        while (high - low > 1) { /* the last one that begins at or below it */
            size_t middle = low + (high - low) / 2;
            if (log->segments[middle]->first_position <= position) {
                low = middle;
            } else {
                high = middle;
            }
        }
        found = log->segments[low];
    }
    dbk_log_unlock(log);
    return found;
}

bool dbk_log_batch_of(dbk_log *log, dbk_segment *segment, uint64_t position, dbk_index_batch *batch)
{
    dbk_log_lock(log);
    const dbk_index_batch *found = segment->run ? dbk_index_run_batch(segment->run, position)
                                                : dbk_index_table_batch(segment->table, position);
    if (found) *batch = *found;
    dbk_log_unlock(log);
    return found != NULL;
}

dbk_result dbk_log_bad_record(const dbk_segment *segment, uint64_t offset, uint64_t first,
                              uint64_t last, dbk_error *err)
{
    dbk_fail(err, DBK_CORRUPT,
             "segment '%s' is damaged at offset %llu: positions %llu to %llu cannot be read",
             segment->name, (unsigned long long)offset, (unsigned long long)first,
             (unsigned long long)last);
    dbk_error_hint(err, "verify the log; entries before and after the damage can be salvaged");
    return DBK_CORRUPT;
}

static dbk_result read_batch(dbk_log *log, dbk_segment *segment, const dbk_index_batch *batch,
                             uint8_t *data, dbk_record *record, dbk_error *err)
{
    dbk_file *file;
    size_t got = 0;

    dbk_result rc = dbk_segment_pin(log, segment, &file, err);
    if (rc != DBK_OK) return rc;
    rc = dbk_io_read(log->port, file, segment->name, batch->offset, data, batch->bytes, &got, err);
    dbk_segment_unpin(log, segment);
    if (rc != DBK_OK) return rc;
    if (got == batch->bytes && dbk_record_decode(data, log->options.store_id, record) &&
        record->segment == segment->header.number && record->salt == segment->header.salt &&
        record->offset == batch->offset && record->first_position == batch->first_position &&
        dbk_record_bytes(record->payload_bytes, segment->header.unit) == batch->bytes &&
        dbk_record_sound(record, log->options.store_id, data, batch->bytes)) {
        return DBK_OK;
    }
    return dbk_log_bad_record(segment, batch->offset, batch->first_position, batch->first_position,
                              err);
}

static dbk_result copy_entry(const dbk_batch_slot *slot, uint64_t position, dbk_buffer *out,
                             int64_t *received_ms, dbk_error *err)
{
    dbk_slice rest = dbk_slice_of(slot->data + DBK_RECORD_HEADER_SIZE, slot->record.payload_bytes),
              origin;
    uint64_t at = slot->record.first_position;

    while (dbk_record_next_origin(&rest, &origin)) {
        if (at++ != position) continue;
        dbk_buffer_clear(out);
        dbk_buffer_put_slice(out, origin);
        if (received_ms) *received_ms = slot->record.received_ms;
        return out->failed ? dbk_fail(err, DBK_NO_MEMORY, "cannot read an entry: out of memory")
                           : DBK_OK;
    }
    return dbk_fail(err, DBK_CORRUPT,
                    "the batch at position %llu holds fewer entries than it counts",
                    (unsigned long long)slot->record.first_position);
}

static bool read_cached(dbk_log *log, const dbk_segment *segment, const dbk_index_batch *batch,
                        uint64_t position, dbk_buffer *out, int64_t *received_ms, dbk_result *rc,
                        dbk_error *err)
{
    bool found = false;

    log->port->mutex_lock(log->port->ctx, log->cache_lock);
    for (size_t i = 0; i < DBK_BATCH_CACHE_SLOTS && !found; i++) {
        dbk_batch_slot *slot = &log->cache[i];
        if (!slot->data || slot->segment != segment->header.number || slot->offset != batch->offset)
            continue;
        slot->used = ++log->cache_clock;
        *rc = copy_entry(slot, position, out, received_ms, err);
        found = true;
    }
    log->port->mutex_unlock(log->port->ctx, log->cache_lock);
    return found;
}

static void keep(dbk_log *log, dbk_batch_slot *slot, uint64_t bytes)
{
    if (bytes <= DBK_BATCH_CACHE_BYTES) {
        log->port->mutex_lock(log->port->ctx, log->cache_lock);
        dbk_batch_slot *oldest = &log->cache[0];
        for (size_t i = 1; i < DBK_BATCH_CACHE_SLOTS; i++) {
            if (log->cache[i].used < oldest->used) oldest = &log->cache[i];
        }
        uint8_t *old = oldest->data;
        slot->used = ++log->cache_clock;
        *oldest = *slot;
        slot->data = old;
        log->port->mutex_unlock(log->port->ctx, log->cache_lock);
    }
    dbk_free(log->port, slot->data);
}

dbk_result dbk_log_read(dbk_log *log, uint64_t position, dbk_buffer *out, int64_t *received_ms,
                        dbk_error *err)
{
    dbk_segment *segment = dbk_log_segment_of(log, position);
    dbk_index_batch batch;
    dbk_result rc;

    if (!segment) return DBK_NONE;
    if (!dbk_log_batch_of(log, segment, position, &batch)) {
        return dbk_fail(err, DBK_CORRUPT,
                        "the index of segment '%s' has no batch with position %llu", segment->name,
                        (unsigned long long)position);
    }
    if (read_cached(log, segment, &batch, position, out, received_ms, &rc, err)) return rc;
    if (batch.bytes < DBK_RECORD_FRAME_SIZE)
        return dbk_log_bad_record(segment, batch.offset, position, position, err);
    dbk_batch_slot slot = {.segment = segment->header.number, .offset = batch.offset};
    slot.data = dbk_alloc(log->port, batch.bytes);
    if (!slot.data) return dbk_fail(err, DBK_NO_MEMORY, "cannot read an entry: out of memory");
    rc = read_batch(log, segment, &batch, slot.data, &slot.record, err);
    if (rc != DBK_OK) {
        dbk_free(log->port, slot.data);
        return rc;
    }
    rc = copy_entry(&slot, position, out, received_ms, err);
    keep(log, &slot, batch.bytes);
    return rc;
}

void dbk_cache_release(dbk_log *log)
{
    for (size_t i = 0; i < DBK_BATCH_CACHE_SLOTS; i++) dbk_free(log->port, log->cache[i].data);
}
