/* Rows whose time is over: the store's clocks are moved, and what it deletes by itself is held against the oracle. */
#include "tests/model/model.h"

#include <stdio.h>
#include <stdlib.h>

typedef struct due {
    const char *id; /* of the delete; NULL: it happened */
    const char *key;
    bool refused; /* at one moment or another of the look */
} due;

static const char *command_at(m_world *w, m_store *store, uint64_t position)
{
    dbk_buffer bytes;
    dbk_entry entry;
    dbk_buffer_init(&bytes, dbk_port_system());
    if (dbk_log_read(dbk_engine_log(store->engine), position, &bytes, NULL, &w->error) != DBK_OK ||
        dbk_entry_decode(dbk_buffer_slice(&bytes), &entry, &w->error) != DBK_OK)
        m_fail(w, "reading: %s", w->error.text);
    const char *id = o_intern(entry.command_id);
    dbk_buffer_release(&bytes);
    return id;
}

static void put_key(const o_table *t, const char *key, dbk_buffer *out)
{
    o_value values[O_COLUMNS] = {{0}};
    (void)o_key_values(t, key, values);
    if (t->key_count > 1) dbk_buffer_put_u8(out, '[');
    for (int i = 0; i < t->key_count; i++) {
        if (i) dbk_buffer_put_u8(out, ',');
        o_json_put(out, values[t->keys[i]]);
    }
    if (t->key_count > 1) dbk_buffer_put_u8(out, ']');
}

static void delete_row(m_world *w, m_store *store, const o_time_rule *rule, const due *one, o_receipt *receipt)
{
    const o_table *t = &store->oracle->definition->tables[rule->table];
    const dbk_json_node *root;
    dbk_buffer text;
    dbk_buffer_init(&text, dbk_port_system());
    dbk_buffer_put_text(&text, "{\"id\":");
    dbk_json_put_string(&text, dbk_slice_text(one->id));
    dbk_buffer_printf(&text, ",\"do\":\"delete\",\"table\":\"%s\",\"actor\":\"daybook:retention\",\"key\":", t->name);
    put_key(t, one->key, &text);
    dbk_buffer_put_u8(&text, '}');
    if (dbk_json_parse(w->parser, dbk_buffer_slice(&text), &root, &w->error) != DBK_OK) abort();
    o_decide(store->oracle, root, store->now_ms, receipt);
    dbk_buffer_release(&text);
}

static int list_due(m_store *store, const o_time_rule *rule, due *out)
{
    const char *keys[O_ROWS];
    int count = o_due_rows(store->oracle, rule, store->now_ms, keys, O_ROWS);
    for (int i = 0; i < count; i++) {
        const o_record *record = o_record_find(store->oracle->state, rule->table, keys[i]);
        const char *table = store->oracle->definition->tables[rule->table].name;
        if (!record) o_die("a row of '%s' that nobody wrote", table);
        out[i] =
            (due){.id = o_format("retain/%s/%s/%s", rule->name, o_encoded(keys[i]), record->last->id), .key = keys[i]};
    }
    return count;
}

static bool is_refused(m_world *w, m_store *store, const o_time_rule *rule, const due *one)
{
    static o_receipt receipt;
    static o_replica before;
    static o_core core;
    before = *store->oracle;
    core = store->oracle->state->core;
    delete_row(w, store, rule, one, &receipt);
    *store->oracle = before;
    o_drop_entry(store->oracle->state, &core);
    return !receipt.ok || receipt.again;
}

static void note_refused(m_world *w, m_store *store, const o_time_rule *rule, due *all, int count)
{
    for (int i = 0; i < count; i++)
        if (all[i].id && !all[i].refused) all[i].refused = is_refused(w, store, rule, &all[i]);
}

/* The order in which one rule's rows go is the store's, and one that was refused waits for the next look; that the
 * others go, and may, is not. */
static uint64_t run_rule(m_world *w, m_store *store, const o_time_rule *rule, uint64_t position, uint64_t end)
{
    static o_receipt receipt;
    due all[O_ROWS];
    int count = list_due(store, rule, all);
    note_refused(w, store, rule, all, count);
    const char *prefix = o_format("retain/%s/", rule->name);
    for (; position <= end; position++) {
        const char *id = command_at(w, store, position);
        int at = 0;
        if (strncmp(id, prefix, strlen(prefix)) != 0) break;
        while (at < count && all[at].id != id) at++;
        if (at == count) m_fail(w, "'%s' deletes what is not due", id);
        delete_row(w, store, rule, &all[at], &receipt);
        if (!receipt.ok || receipt.again) m_fail(w, "'%s': %s", id, receipt.ok ? "was there" : receipt.error);
        if (receipt.position != position) m_fail(w, "'%s' is at another position", id);
        all[at].id = NULL;
        note_refused(w, store, rule, all, count);
    }
    for (int i = 0; i < count; i++)
        if (all[i].id && !all[i].refused) m_fail(w, "'%s' did not happen", all[i].id);
    return position;
}

void m_retain(m_world *w, m_store *store)
{
    static const int64_t steps_ms[] = {61000, 61000, 130000, 600000, 3600000};
    uint64_t before = store->oracle->position, deleted;
    int64_t step_ms = steps_ms[m_below(&w->random, 5)];
    bool jumps = m_chance(&w->random, 12);
    w->what = "time went by";
    store->now_ms += jumps && m_chance(&w->random, 3) ? -step_ms : step_ms;
    store->mono_ms += jumps ? 61000 : step_ms;
    if (w->shows)
        printf("%u: time at %s is %lld, %lld\n", w->number, store->timeline, (long long)store->now_ms,
               (long long)store->mono_ms);
    if (dbk_engine_retain(store->engine, store->now_ms, store->mono_ms * 1000000, &deleted, &w->error) != DBK_OK)
        m_fail(w, "retain: %s", w->error.text);
    for (uint64_t i = before + 1; w->shows && i <= before + deleted; i++)
        printf("%u: %s\n", w->number, command_at(w, store, i));
    w->over += deleted;
    uint64_t position = before + 1, end = dbk_log_position(dbk_engine_log(store->engine));
    unsigned rules = o_due_rules(&store->clock, store->oracle, store->now_ms, store->mono_ms);
    for (int i = 0; i < store->oracle->definition->time_count; i++)
        if (rules & (1u << i)) position = run_rule(w, store, &store->oracle->definition->times[i], position, end);
    if (position <= end) m_fail(w, "'%s' is not due now", command_at(w, store, position));
    if (deleted != end - before)
        m_fail(w, "%llu rows deleted, not %llu", (unsigned long long)deleted, (unsigned long long)(end - before));
}
