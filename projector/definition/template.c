/* Namespaces of a template: settings.<ns> with a variable in its name, as "plugin:{id}". What a namespace has in its
 * place is filled into `row`, the values of `where`, and `mirror`, so that each has a row and a file of its own. */
#include <ctype.h>

#include "projector/definition/app.h"

enum { VALUE_MAX_BYTES = 64, VARIABLE_MAX_BYTES = 32 };

/* ---- questions to a definition that was loaded */

static bool is_of_value(uint8_t c)
{
    return c < 0x80 && (isalnum(c) || c == '_' || c == '.' || c == '-');
}

static bool are_of_value(dbk_slice text)
{
    size_t i = 0;
    while (i < text.size && is_of_value(text.data[i])) i++;
    return i == text.size;
}

static bool may_begin(dbk_slice text)
{
    return text.size == 0 || (text.data[0] != '.' && text.data[0] != '-');
}

static dbk_slice head_of(const dbk_setting_rule *rule, const char *pattern)
{
    const char *at = strstr(pattern, rule->variable);
    return dbk_slice_of(pattern, at ? (size_t)(at - pattern) : strlen(pattern));
}

static dbk_slice tail_of(const dbk_setting_rule *rule, const char *pattern)
{
    const char *at = strstr(pattern, rule->variable);
    return dbk_slice_text(at ? at + strlen(rule->variable) : "");
}

bool dbk_setting_value_in(const dbk_setting_rule *rule, const char *pattern, dbk_slice text, dbk_slice *value)
{
    dbk_slice head = head_of(rule, pattern), tail = tail_of(rule, pattern);
    if (text.size <= head.size + tail.size) return false;
    *value = dbk_slice_of(text.data + head.size, text.size - head.size - tail.size);
    return dbk_slice_equal(dbk_slice_of(text.data, head.size), head) &&
           dbk_slice_equal(dbk_slice_of(value->data + value->size, tail.size), tail) &&
           value->size <= VALUE_MAX_BYTES && may_begin(*value) && are_of_value(*value);
}

bool dbk_setting_may_mean(const dbk_setting_rule *rule, dbk_slice name)
{
    dbk_slice head = head_of(rule, rule->name), tail = tail_of(rule, rule->name);
    return name.size >= head.size + tail.size && dbk_slice_equal(dbk_slice_of(name.data, head.size), head) &&
           dbk_slice_equal(dbk_slice_of(name.data + name.size - tail.size, tail.size), tail);
}

void dbk_setting_fill(const dbk_setting_rule *rule, const char *pattern, dbk_slice value, dbk_buffer *out)
{
    const char *at = rule->variable ? strstr(pattern, rule->variable) : NULL;
    for (; at; at = strstr(pattern, rule->variable)) {
        dbk_buffer_put(out, pattern, (size_t)(at - pattern));
        dbk_buffer_put_slice(out, value);
        pattern = at + strlen(rule->variable);
    }
    dbk_buffer_put_text(out, pattern);
}

const dbk_setting_rule *dbk_definition_setting(const dbk_definition *definition, dbk_slice name, dbk_slice *value)
{
    const dbk_app *app = definition->app;
    *value = (dbk_slice){NULL, 0};
    for (size_t i = 0; i < app->setting_count; i++)
        if (!app->settings[i].variable && dbk_slice_equal(dbk_slice_text(app->settings[i].name), name))
            return &app->settings[i];
    for (size_t i = 0; i < app->setting_count; i++)
        if (app->settings[i].variable && dbk_setting_value_in(&app->settings[i], app->settings[i].name, name, value))
            return &app->settings[i];
    return NULL;
}

/* ---- braces */

/* From the next brace on: "{id}", or what is none up to where it ends; empty: no brace is left. */
static dbk_slice next_piece(const char *text, bool *good)
{
    const char *at = text + strcspn(text, "{}");
    size_t size = *at ? 1 : 0;
    *good = false;
    if (*at != '{') return dbk_slice_of(at, size);
    size += strcspn(at + 1, "{}");
    if (at[size] == '}') size++;
    *good = size > 2 && size <= VARIABLE_MAX_BYTES && at[size - 1] == '}' && !isdigit((uint8_t)at[1]);
    for (size_t i = 1; i + 1 < size; i++)
        *good = *good && (islower((uint8_t)at[i]) || isdigit((uint8_t)at[i]) || at[i] == '_');
    return dbk_slice_of(at, size);
}

void dbk_app_name_setting(dbk_app_reading *a, const dbk_json_node *member, const char *path, dbk_setting_rule *rule)
{
    size_t count = 0;
    bool good;
    for (dbk_slice at = next_piece(rule->name, &good); at.size;
         at = next_piece((const char *)at.data + at.size, &good)) {
        if (!good) {
            dbk_app_wrong_name(a, member, "small letters in braces, as \"plugin:{id}\"", "'%s': '%.*s' is no variable",
                               path, DBK_SLICE_ARG(at));
            rule->variable = NULL;
            return;
        }
        if (count++ == 0) rule->variable = dbk_check_text(a->check, at);
    }
    if (count > 1) dbk_app_wrong_name(a, member, "one, as \"plugin:{id}\"", "'%s' has more than one variable", path);
}

/* How often a text has the variable; -1: what else is between braces is said. */
static int count_in(dbk_app_reading *a, const dbk_json_node *value, const char *path, const dbk_setting_rule *rule,
                    const char *text)
{
    int count = 0;
    bool good, wrong = false;
    for (dbk_slice at = next_piece(text, &good); at.size; at = next_piece((const char *)at.data + at.size, &good)) {
        bool own = rule->variable && dbk_slice_equal(at, dbk_slice_text(rule->variable));
        if (own) count++;
        else
            dbk_app_wrong(a, value, rule->variable ? rule->variable : "a text without braces",
                          "'%s': '%.*s' is no variable of '%s'", path, DBK_SLICE_ARG(at), rule->name);
        wrong = wrong || !own;
    }
    return wrong ? -1 : count;
}

/* ---- what is filled in */

static void check_row(dbk_app_reading *a, const dbk_json_node *row, const char *path, const dbk_setting_rule *rule)
{
    if (!rule->row) return;
    int count = count_in(a, row, path, rule, rule->row);
    if (rule->variable && count >= 0 && count != 1)
        dbk_app_wrong(a, row, rule->variable, "'%s': each '%s' has a row of its own, whose key has '%s' once", path,
                      rule->name, rule->variable);
}

static void check_mirror(dbk_app_reading *a, const dbk_json_node *mirror, const char *path,
                         const dbk_setting_rule *rule)
{
    uint8_t longest[VALUE_MAX_BYTES];
    dbk_buffer sample;
    if (!rule->mirror) return;
    int count = count_in(a, mirror, path, rule, rule->mirror);
    if (!rule->variable || count < 0) return;
    size_t own = strlen(rule->variable), size = strlen(rule->mirror);
    if (count == 0)
        dbk_app_wrong(a, mirror, rule->variable, "'%s': each '%s' has a file of its own, whose path has '%s'", path,
                      rule->name, rule->variable);
    else if (size >= own && strcmp(rule->mirror + size - own, rule->variable) == 0)
        dbk_app_wrong(a, mirror, "an ending behind it, as \"{id}.json\"",
                      "'%s': a value might end as what is put beside such a file", path);
    memset(longest, 'x', sizeof longest);
    dbk_buffer_init(&sample, a->check->port);
    dbk_setting_fill(rule, rule->mirror, dbk_slice_of(longest, sizeof longest), &sample);
    const char *text = dbk_buffer_text(&sample);
    if (!text) a->check->failed = true;
    else if (!dbk_app_is_path(text))
        dbk_app_wrong(a, mirror, "a shorter one", "'%s': with %d bytes for '%s' a name has over %d bytes", path,
                      VALUE_MAX_BYTES, rule->variable, DBK_APP_PART_MAX_BYTES);
    dbk_buffer_release(&sample);
}

/* `where` is kept with its values as plain text, so that a variable is found in it. */
static void check_where(dbk_app_reading *a, const dbk_json_node *where, const char *path, dbk_setting_rule *rule)
{
    int count = 0;
    bool wrong = false;
    dbk_buffer text;
    if (!where || where->kind != DBK_JSON_OBJECT) return;
    const dbk_json_node *child = dbk_json_child(where);
    for (uint32_t i = 0; i < where->count; i++, child = dbk_json_next(child)) {
        const char *value = child->kind == DBK_JSON_STRING ? dbk_check_text(a->check, child->text) : NULL;
        int found = value ? count_in(a, child, dbk_app_path(a, path, child->name), rule, value) : 0;
        count += found;
        wrong = wrong || found < 0;
    }
    if (!rule->variable) return;
    if (count == 0 && !wrong)
        dbk_app_wrong(a, where, rule->variable, "'%s': each '%s' has rows of its own, and a value here has '%s'", path,
                      rule->name, rule->variable);
    dbk_buffer_init(&text, a->check->port);
    dbk_json_put_minimal(&text, where);
    if (text.failed) a->check->failed = true;
    else rule->where = dbk_check_text(a->check, dbk_buffer_slice(&text));
    dbk_buffer_release(&text);
}

/* ---- beside each other */

/* Whether something may stand in both for the variable so that one text comes of them: what one head or tail has
 * more than the other is part of the other's value. */
static bool patterns_meet(const dbk_setting_rule *one, const char *pattern, const dbk_setting_rule *other,
                          const char *other_pattern)
{
    dbk_slice heads[] = {head_of(one, pattern), head_of(other, other_pattern)};
    dbk_slice tails[] = {tail_of(one, pattern), tail_of(other, other_pattern)};
    dbk_slice *few = heads[0].size < heads[1].size ? &heads[0] : &heads[1], *many = few == heads ? heads + 1 : heads;
    dbk_slice more = dbk_slice_of(many->data + few->size, many->size - few->size);
    if (memcmp(few->data, many->data, few->size) != 0 || !may_begin(more) || !are_of_value(more)) return false;
    few = tails[0].size < tails[1].size ? &tails[0] : &tails[1];
    many = few == tails ? tails + 1 : tails;
    more = dbk_slice_of(many->data, many->size - few->size);
    return memcmp(few->data, many->data + more.size, few->size) == 0 && are_of_value(more);
}

static const char *row_of(const dbk_setting_rule *rule)
{
    return rule->row ? rule->row : rule->name;
}

/* Of a template and one namespace: what the template has for `text`, is not called as that one, which would come before
 * it. */
static bool is_of_another(const dbk_setting_rule *rule, const char *pattern, const char *text,
                          const dbk_setting_rule *exact)
{
    dbk_slice value, own;
    if (!dbk_setting_value_in(rule, pattern, dbk_slice_text(text), &value)) return false;
    return !dbk_setting_value_in(rule, rule->name, dbk_slice_text(exact->name), &own) || !dbk_slice_equal(value, own);
}

static bool rows_meet(const dbk_setting_rule *one, const dbk_setting_rule *other)
{
    if (!one->table || one->table != other->table || one->where || other->where) return false;
    if (one->variable && other->variable) return patterns_meet(one, row_of(one), other, row_of(other));
    if (one->variable) return is_of_another(one, row_of(one), row_of(other), other);
    return other->variable && is_of_another(other, row_of(other), row_of(one), one);
}

bool dbk_app_mirror_comes_before(const dbk_setting_rule *one, const dbk_setting_rule *other, dbk_check *check)
{
    const dbk_setting_rule *rule = one->variable ? one : other, *exact = one->variable ? other : one;
    dbk_slice value;
    dbk_buffer path;
    if (!rule->variable || exact->variable) return false;
    if (!dbk_setting_value_in(rule, rule->name, dbk_slice_text(exact->name), &value)) return false;
    dbk_buffer_init(&path, check->port);
    dbk_setting_fill(rule, rule->mirror, value, &path);
    if (path.failed) check->failed = true;
    bool same = dbk_slice_equal(dbk_buffer_slice(&path), dbk_slice_text(exact->mirror));
    dbk_buffer_release(&path);
    return same;
}

void dbk_app_check_template(dbk_app_reading *a, const dbk_json_node *member, const char *path, dbk_setting_rule *rule)
{
    const dbk_json_node *where = dbk_json_member(member, "where");
    check_row(a, dbk_json_member(member, "row"), dbk_app_path(a, path, dbk_slice_text("row")), rule);
    check_mirror(a, dbk_json_member(member, "mirror"), dbk_app_path(a, path, dbk_slice_text("mirror")), rule);
    check_where(a, where, dbk_app_path(a, path, dbk_slice_text("where")), rule);
    if (rule->variable && dbk_json_member(member, "query"))
        dbk_app_wrong_name(a, member, "a name without braces", "'%s': a query answers all namespaces the same", path);
    for (const dbk_setting_rule *other = a->app->settings; other < rule; other++) {
        bool names = rule->variable && other->variable && patterns_meet(rule, rule->name, other, other->name);
        if (!names && !rows_meet(rule, other)) continue;
        dbk_app_wrong_name(a, member, names ? "names that begin otherwise" : "another 'row'",
                           "'%s': %s may be of '%s' too", path, names ? "one namespace" : "a row of it", other->name);
        return;
    }
}
