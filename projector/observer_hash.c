/* The fingerprint's hash of one row: XXH3-128 over
 *
 *   prefix 16 = XXH3-128 of (table text | columns u16 | per column: name text; text = u32 length, bytes)
 *   per column: tag u8 and value: 0 NULL | 1 i64 | 2 f64 | 3 text as u32 length, bytes | 4 blob likewise
 *
 * The prefix stands for the names, so that the hook hashes them once per table and not once per row. */
#include "projector/observer.h"

enum { TAG_NULL, TAG_INTEGER, TAG_REAL, TAG_TEXT, TAG_BLOB, VALUE_BYTES = 9 };

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
