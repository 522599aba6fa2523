/* Async models in an upgrade: those whose rows follow from something else are built beside the ones that answer, and
 * take their place with the definition. What a crash cuts short there, opening ends: a file of another definition is
 * built anew. */
#include "store/upgrade_models.h"
#include "store/async.h"

typedef struct dbk_plan {
    const dbk_definition *model;
    dbk_buffer path; /* of the new file; empty: the one there stays, or the model goes */
    char below[96], file[80];
    dbk_dir *dir;
    dbk_model_folder folder;
    dbk_model_state state;
    dbk_model_stop stop;
    int64_t took_ms;
    bool gone;
} dbk_plan;

struct dbk_upgrade_models {
    dbk_engine *engine;
    const dbk_definition *to;
    dbk_plan plans[2 * DBK_MODELS_MAX];
    size_t count;
};

static bool has_same_source(const dbk_definition *definition, const dbk_source *source)
{
    for (size_t i = 0; i < definition->source_count; i++)
        if (strcmp(definition->sources[i].name, source->name) == 0)
            return dbk_slice_equal(definition->sources[i].text, source->text);
    return false;
}

bool dbk_upgrade_is_same(const dbk_definition *from, const dbk_definition *to)
{
    if (from->source_count != to->source_count) return false;
    for (size_t i = 0; i < to->source_count; i++)
        if (!has_same_source(from, &to->sources[i])) return false;
    return true;
}

/* ---- building */

static dbk_result build(dbk_engine *engine, dbk_plan *plan, dbk_error *err)
{
    const dbk_port *port = engine->port;
    int64_t began_ns = port->monotonic_ns(port->ctx);
    dbk_model *model = NULL;
    dbk_shadow_options options = {.model = engine->options.model, .stop = &plan->stop};
    options.model.budget_bytes = plan->model->budget_bytes;
    dbk_result result =
        dbk_async_folder(engine, plan->model, true, plan->below, plan->file, &plan->dir, &plan->folder, err);
    if (result == DBK_OK) result = dbk_model_folder_next(&plan->folder, &plan->path, err);
    if (result == DBK_OK)
        result = dbk_async_build(engine, (const char *)plan->path.data, plan->model, &options, &model, err);
    if (result == DBK_OK) dbk_model_get_state(model, &plan->state);
    dbk_model_close(model);
    plan->took_ms = (port->monotonic_ns(port->ctx) - began_ns) / 1000000;
    return result == DBK_OK ? DBK_OK : dbk_error_wrap(err, result, "cannot build the model '%s'", plan->model->model);
}

static dbk_plan *add(dbk_upgrade_models *models, const dbk_definition *model, bool gone)
{
    dbk_plan *plan = &models->plans[models->count++];
    *plan = (dbk_plan){.model = model, .gone = gone};
    dbk_buffer_init(&plan->path, models->engine->port);
    return plan;
}

dbk_result dbk_upgrade_models_new(dbk_engine *engine, const dbk_definition *to, dbk_upgrade_models **out,
                                  dbk_error *err)
{
    const dbk_definition *from = engine->definition;
    dbk_upgrade_models *models = dbk_alloc_zero(engine->port, 1, sizeof *models);
    *out = models;
    if (!models) return dbk_fail(err, DBK_NO_MEMORY, "no memory for an upgrade");
    *models = (dbk_upgrade_models){.engine = engine, .to = to};
    dbk_asyncs_let_build(engine, true);
    dbk_result result = DBK_OK;
    for (size_t i = 0; i < to->model_count && result == DBK_OK; i++) {
        const dbk_definition *before = dbk_definition_model(from, dbk_slice_text(to->models[i]->model));
        bool same = before && memcmp(before->hash, to->models[i]->hash, sizeof before->hash) == 0;
        if (!same) result = build(engine, add(models, to->models[i], false), err);
    }
    for (size_t i = 0; i < from->model_count; i++)
        if (!dbk_definition_model(to, dbk_slice_text(from->models[i]->model))) (void)add(models, from->models[i], true);
    return result;
}

/* ---- taking them */

/* The store has the definition. A pointer that cannot be written is one more build. */
dbk_result dbk_upgrade_models_take(dbk_upgrade_models *models, dbk_error *err)
{
    for (size_t i = 0; i < models->count; i++) {
        dbk_plan *plan = &models->plans[i];
        if (plan->path.size == 0) continue;
        if (dbk_model_folder_point(&plan->folder, (const char *)plan->path.data, NULL) == DBK_OK)
            dbk_buffer_clear(&plan->path);
    }
    dbk_engine *engine = models->engine;
    dbk_asyncs *all;
    dbk_result result = dbk_asyncs_make(engine, &all, err);
    if (result != DBK_OK) return result;
    engine->port->mutex_lock(engine->port->ctx, engine->turn);
    bool dead = engine->dead;
    if (!dead) dbk_asyncs_serve(engine, all);
    engine->port->mutex_unlock(engine->port->ctx, engine->turn);
    if (dead) dbk_asyncs_end(all);
    return DBK_OK;
}

void dbk_upgrade_models_free(dbk_upgrade_models *models)
{
    if (!models) return;
    const dbk_port *port = models->engine->port;
    for (size_t i = 0; i < models->count; i++) {
        dbk_plan *plan = &models->plans[i];
        if (plan->path.size > 0) dbk_model_folder_discard(&plan->folder, (const char *)plan->path.data);
        if (plan->dir) port->close_dir(port->ctx, plan->dir);
        dbk_buffer_release(&plan->path);
    }
    if (!models->engine->dead) dbk_asyncs_clean(models->engine);
    dbk_asyncs_let_build(models->engine, false);
    dbk_free(port, models);
}

void dbk_upgrade_models_put(const dbk_upgrade_models *models, bool first, dbk_buffer *out)
{
    for (size_t i = 0; models && i < models->count; i++, first = false) {
        const dbk_plan *plan = &models->plans[i];
        dbk_buffer_put_text(out, first ? "{\"name\":" : ",{\"name\":");
        dbk_json_put_string(out, dbk_slice_text(plan->model->model));
        if (plan->gone) dbk_buffer_put_text(out, ",\"gone\":true");
        else
            dbk_buffer_printf(out, ",\"entries\":%llu,\"took_ms\":%lld", (unsigned long long)plan->state.position,
                              (long long)plan->took_ms);
        if (plan->stop.position > 0) dbk_async_put_stop(out, &plan->stop);
        dbk_buffer_put_u8(out, '}');
    }
}
