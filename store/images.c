/* images/<position>.image: copies of the model at positions of the past, so that a moment is folded from the
 * nearest one below it and not from the beginning. A cache: the folder can go at any time.
 *
 * Each image holds exactly the entries at positions 1 … P. It serves a wanted set when all it holds is wanted
 * and all else that is wanted sorts above its highest order key (F24); head and definition tell whether it is
 * of this log and of today. An image is written as new-N, synced, and renamed, so that a name that stands is a
 * whole file; damage that comes later is found by its checksums when it is to serve. Within the byte budget the rungs
 * lie so that the widest gap between them is small (docs/decisions/0032). */
#include "store/images.h"

#include "store/aside.h"
#include "store/image_file.h"

#include <stdio.h>
#include <stdlib.h>

enum { IMAGES_MAX = 48, EVERY_DEFAULT = 65536, GROWTH = 8, WORTH = 16, NAME_SIZE = 40 };
static const uint64_t budget_least = 1024 * 1024;

typedef struct dbk_image {
    uint64_t position, bytes;
    uint8_t top[DBK_ORDER_KEY_SIZE];
} dbk_image;

struct dbk_images {
    dbk_mutex *mutex;            /* all below; held while one is unpacked, so that it does not go meanwhile */
    dbk_dir *dir;                /* NULL: there is no folder yet */
    dbk_image items[IMAGES_MAX]; /* by position */
    size_t count;
    bool loaded;
    const dbk_definition *definition; /* of the items */
    uint64_t serial;
    dbk_mutex *wish_mutex; /* what follows */
    dbk_cond *wish;
    dbk_thread *thread;
    char *path;            /* of the model to copy; NULL: nothing to do */
    dbk_model_state state; /* where it stood */
    bool still;            /* it is a past's, and still there */
    uint64_t next;         /* the position at which a rung is due */
    bool busy, closing;
};

static void lock(dbk_engine *engine)
{
    engine->port->mutex_lock(engine->port->ctx, engine->images->mutex);
}
static void unlock(dbk_engine *engine)
{
    engine->port->mutex_unlock(engine->port->ctx, engine->images->mutex);
}

static uint64_t every(const dbk_engine *engine)
{
    return engine->options.image_every ? engine->options.image_every : EVERY_DEFAULT;
}

/* ---- files */

static void name_of(uint64_t position, char name[NAME_SIZE])
{
    snprintf(name, NAME_SIZE, "%020llu.image", (unsigned long long)position);
}

static dbk_result path_of(dbk_engine *engine, const char *name, dbk_buffer *path, dbk_error *err)
{
    dbk_buffer_clear(path);
    dbk_buffer_printf(path, "%s/images/%s", engine->path, name);
    return dbk_buffer_text(path) ? DBK_OK : dbk_fail(err, DBK_NO_MEMORY, "no memory for a path");
}

static void remove_image(dbk_engine *engine, size_t index)
{
    struct dbk_images *images = engine->images;
    char name[NAME_SIZE];
    name_of(images->items[index].position, name);
    if (!engine->reading) (void)engine->port->unlink(engine->port->ctx, images->dir, name);
    memmove(&images->items[index], &images->items[index + 1], (images->count - index - 1) * sizeof *images->items);
    images->count--;
}

static void insert(struct dbk_images *images, const dbk_image *image)
{
    size_t at = images->count;
    while (at > 0 && images->items[at - 1].position > image->position) at--;
    memmove(&images->items[at + 1], &images->items[at], (images->count - at) * sizeof *images->items);
    images->items[at] = *image;
    images->count++;
}

/* ---- what is there */

/* An image of this log as it is, folded with today's definition. */
static dbk_result look_at(dbk_engine *engine, const char *name, dbk_image *image, dbk_error *err)
{
    struct dbk_images *images = engine->images;
    dbk_image_header header = {0};
    dbk_identity identity = {0};
    uint8_t head[DBK_LEAF_SIZE];
    dbk_result result = dbk_image_header_read(engine->port, images->dir, name, &header, err);
    if (result == DBK_OK && header.position > dbk_log_position(engine->log))
        result = dbk_fail(err, DBK_FOREIGN, "it is beyond the log");
    if (result == DBK_OK) result = dbk_log_head_at(engine->log, header.position, head, err);
    if (result == DBK_OK && (memcmp(head, header.head, sizeof head) != 0 ||
                             memcmp(header.store_id, engine->identity.store_id, sizeof header.store_id) != 0 ||
                             memcmp(header.definition, engine->definition->hash, sizeof header.definition) != 0))
        result = dbk_fail(err, DBK_FOREIGN, "it is of another log or definition");
    if (result == DBK_OK && engine->port->identify(engine->port->ctx, images->dir, name, &identity) != 0)
        result = dbk_fail(err, DBK_MISSING, "it is gone");
    *image = (dbk_image){.position = header.position, .bytes = identity.size_bytes};
    memcpy(image->top, header.top, sizeof image->top);
    return result;
}

typedef struct dbk_names {
    char items[4 * IMAGES_MAX][NAME_SIZE];
    size_t count;
} dbk_names;

static int note_name(void *arg, const char *name)
{
    dbk_names *names = arg;
    if (names->count < sizeof names->items / sizeof *names->items && strlen(name) < NAME_SIZE)
        snprintf(names->items[names->count++], NAME_SIZE, "%s", name);
    return 0;
}

static bool is_image(const char *name)
{
    return strlen(name) == 26 && strspn(name, "0123456789") == 20 && strcmp(name + 20, ".image") == 0;
}

/* What cannot be used is removed: leftovers of a crash, images of another definition. The lock is held. */
static dbk_result load(dbk_engine *engine, dbk_error *err)
{
    struct dbk_images *images = engine->images;
    if (images->definition != engine->definition) /* an upgrade came */
        while (images->count > 0) remove_image(engine, images->count - 1);
    images->definition = engine->definition;
    if (images->loaded) return DBK_OK;
    if (!images->dir) {
        dbk_result result = dbk_io_open_dir(engine->port, engine->dir, "images", 0, &images->dir, err);
        bool none = result != DBK_OK && !dbk_aside_is_kind(engine->port, engine->dir, "images", DBK_IS_DIRECTORY);
        if (result != DBK_OK) return result == DBK_MISSING || none ? DBK_OK : result;
    }
    dbk_names *names = dbk_alloc_zero(engine->port, 1, sizeof *names);
    if (!names) return dbk_fail(err, DBK_NO_MEMORY, "no memory for the list of images");
    (void)engine->port->list(engine->port->ctx, images->dir, note_name, names);
    for (size_t i = 0; i < names->count; i++) {
        char proper[NAME_SIZE];
        dbk_image image;
        bool good = is_image(names->items[i]) && images->count < IMAGES_MAX - 1 &&
                    look_at(engine, names->items[i], &image, NULL) == DBK_OK;
        if (good) name_of(image.position, proper);
        if (good && strcmp(proper, names->items[i]) == 0) insert(images, &image);
        else if (!engine->reading) (void)engine->port->unlink(engine->port->ctx, images->dir, names->items[i]);
    }
    dbk_free(engine->port, names);
    images->loaded = true;
    return DBK_OK;
}

/* ---- which one serves */

/* All it holds sorts below or is what the bound allows; of epochs above the first the highest key does not
 * tell the highest time. */
static bool holds_wanted_only(const dbk_past *past, const dbk_image *image)
{
    if (image->position > past->position) return false;
    if (past->bounded) {
        int order = memcmp(image->top, past->bound, DBK_ORDER_KEY_SIZE);
        if (order > 0 || (order == 0 && !past->through)) return false;
    }
    if (past->order_time_ms == 0) return true;
    return past->order_time_ms > 0 && dbk_load_be32(image->top) == 0 &&
           dbk_load_be64(image->top + 4) >> 16 <= (uint64_t)past->order_time_ms;
}

/* The lowest order key of what is wanted at the positions first … last; `low` keeps what is lower already. */
static dbk_result lower(dbk_engine *engine, const dbk_past *past, uint64_t first, uint64_t last,
                        uint8_t low[DBK_ORDER_KEY_SIZE], dbk_error *err)
{
    dbk_log_cursor *cursor = NULL;
    dbk_past wanted = *past;
    uint64_t position;
    int64_t received_ms;
    dbk_slice origin;
    if (first > last) return DBK_OK;
    dbk_result result = dbk_log_cursor_open(engine->log, first, last, &cursor, err);
    while (result == DBK_OK) {
        dbk_entry entry;
        uint8_t key[DBK_ORDER_KEY_SIZE];
        result = dbk_log_cursor_next(cursor, &position, &received_ms, &origin, err);
        if (result == DBK_OK) result = dbk_entry_decode(origin, &entry, err);
        if (result != DBK_OK) break;
        dbk_entry_order_key(&entry, key);
        if (memcmp(key, low, sizeof key) < 0 && dbk_past_wants(&wanted, position, received_ms, key))
            memcpy(low, key, sizeof key);
    }
    dbk_log_cursor_close(cursor);
    return result == DBK_END ? DBK_OK : result;
}

/* From the newest down: the range whose keys are looked at grows with every image that does not serve. */
static dbk_result start(dbk_engine *engine, const dbk_past *past, const char *path, uint64_t *position, dbk_error *err)
{
    struct dbk_images *images = engine->images;
    uint8_t low[DBK_ORDER_KEY_SIZE];
    uint64_t looked = past->position + 1;
    bool ordered = dbk_log_is_ordered(engine->log);
    memset(low, 0xff, sizeof low);
    for (size_t i = images->count; i > 0; i--) {
        const dbk_image *image = &images->items[i - 1];
        if (!holds_wanted_only(past, image)) continue;
        dbk_result result = ordered ? DBK_OK : lower(engine, past, image->position + 1, looked - 1, low, err);
        if (result != DBK_OK) return result;
        looked = image->position + 1;
        if (!ordered && memcmp(image->top, low, sizeof low) >= 0) continue;
        char name[NAME_SIZE];
        name_of(image->position, name);
        result = dbk_image_unpack(engine->port, images->dir, name, path, err);
        if (result == DBK_OK) *position = image->position;
        if (result != DBK_CORRUPT && result != DBK_MISSING) return result;
        remove_image(engine, i - 1); /* somebody took it away, or it is damaged */
    }
    return DBK_OK;
}

dbk_result dbk_images_start(dbk_engine *engine, const dbk_past *past, const char *path, uint64_t *position,
                            dbk_error *err)
{
    *position = 0;
    if (!engine->images || past->position == 0) return DBK_OK;
    lock(engine);
    dbk_result result = load(engine, err);
    if (result == DBK_OK) result = start(engine, past, path, position, err);
    unlock(engine);
    return result;
}

/* ---- the ladder */

static uint64_t bytes_of(const struct dbk_images *images)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < images->count; i++) bytes += images->items[i].bytes;
    return bytes;
}

/* Of the file of the present model; 0: it is not known. */
static uint64_t model_bytes(dbk_engine *engine)
{
    const dbk_port *port = engine->port;
    dbk_identity identity = {0};
    dbk_dir *dir = NULL;
    dbk_buffer path;
    dbk_buffer_init(&path, port);
    dbk_result result = dbk_models_current(engine, &path, NULL);
    const char *text = result == DBK_OK ? dbk_buffer_text(&path) : NULL;
    char *slash = text ? strrchr((char *)path.data, '/') : NULL;
    if (slash) {
        *slash = '\0';
        result = dbk_io_open_dir(port, NULL, text, 0, &dir, NULL);
        if (result == DBK_OK) (void)port->identify(port->ctx, dir, slash + 1, &identity);
        if (dir) port->close_dir(port->ctx, dir);
    }
    dbk_buffer_release(&path);
    return identity.size_bytes;
}

/* What all may take: four images of a tenth of the model. */
static uint64_t budget_of(dbk_engine *engine)
{
    if (engine->options.image_bytes) return engine->options.image_bytes;
    uint64_t budget = model_bytes(engine) / 10 * 4;
    return budget > budget_least ? budget : budget_least;
}

/* The rung that leaves the smallest gap when it goes. The gap above the newest one will have grown by the time the
 * next one is made; where only one can stay, it is the newer one from twice the older one's position on. */
static size_t least_missed(const dbk_image *items, size_t count, uint64_t end)
{
    size_t least = 0;
    uint64_t smallest = UINT64_MAX, grown = end + (count > 2 ? end / GROWTH : end / 2);
    for (size_t i = 0; i < count; i++) {
        uint64_t below = i > 0 ? items[i - 1].position : 0;
        uint64_t above = i + 1 < count ? items[i + 1].position : grown;
        if (above - below >= smallest) continue;
        least = i;
        smallest = above - below;
    }
    return least;
}

static bool is_too_much(const struct dbk_images *images, uint64_t budget)
{
    return images->count >= IMAGES_MAX - 1 || bytes_of(images) > budget;
}

static void thin_out(dbk_engine *engine)
{
    struct dbk_images *images = engine->images;
    uint64_t budget = budget_of(engine);
    while (images->count > 1 && is_too_much(images, budget))
        remove_image(engine, least_missed(images->items, images->count, dbk_log_position(engine->log)));
}

/* Whether a rung at the position would outlive the thinning out that follows it, if it is as large as its neighbour. */
static bool would_stay(dbk_engine *engine, uint64_t position)
{
    struct dbk_images after = *engine->images;
    size_t at = 0;
    if (after.count == 0) return true;
    while (at < after.count && after.items[at].position < position) at++;
    if (at < after.count && after.items[at].position == position) return false;
    dbk_image image = after.items[at > 0 ? at - 1 : 0];
    image.position = position;
    insert(&after, &image);
    return !is_too_much(&after, budget_of(engine)) ||
           least_missed(after.items, after.count, dbk_log_position(engine->log)) != at;
}

/* ---- a rung is made */

/* Its files on the way: the model, the copy of it that an image holds, the image. A crash may leave them. */
typedef struct dbk_making {
    char names[3][NAME_SIZE];
    dbk_buffer model, copy;
} dbk_making;

static dbk_result name_making(dbk_engine *engine, dbk_making *making, dbk_error *err)
{
    static const char *const ends[] = {"model", "copy", "image"};
    uint64_t serial = ++engine->images->serial;
    for (size_t i = 0; i < 3; i++)
        snprintf(making->names[i], NAME_SIZE, "new-%llu.%s", (unsigned long long)serial, ends[i]);
    dbk_buffer_init(&making->model, engine->port);
    dbk_buffer_init(&making->copy, engine->port);
    dbk_result result = path_of(engine, making->names[0], &making->model, err);
    return result == DBK_OK ? path_of(engine, making->names[1], &making->copy, err) : result;
}

/* Without the lock: the model may be large. The file of a past may have gone meanwhile, and its path to another past,
 * which holds something else (`expected`). */
static dbk_result make(dbk_engine *engine, const char *model_path, const dbk_model_state *expected,
                       const dbk_making *making, dbk_error *err)
{
    const dbk_port *port = engine->port;
    const char *copy = (const char *)making->copy.data;
    dbk_model_state state = {0};
    dbk_image_header header = {0};
    dbk_result result = dbk_image_make(port, &engine->options.model, engine->definition, model_path,
                                       (const char *)making->model.data, copy, err);
    if (result == DBK_OK) result = dbk_image_look(port, engine->options.model.vfs, copy, &state, err);
    if (result == DBK_OK && expected &&
        (state.position != expected->position || state.fingerprint.low != expected->fingerprint.low ||
         state.fingerprint.high != expected->fingerprint.high))
        result = dbk_fail(err, DBK_MISSING, "the past is gone");
    if (result != DBK_OK) return result;
    header.position = state.position;
    memcpy(header.store_id, engine->identity.store_id, sizeof header.store_id);
    memcpy(header.head, state.head, sizeof header.head);
    memcpy(header.top, state.top, sizeof header.top);
    memcpy(header.definition, state.definition, sizeof header.definition);
    return dbk_image_pack(port, engine->images->dir, making->names[1], &header, making->names[2], err);
}

/* The lock is held. */
static dbk_result take_in(dbk_engine *engine, const char *fresh, dbk_error *err)
{
    const dbk_port *port = engine->port;
    struct dbk_images *images = engine->images;
    char name[NAME_SIZE];
    dbk_image image;
    dbk_result result = look_at(engine, fresh, &image, err);
    if (result == DBK_OK && !would_stay(engine, image.position)) result = dbk_fail(err, DBK_EXISTS, "it is not missed");
    if (result != DBK_OK) return result;
    name_of(image.position, name);
    int rc = port->rename(port->ctx, images->dir, fresh, images->dir, name);
    if (rc != 0) return dbk_fail_os(err, dbk_result_of_errno(-rc), -rc, "cannot rename an image");
    result = dbk_io_sync_dir(port, images->dir, "images", err);
    if (result == DBK_OK) insert(images, &image);
    else (void)port->unlink(port->ctx, images->dir, name);
    return result;
}

/* The lock is held. */
static dbk_result begin_making(dbk_engine *engine, uint64_t position, dbk_making *making)
{
    struct dbk_images *images = engine->images;
    dbk_result result = load(engine, NULL);
    if (result == DBK_OK && !images->dir)
        result = dbk_io_open_dir(engine->port, engine->dir, "images", DBK_OPEN_DIRECTORY, &images->dir, NULL);
    images->loaded = images->loaded || (result == DBK_OK && images->dir);
    if (result == DBK_OK && !would_stay(engine, position)) result = DBK_EXISTS;
    return result == DBK_OK ? name_making(engine, making, NULL) : result;
}

/* `still`: the model is not written any more, and no rung if it holds something else than the state. */
static void offer(dbk_engine *engine, const char *model_path, const dbk_model_state *state, bool still)
{
    const dbk_port *port = engine->port;
    dbk_making making = {0};
    if (!engine->images || engine->reading) return;
    lock(engine);
    dbk_result result = begin_making(engine, state->position, &making);
    unlock(engine);
    if (result == DBK_OK) {
        result = make(engine, model_path, still ? state : NULL, &making, NULL);
        lock(engine);
        if (result == DBK_OK) result = take_in(engine, making.names[2], NULL);
        if (result == DBK_OK) thin_out(engine);
        for (size_t i = 0; i < 3; i++) (void)port->unlink(port->ctx, engine->images->dir, making.names[i]);
        unlock(engine);
    }
    dbk_buffer_release(&making.model);
    dbk_buffer_release(&making.copy);
}

void dbk_images_clear(dbk_engine *engine)
{
    if (!engine->images) return;
    lock(engine);
    if (load(engine, NULL) == DBK_OK)
        while (engine->images->count > 0) remove_image(engine, engine->images->count - 1);
    unlock(engine);
}

/* ---- rungs as the log grows */

static uint64_t next_rung(const dbk_engine *engine, uint64_t position)
{
    uint64_t step = position / GROWTH;
    return position + (step > every(engine) ? step : every(engine));
}

static void run(void *arg)
{
    dbk_engine *engine = arg;
    const dbk_port *port = engine->port;
    struct dbk_images *images = engine->images;
    port->mutex_lock(port->ctx, images->wish_mutex);
    while (!images->closing) {
        if (!images->path) {
            (void)port->cond_wait(port->ctx, images->wish, images->wish_mutex, -1);
            continue;
        }
        char *path = images->path;
        dbk_model_state state = images->state;
        bool still = images->still;
        images->path = NULL;
        images->busy = true;
        port->mutex_unlock(port->ctx, images->wish_mutex);
        offer(engine, path, &state, still);
        dbk_free(port, path);
        port->mutex_lock(port->ctx, images->wish_mutex);
        images->busy = false;
    }
    port->mutex_unlock(port->ctx, images->wish_mutex);
}

/* To the thread, unless it has something to do already. */
static void wish(dbk_engine *engine, const char *model_path, const dbk_model_state *state, bool still)
{
    struct dbk_images *images = engine->images;
    const dbk_port *port = engine->port;
    port->mutex_lock(port->ctx, images->wish_mutex);
    if (!images->busy && !images->path) {
        images->path = dbk_copy_text(port, model_path);
        images->state = *state;
        images->still = still;
        port->cond_signal(port->ctx, images->wish);
    }
    port->mutex_unlock(port->ctx, images->wish_mutex);
}

void dbk_images_after_commit(dbk_engine *engine, const dbk_model *model)
{
    struct dbk_images *images = engine->images;
    dbk_model_state state;
    dbk_model_get_state(model, &state);
    if (!images || !images->thread || engine->disk.low || state.position < images->next) return;
    images->next = next_rung(engine, state.position);
    wish(engine, dbk_model_path(model), &state, false);
}

void dbk_images_after_fold(dbk_engine *engine, const char *model_path, const dbk_model_state *state, uint64_t entries)
{
    if (!engine->images || engine->reading || engine->disk.low || entries * WORTH < every(engine)) return;
    if (engine->images->thread) wish(engine, model_path, state, true);
    else offer(engine, model_path, state, true);
}

/* ---- made and freed */

typedef struct dbk_newest {
    uint64_t last, position; /* the log's last; the newest name's */
} dbk_newest;

static int note_newest(void *arg, const char *name)
{
    dbk_newest *newest = arg;
    uint64_t position = is_image(name) ? strtoull(name, NULL, 10) : 0;
    if (position > newest->position && position <= newest->last) newest->position = position;
    return 0;
}

/* The newest image tells when the next one is due, and its name is enough: to look into each would cost every opening
 * of the store some ms, for what most never ask. */
static uint64_t first_rung(dbk_engine *engine)
{
    struct dbk_images *images = engine->images;
    dbk_newest newest = {.last = dbk_log_position(engine->log)};
    if (dbk_io_open_dir(engine->port, engine->dir, "images", 0, &images->dir, NULL) == DBK_OK)
        (void)engine->port->list(engine->port->ctx, images->dir, note_newest, &newest);
    return next_rung(engine, newest.position);
}

dbk_result dbk_images_new(dbk_engine *engine, dbk_error *err)
{
    const dbk_port *port = engine->port;
    struct dbk_images *images = engine->images = dbk_alloc_zero(port, 1, sizeof *images);
    if (!images) return dbk_fail(err, DBK_NO_MEMORY, "no memory for the images");
    images->mutex = port->mutex_new(port->ctx);
    images->wish_mutex = port->mutex_new(port->ctx);
    images->wish = port->cond_new(port->ctx);
    if (!images->mutex || !images->wish_mutex || !images->wish)
        return dbk_fail(err, DBK_NO_MEMORY, "no memory for the images");
    dbk_result cleared = engine->reading
                             ? DBK_OK
                             : dbk_aside_put(port, engine->dir, "", "images", DBK_IS_DIRECTORY, engine->log_dir, err);
    if (cleared != DBK_OK || engine->options.no_threads || engine->reading) return cleared;
    images->next = first_rung(engine);
    int rc = port->thread_start(port->ctx, "dbk-images", run, engine, &images->thread);
    return rc == 0 ? DBK_OK : dbk_fail_os(err, dbk_result_of_errno(-rc), -rc, "cannot start a thread");
}

void dbk_images_free(dbk_engine *engine)
{
    const dbk_port *port = engine->port;
    struct dbk_images *images = engine->images;
    if (!images) return;
    if (images->thread) {
        port->mutex_lock(port->ctx, images->wish_mutex);
        images->closing = true;
        port->cond_signal(port->ctx, images->wish);
        port->mutex_unlock(port->ctx, images->wish_mutex);
        port->thread_join(port->ctx, images->thread);
    }
    if (images->dir) port->close_dir(port->ctx, images->dir);
    if (images->wish) port->cond_free(port->ctx, images->wish);
    if (images->wish_mutex) port->mutex_free(port->ctx, images->wish_mutex);
    if (images->mutex) port->mutex_free(port->ctx, images->mutex);
    dbk_free(port, images->path);
    dbk_free(port, images);
    engine->images = NULL;
}
