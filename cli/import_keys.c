/* Keys, references, and the order of tables in which references are met.
 *
 * A table's own primary key serves where it can name a row for ever: without NULL, compared byte by byte, of a
 * type with one form. Else the file's rowid becomes the key, and the old one a UNIQUE. */
#include <strings.h>

#include "cli/import.h"

/* ---- keys */

static bool serves_as_key(const dbk_import_column *column)
{
    static const char *const types[] = {"TEXT", "INTEGER", "UUID", "DATETIME", "BOOLEAN", "BLOB"};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (strcmp(column->type, types[i]) == 0) return true;
    return false;
}

static bool compares_otherwise(dbk_import *import, const dbk_import_table *table)
{
    dbk_error ignored = {0};
    sqlite3_stmt *row = dbk_import_prepare(import,
                                           "SELECT 1 FROM pragma_index_list(?1) AS l, pragma_index_xinfo(l.name) AS x "
                                           "WHERE l.origin = 'pk' AND x.key AND x.coll <> 'BINARY'",
                                           &ignored);
    bool found = row && sqlite3_bind_text(row, 1, table->from, -1, SQLITE_STATIC) == SQLITE_OK &&
                 sqlite3_step(row) == SQLITE_ROW;
    sqlite3_finalize(row);
    return found;
}

/* NULL: the file's primary key serves. */
static const char *why_not_its_key(dbk_import *import, const dbk_import_table *table)
{
    bool any = false;
    for (size_t i = 0; i < table->column_count; i++) {
        const dbk_import_column *column = &table->columns[i];
        if (column->key_part == 0) continue;
        any = true;
        if (column->has_null) return dbk_import_printf(import, "its key '%s' is NULL in some rows", column->from);
        if (!serves_as_key(column))
            return dbk_import_printf(import, "its key '%s' holds %s", column->from,
                                     column->type[0] ? column->type : "values of several kinds");
        if (column->collation[0])
            return dbk_import_printf(import, "its key '%s' is compared by %s", column->from, column->collation);
    }
    if (!any) return "it has no primary key";
    return compares_otherwise(import, table) ? "its key is not compared byte by byte" : NULL;
}

static const char *free_rowid(const dbk_import_table *table)
{
    static const char *const names[] = {"rowid", "_rowid_", "oid"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (!dbk_import_find_column(table, names[i])) return names[i];
    return NULL;
}

static void keep_old_key(dbk_import *import, dbk_import_table *table)
{
    dbk_buffer *out = &import->scratch;
    dbk_buffer_clear(out);
    dbk_buffer_put_text(out, "UNIQUE (");
    for (uint16_t part = 1; part <= table->column_count; part++) {
        for (size_t i = 0; i < table->column_count; i++) {
            if (table->columns[i].key_part != part) continue;
            if (part > 1) dbk_buffer_put_text(out, ", ");
            dbk_import_put_name(out, table->columns[i].name);
        }
    }
    dbk_buffer_put_u8(out, ')');
    const char *sql = dbk_import_copy(import, dbk_buffer_text(out));
    if (strcmp(sql, "UNIQUE ()") != 0)
        dbk_import_add_piece(import, DBK_IMPORT_UNIQUE, table, dbk_import_printf(import, "%s %s", table->from, sql),
                             sql);
}

static void take_rowid(dbk_import *import, dbk_import_table *table, const char *reason)
{
    const char *taken[DBK_COLUMNS_MAX];
    for (size_t i = 0; i < table->column_count; i++) taken[i] = table->columns[i].name;
    table->rowid = table->without_rowid ? NULL : free_rowid(table);
    if (!table->rowid) {
        table->left_out = true;
        dbk_import_note_left_out(import, "table", table->from,
                                 dbk_import_printf(import, "%s, and it has no rowid to take instead", reason));
        return;
    }
    table->rowid_name = dbk_import_name(import, "row_id", taken, table->column_count);
    dbk_import_note_changed(
        import, "key", table->from,
        dbk_import_printf(import, "%s: '%s', the file's rowid, is the key here", reason, table->rowid_name));
    keep_old_key(import, table);
}

dbk_result dbk_import_choose_keys(dbk_import *import, dbk_error *err)
{
    for (size_t i = 0; i < import->table_count; i++) {
        dbk_import_table *table = &import->tables[i];
        const char *reason = table->left_out ? NULL : why_not_its_key(import, table);
        if (reason) take_rowid(import, table, reason);
    }
    return import->no_memory ? dbk_fail(err, DBK_NO_MEMORY, "no memory for the import") : DBK_OK;
}

/* ---- references */

static const char *cell(sqlite3_stmt *row, int column)
{
    const char *text = (const char *)sqlite3_column_text(row, column);
    return text ? text : "";
}

/* The parent's column: named, or the part of its key that stands at this place. */
static const dbk_import_column *parent_column(const dbk_import_table *parent, const char *named, int place)
{
    if (named[0]) return dbk_import_find_column(parent, named);
    for (size_t i = 0; i < parent->column_count; i++)
        if (parent->columns[i].key_part == place + 1) return &parent->columns[i];
    return NULL;
}

/* How many rows point at nothing; -1: the file's own reference is broken. */
static int64_t violations(dbk_import *import, const dbk_import_table *table, int id)
{
    dbk_error ignored = {0};
    sqlite3_stmt *row =
        dbk_import_prepare(import, "SELECT count(*) FROM pragma_foreign_key_check(?1) WHERE fkid = ?2", &ignored);
    int64_t count = -1;
    if (row && sqlite3_bind_text(row, 1, table->from, -1, SQLITE_STATIC) == SQLITE_OK &&
        sqlite3_bind_int(row, 2, id) == SQLITE_OK && sqlite3_step(row) == SQLITE_ROW)
        count = sqlite3_column_int64(row, 0);
    sqlite3_finalize(row);
    return count;
}

typedef struct reference {
    dbk_import_table *table, *parent;
    const char *parent_name, *on_delete, *on_update, *problem;
    dbk_import_column **children;
    size_t count;
    dbk_buffer *from; /* import->scratch: the columns here, as SQL */
    dbk_buffer to;
    int id;
} reference;

static void add_reference(dbk_import *import, reference *r)
{
    const char *name = dbk_import_printf(import, "%s to %s", r->table->from, r->parent_name);
    int64_t bad = r->problem ? 0 : violations(import, r->table, r->id);
    const char *from = dbk_buffer_text(r->from), *to = dbk_buffer_text(&r->to);
    if (!r->problem && bad != 0)
        r->problem = bad < 0 ? "it does not name a key of its table"
                             : dbk_import_printf(import, "%lld %s a row that is not there", (long long)bad,
                                                 bad == 1 ? "row names" : "rows name");
    if (r->problem) {
        dbk_import_note_left_out(import, "foreign key", name, r->problem);
        return;
    }
    bool acts = strcasecmp(r->on_delete, "NO ACTION") != 0;
    const char *sql = dbk_import_printf(import, "FOREIGN KEY (%s) REFERENCES %s%s%s", from ? from : "", to ? to : "",
                                        acts ? " ON DELETE " : "", acts ? r->on_delete : "");
    dbk_import_piece *piece = dbk_import_add_piece(import, DBK_IMPORT_REFERENCE, r->table, name, sql);
    if (!piece) return;
    if (strcasecmp(r->on_update, "NO ACTION") != 0)
        dbk_import_note_changed(
            import, "foreign key", name,
            dbk_import_printf(import, "ON UPDATE %s has no place: the key of a row never changes", r->on_update));
    piece->parent = r->parent;
    piece->children = r->children;
    piece->child_count = r->count;
}

static void begin_reference(dbk_import *import, reference *r, sqlite3_stmt *row)
{
    r->id = sqlite3_column_int(row, 0);
    r->parent_name = dbk_import_copy(import, cell(row, 1));
    r->on_delete = dbk_import_copy(import, cell(row, 4));
    r->on_update = dbk_import_copy(import, cell(row, 5));
    r->parent = dbk_import_find_table(import, r->parent_name);
    r->problem = !r->parent || r->parent->left_out ? "its table is not taken" : NULL;
    r->children = dbk_import_take(import, r->table->column_count, sizeof *r->children);
    r->count = 0;
    dbk_buffer_clear(r->from);
    dbk_buffer_clear(&r->to);
    if (r->parent) dbk_import_put_name(&r->to, r->parent->name);
    dbk_buffer_put_text(&r->to, " (");
}

static void take_reference_column(reference *r, sqlite3_stmt *row)
{
    dbk_import_column *child = dbk_import_find_column(r->table, cell(row, 2));
    const dbk_import_column *parent = r->parent ? parent_column(r->parent, cell(row, 3), (int)r->count) : NULL;
    if (!r->problem && (!child || !parent)) r->problem = "one of its columns is not taken";
    if (r->problem || !r->children || r->count >= r->table->column_count) return;
    if (r->count > 0) dbk_buffer_put_text(r->from, ", "), dbk_buffer_put_text(&r->to, ", ");
    dbk_import_put_name(r->from, child->name);
    dbk_import_put_name(&r->to, parent->name);
    r->children[r->count++] = child;
}

static dbk_result note_deferred(dbk_import *import, const dbk_import_table *table, dbk_error *err)
{
    sqlite3_stmt *row = dbk_import_prepare(import, "SELECT sql FROM sqlite_schema WHERE name = ?1", err);
    if (!row) return DBK_IO;
    int rc = sqlite3_bind_text(row, 1, table->from, -1, SQLITE_STATIC);
    if (rc == SQLITE_OK) rc = sqlite3_step(row);
    if (rc == SQLITE_ROW && dbk_import_says(cell(row, 0), "DEFERRED")) /* no pragma tells of it */
        dbk_import_note_changed(import, "foreign key", table->from,
                                "DEFERRABLE INITIALLY DEFERRED is not taken: each statement of a command holds its "
                                "references; write it into the definition where a command needs it");
    if (rc == SQLITE_ROW) rc = SQLITE_DONE;
    return dbk_import_finish(import, row, rc, err);
}

static dbk_result read_references(dbk_import *import, dbk_import_table *table, dbk_error *err)
{
    sqlite3_stmt *row = dbk_import_prepare(import,
                                           "SELECT id, \"table\", \"from\", \"to\", on_delete, on_update FROM "
                                           "pragma_foreign_key_list(?1) ORDER BY id, seq",
                                           err);
    reference r = {.table = table, .from = &import->scratch, .id = -1};
    if (!row) return DBK_IO;
    dbk_buffer_init(&r.to, import->port);
    int rc = sqlite3_bind_text(row, 1, table->from, -1, SQLITE_STATIC);
    while (rc == SQLITE_OK && (rc = sqlite3_step(row)) == SQLITE_ROW) {
        if (r.id != sqlite3_column_int(row, 0)) {
            if (r.id >= 0) dbk_buffer_put_u8(&r.to, ')'), add_reference(import, &r);
            begin_reference(import, &r, row);
        }
        take_reference_column(&r, row);
        rc = SQLITE_OK;
    }
    if (r.id >= 0) dbk_buffer_put_u8(&r.to, ')'), add_reference(import, &r);
    dbk_buffer_release(&r.to);
    dbk_result result = dbk_import_finish(import, row, rc, err);
    return result == DBK_OK && r.id >= 0 ? note_deferred(import, table, err) : result;
}

/* ---- order */

/* Refers to rows that are sent later: what can be NULL until then is. */
static void make_late(dbk_import *import, dbk_import_piece *piece)
{
    bool any = false;
    for (size_t i = 0; i < piece->child_count; i++) {
        dbk_import_column *column = piece->children[i];
        if (column->not_null || column->key_part > 0) continue;
        column->late = any = true;
    }
    if (any) return;
    piece->left_out = true;
    dbk_import_note_left_out(import, "foreign key", piece->name,
                             "its rows refer to each other before they are there, and may not be NULL until then");
}

static bool waits(const dbk_import *import, const dbk_import_table *table)
{
    for (size_t i = 0; i < import->piece_count; i++) {
        const dbk_import_piece *piece = &import->pieces[i];
        if (piece->kind != DBK_IMPORT_REFERENCE || piece->left_out || piece->table != table) continue;
        if (piece->parent != table && !piece->parent->ranked) return true;
    }
    return false;
}

static void rank(dbk_import *import, dbk_import_table *table, size_t *count)
{
    for (size_t i = 0; i < import->piece_count; i++) {
        dbk_import_piece *piece = &import->pieces[i];
        if (piece->kind == DBK_IMPORT_REFERENCE && !piece->left_out && piece->table == table && !piece->parent->ranked)
            make_late(import, piece);
    }
    table->ranked = true;
    import->order[(*count)++] = table;
}

dbk_result dbk_import_choose_order(dbk_import *import, dbk_error *err)
{
    size_t count = 0;
    dbk_result result = DBK_OK;
    for (size_t i = 0; result == DBK_OK && i < import->table_count; i++)
        if (!import->tables[i].left_out) result = read_references(import, &import->tables[i], err);
    import->order = dbk_import_take(import, import->table_count, sizeof *import->order);
    if (result == DBK_OK && import->no_memory) result = dbk_fail(err, DBK_NO_MEMORY, "no memory for the import");
    for (size_t before = SIZE_MAX; result == DBK_OK && count < import->table_count;) {
        bool stuck = before == count; /* a circle: its first table goes first */
        before = count;
        for (size_t i = 0; i < import->table_count; i++) {
            dbk_import_table *table = &import->tables[i];
            if (table->ranked || (!stuck && waits(import, table))) continue;
            rank(import, table, &count);
            if (stuck) break;
        }
    }
    return result;
}
