/* Rows that hold settings (app.json `settings`), judged as documents: whoever writes such a row, by `set`, put, patch
 * or a command of the app, leaves a document that `set` would have left. */
#include "projector/rows/internal.h"

#include "projector/json_schema.h"
#include "projector/rules.h"

static bool is_in(const dbk_setting_rule *rule, const dbk_table *table)
{
    return rule->table == table && rule->key >= 0 && rule->value >= 0;
}

bool dbk_row_holds_settings(const dbk_definition *definition, const dbk_table *table)
{
    for (size_t i = 0; i < definition->app->setting_count; i++)
        if (is_in(&definition->app->settings[i], table)) return true;
    return false;
}

/* Encoded and decoded again: 1 and 1.0 are one key. */
static dbk_result is_fixed(dbk_decision *change, const dbk_column *column, const dbk_json_node *fixed, dbk_slice part,
                           bool *same, dbk_error *err)
{
    dbk_buffer encoded, decoded;
    dbk_slice rest;

    dbk_buffer_init(&encoded, change->model->port);
    dbk_buffer_init(&decoded, change->model->port);
    *same = false;
    dbk_result result = fixed ? dbk_key_part_put(change->table, column, fixed, &encoded, err) : DBK_OK;
    rest = dbk_buffer_slice(&encoded);
    if (result == DBK_SCHEMA) result = DBK_OK; /* no row has such a key */
    else if (fixed && result == DBK_OK)
        *same = dbk_key_next(&rest, &decoded) && dbk_slice_equal(dbk_buffer_slice(&decoded), part);
    if (result == DBK_OK && (encoded.failed || decoded.failed)) result = dbk_row_no_memory(err);
    dbk_buffer_release(&encoded);
    dbk_buffer_release(&decoded);
    return result;
}

/* A row that the rule may mean. */
typedef struct place {
    const dbk_setting_rule *rule;
    dbk_buffer name;          /* of the namespace */
    dbk_buffer value, member; /* for the variable; the member's, with `where` */
    dbk_buffer text;
} place;

/* The part of the key for a column; false: it is none, or there is no memory. */
static bool part_of(const dbk_decision *change, uint16_t column, dbk_slice *text)
{
    dbk_slice rest = change->key;
    dbk_buffer *part = &change->model->work->part;

    for (uint16_t i = 0; i < change->table->key_count; i++) {
        if (!dbk_key_next(&rest, part)) return false;
        *text = dbk_buffer_slice(part);
        if (change->table->key_columns[i] == column) return true;
    }
    return false;
}

/* What the key has in place of the variable; of a rule without one nothing. False: the row is not of the rule. */
static dbk_result find_value(dbk_decision *change, place *p, bool *is, dbk_error *err)
{
    const dbk_setting_rule *rule = p->rule;
    const dbk_json_node *where, *member;
    dbk_slice text = {NULL, 0}, value = {NULL, 0};
    dbk_result result;

    *is = rule->variable == NULL;
    if (*is) return DBK_OK;
    if (!rule->where) {
        *is = part_of(change, (uint16_t)rule->key, &text) &&
              dbk_setting_value_in(rule, rule->row ? rule->row : rule->name, text, &value);
        dbk_buffer_put_slice(&p->value, value);
        return DBK_OK;
    }
    result = dbk_row_judged_parse(change->model, dbk_slice_text(rule->where), &where, err);
    member = result == DBK_OK ? dbk_json_child(where) : NULL;
    for (uint32_t i = 0; member && !*is && i < where->count; i++, member = dbk_json_next(member)) {
        int column = dbk_table_column(change->table, member->name);
        dbk_buffer_clear(&p->text);
        dbk_buffer_put_slice(&p->text, member->text);
        if (member->kind != DBK_JSON_STRING || column < 0 || !dbk_buffer_text(&p->text)) continue;
        if (!strstr((const char *)p->text.data, rule->variable)) continue;
        *is = part_of(change, (uint16_t)column, &text) &&
              dbk_setting_value_in(rule, (const char *)p->text.data, text, &value);
        if (*is) dbk_buffer_put_slice(&p->value, value);
    }
    return result;
}

/* A namespace with that very name comes before templates. */
static bool is_named(const dbk_decision *change, place *p)
{
    dbk_slice value;

    dbk_setting_fill(p->rule, p->rule->name, dbk_buffer_slice(&p->value), &p->name);
    return dbk_definition_setting(change->model->definition, dbk_buffer_slice(&p->name), &value) == p->rule;
}

/* *is: the row is the namespace's, or, with `where`, that of the member. */
static dbk_result is_row_of(dbk_decision *change, place *p, bool *is, dbk_error *err)
{
    const dbk_setting_rule *rule = p->rule;
    const dbk_table *table = change->table;
    const dbk_json_node *where = NULL;
    dbk_buffer *part = &change->model->work->part;
    dbk_slice rest = change->key;
    dbk_result result = find_value(change, p, is, err);

    if (result != DBK_OK || !*is) return result;
    *is = is_named(change, p);
    dbk_buffer_clear(&p->text);
    dbk_setting_fill(rule,
                     rule->where ? rule->where
                     : rule->row ? rule->row
                                 : rule->name,
                     dbk_buffer_slice(&p->value), &p->text);
    if (p->text.failed || p->name.failed || p->value.failed) return dbk_row_no_memory(err);
    if (rule->where) result = dbk_row_judged_parse(change->model, dbk_buffer_slice(&p->text), &where, err);
    for (uint16_t i = 0; result == DBK_OK && *is && i < table->key_count; i++) {
        const dbk_column *column = &table->columns[table->key_columns[i]];
        if (!dbk_key_next(&rest, part)) return dbk_row_bad_key(change->model, table, change->key, err);
        dbk_slice text = dbk_buffer_slice(part);
        if (table->key_columns[i] != rule->key)
            result = is_fixed(change, column, dbk_json_member(where, column->name), text, is, err);
        else if (where) dbk_buffer_put_slice(&p->member, text);
        else *is = dbk_slice_equal(text, dbk_buffer_slice(&p->text));
    }
    return result == DBK_OK && p->member.failed ? dbk_row_no_memory(err) : result;
}

bool dbk_setting_has_null(const dbk_json_node *value)
{
    const dbk_json_node *child = dbk_json_child(value);
    if (value->kind == DBK_JSON_NULL) return true;
    for (uint32_t i = 0; value->kind == DBK_JSON_OBJECT && i < value->count; i++, child = dbk_json_next(child))
        if (dbk_setting_has_null(child)) return true;
    return false;
}

/* What needs no schema. `document` NULL: the row has no value, which is good where nobody says so. What stood in the
 * document before is not the fault of who patches it. */
static dbk_result judge_form(const dbk_decision *change, const place *p, const dbk_json_node *document, dbk_error *err)
{
    const dbk_setting_rule *rule = p->rule;
    dbk_slice name = dbk_buffer_slice(&p->name);
    bool sent = change->model->work->values[rule->value] != NULL, is_put = strcmp(change->op, "put") == 0;

    if (!rule->where && (document ? document->kind != DBK_JSON_OBJECT : sent))
        return dbk_fail(err, DBK_SCHEMA, "the settings '%.*s' are an object", DBK_SLICE_ARG(name));
    if (!sent || (document && (!is_put || !dbk_setting_has_null(document)))) return DBK_OK;
    (void)dbk_fail(err, DBK_SCHEMA, "settings '%.*s': null is no value of a setting", DBK_SLICE_ARG(name));
    dbk_error_hint(err, "leave it out: then its default counts");
    return DBK_SCHEMA;
}

static dbk_result judge_row(dbk_decision *change, const place *p, dbk_slice row, dbk_error *err)
{
    const dbk_setting_rule *rule = p->rule;
    const dbk_definition *definition = change->model->definition;
    const dbk_json_schema *schema =
        rule->schema ? dbk_definition_schema(definition, dbk_slice_text(rule->schema)) : NULL;
    const dbk_json_node *root, *document;
    dbk_buffer text;

    dbk_result result = dbk_row_judged_parse(change->model, row, &root, err);
    if (result == DBK_BAD_JSON) return dbk_error_wrap(err, DBK_SCHEMA, "settings '%s'", rule->name);
    if (result != DBK_OK) return result;
    document = dbk_json_member(root, change->table->columns[rule->value].name);
    if (document && document->kind == DBK_JSON_NULL) document = NULL;
    result = judge_form(change, p, document, err);
    if (result != DBK_OK || !schema || !document) return result;
    dbk_buffer_init(&text, change->model->port);
    if (rule->where) {
        dbk_buffer_put_u8(&text, '{');
        dbk_json_put_string(&text, dbk_buffer_slice(&p->member));
        dbk_buffer_put_u8(&text, ':');
    }
    dbk_json_put_minimal(&text, document);
    if (rule->where) dbk_buffer_put_u8(&text, '}');
    if (text.failed) result = dbk_row_no_memory(err);
    else
        result = dbk_row_judge_text(change->model, change->draft, schema, dbk_buffer_slice(&text), "settings",
                                    dbk_buffer_slice(&p->name), err);
    dbk_buffer_release(&text);
    return result;
}

dbk_result dbk_row_judge_settings(dbk_decision *change, dbk_slice row, dbk_error *err)
{
    const dbk_app *app = change->model->definition->app;
    dbk_result result = DBK_OK;
    place p = {.rule = NULL};
    dbk_buffer *buffers[] = {&p.name, &p.value, &p.member, &p.text};

    for (size_t k = 0; k < 4; k++) dbk_buffer_init(buffers[k], change->model->port);
    for (size_t i = 0; result == DBK_OK && i < app->setting_count; i++) {
        bool is = false;
        p.rule = &app->settings[i];
        if (!is_in(p.rule, change->table)) continue;
        for (size_t k = 0; k < 4; k++) dbk_buffer_clear(buffers[k]);
        result = is_row_of(change, &p, &is, err);
        if (result == DBK_OK && is) result = judge_row(change, &p, row, err);
    }
    for (size_t k = 0; k < 4; k++) dbk_buffer_release(buffers[k]);
    return result;
}
