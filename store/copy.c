/* A copy or a restore to a position: what it holds keeps its identity, what it writes has a new
 * incarnation and a timeline of its own (semantics.md §4; F18).
 *   1. a new store without daybook.json: nobody takes it for one
 *   2. the entries, with the times at which they were received, synced
 *   3. daybook.json */
#include "store/carry.h"

typedef struct dbk_copy {
    dbk_engine *from;
    uint64_t upto;
    dbk_carry carry;
} dbk_copy;

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
        if (result == DBK_OK) result = dbk_carry_add(&copy->carry, origin, received_ms, err);
    }
    dbk_log_cursor_close(cursor);
    return result == DBK_END ? dbk_carry_flush(&copy->carry, err) : result;
}

static dbk_result fill(void *arg, const dbk_port *port, dbk_dir *dir, const dbk_engine_options *options,
                       const dbk_identity_file *identity, dbk_error *err)
{
    dbk_copy *copy = arg;
    dbk_result result = dbk_carry_open(&copy->carry, port, dir, options, identity, err);
    if (result == DBK_OK) result = copy_entries(copy, err);
    dbk_carry_close(&copy->carry);
    return result;
}

static dbk_result check(const dbk_engine *engine, uint64_t upto, uint32_t incarnation,
                        dbk_error *err) /* 0: to be drawn */
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

dbk_result dbk_engine_copy(dbk_engine *engine, uint64_t upto, const char *path, uint32_t incarnation,
                           const char *timeline, const dbk_engine_options *options, dbk_error *err)
{
    char drawn[17];
    dbk_engine_options own = options ? *options : (dbk_engine_options){.port = engine->port};
    dbk_copy *copy = NULL;
    dbk_result result = check(engine, upto, incarnation, err);
    if (result == DBK_OK) result = dbk_draw_life(engine->port, engine->identity.incarnation, &incarnation, drawn, err);
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
        dbk_store_plan plan = {
            .definition = engine->definition, .keep_sources = !own.definition, .fill = fill, .fill_arg = copy};
        result = dbk_store_make(path, &plan, &own, err);
    }
    dbk_free(engine->port, copy);
    return result == DBK_OK ? DBK_OK : dbk_error_wrap(err, result, "cannot copy to '%s'", path);
}
