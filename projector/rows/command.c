/* Commands of the app (app-format.md §5.10). The steps run in order inside one entry: the rows of a
 * step's SELECT are read first, then each is decided and projected, then comes the next step. What a
 * step refuses, refuses the command; the caller drops the entry.
 *
 * SELECTs may take about two million of SQLite's instructions for a whole command, counted and not
 * timed: the same command on the same rows is answered the same on every machine. */
#include "projector/rows/command.h"

#include <stdio.h>

enum { STEPS_EACH = 1000, THOUSANDS_MAX = 2000, ROWS_MAX = 10000, ROWS_MAX_BYTES = 16 * 1024 * 1024 };

/* ---- what a model keeps of the commands */

dbk_commands *dbk_commands_new(dbk_model *model)
{
    const dbk_definition *definition = model->definition;
    dbk_commands *commands = dbk_alloc_zero(model->port, 1, sizeof(*commands));

    if (!commands) return NULL;
    dbk_buffer_init(&commands->rows, model->port);
    dbk_buffer_init(&commands->scratch, model->port);
    commands->items =
        dbk_alloc_zero(model->port, definition->command_count + definition->undo_count + 1, sizeof(*commands->items));
    commands->parser = dbk_json_parser_new(model->port);
    if (commands->items && commands->parser) return commands;
    dbk_json_parser_free(commands->parser);
    dbk_free(model->port, commands->items);
    dbk_free(model->port, commands);
    return NULL;
}

static void release(const dbk_port *port, dbk_command_kept *kept)
{
    const dbk_app_command *command = kept->command;

    for (uint32_t i = 0; command && kept->statements && i <= command->step_count; i++) {
        sqlite3_finalize(kept->statements[i].statement);
        dbk_free(port, kept->statements[i].bounds);
    }
    for (uint16_t i = 0; command && kept->defaults && i < command->argument_count; i++)
        sqlite3_value_free(kept->defaults[i]);
    dbk_free(port, kept->statements);
    dbk_free(port, kept->defaults);
    dbk_free(port, kept->lets);
    *kept = (dbk_command_kept){0};
}

void dbk_commands_free(dbk_model *model)
{
    dbk_commands *commands = model->commands;

    if (!commands) return;
    for (size_t i = 0; i < model->definition->command_count + model->definition->undo_count; i++)
        release(model->port, &commands->items[i]);
    sqlite3_finalize(commands->echo);
    dbk_json_parser_free(commands->parser);
    dbk_buffer_release(&commands->rows);
    dbk_buffer_release(&commands->scratch);
    dbk_free(model->port, commands->items);
    dbk_free(model->port, commands);
    model->commands = NULL;
}

/* ---- preparing */

/* What the data or the app's SQL made SQLite refuse is no failure of the engine. */
static dbk_result sql_failure(dbk_model *model, int rc, uint32_t line, dbk_error *err)
{
    bool by_app = (rc & 0xff) == SQLITE_ERROR || (rc & 0xff) == SQLITE_MISMATCH || (rc & 0xff) == SQLITE_TOOBIG ||
                  (rc & 0xff) == SQLITE_AUTH;

    if ((rc & 0xff) == SQLITE_INTERRUPT) {
        (void)dbk_fail(err, DBK_BUSY, "commands.sql:%u: the step reads too much", line);
        dbk_error_hint(err, "an index on what its WHERE asks for");
        return DBK_BUSY;
    }
    if ((rc & 0xff) == SQLITE_NOMEM && model->commands->no_memory) {
        (void)dbk_fail(err, DBK_TOO_BIG, "commands.sql:%u: the step takes more than %d MiB of memory", line,
                       DBK_SQL_MEMORY_MIB);
        dbk_error_hint(err, "an index that has the order it sorts for, or fewer and shorter rows at a time");
        return DBK_TOO_BIG;
    }
    if (by_app) return dbk_fail(err, DBK_REJECTED, "commands.sql:%u: %s", line, sqlite3_errmsg(model->db));
    return dbk_model_sql_failure(model, rc, "run a step", err);
}

static bool find_bound(const dbk_command_kept *kept, const char *name, dbk_bound *out)
{
    static const struct {
        const char *name;
        dbk_bound_kind kind;
    } given[] = {{":time", DBK_BOUND_TIME}, {":actor", DBK_BOUND_ACTOR}, {":key", DBK_BOUND_KEY}};
    const dbk_app_command *command = kept->command;

    if (!name || name[0] != ':') return false;
    for (size_t i = 0; i < 3; i++) {
        if (strcmp(name, given[i].name) != 0) continue;
        out->kind = given[i].kind;
        return true;
    }
    for (uint16_t i = 0; i < command->argument_count + kept->let_count; i++) {
        const char *known =
            i < command->argument_count ? command->arguments[i].name : kept->lets[i - command->argument_count];
        if (strcmp(name + 1, known) != 0) continue;
        *out = (dbk_bound){DBK_BOUND_VALUE, i};
        return true;
    }
    return false;
}

static int prepare_as_query(dbk_model *model, const char *sql, sqlite3_stmt **out)
{
    dbk_sql_role role = model->sandbox.role;

    model->sandbox.role = DBK_SQL_QUERY;
    model->sandbox.denied[0] = '\0';
    int rc = sqlite3_prepare_v3(model->db, sql, -1, SQLITE_PREPARE_PERSISTENT, out, NULL);
    model->sandbox.role = role;
    return rc;
}

static dbk_result prepare(dbk_model *model, const dbk_command_kept *kept, const char *sql, uint32_t line,
                          dbk_command_statement *s, dbk_error *err)
{
    int rc = prepare_as_query(model, sql, &s->statement);

    if (rc != SQLITE_OK) return sql_failure(model, rc, line, err);
    if (!s->statement || !sqlite3_stmt_readonly(s->statement))
        return dbk_fail(err, DBK_INTERNAL, "commands.sql:%u is no SELECT", line);
    int count = sqlite3_bind_parameter_count(s->statement);
    s->bounds = dbk_alloc_zero(model->port, (size_t)count + 1, sizeof(*s->bounds));
    s->bound_count = count;
    bool known = s->bounds != NULL;
    for (int i = 0; known && i < count; i++)
        known = find_bound(kept, sqlite3_bind_parameter_name(s->statement, i + 1), &s->bounds[i]);
    if (known) return DBK_OK;
    dbk_result result = s->bounds ? dbk_fail(err, DBK_INTERNAL, "commands.sql:%u has an unknown parameter", line)
                                  : dbk_row_no_memory(err);
    sqlite3_finalize(s->statement);
    dbk_free(model->port, s->bounds);
    *s = (dbk_command_statement){0};
    return result;
}

static dbk_result make_default(dbk_model *model, const dbk_argument *argument, sqlite3_value **out, dbk_error *err)
{
    sqlite3_stmt *statement = NULL;
    dbk_buffer sql;

    dbk_buffer_init(&sql, model->port);
    dbk_buffer_put_text(&sql, "SELECT ");
    dbk_buffer_put_text(&sql, argument->default_sql);
    const char *text = dbk_buffer_text(&sql);
    int rc = text ? prepare_as_query(model, text, &statement) : SQLITE_NOMEM;
    dbk_buffer_release(&sql);
    if (rc == SQLITE_OK) rc = sqlite3_step(statement);
    if (rc == SQLITE_ROW) *out = sqlite3_value_dup(sqlite3_column_value(statement, 0));
    sqlite3_finalize(statement);
    if (rc == SQLITE_ROW && *out) return DBK_OK;
    return rc == SQLITE_ROW || rc == SQLITE_NOMEM ? dbk_row_no_memory(err)
                                                  : dbk_model_sql_failure(model, rc, "read a default", err);
}

static dbk_result keep(dbk_model *model, const dbk_app_command *command, dbk_command_kept *kept, dbk_error *err)
{
    dbk_result result = DBK_OK;

    kept->command = command;
    kept->statements = dbk_alloc_zero(model->port, command->step_count + 1, sizeof(*kept->statements));
    kept->defaults = dbk_alloc_zero(model->port, command->argument_count + 1U, sizeof(*kept->defaults));
    kept->lets = dbk_alloc_zero(model->port, command->step_count + 1, sizeof(*kept->lets));
    if (!kept->statements || !kept->defaults || !kept->lets) result = dbk_row_no_memory(err);
    for (uint16_t i = 0; result == DBK_OK && i < command->argument_count; i++)
        if (command->arguments[i].default_sql)
            result = make_default(model, &command->arguments[i], &kept->defaults[i], err);
    for (uint32_t i = 0; result == DBK_OK && i < command->step_count; i++) {
        const dbk_command_step *step = &command->steps[i];
        result = prepare(model, kept, step->sql, step->line, &kept->statements[i], err);
        if (step->kind == DBK_STEP_LET) kept->lets[kept->let_count++] = step->name;
    }
    if (result == DBK_OK && command->returns_sql)
        result = prepare(model, kept, command->returns_sql, command->returns_line,
                         &kept->statements[command->step_count], err);
    if (result != DBK_OK) release(model->port, kept);
    return result;
}

/* ---- reading rows */

static int count_steps(void *arg)
{
    dbk_commands *commands = arg;

    return ++commands->steps > THOUSANDS_MAX;
}

/* The next row: SQLITE_ROW, SQLITE_DONE, or a failure. Only reads are ever interrupted. */
static int next_row(dbk_model *model, sqlite3_stmt *statement)
{
    int length = sqlite3_limit(model->db, SQLITE_LIMIT_LENGTH, DBK_SQL_VALUE_MAX_BYTES);
    sqlite3_progress_handler(model->db, STEPS_EACH, count_steps, model->commands);
    dbk_memory_bound memory;
    dbk_memory_begin(&memory, NULL, (int64_t)DBK_SQL_MEMORY_MIB << 20);
    int rc = sqlite3_step(statement);
    model->commands->no_memory = dbk_memory_end(&memory);
    sqlite3_progress_handler(model->db, 0, NULL, NULL);
    (void)sqlite3_limit(model->db, SQLITE_LIMIT_LENGTH, length);
    return rc;
}

static dbk_result begin_reading(dbk_command_run *run, uint32_t step, sqlite3_stmt **out, dbk_error *err)
{
    dbk_command_statement *statement = &run->kept->statements[step];

    *out = statement->statement;
    return dbk_command_bind(run, statement, err);
}

static dbk_result refuse(const dbk_command_run *run, const char *text, const char *otherwise, dbk_error *err)
{
    dbk_buffer *out = &run->model->commands->scratch;

    dbk_buffer_clear(out);
    if (text) {
        dbk_command_put_text(run, text, out);
    } else {
        dbk_buffer_put_text(out, run->kept->command->name);
        dbk_buffer_put_text(out, otherwise);
    }
    const char *said = dbk_buffer_text(out);
    return said ? dbk_fail(err, DBK_REJECTED, "%s", said) : dbk_row_no_memory(err);
}

static dbk_result require(dbk_command_run *run, uint32_t step, dbk_error *err)
{
    const dbk_command_step *s = &run->kept->command->steps[step];
    sqlite3_stmt *statement;
    dbk_result result = begin_reading(run, step, &statement, err);
    int rc = result == DBK_OK ? next_row(run->model, statement) : SQLITE_OK;

    if (result == DBK_OK && rc == SQLITE_DONE) result = refuse(run, s->text, NULL, err);
    else if (result == DBK_OK && rc != SQLITE_ROW) result = sql_failure(run->model, rc, s->line, err);
    (void)sqlite3_reset(statement);
    return result;
}

static dbk_result let(dbk_command_run *run, uint32_t step, uint16_t place, dbk_error *err)
{
    const dbk_command_step *s = &run->kept->command->steps[step];
    char text[160];
    sqlite3_stmt *statement;
    dbk_result result = begin_reading(run, step, &statement, err);
    int rc = result == DBK_OK ? next_row(run->model, statement) : SQLITE_OK;

    if (rc == SQLITE_ROW) {
        sqlite3_value_free(run->values[place]);
        run->values[place] = sqlite3_value_dup(sqlite3_column_value(statement, 0));
        if (!run->values[place]) result = dbk_row_no_memory(err);
        rc = next_row(run->model, statement);
        if (result == DBK_OK && rc != SQLITE_DONE && rc != SQLITE_ROW)
            result = sql_failure(run->model, rc, s->line, err);
        if (result == DBK_OK && rc == SQLITE_ROW) {
            (void)snprintf(text, sizeof(text), ": more than one row for ':%s'", s->name);
            result = refuse(run, NULL, text, err);
        }
    } else if (result == DBK_OK && rc == SQLITE_DONE) {
        (void)snprintf(text, sizeof(text), ": no row for ':%s'", s->name);
        result = refuse(run, NULL, text, err);
    } else if (result == DBK_OK) {
        result = sql_failure(run->model, rc, s->line, err);
    }
    (void)sqlite3_reset(statement);
    return result;
}

/* ---- emitting */

/* All rows of the step's SELECT, each as one JSON text behind its u32 length. */
static dbk_result gather(dbk_command_run *run, uint32_t step, size_t *count, dbk_error *err)
{
    const dbk_command_step *s = &run->kept->command->steps[step];
    dbk_buffer *rows = &run->model->commands->rows;
    sqlite3_stmt *statement;
    dbk_result result = begin_reading(run, step, &statement, err);
    int rc = SQLITE_OK;

    dbk_buffer_clear(rows);
    for (*count = 0; result == DBK_OK && (rc = next_row(run->model, statement)) == SQLITE_ROW; (*count)++) {
        size_t at = rows->size;
        dbk_buffer_put_u32(rows, 0);
        result = dbk_command_put_row(run->model, s, statement, rows, err);
        if (result == DBK_OK && rows->failed) result = dbk_row_no_memory(err);
        if (result == DBK_OK && (*count == ROWS_MAX || rows->size > ROWS_MAX_BYTES))
            result = dbk_fail(err, DBK_TOO_BIG, "commands.sql:%u: more than %d rows or %d MiB", s->line, ROWS_MAX,
                              ROWS_MAX_BYTES >> 20);
        if (result == DBK_OK) dbk_store_u32(rows->data + at, (uint32_t)(rows->size - at - 4));
    }
    if (result == DBK_OK && rc != SQLITE_DONE) result = sql_failure(run->model, rc, s->line, err);
    (void)sqlite3_reset(statement);
    return result;
}

static dbk_result emit_row(dbk_command_run *run, const dbk_command_step *step, dbk_slice row, dbk_error *err)
{
    const dbk_json_node *root = NULL;
    dbk_result result = dbk_json_parse(run->model->commands->parser, row, &root, err);

    if (result != DBK_OK)
        return result == DBK_BAD_JSON ? dbk_error_wrap(err, DBK_SCHEMA, "commands.sql:%u", step->line) : result;
    const dbk_json_node *key = dbk_json_member(root, "key"), *data = dbk_json_member(root, "data");
    const dbk_json_node *expect = dbk_json_member(root, "expect");
    dbk_slice table = dbk_slice_text(step->table ? step->table->name : "");
    switch (step->kind) {
    case DBK_STEP_PUT: run->has_key = true; return dbk_model_put(run->model, run->draft, table, key, data, expect, err);
    case DBK_STEP_PATCH: return dbk_model_patch(run->model, run->draft, table, key, data, expect, err);
    case DBK_STEP_DELETE: return dbk_model_delete(run->model, run->draft, table, key, expect, err);
    case DBK_STEP_APPEND:
        return dbk_model_append(run->model, run->draft, dbk_json_member(root, "stream")->text,
                                dbk_json_member(root, "type")->text, data, expect, err);
    default: return dbk_fail(err, DBK_INTERNAL, "a step of no kind");
    }
}

/* What can still refuse the command once the step's rows are written. Where nothing can, one row is like a put by
 * itself: it makes a savepoint where it needs one. */
static bool is_last_word(const dbk_command_run *run, uint32_t step, size_t rows)
{
    const dbk_app_command *command = run->kept->command;

    return rows <= 1 && step + 1 == command->step_count && !command->returns_sql;
}

static dbk_result emit(dbk_command_run *run, uint32_t step, dbk_error *err)
{
    const dbk_command_step *s = &run->kept->command->steps[step];
    size_t count;
    dbk_result result = gather(run, step, &count, err);

    if (result == DBK_OK && count == 0 && !s->may_be_empty) return refuse(run, s->text, ": nothing to do", err);
    if (result == DBK_OK && !is_last_word(run, step, count)) result = dbk_row_savepoint(run->model, err);
    dbk_reader rest = dbk_reader_of(dbk_buffer_slice(&run->model->commands->rows));
    for (size_t i = 0; result == DBK_OK && i < count; i++) {
        uint32_t size = dbk_reader_u32(&rest);
        result = emit_row(run, s, dbk_reader_take(&rest, size), err);
    }
    return result;
}

/* ---- the whole */

static dbk_result put_return(dbk_command_run *run, dbk_error *err)
{
    const dbk_app_command *command = run->kept->command;
    dbk_buffer *out = &run->draft->result;
    sqlite3_stmt *statement;
    size_t count = 0;
    int rc = SQLITE_OK;
    dbk_result result = begin_reading(run, command->step_count, &statement, err);

    dbk_buffer_clear(out);
    dbk_buffer_put_u8(out, '[');
    while (result == DBK_OK && (rc = next_row(run->model, statement)) == SQLITE_ROW) {
        if (count++) dbk_buffer_put_u8(out, ',');
        dbk_command_put_result(statement, out);
        if (count > ROWS_MAX || out->size > ROWS_MAX_BYTES)
            result = dbk_fail(err, DBK_TOO_BIG, "commands.sql:%u: more than %d rows or %d MiB", command->returns_line,
                              ROWS_MAX, ROWS_MAX_BYTES >> 20);
    }
    dbk_buffer_put_u8(out, ']');
    if (result == DBK_OK && rc != SQLITE_DONE) result = sql_failure(run->model, rc, command->returns_line, err);
    if (result == DBK_OK && out->failed) result = dbk_row_no_memory(err);
    (void)sqlite3_reset(statement);
    return result;
}

static dbk_result run_steps(dbk_command_run *run, dbk_error *err)
{
    const dbk_app_command *command = run->kept->command;
    uint16_t place = command->argument_count;
    dbk_result result = DBK_OK;

    for (uint32_t i = 0; result == DBK_OK && i < command->step_count; i++) {
        switch (command->steps[i].kind) {
        case DBK_STEP_REQUIRE: result = require(run, i, err); break;
        case DBK_STEP_LET: result = let(run, i, place++, err); break;
        default: result = emit(run, i, err); break;
        }
    }
    return result == DBK_OK && command->returns_sql ? put_return(run, err) : result;
}

dbk_result dbk_model_command(dbk_model *model, dbk_draft *draft, const dbk_app_command *command,
                             const dbk_json_node *args, dbk_error *err)
{
    dbk_command_kept *kept = &model->commands->items[command - model->definition->commands];
    dbk_command_run run = {.model = model, .draft = draft, .kept = kept};
    dbk_result result = DBK_OK;

    if (!model->in_entry) return dbk_fail(err, DBK_INTERNAL, "no entry is open");
    if (!kept->command) result = keep(model, command, kept, err);
    if (result != DBK_OK) return result;
    model->commands->steps = 0;
    dbk_time_stored(model->work->time_ms, true, run.time);
    size_t count = (size_t)command->argument_count + kept->let_count;
    run.values = dbk_alloc_zero(model->port, count + 1, sizeof(*run.values));
    if (!run.values) return dbk_row_no_memory(err);
    result = dbk_command_take_arguments(&run, args, err);
    if (result == DBK_OK) result = run_steps(&run, err);
    for (size_t i = 0; i < count; i++) sqlite3_value_free(run.values[i]);
    dbk_free(model->port, run.values);
    return result;
}
