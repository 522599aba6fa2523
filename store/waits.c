/* Who follows the log sleeps here.
 *
 * A request is parked with the position it asks from. An append makes its entries durable, moves the log's
 * position, and tells it here under the mutex under which parking looks. So either the one who parks sees the
 * entries, or the one who appends finds it waiting.
 *
 * A store that is only read is told nothing, for another process writes: there the thread looks at the log
 * every LOOK_NS while somebody waits. */
#include "store/waits.h"
#include "store/async.h"
#include "store/request.h"

static const int64_t LOOK_NS = 20000000, NS_PER_MS = 1000000;

struct dbk_waits {
    dbk_engine *engine;
    const dbk_port *port;
    dbk_waited_fn answer;
    void *arg;
    dbk_mutex *mutex;
    dbk_cond *moved;
    dbk_waiting *first;
    size_t count;
    uint64_t end;        /* of the log, as told last */
    bool ended, leaving; /* none waits any more; the thread goes */
    dbk_thread *thread;  /* from the first that waits on */
};

static void lock(dbk_waits *waits)
{
    waits->port->mutex_lock(waits->port->ctx, waits->mutex);
}
static void unlock(dbk_waits *waits)
{
    waits->port->mutex_unlock(waits->port->ctx, waits->mutex);
}
static int64_t now_ns(const dbk_waits *waits)
{
    return waits->port->monotonic_ns(waits->port->ctx);
}

static bool is_due(const dbk_waits *waits, const dbk_waiting *waiting, int64_t now)
{
    return waits->ended || waiting->from <= waits->end || waiting->until_ns <= now ||
           (waiting->cancel && *waiting->cancel);
}

/* Takes those out that wait no longer; *next_ns: the nearest limit of the others, -1 for none. */
static dbk_waiting *take_due(dbk_waits *waits, int64_t *next_ns)
{
    int64_t now = now_ns(waits);
    dbk_waiting *due = NULL, **last = &due;
    *next_ns = -1;
    for (dbk_waiting **at = &waits->first; *at;) {
        dbk_waiting *waiting = *at;
        if (is_due(waits, waiting, now)) {
            *at = waiting->next;
            waiting->next = NULL;
            *last = waiting;
            last = &waiting->next;
            waits->count--;
            continue;
        }
        int64_t left = waiting->until_ns - now;
        if (*next_ns < 0 || left < *next_ns) *next_ns = left;
        at = &waiting->next;
    }
    return due;
}

/* The log reaches to there. */
static void tell(dbk_waits *waits, uint64_t end)
{
    if (!waits) return;
    lock(waits);
    if (end > waits->end) waits->end = end;
    if (waits->first) waits->port->cond_signal(waits->port->ctx, waits->moved);
    unlock(waits);
}

/* A failure shows in the answer to whoever waits, when it is asked. */
static void look_again(dbk_waits *waits)
{
    dbk_engine *engine = waits->engine;
    dbk_request_enter(engine);
    bool seen = dbk_request_refresh(engine, NULL) == DBK_OK;
    uint64_t end = seen ? dbk_log_position(engine->log) : 0;
    dbk_request_leave(engine);
    if (seen) tell(waits, end);
}

static void run(void *arg)
{
    dbk_waits *waits = arg;
    const dbk_port *port = waits->port;
    bool looks = waits->engine->options.read_only;
    lock(waits);
    for (;;) {
        int64_t left_ns;
        dbk_waiting *due = take_due(waits, &left_ns);
        if (!due && waits->leaving) break;
        if (!due && looks && (left_ns < 0 || left_ns > LOOK_NS)) left_ns = waits->first ? LOOK_NS : -1;
        if (!due) (void)port->cond_wait(port->ctx, waits->moved, waits->mutex, left_ns);
        bool refreshes = !due && looks && waits->first;
        unlock(waits);
        if (refreshes) look_again(waits);
        for (dbk_waiting *next; due; due = next) {
            next = due->next;
            waits->answer(waits->arg, due->owner);
        }
        lock(waits);
    }
    unlock(waits);
}

/* ---- who waits */

/* Whether the request asks to wait: an object, not in an array. What is wrong with it, its answer says. */
static bool read_wish(const dbk_port *port, dbk_slice json, uint64_t *from, int64_t *wait_ms)
{
    static const char word[] = "\"wait_ms\"";
    const dbk_json_node *root;
    int64_t position = 1;
    *wait_ms = 0;
    if (json.size == 0 || !memmem(json.data, json.size, word, sizeof word - 1)) return false;
    dbk_json_parser *parser = dbk_json_parser_new(port);
    bool good = parser && dbk_json_parse(parser, json, &root, NULL) == DBK_OK && root->kind == DBK_JSON_OBJECT;
    const dbk_json_node *verb = good ? dbk_json_member(root, "do") : NULL;
    const dbk_json_node *reverse = verb ? dbk_json_member(root, "reverse") : NULL;
    good = verb && dbk_json_text_is(verb, "log") && !(reverse && reverse->kind == DBK_JSON_TRUE) &&
           dbk_request_number(root, "from", 0, INT64_MAX, &position, NULL) == DBK_OK &&
           dbk_request_number(root, "wait_ms", 0, DBK_WAIT_MAX_MS, wait_ms, NULL) == DBK_OK && *wait_ms > 0;
    dbk_json_parser_free(parser);
    *from = position ? (uint64_t)position : 1;
    return good;
}

dbk_result dbk_waits_park(dbk_waits *waits, dbk_slice json, dbk_waiting *waiting, dbk_error *err)
{
    const dbk_port *port = waits->port;
    int64_t wait_ms;
    if (!read_wish(port, json, &waiting->from, &wait_ms)) return DBK_NONE;
    if (waits->engine->options.read_only) look_again(waits);
    waiting->until_ns = now_ns(waits) + wait_ms * NS_PER_MS;
    lock(waits);
    dbk_result result = DBK_OK;
    if (is_due(waits, waiting, INT64_MIN + 1)) {
        result = DBK_NONE;
    } else if (waits->count >= DBK_WAITS_MAX) {
        result = dbk_fail(err, DBK_BUSY, "%d requests are waiting for the log already", DBK_WAITS_MAX);
        dbk_error_hint(err, "ask without 'wait_ms'");
    } else if (!waits->thread) {
        int rc = port->thread_start(port->ctx, "dbk-follow", run, waits, &waits->thread);
        if (rc != 0)
            result = dbk_fail_os(err, dbk_result_of_errno(-rc), -rc, "cannot start the thread of who follows the log");
    }
    if (result == DBK_OK) {
        waiting->next = waits->first;
        waits->first = waiting;
        waits->count++;
        port->cond_signal(port->ctx, waits->moved); /* its limit may be the nearest */
    }
    unlock(waits);
    return result;
}

void dbk_waits_cancel(dbk_waits *waits, bool *cancel)
{
    lock(waits);
    *cancel = true;
    waits->port->cond_signal(waits->port->ctx, waits->moved);
    unlock(waits);
}

bool dbk_waits_is_cancelled(dbk_waits *waits, const bool *cancel)
{
    lock(waits);
    bool yes = *cancel;
    unlock(waits);
    return yes;
}

void dbk_waits_end(dbk_waits *waits)
{
    lock(waits);
    waits->ended = true;
    waits->port->cond_signal(waits->port->ctx, waits->moved);
    unlock(waits);
}

void dbk_engine_answer_waits(dbk_engine *engine)
{
    dbk_waits *waits = engine->waits;
    lock(waits);
    for (dbk_waiting *waiting = waits->first; waiting; waiting = waiting->next) waiting->until_ns = INT64_MIN;
    waits->port->cond_signal(waits->port->ctx, waits->moved);
    unlock(waits);
}

dbk_result dbk_engine_append(dbk_engine *engine, const dbk_slice *origins, size_t count, int64_t now_ms, dbk_error *err)
{
    dbk_result result = dbk_log_append(engine->log, origins, count, now_ms, NULL, err);
    if (result == DBK_OK) {
        tell(engine->waits, dbk_log_position(engine->log));
        dbk_asyncs_tell(engine, dbk_log_position(engine->log));
    }
    return result;
}

/* ---- life */

void dbk_waits_free(dbk_waits *waits)
{
    if (!waits) return;
    const dbk_port *port = waits->port;
    if (waits->thread) {
        lock(waits);
        waits->leaving = waits->ended = true;
        port->cond_signal(port->ctx, waits->moved);
        unlock(waits);
        port->thread_join(port->ctx, waits->thread);
    }
    if (waits->moved) port->cond_free(port->ctx, waits->moved);
    if (waits->mutex) port->mutex_free(port->ctx, waits->mutex);
    dbk_free(port, waits);
}

dbk_result dbk_waits_new(dbk_engine *engine, dbk_waited_fn answer, void *arg, dbk_waits **out, dbk_error *err)
{
    const dbk_port *port = engine->port;
    dbk_waits *waits = dbk_alloc_zero(port, 1, sizeof *waits);
    if (!waits) return dbk_fail(err, DBK_NO_MEMORY, "no memory for the queue");
    *waits =
        (dbk_waits){.engine = engine, .port = port, .answer = answer, .arg = arg, .end = dbk_log_position(engine->log)};
    waits->mutex = port->mutex_new(port->ctx);
    waits->moved = port->cond_new(port->ctx);
    if (!waits->mutex || !waits->moved) {
        dbk_waits_free(waits);
        return dbk_fail(err, DBK_NO_MEMORY, "no memory for the queue");
    }
    *out = waits;
    return DBK_OK;
}
