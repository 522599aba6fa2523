/* A batch is cut into groups of 2^height leaves, which begin where such a tree of the range may begin; whoever
 * is free takes the next one and leaves its root. The groups at both ends may be cut short: of these the
 * leaves are kept. The range then takes the trees in order, so that its head is the one that leaves added one
 * by one would give. */
#include "log/leaves.h"

#include <assert.h>

enum {
    THREADS_MAX = 3,         /* beside the asking one */
    GROUP_BYTES = 16 * 1024, /* some 16 µs of work */
    HEIGHT_MAX = 6,
};

typedef struct group {
    size_t from, to; /* of the batch's entries */
} group;

struct dbk_leaves {
    const dbk_port *port;
    dbk_mutex *mutex;
    dbk_cond *wanted, *finished;
    dbk_thread *threads[THREADS_MAX];
    uint32_t thread_count;
    bool started; /* or tried */
    bool closing; /* mutex, as the next three */
    size_t next, done, group_count;
    /* the batch: given before the groups are, unchanged until all are done */
    const dbk_slice *origins;
    size_t count;
    uint64_t behind;
    unsigned height;
    uint8_t ends[2][1 << HEIGHT_MAX][DBK_LEAF_SIZE]; /* leaves of a first and a last group that are cut short */
    uint8_t (*roots)[DBK_LEAF_SIZE];
    size_t root_room;
};

static void lock(const dbk_leaves *l)
{
    l->port->mutex_lock(l->port->ctx, l->mutex);
}
static void unlock(const dbk_leaves *l)
{
    l->port->mutex_unlock(l->port->ctx, l->mutex);
}

static group group_at(const dbk_leaves *l, size_t index)
{
    uint64_t whole = 1ull << l->height, first = (l->behind >> l->height) + index;
    uint64_t from = first << l->height, end = l->behind + l->count;
    group g = {0, (size_t)((from + whole < end ? from + whole : end) - l->behind)};

    if (from > l->behind) g.from = (size_t)(from - l->behind);
    return g;
}

static bool is_whole(const dbk_leaves *l, group g)
{
    return g.to - g.from == (size_t)1 << l->height;
}

/* A batch within one group has that as its first and its last one. */
static uint8_t (*end_of(dbk_leaves *l, size_t index))[DBK_LEAF_SIZE]
{
    return l->ends[index == 0 ? 0 : 1];
}

static void hash_group(dbk_leaves *l, size_t index)
{
    group g = group_at(l, index);
    dbk_range range;

    if (!is_whole(l, g)) {
        for (size_t i = g.from; i < g.to; i++) dbk_entry_leaf(l->origins[i], end_of(l, index)[i - g.from]);
        return;
    }
    dbk_range_init(&range);
    for (size_t i = g.from; i < g.to; i++) {
        uint8_t leaf[DBK_LEAF_SIZE];
        dbk_entry_leaf(l->origins[i], leaf);
        dbk_range_add(&range, leaf);
    }
    memcpy(l->roots[index], range.peaks[0], DBK_LEAF_SIZE);
}

/* The mutex is held, and let go meanwhile. */
static void hash_some(dbk_leaves *l)
{
    while (l->next < l->group_count) {
        size_t index = l->next++;
        unlock(l);
        hash_group(l, index);
        lock(l);
        if (++l->done == l->group_count) l->port->cond_signal(l->port->ctx, l->finished);
    }
}

static void run(void *arg)
{
    dbk_leaves *l = arg;

    lock(l);
    while (!l->closing) {
        hash_some(l);
        if (!l->closing) (void)l->port->cond_wait(l->port->ctx, l->wanted, l->mutex, -1);
    }
    unlock(l);
}

dbk_leaves *dbk_leaves_new(const dbk_port *port)
{
    dbk_leaves *l = dbk_alloc_zero(port, 1, sizeof(*l));

    if (!l) return NULL;
    l->port = port;
    l->mutex = port->mutex_new(port->ctx);
    l->wanted = port->cond_new(port->ctx);
    l->finished = port->cond_new(port->ctx);
    if (l->mutex && l->wanted && l->finished) return l;
    dbk_leaves_free(l);
    return NULL;
}

void dbk_leaves_free(dbk_leaves *l)
{
    if (!l) return;
    const dbk_port *port = l->port;
    if (l->thread_count) {
        lock(l);
        l->closing = true;
        port->cond_broadcast(port->ctx, l->wanted);
        unlock(l);
    }
    for (uint32_t i = 0; i < l->thread_count; i++) port->thread_join(port->ctx, l->threads[i]);
    if (l->finished) port->cond_free(port->ctx, l->finished);
    if (l->wanted) port->cond_free(port->ctx, l->wanted);
    if (l->mutex) port->mutex_free(port->ctx, l->mutex);
    dbk_free(port, l->roots);
    dbk_free(port, l);
}

/* At the first large batch: most processes never have one. */
static bool has_threads(dbk_leaves *l)
{
    const dbk_port *port = l->port;

    if (l->started) return l->thread_count > 0;
    l->started = true;
    uint32_t most = port->processors(port->ctx) - 1;
    if (most > THREADS_MAX) most = THREADS_MAX;
    while (l->thread_count < most &&
           port->thread_start(port->ctx, "log leaves", run, l, &l->threads[l->thread_count]) == 0)
        l->thread_count++;
    return l->thread_count > 0;
}

static bool has_room(dbk_leaves *l, size_t groups)
{
    if (groups <= l->root_room) return true;
    void *roots = l->port->resize(l->port->ctx, l->roots, groups * sizeof(*l->roots));
    if (!roots) return false;
    l->roots = roots;
    l->root_room = groups;
    return true;
}

bool dbk_leaves_begin(dbk_leaves *l, const dbk_slice *origins, size_t count, uint64_t bytes, uint64_t behind)
{
    unsigned height = 0;

    if (bytes < DBK_LEAVES_WORTH_BYTES || count < 2 || !has_threads(l)) return false;
    while (height < HEIGHT_MAX && (bytes / count) << (height + 1) <= GROUP_BYTES) height++;
    size_t groups = (size_t)(((behind + count - 1) >> height) - (behind >> height) + 1);
    if (groups < 2 || !has_room(l, groups)) return false;
    lock(l);
    l->origins = origins;
    l->count = count;
    l->behind = behind;
    l->height = height;
    l->next = l->done = 0;
    l->group_count = groups;
    l->port->cond_broadcast(l->port->ctx, l->wanted);
    unlock(l);
    return true;
}

/* The mutex is held. */
static void end(dbk_leaves *l)
{
    while (l->done < l->next) (void)l->port->cond_wait(l->port->ctx, l->finished, l->mutex, -1);
    l->next = l->done = l->group_count = 0;
}

void dbk_leaves_add(dbk_leaves *l, dbk_range *range)
{
    assert(range->count == l->behind);
    lock(l);
    hash_some(l);
    size_t groups = l->group_count;
    end(l);
    unlock(l);
    for (size_t index = 0; index < groups; index++) {
        group g = group_at(l, index);
        if (is_whole(l, g)) {
            dbk_range_add_tree(range, l->height, l->roots[index]);
            continue;
        }
        for (size_t i = g.from; i < g.to; i++) dbk_range_add(range, end_of(l, index)[i - g.from]);
    }
}

void dbk_leaves_drop(dbk_leaves *l)
{
    lock(l);
    l->group_count = l->next; /* no further one is begun */
    end(l);
    unlock(l);
}
