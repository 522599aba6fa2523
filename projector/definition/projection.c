/* projections.sql: "-- on a.b, c.*" and the statements below it. */
#include <stdlib.h>
#include <strings.h>

#include "projector/definition/models.h"
#include "projector/rules.h"

enum { PATTERNS_MAX = 100, PATTERN_BYTES_MAX = 512 };

typedef struct patterns {
    const char *items[PATTERNS_MAX];
    size_t count;
} patterns;

/* "*" or names with dots, at the end perhaps ".*". */
static bool take_pattern(dbk_line *line, dbk_slice *pattern)
{
    const char *begin = line->at;
    dbk_slice name;

    if (!dbk_line_take(line, "*")) {
        if (!dbk_line_name(line, &name)) return false;
        while (dbk_line_take(line, ".")) {
            if (dbk_line_take(line, "*")) break;
            if (!dbk_line_name(line, &name)) return false;
        }
    }
    *pattern = dbk_slice_of(begin, (size_t)(line->at - begin));
    return pattern->size <= PATTERN_BYTES_MAX;
}

static bool read_patterns(dbk_check *check, const dbk_block *block, patterns *out)
{
    const char *text = (const char *)block->line.source->text.data;
    dbk_line line = {text + block->line.begin, text + block->line.end};
    dbk_slice pattern;

    out->count = 0;
    if (!dbk_line_take(&line, "-- on ")) return false;
    do {
        if (out->count == PATTERNS_MAX || !take_pattern(&line, &pattern)) return false;
        const char *copy = dbk_check_text(check, pattern);
        if (!copy) return false;
        for (size_t i = 0; i < out->count; i++)
            if (strcmp(out->items[i], copy) == 0)
                dbk_report_error(check->report, block->line, "each name once", "'%s' stands twice", copy);
        out->items[out->count++] = copy;
    } while (dbk_line_take(&line, ", "));
    return line.at == line.end;
}

static dbk_span pattern_span(const dbk_block *block, const char *pattern)
{
    const uint8_t *text = block->line.source->text.data;
    size_t size = strlen(pattern);

    for (size_t at = block->line.begin + 6; at + size <= block->line.end; at++)
        if (memcmp(text + at, pattern, size) == 0) return (dbk_span){block->line.source, at, at + size};
    return block->line;
}

/* An action of a foreign key removes or changes rows without an event. */
static bool is_acted_on(const dbk_check *check, const dbk_table *table)
{
    for (const dbk_link *link = check->links; link; link = link->next)
        if (link->child == table && link->acts) return true;
    return false;
}

static void note_heard(dbk_check *events, const dbk_block *block, const char *pattern, const char *advice)
{
    dbk_heard *heard = dbk_check_take(events, 1, sizeof *heard);
    if (!heard) return;
    *heard =
        (dbk_heard){.next = events->heard, .pattern = pattern, .advice = advice, .span = pattern_span(block, pattern)};
    events->heard = heard;
}

/* "nots.put" with a table 'notes'; rows that go by a cascade; tables that are no collection. */
static void check_pattern(dbk_check *check, const dbk_block *block, const char *pattern)
{
    dbk_check *events = dbk_check_of_events(check);
    const char *dot = strchr(pattern, '.');
    const dbk_table *table;
    dbk_row_op op;

    if (strncmp(pattern, "daybook.", 8) == 0) {
        dbk_report_error(check->report, pattern_span(block, pattern), "events of the app only",
                         "'%s': events of the engine are not projected", pattern);
    } else if (dbk_definition_row_event(events->definition, dbk_slice_text(pattern), &table, &op)) {
        if (!table->collection)
            dbk_report_warning(check->report, pattern_span(block, pattern), NULL,
                               "'%s' never comes: projections write '%s', so it is no collection", pattern,
                               table->name);
        if (op != DBK_OP_PUT && is_acted_on(events, table))
            dbk_report_warning(check->report, pattern_span(block, pattern), "do the same for the parent's event",
                               "rows of '%s' that a foreign key changes have no '%s'", table->name, pattern);
    } else if (dot && (strcmp(dot, ".put") == 0 || strcmp(dot, ".patched") == 0 || strcmp(dot, ".deleted") == 0)) {
        note_heard(events, block, pattern,
                   dbk_check_nearest_table(events, dbk_slice_of(pattern, (size_t)(dot - pattern))));
    }
}

/* "$a::b" is a path of names. */
static bool is_path(const char *path)
{
    dbk_line line = {path, path + strlen(path)};
    dbk_slice name;

    do {
        if (!dbk_line_name(&line, &name)) return false;
    } while (dbk_line_take(&line, "::"));
    return line.at == line.end;
}

/* A schema that leaves no room for members it does not name, and has them all in one place. */
static bool is_closed(const dbk_json_node *schema)
{
    static const char *const others[] = {"$ref", "patternProperties"};
    const dbk_json_node *more = dbk_json_member(schema, "additionalProperties");

    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (dbk_json_member(schema, others[i])) return false;
    return more && more->kind == DBK_JSON_FALSE;
}

static bool has_member(const dbk_json_node *schema, dbk_slice name)
{
    const dbk_json_node *known = dbk_json_member(schema, "properties"), *member = known ? known + 1 : NULL;
    bool found = known && known->kind != DBK_JSON_OBJECT;

    for (uint32_t i = 0; known && !found && i < known->count; i++, member = dbk_json_next(member))
        found = dbk_slice_equal(member->name, name);
    return found;
}

/* schemas/<type>.json says what an event's data may have. What is wrong with the file itself is said elsewhere. */
static void check_member_by_schema(dbk_check *check, const dbk_sql *sql, const char *parameter, const char *pattern)
{
    dbk_check *events = dbk_check_of_events(check);
    const char *file = dbk_check_printf(events, "schemas/%s.json", pattern);
    const dbk_source *source = file ? dbk_check_source(events, file) : NULL;
    dbk_slice name = dbk_slice_of(parameter + 1, strcspn(parameter + 1, ":"));
    const dbk_json_node *schema;

    if (!source) return;
    dbk_json_parser *parser = dbk_json_parser_new(check->port);
    dbk_result result = parser ? dbk_json_parse(parser, source->text, &schema, NULL) : DBK_NO_MEMORY;
    if (result == DBK_NO_MEMORY) check->failed = true;
    if (result == DBK_OK && schema->kind == DBK_JSON_OBJECT && is_closed(schema) && !has_member(schema, name))
        dbk_report_error(check->report, dbk_sql_span(sql, dbk_sql_parameter(sql, parameter)), "a member that it has",
                         "'%s' has no member '%.*s': %s says so", pattern, DBK_SLICE_ARG(name), file);
    dbk_json_parser_free(parser);
}

/* The data of a collection's event has the columns of its table; a .deleted the key's alone. */
static void check_member(dbk_check *check, const dbk_sql *sql, const char *parameter, const char *pattern)
{
    const dbk_table *table;
    dbk_row_op op;
    dbk_slice name = dbk_slice_of(parameter + 1, strcspn(parameter + 1, ":"));

    if (!dbk_definition_row_event(dbk_check_of_events(check)->definition, dbk_slice_text(pattern), &table, &op))
        return check_member_by_schema(check, sql, parameter, pattern);
    int column = dbk_table_column(table, name);
    dbk_span at = dbk_sql_span(sql, dbk_sql_parameter(sql, parameter));
    if (column < 0)
        dbk_report_error(check->report, at, dbk_check_nearest_column(check, table, name), "'%s' has no member '%.*s'",
                         pattern, DBK_SLICE_ARG(name));
    else if (op == DBK_OP_DELETED && table->columns[column].key_part == 0)
        dbk_report_error(check->report, at, "the columns of the key", "'%s' has the key only, not '%.*s'", pattern,
                         DBK_SLICE_ARG(name));
}

static void check_parameter(dbk_check *check, const dbk_sql *sql, const char *name, const patterns *on)
{
    static const char *const known[] = {":data",    ":type",        ":stream",    ":time",  ":actor",
                                        ":command", ":correlation", ":causation", ":event", ":order"};
    size_t count = sizeof(known) / sizeof(known[0]);
    dbk_span at = dbk_sql_span(sql, dbk_sql_parameter(sql, name));

    if (name[0] == '$' && is_path(name + 1)) {
        for (size_t i = 0; i < on->count; i++) check_member(check, sql, name, on->items[i]);
        return;
    }
    for (size_t i = 0; i < count; i++)
        if (strcmp(name, known[i]) == 0) return;
    if (strcmp(name, ":position") == 0 || strcmp(name, ":version") == 0)
        dbk_report_error(check->report, at, ":order, which is the same everywhere", "'%s' differs between devices",
                         name);
    else if (name[0] == ':')
        dbk_report_error(check->report, at, dbk_check_nearest(check, dbk_slice_text(name), known, count),
                         "no parameter '%s' in a projection", name);
    else
        dbk_report_error(check->report, at, "$member, $member::inner, :data, :time …",
                         "no parameter '%s' in a projection", name);
}

static void check_parameters(dbk_check *check, const dbk_sql *sql, sqlite3_stmt *statement, const patterns *on)
{
    for (int i = 1; i <= sqlite3_bind_parameter_count(statement); i++) {
        const char *name = sqlite3_bind_parameter_name(statement, i);
        check_parameter(check, sql, name ? name : "?", on);
    }
}

static bool is_write(const dbk_sql *sql)
{
    return dbk_sql_is(sql, 0, "insert") || dbk_sql_is(sql, 0, "update") || dbk_sql_is(sql, 0, "delete") ||
           dbk_sql_is(sql, 0, "replace") || dbk_sql_is(sql, 0, "with");
}

static void check_statement(dbk_check *check, const dbk_sql *sql, const patterns *on)
{
    uint32_t target = dbk_lint_target(sql);

    if (!is_write(sql) || target >= sql->count) {
        dbk_report_error(check->report, dbk_sql_span(sql, 0), "INSERT, UPDATE, DELETE, or WITH … of these",
                         "a projection writes rows and does nothing else");
        return;
    }
    size_t before = check->report->errors;
    check->syntax = false;
    check->track = true;
    sqlite3_stmt *statement = dbk_check_prepare(check, sql, DBK_SQL_PROJECTION);
    check->track = false;
    if (!check->syntax) dbk_lint_projection(check, sql);
    if (statement) {
        check_parameters(check, sql, statement, on);
        if (check->report->errors == before) dbk_check_plan(check, sql);
    }
    (void)sqlite3_finalize(statement);
}

/* One column of SET, or several in brackets: all derived? *at stands behind them then. */
static bool sets_derived(const dbk_check *check, const dbk_table *table, const dbk_sql *sql, uint32_t *at)
{
    uint32_t end = dbk_sql_is(sql, *at, "(") ? dbk_sql_skip(sql, *at) : *at + 1;

    for (uint32_t i = *at; i < end && i < sql->count; i++) {
        const char *name = dbk_sql_name(check->arena, sql, i);
        if (dbk_sql_is(sql, i, "(") || dbk_sql_is(sql, i, ")") || dbk_sql_is(sql, i, ",")) continue;
        int column = name ? dbk_table_column(table, dbk_slice_text(name)) : -1;
        if (column < 0 || !table->rules->derived[column]) return false;
    }
    *at = end;
    return true;
}

/* An UPDATE of derived columns alone: the table stays a collection. */
static bool only_derives(const dbk_check *check, const dbk_table *table, const dbk_sql *sql)
{
    uint32_t at = dbk_lint_target(sql) + 1;

    if (!table->rules || !table->rules->derived || !dbk_sql_is(sql, 0, "update")) return false;
    while (at < sql->count && !dbk_sql_is(sql, at, "set")) at++;
    for (at++; at < sql->count;) {
        if (!sets_derived(check, table, sql, &at)) return false;
        while (at < sql->count && !dbk_sql_is(sql, at, ",") && !dbk_sql_is(sql, at, "where"))
            at = dbk_sql_is(sql, at, "(") ? dbk_sql_skip(sql, at) : at + 1;
        if (at >= sql->count || dbk_sql_is(sql, at, "where")) return true;
        at++;
    }
    return false;
}

/* Before anything is judged: which tables are written, so that the rest are collections. */
static void mark_written(dbk_check *check)
{
    for (size_t i = 0; i < check->definition->table_count; i++) check->definition->tables[i].collection = true;
    for (const dbk_block *block = check->projections.first; block; block = block->next) {
        for (const dbk_sql *sql = block->first; sql; sql = sql->next) {
            const char *name = dbk_sql_name(check->arena, sql, dbk_lint_target(sql));
            dbk_table *table = name ? dbk_check_table(check, name) : NULL;
            if (table && !only_derives(check, table, sql)) table->collection = false;
        }
    }
}

static dbk_statement *copy_statements(dbk_check *check, const dbk_block *block, uint32_t *count)
{
    *count = 0;
    for (const dbk_sql *sql = block->first; sql; sql = sql->next) (*count)++;
    dbk_statement *made = dbk_check_take(check, (size_t)*count + 1, sizeof(*made)), *next = made;

    for (const dbk_sql *sql = block->first; sql && made; sql = sql->next)
        *next++ = (dbk_statement){sql->text, sql->may_change_nothing, sql->source->name, sql->line};
    return made;
}

static void keep_block(dbk_check *check, const dbk_block *block, const patterns *on)
{
    uint32_t count;
    dbk_statement *statements = copy_statements(check, block, &count);

    for (size_t i = 0; i < on->count; i++)
        check->definition->projections[check->definition->projection_count++] =
            (dbk_projection){on->items[i], statements, count};
}

static size_t count_patterns(const dbk_check *check)
{
    size_t count = 0;

    for (const dbk_block *block = check->projections.first; block; block = block->next) {
        count++;
        for (size_t at = block->line.begin; at < block->line.end; at++)
            count += block->line.source->text.data[at] == ',';
    }
    return count;
}

void dbk_check_projections(dbk_check *check)
{
    patterns on;

    mark_written(check);
    check->definition->projections = dbk_check_take(check, count_patterns(check) + 1, sizeof(dbk_projection));
    for (const dbk_block *block = check->projections.first; block && !check->failed; block = block->next) {
        if (!block->word) continue;
        bool good = read_patterns(check, block, &on);
        if (!good) {
            dbk_line_lookalike(check, block, "-- on job.progressed, job.done    (indent a comment, or write ---)");
            on.count = 0;
        }
        for (size_t i = 0; i < on.count; i++) check_pattern(check, block, on.items[i]);
        if (!block->first && good)
            dbk_report_error(check->report, block->line, "INSERT, UPDATE or DELETE below it", "no statement follows");
        for (const dbk_sql *sql = block->first; sql && !check->failed; sql = sql->next)
            if (!sql->broken) check_statement(check, sql, &on);
        keep_block(check, block, &on);
    }
}
