/* Opening and closing a store: lock, identity, definition, log, model, threads; in that order, undone in
 * the reverse one. Whatever stands in the way is refused before anything is written. */
#include <errno.h>
#include <stdio.h>

#include "store/checkpoint.h"
#include "store/identity.h"
#include "store/images.h"
#include "store/queue.h"
#include "store/turn.h"

static dbk_result open_folder(dbk_engine *engine, dbk_error *err)
{
    const dbk_port *port = engine->port;
    dbk_result result = dbk_io_open_dir(port, NULL, engine->path, 0, &engine->dir, err);
    if (result == DBK_MISSING) {
        dbk_error_hint(err, "make one with 'daybook init %s --app FOLDER'", engine->path);
        return result;
    }
    if (result != DBK_OK) return result;
    dbk_space space;
    int rc = port->space(port->ctx, engine->dir, &space);
    if (rc == 0 && !space.suits_live_store && !engine->options.force_fs && !engine->options.read_only) {
        dbk_fail(err, DBK_UNSUPPORTED_FS, "'%s' is on a file system of kind %s", engine->path, space.fs_name);
        dbk_error_hint(err, "keep the live store on a local disk and let the sync agent carry it");
        return DBK_UNSUPPORTED_FS;
    }
    result = dbk_identity_read(port, engine->dir, &engine->identity, err);
    if (result == DBK_MISSING) {
        dbk_fail(err, DBK_MISSING, "'%s' is no store: it has no 'daybook.json'", engine->path);
        dbk_error_hint(err, "name a folder that 'daybook init' made");
        return DBK_MISSING;
    }
    return result;
}

static dbk_result open_definition(dbk_engine *engine, dbk_error *err)
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
        result = dbk_fail(err, DBK_CORRUPT, "the definition in 'app' does not pass the check:\n%.*s", DBK_SLICE_ARG(dbk_buffer_slice(&text)));
    }
    dbk_findings_free(&findings);
    engine->definition = engine->own_definition;
    dbk_buffer_release(&path);
    dbk_buffer_release(&text);
    return result;
}

static dbk_result open_log(dbk_engine *engine, dbk_error *err)
{
    dbk_log_options options = engine->options.log;
    memcpy(options.store_id, engine->identity.store_id, 16);
    memcpy(options.lineage, engine->identity.lineage, 16);
    options.read_only = engine->options.read_only;
    options.no_background = options.no_background || engine->options.no_threads;
    dbk_result result = dbk_io_open_dir(engine->port, engine->dir, "log", 0, &engine->log_dir, err);
    if (result == DBK_OK) result = dbk_log_open(engine->port, engine->log_dir, &options, &engine->log, err);
    if (result == DBK_MISSING) {
        result = dbk_fail(err, DBK_LOST, "the folder 'log' of the store is missing");
        dbk_error_hint(err, "put it back from a copy: the log is the store's truth");
    }
    if (result != DBK_OK) return result;
    dbk_log_clock(engine->log, &engine->epoch, &engine->hlc);
    engine->next_seq = dbk_log_next_seq(engine->log, engine->identity.replica, engine->identity.incarnation);
    return DBK_OK;
}

static dbk_result open_models(dbk_engine *engine, dbk_error *err)
{
    const dbk_port *port = engine->port;
    if (!engine->options.read_only) {
        int rc = port->make_dir(port->ctx, engine->dir, "models", 0700);
        if (rc != 0 && rc != -EEXIST) return dbk_fail_os(err, dbk_result_of_errno(-rc), -rc, "cannot make folder 'models'");
    }
    dbk_result result = dbk_io_open_dir(port, engine->dir, "models", 0, &engine->models_dir, err);
    if (result != DBK_OK || engine->options.read_only) return result;
    return dbk_models_open(engine, err);
}

/* The log's first entry names the definition it is folded with. */
static dbk_result record_definition(dbk_engine *engine, dbk_error *err)
{
    if (dbk_log_position(engine->log) > 0 || engine->options.given_ids) return DBK_OK;
    char hash[33], data[64];
    dbk_hex_encode(dbk_slice_of(engine->definition->hash, 16), hash);
    snprintf(data, sizeof data, "{\"hash\":\"%s\"}", hash);
    return dbk_turn_engine_entry(engine, "daybook/definition", "daybook.definition", dbk_slice_text(data), dbk_engine_now(engine), err);
}

/* A model that takes long to look through is checked beside the first commands. */
static void check_later(void *arg)
{
    dbk_engine *engine = arg;
    const dbk_port *port = engine->port;
    dbk_model *model = NULL;
    dbk_buffer path;
    dbk_buffer_init(&path, port);
    dbk_result result = dbk_models_current(port, engine->models_dir, engine->path, &path, NULL);
    if (result == DBK_OK)
        result = dbk_model_open(port, (const char *)path.data, engine->definition, engine->log, &engine->options.model, &model, NULL);
    if (result == DBK_OK) result = dbk_model_check(model, NULL);
    if (result == DBK_CORRUPT) {
        port->mutex_lock(port->ctx, engine->turn);
        if (!engine->dead && dbk_engine_reset_generation(engine, NULL, NULL, NULL) != DBK_OK) engine->behind = true;
        port->mutex_unlock(port->ctx, engine->turn);
    }
    dbk_model_close(model);
    dbk_buffer_release(&path);
}

static dbk_result check_beside(dbk_engine *engine, dbk_error *err)
{
    const dbk_port *port = engine->port;
    if (dbk_log_was_clean(engine->log) || dbk_models_checked_at_open(engine)) return DBK_OK;
    int rc = port->thread_start(port->ctx, "dbk-check", check_later, engine, &engine->check);
    return rc == 0 ? DBK_OK : dbk_fail_os(err, dbk_result_of_errno(-rc), -rc, "cannot start a thread");
}

static dbk_result make_parts(dbk_engine *engine, dbk_error *err)
{
    const dbk_port *port = engine->port;
    dbk_draft_init(&engine->draft, port);
    dbk_buffer_init(&engine->batch, port);
    dbk_buffer_init(&engine->message, port);
    dbk_buffer_init(&engine->parked.bytes, port);
    engine->turn = port->mutex_new(port->ctx);
    engine->readers_lock = port->mutex_new(port->ctx);
    engine->pasts_lock = port->mutex_new(port->ctx);
    engine->parser = dbk_json_parser_new(port);
    if (!engine->turn || !engine->readers_lock || !engine->pasts_lock || !engine->parser) return dbk_fail(err, DBK_NO_MEMORY, "no memory for a store");
    return DBK_OK;
}

static dbk_result open_parts(dbk_engine *engine, dbk_error *err)
{
    dbk_result result = make_parts(engine, err);
    if (result == DBK_OK) result = open_folder(engine, err);
    if (result == DBK_OK && !engine->options.read_only) result = dbk_lock_take(engine->port, engine->dir, "LOCK", &engine->lock, err);
    if (result == DBK_OK) result = open_definition(engine, err);
    if (result == DBK_OK) result = open_log(engine, err);
    if (result == DBK_OK && !engine->options.read_only) result = dbk_checkpointer_new(engine, &engine->checkpointer, err);
    if (result == DBK_OK) result = dbk_images_new(engine, err);
    if (result == DBK_OK) result = open_models(engine, err);
    if (result == DBK_OK && !engine->options.read_only) result = record_definition(engine, err);
    if (result == DBK_OK && !engine->options.read_only) result = check_beside(engine, err);
    if (result == DBK_OK) result = dbk_queue_new(engine, &engine->queue, err);
    return result;
}

dbk_result dbk_engine_open(const char *path, const dbk_engine_options *options, dbk_engine **out, dbk_error *err)
{
    static const dbk_engine_options none = {0};
    options = options ? options : &none;
    const dbk_port *port = options->port ? options->port : dbk_port_system();
    dbk_engine *engine = dbk_alloc_zero(port, 1, sizeof *engine);
    if (!engine) return dbk_error_wrap(err, dbk_fail(err, DBK_NO_MEMORY, "no memory for a store"), "cannot open store '%s'", path);
    engine->port = port;
    engine->options = *options;
    engine->publish = options->publish;
    engine->publish_arg = options->publish_arg;
    engine->path = dbk_copy_text(port, path);
    engine->opened_ms = port->wall_ms(port->ctx);
    dbk_result result = engine->path ? open_parts(engine, err) : dbk_fail(err, DBK_NO_MEMORY, "no memory for a path");
    if (result != DBK_OK) {
        dbk_engine_close(engine);
        return dbk_error_wrap(err, result, "cannot open store '%s'", path);
    }
    dbk_uuid_text(engine->identity.store_id, engine->id_text);
    *out = engine;
    return DBK_OK;
}

static void close_dir(dbk_engine *engine, dbk_dir *dir)
{
    if (dir) engine->port->close_dir(engine->port->ctx, dir);
}

void dbk_engine_close(dbk_engine *engine)
{
    if (!engine) return;
    const dbk_port *port = engine->port;
    dbk_queue_free(engine->queue);
    if (engine->check) port->thread_join(port->ctx, engine->check);
    dbk_checkpointer_free(engine->checkpointer);
    dbk_images_free(engine);
    while (engine->listeners) dbk_engine_unsubscribe(engine, engine->listeners);
    dbk_engine_drop_readers(engine);
    dbk_pasts_free(engine);
    dbk_model_close(engine->model);
    dbk_log_close(engine->log);
    dbk_definition_free(engine->own_definition);
    dbk_lock_release(engine->lock);
    close_dir(engine, engine->models_dir);
    close_dir(engine, engine->log_dir);
    close_dir(engine, engine->dir);
    dbk_turn_release(engine);
    dbk_host_commands_free(engine);
    dbk_json_parser_free(engine->parser);
    dbk_draft_release(&engine->draft);
    dbk_buffer_release(&engine->batch);
    dbk_buffer_release(&engine->message);
    dbk_buffer_release(&engine->parked.bytes);
    if (engine->turn) port->mutex_free(port->ctx, engine->turn);
    if (engine->readers_lock) port->mutex_free(port->ctx, engine->readers_lock);
    if (engine->pasts_lock) port->mutex_free(port->ctx, engine->pasts_lock);
    dbk_free(port, engine->path);
    dbk_free(port, engine);
}

dbk_log *dbk_engine_log(dbk_engine *engine) { return engine->log; }
dbk_model *dbk_engine_model(dbk_engine *engine) { return engine->model; }
const char *dbk_engine_id(const dbk_engine *engine) { return engine->id_text; }

void dbk_engine_cursor(dbk_engine *engine, const char **timeline, uint64_t *generation, uint64_t *position)
{
    *timeline = engine->identity.timeline;
    *generation = engine->identity.generation;
    *position = dbk_log_position(engine->log);
}
