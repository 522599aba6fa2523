/* The WAL of the model (semantics.md §3.8): SQLite's own checkpoints are off. A thread with a connection of its own
 * runs PASSIVE when the WAL has grown by 64 MiB, a quarter of what it may be. Commits go on meanwhile, so that it never
 * gets to the end, and without that the WAL grows on:
 *   1. the thread copies, until little is left, and syncs both files
 *   2. behind its next commit the decider copies that little, with nearly nothing to sync: the commit behind that one
 *      begins the WAL anew, unless somebody reads an older one
 * At 256 MiB the decider stands still for one RESTART, which waits seconds for a reader of an old state; with such a
 * reader that goes on, for one more behind each further 64 MiB. Without threads it does both itself. What a
 * round of late facts writes is copied each 8 MiB: the disk is then never so busy that the sync of a local write has to
 * wait long. */
#include <errno.h>
#include <sqlite3.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "store/async.h"
#include "store/checkpoint.h"
#include "store/images.h"

enum { PAGE_BYTES = 4096, WAL_BYTES_MAX = 256 * 1024 * 1024, IMPORT_PAGES = 8 * 1024 * 1024 / PAGE_BYTES };
static const int64_t AWAIT_NS = 1000000000;
enum { LITTLE_PAGES = 512, PASSES_MAX = 4 };

struct dbk_checkpointer {
    dbk_engine *engine;
    const dbk_port *port;
    dbk_mutex *mutex;
    dbk_cond *wanted, *finished;
    dbk_thread *thread;
    char *path; /* of the model to work on; NULL: nothing to do */
    bool busy, closing, finishing;
    bool to_end;     /* of the path: the WAL is to begin anew */
    int most_pages;  /* at which the decider stands still */
    int step_pages;  /* by which it grows from one checkpoint to the next */
    int wal_pages;   /* as the last commit left it */
    int asked_pages; /* when the thread was asked last */
    int copied;      /* of them, by the thread; the decider's while `near` */
    atomic_bool near;
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
    checkpointer->asked_pages = 0;
    atomic_store(&checkpointer->near, false);
    (void)sqlite3_wal_hook(dbk_model_handle(model), note_wal, checkpointer);
}

static int note_pages(void *arg, int count, char **values, char **names)
{
    int *pages = arg;
    (void)names;
    for (int i = 0; i < 3; i++) pages[i] = i < count && values[i] ? atoi(values[i]) : 0;
    return SQLITE_OK;
}

/* By PRAGMA: the call in C does nothing on a connection that has read nothing yet, which does not know that there is a
 * WAL. */
static bool run_passive(sqlite3 *db, int *left, int *copied)
{
    int pages[3] = {0}; /* whether another one was at it, of the WAL, copied */
    if (sqlite3_exec(db, "PRAGMA wal_checkpoint(PASSIVE)", note_pages, pages, NULL) != SQLITE_OK) return false;
    *left = pages[1] - pages[2];
    *copied = pages[2];
    return pages[0] == 0;
}

/* SQLite itself syncs the database at the end of the WAL only, which is left to the decider. */
static void sync_file(sqlite3 *db, int which)
{
    sqlite3_file *file = NULL;
    if (sqlite3_file_control(db, "main", which, &file) == SQLITE_OK && file && file->pMethods)
        (void)file->pMethods->xSync(file, SQLITE_SYNC_NORMAL);
}

static void begin_finishing(dbk_checkpointer *c)
{
    c->port->mutex_lock(c->port->ctx, c->mutex);
    c->finishing = true;
    c->port->mutex_unlock(c->port->ctx, c->mutex);
}

static bool copy_most(dbk_checkpointer *c, const char *path, bool to_end, int *copied)
{
    const char *vfs = c->engine->options.model.vfs;
    sqlite3 *db = NULL;
    int left = 0;
    bool good = sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, vfs) == SQLITE_OK;
    good = good && run_passive(db, &left, copied);
    if (good && to_end) begin_finishing(c);
    for (int i = 1; good && to_end && i < PASSES_MAX && left > LITTLE_PAGES; i++) good = run_passive(db, &left, copied);
    if (good) sync_file(db, SQLITE_FCNTL_FILE_POINTER);
    if (good && to_end) sync_file(db, SQLITE_FCNTL_JOURNAL_POINTER);
    (void)sqlite3_close(db);
    return good && to_end;
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
        bool to_end = c->to_end;
        c->path = NULL;
        c->busy = true;
        c->port->mutex_unlock(c->port->ctx, c->mutex);
        int copied = 0;
        bool near = copy_most(c, path, to_end, &copied);
        dbk_free(c->port, path);
        c->port->mutex_lock(c->port->ctx, c->mutex);
        c->busy = false;
        c->copied = copied;
        c->finishing = false;
        atomic_store(&c->near, near);
        c->port->cond_broadcast(c->port->ctx, c->finished);
    }
    c->port->mutex_unlock(c->port->ctx, c->mutex);
}

static void ask_thread(dbk_checkpointer *c, const dbk_model *model)
{
    c->port->mutex_lock(c->port->ctx, c->mutex);
    if (!c->busy && !c->path) {
        c->path = dbk_copy_text(c->port, dbk_model_path(model));
        c->to_end = c->wal_pages >= c->step_pages;
        c->port->cond_signal(c->port->ctx, c->wanted);
    }
    c->port->mutex_unlock(c->port->ctx, c->mutex);
    c->asked_pages = c->wal_pages;
}

static void checkpoint(dbk_model *model, int mode)
{
    (void)sqlite3_wal_checkpoint_v2(dbk_model_handle(model), NULL, mode, NULL, NULL);
}

/* What the thread left, and what came since. Where that is much it begins again; who writes without a pause, as a bulk
 * load does, has more copied here. */
static void finish_near(dbk_checkpointer *c, dbk_model *model)
{
    int left = c->wal_pages - c->copied, most = LITTLE_PAGES;
    if (left < 0) return; /* the WAL began anew, or is another one */
    if (c->wal_pages > 2 * c->step_pages) most += c->wal_pages / 8;
    if (left > most && c->wal_pages < c->most_pages) return ask_thread(c, model);
    checkpoint(model, c->wal_pages < c->most_pages ? SQLITE_CHECKPOINT_PASSIVE : SQLITE_CHECKPOINT_RESTART);
    c->asked_pages = c->wal_pages; /* if somebody reads the old one */
}

void dbk_checkpoint_after_commit(dbk_checkpointer *c, dbk_model *model)
{
    if (!c) return;
    dbk_images_after_commit(c->engine, model);
    dbk_asyncs_step(c->engine);
    if (c->wal_pages < c->asked_pages) c->asked_pages = 0; /* it began anew */
    bool full = c->wal_pages >= c->most_pages;
    int step = atomic_load(&c->engine->importing) && !full ? IMPORT_PAGES : c->step_pages;
    if (c->thread && atomic_exchange(&c->near, false)) finish_near(c, model);
    else if (c->wal_pages - c->asked_pages < step) return;
    else if (c->thread && !full) ask_thread(c, model);
    else {
        checkpoint(model, full ? SQLITE_CHECKPOINT_RESTART : SQLITE_CHECKPOINT_PASSIVE);
        c->asked_pages = c->wal_pages; /* once: a reader of an old state may have kept it from ending */
    }
}

void dbk_checkpoint_beside(dbk_checkpointer *c, const char *path)
{
    int copied;
    if (c) (void)copy_most(c, path, false, &copied);
}

void dbk_checkpoint_await(dbk_checkpointer *c)
{
    if (!c) return;
    c->port->mutex_lock(c->port->ctx, c->mutex);
    int64_t left_ns = AWAIT_NS, until_ns = c->port->monotonic_ns(c->port->ctx) + left_ns;
    while (c->finishing && left_ns > 0) {
        (void)c->port->cond_wait(c->port->ctx, c->finished, c->mutex, left_ns);
        left_ns = until_ns - c->port->monotonic_ns(c->port->ctx);
    }
    c->port->mutex_unlock(c->port->ctx, c->mutex);
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
    if (c->finished) c->port->cond_free(c->port->ctx, c->finished);
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
    c->most_pages = (int)((engine->options.wal_bytes_max ? engine->options.wal_bytes_max : WAL_BYTES_MAX) / PAGE_BYTES);
    c->step_pages = c->most_pages / 4;
    c->mutex = port->mutex_new(port->ctx);
    c->wanted = port->cond_new(port->ctx);
    c->finished = port->cond_new(port->ctx);
    int rc = c->mutex && c->wanted && c->finished ? 0 : -ENOMEM;
    if (rc == 0 && !engine->options.no_threads)
        rc = port->thread_start(port->ctx, "dbk-checkpoint", run, c, &c->thread);
    if (rc != 0) {
        dbk_checkpointer_free(c);
        return dbk_fail_os(err, dbk_result_of_errno(-rc), -rc, "cannot start the checkpoint thread");
    }
    *out = c;
    return DBK_OK;
}
