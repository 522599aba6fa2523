/* Who decides, and when. A caller that waits and finds the queue empty decides by itself; what comes
 * while somebody decides is queued and taken as one turn by the worker. One thread at a time holds
 * engine->turn. A message that has to wait is read and hashed by its sender meanwhile (prepare.c).
 * Messages with requests in them (reads) go to a thread of their own. */
#include <errno.h>

#include "store/queue_item.h"
#include "store/request.h"

enum { QUEUE_MAX = 65536 };
static const int64_t IDLE_NS = 1000000000;

/* The answer of an item that got none. One that was decided, and whose answer found no memory, may be in
 * the log. */
static void put_failure(dbk_queue *queue, dbk_item *item)
{
    bool unknown = item->result == DBK_OK && item->answer.failed;
    if (unknown) item->result = dbk_fail(&item->error, DBK_NO_MEMORY, "no memory for the answer");
    if (item->result == DBK_OK) return;
    item->error.code = item->result;
    item->answer.failed = false;
    dbk_buffer_clear(&item->answer);
    dbk_receipt_refused(queue->engine, (dbk_slice){NULL, 0}, &item->error, (dbk_slice){NULL, 0}, unknown,
                        &item->answer);
}

/* Calls the callback of the item, which still counts as unfinished. The queue's mutex is not held. */
static void call_back(dbk_queue *queue, dbk_item *item)
{
    static const char lost[] = "{\"ok\":false,\"error\":\"busy\",\"class\":\"transient\",\"message\":\"out of "
                               "memory\",\"outcome\":\"unknown\"}";
    put_failure(queue, item);
    const char *text = dbk_buffer_text(&item->answer);
    size_t size = text ? item->answer.size : sizeof lost - 1;
    if (!text) text = lost;
    if (item->each) item->each(item->arg, dbk_receipt_stage(dbk_slice_of(text, size)), text, size, true);
    else item->done(item->arg, text, size);
    dbk_item_relax(item);
}

/* The mutex is held. */
static void count_finished(dbk_queue *queue, size_t count)
{
    queue->unfinished -= count;
    if (queue->unfinished == 0) queue->port->cond_broadcast(queue->port->ctx, queue->quiet);
}

/* Hands the answer over. The queue's mutex is not held. */
static void finish(dbk_queue *queue, dbk_item *item)
{
    bool waiting = !item->done && !item->each; /* its caller; else the item ends here */
    if (!waiting) call_back(queue, item);
    queue_lock(queue);
    if (waiting) {
        item->answered = true;
        queue->port->cond_signal(queue->port->ctx, item->ready);
    } else {
        dbk_item_put(queue, item);
    }
    count_finished(queue, 1);
    queue_unlock(queue);
}

/* ---- requests */

static void answer_item(dbk_queue *queue, dbk_item *item)
{
    dbk_buffer_clear(&item->answer);
    item->result = dbk_request_answer_all(queue->engine, item->text, &item->answer, &item->error);
}

static bool only_asks(const dbk_queue *queue, dbk_slice text)
{
    const dbk_json_node *root;
    dbk_json_parser *parser = dbk_json_parser_new(queue->port);
    bool asks = parser && dbk_message_parse(parser, text, &root, NULL) == DBK_OK && dbk_message_only_asks(root);
    dbk_json_parser_free(parser);
    return asks;
}

/* What a client asked that is gone would be read for nobody, while the others wait behind it. What it sent to be done
 * is done. */
static bool is_given_up(const dbk_queue *queue, dbk_item *item)
{
    if (!item->done || !item->waiting.cancel) return false;
    if (!dbk_waits_is_cancelled(queue->engine->waits, item->waiting.cancel)) return false;
    if (!only_asks(queue, item->text)) return false;
    item->result = dbk_fail(&item->error, DBK_UNAVAILABLE, "who asked is gone");
    return true;
}

static void run_reads(void *arg)
{
    dbk_queue *queue = arg;
    queue_lock(queue);
    for (;;) {
        dbk_item *item = list_take(&queue->reads);
        if (!item) {
            if (queue->closing && queue->unfinished == 0) break; /* a turn under way may bring more */
            (void)queue->port->cond_wait(queue->port->ctx, queue->reads_wanted, queue->mutex, -1);
            continue;
        }
        queue_unlock(queue);
        if (!is_given_up(queue, item)) answer_item(queue, item);
        finish(queue, item);
        queue_lock(queue);
    }
    queue_unlock(queue);
}

static void on_waited(void *arg, void *owner)
{
    answer_item(arg, owner);
    finish(arg, owner);
}

/* To the reading thread, or to those who wait for the log to grow. */
static void pass_on(dbk_queue *queue, dbk_item *item)
{
    item->waiting.owner = item;
    dbk_result result = dbk_waits_park(queue->engine->waits, item->text, &item->waiting, &item->error);
    if (result == DBK_OK) return;
    if (result != DBK_NONE) {
        item->result = result;
        finish(queue, item);
        return;
    }
    queue_lock(queue);
    list_put(&queue->reads, item);
    queue->port->cond_signal(queue->port->ctx, queue->reads_wanted);
    queue_unlock(queue);
}

/* ---- turns */

/* Before the answers: who gets one may send the next message at once. */
static void put_prepared(dbk_queue *queue, const dbk_turn_item *items, size_t count)
{
    queue_lock(queue);
    for (size_t i = 0; i < count; i++) {
        dbk_item *item = items[i].owner;
        if (!item) continue;
        dbk_prepared_put(&queue->prepared, item->prepared);
        item->prepared = NULL;
    }
    queue_unlock(queue);
}

/* Under the turn. Who waits for no more than this stage is answered and gone; the turn keeps what it wrote. */
static void on_stage(dbk_turn_item *turn, dbk_stage stage, const dbk_buffer *receipts)
{
    dbk_item *item = turn->owner;
    if (item->each) return item->each(item->arg, stage, (const char *)receipts->data, receipts->size, false);
    turn->kept = item->answer;
    turn->answer = &turn->kept;
    dbk_buffer_init(&item->answer, item->queue->port);
    dbk_buffer_put(&item->answer, receipts->data, receipts->size);
    put_prepared(item->queue, turn, 1);
    turn->owner = NULL;
    turn->prepared = NULL;
    finish(item->queue, item);
}

bool dbk_queue_is_restless(const dbk_engine *engine)
{
    return dbk_engine_is_stranded(engine) || (engine->behind && !engine->dead && engine->commit_failures < 2);
}

/* Not yet visible: held until it is, where somebody waits for that. */
static bool is_to_be_held(const dbk_queue *queue, const dbk_turn_item *turn, const dbk_item *item, bool restless)
{
    if (!restless || !queue->worker || item->answer.failed) return false;
    if (!item->each && turn->wait != DBK_STAGE_PROJECTED) return false;
    return dbk_receipt_stage(dbk_buffer_slice(&item->answer)) == DBK_STAGE_DURABLE;
}

/* Items of a turn that are through, linked by next: senders want the mutex now, so they are let go together. */
typedef struct through {
    dbk_item *waiting; /* their callers are to be woken */
    dbk_item *called;
} through;

/* Hands over what is done; what has requests in it goes on to the reading thread. */
static void hand_over(dbk_queue *queue, const dbk_turn_item *turn, dbk_item *item, bool restless, through *all)
{
    bool answered = item->result != DBK_OK || !turn->deferred, holds = false;
    if (answered && item->result == DBK_OK && is_to_be_held(queue, turn, item, restless)) {
        queue_lock(queue);
        holds = !queue->closing;
        if (holds) list_put(&queue->held, item);
        queue_unlock(queue);
    }
    if (holds) return;
    if (answered && (item->done || item->each)) {
        call_back(queue, item);
        item->next = all->called;
        all->called = item;
    } else if (answered) {
        item->next = all->waiting;
        all->waiting = item;
    } else if (!queue->reader) {
        answer_item(queue, item);
        finish(queue, item);
    } else {
        pass_on(queue, item);
    }
}

/* All under one hold of the mutex: each of them takes it when it wakes. An item is gone once it is let go. */
static void let_go(dbk_queue *queue, const through *all)
{
    size_t count = 0;
    if (!all->waiting && !all->called) return;
    queue_lock(queue);
    for (dbk_item *item = all->waiting, *next; item; item = next, count++) {
        next = item->next;
        item->answered = true;
        queue->port->cond_signal(queue->port->ctx, item->ready);
    }
    for (dbk_item *item = all->called, *next; item; item = next, count++) {
        next = item->next;
        dbk_item_put(queue, item);
    }
    count_finished(queue, count);
    queue_unlock(queue);
}

void dbk_queue_fill(dbk_item *item, dbk_turn_item *turn)
{
    *turn = (dbk_turn_item){.json = item->text,
                            .prepared = item->prepared,
                            .answer = &item->answer,
                            .owner = item,
                            .on_stage = on_stage,
                            .all_stages = item->each != NULL};
}

void dbk_queue_answer(dbk_queue *queue, dbk_turn_item *items, size_t count, dbk_result result, const dbk_error *error,
                      bool restless)
{
    through all = {NULL, NULL};
    put_prepared(queue, items, count);
    for (size_t at = 0; at < count; at++) {
        dbk_item *item = items[at].owner;
        if (!item) {
            dbk_buffer_release(&items[at].kept);
            continue;
        }
        item->result = result;
        if (result != DBK_OK) item->error = *error;
        hand_over(queue, &items[at], item, restless, &all);
    }
    let_go(queue, &all);
}

/* Decides up to DBK_TURN_MAX_ITEMS items linked by next. */
static void run_turn(dbk_queue *queue, dbk_item *first, bool *restless)
{
    dbk_engine *engine = queue->engine;
    dbk_turn_item items[DBK_TURN_MAX_ITEMS];
    dbk_error error = {0};
    size_t count = 0;
    for (dbk_item *i = first; i; i = i->next) dbk_queue_fill(i, &items[count++]);
    dbk_engine_take_turn(engine);
    dbk_result result = dbk_turn_decide(engine, items, count, dbk_engine_now(engine), &error);
    *restless = dbk_queue_is_restless(engine);
    dbk_engine_end_turn(engine);
    dbk_queue_answer(queue, items, count, result, &error, *restless);
}

/* The model has caught up, or never will: `,"projected":false` goes, or stays. The mutex is held, and let go
 * meanwhile. */
static void release_held(dbk_queue *queue, bool visible)
{
    for (dbk_item *item; (item = list_take(&queue->held));) {
        queue_unlock(queue);
        if (visible) dbk_receipt_show(&item->answer);
        finish(queue, item);
        queue_lock(queue);
    }
}

static dbk_item *take_turn(dbk_queue *queue)
{
    dbk_item *first = NULL, **last = &first;
    size_t count = 0, bytes = 0;
    while (queue->commands.first && count < queue->limits.count && bytes < queue->limits.bytes) {
        dbk_item *item = list_take(&queue->commands);
        bytes += item->text.size;
        count++;
        item->next = NULL;
        *last = item;
        last = &item->next;
    }
    return first;
}

/* The mutex is held, as in the next two. */
static bool has_batch(const dbk_queue *queue)
{
    return queue->commands.count >= queue->limits.count || queue->commands.bytes >= queue->limits.bytes;
}

/* Lets others come, for the time that was asked for; they queue, as they do while somebody decides. */
static void gather(dbk_queue *queue)
{
    const dbk_port *port = queue->port;
    int64_t left = (int64_t)queue->limits.delay_us * 1000, until = port->monotonic_ns(port->ctx) + left;
    queue->deciding = queue->gathering = true;
    while (!queue->closing && !has_batch(queue) && left > 0) {
        (void)port->cond_wait(port->ctx, queue->work, queue->mutex, left);
        left = until - port->monotonic_ns(port->ctx);
    }
    queue->gathering = false;
}

/* Behind what was put into the list: the worker is told where it would not see it by itself. */
static void tell_worker(dbk_queue *queue)
{
    if (queue->worker && (!queue->deciding || (queue->gathering && has_batch(queue))))
        queue->port->cond_signal(queue->port->ctx, queue->work);
    else if (queue->pipeline) dbk_pipeline_tell(queue);
}

/* The mutex is held, and is held again on return. Only the worker decides ahead: it alone is woken by `work`. */
static void decide_queued(dbk_queue *queue, bool is_worker)
{
    queue->deciding = true;
    bool restless = false;
    if (!is_worker || !dbk_pipeline_suits(queue) || !dbk_pipeline_run(queue, &restless)) {
        dbk_item *first = take_turn(queue);
        queue_unlock(queue);
        run_turn(queue, first, &restless);
        queue_lock(queue);
    }
    queue->deciding = false;
    queue->restless = restless;
    queue->worked = true;
    if (!restless && queue->held.first) release_held(queue, true);
}

static void idle(dbk_queue *queue)
{
    dbk_engine *engine = queue->engine;
    queue->worked = false;
    queue->deciding = true;
    queue_unlock(queue);
    dbk_engine_take_turn(engine);
    if (dbk_engine_is_stranded(engine)) (void)dbk_state_resume(engine);
    if (!engine->reading && engine->behind && dbk_queue_is_restless(engine) &&
        dbk_engine_catch_up(engine, NULL) == DBK_OK)
        engine->behind = false;
    dbk_result result = engine->reading ? DBK_OK : dbk_log_idle(engine->log, NULL);
    bool restless = dbk_queue_is_restless(engine), visible = !engine->behind;
    dbk_engine_end_turn(engine);
    queue_lock(queue);
    if (!restless) release_held(queue, visible);
    if (result != DBK_OK && result != DBK_POISONED) queue->worked = true; /* tried again in a second */
    queue->restless = restless;
    queue->deciding = false;
}

static void run_worker(void *arg)
{
    dbk_queue *queue = arg;
    queue_lock(queue);
    for (;;) {
        if (queue->commands.first && !queue->deciding) {
            if (queue->limits.delay_us) gather(queue);
            decide_queued(queue, true);
            continue;
        }
        if (queue->closing && !queue->commands.first && !queue->deciding && !queue->preparing) break;
        bool may_idle = (queue->worked || queue->restless) && !queue->commands.first;
        queue->dozing = !may_idle;
        int rc = queue->port->cond_wait(queue->port->ctx, queue->work, queue->mutex, may_idle ? IDLE_NS : -1);
        queue->dozing = false;
        if (rc == -ETIMEDOUT && may_idle && !queue->deciding && !queue->commands.first) idle(queue);
    }
    queue_unlock(queue);
}

/* ---- callers */

static dbk_result admit(dbk_queue *queue, dbk_error *err)
{
    if (queue->closing) return dbk_fail(err, DBK_UNAVAILABLE, "the store is closing");
    if (queue->commands.count + queue->reads.count < QUEUE_MAX) return DBK_OK;
    dbk_fail(err, DBK_BUSY, "%d commands are waiting already", QUEUE_MAX);
    dbk_error_hint(err, "wait for receipts before sending more");
    return DBK_BUSY;
}

/* The queue's mutex is held, and let go meanwhile: the messages of one thread keep their order, as it sends
 * them one after the other. */
static void prepare(dbk_queue *queue, dbk_item *item)
{
    item->prepared = dbk_prepared_take(&queue->prepared, item->text.size);
    if (!item->prepared) return;
    queue->preparing++;
    queue_unlock(queue);
    dbk_prepare(item->prepared, item->text);
    queue_lock(queue);
    queue->preparing--;
}

/* The message is copied and read while the mutex is let go: the messages of one thread keep their order, as it sends
 * them one after the other. */
static dbk_result send_item(dbk_queue *queue, const char *json, size_t size, const dbk_item *like, dbk_error *err)
{
    queue_lock(queue);
    dbk_result result = admit(queue, err);
    if (result != DBK_OK) {
        queue_unlock(queue);
        return result;
    }
    dbk_item *item = dbk_item_take(queue);
    dbk_prepared *prepared = queue->worker ? dbk_prepared_take(&queue->prepared, size) : NULL;
    queue->unfinished++;
    queue->preparing++;
    queue_unlock(queue);
    result = dbk_item_begin(queue, &item, like, dbk_slice_of(json, size), err);
    if (result == DBK_OK && prepared) dbk_prepare(prepared, item->text);
    queue_lock(queue);
    queue->preparing--;
    if (result == DBK_OK) {
        item->prepared = prepared;
        list_put(&queue->commands, item);
        while (!queue->worker && !queue->deciding && queue->commands.first) decide_queued(queue, false);
        tell_worker(queue);
    } else {
        dbk_prepared_put(&queue->prepared, prepared);
        dbk_item_free(queue, item);
        count_finished(queue, 1);
    }
    queue_unlock(queue);
    return result;
}

dbk_result dbk_queue_send(dbk_queue *queue, const char *json, size_t size, dbk_done_fn done, void *arg, dbk_error *err)
{
    return send_item(queue, json, size, &(dbk_item){.done = done, .arg = arg}, err);
}

dbk_result dbk_queue_send_until(dbk_queue *queue, const char *json, size_t size, const bool *cancel, dbk_done_fn done,
                                void *arg, dbk_error *err)
{
    return send_item(queue, json, size, &(dbk_item){.done = done, .arg = arg, .waiting.cancel = cancel}, err);
}

dbk_result dbk_queue_send_staged(dbk_queue *queue, const char *json, size_t size, dbk_stage_fn each, void *arg,
                                 dbk_error *err)
{
    return send_item(queue, json, size, &(dbk_item){.each = each, .arg = arg}, err);
}

/* Waits until the item of this caller is answered. The mutex is held. */
static void wait_for(dbk_queue *queue, dbk_item *item)
{
    while (!item->answered) (void)queue->port->cond_wait(queue->port->ctx, item->ready, queue->mutex, -1);
}

static dbk_result hand_out(dbk_queue *queue, dbk_item *item, dbk_text *receipt, dbk_error *err)
{
    dbk_result result = item->result;
    if (result == DBK_OK && !dbk_buffer_text(&item->answer))
        result = dbk_fail(&item->error, DBK_NO_MEMORY, "no memory for the answer");
    if (result != DBK_OK) {
        if (err) *err = item->error;
        return result;
    }
    *receipt = (dbk_text){(char *)item->answer.data, item->answer.size};
    dbk_buffer_init(&item->answer, queue->port);
    return DBK_OK;
}

dbk_result dbk_queue_call(dbk_queue *queue, const char *json, size_t size, dbk_text *receipt, dbk_error *err)
{
    return dbk_queue_call_until(queue, json, size, NULL, receipt, err);
}

dbk_result dbk_queue_call_until(dbk_queue *queue, const char *json, size_t size, const bool *cancel, dbk_text *receipt,
                                dbk_error *err)
{
    dbk_item item = {.text = dbk_slice_of(json, size), .queue = queue, .waiting.cancel = cancel};
    dbk_buffer_init(&item.json, queue->port);
    dbk_buffer_init(&item.answer, queue->port);
    item.ready = queue->port->cond_new(queue->port->ctx);
    if (!item.ready) return dbk_fail(err, DBK_NO_MEMORY, "no memory for a command");
    queue_lock(queue);
    dbk_result result = admit(queue, err);
    if (result == DBK_OK) {
        queue->unfinished++;
        if (queue->deciding) prepare(queue, &item);
        list_put(&queue->commands, &item);
        if (!queue->deciding && queue->commands.count == 1 && !queue->limits.delay_us) {
            decide_queued(queue, false);
            if (queue->commands.first || queue->dozing) queue->port->cond_signal(queue->port->ctx, queue->work);
        } else {
            tell_worker(queue);
        }
        wait_for(queue, &item);
    }
    queue_unlock(queue);
    if (result == DBK_OK) result = hand_out(queue, &item, receipt, err);
    dbk_item_release(&item);
    return result;
}

/* ---- life */

void dbk_queue_free(dbk_queue *queue)
{
    if (!queue) return;
    const dbk_port *port = queue->port;
    if (queue->mutex) {
        queue_lock(queue);
        queue->closing = true;
        if (queue->engine->waits) dbk_waits_end(queue->engine->waits);
        release_held(queue, false); /* durable is what they are */
        while (queue->unfinished > 0 && queue->worker) {
            port->cond_signal(port->ctx, queue->work);
            (void)port->cond_wait(port->ctx, queue->quiet, queue->mutex, -1);
        }
        if (queue->worker) port->cond_broadcast(port->ctx, queue->work);
        if (queue->reader) port->cond_broadcast(port->ctx, queue->reads_wanted);
        queue_unlock(queue);
    }
    if (queue->worker) port->thread_join(port->ctx, queue->worker);
    if (queue->reader) port->thread_join(port->ctx, queue->reader);
    dbk_pipeline_free(queue);
    dbk_prepared_pool_release(&queue->prepared);
    dbk_items_release(queue);
    if (queue->work) port->cond_free(port->ctx, queue->work);
    if (queue->reads_wanted) port->cond_free(port->ctx, queue->reads_wanted);
    if (queue->quiet) port->cond_free(port->ctx, queue->quiet);
    if (queue->mutex) port->mutex_free(port->ctx, queue->mutex);
    dbk_free(port, queue);
}

/* Without a worker nobody could wait. */
static void set_limits(dbk_queue *queue, const dbk_engine_options *options)
{
    dbk_batch_limits *limits = &queue->limits;
    *limits = options->batch;
    if (limits->count == 0 || limits->count > DBK_TURN_MAX_ITEMS) limits->count = DBK_TURN_MAX_ITEMS;
    if (limits->bytes == 0 || limits->bytes > DBK_TURN_MAX_BYTES) limits->bytes = DBK_TURN_MAX_BYTES;
    if (options->no_threads) limits->delay_us = 0;
}

dbk_result dbk_queue_new(dbk_engine *engine, dbk_queue **out, dbk_error *err)
{
    const dbk_port *port = engine->port;
    dbk_queue *queue = dbk_alloc_zero(port, 1, sizeof *queue);
    if (!queue) return dbk_fail(err, DBK_NO_MEMORY, "no memory for the queue");
    queue->engine = engine;
    queue->port = port;
    queue->restless = dbk_queue_is_restless(engine);
    set_limits(queue, &engine->options);
    list_init(&queue->commands);
    list_init(&queue->reads);
    list_init(&queue->held);
    dbk_prepared_pool_init(&queue->prepared, port);
    queue->mutex = port->mutex_new(port->ctx);
    queue->work = port->cond_new(port->ctx);
    queue->reads_wanted = port->cond_new(port->ctx);
    queue->quiet = port->cond_new(port->ctx);
    int rc = queue->mutex && queue->work && queue->reads_wanted && queue->quiet ? 0 : -ENOMEM;
    if (rc == 0 && dbk_waits_new(engine, on_waited, queue, &engine->waits, NULL) != DBK_OK) rc = -ENOMEM;
    if (rc == 0 && !engine->options.no_threads)
        rc = port->thread_start(port->ctx, "dbk-worker", run_worker, queue, &queue->worker);
    if (rc == 0 && !engine->options.no_threads)
        rc = port->thread_start(port->ctx, "dbk-reads", run_reads, queue, &queue->reader);
    if (rc != 0) {
        dbk_queue_free(queue);
        return dbk_fail_os(err, dbk_result_of_errno(-rc), -rc, "cannot start the store's threads");
    }
    *out = queue;
    return DBK_OK;
}
