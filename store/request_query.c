/* SQL of clients on readers of their own: a few idle ones are kept. A reader belongs to the model that was
 * current when it was opened; after a switch it is closed instead of kept. */
#include <errno.h>
#include <strings.h>

#include "store/replay.h"
#include "store/request.h"

enum { READERS_USUAL = 4, OPEN_TRIES = 5, BEHIND_LOOKS = 20, BEHIND_NS = 10000000 };
static const dbk_reader_limits client_limits = {.time_ms = DBK_QUERY_MAX_MS,
                                                .answer_bytes = DBK_ANSWER_MAX_BYTES,
                                                .rows = DBK_ANSWER_MAX_ROWS,
                                                .memory_mib = DBK_QUERY_MAX_MIB};

/* ---- the pool */

static void lock(dbk_engine *engine)
{
    engine->port->mutex_lock(engine->port->ctx, engine->readers_lock);
}
static void unlock(dbk_engine *engine)
{
    engine->port->mutex_unlock(engine->port->ctx, engine->readers_lock);
}

static dbk_model_reader *take_idle(dbk_engine *engine, uint64_t *epoch)
{
    dbk_model_reader *reader = NULL;
    lock(engine);
    *epoch = engine->readers_epoch;
    for (size_t i = 0; !reader && i < DBK_MODEL_READERS_MAX; i++) {
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

/* ---- a store that is only read */

/* The file "LOCK", shared, so that nobody writes until it is let go; NULL and DBK_OK: this engine holds it
 * itself, or nobody ever wrote. */
static dbk_result keep_writers_off(dbk_engine *engine, dbk_file **held, dbk_error *err)
{
    const dbk_port *port = engine->port;
    *held = NULL;
    if (engine->lock) return DBK_OK;
    dbk_result result = dbk_io_open(port, engine->dir, "LOCK", DBK_OPEN_READ, held, err);
    if (result != DBK_OK) return result == DBK_MISSING ? DBK_OK : result;
    int rc = port->share_lock(port->ctx, *held);
    if (rc == 0) return DBK_OK;
    port->close_file(port->ctx, *held);
    *held = NULL;
    return rc == -EAGAIN ? dbk_fail(err, DBK_LOCKED, "the model is being written")
                         : dbk_fail_os(err, dbk_result_of_errno(rc), rc, "cannot lock 'LOCK'");
}

/* The model as it stands, where it cannot be written next to it: a mount for reading only, a full disk. What
 * cannot be read so is folded from the log into a file elsewhere. */
static dbk_result borrow_still(dbk_engine *engine, const char *path, dbk_lent_reader *lent, dbk_error *err)
{
    dbk_result result = DBK_MISSING;
    if (path && !engine->options.model.vfs && !engine->port->sqlite_vfs)
        result = keep_writers_off(engine, &lent->held, err);
    if (path && result == DBK_OK)
        result = dbk_reader_open_still(engine->port, path, engine->definition, &lent->reader, err);
    if (result == DBK_OK) return DBK_OK;
    if (lent->held) engine->port->close_file(engine->port->ctx, lent->held);
    lent->held = NULL;
    lent->past = true;
    result = dbk_pasts_enter(engine, NULL, NULL, &lent->reader, NULL, err);
    if (result != DBK_OK) dbk_pasts_leave(engine);
    return result;
}

/* A loss of power takes commits of the model back, not entries of the log: until somebody folds them again, the model
 * does not show what is durable, and what was seen. A writer that is at work commits within a moment. */
static bool stays_behind(dbk_engine *engine, dbk_model_reader *reader, uint64_t wanted)
{
    const dbk_port *port = engine->port;
    for (int i = 0;; i++) {
        uint64_t position = 0;
        if (dbk_reader_position(reader, &position, NULL) != DBK_OK || position >= wanted) return false;
        if (engine->lock || position == atomic_load(&engine->stays_at)) return true;
        if (i == BEHIND_LOOKS) {
            atomic_store(&engine->stays_at, position);
            return true;
        }
        port->mutex_lock(port->ctx, engine->way_lock);
        (void)port->cond_wait(port->ctx, engine->way, engine->way_lock, BEHIND_NS);
        port->mutex_unlock(port->ctx, engine->way_lock);
    }
}

/* Then the log is folded into a file elsewhere; where that fails the model is shown as it stands. */
static void show_what_is_durable(dbk_engine *engine, dbk_lent_reader *lent)
{
    dbk_model_reader *model = lent->reader;
    uint64_t wanted = dbk_log_position(engine->log);
    if (!stays_behind(engine, model, wanted) || atomic_load(&engine->unfolded) == wanted) return;
    if (dbk_pasts_enter(engine, NULL, NULL, &lent->reader, NULL, NULL) != DBK_OK) {
        dbk_pasts_leave(engine);
        lent->reader = model;
        atomic_store(&engine->unfolded, wanted);
        return;
    }
    dbk_reader_close(model);
    if (lent->held) engine->port->close_file(engine->port->ctx, lent->held);
    lent->held = NULL;
    lent->past = true;
}

static bool is_passing(dbk_result result)
{
    return result == DBK_OK || result == DBK_NO_MEMORY || result == DBK_NO_FILES || result == DBK_BUSY;
}

/* It hears of no switch and asks for the pointer each time. */
static dbk_result borrow_reading(dbk_engine *engine, dbk_lent_reader *lent, dbk_error *err)
{
    dbk_buffer path;
    dbk_buffer_init(&path, engine->port);
    dbk_result result = DBK_MISSING;
    for (int i = 0; i < OPEN_TRIES && result == DBK_MISSING && engine->models_dir; i++) {
        result = dbk_models_current(engine, &path, err);
        if (result == DBK_OK)
            result = dbk_reader_open(engine->port, (const char *)path.data, engine->options.model.vfs,
                                     engine->definition, &lent->reader, err);
    }
    if (!is_passing(result)) result = borrow_still(engine, path.size ? dbk_buffer_text(&path) : NULL, lent, err);
    if (result == DBK_OK && !lent->past) show_what_is_durable(engine, lent);
    dbk_buffer_release(&path);
    return result;
}

/* A switch may come between reading the pointer and opening the file: then once more. */
static dbk_result borrow_current(dbk_engine *engine, dbk_lent_reader *lent, dbk_error *err)
{
    dbk_buffer path;
    dbk_result result = DBK_BUSY;
    dbk_buffer_init(&path, engine->port);
    for (int i = 0; i < OPEN_TRIES; i++) {
        result = dbk_models_current(engine, &path, err);
        if (result == DBK_OK)
            result = dbk_reader_open(engine->port, (const char *)path.data, engine->options.model.vfs,
                                     engine->definition, &lent->reader, err);
        if (result == DBK_OK && (result = dbk_reader_show_log(lent->reader, engine->log, err)) != DBK_OK)
            dbk_reader_close(lent->reader);
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

dbk_result dbk_reader_borrow(dbk_engine *engine, dbk_lent_reader *lent, dbk_error *err)
{
    *lent = (dbk_lent_reader){0};
    if (engine->reading) return borrow_reading(engine, lent, err);
    lent->reader = take_idle(engine, &lent->epoch);
    return lent->reader ? DBK_OK : borrow_current(engine, lent, err);
}

void dbk_reader_give_back(dbk_engine *engine, dbk_lent_reader *lent)
{
    dbk_model_reader *reader = lent->reader;
    lent->reader = NULL;
    if (lent->past) {
        dbk_pasts_leave(engine);
        return;
    }
    if (!engine->reading) {
        size_t kept = engine->definition->readers ? engine->definition->readers : READERS_USUAL;
        lock(engine);
        for (size_t i = 0; reader && lent->epoch == engine->readers_epoch && i < kept; i++) {
            if (engine->readers[i]) continue;
            engine->readers[i] = reader;
            reader = NULL;
        }
        unlock(engine);
    }
    dbk_reader_close(reader);
    if (lent->held) engine->port->close_file(engine->port->ctx, lent->held);
    lent->held = NULL;
}

void dbk_engine_drop_readers(dbk_engine *engine)
{
    dbk_model_reader *idle[DBK_MODEL_READERS_MAX];
    if (!engine->readers_lock) return;
    lock(engine);
    engine->readers_epoch++;
    for (size_t i = 0; i < DBK_MODEL_READERS_MAX; i++) {
        idle[i] = engine->readers[i];
        engine->readers[i] = NULL;
    }
    unlock(engine);
    for (size_t i = 0; i < DBK_MODEL_READERS_MAX; i++) dbk_reader_close(idle[i]);
}

/* ---- query */

typedef struct dbk_question {
    const dbk_json_node *args;
    dbk_slice sql, name;
    dbk_reader_limits limits;
} dbk_question;

static dbk_result read_question(const dbk_json_node *request, dbk_question *question, dbk_error *err)
{
    const dbk_json_node *explain = dbk_json_member(request, "explain");
    question->limits = client_limits;
    question->limits.explain = explain && explain->kind == DBK_JSON_TRUE;
    if (explain && explain->kind != DBK_JSON_TRUE && explain->kind != DBK_JSON_FALSE)
        return dbk_fail(err, DBK_BAD_COMMAND, "'explain' must be true or false");
    dbk_result result = dbk_request_text(request, "sql", &question->sql, err);
    if (result == DBK_OK) result = dbk_request_text(request, "name", &question->name, err);
    if (result != DBK_OK) return result;
    bool has_sql = dbk_json_member(request, "sql") != NULL, has_name = dbk_json_member(request, "name") != NULL;
    if (has_sql && !has_name && question->sql.size == 0) {
        dbk_fail(err, DBK_BAD_COMMAND, "'sql' is empty");
        dbk_error_hint(err, "write one SELECT");
        return DBK_BAD_COMMAND;
    }
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
    if (question->name.size > 0)
        return dbk_reader_named(reader, question->name, question->args, &question->limits, out, err);
    return dbk_reader_query(reader, question->sql, question->args, &question->limits, out, err);
}

/* A table that the file does not have, as text of the definition: it outlives the reader. */
static void note_missing(dbk_engine *engine, const dbk_model_reader *reader, dbk_slice *missing)
{
    const char *name = dbk_reader_missing(reader);
    const dbk_definition *definition = engine->definition;
    *missing = (dbk_slice){NULL, 0};
    const dbk_definition *model = *name ? dbk_definition_model_with(definition, dbk_slice_text(name)) : NULL;
    if (!model) model = definition;
    for (size_t i = 0; *name && i < model->table_count; i++)
        if (strcasecmp(model->tables[i].name, name) == 0) *missing = dbk_slice_text(model->tables[i].name);
    for (size_t i = 0; *name && i < model->view_count; i++)
        if (strcasecmp(model->views[i], name) == 0) *missing = dbk_slice_text(model->views[i]);
}

static void tell_of_others(dbk_engine *engine, const dbk_definition *model, dbk_slice missing, dbk_error *err)
{
    const dbk_definition *other = dbk_definition_model_with(engine->definition, missing);
    (void)dbk_fail(err, DBK_BAD_COMMAND, "'%.*s' is of the model '%s', and this query reads '%s'",
                   DBK_SLICE_ARG(missing), other ? other->model : "main", model ? model->model : "main");
    dbk_error_hint(err, "a query reads one model: ask each for its part");
}

static dbk_result ask_past(dbk_engine *engine, const dbk_definition *model, const dbk_moment *at,
                           const dbk_question *question, dbk_slice *missing, dbk_buffer *out, dbk_error *err)
{
    dbk_model_reader *reader;
    dbk_result result = dbk_pasts_enter(engine, model, at, &reader, NULL, err);
    if (result == DBK_OK) {
        result = ask(reader, question, out, err);
        if (result != DBK_OK) note_missing(engine, reader, missing);
    }
    dbk_pasts_leave(engine);
    return result;
}

static dbk_result ask_present(dbk_engine *engine, const dbk_definition *model, const dbk_question *question,
                              dbk_slice *missing, dbk_buffer *out, dbk_error *err)
{
    dbk_lent_reader lent;
    dbk_result result = model ? dbk_async_borrow(engine, model, &lent, err) : dbk_reader_borrow(engine, &lent, err);
    if (result != DBK_OK) return result;
    int64_t begin_ns = engine->port->monotonic_ns(engine->port->ctx);
    result = ask(lent.reader, question, out, err);
    if (result != DBK_OK) note_missing(engine, lent.reader, missing);
    dbk_slow_note(engine, question->sql, question->name, engine->port->monotonic_ns(engine->port->ctx) - begin_ns,
                  result);
    if (lent.async) dbk_async_give_back(&lent, result);
    else dbk_reader_give_back(engine, &lent);
    return result;
}

/* A query reads one model: that which is named, which has the query of that name, or else which has the tables. What
 * the inline model does not have says which. */
dbk_result dbk_request_query(dbk_engine *engine, const dbk_json_node *request, dbk_buffer *out, dbk_error *err)
{
    dbk_question question;
    dbk_moment at;
    dbk_slice missing = {NULL, 0};
    const dbk_definition *model = NULL;
    bool past;
    size_t begin = out->size;
    dbk_result result = read_question(request, &question, err);
    if (result == DBK_OK) result = dbk_request_moment(request, &at, &past, err);
    if (result == DBK_OK) result = dbk_request_model(engine, request, &model, err);
    if (result != DBK_OK) return result;
    bool named = dbk_json_member(request, "model") != NULL;
    if (!named && question.name.size > 0) model = dbk_definition_model_asked(engine->definition, question.name);
    for (bool again = true; again;) {
        missing = (dbk_slice){NULL, 0};
        result = past ? ask_past(engine, model, &at, &question, &missing, out, err)
                      : ask_present(engine, model, &question, &missing, out, err);
        const dbk_definition *other = missing.size ? dbk_definition_model_with(engine->definition, missing) : NULL;
        again = result != DBK_OK && !named && !model && other && question.sql.size > 0;
        if (again) {
            model = other;
            out->size = begin;
        }
    }
    if (result != DBK_OK && missing.size > 0) tell_of_others(engine, model, missing, err);
    return result;
}
