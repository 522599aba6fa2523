/* Rows that are made again: late entries of many kinds about rows of row-local tables, in entries of several events,
 * give in any order of arrival the very file that one fold of the log gives: rows, records, skip list, fingerprint. */
#include "tests/projector/fold_fixture.h"

#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>

static const char schema[] =
    "CREATE TABLE plain(id TEXT PRIMARY KEY NOT NULL, a TEXT DEFAULT '-', b INTEGER CHECK(b IS NULL OR b < 9));\n"
    "CREATE INDEX plain_a ON plain(a);\n"
    "CREATE TABLE open(id TEXT PRIMARY KEY NOT NULL, a TEXT, b TEXT NOT NULL DEFAULT 'd', c JSON, n INTEGER);\n"
    "CREATE INDEX open_a ON open(a);\n"
    "CREATE TABLE wins(id TEXT PRIMARY KEY NOT NULL, a TEXT, n INTEGER DEFAULT 0, best INTEGER, tags JSON);\n"
    "CREATE TABLE guarded(id INTEGER NOT NULL, part TEXT NOT NULL, a TEXT, PRIMARY KEY(id, part));\n"
    "CREATE TABLE told(id TEXT PRIMARY KEY NOT NULL, a TEXT);\n"
    "CREATE TABLE last(id TEXT PRIMARY KEY NOT NULL, a TEXT);\n"
    "CREATE TABLE parents(id TEXT PRIMARY KEY NOT NULL, a TEXT);\n"
    "CREATE TABLE children(id TEXT PRIMARY KEY NOT NULL, a TEXT REFERENCES parents ON DELETE CASCADE);\n";
static const char projections[] =
    "-- on told.put\nINSERT INTO last VALUES('it', $id) ON CONFLICT(id) DO UPDATE SET a = "
    "excluded.a;\n";
static const char app[] =
    "{\"daybook\": 1, \"name\": \"amend\", \"version\": 1, \"search\": {\"words\": {\"table\": \"plain\", \"columns\": "
    "[\"a\"]}}, \"tables\": {\"wins\": {\"sync\": {\"delete\": \"edit_wins\", \"conflict\": {\"n\": \"counter\", "
    "\"best\": \"max\", \"tags\": \"set\"}}},\n"
    " \"guarded\": {\"sync\": {\"conflict\": {\"a\": \"guard\"}}}}}";

enum { COUNT = 90, AUTHORS = 3, SEEDS = 12 };

static dbk_definition *definition;
static uint64_t amended, shadows;

static int set_up(void **state)
{
    dbk_source sources[3] = {{"schema.sql", dbk_slice_text(schema)},
                             {"projections.sql", dbk_slice_text(projections)},
                             {"app.json", dbk_slice_text(app)}};
    dbk_findings findings = {0};
    dbk_error err = {0};
    (void)state;
    dbk_result result = dbk_definition_parse(dbk_port_system(), sources, 3, "amend", &definition, &findings, &err);
    for (size_t i = 0; i < findings.count; i++)
        fprintf(stderr, "%s:%u: %s\n", findings.items[i].file, findings.items[i].line, findings.items[i].text);
    dbk_findings_free(&findings);
    return result == DBK_OK ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    dbk_definition_free(definition);
    return 0;
}

static unsigned below(uint64_t *seed, unsigned most)
{
    return (unsigned)(next_random(seed) % most);
}

/* ---- histories */

typedef struct drawn {
    char stream[24], type[24], data[96];
} drawn;

static void draw_open(uint64_t *seed, const char *id, unsigned value, char data[96])
{
    switch (below(seed, 20) % (below(seed, 3) ? 3 : 9)) {
    case 0: snprintf(data, 96, "{%s\"a\":\"%u\"}", id, value); break;
    case 1: snprintf(data, 96, "{%s\"b\":\"%u\"}", id, value); break;
    case 2: snprintf(data, 96, "{%s\"a\":\"%u\",\"b\":\"x\"}", id, value); break;
    case 3: snprintf(data, 96, "{%s\"a\":null}", id); break;
    case 4: snprintf(data, 96, "{%s\"b\":null}", id); break;
    case 5: snprintf(data, 96, "{%s\"c\":{\"+\":%u}}", id, value); break;
    case 6: snprintf(data, 96, "{%s\"nix\":%u}", id, value); break;
    case 7: snprintf(data, 96, "{%s\"c\":[%u]}", id, value); break;
    default: snprintf(data, 96, "{%s\"id\":\"%u\"}", id, value); break;
    }
}

static void draw_data(uint64_t *seed, const char *table, const char *id, char data[96])
{
    unsigned value = below(seed, 12);
    if (*table == 'o') draw_open(seed, id, value, data);
    else if (*table == 'w' && value % 3 == 0) snprintf(data, 96, "{%s\"n\":{\"+\":%u}}", id, value);
    else if (*table == 'w' && value % 3 == 1) snprintf(data, 96, "{%s\"best\":%u}", id, value);
    else if (*table == 'w' && value == 2) snprintf(data, 96, "{%s\"tags\":{\"add\":[\"t%u\"]}}", id, below(seed, 4));
    else if (*table == 'p' && value % 2) snprintf(data, 96, "{%s\"b\":%u}", id, value);
    else snprintf(data, 96, "{%s\"a\":\"v%u\"}", id, value);
}

/* Mostly of the tables without ties; few of others, which ask for a shadow. */
static void draw_event(uint64_t *seed, drawn *out)
{
    static const char *const names[] = {"plain", "open", "open", "open", "wins", "guarded"};
    static const char *const ops[] = {"put", "put", "patched", "patched", "patched", "patched", "patched", "deleted"};
    const char *table = below(seed, 60) ? names[below(seed, 6)] : below(seed, 2) ? "told" : "parents";
    const char *op = ops[below(seed, 8)];
    unsigned key = below(seed, 10);
    char id[32] = "";
    if (!strcmp(op, "put"))
        snprintf(id, sizeof id, *table == 'g' ? "\"id\":%u,\"part\":\"a b\"," : "\"id\":\"%u\",", key);
    snprintf(out->stream, sizeof out->stream, *table == 'g' ? "%s/%u/a%%20b" : "%s/%u", table, key);
    snprintf(out->type, sizeof out->type, "%s.%s", table, op);
    if (!strcmp(op, "deleted")) snprintf(out->data, sizeof out->data, "{}");
    else draw_data(seed, table, id, out->data);
}

static void put_event(uint64_t *seed, dbk_buffer *events, const dbk_entry_id *seen)
{
    drawn text;
    draw_event(seed, &text);
    dbk_event event = {.stream = dbk_slice_text(text.stream),
                       .type = dbk_slice_text(text.type),
                       .type_version = 1,
                       .has_base = below(seed, 2),
                       .data = dbk_slice_text(text.data)};
    if (event.has_base) event.base = seen[below(seed, 4)];
    dbk_event_encode(events, &event);
}

/* One to three events on a few rows; the bases are other entries, right now and then. */
static fact draw_entry(uint64_t *seed, dbk_arena *arena, int author, uint64_t seq, uint64_t ms, dbk_entry_id seen[4])
{
    char id[32];
    dbk_buffer events, origin;
    dbk_entry entry = {.lineage = "lineage",
                       .id = {.incarnation = 1, .seq = seq},
                       .hlc = (1700000000000 + ms) << 16,
                       .time_ms = 1700000000000 + (int64_t)ms,
                       .flags = DBK_ENTRY_APP,
                       .event_count = below(seed, 3) ? 1 : 2 + below(seed, 2)};
    entry.id.replica[0] = (uint8_t)('A' + author);
    memcpy(entry.definition, definition->hash, sizeof entry.definition);
    if (below(seed, 30)) snprintf(id, sizeof id, "c-%d-%llu", author, (unsigned long long)seq);
    else snprintf(id, sizeof id, "shared-%u", below(seed, 2));
    entry.command_id = dbk_slice_text(id);
    dbk_buffer_init(&events, dbk_port_system());
    dbk_buffer_init(&origin, dbk_port_system());
    for (uint32_t i = 0; i < entry.event_count; i++) put_event(seed, &events, seen);
    entry.events = dbk_buffer_slice(&events);
    dbk_entry_encode(&origin, &entry);
    seen[below(seed, 4)] = entry.id;
    fact made = {dbk_arena_copy(arena, dbk_buffer_slice(&origin)), author};
    dbk_buffer_release(&events);
    dbk_buffer_release(&origin);
    return made;
}

static void draw_history(uint64_t seed, dbk_arena *arena, fact *facts)
{
    uint64_t seqs[AUTHORS] = {0}, clocks[AUTHORS] = {0};
    dbk_entry_id seen[4] = {0};
    for (int i = 0; i < COUNT; i++) {
        int author = (int)below(&seed, AUTHORS);
        clocks[author] += 1 + below(&seed, 40);
        facts[i] = draw_entry(&seed, arena, author, ++seqs[author], clocks[author], seen);
    }
}

/* ---- models */

static void put_table(sqlite3 *db, const char *name, dbk_buffer *out)
{
    sqlite3_stmt *rows = NULL;
    char *sql = sqlite3_mprintf("SELECT * FROM \"%w\" ORDER BY 1, 2", name);
    assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &rows, NULL), SQLITE_OK);
    sqlite3_free(sql);
    while (sqlite3_step(rows) == SQLITE_ROW) {
        dbk_buffer_put_text(out, name);
        for (int i = 0; i < sqlite3_column_count(rows); i++) {
            const char *text = (const char *)sqlite3_column_text(rows, i);
            dbk_buffer_printf(out, "|%d:%s", sqlite3_column_type(rows, i), text ? text : "");
        }
        dbk_buffer_put_u8(out, '\n');
    }
    assert_int_equal(sqlite3_finalize(rows), SQLITE_OK);
}

/* `whole`: with what is local to a log. */
static char *text_of(dbk_model *model, bool whole)
{
    static const char *const rows[] = {"plain", "open", "wins", "guarded", "told", "last", "parents"};
    static const char *const local[] = {"_daybook_rows", "_daybook_skips"};
    dbk_model_state state;
    dbk_hash128 sum;
    uint64_t count;
    dbk_error err;
    char fingerprint[33], counted[33];
    dbk_buffer out;
    dbk_buffer_init(&out, dbk_port_system());
    dbk_model_get_state(model, &state);
    dbk_fingerprint_text(state.fingerprint, fingerprint);
    assert_int_equal(dbk_model_recount(model, &sum, &count, &err), DBK_OK);
    dbk_fingerprint_text(sum, counted);
    assert_string_equal(fingerprint, counted);
    dbk_buffer_printf(&out, "%s\n", fingerprint);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) put_table(dbk_model_handle(model), rows[i], &out);
    for (size_t i = 0; whole && i < 2; i++) put_table(dbk_model_handle(model), local[i], &out);
    char *text = strdup(dbk_buffer_text(&out));
    dbk_buffer_release(&out);
    return text;
}

static void assert_same(dbk_model *one, dbk_model *other, bool whole)
{
    char *a = text_of(one, whole), *b = text_of(other, whole);
    assert_string_equal(a, b);
    free(a);
    free(b);
}

static size_t matches(dbk_model *model)
{
    sqlite3_stmt *row = NULL;
    assert_int_equal(sqlite3_prepare_v2(dbk_model_handle(model), "SELECT count(*) FROM words WHERE words MATCH 'v*'",
                                        -1, &row, NULL),
                     SQLITE_OK);
    assert_int_equal(sqlite3_step(row), SQLITE_ROW);
    size_t count = (size_t)sqlite3_column_int64(row, 0);
    sqlite3_finalize(row);
    return count;
}

typedef struct watch {
    fold_place *place;
    dbk_model *model;
} watch;

static void at_commit(void *arg, const dbk_changes *changes)
{
    const watch *w = arg;
    dbk_model_state state;
    (void)changes;
    dbk_model_get_state(w->model, &state);
    dbk_model *cold = place_build(w->place, (dbk_shadow_options){.last = state.position});
    assert_same(w->model, cold, true);
    dbk_model_close(cold);
}

static void key_of(dbk_slice origin, uint8_t key[DBK_ORDER_KEY_SIZE])
{
    dbk_entry entry;
    assert_int_equal(dbk_entry_decode(origin, &entry, NULL), DBK_OK);
    dbk_entry_order_key(&entry, key);
}

/* Up to the position that the log names everything sorts below; in an ordered log the next one does not. */
static void check_all_below(fold_place *place, const fact *some)
{
    uint8_t key[DBK_ORDER_KEY_SIZE], other[DBK_ORDER_KEY_SIZE];
    uint64_t position, end = dbk_log_position(place->log);
    dbk_buffer origin;
    dbk_buffer_init(&origin, place->port);
    key_of(some->origin, key);
    assert_int_equal(dbk_log_all_below(place->log, key, &position, &place->err), DBK_OK);
    assert_true(position <= end);
    for (uint64_t at = 1; at <= position + 1 && at <= end; at++) {
        assert_int_equal(dbk_log_read(place->log, at, &origin, NULL, &place->err), DBK_OK);
        key_of(dbk_buffer_slice(&origin), other);
        if (at <= position) assert_true(memcmp(other, key, sizeof key) < 0);
        else if (dbk_log_is_ordered(place->log)) assert_true(memcmp(other, key, sizeof key) >= 0);
    }
    dbk_buffer_release(&origin);
}

static dbk_model *arrive(fold_place *place, uint64_t *seed, const fact *facts)
{
    watch w = {.place = place};
    dbk_model *model = place_model(place);
    for (size_t done = 0, round; done < COUNT; done += round) {
        bool shadow = false;
        round = 1 + below(seed, 6);
        if (round > COUNT - done) round = COUNT - done;
        place_append(place, facts + done, round);
        check_all_below(place, &facts[below(seed, COUNT)]);
        w.model = model;
        dbk_result result = dbk_model_catch_up(model, below(seed, 4), at_commit, NULL, &w, &shadow, &place->err);
        if (result != DBK_OK) fail_msg("%s", place->err.text);
        dbk_model *cold = place_build(place, (dbk_shadow_options){0});
        if (!shadow) {
            assert_same(model, cold, true);
            assert_int_equal(matches(model), matches(cold));
            dbk_model_close(cold);
            continue;
        }
        shadows++;
        amended += dbk_model_amended(model);
        dbk_model_close(model);
        assert_int_equal(dbk_model_finish(cold, false, &place->err), DBK_OK);
        model = cold;
    }
    return model;
}

static void any_order_of_arrival_gives_the_fold(void **state)
{
    (void)state;
    dbk_arena *arena = dbk_arena_new(dbk_port_system(), 64 * 1024);
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        fact facts[COUNT], arrived[COUNT];
        uint64_t chance = seed * 77;
        dbk_model *models[2];
        fold_place places[2];
        draw_history(seed, arena, facts);
        for (int i = 0; i < 2; i++) {
            shuffle_history(&chance, AUTHORS, facts, arrived, COUNT);
            place_open(&places[i], definition);
            models[i] = arrive(&places[i], &chance, arrived);
            amended += dbk_model_amended(models[i]);
        }
        assert_same(models[0], models[1], false);
        for (int i = 0; i < 2; i++) {
            dbk_model_close(models[i]);
            place_close(&places[i]);
        }
        dbk_arena_clear(arena);
    }
    dbk_arena_free(arena);
    assert_true(amended > 500 && shadows > 10);
}

/* ---- one at a time */

static const uint64_t a_shadow = UINT64_MAX;

/* Facts that arrive one by one, the last one late: how many entries were applied again, or that a shadow is asked
 * for. */
static uint64_t arrive_late(const fact_text *texts, size_t count)
{
    dbk_arena *arena = dbk_arena_new(dbk_port_system(), 4096);
    fold_place place;
    place_open(&place, definition);
    dbk_model *model = place_model(&place);
    bool shadow = false;
    for (size_t i = 0; i < count; i++) {
        fact one = make_fact(arena, definition, &texts[i]);
        place_append(&place, &one, 1);
        assert_int_equal(dbk_model_catch_up(model, 0, NULL, NULL, NULL, &shadow, &place.err), DBK_OK);
        if (i + 1 < count) assert_false(shadow);
    }
    if (!shadow) {
        dbk_model *cold = place_build(&place, (dbk_shadow_options){0});
        assert_same(model, cold, true);
        dbk_model_close(cold);
    }
    uint64_t again = shadow ? a_shadow : dbk_model_amended(model);
    dbk_model_close(model);
    place_close(&place);
    dbk_arena_free(arena);
    return again;
}

#define LATE(...)                                                                                                      \
    arrive_late((const fact_text[]){__VA_ARGS__}, sizeof((const fact_text[]){__VA_ARGS__}) / sizeof(fact_text))

/* A projection on the table's events wrote elsewhere: its order counts. */
static void events_with_projections_ask_for_a_shadow(void **state)
{
    (void)state;
    assert_int_equal(LATE({0, 1, 90, "a", "told/1", "told.put", "{\"id\":\"1\",\"a\":\"x\"}"},
                          {1, 1, 50, "b", "told/2", "told.put", "{\"id\":\"2\",\"a\":\"y\"}"}),
                     a_shadow);
}

/* Only what names the row is applied again. */
static void what_names_the_row_is_applied_again(void **state)
{
    (void)state;
    assert_int_equal(LATE({0, 1, 10, "a", "plain/1", "plain.put", "{\"id\":\"1\",\"a\":\"x\"}"},
                          {0, 2, 20, "b", "plain/2", "plain.put", "{\"id\":\"2\",\"a\":\"x\"}"},
                          {0, 3, 90, "c", "plain/1", "plain.patched", "{\"a\":\"z\"}"},
                          {1, 1, 50, "d", "plain/1", "plain.deleted", "{}"}),
                     2);
}

/* Patches behind it hide columns of a late one; the row stays. One that is no such patch has it made again. */
static void a_patch_goes_under_patches(void **state)
{
    (void)state;
    assert_int_equal(LATE({0, 1, 10, "a", "open/1", "open.put", "{\"id\":\"1\",\"a\":\"x\"}"},
                          {0, 2, 70, "b", "open/1", "open.patched", "{\"a\":\"y\"}"},
                          {0, 3, 90, "c", "open/1", "open.patched", "{\"c\":[1]}"},
                          {1, 1, 50, "d", "open/1", "open.patched", "{\"a\":\"z\",\"b\":\"w\"}"}),
                     0);
    assert_int_equal(LATE({0, 1, 10, "a", "open/1", "open.put", "{\"id\":\"1\",\"a\":\"x\"}"},
                          {0, 2, 70, "b", "open/1", "open.patched", "{\"a\":\"y\"}"},
                          {1, 1, 50, "d", "open/1", "open.patched", "{\"a\":\"z\",\"b\":null}"}),
                     2);
    assert_int_equal(LATE({0, 1, 10, "a", "plain/1", "plain.put", "{\"id\":\"1\",\"a\":\"x\"}"},
                          {0, 2, 70, "b", "plain/1", "plain.patched", "{\"b\":1}"},
                          {1, 1, 50, "d", "plain/1", "plain.patched", "{\"b\":10}"}),
                     2);
}

/* The row, a patch behind it and a late one between them; how many were applied again. */
static uint64_t between(const char *behind, const char *late)
{
    return LATE({0, 1, 10, "a", "open/1", "open.put", "{\"id\":\"1\",\"a\":\"x\",\"n\":1}"},
                {0, 2, 70, "b", "open/1", "open.patched", behind}, {1, 1, 50, "c", "open/1", "open.patched", late});
}

/* It must have applied, said what its columns are, and have some; the late one may not fail by a hidden column. */
static void what_a_patch_goes_under(void **state)
{
    (void)state;
    assert_int_equal(between("{\"a\":\"y\"}", "{\"a\":\"z\"}"), 0);
    assert_int_equal(between("{\"a\":null}", "{\"a\":\"z\",\"n\":3}"), 0);
    assert_int_equal(between("{\"a\":\"y\",\"b\":null}", "{\"a\":\"z\"}"), 2);
    assert_int_equal(between("{\"n\":{\"+\":2}}", "{\"n\":5}"), 2);
    assert_int_equal(between("{\"n\":5}", "{\"n\":{\"+\":2}}"), 2);
    assert_int_equal(between("{\"nix\":1}", "{\"a\":\"z\"}"), 2);
    assert_int_equal(between("{\"a\":\"y\"}", "{\"nix\":1}"), 2);
    assert_int_equal(between("{\"b\":\"y\"}", "{\"a\":\"z\",\"b\":null}"), 2);
}

/* The late row lets an entry apply that found none, so another of the same command does not. */
static void a_shared_command_id_asks_for_a_shadow(void **state)
{
    (void)state;
    assert_int_equal(LATE({0, 1, 40, "same", "plain/1", "plain.patched", "{\"a\":\"x\"}"},
                          {2, 1, 60, "same", "plain/2", "plain.put", "{\"id\":\"2\",\"a\":\"y\"}"},
                          {1, 1, 30, "b", "plain/1", "plain.put", "{\"id\":\"1\"}"}),
                     a_shadow);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_order_of_arrival_gives_the_fold),
        cmocka_unit_test(events_with_projections_ask_for_a_shadow),
        cmocka_unit_test(what_names_the_row_is_applied_again),
        cmocka_unit_test(a_patch_goes_under_patches),
        cmocka_unit_test(what_a_patch_goes_under),
        cmocka_unit_test(a_shared_command_id_asks_for_a_shadow),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
