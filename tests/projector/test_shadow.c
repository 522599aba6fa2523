/* The shadow: the fold of a wanted part of the log into a file of its own. */
#include "tests/projector/fold_fixture.h"

#include <sqlite3.h>
#include <stdlib.h>

static dbk_definition *definition;
static dbk_arena *arena;

static int set_up(void **state)
{
    (void)state;
    definition = fold_definition();
    arena = dbk_arena_new(dbk_port_system(), 64 * 1024);
    return arena ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    dbk_definition_free(definition);
    dbk_arena_free(arena);
    return 0;
}

/* A log with a history of three replicas that arrived out of order. */
static void open_shuffled(fold_place *place, uint64_t seed, size_t count)
{
    fact *facts = calloc(count, sizeof *facts), *arrived = calloc(count, sizeof *arrived);
    assert_true(facts && arrived);
    uint64_t chance = seed;
    make_history(arena, definition, seed, 3, facts, count);
    shuffle_history(&chance, 3, facts, arrived, count);
    place_open(place, definition);
    place_append(place, arrived, count);
    free(facts);
    free(arrived);
}

/* Nothing may depend on the order in which SQLite happens to give rows. */
static void test_unordered_selects_reversed_give_the_same(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 8; seed++) {
        fold_place place;
        open_shuffled(&place, seed, 80);
        dbk_model *one = place_build(&place, (dbk_shadow_options){0});
        dbk_model *other = place_build(&place, (dbk_shadow_options){.model.reverse_unordered = true});
        assert_same_model(one, other, true);
        dbk_model_close(one);
        dbk_model_close(other);
        place_close(&place);
        dbk_arena_clear(arena);
    }
}

/* The state says where it stands, and the fingerprint kept on the way is that of the rows. */
static void test_state_is_that_of_the_log(void **state)
{
    (void)state;
    fold_place place;
    dbk_model_state told;
    uint8_t head[DBK_LEAF_SIZE], top[DBK_ORDER_KEY_SIZE];
    dbk_hash128 counted;
    uint64_t rows;
    open_shuffled(&place, 3, 80);
    dbk_model *model = place_build(&place, (dbk_shadow_options){0});
    dbk_model_get_state(model, &told);
    dbk_log_head(place.log, head);
    dbk_log_top(place.log, top);
    assert_int_equal(told.position, 80);
    assert_memory_equal(told.head, head, sizeof head);
    assert_memory_equal(told.top, top, sizeof top);
    assert_int_equal(dbk_model_recount(model, &counted, &rows, &place.err), DBK_OK);
    assert_memory_equal(&counted, &told.fingerprint, sizeof counted);
    assert_true(rows > 0);
    dbk_model_close(model);
    place_close(&place);
    dbk_arena_clear(arena);
}

static bool first_half(void *arg, uint64_t position, int64_t received_ms, const uint8_t key[DBK_ORDER_KEY_SIZE])
{
    (void)received_ms, (void)key;
    return position <= *(uint64_t *)arg;
}

static bool below_key(void *arg, uint64_t position, int64_t received_ms, const uint8_t key[DBK_ORDER_KEY_SIZE])
{
    (void)position, (void)received_ms;
    return memcmp(key, arg, DBK_ORDER_KEY_SIZE) < 0;
}

static void compare_as_of(uint64_t seed)
{
    enum { COUNT = 60, HALF = 31 };
    fact facts[COUNT], arrived[COUNT];
    uint64_t chance = seed, half = HALF;
    fold_place whole, prefix;
    make_history(arena, definition, seed, 3, facts, COUNT);
    shuffle_history(&chance, 3, facts, arrived, COUNT);
    place_open(&whole, definition);
    place_open(&prefix, definition);
    place_append(&whole, arrived, COUNT);
    place_append(&prefix, arrived, HALF);
    dbk_model *by_last = place_build(&whole, (dbk_shadow_options){.last = HALF});
    dbk_model *by_filter = place_build(&whole, (dbk_shadow_options){.wanted = first_half, .wanted_arg = &half});
    dbk_model *by_log = place_build(&prefix, (dbk_shadow_options){0});
    assert_same_model(by_last, by_log, true);
    assert_same_model(by_filter, by_log, false);
    dbk_model_close(by_last);
    dbk_model_close(by_filter);
    dbk_model_close(by_log);
    place_close(&whole);
    place_close(&prefix);
    dbk_arena_clear(arena);
}

/* "As of P" by `last`, by a filter, and a log that ends at P: three ways to one model. Commands that a
 * later position sent earlier in order are duplicates of nothing here. */
static void test_as_of_a_position(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 12; seed++) compare_as_of(seed);
}

/* What stood before an entry in canonical order is the fold of what sorts below it: the same as a log
 * that has only that. */
static void test_before_an_entry_in_order(void **state)
{
    (void)state;
    enum { COUNT = 60 };
    fact facts[COUNT], below[COUNT];
    uint8_t middle[DBK_ORDER_KEY_SIZE], key[DBK_ORDER_KEY_SIZE];
    dbk_entry entry;
    fold_place whole, part;
    size_t count = 0;
    make_history(arena, definition, 6, 3, facts, COUNT);
    assert_int_equal(dbk_entry_decode(facts[COUNT / 2].origin, &entry, NULL), DBK_OK);
    dbk_entry_order_key(&entry, middle);
    for (size_t i = 0; i < COUNT; i++) {
        assert_int_equal(dbk_entry_decode(facts[i].origin, &entry, NULL), DBK_OK);
        dbk_entry_order_key(&entry, key);
        if (memcmp(key, middle, sizeof key) < 0) below[count++] = facts[i];
    }
    place_open(&whole, definition);
    place_open(&part, definition);
    place_append(&whole, facts, COUNT);
    place_append(&part, below, count);
    dbk_model *filtered = place_build(&whole, (dbk_shadow_options){.wanted = below_key, .wanted_arg = middle});
    dbk_model *alone = place_build(&part, (dbk_shadow_options){0});
    assert_same_model(filtered, alone, false);
    dbk_model_close(filtered);
    dbk_model_close(alone);
    place_close(&whole);
    place_close(&part);
    dbk_arena_clear(arena);
}

/* An empty log, and a wanted set that is empty, give an empty model. */
static void test_nothing_wanted(void **state)
{
    (void)state;
    fold_place place;
    uint64_t none = 0;
    place_open(&place, definition);
    dbk_model *empty = place_build(&place, (dbk_shadow_options){0});
    fact one = make_fact(arena, definition, &(fact_text){0, 1, 5, "a", "settings/1", "settings.put", "{\"id\":\"1\"}"});
    place_append(&place, &one, 1);
    dbk_model *filtered = place_build(&place, (dbk_shadow_options){.wanted = first_half, .wanted_arg = &none});
    assert_same_model(empty, filtered, false);
    dbk_model_close(empty);
    dbk_model_close(filtered);
    place_close(&place);
}

typedef struct progress_seen {
    size_t calls;
    uint64_t done, all;
} progress_seen;

static void on_progress(void *arg, uint64_t done, uint64_t all)
{
    progress_seen *seen = arg;
    assert_true(done >= seen->done && done <= all);
    *seen = (progress_seen){seen->calls + 1, done, all};
}

/* More entries than one transaction takes: several commits, one state at the end, and it can be opened
 * again and caught up as a store's model. */
static void test_several_transactions(void **state)
{
    (void)state;
    enum { COUNT = 5000 };
    fold_place place;
    progress_seen seen = {0};
    char path[192];
    bool shadow;
    open_shuffled(&place, 9, COUNT);
    dbk_model *built =
        place_build(&place, (dbk_shadow_options){.progress = on_progress, .progress_arg = &seen, .at_once = 700});
    assert_int_equal(seen.done, COUNT);
    assert_int_equal(seen.calls, (COUNT + 699) / 700);
    assert_int_equal(dbk_model_finish(built, false, &place.err), DBK_OK);
    strcpy(path, dbk_model_path(built));
    dbk_model_close(built);
    assert_int_equal(dbk_model_open(place.port, path, definition, place.log, NULL, &built, &place.err), DBK_OK);
    assert_int_equal(dbk_model_catch_up(built, 0, NULL, NULL, NULL, &shadow, &place.err), DBK_OK);
    dbk_model *caught = place_model(&place);
    assert_int_equal(dbk_model_catch_up(caught, 0, NULL, NULL, NULL, &shadow, &place.err), DBK_OK);
    assert_false(shadow);
    assert_same_model(built, caught, true);
    dbk_model_close(built);
    dbk_model_close(caught);
    place_close(&place);
    dbk_arena_clear(arena);
}

static fact setting(int author, uint64_t seq, uint64_t ms, const char *command_id)
{
    fact_text text = {author, seq, ms, command_id, "settings/1", "settings.put", "{\"id\":\"1\"}"};
    return make_fact(arena, definition, &text);
}

/* The log is in order, as far as one author goes alone nothing is looked for; behind it the second entry of a command
 * id, by whomever, is left out. */
static void test_command_ids_of_two_authors_in_order(void **state)
{
    (void)state;
    fold_place place;
    place_open(&place, definition);
    fact facts[] = {setting(0, 1, 5, "x"), setting(0, 2, 6, "y"), setting(1, 1, 7, "x"), setting(1, 2, 8, "z"),
                    setting(0, 3, 9, "z")};
    place_append(&place, facts, sizeof facts / sizeof *facts);
    assert_true(dbk_log_is_ordered(place.log));
    dbk_model *built = place_build(&place, (dbk_shadow_options){0});
    sqlite3_stmt *rows = NULL;
    assert_int_equal(sqlite3_prepare_v2(dbk_model_handle(built),
                                        "SELECT group_concat(position || state || reason) FROM (SELECT * FROM "
                                        "_daybook_skips ORDER BY position)",
                                        -1, &rows, NULL),
                     SQLITE_OK);
    assert_int_equal(sqlite3_step(rows), SQLITE_ROW);
    assert_string_equal((const char *)sqlite3_column_text(rows, 0), "3duplicate,5skippedid_reused");
    sqlite3_finalize(rows);
    dbk_model_close(built);
    place_close(&place);
    dbk_arena_clear(arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_unordered_selects_reversed_give_the_same),
        cmocka_unit_test(test_state_is_that_of_the_log),
        cmocka_unit_test(test_as_of_a_position),
        cmocka_unit_test(test_before_an_entry_in_order),
        cmocka_unit_test(test_nothing_wanted),
        cmocka_unit_test(test_several_transactions),
        cmocka_unit_test(test_command_ids_of_two_authors_in_order),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
