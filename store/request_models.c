/* Async models asked about and worked on: models, model.retry, model.pause, model.resume, model.skip. */
#include <stdio.h>

#include "store/async.h"
#include "store/disk.h"
#include "store/request.h"
#include "store/switch.h"
#include "store/turn.h"

static const int64_t DONE_NS = 1000000000;

void dbk_request_put_budget(dbk_buffer *out, uint64_t bytes, uint64_t used)
{
    dbk_buffer_printf(out, ",\"budget\":{\"bytes\":%llu", (unsigned long long)bytes);
    if (used) dbk_request_put_u64(out, "used", used);
    dbk_buffer_put_u8(out, '}');
}

/* The inline model in the form of the others. */
static void put_main(dbk_engine *engine, dbk_buffer *out)
{
    const dbk_port *port = engine->port;
    uint64_t end = dbk_log_position(engine->log), used = 0;
    dbk_model_state state = {.position = end};
    port->mutex_lock(port->ctx, engine->turn);
    bool known = engine->model != NULL, failed = engine->commit_failures >= 2;
    if (known) dbk_model_get_state(engine->model, &state);
    if (known && engine->definition->budget_bytes) (void)!dbk_model_used(engine->model, &used, NULL);
    port->mutex_unlock(port->ctx, engine->turn);
    const char *word = failed ? "failed" : state.position < end ? "behind" : "running";
    dbk_buffer_printf(out, "{\"model\":\"main\",\"mode\":\"inline\",\"state\":\"%s\",\"position\":%llu,\"behind\":%llu",
                      word, (unsigned long long)state.position,
                      (unsigned long long)(end > state.position ? end - state.position : 0));
    if (known && !engine->definition->no_fingerprint) {
        char fingerprint[33];
        dbk_fingerprint_text(state.fingerprint, fingerprint);
        dbk_request_put_text(out, "fingerprint", dbk_slice_text(fingerprint));
    }
    if (engine->definition->budget_bytes) dbk_request_put_budget(out, engine->definition->budget_bytes, used);
    dbk_request_put_hex(out, "definition", dbk_slice_of(engine->definition->hash, 16));
    dbk_buffer_put_u8(out, '}');
}

dbk_result dbk_request_models(dbk_engine *engine, const dbk_json_node *request, dbk_buffer *out, dbk_error *err)
{
    const dbk_definition *model, *definition = engine->definition;
    dbk_result result = dbk_request_model(engine, request, &model, err);
    if (result != DBK_OK) return result;
    bool one = dbk_json_member(request, "model") != NULL;
    dbk_asyncs_settle(engine, DBK_ASYNCS_SETTLE_MS);
    dbk_buffer_put_text(out, ",\"models\":[");
    if (!model) put_main(engine, out);
    if (one && model) dbk_async_put(engine, model, out);
    for (size_t i = 0; !one && i < definition->model_count; i++) {
        dbk_buffer_put_u8(out, ',');
        dbk_async_put(engine, definition->models[i], out);
    }
    dbk_buffer_put_u8(out, ']');
    return DBK_OK;
}

/* ---- what is done with one */

static dbk_result async_of(dbk_engine *engine, const dbk_json_node *request, const dbk_definition **model,
                           dbk_error *err)
{
    dbk_result result = dbk_request_model(engine, request, model, err);
    if (result == DBK_OK && !*model) {
        (void)dbk_fail(err, DBK_BAD_COMMAND, "'main' is no async model: it is written with the log");
        dbk_error_hint(err, "name one of those that 'daybook model list' calls async");
        result = DBK_BAD_COMMAND;
    }
    return result == DBK_OK ? dbk_engine_may_write(engine, err) : result;
}

static dbk_result gone(dbk_error *err)
{
    return dbk_fail(err, DBK_UNAVAILABLE, "the models are being changed");
}

/* Enters, with the mutex held. */
static dbk_async *hold(dbk_engine *engine, const dbk_definition *model)
{
    dbk_asyncs *all = dbk_asyncs_enter(engine);
    dbk_async *async = dbk_asyncs_find(all, model->model);
    if (!async) dbk_asyncs_leave(all);
    else dbk_asyncs_lock(all);
    return async;
}

/* What was asked for is done here, where there is no thread to do it. */
static void let_go(dbk_engine *engine, dbk_async *async)
{
    const dbk_port *port = engine->port;
    dbk_asyncs *all = async->all;
    dbk_asyncs_wake(all);
    dbk_asyncs_unlock(all);
    dbk_asyncs_leave(all);
    if (!engine->options.no_threads) return;
    port->mutex_lock(port->ctx, engine->turn);
    dbk_asyncs_step(engine);
    port->mutex_unlock(port->ctx, engine->turn);
}

static void wait_for_change(dbk_async *async, int64_t timeout_ns)
{
    dbk_asyncs *all = async->all;
    if (!async->thread || all->closing) return;
    dbk_asyncs_wake(all);
    (void)all->port->cond_wait(all->port->ctx, all->changed, all->mutex, timeout_ns);
}

static void wait_until_done(dbk_async *async)
{
    const dbk_port *port = async->all->port;
    int64_t until_ns = port->monotonic_ns(port->ctx) + DONE_NS, left_ns = DONE_NS;
    while (async->thread && left_ns > 0 && !async->all->closing &&
           (async->busy || async->retry_asked || !async->noted)) {
        wait_for_change(async, left_ns);
        left_ns = until_ns - port->monotonic_ns(port->ctx);
    }
}

static void put_one(dbk_engine *engine, const dbk_definition *model, dbk_buffer *out)
{
    dbk_buffer_put_text(out, ",\"models\":[");
    dbk_async_put(engine, model, out);
    dbk_buffer_put_u8(out, ']');
}

static void ask_to(dbk_async *async, const dbk_json_node *verb)
{
    if (dbk_json_text_is(verb, "model.pause")) {
        async->noted = async->noted && async->note.paused;
        async->note.paused = true;
        atomic_store(&async->halt, true);
        return;
    }
    if (dbk_json_text_is(verb, "model.resume")) {
        async->noted = async->noted && !async->note.paused;
        async->note.paused = false;
    }
    async->retry_asked = true;
    async->delay_ns = async->not_before_ns = 0;
}

/* The answer comes when it is on the disk that it is paused, or that it is not, and when what was asked for is done,
 * if that takes no long time. */
dbk_result dbk_request_model_do(dbk_engine *engine, const dbk_json_node *request, dbk_buffer *out, dbk_error *err)
{
    const dbk_definition *model;
    dbk_result result = async_of(engine, request, &model, err);
    if (result != DBK_OK) return result;
    dbk_async *async = hold(engine, model);
    if (!async) return gone(err);
    if (async->note.paused && dbk_json_text_is(dbk_json_member(request, "do"), "model.retry")) {
        (void)dbk_fail(err, DBK_REJECTED, "the model '%s' is paused", model->model);
        dbk_error_hint(err, "'daybook model resume' has it go on");
        result = DBK_REJECTED;
    } else {
        ask_to(async, dbk_json_member(request, "do"));
    }
    if (result == DBK_OK) wait_until_done(async);
    let_go(engine, async);
    if (result == DBK_OK) put_one(engine, model, out);
    return result;
}

/* ---- rebuild */

dbk_result dbk_request_model_rebuild(dbk_engine *engine, const dbk_definition *model, dbk_buffer *out, dbk_error *err)
{
    const dbk_port *port = engine->port;
    int64_t begin_ns = port->monotonic_ns(port->ctx);
    dbk_result result = dbk_engine_may_write(engine, err);
    if (result != DBK_OK) return result;
    dbk_async *async = hold(engine, model);
    if (!async) return gone(err);
    uint64_t builds = async->builds;
    async->rebuild_asked = true;
    async->delay_ns = async->not_before_ns = 0;
    while (async->thread && async->builds == builds && !async->all->closing) {
        wait_for_change(async, -1);
        if (async->builds == builds && async->trouble.code != DBK_OK) {
            *err = async->trouble;
            result = async->trouble.code;
            break;
        }
    }
    if (result == DBK_OK && async->thread && async->builds == builds)
        result = dbk_fail(err, DBK_UNAVAILABLE, "the models are being changed");
    let_go(engine, async);
    if (result != DBK_OK) return dbk_error_wrap(err, result, "cannot rebuild the model '%s'", model->model);
    put_one(engine, model, out);
    dbk_request_put_u64(out, "took_ms", (uint64_t)(port->monotonic_ns(port->ctx) - begin_ns) / 1000000);
    return DBK_OK;
}

/* ---- skip */

static dbk_result stopped_at(dbk_engine *engine, const dbk_definition *model, uint64_t *position, dbk_entry_id *entry,
                             dbk_error *err)
{
    dbk_async *async = hold(engine, model);
    if (!async) return gone(err);
    dbk_model_stop stop = async->note.stop;
    dbk_asyncs_unlock(async->all);
    dbk_asyncs_leave(async->all);
    if (stop.over_budget) {
        (void)dbk_fail(err, DBK_REJECTED, "the model '%s' is over its budget, and leaving an entry out makes no room",
                       model->model);
        dbk_error_hint(err, "raise 'models.%s.budget' of app.json and upgrade, or keep less", model->model);
        return DBK_REJECTED;
    }
    if (stop.position > 0 && (*position == 0 || *position == stop.position)) {
        *position = stop.position;
        *entry = stop.entry;
        return DBK_OK;
    }
    if (stop.position > 0)
        (void)dbk_fail(err, DBK_REJECTED, "the model '%s' has not failed at %llu but at %llu", model->model,
                       (unsigned long long)*position, (unsigned long long)stop.position);
    else (void)dbk_fail(err, DBK_REJECTED, "the model '%s' has not failed: there is nothing to skip", model->model);
    dbk_error_hint(err, "'daybook model list' tells at which position it stands");
    return DBK_REJECTED;
}

static dbk_result log_order(dbk_engine *engine, const dbk_definition *model, const dbk_entry_id *entry, bool skip,
                            dbk_error *err)
{
    const dbk_port *port = engine->port;
    char id[DBK_ENTRY_ID_TEXT_SIZE], stream[sizeof DBK_MODEL_STREAM + 64], data[256];
    dbk_entry_id_text(entry, id);
    (void)snprintf(stream, sizeof stream, "%s%s", DBK_MODEL_STREAM, model->model);
    (void)snprintf(data, sizeof data, "{\"model\":\"%s\",\"entry\":\"%s\",\"skip\":%s}", model->model, id,
                   skip ? "true" : "false");
    port->mutex_lock(port->ctx, engine->turn);
    dbk_result result = engine->dead ? dbk_fail(err, DBK_UNAVAILABLE, "the store is closing") : DBK_OK;
    if (result == DBK_OK && engine->behind) result = dbk_engine_catch_up(engine, err);
    if (result == DBK_OK)
        result = dbk_turn_engine_entry(engine, stream, "daybook.model.skip", dbk_slice_text(data),
                                       dbk_engine_now(engine), err);
    port->mutex_unlock(port->ctx, engine->turn);
    return result;
}

dbk_result dbk_request_model_skip(dbk_engine *engine, const dbk_json_node *request, dbk_buffer *out, dbk_error *err)
{
    const dbk_definition *model;
    int64_t number = 0;
    bool skip = true;
    dbk_entry_id entry = {0};
    dbk_result result = async_of(engine, request, &model, err);
    if (result == DBK_OK) result = dbk_request_number(request, "position", 1, INT64_MAX, &number, err);
    if (result == DBK_OK) result = dbk_request_flag(request, "skip", &skip, err);
    if (result != DBK_OK) return result;
    uint64_t position = (uint64_t)number;
    if (!skip && position == 0)
        return dbk_fail(err, DBK_BAD_COMMAND, "'position' must say which entry to take after all");
    if (skip) result = stopped_at(engine, model, &position, &entry, err);
    else result = dbk_log_entry_id_at(engine->log, position, &entry, err);
    if (result == DBK_NONE)
        result = dbk_fail(err, DBK_NOT_FOUND, "there is no position %llu", (unsigned long long)position);
    if (result == DBK_OK) result = log_order(engine, model, &entry, skip, err);
    if (result != DBK_OK) return result;
    dbk_async *async = hold(engine, model);
    if (async) {
        async->retry_asked = !async->note.paused;
        async->delay_ns = async->not_before_ns = 0;
        wait_until_done(async);
        let_go(engine, async);
    }
    put_one(engine, model, out);
    char id[DBK_ENTRY_ID_TEXT_SIZE];
    dbk_entry_id_text(&entry, id);
    dbk_request_put_text(out, "entry", dbk_slice_text(id));
    dbk_request_put_u64(out, "position", position);
    dbk_buffer_printf(out, ",\"skip\":%s", skip ? "true" : "false");
    return DBK_OK;
}
