/* What an open store works on: log, model, the threads beside them.
 *
 * A writer that meets a full disk is not refused: it gives the reserve free and tries again; if that is
 * not enough, it keeps its lock and opens for reading, as another process would beside it. Its commands
 * are answered no_space. When there is room again, the reading state is replaced by a writing one, in a
 * turn of its own, while no request is under way. */
#include <errno.h>
#include <stdio.h>

#include "store/aside.h"
#include "store/async.h"
#include "store/checkpoint.h"
#include "store/definitions.h"
#include "store/disk.h"
#include "store/images.h"
#include "store/place.h"
#include "store/replay.h"
#include "store/retention.h"
#include "store/switch.h"

enum { ASYNC_DRAIN_MS = 1000 }; /* at the end, for models that are nearly there */

static dbk_result open_log(dbk_engine *engine, dbk_error *err)
{
    dbk_log_options options = engine->options.log;
    const char *plain = dbk_io_environment("DAYBOOK_KEEP_PLAIN");
    if (plain && *plain) options.keep_plain = true;
    memcpy(options.store_id, engine->identity.store_id, 16);
    memcpy(options.lineage, engine->identity.lineage, 16);
    options.read_only = engine->reading;
    options.no_background = options.no_background || engine->options.no_threads;
    dbk_result result = dbk_io_open_dir(engine->port, engine->dir, "log", 0, &engine->log_dir, err);
    if (result == DBK_OK) result = dbk_log_open(engine->port, engine->log_dir, &options, &engine->log, err);
    if (result == DBK_MISSING) {
        result = dbk_fail(err, DBK_LOST, "the folder 'log' of the store is missing");
        dbk_error_hint(err, "put it back from a copy: the log is the store's truth");
    }
    if (result == DBK_OK && !engine->reading) result = dbk_place_check(engine, err);
    if (result != DBK_OK) return result;
    dbk_log_clock(engine->log, &engine->epoch, &engine->hlc);
    engine->next_seq = dbk_log_next_seq(engine->log, engine->identity.replica, engine->identity.incarnation);
    return DBK_OK;
}

/* A store that is only read does without the folder: the log has all that it needs. */
static dbk_result open_models(dbk_engine *engine, dbk_error *err)
{
    const dbk_port *port = engine->port;
    if (engine->reading && !dbk_aside_is_kind(port, engine->dir, "models", DBK_IS_DIRECTORY)) return DBK_OK;
    if (!engine->reading) {
        dbk_result cleared = dbk_aside_put(port, engine->dir, "", "models", DBK_IS_DIRECTORY, engine->log_dir, err);
        if (cleared != DBK_OK) return cleared;
        int rc = port->make_dir(port->ctx, engine->dir, "models", 0700);
        if (rc != 0 && rc != -EEXIST)
            return dbk_fail_os(err, dbk_result_of_errno(-rc), -rc, "cannot make folder 'models'");
    }
    dbk_result result = dbk_io_open_dir(port, engine->dir, "models", 0, &engine->models_dir, err);
    if (engine->reading) return result == DBK_MISSING ? DBK_OK : result;
    return result == DBK_OK ? dbk_models_open(engine, err) : result;
}

/* With the log: what came before the definition, and whether an upgrade has to end first. */
static dbk_result settle_definition(dbk_engine *engine, dbk_error *err)
{
    bool again = false;
    dbk_result result = dbk_definitions_settle(engine, &again, err);
    if (result != DBK_OK || !again) return result;
    dbk_definition_free(engine->own_definition);
    engine->own_definition = NULL;
    result = dbk_engine_load_definition(engine, err);
    return result == DBK_OK ? dbk_definitions_settle(engine, &again, err) : result;
}

/* The log's first entry names the definition it is folded with; where app/ was changed by hand, another one
 * names it before anything is decided under it. */
static dbk_result record_definition(dbk_engine *engine, dbk_error *err)
{
    dbk_definition_list list = {0};
    if (engine->options.given_ids) return DBK_OK;
    dbk_result known = engine->own_definition ? dbk_definitions_known(engine, &list, err) : DBK_OK;
    bool named = engine->own_definition ? dbk_definitions_find(&list, engine->definition->hash) >= 0
                                        : dbk_log_position(engine->log) > 0;
    dbk_definitions_release(engine, &list);
    if (known != DBK_OK || named) return known;
    char hash[33], data[64];
    dbk_hex_encode(dbk_slice_of(engine->definition->hash, 16), hash);
    snprintf(data, sizeof data, "{\"hash\":\"%s\"}", hash);
    return dbk_turn_engine_entry(engine, "daybook/definition", "daybook.definition", dbk_slice_text(data),
                                 dbk_engine_now(engine), err);
}

/* A model that takes long to look through is checked beside the first commands. */
static void check_later(void *arg)
{
    dbk_engine *engine = arg;
    const dbk_port *port = engine->port;
    dbk_model *model = NULL;
    dbk_buffer path;
    dbk_buffer_init(&path, port);
    dbk_result result = dbk_models_current(engine, &path, NULL);
    if (result == DBK_OK)
        result = dbk_model_open(port, (const char *)path.data, engine->definition, engine->log, &engine->options.model,
                                &model, NULL);
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
    if (!engine->suspect || dbk_models_checked_at_open(engine)) return DBK_OK;
    int rc = port->thread_start(port->ctx, "dbk-check", check_later, engine, &engine->check);
    return rc == 0 ? DBK_OK : dbk_fail_os(err, dbk_result_of_errno(-rc), -rc, "cannot start a thread");
}

static dbk_result open_writing(dbk_engine *engine, dbk_error *err)
{
    engine->reading = false;
    dbk_result result = open_log(engine, err);
    if (result == DBK_OK) result = settle_definition(engine, err);
    if (result == DBK_OK) result = dbk_checkpointer_new(engine, &engine->checkpointer, err);
    if (result == DBK_OK) result = dbk_images_new(engine, err);
    if (result == DBK_OK) result = open_models(engine, err);
    if (result == DBK_OK) result = record_definition(engine, err);
    if (result == DBK_OK) result = check_beside(engine, err);
    if (result == DBK_OK) dbk_disk_look(engine);
    if (result == DBK_OK) result = dbk_asyncs_start(engine, err);
    return result == DBK_OK ? dbk_retention_start(engine, err) : result;
}

static dbk_result open_reading(dbk_engine *engine, dbk_error *err)
{
    engine->reading = true;
    dbk_result result = open_log(engine, err);
    if (result == DBK_OK) result = settle_definition(engine, err);
    if (result == DBK_OK) result = dbk_images_new(engine, err);
    return result == DBK_OK ? open_models(engine, err) : result;
}

/* ---- closing */

static void close_dir(dbk_engine *engine, dbk_dir **dir)
{
    if (*dir) engine->port->close_dir(engine->port->ctx, *dir);
    *dir = NULL;
}

/* `whole`: the log may be marked as closed cleanly. Not when an opening failed that had found the store
 * unclean: what had to be looked through may not have been. */
static void close_parts(dbk_engine *engine, bool whole)
{
    const dbk_port *port = engine->port;
    if (engine->check) port->thread_join(port->ctx, engine->check);
    engine->check = NULL;
    dbk_asyncs_stop(engine, whole ? ASYNC_DRAIN_MS : 0);
    dbk_checkpointer_free(engine->checkpointer);
    engine->checkpointer = NULL;
    dbk_images_free(engine);
    dbk_model_close(engine->model);
    engine->model = NULL;
    if (engine->log && !whole && !dbk_log_was_clean(engine->log)) dbk_log_leave(engine->log);
    else dbk_log_close(engine->log);
    engine->log = NULL;
    close_dir(engine, &engine->models_dir);
    close_dir(engine, &engine->log_dir);
}

void dbk_state_close(dbk_engine *engine)
{
    bool writes = engine->lock && engine->log && !engine->reading, freed = false;
    dbk_retention_stop(engine);
    if (writes) engine->disk.known = false;
    if (writes) dbk_disk_look(engine);
    if (writes && engine->disk.full) freed = dbk_disk_free_reserve(engine);
    close_parts(engine, true);
    if (freed) dbk_disk_take_reserve(engine);
    if (writes) dbk_place_leave(engine);
}

/* ---- opening */

dbk_result dbk_state_open(dbk_engine *engine, dbk_error *err)
{
    dbk_error full = {0};
    if (engine->options.read_only) return open_reading(engine, err);
    dbk_result result = open_writing(engine, err);
    if (result == DBK_NO_SPACE && dbk_disk_free_reserve(engine)) {
        close_parts(engine, false);
        result = open_writing(engine, err);
    }
    if (result != DBK_NO_SPACE) {
        if (result != DBK_OK) close_parts(engine, false);
        return result;
    }
    close_parts(engine, false);
    dbk_disk_look(engine);
    result = open_reading(engine, &full);
    if (result == DBK_OK) return DBK_OK;
    close_parts(engine, false);
    return DBK_NO_SPACE;
}

/* ---- from reading to writing */

void dbk_request_enter(dbk_engine *engine)
{
    const dbk_port *port = engine->port;
    for (bool entered = false; !entered;) {
        port->mutex_lock(port->ctx, engine->readers_lock);
        entered = !engine->resuming;
        if (entered) engine->requests++;
        port->mutex_unlock(port->ctx, engine->readers_lock);
        if (entered) break;
        port->mutex_lock(port->ctx, engine->turn); /* which the one who resumes holds */
        port->mutex_unlock(port->ctx, engine->turn);
    }
}

void dbk_request_leave(dbk_engine *engine)
{
    const dbk_port *port = engine->port;
    port->mutex_lock(port->ctx, engine->readers_lock);
    engine->requests--;
    port->mutex_unlock(port->ctx, engine->readers_lock);
}

static bool begin_resuming(dbk_engine *engine)
{
    const dbk_port *port = engine->port;
    port->mutex_lock(port->ctx, engine->readers_lock);
    engine->resuming = engine->requests == 0;
    bool begun = engine->resuming;
    port->mutex_unlock(port->ctx, engine->readers_lock);
    return begun;
}

static void end_resuming(dbk_engine *engine)
{
    const dbk_port *port = engine->port;
    port->mutex_lock(port->ctx, engine->readers_lock);
    engine->resuming = false;
    port->mutex_unlock(port->ctx, engine->readers_lock);
}

/* The reading parts stay until the writing ones are there. */
static bool change_over(dbk_engine *engine)
{
    const dbk_port *port = engine->port;
    dbk_log *log = engine->log;
    dbk_dir *log_dir = engine->log_dir, *models_dir = engine->models_dir;
    engine->log = NULL;
    engine->log_dir = engine->models_dir = NULL;
    bool writes = open_writing(engine, NULL) == DBK_OK;
    if (!writes) {
        close_parts(engine, false);
        engine->reading = true;
        engine->log = log;
        engine->log_dir = log_dir;
        engine->models_dir = models_dir;
        (void)!dbk_images_new(engine, NULL); /* it does without */
        return false;
    }
    dbk_log_close(log);
    if (log_dir) port->close_dir(port->ctx, log_dir);
    if (models_dir) port->close_dir(port->ctx, models_dir);
    return true;
}

bool dbk_state_resume(dbk_engine *engine)
{
    dbk_disk_look(engine);
    bool room = engine->options.disk.off || (engine->disk.known && !engine->disk.full);
    if (!dbk_engine_is_stranded(engine)) return true;
    if (!room || !begin_resuming(engine)) return false;
    dbk_pasts_free(engine);
    dbk_images_free(engine);
    dbk_engine_drop_readers(engine);
    bool writes = change_over(engine);
    end_resuming(engine);
    if (writes) dbk_engine_publish_head(engine);
    return writes;
}
