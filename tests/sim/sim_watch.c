/* A subscriber's copy of all tables, kept by the feed's messages alone. What it was told must still
 * hold after any crash (L4), and catching up from where it stands must lead to what the tables hold. */
#include "store/request.h"
#include "tests/sim/sim.h"

#include <stdio.h>

static const dbk_json_node *member(const dbk_json_node *node, const char *name)
{
    return node && node->kind == DBK_JSON_OBJECT ? dbk_json_member(node, name) : NULL;
}

static uint64_t number(sim_machine *m, const dbk_json_node *node, const char *name)
{
    int64_t value = 0;
    const dbk_json_node *found = member(node, name);
    if (!found || !dbk_json_is_integer(found, &value) || value < 0) sim_fail(m, "a message has no '%s'", name);
    return (uint64_t)value;
}

static bool is_true(const dbk_json_node *node, const char *name)
{
    const dbk_json_node *found = member(node, name);
    return found && found->kind == DBK_JSON_TRUE;
}

/* ---- a copy of one table */

static uint32_t find(const sim_rows *rows, uint64_t key)
{
    uint32_t at = 0;
    while (at < rows->count && rows->items[at].key != key) at++;
    return at;
}

static void take_change(sim_machine *m, sim_rows *rows, const dbk_json_node *change, bool strict)
{
    const dbk_json_node *op = member(change, "op"), *key = member(change, "key"), *row = member(change, "row");
    if (!op || !key) sim_fail(m, "a change has no 'op' or no 'key'");
    dbk_slice key_text = key->kind == DBK_JSON_NULL ? dbk_slice_text("null") : key->text;
    uint64_t hash = sim_mix(dbk_checksum(key_text, 1), key->kind);
    uint32_t at = find(rows, hash);
    if (dbk_json_text_is(op, "delete")) {
        if (at < rows->count) rows->items[at] = rows->items[--rows->count];
        return;
    }
    bool known = at < rows->count;
    if (!row) sim_fail(m, "a change has no 'row'");
    if (strict && known != dbk_json_text_is(op, "update"))
        sim_fail(m, "'%.*s' of key %.*s, which the subscriber %s", DBK_SLICE_ARG(op->text), DBK_SLICE_ARG(key_text),
                 known ? "has" : "does not have");
    if (!known && rows->count == SIM_ROWS_MAX) sim_fail(m, "more rows than the simulation has room for");
    if (!known) rows->items[rows->count++].key = hash;
    rows->items[at].row = dbk_checksum(row->text, 2);
}

static void take_changes(sim_machine *m, sim_rows *rows, const dbk_json_node *message, bool strict)
{
    const dbk_json_node *changes = member(message, "changes");
    if (!changes || changes->kind != DBK_JSON_ARRAY) sim_fail(m, "a message has no 'changes'");
    const dbk_json_node *change = changes + 1;
    for (uint32_t i = 0; i < changes->count; i++, change = dbk_json_next(change)) take_change(m, rows, change, strict);
}

static bool same(const sim_rows *a, const sim_rows *b)
{
    if (a->count != b->count) return false;
    for (uint32_t i = 0; i < a->count; i++) {
        uint32_t at = find(b, a->items[i].key);
        if (at == b->count || b->items[at].row != a->items[i].row) return false;
    }
    return true;
}

/* ---- live */

static size_t table_index(sim_machine *m, const dbk_json_node *message)
{
    const dbk_json_node *name = member(message, "table");
    const dbk_table *table = name ? dbk_definition_table(m->definition, name->text) : NULL;
    if (!table) sim_fail(m, "a message of no table");
    return (size_t)(table - m->definition->tables);
}

static void on_message(void *arg, const char *table, const char *json, size_t size)
{
    sim_machine *m = arg;
    sim_watch *watch = &m->oracle.watch;
    const dbk_json_node *message;
    if (dbk_json_parse(m->parser, dbk_slice_of(json, size), &message, NULL) != DBK_OK)
        sim_fail(m, "a message that is no JSON");
    uint64_t generation = number(m, message, "generation"), position = number(m, message, "position");
    m->trace = sim_mix(m->trace, dbk_checksum(dbk_slice_of(json, size), 3));
    if (generation < watch->generation || (generation == watch->generation && position < watch->position))
        sim_fail(m, "the feed went back from %llu to %llu", (unsigned long long)watch->position,
                 (unsigned long long)position);
    bool other = generation != watch->generation;
    if (!table || other) {
        for (size_t i = 0; i < SIM_TABLES; i++) watch->behind[i] = watch->behind[i] || other;
        if (!table) return;
    }
    size_t at = table_index(m, message);
    uint64_t previous = number(m, message, "previous");
    if (!watch->behind[at] && previous > watch->reached[at])
        sim_fail(m, "table '%s': a message after %llu, the subscriber is at %llu: one is missing",
                 m->definition->tables[at].name, (unsigned long long)previous, (unsigned long long)watch->reached[at]);
    if (is_true(message, "keys") || is_true(message, "reset")) watch->behind[at] = true;
    if (!watch->behind[at]) {
        take_changes(m, &watch->tables[at], message, true);
        watch->reached[at] = position;
    }
    if (!other) watch->last[at] = position;
    watch->position = position > watch->position ? position : watch->position;
}

void sim_watch_attach(sim_machine *m)
{
    dbk_engine_on_publish(m->engine, on_message, NULL, m);
}

/* ---- catching up */

static void ask(sim_machine *m, const dbk_table *table, const char *from, sim_rows *rows, uint64_t *generation,
                uint64_t *position)
{
    dbk_buffer out;
    const dbk_json_node *cursor = NULL, *answer;
    dbk_buffer_init(&out, dbk_port_system());
    dbk_buffer_put_text(&out, "{\"ok\":true");
    if (from && dbk_json_parse(m->parser, dbk_slice_text(from), &cursor, NULL) != DBK_OK)
        sim_fail(m, "a cursor that is no JSON");
    dbk_result result = dbk_changes_answer(m->engine, table, cursor, &out, &m->error);
    dbk_buffer_put_u8(&out, '}');
    if (result != DBK_OK) sim_fail(m, "changes of '%s': %s", table->name, m->error.text);
    if (dbk_json_parse(m->parser, dbk_buffer_slice(&out), &answer, NULL) != DBK_OK)
        sim_fail(m, "changes that are no JSON: %.*s", DBK_SLICE_ARG(dbk_buffer_slice(&out)));
    if (is_true(answer, "reset")) rows->count = 0;
    take_changes(m, rows, answer, false);
    *generation = number(m, answer, "generation");
    *position = number(m, answer, "position");
    dbk_buffer_release(&out);
}

static uint64_t last_of(sim_machine *m, const char *table)
{
    dbk_buffer out;
    const dbk_json_node *last;
    int64_t value = 0;
    dbk_buffer_init(&out, dbk_port_system());
    if (dbk_model_last_json(m->engine->model, &out, &m->error) != DBK_OK)
        sim_fail(m, "last changes: %s", m->error.text);
    if (dbk_json_parse(m->parser, dbk_buffer_slice(&out), &last, NULL) != DBK_OK)
        sim_fail(m, "last changes that are no JSON");
    const dbk_json_node *found = member(last, table);
    if (found && !dbk_json_is_integer(found, &value)) sim_fail(m, "a last change that is no number");
    dbk_buffer_release(&out);
    return (uint64_t)value;
}

static void check_table(sim_machine *m, size_t at, uint64_t *generation, uint64_t *position)
{
    sim_watch *watch = &m->oracle.watch;
    const dbk_table *table = &m->definition->tables[at];
    static sim_rows all;
    char from[80];
    all.count = 0;
    snprintf(from, sizeof from, "[\"t\",%llu,%llu]", (unsigned long long)watch->generation,
             (unsigned long long)watch->reached[at]);
    ask(m, table, from, &watch->tables[at], generation, position);
    ask(m, table, NULL, &all, generation, position);
    if (*generation < watch->generation)
        sim_fail(m, "generation %llu after %llu", (unsigned long long)*generation,
                 (unsigned long long)watch->generation);
    if (!same(&all, &watch->tables[at]))
        sim_fail(m, "table '%s': catching up from %llu leads to %u rows that are not the table's %u", table->name,
                 (unsigned long long)watch->reached[at], watch->tables[at].count, all.count);
    uint64_t last = last_of(m, table->name);
    if (*generation == watch->generation && last < watch->last[at])
        sim_fail(m, "table '%s' last changed at %llu, a subscriber saw a change at %llu", table->name,
                 (unsigned long long)last, (unsigned long long)watch->last[at]);
    watch->last[at] = last;
    watch->reached[at] = *position;
    watch->behind[at] = false;
}

void sim_watch_check(sim_machine *m)
{
    sim_watch *watch = &m->oracle.watch;
    uint64_t generation = 0, position = 0;
    for (size_t i = 0; i < m->definition->table_count; i++) check_table(m, i, &generation, &position);
    if (position < watch->position && generation == watch->generation)
        sim_fail(m, "position %llu after %llu was published", (unsigned long long)position,
                 (unsigned long long)watch->position);
    watch->generation = generation;
    watch->position = position;
}
