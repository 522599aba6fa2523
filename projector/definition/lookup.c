/* Questions to a definition that was loaded. */
#include <strings.h>

#include "projector/definition/internal.h"

const dbk_table *dbk_definition_table(const dbk_definition *definition, dbk_slice name)
{
    for (size_t i = 0; i < definition->table_count; i++)
        if (dbk_slice_equal(dbk_slice_text(definition->tables[i].name), name)) return &definition->tables[i];
    return NULL;
}

int dbk_table_column(const dbk_table *table, dbk_slice name)
{
    int low = 0, high = table->column_count;

    while (low < high) {
        int middle = (low + high) / 2, column = table->by_name[middle];
        int order = dbk_slice_compare(name, dbk_slice_text(table->columns[column].name));
        if (order == 0) return column;
        if (order < 0) high = middle;
        else low = middle + 1;
    }
    return -1;
}

int dbk_table_column_sorted(const dbk_table *table, dbk_slice name, uint32_t *place)
{
    if (*place < table->column_count) {
        int column = table->by_name[(*place)++];
        if (dbk_slice_equal(name, dbk_slice_text(table->columns[column].name))) return column;
    }
    return dbk_table_column(table, name);
}

int dbk_table_column_near(const dbk_table *table, dbk_slice name, uint16_t *guess)
{
    int column;

    if (*guess < table->column_count && dbk_slice_equal(name, dbk_slice_text(table->columns[*guess].name))) {
        column = *guess;
    } else {
        column = dbk_table_column(table, name);
    }
    if (column >= 0) *guess = (uint16_t)(column + 1);
    return column;
}

const dbk_named_query *dbk_definition_query(const dbk_definition *definition, dbk_slice name)
{
    for (size_t i = 0; i < definition->query_count; i++)
        if (dbk_slice_equal(dbk_slice_text(definition->queries[i].name), name)) return &definition->queries[i];
    return NULL;
}

const dbk_definition *dbk_definition_model(const dbk_definition *definition, dbk_slice name)
{
    for (size_t i = 0; i < definition->model_count; i++)
        if (dbk_slice_equal(dbk_slice_text(definition->models[i]->model), name)) return definition->models[i];
    return NULL;
}

static bool is_name(const char *name, dbk_slice text)
{
    return strlen(name) == text.size && strncasecmp(name, (const char *)text.data, text.size) == 0;
}

static bool has_table(const dbk_definition *model, dbk_slice name)
{
    for (size_t i = 0; i < model->table_count; i++)
        if (is_name(model->tables[i].name, name)) return true;
    for (size_t i = 0; i < model->view_count; i++)
        if (is_name(model->views[i], name)) return true;
    return false;
}

const dbk_definition *dbk_definition_model_with(const dbk_definition *definition, dbk_slice table)
{
    for (size_t i = 0; i < definition->model_count; i++)
        if (has_table(definition->models[i], table)) return definition->models[i];
    return NULL;
}

const dbk_definition *dbk_definition_model_asked(const dbk_definition *definition, dbk_slice query)
{
    for (size_t i = 0; i < definition->model_count; i++)
        if (dbk_definition_query(definition->models[i], query)) return definition->models[i];
    return NULL;
}

const dbk_app_command *dbk_definition_command(const dbk_definition *definition, dbk_slice name)
{
    for (size_t i = 0; i < definition->command_count; i++)
        if (dbk_slice_equal(dbk_slice_text(definition->commands[i].name), name)) return &definition->commands[i];
    return NULL;
}

const dbk_app_command *dbk_definition_undo(const dbk_definition *definition, dbk_slice type)
{
    const dbk_app_command *undos = definition->commands + definition->command_count;

    for (size_t i = 0; i < definition->undo_count; i++)
        if (dbk_slice_equal(dbk_slice_text(undos[i].name), type)) return &undos[i];
    return NULL;
}

const struct dbk_json_schema *dbk_definition_schema(const dbk_definition *definition, dbk_slice name)
{
    for (size_t i = 0; i < definition->schema_count; i++)
        if (dbk_slice_equal(dbk_slice_text(definition->schemas[i].name), name)) return definition->schemas[i].schema;
    return NULL;
}

uint32_t dbk_definition_type_version(const dbk_definition *definition, dbk_slice type)
{
    const dbk_table *table;
    dbk_row_op op;

    return dbk_definition_row_event(definition, type, &table, &op) ? table->version : definition->version;
}

/* "job.*" takes all that begins with "job." and goes on. */
bool dbk_pattern_matches(const char *pattern, dbk_slice type)
{
    size_t size = strlen(pattern);

    if (strcmp(pattern, "*") == 0) return true;
    if (size < 2 || strcmp(pattern + size - 2, ".*") != 0) return dbk_slice_equal(dbk_slice_text(pattern), type);
    return type.size > size - 1 && memcmp(type.data, pattern, size - 1) == 0;
}

bool dbk_definition_row_event(const dbk_definition *definition, dbk_slice type, const dbk_table **table, dbk_row_op *op)
{
    static const char *const ops[] = {"put", "patched", "deleted"};
    const uint8_t *dot = type.size ? memchr(type.data, '.', type.size) : NULL;

    if (!dot) return false;
    dbk_slice name = dbk_slice_of(type.data, (size_t)(dot - type.data));
    dbk_slice rest = dbk_slice_of(dot + 1, type.size - name.size - 1);
    for (int i = 0; i < 3; i++) {
        if (!dbk_slice_equal(rest, dbk_slice_text(ops[i]))) continue;
        const dbk_table *found = dbk_definition_table(definition, name);
        if (!found) return false;
        *table = found;
        *op = (dbk_row_op)i;
        return true;
    }
    return false;
}
