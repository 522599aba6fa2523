/* app.json: what has a mechanism today is read, everything else is refused by name. */
#include <stdlib.h>

#include "projector/definition_internal.h"

/* Every key of the format; what is not among the first three comes with a later version. */
static const char *const keys[] = {
    "daybook",  "name",   "version", "env",       "models",   "tables",  "events",
    "settings", "layout", "paths",   "files",     "compress", "disk",    "watch",
    "jobs",     "timers", "search",  "retention", "critical", "audit",   "permissions",
    "limits",   "errors", "backup",  "sync",      "export",   "metrics",
};
static const char *const table_keys[] = {
    "id",      "version", "stamps",   "states",  "ttl",  "logged",
    "history", "derived", "sanitize", "max_row", "sync", "messages",
};
enum {
    KEY_COUNT = sizeof(keys) / sizeof(keys[0]),
    READ_KEYS = 3,
    TABLE_KEY_COUNT = sizeof(table_keys) / sizeof(table_keys[0])
};

typedef struct app {
    dbk_check *check;
    const dbk_source *source;
    const dbk_json_node *root;
} app;

static int index_of(dbk_slice name, const char *const *names, int count)
{
    for (int i = 0; i < count; i++)
        if (dbk_slice_equal(dbk_slice_text(names[i]), name)) return i;
    return -1;
}

static dbk_span value_span(const app *a, const dbk_json_node *value)
{
    size_t size = value->kind == DBK_JSON_STRING   ? value->text.size + 2
                  : value->kind == DBK_JSON_NUMBER ? value->text.size
                                                   : 1;

    return (dbk_span){a->source, value->offset, value->offset + size};
}

/* A member's name: the text in quotes before its value; an escaped one is shown at its value. */
static dbk_span name_span(const app *a, const dbk_json_node *value)
{
    const uint8_t *text = a->source->text.data;
    size_t at = value->offset, size = value->name.size;

    while (at > 0 && text[at - 1] != '"') at--;
    if (at < size + 2 || memcmp(text + at - 1 - size, value->name.data, size) != 0)
        return value_span(a, value);
    return (dbk_span){a->source, at - 2 - size, at};
}

static bool is_app_name(dbk_slice name)
{
    if (name.size == 0 || name.size > DBK_NAME_MAX || name.data[0] < 'a' || name.data[0] > 'z')
        return false;
    for (size_t i = 1; i < name.size; i++) {
        uint8_t c = name.data[i];
        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-')) return false;
    }
    return true;
}

static void read_format(const app *a, const dbk_json_node *value)
{
    int64_t number;

    if (dbk_json_is_integer(value, &number) && number == 1) return;
    dbk_report_error(a->check->report, value_span(a, value), "\"daybook\": 1",
                     "'daybook' names the format of this file: 1");
}

static void read_name(const app *a, const dbk_json_node *value)
{
    if (value->kind == DBK_JSON_STRING && is_app_name(value->text)) {
        a->check->definition->name = dbk_check_text(a->check, value->text);
        return;
    }
    dbk_report_error(a->check->report, value_span(a, value), "\"name\": \"my-app\"",
                     "'name' is lower-case letters, digits and '-', 63 at most, a letter first");
}

static void read_version(const app *a, const dbk_json_node *value)
{
    int64_t number;

    if (dbk_json_is_integer(value, &number) && number >= 1 && number <= UINT32_MAX) {
        a->check->definition->version = (uint32_t)number;
        return;
    }
    dbk_report_error(a->check->report, value_span(a, value), "\"version\": 1",
                     "'version' is a whole number from 1 on");
}

/* tables.<t>.<rule>: each by its own name, and the table must be there. */
static void refuse_tables(const app *a, const dbk_json_node *tables)
{
    const dbk_json_node *table = dbk_json_child(tables);

    for (uint32_t i = 0; tables->kind == DBK_JSON_OBJECT && i < tables->count;
         i++, table = dbk_json_next(table)) {
        const dbk_json_node *rule = dbk_json_child(table);
        for (uint32_t k = 0; table->kind == DBK_JSON_OBJECT && k < table->count;
             k++, rule = dbk_json_next(rule)) {
            bool known = index_of(rule->name, table_keys, TABLE_KEY_COUNT) >= 0;
            dbk_report_error(
                a->check->report, name_span(a, rule),
                known ? "leave it out"
                      : dbk_check_nearest(a->check, rule->name, table_keys, TABLE_KEY_COUNT),
                known ? "table rule 'tables.%.*s.%.*s' comes with a later version"
                      : "'tables.%.*s.%.*s' is no table rule",
                DBK_SLICE_ARG(table->name), DBK_SLICE_ARG(rule->name));
        }
    }
}

static void read_member(const app *a, const dbk_json_node *value)
{
    int known = index_of(value->name, keys, KEY_COUNT);

    switch (known) {
    case -1:
        dbk_report_error(a->check->report, name_span(a, value),
                         dbk_check_nearest(a->check, value->name, keys, KEY_COUNT),
                         "'%.*s' is no key of app.json", DBK_SLICE_ARG(value->name));
        return;
    case 0: return read_format(a, value);
    case 1: return read_name(a, value);
    case 2: return read_version(a, value);
    default: break;
    }
    if (strcmp(keys[known], "tables") == 0 && value->kind == DBK_JSON_OBJECT && value->count > 0)
        return refuse_tables(a, value);
    dbk_report_error(a->check->report, name_span(a, value), "leave it out",
                     "'%s' comes with a later version", keys[known]);
}

static void require(const app *a, const char *name, const char *advice)
{
    if (dbk_json_member(a->root, name)) return;
    dbk_report_error(a->check->report, (dbk_span){a->source, a->root->offset, a->root->offset + 1},
                     advice, "'%s' is missing", name);
}

/* The parser says "… at byte n": the place is read back from there. */
static void refuse_json(dbk_check *check, const dbk_source *source, const dbk_error *err)
{
    const char *at = strstr(err->text, "byte ");
    const char *colon = at == err->text ? strstr(at, ": ") : NULL;
    size_t offset = at ? (size_t)strtoull(at + 5, NULL, 10) : 0;

    if (offset >= source->text.size && source->text.size) offset = source->text.size - 1;
    dbk_report_error(check->report, (dbk_span){source, offset, offset + 1}, NULL, "%s",
                     colon ? colon + 2 : err->text);
}

void dbk_check_app(dbk_check *check)
{
    app a = {check, dbk_check_source(check, "app.json"), NULL};
    dbk_error err = {0};

    if (!a.source || !dbk_utf8_valid(a.source->text)) return;
    dbk_json_parser *parser = dbk_json_parser_new(check->port);
    dbk_result result =
        parser ? dbk_json_parse(parser, a.source->text, &a.root, &err) : DBK_NO_MEMORY;
    if (result == DBK_NO_MEMORY)
        check->failed = true;
    else if (result != DBK_OK)
        refuse_json(check, a.source, &err);
    else if (a.root->kind != DBK_JSON_OBJECT)
        dbk_report_error(check->report, (dbk_span){a.source, a.root->offset, a.root->offset + 1},
                         "{\"daybook\": 1, \"name\": \"my-app\"}", "app.json is an object");
    else {
        const dbk_json_node *value = dbk_json_child(a.root);
        require(&a, "daybook", "\"daybook\": 1");
        require(&a, "name", "\"name\": \"my-app\"");
        for (uint32_t i = 0; i < a.root->count; i++, value = dbk_json_next(value))
            read_member(&a, value);
    }
    dbk_json_parser_free(parser);
}
