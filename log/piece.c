/* Entries by position, out of either form of a segment, with a cache.
 *
 * Of a plain segment a piece is one record, or a part of it, where outline.c knows a large one; of a packed segment a
 * cell, or a block. A piece is checked when it is made and shared afterwards: holders count under the cache's lock, and
 * one that is dropped while held is freed by its last holder. Reading itself holds no lock of the cache. */
#include "log/piece.h"

#include "log/cells_read.h"

static void lock_cache(dbk_log *log)
{
    log->port->mutex_lock(log->port->ctx, log->cache_lock);
}

static void unlock_cache(dbk_log *log)
{
    log->port->mutex_unlock(log->port->ctx, log->cache_lock);
}

/* Large records that are read for a part of them take turns in the same memory: fresh pages cost as much as reading
 * into them. */
static dbk_piece *take_spare(dbk_log *log, size_t *bytes)
{
    lock_cache(log);
    dbk_piece *piece = log->spare_piece;
    if (piece && piece->bytes >= *bytes) log->spare_piece = NULL;
    else piece = NULL;
    unlock_cache(log);
    if (piece) *bytes = piece->bytes;
    return piece;
}

static void give_spare(dbk_log *log, dbk_piece *piece)
{
    dbk_piece *other = piece;

    lock_cache(log);
    if (piece->bytes <= DBK_PIECE_SPARE_BYTES && (!log->spare_piece || log->spare_piece->bytes < piece->bytes)) {
        other = log->spare_piece;
        log->spare_piece = piece;
    }
    unlock_cache(log);
    dbk_free(log->port, other);
}

static dbk_piece *new_piece(dbk_log *log, uint64_t first, uint32_t count, size_t data_bytes)
{
    size_t head = sizeof(dbk_piece) + (size_t)count * sizeof(dbk_piece_entry), bytes = head + data_bytes;
    dbk_piece *piece = bytes >= DBK_LARGE_RECORD_BYTES ? take_spare(log, &bytes) : NULL;

    if (!piece) piece = dbk_alloc(log->port, bytes);
    if (!piece) return NULL;
    memset(piece, 0, sizeof(*piece));
    piece->first = first;
    piece->count = count;
    piece->bytes = bytes;
    piece->data = (uint8_t *)piece + head;
    return piece;
}

static dbk_result fail_memory(dbk_error *err)
{
    return dbk_fail(err, DBK_NO_MEMORY, "cannot read an entry: out of memory");
}

/* Takes up to `count` entries in front of `end`; how many there were. */
static uint32_t take_entries(dbk_piece *piece, uint32_t from, size_t at, size_t end, uint32_t count,
                             int64_t received_ms)
{
    dbk_slice rest = dbk_slice_of(piece->data + at, end - at), origin;
    uint32_t taken = 0;

    while (taken < count && dbk_record_next_origin(&rest, &origin)) {
        piece->entries[from + taken++] =
            (dbk_piece_entry){(uint32_t)(origin.data - piece->data), (uint32_t)origin.size, received_ms};
    }
    return taken;
}

static bool is_right_record(const dbk_log *log, const dbk_segment *segment, uint64_t offset, uint64_t first,
                            const uint8_t *at, dbk_record *record)
{
    return dbk_record_decode(at, log->options.store_id, record) && record->segment == segment->header.number &&
           record->salt == segment->header.salt && record->offset == offset && record->first_position == first;
}

/* One record of a plain file, whose payload's checksum covers all of it. */
static dbk_result load_record(dbk_log *log, dbk_segment *segment, dbk_image *image, const dbk_index_batch *batch,
                              dbk_piece **out, dbk_error *err)
{
    uint8_t header[DBK_RECORD_HEADER_SIZE];
    dbk_unpacker *unpacker = NULL;
    dbk_record record;
    size_t got = 0;

    dbk_result rc = dbk_image_read(image, &unpacker, batch->offset, header, sizeof(header), &got, err);
    if (rc != DBK_OK) return rc;
    if (got < sizeof(header) || batch->bytes < DBK_RECORD_FRAME_SIZE ||
        !is_right_record(log, segment, batch->offset, batch->first_position, header, &record) ||
        dbk_record_bytes(record.payload_bytes, segment->header.unit) != batch->bytes) {
        return dbk_log_bad_record(segment, batch->offset, batch->first_position, batch->first_position, err);
    }
    dbk_piece *piece = *out = new_piece(log, batch->first_position, record.count, batch->bytes);
    if (!piece) return fail_memory(err);
    rc = dbk_image_read(image, &unpacker, batch->offset, piece->data, batch->bytes, &got, err);
    if (rc != DBK_OK) return rc;
    if (got == batch->bytes && memcmp(header, piece->data, sizeof(header)) == 0 &&
        dbk_record_sound(&record, log->options.store_id, piece->data, batch->bytes) &&
        take_entries(piece, 0, DBK_RECORD_HEADER_SIZE, DBK_RECORD_HEADER_SIZE + (size_t)record.payload_bytes,
                     record.count, record.received_ms) == record.count) {
        return DBK_OK;
    }
    return dbk_log_bad_record(segment, batch->offset, batch->first_position, batch->first_position, err);
}

/* The entries of a block that begins with a record: of those that are whole in it, and of the last
 * one, where that goes on in the next block. */
static bool take_records(dbk_log *log, dbk_segment *segment, const dbk_pack_block *block, dbk_piece *piece)
{
    uint32_t taken = 0;

    for (size_t at = 0; at + DBK_RECORD_HEADER_SIZE <= block->plain_bytes;) {
        dbk_record record;
        if (!is_right_record(log, segment, block->plain_offset + at, piece->first + taken, piece->data + at, &record))
            return false;
        uint64_t bytes = dbk_record_bytes(record.payload_bytes, segment->header.unit);
        size_t from = at + DBK_RECORD_HEADER_SIZE, end = from + record.payload_bytes;
        if (end > block->plain_bytes) end = block->plain_bytes;
        if (record.type == DBK_RECORD_ENTRIES)
            taken += take_entries(piece, taken, from, end, piece->count - taken, record.received_ms);
        if (bytes > block->plain_bytes - at) break;
        at += (size_t)bytes;
    }
    return taken == piece->count;
}

static bool take_times(const dbk_image *image, const dbk_open_block *block, uint32_t first, dbk_piece *piece)
{
    dbk_times times;
    bool right;

    dbk_times_begin(&times, image, block);
    right = dbk_times_skip(&times, first);
    for (uint32_t i = 0; right && i < piece->count; i++) right = dbk_times_next(&times, &piece->entries[i].received_ms);
    return right;
}

/* Of a block of cells, the one with the position. */
static dbk_result load_cell(dbk_log *log, dbk_segment *segment, dbk_image *image, uint32_t index, uint64_t position,
                            dbk_unpacker *unpacker, dbk_piece **out, dbk_error *err)
{
    const dbk_pack_block *row = &image->blocks[index];
    uint32_t entry = (uint32_t)(position - image->head.first_position) - row->delta;
    dbk_open_block *block;

    dbk_result rc = dbk_image_open_block(image, unpacker, index, &block, err);
    if (rc != DBK_OK) return rc;
    if (entry >= block->front.entry_count)
        return dbk_log_bad_record(segment, row->plain_offset, position, position, err);
    uint32_t number = dbk_block_cell_of(block, entry);
    const dbk_pack_cell *cell = dbk_block_cell(block, number);
    size_t size = dbk_cell_payload(&block->front, cell);
    dbk_piece *piece = *out = new_piece(log, position - (entry - cell->first), cell->count, size);
    if (!piece) return fail_memory(err);
    rc = dbk_image_read_cell(image, unpacker, block, number, piece->data, err);
    if (rc != DBK_OK) return rc;
    bool right =
        take_entries(piece, 0, 0, size, cell->count, 0) == cell->count && take_times(image, block, cell->first, piece);
    return right ? DBK_OK : dbk_log_bad_record(segment, row->plain_offset, position, position, err);
}

static dbk_result load_block(dbk_log *log, dbk_segment *segment, dbk_image *image, uint64_t position, dbk_piece **out,
                             dbk_error *err)
{
    const dbk_pack_head *head = &image->head;
    dbk_unpacker *unpacker = NULL;

    if (position < head->first_position || position > head->last_position)
        return dbk_log_bad_record(segment, 0, position, position, err);
    uint32_t index = dbk_pack_block_of(image->blocks, head->block_count, (uint32_t)(position - head->first_position));
    if (head->celled) {
        unpacker = dbk_log_take_unpacker(log);
        if (!unpacker) unpacker = dbk_unpacker_new(log->port);
        if (!unpacker) return fail_memory(err);
        dbk_result rc = load_cell(log, segment, image, index, position, unpacker, out, err);
        dbk_log_give_unpacker(log, unpacker);
        return rc;
    }
    const dbk_pack_block *block = &image->blocks[index];
    uint32_t end =
        index + 1 < head->block_count ? block[1].delta : (uint32_t)(head->last_position - head->first_position + 1);
    dbk_piece *piece = *out =
        new_piece(log, head->first_position + block->delta, end - block->delta, block->plain_bytes);
    if (!piece) return fail_memory(err);
    unpacker = dbk_log_take_unpacker(log);
    dbk_result rc = dbk_image_read_block(image, &unpacker, index, piece->data, err);
    dbk_log_give_unpacker(log, unpacker);
    if (rc != DBK_OK) return rc;
    bool right = block->continued
                     ? take_entries(piece, 0, 0, block->plain_bytes, piece->count, block->received_ms) == piece->count
                     : take_records(log, segment, block, piece);
    return right ? DBK_OK : dbk_log_bad_record(segment, block->plain_offset, position, position, err);
}

/* A part of a record that was checked whole before; *out stays NULL where it is not what it was: the record as a whole
 * says what is wrong. */
static dbk_result load_part(dbk_log *log, dbk_image *image, const dbk_part_place *place, dbk_piece **out,
                            dbk_error *err)
{
    dbk_piece *piece = new_piece(log, place->first, place->count, place->size);
    dbk_unpacker *unpacker = NULL;
    size_t got = 0;

    if (!piece) return fail_memory(err);
    dbk_result rc = dbk_image_read(image, &unpacker, place->offset, piece->data, place->size, &got, err);
    if (rc == DBK_OK && got == place->size &&
        dbk_checksum(dbk_slice_of(piece->data, place->size), place->first) == place->checksum &&
        take_entries(piece, 0, 0, place->size, place->count, place->received_ms) == place->count) {
        *out = piece;
    } else {
        dbk_free(log->port, piece);
    }
    return rc;
}

/* Of a large record that was just read: its outline is kept, and in place of it only the part with the position. */
static void keep_part(dbk_log *log, uint64_t record_offset, uint64_t position, dbk_piece **whole)
{
    dbk_outline *outline = dbk_outline_new(log, *whole, record_offset);
    dbk_part_place place;

    if (!outline) return;
    bool apart = dbk_outline_place(outline, position, &place);
    lock_cache(log);
    dbk_outline_keep(log, outline);
    unlock_cache(log);
    dbk_piece *part = apart ? new_piece(log, place.first, place.count, place.size) : NULL;
    if (!part) return;
    memcpy(part->data, (*whole)->data + (place.offset - record_offset), place.size);
    (void)take_entries(part, 0, 0, place.size, place.count, place.received_ms);
    give_spare(log, *whole);
    *whole = part;
}

static dbk_result load_plain(dbk_log *log, dbk_segment *segment, dbk_image *image, const dbk_index_batch *batch,
                             uint64_t position, dbk_piece **out, dbk_error *err)
{
    dbk_part_place place;

    lock_cache(log);
    dbk_outlined outlined = dbk_outline_find(log, position, &place);
    unlock_cache(log);
    if (outlined == DBK_OUTLINED_PART) {
        dbk_result rc = load_part(log, image, &place, out, err);
        if (rc != DBK_OK || *out) return rc;
    }
    dbk_result rc = load_record(log, segment, image, batch, out, err);
    if (rc == DBK_OK && outlined != DBK_OUTLINED_WHOLE) keep_part(log, batch->offset, position, out);
    return rc;
}

static dbk_result load(dbk_log *log, dbk_segment *segment, uint64_t position, dbk_piece **out, dbk_error *err)
{
    dbk_index_batch batch;
    dbk_image *image;

    dbk_result rc = dbk_segment_pin(log, segment, &image, err);
    if (rc != DBK_OK) return rc;
    if (image->packed) {
        rc = load_block(log, segment, image, position, out, err);
    } else {
        rc = dbk_log_batch_of(log, segment, position, &batch, err);
        if (rc == DBK_OK) rc = load_plain(log, segment, image, &batch, position, out, err);
    }
    dbk_segment_unpin(log, image);
    return rc;
}

static dbk_piece *find_kept(dbk_log *log, uint64_t position)
{
    dbk_piece *found = NULL;

    lock_cache(log);
    for (size_t i = 0; i < DBK_PIECE_SLOTS && !found; i++) {
        dbk_piece *piece = log->pieces[i];
        if (piece && position >= piece->first && position - piece->first < piece->count) found = piece;
    }
    if (found) {
        found->holders++;
        found->used = ++log->piece_clock;
    }
    unlock_cache(log);
    return found;
}

/* Under the cache's lock: the slot of the piece unused for longest, or a free one. */
static size_t oldest_slot(const dbk_log *log)
{
    size_t oldest = 0;

    for (size_t i = 0; i < DBK_PIECE_SLOTS; i++) {
        if (!log->pieces[i]) return i;
        if (log->pieces[i]->used < log->pieces[oldest]->used) oldest = i;
    }
    return oldest;
}

static void drop_slot(dbk_log *log, size_t slot)
{
    dbk_piece *piece = log->pieces[slot];

    log->pieces[slot] = NULL;
    log->piece_bytes -= piece->bytes;
    piece->kept = false;
    if (piece->holders == 0) dbk_free(log->port, piece);
}

static size_t oldest_kept(const dbk_log *log)
{
    size_t oldest = DBK_PIECE_SLOTS;

    for (size_t i = 0; i < DBK_PIECE_SLOTS; i++) {
        if (!log->pieces[i]) continue;
        if (oldest == DBK_PIECE_SLOTS || log->pieces[i]->used < log->pieces[oldest]->used) oldest = i;
    }
    return oldest;
}

static void keep(dbk_log *log, dbk_piece *piece)
{
    lock_cache(log);
    piece->holders = 1;
    piece->used = ++log->piece_clock;
    if (piece->bytes <= DBK_PIECE_LARGEST_BYTES) {
        while (log->piece_bytes && log->piece_bytes + piece->bytes > DBK_PIECE_CACHE_BYTES)
            drop_slot(log, oldest_kept(log));
        size_t slot = oldest_slot(log);
        if (log->pieces[slot]) drop_slot(log, slot);
        log->pieces[slot] = piece;
        log->piece_bytes += piece->bytes;
        piece->kept = true;
    }
    unlock_cache(log);
}

dbk_result dbk_piece_take(dbk_log *log, uint64_t position, dbk_piece **out, dbk_error *err)
{
    dbk_segment *segment = dbk_log_segment_of(log, position);
    dbk_piece *piece = NULL;

    *out = NULL;
    if (!segment) return DBK_NONE;
    *out = find_kept(log, position);
    if (*out) return DBK_OK;
    dbk_result rc = load(log, segment, position, &piece, err);
    if (rc != DBK_OK) {
        dbk_free(log->port, piece);
        return rc;
    }
    keep(log, piece);
    *out = piece;
    return DBK_OK;
}

void dbk_piece_give(dbk_log *log, dbk_piece *piece)
{
    if (!piece) return;
    lock_cache(log);
    bool last = --piece->holders == 0 && !piece->kept;
    unlock_cache(log);
    if (last) dbk_free(log->port, piece);
}

dbk_unpacker *dbk_log_take_unpacker(dbk_log *log)
{
    lock_cache(log);
    dbk_unpacker *unpacker = log->spare_unpacker;
    log->spare_unpacker = NULL;
    unlock_cache(log);
    return unpacker;
}

void dbk_log_give_unpacker(dbk_log *log, dbk_unpacker *unpacker)
{
    lock_cache(log);
    dbk_unpacker *spare = log->spare_unpacker;
    if (!spare) log->spare_unpacker = unpacker;
    unlock_cache(log);
    if (spare) dbk_unpacker_free(unpacker);
}

void dbk_cache_release(dbk_log *log)
{
    for (size_t i = 0; i < DBK_PIECE_SLOTS; i++) dbk_free(log->port, log->pieces[i]);
    dbk_free(log->port, log->spare_piece);
    dbk_outline_release(log);
    dbk_unpacker_free(log->spare_unpacker);
}
