/* What a put means (app-format.md §5.1): the row becomes key and data. A table has a running guess
 * whether its puts make rows or change them; it decides which statement is tried first, never what
 * comes of it. */
#include "projector/rows/rules.h"

enum { GUESS_LIMIT = 8 };

static void learn(dbk_row_statements *statements, bool existed)
{
    if (existed && statements->guess < GUESS_LIMIT) statements->guess++;
    if (!existed && statements->guess > -GUESS_LIMIT) statements->guess--;
}

/* A text that the command gave is UTF-8; an SQL cast can make one of any bytes. */
static void put_value(const dbk_column *column, const dbk_row_value *value, bool given, dbk_buffer *out)
{
    bool text = value->type == SQLITE_TEXT;
    bool bytes = value->type == SQLITE_BLOB || (text && !given && !dbk_utf8_valid(value->bytes));
    dbk_cell cell = {.type = (uint8_t)(bytes ? SQLITE_BLOB : value->type), .size = value->bytes.size};
    if (value->type == SQLITE_INTEGER) cell.integer = value->integer;
    else if (value->type == SQLITE_FLOAT) cell.real = value->real;
    else cell.data = value->bytes.data;
    dbk_cell_out(column, &cell, NULL, out);
}

/* The .put names every column with the value it came to have; number text of JSON stays as it was
 * sent. */
dbk_result dbk_row_emit_put(dbk_decision *change, dbk_error *err)
{
    dbk_row_work *work = change->model->work;
    const dbk_table *table = change->table;
    dbk_slice rest = dbk_observer_inserted(change->model->observer, table);
    dbk_row_value row[DBK_COLUMNS_MAX];
    dbk_slice filled[DBK_COLUMNS_MAX];
    size_t filled_count = 0;

    for (uint16_t i = 0; i < table->column_count; i++) {
        if (!dbk_row_value_next(&rest, &row[i]))
            return dbk_fail(err, DBK_INTERNAL, "the new row '%.*s' was not observed", DBK_SLICE_ARG(change->stream));
    }
    for (uint16_t i = 0; i < table->column_count; i++) {
        uint16_t number = table->by_name[i];
        const dbk_column *column = &table->columns[number];
        bool given = work->values[number] && !column->key_part;
        dbk_row_put_member(&work->data, column->name);
        if (dbk_row_put_recorded(work, table, number, &work->data)) {
            /* said as a change */
        } else if (column->type == DBK_TYPE_JSON && given) {
            dbk_cell_out(column, &work->cells[number], &work->made, &work->data);
        } else {
            put_value(column, &row[number], given, &work->data);
        }
        if (!work->values[number] && !column->key_part) filled[filled_count++] = dbk_slice_text(column->name);
    }
    dbk_buffer_put_u8(&work->data, '}');
    dbk_buffer_clear(&work->filled);
    dbk_names_encode(&work->filled, filled, filled_count);
    return dbk_row_emit_change(change, "put",
                               &(dbk_event){.data = dbk_buffer_slice(&work->data),
                                            .filled_count = (uint16_t)filled_count,
                                            .filled = dbk_buffer_slice(&work->filled)},
                               err);
}

/* *made false: there is such a row already, nothing happened. */
static dbk_result insert(dbk_decision *change, bool *made, dbk_error *err)
{
    dbk_model *model = change->model;
    dbk_mask mask = {0};
    sqlite3_stmt *statement;
    int changes = 0;

    for (uint16_t i = 0; i < change->table->column_count; i++) {
        if (model->work->values[i] || dbk_row_is_key(change->table, i)) dbk_mask_add(&mask, i);
    }
    dbk_result result = dbk_row_prepare_masked(model, change->table, true, &mask, &statement, err);
    if (result == DBK_OK) result = dbk_row_bind(model, change->table, change->key, &mask, true, statement, err);
    if (result == DBK_OK) result = dbk_row_run(model, statement, "put the row", &changes, err);
    *made = result == DBK_OK && changes > 0;
    return result;
}

/* The columns that a put does not name go back to their defaults, else NULL. */
static dbk_result reset_unnamed(dbk_decision *change, sqlite3_stmt *row, dbk_mask *changed, dbk_error *err)
{
    dbk_row_work *work = change->model->work;
    sqlite3_stmt *defaults;
    dbk_result result = dbk_row_prepare(change->model, change->table, DBK_ROW_DEFAULTS, &defaults, err);

    if (result != DBK_OK) return result;
    int rc = sqlite3_step(defaults);
    if (rc != SQLITE_ROW) result = dbk_model_sql_failure(change->model, rc, "compute the defaults", err);
    for (uint16_t i = 0; i < change->table->column_count && result == DBK_OK; i++) {
        if (work->values[i] || dbk_row_is_key(change->table, i)) continue;
        result = dbk_cell_of_column(defaults, i, &work->made, &work->cells[i], err);
        if (result == DBK_OK && !dbk_cell_equals_column(&work->cells[i], &work->made, row, i)) dbk_mask_add(changed, i);
    }
    (void)sqlite3_reset(defaults);
    return result;
}

static bool leaves_unnamed(const dbk_decision *change)
{
    for (uint16_t i = 0; i < change->table->column_count; i++) {
        if (!change->model->work->values[i] && !dbk_row_is_key(change->table, i)) return true;
    }
    return false;
}

/* DBK_NONE: there is no such row. */
static dbk_result update(dbk_decision *change, dbk_error *err)
{
    dbk_row_work *work = change->model->work;
    dbk_mask changed = {0};
    sqlite3_stmt *row;
    dbk_result result = dbk_row_read(change->model, change->table, change->key, &row, err);

    if (result != DBK_OK) return result;
    for (uint16_t i = 0; i < change->table->column_count; i++) {
        if (!work->values[i] || dbk_row_is_key(change->table, i)) continue;
        if (!dbk_cell_equals_column(&work->cells[i], &work->made, row, i)) dbk_mask_add(&changed, i);
    }
    if (!change->model->options.put_keeps_unnamed && !change->draft->undo && leaves_unnamed(change)) {
        result = reset_unnamed(change, row, &changed, err);
    }
    (void)sqlite3_reset(row);
    return result == DBK_OK ? dbk_row_patch_columns(change, &changed, err) : result;
}

/* NOT NULL and CHECK are looked at before SQLite finds that the row is there: then the refusal may
 * be about a row that is not to be made at all. */
static dbk_result insert_first(dbk_decision *change, dbk_error *err)
{
    dbk_row_statements *statements = dbk_row_statements_of(change->model, change->table);
    bool made;

    dbk_observer_statement_mark(change->model->observer);
    dbk_result refusal = insert(change, &made, err);
    if (refusal != DBK_OK && refusal != DBK_CONSTRAINT) return refusal;
    if (refusal == DBK_OK) learn(statements, !made);
    if (made) return dbk_row_emit_put(change, err);
    if (refusal == DBK_CONSTRAINT) dbk_observer_statement_drop(change->model->observer);
    dbk_error other;
    dbk_result result = update(change, &other);
    if (result == DBK_NONE && refusal == DBK_OK) {
        return dbk_fail(err, DBK_INTERNAL, "'%.*s' neither was made nor is there", DBK_SLICE_ARG(change->stream));
    }
    if (result == DBK_NONE) return refusal;
    if (result != DBK_OK && err) *err = other;
    return result;
}

dbk_result dbk_row_put(dbk_decision *change, dbk_error *err)
{
    dbk_row_statements *statements = dbk_row_statements_of(change->model, change->table);

    if (statements->guess <= 0 && !(change->expect && dbk_json_text_is(change->expect, "exists"))) {
        return insert_first(change, err);
    }
    dbk_result result = update(change, err);
    if (result != DBK_NONE) {
        learn(statements, true);
        return result;
    }
    return insert_first(change, err);
}
