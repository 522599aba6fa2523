/* Internal to queue.c: a message on its way through the queue, and lists of them. */
#ifndef DBK_STORE_QUEUE_ITEM_H
#define DBK_STORE_QUEUE_ITEM_H

#include "store/prepare.h"
#include "store/queue.h"
#include "store/waits.h"

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

#endif
