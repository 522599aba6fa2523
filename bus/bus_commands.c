/* Messages in, answers out.
 *
 * The messages of a connection come one after the other (bus/conn.h) and are handed to the store as they come,
 * so that they are decided in the order they were sent. The store answers from its own threads; an
 * answer is queued at the connection, and nobody ever waits for a client. A message under way has a slot,
 * which remembers whom to answer: the connection, and the numbers that its request began with.
 *
 * What one client can take: DBK_BUS_PEER_MESSAGES messages or DBK_BUS_PEER_BYTES undecided, what comes
 * beyond is answered `busy`; UNSENT_MESSAGES or UNSENT_BYTES of answers that it does not read, beyond
 * that it is cut off, as is one that reads nothing for DBK_BUS_STALLED_MS. All together: UNSENT_ALL_BYTES of
 * answers, DBK_BUS_ALL_BYTES undecided and DBK_BUS_BEGUN_BYTES of messages that are not whole yet: what comes
 * beyond is answered `busy` too. */

#include "bus/internal.h"

enum { SLOTS_MAX = 65536, UNSENT_MESSAGES = 4096, UNSENT_BYTES = 64 * 1024 * 1024 };
enum { UNSENT_ALL_BYTES = 256 * 1024 * 1024, UNSENT_FAIR_BYTES = 4 * 1024 * 1024 };
static const int64_t LAST_ANSWERS_NS = 2000000000, LOOK_NS = 50000000;

typedef struct bus_slot {
    dbk_bus_commands *commands;
    dbk_conn *conn; /* a reference */
    size_t bytes;   /* of the message */
    uint32_t head_size;
    uint8_t head[DBK_HOPS_MAX * 4];
} bus_slot;

struct dbk_bus_commands {
    const dbk_port *port;
    dbk_engine *engine;
    dbk_store *store;
    dbk_endpoint endpoint;
    dbk_mutex *mutex;
    dbk_cond *decided; /* the last message under way was answered */
    size_t under_way, under_way_bytes;
    bool stopping;
    uint64_t messages, busy, cut;
};

static void cut(dbk_bus_commands *commands, dbk_conn *conn)
{
    dbk_hold(commands->port, commands->mutex);
    commands->cut++;
    dbk_let(commands->port, commands->mutex);
    dbk_conn_close(conn);
}

/* ---- answers */

/* Many that read nothing would hold 4 GiB together, each within its limit. */
static bool is_too_much_of_all(dbk_bus_commands *commands, size_t bytes)
{
    return bytes > UNSENT_FAIR_BYTES && dbk_endpoint_unsent(&commands->endpoint) > UNSENT_ALL_BYTES;
}

/* Without memory for the answer the connection is cut: the client asks again by its id. A single answer
 * may be over the limit of bytes. */
static void reply(dbk_bus_commands *commands, dbk_conn *conn, dbk_slice head, dbk_slice answer)
{
    size_t frames, bytes;
    dbk_conn_backlog(conn, &frames, &bytes);
    bool is_over = frames >= UNSENT_MESSAGES || (frames > 0 && bytes + answer.size > UNSENT_BYTES) ||
                   is_too_much_of_all(commands, bytes);
    if (is_over || (!dbk_conn_send(conn, head, answer) && dbk_conn_is_open(conn))) cut(commands, conn);
}

/* dbk_done_fn. The peer's count goes down before it can know, for it fills its window again at once; the
 * count of all goes down when the answer is queued, so that stopping sends it. */
static void answer(void *arg, const char *receipt, size_t size)
{
    bus_slot *slot = arg;
    dbk_bus_commands *commands = slot->commands;
    const dbk_port *port = commands->port;
    dbk_conn *conn = slot->conn;
    dbk_hold(port, commands->mutex);
    conn->waiting--;
    conn->waiting_bytes -= slot->bytes;
    dbk_let(port, commands->mutex);
    reply(commands, conn, dbk_slice_of(slot->head, slot->head_size), dbk_slice_of(receipt, size));
    dbk_hold(port, commands->mutex);
    commands->under_way_bytes -= slot->bytes;
    if (--commands->under_way == 0) port->cond_broadcast(port->ctx, commands->decided);
    dbk_let(port, commands->mutex);
    dbk_conn_drop(conn);
    dbk_free(port, slot);
}

static void refuse(dbk_bus_commands *commands, dbk_conn *conn, dbk_slice head, dbk_result result,
                   const dbk_error *error)
{
    static const char none[] =
        "{\"ok\":false,\"error\":\"busy\",\"class\":\"transient\",\"message\":\"out of memory\",\"outcome\":\"none\"}";
    dbk_buffer out;
    dbk_buffer_init(&out, commands->port);
    dbk_buffer_printf(&out,
                      "{\"ok\":false,\"error\":\"%s\",\"class\":\"%s\",\"message\":", dbk_result_wire_name(result),
                      dbk_class_name(dbk_result_class(result)));
    dbk_json_put_string(&out, dbk_slice_text(error->text));
    if (error->hint[0]) {
        dbk_buffer_put_text(&out, ",\"hint\":");
        dbk_json_put_string(&out, dbk_slice_text(error->hint));
    }
    dbk_buffer_put_text(&out, ",\"outcome\":\"none\"}");
    reply(commands, conn, head, out.failed ? dbk_slice_of(none, sizeof none - 1) : dbk_buffer_slice(&out));
    dbk_buffer_release(&out);
}

/* ---- messages */

/* Counts the message in. DBK_BUSY: it is over what its connection, or all, may have undecided. */
static dbk_result enter(dbk_bus_commands *commands, dbk_conn *conn, size_t size, dbk_error *err)
{
    dbk_hold(commands->port, commands->mutex);
    bool is_over =
        conn->waiting >= DBK_BUS_PEER_MESSAGES || (conn->waiting && conn->waiting_bytes + size > DBK_BUS_PEER_BYTES);
    bool is_full = commands->under_way >= SLOTS_MAX ||
                   (commands->under_way && commands->under_way_bytes + size > DBK_BUS_ALL_BYTES);
    commands->messages++;
    if (is_over || is_full) {
        commands->busy++;
    } else {
        conn->waiting++;
        conn->waiting_bytes += size;
        commands->under_way++;
        commands->under_way_bytes += size;
    }
    dbk_let(commands->port, commands->mutex);
    dbk_result result = DBK_OK;
    if (is_over)
        result = dbk_fail(err, DBK_BUSY, "this connection has %d messages or %d MiB waiting already",
                          DBK_BUS_PEER_MESSAGES, DBK_BUS_PEER_BYTES / 1024 / 1024);
    else if (is_full)
        result = dbk_fail(err, DBK_BUSY, "%d messages or %d MiB are waiting already", SLOTS_MAX,
                          DBK_BUS_ALL_BYTES / 1024 / 1024);
    if (result != DBK_OK) dbk_error_hint(err, "wait for receipts before sending more");
    return result;
}

static void leave(dbk_bus_commands *commands, dbk_conn *conn, size_t size)
{
    dbk_hold(commands->port, commands->mutex);
    conn->waiting--;
    conn->waiting_bytes -= size;
    commands->under_way_bytes -= size;
    if (--commands->under_way == 0) commands->port->cond_broadcast(commands->port->ctx, commands->decided);
    dbk_let(commands->port, commands->mutex);
}

static void hand_over(dbk_bus_commands *commands, dbk_conn *conn, dbk_slice head, dbk_slice json)
{
    dbk_error error = {0};
    dbk_result result = enter(commands, conn, json.size, &error);
    if (result != DBK_OK) {
        refuse(commands, conn, head, result, &error);
        return;
    }
    bus_slot *slot = dbk_alloc(commands->port, sizeof *slot);
    if (slot) {
        *slot = (bus_slot){.commands = commands, .conn = conn, .bytes = json.size, .head_size = (uint32_t)head.size};
        memcpy(slot->head, head.data, head.size);
        dbk_conn_hold(conn);
        result = dbk_store_send_until(commands->store, (const char *)json.data, json.size, &conn->gone, answer, slot,
                                      &error);
        if (result == DBK_OK) return;
        dbk_conn_drop(conn); /* the receive under way has another */
        dbk_free(commands->port, slot);
    } else {
        result = dbk_fail(&error, DBK_NO_MEMORY, "no memory for a message");
    }
    refuse(commands, conn, head, result, &error);
    leave(commands, conn, json.size);
}

static bool is_stopping(dbk_bus_commands *commands)
{
    dbk_hold(commands->port, commands->mutex);
    bool stopping = commands->stopping;
    dbk_let(commands->port, commands->mutex);
    return stopping;
}

/* On a thread of nng, one message of a connection at a time. A ping (no bytes) and what the store knows by
 * heart are answered here. What comes while the bus stops stays undecided: its client sends it again. */
static bool on_message(void *arg, dbk_conn *conn, dbk_slice body)
{
    dbk_bus_commands *commands = arg;
    dbk_buffer known;
    size_t size;
    dbk_result result = dbk_request_head(body, &size);
    if (result == DBK_NONE || is_stopping(commands)) return true;
    if (result != DBK_OK) return false;
    dbk_slice head = dbk_slice_of(body.data, size), json = dbk_slice_of(body.data + size, body.size - size);
    dbk_buffer_init(&known, commands->port);
    if (json.size == 0 || dbk_engine_answer_at_once(commands->engine, json, &known))
        reply(commands, conn, head, dbk_buffer_slice(&known));
    else hand_over(commands, conn, head, json);
    dbk_buffer_release(&known);
    return true;
}

/* A message that is not whole yet, and for whose rest there is no room. */
static bool on_crowded(void *arg, dbk_conn *conn, dbk_slice begin)
{
    dbk_bus_commands *commands = arg;
    dbk_error error = {0};
    size_t size;
    dbk_result result = dbk_request_head(begin, &size);
    if (result == DBK_NONE || is_stopping(commands)) return true;
    if (result != DBK_OK) return false;
    dbk_hold(commands->port, commands->mutex);
    commands->messages++;
    commands->busy++;
    dbk_let(commands->port, commands->mutex);
    result = dbk_fail(&error, DBK_BUSY, "messages of more than %d MiB together are on their way already",
                      DBK_BUS_BEGUN_BYTES / 1024 / 1024);
    dbk_error_hint(&error, "send it again when others have been received, or in smaller parts");
    refuse(commands, conn, dbk_slice_of(begin.data, size), result, &error);
    return true;
}

/* Who waits for the log keeps a connection, of which there are few, until it is answered. */
static void on_ended(void *arg, dbk_conn *conn)
{
    dbk_bus_commands *commands = arg;
    dbk_store_cancel(commands->store, &conn->gone);
}

/* ---- life */

/* Waits until every message that was taken is decided and its answer queued, then gives the clients a
 * moment to read. */
static void drain(dbk_bus_commands *commands)
{
    const dbk_port *port = commands->port;
    dbk_hold(port, commands->mutex);
    commands->stopping = true;
    while (commands->under_way > 0) { /* a request may begin to wait for the log even now */
        dbk_let(port, commands->mutex);
        dbk_engine_answer_waits(commands->engine);
        dbk_hold(port, commands->mutex);
        if (commands->under_way > 0) (void)port->cond_wait(port->ctx, commands->decided, commands->mutex, LOOK_NS);
    }
    dbk_let(port, commands->mutex);
    dbk_endpoint_flush(&commands->endpoint, LAST_ANSWERS_NS);
}

void dbk_bus_commands_stop(dbk_bus_commands *commands)
{
    if (!commands) return;
    const dbk_port *port = commands->port;
    if (commands->endpoint.listener) {
        dbk_endpoint_unlisten(&commands->endpoint);
        drain(commands);
    }
    dbk_endpoint_close(&commands->endpoint);
    if (commands->decided) port->cond_free(port->ctx, commands->decided);
    if (commands->mutex) port->mutex_free(port->ctx, commands->mutex);
    dbk_free(port, commands);
}

dbk_result dbk_bus_commands_start(const dbk_port *port, dbk_engine *engine, dbk_store *store,
                                  const dbk_bus_paths *paths, const dbk_bus_options *options, dbk_bus_commands **out,
                                  dbk_error *err)
{
    dbk_bus_commands *commands = dbk_alloc_zero(port, 1, sizeof *commands);
    if (!commands) return dbk_fail(err, DBK_NO_MEMORY, "no memory for the bus");
    *commands = (dbk_bus_commands){.port = port, .engine = engine, .store = store};
    commands->endpoint.greeting_ns = dbk_ms_or(options->greeting_ms, DBK_BUS_GREETING_MS);
    commands->endpoint.stalled_ns = dbk_ms_or(options->stalled_ms, DBK_BUS_STALLED_MS);
    commands->endpoint.on_message = on_message;
    commands->endpoint.on_crowded = on_crowded;
    commands->endpoint.on_ended = on_ended;
    commands->endpoint.arg = commands;
    commands->mutex = port->mutex_new(port->ctx);
    commands->decided = port->cond_new(port->ctx);
    dbk_result result = commands->mutex && commands->decided
                            ? dbk_endpoint_open(&commands->endpoint, port, paths, true, err)
                            : dbk_fail(err, DBK_NO_MEMORY, "no memory for the bus");
    if (result == DBK_OK) *out = commands;
    else dbk_bus_commands_stop(commands);
    return result;
}

dbk_endpoint *dbk_bus_commands_endpoint(dbk_bus_commands *commands)
{
    return &commands->endpoint;
}

void dbk_bus_commands_stats(dbk_bus_commands *commands, dbk_buffer *out)
{
    dbk_endpoint_counts counts = {0};
    dbk_endpoint_stats(&commands->endpoint, &counts);
    dbk_hold(commands->port, commands->mutex);
    dbk_buffer_printf(out, "\"clients\":%zu,\"messages\":%llu,\"busy\":%llu,\"cut\":%llu,\"under_way\":%zu",
                      counts.clients, (unsigned long long)commands->messages, (unsigned long long)commands->busy,
                      (unsigned long long)(commands->cut + counts.cut), commands->under_way);
    dbk_let(commands->port, commands->mutex);
}
