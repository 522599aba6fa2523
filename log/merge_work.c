/* Merging in the background, behind packing: parts of the index that follow one another become one, in groups
 * of DBK_PART_FANOUT, and such groups again, so that log n files answer for n segments. A group begins at a
 * multiple of its width; what is on disk after each step:
 *   1. "<first>-<last>.run.tmp" is being written     a crash: it has no meaning, and is overwritten
 *   2. it is whole and synced, renamed, the folder synced     a crash: both it and what it was made of
 *   3. what it was made of is removed     a crash: some of these are left, and removed at the next open
 * At each point the widest file answers; a reader that finds one gone looks again what there is. */
#include "log/parts.h"

typedef struct group {
    uint64_t first, last;
    uint64_t firsts[DBK_PART_FANOUT], lasts[DBK_PART_FANOUT];
    bool with_batches[DBK_PART_FANOUT];
    size_t count;
} group;

/* Under the lock. A packed segment finds its batches itself; one that is still to be packed waits. */
static bool is_settled(const dbk_log *log, uint64_t number, bool *plain)
{
    const dbk_segment *segment = log->segments[number - 1];

    *plain = !segment->packed;
    return segment->packed || segment->unpackable || log->options.keep_plain;
}

static bool add_part(const dbk_log *log, group *g, const dbk_part *part)
{
    bool plain = true;

    if (part->first < g->first || part->last > g->last || part->damaged || g->count == DBK_PART_FANOUT) return false;
    if (part->first == part->last && !is_settled(log, part->first, &plain)) return false;
    g->firsts[g->count] = part->first;
    g->lasts[g->count] = part->last;
    g->with_batches[g->count++] = plain;
    return true;
}

/* Whether the segments are answered for by several parts that can be merged. */
static bool gather(dbk_log *log, uint64_t first, uint64_t last, group *g)
{
    bool ready = true;

    *g = (group){.first = first, .last = last};
    dbk_log_lock(log);
    for (uint64_t number = first; number <= last && ready; number++) {
        const dbk_segment *segment = log->segments[number - 1];
        const dbk_part *part = dbk_parts_of(log, number);
        if (part) {
            ready = add_part(log, g, part);
            number = part->last;
        } else {
            ready = segment->last_position < segment->first_position;
        }
    }
    dbk_log_unlock(log);
    return ready && g->count > 0 && !(g->firsts[0] == first && g->lasts[0] == last);
}

static dbk_result open_one(dbk_log *log, uint64_t first, uint64_t last, dbk_index_run **run, dbk_index_source *found,
                           dbk_error *err)
{
    dbk_index_source expect;
    char name[DBK_PART_NAME_SIZE];

    dbk_result rc = dbk_parts_source(log, first, last, &expect, err);
    if (rc != DBK_OK) return rc;
    expect.without_batches = true;
    expect.page_limit = DBK_READER_PAGES_KEPT;
    dbk_part_name(first, last, name);
    return dbk_index_run_open(log->port, log->dir, name, log->options.store_id, &expect, found, run, err);
}

/* From handles of its own, so that nobody who asks the parts waits. */
static dbk_result write_group(dbk_log *log, const group *g, size_t *bad, dbk_error *err)
{
    dbk_index_run *runs[DBK_PART_FANOUT] = {NULL};
    char name[DBK_PART_NAME_SIZE];
    dbk_index_source source, part;

    *bad = g->count;
    dbk_result rc = dbk_parts_source(log, g->first, g->last, &source, err);
    for (size_t i = 0; i < g->count && rc == DBK_OK; i++) {
        rc = open_one(log, g->firsts[i], g->lasts[i], &runs[i], &part, err);
        if (rc == DBK_OK) { /* the last one's */
            memcpy(source.top, part.top, sizeof(source.top));
            source.ordered = part.ordered;
        }
        if (rc == DBK_CORRUPT || rc == DBK_MISSING) *bad = i;
    }
    dbk_index_merge merge = {.runs = runs,
                             .count = g->count,
                             .with_batches = g->with_batches,
                             .source = &source,
                             .stop = dbk_pack_is_stopped,
                             .arg = log};
    dbk_part_name(g->first, g->last, name);
    if (rc == DBK_OK) rc = dbk_index_runs_merge(log->port, log->dir, name, &merge, bad, err);
    for (size_t i = 0; i < g->count; i++) dbk_index_run_close(runs[i]);
    return rc;
}

static void remove_file(dbk_log *log, uint64_t first, uint64_t last)
{
    char name[DBK_PART_NAME_SIZE];

    dbk_part_name(first, last, name);
    (void)log->port->unlink(log->port->ctx, log->dir, name);
}

/* One that cannot be merged is made anew. */
static void mark_damaged(dbk_log *log, uint64_t number)
{
    dbk_log_lock(log);
    dbk_part *part = dbk_parts_of(log, number);
    if (part) part->damaged = log->parts_wanting = true;
    dbk_log_unlock(log);
}

static dbk_result merge_group(dbk_log *log, const group *g, dbk_error *err)
{
    dbk_index_run *run = NULL;
    dbk_index_source found;
    size_t bad;

    dbk_result rc = write_group(log, g, &bad, err);
    if (bad < g->count) mark_damaged(log, g->firsts[bad]);
    if (rc == DBK_OK) rc = open_one(log, g->first, g->last, &run, &found, err); /* it can be read */
    dbk_index_run_close(run);
    if (rc == DBK_OK) rc = dbk_parts_put(log, g->first, g->last, err);
    if (rc != DBK_OK) return bad < g->count || rc == DBK_TOO_BIG ? DBK_OK : rc;
    for (size_t i = 0; i < g->count; i++) remove_file(log, g->firsts[i], g->lasts[i]);
    return DBK_OK;
}

/* ---- what is damaged */

static dbk_part *pin_damaged(dbk_log *log)
{
    dbk_part *found = NULL;

    dbk_log_lock(log);
    for (size_t i = 0; i < log->part_count && !found; i++) {
        if (log->parts[i]->damaged) found = log->parts[i];
    }
    if (found) found->pins++;
    dbk_log_unlock(log);
    return found;
}

/* The runs of its segments are written beside it, which answers what it can meanwhile. */
static dbk_result make_anew(dbk_log *log, const dbk_part *part, dbk_error *err)
{
    dbk_result rc = DBK_OK;

    for (uint64_t number = part->first; number <= part->last && rc == DBK_OK; number++) {
        dbk_log_lock(log);
        dbk_segment *segment = log->segments[number - 1];
        dbk_log_unlock(log);
        if (dbk_pack_is_stopped(log)) return DBK_END;
        if (segment->last_position >= segment->first_position) rc = dbk_background_write_run(log, segment, err);
    }
    if (rc == DBK_OK) rc = dbk_parts_split(log, part->first, part->last, err);
    if (rc == DBK_OK && part->first != part->last) remove_file(log, part->first, part->last);
    return rc;
}

static dbk_result mend(dbk_log *log)
{
    dbk_result rc = DBK_OK;
    dbk_part *part;

    while (rc == DBK_OK && (part = pin_damaged(log)) != NULL) {
        rc = make_anew(log, part, NULL);
        dbk_parts_unpin(log, part);
    }
    return rc;
}

/* ---- what is left over */

static void remove_stale(dbk_log *log)
{
    const dbk_buffer *stale = &log->stale_parts;

    for (size_t i = 0; i + 16 <= stale->size; i += 16) {
        uint64_t first = dbk_load_u64(stale->data + i), last = dbk_load_u64(stale->data + i + 8);
        dbk_log_lock(log);
        const dbk_part *part = dbk_parts_of(log, first);
        bool in_use = part && part->first == first && part->last == last;
        dbk_log_unlock(log);
        if (!in_use) remove_file(log, first, last);
    }
    dbk_buffer_clear(&log->stale_parts);
}

void dbk_merge_work(dbk_log *log)
{
    dbk_log_lock(log);
    uint64_t sealed = log->segment_count - 1; /* and the next one has begun */
    dbk_log_unlock(log);
    remove_stale(log);
    if (mend(log) != DBK_OK) return;
    for (uint64_t width = DBK_PART_FANOUT; width <= sealed; width *= DBK_PART_FANOUT) {
        for (uint64_t first = 1; first + width - 1 <= sealed; first += width) {
            group g;
            if (dbk_pack_is_stopped(log)) return;
            if (gather(log, first, first + width - 1, &g) && merge_group(log, &g, NULL) != DBK_OK) return;
        }
    }
}
