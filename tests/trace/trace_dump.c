#include "tests/trace/trace.h"

#include <stdio.h>

static void put_text(dbk_buffer *out, const char *text)
{
    dbk_buffer_put_u16(out, (uint16_t)strlen(text));
    dbk_buffer_put_text(out, text);
}

static void put_hashed(dbk_buffer *out, const char *name, sqlite3_stmt *row, int column)
{
    put_text(out, name);
    switch (sqlite3_column_type(row, column)) {
    case SQLITE_NULL: dbk_buffer_put_u8(out, 0); break;
    case SQLITE_INTEGER:
        dbk_buffer_put_u8(out, 1);
        dbk_buffer_put_u64(out, (uint64_t)sqlite3_column_int64(row, column));
        break;
    case SQLITE_FLOAT: {
        double value = sqlite3_column_double(row, column);
        uint64_t bits;
        memcpy(&bits, &value, sizeof bits);
        dbk_buffer_put_u8(out, 2);
        dbk_buffer_put_u64(out, bits);
        break;
    }
    default: {
        const void *text = sqlite3_column_text(row, column);
        int size = sqlite3_column_bytes(row, column);
        dbk_buffer_put_u8(out, 3);
        dbk_buffer_put_u32(out, (uint32_t)size);
        dbk_buffer_put(out, text, (size_t)size);
    }
    }
}

static void put_json(dbk_buffer *out, sqlite3_stmt *row, int column)
{
    switch (sqlite3_column_type(row, column)) {
    case SQLITE_NULL: dbk_buffer_put_text(out, "null"); break;
    case SQLITE_INTEGER: dbk_json_put_i64(out, sqlite3_column_int64(row, column)); break;
    case SQLITE_FLOAT: dbk_json_put_double(out, sqlite3_column_double(row, column)); break;
    default: {
        const void *text = sqlite3_column_text(row, column);
        dbk_json_put_string(out, dbk_slice_of(text, (size_t)sqlite3_column_bytes(row, column)));
    }
    }
}

static void put_key(dbk_buffer *out, const dbk_table *table, sqlite3_stmt *row, dbk_buffer *scratch)
{
    dbk_buffer_clear(scratch);
    for (uint16_t i = 0; i < table->key_count; i++) {
        if (i) dbk_buffer_put_u8(scratch, '/');
        const void *text = sqlite3_column_text(row, table->key_columns[i]);
        dbk_percent_encode(scratch, dbk_slice_of(text, (size_t)sqlite3_column_bytes(row, table->key_columns[i])));
    }
    dbk_json_put_string(out, dbk_buffer_slice(scratch));
}

static void dump_row(const dbk_table *table, sqlite3_stmt *row, dbk_buffer *out, dbk_buffer *scratch,
                     unsigned __int128 *sum)
{
    unsigned __int128 hash;
    uint8_t digest[16];
    dbk_buffer_clear(scratch);
    put_text(scratch, table->name);
    dbk_buffer_put_u16(scratch, table->column_count);
    for (uint16_t i = 0; i < table->column_count; i++) put_hashed(scratch, table->columns[i].name, row, i);
    dbk_digest(DBK_DIGEST_ROW, dbk_buffer_slice(scratch), digest, sizeof digest);
    memcpy(&hash, digest, sizeof hash);
    *sum += hash;
    put_key(out, table, row, scratch);
    dbk_buffer_put_text(out, ":{");
    for (uint16_t i = 0; i < table->column_count; i++) {
        if (i) dbk_buffer_put_u8(out, ',');
        dbk_json_put_string(out, dbk_slice_text(table->columns[i].name));
        dbk_buffer_put_u8(out, ':');
        put_json(out, row, i);
    }
    dbk_buffer_put_u8(out, '}');
}

bool is_set(const dbk_table *table, int column)
{
    return table->rules && table->rules->fields && table->rules->fields[column] == DBK_FIELD_SET;
}

/* The model writes a set with a space behind each comma. */
static void put_select(const dbk_table *table, dbk_buffer *sql)
{
    dbk_buffer_clear(sql);
    for (uint16_t i = 0; i < table->column_count; i++)
        dbk_buffer_printf(sql, is_set(table, i) ? "%sreplace(\"%s\",'\",\"','\", \"')" : "%s\"%s\"",
                          i ? "," : "SELECT ", table->columns[i].name);
    dbk_buffer_printf(sql, " FROM \"%s\"", table->name);
}

dbk_result dump_rows(sqlite3 *db, const dbk_definition *definition, dbk_buffer *out, char fingerprint[33])
{
    unsigned __int128 sum = 0;
    dbk_buffer scratch;
    bool good = true;
    dbk_buffer_init(&scratch, dbk_port_system());
    dbk_buffer_put_u8(out, '{');
    for (size_t i = 0; good && i < definition->table_count; i++) {
        const dbk_table *table = &definition->tables[i];
        sqlite3_stmt *rows = NULL;
        put_select(table, &scratch);
        const char *sql = dbk_buffer_text(&scratch);
        good = sql && sqlite3_prepare_v2(db, sql, -1, &rows, NULL) == SQLITE_OK;
        dbk_buffer_printf(out, "%s\"%s\":{", i ? "," : "", table->name);
        bool first = true;
        int step = SQLITE_DONE;
        for (; good && (step = sqlite3_step(rows)) == SQLITE_ROW; first = false) {
            if (!first) dbk_buffer_put_u8(out, ',');
            dump_row(table, rows, out, &scratch, &sum);
        }
        good = good && step == SQLITE_DONE;
        sqlite3_finalize(rows);
        dbk_buffer_put_u8(out, '}');
    }
    dbk_buffer_put_u8(out, '}');
    dbk_buffer_release(&scratch);
    dbk_hex_encode(dbk_slice_of(&sum, sizeof sum), fingerprint);
    return good ? DBK_OK : DBK_INTERNAL;
}
