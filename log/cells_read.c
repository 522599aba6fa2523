/* Blocks of the celled form, read. One access is one read of the file, for the block as it is stored, then one small
 * cell decompressed. Checked are the front, by the checksum in the table; the cell as it is stored, before it is
 * decompressed, and what comes out of it, by those in the front; and that the counts agree with the table. */
#include "log/cells_read.h"

static dbk_result fail(const dbk_image *image, uint32_t index, const char *wrong, dbk_error *err)
{
    return dbk_image_fail(image, image->blocks[index].offset, wrong, err);
}

static dbk_result fail_memory(const dbk_image *image, dbk_error *err)
{
    return dbk_fail(err, DBK_NO_MEMORY, "cannot read '%s': out of memory", image->name);
}

/* It is believed only after its checksum; its length is bounded by the head's own rules. */
dbk_result dbk_image_read_dictionary(dbk_image *image, uint64_t offset, dbk_dictionary **out, dbk_error *err)
{
    const dbk_pack_head *head = &image->head;
    uint8_t *bytes = dbk_alloc(image->port, head->dictionary_bytes);
    bool sound = false;
    size_t got = 0;

    *out = NULL;
    if (!bytes) return fail_memory(image, err);
    dbk_result rc =
        dbk_io_read(image->port, image->file, image->name, offset, bytes, head->dictionary_bytes, &got, err);
    dbk_slice dictionary = dbk_slice_of(bytes, got);
    if (rc == DBK_OK && got == head->dictionary_bytes &&
        dbk_pack_dictionary_checksum(dictionary) == head->dictionary_checksum)
        *out = dbk_dictionary_new(image->port, dictionary, &sound);
    dbk_free(image->port, bytes);
    if (*out || rc != DBK_OK) return rc;
    return sound ? fail_memory(image, err) : dbk_image_fail(image, offset, "its dictionary", err);
}

dbk_result dbk_image_take_dictionary(dbk_image *image, dbk_error *err)
{
    const dbk_pack_head *head = &image->head;

    if (head->dictionary_bytes == 0) return DBK_OK;
    dbk_result rc = dbk_image_read_dictionary(image, DBK_PACK_HEAD_SIZE, &image->dictionary, err);
    if (rc == DBK_CORRUPT || rc == DBK_IO)
        rc = dbk_image_read_dictionary(image, dbk_pack_blocks_end(head), &image->dictionary, err);
    image->memory += head->dictionary_bytes + DBK_DICTIONARY_MEMORY;
    return (rc == DBK_CORRUPT || rc == DBK_IO) && image->read_damaged ? DBK_OK : rc;
}

/* As the next row says. */
static uint32_t entries_in(const dbk_image *image, uint32_t index)
{
    const dbk_pack_head *head = &image->head;
    uint32_t end = index + 1 < head->block_count ? image->blocks[index + 1].delta
                                                 : (uint32_t)(head->last_position - head->first_position + 1);

    return end - image->blocks[index].delta;
}

static dbk_result take_front(dbk_image *image, uint32_t index, dbk_open_block *open, dbk_error *err)
{
    const dbk_pack_block *block = &image->blocks[index];
    dbk_slice data = dbk_buffer_slice(&open->data);
    uint32_t bytes = dbk_front_bytes(data);
    dbk_slice front = dbk_slice_of(data.data, bytes);

    if (bytes == 0 || dbk_pack_block_checksum(&image->header, index, front) != block->checksum)
        return fail(image, index, "the checksum of a block differs", err);
    bool right = dbk_front_decode(front, block, &open->front, &open->cells);
    if (open->cells.failed) return fail_memory(image, err);
    if (right && !image->table_lost) right = open->front.entry_count == entries_in(image, index);
    return right ? DBK_OK : fail(image, index, "a block contradicts itself", err);
}

dbk_result dbk_image_open_block(dbk_image *image, dbk_unpacker *unpacker, uint32_t index, dbk_open_block **out,
                                dbk_error *err)
{
    const dbk_pack_block *block = &image->blocks[index];
    dbk_open_block *open = dbk_unpacker_block(unpacker);
    size_t got = 0;

    *out = open;
    if (dbk_block_place_is(&open->place, image, index)) return DBK_OK;
    open->place.salt = 0;
    dbk_buffer_clear(&open->data);
    uint8_t *room = dbk_buffer_extend(&open->data, block->bytes);
    if (!room) return fail_memory(image, err);
    dbk_result rc = dbk_io_read(image->port, image->file, image->name, block->offset, room, block->bytes, &got, err);
    if (rc != DBK_OK) return rc;
    if (got < block->bytes) return fail(image, index, "a block ends early", err);
    rc = take_front(image, index, open, err);
    if (rc != DBK_OK) return rc;
    open->place = dbk_block_place_of(image, index);
    return DBK_OK;
}

uint32_t dbk_block_cell_of(const dbk_open_block *block, uint32_t entry)
{
    uint32_t low = 0, high = block->front.cell_count;

    while (high - low > 1) {
        uint32_t middle = low + (high - low) / 2;
        if (dbk_block_cell(block, middle)->first <= entry) {
            low = middle;
        } else {
            high = middle;
        }
    }
    return low;
}

dbk_result dbk_image_read_cell(dbk_image *image, dbk_unpacker *unpacker, dbk_open_block *block, uint32_t cell,
                               uint8_t *out, dbk_error *err)
{
    const dbk_pack_block *row = &image->blocks[block->place.index];
    const dbk_pack_cell *at = dbk_block_cell(block, cell);
    const uint8_t *stored = block->data.data + at->offset;
    size_t apart = block->front.hashes_apart ? (size_t)at->count * DBK_COMMAND_HASH_SIZE : 0;
    dbk_slice packed = dbk_slice_of(stored, at->stored - apart);
    uint8_t *content = apart ? dbk_unpacker_scratch(unpacker, at->content) : out;

    if (!content) return fail_memory(image, err);
    if (dbk_cell_checksum(&image->header, row, cell, false, dbk_slice_of(stored, at->stored)) != at->stored_checksum)
        return fail(image, block->place.index, "the checksum of a cell differs", err);
    if (!dbk_unpacker_run_cell(unpacker, packed, image->dictionary, content, at->content))
        return fail(image, block->place.index, "a cell does not decompress", err);
    dbk_slice plain = dbk_slice_of(content, at->content);
    if (dbk_cell_checksum(&image->header, row, cell, true, plain) != at->content_checksum)
        return fail(image, block->place.index, "the checksum of a cell's content differs", err);
    if (apart && !dbk_cell_join(plain, dbk_slice_of(stored + packed.size, apart), out))
        return fail(image, block->place.index, "a cell contradicts itself", err);
    return DBK_OK;
}

dbk_result dbk_image_rebuild_block(dbk_image *image, dbk_unpacker *unpacker, uint32_t index, uint8_t *out,
                                   dbk_error *err)
{
    const dbk_pack_block *row = &image->blocks[index];
    dbk_open_block *block;
    dbk_buffer entries;
    size_t at = 0;

    dbk_result rc = dbk_image_open_block(image, unpacker, index, &block, err);
    if (rc != DBK_OK) return rc;
    dbk_buffer_init(&entries, image->port);
    uint8_t *room = dbk_buffer_extend(&entries, (size_t)block->front.payload_bytes);
    if (!room) return fail_memory(image, err);
    for (uint32_t i = 0; rc == DBK_OK && i < block->front.cell_count; i++) {
        rc = dbk_image_read_cell(image, unpacker, block, i, room + at, err);
        at += dbk_cell_payload(&block->front, dbk_block_cell(block, i));
    }
    dbk_slice plain = dbk_slice_of(out, row->plain_bytes);
    if (rc == DBK_OK && !dbk_cells_rebuild(&image->header, &block->front, row, image->head.first_position + row->delta,
                                           dbk_buffer_slice(&entries), out))
        rc = fail(image, index, "a block contradicts itself", err);
    if (rc == DBK_OK && !image->table_lost && /* else whoever made it again has read each record */
        dbk_pack_plain_checksum(&image->header, index, plain) != row->plain_checksum)
        rc = fail(image, index, "the checksum of a block's content differs", err);
    dbk_buffer_release(&entries);
    return rc;
}

/* ---- times */

void dbk_times_begin(dbk_times *times, const dbk_image *image, const dbk_open_block *block)
{
    const dbk_pack_block *row = &image->blocks[block->place.index];

    times->left = 0;
    dbk_shells_begin(&times->shells, &block->front, row, image->head.first_position + row->delta);
}

bool dbk_times_skip(dbk_times *times, uint32_t entries)
{
    for (;;) {
        uint32_t now = entries < times->left ? entries : times->left;
        times->left -= now;
        entries -= now;
        if (entries == 0) return true;
        if (!dbk_shells_next(&times->shells, &times->shell)) return false;
        times->left = times->shell.here;
    }
}

bool dbk_times_next(dbk_times *times, int64_t *received_ms)
{
    if (!dbk_times_skip(times, 1)) return false;
    *received_ms = times->shell.record.received_ms;
    return true;
}

/* ---- walks */

static dbk_result take_cell(dbk_cell_walk *walk, dbk_error *err)
{
    const dbk_pack_cell *cell = dbk_block_cell(walk->open, walk->cell);
    size_t size = dbk_cell_payload(&walk->open->front, cell);

    walk->left = cell->count;
    dbk_buffer_clear(&walk->payload);
    walk->rest = dbk_slice_of(NULL, 0);
    uint8_t *room = dbk_buffer_extend(&walk->payload, size);
    if (!room) return fail_memory(walk->image, err);
    dbk_result rc = dbk_image_read_cell(walk->image, *walk->unpacker, walk->open, walk->cell, room, err);
    if (rc == DBK_OK) walk->rest = dbk_buffer_slice(&walk->payload);
    return rc;
}

static dbk_result enter_block(dbk_cell_walk *walk, dbk_error *err)
{
    dbk_result rc = dbk_image_open_block(walk->image, *walk->unpacker, walk->block, &walk->open, err);

    if (rc != DBK_OK) return rc;
    dbk_times_begin(&walk->times, walk->image, walk->open);
    walk->cell = 0;
    return DBK_OK;
}

dbk_result dbk_cell_walk_begin(dbk_cell_walk *walk, dbk_image *image, dbk_unpacker **unpacker, uint64_t position,
                               dbk_error *err)
{
    const dbk_pack_head *head = &image->head;

    if (position < head->first_position) position = head->first_position;
    uint32_t delta = (uint32_t)(position - head->first_position);
    if (!*unpacker) *unpacker = dbk_unpacker_new(image->port);
    if (!*unpacker) return fail_memory(image, err);
    walk->image = image;
    walk->unpacker = unpacker;
    if (!walk->payload.port) dbk_buffer_init(&walk->payload, image->port);
    walk->block = dbk_pack_block_of(image->blocks, head->block_count, delta);
    dbk_result rc = enter_block(walk, err);
    if (rc != DBK_OK) return rc;
    uint32_t entry = delta - image->blocks[walk->block].delta;
    if (entry >= walk->open->front.entry_count) return fail(image, walk->block, "a block contradicts itself", err);
    walk->cell = dbk_block_cell_of(walk->open, entry);
    rc = take_cell(walk, err);
    if (rc != DBK_OK) return rc;
    for (uint32_t i = dbk_block_cell(walk->open, walk->cell)->first; i < entry; i++) {
        dbk_slice origin;
        if (dbk_record_next_origin(&walk->rest, &origin)) walk->left--; /* at the cell's end none may be left */
    }
    return dbk_times_skip(&walk->times, entry) ? DBK_OK : fail(image, walk->block, "a block contradicts itself", err);
}

dbk_result dbk_cell_walk_next(dbk_cell_walk *walk, int64_t *received_ms, dbk_slice *origin, dbk_error *err)
{
    dbk_result rc = DBK_OK;

    while (!dbk_record_next_origin(&walk->rest, origin)) {
        if (walk->rest.size || walk->left) return fail(walk->image, walk->block, "a cell contradicts itself", err);
        if (walk->cell + 1 < walk->open->front.cell_count) {
            walk->cell++;
        } else {
            if (walk->block + 1 >= walk->image->head.block_count) return DBK_END;
            walk->block++;
            rc = enter_block(walk, err);
            if (rc != DBK_OK) return rc;
            if (walk->open->front.cell_count == 0) continue;
        }
        rc = take_cell(walk, err);
        if (rc != DBK_OK) return rc;
    }
    return walk->left-- && dbk_times_next(&walk->times, received_ms)
               ? DBK_OK
               : fail(walk->image, walk->block, "a block contradicts itself", err);
}

void dbk_cell_walk_release(dbk_cell_walk *walk)
{
    if (walk->payload.port) dbk_buffer_release(&walk->payload);
}
