/* Rows as an entry met them, for those who ask what it changed. A row is taken when it is first touched;
 * a place whose row was cut back is filled anew by the row that takes it. */
#include "projector/observer/internal.h"

void dbk_observer_keep_before(dbk_observer *observer, bool keep, bool shown)
{
    observer->keep_before = keep;
    observer->show_before = shown;
}

dbk_result dbk_observer_take_before(dbk_observer *observer, const dbk_table *table, bool existed, dbk_column_fn get,
                                    void *arg)
{
    dbk_buffer *out = &observer->before;
    dbk_place place = {.at = out->size};

    for (uint16_t i = 0; existed && i < table->column_count; i++) {
        dbk_buffer_put_u8(out, i ? ',' : '{');
        dbk_json_put_string(out, dbk_slice_text(table->columns[i].name));
        dbk_buffer_put_u8(out, ':');
        dbk_value_out(table->columns[i].type, get(arg, i), !observer->show_before, out);
    }
    if (existed) dbk_buffer_put_u8(out, '}');
    place.size = out->size - place.at;
    size_t index = dbk_touched_count(observer) - 1;
    if (observer->before_at.size > index * sizeof place) observer->before_at.size = index * sizeof place;
    dbk_buffer_put(&observer->before_at, &place, sizeof place);
    return out->failed || observer->before_at.failed ? DBK_NO_MEMORY : DBK_OK;
}

dbk_slice dbk_observer_before(const dbk_observer *observer, size_t index)
{
    const dbk_place *places = (const dbk_place *)(const void *)observer->before_at.data;
    if (index >= observer->before_at.size / sizeof *places || places[index].size == 0) return (dbk_slice){NULL, 0};
    return dbk_slice_of(observer->before.data + places[index].at, places[index].size);
}
