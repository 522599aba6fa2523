#include "tests/model/oracle.h"

#include <stdlib.h>

enum { STEPS = 200 };

typedef struct step {
    const char *verb;
    int phase, rank, table;
    const char *key;
    o_field fields[O_COLUMNS];
    int count;
} step;

typedef struct undoing {
    o_draft *draft;
    const o_entry *entry;
    const o_state *before;
    step steps[STEPS];
    int count;
} undoing;

static void keep(o_receipt *receipt, const char *table, const char *key, const char *columns, bool by_columns)
{
    if (receipt->kept_count == O_KEPT) o_die("too much is kept");
    receipt->kept[receipt->kept_count++] = (o_kept){table, key, columns, by_columns};
}

/* What the entry added to a counter of the row. */
static bool added(const o_entry *entry, const o_table *t, const char *key, const char *column, int64_t *sum)
{
    bool any = false;
    *sum = 0;
    for (int i = 0; i < entry->event_count; i++) {
        const o_event *event = &entry->events[i];
        if (event->kind != O_PATCHED || event->table != t->name || event->key != key) continue;
        for (int k = 0; k < event->field_count; k++) {
            if (event->fields[k].name != column || event->fields[k].value.kind != O_PLUS) continue;
            *sum += event->fields[k].value.integer;
            any = true;
        }
    }
    return any;
}

static step *add_step(undoing *u, const char *verb, int phase, int rank, const o_record *record)
{
    if (u->count == STEPS) o_die("an undo of too many steps");
    step *s = &u->steps[u->count++];
    *s = (step){.verb = verb, .phase = phase, .rank = rank, .table = record->table, .key = record->key};
    return s;
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void keep_columns(undoing *u, const o_table *t, const o_record *record)
{
    const char *names[O_COLUMNS];
    size_t count = 0;
    dbk_buffer text;
    dbk_buffer_init(&text, dbk_port_system());
    for (int i = 0; i < t->column_count; i++)
        if (record->writers[i] && record->writers[i] != u->entry) names[count++] = t->columns[i].name;
    qsort(names, count, sizeof *names, by_text);
    for (size_t i = 0; i < count; i++) dbk_buffer_printf(&text, "%s\"%s\"", i ? "," : "[", names[i]);
    dbk_buffer_put_u8(&text, ']');
    keep(u->draft->receipt, t->name, record->key, o_intern(dbk_buffer_slice(&text)), true);
    dbk_buffer_release(&text);
}

static void plan_row(undoing *u, const o_record *record)
{
    const o_state *state = u->draft->replica->state;
    const o_table *t = &state->definition->tables[record->table];
    if (!t->collection) return;
    const o_row *now = o_row_find(state, record->table, record->key);
    const o_row *was = o_row_find(u->before, record->table, record->key);
    int mine = 0, writers = 0;
    o_field fields[O_COLUMNS];
    int count = 0;
    for (int i = 0; i < t->column_count; i++) {
        int64_t sum;
        bool is_mine = record->writers[i] == u->entry,
             is_sum = added(u->entry, t, record->key, t->columns[i].name, &sum);
        mine += is_mine;
        writers += record->writers[i] != NULL;
        if (!now || !was || (!is_mine && !is_sum)) continue;
        fields[count++] =
            (o_field){t->columns[i].name, is_sum ? o_integer(now->values[i].integer - sum) : was->values[i]};
    }
    if (count) {
        step *s = add_step(u, "patch", 0, record->table, record);
        memcpy(s->fields, fields, sizeof fields);
        s->count = count;
    } else if (now && !was && mine && mine == writers) {
        (void)add_step(u, "delete", 1, -record->table, record);
    } else if (now && !was && mine) {
        keep_columns(u, t, record);
    } else if (!now && was && mine) {
        step *s = add_step(u, "put", 2, record->table, record);
        for (s->count = 0; s->count < t->column_count; s->count++)
            s->fields[s->count] = (o_field){t->columns[s->count].name, was->values[s->count]};
    }
}

static int by_step(const void *a, const void *b)
{
    const step *x = a, *y = b;
    if (x->phase != y->phase) return x->phase - y->phase;
    return x->rank != y->rank ? x->rank - y->rank : strcmp(x->key, y->key);
}

static int by_record(const void *a, const void *b)
{
    return strcmp((*(const o_record *const *)a)->key, (*(const o_record *const *)b)->key);
}

/* A deletion must not take what others wrote. */
static bool takes_of_others(const undoing *u, const o_touched *before, int before_count)
{
    const o_state *state = u->draft->replica->state;
    for (int i = 0; i < state->touched_count; i++) {
        const o_touched *touched = &state->touched[i];
        if (i < before_count && memcmp(&before[i], touched, sizeof *touched) == 0) continue;
        const o_record *record = o_record_find(state, touched->table, touched->key);
        if (!state->definition->tables[touched->table].collection) continue; /* projections follow by themselves */
        for (int k = 0; record && touched->before && k < O_COLUMNS; k++) {
            if (!record->writers[k] || record->writers[k] == u->entry) continue;
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
    int left = u->count, before;
    const char *error = NULL;
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

static const char *may_undo(const o_draft *draft, const o_entry *entry)
{
    const o_definition *definition = draft->replica->definition;
    for (int i = 0; i < entry->event_count; i++) {
        int table = entry->events[i].table ? o_table_of(definition, entry->events[i].table) : -1;
        if (table < 0 || !definition->tables[table].collection) return "rejected";
    }
    const char *state = o_state_of(draft->replica->state, entry);
    return strcmp(state, "applied") == 0 || strcmp(state, "suffixed") == 0 ? NULL : "rejected";
}

const char *o_undo(o_draft *draft, const char *entry_id)
{
    static undoing u;
    const o_replica *replica = draft->replica;
    const o_record *records[O_RECORDS];
    u = (undoing){.draft = draft};
    for (uint64_t i = 0; i < replica->position; i++)
        if (replica->log[i]->id == entry_id) u.entry = replica->log[i];
    if (!u.entry) return "not_found";
    const char *error = may_undo(draft, u.entry);
    if (error) return error;
    o_state *before = o_as_of(replica, &(o_moment){.below = true, .entry = u.entry}, replica->definition);
    u.before = before;
    int count = replica->state->core.record_count;
    memcpy(records, replica->state->core.records, sizeof *records * (size_t)count);
    qsort(records, (size_t)count, sizeof *records, by_record);
    for (int i = 0; i < count; i++) plan_row(&u, records[i]);
    qsort(u.steps, (size_t)u.count, sizeof *u.steps, by_step);
    error = put_back(&u);
    o_state_free(before);
    return error;
}
