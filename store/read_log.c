/* The log as daybook.h reads it: page by page, to its end or on as it grows. */
#include <stdatomic.h>

#include "store/handle.h"

enum { LOG_PAGE = 500, WAIT_MS = 30000 };

/* Hands out the events of one page. *next 0: that was the last one, or `each` had enough, which *more says. */
static dbk_result hand_out_events(const dbk_json_node *root, dbk_event_fn each, void *arg, uint64_t *next, bool *more,
                                  dbk_error *err)
{
    const dbk_json_node *events = dbk_json_member(root, "events"), *follow = dbk_json_member(root, "next");
    int64_t position = 0;
    *next = 0;
    *more = true;
    if (!events || events->kind != DBK_JSON_ARRAY) return dbk_fail(err, DBK_INTERNAL, "an answer without 'events'");
    dbk_buffer line;
    dbk_buffer_init(&line, dbk_port_system());
    const dbk_json_node *event = events + 1;
    dbk_result result = DBK_OK;
    for (uint32_t i = 0; *more && result == DBK_OK && i < events->count; i++, event = dbk_json_next(event)) {
        dbk_buffer_clear(&line);
        dbk_json_put_minimal(&line, event);
        if (!dbk_buffer_text(&line)) result = dbk_fail(err, DBK_NO_MEMORY, "no memory for an event");
        else *more = each(arg, (const char *)line.data, line.size);
    }
    dbk_buffer_release(&line);
    if (result == DBK_OK && *more && follow && dbk_json_is_integer(follow, &position) && position > 0)
        *next = (uint64_t)position;
    return result;
}

static void put_log_request(dbk_buffer *request, const dbk_log_range *range, int wait_ms)
{
    dbk_buffer_clear(request);
    dbk_buffer_printf(request, "{\"do\":\"log\",\"from\":%llu,\"limit\":%d", (unsigned long long)range->from, LOG_PAGE);
    if (range->to) dbk_buffer_printf(request, ",\"to\":%llu", (unsigned long long)range->to);
    if (range->stream)
        dbk_buffer_put_text(request, ",\"stream\":"), dbk_json_put_string(request, dbk_slice_text(range->stream));
    if (range->type)
        dbk_buffer_put_text(request, ",\"type\":"), dbk_json_put_string(request, dbk_slice_text(range->type));
    if (range->since_ms) dbk_buffer_printf(request, ",\"since\":%lld", (long long)range->since_ms);
    if (range->reverse) dbk_buffer_put_text(request, ",\"reverse\":true");
    if (wait_ms) dbk_buffer_printf(request, ",\"wait_ms\":%d", wait_ms);
    dbk_buffer_put_u8(request, '}');
}

dbk_result dbk_read_log_range(dbk_store *store, const dbk_log_range *range, dbk_event_fn each, void *arg,
                              dbk_error *err)
{
    const dbk_port *port = dbk_port_system();
    dbk_json_parser *parser = dbk_json_parser_new(port);
    dbk_log_range rest = *range;
    if (!parser) return dbk_fail(err, DBK_NO_MEMORY, "no memory for a request");
    dbk_json_parser_any_count(parser); /* a page holds the events of one entry in any case */
    dbk_buffer request;
    dbk_buffer_init(&request, port);
    dbk_result result = DBK_OK;
    if (rest.from == 0) rest.from = 1;
    bool more;
    for (uint64_t next = rest.from; result == DBK_OK && next;) {
        const dbk_json_node *root;
        dbk_text answer = {0};
        put_log_request(&request, &rest, 0);
        result = dbk_store_ask(store, &request, NULL, parser, &answer, &root, err);
        if (result == DBK_OK) result = hand_out_events(root, each, arg, &next, &more, err);
        if (rest.reverse) rest.to = next;
        else rest.from = next;
        dbk_text_free(&answer);
    }
    dbk_json_parser_free(parser);
    dbk_buffer_release(&request);
    return result;
}

dbk_result dbk_read_log(dbk_store *store, uint64_t from, uint64_t to, const char *stream, const char *type,
                        dbk_event_fn each, void *arg, dbk_error *err)
{
    dbk_log_range range = {.from = from, .to = to, .stream = stream, .type = type};
    return dbk_read_log_range(store, &range, each, arg, err);
}

/* ---- and on */

struct dbk_follower {
    dbk_store *store;
    dbk_log_range rest; /* its texts are in `stream` and `type` */
    char *stream, *type;
    atomic_bool stopped;
    bool cancel; /* the store's, which ends a call by it */
};

dbk_result dbk_follower_new(dbk_store *store, const dbk_log_range *range, dbk_follower **out, dbk_error *err)
{
    const dbk_port *port = dbk_port_system();
    if (!store->ops->call_until) return dbk_fail(err, DBK_UNSUPPORTED, "this store cannot be followed");
    if (range->reverse) return dbk_fail(err, DBK_USAGE, "what is to come is not read backward");
    dbk_follower *follower = dbk_alloc_zero(port, 1, sizeof *follower);
    if (!follower) return dbk_fail(err, DBK_NO_MEMORY, "no memory to follow the log");
    follower->store = store;
    follower->rest = *range;
    if (range->stream) follower->rest.stream = follower->stream = dbk_copy_text(port, range->stream);
    if (range->type) follower->rest.type = follower->type = dbk_copy_text(port, range->type);
    if (follower->rest.from == 0) follower->rest.from = 1;
    if ((range->stream && !follower->stream) || (range->type && !follower->type)) {
        dbk_follower_free(follower);
        return dbk_fail(err, DBK_NO_MEMORY, "no memory to follow the log");
    }
    *out = follower;
    return DBK_OK;
}

void dbk_follower_free(dbk_follower *follower)
{
    if (!follower) return;
    const dbk_port *port = dbk_port_system();
    dbk_free(port, follower->stream);
    dbk_free(port, follower->type);
    dbk_free(port, follower);
}

void dbk_follower_stop(dbk_follower *follower)
{
    follower->stopped = true;
    follower->store->ops->cancel(follower->store->ctx, &follower->cancel);
}

/* One page, which may come after a wait, and from where the next one goes on; *more: there is one. */
static dbk_result follow_page(dbk_follower *follower, dbk_buffer *request, dbk_json_parser *parser, dbk_event_fn each,
                              void *arg, bool *more, dbk_error *err)
{
    const dbk_json_node *root, *node;
    dbk_log_range *rest = &follower->rest;
    dbk_text answer = {0};
    int64_t end = 0;
    uint64_t next = 0;
    put_log_request(request, rest, WAIT_MS);
    dbk_result result = dbk_store_ask(follower->store, request, &follower->cancel, parser, &answer, &root, err);
    if (result == DBK_OK && follower->stopped) *more = false;
    else if (result == DBK_OK) result = hand_out_events(root, each, arg, &next, more, err);
    if (result == DBK_OK && *more) {
        node = dbk_json_member(root, "position");
        if (node && dbk_json_is_integer(node, &end) && next == 0) next = (uint64_t)end + 1;
        if (next > rest->from) rest->from = next;
        if (rest->to && rest->from > rest->to) *more = false;
    }
    dbk_text_free(&answer);
    return result;
}

dbk_result dbk_follower_run(dbk_follower *follower, dbk_event_fn each, void *arg, dbk_error *err)
{
    const dbk_port *port = dbk_port_system();
    dbk_json_parser *parser = dbk_json_parser_new(port);
    if (!parser) return dbk_fail(err, DBK_NO_MEMORY, "no memory to follow the log");
    dbk_json_parser_any_count(parser);
    dbk_buffer request;
    dbk_error error = {0};
    dbk_buffer_init(&request, port);
    dbk_result result = DBK_OK;
    for (bool more = true; more && result == DBK_OK && !follower->stopped;)
        result = follow_page(follower, &request, parser, each, arg, &more, &error);
    dbk_buffer_release(&request);
    dbk_json_parser_free(parser);
    if (result == DBK_OK || follower->stopped) return DBK_OK; /* a call that was given up says that it has no answer */
    if (err) *err = error;
    return result;
}
