/* settings of app.json, read into a list; what cannot be carried out yet is refused by name behind its checks. */
#include "projector/definition/app.h"

#define COUNT_OF(list) (sizeof(list) / sizeof((list)[0]))

/* ---- settings */

typedef struct setting_reading {
    dbk_setting_rule *rule;
    const dbk_json_node *key, *value, *where;
} setting_reading;

static void read_table(dbk_app_reading *a, const dbk_json_node *value, const char *path, void *into)
{
    setting_reading *s = into;

    if (dbk_app_table(a, value, path, &s->rule->table) && !s->rule->table->collection)
        dbk_app_wrong(a, value, "a collection", "'%s': projections write '%s'", path, s->rule->table->name);
}

static void note_key(dbk_app_reading *a, const dbk_json_node *value, const char *path, void *into)
{
    (void)a, (void)path;
    ((setting_reading *)into)->key = value;
}

static void note_value(dbk_app_reading *a, const dbk_json_node *value, const char *path, void *into)
{
    (void)a, (void)path;
    ((setting_reading *)into)->value = value;
}

static void read_where(dbk_app_reading *a, const dbk_json_node *value, const char *path, void *into)
{
    setting_reading *s = into;

    s->where = value;
    if (dbk_app_object(a, value, path)) s->rule->where = dbk_check_text(a->check, value->text);
}

static void read_defaults(dbk_app_reading *a, const dbk_json_node *value, const char *path, void *into)
{
    setting_reading *s = into;

    if (dbk_app_object(a, value, path)) s->rule->defaults = dbk_check_text(a->check, value->text);
}

static void read_row(dbk_app_reading *a, const dbk_json_node *value, const char *path, void *into)
{
    (void)dbk_app_text(a, value, path, &((setting_reading *)into)->rule->row);
}

/* "ui", "ui.json" or "schemas/ui.json" */
static void read_schema(dbk_app_reading *a, const dbk_json_node *value, const char *path, void *into)
{
    setting_reading *s = into;
    const char *text = NULL;

    if (!dbk_app_text(a, value, path, &text)) return;
    if (strncmp(text, "schemas/", 8) == 0) text += 8;
    size_t size = strlen(text);
    if (size > 5 && strcmp(text + size - 5, ".json") == 0) size -= 5;
    s->rule->schema = dbk_check_text(a->check, dbk_slice_of(text, size));
}

/* One name: the file stands in the store's own folder for such files. */
static void read_mirror(dbk_app_reading *a, const dbk_json_node *value, const char *path, void *into)
{
    const char *name = NULL;

    if (!dbk_app_text(a, value, path, &name)) return;
    bool good = name[0] && name[0] != '.' && strlen(name) <= 100 && !strpbrk(name, "/\\");
    if (good) ((setting_reading *)into)->rule->mirror = name;
    else
        dbk_app_wrong(a, value, "\"mirror\": \"ui.json\"", "'%s' is a file's name without folders, 100 bytes at most",
                      path);
}

static void read_watch(dbk_app_reading *a, const dbk_json_node *value, const char *path, void *into)
{
    bool watch = true;

    if (dbk_app_flag(a, value, path, &watch)) ((setting_reading *)into)->rule->no_watch = !watch;
}

static void read_debounce(dbk_app_reading *a, const dbk_json_node *value, const char *path, void *into)
{
    (void)dbk_app_span(a, value, path, &((setting_reading *)into)->rule->debounce_ms);
}

static const dbk_app_key setting_keys[] = {
    {"table", read_table}, {"key", note_key},           {"row", read_row},       {"value", note_value},
    {"where", read_where}, {"defaults", read_defaults}, {"schema", read_schema}, {"query", NULL},
    {"import", NULL},      {"mirror", read_mirror},     {"watch", read_watch},   {"debounce", read_debounce},
    {"secret", NULL},      {"mirror_secrets", NULL},
};

/* With `where` one column of the key is left for the member's name, without it the key is one column. */
static void find_key(dbk_app_reading *a, const dbk_json_node *member, const char *path, setting_reading *s)
{
    const dbk_table *table = s->rule->table;
    bool is_object = s->where && s->where->kind == DBK_JSON_OBJECT;
    int left = 0, key = -1;

    for (uint16_t i = 0; i < table->key_count; i++) {
        if (is_object && dbk_json_member(s->where, table->columns[table->key_columns[i]].name)) continue;
        key = table->key_columns[i];
        left++;
    }
    if (left != 1 || (is_object && s->where->count != (uint32_t)table->key_count - 1))
        dbk_app_wrong(a, member, "a table with one key column, or \"where\" with all others of its key",
                      "'%s': one column of the key of '%s' is for the name", path, table->name);
    else if (s->rule->key >= 0 && s->rule->key != key)
        dbk_app_wrong(a, s->key, "the column of the key that 'where' leaves", "'%s': '%s' is not for the name", path,
                      table->columns[s->rule->key].name);
    else if (table->columns[key].type != DBK_TYPE_TEXT)
        dbk_app_wrong(a, member, "a TEXT column", "'%s': '%s' is no text", path, table->columns[key].name);
    s->rule->key = key;
}

static void find_value(dbk_app_reading *a, const dbk_json_node *member, const char *path, setting_reading *s)
{
    const dbk_table *table = s->rule->table;

    if (s->value)
        (void)dbk_app_column(a, s->value, dbk_app_path(a, path, dbk_slice_text("value")), table, &s->rule->value);
    else s->rule->value = dbk_table_column(table, dbk_slice_text("value"));
    if (s->rule->value < 0 && !s->value)
        dbk_app_wrong(a, member, "\"value\": its JSON column", "'%s': '%s' has no column 'value'", path, table->name);
    else if (s->rule->value >= 0 && table->columns[s->rule->value].type != DBK_TYPE_JSON)
        dbk_app_wrong(a, s->value ? s->value : member, "a JSON column", "'%s': '%s' is no JSON", path,
                      table->columns[s->rule->value].name);
}

/* Columns, when the table is known. */
static void finish_setting(dbk_app_reading *a, const dbk_json_node *member, const char *path, setting_reading *s)
{
    const dbk_table *table = s->rule->table;

    if (!table && member->kind == DBK_JSON_OBJECT && !dbk_json_member(member, "table"))
        dbk_app_wrong(a, member, "\"table\": …", "'%s' names no table", path);
    if (s->rule->schema && !dbk_definition_schema(a->check->definition, dbk_slice_text(s->rule->schema)))
        dbk_app_wrong(a, member, "the name of a file of schemas/ without its ending", "'%s': there is no schema '%s'",
                      path, s->rule->schema);
    if (s->rule->mirror && (strpbrk(s->rule->name, "/\\.") || strlen(s->rule->name) > 60))
        dbk_app_wrong_name(a, member, "letters, digits, '-' and '_'", "'%s' has a mirror: its name is a file's", path);
    if (s->rule->mirror && s->where)
        dbk_app_wrong(a, member, "no 'where'", "'%s': a mirror shows a namespace of one row", path);
    if (s->rule->mirror && dbk_app_archive_may_be(a->app, s->rule->mirror))
        dbk_app_wrong(a, member, "a folder in the path of the archive",
                      "'%s': '%s' may be the archive of a retention rule", path, s->rule->mirror);
    for (size_t i = 0; s->rule->mirror && i + 1 < a->app->setting_count; i++)
        if (a->app->settings[i].mirror && strcmp(a->app->settings[i].mirror, s->rule->mirror) == 0)
            dbk_app_wrong(a, member, "another file", "'%s': '%s' is the mirror of another namespace", path,
                          s->rule->mirror);
    if (!table) return;
    if (s->key) (void)dbk_app_column(a, s->key, dbk_app_path(a, path, dbk_slice_text("key")), table, &s->rule->key);
    const dbk_json_node *child = s->where && s->where->kind == DBK_JSON_OBJECT ? dbk_json_child(s->where) : NULL;
    for (uint32_t i = 0; child && i < s->where->count; i++, child = dbk_json_next(child))
        (void)dbk_app_column_named(a, child, path, table);
    find_key(a, member, path, s);
    find_value(a, member, path, s);
}

void dbk_app_read_settings(dbk_app_reading *a, const dbk_json_node *value, const char *path, void *into)
{
    const dbk_json_node *child = value->kind == DBK_JSON_OBJECT ? dbk_json_child(value) : NULL;

    (void)into;
    if (!dbk_app_object(a, value, path)) return;
    a->app->settings = dbk_check_take(a->check, (size_t)value->count + 1, sizeof(dbk_setting_rule));
    for (uint32_t i = 0; a->app->settings && i < value->count; i++, child = dbk_json_next(child)) {
        dbk_setting_rule *rule = &a->app->settings[a->app->setting_count++];
        setting_reading s = {.rule = rule};
        const char *inner = dbk_app_path(a, path, child->name);
        *rule = (dbk_setting_rule){.name = dbk_check_text(a->check, child->name), .key = -1, .value = -1};
        dbk_app_members(a, child, inner, setting_keys, COUNT_OF(setting_keys), &s);
        finish_setting(a, child, inner, &s);
    }
}
