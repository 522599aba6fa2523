/* Events of the app that are undone: "-- undo <type>" of commands.sql reads each and says what is appended instead
 * (semantics.md §7). The latest comes first; rows of collections follow, since what these events had built on
 * them must be gone before they can go. */
#include "projector/rows/undo.h"

#include <stdlib.h>

static dbk_result put_arguments(dbk_undo *undo, const dbk_event *event, dbk_error *err)
{
    dbk_buffer *out = &undo->arguments;
    dbk_buffer_put_text(out, "{\"data\":");
    dbk_buffer_put_slice(out, event->data);
    dbk_buffer_put_text(out, ",\"stream\":");
    dbk_json_put_string(out, event->stream);
    dbk_buffer_put_text(out, ",\"type\":");
    dbk_json_put_string(out, event->type);
    dbk_buffer_put_u8(out, '}');
    return out->failed ? dbk_row_no_memory(err) : DBK_OK;
}

dbk_result dbk_undo_add_events(dbk_undo *undo, const dbk_entry *entry, dbk_error *err)
{
    dbk_slice rest = entry->events;
    dbk_undo_event one = {.index = 0};
    dbk_entry_order_key(entry, one.order);
    for (dbk_event event; dbk_event_next(&rest, &event); one.index++) {
        one.command = dbk_definition_undo(undo->definition, event.type);
        if (!one.command) continue;
        dbk_result result = dbk_upcast_event(undo->upcaster, entry->time_ms, &event, err);
        one.at = undo->arguments.size;
        if (result == DBK_OK) result = put_arguments(undo, &event, err);
        one.size = undo->arguments.size - one.at;
        if (result == DBK_OK) dbk_buffer_put(&undo->events, &one, sizeof one);
        if (result == DBK_OK && undo->events.failed) result = dbk_row_no_memory(err);
        if (result != DBK_OK) return result;
    }
    return DBK_OK;
}

static int latest_first(const void *a, const void *b)
{
    const dbk_undo_event *one = a, *other = b;
    int order = memcmp(other->order, one->order, sizeof one->order);
    return order ? order : one->index < other->index ? 1 : -1;
}

dbk_result dbk_undo_run_events(dbk_model *model, dbk_draft *draft, const dbk_undo *undo, dbk_json_parser *parser,
                               dbk_error *err)
{
    size_t count = undo->events.size / sizeof(dbk_undo_event);
    dbk_undo_event *sorted = dbk_alloc_zero(model->port, count + 1, sizeof *sorted);
    dbk_result result = sorted ? DBK_OK : dbk_row_no_memory(err);
    if (sorted && count) memcpy(sorted, undo->events.data, count * sizeof *sorted);
    if (sorted && count) qsort(sorted, count, sizeof *sorted, latest_first);
    for (size_t i = 0; result == DBK_OK && i < count; i++) {
        const dbk_json_node *arguments;
        result =
            dbk_json_parse(parser, dbk_slice_of(undo->arguments.data + sorted[i].at, sorted[i].size), &arguments, err);
        if (result == DBK_OK) result = dbk_model_command(model, draft, sorted[i].command, arguments, err);
    }
    dbk_free(model->port, sorted);
    return result;
}
