/* Events as CloudEvents 1.0 (interface.md §3), page by page. A page ends between entries. */
#include <stdlib.h>

#include "store/request.h"
#include "store/waits.h"

enum { LOG_DEFAULT = 500, LOG_MAX = 5000, PAGE_MAX_BYTES = 8 * 1024 * 1024 };

typedef struct dbk_page {
    dbk_engine *engine;
    dbk_buffer *out;
    dbk_json_parser *parser; /* looks whether data is JSON */
    dbk_upcaster *upcaster;  /* NULL: nothing to bring on */
    dbk_slice stream, type;
    uint64_t limit, count;
    size_t begin;
    uint64_t next; /* where the next page begins, 0: nowhere */
    bool reverse;
} dbk_page;

/* ---- one event */

static void put_optional(dbk_buffer *out, const char *name, dbk_slice text)
{
    if (text.size > 0) dbk_request_put_text(out, name, text);
}

/* What came from another device is data from outside: it may say JSON and be none. */
static void put_data(dbk_page *page, const dbk_event *event)
{
    const dbk_json_node *root;
    dbk_buffer *out = page->out;
    if (event->data.size == 0) return;
    dbk_result result = dbk_json_parse(page->parser, event->data, &root, NULL);
    if (result == DBK_NO_MEMORY) out->failed = true;
    if (result == DBK_OK) {
        dbk_buffer_put_text(out, ",\"data\":");
        dbk_json_put_minimal(out, root);
        return;
    }
    dbk_buffer_put_text(out, ",\"data_base64\":\"");
    dbk_base64_encode(out, event->data);
    dbk_buffer_put_u8(out, '"');
}

/* As the definition of today has it; what an upcast fails on is shown as it was written, with its version. */
static void put_event(dbk_page *page, const dbk_entry *entry, const dbk_event *written, uint64_t position,
                      uint32_t index)
{
    dbk_buffer *out = page->out;
    dbk_event brought = *written, *event = &brought;
    (void)(dbk_upcast_event(page->upcaster, entry->time_ms, event, NULL) == DBK_OK);
    char id[DBK_ENTRY_ID_TEXT_SIZE], time[DBK_TIME_TEXT_SIZE];
    dbk_entry_id_text(&entry->id, id);
    dbk_time_rfc3339(entry->time_ms, time);
    if (page->count++ > 0) dbk_buffer_put_u8(out, ',');
    dbk_buffer_printf(out, "{\"specversion\":\"1.0\",\"id\":\"%s.%u\",\"source\":\"daybook:%s\"", id, index,
                      page->engine->id_text);
    dbk_request_put_text(out, "type", event->type);
    dbk_request_put_text(out, "subject", event->stream);
    dbk_buffer_printf(out, ",\"time\":\"%s\"", time);
    dbk_request_put_text(out, "datacontenttype",
                         event->content_type.size ? event->content_type : dbk_slice_text("application/json"));
    put_data(page, event);
    dbk_request_put_u64(out, "position", position);
    dbk_request_put_u64(out, "index", index);
    dbk_request_put_u64(out, "streamversion",
                        position); /* an entry that names a stream gives it its position as version */
    dbk_request_put_u64(out, "typeversion", event->type_version);
    put_optional(out, "commandid", entry->command_id);
    put_optional(out, "actor", entry->actor);
    put_optional(out, "correlationid", entry->correlation);
    put_optional(out, "causationid", entry->causation);
    dbk_buffer_put_u8(out, '}');
}

static bool is_wanted(const dbk_page *page, const dbk_event *event)
{
    return (page->stream.size == 0 || dbk_slice_equal(page->stream, event->stream)) &&
           (page->type.size == 0 || dbk_slice_equal(page->type, event->type));
}

static uint64_t count_wanted(const dbk_page *page, const dbk_entry *entry, uint32_t *all)
{
    uint64_t count = 0;
    dbk_slice rest = entry->events;
    *all = 0;
    for (dbk_event event; dbk_event_next(&rest, &event); ++*all) count += is_wanted(page, &event);
    return count;
}

static void put_forward(dbk_page *page, const dbk_entry *entry, uint64_t position)
{
    dbk_slice rest = entry->events;
    uint32_t index = 0;
    for (dbk_event event; dbk_event_next(&rest, &event); index++)
        if (is_wanted(page, &event)) put_event(page, entry, &event, position, index);
}

/* Events are found from the first on only: where each begins is kept, and read from the last. */
static dbk_result put_backward(dbk_page *page, const dbk_entry *entry, uint64_t position, uint32_t count,
                               dbk_error *err)
{
    const dbk_port *port = page->engine->port;
    dbk_slice rest = entry->events, *begins = dbk_alloc_zero(port, count ? count : 1, sizeof *begins);
    dbk_event event;
    if (!begins) return dbk_fail(err, DBK_NO_MEMORY, "no memory for the answer");
    for (uint32_t i = 0; i < count; i++) {
        begins[i] = rest;
        (void)dbk_event_next(&rest, &event);
    }
    for (uint32_t i = count; i-- > 0;)
        if (dbk_event_next(&begins[i], &event) && is_wanted(page, &event)) put_event(page, entry, &event, position, i);
    dbk_free(port, begins);
    return DBK_OK;
}

/* *full: the page ends before this entry. */
static dbk_result put_entry(dbk_page *page, uint64_t position, dbk_slice origin, bool *full, dbk_error *err)
{
    dbk_entry entry;
    dbk_result result = dbk_entry_decode(origin, &entry, err);
    if (result != DBK_OK) return result;
    uint32_t all;
    uint64_t wanted = count_wanted(page, &entry, &all);
    *full = wanted > 0 && page->count > 0 &&
            (page->count + wanted > page->limit || page->out->size - page->begin > PAGE_MAX_BYTES);
    if (*full) {
        page->next = position;
        return DBK_OK;
    }
    if (page->reverse) result = put_backward(page, &entry, position, all, err);
    else put_forward(page, &entry, position);
    if (result != DBK_OK) return result;
    return page->out->failed ? dbk_fail(err, DBK_NO_MEMORY, "no memory for the answer") : DBK_OK;
}

/* ---- which entries */

static dbk_result walk(dbk_page *page, const dbk_log_wish *wish, dbk_error *err)
{
    dbk_log_selection *selection = NULL;
    uint64_t position;
    dbk_slice origin;
    bool full = false;
    dbk_result result = dbk_log_selection_open(page->engine->log, wish, &selection, err);
    while (result == DBK_OK && !full) {
        result = dbk_log_selection_next(selection, &position, NULL, &origin, err);
        if (result == DBK_OK) result = put_entry(page, position, origin, &full, err);
    }
    dbk_log_selection_close(selection);
    return result == DBK_END ? DBK_OK : result;
}

dbk_result dbk_request_log(dbk_engine *engine, const dbk_json_node *request, dbk_buffer *out, dbk_error *err)
{
    uint64_t end = dbk_log_position(engine->log);
    int64_t from = 1, to = (int64_t)end, limit = LOG_DEFAULT, wait_ms = 0;
    dbk_page page = {.engine = engine, .out = out};
    dbk_log_wish wish = {0};
    dbk_result result = dbk_request_number(request, "from", 0, INT64_MAX, &from, err);
    if (result == DBK_OK) result = dbk_request_number(request, "to", 0, INT64_MAX, &to, err);
    if (result == DBK_OK) result = dbk_request_number(request, "limit", 1, LOG_MAX, &limit, err);
    if (result == DBK_OK) result = dbk_request_text(request, "stream", &page.stream, err);
    if (result == DBK_OK) result = dbk_request_text(request, "type", &page.type, err);
    if (result == DBK_OK) result = dbk_request_flag(request, "reverse", &wish.reverse, err);
    if (result == DBK_OK) result = dbk_request_time(request, "since", &wish.since_ms, err);
    if (result == DBK_OK)
        result = dbk_request_number(request, "wait_ms", 0, DBK_WAIT_MAX_MS, &wait_ms, err); /* over by now */
    if (result == DBK_OK && wait_ms > 0 && wish.reverse)
        result = dbk_fail(err, DBK_BAD_COMMAND, "what is to come is not read backward: 'wait_ms' with 'reverse'");
    if (result != DBK_OK) return result;
    if (from == 0) from = 1;
    if (to == 0 || (uint64_t)to > end) to = (int64_t)end;
    page.limit = (uint64_t)limit;
    page.parser = dbk_json_parser_new(engine->port);
    if (!page.parser) return dbk_fail(err, DBK_NO_MEMORY, "no memory for a request");
    result = dbk_upcaster_new(engine->port, engine->definition, &page.upcaster, err);
    if (result != DBK_OK) {
        dbk_json_parser_free(page.parser);
        return result;
    }
    dbk_buffer_put_text(out, ",\"events\":[");
    page.begin = out->size;
    page.reverse = wish.reverse;
    wish.first = (uint64_t)from;
    wish.last = (uint64_t)to;
    wish.stream = page.stream;
    wish.type = page.type;
    if (from <= to) result = walk(&page, &wish, err);
    dbk_buffer_put_u8(out, ']');
    dbk_request_put_u64(out, "position", end);
    if (page.next > 0) dbk_request_put_u64(out, "next", page.next);
    dbk_upcaster_free(page.upcaster);
    dbk_json_parser_free(page.parser);
    return result;
}
