/* The inline model: models/<serial>/<file>, which is main.sqlite unless app.json says otherwise, and the pointer
 * models/current (model_folder.h). What the pointer does not name is removed at open; so is a model whose file had
 * another name in the definition before, once the one of today stands. */
#include "store/checkpoint.h"
#include "store/model_folder.h"

static dbk_model_folder folder_with(const dbk_engine *engine, const dbk_definition *definition)
{
    const char *file = definition->file ? definition->file : "main.sqlite";
    return (dbk_model_folder){engine->port, engine->models_dir, engine->path, "models", file, engine->log_dir};
}

static dbk_model_folder folder_of(const dbk_engine *engine)
{
    return folder_with(engine, engine->definition);
}

dbk_result dbk_models_current(dbk_engine *engine, dbk_buffer *path, dbk_error *err)
{
    dbk_model_folder folder = folder_of(engine);
    return dbk_model_folder_found(&folder, path, err);
}

dbk_result dbk_models_next_path(dbk_engine *engine, const dbk_definition *definition, dbk_buffer *path, dbk_error *err)
{
    dbk_model_folder folder = folder_with(engine, definition);
    return dbk_model_folder_next(&folder, path, err);
}

void dbk_models_discard(dbk_engine *engine, const char *path)
{
    dbk_model_folder folder = folder_of(engine);
    dbk_model_folder_discard(&folder, path);
}

dbk_result dbk_models_stage(dbk_engine *engine, const char *path, dbk_error *err)
{
    dbk_model_folder folder = folder_of(engine);
    return dbk_model_folder_stage(&folder, path, err);
}

void dbk_models_unstage(dbk_engine *engine)
{
    dbk_model_folder folder = folder_of(engine);
    dbk_model_folder_unstage(&folder);
}

dbk_result dbk_models_switch(dbk_engine *engine, dbk_model *shadow, bool staged, dbk_error *err)
{
    dbk_model_folder folder = folder_of(engine);
    dbk_result result = staged ? dbk_model_folder_point_staged(&folder, err)
                               : dbk_model_folder_point(&folder, dbk_model_path(shadow), err);
    dbk_model *old = engine->model;
    if (result != DBK_OK && old) (void)!dbk_model_folder_point(&folder, dbk_model_path(old), NULL); /* it goes on */
    if (result != DBK_OK) return result;
    engine->model = shadow;
    if (engine->checkpointer) dbk_checkpoint_watch(engine->checkpointer, shadow);
    dbk_engine_drop_readers(engine);
    if (!old) return DBK_OK;
    char *gone = dbk_copy_text(engine->port, dbk_model_path(old)); /* NULL: the next opening removes it */
    dbk_model_abandon(old);
    if (gone && dbk_model_folder_is_same(gone, dbk_model_path(shadow))) {
        dbk_free(engine->port, gone);
    } else if (gone && engine->keeps_superseded) {
        dbk_free(engine->port, engine->superseded);
        engine->superseded = gone;
    } else if (gone) {
        dbk_model_folder_discard(&folder, gone);
        dbk_free(engine->port, gone);
    }
    return DBK_OK;
}

static dbk_result remove_leftovers(dbk_engine *engine, const char *current, dbk_error *err)
{
    dbk_model_folder folder = folder_of(engine);
    return dbk_model_folder_clean(&folder, current, err);
}

dbk_result dbk_model_belongs(dbk_engine *engine, const dbk_model *model, bool *yes, dbk_error *err)
{
    dbk_model_state state;
    uint8_t head[DBK_LEAF_SIZE];
    dbk_model_get_state(model, &state);
    *yes = false;
    if (state.position > dbk_log_position(engine->log)) return DBK_OK;
    dbk_result result = dbk_log_head_at(engine->log, state.position, head, err);
    if (result == DBK_OK) *yes = memcmp(head, state.head, sizeof head) == 0;
    return result;
}

enum { CHECK_AT_OPEN_MAX = 50000 };

bool dbk_models_checked_at_open(const dbk_engine *engine)
{
    return engine->options.no_threads || dbk_log_position(engine->log) < CHECK_AT_OPEN_MAX;
}

/* models/boot names the boot of the machine in which the model was last at the log's end. In another one
 * the end of its WAL may be gone, which is not synced, and with it states that subscribers saw. Folding
 * what the log has beyond leads through the same states only where it is in canonical order. */
static dbk_result write_boot(dbk_engine *engine, dbk_error *err)
{
    char boot[37] = "";
    if (engine->port->boot_id(engine->port->ctx, boot) != 0) return DBK_OK;
    return dbk_io_replace_file(engine->port, engine->models_dir, "boot", dbk_slice_text(boot), err);
}

static bool is_same_boot(dbk_engine *engine)
{
    const dbk_port *port = engine->port;
    char boot[37] = "";
    dbk_buffer known;
    dbk_buffer_init(&known, port);
    bool named = port->boot_id(port->ctx, boot) == 0;
    dbk_result result = dbk_io_read_file(port, engine->models_dir, "boot", 64, &known, NULL);
    bool same = named && result == DBK_OK && dbk_slice_equal(dbk_buffer_slice(&known), dbk_slice_text(boot));
    dbk_buffer_release(&known);
    return same;
}

/* Its name, or what was cut off it, may come back with a power loss; SQLite would play it over a newer file. */
static bool has_wal(dbk_engine *engine, const char *path)
{
    dbk_model_folder folder = folder_of(engine);
    return dbk_model_folder_has_wal(&folder, path);
}

/* After an unclean end nothing is built on the file before it was looked through. A power loss may bring
 * back older pages of it; those of rows and indexes are found, those of skips and row records cannot be. */
static dbk_result check(dbk_engine *engine, dbk_model *model, bool *usable, dbk_error *err)
{
    if (!*usable || !engine->suspect) return DBK_OK;
    if (!is_same_boot(engine) && dbk_model_holds_judgements(model)) *usable = false;
    if (!*usable || !dbk_models_checked_at_open(engine)) return DBK_OK;
    dbk_result result = dbk_model_check(model, err);
    if (result == DBK_OK) result = dbk_model_check_search(model, err);
    if (result == DBK_CORRUPT) *usable = false;
    return result == DBK_CORRUPT ? DBK_OK : result;
}

static bool heals(dbk_result result)
{
    return result == DBK_MISSING || result == DBK_CORRUPT || result == DBK_FOREIGN || result == DBK_VERSION;
}

static dbk_result catch_up_at_open(dbk_engine *engine, dbk_error *err)
{
    bool same = is_same_boot(engine);
    engine->doubted = !same;
    dbk_result result = dbk_engine_catch_up(engine, err);
    return result == DBK_OK && !same ? write_boot(engine, err) : result;
}

/* The model serves from here on. Damage that shows only now costs it its life like any other. */
static dbk_result begin_serving(dbk_engine *engine, dbk_model *model, const char *path, dbk_error *err)
{
    engine->model = model;
    if (engine->checkpointer) dbk_checkpoint_watch(engine->checkpointer, model);
    dbk_result result = remove_leftovers(engine, path, err);
    if (result == DBK_OK) result = catch_up_at_open(engine, err);
    if (result != DBK_CORRUPT || engine->dead) return result;
    result = dbk_engine_reset_generation(engine, engine->options.progress, engine->options.progress_arg, err);
    if (result == DBK_OK) engine->behind = engine->doubted = false;
    return result;
}

/* Nothing will be done to it before the next append. */
static bool is_current(const dbk_engine *engine, const dbk_model *model)
{
    dbk_model_state state;
    if (!model) return false;
    dbk_model_get_state(model, &state);
    return !engine->suspect && state.position == dbk_log_position(engine->log);
}

dbk_result dbk_models_open(dbk_engine *engine, dbk_error *err)
{
    dbk_buffer path;
    dbk_buffer_init(&path, engine->port);
    dbk_model *model = NULL;
    bool usable = false;
    dbk_model_folder folder = folder_of(engine);
    dbk_result result = dbk_model_folder_clear(&folder, "boot", err);
    if (result == DBK_OK) result = dbk_model_folder_current(&folder, &path, err);
    engine->suspect = !dbk_log_was_clean(engine->log) || (result == DBK_OK && has_wal(engine, (const char *)path.data));
    if (result == DBK_OK)
        result = dbk_model_open(engine->port, (const char *)path.data, engine->definition, engine->log,
                                &engine->options.model, &model, err);
    if (result == DBK_OK) result = dbk_model_belongs(engine, model, &usable, err);
    if (result == DBK_OK) result = check(engine, model, &usable, err);
    if ((result == DBK_OK || heals(result)) && !is_current(engine, usable ? model : NULL)) {
        dbk_result begun = dbk_log_begin(engine->log, err);
        if (begun != DBK_OK) result = begun;
    }
    if (result == DBK_OK && usable) {
        result = begin_serving(engine, model, (const char *)path.data, err);
    } else if (result == DBK_OK || heals(result)) {
        dbk_model_close(model);
        result = dbk_engine_reset_generation(engine, engine->options.progress, engine->options.progress_arg, err);
        if (result == DBK_OK) result = remove_leftovers(engine, dbk_model_path(engine->model), err);
        if (result == DBK_OK) result = write_boot(engine, err); /* synced as a whole, and subscribers begin anew */
    } else {
        dbk_model_close(model);
    }
    dbk_buffer_release(&path);
    return result;
}
