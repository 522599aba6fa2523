/* Deterministic SQL on a connection: an authorizer by role, clocks that show the event's time. */
#include <stdio.h>
#include <strings.h>

#include "projector/definition/internal.h"
#include "projector/model/search.h"
#include "projector/rules.h"

enum { EXPRESSION_DEPTH_MAX = 100, PATTERN_BYTES_MAX = 256 };

static int deny(dbk_sandbox *sandbox, const char *name, const char *why)
{
    if (!sandbox->denied[0])
        (void)snprintf(sandbox->denied, sizeof(sandbox->denied), "'%.63s' %s", name ? name : "", why);
    return SQLITE_DENY;
}

static bool is_one_of(const char *name, const char *const *names)
{
    for (; *names; names++)
        if (strcasecmp(name, *names) == 0) return true;
    return false;
}

/* Results that differ between devices, runs or builds, or that reach out of the database. */
static int authorize_function(dbk_sandbox *sandbox, const char *name)
{
    static const char *const random[] = {"random", "randomblob", NULL};
    static const char *const connection[] = {"changes", "total_changes", "last_insert_rowid", "sqlite_offset", NULL};
    static const char *const build[] = {"sqlite_version",
                                        "sqlite_source_id",
                                        "sqlite_compileoption_get",
                                        "sqlite_compileoption_used",
                                        "sqlite_log",
                                        "fts5_source_id",
                                        NULL};
    static const char *const outside[] = {"load_extension", "fts3_tokenizer", "readfile", "writefile", "edit", NULL};

    if (is_one_of(name, random)) return deny(sandbox, name, "gives another result at every replay");
    if (is_one_of(name, connection)) return deny(sandbox, name, "tells of the connection, not of the data");
    if (is_one_of(name, build)) return deny(sandbox, name, "differs between builds of SQLite");
    if (is_one_of(name, outside)) return deny(sandbox, name, "reaches out of the database");
    return SQLITE_OK;
}

static bool is_engine_table(const char *name)
{
    return strncasecmp(name, "_daybook_", 9) == 0;
}

static bool is_schema_table(const char *name)
{
    return strcasecmp(name, "sqlite_master") == 0 || strcasecmp(name, "sqlite_schema") == 0;
}

static int authorize_table(dbk_sandbox *sandbox, int action, const char *table, const char *column)
{
    static const char *const inner[] = {"dbstat", "sqlite_dbpage", "sqlite_stmt", "bytecode", "tables_used", NULL};

    if (sandbox->role == DBK_SQL_PROJECTION && dbk_search_keeps(sandbox->app, table)) return SQLITE_OK;
    if (sandbox->role == DBK_SQL_QUERY && !sandbox->answering && dbk_search_inner(sandbox->app, table))
        return deny(sandbox, table, "is what a search keeps for itself: ask the search");
    if (is_engine_table(table)) return deny(sandbox, table, "is a table of the engine");
    if (is_one_of(table, inner) || strncasecmp(table, "pragma_", 7) == 0)
        return deny(sandbox, table, "shows the database file, not the data");
    if (sandbox->role == DBK_SQL_QUERY && action == SQLITE_READ && is_schema_table(table))
        return !sandbox->by_client || sandbox->answering
                   ? SQLITE_OK
                   : deny(sandbox, table, "names the engine's tables too: ask 'daybook_schema', which has the app's");
    if (strncasecmp(table, "sqlite_", 7) == 0) return deny(sandbox, table, "belongs to SQLite");
    if (sandbox->role == DBK_SQL_PROJECTION && column && strcmp(column, "ROWID") == 0)
        return deny(sandbox, "rowid", "is hidden and made by SQLite: it differs between devices");
    return SQLITE_OK;
}

/* SQLite writes its own schema table for each CREATE. */
static int authorize_ddl(dbk_sandbox *sandbox, int action, const char *first, const char *second)
{
    switch (action) {
    case SQLITE_CREATE_TABLE:
    case SQLITE_CREATE_INDEX:
    case SQLITE_CREATE_VIEW:
        if (first && is_engine_table(first)) return deny(sandbox, first, "has the prefix of the engine's tables");
        return SQLITE_OK;
    case SQLITE_INSERT:
    case SQLITE_UPDATE:
    case SQLITE_DELETE:
        if (first && is_schema_table(first)) return SQLITE_OK;
        return deny(sandbox, first, "is data: a schema holds DDL only");
    case SQLITE_READ:
        if (first && is_schema_table(first)) return SQLITE_OK;
        return first ? authorize_table(sandbox, action, first, second) : SQLITE_OK;
    case SQLITE_SELECT:
    case SQLITE_REINDEX:
    case SQLITE_RECURSIVE: return SQLITE_OK;
    case SQLITE_CREATE_VTABLE: return deny(sandbox, first, "is a virtual table");
    default: return deny(sandbox, first, "may not be in a schema");
    }
}

static int authorize_data(dbk_sandbox *sandbox, int action, const char *first, const char *second)
{
    switch (action) {
    case SQLITE_INSERT:
    case SQLITE_UPDATE:
    case SQLITE_DELETE:
        /* FTS5 writes out what it holds in memory before it answers; others are kept off by DEFENSIVE. */
        if (first && dbk_search_inner(sandbox->app, first)) return SQLITE_OK;
        /* DDL, or a table-valued PRAGMA being declared at its first use in this connection: both look the same here */
        if (sandbox->role == DBK_SQL_QUERY && first && is_schema_table(first))
            return deny(sandbox, first, "may only be read here: no DDL, and no pragma_… function");
        if (sandbox->role == DBK_SQL_QUERY) return deny(sandbox, first, "may only be read here");
        return first ? authorize_table(sandbox, action, first, NULL) : SQLITE_OK;
    case SQLITE_READ: return first ? authorize_table(sandbox, action, first, second) : SQLITE_OK;
    case SQLITE_SELECT:
    case SQLITE_RECURSIVE: return SQLITE_OK;
    case SQLITE_PRAGMA: return deny(sandbox, first, "is a setting of the connection: PRAGMA has no place here");
    case SQLITE_ATTACH:
    case SQLITE_DETACH: return deny(sandbox, first, "is another file: ATTACH has no place here");
    default:
        return deny(sandbox, first,
                    sandbox->role == DBK_SQL_QUERY ? "may not be changed by a query"
                                                   : "may not be changed by a projection");
    }
}

int dbk_sandbox_authorize(void *arg, int action, const char *first, const char *second, const char *database,
                          const char *inside)
{
    dbk_sandbox *sandbox = arg;

    (void)inside;
    if (sandbox->role == DBK_SQL_ENGINE) return SQLITE_OK;
    if (action == SQLITE_FUNCTION) return second ? authorize_function(sandbox, second) : SQLITE_OK;
    if (database && action != SQLITE_ATTACH && action != SQLITE_PRAGMA && strcmp(database, "main") != 0)
        return deny(sandbox, database, "is another database");
    if (sandbox->role == DBK_SQL_DDL) return authorize_ddl(sandbox, action, first, second);
    return authorize_data(sandbox, action, first, second);
}

dbk_result dbk_sandbox_install(sqlite3 *db, dbk_sandbox *sandbox, dbk_error *err)
{
    /* The first use of json_each declares its table, which the roles would take for a CREATE. */
    int rc = sqlite3_exec(db, "SELECT 1 FROM json_each('[]'), json_tree('[]')", NULL, NULL, NULL);
    dbk_result result = rc == SQLITE_OK ? dbk_search_bound(db, err) : DBK_OK;

    if (result != DBK_OK) return result;
    if (rc == SQLITE_OK) rc = sqlite3_set_authorizer(db, dbk_sandbox_authorize, sandbox);
    /* "text" never means a string: a misspelt column would pass as a constant. */
    if (rc == SQLITE_OK) rc = sqlite3_db_config(db, SQLITE_DBCONFIG_DQS_DDL, 0, NULL);
    if (rc == SQLITE_OK) rc = sqlite3_db_config(db, SQLITE_DBCONFIG_DQS_DML, 0, NULL);
    if (rc == SQLITE_OK) rc = sqlite3_db_config(db, SQLITE_DBCONFIG_DEFENSIVE, 1, NULL);
    if (rc == SQLITE_OK) rc = sqlite3_db_config(db, SQLITE_DBCONFIG_TRUSTED_SCHEMA, 0, NULL);
    if (rc != SQLITE_OK) return dbk_fail(err, DBK_INTERNAL, "cannot guard a connection: %s", sqlite3_errmsg(db));
    (void)sqlite3_limit(db, SQLITE_LIMIT_EXPR_DEPTH, EXPRESSION_DEPTH_MAX);
    /* One call of LIKE or GLOB takes as many looks as text and pattern have bytes, multiplied, within one step. */
    (void)sqlite3_limit(db, SQLITE_LIMIT_LIKE_PATTERN_LENGTH, PATTERN_BYTES_MAX);
    result = dbk_sandbox_formats(db, err);
    if (result == DBK_OK) result = dbk_sandbox_texts(db, err);
    return result == DBK_OK ? dbk_sandbox_dates(db, sandbox, err) : result;
}
