/* Verification: every byte of every segment, without an open log, changing nothing. It goes on
 * behind damage with the next record that is sound in its place, so that it lists all faults. Run
 * files are caches and are checked where they are used. */
#include "log/load.h"

typedef struct verifier {
    const dbk_port *port;
    dbk_dir *dir;
    dbk_log_options options;
    bool proof;
    const dbk_log_watcher *watcher;
    dbk_log_report *report;
    dbk_watermark mark;
    bool mark_valid;
    uint64_t *firsts;  /* [number - 1]: first position by the start record; 0: none is sound */
    uint64_t count;    /* of segment numbers */
    uint64_t base;     /* the highest with a sound start; those below must be whole */
    dbk_expect expect; /* of the next record, across segments */
    dbk_log_state *state;
    bool linked; /* state holds all before expect.position: the proof can go on */
    uint64_t all_bytes, done_bytes;
} verifier;

static void tell(verifier *v, dbk_result code, const char *file, uint64_t offset, uint64_t last,
                 const char *text)
{
    uint64_t first = last >= v->expect.position ? v->expect.position : 0;
    dbk_log_fault fault = {code, file, offset, first, first ? last : 0, text};

    v->report->faults++;
    if (v->watcher && v->watcher->fault) v->watcher->fault(v->watcher->arg, &fault);
}

static void progress(verifier *v, uint64_t bytes)
{
    v->done_bytes += bytes;
    if (v->watcher && v->watcher->progress)
        v->watcher->progress(v->watcher->arg, v->done_bytes, v->all_bytes);
}

static bool is_covered(const verifier *v, uint64_t number, uint64_t offset)
{
    return v->mark_valid && (v->mark.position >= v->expect.position || v->mark.segment > number ||
                             (v->mark.segment == number && v->mark.offset > offset));
}

/* The last position that is gone with the rest of segment `number`; 0: not known, or none. */
static uint64_t last_of(const verifier *v, uint64_t number)
{
    for (uint64_t i = number; i < v->count; i++) {
        if (v->firsts[i]) return v->firsts[i] - 1;
    }
    return v->mark_valid ? v->mark.position : 0;
}

static void check_batch(verifier *v, dbk_segment *segment, const dbk_record *record,
                        const uint8_t *whole, uint64_t bytes)
{
    uint64_t last = record->first_position + record->count - 1;
    dbk_slice rest = dbk_slice_of(whole + DBK_RECORD_HEADER_SIZE, record->payload_bytes), origin;
    uint32_t count = 0;
    dbk_error err;

    v->report->batches++;
    v->report->entries += record->count;
    if (v->proof && v->linked) {
        if (dbk_state_take(v->state, segment, NULL, record, whole, bytes, &err) == DBK_OK) return;
        v->linked = false;
        tell(v, err.code, segment->name, record->offset, last, err.text);
        return;
    }
    while (dbk_record_next_origin(&rest, &origin)) count++;
    if (count == record->count && rest.size == 0) return;
    tell(v, DBK_CORRUPT, segment->name, record->offset, last,
         "the batch does not hold the entries it counts");
}

static void check_start(verifier *v, const dbk_segment *segment, const dbk_record *record,
                        const uint8_t *whole)
{
    dbk_slice payload = dbk_slice_of(whole + DBK_RECORD_HEADER_SIZE, record->payload_bytes);
    uint8_t ours[DBK_LEAF_SIZE], theirs[DBK_LEAF_SIZE];
    dbk_start start;

    if (!dbk_start_decode(payload, &start) || start.range.count != record->first_position - 1) {
        tell(v, DBK_CORRUPT, segment->name, record->offset, 0, "the start record does not decode");
        return;
    }
    dbk_range_head(&start.range, theirs);
    dbk_range_head(&v->state->range, ours);
    if (v->linked && v->proof && memcmp(ours, theirs, sizeof(ours)) != 0) {
        tell(v, DBK_CORRUPT, segment->name, record->offset, 0,
             "the start has another head than the entries before it");
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
        if (record->segment != scanner->header.number || record->salt != scanner->header.salt)
            continue;
        *offset = at;
        return DBK_OK;
    }
    return DBK_OK;
}

static void tell_head(verifier *v, const char *name, uint64_t offset, dbk_head head, uint64_t last)
{
    switch (head) {
    case DBK_HEAD_HIGHER:
        tell(v, DBK_GAP, name, offset, last, "positions are missing before this record");
        break;
    case DBK_HEAD_LOWER:
        tell(v, DBK_DUPLICATE, name, offset, 0, "this record repeats positions");
        break;
    case DBK_HEAD_STRANGER:
        tell(v, DBK_CORRUPT, name, offset, 0,
             "this record follows another one than that before it");
        break;
    case DBK_HEAD_MISDIRECTED:
        tell(v, DBK_CORRUPT, name, offset, last, "a record of another place stands here");
        break;
    case DBK_HEAD_ZEROS:
        tell(v, DBK_LOST, name, offset, last, "acknowledged entries are gone");
        break;
    default: tell(v, DBK_CORRUPT, name, offset, last, "the record is damaged"); break;
    }
}

/* Where the log does not go on: a fault, or its end. *offset is where to go on; 0: nowhere. */
static dbk_result step_over(verifier *v, dbk_scanner *scanner, dbk_head head,
                            const dbk_record *there, uint64_t *offset, dbk_error *err)
{
    uint64_t number = scanner->header.number, spot = *offset;
    bool in_place = head == DBK_HEAD_HIGHER || head == DBK_HEAD_LOWER || head == DBK_HEAD_STRANGER;
    bool proven = number < v->base || is_covered(v, number, spot) || head == DBK_HEAD_HIGHER ||
                  head == DBK_HEAD_LOWER;
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
    tell_head(v, scanner->name, spot, head, *offset ? next.first_position - 1 : last_of(v, number));
    v->linked = false;
    uint64_t on = *offset ? next.first_position : last_of(v, number) + 1;
    v->expect = (dbk_expect){on > v->expect.position || *offset ? on : v->expect.position, 0, true};
    return DBK_OK;
}

static dbk_result check_rest(verifier *v, dbk_scanner *scanner, uint64_t offset, dbk_error *err)
{
    for (; offset < scanner->header.size; offset += DBK_UNIT_MIN) {
        const uint8_t *at;
        dbk_result rc = dbk_scanner_view(scanner, offset, DBK_UNIT_MIN, &at, err);
        if (rc != DBK_OK) return rc;
        if (dbk_all_zero(at, DBK_UNIT_MIN)) continue;
        tell(v, DBK_CORRUPT, scanner->name, offset, 0, "bytes behind the end of a sealed segment");
        return DBK_OK;
    }
    return DBK_OK;
}

static dbk_result check_records(verifier *v, dbk_scanner *scanner, dbk_segment *segment,
                                dbk_error *err)
{
    uint64_t offset = DBK_SEGMENT_DATA_OFFSET, bytes = 0;

    while (offset) {
        const uint8_t *whole;
        dbk_record record = {0};
        dbk_head head;
        dbk_result rc =
            dbk_scan_record(scanner, offset, &v->expect, &record, &whole, &bytes, &head, err);
        if (rc == DBK_OK && head != DBK_HEAD_RECORD) {
            rc = step_over(v, scanner, head, &record, &offset, err);
            if (rc == DBK_OK) continue;
        }
        if (rc != DBK_OK) return rc;
        if (record.type == DBK_RECORD_START) check_start(v, segment, &record, whole);
        if (record.type == DBK_RECORD_ENTRIES) check_batch(v, segment, &record, whole, bytes);
        memcpy(v->report->head, record.head, DBK_LEAF_SIZE);
        v->expect = (dbk_expect){record.first_position + record.count, record.checksum, false};
        v->report->bytes += bytes;
        progress(v, bytes);
        offset += bytes;
        if (record.type == DBK_RECORD_SEAL) return check_rest(v, scanner, offset, err);
    }
    return DBK_OK;
}

/* False: it holds nothing that could be walked through. */
static bool check_header(verifier *v, dbk_segment *segment, dbk_decoded decoded, uint64_t number,
                         uint64_t size)
{
    bool needed = number <= v->base || is_covered(v, number, 0);
    dbk_error err;

    if (decoded == DBK_DECODED_NEWER) {
        tell(v, DBK_VERSION, segment->name, 0, last_of(v, number), "written by a later format");
        return false;
    }
    if (decoded == DBK_DECODED_OK &&
        dbk_load_judge_header(&v->options, segment, number, &err) != DBK_OK) {
        tell(v, err.code, segment->name, 0, last_of(v, number), err.text);
        return false;
    }
    if (decoded == DBK_DECODED_OK && segment->header.size == size) return true;
    if (needed) {
        tell(v, DBK_CORRUPT, segment->name, 0, last_of(v, number),
             decoded == DBK_DECODED_OK ? "the file has not the size its header names"
                                       : "both headers are damaged");
        v->expect = (dbk_expect){last_of(v, number) + 1, 0, true};
        v->linked = false;
    }
    return false;
}

static dbk_result check_segment(verifier *v, dbk_file *file, dbk_segment *segment, uint64_t number,
                                dbk_error *err)
{
    dbk_decoded decoded = DBK_DECODED_BAD;
    dbk_scanner scanner;
    uint64_t size = 0;

    dbk_result rc =
        dbk_segment_read_header(v->port, file, segment->name, &segment->header, &decoded, err);
    if (rc == DBK_OK) rc = dbk_io_size(v->port, file, segment->name, &size, err);
    if (rc != DBK_OK) return rc;
    v->report->file_bytes += size;
    if (!check_header(v, segment, decoded, number, size)) return DBK_OK;
    v->report->segments += v->firsts[number - 1] != 0;
    dbk_scanner_init(&scanner, v->port, file, segment);
    rc = check_records(v, &scanner, segment, err);
    dbk_scanner_release(&scanner);
    return rc;
}

/* A file that cannot be read is a fault, and the rest is still looked at. */
static dbk_result check_file(verifier *v, uint64_t number, dbk_error *err)
{
    dbk_segment *segment = dbk_segment_new(v->port, number);
    dbk_file *file = NULL;
    dbk_error local = {0};

    if (!segment) return dbk_fail(err, DBK_NO_MEMORY, "cannot verify the log: out of memory");
    dbk_result rc = dbk_io_open(v->port, v->dir, segment->name, DBK_OPEN_READ, &file, &local);
    if (rc == DBK_OK) rc = check_segment(v, file, segment, number, &local);
    if (file) v->port->close_file(v->port->ctx, file);
    if (rc == DBK_MISSING) {
        tell(v, DBK_GAP, segment->name, 0, last_of(v, number), "the segment is missing");
    } else if (rc != DBK_OK && rc != DBK_NO_MEMORY) {
        tell(v, rc, segment->name, 0, last_of(v, number), local.text);
    }
    if (rc != DBK_OK) {
        v->expect = (dbk_expect){last_of(v, number) + 1, 0, true};
        v->linked = false;
    }
    dbk_segment_free(v->port, segment);
    if (rc == DBK_NO_MEMORY && err) *err = local;
    return rc == DBK_NO_MEMORY ? rc : DBK_OK;
}

/* Where each segment begins, to say what is gone with it. Failures show when it is checked. */
static void look_at_starts(verifier *v)
{
    for (uint64_t number = 1; number <= v->count; number++) {
        dbk_segment *segment = dbk_segment_new(v->port, number);
        dbk_decoded decoded = DBK_DECODED_BAD;
        dbk_record record;
        dbk_file *file;
        bool started = false;
        uint64_t size = 0;

        if (!segment) return;
        if (dbk_io_open(v->port, v->dir, segment->name, DBK_OPEN_READ, &file, NULL) == DBK_OK) {
            dbk_result rc = dbk_segment_read_header(v->port, file, segment->name, &segment->header,
                                                    &decoded, NULL);
            if (rc == DBK_OK) rc = dbk_io_size(v->port, file, segment->name, &size, NULL);
            if (rc == DBK_OK && decoded == DBK_DECODED_OK && size >= segment->header.size) {
                rc = dbk_load_start(v->port, file, segment, &record, &started, NULL);
            }
            if (rc == DBK_OK && started && segment->header.number == number) {
                v->firsts[number - 1] = segment->first_position;
                v->base = number;
            }
            v->all_bytes += size;
            v->port->close_file(v->port->ctx, file);
        }
        dbk_segment_free(v->port, segment);
    }
}

static dbk_result count_segments(verifier *v, dbk_error *err)
{
    dbk_error local = {0};
    dbk_buffer numbers;

    dbk_result rc =
        dbk_watermark_read(v->port, v->dir, v->options.store_id, &v->mark, &v->mark_valid, &local);
    if (rc != DBK_OK) tell(v, rc, DBK_WATERMARK_NAME, 0, 0, local.text);
    dbk_buffer_init(&numbers, v->port);
    rc = dbk_load_list(v->port, v->dir, &numbers, err);
    if (rc == DBK_OK && numbers.size) v->count = dbk_load_u64(numbers.data + numbers.size - 8);
    dbk_buffer_release(&numbers);
    if (rc != DBK_OK) return rc;
    if (v->count == 0 && !v->mark_valid)
        return dbk_fail(err, DBK_MISSING, "there is no log in the folder");
    if (v->mark_valid && v->mark.segment > v->count && v->mark.segment - v->count < 1000000)
        v->count = v->mark.segment;
    if (v->count > 16 * 1024 * 1024)
        return dbk_fail(err, DBK_CORRUPT, "there are segment numbers beyond all bounds");
    v->firsts = dbk_alloc_zero(v->port, v->count, sizeof(*v->firsts));
    v->state = dbk_alloc(v->port, sizeof(*v->state));
    if (v->firsts && v->state) return DBK_OK;
    return dbk_fail(err, DBK_NO_MEMORY, "cannot verify the log: out of memory");
}

dbk_result dbk_log_verify(const dbk_port *port, dbk_dir *dir, const dbk_log_options *options,
                          dbk_verify_depth depth, const dbk_log_watcher *watcher,
                          dbk_log_report *report, dbk_error *err)
{
    verifier v = {.port = port,
                  .dir = dir,
                  .options = *options,
                  .proof = depth == DBK_VERIFY_PROOF,
                  .watcher = watcher,
                  .report = report,
                  .expect = {1, 0, false},
                  .linked = true};

    memset(report, 0, sizeof(*report));
    dbk_result rc = count_segments(&v, err);
    if (rc == DBK_OK) {
        dbk_state_init(v.state);
        look_at_starts(&v);
    }
    for (uint64_t number = 1; number <= v.count && rc == DBK_OK; number++)
        rc = check_file(&v, number, err);
    dbk_free(port, v.firsts);
    dbk_free(port, v.state);
    return rc;
}
