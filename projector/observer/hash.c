/* The fingerprint's hash of one row: XXH3-128 over
 *
 *   prefix 16 = XXH3-128 of (table text | columns u16 | per column: name text; text = u32 length, bytes)
 *   per column: tag u8 and value: 0 NULL | 1 i64 | 2 f64 | 3 text as u32 length, bytes | 4 blob likewise
 *
 * The prefix stands for the names, so that the hook hashes them once per table and not once per row. */
#include "projector/rows/internal.h"

enum { TAG_NULL, TAG_INTEGER, TAG_REAL, TAG_TEXT, TAG_BLOB, VALUE_BYTES = 9, COUNTED_HEAD = 5 };

static void put_counted(dbk_buffer *out, const void *data, size_t size)
{
    dbk_buffer_put_u32(out, (uint32_t)size);
    dbk_buffer_put(out, data, size);
}

dbk_hash128 dbk_row_hash_prefix(dbk_buffer *scratch, const dbk_table *table)
{
    dbk_buffer_clear(scratch);
    put_counted(scratch, table->name, strlen(table->name));
    dbk_buffer_put_u16(scratch, table->column_count);
    for (uint16_t i = 0; i < table->column_count; i++) {
        put_counted(scratch, table->columns[i].name, strlen(table->columns[i].name));
    }
    return dbk_checksum128(dbk_buffer_slice(scratch));
}

static void put_number(dbk_buffer *out, uint8_t tag, const void *value)
{
    uint8_t *at = dbk_buffer_extend(out, VALUE_BYTES);
    if (!at) return;
    at[0] = tag;
    memcpy(at + 1, value, VALUE_BYTES - 1);
}

static void put_bytes(dbk_buffer *out, uint8_t tag, sqlite3_value *value)
{
    /* _blob and not _text: that one copies once more, for the NUL. A size without bytes is a failed
     * allocation inside SQLite. */
    const void *data = sqlite3_value_blob(value);
    size_t size = (size_t)sqlite3_value_bytes(value);
    if (!data && size > 0) {
        out->failed = true;
        return;
    }
    dbk_buffer_put_u8(out, tag);
    put_counted(out, data, size);
}

/* An INSERT shows the hook an integer where the table then holds 2.0. */
static void put_integer(dbk_buffer *out, const dbk_column *column, sqlite3_value *value)
{
    int64_t integer = sqlite3_value_int64(value);
    double real = (double)integer;
    if (column->real_affinity) put_number(out, TAG_REAL, &real);
    else put_number(out, TAG_INTEGER, &integer);
}

static void put_value(dbk_buffer *out, const dbk_column *column, sqlite3_value *value)
{
    double real;
    if (!value) { /* SQLite had no memory for it */
        out->failed = true;
        return;
    }
    switch (sqlite3_value_type(value)) {
    case SQLITE_INTEGER: put_integer(out, column, value); break;
    case SQLITE_FLOAT:
        real = sqlite3_value_double(value);
        put_number(out, TAG_REAL, &real);
        break;
    case SQLITE_TEXT: put_bytes(out, TAG_TEXT, value); break;
    case SQLITE_BLOB: put_bytes(out, TAG_BLOB, value); break;
    default: dbk_buffer_put_u8(out, TAG_NULL);
    }
}

dbk_hash128 dbk_row_hash_with(dbk_buffer *scratch, dbk_hash128 prefix, const dbk_table *table, dbk_column_fn get,
                              void *arg)
{
    dbk_buffer_clear(scratch);
    dbk_buffer_put(scratch, &prefix, sizeof prefix);
    for (uint16_t i = 0; i < table->column_count; i++) {
        put_value(scratch, &table->columns[i], get(arg, i));
    }
    return dbk_checksum128(dbk_buffer_slice(scratch));
}

/* How long the value at the begin of what is left is; 0: it is none. */
static size_t value_size(dbk_slice rest)
{
    if (rest.size == 0) return 0;
    switch (rest.data[0]) {
    case TAG_NULL: return 1;
    case TAG_INTEGER:
    case TAG_REAL: return VALUE_BYTES <= rest.size ? VALUE_BYTES : 0;
    default: break;
    }
    if (rest.size < COUNTED_HEAD) return 0;
    size_t size = dbk_load_u32(rest.data + 1);
    return size <= rest.size - COUNTED_HEAD ? COUNTED_HEAD + size : 0;
}

bool dbk_row_value_next(dbk_slice *values, dbk_row_value *value)
{
    size_t size = value_size(*values);
    const uint8_t *at = values->data;
    *value = (dbk_row_value){.type = SQLITE_NULL};
    if (size == 0) return false;
    if (at[0] == TAG_INTEGER) {
        value->type = SQLITE_INTEGER;
        memcpy(&value->integer, at + 1, sizeof value->integer);
    } else if (at[0] == TAG_REAL) {
        value->type = SQLITE_FLOAT;
        memcpy(&value->real, at + 1, sizeof value->real);
    } else if (at[0] != TAG_NULL) {
        value->type = at[0] == TAG_TEXT ? SQLITE_TEXT : SQLITE_BLOB;
        value->bytes = dbk_slice_of(at + COUNTED_HEAD, size - COUNTED_HEAD);
    }
    *values = dbk_slice_of(at + size, values->size - size);
    return true;
}

/* As SQL compares them: -0.0 is 0.0. */
static bool is_same(const uint8_t *a, size_t a_size, const uint8_t *b, size_t b_size)
{
    double x, y;
    if (a_size != b_size || a[0] != b[0]) return false;
    if (a[0] != TAG_REAL) return memcmp(a, b, a_size) == 0;
    memcpy(&x, a + 1, sizeof x);
    memcpy(&y, b + 1, sizeof y);
    return !(x < y) && !(x > y);
}

dbk_hash128 dbk_row_hash_changed(dbk_buffer *out, const dbk_buffer *scratch, const dbk_table *table,
                                 const dbk_mask *mask, dbk_column_fn get, void *arg, dbk_mask *changed)
{
    size_t at = sizeof(dbk_hash128), copied = 0;
    *changed = (dbk_mask){0};
    dbk_buffer_clear(out);
    for (uint16_t i = 0; i < table->column_count && at < scratch->size; i++) {
        size_t end = at + value_size(dbk_slice_of(scratch->data + at, scratch->size - at));
        if (dbk_mask_has(mask, i)) {
            dbk_buffer_put(out, scratch->data + copied, at - copied);
            size_t from = out->size;
            put_value(out, &table->columns[i], get(arg, i));
            if (!out->failed && !is_same(scratch->data + at, end - at, out->data + from, out->size - from))
                dbk_mask_add(changed, i);
            copied = end;
        }
        at = end;
    }
    dbk_buffer_put(out, scratch->data + copied, at - copied);
    return dbk_checksum128(dbk_buffer_slice(out));
}

sqlite3_value *dbk_statement_column(void *statement, int column)
{
    return sqlite3_column_value(statement, column);
}

void dbk_fingerprint_text(dbk_hash128 fingerprint, char out[33])
{
    uint8_t bytes[16];
    dbk_store_u64(bytes, fingerprint.low);
    dbk_store_u64(bytes + 8, fingerprint.high);
    dbk_hex_encode(dbk_slice_of(bytes, sizeof bytes), out);
}
