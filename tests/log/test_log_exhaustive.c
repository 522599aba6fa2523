/* All scripts of up to so many calls, the power lost at each change they make, with every outcome for what was
 * not synced (where these are at most OUTCOMES_MAX; else so many drawn ones): the log opens and holds a prefix
 * of what was submitted, at least what was acknowledged. Then the same seed twice: the same run.
 *
 * usage: test_log_exhaustive [CALLS]   (default 2) */
#include "log_fixture.h"

enum { CALLS_MAX = 3, OUTCOMES_MAX = 256, QUESTIONS_MAX = 4096, KINDS = 5 };

static unsigned calls = 2;
static uint64_t states, whole_points, drawn_points;

/* The outcomes of one crash, one after the other: like a number whose digits are the answers. */
typedef struct outcomes {
    unsigned digits[QUESTIONS_MAX], options[QUESTIONS_MAX];
    size_t asked, fixed; /* questions of this crash; digits that are given */
} outcomes;

static unsigned answer(void *arg, dbk_simdisk_question question, unsigned options)
{
    outcomes *o = arg;

    (void)question;
    assert_true(o->asked < QUESTIONS_MAX);
    if (o->asked >= o->fixed) o->digits[o->asked] = 0;
    o->options[o->asked] = options;
    return o->digits[o->asked++];
}

static bool next_outcome(outcomes *o)
{
    while (o->asked > 0) {
        if (o->digits[o->asked - 1] + 1 < o->options[o->asked - 1]) {
            o->digits[o->asked - 1]++;
            o->fixed = o->asked;
            o->asked = 0;
            return true;
        }
        o->asked--;
    }
    return false;
}

typedef struct script {
    unsigned calls[CALLS_MAX], count;
    uint64_t acknowledged, submitted;
} script;

static dbk_result perform(world *w, script *s, unsigned call)
{
    static const size_t counts[] = {1, 4, 3};
    static const size_t bytes[] = {0, 0, 3500};
    dbk_result rc;

    if (call == 3) return dbk_log_idle(w->log, NULL);
    if (call == 4) {
        dbk_log_close(w->log);
        w->log = NULL;
        return dbk_log_open(w->port, w->dir, &w->options, &w->log, NULL);
    }
    s->submitted = dbk_log_position(w->log) + counts[call];
    rc = append_sized(w->log, counts[call], bytes[call], NULL);
    if (rc == DBK_OK) s->acknowledged = s->submitted;
    return rc;
}

static void run(world *w, script *s)
{
    s->acknowledged = s->submitted = 0;
    for (unsigned i = 0; i < s->count; i++)
        if (perform(w, s, s->calls[i]) != DBK_OK || !w->log) return;
}

static void check(world *w, const script *s, uint64_t at)
{
    dbk_error err = {0};
    dbk_log_cursor *cursor;
    uint64_t position, count = 0;
    dbk_slice origin;
    dbk_entry entry;

    states++;
    if (world_open(w, &err) != DBK_OK) fail_msg("power lost at %d: %s", (int)at, err.text);
    uint64_t end = dbk_log_position(w->log);
    if (end < s->acknowledged || end > s->submitted)
        fail_msg("power lost at %d: %d of %d to %d", (int)at, (int)end, (int)s->acknowledged, (int)s->submitted);
    assert_int_equal(dbk_log_cursor_open(w->log, 1, 0, &cursor, NULL), DBK_OK);
    while (dbk_log_cursor_next(cursor, &position, NULL, &origin, NULL) == DBK_OK) {
        assert_int_equal(position, ++count);
        assert_int_equal(dbk_entry_decode(origin, &entry, NULL), DBK_OK);
        assert_true(entry.id.seq == position && entry.hlc == 100 + position);
    }
    assert_int_equal(count, end);
    dbk_log_cursor_close(cursor);
    world_close(w);
}

/* Every outcome of one power loss. */
static void settle(world *w, const script *s, uint64_t at)
{
    static outcomes o;
    dbk_simdisk_image *image = dbk_simdisk_snapshot(w->disk);
    uint64_t tried = 0;
    bool more = true;

    memset(&o, 0, sizeof(o));
    for (; more && tried < OUTCOMES_MAX; tried++) {
        dbk_simdisk_restore(w->disk, image);
        dbk_simdisk_crash_with(w->disk, answer, &o, at);
        more = next_outcome(&o);
        check(w, s, at);
    }
    if (more) drawn_points++;
    else whole_points++;
    for (uint64_t seed = 1; more && seed <= 32; seed++) {
        dbk_simdisk_restore(w->disk, image);
        dbk_simdisk_crash(w->disk, DBK_SIM_RANDOM_MIX, seed);
        check(w, s, at);
    }
    dbk_simdisk_image_free(w->disk, image);
}

/* A log with a batch in it, so that the third kind of append goes on to another segment. */
static void begin(world *w, script *s, bool no_direct)
{
    world_new_with(w, 7, no_direct);
    s->acknowledged = s->submitted = 0;
}

static void every_point(script *s, bool no_direct)
{
    world w;

    begin(&w, s, no_direct);
    uint64_t before = dbk_simdisk_calls(w.disk, DBK_SIM_CHANGES);
    run(&w, s);
    uint64_t changes = dbk_simdisk_calls(w.disk, DBK_SIM_CHANGES) - before;
    world_free(&w);
    for (uint64_t at = 1; at <= changes; at++) {
        begin(&w, s, no_direct);
        dbk_simdisk_power_off_at(w.disk, at);
        run(&w, s);
        world_close(&w);
        dbk_simdisk_power_off_at(w.disk, 0);
        settle(&w, s, at);
        world_free(&w);
    }
}

static void test_every_script(void **state)
{
    (void)state;
    for (unsigned count = 1; count <= calls; count++) {
        unsigned all = 1;
        for (unsigned i = 0; i < count; i++) all *= KINDS;
        for (unsigned number = 0; number < all; number++) {
            script s = {.count = count};
            for (unsigned i = 0, rest = number; i < count; i++, rest /= KINDS) s.calls[i] = rest % KINDS;
            every_point(&s, false);
            every_point(&s, true);
        }
    }
    print_message(
        "%llu states after scripts of up to %u calls; %llu power losses with every outcome, %llu with drawn ones\n",
        (unsigned long long)states, calls, (unsigned long long)whole_points, (unsigned long long)drawn_points);
}

/* What a run did: the disk, and the number of calls of each kind. */
static uint64_t trace_of(uint64_t seed)
{
    script s = {.calls = {1, 2, (unsigned)(seed % KINDS)}, .count = 3};
    uint64_t trace[DBK_SIM_KIND_COUNT + 2];
    world w;

    world_new_with(&w, seed, seed % 2);
    dbk_simdisk_power_off_at(w.disk, 1 + seed % 9);
    run(&w, &s);
    world_close(&w);
    dbk_simdisk_power_off_at(w.disk, 0);
    dbk_simdisk_crash(w.disk, DBK_SIM_RANDOM_MIX, seed);
    assert_int_equal(world_open(&w, NULL), DBK_OK);
    for (unsigned kind = 0; kind < DBK_SIM_KIND_COUNT; kind++) trace[kind] = dbk_simdisk_calls(w.disk, 1u << kind);
    trace[DBK_SIM_KIND_COUNT] = dbk_simdisk_hash(w.disk, NULL);
    trace[DBK_SIM_KIND_COUNT + 1] = dbk_log_position(w.log);
    world_free(&w);
    return dbk_checksum(dbk_slice_of(trace, sizeof(trace)), 1);
}

/* Each seed twice: the same trace; two seeds: two. */
static void test_deterministic(void **state)
{
    uint64_t last = 0, differ = 0;
    enum { SEEDS = 200 };

    (void)state;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        uint64_t one = trace_of(seed);
        assert_int_equal(trace_of(seed), one);
        differ += one != last;
        last = one;
    }
    assert_int_equal(differ, SEEDS);
    print_message("%d seeds twice, the same trace each\n", SEEDS);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_script),
        cmocka_unit_test(test_deterministic),
    };

    if (argc > 1) calls = (unsigned)atoi(argv[1]);
    if (calls < 1 || calls > CALLS_MAX) return fprintf(stderr, "usage: %s [1-%d]\n", argv[0], CALLS_MAX), 2;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
