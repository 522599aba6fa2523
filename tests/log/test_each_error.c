/* Each call of a log that is made, opened, written to and packed fails in turn with each error that means something of
 * its own: no room, no descriptors, no such file, a file system that is read-only or takes no direct writes. Failures
 * of two kinds meet, too. It ends, leaks nothing, and what was acknowledged is there afterwards. */
#include <errno.h>

#include "log_fixture.h"

#include "log/internal.h"

#include "tests/support/step.h"

static uint64_t runs, step = 1;

/* Everything that a writer does with files, once; how far it was acknowledged. */
static uint64_t work(world *w, dbk_error *err)
{
    uint64_t acknowledged = 0;
    dbk_lock *lock;

    if (w->port->open_dir(w->port->ctx, NULL, "log", DBK_OPEN_DIRECTORY, &w->dir) != 0) return 0;
    if (dbk_log_create(w->port, w->dir, &w->options, err) != DBK_OK) return 0;
    if (dbk_lock_take(w->port, w->dir, "LOCK", &lock, err) == DBK_OK) {
        (void)!dbk_lock_check(lock, err);
        dbk_lock_release(lock);
    }
    if (world_open(w, err) != DBK_OK) return 0;
    for (size_t i = 0; i < 14; i++) {
        size_t data_bytes = i == 9 ? 3000 : 0; /* more than is left of a segment */
        if (append_sized(w->log, 6, data_bytes ? data_bytes : 40, err) == DBK_OK)
            acknowledged = dbk_log_position(w->log);
        assert_int_equal(dbk_log_position(w->log), acknowledged);
    }
    (void)!dbk_log_idle(w->log, err);
    dbk_log_close(w->log);
    w->log = NULL;
    if (world_open(w, err) != DBK_OK) return acknowledged;
    if (append_sized(w->log, 3, 40, err) == DBK_OK) acknowledged = dbk_log_position(w->log);
    return acknowledged;
}

/* Without faults it opens, with all that was acknowledged, and goes on; a log that was never made whole need not. */
static void check_left(world *w, uint64_t acknowledged, const char *what)
{
    dbk_error err = {0};

    w->dir = root_of(w->port);
    dbk_result rc = world_open(w, &err);
    if (rc != DBK_OK && acknowledged) fail_msg("%s: %s", what, err.text);
    if (rc == DBK_OK) {
        dbk_log_cursor *cursor;
        uint64_t position = 0;
        dbk_slice origin;
        assert_int_equal(dbk_log_cursor_open(w->log, 1, 0, &cursor, &err), DBK_OK);
        while ((rc = dbk_log_cursor_next(cursor, &position, NULL, &origin, &err)) == DBK_OK) {
        }
        assert_int_equal(rc, DBK_END);
        dbk_log_cursor_close(cursor);
        if (dbk_log_position(w->log) < acknowledged || position < acknowledged)
            fail_msg("%s: %d of %d", what, (int)dbk_log_position(w->log), (int)acknowledged);
        assert_int_equal(append_sized(w->log, 2, 40, &err), DBK_OK);
    }
    world_close(w);
}

static void world_empty(world *w)
{
    memset(w, 0, sizeof(*w));
    w->disk = dbk_simdisk_new(61);
    w->port = dbk_simdisk_port(w->disk);
    w->options = small_options();
}

static void each_of(const dbk_simdisk_fault *first, const dbk_simdisk_fault *second, bool no_direct)
{
    dbk_simdisk_fault fault = *first;
    char what[80];

    for (bool hit = true; hit; fault.skip += step) {
        dbk_error err = {0};
        world w;
        world_empty(&w);
        w.options.no_direct = no_direct;
        dbk_simdisk_add_fault(w.disk, &fault);
        if (second) dbk_simdisk_add_fault(w.disk, second);
        uint64_t acknowledged = work(&w, fault.skip % 2 ? &err : NULL);
        world_close(&w);
        hit = dbk_simdisk_fault_hits(w.disk) > 0;
        dbk_simdisk_clear_faults(w.disk);
        snprintf(what, sizeof(what), "kinds %x, error %d, call %d", fault.kinds, fault.error, (int)fault.skip);
        check_left(&w, acknowledged, what);
        world_free(&w);
        runs++;
        if (second && fault.skip > 400) break; /* the second one is met each time */
    }
}

/* What each error could be of. */
static void test_each_error(void **state)
{
    static const struct {
        uint32_t kinds;
        int error;
    } cases[] = {
        {DBK_SIM_WRITE, EINVAL},
        {DBK_SIM_WRITE, EROFS},
        {DBK_SIM_WRITE, EFBIG},
        {DBK_SIM_WRITE, ENOMEM},
        {DBK_SIM_WRITE, EBADF},
        {DBK_SIM_OPEN | DBK_SIM_CREATE, EINVAL},
        {DBK_SIM_OPEN | DBK_SIM_CREATE, EMFILE},
        {DBK_SIM_OPEN | DBK_SIM_CREATE | DBK_SIM_IDENTIFY, ENOENT},
        {DBK_SIM_CREATE, EEXIST},
        {DBK_SIM_LOCK, EAGAIN},
        {DBK_SIM_CHANGES, EACCES},
        {DBK_SIM_READ, EIO},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        dbk_simdisk_fault fault = {.kinds = cases[i].kinds, .error = cases[i].error, .times = 1};
        each_of(&fault, NULL, i % 2);
    }
}

/* The disk is full, and what puts that right fails as well. */
static void test_two_failures(void **state)
{
    static const dbk_simdisk_fault firsts[] = {
        {.kinds = DBK_SIM_WRITE, .path = ".seg", .error = ENOSPC, .times = 1},
        {.kinds = DBK_SIM_SYNC, .error = EIO, .times = 1},
    };
    static const dbk_simdisk_fault seconds[] = {
        {.kinds = DBK_SIM_MEMORY, .error = ENOMEM, .skip = 120},
        {.kinds = DBK_SIM_WRITE, .path = ".seg", .error = EIO, .skip = 12},
        {.kinds = DBK_SIM_OPEN, .error = EMFILE, .skip = 20},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(firsts) / sizeof(*firsts); i++) {
        for (size_t k = 0; k < sizeof(seconds) / sizeof(*seconds); k++) {
            for (uint64_t later = 0; later < 24; later += 8) {
                dbk_simdisk_fault first = firsts[i], second = seconds[k];
                second.skip += later;
                for (first.skip = 0; first.skip < 24; first.skip++) {
                    dbk_simdisk_fault once = first;
                    world w;
                    world_empty(&w);
                    w.options.no_direct = first.skip % 2;
                    dbk_simdisk_add_fault(w.disk, &once);
                    dbk_simdisk_add_fault(w.disk, &second);
                    uint64_t acknowledged = work(&w, NULL);
                    world_close(&w);
                    dbk_simdisk_clear_faults(w.disk);
                    check_left(&w, acknowledged, "two failures");
                    world_free(&w);
                    runs++;
                }
            }
        }
    }
}

/* A write is refused for want of room, and there is no memory to clear what it left: it is cleared before the next
 * one. */
static void test_cleared_later(void **state)
{
    dbk_simdisk_fault full = {.kinds = DBK_SIM_WRITE, .path = ".seg", .error = ENOSPC, .times = 1},
                      none = {.kinds = DBK_SIM_MEMORY, .error = ENOMEM}, write = full;
    world w;

    (void)state;
    world_new_with(&w, 5, true);
    assert_int_equal(append(w.log, 4), DBK_OK);
    dbk_simdisk_add_fault(w.disk, &full);
    dbk_simdisk_add_fault(w.disk, &none);
    assert_int_equal(append(w.log, 4), DBK_NO_SPACE);
    assert_true(w.log->dirty_bytes > 0);
    assert_int_equal(append(w.log, 4), DBK_NO_MEMORY);
    assert_true(w.log->dirty_bytes > 0);
    dbk_simdisk_clear_faults(w.disk);
    dbk_simdisk_add_fault(w.disk, &write);
    assert_int_equal(append(w.log, 4), DBK_NO_SPACE);
    assert_true(w.log->dirty_bytes > 0);
    dbk_simdisk_clear_faults(w.disk);
    assert_int_equal(append(w.log, 4), DBK_OK);
    assert_int_equal(w.log->dirty_bytes, 0);
    check_entries(w.log, 0);
    world_reopen(&w);
    check_entries(w.log, 0);
    world_free(&w);
}

/* Sizes that are left to the log, too small or too large are those that it can have. */
static void test_sizes_of_options(void **state)
{
    static const uint32_t sizes[][2] = {{0, 0}, {1, 1}, {UINT32_MAX, 1}, {1, UINT32_MAX}};

    (void)state;
    for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
        world w;
        world_empty(&w);
        w.options.near_bytes = i ? 2048 : 0;
        w.options.segment_first_bytes = sizes[i][0];
        w.options.segment_max_bytes = sizes[i][1];
        dbk_simdisk_world_of(w.disk)->capacity_bytes = UINT64_C(1) << 40;
        assert_int_equal(w.port->open_dir(w.port->ctx, NULL, "log", DBK_OPEN_DIRECTORY, &w.dir), 0);
        if (i < 2) {
            assert_int_equal(dbk_log_create(w.port, w.dir, &w.options, NULL), DBK_OK);
            assert_int_equal(world_open(&w, NULL), DBK_OK);
            assert_int_equal(append(w.log, 3), DBK_OK);
            check_entries(w.log, 0);
        }
        world_free(&w);
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_error),
        cmocka_unit_test(test_two_failures),
        cmocka_unit_test(test_cleared_later),
        cmocka_unit_test(test_sizes_of_options),
    };

    step = step_argument(argc, argv, 1);
    int red = run_both_forms(tests);
    printf("%llu runs, in each another call failing with an error of its own\n", (unsigned long long)runs);
    return red;
}
