/* search of app.json: each table of full text is read, judged and made in the scratch database, where
 * SQLite has the last word on tokenizers and names. */
#include "projector/model/search.h"
#include "projector/definition/app.h"

#include <strings.h>

#define COUNT_OF(list) (sizeof(list) / sizeof((list)[0]))

typedef struct search_reading {
    dbk_search_rule *rule;
    const dbk_json_node *tokenize;
} search_reading;

static void read_table(dbk_app_reading *a, const dbk_json_node *value, const char *path, void *into)
{
    (void)dbk_app_table(a, value, path, &((search_reading *)into)->rule->table);
}

static void pass(dbk_app_reading *a, const dbk_json_node *value, const char *path, void *into)
{
    (void)a, (void)value, (void)path, (void)into;
}

/* The words that name a tokenizer; behind "porter" comes the one it works on. Options are judged by SQLite. */
static void read_tokenize(dbk_app_reading *a, const dbk_json_node *value, const char *path, void *into)
{
    static const char *const known[] = {"unicode61", "porter", "ascii", "trigram"};
    search_reading *s = into;
    char word[32] = "";

    if (!dbk_app_text(a, value, path, &s->rule->tokenize)) return;
    s->tokenize = value;
    const char *text = s->rule->tokenize;
    if (strncasecmp(text, "porter ", 7) == 0) text += 7;
    size_t size = strcspn(text, " ");
    if (size < sizeof(word)) memcpy(word, text, size);
    for (size_t i = 0; i < COUNT_OF(known); i++)
        if (strcasecmp(word, known[i]) == 0) return;
    s->tokenize = NULL;
    const char *near = dbk_check_nearest(a->check, dbk_slice_text(word), known, COUNT_OF(known));
    dbk_app_wrong(a, value, near ? near : "unicode61, ascii, trigram, or porter before one of them",
                  "'%s': there is no tokenizer '%.*s'", path, (int)size, text);
    s->rule->tokenize = "unicode61";
}

static void read_columns(dbk_app_reading *a, const dbk_json_node *value, const char *path, dbk_search_rule *rule)
{
    const dbk_json_node *item = value->kind == DBK_JSON_ARRAY ? dbk_json_child(value) : NULL;
    int column;

    if (!dbk_app_array(a, value, path)) return;
    if (value->count == 0) dbk_app_wrong(a, value, "the columns to search", "'%s' is empty", path);
    rule->columns = dbk_check_take(a->check, (size_t)value->count + 1, sizeof(*rule->columns));
    for (uint32_t i = 0; rule->columns && i < value->count; i++, item = dbk_json_next(item)) {
        bool twice = false;
        if (!dbk_app_column(a, item, path, rule->table, &column)) continue;
        for (size_t k = 0; k < rule->column_count; k++) twice = twice || rule->columns[k] == (uint16_t)column;
        if (twice)
            dbk_app_wrong(a, item, "each column once", "'%s': '%s' stands twice", path,
                          rule->table->columns[column].name);
        else if (rule->table->columns[column].type == DBK_TYPE_BLOB)
            dbk_app_wrong(a, item, "a column of text", "'%s': '%s' holds bytes", path,
                          rule->table->columns[column].name);
        else rule->columns[rule->column_count++] = (uint16_t)column;
    }
}

static bool read_name(dbk_app_reading *a, const dbk_json_node *member, const char *path, dbk_search_rule *rule)
{
    const dbk_object *object;

    rule->name = dbk_check_text(a->check, member->name);
    if (!rule->name) return false;
    if (!dbk_name_valid(member->name)) {
        dbk_app_wrong_name(a, member, "letters, digits and '_', 63 at most, no digit first", "'%s' is not a name",
                           path);
    } else if (strncasecmp(rule->name, "_daybook_", 9) == 0 || strncasecmp(rule->name, "sqlite_", 7) == 0) {
        dbk_app_wrong_name(a, member, "another name", "'%s' is a name of the engine", path);
    } else if ((object = dbk_check_object(a->check, rule->name))) {
        dbk_app_wrong_name(a, member, "another name", "'%s': a %s has that name", path,
                           object->kind == DBK_OBJECT_VIEW ? "view" : "table");
    } else {
        return true;
    }
    return false;
}

/* What only SQLite knows: options of tokenizers, names of columns and of FTS5's own tables. */
static void try_it(dbk_app_reading *a, const dbk_json_node *member, const char *path, const search_reading *s)
{
    dbk_check *check = a->check;

    if (!dbk_search_write_sql(check->port, check->arena, s->rule)) {
        check->failed = true;
        return;
    }
    int rc = sqlite3_exec(check->db, s->rule->table_sql, NULL, NULL, NULL);
    if (rc == SQLITE_OK) return;
    if (rc == SQLITE_NOMEM) check->failed = true;
    else if (s->tokenize && strstr(sqlite3_errmsg(check->db), "tokenizer"))
        dbk_app_wrong(a, s->tokenize,
                      "\"unicode61 remove_diacritics 2\", \"porter unicode61\", \"ascii\" or \"trigram\"",
                      "'%s.tokenize': '%s' is refused by FTS5", path, s->rule->tokenize);
    else dbk_app_wrong_name(a, member, NULL, "'%s': %s", path, sqlite3_errmsg(check->db));
}

static bool read_one(dbk_app_reading *a, const dbk_json_node *member, const char *path, search_reading *s)
{
    static const dbk_app_key keys[] = {{"table", read_table}, {"columns", pass}, {"tokenize", read_tokenize}};
    const dbk_json_node *columns = member->kind == DBK_JSON_OBJECT ? dbk_json_member(member, "columns") : NULL;
    size_t before = a->check->report->errors;

    *s->rule = (dbk_search_rule){.tokenize = "unicode61"};
    bool named = read_name(a, member, path, s->rule);
    dbk_app_members(a, member, path, keys, COUNT_OF(keys), s);
    if (member->kind != DBK_JSON_OBJECT) return false;
    if (!dbk_json_member(member, "table")) dbk_app_wrong(a, member, "\"table\": …", "'%s.table' is missing", path);
    if (!columns) dbk_app_wrong(a, member, "\"columns\": […]", "'%s.columns' is missing", path);
    if (columns && s->rule->table) read_columns(a, columns, dbk_app_path(a, path, columns->name), s->rule);
    return named && s->rule->table && s->rule->column_count && !a->check->failed && a->check->report->errors == before;
}

void dbk_app_read_search(dbk_app_reading *a, const dbk_json_node *value, const char *path, void *into)
{
    const dbk_json_node *child = value->kind == DBK_JSON_OBJECT ? dbk_json_child(value) : NULL;

    (void)into;
    if (!dbk_app_object(a, value, path)) return;
    a->app->searches = dbk_check_take(a->check, (size_t)value->count + 1, sizeof(dbk_search_rule));
    for (uint32_t i = 0; a->app->searches && i < value->count; i++, child = dbk_json_next(child)) {
        search_reading s = {.rule = &a->app->searches[a->app->search_count]};
        const char *inner = dbk_app_path(a, path, child->name);
        if (!read_one(a, child, inner, &s)) continue;
        a->app->search_count++;
        try_it(a, child, inner, &s);
    }
}

/* Asked while the searches are not made yet: projections come first. */
bool dbk_check_is_search(const dbk_check *check, const char *name)
{
    const dbk_json_node *root = check->app ? check->app->root : NULL;
    const dbk_json_node *searches = root && root->kind == DBK_JSON_OBJECT ? dbk_json_member(root, "search") : NULL;

    return searches && searches->kind == DBK_JSON_OBJECT && dbk_json_member(searches, name) != NULL;
}
