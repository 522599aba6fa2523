/* The engine's tables and the settings of a model's connection. */
#include "projector/model/journal.h"
#include "projector/model/search.h"
#include "projector/rules.h"

#include <inttypes.h>
#include <stdio.h>

enum { CACHE_PAGES = 512, BULK_CACHE_PAGES = 16384, BUSY_MS = 5000 };

static const char engine_tables[] =
    "CREATE TABLE _daybook_meta(name TEXT PRIMARY KEY, value) WITHOUT ROWID;"
    "CREATE TABLE _daybook_commits(position INTEGER PRIMARY KEY, head BLOB, top BLOB, fingerprint BLOB,"
    " floor INTEGER, rows INTEGER, keys BLOB);"
    "CREATE TABLE _daybook_tables(name TEXT PRIMARY KEY, last INTEGER) WITHOUT ROWID;"
    "CREATE TABLE _daybook_skips(entry TEXT PRIMARY KEY, position INTEGER, state TEXT, reason TEXT,"
    " against TEXT) WITHOUT ROWID;"
    "CREATE TABLE _daybook_dismissed(entry TEXT PRIMARY KEY) WITHOUT ROWID;"
    "CREATE TABLE _daybook_rows(tab TEXT, key TEXT, last TEXT, at TEXT, version INTEGER,"
    " gone TEXT, PRIMARY KEY(tab, key)) WITHOUT ROWID;";

dbk_result dbk_model_exec(dbk_model *model, const char *sql, const char *what, dbk_error *err)
{
    int rc = sqlite3_exec(model->db, sql, NULL, NULL, NULL);
    return rc == SQLITE_OK ? DBK_OK : dbk_model_sql_failure(model, rc, what, err);
}

dbk_result dbk_model_run(dbk_model *model, sqlite3_stmt *statement, const char *what, dbk_error *err)
{
    dbk_result result = DBK_OK;
    int rc = sqlite3_step(statement);

    if (rc != SQLITE_DONE && rc != SQLITE_ROW) result = dbk_model_sql_failure(model, rc, what, err);
    sqlite3_reset(statement);
    sqlite3_clear_bindings(statement);
    return result;
}

/* FTS5 counts as unsafe inside a schema that is not trusted (SQLite 3.40 does not mark it innocuous). Where
 * search has triggers the schema is trusted, which is made of checked DDL and of the engine's. */
static dbk_result set_switches(dbk_model *model, dbk_error *err)
{
    const struct {
        int option, value;
    } switches[] = {
        {SQLITE_DBCONFIG_DEFENSIVE, 1},
        {SQLITE_DBCONFIG_TRUSTED_SCHEMA, model->definition->app->search_count > 0},
        {SQLITE_DBCONFIG_ENABLE_FKEY, 1},
        {SQLITE_DBCONFIG_ENABLE_TRIGGER, 1},
        {SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION, 0},
    };

    sqlite3_extended_result_codes(model->db, 1);
    sqlite3_busy_timeout(model->db, BUSY_MS);
    for (size_t i = 0; i < sizeof switches / sizeof *switches; i++) {
        int rc = sqlite3_db_config(model->db, switches[i].option, switches[i].value, NULL);
        if (rc != SQLITE_OK) return dbk_model_sql_failure(model, rc, "set up the connection", err);
    }
    return DBK_OK;
}

/* A statement undoes itself and a savepoint rolls back by the journal, so even a bulk build keeps one,
 * in memory. The journal mode comes last: it reads the file, which must have been given its page size. */
dbk_result dbk_model_configure(dbk_model *model, dbk_error *err)
{
    bool bulk = model->options.bulk;
    uint32_t cache = model->options.cache_pages;
    char sql[512];
    dbk_result result = set_switches(model, err);

    if (result != DBK_OK) return result;
    if (cache == 0 && !bulk) cache = model->definition->cache_pages;
    if (cache == 0) cache = bulk ? BULK_CACHE_PAGES : CACHE_PAGES;
    snprintf(sql, sizeof sql,
             "PRAGMA page_size=%d; PRAGMA cache_size=%" PRIu32 "; PRAGMA temp_store=MEMORY;"
             "PRAGMA secure_delete=OFF; PRAGMA wal_autocheckpoint=0; PRAGMA mmap_size=0;"
             "PRAGMA reverse_unordered_selects=%d; PRAGMA synchronous=%s;"
             "PRAGMA locking_mode=%s; PRAGMA journal_mode=%s;",
             DBK_MODEL_PAGE_BYTES, cache, model->options.reverse_unordered,
             bulk || model->options.passing ? "OFF" : "NORMAL", bulk ? "EXCLUSIVE" : "NORMAL", bulk ? "MEMORY" : "WAL");
    return dbk_model_exec(model, sql, "set up the model", err);
}

static dbk_result put_meta(dbk_model *model, dbk_error *err)
{
    sqlite3_stmt *statement = NULL;
    int rc = sqlite3_prepare_v2(model->db, "INSERT INTO _daybook_meta VALUES('format', ?1), ('definition', ?2)", -1,
                                &statement, NULL);
    if (rc == SQLITE_OK) rc = sqlite3_bind_int(statement, 1, DBK_MODEL_FORMAT);
    if (rc == SQLITE_OK) {
        rc = sqlite3_bind_blob(statement, 2, model->definition->hash, sizeof model->definition->hash, SQLITE_STATIC);
    }
    dbk_result result = rc == SQLITE_OK ? dbk_model_run(model, statement, "note the definition", err)
                                        : dbk_model_sql_failure(model, rc, "note the definition", err);
    sqlite3_finalize(statement);
    return result;
}

dbk_result dbk_model_make_schema(dbk_model *model, dbk_error *err)
{
    dbk_result result = dbk_model_exec(model, engine_tables, "make the engine's tables", err);
    if (result == DBK_OK) result = dbk_model_exec(model, model->definition->schema_sql, "make the app's tables", err);
    if (result == DBK_OK) result = dbk_search_make(model, err);
    if (result == DBK_OK) result = put_meta(model, err);
    return result;
}

/* Every reading error of these first pages means the same: there is no model to use. */
static dbk_result check_row(dbk_model *model, sqlite3_stmt *statement, dbk_error *err)
{
    int rc = sqlite3_step(statement);
    const void *hash = rc == SQLITE_ROW ? sqlite3_column_blob(statement, 1) : NULL;

    if (rc != SQLITE_ROW && rc != SQLITE_DONE) return dbk_model_sql_failure(model, rc, "read the model", err);
    if (!hash || sqlite3_column_bytes(statement, 1) != (int)sizeof model->definition->hash) {
        return dbk_fail(err, DBK_CORRUPT, "'%s' is no read model", model->path);
    }
    if (sqlite3_column_int(statement, 0) != DBK_MODEL_FORMAT) {
        return dbk_fail(err, DBK_FOREIGN, "'%s' has the model format %d, this Daybook makes %d", model->path,
                        sqlite3_column_int(statement, 0), DBK_MODEL_FORMAT);
    }
    if (memcmp(hash, model->definition->hash, sizeof model->definition->hash) != 0) {
        return dbk_fail(err, DBK_FOREIGN, "'%s' was built with another definition", model->path);
    }
    return DBK_OK;
}

dbk_result dbk_model_check_schema(dbk_model *model, dbk_error *err)
{
    sqlite3_stmt *statement = NULL;
    int rc = sqlite3_prepare_v2(model->db,
                                "SELECT (SELECT value FROM _daybook_meta WHERE name='format'),"
                                " (SELECT value FROM _daybook_meta WHERE name='definition')",
                                -1, &statement, NULL);
    if (rc == SQLITE_ERROR) return dbk_fail(err, DBK_CORRUPT, "'%s' is no read model", model->path);
    dbk_result result =
        rc == SQLITE_OK ? check_row(model, statement, err) : dbk_model_sql_failure(model, rc, "read the model", err);
    sqlite3_finalize(statement);
    if (result == DBK_OK) result = dbk_search_wake(model->db, model->port, model->definition->app, err);
    return result;
}
