/* The caches beside the segments: files of the index, checkpoint, catalog. Whatever is wrong with one is told, and is
 * no loss: the segments say the same. Pages are checked at either depth. At the deep one each file is also held against
 * the entries, so that one that lies under right checksums is found: while the records of a segment are read, what an
 * index of them must hold is added up, in any order; a file has to give the same sums, segment by segment. */
#include "log/parts.h"
#include "log/verify.h"

#include <stdio.h>
#include <stdlib.h>

enum { KEPT_PAGES = 64 };
#define REMEDY "a cache: 'daybook rebuild --index' has it made anew"

/* ---- what the entries say */

static void add(dbk_seen_sum *sum, dbk_hash128 item)
{
    sum->count++;
    sum->sum = dbk_hash128_add(sum->sum, item);
}

static dbk_hash128 key_item(dbk_hash128 hash, uint64_t position)
{
    uint8_t bytes[24];

    dbk_store_u64(bytes, hash.high);
    dbk_store_u64(bytes + 8, hash.low);
    dbk_store_u64(bytes + 16, position);
    return dbk_checksum128(dbk_slice_of(bytes, sizeof(bytes)));
}

static dbk_hash128 author_item(const uint8_t replica[16], uint32_t incarnation, uint64_t seq, uint64_t position)
{
    uint8_t bytes[36];

    memcpy(bytes, replica, 16);
    dbk_store_u32(bytes + 16, incarnation);
    dbk_store_u64(bytes + 20, seq);
    dbk_store_u64(bytes + 28, position);
    return dbk_checksum128(dbk_slice_of(bytes, sizeof(bytes)));
}

static dbk_hash128 batch_item(const dbk_index_batch *batch)
{
    uint8_t bytes[24];

    dbk_store_u64(bytes, batch->first_position);
    dbk_store_u32(bytes + 8, batch->offset);
    dbk_store_u32(bytes + 12, batch->bytes);
    dbk_store_u64(bytes + 16, (uint64_t)batch->received_ms);
    return dbk_checksum128(dbk_slice_of(bytes, sizeof(bytes)));
}

static int compare_hashes(const void *a, const void *b)
{
    return memcmp(a, b, sizeof(dbk_hash128));
}

/* Each name once. */
static bool note_names(dbk_seen *seen, dbk_buffer *hashes, uint64_t position)
{
    size_t count = hashes->size / sizeof(dbk_hash128);

    if (hashes->failed) return false;
    if (count > 1) qsort(hashes->data, count, sizeof(dbk_hash128), compare_hashes);
    for (size_t i = 0; i < count; i++) {
        dbk_hash128 hash;
        const uint8_t *at = hashes->data + i * sizeof(hash);
        memcpy(&hash, at, sizeof(hash));
        if (i == 0 || memcmp(at - sizeof(hash), at, sizeof(hash)) != 0) add(&seen->keys, key_item(hash, position));
    }
    return true;
}

static bool note_entry(const dbk_verifier *v, dbk_seen *seen, const dbk_entry *entry, uint64_t position,
                       dbk_buffer *hashes)
{
    dbk_slice rest = entry->events;
    dbk_hash128 hash;
    dbk_event event;

    add(&seen->authors, author_item(entry->id.replica, entry->id.incarnation, entry->id.seq, position));
    dbk_buffer_clear(hashes);
    if (dbk_index_hash(v->options.store_id, DBK_INDEX_COMMAND, entry->command_id, &hash))
        dbk_buffer_put(hashes, &hash, sizeof(hash));
    while (dbk_event_next(&rest, &event)) {
        if (dbk_index_hash(v->options.store_id, DBK_INDEX_STREAM, event.stream, &hash))
            dbk_buffer_put(hashes, &hash, sizeof(hash));
    }
    return note_names(seen, hashes, position);
}

void dbk_verify_note_batch(dbk_verifier *v, const dbk_segment *segment, const dbk_record *record, const uint8_t *whole,
                           uint64_t bytes)
{
    dbk_seen *seen = v->seen[segment->header.number - 1];
    dbk_index_batch batch = {record->first_position, (uint32_t)record->offset, (uint32_t)bytes, record->received_ms};
    dbk_slice rest = dbk_slice_of(whole + DBK_RECORD_HEADER_SIZE, record->payload_bytes), origin;
    uint64_t position = record->first_position;
    dbk_buffer hashes;

    if (!v->proof) return;
    add(&seen->batches, batch_item(&batch));
    dbk_buffer_init(&hashes, v->port);
    for (; dbk_record_next_origin(&rest, &origin); position++) {
        dbk_entry entry;
        if (dbk_entry_decode(origin, &entry, NULL) != DBK_OK || !note_entry(v, seen, &entry, position, &hashes))
            seen->failed = true; /* told as damage of the segment, or no memory: nothing is held against it */
    }
    dbk_buffer_release(&hashes);
    if (segment->header.number != v->point->segment || position - 1 != v->point->last_position) return;
    v->point->seen = *seen;
    v->point->seen.last_position = v->point->last_position;
    memcpy(v->point->seen.head, record->head, DBK_LEAF_SIZE);
    v->point->seen.known = seen->authors.count == position - seen->first_position; /* no record before was damaged */
}

/* ---- held against a file */

typedef struct holder {
    const dbk_seen *const *seen; /* of the segments of the file */
    dbk_seen *found;
    uint64_t count;
} holder;

static void tell(dbk_verifier *v, const char *file, uint64_t offset, const char *what)
{
    char text[DBK_ERROR_TEXT_SIZE + 80];

    (void)snprintf(text, sizeof(text), "%s (" REMEDY ")", what);
    dbk_verify_tell(v, (dbk_log_fault){.code = DBK_CORRUPT, .file = file, .offset = offset, .law = 4, .text = text});
}

/* The segment of the file with the position; the file has none beyond them. */
static uint64_t segment_at(const holder *h, uint64_t position)
{
    uint64_t low = 0, high = h->count;

    while (high - low > 1) {
        uint64_t middle = low + (high - low) / 2;
        if (h->seen[middle]->first_position <= position) {
            low = middle;
        } else {
            high = middle;
        }
    }
    return low;
}

static void on_key(void *arg, dbk_hash128 hash, uint64_t position)
{
    holder *h = arg;

    add(&h->found[segment_at(h, position)].keys, key_item(hash, position));
}

/* All else is not compared, and how much there is of it says the file alone. */
static bool is_held(const dbk_seen *seen)
{
    return seen->known && !seen->failed;
}

static void add_authors(holder *h, const dbk_index_author_run *run)
{
    uint64_t last = run->first_position + run->count - 1;

    for (uint64_t i = segment_at(h, run->first_position); i < h->count && h->seen[i]->first_position <= last; i++) {
        const dbk_seen *seen = h->seen[i];
        uint64_t from = seen->first_position > run->first_position ? seen->first_position : run->first_position;
        uint64_t to = seen->last_position < last ? seen->last_position : last;
        for (uint64_t position = from; is_held(seen) && position <= to; position++)
            add(&h->found[i].authors, author_item(run->replica, run->incarnation,
                                                  run->first_seq + (position - run->first_position), position));
    }
}

static dbk_result gather_lists(holder *h, dbk_index_run *run, uint64_t *offset, dbk_error *err)
{
    const dbk_index_layout *layout = dbk_index_run_layout(run);
    size_t count;
    const dbk_index_author_run *authors = dbk_index_run_authors(run, &count);

    *offset = (1 + layout->key_pages) * DBK_INDEX_PAGE_SIZE;
    for (size_t i = 0; i < count; i++) add_authors(h, &authors[i]);
    for (uint32_t i = 0; i < layout->batch_count; i++) {
        dbk_index_batch batch;
        dbk_result rc = dbk_index_run_read_batch(run, i, &batch, err);
        if (rc != DBK_OK) return rc;
        add(&h->found[segment_at(h, batch.first_position)].batches, batch_item(&batch));
    }
    return DBK_OK;
}

static bool is_equal(const dbk_seen_sum *a, const dbk_seen_sum *b)
{
    return a->count == b->count && dbk_hash128_number(a->sum) == dbk_hash128_number(b->sum);
}

/* A file of several segments has batches of those only that were plain. */
static const char *difference(const holder *h, const dbk_seen *seen, const dbk_seen *found)
{
    bool without = h->count > 1 && found->batches.count == 0 && seen->packed;

    if (!is_held(seen)) return NULL;
    if (!is_equal(&seen->keys, &found->keys)) return "it has other command ids or streams than";
    if (!is_equal(&seen->authors, &found->authors)) return "it has other authors than";
    return without || is_equal(&seen->batches, &found->batches) ? NULL : "it has other batches than";
}

static dbk_result hold(dbk_verifier *v, const char *file, dbk_index_run *run, const dbk_seen *const *seen,
                       uint64_t count, dbk_error *err)
{
    holder h = {.seen = seen, .count = count};
    dbk_error local = {0};
    uint64_t offset = 0;

    h.found = dbk_alloc_zero(v->port, count, sizeof(*h.found));
    if (!h.found) return dbk_fail(err, DBK_NO_MEMORY, "cannot verify the index: out of memory");
    dbk_result rc = dbk_index_run_check(run, on_key, &h, &offset, &local);
    if (rc == DBK_OK) rc = gather_lists(&h, run, &offset, &local);
    if (rc != DBK_OK && rc != DBK_NO_MEMORY) tell(v, file, offset, local.text);
    for (uint64_t i = 0; i < count && rc == DBK_OK && v->proof; i++) {
        char text[160];
        const char *wrong = difference(&h, seen[i], &h.found[i]);
        if (!wrong) continue;
        (void)snprintf(text, sizeof(text), "%s the entries %llu to %llu", wrong,
                       (unsigned long long)seen[i]->first_position, (unsigned long long)seen[i]->last_position);
        tell(v, file, 0, text);
    }
    dbk_free(v->port, h.found);
    if (rc == DBK_NO_MEMORY && err) *err = local;
    return rc == DBK_NO_MEMORY ? rc : DBK_OK;
}

/* ---- files of the index */

/* False: the segments are not all known so well that a file could be held against them. */
static bool source_of(const dbk_verifier *v, uint64_t first, uint64_t last, dbk_buffer *salts, dbk_index_source *source)
{
    memset(source, 0, sizeof(*source));
    dbk_buffer_clear(salts);
    for (uint64_t number = first; number <= last; number++) {
        const dbk_seen *seen = v->seen[number - 1];
        if (!seen || !seen->sealed) return false;
        dbk_buffer_put_u64(salts, seen->salt);
    }
    const dbk_seen *begin = v->seen[first - 1];
    source->segment = first;
    source->segments = (uint32_t)(last - first + 1);
    source->first_position = begin->first_position;
    source->last_position = v->seen[last - 1]->last_position;
    source->salt = first == last ? begin->salt : dbk_index_salt_of(dbk_buffer_slice(salts));
    source->without_batches = true;
    source->page_limit = KEPT_PAGES;
    return !salts->failed;
}

static dbk_result check_part(dbk_verifier *v, uint64_t first, uint64_t last, dbk_error *err)
{
    char file[DBK_PART_NAME_SIZE];
    dbk_index_source expect, found;
    dbk_index_run *run = NULL;
    dbk_error local = {0};
    dbk_buffer salts;

    dbk_part_name(first, last, file);
    dbk_buffer_init(&salts, v->port);
    bool known = last <= v->count && source_of(v, first, last, &salts, &expect);
    dbk_buffer_release(&salts);
    if (!known) return DBK_OK;
    dbk_result rc = dbk_index_run_open(v->port, v->dir, file, v->options.store_id, &expect, &found, &run, &local);
    if (rc == DBK_MISSING) return DBK_OK;
    if (rc == DBK_NO_MEMORY && err) *err = local;
    if (rc == DBK_NO_MEMORY) return rc;
    if (rc != DBK_OK) {
        tell(v, file, 0, local.text);
        return DBK_OK;
    }
    if (memcmp(found.head, v->seen[last - 1]->head, DBK_LEAF_SIZE) != 0)
        tell(v, file, 0, "it names another head than the last of its segments");
    rc = hold(v, file, run, (const dbk_seen *const *)v->seen + first - 1, last - first + 1, err);
    dbk_index_run_close(run);
    return rc;
}

static int compare_pairs(const void *a, const void *b)
{
    uint64_t left[2], right[2];

    memcpy(left, a, sizeof(left));
    memcpy(right, b, sizeof(right));
    if (left[0] != right[0]) return left[0] < right[0] ? -1 : 1;
    return left[1] < right[1] ? -1 : left[1] > right[1];
}

static dbk_result check_parts(dbk_verifier *v, dbk_error *err)
{
    dbk_result rc = DBK_OK;
    dbk_buffer files;

    dbk_buffer_init(&files, v->port);
    int listed = v->port->list(v->port->ctx, v->dir, dbk_part_collect, &files);
    if (listed != 0) rc = dbk_fail_os(err, dbk_result_of_errno(listed), listed, "cannot list the log's folder");
    if (files.failed) rc = dbk_fail(err, DBK_NO_MEMORY, "cannot verify the index: out of memory");
    if (rc == DBK_OK && files.size) qsort(files.data, files.size / 16, 16, compare_pairs);
    for (size_t i = 0; i + 16 <= files.size && rc == DBK_OK; i += 16)
        rc = check_part(v, dbk_load_u64(files.data + i), dbk_load_u64(files.data + i + 8), err);
    dbk_buffer_release(&files);
    return rc;
}

/* ---- the checkpoint */

void dbk_verify_find_point(dbk_verifier *v, dbk_verify_point *point)
{
    dbk_index_source source;

    memset(point, 0, sizeof(*point));
    v->point = point;
    if (dbk_index_run_peek(v->port, v->dir, DBK_CHECKPOINT_NAME, v->options.store_id, &source, NULL) != DBK_OK) return;
    point->segment = source.segment;
    point->last_position = source.last_position;
}

void dbk_verify_note_point(dbk_verifier *v, const dbk_segment *segment, uint64_t end)
{
    dbk_verify_point *point = v->point;
    dbk_buffer note;

    if (segment->header.number != point->segment || v->state->position != point->last_position) return;
    dbk_buffer_init(&note, v->port);
    dbk_checkpoint_put_note(v->state, end, v->sum.records, &note);
    point->noted = !note.failed && note.size <= sizeof(point->note);
    memset(point->note, 0, sizeof(point->note));
    if (point->noted) memcpy(point->note, note.data, note.size);
    memcpy(point->top, segment->top, sizeof(point->top));
    point->ordered = segment->ordered;
    dbk_buffer_release(&note);
}

static bool is_noted(const dbk_verify_point *point, const dbk_index_source *found, const uint8_t *note)
{
    return found->ordered == point->ordered && memcmp(found->top, point->top, sizeof(point->top)) == 0 &&
           memcmp(note, point->note, sizeof(point->note)) == 0;
}

/* One of an earlier segment, or of records that were cut since, is not believed: only its pages are looked at. */
static dbk_result check_checkpoint(dbk_verifier *v, dbk_error *err)
{
    static const dbk_seen nothing, *const none = &nothing;
    uint8_t note[DBK_INDEX_NOTE_BYTES];
    dbk_index_source expect, found;
    dbk_index_run *run = NULL;
    dbk_error local = {0};

    dbk_result rc = dbk_index_run_peek(v->port, v->dir, DBK_CHECKPOINT_NAME, v->options.store_id, &expect, &local);
    expect.page_limit = KEPT_PAGES;
    expect.note_out = note;
    if (rc == DBK_OK)
        rc = dbk_index_run_open(v->port, v->dir, DBK_CHECKPOINT_NAME, v->options.store_id, &expect, &found, &run,
                                &local);
    if (rc == DBK_MISSING) return DBK_OK;
    if (rc == DBK_NO_MEMORY && err) *err = local;
    if (rc == DBK_NO_MEMORY) return rc;
    if (rc != DBK_OK) {
        tell(v, DBK_CHECKPOINT_NAME, 0, local.text);
        return DBK_OK;
    }
    const dbk_seen *seen = &v->point->seen;
    bool ours = seen->known && seen->salt == found.salt && seen->first_position == found.first_position &&
                v->point->segment == found.segment && v->point->last_position == found.last_position &&
                memcmp(seen->head, found.head, DBK_LEAF_SIZE) == 0;
    if (ours && v->point->noted && !is_noted(v->point, &found, note))
        tell(v, DBK_CHECKPOINT_NAME, DBK_INDEX_NOTE_OFFSET, "it says something else of the log than the entries");
    rc = hold(v, DBK_CHECKPOINT_NAME, run, ours ? &seen : &none, 1, err);
    dbk_index_run_close(run);
    return rc;
}

static void on_catalog(void *arg, uint64_t offset, const char *wrong)
{
    tell(arg, DBK_CATALOG_NAME, offset, wrong);
}

dbk_result dbk_verify_caches(dbk_verifier *v, dbk_error *err)
{
    dbk_result rc = check_parts(v, err);

    if (rc == DBK_OK) rc = check_checkpoint(v, err);
    if (rc == DBK_OK) rc = dbk_catalog_check(v->port, v->dir, v->options.store_id, on_catalog, v, err);
    return rc;
}

static int collect_caches(void *arg, const char *name)
{
    uint64_t first, last;
    bool cache = dbk_part_name_parse(name, &first, &last) || strcmp(name, DBK_CHECKPOINT_NAME) == 0 ||
                 strcmp(name, DBK_CATALOG_NAME) == 0;

    if (cache) dbk_buffer_put(arg, name, strlen(name) + 1);
    return 0;
}

dbk_result dbk_log_drop_caches(const dbk_port *port, dbk_dir *dir, uint64_t *dropped, dbk_error *err)
{
    dbk_result rc = DBK_OK;
    dbk_buffer names;

    *dropped = 0;
    dbk_buffer_init(&names, port);
    int done = port->list(port->ctx, dir, collect_caches, &names);
    if (done != 0) rc = dbk_fail_os(err, dbk_result_of_errno(done), done, "cannot list the log's folder");
    if (names.failed) rc = dbk_fail(err, DBK_NO_MEMORY, "cannot list the log's folder: out of memory");
    for (size_t i = 0; i < names.size && rc == DBK_OK; i += strlen((const char *)names.data + i) + 1) {
        const char *name = (const char *)names.data + i;
        done = port->unlink(port->ctx, dir, name);
        if (done != 0) rc = dbk_fail_os(err, dbk_result_of_errno(done), done, "cannot remove '%s'", name);
        *dropped += rc == DBK_OK;
    }
    dbk_buffer_release(&names);
    return rc == DBK_OK ? dbk_io_sync_dir(port, dir, "log", err) : rc;
}
