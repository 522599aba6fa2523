/* Append of one batch. What is acknowledged is on disk: state, index and watermark follow the sync,
 * never the other way round. */
#include "log/internal.h"

enum { TOGETHER = 16 }; /* entries decoded, then indexed under one lock */

typedef struct append_job {
    dbk_tail tail;
    dbk_index_table *table;
    dbk_record record;
    uint64_t start_bytes; /* of the start record in front of it; 0: none */
    uint64_t bytes;
    uint8_t top[DBK_ORDER_KEY_SIZE]; /* the segment's, with the batch in it */
    bool ordered;
} append_job;

static dbk_result measure(const dbk_slice *origins, size_t count, uint64_t *payload, dbk_error *err)
{
    *payload = 0;
    for (size_t i = 0; i < count; i++) {
        if (origins[i].size > DBK_ENTRY_MAX_BYTES) {
            return dbk_fail(err, DBK_TOO_BIG, "an entry of %zu bytes is over the limit of %d", origins[i].size,
                            DBK_ENTRY_MAX_BYTES);
        }
        *payload += 4 + origins[i].size;
        if (*payload > DBK_PAYLOAD_MAX) {
            return dbk_fail(err, DBK_TOO_BIG, "a batch of %zu entries is over the limit of %d bytes", count,
                            DBK_PAYLOAD_MAX);
        }
    }
    return DBK_OK;
}

static dbk_result choose_tail(dbk_log *log, append_job *job, uint64_t payload, dbk_error *err)
{
    dbk_segment *active = dbk_log_active(log);
    uint64_t unit = active->header.unit;
    uint64_t need = dbk_record_bytes(payload, (uint32_t)unit) + dbk_record_bytes(DBK_SEAL_PAYLOAD_SIZE, (uint32_t)unit);

    dbk_result rc = dbk_tail_clean(log, err);
    if (rc != DBK_OK) return rc;
    if (active->seal_offset || need > active->header.size - active->end) {
        rc = dbk_log_roll(log, DBK_RECORD_FRAME_SIZE + payload, err);
    }
    if (rc == DBK_OK) rc = dbk_tail_clean(log, err);
    if (rc != DBK_OK) return rc;
    job->tail = dbk_tail_of(log);
    job->table = job->tail.segment->table;
    return DBK_OK;
}

/* Of a batch that is large enough other threads hash the leaves meanwhile. */
static bool begin_leaves(dbk_log *log, const dbk_slice *origins, size_t count, uint64_t payload)
{
    if (payload < DBK_LEAVES_WORTH_BYTES) return false;
    if (!log->leaves) log->leaves = dbk_leaves_new(log->port);
    return log->leaves && dbk_leaves_begin(log->leaves, origins, count, payload, log->scratch->range.count);
}

static dbk_result decode_some(const dbk_slice *origins, size_t from, size_t count, dbk_entry *entries, dbk_error *err)
{
    for (size_t i = 0; i < count; i++) {
        dbk_result rc = dbk_entry_decode(origins[from + i], &entries[i], err);
        if (rc != DBK_OK) return dbk_error_wrap(err, rc, "entry %zu of the batch", from + i + 1);
    }
    return DBK_OK;
}

/* The lock is taken once for all of them. */
static dbk_result index_some(dbk_log *log, dbk_index_table *table, const dbk_entry *entries, size_t count,
                             dbk_error *err)
{
    dbk_result rc = DBK_OK;

    dbk_log_lock(log);
    for (size_t i = 0; i < count && rc == DBK_OK; i++)
        rc = dbk_index_table_add(table, log->scratch->position + 1 + i, &entries[i], err);
    dbk_log_unlock(log);
    return rc;
}

/* Decodes, checks and indexes the entries; log->scratch is then the state behind them, but for the leaves of
 * those that are `hashed` elsewhere. */
static dbk_result take_entries(dbk_log *log, append_job *job, const dbk_slice *origins, size_t count, bool hashed,
                               dbk_error *err)
{
    uint8_t *at = log->buffer + job->start_bytes + DBK_RECORD_HEADER_SIZE;

    for (size_t done = 0, some; done < count; done += some) {
        dbk_entry entries[TOGETHER];
        some = count - done < TOGETHER ? count - done : TOGETHER;
        dbk_result rc = decode_some(origins, done, some, entries, err);
        if (rc == DBK_OK) rc = index_some(log, job->table, entries, some, err);
        if (rc != DBK_OK) return rc;
        for (size_t i = 0; i < some; i++) {
            dbk_slice origin = origins[done + i];
            if (hashed) {
                dbk_state_add_fields(log->scratch, &entries[i]);
            } else {
                dbk_state_add(log->scratch, &entries[i], origin);
            }
            dbk_state_note_key(&entries[i], job->top, &job->ordered);
            dbk_store_u32(at, (uint32_t)origin.size);
            memcpy(at + 4, origin.data, origin.size);
            at += 4 + origin.size;
        }
    }
    return DBK_OK;
}

static dbk_result build(dbk_log *log, append_job *job, const dbk_slice *origins, size_t count, uint64_t payload,
                        int64_t received_ms, dbk_error *err)
{
    dbk_segment *segment = job->tail.segment;
    dbk_record *record = &job->record;

    *log->scratch = log->state;
    job->ordered = segment->ordered;
    memcpy(job->top, segment->top, sizeof(job->top));
    job->bytes = dbk_record_bytes(payload, segment->header.unit);
    dbk_result rc =
        dbk_log_buffer(log, (size_t)(job->bytes + dbk_record_bytes(DBK_START_PAYLOAD_MAX, segment->header.unit)), err);
    if (rc != DBK_OK) return rc;
    if (log->pending) job->start_bytes = dbk_log_put_start(log, segment, log->scratch, log->buffer);
    record->type = DBK_RECORD_ENTRIES;
    record->count = (uint32_t)count;
    record->payload_bytes = (uint32_t)payload;
    record->first_position = log->state.position + 1;
    record->durable_upto = log->state.position;
    record->previous = log->scratch->previous;
    record->received_ms = received_ms > log->state.received_ms ? received_ms : log->state.received_ms;
    record->segment = segment->header.number;
    record->salt = segment->header.salt;
    record->offset = job->tail.offset + job->start_bytes;
    bool hashed = begin_leaves(log, origins, count, payload);
    rc = take_entries(log, job, origins, count, hashed, err);
    if (hashed && rc == DBK_OK) dbk_leaves_add(log->leaves, &log->scratch->range);
    if (hashed && rc != DBK_OK) dbk_leaves_drop(log->leaves);
    if (rc != DBK_OK) return rc;
    dbk_index_batch place = {record->first_position, (uint32_t)record->offset, (uint32_t)job->bytes,
                             record->received_ms};
    dbk_log_lock(log);
    rc = dbk_index_table_add_batch(job->table, &place, err);
    dbk_log_unlock(log);
    if (rc != DBK_OK) return rc;
    dbk_range_head(&log->scratch->range, record->head);
    dbk_record_finish(record, log->options.store_id, log->buffer + job->start_bytes, job->bytes);
    log->scratch->previous = record->checksum;
    log->scratch->received_ms = record->received_ms;
    return DBK_OK;
}

/* Only now can readers see the batch. */
static void publish(dbk_log *log, append_job *job)
{
    dbk_segment *segment = job->tail.segment;

    dbk_log_lock(log);
    segment->end = job->tail.offset + job->start_bytes + job->bytes;
    segment->records += job->start_bytes ? 2 : 1;
    segment->last_position = log->scratch->position;
    segment->ordered = job->ordered;
    memcpy(segment->top, job->top, sizeof(segment->top));
    log->state = *log->scratch;
    if (job->start_bytes) dbk_log_activate(log);
    dbk_log_unlock(log);
    if (job->start_bytes) {
        log->port->close_file(log->port->ctx, log->write_file); /* and its lock: the new one is held */
        log->write_file = log->pending_file;
        log->direct = log->pending_direct;
        log->pending_file = NULL;
    }
    /* A watermark that cannot be written only lags. */
    if (dbk_watermark_write(log, false, NULL) == DBK_OK && job->start_bytes) (void)!dbk_watermark_sync(log, NULL);
    if (!job->start_bytes) return;
    dbk_background_kick(log);
    dbk_pack_kick(log);
}

/* A part of the index was found damaged or gone, or the table of a packed segment. */
static void make_parts_anew(dbk_log *log)
{
    dbk_log_lock(log);
    bool wanting = log->parts_wanting;
    log->parts_wanting = false;
    dbk_log_unlock(log);
    if (!wanting) return;
    dbk_background_kick(log);
    dbk_pack_kick(log);
}

static dbk_result check_usable(const dbk_log *log, dbk_error *err)
{
    if (log->options.read_only) return dbk_fail(err, DBK_READ_ONLY, "the log was opened for reading only");
    if (log->poisoned) {
        dbk_fail(err, DBK_POISONED, "an earlier sync of the log failed; nothing more is appended");
        dbk_error_hint(err, "check the disk, then open the store anew");
        return DBK_POISONED;
    }
    return DBK_OK;
}

dbk_result dbk_log_append(dbk_log *log, const dbk_slice *origins, size_t count, int64_t received_ms, uint64_t *first,
                          dbk_error *err)
{
    append_job job = {0};
    uint64_t payload;

    if (count == 0) return DBK_OK;
    dbk_result rc = check_usable(log, err);
    if (rc == DBK_OK) rc = measure(origins, count, &payload, err);
    if (rc == DBK_OK && !log->behind_known) rc = dbk_behind_settle(log, err);
    if (rc == DBK_OK) rc = choose_tail(log, &job, payload, err);
    if (rc != DBK_OK) return rc;
    rc = build(log, &job, origins, count, payload, received_ms, err);
    if (rc == DBK_OK) {
        rc = dbk_tail_write(log, job.tail, log->buffer, (size_t)(job.start_bytes + job.bytes), err);
    }
    if (rc != DBK_OK) {
        dbk_log_lock(log);
        dbk_index_table_cut(job.table, log->state.position + 1);
        dbk_log_unlock(log);
        return rc;
    }
    if (first) *first = job.record.first_position;
    publish(log, &job);
    make_parts_anew(log);
    if (log->buffer_size > 4 * DBK_SCAN_CHUNK_BYTES) {
        log->port->free_aligned(log->port->ctx, log->buffer);
        log->buffer = NULL;
        log->buffer_size = 0;
    }
    return DBK_OK;
}

dbk_result dbk_log_idle(dbk_log *log, dbk_error *err)
{
    dbk_result rc = check_usable(log, err);

    if (rc == DBK_READ_ONLY || rc == DBK_POISONED) return rc;
    rc = dbk_watermark_sync(log, err);
    make_parts_anew(log);
    if (rc == DBK_OK && dbk_checkpoint_due(log)) {
        dbk_log_lock(log);
        log->checkpoint_wanted = true;
        dbk_log_unlock(log);
        dbk_background_kick(log);
    }
    return rc;
}
