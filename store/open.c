/* Opening and closing a store: lock, identity, definition, log, model, threads; in that order, undone in
 * the reverse one. Whatever stands in the way is refused before anything is written. */
#include <stdio.h>

#include "store/definitions.h"
#include "store/disk.h"
#include "store/identity.h"
#include "store/mirror.h"
#include "store/queue.h"
#include "store/replay.h"
#include "store/turn.h"
#include "store/waits.h"

static dbk_result open_folder(dbk_engine *engine, dbk_error *err)
{
    const dbk_port *port = engine->port;
    dbk_result result = dbk_io_open_dir(port, NULL, engine->path, 0, &engine->dir, err);
    if (result == DBK_MISSING) {
        dbk_error_hint(err, "make one with 'daybook init %s --app FOLDER'", engine->path);
        return result;
    }
    if (result != DBK_OK) return result;
    if (!engine->options.read_only)
        result = dbk_location_check(port, engine->dir, engine->options.force_fs, engine->options.force_location, err);
    if (result != DBK_OK) return result;
    result = dbk_identity_read(port, engine->dir, &engine->identity, err);
    if (result == DBK_MISSING) {
        dbk_fail(err, DBK_MISSING, "'%s' is no store: it has no 'daybook.json'", engine->path);
        dbk_error_hint(err, "name a folder that 'daybook init' made");
        return DBK_MISSING;
    }
    return result;
}

dbk_result dbk_engine_load_definition(dbk_engine *engine, dbk_error *err)
{
    if (engine->options.definition) {
        engine->definition = engine->options.definition;
        return DBK_OK;
    }
    dbk_buffer path, text;
    dbk_buffer_init(&path, engine->port);
    dbk_buffer_init(&text, engine->port);
    dbk_buffer_printf(&path, "%s/app", engine->path);
    dbk_findings findings = {0};
    dbk_result result = dbk_buffer_text(&path) ? dbk_definition_load(engine->port, (const char *)path.data,
                                                                     &engine->own_definition, &findings, err)
                                               : dbk_fail(err, DBK_NO_MEMORY, "no memory for a path");
    if (result == DBK_SCHEMA) {
        dbk_findings_print(&findings, &text);
        result = dbk_fail(err, DBK_CORRUPT, "the definition in 'app' does not pass the check:\n%.*s",
                          DBK_SLICE_ARG(dbk_buffer_slice(&text)));
    }
    if (result == DBK_MISSING || result == DBK_CORRUPT)
        dbk_error_hint(err, "nothing was changed; put the definition's files back in '%s'", (const char *)path.data);
    dbk_findings_free(&findings);
    engine->definition = engine->own_definition;
    dbk_buffer_release(&path);
    dbk_buffer_release(&text);
    return result;
}

static dbk_result make_parts(dbk_engine *engine, dbk_error *err)
{
    const dbk_port *port = engine->port;
    dbk_draft_init(&engine->draft, port);
    dbk_buffer_init(&engine->batch, port);
    dbk_buffer_init(&engine->retired, port);
    dbk_buffer_init(&engine->message, port);
    dbk_buffer_init(&engine->cursor_begin, port);
    dbk_buffer_init(&engine->entry_begin, port);
    dbk_buffer_init(&engine->parked.bytes, port);
    engine->turn = port->mutex_new(port->ctx);
    engine->import_lock = port->mutex_new(port->ctx);
    engine->switch_lock = port->mutex_new(port->ctx);
    engine->identity_lock = port->mutex_new(port->ctx);
    engine->way_lock = port->mutex_new(port->ctx);
    engine->way = port->cond_new(port->ctx);
    engine->readers_lock = port->mutex_new(port->ctx);
    engine->pasts_lock = port->mutex_new(port->ctx);
    engine->parser = dbk_json_parser_new(port);
    if (!engine->turn || !engine->import_lock || !engine->switch_lock || !engine->identity_lock || !engine->way_lock ||
        !engine->way || !engine->readers_lock || !engine->pasts_lock || !engine->parser)
        return dbk_fail(err, DBK_NO_MEMORY, "no memory for a store");
    return DBK_OK;
}

static dbk_result start_scrub(dbk_engine *engine, dbk_error *err)
{
    dbk_scrub_options options = {.bytes_per_second = engine->options.scrub_bytes_per_second};
    if (options.bytes_per_second == 0 || engine->options.read_only || engine->options.no_threads) return DBK_OK;
    return dbk_scrub_start(engine->log, &options, &engine->scrub, err);
}

/* For what was found damaged, swapped or newer and has no hint of its own. */
static void hint_at(dbk_result result, dbk_error *err)
{
    if (!err || err->hint[0]) return;
    if (result == DBK_VERSION) dbk_error_hint(err, "open it with a newer Daybook");
    if (result == DBK_FOREIGN)
        dbk_error_hint(
            err, "nothing was changed; 'daybook verify' names each foreign file: put the store's own back, or its "
                 "'daybook.json' if all the others are foreign to it");
    if (result == DBK_CORRUPT || result == DBK_LOST || result == DBK_GAP || result == DBK_DUPLICATE)
        dbk_error_hint(err, "nothing was changed; 'daybook verify' lists the damage: restore a copy, or save what is "
                            "good with 'daybook salvage'");
}

static dbk_result open_parts(dbk_engine *engine, dbk_error *err)
{
    dbk_result result = make_parts(engine, err);
    if (result == DBK_OK) result = open_folder(engine, err);
    if (result == DBK_OK && !engine->options.read_only)
        result = dbk_lock_take(engine->port, engine->dir, "LOCK", &engine->lock, err);
    if (result == DBK_OK) result = dbk_app_mend(engine, err);
    if (result == DBK_OK) result = dbk_engine_load_definition(engine, err);
    if (result == DBK_OK) result = dbk_state_open(engine, err);
    if (result == DBK_OK) result = dbk_queue_new(engine, &engine->queue, err);
    if (result == DBK_OK) result = start_scrub(engine, err);
    return result;
}

static void name_it(dbk_engine *engine)
{
    dbk_uuid_text(engine->identity.store_id, engine->id_text);
    if (engine->identity.incarnation == 1) snprintf(engine->own_name, sizeof engine->own_name, "%s", engine->id_text);
    else snprintf(engine->own_name, sizeof engine->own_name, "%s.%u", engine->id_text, engine->identity.incarnation);
}

dbk_result dbk_engine_open(const char *path, const dbk_engine_options *options, dbk_engine **out, dbk_error *err)
{
    static const dbk_engine_options none = {0};
    options = options ? options : &none;
    const dbk_port *port = options->port ? options->port : dbk_port_system();
    dbk_engine *engine = dbk_alloc_zero(port, 1, sizeof *engine);
    if (!engine)
        return dbk_error_wrap(err, dbk_fail(err, DBK_NO_MEMORY, "no memory for a store"), "cannot open store '%s'",
                              path);
    engine->port = port;
    engine->options = *options;
    engine->publish = options->publish;
    engine->publish_arg = options->publish_arg;
    engine->path = dbk_copy_text(port, path);
    engine->opened_ms = port->wall_ms(port->ctx);
    dbk_result result = engine->path ? open_parts(engine, err) : dbk_fail(err, DBK_NO_MEMORY, "no memory for a path");
    if (result != DBK_OK) {
        dbk_disk_hint(engine, err);
        hint_at(result, err);
        dbk_engine_close(engine);
        return dbk_error_wrap(err, result, "cannot open store '%s'", path);
    }
    engine->options.progress = NULL; /* its argument may live no longer than this call */
    name_it(engine);
    result = dbk_mirrors_start(engine, err);
    if (result != DBK_OK) {
        dbk_engine_close(engine);
        return dbk_error_wrap(err, result, "cannot open store '%s'", path);
    }
    *out = engine;
    return DBK_OK;
}

void dbk_engine_close(dbk_engine *engine)
{
    if (!engine) return;
    const dbk_port *port = engine->port;
    dbk_mirrors_stop(engine);
    dbk_queue_free(engine->queue);
    dbk_scrub_stop(engine->scrub);
    while (engine->listeners) dbk_engine_unsubscribe(engine, engine->listeners);
    dbk_engine_drop_readers(engine);
    dbk_pasts_free(engine);
    dbk_state_close(engine);
    dbk_waits_free(engine->waits); /* which an append tells */
    dbk_definition_free(engine->own_definition);
    for (size_t i = 0; i < engine->retired.size / sizeof(dbk_definition *); i++)
        dbk_definition_free(((dbk_definition **)(void *)engine->retired.data)[i]);
    dbk_buffer_release(&engine->retired);
    dbk_lock_release(engine->lock);
    if (engine->dir) port->close_dir(port->ctx, engine->dir);
    dbk_turn_release(engine);
    dbk_host_commands_free(engine);
    dbk_json_parser_free(engine->parser);
    dbk_draft_release(&engine->draft);
    dbk_buffer_release(&engine->batch);
    dbk_buffer_release(&engine->message);
    dbk_buffer_release(&engine->cursor_begin);
    dbk_buffer_release(&engine->entry_begin);
    dbk_buffer_release(&engine->parked.bytes);
    if (engine->turn) port->mutex_free(port->ctx, engine->turn);
    if (engine->import_lock) port->mutex_free(port->ctx, engine->import_lock);
    if (engine->switch_lock) port->mutex_free(port->ctx, engine->switch_lock);
    if (engine->identity_lock) port->mutex_free(port->ctx, engine->identity_lock);
    if (engine->way_lock) port->mutex_free(port->ctx, engine->way_lock);
    if (engine->way) port->cond_free(port->ctx, engine->way);
    if (engine->readers_lock) port->mutex_free(port->ctx, engine->readers_lock);
    if (engine->pasts_lock) port->mutex_free(port->ctx, engine->pasts_lock);
    dbk_free(port, engine->superseded); /* of one that died in a switch */
    dbk_free(port, engine->path);
    dbk_free(port, engine);
}

const dbk_definition *dbk_engine_definition(const dbk_engine *engine)
{
    return engine->definition;
}
dbk_log *dbk_engine_log(dbk_engine *engine)
{
    return engine->log;
}
dbk_model *dbk_engine_model(dbk_engine *engine)
{
    return engine->model;
}
const char *dbk_engine_id(const dbk_engine *engine)
{
    return engine->id_text;
}
const char *dbk_engine_own_name(const dbk_engine *engine)
{
    return engine->own_name;
}

void dbk_engine_cursor(dbk_engine *engine, const char **timeline, uint64_t *generation, uint64_t *position)
{
    *timeline = engine->identity.timeline;
    *generation = engine->identity.generation;
    *position = dbk_log_position(engine->log);
}
