/* Finds out what a log's folder holds, without changing it.
 *
 * Survey: all headers, sizes and start records; the base is the highest segment with a sound start
 * record, all below it are sealed and linked by seal and start. Walk: the base record by record.
 * The first spot where that does not go on, with what is known of it, goes to the table of
 * recover.c. */
#include "log/load.h"

#include <assert.h>
#include <stdlib.h>

static int collect(void *arg, const char *name)
{
    dbk_buffer *numbers = arg;
    uint64_t number;

    if (dbk_segment_name_parse(name, "seg", &number)) dbk_buffer_put_u64(numbers, number);
    return 0;
}

static int compare_numbers(const void *a, const void *b)
{
    uint64_t left = dbk_load_u64(a), right = dbk_load_u64(b);

    return left < right ? -1 : left > right;
}

dbk_result dbk_load_list(const dbk_port *port, dbk_dir *dir, dbk_buffer *numbers, dbk_error *err)
{
    int rc = port->list(port->ctx, dir, collect, numbers);

    if (rc != 0) return dbk_fail_os(err, dbk_result_of_errno(rc), rc, "cannot list the log's folder");
    if (numbers->failed) return dbk_fail(err, DBK_NO_MEMORY, "cannot list the log's folder: out of memory");
    if (numbers->size) qsort(numbers->data, numbers->size / 8, 8, compare_numbers);
    return DBK_OK;
}

dbk_result dbk_load_refuse(const dbk_plan *plan, const char *file, const char *detail, dbk_error *err)
{
    const dbk_recovery_row *row = &dbk_recovery_table[plan->row];
    bool stray = plan->situation.head == DBK_HEAD_MISDIRECTED;

    dbk_result rc = dbk_fail(err, row->code, "'%s' at offset %llu, position %llu: %s%s%s%s", file,
                             (unsigned long long)plan->offset, (unsigned long long)plan->position, row->text,
                             stray ? " (a record of another place stands there)" : "", detail[0] ? ": " : "", detail);
    if (rc == DBK_CORRUPT || rc == DBK_LOST || rc == DBK_GAP) {
        dbk_error_hint(err, "nothing was changed; verify the log, then restore or salvage a copy");
    }
    return rc;
}

/* Refuses for a spot in a segment that must be whole. */
static dbk_result refuse_at(uint64_t number, uint64_t offset, uint64_t position, dbk_head head, bool sealed,
                            const char *detail, dbk_error *err)
{
    dbk_plan plan = {0};
    char name[DBK_SEGMENT_NAME_SIZE];

    plan.situation = (dbk_situation){head, DBK_LATER_NONE, !sealed, sealed};
    plan.segment = number;
    plan.offset = offset;
    plan.position = position;
    plan.row = dbk_recover_decide(&plan.situation);
    dbk_segment_name(number, "seg", name);
    return dbk_load_refuse(&plan, name, detail, err);
}

/* A header that is sound but of another place: which other, decides the word for it. */
dbk_result dbk_load_judge_header(const dbk_log_options *options, const dbk_segment *segment, uint64_t number,
                                 dbk_error *err)
{
    static const uint8_t none[16];
    char other[DBK_SEGMENT_NAME_SIZE];

    if (memcmp(segment->header.store_id, options->store_id, 16) != 0) {
        return dbk_fail(err, DBK_FOREIGN, "segment '%s' belongs to another store", segment->name);
    }
    if (memcmp(options->lineage, none, 16) != 0 && memcmp(segment->header.lineage, options->lineage, 16) != 0) {
        return dbk_fail(err, DBK_FOREIGN, "segment '%s' belongs to another lineage", segment->name);
    }
    if (segment->header.number == number) return DBK_OK;
    dbk_segment_name(segment->header.number, "seg", other);
    return dbk_fail(err, DBK_DUPLICATE, "segment '%s' is a copy of '%s'", segment->name, other);
}

dbk_result dbk_load_start(dbk_image *image, dbk_segment *segment, dbk_record *record, dbk_start *start, bool *started,
                          dbk_error *err)
{
    dbk_scanner scanner;
    const uint8_t *at;

    *started = false;
    dbk_scanner_init(&scanner, image, segment);
    scanner.chunk = DBK_UNIT_MAX;
    dbk_result rc = dbk_scanner_view(&scanner, DBK_SEGMENT_DATA_OFFSET, DBK_RECORD_HEADER_SIZE, &at, err);
    if (rc == DBK_OK && dbk_record_decode(at, scanner.store_id, record)) {
        dbk_expect expect = {record->first_position, 0, true};
        const uint8_t *whole;
        uint64_t bytes = 0;
        dbk_head head;
        rc = dbk_scan_record(&scanner, DBK_SEGMENT_DATA_OFFSET, &expect, record, &whole, &bytes, &head, err);
        if (rc == DBK_OK && head == DBK_HEAD_RECORD) {
            dbk_slice payload = dbk_slice_of(whole + DBK_RECORD_HEADER_SIZE, record->payload_bytes);
            *started = dbk_start_decode(payload, start) && start->range.count == record->first_position - 1;
            segment->before_seal = start->seal_offset;
            segment->first_position = record->first_position;
            segment->last_position = record->first_position - 1;
            segment->end = DBK_SEGMENT_DATA_OFFSET + bytes;
            segment->records = 1;
        }
    }
    dbk_scanner_release(&scanner);
    return rc;
}

/* The head of a packed segment says all that start and seal of a plain one say. */
static void take_head(dbk_found *found, const dbk_pack_head *head)
{
    dbk_segment *segment = found->segment;

    segment->packed = true;
    segment->packed_bytes = head->file_bytes;
    segment->first_position = head->first_position;
    segment->last_position = head->last_position;
    segment->end = head->end;
    segment->records = head->records;
    segment->seal_offset = head->seal_offset;
    segment->before_seal = head->before_seal;
    segment->seal_checksum = head->seal_checksum;
    memcpy(segment->head, head->head, sizeof(segment->head));
    memcpy(segment->top, head->top, sizeof(segment->top));
    segment->ordered = head->ordered;
    found->record.first_position = head->first_position;
    found->record.previous = head->previous;
    found->started = true;
}

/* Its table is looked at too: where it is damaged, the blocks have to give it again. */
static dbk_result survey_packed(dbk_found *found, const dbk_port *port, dbk_file *file, dbk_error *err)
{
    dbk_segment_header header;
    dbk_pack_head head;
    dbk_decoded decoded;
    dbk_image *image;

    dbk_result rc = dbk_pack_head_read(port, file, found->segment->name, &header, &head, &decoded, err);
    if (rc != DBK_OK || decoded != DBK_DECODED_OK) return rc;
    found->sound = found->file_bytes == head.file_bytes;
    if (!found->sound) return DBK_OK;
    take_head(found, &head);
    rc = dbk_image_lend(port, file, found->segment->name, false, &image, err);
    if (rc == DBK_CORRUPT)
        return refuse_at(header.number, head.table_offset, head.first_position, DBK_HEAD_BAD, true,
                         "its table of blocks is damaged, and its blocks do not give it again", err);
    if (rc != DBK_OK) return rc;
    found->segment->table_lost = image->table_lost;
    dbk_image_close(image);
    return DBK_OK;
}

static dbk_result survey_plain(dbk_found *found, const dbk_port *port, dbk_file *file, dbk_error *err)
{
    dbk_image image = {.port = port, .file = file};
    dbk_start start;

    found->sound = found->file_bytes == found->segment->header.size;
    if (!found->sound) return DBK_OK;
    return dbk_load_start(&image, found->segment, &found->record, &start, &found->started, err);
}

static dbk_result survey_file(dbk_log *log, dbk_found *found, uint64_t number, dbk_file *file, dbk_error *err)
{
    const dbk_port *port = log->port;
    dbk_segment *segment = found->segment;
    dbk_decoded decoded = DBK_DECODED_BAD;

    dbk_result rc = dbk_segment_read_header(port, file, segment->name, &segment->header, &decoded, err);
    if (rc == DBK_OK) rc = dbk_io_size(port, file, segment->name, &found->file_bytes, err);
    if (rc != DBK_OK || decoded == DBK_DECODED_BAD) return rc;
    if (decoded == DBK_DECODED_NEWER) return refuse_at(number, 0, 0, DBK_HEAD_NEWER, true, "", err);
    rc = dbk_load_judge_header(&log->options, segment, number, err);
    if (rc != DBK_OK) return rc;
    return segment->header.features & DBK_FEATURE_PACKED ? survey_packed(found, port, file, err)
                                                         : survey_plain(found, port, file, err);
}

/* The catalog knows the file: it need not be opened. */
static dbk_result survey_known(dbk_log *log, dbk_found *found, const dbk_pack_head *head, uint64_t number,
                               dbk_error *err)
{
    dbk_result rc = dbk_load_judge_header(&log->options, found->segment, number, err);

    if (rc != DBK_OK) return rc;
    found->file_bytes = head->file_bytes;
    found->sound = true;
    take_head(found, head);
    log->cataloged++;
    return DBK_OK;
}

/* One file of the survey. A header that cannot be used leaves sound false. Only in the last two, and behind no clean
 * end, can the cache hold what the disk does not: those before were synced before the next one began. */
static dbk_result survey_one(dbk_log *log, dbk_survey *survey, const dbk_buffer *catalog, uint64_t number,
                             dbk_error *err)
{
    const dbk_port *port = log->port;
    dbk_found *found = &survey->found[number - 1];
    dbk_segment *segment = found->segment = dbk_segment_new(port, number);
    dbk_pack_head head;
    dbk_file *file;

    if (!segment) return dbk_fail(err, DBK_NO_MEMORY, "cannot open the log: out of memory");
    if (dbk_catalog_find(log, catalog, number, segment->name, &segment->header, &head))
        return survey_known(log, found, &head, number, err);
    segment->header = (dbk_segment_header){.number = number};
    dbk_result rc = dbk_io_open(port, log->dir, segment->name, DBK_OPEN_READ, &file, err);
    if (rc != DBK_OK) return rc;
    if (number + 2 > survey->count && !log->trusts_end)
        (void)port->drop_cache(port->ctx, file, 0, DBK_SEGMENT_DATA_OFFSET);
    rc = survey_file(log, found, number, file, err);
    port->close_file(port->ctx, file);
    if (rc == DBK_IO) (void)refuse_at(number, 0, 0, DBK_HEAD_UNREADABLE, true, "", NULL);
    return rc;
}

void dbk_survey_release(const dbk_log *log, dbk_survey *survey)
{
    for (uint64_t i = 0; survey->found && i < survey->count; i++) {
        dbk_segment_free(log->port, survey->found[i].segment);
    }
    dbk_free(log->port, survey->found);
    memset(survey, 0, sizeof(*survey));
}

static dbk_result check_numbers(const dbk_log *log, const dbk_buffer *numbers, dbk_error *err)
{
    uint64_t count = numbers->size / 8;

    for (uint64_t i = 0; i < count; i++) {
        if (dbk_load_u64(numbers->data + i * 8) != i + 1) {
            return refuse_at(i + 1, 0, 0, DBK_HEAD_MISSING, true, "", err);
        }
    }
    if (log->mark_valid && log->mark.segment > count) {
        return refuse_at(count + 1, 0, 0, DBK_HEAD_MISSING, false, "the watermark names it", err);
    }
    if (count == 0) return dbk_fail(err, DBK_MISSING, "there is no log in the folder");
    return DBK_OK;
}

dbk_result dbk_survey_take(dbk_log *log, dbk_survey *known, dbk_survey *survey, dbk_error *err)
{
    uint64_t number = 1;
    dbk_buffer numbers, catalog;

    memset(survey, 0, sizeof(*survey));
    dbk_buffer_init(&numbers, log->port);
    dbk_result rc = dbk_watermark_read(log->port, log->dir, log->options.store_id, &log->mark, &log->mark_valid, err);
    log->trusts_end = log->mark_valid && log->mark.clean && !log->doubts_end;
    if (rc == DBK_OK) rc = dbk_load_list(log->port, log->dir, &numbers, err);
    if (rc == DBK_OK) rc = check_numbers(log, &numbers, err);
    uint64_t count = numbers.size / 8;
    dbk_buffer_release(&numbers);
    if (rc != DBK_OK) return rc;
    survey->found = dbk_alloc_zero(log->port, count, sizeof(*survey->found));
    if (!survey->found) return dbk_fail(err, DBK_NO_MEMORY, "cannot open the log: out of memory");
    survey->count = count;
    for (; known && number < known->base && number <= count; number++) {
        survey->found[number - 1] = known->found[number - 1];
        known->found[number - 1].segment = NULL;
        survey->base = number;
    }
    dbk_buffer_init(&catalog, log->port);
    if (number + 2 <= count) dbk_catalog_read(log, &catalog);
    for (; number <= count && rc == DBK_OK; number++) {
        rc = survey_one(log, survey, &catalog, number, err);
        if (rc == DBK_OK && survey->found[number - 1].started) survey->base = number;
    }
    dbk_buffer_release(&catalog);
    return rc;
}

/* The packed segment before ends with the record that this one follows. */
static dbk_result check_packed(const dbk_segment *before, const dbk_segment *segment, const dbk_record *start,
                               dbk_error *err)
{
    if (segment->before_seal == before->seal_offset && start->previous == before->seal_checksum &&
        start->first_position == before->last_position + 1) {
        return DBK_OK;
    }
    return refuse_at(before->header.number, before->seal_offset, start->first_position, DBK_HEAD_STRANGER, true,
                     "the seal is not the one that the next segment follows", err);
}

static bool is_seal_of(const dbk_segment *segment, const dbk_record *record, const uint8_t *whole, dbk_seal *seal)
{
    dbk_slice payload = dbk_slice_of(whole + DBK_RECORD_HEADER_SIZE, record->payload_bytes);

    return record->type == DBK_RECORD_SEAL && dbk_seal_decode(payload, seal) &&
           seal->first_position == segment->first_position;
}

/* The seal of the segment before: where this start says, sound, the record it follows. */
static dbk_result check_seal(dbk_log *log, dbk_segment *before, const dbk_segment *segment, const dbk_record *start,
                             dbk_error *err)
{
    dbk_expect expect = {start->first_position, 0, true};
    uint64_t offset = segment->before_seal, bytes;
    dbk_head head = DBK_HEAD_BAD;
    dbk_record record;
    dbk_scanner scanner;
    const uint8_t *whole;
    dbk_image *image;
    dbk_seal seal;

    if (before->packed) return check_packed(before, segment, start, err);
    if (offset < before->end || offset >= before->header.size || offset % before->header.unit) {
        return refuse_at(before->header.number, offset, start->first_position, DBK_HEAD_BAD, true, "no seal", err);
    }
    dbk_result rc = dbk_segment_pin(log, before, &image, err);
    if (rc != DBK_OK) return rc;
    dbk_scanner_init(&scanner, image, before);
    scanner.chunk = DBK_UNIT_MAX;
    rc = dbk_scan_record(&scanner, offset, &expect, &record, &whole, &bytes, &head, err);
    if (rc == DBK_OK) {
        bool right =
            head == DBK_HEAD_RECORD && record.checksum == start->previous && is_seal_of(before, &record, whole, &seal);
        if (!right) {
            if (head == DBK_HEAD_RECORD) head = DBK_HEAD_STRANGER;
            rc = refuse_at(before->header.number, offset, start->first_position, head, true,
                           "the seal is not the one that the next segment follows", err);
        } else {
            before->last_position = record.first_position - 1;
            before->seal_offset = offset;
            before->end = offset + bytes;
            before->records = seal.records;
            memcpy(before->head, record.head, sizeof(before->head));
        }
    }
    dbk_scanner_release(&scanner);
    dbk_segment_unpin(log, image);
    return rc;
}

/* A segment is packed after the next one has begun, so a packed one is never the last. */
static dbk_result check_base(const dbk_survey *survey, dbk_error *err)
{
    const dbk_segment *base = survey->found[survey->base - 1].segment;

    if (!base->packed) return DBK_OK;
    return refuse_at(survey->base + 1, DBK_SEGMENT_DATA_OFFSET, base->last_position + 1,
                     survey->count > survey->base ? DBK_HEAD_ZEROS : DBK_HEAD_MISSING, false,
                     "the packed segment before it shows that it had begun", err);
}

/* Moves the segments up to the base into the log, each checked against the one before. */
dbk_result dbk_survey_link(dbk_log *log, dbk_survey *survey, dbk_error *err)
{
    if (survey->base == 0) {
        return refuse_at(1, DBK_SEGMENT_DATA_OFFSET, 1, DBK_HEAD_BAD, true, "no segment has a sound start", err);
    }
    dbk_result last = check_base(survey, err);
    if (last != DBK_OK) return last;
    for (uint64_t i = 0; i < survey->base; i++) {
        dbk_found *found = &survey->found[i];
        if (!found->started) {
            uint64_t position = i ? log->segments[i - 1]->first_position : 1;
            return refuse_at(i + 1, found->sound ? DBK_SEGMENT_DATA_OFFSET : 0, position, DBK_HEAD_BAD, true,
                             found->sound ? "its start record is damaged" : "its header or size is damaged", err);
        }
        if (i > 0) {
            dbk_result rc = check_seal(log, log->segments[i - 1], found->segment, &found->record, err);
            if (rc != DBK_OK) return rc;
        }
        dbk_result rc = dbk_log_add_segment(log, found->segment, err);
        if (rc != DBK_OK) return rc;
        found->segment = NULL;
    }
    return DBK_OK;
}
