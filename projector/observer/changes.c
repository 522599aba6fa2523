/* The dirty rows of a transaction as the commit wants them: per table, sorted. */
#include "projector/observer/internal.h"

#include <stdlib.h>

dbk_result dbk_observer_add(dbk_observer *observer, const dbk_table *table, dbk_slice key, bool existed, dbk_error *err)
{
    dbk_row_change change = {.table = table, .key = key, .existed = existed};
    dbk_result result = dbk_observer_record(observer, &change);

    /* No entry's row: neither its limit nor its marks may know of it. */
    dbk_observer_begin_entry(observer);
    observer->has_added = true;
    if (result != DBK_OK) return dbk_fail(err, result, "cannot note a row of '%s': out of memory", table->name);
    return DBK_OK;
}

static int compare_rows(const void *left, const void *right)
{
    const dbk_dirty *a = *(const dbk_dirty *const *)left, *b = *(const dbk_dirty *const *)right;
    int order = a->table == b->table ? 0 : strcmp(a->table->name, b->table->name);
    return order ? order : dbk_slice_compare(a->key, b->key);
}

/* What is told of each row, in arrays of the arena. */
typedef struct dbk_told {
    dbk_slice *keys;
    bool *existed;
    dbk_seen_row *seen; /* NULL: rows are not kept */
} dbk_told;

static dbk_seen_row seen_row(const dbk_observer *observer, const dbk_kept *kept)
{
    dbk_seen_row row = {.known = kept->known, .exists = kept->exists};
    if (kept->exists) row.values = dbk_buffer_part(&observer->rows, kept->at, kept->size);
    return row;
}

static void fill(const dbk_observer *observer, const dbk_dirty *const *rows, uint32_t count, const dbk_told *told,
                 dbk_change *changes, size_t *filled)
{
    dbk_change *change = NULL;

    *filled = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (!change || change->table != rows[i]->table) {
            change = &changes[(*filled)++];
            *change = (dbk_change){.table = rows[i]->table, .keys = told->keys + i, .existed = told->existed + i};
            if (told->seen) change->seen = told->seen + i;
        }
        told->keys[i] = rows[i]->key;
        told->existed[i] = rows[i]->existed;
        if (told->seen) told->seen[i] = seen_row(observer, &rows[i]->now);
        change->key_count++;
    }
}

static size_t count_tables(const dbk_dirty *const *rows, uint32_t count)
{
    size_t tables = 0;
    for (uint32_t i = 0; i < count; i++) tables += i == 0 || rows[i]->table != rows[i - 1]->table;
    return tables;
}

dbk_result dbk_observer_keep_net(dbk_observer *observer, dbk_row_now_fn now, void *arg, dbk_error *err)
{
    dbk_result result = DBK_OK;

    if (observer->unhashed) return DBK_OK; /* nobody knows what they were */
    for (uint32_t i = 0; result == DBK_OK && i < dbk_dirty_count(observer); i++) {
        dbk_dirty *row = dbk_dirty_at(observer, i);
        dbk_hash128 prefix = observer->tracked[row->table - observer->definition->tables].prefix, hash = {0};
        bool exists = false;
        result = now(arg, row->table, row->key, prefix, &exists, &hash, err);
        row->same = exists == row->existed && (!exists || memcmp(&hash, &row->before, sizeof hash) == 0);
    }
    return result;
}

dbk_result dbk_observer_changes(dbk_observer *observer, dbk_change **changes, size_t *count, dbk_error *err)
{
    uint32_t all = observer->bulk && !observer->has_added ? 0 : dbk_dirty_count(observer), rows = 0;
    const dbk_dirty **sorted;
    dbk_told told = {0};

    *changes = NULL;
    *count = 0;
    dbk_arena_clear(observer->changes_arena);
    for (uint32_t i = 0; i < all; i++) rows += !dbk_dirty_at(observer, i)->same;
    if (rows == 0) return DBK_OK;
    sorted = dbk_arena_take(observer->changes_arena, rows * sizeof *sorted);
    told.keys = dbk_arena_take(observer->changes_arena, rows * sizeof *told.keys);
    told.existed = dbk_arena_take(observer->changes_arena, rows * sizeof *told.existed);
    if (observer->keep_rows) told.seen = dbk_arena_take(observer->changes_arena, rows * sizeof *told.seen);
    if (!sorted || !told.keys || !told.existed || (observer->keep_rows && !told.seen)) goto no_memory;
    for (uint32_t i = 0, at = 0; i < all; i++)
        if (!dbk_dirty_at(observer, i)->same) sorted[at++] = dbk_dirty_at(observer, i);
    qsort(sorted, rows, sizeof *sorted, compare_rows);
    *changes = dbk_arena_take(observer->changes_arena, count_tables(sorted, rows) * sizeof **changes);
    if (!*changes) goto no_memory;
    fill(observer, sorted, rows, &told, *changes, count);
    return DBK_OK;
no_memory:
    return dbk_fail(err, DBK_NO_MEMORY, "cannot list the changed rows: out of memory");
}
