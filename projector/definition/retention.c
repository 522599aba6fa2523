/* retention[] and tables.<t>.ttl. Rules of time become deletes (dbk_app.retention); `latest` and `last` are
 * part of the fold (dbk_rules.keep_last). */
#include "projector/definition/app.h"

#include <string.h>

#define COUNT_OF(list) (sizeof(list) / sizeof((list)[0]))

enum { RULE_NAME_MAX = 23, HOUR_MS = 3600000, MINUTE_MS = 60000, DEFAULT_LIMIT = 1000, MOST_LIMIT = 100000 };

typedef struct rule_reading {
    dbk_retention_rule rule;
    const dbk_json_node *keep, *where, *command, *archive;
    bool broken;
} rule_reading;

static dbk_retention_rule *add_rule(dbk_app_reading *a, const dbk_retention_rule *rule)
{
    dbk_app *app = a->app;

    if ((app->retention_count & (app->retention_count + 1)) == 0) { /* full: double */
        dbk_retention_rule *grown = dbk_check_take(a->check, 2 * app->retention_count + 2, sizeof(*grown));
        if (!grown) return NULL;
        if (app->retention_count) memcpy(grown, app->retention, app->retention_count * sizeof(*grown));
        app->retention = grown;
    }
    app->retention[app->retention_count] = *rule;
    return &app->retention[app->retention_count++];
}

void dbk_app_read_ttl(dbk_app_reading *a, const dbk_json_node *value, const char *path, void *into)
{
    dbk_table_reading *t = into;
    int column;

    if (!dbk_app_column(a, value, path, t->table, &column)) return;
    if (t->table->columns[column].type != DBK_TYPE_DATETIME) {
        dbk_app_wrong(a, value, "a DATETIME column", "'%s': '%s' names no time", path, t->table->columns[column].name);
        return;
    }
    t->rules->ttl = column;
    dbk_retention_rule rule = {.table = t->table, .by = column, .every_ms = MINUTE_MS, .limit = DEFAULT_LIMIT};
    rule.name = dbk_check_printf(a->check, "ttl:%s", t->table->name);
    if (rule.name) (void)add_rule(a, &rule);
}

/* ---- where */

/* One expression that closes its own brackets, without parameters. */
static bool is_closed(const char *text)
{
    dbk_slice sql = dbk_slice_text(text);
    int depth = 0;

    for (size_t at = 0; at < sql.size;) {
        size_t blank = dbk_token_blank(sql, at);
        if (blank) {
            at += blank;
            continue;
        }
        dbk_token token = dbk_token_read(sql, at);
        char c = token.kind == DBK_TOKEN_PUNCTUATION ? text[token.begin] : ' ';
        if (token.kind == DBK_TOKEN_BROKEN || token.kind == DBK_TOKEN_PARAMETER || c == ';') return false;
        depth += c == '(' ? 1 : c == ')' ? -1 : 0;
        if (depth < 0) return false;
        at = token.end;
    }
    return depth == 0;
}

static void check_where(dbk_app_reading *a, rule_reading *r, const char *path)
{
    dbk_check *check = a->check;
    sqlite3_stmt *statement = NULL;

    if (!r->rule.where || !r->rule.table) return;
    if (!is_closed(r->rule.where)) {
        dbk_app_wrong(a, r->where, "one condition over the table's columns", "'%s.where' is no condition", path);
        return;
    }
    if (strcasestr(r->rule.where, "'localtime'") || strcasestr(r->rule.where, "'utc'")) {
        dbk_app_wrong(a, r->where, "UTC: leave it out", "'%s.where': the zone differs between devices", path);
        return;
    }
    char *sql = sqlite3_mprintf("SELECT 1 FROM \"%w\" WHERE (%s\n)", r->rule.table->name, r->rule.where);
    check->sandbox.role = DBK_SQL_QUERY;
    check->sandbox.denied[0] = '\0';
    int rc = sql ? sqlite3_prepare_v2(check->db, sql, -1, &statement, NULL) : SQLITE_NOMEM;
    if (rc == SQLITE_NOMEM) check->failed = true;
    else if (rc != SQLITE_OK)
        dbk_app_wrong(a, r->where, NULL, "'%s.where': %s", path,
                      check->sandbox.denied[0] ? check->sandbox.denied : sqlite3_errmsg(check->db));
    check->sandbox.role = DBK_SQL_ENGINE;
    check->sandbox.denied[0] = '\0';
    (void)sqlite3_finalize(statement);
    sqlite3_free(sql);
}

/* ---- keep */

typedef struct keep_reading {
    const dbk_table *table;
    uint64_t last, for_ms;
    int by, per;
} keep_reading;

static void read_last(dbk_app_reading *a, const dbk_json_node *value, const char *path, void *into)
{
    keep_reading *k = into;

    (void)dbk_app_count(a, value, path, 1, 1000000000, &k->last);
}

static void read_for(dbk_app_reading *a, const dbk_json_node *value, const char *path, void *into)
{
    keep_reading *k = into;

    (void)dbk_app_span(a, value, path, &k->for_ms);
}

static void read_by(dbk_app_reading *a, const dbk_json_node *value, const char *path, void *into)
{
    keep_reading *k = into;

    (void)dbk_app_column(a, value, path, k->table, &k->by);
}

static void read_per(dbk_app_reading *a, const dbk_json_node *value, const char *path, void *into)
{
    keep_reading *k = into;

    (void)dbk_app_column(a, value, path, k->table, &k->per);
}

static void keep_last(dbk_app_reading *a, const dbk_json_node *value, const char *path, const keep_reading *k)
{
    dbk_rules *rules = dbk_app_rules(a, (dbk_table *)(uintptr_t)k->table);

    if (!rules) return;
    if (rules->keep_last) {
        dbk_app_wrong(a, value, "one of them", "'%s': another rule says already how many rows of '%s' stay", path,
                      k->table->name);
        return;
    }
    rules->keep_last = k->last;
    rules->keep_by = k->by;
    rules->keep_per = k->per;
}

static void read_keep(dbk_app_reading *a, rule_reading *r, const char *path)
{
    static const dbk_app_key keys[] = {{"last", read_last}, {"for", read_for}, {"by", read_by}, {"per", read_per}};
    static const char *const words[] = {"all", "latest"};
    const dbk_table *table = r->rule.table;
    keep_reading k = {.table = table, .by = -1, .per = -1};
    size_t word = 0, before = a->check->report->errors;

    if (r->keep->kind != DBK_JSON_OBJECT) {
        if (!dbk_app_choice(a, r->keep, path, words, COUNT_OF(words), &word) || word == 0) return;
        k.last = 1;
    } else {
        dbk_app_members(a, r->keep, path, keys, COUNT_OF(keys), &k);
        if (a->check->report->errors > before) return;
    }
    if (k.by < 0 && table->rules) k.by = table->rules->created;
    if ((k.last != 0) == (k.for_ms != 0))
        dbk_app_wrong(a, r->keep, "{\"last\": 100} or {\"for\": \"30 days\"}",
                      "'%s' says how many rows, or for how long", path);
    else if (k.by < 0)
        dbk_app_wrong(a, r->keep, "\"by\": a column", "'%s': '%s' has no 'created' stamp to order its rows by", path,
                      table->name);
    else if (k.for_ms && table->columns[k.by].type != DBK_TYPE_DATETIME)
        dbk_app_wrong(a, r->keep, "a DATETIME column", "'%s': '%s' names no time", path, table->columns[k.by].name);
    else if (k.last) keep_last(a, r->keep, path, &k);
    r->rule.by = k.for_ms ? k.by : -1;
    r->rule.older_ms = k.for_ms;
}

/* ---- one rule */

static bool is_rule_name(dbk_slice name)
{
    if (name.size == 0 || name.size > RULE_NAME_MAX || name.data[0] < 'a' || name.data[0] > 'z') return false;
    for (size_t i = 1; i < name.size; i++) {
        uint8_t c = name.data[i];
        if (!((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-')) return false;
    }
    return true;
}

static void read_name(dbk_app_reading *a, const dbk_json_node *value, const char *path, void *into)
{
    rule_reading *r = into;

    if (value->kind != DBK_JSON_STRING || !is_rule_name(value->text)) {
        dbk_app_wrong(a, value, "\"old-jobs\"",
                      "'%s' is lower-case letters, digits and '-', %d at most, a letter first", path, RULE_NAME_MAX);
        return;
    }
    r->rule.name = dbk_check_text(a->check, value->text);
    for (size_t i = 0; r->rule.name && i < a->app->retention_count; i++)
        if (strcmp(a->app->retention[i].name, r->rule.name) == 0)
            dbk_app_wrong(a, value, "another name", "'%s': '%s' stands twice", path, r->rule.name);
}

static void read_table(dbk_app_reading *a, const dbk_json_node *value, const char *path, void *into)
{
    rule_reading *r = into;

    r->broken = !dbk_app_table(a, value, path, &r->rule.table);
}

static void read_where(dbk_app_reading *a, const dbk_json_node *value, const char *path, void *into)
{
    rule_reading *r = into;
    const char *text = NULL;

    r->where = value;
    if (value->kind == DBK_JSON_STRING && value->text.size && !memchr(value->text.data, 0, value->text.size))
        text = dbk_check_text(a->check, value->text);
    if (!text) dbk_app_wrong(a, value, "\"status = 'done'\"", "'%s' is an SQL condition", path);
    r->rule.where = text;
}

static void note_keep(dbk_app_reading *a, const dbk_json_node *value, const char *path, void *into)
{
    rule_reading *r = into;

    (void)a, (void)path;
    r->keep = value;
}

static void read_every(dbk_app_reading *a, const dbk_json_node *value, const char *path, void *into)
{
    rule_reading *r = into;

    (void)dbk_app_span(a, value, path, &r->rule.every_ms);
}

static void read_limit(dbk_app_reading *a, const dbk_json_node *value, const char *path, void *into)
{
    rule_reading *r = into;

    (void)dbk_app_count(a, value, path, 1, MOST_LIMIT, &r->rule.limit);
}

static void note_do(dbk_app_reading *a, const dbk_json_node *value, const char *path, void *into)
{
    rule_reading *r = into;

    (void)a, (void)path;
    r->command = value;
}

static void note_archive(dbk_app_reading *a, const dbk_json_node *value, const char *path, void *into)
{
    rule_reading *r = into;

    (void)a, (void)path;
    r->archive = value;
}

static void refuse_files(dbk_app_reading *a, const dbk_json_node *value, const char *path, void *into)
{
    (void)into;
    dbk_app_wrong_name(a, value, "leave it out", "'%s' needs the file classes, which come with a later version", path);
}

static void refuse_events(dbk_app_reading *a, const dbk_json_node *value, const char *path, void *into)
{
    (void)into;
    dbk_app_wrong_name(a, value, "leave it out", "'%s' needs the trimming of the log, which comes with a later version",
                       path);
}

static bool is_key_column(const dbk_table *table, const char *name)
{
    for (uint16_t i = 0; i < table->key_count; i++)
        if (strcmp(table->columns[table->key_columns[i]].name, name) == 0) return true;
    return false;
}

static bool has_argument(const dbk_app_command *command, const char *name)
{
    for (uint16_t i = 0; i < command->argument_count; i++)
        if (strcmp(command->arguments[i].name, name) == 0) return true;
    return false;
}

/* A command of the app that is given the row's key, and needs nothing else. */
static void read_do(dbk_app_reading *a, const char *path, rule_reading *r)
{
    const dbk_table *table = r->rule.table;
    const char *name = NULL;

    if (!r->command || !dbk_app_text(a, r->command, path, &name)) return;
    const dbk_app_command *command = dbk_definition_command(a->check->definition, dbk_slice_text(name));
    if (!command) {
        dbk_app_wrong(a, r->command, "a command of commands.sql", "'%s': there is no command '%s'", path, name);
        return;
    }
    for (uint16_t i = 0; i < table->key_count; i++) {
        const char *column = table->columns[table->key_columns[i]].name;
        if (!has_argument(command, column))
            dbk_app_wrong(a, r->command, "the columns of the key as arguments", "'%s': '%s' has no argument '%s'", path,
                          name, column);
    }
    for (uint16_t i = 0; i < command->argument_count; i++) {
        const dbk_argument *argument = &command->arguments[i];
        if (!argument->optional && !argument->default_sql && !is_key_column(table, argument->name))
            dbk_app_wrong(a, r->command, "a default for it", "'%s': '%s' needs '%s', which is not of the key of '%s'",
                          path, name, argument->name, table->name);
    }
    r->rule.command = command;
}

/* What a rule comes to when its parts are known. */
static void finish_rule(dbk_app_reading *a, const dbk_json_node *value, const char *path, rule_reading *r)
{
    size_t before = a->check->report->errors;

    if (!dbk_json_member(value, "name"))
        dbk_app_wrong(a, value, "\"name\": \"old-jobs\"", "'%s.name' is missing", path);
    if (!r->rule.table) {
        bool other = dbk_json_member(value, "files") || dbk_json_member(value, "events");
        if (!r->broken && !other) dbk_app_wrong(a, value, "\"table\": …", "'%s.table' is missing", path);
        return;
    }
    if (!r->where && !r->keep) dbk_app_wrong(a, value, "\"where\": …, or \"keep\": …", "'%s' says not what goes", path);
    if (r->where && r->keep) dbk_app_wrong(a, value, "two rules", "'%s' has both 'where' and 'keep'", path);
    else if (r->keep) read_keep(a, r, dbk_app_path(a, path, dbk_slice_text("keep")));
    check_where(a, r, path);
    bool timed = r->rule.where || r->rule.by >= 0;
    read_do(a, dbk_app_path(a, path, dbk_slice_text("do")), r);
    if (r->command && !timed && (r->where || r->keep))
        dbk_app_wrong(a, r->command, "leave it out", "'%s.do': how many rows stay is no rule of time", path);
    if (r->archive && timed) dbk_app_archive(a, r->archive, dbk_app_path(a, path, dbk_slice_text("archive")), &r->rule);
    else if (r->archive && r->keep)
        dbk_app_wrong(a, r->archive, "leave it out, or \"keep\": {\"for\": …}",
                      "'%s.archive': how many rows stay is part of the fold, which writes no files", path);
    if (timed && !r->rule.table->collection && !r->command)
        dbk_app_wrong(a, value, "\"do\": a command whose event a projection reads",
                      "'%s': projections write '%s', so its rows are not deleted by a rule of time", path,
                      r->rule.table->name);
    if (timed && r->rule.name && a->check->report->errors == before) (void)add_rule(a, &r->rule);
}

static const dbk_app_key rule_keys[] = {
    {"name", read_name},   {"table", read_table},     {"where", read_where},   {"keep", note_keep},
    {"every", read_every}, {"limit", read_limit},     {"files", refuse_files}, {"events", refuse_events},
    {"do", note_do},       {"archive", note_archive},
};

void dbk_app_read_retention(dbk_app_reading *a, const dbk_json_node *value, const char *path, void *into)
{
    const dbk_json_node *item = value->kind == DBK_JSON_ARRAY ? dbk_json_child(value) : NULL;

    (void)into;
    if (!dbk_app_array(a, value, path)) return;
    for (uint32_t i = 0; i < value->count && !a->check->failed; i++, item = dbk_json_next(item)) {
        rule_reading r = {.rule = {.by = -1, .every_ms = HOUR_MS, .limit = DEFAULT_LIMIT}};
        const char *inner = dbk_check_printf(a->check, "%s[%u]", path, i);
        if (!inner) return;
        dbk_app_members(a, item, inner, rule_keys, COUNT_OF(rule_keys), &r);
        if (item->kind == DBK_JSON_OBJECT) finish_rule(a, item, inner, &r);
    }
}
