/* One nng socket that listens on a Unix socket.
 *
 * nng 1.5.2 stops accepting for ever when a peer connects and leaves during the handshake. Closing the
 * listener and listening again cures it, and connections that are there outlive the listener: so
 * listening again is an ordinary act here, and bus_watchdog.c decides when. */
#include <errno.h>

#include "bus/internal.h"

#include <nng/protocol/reqrep0/req.h>
#include <nng/transport/ipc/ipc.h>

enum { STALE_PROBE_MS = 500 };

dbk_result dbk_bus_fail_nng(dbk_error *err, int rc, const char *what, const char *url)
{
    dbk_result result = DBK_UNAVAILABLE;
    if (rc == NNG_ENOMEM) result = DBK_NO_MEMORY;
    else if (rc == NNG_ENOFILES) result = DBK_NO_FILES;
    else if (rc == NNG_ETIMEDOUT) result = DBK_TIMEOUT;
    else if (rc == NNG_EPERM) result = DBK_DENIED;
    return dbk_fail(err, result, "cannot %s '%s': %s", what, url, nng_strerror(rc));
}

/* ---- connections */

static uint32_t *find_pipe(dbk_endpoint *endpoint, uint32_t id)
{
    uint32_t *ids = (uint32_t *)(void *)endpoint->pipes.data;
    for (size_t i = 0; i < endpoint->pipes.size / sizeof *ids; i++)
        if (ids[i] == id) return &ids[i];
    return NULL;
}

/* Only this user's processes: the folder's mode is the guard, this is the second one. */
static void before_add(nng_pipe pipe, nng_pipe_ev event, void *arg)
{
    dbk_endpoint *endpoint = arg;
    uint64_t user = UINT64_MAX;
    (void)event;
    bool is_ours = nng_pipe_get_uint64(pipe, NNG_OPT_IPC_PEER_UID, &user) == 0 && user == endpoint->user;
    dbk_hold(endpoint->port, endpoint->mutex);
    endpoint->accepted++;
    if (!is_ours) endpoint->refused++;
    endpoint->port->cond_broadcast(endpoint->port->ctx, endpoint->changed);
    dbk_let(endpoint->port, endpoint->mutex);
    if (!is_ours) (void)nng_pipe_close(pipe);
}

static void after_add(nng_pipe pipe, nng_pipe_ev event, void *arg)
{
    dbk_endpoint *endpoint = arg;
    uint32_t id = (uint32_t)nng_pipe_id(pipe);
    (void)event;
    dbk_hold(endpoint->port, endpoint->mutex);
    if (!find_pipe(endpoint, id)) dbk_buffer_put_u32(&endpoint->pipes, id);
    bool is_counted = !endpoint->pipes.failed;
    endpoint->pipes.failed = false;
    dbk_let(endpoint->port, endpoint->mutex);
    if (!is_counted) (void)nng_pipe_close(pipe);
    else if (endpoint->on_connect) endpoint->on_connect(endpoint->arg);
}

static void after_remove(nng_pipe pipe, nng_pipe_ev event, void *arg)
{
    dbk_endpoint *endpoint = arg;
    (void)event;
    dbk_hold(endpoint->port, endpoint->mutex);
    uint32_t *found = find_pipe(endpoint, (uint32_t)nng_pipe_id(pipe));
    if (found) {
        endpoint->pipes.size -= sizeof *found;
        memcpy(found, endpoint->pipes.data + endpoint->pipes.size, sizeof *found);
    }
    dbk_let(endpoint->port, endpoint->mutex);
}

/* ---- life */

dbk_result dbk_endpoint_open(dbk_endpoint *endpoint, const dbk_port *port, nng_socket socket, const dbk_bus_paths *paths,
                             bool commands, dbk_error *err)
{
    *endpoint = (dbk_endpoint){.port = port, .socket = socket, .is_open = true, .user = dbk_platform_user(), .dir = paths->dir};
    endpoint->url = commands ? paths->commands : paths->changes;
    endpoint->name = commands ? paths->commands_name : paths->changes_name;
    dbk_buffer_init(&endpoint->pipes, port);
    endpoint->mutex = port->mutex_new(port->ctx);
    endpoint->changed = port->cond_new(port->ctx);
    if (!endpoint->mutex || !endpoint->changed) return dbk_fail(err, DBK_NO_MEMORY, "no memory for a socket");
    int rc = nng_socket_set_size(socket, NNG_OPT_RECVMAXSZ, DBK_BUS_MESSAGE_MAX);
    if (rc == 0) rc = nng_pipe_notify(socket, NNG_PIPE_EV_ADD_PRE, before_add, endpoint);
    if (rc == 0) rc = nng_pipe_notify(socket, NNG_PIPE_EV_ADD_POST, after_add, endpoint);
    if (rc == 0) rc = nng_pipe_notify(socket, NNG_PIPE_EV_REM_POST, after_remove, endpoint);
    return rc == 0 ? DBK_OK : dbk_bus_fail_nng(err, rc, "prepare", endpoint->url);
}

static dbk_result remove_stale(dbk_endpoint *endpoint, dbk_error *err)
{
    dbk_identity found;
    const dbk_port *port = endpoint->port;
    int rc = port->identify(port->ctx, endpoint->dir, endpoint->name, &found);
    if (rc == -ENOENT) return DBK_OK;
    if (rc < 0) return dbk_fail_os(err, dbk_result_of_errno(rc), rc, "cannot look at '%s'", endpoint->url);
    if (found.kind != DBK_IS_OTHER || found.owner != endpoint->user) {
        dbk_result result = dbk_fail(err, DBK_DENIED, "'%s' is there and is no socket of this user", endpoint->url);
        dbk_error_hint(err, "remove it, or listen elsewhere");
        return result;
    }
    rc = port->unlink(port->ctx, endpoint->dir, endpoint->name);
    return rc == 0 || rc == -ENOENT ? DBK_OK : dbk_fail_os(err, dbk_result_of_errno(rc), rc, "cannot remove '%s'", endpoint->url);
}

static dbk_result listen_now(dbk_endpoint *endpoint, dbk_error *err)
{
    dbk_result result = remove_stale(endpoint, err);
    if (result != DBK_OK) return result;
    uint32_t mask = dbk_platform_umask(0177);
    int rc = nng_listen(endpoint->socket, endpoint->url, &endpoint->listener, 0);
    (void)dbk_platform_umask(mask);
    if (rc != 0) return dbk_bus_fail_nng(err, rc, "listen on", endpoint->url);
    endpoint->is_listening = true;
    return DBK_OK;
}

/* The default folder belongs to one store, whose lock is held: what lies there is stale. A path that
 * the user chose may be another daemon's, so that one is asked first. */
dbk_result dbk_endpoint_listen(dbk_endpoint *endpoint, dbk_error *err)
{
    dbk_identity found;
    const dbk_port *port = endpoint->port;
    bool is_there = port->identify(port->ctx, endpoint->dir, endpoint->name, &found) == 0;
    if (is_there && found.kind == DBK_IS_OTHER && dbk_endpoint_ping(endpoint->url, STALE_PROBE_MS, NULL) == DBK_OK)
        return dbk_fail(err, DBK_LOCKED, "'%s' is served by another process", endpoint->url);
    return listen_now(endpoint, err);
}

void dbk_endpoint_unlisten(dbk_endpoint *endpoint)
{
    if (endpoint->is_listening) (void)nng_listener_close(endpoint->listener);
    endpoint->is_listening = false;
}

dbk_result dbk_endpoint_relisten(dbk_endpoint *endpoint, dbk_error *err)
{
    dbk_endpoint_unlisten(endpoint);
    dbk_hold(endpoint->port, endpoint->mutex);
    endpoint->relistened++;
    dbk_let(endpoint->port, endpoint->mutex);
    return listen_now(endpoint, err);
}

void dbk_endpoint_close(dbk_endpoint *endpoint)
{
    const dbk_port *port = endpoint->port;
    if (!port) return;
    dbk_endpoint_unlisten(endpoint);
    if (endpoint->is_open) (void)nng_close(endpoint->socket);
    if (endpoint->changed) port->cond_free(port->ctx, endpoint->changed);
    if (endpoint->mutex) port->mutex_free(port->ctx, endpoint->mutex);
    dbk_buffer_release(&endpoint->pipes);
    *endpoint = (dbk_endpoint){0};
}

/* ---- what is going on */

size_t dbk_endpoint_count(dbk_endpoint *endpoint)
{
    dbk_hold(endpoint->port, endpoint->mutex);
    size_t count = endpoint->pipes.size / sizeof(uint32_t);
    dbk_let(endpoint->port, endpoint->mutex);
    return count;
}

uint64_t dbk_endpoint_accepted(dbk_endpoint *endpoint)
{
    dbk_hold(endpoint->port, endpoint->mutex);
    uint64_t accepted = endpoint->accepted;
    dbk_let(endpoint->port, endpoint->mutex);
    return accepted;
}

bool dbk_endpoint_wait_accept(dbk_endpoint *endpoint, uint64_t seen, uint32_t timeout_ms)
{
    const dbk_port *port = endpoint->port;
    int64_t end = port->monotonic_ns(port->ctx) + (int64_t)timeout_ms * 1000000;
    dbk_hold(port, endpoint->mutex);
    while (endpoint->accepted <= seen) {
        int64_t left = end - port->monotonic_ns(port->ctx);
        if (left <= 0) break;
        (void)port->cond_wait(port->ctx, endpoint->changed, endpoint->mutex, left);
    }
    bool came = endpoint->accepted > seen;
    dbk_let(port, endpoint->mutex);
    return came;
}

/* nng reports a failed accept nowhere but in its statistics. */
uint64_t dbk_endpoint_errors(const dbk_endpoint *endpoint)
{
    static const char *const counters[] = {"disconnect", "canceled", "other", "timeout", "proto", "auth", "oom"};
    uint64_t errors = 0;
    nng_stat *all;
    if (!endpoint->is_listening || nng_stats_get(&all) != 0) return 0;
    for (nng_stat *scope = nng_stat_child(all); scope; scope = nng_stat_next(scope)) {
        if (strcmp(nng_stat_name(scope), "listener") != 0) continue;
        bool is_this = false;
        uint64_t sum = 0;
        for (nng_stat *s = nng_stat_child(scope); s; s = nng_stat_next(s)) {
            if (strcmp(nng_stat_name(s), "id") == 0) is_this = nng_stat_value(s) == (uint64_t)nng_listener_id(endpoint->listener);
            for (size_t i = 0; i < sizeof counters / sizeof *counters; i++)
                if (strcmp(nng_stat_name(s), counters[i]) == 0) sum += nng_stat_value(s);
        }
        if (is_this) errors = sum;
    }
    nng_stats_free(all);
    return errors;
}

dbk_result dbk_endpoint_ping(const char *url, uint32_t timeout_ms, dbk_error *err)
{
    nng_socket socket;
    nng_msg *message = NULL;
    int rc = nng_req0_open(&socket);
    if (rc != 0) return dbk_bus_fail_nng(err, rc, "ask", url);
    rc = nng_socket_set_ms(socket, NNG_OPT_SENDTIMEO, (nng_duration)timeout_ms);
    if (rc == 0) rc = nng_socket_set_ms(socket, NNG_OPT_RECVTIMEO, (nng_duration)timeout_ms);
    if (rc == 0) rc = nng_socket_set_size(socket, NNG_OPT_RECVMAXSZ, DBK_BUS_MESSAGE_MAX);
    if (rc == 0) rc = nng_dial(socket, url, NULL, 0);
    if (rc == 0) rc = nng_msg_alloc(&message, 0);
    if (rc == 0 && (rc = nng_sendmsg(socket, message, 0)) != 0) nng_msg_free(message);
    if (rc == 0 && (rc = nng_recvmsg(socket, &message, 0)) == 0) nng_msg_free(message);
    (void)nng_close(socket);
    return rc == 0 ? DBK_OK : dbk_bus_fail_nng(err, rc, "ask", url);
}
