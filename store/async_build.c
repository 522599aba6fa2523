/* The shadow of an async model. It may stop at an entry in canonical order while others of a higher position are folded
 * already: then those below that entry's position are folded anew, which may stop at a lower one, until they hold. */
#include "store/async.h"
#include "store/replay.h"

dbk_result dbk_async_fold(dbk_engine *engine, const char *path, const dbk_definition *model,
                          const dbk_shadow_options *options, dbk_model **out, dbk_error *err)
{
    dbk_shadow_options own = *options;
    dbk_result result;
    *out = NULL;
    for (;;) {
        dbk_model_stop before = *options->stop;
        *options->stop = (dbk_model_stop){0};
        result = dbk_model_build(engine->port, path, model, engine->log, &own, out, err);
        if (options->stop->position == 0) *options->stop = before;
        else if (result != DBK_OK) own.last = options->stop->position - 1;
        if (result == DBK_OK || options->stop->position == before.position) return result;
        dbk_past_remove_file(engine->port, path);
        if (own.last == 0) break;
    }
    own.model.bulk = true; /* before the first entry: to the builder 0 would mean all */
    return dbk_model_create(engine->port, path, model, engine->log, &own.model, out, err);
}

dbk_result dbk_async_build(dbk_engine *engine, const char *path, const dbk_definition *model,
                           const dbk_shadow_options *options, dbk_model **out, dbk_error *err)
{
    *out = NULL;
    dbk_result result = dbk_async_fold(engine, path, model, options, out, err);
    if (result == DBK_OK) result = dbk_model_finish(*out, false, err);
    if (result == DBK_OK) return DBK_OK;
    dbk_model_close(*out);
    *out = NULL;
    return result;
}
