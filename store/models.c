/* models/<serial>/main.sqlite and the pointer models/current. The pointer is replaced atomically, a live
 * database is never renamed; what it does not name is a leftover and is removed at open. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "store/checkpoint.h"

enum { SERIAL_DIGITS = 8, SERIAL_MAX = 99999999, SERIAL_TRIES = 100 };

static bool is_serial(const char *name)
{
    return strlen(name) == SERIAL_DIGITS && strspn(name, "0123456789") == SERIAL_DIGITS;
}

static int unlink_one(void *arg, const char *name)
{
    const void **pair = arg;
    const dbk_port *port = pair[0];
    (void)port->unlink(port->ctx, (dbk_dir *)pair[1], name);
    return 0;
}

/* Best effort: a leftover that stays costs space, not truth. */
static void remove_folder(dbk_engine *engine, const char *serial)
{
    const dbk_port *port = engine->port;
    dbk_dir *dir = NULL;
    if (dbk_io_open_dir(port, engine->models_dir, serial, 0, &dir, NULL) != DBK_OK) return;
    const void *pair[2] = {port, dir};
    (void)port->list(port->ctx, dir, unlink_one, pair);
    port->close_dir(port->ctx, dir);
    (void)port->remove_dir(port->ctx, engine->models_dir, serial);
}

typedef struct dbk_serials {
    char keep[SERIAL_DIGITS + 1];
    char leftover[SERIAL_DIGITS + 1];
    unsigned long highest;
} dbk_serials;

static int note_serial(void *arg, const char *name)
{
    dbk_serials *serials = arg;
    if (!is_serial(name)) return 0;
    unsigned long serial = strtoul(name, NULL, 10);
    if (serial > serials->highest) serials->highest = serial;
    if (strcmp(name, serials->keep) != 0) memcpy(serials->leftover, name, sizeof serials->leftover);
    return 0;
}

static dbk_result list_serials(dbk_engine *engine, dbk_serials *serials, dbk_error *err)
{
    serials->highest = 0;
    serials->leftover[0] = 0;
    int rc = engine->port->list(engine->port->ctx, engine->models_dir, note_serial, serials);
    return rc < 0 ? dbk_fail_os(err, dbk_result_of_errno(-rc), -rc, "cannot list 'models'") : DBK_OK;
}

dbk_result dbk_models_current(const dbk_port *port, dbk_dir *models, const char *store_path, dbk_buffer *path,
                              dbk_error *err)
{
    dbk_buffer text;
    dbk_buffer_init(&text, port);
    dbk_result result = dbk_io_read_file(port, models, "current", 64, &text, err);
    char serial[SERIAL_DIGITS + 1] = "";
    if (result == DBK_OK && text.size >= SERIAL_DIGITS) memcpy(serial, text.data, SERIAL_DIGITS);
    dbk_buffer_release(&text);
    if (result != DBK_OK && result != DBK_TOO_BIG) return result;
    if (!is_serial(serial)) return dbk_fail(err, DBK_MISSING, "'models/current' names no model");
    dbk_buffer_clear(path);
    dbk_buffer_printf(path, "%s/models/%s/main.sqlite", store_path, serial);
    return dbk_buffer_text(path) ? DBK_OK : dbk_fail(err, DBK_NO_MEMORY, "no memory for a path");
}

/* The serial in a path made by the functions here. */
static void serial_of(const char *path, char serial[SERIAL_DIGITS + 1])
{
    size_t size = strlen(path), tail = sizeof "/main.sqlite" - 1;
    serial[0] = 0;
    if (size < tail + SERIAL_DIGITS) return;
    memcpy(serial, path + size - tail - SERIAL_DIGITS, SERIAL_DIGITS);
    serial[SERIAL_DIGITS] = 0;
}

dbk_result dbk_models_next_path(dbk_engine *engine, dbk_buffer *path, dbk_error *err)
{
    dbk_serials serials = {0};
    dbk_result result = list_serials(engine, &serials, err);
    if (result != DBK_OK) return result;
    char name[24];
    int rc = -EEXIST;
    for (int i = 0; rc == -EEXIST && i < SERIAL_TRIES; i++) { /* after the last serial come the first */
        serials.highest = serials.highest % SERIAL_MAX + 1;
        snprintf(name, sizeof name, "%0*lu", SERIAL_DIGITS, serials.highest);
        rc = engine->port->make_dir(engine->port->ctx, engine->models_dir, name, 0700);
    }
    if (rc != 0) return dbk_fail_os(err, dbk_result_of_errno(-rc), -rc, "cannot make folder 'models/%s'", name);
    dbk_buffer_clear(path);
    dbk_buffer_printf(path, "%s/models/%s/main.sqlite", engine->path, name);
    if (!dbk_buffer_text(path)) return dbk_fail(err, DBK_NO_MEMORY, "no memory for a path");
    return dbk_io_sync_dir(engine->port, engine->models_dir, "models", err);
}

void dbk_models_discard(dbk_engine *engine, const char *path)
{
    char serial[SERIAL_DIGITS + 1];
    serial_of(path, serial);
    if (is_serial(serial)) remove_folder(engine, serial);
}

dbk_result dbk_models_switch(dbk_engine *engine, dbk_model *shadow, dbk_error *err)
{
    char serial[SERIAL_DIGITS + 2];
    serial_of(dbk_model_path(shadow), serial);
    dbk_slice text = dbk_slice_of(serial, SERIAL_DIGITS);
    dbk_result result = dbk_io_replace_file(engine->port, engine->models_dir, "current", text, err);
    if (result != DBK_OK) return result;
    dbk_model *old = engine->model;
    engine->model = shadow;
    if (engine->checkpointer) dbk_checkpoint_watch(engine->checkpointer, shadow);
    dbk_engine_drop_readers(engine);
    if (old) {
        char gone[SERIAL_DIGITS + 1];
        serial_of(dbk_model_path(old), gone);
        dbk_model_close(old);
        if (strcmp(gone, serial) != 0) remove_folder(engine, gone);
    }
    return DBK_OK;
}

static dbk_result remove_leftovers(dbk_engine *engine, const char *current, dbk_error *err)
{
    dbk_serials serials = {0};
    serial_of(current, serials.keep);
    for (int i = 0; i < 1000; i++) {
        dbk_result result = list_serials(engine, &serials, err);
        if (result != DBK_OK || !serials.leftover[0]) return result;
        remove_folder(engine, serials.leftover);
    }
    return DBK_OK;
}

/* Position not beyond the log, and the same head there: else it is another log's model (R24). */
static dbk_result belongs(dbk_engine *engine, dbk_model *model, bool *yes, dbk_error *err)
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

/* A model that was closed in order has none. Its name, or what was cut off it, may come back with a power
 * loss; SQLite would play it over a newer file. Asked before SQLite opens the file. */
static bool has_wal(dbk_engine *engine, const char *path)
{
    const dbk_port *port = engine->port;
    char serial[SERIAL_DIGITS + 1];
    dbk_dir *dir = NULL;
    dbk_identity wal;
    serial_of(path, serial);
    if (!is_serial(serial) || port->open_dir(port->ctx, engine->models_dir, serial, 0, &dir) != 0) return false;
    bool has = port->identify(port->ctx, dir, "main.sqlite-wal", &wal) == 0 && wal.size_bytes > 0;
    port->close_dir(port->ctx, dir);
    return has;
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

dbk_result dbk_models_open(dbk_engine *engine, dbk_error *err)
{
    dbk_buffer path;
    dbk_buffer_init(&path, engine->port);
    dbk_model *model = NULL;
    bool usable = false;
    dbk_result result = dbk_models_current(engine->port, engine->models_dir, engine->path, &path, err);
    engine->suspect = !dbk_log_was_clean(engine->log) || (result == DBK_OK && has_wal(engine, (const char *)path.data));
    if (result == DBK_OK)
        result = dbk_model_open(engine->port, (const char *)path.data, engine->definition, engine->log,
                                &engine->options.model, &model, err);
    if (result == DBK_OK) result = belongs(engine, model, &usable, err);
    if (result == DBK_OK) result = check(engine, model, &usable, err);
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
