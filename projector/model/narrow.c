/* The rows in which a shadow may differ from the model it replaces, by their journals: both stood at one position of the
 * log with the same rows, and what either changed since is in the keys of its commits. Where that is known, only these
 * rows are compared; else all of them (difference.c).
 *
 * They may be compared before the switch, with another connection to the model's file. The rows that either changed since
 * are then compared once more, the others are as they were. */
#include "projector/model/journal.h"
#include "projector/rows/internal.h"

#include <stdlib.h>

enum { KEYS_BLOCK_BYTES = 64 * 1024 };

typedef struct dbk_narrow_key {
    const dbk_table *table; /* of the shadow's definition */
    dbk_slice key;
    bool differs, existed; /* by the comparison before the switch */
} dbk_narrow_key;

void dbk_narrow_init(dbk_narrow *narrow, const dbk_port *port)
{
    *narrow = (dbk_narrow){0};
    dbk_buffer_init(&narrow->keys, port);
}

void dbk_narrow_release(dbk_narrow *narrow)
{
    dbk_buffer_release(&narrow->keys);
    dbk_arena_free(narrow->arena);
    narrow->arena = NULL;
}

dbk_result dbk_model_commit_below(dbk_model *model, uint64_t last, uint64_t *position, dbk_error *err)
{
    sqlite3_stmt *statement;
    *position = 0;
    if (model->definition->no_journal) return DBK_OK;
    dbk_result result =
        dbk_model_statement(model, DBK_PLACE_COMMIT_BELOW,
                            "SELECT max(position) FROM _daybook_commits WHERE position <= ?1", &statement, err);
    if (result != DBK_OK) return result;
    (void)sqlite3_bind_int64(statement, 1, (int64_t)last);
    int rc = sqlite3_step(statement);
    if (rc == SQLITE_ROW) *position = (uint64_t)sqlite3_column_int64(statement, 0);
    (void)sqlite3_reset(statement);
    if (rc != SQLITE_ROW) return dbk_model_sql_failure(model, rc, "read the journal", err);
    if (*position < model->state.floor) *position = 0;
    return DBK_OK;
}

typedef struct dbk_narrow_taking {
    dbk_narrow *narrow;
    dbk_model *shadow;
} dbk_narrow_taking;

static dbk_result take_key(void *arg, dbk_slice table, dbk_slice key, dbk_error *err)
{
    const dbk_narrow_taking *taking = arg;
    dbk_narrow *narrow = taking->narrow;
    const dbk_model *shadow = taking->shadow;
    dbk_narrow_key item = {.table = dbk_definition_table(shadow->definition, table),
                           .key = dbk_arena_copy(narrow->arena, key)};
    if (!item.table) return dbk_fail(err, DBK_CORRUPT, "the journal of '%s' is damaged", shadow->path);
    dbk_buffer_put(&narrow->keys, &item, sizeof item);
    return (!item.key.data && key.size) || narrow->keys.failed ? dbk_row_no_memory(err) : DBK_OK;
}

/* What either changed above these positions. */
static dbk_result take_keys(dbk_narrow *narrow, dbk_model *shadow, uint64_t mine, dbk_model *old, uint64_t other,
                            dbk_error *err)
{
    dbk_narrow_taking taking = {narrow, shadow};
    narrow->arena = dbk_arena_new(shadow->port, KEYS_BLOCK_BYTES);
    if (!narrow->arena) return dbk_row_no_memory(err);
    dbk_result result = dbk_model_keys_above(shadow, mine, take_key, &taking, err);
    if (result == DBK_OK) result = dbk_model_keys_above(old, other, take_key, &taking, err);
    narrow->usable = result == DBK_OK;
    return result;
}

dbk_result dbk_narrow_collect(dbk_narrow *narrow, dbk_model *shadow, dbk_model *old, dbk_error *err)
{
    uint64_t begun = shadow->journal->anew, at;
    narrow->usable = false;
    if (begun == 0 || shadow->state.floor != begun || shadow->definition->no_journal) return DBK_OK;
    dbk_result result = dbk_model_commit_below(old, begun, &at, err);
    if (result != DBK_OK || at != begun) return result;
    return take_keys(narrow, shadow, begun, old, begun, err);
}

/* ---- the rows */

typedef struct dbk_row_found {
    bool exists;
    dbk_hash128 hash;
} dbk_row_found;

static dbk_result find_row(dbk_model *model, const dbk_table *table, dbk_slice key, dbk_buffer *scratch,
                           dbk_row_found *found, dbk_error *err)
{
    sqlite3_stmt *row;
    dbk_hash128 prefix = dbk_row_hash_prefix(scratch, table);
    dbk_result result = dbk_select_by_key(model, table, &row, err);
    *found = (dbk_row_found){0};
    if (result != DBK_OK) return result;
    if (dbk_key_bind(table, key, row, 1, &model->journal->keys)) {
        int rc = sqlite3_step(row);
        found->exists = rc == SQLITE_ROW;
        if (found->exists) found->hash = dbk_row_hash_with(scratch, prefix, table, dbk_statement_column, row);
        if (rc != SQLITE_ROW && rc != SQLITE_DONE) result = dbk_model_sql_failure(model, rc, "compare the rows", err);
    } else if (model->journal->keys.failed) {
        result = dbk_row_no_memory(err);
    }
    (void)sqlite3_reset(row);
    (void)sqlite3_clear_bindings(row);
    return result == DBK_OK && scratch->failed ? dbk_row_no_memory(err) : result;
}

static int compare_keys(const void *a, const void *b)
{
    const dbk_narrow_key *left = a, *right = b;
    if (left->table != right->table) return left->table < right->table ? -1 : 1;
    return dbk_slice_compare(left->key, right->key);
}

static dbk_narrow_key *items_of(dbk_narrow *narrow, size_t *count)
{
    *count = narrow->keys.size / sizeof(dbk_narrow_key);
    return (dbk_narrow_key *)(void *)narrow->keys.data;
}

/* Each once, in order. */
static void sort_keys(dbk_narrow *narrow)
{
    size_t count, kept = 0;
    dbk_narrow_key *items = items_of(narrow, &count);
    if (count) qsort(items, count, sizeof *items, compare_keys);
    for (size_t i = 0; i < count; i++)
        if (kept == 0 || compare_keys(&items[kept - 1], &items[i]) != 0) items[kept++] = items[i];
    narrow->keys.size = kept * sizeof *items;
}

static dbk_result compare_one(dbk_model *shadow, dbk_model *old, dbk_narrow_key *item, dbk_buffer *scratch,
                              dbk_error *err)
{
    const dbk_table *table = &old->definition->tables[item->table - shadow->definition->tables];
    dbk_row_found mine, before;
    dbk_result result = find_row(shadow, item->table, item->key, scratch, &mine, err);
    if (result == DBK_OK) result = find_row(old, table, item->key, scratch, &before, err);
    if (result != DBK_OK) return result;
    item->existed = before.exists;
    item->differs =
        mine.exists != before.exists || (mine.exists && memcmp(&mine.hash, &before.hash, sizeof mine.hash) != 0);
    return DBK_OK;
}

static dbk_result compare_all(dbk_narrow *narrow, dbk_model *shadow, dbk_model *old, dbk_error *err)
{
    size_t count;
    dbk_narrow_key *items = items_of(narrow, &count);
    dbk_result result = DBK_OK;
    dbk_buffer scratch;
    dbk_buffer_init(&scratch, shadow->port);
    for (size_t i = 0; result == DBK_OK && i < count; i++) result = compare_one(shadow, old, &items[i], &scratch, err);
    dbk_buffer_release(&scratch);
    return result;
}

/* Those that differ; not those that are in the other list. */
static dbk_result note_all(dbk_narrow *narrow, dbk_narrow *but, dbk_model *shadow, dbk_error *err)
{
    size_t count, others = 0, at = 0;
    const dbk_narrow_key *items = items_of(narrow, &count), *other = but ? items_of(but, &others) : NULL;
    dbk_result result = DBK_OK;
    for (size_t i = 0; result == DBK_OK && i < count; i++) {
        while (at < others && compare_keys(&other[at], &items[i]) < 0) at++;
        if (!items[i].differs || (at < others && compare_keys(&other[at], &items[i]) == 0)) continue;
        result = dbk_observer_add(shadow->observer, items[i].table, items[i].key, items[i].existed, err);
    }
    return result;
}

dbk_result dbk_narrow_note(dbk_narrow *narrow, dbk_model *shadow, dbk_model *old, dbk_error *err)
{
    sort_keys(narrow);
    dbk_result result = compare_all(narrow, shadow, old, err);
    if (result == DBK_OK && narrow->before) result = note_all(narrow->before, narrow, shadow, err);
    return result == DBK_OK ? note_all(narrow, NULL, shadow, err) : result;
}

/* ---- before the switch */

void dbk_narrow_forget(dbk_model *shadow)
{
    if (shadow->compared) dbk_narrow_release(shadow->compared);
    dbk_free(shadow->port, shadow->compared);
    shadow->compared = NULL;
}

dbk_result dbk_model_compare_ahead(dbk_model *shadow, dbk_model *old, dbk_error *err)
{
    dbk_narrow_forget(shadow);
    shadow->compared = dbk_alloc_zero(shadow->port, 1, sizeof *shadow->compared);
    if (!shadow->compared) return dbk_row_no_memory(err);
    dbk_narrow *narrow = shadow->compared;
    dbk_narrow_init(narrow, shadow->port);
    narrow->mine = shadow->state.position;
    narrow->other = old->state.position;
    dbk_result result = dbk_narrow_collect(narrow, shadow, old, err);
    if (result == DBK_OK && narrow->usable) {
        sort_keys(narrow);
        result = compare_all(narrow, shadow, old, err);
    }
    if (result != DBK_OK || !narrow->usable) dbk_narrow_forget(shadow);
    return result;
}

dbk_result dbk_narrow_collect_since(dbk_narrow *narrow, dbk_model *shadow, dbk_model *old, dbk_error *err)
{
    dbk_narrow *before = shadow->compared;
    /* both stood there, so that no commit reaches over it */
    if (!before || old->state.floor > before->other || old->state.position < before->other ||
        shadow->state.floor > before->mine)
        return dbk_narrow_collect(narrow, shadow, old, err);
    narrow->before = before;
    return take_keys(narrow, shadow, before->mine, old, before->other, err);
}
