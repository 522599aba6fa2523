/* The WAL of the model (semantics.md §3.8): SQLite's own checkpoints are off. A thread with a connection
 * of its own runs PASSIVE when the WAL has grown by 64 MiB; at 256 MiB the decider stands still for one
 * RESTART. Without threads the decider does both itself. */
#include <errno.h>
#include <sqlite3.h>

#include "store/async.h"
#include "store/checkpoint.h"
#include "store/images.h"

enum { PAGE_BYTES = 4096 };
static const int passive_pages = 64 * 1024 * 1024 / PAGE_BYTES;
static const int restart_pages = 256 * 1024 * 1024 / PAGE_BYTES;

struct dbk_checkpointer {
    dbk_engine *engine;
    const dbk_port *port;
    dbk_mutex *mutex;
    dbk_cond *wanted;
    dbk_thread *thread;
    char *path; /* of the model to work on; NULL: nothing to do */
    bool busy, closing;
    int wal_pages;  /* as the last commit left it */
    int next_pages; /* when the WAL has so many pages, it is time */
};

static int note_wal(void *arg, sqlite3 *db, const char *name, int pages)
{
    (void)db;
    (void)name;
    ((dbk_checkpointer *)arg)->wal_pages = pages;
    return SQLITE_OK;
}

void dbk_checkpoint_watch(dbk_checkpointer *checkpointer, dbk_model *model)
{
    checkpointer->wal_pages = 0;
    checkpointer->next_pages = passive_pages;
    (void)sqlite3_wal_hook(dbk_model_handle(model), note_wal, checkpointer);
}

/* By PRAGMA: the call in C does nothing on a connection that has read nothing yet, which does not know that there is a
 * WAL. */
static void run_passive(const dbk_engine *engine, const char *path)
{
    sqlite3 *db = NULL;
    if (sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, engine->options.model.vfs) == SQLITE_OK)
        (void)sqlite3_exec(db, "PRAGMA wal_checkpoint(PASSIVE)", NULL, NULL, NULL);
    (void)sqlite3_close(db);
}

static void run(void *arg)
{
    dbk_checkpointer *c = arg;
    c->port->mutex_lock(c->port->ctx, c->mutex);
    while (!c->closing) {
        if (!c->path) {
            (void)c->port->cond_wait(c->port->ctx, c->wanted, c->mutex, -1);
            continue;
        }
        char *path = c->path;
        c->path = NULL;
        c->busy = true;
        c->port->mutex_unlock(c->port->ctx, c->mutex);
        run_passive(c->engine, path);
        dbk_free(c->port, path);
        c->port->mutex_lock(c->port->ctx, c->mutex);
        c->busy = false;
    }
    c->port->mutex_unlock(c->port->ctx, c->mutex);
}

void dbk_checkpoint_after_commit(dbk_checkpointer *c, dbk_model *model)
{
    if (c) dbk_images_after_commit(c->engine, model);
    if (c) dbk_asyncs_step(c->engine);
    if (!c || c->wal_pages < c->next_pages) {
        if (c && c->wal_pages < passive_pages) c->next_pages = passive_pages;
        return;
    }
    if (c->wal_pages >= restart_pages || !c->thread) {
        int mode = c->wal_pages >= restart_pages ? SQLITE_CHECKPOINT_RESTART : SQLITE_CHECKPOINT_PASSIVE;
        (void)sqlite3_wal_checkpoint_v2(dbk_model_handle(model), NULL, mode, NULL, NULL);
        c->next_pages = passive_pages;
        return;
    }
    c->port->mutex_lock(c->port->ctx, c->mutex);
    if (!c->busy && !c->path) {
        c->path = dbk_copy_text(c->port, dbk_model_path(model));
        c->port->cond_signal(c->port->ctx, c->wanted);
    }
    c->port->mutex_unlock(c->port->ctx, c->mutex);
    c->next_pages = c->wal_pages + passive_pages;
}

void dbk_checkpointer_free(dbk_checkpointer *c)
{
    if (!c) return;
    if (c->thread) {
        c->port->mutex_lock(c->port->ctx, c->mutex);
        c->closing = true;
        c->port->cond_signal(c->port->ctx, c->wanted);
        c->port->mutex_unlock(c->port->ctx, c->mutex);
        c->port->thread_join(c->port->ctx, c->thread);
    }
    if (c->wanted) c->port->cond_free(c->port->ctx, c->wanted);
    if (c->mutex) c->port->mutex_free(c->port->ctx, c->mutex);
    dbk_free(c->port, c->path);
    dbk_free(c->port, c);
}

dbk_result dbk_checkpointer_new(dbk_engine *engine, dbk_checkpointer **out, dbk_error *err)
{
    const dbk_port *port = engine->port;
    dbk_checkpointer *c = dbk_alloc_zero(port, 1, sizeof *c);
    if (!c) return dbk_fail(err, DBK_NO_MEMORY, "no memory for the checkpoints");
    c->engine = engine;
    c->port = port;
    c->next_pages = passive_pages;
    c->mutex = port->mutex_new(port->ctx);
    c->wanted = port->cond_new(port->ctx);
    int rc = c->mutex && c->wanted ? 0 : -ENOMEM;
    if (rc == 0 && !engine->options.no_threads)
        rc = port->thread_start(port->ctx, "dbk-checkpoint", run, c, &c->thread);
    if (rc != 0) {
        dbk_checkpointer_free(c);
        return dbk_fail_os(err, dbk_result_of_errno(-rc), -rc, "cannot start the checkpoint thread");
    }
    *out = c;
    return DBK_OK;
}
