#include "tests/model/oracle.h"

#include <strings.h>

int o_table_of(const o_definition *definition, const char *name)
{
    for (int i = 0; i < definition->table_count; i++)
        if (definition->tables[i].name == name) return i;
    return -1;
}

int o_column_of(const o_table *table, const char *name)
{
    for (int i = 0; i < table->column_count; i++)
        if (table->columns[i].name == name) return i;
    return -1;
}

static int column_of(const o_table *table, const char *name)
{
    int column = o_column_of(table, name);
    if (column < 0) o_die("table '%s' has no column '%s'", table->name, name);
    return column;
}

/* ---- schema.sql */

static o_type type_of(const char *name)
{
    static const struct {
        const char *name;
        o_type type;
    } all[] = {{"INTEGER", O_IS_INTEGER},
               {"REAL", O_IS_REAL},
               {"BOOLEAN", O_IS_BOOLEAN},
               {"DATETIME", O_IS_DATETIME},
               {"JSON", O_IS_JSON}};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (strcasecmp(name, all[i].name) == 0) return all[i].type;
    if (strcasecmp(name, "TEXT") != 0) o_die("a column of type '%s'", name);
    return O_IS_TEXT;
}

static int read_columns(o_reader *reader, const o_table *table, int *out)
{
    int count = 0;
    o_read_expect(reader, "(");
    do {
        if (count == O_KEYS) o_die("a key of too many columns");
        out[count++] = column_of(table, o_read_name(reader));
    } while (o_read_take(reader, ","));
    o_read_expect(reader, ")");
    return count;
}

static void read_reference(o_reader *reader, o_table *table, int column)
{
    if (table->foreign_count == O_COLUMNS) o_die("too many foreign keys");
    o_foreign *foreign = &table->foreigns[table->foreign_count++];
    *foreign = (o_foreign){.column = column, .parent = o_read_name(reader)};
    if (o_read_take(reader, "(")) {
        (void)o_read_name(reader);
        o_read_expect(reader, ")");
    }
    while (o_read_is(reader, "ON") || o_read_is(reader, "DEFERRABLE")) {
        if (o_read_take(reader, "DEFERRABLE")) {
            o_read_expect(reader, "INITIALLY");
            o_read_expect(reader, "DEFERRED");
            foreign->deferred = true;
            continue;
        }
        o_read_expect(reader, "ON");
        o_read_expect(reader, "DELETE");
        if (o_read_take(reader, "CASCADE")) foreign->action = O_CASCADE;
        else if (o_read_take(reader, "SET")) foreign->action = O_SET_NULL;
        else o_read_expect(reader, "NO");
        if (foreign->action != O_CASCADE) o_read_next(reader); /* NULL, ACTION */
    }
}

static o_expr *read_check(o_reader *reader)
{
    o_read_expect(reader, "(");
    o_expr *expr = o_read_expr(reader);
    o_read_expect(reader, ")");
    return expr;
}

static void add_unique(o_table *table, const int *columns, int count)
{
    if (table->unique_count == O_COLUMNS) o_die("too many UNIQUE");
    o_unique *unique = &table->uniques[table->unique_count++];
    memcpy(unique->columns, columns, sizeof *columns * (size_t)count);
    unique->count = count;
}

static void read_default(o_reader *reader, o_column *column)
{
    column->has_default = true;
    column->default_now = o_read_take(reader, "CURRENT_TIMESTAMP");
    if (!column->default_now) column->start = o_fit(column, o_read_literal(reader));
}

static void read_column(o_reader *reader, o_table *table)
{
    if (table->column_count == O_COLUMNS) o_die("too many columns");
    int at = table->column_count++;
    o_column *column = &table->columns[at];
    column->name = o_read_name(reader);
    column->type = type_of(o_read_name(reader));
    while (!o_read_is(reader, ",") && !o_read_is(reader, ")")) {
        if (o_read_take(reader, "PRIMARY")) {
            o_read_expect(reader, "KEY");
            table->keys[table->key_count++] = at;
        } else if (o_read_take(reader, "NOT")) {
            o_read_expect(reader, "NULL");
            column->not_null = true;
        } else if (o_read_take(reader, "UNIQUE")) {
            add_unique(table, &at, 1);
        } else if (o_read_take(reader, "DEFAULT")) {
            read_default(reader, column);
        } else if (o_read_take(reader, "CHECK")) {
            table->checks[table->check_count++] = read_check(reader);
        } else {
            o_read_expect(reader, "REFERENCES");
            read_reference(reader, table, at);
        }
    }
}

static void read_table(o_reader *reader, o_definition *definition)
{
    if (definition->table_count == O_TABLES) o_die("too many tables");
    o_table *table = &definition->tables[definition->table_count++];
    *table = (o_table){.name = o_read_name(reader), .collection = true, .created = -1, .updated = -1, .machine = -1};
    int columns[O_KEYS];
    o_read_expect(reader, "(");
    do {
        if (o_read_take(reader, "PRIMARY")) {
            o_read_expect(reader, "KEY");
            table->key_count = read_columns(reader, table, table->keys);
        } else if (o_read_take(reader, "UNIQUE")) {
            int count = read_columns(reader, table, columns);
            add_unique(table, columns, count);
        } else if (o_read_take(reader, "CHECK")) {
            table->checks[table->check_count++] = read_check(reader);
        } else {
            read_column(reader, table);
        }
    } while (o_read_take(reader, ","));
    o_read_expect(reader, ")");
    if (o_read_take(reader, "WITHOUT")) o_read_expect(reader, "ROWID");
    o_read_expect(reader, ";");
    for (int i = 0; i < table->foreign_count; i++) definition->has_deferred |= table->foreigns[i].deferred;
}

static void read_index(o_reader *reader, o_definition *definition, bool unique)
{
    int columns[O_KEYS];
    o_read_expect(reader, "INDEX");
    (void)o_read_name(reader);
    o_read_expect(reader, "ON");
    int table = o_table_of(definition, o_read_name(reader));
    if (table < 0) o_die("an index on no table");
    int count = read_columns(reader, &definition->tables[table], columns);
    if (unique) add_unique(&definition->tables[table], columns, count);
    o_read_expect(reader, ";");
}

static void read_schema(o_definition *definition, const char *text)
{
    o_reader reader;
    o_read_start(&reader, text);
    while (reader.kind != O_END) {
        o_read_expect(&reader, "CREATE");
        bool unique = o_read_take(&reader, "UNIQUE");
        if (o_read_take(&reader, "TABLE")) read_table(&reader, definition);
        else read_index(&reader, definition, unique);
    }
}

/* ---- files of directives: blocks of SQL, each behind a line that begins with one */

static bool next_line(const char **rest, dbk_slice *line)
{
    if (!**rest) return false;
    const char *end = *rest + strcspn(*rest, "\n");
    *line = dbk_slice_of(*rest, (size_t)(end - *rest));
    *rest = *end ? end + 1 : end;
    return true;
}

static const char *after(dbk_slice line, const char *directive)
{
    size_t size = strlen(directive);
    if (line.size < size || memcmp(line.data, directive, size) != 0) return NULL;
    return o_intern(dbk_slice_of(line.data + size, line.size - size));
}

/* The statements up to the next line that begins with a directive; `lenient` lines mark the one behind them. */
static const char *take_sql(const char **rest)
{
    const char *begin = *rest, *at = begin;
    dbk_slice line;
    while (next_line(&at, &line) && (line.size < 3 || memcmp(line.data, "-- ", 3) != 0)) *rest = at;
    return o_intern(dbk_slice_of(begin, (size_t)(*rest - begin)));
}

static void take_statements(o_projection *projection, const char *text, bool *lenient)
{
    o_reader reader;
    o_read_start(&reader, text);
    while (reader.kind != O_END) {
        if (projection->count == 8) o_die("too many statements");
        projection->statements[projection->count++] = (o_statement){o_read_statement(&reader), *lenient};
        *lenient = false;
    }
}

static o_projection *projection_of(o_definition *definition, const char *type)
{
    for (int i = 0; i < definition->projection_count; i++)
        if (definition->projections[i].type == type) return &definition->projections[i];
    if (definition->projection_count == 24) o_die("too many projections");
    o_projection *projection = &definition->projections[definition->projection_count++];
    projection->type = type;
    return projection;
}

static void read_projections(o_definition *definition, const char *text)
{
    o_projection *projection = NULL;
    bool lenient = false;
    dbk_slice line;
    while (next_line(&text, &line)) {
        const char *type = after(line, "-- on ");
        if (type) projection = projection_of(definition, type);
        else if (after(line, "-- may change nothing")) lenient = true;
        else if (line.size) o_die("a line of projections.sql: %.*s", DBK_SLICE_ARG(line));
        const char *sql = take_sql(&text);
        if (projection) take_statements(projection, sql, &lenient);
    }
    for (int i = 0; i < definition->projection_count; i++) {
        for (int k = 0; k < definition->projections[i].count; k++) {
            int table = o_table_of(definition, definition->projections[i].statements[k].sql->table);
            if (table < 0) o_die("a projection onto no table");
            definition->tables[table].collection = false;
        }
    }
}

static void read_arguments(o_reader *reader, o_command *command)
{
    o_read_expect(reader, "(");
    while (!o_read_take(reader, ")")) {
        if (command->argument_count == 8) o_die("too many arguments");
        o_argument *argument = &command->arguments[command->argument_count++];
        argument->name = o_read_name(reader);
        if (reader->kind == O_NAME) argument->type = type_of(o_read_name(reader));
        argument->optional = o_read_take(reader, "?");
        argument->has_default = o_read_take(reader, "=");
        if (argument->has_default) argument->start = o_read_literal(reader);
        if (!o_read_is(reader, ")")) o_read_expect(reader, ",");
    }
}

static void add_step(o_command *command, o_step step, const char *text)
{
    o_reader reader;
    if (command->count == 8) o_die("too many steps");
    o_read_start(&reader, text);
    step.sql = o_read_statement(&reader);
    command->steps[command->count++] = step;
}

static void read_commands(o_definition *definition, const char *text)
{
    static const struct {
        const char *directive;
        o_step_kind kind;
    } all[] = {{"-- put ", O_STEP_PUT}, {"-- patch ", O_STEP_PATCH}, {"-- delete ", O_STEP_DELETE},
               {"-- let ", O_LET},      {"-- require ", O_REQUIRE},  {"-- return", O_RETURN}};
    o_command *command = NULL;
    bool may_be_empty = false;
    dbk_slice line;
    while (next_line(&text, &line)) {
        const char *head = after(line, "-- command "), *rest = NULL;
        if (head) {
            if (definition->command_count == 12) o_die("too many commands");
            command = &definition->commands[definition->command_count++];
            command->name = o_intern(dbk_slice_of(head, strcspn(head, "(")));
            o_reader reader;
            o_read_start(&reader, head + strcspn(head, "("));
            read_arguments(&reader, command);
        } else if (after(line, "-- else ok")) {
            may_be_empty = true;
        }
        o_step step = {.kind = O_STEP_APPEND, .may_be_empty = may_be_empty};
        for (size_t i = 0; !rest && i < sizeof all / sizeof *all; i++)
            if ((rest = after(line, all[i].directive))) step.kind = all[i].kind;
        step.name = rest;
        const char *sql = take_sql(&text);
        if (!*sql) continue;
        if (!command) o_die("a step of no command");
        add_step(command, step, sql);
        may_be_empty = false;
    }
}

/* ---- app.json */

static o_rule rule_of(const dbk_json_node *node)
{
    static const char *const names[] = {"lww", "first", "max", "min", "counter", "set"};
    for (int i = 0; i < 6; i++)
        if (dbk_json_text_is(node, names[i])) return (o_rule)i;
    o_die("a rule '%.*s'", DBK_SLICE_ARG(node->text));
}

static void read_rules(o_table *table, const dbk_json_node *columns)
{
    const dbk_json_node *rule = columns ? dbk_json_child(columns) : NULL;
    for (uint32_t i = 0; columns && i < columns->count; i++, rule = dbk_json_next(rule)) {
        const char *name = o_intern(rule->name);
        if (strcmp(name, "*") == 0) table->guard = true;
        else table->columns[column_of(table, name)].rule = rule_of(rule);
    }
}

static void read_sync(o_table *table, const dbk_json_node *sync, const char *conflict)
{
    const dbk_json_node *gone = dbk_json_member(sync, "delete"), *unique = dbk_json_member(sync, "unique");
    const dbk_json_node *guard = dbk_json_member(sync, "guard");
    read_rules(table, dbk_json_member(sync, conflict));
    if (gone) table->edit_wins = dbk_json_text_is(gone, "edit_wins");
    if (unique) table->suffix = dbk_json_text_is(unique, "suffix");
    if (guard && guard->kind == DBK_JSON_TRUE) table->guard = true;
}

void o_define_rules(o_definition *definition, const dbk_json_node *rules)
{
    const dbk_json_node *one = rules && rules->kind == DBK_JSON_OBJECT ? dbk_json_child(rules) : NULL;
    for (uint32_t i = 0; one && i < rules->count; i++, one = dbk_json_next(one))
        read_sync(&definition->tables[o_table_of(definition, o_intern(one->name))], one, "columns");
}

static void read_moves(o_table *table, const dbk_json_node *moves)
{
    const dbk_json_node *from = dbk_json_child(moves);
    for (uint32_t i = 0; i < moves->count; i++, from = dbk_json_next(from)) {
        const dbk_json_node *to = dbk_json_child(from);
        for (uint32_t k = 0; k < from->count; k++, to = dbk_json_next(to)) {
            if (table->move_count == 16) o_die("too many moves");
            table->moves[table->move_count++] = (o_move){o_string(o_intern(from->name)), o_of_json(to)};
        }
    }
}

static void read_states(o_table *table, const dbk_json_node *states)
{
    const dbk_json_node *machine = dbk_json_child(states), *starts = dbk_json_member(machine, "start");
    const dbk_json_node *start = dbk_json_child(starts);
    table->machine = column_of(table, o_intern(machine->name));
    for (uint32_t i = 0; i < starts->count && i < 8; i++, start = dbk_json_next(start))
        table->starts[table->start_count++] = o_of_json(start);
    read_moves(table, dbk_json_member(machine, "moves"));
}

static void read_app(o_definition *definition, const dbk_json_node *app)
{
    const dbk_json_node *tables = dbk_json_member(app, "tables"), *one = tables ? dbk_json_child(tables) : NULL;
    for (uint32_t i = 0; tables && i < tables->count; i++, one = dbk_json_next(one)) {
        o_table *table = &definition->tables[o_table_of(definition, o_intern(one->name))];
        const dbk_json_node *sync = dbk_json_member(one, "sync"), *stamps = dbk_json_member(one, "stamps");
        const dbk_json_node *states = dbk_json_member(one, "states");
        const dbk_json_node *created = stamps ? dbk_json_member(stamps, "created") : NULL;
        const dbk_json_node *updated = stamps ? dbk_json_member(stamps, "updated") : NULL;
        if (sync) read_sync(table, sync, "conflict");
        if (created) table->created = column_of(table, o_intern(created->text));
        if (updated) table->updated = column_of(table, o_intern(updated->text));
        if (states) read_states(table, states);
    }
}

o_definition *o_define(const char *schema, const char *projections, const char *commands, const dbk_json_node *app,
                       const o_definition *previous)
{
    o_definition *definition = o_take(sizeof *definition);
    for (int i = 0; previous && i < previous->ancestor_count; i++) definition->ancestors[i] = previous->ancestors[i];
    if (previous) definition->ancestors[previous->ancestor_count] = previous;
    definition->ancestor_count = previous ? previous->ancestor_count + 1 : 0;
    read_schema(definition, schema);
    read_projections(definition, projections);
    if (commands) read_commands(definition, commands);
    if (app) read_app(definition, app);
    return definition;
}
