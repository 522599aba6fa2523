/* fingerprint with `recount`: the rows as they stand against the sum that was kept as they changed. On a connection of
 * its own: no turn waits. Where they differ, the log is folded anew, and the tables that differ from that are named. */
#include "store/async.h"
#include "store/replay.h"
#include "store/request.h"

static bool is_same(dbk_hash128 one, dbk_hash128 other)
{
    return one.low == other.low && one.high == other.high;
}

/* The path of the file that answers; freed by the caller. */
static dbk_result find_file(dbk_engine *engine, const dbk_definition *model, char **path, dbk_error *err)
{
    enum { OPENED_MS = 10000 }; /* a program that counts has just opened the store */
    if (model) dbk_asyncs_settle(engine, OPENED_MS);
    dbk_asyncs *all = model ? dbk_asyncs_enter(engine) : NULL;
    dbk_async *async = model ? dbk_asyncs_find(all, model->model) : NULL;
    *path = NULL;
    bool there = !model;
    if (async) {
        dbk_asyncs_lock(all);
        there = async->path != NULL;
        if (there) *path = dbk_copy_text(engine->port, async->path);
        dbk_asyncs_unlock(all);
    }
    dbk_asyncs_leave(all);
    if (!model) {
        engine->port->mutex_lock(engine->port->ctx, engine->turn);
        *path = dbk_copy_text(engine->port, dbk_model_path(engine->model));
        engine->port->mutex_unlock(engine->port->ctx, engine->turn);
    }
    if (!there) return dbk_fail(err, DBK_UNAVAILABLE, "the model '%s' is not built yet", model->model);
    return *path ? DBK_OK : dbk_fail(err, DBK_NO_MEMORY, "no memory for a path");
}

/* Every table whose rows are not those that the log makes. */
static dbk_result name_tables(dbk_engine *engine, const dbk_definition *async, dbk_model *model, uint64_t position,
                              dbk_buffer *out, dbk_error *err)
{
    const dbk_definition *definition = async ? async : engine->definition;
    dbk_past_model past = {0};
    dbk_past at = {.position = position, .model = async};
    bool first = true;
    dbk_result result = dbk_past_open(engine, &at, NULL, &past, err);
    dbk_buffer_put_text(out, ",\"tables\":[");
    for (size_t i = 0; result == DBK_OK && i < definition->table_count; i++) {
        dbk_hash128 mine, folded;
        uint64_t rows, rows_folded;
        result = dbk_model_recount_table(model, &definition->tables[i], &mine, &rows, err);
        if (result == DBK_OK)
            result = dbk_model_recount_table(past.model, &definition->tables[i], &folded, &rows_folded, err);
        if (result != DBK_OK || is_same(mine, folded)) continue;
        dbk_buffer_put_text(out, first ? "{\"table\":" : ",{\"table\":");
        first = false;
        dbk_json_put_string(out, dbk_slice_text(definition->tables[i].name));
        dbk_request_put_u64(out, "rows", rows);
        dbk_request_put_u64(out, "rows_of_log", rows_folded);
        dbk_buffer_put_u8(out, '}');
    }
    dbk_buffer_put_u8(out, ']');
    dbk_past_discard(engine, &past);
    return result;
}

static dbk_result compare(dbk_engine *engine, const dbk_definition *model, dbk_model *opened, dbk_buffer *out,
                          dbk_error *err)
{
    dbk_model_state state;
    dbk_hash128 counted;
    uint64_t rows = 0;
    char text[33];
    dbk_result result = dbk_model_hold(opened, err);
    dbk_model_get_state(opened, &state);
    if (result == DBK_OK) result = dbk_model_recount(opened, &counted, &rows, err);
    if (result != DBK_OK) return result;
    dbk_fingerprint_text(state.fingerprint, text);
    dbk_request_put_text(out, "fingerprint", dbk_slice_text(text));
    dbk_request_put_u64(out, "position", state.position);
    dbk_request_put_hex(out, "definition", dbk_slice_of(state.definition, 16));
    dbk_fingerprint_text(counted, text);
    dbk_request_put_text(out, "recounted", dbk_slice_text(text));
    dbk_request_put_u64(out, "rows", rows);
    dbk_buffer_printf(out, ",\"same\":%s", is_same(counted, state.fingerprint) ? "true" : "false");
    if (is_same(counted, state.fingerprint)) return DBK_OK;
    return name_tables(engine, model, opened, state.position, out, err);
}

dbk_result dbk_request_recount(dbk_engine *engine, const dbk_definition *model, dbk_buffer *out, dbk_error *err)
{
    dbk_model *opened = NULL;
    char *path = NULL;
    if (!engine->model) return dbk_fail(err, DBK_READ_ONLY, "the rows of a store that is only read are not counted");
    dbk_result result = find_file(engine, model, &path, err);
    if (result == DBK_OK)
        result = dbk_model_open(engine->port, path, model ? model : engine->definition, engine->log,
                                &engine->options.model, &opened, err);
    if (result == DBK_OK) result = compare(engine, model, opened, out, err);
    dbk_model_close(opened);
    dbk_free(engine->port, path);
    return result;
}
