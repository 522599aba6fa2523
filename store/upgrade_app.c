/* upgrade: another definition from a folder, shown first, then taken (docs/definition.md, "Upgrade").
 *
 *   1. the folder is checked; a definition that was this store's before is refused
 *   2. a shadow is folded with it beside the commands, made durable, and compared with the model: rows, writers
 *      of tables, entries that projected before and would not now
 *   3. beside the commands: the sources, the next generation and the pointer, staged
 *   4. in a turn: the rest of the log, the entry, the renames of folder and pointer
 *   5. beside the commands: the renames are made durable; what is of the definition before goes; async models begin
 * What fails before the entry leaves all as it was; what a crash cuts short behind it, opening ends. */
#include "store/async.h"
#include "store/definitions.h"
#include "store/disk.h"
#include "store/images.h"
#include "store/mirror.h"
#include "store/request.h"
#include "store/retention.h"
#include "store/switch.h"
#include "store/upgrade_models.h"

enum { BUILDS_MAX = 3 };

typedef struct dbk_upgrade {
    dbk_engine *engine;
    const char *app;
    bool dry_run, accept;
    dbk_definition *definition;
    dbk_buffer path, tables, lost;
    dbk_model *shadow;
    uint64_t lost_count, entries;
    int64_t took_ms;
    dbk_upgrade_models *models; /* the async ones */
    dbk_asyncs *before;         /* the async models that answered until now */
    bool adopted, same;         /* same: the inline model is that of the definition before */
    bool nothing;               /* all of it is */
    bool again;                 /* late entries came meanwhile: it takes another shadow */
} dbk_upgrade;

static dbk_result load(dbk_upgrade *up, dbk_error *err)
{
    dbk_findings findings = {0};
    dbk_definition_list known = {0};
    dbk_buffer text;
    dbk_engine *engine = up->engine;
    dbk_buffer_init(&text, engine->port);
    dbk_result result = dbk_definition_load(engine->port, up->app, &up->definition, &findings, err);
    if (result == DBK_SCHEMA) {
        dbk_findings_print(&findings, &text);
        result = dbk_fail(err, DBK_SCHEMA, "the definition in '%s' does not pass the check:\n%.*s", up->app,
                          DBK_SLICE_ARG(dbk_buffer_slice(&text)));
    }
    dbk_findings_free(&findings);
    dbk_buffer_release(&text);
    if (result == DBK_OK) result = dbk_definitions_known(engine, &known, err);
    if (result == DBK_OK) {
        up->same = memcmp(up->definition->hash, engine->definition->hash, 16) == 0;
        up->nothing = up->same && dbk_upgrade_is_same(engine->definition, up->definition);
        if (!up->same && dbk_definitions_find(&known, up->definition->hash) >= 0) {
            result = dbk_fail(err, DBK_REJECTED, "the definition in '%s' is older than the store's", up->app);
            dbk_error_hint(err, "a definition that goes back is a new one: change its version");
        }
    }
    if (result == DBK_OK) result = dbk_definitions_inherit(&known, up->definition, err);
    dbk_definitions_release(engine, &known);
    return result;
}

/* ---- the shadow and what it shows */

static dbk_result fold(dbk_upgrade *up, dbk_error *err)
{
    dbk_engine *engine = up->engine;
    dbk_shadow_options options = {.model = engine->options.model};
    int64_t began_ns = engine->port->monotonic_ns(engine->port->ctx);
    dbk_result result = dbk_models_next_path(engine, up->definition, &up->path, err);
    if (result == DBK_OK)
        result = dbk_model_build(engine->port, (const char *)up->path.data, up->definition, engine->log, &options,
                                 &up->shadow, err);
    if (result == DBK_OK) result = dbk_engine_begin_anew(up->shadow, err);
    up->took_ms = (engine->port->monotonic_ns(engine->port->ctx) - began_ns) / 1000000;
    up->entries = dbk_log_position(engine->log);
    return result;
}

typedef struct dbk_lost {
    dbk_upgrade *up;
    dbk_buffer *skipped; /* entry ids of the model's skips */
} dbk_lost;

static dbk_result note_skip(void *arg, const dbk_skip *skip)
{
    dbk_lost *lost = arg;
    if (strcmp(skip->state, "suffixed") != 0) dbk_buffer_put(lost->skipped, &skip->entry, sizeof skip->entry);
    return lost->skipped->failed ? DBK_NO_MEMORY : DBK_OK;
}

static dbk_result note_lost(void *arg, const dbk_skip *skip)
{
    dbk_lost *lost = arg;
    dbk_upgrade *up = lost->up;
    char text[DBK_ENTRY_ID_TEXT_SIZE];
    const dbk_entry_id *ids = (const dbk_entry_id *)(const void *)lost->skipped->data;
    if (strcmp(skip->state, "suffixed") == 0) return DBK_OK;
    for (size_t i = 0; i < lost->skipped->size / sizeof *ids; i++)
        if (dbk_entry_id_equal(&ids[i], &skip->entry)) return DBK_OK;
    dbk_entry_id_text(&skip->entry, text);
    dbk_buffer_printf(&up->lost,
                      "%s{\"entry\":\"%s\",\"position\":%llu,\"state\":\"%s\",\"reason\":", up->lost_count ? "," : "",
                      text, (unsigned long long)skip->position, skip->state);
    dbk_json_put_string(&up->lost, dbk_slice_text(skip->reason ? skip->reason : ""));
    dbk_buffer_put_u8(&up->lost, '}');
    up->lost_count++;
    return up->lost.failed ? DBK_NO_MEMORY : DBK_OK;
}

/* The turn is held: the model stands still. */
static dbk_result list_lost(dbk_upgrade *up, dbk_error *err)
{
    dbk_buffer skipped;
    dbk_lost lost = {.up = up, .skipped = &skipped};
    dbk_buffer_init(&skipped, up->engine->port);
    dbk_buffer_clear(&up->lost);
    up->lost_count = 0;
    dbk_result result = dbk_model_skips(up->engine->model, note_skip, &lost, err);
    if (result == DBK_OK) result = dbk_model_skips(up->shadow, note_lost, &lost, err);
    dbk_buffer_release(&skipped);
    return result;
}

static dbk_result compare(dbk_upgrade *up, dbk_error *err)
{
    dbk_engine *engine = up->engine;
    dbk_buffer current;
    dbk_buffer_init(&current, engine->port);
    dbk_result result = dbk_models_current(engine, &current, err);
    dbk_upgrade_side before = {(const char *)current.data, engine->definition},
                     after = {(const char *)up->path.data, up->definition};
    if (result == DBK_OK)
        result = dbk_upgrade_compare(engine->port, engine->options.model.vfs, &before, &after, &up->tables, err);
    dbk_buffer_release(&current);
    return result;
}

/* ---- taking it */

static dbk_result refold(dbk_upgrade *up, dbk_error *err)
{
    dbk_model_close(up->shadow);
    up->shadow = NULL;
    dbk_models_discard(up->engine, (const char *)up->path.data);
    return fold(up, err);
}

/* `last`: the next shadow is built in the turn, where nothing can come between. */
static dbk_result complete(dbk_upgrade *up, bool last, dbk_error *err)
{
    dbk_engine *engine = up->engine;
    up->again = false;
    dbk_result result = dbk_model_catch_up(up->shadow, 0, NULL, NULL, NULL, &up->again, err);
    if (result != DBK_OK || !up->again || !last) return result;
    up->again = false;
    result = refold(up, err);
    if (result == DBK_OK && !up->dry_run) result = dbk_models_stage(engine, dbk_model_path(up->shadow), err);
    return result;
}

static dbk_result refuse_lost(const dbk_upgrade *up, dbk_error *err)
{
    (void)dbk_fail(err, DBK_REJECTED, "%llu entr%s that projected before would be skipped",
                   (unsigned long long)up->lost_count, up->lost_count == 1 ? "y" : "ies");
    dbk_error_hint(err, "look at them with --dry-run; take it all the same with --accept");
    return DBK_REJECTED;
}

/* Whichever of the two definitions goes: others may still look at it, so it has to find room when nothing can fail any
 * more. */
static dbk_result make_room(dbk_upgrade *up, dbk_error *err)
{
    dbk_buffer *retired = &up->engine->retired;
    retired->failed = false;
    return dbk_buffer_reserve(retired, sizeof up->definition)
               ? DBK_OK
               : dbk_fail(err, DBK_NO_MEMORY, "no memory for an upgrade");
}

static void keep(dbk_upgrade *up)
{
    dbk_engine *engine = up->engine;
    if (engine->own_definition)
        dbk_buffer_put(&engine->retired, &engine->own_definition, sizeof engine->own_definition);
    engine->own_definition = up->definition;
}

/* Only what is beside the inline model changes: no entry, no generation. From the folder on it is taken. */
static dbk_result switch_models(dbk_upgrade *up, dbk_error *err)
{
    dbk_engine *engine = up->engine;
    dbk_result result = engine->own_definition ? dbk_app_switch(engine, err) : DBK_OK;
    if (result != DBK_OK) {
        engine->dead = true; /* app/ may be the one or the other: opening mends it */
        return result;
    }
    if (dbk_engine_stops_at(engine, "app")) return dbk_fail(err, DBK_UNAVAILABLE, "stopped");
    up->before = dbk_asyncs_take_away(engine);
    engine->definition = up->definition;
    up->adopted = true;
    keep(up);
    return DBK_OK;
}

/* From the entry on the store has the new definition, whatever fails behind it. */
static dbk_result switch_over(dbk_upgrade *up, dbk_error *err)
{
    dbk_engine *engine = up->engine;
    bool again = false;
    if (dbk_engine_stops_at(engine, "staged")) return dbk_fail(err, DBK_UNAVAILABLE, "stopped");
    if (up->same) return switch_models(up, err);
    dbk_result result = dbk_engine_log_definition(engine, up->definition, dbk_engine_now(engine), err);
    if (result != DBK_OK) return result;
    if (dbk_engine_stops_at(engine, "definition")) return dbk_fail(err, DBK_UNAVAILABLE, "stopped");
    if (engine->own_definition) result = dbk_app_switch(engine, err);
    if (result == DBK_OK && dbk_engine_stops_at(engine, "app")) return dbk_fail(err, DBK_UNAVAILABLE, "stopped");
    if (result == DBK_OK) result = dbk_model_catch_up(up->shadow, 0, NULL, NULL, NULL, &again, err);
    up->before = dbk_asyncs_take_away(engine);
    if (result == DBK_OK) {
        engine->definition = up->definition;
        result = dbk_engine_adopt(engine, up->shadow, &up->adopted, err);
    }
    if (up->adopted) {
        keep(up);
        return result;
    }
    engine->dead = true; /* the log and app/ are of the new definition, memory of the old: only opening anew is safe */
    return result;
}

/* Before anything is written for it. */
static dbk_result ask_consent(dbk_upgrade *up, dbk_error *err)
{
    dbk_engine *engine = up->engine;
    if (up->same || up->dry_run || up->accept) return DBK_OK;
    engine->port->mutex_lock(engine->port->ctx, engine->turn);
    dbk_result result = engine->dead ? dbk_fail(err, DBK_UNAVAILABLE, "the store is closing") : list_lost(up, err);
    engine->port->mutex_unlock(engine->port->ctx, engine->turn);
    return result == DBK_OK && up->lost_count > 0 ? refuse_lost(up, err) : result;
}

static dbk_result prepare(dbk_upgrade *up, dbk_error *err)
{
    dbk_engine *engine = up->engine;
    dbk_result result = ask_consent(up, err);
    if (result == DBK_OK && !up->dry_run && engine->own_definition) result = dbk_app_stage(engine, up->definition, err);
    if (result == DBK_OK && !up->dry_run && !up->same) result = dbk_engine_ready(engine, up->shadow, err);
    return result == DBK_OK && !up->same ? dbk_engine_approach(engine, up->shadow, err) : result;
}

/* The turn is held. */
static dbk_result take(dbk_upgrade *up, bool last, dbk_error *err)
{
    dbk_engine *engine = up->engine;
    dbk_result result = engine->dead ? dbk_fail(err, DBK_UNAVAILABLE, "the store is closing") : DBK_OK;
    if (result == DBK_OK && !up->same) result = complete(up, last, err);
    if (result != DBK_OK || up->again) return result;
    if (!up->same) result = list_lost(up, err);
    if (result == DBK_OK && !up->dry_run && up->lost_count > 0 && !up->accept) result = refuse_lost(up, err);
    if (result == DBK_OK) result = make_room(up, err);
    engine->keeps_superseded = true;
    if (result == DBK_OK && !up->dry_run) result = switch_over(up, err);
    engine->keeps_superseded = false;
    return result;
}

/* The definition may be the first with mirrors or rules of time. */
static dbk_result begin_beside(dbk_engine *engine, dbk_error *err)
{
    engine->port->mutex_lock(engine->port->ctx, engine->turn);
    dbk_result result = dbk_retention_start(engine, err);
    if (result == DBK_OK) result = dbk_mirrors_follow(engine, err);
    engine->port->mutex_unlock(engine->port->ctx, engine->turn);
    return result;
}

/* What needs no turn any more. A failure here is told, and the definition is the new one all the same. */
static dbk_result leave(dbk_upgrade *up, dbk_error *err)
{
    dbk_engine *engine = up->engine;
    dbk_asyncs_end(up->before);
    up->before = NULL;
    if (engine->dead) return DBK_OK;
    if (!up->adopted) {
        if (!up->dry_run && engine->own_definition) dbk_app_unstage(engine);
        return up->same || up->dry_run ? DBK_OK : dbk_engine_settle(engine, false, NULL);
    }
    dbk_result result = engine->own_definition ? dbk_app_sync(engine, err) : DBK_OK;
    if (!up->same) {
        dbk_result settled = dbk_engine_settle(engine, true, result == DBK_OK ? err : NULL);
        result = result == DBK_OK ? settled : result;
        dbk_images_clear(engine);
    }
    dbk_pasts_forget(engine);
    dbk_result taken = dbk_upgrade_models_take(up->models, result == DBK_OK ? err : NULL);
    if (result == DBK_OK) result = taken;
    dbk_result begun = begin_beside(engine, result == DBK_OK ? err : NULL);
    return result == DBK_OK ? begun : result;
}

static dbk_result change(dbk_upgrade *up, dbk_error *err)
{
    const dbk_port *port = up->engine->port;
    dbk_result result = DBK_OK;
    for (int i = 1; result == DBK_OK && (i == 1 || up->again); i++) {
        if (i > 1) result = refold(up, err);
        if (result == DBK_OK) result = prepare(up, err);
        if (result != DBK_OK) break;
        port->mutex_lock(port->ctx, up->engine->turn);
        result = take(up, i == BUILDS_MAX, err);
        port->mutex_unlock(port->ctx, up->engine->turn);
    }
    dbk_result left = leave(up, result == DBK_OK ? err : NULL);
    return result == DBK_OK ? left : result;
}

static void put_report(const dbk_upgrade *up, dbk_buffer *out)
{
    dbk_request_put_hex(out, "definition", dbk_slice_of(up->definition->hash, 16));
    dbk_buffer_printf(out, ",\"upgraded\":%s", up->adopted ? "true" : "false");
    if (up->nothing) {
        dbk_buffer_put_text(out, ",\"same\":true");
        return;
    }
    dbk_buffer_put_text(out, ",\"models\":[");
    if (!up->same)
        dbk_buffer_printf(out, "{\"name\":\"main\",\"entries\":%llu,\"took_ms\":%lld}", (unsigned long long)up->entries,
                          (long long)up->took_ms);
    dbk_upgrade_models_put(up->models, up->same, out);
    dbk_buffer_printf(out, "],\"tables\":[%.*s],\"lost\":[%.*s],\"lost_count\":%llu",
                      DBK_SLICE_ARG(dbk_buffer_slice(&up->tables)), DBK_SLICE_ARG(dbk_buffer_slice(&up->lost)),
                      (unsigned long long)up->lost_count);
}

static dbk_result run(dbk_upgrade *up, dbk_error *err)
{
    dbk_result result = load(up, err);
    if (result != DBK_OK || up->nothing) return result;
    if (!up->same) result = fold(up, err);
    if (result == DBK_OK && !up->same) result = compare(up, err);
    if (result == DBK_OK) result = dbk_upgrade_models_new(up->engine, up->definition, &up->models, err);
    return result == DBK_OK ? change(up, err) : result;
}

static dbk_result read_flag(const dbk_json_node *request, const char *name, bool *flag, dbk_error *err)
{
    const dbk_json_node *node = dbk_json_member(request, name);
    *flag = node && node->kind == DBK_JSON_TRUE;
    if (!node || node->kind == DBK_JSON_TRUE || node->kind == DBK_JSON_FALSE) return DBK_OK;
    return dbk_fail(err, DBK_BAD_COMMAND, "'%s' must be true or false", name);
}

dbk_result dbk_request_upgrade(dbk_engine *engine, const dbk_json_node *request, dbk_buffer *out, dbk_error *err)
{
    dbk_upgrade up = {.engine = engine};
    dbk_slice app;
    char *path = NULL;
    dbk_buffer *buffers[] = {&up.path, &up.tables, &up.lost};
    for (size_t i = 0; i < 3; i++) dbk_buffer_init(buffers[i], engine->port);
    dbk_result result = dbk_request_text(request, "app", &app, err);
    if (result == DBK_OK && app.size == 0)
        result = dbk_fail(err, DBK_BAD_COMMAND, "'app' must be the path of a definition");
    if (result == DBK_OK) result = read_flag(request, "dry_run", &up.dry_run, err);
    if (result == DBK_OK) result = read_flag(request, "accept", &up.accept, err);
    if (result == DBK_OK) result = dbk_engine_may_write(engine, err);
    if (result == DBK_OK) {
        dbk_buffer_put_slice(&up.path, app);
        path = dbk_buffer_text(&up.path) ? dbk_copy_text(engine->port, (const char *)up.path.data) : NULL;
        dbk_buffer_clear(&up.path);
        up.app = path;
        engine->port->mutex_lock(engine->port->ctx, engine->switch_lock);
        result = path ? run(&up, err) : dbk_fail(err, DBK_NO_MEMORY, "no memory for a path");
        engine->port->mutex_unlock(engine->port->ctx, engine->switch_lock);
    }
    if (result == DBK_OK) put_report(&up, out);
    dbk_upgrade_models_free(up.models);
    if (!up.adopted) {
        dbk_model_close(up.shadow);
        if (up.path.size > 0) dbk_models_discard(engine, (const char *)up.path.data);
        if (!engine->dead) dbk_definition_free(up.definition);
        else if (up.definition) dbk_buffer_put(&engine->retired, &up.definition, sizeof up.definition);
    }
    dbk_free(engine->port, path);
    for (size_t i = 0; i < 3; i++) dbk_buffer_release(buffers[i]);
    return result;
}
