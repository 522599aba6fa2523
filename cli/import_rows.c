/* The rows of an import, as puts. A command's id is made of the table and the whole row, so that a row that was sent
 * before is known again, whenever and from wherever it comes. What refers to rows that come later is left NULL and
 * patched in when all are there. */
#include <math.h>
#include <strings.h>

#include "cli/import.h"

enum { ARRAY_ROWS = 500, ARRAY_BYTES = 1024 * 1024, COMMAND_BYTES = 1024 * 1024 };

typedef struct loader {
    dbk_import *import;
    dbk_store *store;
    dbk_import_table *table;
    bool links; /* the second round: patches of what is late */
    dbk_buffer array, data, late, key, keys;
    size_t count, key_ends[ARRAY_ROWS]; /* of the rows in `array`: where their keys end in `keys` */
    uint64_t done, refused;
    dbk_bar bar;
    dbk_error *err;
} loader;

/* NULL: it is in *out. Else why it cannot be said in JSON. */
static const char *put_value(dbk_buffer *out, const dbk_import_column *column, sqlite3_stmt *row, int at)
{
    switch (sqlite3_column_type(row, at)) {
    case SQLITE_NULL: dbk_buffer_put_text(out, "null"); return NULL;
    case SQLITE_INTEGER: dbk_json_put_i64(out, sqlite3_column_int64(row, at)); return NULL;
    case SQLITE_FLOAT:
        if (!isfinite(sqlite3_column_double(row, at))) return "an infinite number";
        dbk_json_put_double(out, sqlite3_column_double(row, at));
        return NULL;
    case SQLITE_BLOB:
        if (strcmp(column->type, "BLOB") != 0) return "bytes among values of another kind";
        dbk_buffer_put_u8(out, '"');
        dbk_base64_encode(out, dbk_slice_of(sqlite3_column_blob(row, at), (size_t)sqlite3_column_bytes(row, at)));
        dbk_buffer_put_u8(out, '"');
        return NULL;
    default: break;
    }
    dbk_slice text = dbk_slice_of(sqlite3_column_text(row, at), (size_t)sqlite3_column_bytes(row, at));
    if (!dbk_utf8_valid(text)) return "a text that is no UTF-8";
    if (text.size && memchr(text.data, 0, text.size)) return "a text with a NUL character";
    if (strcmp(column->type, "JSON") == 0) dbk_buffer_put_slice(out, text);
    else dbk_json_put_string(out, text);
    return NULL;
}

static void put_member(dbk_buffer *out, const char *name)
{
    if (out->size > 0) dbk_buffer_put_u8(out, ',');
    dbk_json_put_string(out, dbk_slice_text(name));
    dbk_buffer_put_u8(out, ':');
}

/* The members of data, of the late columns, and the key as JSON. */
static const char *read_row(loader *l, sqlite3_stmt *row)
{
    const dbk_import_table *table = l->table;
    int at = (int)table->column_count;
    dbk_buffer_clear(&l->data);
    dbk_buffer_clear(&l->late);
    if (table->rowid) {
        put_member(&l->data, table->rowid_name);
        dbk_json_put_i64(&l->data, sqlite3_column_int64(row, at));
    }
    for (int i = 0; i < at; i++) {
        const dbk_import_column *column = &table->columns[i];
        bool empty = sqlite3_column_type(row, i) == SQLITE_NULL;
        dbk_buffer *out = column->late ? &l->late : &l->data;
        if (column->late && empty) continue;
        put_member(out, column->name);
        const char *problem = put_value(out, column, row, i);
        if (problem) return dbk_import_printf(l->import, "%s in '%s'", problem, column->from);
    }
    return NULL;
}

static void put_key(loader *l, sqlite3_stmt *row)
{
    const dbk_import_table *table = l->table;
    size_t parts = 0;
    dbk_buffer_clear(&l->key);
    if (table->rowid) return dbk_json_put_i64(&l->key, sqlite3_column_int64(row, (int)table->column_count));
    for (uint16_t part = 1; part <= table->column_count; part++) {
        for (size_t i = 0; i < table->column_count; i++) {
            if (table->columns[i].key_part != part) continue;
            if (parts++ > 0) dbk_buffer_put_u8(&l->key, ',');
            (void)put_value(&l->key, &table->columns[i], row, (int)i);
        }
    }
    if (parts < 2) return;
    dbk_buffer_put_u8(&l->key, ']');
    uint8_t *opening = dbk_buffer_extend(&l->key, 1);
    if (!opening) return;
    memmove(l->key.data + 1, l->key.data, l->key.size - 1);
    l->key.data[0] = '[';
}

static void put_command(loader *l, dbk_buffer *out)
{
    const dbk_slice parts[] = {dbk_slice_text(l->table->name), dbk_slice_of("\0", 1), dbk_buffer_slice(&l->data),
                               dbk_slice_of("\0", 1), dbk_buffer_slice(&l->late)};
    uint8_t digest[16];
    char hex[33];
    dbk_digest_parts(DBK_DIGEST_ROW, parts, sizeof parts / sizeof *parts, digest, sizeof digest);
    dbk_hex_encode(dbk_slice_of(digest, sizeof digest), hex);
    const dbk_buffer *data = l->links ? &l->late : &l->data;
    dbk_buffer_printf(out, "{\"id\":\"import/%s/%s%s\",\"correlation\":\"import/%s\",\"do\":\"%s\",\"table\":\"%s\",",
                      l->table->name, hex, l->links ? "/late" : "", l->import->name, l->links ? "patch" : "put",
                      l->table->name);
    if (l->links) {
        dbk_buffer_put_text(out, "\"key\":");
        dbk_buffer_put_slice(out, dbk_buffer_slice(&l->key));
        dbk_buffer_put_u8(out, ',');
    }
    dbk_buffer_put_text(out, "\"data\":{");
    dbk_buffer_put_slice(out, dbk_buffer_slice(data));
    dbk_buffer_put_text(out, "}}");
}

static void refuse(loader *l, const char *reason, dbk_slice row)
{
    dbk_import_table *table = l->table;
    size_t at = 0;
    table->refused++;
    l->refused++;
    while (at < table->reason_count && strncmp(table->reasons[at].reason, reason, sizeof table->reasons[at].reason - 1))
        at++;
    if (at == DBK_IMPORT_REASONS_MAX) return;
    dbk_import_refusal *refusal = &table->reasons[at];
    refusal->rows++;
    if (at < table->reason_count) return;
    table->reason_count++;
    snprintf(refusal->reason, sizeof refusal->reason, "%s", reason);
    bool shown = row.size < sizeof refusal->row && dbk_utf8_valid(row);
    snprintf(refusal->row, sizeof refusal->row, "%.*s", shown ? (int)row.size : 0, (const char *)row.data);
}

static dbk_slice key_of(const loader *l, size_t at)
{
    size_t from = at > 0 && at < l->count ? l->key_ends[at - 1] : 0;
    return at < l->count ? dbk_slice_of(l->keys.data + from, l->key_ends[at] - from) : dbk_slice_of(NULL, 0);
}

/* ---- receipts */

/* A refusal that has nothing to do with the row ends the import. */
static bool is_hopeless(const dbk_json_node *receipt)
{
    const dbk_json_node *class = dbk_json_member(receipt, "class"), *error = dbk_json_member(receipt, "error");
    if (!class || !error || dbk_json_text_is(class, "transient") || dbk_json_text_is(class, "critical")) return true;
    return dbk_json_text_is(error, "no_space") || dbk_json_text_is(error, "read_only") ||
           dbk_json_text_is(error, "denied");
}

static dbk_result take_receipt(loader *l, const dbk_json_node *receipt, size_t at)
{
    const dbk_json_node *ok = receipt->kind == DBK_JSON_OBJECT ? dbk_json_member(receipt, "ok") : NULL;
    const dbk_json_node *message = receipt->kind == DBK_JSON_OBJECT ? dbk_json_member(receipt, "message") : NULL;
    if (!ok) return dbk_fail(l->err, DBK_INTERNAL, "a receipt of the import is none");
    if (ok->kind == DBK_JSON_TRUE) {
        if (l->links) return DBK_OK;
        if (dbk_json_member(receipt, "again")) l->table->again++;
        else l->table->fresh++;
        return DBK_OK;
    }
    if (is_hopeless(receipt)) return dbk_answer_result(receipt, l->err);
    char reason[256];
    dbk_slice text = message ? message->text : dbk_slice_text("refused");
    snprintf(reason, sizeof reason, "%.*s", (int)(text.size < sizeof reason ? text.size : sizeof reason - 1),
             (const char *)text.data);
    refuse(l, reason, key_of(l, at));
    return DBK_OK;
}

static dbk_result flush(loader *l)
{
    dbk_text answer = {0};
    const dbk_json_node *root = NULL;
    if (l->count == 0) return DBK_OK;
    dbk_buffer_put_u8(&l->array, ']');
    if (l->array.failed || l->keys.failed || l->import->no_memory)
        return dbk_fail(l->err, DBK_NO_MEMORY, "no memory for the rows");
    dbk_result result = dbk_do(l->store, (const char *)l->array.data, l->array.size, &answer, l->err);
    if (result == DBK_OK)
        result = dbk_json_parse(l->import->parser, dbk_slice_of(answer.data, answer.size), &root, l->err);
    if (result == DBK_OK && root->kind != DBK_JSON_ARRAY) result = take_receipt(l, root, 0);
    const dbk_json_node *r = result == DBK_OK && root->kind == DBK_JSON_ARRAY ? dbk_json_child(root) : NULL;
    for (size_t i = 0; result == DBK_OK && r && i < root->count; i++, r = dbk_json_next(r))
        result = take_receipt(l, r, i);
    dbk_text_free(&answer);
    dbk_buffer_clear(&l->array);
    dbk_buffer_clear(&l->keys);
    l->done += l->links ? 0 : l->count;
    l->count = 0;
    dbk_bar_update(&l->bar, l->done, l->import->rows);
    return result;
}

/* ---- tables */

static dbk_result send_row(loader *l, sqlite3_stmt *row)
{
    const char *problem = read_row(l, row);
    put_key(l, row);
    if (problem) { /* the second round says nothing twice */
        if (!l->links) refuse(l, problem, dbk_buffer_slice(&l->key));
        return DBK_OK;
    }
    if (l->links && l->late.size == 0) return DBK_OK;
    if (l->data.size + l->late.size + l->key.size + 512 > COMMAND_BYTES) {
        if (!l->links) refuse(l, "a row of more than 1 MiB", dbk_buffer_slice(&l->key));
        return DBK_OK;
    }
    dbk_buffer_put_u8(&l->array, l->count ? ',' : '[');
    put_command(l, &l->array);
    dbk_buffer_put_slice(&l->keys, dbk_buffer_slice(&l->key));
    l->key_ends[l->count++] = l->keys.size;
    return l->count >= ARRAY_ROWS || l->array.size >= ARRAY_BYTES ? flush(l) : DBK_OK;
}

static dbk_result send_table(loader *l)
{
    dbk_import *import = l->import;
    dbk_buffer *sql = &import->scratch;
    dbk_buffer_clear(sql);
    dbk_buffer_put_text(sql, "SELECT ");
    for (size_t i = 0; i < l->table->column_count; i++)
        dbk_buffer_printf(sql, "%s%s", i ? ", " : "", dbk_import_quoted(import, l->table->columns[i].from));
    if (l->table->rowid) dbk_buffer_printf(sql, "%s%s", l->table->column_count ? ", " : "", l->table->rowid);
    dbk_buffer_printf(sql, " FROM main.%s", dbk_import_quoted(import, l->table->from));
    const char *text = dbk_buffer_text(sql);
    if (!text) return dbk_fail(l->err, DBK_NO_MEMORY, "no memory for the rows");
    sqlite3_stmt *row = dbk_import_prepare(import, text, l->err);
    if (!row) return DBK_IO;
    int rc;
    dbk_result result = DBK_OK;
    while ((rc = sqlite3_step(row)) == SQLITE_ROW && result == DBK_OK) result = send_row(l, row);
    if (result == DBK_OK) result = flush(l);
    if (result == DBK_OK) return dbk_import_finish(import, row, rc, l->err);
    sqlite3_finalize(row);
    return result;
}

static bool has_late(const dbk_import_table *table)
{
    for (size_t i = 0; i < table->column_count; i++)
        if (table->columns[i].late) return true;
    return false;
}

dbk_result dbk_import_rows(dbk_import *import, dbk_store *store, dbk_error *err)
{
    loader l = {.import = import, .store = store, .err = err};
    dbk_buffer *buffers[] = {&l.array, &l.data, &l.late, &l.key, &l.keys};
    dbk_result result = DBK_OK;
    for (size_t i = 0; i < sizeof buffers / sizeof *buffers; i++) dbk_buffer_init(buffers[i], import->port);
    dbk_bar_begin(&l.bar, import->port, "importing", "rows");
    for (int round = 0; round < 2; round++) {
        l.links = round == 1;
        for (size_t i = 0; result == DBK_OK && i < import->table_count; i++) {
            l.table = import->order[i];
            if (l.table->left_out || (l.links && !has_late(l.table))) continue;
            result = send_table(&l);
        }
    }
    dbk_bar_end(&l.bar);
    for (size_t i = 0; i < sizeof buffers / sizeof *buffers; i++) dbk_buffer_release(buffers[i]);
    if (result == DBK_OK && l.refused > 0) {
        result = dbk_fail(err, DBK_REJECTED, "%llu %s not taken", (unsigned long long)l.refused,
                          l.refused == 1 ? "row was" : "rows were");
        dbk_error_hint(err, "the report says of each table why; the others are in");
    }
    return result;
}
