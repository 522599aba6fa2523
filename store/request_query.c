/* SQL of clients on readers of their own: a few idle ones are kept. A reader belongs to the model that was
 * current when it was opened; after a switch it is closed instead of kept. */
#include "store/replay.h"
#include "store/request.h"

enum { READERS_MAX = 4, OPEN_TRIES = 5 };
static const dbk_reader_limits client_limits = {.time_ms = DBK_QUERY_MAX_MS, .answer_bytes = DBK_ANSWER_MAX_BYTES, .rows = DBK_ANSWER_MAX_ROWS};

/* ---- the pool */

static void lock(dbk_engine *engine) { engine->port->mutex_lock(engine->port->ctx, engine->readers_lock); }
static void unlock(dbk_engine *engine) { engine->port->mutex_unlock(engine->port->ctx, engine->readers_lock); }

static dbk_model_reader *take_idle(dbk_engine *engine, uint64_t *epoch)
{
    dbk_model_reader *reader = NULL;
    lock(engine);
    *epoch = engine->readers_epoch;
    for (size_t i = 0; !reader && i < READERS_MAX; i++) {
        reader = engine->readers[i];
        engine->readers[i] = NULL;
    }
    unlock(engine);
    return reader;
}

static bool is_current(dbk_engine *engine, uint64_t epoch)
{
    lock(engine);
    bool same = engine->readers_epoch == epoch;
    unlock(engine);
    return same;
}

/* A switch may come between reading the pointer and opening the file: then once more. A store that is
 * only read hears of no switch and asks for the pointer each time. */
dbk_result dbk_reader_borrow(dbk_engine *engine, dbk_lent_reader *lent, dbk_error *err)
{
    dbk_buffer path;
    dbk_result result = DBK_BUSY;
    *lent = (dbk_lent_reader){0};
    lent->reader = take_idle(engine, &lent->epoch);
    if (lent->reader) return DBK_OK;
    dbk_buffer_init(&path, engine->port);
    for (int i = 0; i < OPEN_TRIES; i++) {
        result = dbk_models_current(engine->port, engine->models_dir, engine->path, &path, err);
        if (result == DBK_OK)
            result = dbk_reader_open(engine->port, (const char *)path.data, engine->options.model.vfs, engine->definition,
                                     &lent->reader, err);
        if (result == DBK_NO_MEMORY || result == DBK_NO_FILES) break;
        if (result == DBK_OK && is_current(engine, lent->epoch)) break;
        if (result == DBK_OK) dbk_reader_close(lent->reader);
        lock(engine);
        lent->epoch = engine->readers_epoch;
        unlock(engine);
        if (result == DBK_OK) result = dbk_fail(err, DBK_BUSY, "the model was switched again and again");
    }
    dbk_buffer_release(&path);
    return result;
}

void dbk_reader_give_back(dbk_engine *engine, dbk_lent_reader *lent)
{
    dbk_model_reader *reader = lent->reader;
    lent->reader = NULL;
    if (!engine->options.read_only) {
        lock(engine);
        for (size_t i = 0; reader && lent->epoch == engine->readers_epoch && i < READERS_MAX; i++) {
            if (engine->readers[i]) continue;
            engine->readers[i] = reader;
            reader = NULL;
        }
        unlock(engine);
    }
    dbk_reader_close(reader);
}

void dbk_engine_drop_readers(dbk_engine *engine)
{
    dbk_model_reader *idle[READERS_MAX];
    if (!engine->readers_lock) return;
    lock(engine);
    engine->readers_epoch++;
    for (size_t i = 0; i < READERS_MAX; i++) {
        idle[i] = engine->readers[i];
        engine->readers[i] = NULL;
    }
    unlock(engine);
    for (size_t i = 0; i < READERS_MAX; i++) dbk_reader_close(idle[i]);
}

/* ---- query */

typedef struct dbk_question {
    const dbk_json_node *args;
    dbk_slice sql, name;
} dbk_question;

static dbk_result read_question(const dbk_json_node *request, dbk_question *question, dbk_error *err)
{
    dbk_result result = dbk_request_text(request, "sql", &question->sql, err);
    if (result == DBK_OK) result = dbk_request_text(request, "name", &question->name, err);
    if (result != DBK_OK) return result;
    if ((question->sql.size > 0) == (question->name.size > 0))
        return dbk_fail(err, DBK_BAD_COMMAND, "'query' needs either 'sql' or the 'name' of a query of the app");
    question->args = dbk_json_member(request, "args");
    if (question->args && question->args->kind == DBK_JSON_NULL) question->args = NULL;
    if (question->args && question->args->kind != DBK_JSON_OBJECT && question->args->kind != DBK_JSON_ARRAY)
        return dbk_fail(err, DBK_BAD_COMMAND, "'args' must be an object or an array");
    return DBK_OK;
}

static dbk_result ask(dbk_model_reader *reader, const dbk_question *question, dbk_buffer *out, dbk_error *err)
{
    dbk_buffer_put_u8(out, ',');
    if (question->name.size > 0) return dbk_reader_named(reader, question->name, question->args, &client_limits, out, err);
    return dbk_reader_query(reader, question->sql, question->args, &client_limits, out, err);
}

static dbk_result ask_past(dbk_engine *engine, const dbk_moment *at, const dbk_question *question, dbk_buffer *out, dbk_error *err)
{
    dbk_model_reader *reader;
    dbk_result result = dbk_pasts_enter(engine, at, &reader, NULL, err);
    if (result == DBK_OK) result = ask(reader, question, out, err);
    dbk_pasts_leave(engine);
    return result;
}

dbk_result dbk_request_query(dbk_engine *engine, const dbk_json_node *request, dbk_buffer *out, dbk_error *err)
{
    dbk_question question;
    dbk_lent_reader lent;
    dbk_moment at;
    bool past;
    dbk_result result = read_question(request, &question, err);
    if (result == DBK_OK) result = dbk_request_moment(request, &at, &past, err);
    if (result != DBK_OK) return result;
    if (past) return ask_past(engine, &at, &question, out, err);
    result = dbk_reader_borrow(engine, &lent, err);
    if (result != DBK_OK) return result;
    result = ask(lent.reader, &question, out, err);
    dbk_reader_give_back(engine, &lent);
    return result;
}
