/* events, permissions, limits and disk of app.json. Scopes are checked here and enforced where tokens are known. */
#include "projector/definition/app.h"

#define COUNT_OF(list) (sizeof(list) / sizeof((list)[0]))

/* ---- events */

static void read_unknown(dbk_app_reading *a, const dbk_json_node *value, const char *path, void *into)
{
    static const char *const names[] = {"keep", "warn", "refuse"};
    size_t which;

    (void)into;
    if (!dbk_app_choice(a, value, path, names, COUNT_OF(names), &which)) return;
    a->app->unknown_events = (dbk_unknown_events)which;
}

static void read_known(dbk_app_reading *a, const dbk_json_node *value, const char *path, void *into)
{
    (void)into;
    (void)dbk_app_texts(a, value, path, &a->app->known_events, &a->app->known_event_count);
}

void dbk_app_read_events(dbk_app_reading *a, const dbk_json_node *value, const char *path, void *into)
{
    static const dbk_app_key keys[] = {{"unknown", read_unknown}, {"known", read_known}};

    dbk_app_members(a, value, path, keys, COUNT_OF(keys), into);
}

/* ---- permissions */

static const char *const verbs[] = {"read",      "get",        "query", "write",     "put",    "patch",
                                    "delete",    "append",     "do",    "subscribe", "secret", "secret.use",
                                    "file.read", "file.write", "path",  "actor",     "admin"};

static dbk_slice word(const char *text)
{
    return dbk_slice_of(text, strcspn(text, " /"));
}

static bool is_pattern(dbk_slice name)
{
    return name.size == 0 || memchr(name.data, '*', name.size) || memchr(name.data, '{', name.size);
}

/* The object of a scope on rows is a table, of `query` a named query; patterns are not looked up. */
static void check_object(dbk_app_reading *a, const dbk_json_node *value, const char *path, dbk_slice verb,
                         const char *object)
{
    static const char *const on_tables[] = {"get", "write", "put", "patch", "delete", "subscribe"};
    dbk_slice name = word(object);
    const dbk_definition *definition = a->check->definition;

    if (is_pattern(name)) return;
    for (size_t i = 0; i < COUNT_OF(on_tables); i++) {
        if (!dbk_slice_equal(verb, dbk_slice_text(on_tables[i])) || dbk_definition_table(definition, name)) continue;
        dbk_app_wrong(a, value, dbk_check_nearest_table(a->check, name), "'%s': there is no table '%.*s'", path,
                      DBK_SLICE_ARG(name));
    }
    if (dbk_slice_equal(verb, dbk_slice_text("read")) && !dbk_check_object(a->check, dbk_check_text(a->check, name)))
        dbk_app_wrong(a, value, dbk_check_nearest_table(a->check, name), "'%s': there is no table or view '%.*s'", path,
                      DBK_SLICE_ARG(name));
    if (dbk_slice_equal(verb, dbk_slice_text("query")) && !dbk_definition_query(definition, name))
        dbk_app_wrong(a, value, "the name of a query", "'%s': there is no query '%.*s'", path, DBK_SLICE_ARG(name));
    if (dbk_slice_equal(verb, dbk_slice_text("read")) && strchr(object, '/'))
        dbk_app_wrong(a, value, "\"get …\" for single rows", "'%s': a key pattern cannot limit SQL", path);
}

static void check_scope(dbk_app_reading *a, const dbk_json_node *value, const char *path, const char *scope)
{
    dbk_slice verb = dbk_slice_of(scope, strcspn(scope, " "));
    const char *object = scope + verb.size;
    bool known = false;

    if (strcmp(scope, "*") == 0) return;
    for (size_t i = 0; i < COUNT_OF(verbs); i++) known |= dbk_slice_equal(verb, dbk_slice_text(verbs[i]));
    if (!known) {
        dbk_app_wrong(a, value, dbk_check_nearest(a->check, verb, verbs, COUNT_OF(verbs)),
                      "'%s': '%.*s' is no verb of a scope", path, DBK_SLICE_ARG(verb));
    } else if (object[0] != ' ' || object[1] == '\0' || strcspn(object + 1, " \t") != strlen(object + 1)) {
        dbk_app_wrong(a, value, "\"get notes/*\": a verb, a space, what it is about", "'%s': '%s' is no scope", path,
                      scope);
    } else {
        check_object(a, value, path, verb, object + 1);
    }
}

static void read_scopes(dbk_app_reading *a, const dbk_json_node *value, const char *path, dbk_role_scopes *role)
{
    if (!dbk_app_texts(a, value, path, &role->scopes, &role->count)) return;
    const dbk_json_node *item = dbk_json_child(value);
    for (uint32_t i = 0; i < value->count; i++, item = dbk_json_next(item)) check_scope(a, item, path, role->scopes[i]);
}

static bool is_role(dbk_app_reading *a, const dbk_json_node *member, const char *path)
{
    bool good = member->name.size > 0 && member->name.size <= DBK_NAME_MAX;

    for (size_t i = 0; i < member->name.size; i++) {
        uint8_t c = member->name.data[i];
        good &= (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || strchr("._-:", c) != NULL;
    }
    if (!good || memchr(member->name.data, 0, member->name.size))
        dbk_app_wrong_name(a, member, "letters, digits, '.', '_', '-' and ':'", "'%s': '%.*s' is no role", path,
                           DBK_SLICE_ARG(member->name));
    return good;
}

void dbk_app_read_permissions(dbk_app_reading *a, const dbk_json_node *value, const char *path, void *into)
{
    const dbk_json_node *child = value->kind == DBK_JSON_OBJECT ? dbk_json_child(value) : NULL;

    (void)into;
    if (!dbk_app_object(a, value, path)) return;
    a->app->permissions = dbk_check_take(a->check, (size_t)value->count + 1, sizeof(dbk_role_scopes));
    for (uint32_t i = 0; a->app->permissions && i < value->count; i++, child = dbk_json_next(child)) {
        dbk_role_scopes *role = &a->app->permissions[a->app->permission_count];
        if (!is_role(a, child, path)) continue;
        role->role = dbk_check_text(a->check, child->name);
        read_scopes(a, child, dbk_app_path(a, path, child->name), role);
        a->app->permission_count++;
    }
}

/* ---- limits */

static void read_rate(dbk_app_reading *a, const dbk_json_node *value, const char *path, void *into)
{
    (void)dbk_app_count(a, value, path, 1, 1000000000, &((dbk_role_limits *)into)->rate);
}

static void read_burst(dbk_app_reading *a, const dbk_json_node *value, const char *path, void *into)
{
    (void)dbk_app_count(a, value, path, 1, 1000000000, &((dbk_role_limits *)into)->burst);
}

/* "10 MiB/s" */
static void read_bytes(dbk_app_reading *a, const dbk_json_node *value, const char *path, void *into)
{
    dbk_json_node bare = *value;

    if (value->kind == DBK_JSON_STRING && bare.text.size > 2 &&
        memcmp(bare.text.data + bare.text.size - 2, "/s", 2) == 0)
        bare.text.size -= 2;
    (void)dbk_app_size(a, &bare, path, &((dbk_role_limits *)into)->bytes);
}

void dbk_app_read_limits(dbk_app_reading *a, const dbk_json_node *value, const char *path, void *into)
{
    static const dbk_app_key keys[] = {{"rate", read_rate}, {"burst", read_burst}, {"bytes", read_bytes}};
    const dbk_json_node *child = value->kind == DBK_JSON_OBJECT ? dbk_json_child(value) : NULL;

    (void)into;
    if (!dbk_app_object(a, value, path)) return;
    a->app->limits = dbk_check_take(a->check, (size_t)value->count + 1, sizeof(dbk_role_limits));
    for (uint32_t i = 0; a->app->limits && i < value->count; i++, child = dbk_json_next(child)) {
        dbk_role_limits *role = &a->app->limits[a->app->limit_count];
        if (!is_role(a, child, path)) continue;
        *role = (dbk_role_limits){.role = dbk_check_text(a->check, child->name), .rate = 2000, .burst = 10000};
        dbk_app_members(a, child, dbk_app_path(a, path, child->name), keys, COUNT_OF(keys), role);
        a->app->limit_count++;
    }
}

/* ---- disk */

static void read_level(dbk_app_reading *a, const dbk_json_node *value, const char *path, uint64_t *level)
{
    uint64_t bytes = 0;

    if (!dbk_app_size(a, value, path, &bytes)) return;
    if (bytes == 0 || bytes == UINT64_MAX) dbk_app_wrong(a, value, "\"256 MiB\"", "'%s' is a size above zero", path);
    else *level = bytes;
}

static void read_min_free(dbk_app_reading *a, const dbk_json_node *value, const char *path, void *into)
{
    read_level(a, value, path, &((dbk_disk_rule *)into)->min_free_bytes);
}

static void read_alert_free(dbk_app_reading *a, const dbk_json_node *value, const char *path, void *into)
{
    read_level(a, value, path, &((dbk_disk_rule *)into)->alert_free_bytes);
}

void dbk_app_read_disk(dbk_app_reading *a, const dbk_json_node *value, const char *path, void *into)
{
    static const dbk_app_key keys[] = {
        {"min_free", read_min_free}, {"alert_free", read_alert_free}, {"path", NULL}, {"refuse", NULL}};
    dbk_disk_rule *disk = &a->app->disk;

    (void)into;
    dbk_app_members(a, value, path, keys, COUNT_OF(keys), disk);
    if (disk->alert_free_bytes && disk->alert_free_bytes < disk->min_free_bytes)
        dbk_app_wrong(a, value, "more than min_free", "'%s.alert_free' is below '%s.min_free'", path, path);
}
