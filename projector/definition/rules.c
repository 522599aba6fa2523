/* tables.<t>: what DDL cannot say about a collection. */
#include "projector/definition/app.h"

#define COUNT_OF(list) (sizeof(list) / sizeof((list)[0]))

dbk_rules *dbk_app_rules(dbk_app_reading *a, dbk_table *table)
{
    dbk_rules *rules = (dbk_rules *)(uintptr_t)table->rules;

    if (rules) return rules;
    rules = dbk_check_take(a->check, 1, sizeof(*rules));
    if (!rules) return NULL;
    rules->created = rules->updated = rules->ttl = rules->keep_by = rules->keep_per = -1;
    table->rules = rules;
    return rules;
}

static void read_version(dbk_app_reading *a, const dbk_json_node *value, const char *path, void *into)
{
    dbk_table_reading *t = into;
    uint64_t version;

    if (dbk_app_count(a, value, path, 1, UINT32_MAX, &version)) t->table->version = (uint32_t)version;
}

/* ---- id */

static bool fits(const dbk_table *table, dbk_key_maker maker)
{
    const dbk_column *key = &table->columns[table->key_columns[0]];

    switch (maker) {
    case DBK_KEY_OF_CLIENT: return true;
    case DBK_KEY_UUID7:
    case DBK_KEY_UUID4: return key->type == DBK_TYPE_UUID || key->type == DBK_TYPE_TEXT;
    case DBK_KEY_INTEGER: return key->type == DBK_TYPE_INTEGER;
    case DBK_KEY_TEXT: break;
    }
    return key->type == DBK_TYPE_TEXT;
}

static void read_id(dbk_app_reading *a, const dbk_json_node *value, const char *path, void *into)
{
    static const char *const names[] = {"none", "uuid7", "uuid4", "integer", "text"};
    static const char *const types[] = {"", "UUID or TEXT", "UUID or TEXT", "INTEGER", "TEXT"};
    dbk_table_reading *t = into;
    size_t maker;

    if (!dbk_app_choice(a, value, path, names, COUNT_OF(names), &maker)) return;
    if (maker != DBK_KEY_OF_CLIENT && t->table->key_count != 1)
        dbk_app_wrong(a, value, "one key column, or 'none'", "'%s': the key of '%s' has %u columns", path,
                      t->table->name, t->table->key_count);
    else if (t->table->key_count && !fits(t->table, (dbk_key_maker)maker))
        dbk_app_wrong(a, value, types[maker], "'%s': '%s' does not fit the key column '%s'", path, names[maker],
                      t->table->columns[t->table->key_columns[0]].name);
    else t->rules->id = (dbk_key_maker)maker;
}

/* ---- stamps */

static void read_stamp(dbk_app_reading *a, const dbk_json_node *value, const char *path, const dbk_table *table,
                       int *out)
{
    int column;

    if (!dbk_app_column(a, value, path, table, &column)) return;
    if (table->columns[column].type != DBK_TYPE_DATETIME || table->columns[column].key_part)
        dbk_app_wrong(a, value, "a DATETIME column outside the key", "'%s': '%s' cannot hold a stamp", path,
                      table->columns[column].name);
    else *out = column;
}

static void read_created(dbk_app_reading *a, const dbk_json_node *value, const char *path, void *into)
{
    dbk_table_reading *t = into;

    read_stamp(a, value, path, t->table, &t->rules->created);
}

static void read_updated(dbk_app_reading *a, const dbk_json_node *value, const char *path, void *into)
{
    dbk_table_reading *t = into;

    read_stamp(a, value, path, t->table, &t->rules->updated);
}

static void read_stamps(dbk_app_reading *a, const dbk_json_node *value, const char *path, void *into)
{
    static const dbk_app_key keys[] = {{"created", read_created}, {"updated", read_updated}};
    dbk_table_reading *t = into;

    dbk_app_members(a, value, path, keys, COUNT_OF(keys), into);
    if (t->rules->created >= 0 && t->rules->created == t->rules->updated)
        dbk_app_wrong_name(a, value, "two columns", "'%s': one column cannot be both stamps", path);
}

/* ---- columns */

static bool *column_flags(dbk_app_reading *a, const dbk_table *table)
{
    return dbk_check_take(a->check, (size_t)table->column_count + 1, sizeof(bool));
}

static void read_derived(dbk_app_reading *a, const dbk_json_node *value, const char *path, void *into)
{
    dbk_table_reading *t = into;
    const dbk_json_node *item = value->kind == DBK_JSON_ARRAY ? dbk_json_child(value) : NULL;
    int column;

    if (!dbk_app_array(a, value, path)) return;
    bool *derived = column_flags(a, t->table);
    for (uint32_t i = 0; derived && i < value->count; i++, item = dbk_json_next(item)) {
        if (!dbk_app_column(a, item, path, t->table, &column)) continue;
        if (t->table->columns[column].key_part)
            dbk_app_wrong(a, item, "another column", "'%s': a key column is not derived", path);
        else derived[column] = true;
    }
    if (value->count) t->rules->derived = derived;
}

static void read_cleaning(dbk_app_reading *a, const dbk_json_node *value, const char *path, uint8_t *out)
{
    static const char *const names[] = {"strip-control", "no-traversal", "trim", "nfc"};
    static const uint8_t flags[] = {DBK_SANITIZE_CONTROL, DBK_SANITIZE_TRAVERSAL, DBK_SANITIZE_TRIM, DBK_SANITIZE_NFC};
    const dbk_json_node *item = value->kind == DBK_JSON_ARRAY ? dbk_json_child(value) : NULL;
    size_t which;

    if (!dbk_app_array(a, value, path)) return;
    for (uint32_t i = 0; i < value->count; i++, item = dbk_json_next(item)) {
        if (dbk_app_choice(a, item, path, names, COUNT_OF(names), &which)) *out |= flags[which];
    }
}

static void read_sanitize(dbk_app_reading *a, const dbk_json_node *value, const char *path, void *into)
{
    dbk_table_reading *t = into;
    const dbk_json_node *child = value->kind == DBK_JSON_OBJECT ? dbk_json_child(value) : NULL;

    if (!dbk_app_object(a, value, path)) return;
    uint8_t *flags = dbk_check_take(a->check, (size_t)t->table->column_count + 1, sizeof(*flags));
    for (uint32_t i = 0; flags && i < value->count; i++, child = dbk_json_next(child)) {
        const char *inner = dbk_app_path(a, path, child->name);
        int column = dbk_app_column_named(a, child, path, t->table);
        if (column < 0) continue;
        if (t->table->columns[column].type != DBK_TYPE_TEXT || t->table->columns[column].key_part)
            dbk_app_wrong_name(a, child, "a TEXT column outside the key", "'%s' is not such a column", inner);
        else read_cleaning(a, child, inner, &flags[column]);
    }
    if (value->count) t->rules->sanitize = flags;
}

static void read_max_row(dbk_app_reading *a, const dbk_json_node *value, const char *path, void *into)
{
    dbk_table_reading *t = into;
    uint64_t bytes;

    if (dbk_app_size(a, value, path, &bytes)) t->rules->max_row = bytes == UINT64_MAX ? 0 : bytes;
}

static void read_history(dbk_app_reading *a, const dbk_json_node *value, const char *path, void *into)
{
    static const char *const names[] = {"all", "none"};
    dbk_table_reading *t = into;
    size_t which;

    if (dbk_app_choice(a, value, path, names, COUNT_OF(names), &which)) t->rules->no_history = which == 1;
}

static void read_logged(dbk_app_reading *a, const dbk_json_node *value, const char *path, void *into)
{
    bool logged = true;

    (void)into;
    if (dbk_app_flag(a, value, path, &logged) && !logged)
        dbk_app_wrong(a, value, "leave it out", "'%s': tables outside the log come with a later version", path);
}

/* ---- all of a table */

static const dbk_app_key table_keys[] = {
    {"id", read_id},
    {"version", read_version},
    {"stamps", read_stamps},
    {"states", dbk_app_read_states},
    {"ttl", dbk_app_read_ttl},
    {"logged", read_logged},
    {"history", read_history},
    {"derived", read_derived},
    {"sanitize", read_sanitize},
    {"max_row", read_max_row},
    {"messages", dbk_app_read_messages},
    {"sync", dbk_app_read_sync},
};

void dbk_app_read_tables(dbk_app_reading *a, const dbk_json_node *value, const char *path, void *into)
{
    const dbk_json_node *child = value->kind == DBK_JSON_OBJECT ? dbk_json_child(value) : NULL;

    (void)into;
    if (!dbk_app_object(a, value, path)) return;
    for (uint32_t i = 0; i < value->count && !a->check->failed; i++, child = dbk_json_next(child)) {
        dbk_table_reading t = {.table =
                                   (dbk_table *)(uintptr_t)dbk_definition_table(a->check->definition, child->name)};
        if (!t.table) {
            if (a->check->definition->table_count || !a->check->report->errors)
                dbk_app_wrong_name(a, child, dbk_check_nearest_table(a->check, child->name),
                                   "'%s': there is no table '%.*s'", path, DBK_SLICE_ARG(child->name));
            continue;
        }
        t.rules = dbk_app_rules(a, t.table);
        if (t.rules)
            dbk_app_members(a, child, dbk_app_path(a, path, child->name), table_keys, COUNT_OF(table_keys), &t);
    }
}

static void settle(dbk_table *table, dbk_rules *rules)
{
    rules->records = rules->guard || rules->edit_wins;
    rules->merges = rules->fields || rules->records || rules->suffix || rules->keep_last;
    rules->decides = rules->merges || rules->created >= 0 || rules->updated >= 0 || rules->machine_count ||
                     rules->derived || rules->sanitize || rules->max_row;
    /* what one event does then depends on other rows, or takes more than one statement */
    if (rules->keep_last || rules->derived) table->row_local = false;
    if (rules->merges || rules->derived) table->tied = false;
    rules->keep_chains = rules->keep_last && !table->self_contained;
    if (rules->keep_last || rules->suffix) table->self_contained = false;
}

/* Rules judge put, patch and delete, which a table of projections does not have. */
static void check_collections(dbk_app_reading *a)
{
    const dbk_json_node *tables = a->root ? dbk_json_member(a->root, "tables") : NULL;
    const dbk_json_node *child = tables && tables->kind == DBK_JSON_OBJECT ? dbk_json_child(tables) : NULL;

    for (uint32_t i = 0; child && i < tables->count; i++, child = dbk_json_next(child)) {
        const dbk_table *table = dbk_definition_table(a->check->definition, child->name);
        if (!table || table->collection) continue;
        dbk_app_wrong_name(
            a, child, table->rules && table->rules->derived ? "UPDATE of its derived columns alone" : "leave it out",
            "'tables.%s': projections write '%s', so nobody puts or patches its rows", table->name, table->name);
    }
}

void dbk_app_settle(dbk_app_reading *a)
{
    dbk_definition *definition = a->check->definition;

    check_collections(a);

    for (size_t i = 0; i < definition->table_count; i++) {
        dbk_table *table = &definition->tables[i];
        if (table->rules) settle(table, (dbk_rules *)(uintptr_t)table->rules);
    }
}
