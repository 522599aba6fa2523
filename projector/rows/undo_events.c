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
        one.entry = entry->id;
        if (entry->flags == DBK_ENTRY_UNDO) one.base = event.base;
        one.stream = dbk_arena_copy(undo->said, event.stream);
        one.type = dbk_arena_copy(undo->said, event.type);
        if (result == DBK_OK && (!one.stream.data || !one.type.data)) result = dbk_row_no_memory(err);
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

size_t dbk_undo_events(const dbk_undo *undo)
{
    return undo->events.size / sizeof(dbk_undo_event);
}

void dbk_undo_event_of(const dbk_undo *undo, size_t at, dbk_entry_id *entry, dbk_entry_id *base, dbk_slice *stream)
{
    const dbk_undo_event *event = (const dbk_undo_event *)(const void *)undo->events.data + at;
    *entry = event->entry;
    *base = event->base;
    *stream = event->stream;
}

void dbk_undo_keep_event(dbk_undo *undo, size_t at, const char *reason)
{
    ((dbk_undo_event *)(void *)undo->events.data)[at].kept = reason;
}

static void put_kept(const dbk_undo_event *event, dbk_buffer *kept)
{
    dbk_buffer_put_text(kept, kept->size ? ",{\"stream\":" : "{\"stream\":");
    dbk_json_put_string(kept, event->stream);
    dbk_buffer_put_text(kept, ",\"type\":");
    dbk_json_put_string(kept, event->type);
    dbk_buffer_printf(kept, ",\"reason\":\"%s\"}", event->kept);
}

dbk_result dbk_undo_run_events(dbk_model *model, dbk_draft *draft, const dbk_undo *undo, dbk_json_parser *parser,
                               dbk_buffer *kept, dbk_error *err)
{
    size_t count = undo->events.size / sizeof(dbk_undo_event);
    dbk_undo_event *sorted = dbk_alloc_zero(model->port, count + 1, sizeof *sorted);
    dbk_result result = sorted ? DBK_OK : dbk_row_no_memory(err);
    if (sorted && count) memcpy(sorted, undo->events.data, count * sizeof *sorted);
    if (sorted && count) qsort(sorted, count, sizeof *sorted, latest_first);
    for (size_t i = 0; result == DBK_OK && i < count; i++) {
        const dbk_json_node *arguments;
        if (sorted[i].kept) put_kept(&sorted[i], kept);
        if (sorted[i].kept) continue;
        model->work->taken_back = &sorted[i].entry;
        result =
            dbk_json_parse(parser, dbk_slice_of(undo->arguments.data + sorted[i].at, sorted[i].size), &arguments, err);
        if (result == DBK_OK) result = dbk_model_command(model, draft, sorted[i].command, arguments, err);
        model->work->taken_back = NULL;
    }
    if (result == DBK_OK && kept->failed) result = dbk_row_no_memory(err);
    dbk_free(model->port, sorted);
    return result;
}
