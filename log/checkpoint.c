/* The checkpoint: what opening would compute of the active segment, kept beside it, so that opening
 * reads on from there. It is a run of the index over the segment's entries so far, whose header has
 * a note with the state behind them (docs/format/log.md).
 *
 * It is a cache that proves itself: the record it was made behind must stand in its place with the
 * checksum and head it names, and the peaks it carries must give that head. A record's checksum
 * stands for all records before it, so a checkpoint of another history, or of what was cut since,
 * names a record that is not there. The writer believes one only behind a clean end: after a crash
 * every record of the segment is read again. What is in front of the record was durable when the
 * checkpoint was written, and is checked when it is read, as in a sealed segment. */
#include "log/load.h"

enum { SAVED_PART = 8 }; /* a new one is due once this part of the records is behind the last */

void dbk_checkpoint_put_note(const dbk_log_state *state, uint64_t end, uint64_t records, dbk_buffer *note)
{
    dbk_buffer_put_u64(note, end);
    dbk_buffer_put_u64(note, records);
    dbk_buffer_put_u64(note, state->previous);
    dbk_buffer_put_u64(note, (uint64_t)state->received_ms);
    dbk_buffer_put_u64(note, state->hlc);
    dbk_buffer_put_u32(note, state->epoch);
    dbk_buffer_put_u32(note, state->ordered);
    dbk_buffer_put(note, state->top, sizeof(state->top));
    dbk_buffer_put_u64(note, state->range.count);
    dbk_buffer_put_u32(note, state->range.peak_count);
    for (uint32_t i = 0; i < state->range.peak_count; i++) dbk_buffer_put(note, state->range.peaks[i], DBK_LEAF_SIZE);
}

/* A note has room for all of it, with as many peaks as a range can have. */
static void take_bytes(dbk_reader *reader, void *out, size_t size)
{
    dbk_slice taken = dbk_reader_take(reader, size);

    if (dbk_never(!taken.data)) return;
    memcpy(out, taken.data, size);
}

/* The state and place that a note speaks of; false: no writer wrote it. */
static bool parse_note(const uint8_t *note, dbk_log_state *state, dbk_segment *place)
{
    dbk_reader reader = dbk_reader_of(dbk_slice_of(note, DBK_INDEX_NOTE_BYTES));

    place->end = dbk_reader_u64(&reader);
    place->records = dbk_reader_u64(&reader);
    state->previous = dbk_reader_u64(&reader);
    state->received_ms = (int64_t)dbk_reader_u64(&reader);
    state->hlc = dbk_reader_u64(&reader);
    state->epoch = dbk_reader_u32(&reader);
    uint32_t ordered = dbk_reader_u32(&reader);
    take_bytes(&reader, state->top, sizeof(state->top));
    state->ordered = ordered == 1;
    state->range.count = dbk_reader_u64(&reader);
    state->range.peak_count = dbk_reader_u32(&reader);
    if (ordered > 1 || state->range.peak_count > 64 ||
        state->range.peak_count != (uint32_t)__builtin_popcountll(state->range.count))
        return false;
    for (uint32_t i = 0; i < state->range.peak_count; i++) take_bytes(&reader, state->range.peaks[i], DBK_LEAF_SIZE);
    state->position = state->range.count;
    return !reader.failed;
}

/* Whether the note fits the run that it came with, and the peaks give the run's head. */
static bool is_consistent(const dbk_log_state *state, const dbk_segment *place, const dbk_index_source *source,
                          const dbk_index_batch *last)
{
    uint8_t head[DBK_LEAF_SIZE];

    dbk_range_head(&state->range, head);
    return state->position == source->last_position && last && place->records >= 2 &&
           last->offset > DBK_SEGMENT_DATA_OFFSET && (uint64_t)last->offset + last->bytes == place->end &&
           memcmp(head, source->head, sizeof(head)) == 0;
}

/* The writer goes on from one only where the last close was orderly and at or behind it. */
static bool may_be_used(const dbk_log *log, const dbk_log_state *state, const dbk_segment *segment,
                        const dbk_segment *place)
{
    const dbk_watermark *mark = &log->mark;

    if (place->end > segment->header.size) return false;
    if (log->mark_valid && mark->segment == segment->header.number && mark->offset == place->end &&
        mark->checksum != state->previous)
        return false;
    if (log->options.read_only) return true;
    return log->mark_valid && mark->clean && mark->segment == segment->header.number && mark->offset >= place->end &&
           mark->position >= state->position;
}

/* The highest key that the note names is not below the last entry's, and is that where all are in order; the clock is
 * the one in it. */
static bool is_clock_right(const dbk_log_state *state, const dbk_record *record, const uint8_t *whole)
{
    dbk_slice rest = dbk_slice_of(whole + DBK_RECORD_HEADER_SIZE, record->payload_bytes), origin = {NULL, 0};
    uint8_t key[DBK_ORDER_KEY_SIZE];
    dbk_entry entry;

    while (dbk_record_next_origin(&rest, &origin)) continue;
    if (dbk_entry_decode(origin, &entry, NULL) != DBK_OK) return false;
    dbk_entry_order_key(&entry, key);
    int order = memcmp(key, state->top, sizeof(key));
    return (state->ordered ? order == 0 : order <= 0) && state->epoch == dbk_load_be32(state->top) &&
           state->hlc == dbk_load_be64(state->top + 4);
}

/* The record that the checkpoint was made behind stands in its place, sound in all its parts. */
static dbk_result look_at_record(dbk_log *log, dbk_segment *segment, const dbk_index_batch *last,
                                 const dbk_log_state *state, const dbk_index_source *source, bool *there,
                                 dbk_error *err)
{
    dbk_expect expect = {last->first_position, 0, true};
    dbk_head head = DBK_HEAD_BAD;
    dbk_scanner scanner;
    dbk_record record;
    const uint8_t *whole;
    dbk_image *image;
    uint64_t bytes = 0;

    dbk_result rc = dbk_segment_pin(log, segment, &image, err);
    if (rc != DBK_OK) return rc;
    dbk_scanner_init(&scanner, image, segment);
    scanner.chunk = DBK_UNIT_MAX;
    rc = dbk_scan_record(&scanner, last->offset, &expect, &record, &whole, &bytes, &head, err);
    *there = rc == DBK_OK && head == DBK_HEAD_RECORD && record.type == DBK_RECORD_ENTRIES && bytes == last->bytes &&
             record.checksum == state->previous && record.received_ms == state->received_ms &&
             record.first_position + record.count - 1 == state->position &&
             memcmp(record.head, source->head, sizeof(record.head)) == 0 && is_clock_right(state, &record, whole);
    dbk_scanner_release(&scanner);
    dbk_segment_unpin(log, image);
    return rc;
}

static dbk_result go_on(dbk_log *log, dbk_segment *segment, const dbk_log_state *state, const dbk_segment *place,
                        const dbk_index_source *source, dbk_index_run *run, dbk_error *err)
{
    dbk_index_table *table = dbk_index_table_new(log->port, log->options.store_id, state->position + 1);

    if (!table) return dbk_fail(err, DBK_NO_MEMORY, "cannot index '%s': out of memory", segment->name);
    dbk_index_table_free(segment->table);
    segment->table = table;
    segment->prefix = run;
    segment->prefix_last = segment->last_position = state->position;
    segment->end = place->end;
    segment->records = place->records;
    memcpy(segment->top, source->top, sizeof(segment->top));
    segment->ordered = source->ordered;
    log->saved_segment = segment->header.number;
    log->saved_end = place->end;
    log->state = *state;
    return DBK_OK;
}

static dbk_result judge(dbk_log *log, dbk_segment *segment, const uint8_t *note, const dbk_index_source *source,
                        dbk_index_run *run, bool *used, dbk_error *err)
{
    dbk_log_state *state = log->scratch;
    dbk_segment place = {0};

    dbk_state_init(state);
    if (!parse_note(note, state, &place)) return DBK_OK;
    const dbk_index_batch *last = dbk_index_run_batch(run, source->last_position);
    if (!is_consistent(state, &place, source, last) || !may_be_used(log, state, segment, &place)) return DBK_OK;
    dbk_result rc = look_at_record(log, segment, last, state, source, used, NULL);
    if (rc != DBK_OK) *used = false; /* who reads the segment meets it again, and tells */
    return *used ? go_on(log, segment, state, &place, source, run, err) : DBK_OK;
}

dbk_result dbk_checkpoint_use(dbk_log *log, dbk_error *err)
{
    dbk_segment *segment = dbk_log_active(log);
    dbk_index_source expect, found;
    dbk_index_run *run = NULL;
    uint8_t note[DBK_INDEX_NOTE_BYTES];
    bool used = false;

    dbk_segment_source(segment, &expect);
    expect.last_position = 0;
    expect.note_out = note;
    expect.page_limit = log->options.read_only ? DBK_READER_PAGES_KEPT : 0;
    if (dbk_index_run_open(log->port, log->dir, DBK_CHECKPOINT_NAME, log->options.store_id, &expect, &found, &run,
                           NULL) != DBK_OK)
        return DBK_OK; /* the records say the same */
    dbk_result rc = judge(log, segment, note, &found, run, &used, err);
    if (rc != DBK_OK || !used) dbk_index_run_close(run);
    return rc;
}

bool dbk_checkpoint_due(dbk_log *log)
{
    dbk_log_lock(log);
    const dbk_segment *active = dbk_log_active(log);
    uint64_t from = log->saved_segment == active->header.number ? log->saved_end : DBK_SEGMENT_DATA_OFFSET;
    bool due = !active->seal_offset && active->last_position >= active->first_position &&
               active->end - from >= log->options.checkpoint_bytes &&
               (active->end - from) * SAVED_PART >= active->end - DBK_SEGMENT_DATA_OFFSET;
    dbk_log_unlock(log);
    return due;
}

static dbk_result write_run(dbk_log *log, const dbk_segment *segment, const dbk_log_state *state,
                            const dbk_index_table *table, dbk_error *err)
{
    dbk_index_source source;
    dbk_buffer note;

    dbk_buffer_init(&note, log->port);
    dbk_segment_source(segment, &source);
    dbk_range_head(&state->range, source.head);
    dbk_checkpoint_put_note(state, segment->end, segment->records, &note);
    source.note = dbk_buffer_slice(&note);
    dbk_result rc = note.failed ? dbk_fail(err, DBK_NO_MEMORY, "cannot write '%s': out of memory", DBK_CHECKPOINT_NAME)
                                : dbk_index_run_write(log->port, log->dir, DBK_CHECKPOINT_NAME, table, &source, err);
    dbk_buffer_release(&note);
    if (rc != DBK_OK) return rc;
    dbk_log_lock(log);
    log->saved_segment = segment->header.number;
    log->saved_end = segment->end;
    dbk_log_unlock(log);
    return DBK_OK;
}

/* The records in front of `place->end` are durable and do not change any more. */
static dbk_result write_from_file(dbk_log *log, dbk_segment *segment, dbk_segment *place, dbk_error *err)
{
    dbk_log_state *state = dbk_alloc(log->port, sizeof(*state));
    dbk_segment totals = {.ordered = true};
    dbk_index_table *table = NULL;

    if (!state) return dbk_fail(err, DBK_NO_MEMORY, "cannot write '%s': out of memory", DBK_CHECKPOINT_NAME);
    dbk_result rc = dbk_load_part(log, segment, place->end, &totals, state, &table, err);
    memcpy(place->top, totals.top, sizeof(place->top));
    place->ordered = totals.ordered;
    if (rc == DBK_OK) rc = write_run(log, place, state, table, err);
    dbk_index_table_free(table);
    dbk_free(log->port, state);
    return rc;
}

dbk_result dbk_checkpoint_save(dbk_log *log, bool from_file, dbk_error *err)
{
    dbk_log_lock(log);
    dbk_segment *segment = dbk_log_active(log);
    dbk_segment place = *segment;
    dbk_log_unlock(log);

    if (place.seal_offset) return DBK_OK; /* its run comes */
    return from_file ? write_from_file(log, segment, &place, err)
                     : write_run(log, segment, &log->state, segment->table, err);
}
