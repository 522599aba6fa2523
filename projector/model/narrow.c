/* The rows in which a shadow may differ from the model it replaces, by their journals: both stood at one position of the
 * log with the same rows, and what either changed since is in the keys of its commits. Where that is known, only these
 * rows are compared; else all of them (difference.c). */
#include "projector/model/journal.h"
#include "projector/rows/internal.h"

#include <stdlib.h>

enum { KEYS_BLOCK_BYTES = 64 * 1024 };

typedef struct dbk_narrow_key {
    const dbk_table *table; /* of the shadow's definition */
    dbk_slice key;
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
    dbk_narrow_key item = {dbk_definition_table(shadow->definition, table), dbk_arena_copy(narrow->arena, key)};
    if (!item.table) return dbk_fail(err, DBK_CORRUPT, "the journal of '%s' is damaged", shadow->path);
    dbk_buffer_put(&narrow->keys, &item, sizeof item);
    return (!item.key.data && key.size) || narrow->keys.failed ? dbk_row_no_memory(err) : DBK_OK;
}

dbk_result dbk_narrow_collect(dbk_narrow *narrow, dbk_model *shadow, dbk_model *old, dbk_error *err)
{
    uint64_t begun = shadow->journal->anew, at;
    narrow->usable = false;
    if (begun == 0 || shadow->state.floor != begun || shadow->definition->no_journal) return DBK_OK;
    dbk_result result = dbk_model_commit_below(old, begun, &at, err);
    if (result != DBK_OK || at != begun) return result;
    narrow->arena = dbk_arena_new(shadow->port, KEYS_BLOCK_BYTES);
    if (!narrow->arena) return dbk_row_no_memory(err);
    dbk_narrow_taking taking = {narrow, shadow};
    result = dbk_model_keys_above(shadow, begun, take_key, &taking, err);
    if (result == DBK_OK) result = dbk_model_keys_above(old, begun, take_key, &taking, err);
    narrow->usable = result == DBK_OK;
    return result;
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

static dbk_result note_one(dbk_model *shadow, dbk_model *old, const dbk_narrow_key *item, dbk_buffer *scratch,
                           dbk_error *err)
{
    const dbk_table *table = &old->definition->tables[item->table - shadow->definition->tables];
    dbk_row_found mine, before;
    dbk_result result = find_row(shadow, item->table, item->key, scratch, &mine, err);
    if (result == DBK_OK) result = find_row(old, table, item->key, scratch, &before, err);
    if (result != DBK_OK) return result;
    bool same =
        mine.exists == before.exists && (!mine.exists || memcmp(&mine.hash, &before.hash, sizeof mine.hash) == 0);
    return same ? DBK_OK : dbk_observer_add(shadow->observer, item->table, item->key, before.exists, err);
}

dbk_result dbk_narrow_note(dbk_narrow *narrow, dbk_model *shadow, dbk_model *old, dbk_error *err)
{
    dbk_narrow_key *items = (dbk_narrow_key *)(void *)narrow->keys.data;
    size_t count = narrow->keys.size / sizeof *items;
    dbk_result result = DBK_OK;
    dbk_buffer scratch;
    dbk_buffer_init(&scratch, shadow->port);
    if (count) qsort(items, count, sizeof *items, compare_keys);
    for (size_t i = 0; result == DBK_OK && i < count; i++)
        if (i == 0 || compare_keys(&items[i - 1], &items[i]) != 0)
            result = note_one(shadow, old, &items[i], &scratch, err);
    dbk_buffer_release(&scratch);
    return result;
}
