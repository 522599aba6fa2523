/* Values of commands: arguments in, rows of a step's SELECT as the members of a command. */
#include "projector/rows/command.h"

#include <math.h>

/* ---- arguments */

static const dbk_argument *find_argument(const dbk_app_command *command, dbk_slice name)
{
    for (uint16_t i = 0; i < command->argument_count; i++)
        if (dbk_slice_equal(dbk_slice_text(command->arguments[i].name), name)) return &command->arguments[i];
    return NULL;
}

static dbk_result unknown_argument(const dbk_app_command *command, dbk_slice name, dbk_error *err)
{
    const char *names[256];
    uint16_t count = 0;

    while (count < command->argument_count && count < 256) {
        names[count] = command->arguments[count].name;
        count++;
    }
    const char *near = dbk_nearest(name, names, count);
    (void)dbk_fail(err, DBK_UNKNOWN_FIELD, "'%s' has no argument '%.*s'", command->name,
                   (int)(name.size < 128 ? name.size : 128), (const char *)name.data);
    if (near) dbk_error_hint(err, "did you mean '%s'?", near);
    return DBK_UNKNOWN_FIELD;
}

static dbk_result check_names(const dbk_app_command *command, const dbk_json_node *args, dbk_error *err)
{
    if (!args) return DBK_OK;
    if (args->kind != DBK_JSON_OBJECT)
        return dbk_fail(err, DBK_BAD_COMMAND, "the 'args' of '%s' are an object", command->name);
    const dbk_json_node *value = args + 1;
    for (uint32_t i = 0; i < args->count; i++, value = dbk_json_next(value))
        if (!find_argument(command, value->name)) return unknown_argument(command, value->name, err);
    return DBK_OK;
}

/* A value of its own: bound to "SELECT ?1" and read back. */
static dbk_result make_value(dbk_model *model, const dbk_app_command *command, const dbk_argument *argument,
                             const dbk_json_node *node, sqlite3_value **out, dbk_error *err)
{
    dbk_column column = {.name = argument->name, .declared = "", .type = argument->type};
    dbk_commands *commands = model->commands;
    int rc = SQLITE_OK;

    if (!commands->echo)
        rc = sqlite3_prepare_v3(model->db, "SELECT ?1", -1, SQLITE_PREPARE_PERSISTENT, &commands->echo, NULL);
    if (rc != SQLITE_OK) return dbk_model_sql_failure(model, rc, "read an argument", err);
    dbk_result result = dbk_value_bind(&column, command->name, node, commands->echo, 1, &commands->scratch, err);
    if (result == DBK_OK && sqlite3_step(commands->echo) == SQLITE_ROW)
        *out = sqlite3_value_dup(sqlite3_column_value(commands->echo, 0));
    (void)sqlite3_reset(commands->echo);
    (void)sqlite3_clear_bindings(commands->echo);
    if (result == DBK_OK && !*out) return dbk_row_no_memory(err);
    return result;
}

static dbk_result take_argument(dbk_command_run *run, uint16_t place, const dbk_json_node *node, dbk_error *err)
{
    const dbk_app_command *command = run->kept->command;
    const dbk_argument *argument = &command->arguments[place];

    if (!node && run->kept->defaults[place]) {
        run->values[place] = sqlite3_value_dup(run->kept->defaults[place]);
        return run->values[place] ? DBK_OK : dbk_row_no_memory(err);
    }
    if (!node && argument->optional) return DBK_OK;
    if (!node) return dbk_fail(err, DBK_BAD_COMMAND, "'%s' needs the argument '%s'", command->name, argument->name);
    if (node->kind == DBK_JSON_NULL && argument->optional) return DBK_OK;
    if (node->kind == DBK_JSON_NULL)
        return dbk_fail(err, DBK_SCHEMA, "the argument '%s' of '%s' is not null", argument->name, command->name);
    return make_value(run->model, command, argument, node, &run->values[place], err);
}

/* In the order of app-format.md §5.6: form, then names, then types. */
dbk_result dbk_command_take_arguments(dbk_command_run *run, const dbk_json_node *args, dbk_error *err)
{
    const dbk_app_command *command = run->kept->command;
    const dbk_json_node *object = args && args->kind != DBK_JSON_NULL ? args : NULL;
    dbk_result result = check_names(command, object, err);

    for (uint16_t i = 0; result == DBK_OK && i < command->argument_count; i++)
        result = take_argument(run, i, object ? dbk_json_member(object, command->arguments[i].name) : NULL, err);
    return result;
}

/* The key of the last put of this command: a scalar, or the text of an array. */
static int bind_key(dbk_command_run *run, sqlite3_stmt *statement, int at)
{
    const dbk_json_node *root;
    int64_t integer;
    dbk_slice text = dbk_buffer_slice(&run->draft->key);

    if (!run->has_key || text.size == 0) return sqlite3_bind_null(statement, at);
    dbk_result result = dbk_json_parse(run->model->commands->parser, text, &root, NULL);
    if (result != DBK_OK) return result == DBK_NO_MEMORY ? SQLITE_NOMEM : SQLITE_MISUSE;
    if (root->kind == DBK_JSON_NUMBER && dbk_json_is_integer(root, &integer))
        return sqlite3_bind_int64(statement, at, integer);
    if (root->kind == DBK_JSON_STRING) text = root->text;
    return sqlite3_bind_text64(statement, at, (const char *)text.data, text.size, SQLITE_TRANSIENT, SQLITE_UTF8);
}

dbk_result dbk_command_bind(dbk_command_run *run, dbk_command_statement *s, dbk_error *err)
{
    dbk_slice actor = run->model->work->actor;
    int rc = SQLITE_OK;

    for (int i = 0; rc == SQLITE_OK && i < s->bound_count; i++) {
        sqlite3_value *value = s->bounds[i].kind == DBK_BOUND_VALUE ? run->values[s->bounds[i].value] : NULL;
        switch (s->bounds[i].kind) {
        case DBK_BOUND_VALUE:
            rc = value ? sqlite3_bind_value(s->statement, i + 1, value) : sqlite3_bind_null(s->statement, i + 1);
            break;
        case DBK_BOUND_TIME: rc = sqlite3_bind_text(s->statement, i + 1, run->time, -1, SQLITE_TRANSIENT); break;
        case DBK_BOUND_ACTOR:
            rc = actor.size ? sqlite3_bind_text64(s->statement, i + 1, (const char *)actor.data, actor.size,
                                                  SQLITE_TRANSIENT, SQLITE_UTF8)
                            : sqlite3_bind_null(s->statement, i + 1);
            break;
        case DBK_BOUND_KEY: rc = bind_key(run, s->statement, i + 1); break;
        }
    }
    return rc == SQLITE_OK ? DBK_OK : dbk_model_sql_failure(run->model, rc, "bind a step's parameter", err);
}

/* ---- rows */

static dbk_result wrong(const char *table, const char *column, uint32_t line, const char *what, dbk_error *err)
{
    return dbk_fail(err, DBK_SCHEMA, "commands.sql:%u: '%s.%s' %s", line, table, column, what);
}

/* A value as JSON, as its column means it. What JSON cannot say is refused, not bent. */
static dbk_result put_value(const dbk_command_step *step, const char *name, dbk_column_type type, sqlite3_value *value,
                            dbk_buffer *out, dbk_error *err)
{
    const char *table = step->table ? step->table->name : "event";
    int storage = sqlite3_value_type(value);

    if (storage == SQLITE_FLOAT && !isfinite(sqlite3_value_double(value)))
        return wrong(table, name, step->line, "is no finite number", err);
    if (storage == SQLITE_BLOB && type != DBK_TYPE_BLOB && type != DBK_TYPE_ANY)
        return wrong(table, name, step->line, "is bytes, not text", err);
    if (storage != SQLITE_TEXT) {
        dbk_value_out(type == DBK_TYPE_BOOLEAN ? DBK_TYPE_BOOLEAN : DBK_TYPE_ANY, value, true, out);
        return DBK_OK;
    }
    dbk_slice text = dbk_slice_of(sqlite3_value_blob(value), (size_t)sqlite3_value_bytes(value));
    if (!dbk_utf8_valid(text)) return wrong(table, name, step->line, "is no UTF-8", err);
    if (type == DBK_TYPE_JSON && dbk_json_text_valid(text)) {
        dbk_buffer_put_slice(out, text);
        return DBK_OK;
    }
    if (type == DBK_TYPE_JSON) {
        (void)wrong(table, name, step->line, "is no JSON text", err);
        dbk_error_hint(err, "json_quote(…) makes a JSON string of a text");
        return DBK_SCHEMA;
    }
    dbk_json_put_string(out, text);
    return DBK_OK;
}

static dbk_column_type type_of(const dbk_command_step *step, int16_t meaning)
{
    if (meaning >= 0) return step->table->columns[meaning].type;
    return meaning == DBK_STEP_DATA ? DBK_TYPE_JSON : DBK_TYPE_ANY;
}

static void put_name(dbk_buffer *out, const char *name, char before)
{
    dbk_buffer_put_u8(out, (uint8_t)before);
    dbk_json_put_string(out, dbk_slice_text(name));
    dbk_buffer_put_u8(out, ':');
}

/* The parts of the key in the order of PRIMARY KEY; of a put they stand in the data. */
static dbk_result put_key(const dbk_command_step *step, sqlite3_stmt *statement, dbk_buffer *out, dbk_error *err)
{
    const dbk_table *table = step->table;
    dbk_result result = DBK_OK;

    put_name(out, "key", ',');
    if (table->key_count > 1) dbk_buffer_put_u8(out, '[');
    for (uint16_t part = 0; result == DBK_OK && part < table->key_count; part++) {
        uint16_t column = table->key_columns[part];
        if (part) dbk_buffer_put_u8(out, ',');
        for (int i = 0; i < step->column_count; i++)
            if (step->columns[i] == (int16_t)column)
                result = put_value(step, table->columns[column].name, table->columns[column].type,
                                   sqlite3_column_value(statement, i), out, err);
    }
    if (table->key_count > 1) dbk_buffer_put_u8(out, ']');
    return result;
}

/* A key that is NULL in a put is one that the engine makes. */
static bool belongs_to_data(const dbk_command_step *step, int column, sqlite3_stmt *statement)
{
    int16_t meaning = step->columns[column];

    if (meaning < 0) return false;
    if (!step->table->columns[meaning].key_part) return true;
    return step->kind == DBK_STEP_PUT && sqlite3_column_type(statement, column) != SQLITE_NULL;
}

static dbk_result put_data(const dbk_command_step *step, sqlite3_stmt *statement, dbk_buffer *out, dbk_error *err)
{
    dbk_result result = DBK_OK;
    char before = '{';

    put_name(out, "data", ',');
    for (int i = 0; result == DBK_OK && i < step->column_count; i++) {
        if (!belongs_to_data(step, i, statement)) continue;
        const dbk_column *column = &step->table->columns[step->columns[i]];
        put_name(out, column->name, before);
        before = ',';
        result = put_value(step, column->name, column->type, sqlite3_column_value(statement, i), out, err);
    }
    dbk_buffer_put_text(out, before == '{' ? "{}" : "}");
    return result;
}

static bool is_object(const uint8_t *text, size_t size)
{
    while (size > 0 && (*text == ' ' || *text == '\n' || *text == '\r' || *text == '\t')) text++, size--;
    return size > 0 && *text == '{';
}

static dbk_result put_event(const dbk_command_step *step, sqlite3_stmt *statement, dbk_buffer *out, dbk_error *err)
{
    static const char *const names[] = {"type", "stream"};
    dbk_result result = DBK_OK;

    for (int i = 0; result == DBK_OK && i < step->column_count; i++) {
        int16_t meaning = step->columns[i];
        int storage = sqlite3_column_type(statement, i);
        if (meaning == DBK_STEP_EXPECT || (meaning == DBK_STEP_DATA && storage == SQLITE_NULL)) continue;
        const char *name = meaning == DBK_STEP_DATA ? "data" : names[meaning == DBK_STEP_STREAM];
        if (meaning != DBK_STEP_DATA && storage != SQLITE_TEXT)
            return wrong("event", name, step->line, "is no text", err);
        put_name(out, name, ',');
        size_t at = out->size;
        result = put_value(step, name, type_of(step, meaning), sqlite3_column_value(statement, i), out, err);
        if (result == DBK_OK && meaning == DBK_STEP_DATA && !out->failed && !is_object(out->data + at, out->size - at))
            return wrong("event", name, step->line, "is no JSON object", err);
    }
    return result;
}

dbk_result dbk_command_put_row(dbk_model *model, const dbk_command_step *step, sqlite3_stmt *statement, dbk_buffer *out,
                               dbk_error *err)
{
    dbk_result result = DBK_OK;
    size_t begin = out->size;

    (void)model;
    if (step->kind == DBK_STEP_APPEND) result = put_event(step, statement, out, err);
    if (step->kind == DBK_STEP_PATCH || step->kind == DBK_STEP_DELETE) result = put_key(step, statement, out, err);
    if (result == DBK_OK && (step->kind == DBK_STEP_PUT || step->kind == DBK_STEP_PATCH))
        result = put_data(step, statement, out, err);
    for (int i = 0; result == DBK_OK && i < step->column_count; i++) {
        if (step->columns[i] != DBK_STEP_EXPECT || sqlite3_column_type(statement, i) == SQLITE_NULL) continue;
        put_name(out, "expect", ',');
        result = put_value(step, "expect", DBK_TYPE_ANY, sqlite3_column_value(statement, i), out, err);
    }
    if (out->size > begin) out->data[begin] = '{'; /* the comma of the first member */
    dbk_buffer_put_u8(out, '}');
    return result;
}

void dbk_command_put_result(sqlite3_stmt *statement, dbk_buffer *out)
{
    for (int i = 0; i < sqlite3_column_count(statement); i++) {
        const char *name = sqlite3_column_name(statement, i), *declared = sqlite3_column_decltype(statement, i);
        put_name(out, name ? name : "", i ? ',' : '{');
        dbk_value_out(declared ? dbk_type_of_declared(declared) : DBK_TYPE_ANY, sqlite3_column_value(statement, i),
                      false, out);
    }
    dbk_buffer_put_u8(out, '}');
}

/* ---- texts */

static void put_inserted(sqlite3_value *value, dbk_buffer *out)
{
    if (!value) return;
    if (sqlite3_value_type(value) == SQLITE_TEXT)
        dbk_buffer_put(out, sqlite3_value_blob(value), (size_t)sqlite3_value_bytes(value));
    else if (sqlite3_value_type(value) != SQLITE_NULL) dbk_value_out(DBK_TYPE_ANY, value, true, out);
}

static int place_of(const dbk_command_kept *kept, dbk_slice name)
{
    int count = kept->command->argument_count + kept->let_count;

    for (int i = 0; i < count; i++) {
        const char *known = i < kept->command->argument_count ? kept->command->arguments[i].name
                                                              : kept->lets[i - kept->command->argument_count];
        if (dbk_slice_equal(dbk_slice_text(known), name)) return i;
    }
    return -1;
}

void dbk_command_put_text(const dbk_command_run *run, const char *text, dbk_buffer *out)
{
    while (*text) {
        const char *end = *text == '{' ? strchr(text, '}') : NULL;
        int place = end ? place_of(run->kept, dbk_slice_of(text + 1, (size_t)(end - text) - 1)) : -1;
        if (place >= 0) {
            put_inserted(run->values[place], out);
            text = end + 1;
        } else {
            dbk_buffer_put_u8(out, (uint8_t)*text++);
        }
    }
}
