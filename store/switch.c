/* From a model to the next: catching up by append or row-local application, or by a shadow and a switch
 * (semantics.md §4, K8).
 *   1. the shadow is built in a folder of its own; nobody sees it
 *   2. it takes over the journal and one step forward, or begins anew; then it is made durable
 *   3. a new generation is written to daybook.json before the pointer moves: a crash in between costs a
 *      reset too many, never one too few
 *   4. models/current names it; the old one is closed and removed
 * A failure before 4 discards the shadow and leaves the model as it was.
 *
 * Where the shadow begins anew all syncs are made outside the turn (dbk_engine_ready, dbk_engine_settle): 2 and 3
 * before it, on the shadow as it is then, and the pointer as a file that only has to be renamed. What the turn adds to
 * the shadow is in its WAL, as with any commit: a power loss takes it away, and opening folds it from the log again.
 * One that takes the rename back leaves the model of before, whose folder goes when the rename is durable. */
#include "store/switch.h"

#include "store/checkpoint.h"
#include "store/disk.h"
#include "store/identity.h"
#include "store/images.h"
#include "store/late_base.h"

/* A backlog over the first is folded in transactions of the second. */
enum { ONE_STEP_MAX = 20000, STEP_ENTRIES = 10000 };
/* A shadow so near the log's end takes the rest within the turn. */
enum { NEAR_ENTRIES = 16, APPROACHES_MAX = 8, BUILDS_MAX = 3 };

bool dbk_engine_stops_at(dbk_engine *engine, const char *point)
{
    if (!engine->options.hook ||
        engine->options.hook(engine->options.hook_arg, engine, point, (dbk_slice){NULL, 0}) == 0)
        return false;
    engine->dead = true;
    return true;
}

static void on_changed(void *arg, const dbk_changes *changes)
{
    dbk_engine *engine = arg;
    if (engine->dead || dbk_engine_stops_at(engine, "committed")) return;
    dbk_engine_publish(engine, changes);
}

static void on_progress(void *arg, uint64_t done, uint64_t all)
{
    const dbk_engine *engine = arg;
    if (engine->options.progress) engine->options.progress(engine->options.progress_arg, done, all);
}

/* ---- the shadow */

typedef struct dbk_switch {
    dbk_engine *engine;
    dbk_buffer path;
    dbk_model *shadow;
    dbk_progress_fn progress;
    void *progress_arg;
    bool ready, adopted;
} dbk_switch;

/* A model that is to begin anew is folded from the log alone: what is doubted may be in an image too. */
static dbk_result build(dbk_switch *s, bool from_image, dbk_error *err)
{
    dbk_engine *engine = s->engine;
    dbk_shadow_options options = {
        .model = engine->options.model, .progress = s->progress, .progress_arg = s->progress_arg};
    dbk_past all = {.position = dbk_log_position(engine->log)};
    uint64_t begun = 0;
    dbk_result result = dbk_models_next_path(engine, engine->definition, &s->path, err);
    if (result == DBK_OK && from_image)
        result = dbk_images_start(engine, &all, (const char *)s->path.data, &begun, err);
    if (result != DBK_OK) return result;
    options.image = begun > 0;
    return dbk_model_build(engine->port, (const char *)s->path.data, engine->definition, engine->log, &options,
                           &s->shadow, err);
}

static void give_up(dbk_switch *s)
{
    dbk_model_close(s->shadow);
    s->shadow = NULL;
    if (s->path.size > 0) dbk_models_discard(s->engine, (const char *)s->path.data);
    dbk_buffer_clear(&s->path);
}

/* With what comes in it already, or with the rest of the log to fold. */
static dbk_result go_on_from(dbk_switch *s, dbk_ahead *ahead, bool *fits, dbk_error *err)
{
    bool again = false;
    if (ahead) return dbk_ahead_land(ahead, fits, err);
    dbk_result result = dbk_model_catch_up(s->shadow, STEP_ENTRIES, NULL, s->progress, s->progress_arg, &again, err);
    *fits = !again;
    return result;
}

/* The shadow that was begun beside the turns. It must be one that sorts above all it has; a failure costs another one,
 * from the beginning. */
static dbk_result build_on_base(dbk_switch *s, dbk_error *err)
{
    dbk_engine *engine = s->engine;
    dbk_base *base = engine->base;
    bool fits = false;
    if (!base || !base->model) return build(s, true, err);
    dbk_ahead *ahead = base->ahead;
    if (ahead) engine->counts.tail = dbk_log_position(engine->log) - dbk_ahead_position(ahead);
    s->shadow = base->model;
    base->model = NULL;
    base->ahead = NULL;
    dbk_buffer_release(&s->path);
    s->path = base->path;
    dbk_buffer_init(&base->path, engine->port);
    dbk_result result = go_on_from(s, ahead, &fits, err);
    dbk_ahead_free(ahead);
    if (result == DBK_OK && fits) {
        engine->counts.bases++;
        engine->counts.aheads += ahead != NULL;
        s->ready = base->staged;
        return DBK_OK;
    }
    give_up(s);
    return build(s, true, err);
}

/* Unless it is there already. */
static dbk_result write_generation(dbk_engine *engine, const dbk_identity_file *identity, dbk_error *err)
{
    const dbk_port *port = engine->port;
    dbk_result result = DBK_OK;
    port->mutex_lock(port->ctx, engine->identity_lock);
    if (identity->generation > engine->generation_written)
        result = dbk_identity_write(port, engine->dir, identity, err);
    if (result == DBK_OK && identity->generation > engine->generation_written)
        engine->generation_written = identity->generation;
    port->mutex_unlock(port->ctx, engine->identity_lock);
    return result;
}

static dbk_result next_generation(dbk_engine *engine, dbk_error *err)
{
    dbk_identity_file identity = engine->identity;
    identity.generation++;
    dbk_result result = write_generation(engine, &identity, err);
    if (result == DBK_OK) engine->identity = identity;
    return result;
}

dbk_result dbk_engine_begin_anew(dbk_model *shadow, dbk_error *err)
{
    dbk_changes changes;
    dbk_result result = dbk_model_take_over(shadow, NULL, true, &changes, err);
    return result == DBK_OK ? dbk_model_finish(shadow, false, err) : result;
}

dbk_result dbk_engine_ready(dbk_engine *engine, const dbk_model *shadow, dbk_error *err)
{
    const dbk_port *port = engine->port;
    port->mutex_lock(port->ctx, engine->turn);
    dbk_identity_file identity = engine->identity;
    bool dead = engine->dead;
    port->mutex_unlock(port->ctx, engine->turn);
    if (dead) return dbk_fail(err, DBK_UNAVAILABLE, "the store is closing");
    identity.generation++;
    dbk_result result = write_generation(engine, &identity, err);
    return result == DBK_OK ? dbk_models_stage(engine, dbk_model_path(shadow), err) : result;
}

dbk_result dbk_engine_settle(dbk_engine *engine, bool adopted, dbk_error *err)
{
    const dbk_port *port = engine->port;
    port->mutex_lock(port->ctx, engine->turn);
    char *gone = engine->superseded;
    engine->superseded = NULL;
    bool dead = engine->dead;
    port->mutex_unlock(port->ctx, engine->turn);
    dbk_result result = adopted && !dead ? dbk_io_sync_dir(port, engine->models_dir, "models", err) : DBK_OK;
    if (gone && result == DBK_OK && !dead) dbk_models_discard(engine, gone);
    if (!adopted && !dead) dbk_models_unstage(engine);
    dbk_free(port, gone);
    return result;
}

/* The turn is held. */
static dbk_result adopt(dbk_switch *s, bool reset, dbk_error *err)
{
    dbk_engine *engine = s->engine;
    dbk_changes changes = {0};
    dbk_result result = dbk_model_take_over(s->shadow, reset ? NULL : engine->model, reset, &changes, err);
    if (result == DBK_OK && !s->ready) result = dbk_model_finish(s->shadow, false, err);
    if (result == DBK_OK && reset) result = next_generation(engine, err);
    if (result == DBK_OK) result = dbk_models_switch(engine, s->shadow, s->ready, err);
    if (result != DBK_OK) return result;
    if (engine->base) engine->base->staged = false;
    s->adopted = true;
    engine->behind = false;
    engine->commit_failures = 0;
    engine->counts.rebuilds++;
    if (dbk_engine_stops_at(engine, "committed")) return dbk_fail(err, DBK_UNAVAILABLE, "stopped");
    dbk_engine_publish(engine, &changes);
    if (reset) dbk_engine_publish_head(engine);
    return DBK_OK;
}

static void switch_init(dbk_switch *s, dbk_engine *engine, dbk_progress_fn progress, void *arg)
{
    *s = (dbk_switch){.engine = engine, .progress = progress, .progress_arg = arg};
    dbk_buffer_init(&s->path, engine->port);
}

static void switch_release(dbk_switch *s)
{
    if (!s->adopted) give_up(s);
    dbk_buffer_release(&s->path);
}

static dbk_result switch_to_shadow(dbk_engine *engine, bool reset, dbk_progress_fn progress, void *arg, dbk_error *err)
{
    dbk_switch s;
    switch_init(&s, engine, progress, arg);
    dbk_result result = reset ? build(&s, false, err) : build_on_base(&s, err);
    if (result == DBK_OK) result = adopt(&s, reset, err);
    switch_release(&s);
    return result;
}

dbk_result dbk_engine_adopt(dbk_engine *engine, dbk_model *shadow, bool *adopted, dbk_error *err)
{
    dbk_switch s = {.engine = engine, .shadow = shadow, .ready = true};
    dbk_result result = adopt(&s, true, err);
    *adopted = s.adopted;
    return result;
}

dbk_result dbk_engine_reset_generation(dbk_engine *engine, dbk_progress_fn progress, void *arg, dbk_error *err)
{
    return switch_to_shadow(engine, true, progress, arg, err);
}

/* A shadow's one step forward says what differs from the model it replaces. That model may be older than
 * what subscribers saw (models.c), so that they begin anew. */
static dbk_result catch_up(dbk_engine *engine, bool *asks, dbk_error *err)
{
    bool doubted = engine->doubted;
    dbk_model_state state;
    bool shadow = false;
    dbk_model_get_state(engine->model, &state);
    uint64_t end = dbk_log_position(engine->log);
    uint32_t step = end > state.position && end - state.position > ONE_STEP_MAX ? STEP_ENTRIES : 0;
    if (doubted) dbk_model_doubt(engine->model);
    dbk_result result = DBK_OK;
    if (engine->base && engine->base->ahead && !doubted) shadow = true; /* it was asked before, and answered */
    else result = dbk_model_catch_up(engine->model, step, on_changed, on_progress, engine, &shadow, err);
    if (asks) *asks = shadow;
    if (result == DBK_OK && shadow && asks) return DBK_OK;
    if (result == DBK_OK && shadow)
        result = switch_to_shadow(engine, doubted, engine->options.progress, engine->options.progress_arg, err);
    if (engine->dead) return dbk_fail(err, DBK_UNAVAILABLE, "stopped");
    if (result != DBK_OK) return result;
    engine->behind = engine->doubted = false;
    engine->commit_failures = 0;
    dbk_checkpoint_after_commit(engine->checkpointer, engine->model);
    return DBK_OK;
}

dbk_result dbk_engine_catch_up(dbk_engine *engine, dbk_error *err)
{
    return catch_up(engine, NULL, err);
}

dbk_result dbk_engine_try_catch_up(dbk_engine *engine, bool *shadow, dbk_error *err)
{
    return catch_up(engine, shadow, err);
}

/* ---- rebuild */

dbk_result dbk_engine_approach(dbk_engine *engine, dbk_model *shadow, dbk_error *err)
{
    dbk_result result = DBK_OK;
    bool again = false;
    for (int i = 0; result == DBK_OK && !again && i < APPROACHES_MAX; i++) {
        dbk_model_state state;
        dbk_model_get_state(shadow, &state);
        if (dbk_log_position(engine->log) - state.position <= NEAR_ENTRIES) break;
        result = dbk_model_catch_up(shadow, 0, NULL, NULL, NULL, &again, err);
    }
    return result;
}

/* Late entries came meanwhile: they take another shadow. The last one is built in the turn, where nothing can come
 * between. */
static dbk_result begin_again(dbk_switch *s, dbk_error *err)
{
    give_up(s);
    dbk_result result = build(s, false, err);
    if (result == DBK_OK) result = dbk_engine_begin_anew(s->shadow, err);
    return result == DBK_OK ? dbk_models_stage(s->engine, dbk_model_path(s->shadow), err) : result;
}

/* The long part beside the commands, with all syncs; the switch in a turn of its own. */
static dbk_result rebuild_once(dbk_switch *s, bool last, bool *again, dbk_error *err)
{
    dbk_engine *engine = s->engine;
    const dbk_port *port = engine->port;
    dbk_result result = build(s, false, err);
    s->ready = true;
    if (result == DBK_OK) result = dbk_engine_begin_anew(s->shadow, err);
    if (result == DBK_OK) result = dbk_engine_ready(engine, s->shadow, err);
    if (result == DBK_OK) result = dbk_engine_approach(engine, s->shadow, err);
    port->mutex_lock(port->ctx, engine->turn);
    if (result == DBK_OK && engine->dead) result = dbk_fail(err, DBK_UNAVAILABLE, "the store is closing");
    if (result == DBK_OK) result = dbk_model_catch_up(s->shadow, 0, NULL, NULL, NULL, again, err);
    if (result == DBK_OK && *again && last) {
        result = begin_again(s, err);
        *again = false;
    }
    engine->keeps_superseded = true;
    if (result == DBK_OK && !*again) result = adopt(s, true, err);
    engine->keeps_superseded = false;
    port->mutex_unlock(port->ctx, engine->turn);
    dbk_result settled = dbk_engine_settle(engine, s->adopted, result == DBK_OK ? err : NULL);
    return result == DBK_OK ? settled : result;
}

dbk_result dbk_engine_rebuild(dbk_engine *engine, dbk_progress_fn progress, void *arg, dbk_error *err)
{
    const dbk_port *port = engine->port;
    bool again = true;
    dbk_result result = dbk_engine_may_write(engine, err);
    if (result != DBK_OK) return result;
    port->mutex_lock(port->ctx, engine->switch_lock);
    for (int i = 1; result == DBK_OK && again; i++) {
        dbk_switch s;
        switch_init(&s, engine, progress, arg);
        again = false;
        result = rebuild_once(&s, i == BUILDS_MAX, &again, err);
        switch_release(&s);
    }
    port->mutex_unlock(port->ctx, engine->switch_lock);
    return result;
}
