/* Changes out: every message of the feed under the topic "<table>/", and head messages.
 *
 * A subscriber that is slow loses messages; so a message is a hint: its `previous` shows a gap before it,
 * a head message one at the end, and the subscriber asks on the command socket for what it missed. That
 * bounds the memory: of what waits for a subscriber, all that is not on its way yet is forgotten when
 * it is over HARD_BYTES, or over SOFT_BYTES for a while (heavy_ms), and the subscriber is told by a head with
 * "reset":true. A message is one block of bytes for all of them, so that many slow ones cost little more than one.
 *
 * Order of mutexes: the feed's, the endpoint's, a connection's. */

#include "bus/internal.h"

enum { HARD_BYTES = 8 * 1024 * 1024, SOFT_BYTES = 2 * 1024 * 1024 };
static const int64_t HEAD_EVERY_NS = 1000000000;

struct dbk_bus_changes {
    const dbk_port *port;
    dbk_engine *engine;
    dbk_endpoint endpoint;
    int64_t head_ns; /* from a change to its head, less what waking takes */
    int64_t heavy_ns;
    dbk_mutex *mutex;
    dbk_cond *wake;
    dbk_thread *heads;
    int64_t due_ns; /* the next head; 0: nobody needs one */
    bool stopping;
    uint64_t published, forgotten, head_count;
};

/* ---- sending; the mutex is held, so that messages leave in the order of commits */

/* A frame of topic NUL json; NULL: no memory. */
static dbk_block *frame_of(const dbk_port *port, const char *topic, const char *slash, const void *json, size_t size)
{
    size_t head = strlen(topic), tail = strlen(slash) + 1;
    dbk_block *frame = dbk_block_frame(port, head + tail + size);
    if (!frame) return NULL;
    uint8_t *body = dbk_block_body(frame);
    memcpy(body, topic, head);
    memcpy(body + head, slash, tail);
    memcpy(body + head + tail, json, size);
    return frame;
}

typedef struct delivery {
    dbk_bus_changes *changes;
    dbk_block *frame;
    dbk_block *reset; /* a head that says so, for those who lost something; may be NULL */
    int64_t now_ns;
    bool lost; /* somebody begins to lose with it */
} delivery;

/* True: what waits for it is too much, or has been for too long. */
static bool is_too_slow(const delivery *d, dbk_conn *conn, size_t waiting)
{
    if (waiting <= SOFT_BYTES) conn->heavy_ns = 0;
    else if (conn->heavy_ns == 0) conn->heavy_ns = d->now_ns;
    return waiting > 0 && (waiting + d->frame->size > HARD_BYTES ||
                           (conn->heavy_ns && d->now_ns - conn->heavy_ns > d->changes->heavy_ns));
}

/* Who has lost something gets nothing until it has taken the rest, and then the head that says so. */
static void deliver(void *arg, dbk_conn *conn)
{
    delivery *d = arg;
    size_t frames, bytes;
    if (!dbk_conn_is_open(conn)) return;
    dbk_conn_backlog(conn, &frames, &bytes);
    if (conn->lost) {
        if (d->reset && frames == 0) conn->lost = !dbk_conn_share(conn, d->reset);
        return;
    }
    if (is_too_slow(d, conn, bytes)) {
        dbk_conn_forget(conn);
        conn->heavy_ns = 0;
        conn->lost = true;
        d->changes->forgotten++;
    } else {
        conn->lost = !dbk_conn_share(conn, d->frame);
    }
    if (conn->lost) d->lost = true;
}

static bool deliver_to_all(dbk_bus_changes *changes, dbk_block *frame, dbk_block *reset)
{
    delivery d = {changes, frame, reset, changes->port->monotonic_ns(changes->port->ctx), false};
    if (frame) dbk_endpoint_each(&changes->endpoint, deliver, &d);
    dbk_block_drop(changes->port, frame);
    dbk_block_drop(changes->port, reset);
    return frame && !d.lost;
}

static void set_due(dbk_bus_changes *changes, int64_t due_ns)
{
    if (changes->due_ns && changes->due_ns <= due_ns) return;
    changes->due_ns = due_ns;
    changes->port->cond_signal(changes->port->ctx, changes->wake);
}

/* dbk_wanted_fn. Who connects a moment later is told by a head where the feed is. */
static bool is_wanted(void *arg)
{
    dbk_bus_changes *changes = arg;
    return dbk_endpoint_count(&changes->endpoint) > 0;
}

/* dbk_publish_fn, on the deciding thread. */
static void publish(void *arg, const char *table, const char *message, size_t size)
{
    dbk_bus_changes *changes = arg;
    const dbk_port *port = changes->port;
    if (dbk_endpoint_count(&changes->endpoint) == 0 || !table) return;
    int64_t now = port->monotonic_ns(port->ctx);
    dbk_hold(port, changes->mutex);
    bool whole = deliver_to_all(changes, frame_of(port, table, "/", message, size), NULL);
    changes->published++;
    set_due(changes, whole ? now + changes->head_ns : now);
    dbk_let(port, changes->mutex);
}

/* A new subscriber is told at once where the feed is. On a thread of nng. */
static void on_connect(void *arg, dbk_conn *conn)
{
    dbk_bus_changes *changes = arg;
    (void)conn;
    dbk_hold(changes->port, changes->mutex);
    set_due(changes, changes->port->monotonic_ns(changes->port->ctx));
    dbk_let(changes->port, changes->mutex);
}

/* ---- heads */

/* {"head":true,… → {"head":true,"reset":true,…; NULL: no memory. */
static dbk_block *reset_of(const dbk_port *port, const dbk_buffer *head)
{
    static const char begin[] = "{\"head\":true", reset[] = ",\"reset\":true";
    size_t kept = sizeof begin - 1, added = sizeof reset - 1;
    if (head->size < kept || memcmp(head->data, begin, kept) != 0) return NULL;
    char *json = dbk_alloc(port, head->size + added);
    if (!json) return NULL;
    memcpy(json, head->data, kept);
    memcpy(json + kept, reset, added);
    memcpy(json + kept + added, head->data + kept, head->size - kept);
    dbk_block *frame = frame_of(port, DBK_BUS_HEAD_TOPIC, "", json, head->size + added);
    dbk_free(port, json);
    return frame;
}

/* The mutex is not held: the head message takes the store's turn, and who has the turn publishes. */
static void send_head(dbk_bus_changes *changes, dbk_buffer *message)
{
    const dbk_port *port = changes->port;
    dbk_buffer_clear(message);
    if (dbk_engine_head_message(changes->engine, message, NULL) != DBK_OK) return;
    dbk_hold(port, changes->mutex);
    dbk_block *frame = frame_of(port, DBK_BUS_HEAD_TOPIC, "", message->data, message->size);
    (void)deliver_to_all(changes, frame, reset_of(port, message));
    changes->head_count++;
    dbk_let(port, changes->mutex);
}

static void run_heads(void *arg)
{
    dbk_bus_changes *changes = arg;
    const dbk_port *port = changes->port;
    dbk_buffer message;
    dbk_buffer_init(&message, port);
    dbk_hold(port, changes->mutex);
    while (!changes->stopping) {
        int64_t left = changes->due_ns ? changes->due_ns - port->monotonic_ns(port->ctx) : -1;
        if (!changes->due_ns || left > 0) {
            (void)port->cond_wait(port->ctx, changes->wake, changes->mutex, left);
            continue;
        }
        changes->due_ns = 0;
        dbk_let(port, changes->mutex);
        bool anyone = dbk_endpoint_count(&changes->endpoint) > 0;
        if (anyone) send_head(changes, &message);
        dbk_hold(port, changes->mutex);
        if (anyone) set_due(changes, port->monotonic_ns(port->ctx) + HEAD_EVERY_NS);
    }
    dbk_let(port, changes->mutex);
    dbk_buffer_release(&message);
}

/* ---- life */

static dbk_result start(dbk_bus_changes *changes, const dbk_bus_paths *paths, dbk_error *err)
{
    const dbk_port *port = changes->port;
    changes->mutex = port->mutex_new(port->ctx);
    changes->wake = port->cond_new(port->ctx);
    if (!changes->mutex || !changes->wake) return dbk_fail(err, DBK_NO_MEMORY, "no memory for the bus");
    changes->endpoint.on_connect = on_connect;
    changes->endpoint.arg = changes;
    dbk_result result = dbk_endpoint_open(&changes->endpoint, port, paths, false, err);
    if (result != DBK_OK) return result;
    int rc = port->thread_start(port->ctx, "dbk-heads", run_heads, changes, &changes->heads);
    if (rc != 0) return dbk_fail_os(err, dbk_result_of_errno(rc), rc, "cannot start the bus's threads");
    dbk_engine_on_publish(changes->engine, publish, is_wanted, changes);
    return DBK_OK;
}

dbk_result dbk_bus_changes_start(const dbk_port *port, dbk_engine *engine, const dbk_bus_paths *paths,
                                 const dbk_bus_options *options, dbk_bus_changes **out, dbk_error *err)
{
    dbk_bus_changes *changes = dbk_alloc_zero(port, 1, sizeof *changes);
    if (!changes) return dbk_fail(err, DBK_NO_MEMORY, "no memory for the bus");
    changes->port = port;
    changes->engine = engine;
    changes->head_ns = dbk_ms_or(options->head_ms, DBK_BUS_HEAD_MS) * 4 / 5;
    changes->heavy_ns = dbk_ms_or(options->heavy_ms, DBK_BUS_HEAVY_MS);
    changes->endpoint.greeting_ns = dbk_ms_or(options->greeting_ms, DBK_BUS_GREETING_MS);
    dbk_result result = start(changes, paths, err);
    if (result == DBK_OK) *out = changes;
    else dbk_bus_changes_stop(changes);
    return result;
}

void dbk_bus_changes_stop(dbk_bus_changes *changes)
{
    if (!changes) return;
    const dbk_port *port = changes->port;
    dbk_engine_on_publish(changes->engine, NULL, NULL, NULL);
    if (changes->heads) {
        dbk_hold(port, changes->mutex);
        changes->stopping = true;
        port->cond_broadcast(port->ctx, changes->wake);
        dbk_let(port, changes->mutex);
        port->thread_join(port->ctx, changes->heads);
    }
    dbk_endpoint_close(&changes->endpoint);
    if (changes->wake) port->cond_free(port->ctx, changes->wake);
    if (changes->mutex) port->mutex_free(port->ctx, changes->mutex);
    dbk_free(port, changes);
}

dbk_endpoint *dbk_bus_changes_endpoint(dbk_bus_changes *changes)
{
    return &changes->endpoint;
}

void dbk_bus_changes_stats(dbk_bus_changes *changes, dbk_buffer *out)
{
    dbk_endpoint_counts counts = {0};
    dbk_endpoint_stats(&changes->endpoint, &counts);
    dbk_hold(changes->port, changes->mutex);
    dbk_buffer_printf(out, "\"subscribers\":%zu,\"published\":%llu,\"forgotten\":%llu,\"heads\":%llu", counts.clients,
                      (unsigned long long)changes->published, (unsigned long long)changes->forgotten,
                      (unsigned long long)changes->head_count);
    dbk_let(changes->port, changes->mutex);
}
