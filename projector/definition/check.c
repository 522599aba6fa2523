/* The scratch database: SQL is prepared there under the authorizer, and SQLite's refusals become
 * findings with a place and advice. */
#include <stdarg.h>
#include <stdio.h>
#include <strings.h>

#include "projector/definition/internal.h"
#include "projector/model/journal.h"

static int authorize(void *arg, int action, const char *first, const char *second, const char *database,
                     const char *inside)
{
    dbk_check *check = arg;
    int answer = dbk_sandbox_authorize(&check->sandbox, action, first, second, database, inside);

    if (answer == SQLITE_OK && check->track && action == SQLITE_READ && first) {
        const dbk_table *table = dbk_check_table(check, first);
        if (table) check->read[table - check->definition->tables] = true;
    }
    return answer;
}

/* Bounds what the check's own questions may cost: many keys of many columns are asked about in
 * turn. */
static int count_steps(void *arg)
{
    dbk_check *check = arg;

    return ++check->steps > DBK_CHECK_STEPS_MAX;
}

bool dbk_check_open(dbk_check *check, dbk_error *err)
{
    dbk_sqlite_configure();
    int rc =
        sqlite3_open_v2(":memory:", &check->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, NULL);

    if (rc != SQLITE_OK) {
        (void)dbk_fail(err, rc == SQLITE_NOMEM ? DBK_NO_MEMORY : DBK_INTERNAL, "cannot open a scratch database: %s",
                       sqlite3_errstr(rc));
        return false;
    }
    check->sandbox = (dbk_sandbox){.role = DBK_SQL_ENGINE};
    if (dbk_sandbox_install(check->db, &check->sandbox, err)) return false;
    rc = sqlite3_set_authorizer(check->db, authorize, check);
    if (rc == SQLITE_OK) rc = sqlite3_exec(check->db, "PRAGMA foreign_keys = ON", NULL, NULL, NULL);
    (void)sqlite3_limit(check->db, SQLITE_LIMIT_SQL_LENGTH, DBK_SOURCE_MAX_BYTES + 4096);
    (void)sqlite3_limit(check->db, SQLITE_LIMIT_COMPOUND_SELECT, 100);
    (void)sqlite3_limit(check->db, SQLITE_LIMIT_VARIABLE_NUMBER, 1000);
    sqlite3_progress_handler(check->db, 1000, count_steps, check);
    if (rc == SQLITE_OK) return true;
    (void)dbk_fail(err, rc == SQLITE_NOMEM ? DBK_NO_MEMORY : DBK_INTERNAL, "cannot set up a scratch database: %s",
                   sqlite3_errmsg(check->db));
    return false;
}

void dbk_check_close(dbk_check *check)
{
    (void)sqlite3_close(check->db);
    check->db = NULL;
}

void *dbk_check_take(dbk_check *check, size_t count, size_t size)
{
    uint64_t bytes;
    void *memory = dbk_mul(count, size, &bytes) ? dbk_arena_take(check->arena, bytes) : NULL;

    if (memory) memset(memory, 0, bytes);
    else check->failed = true;
    return memory;
}

const char *dbk_check_text(dbk_check *check, dbk_slice text)
{
    dbk_slice copy = dbk_arena_copy(check->arena, text);

    if (!copy.data) check->failed = true;
    return (const char *)copy.data;
}

const char *dbk_check_printf(dbk_check *check, const char *format, ...)
{
    char text[512];
    va_list args;

    va_start(args, format);
    int size = vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    return size < 0 ? "" : dbk_check_text(check, dbk_slice_text(text));
}

sqlite3_stmt *dbk_check_ask(dbk_check *check, const char *format, ...)
{
    sqlite3_stmt *statement = NULL;
    va_list args;

    va_start(args, format);
    char *sql = sqlite3_vmprintf(format, args);
    va_end(args);
    if (!sql || sqlite3_prepare_v2(check->db, sql, -1, &statement, NULL) != SQLITE_OK) check->failed = true;
    sqlite3_free(sql);
    return statement;
}

const char *dbk_check_nearest(dbk_check *check, dbk_slice name, const char *const *names, size_t count)
{
    const char *near = dbk_nearest(name, names, count);

    return near ? dbk_check_printf(check, "did you mean '%s'?", near) : NULL;
}

const char *dbk_check_nearest_table(dbk_check *check, dbk_slice name)
{
    const char *names[DBK_TABLES_MAX * 2];
    size_t count = 0;

    for (const dbk_object *o = check->objects; o && count < DBK_TABLES_MAX * 2; o = o->next)
        if (o->kind != DBK_OBJECT_INDEX) names[count++] = o->name;
    return dbk_check_nearest(check, name, names, count);
}

const char *dbk_check_nearest_column(dbk_check *check, const dbk_table *table, dbk_slice name)
{
    const char *names[DBK_COLUMNS_MAX];
    size_t count = 0;

    while (count < table->column_count && count < DBK_COLUMNS_MAX) {
        names[count] = table->columns[count].name;
        count++;
    }
    return dbk_check_nearest(check, name, names, count);
}

/* A column that no table has: the nearest of all tables that the statement names. */
static const char *nearest_of_named(dbk_check *check, const dbk_sql *sql, dbk_slice name)
{
    for (size_t i = 0; i < check->definition->table_count; i++) {
        const dbk_table *table = &check->definition->tables[i];
        if (dbk_sql_find(sql, 0, table->name) == sql->count) continue;
        const char *advice = dbk_check_nearest_column(check, table, name);
        if (advice) return advice;
    }
    return NULL;
}

/* The token at a byte of the statement's text. */
static uint32_t token_at(const dbk_sql *sql, size_t offset)
{
    for (uint32_t i = 0; i < sql->count; i++)
        if (sql->tokens[i].end > offset) return i;
    return sql->count ? sql->count - 1 : 0;
}

/* The name behind ": " in "no such column: x", behind its table's if it has one. */
static const char *named_in(const char *message)
{
    const char *name = strstr(message, ": ");

    if (strncmp(message, "no such ", 8) != 0 || !name) return NULL;
    const char *dot = strrchr(name, '.');
    return dot ? dot + 1 : name + 2;
}

static const char *advice_for(dbk_check *check, const dbk_sql *sql, const char *message, const char *name)
{
    static const char *const needs_where = "WHERE true before ON CONFLICT: SELECT … WHERE true ON CONFLICT(…) DO …";

    if (strstr(message, "near \"DO\"") && dbk_sql_find(sql, 0, "select") < sql->count) return needs_where;
    if (sql->swallowed && strstr(message, "syntax error"))
        return "a ';' at the end of the statement: a directive stands inside it";
    if (!name) return NULL;
    dbk_slice slice = dbk_slice_text(name);
    const char *taken = strncmp(message, "no such table", 13) == 0 ? dbk_check_taken(check, name) : NULL;
    if (taken) return dbk_check_printf(check, "it is of the model '%s': a model's SQL reads its own tables", taken);
    if (strncmp(message, "no such table", 13) == 0) return dbk_check_nearest_table(check, slice);
    if (strncmp(message, "no such column", 14) == 0) {
        if (dbk_sql_find(sql, 0, name) < sql->count) {
            dbk_slice text = dbk_sql_slice(sql, dbk_sql_find(sql, 0, name));
            if (text.data[0] == '"') return "'text' in single quotes; double quotes are for names";
        }
        return nearest_of_named(check, sql, slice);
    }
    return NULL;
}

/* What the authorizer refused is named in quotes at the head of its text. */
static dbk_span denied_span(const dbk_sql *sql, const char *denied)
{
    char name[72] = "";
    const char *end = denied[0] == '\'' ? strchr(denied + 1, '\'') : NULL;

    if (end && (size_t)(end - denied) < sizeof(name)) {
        memcpy(name, denied + 1, (size_t)(end - denied - 1));
        name[end - denied - 1] = '\0';
    }
    uint32_t token = dbk_sql_find(sql, 0, name);
    if (token == sql->count && strcmp(name, "rowid") == 0) token = dbk_sql_find(sql, 0, "_rowid_");
    if (token == sql->count && strcmp(name, "rowid") == 0) token = dbk_sql_find(sql, 0, "oid");
    return dbk_sql_span(sql, token);
}

/* Follows from an error of the schema that was said where it stands. */
/* The grammar alone: nothing can be said of such a statement by its words. */
static bool is_syntax(const char *message)
{
    return strstr(message, "syntax error") || strstr(message, "incomplete input") ||
           strstr(message, "unrecognized token") || strstr(message, "too large") || strstr(message, "too many") ||
           strstr(message, "overflow");
}

static bool is_consequence(const dbk_check *check, const char *message, const char *name)
{
    if (check->report->errors == 0 || !check->definition->tables) return false;
    if (strncmp(message, "foreign key mismatch", 20) == 0) return true;
    if (strncmp(message, "no such table", 13) != 0 || !name) return false;
    if (!check->definition->schema_sql) return true;
    for (const dbk_object *object = check->refused; object; object = object->next)
        if (strcasecmp(object->name, name) == 0) return true;
    return false;
}

void dbk_check_refused(dbk_check *check, const dbk_sql *sql)
{
    const char *message = sqlite3_errmsg(check->db), *name = named_in(message);
    int offset = sqlite3_error_offset(check->db);
    uint32_t token = offset >= 0 ? token_at(sql, sql->begin + (size_t)offset) : name ? dbk_sql_find(sql, 0, name) : 0;

    if ((sqlite3_errcode(check->db) & 0xff) == SQLITE_NOMEM) {
        check->failed = true;
        return;
    }
    if (strncmp(check->sandbox.denied, "'sqlite_master'", 15) == 0 &&
        dbk_sql_find(sql, 0, "sqlite_master") == sql->count)
        dbk_report_error(check->report, dbk_sql_span(sql, 0), NULL,
                         "a table of SQLite's own shows the database file, not the data");
    else if (check->sandbox.denied[0])
        dbk_report_error(check->report, denied_span(sql, check->sandbox.denied), NULL, "%s", check->sandbox.denied);
    if (check->sandbox.denied[0]) return;
    check->syntax = is_syntax(message);
    if (is_consequence(check, message, name)) return;
    if (name && strncasecmp(name, "_daybook_", 9) == 0) message = "tables of the engine are not for the app's SQL";
    if (strcmp(message, "incomplete input") == 0) token = sql->count - 1;
    const char *advice = advice_for(check, sql, message, name);
    if (name && strncmp(message, "no such table", 13) == 0 && dbk_check_is_search(check, name)) {
        advice = "the table that it searches, with LIKE or instr";
        message = dbk_check_printf(check, "'%s' is a search, which a projection cannot read", name);
        if (!message) return;
    } else if (advice && strstr(advice, "WHERE true"))
        message = "SQLite takes ON CONFLICT behind a SELECT without WHERE for a join";
    dbk_report_error(check->report, dbk_sql_span(sql, token), advice, "%s", message);
}

sqlite3_stmt *dbk_check_prepare(dbk_check *check, const dbk_sql *sql, dbk_sql_role role)
{
    sqlite3_stmt *statement = NULL;

    if (role != DBK_SQL_DDL && !dbk_check_unfold(check, sql)) {
        check->syntax = true;
        return NULL;
    }
    check->sandbox.app = check->definition->app; /* where its searches were made */
    check->sandbox.role = role;
    check->sandbox.denied[0] = '\0';
    int rc = sqlite3_prepare_v2(check->db, sql->text, -1, &statement, NULL);
    if (rc != SQLITE_OK) dbk_check_refused(check, sql);
    check->sandbox.role = DBK_SQL_ENGINE;
    check->sandbox.denied[0] = '\0';
    return statement;
}

/* "INSERT INTO t(a, b) VALUES(?, ?)" with its relatives: what the engine will prepare for commands.
 */
static char *row_sql(dbk_check *check, const dbk_table *table, int kind)
{
    sqlite3_str *sql = sqlite3_str_new(check->db);

    sqlite3_str_appendf(sql,
                        kind == 0   ? "INSERT INTO \"%w\""
                        : kind == 1 ? "UPDATE \"%w\" SET "
                                    : "DELETE FROM \"%w\"",
                        table->name);
    if (kind == 0) sqlite3_str_appendall(sql, " DEFAULT VALUES");
    for (uint16_t i = 0; kind == 1 && i < table->column_count; i++)
        sqlite3_str_appendf(sql, "%s\"%w\" = ?", i ? ", " : "", table->columns[i].name);
    for (uint16_t i = 0; kind != 0 && i < table->key_count; i++)
        sqlite3_str_appendf(sql, "%s\"%w\" = ?", i ? " AND " : " WHERE ", table->columns[table->key_columns[i]].name);
    return sqlite3_str_finish(sql);
}

/* One finding per table: the three statements mostly fail for the same reason. */
static bool check_row(dbk_check *check, dbk_object *object, const dbk_table *table, int kind)
{
    sqlite3_stmt *statement = NULL;
    char *sql = row_sql(check, table, kind);

    check->sandbox.role = DBK_SQL_PROJECTION;
    check->sandbox.denied[0] = '\0';
    int rc = sql ? sqlite3_prepare_v2(check->db, sql, -1, &statement, NULL) : SQLITE_NOMEM;
    if (rc != SQLITE_OK && sql) {
        const char *denied = check->sandbox.denied;
        dbk_span at = denied[0] ? denied_span(object->sql, denied) : dbk_sql_span(object->sql, object->name_token);
        dbk_report_error(check->report, at, NULL, "%s", denied[0] ? denied : sqlite3_errmsg(check->db));
    }
    if (!sql) check->failed = true;
    check->sandbox.role = DBK_SQL_ENGINE;
    check->sandbox.denied[0] = '\0';
    sqlite3_free(sql);
    (void)sqlite3_finalize(statement);
    return rc == SQLITE_OK;
}

/* Defaults are read when a row is inserted, not by CREATE TABLE. */
static void check_defaults(dbk_check *check, dbk_object *object, const dbk_table *table)
{
    for (uint16_t i = 0; i < table->column_count; i++) {
        sqlite3_stmt *statement = NULL;
        char *sql =
            table->columns[i].default_sql ? sqlite3_mprintf("SELECT (%s)", table->columns[i].default_sql) : NULL;
        if (!sql) continue;
        check->sandbox.role = DBK_SQL_PROJECTION;
        if (sqlite3_prepare_v2(check->db, sql, -1, &statement, NULL) != SQLITE_OK) {
            const char *denied = check->sandbox.denied;
            uint32_t column = dbk_object_column(object, table->columns[i].name);
            dbk_span at = denied[0] ? denied_span(object->sql, denied) : dbk_sql_span(object->sql, column);
            dbk_report_error(check->report, at, NULL, "%s", denied[0] ? denied : sqlite3_errmsg(check->db));
            object->doubted = true;
        }
        check->sandbox.role = DBK_SQL_ENGINE;
        check->sandbox.denied[0] = '\0';
        sqlite3_free(sql);
        (void)sqlite3_finalize(statement);
    }
}

static void check_view(dbk_check *check, const dbk_object *object)
{
    dbk_sql select = *object->sql;
    uint32_t body = object->body_token + 1;

    if (!object->body_token || body >= select.count) return;
    select.tokens += body;
    select.count -= body;
    select.text += select.tokens[0].begin - select.begin;
    select.begin = select.tokens[0].begin;
    (void)sqlite3_finalize(dbk_check_prepare(check, &select, DBK_SQL_QUERY));
}

void dbk_check_rows(dbk_check *check)
{
    for (dbk_object *object = check->objects; object && !check->failed; object = object->next) {
        const dbk_table *table = object->kind == DBK_OBJECT_TABLE ? dbk_check_table(check, object->name) : NULL;

        if (object->kind == DBK_OBJECT_VIEW) check_view(check, object);
        if (table) check_defaults(check, object, table);
        if (!table || object->doubted) continue;
        for (int kind = 0; kind < 3 && !check->failed; kind++)
            if (!check_row(check, object, table, kind)) break;
    }
}

/* Warns of whole tables read although a WHERE asks for less. */
void dbk_check_plan(dbk_check *check, const dbk_sql *sql)
{
    uint32_t where = dbk_sql_find(sql, 0, "where");

    if (where == sql->count || dbk_sql_is(sql, where + 1, "true")) return;
    sqlite3_stmt *plan = NULL;
    char *explain = sqlite3_mprintf("EXPLAIN QUERY PLAN %s", sql->text);
    if (!explain || sqlite3_prepare_v2(check->db, explain, -1, &plan, NULL) == SQLITE_NOMEM) check->failed = true;
    sqlite3_free(explain);
    while (plan && sqlite3_step(plan) == SQLITE_ROW) {
        const char *detail = (const char *)sqlite3_column_text(plan, 3);
        if (!detail || strncmp(detail, "SCAN ", 5) != 0 || strstr(detail, " USING ") || strstr(detail, "VIRTUAL"))
            continue;
        dbk_slice name = dbk_slice_of(detail + 5, strcspn(detail + 5, " "));
        const char *table = dbk_check_text(check, name);
        if (!table || !dbk_check_table(check, table)) continue;
        dbk_report_warning(check->report, dbk_sql_span(sql, dbk_sql_find(sql, 0, table)),
                           "an index on the columns of the WHERE", "reads the whole of '%s'", table);
        break;
    }
    (void)sqlite3_finalize(plan);
}
