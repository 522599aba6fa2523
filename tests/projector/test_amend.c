/* Rows that are made again: late entries of many kinds about rows of row-local tables, in entries of several events,
 * give in any order of arrival the very file that one fold of the log gives: rows, records, skip list, fingerprint. */
#include "tests/projector/late_fixture.h"

#include <sqlite3.h>
#include <stdio.h>

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

static int set_up(void **state)
{
    *state = definition = late_definition(schema, projections, app);
    return 0;
}

/* ---- histories */

/* The bases are other entries, right now and then. */
typedef struct drawing {
    uint64_t *seed;
    dbk_entry_id seen[4];
} drawing;

static void draw_open(uint64_t *seed, const char *id, unsigned value, char data[160])
{
    switch (below(seed, 20) % (below(seed, 3) ? 3 : 9)) {
    case 0: snprintf(data, 160, "{%s\"a\":\"%u\"}", id, value); break;
    case 1: snprintf(data, 160, "{%s\"b\":\"%u\"}", id, value); break;
    case 2: snprintf(data, 160, "{%s\"a\":\"%u\",\"b\":\"x\"}", id, value); break;
    case 3: snprintf(data, 160, "{%s\"a\":null}", id); break;
    case 4: snprintf(data, 160, "{%s\"b\":null}", id); break;
    case 5: snprintf(data, 160, "{%s\"c\":{\"+\":%u}}", id, value); break;
    case 6: snprintf(data, 160, "{%s\"nix\":%u}", id, value); break;
    case 7: snprintf(data, 160, "{%s\"c\":[%u]}", id, value); break;
    default: snprintf(data, 160, "{%s\"id\":\"%u\"}", id, value); break;
    }
}

static void draw_data(uint64_t *seed, const char *table, const char *id, char data[160])
{
    unsigned value = below(seed, 12);
    if (*table == 'o') draw_open(seed, id, value, data);
    else if (*table == 'w' && value % 3 == 0) snprintf(data, 160, "{%s\"n\":{\"+\":%u}}", id, value);
    else if (*table == 'w' && value % 3 == 1) snprintf(data, 160, "{%s\"best\":%u}", id, value);
    else if (*table == 'w' && value == 2) snprintf(data, 160, "{%s\"tags\":{\"add\":[\"t%u\"]}}", id, below(seed, 4));
    else if (*table == 'p' && value % 2) snprintf(data, 160, "{%s\"b\":%u}", id, value);
    else snprintf(data, 160, "{%s\"a\":\"v%u\"}", id, value);
}

/* Mostly of the tables without ties; few of others, which ask for a shadow. */
static void draw_event(void *arg, drawn_event *out)
{
    const drawing *d = arg;
    uint64_t *seed = d->seed;
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
    out->has_base = below(seed, 2);
    if (out->has_base) out->base = d->seen[below(seed, 4)];
}

static void draw_history(uint64_t seed, dbk_arena *arena, fact *facts)
{
    uint64_t seqs[AUTHORS] = {0}, clocks[AUTHORS] = {0};
    drawing d = {.seed = &seed};
    for (int i = 0; i < COUNT; i++) {
        char id[32];
        int author = (int)below(&seed, AUTHORS);
        clocks[author] += 1 + below(&seed, 40);
        fact_text text = {.author = author, .seq = ++seqs[author], .ms = clocks[author], .command_id = id};
        if (below(&seed, 30)) snprintf(id, sizeof id, "c-%d-%llu", author, (unsigned long long)text.seq);
        else snprintf(id, sizeof id, "shared-%u", below(&seed, 2));
        facts[i] = draw_entry(&seed, arena, definition, &text, draw_event, &d);
        d.seen[below(&seed, 4)] =
            (dbk_entry_id){.replica = {(uint8_t)('A' + author)}, .incarnation = 1, .seq = text.seq};
    }
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

static void key_of(dbk_slice origin, uint8_t key[DBK_ORDER_KEY_SIZE])
{
    dbk_entry entry;
    assert_int_equal(dbk_entry_decode(origin, &entry, NULL), DBK_OK);
    dbk_entry_order_key(&entry, key);
}

/* Up to the position that the log names everything sorts below; in an ordered log the next one does not. */
static void check_all_below(fold_place *place, dbk_slice some)
{
    uint8_t key[DBK_ORDER_KEY_SIZE], other[DBK_ORDER_KEY_SIZE];
    uint64_t position, end = dbk_log_position(place->log);
    dbk_buffer origin;
    dbk_buffer_init(&origin, place->port);
    key_of(some, key);
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

static void check_round(late_watch *watch)
{
    dbk_error err;
    dbk_buffer some;
    uint64_t end = dbk_log_position(watch->place->log), chance = end;
    dbk_buffer_init(&some, watch->place->port);
    assert_int_equal(dbk_log_read(watch->place->log, 1 + below(&chance, (unsigned)end), &some, NULL, &err), DBK_OK);
    check_all_below(watch->place, dbk_buffer_slice(&some));
    dbk_buffer_release(&some);
    dbk_model *cold = place_build(watch->place, (dbk_shadow_options){0});
    assert_int_equal(matches(watch->model), matches(cold));
    dbk_model_close(cold);
}

static void any_order_of_arrival_gives_the_fold(void **state)
{
    (void)state;
    late_watch sums = any_order_gives_the_fold(&(late_orders){.definition = definition,
                                                              .authors = AUTHORS,
                                                              .seeds = SEEDS,
                                                              .most = 6,
                                                              .count = COUNT,
                                                              .draw = draw_history,
                                                              .after_round = check_round});
    if (sums.amended < 500 || sums.shadows < 10)
        fail_msg("%d applied again, %d shadows", (int)sums.amended, (int)sums.shadows);
}

/* ---- one at a time */

#define LATE(...) ARRIVE(definition, __VA_ARGS__)

/* A projection on the table's events wrote elsewhere: its order counts. */
static void events_with_projections_ask_for_a_shadow(void **state)
{
    (void)state;
    assert_int_equal(LATE({0, 1, 90, "a", "told/1", "told.put", "{\"id\":\"1\",\"a\":\"x\"}"},
                          {1, 1, 50, "b", "told/2", "told.put", "{\"id\":\"2\",\"a\":\"y\"}"}),
                     A_SHADOW);
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
                     A_SHADOW);
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
    return cmocka_run_group_tests(tests, set_up, late_definition_free);
}
