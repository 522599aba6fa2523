/* Facts: whatever the order in which entries arrive, stores that have the same ones show the same. */
#include "tests/store/world_fixture.h"

/* The facts to one of the stores: so many are logged, so many wait; they stay taken. */
static void deliver(facts *f, world *w, size_t to, uint64_t logged, uint64_t parked)
{
    uint64_t now_logged, now_parked;
    assert_int_equal(facts_deliver(f, w, to, &now_logged, &now_parked), DBK_OK);
    assert_int_equal(now_logged, logged);
    assert_int_equal(now_parked, parked);
}

static void deliver_some(world *w, facts *f, size_t from, size_t to)
{
    uint64_t end = dbk_log_position(dbk_engine_log(w->engines[from])), logged, parked;
    for (uint64_t i = world_random(w, 12); end > 0 && i > 0; i--) facts_take(f, w, from, 1 + world_random(w, end));
    assert_int_equal(facts_deliver(f, w, to, &logged, &parked), DBK_OK);
    facts_clear(f);
}

static void deliver_all(world *w, facts *f)
{
    for (size_t round = 0; round < 2; round++) {
        for (size_t from = 0; from < WORLD_STORES; from++) {
            for (size_t to = 0; to < WORLD_STORES; to++) {
                uint64_t end = dbk_log_position(dbk_engine_log(w->engines[from])), parked = 0;
                if (from == to) continue;
                for (uint64_t position = end; position > 0; position--) facts_take(f, w, from, position);
                assert_int_equal(facts_deliver(f, w, to, NULL, &parked), DBK_OK);
                if (round == 1) assert_int_equal(parked, 0); /* before, others' facts may still wait */
                facts_clear(f);
            }
        }
    }
}

/* What two stores must show alike; positions are local and left out. */
static char *shown(world *w, size_t i)
{
    static const char *const requests[] = {"{\"do\":\"query\",\"sql\":\"SELECT * FROM notes ORDER BY id\"}",
                                           "{\"do\":\"query\",\"sql\":\"SELECT * FROM tags ORDER BY note, name\"}",
                                           "{\"do\":\"query\",\"sql\":\"SELECT * FROM free ORDER BY id\"}",
                                           "{\"do\":\"query\",\"sql\":\"SELECT * FROM progress ORDER BY job\"}",
                                           "{\"do\":\"inbox\",\"all\":true}"};
    dbk_buffer all;
    dbk_buffer_init(&all, dbk_port_system());
    for (size_t r = 0; r < 5; r++) {
        char *answer = world_ask(w, i, requests[r]);
        for (char *at; (at = strstr(answer, "\"position\":"));) {
            char *end = at + 11;
            while (*end >= '0' && *end <= '9') end++;
            memmove(at, end, strlen(end) + 1);
        }
        dbk_buffer_put_text(&all, answer);
        free(answer);
    }
    assert_non_null(dbk_buffer_text(&all));
    return (char *)all.data;
}

static void check_alike(world *w)
{
    char first[33], other[33], counted[33];
    char *want = shown(w, 0);
    world_fingerprint(w, 0, first);
    for (size_t i = 0; i < WORLD_STORES; i++) {
        dbk_hash128 sum;
        uint64_t rows;
        world_fingerprint(w, i, other);
        assert_string_equal(other, first);
        assert_int_equal(dbk_model_recount(dbk_engine_model(w->engines[i]), &sum, &rows, &w->error), DBK_OK);
        dbk_fingerprint_text(sum, counted);
        assert_string_equal(counted, first);
        char *got = shown(w, i);
        assert_string_equal(got, want);
        free(got);
    }
    free(want);
}

static void any_order_of_arrival_gives_one_state(void **state)
{
    (void)state;
    static facts f;
    for (uint64_t seed = 1; seed <= 5; seed++) {
        world w;
        world_start(&w, seed * 7919);
        for (int step = 0; step < 80; step++) {
            size_t at = world_random(&w, WORLD_STORES);
            if (world_random(&w, 3)) world_random_command(&w, at);
            else deliver_some(&w, &f, at, (at + 1 + world_random(&w, WORLD_STORES - 1)) % WORLD_STORES);
            if (world_random(&w, 20) == 0) w.now_ms[at] += 100000;
        }
        deliver_all(&w, &f);
        check_alike(&w);
        for (size_t i = 0; i < WORLD_STORES; i++) {
            dbk_engine_close(w.engines[i]);
            world_open(&w, i);
        }
        check_alike(&w);
        world_stop(&w);
    }
}

static void put_two(world *w)
{
    world_accept(w, 0, "{\"id\":\"1\",\"do\":\"put\",\"table\":\"notes\",\"key\":\"n1\",\"data\":{\"title\":\"A\"}}");
    world_accept(w, 0, "{\"id\":\"2\",\"do\":\"patch\",\"table\":\"notes\",\"key\":\"n1\",\"data\":{\"stars\":2}}");
}

static void a_gap_of_its_author_parks_a_fact(void **state)
{
    (void)state;
    static facts f;
    world w;
    world_start(&w, 1);
    put_two(&w);
    facts_take(&f, &w, 0, 2);
    deliver(&f, &w, 1, 0, 1);
    facts_clear(&f);
    facts_take(&f, &w, 0, 1);
    deliver(&f, &w, 1, 2, 0);
    deliver(&f, &w, 1, 0, 0);
    facts_clear(&f);
    world_contains(&w, 1, "{\"do\":\"get\",\"table\":\"notes\",\"key\":\"n1\"}", "\"stars\":2");
    world_stop(&w);
}

/* What salvage could not save is missing for ever in what it made: of that author the entries before the gap are
 * taken, those behind it wait, and stats says so until somebody brings the missing one. */
static void entries_behind_one_that_salvage_lost_wait_and_are_counted(void **state)
{
    (void)state;
    static facts f;
    world w;
    world_start(&w, 1);
    put_two(&w);
    world_accept(&w, 0, "{\"id\":\"3\",\"do\":\"patch\",\"table\":\"notes\",\"key\":\"n1\",\"data\":{\"stars\":3}}");
    facts_take(&f, &w, 0, 1), facts_take(&f, &w, 0, 3);
    deliver(&f, &w, 1, 1, 1);
    world_contains(&w, 1, "{\"do\":\"stats\"}", "\"parked\":{\"facts\":1,\"bytes\":");
    world_contains(&w, 1, "{\"do\":\"get\",\"table\":\"notes\",\"key\":\"n1\"}", "\"stars\":0");
    facts_clear(&f);
    facts_take(&f, &w, 0, 2); /* from another copy of the lost store */
    deliver(&f, &w, 1, 2, 0);
    facts_clear(&f);
    world_contains(&w, 1, "{\"do\":\"stats\"}", "\"parked\":{\"facts\":0,");
    world_contains(&w, 1, "{\"do\":\"get\",\"table\":\"notes\",\"key\":\"n1\"}", "\"stars\":3");
    world_stop(&w);
}

/* A day is the most that another clock may be ahead of ours. */
static void a_fact_of_the_future_waits_for_our_clock(void **state)
{
    (void)state;
    static facts f;
    world w;
    world_start(&w, 1);
    w.now_ms[0] += 86400001;
    world_accept(&w, 0, "{\"id\":\"1\",\"do\":\"put\",\"table\":\"free\",\"key\":1}");
    facts_take(&f, &w, 0, 1);
    deliver(&f, &w, 1, 0, 1);
    facts_clear(&f);
    w.now_ms[1] += 1001;
    deliver(&f, &w, 1, 1, 0);
    world_stop(&w);
}

typedef void (*meddle_fn)(dbk_entry *entry);
static void to_foreign(dbk_entry *entry)
{
    entry->lineage[0] ^= 1;
}
static void to_far(dbk_entry *entry)
{
    entry->hlc = UINT64_C(7258118400000) << 16;
}
static void to_fork(dbk_entry *entry)
{
    entry->time_ms++;
}

/* Takes an entry with something else in it. */
static void take_meddled(facts *f, world *w, uint64_t position, meddle_fn meddle)
{
    dbk_entry entry;
    facts_take(f, w, 0, position);
    dbk_buffer *bytes = &f->bytes[f->count - 1], changed;
    dbk_buffer_init(&changed, dbk_port_system());
    assert_int_equal(dbk_entry_decode(dbk_buffer_slice(bytes), &entry, NULL), DBK_OK);
    meddle(&entry);
    dbk_entry_encode(&changed, &entry);
    dbk_buffer_release(bytes);
    *bytes = changed;
    f->slices[f->count - 1] = dbk_buffer_slice(bytes);
}

/* More wait than may: the later ones are dropped, told, and come again. */
static void facts_that_wait_are_bounded(void **state)
{
    (void)state;
    static facts f;
    world w;
    world_start(&w, 1);
    dbk_engine_close(w.engines[1]);
    w.options[1].parked_max = 2;
    world_open(&w, 1);
    put_two(&w);
    world_accept(&w, 0, "{\"id\":\"p3\",\"do\":\"put\",\"table\":\"notes\",\"key\":\"n3\"}");
    world_accept(&w, 0, "{\"id\":\"p4\",\"do\":\"put\",\"table\":\"notes\",\"key\":\"n4\"}");
    for (uint64_t position = 2; position <= 4; position++) facts_take(&f, &w, 0, position);
    deliver(&f, &w, 1, 0, 2);
    world_contains(&w, 1, "{\"do\":\"stats\"}", "\"dropped\":1}");
    facts_clear(&f);
    facts_take(&f, &w, 0, 1);
    deliver(&f, &w, 1, 3, 0);
    facts_clear(&f);
    facts_take(&f, &w, 0, 4);
    deliver(&f, &w, 1, 1, 0);
    facts_clear(&f);
    world_stop(&w);
}

static void foreign_and_impossible_facts_are_dropped(void **state)
{
    (void)state;
    static facts f;
    world w;
    world_start(&w, 1);
    put_two(&w);
    take_meddled(&f, &w, 1, to_foreign);
    take_meddled(&f, &w, 2, to_far);
    deliver(&f, &w, 1, 0, 0);
    facts_clear(&f);
    world_stop(&w);
}

static void a_fork_stops_the_whole_round(void **state)
{
    (void)state;
    static facts f;
    world w;
    uint64_t logged, parked;
    world_start(&w, 1);
    put_two(&w);
    facts_take(&f, &w, 0, 1);
    deliver(&f, &w, 1, 1, 0);
    facts_clear(&f);
    facts_take(&f, &w, 0, 2);
    take_meddled(&f, &w, 1, to_fork);
    assert_int_equal(facts_deliver(&f, &w, 1, &logged, &parked), DBK_DUPLICATE);
    assert_non_null(strstr(w.error.text, "61616161616161616161616161616161.1.1"));
    assert_int_equal(logged, 0);
    assert_int_equal(dbk_log_position(dbk_engine_log(w.engines[1])), 1);
    facts_clear(&f);
    f.slices[0] = dbk_slice_text("\001no entry");
    f.count = 1;
    assert_int_equal(dbk_engine_import(w.engines[1], f.slices, 1, w.now_ms[1], &logged, &parked, &w.error),
                     DBK_CORRUPT);
    f.count = 0;
    world_stop(&w);
}

static const char *stop_point;
static int stop_at(void *arg, dbk_engine *engine, const char *point, dbk_slice id)
{
    (void)arg, (void)engine, (void)id;
    return strcmp(point, stop_point) == 0;
}

/* The process dies behind the sync or behind the model's commit, with late entries (a shadow) and without. */
static void a_death_at_any_point_loses_nothing(void **state)
{
    (void)state;
    static facts f;
    static const char *const points[] = {"logged", "committed"};
    for (size_t i = 0; i < 4; i++) {
        world w;
        char want[33], got[33];
        world_start(&w, 1);
        if (i >= 2) w.now_ms[1] += 50000; /* then what arrives sorts below what is there */
        put_two(&w);
        world_accept(&w, 1,
                     "{\"id\":\"b1\",\"do\":\"put\",\"table\":\"notes\",\"key\":\"n1\",\"data\":{\"title\":\"B\"}}");
        dbk_engine_close(w.engines[1]);
        w.options[1].hook = stop_at;
        stop_point = points[i % 2];
        world_open(&w, 1);
        facts_take(&f, &w, 0, 1);
        facts_take(&f, &w, 0, 2);
        assert_int_equal(facts_deliver(&f, &w, 1, NULL, NULL), DBK_UNAVAILABLE);
        assert_int_equal(facts_deliver(&f, &w, 1, NULL, NULL), DBK_UNAVAILABLE); /* dead is dead */
        facts_clear(&f);
        dbk_engine_close(w.engines[1]);
        w.options[1].hook = NULL;
        world_open(&w, 1);
        assert_int_equal(dbk_log_position(dbk_engine_log(w.engines[1])), 3);
        facts_take(&f, &w, 1, 1);
        assert_int_equal(facts_deliver(&f, &w, 0, NULL, NULL), DBK_OK);
        facts_clear(&f);
        world_fingerprint(&w, 0, want);
        world_fingerprint(&w, 1, got);
        assert_string_equal(got, want);
        world_stop(&w);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_order_of_arrival_gives_one_state),
        cmocka_unit_test(a_gap_of_its_author_parks_a_fact),
        cmocka_unit_test(entries_behind_one_that_salvage_lost_wait_and_are_counted),
        cmocka_unit_test(facts_that_wait_are_bounded),
        cmocka_unit_test(a_fact_of_the_future_waits_for_our_clock),
        cmocka_unit_test(foreign_and_impossible_facts_are_dropped),
        cmocka_unit_test(a_fork_stops_the_whole_round),
        cmocka_unit_test(a_death_at_any_point_loses_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
