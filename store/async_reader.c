/* Clients' SQL on an async model. A few idle readers are kept per model; after a switch they are closed. */
#include "store/async.h"
#include "store/replay.h"
#include "store/request.h"

static const int64_t OPENING_NS = 250000000, LOOK_EVERY_NS = 1000000000;
enum { OPEN_TRIES = 5 };

dbk_result dbk_request_model(dbk_engine *engine, const dbk_json_node *request, const dbk_definition **model,
                             dbk_error *err)
{
    const dbk_definition *definition = engine->definition;
    const char *names[DBK_MODELS_MAX + 1] = {"main"};
    size_t count = 1;
    dbk_slice name;
    *model = NULL;
    dbk_result result = dbk_request_text(request, "model", &name, err);
    if (result != DBK_OK || name.size == 0 || dbk_slice_equal(name, dbk_slice_text("main"))) return result;
    *model = dbk_definition_model(definition, name);
    if (*model) return DBK_OK;
    for (size_t i = 0; i < definition->model_count && count <= DBK_MODELS_MAX; i++)
        names[count++] = definition->models[i]->model;
    const char *near = dbk_nearest(name, names, count);
    (void)dbk_fail(err, DBK_NOT_FOUND, "there is no model '%.*s'", (int)(name.size < 64 ? name.size : 64),
                   (const char *)name.data);
    if (near) dbk_error_hint(err, "did you mean '%s'?", near);
    else dbk_error_hint(err, "'daybook model list' names them");
    return DBK_NOT_FOUND;
}

/* ---- a store that is only read: the file as it stands, else the fold of the log */

static dbk_result borrow_reading(dbk_engine *engine, const dbk_definition *model, dbk_lent_reader *lent, dbk_error *err)
{
    char below[96], file[80];
    dbk_dir *dir = NULL;
    dbk_model_folder folder;
    dbk_buffer path;
    dbk_model_state state = {0};
    dbk_buffer_init(&path, engine->port);
    dbk_result result = dbk_async_folder(engine, model, false, below, file, &dir, &folder, err);
    if (result == DBK_OK) result = dbk_model_folder_current(&folder, &path, err);
    if (result == DBK_OK)
        result = dbk_image_look(engine->port, engine->options.model.vfs, (const char *)path.data, &state, err);
    if (result == DBK_OK && memcmp(state.definition, model->hash, 16) != 0) result = DBK_FOREIGN;
    if (result == DBK_OK)
        result = dbk_reader_open(engine->port, (const char *)path.data, engine->options.model.vfs, model, &lent->reader,
                                 err);
    dbk_buffer_release(&path);
    if (dir) engine->port->close_dir(engine->port->ctx, dir);
    if (result == DBK_OK || result == DBK_NO_MEMORY || result == DBK_NO_FILES) return result;
    lent->past = true;
    result = dbk_pasts_enter(engine, model, NULL, &lent->reader, NULL, err);
    if (result != DBK_OK) dbk_pasts_leave(engine);
    return result;
}

/* ---- the model's own */

/* The mutex is held. Just begun, it is open in a moment. */
static void wait_for_file(dbk_async *async)
{
    dbk_asyncs *all = async->all;
    const dbk_port *port = all->port;
    int64_t until_ns = port->monotonic_ns(port->ctx) + OPENING_NS, left_ns = 1;
    while ((!async->path || async->opening) && left_ns > 0 && !all->closing && (async->opening || async->needs_build) &&
           !(async->note.paused && async->needs_build) && !all->engine->options.no_threads) {
        left_ns = until_ns - port->monotonic_ns(port->ctx);
        if (left_ns > 0) (void)port->cond_wait(port->ctx, all->changed, all->mutex, left_ns);
    }
}

static dbk_result not_there(const dbk_async *async, dbk_error *err)
{
    const char *name = async->definition->model;
    if (async->note.paused) (void)dbk_fail(err, DBK_UNAVAILABLE, "the model '%s' is paused before it was built", name);
    else if (async->trouble.code != DBK_OK)
        (void)dbk_fail(err, DBK_UNAVAILABLE, "the model '%s' cannot be built: %s", name, async->trouble.text);
    else if (async->opening)
        (void)dbk_fail(err, DBK_UNAVAILABLE, "the model '%s' is being looked through after an unclean end", name);
    else
        (void)dbk_fail(err, DBK_UNAVAILABLE, "the model '%s' is being built: %llu of %llu entries", name,
                       (unsigned long long)async->done, (unsigned long long)async->of);
    dbk_error_hint(err, async->note.paused ? "'daybook model resume' has it built"
                                           : "ask again; 'daybook model list' tells how far it is, and 'daybook "
                                             "rebuild STORE MODEL' builds it to its end");
    return DBK_UNAVAILABLE;
}

/* An idle reader, or the path of a file to open one on. */
static dbk_result take(dbk_async *async, dbk_lent_reader *lent, char **path, dbk_error *err)
{
    dbk_result result = DBK_OK;
    *path = NULL;
    dbk_asyncs_lock(async->all);
    wait_for_file(async);
    lent->epoch = async->life;
    for (size_t i = 0; !lent->reader && i < DBK_ASYNC_READERS_MAX; i++) {
        lent->reader = async->idle[i];
        async->idle[i] = NULL;
    }
    if (!lent->reader && !async->path) result = not_there(async, err);
    else if (!lent->reader && !(*path = dbk_copy_text(async->all->port, async->path)))
        result = dbk_fail(err, DBK_NO_MEMORY, "no memory for a path");
    dbk_asyncs_unlock(async->all);
    return result;
}

/* The file that was to be read is not what it should be. */
static void have_it_looked_at(dbk_async *async, bool damaged)
{
    dbk_asyncs_lock(async->all);
    async->look_asked = true;
    if (damaged) async->rebuild_asked = true;
    dbk_asyncs_wake(async->all);
    dbk_asyncs_unlock(async->all);
}

static dbk_result borrow(dbk_engine *engine, dbk_async *async, dbk_lent_reader *lent, dbk_error *err)
{
    dbk_result result = DBK_BUSY;
    for (int i = 0; i < OPEN_TRIES; i++) {
        char *path;
        result = take(async, lent, &path, err);
        if (result != DBK_OK || lent->reader) return result;
        result = dbk_reader_open(engine->port, path, engine->options.model.vfs, async->definition, &lent->reader, err);
        dbk_free(engine->port, path);
        if (result == DBK_OK && (result = dbk_reader_show_log(lent->reader, engine->log, err)) != DBK_OK)
            dbk_reader_close(lent->reader);
        if (result == DBK_OK || result == DBK_NO_MEMORY || result == DBK_NO_FILES) return result;
        lent->reader = NULL;
        have_it_looked_at(async, result == DBK_CORRUPT);
    }
    (void)dbk_fail(err, DBK_UNAVAILABLE, "the model '%s' is being replaced", async->definition->model);
    dbk_error_hint(err, "ask again");
    return DBK_UNAVAILABLE;
}

dbk_result dbk_async_borrow(dbk_engine *engine, const dbk_definition *model, dbk_lent_reader *lent, dbk_error *err)
{
    *lent = (dbk_lent_reader){0};
    if (engine->reading) return borrow_reading(engine, model, lent, err);
    dbk_asyncs *all = dbk_asyncs_enter(engine);
    lent->async = dbk_asyncs_find(all, model->model);
    dbk_result result = lent->async ? borrow(engine, lent->async, lent, err)
                                    : dbk_fail(err, DBK_UNAVAILABLE, "the models are being changed");
    if (result != DBK_OK) dbk_asyncs_leave(all);
    return result;
}

/* The mutex is held. Where nothing is written no turn has the model look at its file: who asks it does, now and then,
 * and waits for nothing. Nobody asks, nobody looks: an idle store does no work. */
static void look_now_and_then(dbk_async *async)
{
    const dbk_port *port = async->all->port;
    if (async->all->engine->options.no_threads) return;
    int64_t now_ns = port->monotonic_ns(port->ctx);
    if (async->queried_ns && now_ns - async->queried_ns < LOOK_EVERY_NS) return;
    async->queried_ns = now_ns;
    async->look_asked = true;
    dbk_asyncs_wake(async->all);
}

void dbk_async_give_back(dbk_lent_reader *lent, dbk_result result)
{
    dbk_async *async = lent->async;
    dbk_asyncs *all = async->all;
    size_t kept = async->definition->rule->readers ? async->definition->rule->readers : DBK_ASYNC_READERS;
    if (result == DBK_CORRUPT) have_it_looked_at(async, true);
    dbk_asyncs_lock(all);
    look_now_and_then(async);
    for (size_t i = 0; lent->reader && lent->epoch == async->life && result != DBK_CORRUPT && i < kept; i++) {
        if (async->idle[i]) continue;
        async->idle[i] = lent->reader;
        lent->reader = NULL;
    }
    dbk_asyncs_unlock(all);
    dbk_reader_close(lent->reader);
    lent->reader = NULL;
    lent->async = NULL;
    dbk_asyncs_leave(all);
}
