#include "tests/model/oracle.h"

#include <stdlib.h>

/* ---- rules of columns */

o_value o_change(o_rule rule, o_value before, o_value after)
{
    if (after.kind == O_PLUS || after.kind == O_CHANGE) return after;
    if (rule == O_COUNTER && after.kind != O_REAL && after.kind != O_TEXT)
        return (o_value){.kind = O_PLUS, .integer = after.integer - before.integer};
    if (rule == O_SET) {
        const char *old = before.text ? before.text : o_text("[]"), *new = after.text ? after.text : o_text("[]");
        return (o_value){.kind = O_CHANGE, .text = o_set_minus(new, old), .lost = o_set_minus(old, new)};
    }
    return after;
}

o_value o_merge(o_rule rule, o_value before, o_value recorded)
{
    if (recorded.kind == O_PLUS) return o_integer(before.integer + recorded.integer);
    if (recorded.kind == O_CHANGE) {
        const char *old = before.text ? before.text : o_text("[]");
        return (o_value){.kind = O_TEXT, .text = o_set_minus(o_set_plus(old, recorded.text), recorded.lost)};
    }
    if (before.kind == O_NULL) return recorded;
    if (rule == O_FIRST) return before;
    if (rule == O_MAX || rule == O_MIN) {
        if (recorded.kind == O_NULL) return before;
        int order = o_compare(recorded, before);
        return (rule == O_MAX ? order > 0 : order < 0) ? recorded : before;
    }
    return recorded;
}

/* ---- one event of a collection */

typedef struct work { /* an event on a row */
    o_state *state;
    const o_event *event;
    o_context *context;
    int table;
    const o_table *t;
    const o_row *row; /* NULL: none */
    o_value values[O_COLUMNS];
    bool given[O_COLUMNS];
} work;

const o_entry *o_last_writer(const o_state *state, int table, const char *key, const o_entry *entry)
{
    for (int i = 0; i < state->touched_count; i++)
        if (state->touched[i].changed && state->touched[i].key == key && state->touched[i].table == table) return entry;
    const o_record *record = o_record_find(state, table, key);
    return record ? record->last : NULL;
}

static bool is_filled(const o_event *event, const char *column)
{
    for (int i = 0; i < event->filled_count; i++)
        if (event->filled[i] == column) return true;
    return false;
}

static o_result superseded(work *w, const o_entry *against)
{
    w->context->against = against;
    return O_SUPERSEDED;
}

static o_rule rule_at(const work *w, int column)
{
    return w->context->entry->undo ? O_LWW : w->t->columns[column].rule;
}

static void take_values(work *w, const o_row *before)
{
    for (int i = 0; i < w->event->field_count; i++) {
        int column = o_column_of(w->t, w->event->fields[i].name);
        if (column < 0 || (w->row && is_filled(w->event, w->event->fields[i].name))) continue;
        o_value old = before ? before->values[column] : (o_value){0};
        w->given[column] = true;
        w->values[column] =
            before ? o_merge(rule_at(w, column), old, w->event->fields[i].value) : w->event->fields[i].value;
    }
}

static bool next_suffix(work *w, o_row *row)
{
    int column = w->state->taken ? o_column_of(w->t, w->state->taken) : -1;
    if (w->context->deciding || !w->t->suffix || column < 0 || row->values[column].kind != O_TEXT) return false;
    const char *text = row->values[column].text, *tilde = strrchr(text, '~');
    bool counted = tilde && tilde > text && tilde[1] && strspn(tilde + 1, "0123456789") == strlen(tilde + 1);
    row->values[column] = o_string(counted ? o_format("%.*s~%d", (int)(tilde - text), text, atoi(tilde + 1) + 1)
                                           : o_format("%s~2", text));
    return true;
}

static void note_skip(o_state *state, const o_entry *entry, const char *name, const o_entry *against)
{
    o_core *core = &state->core;
    int at = 0;
    while (at < core->skip_count && state->skips[at].entry != entry) at++;
    if (at == O_ENTRIES) o_die("too many skips");
    state->skips[at] = (o_skip){entry, against, name};
    if (at == core->skip_count) core->skip_count++;
}

static bool changes_columns(const work *w)
{
    bool any = false;
    for (int i = 0; i < w->t->column_count; i++) {
        bool is_key = false;
        for (int k = 0; k < w->t->key_count; k++) is_key = is_key || w->t->keys[k] == i;
        any = any || (w->given[i] && !is_key);
    }
    return any;
}

/* INSERT … ON CONFLICT DO UPDATE of the columns given. */
static o_result upsert(work *w)
{
    o_row *row = o_take(sizeof *row);
    row->key = w->event->key;
    for (int i = 0; i < w->t->column_count; i++) {
        const o_column *column = &w->t->columns[i];
        row->values[i] = w->row                ? w->row->values[i]
                         : column->default_now ? o_string(o_time_text(w->state->time_ms))
                                               : column->start;
        if (w->given[i]) row->values[i] = o_fit(column, o_merge(O_LWW, (o_value){0}, w->values[i]));
    }
    if (!o_key_values(w->t, row->key, row->values)) return O_CONSTRAINT;
    if (w->row && !changes_columns(w)) return O_DONE;
    while (!(w->row ? o_row_update(w->state, w->table, row) : o_row_insert(w->state, w->table, row))) {
        if (!next_suffix(w, row)) return O_CONSTRAINT;
        note_skip(w->state, w->context->entry, "suffixed", NULL);
    }
    return o_statement_end(w->state) ? O_DONE : O_CONSTRAINT;
}

static void note_named(work *w)
{
    o_touched *touched = o_touch(w->state, w->table, w->event->key);
    for (int i = 0; i < w->t->column_count; i++) {
        if (!w->given[i]) continue;
        bool counts = !w->row || rule_at(w, i) == O_LWW || !o_same(w->values[i], w->row->values[i]);
        touched->named[i] = touched->named[i] || counts;
    }
}

static o_result delete_row(work *w, const o_entry *last, bool current)
{
    if (!w->row) return superseded(w, last);
    if (w->t->edit_wins && !current && !w->context->deciding) return superseded(w, last);
    if (!o_row_delete(w->state, w->table, w->event->key) || !o_statement_end(w->state)) return O_CONSTRAINT;
    return O_DONE;
}

static o_result collection(o_state *state, int table, const o_event *event, o_context *context)
{
    work w = {
        .state = state, .event = event, .context = context, .table = table, .t = &state->definition->tables[table]};
    const o_record *record = o_record_find(state, table, event->key);
    const o_entry *last = o_last_writer(state, table, event->key, context->entry);
    w.row = o_row_find(state, table, event->key);
    bool current = event->base == (w.row ? last : NULL);
    if (w.t->guard && !current) return superseded(&w, last);
    if (event->kind == O_DELETED) return delete_row(&w, last, current);
    if (event->kind == O_PATCHED && !w.row) {
        if (!w.t->edit_wins || !record || !record->gone) return superseded(&w, last);
        for (int i = 0; i < w.t->column_count; i++) w.given[i] = true;
        memcpy(w.values, record->gone->values, sizeof w.values);
        take_values(&w, record->gone);
    } else {
        take_values(&w, w.row);
    }
    o_result result = upsert(&w);
    if (result == O_DONE) note_named(&w);
    return result;
}

/* ---- events of the app */

static const o_upcast *upcast_of(const o_definition *definition, const char *type, int from)
{
    for (int i = 0; i < definition->upcast_count; i++)
        if (definition->upcasts[i].type == type && definition->upcasts[i].from == from) return &definition->upcasts[i];
    return NULL;
}

/* A step that is missing changes nothing. */
o_event o_upcast_event(const o_definition *definition, const o_event *event)
{
    o_event now = *event;
    for (int at = event->version; at < definition->version; at++) {
        const o_upcast *step = upcast_of(definition, event->type, at);
        if (!step) continue;
        o_field *fields = o_take(sizeof *fields * (size_t)(event->field_count ? event->field_count : 1));
        memcpy(fields, now.fields, sizeof *fields * (size_t)event->field_count);
        for (int i = 0; i < event->field_count; i++)
            if (fields[i].name == step->member && fields[i].value.kind == O_INTEGER)
                fields[i].value.integer += step->add;
        now.fields = fields;
    }
    now.version = definition->version;
    return now;
}

/* What a patch or delete does not hold in its data: the columns of its key. */
static int offer_key(const o_definition *definition, const o_event *event, o_field *fields)
{
    const o_definition *of = definition->whole ? definition->whole : definition;
    o_value values[O_COLUMNS];
    int at = event->kind == O_PATCHED || event->kind == O_DELETED ? o_table_of(of, event->table) : -1, count = 0;
    if (at < 0 || !o_key_values(&of->tables[at], event->key, values)) return 0;
    for (const o_table *t = &of->tables[at]; count < t->key_count; count++)
        fields[count] = (o_field){t->columns[t->keys[count]].name, values[t->keys[count]]};
    return count;
}

static o_result run_projection(o_state *state, const o_projection *projection, const o_event *event)
{
    o_field fields[2 * O_COLUMNS + 2];
    int count = offer_key(state->definition, event, fields);
    fields[count++] = (o_field){o_text("stream"), o_string(event->stream)};
    fields[count++] = (o_field){o_text("type"), o_string(event->type)};
    for (int i = 0; i < event->field_count && count < 2 * O_COLUMNS + 2; i++) fields[count++] = event->fields[i];
    for (int i = 0; i < projection->count; i++) {
        int changed = o_run(state, projection->statements[i].sql, fields, count);
        if (changed < 0) return O_CONSTRAINT;
        if (changed == 0 && !projection->statements[i].may_change_nothing) return O_SUPERSEDED;
    }
    return O_DONE;
}

o_result o_run_projections(o_state *state, const o_event *event)
{
    const o_definition *definition = state->definition;
    for (int i = 0; i < definition->projection_count; i++) {
        if (definition->projections[i].type != event->type) continue;
        o_event now = o_upcast_event(definition, event);
        o_result result = run_projection(state, &definition->projections[i], &now);
        if (result != O_DONE) return result;
    }
    return O_DONE;
}

o_result o_project(o_state *state, const o_event *event, o_context *context)
{
    const o_definition *definition = state->definition;
    if (event->kind == O_OF_ENGINE) return O_DONE;
    if (event->kind == O_DISMISSED) {
        if (state->core.dismissed_count == O_ENTRIES) o_die("too many dismissals");
        state->dismissed[state->core.dismissed_count++] = event->names;
        return O_DONE;
    }
    int table = event->table ? o_table_of(definition, event->table) : -1;
    if (event->kind != O_CUSTOM && table >= 0) {
        if (!definition->tables[table].collection) return O_CONSTRAINT;
        o_result result = collection(state, table, event, context);
        if (result != O_DONE) return result;
    }
    return o_run_projections(state, event);
}

/* ---- one entry, whole */

void o_begin_entry(o_state *state, o_core *savepoint)
{
    state->touched_count = 0;
    *savepoint = state->core;
}

void o_drop_entry(o_state *state, const o_core *savepoint)
{
    state->core = *savepoint;
    state->touched_count = 0;
}

static void keep_record(o_state *state, const o_touched *touched, const o_entry *entry, uint64_t position)
{
    const o_record *old = o_record_find(state, touched->table, touched->key);
    o_record *record = o_take(sizeof *record);
    bool any = false;
    if (old) *record = *old;
    for (int i = 0; i < state->definition->tables[touched->table].column_count; i++) {
        bool wrote = !touched->before || !touched->now || touched->named[i] ||
                     !o_same(touched->before->values[i], touched->now->values[i]);
        if (wrote) record->writers[i] = entry;
        any = any || wrote;
    }
    if (!any) return;
    record->table = touched->table;
    record->key = touched->key;
    record->last = entry;
    if (record->version < position) record->version = position;
    record->gone = touched->now ? NULL : touched->gone;
    int at = 0;
    while (at < state->core.record_count && state->core.records[at] != old) at++;
    if (at == O_RECORDS) o_die("too many records");
    state->core.records[at] = record;
    if (at == state->core.record_count) state->core.record_count++;
}

bool o_end_entry(o_state *state, const o_entry *entry, uint64_t position, bool keep_id)
{
    if (!o_drop_surplus(state) || !o_deferred_hold(state)) return false;
    for (int i = 0; i < state->touched_count; i++)
        if (state->touched[i].changed) keep_record(state, &state->touched[i], entry, position);
    if (keep_id) {
        if (state->core.id_count == O_ENTRIES) o_die("too many ids");
        state->ids[state->core.id_count++] = (o_id){entry->command_id, entry};
    }
    return true;
}

static const o_entry *applied_before(const o_state *state, const char *command)
{
    for (int i = 0; i < state->core.id_count; i++)
        if (state->ids[i].command == command) return state->ids[i].entry;
    return NULL;
}

static bool is_unknown(const o_state *state, const o_entry *entry)
{
    const o_definition *mine = state->definition;
    bool known = entry->definition == mine;
    for (int i = 0; i < mine->ancestor_count; i++) known = known || entry->definition == mine->ancestors[i];
    return !known;
}

static bool understands(const o_definition *definition, const o_event *event)
{
    if (event->kind == O_OF_ENGINE || event->kind == O_DISMISSED) return true;
    int table = event->table ? o_table_of(definition, event->table) : -1;
    if (table < 0) {
        for (int i = 0; i < definition->projection_count; i++)
            if (definition->projections[i].type == event->type) return true;
        return false;
    }
    for (int i = 0; i < event->field_count; i++)
        if (o_column_of(&definition->tables[table], event->fields[i].name) < 0) return false;
    return true;
}

void o_apply(o_state *state, const o_entry *entry, uint64_t position)
{
    o_core savepoint;
    o_context context = {.entry = entry};
    o_result result = O_DONE;
    const char *name = "skipped";
    bool unknown = is_unknown(state, entry), keeps_id = *entry->command_id && entry->event_count;
    const o_entry *first = keeps_id ? applied_before(state, entry->command_id) : NULL;
    o_begin_entry(state, &savepoint);
    state->time_ms = entry->time_ms;
    if (first) {
        context.against = first;
        name = first->command_text == entry->command_text ? "duplicate" : "skipped";
        result = O_CONSTRAINT;
    }
    for (int i = 0; i < entry->event_count && unknown && result == O_DONE; i++)
        if (!understands(state->definition, &entry->events[i])) result = O_CONSTRAINT;
    for (int i = 0; i < entry->event_count && result == O_DONE; i++)
        result = o_project(state, &entry->events[i], &context);
    if (result == O_DONE && o_end_entry(state, entry, position, keeps_id)) return;
    if (result == O_SUPERSEDED) name = "superseded";
    o_drop_entry(state, &savepoint);
    if (unknown && strcmp(name, "duplicate") != 0) name = "waiting";
    note_skip(state, entry, name, context.against);
}

const char *o_state_of(const o_state *state, const o_entry *entry)
{
    for (int i = 0; i < state->core.skip_count; i++)
        if (state->skips[i].entry == entry) return state->skips[i].state;
    return "applied";
}
