/* put and patch of a row whose table has rules (app-format.md §3, §5.1, §5.2). What the row will be is
 * worked out before a statement runs, so that every refusal leaves nothing behind:
 *
 *   1. cells by type, cleaned; counters and sets as what they change
 *   2. beside the row that is there, or the defaults of a new one
 *   3. states, sizes, stamps, then one INSERT or UPDATE and its event
 *
 * An undo sets what stood before: it neither competes nor is it judged (F10). */
#include "projector/rows/rules.h"

static bool is_stamp(const dbk_rules *rules, int column)
{
    return column == rules->created || column == rules->updated;
}

static dbk_result set_stamp(dbk_decision *change, int column, dbk_error *err)
{
    dbk_row_work *work = change->model->work;
    char text[DBK_TIME_TEXT_SIZE];
    size_t from = work->made.size;

    dbk_time_stored(work->time_ms, true, text);
    dbk_buffer_put_text(&work->made, text);
    if (work->made.failed) return dbk_row_no_memory(err);
    work->cells[column] = dbk_cell_of_made(&work->made, from);
    return DBK_OK;
}

static dbk_result refuse_derived(const dbk_decision *change, int column, dbk_error *err)
{
    (void)dbk_fail(err, DBK_REJECTED, "'%s.%s' is derived: projections write it", change->table->name,
                   change->table->columns[column].name);
    dbk_error_hint(err, "leave it out");
    return DBK_REJECTED;
}

/* ---- a row that is there */

/* The cell of a named column, or the default in it, as the field's rule lets it meet the old value. */
static dbk_result meet(dbk_decision *change, sqlite3_stmt *row, int column, const dbk_json_node *value, dbk_error *err)
{
    dbk_model *model = change->model;
    dbk_row_work *work = model->work;
    dbk_field_rule rule = dbk_field_of(change->table, column);
    dbk_cell old, given = work->cells[column];
    bool raw = value && dbk_field_is_raw(change->table, column, value);

    if (rule == DBK_FIELD_LWW) return DBK_OK;
    dbk_result result = dbk_cell_of_column(row, column, &work->made, &old, err);
    if (result != DBK_OK) return result;
    if (rule == DBK_FIELD_COUNTER || rule == DBK_FIELD_SET)
        return dbk_field_change(model, change->table, column, &old, raw ? value : NULL, &given, &work->cells[column],
                                err);
    if (!model->undo && !dbk_field_wins(rule, &old, &given, &work->made)) work->cells[column] = old;
    return DBK_OK;
}

static dbk_result meet_named(dbk_decision *change, sqlite3_stmt *row, bool merging, dbk_mask *changed, dbk_error *err)
{
    const dbk_table *table = change->table;
    dbk_row_work *work = change->model->work;
    const bool *derived = change->model->undo ? NULL : table->rules->derived;
    dbk_result result = DBK_OK;

    for (uint16_t i = 0; i < table->column_count && result == DBK_OK; i++) {
        const dbk_json_node *value = work->values[i];
        if (!value || table->columns[i].key_part) continue;
        bool patch = merging && table->columns[i].type == DBK_TYPE_JSON && value->kind == DBK_JSON_OBJECT;
        if (patch && !dbk_field_is_raw(table, i, value)) result = dbk_row_merge_column(change, i, row, err);
        if (result == DBK_OK) result = meet(change, row, i, value, err);
        if (result != DBK_OK || dbk_cell_equals_column(&work->cells[i], &work->made, row, i)) continue;
        if (derived && derived[i]) return refuse_derived(change, i, err);
        dbk_mask_add(changed, i);
    }
    return result;
}

/* *defaults stands on its row, and is to be reset. */
static dbk_result compute_defaults(dbk_decision *change, sqlite3_stmt **defaults, dbk_error *err)
{
    dbk_result result = dbk_row_prepare(change->model, change->table, DBK_ROW_DEFAULTS, defaults, err);

    if (result != DBK_OK) return result;
    int rc = sqlite3_step(*defaults);
    return rc == SQLITE_ROW ? DBK_OK : dbk_model_sql_failure(change->model, rc, "compute the defaults", err);
}

/* What a put does not name goes back to its default; stamps and what projections write stay. */
static dbk_result reset_unnamed(dbk_decision *change, sqlite3_stmt *row, dbk_mask *changed, dbk_error *err)
{
    const dbk_table *table = change->table;
    dbk_row_work *work = change->model->work;
    sqlite3_stmt *defaults = NULL;
    dbk_result result = compute_defaults(change, &defaults, err);

    for (uint16_t i = 0; i < table->column_count && result == DBK_OK; i++) {
        bool kept = is_stamp(table->rules, i) || (table->rules->derived && table->rules->derived[i]);
        if (work->values[i] || dbk_row_is_key(table, i) || kept) continue;
        result = dbk_cell_of_column(defaults, i, &work->made, &work->cells[i], err);
        if (result == DBK_OK) result = meet(change, row, i, NULL, err);
        if (result == DBK_OK && !dbk_cell_equals_column(&work->cells[i], &work->made, row, i)) dbk_mask_add(changed, i);
    }
    (void)sqlite3_reset(defaults);
    return result;
}

static dbk_result judge_change(dbk_decision *change, sqlite3_stmt *row, dbk_mask *changed, dbk_error *err)
{
    const dbk_rules *rules = change->table->rules;
    dbk_result result = DBK_OK;

    if (dbk_mask_is_empty(changed) || change->model->undo) return DBK_OK;
    if (rules->updated >= 0) {
        dbk_mask_add(changed, rules->updated);
        result = set_stamp(change, rules->updated, err);
    }
    if (result == DBK_OK) result = dbk_row_check_moves(change, row, changed, err);
    return result == DBK_OK ? dbk_row_check_size(change, row, changed, err) : result;
}

/* The stamps are the engine's: what a client says of them of a row that is there does not count. */
static void forget_stamps(dbk_decision *change, bool is_new)
{
    const dbk_rules *rules = change->table->rules;
    const dbk_json_node **values = change->model->work->values;

    if (change->model->undo) return;
    if (rules->updated >= 0) values[rules->updated] = NULL;
    if (rules->created >= 0 && !is_new) values[rules->created] = NULL;
}

dbk_result dbk_row_ruled_patch(dbk_decision *change, sqlite3_stmt *row, dbk_error *err)
{
    dbk_mask changed = {0};
    dbk_result result;

    change->model->work->recorded = (dbk_mask){0};
    forget_stamps(change, false);
    result = dbk_row_convert(change, true, err);
    if (result == DBK_OK && !change->model->undo) result = dbk_row_sanitize(change, err);
    if (result == DBK_OK) result = meet_named(change, row, true, &changed, err);
    if (result == DBK_OK) result = dbk_row_judge_cells(change, row, &changed, err);
    if (result == DBK_OK) result = judge_change(change, row, &changed, err);
    (void)sqlite3_reset(row);
    return result == DBK_OK ? dbk_row_patch_columns(change, &changed, err) : result;
}

static dbk_result put_on_row(dbk_decision *change, sqlite3_stmt *row, dbk_error *err)
{
    dbk_mask changed = {0};
    dbk_result result;

    forget_stamps(change, false);
    result = meet_named(change, row, false, &changed, err);
    bool keeps = change->model->options.put_keeps_unnamed || change->model->undo;
    if (result == DBK_OK && !keeps) result = reset_unnamed(change, row, &changed, err);
    if (result == DBK_OK) result = dbk_row_judge_cells(change, row, &changed, err);
    if (result == DBK_OK) result = judge_change(change, row, &changed, err);
    (void)sqlite3_reset(row);
    return result == DBK_OK ? dbk_row_patch_columns(change, &changed, err) : result;
}

/* ---- a new row */

static dbk_result begin_column(dbk_decision *change, sqlite3_stmt *defaults, int column, dbk_error *err)
{
    static const dbk_cell none = {.type = SQLITE_NULL};
    const dbk_table *table = change->table;
    dbk_row_work *work = change->model->work;
    const dbk_json_node *value = work->values[column];
    dbk_field_rule rule = dbk_field_of(table, column);
    dbk_cell given = work->cells[column];
    dbk_result result = DBK_OK;

    if (value && !change->model->undo && table->rules->derived && table->rules->derived[column])
        return refuse_derived(change, column, err);
    if (!value && is_stamp(table->rules, column) && !change->model->undo) return set_stamp(change, column, err);
    if (!value) result = dbk_cell_of_column(defaults, column, &work->made, &work->cells[column], err);
    if (result != DBK_OK || (rule != DBK_FIELD_COUNTER && rule != DBK_FIELD_SET)) return result;
    if (!value) given = work->cells[column];
    bool raw = value && dbk_field_is_raw(table, column, value);
    return dbk_field_change(change->model, table, column, &none, raw ? value : NULL, &given, &work->cells[column], err);
}

static dbk_result begin_row(dbk_decision *change, dbk_mask *all, dbk_error *err)
{
    const dbk_table *table = change->table;
    sqlite3_stmt *defaults = NULL;
    dbk_result result = compute_defaults(change, &defaults, err);

    for (uint16_t i = 0; i < table->column_count && result == DBK_OK; i++) {
        dbk_mask_add(all, i);
        if (!dbk_row_is_key(table, i)) result = begin_column(change, defaults, i, err);
    }
    (void)sqlite3_reset(defaults);
    return result;
}

static dbk_result put_new(dbk_decision *change, dbk_error *err)
{
    dbk_model *model = change->model;
    dbk_mask all = {0};
    sqlite3_stmt *statement;
    int changes = 0;

    forget_stamps(change, true);
    dbk_result result = begin_row(change, &all, err);
    if (result == DBK_OK) result = dbk_row_judge_cells(change, NULL, &all, err);
    if (result == DBK_OK && !model->undo) result = dbk_row_check_start(change, err);
    if (result == DBK_OK && !model->undo) result = dbk_row_check_size(change, NULL, &all, err);
    if (result == DBK_OK) result = dbk_row_prepare_masked(model, change->table, true, &all, &statement, err);
    if (result == DBK_OK) result = dbk_row_bind(model, change->table, change->key, &all, true, statement, err);
    if (result == DBK_OK) result = dbk_row_run(model, statement, "put the row", &changes, err);
    if (result == DBK_OK && changes == 0)
        result = dbk_fail(err, DBK_INTERNAL, "'%.*s' is there and is not", DBK_SLICE_ARG(change->stream));
    return result == DBK_OK ? dbk_row_emit_put(change, err) : result;
}

dbk_result dbk_row_ruled_put(dbk_decision *change, dbk_error *err)
{
    sqlite3_stmt *row;
    dbk_result result;

    change->model->work->recorded = (dbk_mask){0};
    result = change->model->undo ? DBK_OK : dbk_row_sanitize(change, err);
    if (result == DBK_OK) result = dbk_row_read(change->model, change->table, change->key, &row, err);
    if (result == DBK_NONE) return put_new(change, err);
    return result == DBK_OK ? put_on_row(change, row, err) : result;
}
