/* What binds a table to others and its rows to one another: foreign keys, UNIQUE. Where that is all, a late entry about one
 * of its rows may be applied as it comes (model/tied.c). Keys that compare otherwise than by their bytes, columns that are
 * computed and keys that are checked at the end of a transaction are not for this. */
#include "projector/definition/internal.h"

static bool asks(dbk_check *check, const char *sql, const char *name)
{
    sqlite3_stmt *row = dbk_check_ask(check, sql, name, name);
    bool yes = row && sqlite3_step(row) == SQLITE_ROW && sqlite3_column_int(row, 0) != 0;

    (void)sqlite3_finalize(row);
    return yes;
}

static bool has_plain_key(dbk_check *check, const dbk_table *table)
{
    return table->key_count > 0 &&
           asks(check,
                "SELECT NOT EXISTS (SELECT 1 FROM pragma_index_list(%Q) l, pragma_index_xinfo(l.name) x "
                "WHERE l.origin = 'pk' AND x.key AND x.coll <> 'BINARY') "
                "AND NOT EXISTS (SELECT 1 FROM pragma_table_xinfo(%Q) WHERE hidden > 0)",
                table->name);
}

static int column_of(const dbk_table *table, sqlite3_stmt *row, int at)
{
    const char *name = (const char *)sqlite3_column_text(row, at);
    return name ? dbk_table_column(table, dbk_slice_text(name)) : -1;
}

/* The columns of UNIQUE, whose values are other rows' matter. */
static void tie_unique(dbk_check *check, dbk_table *table)
{
    sqlite3_stmt *rows = dbk_check_ask(check,
                                       "SELECT x.name FROM pragma_index_list(%Q) l, pragma_index_xinfo(l.name) x "
                                       "WHERE l.\"unique\" AND l.origin <> 'pk' AND x.key",
                                       table->name);

    while (rows && sqlite3_step(rows) == SQLITE_ROW) {
        int column = column_of(table, rows, 0);
        table->unique = true;
        if (column >= 0) table->ties[column] = true;
    }
    (void)sqlite3_finalize(rows);
}

/* One column of a foreign key, in order of its number; false: it names something else than the other table's key. */
static bool tie_reference(dbk_check *check, dbk_table *table, sqlite3_stmt *row)
{
    uint16_t seq = (uint16_t)sqlite3_column_int(row, 1);
    const char *name = (const char *)sqlite3_column_text(row, 2);
    const dbk_table *parent = name ? dbk_check_table(check, name) : NULL;
    int from = column_of(table, row, 3);

    if (from < 0 || !parent || !parent->collection) return false;
    table->ties[from] = true;
    if (seq == 0) {
        dbk_reference *reference = &table->references[table->reference_count++];
        *reference = (dbk_reference){parent, dbk_check_take(check, parent->key_count, sizeof(*reference->columns))};
        if (!reference->columns || !has_plain_key(check, parent)) return false;
    }
    dbk_reference *reference = &table->references[table->reference_count - 1];
    int to = sqlite3_column_type(row, 4) == SQLITE_NULL && seq < parent->key_count ? parent->key_columns[seq]
                                                                                   : column_of(parent, row, 4);
    for (uint16_t i = 0; i < parent->key_count; i++) {
        if (parent->key_columns[i] != to) continue;
        reference->columns[i] = (uint16_t)from;
        return table->columns[from].type == parent->columns[to].type;
    }
    return false;
}

static bool tie_references(dbk_check *check, dbk_table *table)
{
    sqlite3_stmt *rows = dbk_check_ask(
        check, "SELECT id, seq, \"table\", \"from\", \"to\" FROM pragma_foreign_key_list(%Q) ORDER BY id, seq",
        table->name);
    bool whole = rows != NULL;

    while (whole && sqlite3_step(rows) == SQLITE_ROW) {
        whole = sqlite3_column_int(rows, 1) > 0 || table->reference_count < DBK_REFERENCES_MAX;
        if (whole) whole = tie_reference(check, table, rows);
    }
    (void)sqlite3_finalize(rows);
    return whole;
}

void dbk_check_ties(dbk_check *check)
{
    dbk_definition *definition = check->definition;

    for (size_t i = 0; i < definition->table_count && !check->failed; i++) {
        dbk_table *table = &definition->tables[i];
        if (!table->collection || table->row_local || table->deferrable || check->read[i]) continue;
        table->ties = dbk_check_take(check, table->column_count, sizeof(*table->ties));
        table->references = dbk_check_take(check, DBK_REFERENCES_MAX, sizeof(*table->references));
        if (!table->ties || !table->references || !has_plain_key(check, table)) continue;
        tie_unique(check, table);
        for (const dbk_link *link = check->links; link; link = link->next) table->referenced |= link->parent == table;
        table->tied = tie_references(check, table);
    }
}
