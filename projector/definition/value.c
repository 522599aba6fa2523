/* Values of app.json by kind. Spans are "100 ms", "5m", "1 hour", "30 days"; sizes "10 MiB", "2 MB". */
#include "projector/definition/app.h"

#include <stdlib.h>
#include <strings.h>

bool dbk_app_object(dbk_app_reading *a, const dbk_json_node *value, const char *path)
{
    if (value->kind == DBK_JSON_OBJECT) return true;
    dbk_app_wrong(a, value, "{ … }", "'%s' is an object", path);
    return false;
}

bool dbk_app_array(dbk_app_reading *a, const dbk_json_node *value, const char *path)
{
    if (value->kind == DBK_JSON_ARRAY) return true;
    dbk_app_wrong(a, value, "[ … ]", "'%s' is a list", path);
    return false;
}

/* ---- ${NAME} */

static const char *variable(const dbk_app_reading *a, dbk_slice name)
{
    for (size_t i = 0; i < a->variable_count; i++)
        if (dbk_slice_equal(dbk_slice_text(a->variables[i].name), name)) return a->variables[i].value;
    return NULL;
}

/* The text with its variables; NULL: one of them is not declared (said), or out of memory. */
static const char *expand(dbk_app_reading *a, const dbk_json_node *value)
{
    dbk_buffer out;
    const char *at = (const char *)value->text.data, *end = at + value->text.size, *made = NULL;
    bool good = true;

    dbk_buffer_init(&out, a->check->port);
    while (good && at < end) {
        const char *close = at + 1 < end && at[0] == '$' && at[1] == '{' ? memchr(at, '}', (size_t)(end - at)) : NULL;
        if (!close) {
            dbk_buffer_put_u8(&out, (uint8_t)*at++);
            continue;
        }
        dbk_slice name = dbk_slice_of(at + 2, (size_t)(close - at) - 2);
        const char *text = variable(a, name);
        if (!text)
            dbk_app_wrong(a, value, "a name of 'env', with its default", "'${%.*s}' is not declared in 'env'",
                          DBK_SLICE_ARG(name));
        good = text != NULL;
        if (text) dbk_buffer_put_text(&out, text);
        at = close + 1;
    }
    if (out.failed) a->check->failed = true;
    if (good && !out.failed) made = dbk_check_text(a->check, dbk_buffer_slice(&out));
    dbk_buffer_release(&out);
    return made;
}

bool dbk_app_text(dbk_app_reading *a, const dbk_json_node *value, const char *path, const char **out)
{
    if (value->kind != DBK_JSON_STRING || value->text.size == 0) {
        dbk_app_wrong(a, value, "\"…\"", "'%s' is a text that is not empty", path);
        return false;
    }
    if (memchr(value->text.data, 0, value->text.size)) {
        dbk_app_wrong(a, value, NULL, "'%s' has a NUL character", path);
        return false;
    }
    const char *text = expand(a, value);
    if (text) *out = text;
    return text != NULL;
}

bool dbk_app_flag(dbk_app_reading *a, const dbk_json_node *value, const char *path, bool *out)
{
    if (value->kind == DBK_JSON_TRUE || value->kind == DBK_JSON_FALSE) {
        *out = value->kind == DBK_JSON_TRUE;
        return true;
    }
    dbk_app_wrong(a, value, "true or false", "'%s' is true or false", path);
    return false;
}

bool dbk_app_count(dbk_app_reading *a, const dbk_json_node *value, const char *path, uint64_t lowest, uint64_t highest,
                   uint64_t *out)
{
    int64_t number;

    if (dbk_json_is_integer(value, &number) && number >= 0 && (uint64_t)number >= lowest &&
        (uint64_t)number <= highest) {
        *out = (uint64_t)number;
        return true;
    }
    dbk_app_wrong(a, value, NULL, "'%s' is a whole number from %llu to %llu", path, (unsigned long long)lowest,
                  (unsigned long long)highest);
    return false;
}

bool dbk_app_choice(dbk_app_reading *a, const dbk_json_node *value, const char *path, const char *const *names,
                    size_t count, size_t *out)
{
    dbk_buffer list;
    const char *near = NULL;

    for (size_t i = 0; i < count; i++) {
        if (!dbk_json_text_is(value, names[i])) continue;
        *out = i;
        return true;
    }
    dbk_buffer_init(&list, a->check->port);
    for (size_t i = 0; i < count; i++) dbk_buffer_printf(&list, "%s\"%s\"", i ? ", " : "", names[i]);
    if (value->kind == DBK_JSON_STRING) near = dbk_check_nearest(a->check, value->text, names, count);
    const char *text = dbk_buffer_text(&list);
    dbk_app_wrong(a, value, near, "'%s' is one of %s", path, text ? text : "");
    dbk_buffer_release(&list);
    return false;
}

/* ---- numbers with a unit */

typedef struct unit {
    const char *name;
    uint64_t factor;
} unit;

/* "1.5 MiB": a number, at most one space, a unit that is there. */
static bool measure(const char *text, const unit *units, size_t count, bool whole, uint64_t *out)
{
    char *end = NULL;

    if (*text < '0' || *text > '9') return false;
    double number = strtod(text, &end);
    size_t digits = strspn(text, whole ? "0123456789" : "0123456789.");
    if (end != text + digits || digits > 15) return false;
    if (*end == ' ') end++;
    for (size_t i = 0; i < count; i++) {
        if (strcmp(end, units[i].name) != 0) continue;
        double value = number * (double)units[i].factor;
        if (value > 9e15) return false;
        *out = (uint64_t)value;
        return true;
    }
    return false;
}

bool dbk_app_span(dbk_app_reading *a, const dbk_json_node *value, const char *path, uint64_t *ms)
{
    static const unit units[] = {
        {"ms", 1},          {"s", 1000},       {"m", 60000},       {"h", 3600000},     {"d", 86400000},
        {"second", 1000},   {"seconds", 1000}, {"minute", 60000},  {"minutes", 60000}, {"hour", 3600000},
        {"hours", 3600000}, {"day", 86400000}, {"days", 86400000},
    };
    const char *text;
    uint64_t found;

    if (value->kind == DBK_JSON_STRING) {
        if (!dbk_app_text(a, value, path, &text)) return false;
        if (measure(text, units, sizeof(units) / sizeof(units[0]), true, &found) && found > 0) {
            *ms = found;
            return true;
        }
    }
    dbk_app_wrong(a, value, "\"100 ms\", \"10 s\", \"5m\", \"1 hour\", \"30 days\"", "'%s' is a span of time", path);
    return false;
}

bool dbk_app_size(dbk_app_reading *a, const dbk_json_node *value, const char *path, uint64_t *bytes)
{
    static const unit units[] = {
        {"", 1},
        {"B", 1},
        {"kB", 1000},
        {"KB", 1000},
        {"KiB", 1024},
        {"kiB", 1024},
        {"MB", 1000000},
        {"MiB", 1 << 20},
        {"GB", 1000000000},
        {"GiB", 1 << 30},
        {"TB", 1000000000000},
        {"TiB", UINT64_C(1) << 40},
    };
    const char *text;
    uint64_t found;

    if (value->kind == DBK_JSON_STRING) {
        if (!dbk_app_text(a, value, path, &text)) return false;
        bool all = strcmp(text, "*") == 0;
        if (all || (measure(text, units, sizeof(units) / sizeof(units[0]), false, &found) && found > 0)) {
            *bytes = all ? UINT64_MAX : found;
            return true;
        }
    }
    dbk_app_wrong(a, value, "\"10 MiB\", \"2 MB\", \"64 kB\"", "'%s' is a size", path);
    return false;
}

bool dbk_app_texts(dbk_app_reading *a, const dbk_json_node *value, const char *path, const char ***out, size_t *count)
{
    const dbk_json_node *item = value->kind == DBK_JSON_ARRAY ? dbk_json_child(value) : NULL;
    bool good = true;

    if (!dbk_app_array(a, value, path)) return false;
    const char **texts = dbk_check_take(a->check, (size_t)value->count + 1, sizeof(*texts));
    for (uint32_t i = 0; texts && i < value->count; i++, item = dbk_json_next(item))
        good = dbk_app_text(a, item, path, &texts[i]) && good;
    if (!texts || !good) return false;
    *out = texts;
    *count = value->count;
    return true;
}

/* ---- tables and columns */

bool dbk_app_table(dbk_app_reading *a, const dbk_json_node *value, const char *path, const dbk_table **out)
{
    const char *text;

    if (!dbk_app_text(a, value, path, &text)) return false;
    const dbk_table *table = dbk_definition_table(a->check->definition, value->text);
    if (table) {
        *out = table;
        return true;
    }
    dbk_app_wrong(a, value, dbk_check_nearest_table(a->check, value->text), "'%s': there is no table '%.*s'", path,
                  DBK_SLICE_ARG(value->text));
    return false;
}

bool dbk_app_column(dbk_app_reading *a, const dbk_json_node *value, const char *path, const dbk_table *table, int *out)
{
    if (value->kind != DBK_JSON_STRING) {
        dbk_app_wrong(a, value, "the name of a column", "'%s' names a column of '%s'", path, table->name);
        return false;
    }
    int column = dbk_table_column(table, value->text);
    if (column >= 0) {
        *out = column;
        return true;
    }
    dbk_app_wrong(a, value, dbk_check_nearest_column(a->check, table, value->text), "'%s': '%s' has no column '%.*s'",
                  path, table->name, DBK_SLICE_ARG(value->text));
    return false;
}

int dbk_app_column_named(dbk_app_reading *a, const dbk_json_node *member, const char *path, const dbk_table *table)
{
    int column = dbk_table_column(table, member->name);

    if (column < 0)
        dbk_app_wrong_name(a, member, dbk_check_nearest_column(a->check, table, member->name),
                           "'%s': '%s' has no column '%.*s'", path, table->name, DBK_SLICE_ARG(member->name));
    return column;
}
