/* Facts on tables with rules (semantics.md §4): what a change of another device comes to where it meets
 * the row that stands in canonical order.
 *
 *   guard         only from the row that its author saw
 *   edit_wins     a patch brings a deleted row back; a delete gives way to what its author had not seen
 *   fields        columns compete, count or gather
 *   suffix        a UNIQUE value that is taken becomes value~2, ~3 … */
#include "projector/rows/rules.h"

#include <stdio.h>
#include <stdlib.h>

enum { SUFFIX_TRIES = 1000, DIGITS_MAX = 17 };

typedef struct meeting {
    dbk_model *model;
    const dbk_event *event;
    const dbk_table *table;
    dbk_slice key;
    bool exists;
    char last[DBK_ENTRY_ID_TEXT_SIZE]; /* who wrote the row */
    dbk_mask named;                    /* columns the event sets, without the key */
    dbk_mask written;                  /* those of them whose writer the entry is now */
} meeting;

static dbk_result supersede(meeting *m, const char *reason, dbk_error *err)
{
    dbk_result result = m->last[0] ? DBK_OK : dbk_row_last_writer(m->model, m->table, m->key, m->last, err);

    if (result != DBK_OK) return result;
    memcpy(m->model->work->against, m->last, sizeof(m->last));
    m->model->work->superseded = true;
    return dbk_fail(err, DBK_REJECTED, "%s", reason);
}

/* No other entry stands between the author's view and the row. */
static bool is_current(const meeting *m)
{
    char base[DBK_ENTRY_ID_TEXT_SIZE] = "";

    if (m->event->has_base) dbk_entry_id_text(&m->event->base, base);
    return strcmp(base, m->exists ? m->last : "") == 0;
}

/* ---- values */

static bool is_filled(const dbk_event *event, dbk_slice name)
{
    dbk_slice rest = event->filled, filled;

    while (dbk_name_next(&rest, &filled))
        if (dbk_slice_equal(filled, name)) return true;
    return false;
}

/* One column: beside `row` (NULL: there is none; then beside what `gone` left in the cell). */
static dbk_result take_value(meeting *m, sqlite3_stmt *row, int column, const dbk_json_node *value, bool gone,
                             dbk_error *err)
{
    dbk_row_work *work = m->model->work;
    dbk_cell old = gone && dbk_mask_has(&m->named, column) ? work->cells[column] : (dbk_cell){.type = SQLITE_NULL};
    dbk_result result = row ? dbk_cell_of_column(row, column, &work->made, &old, err) : DBK_OK;

    if (result == DBK_OK) result = dbk_field_merge(m->model, m->table, column, &old, value, &work->cells[column], err);
    if (result != DBK_OK) return result;
    dbk_mask_add(&m->named, column);
    dbk_field_rule rule = m->model->undo ? DBK_FIELD_LWW : dbk_field_of(m->table, column);
    if (!row || rule == DBK_FIELD_LWW || !dbk_cell_equals_column(&work->cells[column], &work->made, row, column))
        dbk_mask_add(&m->written, column);
    return DBK_OK;
}

static dbk_result take_values(meeting *m, sqlite3_stmt *row, const dbk_json_node *data, bool gone, dbk_error *err)
{
    const dbk_json_node *child = dbk_json_child(data);

    for (uint32_t i = 0; i < data->count; i++, child = dbk_json_next(child)) {
        int column = dbk_table_column(m->table, child->name);
        if (column < 0 || dbk_row_is_key(m->table, column)) continue;
        if (row && is_filled(m->event, child->name)) continue;
        dbk_result result = take_value(m, row, column, child, gone, err);
        if (result != DBK_OK) return result;
    }
    return DBK_OK;
}

/* The cells of the row as it was when it was deleted. */
static dbk_result take_gone(meeting *m, bool *found, dbk_error *err)
{
    dbk_row_work *work = m->model->work;
    const dbk_json_node *data;
    dbk_result result = dbk_row_gone(m->model, m->table, m->key, err);

    *found = result == DBK_OK && work->gone.size > 0;
    if (!*found) return result;
    result = dbk_json_parse(work->old_value, dbk_buffer_slice(&work->gone), &data, err);
    if (result != DBK_OK)
        return dbk_error_wrap(err, result == DBK_NO_MEMORY ? result : DBK_CORRUPT, "a row record of '%s'",
                              m->table->name);
    const dbk_json_node *child = dbk_json_child(data);
    for (uint32_t i = 0; i < data->count; i++, child = dbk_json_next(child)) {
        int column = dbk_table_column(m->table, child->name);
        if (column < 0 || dbk_row_is_key(m->table, column)) continue;
        size_t from = work->made.size; /* what the cell borrows of the parser is copied: a set is parsed next */
        result =
            dbk_cell_of_json(&m->table->columns[column], m->table->name, child, &work->made, &work->cells[column], err);
        if (result != DBK_OK) return result;
        dbk_cell *cell = &work->cells[column];
        dbk_mask_add(&m->named, column);
        if (cell->made || (cell->type != SQLITE_TEXT && cell->type != SQLITE_BLOB)) continue;
        dbk_buffer_put(&work->made, cell->data, cell->size);
        *cell = (dbk_cell){.type = cell->type, .made = true, .offset = from, .size = cell->size};
    }
    return work->made.failed ? dbk_row_no_memory(err) : DBK_OK;
}

/* ---- suffixes */

/* The column that a UNIQUE over it alone refuses: "UNIQUE names.name: …"; -1: another refusal. */
static int taken_column(const meeting *m, const dbk_error *refusal)
{
    size_t table = strlen(m->table->name);
    const char *text = refusal->text;

    if (strncmp(text, "UNIQUE ", 7) != 0 || strncmp(text + 7, m->table->name, table) != 0 || text[7 + table] != '.')
        return -1;
    const char *name = text + 8 + table;
    size_t size = strcspn(name, ":,");
    int column = name[size] == ',' ? -1 : dbk_table_column(m->table, dbk_slice_of(name, size));
    return column >= 0 && !dbk_row_is_key(m->table, column) && dbk_mask_has(&m->named, column) ? column : -1;
}

/* "x" becomes "x~2", "x~2" becomes "x~3". */
static dbk_result add_suffix(meeting *m, int column, dbk_error *err)
{
    dbk_row_work *work = m->model->work;
    dbk_slice text = dbk_cell_bytes(&work->cells[column], &work->made);
    size_t digits = 0, from;
    char number[24];

    if (work->cells[column].type != SQLITE_TEXT) return DBK_NONE;
    while (digits < text.size && digits < DIGITS_MAX && text.data[text.size - 1 - digits] >= '0' &&
           text.data[text.size - 1 - digits] <= '9')
        digits++;
    bool has = digits > 0 && text.size > digits + 1 && text.data[text.size - 1 - digits] == '~';
    uint64_t n = 1;
    if (has) {
        memcpy(number, text.data + text.size - digits, digits);
        number[digits] = '\0';
        n = strtoull(number, NULL, 10);
    }
    dbk_buffer_clear(&work->scratch);
    dbk_buffer_put(&work->scratch, text.data, has ? text.size - digits - 1 : text.size);
    dbk_buffer_printf(&work->scratch, "~%llu", (unsigned long long)n + 1);
    from = work->made.size;
    dbk_buffer_put_slice(&work->made, dbk_buffer_slice(&work->scratch));
    if (work->scratch.failed || work->made.failed) return dbk_row_no_memory(err);
    work->cells[column] = dbk_cell_of_made(&work->made, from);
    return DBK_OK;
}

/* ---- writing */

static dbk_result write_once(meeting *m, const dbk_mask *mask, int *changes, dbk_error *err)
{
    sqlite3_stmt *statement;
    dbk_result result = dbk_row_prepare_masked(m->model, m->table, !m->exists, mask, &statement, err);

    *changes = 0;
    if (result == DBK_OK) result = dbk_row_bind(m->model, m->table, m->key, mask, !m->exists, statement, err);
    return result == DBK_OK
               ? dbk_row_run(m->model, statement, m->exists ? "change the row" : "put the row", changes, err)
               : result;
}

static dbk_result write_row(meeting *m, dbk_error *err)
{
    dbk_mask mask = m->named;
    char reason[96];
    int changes, column;
    dbk_result result = DBK_OK;

    for (uint16_t i = 0; !m->exists && i < m->table->key_count; i++) dbk_mask_add(&mask, m->table->key_columns[i]);
    for (int tries = 0; tries < SUFFIX_TRIES; tries++) {
        dbk_error refusal = {0};
        dbk_observer_statement_mark(m->model->observer);
        result = write_once(m, &mask, &changes, &refusal);
        column =
            result == DBK_CONSTRAINT && m->table->rules && m->table->rules->suffix ? taken_column(m, &refusal) : -1;
        if (result == DBK_CONSTRAINT) dbk_observer_statement_drop(m->model->observer);
        if (result != DBK_OK && err) *err = refusal;
        if (column < 0) break;
        dbk_result next = add_suffix(m, column, err);
        if (next == DBK_NONE) break;
        (void)snprintf(reason, sizeof(reason), "%s was taken", m->table->columns[column].name);
        if (next == DBK_OK) next = dbk_row_note_suffixed(m->model, reason, err);
        if (next != DBK_OK) return next;
    }
    if (result == DBK_OK && changes == 0)
        return dbk_fail(err, DBK_INTERNAL, "'%.*s' neither was made nor is there", DBK_SLICE_ARG(m->event->stream));
    return result;
}

static dbk_result set_row(meeting *m, sqlite3_stmt *row, dbk_row_op op, const dbk_json_node *data, dbk_error *err)
{
    bool back = false;
    dbk_result result = DBK_OK;

    if (!m->exists && op == DBK_OP_PATCHED) {
        if (m->table->rules && m->table->rules->edit_wins) result = take_gone(m, &back, err);
        if (result == DBK_OK && !back) result = supersede(m, "no row to patch", err);
    }
    if (result == DBK_OK) result = take_values(m, row, data, back, err);
    if (m->exists) (void)sqlite3_reset(row);
    if (result != DBK_OK) return result;
    if (m->exists && dbk_mask_is_empty(&m->named)) return dbk_row_name(m->model, m->table, m->key, false, err);
    result = write_row(m, err);
    /* a row that is made has one writer, also of what came back with it */
    if (result == DBK_OK)
        result = dbk_row_note_written(m->model, m->table, m->key, m->exists ? &m->written : &m->named, err);
    /* a put names the key too, which is last writer wins */
    bool wrote = !dbk_mask_is_empty(&m->written) || op == DBK_OP_PUT || !m->exists;
    return result == DBK_OK ? dbk_row_name(m->model, m->table, m->key, wrote, err) : result;
}

static dbk_result delete_row(meeting *m, dbk_error *err)
{
    sqlite3_stmt *statement;
    dbk_result result;

    if (!m->exists) return supersede(m, "no row to delete", err);
    if (m->table->rules && m->table->rules->edit_wins && !is_current(m))
        return supersede(m, "edit wins over this delete", err);
    result = dbk_row_prepare(m->model, m->table, DBK_ROW_DELETE, &statement, err);
    if (result != DBK_OK) return result;
    if (!dbk_key_bind(m->table, m->key, statement, 1, &m->model->work->part))
        return dbk_row_bad_key(m->model, m->table, m->key, err);
    int changes = 0;
    result = dbk_row_delete(m->model, m->table, m->key, statement, &changes, err);
    return result == DBK_OK ? dbk_row_name(m->model, m->table, m->key, true, err) : result;
}

dbk_result dbk_row_ruled_fact(dbk_model *model, const dbk_event *event, const dbk_table *table, dbk_row_op op,
                              dbk_slice key, const dbk_json_node *data, dbk_error *err)
{
    meeting m = {.model = model, .event = event, .table = table, .key = key};
    sqlite3_stmt *row = NULL;
    dbk_result result = DBK_OK;

    if (data->kind != DBK_JSON_OBJECT) return dbk_fail(err, DBK_SCHEMA, "the data of a row event is an object");
    if (table->rules && table->rules->records) result = dbk_row_last_writer(model, table, key, m.last, err);
    if (result == DBK_OK) result = dbk_row_read(model, table, key, &row, err);
    if (result != DBK_OK && result != DBK_NONE) return result;
    m.exists = result == DBK_OK;
    if (table->rules && table->rules->guard && !is_current(&m)) {
        if (m.exists) (void)sqlite3_reset(row);
        return supersede(&m, "guard: the row is not the one its author saw", err);
    }
    if (op != DBK_OP_DELETED) return set_row(&m, m.exists ? row : NULL, op, data, err);
    if (m.exists) (void)sqlite3_reset(row);
    return delete_row(&m, err);
}
