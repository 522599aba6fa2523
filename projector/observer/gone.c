/* Rows as they were deleted, of tables where an edit wins over a delete: a later patch brings them back so
 * (semantics.md §4, F5). The last deletion within the entry counts. */
#include "projector/observer/internal.h"

static const dbk_gone_row *rows_of(const dbk_observer *observer, size_t *count)
{
    *count = observer->gone_at.size / sizeof(dbk_gone_row);
    return (const dbk_gone_row *)(const void *)observer->gone_at.data;
}

/* The columns of a row as events have them, appended as a JSON object. */
static void put_row(dbk_buffer *out, const dbk_table *table, dbk_column_fn get, void *arg)
{
    for (uint16_t i = 0; i < table->column_count; i++) {
        dbk_buffer_put_u8(out, i ? ',' : '{');
        dbk_json_put_string(out, dbk_slice_text(table->columns[i].name));
        dbk_buffer_put_u8(out, ':');
        dbk_value_out(table->columns[i].type, get(arg, i), true, out);
    }
    dbk_buffer_put_u8(out, '}');
}

dbk_result dbk_observer_take_gone(dbk_observer *observer, const dbk_table *table, dbk_column_fn get, void *arg)
{
    size_t steps = observer->steps.size / sizeof(dbk_step);
    const dbk_step *last = (const dbk_step *)(const void *)observer->steps.data + (steps - 1);
    dbk_gone_row row = {.step = steps - 1, .touched = last->touched, .place = {.at = observer->gone.size}};

    put_row(&observer->gone, table, get, arg);
    row.place.size = observer->gone.size - row.place.at;
    dbk_buffer_put(&observer->gone_at, &row, sizeof row);
    return observer->gone.failed || observer->gone_at.failed ? DBK_NO_MEMORY : DBK_OK;
}

void dbk_observer_cut_gone(dbk_observer *observer, size_t steps)
{
    size_t count;
    const dbk_gone_row *rows = rows_of(observer, &count);

    while (count > 0 && rows[count - 1].step >= steps) count--;
    observer->gone_at.size = count * sizeof *rows;
}

dbk_slice dbk_observer_gone(const dbk_observer *observer, const dbk_touched *row)
{
    size_t count;
    const dbk_gone_row *rows = rows_of(observer, &count);
    uint32_t index = (uint32_t)(row - dbk_touched_at(observer, 0));

    for (size_t i = count; i > 0; i--)
        if (rows[i - 1].touched == index)
            return dbk_slice_of(observer->gone.data + rows[i - 1].place.at, rows[i - 1].place.size);
    return (dbk_slice){NULL, 0};
}
