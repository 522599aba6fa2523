/* The connection that a subscription's messages come over. They are kept until its thread takes them, up to
 * KEPT_MESSAGES and KEPT_BYTES: that thread may be waiting for an answer, or in the caller's code. */
#include "bus/client_changes.h"

enum { KEPT_MESSAGES = 1024, KEPT_BYTES = 32 * 1024 * 1024, RETRY_MIN_MS = 5, RETRY_FULL_MS = 200, RETRY_MAX_MS = 500 };
static const int64_t NS_PER_MS = 1000000;

static bool is_wanted(const dbk_client_subscription *s, dbk_slice body)
{
    const char *topic = (const char *)body.data; /* a NUL follows the body */
    if (!s->table || strcmp(topic, DBK_BUS_HEAD_TOPIC) == 0) return true;
    size_t size = strlen(s->table);
    return strncmp(topic, s->table, size) == 0 && strcmp(topic + size, "/") == 0;
}

/* ---- on threads of nng */

static void on_opened(void *arg, dbk_conn *conn)
{
    dbk_client_subscription *s = arg;
    (void)conn;
    dbk_hold(s->client->port, s->client->mutex);
    s->opened = true;
    dbk_let(s->client->port, s->client->mutex);
}

static bool on_received(void *arg, dbk_conn *conn, dbk_slice body)
{
    dbk_client_subscription *s = arg;
    const dbk_port *port = s->client->port;
    (void)conn;
    if (!is_wanted(s, body)) return true;
    dbk_heard *heard = dbk_alloc(port, sizeof *heard + body.size + 1);
    if (!heard) return true;
    *heard = (dbk_heard){.size = body.size};
    memcpy(heard->data, body.data, body.size + 1);
    dbk_hold(port, s->client->mutex);
    bool has_room = s->heard_count < KEPT_MESSAGES && s->heard_bytes + body.size <= KEPT_BYTES;
    if (has_room) {
        if (s->last) s->last->next = heard;
        else s->first = heard;
        s->last = heard;
        s->heard_count++;
        s->heard_bytes += heard->size;
        port->cond_signal(port->ctx, s->wake);
    }
    dbk_let(port, s->client->mutex);
    if (!has_room) dbk_free(port, heard);
    return true;
}

static void on_ended(void *arg, dbk_conn *conn)
{
    dbk_client_subscription *s = arg;
    (void)conn;
    dbk_hold(s->client->port, s->client->mutex);
    s->ended = true;
    s->client->port->cond_broadcast(s->client->port->ctx, s->wake);
    dbk_let(s->client->port, s->client->mutex);
}

static void on_freed(void *arg)
{
    dbk_client_subscription *s = arg;
    dbk_hold(s->client->port, s->client->mutex);
    s->alive--;
    s->client->port->cond_broadcast(s->client->port->ctx, s->wake);
    dbk_let(s->client->port, s->client->mutex);
}

/* ---- on the subscription's thread, or before it runs */

static int open_conn(dbk_client_subscription *s)
{
    const dbk_port *port = s->client->port;
    nng_stream *stream = NULL;
    dbk_conn *conn = NULL;
    int rc = dbk_dial(s->client->changes, &stream);
    if (rc == 0 && !dbk_stream_is_of(stream, s->client->user)) {
        dbk_stream_discard(stream);
        return NNG_EPERM;
    }
    if (rc == 0 && dbk_conn_new(port, stream, &s->rules, &conn, NULL) != DBK_OK) rc = NNG_ENOMEM;
    if (rc != 0) return rc;
    dbk_hold(port, s->client->mutex);
    s->conn = conn;
    s->alive++;
    s->opened = s->ended = false;
    dbk_let(port, s->client->mutex);
    dbk_conn_start(conn);
    return 0;
}

/* Waits until the connection is gone. */
static void close_conn(dbk_client_subscription *s)
{
    const dbk_port *port = s->client->port;
    if (!s->conn) return;
    dbk_conn_close(s->conn);
    dbk_conn_drop(s->conn);
    s->conn = NULL;
    dbk_hold(port, s->client->mutex);
    while (s->alive > 0) (void)port->cond_wait(port->ctx, s->wake, s->client->mutex, -1);
    dbk_let(port, s->client->mutex);
}

/* The client's mutex is held; false: the subscription ends. */
static bool rest(dbk_client_subscription *s, int64_t ms)
{
    const dbk_port *port = s->client->port;
    int64_t end = port->monotonic_ns(port->ctx) + ms * NS_PER_MS;
    for (int64_t left = ms * NS_PER_MS; left > 0 && !s->stopping; left = end - port->monotonic_ns(port->ctx))
        (void)port->cond_wait(port->ctx, s->wake, s->client->mutex, left);
    return !s->stopping;
}

/* The client's mutex is held, and let go in between. A daemon that is full ends a connection before it is
 * greeted: then the next try comes later. */
static void reconnect(dbk_client_subscription *s)
{
    const dbk_port *port = s->client->port;
    int64_t first_ms = s->opened ? RETRY_MIN_MS : RETRY_FULL_MS;
    dbk_let(port, s->client->mutex);
    close_conn(s);
    dbk_hold(port, s->client->mutex);
    for (int64_t ms = first_ms; rest(s, ms); ms = ms * 2 > RETRY_MAX_MS ? RETRY_MAX_MS : ms * 2) {
        dbk_let(port, s->client->mutex);
        int rc = open_conn(s);
        dbk_hold(port, s->client->mutex);
        if (rc == 0) return;
    }
}

dbk_heard *dbk_feed_next(dbk_client_subscription *s)
{
    const dbk_port *port = s->client->port;
    dbk_hold(port, s->client->mutex);
    while (!s->first && !s->stopping) {
        if (s->ended) reconnect(s);
        else (void)port->cond_wait(port->ctx, s->wake, s->client->mutex, -1);
    }
    dbk_heard *heard = s->stopping ? NULL : s->first;
    if (heard) {
        s->first = heard->next;
        if (!s->first) s->last = NULL;
        s->heard_count--;
        s->heard_bytes -= heard->size;
    }
    dbk_let(port, s->client->mutex);
    return heard;
}

/* ---- life */

dbk_result dbk_feed_open(dbk_client_subscription *s, dbk_error *err)
{
    const dbk_port *port = s->client->port;
    s->rules = (dbk_conn_rules){.protocol = DBK_SP_SUB,
                                .peer = DBK_SP_PUB,
                                .message_max = DBK_BUS_MESSAGE_MAX,
                                .opened = on_opened,
                                .received = on_received,
                                .ended = on_ended,
                                .freed = on_freed,
                                .arg = s};
    s->wake = port->cond_new(port->ctx);
    if (!s->wake) return dbk_fail(err, DBK_NO_MEMORY, "no memory for a subscription");
    int rc = open_conn(s);
    if (rc == NNG_EPERM) return dbk_fail(err, DBK_DENIED, "'%s' is served by another user", s->client->changes);
    if (rc == NNG_EAGAIN) s->ended = true; /* too many at once: its thread tries again */
    return rc == 0 || rc == NNG_EAGAIN ? DBK_OK : dbk_bus_fail_nng(err, rc, "subscribe at", s->client->changes);
}

void dbk_feed_close(dbk_client_subscription *s)
{
    const dbk_port *port = s->client->port;
    close_conn(s);
    for (dbk_heard *heard = s->first, *next; heard; heard = next) {
        next = heard->next;
        dbk_free(port, heard);
    }
    s->first = s->last = NULL;
    if (s->wake) port->cond_free(port->ctx, s->wake);
    s->wake = NULL;
}
