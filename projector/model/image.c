/* Images: whole copies of a model at a position, from which a fold goes on (semantics.md §7).
 *   1. SQLite's backup within one read transaction, so that a model in use can be copied while it is written to
 *   2. without the journal, for nobody subscribes to the past, and the indexes that a build does without; what makes
 *      these again is noted in the file, and done by the build that begins with it
 *   3. VACUUM INTO: the rows in order, and nothing between them of what was there before, which would not compress */
#include "projector/model/shadow_index.h"

#include "projector/model/journal.h"

enum { BUSY_MS = 5000, SMALL_PAGES = 32768 };

static dbk_result connect(const dbk_port *port, const char *path, const char *vfs, int flags, sqlite3 **db,
                          dbk_error *err)
{
    int rc =
        sqlite3_open_v2(path, db, flags | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_PRIVATECACHE, vfs ? vfs : port->sqlite_vfs);
    if (rc == SQLITE_OK) rc = sqlite3_busy_timeout(*db, BUSY_MS);
    return rc == SQLITE_OK ? DBK_OK : dbk_sql_failure(*db, rc, "open an image", err);
}

static dbk_result copy_pages(sqlite3 *from, sqlite3 *to, dbk_error *err)
{
    sqlite3_backup *backup = sqlite3_backup_init(to, "main", from, "main");
    if (!backup) return dbk_sql_failure(to, sqlite3_errcode(to), "copy a model", err);
    int step = sqlite3_backup_step(backup, -1), rc = sqlite3_backup_finish(backup);
    if (rc == SQLITE_OK && step != SQLITE_DONE) rc = step;
    return rc == SQLITE_OK ? DBK_OK : dbk_sql_failure(to, rc, "copy a model", err);
}

/* What is durable is synced by the caller, once, when all is written. */
static dbk_result leave_journal(sqlite3 *to, dbk_error *err)
{
    int rc = sqlite3_exec(to,
                          "PRAGMA journal_mode=OFF; BEGIN IMMEDIATE;"
                          "DELETE FROM _daybook_commits WHERE position < (SELECT max(position) FROM _daybook_commits);"
                          "UPDATE _daybook_commits SET floor=position, rows=0, keys=x'';"
                          "DELETE FROM _daybook_tables; COMMIT;",
                          NULL, NULL, NULL);
    return rc == SQLITE_OK ? DBK_OK : dbk_sql_failure(to, rc, "make an image", err);
}

static dbk_result finish_copy(const dbk_port *port, sqlite3 *source, sqlite3 *target, const char *to, dbk_result result,
                              dbk_error *err)
{
    sqlite3_close(source);
    int rc = sqlite3_close(target);
    if (result == DBK_OK && rc != SQLITE_OK) result = dbk_fail(err, DBK_IO, "cannot close the image '%s'", to);
    if (result != DBK_OK) dbk_model_remove_file(port, to);
    return result;
}

static dbk_result copy_model(const dbk_port *port, const char *vfs, const char *from, const char *to, dbk_error *err)
{
    sqlite3 *source = NULL, *target = NULL;
    dbk_result result = dbk_path_check(port, from, err);
    if (result == DBK_OK) result = dbk_model_make_file(port, to, err);
    if (result != DBK_OK) return result;
    result = connect(port, from, vfs, SQLITE_OPEN_READONLY, &source, err);
    if (result == DBK_OK) result = connect(port, to, vfs, SQLITE_OPEN_READWRITE, &target, err);
    if (result == DBK_OK) {
        int rc = sqlite3_exec(target, "PRAGMA synchronous=OFF", NULL, NULL, NULL);
        if (rc != SQLITE_OK) result = dbk_sql_failure(target, rc, "make an image", err);
    }
    if (result == DBK_OK) result = copy_pages(source, target, err);
    if (result == DBK_OK) result = leave_journal(target, err);
    return finish_copy(port, source, target, to, result, err);
}

/* Of a large file they take longer to be made again than most folds would gain. */
static bool is_small(dbk_model *model)
{
    sqlite3_stmt *statement;
    if (dbk_model_statement(model, DBK_SQL_PAGES, DBK_COUNT_PAGES, &statement, NULL) != DBK_OK) return false;
    bool small = sqlite3_step(statement) == SQLITE_ROW && sqlite3_column_int64(statement, 0) <= SMALL_PAGES;
    sqlite3_reset(statement);
    return small;
}

static dbk_result leave_indexes(const dbk_port *port, const dbk_model_options *options,
                                const dbk_definition *definition, const char *path, dbk_error *err)
{
    dbk_model *model = NULL;
    dbk_model_options bulk = *options;
    dbk_buffer create;
    bulk.bulk = true;
    dbk_buffer_init(&create, port);
    dbk_result result = dbk_model_open(port, path, definition, NULL, &bulk, &model, err);
    if (result == DBK_OK && is_small(model)) {
        result = dbk_indexes_set_aside(model, &create, err);
        if (result == DBK_OK) result = dbk_indexes_note(model, &create, err);
    }
    dbk_model_close(model);
    dbk_buffer_release(&create);
    return result;
}

static dbk_result vacuum(const dbk_port *port, const char *vfs, const char *from, const char *to, dbk_error *err)
{
    sqlite3 *source = NULL;
    dbk_result result = dbk_model_make_file(port, to, err);
    if (result != DBK_OK) return result;
    result = connect(port, from, vfs, SQLITE_OPEN_READWRITE, &source, err);
    char *sql = sqlite3_mprintf("PRAGMA synchronous=OFF; VACUUM INTO %Q", to);
    int rc = SQLITE_OK;
    if (result == DBK_OK) rc = sql ? sqlite3_exec(source, sql, NULL, NULL, NULL) : SQLITE_NOMEM;
    if (rc != SQLITE_OK) result = dbk_sql_failure(source, rc, "make an image", err);
    sqlite3_free(sql);
    return finish_copy(port, source, NULL, to, result, err);
}

dbk_result dbk_image_make(const dbk_port *port, const dbk_model_options *options, const dbk_definition *definition,
                          const char *from, const char *by_way_of, const char *to, dbk_error *err)
{
    const char *vfs = options->vfs;
    dbk_sqlite_configure();
    dbk_result result = copy_model(port, vfs, from, by_way_of, err);
    if (result != DBK_OK) return result;
    result = leave_indexes(port, options, definition, by_way_of, err);
    if (result == DBK_OK) result = vacuum(port, vfs, by_way_of, to, err);
    dbk_model_remove_file(port, by_way_of);
    return result;
}

static bool take_state(sqlite3_stmt *row, dbk_model_state *state)
{
    const void *parts[] = {sqlite3_column_blob(row, 1), sqlite3_column_blob(row, 2), sqlite3_column_blob(row, 3)};
    const uint8_t *fingerprint = sqlite3_column_blob(row, 4);
    int64_t position = sqlite3_column_int64(row, 0);
    bool good = position > 0 && parts[0] && sqlite3_column_bytes(row, 1) == DBK_LEAF_SIZE && parts[1] &&
                sqlite3_column_bytes(row, 2) == DBK_ORDER_KEY_SIZE && parts[2] && sqlite3_column_bytes(row, 3) == 16 &&
                fingerprint && sqlite3_column_bytes(row, 4) == 16;
    if (!good) return false;
    *state = (dbk_model_state){.position = (uint64_t)position};
    state->fingerprint = (dbk_hash128){dbk_load_u64(fingerprint), dbk_load_u64(fingerprint + 8)};
    memcpy(state->head, parts[0], DBK_LEAF_SIZE);
    memcpy(state->top, parts[1], DBK_ORDER_KEY_SIZE);
    memcpy(state->definition, parts[2], 16);
    return true;
}

dbk_result dbk_image_look(const dbk_port *port, const char *vfs, const char *path, dbk_model_state *state,
                          dbk_error *err)
{
    sqlite3 *db = NULL;
    sqlite3_stmt *row = NULL;
    dbk_sqlite_configure();
    dbk_result result = connect(port, path, vfs, SQLITE_OPEN_READONLY, &db, err);
    int rc = result == DBK_OK
                 ? sqlite3_prepare_v2(
                       db,
                       "SELECT position, head, top, (SELECT value FROM _daybook_meta WHERE name='definition'),"
                       " fingerprint FROM _daybook_commits ORDER BY position DESC LIMIT 1",
                       -1, &row, NULL)
                 : SQLITE_OK;
    if (result == DBK_OK && rc == SQLITE_OK) rc = sqlite3_step(row);
    if (result == DBK_OK && rc != SQLITE_ROW && rc != SQLITE_DONE)
        result = dbk_sql_failure(db, rc, "read an image", err);
    if (result == DBK_OK && (rc != SQLITE_ROW || !take_state(row, state)))
        result = dbk_fail(err, DBK_CORRUPT, "'%s' is no image", path);
    sqlite3_finalize(row);
    sqlite3_close(db);
    return result;
}
