/* Keys: parts percent-encoded and joined by '/', as they stand in stream names (app-format.md §5.3,
 * §5.5). One key has one encoding: the JSON type must fit, numbers are written one way. */
#include "projector/rows/internal.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* A text that reads back as the integer it is the decimal of. */
static bool is_decimal(dbk_slice text, int64_t *value)
{
    char copy[24], *end = NULL;
    const uint8_t *digits = text.data;
    size_t count = text.size;

    if (count == 0 || count >= sizeof(copy)) return false;
    if (*digits == '-') digits++, count--;
    if (count == 0 || (digits[0] == '0' && text.size > 1)) return false;
    for (size_t i = 0; i < count; i++) {
        if (digits[i] < '0' || digits[i] > '9') return false;
    }
    memcpy(copy, text.data, text.size);
    copy[text.size] = '\0';
    dbk_slice back;
    char again[24];
    *value = strtoll(copy, &end, 10);
    back = dbk_slice_of(again, (size_t)snprintf(again, sizeof(again), "%lld", (long long)*value));
    return dbk_slice_equal(back, text);
}

static dbk_result wrong_type(const dbk_table *table, const dbk_column *column, const char *expected, dbk_error *err)
{
    return dbk_fail(err, DBK_SCHEMA, "key column '%s.%s' takes %s", table->name, column->name, expected);
}

static dbk_result put_text(const dbk_table *table, const dbk_column *column, dbk_slice text, dbk_buffer *encoded,
                           dbk_error *err)
{
    if (text.size && memchr(text.data, 0, text.size)) {
        return wrong_type(table, column, "a text without NUL characters", err);
    }
    if (text.size > DBK_KEY_MAX_BYTES) {
        return dbk_fail(err, DBK_TOO_BIG, "key column '%s.%s' takes at most %d bytes, not %zu", table->name,
                        column->name, DBK_KEY_MAX_BYTES, text.size);
    }
    dbk_percent_encode(encoded, text);
    return encoded->failed ? dbk_row_no_memory(err) : DBK_OK;
}

static dbk_result put_string(const dbk_table *table, const dbk_column *column, dbk_slice text, dbk_buffer *encoded,
                             dbk_error *err)
{
    char stored[DBK_TIME_TEXT_SIZE], uuid_text[DBK_UUID_TEXT_SIZE];
    uint8_t uuid[16];
    int64_t number;

    switch (column->type) {
    case DBK_TYPE_DATETIME:
        if (!dbk_time_parse_value(text, &number)) return wrong_type(table, column, "a date and time", err);
        dbk_time_stored(number, true, stored);
        return put_text(table, column, dbk_slice_text(stored), encoded, err);
    case DBK_TYPE_UUID:
        if (!dbk_uuid_parse(text, uuid)) return wrong_type(table, column, "a UUID", err);
        dbk_uuid_text(uuid, uuid_text);
        return put_text(table, column, dbk_slice_text(uuid_text), encoded, err);
    case DBK_TYPE_BLOB: {
        dbk_buffer bytes;
        dbk_buffer_init(&bytes, encoded->port);
        bool good = dbk_base64_decode(&bytes, text), failed = bytes.failed;
        dbk_buffer_release(&bytes);
        if (failed) return dbk_row_no_memory(err);
        if (!good) return wrong_type(table, column, "bytes as base64", err);
        return put_text(table, column, text, encoded, err);
    }
    case DBK_TYPE_ANY:
        if (is_decimal(text, &number)) return wrong_type(table, column, "an integer as a number, not as a text", err);
        return put_text(table, column, text, encoded, err);
    case DBK_TYPE_TEXT:
    case DBK_TYPE_JSON: return put_text(table, column, text, encoded, err);
    case DBK_TYPE_INTEGER: return wrong_type(table, column, "an integer", err);
    case DBK_TYPE_REAL: return wrong_type(table, column, "a number", err);
    case DBK_TYPE_BOOLEAN: break;
    }
    return wrong_type(table, column, "true or false", err);
}

static dbk_result put_number(const dbk_table *table, const dbk_column *column, const dbk_json_node *value,
                             dbk_buffer *encoded, dbk_error *err)
{
    int64_t number;
    bool integer = dbk_json_is_integer(value, &number);

    if (column->type == DBK_TYPE_REAL) {
        dbk_buffer text;
        dbk_buffer_init(&text, encoded->port);
        dbk_json_put_double(&text, dbk_json_double(value) + 0.0);
        dbk_percent_encode(encoded, dbk_buffer_slice(&text));
        encoded->failed |= text.failed;
        dbk_buffer_release(&text);
    } else if (column->type == DBK_TYPE_INTEGER || column->type == DBK_TYPE_ANY) {
        if (!integer) return wrong_type(table, column, "an integer", err);
        dbk_json_put_i64(encoded, number);
    } else if (column->type == DBK_TYPE_BOOLEAN) {
        if (!integer || (number != 0 && number != 1)) return wrong_type(table, column, "true or false", err);
        dbk_json_put_i64(encoded, number);
    } else {
        (void)wrong_type(table, column, column->type == DBK_TYPE_UUID ? "a UUID" : "a text", err);
        if (value->text.size < 64) dbk_error_hint(err, "a text has its quotes: \"%.*s\"", DBK_SLICE_ARG(value->text));
        return DBK_SCHEMA;
    }
    return encoded->failed ? dbk_row_no_memory(err) : DBK_OK;
}

dbk_result dbk_key_part_put(const dbk_table *table, const dbk_column *column, const dbk_json_node *value,
                            dbk_buffer *encoded, dbk_error *err)
{
    switch ((dbk_json_kind)value->kind) {
    case DBK_JSON_NULL:
        return dbk_fail(err, DBK_CONSTRAINT, "NOT NULL %s.%s: a key has no null", table->name, column->name);
    case DBK_JSON_STRING: return put_string(table, column, value->text, encoded, err);
    case DBK_JSON_NUMBER: return put_number(table, column, value, encoded, err);
    case DBK_JSON_TRUE:
    case DBK_JSON_FALSE:
        if (column->type != DBK_TYPE_BOOLEAN) break;
        dbk_buffer_put_u8(encoded, value->kind == DBK_JSON_TRUE ? '1' : '0');
        return encoded->failed ? dbk_row_no_memory(err) : DBK_OK;
    case DBK_JSON_ARRAY:
    case DBK_JSON_OBJECT: break;
    }
    return wrong_type(table, column, column->type == DBK_TYPE_INTEGER ? "an integer" : "a plain value", err);
}

dbk_result dbk_key_from_json(const dbk_table *table, const dbk_json_node *key, dbk_buffer *encoded, dbk_error *err)
{
    dbk_buffer_clear(encoded);
    if (table->key_count == 1) {
        if (key->kind == DBK_JSON_ARRAY || key->kind == DBK_JSON_OBJECT) {
            return dbk_fail(err, DBK_BAD_COMMAND, "the key of '%s' is one value ('%s')", table->name,
                            table->columns[table->key_columns[0]].name);
        }
        return dbk_key_part_put(table, &table->columns[table->key_columns[0]], key, encoded, err);
    }
    if (key->kind != DBK_JSON_ARRAY || key->count != table->key_count) {
        return dbk_fail(err, DBK_BAD_COMMAND, "the key of '%s' is an array of %u values", table->name,
                        table->key_count);
    }
    const dbk_json_node *part = dbk_json_child(key);
    for (uint16_t i = 0; i < table->key_count; i++, part = dbk_json_next(part)) {
        if (i > 0) dbk_buffer_put_u8(encoded, '/');
        dbk_result result = dbk_key_part_put(table, &table->columns[table->key_columns[i]], part, encoded, err);
        if (result != DBK_OK) return result;
    }
    return DBK_OK;
}

/* An encoded part never holds a '/', so the next one is always the border. */
static dbk_slice cut(dbk_slice *rest)
{
    const uint8_t *slash = rest->size ? memchr(rest->data, '/', rest->size) : NULL;
    size_t size = slash ? (size_t)(slash - rest->data) : rest->size;
    dbk_slice part = dbk_slice_of(rest->data, size);

    *rest = slash ? dbk_slice_of(slash + 1, rest->size - size - 1) : dbk_slice_of(NULL, 0);
    return part;
}

bool dbk_key_next(dbk_slice *rest, dbk_buffer *part)
{
    dbk_slice encoded = cut(rest);

    dbk_buffer_clear(part);
    return dbk_percent_is_canonical(encoded) && dbk_percent_decode(part, encoded) && !part->failed;
}

static size_t count_parts(dbk_slice encoded)
{
    size_t count = 1;
    for (size_t i = 0; i < encoded.size; i++) count += encoded.data[i] == '/';
    return count;
}

static bool is_number_text(dbk_buffer *memory, double real, dbk_slice part)
{
    dbk_buffer text;

    dbk_buffer_init(&text, memory->port);
    dbk_json_put_double(&text, real + 0.0);
    bool same = dbk_slice_equal(dbk_buffer_slice(&text), part);
    memory->failed = memory->failed || text.failed;
    dbk_buffer_release(&text);
    return same;
}

bool dbk_key_part_bind(dbk_buffer *memory, const dbk_column *column, dbk_slice part, sqlite3_stmt *statement,
                       int parameter)
{
    int64_t number;
    char copy[64];

    if (column->type == DBK_TYPE_REAL) {
        char *end = NULL;
        if (part.size == 0 || part.size >= sizeof(copy)) return false;
        memcpy(copy, part.data, part.size);
        copy[part.size] = '\0';
        double real = strtod(copy, &end);
        return !*end && isfinite(real) && is_number_text(memory, real, part) &&
               sqlite3_bind_double(statement, parameter, real) == SQLITE_OK;
    }
    if (column->type == DBK_TYPE_INTEGER || column->type == DBK_TYPE_BOOLEAN) {
        return is_decimal(part, &number) && sqlite3_bind_int64(statement, parameter, number) == SQLITE_OK;
    }
    if (column->type == DBK_TYPE_ANY && is_decimal(part, &number)) {
        return sqlite3_bind_int64(statement, parameter, number) == SQLITE_OK;
    }
    if (column->type == DBK_TYPE_BLOB) {
        dbk_buffer bytes;
        dbk_buffer_init(&bytes, memory->port);
        bool good = dbk_base64_decode(&bytes, part) && !bytes.failed &&
                    sqlite3_bind_blob64(statement, parameter, bytes.data ? bytes.data : (const void *)"", bytes.size,
                                        SQLITE_TRANSIENT) == SQLITE_OK;
        memory->failed = memory->failed || bytes.failed;
        dbk_buffer_release(&bytes);
        return good;
    }
    return sqlite3_bind_text64(statement, parameter, part.data ? (const char *)part.data : "", part.size,
                               SQLITE_TRANSIENT, SQLITE_UTF8) == SQLITE_OK;
}

bool dbk_row_key_of(const dbk_table *table, dbk_slice stream, dbk_slice *key)
{
    size_t size = strlen(table->name);

    if (stream.size <= size || stream.data[size] != '/' || memcmp(stream.data, table->name, size) != 0) return false;
    *key = dbk_slice_of(stream.data + size + 1, stream.size - size - 1);
    return true;
}

bool dbk_key_bind(const dbk_table *table, dbk_slice encoded, sqlite3_stmt *statement, int first, dbk_buffer *scratch)
{
    dbk_slice rest = encoded;

    if (count_parts(encoded) != table->key_count) return false;
    for (uint16_t i = 0; i < table->key_count; i++) {
        if (!dbk_key_next(&rest, scratch)) return false;
        if (!dbk_key_part_bind(scratch, &table->columns[table->key_columns[i]], dbk_buffer_slice(scratch), statement,
                               first + i)) {
            return false;
        }
    }
    return true;
}

static void part_to_json(const dbk_column *column, dbk_slice part, dbk_buffer *out)
{
    int64_t number;

    if (column->type == DBK_TYPE_BOOLEAN) {
        dbk_buffer_put_text(out, part.size == 1 && part.data[0] == '1' ? "true" : "false");
    } else if (column->type == DBK_TYPE_REAL && dbk_json_text_valid(part)) {
        dbk_buffer_put_slice(out, part);
    } else if ((column->type == DBK_TYPE_INTEGER || column->type == DBK_TYPE_ANY) && is_decimal(part, &number)) {
        dbk_json_put_i64(out, number);
    } else {
        dbk_json_put_string(out, part);
    }
}

void dbk_key_next_to_json(const dbk_column *column, dbk_slice *rest, dbk_buffer *out)
{
    dbk_buffer part;

    dbk_buffer_init(&part, out->port);
    bool found = dbk_key_next(rest, &part);
    out->failed |= part.failed; /* a want of memory is no empty part */
    if (!found) dbk_buffer_clear(&part);
    part_to_json(column, dbk_buffer_slice(&part), out);
    dbk_buffer_release(&part);
}

void dbk_key_to_json(const dbk_table *table, dbk_slice encoded, dbk_buffer *out)
{
    dbk_slice rest = encoded;

    if (table->key_count > 1) dbk_buffer_put_u8(out, '[');
    for (uint16_t i = 0; i < table->key_count; i++) {
        if (i > 0) dbk_buffer_put_u8(out, ',');
        dbk_key_next_to_json(&table->columns[table->key_columns[i]], &rest, out);
    }
    if (table->key_count > 1) dbk_buffer_put_u8(out, ']');
}

static bool part_from_value(const dbk_column *column, sqlite3_value *value, dbk_buffer *out)
{
    int type = sqlite3_value_type(value);
    dbk_buffer text;

    if (type == SQLITE_NULL) return false;
    if (type == SQLITE_INTEGER && column->type != DBK_TYPE_REAL) {
        dbk_json_put_i64(out, sqlite3_value_int64(value));
        return true;
    }
    if (type == SQLITE_TEXT) {
        dbk_percent_encode(out, dbk_slice_of(sqlite3_value_blob(value), (size_t)sqlite3_value_bytes(value)));
        return true;
    }
    dbk_buffer_init(&text, out->port);
    if (type == SQLITE_BLOB) {
        dbk_base64_encode(&text, dbk_slice_of(sqlite3_value_blob(value), (size_t)sqlite3_value_bytes(value)));
    } else {
        dbk_json_put_double(&text, sqlite3_value_double(value) + 0.0);
    }
    dbk_percent_encode(out, dbk_buffer_slice(&text));
    out->failed |= text.failed;
    dbk_buffer_release(&text);
    return true;
}

bool dbk_key_from_row(const dbk_table *table, dbk_column_fn get, void *arg, dbk_buffer *out)
{
    for (uint16_t i = 0; i < table->key_count; i++) {
        sqlite3_value *value = get(arg, table->key_columns[i]);
        if (i > 0) dbk_buffer_put_u8(out, '/');
        if (!value || !part_from_value(&table->columns[table->key_columns[i]], value, out)) return false;
    }
    return !out->failed;
}

typedef struct key_columns {
    const dbk_table *table;
    sqlite3_stmt *row;
} key_columns;

static sqlite3_value *key_column(void *arg, int column)
{
    const key_columns *k = arg;

    for (uint16_t i = 0; i < k->table->key_count; i++)
        if (k->table->key_columns[i] == column) return sqlite3_column_value(k->row, i);
    return NULL;
}

bool dbk_key_from_columns(const dbk_table *table, sqlite3_stmt *row, dbk_buffer *out)
{
    key_columns k = {table, row};

    return dbk_key_from_row(table, key_column, &k, out);
}
