/* Two turns at a time: while the log writes and syncs one, the next is decided and encoded. Only turns of commands that
 * append events which no inline projection reads (K9 holds by itself: they change no row, and the log tells of nothing
 * before its sync). All of it happens under one hold of engine->turn, on the worker; a thread beside it appends.
 *
 *   decide n+1, behind what n decided: its ids, positions and streams count
 *   wait for n's sync
 *   hand n+1 to the log
 *   commit n's position, answer n; and on
 *
 * While n is under way, n+1 takes in what comes. If n's write fails, n+1 was built on what is not there: it is decided
 * anew once n is answered, by the ordinary way, which refuses it where the log is poisoned. What the ordinary way is
 * better at (rows, requests, few commands, a model that is behind) ends the pipeline when the turn under way is
 * answered. */
#include "store/decide.h"
#include "store/queue_item.h"

enum {
    WORTH_COMMANDS = 4, /* for fewer the hand-over costs more than the overlap saves */
    WAKE_COMMANDS = 24, /* so many wake who waits for the log */
    TURNS_MAX = 16      /* in one hold of engine->turn */
};

typedef struct dbk_lane {
    dbk_turn *turn;
    size_t count, bytes;
    bool good; /* all was decided */
    dbk_turn_item items[DBK_TURN_MAX_ITEMS];
} dbk_lane;

struct dbk_pipeline {
    dbk_queue *queue;
    dbk_thread *writer;
    dbk_cond *handed; /* a turn to be appended, or the end */
    dbk_turn *flying; /* the queue's mutex, as the next three; what the writer has or had last */
    bool landed;      /* it is through */
    bool waiting;     /* the worker, for that or for commands */
    bool ending;
    dbk_lane lanes[2];
};

/* ---- the thread that appends */

static void run_writer(void *arg)
{
    dbk_pipeline *p = arg;
    dbk_queue *queue = p->queue;
    const dbk_port *port = queue->port;
    queue_lock(queue);
    for (;;) {
        dbk_turn *turn = p->landed ? NULL : p->flying;
        if (!turn && p->ending) break;
        if (!turn) {
            (void)port->cond_wait(port->ctx, p->handed, queue->mutex, -1);
            continue;
        }
        queue_unlock(queue);
        dbk_turn_log(turn);
        queue_lock(queue);
        p->landed = true;
        if (p->waiting) port->cond_signal(port->ctx, queue->work);
    }
    queue_unlock(queue);
}

static void release(dbk_pipeline *p)
{
    const dbk_port *port = p->queue->port;
    for (size_t i = 0; i < 2; i++) dbk_turn_free(p->lanes[i].turn);
    if (p->handed) port->cond_free(port->ctx, p->handed);
    dbk_free(port, p);
}

void dbk_pipeline_free(dbk_queue *queue)
{
    dbk_pipeline *p = queue->pipeline;
    const dbk_port *port = queue->port;
    if (!p) return;
    queue_lock(queue);
    p->ending = true;
    port->cond_signal(port->ctx, p->handed);
    queue_unlock(queue);
    port->thread_join(port->ctx, p->writer);
    release(p);
    queue->pipeline = NULL;
}

/* Made when it is first of use. Without memory or a thread the ordinary way does. */
static bool is_made(dbk_queue *queue)
{
    const dbk_port *port = queue->port;
    if (queue->pipeline) return true;
    dbk_pipeline *p = dbk_alloc_zero(port, 1, sizeof *p);
    if (!p) return false;
    p->queue = queue;
    p->landed = true;
    p->handed = port->cond_new(port->ctx);
    p->lanes[0].turn = dbk_turn_new(port);
    p->lanes[1].turn = dbk_turn_new(port);
    if (p->handed && p->lanes[0].turn && p->lanes[1].turn &&
        port->thread_start(port->ctx, "dbk-log", run_writer, p, &p->writer) == 0) {
        queue->pipeline = p;
        return true;
    }
    release(p);
    return false;
}

/* ---- which commands */

static bool changes_rows(dbk_engine *engine, const dbk_json_node *command)
{
    const dbk_json_node *type = dbk_json_member(command, "type");
    return !type || type->kind != DBK_JSON_STRING || dbk_model_reads_type(engine->model, type->text);
}

static bool suits(dbk_engine *engine, const dbk_item *item)
{
    const dbk_prepared *prepared = item->prepared;
    if (!prepared || !prepared->only_appends) return false;
    const dbk_json_node *root = prepared->root;
    if (root->kind != DBK_JSON_ARRAY) return !changes_rows(engine, root);
    const dbk_json_node *child = root + 1;
    for (uint32_t i = 0; i < root->count; i++, child = dbk_json_next(child))
        if (changes_rows(engine, child)) return false;
    return true;
}

/* No more than a turn may have. */
static size_t at_most(const dbk_queue *queue, size_t commands)
{
    return queue->limits.count < commands ? queue->limits.count : commands;
}

/* Without the turn, which another may hold who changes the model: it is not asked yet. */
bool dbk_pipeline_suits(dbk_queue *queue)
{
    const dbk_item *first = queue->commands.first;
    if (queue->commands.count < at_most(queue, WORTH_COMMANDS)) return false;
    return first->prepared && first->prepared->only_appends && is_made(queue);
}

void dbk_pipeline_tell(dbk_queue *queue)
{
    if (queue->pipeline->waiting && queue->commands.count >= at_most(queue, WAKE_COMMANDS))
        queue->port->cond_signal(queue->port->ctx, queue->work);
}

/* ---- the worker's part; engine->turn is held */

static bool is_full(const dbk_queue *queue, const dbk_lane *lane)
{
    return lane->count >= queue->limits.count || lane->bytes >= queue->limits.bytes;
}

/* The mutex is held. */
static void take_in(dbk_queue *queue, dbk_lane *lane)
{
    while (queue->commands.first && !is_full(queue, lane) && suits(queue->engine, queue->commands.first)) {
        dbk_item *item = list_take(&queue->commands);
        lane->bytes += item->text.size;
        dbk_queue_fill(item, &lane->items[lane->count++]);
    }
}

/* Until the log is through with the turn before, or there is enough to decide. True: it is through. */
static bool wait_for_work(dbk_pipeline *p)
{
    dbk_queue *queue = p->queue;
    while (!p->landed && queue->commands.count < at_most(queue, WAKE_COMMANDS)) {
        p->waiting = true;
        (void)queue->port->cond_wait(queue->port->ctx, queue->work, queue->mutex, -1);
        p->waiting = false;
    }
    return p->landed;
}

static void wait_landed(dbk_pipeline *p)
{
    dbk_queue *queue = p->queue;
    queue_lock(queue);
    while (!p->landed) {
        p->waiting = true;
        (void)queue->port->cond_wait(queue->port->ctx, queue->work, queue->mutex, -1);
        p->waiting = false;
    }
    queue_unlock(queue);
}

/* Decides what is queued, and what comes while `before` is under way. */
static void decide_lane(dbk_pipeline *p, dbk_lane *lane, dbk_lane *before)
{
    dbk_queue *queue = p->queue;
    dbk_engine *engine = queue->engine;
    lane->count = lane->bytes = 0;
    lane->good = true;
    for (bool last = false; !last && lane->good;) {
        size_t from = lane->count;
        queue_lock(queue);
        last = !before || wait_for_work(p);
        take_in(queue, lane);
        last = last || is_full(queue, lane) || lane->count == from;
        queue_unlock(queue);
        if (lane->count > from && from == 0)
            lane->good = dbk_turn_begin_ahead(lane->turn, engine, before ? before->turn : NULL, dbk_engine_now(engine),
                                              NULL) == DBK_OK;
        if (lane->count > from && lane->good)
            lane->good = dbk_turn_decide_ahead(lane->turn, lane->items, lane->count, NULL) == DBK_OK;
    }
}

/* A turn without entries is through at once. */
static void launch(dbk_pipeline *p, dbk_lane *lane)
{
    dbk_queue *queue = p->queue;
    bool writes = lane->turn->entries > 0;
    if (writes) dbk_turn_tell_accepted(lane->turn);
    queue_lock(queue);
    p->flying = lane->turn;
    p->landed = !writes;
    if (writes) queue->port->cond_signal(queue->port->ctx, p->handed);
    queue_unlock(queue);
}

static void answer(dbk_pipeline *p, dbk_lane *lane, dbk_result result, const dbk_error *error)
{
    bool restless = dbk_queue_is_restless(p->queue->engine);
    dbk_queue_answer(p->queue, lane->items, lane->count, result, error, restless);
}

/* The ordinary way, for a turn that could not be decided ahead, or was built on what the log did not take. */
static void decide_anew(dbk_pipeline *p, dbk_lane *lane)
{
    dbk_engine *engine = p->queue->engine;
    dbk_error error = {0};
    dbk_turn_drop_ahead(lane->turn);
    dbk_result result = dbk_turn_decide(engine, lane->items, lane->count, dbk_engine_now(engine), &error);
    answer(p, lane, result, &error);
}

/* `next` is under way already, or NULL. */
static void land(dbk_pipeline *p, dbk_lane *lane, dbk_lane *next)
{
    dbk_engine *engine = p->queue->engine;
    dbk_error error = {0};
    if (next) next->turn->before = NULL; /* the log answers for it now */
    dbk_result result = dbk_turn_settle(lane->turn, &error);
    bool commits = next && !dbk_model_in_transaction(engine->model) && !engine->behind;
    /* Without a transaction the commit of the next turn fails, and the model catches up behind it. */
    if (commits) (void)!dbk_model_go_on(engine->model, NULL);
    answer(p, lane, result, &error);
}

/* One turn more: true while one is under way. */
static bool step(dbk_pipeline *p, dbk_lane **flying, bool more)
{
    dbk_lane *before = *flying, *lane = &p->lanes[before == &p->lanes[0]];
    lane->count = 0;
    if (more) decide_lane(p, lane, before);
    if (before) wait_landed(p);
    bool stands = lane->count > 0 && lane->good && (!before || before->turn->logged.result == DBK_OK);
    if (stands) launch(p, lane);
    if (before) land(p, before, stands ? lane : NULL);
    if (lane->count > 0 && !stands) decide_anew(p, lane);
    *flying = stands ? lane : NULL;
    return stands;
}

bool dbk_pipeline_run(dbk_queue *queue, bool *restless)
{
    dbk_pipeline *p = queue->pipeline;
    dbk_engine *engine = queue->engine;
    dbk_lane *flying = NULL;
    queue_unlock(queue);
    dbk_engine_take_turn(engine);
    bool any = step(p, &flying, engine->model != NULL) || p->lanes[0].count > 0;
    for (int turns = 1; flying; turns++) (void)step(p, &flying, turns < TURNS_MAX);
    if (engine->model) dbk_model_rollback(engine->model);
    *restless = dbk_queue_is_restless(engine);
    dbk_engine_end_turn(engine);
    queue_lock(queue);
    return any;
}
