/* {"do":"get","namespace","path"}: a setting as it counts: what is set, else its default. */
#include "store/request.h"
#include "store/settings.h"

static const dbk_reader_limits limits = {
    .time_ms = 250, .memory_mib = DBK_QUERY_MAX_MIB, .answer_bytes = 16 * 1024 * 1024, .rows = 100000};

typedef struct dbk_setting_asked {
    dbk_engine *engine;
    dbk_setting_place place;
    dbk_json_parser *one, *other;
    dbk_buffer sql, args, rows, document, merged;
    uint64_t position;
} dbk_setting_asked;

static dbk_result no_memory(dbk_error *err)
{
    return dbk_fail(err, DBK_NO_MEMORY, "no memory for a setting");
}

static dbk_result ask(dbk_setting_asked *a, dbk_error *err)
{
    const dbk_json_node *args;
    dbk_lent_reader lent;
    if (a->sql.failed || a->args.failed) return no_memory(err);
    dbk_result result = dbk_json_parse(a->one, dbk_buffer_slice(&a->args), &args, err);
    if (result == DBK_OK) result = dbk_reader_borrow(a->engine, &lent, err);
    if (result != DBK_OK) return result;
    dbk_buffer_put_u8(&a->rows, '{');
    result = dbk_reader_query(lent.reader, dbk_buffer_slice(&a->sql), args, &limits, &a->rows, err);
    dbk_buffer_put_u8(&a->rows, '}');
    dbk_reader_give_back(a->engine, &lent);
    return result == DBK_OK && a->rows.failed ? no_memory(err) : result;
}

/* What is stored, as the document of the namespace or of the member; empty: nothing. */
static dbk_result put_stored(dbk_setting_asked *a, dbk_error *err)
{
    const dbk_json_node *root;
    dbk_result result = dbk_json_parse(a->one, dbk_buffer_slice(&a->rows), &root, err);
    if (result != DBK_OK) return result;
    const dbk_json_node *rows = dbk_json_member(root, "rows"), *row = rows + 1,
                        *position = dbk_json_member(root, "position");
    int64_t at = 0;
    if (dbk_json_is_integer(position, &at)) a->position = (uint64_t)at;
    bool all = a->place.of_members && a->place.member.size == 0;
    if (all) dbk_buffer_put_u8(&a->document, '{');
    for (uint32_t i = 0; i < rows->count; i++, row = dbk_json_next(row)) {
        const dbk_json_node *value = row + 1, *name = dbk_json_next(value);
        if (all) {
            if (i) dbk_buffer_put_u8(&a->document, ',');
            dbk_json_put_string(&a->document, name->text);
            dbk_buffer_put_u8(&a->document, ':');
        }
        dbk_json_put_minimal(&a->document, value);
    }
    if (all) dbk_buffer_put_u8(&a->document, '}');
    return a->document.failed ? no_memory(err) : DBK_OK;
}

/* The defaults with what is stored laid over them. */
static dbk_result merge(dbk_setting_asked *a, const dbk_json_node **merged, bool *is_set, dbk_error *err)
{
    const dbk_json_node *stored = NULL, *defaults = NULL;
    dbk_result result = DBK_OK;
    *merged = NULL;
    if (a->document.size) result = dbk_json_parse(a->one, dbk_buffer_slice(&a->document), &stored, err);
    if (result == DBK_OK && a->place.rule->defaults)
        result = dbk_json_parse(a->other, dbk_slice_text(a->place.rule->defaults), &defaults, err);
    if (result != DBK_OK) return result;
    if (stored && stored->kind == DBK_JSON_NULL) stored = NULL; /* a row without a value sets nothing */
    if (defaults && a->place.member.size) {
        dbk_setting_place first = {.parts = {a->place.member}, .count = 1};
        defaults = dbk_setting_at(defaults, &first);
    }
    *is_set = stored && dbk_setting_at(stored, &a->place);
    if (!stored && !defaults) return DBK_OK;
    if (stored && defaults) dbk_json_merge_patch(&a->merged, defaults, stored);
    else dbk_json_put_minimal(&a->merged, stored ? stored : defaults);
    if (a->merged.failed) return no_memory(err);
    return dbk_json_parse(a->one, dbk_buffer_slice(&a->merged), merged, err);
}

/* ---- the rows of a query */

static dbk_result put_rows(dbk_json_parser *parser, dbk_slice answer, dbk_buffer *out, uint64_t *position,
                           dbk_error *err)
{
    const dbk_json_node *root;
    int64_t at = 0;
    dbk_result result = dbk_json_parse(parser, answer, &root, err);
    if (result != DBK_OK) return result;
    const dbk_json_node *columns = dbk_json_member(root, "columns"), *rows = dbk_json_member(root, "rows"),
                        *row = rows + 1;
    if (position && dbk_json_is_integer(dbk_json_member(root, "position"), &at)) *position = (uint64_t)at;
    dbk_buffer_put_u8(out, '[');
    for (uint32_t i = 0; i < rows->count; i++, row = dbk_json_next(row)) {
        const dbk_json_node *name = columns + 1, *value = row + 1;
        dbk_buffer_put_text(out, i ? ",{" : "{");
        for (uint32_t k = 0; k < columns->count; k++, name = dbk_json_next(name), value = dbk_json_next(value)) {
            if (k) dbk_buffer_put_u8(out, ',');
            dbk_json_put_string(out, name->text);
            dbk_buffer_put_u8(out, ':');
            dbk_json_put_minimal(out, value);
        }
        dbk_buffer_put_u8(out, '}');
    }
    dbk_buffer_put_u8(out, ']');
    return out->failed ? no_memory(err) : DBK_OK;
}

dbk_result dbk_setting_rows(dbk_engine *engine, const dbk_setting_rule *rule, const dbk_reader_limits *most,
                            dbk_buffer *out, uint64_t *position, dbk_error *err)
{
    dbk_lent_reader lent;
    dbk_buffer answer;
    dbk_json_parser *parser = dbk_json_parser_new(engine->port);
    if (!parser) return no_memory(err);
    dbk_json_parser_any_count(parser); /* the limits are the reader's */
    dbk_buffer_init(&answer, engine->port);
    dbk_buffer_put_u8(&answer, '{');
    dbk_result result = dbk_reader_borrow(engine, &lent, err);
    if (result == DBK_OK) {
        result = dbk_reader_named(lent.reader, dbk_slice_text(rule->query->name), NULL, most, &answer, err);
        dbk_reader_give_back(engine, &lent);
    }
    dbk_buffer_put_u8(&answer, '}');
    if (result == DBK_OK && answer.failed) result = no_memory(err);
    if (result == DBK_OK) result = put_rows(parser, dbk_buffer_slice(&answer), out, position, err);
    dbk_buffer_release(&answer);
    dbk_json_parser_free(parser);
    return result;
}

static dbk_result answer_rows(dbk_setting_asked *a, dbk_buffer *out, dbk_error *err)
{
    if (a->place.count > 0) {
        (void)dbk_fail(err, DBK_BAD_COMMAND, "'%s' shows the rows of a query: no path leads into them",
                       a->place.rule->name);
        dbk_error_hint(err, "leave 'path' out");
        return DBK_BAD_COMMAND;
    }
    dbk_buffer_put_text(out, ",\"value\":");
    dbk_result result = dbk_setting_rows(a->engine, a->place.rule, &limits, out, &a->position, err);
    dbk_buffer_put_text(out, ",\"set\":false");
    dbk_request_put_u64(out, "position", a->position);
    return result;
}

static dbk_result answer(dbk_setting_asked *a, const dbk_json_node *request, dbk_buffer *out, dbk_error *err)
{
    const dbk_json_node *merged, *value;
    bool is_set = false;
    dbk_result result = dbk_setting_place_of(a->engine, dbk_json_member(request, "namespace"),
                                             dbk_json_member(request, "path"), &a->place, err);
    if (result == DBK_OK && a->place.rule->query) return answer_rows(a, out, err);
    if (result == DBK_OK) dbk_setting_put_select(&a->place, &a->sql, &a->args);
    if (result == DBK_OK) result = ask(a, err);
    if (result == DBK_OK) result = put_stored(a, err);
    if (result == DBK_OK) result = merge(a, &merged, &is_set, err);
    if (result != DBK_OK) return result;
    value = merged ? dbk_setting_at(merged, &a->place) : NULL;
    if (!value)
        return dbk_fail(err, DBK_NOT_FOUND, "nothing is set there in '%.*s', and it has no default",
                        DBK_SLICE_ARG(a->place.name));
    dbk_buffer_put_text(out, ",\"value\":");
    dbk_json_put_minimal(out, value);
    dbk_buffer_printf(out, ",\"set\":%s", is_set ? "true" : "false");
    dbk_request_put_u64(out, "position", a->position);
    return DBK_OK;
}

dbk_result dbk_request_setting(dbk_engine *engine, const dbk_json_node *request, dbk_buffer *out, dbk_error *err)
{
    dbk_setting_asked a = {
        .engine = engine, .one = dbk_json_parser_new(engine->port), .other = dbk_json_parser_new(engine->port)};
    dbk_buffer *buffers[] = {&a.sql, &a.args, &a.rows, &a.document, &a.merged};
    for (size_t i = 0; i < 5; i++) dbk_buffer_init(buffers[i], engine->port);
    dbk_result result = a.one && a.other ? answer(&a, request, out, err) : no_memory(err);
    for (size_t i = 0; i < 5; i++) dbk_buffer_release(buffers[i]);
    dbk_json_parser_free(a.one);
    dbk_json_parser_free(a.other);
    return result;
}

dbk_result dbk_setting_stored(dbk_engine *engine, const dbk_setting_rule *rule, const char *name, dbk_buffer *out,
                              dbk_error *err)
{
    dbk_setting_asked a = {.engine = engine, .one = dbk_json_parser_new(engine->port)};
    dbk_buffer *buffers[] = {&a.sql, &a.args, &a.rows, &a.document};
    a.place.port = engine->port;
    a.place.rule = rule;
    a.place.name = dbk_slice_text(name);
    if (rule->variable) (void)dbk_setting_value_in(rule, rule->name, a.place.name, &a.place.value);
    a.place.of_members = rule->where != NULL;
    for (size_t i = 0; i < 4; i++) dbk_buffer_init(buffers[i], engine->port);
    dbk_setting_put_select(&a.place, &a.sql, &a.args);
    dbk_result result = a.one ? ask(&a, err) : no_memory(err);
    if (result == DBK_OK) result = put_stored(&a, err);
    if (result == DBK_OK) dbk_buffer_put_slice(out, dbk_buffer_slice(&a.document));
    if (result == DBK_OK && out->failed) result = no_memory(err);
    for (size_t i = 0; i < 4; i++) dbk_buffer_release(buffers[i]);
    dbk_json_parser_free(a.one);
    return result;
}

/* ---- the namespaces of a template */

/* The key of a row is what stands before and behind the variable in `row`, with a value between: '/' and '{' are the
 * characters beside those that begin one. */
static void put_names_query(dbk_setting_asked *a, size_t most)
{
    const dbk_setting_rule *rule = a->place.rule;
    const char *pattern = rule->row ? rule->row : rule->name, *at = strstr(pattern, rule->variable);
    const char *key = rule->table->columns[rule->key].name;
    dbk_slice head = dbk_slice_of(pattern, (size_t)(at - pattern));
    dbk_buffer_printf(&a->sql,
                      "SELECT \"%s\" AS name FROM \"%s\" WHERE \"%s\" > :head || '/' AND \"%s\" < :head || '{' AND "
                      "substr(\"%s\", length(:head) + 1, length(\"%s\") - length(:head) - length(:tail)) "
                      "NOT GLOB '*[^-A-Za-z0-9_.]*' AND substr(\"%s\", length(\"%s\") - length(:tail) + 1) = :tail "
                      "ORDER BY 1 LIMIT %zu",
                      key, rule->table->name, key, key, key, key, key, key, most);
    dbk_buffer_put_text(&a->args, "{\"head\":");
    dbk_json_put_string(&a->args, head);
    dbk_buffer_put_text(&a->args, ",\"tail\":");
    dbk_json_put_string(&a->args, dbk_slice_text(at + strlen(rule->variable)));
    dbk_buffer_put_u8(&a->args, '}');
}

static dbk_result put_names(dbk_setting_asked *a, dbk_buffer *out, dbk_error *err)
{
    const dbk_setting_rule *rule = a->place.rule;
    const dbk_json_node *root;
    dbk_slice value;
    dbk_result result = dbk_json_parse(a->one, dbk_buffer_slice(&a->rows), &root, err);
    if (result != DBK_OK) return result;
    const dbk_json_node *rows = dbk_json_member(root, "rows"), *row = rows + 1;
    for (uint32_t i = 0; i < rows->count; i++, row = dbk_json_next(row)) {
        dbk_slice key = row[1].text;
        if (!dbk_setting_value_in(rule, rule->row ? rule->row : rule->name, key, &value)) continue;
        dbk_setting_fill(rule, rule->name, value, out);
        dbk_buffer_put_u8(out, 0);
    }
    return out->failed ? no_memory(err) : DBK_OK;
}

dbk_result dbk_setting_names(dbk_engine *engine, const dbk_setting_rule *rule, size_t most, dbk_buffer *out,
                             dbk_error *err)
{
    dbk_setting_asked a = {.engine = engine, .one = dbk_json_parser_new(engine->port)};
    dbk_buffer *buffers[] = {&a.sql, &a.args, &a.rows};
    a.place.rule = rule;
    for (size_t i = 0; i < 3; i++) dbk_buffer_init(buffers[i], engine->port);
    put_names_query(&a, most);
    dbk_result result = a.one ? ask(&a, err) : no_memory(err);
    if (result == DBK_OK) result = put_names(&a, out, err);
    for (size_t i = 0; i < 3; i++) dbk_buffer_release(buffers[i]);
    dbk_json_parser_free(a.one);
    return result;
}
