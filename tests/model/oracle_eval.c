#include "tests/model/oracle.h"

#include <math.h>
#include <stdlib.h>
#include <strings.h>

static o_value of_row(const o_scope *scope, const o_row *row, const char *name)
{
    if (!row) o_die("SQL: column '%s' of no row", name);
    int column = o_column_of(&scope->state->definition->tables[scope->table], name);
    if (column < 0) o_die("SQL: no column '%s'", name);
    return row->values[column];
}

static o_value parameter(const o_scope *scope, const char *name)
{
    for (int i = scope->field_count - 1; i >= 0; i--)
        if (scope->fields[i].name == name) return scope->fields[i].value;
    if (strcmp(name, "time") == 0) return o_string(o_stamp_text(scope->state->time_ms));
    return (o_value){0};
}

static o_value truth(int answer)
{
    return answer < 0 ? (o_value){0} : o_integer(answer);
}

static o_value compared(o_op op, o_value a, o_value b)
{
    if (a.kind == O_NULL || b.kind == O_NULL) return (o_value){0};
    int order = o_compare(a, b);
    switch (op) {
    case O_EQUAL: return truth(order == 0);
    case O_UNEQUAL: return truth(order != 0);
    case O_LESS: return truth(order < 0);
    case O_LESS_EQUAL: return truth(order <= 0);
    case O_MORE: return truth(order > 0);
    default: return truth(order >= 0);
    }
}

static o_value calculated(o_op op, o_value a, o_value b)
{
    if (a.kind == O_NULL || b.kind == O_NULL) return (o_value){0};
    if (a.kind == O_INTEGER && b.kind == O_INTEGER)
        return o_integer(op == O_ADD        ? a.integer + b.integer
                         : op == O_SUBTRACT ? a.integer - b.integer
                                            : a.integer * b.integer);
    double x = a.kind == O_REAL ? a.real : (double)a.integer, y = b.kind == O_REAL ? b.real : (double)b.integer;
    return (o_value){.kind = O_REAL, .real = op == O_ADD ? x + y : op == O_SUBTRACT ? x - y : x * y};
}

static const char *as_text(o_value value)
{
    dbk_buffer text;
    if (value.kind == O_TEXT) return value.text;
    dbk_buffer_init(&text, dbk_port_system());
    o_json_put(&text, value);
    const char *out = o_intern(dbk_buffer_slice(&text));
    dbk_buffer_release(&text);
    return out;
}

static o_value called(const o_scope *scope, const o_expr *expr)
{
    o_value first = expr->count ? o_eval(scope, expr->items[0]) : (o_value){0};
    if (strcasecmp(expr->name, "coalesce") == 0) {
        for (int i = 1; first.kind == O_NULL && i < expr->count; i++) first = o_eval(scope, expr->items[i]);
        return first;
    }
    if (strcasecmp(expr->name, "length") != 0) o_die("SQL: a function '%s'", expr->name);
    if (first.kind == O_NULL) return first;
    int64_t length = 0;
    for (const char *at = as_text(first); *at; at++) length += ((unsigned char)*at & 0xc0) != 0x80;
    return o_integer(length);
}

static o_value either(const o_scope *scope, const o_expr *expr)
{
    bool seeks = expr->op == O_OR;
    o_value a = o_eval(scope, expr->left), b = o_eval(scope, expr->right);
    if ((a.kind != O_NULL && o_true(a) == seeks) || (b.kind != O_NULL && o_true(b) == seeks)) return o_integer(seeks);
    return a.kind == O_NULL || b.kind == O_NULL ? (o_value){0} : o_integer(!seeks);
}

static o_value among(const o_scope *scope, const o_expr *expr)
{
    o_value value = o_eval(scope, expr->left);
    bool unknown = value.kind == O_NULL;
    for (int i = 0; i < expr->count && !unknown; i++) {
        o_value item = o_eval(scope, expr->items[i]);
        if (item.kind == O_NULL) unknown = true;
        else if (o_compare(value, item) == 0) return o_integer(1);
    }
    return unknown ? (o_value){0} : o_integer(0);
}

o_value o_eval(const o_scope *scope, const o_expr *expr)
{
    o_value a, b;
    switch (expr->op) {
    case O_LITERAL: return expr->literal;
    case O_COLUMN: return of_row(scope, scope->row, expr->name);
    case O_EXCLUDED: return of_row(scope, scope->excluded, expr->name);
    case O_PARAMETER: return parameter(scope, expr->name);
    case O_NOW: return o_string(o_time_text(scope->state->time_ms));
    case O_CALL: return called(scope, expr);
    case O_AND:
    case O_OR: return either(scope, expr);
    case O_NOT: a = o_eval(scope, expr->left); return a.kind == O_NULL ? a : o_integer(!o_true(a));
    case O_IS_NULL: return o_integer(o_eval(scope, expr->left).kind == O_NULL);
    case O_NOT_NULL: return o_integer(o_eval(scope, expr->left).kind != O_NULL);
    case O_IN: return among(scope, expr);
    case O_ADD:
    case O_SUBTRACT:
    case O_TIMES: return calculated(expr->op, o_eval(scope, expr->left), o_eval(scope, expr->right));
    case O_JOIN_TEXT:
        a = o_eval(scope, expr->left), b = o_eval(scope, expr->right);
        if (a.kind == O_NULL || b.kind == O_NULL) return (o_value){0};
        return o_string(o_format("%s%s", as_text(a), as_text(b)));
    default: return compared(expr->op, o_eval(scope, expr->left), o_eval(scope, expr->right));
    }
}

bool o_check(const o_state *state, int table, const o_row *row)
{
    const o_table *t = &state->definition->tables[table];
    o_scope scope = {.state = state, .table = table, .row = row};
    for (int i = 0; i < t->check_count; i++) {
        o_value value = o_eval(&scope, t->checks[i]);
        if (value.kind != O_NULL && !o_true(value)) return false;
    }
    return true;
}

/* ---- statements */

static int table_of(const o_state *state, const o_sql *sql)
{
    int table = o_table_of(state->definition, sql->table);
    if (table < 0) o_die("SQL: no table '%s'", sql->table);
    return table;
}

static void set_values(const o_scope *scope, o_row *row, const char *const *columns, o_expr *const *values, int count)
{
    const o_table *t = &scope->state->definition->tables[scope->table];
    for (int i = 0; i < count; i++) {
        int column = o_column_of(t, columns[i]);
        row->values[column] = o_fit(&t->columns[column], o_eval(scope, values[i]));
    }
}

static o_row *row_of_insert(const o_scope *scope, const o_sql *sql)
{
    const o_table *t = &scope->state->definition->tables[scope->table];
    o_row *row = o_take(sizeof *row);
    for (int i = 0; i < t->column_count; i++)
        row->values[i] = t->columns[i].default_now ? o_string(o_time_text(scope->state->time_ms)) : t->columns[i].start;
    for (int i = 0; i < sql->count; i++) {
        int column = sql->columns[i] ? o_column_of(t, sql->columns[i]) : i;
        row->values[column] = o_fit(&t->columns[column], o_eval(scope, sql->values[i]));
    }
    row->key = o_key_of(t, row->values);
    return row;
}

/* OR IGNORE passes over a row that meets NOT NULL, CHECK or UNIQUE; a foreign key stops it all the same. ON CONFLICT
 * is about keys only: what is to be inserted has to fit also where the row is there and another value is set. */
static int run_insert(o_state *state, const o_sql *sql, o_scope *scope)
{
    o_row *row = row_of_insert(scope, sql);
    const o_row *there = row->key ? o_row_find(state, scope->table, row->key) : NULL;
    if (there && (sql->nothing || sql->set_count) && !o_row_fits(state, scope->table, row)) return -1;
    if (there && sql->nothing) return 0;
    if (there && sql->set_count) {
        o_row *changed = o_take(sizeof *changed);
        *changed = *there;
        scope->row = there;
        scope->excluded = row;
        set_values(scope, changed, sql->set_columns, sql->set_values, sql->set_count);
        return o_row_update(state, scope->table, changed) ? 1 : -1;
    }
    if (row->key && o_row_insert(state, scope->table, row)) return 1;
    return sql->ignore ? 0 : -1;
}

static int run_on_rows(o_state *state, const o_sql *sql, o_scope *scope)
{
    const o_row *rows[O_ROWS];
    int count = state->core.row_count[scope->table], changed = 0;
    memcpy(rows, state->core.rows[scope->table], sizeof *rows * (size_t)count);
    for (int i = 0; i < count; i++) {
        scope->row = o_row_find(state, scope->table, rows[i]->key); /* NULL: gone by a cascade since */
        if (!scope->row || (sql->where && !o_true(o_eval(scope, sql->where)))) continue;
        changed++;
        if (sql->verb == O_DELETE) {
            if (!o_row_delete(state, scope->table, scope->row->key)) return -1;
            continue;
        }
        o_row *row = o_take(sizeof *row);
        *row = *scope->row;
        set_values(scope, row, sql->columns, sql->values, sql->count);
        if (!o_row_update(state, scope->table, row)) return -1;
    }
    return changed;
}

int o_run(o_state *state, const o_sql *sql, const o_field *fields, int field_count)
{
    o_scope scope = {.state = state, .fields = fields, .field_count = field_count, .table = table_of(state, sql)};
    int changed = sql->verb == O_INSERT ? run_insert(state, sql, &scope) : run_on_rows(state, sql, &scope);
    return changed >= 0 && !o_statement_end(state) ? -1 : changed;
}

/* ---- SELECT */

static const o_state *sorted_in;
static const o_sql *sorted_by;

static int by_order(const void *a, const void *b)
{
    const o_row *const *x = a, *const *y = b;
    int table = table_of(sorted_in, sorted_by);
    int column = o_column_of(&sorted_in->definition->tables[table], sorted_by->order);
    int order = o_compare((*x)->values[column], (*y)->values[column]);
    return sorted_by->descending ? -order : order;
}

static bool is_aggregate(const o_expr *expr)
{
    static const char *const names[] = {"count", "max", "min", "sum"};
    if (!expr) return false;
    for (size_t i = 0; expr->op == O_CALL && i < 4; i++)
        if (strcasecmp(expr->name, names[i]) == 0) return true;
    bool inside = is_aggregate(expr->left) || is_aggregate(expr->right);
    for (int i = 0; i < expr->count; i++) inside = inside || is_aggregate(expr->items[i]);
    return inside;
}

/* The expression with every aggregate in it replaced by its value over the rows. */
static o_expr *totalled(o_scope *scope, const o_expr *expr, const o_row *const *rows, int count)
{
    o_expr *out = o_take(sizeof *out);
    *out = *expr;
    if (expr->op != O_CALL || strcasecmp(expr->name, "coalesce") == 0 || strcasecmp(expr->name, "length") == 0) {
        if (expr->left) out->left = totalled(scope, expr->left, rows, count);
        if (expr->right) out->right = totalled(scope, expr->right, rows, count);
        for (int i = 0; i < expr->count; i++) out->items[i] = totalled(scope, expr->items[i], rows, count);
        return out;
    }
    out->op = O_LITERAL;
    out->literal = strcasecmp(expr->name, "count") == 0 ? o_integer(count) : (o_value){0};
    for (int i = 0; i < count && expr->count; i++) {
        scope->row = rows[i];
        o_value value = o_eval(scope, expr->items[0]);
        if (value.kind == O_NULL) continue;
        int order = out->literal.kind == O_NULL ? 0 : o_compare(value, out->literal);
        if (out->literal.kind == O_NULL || (strcasecmp(expr->name, "max") == 0 ? order > 0 : order < 0))
            out->literal = value;
    }
    return out;
}

int o_select(const o_state *state, const o_sql *sql, const o_field *fields, int field_count, o_value *out, int limit)
{
    const o_row *rows[O_ROWS];
    int count = 0, given = 0;
    o_scope scope = {
        .state = state, .fields = fields, .field_count = field_count, .table = sql->table ? table_of(state, sql) : -1};
    for (int i = 0; sql->table && i < state->core.row_count[scope.table]; i++) {
        scope.row = state->core.rows[scope.table][i];
        if (!sql->where || o_true(o_eval(&scope, sql->where))) rows[count++] = scope.row;
    }
    bool total = sql->table && is_aggregate(sql->values[0]);
    if (sql->order) {
        sorted_in = state, sorted_by = sql;
        qsort(rows, (size_t)count, sizeof *rows, by_order);
    }
    bool once = total || (!sql->table && (!sql->where || o_true(o_eval(&scope, sql->where))));
    int wanted = once ? 1 : sql->table ? count : 0;
    if (sql->limit >= 0 && wanted > sql->limit) wanted = (int)sql->limit;
    for (; given < wanted && given < limit; given++) {
        for (int k = 0; k < sql->count; k++) {
            const o_expr *expr = total ? totalled(&scope, sql->values[k], rows, count) : sql->values[k];
            scope.row = total || !sql->table ? NULL : rows[given];
            out[given * sql->count + k] = o_eval(&scope, expr);
        }
    }
    return given;
}
