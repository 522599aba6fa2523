/* A late patch of a row whose later entries are patches too. Each of these applied, so the row was there all the time
 * and the patch applies as well; nothing but the columns themselves connects them (dbk_table.free_columns), so what is
 * left of it are the columns that no later one sets. The row need not be made again. */
#include "projector/model/amend.h"
#include "projector/rows/rules.h"

/* The columns that the data of a .patched set. A value that says a change, not what the column will hold, is none. */
static dbk_result columns_of(dbk_model *model, const dbk_table *table, const dbk_event *event, bool nulls,
                             dbk_mask *columns, bool *plain, dbk_error *err)
{
    const dbk_json_node *data;
    dbk_result result = dbk_json_parse(model->work->parser, event->data, &data, NULL);

    *columns = (dbk_mask){0};
    *plain = result == DBK_OK && data->kind == DBK_JSON_OBJECT;
    if (result == DBK_NO_MEMORY) return dbk_row_no_memory(err);
    const dbk_json_node *child = *plain ? dbk_json_child(data) : NULL;
    for (uint32_t i = 0; *plain && i < data->count; i++, child = dbk_json_next(child)) {
        int column = dbk_table_column(table, child->name);
        *plain = child->kind != DBK_JSON_OBJECT && (nulls || child->kind != DBK_JSON_NULL);
        if (column >= 0 && !dbk_row_is_key(table, column)) dbk_mask_add(columns, column);
    }
    *plain = *plain && !dbk_mask_is_empty(columns);
    return DBK_OK;
}

static bool is_patch(const dbk_model *model, const dbk_entry *entry, dbk_event *event, const dbk_table **table)
{
    dbk_slice rest = entry->events;
    dbk_row_op op;

    return entry->event_count == 1 && dbk_event_next(&rest, event) &&
           dbk_definition_row_event(model->definition, event->type, table, &op) && op == DBK_OP_PATCHED;
}

static dbk_result free_columns_of(dbk_model *model, const dbk_table *table, const dbk_event *event, dbk_mask *columns,
                                  bool *plain, dbk_error *err)
{
    *plain = false;
    if (model->upcaster || dbk_row_is_async(model) || !table->free_columns ||
        (!dbk_table_is_alone(table) && !table->tied))
        return DBK_OK;
    dbk_result result = columns_of(model, table, event, false, columns, plain, err);
    for (int i = 0; table->tied && i < table->column_count; i++)
        if (table->ties[i] && dbk_mask_has(columns, i)) *plain = false;
    return result;
}

dbk_result dbk_under_may(dbk_model *model, const dbk_table *table, const dbk_event *event, bool *may, dbk_error *err)
{
    dbk_mask columns;
    return free_columns_of(model, table, event, &columns, may, err);
}

dbk_result dbk_under_begin(dbk_model *model, const dbk_entry *entry, dbk_under *under, dbk_error *err)
{
    const dbk_table *table;
    dbk_event event;
    dbk_mask columns;

    *under = (dbk_under){0};
    if (!is_patch(model, entry, &event, &table)) return DBK_OK;
    return free_columns_of(model, table, &event, &columns, &under->possible, err);
}

dbk_result dbk_under_take(dbk_model *model, const dbk_entry *later, dbk_slice stream, dbk_under *under, dbk_error *err)
{
    char text[DBK_ENTRY_ID_TEXT_SIZE];
    const dbk_table *table;
    dbk_event event;
    dbk_mask columns;
    bool skipped;

    dbk_entry_id_text(&later->id, text);
    dbk_result result = dbk_row_is_skipped(model, text, &skipped, err);
    under->possible = !skipped && is_patch(model, later, &event, &table) && dbk_slice_equal(event.stream, stream);
    if (result != DBK_OK || !under->possible) return result;
    result = columns_of(model, table, &event, true, &columns, &under->possible, err);
    for (int i = 0; i < DBK_MASK_WORDS; i++) under->columns.words[i] |= columns.words[i];
    under->count++;
    return result;
}
