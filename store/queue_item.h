/* Internal to queue.c, queue_item.c and pipeline.c: a message on its way through the queue, lists of them, the queue
 * itself. */
#ifndef DBK_STORE_QUEUE_ITEM_H
#define DBK_STORE_QUEUE_ITEM_H

#include "store/prepare.h"
#include "store/queue.h"
#include "store/waits.h"

typedef struct dbk_pipeline dbk_pipeline;

typedef struct dbk_item {
    struct dbk_item *next;
    dbk_buffer json; /* owned when queued; borrowed bytes are in `text` */
    dbk_slice text;
    dbk_prepared *prepared; /* may be NULL */
    dbk_buffer answer;
    dbk_done_fn done; /* with `each` NULL too: a caller waits */
    dbk_stage_fn each;
    struct dbk_queue *queue;
    void *arg;
    dbk_cond *ready; /* of a waiting caller */
    bool answered;
    dbk_waiting waiting; /* for the log to grow */
    dbk_result result;
    dbk_error error;
} dbk_item;

typedef struct dbk_list {
    dbk_item *first, **last;
    size_t count, bytes;
} dbk_list;

static inline void list_init(dbk_list *list)
{
    *list = (dbk_list){.last = &list->first};
}

static inline void list_put(dbk_list *list, dbk_item *item)
{
    item->next = NULL;
    *list->last = item;
    list->last = &item->next;
    list->count++;
    list->bytes += item->text.size;
}

static inline dbk_item *list_take(dbk_list *list)
{
    dbk_item *item = list->first;
    if (!item) return NULL;
    list->first = item->next;
    if (!list->first) list->last = &list->first;
    list->count--;
    list->bytes -= item->text.size;
    return item;
}

enum { DBK_TURN_MAX_ITEMS = 1000, DBK_TURN_MAX_BYTES = 8 * 1024 * 1024 };

struct dbk_queue {
    dbk_engine *engine;
    const dbk_port *port;
    dbk_mutex *mutex;
    dbk_cond *work, *reads_wanted, *quiet;
    dbk_list commands, reads;
    dbk_list held; /* durable, and told when the model has caught up */
    dbk_prepared_pool prepared;
    dbk_item *spare; /* memory of items that were told, for the next ones */
    size_t spare_count;
    size_t unfinished; /* items not yet answered */
    size_t preparing;  /* of them, those that will be in the list soon */
    dbk_batch_limits limits;
    bool deciding, closing;
    bool gathering; /* the worker waits, as the one who decides, for a batch that is full */
    bool worked;    /* something was appended since the last idle */
    bool restless;  /* the store waits for room, or its model is behind: looked at each second */
    bool dozing;    /* the worker waits without a time limit: it must be told of work, also of another's */
    dbk_thread *worker, *reader;
    dbk_pipeline *pipeline; /* the worker's; NULL: not used yet, or no memory for it */
};

static inline void queue_lock(dbk_queue *queue)
{
    queue->port->mutex_lock(queue->port->ctx, queue->mutex);
}

static inline void queue_unlock(dbk_queue *queue)
{
    queue->port->mutex_unlock(queue->port->ctx, queue->mutex);
}

/* queue_item.c. What a waiting caller's item has; of one that is told, with the item. */
void dbk_item_release(dbk_item *item);
void dbk_item_free(dbk_queue *queue, dbk_item *item); /* accepts NULL */
/* Before one that is told is put back: what it keeps is bounded. */
void dbk_item_relax(dbk_item *item);
/* The mutex is held, as in the next: kept for another message, up to a number. */
void dbk_item_put(dbk_queue *queue, dbk_item *item);
dbk_item *dbk_item_take(dbk_queue *queue); /* NULL: none is kept */
void dbk_items_release(dbk_queue *queue);
/* With a copy of the text, in memory that was used before, or new: *item may be NULL. `like` says who is told. */
dbk_result dbk_item_begin(dbk_queue *queue, dbk_item **item, const dbk_item *like, dbk_slice text,
                          dbk_error *err) DBK_MUST_USE;

/* queue.c: one message as a turn takes it. */
void dbk_queue_fill(dbk_item *item, dbk_turn_item *turn);
/* engine->turn is held. */
bool dbk_queue_is_restless(const dbk_engine *engine);
/* The items of a turn that is through: told, woken, or passed on. */
void dbk_queue_answer(dbk_queue *queue, dbk_turn_item *items, size_t count, dbk_result result, const dbk_error *error,
                      bool restless);

/* pipeline.c. The mutex is held: whether what is queued had better be decided while the log writes. */
bool dbk_pipeline_suits(dbk_queue *queue);
/* Does that until nothing of the kind is queued and all of it is answered; the mutex is let go meanwhile. False: the
 * first one is of another kind. */
bool dbk_pipeline_run(dbk_queue *queue, bool *restless);
/* The mutex is held: what came to the list may be worth waking who waits for the log. */
void dbk_pipeline_tell(dbk_queue *queue);
void dbk_pipeline_free(dbk_queue *queue);

#endif
