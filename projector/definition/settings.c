/* settings of app.json, read into a list; what cannot be carried out yet is refused by name behind its checks. */
#include "projector/definition/app.h"

#include "projector/json_schema.h"

#define COUNT_OF(list) (sizeof(list) / sizeof((list)[0]))

/* ---- settings */

typedef struct setting_reading {
    dbk_setting_rule *rule;
    const dbk_json_node *key, *value, *where, *import, *defaults;
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

    if (!dbk_app_object(a, value, path)) return;
    s->defaults = value;
    s->rule->defaults = dbk_check_text(a->check, value->text);
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

static void read_mirror(dbk_app_reading *a, const dbk_json_node *value, const char *path, void *into)
{
    dbk_app_read_mirror(a, value, path, ((setting_reading *)into)->rule);
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

static bool says_each_column_once(dbk_app_reading *a, const dbk_named_query *query)
{
    sqlite3_stmt *statement = NULL;
    bool once = true;

    if (sqlite3_prepare_v2(a->check->db, query->sql, -1, &statement, NULL) != SQLITE_OK) return true; /* said there */
    for (int i = 1; i < sqlite3_column_count(statement); i++)
        for (int k = 0; k < i; k++) {
            const char *name = sqlite3_column_name(statement, i), *other = sqlite3_column_name(statement, k);
            if (!name || !other) a->check->failed = true;
            else once = once && strcmp(name, other) != 0;
        }
    (void)sqlite3_finalize(statement);
    return once;
}

/* Those of async models are no part of it: their rows are a moment behind. */
static void refuse_query(dbk_app_reading *a, const dbk_json_node *value, const char *path, const char *name)
{
    const dbk_definition *definition = a->check->definition;
    const char *names[DBK_QUERIES_MAX];

    for (size_t i = 0; i < definition->query_count; i++) names[i] = definition->queries[i].name;
    const char *near = dbk_check_nearest(a->check, dbk_slice_text(name), names, definition->query_count);
    dbk_app_wrong(a, value, near ? near : "the name of one", "'%s': queries.sql has no query '%s'", path, name);
}

/* It is asked without arguments, and each row is an object. */
static void read_query(dbk_app_reading *a, const dbk_json_node *value, const char *path, void *into)
{
    const char *name = NULL;

    if (!dbk_app_text(a, value, path, &name)) return;
    const dbk_named_query *query = dbk_definition_query(a->check->definition, dbk_slice_text(name));
    if (!query) {
        refuse_query(a, value, path, name);
        return;
    }
    for (uint16_t i = 0; i < query->argument_count; i++)
        if (!query->arguments[i].optional && !query->arguments[i].default_sql)
            dbk_app_wrong(a, value, "a default for it", "'%s': '%s' needs the argument '%s', and nobody gives it", path,
                          name, query->arguments[i].name);
    if (!says_each_column_once(a, query))
        dbk_app_wrong(a, value, "AS with another name for one of them",
                      "'%s': rows of '%s' are objects, and two columns have one name", path, name);
    ((setting_reading *)into)->rule->query = query;
}

static void note_import(dbk_app_reading *a, const dbk_json_node *value, const char *path, void *into)
{
    (void)a, (void)path;
    ((setting_reading *)into)->import = value;
}

static const dbk_app_key setting_keys[] = {
    {"table", read_table},   {"key", note_key},           {"row", read_row},       {"value", note_value},
    {"where", read_where},   {"defaults", read_defaults}, {"schema", read_schema}, {"query", read_query},
    {"import", note_import}, {"mirror", read_mirror},     {"watch", read_watch},   {"debounce", read_debounce},
    {"secret", NULL},        {"mirror_secrets", NULL},
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

/* A command of the app that is given the edited file, and needs nothing else. */
static void find_import(dbk_app_reading *a, const char *path, setting_reading *s)
{
    const char *name = NULL, *inner = dbk_app_path(a, path, dbk_slice_text("import"));

    if (!dbk_app_text(a, s->import, inner, &name)) return;
    const dbk_app_command *command = dbk_definition_command(a->check->definition, dbk_slice_text(name));
    if (!command)
        dbk_app_wrong(a, s->import, "a command of commands.sql", "'%s': there is no command '%s'", inner, name);
    else if (command->argument_count != 1 || command->arguments[0].type != DBK_TYPE_JSON)
        dbk_app_wrong(a, s->import, "-- command NAME(rows JSON)",
                      "'%s': '%s' takes other arguments than the edited rows", inner, name);
    else if (s->rule->no_watch)
        dbk_app_wrong(a, s->import, "one of them", "'%s': with 'watch' false nobody looks for edits", inner);
    s->rule->import = command;
}

static void finish_query(dbk_app_reading *a, const dbk_json_node *member, const char *path, setting_reading *s)
{
    static const char *const of_tables[] = {"table", "key", "row", "value", "where", "defaults"};

    for (size_t i = 0; i < COUNT_OF(of_tables); i++) {
        const dbk_json_node *other = dbk_json_member(member, of_tables[i]);
        if (other)
            dbk_app_wrong_name(a, other, "leave it out", "'%s.%s': the rows are those of the query", path,
                               of_tables[i]);
    }
    if (!dbk_json_member(member, "mirror"))
        dbk_app_wrong(a, member, "\"mirror\": \"rows.json\"", "'%s' shows the rows of a query in no file", path);
    if (s->import) find_import(a, path, s);
}

/* Of a row for each member each by itself, as what is set. */
static void judge_default(dbk_app_reading *a, const dbk_json_node *member, const char *path, dbk_slice text,
                          const dbk_json_schema *schema)
{
    const dbk_json_node *root;
    dbk_error err = {0};
    dbk_json_parser *parser = dbk_json_parser_new(a->check->port);
    dbk_result result = parser ? dbk_json_parse(parser, text, &root, &err) : DBK_NO_MEMORY;

    if (result == DBK_OK) result = dbk_json_schema_judge(schema, root, NULL, &err);
    if (result == DBK_NO_MEMORY) a->check->failed = true;
    else if (result != DBK_OK)
        dbk_app_doubt_name(a, member, "defaults that a set would accept", "'%s' does not fit the schema: %s", path,
                           err.text); /* no error: stores with such an app are opened all the same */
    dbk_json_parser_free(parser);
}

static void judge_defaults(dbk_app_reading *a, const char *path, setting_reading *s)
{
    const char *name = s->rule->schema, *inner = dbk_app_path(a, path, dbk_slice_text("defaults"));
    const dbk_json_schema *schema = name ? dbk_definition_schema(a->check->definition, dbk_slice_text(name)) : NULL;
    const dbk_json_node *child = s->defaults ? dbk_json_child(s->defaults) : NULL;
    dbk_buffer text;

    if (!schema || !child) return;
    if (!s->where) {
        judge_default(a, s->defaults, inner, s->defaults->text, schema);
        return;
    }
    dbk_buffer_init(&text, a->check->port);
    for (uint32_t i = 0; i < s->defaults->count; i++, child = dbk_json_next(child)) {
        dbk_buffer_clear(&text);
        dbk_buffer_put_u8(&text, '{');
        dbk_json_put_string(&text, child->name);
        dbk_buffer_put_u8(&text, ':');
        dbk_json_put_minimal(&text, child);
        dbk_buffer_put_u8(&text, '}');
        if (text.failed) a->check->failed = true;
        else judge_default(a, child, dbk_app_path(a, inner, child->name), dbk_buffer_slice(&text), schema);
    }
    dbk_buffer_release(&text);
}

/* Columns, when the table is known. */
static void finish_setting(dbk_app_reading *a, const dbk_json_node *member, const char *path, setting_reading *s)
{
    const dbk_table *table = s->rule->table;
    bool asks = member->kind == DBK_JSON_OBJECT && dbk_json_member(member, "query");

    if (!asks && !table && member->kind == DBK_JSON_OBJECT && !dbk_json_member(member, "table"))
        dbk_app_wrong(a, member, "\"table\": …", "'%s' names no table", path);
    if (s->rule->schema && !dbk_definition_schema(a->check->definition, dbk_slice_text(s->rule->schema)))
        dbk_app_wrong(a, member, "the name of a file of schemas/ without its ending", "'%s': there is no schema '%s'",
                      path, s->rule->schema);
    if (member->kind == DBK_JSON_OBJECT) dbk_app_check_template(a, member, path, s->rule);
    if (s->rule->mirror && s->where && !asks)
        dbk_app_wrong(a, member, "no 'where'", "'%s': a mirror shows a namespace of one row", path);
    if (s->rule->mirror) dbk_app_check_mirror(a, member, path, s->rule);
    if (asks) {
        finish_query(a, member, path, s);
        return;
    }
    if (s->import)
        dbk_app_wrong(a, s->import, "\"query\": …, or leave it out", "'%s.import' takes edited rows of a query", path);
    judge_defaults(a, path, s);
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
        dbk_app_name_setting(a, child, inner, rule);
        dbk_app_members(a, child, inner, setting_keys, COUNT_OF(setting_keys), &s);
        finish_setting(a, child, inner, &s);
    }
}
