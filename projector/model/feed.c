/* Rows, changes and catch-up as JSON (semantics.md §6). */
#include "projector/model/journal.h"

#include <stdlib.h>

/* A message over the first carries keys only; one whose keys are over the second says reset. */
enum { ROWS_BYTES_MAX = 256 * 1024, KEYS_BYTES_MAX = 1024 * 1024, KEYS_BLOCK_BYTES = 16 * 1024 };

static dbk_result no_memory(dbk_error *err)
{
    return dbk_fail(err, DBK_NO_MEMORY, "cannot write a message: out of memory");
}

/* What was put since `size` goes again when a message cannot be finished. */
static dbk_result finish(dbk_buffer *out, size_t size, dbk_result result, dbk_error *err)
{
    if (result == DBK_OK && out->failed) result = no_memory(err);
    if (result != DBK_OK && out->size > size) out->size = size;
    return result;
}

dbk_result dbk_model_row_json(dbk_model *model, const dbk_table *table, dbk_slice key, dbk_buffer *out, dbk_error *err)
{
    size_t size = out->size;
    sqlite3_stmt *row;
    dbk_result result = dbk_select_by_key(model, table, &row, err);

    if (result != DBK_OK) return result;
    if (dbk_key_bind(table, key, row, 1, &model->journal->keys)) {
        int rc = sqlite3_step(row);
        if (rc == SQLITE_ROW) dbk_row_put_json(table, row, out);
        else if (rc == SQLITE_DONE) result = DBK_NONE;
        else result = dbk_model_sql_failure(model, rc, "read a row", err);
    } else {
        result = model->journal->keys.failed ? no_memory(err) : DBK_NONE;
    }
    sqlite3_reset(row);
    sqlite3_clear_bindings(row);
    return finish(out, size, result, err);
}

static void put_begin(const dbk_table *table, dbk_slice key, const char *op, dbk_buffer *out)
{
    dbk_buffer_put_text(out, "{\"op\":\"");
    dbk_buffer_put_text(out, op);
    dbk_buffer_put_text(out, "\",\"key\":");
    dbk_key_to_json(table, key, out);
}

/* One change: the row as it is now, or that there is none. */
static dbk_result put_row(dbk_model *model, const dbk_table *table, dbk_slice key, const char *op, dbk_buffer *out,
                          dbk_error *err)
{
    size_t begin = out->size;

    put_begin(table, key, op, out);
    dbk_buffer_put_text(out, ",\"row\":");
    dbk_result result = dbk_model_row_json(model, table, key, out, err);
    if (result == DBK_NONE) {
        if (out->size > begin) out->size = begin;
        put_begin(table, key, "delete", out);
        result = DBK_OK;
    }
    dbk_buffer_put_u8(out, '}');
    return result;
}

/* The same of a row that was seen as it changed. */
static void put_seen(const dbk_table *table, dbk_slice key, const char *op, const dbk_seen_row *row, dbk_buffer *out)
{
    put_begin(table, key, row->exists ? op : "delete", out);
    if (row->exists) {
        dbk_buffer_put_text(out, ",\"row\":");
        dbk_row_put_values(table, row->values, out);
    }
    dbk_buffer_put_u8(out, '}');
}

/* ---- the message of a change */

/* One transaction for all rows of a message that have to be read: alone, each of them would lock the file and let it go. Without it they
 * are read all the same; nobody writes meanwhile. */
static bool begin_reading(dbk_model *model)
{
    sqlite3_stmt *begin;

    return !dbk_model_in_transaction(model) &&
           dbk_model_statement(model, DBK_SQL_BEGIN_READING, "BEGIN", &begin, NULL) == DBK_OK &&
           dbk_model_run(model, begin, "begin reading", NULL) == DBK_OK;
}

static void end_reading(dbk_model *model)
{
    sqlite3_stmt *commit;

    if (dbk_model_statement(model, DBK_SQL_COMMIT, "COMMIT", &commit, NULL) != DBK_OK ||
        dbk_model_run(model, commit, "end reading", NULL) != DBK_OK)
        (void)sqlite3_exec(model->db, "ROLLBACK", NULL, NULL, NULL);
}

/* DBK_TOO_BIG: over the bytes allowed, 0 allows all. */
static dbk_result put_rows(dbk_model *model, const dbk_change *change, size_t most, dbk_buffer *out, dbk_error *err)
{
    size_t begin = out->size;
    dbk_result result = DBK_OK;
    bool reading = false;

    dbk_buffer_put_text(out, "\"changes\":[");
    for (size_t i = 0; result == DBK_OK && i < change->key_count; i++) {
        const char *op = change->existed[i] ? "update" : "insert";
        const dbk_seen_row *seen = change->seen ? &change->seen[i] : NULL;
        bool known = seen && seen->known;
        if (i) dbk_buffer_put_u8(out, ',');
        if (!known && !reading && change->key_count > 1) reading = begin_reading(model);
        if (known) put_seen(change->table, change->keys[i], op, seen, out);
        else result = put_row(model, change->table, change->keys[i], op, out, err);
        if (result == DBK_OK && most && out->size - begin > most) result = DBK_TOO_BIG;
    }
    if (reading) end_reading(model);
    if (result == DBK_OK) dbk_buffer_put_u8(out, ']');
    else if (out->size > begin) out->size = begin;
    return result;
}

static bool put_keys(const dbk_change *change, size_t most, dbk_buffer *out)
{
    size_t begin = out->size;

    dbk_buffer_put_text(out, "\"keys\":true,\"changes\":[");
    for (size_t i = 0; i < change->key_count; i++) {
        dbk_buffer_put_text(out, i ? ",{\"key\":" : "{\"key\":");
        dbk_key_to_json(change->table, change->keys[i], out);
        dbk_buffer_put_u8(out, '}');
        if (most && out->size - begin > most) {
            out->size = begin;
            return false;
        }
    }
    dbk_buffer_put_u8(out, ']');
    return true;
}

static void put_reset(dbk_buffer *out)
{
    dbk_buffer_put_text(out, "\"reset\":true,\"changes\":[]");
}

dbk_result dbk_model_change_json(dbk_model *model, const dbk_change *change, dbk_buffer *out, dbk_error *err)
{
    uint32_t keys_only = model->options.keys_only_over, reset = model->options.reset_table_over;
    size_t size = out->size;
    dbk_result result = DBK_TOO_BIG;

    dbk_buffer_put_text(out, "\"previous\":");
    dbk_json_put_u64(out, change->previous);
    dbk_buffer_put_text(out, ",\"table\":");
    dbk_json_put_string(out, dbk_slice_text(change->table->name));
    dbk_buffer_put_u8(out, ',');
    if (reset && change->key_count > reset) {
        put_reset(out);
        return finish(out, size, DBK_OK, err);
    }
    if (!keys_only || change->key_count <= keys_only) {
        result = put_rows(model, change, keys_only ? 0 : ROWS_BYTES_MAX, out, err);
    }
    if (result == DBK_TOO_BIG) {
        if (!put_keys(change, reset ? 0 : KEYS_BYTES_MAX, out)) put_reset(out);
        result = DBK_OK;
    }
    return finish(out, size, result, err);
}

/* ---- catch-up */

static dbk_result put_all_rows(dbk_model *model, const dbk_table *table, dbk_buffer *out, dbk_error *err)
{
    dbk_buffer *key = &model->journal->keys;
    sqlite3_stmt *row;
    int rc = SQLITE_DONE;
    dbk_result result = dbk_select_all(model, table, true, &row, err);

    dbk_buffer_put_text(out, ",\"reset\":true,\"changes\":[");
    for (bool first = true; result == DBK_OK && (rc = sqlite3_step(row)) == SQLITE_ROW; first = false) {
        dbk_buffer_clear(key);
        bool is_key = dbk_key_from_row(table, dbk_statement_column, row, key);
        if (key->failed) result = no_memory(err);
        else if (!is_key) result = dbk_fail(err, DBK_CORRUPT, "a row of '%s' has no key", table->name);
        dbk_buffer_put_text(out, first ? "{\"op\":\"insert\",\"key\":" : ",{\"op\":\"insert\",\"key\":");
        dbk_key_to_json(table, dbk_buffer_slice(key), out);
        dbk_buffer_put_text(out, ",\"row\":");
        dbk_row_put_json(table, row, out);
        dbk_buffer_put_u8(out, '}');
    }
    if (result == DBK_OK && rc != SQLITE_DONE) result = dbk_model_sql_failure(model, rc, "read the rows", err);
    sqlite3_finalize(row);
    dbk_buffer_put_u8(out, ']');
    return result;
}

typedef struct dbk_found_keys {
    const dbk_table *table;
    dbk_arena *arena;
    dbk_buffer keys; /* dbk_slice */
} dbk_found_keys;

static dbk_result take_key(void *arg, dbk_slice table, dbk_slice key, dbk_error *err)
{
    dbk_found_keys *found = arg;

    if (!dbk_slice_equal(table, dbk_slice_text(found->table->name))) return DBK_OK;
    key = dbk_arena_copy(found->arena, key);
    if (!key.data) return no_memory(err);
    dbk_buffer_put(&found->keys, &key, sizeof key);
    return found->keys.failed ? no_memory(err) : DBK_OK;
}

static int compare_keys(const void *a, const void *b)
{
    return dbk_slice_compare(*(const dbk_slice *)a, *(const dbk_slice *)b);
}

static dbk_result put_rows_since(dbk_model *model, const dbk_table *table, uint64_t above, dbk_buffer *out,
                                 dbk_error *err)
{
    dbk_found_keys found = {.table = table, .arena = dbk_arena_new(model->port, KEYS_BLOCK_BYTES)};
    dbk_buffer_init(&found.keys, model->port);
    dbk_result result = found.arena ? dbk_model_keys_above(model, above, take_key, &found, err) : no_memory(err);
    const dbk_slice *keys = (const dbk_slice *)(const void *)found.keys.data;
    size_t count = found.keys.size / sizeof *keys;

    dbk_buffer_put_text(out, ",\"reset\":false,\"changes\":[");
    if (result == DBK_OK && count) qsort(found.keys.data, count, sizeof *keys, compare_keys);
    bool first = true;
    for (size_t i = 0; result == DBK_OK && i < count; i++) {
        if (i && dbk_slice_equal(keys[i], keys[i - 1])) continue;
        if (!first) dbk_buffer_put_u8(out, ',');
        result = put_row(model, table, keys[i], "update", out, err);
        first = false;
    }
    dbk_buffer_put_u8(out, ']');
    dbk_buffer_release(&found.keys);
    dbk_arena_free(found.arena);
    return result;
}

/* The journal reaches back to its floor; a table that has not changed since the subscriber's position
 * needs no journal. */
dbk_result dbk_model_catch_up_rows(dbk_model *model, const dbk_table *table, uint64_t position, bool other_life,
                                   dbk_buffer *out, dbk_error *err)
{
    size_t size = out->size;
    int64_t last = model->journal->last[table - model->definition->tables];
    uint64_t floor = model->state.floor, reach = last > 0 ? (uint64_t)last : 0;

    if (reach > floor) reach = floor;
    dbk_buffer_put_text(out, "\"table\":");
    dbk_json_put_string(out, dbk_slice_text(table->name));
    dbk_result result = other_life || position < reach
                            ? put_all_rows(model, table, out, err)
                            : put_rows_since(model, table, position > floor ? position : floor, out, err);
    return finish(out, size, result, err);
}

static int compare_tables(const void *a, const void *b)
{
    const dbk_table *left = *(const dbk_table *const *)a, *right = *(const dbk_table *const *)b;
    return strcmp(left->name, right->name);
}

dbk_result dbk_model_last_json(dbk_model *model, dbk_buffer *out, dbk_error *err)
{
    const dbk_definition *definition = model->definition;
    const dbk_table *tables[DBK_TABLES_MAX];
    size_t count = 0, size = out->size;

    for (size_t i = 0; i < definition->table_count && count < DBK_TABLES_MAX; i++) {
        if (model->journal->last[i] >= 0) tables[count++] = &definition->tables[i];
    }
    qsort(tables, count, sizeof *tables, compare_tables);
    dbk_buffer_put_u8(out, '{');
    for (size_t i = 0; i < count; i++) {
        if (i) dbk_buffer_put_u8(out, ',');
        dbk_json_put_string(out, dbk_slice_text(tables[i]->name));
        dbk_buffer_put_u8(out, ':');
        dbk_json_put_i64(out, model->journal->last[tables[i] - definition->tables]);
    }
    dbk_buffer_put_u8(out, '}');
    return finish(out, size, DBK_OK, err);
}
