/* What stands beside the rows and has to follow them: tables of full text, async models. */
#include "store/async.h"
#include "store/request.h"
#include "tests/model/model.h"

#include <ctype.h>
#include <sqlite3.h>
#include <stdlib.h>

/* ---- search */

static bool has_word(const char *text, const char *word)
{
    size_t size = strlen(word);
    for (const char *at = text; *at;) {
        size_t run = 0;
        while (isalnum((unsigned char)at[run]) || (unsigned char)at[run] >= 128) run++;
        if (run == size && memcmp(at, word, size) == 0) return true;
        at += run ? run : 1;
    }
    return false;
}

static bool is_found(const o_table *t, const m_table *table, const o_row *row, const char *word)
{
    for (int i = 0; i < table->column_count; i++) {
        o_value value = row->values[t->key_count + i];
        if ((table->searched & (1u << i)) && value.kind == O_TEXT && has_word(value.text, word)) return true;
    }
    return false;
}

static void look_for(m_world *w, sqlite3 *db, const o_state *state, const m_table *table, int number, const char *word)
{
    int at = o_table_of(state->definition, o_text(table->name)), count = 0, wanted = 0, step;
    const o_table *t = &state->definition->tables[at];
    const char *keys = table->key == M_KEY_PAIR ? "a, b" : "id";
    const char *sql = o_format("SELECT %s FROM f%d WHERE f%d MATCH '\"%s\"'", keys, number, number, word);
    sqlite3_stmt *rows = NULL;
    if (sqlite3_prepare_v2(db, sql, -1, &rows, NULL) != SQLITE_OK) m_fail(w, "%s: %s", sql, sqlite3_errmsg(db));
    for (; (step = sqlite3_step(rows)) == SQLITE_ROW; count++) {
        o_value values[O_COLUMNS] = {{0}};
        for (int i = 0; i < t->key_count; i++) values[t->keys[i]] = m_value_at(rows, i);
        const o_row *row = o_row_find(state, at, o_key_of(t, values));
        if (!row || !is_found(t, table, row, word))
            m_fail(w, "%s: the search f%d finds '%s' in '%s/%s'", w->what, number, word, t->name, o_key_of(t, values));
    }
    sqlite3_finalize(rows);
    if (step != SQLITE_DONE) m_fail(w, "%s: %s", sql, sqlite3_errmsg(db));
    for (int i = 0; i < state->core.row_count[at]; i++) wanted += is_found(t, table, state->core.rows[at][i], word);
    if (count != wanted)
        m_fail(w, "%s: the search f%d finds '%s' %d times, not %d", w->what, number, word, count, wanted);
}

static void count_rows(m_world *w, sqlite3 *db, const o_state *state, const m_table *table, int number)
{
    int at = o_table_of(state->definition, o_text(table->name)), count = -1;
    const char *sql = o_format("SELECT count(*) FROM f%d", number);
    sqlite3_stmt *rows = NULL;
    if (sqlite3_prepare_v2(db, sql, -1, &rows, NULL) == SQLITE_OK && sqlite3_step(rows) == SQLITE_ROW)
        count = sqlite3_column_int(rows, 0);
    sqlite3_finalize(rows);
    if (count != state->core.row_count[at])
        m_fail(w, "%s: the search f%d has %d rows, not %d", w->what, number, count, state->core.row_count[at]);
}

void m_look_search(m_world *w, sqlite3 *db, const m_app *app, const o_state *state)
{
    static const char *const words[] = {"a", "b", "bad", "it", "x", "2", "q"};
    for (int i = 0; i < app->table_count; i++) {
        if (!app->tables[i].searched) continue;
        count_rows(w, db, state, &app->tables[i], i);
        look_for(w, db, state, &app->tables[i], i, words[m_mix(w->number, 3) % 7]);
        look_for(w, db, state, &app->tables[i], i, words[m_mix(w->number, 4) % 7]);
    }
}

/* ---- async models */

static const char *ask(m_world *w, m_store *store, const char *request)
{
    const dbk_json_node *root;
    dbk_buffer out;
    dbk_buffer_init(&out, dbk_port_system());
    if (dbk_json_parse(w->parser, dbk_slice_text(request), &root, &w->error) != DBK_OK) abort();
    if (dbk_request_answer(store->engine, root, &out, &w->error) != DBK_OK) m_fail(w, "%s: %s", request, w->error.text);
    const char *answer = o_intern(dbk_buffer_slice(&out));
    dbk_buffer_release(&out);
    return answer;
}

static int by_key(const void *a, const void *b)
{
    return strcmp((*(const o_row *const *)a)->key, (*(const o_row *const *)b)->key);
}

static const char *rows_of(const o_state *state, int table)
{
    const o_row *rows[O_ROWS];
    int count = state->core.row_count[table];
    dbk_buffer text;
    memcpy(rows, state->core.rows[table], sizeof *rows * (size_t)count);
    qsort(rows, (size_t)count, sizeof *rows, by_key);
    dbk_buffer_init(&text, dbk_port_system());
    dbk_buffer_put_text(&text, "\"rows\":[");
    for (int i = 0; i < count; i++) {
        dbk_buffer_put_text(&text, i ? ",[" : "[");
        for (int k = 0; k < state->definition->tables[table].column_count; k++) {
            if (k) dbk_buffer_put_u8(&text, ',');
            o_json_put(&text, rows[i]->values[k]);
        }
        dbk_buffer_put_u8(&text, ']');
    }
    dbk_buffer_put_u8(&text, ']');
    const char *out = o_intern(dbk_buffer_slice(&text));
    dbk_buffer_release(&text);
    return out;
}

void m_look_async(m_world *w, m_store *store)
{
    if (!store->oracle->definition->async) return;
    w->what = "async";
    dbk_asyncs_step(store->engine);
    o_state *state = o_async_state(store->oracle);
    w->stopped += strstr(ask(w, store, "{\"do\":\"models\",\"model\":\"stats\"}"), "\"failed\":{") != NULL;
    for (int i = 0; i < state->definition->table_count; i++) {
        const char *answer = ask(w, store,
                                 o_format("{\"do\":\"query\",\"model\":\"stats\",\"sql\":\"SELECT * FROM %s ORDER BY "
                                          "1\"}",
                                          state->definition->tables[i].name));
        const char *rows = rows_of(state, i);
        if (!strstr(answer, rows))
            m_fail(w, "the async model's table '%s' has\n  %s\n  not %s", state->definition->tables[i].name, answer,
                   rows);
    }
    o_state_free(state);
}
