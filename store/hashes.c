/* Hashing a command takes a tenth of what deciding it does, and needs nothing but its text. Who sends an array waits for
 * it while the other processor has nothing to do. */
#include "store/hashes.h"

typedef struct item {
    const dbk_json_node *node;
    dbk_foreknown known;
    bool good;
} item;

struct dbk_hashes {
    const dbk_port *port;
    dbk_mutex *mutex;
    dbk_cond *wanted, *finished;
    dbk_thread *thread;
    bool started;       /* or tried */
    item *items;        /* of the array; one is its taker's alone, until `busy` is over */
    size_t room, count; /* count 0: nothing is begun */
    dbk_buffer text;    /* the thread's until all is taken: what was hashed of commands that append */
    size_t low, high;   /* mutex, as the next three; below low the turn took them, from high on the thread */
    bool busy;          /* the thread, with the one at high */
    bool waiting;       /* the turn, for that one */
    bool closing;
};

static void lock(dbk_hashes *h)
{
    h->port->mutex_lock(h->port->ctx, h->mutex);
}
static void unlock(dbk_hashes *h)
{
    h->port->mutex_unlock(h->port->ctx, h->mutex);
}

/* The canonical data of an append is its event's; of other commands nobody asks for the text again. */
static void hash(dbk_hashes *h, item *it)
{
    size_t from = h->text.size;
    const dbk_json_node *verb = it->node->kind == DBK_JSON_OBJECT ? dbk_json_member(it->node, "do") : NULL;

    it->good = verb && dbk_command_hash(&h->text, it->node, &it->known, NULL) == DBK_OK;
    if (it->good && dbk_json_text_is(verb, "append")) return;
    it->known.data = it->known.data_bytes = 0;
    h->text.size = from;
    h->text.failed = false;
}

static void run(void *arg)
{
    dbk_hashes *h = arg;

    lock(h);
    while (!h->closing) {
        if (h->low >= h->high) {
            (void)h->port->cond_wait(h->port->ctx, h->wanted, h->mutex, -1);
            continue;
        }
        item *it = &h->items[--h->high];
        h->busy = true;
        unlock(h);
        hash(h, it);
        lock(h);
        h->busy = false;
        if (h->waiting) h->port->cond_signal(h->port->ctx, h->finished);
    }
    unlock(h);
}

dbk_hashes *dbk_hashes_new(const dbk_port *port)
{
    dbk_hashes *h = dbk_alloc_zero(port, 1, sizeof *h);

    if (!h) return NULL;
    h->port = port;
    dbk_buffer_init(&h->text, port);
    h->mutex = port->mutex_new(port->ctx);
    h->wanted = port->cond_new(port->ctx);
    h->finished = port->cond_new(port->ctx);
    if (h->mutex && h->wanted && h->finished) return h;
    dbk_hashes_free(h);
    return NULL;
}

void dbk_hashes_free(dbk_hashes *h)
{
    if (!h) return;
    const dbk_port *port = h->port;
    if (h->thread) {
        lock(h);
        h->closing = true;
        port->cond_signal(port->ctx, h->wanted);
        unlock(h);
        port->thread_join(port->ctx, h->thread);
    }
    if (h->finished) port->cond_free(port->ctx, h->finished);
    if (h->wanted) port->cond_free(port->ctx, h->wanted);
    if (h->mutex) port->mutex_free(port->ctx, h->mutex);
    dbk_buffer_release(&h->text);
    dbk_free(port, h->items);
    dbk_free(port, h);
}

/* At the first large array: most processes never have one. */
static bool has_thread(dbk_hashes *h)
{
    const dbk_port *port = h->port;

    if (h->started) return h->thread;
    h->started = true;
    if (port->processors(port->ctx) < 2) return false;
    if (port->thread_start(port->ctx, "dbk-hashes", run, h, &h->thread) != 0) h->thread = NULL;
    return h->thread;
}

static bool has_room(dbk_hashes *h, size_t count)
{
    if (count <= h->room) return true;
    item *grown = h->port->resize(h->port->ctx, h->items, count * sizeof *grown);
    if (!grown) return false;
    h->items = grown;
    h->room = count;
    return true;
}

bool dbk_hashes_begin(dbk_hashes *h, const dbk_json_node *array, size_t bytes)
{
    const dbk_json_node *child = array + 1;

    if (array->count < DBK_HASHES_WORTH_COMMANDS || bytes < DBK_HASHES_WORTH_BYTES) return false;
    if (!has_thread(h) || !has_room(h, array->count)) return false;
    for (uint32_t i = 0; i < array->count; i++, child = dbk_json_next(child)) h->items[i] = (item){.node = child};
    dbk_buffer_clear(&h->text);
    h->count = array->count;
    lock(h);
    h->low = 0;
    h->high = h->count;
    h->port->cond_signal(h->port->ctx, h->wanted);
    unlock(h);
    return true;
}

/* The mutex is held. It may return too early: the caller looks again. */
static void await_thread(dbk_hashes *h)
{
    h->waiting = true;
    (void)h->port->cond_wait(h->port->ctx, h->finished, h->mutex, -1);
    h->waiting = false;
}

const dbk_foreknown *dbk_hashes_take(dbk_hashes *h, uint32_t index)
{
    if (index >= h->count) return NULL; /* nothing was begun */
    lock(h);
    bool own = index < h->high;
    if (own) h->low = index + 1;
    while (!own && h->busy && index == h->high) await_thread(h);
    unlock(h);
    return !own && h->items[index].good ? &h->items[index].known : NULL;
}

void dbk_hashes_end(dbk_hashes *h)
{
    if (h->count == 0) return;
    lock(h);
    h->low = h->high; /* no further one is begun */
    while (h->busy) await_thread(h);
    unlock(h);
    h->count = 0;
}

void dbk_hashes_relax(dbk_hashes *h, size_t kept_bytes)
{
    dbk_buffer_relax(&h->text, kept_bytes);
    if (h->room * sizeof *h->items <= kept_bytes) return;
    dbk_free(h->port, h->items);
    h->items = NULL;
    h->room = 0;
}
