/* Entries that the engine writes itself: one event, no command id, a turn of their own. */
#include "store/turn.h"
#include "store/waits.h"

static dbk_result encode(dbk_engine *engine, int64_t now_ms, uint32_t epoch, uint64_t hlc, dbk_error *err)
{
    const dbk_draft *draft = &engine->draft;
    dbk_entry entry = {0};
    memcpy(entry.lineage, engine->identity.lineage, 16);
    memcpy(entry.definition, engine->definition->hash, 16);
    entry.id = draft->id;
    entry.epoch = epoch;
    entry.hlc = hlc;
    entry.time_ms = now_ms;
    entry.zone_minutes = engine->options.given_ids ? 0 : (int16_t)engine->port->zone_minutes(engine->port->ctx);
    entry.flags = DBK_ENTRY_ENGINE;
    entry.event_count = draft->event_count;
    entry.events = dbk_buffer_slice(&draft->events);
    dbk_buffer_clear(&engine->batch);
    dbk_entry_encode(&engine->batch, &entry);
    return engine->batch.failed ? dbk_fail(err, DBK_NO_MEMORY, "no memory for an entry") : DBK_OK;
}

static dbk_result decide(dbk_engine *engine, const char *stream, const char *type, dbk_slice data, int64_t now_ms,
                         dbk_error *err)
{
    dbk_draft *draft = &engine->draft;
    uint32_t epoch;
    uint64_t hlc;
    dbk_result result = dbk_clock_next(engine, now_ms, &epoch, &hlc, err);
    if (result != DBK_OK) return result;
    dbk_draft_clear(draft);
    memcpy(draft->id.replica, engine->identity.replica, 16);
    draft->id.incarnation = engine->identity.incarnation;
    draft->id.seq = engine->next_seq;
    draft->position = dbk_log_position(engine->log) + 1;
    draft->time_ms = now_ms;
    result = dbk_model_entry_begin(engine->model, draft, false, err);
    if (result == DBK_OK) result = dbk_model_engine_event(engine->model, draft, stream, type, data, err);
    if (result == DBK_OK) result = dbk_model_entry_end(engine->model, draft, err);
    if (result == DBK_OK) result = encode(engine, now_ms, epoch, hlc, err);
    if (result == DBK_OK) {
        dbk_slice origin = dbk_buffer_slice(&engine->batch);
        result = dbk_engine_append(engine, &origin, 1, now_ms, err);
    }
    if (result != DBK_OK) return result;
    engine->epoch = epoch;
    engine->hlc = hlc;
    engine->next_seq++;
    engine->counts.entries++;
    return DBK_OK;
}

dbk_result dbk_turn_engine_entry(dbk_engine *engine, const char *stream, const char *type, dbk_slice data,
                                 int64_t now_ms, dbk_error *err)
{
    dbk_changes changes = {0};
    uint8_t head[DBK_LEAF_SIZE], top[DBK_ORDER_KEY_SIZE];
    dbk_result result = dbk_model_begin(engine->model, err);
    if (result == DBK_OK) result = decide(engine, stream, type, data, now_ms, err);
    if (result != DBK_OK) {
        dbk_model_rollback(engine->model);
        return result;
    }
    dbk_log_head(engine->log, head);
    dbk_log_top(engine->log, top);
    result = dbk_model_commit(engine->model, dbk_log_position(engine->log), head, top, &changes, err);
    if (result != DBK_OK) {
        dbk_model_rollback(engine->model);
        engine->behind = true; /* durable; projected before the next command */
        return DBK_OK;
    }
    dbk_engine_publish(engine, &changes);
    return DBK_OK;
}
