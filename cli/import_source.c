/* The structure of an SQLite file: tables, columns, constraints, indexes, views. */
#include <ctype.h>
#include <strings.h>

#include "cli/import.h"

/* Nothing of the file is run: no view, no trigger, no function that its schema names. */
static void distrust(sqlite3 *db)
{
    sqlite3_db_config(db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    sqlite3_db_config(db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
    sqlite3_db_config(db, SQLITE_DBCONFIG_ENABLE_TRIGGER, 0, NULL);
    sqlite3_db_config(db, SQLITE_DBCONFIG_ENABLE_VIEW, 0, NULL);
    sqlite3_busy_timeout(db, 5000);
}

dbk_result dbk_import_open(dbk_import *import, const char *file, dbk_error *err)
{
    import->arena = dbk_arena_new(import->port, 64 * 1024);
    import->parser = dbk_json_parser_new(import->port);
    if (!import->arena || !import->parser) return dbk_fail(err, DBK_NO_MEMORY, "no memory for the import");
    int rc = sqlite3_open_v2(file, &import->db, SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX, import->port->sqlite_vfs);
    if (rc == SQLITE_OK) distrust(import->db);
    /* One snapshot for both passes, also while another program writes. */
    if (rc == SQLITE_OK) rc = sqlite3_exec(import->db, "BEGIN; SELECT count(*) FROM sqlite_schema", NULL, NULL, NULL);
    if (rc == SQLITE_OK) return DBK_OK;
    return dbk_fail(err,
                    rc == SQLITE_NOMEM      ? DBK_NO_MEMORY
                    : rc == SQLITE_CANTOPEN ? DBK_MISSING
                                            : DBK_IO,
                    "cannot read '%s' as an SQLite file: %s", file,
                    import->db ? dbk_import_shown(import, sqlite3_errmsg(import->db)) : sqlite3_errstr(rc));
}

void dbk_import_close(dbk_import *import)
{
    sqlite3_close(import->db);
    dbk_json_parser_free(import->parser);
    dbk_buffer_release(&import->scratch);
    dbk_buffer_release(&import->schema);
    dbk_buffer_release(&import->app);
    dbk_arena_free(import->arena);
}

static const char *column_text(sqlite3_stmt *row, int column)
{
    const char *text = (const char *)sqlite3_column_text(row, column);
    return text ? text : "";
}

/* ---- columns */

/* The words of a default, as an expression: "x" and a bare word mean texts there, and names everywhere else. */
static const char *default_sql(dbk_import *import, const char *text)
{
    static const char *const words[] = {"TRUE", "FALSE", "NULL", "CURRENT_TIMESTAMP", "CURRENT_DATE", "CURRENT_TIME"};
    size_t size = strlen(text), from = text[0] == '"' && size > 1 && text[size - 1] == '"' ? 1 : 0;
    bool bare = isalpha((unsigned char)text[0]) || text[0] == '_';
    for (size_t i = 0; i < size; i++) bare = bare && (isalnum((unsigned char)text[i]) || text[i] == '_');
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) bare = bare && strcasecmp(words[i], text) != 0;
    if (!from && !bare) return dbk_import_copy(import, text);
    char *quoted = dbk_import_take(import, 2 * size + 3, 1), *at = quoted;
    if (!quoted) return "NULL";
    *at++ = '\'';
    for (size_t i = from; i < size - from; i++) {
        if (text[i] == '\'') *at++ = '\'';
        *at++ = text[i];
        if (from && text[i] == '"' && text[i + 1] == '"') i++;
    }
    *at = '\'';
    return quoted;
}

static void take_column(dbk_import *import, dbk_import_table *table, sqlite3_stmt *row)
{
    const char *names[DBK_COLUMNS_MAX], *name = column_text(row, 0),
                                        *fallback = (const char *)sqlite3_column_text(row, 3);
    const char *collation = "BINARY";
    if (sqlite3_column_int(row, 5) != 0) {
        dbk_import_note_left_out(import, "column", dbk_import_printf(import, "%s.%s", table->from, name),
                                 sqlite3_column_int(row, 5) == 1
                                     ? "it is hidden"
                                     : "it is generated: a view or a projection can compute it");
        return;
    }
    dbk_import_column *column = &table->columns[table->column_count];
    for (size_t i = 0; i < table->column_count && i < DBK_COLUMNS_MAX; i++) names[i] = table->columns[i].name;
    column->from = dbk_import_copy(import, name);
    column->declared = dbk_import_copy(import, column_text(row, 1));
    column->not_null = sqlite3_column_int(row, 2) != 0;
    column->key_part = (uint16_t)sqlite3_column_int(row, 4);
    column->name = dbk_import_name(import, column->from, names,
                                   table->column_count < DBK_COLUMNS_MAX ? table->column_count : DBK_COLUMNS_MAX);
    if (sqlite3_table_column_metadata(import->db, "main", table->from, column->from, NULL, &collation, NULL, NULL,
                                      NULL) != SQLITE_OK)
        collation = "BINARY";
    column->collation = strcasecmp(collation, "BINARY") == 0 ? "" : dbk_import_copy(import, collation);
    table->column_count++;
    if (strchr(column->declared, '(') && strcasestr(column->declared, "CHAR"))
        dbk_import_note_changed(import, "length", dbk_import_printf(import, "%s.%s", table->from, column->from),
                                dbk_import_printf(import,
                                                  "%s is not taken: SQLite holds no text to it; a CHECK of the "
                                                  "definition does",
                                                  column->declared));
    if (strcmp(column->name, column->from) != 0)
        dbk_import_note_changed(import, "column", dbk_import_printf(import, "%s.%s", table->from, column->from),
                                dbk_import_printf(import, "is '%s' here", column->name));
    if (fallback && strcasecmp(fallback, "NULL") != 0) {
        dbk_import_piece *piece = dbk_import_add_piece(import, DBK_IMPORT_DEFAULT, table,
                                                       dbk_import_printf(import, "%s.%s", table->from, column->from),
                                                       default_sql(import, fallback));
        if (piece) piece->column = column;
    }
}

/* Collations of the app that made the file are not known here. */
static void check_collation(dbk_import *import, const dbk_import_table *table, dbk_import_column *column)
{
    if (!column->collation[0] || strcasecmp(column->collation, "NOCASE") == 0 ||
        strcasecmp(column->collation, "RTRIM") == 0)
        return;
    dbk_import_note_left_out(import, "collation", dbk_import_printf(import, "%s.%s", table->from, column->from),
                             dbk_import_printf(import, "'%s' is not one of SQLite's own", column->collation));
    column->collation = "";
}

static dbk_result read_columns(dbk_import *import, dbk_import_table *table, dbk_error *err)
{
    sqlite3_stmt *row = dbk_import_prepare(import,
                                           "SELECT name, type, \"notnull\", dflt_value, pk, hidden "
                                           "FROM pragma_table_xinfo(?1) ORDER BY cid",
                                           err);
    if (!row) return DBK_IO;
    int rc = sqlite3_bind_text(row, 1, table->from, -1, SQLITE_STATIC);
    size_t count = 0;
    while (rc == SQLITE_OK && (rc = sqlite3_step(row)) == SQLITE_ROW) count++, rc = SQLITE_OK;
    if (rc == SQLITE_DONE) rc = sqlite3_reset(row);
    table->columns = dbk_import_take(import, count, sizeof *table->columns);
    while (table->columns && rc == SQLITE_OK && (rc = sqlite3_step(row)) == SQLITE_ROW && table->column_count < count)
        take_column(import, table, row), rc = SQLITE_OK;
    for (size_t i = 0; i < table->column_count; i++) check_collation(import, table, &table->columns[i]);
    return dbk_import_finish(import, row, rc == SQLITE_OK ? SQLITE_DONE : rc, err);
}

/* ---- CHECKs stand in the table's text alone */

/* The byte behind the token at `at`: a quoted text, a comment, a word, or one character. */
static const char *skip_token(const char *at)
{
    char close = *at == '[' ? ']' : *at;
    if (*at == '\'' || *at == '"' || *at == '`' || *at == '[') {
        for (at++; *at; at++) {
            if (*at != close) continue;
            if (close == ']' || at[1] != close) return at + 1;
            at++;
        }
        return at;
    }
    if (at[0] == '-' && at[1] == '-') return at + strcspn(at, "\n");
    if (at[0] == '/' && at[1] == '*') {
        const char *end = strstr(at + 2, "*/");
        return end ? end + 2 : at + strlen(at);
    }
    if (!isalnum((unsigned char)*at) && *at != '_') return at + 1;
    while (isalnum((unsigned char)*at) || *at == '_') at++;
    return at;
}

static void read_checks(dbk_import *import, dbk_import_table *table)
{
    const char *begin = NULL, *at = table->sql;
    int depth = 0, check_depth = 0, number = 0;
    bool word = false;
    for (const char *next; *at; at = next) {
        next = skip_token(at);
        if (*at == '(') {
            if (word && depth == 1) begin = at, check_depth = depth;
            depth++;
        } else if (*at == ')') {
            depth--;
            if (begin && depth == check_depth) {
                const char *sql = dbk_import_printf(import, "CHECK %.*s", (int)(next - begin), begin);
                dbk_import_add_piece(import, DBK_IMPORT_CHECK, table,
                                     dbk_import_printf(import, "%s, number %d", table->from, ++number), sql);
                begin = NULL;
            }
        }
        bool comment = (at[0] == '-' && at[1] == '-') || (at[0] == '/' && at[1] == '*');
        if (!comment && !isspace((unsigned char)*at)) word = next - at == 5 && strncasecmp(at, "CHECK", 5) == 0;
    }
}

/* ---- indexes */

/* The columns in brackets; false: an expression, or a column that is left out. */
static bool put_columns(dbk_import *import, const dbk_import_table *table, const char *index, dbk_buffer *out,
                        bool full)
{
    dbk_error ignored = {0};
    sqlite3_stmt *row = dbk_import_prepare(
        import, "SELECT cid, name, \"desc\", coll FROM pragma_index_xinfo(?1) WHERE key ORDER BY seqno", &ignored);
    bool good = row && sqlite3_bind_text(row, 1, index, -1, SQLITE_STATIC) == SQLITE_OK;
    dbk_buffer_put_u8(out, '(');
    for (int i = 0; good && sqlite3_step(row) == SQLITE_ROW; i++) {
        const char *collation = column_text(row, 3);
        const dbk_import_column *column =
            sqlite3_column_int(row, 0) < 0 ? NULL : dbk_import_find_column(table, column_text(row, 1));
        good = column != NULL;
        if (!good) break;
        if (i > 0) dbk_buffer_put_text(out, ", ");
        dbk_import_put_name(out, column->name);
        if (full && strcasecmp(collation, column->collation[0] ? column->collation : "BINARY") != 0)
            dbk_buffer_printf(out, " COLLATE %s", collation);
        if (full && sqlite3_column_int(row, 2)) dbk_buffer_put_text(out, " DESC");
    }
    dbk_buffer_put_u8(out, ')');
    sqlite3_finalize(row);
    return good;
}

/* What follows the columns of a partial index, from its WHERE on; NULL: not found. The last WHERE is taken: what is
 * cut in the middle of a text or a subquery is no SQL, and left out by the check. */
static const char *condition_of(const char *sql)
{
    const char *found = NULL;
    for (const char *at = sql; at && (at = strcasestr(at, "where")) != NULL; at += 5)
        if (at > sql && strchr(" \t\r\n)", at[-1]) && strchr(" \t\r\n(\"[`'", at[5]) && at[5]) found = at - 1;
    return found && *found == ')' ? found + 1 : found;
}

static void take_index(dbk_import *import, dbk_import_table *table, sqlite3_stmt *row)
{
    const char *index = dbk_import_copy(import, column_text(row, 0)), *origin = column_text(row, 2),
               *sql = column_text(row, 4);
    bool unique = sqlite3_column_int(row, 1) != 0, partial = sqlite3_column_int(row, 3) != 0;
    dbk_buffer *out = &import->scratch;
    if (origin[0] == 'p') return;
    dbk_buffer_clear(out);
    if (origin[0] == 'u') {
        dbk_buffer_put_text(out, "UNIQUE ");
        bool whole = put_columns(import, table, index, out, false);
        const char *text = dbk_buffer_text(out);
        const char *shown = dbk_import_printf(import, "%s %s", table->from, text ? text : "");
        if (whole) dbk_import_add_piece(import, DBK_IMPORT_UNIQUE, table, shown, dbk_import_copy(import, text));
        else dbk_import_note_left_out(import, "unique", table->from, "one of its columns is left out");
        return;
    }
    const char *name = dbk_import_name(import, index, import->names, import->name_count);
    dbk_import_keep_name(import, name);
    dbk_buffer_printf(out, "CREATE %sINDEX ", unique ? "UNIQUE " : "");
    dbk_import_put_name(out, name);
    dbk_buffer_put_text(out, " ON ");
    dbk_import_put_name(out, table->name);
    dbk_buffer_put_u8(out, ' ');
    /* An expression or a WHERE is taken in the words of the file; check says whether they still mean something. */
    const char *condition = partial ? condition_of(sql) : "";
    if (put_columns(import, table, index, out, true) && condition) {
        dbk_buffer_put_text(out, condition);
        sql = dbk_buffer_text(out);
    }
    dbk_import_add_piece(import, DBK_IMPORT_INDEX, table, index, dbk_import_copy(import, sql));
}

static dbk_result read_indexes(dbk_import *import, dbk_import_table *table, dbk_error *err)
{
    sqlite3_stmt *row =
        dbk_import_prepare(import,
                           "SELECT l.name, l.\"unique\", l.origin, l.partial, s.sql FROM pragma_index_list(?1) AS l "
                           "LEFT JOIN sqlite_schema AS s ON s.type = 'index' AND s.name = l.name ORDER BY l.seq DESC",
                           err);
    if (!row) return DBK_IO;
    int rc = sqlite3_bind_text(row, 1, table->from, -1, SQLITE_STATIC);
    if (rc == SQLITE_OK)
        while ((rc = sqlite3_step(row)) == SQLITE_ROW) take_index(import, table, row);
    return dbk_import_finish(import, row, rc, err);
}

/* ---- all */

static void take_table(dbk_import *import, sqlite3_stmt *row)
{
    const char *name = column_text(row, 0), *sql = column_text(row, 1), *kind = column_text(row, 2);
    if (strcmp(kind, "shadow") == 0) return; /* goes with its virtual table */
    if (strncasecmp(sql, "CREATE VIRTUAL", 14) == 0) {
        const char *module = strcasestr(sql, " USING ");
        dbk_import_note_left_out(import, "virtual table", name,
                                 module && strncasecmp(module + 7, "fts", 3) == 0
                                     ? "full text is declared in app.json (search), and kept by the engine"
                                     : "only ordinary tables hold rows of their own");
        return;
    }
    dbk_import_table *table = &import->tables[import->table_count++];
    table->from = dbk_import_copy(import, name);
    table->sql = dbk_import_copy(import, sql);
    table->without_rowid = sqlite3_column_int(row, 3) != 0;
    table->name = dbk_import_name(import, table->from, import->names, import->name_count);
    dbk_import_keep_name(import, table->name);
    if (strcmp(table->name, table->from) != 0)
        dbk_import_note_changed(import, "table", table->from, dbk_import_printf(import, "is '%s' here", table->name));
    if (dbk_import_says(sql, "AUTOINCREMENT"))
        dbk_import_note_changed(import, "AUTOINCREMENT", table->from,
                                "is not taken: a key made here is the highest one and 1, also when the highest was "
                                "deleted");
    if (strcasecmp(table->name, "events") == 0)
        dbk_import_note_changed(import, "table", table->from,
                                "hides the log's 'events' in queries: another name leaves both to be asked");
}

static dbk_result read_tables(dbk_import *import, dbk_error *err)
{
    sqlite3_stmt *row = dbk_import_prepare(import,
                                           "SELECT s.name, s.sql, l.type, l.wr FROM sqlite_schema "
                                           "AS s LEFT JOIN pragma_table_list AS l "
                                           "ON l.schema = 'main' AND l.name = s.name WHERE s.type "
                                           "= 'table' AND s.name NOT LIKE 'sqlite\\_%' ESCAPE '\\' "
                                           "ORDER BY s.rowid",
                                           err);
    if (!row) return DBK_IO;
    int rc;
    size_t count = 0;
    while ((rc = sqlite3_step(row)) == SQLITE_ROW) count++;
    if (rc == SQLITE_DONE) rc = sqlite3_reset(row);
    import->tables = dbk_import_take(import, count, sizeof *import->tables);
    if (rc == SQLITE_OK && import->tables)
        while ((rc = sqlite3_step(row)) == SQLITE_ROW) take_table(import, row);
    return dbk_import_finish(import, row, rc, err);
}

/* Views in the words of the file; triggers never. */
static dbk_result read_rest(dbk_import *import, dbk_error *err)
{
    sqlite3_stmt *row = dbk_import_prepare(import,
                                           "SELECT type, name, sql FROM sqlite_schema WHERE type "
                                           "IN ('view', 'trigger') ORDER BY rowid",
                                           err);
    if (!row) return DBK_IO;
    int rc;
    while ((rc = sqlite3_step(row)) == SQLITE_ROW) {
        const char *name = dbk_import_copy(import, column_text(row, 1));
        if (column_text(row, 0)[0] == 'v')
            dbk_import_add_piece(import, DBK_IMPORT_VIEW, NULL, name, dbk_import_copy(import, column_text(row, 2)));
        else
            dbk_import_note_left_out(import, "trigger", name,
                                     "what follows from a change is said by projections.sql or commands.sql");
    }
    return dbk_import_finish(import, row, rc, err);
}

dbk_result dbk_import_read(dbk_import *import, dbk_error *err)
{
    dbk_result result = read_tables(import, err);
    for (size_t i = 0; result == DBK_OK && i < import->table_count; i++) {
        dbk_import_table *table = &import->tables[i];
        result = read_columns(import, table, err);
        read_checks(import, table);
        if (result == DBK_OK) result = read_indexes(import, table, err);
        if (result == DBK_OK && table->column_count > DBK_COLUMNS_MAX) {
            table->left_out = true;
            dbk_import_note_left_out(
                import, "table", table->from,
                dbk_import_printf(import, "it has %zu columns, %d are the most", table->column_count, DBK_COLUMNS_MAX));
        }
    }
    return result == DBK_OK ? read_rest(import, err) : result;
}
