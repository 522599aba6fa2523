/* Changes out: every message of the feed under the topic "<table>/", and head messages.
 *
 * nng drops what a subscriber does not take in time, and says nothing. So a message is a hint: its
 * `previous` shows a gap before it, a head message one at the end, and the subscriber asks on the
 * command socket for what it missed. That also bounds the memory: a connection holds at most
 * QUEUE_MESSAGES messages, of which those over SMALL_BYTES may sum up to BIG_BYTES; a big message that
 * does not fit is not sent at all, and the head that follows at once tells of it. Both together are
 * 8 MiB, once for all connections, since they share the bytes. */

#include "bus/internal.h"

#include <nng/protocol/pubsub0/pub.h>

enum { QUEUE_MESSAGES = 256, SMALL_BYTES = 16 * 1024, BIG_BYTES = 4 * 1024 * 1024 };
static const int64_t NS_PER_MS = 1000000, HEAD_EVERY_NS = 1000000000;

struct dbk_bus_changes {
    const dbk_port *port;
    dbk_engine *engine;
    dbk_endpoint endpoint;
    int64_t head_ns; /* from a change to its head, less what waking takes */
    dbk_mutex *mutex;
    dbk_cond *wake;
    dbk_thread *heads;
    int64_t due_ns; /* the next head; 0: nobody needs one */
    bool stopping;
    uint32_t big[QUEUE_MESSAGES]; /* sizes of the last messages, 0 for small ones */
    size_t big_at, big_sum;
    uint64_t published, skipped, head_count;
};

/* ---- sending; the mutex is held, so that messages leave in the order of commits */

static bool has_room(const dbk_bus_changes *changes, size_t size)
{
    return size <= SMALL_BYTES || changes->big_sum - changes->big[changes->big_at] + size <= BIG_BYTES;
}

static void count_message(dbk_bus_changes *changes, size_t size)
{
    uint32_t big = size > SMALL_BYTES ? (uint32_t)size : 0;
    changes->big_sum = changes->big_sum - changes->big[changes->big_at] + big;
    changes->big[changes->big_at] = big;
    changes->big_at = (changes->big_at + 1) % QUEUE_MESSAGES;
}

/* topic NUL json. A PUB socket never waits. */
static bool send_message(dbk_bus_changes *changes, const char *topic, const char *slash, const void *json, size_t size)
{
    nng_msg *message;
    size_t head = strlen(topic), tail = strlen(slash) + 1;
    if (!has_room(changes, head + tail + size)) return false;
    if (nng_msg_alloc(&message, head + tail + size) != 0) return false;
    char *body = nng_msg_body(message);
    memcpy(body, topic, head);
    memcpy(body + head, slash, tail);
    memcpy(body + head + tail, json, size);
    if (nng_sendmsg(changes->endpoint.socket, message, NNG_FLAG_NONBLOCK) != 0) {
        nng_msg_free(message);
        return false;
    }
    count_message(changes, head + tail + size);
    return true;
}

static void set_due(dbk_bus_changes *changes, int64_t due_ns)
{
    if (changes->due_ns && changes->due_ns <= due_ns) return;
    changes->due_ns = due_ns;
    changes->port->cond_signal(changes->port->ctx, changes->wake);
}

/* dbk_publish_fn, on the deciding thread. */
static void publish(void *arg, const char *table, const char *message, size_t size)
{
    dbk_bus_changes *changes = arg;
    const dbk_port *port = changes->port;
    if (dbk_endpoint_count(&changes->endpoint) == 0 || !table) return;
    int64_t now = port->monotonic_ns(port->ctx);
    dbk_hold(port, changes->mutex);
    bool sent = send_message(changes, table, "/", message, size);
    if (sent) changes->published++;
    else changes->skipped++;
    set_due(changes, sent ? now + changes->head_ns : now);
    dbk_let(port, changes->mutex);
}

/* A new subscriber is told at once where the feed is. On a thread of nng. */
static void on_connect(void *arg)
{
    dbk_bus_changes *changes = arg;
    dbk_hold(changes->port, changes->mutex);
    set_due(changes, changes->port->monotonic_ns(changes->port->ctx));
    dbk_let(changes->port, changes->mutex);
}

/* ---- heads */

/* The mutex is not held: the head message takes the store's turn, and who has the turn publishes. */
static void send_head(dbk_bus_changes *changes, dbk_buffer *message)
{
    dbk_buffer_clear(message);
    if (dbk_engine_head_message(changes->engine, message, NULL) != DBK_OK) return;
    dbk_hold(changes->port, changes->mutex);
    if (send_message(changes, DBK_BUS_HEAD_TOPIC, "", message->data, message->size)) changes->head_count++;
    dbk_let(changes->port, changes->mutex);
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
    nng_socket socket;
    changes->mutex = port->mutex_new(port->ctx);
    changes->wake = port->cond_new(port->ctx);
    if (!changes->mutex || !changes->wake) return dbk_fail(err, DBK_NO_MEMORY, "no memory for the bus");
    int rc = nng_pub0_open(&socket);
    if (rc != 0) return dbk_bus_fail_nng(err, rc, "open a socket for", paths->changes);
    dbk_result result = dbk_endpoint_open(&changes->endpoint, port, socket, paths, false, err);
    changes->endpoint.on_connect = on_connect;
    changes->endpoint.arg = changes;
    if (result == DBK_OK && (rc = nng_socket_set_int(socket, NNG_OPT_SENDBUF, QUEUE_MESSAGES)) != 0)
        result = dbk_bus_fail_nng(err, rc, "prepare", paths->changes);
    if (result == DBK_OK) result = dbk_endpoint_listen(&changes->endpoint, err);
    if (result != DBK_OK) return result;
    rc = port->thread_start(port->ctx, "dbk-heads", run_heads, changes, &changes->heads);
    if (rc != 0) return dbk_fail_os(err, dbk_result_of_errno(rc), rc, "cannot start the bus's threads");
    dbk_engine_on_publish(changes->engine, publish, changes);
    return DBK_OK;
}

dbk_result dbk_bus_changes_start(const dbk_port *port, dbk_engine *engine, const dbk_bus_paths *paths, uint32_t head_ms,
                                 dbk_bus_changes **out, dbk_error *err)
{
    dbk_bus_changes *changes = dbk_alloc_zero(port, 1, sizeof *changes);
    if (!changes) return dbk_fail(err, DBK_NO_MEMORY, "no memory for the bus");
    changes->port = port;
    changes->engine = engine;
    changes->head_ns = (int64_t)head_ms * NS_PER_MS * 4 / 5;
    dbk_result result = start(changes, paths, err);
    if (result == DBK_OK) *out = changes;
    else dbk_bus_changes_stop(changes);
    return result;
}

void dbk_bus_changes_stop(dbk_bus_changes *changes)
{
    if (!changes) return;
    const dbk_port *port = changes->port;
    dbk_engine_on_publish(changes->engine, NULL, NULL);
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

dbk_endpoint *dbk_bus_changes_endpoint(dbk_bus_changes *changes) { return &changes->endpoint; }

void dbk_bus_changes_stats(dbk_bus_changes *changes, dbk_buffer *out)
{
    size_t subscribers = dbk_endpoint_count(&changes->endpoint);
    dbk_hold(changes->port, changes->mutex);
    dbk_buffer_printf(out, "\"subscribers\":%zu,\"published\":%llu,\"skipped\":%llu,\"heads\":%llu", subscribers,
                      (unsigned long long)changes->published, (unsigned long long)changes->skipped,
                      (unsigned long long)changes->head_count);
    dbk_let(changes->port, changes->mutex);
}
