/* Internal to rows/: what app.json's rules of a table ask of decisions and facts. Tables without rules
 * never come here.
 *
 *   field.c      columns that compete, count or gather      ruled.c     put and patch being decided
 *   state.c      states, sanitized texts, sizes             fact.c      facts
 *   surplus.c    the last n rows                            make_key.c  keys made by the engine */
#ifndef DBK_PROJECTOR_ROW_RULES_H
#define DBK_PROJECTOR_ROW_RULES_H

#include "projector/rows/internal.h"
#include "projector/rules.h"

static inline dbk_field_rule dbk_field_of(const dbk_table *table, int column)
{
    return table->rules && table->rules->fields ? (dbk_field_rule)table->rules->fields[column] : DBK_FIELD_LWW;
}

/* ---- rows/field.c */
/* {"+": n} of a number's column, {"add": […], "remove": […]} of a set's: a change that says itself (F8). */
bool dbk_field_is_change(const dbk_table *table, int column, const dbk_json_node *value);
/* Whether a command's value is for dbk_field_change and not for a conversion by type. */
bool dbk_field_is_raw(const dbk_table *table, int column, const dbk_json_node *value);
/* A counter or set being decided: what is recorded (work->recorded) and the value it gives. `value` NULL:
 * *given is it. */
dbk_result dbk_field_change(dbk_model *model, const dbk_table *table, int column, const dbk_cell *old,
                            const dbk_json_node *value, const dbk_cell *given, dbk_cell *out,
                            dbk_error *err) DBK_MUST_USE;
/* The value after a recorded change of a fact meets the value in canonical order. */
dbk_result dbk_field_merge(dbk_model *model, const dbk_table *table, int column, const dbk_cell *old,
                           const dbk_json_node *value, dbk_cell *out, dbk_error *err) DBK_MUST_USE;
/* first, max, min: whether `given` takes the place of `old`. */
bool dbk_field_wins(dbk_field_rule rule, const dbk_cell *old, const dbk_cell *given, const dbk_buffer *made);
dbk_slice dbk_cell_bytes(const dbk_cell *cell, const dbk_buffer *made);

/* What is recorded of a counter or set instead of its value; false: the value. */
static inline bool dbk_row_put_recorded(const dbk_row_work *work, const dbk_table *table, int column, dbk_buffer *out)
{
    if (!dbk_rules_decide(table) || !dbk_mask_has(&work->recorded, column)) return false;
    dbk_buffer_put_slice(out,
                         dbk_slice_of(work->made.data + work->recorded_at[column].at, work->recorded_at[column].size));
    return true;
}

/* ---- rows/make_key.c: appends to work->key */
dbk_result dbk_row_make_key(dbk_decision *change, dbk_error *err) DBK_MUST_USE;

/* ---- rows/ruled.c */
dbk_result dbk_row_ruled_put(dbk_decision *change, dbk_error *err) DBK_MUST_USE;
/* `row` stands on the row and is reset. */
dbk_result dbk_row_ruled_patch(dbk_decision *change, sqlite3_stmt *row, dbk_error *err) DBK_MUST_USE;

/* ---- rows/state.c */
dbk_result dbk_row_check_start(const dbk_decision *change, dbk_error *err) DBK_MUST_USE;
dbk_result dbk_row_check_moves(const dbk_decision *change, sqlite3_stmt *row, const dbk_mask *changed,
                               dbk_error *err) DBK_MUST_USE;
dbk_result dbk_row_sanitize(dbk_decision *change, dbk_error *err) DBK_MUST_USE;
/* The row as it will be: the cells of the mask, the rest of `row` (NULL: a new row). */
dbk_result dbk_row_check_size(dbk_decision *change, sqlite3_stmt *row, const dbk_mask *changed,
                              dbk_error *err) DBK_MUST_USE;

/* ---- rows/fact.c */
dbk_result dbk_row_ruled_fact(dbk_model *model, const dbk_event *event, const dbk_table *table, dbk_row_op op,
                              dbk_slice key, const dbk_json_node *data, dbk_error *err) DBK_MUST_USE;

/* ---- rows/surplus.c */
/* Deletes what is more than the last n of the tables that the entry touched. */
dbk_result dbk_row_drop_surplus(dbk_model *model, dbk_error *err) DBK_MUST_USE;

/* ---- rows/history.c: the row as it was deleted, empty: unknown (in work->gone) */
dbk_result dbk_row_gone(dbk_model *model, const dbk_table *table, dbk_slice key, dbk_error *err) DBK_MUST_USE;

#endif
