/* The end of a bulk build: from a file that nothing protects to one that survives a power loss.
 *   1. synchronous=FULL and one small transaction: its commit syncs the file with all written before. It counts, for
 *      the same content again would write no page and sync nothing
 *      (a model that was finished before has the switch's commit in its WAL: the checkpoint makes it durable)
 *   2. WAL and the ordinary locks and settings, or, plain, none of the engine's tables
 *   3. the folder is synced: the file's name is durable too */
#include "projector/model/journal.h"
#include "projector/model/search.h"

static const char drop_engine[] = "BEGIN IMMEDIATE;"
                                  "DROP TABLE _daybook_meta; DROP TABLE _daybook_commits; DROP TABLE _daybook_tables;"
                                  "DROP TABLE _daybook_skips; DROP TABLE _daybook_dismissed; DROP TABLE _daybook_rows;"
                                  "COMMIT;";

static const char count_finish[] = "BEGIN IMMEDIATE;"
                                   "INSERT INTO _daybook_meta VALUES('finished', 1)"
                                   " ON CONFLICT(name) DO UPDATE SET value = value + 1;"
                                   "COMMIT;";

static dbk_result sync_folder(const dbk_model *model, dbk_error *err)
{
    dbk_path_parts parts;
    dbk_dir *dir;
    dbk_result result = dbk_path_open(model->port, model->path, &parts, &dir, err);

    if (result == DBK_OK) result = dbk_io_sync_dir(model->port, dir, parts.folder, err);
    dbk_path_close(model->port, &parts, dir);
    return result;
}

static dbk_result leave_bulk(dbk_model *model, dbk_error *err)
{
    model->options.bulk = false;
    dbk_model_ask_observer(model);
    return dbk_model_configure(model, err);
}

dbk_result dbk_model_finish(dbk_model *model, bool plain, dbk_error *err)
{
    model->sandbox.role = DBK_SQL_ENGINE;
    if (model->options.passing && !plain) return leave_bulk(model, err);
    dbk_result result = dbk_model_exec(model, "PRAGMA synchronous=FULL", "finish the model", err);
    if (result == DBK_OK) {
        if (plain) result = dbk_search_leave(model, err);
    }
    if (result == DBK_OK) {
        result = dbk_model_exec(model, plain ? drop_engine : count_finish, "finish the model", err);
    }
    if (result == DBK_OK && !plain)
        result = dbk_model_exec(model, "PRAGMA wal_checkpoint(TRUNCATE)", "finish the model", err);
    if (result == DBK_OK && plain) {
        result =
            dbk_model_exec(model, "PRAGMA locking_mode=NORMAL; PRAGMA journal_mode=DELETE;", "finish the model", err);
    } else if (result == DBK_OK) {
        result = leave_bulk(model, err);
    }
    if (result == DBK_OK) return sync_folder(model, err);
    dbk_model_rollback(model);
    return result;
}
