/* keep: {"last": n}: rows beyond the last n go with the entry that brings one too many. It is a part of
 * the fold, so every replica drops the same rows; no delete is logged. */
#include "projector/rows/rules.h"

typedef struct surplus {
    const dbk_table *table;
    dbk_slice key; /* of a touched row; of what goes */
} surplus;

static bool has_rule(const dbk_table *table)
{
    return table->rules && table->rules->keep_last;
}

/* The touched rows of such tables, in the model's arena: deleting touches more. Without `per` one row of
 * a table is enough. */
static dbk_result list_touched(dbk_model *model, surplus **out, size_t *count, dbk_error *err)
{
    size_t all;
    const dbk_touched *touched = dbk_observer_touched(model->observer, &all);

    *count = 0;
    *out = NULL;
    for (size_t i = 0; i < all; i++) *count += touched[i].exists && has_rule(touched[i].table);
    if (*count == 0) return DBK_OK;
    *out = dbk_arena_take(model->arena, *count * sizeof(**out));
    if (!*out) return dbk_row_no_memory(err);
    *count = 0;
    for (size_t i = 0; i < all; i++) {
        if (!touched[i].exists || !has_rule(touched[i].table)) continue;
        bool again = touched[i].table->rules->keep_per < 0 && *count && (*out)[*count - 1].table == touched[i].table;
        if (again) continue;
        dbk_slice key = dbk_arena_copy(model->arena, touched[i].key);
        if (!key.data && key.size) return dbk_row_no_memory(err);
        (*out)[(*count)++] = (surplus){touched[i].table, key};
    }
    return DBK_OK;
}

static dbk_result list_surplus(dbk_model *model, const surplus *touched, dbk_slice **out, size_t *count, dbk_error *err)
{
    sqlite3_stmt *rows;
    dbk_buffer *key = &model->work->place;
    size_t room = 0;
    int rc = SQLITE_DONE;
    dbk_result result = dbk_row_prepare(model, touched->table, DBK_ROW_SURPLUS, &rows, err);

    *count = 0;
    *out = NULL;
    if (result != DBK_OK) return result;
    if (touched->table->rules->keep_per >= 0 &&
        !dbk_key_bind(touched->table, touched->key, rows, 1, &model->work->part))
        return dbk_row_bad_key(model, touched->table, touched->key, err);
    while (result == DBK_OK && (rc = sqlite3_step(rows)) == SQLITE_ROW) {
        if (*count == room) {
            dbk_slice *grown = dbk_arena_take(model->arena, (2 * room + 16) * sizeof(*grown));
            if (!grown) result = dbk_row_no_memory(err);
            if (grown && room) memcpy(grown, *out, room * sizeof(*grown));
            room = 2 * room + 16;
            *out = grown;
        }
        dbk_buffer_clear(key);
        if (result != DBK_OK) break;
        if (!dbk_key_from_columns(touched->table, rows, key)) {
            if (key->failed) result = dbk_row_no_memory(err); /* a row that stays by chance differs between replicas */
            continue;
        }
        (*out)[*count] = dbk_arena_copy(model->arena, dbk_buffer_slice(key));
        if (!(*out)[*count].data && key->size) result = dbk_row_no_memory(err);
        ++*count;
    }
    if (result == DBK_OK && rc != SQLITE_DONE) result = dbk_model_sql_failure(model, rc, "find the rows that go", err);
    (void)sqlite3_reset(rows);
    return result;
}

static dbk_result drop(dbk_model *model, const dbk_table *table, dbk_slice key, dbk_error *err)
{
    sqlite3_stmt *statement;
    dbk_result result = dbk_row_prepare(model, table, DBK_ROW_DELETE, &statement, err);

    if (result != DBK_OK) return result;
    if (!dbk_key_bind(table, key, statement, 1, &model->work->part)) return dbk_row_bad_key(model, table, key, err);
    return dbk_row_run(model, statement, "drop a row that is too many", NULL, err);
}

/* *again: what went may have changed rows that are counted too. */
static dbk_result drop_once(dbk_model *model, bool *again, dbk_error *err)
{
    surplus *touched;
    size_t count, surplus_count;
    dbk_slice *keys;
    dbk_result result = list_touched(model, &touched, &count, err);

    *again = false;
    for (size_t i = 0; result == DBK_OK && i < count; i++) {
        result = list_surplus(model, &touched[i], &keys, &surplus_count, err);
        *again = *again || (surplus_count > 0 && touched[i].table->rules->keep_chains);
        for (size_t k = 0; result == DBK_OK && k < surplus_count; k++)
            result = drop(model, touched[i].table, keys[k], err);
    }
    return result;
}

/* It ends: each time again has rows less. */
dbk_result dbk_row_drop_surplus(dbk_model *model, dbk_error *err)
{
    bool again = true;
    dbk_result result = DBK_OK;

    while (result == DBK_OK && again) result = drop_once(model, &again, err);
    return result;
}
