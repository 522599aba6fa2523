#include "tests/model/model.h"

#include <stdlib.h>

void m_feed_begin(m_store *store)
{
    store->before = store->oracle->state->core;
    dbk_buffer_clear(&store->feed);
    memset(store->announced, 0, sizeof store->announced);
    store->anew = false;
}

static bool is_true(const dbk_json_node *message, const char *name)
{
    const dbk_json_node *node = dbk_json_member(message, name);
    return node && node->kind == DBK_JSON_TRUE;
}

/* The row of the message, kept as it changed, is the one that the model has, byte for byte. */
static void check_told(m_store *store, const dbk_table *table, dbk_slice key, const dbk_json_node *one,
                       dbk_slice message)
{
    bool has_row = dbk_json_member(one, "row") != NULL;
    dbk_model *model = store->engine ? dbk_engine_model(store->engine) : NULL;
    dbk_buffer row;
    if (!model || !dbk_json_member(one, "op")) return;
    dbk_buffer_init(&row, dbk_port_system());
    dbk_result result = dbk_model_row_json(model, table, key, &row, NULL);
    if (result == DBK_OK && (!has_row || !memmem(message.data, message.size, row.data, row.size))) abort();
    if (result == DBK_NONE && has_row) abort();
    dbk_buffer_release(&row);
}

static void take_changes(m_store *store, const dbk_table *table, const dbk_json_node *message, dbk_slice text)
{
    const dbk_json_node *changes = dbk_json_member(message, "changes"), *one = changes ? dbk_json_child(changes) : NULL;
    dbk_buffer key;
    dbk_buffer_init(&key, dbk_port_system());
    for (uint32_t i = 0; changes && i < changes->count; i++, one = dbk_json_next(one)) {
        if (dbk_key_from_json(table, dbk_json_member(one, "key"), &key, NULL) != DBK_OK) abort();
        check_told(store, table, dbk_buffer_slice(&key), one, text);
        dbk_buffer_printf(&store->feed, "%s/%.*s\n", table->name, DBK_SLICE_ARG(dbk_buffer_slice(&key)));
    }
    dbk_buffer_release(&key);
}

void m_feed_take(void *arg, const char *table, const char *message, size_t size)
{
    m_store *store = arg;
    const dbk_json_node *root;
    if (!table) store->anew = true; /* a head: a new generation */
    if (!table) return;
    dbk_json_parser *parser = dbk_json_parser_new(dbk_port_system());
    const dbk_definition *definition = store->options.definition;
    const dbk_table *found = dbk_definition_table(definition, dbk_slice_text(table));
    if (!parser || !found || dbk_json_parse(parser, dbk_slice_of(message, size), &root, NULL) != DBK_OK) abort();
    if (is_true(root, "reset")) store->announced[found - definition->tables] = true;
    else take_changes(store, found, root, dbk_slice_of(message, size));
    dbk_json_parser_free(parser);
}

static const o_row *row_before(const m_store *store, int table, const char *key)
{
    for (int i = 0; i < store->before.row_count[table]; i++)
        if (store->before.rows[table][i]->key == key) return store->before.rows[table][i];
    return NULL;
}

static bool same_row(const o_table *table, const o_row *a, const o_row *b)
{
    for (int i = 0; a && b && i < table->column_count; i++)
        if (!o_same(a->values[i], b->values[i])) return false;
    return a && b;
}

static void check_row(m_world *w, m_store *store, int table, const char *key)
{
    const o_state *state = store->oracle->state;
    const o_table *t = &state->definition->tables[table];
    if (same_row(t, row_before(store, table, key), o_row_find(state, table, key))) return;
    const char *line = o_format("%s/%s\n", t->name, o_encoded(key)), *feed = dbk_buffer_text(&store->feed);
    if (!feed || !strstr(feed, line))
        m_fail(w, "%s: '%s/%s' changed, and the feed did not say so", w->what, t->name, key);
}

void m_feed_check(m_world *w, m_store *store)
{
    const o_state *state = store->oracle->state;
    for (int table = 0; table < state->definition->table_count && !store->anew; table++) {
        if (store->announced[table]) continue;
        for (int i = 0; i < store->before.row_count[table]; i++)
            check_row(w, store, table, store->before.rows[table][i]->key);
        for (int i = 0; i < state->core.row_count[table]; i++)
            check_row(w, store, table, state->core.rows[table][i]->key);
    }
}
