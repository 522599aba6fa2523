/* A Unix socket that listens, and the connections it has accepted.
 *
 * Accepting goes on whatever a peer does: what a connection becomes is its own matter, after the next
 * accept has begun. Only the system can say no (no descriptors, no memory): then it rests for
 * ACCEPT_REST_NS and tries again.
 *
 * One thread per endpoint looks after its connections: a greeting has its time, and a peer that takes
 * nothing of what waits for it is cut off where the endpoint says so.
 *
 * Mutexes: the endpoint's is taken before a connection's; no callback of the owner comes under it. */
#include <errno.h>

#include "bus/internal.h"

static const int64_t NS_PER_MS = 1000000, ACCEPT_REST_NS = 100000000;

/* ---- connections */

static void link_conn(dbk_endpoint *endpoint, dbk_conn *conn)
{
    conn->previous = NULL;
    conn->next = endpoint->first;
    if (endpoint->first) endpoint->first->previous = conn;
    endpoint->first = conn;
}

static void unlink_conn(dbk_endpoint *endpoint, dbk_conn *conn)
{
    if (conn->previous) conn->previous->next = conn->next;
    else endpoint->first = conn->next;
    if (conn->next) conn->next->previous = conn->previous;
}

static void on_opened(void *arg, dbk_conn *conn)
{
    dbk_endpoint *endpoint = arg;
    dbk_hold(endpoint->port, endpoint->mutex);
    endpoint->open_count++;
    dbk_let(endpoint->port, endpoint->mutex);
    if (endpoint->on_connect) endpoint->on_connect(endpoint->arg, conn);
}

static bool on_received(void *arg, dbk_conn *conn, dbk_slice body)
{
    dbk_endpoint *endpoint = arg;
    return endpoint->on_message && endpoint->on_message(endpoint->arg, conn, body);
}

static bool on_crowded(void *arg, dbk_conn *conn, dbk_slice begin)
{
    dbk_endpoint *endpoint = arg;
    return endpoint->on_crowded(endpoint->arg, conn, begin);
}

static void on_ended(void *arg, dbk_conn *conn)
{
    dbk_endpoint *endpoint = arg;
    dbk_hold(endpoint->port, endpoint->mutex);
    unlink_conn(endpoint, conn);
    if (conn->opened) endpoint->open_count--;
    dbk_let(endpoint->port, endpoint->mutex);
    if (endpoint->on_ended) endpoint->on_ended(endpoint->arg, conn);
    dbk_conn_drop(conn);
}

static void on_freed(void *arg)
{
    dbk_endpoint *endpoint = arg;
    dbk_hold(endpoint->port, endpoint->mutex);
    endpoint->alive--;
    endpoint->port->cond_broadcast(endpoint->port->ctx, endpoint->changed);
    dbk_let(endpoint->port, endpoint->mutex);
}

/* ---- accepting */

/* Only this user's processes: the folder's mode is the guard, this is the second one, before a byte is
 * read. */
static void admit(dbk_endpoint *endpoint, nng_stream *stream)
{
    dbk_conn *conn = NULL;
    bool is_ours = dbk_stream_is_of(stream, endpoint->user);
    dbk_hold(endpoint->port, endpoint->mutex);
    bool has_room = endpoint->alive < DBK_BUS_CLIENTS_MAX && !endpoint->stopping;
    endpoint->accepted++;
    if (!is_ours) endpoint->refused++;
    else if (!has_room) endpoint->crowded++;
    else endpoint->alive++;
    dbk_let(endpoint->port, endpoint->mutex);
    if (!is_ours || !has_room) {
        dbk_stream_discard(stream);
        return;
    }
    if (dbk_conn_new(endpoint->port, stream, &endpoint->rules, &conn, NULL) != DBK_OK) {
        on_freed(endpoint);
        return;
    }
    dbk_hold(endpoint->port, endpoint->mutex);
    bool stopping = endpoint->stopping;
    link_conn(endpoint, conn);
    endpoint->port->cond_broadcast(endpoint->port->ctx, endpoint->changed);
    dbk_let(endpoint->port, endpoint->mutex);
    if (stopping) dbk_conn_close(conn); /* unlisten closes those it sees: this one came behind it */
    dbk_conn_start(conn);
}

/* A listener that is closed refuses at once. The mutex is held. */
static void accept_next(dbk_endpoint *endpoint)
{
    if (endpoint->stopping || endpoint->accepting) return;
    endpoint->accepting = true;
    nng_stream_listener_accept(endpoint->listener, endpoint->accept);
}

/* On a thread of nng. The next accept begins first, so that it waits for nothing of this one. */
static void accepted(void *arg)
{
    dbk_endpoint *endpoint = arg;
    int rc = nng_aio_result(endpoint->accept);
    nng_stream *stream = rc == 0 ? nng_aio_get_output(endpoint->accept, 0) : NULL;
    dbk_hold(endpoint->port, endpoint->mutex);
    endpoint->accepting = false;
    endpoint->admitting++;
    if (rc == 0) accept_next(endpoint);
    else if (!endpoint->stopping)
        endpoint->resume_ns = endpoint->port->monotonic_ns(endpoint->port->ctx) + ACCEPT_REST_NS;
    endpoint->port->cond_broadcast(endpoint->port->ctx, endpoint->changed);
    dbk_let(endpoint->port, endpoint->mutex);
    if (stream) admit(endpoint, stream);
    dbk_hold(endpoint->port, endpoint->mutex);
    endpoint->admitting--;
    endpoint->port->cond_broadcast(endpoint->port->ctx, endpoint->changed);
    dbk_let(endpoint->port, endpoint->mutex);
}

/* ---- the keeper; the mutex is held */

static void look_after(dbk_endpoint *endpoint, int64_t now)
{
    for (dbk_conn *conn = endpoint->first; conn; conn = conn->next) {
        bool is_late = !dbk_conn_is_open(conn) && now - conn->begun_ns > endpoint->greeting_ns;
        bool is_stalled = endpoint->stalled_ns && dbk_conn_stalled_ns(conn, now) > endpoint->stalled_ns;
        if (is_stalled) endpoint->cut++;
        if (is_late || is_stalled) dbk_conn_close(conn);
    }
    if (endpoint->resume_ns && now >= endpoint->resume_ns) {
        endpoint->resume_ns = 0;
        accept_next(endpoint);
    }
}

/* Until the next look; a new connection wakes the keeper by itself. */
static int64_t look_ns(const dbk_endpoint *endpoint)
{
    int64_t look = endpoint->first && endpoint->stalled_ns ? endpoint->stalled_ns / 4 : -1;
    for (dbk_conn *conn = endpoint->first; conn; conn = conn->next)
        if (!dbk_conn_is_open(conn) && (look < 0 || endpoint->greeting_ns / 4 < look)) look = endpoint->greeting_ns / 4;
    if (endpoint->resume_ns && (look < 0 || ACCEPT_REST_NS < look)) look = ACCEPT_REST_NS;
    return look;
}

static void run_keeper(void *arg)
{
    dbk_endpoint *endpoint = arg;
    const dbk_port *port = endpoint->port;
    dbk_hold(port, endpoint->mutex);
    while (!endpoint->stopping) {
        (void)port->cond_wait(port->ctx, endpoint->changed, endpoint->mutex, look_ns(endpoint));
        look_after(endpoint, port->monotonic_ns(port->ctx));
    }
    dbk_let(port, endpoint->mutex);
}

/* ---- life */

static dbk_result remove_stale(dbk_endpoint *endpoint, dbk_error *err)
{
    dbk_identity found;
    nng_stream *stream = NULL;
    const dbk_port *port = endpoint->port;
    int rc = port->identify(port->ctx, endpoint->dir, endpoint->name, &found);
    if (rc == -ENOENT) return DBK_OK;
    if (rc < 0) return dbk_fail_os(err, dbk_result_of_errno(rc), rc, "cannot look at '%s'", endpoint->url);
    if (found.kind != DBK_IS_OTHER || found.owner != endpoint->user) {
        dbk_result result = dbk_fail(err, DBK_DENIED, "'%s' is there and is no socket of this user", endpoint->url);
        dbk_error_hint(err, "remove it, or listen elsewhere");
        return result;
    }
    /* The default folder belongs to one store, whose lock is held: what lies there is stale. A path that the
     * user chose may be another daemon's. */
    if (dbk_dial(endpoint->url, &stream) == 0) {
        dbk_stream_discard(stream);
        return dbk_fail(err, DBK_LOCKED, "'%s' is served by another process", endpoint->url);
    }
    rc = port->unlink(port->ctx, endpoint->dir, endpoint->name);
    return rc == 0 || rc == -ENOENT
               ? DBK_OK
               : dbk_fail_os(err, dbk_result_of_errno(rc), rc, "cannot remove '%s'", endpoint->url);
}

static dbk_result listen_now(dbk_endpoint *endpoint, dbk_error *err)
{
    int rc = nng_aio_alloc(&endpoint->accept, accepted, endpoint);
    if (rc == 0) rc = nng_stream_listener_alloc(&endpoint->listener, endpoint->url);
    if (rc == 0) {
        uint32_t mask = dbk_platform_umask(0177);
        rc = nng_stream_listener_listen(endpoint->listener);
        (void)dbk_platform_umask(mask);
    }
    return rc == 0 ? DBK_OK : dbk_bus_fail_nng(err, rc, "listen on", endpoint->url);
}

dbk_result dbk_endpoint_open(dbk_endpoint *endpoint, const dbk_port *port, const dbk_bus_paths *paths, bool commands,
                             dbk_error *err)
{
    endpoint->port = port;
    endpoint->user = dbk_platform_user();
    endpoint->dir = paths->dir;
    endpoint->url = commands ? paths->commands : paths->changes;
    endpoint->name = commands ? paths->commands_name : paths->changes_name;
    endpoint->share = (dbk_frames_share){.max = DBK_BUS_BEGUN_BYTES};
    endpoint->rules = (dbk_conn_rules){.protocol = commands ? DBK_SP_REP : DBK_SP_PUB,
                                       .peer = commands ? DBK_SP_REQ : DBK_SP_SUB,
                                       .message_max = endpoint->on_message ? DBK_BUS_MESSAGE_MAX : 0,
                                       .share = &endpoint->share,
                                       .opened = on_opened,
                                       .received = on_received,
                                       .crowded = on_crowded,
                                       .ended = on_ended,
                                       .freed = on_freed,
                                       .arg = endpoint};
    endpoint->mutex = port->mutex_new(port->ctx);
    endpoint->changed = port->cond_new(port->ctx);
    if (!endpoint->mutex || !endpoint->changed) return dbk_fail(err, DBK_NO_MEMORY, "no memory for a socket");
    dbk_result result = remove_stale(endpoint, err);
    if (result == DBK_OK) result = listen_now(endpoint, err);
    if (result != DBK_OK) return result;
    int rc = port->thread_start(port->ctx, "dbk-endpoint", run_keeper, endpoint, &endpoint->keeper);
    if (rc != 0) return dbk_fail_os(err, dbk_result_of_errno(rc), rc, "cannot start the bus's threads");
    dbk_hold(port, endpoint->mutex);
    accept_next(endpoint);
    dbk_let(port, endpoint->mutex);
    return DBK_OK;
}

void dbk_endpoint_unlisten(dbk_endpoint *endpoint)
{
    const dbk_port *port = endpoint->port;
    if (!endpoint->listener) return;
    dbk_hold(port, endpoint->mutex);
    endpoint->stopping = true;
    nng_stream_listener_close(endpoint->listener);
    port->cond_broadcast(port->ctx, endpoint->changed);
    while (endpoint->accepting || endpoint->admitting)
        (void)port->cond_wait(port->ctx, endpoint->changed, endpoint->mutex, -1);
    dbk_let(port, endpoint->mutex);
    if (endpoint->keeper) port->thread_join(port->ctx, endpoint->keeper);
    endpoint->keeper = NULL;
    nng_stream_listener_free(endpoint->listener);
    endpoint->listener = NULL;
}

void dbk_endpoint_each(dbk_endpoint *endpoint, void (*each)(void *arg, dbk_conn *conn), void *arg)
{
    dbk_hold(endpoint->port, endpoint->mutex);
    for (dbk_conn *conn = endpoint->first; conn; conn = conn->next) each(arg, conn);
    dbk_let(endpoint->port, endpoint->mutex);
}

static void add_unsent(void *arg, dbk_conn *conn)
{
    size_t frames, bytes;
    dbk_conn_backlog(conn, &frames, &bytes);
    *(size_t *)arg += bytes;
}

size_t dbk_endpoint_unsent(dbk_endpoint *endpoint)
{
    size_t unsent = 0;
    dbk_endpoint_each(endpoint, add_unsent, &unsent);
    return unsent;
}

void dbk_endpoint_flush(dbk_endpoint *endpoint, int64_t longest_ns)
{
    const dbk_port *port = endpoint->port;
    int64_t end = port->monotonic_ns(port->ctx) + longest_ns;
    for (;;) {
        if (dbk_endpoint_unsent(endpoint) == 0 || port->monotonic_ns(port->ctx) >= end) return;
        dbk_hold(port, endpoint->mutex);
        (void)port->cond_wait(port->ctx, endpoint->changed, endpoint->mutex, NS_PER_MS);
        dbk_let(port, endpoint->mutex);
    }
}

static void close_conn(void *arg, dbk_conn *conn)
{
    (void)arg;
    dbk_conn_close(conn);
}

void dbk_endpoint_close(dbk_endpoint *endpoint)
{
    const dbk_port *port = endpoint->port;
    if (!port) return;
    if (endpoint->mutex && endpoint->changed) {
        dbk_endpoint_unlisten(endpoint);
        dbk_endpoint_each(endpoint, close_conn, NULL);
        dbk_hold(port, endpoint->mutex);
        while (endpoint->alive > 0) (void)port->cond_wait(port->ctx, endpoint->changed, endpoint->mutex, -1);
        dbk_let(port, endpoint->mutex);
    }
    nng_aio_free(endpoint->accept);
    if (endpoint->changed) port->cond_free(port->ctx, endpoint->changed);
    if (endpoint->mutex) port->mutex_free(port->ctx, endpoint->mutex);
    *endpoint = (dbk_endpoint){0};
}

size_t dbk_endpoint_count(dbk_endpoint *endpoint)
{
    dbk_hold(endpoint->port, endpoint->mutex);
    size_t count = endpoint->open_count;
    dbk_let(endpoint->port, endpoint->mutex);
    return count;
}

void dbk_endpoint_stats(dbk_endpoint *endpoint, dbk_endpoint_counts *counts)
{
    dbk_hold(endpoint->port, endpoint->mutex);
    counts->clients = endpoint->open_count;
    counts->refused += endpoint->refused;
    counts->crowded += endpoint->crowded;
    counts->cut += endpoint->cut;
    dbk_let(endpoint->port, endpoint->mutex);
}
