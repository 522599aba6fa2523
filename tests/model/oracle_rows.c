#include "tests/model/oracle.h"

#include <stdlib.h>

void o_state_init(o_state *state, const o_definition *definition)
{
    memset(state, 0, sizeof *state);
    state->definition = definition;
}

const o_row *o_row_find(const o_state *state, int table, const char *key)
{
    for (int i = 0; i < state->core.row_count[table]; i++)
        if (state->core.rows[table][i]->key == key) return state->core.rows[table][i];
    return NULL;
}

const o_record *o_record_find(const o_state *state, int table, const char *key)
{
    for (int i = 0; i < state->core.record_count; i++) {
        const o_record *record = state->core.records[i];
        if (record->key == key && record->table == table) return record;
    }
    return NULL;
}

/* ---- keys and values */

const char *o_key_of(const o_table *table, const o_value *values)
{
    dbk_buffer key;
    const char *out = NULL;
    dbk_buffer_init(&key, dbk_port_system());
    for (int i = 0; i < table->key_count; i++) {
        o_value part = values[table->keys[i]];
        if (part.kind == O_NULL) goto done;
        if (i) dbk_buffer_put_u8(&key, '/');
        if (part.kind == O_INTEGER) dbk_json_put_i64(&key, part.integer);
        for (const char *at = part.kind == O_TEXT ? part.text : ""; *at; at++) {
            if (*at == '/' || *at == '%') dbk_buffer_printf(&key, "%%%02X", *at);
            else dbk_buffer_put_u8(&key, (uint8_t)*at);
        }
    }
    out = o_intern(dbk_buffer_slice(&key));
done:
    dbk_buffer_release(&key);
    return out;
}

static const char *decoded(const char *at, size_t size)
{
    char text[600];
    size_t used = 0;
    if (size >= sizeof text) o_die("a key is too long");
    for (size_t i = 0; i < size; i++) {
        bool escaped = at[i] == '%' && i + 2 < size + 0 + 1;
        char hex[3] = {escaped ? at[i + 1] : '0', escaped ? at[i + 2] : '0', 0};
        text[used++] = escaped ? (char)strtol(hex, NULL, 16) : at[i];
        if (escaped) i += 2;
    }
    return o_intern(dbk_slice_of(text, used));
}

bool o_key_values(const o_table *table, const char *key, o_value *values)
{
    for (int i = 0; i < table->key_count; i++) {
        size_t size = strcspn(key, "/");
        const char *text = decoded(key, size);
        values[table->keys[i]] = table->columns[table->keys[i]].type == O_IS_INTEGER
                                     ? o_integer(strtoll(text, NULL, 10))
                                     : (o_value){.kind = O_TEXT, .text = text};
        key += size;
        if (*key == '/') key++;
        else if (i + 1 < table->key_count) return false;
    }
    return !*key;
}

o_value o_fit(const o_column *column, o_value value)
{
    bool numeric = column->type == O_IS_INTEGER || column->type == O_IS_BOOLEAN;
    /* The affinity of a column of JSON is NUMERIC: a number alone is kept as one (docs/decisions/0005). */
    if (column->type == O_IS_JSON && value.kind == O_TEXT && *value.text &&
        strspn(value.text, "0123456789") == strlen(value.text))
        return o_integer(strtoll(value.text, NULL, 10));
    if (column->type == O_IS_JSON && value.kind == O_TEXT && *value.text &&
        strspn(value.text, "0123456789.") == strlen(value.text))
        return (o_value){.kind = O_REAL, .real = strtod(value.text, NULL)};
    if (value.kind == O_INTEGER && column->type == O_IS_REAL)
        return (o_value){.kind = O_REAL, .real = (double)value.integer};
    if (value.kind == O_INTEGER && column->type == O_IS_TEXT)
        return o_string(o_format("%lld", (long long)value.integer));
    if (value.kind == O_REAL && numeric && value.real >= -1e15 && value.real <= 1e15 &&
        !((double)(int64_t)value.real < value.real) && !((double)(int64_t)value.real > value.real))
        return o_integer((int64_t)value.real);
    return value;
}

/* ---- what the entry in work touches */

o_touched *o_touch(o_state *state, int table, const char *key)
{
    for (int i = 0; i < state->touched_count; i++)
        if (state->touched[i].key == key && state->touched[i].table == table) return &state->touched[i];
    if (state->touched_count == O_TOUCHED) o_die("an entry touches too many rows");
    o_touched *touched = &state->touched[state->touched_count++];
    *touched = (o_touched){.table = table, .key = key, .before = o_row_find(state, table, key)};
    touched->now = touched->before;
    return touched;
}

static void set_row(o_state *state, int table, const char *key, const o_row *row)
{
    o_core *core = &state->core;
    o_touched *touched = o_touch(state, table, key);
    int at = 0, count = core->row_count[table];
    while (at < count && core->rows[table][at]->key != key) at++;
    if (at < count) touched->gone = core->rows[table][at];
    touched->now = row;
    touched->changed = true;
    if (row) {
        if (at == O_ROWS) o_die("too many rows");
        core->rows[table][at] = row;
        if (at == count) core->row_count[table]++;
    } else if (at < count) {
        core->rows[table][at] = core->rows[table][--core->row_count[table]];
    }
}

/* ---- constraints */

static bool clashes(const o_state *state, int table, const o_unique *unique, const o_row *row)
{
    for (int i = 0; i < state->core.row_count[table]; i++) {
        const o_row *other = state->core.rows[table][i];
        int same = 0;
        if (other->key == row->key) continue;
        for (; same < unique->count; same++) {
            o_value a = row->values[unique->columns[same]], b = other->values[unique->columns[same]];
            if (a.kind == O_NULL || b.kind == O_NULL || o_compare(a, b) != 0) break;
        }
        if (same == unique->count) return true;
    }
    return false;
}

bool o_row_fits(const o_state *state, int table, const o_row *row)
{
    const o_table *t = &state->definition->tables[table];
    for (int i = 0; i < t->column_count; i++)
        if (t->columns[i].not_null && row->values[i].kind == O_NULL) return false;
    return o_check(state, table, row);
}

static bool row_holds(o_state *state, int table, const o_row *row)
{
    const o_table *t = &state->definition->tables[table];
    state->taken = NULL;
    if (!o_row_fits(state, table, row)) return false;
    for (int i = 0; i < t->unique_count; i++) {
        if (!clashes(state, table, &t->uniques[i], row)) continue;
        if (t->uniques[i].count == 1) state->taken = t->columns[t->uniques[i].columns[0]].name;
        return false;
    }
    return true;
}

bool o_row_insert(o_state *state, int table, const o_row *row)
{
    if (o_row_find(state, table, row->key) || !row_holds(state, table, row)) return false;
    set_row(state, table, row->key, row);
    return true;
}

bool o_row_update(o_state *state, int table, const o_row *row)
{
    if (!row_holds(state, table, row)) return false;
    set_row(state, table, row->key, row);
    return true;
}

static bool act(o_state *state, int table, const o_foreign *foreign, o_value parent)
{
    const o_row *rows[O_ROWS];
    int count = state->core.row_count[table];
    memcpy(rows, state->core.rows[table], sizeof *rows * (size_t)count);
    for (int i = 0; i < count && foreign->action != O_NO_ACTION; i++) {
        const o_row *child = o_row_find(state, table, rows[i]->key); /* NULL: gone since */
        if (!child || child->values[foreign->column].kind == O_NULL) continue;
        if (o_compare(child->values[foreign->column], parent) != 0) continue;
        if (foreign->action == O_CASCADE) {
            if (!o_row_delete(state, table, child->key)) return false;
            continue;
        }
        o_row *row = o_take(sizeof *row);
        *row = *child;
        row->values[foreign->column] = (o_value){0};
        if (!o_row_update(state, table, row)) return false;
    }
    return true;
}

bool o_row_delete(o_state *state, int table, const char *key)
{
    const o_definition *definition = state->definition;
    const o_table *t = &definition->tables[table];
    const o_row *row = o_row_find(state, table, key);
    if (!row) return true;
    set_row(state, table, key, NULL);
    for (int i = 0; i < definition->table_count; i++)
        for (int k = 0; k < definition->tables[i].foreign_count; k++)
            if (definition->tables[i].foreigns[k].parent == t->name &&
                !act(state, i, &definition->tables[i].foreigns[k], row->values[t->keys[0]]))
                return false;
    return true;
}

static bool has_parent(const o_state *state, const o_foreign *foreign, o_value value)
{
    int parent = o_table_of(state->definition, foreign->parent);
    if (value.kind == O_NULL) return true;
    if (parent < 0) o_die("a foreign key to no table");
    int key = state->definition->tables[parent].keys[0];
    for (int i = 0; i < state->core.row_count[parent]; i++)
        if (o_compare(state->core.rows[parent][i]->values[key], value) == 0) return true;
    return false;
}

static bool keys_hold(const o_state *state, bool deferred)
{
    for (int table = 0; table < state->definition->table_count; table++) {
        const o_table *t = &state->definition->tables[table];
        for (int k = 0; k < t->foreign_count; k++) {
            if (t->foreigns[k].deferred != deferred) continue;
            for (int i = 0; i < state->core.row_count[table]; i++)
                if (!has_parent(state, &t->foreigns[k], state->core.rows[table][i]->values[t->foreigns[k].column]))
                    return false;
        }
    }
    return true;
}

bool o_statement_end(const o_state *state)
{
    return keys_hold(state, false);
}

bool o_deferred_hold(const o_state *state)
{
    return !state->definition->has_deferred || keys_hold(state, true);
}
