/* Cells: values between JSON and SQLite, compared and written as events keep them. */
#include "projector/rows/internal.h"

#include <math.h>
#include <stdlib.h>

static dbk_slice bytes_of(const dbk_cell *cell, const dbk_buffer *made)
{
    return dbk_slice_of(cell->made ? made->data + cell->offset : cell->data, cell->size);
}

dbk_cell dbk_cell_of_made(const dbk_buffer *made, size_t from)
{
    return (dbk_cell){.type = SQLITE_TEXT, .made = true, .offset = from, .size = made->size - from};
}

dbk_result dbk_cell_of_column(sqlite3_stmt *statement, int column, dbk_buffer *made, dbk_cell *out, dbk_error *err)
{
    size_t from = made->size;

    *out = (dbk_cell){.type = (uint8_t)sqlite3_column_type(statement, column)};
    if (out->type == SQLITE_INTEGER) {
        out->integer = sqlite3_column_int64(statement, column);
    } else if (out->type == SQLITE_FLOAT) {
        out->real = sqlite3_column_double(statement, column);
    } else if (out->type != SQLITE_NULL) {
        const void *data = sqlite3_column_blob(statement, column);
        dbk_buffer_put(made, data, (size_t)sqlite3_column_bytes(statement, column));
        out->made = true;
        out->offset = from;
        out->size = made->size - from;
    }
    return made->failed ? dbk_row_no_memory(err) : DBK_OK;
}

/* A column with NUMERIC affinity has turned a text that looks like a number into one. */
static bool is_number_text(dbk_slice text, sqlite3_stmt *statement, int column)
{
    char copy[64], *end = NULL;

    if (text.size == 0 || text.size >= sizeof(copy)) return false;
    memcpy(copy, text.data, text.size);
    copy[text.size] = '\0';
    if (sqlite3_column_type(statement, column) == SQLITE_INTEGER) {
        long long integer = strtoll(copy, &end, 10);
        if (!*end) return integer == sqlite3_column_int64(statement, column);
    }
    double real = strtod(copy, &end);
    return !*end && real == sqlite3_column_double(statement, column);
}

bool dbk_cell_equals_column(const dbk_cell *cell, const dbk_buffer *made, sqlite3_stmt *statement, int column)
{
    int type = sqlite3_column_type(statement, column);
    bool numeric = type == SQLITE_INTEGER || type == SQLITE_FLOAT;

    switch (cell->type) {
    case SQLITE_NULL: return type == SQLITE_NULL;
    case SQLITE_INTEGER:
        if (type == SQLITE_INTEGER) return sqlite3_column_int64(statement, column) == cell->integer;
        return numeric && sqlite3_column_double(statement, column) == (double)cell->integer;
    case SQLITE_FLOAT: return numeric && sqlite3_column_double(statement, column) == cell->real;
    default: break;
    }
    dbk_slice bytes = bytes_of(cell, made);
    if (type == (int)cell->type) {
        const void *data = sqlite3_column_blob(statement, column);
        return dbk_slice_equal(bytes, dbk_slice_of(data, (size_t)sqlite3_column_bytes(statement, column)));
    }
    return numeric && cell->type == SQLITE_TEXT && is_number_text(bytes, statement, column);
}

void dbk_cell_out(const dbk_column *column, const dbk_cell *cell, const dbk_buffer *made, dbk_buffer *out)
{
    dbk_slice bytes;

    switch (cell->type) {
    case SQLITE_INTEGER:
        if (column->type == DBK_TYPE_BOOLEAN && (cell->integer == 0 || cell->integer == 1)) {
            dbk_buffer_put_text(out, cell->integer ? "true" : "false");
        } else if (column->type == DBK_TYPE_REAL) {
            dbk_json_put_double(out, (double)cell->integer);
        } else {
            dbk_json_put_i64(out, cell->integer);
        }
        return;
    case SQLITE_FLOAT:
        if (isfinite(cell->real)) {
            dbk_json_put_double(out, cell->real);
        } else {
            dbk_buffer_put_text(out, "null");
        }
        return;
    case SQLITE_TEXT:
        bytes = bytes_of(cell, made);
        if (column->type == DBK_TYPE_JSON && dbk_json_text_valid(bytes)) {
            dbk_buffer_put_slice(out, bytes);
        } else {
            dbk_json_put_string(out, bytes);
        }
        return;
    case SQLITE_BLOB:
        dbk_buffer_put_u8(out, '"');
        dbk_base64_encode(out, bytes_of(cell, made));
        dbk_buffer_put_u8(out, '"');
        return;
    default: dbk_buffer_put_text(out, "null");
    }
}
