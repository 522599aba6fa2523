/* What a connection has asked and not been answered: the list, the window, deadlines. */
#include <errno.h>

#include "bus/client.h"

enum { WINDOW_MESSAGES = DBK_BUS_PEER_MESSAGES, WINDOW_BYTES = DBK_BUS_PEER_BYTES };
#define REQUEST_BIT 0x80000000u
static const int64_t NS_PER_MS = 1000000;

static const char lost_answer[] =
    "{\"ok\":false,\"error\":\"unavailable\",\"class\":\"transient\",\"message\":\"no answer from the daemon\","
    "\"hint\":\"send the same command with the same id again\",\"outcome\":\"unknown\"}";

bool dbk_bus_is_lost(const char *receipt, size_t size)
{
    return size == sizeof lost_answer - 1 && memcmp(receipt, lost_answer, size) == 0;
}

/* ---- the list; the mutex is held */

static void append(dbk_client *client, dbk_pending *pending)
{
    pending->next = NULL;
    pending->previous = client->last;
    if (client->last) client->last->next = pending;
    else client->first = pending;
    client->last = pending;
    if (!client->unsent) client->unsent = pending;
    client->pending_count++;
}

static void forget_wire(dbk_client *client, dbk_pending *pending)
{
    if (!pending->sent) return;
    client->by_id[pending->id % CLIENT_SLOTS] = NULL;
    client->sent_count--;
    client->sent_bytes -= pending->json.size;
    pending->sent = false;
}

static void unlink_pending(dbk_client *client, dbk_pending *pending)
{
    if (client->unsent == pending) client->unsent = pending->next;
    forget_wire(client, pending);
    if (pending->previous) pending->previous->next = pending->next;
    else client->first = pending->next;
    if (pending->next) pending->next->previous = pending->previous;
    else client->last = pending->previous;
    client->pending_count--;
}

static bool window_is_open(const dbk_client *client, const dbk_pending *pending)
{
    if (client->sent_count == 0) return true;
    return client->sent_count < WINDOW_MESSAGES && client->sent_bytes + pending->json.size <= WINDOW_BYTES &&
           !client->by_id[client->next_id % CLIENT_SLOTS];
}

static bool put_on_wire(dbk_client *client, dbk_pending *pending)
{
    uint8_t head[4];
    dbk_store_be32(head, client->next_id | REQUEST_BIT);
    if (!dbk_conn_send(client->conn, dbk_slice_of(head, sizeof head), pending->json)) return false;
    pending->id = client->next_id;
    pending->sent = true;
    client->by_id[pending->id % CLIENT_SLOTS] = pending;
    client->sent_count++;
    client->sent_bytes += pending->json.size;
    client->next_id = (client->next_id + 1) & ~REQUEST_BIT;
    return true;
}

void dbk_client_pump(dbk_client *client)
{
    while (client->connected && client->unsent && window_is_open(client, client->unsent)) {
        if (!put_on_wire(client, client->unsent)) return; /* tried again with the next answer or tick */
        client->unsent = client->unsent->next;
    }
}

void dbk_client_requeue(dbk_client *client)
{
    for (dbk_pending *pending = client->first; pending; pending = pending->next) forget_wire(client, pending);
    client->unsent = client->first;
}

/* ---- answers */

static void release(dbk_client *client, dbk_pending *pending)
{
    dbk_buffer_release(&pending->copy);
    dbk_free(client->port, pending);
}

static void wake_caller(dbk_client *client, dbk_pending *pending)
{
    pending->answered = true;
    client->port->cond_signal(client->port->ctx, pending->ready);
}

void dbk_client_answered(dbk_client *client, dbk_slice frame)
{
    uint32_t id = frame.size >= 4 ? dbk_load_be32(frame.data) : 0;
    if (!(id & REQUEST_BIT)) return;
    id &= ~REQUEST_BIT;
    dbk_slice answer = dbk_slice_of(frame.data + 4, frame.size - 4);
    dbk_hold(client->port, client->mutex);
    dbk_pending *pending = client->by_id[id % CLIENT_SLOTS];
    if (pending && pending->id != id) pending = NULL; /* given up, or no question of ours */
    if (pending) {
        unlink_pending(client, pending);
        if (!pending->done) {
            dbk_buffer_put_slice(&pending->answer, answer);
            wake_caller(client, pending);
        }
        dbk_client_pump(client);
    }
    bool has_done = pending && pending->done;
    dbk_let(client->port, client->mutex);
    if (!has_done) return;
    pending->done(pending->arg, (const char *)answer.data, answer.size); /* a NUL follows it */
    release(client, pending);
}

/* ---- limits */

/* Requests that fold the log, read all of it, or wait for it to grow. */
static bool takes_long(const dbk_json_node *node)
{
    static const char *const verbs[] = {"rebuild", "replay", "verify", "fingerprint"};
    static const char *const moments[] = {"at", "at_time", "order_time"};
    if (node->kind != DBK_JSON_OBJECT) return false;
    const dbk_json_node *verb = dbk_json_member(node, "do");
    if (verb && dbk_json_text_is(verb, "log")) return dbk_json_member(node, "wait_ms") != NULL;
    bool query = verb && dbk_json_text_is(verb, "query");
    for (size_t i = 0; verb && i < sizeof verbs / sizeof *verbs; i++)
        if (dbk_json_text_is(verb, verbs[i])) return true;
    for (size_t i = 0; query && i < sizeof moments / sizeof *moments; i++)
        if (dbk_json_member(node, moments[i])) return true;
    return false;
}

/* Waits as long as the daemon is there. Only what may be such a request is parsed for it. */
static bool is_patient(const dbk_client *client, dbk_slice json)
{
    static const char *const words[] = {"\"rebuild\"",     "\"replay\"", "\"verify\"",
                                        "\"fingerprint\"", "\"query\"",  "\"wait_ms\""};
    const dbk_json_node *root;
    bool maybe = false, found = false;
    for (size_t i = 0; !maybe && json.size && i < sizeof words / sizeof *words; i++)
        maybe = memmem(json.data, json.size, words[i], strlen(words[i])) != NULL;
    dbk_json_parser *parser = maybe && !client->strict_timeout ? dbk_json_parser_new(client->port) : NULL;
    if (parser && dbk_json_parse(parser, json, &root, NULL) == DBK_OK) {
        found = takes_long(root);
        const dbk_json_node *child = root + 1;
        for (uint32_t i = 0; root->kind == DBK_JSON_ARRAY && !found && i < root->count;
             i++, child = dbk_json_next(child))
            found = takes_long(child);
    }
    dbk_json_parser_free(parser);
    return found;
}

/* Until when it waits: for an answer, and when nobody listens not long. It grows along the list, but for the
 * patient ones. */
static int64_t limit_of(const dbk_client *client, const dbk_pending *pending)
{
    int64_t limit = pending->patient ? INT64_MAX : pending->begun_ns + (int64_t)client->timeout_ms * NS_PER_MS;
    if (client->foreign) return pending->begun_ns;
    if (!client->down_ns) return limit;
    int64_t patience = client->down_ns + DBK_CLIENT_PATIENCE_MS * NS_PER_MS;
    int64_t glance = pending->begun_ns + DBK_CLIENT_GLANCE_MS * NS_PER_MS;
    int64_t until = patience > glance ? patience : glance;
    return until < limit ? until : limit;
}

void dbk_client_lost(dbk_client *client)
{
    for (dbk_pending *pending = client->first; pending; pending = pending->next)
        if (pending->ready) client->port->cond_signal(client->port->ctx, pending->ready);
}

/* The callback must find the mutex free; the list may have changed after it. */
static void give_up(dbk_client *client, dbk_pending *pending)
{
    unlink_pending(client, pending);
    if (!pending->done) {
        pending->failed = true;
        wake_caller(client, pending);
        return;
    }
    dbk_let(client->port, client->mutex);
    pending->done(pending->arg, lost_answer, sizeof lost_answer - 1);
    release(client, pending);
    dbk_hold(client->port, client->mutex);
}

int64_t dbk_client_expire(dbk_client *client, int64_t now_ns)
{
    int64_t next = 0;
    for (dbk_pending *pending = client->first; pending;) {
        int64_t limit = limit_of(client, pending);
        if (limit <= now_ns) { /* the list may be another one after it */
            give_up(client, pending);
            pending = client->first;
            next = 0;
            continue;
        }
        if (limit != INT64_MAX && (next == 0 || limit < next)) next = limit;
        if (!pending->patient) break;
        pending = pending->next;
    }
    return next;
}

void dbk_client_fail_all(dbk_client *client)
{
    dbk_hold(client->port, client->mutex);
    while (client->first) give_up(client, client->first);
    dbk_let(client->port, client->mutex);
}

/* ---- calls */

/* The mutex is held. */
static dbk_result enqueue(dbk_client *client, dbk_pending *pending, dbk_error *err)
{
    if (client->stopping) return dbk_fail(err, DBK_UNAVAILABLE, "the connection is closing");
    if (pending->json.size > DBK_BUS_MESSAGE_MAX)
        return dbk_fail(err, DBK_TOO_BIG, "a message of %zu bytes is over %d", pending->json.size, DBK_BUS_MESSAGE_MAX);
    if (client->pending_count >= CLIENT_PENDING_MAX) {
        dbk_result result = dbk_fail(err, DBK_BUSY, "%d commands are waiting already", CLIENT_PENDING_MAX);
        dbk_error_hint(err, "wait for receipts before sending more");
        return result;
    }
    pending->begun_ns = client->port->monotonic_ns(client->port->ctx);
    if (!client->first) client->port->cond_signal(client->port->ctx, client->wake); /* a deadline to watch */
    append(client, pending);
    dbk_client_pump(client);
    return DBK_OK;
}

dbk_result dbk_client_send(void *ctx, const char *json, size_t size, dbk_done_fn done, void *arg, dbk_error *err)
{
    dbk_client *client = ctx;
    dbk_pending *pending = dbk_alloc_zero(client->port, 1, sizeof *pending);
    if (!pending) return dbk_fail(err, DBK_NO_MEMORY, "no memory for a command");
    dbk_buffer_init(&pending->copy, client->port);
    dbk_buffer_put(&pending->copy, json, size);
    pending->json = dbk_buffer_slice(&pending->copy);
    pending->done = done;
    pending->arg = arg;
    pending->patient = is_patient(client, pending->json);
    dbk_result result = pending->copy.failed ? dbk_fail(err, DBK_NO_MEMORY, "no memory for a command") : DBK_OK;
    if (result == DBK_OK) {
        dbk_hold(client->port, client->mutex);
        result = enqueue(client, pending, err);
        dbk_let(client->port, client->mutex);
    }
    if (result != DBK_OK) release(client, pending);
    return result;
}

static dbk_result no_answer(const dbk_client *client, bool was_sent, dbk_error *err)
{
    if (client->stopping) return dbk_fail(err, DBK_UNAVAILABLE, "the connection to '%s' was closed", client->commands);
    if (client->foreign) return dbk_fail(err, DBK_DENIED, "'%s' is served by another user", client->commands);
    if (client->down_ns) return dbk_fail(err, DBK_UNAVAILABLE, "the daemon at '%s' has ended", client->commands);
    if (!client->connected || !was_sent)
        return dbk_fail(err, DBK_UNAVAILABLE, "no connection to '%s'", client->commands);
    return dbk_fail(err, DBK_TIMEOUT, "no answer from '%s' in %u ms", client->commands, client->timeout_ms);
}

/* Waits for the answer. The mutex is held. */
static dbk_result wait_for(dbk_client *client, dbk_pending *pending, dbk_error *err)
{
    const dbk_port *port = client->port;
    while (!pending->answered && !(pending->cancel && *pending->cancel)) {
        int64_t limit = limit_of(client, pending),
                left = limit == INT64_MAX ? -1 : limit - port->monotonic_ns(port->ctx);
        if (limit != INT64_MAX && left <= 0) break;
        (void)port->cond_wait(port->ctx, pending->ready, client->mutex, left);
    }
    bool was_sent = pending->sent || pending->answered;
    if (!pending->answered) unlink_pending(client, pending);
    else if (!pending->failed) return DBK_OK;
    dbk_result result = no_answer(client, was_sent, err);
    dbk_error_hint(err, "the same command with the same id is safe to send again");
    return result;
}

void dbk_client_cancel(dbk_client *client, const bool *cancel)
{
    for (dbk_pending *pending = client->first; pending; pending = pending->next)
        if (pending->cancel == cancel) client->port->cond_signal(client->port->ctx, pending->ready);
}

dbk_result dbk_client_call(void *ctx, const char *json, size_t size, dbk_text *receipt, dbk_error *err)
{
    return dbk_client_call_until(ctx, json, size, NULL, receipt, err);
}

dbk_result dbk_client_call_until(dbk_client *client, const char *json, size_t size, const bool *cancel,
                                 dbk_text *receipt, dbk_error *err)
{
    const dbk_port *port = client->port;
    dbk_pending pending = {.json = dbk_slice_of(json, size), .cancel = cancel};
    pending.patient = is_patient(client, pending.json);
    dbk_buffer_init(&pending.answer, dbk_port_system()); /* dbk_text_free releases there */
    pending.ready = port->cond_new(port->ctx);
    if (!pending.ready) return dbk_fail(err, DBK_NO_MEMORY, "no memory for a command");
    dbk_hold(port, client->mutex);
    dbk_result result = enqueue(client, &pending, err);
    if (result == DBK_OK) result = wait_for(client, &pending, err);
    dbk_let(port, client->mutex);
    port->cond_free(port->ctx, pending.ready);
    if (result == DBK_OK && !dbk_buffer_text(&pending.answer))
        result = dbk_fail(err, DBK_NO_MEMORY, "no memory for the answer");
    if (result != DBK_OK) dbk_buffer_release(&pending.answer);
    else *receipt = (dbk_text){(char *)pending.answer.data, pending.answer.size};
    return result;
}
