/* What changed since a cursor (semantics.md §6): current row or tombstone of every key touched. */
#include "store/disk.h"
#include "store/request.h"

/* [timeline, generation, position]; *other_life: of another timeline or generation, or none at all. */
static dbk_result read_cursor(dbk_engine *engine, const dbk_json_node *from, bool *other_life, uint64_t *position,
                              dbk_error *err)
{
    int64_t generation = 0, at = 0;
    *other_life = true;
    *position = 0;
    if (!from || from->kind == DBK_JSON_NULL) return DBK_OK;
    const dbk_json_node *timeline = from->kind == DBK_JSON_ARRAY && from->count == 3 ? from + 1 : NULL;
    const dbk_json_node *second = timeline ? dbk_json_next(timeline) : NULL,
                        *third = second ? dbk_json_next(second) : NULL;
    bool good = timeline && timeline->kind == DBK_JSON_STRING && second->kind == DBK_JSON_NUMBER &&
                third->kind == DBK_JSON_NUMBER && dbk_json_is_integer(second, &generation) &&
                dbk_json_is_integer(third, &at) && generation >= 0 && at >= 0;
    if (!good) {
        (void)dbk_fail(err, DBK_BAD_COMMAND, "'from' must be [timeline, generation, position]");
        dbk_error_hint(err, "send the 'cursor' of a receipt or a message back as it came");
        return DBK_BAD_COMMAND;
    }
    *position = (uint64_t)at;
    *other_life =
        !dbk_json_text_is(timeline, engine->identity.timeline) || (uint64_t)generation != engine->identity.generation;
    return DBK_OK;
}

dbk_result dbk_changes_answer(dbk_engine *engine, const dbk_table *table, const dbk_json_node *from, dbk_buffer *out,
                              dbk_error *err)
{
    dbk_model_state state;
    bool other_life;
    uint64_t position;
    if (dbk_engine_is_stranded(engine)) return dbk_disk_refuse(engine, err);
    if (!engine->model) {
        (void)dbk_fail(err, DBK_READ_ONLY, "a store opened for reading only does not follow changes");
        dbk_error_hint(err, "ask the process that writes to the store");
        return DBK_READ_ONLY;
    }
    dbk_result result = read_cursor(engine, from, &other_life, &position, err);
    if (result != DBK_OK) return result;
    dbk_model_get_state(engine->model, &state);
    dbk_request_put_cursor(engine, state.position, out);
    dbk_buffer_put_u8(out, ',');
    return dbk_model_catch_up_rows(engine->model, table, position, other_life, out, err);
}

dbk_result dbk_changes_off(dbk_error *err)
{
    dbk_fail(err, DBK_BAD_COMMAND, "the app has no change feed: 'models.main.observe.feed' of app.json is false");
    dbk_error_hint(err, "set it to true and upgrade, or ask for rows with queries");
    return DBK_BAD_COMMAND;
}

dbk_result dbk_request_changes(dbk_engine *engine, const dbk_json_node *request, dbk_buffer *out, dbk_error *err)
{
    const dbk_port *port = engine->port;
    const dbk_table *table;
    dbk_result result = dbk_request_table(engine, request, &table, err);
    if (result != DBK_OK) return result;
    if (engine->definition->no_feed) return dbk_changes_off(err);
    port->mutex_lock(port->ctx, engine->turn);
    result = dbk_changes_answer(engine, table, dbk_json_member(request, "from"), out, err);
    port->mutex_unlock(port->ctx, engine->turn);
    return result;
}
