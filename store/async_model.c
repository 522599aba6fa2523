/* The thread of an async model, or what a turn does in its place.
 *
 *   opening     the file that `current` names; what is missing, damaged, of another definition or of another log is
 *               built anew
 *   building    a shadow in a folder of its own; the file before it answers until `current` names the new one
 *   following   the log, in transactions of TRANSACTION entries; a late fact below what is folded asks for a shadow
 *   stopped     at an entry that the projections refuse: tried again when the log has moved, ever more seldom, and at
 *               once when somebody asks for it
 *   in trouble  no room, no memory, I/O: tried again after a while
 *
 * A crash at any step leaves the file that `current` names, or none, and leftovers that opening removes. */
#include "store/async.h"

#include <errno.h>
#include <sqlite3.h>
#include <stdio.h>

enum { TRANSACTION = 1000, CHUNK = 4000, PASSIVE_PAGES = 4096, RESTART_PAGES = 32768 };
static const int64_t FIRST_DELAY_NS = 500000000, LAST_DELAY_NS = INT64_C(30000000000);

static int64_t now_ns(const dbk_async *async)
{
    return async->all->port->monotonic_ns(async->all->port->ctx);
}

/* ---- what is to be done */

static bool is_due(const dbk_async *async, int64_t now, int64_t *left_ns)
{
    int64_t left = async->not_before_ns - now;
    if (left <= 0 || async->all->engine->options.no_threads) return true;
    if (*left_ns < 0 || left < *left_ns) *left_ns = left;
    return false;
}

bool dbk_async_has_work(const dbk_async *async, int64_t now, int64_t *left_ns)
{
    const dbk_asyncs *all = async->all;
    *left_ns = -1;
    if (!async->noted || async->look_asked || async->rebuild_asked) return true;
    if (async->trouble.code != DBK_OK && !async->retry_asked && !is_due(async, now, left_ns)) return false;
    if (async->opening) return true;
    if (async->note.paused) return false;
    if (async->needs_build || async->retry_asked) return true;
    if (all->end <= async->state.position) return false;
    if (async->note.stop.position == 0) return true;
    return all->end > async->tried && is_due(async, now, left_ns);
}

/* ---- what is known of it */

static void wait_a_while(dbk_async *async)
{
    async->delay_ns = async->delay_ns == 0 ? FIRST_DELAY_NS : async->delay_ns * 2;
    if (async->delay_ns > LAST_DELAY_NS) async->delay_ns = LAST_DELAY_NS;
    async->not_before_ns = now_ns(async) + async->delay_ns;
}

/* After a piece of work: where it led to. `stop` NULL: nothing was folded, what is known of it stands. */
static void note_result(dbk_async *async, dbk_result result, const dbk_model_stop *stop, const dbk_error *error)
{
    dbk_asyncs *all = async->all;
    bool stopped = stop && stop->position > 0;
    dbk_asyncs_lock(all);
    if (async->model) dbk_model_get_state(async->model, &async->state);
    if (async->model && async->definition->budget_bytes)
        (void)!dbk_model_used(async->model, &async->used_bytes, NULL); /* as it was, where it cannot be asked */
    async->trouble.code = DBK_OK;
    if (stop && (result == DBK_OK || stopped)) {
        bool same = stop->position == async->note.stop.position && strcmp(stop->reason, async->note.stop.reason) == 0;
        bool pauses = stopped && async->definition->rule->pauses && !async->note.paused;
        async->note.stop = *stop;
        if (pauses) async->note.paused = true;
        async->noted = async->noted && same && !pauses;
        if (stopped) wait_a_while(async);
        else async->delay_ns = 0;
    } else if (result != DBK_OK && result != DBK_UNAVAILABLE) {
        async->trouble = *error;
        async->trouble.code = result;
        wait_a_while(async);
    }
    all->port->cond_broadcast(all->port->ctx, all->changed);
    dbk_asyncs_unlock(all);
}

/* ---- the file that answers */

static int note_wal(void *arg, sqlite3 *db, const char *name, int pages)
{
    (void)db;
    (void)name;
    ((dbk_async *)arg)->wal_pages = pages;
    return SQLITE_OK;
}

static void close_serial(dbk_async *async)
{
    if (async->serial) async->all->port->close_dir(async->all->port->ctx, async->serial);
    async->serial = NULL;
}

/* The folder of the file is kept open: what stands there under the file's name is to stay the file. */
static dbk_result hold_file(dbk_async *async, const char *path, dbk_error *err)
{
    const dbk_port *port = async->all->port;
    const char *end = strrchr(path, '/'), *begin = end;
    char serial[16] = "";
    while (begin > path && begin[-1] != '/') begin--;
    (void)snprintf(serial, sizeof serial, "%.*s", (int)(end - begin), begin);
    close_serial(async);
    dbk_result result = dbk_io_open_dir(port, async->dir, serial, 0, &async->serial, err);
    if (result != DBK_OK) return result;
    int rc = port->identify(port->ctx, async->serial, async->file, &async->opened);
    return rc == 0 ? DBK_OK : dbk_fail_os(err, dbk_result_of_errno(-rc), -rc, "cannot look at '%s'", path);
}

static bool is_same(const dbk_identity *one, const dbk_identity *other)
{
    return one->inode == other->inode && one->device == other->device;
}

static bool has_folder(const dbk_async *async)
{
    const dbk_port *port = async->all->port;
    dbk_identity mine, found;
    return port->identify_dir(port->ctx, async->dir, &mine) == 0 &&
           port->identify(port->ctx, async->all->engine->models_dir, async->below + sizeof "models", &found) == 0 &&
           is_same(&mine, &found);
}

/* Three looks at names, no file is read. Only a checkpoint writes the file itself, and only this thread makes
 * one: what else changed it wrote over it. NULL: all is as it was. */
static const char *what_happened(const dbk_async *async)
{
    const dbk_port *port = async->all->port;
    dbk_identity found;
    if (!has_folder(async)) return "its folder was deleted or replaced";
    if (port->identify(port->ctx, async->serial, async->file, &found) != 0) return "its file was deleted";
    if (!is_same(&found, &async->opened)) return "its file was replaced";
    if (found.size_bytes != async->opened.size_bytes || found.modified_ms != async->opened.modified_ms)
        return "its file was written over";
    return NULL;
}

/* A folder that is gone, or is another one, takes nothing any more. */
static dbk_result find_folder(dbk_async *async, dbk_error *err)
{
    char below[sizeof async->below], file[sizeof async->file];
    dbk_dir *dir = NULL;
    dbk_model_folder folder;
    if (has_folder(async)) return DBK_OK;
    dbk_result result = dbk_async_folder(async->all->engine, async->definition, true, below, file, &dir, &folder, err);
    if (result != DBK_OK) return result;
    dbk_asyncs_lock(async->all);
    dbk_dir *gone = async->dir;
    async->dir = async->folder.dir = dir;
    async->noted = false;
    dbk_asyncs_unlock(async->all);
    async->all->port->close_dir(async->all->port->ctx, gone);
    return DBK_OK;
}

static void swap_path(dbk_async *async, char *path)
{
    dbk_asyncs *all = async->all;
    dbk_model_reader *idle[DBK_ASYNC_READERS_MAX];
    dbk_asyncs_lock(all);
    char *gone = async->path;
    async->path = path;
    async->life++;
    memcpy(idle, async->idle, sizeof idle);
    memset(async->idle, 0, sizeof async->idle);
    if (async->model) dbk_model_get_state(async->model, &async->state);
    dbk_asyncs_unlock(all);
    for (size_t i = 0; i < DBK_ASYNC_READERS_MAX; i++) dbk_reader_close(idle[i]);
    dbk_free(all->port, gone);
}

/* From here on it answers. */
static dbk_result serve(dbk_async *async, dbk_model *model, dbk_error *err)
{
    char *path = dbk_copy_text(async->all->port, dbk_model_path(model));
    dbk_result result = path ? hold_file(async, path, err) : dbk_fail(err, DBK_NO_MEMORY, "no memory for a path");
    if (result != DBK_OK) {
        dbk_free(async->all->port, path);
        return result;
    }
    async->model = model;
    async->wal_pages = 0;
    (void)sqlite3_wal_hook(dbk_model_handle(model), note_wal, async);
    swap_path(async, path);
    return DBK_OK;
}

static void close_model(dbk_async *async)
{
    dbk_model_close(async->model);
    async->model = NULL;
    close_serial(async);
    swap_path(async, NULL);
}

void dbk_async_close(dbk_async *async)
{
    close_model(async);
}

/* ---- opening */

static bool heals(dbk_result result)
{
    return result == DBK_MISSING || result == DBK_CORRUPT || result == DBK_FOREIGN || result == DBK_VERSION;
}

static dbk_model_options options_of(dbk_async *async)
{
    dbk_model_options options = async->all->engine->options.model;
    const struct dbk_model_rule *rule = async->definition->rule;
    options.halt = &async->halt;
    if (rule->cache_pages) options.cache_pages = rule->cache_pages;
    options.budget_bytes = rule->budget_bytes;
    return options;
}

/* After an unclean end nothing is built on a file before it was looked through. */
static dbk_result look_through(dbk_async *async, dbk_model *model, bool suspect, dbk_error *err)
{
    dbk_engine *engine = async->all->engine;
    bool belongs = false;
    dbk_result result = dbk_model_belongs(engine, model, &belongs, err);
    if (result == DBK_OK && !belongs) result = dbk_fail(err, DBK_FOREIGN, "it is of another log");
    if (result != DBK_OK || !suspect) return result;
    result = dbk_model_check(model, err);
    return result;
}

static dbk_result open_file(dbk_async *async, const char *path, dbk_error *err)
{
    dbk_engine *engine = async->all->engine;
    dbk_model_options options = options_of(async);
    dbk_model *model = NULL;
    bool suspect = engine->suspect || dbk_model_folder_has_wal(&async->folder, path);
    dbk_result result = dbk_model_open(engine->port, path, async->definition, engine->log, &options, &model, err);
    if (result == DBK_OK) result = look_through(async, model, suspect && !async->checked, err);
    if (result == DBK_OK) {
        async->checked = true;
        result = serve(async, model, err);
    }
    if (result != DBK_OK) dbk_model_close(model);
    return result;
}

static void set_open(dbk_async *async, bool opening, bool needs_build)
{
    dbk_asyncs_lock(async->all);
    async->opening = opening;
    async->needs_build = needs_build;
    dbk_asyncs_unlock(async->all);
}

/* Leftovers go, but for what an upgrade may be making: they go with the next opening. */
static dbk_result clean_folder(dbk_async *async, const char *path, dbk_error *err)
{
    dbk_asyncs *all = async->all;
    dbk_asyncs_lock(all);
    bool may = !all->others_build;
    all->cleaning += may;
    dbk_asyncs_unlock(all);
    if (!may) return DBK_OK;
    dbk_result result = dbk_model_folder_clean(&async->folder, path, err);
    dbk_asyncs_lock(all);
    all->cleaning--;
    all->port->cond_broadcast(all->port->ctx, all->changed);
    dbk_asyncs_unlock(all);
    return result;
}

static dbk_result open_current(dbk_async *async, dbk_error *err)
{
    dbk_buffer path;
    dbk_buffer_init(&path, async->all->port);
    dbk_result result = dbk_model_folder_current(&async->folder, &path, err);
    if (result == DBK_OK) result = clean_folder(async, (const char *)path.data, err);
    if (result == DBK_OK) result = open_file(async, (const char *)path.data, err);
    if (heals(result)) {
        set_open(async, false, true);
        result = DBK_OK;
    }
    dbk_buffer_release(&path);
    return result;
}

/* ---- building */

static void on_progress(void *arg, uint64_t done, uint64_t of)
{
    dbk_async *async = arg;
    dbk_asyncs_lock(async->all);
    async->done = done;
    async->of = of;
    dbk_asyncs_unlock(async->all);
}

static dbk_result build_file(dbk_async *async, const char *path, dbk_model_stop *stop, dbk_model **model,
                             dbk_error *err)
{
    dbk_shadow_options options = {
        .model = options_of(async), .stop = stop, .progress = on_progress, .progress_arg = async};
    return dbk_async_build(async->all->engine, path, async->definition, &options, model, err);
}

/* The switch: from the pointer on the new file is the model, also after a crash. */
static dbk_result take_over(dbk_async *async, dbk_model *shadow, dbk_error *err)
{
    char *gone = async->model ? dbk_copy_text(async->all->port, dbk_model_path(async->model)) : NULL;
    dbk_result result = dbk_model_folder_point(&async->folder, dbk_model_path(shadow), err);
    if (result == DBK_OK) {
        dbk_model *old = async->model;
        async->model = NULL;
        result = serve(async, shadow, err);
        dbk_model_close(old);
        if (result == DBK_OK && gone) dbk_model_folder_discard(&async->folder, gone);
        if (result == DBK_OK) (void)!clean_folder(async, async->path, NULL); /* what healing left */
        if (result != DBK_OK) swap_path(async, NULL);
    }
    dbk_free(async->all->port, gone);
    return result;
}

static void begin_building(dbk_async *async, bool building)
{
    dbk_asyncs_lock(async->all);
    async->building = building;
    async->done = async->of = 0;
    if (building) async->rebuild_asked = async->retry_asked = false;
    dbk_asyncs_unlock(async->all);
}

static void end_building(dbk_async *async)
{
    dbk_asyncs_lock(async->all);
    async->builds++;
    async->needs_build = false;
    async->checked = true;
    async->tried = async->state.position;
    dbk_asyncs_unlock(async->all);
}

static dbk_result build(dbk_async *async, dbk_model_stop *stop, dbk_error *err)
{
    dbk_model *shadow = NULL;
    dbk_buffer path;
    dbk_buffer_init(&path, async->all->port);
    begin_building(async, true);
    *stop = (dbk_model_stop){0};
    uint64_t end = dbk_log_position(async->all->engine->log);
    dbk_result result = find_folder(async, err);
    if (result == DBK_OK) result = dbk_model_folder_next(&async->folder, &path, err);
    if (result == DBK_OK) result = build_file(async, (const char *)path.data, stop, &shadow, err);
    if (result == DBK_OK) result = take_over(async, shadow, err);
    if (result == DBK_OK) {
        end_building(async);
        async->tried = end;
    } else {
        if (shadow != async->model) dbk_model_close(shadow);
        if (path.size > 0) dbk_model_folder_discard(&async->folder, (const char *)path.data);
        if (!async->model) set_open(async, false, true);
        *stop = (dbk_model_stop){0};
    }
    begin_building(async, false);
    dbk_buffer_release(&path);
    return result;
}

/* ---- following */

static void checkpoint(dbk_async *async)
{
    if (async->wal_pages < PASSIVE_PAGES) return;
    int mode = async->wal_pages < RESTART_PAGES ? SQLITE_CHECKPOINT_PASSIVE : SQLITE_CHECKPOINT_RESTART;
    if (what_happened(async)) return; /* the next look finds it; its marks are not to be taken for ours */
    (void)sqlite3_wal_checkpoint_v2(dbk_model_handle(async->model), NULL, mode, NULL, NULL);
    (void)async->all->port->identify(async->all->port->ctx, async->serial, async->file, &async->opened);
    async->wal_pages = 0;
}

/* In an ordered log what comes later sorts above: it can be folded piece by piece. */
static dbk_result follow(dbk_async *async, dbk_model_stop *stop, bool *shadow, dbk_error *err)
{
    dbk_log *log = async->all->engine->log;
    uint64_t last = dbk_log_is_ordered(log) ? async->state.position + CHUNK : 0;
    dbk_asyncs_lock(async->all);
    async->retry_asked = false;
    async->tried = dbk_log_position(log);
    dbk_asyncs_unlock(async->all);
    dbk_result result = dbk_model_keep_up(async->model, last, TRANSACTION, shadow, err);
    *stop = *dbk_model_stopped(async->model);
    if (result == DBK_OK && stop->position == 0) checkpoint(async);
    return result;
}

/* What is in another's hands, deleted or damaged is left and built anew. */
static dbk_result look(dbk_async *async, dbk_result result)
{
    const char *why = async->model ? what_happened(async) : NULL;
    dbk_asyncs_lock(async->all);
    async->look_asked = false;
    if (!why && heals(result)) why = "its file was damaged";
    if (why) async->healed = why;
    dbk_asyncs_unlock(async->all);
    if (!why) return result;
    close_model(async);
    set_open(async, false, true);
    return DBK_OK;
}

static void write_note(dbk_async *async, dbk_error *err)
{
    dbk_asyncs *all = async->all;
    dbk_asyncs_lock(all);
    dbk_async_note note = async->note;
    async->noted = true;
    dbk_asyncs_unlock(all);
    dbk_result result = dbk_async_note_write(&async->folder, &note, err); /* the next change tries it again */
    dbk_asyncs_lock(all);
    if (result != DBK_OK && async->trouble.code == DBK_OK) {
        async->trouble = *err;
        async->trouble.code = result;
    }
    all->port->cond_broadcast(all->port->ctx, all->changed);
    dbk_asyncs_unlock(all);
}

typedef struct dbk_task {
    bool note, look, build, paused, idle;
} dbk_task;

static dbk_task next_task(dbk_async *async)
{
    bool gone = async->model && what_happened(async) != NULL;
    dbk_asyncs_lock(async->all);
    if (!async->all->closing) atomic_store(&async->halt, async->note.paused && !async->rebuild_asked);
    bool paused = async->note.paused;
    dbk_task task = {.note = !async->noted,
                     .look = async->look_asked || gone,
                     .build = !async->opening && (async->rebuild_asked || (async->needs_build && !paused)),
                     .paused = paused};
    if (paused) async->retry_asked = false;
    task.idle = paused && !async->opening && !task.build;
    dbk_asyncs_unlock(async->all);
    return task;
}

void dbk_async_work(dbk_async *async)
{
    dbk_error error = {0};
    dbk_model_stop stop = {0};
    bool shadow = false, follows = false;
    dbk_result result = DBK_OK;
    dbk_task task = next_task(async);
    if (task.note) write_note(async, &error);
    if (task.look) result = look(async, DBK_OK);
    if (task.look || (task.idle && task.note)) return;
    if (async->opening) result = open_current(async, &error);
    bool opened = async->opening && result == DBK_OK;
    if (!task.build && result == DBK_OK && !task.idle && !task.paused && async->model) {
        follows = true;
        result = follow(async, &stop, &shadow, &error);
        task.build = result == DBK_OK && shadow;
    }
    if (task.build) result = build(async, &stop, &error);
    if (opened) set_open(async, false, !async->model);
    if (async->model && heals(result) && stop.position == 0) result = look(async, result);
    note_result(async, result, follows || task.build ? &stop : NULL, &error);
}

void dbk_async_run(void *arg)
{
    dbk_async *async = arg;
    dbk_asyncs *all = async->all;
    int64_t left_ns;
    dbk_asyncs_lock(all);
    while (!all->closing) {
        if (dbk_async_has_work(async, now_ns(async), &left_ns)) {
            async->busy = true;
            dbk_asyncs_unlock(all);
            dbk_async_work(async);
            dbk_asyncs_lock(all);
            async->busy = false;
            all->port->cond_broadcast(all->port->ctx, all->changed);
            continue;
        }
        all->asleep++;
        (void)all->port->cond_wait(all->port->ctx, all->moved, all->mutex, left_ns);
        all->asleep--;
    }
    dbk_asyncs_unlock(all);
}
