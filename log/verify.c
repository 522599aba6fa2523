/* Verification: every byte of every segment, without an open log, changing nothing, so that all faults are listed. The
 * records of a segment are verify_records.c's; behind the segments come the caches (verify_index.c). */
#include "log/verify.h"

/* So many segments that only the watermark knows of are named one by one. */
enum { MISSING_MAX = 65536 };

/* Entries that cannot be read, or are fewer than before, break the first law; records that are not
 * this history's next ones the second; what this program cannot judge it must refuse, the third. */
static unsigned law_of(const dbk_log_fault *fault)
{
    if (fault->first_position) return 1;
    if (fault->code == DBK_GAP || fault->code == DBK_DUPLICATE || fault->code == DBK_FOREIGN) return 2;
    return fault->code == DBK_VERSION ? 3 : 1;
}

/* last_position: up to where nothing can be read from the expected position on; below it: all can. */
void dbk_verify_tell(dbk_verifier *v, dbk_log_fault fault)
{
    bool unreadable = fault.last_position >= v->expect.position;

    fault.first_position = unreadable ? v->expect.position : 0;
    if (!unreadable) fault.last_position = 0;
    if (!fault.law) fault.law = law_of(&fault);
    v->report->faults++;
    if (v->watcher && v->watcher->fault) v->watcher->fault(v->watcher->arg, &fault);
}

void dbk_verify_say(dbk_verifier *v, dbk_result code, const char *file, uint64_t offset, uint64_t last,
                    const char *text)
{
    dbk_verify_tell(v,
                    (dbk_log_fault){.code = code, .file = file, .offset = offset, .last_position = last, .text = text});
}

void dbk_verify_progress(dbk_verifier *v, uint64_t bytes)
{
    v->done_bytes += bytes;
    if (v->watcher && v->watcher->progress) v->watcher->progress(v->watcher->arg, v->done_bytes, v->all_bytes);
}

bool dbk_verify_is_covered(const dbk_verifier *v, uint64_t number, uint64_t offset)
{
    return v->mark_valid && (v->mark.position >= v->expect.position || v->mark.segment > number ||
                             (v->mark.segment == number && v->mark.offset > offset));
}

uint64_t dbk_verify_last_of(const dbk_verifier *v, uint64_t number)
{
    if (number < v->count && v->nexts[number]) return v->nexts[number] - 1;
    return v->mark_valid ? v->mark.position : 0;
}

/* What is known of a segment file before its records. */
typedef struct opened {
    dbk_decoded decoded;
    bool packed;
    bool rebuilt;         /* from its records: both headers are damaged */
    uint64_t named_bytes; /* by the header; segment->header.size is what can be read of it */
    uint64_t file_bytes;
} opened;

static dbk_result read_header(const dbk_verifier *v, dbk_file *file, dbk_segment *segment, uint64_t number,
                              opened *found, dbk_error *err)
{
    dbk_segment_header *header = &segment->header;

    memset(found, 0, sizeof(*found));
    dbk_result rc = dbk_segment_read_header(v->port, file, segment->name, header, &found->decoded, err);
    if (rc == DBK_OK) rc = dbk_io_size(v->port, file, segment->name, &found->file_bytes, err);
    if (rc == DBK_OK && found->decoded == DBK_DECODED_BAD) {
        rc = dbk_segment_rebuild_header(v->port, file, segment->name, &v->options, number, found->file_bytes, header,
                                        &found->rebuilt, err);
    }
    found->named_bytes = found->rebuilt ? found->file_bytes : header->size;
    found->packed = found->decoded == DBK_DECODED_OK && header->features & DBK_FEATURE_PACKED;
    if (header->size > found->file_bytes && !found->packed)
        header->size = found->file_bytes / DBK_UNIT_MIN * DBK_UNIT_MIN;
    return rc;
}

/* The next segment is held against what its own start says. */
static void skip_segment(dbk_verifier *v, uint64_t number)
{
    v->expect = (dbk_expect){dbk_verify_last_of(v, number) + 1, 0, true};
    v->linked = false;
}

static dbk_result check_copies(dbk_verifier *v, dbk_file *file, const dbk_segment *segment, const opened *found,
                               dbk_error *err)
{
    dbk_segment_header header = segment->header;
    unsigned count;

    header.size = found->named_bytes;
    dbk_result rc = dbk_segment_count_headers(v->port, file, segment->name, &header, &count, err);
    if (rc == DBK_OK && count < 2) {
        dbk_verify_say(v, DBK_CORRUPT, segment->name, 0, 0, "one of its two headers is damaged; the other one serves");
    }
    if (rc == DBK_OK && found->named_bytes != found->file_bytes) {
        dbk_verify_say(v, DBK_CORRUPT, segment->name, 0, 0, "the file has not the size its header names");
    }
    return rc;
}

/* *walk false: it holds nothing that could be walked through. */
static dbk_result check_header(dbk_verifier *v, dbk_file *file, dbk_segment *segment, const opened *found,
                               uint64_t number, bool *walk, dbk_error *err)
{
    bool needed = number <= v->base || dbk_verify_is_covered(v, number, 0);
    dbk_error local;

    *walk = found->decoded == DBK_DECODED_OK || found->rebuilt;
    if (found->decoded == DBK_DECODED_NEWER) {
        dbk_verify_say(v, DBK_VERSION, segment->name, 0, dbk_verify_last_of(v, number), "written by a later format");
        skip_segment(v, number);
        return DBK_OK;
    }
    if (found->decoded == DBK_DECODED_OK && dbk_load_judge_header(&v->options, segment, number, &local) != DBK_OK) {
        dbk_verify_say(v, local.code, segment->name, 0, dbk_verify_last_of(v, number), local.text);
        skip_segment(v, number);
        *walk = false;
        return DBK_OK;
    }
    if (found->packed) return DBK_OK;
    if (!needed) return DBK_OK; /* its preparation may have been cut short: made sure of, or anew, when opened */
    if (found->decoded == DBK_DECODED_OK) return check_copies(v, file, segment, found, err);
    dbk_verify_say(v, DBK_CORRUPT, segment->name, 0, *walk ? 0 : dbk_verify_last_of(v, number),
                   "both headers are damaged");
    if (!*walk) skip_segment(v, number);
    return DBK_OK;
}

/* Keys are known of entries that were decoded. */
static bool is_head_right(dbk_verifier *v, const dbk_image *image, const dbk_segment *segment)
{
    const dbk_pack_head *head = &image->head;
    bool known = v->proof && v->linked;

    v->sum.ordered = known ? segment->ordered : head->ordered;
    memcpy(v->sum.top, known ? segment->top : head->top, sizeof(v->sum.top));
    return dbk_pack_head_agrees(head, &v->sum);
}

/* What the records do not show: the parts of the file around them. `whole`: all of them were sound. */
static dbk_result check_packed(dbk_verifier *v, dbk_image *image, const dbk_segment *segment, bool whole,
                               dbk_error *err)
{
    dbk_pack_faults faults;

    dbk_result rc = dbk_pack_check(image, &faults, err);
    if (rc != DBK_OK) return rc;
    if (whole && !is_head_right(v, image, segment))
        dbk_verify_say(v, DBK_CORRUPT, segment->name, 0, 0, DBK_PACK_HEAD_LIES);
    for (unsigned i = 0; i < faults.count; i++)
        dbk_verify_say(v, DBK_CORRUPT, segment->name, faults.list[i].offset, 0, faults.list[i].text);
    return DBK_OK;
}

/* Damaged blocks of a packed one read as bytes that are no record, so that the walk goes on behind
 * them. */
static dbk_result walk_image(dbk_verifier *v, dbk_file *file, dbk_segment *segment, dbk_error *err)
{
    uint64_t faults = v->report->faults;
    dbk_image *image;
    dbk_scanner scanner;

    dbk_result rc = dbk_image_lend(v->port, file, segment->name, true, &image, err);
    if (rc != DBK_OK) return rc;
    dbk_scanner_init(&scanner, image, segment);
    rc = dbk_verify_records(v, &scanner, segment, err);
    dbk_scanner_release(&scanner);
    bool whole = v->report->faults == faults;
    if (rc == DBK_OK && image->packed) {
        rc = check_packed(v, image, segment, whole, err);
    } else if (rc == DBK_OK && whole && segment->header.features & DBK_FEATURE_PACKED) {
        dbk_verify_say(v, DBK_CORRUPT, segment->name, 0, 0, "its header says that it is packed, and it is not");
    }
    dbk_image_close(image);
    return rc;
}

static dbk_result check_segment(dbk_verifier *v, dbk_file *file, dbk_segment *segment, uint64_t number, dbk_error *err)
{
    opened found;
    bool walk = false;

    dbk_result rc = read_header(v, file, segment, number, &found, err);
    if (rc == DBK_OK) rc = check_header(v, file, segment, &found, number, &walk, err);
    if (rc != DBK_OK || !walk) return rc;
    if (segment->header.size <= DBK_SEGMENT_DATA_OFFSET) {
        if (number > v->base && !dbk_verify_is_covered(v, number, 0)) return DBK_OK;
        dbk_verify_say(v, DBK_LOST, segment->name, segment->header.size, dbk_verify_last_of(v, number),
                       "acknowledged entries are gone");
        skip_segment(v, number);
        return DBK_OK;
    }
    v->report->segments += v->firsts[number - 1] != 0;
    return walk_image(v, file, segment, err);
}

static void forget_seen(dbk_seen *seen)
{
    if (seen) memset(seen, 0, sizeof(*seen));
}

/* For files that there are: the highest number, which a name may say, is no measure of memory. */
static dbk_result make_seen(dbk_verifier *v, uint64_t number, dbk_error *err)
{
    dbk_seen **seen = &v->seen[number - 1];

    if (!*seen) *seen = dbk_alloc_zero(v->port, 1, sizeof(**seen));
    return *seen ? DBK_OK : dbk_fail(err, DBK_NO_MEMORY, "cannot verify the log: out of memory");
}

/* A file that cannot be read is a fault, and the rest is still looked at. */
dbk_result dbk_verify_file(dbk_verifier *v, uint64_t number, dbk_error *err)
{
    dbk_segment *segment = dbk_segment_new(v->port, number);
    uint64_t faults = v->report->faults;
    dbk_file *file = NULL;
    dbk_error local = {0};

    if (!segment) return dbk_fail(err, DBK_NO_MEMORY, "cannot verify the log: out of memory");
    forget_seen(v->seen[number - 1]);
    dbk_result rc = dbk_io_open(v->port, v->dir, segment->name, DBK_OPEN_READ, &file, &local);
    if (rc == DBK_OK) rc = make_seen(v, number, &local);
    if (rc == DBK_OK) rc = check_segment(v, file, segment, number, &local);
    v->ended = v->ended || rc == DBK_NO_MEMORY;
    if (file) v->port->close_file(v->port->ctx, file);
    if (rc == DBK_MISSING) {
        dbk_verify_say(v, DBK_GAP, segment->name, 0, dbk_verify_last_of(v, number), "the segment is missing");
    } else if (rc != DBK_OK && !v->ended) {
        dbk_verify_say(v, rc, segment->name, 0, dbk_verify_last_of(v, number), local.text);
    }
    if (rc != DBK_OK) skip_segment(v, number);
    if (v->seen[number - 1]) v->seen[number - 1]->known = rc == DBK_OK && v->report->faults == faults;
    dbk_segment_free(v->port, segment);
    if (v->ended && err) *err = local;
    return v->ended ? rc : DBK_OK;
}

static dbk_result look_at_start(dbk_verifier *v, dbk_file *file, dbk_segment *segment, uint64_t number, dbk_error *err)
{
    dbk_record record;
    bool started = false;
    dbk_image *image;
    dbk_start start;
    opened found;

    dbk_result rc = read_header(v, file, segment, number, &found, err);
    v->all_bytes += found.file_bytes;
    if (rc != DBK_OK || segment->header.number != number) return rc; /* of a later format it has none */
    if (segment->header.size < DBK_SEGMENT_DATA_OFFSET + DBK_UNIT_MIN) return DBK_OK;
    rc = dbk_image_lend(v->port, file, segment->name, true, &image, err);
    if (rc != DBK_OK) return rc;
    if (image->packed) {
        v->last_packed = number;
        v->all_bytes += image->head.end;
    }
    rc = dbk_load_start(image, segment, &record, &start, &started, err);
    dbk_image_close(image);
    if (rc == DBK_OK && started) {
        v->firsts[number - 1] = segment->first_position;
        v->base = number;
    } else if (found.rebuilt) {
        v->base = number; /* it has a sound record, only not its first */
    }
    return rc;
}

/* Where each segment begins, to say what is gone with it. Failures show when it is checked. */
static void look_at_starts(dbk_verifier *v)
{
    for (uint64_t number = 1; number <= v->count; number++) {
        dbk_segment *segment = dbk_segment_new(v->port, number);
        dbk_file *file;

        if (!segment) return;
        if (dbk_io_open(v->port, v->dir, segment->name, DBK_OPEN_READ, &file, NULL) == DBK_OK) {
            (void)!look_at_start(v, file, segment, number, NULL);
            v->port->close_file(v->port->ctx, file);
        }
        dbk_segment_free(v->port, segment);
    }
}

static dbk_result count_segments(dbk_verifier *v, dbk_error *err)
{
    dbk_error local = {0};
    dbk_buffer numbers;

    dbk_result rc = dbk_watermark_read(v->port, v->dir, v->options.store_id, &v->mark, &v->mark_valid, &local);
    if (rc != DBK_OK) dbk_verify_say(v, rc, DBK_WATERMARK_NAME, 0, 0, local.text);
    dbk_buffer_init(&numbers, v->port);
    rc = dbk_load_list(v->port, v->dir, &numbers, err);
    if (rc == DBK_OK && numbers.size) v->count = dbk_load_u64(numbers.data + numbers.size - 8);
    dbk_buffer_release(&numbers);
    if (rc != DBK_OK) return rc;
    if (v->count == 0 && !v->mark_valid) return dbk_fail(err, DBK_MISSING, "there is no log in the folder");
    if (v->mark_valid && v->mark.segment > v->count && v->mark.segment - v->count < MISSING_MAX)
        v->count = v->mark.segment;
    if (v->count > 16 * 1024 * 1024) return dbk_fail(err, DBK_CORRUPT, "there are segment numbers beyond all bounds");
    v->firsts = dbk_alloc_zero(v->port, v->count, sizeof(*v->firsts));
    v->nexts = dbk_alloc_zero(v->port, v->count, sizeof(*v->nexts));
    v->seen = dbk_alloc_zero(v->port, v->count, sizeof(*v->seen));
    v->state = dbk_alloc(v->port, sizeof(*v->state));
    if (v->firsts && v->nexts && v->seen && v->state) return DBK_OK;
    return dbk_fail(err, DBK_NO_MEMORY, "cannot verify the log: out of memory");
}

static void tell_no_next(dbk_verifier *v)
{
    char name[DBK_SEGMENT_NAME_SIZE];

    dbk_segment_name(v->count + 1, "seg", name);
    dbk_verify_say(v, DBK_LOST, name, 0, 0, "the segment is missing: the packed one before shows that it was there");
}

/* A start names the place of the seal before it. */
static void check_links(dbk_verifier *v)
{
    for (uint64_t number = 2; number <= v->count; number++) {
        const dbk_seen *before = v->seen[number - 2], *seen = v->seen[number - 1];
        char name[DBK_SEGMENT_NAME_SIZE];
        if (!before || !seen || !before->known || !seen->known || !before->sealed || !seen->first_position) continue;
        if (seen->before_seal == before->seal_offset) continue;
        dbk_segment_name(number, "seg", name);
        dbk_verify_say(v, DBK_CORRUPT, name, DBK_SEGMENT_DATA_OFFSET, 0,
                       "its start names another place of the seal before it");
    }
}

dbk_result dbk_log_verify(const dbk_port *port, dbk_dir *dir, const dbk_log_options *options, dbk_verify_depth depth,
                          const dbk_log_watcher *watcher, dbk_log_report *report, dbk_error *err)
{
    dbk_verifier v = {.port = port,
                      .dir = dir,
                      .options = *options,
                      .proof = depth == DBK_VERIFY_PROOF,
                      .watcher = watcher,
                      .report = report,
                      .expect = {1, 0, false},
                      .linked = true};
    dbk_verify_point point;

    memset(report, 0, sizeof(*report));
    dbk_verify_find_point(&v, &point);
    dbk_result rc = count_segments(&v, err);
    if (rc == DBK_OK) {
        dbk_state_init(v.state);
        look_at_starts(&v);
        for (uint64_t i = v.count, next = 0; i-- > 0; v.nexts[i] = next)
            if (v.firsts[i]) next = v.firsts[i];
    }
    if (rc == DBK_OK) rc = dbk_verify_files(&v, err);
    if (rc == DBK_OK) check_links(&v);
    if (rc == DBK_OK && v.last_packed && v.last_packed == v.count) tell_no_next(&v);
    if (rc == DBK_OK) rc = dbk_verify_caches(&v, err);
    report->file_bytes = dbk_log_file_bytes(port, dir);
    dbk_free(port, v.firsts);
    dbk_free(port, v.nexts);
    for (uint64_t i = 0; v.seen && i < v.count; i++) dbk_free(port, v.seen[i]);
    dbk_free(port, v.seen);
    dbk_free(port, v.state);
    return rc;
}
