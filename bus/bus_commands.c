/* Messages in, answers out.
 *
 * One thread receives, so that the messages of a connection reach the store in the order they were
 * sent; the store answers from its deciding thread, which only starts an asynchronous send and never
 * waits for a client. Each message under way has a slot: an nng context that remembers whom to answer.
 * (A raw REP socket would be simpler, but drops answers: of 1,000 sent at once to one connection, 91
 * arrived. A context waits until the connection takes its answer.)
 *
 * What one client can take: DBK_BUS_PEER_MESSAGES messages or DBK_BUS_PEER_BYTES undecided, what comes
 * beyond is answered `busy`; UNSENT_MESSAGES or UNSENT_BYTES of answers that it does not read, beyond
 * that it is cut off, as is one that reads nothing for STALLED_MS. */

#include "bus/internal.h"

#include <nng/protocol/reqrep0/rep.h>

enum { SLOTS_MAX = 65536, UNSENT_MESSAGES = 4096, UNSENT_BYTES = 64 * 1024 * 1024, STALLED_MS = 60000,
       RETRY_NS = 100 * 1000 * 1000 };
static const int64_t LAST_ANSWERS_NS = 2000000000;

typedef struct bus_peer { /* a connection with something under way */
    struct bus_peer *next;
    nng_pipe pipe;
    size_t waiting, waiting_bytes; /* received and not decided */
    size_t unsent, unsent_bytes;   /* answers not taken yet */
} bus_peer;

typedef struct bus_slot {
    struct bus_slot *next_free, *next;
    dbk_bus_commands *commands;
    nng_ctx ctx;
    nng_aio *send;
    bus_peer *peer;
    size_t bytes; /* of the message, then of the answer */
} bus_slot;

struct dbk_bus_commands {
    const dbk_port *port;
    dbk_store *store;
    dbk_endpoint endpoint;
    nng_aio *receive;
    dbk_thread *receiver;
    dbk_mutex *mutex;
    dbk_cond *freed; /* a slot came back */
    bus_slot *all, *free;
    size_t slot_count, free_count;
    bus_peer *peers, *spare_peers;
    bool stopping;
    uint64_t messages, busy, cut;
};

static void answered(void *arg);

/* ---- slots and peers; the mutex is held */

static bus_slot *new_slot(dbk_bus_commands *commands)
{
    bus_slot *slot = dbk_alloc_zero(commands->port, 1, sizeof *slot);
    if (!slot) return NULL;
    slot->commands = commands;
    if (nng_aio_alloc(&slot->send, answered, slot) != 0 || nng_ctx_open(&slot->ctx, commands->endpoint.socket) != 0) {
        nng_aio_free(slot->send);
        dbk_free(commands->port, slot);
        return NULL;
    }
    nng_aio_set_timeout(slot->send, STALLED_MS);
    slot->next = commands->all;
    commands->all = slot;
    commands->slot_count++;
    return slot;
}

static bus_peer *peer_of(dbk_bus_commands *commands, nng_pipe pipe)
{
    for (bus_peer *peer = commands->peers; peer; peer = peer->next)
        if (peer->pipe.id == pipe.id) return peer;
    bus_peer *peer = commands->spare_peers;
    if (peer) commands->spare_peers = peer->next;
    else peer = dbk_alloc_zero(commands->port, 1, sizeof *peer);
    if (!peer) return NULL;
    *peer = (bus_peer){.next = commands->peers, .pipe = pipe};
    commands->peers = peer;
    return peer;
}

static void forget_idle_peer(dbk_bus_commands *commands, bus_peer *peer)
{
    if (peer->waiting || peer->unsent) return;
    bus_peer **at = &commands->peers;
    while (*at != peer) at = &(*at)->next;
    *at = peer->next;
    peer->next = commands->spare_peers;
    commands->spare_peers = peer;
}

static void free_slot(dbk_bus_commands *commands, bus_slot *slot)
{
    slot->peer = NULL;
    slot->next_free = commands->free;
    commands->free = slot;
    commands->free_count++;
    commands->port->cond_signal(commands->port->ctx, commands->freed);
}

static void cut(dbk_bus_commands *commands, nng_pipe pipe)
{
    dbk_hold(commands->port, commands->mutex);
    commands->cut++;
    dbk_let(commands->port, commands->mutex);
    (void)nng_pipe_close(pipe);
}

/* ---- answers */

/* The answer of a slot was taken by nng, or never will be. On a thread of nng. */
static void answered(void *arg)
{
    bus_slot *slot = arg;
    dbk_bus_commands *commands = slot->commands;
    nng_pipe pipe = slot->peer->pipe;
    int rc = nng_aio_result(slot->send);
    if (rc != 0) {
        nng_msg_free(nng_aio_get_msg(slot->send));
        nng_aio_set_msg(slot->send, NULL);
        if (rc == NNG_ETIMEDOUT) cut(commands, pipe);
    }
    dbk_hold(commands->port, commands->mutex);
    slot->peer->unsent--;
    slot->peer->unsent_bytes -= slot->bytes;
    forget_idle_peer(commands, slot->peer);
    free_slot(commands, slot);
    dbk_let(commands->port, commands->mutex);
}

/* From deciding to sending. True: the peer reads too little of what it asked for. */
static bool account_answer(bus_slot *slot, size_t size)
{
    dbk_bus_commands *commands = slot->commands;
    bus_peer *peer = slot->peer;
    dbk_hold(commands->port, commands->mutex);
    peer->waiting--;
    peer->waiting_bytes -= slot->bytes;
    slot->bytes = size;
    peer->unsent++;
    peer->unsent_bytes += size;
    bool is_over = peer->unsent > UNSENT_MESSAGES || (peer->unsent > 1 && peer->unsent_bytes > UNSENT_BYTES);
    dbk_let(commands->port, commands->mutex);
    return is_over;
}

static void give_up_answer(bus_slot *slot)
{
    dbk_bus_commands *commands = slot->commands;
    dbk_hold(commands->port, commands->mutex);
    slot->peer->unsent--;
    slot->peer->unsent_bytes -= slot->bytes;
    forget_idle_peer(commands, slot->peer);
    free_slot(commands, slot);
    dbk_let(commands->port, commands->mutex);
}

/* dbk_done_fn. Without memory for the answer the connection is cut: the client asks again by its id. */
static void answer(void *arg, const char *receipt, size_t size)
{
    bus_slot *slot = arg;
    nng_pipe pipe = slot->peer->pipe;
    nng_msg *message = NULL;
    bool is_over = account_answer(slot, size);
    if (nng_msg_alloc(&message, size) != 0) is_over = true;
    if (is_over) {
        nng_msg_free(message);
        cut(slot->commands, pipe);
        give_up_answer(slot);
        return;
    }
    if (size) memcpy(nng_msg_body(message), receipt, size);
    nng_aio_set_msg(slot->send, message);
    nng_ctx_send(slot->ctx, slot->send);
}

static void refuse(bus_slot *slot, dbk_result result, const dbk_error *error)
{
    static const char none[] = "{\"ok\":false,\"error\":\"busy\",\"class\":\"transient\",\"message\":\"out of memory\",\"outcome\":\"none\"}";
    dbk_buffer out;
    dbk_buffer_init(&out, slot->commands->port);
    dbk_buffer_printf(&out, "{\"ok\":false,\"error\":\"%s\",\"class\":\"%s\",\"message\":", dbk_result_wire_name(result),
                      dbk_class_name(dbk_result_class(result)));
    dbk_json_put_string(&out, dbk_slice_text(error->text));
    if (error->hint[0]) {
        dbk_buffer_put_text(&out, ",\"hint\":");
        dbk_json_put_string(&out, dbk_slice_text(error->hint));
    }
    dbk_buffer_put_text(&out, ",\"outcome\":\"none\"}");
    if (out.failed) answer(slot, none, sizeof none - 1);
    else answer(slot, (const char *)out.data, out.size);
    dbk_buffer_release(&out);
}

/* ---- messages */

static bool account_message(dbk_bus_commands *commands, bus_slot *slot, nng_pipe pipe, size_t size, bool *busy)
{
    dbk_hold(commands->port, commands->mutex);
    bus_peer *peer = slot->peer = peer_of(commands, pipe);
    if (peer) {
        *busy = peer->waiting >= DBK_BUS_PEER_MESSAGES || (peer->waiting && peer->waiting_bytes + size > DBK_BUS_PEER_BYTES);
        slot->bytes = size;
        peer->waiting++;
        peer->waiting_bytes += size;
        commands->messages++;
        if (*busy) commands->busy++;
    } else {
        free_slot(commands, slot);
    }
    dbk_let(commands->port, commands->mutex);
    return peer != NULL;
}

static void take_message(dbk_bus_commands *commands, bus_slot *slot, nng_msg *message)
{
    nng_pipe pipe = nng_msg_get_pipe(message);
    size_t size = nng_msg_len(message);
    bool busy = false;
    dbk_error error = {0};
    if (!account_message(commands, slot, pipe, size, &busy)) {
        cut(commands, pipe);
    } else if (size == 0) {
        answer(slot, "", 0); /* a ping: are you there */
    } else if (busy) {
        dbk_error_hint(&error, "wait for receipts before sending more");
        refuse(slot, dbk_fail(&error, DBK_BUSY, "this connection has %d messages or %d MiB waiting already", DBK_BUS_PEER_MESSAGES,
                              DBK_BUS_PEER_BYTES / 1024 / 1024), &error);
    } else {
        dbk_result result = dbk_send(commands->store, nng_msg_body(message), size, answer, slot, &error);
        if (result != DBK_OK) refuse(slot, result, &error);
    }
    nng_msg_free(message);
}

/* A slot to receive with; NULL: stopping. */
static bus_slot *take_slot(dbk_bus_commands *commands)
{
    bus_slot *slot = NULL;
    dbk_hold(commands->port, commands->mutex);
    while (!commands->stopping && !slot) {
        slot = commands->free;
        if (slot) {
            commands->free = slot->next_free;
            commands->free_count--;
        } else {
            slot = commands->slot_count < SLOTS_MAX ? new_slot(commands) : NULL;
            if (!slot) (void)commands->port->cond_wait(commands->port->ctx, commands->freed, commands->mutex, RETRY_NS);
        }
    }
    dbk_let(commands->port, commands->mutex);
    return slot;
}

static void run_receiver(void *arg)
{
    dbk_bus_commands *commands = arg;
    for (;;) {
        bus_slot *slot = take_slot(commands);
        if (!slot) return;
        nng_ctx_recv(slot->ctx, commands->receive);
        nng_aio_wait(commands->receive);
        int rc = nng_aio_result(commands->receive);
        if (rc == 0) {
            take_message(commands, slot, nng_aio_get_msg(commands->receive));
            continue;
        }
        dbk_hold(commands->port, commands->mutex);
        free_slot(commands, slot);
        dbk_let(commands->port, commands->mutex);
        if (rc == NNG_ECANCELED || rc == NNG_ECLOSED) return;
    }
}

/* ---- life */

static bool anything_undecided(const dbk_bus_commands *commands)
{
    for (const bus_peer *peer = commands->peers; peer; peer = peer->next)
        if (peer->waiting) return true;
    return false;
}

/* Waits until every message that was received is decided and its answer handed to nng. Clients that do
 * not read get a moment; closing the socket then ends what is left. */
static void drain(dbk_bus_commands *commands)
{
    const dbk_port *port = commands->port;
    dbk_hold(port, commands->mutex);
    commands->stopping = true;
    port->cond_broadcast(port->ctx, commands->freed);
    dbk_let(port, commands->mutex);
    if (commands->receive) nng_aio_stop(commands->receive);
    if (commands->receiver) port->thread_join(port->ctx, commands->receiver);
    int64_t end = port->monotonic_ns(port->ctx) + LAST_ANSWERS_NS, left = LAST_ANSWERS_NS;
    dbk_hold(port, commands->mutex);
    while (commands->free_count < commands->slot_count && (left > 0 || anything_undecided(commands))) {
        (void)port->cond_wait(port->ctx, commands->freed, commands->mutex, left > 0 ? left : RETRY_NS);
        left = end - port->monotonic_ns(port->ctx);
    }
    dbk_let(port, commands->mutex);
    if (commands->endpoint.is_open) (void)nng_close(commands->endpoint.socket);
    commands->endpoint.is_open = false;
    dbk_hold(port, commands->mutex);
    while (commands->free_count < commands->slot_count)
        (void)port->cond_wait(port->ctx, commands->freed, commands->mutex, RETRY_NS);
    dbk_let(port, commands->mutex);
}

void dbk_bus_commands_stop(dbk_bus_commands *commands)
{
    if (!commands) return;
    const dbk_port *port = commands->port;
    if (commands->endpoint.port) dbk_endpoint_unlisten(&commands->endpoint);
    if (commands->mutex && commands->freed) drain(commands);
    for (bus_slot *slot = commands->all, *next; slot; slot = next) {
        next = slot->next;
        nng_aio_free(slot->send);
        (void)nng_ctx_close(slot->ctx);
        dbk_free(port, slot);
    }
    dbk_endpoint_close(&commands->endpoint);
    nng_aio_free(commands->receive);
    for (bus_peer *peer = commands->spare_peers, *next; peer; peer = next) {
        next = peer->next;
        dbk_free(port, peer);
    }
    if (commands->freed) port->cond_free(port->ctx, commands->freed);
    if (commands->mutex) port->mutex_free(port->ctx, commands->mutex);
    dbk_free(port, commands);
}

static dbk_result start(dbk_bus_commands *commands, const dbk_bus_paths *paths, dbk_error *err)
{
    const dbk_port *port = commands->port;
    nng_socket socket;
    commands->mutex = port->mutex_new(port->ctx);
    commands->freed = port->cond_new(port->ctx);
    if (!commands->mutex || !commands->freed) return dbk_fail(err, DBK_NO_MEMORY, "no memory for the bus");
    int rc = nng_rep0_open(&socket);
    if (rc != 0) return dbk_bus_fail_nng(err, rc, "open a socket for", paths->commands);
    dbk_result result = dbk_endpoint_open(&commands->endpoint, port, socket, paths, true, err);
    if (result == DBK_OK && (rc = nng_aio_alloc(&commands->receive, NULL, NULL)) != 0)
        result = dbk_bus_fail_nng(err, rc, "receive on", paths->commands);
    if (result == DBK_OK) result = dbk_endpoint_listen(&commands->endpoint, err);
    if (result != DBK_OK) return result;
    rc = port->thread_start(port->ctx, "dbk-commands", run_receiver, commands, &commands->receiver);
    return rc == 0 ? DBK_OK : dbk_fail_os(err, dbk_result_of_errno(rc), rc, "cannot start the bus's threads");
}

dbk_result dbk_bus_commands_start(const dbk_port *port, dbk_store *store, const dbk_bus_paths *paths, dbk_bus_commands **out, dbk_error *err)
{
    dbk_bus_commands *commands = dbk_alloc_zero(port, 1, sizeof *commands);
    if (!commands) return dbk_fail(err, DBK_NO_MEMORY, "no memory for the bus");
    commands->port = port;
    commands->store = store;
    dbk_result result = start(commands, paths, err);
    if (result == DBK_OK) *out = commands;
    else dbk_bus_commands_stop(commands);
    return result;
}

dbk_endpoint *dbk_bus_commands_endpoint(dbk_bus_commands *commands) { return &commands->endpoint; }

void dbk_bus_commands_stats(dbk_bus_commands *commands, dbk_buffer *out)
{
    size_t clients = dbk_endpoint_count(&commands->endpoint);
    dbk_hold(commands->port, commands->mutex);
    dbk_buffer_printf(out, "\"clients\":%zu,\"messages\":%llu,\"busy\":%llu,\"cut\":%llu,\"under_way\":%zu", clients,
                      (unsigned long long)commands->messages, (unsigned long long)commands->busy, (unsigned long long)commands->cut,
                      commands->slot_count - commands->free_count);
    dbk_let(commands->port, commands->mutex);
}
