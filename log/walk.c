/* Walks through the records of the active segment and gathers what is known of the spot where they
 * end. Reads only. */
#include "log/load.h"

#include <assert.h>

/* The watermark's place must hold the record it names: another one there is another history. */
static bool mark_contradicts(const dbk_log *log, const dbk_segment *segment, uint64_t end, uint64_t checksum)
{
    const dbk_watermark *mark = &log->mark;

    return log->mark_valid && mark->segment == segment->header.number && mark->offset == end &&
           mark->checksum != checksum;
}

/* Under the lock: other threads may read beside a refresh. A batch is taken in whole or not at all.
 */
static dbk_result take_record(dbk_log *log, dbk_segment *segment, const dbk_record *record, const uint8_t *whole,
                              uint64_t bytes, dbk_error *err)
{
    dbk_seal seal;

    if (record->type == DBK_RECORD_SEAL) {
        dbk_slice payload = dbk_slice_of(whole + DBK_RECORD_HEADER_SIZE, record->payload_bytes);
        if (!dbk_seal_decode(payload, &seal) || seal.first_position != segment->first_position) {
            return dbk_fail(err, DBK_CORRUPT, "the seal is not this segment's");
        }
        segment->seal_offset = record->offset;
        memcpy(segment->head, record->head, sizeof(segment->head));
        log->state.previous = record->checksum;
        log->state.received_ms = record->received_ms;
    } else {
        *log->scratch = log->state;
        dbk_result rc = dbk_state_take(log->scratch, segment, segment->table, record, whole, bytes, err);
        if (rc != DBK_OK) {
            dbk_index_table_cut(segment->table, log->state.position + 1);
            return rc;
        }
        log->state = *log->scratch;
        segment->last_position = log->state.position;
    }
    segment->end = record->offset + bytes;
    segment->records++;
    return DBK_OK;
}

/* The end that a clean watermark names, whose segment it is: nothing was appended since, or an unclean one would stand
 * there. */
static bool is_clean_end(const dbk_log *log, uint64_t offset, const dbk_expect *expect)
{
    const dbk_watermark *mark = &log->mark;

    return mark->offset == offset && mark->checksum == expect->previous && mark->position + 1 == expect->position;
}

/* Goes no further than to the clean end; what lies beyond the near bytes is left to behind.c. */
static dbk_result stop_at_end(dbk_scanner *scanner, size_t near, dbk_plan *plan, dbk_error *err)
{
    uint64_t left = scanner->header.size - plan->offset;
    const uint8_t *at;

    if (near > left) near = (size_t)left;
    plan->situation.head = DBK_HEAD_ZEROS;
    plan->quiet = true;
    if (!near) return DBK_OK; /* the file ends here too, and nothing of it has been read */
    scanner->chunk = near;
    dbk_result rc = dbk_scanner_view(scanner, plan->offset, near, &at, err);
    if (rc == DBK_OK) plan->quiet = dbk_all_zero(at, near);
    return rc;
}

static dbk_result walk_records(dbk_log *log, dbk_scanner *scanner, uint64_t limit, bool take, dbk_plan *plan,
                               uint64_t *proven, dbk_error *err)
{
    dbk_segment *segment = dbk_log_active(log);
    dbk_expect expect = {log->state.position + 1, log->state.previous, false};
    uint64_t bytes = 0;

    plan->segment = segment->header.number;
    plan->offset = segment->end;
    bool sealed = segment->seal_offset != 0;
    for (;;) {
        dbk_record record;
        const uint8_t *whole;
        plan->position = expect.position;
        if (sealed) {
            plan->situation.head = DBK_HEAD_MISSING; /* goes on in the next segment */
            return DBK_OK;
        }
        if (log->trusts_end && is_clean_end(log, plan->offset, &expect))
            return stop_at_end(scanner, log->options.near_bytes, plan, err);
        dbk_result rc =
            dbk_scan_record(scanner, plan->offset, &expect, &record, &whole, &bytes, &plan->situation.head, err);
        if (rc != DBK_OK || plan->situation.head != DBK_HEAD_RECORD) return rc;
        if (record.durable_upto > *proven) *proven = record.durable_upto;
        if (record.first_position + record.count - 1 > limit) return DBK_OK;
        if (take) {
            dbk_log_lock(log);
            rc = take_record(log, segment, &record, whole, bytes, err);
            dbk_log_unlock(log);
        }
        if (rc == DBK_CORRUPT || rc == DBK_VERSION) plan->situation.head = DBK_HEAD_ALIEN;
        if (rc != DBK_OK) return rc;
        plan->offset += bytes;
        expect.position += record.count;
        expect.previous = record.checksum;
        sealed = record.type == DBK_RECORD_SEAL;
        if (mark_contradicts(log, segment, plan->offset, record.checksum)) {
            plan->situation.head = DBK_HEAD_ALIEN;
            return dbk_fail(err, DBK_CORRUPT, "the watermark was written behind another record");
        }
    }
}

dbk_result dbk_walk(dbk_log *log, uint64_t limit, bool take, dbk_plan *plan, uint64_t *proven, dbk_error *err)
{
    dbk_segment *segment = dbk_log_active(log);
    dbk_scanner scanner;
    dbk_image *image;

    memset(plan, 0, sizeof(*plan));
    dbk_result rc = dbk_segment_pin(log, segment, &image, err);
    if (rc != DBK_OK) return rc;
    dbk_scanner_init(&scanner, image, segment);
    if (log->trusts_end) scanner.chunk = log->options.near_bytes;
    rc = walk_records(log, &scanner, limit, take, plan, proven, err);
    dbk_scanner_release(&scanner);
    dbk_segment_unpin(log, image);
    if (rc == DBK_IO || plan->situation.head == DBK_HEAD_ALIEN) {
        plan->situation.later = DBK_LATER_NONE;
        if (rc == DBK_IO) plan->situation.head = DBK_HEAD_UNREADABLE;
        plan->row = dbk_recover_decide(&plan->situation);
        return dbk_error_wrap(err, rc, "'%s' at offset %llu, position %llu: %s", segment->name,
                              (unsigned long long)plan->offset, (unsigned long long)plan->position,
                              dbk_recovery_table[plan->row].text);
    }
    return rc;
}

/* From `offset` up to `until` (at most the file's end), which is a new look at the file. */
static dbk_result look_behind(dbk_log *log, const dbk_segment *segment, uint64_t offset, uint64_t until,
                              dbk_evidence *evidence, dbk_error *err)
{
    dbk_scanner scanner;
    dbk_image *image;

    dbk_result rc = dbk_image_open(log->port, log->dir, segment->name, &image, err);
    if (rc != DBK_OK) return rc;
    dbk_scanner_init(&scanner, image, segment);
    if (until > DBK_SEGMENT_SIZE_MAX) until = DBK_SEGMENT_SIZE_MAX; /* a file may be said to have any size */
    scanner.header.size = until / DBK_UNIT_MIN * DBK_UNIT_MIN;
    scanner.store_id = log->options.store_id;
    rc = dbk_scan_evidence(&scanner, offset, evidence, err);
    dbk_scanner_release(&scanner);
    dbk_image_close(image);
    return rc;
}

/* The segment behind the base, which has no sound start. Where the base is sealed the log goes on
 * there: the spot moves. Where it is not, records in it prove that the base once was. A file still
 * further on was made only after that segment's start was durable. */
static dbk_result judge_next(dbk_log *log, const dbk_survey *survey, dbk_plan *plan, dbk_error *err)
{
    dbk_found *next = &survey->found[survey->base];
    uint64_t number = survey->base + 1;
    bool beyond = survey->count > number;
    dbk_segment place = *next->segment;
    uint64_t file_bytes = next->file_bytes;
    uint64_t from = file_bytes < DBK_SEGMENT_DATA_OFFSET ? file_bytes : DBK_SEGMENT_DATA_OFFSET;
    uint64_t near = from + log->options.near_bytes < file_bytes ? from + log->options.near_bytes : file_bytes;
    dbk_evidence evidence = {0};

    place.header.number = number;
    if (!next->sound) place.header.salt = 0; /* whichever the records name */
    bool quiet = plan->quiet && next->sound && !beyond;
    dbk_result rc = quiet ? look_behind(log, &place, from, near, &evidence, err) : DBK_OK;
    if (rc == DBK_OK && (!quiet || evidence.used_end > from))
        rc = look_behind(log, &place, from, file_bytes, &evidence, err);
    if (rc != DBK_OK) return rc;
    next->used = evidence.used_end > DBK_SEGMENT_DATA_OFFSET;
    if (plan->situation.head != DBK_HEAD_MISSING) {
        plan->situation.sealed = evidence.later || beyond;
        return DBK_OK;
    }
    plan->segment = number;
    plan->offset = DBK_SEGMENT_DATA_OFFSET;
    plan->used_end = evidence.used_end;
    plan->situation.head = next->used ? DBK_HEAD_BAD : DBK_HEAD_ZEROS;
    if (evidence.later) {
        bool above = evidence.durable_upto >= plan->position || !next->sound;
        plan->situation.later = above ? DBK_LATER_ABOVE : DBK_LATER_BELOW;
    } else if (!next->sound) {
        plan->situation.head = DBK_HEAD_MISSING; /* an unfinished preparation: made anew when needed */
    }
    if (beyond) plan->situation.later = DBK_LATER_ABOVE;
    return DBK_OK;
}

static dbk_result judge_spot(dbk_log *log, dbk_plan *plan, dbk_error *err)
{
    dbk_segment *segment = dbk_log_active(log);
    dbk_evidence evidence;
    bool stranger = plan->situation.head == DBK_HEAD_STRANGER;

    uint64_t from = plan->offset + (stranger ? 0 : DBK_UNIT_MIN);
    dbk_result rc = look_behind(log, segment, from, segment->header.size, &evidence, err);
    if (rc != DBK_OK) return rc;
    plan->used_end = evidence.used_end;
    if (evidence.later) {
        bool above = evidence.durable_upto >= plan->position;
        plan->situation.later = above ? DBK_LATER_ABOVE : DBK_LATER_BELOW;
    }
    return DBK_OK;
}

static bool covered(const dbk_log *log, const dbk_plan *plan)
{
    const dbk_watermark *mark = &log->mark;

    if (!log->mark_valid) return false;
    return mark->position >= plan->position || mark->segment > plan->segment ||
           (mark->segment == plan->segment && mark->offset > plan->offset);
}

dbk_result dbk_walk_judge(dbk_log *log, const dbk_survey *survey, dbk_plan *plan, dbk_error *err)
{
    char name[DBK_SEGMENT_NAME_SIZE];
    dbk_result rc = DBK_OK;
    unsigned head = plan->situation.head;

    plan->situation.later = DBK_LATER_NONE;
    if (head == DBK_HEAD_MISSING) {
        plan->segment++;
        plan->offset = DBK_SEGMENT_DATA_OFFSET;
    }
    if (head & (DBK_HEAD_BAD | DBK_HEAD_MISDIRECTED | DBK_HEAD_STRANGER)) rc = judge_spot(log, plan, err);
    if (rc == DBK_OK && survey->count > survey->base) rc = judge_next(log, survey, plan, err);
    if (rc != DBK_OK) return rc;
    plan->situation.covered = covered(log, plan);
    plan->row = dbk_recover_decide(&plan->situation);
    if (dbk_recovery_table[plan->row].decision != DBK_DECIDE_REFUSE) return DBK_OK;
    dbk_segment_name(plan->segment, "seg", name);
    return dbk_load_refuse(plan, name, "", err);
}

/* `totals` receives the segment's own top key and order. */
static dbk_result read_records(dbk_scanner *scanner, const dbk_segment *segment, uint64_t until, const dbk_start *start,
                               dbk_segment *totals, dbk_index_table *table, dbk_log_state *state, dbk_error *err)
{
    dbk_record record = {.first_position = segment->first_position};
    dbk_expect expect = {segment->first_position, 0, true};
    dbk_result rc = DBK_OK;

    dbk_state_begin(state, &record, start);
    for (uint64_t at = DBK_SEGMENT_DATA_OFFSET, bytes = 0; at < until && rc == DBK_OK; at += bytes) {
        const uint8_t *whole;
        dbk_head head;
        rc = dbk_scan_record(scanner, at, &expect, &record, &whole, &bytes, &head, err);
        if (rc == DBK_OK && head != DBK_HEAD_RECORD) {
            rc = dbk_log_bad_record(segment, at, expect.position, segment->last_position, err);
        } else if (rc == DBK_OK && record.type == DBK_RECORD_ENTRIES) {
            rc = dbk_state_take(state, totals, table, &record, whole, bytes, err);
        }
        expect = (dbk_expect){expect.position + record.count, record.checksum, false};
    }
    return rc;
}

dbk_result dbk_load_part(dbk_log *log, dbk_segment *segment, uint64_t until, dbk_segment *totals, dbk_log_state *state,
                         dbk_index_table **out, dbk_error *err)
{
    dbk_index_table *table = dbk_index_table_new(log->port, log->options.store_id, segment->first_position);
    dbk_scanner scanner;
    dbk_image *image;
    dbk_start start;
    dbk_result rc = DBK_OK;

    if (!table) rc = dbk_fail(err, DBK_NO_MEMORY, "cannot index '%s': out of memory", segment->name);
    if (rc == DBK_OK) rc = dbk_load_range(log, segment, &start, err);
    if (rc == DBK_OK) rc = dbk_segment_pin(log, segment, &image, err);
    if (rc == DBK_OK) {
        dbk_scanner_init(&scanner, image, segment);
        rc = read_records(&scanner, segment, until, &start, totals, table, state, err);
        dbk_scanner_release(&scanner);
        dbk_segment_unpin(log, image);
    }
    if (rc == DBK_OK) {
        *out = table;
    } else {
        dbk_index_table_free(table);
    }
    return rc;
}

dbk_result dbk_load_table(dbk_log *log, dbk_segment *segment, dbk_index_table **out, dbk_error *err)
{
    dbk_log_state *state = dbk_alloc(log->port, sizeof(*state));
    dbk_segment totals = {.ordered = true};

    if (!state) return dbk_fail(err, DBK_NO_MEMORY, "cannot index '%s': out of memory", segment->name);
    dbk_result rc = dbk_load_part(log, segment, segment->seal_offset, &totals, state, out, err);
    if (rc == DBK_OK) {
        dbk_log_lock(log);
        memcpy(segment->top, totals.top, sizeof(segment->top)); /* for its run */
        segment->ordered = totals.ordered;
        dbk_log_unlock(log);
    }
    dbk_free(log->port, state);
    return rc;
}

dbk_result dbk_load_range(dbk_log *log, dbk_segment *segment, dbk_start *start, dbk_error *err)
{
    dbk_segment place = *segment;
    dbk_record record;
    dbk_image *image;
    bool started;

    dbk_result rc = dbk_segment_pin(log, segment, &image, err);
    if (rc != DBK_OK) return rc;
    rc = dbk_load_start(image, &place, &record, start, &started, err);
    dbk_segment_unpin(log, image);
    if (rc != DBK_OK) return rc;
    if (started && place.first_position == segment->first_position) return DBK_OK;
    return dbk_log_bad_record(segment, DBK_SEGMENT_DATA_OFFSET, segment->first_position, segment->last_position, err);
}

dbk_result dbk_load_active(dbk_log *log, const dbk_record *record, dbk_error *err)
{
    dbk_segment *segment = dbk_log_active(log);
    dbk_start start;

    segment->table = dbk_index_table_new(log->port, log->options.store_id, segment->first_position);
    if (!segment->table) return dbk_fail(err, DBK_NO_MEMORY, "cannot index '%s': out of memory", segment->name);
    dbk_result rc = dbk_load_range(log, segment, &start, err);
    if (rc == DBK_OK) dbk_state_begin(&log->state, record, &start);
    return rc;
}
