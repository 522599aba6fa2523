/* Options, moments and the text of the progress bar, without the program around them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "cli/cli.h"

static const dbk_cli_option options[] = {
    {"at", 0, "POS", "a value"},
    {"json", 0, NULL, "a flag"},
    {"quiet", 'q', NULL, "a letter"},
    {"to", 't', "POS", "a letter with a value"},
    {0},
};
enum { AT, JSON, QUIET, TO };

/* Splits `line` at its blanks and parses it. */
static dbk_result parse(const char *line, dbk_cli_args *args, dbk_error *err)
{
    static char text[256];
    static char *argv[32];
    int argc = 0;
    snprintf(text, sizeof text, "%s", line);
    for (char *word = strtok(text, " "); word; word = strtok(NULL, " ")) argv[argc++] = word;
    memset(err, 0, sizeof *err);
    return dbk_cli_parse(options, argc, argv, args, err);
}

static void options_and_words_come_in_any_order(void **state)
{
    (void)state;
    dbk_cli_args args;
    dbk_error err;
    assert_int_equal(parse("a --at 17 b --json c", &args, &err), DBK_OK);
    assert_int_equal(args.word_count, 3);
    assert_string_equal(args.words[0], "a");
    assert_string_equal(args.words[1], "b");
    assert_string_equal(args.words[2], "c");
    assert_string_equal(args.values[AT], "17");
    assert_string_equal(args.values[JSON], "");
    assert_null(args.values[QUIET]);
}

static void values_stand_behind_a_blank_or_an_equals_sign(void **state)
{
    (void)state;
    dbk_cli_args args;
    dbk_error err;
    assert_int_equal(parse("--at=17=18 -t 5", &args, &err), DBK_OK);
    assert_string_equal(args.values[AT], "17=18");
    assert_string_equal(args.values[TO], "5");
    assert_int_equal(parse("--at= x", &args, &err), DBK_OK);
    assert_string_equal(args.values[AT], "");
    assert_int_equal(parse("--at --json", &args, &err), DBK_OK);
    assert_string_equal(args.values[AT], "--json");
    assert_null(args.values[JSON]);
}

static void the_last_of_a_repeated_option_counts(void **state)
{
    (void)state;
    dbk_cli_args args;
    dbk_error err;
    assert_int_equal(parse("--at 1 --at 2", &args, &err), DBK_OK);
    assert_string_equal(args.values[AT], "2");
}

static void two_dashes_end_the_options_and_one_is_a_word(void **state)
{
    (void)state;
    dbk_cli_args args;
    dbk_error err;
    assert_int_equal(parse("- -- --json -q --", &args, &err), DBK_OK);
    assert_int_equal(args.word_count, 4);
    assert_string_equal(args.words[0], "-");
    assert_string_equal(args.words[1], "--json");
    assert_string_equal(args.words[3], "--");
    assert_null(args.values[JSON]);
}

static void wrong_options_are_refused_with_the_nearest(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"--jsn", "unknown option '--jsn'; did you mean '--json'?"},
        {"--frobnicate", "unknown option '--frobnicate'"},
        {"--", NULL},
        {"--=x", "unknown option '--'"},
        {"--json=x", "option '--json' takes no value"},
        {"--at", "option '--at' needs a value: POS"},
        {"-t", "option '--to' needs a value: POS"},
        {"-x", "unknown option '-x'"},
        {"-qt", "unknown option '-qt'"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        dbk_cli_args args;
        dbk_error err;
        dbk_result result = parse(cases[i][0], &args, &err);
        assert_int_equal(result, cases[i][1] ? DBK_USAGE : DBK_OK);
        if (cases[i][1]) assert_string_equal(err.text, cases[i][1]);
    }
}

static void a_moment_is_a_position_or_a_time(void **state)
{
    (void)state;
    dbk_moment at;
    dbk_error err = {0};
    assert_int_equal(dbk_cli_moment("17", "--at", NULL, &at, &err), DBK_OK);
    assert_int_equal(at.position, 17);
    assert_int_equal(at.time_ms, 0);
    assert_int_equal(dbk_cli_moment("2026-11-21T04:05:06.789+01:00", "--at", "2026-11-21", &at, &err), DBK_OK);
    assert_int_equal(at.position, 0);
    assert_int_equal(at.time_ms, 1795230306789);
    assert_int_equal(at.order_time_ms, 1795219200000);
    assert_int_equal(dbk_cli_moment(NULL, "--at", NULL, &at, &err), DBK_OK);
    assert_int_equal(at.position + (uint64_t)at.time_ms + (uint64_t)at.order_time_ms, 0);
    static const char *const bad[] = {
        "0", "", "-1", "1e3", "17 ", "9223372036854775808", "18446744073709551616", "noon", "2026-02-30"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(dbk_cli_moment(bad[i], "--at", NULL, &at, &err), DBK_USAGE);
    assert_int_equal(dbk_cli_moment(NULL, "--at", "17", &at, &err), DBK_USAGE);
}

static void a_moment_in_a_request(void **state)
{
    (void)state;
    dbk_buffer out;
    dbk_buffer_init(&out, dbk_port_system());
    dbk_moment_put(&out, &(dbk_moment){.position = 3, .time_ms = 4, .order_time_ms = 5});
    assert_string_equal(dbk_buffer_text(&out), ",\"at\":3,\"at_time\":4,\"order_time\":5");
    dbk_buffer_release(&out);
}

static void the_bar_tells_share_rate_and_time_left(void **state)
{
    (void)state;
    char text[256];
    dbk_bar_text(text, sizeof text, 80, "sending", "commands", 250000, 1000000, 10.0);
    assert_string_equal(text, "sending  25 % [#######                       ] 25,000 commands/s  0:30 left");
    dbk_bar_text(text, sizeof text, 200, "sending", "commands", 7, 7, 2.0);
    assert_string_equal(text, "sending 100 % [##############################] 3 commands/s  0:00 left");
    dbk_bar_text(text, sizeof text, 80, "sending", "commands", 1234567, 0, 1.0);
    assert_string_equal(text, "sending  1,234,567 commands/s");
}

static void the_bar_fits_any_terminal(void **state)
{
    (void)state;
    char text[256];
    for (unsigned width = 1; width < 200; width++) {
        dbk_bar_text(text, sizeof text, width, "building the model", "entries", UINT64_MAX / 2, UINT64_MAX, 0.001);
        assert_true(strlen(text) < width || width == 1);
        dbk_bar_text(text, sizeof text, width,
                     "a label that is far longer than any label should ever be in a bar like this one", "e", 1, 0, 1);
        assert_true(strlen(text) < width || width == 1);
    }
    dbk_bar_text(text, sizeof text, 80, "x", "y", 0, 100, 0);
    assert_non_null(strstr(text, "0 % "));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(options_and_words_come_in_any_order),
        cmocka_unit_test(values_stand_behind_a_blank_or_an_equals_sign),
        cmocka_unit_test(the_last_of_a_repeated_option_counts),
        cmocka_unit_test(two_dashes_end_the_options_and_one_is_a_word),
        cmocka_unit_test(wrong_options_are_refused_with_the_nearest),
        cmocka_unit_test(a_moment_is_a_position_or_a_time),
        cmocka_unit_test(a_moment_in_a_request),
        cmocka_unit_test(the_bar_tells_share_rate_and_time_left),
        cmocka_unit_test(the_bar_fits_any_terminal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
