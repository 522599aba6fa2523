#include "tests/model/model.h"

#include <sqlite3.h>
#include <stdlib.h>

dbk_hash128 m_fingerprint(m_store *store)
{
    dbk_model_state state;
    dbk_model_get_state(dbk_engine_model(store->engine), &state);
    return state.fingerprint;
}

static bool same_print(dbk_hash128 a, dbk_hash128 b)
{
    return a.low == b.low && a.high == b.high;
}

/* ---- rows */

o_value m_value_at(sqlite3_stmt *row, int column)
{
    switch (sqlite3_column_type(row, column)) {
    case SQLITE_NULL: return (o_value){0};
    case SQLITE_INTEGER: return o_integer(sqlite3_column_int64(row, column));
    case SQLITE_FLOAT: return (o_value){.kind = O_REAL, .real = sqlite3_column_double(row, column)};
    default: {
        const void *text = sqlite3_column_blob(row, column);
        return (o_value){.kind = O_TEXT,
                         .text = o_intern(dbk_slice_of(text, (size_t)sqlite3_column_bytes(row, column)))};
    }
    }
}

static const char *text_of(o_value value)
{
    dbk_buffer text;
    dbk_buffer_init(&text, dbk_port_system());
    o_json_put(&text, value);
    const char *out = o_intern(dbk_buffer_slice(&text));
    dbk_buffer_release(&text);
    return out;
}

/* What order the members of a setting have is nobody's promise. */
static o_value in_one_order(m_world *w, o_value value)
{
    const dbk_json_node *root;
    dbk_buffer text;
    if (value.kind != O_TEXT || dbk_json_parse(w->answers, dbk_slice_text(value.text), &root, NULL) != DBK_OK)
        return value;
    dbk_buffer_init(&text, dbk_port_system());
    dbk_json_put_canonical(&text, root);
    value.text = o_intern(dbk_buffer_slice(&text));
    dbk_buffer_release(&text);
    return value;
}

static void compare_row(m_world *w, const o_state *state, int table, sqlite3_stmt *found)
{
    const o_table *t = &state->definition->tables[table];
    o_value values[O_COLUMNS] = {{0}};
    for (int i = 0; i < t->column_count; i++) values[i] = m_value_at(found, i);
    const char *key = o_key_of(t, values);
    const o_row *row = key ? o_row_find(state, table, key) : NULL;
    if (!row) m_fail(w, "%s: row '%s/%s' should not be there", w->what, t->name, key ? key : "NULL");
    for (int i = 0; i < t->column_count; i++) {
        if (t->columns[i].type == O_IS_JSON && t->unordered) values[i] = in_one_order(w, values[i]);
        if (!o_same(values[i], row->values[i]))
            m_fail(w, "%s: '%s/%s'.%s is %s, should be %s", w->what, t->name, key, t->columns[i].name,
                   text_of(values[i]), text_of(row->values[i]));
    }
}

static void missing_row(m_world *w, sqlite3 *db, const o_state *state, int table)
{
    const o_table *t = &state->definition->tables[table];
    for (int i = 0; i < state->core.row_count[table]; i++) {
        bool there = false;
        sqlite3_stmt *rows = NULL;
        (void)sqlite3_prepare_v2(db, o_format("SELECT * FROM %s", t->name), -1, &rows, NULL);
        while (!there && sqlite3_step(rows) == SQLITE_ROW) {
            o_value values[O_COLUMNS] = {{0}};
            for (int k = 0; k < t->column_count; k++) values[k] = m_value_at(rows, k);
            there = o_key_of(t, values) == state->core.rows[table][i]->key;
        }
        sqlite3_finalize(rows);
        if (!there) m_fail(w, "%s: row '%s/%s' is missing", w->what, t->name, state->core.rows[table][i]->key);
    }
    m_fail(w, "%s: table '%s' has the wrong number of rows", w->what, t->name);
}

static void compare_rows(m_world *w, sqlite3 *db, const o_state *state)
{
    for (int table = 0; table < state->definition->table_count; table++) {
        sqlite3_stmt *rows = NULL;
        int count = 0, step;
        const char *sql = o_format("SELECT * FROM %s", state->definition->tables[table].name);
        if (sqlite3_prepare_v2(db, sql, -1, &rows, NULL) != SQLITE_OK) m_fail(w, "%s: %s", sql, sqlite3_errmsg(db));
        for (; (step = sqlite3_step(rows)) == SQLITE_ROW; count++) compare_row(w, state, table, rows);
        if (step != SQLITE_DONE) m_fail(w, "%s: %s", sql, sqlite3_errmsg(db));
        sqlite3_finalize(rows);
        if (count != state->core.row_count[table]) missing_row(w, db, state, table);
    }
}

/* ---- skips */

typedef struct skips {
    m_world *w;
    const o_state *state;
    int count;
} skips;

static dbk_result compare_skip(void *arg, const dbk_skip *skip)
{
    skips *all = arg;
    char id[DBK_ENTRY_ID_TEXT_SIZE];
    dbk_entry_id_text(&skip->entry, id);
    const char *name = o_text(id);
    all->count++;
    for (int i = 0; i < all->state->core.skip_count; i++) {
        const o_skip *other = &all->state->skips[i];
        if (other->entry->id != name) continue;
        if (strcmp(other->state, skip->state) == 0) return DBK_OK;
        m_fail(all->w, "entry %s is %s (%s), should be %s", id, skip->state, skip->reason ? skip->reason : "",
               other->state);
    }
    m_fail(all->w, "entry %s is %s (%s), should have applied", id, skip->state, skip->reason ? skip->reason : "");
}

static void compare_skips(m_world *w, m_store *store)
{
    skips all = {.w = w, .state = store->oracle->state};
    if (dbk_model_skips(dbk_engine_model(store->engine), compare_skip, &all, &w->error) != DBK_OK)
        m_fail(w, "skips: %s", w->error.text);
    if (all.count != all.state->core.skip_count)
        m_fail(w, "%d entries are in the skip list, not %d", all.count, all.state->core.skip_count);
}

/* ---- the present */

void m_look(m_world *w, m_store *store)
{
    dbk_model *model = dbk_engine_model(store->engine);
    uint64_t position = dbk_log_position(dbk_engine_log(store->engine));
    if (position != store->oracle->position)
        m_fail(w, "the log ends at %llu, not %llu", (unsigned long long)position,
               (unsigned long long)store->oracle->position);
    compare_rows(w, dbk_model_handle(model), store->oracle->state);
    compare_skips(w, store);
    m_look_search(w, dbk_model_handle(model), &w->versions[store->version].app, store->oracle->state);
    dbk_hash128 print = m_fingerprint(store);
    if (store->known[position] && !same_print(print, store->shown[position]))
        m_fail(w, "position %llu had another fingerprint before", (unsigned long long)position);
    store->known[position] = true;
    store->shown[position] = print;
}

static void recount(m_world *w, m_store *store)
{
    dbk_hash128 counted;
    uint64_t rows;
    if (dbk_model_recount(dbk_engine_model(store->engine), &counted, &rows, &w->error) != DBK_OK)
        m_fail(w, "recount: %s", w->error.text);
    if (!same_print(counted, m_fingerprint(store))) m_fail(w, "the fingerprint is not that of the rows");
}

void m_look_again(m_world *w, m_store *store)
{
    dbk_hash128 before = m_fingerprint(store);
    w->what = "rebuilt";
    recount(w, store);
    store->powers = m_chance(&w->random, 4);
    m_power_arm(w, store);
    dbk_result result = dbk_engine_rebuild(store->engine, NULL, NULL, &w->error);
    m_power_gone(w, store);
    if (result != DBK_OK && !store->died) m_fail(w, "rebuild: %s", w->error.text);
    store->died = false;
    if (!same_print(before, m_fingerprint(store))) m_fail(w, "the rebuilt model has another fingerprint");
    recount(w, store);
}

/* ---- other moments */

static void draw_moment(m_world *w, m_store *store, dbk_moment *at, o_moment *oracle)
{
    const o_replica *replica = store->oracle;
    uint64_t position = 1 + m_below(&w->random, (uint32_t)replica->position);
    switch (m_below(&w->random, 4)) {
    case 0:
        at->time_ms = oracle->time_ms = replica->received[position - 1];
        oracle->by_received = true;
        break;
    case 1:
        at->order_time_ms = oracle->time_ms = (int64_t)(replica->log[position - 1]->hlc >> 16);
        oracle->by_order = true;
        break;
    default: at->position = oracle->position = position; oracle->by_position = true;
    }
}

static void compare_file(m_world *w, const char *path, const m_app *app, const o_state *state)
{
    sqlite3 *db = NULL;
    if (sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE, "model") != SQLITE_OK)
        m_fail(w, "cannot open what was replayed");
    compare_rows(w, db, state);
    m_look_search(w, db, app, state);
    sqlite3_close(db);
}

void m_look_back(m_world *w, m_store *store)
{
    dbk_moment at = {0};
    o_moment moment = {0};
    dbk_model_state found;
    if (store->oracle->position == 0) return;
    draw_moment(w, store, &at, &moment);
    w->what = moment.by_position ? "as of a position" : moment.by_received ? "as of a time" : "as of a time of order";
    bool plain = m_chance(&w->random, 2); /* else an image may stay behind */
    if (dbk_engine_replay(store->engine, &at, "/replay.sqlite", plain, NULL, NULL, &found, &w->error) != DBK_OK)
        m_fail(w, "%s: %s", w->what, w->error.text);
    o_state *state = o_as_of(store->oracle, &moment, store->oracle->definition);
    compare_file(w, "/replay.sqlite", &w->versions[store->version].app, state);
    o_state_free(state);
    (void)dbk_simdisk_remove(w->disk, "replay.sqlite");
    if (moment.by_position && store->known[at.position] && !same_print(found.fingerprint, store->shown[at.position]))
        m_fail(w, "as of %llu: another fingerprint than was shown then", (unsigned long long)at.position);
}

/* ---- shuffled */

static void take_origins(m_world *w, m_store *store, dbk_buffer *bytes, dbk_slice *origins, uint32_t *order)
{
    dbk_buffer one;
    size_t ends[O_ENTRIES + 1] = {0};
    uint64_t count = store->oracle->position;
    dbk_buffer_init(&one, dbk_port_system());
    for (uint64_t i = 0; i < count; i++) {
        if (dbk_log_read(dbk_engine_log(store->engine), i + 1, &one, NULL, &w->error) != DBK_OK)
            m_fail(w, "reading: %s", w->error.text);
        dbk_buffer_put_slice(bytes, dbk_buffer_slice(&one));
        ends[i + 1] = bytes->size;
        order[i] = (uint32_t)i;
    }
    for (uint64_t i = count; i > 1; i--) {
        uint32_t other = m_below(&w->random, (uint32_t)i), kept = order[i - 1];
        order[i - 1] = order[other];
        order[other] = kept;
    }
    for (uint64_t i = 0; i < count; i++)
        origins[i] = dbk_slice_of(bytes->data + ends[order[i]], ends[order[i] + 1] - ends[order[i]]);
    dbk_buffer_release(&one);
}

void m_look_shuffled(m_world *w, m_store *store)
{
    static dbk_slice origins[O_ENTRIES];
    static uint32_t order[O_ENTRIES];
    uint64_t count = store->oracle->position, logged, parked;
    dbk_buffer bytes;
    static m_store other;
    dbk_buffer_init(&bytes, dbk_port_system());
    take_origins(w, store, &bytes, origins, order);
    memset(&other, 0, sizeof other);
    other.options = store->options;
    other.options.incarnation = 77;
    memset(other.options.replica, 'z', 16);
    memcpy(other.path, "/shuffled", 10);
    dbk_buffer_init(&other.feed, dbk_port_system());
    w->what = "facts in another order";
    if (dbk_engine_create(other.path, NULL, &other.options, NULL, &w->error) != DBK_OK)
        m_fail(w, "create: %s", w->error.text);
    m_open(w, &other);
    for (uint64_t done = 0, most; done < count; done += most) {
        most = 1 + m_below(&w->random, (uint32_t)(count - done));
        if (dbk_engine_import(other.engine, &origins[done], most, INT64_C(1800000000000), &logged, &parked,
                              &w->error) != DBK_OK)
            m_fail(w, "import: %s", w->error.text);
    }
    if (parked) m_fail(w, "%llu facts are still parked", (unsigned long long)parked);
    compare_rows(w, dbk_model_handle(dbk_engine_model(other.engine)), store->oracle->state);
    if (!same_print(m_fingerprint(&other), m_fingerprint(store))) m_fail(w, "another order gives another fingerprint");
    m_close(w, &other);
    dbk_buffer_release(&other.feed);
    dbk_buffer_release(&bytes);
}
