/* Sees that both endpoints still accept, and listens again where one does not.
 *
 * nng does not say that a listener has stopped. Two things are looked at: the error counts of the
 * listeners, each LOOK_NS, because a peer that left during the handshake is counted; and a real exchange,
 * every `every_ms` and at once when a count moved: a request that must be answered, a connection
 * that must come up. */

#include "bus/internal.h"

#include <nng/protocol/reqrep0/req.h>

enum { ANSWER_MS = 2000, ANSWER_AFTER_ERROR_MS = 250 };
static const int64_t NS_PER_MS = 1000000, LOOK_NS = 200000000;

struct dbk_bus_watchdog {
    const dbk_port *port;
    dbk_endpoint *commands, *changes;
    int64_t every_ns, next_ns;
    uint64_t commands_errors, changes_errors;
    dbk_mutex *mutex;
    dbk_cond *wake;
    dbk_thread *thread;
    bool stopping;
};

static bool commands_answer(dbk_bus_watchdog *watchdog, uint32_t timeout_ms)
{
    return dbk_endpoint_ping(watchdog->commands->url, timeout_ms, NULL) == DBK_OK;
}

/* Whoever was accepted since: connections are accepted in order. The caller is of another protocol, which
 * the publisher counts and then turns away: a subscriber would be sent a head, and nng 1.5.2 waits for ever
 * in a close that meets a message between its length and its bytes. */
static bool changes_accept(dbk_bus_watchdog *watchdog, uint32_t timeout_ms)
{
    nng_socket socket;
    uint64_t seen = dbk_endpoint_accepted(watchdog->changes);
    if (nng_req0_open(&socket) != 0) return true; /* no descriptors: nothing is known */
    bool came = nng_socket_set_size(socket, NNG_OPT_RECVMAXSZ, DBK_BUS_MESSAGE_MAX) == 0 &&
                nng_dial(socket, watchdog->changes->url, NULL, 0) == 0 &&
                dbk_endpoint_wait_accept(watchdog->changes, seen, timeout_ms);
    (void)nng_close(socket);
    return came;
}

/* A listening that fails is tried again at the next look. */
static void check(dbk_bus_watchdog *watchdog, uint32_t timeout_ms)
{
    bool failed = false;
    if (!watchdog->commands->is_listening || !commands_answer(watchdog, timeout_ms))
        failed |= dbk_endpoint_relisten(watchdog->commands, NULL) != DBK_OK;
    if (!watchdog->changes->is_listening || !changes_accept(watchdog, timeout_ms))
        failed |= dbk_endpoint_relisten(watchdog->changes, NULL) != DBK_OK;
    watchdog->commands_errors = dbk_endpoint_errors(watchdog->commands);
    watchdog->changes_errors = dbk_endpoint_errors(watchdog->changes);
    int64_t now = watchdog->port->monotonic_ns(watchdog->port->ctx);
    watchdog->next_ns = now + (failed ? LOOK_NS : watchdog->every_ns);
}

static bool errors_moved(const dbk_bus_watchdog *watchdog)
{
    return dbk_endpoint_errors(watchdog->commands) != watchdog->commands_errors ||
           dbk_endpoint_errors(watchdog->changes) != watchdog->changes_errors;
}

static void run(void *arg)
{
    dbk_bus_watchdog *watchdog = arg;
    const dbk_port *port = watchdog->port;
    dbk_hold(port, watchdog->mutex);
    while (!watchdog->stopping) {
        int64_t left = watchdog->next_ns - port->monotonic_ns(port->ctx);
        if (left > 0) (void)port->cond_wait(port->ctx, watchdog->wake, watchdog->mutex, left < LOOK_NS ? left : LOOK_NS);
        if (watchdog->stopping) break;
        dbk_let(port, watchdog->mutex);
        if (errors_moved(watchdog)) check(watchdog, ANSWER_AFTER_ERROR_MS);
        else if (port->monotonic_ns(port->ctx) >= watchdog->next_ns) check(watchdog, ANSWER_MS);
        dbk_hold(port, watchdog->mutex);
    }
    dbk_let(port, watchdog->mutex);
}

dbk_result dbk_bus_watchdog_start(const dbk_port *port, dbk_endpoint *commands, dbk_endpoint *changes, uint32_t every_ms,
                                  dbk_bus_watchdog **out, dbk_error *err)
{
    dbk_bus_watchdog *watchdog = dbk_alloc_zero(port, 1, sizeof *watchdog);
    if (!watchdog) return dbk_fail(err, DBK_NO_MEMORY, "no memory for the bus");
    *watchdog = (dbk_bus_watchdog){.port = port, .commands = commands, .changes = changes};
    watchdog->every_ns = (int64_t)every_ms * NS_PER_MS;
    watchdog->next_ns = port->monotonic_ns(port->ctx) + watchdog->every_ns;
    watchdog->mutex = port->mutex_new(port->ctx);
    watchdog->wake = port->cond_new(port->ctx);
    int rc = watchdog->mutex && watchdog->wake ? 0 : -1;
    if (rc == 0) rc = port->thread_start(port->ctx, "dbk-watchdog", run, watchdog, &watchdog->thread);
    if (rc == 0) {
        *out = watchdog;
        return DBK_OK;
    }
    dbk_bus_watchdog_stop(watchdog);
    return dbk_fail(err, DBK_NO_MEMORY, "cannot start the bus's threads");
}

void dbk_bus_watchdog_stop(dbk_bus_watchdog *watchdog)
{
    if (!watchdog) return;
    const dbk_port *port = watchdog->port;
    if (watchdog->thread) {
        dbk_hold(port, watchdog->mutex);
        watchdog->stopping = true;
        port->cond_broadcast(port->ctx, watchdog->wake);
        dbk_let(port, watchdog->mutex);
        port->thread_join(port->ctx, watchdog->thread);
    }
    if (watchdog->wake) port->cond_free(port->ctx, watchdog->wake);
    if (watchdog->mutex) port->mutex_free(port->ctx, watchdog->mutex);
    dbk_free(port, watchdog);
}
