/* Requests: what is asked of a store and changes nothing of it, "apply", which makes a command of an
 * entry of the inbox, and "undo" (docs/commands.md). Their form is checked here, before anything is looked up. */
#include "store/request.h"

enum { MEMBERS_MAX = 8 };

typedef struct dbk_request_form {
    const char *name;
    const char *may[MEMBERS_MAX];
    const char *must[2];
    dbk_request_fn answer;
    dbk_request_fn command; /* of one that writes: gives the whole receipt */
} dbk_request_form;

static const dbk_request_form forms[] = {
    {"get", {"table", "key", "namespace", "path"}, {NULL}, dbk_request_get, NULL},
    {"list", {"table", "prefix", "after", "limit"}, {"table"}, dbk_request_list, NULL},
    {"query",
     {"sql", "name", "args", "at", "at_time", "order_time", "explain", "model"},
     {NULL},
     dbk_request_query,
     NULL},
    {"changes", {"table", "from"}, {"table"}, dbk_request_changes, NULL},
    {"log", {"from", "to", "stream", "type", "since", "reverse", "limit", "wait_ms"}, {NULL}, dbk_request_log, NULL},
    {"inbox", {"all"}, {NULL}, dbk_request_inbox, NULL},
    {"apply", {"entry", "actor", "correlation", "causation", "wait"}, {"id", "entry"}, NULL, dbk_request_apply},
    {"undo",
     {"entry", "position", "of_correlation", "actor", "correlation", "causation", "wait"},
     {"id"},
     NULL,
     dbk_request_undo},
    {"status", {NULL}, {NULL}, dbk_request_status, NULL},
    {"fingerprint", {"at", "at_time", "order_time", "model", "recount"}, {NULL}, dbk_request_fingerprint, NULL},
    {"stats", {NULL}, {NULL}, dbk_request_stats, NULL},
    {"rebuild", {"model"}, {NULL}, dbk_request_rebuild, NULL},
    {"verify", {"depth"}, {NULL}, dbk_request_verify, NULL},
    {"replay", {"into", "at", "at_time", "order_time", "model"}, {"into"}, dbk_request_replay, NULL},
    {"history", {"table", "key", "limit"}, {"table", "key"}, dbk_request_history, NULL},
    {"explain", {"position"}, {"position"}, dbk_request_explain, NULL},
    {"diff", {"from", "to", "table", "limit"}, {NULL}, dbk_request_diff, NULL},
    {"upgrade", {"app", "dry_run", "accept"}, {"app"}, dbk_request_upgrade, NULL},
    {"models", {"model"}, {NULL}, dbk_request_models, NULL},
    {"model.retry", {"model"}, {"model"}, dbk_request_model_do, NULL},
    {"model.pause", {"model"}, {"model"}, dbk_request_model_do, NULL},
    {"model.resume", {"model"}, {"model"}, dbk_request_model_do, NULL},
    {"model.skip", {"model", "position", "skip"}, {"model"}, dbk_request_model_skip, NULL},
    {"hello", {NULL}, {NULL}, dbk_request_hello, NULL},
};

static const dbk_request_form *form_of(const dbk_json_node *request)
{
    const dbk_json_node *verb = request->kind == DBK_JSON_OBJECT ? dbk_json_member(request, "do") : NULL;
    if (verb && verb->kind != DBK_JSON_STRING) return NULL;
    for (size_t i = 0; verb && i < sizeof forms / sizeof *forms; i++)
        if (verb->text.size > 0 && verb->text.data[0] == (uint8_t)forms[i].name[0] &&
            dbk_json_text_is(verb, forms[i].name))
            return &forms[i];
    return NULL;
}

bool dbk_request_is(const dbk_json_node *request)
{
    return form_of(request) != NULL;
}

bool dbk_request_only_asks(const dbk_json_node *request)
{
    static const dbk_request_fn acting[] = {dbk_request_rebuild, dbk_request_upgrade, dbk_request_model_do,
                                            dbk_request_model_skip};
    const dbk_request_form *form = form_of(request);
    bool asks = form && !form->command;
    for (size_t i = 0; asks && i < sizeof acting / sizeof *acting; i++) asks = form->answer != acting[i];
    return asks;
}

/* ---- form */

static bool is_member(const dbk_request_form *form, dbk_slice name)
{
    if (dbk_slice_equal(name, dbk_slice_text("do")) || dbk_slice_equal(name, dbk_slice_text("id"))) return true;
    for (size_t i = 0; i < MEMBERS_MAX && form->may[i]; i++)
        if (dbk_slice_equal(name, dbk_slice_text(form->may[i]))) return true;
    return false;
}

static dbk_result unknown_member(const dbk_request_form *form, dbk_slice name, dbk_error *err)
{
    const char *all[MEMBERS_MAX + 2] = {"do", "id"};
    size_t count = 2;
    for (size_t i = 0; i < MEMBERS_MAX && form->may[i]; i++) all[count++] = form->may[i];
    const char *near = dbk_nearest(name, all, count);
    dbk_result result = dbk_fail(err, DBK_BAD_COMMAND, "'%.*s' is no member of '%s'",
                                 (int)(name.size < 128 ? name.size : 128), (const char *)name.data, form->name);
    if (near) dbk_error_hint(err, "did you mean '%s'?", near);
    return result;
}

static dbk_result check_form(const dbk_request_form *form, const dbk_json_node *request, dbk_error *err)
{
    const dbk_json_node *child = request + 1;
    for (uint32_t i = 0; i < request->count; i++, child = dbk_json_next(child))
        if (!is_member(form, child->name)) return unknown_member(form, child->name, err);
    for (size_t i = 0; i < 2 && form->must[i]; i++)
        if (!dbk_json_member(request, form->must[i]))
            return dbk_fail(err, DBK_BAD_COMMAND, "'%s' needs '%s'", form->name, form->must[i]);
    return DBK_OK;
}

/* ---- the answer */

static dbk_result answer(dbk_engine *engine, const dbk_json_node *request, dbk_slice id, dbk_buffer *out,
                         dbk_error *err)
{
    const dbk_request_form *form = form_of(request);
    if (!form) return dbk_fail(err, DBK_UNKNOWN_COMMAND, "it names no request");
    dbk_result result = check_form(form, request, err);
    if (result == DBK_OK) result = dbk_request_refresh(engine, err);
    if (result != DBK_OK || form->command) return result == DBK_OK ? form->command(engine, request, out, err) : result;
    dbk_buffer_put_u8(out, '{');
    if (id.size > 0) {
        dbk_buffer_put_text(out, "\"id\":");
        dbk_json_put_string(out, id);
        dbk_buffer_put_u8(out, ',');
    }
    dbk_buffer_put_text(out, "\"ok\":true");
    result = form->answer(engine, request, out, err);
    dbk_buffer_put_u8(out, '}');
    if (result == DBK_OK && out->failed) result = dbk_fail(err, DBK_NO_MEMORY, "no memory for the answer");
    return result;
}

dbk_result dbk_request_answer(dbk_engine *engine, const dbk_json_node *request, dbk_buffer *out, dbk_error *err)
{
    dbk_error error = {0};
    size_t begin = out->size;
    dbk_slice id = {NULL, 0};
    const dbk_json_node *sent = request->kind == DBK_JSON_OBJECT ? dbk_json_member(request, "id") : NULL;
    if (sent && sent->kind == DBK_JSON_STRING) id = sent->text;
    dbk_request_enter(engine);
    dbk_result result = answer(engine, request, id, out, &error);
    dbk_request_leave(engine);
    if (result == DBK_OK) return DBK_OK;
    if (out->size > begin) out->size = begin;
    if (id.size > 0 && !out->failed) { /* the caller does not know the id any more */
        error.code = result;
        dbk_receipt_refused(engine, id, &error, (dbk_slice){NULL, 0}, false, out);
        return DBK_OK;
    }
    if (err) *err = error;
    return result;
}

/* A hello reads nothing that a turn writes, so it waits for none. Whoever spells it at length gets the same
 * answer from the reading thread. */
bool dbk_engine_answer_at_once(dbk_engine *engine, dbk_slice json, dbk_buffer *out)
{
    static const char hello[] = "{\"do\":\"hello\"}";
    const dbk_json_node *root;
    if (!dbk_slice_equal(json, dbk_slice_of(hello, sizeof hello - 1)) || engine->reading) return false;
    dbk_json_parser *parser = dbk_json_parser_new(engine->port);
    bool good = parser && dbk_json_parse(parser, json, &root, NULL) == DBK_OK &&
                dbk_request_answer(engine, root, out, NULL) == DBK_OK;
    dbk_json_parser_free(parser);
    return good && !out->failed;
}

/* ---- helpers */

void dbk_request_put_receipt(dbk_buffer *out, const dbk_buffer *receipt)
{
    if (receipt->failed) out->failed = true;
    dbk_buffer_put_slice(out, dbk_buffer_slice(receipt));
}

dbk_result dbk_request_refresh(dbk_engine *engine, dbk_error *err)
{
    const dbk_port *port = engine->port;
    if (!engine->reading) return DBK_OK;
    port->mutex_lock(port->ctx, engine->turn);
    dbk_result result = dbk_log_refresh(engine->log, err);
    port->mutex_unlock(port->ctx, engine->turn);
    return result;
}

dbk_result dbk_request_table(dbk_engine *engine, const dbk_json_node *request, const dbk_table **table, dbk_error *err)
{
    const dbk_json_node *name = dbk_json_member(request, "table");
    const char *names[DBK_TABLES_MAX];
    size_t count = 0;
    if (!name || name->kind != DBK_JSON_STRING) return dbk_fail(err, DBK_BAD_COMMAND, "'table' must be text");
    *table = dbk_definition_table(engine->definition, name->text);
    if (*table) return DBK_OK;
    const dbk_definition *model = dbk_definition_model_with(engine->definition, name->text);
    if (model) {
        (void)dbk_fail(err, DBK_UNKNOWN_TABLE, "'%.*s' is of the async model '%s'",
                       (int)(name->text.size < 128 ? name->text.size : 128), (const char *)name->text.data,
                       model->model);
        dbk_error_hint(err, "its tables are asked with 'query'");
        return DBK_UNKNOWN_TABLE;
    }
    for (size_t i = 0; i < engine->definition->table_count && count < DBK_TABLES_MAX; i++)
        names[count++] = engine->definition->tables[i].name;
    const char *near = dbk_nearest(name->text, names, count);
    dbk_result result = dbk_fail(err, DBK_UNKNOWN_TABLE, "there is no table '%.*s'",
                                 (int)(name->text.size < 128 ? name->text.size : 128), (const char *)name->text.data);
    if (near) dbk_error_hint(err, "did you mean '%s'?", near);
    return result;
}

dbk_result dbk_request_number(const dbk_json_node *request, const char *name, int64_t low, int64_t high, int64_t *value,
                              dbk_error *err)
{
    const dbk_json_node *node = dbk_json_member(request, name);
    int64_t number;
    if (!node || node->kind == DBK_JSON_NULL) return DBK_OK;
    if (node->kind != DBK_JSON_NUMBER || !dbk_json_is_integer(node, &number) || number < low || number > high)
        return dbk_fail(err, DBK_BAD_COMMAND, "'%s' must be an integer from %lld to %lld", name, (long long)low,
                        (long long)high);
    *value = number;
    return DBK_OK;
}

dbk_result dbk_request_text(const dbk_json_node *request, const char *name, dbk_slice *text, dbk_error *err)
{
    const dbk_json_node *node = dbk_json_member(request, name);
    *text = (dbk_slice){NULL, 0};
    if (!node || node->kind == DBK_JSON_NULL) return DBK_OK;
    if (node->kind != DBK_JSON_STRING) return dbk_fail(err, DBK_BAD_COMMAND, "'%s' must be text", name);
    *text = node->text;
    return DBK_OK;
}

/* Milliseconds since 1970, or a time in words; after 1970 began, as 0 in a moment means that none is given. */
static dbk_result take_time(const dbk_json_node *node, const char *name, int64_t *time_ms, dbk_error *err)
{
    bool is_time = node->kind == DBK_JSON_STRING ? dbk_time_parse(node->text, time_ms)
                                                 : node->kind == DBK_JSON_NUMBER && dbk_json_is_integer(node, time_ms);
    if (is_time && *time_ms > 0) return DBK_OK;
    (void)dbk_fail(err, DBK_BAD_COMMAND, "'%s' must be a time", name);
    dbk_error_hint(err, "write it as 2026-11-21T04:05:06Z");
    return DBK_BAD_COMMAND;
}

dbk_result dbk_request_time(const dbk_json_node *request, const char *name, int64_t *time_ms, dbk_error *err)
{
    const dbk_json_node *node = dbk_json_member(request, name);
    if (!node || node->kind == DBK_JSON_NULL) return DBK_OK;
    return take_time(node, name, time_ms, err);
}

dbk_result dbk_request_flag(const dbk_json_node *request, const char *name, bool *value, dbk_error *err)
{
    const dbk_json_node *node = dbk_json_member(request, name);
    if (!node || node->kind == DBK_JSON_NULL) return DBK_OK;
    if (node->kind != DBK_JSON_TRUE && node->kind != DBK_JSON_FALSE)
        return dbk_fail(err, DBK_BAD_COMMAND, "'%s' must be true or false", name);
    *value = node->kind == DBK_JSON_TRUE;
    return DBK_OK;
}

dbk_result dbk_request_moment(const dbk_json_node *request, dbk_moment *at, bool *given, dbk_error *err)
{
    const dbk_json_node *point = dbk_json_member(request, "at"), *time = dbk_json_member(request, "at_time");
    const dbk_json_node *order = dbk_json_member(request, "order_time");
    int64_t position = 0;
    dbk_result result = DBK_OK;
    *at = (dbk_moment){0};
    *given = point || time || order;
    if (point && time) {
        (void)dbk_fail(err, DBK_BAD_COMMAND, "'at' and 'at_time' name two moments");
        dbk_error_hint(err, "give one of them");
        return DBK_BAD_COMMAND;
    }
    if (point && point->kind == DBK_JSON_STRING) time = point;
    else if (point) result = dbk_request_number(request, "at", 1, INT64_MAX, &position, err);
    at->position = (uint64_t)position;
    if (result == DBK_OK && time) result = take_time(time, time == point ? "at" : "at_time", &at->time_ms, err);
    if (result == DBK_OK && order) result = take_time(order, "order_time", &at->order_time_ms, err);
    return result;
}

void dbk_request_put_u64(dbk_buffer *out, const char *name, uint64_t value)
{
    dbk_buffer_printf(out, ",\"%s\":%llu", name, (unsigned long long)value);
}

void dbk_request_put_text(dbk_buffer *out, const char *name, dbk_slice text)
{
    dbk_buffer_printf(out, ",\"%s\":", name);
    dbk_json_put_string(out, text);
}

void dbk_request_put_hex(dbk_buffer *out, const char *name, dbk_slice bytes)
{
    char text[2 * 64 + 1];
    if (bytes.size > 64) bytes.size = 64;
    dbk_hex_encode(bytes, text);
    dbk_buffer_printf(out, ",\"%s\":\"%s\"", name, text);
}

void dbk_request_put_events(dbk_buffer *out, dbk_slice events)
{
    bool first = true;
    dbk_buffer_put_text(out, ",\"events\":[");
    for (dbk_event event; dbk_event_next(&events, &event); first = false) {
        dbk_buffer_put_text(out, first ? "{\"type\":" : ",{\"type\":");
        dbk_json_put_string(out, event.type);
        dbk_request_put_text(out, "subject", event.stream);
        dbk_buffer_put_u8(out, '}');
    }
    dbk_buffer_put_u8(out, ']');
}

void dbk_request_put_cursor(dbk_engine *engine, uint64_t position, dbk_buffer *out)
{
    dbk_request_put_text(out, "timeline", dbk_slice_text(engine->identity.timeline));
    dbk_request_put_u64(out, "generation", engine->identity.generation);
    dbk_request_put_u64(out, "position", position);
}
