/* The definition of an import. It is written from the pieces, given to the loader as any definition is, and
 * whatever the loader refuses is left out with the loader's own words as the reason, until it is good. */
#include <ctype.h>
#include <string.h>

#include "cli/import.h"

typedef struct writer {
    dbk_import *import;
    dbk_buffer *out;
    uint32_t line; /* that is being written, from 1 */
} writer;

static void put(writer *w, const char *text)
{
    dbk_buffer_put_text(w->out, text);
    for (; *text; text++) w->line += *text == '\n';
}

static void put_name(writer *w, const char *name)
{
    dbk_import_put_name(w->out, name);
}

static void put_piece(writer *w, dbk_import_piece *piece)
{
    piece->first_line = w->line;
    put(w, piece->sql);
    piece->last_line = w->line;
}

static dbk_import_piece *default_of(dbk_import *import, const dbk_import_column *column)
{
    for (size_t i = 0; i < import->piece_count; i++)
        if (import->pieces[i].kind == DBK_IMPORT_DEFAULT && import->pieces[i].column == column &&
            !import->pieces[i].left_out)
            return &import->pieces[i];
    return NULL;
}

static void put_column(writer *w, const dbk_import_table *table, dbk_import_column *column, bool is_key)
{
    dbk_import_piece *fallback = default_of(w->import, column);
    put(w, "  ");
    put_name(w, column->name);
    if (column->type[0]) put(w, " "), put(w, column->type);
    if (is_key) put(w, " PRIMARY KEY");
    if (is_key || (column->not_null && !column->has_null && !column->late) || (!table->rowid && column->key_part > 0))
        put(w, " NOT NULL");
    if (column->collation[0]) put(w, " COLLATE "), put(w, column->collation);
    if (!fallback) return;
    put(w, " DEFAULT (");
    put_piece(w, fallback);
    put(w, ")");
}

static size_t key_count(const dbk_import_table *table)
{
    size_t count = 0;
    for (size_t i = 0; i < table->column_count; i++) count += table->columns[i].key_part > 0;
    return count;
}

static void put_key(writer *w, const dbk_import_table *table)
{
    put(w, ",\n  PRIMARY KEY (");
    for (uint16_t part = 1; part <= table->column_count; part++) {
        for (size_t i = 0; i < table->column_count; i++) {
            if (table->columns[i].key_part != part) continue;
            if (part > 1) put(w, ", ");
            put_name(w, table->columns[i].name);
        }
    }
    put(w, ")");
}

static void put_table(writer *w, dbk_import_table *table)
{
    bool one = !table->rowid && key_count(table) == 1;
    table->first_line = w->line;
    put(w, "CREATE TABLE ");
    put_name(w, table->name);
    put(w, " (\n");
    if (table->rowid) {
        put(w, "  ");
        put_name(w, table->rowid_name);
        put(w, " INTEGER PRIMARY KEY NOT NULL");
    }
    for (size_t i = 0; i < table->column_count; i++) {
        if (i > 0 || table->rowid) put(w, ",\n");
        put_column(w, table, &table->columns[i], one && table->columns[i].key_part > 0);
    }
    if (!one && !table->rowid) put_key(w, table);
    for (size_t i = 0; i < w->import->piece_count; i++) {
        dbk_import_piece *piece = &w->import->pieces[i];
        if (piece->table != table || piece->left_out || piece->kind == DBK_IMPORT_DEFAULT ||
            piece->kind == DBK_IMPORT_INDEX)
            continue;
        put(w, ",\n  ");
        put_piece(w, piece);
    }
    put(w, table->without_rowid ? "\n) WITHOUT ROWID;\n" : "\n);\n");
    table->last_line = w->line - 1;
    for (size_t i = 0; i < w->import->piece_count; i++) {
        dbk_import_piece *piece = &w->import->pieces[i];
        if (piece->table != table || piece->left_out || piece->kind != DBK_IMPORT_INDEX) continue;
        put_piece(w, piece);
        put(w, ";\n");
    }
}

static void write_schema(dbk_import *import)
{
    writer w = {import, &import->schema, 1};
    bool first = true;
    dbk_buffer_clear(w.out);
    for (size_t i = 0; i < import->table_count; i++) {
        if (import->tables[i].left_out) continue;
        if (!first) put(&w, "\n");
        first = false;
        put_table(&w, &import->tables[i]);
    }
    for (size_t i = 0; i < import->piece_count; i++) {
        dbk_import_piece *piece = &import->pieces[i];
        if (piece->kind != DBK_IMPORT_VIEW || piece->left_out) continue;
        put(&w, "\n");
        put_piece(&w, piece);
        put(&w, ";\n");
    }
}

/* ---- what the loader refuses goes */

static void leave_out_piece(dbk_import *import, dbk_import_piece *piece, const char *reason)
{
    static const char *const words[] = {"default", "unique", "check", "foreign key", "index", "view"};
    piece->left_out = true;
    dbk_import_note_left_out(import, words[piece->kind], piece->name, reason);
}

static void leave_out_table(dbk_import *import, dbk_import_table *table, const char *reason)
{
    table->left_out = true;
    dbk_import_note_left_out(import, "table", table->from, reason);
    for (size_t i = 0; i < import->piece_count; i++) {
        dbk_import_piece *piece = &import->pieces[i];
        if (piece->left_out) continue;
        if (piece->table == table) piece->left_out = true;
        else if (piece->parent == table) leave_out_piece(import, piece, "its table is not taken");
    }
}

/* What is said of a table alone may come of any of its pieces. False: it has none left. */
static bool leave_out_pieces(dbk_import *import, const dbk_import_table *table, const char *reason)
{
    bool any = false;
    for (size_t i = 0; i < import->piece_count; i++) {
        dbk_import_piece *piece = &import->pieces[i];
        if (piece->table != table || piece->left_out) continue;
        leave_out_piece(import, piece, reason);
        any = true;
    }
    return any;
}

/* False: the finding is about nothing that was written here. `inside`: within a table; else behind them. */
static bool leave_out(dbk_import *import, const dbk_finding *finding, bool inside)
{
    for (size_t i = 0; i < import->piece_count; i++) {
        dbk_import_piece *piece = &import->pieces[i];
        if (inside == (piece->kind == DBK_IMPORT_INDEX || piece->kind == DBK_IMPORT_VIEW)) continue;
        if (piece->left_out || piece->first_line == 0 || finding->line < piece->first_line ||
            finding->line > piece->last_line)
            continue;
        return leave_out_piece(import, piece, finding->text), true;
    }
    for (size_t i = 0; inside && i < import->table_count; i++) {
        dbk_import_table *table = &import->tables[i];
        if (table->left_out || finding->line < table->first_line || finding->line > table->last_line) continue;
        if (!leave_out_pieces(import, table, finding->text)) leave_out_table(import, table, finding->text);
        return true;
    }
    return false;
}

/* What is wrong with an index or a view may come of a table that was wrong: tables first. */
static bool leave_out_all(dbk_import *import, const dbk_findings *findings)
{
    size_t gone = 0;
    for (int inside = 1; gone == 0 && inside >= 0; inside--)
        for (size_t i = 0; i < findings->count; i++)
            gone += !findings->items[i].warning && leave_out(import, &findings->items[i], inside);
    return gone > 0;
}

static dbk_result try_once(dbk_import *import, bool *good, dbk_error *err)
{
    dbk_definition *definition = NULL;
    dbk_findings findings = {0};
    dbk_source sources[] = {{"schema.sql", dbk_buffer_slice(&import->schema)},
                            {"app.json", dbk_buffer_slice(&import->app)}};
    if (import->schema.failed || import->app.failed || import->no_memory)
        return dbk_fail(err, DBK_NO_MEMORY, "no memory for the definition");
    dbk_result result = dbk_definition_parse(import->port, sources, 2, import->name, &definition, &findings, err);
    *good = result == DBK_OK;
    import->warnings = findings.count - findings.errors;
    if (result == DBK_SCHEMA) {
        if (leave_out_all(import, &findings)) result = DBK_OK;
        else if (findings.count > 0)
            dbk_fail(err, DBK_SCHEMA, "the proposed definition is refused: %s", findings.items[0].text);
    }
    dbk_findings_free(&findings);
    dbk_definition_free(definition);
    return result;
}

static void write_app(dbk_import *import)
{
    dbk_buffer_clear(&import->app);
    dbk_buffer_put_text(&import->app, "{\"daybook\":1,\"name\":");
    dbk_json_put_string(&import->app, dbk_slice_text(import->name));
    dbk_buffer_put_text(&import->app, "}\n");
}

dbk_result dbk_import_propose(dbk_import *import, dbk_error *err)
{
    bool good = false;
    dbk_result result = DBK_OK;
    write_app(import);
    while (result == DBK_OK && !good) {
        size_t tables = 0;
        for (size_t i = 0; i < import->table_count; i++) tables += !import->tables[i].left_out;
        if (tables == 0) return dbk_fail(err, DBK_SCHEMA, "the file has no table that can be taken");
        write_schema(import);
        result = try_once(import, &good, err);
    }
    for (size_t i = 0; i < import->table_count; i++)
        if (!import->tables[i].left_out) import->rows += import->tables[i].rows;
    return result;
}
