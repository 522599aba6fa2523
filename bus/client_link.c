/* The wire of a connection: one raw REQ socket at a time. Its thread opens a new one when it breaks,
 * and gives up questions that wait too long. */
#include "bus/client.h"

#include <nng/protocol/reqrep0/req.h>
#include <nng/transport/ipc/ipc.h>

static const int64_t NS_PER_MS = 1000000;
enum { RETRY_MIN_MS = 10, RETRY_MAX_MS = 500, HANDSHAKE_MS = 1000 };
static const size_t ANSWER_MAX = (size_t)1 << 30; /* of this user's own daemon: a whole table after a reset */

/* ---- callbacks of nng */

void dbk_client_check_peer(nng_pipe pipe, nng_pipe_ev event, void *arg)
{
    dbk_client *client = arg;
    uint64_t user = UINT64_MAX;
    (void)event;
    if (nng_pipe_get_uint64(pipe, NNG_OPT_IPC_PEER_UID, &user) == 0 && user == client->user) return;
    dbk_hold(client->port, client->mutex);
    client->foreign = true;
    dbk_let(client->port, client->mutex);
    (void)nng_pipe_close(pipe);
}

/* Events of a socket that is closed already may come late. */
static void on_pipe(nng_pipe pipe, nng_pipe_ev event, void *arg)
{
    dbk_client *client = arg;
    nng_socket socket = nng_pipe_socket(pipe);
    dbk_hold(client->port, client->mutex);
    if (client->has_socket && socket.id == client->socket.id) {
        if (event == NNG_PIPE_EV_ADD_POST && !client->broken) {
            client->connected = true;
            client->foreign = false;
            dbk_client_pump(client);
        } else if (event == NNG_PIPE_EV_REM_POST) {
            client->connected = false;
            client->broken = true;
        }
        client->port->cond_broadcast(client->port->ctx, client->wake);
    }
    dbk_let(client->port, client->mutex);
}

static void on_receive(void *arg)
{
    dbk_client *client = arg;
    if (nng_aio_result(client->receive) != 0) return; /* the socket is closed */
    nng_msg *message = nng_aio_get_msg(client->receive);
    nng_aio_set_msg(client->receive, NULL);
    dbk_client_answered(client, message);
    nng_recv_aio(client->socket, client->receive);
}

/* ---- one socket; on the link's thread, or before it runs */

static int dial(dbk_client *client, nng_socket socket)
{
    int rc = nng_socket_set_size(socket, NNG_OPT_RECVMAXSZ, ANSWER_MAX);
    if (rc == 0) rc = nng_socket_set_int(socket, NNG_OPT_SENDBUF, DBK_BUS_PEER_MESSAGES);
    if (rc == 0) rc = nng_pipe_notify(socket, NNG_PIPE_EV_ADD_PRE, dbk_client_check_peer, client);
    if (rc == 0) rc = nng_pipe_notify(socket, NNG_PIPE_EV_ADD_POST, on_pipe, client);
    if (rc == 0) rc = nng_pipe_notify(socket, NNG_PIPE_EV_REM_POST, on_pipe, client);
    if (rc == 0) rc = nng_dial(socket, client->commands, NULL, 0);
    return rc;
}

static int open_socket(dbk_client *client)
{
    nng_socket socket;
    int rc = nng_req0_open_raw(&socket);
    if (rc != 0) return rc;
    dbk_hold(client->port, client->mutex);
    client->socket = socket;
    client->has_socket = true;
    client->connected = client->broken = false;
    dbk_let(client->port, client->mutex);
    rc = dial(client, socket);
    if (rc == 0) {
        nng_recv_aio(socket, client->receive);
        return 0;
    }
    dbk_hold(client->port, client->mutex);
    client->has_socket = false;
    dbk_let(client->port, client->mutex);
    (void)nng_close(socket);
    return rc;
}

static void close_socket(dbk_client *client)
{
    dbk_hold(client->port, client->mutex);
    bool had = client->has_socket;
    client->has_socket = client->connected = false;
    dbk_client_requeue(client);
    dbk_let(client->port, client->mutex);
    if (!had) return;
    (void)nng_close(client->socket);
    nng_aio_wait(client->receive);
}

/* ---- the thread; the mutex is held around waits */

/* Waits until something is to be done, or the next deadline. */
static void wait_idle(dbk_client *client, int64_t longest_ns)
{
    const dbk_port *port = client->port;
    int64_t now = port->monotonic_ns(port->ctx);
    int64_t deadline = dbk_client_expire(client, now);
    int64_t left = deadline ? deadline - now : -1;
    if (left < 0 || (longest_ns >= 0 && longest_ns < left)) left = longest_ns;
    if (!client->stopping && !client->broken) (void)port->cond_wait(port->ctx, client->wake, client->mutex, left);
    dbk_client_pump(client);
}

/* Tries until there is a socket; false: stopping. */
static bool reconnect(dbk_client *client)
{
    const dbk_port *port = client->port;
    for (int64_t pause_ms = RETRY_MIN_MS; !client->stopping; pause_ms = pause_ms * 2 > RETRY_MAX_MS ? RETRY_MAX_MS : pause_ms * 2) {
        dbk_let(port, client->mutex);
        int rc = open_socket(client);
        dbk_hold(port, client->mutex);
        if (rc == 0) return true;
        client->broken = false;
        wait_idle(client, pause_ms * NS_PER_MS);
    }
    return false;
}

/* A handshake that does not end: the listener has stopped, and is opened anew by its watchdog. */
static void wait_handshake(dbk_client *client)
{
    const dbk_port *port = client->port;
    int64_t end = port->monotonic_ns(port->ctx) + HANDSHAKE_MS * NS_PER_MS;
    while (!client->connected && !client->broken && !client->stopping) {
        int64_t left = end - port->monotonic_ns(port->ctx);
        if (left <= 0) client->broken = true;
        else wait_idle(client, left);
    }
}

static void run_link(void *arg)
{
    dbk_client *client = arg;
    const dbk_port *port = client->port;
    dbk_hold(port, client->mutex);
    while (!client->stopping) {
        if (client->broken || !client->has_socket) {
            bool was_refused = client->foreign;
            dbk_let(port, client->mutex);
            close_socket(client);
            dbk_hold(port, client->mutex);
            client->broken = false;
            if (was_refused) wait_idle(client, RETRY_MAX_MS * NS_PER_MS);
            if (!reconnect(client)) break;
        }
        wait_handshake(client);
        if (client->connected) wait_idle(client, -1);
    }
    dbk_let(port, client->mutex);
}

dbk_result dbk_client_link_open(dbk_client *client, dbk_error *err)
{
    const dbk_port *port = client->port;
    int rc = nng_aio_alloc(&client->receive, on_receive, client);
    if (rc == 0) rc = open_socket(client);
    if (rc != 0) return dbk_bus_fail_nng(err, rc, "connect to", client->commands);
    rc = port->thread_start(port->ctx, "dbk-link", run_link, client, &client->thread);
    return rc == 0 ? DBK_OK : dbk_fail_os(err, dbk_result_of_errno(rc), rc, "cannot start a thread");
}

void dbk_client_link_close(dbk_client *client)
{
    const dbk_port *port = client->port;
    dbk_hold(port, client->mutex);
    client->stopping = true;
    port->cond_broadcast(port->ctx, client->wake);
    dbk_let(port, client->mutex);
    if (client->thread) port->thread_join(port->ctx, client->thread);
    client->thread = NULL;
    close_socket(client);
    nng_aio_free(client->receive);
    client->receive = NULL;
    dbk_client_fail_all(client);
}
