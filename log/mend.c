/* Mending: a damaged or missing segment is replaced by another file of the same number, if and only if
 * this log itself proves it to be the one that was there:
 *   1. every record of it is sound, linked to the one before, and gives its head
 *   2. it follows the segment before, and the segment behind follows it, by checksum, position and head
 *   3. no record that is still sound here is another one there
 *   4. its last record is named from here: by the start of the segment behind, by the watermark, or by
 *      that record itself, still sound in the damaged file
 * Damaged neighbours are proven together. What is not proven is left as it is and told.
 *
 * A packed segment of which only the table of blocks is damaged is packed again, from its blocks; no copy is asked for.
 *
 * On disk, for each other: the damaged file is copied to "<number>.damaged-<ms>", synced with its name; the
 * whole one is written to "<number>.mend", synced; that is renamed to the segment's name, synced. */
#include "log/load.h"

#include <assert.h>
#include <stdio.h>

/* What one file turned out to be. */
typedef struct gauge {
    bool there, whole, sealed;
    bool torn;       /* nothing but the last record is wrong */
    bool table_lost; /* packed, nothing but its table of blocks is wrong */
    uint64_t first_position, next_position;
    uint64_t previous, last; /* checksums: of the record before the first; of the last */
    uint64_t end;            /* behind the last record */
    uint8_t first_head[DBK_LEAF_SIZE], end_head[DBK_LEAF_SIZE];
    dbk_segment_header header;
    dbk_pack_head sum;  /* what the records say that a packed head says again */
    dbk_buffer records; /* u64 offset, u64 checksum of each sound record in its place */
    char why[128];      /* not whole */
} gauge;

typedef struct mender {
    const dbk_port *port;
    dbk_dir *dir, *from;
    const dbk_log_options *options;
    const dbk_mend_watcher *watcher;
    dbk_watermark mark;
    bool mark_valid;
    uint64_t count, base;
    gauge *ours, *theirs; /* [number - 1]; theirs only where ours is not whole */
    bool *chosen;         /* theirs[i] stands for ours[i] */
    dbk_log_state *state;
} mender;

/* ---- looking at one file */

static void not_whole(gauge *g, const char *why)
{
    g->whole = false;
    if (!g->why[0]) (void)snprintf(g->why, sizeof(g->why), "%.*s", (int)sizeof(g->why) - 1, why); /* cut */
}

static void note_record(gauge *g, const dbk_record *record)
{
    dbk_buffer_put_u64(&g->records, record->offset);
    dbk_buffer_put_u64(&g->records, record->checksum);
}

static uint64_t checksum_at(const gauge *g, uint64_t offset)
{
    for (size_t i = 0; i + 16 <= g->records.size; i += 16) {
        if (dbk_load_u64(g->records.data + i) == offset) return dbk_load_u64(g->records.data + i + 8);
    }
    return 0;
}

/* The first record says what was before; every other one has to follow. */
static void take_record(mender *m, gauge *g, dbk_segment *segment, const dbk_record *record, const uint8_t *whole,
                        uint64_t bytes)
{
    dbk_slice payload = dbk_slice_of(whole + DBK_RECORD_HEADER_SIZE, record->payload_bytes);
    uint8_t head[DBK_LEAF_SIZE];
    dbk_start start;

    if (record->type == DBK_RECORD_START) {
        if (!dbk_start_decode(payload, &start) || start.range.count != record->first_position - 1) {
            not_whole(g, "its start record does not decode");
            return;
        }
        dbk_state_begin(m->state, record, &start);
        g->first_position = record->first_position;
        g->previous = record->previous;
        memcpy(g->first_head, record->head, DBK_LEAF_SIZE);
    } else if (record->type == DBK_RECORD_ENTRIES &&
               dbk_state_take(m->state, segment, NULL, record, whole, bytes, NULL) != DBK_OK) {
        not_whole(g, "a batch of it does not give its head");
        return;
    }
    dbk_range_head(&m->state->range, head);
    if (memcmp(head, record->head, DBK_LEAF_SIZE) != 0) {
        not_whole(g, "a record of it has another head than its entries");
        return;
    }
    g->sealed = record->type == DBK_RECORD_SEAL;
    g->last = record->checksum;
    g->end = record->offset + bytes;
    g->next_position = record->first_position + record->count;
    memcpy(g->end_head, record->head, DBK_LEAF_SIZE);
}

/* Behind damage: whatever is sound in its place still speaks against a false copy. */
static dbk_result note_survivors(dbk_scanner *scanner, uint64_t offset, gauge *g, dbk_error *err)
{
    for (; offset + DBK_UNIT_MIN <= scanner->header.size; offset += DBK_UNIT_MIN) {
        const uint8_t *at;
        dbk_record record;
        dbk_result rc = dbk_scanner_view(scanner, offset, DBK_UNIT_MIN, &at, err);
        if (rc != DBK_OK) return rc;
        if (!dbk_record_decode(at, scanner->store_id, &record) || record.offset != offset) continue;
        if (record.segment != scanner->header.number) continue;
        if (record.salt != scanner->header.salt) continue;
        note_record(g, &record);
    }
    return DBK_OK;
}

static dbk_result walk(mender *m, dbk_scanner *scanner, dbk_segment *segment, gauge *g, dbk_error *err)
{
    dbk_expect expect = {0, 0, true};
    uint64_t offset = DBK_SEGMENT_DATA_OFFSET, bytes = 0;
    const uint8_t *whole;
    dbk_record record;
    dbk_head head = DBK_HEAD_RECORD;

    dbk_result rc = dbk_scanner_view(scanner, offset, DBK_RECORD_HEADER_SIZE, &whole, err);
    if (rc != DBK_OK) return rc;
    if (dbk_record_decode(whole, scanner->store_id, &record)) expect.position = record.first_position;
    for (; !g->sealed; offset += bytes) {
        rc = dbk_scan_record(scanner, offset, &expect, &record, &whole, &bytes, &head, err);
        if (rc != DBK_OK || head != DBK_HEAD_RECORD) break;
        note_record(g, &record);
        dbk_pack_head_add(&g->sum, &record, whole, bytes);
        take_record(m, g, segment, &record, whole, bytes);
        if (!g->whole) break;
        expect = (dbk_expect){record.first_position + record.count, record.checksum, false};
    }
    if (rc != DBK_OK) return rc;
    if (head != DBK_HEAD_RECORD && head != DBK_HEAD_ZEROS) not_whole(g, "a record is damaged");
    if (g->next_position == 0) not_whole(g, "it has no sound start record");
    if (g->whole) return DBK_OK;
    size_t before = g->records.size;
    rc = note_survivors(scanner, offset, g, err); /* its own header too, which names what it had */
    size_t behind = g->records.size - before;
    bool own = behind && dbk_load_u64(g->records.data + before) == offset;
    g->torn = g->next_position && head != DBK_HEAD_RECORD && behind == (own ? 16 : 0);
    return rc;
}

/* What stands before the records, or around the blocks. */
static dbk_result examine_frame(mender *m, dbk_image *image, const dbk_segment *segment, uint64_t size, gauge *g,
                                dbk_error *err)
{
    dbk_pack_faults faults = {0};
    unsigned copies = 2;
    dbk_result rc;

    if (image->packed) {
        rc = dbk_pack_check(image, &faults, err);
        g->table_lost = image->table_lost;
        if (rc == DBK_OK && faults.count && !image->table_lost) not_whole(g, faults.list[0].text);
        return rc;
    }
    rc = dbk_segment_count_headers(m->port, image->file, segment->name, &segment->header, &copies, err);
    if (segment->header.size != size) not_whole(g, "it has not the size its header names");
    if (copies < 2) not_whole(g, "a header is damaged");
    return rc;
}

static dbk_result walk_image(mender *m, dbk_image *image, dbk_segment *segment, gauge *g, dbk_error *err)
{
    dbk_scanner scanner;

    dbk_scanner_init(&scanner, image, segment);
    dbk_result rc = walk(m, &scanner, segment, g, err);
    dbk_scanner_release(&scanner);
    if (rc != DBK_OK || !image->packed || !g->whole) return rc;
    g->sum.ordered = segment->ordered;
    memcpy(g->sum.top, segment->top, sizeof(g->sum.top));
    if (!dbk_pack_head_agrees(&image->head, &g->sum)) not_whole(g, DBK_PACK_HEAD_LIES);
    return DBK_OK;
}

static dbk_result examine(mender *m, dbk_image *image, dbk_segment *segment, gauge *g, dbk_error *err)
{
    dbk_file *file = image->file;
    uint64_t number = segment->header.number, size = 0;
    dbk_decoded decoded = DBK_DECODED_BAD;
    dbk_error local = {0};
    bool usable = true;

    g->whole = true;
    dbk_result rc = dbk_segment_read_header(m->port, file, segment->name, &segment->header, &decoded, err);
    if (rc == DBK_OK) rc = dbk_io_size(m->port, file, segment->name, &size, err);
    if (rc == DBK_OK && decoded == DBK_DECODED_NEWER)
        return dbk_fail(err, DBK_VERSION, "segment '%s' is written by a later format", segment->name);
    if (rc == DBK_OK && decoded == DBK_DECODED_OK) {
        usable = dbk_load_judge_header(m->options, segment, number, &local) == DBK_OK;
        if (!usable) not_whole(g, local.text);
        rc = examine_frame(m, image, segment, size, g, err);
    } else if (rc == DBK_OK) {
        not_whole(g, "both headers are damaged");
        rc = dbk_segment_rebuild_header(m->port, file, segment->name, m->options, number, size, &segment->header,
                                        &usable, err);
    }
    if (segment->header.size > size && !image->packed) segment->header.size = size / DBK_UNIT_MIN * DBK_UNIT_MIN;
    g->header = segment->header;
    if (rc != DBK_OK || !usable || segment->header.size <= DBK_SEGMENT_DATA_OFFSET) return rc;
    return walk_image(m, image, segment, g, err);
}

/* A file that cannot be read is not whole. */
static dbk_result look(mender *m, dbk_dir *dir, uint64_t number, gauge *g, dbk_error *err)
{
    dbk_segment *segment = dbk_segment_new(m->port, number);
    dbk_error local = {0};
    dbk_identity identity;
    dbk_image *image;

    dbk_buffer_init(&g->records, m->port);
    if (!segment) return dbk_fail(err, DBK_NO_MEMORY, "cannot mend the log: out of memory");
    g->there = m->port->identify(m->port->ctx, dir, segment->name, &identity) == 0;
    dbk_result rc = dbk_image_open_damaged(m->port, dir, segment->name, &image, &local);
    if (rc == DBK_OK) {
        rc = examine(m, image, segment, g, &local);
        dbk_image_close(image);
    }
    dbk_segment_free(m->port, segment);
    if (rc == DBK_OK && g->records.failed) rc = dbk_fail(&local, DBK_NO_MEMORY, "cannot mend the log: out of memory");
    if (rc == DBK_OK) return DBK_OK;
    if (rc == DBK_NO_MEMORY || rc == DBK_VERSION) {
        if (err) *err = local;
        return rc;
    }
    not_whole(g, local.text);
    return DBK_OK;
}

/* ---- judging */

/* The last segment may end anywhere: it is whole when it reaches what the watermark names. */
static bool reaches_mark(const mender *m, uint64_t number, const gauge *g)
{
    if (!m->mark_valid || m->mark.segment < number) return true;
    if (m->mark.segment > number) return g->sealed;
    if (g->end < m->mark.offset) return false;
    for (size_t i = 0; i + 16 <= g->records.size; i += 16) {
        bool ends = i + 16 == g->records.size ? g->end == m->mark.offset
                                              : dbk_load_u64(g->records.data + i + 16) == m->mark.offset;
        if (ends) return dbk_load_u64(g->records.data + i + 8) == m->mark.checksum;
    }
    return false;
}

static void tell_refused(const mender *m, uint64_t number, const char *text)
{
    char name[DBK_SEGMENT_NAME_SIZE];

    dbk_segment_name(number, "seg", name);
    if (m->watcher->refused) m->watcher->refused(m->watcher->arg, name, text);
}

/* Whether every record still sound here stands there too. */
static bool holds_survivors(const gauge *ours, const gauge *theirs)
{
    for (size_t i = 0; i + 16 <= ours->records.size; i += 16) {
        uint64_t offset = dbk_load_u64(ours->records.data + i);
        if (checksum_at(theirs, offset) != dbk_load_u64(ours->records.data + i + 8)) return false;
    }
    return true;
}

static const gauge *standing(const mender *m, uint64_t number)
{
    const gauge *g = m->chosen[number - 1] ? &m->theirs[number - 1] : &m->ours[number - 1];

    return g->whole ? g : NULL;
}

/* Both are whole, so that the one before is sealed: it is not the last. */
static bool follows(const gauge *before, const gauge *behind)
{
    return behind->previous == before->last && behind->first_position == before->next_position &&
           memcmp(behind->first_head, before->end_head, DBK_LEAF_SIZE) == 0;
}

/* NULL: nothing speaks against it. */
static const char *objection(const mender *m, uint64_t number)
{
    const gauge *ours = &m->ours[number - 1], *theirs = &m->theirs[number - 1];
    /* of two that do not fit, the one in front is wrong: what is behind proves the rest */
    const gauge *before = number > 1 && !m->chosen[number - 2] ? standing(m, number - 1) : NULL;
    const gauge *behind = number < m->count ? standing(m, number + 1) : NULL;

    if (!theirs->there) return "there is no such segment";
    if (number < m->base && !theirs->sealed) return "it is an older copy of the segment, from before it was ended";
    if (!reaches_mark(m, number, theirs)) return "it does not hold what the watermark names";
    if (!holds_survivors(ours, theirs)) return "it lacks a record that is still sound here";
    if (number == 1 ? theirs->previous != 0 : before && !follows(before, theirs))
        return "it does not follow the segment before";
    if (behind && !follows(theirs, behind)) return "the next segment does not follow it";
    return NULL;
}

static bool is_proven(const mender *m, uint64_t number)
{
    const gauge *ours = &m->ours[number - 1], *theirs = &m->theirs[number - 1];

    if (m->mark_valid && m->mark.segment == number && theirs->end == m->mark.offset)
        return !dbk_never(theirs->last != m->mark.checksum);  /* it reaches the mark, or was objected to */
    for (size_t i = 0; i + 16 <= ours->records.size; i += 16) /* the last one, still sound here */
        if (dbk_load_u64(ours->records.data + i + 8) == theirs->last) return true;
    const gauge *behind = number < m->count ? standing(m, number + 1) : NULL;
    return behind && follows(theirs, behind) && (!m->chosen[number] || is_proven(m, number + 1));
}

/* From all that could be chosen what is spoken against goes, until nothing does. */
static void choose(mender *m)
{
    bool changed = true;

    for (uint64_t i = 0; i < m->count; i++) m->chosen[i] = m->theirs[i].whole;
    while (changed) {
        changed = false;
        for (uint64_t number = m->count; number > 0; number--) {
            if (!m->chosen[number - 1]) continue;
            const char *why = objection(m, number);
            if (!why && !is_proven(m, number)) why = "nothing here proves it";
            if (!why) continue;
            tell_refused(m, number, why);
            m->chosen[number - 1] = false;
            changed = true;
        }
    }
}

static dbk_result look_at_all(mender *m, dbk_error *err)
{
    dbk_result rc = DBK_OK;

    for (uint64_t number = 1; number <= m->count && rc == DBK_OK; number++) {
        rc = look(m, m->dir, number, &m->ours[number - 1], err);
        if (m->ours[number - 1].records.size) m->base = number;
    }
    if (m->mark_valid && m->mark.segment > m->base) m->base = m->mark.segment;
    for (uint64_t number = 1; number <= m->base && rc == DBK_OK; number++) {
        gauge *ours = &m->ours[number - 1];
        if (number == m->base && ours->torn && m->mark_valid && reaches_mark(m, number, ours))
            ours->whole = true; /* a write that was under way; opening puts it aside */
        if (ours->whole && number < m->base && !ours->sealed) not_whole(ours, "it is not ended");
        if (ours->whole && !reaches_mark(m, number, ours)) not_whole(ours, "its end is gone");
        if (ours->whole) continue;
        gauge *theirs = &m->theirs[number - 1];
        rc = look(m, m->from, number, theirs, err);
        if (theirs->whole && theirs->table_lost) not_whole(theirs, "its table of blocks is damaged");
        if (rc == DBK_OK && !theirs->whole)
            tell_refused(m, number, theirs->there ? theirs->why : "there is no such segment");
    }
    m->count = m->base;
    return rc;
}

/* ---- acting */

static dbk_result copy_file(mender *m, dbk_dir *from, const char *name, const char *to, bool read_errors_as_zeros,
                            uint64_t *size, dbk_error *err)
{
    uint8_t *chunk = dbk_alloc_zero(m->port, 1, DBK_SCAN_CHUNK_BYTES);
    dbk_file *in = NULL, *out = NULL;
    uint64_t at = 0;

    dbk_result rc = chunk ? dbk_io_open(m->port, from, name, DBK_OPEN_READ, &in, err)
                          : dbk_fail(err, DBK_NO_MEMORY, "cannot mend the log: out of memory");
    if (rc == DBK_OK) rc = dbk_io_size(m->port, in, name, size, err);
    if (rc == DBK_OK) rc = dbk_io_open(m->port, m->dir, to, DBK_OPEN_WRITE | DBK_OPEN_CREATE, &out, err);
    if (rc == DBK_OK && m->port->truncate(m->port->ctx, out, 0) != 0)
        rc = dbk_fail(err, DBK_IO, "cannot write '%s'", to);
    while (rc == DBK_OK && at < *size) {
        size_t want = *size - at < DBK_SCAN_CHUNK_BYTES ? (size_t)(*size - at) : DBK_SCAN_CHUNK_BYTES;
        size_t got = 0;
        rc = dbk_io_read(m->port, in, name, at, chunk, want, &got, err);
        if (rc == DBK_IO && read_errors_as_zeros) {
            memset(chunk, 0, want);
            got = want;
            rc = DBK_OK;
        }
        if (rc == DBK_OK && got < want) rc = dbk_fail(err, DBK_IO, "'%s' ends early", name);
        if (rc == DBK_OK) rc = dbk_io_write(m->port, out, to, at, chunk, got, err);
        at += got;
    }
    if (rc == DBK_OK) rc = dbk_io_sync(m->port, out, to, err);
    if (in) m->port->close_file(m->port->ctx, in);
    if (out) m->port->close_file(m->port->ctx, out);
    dbk_free(m->port, chunk);
    return rc;
}

/* What was copied is looked at again before it takes the place: the source may have changed, or the
 * copy be bad. */
static dbk_result check_copy(mender *m, const char *name, uint64_t number, dbk_error *err)
{
    dbk_segment *segment = dbk_segment_new(m->port, number);
    const gauge *want = &m->theirs[number - 1];
    gauge g = {0};
    dbk_image *image;

    if (!segment) return dbk_fail(err, DBK_NO_MEMORY, "cannot mend the log: out of memory");
    dbk_buffer_init(&g.records, m->port);
    dbk_result rc = dbk_image_open(m->port, m->dir, name, &image, err);
    if (rc == DBK_OK) {
        (void)m->port->drop_cache(m->port->ctx, image->file, 0, want->header.size);
        rc = examine(m, image, segment, &g, err);
        dbk_image_close(image);
    }
    bool same =
        g.whole && g.last == want->last && g.end == want->end && memcmp(g.end_head, want->end_head, DBK_LEAF_SIZE) == 0;
    if (rc == DBK_OK && !same) rc = dbk_fail(err, DBK_CORRUPT, "the copy in '%s' is not what was read", name);
    dbk_buffer_release(&g.records);
    dbk_segment_free(m->port, segment);
    return rc;
}

/* A name that is free: what was put aside once stays. */
static void name_kept(const mender *m, uint64_t number, char *out, size_t size)
{
    int64_t ms = m->port->wall_ms(m->port->ctx);
    dbk_identity identity;

    do {
        snprintf(out, size, "%016llx.damaged-%lld", (unsigned long long)number, (long long)ms++);
    } while (m->port->identify(m->port->ctx, m->dir, out, &identity) == 0);
}

static dbk_result mend_one(mender *m, uint64_t number, dbk_error *err)
{
    const dbk_port *port = m->port;
    char name[DBK_SEGMENT_NAME_SIZE], fresh[DBK_SEGMENT_NAME_SIZE], kept[64] = "";
    uint64_t bytes = 0;
    dbk_result rc = DBK_OK;

    dbk_segment_name(number, "seg", name);
    dbk_segment_name(number, "mend", fresh);
    if (m->ours[number - 1].there) {
        name_kept(m, number, kept, sizeof(kept));
        rc = copy_file(m, m->dir, name, kept, true, &bytes, err);
    }
    if (rc == DBK_OK) rc = copy_file(m, m->from, name, fresh, false, &bytes, err);
    if (rc == DBK_OK) rc = check_copy(m, fresh, number, err);
    if (rc == DBK_OK) rc = dbk_io_sync_dir(port, m->dir, "log", err);
    int renamed = rc == DBK_OK ? port->rename(port->ctx, m->dir, fresh, m->dir, name) : 0;
    if (renamed != 0) rc = dbk_fail_os(err, dbk_result_of_errno(renamed), renamed, "cannot rename '%s'", fresh);
    if (rc == DBK_OK) rc = dbk_io_sync_dir(port, m->dir, "log", err);
    if (rc == DBK_OK && m->watcher->mended) m->watcher->mended(m->watcher->arg, name, kept[0] ? kept : NULL, bytes);
    return rc == DBK_OK ? DBK_OK : dbk_error_wrap(err, rc, "cannot mend segment '%s'", name);
}

/* The blocks give the table again: no other file is asked for. */
static dbk_result mend_table(mender *m, uint64_t number, dbk_error *err)
{
    char name[DBK_SEGMENT_NAME_SIZE];
    uint64_t bytes = 0;

    dbk_segment_name(number, "seg", name);
    dbk_result rc = dbk_pack_again(m->port, m->dir, number, &bytes, err);
    if (rc == DBK_CORRUPT) {
        tell_refused(m, number, "its table of blocks is damaged, and its blocks do not give it again");
        return DBK_NONE;
    }
    if (rc == DBK_OK && m->watcher->remade) m->watcher->remade(m->watcher->arg, name, bytes);
    return rc == DBK_OK ? DBK_OK : dbk_error_wrap(err, rc, "cannot mend segment '%s'", name);
}

static dbk_result mend_any(mender *m, uint64_t number, dbk_error *err)
{
    const gauge *ours = &m->ours[number - 1];

    if (m->chosen[number - 1]) return mend_one(m, number, err);
    return ours->whole && ours->table_lost ? mend_table(m, number, err) : DBK_NONE;
}

static dbk_result prepare(mender *m, dbk_error *err)
{
    dbk_buffer numbers;

    dbk_result rc = dbk_watermark_read(m->port, m->dir, m->options->store_id, &m->mark, &m->mark_valid, err);
    if (rc != DBK_OK) return rc;
    dbk_buffer_init(&numbers, m->port);
    rc = dbk_load_list(m->port, m->dir, &numbers, err);
    if (rc == DBK_OK && numbers.size) m->count = dbk_load_u64(numbers.data + numbers.size - 8);
    dbk_buffer_release(&numbers);
    if (m->mark_valid && m->mark.segment > m->count) m->count = m->mark.segment;
    if (rc == DBK_OK && m->count > 1024 * 1024)
        rc = dbk_fail(err, DBK_CORRUPT, "there are segment numbers beyond all bounds");
    if (rc != DBK_OK || m->count == 0) return rc;
    m->ours = dbk_alloc_zero(m->port, m->count, sizeof(*m->ours));
    m->theirs = dbk_alloc_zero(m->port, m->count, sizeof(*m->theirs));
    m->chosen = dbk_alloc_zero(m->port, m->count, sizeof(*m->chosen));
    m->state = dbk_alloc(m->port, sizeof(*m->state));
    if (m->ours && m->theirs && m->chosen && m->state) return DBK_OK;
    return dbk_fail(err, DBK_NO_MEMORY, "cannot mend the log: out of memory");
}

dbk_result dbk_log_mend(const dbk_port *port, dbk_dir *dir, dbk_dir *from, const dbk_log_options *options,
                        const dbk_mend_watcher *watcher, uint64_t *mended, dbk_error *err)
{
    mender m = {.port = port, .dir = dir, .from = from, .options = options, .watcher = watcher};

    *mended = 0;
    dbk_result rc = prepare(&m, err);
    uint64_t all = m.count;
    if (rc == DBK_OK && all) rc = look_at_all(&m, err);
    if (rc == DBK_OK && all) choose(&m);
    for (uint64_t number = 1; rc == DBK_OK && number <= m.count; number++) {
        rc = mend_any(&m, number, err);
        *mended += rc == DBK_OK;
        if (rc == DBK_NONE) rc = DBK_OK;
    }
    for (uint64_t i = 0; i < all && m.ours && m.theirs; i++) {
        if (m.ours[i].records.data) dbk_buffer_release(&m.ours[i].records);
        if (m.theirs[i].records.data) dbk_buffer_release(&m.theirs[i].records);
    }
    dbk_free(port, m.ours);
    dbk_free(port, m.theirs);
    dbk_free(port, m.chosen);
    dbk_free(port, m.state);
    return rc;
}
