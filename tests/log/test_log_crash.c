/* Power loss at each change of the disk, with every kind of outcome for what was not synced; then
 * again while recovering. After each: the four laws. */
#include "log_fixture.h"

#include "tests/support/step.h"

enum { BATCHES = 26 };

typedef struct script {
    uint64_t acknowledged; /* highest position whose append returned DBK_OK */
    uint64_t submitted;    /* highest position ever tried */
} script;

static size_t batch_size(size_t step)
{
    return 1 + step * 7 % 13;
}

/* Appends until the power goes. */
static void run_script(world *w, script *s, size_t batches)
{
    for (size_t i = 0; i < batches; i++) {
        s->submitted = dbk_log_position(w->log) + batch_size(i);
        if (append_sized(w->log, batch_size(i), i % 5 == 4 ? 1500 : 0, NULL) != DBK_OK) return;
        s->acknowledged = s->submitted;
        if (i % 4 == 3 && dbk_log_idle(w->log, NULL) != DBK_OK) return;
    }
}

/* The entries carry sizes by batch here, so only identity is compared: bytes made from seq. */
static void check_prefix(world *w, const script *s, const char *when, uint64_t at)
{
    dbk_log_cursor *cursor;
    uint64_t position, count = 0, end = dbk_log_position(w->log);
    dbk_slice origin;
    dbk_entry entry;
    dbk_result rc;

    if (end < s->acknowledged || end > s->submitted) {
        fail_msg("%s %llu: position %llu, acknowledged %llu, submitted %llu", when, (unsigned long long)at,
                 (unsigned long long)end, (unsigned long long)s->acknowledged, (unsigned long long)s->submitted);
    }
    assert_int_equal(dbk_log_cursor_open(w->log, 1, 0, &cursor, NULL), DBK_OK);
    while ((rc = dbk_log_cursor_next(cursor, &position, NULL, &origin, NULL)) == DBK_OK) {
        assert_int_equal(position, ++count);
        assert_int_equal(dbk_entry_decode(origin, &entry, NULL), DBK_OK);
        assert_int_equal(entry.id.seq, position);
        assert_int_equal(entry.hlc, 100 + position);
    }
    assert_int_equal(rc, DBK_END);
    assert_int_equal(count, end);
    dbk_log_cursor_close(cursor);
}

static void open_or_fail(world *w, const char *when, uint64_t at)
{
    dbk_error err = {0};

    if (world_open(w, &err) != DBK_OK) fail_msg("%s %llu: %s", when, (unsigned long long)at, err.text);
}

static uint64_t count_changes(uint64_t seed, bool no_direct)
{
    script s = {0};
    world w;

    world_new_with(&w, seed, no_direct);
    uint64_t before = dbk_simdisk_calls(w.disk, DBK_SIM_CHANGES);
    run_script(&w, &s, BATCHES);
    world_close(&w);
    uint64_t changes = dbk_simdisk_calls(w.disk, DBK_SIM_CHANGES) - before;
    assert_true(s.acknowledged == s.submitted);
    world_free(&w);
    return changes;
}

static void crash_once(uint64_t seed, uint64_t at, dbk_simdisk_crash_mode mode, bool no_direct)
{
    script s = {0};
    world w;

    world_new_with(&w, seed, no_direct);
    dbk_simdisk_power_off_at(w.disk, at);
    run_script(&w, &s, BATCHES);
    world_close(&w);
    dbk_simdisk_power_off_at(w.disk, 0);
    dbk_simdisk_crash(w.disk, mode, seed * 31 + at);
    open_or_fail(&w, "crash at", at);
    check_prefix(&w, &s, "crash at", at);
    s.acknowledged = s.submitted = dbk_log_position(w.log);
    run_script(&w, &s, 6);
    assert_int_equal(s.acknowledged, s.submitted);
    world_close(&w);
    open_or_fail(&w, "after crash at", at);
    if (!dbk_log_was_clean(w.log))
        fail_msg("seed %d at %d mode %d not clean pos %d", (int)seed, (int)at, (int)mode, (int)dbk_log_position(w.log));
    check_prefix(&w, &s, "after crash at", at);
    world_free(&w);
}

static uint64_t step = 1; /* of the changes of the disk, the power goes at one of so many */

static void every_crash(bool no_direct, uint64_t seeds)
{
    for (uint64_t seed = 1; seed <= seeds; seed++) {
        uint64_t changes = count_changes(seed, no_direct);
        for (uint64_t at = 1 + seed % step; at <= changes; at += step) {
            crash_once(seed, at, DBK_SIM_RANDOM_MIX, no_direct);
            if (seed > 1) continue;
            crash_once(seed, at, DBK_SIM_ALL_OLD, no_direct);
            crash_once(seed, at, DBK_SIM_ALL_NEW, no_direct);
            crash_once(seed, at, DBK_SIM_ALL_ZERO, no_direct);
            crash_once(seed, at, DBK_SIM_ALL_GARBAGE, no_direct);
        }
    }
}

/* The power goes at each change of the disk while direct writes append. */
static void test_crash_direct(void **state)
{
    (void)state;
    every_crash(false, 4);
}

/* The same where each append is a write and a sync. */
static void test_crash_buffered(void **state)
{
    (void)state;
    every_crash(true, 4);
}

/* The power goes again at each change that recovery makes, and once more. */
static void test_crash_in_recovery(void **state)
{
    unsigned losses = 0;

    (void)state;
    for (uint64_t seed = 1; seed <= 30; seed++) {
        bool no_direct = seed % 2;
        uint64_t changes = count_changes(seed, no_direct), first = 1 + seed * 7919 % changes;
        for (uint64_t again = 1 + seed % step; again <= 40; again += step) {
            losses++;
            script s = {0};
            world w;
            world_new_with(&w, seed, no_direct);
            dbk_simdisk_power_off_at(w.disk, first);
            run_script(&w, &s, BATCHES);
            world_close(&w);
            dbk_simdisk_crash(w.disk, DBK_SIM_RANDOM_MIX, seed + again);
            for (uint64_t depth = 0; depth < 2; depth++) {
                dbk_simdisk_power_off_at(w.disk, again + depth * 3);
                if (world_open(&w, NULL) == DBK_OK) {
                    s.acknowledged = dbk_log_position(w.log); /* it was seen: it stays (L4) */
                }
                world_close(&w);
                dbk_simdisk_power_off_at(w.disk, 0);
                dbk_simdisk_crash(w.disk, DBK_SIM_RANDOM_MIX, seed * 17 + again + depth);
            }
            open_or_fail(&w, "after recovery crash at", again);
            check_prefix(&w, &s, "after recovery crash at", again);
            world_free(&w);
        }
    }
    print_message("%u losses of power, each followed by two more in recovery\n", losses);
}

/* The process is killed: all that was written is there, also what was never acknowledged. */
static void test_kill(void **state)
{
    (void)state;
    for (uint64_t fail_at = 0; fail_at < 60; fail_at++) {
        dbk_simdisk_fault fault = {.kinds = DBK_SIM_WRITE | DBK_SIM_SYNC, .skip = fail_at, .error = 5};
        script s = {0};
        world w;
        world_new_with(&w, fail_at, fail_at % 2);
        dbk_simdisk_add_fault(w.disk, &fault);
        run_script(&w, &s, BATCHES);
        dbk_simdisk_kill(w.disk);
        world_close(&w);
        dbk_simdisk_clear_faults(w.disk);
        open_or_fail(&w, "kill at", fail_at);
        check_prefix(&w, &s, "kill at", fail_at);
        world_free(&w);
    }
}

int main(int argc, char **argv)
{
    checkpoint_bytes = 512;
    step = step_argument(argc, argv, 1);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_crash_direct),
        cmocka_unit_test(test_crash_buffered),
        cmocka_unit_test(test_crash_in_recovery),
        cmocka_unit_test(test_kill),
    };
    return run_both_forms(tests);
}
