/* Entries by stream, by type, from a time, either way. Streams are walked by the index; types skip the
 * blocks of packed segments that say they have none; the rest is walked piece by piece. */
#include "log/piece.h"

struct dbk_log_selection {
    dbk_log *log;
    bool reverse, by_stream, by_type;
    dbk_buffer stream, type;
    uint64_t type_hash;
    uint64_t first, last; /* still to be looked at; nothing when first > last */
    dbk_buffer positions; /* of a stream, forward: highest first */
    dbk_piece *piece;
};

dbk_result dbk_log_find_received(dbk_log *log, int64_t received_ms, uint64_t *position, dbk_error *err)
{
    uint64_t low = 1, high = dbk_log_position(log) + 1; /* [1, low) earlier, [high, …) not */

    while (low < high) {
        uint64_t middle = low + (high - low) / 2;
        dbk_piece *piece;
        dbk_result rc = dbk_piece_take(log, middle, &piece, err);
        if (rc != DBK_OK) return rc;
        if (piece->entries[middle - piece->first].received_ms < received_ms) {
            low = middle + 1;
        } else {
            high = middle;
        }
        dbk_piece_give(log, piece);
    }
    *position = low;
    return DBK_OK;
}

/* The index walks a stream downwards. */
static dbk_result gather(dbk_log_selection *selection, dbk_error *err)
{
    for (uint64_t before = selection->last + 1, found = 0;; before = found) {
        dbk_result rc = dbk_log_find_stream(selection->log, dbk_buffer_slice(&selection->stream), before, &found, err);
        if (rc != DBK_OK) return rc;
        if (found == 0 || found < selection->first) break;
        dbk_buffer_put_u64(&selection->positions, found);
        if (found == 1) break; /* 0 as a bound would mean none */
    }
    return selection->positions.failed ? dbk_fail(err, DBK_NO_MEMORY, "cannot read a stream: out of memory") : DBK_OK;
}

static dbk_result begin(dbk_log_selection *selection, const dbk_log_wish *wish, dbk_error *err)
{
    uint64_t end = dbk_log_position(selection->log), since = 1;
    dbk_result rc = DBK_OK;

    dbk_buffer_put_slice(&selection->stream, wish->stream);
    dbk_buffer_put_slice(&selection->type, wish->type);
    if (selection->stream.failed || selection->type.failed)
        return dbk_fail(err, DBK_NO_MEMORY, "cannot read the log: out of memory");
    selection->reverse = wish->reverse;
    selection->by_stream = wish->stream.size > 0;
    selection->by_type = wish->type.size > 0;
    selection->type_hash = dbk_pack_type_hash(selection->log->options.store_id, wish->type);
    selection->last = wish->last == 0 || wish->last > end ? end : wish->last;
    if (wish->since_ms) rc = dbk_log_find_received(selection->log, wish->since_ms, &since, err);
    selection->first = wish->first > since ? wish->first : since;
    if (rc == DBK_OK && selection->by_stream && !selection->reverse && selection->first <= selection->last) {
        rc = gather(selection, err);
    }
    return rc;
}

dbk_result dbk_log_selection_open(dbk_log *log, const dbk_log_wish *wish, dbk_log_selection **out, dbk_error *err)
{
    dbk_log_selection *selection = dbk_alloc_zero(log->port, 1, sizeof(*selection));

    *out = NULL;
    if (!selection) return dbk_fail(err, DBK_NO_MEMORY, "cannot read the log: out of memory");
    selection->log = log;
    dbk_buffer_init(&selection->stream, log->port);
    dbk_buffer_init(&selection->type, log->port);
    dbk_buffer_init(&selection->positions, log->port);
    dbk_result rc = begin(selection, wish, err);
    if (rc == DBK_OK) {
        *out = selection;
    } else {
        dbk_log_selection_close(selection);
    }
    return rc;
}

void dbk_log_selection_close(dbk_log_selection *selection)
{
    if (!selection) return;
    dbk_piece_give(selection->log, selection->piece);
    dbk_buffer_release(&selection->stream);
    dbk_buffer_release(&selection->type);
    dbk_buffer_release(&selection->positions);
    dbk_free(selection->log->port, selection);
}

/* The next position of the stream; 0: there is no other. */
static dbk_result step_stream(dbk_log_selection *selection, uint64_t *position, dbk_error *err)
{
    *position = 0;
    if (!selection->reverse) {
        if (selection->positions.size == 0) return DBK_OK;
        selection->positions.size -= 8;
        *position = dbk_load_u64(selection->positions.data + selection->positions.size);
        return DBK_OK;
    }
    if (selection->first > selection->last) return DBK_OK;
    dbk_result rc =
        dbk_log_find_stream(selection->log, dbk_buffer_slice(&selection->stream), selection->last + 1, position, err);
    if (rc != DBK_OK) return rc;
    if (*position < selection->first) *position = 0;
    selection->last = *position ? *position - 1 : 0;
    return DBK_OK;
}

/* Over the blocks of one packed segment that have no entry of the type. */
static void skip_blocks(const dbk_image *image, uint64_t type_hash, bool reverse, uint64_t *at)
{
    const dbk_pack_head *head = &image->head;
    uint32_t index = dbk_pack_block_of(image->blocks, head->block_count, (uint32_t)(*at - head->first_position));

    while (!dbk_image_may_have_type(image, index, type_hash)) {
        if (reverse) {
            *at = head->first_position + image->blocks[index].delta - 1;
            while (index > 0 && image->blocks[index].delta + head->first_position > *at) index--;
            if (*at < head->first_position) return;
        } else {
            index++;
            *at =
                index < head->block_count ? head->first_position + image->blocks[index].delta : head->last_position + 1;
            if (*at > head->last_position) return;
        }
    }
}

static dbk_result skip_untyped(dbk_log_selection *selection, uint64_t *at, dbk_error *err)
{
    dbk_log *log = selection->log;

    while (*at >= selection->first && *at <= selection->last) {
        dbk_segment *segment = dbk_log_segment_of(log, *at);
        uint64_t before = *at;
        dbk_image *image;
        if (!segment) return DBK_OK;
        dbk_result rc = dbk_segment_pin(log, segment, &image, err);
        if (rc != DBK_OK) return rc;
        if (image->packed) skip_blocks(image, selection->type_hash, selection->reverse, at);
        dbk_segment_unpin(log, image);
        if (*at == before) return DBK_OK;
    }
    return DBK_OK;
}

static bool holds(const dbk_piece *piece, uint64_t position)
{
    return piece && position >= piece->first && position - piece->first < piece->count;
}

/* The next position in the range, as far as it is worth a look. */
static dbk_result step(dbk_log_selection *selection, uint64_t *position, dbk_error *err)
{
    uint64_t at = selection->reverse ? selection->last : selection->first;

    *position = 0;
    if (selection->first > selection->last) return DBK_OK;
    if (selection->by_type && !holds(selection->piece, at)) {
        dbk_result rc = skip_untyped(selection, &at, err);
        if (rc != DBK_OK) return rc;
    }
    if (at >= selection->first && at <= selection->last) *position = at;
    if (selection->reverse) {
        selection->last = at - 1;
    } else {
        selection->first = at + 1;
    }
    if (*position == 0) selection->last = 0; /* beyond the range */
    return DBK_OK;
}

static dbk_result has_type(const dbk_log_selection *selection, dbk_slice origin, bool *has, dbk_error *err)
{
    dbk_entry entry;
    dbk_event event;

    *has = false;
    dbk_result rc = dbk_entry_decode(origin, &entry, err);
    if (rc != DBK_OK) return rc;
    dbk_slice rest = entry.events;
    while (!*has && dbk_event_next(&rest, &event))
        *has = dbk_slice_equal(event.type, dbk_buffer_slice(&selection->type));
    return DBK_OK;
}

dbk_result dbk_log_selection_next(dbk_log_selection *selection, uint64_t *position, int64_t *received_ms,
                                  dbk_slice *origin, dbk_error *err)
{
    for (;;) {
        uint64_t at;
        bool wanted = true;
        dbk_result rc = selection->by_stream ? step_stream(selection, &at, err) : step(selection, &at, err);
        if (rc != DBK_OK) return rc;
        if (at == 0) return DBK_END;
        if (!holds(selection->piece, at)) {
            dbk_piece_give(selection->log, selection->piece);
            selection->piece = NULL;
            rc = dbk_piece_take(selection->log, at, &selection->piece, err);
            if (rc != DBK_OK) return rc;
        }
        *origin = dbk_piece_origin(selection->piece, at);
        if (selection->by_type) rc = has_type(selection, *origin, &wanted, err);
        if (rc != DBK_OK) return rc;
        if (!wanted) continue;
        *position = at;
        if (received_ms) *received_ms = selection->piece->entries[at - selection->piece->first].received_ms;
        return DBK_OK;
    }
}
