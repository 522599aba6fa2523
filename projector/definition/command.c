/* commands.sql: "-- command name(args)" and its steps below it (app-format.md §2, §5.10), and "-- undo type" with
 * what undoes an event of the app: steps that ask, and events.
 *
 * A directive that asks or writes (require, let, put, patch, delete, return) is about the statement
 * right below it; any further statement is a step of its own that appends events. "-- else" is about
 * the next statement that emits, with or without a put, patch or delete between them. */
#include <stdlib.h>
#include <strings.h>

#include "projector/definition/internal.h"

enum { COMMANDS_MAX = 1000, STEPS_MAX = 200, LETS_MAX = 50, NAME_PARTS_BYTES = 128 };

static const char *const given[] = {"time", "actor", "key", NULL};

typedef struct let_name {
    const char *name;
    dbk_span span;
    bool used;
} let_name;

/* The command being read. */
typedef struct work {
    dbk_check *check;
    const dbk_block *block; /* its directive; NULL: none yet, or one that could not be read */
    const char *name;
    dbk_signature signature;
    bool used[DBK_ARGUMENTS_MAX];
    let_name lets[LETS_MAX];
    uint16_t let_count;
    dbk_command_step steps[STEPS_MAX];
    uint32_t step_count;
    const dbk_block *pending; /* an -- else that no statement has taken yet */
    const char *else_text;
    bool else_ok;
    const dbk_block *returns;
    const char *returns_sql;
    bool undoes;            /* -- undo: name is a type */
    dbk_app_command *undos; /* finished ones; they follow the commands in the definition */
    size_t undo_count;
    bool before_said;
} work;

/* ---- names and texts */

/* name *("." name) */
static bool take_name(dbk_line *line, dbk_slice *name)
{
    const char *begin = line->at;
    dbk_slice part;

    do {
        if (!dbk_line_name(line, &part)) return false;
    } while (dbk_line_take(line, "."));
    *name = dbk_slice_of(begin, (size_t)(line->at - begin));
    return name->size <= NAME_PARTS_BYTES;
}

static void check_name(work *w, dbk_slice name)
{
    static const char *const taken[] = {"put",     "patch",       "delete",   "append", "batch",  "get",     "set",
                                        "query",   "list",        "log",      "inbox",  "apply",  "status",  "stats",
                                        "changes", "verify",      "hello",    "replay", "unset",  "reset",   "undo",
                                        "redo",    "fingerprint", "dismiss",  "diff",   "search", "rebuild", "history",
                                        "explain", "upgrade",     "settings", "models", "daybook"};
    dbk_report *report = w->check->report;

    for (size_t i = 0; i < sizeof(taken) / sizeof(taken[0]); i++)
        if (dbk_slice_equal(name, dbk_slice_text(taken[i])))
            dbk_report_error(report, dbk_line_span(w->block, name), "a name with a dot: note.rename",
                             "'%s' is a word of the engine", taken[i]);
    if (name.size > 8 && memcmp(name.data, "daybook.", 8) == 0)
        dbk_report_error(report, dbk_line_span(w->block, name), "another prefix", "'daybook.' is the engine's prefix");
    for (size_t i = 0; i < w->check->definition->command_count; i++)
        if (strcasecmp(w->check->definition->commands[i].name, w->name) == 0)
            dbk_report_error(report, dbk_line_span(w->block, name), "another name", "command '%s' stands twice",
                             w->name);
}

static bool use_name(work *w, dbk_slice name)
{
    for (uint16_t i = 0; i < w->signature.count; i++) {
        if (!dbk_slice_equal(name, dbk_slice_text(w->signature.items[i].name))) continue;
        w->used[i] = true;
        return true;
    }
    for (uint16_t i = 0; i < w->let_count; i++) {
        if (!dbk_slice_equal(name, dbk_slice_text(w->lets[i].name))) continue;
        w->lets[i].used = true;
        return true;
    }
    return false;
}

static const char *nearest_name(work *w, dbk_slice name)
{
    const char *names[DBK_ARGUMENTS_MAX + LETS_MAX + 3];
    size_t count = 0;

    for (uint16_t i = 0; i < w->signature.count; i++) names[count++] = w->signature.items[i].name;
    for (uint16_t i = 0; i < w->let_count; i++) names[count++] = w->lets[i].name;
    for (size_t i = 0; given[i]; i++) names[count++] = given[i];
    return dbk_check_nearest(w->check, name, names, count);
}

/* "{name}" in a text inserts an argument or what a let bound; other braces are text. */
static void check_insertions(work *w, const dbk_block *block, dbk_slice literal)
{
    for (size_t at = 0; at < literal.size; at++) {
        if (literal.data[at] != '{') continue;
        const uint8_t *end = memchr(literal.data + at, '}', literal.size - at);
        if (!end) return;
        dbk_slice name = dbk_slice_of(literal.data + at + 1, (size_t)(end - literal.data) - at - 1);
        if (!dbk_name_valid(name) || use_name(w, name)) continue;
        dbk_report_error(w->check->report, dbk_line_span(block, name), nearest_name(w, name),
                         "'{%.*s}' is no argument of '%s'", DBK_SLICE_ARG(name), w->name);
    }
}

/* A text in single quotes; '' in it is one quote. */
static bool take_text(work *w, const dbk_block *block, dbk_line *line, const char **text)
{
    dbk_slice literal;
    size_t size = 0;

    if (!dbk_line_string(line, &literal)) return false;
    char *copy = dbk_check_take(w->check, literal.size, 1);
    if (!copy) return true;
    for (size_t i = 1; i + 1 < literal.size; i++) {
        copy[size++] = (char)literal.data[i];
        if (literal.data[i] == '\'') i++;
    }
    *text = copy;
    check_insertions(w, block, literal);
    return true;
}

/* ---- statements */

static void check_parameters(work *w, const dbk_sql *sql, sqlite3_stmt *statement)
{
    for (int i = 1; i <= sqlite3_bind_parameter_count(statement); i++) {
        const char *name = sqlite3_bind_parameter_name(statement, i);
        bool known = false;
        for (size_t k = 0; name && name[0] == ':' && given[k]; k++) known |= strcmp(name + 1, given[k]) == 0;
        if (known || (name && name[0] == ':' && use_name(w, dbk_slice_text(name + 1)))) continue;
        const char *advice =
            name && name[0] == ':' ? nearest_name(w, dbk_slice_text(name + 1)) : ":name of an argument";
        dbk_report_error(w->check->report, dbk_sql_span(sql, dbk_sql_parameter(sql, name ? name : "?")), advice,
                         "'%s' is no argument of '%s'", name ? name : "?", w->name);
    }
}

/* One SELECT, under the authorizer of queries. NULL: what is wrong has been said. */
static sqlite3_stmt *prepare(work *w, const dbk_sql *sql)
{
    if (sql->broken) return NULL;
    if (!dbk_sql_is(sql, 0, "select") && !dbk_sql_is(sql, 0, "with") && !dbk_sql_is(sql, 0, "values")) {
        dbk_report_error(w->check->report, dbk_sql_span(sql, 0), "a SELECT; '-- put notes' above it writes its rows",
                         "a step reads: what it emits is written by the engine");
        return NULL;
    }
    size_t before = w->check->report->errors;
    sqlite3_stmt *statement = dbk_check_prepare(w->check, sql, DBK_SQL_QUERY);
    if (!statement) return NULL;
    check_parameters(w, sql, statement);
    if (w->check->report->errors == before) dbk_check_plan(w->check, sql);
    return statement;
}

static dbk_span column_span(const dbk_sql *sql, const char *name)
{
    return dbk_sql_span(sql, dbk_sql_find(sql, 0, name));
}

static int event_column(const char *name)
{
    static const struct {
        const char *name;
        int meaning;
    } columns[] = {
        {"type", DBK_STEP_TYPE}, {"stream", DBK_STEP_STREAM}, {"data", DBK_STEP_DATA}, {"expect", DBK_STEP_EXPECT}};

    for (size_t i = 0; i < 4; i++)
        if (strcasecmp(columns[i].name, name) == 0) return columns[i].meaning;
    return 0;
}

/* What a column of the result is; INT16_MAX: nothing, said. */
static int16_t meaning_of(work *w, const dbk_command_step *step, const dbk_sql *sql, const char *name)
{
    int column = step->table ? dbk_table_column(step->table, dbk_slice_text(name)) : event_column(name);

    if (step->table ? column >= 0 : column < 0) return (int16_t)column;
    if (step->table && strcasecmp(name, "expect") == 0) return DBK_STEP_EXPECT;
    if (step->table)
        dbk_report_error(w->check->report, column_span(sql, name),
                         dbk_check_nearest_column(w->check, step->table, dbk_slice_text(name)),
                         "'%s' is no column of '%s'", name, step->table->name);
    else
        dbk_report_error(w->check->report, column_span(sql, name), "SELECT … AS type, … AS stream, … AS data",
                         "'%s' is nothing of an event: type, stream, data, expect", name);
    return INT16_MAX;
}

static bool has_column(const dbk_command_step *step, int16_t meaning)
{
    for (uint16_t i = 0; i < step->column_count; i++)
        if (step->columns[i] == meaning) return true;
    return false;
}

static void require_columns(work *w, const dbk_command_step *step, const dbk_sql *sql)
{
    dbk_report *report = w->check->report;

    if (step->kind == DBK_STEP_APPEND && (!has_column(step, DBK_STEP_TYPE) || !has_column(step, DBK_STEP_STREAM)))
        dbk_report_error(report, dbk_sql_span(sql, 0), "SELECT … AS type, … AS stream, … AS data",
                         "an event needs the columns type and stream");
    for (uint16_t i = 0; step->table && step->kind != DBK_STEP_PUT && i < step->table->key_count; i++) {
        uint16_t key = step->table->key_columns[i];
        if (!has_column(step, (int16_t)key))
            dbk_report_error(report, dbk_sql_span(sql, 0), "the whole key in the SELECT",
                             "the key column '%s' of '%s' is missing", step->table->columns[key].name,
                             step->table->name);
    }
    for (uint16_t i = 0; step->kind == DBK_STEP_DELETE && i < step->column_count; i++)
        if (step->columns[i] >= 0 && !step->table->columns[step->columns[i]].key_part)
            dbk_report_error(report, column_span(sql, step->table->columns[step->columns[i]].name),
                             "the columns of the key only", "a delete needs no '%s'",
                             step->table->columns[step->columns[i]].name);
}

static void check_emitted(work *w, dbk_command_step *step, const dbk_sql *sql, sqlite3_stmt *statement)
{
    int count = sqlite3_column_count(statement);
    size_t before = w->check->report->errors;

    if (count > DBK_COLUMNS_MAX + 1) count = DBK_COLUMNS_MAX + 1;
    step->columns = dbk_check_take(w->check, (size_t)count + 1, sizeof(*step->columns));
    for (int i = 0; step->columns && i < count; i++) {
        const char *name = sqlite3_column_name(statement, i);
        int16_t meaning = name ? meaning_of(w, step, sql, name) : INT16_MAX;
        if (meaning != INT16_MAX && has_column(step, meaning))
            dbk_report_error(w->check->report, column_span(sql, name), "each column once", "'%s' stands twice", name);
        step->columns[step->column_count++] = meaning;
    }
    if (step->columns && w->check->report->errors == before) require_columns(w, step, sql);
}

static void check_result(work *w, dbk_command_step *step, const dbk_sql *sql)
{
    sqlite3_stmt *statement = prepare(w, sql);

    if (statement && step->kind == DBK_STEP_LET && sqlite3_column_count(statement) != 1)
        dbk_report_error(w->check->report, dbk_sql_span(sql, 0), "a SELECT of one column",
                         "'-- let' binds one value, the SELECT has %d columns", sqlite3_column_count(statement));
    if (statement && step->kind != DBK_STEP_LET && step->kind != DBK_STEP_REQUIRE)
        check_emitted(w, step, sql, statement);
    (void)sqlite3_finalize(statement);
}

static dbk_command_step *add_step(work *w, const dbk_sql *sql, const dbk_command_step *like)
{
    if (w->step_count == STEPS_MAX) {
        dbk_report_error(w->check->report, dbk_sql_span(sql, 0), "fewer, or a second command",
                         "more than %d steps in one command", STEPS_MAX);
        return NULL;
    }
    dbk_command_step *step = &w->steps[w->step_count++];
    *step = *like;
    step->sql = sql->text;
    step->line = sql->line;
    if (w->pending && step->kind != DBK_STEP_REQUIRE && step->kind != DBK_STEP_LET) {
        step->text = w->else_text;
        step->may_be_empty = w->else_ok;
        w->pending = NULL;
    }
    check_result(w, step, sql);
    return step;
}

static void orphan_else(work *w)
{
    if (!w->pending) return;
    dbk_report_error(w->check->report, w->pending->line,
                     "put it right above the statement, or its put, patch or delete",
                     "'-- else' is about the statement that follows, and none does");
    w->pending = NULL;
}

/* The statements of a block from `sql` on that have no directive of their own. */
static void add_events(work *w, const dbk_sql *sql)
{
    static const dbk_command_step event = {.kind = DBK_STEP_APPEND};

    if (sql && w->returns)
        dbk_report_error(w->check->report, dbk_sql_span(sql, 0), "steps first, '-- return' last",
                         "a statement behind '-- return'");
    for (; sql && !w->returns; sql = sql->next)
        if (!add_step(w, sql, &event)) return;
}

/* ---- directives */

static bool needs_statement(work *w, const dbk_block *block)
{
    if (block->first) return true;
    dbk_report_error(w->check->report, block->line, "a SELECT below it", "no statement follows");
    return false;
}

static bool read_text_step(work *w, const dbk_block *block, dbk_line *line)
{
    dbk_command_step step = {.kind = DBK_STEP_REQUIRE};

    if (!dbk_line_take(line, "-- require ") || !take_text(w, block, line, &step.text) || line->at != line->end)
        return false;
    orphan_else(w);
    if (needs_statement(w, block) && add_step(w, block->first, &step)) add_events(w, block->first->next);
    return true;
}

static bool is_given(dbk_slice name)
{
    for (size_t i = 0; given[i]; i++)
        if (dbk_slice_equal(name, dbk_slice_text(given[i]))) return true;
    return false;
}

/* The name counts from the next statement on. */
static bool read_let(work *w, const dbk_block *block, dbk_line *line)
{
    dbk_command_step step = {.kind = DBK_STEP_LET};
    dbk_slice name;

    if (!dbk_line_take(line, "-- let ") || !dbk_line_name(line, &name) || line->at != line->end) return false;
    orphan_else(w);
    bool used[DBK_ARGUMENTS_MAX];
    memcpy(used, w->used, sizeof(used));
    bool bound = is_given(name) || use_name(w, name);
    if (bound)
        dbk_report_error(w->check->report, dbk_line_span(block, name), "another name", "':%.*s' is bound already",
                         DBK_SLICE_ARG(name));
    memcpy(w->used, used, sizeof(used));
    step.name = dbk_check_text(w->check, name);
    if (!step.name || !needs_statement(w, block) || !add_step(w, block->first, &step)) return true;
    if (w->let_count < LETS_MAX && !bound)
        w->lets[w->let_count++] = (let_name){step.name, dbk_line_span(block, name), false};
    else if (!bound)
        dbk_report_error(w->check->report, block->line, "fewer, or a WITH", "more than %d values bound in one command",
                         LETS_MAX);
    add_events(w, block->first->next);
    return true;
}

static bool read_else(work *w, const dbk_block *block, dbk_line *line)
{
    const char *text = NULL;
    bool ok;

    if (!dbk_line_take(line, "-- else ")) return false;
    ok = dbk_line_take(line, "ok");
    if ((!ok && !take_text(w, block, line, &text)) || line->at != line->end) return false;
    orphan_else(w);
    w->pending = block;
    w->else_text = text;
    w->else_ok = ok;
    add_events(w, block->first);
    return true;
}

/* Rows of collections go back by themselves, and a receipt of an undo says what stayed. */
static bool refuse_in_undo(work *w, const dbk_block *block)
{
    w->pending = NULL;
    dbk_report_error(w->check->report, block->line, "a SELECT of events: type, stream, data",
                     "'-- %s' in the undo of '%s', which says events only", block->word, w->name);
    return true;
}

/* "-- put notes": the table must be one that the engine writes. */
static bool read_write(work *w, const dbk_block *block, dbk_line *line)
{
    dbk_command_step step = {.kind = strcmp(block->word, "put") == 0     ? DBK_STEP_PUT
                                     : strcmp(block->word, "patch") == 0 ? DBK_STEP_PATCH
                                                                         : DBK_STEP_DELETE};
    dbk_slice name;

    if (w->undoes) return refuse_in_undo(w, block);
    if (!dbk_line_take(line, "-- ") || !dbk_line_take(line, block->word) || !dbk_line_take(line, " ") ||
        !dbk_line_name(line, &name) || line->at != line->end)
        return false;
    step.table = dbk_definition_table(w->check->definition, name);
    if (!step.table && (w->check->report->errors == 0 || w->check->definition->table_count > 0))
        dbk_report_error(w->check->report, dbk_line_span(block, name), dbk_check_nearest_table(w->check, name),
                         "there is no table '%.*s'", DBK_SLICE_ARG(name));
    else if (step.table && !step.table->collection)
        dbk_report_error(w->check->report, dbk_line_span(block, name), "append the event that its projection reads",
                         "'%s' is written by projections", step.table->name);
    if (!step.table) w->pending = NULL;
    if (needs_statement(w, block) && step.table && add_step(w, block->first, &step)) add_events(w, block->first->next);
    return true;
}

static bool read_return(work *w, const dbk_block *block, dbk_line *line)
{
    if (w->undoes) return refuse_in_undo(w, block);
    if (!dbk_line_take(line, "-- return") || line->at != line->end) return false;
    orphan_else(w);
    if (w->returns) dbk_report_error(w->check->report, block->line, "one of them", "a second '-- return'");
    if (!needs_statement(w, block)) return true;
    if (block->first->next)
        dbk_report_error(w->check->report, dbk_sql_span(block->first->next, 0), "steps first, '-- return' last",
                         "a statement behind '-- return'");
    w->returns = block;
    w->returns_sql = block->first->text;
    sqlite3_stmt *statement = prepare(w, block->first);
    (void)sqlite3_finalize(statement);
    return true;
}

/* ---- commands */

/* A name that was refused where it stands. */
static bool is_said(const work *w, uint16_t at)
{
    const char *name = w->signature.items[at].name;
    bool said = is_given(dbk_slice_text(name));

    for (uint16_t i = 0; i < at; i++) said |= strcmp(w->signature.items[i].name, name) == 0;
    return said;
}

static void check_used(work *w)
{
    for (uint16_t i = 0; i < w->signature.count; i++)
        if (!w->used[i] && !w->undoes && !is_said(w, i))
            dbk_report_error(w->check->report, w->block->line, "use it, or leave it out", "argument '%s' is not used",
                             w->signature.items[i].name);
    for (uint16_t i = 0; i < w->let_count; i++)
        if (!w->lets[i].used)
            dbk_report_error(w->check->report, w->lets[i].span, "use it, or leave it out",
                             "':%s' is bound and not used", w->lets[i].name);
}

static void finish_command(work *w)
{
    dbk_definition *definition = w->check->definition;

    if (!w->block) return;
    orphan_else(w);
    check_used(w);
    if (w->step_count == 0 && !w->returns_sql)
        dbk_report_error(w->check->report, w->block->line,
                         w->undoes ? "a SELECT of events" : "'-- put notes' and a SELECT, or a SELECT of events",
                         "%s '%s' has no step", w->undoes ? "the undo of" : "command", w->name);
    dbk_app_command *command =
        w->undoes ? &w->undos[w->undo_count++] : &definition->commands[definition->command_count];
    *command = (dbk_app_command){.name = w->name,
                                 .arguments = dbk_signature_keep(w->check, &w->signature),
                                 .argument_count = w->signature.count,
                                 .step_count = w->step_count,
                                 .returns_sql = w->returns_sql,
                                 .returns_line = w->returns ? w->returns->first->line : 0};
    command->steps = dbk_check_take(w->check, (size_t)w->step_count + 1, sizeof(*command->steps));
    if (command->steps) memcpy(command->steps, w->steps, w->step_count * sizeof(*command->steps));
    if (!w->undoes) definition->command_count++;
    w->block = NULL;
}

static void begin_command(work *w)
{
    finish_command(w);
    *w = (work){.check = w->check, .before_said = true, .undos = w->undos, .undo_count = w->undo_count};
}

static bool read_command(work *w, const dbk_block *block, dbk_line *line)
{
    dbk_slice name;

    begin_command(w);
    if (!dbk_line_take(line, "-- command ") || !take_name(line, &name)) return false;
    w->name = dbk_check_text(w->check, name);
    if (!w->name || !dbk_line_signature(w->check, block, line, given, &w->signature) || line->at != line->end)
        return false;
    w->block = block;
    check_name(w, name);
    add_events(w, block->first);
    return true;
}

static void check_undone(work *w, dbk_slice type)
{
    dbk_report *report = w->check->report;
    dbk_span span = dbk_line_span(w->block, type);
    const dbk_table *table;
    dbk_row_op op;

    if (type.size > 8 && memcmp(type.data, "daybook.", 8) == 0)
        dbk_report_error(report, span, "events of the app only", "events of the engine have no undo");
    else if (dbk_definition_row_event(w->check->definition, type, &table, &op))
        dbk_report_error(report, span, "a type of the app's own", "rows of '%s' are put back without it", table->name);
    for (size_t i = 0; i < w->undo_count; i++)
        if (strcmp(w->undos[i].name, w->name) == 0)
            dbk_report_error(report, span, "one of them", "a second undo of '%s'", w->name);
}

/* "-- undo job.started": the event is :data, :stream and :type, moved to today's version. */
static bool read_undo(work *w, const dbk_block *block, dbk_line *line)
{
    static const dbk_argument event[] = {{.name = "data", .type = DBK_TYPE_JSON},
                                         {.name = "stream", .type = DBK_TYPE_TEXT},
                                         {.name = "type", .type = DBK_TYPE_TEXT}};
    dbk_slice type;

    begin_command(w);
    if (!dbk_line_take(line, "-- undo ") || !take_name(line, &type) || line->at != line->end) return false;
    w->name = dbk_check_text(w->check, type);
    if (!w->name) return true;
    memcpy(w->signature.items, event, sizeof(event));
    w->signature.count = 3;
    w->undoes = true;
    w->block = block;
    check_undone(w, type);
    if (w->check->definition->no_undo)
        dbk_report_warning(w->check->report, block->line, "leave it out, or \"undo\": true",
                           "nothing asks for it: 'models.main.undo' of app.json is false");
    add_events(w, block->first);
    return true;
}

typedef struct directive {
    const char *word;
    bool (*read)(work *w, const dbk_block *block, dbk_line *line);
    const char *advice;
} directive;

static const directive directives[] = {
    {"command", read_command, "-- command note.rename(id TEXT, title TEXT)    (or indent the comment)"},
    {"undo", read_undo, "-- undo job.started    (or indent the comment)"},
    {"require", read_text_step, "-- require 'note {id} is locked'    (or indent the comment)"},
    {"let", read_let, "-- let total    (or indent the comment)"},
    {"else", read_else, "-- else 'there is no {id}'    or    -- else ok    (or indent the comment)"},
    {"put", read_write, "-- put notes    (or indent the comment)"},
    {"patch", read_write, "-- patch notes    (or indent the comment)"},
    {"delete", read_write, "-- delete notes    (or indent the comment)"},
    {"return", read_return, "-- return    (or indent the comment)"},
};

static void read_block(work *w, const dbk_block *block)
{
    const char *text = (const char *)block->line.source->text.data;
    dbk_line line = {text + block->line.begin, text + block->line.end};

    for (size_t i = 0; i < sizeof(directives) / sizeof(directives[0]); i++) {
        const directive *d = &directives[i];
        if (strcmp(block->word, d->word) != 0) continue;
        if (d->read != read_command && d->read != read_undo && !w->block) {
            if (!w->before_said)
                dbk_report_error(w->check->report, block->line, "-- command name(arguments) above it",
                                 "a step before the first command");
            w->before_said = true;
        } else if (!d->read(w, block, &line)) {
            dbk_line_lookalike(w->check, block, d->advice);
            w->pending = NULL;
        }
    }
}

void dbk_check_commands(dbk_check *check)
{
    size_t count = 0;

    for (const dbk_block *block = check->commands.first; block; block = block->next)
        if (block->word && (strcmp(block->word, "command") == 0 || strcmp(block->word, "undo") == 0) &&
            ++count == COMMANDS_MAX + 1)
            dbk_report_error(check->report, block->line, "fewer commands", "more than %d commands", COMMANDS_MAX);
    if (count > COMMANDS_MAX) return;
    check->definition->commands = dbk_check_take(check, count + 1, sizeof(dbk_app_command));
    work *w = dbk_check_take(check, 1, sizeof(*w)); /* too big for a stack */
    if (!w) return;
    w->check = check;
    w->undos = dbk_check_take(check, count + 1, sizeof(*w->undos));
    for (const dbk_block *block = check->commands.first; block && !check->failed; block = block->next)
        if (block->word) read_block(w, block);
    if (check->failed) return;
    finish_command(w);
    memcpy(check->definition->commands + check->definition->command_count, w->undos, w->undo_count * sizeof(*w->undos));
    check->definition->undo_count = w->undo_count;
}
