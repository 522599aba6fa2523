/* Catching up: when a late entry needs no shadow, and that every way there gives the same model. */
#include "tests/projector/fold_fixture.h"

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

static bool catch_up(fold_place *place, dbk_model *model)
{
    bool shadow = false;
    dbk_result result = dbk_model_catch_up(model, 0, NULL, NULL, NULL, &shadow, &place->err);
    if (result != DBK_OK) fail_msg("%s: %s", dbk_result_name(result), place->err.text);
    return shadow;
}

/* The first entries are folded, then the last one arrives, late: is a shadow asked for? Whatever the
 * answer, the model is the fold of the whole log, or untouched. */
static bool asks_for_shadow(const fact_text *texts, size_t count)
{
    fold_place place;
    dbk_model_state state;
    place_open(&place, definition);
    dbk_model *model = place_model(&place);
    for (size_t i = 0; i < count; i++) {
        fact one = make_fact(arena, definition, &texts[i]);
        if (i == count - 1) assert_false(catch_up(&place, model));
        place_append(&place, &one, 1);
    }
    bool shadow = catch_up(&place, model);
    dbk_model_get_state(model, &state);
    assert_int_equal(state.position, shadow ? count - 1 : count);
    if (!shadow) {
        dbk_model *cold = place_build(&place, (dbk_shadow_options){0});
        assert_same_model(model, cold, true);
        dbk_model_close(cold);
    }
    dbk_model_close(model);
    place_close(&place);
    return shadow;
}
#define ASKS(...)                                                                                                      \
    asks_for_shadow((const fact_text[]){__VA_ARGS__}, sizeof((const fact_text[]){__VA_ARGS__}) / sizeof(fact_text))

#define PUT(author, seq, ms, id, table, key, rest)                                                                     \
    {                                                                                                                  \
        author, seq, ms, id, table "/" key, table ".put", "{\"id\":\"" key "\"" rest "}"                               \
    }

/* B's entry is older than A's, but of another row of a row-local table. */
static void test_late_row_of_its_own_is_applied(void **state)
{
    (void)state;
    assert_false(ASKS(PUT(0, 1, 90, "a", "settings", "1", ",\"value\":\"x\""),
                      PUT(1, 1, 50, "b", "settings", "2", ",\"value\":\"y\"")));
}

/* A's later entry names the row, which is made again. */
static void test_row_named_later_is_made_again(void **state)
{
    (void)state;
    assert_false(ASKS(PUT(0, 1, 90, "a", "settings", "1", ",\"value\":\"x\""),
                      PUT(1, 1, 50, "b", "settings", "1", ",\"value\":\"y\"")));
}

/* A's later patch found no row and was superseded: with the late row it applies. */
static void test_row_named_by_a_skipped_entry_is_made_again(void **state)
{
    (void)state;
    assert_false(ASKS({0, 1, 90, "a", "settings/1", "settings.patched", "{\"value\":\"x\"}"},
                      PUT(1, 1, 50, "b", "settings", "1", ",\"value\":\"y\"")));
}

/* The highest position that names the row is below the late entry in order, an earlier position above. */
static void test_every_naming_entry_counts(void **state)
{
    (void)state;
    assert_false(ASKS(PUT(2, 1, 90, "c", "settings", "1", ",\"value\":\"c\""), PUT(0, 1, 40, "a", "settings", "1", ""),
                      PUT(1, 1, 50, "b", "settings", "1", ",\"value\":\"y\"")));
}

/* Named by entries that all sort below the late one: nothing stands in its way. */
static void test_row_named_earlier_only(void **state)
{
    (void)state;
    assert_false(ASKS(PUT(0, 1, 40, "a", "settings", "1", ""), PUT(2, 1, 90, "c", "settings", "2", ""),
                      {1, 1, 50, "b", "settings/1", "settings.patched", "{\"value\":\"y\"}"}));
}

/* The command went to two devices: which of its entries applies is decided by order. */
static void test_shared_command_id_asks(void **state)
{
    (void)state;
    assert_true(ASKS(PUT(0, 1, 90, "same", "settings", "1", ""), PUT(1, 1, 50, "same", "settings", "2", "")));
}

/* UNIQUE, a parent, a child, a table that projections read, an event of projections. */
static void test_tables_with_ties_ask(void **state)
{
    (void)state;
    assert_true(ASKS(PUT(0, 1, 90, "a", "settings", "1", ""), PUT(1, 1, 50, "b", "notes", "2", ",\"title\":\"t\"")));
    assert_true(ASKS(PUT(0, 1, 90, "a", "settings", "1", ""), PUT(1, 1, 50, "b", "tags", "2", ",\"note\":\"1\"")));
    assert_true(ASKS(PUT(0, 1, 90, "a", "settings", "1", ""), PUT(1, 1, 50, "b", "lists", "2", ",\"name\":\"n\"")));
    assert_true(ASKS(PUT(0, 1, 90, "a", "settings", "1", ""),
                     {1, 1, 50, "b", "job/1", "job.queued", "{\"id\":\"1\",\"list\":\"2\"}"}));
}

/* Events of the engine, and entries without events, change no row of the app. */
static void test_late_engine_entry_is_applied(void **state)
{
    (void)state;
    assert_false(ASKS(PUT(0, 1, 90, "a", "settings", "1", ""),
                      {1, 1, 50, NULL, "daybook/definition", "daybook.definition", "{}"}));
    assert_false(ASKS(PUT(0, 1, 90, "a", "settings", "1", ""), {1, 1, 50, "b", "", "", NULL}));
}

/* A projection would make a row without a key: the entry is skipped, and the fold goes on. */
static void test_row_without_key_is_skipped(void **state)
{
    (void)state;
    fold_place place;
    const fact_text texts[] = {{0, 1, 10, "a", "job/1", "job.queued", "{\"list\":\"2\"}"},
                               {0, 2, 20, "b", "job/2", "job.queued", "{\"id\":\"2\",\"list\":\"2\"}"}};
    place_open(&place, definition);
    for (int i = 0; i < 2; i++) place_append(&place, &(fact){make_fact(arena, definition, &texts[i]).origin, 0}, 1);
    dbk_model *model = place_model(&place);
    assert_false(catch_up(&place, model));
    char *text = model_text(model, false);
    assert_non_null(strstr(text, "\njobs|3:2|3:queued"));
    assert_null(strstr(text, "\njobs|5:"));
    assert_non_null(strstr(text, ".1.1 skipped"));
    free(text);
    dbk_model_close(model);
    place_close(&place);
}

/* ---- random histories */

typedef struct way_counts {
    size_t appended, local, shadows;
} way_counts;

static bool some_late(fold_place *place, dbk_model *model)
{
    dbk_model_state state;
    uint64_t position, end = dbk_log_position(place->log);
    bool late = false;
    dbk_buffer origin;
    dbk_buffer_init(&origin, place->port);
    dbk_model_get_state(model, &state);
    for (position = state.position + 1; position <= end; position++) {
        dbk_entry entry;
        uint8_t key[DBK_ORDER_KEY_SIZE];
        assert_int_equal(dbk_log_read(place->log, position, &origin, NULL, &place->err), DBK_OK);
        assert_int_equal(dbk_entry_decode(dbk_buffer_slice(&origin), &entry, &place->err), DBK_OK);
        dbk_entry_order_key(&entry, key);
        late |= memcmp(key, state.top, sizeof key) < 0;
    }
    dbk_buffer_release(&origin);
    return late;
}

/* Appends in rounds, catching up after each, as a store does. */
static dbk_model *arrive(fold_place *place, uint64_t *seed, const fact *facts, size_t count, way_counts *ways)
{
    dbk_model *model = place_model(place);
    for (size_t done = 0; done < count;) {
        size_t round = 1 + next_random(seed) % 5;
        if (round > count - done) round = count - done;
        place_append(place, facts + done, round);
        done += round;
        bool late = some_late(place, model);
        if (catch_up(place, model)) {
            dbk_model_close(model);
            model = place_build(place, (dbk_shadow_options){0});
            assert_int_equal(dbk_model_finish(model, false, &place->err), DBK_OK);
            ways->shadows++;
        } else if (late) {
            ways->local++;
        } else {
            ways->appended++;
        }
    }
    return model;
}

/* Entries of three replicas arrive in any order, in rounds of any size: the rows, the fingerprint and
 * the skip list are the same, and the same as a cold fold gives. */
static void test_any_order_of_arrival_gives_one_model(void **state)
{
    (void)state;
    way_counts ways = {0};
    for (uint64_t seed = 1; seed <= 12; seed++) {
        enum { COUNT = 60 };
        fact facts[COUNT], arrived[COUNT];
        fold_place places[3];
        dbk_model *models[3];
        uint64_t chance = seed * 1000;
        make_history(arena, definition, seed, 3, facts, COUNT);
        for (int i = 0; i < 3; i++) {
            shuffle_history(&chance, 3, facts, arrived, COUNT);
            place_open(&places[i], definition);
            models[i] = arrive(&places[i], &chance, arrived, COUNT, &ways);
            dbk_model *cold = place_build(&places[i], (dbk_shadow_options){0});
            assert_same_model(models[i], cold, true);
            dbk_model_close(cold);
            assert_same_model(models[0], models[i], false);
        }
        for (int i = 0; i < 3; i++) {
            dbk_model_close(models[i]);
            place_close(&places[i]);
        }
        dbk_arena_clear(arena);
    }
    assert_true(ways.appended > 20 && ways.local > 20 && ways.shadows > 20);
}

typedef struct step_watch {
    fold_place *place;
    dbk_model *model;
    size_t commits;
    uint64_t done;
} step_watch;

static void at_commit(void *arg, const dbk_changes *changes)
{
    step_watch *steps = arg;
    dbk_model_state state;
    (void)changes;
    dbk_model_get_state(steps->model, &state);
    dbk_model *cold = place_build(steps->place, (dbk_shadow_options){.last = state.position});
    assert_same_model(steps->model, cold, true);
    dbk_model_close(cold);
    steps->commits++;
}

static void at_progress(void *arg, uint64_t done, uint64_t all)
{
    step_watch *steps = arg;
    assert_true(done > steps->done && done <= all);
    steps->done = done;
}

/* In small transactions every committed state is the fold of the positions up to its own. */
static void test_each_commit_is_a_state_of_the_log(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 6; seed++) {
        enum { COUNT = 40 };
        fact facts[COUNT], arrived[COUNT];
        fold_place place;
        uint64_t chance = seed;
        bool shadow;
        make_history(arena, definition, seed + 100, 3, facts, COUNT);
        shuffle_history(&chance, 3, facts, arrived, COUNT);
        place_open(&place, definition);
        place_append(&place, arrived, COUNT);
        step_watch steps = {.place = &place, .model = place_model(&place)};
        dbk_result result = dbk_model_catch_up(steps.model, 3, at_commit, at_progress, &steps, &shadow, &place.err);
        if (result != DBK_OK) fail_msg("%s", place.err.text);
        assert_false(shadow);
        assert_int_equal(steps.done, COUNT);
        assert_true(steps.commits >= 1 && steps.commits <= (COUNT + 2) / 3);
        dbk_model_close(steps.model);
        place_close(&place);
        dbk_arena_clear(arena);
    }
}

/* A model that is ahead of the log cannot be caught up. */
static void test_model_ahead_of_the_log_is_lost(void **state)
{
    (void)state;
    fold_place place, shorter;
    bool shadow;
    fact one = make_fact(arena, definition, &(fact_text)PUT(0, 1, 90, "a", "settings", "1", ""));
    place_open(&place, definition);
    place_open(&shorter, definition);
    place_append(&place, &one, 1);
    dbk_model *model = place_model(&place);
    assert_false(catch_up(&place, model));
    assert_int_equal(dbk_model_finish(model, false, NULL), DBK_OK);
    char path[192];
    strcpy(path, dbk_model_path(model));
    dbk_model_close(model);
    assert_int_equal(dbk_model_open(place.port, path, definition, shorter.log, NULL, &model, &place.err), DBK_OK);
    assert_int_equal(dbk_model_catch_up(model, 0, NULL, NULL, NULL, &shadow, &place.err), DBK_LOST);
    dbk_model_close(model);
    place_close(&shorter);
    place_close(&place);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_late_row_of_its_own_is_applied),
        cmocka_unit_test(test_row_named_later_is_made_again),
        cmocka_unit_test(test_row_named_by_a_skipped_entry_is_made_again),
        cmocka_unit_test(test_every_naming_entry_counts),
        cmocka_unit_test(test_row_named_earlier_only),
        cmocka_unit_test(test_shared_command_id_asks),
        cmocka_unit_test(test_tables_with_ties_ask),
        cmocka_unit_test(test_late_engine_entry_is_applied),
        cmocka_unit_test(test_row_without_key_is_skipped),
        cmocka_unit_test(test_any_order_of_arrival_gives_one_model),
        cmocka_unit_test(test_each_commit_is_a_state_of_the_log),
        cmocka_unit_test(test_model_ahead_of_the_log_is_lost),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
