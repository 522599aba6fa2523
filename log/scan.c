/* Record by record through a segment. The scanner looks at any bytes and says what stands at an offset: the record
 * that is expected, one of another place, zeros to the end, or none. It decides nothing; that is for whoever asked
 * (walk.c, load.c, verify.c). */
#include "log/internal.h"

#include <assert.h>

void dbk_scanner_init(dbk_scanner *scanner, dbk_image *image, const dbk_segment *segment)
{
    memset(scanner, 0, sizeof(*scanner));
    scanner->port = image->port;
    scanner->image = image;
    scanner->name = segment->name;
    scanner->header = segment->header;
    scanner->store_id = segment->header.store_id;
    scanner->chunk = DBK_SCAN_CHUNK_BYTES;
}

void dbk_scanner_move(dbk_scanner *scanner, dbk_image *image, const dbk_segment *segment)
{
    dbk_scanner before = *scanner;

    dbk_scanner_init(scanner, image, segment);
    scanner->unpacker = before.unpacker;
    scanner->data = before.data;
    scanner->capacity = before.capacity;
}

void dbk_scanner_release(dbk_scanner *scanner)
{
    dbk_unpacker_free(scanner->unpacker);
    scanner->unpacker = NULL;
    if (scanner->data) dbk_free(scanner->port, scanner->data);
    scanner->data = NULL;
    scanner->capacity = scanner->filled = 0;
}

/* Room for `size` bytes; the first `keep` of them stand at `at` in the window and go to its begin. */
static dbk_result make_room(dbk_scanner *scanner, size_t at, size_t keep, size_t size, dbk_error *err)
{
    uint64_t all = scanner->header.size;
    size_t chunk = all < scanner->chunk ? (size_t)all : scanner->chunk;

    if (size < chunk) size = chunk;
    if (size <= scanner->capacity) {
        memmove(scanner->data, scanner->data + at, keep);
        return DBK_OK;
    }
    uint8_t *data = dbk_alloc(scanner->port, size);
    if (!data) return dbk_fail(err, DBK_NO_MEMORY, "cannot read '%s': out of memory", scanner->name);
    if (keep) memcpy(data, scanner->data + at, keep);
    dbk_free(scanner->port, scanner->data);
    scanner->data = data;
    scanner->capacity = size;
    return DBK_OK;
}

/* Slides the window to `offset`. What it has from there on is kept, so that no byte is read or
 * decompressed twice. */
static dbk_result slide(dbk_scanner *scanner, uint64_t offset, size_t size, dbk_error *err)
{
    uint64_t behind = scanner->from + scanner->filled, left = scanner->header.size - offset;
    bool within = offset >= scanner->from && offset < behind;
    size_t keep = within ? (size_t)(behind - offset) : 0, got = 0;

    dbk_result rc = make_room(scanner, within ? (size_t)(offset - scanner->from) : 0, keep, size, err);
    scanner->from = offset;
    scanner->filled = rc == DBK_OK ? keep : 0;
    if (rc != DBK_OK) return rc;
    size_t want = (left < scanner->capacity ? (size_t)left : scanner->capacity) - keep;
    want = dbk_image_whole_blocks(scanner->image, offset + keep, size - keep, want);
    rc = dbk_image_read(scanner->image, &scanner->unpacker, offset + keep, scanner->data + keep, want, &got, err);
    scanner->filled = rc == DBK_OK ? keep + got : 0;
    return rc;
}

dbk_result dbk_scanner_view(dbk_scanner *scanner, uint64_t offset, size_t size, const uint8_t **at, dbk_error *err)
{
    assert(offset <= scanner->header.size && size <= scanner->header.size - offset);
    if (offset < scanner->from || offset + size > scanner->from + scanner->filled) {
        dbk_result rc = slide(scanner, offset, size, err);
        if (rc != DBK_OK) return rc;
        if (scanner->filled < size) {
            uint64_t end = offset + scanner->filled;
            scanner->filled = 0;
            return dbk_fail(err, DBK_CORRUPT, "segment '%s' ends early, at %llu of %llu bytes", scanner->name,
                            (unsigned long long)end, (unsigned long long)scanner->header.size);
        }
    }
    *at = scanner->data + (offset - scanner->from);
    return DBK_OK;
}

static dbk_head judge_place(const dbk_scanner *scanner, uint64_t offset, const dbk_expect *expect,
                            const dbk_record *record)
{
    const dbk_segment_header *header = &scanner->header;

    if (record->segment != header->number || record->salt != header->salt || record->offset != offset) {
        return DBK_HEAD_MISDIRECTED;
    }
    if (record->first_position > expect->position) return DBK_HEAD_HIGHER;
    if (record->first_position < expect->position) return DBK_HEAD_LOWER;
    if ((offset == DBK_SEGMENT_DATA_OFFSET) != (record->type == DBK_RECORD_START)) return DBK_HEAD_BAD;
    return DBK_HEAD_RECORD;
}

static dbk_result zeros_to_the_end(dbk_scanner *scanner, uint64_t offset, dbk_head *head, dbk_error *err)
{
    *head = DBK_HEAD_ZEROS;
    while (offset < scanner->header.size) {
        const uint8_t *at;
        uint64_t left = scanner->header.size - offset;
        size_t step = left < 65536 ? (size_t)left : 65536;
        dbk_result rc = dbk_scanner_view(scanner, offset, step, &at, err);
        if (rc != DBK_OK) return rc;
        if (!dbk_all_zero(at, step)) {
            *head = DBK_HEAD_BAD;
            return DBK_OK;
        }
        offset += step;
    }
    return DBK_OK;
}

/* The order of the checks is that of trust: no length is believed before the header's checksum, no
 * position before the place, no content before the payload's checksum (R2). */
dbk_result dbk_scan_record(dbk_scanner *scanner, uint64_t offset, const dbk_expect *expect, dbk_record *record,
                           const uint8_t **whole, uint64_t *bytes, dbk_head *head, dbk_error *err)
{
    const uint64_t left = scanner->header.size - offset;
    const uint8_t *at;
    dbk_result rc;

    if (left < DBK_UNIT_MIN) {
        *head = DBK_HEAD_ZEROS;
        return DBK_OK;
    }
    rc = dbk_scanner_view(scanner, offset, DBK_RECORD_HEADER_SIZE, &at, err);
    if (rc != DBK_OK) return rc;
    if (!dbk_record_decode(at, scanner->store_id, record)) return zeros_to_the_end(scanner, offset, head, err);
    *head = judge_place(scanner, offset, expect, record);
    if (*head != DBK_HEAD_RECORD) return DBK_OK;
    *bytes = dbk_record_bytes(record->payload_bytes, scanner->header.unit);
    *head = DBK_HEAD_BAD;
    if (*bytes > left) return DBK_OK;
    rc = dbk_scanner_view(scanner, offset, (size_t)*bytes, whole, err);
    if (rc != DBK_OK || !dbk_record_sound(record, scanner->store_id, *whole, *bytes)) return rc;
    bool follows = expect->any_previous || record->previous == expect->previous;
    *head = follows ? DBK_HEAD_RECORD : DBK_HEAD_STRANGER;
    return DBK_OK;
}

dbk_result dbk_scan_evidence(dbk_scanner *scanner, uint64_t offset, dbk_evidence *evidence, dbk_error *err)
{
    *evidence = (dbk_evidence){false, 0, offset};
    for (; offset < scanner->header.size; offset += DBK_UNIT_MIN) {
        dbk_record record;
        const uint8_t *at;
        dbk_result rc = dbk_scanner_view(scanner, offset, DBK_UNIT_MIN, &at, err);
        if (rc != DBK_OK) return rc;
        if (dbk_all_zero(at, DBK_UNIT_MIN)) continue;
        evidence->used_end = offset + DBK_UNIT_MIN;
        if (!dbk_record_decode(at, scanner->store_id, &record)) continue;
        if (record.segment != scanner->header.number || record.offset != offset) continue;
        if (scanner->header.salt != 0 && record.salt != scanner->header.salt) continue;
        evidence->later = true;
        if (record.durable_upto > evidence->durable_upto) evidence->durable_upto = record.durable_upto;
    }
    return DBK_OK;
}
