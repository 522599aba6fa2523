/* What a log knows at its end: position, head, highest order key, clock. Entry by entry it grows the same way when a
 * batch is appended, when the log is opened and when it is verified; the head that a batch bears has to come out. */
#include "log/internal.h"

#include <assert.h>

void dbk_state_init(dbk_log_state *state)
{
    memset(state, 0, sizeof(*state));
    state->ordered = true;
    dbk_range_init(&state->range);
}

void dbk_state_note_key(const dbk_entry *entry, uint8_t top[DBK_ORDER_KEY_SIZE], bool *ordered)
{
    uint8_t key[DBK_ORDER_KEY_SIZE];

    dbk_entry_order_key(entry, key);
    if (memcmp(key, top, sizeof(key)) > 0) {
        memcpy(top, key, sizeof(key));
    } else {
        *ordered = false;
    }
}

void dbk_state_add(dbk_log_state *state, const dbk_entry *entry, dbk_slice origin)
{
    uint8_t leaf[DBK_LEAF_SIZE];

    dbk_entry_leaf(origin, leaf);
    dbk_range_add(&state->range, leaf);
    dbk_state_add_fields(state, entry);
}

void dbk_state_add_fields(dbk_log_state *state, const dbk_entry *entry)
{
    dbk_state_note_key(entry, state->top, &state->ordered);
    if (entry->epoch > state->epoch || (entry->epoch == state->epoch && entry->hlc > state->hlc)) {
        state->epoch = entry->epoch;
        state->hlc = entry->hlc;
    }
    state->position++;
}

void dbk_state_begin(dbk_log_state *state, const dbk_record *record, const dbk_start *start)
{
    state->position = record->first_position - 1;
    state->previous = record->checksum;
    state->received_ms = record->received_ms;
    state->epoch = start->epoch;
    state->hlc = start->hlc;
    state->ordered = start->ordered;
    memcpy(state->top, start->top, sizeof(state->top));
    state->range = start->range;
}

void dbk_state_start(const dbk_log_state *state, uint64_t seal_offset, dbk_start *start)
{
    memset(start, 0, sizeof(*start));
    start->seal_offset = seal_offset;
    start->epoch = state->epoch;
    start->hlc = state->hlc;
    start->ordered = state->ordered;
    memcpy(start->top, state->top, sizeof(start->top));
    start->range = state->range;
}

static dbk_result take_entries(dbk_log_state *state, dbk_segment *segment, dbk_index_table *table,
                               const dbk_record *record, const uint8_t *whole, dbk_error *err)
{
    dbk_slice rest = dbk_slice_of(whole + DBK_RECORD_HEADER_SIZE, record->payload_bytes), origin;

    for (uint32_t i = 0; i < record->count; i++) {
        dbk_entry entry;
        if (!dbk_record_next_origin(&rest, &origin)) {
            return dbk_fail(err, DBK_CORRUPT, "the batch holds fewer entries than it counts");
        }
        dbk_result rc = dbk_entry_decode(origin, &entry, err);
        if (rc != DBK_OK) {
            return dbk_error_wrap(err, rc, "position %llu", (unsigned long long)(state->position + 1));
        }
        if (table) rc = dbk_index_table_add(table, state->position + 1, &entry, err);
        if (rc != DBK_OK) return rc;
        dbk_state_add(state, &entry, origin);
        dbk_state_note_key(&entry, segment->top, &segment->ordered);
    }
    if (rest.size == 0) return DBK_OK;
    return dbk_fail(err, DBK_CORRUPT, "the batch holds more bytes than its entries");
}

dbk_result dbk_state_take(dbk_log_state *state, dbk_segment *segment, dbk_index_table *table, const dbk_record *record,
                          const uint8_t *whole, uint64_t bytes, dbk_error *err)
{
    uint8_t head[DBK_LEAF_SIZE];
    dbk_index_batch batch = {record->first_position, (uint32_t)record->offset, (uint32_t)bytes, record->received_ms};

    assert(record->first_position == state->position + 1);
    dbk_result rc = take_entries(state, segment, table, record, whole, err);
    if (rc == DBK_OK && table) rc = dbk_index_table_add_batch(table, &batch, err);
    if (rc != DBK_OK) return rc;
    dbk_range_head(&state->range, head);
    if (memcmp(head, record->head, sizeof(head)) != 0) {
        return dbk_fail(err, DBK_CORRUPT, "the head of the batch is not that of its entries");
    }
    state->previous = record->checksum;
    state->received_ms = record->received_ms;
    return DBK_OK;
}
