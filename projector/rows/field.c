/* Columns with a rule: how a change is recorded, and how a recorded change meets the value that stands
 * (semantics.md §4, F8). Counters and sets say what changes, so that changes of several devices add up;
 * max, min and first compete. */
#include "projector/rows/rules.h"

#include <stdlib.h>

dbk_slice dbk_cell_bytes(const dbk_cell *cell, const dbk_buffer *made)
{
    return dbk_slice_of(cell->made ? made->data + cell->offset : cell->data, cell->size);
}

static bool is_number_type(const dbk_table *table, int column)
{
    dbk_column_type type = table->columns[column].type;

    return type == DBK_TYPE_INTEGER || type == DBK_TYPE_REAL;
}

bool dbk_field_is_change(const dbk_table *table, int column, const dbk_json_node *value)
{
    return value->kind == DBK_JSON_OBJECT &&
           (is_number_type(table, column) || dbk_field_of(table, column) == DBK_FIELD_SET);
}

bool dbk_field_is_raw(const dbk_table *table, int column, const dbk_json_node *value)
{
    dbk_field_rule rule = dbk_field_of(table, column);

    return rule == DBK_FIELD_SET || (rule == DBK_FIELD_COUNTER && value->kind == DBK_JSON_OBJECT);
}

static dbk_result wrong(const dbk_table *table, int column, const char *expected, dbk_error *err)
{
    return dbk_fail(err, DBK_SCHEMA, "'%s.%s' takes %s", table->name, table->columns[column].name, expected);
}

static void keep_recorded(dbk_model *model, int column, size_t from)
{
    dbk_row_work *work = model->work;

    work->recorded_at[column].at = from;
    work->recorded_at[column].size = work->made.size - from;
    dbk_mask_add(&work->recorded, column);
}

/* ---- counters */

static double real_of(const dbk_cell *cell)
{
    return cell->type == SQLITE_FLOAT ? cell->real : cell->type == SQLITE_INTEGER ? (double)cell->integer : 0;
}

static int64_t integer_of(const dbk_cell *cell)
{
    return cell->type == SQLITE_INTEGER ? cell->integer : 0;
}

/* The n of {"+": n}, as the column counts. */
static dbk_result read_step(const dbk_table *table, int column, const dbk_json_node *value, dbk_cell *step,
                            dbk_error *err)
{
    const dbk_json_node *n = value->count == 1 ? dbk_json_member(value, "+") : NULL;
    bool real = table->columns[column].type == DBK_TYPE_REAL;

    *step = (dbk_cell){.type = real ? SQLITE_FLOAT : SQLITE_INTEGER};
    if (n && n->kind == DBK_JSON_NUMBER && real) {
        step->real = dbk_json_double(n);
        return DBK_OK;
    }
    if (n && n->kind == DBK_JSON_NUMBER && dbk_json_is_integer(n, &step->integer)) return DBK_OK;
    return wrong(table, column,
                 real ? "a number, or {\"+\": a number}" : "an integer of 64 bits, or {\"+\": an integer}", err);
}

static dbk_result add_step(const dbk_table *table, int column, const dbk_cell *old, const dbk_cell *step, dbk_cell *out,
                           dbk_error *err)
{
    *out = *step;
    if (step->type == SQLITE_FLOAT) {
        out->real = real_of(old) + step->real;
        return DBK_OK;
    }
    if (!__builtin_add_overflow(integer_of(old), step->integer, &out->integer)) return DBK_OK;
    return wrong(table, column, "no more: it has 64 bits", err);
}

static dbk_result change_counter(dbk_model *model, const dbk_table *table, int column, const dbk_cell *old,
                                 const dbk_json_node *value, const dbk_cell *given, dbk_cell *out, dbk_error *err)
{
    dbk_buffer *made = &model->work->made;
    size_t from = made->size;
    dbk_cell step = {.type = SQLITE_INTEGER};
    dbk_result result = DBK_OK;

    if (value) {
        dbk_json_put_canonical(made, value);
        result = read_step(table, column, value, &step, err);
    } else if (table->columns[column].type == DBK_TYPE_REAL) {
        step = (dbk_cell){.type = SQLITE_FLOAT, .real = real_of(given) - real_of(old)};
        dbk_buffer_put_text(made, "{\"+\":");
        dbk_json_put_double(made, step.real);
        dbk_buffer_put_u8(made, '}');
    } else {
        if (__builtin_sub_overflow(integer_of(given), integer_of(old), &step.integer))
            return wrong(table, column, "no step of more than 64 bits", err);
        dbk_buffer_put_text(made, "{\"+\":");
        dbk_json_put_i64(made, step.integer);
        dbk_buffer_put_u8(made, '}');
    }
    if (made->failed) return dbk_row_no_memory(err);
    if (result != DBK_OK) return result;
    keep_recorded(model, column, from);
    return add_step(table, column, old, &step, out, err);
}

/* ---- sets */

typedef struct member_list { /* in the model's arena, sorted, each once */
    const dbk_json_node **items;
    size_t count;
} member_list;

static int compare_members(const void *left, const void *right)
{
    const dbk_json_node *a = *(const dbk_json_node *const *)left, *b = *(const dbk_json_node *const *)right;

    if (a->kind != b->kind) return a->kind < b->kind ? -1 : 1;
    return dbk_slice_compare(a->text, b->text);
}

static bool is_member(const dbk_json_node *node)
{
    return node->kind == DBK_JSON_STRING || node->kind == DBK_JSON_NUMBER;
}

/* Adds the elements of an array (NULL, null: none); false: one of them is no text and no number. */
static bool take_members(member_list *list, const dbk_json_node *array)
{
    const dbk_json_node *item = array && array->kind == DBK_JSON_ARRAY ? dbk_json_child(array) : NULL;

    if (!array || array->kind == DBK_JSON_NULL) return true;
    if (array->kind != DBK_JSON_ARRAY) return false;
    for (uint32_t i = 0; i < array->count; i++, item = dbk_json_next(item)) {
        if (!is_member(item)) return false;
        list->items[list->count++] = item;
    }
    return true;
}

static void sort_members(member_list *list)
{
    size_t kept = 0;

    if (list->count) qsort((void *)list->items, list->count, sizeof(*list->items), compare_members);
    for (size_t i = 0; i < list->count; i++)
        if (kept == 0 || compare_members(&list->items[kept - 1], &list->items[i]) != 0)
            list->items[kept++] = list->items[i];
    list->count = kept;
}

static bool has_member(const member_list *list, const dbk_json_node *item)
{
    return list->count && bsearch(&item, (const void *)list->items, list->count, sizeof(*list->items), compare_members);
}

static bool list_new(dbk_model *model, size_t room, member_list *list)
{
    *list = (member_list){dbk_arena_take(model->arena, (room + 1) * sizeof(*list->items)), 0};
    return list->items != NULL;
}

static void put_members(dbk_buffer *out, const member_list *list, const member_list *without)
{
    bool first = true;

    dbk_buffer_put_u8(out, '[');
    for (size_t i = 0; i < list->count; i++) {
        if (without && has_member(without, list->items[i])) continue;
        if (!first) dbk_buffer_put_u8(out, ',');
        first = false;
        dbk_json_put_minimal(out, list->items[i]);
    }
    dbk_buffer_put_u8(out, ']');
}

/* The set that a cell holds; what is no set counts as none. */
static dbk_result parse_set(dbk_json_parser *parser, const dbk_cell *cell, const dbk_buffer *made,
                            const dbk_json_node **out, dbk_error *err)
{
    *out = NULL;
    if (cell->type != SQLITE_TEXT) return DBK_OK;
    dbk_result result = dbk_json_parse(parser, dbk_cell_bytes(cell, made), out, err);
    if (result != DBK_OK || (*out)->kind != DBK_JSON_ARRAY) *out = NULL;
    return result == DBK_NO_MEMORY ? result : DBK_OK;
}

static uint32_t count_of(const dbk_json_node *array)
{
    return array ? array->count : 0;
}

/* (old and added) without removed, into the cell. */
static dbk_result merge_set(dbk_model *model, const dbk_table *table, int column, const dbk_cell *old,
                            const dbk_json_node *change, dbk_cell *out, dbk_error *err)
{
    dbk_row_work *work = model->work;
    const dbk_json_node *add = dbk_json_member(change, "add"), *remove = dbk_json_member(change, "remove"), *before;
    uint32_t known = (add ? 1U : 0U) + (remove ? 1U : 0U);
    member_list all, without;
    dbk_result result = parse_set(work->old_value, old, &work->made, &before, err);

    if (result != DBK_OK) return result;
    if (!list_new(model, (size_t)count_of(before) + count_of(add), &all) ||
        !list_new(model, count_of(remove), &without))
        return dbk_row_no_memory(err);
    (void)take_members(&all, before);
    if (known != change->count || !take_members(&all, add) || !take_members(&without, remove))
        return wrong(table, column, "a list of texts and numbers, or {\"add\": […], \"remove\": […]}", err);
    sort_members(&all);
    sort_members(&without);
    size_t from = work->made.size;
    put_members(&work->made, &all, &without);
    if (work->made.failed) return dbk_row_no_memory(err);
    *out = dbk_cell_of_made(&work->made, from);
    return DBK_OK;
}

/* The whole set as what is added and removed. */
static dbk_result record_set(dbk_model *model, const dbk_table *table, int column, const dbk_cell *old,
                             const dbk_json_node *whole, dbk_cell *out, dbk_error *err)
{
    dbk_row_work *work = model->work;
    const dbk_json_node *before;
    member_list was, is;
    dbk_result result = parse_set(work->old_value, old, &work->made, &before, err);

    if (result != DBK_OK) return result;
    if (!list_new(model, count_of(before), &was) || !list_new(model, count_of(whole), &is))
        return dbk_row_no_memory(err);
    (void)take_members(&was, before);
    if (!take_members(&is, whole))
        return wrong(table, column, "a list of texts and numbers, or {\"add\": […], \"remove\": […]}", err);
    sort_members(&was);
    sort_members(&is);
    size_t from = work->made.size;
    dbk_buffer_put_text(&work->made, "{\"add\":");
    put_members(&work->made, &is, &was);
    dbk_buffer_put_text(&work->made, ",\"remove\":");
    put_members(&work->made, &was, &is);
    dbk_buffer_put_u8(&work->made, '}');
    keep_recorded(model, column, from);
    from = work->made.size;
    put_members(&work->made, &is, NULL);
    if (work->made.failed) return dbk_row_no_memory(err);
    *out = dbk_cell_of_made(&work->made, from);
    return DBK_OK;
}

static dbk_result change_set(dbk_model *model, const dbk_table *table, int column, const dbk_cell *old,
                             const dbk_json_node *value, const dbk_cell *given, dbk_cell *out, dbk_error *err)
{
    dbk_row_work *work = model->work;
    const dbk_json_node *whole = value;
    dbk_cell text = given ? *given : (dbk_cell){.type = SQLITE_NULL};
    dbk_result result;

    if (value && value->kind == DBK_JSON_OBJECT) {
        size_t from = work->made.size;
        dbk_json_put_canonical(&work->made, value);
        if (work->made.failed) return dbk_row_no_memory(err);
        keep_recorded(model, column, from);
        return merge_set(model, table, column, old, value, out, err);
    }
    if (value && value->kind == DBK_JSON_STRING) /* a TEXT column may be given what it gives */
        text = (dbk_cell){.type = SQLITE_TEXT, .data = value->text.data, .size = value->text.size};
    if (!value || value->kind == DBK_JSON_STRING) {
        result = parse_set(work->parser, &text, &work->made, &whole, err);
        if (result != DBK_OK) return result;
        if (!whole && text.type == SQLITE_TEXT) return wrong(table, column, "a list of texts and numbers", err);
    }
    return record_set(model, table, column, old, whole, out, err);
}

/* ---- all */

dbk_result dbk_field_change(dbk_model *model, const dbk_table *table, int column, const dbk_cell *old,
                            const dbk_json_node *value, const dbk_cell *given, dbk_cell *out, dbk_error *err)
{
    if (dbk_field_of(table, column) == DBK_FIELD_SET)
        return change_set(model, table, column, old, value, given, out, err);
    return change_counter(model, table, column, old, value, given, out, err);
}

/* Numbers below texts below bytes, as SQLite orders them. */
static int compare_cells(const dbk_cell *a, const dbk_cell *b, const dbk_buffer *made)
{
    bool a_number = a->type == SQLITE_INTEGER || a->type == SQLITE_FLOAT;
    bool b_number = b->type == SQLITE_INTEGER || b->type == SQLITE_FLOAT;

    if (a->type == SQLITE_INTEGER && b->type == SQLITE_INTEGER)
        return (a->integer > b->integer) - (a->integer < b->integer);
    if (a_number && b_number) return (real_of(a) > real_of(b)) - (real_of(a) < real_of(b));
    if (a_number != b_number) return a_number ? -1 : 1;
    if (a->type != b->type) return a->type == SQLITE_TEXT ? -1 : 1;
    return dbk_slice_compare(dbk_cell_bytes(a, made), dbk_cell_bytes(b, made));
}

bool dbk_field_wins(dbk_field_rule rule, const dbk_cell *old, const dbk_cell *given, const dbk_buffer *made)
{
    bool competes = rule == DBK_FIELD_FIRST || rule == DBK_FIELD_MAX || rule == DBK_FIELD_MIN;

    if (!competes || old->type == SQLITE_NULL) return true;
    if (rule == DBK_FIELD_FIRST || given->type == SQLITE_NULL) return false;
    int order = compare_cells(given, old, made);
    return rule == DBK_FIELD_MAX ? order > 0 : order < 0;
}

dbk_result dbk_field_merge(dbk_model *model, const dbk_table *table, int column, const dbk_cell *old,
                           const dbk_json_node *value, dbk_cell *out, dbk_error *err)
{
    dbk_field_rule rule = model->undo ? DBK_FIELD_LWW : dbk_field_of(table, column);
    dbk_cell step;
    dbk_result result;

    if (dbk_field_is_change(table, column, value)) {
        if (dbk_field_of(table, column) == DBK_FIELD_SET) return merge_set(model, table, column, old, value, out, err);
        result = read_step(table, column, value, &step, err);
        return result == DBK_OK ? add_step(table, column, old, &step, out, err) : result;
    }
    result = dbk_cell_of_json(&table->columns[column], table->name, value, &model->work->made, out, err);
    if (result == DBK_OK && !dbk_field_wins(rule, old, out, &model->work->made)) *out = *old;
    return result;
}
