#include "tests/model/oracle.h"

#include <stdlib.h>

enum { STEPS = 400, TRACES = 400, TARGETS = 64 };

typedef struct step {
    const char *verb;
    int phase, rank, table;
    const char *key;
    o_field fields[O_COLUMNS];
    int count;
} step;

typedef struct cell { /* a column of a row that the entries wrote */
    bool mine;        /* the last writer is one of them */
    bool absent;      /* there was no row before they wrote it */
    bool summed;      /* they added to it */
    o_value value;    /* of before the first of them in a row */
    int64_t sum;
} cell;

typedef struct trace {
    int table;
    const char *key;
    const o_row *gone; /* as they deleted it */
    cell cells[O_COLUMNS];
} trace;

typedef struct undoing {
    o_draft *draft;
    const o_entry *targets[TARGETS];
    int target_count;
    trace traces[TRACES];
    int trace_count;
    step steps[STEPS];
    int count;
} undoing;

static bool is_target(const undoing *u, const o_entry *entry)
{
    for (int i = 0; i < u->target_count; i++)
        if (u->targets[i] == entry) return true;
    return false;
}

static void keep(o_receipt *receipt, const char *table, const char *key, const char *columns, bool by_columns)
{
    if (receipt->kept_count == O_KEPT) o_die("too much is kept");
    receipt->kept[receipt->kept_count++] = (o_kept){table, key, columns, by_columns};
}

/* ---- what they wrote, and who wrote since */

static trace *trace_of(undoing *u, int table, const char *key, bool make)
{
    for (int i = 0; i < u->trace_count; i++)
        if (u->traces[i].key == key && u->traces[i].table == table) return &u->traces[i];
    if (!make) return NULL;
    if (u->trace_count == TRACES) o_die("an undo of too many rows");
    u->traces[u->trace_count] = (trace){.table = table, .key = key};
    return &u->traces[u->trace_count++];
}

static void add_sums(const o_table *t, const char *key, const o_entry *entry, trace *row)
{
    for (int i = 0; i < entry->event_count; i++) {
        const o_event *event = &entry->events[i];
        if (event->kind != O_PATCHED || event->table != t->name || event->key != key) continue;
        for (int k = 0; k < event->field_count; k++) {
            int column = event->fields[k].value.kind == O_PLUS ? o_column_of(t, event->fields[k].name) : -1;
            if (column < 0) continue;
            row->cells[column].summed = true;
            row->cells[column].sum += event->fields[k].value.integer;
        }
    }
}

static void follow(undoing *u, const o_state *before, const o_state *after, const o_entry *entry)
{
    bool mine = is_target(u, entry);
    for (int i = 0; i < after->core.record_count; i++) {
        const o_record *record = after->core.records[i];
        if (record->last != entry) continue;
        trace *row = trace_of(u, record->table, record->key, mine);
        if (!row) continue;
        const o_table *t = &after->definition->tables[record->table];
        const o_row *was = o_row_find(before, record->table, record->key);
        for (int k = 0; k < t->column_count; k++) {
            cell *c = &row->cells[k];
            if (record->writers[k] != entry) continue;
            if (mine && !c->mine) c->absent = !was, c->value = was ? was->values[k] : (o_value){0};
            c->mine = mine;
        }
        if (mine && was && !o_row_find(after, record->table, record->key)) row->gone = was;
        if (mine) add_sums(t, record->key, entry, row);
    }
}

static void trace_all(undoing *u)
{
    static o_wanted all[O_ENTRIES];
    static o_state before;
    const o_replica *replica = u->draft->replica;
    size_t count = o_wanted_of(replica, &(o_moment){0}, all);
    o_state *state = o_as_of(replica, &(o_moment){.by_position = true}, replica->definition);
    bool begun = false;
    before.definition = replica->definition;
    for (size_t i = 0; i < count; i++) {
        begun = begun || is_target(u, all[i].entry);
        if (begun) before.core = state->core;
        o_apply(state, all[i].entry, all[i].position);
        if (begun) follow(u, &before, state, all[i].entry);
    }
    o_state_free(state);
}

/* ---- what there is to do */

static step *add_step(undoing *u, const char *verb, int phase, int rank, const trace *row)
{
    if (u->count == STEPS) o_die("an undo of too many steps");
    step *s = &u->steps[u->count++];
    *s = (step){.verb = verb, .phase = phase, .rank = rank, .table = row->table, .key = row->key};
    return s;
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void keep_columns(undoing *u, const o_table *t, const trace *row)
{
    const char *names[O_COLUMNS];
    size_t count = 0;
    dbk_buffer text;
    dbk_buffer_init(&text, dbk_port_system());
    for (int i = 0; i < t->column_count; i++)
        if (!row->cells[i].mine || !row->cells[i].absent) names[count++] = t->columns[i].name;
    qsort(names, count, sizeof *names, by_text);
    for (size_t i = 0; i < count; i++) dbk_buffer_printf(&text, "%s\"%s\"", i ? "," : "[", names[i]);
    dbk_buffer_put_u8(&text, ']');
    keep(u->draft->receipt, t->name, row->key, o_intern(dbk_buffer_slice(&text)), true);
    dbk_buffer_release(&text);
}

static void plan_patch(undoing *u, const o_table *t, const trace *row, const o_row *now, bool sums)
{
    step s = {.verb = "patch", .rank = row->table, .table = row->table, .key = row->key};
    for (int i = 0; i < t->column_count; i++) {
        const cell *c = &row->cells[i];
        bool is_sum = sums && c->summed && c->sum;
        if (!is_sum && (!c->mine || c->absent)) continue;
        o_value value = is_sum ? o_integer(now->values[i].integer - c->sum) : c->value;
        s.fields[s.count++] = (o_field){t->columns[i].name, value};
    }
    if (s.count == 0) return;
    step *added = add_step(u, "patch", 0, row->table, row);
    *added = s;
}

static void plan_put(undoing *u, const o_table *t, const trace *row)
{
    step *s = add_step(u, "put", 2, row->table, row);
    for (; s->count < t->column_count; s->count++) {
        const cell *c = &row->cells[s->count];
        bool older = c->mine && !c->absent;
        s->fields[s->count] = (o_field){t->columns[s->count].name, older ? c->value : row->gone->values[s->count]};
    }
}

static void plan_row(undoing *u, const trace *row)
{
    const o_state *state = u->draft->replica->state;
    const o_table *t = &state->definition->tables[row->table];
    if (!t->collection) return;
    const o_row *now = o_row_find(state, row->table, row->key);
    int mine = 0, made = 0;
    for (int i = 0; i < t->column_count; i++) {
        mine += row->cells[i].mine;
        made += row->cells[i].mine && row->cells[i].absent;
    }
    if (!now) {
        if (made < mine && row->gone) plan_put(u, t, row);
    } else if (made == t->column_count) {
        (void)add_step(u, "delete", 1, -row->table, row);
    } else {
        if (made) keep_columns(u, t, row);
        plan_patch(u, t, row, now, !made);
    }
}

static int by_step(const void *a, const void *b)
{
    const step *x = a, *y = b;
    if (x->phase != y->phase) return x->phase - y->phase;
    return x->rank != y->rank ? x->rank - y->rank : strcmp(x->key, y->key);
}

static int by_key(const void *a, const void *b)
{
    return strcmp(((const trace *)a)->key, ((const trace *)b)->key);
}

/* A deletion must not take what others wrote. */
static bool takes_of_others(const undoing *u, const o_touched *before, int before_count)
{
    const o_state *state = u->draft->replica->state;
    for (int i = 0; i < state->touched_count; i++) {
        const o_touched *touched = &state->touched[i];
        if (i < before_count && memcmp(&before[i], touched, sizeof *touched) == 0) continue;
        const o_table *t = &state->definition->tables[touched->table];
        if (!t->collection || !touched->before) continue; /* projections follow by themselves */
        const trace *row = trace_of((undoing *)(uintptr_t)u, touched->table, touched->key, false);
        for (int k = 0; k < t->column_count; k++) {
            if (row && row->cells[k].mine) continue;
            if (!touched->now || !o_same(touched->before->values[k], touched->now->values[k])) return true;
        }
    }
    return false;
}

/* False: it has to wait for others. *error: the undo is refused. */
static bool try_step(undoing *u, const step *s, const char **error)
{
    static o_touched touched[O_TOUCHED];
    o_state *state = u->draft->replica->state;
    o_core core = state->core;
    int events = u->draft->event_count, count = state->touched_count;
    bool deletes = strcmp(s->verb, "delete") == 0;
    if (deletes && !o_row_find(state, s->table, s->key)) return true;
    memcpy(touched, state->touched, sizeof *touched * (size_t)count);
    const char *refused = o_change_row(u->draft, s->verb, s->table, s->key, s->fields, s->count, NULL);
    if (refused && strcmp(refused, "constraint") != 0) *error = refused;
    if (!refused && !(deletes && takes_of_others(u, touched, count))) return true;
    state->core = core;
    memcpy(state->touched, touched, sizeof *touched * (size_t)count);
    state->touched_count = count;
    u->draft->event_count = events;
    return false;
}

static const char *put_back(undoing *u)
{
    const char *error = NULL;
    u->count = 0;
    for (int i = 0; i < u->trace_count; i++) plan_row(u, &u->traces[i]);
    qsort(u->steps, (size_t)u->count, sizeof *u->steps, by_step);
    int left = u->count, before;
    do {
        before = left;
        left = 0;
        for (int i = 0; i < before; i++) {
            step s = u->steps[i];
            if (!try_step(u, &s, &error)) u->steps[left++] = s;
            if (error) return error;
        }
    } while (left && left < before);
    for (int i = 0; i < left; i++)
        if (strcmp(u->steps[i].verb, "delete") != 0) return "constraint";
    for (int i = 0; i < left; i++)
        keep(u->draft->receipt, u->draft->replica->definition->tables[u->steps[i].table].name, u->steps[i].key,
             "rows of others depend on it", false);
    return NULL;
}

/* ---- events of the app */

static const o_undo_rule *undo_of(const o_definition *definition, const char *type)
{
    for (int i = 0; i < definition->undo_count; i++)
        if (definition->undos[i].type == type) return &definition->undos[i];
    return NULL;
}

static const char *take_back_event(undoing *u, const o_entry *entry, const o_undo_rule *rule, const o_event *event)
{
    o_event now = o_upcast_event(u->draft->replica->definition, event);
    o_field *fields = o_take(sizeof *fields * (size_t)(now.field_count ? now.field_count : 1));
    for (int i = 0; i < now.field_count; i++) {
        fields[i] = now.fields[i];
        if (rule->negated == fields[i].name) fields[i].value.integer = -fields[i].value.integer;
    }
    const char *error = o_append_event(u->draft, event->stream, rule->to, fields, now.field_count);
    if (!error) u->draft->events[u->draft->event_count - 1].base = entry;
    return error;
}

/* ---- undos and redos of one event are a chain, link by link from the entry that said it first */

static bool has(const o_replica *replica, const o_entry *entry)
{
    for (uint64_t i = 0; i < replica->position; i++)
        if (replica->log[i] == entry) return true;
    return false;
}

/* Where the chains begin that the event may be of: of an undo of several entries those go on that are of its stream. */
static void roots_of(const o_replica *replica, const o_entry *entry, const char *stream, const o_entry *base,
                     const o_entry **roots, int *count)
{
    bool any = false, same = false;
    for (int k = 0; base && has(replica, base) && k < base->event_count && base->undo; k++) {
        const o_event *event = &base->events[k];
        bool custom = event->kind == O_CUSTOM && event->base;
        any = any || custom;
        same = same || (custom && event->stream == stream);
    }
    for (int k = 0; any && k < base->event_count; k++) {
        const o_event *event = &base->events[k];
        if (event->kind == O_CUSTOM && event->base && (!same || event->stream == stream))
            roots_of(replica, base, event->stream, event->base, roots, count);
    }
    if (any) return;
    if (base && has(replica, base)) entry = base;
    for (int i = 0; i < *count; i++)
        if (roots[i] == entry) return;
    if (*count == TARGETS) o_die("an undo of too many chains");
    roots[(*count)++] = entry;
}

static bool takes_back_one(const o_entry *entry, const bool *linked, const o_replica *replica)
{
    for (int k = 0; k < entry->event_count && entry->undo; k++)
        for (uint64_t i = 0; i < replica->position && entry->events[k].kind == O_CUSTOM; i++)
            if (linked[i] && replica->log[i] == entry->events[k].base) return true;
    return false;
}

/* Behind the entry stands a link of the chain that counts, but for those that go back with it. */
static bool stands_behind(const undoing *u, const o_entry *entry, const o_entry *root)
{
    const o_replica *replica = u->draft->replica;
    bool linked[O_ENTRIES] = {false}, grows = true;
    while (grows) {
        grows = false;
        for (uint64_t i = 0; i < replica->position; i++) {
            if (linked[i] || (replica->log[i] != root && !takes_back_one(replica->log[i], linked, replica))) continue;
            linked[i] = grows = true;
        }
    }
    for (uint64_t i = 0; i < replica->position; i++) {
        const char *state = linked[i] ? o_state_of(replica->state, replica->log[i]) : "";
        bool counts = strcmp(state, "applied") == 0 || strcmp(state, "suffixed") == 0;
        if (counts && !is_target(u, replica->log[i]) && o_entry_order(replica->log[i], entry) > 0) return true;
    }
    return false;
}

/* It goes back while its entry is the last of its chain. */
static bool is_taken_back(const undoing *u, const o_entry *entry, const o_event *event)
{
    const o_entry *roots[TARGETS];
    int count = 0;
    roots_of(u->draft->replica, entry, event->stream, entry->undo ? event->base : NULL, roots, &count);
    for (int i = 0; i < count; i++)
        if (stands_behind(u, entry, roots[i])) return true;
    return false;
}

static int latest_first(const void *a, const void *b)
{
    return o_entry_order(*(const o_entry *const *)b, *(const o_entry *const *)a);
}

static const char *take_back_events(undoing *u)
{
    qsort(u->targets, (size_t)u->target_count, sizeof *u->targets, latest_first);
    for (int i = 0; i < u->target_count; i++) {
        for (int k = u->targets[i]->event_count - 1; k >= 0; k--) {
            const o_event *event = &u->targets[i]->events[k];
            const o_undo_rule *rule = undo_of(u->draft->replica->definition, event->type);
            bool goes = rule && !is_taken_back(u, u->targets[i], event);
            const char *error = goes ? take_back_event(u, u->targets[i], rule, event) : NULL;
            if (error) return error;
        }
    }
    return NULL;
}

/* The events first; where that fails, all once more with the rows first. */
static const char *put_all_back(undoing *u)
{
    o_state *state = u->draft->replica->state;
    o_core core = state->core;
    int events = u->draft->event_count, kept = u->draft->receipt->kept_count;
    const char *error = take_back_events(u);
    bool any = u->draft->event_count > events || error;
    if (!error) error = put_back(u);
    if (!error || !any || (strcmp(error, "constraint") != 0 && strcmp(error, "rejected") != 0)) return error;
    state->core = core;
    state->touched_count = 0;
    u->draft->event_count = events;
    u->draft->receipt->kept_count = kept;
    error = put_back(u);
    return error ? error : take_back_events(u);
}

/* ---- which entries */

static const char *may_undo(const o_draft *draft, const o_entry *entry)
{
    const o_definition *definition = draft->replica->definition;
    for (int i = 0; i < entry->event_count; i++) {
        int table = entry->events[i].table ? o_table_of(definition, entry->events[i].table) : -1;
        bool of_rows = table >= 0 && definition->tables[table].collection;
        if (!of_rows && !undo_of(definition, entry->events[i].type)) return "rejected";
    }
    const char *state = o_state_of(draft->replica->state, entry);
    return strcmp(state, "applied") == 0 || strcmp(state, "suffixed") == 0 ? NULL : "rejected";
}

static void add_target(undoing *u, const o_entry *entry)
{
    if (is_target(u, entry)) return;
    if (u->target_count == TARGETS) o_die("an undo of too many entries");
    u->targets[u->target_count++] = entry;
}

static const char *add_entries(undoing *u, const dbk_json_node *node)
{
    const o_replica *replica = u->draft->replica;
    const dbk_json_node *one = node && node->kind == DBK_JSON_ARRAY ? dbk_json_child(node) : node;
    for (uint32_t i = 0; node && i < (node->kind == DBK_JSON_ARRAY ? node->count : 1); i++, one = dbk_json_next(one)) {
        int64_t position = 0;
        for (uint64_t p = 1; one->kind == DBK_JSON_STRING && p <= replica->position; p++)
            if (replica->log[p - 1]->id == o_intern(one->text)) position = (int64_t)p;
        if (one->kind == DBK_JSON_NUMBER) (void)dbk_json_is_integer(one, &position);
        if (position < 1 || (uint64_t)position > replica->position) return "not_found";
        add_target(u, replica->log[position - 1]);
    }
    return NULL;
}

static const char *add_correlated(undoing *u, const dbk_json_node *node)
{
    const o_replica *replica = u->draft->replica;
    bool any = !node;
    for (uint64_t i = 0; node && i < replica->position; i++) {
        const o_entry *entry = replica->log[i];
        if (entry->undo || entry->correlation != o_intern(node->text)) continue;
        add_target(u, entry);
        any = true;
    }
    return any ? NULL : "not_found";
}

const char *o_undo(o_draft *draft, const dbk_json_node *command)
{
    static undoing u;
    u = (undoing){.draft = draft};
    const char *error = add_entries(&u, dbk_json_member(command, "entry"));
    if (!error) error = add_entries(&u, dbk_json_member(command, "position"));
    if (!error) error = add_correlated(&u, dbk_json_member(command, "of_correlation"));
    for (int i = 0; i < u.target_count && !error; i++) error = may_undo(draft, u.targets[i]);
    if (error) return error;
    trace_all(&u);
    qsort(u.traces, (size_t)u.trace_count, sizeof *u.traces, by_key);
    return put_all_back(&u);
}
