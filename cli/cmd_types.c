/* daybook types: TypeScript declarations of what an app definition takes and answers. */
#include <ctype.h>

#include "cli/cli.h"

typedef struct typing {
    const dbk_definition *definition;
    dbk_answers *answers;
    dbk_buffer out;
    bool first; /* of a list */
} typing;

static void put(typing *t, const char *text)
{
    dbk_buffer_put_text(&t->out, text);
}

/* A member's name: bare where TypeScript takes it so. */
static void put_name(typing *t, const char *name)
{
    bool bare = *name && !isdigit((unsigned char)*name);
    for (const char *c = name; *c; c++) bare = bare && (isalnum((unsigned char)*c) || *c == '_');
    if (bare) put(t, name);
    else dbk_json_put_string(&t->out, dbk_slice_text(name));
}

static const char *type_name(dbk_column_type type)
{
    switch (type) {
    case DBK_TYPE_INTEGER:
    case DBK_TYPE_REAL: return "number";
    case DBK_TYPE_BOOLEAN: return "boolean";
    case DBK_TYPE_TEXT:
    case DBK_TYPE_DATETIME:
    case DBK_TYPE_UUID:
    case DBK_TYPE_BLOB: return "string";
    case DBK_TYPE_JSON: return "Json";
    case DBK_TYPE_ANY: break;
    }
    return "Value"; /* has null in it, as Json has */
}

static bool has_null(dbk_column_type type)
{
    return type == DBK_TYPE_ANY || type == DBK_TYPE_JSON;
}

/* ---- tables */

static void put_state(typing *t, const char *state, dbk_buffer *seen)
{
    dbk_buffer text;
    dbk_buffer_init(&text, t->out.port);
    dbk_json_put_string(&text, dbk_slice_text(state));
    dbk_buffer_put_u8(&text, 0);
    bool known = false;
    for (size_t at = 0; !text.failed && at < seen->size; at += strlen((const char *)seen->data + at) + 1)
        known = known || strcmp((const char *)seen->data + at, (const char *)text.data) == 0;
    if (!known && !text.failed) {
        if (seen->size) put(t, " | ");
        dbk_buffer_put(&t->out, text.data, text.size - 1);
        dbk_buffer_put(seen, text.data, text.size);
    }
    dbk_buffer_release(&text);
}

/* The states of a column that has a machine, in the order in which app.json says them; false: it has none. */
static bool put_states(typing *t, const dbk_table *table, int column)
{
    const dbk_machine *machine = NULL;
    for (size_t i = 0; table->rules && i < table->rules->machine_count; i++)
        if (table->rules->machines[i].column == column) machine = &table->rules->machines[i];
    if (!machine) return false;
    dbk_buffer seen;
    dbk_buffer_init(&seen, t->out.port);
    for (size_t i = 0; i < machine->start_count; i++)
        if (machine->start[i]) put_state(t, machine->start[i], &seen);
    for (size_t i = 0; i < machine->move_count; i++) {
        if (machine->moves[i].from) put_state(t, machine->moves[i].from, &seen);
        if (machine->moves[i].to) put_state(t, machine->moves[i].to, &seen);
    }
    bool any = seen.size > 0;
    dbk_buffer_release(&seen);
    return any;
}

static void put_column_type(typing *t, const dbk_table *table, int column, bool not_null)
{
    const dbk_column *c = &table->columns[column];
    if (!put_states(t, table, column)) put(t, type_name(c->type));
    if (!not_null && !has_null(c->type)) put(t, " | null");
}

static void put_row(typing *t, const dbk_table *table)
{
    put(t, "    row: {");
    for (int i = 0; i < table->column_count; i++) {
        put(t, i ? "; " : " ");
        put_name(t, table->columns[i].name);
        put(t, ": ");
        put_column_type(t, table, i, table->columns[i].not_null || table->columns[i].key_part > 0);
    }
    put(t, " };\n");
}

static void put_key(typing *t, const dbk_table *table)
{
    put(t, table->key_count > 1 ? "    key: [" : "    key: ");
    for (uint16_t i = 0; i < table->key_count; i++) {
        if (i) put(t, ", ");
        put(t, type_name(table->columns[table->key_columns[i]].type));
    }
    put(t, table->key_count > 1 ? "];\n" : ";\n");
}

/* What the engine fills in, or takes from the key, need not be named. */
static bool may_be_left_out(const dbk_table *table, int i, bool patch)
{
    const dbk_column *c = &table->columns[i];
    bool stamp = table->rules && (table->rules->created == i || table->rules->updated == i);
    return patch || !c->not_null || c->default_sql || c->key_part > 0 || stamp;
}

static void put_data(typing *t, const dbk_table *table, bool patch)
{
    const dbk_rules *rules = table->rules;
    put(t, patch ? "    patch: {" : "    put: {");
    for (int i = 0, shown = 0; i < table->column_count; i++) {
        const dbk_column *c = &table->columns[i];
        dbk_field_rule rule = rules && rules->fields ? (dbk_field_rule)rules->fields[i] : DBK_FIELD_LWW;
        if ((rules && rules->derived && rules->derived[i]) || (patch && c->key_part > 0)) continue;
        put(t, shown++ ? "; " : " ");
        put_name(t, c->name);
        put(t, may_be_left_out(table, i, patch) ? "?: " : ": ");
        put_column_type(t, table, i, c->not_null || c->key_part > 0);
        if (rule == DBK_FIELD_COUNTER) put(t, " | { \"+\": number }");
        if (rule == DBK_FIELD_SET) put(t, " | { add?: Json[]; remove?: Json[] }");
    }
    put(t, " };\n");
}

static void put_tables_of(typing *t, const dbk_definition *definition)
{
    for (size_t i = 0; i < definition->table_count; i++) {
        const dbk_table *table = &definition->tables[i];
        put(t, "  ");
        put_name(t, table->name);
        put(t, ": {\n");
        put_key(t, table);
        put_row(t, table);
        if (table->collection) {
            put_data(t, table, false);
            put_data(t, table, true);
        }
        put(t, "  };\n");
    }
}

/* Those of async models are beside the others: their names are unique. */
static void put_tables(typing *t)
{
    put(t, "export interface Tables {\n");
    put_tables_of(t, t->definition);
    for (size_t i = 0; i < t->definition->model_count; i++) put_tables_of(t, t->definition->models[i]);
    put(t, "}\n\n");
}

/* ---- queries and commands */

static void put_arguments(typing *t, const dbk_argument *arguments, uint16_t count)
{
    put(t, "    args: {");
    for (uint16_t i = 0; i < count; i++) {
        put(t, i ? "; " : " ");
        put_name(t, arguments[i].name);
        put(t, arguments[i].optional || arguments[i].default_sql ? "?: " : ": ");
        put(t, type_name(arguments[i].type));
        if (arguments[i].optional && !has_null(arguments[i].type)) put(t, " | null");
    }
    put(t, count ? " };\n" : "};\n");
}

static void put_answer_column(void *arg, const dbk_answer_column *column)
{
    typing *t = arg;
    put(t, t->first ? " " : "; ");
    t->first = false;
    put_name(t, column->name);
    put(t, ": ");
    bool as_declared = column->table && column->table->columns[column->column].type == column->type;
    if (as_declared) {
        put_column_type(t, column->table, column->column, column->not_null);
    } else {
        put(t, type_name(column->type));
        if (!column->not_null && !has_null(column->type)) put(t, " | null");
    }
}

static dbk_result put_answer(typing *t, const char *member, const char *sql, const dbk_column_type *returns,
                             size_t count, dbk_error *err)
{
    put(t, "    ");
    put(t, member);
    put(t, ": {");
    t->first = true;
    dbk_result result = dbk_answers_of(t->answers, sql, returns, count, put_answer_column, t, err);
    put(t, " };\n");
    return result;
}

static dbk_result put_queries_of(typing *t, const dbk_definition *definition, dbk_error *err)
{
    dbk_result result = DBK_OK;
    for (size_t i = 0; result == DBK_OK && i < definition->query_count; i++) {
        const dbk_named_query *query = &definition->queries[i];
        put(t, "  ");
        put_name(t, query->name);
        put(t, ": {\n");
        put_arguments(t, query->arguments, query->argument_count);
        result = put_answer(t, "row", query->sql, query->returns, query->return_count, err);
        put(t, "  };\n");
    }
    return result;
}

static dbk_result put_queries(typing *t, const dbk_port *port, dbk_error *err)
{
    dbk_answers *own = t->answers;
    put(t, "export interface Queries {\n");
    dbk_result result = put_queries_of(t, t->definition, err);
    for (size_t i = 0; result == DBK_OK && i < t->definition->model_count; i++) {
        t->answers = NULL;
        result = dbk_answers_open(port, t->definition->models[i], &t->answers, err);
        if (result == DBK_OK) result = put_queries_of(t, t->definition->models[i], err);
        dbk_answers_close(t->answers);
        t->answers = own;
    }
    put(t, "}\n\n");
    return result;
}

static dbk_result put_commands(typing *t, dbk_error *err)
{
    dbk_result result = DBK_OK;
    put(t, "export interface Commands {\n");
    for (size_t i = 0; result == DBK_OK && i < t->definition->command_count; i++) {
        const dbk_app_command *command = &t->definition->commands[i];
        put(t, "  ");
        put_name(t, command->name);
        put(t, ": {\n");
        put_arguments(t, command->arguments, command->argument_count);
        if (command->returns_sql) result = put_answer(t, "result", command->returns_sql, NULL, 0, err);
        put(t, "  };\n");
    }
    put(t, "}\n\n");
    return result;
}

/* ---- settings */

static bool has_template(const dbk_app *app)
{
    for (size_t i = 0; i < app->setting_count; i++)
        if (app->settings[i].variable) return true;
    return false;
}

/* [name: `plugin:${string}`], with what means something between backquotes escaped. */
static void put_template(typing *t, const dbk_setting_rule *rule)
{
    const char *at = strstr(rule->name, rule->variable), *end = rule->name + strlen(rule->name);
    put(t, "[name: `");
    for (const char *c = rule->name; c < end; c++) {
        if (c == at) put(t, "${string}");
        if (c == at) c += strlen(rule->variable);
        if (c == end) break;
        if (*c == '`' || *c == '\\' || *c == '$') dbk_buffer_put_u8(&t->out, '\\');
        dbk_buffer_put_u8(&t->out, (uint8_t)*c);
    }
    put(t, "`]");
}

/* What 'get' answers of a namespace. Where there are templates, each member is to be one of theirs. */
static void put_settings(typing *t)
{
    const dbk_app *app = t->definition->app;
    bool open = has_template(app);
    if (!app->setting_count) return;
    put(t, "export interface Settings {\n");
    for (size_t i = 0; i < app->setting_count; i++) {
        const dbk_setting_rule *rule = &app->settings[i];
        put(t, "  ");
        if (rule->variable) put_template(t, rule);
        else put_name(t, rule->name);
        put(t, ": ");
        if (rule->query && !open) {
            put(t, "Queries[");
            dbk_json_put_string(&t->out, dbk_slice_text(rule->query->name));
            put(t, "][\"row\"][];\n");
        } else {
            put(t, "Json;\n");
        }
    }
    put(t, "}\n\n");
}

/* ---- all */

static dbk_result put_all(typing *t, const dbk_port *port, dbk_error *err)
{
    char hash[33];
    dbk_hex_encode(dbk_slice_of(t->definition->hash, 16), hash);
    dbk_buffer_printf(&t->out,
                      "// Made by 'daybook types' of the app '%s', version %u, definition %s.\n"
                      "// Make it anew when the definition changes; do not edit it.\n\n"
                      "export type Json = null | boolean | number | string | Json[] | { [name: string]: Json };\n"
                      "export type Value = null | number | string;\n\n",
                      t->definition->name, t->definition->version, hash);
    put_tables(t);
    dbk_result result = put_queries(t, port, err);
    if (result == DBK_OK) result = put_commands(t, err);
    put_settings(t);
    put(t, "export interface App {\n  name: ");
    dbk_json_put_string(&t->out, dbk_slice_text(t->definition->name));
    put(t, ";\n  tables: Tables;\n  queries: Queries;\n  commands: Commands;\n");
    put(t, t->definition->app->setting_count ? "  settings: Settings;\n}\n" : "}\n");
    if (result == DBK_OK && t->out.failed) result = dbk_fail(err, DBK_NO_MEMORY, "no memory for the declarations");
    return result;
}

static int run(dbk_cli *cli)
{
    dbk_definition *definition = NULL;
    dbk_findings findings = {0};
    dbk_error err = {0};
    typing t = {0};
    if (cli->args.word_count != 1) return dbk_cli_usage(cli, "name the app definition: a folder, or one schema.sql");
    dbk_buffer_init(&t.out, cli->port);
    char room[4096];
    const char *app = dbk_cli_app(cli, cli->args.words[0], room);
    dbk_result result = dbk_definition_load(cli->port, app, &definition, &findings, &err);
    if (result == DBK_SCHEMA) dbk_error_hint(&err, "'daybook check %s' shows them", cli->args.words[0]);
    dbk_findings_free(&findings);
    t.definition = definition;
    if (result == DBK_OK) result = dbk_answers_open(cli->port, definition, &t.answers, &err);
    if (result == DBK_OK) result = put_all(&t, cli->port, &err);
    if (result == DBK_OK) dbk_out(dbk_buffer_slice(&t.out));
    dbk_answers_close(t.answers);
    dbk_definition_free(definition);
    dbk_buffer_release(&t.out);
    return result == DBK_OK ? DBK_EXIT_DONE : dbk_cli_fail(&err, DBK_EXIT_FAILED);
}

static const dbk_cli_option options[] = {{0}};
const dbk_cli_command dbk_cmd_types = {
    "types",
    "APP",
    "prints TypeScript declarations of an app definition",
    "Tables with key, row and what put and patch take; named queries and commands with their arguments and what\n"
    "they answer; the namespaces of settings. A column is without null only where that is certain. The order is that "
    "of the definition;\n"
    "of a store it is the one that it runs.",
    "types app/ > app.d.ts",
    options,
    1,
    run,
};
