/* Values judged by the app's schemas/ before anything changes (app-format.md §5.6): a row as it will be, the data
 * of an event as it will stand in the log. Facts were judged where they were decided. */
#include "projector/rows/internal.h"

#include "projector/json_schema.h"

#include <stdio.h>

static void put_datetime(dbk_slice text, dbk_buffer *out)
{
    char shown[DBK_TIME_TEXT_SIZE];
    int64_t wall_ms;

    if (!dbk_time_parse(text, &wall_ms)) {
        dbk_json_put_string(out, text);
        return;
    }
    dbk_time_rfc3339(wall_ms, shown);
    dbk_json_put_string(out, dbk_slice_text(shown));
}

static void put_cell(const dbk_decision *change, uint16_t i, dbk_buffer *out)
{
    const dbk_row_work *work = change->model->work;
    const dbk_column *column = &change->table->columns[i];
    const dbk_cell *cell = &work->cells[i];

    if (column->type == DBK_TYPE_DATETIME && cell->type == SQLITE_TEXT)
        put_datetime(dbk_slice_of(cell->made ? work->made.data + cell->offset : cell->data, cell->size), out);
    else dbk_cell_out(column, cell, &work->made, out);
}

static dbk_result put_key(dbk_decision *change, dbk_buffer *out, dbk_error *err)
{
    const dbk_table *table = change->table;
    dbk_slice rest = change->key;
    dbk_buffer *part = &change->model->work->part;

    for (uint16_t i = 0; i < table->key_count; i++) {
        const dbk_column *column = &table->columns[table->key_columns[i]];
        if (!dbk_key_next(&rest, part)) return dbk_row_bad_key(change->model, table, change->key, err);
        dbk_row_put_member(out, column->name);
        if (column->type == DBK_TYPE_INTEGER) dbk_buffer_put_slice(out, dbk_buffer_slice(part));
        else dbk_json_put_string(out, dbk_buffer_slice(part));
    }
    return DBK_OK;
}

static void put_column(const dbk_column *column, sqlite3_stmt *row, uint16_t i, dbk_buffer *out)
{
    if (sqlite3_column_type(row, i) == SQLITE_NULL) return;
    dbk_row_put_member(out, column->name);
    dbk_value_out(column->type, sqlite3_column_value(row, i), false, out);
}

/* What is named comes from the cells: a null of a put as sent, of a patch left out. The rest from the row, or from
 * the defaults. */
static dbk_result put_row(dbk_decision *change, sqlite3_stmt *row, dbk_buffer *out, dbk_error *err)
{
    const dbk_row_work *work = change->model->work;
    sqlite3_stmt *defaults = NULL;
    dbk_result result = put_key(change, out, err);

    if (result == DBK_OK && !row) {
        result = dbk_row_prepare(change->model, change->table, DBK_ROW_DEFAULTS, &defaults, err);
        int rc = result == DBK_OK ? sqlite3_step(defaults) : SQLITE_ROW;
        if (rc != SQLITE_ROW) result = dbk_model_sql_failure(change->model, rc, "compute the defaults", err);
    }
    for (uint16_t i = 0; result == DBK_OK && i < change->table->column_count; i++) {
        const dbk_column *column = &change->table->columns[i];
        if (column->key_part) continue;
        if (!work->values[i]) {
            put_column(column, row ? row : defaults, i, out);
        } else if (!row || work->cells[i].type != SQLITE_NULL) {
            dbk_row_put_member(out, column->name);
            put_cell(change, i, out);
        }
    }
    if (defaults) (void)sqlite3_reset(defaults);
    dbk_buffer_put_u8(out, '}');
    return result;
}

/* The same where rules of the table have filled the cells of the mask; the rest as the row has it. */
static dbk_result put_ruled_row(dbk_decision *change, sqlite3_stmt *row, const dbk_mask *cells, dbk_buffer *out,
                                dbk_error *err)
{
    const dbk_row_work *work = change->model->work;
    bool is_put = strcmp(change->op, "put") == 0;
    dbk_result result = put_key(change, out, err);

    for (uint16_t i = 0; result == DBK_OK && i < change->table->column_count; i++) {
        const dbk_column *column = &change->table->columns[i];
        bool cell = !row || dbk_mask_has(cells, i), sent = is_put && work->values[i];
        if (column->key_part) continue;
        if (!cell && sent && sqlite3_column_type(row, i) == SQLITE_NULL) {
            dbk_row_put_member(out, column->name); /* said again */
            dbk_buffer_put_text(out, "null");
        } else if (!cell) {
            put_column(column, row, i, out);
        } else if (sent || work->cells[i].type != SQLITE_NULL) {
            dbk_row_put_member(out, column->name);
            put_cell(change, i, out);
        }
    }
    dbk_buffer_put_u8(out, '}');
    return result;
}

dbk_result dbk_row_judged_parse(dbk_model *model, dbk_slice text, const dbk_json_node **root, dbk_error *err)
{
    dbk_row_work *work = model->work;

    if (!work->judged) work->judged = dbk_json_parser_new(model->port);
    return work->judged ? dbk_json_parse(work->judged, text, root, err) : dbk_row_no_memory(err);
}

dbk_result dbk_row_judge_text(dbk_model *model, dbk_draft *draft, const dbk_json_schema *schema, dbk_slice text,
                              const char *what, dbk_slice name, dbk_error *err)
{
    const dbk_json_node *root;
    dbk_buffer errors;

    dbk_result result = dbk_row_judged_parse(model, text, &root, err);
    if (result != DBK_OK)
        return result == DBK_BAD_JSON ? dbk_error_wrap(err, DBK_SCHEMA, "%s '%.*s'", what, DBK_SLICE_ARG(name))
                                      : result;
    dbk_buffer_init(&errors, model->port);
    result = dbk_json_schema_judge(schema, root, &errors, err);
    if (result == DBK_SCHEMA) {
        (void)dbk_error_wrap(err, DBK_SCHEMA, "%s '%.*s'", what, (int)(name.size < 200 ? name.size : 200),
                             (const char *)name.data);
        dbk_buffer_put_text(&draft->detail, draft->detail.size ? ",\"errors\":" : "\"errors\":");
        dbk_buffer_put_slice(&draft->detail, dbk_buffer_slice(&errors));
    }
    dbk_buffer_release(&errors);
    return result;
}

static const dbk_json_schema *schema_of(const dbk_definition *definition, const dbk_table *table)
{
    return definition->schema_count ? dbk_definition_schema(definition, dbk_slice_text(table->name)) : NULL;
}

bool dbk_row_is_judged(const dbk_definition *definition, const dbk_table *table)
{
    return dbk_row_holds_settings(definition, table) || schema_of(definition, table);
}

dbk_result dbk_row_judge(dbk_decision *change, sqlite3_stmt *row, dbk_error *err)
{
    return dbk_row_judge_cells(change, row, NULL, err);
}

dbk_result dbk_row_judge_cells(dbk_decision *change, sqlite3_stmt *row, const dbk_mask *cells, dbk_error *err)
{
    const dbk_definition *definition = change->model->definition;
    const dbk_json_schema *schema = schema_of(definition, change->table);
    bool settings = dbk_row_holds_settings(definition, change->table);
    dbk_buffer text;

    /* An undo names what goes back, not the row, and goes back to what was good when it was decided (F10). */
    if ((!schema && !settings) || change->model->undo) return DBK_OK;
    dbk_buffer_init(&text, change->model->port);
    dbk_result result = cells ? put_ruled_row(change, row, cells, &text, err) : put_row(change, row, &text, err);
    if (result == DBK_OK && text.failed) result = dbk_row_no_memory(err);
    if (result == DBK_OK && schema)
        result = dbk_row_judge_text(change->model, change->draft, schema, dbk_buffer_slice(&text), "row",
                                    change->stream, err);
    if (result == DBK_OK && settings) result = dbk_row_judge_settings(change, dbk_buffer_slice(&text), err);
    dbk_buffer_release(&text);
    return result;
}

dbk_result dbk_row_judge_event(dbk_model *model, dbk_draft *draft, dbk_slice type, dbk_slice data, dbk_error *err)
{
    const dbk_definition *definition = model->definition;
    const dbk_json_schema *schema = definition->schema_count ? dbk_definition_schema(definition, type) : NULL;

    return schema ? dbk_row_judge_text(model, draft, schema, data, "event", type, err) : DBK_OK;
}
