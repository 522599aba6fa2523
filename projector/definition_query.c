/* queries.sql: "-- query name(args) returns (columns)" and one SELECT below it. */
#include <stdlib.h>
#include <strings.h>

#include "projector/definition_internal.h"

enum { ARGUMENTS_MAX = 100 };

static const struct {
    const char *name;
    dbk_column_type type;
} type_names[] = {
    {"TEXT", DBK_TYPE_TEXT},       {"INTEGER", DBK_TYPE_INTEGER}, {"REAL", DBK_TYPE_REAL},
    {"BOOLEAN", DBK_TYPE_BOOLEAN}, {"UUID", DBK_TYPE_UUID},       {"DATETIME", DBK_TYPE_DATETIME},
    {"JSON", DBK_TYPE_JSON},       {"BLOB", DBK_TYPE_BLOB},
};

typedef struct query_head {
    dbk_slice name;
    dbk_argument arguments[ARGUMENTS_MAX];
    uint16_t argument_count;
    dbk_column_type returns[DBK_COLUMNS_MAX];
    uint16_t return_count;
    bool has_returns;
} query_head;

static bool type_of(dbk_slice name, dbk_column_type *type)
{
    for (size_t i = 0; i < sizeof(type_names) / sizeof(type_names[0]); i++) {
        if (!dbk_slice_equal(name, dbk_slice_text(type_names[i].name))) continue;
        *type = type_names[i].type;
        return true;
    }
    return false;
}

static dbk_span line_span(const dbk_block *block, dbk_slice part)
{
    size_t at = (size_t)(part.data - block->line.source->text.data);

    return (dbk_span){block->line.source, at, at + part.size};
}

/* A known type behind a space; SECRET is named as what a later version brings. */
static bool take_type(dbk_check *check, const dbk_block *block, dbk_line *line,
                      dbk_column_type *type)
{
    dbk_slice name;

    if (!dbk_line_name(line, &name)) return false;
    if (type_of(name, type)) return true;
    if (!dbk_slice_equal(name, dbk_slice_text("SECRET"))) return false;
    dbk_report_error(check->report, line_span(block, name), "leave it out",
                     "SECRET comes with a later version");
    *type = DBK_TYPE_TEXT;
    return true;
}

static bool take_number(dbk_line *line, dbk_slice *literal, bool *whole)
{
    const char *begin = line->at, *at = begin;

    *whole = true;
    if (at < line->end && *at == '-') at++;
    const char *digits = at;
    while (at < line->end && *at >= '0' && *at <= '9') at++;
    if (at == digits) return false;
    if (at + 1 < line->end && *at == '.' && at[1] >= '0' && at[1] <= '9') {
        *whole = false;
        for (at++; at < line->end && *at >= '0' && *at <= '9';) at++;
    }
    *literal = dbk_slice_of(begin, (size_t)(at - begin));
    line->at = at;
    return true;
}

/* The text of an SQL string literal is JSON. */
static bool is_json_literal(dbk_check *check, dbk_slice literal)
{
    dbk_buffer text;
    dbk_json_parser *parser = dbk_json_parser_new(check->port);
    const dbk_json_node *root;

    dbk_buffer_init(&text, check->port);
    for (size_t i = 1; i + 1 < literal.size; i++) {
        dbk_buffer_put_u8(&text, literal.data[i]);
        if (literal.data[i] == '\'') i++;
    }
    if (!parser || text.failed) check->failed = true;
    dbk_result result = check->failed
                            ? DBK_NO_MEMORY
                            : dbk_json_parse(parser, dbk_buffer_slice(&text), &root, NULL);
    if (result == DBK_NO_MEMORY) check->failed = true;
    dbk_buffer_release(&text);
    dbk_json_parser_free(parser);
    return result == DBK_OK;
}

/* NULL, a string or a number that fits the argument's type. */
static bool take_literal(dbk_check *check, dbk_line *line, dbk_column_type type, dbk_slice *literal,
                         bool *fits)
{
    bool whole;
    const char *begin = line->at;

    *fits = true;
    if (dbk_line_take(line, "NULL")) {
        *literal = dbk_slice_of(begin, 4);
        return true;
    }
    if (dbk_line_string(line, literal)) {
        *fits = type != DBK_TYPE_INTEGER && type != DBK_TYPE_REAL && type != DBK_TYPE_BOOLEAN &&
                (type != DBK_TYPE_JSON || is_json_literal(check, *literal));
        return true;
    }
    if (!take_number(line, literal, &whole)) return false;
    bool bit = dbk_slice_equal(*literal, dbk_slice_text("0")) ||
               dbk_slice_equal(*literal, dbk_slice_text("1"));
    *fits = type == DBK_TYPE_REAL || (type == DBK_TYPE_INTEGER && whole) ||
            (type == DBK_TYPE_BOOLEAN && bit);
    return true;
}

/* name [ SP type ] [ "?" | SP "=" SP literal ] */
static bool take_argument(dbk_check *check, const dbk_block *block, dbk_line *line,
                          query_head *head)
{
    dbk_argument *argument = &head->arguments[head->argument_count];
    dbk_slice name, literal;
    bool fits;

    if (head->argument_count == ARGUMENTS_MAX || !dbk_line_name(line, &name)) return false;
    *argument = (dbk_argument){.name = dbk_check_text(check, name), .type = DBK_TYPE_TEXT};
    if (!argument->name) return false;
    if (dbk_slice_equal(name, dbk_slice_text("time")) ||
        dbk_slice_equal(name, dbk_slice_text("actor")))
        dbk_report_error(check->report, line_span(block, name), "another name",
                         "':%s' is given by the engine", argument->name);
    for (uint16_t i = 0; i < head->argument_count; i++)
        if (strcmp(head->arguments[i].name, argument->name) == 0)
            dbk_report_error(check->report, line_span(block, name), "another name",
                             "argument '%s' stands twice", argument->name);
    head->argument_count++;
    bool typed = line->end - line->at > 1 && line->at[0] == ' ' && line->at[1] != '=';
    if (typed && (!dbk_line_take(line, " ") || !take_type(check, block, line, &argument->type)))
        return false;
    argument->optional = dbk_line_take(line, "?");
    if (argument->optional || !dbk_line_take(line, " = ")) return true;
    if (!take_literal(check, line, argument->type, &literal, &fits)) return false;
    argument->default_sql = dbk_check_text(check, literal);
    if (!fits)
        dbk_report_error(check->report, line_span(block, literal),
                         "a literal of the argument's type, or NULL",
                         "the default of '%s' does not fit its type", argument->name);
    return true;
}

/* [ name SP ] type, as many as the SELECT has columns. */
static bool take_return(dbk_check *check, const dbk_block *block, dbk_line *line, query_head *head)
{
    dbk_line ahead = *line;
    dbk_slice name;
    dbk_column_type *type = &head->returns[head->return_count];

    if (head->return_count == DBK_COLUMNS_MAX) return false;
    head->return_count++;
    if (dbk_line_name(&ahead, &name) && dbk_line_take(&ahead, " ")) *line = ahead;
    return take_type(check, block, line, type);
}

static bool read_head(dbk_check *check, const dbk_block *block, query_head *head)
{
    const char *text = (const char *)block->line.source->text.data;
    dbk_line line = {text + block->line.begin, text + block->line.end};

    *head = (query_head){.argument_count = 0};
    if (!dbk_line_take(&line, "-- query ") || !dbk_line_name(&line, &head->name) ||
        !dbk_line_take(&line, "("))
        return false;
    if (!dbk_line_take(&line, ")")) {
        do {
            if (!take_argument(check, block, &line, head)) return false;
        } while (dbk_line_take(&line, ", "));
        if (!dbk_line_take(&line, ")")) return false;
    }
    head->has_returns = dbk_line_take(&line, " returns (");
    if (head->has_returns) {
        do {
            if (!take_return(check, block, &line, head)) return false;
        } while (dbk_line_take(&line, ", "));
        if (!dbk_line_take(&line, ")")) return false;
    }
    return line.at == line.end;
}

static uint32_t parameter_token(const dbk_sql *sql, const char *name)
{
    for (uint32_t i = 0; i < sql->count; i++)
        if (sql->tokens[i].kind == DBK_TOKEN_PARAMETER &&
            dbk_slice_equal(dbk_sql_slice(sql, i), dbk_slice_text(name)))
            return i;
    return 0;
}

static const char *nearest_argument(dbk_check *check, const query_head *head, const char *name)
{
    const char *names[ARGUMENTS_MAX];

    for (uint16_t i = 0; i < head->argument_count; i++) names[i] = head->arguments[i].name;
    return dbk_check_nearest(check, dbk_slice_text(name), names, head->argument_count);
}

static void check_parameters(dbk_check *check, const dbk_block *block, const query_head *head,
                             sqlite3_stmt *statement)
{
    bool used[ARGUMENTS_MAX] = {false};

    for (int i = 1; i <= sqlite3_bind_parameter_count(statement); i++) {
        const char *name = sqlite3_bind_parameter_name(statement, i);
        bool known = name && (strcmp(name, ":time") == 0 || strcmp(name, ":actor") == 0);
        for (uint16_t k = 0; name && name[0] == ':' && k < head->argument_count; k++)
            if (strcmp(name + 1, head->arguments[k].name) == 0) known = used[k] = true;
        if (known) continue;
        const char *advice = name && name[0] == ':' ? nearest_argument(check, head, name + 1)
                                                    : ":name of an argument";
        dbk_report_error(
            check->report,
            dbk_sql_span(block->first, parameter_token(block->first, name ? name : "?")), advice,
            "'%s' is no argument of '%.*s'", name ? name : "?", DBK_SLICE_ARG(head->name));
    }
    for (uint16_t i = 0; i < head->argument_count; i++)
        if (!used[i])
            dbk_report_error(check->report, block->line, "use it, or leave it out",
                             "argument '%s' is not used", head->arguments[i].name);
}

static void check_columns(dbk_check *check, const dbk_block *block, const query_head *head,
                          sqlite3_stmt *statement)
{
    int count = sqlite3_column_count(statement);

    if (head->has_returns && head->return_count != count)
        dbk_report_error(check->report, block->line, "one type for each column of the SELECT",
                         "'returns' has %u types, the SELECT has %d columns", head->return_count,
                         count);
    for (int i = 1; i < count && i < DBK_COLUMNS_MAX; i++) {
        for (int k = 0; k < i; k++) {
            if (strcmp(sqlite3_column_name(statement, i), sqlite3_column_name(statement, k)) != 0)
                continue;
            dbk_report_warning(check->report, dbk_sql_span(block->first, 0),
                               "AS with another name for one of them",
                               "two columns are called '%s'", sqlite3_column_name(statement, i));
            return;
        }
    }
}

static void check_select(dbk_check *check, const dbk_block *block, const query_head *head)
{
    const dbk_sql *sql = block->first;
    size_t before = check->report->errors;

    if (sql->next)
        dbk_report_error(check->report, dbk_sql_span(sql->next, 0),
                         "one SELECT, or a query of its own for each",
                         "a second statement in one query");
    if (sql->broken) return;
    if (!dbk_sql_is(sql, 0, "select") && !dbk_sql_is(sql, 0, "with") &&
        !dbk_sql_is(sql, 0, "values")) {
        dbk_report_error(check->report, dbk_sql_span(sql, 0), "SELECT, or WITH … SELECT",
                         "a query reads and does nothing else");
        return;
    }
    sqlite3_stmt *statement = dbk_check_prepare(check, sql, DBK_SQL_QUERY);
    if (statement && head) {
        check_parameters(check, block, head, statement);
        check_columns(check, block, head, statement);
    }
    if (statement && check->report->errors == before) dbk_check_plan(check, sql);
    (void)sqlite3_finalize(statement);
}

static void keep_query(dbk_check *check, const dbk_block *block, const query_head *head)
{
    dbk_named_query *query = &check->definition->queries[check->definition->query_count];
    const char *name = dbk_check_text(check, head->name);

    if (!name) return;
    for (size_t i = 0; i < check->definition->query_count; i++)
        if (strcasecmp(check->definition->queries[i].name, name) == 0)
            dbk_report_error(check->report, line_span(block, head->name), "another name",
                             "query '%s' stands twice", name);
    *query = (dbk_named_query){.name = name,
                               .sql = block->first ? block->first->text : "",
                               .argument_count = head->argument_count,
                               .return_count = head->return_count};
    query->arguments =
        dbk_check_take(check, (size_t)head->argument_count + 1, sizeof(dbk_argument));
    if (query->arguments && head->argument_count)
        memcpy(query->arguments, head->arguments, head->argument_count * sizeof(dbk_argument));
    if (head->has_returns)
        query->returns = dbk_check_take(check, head->return_count, sizeof(dbk_column_type));
    if (query->returns)
        memcpy(query->returns, head->returns, head->return_count * sizeof(dbk_column_type));
    check->definition->query_count++;
}

void dbk_check_queries(dbk_check *check)
{
    size_t count = 0;

    for (const dbk_block *block = check->queries.first; block; block = block->next)
        if (++count == DBK_QUERIES_MAX + 1)
            dbk_report_error(check->report, block->line, "fewer queries", "more than %d queries",
                             DBK_QUERIES_MAX);
    if (count > DBK_QUERIES_MAX) return;
    check->definition->queries = dbk_check_take(check, count + 1, sizeof(dbk_named_query));
    for (const dbk_block *block = check->queries.first; block && !check->failed;
         block = block->next) {
        query_head head;
        if (!block->word) continue;
        bool good = read_head(check, block, &head);
        if (!good)
            dbk_line_lookalike(
                check, block,
                "-- query notes_of(owner TEXT, top INTEGER = 10)    (or indent the comment)");
        else
            keep_query(check, block, &head);
        if (!block->first && good)
            dbk_report_error(check->report, block->line, "a SELECT below it",
                             "no statement follows");
        if (block->first) check_select(check, block, good ? &head : NULL);
    }
}
