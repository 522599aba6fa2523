/* What a patch means (app-format.md §5.2): the named columns change, the event says those that did. Of a table whose
 * patches change most of what they name, the UPDATE runs at once and the observer tells what it changed; else, and
 * wherever it is refused, the row is read first. */
#include "projector/rows/rules.h"

enum { GUESS_LIMIT = 8 };

static dbk_result emit_patched(dbk_decision *change, const dbk_mask *changed, dbk_error *err)
{
    dbk_row_work *work = change->model->work;
    const dbk_table *table = change->table;

    for (uint16_t i = 0; i < table->column_count; i++) {
        uint16_t column = table->by_name[i];
        if (!dbk_mask_has(changed, column)) continue;
        dbk_row_put_member(&work->data, table->columns[column].name);
        if (dbk_row_put_recorded(work, table, column, &work->data)) continue;
        dbk_cell_out(&table->columns[column], &work->cells[column], &work->made, &work->data);
    }
    dbk_buffer_put_u8(&work->data, '}');
    return dbk_row_emit_change(change, "patched", &(dbk_event){.data = dbk_buffer_slice(&work->data)}, err);
}

dbk_result dbk_row_patch_columns(dbk_decision *change, const dbk_mask *changed, dbk_error *err)
{
    dbk_model *model = change->model;
    const dbk_table *table = change->table;
    sqlite3_stmt *statement;
    int changes = 0;

    if (dbk_mask_is_empty(changed)) return DBK_OK;
    dbk_result result = dbk_row_take_base(change, err);
    if (result == DBK_OK) result = dbk_row_prepare_masked(model, table, false, changed, &statement, err);
    if (result == DBK_OK) result = dbk_row_bind(model, table, change->key, changed, false, statement, err);
    if (result == DBK_OK) result = dbk_row_run_update(model, table, changed, statement, &changes, err);
    if (result != DBK_OK) return result;
    if (changes != 1) return dbk_fail(err, DBK_INTERNAL, "'%.*s' went away", DBK_SLICE_ARG(change->stream));
    return emit_patched(change, changed, err);
}

/* The column's document with the patch applied, as a cell. */
dbk_result dbk_row_merge_column(dbk_decision *change, int column, sqlite3_stmt *row, dbk_error *err)
{
    dbk_row_work *work = change->model->work;
    const dbk_json_node *old = NULL;
    size_t from = work->made.size;

    if (sqlite3_column_type(row, column) == SQLITE_TEXT) {
        const void *text = sqlite3_column_blob(row, column);
        dbk_slice slice = dbk_slice_of(text, (size_t)sqlite3_column_bytes(row, column));
        /* a projection may have left what is no JSON: then the patch alone counts */
        if (dbk_json_parse(work->old_value, slice, &old, err) == DBK_NO_MEMORY) return DBK_NO_MEMORY;
    }
    dbk_json_merge_patch(&work->made, old, work->values[column]);
    if (work->made.failed) return dbk_row_no_memory(err);
    work->cells[column] = dbk_cell_of_made(&work->made, from);
    return DBK_OK;
}

static dbk_result find_changed(dbk_decision *change, sqlite3_stmt *row, dbk_mask *changed, dbk_error *err)
{
    dbk_row_work *work = change->model->work;
    dbk_result result = DBK_OK;

    for (uint16_t i = 0; i < change->table->column_count && result == DBK_OK; i++) {
        const dbk_column *column = &change->table->columns[i];
        if (!work->values[i] || column->key_part) continue;
        if (column->type == DBK_TYPE_JSON && work->values[i]->kind == DBK_JSON_OBJECT) {
            result = dbk_row_merge_column(change, i, row, err);
        }
        if (result == DBK_OK && !dbk_cell_equals_column(&work->cells[i], &work->made, row, i)) dbk_mask_add(changed, i);
    }
    return result;
}

static int count_of(const dbk_mask *mask)
{
    int count = 0;
    for (int i = 0; i < DBK_MASK_WORDS; i++) count += __builtin_popcountll(mask->words[i]);
    return count;
}

/* An UPDATE at once writes what stays as it is too, with its indexes: cheaper than a look while it is not most. */
static void learn(dbk_row_statements *statements, const dbk_mask *named, const dbk_mask *changed)
{
    bool most = 2 * count_of(changed) >= count_of(named);
    if (most && statements->patch_guess < GUESS_LIMIT) statements->patch_guess++;
    if (!most && statements->patch_guess > -GUESS_LIMIT) statements->patch_guess--;
}

static void list_named(const dbk_decision *change, dbk_mask *named)
{
    *named = (dbk_mask){0};
    for (uint16_t i = 0; i < change->table->column_count; i++)
        if (change->model->work->values[i] && !change->table->columns[i].key_part) dbk_mask_add(named, i);
}

/* Whether nothing but the new values is needed to know what becomes of the row. */
static bool needs_no_look(const dbk_decision *change, const dbk_mask *named)
{
    const dbk_table *table = change->table;
    const dbk_model *model = change->model;

    if (!table->self_contained || dbk_rules_decide(table) || dbk_rules_merge(table) || dbk_mask_is_empty(named))
        return false;
    if (dbk_row_is_judged(model->definition, table)) return false;
    for (uint16_t i = 0; i < table->column_count; i++) {
        if (!dbk_mask_has(named, i) || table->columns[i].type != DBK_TYPE_JSON) continue;
        if (model->work->values[i]->kind == DBK_JSON_OBJECT) return false; /* merged with the document that is there */
    }
    return true;
}

/* DBK_NONE: not done, and nothing changed. What is wrong with it is told by who looks first. */
static dbk_result update_at_once(dbk_decision *change, const dbk_mask *named, dbk_mask *changed, dbk_error *err)
{
    dbk_model *model = change->model;
    sqlite3_stmt *statement;
    dbk_error refusal;
    int changes = 0;

    dbk_result result = dbk_row_convert(change, true, &refusal);
    if (result != DBK_OK) return DBK_NONE;
    result = dbk_row_take_base(change, err);
    if (result == DBK_OK) result = dbk_row_prepare_masked(model, change->table, false, named, &statement, err);
    if (result != DBK_OK) return result;
    if (dbk_row_bind(model, change->table, change->key, named, false, statement, &refusal) != DBK_OK) return DBK_NONE;
    dbk_observer_statement_mark(model->observer);
    dbk_observer_sets(model->observer, change->table, named, changed);
    result = dbk_row_run(model, statement, "change the row", &changes, err);
    dbk_observer_sets(model->observer, NULL, NULL, NULL);
    if (result == DBK_CONSTRAINT) {
        dbk_observer_statement_drop(model->observer);
        return DBK_NONE;
    }
    if (result == DBK_OK && changes == 0) return dbk_row_not_found(change, err);
    return result;
}

static dbk_result patch_at_once(dbk_decision *change, dbk_error *err)
{
    dbk_row_statements *statements = dbk_row_statements_of(change->model, change->table);
    dbk_mask named, changed = {0};

    list_named(change, &named);
    if (statements->patch_guess < 0 || !needs_no_look(change, &named)) return DBK_NONE;
    dbk_result result = update_at_once(change, &named, &changed, err);
    if (result != DBK_OK) return result;
    learn(statements, &named, &changed);
    return dbk_mask_is_empty(&changed) ? DBK_OK : emit_patched(change, &changed, err);
}

dbk_result dbk_row_patch(dbk_model *model, dbk_draft *draft, dbk_slice table, const dbk_json_node *key,
                         const dbk_json_node *data, const dbk_json_node *expect, dbk_error *err)
{
    dbk_decision change = {.model = model, .draft = draft, .op = "patch", .data = data, .expect = expect};
    dbk_mask named, changed = {0};
    sqlite3_stmt *row;
    dbk_result result = dbk_row_decision_begin(&change, table, key, false, err);

    if (result == DBK_OK) result = patch_at_once(&change, err);
    if (result != DBK_NONE) return result;
    dbk_buffer_clear(&model->work->made);
    result = dbk_row_read(model, change.table, change.key, &row, err);
    if (result == DBK_NONE) return dbk_row_not_found(&change, err);
    if (result != DBK_OK) return result;
    if (dbk_rules_decide(change.table)) return dbk_row_ruled_patch(&change, row, err);
    result = dbk_row_convert(&change, true, err);
    if (result == DBK_OK) result = find_changed(&change, row, &changed, err);
    if (result == DBK_OK) result = dbk_row_judge(&change, row, err);
    (void)sqlite3_reset(row);
    if (result != DBK_OK) return result;
    list_named(&change, &named);
    learn(dbk_row_statements_of(model, change.table), &named, &changed);
    return dbk_row_patch_columns(&change, &changed, err);
}
