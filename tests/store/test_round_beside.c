/* Late rounds that take a shadow: it is folded with them in it while commands are decided, and little is left for the turn.
 * Whatever is decided meanwhile, and wherever the store dies, the rows are those that the log folds to. */
#include "tests/store/dying.h"
#include "tests/store/world_fixture.h"

enum { FACTS = 40, NEAR = 16, SEEDS = 12 };

typedef struct deciding {
    world *w;
    int at_once, times; /* how many commands at how many of the points */
    int accepted, stops;
    bool random, behind;
} deciding;

static void decide_one(deciding *d)
{
    char command[200];
    if (d->random) return world_random_command(d->w, 1);
    snprintf(command, sizeof command,
             "{\"id\":\"own%d\",\"do\":\"put\",\"table\":\"free\",\"key\":%d,\"data\":{\"what\":\"own %d\"}}",
             d->accepted, d->accepted % 7, d->accepted);
    world_accept(d->w, 1, command);
}

/* The importer's own thread, which holds no turn there. */
static int decide_ahead(void *arg, dbk_engine *engine, const char *point, dbk_slice id)
{
    deciding *d = arg;
    (void)engine, (void)id;
    if (strcmp(point, "ahead") != 0) return 0;
    d->stops++;
    if (d->times-- <= 0) return 0;
    for (int i = 0; i < d->at_once; i++, d->accepted++) decide_one(d);
    return 0;
}

/* Store 0 has written beside store 1, which hears of it now: notes whose titles nobody else may have. */
static void author(world *w, facts *f)
{
    char command[200];
    memset(f, 0, sizeof *f);
    world_accept(w, 1, "{\"id\":\"first\",\"do\":\"put\",\"table\":\"free\",\"key\":1,\"data\":{\"what\":\"x\"}}");
    w->now_ms[0] = w->now_ms[1] + 10;
    for (int i = 0; i < FACTS; i++) {
        snprintf(command, sizeof command,
                 "{\"id\":\"f%d\",\"do\":\"put\",\"table\":\"notes\",\"key\":\"n%d\",\"data\":{\"title\":\"t%d\"}}", i,
                 i, i);
        world_accept(w, 0, command);
    }
    for (uint64_t i = 1; i <= FACTS; i++) facts_take(f, w, 0, i);
    w->now_ms[1] += 1000000;
    for (int i = 0; i < 5; i++) {
        snprintf(command, sizeof command,
                 "{\"id\":\"l%d\",\"do\":\"put\",\"table\":\"notes\",\"key\":\"own%d\",\"data\":{\"title\":\"t%d\"}}",
                 i, i, 2 * i);
        world_accept(w, 1, command);
    }
}

static void reopen(world *w, dbk_hook_fn hook, void *arg)
{
    dbk_engine_close(w->engines[1]);
    w->options[1].base_least = 1;
    w->options[1].import_slice = 4;
    w->options[1].model.journal_rows = 0;
    w->options[1].hook = hook;
    w->options[1].hook_arg = arg;
    world_open(w, 1);
}

static void start(world *w, facts *f, dbk_hook_fn hook, void *arg)
{
    world_start(w, 5);
    author(w, f);
    reopen(w, hook, arg);
}

static void stop(world *w, facts *f)
{
    facts_clear(f);
    world_stop(w);
}

/* A store that hears of all at once comes to the same rows. */
static void assert_same_elsewhere(world *w)
{
    static facts f;
    uint64_t parked;
    char one[33], other[33];
    memset(&f, 0, sizeof f);
    world_assert_folds(w, 1);
    for (uint64_t i = 1; i <= dbk_log_position(dbk_engine_log(w->engines[1])); i++) facts_take(&f, w, 1, i);
    w->now_ms[2] = w->now_ms[1];
    assert_int_equal(facts_deliver(&f, w, 2, NULL, &parked), DBK_OK);
    assert_int_equal(parked, 0);
    world_fingerprint(w, 1, one);
    world_fingerprint(w, 2, other);
    assert_string_equal(one, other);
    facts_clear(&f);
}

static void what_is_decided_meanwhile_is_folded_before_the_turn(void **state)
{
    static facts f;
    world w;
    uint64_t logged, parked;
    (void)state;
    for (int times = 0; times < 4; times++) {
        deciding d = {.w = &w, .at_once = 3 * NEAR, .times = times};
        start(&w, &f, decide_ahead, &d);
        dbk_engine *engine = w.engines[1];
        uint64_t before = dbk_log_position(dbk_engine_log(engine));
        assert_int_equal(facts_deliver(&f, &w, 1, &logged, &parked), DBK_OK);
        assert_int_equal(logged, FACTS);
        assert_int_equal(d.accepted, times * 3 * NEAR);
        assert_int_equal(dbk_log_position(dbk_engine_log(engine)), before + FACTS + (uint64_t)d.accepted);
        assert_int_equal(engine->counts.aheads, 1);
        assert_in_range(engine->counts.tail, FACTS, FACTS + NEAR);
        assert_same_elsewhere(&w);
        reopen(&w, NULL, NULL);
        assert_int_equal(w.engines[1]->counts.rebuilds, 0);
        world_assert_folds(&w, 1);
        stop(&w, &f);
    }
}

/* Somebody who decides without a pause does not keep the round from coming. */
static void the_approach_ends(void **state)
{
    static facts f;
    world w;
    deciding d = {.w = &w, .at_once = NEAR + 1, .times = 1000};
    (void)state;
    start(&w, &f, decide_ahead, &d);
    assert_int_equal(facts_deliver(&f, &w, 1, NULL, NULL), DBK_OK);
    assert_in_range(d.stops, 8, 16);
    assert_int_equal(w.engines[1]->counts.aheads, 1);
    assert_int_equal(w.engines[1]->counts.tail, FACTS);
    assert_same_elsewhere(&w);
    stop(&w, &f);
}

/* Decisions that sort below a part of the round, as its author's clock goes ahead. */
static void decisions_below_the_round_take_another_shadow(void **state)
{
    static facts f;
    world w;
    deciding d = {.w = &w, .at_once = NEAR + 1, .times = 1};
    (void)state;
    world_start(&w, 5);
    author(&w, &f);
    w.now_ms[0] = w.now_ms[1] + 5000000;
    world_accept(&w, 0,
                 "{\"id\":\"far\",\"do\":\"put\",\"table\":\"notes\",\"key\":\"far\",\"data\":{\"title\":\"far\"}}");
    facts_take(&f, &w, 0, FACTS + 1);
    reopen(&w, decide_ahead, &d);
    assert_int_equal(facts_deliver(&f, &w, 1, NULL, NULL), DBK_OK);
    assert_int_equal(d.accepted, NEAR + 1);
    assert_int_equal(w.engines[1]->counts.aheads, 0);
    assert_same_elsewhere(&w);
    stop(&w, &f);
}

/* The author ends with entries that a catch-up would take as they come: one that went on with a shadow that no longer fits
 * would not notice by their order. */
static void author_plain_ones(world *w, facts *f)
{
    char command[200];
    memset(f, 0, sizeof *f);
    world_accept(w, 1, "{\"id\":\"first\",\"do\":\"put\",\"table\":\"free\",\"key\":1,\"data\":{\"what\":\"x\"}}");
    w->now_ms[0] = w->now_ms[1] + 10;
    for (int i = 0; i < FACTS; i++) {
        if (i < FACTS / 4)
            snprintf(command, sizeof command,
                     "{\"id\":\"f%d\",\"do\":\"put\",\"table\":\"notes\",\"key\":\"n%d\",\"data\":{\"title\":\"t%d\"}}",
                     i, i, i);
        else
            snprintf(command, sizeof command,
                     "{\"id\":\"f%d\",\"do\":\"put\",\"table\":\"free\",\"key\":%d,\"data\":{\"what\":\"%d\"}}", i,
                     100 + i, i);
        world_accept(w, 0, command);
        facts_take(f, w, 0, (uint64_t)i + 1);
    }
    w->now_ms[1] += 1000000;
    world_accept(w, 1,
                 "{\"id\":\"l\",\"do\":\"put\",\"table\":\"notes\",\"key\":\"own\",\"data\":{\"title\":\"own\"}}");
}

/* The first one under the command id of a fact; so many that it is met as they are followed, or only in the turn. */
static int decide_its_command(void *arg, dbk_engine *engine, const char *point, dbk_slice id)
{
    deciding *d = arg;
    char command[200];
    (void)engine, (void)id;
    if (strcmp(point, "ahead") != 0) return 0;
    for (; d->accepted < d->at_once; d->accepted++) {
        snprintf(command, sizeof command,
                 "{\"id\":\"%c%d\",\"do\":\"put\",\"table\":\"free\",\"key\":%d,\"data\":{\"what\":\"own\"}}",
                 d->accepted == 0 ? 'f' : 'd', d->accepted, 500 + d->accepted);
        world_accept(d->w, 1, command);
    }
    return 0;
}

static void a_shadow_that_does_not_fit_is_given_up(void **state)
{
    static const int numbers[] = {2, NEAR, NEAR + 1, NEAR + 8};
    static facts f;
    world w;
    (void)state;
    for (int i = 0; i < 4; i++) {
        deciding d = {.w = &w, .at_once = numbers[i]};
        world_start(&w, 5);
        author_plain_ones(&w, &f);
        reopen(&w, decide_its_command, &d);
        assert_int_equal(facts_deliver(&f, &w, 1, NULL, NULL), DBK_OK);
        assert_int_equal(d.accepted, numbers[i]);
        assert_int_equal(w.engines[1]->counts.aheads, 0);
        assert_int_equal(w.engines[1]->counts.rebuilds, 1);
        assert_same_elsewhere(&w);
        stop(&w, &f);
    }
}

/* A tag fits by its kind, but the note that it is about came back behind it: that is seen before it is logged. */
static void what_meets_a_later_row_is_foreseen(void **state)
{
    static facts f;
    char command[200];
    world w;
    (void)state;
    memset(&f, 0, sizeof f);
    world_start(&w, 5);
    world_accept(&w, 1, "{\"id\":\"n\",\"do\":\"put\",\"table\":\"notes\",\"key\":\"n\",\"data\":{\"title\":\"n\"}}");
    facts_take(&f, &w, 1, 1);
    assert_int_equal(facts_deliver(&f, &w, 0, NULL, NULL), DBK_OK);
    facts_clear(&f);
    w.now_ms[0] = w.now_ms[1] + 10;
    for (int i = 0; i < FACTS; i++) {
        snprintf(command, sizeof command, "{\"id\":\"f%d\",\"do\":\"put\",\"table\":\"tags\",\"key\":[\"n\",\"x%d\"]}",
                 i, i);
        world_accept(&w, 0, command);
        facts_take(&f, &w, 0, 2 + (uint64_t)i);
    }
    w.now_ms[1] += 1000000;
    world_accept(&w, 1, "{\"id\":\"d\",\"do\":\"delete\",\"table\":\"notes\",\"key\":\"n\"}");
    world_accept(&w, 1, "{\"id\":\"n2\",\"do\":\"put\",\"table\":\"notes\",\"key\":\"n\",\"data\":{\"title\":\"m\"}}");
    reopen(&w, NULL, NULL);
    assert_int_equal(facts_deliver(&f, &w, 1, NULL, NULL), DBK_OK);
    assert_int_equal(w.engines[1]->counts.rebuilds, 1);
    assert_int_equal(w.engines[1]->counts.aheads, 1);
    assert_same_elsewhere(&w);
    stop(&w, &f);
}

static void a_death_at_any_point_loses_nothing(void **state)
{
    static const char *const points[] = {"ahead", "logged", "committed"};
    static facts f;
    world w;
    uint64_t parked;
    (void)state;
    for (int i = 0; i < 3; i++) {
        dying d = {0, points[i]};
        start(&w, &f, die_at, &d);
        assert_int_equal(facts_deliver(&f, &w, 1, NULL, &parked), DBK_UNAVAILABLE);
        reopen(&w, NULL, NULL);
        world_assert_folds(&w, 1);
        world_accept(&w, 1, "{\"id\":\"on\",\"do\":\"put\",\"table\":\"free\",\"key\":9}");
        assert_int_equal(facts_deliver(&f, &w, 1, NULL, &parked), DBK_OK);
        assert_int_equal(parked, 0);
        assert_same_elsewhere(&w);
        stop(&w, &f);
    }
}

/* ---- random rounds: links, UNIQUE, cascades, projections, shared command ids; decisions at all points; deaths */

static int decide_and_die(void *arg, dbk_engine *engine, const char *point, dbk_slice id)
{
    deciding *d = arg;
    (void)id;
    if (strcmp(point, "ahead") != 0) return strcmp(point, "decide") != 0 && world_random(d->w, 12) == 0;
    if (engine->dead || world_random(d->w, 3) == 0) return world_random(d->w, 6) == 0;
    d->behind = true; /* its own turns do not die */
    int left = (int)world_random(d->w, 2 * NEAR);
    engine->options.hook = NULL;
    while (left-- > 0) world_random_command(d->w, 1);
    engine->options.hook = decide_and_die;
    return 0;
}

static int one_world(uint64_t seed, int *aheads)
{
    static facts f;
    world w;
    deciding d = {.w = &w, .random = true};
    uint64_t told = 0;
    int deaths = 0;
    world_start(&w, seed);
    w.seed = seed * 7919 + 1;
    reopen(&w, decide_and_die, &d);
    for (int round = 0; round < 6; round++) {
        w.now_ms[0] = w.now_ms[1] - 3000;
        for (int i = 0; i < 12; i++) world_random_command(&w, 0);
        w.engines[1]->options.hook = NULL;
        for (int i = 0; i < 6; i++) world_random_command(&w, 1);
        w.engines[1]->options.hook = decide_and_die;
        for (uint64_t end = dbk_log_position(dbk_engine_log(w.engines[0])); told < end;) facts_take(&f, &w, 0, ++told);
        dbk_result result = facts_deliver(&f, &w, 1, NULL, NULL);
        *aheads += w.engines[1]->counts.aheads > 0;
        if (result == DBK_UNAVAILABLE) {
            deaths++;
            reopen(&w, NULL, NULL);
            world_assert_folds(&w, 1);
            assert_int_equal(facts_deliver(&f, &w, 1, NULL, NULL), DBK_OK);
            reopen(&w, decide_and_die, &d);
        } else {
            assert_int_equal(result, DBK_OK);
        }
        world_assert_folds(&w, 1);
    }
    facts_clear(&f);
    assert_same_elsewhere(&w);
    world_stop(&w);
    return deaths;
}

static void random_rounds_are_the_fold_whatever_comes_between(void **state)
{
    int deaths = 0, aheads = 0;
    (void)state;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) deaths += one_world(seed, &aheads);
    if (deaths < SEEDS / 3 || aheads < SEEDS)
        fail_msg("%d deaths, %d rounds after one that was folded ahead", deaths, aheads);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_decided_meanwhile_is_folded_before_the_turn),
        cmocka_unit_test(the_approach_ends),
        cmocka_unit_test(decisions_below_the_round_take_another_shadow),
        cmocka_unit_test(a_shadow_that_does_not_fit_is_given_up),
        cmocka_unit_test(what_meets_a_later_row_is_foreseen),
        cmocka_unit_test(a_death_at_any_point_loses_nothing),
        cmocka_unit_test(random_rounds_are_the_fold_whatever_comes_between),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
