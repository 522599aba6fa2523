/* What SQLite lets pass and only the words show: DDL that would lie later, projections whose result
 * depends on more than the event and the rows. Words are judged where they stand, so a refusal may
 * be wider than needed, never narrower. */
#include <strings.h>

#include "projector/definition/internal.h"

typedef struct range { /* tokens of a column's definition or of a SELECT */
    uint32_t begin, end;
} range;

static bool is_number(const dbk_sql *sql, uint32_t at)
{
    return at < sql->count && sql->tokens[at].kind == DBK_TOKEN_NUMBER;
}

static bool is_string(const dbk_sql *sql, uint32_t at, const char *text)
{
    dbk_slice slice = dbk_sql_slice(sql, at);

    return at < sql->count && sql->tokens[at].kind == DBK_TOKEN_STRING && slice.size == strlen(text) + 2 &&
           strncasecmp((const char *)slice.data + 1, text, strlen(text)) == 0;
}

static bool is_any(const dbk_sql *sql, uint32_t at, const char *const *words)
{
    for (; *words; words++)
        if (dbk_sql_is(sql, at, *words)) return true;
    return false;
}

/* ---- DDL */

static bool is_clock(const dbk_sql *sql, uint32_t at)
{
    return dbk_sql_is(sql, at, "current_timestamp") || dbk_sql_is(sql, at, "current_date") ||
           dbk_sql_is(sql, at, "current_time") || is_string(sql, at, "now");
}

/* Time is told to a DEFAULT alone: elsewhere it would judge an old row by a new event. */
static void lint_clock(dbk_check *check, const dbk_sql *sql, uint32_t from)
{
    for (uint32_t at = from; at < sql->count; at++) {
        if (dbk_sql_is(sql, at, "default")) {
            at = dbk_sql_is(sql, at + 1, "(") ? dbk_sql_skip(sql, at + 1) - 1 : at + 1;
            continue;
        }
        if (is_clock(sql, at))
            dbk_report_error(check->report, dbk_sql_span(sql, at), "a column with DEFAULT CURRENT_TIMESTAMP",
                             "the time of day may stand in DEFAULT only");
    }
}

static void lint_words(dbk_check *check, const dbk_sql *sql, uint32_t from)
{
    for (uint32_t at = from; at < sql->count; at++) {
        if (dbk_sql_are(sql, at, "on conflict"))
            dbk_report_error(check->report, dbk_sql_span(sql, at), "the constraint alone: commands are refused by name",
                             "no ON CONFLICT clause in DDL: it would change or drop what a command asked for");
        if (dbk_sql_is(sql, at, "autoincrement"))
            dbk_report_warning(check->report, dbk_sql_span(sql, at), "id TEXT PRIMARY KEY with ids made by the app",
                               "keys made by counting differ between devices: refused once sync is set up");
        if (is_string(sql, at, "localtime") || is_string(sql, at, "utc"))
            dbk_report_error(check->report, dbk_sql_span(sql, at), "UTC, without the modifier",
                             "'localtime' and 'utc' depend on the device");
    }
}

static const char *personal_name(const char *name)
{
    static const char *const personal[] = {"email",      "e_mail",    "mail",     "phone",     "telephone",
                                           "mobile",     "ssn",       "iban",     "passport",  "birthday",
                                           "birthdate",  "surname",   "lastname", "last_name", "firstname",
                                           "first_name", "full_name", "fullname", "address"};

    for (size_t i = 0; i < sizeof(personal) / sizeof(personal[0]); i++)
        if (strcasecmp(name, personal[i]) == 0) return personal[i];
    return NULL;
}

static void lint_column(dbk_check *check, const dbk_object *object, const dbk_table *table, const dbk_column *column)
{
    uint32_t token = dbk_object_column(object, column->name);
    dbk_span at = dbk_sql_span(object->sql, token ? token : object->name_token);

    if (strcasecmp(column->declared, "SECRET") == 0 || strncasecmp(column->declared, "SECRET ", 7) == 0)
        dbk_report_error(check->report, at, "leave the column out", "SECRET columns come with a later version");
    if (strcasestr(column->declared, "char") && strchr(column->declared, '(')) {
        size_t open = strcspn(column->declared, "("), digits = strspn(column->declared + open + 1, "0123456789");
        const char *advice = dbk_check_printf(check, "%s TEXT CHECK(length(%s) <= %.*s)", column->name, column->name,
                                              (int)(digits > 9 ? 9 : digits), column->declared + open + 1);
        dbk_report_warning(check->report, at, advice, "SQLite does not enforce %s", column->declared);
    }
    if (column->key_part && personal_name(column->name))
        dbk_report_warning(check->report, at, "an id that says nothing about the person",
                           "key column '%s' of '%s' looks like personal data: keys stand in stream "
                           "names and cannot be erased",
                           column->name, table->name);
}

/* UNIQUE lets any number of NULLs pass. */
static void lint_unique(dbk_check *check, const dbk_object *object, const dbk_table *table)
{
    sqlite3_stmt *rows = dbk_check_ask(check,
                                       "SELECT x.name FROM pragma_index_list(%Q) l, pragma_index_info(l.name) x "
                                       "WHERE l.\"unique\" AND l.origin <> 'pk' AND NOT l.partial",
                                       table->name);

    while (rows && sqlite3_step(rows) == SQLITE_ROW) {
        const unsigned char *text = sqlite3_column_text(rows, 0);
        int column = text ? dbk_table_column(table, dbk_slice_text((const char *)text)) : -1;
        if (column < 0 || table->columns[column].not_null || table->columns[column].key_part) continue;
        uint32_t token = dbk_object_column(object, table->columns[column].name);
        const char *advice = dbk_check_printf(check, "NOT NULL, or CREATE UNIQUE INDEX … ON %s(ifnull(%s, ''));",
                                              table->name, table->columns[column].name);
        dbk_report_warning(check->report, dbk_sql_span(object->sql, token ? token : object->name_token), advice,
                           "'%s' is UNIQUE but may be NULL: NULLs never clash", table->columns[column].name);
    }
    (void)sqlite3_finalize(rows);
}

void dbk_lint_table(dbk_check *check, const dbk_object *object)
{
    const dbk_table *table = dbk_check_table(check, object->name);

    if (strcasecmp(object->name, "events") == 0)
        dbk_report_warning(check->report, dbk_sql_span(object->sql, object->name_token), "another name",
                           "a table 'events' hides the log's: queries cannot ask the log then");
    lint_words(check, object->sql, object->body_token);
    lint_clock(check, object->sql, object->body_token);
    if (!table) return;
    for (uint16_t i = 0; i < table->column_count; i++) lint_column(check, object, table, &table->columns[i]);
    if (!object->crowded) lint_unique(check, object, table);
    if (!table->integer_key || dbk_sql_find(object->sql, 0, "autoincrement") < object->sql->count) return;
    uint32_t token = dbk_object_column(object, table->columns[table->key_columns[0]].name);
    dbk_report_warning(check->report, dbk_sql_span(object->sql, token ? token : object->name_token),
                       "id TEXT PRIMARY KEY with ids made by the app",
                       "integer keys that the engine makes differ between devices: refused once sync is set up");
}

void dbk_lint_index(dbk_check *check, const dbk_object *object)
{
    lint_words(check, object->sql, object->body_token);
    lint_clock(check, object->sql, object->body_token);
}

/* ---- statements */

uint32_t dbk_lint_target(const dbk_sql *sql)
{
    uint32_t at = 0;

    if (dbk_sql_is(sql, 0, "with"))
        for (at = 1; at < sql->count && !dbk_sql_is(sql, at, "insert") && !dbk_sql_is(sql, at, "update") &&
                     !dbk_sql_is(sql, at, "delete") && !dbk_sql_is(sql, at, "replace");)
            at = dbk_sql_is(sql, at, "(") ? dbk_sql_skip(sql, at) : at + 1;
    bool update = dbk_sql_is(sql, at, "update"), into = dbk_sql_is(sql, at, "insert") || dbk_sql_is(sql, at, "replace");
    if (!update && !into && !dbk_sql_is(sql, at, "delete")) return sql->count;
    at++;
    if (dbk_sql_is(sql, at, "or")) at += 2;
    if (!update) at++; /* INTO, FROM */
    return at < sql->count ? at : sql->count;
}

static void lint_conflict(dbk_check *check, const dbk_sql *sql, uint32_t target)
{
    for (uint32_t at = 0; at < target && at + 1 < sql->count; at++) {
        bool replace = dbk_sql_is(sql, at, "replace"), ignore = dbk_sql_are(sql, at, "or ignore");
        if (dbk_sql_are(sql, at, "or rollback") || dbk_sql_are(sql, at, "or fail"))
            dbk_report_error(check->report, dbk_sql_span(sql, at + 1), "leave it out",
                             "no OR ROLLBACK and OR FAIL: the engine undoes entries whole");
        if (replace && !sql->may_change_nothing)
            dbk_report_error(check->report, dbk_sql_span(sql, at), "INSERT … ON CONFLICT(key) DO UPDATE SET …",
                             "REPLACE deletes the row that is there, and its children with it");
        if (ignore && !sql->may_change_nothing)
            dbk_report_error(check->report, dbk_sql_span(sql, at + 1), "-- may change nothing    on the line before",
                             "OR IGNORE may change nothing, and hides why");
    }
}

static void lint_from(dbk_check *check, const dbk_sql *sql, uint32_t target)
{
    bool update = target > 0 && (dbk_sql_is(sql, target - 1, "update") || dbk_sql_is(sql, target - 2, "or"));

    for (uint32_t at = target; update && at < sql->count;
         at = dbk_sql_is(sql, at, "(") ? dbk_sql_skip(sql, at) : at + 1)
        if (dbk_sql_is(sql, at, "from") && !dbk_sql_is(sql, at - 1, "distinct"))
            dbk_report_error(check->report, dbk_sql_span(sql, at), "SET column = (SELECT … WHERE …)",
                             "UPDATE … FROM takes any of several matching rows");
}

/* The end of the SELECT that holds `at`: the bracket that closes around it, or a UNION. */
static uint32_t select_end(const dbk_sql *sql, uint32_t at)
{
    static const char *const joins[] = {"union", "except", "intersect", NULL};

    while (at < sql->count && !dbk_sql_is(sql, at, ")") && !is_any(sql, at, joins))
        at = dbk_sql_is(sql, at, "(") ? dbk_sql_skip(sql, at) : at + 1;
    return at;
}

/* The next of `words` in the range at its own depth. */
static uint32_t find_flat(const dbk_sql *sql, range in, const char *const *words)
{
    uint32_t at = in.begin;

    while (at < in.end && !is_any(sql, at, words)) at = dbk_sql_is(sql, at, "(") ? dbk_sql_skip(sql, at) : at + 1;
    return at < in.end ? at : in.end;
}

/* ORDER BY names each key column of the one table of FROM: no two rows are equal in it. */
static bool is_total_order(dbk_check *check, const dbk_sql *sql, range select, uint32_t order)
{
    static const char *const from_word[] = {"from", NULL}, *const more[] = {",", "join", "(", NULL},
                             *const behind[] = {"where", "group", "order", NULL};
    uint32_t from = find_flat(sql, select, from_word), stop;
    range source = {from + 1, find_flat(sql, (range){from, select.end}, behind)};
    const char *name = dbk_sql_name(check->arena, sql, from + 1);
    const dbk_table *table = name ? dbk_check_table(check, name) : NULL;

    if (!table || find_flat(sql, source, more) < source.end || table->key_count == 0) return false;
    stop = select.end;
    for (uint16_t i = 0; i < table->key_count; i++) {
        uint32_t found = order;
        do {
            found = dbk_sql_find(sql, found + 1, table->columns[table->key_columns[i]].name);
            if (found >= stop) return false;
        } while (!dbk_sql_is(sql, found - 1, "by") && !dbk_sql_is(sql, found - 1, ",") &&
                 !dbk_sql_is(sql, found - 1, "."));
    }
    return true;
}

static void lint_limit(dbk_check *check, const dbk_sql *sql, range select)
{
    static const char *const limit_word[] = {"limit", NULL}, *const order_word[] = {"order", NULL};
    uint32_t limit = find_flat(sql, select, limit_word), order = find_flat(sql, select, order_word);

    if (limit == select.end) return;
    if (order < limit && is_total_order(check, sql, (range){select.begin, limit}, order)) return;
    dbk_report_error(check->report, dbk_sql_span(sql, limit), "ORDER BY …, and the key's columns at its end",
                     "LIMIT without a total ORDER BY takes any of several rows");
}

static bool is_aggregate(const dbk_sql *sql, uint32_t at)
{
    static const char *const names[] = {"count",
                                        "sum",
                                        "avg",
                                        "total",
                                        "min",
                                        "max",
                                        "group_concat",
                                        "string_agg",
                                        "json_group_array",
                                        "json_group_object",
                                        NULL};

    if (!dbk_sql_is(sql, at + 1, "(") || !is_any(sql, at, names)) return false;
    uint32_t close = dbk_sql_skip(sql, at + 1);
    if (dbk_sql_is(sql, close, "over") || dbk_sql_is(sql, close, "filter")) return dbk_sql_is(sql, close, "filter");
    if (!dbk_sql_is(sql, at, "min") && !dbk_sql_is(sql, at, "max")) return true;
    for (uint32_t i = at + 2; i < close - 1; i = dbk_sql_is(sql, i, "(") ? dbk_sql_skip(sql, i) : i + 1)
        if (dbk_sql_is(sql, i, ",")) return false; /* max(a, b) of one row */
    return true;
}

/* A column's name stands there: a word that is no keyword, function, table prefix or alias. */
static bool is_column(dbk_check *check, const dbk_sql *sql, uint32_t at)
{
    const char *name = dbk_sql_name(check->arena, sql, at);

    if (!name || sql->tokens[at].kind == DBK_TOKEN_STRING || dbk_sql_is(sql, at + 1, "(") ||
        dbk_sql_is(sql, at + 1, "."))
        return false;
    if (at > 0 && dbk_sql_is(sql, at - 1, "as")) return false;
    for (size_t i = 0; i < check->definition->table_count; i++)
        if (dbk_table_column(&check->definition->tables[i], dbk_slice_text(name)) >= 0) return true;
    return false;
}

static bool is_grouped(dbk_check *check, const dbk_sql *sql, range group, uint32_t column)
{
    const char *name = dbk_sql_name(check->arena, sql, column);

    return name && dbk_sql_find(sql, group.begin, name) < group.end;
}

/* Result columns of a SELECT with an aggregate or GROUP BY that stand outside both. */
static void lint_bare(dbk_check *check, const dbk_sql *sql, range select)
{
    static const char *const from_word[] = {"from", NULL}, *const group_word[] = {"group", NULL},
                             *const behind[] = {"having", "order", "limit", "window", NULL};
    range list = {select.begin + 1, find_flat(sql, select, from_word)};
    range group = {find_flat(sql, select, group_word), select.end};
    bool aggregated = group.begin < select.end;

    group.end = find_flat(sql, group, behind);
    for (uint32_t at = list.begin; at < list.end; at++) {
        if (dbk_sql_is(sql, at, "(") && dbk_sql_is(sql, at + 1, "select")) at = dbk_sql_skip(sql, at) - 1;
        else aggregated |= is_aggregate(sql, at);
    }
    for (uint32_t at = list.begin; aggregated && at < list.end; at++) {
        if (dbk_sql_is(sql, at, "(") && dbk_sql_is(sql, at + 1, "select")) at = dbk_sql_skip(sql, at) - 1;
        else if (is_aggregate(sql, at)) at = dbk_sql_skip(sql, at + 1) - 1;
        else if (is_column(check, sql, at) && !is_grouped(check, sql, group, at))
            dbk_report_error(check->report, dbk_sql_span(sql, at), "put it into GROUP BY, or min() or max() of it",
                             "bare column '%.*s' beside an aggregate comes from any row",
                             DBK_SLICE_ARG(dbk_sql_slice(sql, at)));
    }
}

/* An argument that may be a REAL: a column of no whole-number type, a division, a fraction, a
 * parameter. */
static bool may_be_real(dbk_check *check, const dbk_sql *sql, uint32_t at)
{
    const char *name = dbk_sql_name(check->arena, sql, at);
    dbk_slice slice = dbk_sql_slice(sql, at);

    if (is_number(sql, at)) return memchr(slice.data, '.', slice.size) || memchr(slice.data, 'e', slice.size);
    if (sql->tokens[at].kind == DBK_TOKEN_PARAMETER) return true;
    if (!name) return false;
    for (size_t i = 0; i < check->definition->table_count; i++) {
        int column = dbk_table_column(&check->definition->tables[i], dbk_slice_text(name));
        if (column < 0) continue;
        dbk_column_type type = check->definition->tables[i].columns[column].type;
        if (type != DBK_TYPE_INTEGER && type != DBK_TYPE_BOOLEAN) return true;
    }
    return false;
}

static void lint_sum(dbk_check *check, const dbk_sql *sql, uint32_t at)
{
    uint32_t close = dbk_sql_skip(sql, at + 1);

    for (uint32_t i = at + 2; i + 1 < close; i++) {
        if (!may_be_real(check, sql, i)) continue;
        dbk_report_error(check->report, dbk_sql_span(sql, at),
                         "whole numbers (cents, milliseconds), or a query instead",
                         "%.*s of REAL depends on the order of the rows", DBK_SLICE_ARG(dbk_sql_slice(sql, at)));
        return;
    }
}

static void lint_call(dbk_check *check, const dbk_sql *sql, uint32_t at)
{
    static const char *const sums[] = {"sum", "avg", "total", NULL};
    static const char *const lists[] = {"group_concat", "string_agg", "json_group_array", "json_group_object", NULL};

    if (!dbk_sql_is(sql, at + 1, "(")) return;
    if (is_any(sql, at, sums)) lint_sum(check, sql, at);
    if (is_any(sql, at, lists))
        dbk_report_error(check->report, dbk_sql_span(sql, at), "rows in a table of their own; the list in a query",
                         "the order of %.*s is not determined", DBK_SLICE_ARG(dbk_sql_slice(sql, at)));
}

void dbk_lint_projection(dbk_check *check, const dbk_sql *sql)
{
    uint32_t target = dbk_lint_target(sql);

    lint_conflict(check, sql, target);
    lint_from(check, sql, target);
    if (dbk_sql_is(sql, target + 1, "."))
        dbk_report_error(check->report, dbk_sql_span(sql, target), "the name alone",
                         "no database names: a model is one file");
    for (uint32_t at = 0; at < sql->count; at++) {
        if (dbk_sql_is(sql, at, "select")) {
            range select = {at, select_end(sql, at + 1)};
            lint_limit(check, sql, select);
            lint_bare(check, sql, select);
        }
        if (dbk_sql_is(sql, at, "returning"))
            dbk_report_error(check->report, dbk_sql_span(sql, at), "leave it out", "a projection returns nothing");
        if (is_string(sql, at, "localtime") || is_string(sql, at, "utc"))
            dbk_report_error(check->report, dbk_sql_span(sql, at), "UTC, without the modifier",
                             "'localtime' and 'utc' depend on the device");
        lint_call(check, sql, at);
    }
}
