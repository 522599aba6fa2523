/* What a subscription asks on the command socket: where the store is, and what a table went through. */
#include <stdio.h>

#include "bus/client_changes.h"

static bool read_three(const dbk_json_node *timeline, const dbk_json_node *generation, const dbk_json_node *position,
                       dbk_cursor *cursor)
{
    int64_t g, p;
    if (!timeline || timeline->kind != DBK_JSON_STRING || timeline->text.size >= DBK_TIMELINE_SIZE) return false;
    if (!generation || !dbk_json_is_integer(generation, &g) || g < 0) return false;
    if (!position || !dbk_json_is_integer(position, &p) || p < 0) return false;
    *cursor = (dbk_cursor){.generation = (uint64_t)g, .position = (uint64_t)p};
    if (timeline->text.size) memcpy(cursor->timeline, timeline->text.data, timeline->text.size);
    return true;
}

bool dbk_cursor_read(const dbk_json_node *root, dbk_cursor *cursor)
{
    return read_three(dbk_json_member(root, "timeline"), dbk_json_member(root, "generation"),
                      dbk_json_member(root, "position"), cursor);
}

/* [timeline, generation, position], as a caller kept it. */
static dbk_result read_given(dbk_client_subscription *s, const char *from, dbk_error *err)
{
    const dbk_json_node *root;
    dbk_result result = dbk_json_parse(s->parser, dbk_slice_text(from), &root, err);
    if (result != DBK_OK) return dbk_error_wrap(err, result, "a cursor");
    const dbk_json_node *first = root + 1;
    bool is_three = root->kind == DBK_JSON_ARRAY && root->count == 3;
    if (is_three && read_three(first, dbk_json_next(first), dbk_json_next(dbk_json_next(first)), &s->start))
        return DBK_OK;
    return dbk_fail(err, DBK_BAD_COMMAND, "a cursor must be [timeline, generation, position]");
}

static dbk_result ask(dbk_client_subscription *s, dbk_buffer *request, dbk_text *answer, const dbk_json_node **root,
                      dbk_error *err)
{
    dbk_result result = request->failed ? dbk_fail(err, DBK_NO_MEMORY, "no memory for a request") : DBK_OK;
    if (result == DBK_OK)
        result =
            dbk_client_call_until(s->client, (const char *)request->data, request->size, &s->stopping, answer, err);
    if (result == DBK_OK)
        result = dbk_json_parse(s->answer_parser, dbk_slice_of(answer->data, answer->size), root, err);
    if (result == DBK_OK) result = dbk_answer_result(*root, err);
    dbk_buffer_release(request);
    return result;
}

dbk_result dbk_changes_hello(dbk_client_subscription *s, const char *from,
                             dbk_track *(*track_of)(dbk_client_subscription *s, dbk_slice table), dbk_error *err)
{
    const dbk_json_node *root;
    dbk_buffer request;
    dbk_text answer = {0};
    dbk_buffer_init(&request, s->client->port);
    dbk_buffer_put_text(&request, "{\"do\":\"hello\"}");
    dbk_result result = ask(s, &request, &answer, &root, err);
    const dbk_json_node *tables = result == DBK_OK ? dbk_json_member(root, "tables") : NULL;
    if (result == DBK_OK && (!tables || tables->kind != DBK_JSON_ARRAY || !dbk_cursor_read(root, &s->start)))
        result = dbk_fail(err, DBK_INTERNAL, "a hello without cursor and tables");
    if (result == DBK_OK && from) result = read_given(s, from, err);
    bool is_known = !s->table;
    const dbk_json_node *table = tables ? tables + 1 : NULL;
    for (uint32_t i = 0; result == DBK_OK && i < tables->count; i++, table = dbk_json_next(table)) {
        if (s->table && !dbk_json_text_is(table, s->table)) continue;
        is_known = true;
        if (!track_of(s, table->text)) result = dbk_fail(err, DBK_NO_MEMORY, "no memory for a subscription");
    }
    dbk_text_free(&answer);
    if (result == DBK_OK && !is_known) result = dbk_fail(err, DBK_UNKNOWN_TABLE, "there is no table '%s'", s->table);
    return result;
}

dbk_result dbk_changes_ask(dbk_client_subscription *s, const char *table, const dbk_cursor *from, dbk_text *answer,
                           const dbk_json_node **root, dbk_error *err)
{
    dbk_buffer request;
    dbk_buffer_init(&request, s->client->port);
    dbk_buffer_put_text(&request, "{\"do\":\"changes\",\"table\":");
    dbk_json_put_string(&request, dbk_slice_text(table));
    dbk_buffer_put_text(&request, ",\"from\":[");
    dbk_json_put_string(&request, dbk_slice_text(from->timeline));
    dbk_buffer_printf(&request, ",%llu,%llu]}", (unsigned long long)from->generation,
                      (unsigned long long)from->position);
    return ask(s, &request, answer, root, err);
}
