/* The set of async models of an open store. */
#include "store/async.h"

#include "store/aside.h"

#include <errno.h>
#include <stdio.h>

static const int64_t NS_PER_MS = 1000000;
enum { NEARLY_THERE = 20000 }; /* entries that are worth waiting for at the end */

/* ---- folders */

static bool is_ours(const char *name)
{
    return strncmp(name, "async-", 6) == 0 && !dbk_aside_is(name);
}

dbk_result dbk_async_folder(dbk_engine *engine, const dbk_definition *model, bool make, char below[96], char file[80],
                            dbk_dir **dir, dbk_model_folder *folder, dbk_error *err)
{
    const dbk_port *port = engine->port;
    const struct dbk_model_rule *rule = model->rule;
    if (!engine->models_dir) return dbk_fail(err, DBK_MISSING, "the store has no folder 'models'");
    (void)snprintf(below, 96, "models/async-%s", model->model);
    if (rule->file) (void)snprintf(file, 80, "%s", rule->file);
    else (void)snprintf(file, 80, "%s.sqlite", model->model);
    dbk_result result = DBK_OK;
    *dir = NULL;
    if (make)
        result = dbk_aside_put(port, engine->models_dir, "models", below + 7, DBK_IS_DIRECTORY, engine->log_dir, err);
    if (result == DBK_OK)
        result = dbk_io_open_dir(port, engine->models_dir, below + 7, make ? DBK_OPEN_DIRECTORY : 0, dir, err);
    if (result == DBK_OK && make) result = dbk_io_sync_dir(port, engine->models_dir, "models", err);
    *folder = (dbk_model_folder){port, *dir, engine->path, below, file, engine->log_dir};
    if (result == DBK_OK && make) result = dbk_model_folder_clear(folder, "state", err);
    return result;
}

typedef struct dbk_leftover {
    dbk_engine *engine;
    char name[80];
} dbk_leftover;

static int find_leftover(void *arg, const char *name)
{
    dbk_leftover *left = arg;
    if (!is_ours(name) || strlen(name) >= sizeof left->name ||
        dbk_definition_model(left->engine->definition, dbk_slice_text(name + 6)))
        return 0;
    memcpy(left->name, name, strlen(name) + 1);
    return 1;
}

/* What the engine keeps there beside the models themselves. */
static bool is_made(const dbk_model_folder *folder, const char *name)
{
    static const char *const names[] = {"current",     "current.next",     "state",
                                        "current.tmp", "current.next.tmp", "state.tmp"};
    dbk_identity found;
    bool named = false;
    for (size_t i = 0; !named && i < sizeof names / sizeof *names; i++) named = strcmp(name, names[i]) == 0;
    return named && folder->port->identify(folder->port->ctx, folder->dir, name, &found) == 0 &&
           found.kind == DBK_IS_FILE;
}

static int unlink_made(void *arg, const char *name)
{
    const dbk_model_folder *folder = arg;
    if (is_made(folder, name)) (void)folder->port->unlink(folder->port->ctx, folder->dir, name);
    return 0;
}

/* A serial that stayed could not be removed: the next opening does. */
static int find_foreign(void *arg, const char *name)
{
    bool serial = strlen(name) == 8 && strspn(name, "0123456789") == 8;
    return serial || is_made(arg, name) ? 0 : 1;
}

/* What is not of the engine's making is put aside with the folder. Best effort. */
static void remove_leftover(dbk_engine *engine, const char *name)
{
    const dbk_port *port = engine->port;
    dbk_dir *dir = NULL;
    int kind = DBK_IS_DIRECTORY;
    if (dbk_io_open_dir(port, engine->models_dir, name, 0, &dir, NULL) == DBK_OK) {
        dbk_model_folder folder = {port, dir, engine->path, name, "", engine->log_dir};
        (void)!dbk_model_folder_clean(&folder, "", NULL);
        (void)port->list(port->ctx, dir, unlink_made, &folder);
        if (port->list(port->ctx, dir, find_foreign, &folder) == 1) kind = DBK_ASIDE_ANYTHING;
        port->close_dir(port->ctx, dir);
    }
    if (port->remove_dir(port->ctx, engine->models_dir, name) != 0)
        (void)!dbk_aside_put(port, engine->models_dir, "models", name, kind, engine->log_dir, NULL);
}

void dbk_asyncs_clean(dbk_engine *engine)
{
    const dbk_port *port = engine->port;
    dbk_leftover left = {.engine = engine};
    for (int i = 0; i < 2 * DBK_MODELS_MAX; i++) {
        if (port->list(port->ctx, engine->models_dir, find_leftover, &left) != 1) return;
        remove_leftover(engine, left.name);
    }
}

/* ---- begin and end */

static dbk_result begin_one(dbk_asyncs *all, const dbk_definition *definition, dbk_error *err)
{
    const dbk_port *port = all->port;
    dbk_async *async = &all->items[all->count++];
    async->all = all;
    async->definition = definition;
    async->opening = true;
    dbk_result result =
        dbk_async_folder(all->engine, definition, true, async->below, async->file, &async->dir, &async->folder, err);
    if (result == DBK_OK) result = dbk_async_note_read(&async->folder, &async->note, err);
    async->noted = true;
    if (result != DBK_OK || all->engine->options.no_threads) return result;
    int rc = port->thread_start(port->ctx, "dbk-model", dbk_async_run, async, &async->thread);
    return rc == 0 ? DBK_OK : dbk_fail_os(err, dbk_result_of_errno(-rc), -rc, "cannot start the thread of a model");
}

static void free_set(dbk_asyncs *all)
{
    const dbk_port *port = all->port;
    for (size_t i = 0; i < all->count; i++) {
        dbk_async *async = &all->items[i];
        if (async->thread) port->thread_join(port->ctx, async->thread);
        dbk_async_close(async);
        if (async->dir) port->close_dir(port->ctx, async->dir);
    }
    if (all->changed) port->cond_free(port->ctx, all->changed);
    if (all->moved) port->cond_free(port->ctx, all->moved);
    if (all->mutex) port->mutex_free(port->ctx, all->mutex);
    dbk_free(port, all->items);
    dbk_free(port, all);
}

/* Threads and whoever waits for them end; then nobody is inside. */
void dbk_asyncs_end(dbk_asyncs *all)
{
    if (!all) return;
    dbk_asyncs_lock(all);
    all->closing = true;
    for (size_t i = 0; i < all->count; i++) atomic_store(&all->items[i].halt, true);
    all->port->cond_broadcast(all->port->ctx, all->moved);
    all->port->cond_broadcast(all->port->ctx, all->changed);
    while (all->users > 0) (void)all->port->cond_wait(all->port->ctx, all->changed, all->mutex, -1);
    dbk_asyncs_unlock(all);
    free_set(all);
}

dbk_result dbk_asyncs_make(dbk_engine *engine, dbk_asyncs **out, dbk_error *err)
{
    const dbk_port *port = engine->port;
    const dbk_definition *definition = engine->definition;
    *out = NULL;
    dbk_asyncs_clean(engine);
    if (definition->model_count == 0) return DBK_OK;
    dbk_asyncs *all = dbk_alloc_zero(port, 1, sizeof *all);
    if (!all) return dbk_fail(err, DBK_NO_MEMORY, "no memory for the async models");
    *all = (dbk_asyncs){.engine = engine, .port = port, .end = dbk_log_position(engine->log)};
    all->mutex = port->mutex_new(port->ctx);
    all->moved = port->cond_new(port->ctx);
    all->changed = port->cond_new(port->ctx);
    all->items = dbk_alloc_zero(port, definition->model_count, sizeof *all->items);
    if (!all->mutex || !all->moved || !all->changed || !all->items) {
        free_set(all);
        return dbk_fail(err, DBK_NO_MEMORY, "no memory for the async models");
    }
    dbk_result result = DBK_OK;
    for (size_t i = 0; i < definition->model_count && result == DBK_OK; i++)
        result = begin_one(all, definition->models[i], err);
    if (result == DBK_OK) *out = all;
    else dbk_asyncs_end(all);
    return result;
}

void dbk_asyncs_serve(dbk_engine *engine, dbk_asyncs *all)
{
    const dbk_port *port = engine->port;
    if (!all) return;
    port->mutex_lock(port->ctx, engine->readers_lock);
    engine->asyncs = all;
    port->mutex_unlock(port->ctx, engine->readers_lock);
    dbk_asyncs_tell(engine, dbk_log_position(engine->log));
    dbk_asyncs_step(engine);
}

dbk_result dbk_asyncs_start(dbk_engine *engine, dbk_error *err)
{
    dbk_asyncs *all;
    dbk_result result = dbk_asyncs_make(engine, &all, err);
    if (result == DBK_OK) dbk_asyncs_serve(engine, all);
    return result;
}

/* The mutex is held. */
static bool is_nearly_there(const dbk_asyncs *all)
{
    for (size_t i = 0; i < all->count; i++) {
        const dbk_async *async = &all->items[i];
        bool idle = async->note.paused || async->note.stop.position > 0 || async->trouble.code != DBK_OK;
        bool behind = async->opening || async->needs_build || all->end > async->state.position;
        if (!idle && behind && all->end - async->state.position < NEARLY_THERE) return true;
        if (!async->noted) return true;
    }
    return false;
}

static void drain(dbk_asyncs *all, uint32_t drain_ms)
{
    const dbk_port *port = all->port;
    int64_t until_ns = port->monotonic_ns(port->ctx) + drain_ms * NS_PER_MS, left_ns = 1;
    dbk_asyncs_lock(all);
    while (left_ns > 0 && is_nearly_there(all)) {
        left_ns = until_ns - port->monotonic_ns(port->ctx);
        if (left_ns > 0) (void)port->cond_wait(port->ctx, all->changed, all->mutex, left_ns);
    }
    dbk_asyncs_unlock(all);
}

dbk_asyncs *dbk_asyncs_take_away(dbk_engine *engine)
{
    const dbk_port *port = engine->port;
    dbk_asyncs *all = engine->asyncs;
    if (!all) return NULL;
    port->mutex_lock(port->ctx, engine->readers_lock);
    engine->asyncs = NULL;
    port->mutex_unlock(port->ctx, engine->readers_lock);
    return all;
}

void dbk_asyncs_stop(dbk_engine *engine, uint32_t drain_ms)
{
    dbk_asyncs *all = engine->asyncs;
    if (all && drain_ms > 0 && !engine->options.no_threads && !engine->dead) drain(all, drain_ms);
    dbk_asyncs_end(dbk_asyncs_take_away(engine));
}

/* ---- who looks at them */

dbk_asyncs *dbk_asyncs_enter(dbk_engine *engine)
{
    const dbk_port *port = engine->port;
    port->mutex_lock(port->ctx, engine->readers_lock);
    dbk_asyncs *all = engine->asyncs;
    if (all) {
        dbk_asyncs_lock(all);
        all->users++;
        dbk_asyncs_unlock(all);
    }
    port->mutex_unlock(port->ctx, engine->readers_lock);
    return all;
}

/* Whoever is inside keeps engine->asyncs from being freed, but not from being taken away: the set is told by it. */
void dbk_asyncs_leave(dbk_asyncs *all)
{
    if (!all) return;
    dbk_asyncs_lock(all);
    if (--all->users == 0) all->port->cond_broadcast(all->port->ctx, all->changed);
    dbk_asyncs_unlock(all);
}

dbk_async *dbk_asyncs_find(dbk_asyncs *all, const char *name)
{
    for (size_t i = 0; all && i < all->count; i++)
        if (strcmp(all->items[i].definition->model, name) == 0) return &all->items[i];
    return NULL;
}

static bool is_settling(const dbk_asyncs *all)
{
    for (size_t i = 0; i < all->count; i++) {
        const dbk_async *async = &all->items[i];
        bool builds = async->needs_build && !async->note.paused;
        if ((async->opening || async->look_asked || builds) && async->trouble.code == DBK_OK) return true;
    }
    return false;
}

void dbk_asyncs_settle(dbk_engine *engine, int64_t limit_ms)
{
    const dbk_port *port = engine->port;
    dbk_asyncs *all = dbk_asyncs_enter(engine);
    if (!all) return;
    int64_t until_ns = port->monotonic_ns(port->ctx) + limit_ms * NS_PER_MS, left_ns = 1;
    dbk_asyncs_lock(all);
    for (size_t i = 0; i < all->count && !engine->options.no_threads; i++) all->items[i].look_asked = true;
    dbk_asyncs_wake(all);
    while (left_ns > 0 && !all->closing && !engine->options.no_threads && is_settling(all)) {
        left_ns = until_ns - port->monotonic_ns(port->ctx);
        if (left_ns > 0) (void)port->cond_wait(port->ctx, all->changed, all->mutex, left_ns);
    }
    dbk_asyncs_unlock(all);
    dbk_asyncs_leave(all);
}

void dbk_asyncs_let_build(dbk_engine *engine, bool others_build)
{
    dbk_asyncs *all = dbk_asyncs_enter(engine);
    if (!all) return;
    dbk_asyncs_lock(all);
    all->others_build = others_build;
    while (others_build && all->cleaning > 0) (void)all->port->cond_wait(all->port->ctx, all->changed, all->mutex, -1);
    dbk_asyncs_unlock(all);
    dbk_asyncs_leave(all);
}

/* ---- work */

void dbk_asyncs_wake(dbk_asyncs *all)
{
    if (all->asleep > 0) all->port->cond_broadcast(all->port->ctx, all->moved);
}

void dbk_asyncs_tell(dbk_engine *engine, uint64_t end)
{
    dbk_asyncs *all = engine->asyncs; /* the turn is held, and with it nobody takes them away */
    if (!all) return;
    dbk_asyncs_lock(all);
    if (end > all->end) all->end = end;
    dbk_asyncs_wake(all);
    dbk_asyncs_unlock(all);
}

static bool step_one(dbk_asyncs *all, dbk_async *async)
{
    int64_t left_ns;
    dbk_asyncs_lock(all);
    bool works = dbk_async_has_work(async, all->port->monotonic_ns(all->port->ctx), &left_ns);
    dbk_asyncs_unlock(all);
    if (works) dbk_async_work(async);
    return works;
}

void dbk_asyncs_step(dbk_engine *engine)
{
    dbk_asyncs *all = engine->asyncs;
    if (!all || !engine->options.no_threads) return;
    for (size_t i = 0; i < all->count; i++)
        while (step_one(all, &all->items[i]) && all->items[i].trouble.code == DBK_OK) {
        }
}
