/* A copy or a restore to a position: what it holds keeps its identity, what it writes has a new
 * incarnation and a timeline of its own (semantics.md §4; F18).
 *   1. a new store without daybook.json: nobody takes it for one
 *   2. the entries, with the times at which they were received, synced
 *   3. daybook.json */
#include <stdio.h>

#include "store/identity.h"

enum { BATCH_MAX_ENTRIES = 1000, BATCH_MAX_BYTES = 4 * 1024 * 1024 };

typedef struct dbk_copy {
    dbk_engine *from;
    uint64_t upto;
    dbk_log *log;      /* the new one */
    dbk_buffer bytes;  /* origin bytes of the batch */
    size_t sizes[BATCH_MAX_ENTRIES];
    size_t count;
    int64_t received_ms;
} dbk_copy;

static dbk_result flush(dbk_copy *copy, dbk_error *err)
{
    dbk_slice origins[BATCH_MAX_ENTRIES];
    const uint8_t *at = copy->bytes.data;
    if (copy->bytes.failed) return dbk_fail(err, DBK_NO_MEMORY, "no memory to copy entries");
    for (size_t i = 0; i < copy->count; at += copy->sizes[i++]) origins[i] = dbk_slice_of(at, copy->sizes[i]);
    dbk_result result = dbk_log_append(copy->log, origins, copy->count, copy->received_ms, NULL, err);
    copy->count = 0;
    dbk_buffer_clear(&copy->bytes);
    return result;
}

/* One batch has one time of receipt. */
static dbk_result add(dbk_copy *copy, dbk_slice origin, int64_t received_ms, dbk_error *err)
{
    dbk_result result = DBK_OK;
    bool full = copy->count == BATCH_MAX_ENTRIES || copy->bytes.size + origin.size > BATCH_MAX_BYTES;
    if (copy->count > 0 && (full || received_ms != copy->received_ms)) result = flush(copy, err);
    if (result != DBK_OK) return result;
    copy->received_ms = received_ms;
    copy->sizes[copy->count++] = origin.size;
    dbk_buffer_put_slice(&copy->bytes, origin);
    return DBK_OK;
}

static dbk_result copy_entries(dbk_copy *copy, dbk_error *err)
{
    dbk_log_cursor *cursor = NULL;
    uint64_t position;
    int64_t received_ms;
    dbk_slice origin;
    if (copy->upto == 0) return DBK_OK; /* to the cursor it would mean all */
    dbk_result result = dbk_log_cursor_open(copy->from->log, 1, copy->upto, &cursor, err);
    while (result == DBK_OK) {
        result = dbk_log_cursor_next(cursor, &position, &received_ms, &origin, err);
        if (result == DBK_OK) result = add(copy, origin, received_ms, err);
    }
    dbk_log_cursor_close(cursor);
    return result == DBK_END ? flush(copy, err) : result;
}

static dbk_result fill(void *arg, const dbk_port *port, dbk_dir *dir, const dbk_engine_options *options,
                       const dbk_identity_file *identity, dbk_error *err)
{
    dbk_copy *copy = arg;
    dbk_dir *folder = NULL;
    dbk_log_options log = options->log;
    memcpy(log.store_id, identity->store_id, 16);
    memcpy(log.lineage, identity->lineage, 16);
    log.no_background = log.no_background || options->no_threads;
    dbk_buffer_init(&copy->bytes, port);
    dbk_result result = dbk_io_open_dir(port, dir, "log", 0, &folder, err);
    if (result == DBK_OK) result = dbk_log_open(port, folder, &log, &copy->log, err);
    if (result == DBK_OK) result = copy_entries(copy, err);
    dbk_log_close(copy->log);
    if (folder) port->close_dir(port->ctx, folder);
    dbk_buffer_release(&copy->bytes);
    return result;
}

/* Drawn at random where the caller names none; never that of the store it comes from. */
static dbk_result draw(const dbk_engine *from, uint32_t *incarnation, char timeline[17], dbk_error *err)
{
    uint8_t random[8];
    int rc = from->port->random(from->port->ctx, random, sizeof random);
    if (rc != 0) return dbk_fail_os(err, DBK_IO, -rc, "the system gave no random bytes for the copy's ids");
    dbk_hex_encode(dbk_slice_of(random, sizeof random), timeline);
    while (*incarnation < 2 || *incarnation == from->identity.incarnation) { /* 1 is the first store's */
        rc = from->port->random(from->port->ctx, random, sizeof random);
        if (rc != 0) return dbk_fail_os(err, DBK_IO, -rc, "the system gave no random bytes for the copy's ids");
        *incarnation = dbk_load_u32(random);
    }
    return DBK_OK;
}

static dbk_result check(const dbk_engine *engine, uint64_t upto, uint32_t incarnation, dbk_error *err) /* 0: to be drawn */
{
    uint64_t end = dbk_log_position(engine->log);
    if (upto > end) {
        dbk_fail(err, DBK_NOT_FOUND, "there is no position %llu", (unsigned long long)upto);
        dbk_error_hint(err, "the last position is %llu", (unsigned long long)end);
        return DBK_NOT_FOUND;
    }
    if (incarnation == 1 || (incarnation && incarnation == engine->identity.incarnation))
        return dbk_fail(err, DBK_USAGE, "a copy needs an incarnation of its own, not %u", incarnation);
    return DBK_OK;
}

dbk_result dbk_engine_copy(dbk_engine *engine, uint64_t upto, const char *path, uint32_t incarnation, const char *timeline,
                           const dbk_engine_options *options, dbk_error *err)
{
    char drawn[17];
    dbk_engine_options own = options ? *options : (dbk_engine_options){.port = engine->port};
    dbk_copy *copy = NULL;
    dbk_result result = check(engine, upto, incarnation, err);
    if (result == DBK_OK) result = draw(engine, &incarnation, drawn, err);
    if (result == DBK_OK && !(copy = dbk_alloc_zero(engine->port, 1, sizeof *copy)))
        result = dbk_fail(err, DBK_NO_MEMORY, "no memory to copy a store");
    if (result == DBK_OK) {
        own.given_ids = true;
        memcpy(own.lineage, engine->identity.lineage, 16);
        memcpy(own.replica, engine->identity.replica, 16);
        own.incarnation = incarnation;
        own.timeline = timeline ? timeline : drawn;
        copy->from = engine;
        copy->upto = upto;
        dbk_store_plan plan = {.definition = engine->definition, .keep_sources = !own.definition, .fill = fill, .fill_arg = copy};
        result = dbk_store_make(path, &plan, &own, err);
    }
    dbk_free(engine->port, copy);
    return result == DBK_OK ? DBK_OK : dbk_error_wrap(err, result, "cannot copy to '%s'", path);
}
