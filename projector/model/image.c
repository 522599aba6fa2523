/* Images: whole copies of a model's file at a position, from which a fold goes on (semantics.md §7). The
 * copy is made by SQLite's backup within one read transaction, so that a model in use can be copied while
 * it is written to; its journal stays behind, nobody subscribes to the past. */
#include "projector/model/journal.h"

enum { BUSY_MS = 5000 };

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

static dbk_result sync_file(const dbk_port *port, const char *path, dbk_error *err)
{
    dbk_path_parts parts;
    dbk_dir *dir;
    dbk_file *file = NULL;
    dbk_result result = dbk_path_open(port, path, &parts, &dir, err);
    if (result == DBK_OK) result = dbk_io_open(port, dir, parts.name, DBK_OPEN_READ | DBK_OPEN_WRITE, &file, err);
    if (result == DBK_OK) result = dbk_io_sync(port, file, parts.name, err);
    if (file) port->close_file(port->ctx, file);
    dbk_path_close(port, &parts, dir);
    return result;
}

dbk_result dbk_image_copy(const dbk_port *port, const char *vfs, const char *from, const char *to, bool durable,
                          dbk_error *err)
{
    sqlite3 *source = NULL, *target = NULL;
    dbk_sqlite_configure();
    dbk_result result = dbk_path_check(port, from, err);
    if (result != DBK_OK) return result;
    result = dbk_model_make_file(port, to, err);
    if (result != DBK_OK) return result;
    result = connect(port, from, vfs, SQLITE_OPEN_READONLY, &source, err);
    if (result == DBK_OK) result = connect(port, to, vfs, SQLITE_OPEN_READWRITE, &target, err);
    if (result == DBK_OK) {
        int rc = sqlite3_exec(target, "PRAGMA synchronous=OFF", NULL, NULL, NULL);
        if (rc != SQLITE_OK) result = dbk_sql_failure(target, rc, "make an image", err);
    }
    if (result == DBK_OK) result = copy_pages(source, target, err);
    if (result == DBK_OK) result = leave_journal(target, err);
    sqlite3_close(source);
    int rc = sqlite3_close(target);
    if (result == DBK_OK && rc != SQLITE_OK) result = dbk_fail(err, DBK_IO, "cannot close the image '%s'", to);
    if (result == DBK_OK && durable) result = sync_file(port, to, err);
    if (result != DBK_OK) dbk_model_remove_file(port, to);
    return result;
}

static bool take_state(sqlite3_stmt *row, dbk_model_state *state)
{
    const void *parts[] = {sqlite3_column_blob(row, 1), sqlite3_column_blob(row, 2), sqlite3_column_blob(row, 3)};
    int64_t position = sqlite3_column_int64(row, 0);
    bool good = position > 0 && parts[0] && sqlite3_column_bytes(row, 1) == DBK_LEAF_SIZE && parts[1] &&
                sqlite3_column_bytes(row, 2) == DBK_ORDER_KEY_SIZE && parts[2] && sqlite3_column_bytes(row, 3) == 16;
    if (!good) return false;
    *state = (dbk_model_state){.position = (uint64_t)position};
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
    int rc =
        result == DBK_OK
            ? sqlite3_prepare_v2(db,
                                 "SELECT position, head, top, (SELECT value FROM _daybook_meta WHERE name='definition')"
                                 " FROM _daybook_commits ORDER BY position DESC LIMIT 1",
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
