/* A packed file whose table of blocks is damaged: the blocks say all that stood in it, for they lie one behind the
 * other from the head on, and each names its own length and that of its content.
 *
 * Who reads the log is given the rows only where they account for the whole file: as many blocks as the head counts,
 * each record sound and behind the one before, the last one the seal that the head names. So nothing is believed that
 * the table was not needed for. Who looks at damage gets rows in any case: bytes that are no block become one that is
 * damaged, and behind it goes on with the next that begins with a record in its place. What looks like the beginning of
 * a block and is none costs a look at all that stands behind it, and at all that it says it holds: a file made of such is
 * looked at LOOKS_MAX times over, and what is left of it then is damage. */
#include "log/cells_read.h"
#include "log/internal.h"

enum { FIRST_LOOK = 64 * 1024, LOOKS_MAX = 64 };

typedef struct rebuilder {
    dbk_image *image;
    dbk_unpacker *unpacker;
    dbk_buffer packed, plain;
    dbk_pack_block row; /* of the block in `packed`, where it has cells */
    uint32_t count;     /* rows so far */
    bool skips;
    uint64_t offset, plain_offset;
    uint64_t looked; /* bytes that were read and unpacked to find where blocks begin behind damage */
} rebuilder;

static dbk_result fail_rebuild(const rebuilder *r, uint64_t offset, dbk_error *err)
{
    dbk_fail(err, DBK_CORRUPT,
             "segment '%s' is damaged at offset %llu of the file: its table of blocks, and its blocks do not give it "
             "again, from offset %llu on",
             r->image->name, (unsigned long long)r->image->head.table_offset, (unsigned long long)offset);
    dbk_error_hint(err, "verify the log; entries before and after the damage can be salvaged");
    return DBK_CORRUPT;
}

static dbk_result fail_memory(const rebuilder *r, dbk_error *err)
{
    return dbk_fail(err, DBK_NO_MEMORY, "cannot open '%s': out of memory", r->image->name);
}

static bool begins(const rebuilder *r, dbk_slice data)
{
    return r->image->head.celled ? dbk_front_begins(data) : dbk_unpacker_begins(data);
}

/* Of a block with cells the front is here; it names its length. */
static size_t measure(rebuilder *r, dbk_slice data, uint64_t left, size_t *plain_bytes)
{
    if (!r->image->head.celled) return dbk_unpacker_frame(data, plain_bytes);
    if (!dbk_front_row(&r->image->header, data, &r->row) || r->row.bytes > left) return 0;
    *plain_bytes = r->row.plain_bytes;
    return r->row.bytes;
}

/* The block at `offset` of the file, in r->packed: *bytes of it, *plain_bytes of content; 0: there is none. */
static dbk_result find_block(rebuilder *r, uint64_t offset, size_t *bytes, size_t *plain_bytes, dbk_error *err)
{
    const dbk_image *image = r->image;
    uint64_t left = dbk_pack_blocks_end(&image->head) - offset;

    *bytes = 0;
    for (size_t look = FIRST_LOOK;; look *= 4) {
        size_t size = left < look ? (size_t)left : look, got;
        dbk_buffer_clear(&r->packed);
        uint8_t *room = dbk_buffer_extend(&r->packed, size);
        if (!room) return fail_memory(r, err);
        dbk_result rc = dbk_io_read(image->port, image->file, image->name, offset, room, size, &got, err);
        if (rc != DBK_OK) return rc;
        if (r->skips) r->looked += got;
        *bytes = measure(r, dbk_slice_of(room, got), left, plain_bytes);
        if (*bytes || image->head.celled || got < size || size == left || !begins(r, dbk_slice_of(room, got)))
            return DBK_OK;
    }
}

/* A block of r->packed. */
static void put_block(rebuilder *r, size_t bytes, size_t plain_bytes)
{
    size_t covered = r->image->head.celled ? dbk_front_bytes(dbk_buffer_slice(&r->packed)) : bytes;
    dbk_slice data = dbk_slice_of(r->packed.data, covered);

    r->image->blocks[r->count] =
        (dbk_pack_block){.offset = (uint32_t)r->offset,
                         .plain_offset = (uint32_t)r->plain_offset,
                         .bytes = (uint32_t)bytes,
                         .plain_bytes = (uint32_t)plain_bytes,
                         .delta = r->row.delta,
                         .continued = r->row.continued,
                         .received_ms = r->row.received_ms,
                         .checksum = dbk_pack_block_checksum(&r->image->header, r->count, data)};
    r->count++;
    r->offset += bytes;
    r->plain_offset += plain_bytes;
}

/* Up to there is nothing that could be read: a block of one byte, and of a checksum that is not its own. */
static void put_damage(rebuilder *r, uint64_t offset, uint64_t plain_offset)
{
    r->image->blocks[r->count++] = (dbk_pack_block){.offset = (uint32_t)r->offset - 1,
                                                    .plain_offset = (uint32_t)r->plain_offset,
                                                    .bytes = 1,
                                                    .plain_bytes = (uint32_t)(plain_offset - r->plain_offset)};
    r->offset = offset;
    r->plain_offset = plain_offset;
}

/* Where the content of the block in r->packed begins in the plain form; 0: not with a record of this segment. */
static dbk_result place_of(rebuilder *r, size_t bytes, size_t plain_bytes, uint64_t *at, dbk_error *err)
{
    const dbk_segment_header *header = &r->image->header;
    dbk_record record;

    *at = 0;
    if (plain_bytes < DBK_RECORD_HEADER_SIZE || plain_bytes > r->image->head.end) return DBK_OK;
    if (r->image->head.celled) {
        if (r->row.plain_offset <= r->image->head.end - plain_bytes) *at = r->row.plain_offset;
        return DBK_OK;
    }
    r->looked += plain_bytes;
    dbk_buffer_clear(&r->plain);
    uint8_t *room = dbk_buffer_extend(&r->plain, plain_bytes);
    if (!room) return fail_memory(r, err);
    if (!dbk_unpacker_run(r->unpacker, dbk_slice_of(r->packed.data, bytes), room, plain_bytes)) return DBK_OK;
    bool ours = dbk_record_decode(room, header->store_id, &record) && record.segment == header->number &&
                record.salt == header->salt;
    if (ours && record.offset >= r->plain_offset && record.offset <= r->image->head.end - plain_bytes)
        *at = record.offset;
    return DBK_OK;
}

/* The next place from *offset on where a block could begin; the table where there is none. */
static void find_begin(rebuilder *r, uint64_t *offset)
{
    const dbk_image *image = r->image;
    uint64_t end = dbk_pack_blocks_end(&image->head);

    while (*offset < end) {
        size_t size = end - *offset < FIRST_LOOK ? (size_t)(end - *offset) : FIRST_LOOK, got = 0;
        dbk_buffer_clear(&r->packed);
        uint8_t *room = dbk_buffer_extend(&r->packed, size);
        if (dbk_never(!room)) break; /* a block was looked for with as much */
        (void)!dbk_io_read(image->port, image->file, image->name, *offset, room, size, &got, NULL);
        r->looked += got;
        for (size_t i = 0; i + 4 <= got; i++) {
            if (!begins(r, dbk_slice_of(room + i, got - i))) continue;
            *offset += i;
            return;
        }
        *offset += got < size || size < FIRST_LOOK ? size : size - 3; /* what cannot be read is passed over */
    }
    *offset = end;
}

/* Damage up to the next block whose place is known, or to the end. */
static dbk_result skip_damage(rebuilder *r, dbk_error *err)
{
    const dbk_pack_head *head = &r->image->head;
    uint64_t offset = r->offset + 1;

    r->skips = true;
    for (;; offset++) {
        size_t bytes = 0, plain_bytes;
        uint64_t at = 0;
        find_begin(r, &offset);
        if (offset == dbk_pack_blocks_end(head) || r->looked / LOOKS_MAX > head->file_bytes) break;
        dbk_result rc = find_block(r, offset, &bytes, &plain_bytes, err);
        if (rc == DBK_OK && bytes) rc = place_of(r, bytes, plain_bytes, &at, err);
        if (rc == DBK_NO_MEMORY) return rc;
        if (rc != DBK_OK || at <= r->plain_offset) continue;
        put_damage(r, offset, at);
        r->skips = false;
        return DBK_OK;
    }
    put_damage(r, dbk_pack_blocks_end(head), head->end);
    return DBK_OK;
}

/* Rows for all of the file; those that are missing then stand behind its end, where nobody asks. */
static dbk_result walk_blocks(rebuilder *r, bool damaged, dbk_error *err)
{
    const dbk_pack_head *head = &r->image->head;
    const uint64_t end = dbk_pack_blocks_end(head);

    while (r->offset < end && r->plain_offset < head->end) {
        size_t bytes = 0, plain_bytes = 0;
        bool last = r->count + 1 >= head->block_count;
        dbk_result rc = find_block(r, r->offset, &bytes, &plain_bytes, err);
        if (rc != DBK_OK && (rc == DBK_NO_MEMORY || !damaged)) return rc;
        bool sound = rc == DBK_OK && bytes && plain_bytes && plain_bytes <= head->end - r->plain_offset &&
                     plain_bytes <= DBK_PACK_PLAIN_MAX && (!head->celled || r->row.plain_offset == r->plain_offset);
        bool whole = r->offset + bytes == end && r->plain_offset + plain_bytes == head->end;
        if (sound && (whole || !last)) {
            put_block(r, bytes, plain_bytes);
            continue;
        }
        if (!damaged) return fail_rebuild(r, r->offset, err);
        if (last) {
            put_damage(r, end, head->end);
        } else if ((rc = skip_damage(r, err)) != DBK_OK) {
            return rc;
        }
    }
    bool all = r->count == head->block_count && r->offset == end && r->plain_offset == head->end;
    if (!all && !damaged) return fail_rebuild(r, r->offset, err);
    if (r->plain_offset < head->end) put_damage(r, end, head->end);
    for (; r->count < head->block_count; r->count++)
        r->image->blocks[r->count] = (dbk_pack_block){.offset = (uint32_t)end, .plain_offset = (uint32_t)head->end};
    return DBK_OK;
}

/* What the rows say of the blocks that this record begins in or goes on in. False: it is not cut where one was. */
static bool note_record(dbk_image *image, const dbk_record *record, const uint8_t *whole, uint64_t bytes)
{
    dbk_slice rest = dbk_slice_of(whole + DBK_RECORD_HEADER_SIZE, record->payload_bytes), origin;
    uint32_t index = dbk_pack_block_at(image->blocks, image->head.block_count, record->offset);
    uint32_t delta = (uint32_t)(record->first_position - image->head.first_position);
    uint64_t end = record->offset + bytes;

    if (image->blocks[index].plain_offset == record->offset) {
        image->blocks[index].delta = delta;
        image->blocks[index].received_ms = record->received_ms;
    }
    for (index++; index < image->head.block_count && image->blocks[index].plain_offset < end; index++) {
        dbk_pack_block *block = &image->blocks[index];
        uint64_t at = 0;
        while (at < block->plain_offset) {
            at = record->offset + (uint64_t)(rest.data - whole);
            if (at == block->plain_offset) break;
            if (!dbk_record_next_origin(&rest, &origin)) return false;
            delta++;
        }
        if (at != block->plain_offset) return false;
        block->delta = delta;
        block->received_ms = record->received_ms;
        block->continued = true;
    }
    return true;
}

static dbk_result check_records(rebuilder *r, dbk_scanner *scanner, dbk_error *err)
{
    const dbk_pack_head *head = &r->image->head;
    dbk_expect expect = {head->first_position, head->previous, false};
    dbk_record record = {0};
    uint64_t bytes = 0;

    for (uint64_t at = DBK_SEGMENT_DATA_OFFSET; at < head->end; at += bytes) {
        const uint8_t *whole;
        dbk_head found = DBK_HEAD_BAD;
        dbk_result rc = dbk_scan_record(scanner, at, &expect, &record, &whole, &bytes, &found, err);
        if (rc == DBK_CORRUPT) found = DBK_HEAD_BAD;
        if (rc != DBK_OK && rc != DBK_CORRUPT) return rc;
        if (found != DBK_HEAD_RECORD || !note_record(r->image, &record, whole, bytes)) {
            uint32_t index = dbk_pack_block_at(r->image->blocks, head->block_count, at);
            return fail_rebuild(r, r->image->blocks[index].offset, err);
        }
        expect = (dbk_expect){record.first_position + record.count, record.checksum, false};
    }
    if (record.checksum == head->seal_checksum && expect.position == head->last_position + 1) return DBK_OK;
    return fail_rebuild(r, DBK_PACK_HEAD_SIZE, err);
}

static dbk_result check_content(rebuilder *r, dbk_error *err)
{
    dbk_segment segment = {.header = r->image->header};
    dbk_scanner scanner;

    memcpy(segment.name, r->image->name, sizeof(segment.name));
    dbk_scanner_init(&scanner, r->image, &segment);
    dbk_result rc = check_records(r, &scanner, err);
    dbk_scanner_release(&scanner);
    return rc;
}

dbk_result dbk_image_rebuild_table(dbk_image *image, bool damaged, dbk_error *err)
{
    rebuilder r = {
        .image = image, .offset = dbk_pack_blocks_begin(&image->head), .plain_offset = DBK_SEGMENT_DATA_OFFSET};

    image->table_lost = true;
    dbk_buffer_init(&r.packed, image->port);
    dbk_buffer_init(&r.plain, image->port);
    r.unpacker = dbk_unpacker_new(image->port);
    dbk_result rc = r.unpacker ? walk_blocks(&r, damaged, err) : fail_memory(&r, err);
    if (rc == DBK_OK && !damaged) rc = check_content(&r, err);
    dbk_unpacker_free(r.unpacker);
    dbk_buffer_release(&r.packed);
    dbk_buffer_release(&r.plain);
    return rc;
}
