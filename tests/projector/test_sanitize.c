/* tables.<t>.sanitize: texts are cleaned where they are decided, in one order, and cleaning twice is cleaning once. */
#include "tests/projector/row_fixture.h"

#include <stdio.h>

#include "tests/base/fixture.h"

static const char app[] = "{\"daybook\": 1, \"name\": \"clean\", \"tables\": {\n"
                          " \"files\": {\"sanitize\": {\"name\": [\"trim\", \"nfc\", \"no-traversal\", "
                          "\"strip-control\"], \"form\": [\"nfc\"],"
                          " \"path\": [\"no-traversal\"]}}}}";
static const char schema[] = "CREATE TABLE files(id TEXT NOT NULL PRIMARY KEY, name TEXT, form TEXT UNIQUE, path TEXT, "
                             "body TEXT);\n";

static row_bench bench;

static int set_up(void **state)
{
    (void)state;
    bench_open_with(&bench, app, schema, "");
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    bench_close(&bench);
    return 0;
}

#define PUT(key, data)   "{\"do\":\"put\",\"table\":\"files\",\"key\":" key ",\"data\":" data "}"
#define PATCH(key, data) "{\"do\":\"patch\",\"table\":\"files\",\"key\":" key ",\"data\":" data "}"

/* Characters that go do so first: what they kept apart is then one. */
static void one_order_whatever_is_listed_first(void **state)
{
    static const char *const names[][2] = {
        {" a b ", "a b"},
        {"..", "_"},
        {"...", "_."},
        {"....x", "__x"},
        {".\\u0001.", "_"},
        {".\\u0000.", NULL}, /* no text */
        {"\\u0001 a \\u007f", "a"},
        {"e\\u0085\\u0301", "\u00e9"},
        {" \\u00a0", "\u00a0"}, /* no white space of ASCII */
        {"a/..\\\\\\u212b", "a___\u00c5"},
        {"\\t\\u0301", "\u0301"},
        {"   ", ""},
        {"", ""},
    };
    char command[200], expected[40];

    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        (void)snprintf(command, sizeof command, PUT("\"%zu\"", "{\"name\":\"%s\"}"), i, names[i][0]);
        if (!names[i][1]) {
            assert_int_equal(decide(&bench, command), DBK_SCHEMA);
            continue;
        }
        accept(&bench, command, NULL);
        (void)snprintf(command, sizeof command, "SELECT name FROM files WHERE id = '%zu'", i);
        (void)snprintf(expected, sizeof expected, "%s", names[i][1]);
        assert_rows(bench.model, command, expected);
        /* what stands there stays when it is said again */
        (void)snprintf(command, sizeof command, PATCH("\"%zu\"", "{\"name\":\"%s\"}"), i, expected);
        accept(&bench, command, "");
    }
}

static void the_event_carries_the_composed_text(void **state)
{
    (void)state;
    accept(&bench, PUT("\"f\"", "{\"form\":\"Cafe\u0301\",\"body\":\"Cafe\u0301\",\"path\":\"e\u0301/\"}"),
           "files/f files.put {\"body\":\"Cafe\u0301\",\"form\":\"Caf\u00e9\",\"id\":\"f\",\"name\":null,"
           "\"path\":\"e\u0301_\"} +name");
    accept(&bench, PATCH("\"f\"", "{\"form\":\"A\u030angstro\u0308m\"}"),
           "files/f files.patched {\"form\":\"\u00c5ngstr\u00f6m\"} ^1");
    assert_replay(&bench);
}

static void another_form_of_the_same_text_changes_nothing(void **state)
{
    (void)state;
    accept(&bench, PUT("\"f\"", "{\"form\":\"\u00e9\",\"body\":\"b\"}"), NULL);
    accept(&bench, PATCH("\"f\"", "{\"form\":\"e\u0301\"}"), "");
    accept(&bench, PATCH("\"f\"", "{\"form\":\"e\u0301\",\"body\":\"c\"}"),
           "files/f files.patched {\"body\":\"c\"} ^1");
    accept(&bench, PUT("\"f\"", "{\"form\":\"e\u0301\",\"body\":\"c\"}"), "");
    /* so both are one to UNIQUE */
    assert_int_equal(decide(&bench, PUT("\"g\"", "{\"form\":\"e\u0301\"}")), DBK_CONSTRAINT);
    accept(&bench, PATCH("\"f\"", "{\"form\":null}"), NULL);
}

/* A fact was cleaned where it was decided, if at all: it is taken as it is. */
static void facts_stay_as_they_are(void **state)
{
    (void)state;
    (void)log_fact(&bench, &(row_fact){.author = 1,
                                       .seq = 1,
                                       .ms = (uint64_t)bench.time_ms,
                                       .stream = "files/f",
                                       .type = "files.put",
                                       .data = "{\"id\":\"f\",\"form\":\"e\u0301\"}"});
    fold(&bench);
    assert_rows(bench.model, "SELECT form = 'e' || char(769) FROM files", "1");
    accept(&bench, PATCH("\"f\"", "{\"form\":\"e\u0301\"}"), NULL);
    assert_rows(bench.model, "SELECT form = char(233) FROM files", "1");
}

static dbk_result put_with(size_t at, const char *command, thrifty_port *thrifty)
{
    dbk_buffer *buffers[] = {&bench.model->work->scratch, &bench.model->work->made, &bench.model->work->wide};

    thrifty_init(thrifty, at);
    thrifty->once = true;
    for (int i = 0; i < 3; i++) dbk_buffer_release(buffers[i]), dbk_buffer_init(buffers[i], &thrifty->port);
    dbk_result result = decide(&bench, command);
    for (int i = 0; i < 3; i++) dbk_buffer_release(buffers[i]), dbk_buffer_init(buffers[i], dbk_port_system());
    assert_int_equal(thrifty->held, 0);
    return result;
}

static void out_of_memory_refuses_the_command(void **state)
{
    enum { MARKS = 20000 };
    static char command[4 * MARKS + 200];
    thrifty_port thrifty;
    size_t refused = 0;

    (void)state;
    accept(&bench, PUT("\"f\"", "{\"name\":\"x\"}"), NULL);
    int size =
        snprintf(command, sizeof command, "{\"do\":\"patch\",\"table\":\"files\",\"key\":\"f\",\"data\":{\"name\":\"e");
    for (size_t i = 0; i < MARKS; i++, size += 4) memcpy(command + size, "\u0301\u0323", 4);
    (void)snprintf(command + size, sizeof command - (size_t)size, "\"}}");
    for (size_t at = 1; put_with(at, command, &thrifty) != DBK_OK; at++, refused++) {
        assert_int_equal(bench.err.code, DBK_NO_MEMORY);
        assert_rows(bench.model, "SELECT name FROM files", "x");
    }
    assert_in_range(refused, 5, 100);
    assert_int_equal(decide(&bench, command), DBK_OK);
    assert_in_range(bench.model->work->wide.capacity, 0, 64 << 10); /* what was much is given back */
    assert_rows(bench.model, "SELECT length(name), unicode(name) FROM files", "40000|7865"); /* one joined, in order */
}

/* U+1D160 has four bytes, and twelve in form C. */
static void a_text_that_grows_has_a_limit(void **state)
{
    enum { COUNT = 1024 * 1024 / 12 };
    char *command = malloc(4 * COUNT + 200);
    (void)state;
    assert_non_null(command);
    for (size_t more = 0; more < 2; more++) {
        size_t size = (size_t)sprintf(
            command, "{\"do\":\"put\",\"table\":\"files\",\"key\":\"n%zu\",\"data\":{\"form\":\"", more);
        for (size_t i = 0; i < COUNT + more; i++, size += 4) memcpy(command + size, "\xf0\x9d\x85\xa0", 4);
        memcpy(command + size, "\"}}", 4);
        assert_int_equal(decide(&bench, command), more ? DBK_TOO_BIG : DBK_OK);
    }
    free(command);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(one_order_whatever_is_listed_first),
        TEST(the_event_carries_the_composed_text),
        TEST(another_form_of_the_same_text_changes_nothing),
        TEST(facts_stay_as_they_are),
        TEST(a_text_that_grows_has_a_limit),
        TEST(out_of_memory_refuses_the_command),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
