/* A walk over records in large reads. What it walks over is durable and never changes, so it needs
 * the lock only where it enters a segment. */
#include "log/cells_read.h"
#include "log/internal.h"

struct dbk_log_cursor {
    dbk_log *log;
    uint64_t position, last; /* the next to give, and the last of all */
    dbk_segment *segment;    /* whose image is pinned; NULL: to be entered */
    dbk_image *image;
    dbk_scanner scanner;
    uint64_t offset; /* of the next record */
    dbk_expect expect;
    dbk_record record;
    dbk_slice rest;      /* of the present batch */
    uint64_t in_batch;   /* position of the next origin in rest */
    dbk_cell_walk cells; /* in place of the scanner, where the image has cells */
    bool celled;
};

dbk_result dbk_log_cursor_open(dbk_log *log, uint64_t first, uint64_t last, dbk_log_cursor **out, dbk_error *err)
{
    uint64_t end = dbk_log_position(log);
    dbk_log_cursor *cursor = dbk_alloc_zero(log->port, 1, sizeof(*cursor));

    *out = cursor;
    if (!cursor) return dbk_fail(err, DBK_NO_MEMORY, "cannot walk through the log: out of memory");
    cursor->log = log;
    cursor->position = first ? first : 1;
    cursor->last = last == 0 || last > end ? end : last;
    return DBK_OK;
}

static void leave(dbk_log_cursor *cursor)
{
    if (cursor->segment) dbk_segment_unpin(cursor->log, cursor->image);
    cursor->segment = NULL;
    cursor->scanner.filled = 0;
    cursor->celled = false;
}

/* Where the walk through the segment begins: the record with the position, or one before it. */
static dbk_result find_begin(dbk_log_cursor *cursor, dbk_segment *segment, uint64_t *first, dbk_error *err)
{
    dbk_index_batch batch;

    if (cursor->image->packed) {
        dbk_image_seek(cursor->image, cursor->position, &cursor->offset, first);
        return DBK_OK;
    }
    dbk_result rc = dbk_log_batch_of(cursor->log, segment, cursor->position, &batch, err);
    if (rc != DBK_OK) return rc;
    cursor->offset = batch.offset;
    *first = batch.first_position;
    return DBK_OK;
}

static dbk_result enter(dbk_log_cursor *cursor, dbk_error *err)
{
    dbk_log *log = cursor->log;
    dbk_segment *segment = dbk_log_segment_of(log, cursor->position);
    uint64_t first = 0;

    if (dbk_never(!segment)) { /* it was within the log when the cursor was opened, and a log does not become shorter */
        return dbk_fail(err, DBK_CORRUPT, "no segment has position %llu", (unsigned long long)cursor->position);
    }
    dbk_result rc = dbk_segment_pin(log, segment, &cursor->image, err);
    if (rc != DBK_OK) return rc;
    cursor->segment = segment;
    cursor->celled = dbk_image_is_celled(cursor->image);
    if (cursor->celled)
        return dbk_cell_walk_begin(&cursor->cells, cursor->image, &cursor->scanner.unpacker, cursor->position, err);
    rc = find_begin(cursor, segment, &first, err);
    if (rc != DBK_OK) return rc;
    dbk_scanner_move(&cursor->scanner, cursor->image, segment);
    if (cursor->offset > segment->header.size) cursor->scanner.header.size = cursor->offset;
    cursor->expect = (dbk_expect){first, 0, true};
    cursor->in_batch = first;
    return DBK_OK;
}

/* The next batch, in the same segment or the one after; or nothing, where that one has cells. */
static dbk_result next_batch(dbk_log_cursor *cursor, dbk_error *err)
{
    const uint8_t *whole;
    uint64_t bytes = 0;
    dbk_head head;

    for (;;) {
        if (!cursor->segment) {
            dbk_result rc = enter(cursor, err);
            if (rc != DBK_OK || cursor->celled) return rc;
        }
        dbk_result rc = dbk_scan_record(&cursor->scanner, cursor->offset, &cursor->expect, &cursor->record, &whole,
                                        &bytes, &head, err);
        if (rc != DBK_OK) return rc;
        if (head != DBK_HEAD_RECORD) {
            return dbk_log_bad_record(cursor->segment, cursor->offset, cursor->expect.position, cursor->expect.position,
                                      err);
        }
        cursor->offset += bytes;
        cursor->expect = (dbk_expect){cursor->expect.position + cursor->record.count, cursor->record.checksum, false};
        if (cursor->record.type == DBK_RECORD_ENTRIES) {
            cursor->rest = dbk_slice_of(whole + DBK_RECORD_HEADER_SIZE, cursor->record.payload_bytes);
            return DBK_OK;
        }
        if (cursor->record.type == DBK_RECORD_SEAL) leave(cursor);
    }
}

/* DBK_NONE: the segment has no more, and is left. */
static dbk_result next_in_cells(dbk_log_cursor *cursor, uint64_t *position, int64_t *received_ms, dbk_slice *origin,
                                dbk_error *err)
{
    int64_t received;

    dbk_result rc = dbk_cell_walk_next(&cursor->cells, &received, origin, err);
    if (rc == DBK_END) {
        if (cursor->position != cursor->image->head.last_position + 1)
            return dbk_image_fail(cursor->image, 0, "its blocks have not all positions", err);
        leave(cursor);
        return DBK_NONE;
    }
    if (rc != DBK_OK) return rc;
    if (position) *position = cursor->position;
    if (received_ms) *received_ms = received;
    cursor->position++;
    return DBK_OK;
}

dbk_result dbk_log_cursor_next(dbk_log_cursor *cursor, uint64_t *position, int64_t *received_ms, dbk_slice *origin,
                               dbk_error *err)
{
    while (cursor->position <= cursor->last) {
        if (cursor->celled) {
            dbk_result rc = next_in_cells(cursor, position, received_ms, origin, err);
            if (rc != DBK_NONE) return rc;
        }
        if (dbk_record_next_origin(&cursor->rest, origin)) {
            if (cursor->in_batch++ < cursor->position) continue;
            if (position) *position = cursor->position;
            if (received_ms) *received_ms = cursor->record.received_ms;
            cursor->position++;
            return DBK_OK;
        }
        cursor->rest = dbk_slice_of(NULL, 0);
        dbk_result rc = next_batch(cursor, err);
        if (rc != DBK_OK) return rc;
    }
    return DBK_END;
}

void dbk_log_cursor_close(dbk_log_cursor *cursor)
{
    if (!cursor) return;
    leave(cursor);
    dbk_scanner_release(&cursor->scanner);
    dbk_cell_walk_release(&cursor->cells);
    dbk_free(cursor->log->port, cursor);
}
