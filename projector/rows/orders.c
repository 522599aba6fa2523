/* What an async model is told by the log: entries to leave out, or to take after all. And where its fold ends.
 *
 * They are entries of the engine on a stream of the model's own, which the log's index finds, so that a model reads
 * them before it folds the entries they are about. Of several about one entry the last in canonical order counts. */
#include "projector/rows/internal.h"

#include <stdio.h>

typedef struct dbk_order {
    dbk_entry_id entry;
    uint8_t key[DBK_ORDER_KEY_SIZE]; /* of the entry that says so */
    bool skip, fresh;
} dbk_order;

struct dbk_orders {
    dbk_buffer items; /* dbk_order … */
    dbk_buffer origin;
    char stream[sizeof DBK_MODEL_STREAM + 64];
    uint64_t read; /* the log was looked through up to this position */
};

static dbk_order *items_of(const dbk_orders *orders, size_t *count)
{
    *count = orders->items.size / sizeof(dbk_order);
    return (dbk_order *)(void *)orders->items.data;
}

dbk_result dbk_orders_new(dbk_model *model, dbk_error *err)
{
    if (!dbk_row_is_async(model)) return DBK_OK;
    model->orders = dbk_alloc_zero(model->port, 1, sizeof *model->orders);
    if (!model->orders) return dbk_row_no_memory(err);
    dbk_buffer_init(&model->orders->items, model->port);
    dbk_buffer_init(&model->orders->origin, model->port);
    (void)snprintf(model->orders->stream, sizeof model->orders->stream, "%s%s", DBK_MODEL_STREAM,
                   model->definition->model);
    return DBK_OK;
}

void dbk_orders_free(dbk_model *model)
{
    if (!model->orders) return;
    dbk_buffer_release(&model->orders->items);
    dbk_buffer_release(&model->orders->origin);
    dbk_free(model->port, model->orders);
    model->orders = NULL;
}

/* ---- reading */

static bool keep(dbk_orders *orders, const dbk_order *order)
{
    size_t count;
    dbk_order *items = items_of(orders, &count);

    for (size_t i = 0; i < count; i++) {
        if (!dbk_entry_id_equal(&items[i].entry, &order->entry)) continue;
        if (memcmp(order->key, items[i].key, sizeof order->key) > 0) items[i] = *order;
        return true;
    }
    dbk_buffer_put(&orders->items, order, sizeof *order);
    return !orders->items.failed;
}

/* What cannot be read as one says nothing. */
static dbk_result take_event(dbk_model *model, const dbk_entry *entry, const dbk_event *event, dbk_error *err)
{
    const dbk_json_node *root = NULL;
    dbk_order order = {.fresh = true};

    if (!dbk_slice_equal(event->type, dbk_slice_text("daybook.model.skip")) ||
        !dbk_slice_equal(event->stream, dbk_slice_text(model->orders->stream)))
        return DBK_OK;
    dbk_result result = dbk_json_parse(model->work->parser, event->data, &root, NULL);
    if (result == DBK_NO_MEMORY) return dbk_row_no_memory(err);
    if (result != DBK_OK || root->kind != DBK_JSON_OBJECT) return DBK_OK;
    const dbk_json_node *named = dbk_json_member(root, "entry"), *skip = dbk_json_member(root, "skip");
    if (!named || named->kind != DBK_JSON_STRING || !dbk_entry_id_parse(named->text, &order.entry)) return DBK_OK;
    order.skip = !skip || skip->kind == DBK_JSON_TRUE;
    dbk_entry_order_key(entry, order.key);
    return keep(model->orders, &order) ? DBK_OK : dbk_row_no_memory(err);
}

static dbk_result take_entry(dbk_model *model, uint64_t position, dbk_error *err)
{
    dbk_entry entry;
    dbk_event event;
    dbk_result result = dbk_log_read(model->log, position, &model->orders->origin, NULL, err);

    if (result == DBK_NONE)
        result = dbk_fail(err, DBK_GAP, "entry at position %llu is missing", (unsigned long long)position);
    if (result == DBK_OK) result = dbk_entry_decode(dbk_buffer_slice(&model->orders->origin), &entry, err);
    if (result != DBK_OK) return result;
    for (dbk_slice rest = entry.events; result == DBK_OK && dbk_event_next(&rest, &event);)
        result = take_event(model, &entry, &event, err);
    return result;
}

static dbk_result is_left_out(dbk_model *model, const dbk_entry_id *id, bool *left_out, dbk_error *err)
{
    sqlite3_stmt *statement;
    char text[DBK_ENTRY_ID_TEXT_SIZE];
    dbk_result result = dbk_model_statement(model, DBK_PLACE_ORDERED,
                                            "SELECT 1 FROM _daybook_skips WHERE entry=?1 AND state='skipped' AND "
                                            "reason='" DBK_ORDERED "'",
                                            &statement, err);

    if (result != DBK_OK) return result;
    dbk_entry_id_text(id, text);
    (void)sqlite3_bind_text(statement, 1, text, -1, SQLITE_STATIC);
    int rc = sqlite3_step(statement);
    *left_out = rc == SQLITE_ROW;
    if (rc != SQLITE_ROW && rc != SQLITE_DONE) result = dbk_model_sql_failure(model, rc, "read the skip list", err);
    (void)sqlite3_reset(statement);
    return result;
}

/* An entry that does not concern the model was passed over in any case. */
static dbk_result contradicts(dbk_model *model, const dbk_order *order, bool *yes, dbk_error *err)
{
    uint64_t position = 0;
    bool left_out;
    dbk_result result = dbk_log_find_entry(model->log, &order->entry, &position, err);

    if (result != DBK_OK || position == 0 || position > model->state.position) return result;
    result = is_left_out(model, &order->entry, &left_out, err);
    if (result == DBK_OK && left_out != order->skip) *yes = true;
    return result;
}

dbk_result dbk_orders_read(dbk_model *model, bool *contradict, dbk_error *err)
{
    dbk_orders *orders = model->orders;
    uint64_t end = model->log ? dbk_log_position(model->log) : 0, position = 0;
    dbk_result result = DBK_OK;
    size_t count;

    while (orders && end > orders->read && result == DBK_OK) {
        result = dbk_log_find_stream(model->log, dbk_slice_text(orders->stream), position, &position, err);
        if (result != DBK_OK || position <= orders->read) break;
        result = take_entry(model, position, err);
    }
    if (!orders || result != DBK_OK) return result;
    if (end > orders->read) orders->read = end;
    dbk_order *items = items_of(orders, &count);
    for (size_t i = 0; i < count && result == DBK_OK; i++) {
        if (items[i].fresh && contradict) result = contradicts(model, &items[i], contradict, err);
        items[i].fresh = false;
    }
    return result;
}

bool dbk_orders_leave_out(const dbk_model *model, const dbk_entry_id *entry)
{
    size_t count;
    const dbk_order *items = items_of(model->orders, &count);

    for (size_t i = 0; i < count; i++)
        if (dbk_entry_id_equal(&items[i].entry, entry)) return items[i].skip;
    return false;
}

/* ---- where the fold ends */

void dbk_row_stop(dbk_model *model, uint64_t position, const dbk_entry *entry, const char *reason)
{
    dbk_model_stop *stop = &model->stop;
    dbk_event event;

    *stop =
        (dbk_model_stop){.position = position, .entry = entry->id, .over_budget = model->bounded && model->over_budget};
    (void)snprintf(stop->reason, sizeof stop->reason, "%s", reason);
    for (dbk_slice rest = entry->events; dbk_event_next(&rest, &event);) {
        if (dbk_event_is_engine(&event) || dbk_project_count(model, event.type) == 0) continue;
        (void)snprintf(stop->type, sizeof stop->type, "%.*s", (int)(event.type.size < 127 ? event.type.size : 127),
                       (const char *)event.type.data);
        break;
    }
}

const dbk_model_stop *dbk_model_stopped(const dbk_model *model)
{
    return &model->stop;
}
