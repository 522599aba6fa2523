/* Values by declared type: JSON to SQLite and back (app-format.md §5.6, §5.7). SQLite alone would
 * keep 'abc' in an INTEGER column; here every value is what its column says, or refused. */
#include "projector/rows/internal.h"

#include <math.h>

static dbk_result wrong(const dbk_column *column, const char *table, const dbk_json_node *value, const char *expected,
                        dbk_error *err)
{
    static const char *const found[] = {"null", "false", "true", "a number", "a text", "an array", "an object"};
    (void)dbk_fail(err, DBK_SCHEMA, "'%s.%s' takes %s, not %s", table, column->name, expected, found[value->kind]);
    if (column->type == DBK_TYPE_TEXT && value->kind <= DBK_JSON_NUMBER && value->text.size && value->text.size < 64)
        dbk_error_hint(err, "a text has its quotes: \"%.*s\"", DBK_SLICE_ARG(value->text));
    return DBK_SCHEMA;
}

static dbk_result of_made(dbk_buffer *made, size_t from, dbk_cell *out, dbk_error *err)
{
    if (made->failed) return dbk_row_no_memory(err);
    *out = dbk_cell_of_made(made, from);
    return DBK_OK;
}

static dbk_result of_text(const dbk_column *column, const char *table, dbk_slice text, dbk_cell *out, dbk_error *err)
{
    if (text.size && memchr(text.data, 0, text.size)) {
        return dbk_fail(err, DBK_SCHEMA, "'%s.%s' takes a text without NUL characters", table, column->name);
    }
    *out = (dbk_cell){.type = SQLITE_TEXT, .data = text.data, .size = text.size};
    return DBK_OK;
}

static dbk_result of_boolean(const dbk_column *column, const char *table, const dbk_json_node *value, dbk_cell *out,
                             dbk_error *err)
{
    int64_t integer = value->kind == DBK_JSON_TRUE;
    bool good = integer || value->kind == DBK_JSON_FALSE;

    if (!good) good = dbk_json_is_integer(value, &integer) && (integer == 0 || integer == 1);
    if (!good) return wrong(column, table, value, "true or false", err);
    *out = (dbk_cell){.type = SQLITE_INTEGER, .integer = integer};
    return DBK_OK;
}

static dbk_result of_datetime(const dbk_column *column, const char *table, const dbk_json_node *value, dbk_buffer *made,
                              dbk_cell *out, dbk_error *err)
{
    char stored[DBK_TIME_TEXT_SIZE];
    size_t from = made->size;
    int64_t wall_ms;

    if (value->kind != DBK_JSON_STRING) return wrong(column, table, value, "a date and time as a text", err);
    if (!dbk_time_parse_value(value->text, &wall_ms)) {
        return dbk_fail(err, DBK_SCHEMA,
                        "'%s.%s' takes a date and time with a zone, or YYYY-MM-DD HH:MM:SS in UTC, not '%.*s'", table,
                        column->name, (int)(value->text.size < 64 ? value->text.size : 64),
                        value->text.data ? (const char *)value->text.data : "");
    }
    dbk_time_stored(wall_ms, true, stored);
    dbk_buffer_put_text(made, stored);
    return of_made(made, from, out, err);
}

static dbk_result of_uuid(const dbk_column *column, const char *table, const dbk_json_node *value, dbk_buffer *made,
                          dbk_cell *out, dbk_error *err)
{
    uint8_t uuid[16];
    char text[DBK_UUID_TEXT_SIZE];
    size_t from = made->size;

    if (value->kind != DBK_JSON_STRING || !dbk_uuid_parse(value->text, uuid)) {
        return wrong(column, table, value, "a UUID (8-4-4-4-12 hexadecimal digits)", err);
    }
    dbk_uuid_text(uuid, text);
    dbk_buffer_put_text(made, text);
    return of_made(made, from, out, err);
}

static dbk_result of_blob(const dbk_column *column, const char *table, const dbk_json_node *value, dbk_buffer *made,
                          dbk_cell *out, dbk_error *err)
{
    size_t from = made->size;
    dbk_result result;

    if (value->kind != DBK_JSON_STRING || !dbk_base64_decode(made, value->text)) {
        return wrong(column, table, value, "bytes as base64", err);
    }
    result = of_made(made, from, out, err);
    out->type = SQLITE_BLOB;
    return result;
}

/* A type that has no rule of its own takes what SQLite can store as such. */
/* A number that a double rounds to a whole one (1e-400) is whole: it is written as such, and read as such again. */
static dbk_cell of_double(double real)
{
    if (real >= -0x1p63 && real < 0x1p63 && !((double)(int64_t)real < real) && !((double)(int64_t)real > real))
        return (dbk_cell){.type = SQLITE_INTEGER, .integer = (int64_t)real};
    return (dbk_cell){.type = SQLITE_FLOAT, .real = real};
}

static dbk_result of_any(const dbk_column *column, const char *table, const dbk_json_node *value, dbk_cell *out,
                         dbk_error *err)
{
    int64_t integer;

    if (value->kind == DBK_JSON_STRING) return of_text(column, table, value->text, out, err);
    if (value->kind == DBK_JSON_TRUE || value->kind == DBK_JSON_FALSE) {
        *out = (dbk_cell){.type = SQLITE_INTEGER, .integer = value->kind == DBK_JSON_TRUE};
    } else if (dbk_json_is_integer(value, &integer)) {
        *out = (dbk_cell){.type = SQLITE_INTEGER, .integer = integer};
    } else if (value->kind == DBK_JSON_NUMBER) {
        *out = of_double(dbk_json_double(value));
    } else {
        return wrong(column, table, value, "a plain value", err);
    }
    return DBK_OK;
}

static dbk_result of_json(const dbk_json_node *value, dbk_buffer *made, dbk_cell *out, dbk_error *err)
{
    size_t from = made->size;
    dbk_json_put_minimal(made, value);
    return of_made(made, from, out, err);
}

dbk_result dbk_cell_of_json(const dbk_column *column, const char *table, const dbk_json_node *value, dbk_buffer *made,
                            dbk_cell *out, dbk_error *err)
{
    *out = (dbk_cell){.type = SQLITE_NULL};
    if (value->kind == DBK_JSON_NULL) return DBK_OK;
    switch (column->type) {
    case DBK_TYPE_TEXT:
        if (value->kind != DBK_JSON_STRING) return wrong(column, table, value, "a text", err);
        return of_text(column, table, value->text, out, err);
    case DBK_TYPE_INTEGER:
        if (!dbk_json_is_integer(value, &out->integer))
            return wrong(column, table, value, "an integer of 64 bits", err);
        out->type = SQLITE_INTEGER;
        return DBK_OK;
    case DBK_TYPE_REAL:
        if (value->kind != DBK_JSON_NUMBER) return wrong(column, table, value, "a number", err);
        *out = (dbk_cell){.type = SQLITE_FLOAT, .real = dbk_json_double(value)};
        return DBK_OK;
    case DBK_TYPE_BOOLEAN: return of_boolean(column, table, value, out, err);
    case DBK_TYPE_DATETIME: return of_datetime(column, table, value, made, out, err);
    case DBK_TYPE_UUID: return of_uuid(column, table, value, made, out, err);
    case DBK_TYPE_JSON: return of_json(value, made, out, err);
    case DBK_TYPE_BLOB: return of_blob(column, table, value, made, out, err);
    case DBK_TYPE_ANY: break;
    }
    return of_any(column, table, value, out, err);
}

/* What the cell points to outlives the statement's run, so SQLite need not copy it. */
dbk_result dbk_cell_bind(const dbk_cell *cell, const dbk_buffer *made, sqlite3_stmt *statement, int parameter,
                         dbk_error *err)
{
    const void *data = cell->made ? dbk_buffer_part(made, cell->offset, cell->size).data : cell->data;
    int rc;

    if (cell->size == 0) data = "";
    switch (cell->type) {
    case SQLITE_INTEGER: rc = sqlite3_bind_int64(statement, parameter, cell->integer); break;
    case SQLITE_FLOAT: rc = sqlite3_bind_double(statement, parameter, cell->real); break;
    case SQLITE_TEXT:
        rc = sqlite3_bind_text64(statement, parameter, data, cell->size, SQLITE_STATIC, SQLITE_UTF8);
        break;
    case SQLITE_BLOB: rc = sqlite3_bind_blob64(statement, parameter, data, cell->size, SQLITE_STATIC); break;
    default: rc = sqlite3_bind_null(statement, parameter);
    }
    if (rc == SQLITE_OK) return DBK_OK;
    if (rc == SQLITE_NOMEM) return dbk_row_no_memory(err);
    if (rc == SQLITE_TOOBIG) return dbk_fail(err, DBK_TOO_BIG, "a value of %zu bytes is too big", cell->size);
    return dbk_fail(err, DBK_INTERNAL, "cannot bind a value: %s", sqlite3_errstr(rc));
}

dbk_result dbk_value_bind(const dbk_column *column, const char *table, const dbk_json_node *value,
                          sqlite3_stmt *statement, int parameter, dbk_buffer *scratch, dbk_error *err)
{
    dbk_cell cell;
    dbk_result result;

    dbk_buffer_clear(scratch);
    result = dbk_cell_of_json(column, table, value, scratch, &cell, err);
    if (result != DBK_OK || !cell.made) {
        return result == DBK_OK ? dbk_cell_bind(&cell, scratch, statement, parameter, err) : result;
    }
    /* the caller uses `scratch` again before the statement runs */
    const char *data = cell.size ? (const char *)scratch->data + cell.offset : "";
    int rc = cell.type == SQLITE_TEXT
                 ? sqlite3_bind_text64(statement, parameter, data, cell.size, SQLITE_TRANSIENT, SQLITE_UTF8)
                 : sqlite3_bind_blob64(statement, parameter, data, cell.size, SQLITE_TRANSIENT);
    return rc == SQLITE_OK ? DBK_OK : dbk_row_no_memory(err);
}

static void base64_out(dbk_slice bytes, dbk_buffer *out)
{
    dbk_buffer_put_u8(out, '"');
    dbk_base64_encode(out, bytes);
    dbk_buffer_put_u8(out, '"');
}

static void text_out(dbk_column_type type, dbk_slice text, bool stored, dbk_buffer *out)
{
    char time_text[DBK_TIME_TEXT_SIZE];
    int64_t wall_ms;

    if (type == DBK_TYPE_JSON && dbk_json_text_valid(text)) {
        dbk_buffer_put_slice(out, text);
    } else if (type == DBK_TYPE_DATETIME && !stored && dbk_time_parse(text, &wall_ms)) {
        dbk_time_rfc3339(wall_ms, time_text);
        dbk_json_put_string(out, dbk_slice_text(time_text));
    } else if (dbk_utf8_valid(text)) {
        dbk_json_put_string(out, text);
    } else {
        base64_out(text, out); /* an SQL cast can make a text of any bytes */
    }
}

static void real_out(double real, dbk_buffer *out)
{
    if (isfinite(real)) {
        dbk_json_put_double(out, real);
    } else {
        dbk_buffer_put_text(out, "null"); /* 9e999 in SQL: JSON has no infinity */
    }
}

void dbk_row_value_out(dbk_column_type type, const dbk_row_value *value, bool stored, dbk_buffer *out)
{
    switch (value->type) {
    case SQLITE_NULL: dbk_buffer_put_text(out, "null"); return;
    case SQLITE_INTEGER:
        if (type == DBK_TYPE_BOOLEAN && (value->integer == 0 || value->integer == 1)) {
            dbk_buffer_put_text(out, value->integer ? "true" : "false");
        } else if (type == DBK_TYPE_REAL) {
            real_out((double)value->integer, out); /* SQLite's hook shows a whole REAL as an integer */
        } else {
            dbk_json_put_i64(out, value->integer);
        }
        return;
    case SQLITE_FLOAT: real_out(value->real, out); return;
    case SQLITE_TEXT: text_out(type, value->bytes, stored, out); return;
    default: base64_out(value->bytes, out);
    }
}

void dbk_value_out(dbk_column_type type, sqlite3_value *value, bool stored, dbk_buffer *out)
{
    dbk_row_value row = {.type = sqlite3_value_type(value)};

    switch (row.type) {
    case SQLITE_NULL: break;
    case SQLITE_INTEGER: row.integer = sqlite3_value_int64(value); break;
    case SQLITE_FLOAT: row.real = sqlite3_value_double(value); break;
    default: row.bytes = dbk_slice_of(sqlite3_value_blob(value), (size_t)sqlite3_value_bytes(value));
    }
    dbk_row_value_out(type, &row, stored, out);
}
