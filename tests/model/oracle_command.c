/* Commands of commands.sql. */
#include "tests/model/oracle.h"

enum { FIELDS = 24 };

const char *o_run_custom(o_draft *draft, const o_command *command, const dbk_json_node *node);

typedef struct work {
    o_draft *draft;
    const o_command *command;
    o_field fields[FIELDS]; /* arguments and what -- let bound */
    int count;
} work;

static bool fits(o_type type, const dbk_json_node *node)
{
    int64_t integer;
    if (type == O_IS_INTEGER) return dbk_json_is_integer(node, &integer);
    if (type == O_IS_REAL) return node->kind == DBK_JSON_NUMBER;
    return node->kind == DBK_JSON_STRING;
}

static const char *take_arguments(work *w, const dbk_json_node *args)
{
    const char *missing = NULL, *wrong = NULL;
    int known = 0;
    for (int i = 0; i < w->command->argument_count; i++) {
        const o_argument *argument = &w->command->arguments[i];
        const dbk_json_node *node = args ? dbk_json_member(args, argument->name) : NULL;
        o_value value = argument->has_default ? argument->start : (o_value){0};
        known += node != NULL;
        if (!node && !argument->optional && !argument->has_default) missing = "bad_command";
        if (node && node->kind == DBK_JSON_NULL && !argument->optional) wrong = "schema";
        if (node && node->kind != DBK_JSON_NULL && !fits(argument->type, node)) wrong = "schema";
        if (node) value = o_of_json(node);
        if (argument->type == O_IS_REAL && value.kind == O_INTEGER)
            value = (o_value){.kind = O_REAL, .real = (double)value.integer};
        w->fields[w->count++] = (o_field){argument->name, value};
    }
    if (args && args->count > (uint32_t)known) return "unknown_field";
    return missing ? missing : wrong;
}

static const char *run_let(work *w, const o_step *step)
{
    o_value value[O_COLUMNS];
    int rows = o_select(w->draft->replica->state, step->sql, w->fields, w->count, value, 1);
    if (w->count == FIELDS) o_die("too many values of a command");
    w->fields[w->count++] = (o_field){step->name, rows ? value[0] : (o_value){0}};
    return NULL;
}

static const char *emit_row(work *w, const o_step *step, const o_value *values)
{
    static const char *const verbs[] = {[O_STEP_PUT] = "put", [O_STEP_PATCH] = "patch", [O_STEP_DELETE] = "delete"};
    int table = o_table_of(w->draft->replica->definition, step->name), count = 0;
    const o_table *t = &w->draft->replica->definition->tables[table];
    o_value key[O_COLUMNS] = {{0}};
    o_field fields[O_COLUMNS];
    for (int i = 0; i < step->sql->count; i++) {
        int column = o_column_of(t, step->sql->columns[i]);
        bool is_key = false;
        for (int k = 0; k < t->key_count; k++) is_key = is_key || t->keys[k] == column;
        o_value value = o_fit(&t->columns[column], values[i]);
        if (is_key) key[column] = value;
        else fields[count++] = (o_field){t->columns[column].name, value};
    }
    const char *text = o_key_of(t, key);
    return text ? o_change_row(w->draft, verbs[step->kind], table, text, fields, count, NULL) : "constraint";
}

static const char *run_rows(work *w, const o_step *step)
{
    static o_value values[O_ROWS * O_COLUMNS];
    int rows = o_select(w->draft->replica->state, step->sql, w->fields, w->count, values, O_ROWS);
    if (rows == 0 && !step->may_be_empty) return "rejected";
    for (int i = 0; i < rows; i++) {
        const char *error = emit_row(w, step, &values[i * step->sql->count]);
        if (error) return error;
    }
    return NULL;
}

static const char *run_append(work *w, const o_step *step)
{
    (void)w, (void)step;
    o_die("a command that appends");
}

static const char *run_step(work *w, const o_step *step)
{
    o_value values[O_COLUMNS];
    switch (step->kind) {
    case O_REQUIRE:
        return o_select(w->draft->replica->state, step->sql, w->fields, w->count, values, 1) ? NULL : "rejected";
    case O_LET: return run_let(w, step);
    case O_STEP_APPEND: return run_append(w, step);
    case O_RETURN: return NULL;
    default: return run_rows(w, step);
    }
}

const char *o_run_custom(o_draft *draft, const o_command *command, const dbk_json_node *node)
{
    work w = {.draft = draft, .command = command};
    const char *error = take_arguments(&w, dbk_json_member(node, "args"));
    for (int i = 0; i < command->count && !error; i++) error = run_step(&w, &command->steps[i]);
    return error;
}
