/* The list of the files of the index. A part stands for segments that follow one another; parts do not
 * overlap; a segment without one has a table, or is read when it is asked.
 *
 * Files are found by their names. Of two for the same segments the wider is the newer: it was made of the
 * other, which is removed behind it. So whatever a crash leaves, the widest is taken, and one that turns out
 * to be missing or damaged is left out of the list, which only costs reading segments again. */
#include "log/parts.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

void dbk_part_name(uint64_t first, uint64_t last, char out[DBK_PART_NAME_SIZE])
{
    if (first == last) {
        dbk_segment_name(first, "idx", out);
        return;
    }
    (void)snprintf(out, DBK_PART_NAME_SIZE, "%016llx-%016llx.run", (unsigned long long)first, (unsigned long long)last);
}

bool dbk_part_name_parse(const char *name, uint64_t *first, uint64_t *last)
{
    const char *behind = name + DBK_NAME_DIGITS;

    if (!dbk_segment_digits_parse(name, first)) return false;
    *last = *first;
    if (strcmp(behind, ".idx") == 0) return true;
    return *behind == '-' && dbk_segment_digits_parse(behind + 1, last) && *last > *first &&
           strcmp(behind + 1 + DBK_NAME_DIGITS, ".run") == 0;
}

/* ---- the list; under the lock */

/* How many parts begin at or below the segment. */
static size_t count_below(const dbk_log *log, uint64_t number)
{
    size_t low = 0, high = log->part_count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (log->parts[middle]->first <= number) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

dbk_part *dbk_parts_of(const dbk_log *log, uint64_t number)
{
    size_t below = count_below(log, number);

    return below && log->parts[below - 1]->last >= number ? log->parts[below - 1] : NULL;
}

/* Returns what is to be freed outside of the lock. */
static dbk_part *retire(dbk_part *part)
{
    part->retired = true;
    return part->pins ? NULL : part;
}

static void free_part(dbk_log *log, dbk_part *part)
{
    if (!part) return;
    dbk_index_run_close(part->run);
    dbk_free(log->port, part);
}

static void free_parts(dbk_log *log, dbk_part *part)
{
    while (part) {
        dbk_part *next = part->next;
        free_part(log, part);
        part = next;
    }
}

void dbk_parts_release(dbk_log *log)
{
    for (size_t i = 0; i < log->part_count; i++) free_part(log, log->parts[i]);
    dbk_free(log->port, log->parts);
    log->parts = NULL;
    log->part_count = 0;
}

dbk_part *dbk_parts_pin(dbk_log *log, uint64_t number)
{
    dbk_log_lock(log);
    dbk_part *part = dbk_parts_of(log, number);
    if (part) {
        part->pins++;
        part->used = ++log->part_clock;
    }
    dbk_log_unlock(log);
    return part;
}

void dbk_parts_unpin(dbk_log *log, dbk_part *part)
{
    dbk_log_lock(log);
    assert(part->pins > 0);
    bool last = --part->pins == 0 && part->retired;
    dbk_log_unlock(log);
    if (last) free_part(log, part);
}

void dbk_parts_unpin_all(dbk_log *log, dbk_part **parts, size_t count)
{
    dbk_part *unused = NULL;

    dbk_log_lock(log);
    for (size_t i = 0; i < count; i++) {
        assert(parts[i]->pins > 0);
        if (--parts[i]->pins || !parts[i]->retired) continue;
        parts[i]->next = unused;
        unused = parts[i];
    }
    dbk_log_unlock(log);
    free_parts(log, unused);
}

void dbk_parts_drop(dbk_log *log, dbk_part *part)
{
    dbk_part *unused = NULL;

    dbk_log_lock(log);
    size_t below = count_below(log, part->first);
    if (below && log->parts[below - 1] == part) {
        memmove(log->parts + below - 1, log->parts + below, (log->part_count - below) * sizeof(dbk_part *));
        log->part_count--;
        unused = retire(part);
    }
    dbk_log_unlock(log);
    free_part(log, unused);
}

static dbk_result fail_memory(dbk_error *err)
{
    return dbk_fail(err, DBK_NO_MEMORY, "cannot take in a part of the index: out of memory");
}

/* ---- from the folder */

typedef struct pair {
    uint64_t first, last;
} pair;

static pair pair_at(const dbk_buffer *files, size_t index)
{
    return (pair){dbk_load_u64(files->data + index * 16), dbk_load_u64(files->data + index * 16 + 8)};
}

/* The wider of two that begin together comes first, so that what lies within another comes behind it. */
static int compare_pairs(const void *a, const void *b)
{
    const pair *left = a, *right = b;

    if (left->first != right->first) return left->first < right->first ? -1 : 1;
    return left->last > right->last ? -1 : left->last < right->last;
}

/* Sorts the pairs and puts those in front that are taken; the others stay behind them. */
static size_t choose(pair *pairs, size_t count, uint64_t sealed)
{
    size_t taken = 0;
    uint64_t end = 0;

    if (count) qsort(pairs, count, sizeof(*pairs), compare_pairs);
    for (size_t i = 0; i < count; i++) {
        pair one = pairs[i];
        if (one.first <= end || one.last > sealed) continue;
        end = one.last;
        memmove(pairs + taken + 1, pairs + taken, (i - taken) * sizeof(*pairs));
        pairs[taken++] = one;
    }
    return taken;
}

static void put_stale(const pair *pairs, size_t count, dbk_buffer *stale)
{
    for (size_t i = 0; i < count && stale; i++) {
        dbk_buffer_put_u64(stale, pairs[i].first);
        dbk_buffer_put_u64(stale, pairs[i].last);
    }
}

/* Parts of the old list that stand for the same stay. */
static void exchange(dbk_log *log, dbk_part **parts, size_t count)
{
    dbk_part *unused = NULL;

    dbk_log_lock(log);
    for (size_t i = 0; i < count; i++) {
        dbk_part *before = dbk_parts_of(log, parts[i]->first);
        if (!before || before->first != parts[i]->first || before->last != parts[i]->last) continue;
        log->parts[count_below(log, before->first) - 1] = parts[i]; /* they change places */
        parts[i] = before;
    }
    dbk_part **old = log->parts;
    for (size_t i = 0; i < log->part_count; i++) {
        if (!retire(old[i])) continue;
        old[i]->next = unused;
        unused = old[i];
    }
    log->parts = parts;
    log->part_count = log->part_room = count;
    dbk_log_unlock(log);
    free_parts(log, unused);
    dbk_free(log->port, old);
}

static dbk_result install(dbk_log *log, const pair *pairs, size_t count, dbk_error *err)
{
    const dbk_port *port = log->port;
    dbk_part **parts = dbk_alloc_zero(port, count + 1, sizeof(dbk_part *));
    bool made = parts != NULL;

    for (size_t i = 0; i < count && made; i++) {
        parts[i] = dbk_alloc_zero(port, 1, sizeof(dbk_part));
        made = parts[i] != NULL;
        if (made) parts[i]->first = pairs[i].first;
        if (made) parts[i]->last = pairs[i].last;
    }
    if (made) {
        exchange(log, parts, count);
        return DBK_OK;
    }
    for (size_t i = 0; parts && i < count; i++) dbk_free(port, parts[i]);
    dbk_free(port, parts);
    return dbk_fail(err, DBK_NO_MEMORY, "cannot open the index: out of memory");
}

/* `files`: pairs of first and last. */
static dbk_result take_files(dbk_log *log, const dbk_buffer *files, dbk_buffer *stale, dbk_error *err)
{
    size_t count = files->size / 16;
    pair *pairs = dbk_alloc_zero(log->port, count + 1, sizeof(*pairs));

    if (!pairs) return dbk_fail(err, DBK_NO_MEMORY, "cannot open the index: out of memory");
    for (size_t i = 0; i < count; i++) pairs[i] = pair_at(files, i);
    dbk_log_lock(log);
    uint64_t sealed = log->segment_count - (dbk_log_active(log)->seal_offset ? 0 : 1);
    dbk_log_unlock(log);
    size_t taken = choose(pairs, count, sealed);
    put_stale(pairs + taken, count - taken, stale);
    dbk_result rc = install(log, pairs, taken, err);
    dbk_free(log->port, pairs);
    return rc;
}

int dbk_part_collect(void *arg, const char *name)
{
    dbk_buffer *files = arg;
    uint64_t first, last;

    if (!dbk_part_name_parse(name, &first, &last)) return 0;
    dbk_buffer_put_u64(files, first);
    dbk_buffer_put_u64(files, last);
    return 0;
}

dbk_result dbk_parts_list(dbk_log *log, dbk_buffer *stale, dbk_error *err)
{
    dbk_buffer files;

    dbk_buffer_init(&files, log->port);
    int listed = log->port->list(log->port->ctx, log->dir, dbk_part_collect, &files);
    dbk_result rc = DBK_OK;
    if (listed != 0) {
        rc = dbk_fail_os(err, dbk_result_of_errno(listed), listed, "cannot list the log's folder");
    } else if (files.failed) {
        rc = dbk_fail(err, DBK_NO_MEMORY, "cannot list the log's folder: out of memory");
    }
    if (rc == DBK_OK) rc = take_files(log, &files, stale, err);
    dbk_buffer_release(&files);
    return rc;
}

/* Room for so many more; the list may move. */
static dbk_result reserve(dbk_log *log, uint64_t more, dbk_error *err)
{
    dbk_log_lock(log);
    size_t room = log->part_room, need = log->part_count + (size_t)more;
    dbk_log_unlock(log);
    if (need <= room) return DBK_OK;
    room = room * 2 > need ? room * 2 : need + 16;
    dbk_part **grown = dbk_alloc_zero(log->port, room, sizeof(dbk_part *));
    if (!grown) return fail_memory(err);
    dbk_log_lock(log);
    dbk_part **old = log->parts;
    bool needed = log->part_room < room;
    if (needed) {
        memcpy(grown, old, log->part_count * sizeof(dbk_part *)); /* the list was made when the log was opened */
        log->parts = grown;
        log->part_room = room;
    }
    dbk_log_unlock(log);
    dbk_free(log->port, needed ? old : grown);
    return DBK_OK;
}

/* Under the lock: takes out what overlaps. Returns those that are to be freed. */
static dbk_part *take_out(dbk_log *log, uint64_t first, uint64_t last)
{
    dbk_part *unused = NULL;
    size_t kept = 0;

    for (size_t i = 0; i < log->part_count; i++) {
        dbk_part *part = log->parts[i];
        if (part->last < first || part->first > last) {
            log->parts[kept++] = part;
        } else if (retire(part)) {
            part->next = unused;
            unused = part;
        }
    }
    log->part_count = kept;
    return unused;
}

/* Under the lock. */
static void insert(dbk_log *log, dbk_part *part)
{
    size_t at = count_below(log, part->first);

    memmove(log->parts + at + 1, log->parts + at, (log->part_count - at) * sizeof(dbk_part *));
    log->parts[at] = part;
    log->part_count++;
}

/* The parts take the place of all that overlaps: nobody sees a moment without an answer. Two threads put,
 * that of the runs and that of the merges: room that one made the other may have used. */
static dbk_result put(dbk_log *log, dbk_part *parts, uint64_t count, uint64_t first, uint64_t last, dbk_error *err)
{
    dbk_part *unused = NULL;
    bool done = false;

    while (!done) {
        dbk_result rc = reserve(log, count, err);
        if (rc != DBK_OK) {
            free_parts(log, parts);
            return rc;
        }
        dbk_log_lock(log);
        done = log->part_count + count <= log->part_room;
        if (done) unused = take_out(log, first, last);
        while (done && parts) {
            dbk_part *next = parts->next;
            parts->next = NULL;
            insert(log, parts);
            parts = next;
        }
        dbk_log_unlock(log);
    }
    free_parts(log, unused);
    return DBK_OK;
}

/* In front of `next`; NULL: out of memory, and `next` is freed. */
static dbk_part *new_part(dbk_log *log, uint64_t first, uint64_t last, dbk_part *next)
{
    dbk_part *part = dbk_alloc_zero(log->port, 1, sizeof(*part));

    if (!part) {
        free_parts(log, next);
        return NULL;
    }
    part->first = first;
    part->last = last;
    part->next = next;
    return part;
}

dbk_result dbk_parts_put(dbk_log *log, uint64_t first, uint64_t last, dbk_error *err)
{
    dbk_part *part = new_part(log, first, last, NULL);

    return part ? put(log, part, 1, first, last, err) : fail_memory(err);
}

dbk_result dbk_parts_split(dbk_log *log, uint64_t first, uint64_t last, dbk_error *err)
{
    dbk_part *parts = NULL;
    uint64_t count = 0;

    for (uint64_t number = first; number <= last; number++) {
        dbk_log_lock(log);
        const dbk_segment *segment = log->segments[number - 1];
        bool empty = segment->last_position < segment->first_position;
        dbk_log_unlock(log);
        if (empty) continue; /* it has no run */
        parts = new_part(log, number, number, parts);
        if (!parts) return fail_memory(err);
        count++;
    }
    return put(log, parts, count, first, last, err);
}

/* ---- opening */

dbk_result dbk_parts_source(dbk_log *log, uint64_t first, uint64_t last, dbk_index_source *source, dbk_error *err)
{
    dbk_buffer salts;

    memset(source, 0, sizeof(*source));
    dbk_buffer_init(&salts, log->port);
    dbk_log_lock(log);
    const dbk_segment *begin = log->segments[first - 1], *end = log->segments[last - 1];
    for (uint64_t number = first; first < last && number <= last; number++)
        dbk_buffer_put_u64(&salts, log->segments[number - 1]->header.salt);
    dbk_segment_source(end, source);
    source->segment = first;
    source->segments = (uint32_t)(last - first + 1);
    source->first_position = begin->first_position;
    source->salt = begin->header.salt;
    dbk_log_unlock(log);
    if (!salts.failed && first < last) source->salt = dbk_index_salt_of(dbk_buffer_slice(&salts));
    bool failed = salts.failed;
    dbk_buffer_release(&salts);
    return failed ? dbk_fail(err, DBK_NO_MEMORY, "cannot open the index: out of memory") : DBK_OK;
}

/* Takes away the run of the part unused for longest when too many are open. */
static dbk_index_run *evict(dbk_log *log)
{
    dbk_part *oldest = NULL;
    size_t open = 0;

    dbk_log_lock(log);
    for (size_t i = 0; i < log->part_count; i++) {
        dbk_part *part = log->parts[i];
        if (!part->run) continue;
        open++;
        if (!oldest || part->used < oldest->used) oldest = part;
    }
    dbk_index_run *run = open >= DBK_PARTS_OPEN_MAX ? oldest->run : NULL;
    if (run) oldest->run = NULL;
    dbk_log_unlock(log);
    return run;
}

/* A link, a fifo, a folder: as good as a damaged file. */
static bool is_no_file(const dbk_log *log, const char *name)
{
    dbk_identity identity;

    return log->port->identify(log->port->ctx, log->dir, name, &identity) == 0 && identity.kind != DBK_IS_FILE;
}

dbk_result dbk_parts_open(dbk_log *log, dbk_part *part, dbk_error *err)
{
    dbk_index_source expect, found;
    char name[DBK_PART_NAME_SIZE];

    if (part->run) return DBK_OK;
    dbk_result rc = dbk_parts_source(log, part->first, part->last, &expect, err);
    if (rc != DBK_OK) return rc;
    expect.without_batches = true;
    expect.page_limit = log->options.read_only ? DBK_READER_PAGES_KEPT : 0;
    dbk_part_name(part->first, part->last, name);
    dbk_index_run_close(evict(log));
    rc = dbk_index_run_open(log->port, log->dir, name, log->options.store_id, &expect, &found, &part->run, err);
    return rc == DBK_IO && is_no_file(log, name) ? dbk_fail(err, DBK_CORRUPT, "'%s' is no file", name) : rc;
}
