/* app.json: the file and its top keys. They are read in three rounds, because what they name must be
 * known: the app's name and version first; rules of tables behind the schema, before the projections;
 * the rest behind everything. */
#include "projector/definition/app.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

/* ---- findings */

static dbk_span value_span(const dbk_app_reading *a, const dbk_json_node *value)
{
    size_t size = value->kind == DBK_JSON_STRING   ? value->text.size + 2
                  : value->kind == DBK_JSON_NUMBER ? value->text.size
                                                   : 1;

    return (dbk_span){a->source, value->offset, value->offset + size};
}

/* A member's name: the text in quotes before its value; an escaped one is shown at its value. */
static dbk_span name_span(const dbk_app_reading *a, const dbk_json_node *value)
{
    const uint8_t *text = a->source->text.data;
    size_t at = value->offset, size = value->name.size;

    while (at > 0 && text[at - 1] != '"') at--;
    if (at < size + 2 || memcmp(text + at - 1 - size, value->name.data, size) != 0) return value_span(a, value);
    return (dbk_span){a->source, at - 2 - size, at};
}

static void __attribute__((format(printf, 4, 0)))
report(dbk_app_reading *a, dbk_span at, const char *advice, const char *format, va_list args)
{
    char text[512];

    (void)vsnprintf(text, sizeof(text), format, args);
    dbk_report_error(a->check->report, at, advice, "%s", text);
}

void dbk_app_wrong(dbk_app_reading *a, const dbk_json_node *value, const char *advice, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    report(a, value_span(a, value), advice, format, args);
    va_end(args);
}

void dbk_app_wrong_name(dbk_app_reading *a, const dbk_json_node *value, const char *advice, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    report(a, name_span(a, value), advice, format, args);
    va_end(args);
}

void dbk_app_doubt_name(dbk_app_reading *a, const dbk_json_node *value, const char *advice, const char *format, ...)
{
    char text[512];
    va_list args;

    va_start(args, format);
    (void)vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    dbk_report_warning(a->check->report, name_span(a, value), advice, "%s", text);
}

/* ---- members */

const char *dbk_app_path(dbk_app_reading *a, const char *path, dbk_slice name)
{
    const char *made = dbk_check_printf(a->check, "%s%s%.*s", path, *path ? "." : "", DBK_SLICE_ARG(name));

    return made ? made : "";
}

static const dbk_app_key *find_key(const dbk_app_key *keys, size_t count, dbk_slice name)
{
    for (size_t i = 0; i < count; i++)
        if (dbk_slice_equal(dbk_slice_text(keys[i].name), name)) return &keys[i];
    return NULL;
}

static void refuse_key(dbk_app_reading *a, const dbk_json_node *value, const char *path, const dbk_app_key *keys,
                       size_t count)
{
    const char *names[32];
    size_t known = 0;

    for (; known < count && known < sizeof(names) / sizeof(names[0]); known++) names[known] = keys[known].name;
    const char *near = dbk_check_nearest(a->check, value->name, names, known);
    if (*path) dbk_app_wrong_name(a, value, near, "'%.*s' is no key of '%s'", DBK_SLICE_ARG(value->name), path);
    else dbk_app_wrong_name(a, value, near, "'%.*s' is no key of app.json", DBK_SLICE_ARG(value->name));
}

void dbk_app_members(dbk_app_reading *a, const dbk_json_node *object, const char *path, const dbk_app_key *keys,
                     size_t count, void *into)
{
    const dbk_json_node *value = object->kind == DBK_JSON_OBJECT ? dbk_json_child(object) : NULL;

    if (!dbk_app_object(a, object, path)) return;
    for (uint32_t i = 0; i < object->count && !a->check->failed; i++, value = dbk_json_next(value)) {
        const dbk_app_key *key = find_key(keys, count, value->name);
        const char *inner = dbk_app_path(a, path, value->name);
        if (!key) refuse_key(a, value, path, keys, count);
        else if (!key->read) dbk_app_wrong_name(a, value, "leave it out", "'%s' comes with a later version", inner);
        else key->read(a, value, inner, into);
    }
}

/* ---- the app's own keys */

static bool is_app_name(dbk_slice name)
{
    if (name.size == 0 || name.size > DBK_NAME_MAX || name.data[0] < 'a' || name.data[0] > 'z') return false;
    for (size_t i = 1; i < name.size; i++) {
        uint8_t c = name.data[i];
        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-')) return false;
    }
    return true;
}

static void read_format(dbk_app_reading *a, const dbk_json_node *value, const char *path, void *into)
{
    int64_t number;

    (void)path, (void)into;
    if (dbk_json_is_integer(value, &number) && number == 1) return;
    dbk_app_wrong(a, value, "\"daybook\": 1", "'daybook' names the format of this file: 1");
}

static void read_name(dbk_app_reading *a, const dbk_json_node *value, const char *path, void *into)
{
    (void)path, (void)into;
    if (value->kind == DBK_JSON_STRING && is_app_name(value->text)) {
        a->check->definition->name = dbk_check_text(a->check, value->text);
        return;
    }
    dbk_app_wrong(a, value, "\"name\": \"my-app\"",
                  "'name' is lower-case letters, digits and '-', 63 at most, a letter first");
}

static void read_version(dbk_app_reading *a, const dbk_json_node *value, const char *path, void *into)
{
    int64_t number;

    (void)path, (void)into;
    if (dbk_json_is_integer(value, &number) && number >= 1 && number <= UINT32_MAX) {
        a->check->definition->version = (uint32_t)number;
        return;
    }
    dbk_app_wrong(a, value, "\"version\": 1", "'version' is a whole number from 1 on");
}

static bool is_variable_name(dbk_slice name)
{
    if (name.size == 0 || name.size > DBK_NAME_MAX || name.data[0] < 'A' || name.data[0] > 'Z') return false;
    for (size_t i = 1; i < name.size; i++) {
        uint8_t c = name.data[i];
        if (!((c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_')) return false;
    }
    return true;
}

/* What the environment says, else the default; neither reaches the fold, so replicas stay alike. */
static void read_variable(dbk_app_reading *a, const dbk_json_node *value)
{
    dbk_app_variable *variable = &a->variables[a->variable_count];

    if (!is_variable_name(value->name)) {
        dbk_app_wrong_name(a, value, "\"DATA_DIR\"", "'env.%.*s': names are capitals, digits and '_', a letter first",
                           DBK_SLICE_ARG(value->name));
        return;
    }
    dbk_slice text = value->kind == DBK_JSON_STRING || value->kind == DBK_JSON_NUMBER ? value->text
                     : value->kind == DBK_JSON_TRUE                                   ? dbk_slice_text("true")
                                                                                      : dbk_slice_text("false");
    if (value->kind == DBK_JSON_NULL || value->kind >= DBK_JSON_ARRAY) {
        dbk_app_wrong(a, value, "\"text\", 5 or true", "'env.%.*s' has a text, a number, true or false as its default",
                      DBK_SLICE_ARG(value->name));
        return;
    }
    variable->name = dbk_check_text(a->check, value->name);
    const char *given = variable->name ? dbk_io_environment(variable->name) : NULL;
    variable->value = dbk_check_text(a->check, given ? dbk_slice_text(given) : text);
    if (variable->name && variable->value) a->variable_count++;
}

static void read_env(dbk_app_reading *a, const dbk_json_node *value, const char *path, void *into)
{
    (void)into;
    if (!dbk_app_object(a, value, path)) return;
    a->variables = dbk_check_take(a->check, (size_t)value->count + 1, sizeof(*a->variables));
    const dbk_json_node *child = dbk_json_child(value);
    for (uint32_t i = 0; a->variables && i < value->count; i++, child = dbk_json_next(child)) read_variable(a, child);
}

/* ---- the file */

enum round { FIRST, BEHIND_SCHEMA, BEHIND_PROJECTIONS, LAST };
static const struct {
    dbk_app_key key;
    enum round round;
} top[] = {
    {{"daybook", read_format}, FIRST},
    {{"name", read_name}, FIRST},
    {{"version", read_version}, FIRST},
    {{"env", read_env}, FIRST},
    {{"tables", dbk_app_read_tables}, BEHIND_SCHEMA},
    {{"retention", dbk_app_read_retention}, LAST},
    {{"models", dbk_app_read_models}, FIRST},
    {{"events", dbk_app_read_events}, LAST},
    {{"settings", dbk_app_read_settings}, LAST},
    {{"search", dbk_app_read_search}, BEHIND_PROJECTIONS},
    {{"permissions", dbk_app_read_permissions}, LAST},
    {{"limits", dbk_app_read_limits}, LAST},
    {{"layout", NULL}, FIRST},
    {{"paths", NULL}, FIRST},
    {{"files", NULL}, FIRST},
    {{"compress", NULL}, FIRST},
    {{"disk", dbk_app_read_disk}, LAST},
    {{"watch", NULL}, FIRST},
    {{"jobs", NULL}, FIRST},
    {{"timers", NULL}, FIRST},
    {{"critical", NULL}, FIRST},
    {{"audit", NULL}, FIRST},
    {{"errors", NULL}, FIRST},
    {{"backup", NULL}, FIRST},
    {{"sync", NULL}, FIRST},
    {{"export", NULL}, FIRST},
    {{"metrics", NULL}, FIRST},
};
enum { TOP_KEYS = sizeof(top) / sizeof(top[0]) };

/* Keys of other rounds are passed over; unknown and later ones are said in the first. */
static void pass(dbk_app_reading *a, const dbk_json_node *value, const char *path, void *into)
{
    (void)a, (void)value, (void)path, (void)into;
}

static void read_round(dbk_app_reading *a, enum round round)
{
    dbk_app_key keys[TOP_KEYS];

    if (!a->root) return;
    for (size_t i = 0; i < TOP_KEYS; i++) {
        bool now = top[i].round == round;
        keys[i] = (dbk_app_key){top[i].key.name, now || (!top[i].key.read && round == FIRST) ? top[i].key.read : pass};
    }
    if (round == FIRST) {
        dbk_app_members(a, a->root, "", keys, TOP_KEYS, NULL);
        return;
    }
    for (size_t i = 0; i < TOP_KEYS && !a->check->failed; i++) {
        const dbk_json_node *value = top[i].round == round ? dbk_json_member(a->root, top[i].key.name) : NULL;
        if (value) top[i].key.read(a, value, top[i].key.name, NULL);
    }
}

static void require(dbk_app_reading *a, const char *name, const char *advice)
{
    if (dbk_json_member(a->root, name)) return;
    dbk_report_error(a->check->report, (dbk_span){a->source, a->root->offset, a->root->offset + 1}, advice,
                     "'%s' is missing", name);
}

/* The parser says "… at byte n": the place is read back from there. */
static void refuse_json(dbk_check *check, const dbk_source *source, const dbk_error *err)
{
    const char *at = strstr(err->text, "byte ");
    const char *colon = at == err->text ? strstr(at, ": ") : NULL;
    size_t offset = at ? (size_t)strtoull(at + 5, NULL, 10) : 0;

    if (offset >= source->text.size && source->text.size) offset = source->text.size - 1;
    dbk_report_error(check->report, (dbk_span){source, offset, offset + 1}, NULL, "%s", colon ? colon + 2 : err->text);
}

static void open_app(dbk_check *check, dbk_app_reading *a)
{
    const dbk_json_node *root = NULL;
    dbk_error err = {0};

    if (!a->source || !dbk_utf8_valid(a->source->text)) return;
    a->parser = dbk_json_parser_new(check->port);
    dbk_result result = a->parser ? dbk_json_parse(a->parser, a->source->text, &root, &err) : DBK_NO_MEMORY;
    if (result == DBK_NO_MEMORY) check->failed = true;
    else if (result != DBK_OK) refuse_json(check, a->source, &err);
    else if (root->kind != DBK_JSON_OBJECT)
        dbk_report_error(check->report, (dbk_span){a->source, root->offset, root->offset + 1},
                         "{\"daybook\": 1, \"name\": \"my-app\"}", "app.json is an object");
    else a->root = root;
}

void dbk_check_app(dbk_check *check)
{
    dbk_app_reading *a = dbk_check_take(check, 1, sizeof(*a));
    dbk_app *app = dbk_check_take(check, 1, sizeof(*app));

    if (!a || !app) return;
    *a = (dbk_app_reading){.check = check, .source = dbk_check_source(check, "app.json"), .app = app};
    check->definition->app = app;
    check->app = a;
    open_app(check, a);
    if (!a->root) return;
    require(a, "daybook", "\"daybook\": 1");
    require(a, "name", "\"name\": \"my-app\"");
    read_round(a, FIRST);
}

void dbk_check_app_tables(dbk_check *check)
{
    for (size_t i = 0; i < check->definition->table_count; i++)
        check->definition->tables[i].version = check->definition->version;
    if (check->app) read_round(check->app, BEHIND_SCHEMA);
}

/* Projections were prepared without the search tables, so that none can read one. */
void dbk_check_app_search(dbk_check *check)
{
    if (check->app) read_round(check->app, BEHIND_PROJECTIONS);
}

void dbk_check_app_rest(dbk_check *check)
{
    if (!check->app) return;
    read_round(check->app, LAST);
    if (!check->failed) dbk_app_settle(check->app);
}

void dbk_check_app_close(dbk_check *check)
{
    if (check->app) dbk_json_parser_free(check->app->parser);
    check->app = NULL;
}
