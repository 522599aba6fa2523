/* queries.sql: "-- query name(args) returns (columns)" and one SELECT below it. */
#include <stdlib.h>
#include <strings.h>

#include "projector/definition/internal.h"

typedef struct query_head {
    dbk_slice name;
    dbk_signature signature;
    dbk_column_type returns[DBK_COLUMNS_MAX];
    uint16_t return_count;
    bool has_returns;
} query_head;

/* [ name SP ] type, as many as the SELECT has columns. */
static bool take_return(dbk_check *check, const dbk_block *block, dbk_line *line, query_head *head)
{
    dbk_line ahead = *line;
    dbk_slice name;
    dbk_column_type *type = &head->returns[head->return_count];

    if (head->return_count == DBK_COLUMNS_MAX) return false;
    head->return_count++;
    if (dbk_line_name(&ahead, &name) && dbk_line_take(&ahead, " ")) *line = ahead;
    return dbk_line_type(check, block, line, type);
}

static bool read_head(dbk_check *check, const dbk_block *block, query_head *head)
{
    static const char *const given[] = {"time", "actor", NULL};
    const char *text = (const char *)block->line.source->text.data;
    dbk_line line = {text + block->line.begin, text + block->line.end};

    *head = (query_head){.return_count = 0};
    if (!dbk_line_take(&line, "-- query ") || !dbk_line_name(&line, &head->name) ||
        !dbk_line_signature(check, block, &line, given, &head->signature))
        return false;
    head->has_returns = dbk_line_take(&line, " returns (");
    if (head->has_returns) {
        do {
            if (!take_return(check, block, &line, head)) return false;
        } while (dbk_line_take(&line, ", "));
        if (!dbk_line_take(&line, ")")) return false;
    }
    return line.at == line.end;
}

static void check_parameters(dbk_check *check, const dbk_block *block, const query_head *head, sqlite3_stmt *statement)
{
    bool used[DBK_ARGUMENTS_MAX] = {false};
    const dbk_signature *signature = &head->signature;

    for (int i = 1; i <= sqlite3_bind_parameter_count(statement); i++) {
        const char *name = sqlite3_bind_parameter_name(statement, i);
        bool known = name && (strcmp(name, ":time") == 0 || strcmp(name, ":actor") == 0);
        for (uint16_t k = 0; name && name[0] == ':' && k < signature->count; k++)
            if (strcmp(name + 1, signature->items[k].name) == 0) known = used[k] = true;
        if (known) continue;
        const char *advice =
            name && name[0] == ':' ? dbk_signature_nearest(check, signature, name + 1) : ":name of an argument";
        dbk_report_error(check->report, dbk_sql_span(block->first, dbk_sql_parameter(block->first, name ? name : "?")),
                         advice, "'%s' is no argument of '%.*s'", name ? name : "?", DBK_SLICE_ARG(head->name));
    }
    for (uint16_t i = 0; i < signature->count; i++)
        if (!used[i])
            dbk_report_error(check->report, block->line, "use it, or leave it out", "argument '%s' is not used",
                             signature->items[i].name);
}

static void check_columns(dbk_check *check, const dbk_block *block, const query_head *head, sqlite3_stmt *statement)
{
    int count = sqlite3_column_count(statement);

    if (head->has_returns && head->return_count != count)
        dbk_report_error(check->report, block->line, "one type for each column of the SELECT",
                         "'returns' has %u types, the SELECT has %d columns", head->return_count, count);
    for (int i = 1; i < count && i < DBK_COLUMNS_MAX; i++) {
        for (int k = 0; k < i; k++) {
            if (strcmp(sqlite3_column_name(statement, i), sqlite3_column_name(statement, k)) != 0) continue;
            dbk_report_warning(check->report, dbk_sql_span(block->first, 0), "AS with another name for one of them",
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
        dbk_report_error(check->report, dbk_sql_span(sql->next, 0), "one SELECT, or a query of its own for each",
                         "a second statement in one query");
    if (sql->broken) return;
    if (!dbk_sql_is(sql, 0, "select") && !dbk_sql_is(sql, 0, "with") && !dbk_sql_is(sql, 0, "values")) {
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
            dbk_report_error(check->report, dbk_line_span(block, head->name), "another name", "query '%s' stands twice",
                             name);
    const char *taken = dbk_check_query_taken(check, name);
    if (taken)
        dbk_report_error(check->report, dbk_line_span(block, head->name), "another name",
                         "query '%s' stands in the model '%s' already: names are unique over all models", name, taken);
    *query = (dbk_named_query){.name = name,
                               .sql = block->first ? block->first->text : "",
                               .arguments = dbk_signature_keep(check, &head->signature),
                               .argument_count = head->signature.count,
                               .return_count = head->return_count};
    if (head->has_returns) query->returns = dbk_check_take(check, head->return_count, sizeof(dbk_column_type));
    if (query->returns) memcpy(query->returns, head->returns, head->return_count * sizeof(dbk_column_type));
    check->definition->query_count++;
}

void dbk_check_queries(dbk_check *check)
{
    size_t count = 0;

    for (const dbk_block *block = check->queries.first; block; block = block->next)
        if (++count == DBK_QUERIES_MAX + 1)
            dbk_report_error(check->report, block->line, "fewer queries", "more than %d queries", DBK_QUERIES_MAX);
    if (count > DBK_QUERIES_MAX) return;
    check->definition->queries = dbk_check_take(check, count + 1, sizeof(dbk_named_query));
    for (const dbk_block *block = check->queries.first; block && !check->failed; block = block->next) {
        query_head head;
        if (!block->word) continue;
        bool good = read_head(check, block, &head);
        if (!good)
            dbk_line_lookalike(check, block,
                               "-- query notes_of(owner TEXT, top INTEGER = 10)    (or indent the comment)");
        else keep_query(check, block, &head);
        if (!block->first && good)
            dbk_report_error(check->report, block->line, "a SELECT below it", "no statement follows");
        if (block->first) check_select(check, block, good ? &head : NULL);
    }
}
