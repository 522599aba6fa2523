/* A round that takes a shadow folds the log again behind its lowest key: all of that can be done before it is logged,
 * while commands are decided (docs/decisions/0038, 0046).
 *
 *   1. the highest position P such that what is behind it, and what comes, sorts above all up to it
 *   2. the fold up to P, from the nearest image, with a journal of its own, made durable
 *   3. the fold of what comes and of the log behind P, then of what is decided meanwhile, again and again, until that
 *      is little (projector/model/ahead.c); made durable once more
 *   4. in the turn: what comes is logged, the little that is left is folded, and the shadow takes the model's place
 *      (switch.c)
 * Where 3 cannot be, the log behind P is folded in 4. A death before 4 leaves a folder that the next opening removes. */
#include "store/late_base.h"

#include "store/images.h"
#include "store/switch.h"

/* Fewer entries are folded in the turn. */
enum { LEAST_SPARED = 4096, LEAST_AHEAD = 256 };
/* What is left for the turn; so often it is tried. */
enum { NEAR_ENTRIES = 16, APPROACHES_MAX = 8 };
enum { CHUNKS_MOST = 32768, LOOKS_MOST = 8, FAR_BELOW = 10000 };

/* Runs of positions of which each sorts below all the next ones. */
typedef struct dbk_chunk {
    uint8_t top[DBK_ORDER_KEY_SIZE];
    uint64_t end;
} dbk_chunk;

typedef dbk_result (*dbk_key_fn)(void *arg, uint64_t position, const uint8_t key[DBK_ORDER_KEY_SIZE], dbk_error *err);

static dbk_result each_key(dbk_engine *engine, uint64_t first, uint64_t last, dbk_key_fn each, void *arg,
                           dbk_error *err)
{
    dbk_log_cursor *cursor = NULL;
    if (first > last) return DBK_OK;
    dbk_result result = dbk_log_cursor_open(engine->log, first, last, &cursor, err);
    while (result == DBK_OK) {
        uint8_t key[DBK_ORDER_KEY_SIZE];
        uint64_t position;
        int64_t received_ms;
        dbk_slice origin;
        dbk_entry entry;
        result = dbk_log_cursor_next(cursor, &position, &received_ms, &origin, err);
        if (result == DBK_OK) result = dbk_entry_decode(origin, &entry, err);
        if (result != DBK_OK) break;
        dbk_entry_order_key(&entry, key);
        result = each(arg, position, key, err);
    }
    dbk_log_cursor_close(cursor);
    return result == DBK_END ? DBK_OK : result;
}

/* ---- where it ends */

static dbk_result keep_lowest(void *arg, uint64_t position, const uint8_t *key, dbk_error *err)
{
    (void)position, (void)err;
    if (memcmp(key, arg, DBK_ORDER_KEY_SIZE) < 0) memcpy(arg, key, DBK_ORDER_KEY_SIZE);
    return DBK_OK;
}

/* The log's own answer is cheap and may be low; where it is, what is behind it is looked at key by key. */
static dbk_result find_surely_below(dbk_engine *engine, const uint8_t *key, uint64_t last, uint64_t *below,
                                    dbk_error *err)
{
    uint8_t low[DBK_ORDER_KEY_SIZE], before[DBK_ORDER_KEY_SIZE];
    memcpy(low, key, sizeof low);
    for (int i = 0; i < LOOKS_MOST; i++) {
        memcpy(before, low, sizeof before);
        dbk_result result = dbk_log_all_below(engine->log, low, below, err);
        if (result == DBK_OK) result = each_key(engine, *below + 1, last, keep_lowest, low, err);
        if (result != DBK_OK || memcmp(before, low, sizeof low) == 0) return result;
    }
    *below = 0;
    return DBK_OK;
}

/* Too many of them: every second border goes. */
static void thin_out(dbk_buffer *chunks)
{
    dbk_chunk *items = (dbk_chunk *)(void *)chunks->data;
    size_t count = chunks->size / sizeof *items, kept = 0;
    for (size_t i = 1; i < count; i += 2) items[kept++] = items[i];
    chunks->size = kept * sizeof *items;
}

static dbk_result add_key(void *arg, uint64_t position, const uint8_t *key, dbk_error *err)
{
    dbk_buffer *chunks = arg;
    dbk_chunk chunk = {.end = position};
    memcpy(chunk.top, key, sizeof chunk.top);
    while (chunks->size > 0) {
        const dbk_chunk *last = (const dbk_chunk *)(const void *)(chunks->data + chunks->size) - 1;
        if (memcmp(last->top, key, sizeof last->top) < 0) break;
        if (memcmp(last->top, chunk.top, sizeof chunk.top) > 0) memcpy(chunk.top, last->top, sizeof chunk.top);
        chunks->size -= sizeof chunk;
    }
    dbk_buffer_put(chunks, &chunk, sizeof chunk);
    if (chunks->size / sizeof chunk >= CHUNKS_MOST && chunks->size / sizeof chunk % 2 == 0) thin_out(chunks);
    return chunks->failed ? dbk_fail(err, DBK_NO_MEMORY, "no memory for the order of the log") : DBK_OK;
}

static dbk_result find_end(dbk_engine *engine, const uint8_t *key, uint64_t *position, dbk_error *err)
{
    uint64_t last = dbk_log_position(engine->log), below = 0;
    dbk_buffer chunks;
    dbk_buffer_init(&chunks, engine->port);
    dbk_result result = find_surely_below(engine, key, last, &below, err);
    if (result == DBK_OK) result = each_key(engine, below + 1, last, add_key, &chunks, err);
    if (result == DBK_OK) result = add_key(&chunks, last + 1, key, err);
    size_t count = chunks.size / sizeof(dbk_chunk);
    *position = count > 1 ? ((const dbk_chunk *)(const void *)chunks.data)[count - 2].end : below;
    dbk_buffer_release(&chunks);
    return result;
}

static dbk_result where_model_stood(dbk_engine *engine, uint64_t position, uint64_t *stood, dbk_error *err)
{
    const dbk_port *port = engine->port;
    port->mutex_lock(port->ctx, engine->turn);
    dbk_result result = engine->dead ? dbk_fail(err, DBK_UNAVAILABLE, "the store is closing")
                                     : dbk_model_commit_below(engine->model, position, stood, err);
    port->mutex_unlock(port->ctx, engine->turn);
    return result;
}

/* Where the model stood itself its journal says what it changed since, so that the two need not be compared row by row.
 * Not if that is far below, or not surely such a position as well. */
static dbk_result stand_with_model(dbk_engine *engine, uint64_t *position, dbk_error *err)
{
    uint8_t low[DBK_ORDER_KEY_SIZE];
    uint64_t stood = 0, below = 0;
    memset(low, 0xff, sizeof low);
    dbk_result result = where_model_stood(engine, *position, &stood, err);
    if (result != DBK_OK || stood == 0 || *position - stood > FAR_BELOW) return result;
    result = each_key(engine, stood + 1, *position, keep_lowest, low, err);
    if (result == DBK_OK && stood < *position) result = dbk_log_all_below(engine->log, low, &below, err);
    if (result == DBK_OK && below >= stood) *position = stood;
    return result;
}

/* ---- the fold */

static dbk_result fold(dbk_engine *engine, uint64_t position, dbk_base *base, dbk_error *err)
{
    dbk_shadow_options options = {.model = engine->options.model, .last = position};
    dbk_past past = {.position = position};
    uint64_t begun = 0;
    dbk_result result = dbk_models_next_path(engine, engine->definition, &base->path, err);
    const char *path = (const char *)base->path.data;
    if (result == DBK_OK) result = dbk_images_start(engine, &past, path, &begun, err);
    if (result != DBK_OK) return result;
    options.image = begun > 0;
    result = dbk_model_build(engine->port, path, engine->definition, engine->log, &options, &base->model, err);
    return result == DBK_OK ? dbk_engine_begin_anew(base->model, err) : result;
}

/* What was decided meanwhile, until little is left. */
static dbk_result approach(dbk_engine *engine, dbk_base *base, bool *fits, dbk_error *err)
{
    dbk_result result = DBK_OK;
    for (int i = 0; result == DBK_OK && *fits && i < APPROACHES_MAX; i++) {
        if (dbk_engine_stops_at(engine, "ahead")) return dbk_fail(err, DBK_UNAVAILABLE, "stopped");
        if (dbk_log_position(engine->log) - dbk_ahead_position(base->ahead) <= NEAR_ENTRIES) break;
        result = dbk_ahead_follow(base->ahead, fits, err);
    }
    return result;
}

/* On a connection of its own. Where this does not go, the switch compares. */
static void compare(dbk_engine *engine, dbk_base *base)
{
    const dbk_port *port = engine->port;
    dbk_model *old = NULL;
    port->mutex_lock(port->ctx, engine->turn);
    char *path = engine->dead ? NULL : dbk_copy_text(port, dbk_model_path(engine->model));
    port->mutex_unlock(port->ctx, engine->turn);
    dbk_result result =
        path ? dbk_model_open(port, path, engine->definition, engine->log, &engine->options.model, &old, NULL)
             : DBK_UNAVAILABLE;
    if (result == DBK_OK) result = dbk_model_hold(old, NULL);
    if (result == DBK_OK) result = dbk_model_compare_ahead(base->model, old, NULL);
    dbk_model_close(old);
    dbk_free(port, path);
}

/* A failure, or a decision that sorts below what was folded, leaves a shadow that is of no log. All syncs are made here:
 * what comes behind is in its WAL, as with any commit. */
static dbk_result fold_ahead(dbk_engine *engine, const dbk_slice *origins, size_t count, dbk_base *base, bool *fits,
                             dbk_error *err)
{
    dbk_result result = dbk_ahead_make(base->model, origins, count, &base->ahead, err);
    *fits = true;
    if (result != DBK_OK || !base->ahead) return result;
    result = approach(engine, base, fits, err);
    if (result == DBK_OK && *fits) result = dbk_model_finish(base->model, false, err);
    if (result == DBK_OK && *fits) compare(engine, base);
    if (result == DBK_OK && *fits) result = dbk_models_stage(engine, (const char *)base->path.data, err);
    base->staged = result == DBK_OK && *fits;
    return base->staged ? approach(engine, base, fits, err) : result;
}

static dbk_result make(dbk_engine *engine, uint64_t position, const dbk_slice *origins, size_t count, dbk_base *base,
                       dbk_error *err)
{
    bool fits = true;
    dbk_result result = fold(engine, position, base, err);
    if (result == DBK_OK && count > 0) result = fold_ahead(engine, origins, count, base, &fits, err);
    if (result == DBK_OK && fits) return DBK_OK;
    dbk_base_drop(engine, base);
    return result == DBK_OK ? fold(engine, position, base, err) : result;
}

dbk_result dbk_base_make(dbk_engine *engine, const uint8_t key[DBK_ORDER_KEY_SIZE], const dbk_slice *origins,
                         size_t count, dbk_base *base, dbk_error *err)
{
    const dbk_engine_options *options = &engine->options;
    uint64_t position = 0, least = options->base_least ? options->base_least : LEAST_SPARED;
    uint64_t least_ahead = options->base_least ? options->base_least : LEAST_AHEAD;
    *base = (dbk_base){0};
    dbk_buffer_init(&base->path, engine->port);
    dbk_result result = find_end(engine, key, &position, err);
    if (result == DBK_OK) result = stand_with_model(engine, &position, err);
    bool ahead = position > 0 && dbk_log_position(engine->log) - position + count >= least_ahead;
    if (result == DBK_OK && !ahead && position < least) return DBK_NONE;
    if (result == DBK_OK) result = make(engine, position, origins, ahead ? count : 0, base, err);
    if (result != DBK_OK) dbk_base_drop(engine, base);
    return result;
}

void dbk_base_drop(dbk_engine *engine, dbk_base *base)
{
    dbk_ahead_free(base->ahead);
    dbk_model_close(base->model);
    if (base->staged && !engine->dead) dbk_models_unstage(engine);
    if (base->path.size > 0 && !engine->dead) dbk_models_discard(engine, (const char *)base->path.data);
    dbk_buffer_release(&base->path);
    *base = (dbk_base){0};
    dbk_buffer_init(&base->path, engine->port);
}
