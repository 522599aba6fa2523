/* From one segment to the next, in this order:
 *   1. the next segment is there, zeroed and synced; opened and locked
 *   2. the seal goes behind the last batch, durable       a crash here: the log ends sealed
 *   3. start record and first batch go into the next one, in one write, durable
 *   4. the watermark names the new segment, synced, before the batch is acknowledged
 * A failure in 1 or 2 leaves the log as it was, one in 3 leaves it sealed with the next one
 * pending. */
#include "log/internal.h"

#include <assert.h>

dbk_result dbk_log_buffer(dbk_log *log, size_t size, dbk_error *err)
{
    const dbk_port *port = log->port;

    if (size <= log->buffer_size) return DBK_OK;
    size = (size_t)dbk_round_up(size, 65536);
    uint8_t *grown = port->alloc_aligned(port->ctx, DBK_UNIT_MAX, size);
    if (!grown) return dbk_fail(err, DBK_NO_MEMORY, "cannot append: out of memory");
    if (log->buffer) port->free_aligned(port->ctx, log->buffer);
    log->buffer = grown;
    log->buffer_size = size;
    return DBK_OK;
}

uint64_t dbk_log_put_start(const dbk_log *log, dbk_segment *segment, dbk_log_state *state, uint8_t *at)
{
    dbk_segment *before = dbk_log_active(log);
    dbk_record record = {.type = DBK_RECORD_START, .offset = DBK_SEGMENT_DATA_OFFSET};
    dbk_start start;

    segment->before_seal = before ? before->seal_offset : 0;
    dbk_state_start(state, segment->before_seal, &start);
    record.payload_bytes = dbk_start_encode(&start, at + DBK_RECORD_HEADER_SIZE);
    record.first_position = state->position + 1;
    record.durable_upto = state->position;
    record.previous = state->previous;
    record.received_ms = state->received_ms;
    record.segment = segment->header.number;
    record.salt = segment->header.salt;
    dbk_range_head(&state->range, record.head);
    uint64_t bytes = dbk_record_bytes(record.payload_bytes, segment->header.unit);
    dbk_record_finish(&record, log->options.store_id, at, bytes);
    state->previous = record.checksum;
    segment->first_position = record.first_position;
    segment->last_position = state->position;
    segment->end = DBK_SEGMENT_DATA_OFFSET;
    return bytes;
}

static dbk_result write_seal(dbk_log *log, dbk_segment *segment, dbk_error *err)
{
    uint64_t bytes = dbk_record_bytes(DBK_SEAL_PAYLOAD_SIZE, segment->header.unit);
    dbk_seal seal = {segment->first_position, segment->last_position + 1 - segment->first_position,
                     segment->records + 1};
    dbk_record record = {.type = DBK_RECORD_SEAL, .payload_bytes = DBK_SEAL_PAYLOAD_SIZE};

    if (bytes > segment->header.size - segment->end) /* no writer of this format leaves less */
        return dbk_fail(err, DBK_CORRUPT, "cannot end segment '%s': its records leave no room for the seal",
                        segment->name);
    dbk_result rc = dbk_log_buffer(log, (size_t)bytes, err);
    if (rc != DBK_OK) return rc;
    dbk_seal_encode(&seal, log->buffer + DBK_RECORD_HEADER_SIZE);
    record.first_position = log->state.position + 1;
    record.durable_upto = log->state.position;
    record.previous = log->state.previous;
    record.received_ms = log->state.received_ms;
    record.segment = segment->header.number;
    record.salt = segment->header.salt;
    record.offset = segment->end;
    dbk_range_head(&log->state.range, record.head);
    dbk_record_finish(&record, log->options.store_id, log->buffer, bytes);
    dbk_tail tail = {segment, &log->write_file, &log->direct, segment->end};
    rc = dbk_tail_write(log, tail, log->buffer, (size_t)bytes, err);
    if (rc != DBK_OK) return rc;
    dbk_log_lock(log);
    segment->seal_offset = segment->end;
    segment->end += bytes;
    segment->records++;
    memcpy(segment->head, record.head, sizeof(segment->head));
    log->state.previous = record.checksum;
    dbk_log_unlock(log);
    return DBK_OK;
}

/* Room for a start with all peaks, the batch and the seal. */
static uint64_t size_for(const dbk_log *log, const dbk_segment *active, uint64_t need)
{
    uint64_t unit = log->unit,
             least = DBK_SEGMENT_DATA_OFFSET + dbk_record_bytes(DBK_START_PAYLOAD_MAX, (uint32_t)unit) +
                     dbk_round_up(need, unit) + dbk_record_bytes(DBK_SEAL_PAYLOAD_SIZE, (uint32_t)unit);
    uint64_t size = dbk_segment_next_size(&log->options, active->header.size);

    return least > size ? dbk_round_up(least, DBK_UNIT_MAX) : size;
}

/* A prepared segment that is too small is made anew, larger, under the same name. */
static dbk_result ready_next(dbk_log *log, uint64_t need, dbk_error *err)
{
    dbk_segment *active = dbk_log_active(log), *next = dbk_background_take_next(log);
    uint64_t size = size_for(log, active, need);
    dbk_result rc = DBK_OK;

    if (next && next->header.size < size) {
        dbk_segment_free(log->port, next);
        next = NULL;
    }
    if (!next) rc = dbk_segment_prepare(log, active->header.number + 1, size, &next, err);
    if (rc != DBK_OK) return rc;
    next->table = dbk_index_table_new(log->port, log->options.store_id, log->state.position + 1);
    rc = next->table ? dbk_tail_open(log, next, &log->pending_file, &log->pending_direct, err)
                     : dbk_fail(err, DBK_NO_MEMORY, "cannot begin a segment: out of memory");
    if (rc == DBK_OK) {
        log->pending = next;
        return DBK_OK;
    }
    dbk_segment_free(log->port, next);
    return rc;
}

static void drop_pending(dbk_log *log)
{
    if (log->pending_file) log->port->close_file(log->port->ctx, log->pending_file);
    dbk_segment_free(log->port, log->pending);
    log->pending_file = NULL;
    log->pending = NULL;
}

dbk_result dbk_log_roll(dbk_log *log, uint64_t need, dbk_error *err)
{
    dbk_segment *active = dbk_log_active(log);

    if (log->pending && log->pending->header.size < size_for(log, active, need)) {
        log->dirty_bytes = 0; /* it is made anew */
        drop_pending(log);
    }
    dbk_result rc = dbk_log_reserve_segment(log, err);
    if (rc == DBK_OK && !log->pending) rc = ready_next(log, need, err);
    if (rc != DBK_OK || active->seal_offset) return rc;
    rc = write_seal(log, active, err);
    if (rc == DBK_OK) return DBK_OK;
    /* The tail is the active segment again; the prepared one waits. */
    dbk_segment *next = log->pending;
    dbk_index_table_free(next->table);
    next->table = NULL;
    log->pending = NULL;
    drop_pending(log);
    dbk_log_lock(log);
    log->next = next;
    dbk_log_unlock(log);
    return rc;
}

void dbk_log_activate(dbk_log *log)
{
    assert(log->segment_count < log->segment_room);
    log->segments[log->segment_count++] = log->pending;
    log->pending = NULL;
}
