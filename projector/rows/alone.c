/* The history of one row, told without the others: of a table whose rows nothing else touches or depends on
 * (row_local, F6) the events that name the row are all that ever happened to it. The log's stream index
 * finds them; each entry that applies is carried out for this row alone, in canonical order. */
#include "projector/rows/rules.h"

#include <stdlib.h>

typedef struct dbk_alone_entry {
    uint8_t key[DBK_ORDER_KEY_SIZE];
    uint64_t position;
} dbk_alone_entry;

static int compare_entries(const void *a, const void *b)
{
    return memcmp(((const dbk_alone_entry *)a)->key, ((const dbk_alone_entry *)b)->key, DBK_ORDER_KEY_SIZE);
}

bool dbk_table_is_alone(const dbk_table *table)
{
    return table->row_local && !dbk_rules_merge(table);
}

static dbk_result list_entries(dbk_log *log, dbk_slice stream, const dbk_alone *alone, dbk_buffer *origin,
                               dbk_buffer *list, dbk_error *err)
{
    uint64_t position = alone->last + 1;
    dbk_result result = DBK_OK;
    while (result == DBK_OK && position > 1) {
        dbk_alone_entry item = {0};
        dbk_entry entry;
        result = dbk_log_find_stream(log, stream, position, &position, err);
        if (result != DBK_OK || position == 0) break;
        result = dbk_log_read(log, position, origin, NULL, err);
        if (result == DBK_OK) result = dbk_entry_decode(dbk_buffer_slice(origin), &entry, err);
        if (result != DBK_OK || alone->left_out(alone->arg, &entry.id)) continue;
        item.position = position;
        dbk_entry_order_key(&entry, item.key);
        dbk_buffer_put(list, &item, sizeof item);
        if (list->failed) result = dbk_row_no_memory(err);
    }
    return result;
}

static dbk_result tell(dbk_model *model, const dbk_buffer *list, dbk_buffer *origin, dbk_error *err)
{
    const dbk_alone_entry *items = (const dbk_alone_entry *)(const void *)list->data;
    dbk_result result = dbk_model_begin(model, err);
    for (size_t i = 0; result == DBK_OK && i < list->size / sizeof *items; i++) {
        result = dbk_log_read(model->log, items[i].position, origin, NULL, err);
        if (result == DBK_OK) result = dbk_model_apply(model, items[i].position, dbk_buffer_slice(origin), err);
    }
    dbk_model_rollback(model);
    return result;
}

dbk_result dbk_model_tell_alone(const dbk_port *port, const char *path, const dbk_definition *definition, dbk_log *log,
                                const dbk_model_options *options, const dbk_alone *alone, const dbk_trail *trail,
                                dbk_error *err)
{
    dbk_model *model = NULL;
    dbk_model_options bulk = *options;
    dbk_buffer stream, origin, list;
    bulk.bulk = true;
    dbk_buffer_init(&stream, port);
    dbk_buffer_init(&origin, port);
    dbk_buffer_init(&list, port);
    dbk_row_stream(&stream, trail->table, trail->key);
    dbk_result result = stream.failed ? dbk_row_no_memory(err)
                                      : list_entries(log, dbk_buffer_slice(&stream), alone, &origin, &list, err);
    if (result == DBK_OK && list.size > 0) {
        qsort(list.data, list.size / sizeof(dbk_alone_entry), sizeof(dbk_alone_entry), compare_entries);
        result = dbk_model_create(port, path, definition, log, &bulk, &model, err);
    }
    if (result == DBK_OK && model) {
        model->only = dbk_buffer_slice(&stream);
        dbk_model_follow(model, trail);
        result = tell(model, &list, &origin, err);
    }
    dbk_model_close(model);
    dbk_buffer_release(&stream);
    dbk_buffer_release(&origin);
    dbk_buffer_release(&list);
    return result;
}
