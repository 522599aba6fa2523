/* The wire of a connection to a daemon: one at a time. Its thread makes a new one when it ends, and gives
 * up questions that wait too long. */
#include "bus/client.h"

static const int64_t NS_PER_MS = 1000000;
enum { RETRY_MIN_MS = 2, RETRY_FULL_MS = 50, RETRY_MAX_MS = 200 };
static const size_t ANSWER_MAX = (size_t)1 << 30; /* of this user's own daemon: a whole table after a reset */

/* ---- what the connection tells, on threads of nng */

static void on_opened(void *arg, dbk_conn *conn)
{
    dbk_client *client = arg;
    dbk_hold(client->port, client->mutex);
    if (client->conn == conn && !client->stopping) {
        client->connected = client->opened = true;
        dbk_client_pump(client);
    }
    client->port->cond_broadcast(client->port->ctx, client->wake);
    dbk_let(client->port, client->mutex);
}

static bool on_received(void *arg, dbk_conn *conn, dbk_slice body)
{
    (void)conn;
    dbk_client_answered(arg, body);
    return true;
}

static void on_ended(void *arg, dbk_conn *conn)
{
    dbk_client *client = arg;
    (void)conn;
    dbk_hold(client->port, client->mutex);
    client->connected = false;
    client->ended = true;
    client->port->cond_broadcast(client->port->ctx, client->wake);
    dbk_let(client->port, client->mutex);
}

static void on_freed(void *arg)
{
    dbk_client *client = arg;
    dbk_hold(client->port, client->mutex);
    client->alive--;
    client->port->cond_broadcast(client->port->ctx, client->wake);
    dbk_let(client->port, client->mutex);
}

/* ---- one connection; on the link's thread, or before it runs */

/* The mutex is held. Who waits is told, since it waits less for a daemon that is not there. */
static void note_dialed(dbk_client *client, int rc, bool foreign)
{
    bool was_down = client->down_ns != 0, was_foreign = client->foreign;
    client->foreign = foreign;
    if (rc != NNG_ECONNREFUSED) client->down_ns = 0;
    else if (!was_down) client->down_ns = client->port->monotonic_ns(client->port->ctx);
    if ((client->down_ns && !was_down) || (foreign && !was_foreign)) dbk_client_lost(client);
}

/* An nng result; NNG_EPERM: another user's. */
static int open_conn(dbk_client *client)
{
    const dbk_port *port = client->port;
    nng_stream *stream = NULL;
    dbk_conn *conn = NULL;
    int rc = dbk_dial(client->commands, &stream);
    bool foreign = rc == 0 && !dbk_stream_is_of(stream, client->user);
    dbk_hold(port, client->mutex);
    note_dialed(client, rc, foreign);
    dbk_let(port, client->mutex);
    if (foreign) {
        dbk_stream_discard(stream);
        return NNG_EPERM;
    }
    if (rc == 0 && dbk_conn_new(port, stream, &client->rules, &conn, NULL) != DBK_OK) rc = NNG_ENOMEM;
    if (rc != 0) return rc;
    dbk_hold(port, client->mutex);
    client->conn = conn;
    client->alive++;
    client->connected = client->opened = client->ended = false;
    dbk_let(port, client->mutex);
    dbk_conn_start(conn);
    return 0;
}

/* Ends the connection there is and waits until it is gone; what it carried is to be sent again. */
static void close_conn(dbk_client *client)
{
    const dbk_port *port = client->port;
    dbk_hold(port, client->mutex);
    dbk_conn *conn = client->conn;
    client->conn = NULL;
    client->connected = false;
    dbk_client_requeue(client);
    dbk_let(port, client->mutex);
    if (!conn) return;
    dbk_conn_close(conn);
    dbk_conn_drop(conn);
    dbk_hold(port, client->mutex);
    while (client->alive > 0) (void)port->cond_wait(port->ctx, client->wake, client->mutex, -1);
    dbk_let(port, client->mutex);
}

/* ---- the thread; the mutex is held around waits */

/* Waits until something is to be done, or the next limit. */
static void wait_idle(dbk_client *client, int64_t longest_ns)
{
    const dbk_port *port = client->port;
    int64_t now = port->monotonic_ns(port->ctx);
    int64_t limit = dbk_client_expire(client, now);
    int64_t left = limit ? limit - now : -1;
    if (left < 0 || (longest_ns >= 0 && longest_ns < left)) left = longest_ns;
    if (!client->stopping && !client->ended) (void)port->cond_wait(port->ctx, client->wake, client->mutex, left);
    dbk_client_pump(client);
}

/* Tries until there is a connection, or the link is closed. A daemon that is full ends a connection before it
 * is greeted: then the next try comes later. */
static void reconnect(dbk_client *client)
{
    const dbk_port *port = client->port;
    int64_t pause_ms = client->opened ? RETRY_MIN_MS : RETRY_FULL_MS;
    dbk_let(port, client->mutex);
    close_conn(client);
    dbk_hold(port, client->mutex);
    client->ended = false;
    for (int rc = -1; rc != 0;) {
        wait_idle(client, pause_ms * NS_PER_MS);
        if (client->stopping) return;
        dbk_let(port, client->mutex);
        rc = open_conn(client);
        dbk_hold(port, client->mutex);
        pause_ms = pause_ms * 2 > RETRY_MAX_MS ? RETRY_MAX_MS : pause_ms * 2;
    }
}

/* A greeting that does not come ends the connection; its end is told like any other. */
static void attend(dbk_client *client)
{
    int64_t left = -1;
    if (!client->connected) {
        left = client->conn->begun_ns + DBK_BUS_GREETING_MS * NS_PER_MS - client->port->monotonic_ns(client->port->ctx);
        if (left <= 0) dbk_conn_close(client->conn);
    }
    wait_idle(client, left > 0 ? left : -1);
}

static void run_link(void *arg)
{
    dbk_client *client = arg;
    dbk_hold(client->port, client->mutex);
    while (!client->stopping) {
        if (client->conn && !client->ended) attend(client);
        else reconnect(client);
    }
    dbk_let(client->port, client->mutex);
}

dbk_result dbk_client_link_open(dbk_client *client, dbk_error *err)
{
    const dbk_port *port = client->port;
    client->rules = (dbk_conn_rules){.protocol = DBK_SP_REQ,
                                     .peer = DBK_SP_REP,
                                     .message_max = ANSWER_MAX,
                                     .opened = on_opened,
                                     .received = on_received,
                                     .ended = on_ended,
                                     .freed = on_freed,
                                     .arg = client};
    int rc = open_conn(client);
    if (rc == NNG_ECONNREFUSED) {
        dbk_result result = dbk_bus_fail_nng(err, rc, "connect to", client->commands);
        dbk_error_hint(err, "no daemon listens there: start one with 'daybook serve'");
        return result;
    }
    if (rc == NNG_EPERM) return dbk_fail(err, DBK_DENIED, "'%s' is served by another user", client->commands);
    if (rc != 0 && rc != NNG_EAGAIN) return dbk_bus_fail_nng(err, rc, "connect to", client->commands);
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
    close_conn(client);
    dbk_client_fail_all(client);
}
