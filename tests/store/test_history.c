/* history, explain, diff: what entries changed, with cascades and projections, in canonical order. */
#include "tests/store/ask_fixture.h"
#include "tests/store/faulty_port.h"
#include "tests/store/world_fixture.h"

static int setup(void **state)
{
    world *w = world_new(state, 1);
    world_accept(w, 0,
                 "{\"id\":\"1\",\"do\":\"put\",\"table\":\"notes\",\"key\":\"n1\",\"data\":{\"title\":\"A\"},\"actor\":"
                 "\"ann\"}");
    world_accept(w, 0, "{\"id\":\"2\",\"do\":\"put\",\"table\":\"tags\",\"key\":[\"n1\",\"red\"]}");
    world_accept(w, 0,
                 "{\"id\":\"3\",\"do\":\"patch\",\"table\":\"notes\",\"key\":\"n1\",\"data\":{\"stars\":4},"
                 "\"correlation\":\"k\",\"causation\":\"z\"}");
    world_accept(
        w, 0, "{\"id\":\"4\",\"do\":\"append\",\"stream\":\"job/7\",\"type\":\"job.started\",\"data\":{\"id\":\"7\"}}");
    world_accept(w, 0,
                 "{\"id\":\"5\",\"do\":\"append\",\"stream\":\"job/"
                 "7\",\"type\":\"job.progressed\",\"data\":{\"id\":\"7\",\"pct\":40}}");
    world_accept(w, 0, "{\"id\":\"6\",\"do\":\"delete\",\"table\":\"notes\",\"key\":\"n1\",\"actor\":\"bob\"}");
    return 0;
}

static void history_tells_who_when_what_and_why(void **state)
{
    world *w = *state;
    world_contains(w, 0, "{\"do\":\"history\",\"table\":\"notes\",\"key\":\"n1\"}",
                   "\"actor\":\"ann\",\"commandid\":\"1\"");
    world_contains(
        w, 0, "{\"do\":\"history\",\"table\":\"notes\",\"key\":\"n1\"}",
        "\"named\":true,\"op\":\"insert\",\"to\":{\"id\":\"n1\",\"title\":\"A\",\"stars\":0,\"done\":null}}");
    world_contains(w, 0, "{\"do\":\"history\",\"table\":\"notes\",\"key\":\"n1\"}",
                   "\"correlationid\":\"k\",\"causationid\":\"z\",\"events\":[{\"type\":\"notes.patched\",\"subject\":"
                   "\"notes/n1\"}],\"named\":true,"
                   "\"op\":\"update\",\"from\":{\"stars\":0},\"to\":{\"stars\":4}}");
    world_contains(w, 0, "{\"do\":\"history\",\"table\":\"notes\",\"key\":\"n1\",\"limit\":1}", "\"earlier\":2");
    world_contains(w, 0, "{\"do\":\"history\",\"table\":\"notes\",\"key\":\"n2\"}", "\"changes\":[],\"position\":6");
}

/* A row that goes with its parent has no event of its own: its history names the parent's delete. */
static void history_has_the_cascades_of_parents(void **state)
{
    world *w = *state;
    world_contains(w, 0, "{\"do\":\"history\",\"table\":\"tags\",\"key\":[\"n1\",\"red\"]}",
                   "\"position\":6,\"entry\":\"61616161616161616161616161616161.1.6\",\"time\":\"2023-11-14T22:13:26."
                   "000Z\",\"actor\":\"bob\","
                   "\"commandid\":\"6\",\"events\":[{\"type\":\"notes.deleted\",\"subject\":\"notes/"
                   "n1\"}],\"named\":false,\"op\":\"delete\","
                   "\"from\":{\"note\":\"n1\",\"name\":\"red\"}}],\"position\":6");
    world_contains(w, 0, "{\"do\":\"history\",\"table\":\"progress\",\"key\":\"7\"}",
                   "\"named\":false,\"op\":\"update\",\"from\":{\"pct\":0},\"to\":{\"pct\":40}}");
}

static void explain_lists_the_rows_of_an_entry(void **state)
{
    world *w = *state;
    world_contains(
        w, 0, "{\"do\":\"explain\",\"position\":6}",
        "{\"table\":\"tags\",\"key\":[\"n1\",\"red\"],\"op\":\"delete\",\"from\":{\"note\":\"n1\",\"name\":\"red\"}}");
    world_contains(w, 0, "{\"do\":\"explain\",\"position\":6}",
                   "{\"table\":\"notes\",\"key\":\"n1\",\"op\":\"delete\",\"from\":{\"id\":\"n1\",\"title\":\"A\","
                   "\"stars\":4,\"done\":null}}");
    world_contains(w, 0, "{\"do\":\"explain\",\"position\":5}",
                   "\"rows\":[{\"table\":\"progress\",\"key\":\"7\",\"op\":\"update\",\"from\":{\"pct\":0},\"to\":{"
                   "\"pct\":40}}],\"state\":\"applied\"");
    world_expect(w, 0, "{\"do\":\"explain\",\"position\":7}",
                 "not_found: there is no position 7 | the last position is 6");
    world_contains(w, 0, "{\"do\":\"explain\",\"position\":0}", "bad_command: ");
}

/* The other store deleted the row before this one patched it: the patch, imported, is superseded. */
static void supersede(world *w)
{
    facts *f = calloc(1, sizeof *f);
    uint64_t logged, parked;
    world_accept(w, 0, "{\"id\":\"7\",\"do\":\"put\",\"table\":\"free\",\"key\":1,\"data\":{\"what\":\"x\"}}");
    for (uint64_t p = 1; p <= 7; p++) facts_take(f, w, 0, p);
    assert_int_equal(facts_deliver(f, w, 1, &logged, &parked), DBK_OK);
    facts_clear(f);
    world_accept(w, 0, "{\"id\":\"8\",\"do\":\"delete\",\"table\":\"free\",\"key\":1}");
    w->now_ms[1] = w->now_ms[0] + 60000;
    world_accept(w, 1, "{\"id\":\"9\",\"do\":\"patch\",\"table\":\"free\",\"key\":1,\"data\":{\"what\":\"y\"}}");
    facts_take(f, w, 1, 8);
    assert_int_equal(facts_deliver(f, w, 0, &logged, &parked), DBK_OK);
    facts_clear(f);
    free(f);
}

static void explain_says_why_an_entry_changed_nothing(void **state)
{
    world *w = *state;
    supersede(w);
    world_contains(w, 0, "{\"do\":\"explain\",\"position\":9}",
                   "\"rows\":[],\"state\":\"superseded\",\"reason\":\"no row to patch\"");
}

static void diff_is_the_step_between_two_moments(void **state)
{
    world *w = *state;
    world_expect(
        w, 0, "{\"do\":\"diff\",\"from\":1,\"to\":3}",
        "{\"ok\":true,\"from\":1,\"to\":3,\"rows\":[{\"table\":\"notes\",\"key\":\"n1\",\"op\":\"update\",\"from\":{"
        "\"stars\":0},\"to\":{\"stars\":4}},"
        "{\"table\":\"tags\",\"key\":[\"n1\",\"red\"],\"op\":\"insert\",\"to\":{\"note\":\"n1\",\"name\":\"red\"}}]}");
    world_expect(w, 0, "{\"do\":\"diff\",\"from\":3,\"to\":1,\"table\":\"notes\"}",
                 "{\"ok\":true,\"from\":3,\"to\":1,\"rows\":[{\"table\":\"notes\",\"key\":\"n1\",\"op\":\"update\","
                 "\"from\":{\"stars\":4},\"to\":{\"stars\":0}}]}");
    world_expect(w, 0, "{\"do\":\"diff\",\"from\":5,\"to\":5}", "{\"ok\":true,\"from\":5,\"to\":5,\"rows\":[]}");
    world_contains(w, 0, "{\"do\":\"diff\",\"from\":\"2023-11-14T22:13:25Z\"}",
                   "\"from\":5,\"to\":6,\"rows\":[{\"table\":\"notes\",\"key\":\"n1\",\"op\":\"delete\"");
    world_contains(w, 0, "{\"do\":\"diff\",\"from\":5,\"limit\":1}", "\"left_out\":1");
    world_contains(w, 0, "{\"do\":\"diff\",\"from\":true}", "bad_command: 'from' must be a position or a time");
    world_contains(w, 0, "{\"do\":\"diff\",\"from\":99}", "not_found: there is no position 99");
}

/* Told of the row alone, or by a fold of all: the same, with late entries and entries that were skipped. */
static void a_row_that_stands_alone_is_told_the_same(void **state)
{
    world *w = *state;
    facts *f = calloc(1, sizeof *f);
    uint64_t logged, parked;
    dbk_table *table = (dbk_table *)(uintptr_t)dbk_definition_table(w->definition, dbk_slice_text("free"));
    assert_true(dbk_table_is_alone(table));
    for (int round = 0; round < 4; round++) {
        for (int i = 0; i < 40; i++) world_random_command(w, (size_t)(i % 2));
        for (size_t from = 0; from < 2; from++) {
            for (uint64_t p = 1; p <= dbk_log_position(dbk_engine_log(w->engines[from])); p++)
                facts_take(f, w, from, p);
            assert_int_equal(facts_deliver(f, w, 1 - from, &logged, &parked), DBK_OK);
            facts_clear(f);
        }
        for (int key = 0; key < 4; key++) {
            char request[100];
            snprintf(request, sizeof request, "{\"do\":\"history\",\"table\":\"free\",\"key\":%d}", key);
            char *alone = world_ask(w, 0, request);
            table->row_local = false;
            char *folded = world_ask(w, 0, request);
            table->row_local = true;
            assert_string_equal(alone, folded);
            free(alone);
            free(folded);
        }
    }
    free(f);
}

/* Its key has no bytes where the row is told of alone, nor has the value that is made of an empty BLOB. */
static void a_key_may_be_an_empty_text(void **state)
{
    (void)state;
    engine_fixture f;
    fixture_start(&f, "CREATE TABLE alone (id TEXT PRIMARY KEY NOT NULL, what BLOB);", NULL);
    must_accept(&f, "{\"id\":\"1\",\"do\":\"put\",\"table\":\"alone\",\"key\":\"\",\"data\":{\"what\":\"\"}}");
    must_accept(&f, "{\"id\":\"2\",\"do\":\"delete\",\"table\":\"alone\",\"key\":\"\"}");
    char *answer = ask_of(f.engine, "{\"do\":\"history\",\"table\":\"alone\",\"key\":\"\"}");
    assert_non_null(strstr(answer, "\"op\":\"insert\""));
    assert_non_null(strstr(answer, "\"op\":\"delete\""));
    free(answer);
    fixture_stop(&f);
}

/* Each allocation fails once; among them the one for the ids of entries that the model left out. */
static void history_says_what_there_was_no_memory_for(void **state)
{
    static const char request[] = "{\"do\":\"history\",\"table\":\"free\",\"key\":1}";
    world *w = *state;
    faulty_port port;
    size_t said = 0, failed = 0;
    supersede(w);
    char *whole = ask_of(w->engines[0], request);
    assert_non_null(strstr(whole, "\"op\":\"delete\""));
    dbk_engine_close(w->engines[0]);
    faulty_init(&port);
    w->options[0].port = &port.port;
    world_open(w, 0);
    for (size_t at = 1; at == 1 || failed == at - 1; at++) {
        port.fail_alloc_at = at;
        char *answer = ask_of(w->engines[0], request);
        failed += strcmp(answer, whole) != 0;
        if (failed == at && strncmp(answer, "busy: ", 6) != 0) print_error("%s\n", answer);
        assert_true(failed < at || strncmp(answer, "busy: ", 6) == 0);
        said += strcmp(answer, "busy: no memory for what the model left out") == 0;
        free(answer);
        faulty_calm(&port);
    }
    assert_true(failed > 10);
    assert_int_equal(said, 1);
    free(whole);
    dbk_engine_close(w->engines[0]);
    assert_int_equal(port.held, 0);
    w->options[0].port = NULL;
    world_open(w, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(history_tells_who_when_what_and_why, setup, world_teardown),
        cmocka_unit_test_setup_teardown(history_has_the_cascades_of_parents, setup, world_teardown),
        cmocka_unit_test_setup_teardown(explain_lists_the_rows_of_an_entry, setup, world_teardown),
        cmocka_unit_test_setup_teardown(explain_says_why_an_entry_changed_nothing, setup, world_teardown),
        cmocka_unit_test_setup_teardown(history_says_what_there_was_no_memory_for, setup, world_teardown),
        cmocka_unit_test_setup_teardown(diff_is_the_step_between_two_moments, setup, world_teardown),
        cmocka_unit_test_setup_teardown(a_row_that_stands_alone_is_told_the_same, setup, world_teardown),
        cmocka_unit_test(a_key_may_be_an_empty_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
