/* A whole turn of the commit loop: made ready, decided, finished; or decided ahead of the log. */
#include "store/decide.h"
#include "store/disk.h"
#include "store/hashes.h"

enum { KEPT_BYTES = 4 << 20 };

/* For want of room it is no failure of the model: it is tried again when there is some. */
static dbk_result follow_log(dbk_engine *engine, dbk_error *err)
{
    dbk_result result = dbk_engine_catch_up(engine, err);
    if (result == DBK_OK) engine->behind = false;
    else if (result != DBK_NO_SPACE) engine->commit_failures++;
    if (result == DBK_OK) return DBK_OK;
    return dbk_error_wrap(err, result == DBK_NO_SPACE ? DBK_NO_SPACE : DBK_UNAVAILABLE, "the model is behind the log");
}

/* A store whose folder was removed under it would go on taking commands into files that nobody finds again. */
static dbk_result is_in_place(const dbk_engine *engine, dbk_error *err)
{
    if (!engine->lock || dbk_lock_check(engine->lock, err) != DBK_POISONED) return DBK_OK;
    dbk_error_hint(err, "close the store, and look at what stands in its place");
    return DBK_POISONED;
}

/* The model up to the log before anything is decided on it (§3.6). */
static dbk_result ready(dbk_engine *engine, dbk_error *err)
{
    if (engine->dead) return dbk_fail(err, DBK_UNAVAILABLE, "the store is closing");
    if (dbk_log_poisoned(engine->log)) {
        dbk_fail(err, DBK_POISONED, "a sync of the log failed earlier");
        dbk_error_hint(err, "close the store and open it again; the same ids are safe to send again");
        return DBK_POISONED;
    }
    if (dbk_engine_is_stranded(engine)) (void)dbk_state_resume(engine);
    dbk_result result = is_in_place(engine, err);
    if (result == DBK_OK) result = dbk_engine_may_write(engine, err);
    if (result != DBK_OK) return result;
    dbk_disk_look(engine);
    if (!engine->behind) return DBK_OK;
    if (engine->commit_failures >= 2) {
        dbk_model_state state;
        dbk_model_get_state(engine->model, &state);
        dbk_fail(err, DBK_UNAVAILABLE, "the model failed at position %llu", (unsigned long long)state.position + 1);
        dbk_error_hint(err, "look at the disk of 'models', then open the store again");
        return DBK_UNAVAILABLE;
    }
    return follow_log(engine, err);
}

/* Not by one assignment: that would clear the ids, of which few were taken. */
static void begin_turn(dbk_turn *turn, dbk_engine *engine, dbk_turn_item *items, size_t count, int64_t now_ms)
{
    dbk_turn_forget_ids(turn);
    turn->before = NULL;
    turn->engine = engine;
    turn->items = items;
    turn->item_count = count;
    turn->now_ms = now_ms;
    dbk_receipt_begin(engine);
    turn->zone_minutes = engine->options.given_ids ? 0 : (int16_t)engine->port->zone_minutes(engine->port->ctx);
    turn->count = turn->entries = turn->culprit_count = 0;
    turn->stopped = false;
    dbk_buffer_clear(&turn->batch);
}

/* What the first entry builds on; after `ready`, which may append. */
static void begin_entries(dbk_turn *turn)
{
    const dbk_turn *before = turn->before;
    turn->base = before ? before->base + before->entries : dbk_log_position(turn->engine->log);
    turn->first_seq = turn->engine->next_seq;
}

/* What a large message took: a daemon that has seen one would hold some twelve times its size for good. */
static void relax(dbk_turn *turn)
{
    dbk_engine *engine = turn->engine;
    dbk_draft *draft = &engine->draft;
    dbk_buffer *buffers[] = {&turn->batch,   &turn->text,    &engine->message,
                             &draft->events, &draft->result, &draft->detail};
    dbk_json_parser_relax(engine->parser);
    for (size_t i = 0; i < sizeof buffers / sizeof *buffers; i++) dbk_buffer_relax(buffers[i], KEPT_BYTES);
    if (engine->hashes) dbk_hashes_relax(engine->hashes, KEPT_BYTES);
}

dbk_result dbk_turn_decide(dbk_engine *engine, dbk_turn_item *items, size_t count, int64_t now_ms, dbk_error *err)
{
    dbk_error error = {0};
    dbk_turn *turn = engine->turn_memory;
    if (!turn) turn = engine->turn_memory = dbk_turn_new(engine->port);
    if (!turn) return dbk_fail(err, DBK_NO_MEMORY, "no memory for a turn");
    begin_turn(turn, engine, items, count, now_ms);
    dbk_result result = ready(engine, &error);
    begin_entries(turn);
    if (result == DBK_OK) result = dbk_turn_decide_all(turn, &error);
    if (turn->stopped) return dbk_fail(err, DBK_UNAVAILABLE, "stopped");
    if (result != DBK_OK) {
        if (engine->model) dbk_model_rollback(engine->model);
        dbk_turn_take_back_clock(engine);
        error.code = result;
        dbk_turn_refuse_all(turn, &error);
        return DBK_OK;
    }
    result = dbk_turn_finish(turn, err);
    relax(turn);
    return result;
}

/* ---- ahead of the log */

dbk_result dbk_turn_begin_ahead(dbk_turn *turn, dbk_engine *engine, dbk_turn *before, int64_t now_ms, dbk_error *err)
{
    begin_turn(turn, engine, NULL, 0, now_ms);
    turn->before = before;
    if (before && engine->behind) return dbk_fail(err, DBK_UNAVAILABLE, "the model has to catch up first");
    dbk_result result = ready(engine, err);
    begin_entries(turn);
    if (result == DBK_OK && !before) result = dbk_model_begin(engine->model, err);
    return result;
}

dbk_result dbk_turn_decide_ahead(dbk_turn *turn, dbk_turn_item *items, size_t count, dbk_error *err)
{
    dbk_model *model = turn->engine->model;
    uint32_t from = (uint32_t)turn->item_count;
    dbk_result result = DBK_OK;
    turn->items = items;
    turn->item_count = count;
    for (uint32_t i = from; i < count && result == DBK_OK; i++) {
        if (!dbk_model_in_transaction(model)) break;
        result = dbk_turn_decide_item(turn, i, err);
    }
    if (turn->stopped) return dbk_fail(err, DBK_UNAVAILABLE, "stopped");
    if (result == DBK_OK && !dbk_model_in_transaction(model))
        result = dbk_fail(err, DBK_INTERNAL, "the transaction is gone");
    return result;
}

void dbk_turn_drop_ahead(dbk_turn *turn)
{
    dbk_model_rollback(turn->engine->model);
    dbk_turn_take_back_clock(turn->engine);
}

/* ---- memory */

dbk_turn *dbk_turn_new(const dbk_port *port)
{
    dbk_turn *turn = dbk_alloc_zero(port, 1, sizeof *turn);
    if (!turn) return NULL;
    dbk_buffer_init(&turn->batch, port);
    dbk_buffer_init(&turn->text, port);
    return turn;
}

void dbk_turn_free(dbk_turn *turn)
{
    if (!turn) return;
    const dbk_port *port = turn->batch.port;
    dbk_buffer_release(&turn->batch);
    dbk_buffer_release(&turn->text);
    dbk_free(port, turn->elements);
    dbk_free(port, turn);
}

void dbk_turn_release(dbk_engine *engine)
{
    dbk_hashes_free(engine->hashes);
    engine->hashes = NULL;
    dbk_turn_free(engine->turn_memory);
    engine->turn_memory = NULL;
}

dbk_result dbk_engine_decide(dbk_engine *engine, const dbk_slice *commands, size_t count, int64_t now_ms,
                             dbk_buffer *receipts, dbk_error *err)
{
    dbk_turn_item *items = dbk_alloc_zero(engine->port, count + 1, sizeof *items);
    if (!items) return dbk_fail(err, DBK_NO_MEMORY, "no memory for a turn");
    for (size_t i = 0; i < count; i++) items[i] = (dbk_turn_item){.json = commands[i], .answer = &receipts[i]};
    dbk_engine_take_turn(engine);
    dbk_result result = dbk_turn_decide(engine, items, count, now_ms, err);
    dbk_engine_end_turn(engine);
    dbk_free(engine->port, items);
    return result;
}
