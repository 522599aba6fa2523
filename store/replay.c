/* As of (semantics.md §7): the fold of a wanted set of entries into a file of its own. */
#include "store/async.h"
#include "store/images.h"

#include <stdio.h>

enum { PASTS_MAX = 4, NAME_TRIES = 100 };

/* ---- which entries */

/* Received times never decrease, nor do those of entries in an ordered log of one epoch (`happened`): the last position
 * that was received, or that happened, by then; 0 when there is none. */
static dbk_result position_at(dbk_engine *engine, int64_t time_ms, bool happened, uint64_t *position, dbk_error *err)
{
    uint64_t low = 0, high = dbk_log_position(engine->log);
    dbk_buffer origin;
    dbk_buffer_init(&origin, engine->port);
    dbk_result result = DBK_OK;
    while (result == DBK_OK && low < high) {
        uint64_t middle = low + (high - low + 1) / 2;
        int64_t at_ms = 0;
        dbk_entry entry;
        result = dbk_log_read(engine->log, middle, &origin, &at_ms, err);
        if (result == DBK_OK && happened) {
            result = dbk_entry_decode(dbk_buffer_slice(&origin), &entry, err);
            at_ms = result == DBK_OK ? (int64_t)(entry.hlc >> 16) : 0;
        }
        if (at_ms <= time_ms) low = middle;
        else high = middle - 1;
    }
    dbk_buffer_release(&origin);
    *position = low;
    return result == DBK_NONE ? dbk_fail(err, DBK_GAP, "the log has no entry at a position below its end") : result;
}

static bool is_ordered_by_time(dbk_engine *engine)
{
    uint32_t epoch = 0;
    uint64_t hlc = 0;
    dbk_log_clock(engine->log, &epoch, &hlc);
    return epoch == 0 && dbk_log_is_ordered(engine->log);
}

dbk_result dbk_past_of(dbk_engine *engine, const dbk_moment *at, dbk_past *past, dbk_error *err)
{
    uint64_t end = dbk_log_position(engine->log);
    *past = (dbk_past){.position = end};
    if (!at) return DBK_OK;
    if (at->position > end) {
        dbk_fail(err, DBK_NOT_FOUND, "there is no position %llu", (unsigned long long)at->position);
        dbk_error_hint(err, "the last position is %llu", (unsigned long long)end);
        return DBK_NOT_FOUND;
    }
    past->order_time_ms = at->order_time_ms;
    if (at->position > 0) past->position = at->position;
    bool by_time = past->order_time_ms > 0 && is_ordered_by_time(engine);
    uint64_t position = 0;
    dbk_result result = DBK_OK;
    if (by_time) {
        past->order_time_ms = 0; /* then positions alone say it */
        result = position_at(engine, at->order_time_ms, true, &position, err);
        if (result == DBK_OK && position < past->position) past->position = position;
    }
    if (result != DBK_OK || at->time_ms == 0) return result;
    result = position_at(engine, at->time_ms, false, &position, err);
    if (result == DBK_OK && position < past->position) past->position = position;
    return result;
}

/* In an ordered log the positions alone say it, and need no walk over what is above. */
void dbk_past_bound(dbk_engine *engine, const dbk_entry *entry, uint64_t position, bool through, dbk_past *past)
{
    past->bounded = true;
    past->through = through;
    dbk_entry_order_key(entry, past->bound);
    if (dbk_log_is_ordered(engine->log)) past->position = through ? position : position - 1;
}

bool dbk_past_wants(const dbk_past *past, uint64_t position, int64_t received_ms, const uint8_t key[DBK_ORDER_KEY_SIZE])
{
    (void)received_ms;
    if (position > past->position) return false;
    if (past->bounded) {
        int order = memcmp(key, past->bound, DBK_ORDER_KEY_SIZE);
        if (order > 0 || (order == 0 && !past->through)) return false;
    }
    if (past->order_time_ms == 0) return true;
    return past->order_time_ms > 0 && dbk_load_be64(key + 4) >> 16 <= (uint64_t)past->order_time_ms;
}

static bool is_wanted(void *arg, uint64_t position, int64_t received_ms, const uint8_t key[DBK_ORDER_KEY_SIZE])
{
    return dbk_past_wants(arg, position, received_ms, key);
}

/* ---- the file */

/* A path as folder and name; the buffer keeps the folder. */
static const char *split(const char *path, dbk_buffer *folder)
{
    const char *slash = strrchr(path, '/');
    if (!slash) dbk_buffer_put_text(folder, ".");
    else dbk_buffer_put(folder, path, slash == path ? 1 : (size_t)(slash - path));
    return slash ? slash + 1 : path;
}

/* Best effort: the caller tells of the failure that led here. */
void dbk_past_remove_file(const dbk_port *port, const char *path)
{
    static const char *const tails[] = {"", "-wal", "-shm", "-journal"};
    dbk_buffer folder, name;
    dbk_dir *dir = NULL;
    dbk_buffer_init(&folder, port);
    dbk_buffer_init(&name, port);
    const char *base = split(path, &folder);
    if (dbk_buffer_text(&folder) && dbk_io_open_dir(port, NULL, (const char *)folder.data, 0, &dir, NULL) == DBK_OK) {
        for (size_t i = 0; i < sizeof tails / sizeof *tails; i++) {
            dbk_buffer_clear(&name);
            dbk_buffer_printf(&name, "%s%s", base, tails[i]);
            if (dbk_buffer_text(&name)) (void)port->unlink(port->ctx, dir, (const char *)name.data);
        }
        port->close_dir(port->ctx, dir);
    }
    dbk_buffer_release(&folder);
    dbk_buffer_release(&name);
}

/* A trail wants all that it can hear of: it is told from the first entry on, unless it is of one entry. */
static bool may_start_late(const dbk_past *past, const dbk_trail *trail)
{
    return !trail || trail->bounded || (trail->position > 0 && past->bounded);
}

static bool is_fold_of_positions(const dbk_engine *engine, const dbk_past *past)
{
    return past->order_time_ms == 0 && (!past->bounded || dbk_log_is_ordered(engine->log));
}

/* The image that a trail begins with must not hold what it is to tell. */
static dbk_result begin(dbk_engine *engine, const dbk_past *past, const dbk_trail *trail, const char *path,
                        uint64_t *begun, dbk_error *err)
{
    dbk_past start = *past;
    *begun = 0;
    if (past->model || !may_start_late(past, trail)) return DBK_OK;
    if (trail && trail->bounded) {
        start.bounded = true;
        start.through = false;
        memcpy(start.bound, trail->first, sizeof start.bound);
    } else if (trail) {
        start.through = false;
        if (start.position >= trail->position && dbk_log_is_ordered(engine->log)) start.position = trail->position - 1;
    }
    return dbk_images_start(engine, &start, path, begun, err);
}

static dbk_result fold(dbk_engine *engine, const dbk_past *past, const char *path, const dbk_trail *trail,
                       dbk_progress_fn progress, void *arg, uint64_t *folded, dbk_model **model, dbk_error *err)
{
    dbk_past wanted = *past;
    uint64_t begun = 0;
    dbk_model_stop stop = {0};
    dbk_shadow_options options = {.model = engine->options.model,
                                  .last = past->position,
                                  .progress = progress,
                                  .progress_arg = arg,
                                  .trail = trail};
    if (!is_fold_of_positions(engine, past)) {
        options.wanted = is_wanted;
        options.wanted_arg = &wanted;
    }
    dbk_result result = begin(engine, past, trail, path, &begun, err);
    if (result != DBK_OK) return result;
    options.image = begun > 0;
    options.model.passing = past->passing;
    if (folded) *folded = past->position - begun;
    if (past->model && past->position > 0) {
        options.stop = &stop;
        return dbk_async_fold(engine, path, past->model, &options, model, err);
    }
    if (past->position > 0)
        return dbk_model_build(engine->port, path, engine->definition, engine->log, &options, model, err);
    options.model.bulk = true; /* before the first entry: to the builder 0 would mean all */
    return dbk_model_create(engine->port, path, past->model ? past->model : engine->definition, engine->log,
                            &options.model, model, err);
}

/* Folds it into a new file, plain or as a model. A file left by a failure is removed. */
static dbk_result build(dbk_engine *engine, const dbk_past *past, const char *path, bool plain,
                        dbk_progress_fn progress, void *arg, dbk_model_state *state, dbk_error *err)
{
    dbk_model *model = NULL;
    dbk_model_state folded_state = {0};
    uint64_t folded = 0;
    dbk_result result = fold(engine, past, path, NULL, progress, arg, &folded, &model, err);
    if (result == DBK_OK) dbk_model_get_state(model, &folded_state);
    if (state) *state = folded_state;
    if (result == DBK_OK) result = dbk_model_finish(model, plain, err);
    dbk_model_close(model);
    if (result == DBK_OK && !plain && !past->model && is_fold_of_positions(engine, past))
        dbk_images_after_fold(engine, path, &folded_state, folded);
    if (result != DBK_OK && result != DBK_EXISTS) dbk_past_remove_file(engine->port, path);
    return result;
}

/* In the store's folder a file that the engine did not make may be taken for one of its own: named as the
 * next segment, it would end the log. A store's folders are two deep. */
static dbk_result refuse_own_folder(dbk_engine *engine, const char *path, dbk_error *err)
{
    const dbk_port *port = engine->port;
    dbk_identity own, found;
    dbk_buffer folder;
    dbk_result result = DBK_OK;
    int rc = port->identify_dir(port->ctx, engine->dir, &own);
    if (rc != 0) return dbk_fail_os(err, dbk_result_of_errno(-rc), -rc, "cannot look at the store's folder");
    dbk_buffer_init(&folder, port);
    (void)split(path, &folder);
    for (int up = 0; result == DBK_OK && up <= 2; up++) {
        dbk_dir *dir = NULL;
        dbk_result opened = dbk_buffer_text(&folder)
                                ? dbk_io_open_dir(port, NULL, (const char *)folder.data, 0, &dir, NULL)
                                : DBK_NO_MEMORY;
        if (opened == DBK_NO_MEMORY) result = dbk_fail(err, opened, "no memory for a path");
        if (opened != DBK_OK) break; /* then the file cannot be made there, or the folder is not the store's */
        rc = port->identify_dir(port->ctx, dir, &found);
        port->close_dir(port->ctx, dir);
        if (rc == 0 && found.device == own.device && found.inode == own.inode)
            result = dbk_fail(err, DBK_BAD_COMMAND, "the folder is the store's own");
        dbk_buffer_put_text(&folder, "/..");
    }
    dbk_buffer_release(&folder);
    return result;
}

dbk_result dbk_engine_replay_model(dbk_engine *engine, const dbk_definition *model, const dbk_moment *at,
                                   const char *path, bool plain, dbk_progress_fn progress, void *arg,
                                   dbk_model_state *state, dbk_error *err)
{
    dbk_past past;
    dbk_result result = refuse_own_folder(engine, path, err);
    if (result == DBK_OK) result = dbk_past_of(engine, at, &past, err);
    past.model = model;
    if (result == DBK_OK) result = build(engine, &past, path, plain, progress, arg, state, err);
    return result == DBK_OK ? DBK_OK : dbk_error_wrap(err, result, "cannot replay into '%s'", path);
}

dbk_result dbk_engine_replay(dbk_engine *engine, const dbk_moment *at, const char *path, bool plain,
                             dbk_progress_fn progress, void *arg, dbk_model_state *state, dbk_error *err)
{
    return dbk_engine_replay_model(engine, NULL, at, path, plain, progress, arg, state, err);
}

/* ---- moments that were asked for lately */

typedef struct dbk_past_file {
    dbk_past past;
    const dbk_definition *definition; /* the engine's when it was made: after an upgrade it answers nobody */
    uint64_t log_position;            /* what was known: it counts for order times */
    uint64_t used;                    /* the higher, the later */
    char *path;
    dbk_model_reader *reader;
    dbk_model_state state;
} dbk_past_file;

struct dbk_pasts {
    dbk_past_file files[PASTS_MAX];
    uint64_t uses;
};

static void forget(dbk_engine *engine, dbk_past_file *file)
{
    dbk_reader_close(file->reader);
    if (file->path && engine->reading) dbk_past_remove_file(engine->port, file->path);
    else if (file->path) dbk_models_discard(engine, file->path);
    dbk_free(engine->port, file->path);
    *file = (dbk_past_file){0};
}

/* In a folder of the models, where a next opening removes what a crash left; a store that is only read
 * keeps its hands off its folders. */
static dbk_result choose_path(dbk_engine *engine, uint64_t number, dbk_buffer *path, dbk_error *err)
{
    const dbk_port *port = engine->port;
    if (engine->reading) {
        dbk_buffer_clear(path);
        dbk_buffer_printf(path, "/tmp/daybook-%u-%llu-%llu.sqlite", port->process_id(port->ctx),
                          (unsigned long long)port->monotonic_ns(port->ctx), (unsigned long long)number);
        return dbk_buffer_text(path) ? DBK_OK : dbk_fail(err, DBK_NO_MEMORY, "no memory for a path");
    }
    dbk_result result = DBK_EXISTS;
    for (int i = 0; result == DBK_EXISTS && i < NAME_TRIES; i++)
        result = dbk_models_next_path(engine, engine->definition, path, err);
    return result;
}

dbk_result dbk_past_open(dbk_engine *engine, const dbk_past *past, const dbk_trail *trail, dbk_past_model *out,
                         dbk_error *err)
{
    dbk_buffer path;
    *out = (dbk_past_model){0};
    dbk_buffer_init(&path, engine->port);
    dbk_result result = choose_path(engine, 0, &path, err);
    if (result == DBK_OK && !(out->path = dbk_copy_text(engine->port, (const char *)path.data)))
        result = dbk_fail(err, DBK_NO_MEMORY, "no memory for a path");
    if (result == DBK_OK) result = fold(engine, past, out->path, trail, NULL, NULL, NULL, &out->model, err);
    if (result != DBK_OK) dbk_past_discard(engine, out);
    dbk_buffer_release(&path);
    return result;
}

dbk_result dbk_past_alone(dbk_engine *engine, const dbk_alone *alone, const dbk_trail *trail, dbk_error *err)
{
    dbk_buffer path;
    dbk_past_model past = {0};
    dbk_buffer_init(&path, engine->port);
    dbk_result result = choose_path(engine, 0, &path, err);
    if (result == DBK_OK && !(past.path = dbk_copy_text(engine->port, (const char *)path.data)))
        result = dbk_fail(err, DBK_NO_MEMORY, "no memory for a path");
    if (result == DBK_OK)
        result = dbk_model_tell_alone(engine->port, past.path, engine->definition, engine->log, &engine->options.model,
                                      alone, trail, err);
    dbk_past_discard(engine, &past);
    dbk_buffer_release(&path);
    return result;
}

void dbk_past_discard(dbk_engine *engine, dbk_past_model *past)
{
    dbk_model_close(past->model);
    if (past->path && engine->reading) dbk_past_remove_file(engine->port, past->path);
    else if (past->path) dbk_models_discard(engine, past->path);
    dbk_free(engine->port, past->path);
    *past = (dbk_past_model){0};
}

static dbk_result make(dbk_engine *engine, const dbk_past *past, uint64_t log_position, dbk_past_file *file,
                       dbk_error *err)
{
    dbk_buffer path;
    dbk_buffer_init(&path, engine->port);
    dbk_result result = choose_path(engine, engine->pasts->uses, &path, err);
    if (result == DBK_OK) {
        *file = (dbk_past_file){.past = *past,
                                .definition = engine->definition,
                                .log_position = log_position,
                                .path = dbk_copy_text(engine->port, (const char *)path.data)};
        if (!file->path) result = dbk_fail(err, DBK_NO_MEMORY, "no memory for a path");
    }
    if (result == DBK_OK) result = build(engine, past, file->path, false, NULL, NULL, &file->state, err);
    if (result == DBK_OK)
        result = dbk_reader_open(engine->port, file->path, engine->options.model.vfs,
                                 past->model ? past->model : engine->definition, &file->reader, err);
    if (result == DBK_OK) result = dbk_reader_show_log(file->reader, engine->log, err);
    if (result != DBK_OK) forget(engine, file);
    dbk_buffer_release(&path);
    return result;
}

static dbk_past_file *find(dbk_engine *engine, const dbk_past *past, uint64_t log_position)
{
    for (size_t i = 0; i < PASTS_MAX; i++) {
        dbk_past_file *file = &engine->pasts->files[i];
        if (file->definition != engine->definition) continue;
        bool known = past->order_time_ms == 0 || file->log_position == log_position;
        if (file->reader && known && file->past.model == past->model && file->past.position == past->position &&
            file->past.order_time_ms == past->order_time_ms)
            return file;
    }
    return NULL;
}

static dbk_past_file *oldest(dbk_pasts *pasts)
{
    dbk_past_file *old = &pasts->files[0];
    for (size_t i = 1; i < PASTS_MAX; i++)
        if (pasts->files[i].used < old->used) old = &pasts->files[i];
    return old;
}

dbk_result dbk_pasts_enter(dbk_engine *engine, const dbk_definition *model, const dbk_moment *at,
                           dbk_model_reader **reader, dbk_model_state *state, dbk_error *err)
{
    const dbk_port *port = engine->port;
    dbk_past past;
    *reader = NULL;
    port->mutex_lock(port->ctx, engine->pasts_lock);
    if (!engine->pasts) engine->pasts = dbk_alloc_zero(port, 1, sizeof *engine->pasts);
    if (!engine->pasts) return dbk_fail(err, DBK_NO_MEMORY, "no memory for a moment of the past");
    uint64_t log_position = dbk_log_position(engine->log);
    dbk_result result = dbk_past_of(engine, at, &past, err);
    if (result != DBK_OK) return result;
    past.model = model;
    past.passing = true;
    dbk_past_file *file = find(engine, &past, log_position);
    engine->pasts->uses++;
    if (!file) {
        file = oldest(engine->pasts);
        forget(engine, file);
        result = make(engine, &past, log_position, file, err);
    }
    if (result != DBK_OK) return result;
    file->used = engine->pasts->uses;
    *reader = file->reader;
    if (state) *state = file->state;
    return DBK_OK;
}

void dbk_pasts_leave(dbk_engine *engine)
{
    engine->port->mutex_unlock(engine->port->ctx, engine->pasts_lock);
}

void dbk_pasts_forget(dbk_engine *engine)
{
    engine->port->mutex_lock(engine->port->ctx, engine->pasts_lock);
    for (size_t i = 0; engine->pasts && i < PASTS_MAX; i++) forget(engine, &engine->pasts->files[i]);
    dbk_pasts_leave(engine);
}

void dbk_pasts_free(dbk_engine *engine)
{
    if (!engine->pasts) return;
    for (size_t i = 0; i < PASTS_MAX; i++) forget(engine, &engine->pasts->files[i]);
    dbk_free(engine->port, engine->pasts);
    engine->pasts = NULL;
}
