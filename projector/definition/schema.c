/* schema.sql: each statement is judged by its first words, then run in the scratch database. */
#include <strings.h>

#include "projector/definition/internal.h"

static const struct {
    const char *word, *text, *advice;
} refused_words[] = {
    {"insert", "a schema holds DDL only: no INSERT", "put the rows by commands, or give columns a DEFAULT"},
    {"update", "a schema holds DDL only: no UPDATE", NULL},
    {"delete", "a schema holds DDL only: no DELETE", NULL},
    {"replace", "a schema holds DDL only: no REPLACE", NULL},
    {"select", "a schema holds DDL only: no SELECT", "put it into queries.sql below '-- query name()'"},
    {"with", "a schema holds DDL only: no WITH", NULL},
    {"pragma", "no PRAGMA: the engine sets the connection up", "leave it out"},
    {"attach", "no ATTACH: a model is one file", "leave it out"},
    {"detach", "no DETACH: a model is one file", "leave it out"},
    {"alter", "no ALTER: a schema says how tables are, not how they came about", "change the CREATE TABLE itself"},
    {"drop", "no DROP: a schema says what there is", "leave out what shall not be"},
    {"begin", "no transactions: the engine makes them", "leave it out"},
    {"commit", "no transactions: the engine makes them", "leave it out"},
    {"end", "no transactions: the engine makes them", "leave it out"},
    {"rollback", "no transactions: the engine makes them", "leave it out"},
    {"savepoint", "no transactions: the engine makes them", "leave it out"},
    {"release", "no transactions: the engine makes them", "leave it out"},
    {"vacuum", "no VACUUM in a schema", "leave it out"},
    {"analyze", "no ANALYZE in a schema", "leave it out"},
    {"reindex", "no REINDEX in a schema", "leave it out"},
    {"explain", "no EXPLAIN in a schema", "leave it out"},
};

static void refuse_word(dbk_check *check, const dbk_sql *sql)
{
    for (size_t i = 0; i < sizeof(refused_words) / sizeof(refused_words[0]); i++) {
        if (!dbk_sql_is(sql, 0, refused_words[i].word)) continue;
        dbk_report_error(check->report, dbk_sql_span(sql, 0), refused_words[i].advice, "%s", refused_words[i].text);
        return;
    }
    dbk_report_error(check->report, dbk_sql_span(sql, 0), "CREATE TABLE, CREATE INDEX or CREATE VIEW",
                     "a schema holds DDL only");
}

/* The kinds of CREATE that no definition may hold. */
static bool refuse_create(dbk_check *check, const dbk_sql *sql)
{
    dbk_span at = dbk_sql_span(sql, 1);

    if (dbk_sql_is(sql, 1, "temp") || dbk_sql_is(sql, 1, "temporary"))
        dbk_report_error(check->report, at, "leave TEMP out", "no TEMP: a model keeps what it holds");
    else if (dbk_sql_is(sql, 1, "trigger"))
        dbk_report_error(check->report, at, "a projection on the row's event, or a foreign-key action",
                         "no triggers: what they do would not be seen by the engine");
    else if (dbk_sql_is(sql, 1, "virtual"))
        dbk_report_error(check->report, at, "\"search\": {…} in app.json",
                         "no virtual tables: full text is declared in app.json, and kept by the engine");
    else return false;
    return true;
}

/* Which object a CREATE makes and where its name and body stand; false: SQLite will say what is
 * wrong. */
static bool find_name(dbk_object *object, const dbk_sql *sql)
{
    uint32_t at = 1;

    if (dbk_sql_is(sql, at, "unique")) at++;
    if (dbk_sql_is(sql, at, "table")) object->kind = DBK_OBJECT_TABLE;
    else if (dbk_sql_is(sql, at, "index")) object->kind = DBK_OBJECT_INDEX;
    else if (dbk_sql_is(sql, at, "view")) object->kind = DBK_OBJECT_VIEW;
    else return false;
    at++;
    if (dbk_sql_are(sql, at, "if not exists")) at += 3;
    object->name_token = at++;
    if (object->kind == DBK_OBJECT_INDEX) at += 2;
    while (object->kind == DBK_OBJECT_VIEW && at < sql->count && !dbk_sql_is(sql, at, "as")) at++;
    object->body_token = at < sql->count ? at : 0;
    return true;
}

static bool check_name(dbk_check *check, dbk_object *object)
{
    const dbk_sql *sql = object->sql;
    dbk_span at = dbk_sql_span(sql, object->name_token);

    if (dbk_sql_is(sql, object->name_token + 1, ".")) {
        dbk_report_error(check->report, at, "the name alone", "no database names: a model is one file");
        return false;
    }
    object->name = dbk_sql_name(check->arena, sql, object->name_token);
    if (!object->name) return true; /* no name there: SQLite says so */
    if (strncasecmp(object->name, "_daybook_", 9) == 0 || strcasecmp(object->name, "daybook") == 0) {
        dbk_report_error(check->report, at, "another name", "'%s' is a name of the engine", object->name);
        return false;
    }
    if (strncasecmp(object->name, "sqlite_", 7) == 0) {
        dbk_report_error(check->report, at, "another name", "names with 'sqlite_' belong to SQLite");
        return false;
    }
    if (!dbk_name_valid(dbk_slice_text(object->name))) {
        dbk_report_error(check->report, at, "letters, digits and '_', 63 at most, no digit first", "'%s' is not a name",
                         object->name);
        return false;
    }
    return true;
}

/* IF NOT EXISTS would pass over the second of two tables without a word. */
static bool check_new(dbk_check *check, const dbk_object *object)
{
    const char *taken = object->name ? dbk_check_taken(check, object->name) : NULL;

    if (taken) {
        dbk_report_error(check->report, dbk_sql_span(object->sql, object->name_token), "another name",
                         "'%s' stands in the model '%s' already: names are unique over all models", object->name,
                         taken);
        return false;
    }
    for (const dbk_object *o = check->objects; o && object->name; o = o->next) {
        if (strcasecmp(o->name, object->name) != 0) continue;
        dbk_report_error(check->report, dbk_sql_span(object->sql, object->name_token), "another name",
                         "'%s' stands twice, or differs from '%s' in case only", object->name, o->name);
        return false;
    }
    return true;
}

static void keep_object(dbk_check *check, dbk_object *object)
{
    if (check->last_object) check->last_object->next = object;
    else check->objects = object;
    check->last_object = object;
}

static void keep_refused(dbk_check *check, dbk_object *object)
{
    if (!object->name) return;
    object->next = check->refused;
    check->refused = object;
}

static bool is_as_select(dbk_check *check, const dbk_object *object)
{
    if (object->kind != DBK_OBJECT_TABLE || !dbk_sql_is(object->sql, object->body_token, "as")) return false;
    dbk_report_error(check->report, dbk_sql_span(object->sql, object->body_token),
                     "list the columns with a PRIMARY KEY", "no AS SELECT: a table's columns are written out");
    return true;
}

static void run_statement(dbk_check *check, const dbk_sql *sql)
{
    dbk_object *object = dbk_check_take(check, 1, sizeof(*object));

    if (!object) return;
    object->sql = sql;
    if (!dbk_sql_is(sql, 0, "create")) return refuse_word(check, sql);
    if (refuse_create(check, sql)) {
        if (!dbk_sql_is(sql, 1, "trigger")) check->report->lacks = true;
        return;
    }
    bool known = find_name(object, sql), again = false;
    bool good =
        !known || (check_name(check, object) && !(again = !check_new(check, object)) && !is_as_select(check, object));
    sqlite3_stmt *statement = good ? dbk_check_prepare(check, sql, DBK_SQL_DDL) : NULL;
    if (!statement) {
        if (!again && object->kind != DBK_OBJECT_INDEX) check->report->lacks = true;
        return keep_refused(check, object);
    }
    check->sandbox.role = DBK_SQL_DDL; /* CREATE compiles more SQL while it runs */
    int rc = sqlite3_step(statement);
    if (rc != SQLITE_DONE) dbk_check_refused(check, sql);
    check->sandbox.role = DBK_SQL_ENGINE;
    (void)sqlite3_finalize(statement);
    if (rc == SQLITE_DONE && known && object->name) keep_object(check, object);
    else if (rc != SQLITE_DONE && object->kind != DBK_OBJECT_INDEX) check->report->lacks = true;
}

void dbk_check_schema(dbk_check *check)
{
    const dbk_block *block = check->schema.first;

    size_t count = 0;

    for (const dbk_sql *sql = block ? block->first : NULL; sql && !check->failed; sql = sql->next) {
        if (++count > DBK_OBJECTS_MAX) {
            dbk_report_error(check->report, dbk_sql_span(sql, 0), "fewer tables, indexes and views",
                             "more than %d statements in a schema", DBK_OBJECTS_MAX);
            break;
        }
        if (!sql->broken) run_statement(check, sql);
        else check->report->lacks = true;
    }
}

dbk_object *dbk_check_object(dbk_check *check, const char *name)
{
    for (dbk_object *object = check->objects; object; object = object->next)
        if (object->kind != DBK_OBJECT_INDEX && strcasecmp(object->name, name) == 0) return object;
    return NULL;
}

uint32_t dbk_object_column(const dbk_object *object, const char *column)
{
    const dbk_sql *sql = object->sql;
    uint32_t depth = 0;

    for (uint32_t at = object->body_token; at < sql->count; at++) {
        bool begins = dbk_sql_is(sql, at, "(") ? depth++ == 0 : depth == 1 && dbk_sql_is(sql, at, ",");
        if (dbk_sql_is(sql, at, ")")) depth--;
        if (begins && dbk_sql_named(sql, at + 1, column)) return at + 1;
    }
    return 0;
}
