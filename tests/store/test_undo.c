/* undo and redo: what goes back, what stays, and that it is an entry like others. */
#include "tests/store/world_fixture.h"

static int setup(void **state)
{
    (void)world_new(state, 5);
    return 0;
}

static char *undo(world *w, size_t i, const char *command)
{
    dbk_buffer receipt;
    dbk_buffer_init(&receipt, dbk_port_system());
    w->now_ms[i] += 1000;
    assert_int_equal(dbk_engine_undo(w->engines[i], dbk_slice_text(command), w->now_ms[i], &receipt, &w->error),
                     DBK_OK);
    assert_non_null(dbk_buffer_text(&receipt));
    return (char *)receipt.data;
}

static void must_undo(world *w, size_t i, const char *command, const char *part)
{
    char *receipt = undo(w, i, command);
    if (!strstr(receipt, part)) print_error("%s\n%s\n%s\n", command, part, receipt);
    assert_non_null(strstr(receipt, part));
    free(receipt);
}

static void columns_go_back_and_those_of_others_stay(void **state)
{
    world *w = *state;
    world_accept(w, 0,
                 "{\"id\":\"1\",\"do\":\"put\",\"table\":\"notes\",\"key\":\"n1\",\"data\":{\"title\":\"A\",\"stars\":"
                 "1,\"done\":true}}");
    world_accept(
        w, 0,
        "{\"id\":\"2\",\"do\":\"patch\",\"table\":\"notes\",\"key\":\"n1\",\"data\":{\"title\":\"B\",\"stars\":2}}");
    world_accept(w, 0, "{\"id\":\"3\",\"do\":\"patch\",\"table\":\"notes\",\"key\":\"n1\",\"data\":{\"stars\":3}}");
    must_undo(w, 0, "{\"id\":\"u\",\"do\":\"undo\",\"position\":2}",
              "\"kept\":[{\"table\":\"notes\",\"key\":\"n1\",\"columns\":[\"stars\"],\"reason\":\"written since\"}]}");
    world_contains(w, 0, "{\"do\":\"get\",\"table\":\"notes\",\"key\":\"n1\"}",
                   "{\"id\":\"n1\",\"title\":\"A\",\"stars\":3,\"done\":true}");
    world_contains(w, 0, "{\"do\":\"history\",\"table\":\"notes\",\"key\":\"n1\",\"limit\":1}",
                   "\"commandid\":\"u\",\"causationid\":\"61616161616161616161616161616161.1.2\",\"undo\":true");
    must_undo(w, 0, "{\"id\":\"u\",\"do\":\"undo\",\"position\":2}", "\"position\":4,");
    must_undo(w, 0, "{\"id\":\"u\",\"do\":\"undo\",\"position\":2}", "\"again\":true");
    must_undo(w, 0, "{\"id\":\"u\",\"do\":\"undo\",\"position\":3}", "\"error\":\"id_reused\"");
    must_undo(w, 0, "{\"id\":\"r\",\"do\":\"undo\",\"position\":4}", "\"kept\":[]");
    world_contains(w, 0, "{\"do\":\"get\",\"table\":\"notes\",\"key\":\"n1\"}", "\"title\":\"B\",\"stars\":3");
    world_assert_folds(w, 0);
}

/* The children that went by the cascade come back, across a restart, and go again by the redo. */
static void a_deleted_parent_comes_back_with_its_children(void **state)
{
    world *w = *state;
    world_accept(w, 0, "{\"id\":\"1\",\"do\":\"put\",\"table\":\"notes\",\"key\":\"n1\",\"data\":{\"title\":\"A\"}}");
    world_accept(w, 0, "{\"id\":\"2\",\"do\":\"put\",\"table\":\"tags\",\"key\":[\"n1\",\"a/b\"]}");
    world_accept(w, 0, "{\"id\":\"3\",\"do\":\"put\",\"table\":\"tags\",\"key\":[\"n1\",\"c\"]}");
    world_accept(w, 0, "{\"id\":\"4\",\"do\":\"delete\",\"table\":\"notes\",\"key\":\"n1\"}");
    dbk_engine_close(w->engines[0]);
    world_open(w, 0);
    must_undo(w, 0, "{\"id\":\"u\",\"do\":\"undo\",\"position\":4}", "\"kept\":[]");
    world_contains(w, 0, "{\"do\":\"list\",\"table\":\"tags\"}",
                   "[{\"note\":\"n1\",\"name\":\"a/b\"},{\"note\":\"n1\",\"name\":\"c\"}]");
    world_assert_folds(w, 0);
    must_undo(w, 0, "{\"id\":\"r\",\"do\":\"undo\",\"position\":5}", "\"ok\":true");
    world_contains(w, 0, "{\"do\":\"list\",\"table\":\"tags\"}", "\"rows\":[]");
    world_contains(w, 0, "{\"do\":\"list\",\"table\":\"notes\"}", "\"rows\":[]");
    world_assert_folds(w, 0);
}

/* A later entry that puts the row and deletes it again is the one who wrote it last. */
static void what_another_put_and_deleted_since_stays_away(void **state)
{
    world *w = *state;
    world_accept(w, 0, "{\"id\":\"1\",\"do\":\"put\",\"table\":\"notes\",\"key\":\"n1\",\"data\":{\"title\":\"A\"}}");
    world_accept(w, 0, "{\"id\":\"2\",\"do\":\"delete\",\"table\":\"notes\",\"key\":\"n1\"}");
    world_accept(
        w, 0,
        "{\"id\":\"3\",\"do\":\"batch\",\"commands\":[{\"do\":\"put\",\"table\":\"notes\",\"key\":\"n1\",\"data\":{}},"
        "{\"do\":\"delete\",\"table\":\"notes\",\"key\":\"n1\"}]}");
    must_undo(w, 0, "{\"id\":\"u\",\"do\":\"undo\",\"position\":2}", "\"ok\":true");
    world_contains(w, 0, "{\"do\":\"list\",\"table\":\"notes\"}", "\"rows\":[]");
    must_undo(w, 0, "{\"id\":\"v\",\"do\":\"undo\",\"position\":3}", "\"kept\":[]");
    world_contains(w, 0, "{\"do\":\"list\",\"table\":\"notes\"}", "\"rows\":[]");
    world_assert_folds(w, 0);
}

/* Whoever takes a row away and makes it anew has written all of it, what was filled in too. */
static void what_another_made_anew_since_stays(void **state)
{
    world *w = *state;
    world_accept(
        w, 0,
        "{\"id\":\"1\",\"do\":\"put\",\"table\":\"notes\",\"key\":\"n1\",\"data\":{\"title\":\"A\",\"stars\":7}}");
    world_accept(w, 0, "{\"id\":\"2\",\"do\":\"put\",\"table\":\"notes\",\"key\":\"n1\",\"data\":{}}");
    world_accept(w, 0,
                 "{\"id\":\"3\",\"do\":\"batch\",\"commands\":[{\"do\":\"delete\",\"table\":\"notes\",\"key\":\"n1\"},"
                 "{\"do\":\"put\",\"table\":\"notes\",\"key\":\"n1\",\"data\":{}}]}");
    must_undo(w, 0, "{\"id\":\"u\",\"do\":\"undo\",\"position\":2}", "\"ok\":true");
    world_contains(w, 0, "{\"do\":\"get\",\"table\":\"notes\",\"key\":\"n1\"}", "\"title\":null,\"stars\":0");
    world_assert_folds(w, 0);
}

static void what_others_depend_on_stays(void **state)
{
    world *w = *state;
    world_accept(w, 0, "{\"id\":\"1\",\"do\":\"put\",\"table\":\"notes\",\"key\":\"n1\",\"data\":{\"title\":\"A\"}}");
    world_accept(w, 0, "{\"id\":\"2\",\"do\":\"put\",\"table\":\"tags\",\"key\":[\"n1\",\"c\"]}");
    must_undo(w, 0, "{\"id\":\"u\",\"do\":\"undo\",\"position\":1}", "\"reason\":\"rows of others depend on it\"");
    world_contains(w, 0, "{\"do\":\"list\",\"table\":\"notes\"}", "\"id\":\"n1\"");
    must_undo(w, 0, "{\"id\":\"v\",\"do\":\"undo\",\"position\":[1,2]}", "\"kept\":[]");
    world_contains(w, 0, "{\"do\":\"list\",\"table\":\"notes\"}", "\"rows\":[]");
    world_accept(w, 0, "{\"id\":\"5\",\"do\":\"put\",\"table\":\"notes\",\"key\":\"n2\",\"data\":{\"title\":\"A\"}}");
    must_undo(w, 0, "{\"id\":\"x\",\"do\":\"undo\",\"position\":4}", "\"error\":\"constraint\"");
    world_assert_folds(w, 0);
}

static void several_by_correlation_are_one_entry(void **state)
{
    world *w = *state;
    world_accept(w, 0, "{\"id\":\"1\",\"do\":\"put\",\"table\":\"free\",\"key\":1,\"data\":{\"what\":\"a\"}}");
    world_accept(
        w, 0,
        "{\"id\":\"2\",\"do\":\"patch\",\"table\":\"free\",\"key\":1,\"data\":{\"what\":\"b\"},\"correlation\":\"k\"}");
    world_accept(
        w, 0,
        "{\"id\":\"3\",\"do\":\"put\",\"table\":\"free\",\"key\":2,\"data\":{\"what\":\"x\"},\"correlation\":\"k\"}");
    world_accept(
        w, 0,
        "{\"id\":\"4\",\"do\":\"patch\",\"table\":\"free\",\"key\":1,\"data\":{\"what\":\"c\"},\"correlation\":\"k\"}");
    must_undo(w, 0, "{\"id\":\"u\",\"do\":\"undo\",\"of_correlation\":\"k\"}", "\"position\":5");
    world_contains(w, 0, "{\"do\":\"list\",\"table\":\"free\"}", "\"rows\":[{\"id\":1,\"what\":\"a\"}]");
    must_undo(w, 0, "{\"id\":\"r\",\"do\":\"undo\",\"position\":5}", "\"kept\":[]");
    world_contains(w, 0, "{\"do\":\"list\",\"table\":\"free\"}",
                   "[{\"id\":1,\"what\":\"c\"},{\"id\":2,\"what\":\"x\"}]");
    must_undo(w, 0, "{\"id\":\"n\",\"do\":\"undo\",\"of_correlation\":\"none\"}", "\"error\":\"not_found\"");
    world_assert_folds(w, 0);
}

static void what_cannot_be_undone_is_refused_by_name(void **state)
{
    world *w = *state;
    world_accept(
        w, 0, "{\"id\":\"1\",\"do\":\"append\",\"stream\":\"job/7\",\"type\":\"job.started\",\"data\":{\"id\":\"7\"}}");
    must_undo(w, 0, "{\"id\":\"a\",\"do\":\"undo\",\"position\":1}", "undo of 'job.started' is not declared");
    must_undo(w, 0, "{\"id\":\"b\",\"do\":\"undo\",\"position\":9}", "\"error\":\"not_found\"");
    must_undo(w, 0, "{\"id\":\"c\",\"do\":\"undo\"}", "needs 'entry', 'position' or 'of_correlation'");
    must_undo(w, 0, "{\"do\":\"undo\",\"position\":1}", "a command that writes has an id");
    must_undo(w, 0, "{\"id\":\"d\",\"do\":\"undo\",\"positon\":1}", "did you mean 'position'?");
    must_undo(w, 0, "{\"id\":\"e\",\"do\":\"undo\",\"entry\":\"x\"}", "\"error\":\"bad_command\"");
    char *receipt =
        world_decide(w, 0, "{\"id\":\"f\",\"do\":\"batch\",\"commands\":[{\"do\":\"undo\",\"position\":1}]}");
    assert_non_null(strstr(receipt, "no undo in a batch"));
    free(receipt);
}

/* Any entry undone, and the undo undone: the rows are as before; live, folded and after a restart alike. */
static void undone_and_redone_is_as_before(void **state)
{
    world *w = *state;
    unsigned undone = 0;
    for (int i = 0; i < 120; i++) {
        char before[33], after[33], command[100];
        world_random_command(w, 0);
        uint64_t end = dbk_log_position(dbk_engine_log(w->engines[0]));
        if (end == 0 || i % 3 != 0) continue;
        world_fingerprint(w, 0, before);
        snprintf(command, sizeof command, "{\"id\":\"u%d\",\"do\":\"undo\",\"position\":%llu}", i,
                 (unsigned long long)(1 + world_random(w, end)));
        char *receipt = undo(w, 0, command);
        bool ok = strstr(receipt, "\"ok\":true") != NULL;
        free(receipt);
        if (!ok) continue;
        world_assert_folds(w, 0);
        if (i % 2) continue; /* some stay undone, for later ones to meet */
        snprintf(command, sizeof command, "{\"id\":\"r%d\",\"do\":\"undo\",\"position\":%llu}", i,
                 (unsigned long long)dbk_log_position(dbk_engine_log(w->engines[0])));
        must_undo(w, 0, command, "\"ok\":true");
        world_fingerprint(w, 0, after);
        assert_string_equal(before, after);
        world_assert_folds(w, 0);
        undone++;
    }
    assert_true(undone > 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(columns_go_back_and_those_of_others_stay, setup, world_teardown),
        cmocka_unit_test_setup_teardown(a_deleted_parent_comes_back_with_its_children, setup, world_teardown),
        cmocka_unit_test_setup_teardown(what_another_put_and_deleted_since_stays_away, setup, world_teardown),
        cmocka_unit_test_setup_teardown(what_another_made_anew_since_stays, setup, world_teardown),
        cmocka_unit_test_setup_teardown(what_others_depend_on_stays, setup, world_teardown),
        cmocka_unit_test_setup_teardown(several_by_correlation_are_one_entry, setup, world_teardown),
        cmocka_unit_test_setup_teardown(what_cannot_be_undone_is_refused_by_name, setup, world_teardown),
        cmocka_unit_test_setup_teardown(undone_and_redone_is_as_before, setup, world_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
