/* Types by what the file holds, not by what it says: each is one that keeps every value as it is. */
#include <math.h>
#include <strings.h>

#include "cli/import.h"

static void look_at_text(dbk_import *import, dbk_import_column *column, dbk_slice text)
{
    char stored[DBK_TIME_TEXT_SIZE], uuid_text[DBK_UUID_TEXT_SIZE];
    uint8_t uuid[16];
    int64_t wall_ms;
    const dbk_json_node *root;
    column->has_text = true;
    if (!column->no_time) {
        column->no_time = !dbk_time_parse(text, &wall_ms);
        if (!column->no_time) dbk_time_stored(wall_ms, true, stored);
        column->no_time = column->no_time || !dbk_slice_equal(text, dbk_slice_text(stored));
    }
    if (!column->no_uuid) {
        column->no_uuid = !dbk_uuid_parse(text, uuid);
        if (!column->no_uuid) dbk_uuid_text(uuid, uuid_text);
        column->no_uuid = column->no_uuid || !dbk_slice_equal(text, dbk_slice_text(uuid_text));
    }
    if (!column->no_json && dbk_type_of_declared(column->declared) == DBK_TYPE_JSON) {
        dbk_result result = dbk_json_parse(import->parser, text, &root, NULL);
        if (result == DBK_NO_MEMORY) import->no_memory = true;
        column->no_json = result != DBK_OK || root->kind == DBK_JSON_NULL;
        dbk_buffer_clear(&import->scratch);
        if (!column->no_json) dbk_json_put_minimal(&import->scratch, root);
        if (import->scratch.failed) import->no_memory = true;
        column->no_json = column->no_json || !dbk_slice_equal(text, dbk_buffer_slice(&import->scratch));
    }
}

static void look_at(dbk_import *import, dbk_import_column *column, sqlite3_stmt *row, int at)
{
    int64_t integer;
    switch (sqlite3_column_type(row, at)) {
    case SQLITE_NULL: column->has_null = true; return;
    case SQLITE_INTEGER:
        integer = sqlite3_column_int64(row, at);
        column->has_integer = true;
        column->no_boolean = column->no_boolean || (integer != 0 && integer != 1);
        return;
    case SQLITE_FLOAT: column->has_real = true; return;
    case SQLITE_BLOB: column->has_blob = true; return;
    default:
        look_at_text(import, column, dbk_slice_of(sqlite3_column_text(row, at), (size_t)sqlite3_column_bytes(row, at)));
    }
}

static const char *type_of_declared(const char *declared)
{
    static const char *const names[] = {"TEXT", "INTEGER", "REAL", "BOOLEAN", "DATETIME", "UUID", "JSON", "BLOB"};
    dbk_column_type type = dbk_type_of_declared(declared);
    if (type != DBK_TYPE_ANY) return names[type];
    return declared[0] && strcasecmp(declared, "ANY") != 0 ? "NUMERIC" : "";
}

static const char *choose(const dbk_import_column *c)
{
    const char *declared = type_of_declared(c->declared);
    int kinds = c->has_integer + c->has_real + c->has_text + c->has_blob;
    bool numbers = c->has_integer || c->has_real;
    if (kinds == 0) return declared;
    if (kinds == 1 && c->has_blob) return "BLOB";
    if (kinds == 1 && c->has_text) {
        if (strcmp(declared, "DATETIME") == 0 && !c->no_time) return declared;
        if (strcmp(declared, "UUID") == 0 && !c->no_uuid) return declared;
        if (strcmp(declared, "JSON") == 0 && !c->no_json) return declared;
        return "TEXT";
    }
    if (c->has_text || c->has_blob) return "";
    if (numbers && strcmp(declared, "NUMERIC") == 0) return declared;
    if (c->has_integer && c->has_real) return "NUMERIC";
    if (c->has_real) return "REAL";
    return strcmp(declared, "BOOLEAN") == 0 && !c->no_boolean ? declared : "INTEGER";
}

static const char *held(const dbk_import_column *c)
{
    if (c->has_text + c->has_blob + (c->has_integer || c->has_real) > 1) return "values of several kinds";
    if (c->has_blob) return "bytes";
    if (c->has_text) {
        dbk_column_type type = dbk_type_of_declared(c->declared);
        bool has_form = type == DBK_TYPE_DATETIME || type == DBK_TYPE_UUID || type == DBK_TYPE_JSON;
        return has_form ? "texts that it would write in another form" : "texts";
    }
    return c->has_real ? "numbers with fractions" : "whole numbers";
}

static void choose_type(dbk_import *import, const dbk_import_table *table, dbk_import_column *column)
{
    column->type = choose(column);
    if (!column->declared[0] || strcmp(column->type, type_of_declared(column->declared)) == 0) return;
    const char *name = dbk_import_printf(import, "%s.%s", table->from, column->from);
    dbk_import_note_changed(import, "type", name,
                            dbk_import_printf(import, "declared %s, holds %s: %s", column->declared, held(column),
                                              column->type[0] ? column->type : "any plain value"));
}

static dbk_result look_at_rows(dbk_import *import, dbk_import_table *table, dbk_error *err)
{
    dbk_buffer *sql = &import->scratch;
    dbk_buffer_clear(sql);
    dbk_buffer_put_text(sql, "SELECT ");
    for (size_t i = 0; i < table->column_count; i++)
        dbk_buffer_printf(sql, "%s%s", i ? ", " : "", dbk_import_quoted(import, table->columns[i].from));
    dbk_buffer_printf(sql, "%s FROM main.%s", table->column_count ? "" : "NULL",
                      dbk_import_quoted(import, table->from));
    const char *text = dbk_buffer_text(sql);
    if (!text) return dbk_fail(err, DBK_NO_MEMORY, "no memory for the import");
    sqlite3_stmt *row = dbk_import_prepare(import, text, err);
    if (!row) return DBK_IO;
    int rc;
    while ((rc = sqlite3_step(row)) == SQLITE_ROW) {
        for (size_t i = 0; i < table->column_count; i++) look_at(import, &table->columns[i], row, (int)i);
        table->rows++;
    }
    return dbk_import_finish(import, row, rc, err);
}

dbk_result dbk_import_choose_types(dbk_import *import, dbk_error *err)
{
    dbk_result result = DBK_OK;
    for (size_t i = 0; result == DBK_OK && i < import->table_count; i++) {
        dbk_import_table *table = &import->tables[i];
        if (table->left_out) continue;
        result = look_at_rows(import, table, err);
        for (size_t c = 0; result == DBK_OK && c < table->column_count; c++)
            choose_type(import, table, &table->columns[c]);
    }
    return result;
}
