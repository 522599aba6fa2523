/* Reading a segment file as if it were plain.
 *
 * A plain file is read as it lies. In a packed one the bytes of records are unpacked block by block, the block used
 * last being kept by the unpacker; headers in front and room behind the records read as zeros. A block is checked
 * over its compressed form before it is unpacked, over its content by dbk_image_read_block and verification. Of the
 * celled form, cells_read.c makes the plain bytes of a block again; who wants entries alone asks it directly. Which
 * form a file has is seen by a packed head, at its begin or at its end: one damaged copy does not take the segment
 * along. */
#include "log/image.h"

#include "log/cells_read.h"

dbk_result dbk_pack_head_read(const dbk_port *port, dbk_file *file, const char *name, dbk_segment_header *header,
                              dbk_pack_head *head, dbk_decoded *decoded, dbk_error *err)
{
    uint8_t bytes[DBK_PACK_HEAD_SIZE];
    uint64_t size;
    size_t got;

    *decoded = DBK_DECODED_BAD;
    dbk_result rc = dbk_io_read(port, file, name, 0, bytes, sizeof(bytes), &got, err);
    if (rc != DBK_OK) return rc;
    if (got == sizeof(bytes)) *decoded = dbk_pack_head_decode(bytes, header, head);
    if (*decoded != DBK_DECODED_BAD) return DBK_OK;
    rc = dbk_io_size(port, file, name, &size, err);
    if (rc != DBK_OK || size < 2 * sizeof(bytes)) return rc;
    rc = dbk_io_read(port, file, name, size - sizeof(bytes), bytes, sizeof(bytes), &got, err);
    if (rc == DBK_OK && got == sizeof(bytes)) *decoded = dbk_pack_head_decode(bytes, header, head);
    return rc;
}

dbk_result dbk_image_fail(const dbk_image *image, uint64_t offset, const char *wrong, dbk_error *err)
{
    dbk_fail(err, DBK_CORRUPT, "segment '%s' is damaged at offset %llu of the file: %s", image->name,
             (unsigned long long)offset, wrong);
    dbk_error_hint(err, "verify the log; entries before and after the damage can be salvaged");
    return DBK_CORRUPT;
}

static dbk_result fail_memory(const dbk_image *image, dbk_error *err)
{
    return dbk_fail(err, DBK_NO_MEMORY, "cannot open '%s': out of memory", image->name);
}

static dbk_result rebuild_table(dbk_image *image, bool damaged, dbk_error *err)
{
    memset(image->blocks, 0, image->head.block_count * sizeof(*image->blocks));
    return dbk_image_rebuild_table(image, damaged, err);
}

/* The table is read into the memory of the blocks, its rows behind room for what a block has more than a row: they
 * are decoded from front to back, each in front of those that were not yet. What stands behind the rows stays there. */
static dbk_result keep_table(dbk_image *image, size_t skip, dbk_error *err)
{
    const dbk_pack_head *head = &image->head;
    size_t rows = (size_t)head->block_count * DBK_PACK_BLOCK_ROW;
    uint8_t *memory = (uint8_t *)image->blocks;

    if (dbk_pack_blocks_decode(head, dbk_slice_of(memory + skip, rows), image->blocks)) {
        image->table = memory + skip + rows;
        return DBK_OK;
    }
    if (image->read_damaged) return rebuild_table(image, true, err);
    return dbk_image_fail(image, head->table_offset, "its table of blocks contradicts itself", err);
}

static dbk_result take_table(dbk_image *image, dbk_error *err)
{
    enum { MORE = sizeof(dbk_pack_block) - DBK_PACK_BLOCK_ROW };
    const dbk_pack_head *head = &image->head;
    size_t skip = (size_t)head->block_count * MORE, size = (size_t)dbk_pack_table_bytes(head), got = 0;

    image->blocks = dbk_alloc(image->port, skip + size);
    if (!image->blocks) return fail_memory(image, err);
    image->memory += skip + size;
    dbk_slice table = dbk_slice_of((uint8_t *)image->blocks + skip, size);
    dbk_result rc = dbk_io_read(image->port, image->file, image->name, head->table_offset,
                                (uint8_t *)image->blocks + skip, size, &got, err);
    bool lost =
        rc == DBK_IO ||
        (rc == DBK_OK && (got < size || dbk_pack_table_checksum(&image->header, table) != head->table_checksum));
    if (lost) return rebuild_table(image, image->read_damaged, err);
    return rc == DBK_OK ? keep_table(image, skip, err) : rc;
}

/* One place of a header. *found: it is sound, of a plain file or of a packed one. */
static dbk_result look_at(dbk_image *image, uint64_t offset, bool *found, dbk_error *err)
{
    uint8_t bytes[DBK_PACK_HEAD_SIZE];
    dbk_segment_header header;
    size_t got;

    *found = false;
    dbk_result rc = dbk_io_read(image->port, image->file, image->name, offset, bytes, sizeof(bytes), &got, err);
    if (rc != DBK_OK || got < sizeof(bytes)) return rc;
    if (dbk_segment_header_decode(bytes, &header) != DBK_DECODED_OK) return DBK_OK;
    image->packed = header.features & DBK_FEATURE_PACKED;
    *found = !image->packed || dbk_pack_head_decode(bytes, &header, &image->head) == DBK_DECODED_OK;
    if (*found) image->header = header;
    return DBK_OK;
}

/* A packed file has its second head at its end. Where no place holds a sound one, the file is taken
 * for a plain one. */
static dbk_result find_form(dbk_image *image, dbk_error *err)
{
    bool found;
    uint64_t size = 0;

    dbk_result rc = look_at(image, 0, &found, err);
    if (rc == DBK_OK && !found) rc = look_at(image, DBK_SEGMENT_COPY_OFFSET, &found, err);
    if (rc == DBK_OK && !found) rc = dbk_io_size(image->port, image->file, image->name, &size, err);
    if (rc == DBK_OK && !found && size >= 2 * DBK_PACK_HEAD_SIZE)
        rc = look_at(image, size - DBK_PACK_HEAD_SIZE, &found, err);
    if (!found) image->packed = false;
    if (rc == DBK_OK && image->packed) rc = dbk_image_take_dictionary(image, err);
    return rc == DBK_OK && image->packed ? take_table(image, err) : rc;
}

static dbk_result take_file(const dbk_port *port, dbk_file *file, const char *name, bool damaged, dbk_image **out,
                            dbk_error *err)
{
    dbk_result rc = dbk_image_lend(port, file, name, damaged, out, err);

    if (rc == DBK_OK) {
        (*out)->lent = false;
    } else {
        port->close_file(port->ctx, file);
    }
    return rc;
}

dbk_result dbk_image_of(const dbk_port *port, dbk_file *file, const char *name, dbk_image **out, dbk_error *err)
{
    return take_file(port, file, name, false, out, err);
}

dbk_result dbk_image_lend(const dbk_port *port, dbk_file *file, const char *name, bool damaged, dbk_image **out,
                          dbk_error *err)
{
    dbk_image *image = dbk_alloc_zero(port, 1, sizeof(*image));

    *out = NULL;
    if (!image) return dbk_fail(err, DBK_NO_MEMORY, "cannot open '%s': out of memory", name);
    image->port = port;
    image->file = file;
    image->lent = true;
    image->read_damaged = damaged;
    memcpy(image->name, name, strnlen(name, sizeof(image->name) - 1));
    dbk_result rc = find_form(image, err);
    if (rc == DBK_OK) {
        *out = image;
    } else {
        dbk_image_close(image);
    }
    return rc;
}

dbk_result dbk_image_open(const dbk_port *port, dbk_dir *dir, const char *name, dbk_image **out, dbk_error *err)
{
    dbk_file *file;

    *out = NULL;
    dbk_result rc = dbk_io_open(port, dir, name, DBK_OPEN_READ, &file, err);
    return rc == DBK_OK ? dbk_image_of(port, file, name, out, err) : rc;
}

dbk_result dbk_image_open_damaged(const dbk_port *port, dbk_dir *dir, const char *name, dbk_image **out, dbk_error *err)
{
    dbk_file *file;

    *out = NULL;
    dbk_result rc = dbk_io_open(port, dir, name, DBK_OPEN_READ, &file, err);
    return rc == DBK_OK ? take_file(port, file, name, true, out, err) : rc;
}

void dbk_image_close(dbk_image *image)
{
    if (!image) return;
    if (!image->lent) image->port->close_file(image->port->ctx, image->file);
    dbk_free(image->port, image->blocks);
    dbk_dictionary_free(image->dictionary);
    dbk_free(image->port, image);
}

/* Into `out`, which has room for the whole block. */
static dbk_result unpack(dbk_image *image, dbk_unpacker *unpacker, uint32_t index, uint8_t *out, dbk_error *err)
{
    const dbk_pack_block *block = &image->blocks[index];
    size_t got = 0;

    if (image->head.celled) return dbk_image_rebuild_block(image, unpacker, index, out, err);
    uint8_t *packed = dbk_unpacker_room(unpacker, block->bytes);
    if (!packed) return dbk_fail(err, DBK_NO_MEMORY, "cannot read '%s': out of memory", image->name);
    dbk_result rc = dbk_io_read(image->port, image->file, image->name, block->offset, packed, block->bytes, &got, err);
    if (rc != DBK_OK) return rc;
    dbk_slice data = dbk_slice_of(packed, got);
    if (got < block->bytes || dbk_pack_block_checksum(&image->header, index, data) != block->checksum) {
        return dbk_image_fail(image, block->offset, "the checksum of a block differs", err);
    }
    if (dbk_unpacker_run(unpacker, data, out, block->plain_bytes)) return DBK_OK;
    return dbk_image_fail(image, block->offset, "a block does not decompress", err);
}

/* For verification damage has to have a length: it reads as bytes that are no record. */
static dbk_result unpack_or_mark(dbk_image *image, dbk_unpacker *unpacker, uint32_t index, uint8_t *out, dbk_error *err)
{
    dbk_result rc = unpack(image, unpacker, index, out, err);

    if ((rc != DBK_CORRUPT && rc != DBK_IO) || !image->read_damaged) return rc;
    memset(out, DBK_IMAGE_DAMAGED, image->blocks[index].plain_bytes);
    return DBK_OK;
}

static dbk_result kept_block(dbk_image *image, dbk_unpacker *unpacker, uint32_t index, const uint8_t **data,
                             dbk_error *err)
{
    uint8_t *room;

    *data = dbk_unpacker_kept(unpacker, image, index);
    if (*data) return DBK_OK;
    room = dbk_unpacker_keep(unpacker, image->blocks[index].plain_bytes);
    if (!room) return dbk_fail(err, DBK_NO_MEMORY, "cannot read '%s': out of memory", image->name);
    dbk_result rc = unpack_or_mark(image, unpacker, index, room, err);
    if (rc != DBK_OK) return rc;
    dbk_unpacker_note(unpacker, image, index);
    *data = room;
    return DBK_OK;
}

/* Whole blocks go where they are wanted; of others a part is copied. */
static dbk_result read_records(dbk_image *image, dbk_unpacker *unpacker, uint64_t offset, uint8_t *out, size_t size,
                               dbk_error *err)
{
    uint32_t index = dbk_pack_block_at(image->blocks, image->head.block_count, offset);
    dbk_result rc = DBK_OK;

    for (size_t done = 0; done < size && rc == DBK_OK; index++) {
        const dbk_pack_block *block = &image->blocks[index];
        size_t skip = (size_t)(offset + done - block->plain_offset);
        size_t now = block->plain_bytes - skip;
        const uint8_t *data;
        if (now > size - done) now = size - done;
        if (now == block->plain_bytes) {
            rc = unpack_or_mark(image, unpacker, index, out + done, err);
        } else {
            rc = kept_block(image, unpacker, index, &data, err);
            if (rc == DBK_OK) memcpy(out + done, data + skip, now);
        }
        done += now;
    }
    return rc;
}

dbk_result dbk_image_read(dbk_image *image, dbk_unpacker **unpacker, uint64_t offset, void *out, size_t size,
                          size_t *got, dbk_error *err)
{
    uint64_t from = offset, to;

    if (!image->packed) return dbk_io_read(image->port, image->file, image->name, offset, out, size, got, err);
    *got = 0;
    if (offset >= image->header.size) return DBK_OK;
    if (size > image->header.size - offset) size = (size_t)(image->header.size - offset);
    to = offset + size;
    if (from < DBK_SEGMENT_DATA_OFFSET) from = DBK_SEGMENT_DATA_OFFSET;
    if (to > image->head.end) to = image->head.end;
    if (from >= to) {
        memset(out, 0, size);
        *got = size;
        return DBK_OK;
    }
    if (!*unpacker) *unpacker = dbk_unpacker_new(image->port);
    if (!*unpacker) return dbk_fail(err, DBK_NO_MEMORY, "cannot read '%s': out of memory", image->name);
    size_t before = (size_t)(from - offset), within = (size_t)(to - from);
    memset(out, 0, before);
    memset((uint8_t *)out + before + within, 0, size - before - within);
    dbk_result rc = read_records(image, *unpacker, from, (uint8_t *)out + before, within, err);
    *got = rc == DBK_OK ? size : 0;
    return rc;
}

uint64_t dbk_image_place(const dbk_image *image, uint64_t offset)
{
    if (!image->packed) return offset;
    if (offset >= image->head.end) return dbk_pack_blocks_end(&image->head);
    return image->blocks[dbk_pack_block_at(image->blocks, image->head.block_count, offset)].offset;
}

size_t dbk_image_whole_blocks(const dbk_image *image, uint64_t offset, size_t least, size_t most)
{
    if (!image->packed || offset + most >= image->head.end) return most;
    uint64_t end = image->blocks[dbk_pack_block_at(image->blocks, image->head.block_count, offset + most)].plain_offset;
    return end >= offset + least ? (size_t)(end - offset) : most;
}

dbk_result dbk_image_read_block(dbk_image *image, dbk_unpacker **unpacker, uint32_t index, uint8_t *out, dbk_error *err)
{
    const dbk_pack_block *block = &image->blocks[index];

    if (!*unpacker) *unpacker = dbk_unpacker_new(image->port);
    if (!*unpacker) return dbk_fail(err, DBK_NO_MEMORY, "cannot read '%s': out of memory", image->name);
    dbk_result rc = unpack(image, *unpacker, index, out, err);
    if (rc != DBK_OK || image->head.celled) return rc; /* then it was checked */
    dbk_slice plain = dbk_slice_of(out, block->plain_bytes);
    if (image->table_lost) return DBK_OK; /* it was read whole, record by record, when the file was opened */
    if (dbk_pack_plain_checksum(&image->header, index, plain) == block->plain_checksum) return DBK_OK;
    return dbk_image_fail(image, block->offset, "the checksum of a block's content differs", err);
}

bool dbk_image_may_have_type(const dbk_image *image, uint32_t index, uint64_t type_hash)
{
    const dbk_pack_head *head = &image->head;
    size_t row = dbk_pack_type_row(head->block_count);

    if (!head->types_known || image->table_lost) return true;
    const uint8_t *at = image->table + (size_t)head->root_count * DBK_LEAF_SIZE;
    for (uint32_t i = 0; i < head->type_count; i++, at += row) {
        if (dbk_load_u64(at) == type_hash) return at[8 + index / 8] >> index % 8 & 1;
    }
    return false;
}

void dbk_image_seek(const dbk_image *image, uint64_t position, uint64_t *offset, uint64_t *first_position)
{
    uint32_t delta = (uint32_t)(position - image->head.first_position);
    uint32_t index = dbk_pack_block_of(image->blocks, image->head.block_count, delta);

    while (image->blocks[index].continued) index--; /* the first one never is */
    *offset = image->blocks[index].plain_offset;
    *first_position = image->head.first_position + image->blocks[index].delta;
}

dbk_result dbk_image_find_record(dbk_image *image, dbk_unpacker **unpacker, uint64_t position, dbk_record *record,
                                 dbk_error *err)
{
    const dbk_segment_header *header = &image->header;
    uint8_t bytes[DBK_RECORD_HEADER_SIZE];
    uint64_t offset, first;
    size_t got;

    dbk_image_seek(image, position, &offset, &first);
    while (offset < image->head.end) {
        dbk_result rc = dbk_image_read(image, unpacker, offset, bytes, sizeof(bytes), &got, err);
        if (rc != DBK_OK) return rc;
        if (got < sizeof(bytes) || !dbk_record_decode(bytes, header->store_id, record) ||
            record->segment != header->number || record->offset != offset || record->salt != header->salt ||
            record->first_position != first)
            break;
        if (position >= first && position - first < record->count) return DBK_OK;
        first += record->count;
        offset += dbk_record_bytes(record->payload_bytes, header->unit);
    }
    return dbk_image_fail(image, 0, "no record holds a position that it must have", err);
}

static void add_fault(dbk_pack_faults *faults, const char *text, uint64_t offset)
{
    faults->list[faults->count].text = text;
    faults->list[faults->count++].offset = offset;
}

static dbk_result check_head(dbk_image *image, uint64_t offset, dbk_pack_faults *faults, dbk_error *err)
{
    uint8_t bytes[DBK_PACK_HEAD_SIZE], want[DBK_PACK_HEAD_SIZE];
    size_t got;

    dbk_pack_head_encode(&image->header, &image->head, want);
    dbk_result rc = dbk_io_read(image->port, image->file, image->name, offset, bytes, sizeof(bytes), &got, err);
    if (rc == DBK_OK && (got < sizeof(bytes) || memcmp(bytes, want, sizeof(want)) != 0))
        add_fault(faults, "a copy of the head is damaged", offset);
    return rc;
}

static dbk_result check_dictionary(dbk_image *image, uint64_t offset, dbk_pack_faults *faults, dbk_error *err)
{
    dbk_dictionary *dictionary = NULL;

    if (image->head.dictionary_bytes == 0) return DBK_OK;
    dbk_result rc = dbk_image_read_dictionary(image, offset, &dictionary, err);
    dbk_dictionary_free(dictionary);
    if (rc != DBK_CORRUPT && rc != DBK_IO) return rc;
    add_fault(faults, "a copy of the dictionary is damaged", offset);
    return DBK_OK;
}

dbk_result dbk_pack_check(dbk_image *image, dbk_pack_faults *faults, dbk_error *err)
{
    uint64_t tail = image->head.file_bytes - DBK_PACK_HEAD_SIZE;
    uint64_t used = image->head.table_offset + dbk_pack_table_bytes(&image->head), size = 0;
    uint8_t bytes[DBK_PACK_HEAD_SIZE];
    size_t got = 0;

    memset(faults, 0, sizeof(*faults));
    dbk_result rc = check_head(image, 0, faults, err);
    if (rc == DBK_OK) rc = check_dictionary(image, DBK_PACK_HEAD_SIZE, faults, err);
    if (rc == DBK_OK) rc = check_dictionary(image, dbk_pack_blocks_end(&image->head), faults, err);
    if (image->table_lost)
        add_fault(faults, "its table of blocks is damaged; what blocks are sound are read without",
                  image->head.table_offset);
    if (rc == DBK_OK)
        rc = dbk_io_read(image->port, image->file, image->name, used, bytes, (size_t)(tail - used), &got, err);
    if (rc == DBK_OK && !dbk_all_zero(bytes, got)) add_fault(faults, "bytes behind the table of blocks", used);
    if (rc == DBK_OK) rc = check_head(image, tail, faults, err);
    if (rc == DBK_OK) rc = dbk_io_size(image->port, image->file, image->name, &size, err);
    if (rc == DBK_OK && size != image->head.file_bytes)
        add_fault(faults, "the file has not the size that its head names", size);
    return rc;
}
