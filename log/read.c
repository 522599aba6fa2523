/* Reading single entries: position to segment, segment to record or block, that to entry. */
#include "log/piece.h"

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

dbk_result dbk_log_bad_record(const dbk_segment *segment, uint64_t offset, uint64_t first, uint64_t last,
                              dbk_error *err)
{
    dbk_fail(err, DBK_CORRUPT, "segment '%s' is damaged at offset %llu: positions %llu to %llu cannot be read",
             segment->name, (unsigned long long)offset, (unsigned long long)first, (unsigned long long)last);
    dbk_error_hint(err, "verify the log; entries before and after the damage can be salvaged");
    return DBK_CORRUPT;
}

/* Header of the record of a plain file that a batch of the index stands for. */
static dbk_result read_header(dbk_log *log, const dbk_segment *segment, dbk_image *image, const dbk_index_batch *batch,
                              dbk_record *record, dbk_error *err)
{
    uint8_t header[DBK_RECORD_HEADER_SIZE];
    dbk_unpacker *unpacker = NULL;
    size_t got = 0;

    dbk_result rc = dbk_image_read(image, &unpacker, batch->offset, header, sizeof(header), &got, err);
    if (rc != DBK_OK) return rc;
    if (got == sizeof(header) && dbk_record_decode(header, log->options.store_id, record) &&
        record->first_position == batch->first_position && record->salt == segment->header.salt &&
        record->offset == batch->offset && record->segment == segment->header.number) {
        return DBK_OK;
    }
    return dbk_log_bad_record(segment, batch->offset, batch->first_position, batch->first_position, err);
}

dbk_result dbk_log_record_of(dbk_log *log, dbk_segment *segment, uint64_t position, dbk_record *record, dbk_error *err)
{
    dbk_index_batch batch;
    dbk_image *image;

    dbk_result rc = dbk_segment_pin(log, segment, &image, err);
    if (rc != DBK_OK) return rc;
    if (image->packed) {
        dbk_unpacker *unpacker = dbk_log_take_unpacker(log);
        rc = dbk_image_find_record(image, &unpacker, position, record, err);
        dbk_log_give_unpacker(log, unpacker);
    } else {
        rc = dbk_log_batch_of(log, segment, position, &batch, err);
        if (rc == DBK_OK) rc = read_header(log, segment, image, &batch, record, err);
    }
    dbk_segment_unpin(log, image);
    return rc;
}

dbk_result dbk_log_read(dbk_log *log, uint64_t position, dbk_buffer *out, int64_t *received_ms, dbk_error *err)
{
    dbk_piece *piece;

    dbk_result rc = dbk_piece_take(log, position, &piece, err);
    if (rc != DBK_OK) return rc;
    dbk_buffer_clear(out);
    dbk_buffer_put_slice(out, dbk_piece_origin(piece, position));
    if (received_ms) *received_ms = piece->entries[position - piece->first].received_ms;
    dbk_piece_give(log, piece);
    return out->failed ? dbk_fail(err, DBK_NO_MEMORY, "cannot read an entry: out of memory") : DBK_OK;
}
