/* upcasts.sql: "-- upcast type 1 -> 2" and one SELECT of the new JSON below it (app-format.md §2, §5.13). */
#include <stdlib.h>

#include "projector/definition/internal.h"

enum { UPCASTS_MAX = 1000, TYPE_BYTES_MAX = 512 };

static bool take_number(dbk_line *line, uint32_t *number)
{
    const char *at = line->at;
    uint64_t value = 0;

    while (at < line->end && *at >= '0' && *at <= '9' && value <= UINT32_MAX)
        value = value * 10 + (uint64_t)(*at++ - '0');
    if (at == line->at || *line->at == '0' || value > UINT32_MAX) return false;
    line->at = at;
    *number = (uint32_t)value;
    return true;
}

static bool take_type(dbk_line *line, dbk_slice *type)
{
    const char *begin = line->at;
    dbk_slice name;

    do {
        if (!dbk_line_name(line, &name)) return false;
    } while (dbk_line_take(line, "."));
    *type = dbk_slice_of(begin, (size_t)(line->at - begin));
    return type->size <= TYPE_BYTES_MAX;
}

static void check_versions(dbk_check *check, const dbk_block *block, const dbk_upcast *upcast)
{
    uint32_t now = dbk_definition_type_version(check->definition, dbk_slice_text(upcast->type));

    if (upcast->to != upcast->from + 1)
        dbk_report_error(check->report, block->line, "one step at a time: 1 -> 2, then 2 -> 3",
                         "an upcast from %u to %u", upcast->from, upcast->to);
    else if (upcast->to > now)
        dbk_report_error(check->report, block->line, "\"version\" in app.json, of the table or of the app",
                         "'%s' is at version %u: no event of version %u is ever written", upcast->type, now,
                         upcast->to);
    for (size_t i = 0; i < check->definition->upcast_count; i++) {
        const dbk_upcast *other = &check->definition->upcasts[i];
        if (strcmp(other->type, upcast->type) == 0 && other->from == upcast->from)
            dbk_report_error(check->report, block->line, "one of them", "a second upcast of '%s' from version %u",
                             upcast->type, upcast->from);
    }
}

/* An upcast sees its event and nothing else: what it gives must be the same for ever. */
static void check_select(dbk_check *check, const dbk_sql *sql)
{
    static const char *const known[] = {":data", ":type", ":stream", ":time"};

    if (sql->next)
        dbk_report_error(check->report, dbk_sql_span(sql->next, 0), "one SELECT", "a second statement in one upcast");
    if (sql->broken) return;
    for (const dbk_object *object = check->objects; object; object = object->next) {
        uint32_t token = object->kind == DBK_OBJECT_INDEX ? sql->count : dbk_sql_find(sql, 0, object->name);
        for (; token < sql->count; token = dbk_sql_find(sql, token + 1, object->name)) {
            if (token == 0 || !(dbk_sql_is(sql, token - 1, "from") || dbk_sql_is(sql, token - 1, "join") ||
                                dbk_sql_is(sql, token - 1, ",")))
                continue;
            dbk_report_error(check->report, dbk_sql_span(sql, token), ":data, :type, :stream and :time",
                             "an upcast sees its event, not '%s'", object->name);
            return;
        }
    }
    if (!dbk_sql_is(sql, 0, "select") && !dbk_sql_is(sql, 0, "with") && !dbk_sql_is(sql, 0, "values")) {
        dbk_report_error(check->report, dbk_sql_span(sql, 0), "SELECT json_set(:data, '$.a', 1);",
                         "an upcast is one SELECT");
        return;
    }
    sqlite3_stmt *statement = dbk_check_prepare(check, sql, DBK_SQL_QUERY);
    for (int i = 1; statement && i <= sqlite3_bind_parameter_count(statement); i++) {
        const char *name = sqlite3_bind_parameter_name(statement, i);
        bool good = false;
        for (size_t k = 0; name && k < sizeof(known) / sizeof(known[0]); k++) good |= strcmp(name, known[k]) == 0;
        if (!good)
            dbk_report_error(check->report, dbk_sql_span(sql, dbk_sql_parameter(sql, name ? name : "?")),
                             ":data, :type, :stream or :time", "'%s' is no parameter of an upcast", name ? name : "?");
    }
    if (statement && sqlite3_column_count(statement) != 1)
        dbk_report_error(check->report, dbk_sql_span(sql, 0), "one column: the JSON text of the new data",
                         "an upcast gives one column, this one %d", sqlite3_column_count(statement));
    (void)sqlite3_finalize(statement);
}

static void read_upcast(dbk_check *check, const dbk_block *block)
{
    const char *text = (const char *)block->line.source->text.data;
    dbk_line line = {text + block->line.begin, text + block->line.end};
    dbk_upcast upcast = {.span_line = 0};
    dbk_slice type;

    if (!dbk_line_take(&line, "-- upcast ") || !take_type(&line, &type) || !dbk_line_take(&line, " ") ||
        !take_number(&line, &upcast.from) || !dbk_line_take(&line, " -> ") || !take_number(&line, &upcast.to) ||
        line.at != line.end) {
        dbk_line_lookalike(check, block, "-- upcast job.progressed 1 -> 2    (or indent the comment)");
        return;
    }
    upcast.type = dbk_check_text(check, type);
    if (!upcast.type) return;
    if (strncmp(upcast.type, "daybook.", 8) == 0)
        dbk_report_error(check->report, dbk_line_span(block, type), "events of the app only",
                         "events of the engine have no upcasts");
    check_versions(check, block, &upcast);
    if (!block->first) {
        dbk_report_error(check->report, block->line, "a SELECT below it", "no statement follows");
        return;
    }
    check_select(check, block->first);
    upcast.sql = block->first->text;
    upcast.line = block->first->line;
    upcast.span_line = (uint32_t)(block->line.begin);
    check->definition->upcasts[check->definition->upcast_count++] = upcast;
}

static int compare(const void *a, const void *b)
{
    const dbk_upcast *one = a, *other = b;
    int order = strcmp(one->type, other->type);

    return order ? order : one->from < other->from ? -1 : one->from > other->from;
}

static void check_gaps(dbk_check *check)
{
    const dbk_definition *definition = check->definition;

    for (size_t i = 1; i < definition->upcast_count; i++) {
        const dbk_upcast *before = &definition->upcasts[i - 1], *next = &definition->upcasts[i];
        if (strcmp(before->type, next->type) != 0 || next->from <= before->to) continue;
        dbk_report_error(check->report,
                         (dbk_span){check->upcasts.first->line.source, next->span_line, next->span_line + 9},
                         "the steps between, SELECT :data where nothing changes",
                         "a gap: no upcast of '%s' from version %u to %u", next->type, before->to, next->from);
    }
}

void dbk_check_upcasts(dbk_check *check)
{
    size_t count = 0;

    for (const dbk_block *block = check->upcasts.first; block; block = block->next)
        if (++count == UPCASTS_MAX + 1)
            dbk_report_error(check->report, block->line, "fewer", "more than %d upcasts", UPCASTS_MAX);
    if (count > UPCASTS_MAX) return;
    check->definition->upcasts = dbk_check_take(check, count + 1, sizeof(dbk_upcast));
    for (const dbk_block *block = check->upcasts.first; block && !check->failed; block = block->next)
        if (block->word) read_upcast(check, block);
    if (check->failed || check->definition->upcast_count == 0) return;
    qsort(check->definition->upcasts, check->definition->upcast_count, sizeof(dbk_upcast), compare);
    check_gaps(check);
}
