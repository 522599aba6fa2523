/* DAYBOOK_CLOCK moves the wall clock of debug builds, and of no others. */
#include "tests/base/fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static int64_t now(void)
{
    const dbk_port *port = dbk_port_system();
    return port->wall_ms(port->ctx);
}

static void assert_about(int64_t time_ms, int64_t wanted_ms)
{
#ifdef NDEBUG
    (void)wanted_ms;
    (void)time_ms;
#else
    assert_true(time_ms >= wanted_ms && time_ms < wanted_ms + 60000);
#endif
}

static void spans_move_it(void **state)
{
    int64_t real = now();

    (void)state;
    setenv("DAYBOOK_CLOCK", "+40d", 1);
    assert_about(now(), real + INT64_C(40) * 86400000);
    setenv("DAYBOOK_CLOCK", "-90m", 1);
    assert_about(now(), real - 5400000);
    setenv("DAYBOOK_CLOCK", "+2h", 1);
    assert_about(now(), real + 7200000);
    setenv("DAYBOOK_CLOCK", "-7s", 1);
    assert_about(now(), real - 7000);
    static const char *const nonsense[] = {
        "", "+", "+5", "+5w", "+5dd", "+99999999d", "-99999999d", "yesterday", "@/nowhere/at/all", "@/dev/null"};
    for (size_t i = 0; i < sizeof(nonsense) / sizeof(nonsense[0]); i++) {
        setenv("DAYBOOK_CLOCK", nonsense[i], 1);
        assert_true(now() >= real && now() < real + 60000);
    }
    unsetenv("DAYBOOK_CLOCK");
}

static void a_file_is_read_at_every_look(void **state)
{
    char name[] = "/tmp/daybook-clock-XXXXXX", value[40];
    int fd = mkstemp(name);

    (void)state;
    assert_true(fd >= 0);
    assert_int_equal(write(fd, "2027-01-31T12:00:00Z\n", 21), 21);
    snprintf(value, sizeof(value), "@%s", name);
    setenv("DAYBOOK_CLOCK", value, 1);
#ifndef NDEBUG
    assert_true(now() == INT64_C(1801396800000));
    assert_true(now() == INT64_C(1801396800000)); /* it stands still */
#endif
    assert_int_equal(pwrite(fd, "2027-01-31T12:00:01Z\n", 21, 0), 21);
#ifndef NDEBUG
    assert_true(now() == INT64_C(1801396801000));
#endif
    unsetenv("DAYBOOK_CLOCK");
    assert_int_equal(close(fd), 0);
    assert_int_equal(unlink(name), 0);
}

static void a_time_begins_at_the_first_look(void **state)
{
    (void)state;
    setenv("DAYBOOK_CLOCK", "2030-06-01 00:00", 1);
    assert_about(now(), INT64_C(1906502400000));
    unsetenv("DAYBOOK_CLOCK");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(spans_move_it),
        cmocka_unit_test(a_file_is_read_at_every_look),
        cmocka_unit_test(a_time_begins_at_the_first_look),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
