/* What goes by itself: rules of time, and the last n rows of a table (semantics.md §5, docs/definition.md). */
#include "tests/model/oracle.h"

#include <stdlib.h>

static const int64_t MINUTE_MS = 60000, DAY_MS = 86400000;

/* ---- the last n */

static const o_table *sorted_table;

static int newest_first(const void *a, const void *b)
{
    const o_row *x = *(const o_row *const *)a, *y = *(const o_row *const *)b;
    int order = o_compare(y->values[sorted_table->keep_by], x->values[sorted_table->keep_by]);
    for (int i = 0; i < sorted_table->key_count && !order; i++)
        order = o_compare(y->values[sorted_table->keys[i]], x->values[sorted_table->keys[i]]);
    return order;
}

static bool drop_beyond(o_state *state, int table, const o_row *row)
{
    const o_table *t = &state->definition->tables[table];
    const o_row *rows[O_ROWS];
    int count = 0;
    for (int i = 0; i < state->core.row_count[table]; i++) {
        const o_row *one = state->core.rows[table][i];
        if (t->keep_per >= 0 && o_compare(one->values[t->keep_per], row->values[t->keep_per]) != 0) continue;
        rows[count++] = one;
    }
    sorted_table = t;
    qsort(rows, (size_t)count, sizeof *rows, newest_first);
    for (int i = t->keep_last; i < count; i++)
        if (!o_row_delete(state, table, rows[i]->key) || !o_statement_end(state)) return false;
    return true;
}

bool o_drop_surplus(o_state *state)
{
    for (int i = 0; i < state->touched_count; i++) { /* what goes may touch more */
        int table = state->touched[i].table;
        const o_row *row = o_row_find(state, table, state->touched[i].key);
        if (row && state->definition->tables[table].keep_last && !drop_beyond(state, table, row)) return false;
    }
    return true;
}

/* ---- rules of time */

/* They rest after the clock jumped, and while it is behind what the log knows. */
static bool is_steady(o_clock *clock, const o_replica *replica, int64_t wall_ms, int64_t mono_ms)
{
    int64_t drift = clock->begun ? (wall_ms - clock->wall_ms) - (mono_ms - clock->mono_ms) : 0;
    clock->wall_ms = wall_ms;
    clock->mono_ms = mono_ms;
    clock->begun = true;
    if (drift > MINUTE_MS) clock->rest_until_ms = mono_ms + (drift > 3 * DAY_MS ? DAY_MS : 10 * MINUTE_MS);
    if (drift < -MINUTE_MS) clock->rest_until_ms = mono_ms + DAY_MS;
    return mono_ms >= clock->rest_until_ms && wall_ms >= (int64_t)(replica->hlc >> 16) - MINUTE_MS;
}

unsigned o_due_rules(o_clock *clock, const o_replica *replica, int64_t wall_ms, int64_t mono_ms)
{
    const o_definition *definition = replica->definition;
    unsigned due = 0;
    for (int i = 0; i < definition->time_count && clock->definition != definition; i++) {
        int64_t every_ms = definition->times[i].every_ms;
        clock->next_ms[i] = mono_ms + (every_ms < MINUTE_MS ? every_ms : MINUTE_MS);
    }
    clock->definition = definition;
    if (!is_steady(clock, replica, wall_ms, mono_ms)) return 0;
    for (int i = 0; i < definition->time_count; i++) {
        if (mono_ms < clock->next_ms[i]) continue;
        clock->next_ms[i] = mono_ms + definition->times[i].every_ms;
        due |= 1u << i;
    }
    return due;
}

int o_due_rows(const o_replica *replica, const o_time_rule *rule, int64_t now_ms, const char **keys, int limit)
{
    const o_core *core = &replica->state->core;
    o_value end = o_string(o_stamp_text(now_ms - rule->older_ms));
    int count = 0;
    for (int i = 0; i < core->row_count[rule->table]; i++) {
        const o_row *row = core->rows[rule->table][i];
        o_scope scope = {.state = replica->state, .table = rule->table, .row = row};
        bool due = rule->by < 0 ? o_true(o_eval(&scope, rule->where))
                                : row->values[rule->by].kind == O_TEXT && o_compare(row->values[rule->by], end) <= 0;
        if (due && count == limit) o_die("too many rows are due");
        if (due) keys[count++] = row->key;
    }
    return count;
}
