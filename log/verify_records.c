/* Verification of one segment's records, one after the other: each in its place, the next one of its history; behind
 * damage on with the next that is sound. */
#include "log/verify.h"

/* Faults are told with places of the file, as whoever looks into it needs them; all else here counts in the plain form. */
static uint64_t in_file(const dbk_verifier *v, uint64_t offset)
{
    return dbk_image_place(v->image, offset);
}

/* How much of the file holds what the plain form has from `offset` to `end`: whole blocks of a packed one. */
static uint64_t extent(const dbk_verifier *v, uint64_t offset, uint64_t end)
{
    const dbk_image *image = v->image;
    uint64_t from = in_file(v, offset), to = in_file(v, end);

    if (!image->packed || to != from || offset >= image->head.end) return to - from;
    return image->blocks[dbk_pack_block_at(image->blocks, image->head.block_count, offset)].bytes;
}

/* Hands the entries on. Where the head cannot be computed they must at least decode. */
static dbk_result give(dbk_verifier *v, const dbk_segment *segment, const dbk_record *record, const uint8_t *whole,
                       dbk_error *err)
{
    dbk_slice rest = dbk_slice_of(whole + DBK_RECORD_HEADER_SIZE, record->payload_bytes), origin;
    uint64_t position = record->first_position;
    dbk_result rc = DBK_OK;

    if (v->doubted) v->report->left_out += record->count;
    if (!v->watcher || !v->watcher->entry || v->doubted) return DBK_OK;
    while (rc == DBK_OK && dbk_record_next_origin(&rest, &origin)) {
        dbk_error local;
        dbk_entry entry;
        if (dbk_entry_decode(origin, &entry, &local) == DBK_OK) {
            rc = v->watcher->entry(v->watcher->arg, position, record->received_ms, origin, err);
            v->ended = rc != DBK_OK;
        } else {
            dbk_verify_tell(v, (dbk_log_fault){.code = local.code,
                                               .file = segment->name,
                                               .offset = in_file(v, record->offset),
                                               .last_position = position,
                                               .text = local.text});
        }
        v->expect.position = ++position;
    }
    return rc;
}

static dbk_result check_batch(dbk_verifier *v, dbk_segment *segment, const dbk_record *record, const uint8_t *whole,
                              uint64_t bytes, dbk_error *err)
{
    uint64_t last = record->first_position + record->count - 1;
    dbk_slice rest = dbk_slice_of(whole + DBK_RECORD_HEADER_SIZE, record->payload_bytes), origin;
    uint32_t count = 0;
    dbk_error local = {0};

    v->report->batches++;
    v->report->entries += record->count;
    if (v->proof && v->linked) {
        if (dbk_state_take(v->state, segment, NULL, record, whole, bytes, &local) == DBK_OK) {
            dbk_verify_note_point(v, segment, record->offset + bytes);
            return give(v, segment, record, whole, err);
        }
        v->linked = false;
        dbk_verify_say(v, local.code, segment->name, in_file(v, record->offset), last, local.text);
        return DBK_OK;
    }
    while (dbk_record_next_origin(&rest, &origin)) count++;
    if (count == record->count && rest.size == 0) return give(v, segment, record, whole, err);
    dbk_verify_say(v, DBK_CORRUPT, segment->name, in_file(v, record->offset), last,
                   "the batch does not hold the entries it counts");
    return DBK_OK;
}

bool dbk_verify_goes_on(const dbk_verifier *v, const dbk_range *range)
{
    uint8_t ours[DBK_LEAF_SIZE], theirs[DBK_LEAF_SIZE];

    if (!v->linked) return dbk_range_agrees(&v->state->range, range);
    if (!v->proof) return true;
    dbk_range_head(range, theirs);
    dbk_range_head(&v->state->range, ours);
    return memcmp(ours, theirs, sizeof(ours)) == 0;
}

/* Behind damage the start says what was before it. Its highest trees are compared with those of what
 * was read up to the damage: where they differ it goes on from other entries. */
static void check_start(dbk_verifier *v, const dbk_segment *segment, const dbk_record *record, const uint8_t *whole)
{
    dbk_slice payload = dbk_slice_of(whole + DBK_RECORD_HEADER_SIZE, record->payload_bytes);
    dbk_start start;

    if (!dbk_start_decode(payload, &start) || start.range.count != record->first_position - 1) {
        dbk_verify_say(v, DBK_CORRUPT, segment->name, in_file(v, record->offset), 0,
                       "the start record does not decode");
        return;
    }
    if (v->begun) *v->begun = (dbk_verify_begun){true, record->first_position, record->previous, start.range};
    if (!dbk_verify_goes_on(v, &start.range)) {
        dbk_verify_tell(v, (dbk_log_fault){.code = DBK_CORRUPT,
                                           .file = segment->name,
                                           .offset = in_file(v, record->offset),
                                           .law = 2,
                                           .text = "the start has another head than the entries before it"});
        v->doubted = true;
    }
    dbk_state_begin(v->state, record, &start);
    v->linked = true;
}

/* Looks behind `*offset` for a header that is sound in its place; *offset becomes 0 if there is
 * none. */
static dbk_result resync(dbk_scanner *scanner, uint64_t *offset, dbk_record *record, dbk_error *err)
{
    uint64_t at = *offset + DBK_UNIT_MIN;

    *offset = 0;
    for (; at < scanner->header.size; at += DBK_UNIT_MIN) {
        const uint8_t *bytes;
        dbk_result rc = dbk_scanner_view(scanner, at, DBK_UNIT_MIN, &bytes, err);
        if (rc != DBK_OK) return rc;
        if (!dbk_record_decode(bytes, scanner->store_id, record) || record->offset != at) continue;
        if (record->segment != scanner->header.number || record->salt != scanner->header.salt) continue;
        *offset = at;
        return DBK_OK;
    }
    return DBK_OK;
}

static void tell_head(dbk_verifier *v, dbk_log_fault fault, dbk_head head)
{
    fault.code = DBK_CORRUPT;
    switch (head) {
    case DBK_HEAD_HIGHER:
        fault.code = DBK_GAP;
        fault.text = "positions are missing before this record";
        break;
    case DBK_HEAD_LOWER:
        fault.code = DBK_DUPLICATE;
        fault.last_position = 0;
        fault.text = "this record repeats positions";
        break;
    case DBK_HEAD_STRANGER:
        fault.last_position = 0;
        fault.law = 2;
        fault.text = "this record follows another one than that before it";
        break;
    case DBK_HEAD_MISDIRECTED: fault.text = "a record of another place stands here"; break;
    case DBK_HEAD_ZEROS:
        fault.code = DBK_LOST;
        fault.text = "acknowledged entries are gone";
        break;
    default: fault.text = "the record is damaged"; break;
    }
    dbk_verify_tell(v, fault);
}

/* A record that is sound in its place and still not the next one, directly behind a sound one: two
 * histories meet here. Behind damage only the positions can tell. */
static bool contradicts(const dbk_verifier *v, dbk_head head)
{
    return head == DBK_HEAD_STRANGER || head == DBK_HEAD_LOWER || (head == DBK_HEAD_HIGHER && !v->expect.any_previous);
}

/* Where the log does not go on: a fault, or its end. *offset is where to go on; 0: nowhere. */
static dbk_result step_over(dbk_verifier *v, dbk_scanner *scanner, dbk_head head, const dbk_record *there,
                            uint64_t *offset, dbk_error *err)
{
    uint64_t number = scanner->header.number, spot = *offset;
    bool in_place = head == DBK_HEAD_HIGHER || head == DBK_HEAD_LOWER || head == DBK_HEAD_STRANGER;
    bool proven =
        number < v->base || dbk_verify_is_covered(v, number, spot) || head == DBK_HEAD_HIGHER || head == DBK_HEAD_LOWER;
    dbk_record next = *there;
    dbk_result rc = DBK_OK;

    if (head == DBK_HEAD_ZEROS) {
        *offset = 0;
    } else if (!in_place) {
        rc = resync(scanner, offset, &next, err);
    }
    if (rc != DBK_OK) return rc;
    if (*offset && next.durable_upto >= v->expect.position) proven = true;
    if (!proven) {
        *offset = 0;
        return DBK_OK;
    }
    v->doubted = v->doubted || contradicts(v, head);
    tell_head(v,
              (dbk_log_fault){
                  .file = scanner->name,
                  .offset = in_file(v, spot),
                  .last_position = *offset ? next.first_position - 1 : dbk_verify_last_of(v, number),
                  .bytes = extent(v, spot, *offset ? *offset : scanner->header.size),
              },
              head);
    v->linked = false;
    uint64_t on = *offset ? next.first_position : dbk_verify_last_of(v, number) + 1;
    v->expect = (dbk_expect){on > v->expect.position || *offset ? on : v->expect.position, 0, true};
    return DBK_OK;
}

static dbk_result check_rest(dbk_verifier *v, dbk_scanner *scanner, uint64_t offset, dbk_error *err)
{
    for (; offset < scanner->header.size; offset += DBK_UNIT_MIN) {
        const uint8_t *at;
        dbk_result rc = dbk_scanner_view(scanner, offset, DBK_UNIT_MIN, &at, err);
        if (rc != DBK_OK) return rc;
        if (dbk_all_zero(at, DBK_UNIT_MIN)) continue;
        dbk_verify_say(v, DBK_CORRUPT, scanner->name, in_file(v, offset), 0,
                       "bytes behind the end of a sealed segment");
        return DBK_OK;
    }
    return DBK_OK;
}

static void check_seal(dbk_verifier *v, const dbk_scanner *scanner, const dbk_seen *seen, const dbk_record *record,
                       const uint8_t *whole)
{
    dbk_seal seal;
    bool right = dbk_seal_decode(dbk_slice_of(whole + DBK_RECORD_HEADER_SIZE, record->payload_bytes), &seal) &&
                 (!seen->first_position || (seal.first_position == seen->first_position &&
                                            seal.entries == record->first_position - seen->first_position));
    if (!right)
        dbk_verify_say(v, DBK_CORRUPT, scanner->name, in_file(v, record->offset), 0,
                       "the seal is not that of its segment");
}

/* Where the segment begins and ends, for what is held against it. */
static void note_place(dbk_verifier *v, const dbk_scanner *scanner, const dbk_record *record, const uint8_t *whole)
{
    dbk_seen *seen = v->seen[scanner->header.number - 1];

    if (record->type == DBK_RECORD_START) {
        seen->salt = record->salt;
        seen->first_position = record->first_position;
        seen->before_seal = v->sum.before_seal;
        seen->packed = scanner->image->packed;
    } else if (record->type == DBK_RECORD_SEAL) {
        check_seal(v, scanner, seen, record, whole);
        seen->sealed = seen->first_position != 0;
        seen->last_position = record->first_position - 1;
        seen->seal_offset = record->offset;
        memcpy(seen->head, record->head, DBK_LEAF_SIZE);
    }
}

/* Two histories meet also where the watermark names a place of this one, and the record of another. */
static void check_mark(dbk_verifier *v, const dbk_scanner *scanner, uint64_t checksum, uint64_t end)
{
    const dbk_watermark *mark = &v->mark;

    if (!v->mark_valid || mark->segment != scanner->header.number || mark->offset != end || mark->checksum == checksum)
        return;
    dbk_verify_tell(v, (dbk_log_fault){.code = DBK_CORRUPT,
                                       .file = DBK_WATERMARK_NAME,
                                       .law = 2,
                                       .text = "it was written behind another record"});
}

dbk_result dbk_verify_records(dbk_verifier *v, dbk_scanner *scanner, dbk_segment *segment, dbk_error *err)
{
    uint64_t offset = DBK_SEGMENT_DATA_OFFSET, bytes = 0;

    v->image = scanner->image;
    while (offset) {
        const uint8_t *whole;
        dbk_record record = {0};
        dbk_head head;
        dbk_result rc = dbk_scan_record(scanner, offset, &v->expect, &record, &whole, &bytes, &head, err);
        if (rc == DBK_OK && head != DBK_HEAD_RECORD) {
            rc = step_over(v, scanner, head, &record, &offset, err);
            if (rc == DBK_OK) continue;
        }
        if (rc != DBK_OK) return rc;
        dbk_pack_head_add(&v->sum, &record, whole, bytes);
        if (record.type == DBK_RECORD_START) check_start(v, segment, &record, whole);
        if (record.type == DBK_RECORD_ENTRIES) {
            dbk_verify_note_batch(v, segment, &record, whole, bytes);
            rc = check_batch(v, segment, &record, whole, bytes, err);
            if (rc != DBK_OK) return rc;
        }
        note_place(v, scanner, &record, whole);
        memcpy(v->report->head, record.head, DBK_LEAF_SIZE);
        v->expect = (dbk_expect){record.first_position + record.count, record.checksum, false};
        v->report->bytes += bytes;
        dbk_verify_progress(v, bytes);
        offset += bytes;
        check_mark(v, scanner, record.checksum, offset);
        if (record.type == DBK_RECORD_SEAL) return check_rest(v, scanner, offset, err);
    }
    return DBK_OK;
}
