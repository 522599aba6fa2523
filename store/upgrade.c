/* A newer definition (semantics.md §4): the whole history is folded with it first; what projected before
 * and would be left out now is shown, and stops the change unless it is accepted. The change itself is an
 * engine entry and a new generation. */
#include "store/async.h"
#include "store/disk.h"
#include "store/images.h"
#include "store/retention.h"
#include "store/turn.h"
#include "store/waits.h"

typedef struct dbk_entry_ids {
    const dbk_port *port;
    dbk_entry_id *items;
    size_t count, capacity;
} dbk_entry_ids;

static dbk_result add(void *arg, const dbk_skip *skip)
{
    dbk_entry_ids *ids = arg;
    if (skip->state && strcmp(skip->state, "suffixed") == 0) return DBK_OK; /* it applies */
    if (ids->count == ids->capacity) {
        size_t capacity = ids->capacity ? ids->capacity * 2 : 64;
        dbk_entry_id *grown = ids->port->resize(ids->port->ctx, ids->items, capacity * sizeof *grown);
        if (!grown) return DBK_NO_MEMORY;
        ids->items = grown;
        ids->capacity = capacity;
    }
    ids->items[ids->count++] = skip->entry;
    return DBK_OK;
}

/* Both lists are in the order of the ids' texts. */
static bool has(const dbk_entry_ids *ids, const dbk_entry_id *id)
{
    for (size_t i = 0; i < ids->count; i++)
        if (dbk_entry_id_equal(&ids->items[i], id)) return true;
    return false;
}

static dbk_result list_lost(dbk_engine *engine, const dbk_definition *definition, dbk_entry_ids *lost, dbk_error *err)
{
    dbk_buffer path;
    dbk_model *shadow = NULL;
    dbk_shadow_options options = {.model = engine->options.model};
    dbk_entry_ids before = {.port = engine->port}, after = {.port = engine->port};
    dbk_buffer_init(&path, engine->port);
    dbk_result result = dbk_models_next_path(engine, definition, &path, err);
    if (result == DBK_OK)
        result =
            dbk_model_build(engine->port, (const char *)path.data, definition, engine->log, &options, &shadow, err);
    if (result == DBK_OK) result = dbk_model_skips(engine->model, add, &before, err);
    if (result == DBK_OK) result = dbk_model_skips(shadow, add, &after, err);
    for (size_t i = 0; result == DBK_OK && i < after.count; i++) {
        dbk_skip skip = {.entry = after.items[i]};
        if (!has(&before, &after.items[i])) result = add(lost, &skip);
    }
    dbk_model_close(shadow);
    if (path.size > 0) dbk_models_discard(engine, (const char *)path.data);
    dbk_free(engine->port, before.items);
    dbk_free(engine->port, after.items);
    dbk_buffer_release(&path);
    return result;
}

/* The entry that names the definition, authored under it, logged before anything folds with it. */
dbk_result dbk_engine_log_definition(dbk_engine *engine, const dbk_definition *definition, int64_t now_ms,
                                     dbk_error *err)
{
    char hash[33];
    dbk_buffer data, event, origin;
    dbk_hex_encode(dbk_slice_of(definition->hash, 16), hash);
    dbk_buffer_init(&data, engine->port);
    dbk_buffer_init(&event, engine->port);
    dbk_buffer_init(&origin, engine->port);
    dbk_buffer_printf(&data, "{\"hash\":\"%s\"}", hash);
    dbk_event_encode(&event, &(dbk_event){.stream = dbk_slice_text("daybook/definition"),
                                          .type = dbk_slice_text("daybook.definition"),
                                          .type_version = 1,
                                          .data = dbk_buffer_slice(&data)});
    dbk_entry entry = {
        .time_ms = now_ms, .flags = DBK_ENTRY_ENGINE, .event_count = 1, .events = dbk_buffer_slice(&event)};
    memcpy(entry.lineage, engine->identity.lineage, 16);
    memcpy(entry.definition, definition->hash, 16);
    memcpy(entry.id.replica, engine->identity.replica, 16);
    entry.id.incarnation = engine->identity.incarnation;
    entry.id.seq = engine->next_seq;
    dbk_result result = dbk_clock_next(engine, now_ms, &entry.epoch, &entry.hlc, err);
    dbk_entry_encode(&origin, &entry);
    dbk_slice slice = dbk_buffer_slice(&origin);
    if (result == DBK_OK && (data.failed || event.failed || origin.failed))
        result = dbk_fail(err, DBK_NO_MEMORY, "no memory for an entry");
    if (result == DBK_OK) result = dbk_engine_append(engine, &slice, 1, now_ms, err);
    if (result == DBK_OK) {
        engine->epoch = entry.epoch;
        engine->hlc = entry.hlc;
        engine->next_seq++;
    }
    dbk_buffer_release(&data);
    dbk_buffer_release(&event);
    dbk_buffer_release(&origin);
    return result;
}

static bool is_same(const dbk_definition *one, const dbk_definition *other)
{
    return memcmp(one->hash, other->hash, sizeof one->hash) == 0;
}

/* A model that cannot be built leaves the one before in place, and its definition with it: what is decided
 * then is projected as it is named. */
static dbk_result fold_with(dbk_engine *engine, const dbk_definition *definition, dbk_error *err)
{
    const dbk_definition *before = engine->definition;
    engine->definition = definition;
    dbk_result result = dbk_engine_reset_generation(engine, NULL, NULL, err);
    if (result == DBK_OK) {
        dbk_images_clear(engine);
        dbk_pasts_forget(engine);
    }
    if (result == DBK_OK || engine->dead) return result;
    engine->definition = before;
    engine->behind = true;
    return result;
}

static dbk_result restart_models(dbk_engine *engine, const dbk_definition *definition, dbk_error *err)
{
    dbk_asyncs_stop(engine, 0);
    engine->definition = definition;
    return dbk_asyncs_start(engine, err);
}

dbk_result dbk_engine_upgrade(dbk_engine *engine, const dbk_definition *definition, int64_t now_ms, bool accept,
                              void (*each)(void *arg, const dbk_entry_id *lost), void *arg, uint64_t *count,
                              dbk_error *err)
{
    dbk_entry_ids lost = {.port = engine->port};
    *count = 0;
    dbk_result result = dbk_engine_may_write(engine, err);
    if (result != DBK_OK) return result;
    engine->port->mutex_lock(engine->port->ctx, engine->turn);
    result = engine->dead ? dbk_fail(err, DBK_UNAVAILABLE, "the store is closing")
                          : list_lost(engine, definition, &lost, err);
    if (result == DBK_OK && (accept || lost.count == 0)) {
        result = dbk_engine_log_definition(engine, definition, now_ms, err);
        if (result == DBK_OK)
            result = is_same(engine->definition, definition) ? dbk_engine_catch_up(engine, err)
                                                             : fold_with(engine, definition, err);
        if (result == DBK_OK) result = dbk_retention_start(engine, err);
        if (result == DBK_OK) result = restart_models(engine, definition, err);
    }
    engine->port->mutex_unlock(engine->port->ctx, engine->turn);
    for (size_t i = 0; result == DBK_OK && i < lost.count; i++) each(arg, &lost.items[i]);
    *count = lost.count;
    dbk_free(engine->port, lost.items);
    return result;
}
