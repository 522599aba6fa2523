/* A client that is gone: what it asked and what was not read yet is refused, so that the others do not wait for answers
 * that nobody gets; what it sent to be done is done. */
#include "store/engine.h"
#include "tests/store/store_fixture.h"

static const char schema[] = "CREATE TABLE notes (id TEXT PRIMARY KEY NOT NULL, n INTEGER);";

typedef struct answer {
    gate come;
    char text[400];
} answer;

static int setup(void **state)
{
    return live_setup(state, schema);
}

static void take(void *arg, const char *receipt, size_t size)
{
    answer *a = arg;
    snprintf(a->text, sizeof a->text, "%.*s", (int)(size < 399 ? size : 399), receipt);
    gate_open(&a->come);
}

/* Each has its own place, which who answers may still hold when the one who asked goes on. */
static const char *ask(live_store *s, const char *json, const bool *cancel)
{
    static answer answers[16];
    static size_t count;
    dbk_error error = {0};
    answer *a = &answers[count++];
    assert_true(count <= sizeof answers / sizeof *answers);
    gate_init(&a->come);
    assert_int_equal(dbk_store_send_until(s->store, json, strlen(json), cancel, take, a, &error), DBK_OK);
    gate_pass(&a->come);
    return a->text;
}

static void a_request_of_who_is_gone_is_not_read(void **state)
{
    static const char request[] = "{\"do\":\"query\",\"sql\":\"SELECT 17 AS seventeen\"}";
    live_store *s = *state;
    bool gone = false;
    assert_non_null(strstr(ask(s, request, &gone), "seventeen"));
    dbk_store_cancel(s->store, &gone);
    assert_non_null(strstr(ask(s, request, &gone), "\"error\":\"unavailable\""));
}

static void a_command_of_who_is_gone_is_decided(void **state)
{
    static const char command[] = "{\"id\":\"c\",\"do\":\"put\",\"table\":\"notes\",\"key\":\"k\",\"data\":{\"n\":1}}";
    static const char request[] = "{\"do\":\"get\",\"table\":\"notes\",\"key\":\"k\"}";
    live_store *s = *state;
    bool gone = true, there = false;
    assert_non_null(strstr(ask(s, command, &gone), "\"ok\":true"));
    assert_non_null(strstr(ask(s, request, &there), "\"n\":1"));
}

/* Commands too, whichever thread it is that decides them: one between requests, and one that is made of an entry. */
static void what_who_is_gone_sent_to_be_done_is_done(void **state)
{
    static const char mixed[] = "[{\"do\":\"get\",\"table\":\"notes\",\"key\":\"k\"},{\"id\":\"c\",\"do\":\"put\","
                                "\"table\":\"notes\",\"key\":\"k\",\"data\":{\"n\":1}}]";
    static const char undo[] = "{\"id\":\"u\",\"do\":\"undo\",\"position\":1}";
    static const char rebuild[] = "{\"do\":\"rebuild\"}", status[] = "{\"do\":\"status\"}";
    static const char request[] = "{\"do\":\"list\",\"table\":\"notes\"}";
    live_store *s = *state;
    bool gone = true, there = false;
    assert_non_null(strstr(ask(s, mixed, &gone), "\"position\":1"));
    assert_non_null(strstr(ask(s, request, &there), "\"n\":1"));
    assert_non_null(strstr(ask(s, undo, &gone), "\"position\":2"));
    assert_non_null(strstr(ask(s, request, &there), "\"rows\":[]"));
    assert_non_null(strstr(ask(s, rebuild, &gone), "\"ok\":true"));
    assert_non_null(strstr(ask(s, status, &there), "\"generation\":2"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_request_of_who_is_gone_is_not_read, setup, live_teardown),
        cmocka_unit_test_setup_teardown(a_command_of_who_is_gone_is_decided, setup, live_teardown),
        cmocka_unit_test_setup_teardown(what_who_is_gone_sent_to_be_done_is_done, setup, live_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
