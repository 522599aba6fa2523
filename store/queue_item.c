/* The memory of messages on their way. It goes from the thread that sends to the one that answers and back: an allocator
 * would do that under locks of its own, and grow the same two texts for each of them. */
#include "store/queue_item.h"

/* TEXT_BYTES: of each text that an item keeps for the next message. */
enum { SPARE_MAX = 128, TEXT_BYTES = 2048 };

void dbk_item_release(dbk_item *item)
{
    dbk_buffer_release(&item->json);
    dbk_buffer_release(&item->answer);
    if (item->ready) item->queue->port->cond_free(item->queue->port->ctx, item->ready);
}

void dbk_item_free(dbk_queue *queue, dbk_item *item)
{
    if (!item) return;
    dbk_buffer_release(&item->json);
    dbk_buffer_release(&item->answer);
    dbk_free(queue->port, item);
}

void dbk_item_relax(dbk_item *item)
{
    dbk_buffer_relax(&item->json, TEXT_BYTES);
    dbk_buffer_relax(&item->answer, TEXT_BYTES);
}

void dbk_item_put(dbk_queue *queue, dbk_item *item)
{
    if (queue->spare_count == SPARE_MAX) {
        dbk_item_free(queue, item);
        return;
    }
    item->next = queue->spare;
    queue->spare = item;
    queue->spare_count++;
}

dbk_item *dbk_item_take(dbk_queue *queue)
{
    dbk_item *item = queue->spare;
    if (!item) return NULL;
    queue->spare = item->next;
    queue->spare_count--;
    return item;
}

void dbk_items_release(dbk_queue *queue)
{
    for (dbk_item *item; (item = dbk_item_take(queue));) dbk_item_free(queue, item);
}

dbk_result dbk_item_begin(dbk_queue *queue, dbk_item **item, const dbk_item *like, dbk_slice text, dbk_error *err)
{
    dbk_item *at = *item;
    if (!at) {
        at = *item = dbk_alloc(queue->port, sizeof *at);
        if (!at) return dbk_fail(err, DBK_NO_MEMORY, "no memory for a command");
        dbk_buffer_init(&at->json, queue->port);
        dbk_buffer_init(&at->answer, queue->port);
    }
    dbk_buffer json = at->json, answer = at->answer;
    dbk_buffer_clear(&json);
    dbk_buffer_clear(&answer);
    dbk_buffer_put_slice(&json, text);
    *at = *like;
    at->queue = queue;
    at->json = json;
    at->answer = answer;
    at->text = dbk_buffer_slice(&json);
    return json.failed ? dbk_fail(err, DBK_NO_MEMORY, "no memory for a command") : DBK_OK;
}
