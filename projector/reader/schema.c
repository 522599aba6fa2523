/* What the app has, as SQL: a virtual table `daybook_schema` on a reader's connection with the rows of sqlite_schema
 * that are of the app. SQLite's own table names the engine's tables too, and what a search keeps for itself; a client's
 * SQL is not let at it. */
#include "projector/model/search.h"
#include "projector/reader/internal.h"

static const char declaration[] = "CREATE TABLE daybook_schema(type TEXT, name TEXT, tbl_name TEXT, sql TEXT)";
static const char rows_sql[] =
    "SELECT type, name, tbl_name, sql FROM main.sqlite_schema WHERE name NOT LIKE 'sqlite\\_%' ESCAPE '\\'"
    " AND name NOT LIKE '\\_daybook\\_%' ESCAPE '\\' AND tbl_name NOT LIKE '\\_daybook\\_%' ESCAPE '\\'";
enum { COLUMNS = 4, NAME = 1 };

typedef struct schema_cursor {
    sqlite3_vtab_cursor base;
    sqlite3_stmt *rows;
    sqlite3_int64 number;
    bool at_end;
} schema_cursor;

static int connect(sqlite3 *db, void *reader, int argc, const char *const *argv, sqlite3_vtab **out, char **message)
{
    (void)argc, (void)argv, (void)message;
    return dbk_reader_table_new(db, reader, declaration, out);
}

static int best_index(sqlite3_vtab *table, sqlite3_index_info *info)
{
    (void)table;
    info->estimatedCost = 100;
    return SQLITE_OK;
}

static int open_cursor(sqlite3_vtab *table, sqlite3_vtab_cursor **out)
{
    schema_cursor *cursor = sqlite3_malloc(sizeof(*cursor));

    (void)table;
    if (!cursor) return SQLITE_NOMEM;
    *cursor = (schema_cursor){.at_end = true};
    *out = &cursor->base;
    return SQLITE_OK;
}

static int close_cursor(sqlite3_vtab_cursor *base)
{
    schema_cursor *cursor = (schema_cursor *)base;

    sqlite3_finalize(cursor->rows);
    sqlite3_free(cursor);
    return SQLITE_OK;
}

/* To the next row that is of the app. */
static int find_row(const dbk_definition *definition, sqlite3_stmt *rows)
{
    for (;;) {
        int rc = sqlite3_step(rows);
        if (rc != SQLITE_ROW || !definition) return rc;
        const char *name = (const char *)sqlite3_column_text(rows, NAME);
        if (!name) return SQLITE_NOMEM; /* those without a name are not among the rows */
        if (!dbk_search_inner(definition->app, name)) return SQLITE_ROW;
    }
}

/* The engine's own question: it may ask SQLite's table, whoever asked this one. */
static int step(schema_cursor *cursor)
{
    dbk_model_reader *reader = ((dbk_reader_table *)cursor->base.pVtab)->reader;
    dbk_sql_role role = reader->sandbox.role;
    int rc = SQLITE_OK;

    reader->sandbox.role = DBK_SQL_ENGINE;
    if (!cursor->rows) rc = sqlite3_prepare_v2(reader->db, rows_sql, -1, &cursor->rows, NULL);
    if (rc == SQLITE_OK) rc = find_row(reader->definition, cursor->rows);
    reader->sandbox.role = role;
    cursor->number++;
    cursor->at_end = rc != SQLITE_ROW;
    return rc == SQLITE_ROW || rc == SQLITE_DONE ? SQLITE_OK : rc;
}

static int filter(sqlite3_vtab_cursor *base, int number, const char *text, int argc, sqlite3_value **argv)
{
    schema_cursor *cursor = (schema_cursor *)base;

    (void)number, (void)text, (void)argc, (void)argv;
    cursor->number = 0;
    sqlite3_reset(cursor->rows);
    return step(cursor);
}

static int next(sqlite3_vtab_cursor *base)
{
    return step((schema_cursor *)base);
}

static int at_end(sqlite3_vtab_cursor *base)
{
    return ((schema_cursor *)base)->at_end;
}

static int column(sqlite3_vtab_cursor *base, sqlite3_context *context, int index)
{
    if (index < COLUMNS) sqlite3_result_value(context, sqlite3_column_value(((schema_cursor *)base)->rows, index));
    return SQLITE_OK;
}

static int row_id(sqlite3_vtab_cursor *base, sqlite3_int64 *out)
{
    *out = ((schema_cursor *)base)->number;
    return SQLITE_OK;
}

static const sqlite3_module schema_module = {.xConnect = connect,
                                             .xBestIndex = best_index,
                                             .xDisconnect = dbk_reader_table_free,
                                             .xOpen = open_cursor,
                                             .xClose = close_cursor,
                                             .xFilter = filter,
                                             .xNext = next,
                                             .xEof = at_end,
                                             .xColumn = column,
                                             .xRowid = row_id};

dbk_result dbk_reader_show_schema(dbk_model_reader *reader, dbk_error *err)
{
    return dbk_reader_table_show(reader, "daybook_schema", &schema_module, err);
}
