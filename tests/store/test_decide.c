/* The commit loop, one turn at a time: receipts, refusals with their exact texts, known ids, batches,
 * lost transactions, and what a failed write or sync is answered. */
#include "tests/store/engine_fixture.h"

#include <sqlite3.h>

#include "store/engine.h"

static const char schema[] =
    "CREATE TABLE notes (id TEXT PRIMARY KEY NOT NULL, title TEXT NOT NULL UNIQUE, stars INTEGER DEFAULT 0,\n"
    "                    body TEXT, CHECK (stars >= 0));\n"
    "CREATE TABLE tags (note TEXT NOT NULL REFERENCES notes(id) ON DELETE CASCADE, name TEXT NOT NULL,\n"
    "                   PRIMARY KEY (note, name)) WITHOUT ROWID;\n"
    "CREATE TABLE later (id TEXT PRIMARY KEY NOT NULL, note TEXT REFERENCES notes(id) DEFERRABLE INITIALLY DEFERRED);\n"
    "CREATE TABLE items (id INTEGER PRIMARY KEY NOT NULL, what TEXT);\n"
    "CREATE TABLE progress (job TEXT PRIMARY KEY NOT NULL, pct INTEGER NOT NULL CHECK (pct <= 100));\n";
static const char projections[] = "-- on job.started\n"
                                  "INSERT INTO progress(job, pct) VALUES ($id, 0);\n"
                                  "-- on job.progressed\n"
                                  "UPDATE progress SET pct = $pct WHERE job = $id;\n";

static int setup(void **state)
{
    return fixture_setup(state, definition_of(schema, projections));
}

#define E(seq) "\"entry\":\"72727272727272727272727272727272.1." seq "\""

static void accepted_commands_are_answered_with_position_and_cursor(void **state)
{
    engine_fixture *f = *state;
    expect_receipt(
        f, "{\"id\":\"1\",\"do\":\"put\",\"table\":\"notes\",\"key\":\"n1\",\"data\":{\"title\":\"A\"}}",
        "{\"id\":\"1\",\"ok\":true,\"position\":1,\"version\":1,\"key\":\"n1\"," E("1") ",\"cursor\":[\"t\",1,1]}");
    expect_receipt(
        f, "{\"id\":\"2\",\"do\":\"patch\",\"table\":\"notes\",\"key\":\"n1\",\"data\":{\"stars\":3},\"expect\":1}",
        "{\"id\":\"2\",\"ok\":true,\"position\":2,\"version\":2," E("2") ",\"cursor\":[\"t\",1,2]}");
    expect_receipt(f, "{\"id\":\"3\",\"do\":\"put\",\"table\":\"tags\",\"key\":[\"n1\",\"x\"]}",
                   "{\"id\":\"3\",\"ok\":true,\"position\":3,\"version\":3,\"key\":[\"n1\",\"x\"]," E(
                       "3") ",\"cursor\":[\"t\",1,3]}");
    expect_receipt(f, "{\"id\":\"4\",\"do\":\"delete\",\"table\":\"notes\",\"key\":\"n1\",\"expect\":\"exists\"}",
                   "{\"id\":\"4\",\"ok\":true,\"position\":4,\"version\":4," E("4") ",\"cursor\":[\"t\",1,4]}");
    expect_receipt(f,
                   "{\"id\":\"5\",\"do\":\"append\",\"stream\":\"job/"
                   "7\",\"type\":\"job.started\",\"data\":{\"id\":\"7\"},\"expect\":\"none\"}",
                   "{\"id\":\"5\",\"ok\":true,\"position\":5,\"version\":5," E("5") ",\"cursor\":[\"t\",1,5]}");
    expect_receipt(
        f, "{\"id\":\"6\",\"do\":\"put\",\"table\":\"items\",\"data\":{\"what\":\"made\"}}",
        "{\"id\":\"6\",\"ok\":true,\"position\":6,\"version\":6,\"key\":1," E("6") ",\"cursor\":[\"t\",1,6]}");
}

static void the_same_id_is_answered_again_another_content_is_refused(void **state)
{
    engine_fixture *f = *state;
    must_accept(f, "{\"id\":\"1\",\"do\":\"put\",\"table\":\"notes\",\"key\":\"n1\",\"data\":{\"title\":\"A\"}}");
    expect_receipt(f,
                   "{\"do\":\"put\",\"data\":{\"title\":\"A\"},\"key\":\"n1\",\"actor\":\"other\",\"table\":\"notes\","
                   "\"id\":\"1\"}",
                   "{\"id\":\"1\",\"ok\":true,\"position\":1,\"version\":1,\"key\":\"n1\"," E(
                       "1") ",\"cursor\":[\"t\",1,1],\"again\":true}");
    expect_receipt(f, "{\"id\":\"1\",\"do\":\"put\",\"table\":\"notes\",\"key\":\"n1\",\"data\":{\"title\":\"B\"}}",
                   "{\"id\":\"1\",\"ok\":false,\"error\":\"id_reused\",\"class\":\"persistent\",\"message\":\"id '1' "
                   "was used for another command, at "
                   "position 1\",\"hint\":\"use a new id for a new command\",\"outcome\":\"none\"}");
    const char *twice[] = {
        "{\"id\":\"2\",\"do\":\"put\",\"table\":\"notes\",\"key\":\"n2\",\"data\":{\"title\":\"C\"}}",
        "{\"id\":\"2\",\"do\":\"put\",\"table\":\"notes\",\"key\":\"n2\",\"data\":{\"title\":\"C\"}}"};
    char *receipts[2];
    decide_turn(f, twice, 2, receipts);
    assert_non_null(strstr(receipts[0], "\"position\":2"));
    assert_null(strstr(receipts[0], "again"));
    assert_non_null(strstr(receipts[1], "\"position\":2"));
    assert_non_null(strstr(receipts[1], "\"again\":true"));
    free(receipts[0]);
    free(receipts[1]);
    dbk_engine_close(f->engine);
    fixture_open(f);
    char *again = decide(f, twice[0]);
    assert_non_null(strstr(again, "\"position\":2"));
    assert_non_null(strstr(again, "\"again\":true"));
    free(again);
}

static void what_changes_nothing_is_an_entry_without_events(void **state)
{
    engine_fixture *f = *state;
    must_accept(f, "{\"id\":\"1\",\"do\":\"put\",\"table\":\"notes\",\"key\":\"n1\",\"data\":{\"title\":\"A\"}}");
    expect_receipt(f, "{\"id\":\"2\",\"do\":\"patch\",\"table\":\"notes\",\"key\":\"n1\",\"data\":{\"title\":\"A\"}}",
                   "{\"id\":\"2\",\"ok\":true,\"position\":2,\"version\":1," E("2") ",\"cursor\":[\"t\",1,2]}");
    char *again =
        decide(f, "{\"id\":\"2\",\"do\":\"patch\",\"table\":\"notes\",\"key\":\"n1\",\"data\":{\"title\":\"A\"}}");
    assert_non_null(strstr(again, "\"position\":2,"));
    assert_non_null(strstr(again, "\"again\":true"));
    free(again);
}

/* A refused command, its error's name, and the exact text of the message (and hint, after a '|'). */
static const struct refusal {
    const char *command, *error, *message;
} refusals[] = {
    {"{\"id\":\"x\",\"do\":\"put\",\"table\":\"notes\"", "bad_json", NULL},
    {"nonsense", "bad_json", NULL},
    {"{\"id\":\"x\",\"id\":\"x\",\"do\":\"put\"}", "bad_json", NULL},
    {"7", "bad_command", "a command is a JSON object"},
    {"{}", "bad_command", "a command says what to 'do'"},
    {"{\"id\":\"x\",\"do\":7}", "bad_command", "'do' must be text"},
    {"{\"id\":\"x\",\"do\":\"pit\"}", "unknown_command", "there is no command 'pit'|did you mean 'put'?"},
    {"{\"do\":\"put\",\"table\":\"notes\",\"key\":\"a\"}", "bad_command",
     "a command that writes has an id|give each command its own unique 'id': sending it again is then safe"},
    {"{\"id\":\"\",\"do\":\"put\",\"table\":\"notes\",\"key\":\"a\"}", "bad_command",
     "'id' must be text that is not empty"},
    {"{\"id\":\"x\",\"do\":\"put\",\"table\":7}", "bad_command", "'table' must be text"},
    {"{\"id\":\"x\",\"do\":\"put\",\"table\":\"notes\",\"data\":[]}", "bad_command", "'data' must be an object"},
    {"{\"id\":\"x\",\"do\":\"put\",\"table\":\"notes\",\"dada\":{}}", "bad_command",
     "'dada' is no member of a put command|did you mean 'data'?"},
    {"{\"id\":\"x\",\"do\":\"put\",\"table\":\"notes\",\"expect\":\"maybe\"}", "bad_command",
     "'expect' must be a version, \"none\", \"exists\" or \"any\""},
    {"{\"id\":\"x\",\"do\":\"patch\",\"table\":\"notes\",\"key\":\"a\"}", "bad_command",
     "a patch command needs 'data'"},
    {"{\"id\":\"x\",\"do\":\"put\",\"table\":\"notes\",\"wait\":\"never\"}", "bad_command",
     "'wait' must be \"accepted\", \"durable\" or \"projected\""},
    {"{\"id\":\"x\",\"do\":\"put\",\"table\":\"nots\",\"key\":\"a\"}", "unknown_table",
     "there is no table 'nots'|did you mean 'notes'?"},
    {"{\"id\":\"x\",\"do\":\"put\",\"table\":\"notes\",\"key\":\"a\",\"data\":{\"titel\":\"A\"}}", "unknown_field",
     "'notes' has no column 'titel'|did you mean 'title'?"},
    {"{\"id\":\"x\",\"do\":\"patch\",\"table\":\"notes\",\"key\":\"a\",\"data\":{\"title\":\"A\"}}", "not_found",
     "there is no 'notes/a'"},
    {"{\"id\":\"x\",\"do\":\"delete\",\"table\":\"notes\",\"key\":\"a\"}", "not_found", "there is no 'notes/a'"},
    {"{\"id\":\"x\",\"do\":\"delete\",\"table\":\"notes\",\"key\":\"a\",\"expect\":4}", "version_conflict",
     "'notes/a' is at version 0, you expected 4|read it again and retry"},
    {"{\"id\":\"x\",\"do\":\"put\",\"table\":\"notes\",\"key\":\"a\",\"data\":{}}", "constraint",
     "NOT NULL notes.title"},
    {"{\"id\":\"x\",\"do\":\"put\",\"table\":\"notes\",\"key\":\"a\",\"data\":{\"title\":\"taken\"}}", "constraint",
     "UNIQUE notes.title"},
    {"{\"id\":\"x\",\"do\":\"put\",\"table\":\"notes\",\"key\":\"a\",\"data\":{\"title\":\"A\",\"stars\":-1}}",
     "constraint", "CHECK stars >= 0"},
    {"{\"id\":\"x\",\"do\":\"put\",\"table\":\"tags\",\"key\":[\"none\",\"x\"]}", "constraint",
     "FOREIGN KEY tags.note: 'notes' has no 'none'|put the row of 'notes' first"},
    {"{\"id\":\"x\",\"do\":\"put\",\"table\":\"later\",\"key\":\"l\",\"data\":{\"note\":\"none\"}}", "constraint",
     NULL},
    {"{\"id\":\"x\",\"do\":\"put\",\"table\":\"notes\",\"key\":\"a\",\"data\":{\"title\":7}}", "schema", NULL},
    {"{\"id\":\"x\",\"do\":\"put\",\"table\":\"notes\",\"key\":7,\"data\":{\"title\":\"A\"}}", "schema", NULL},
    {"{\"id\":\"x\",\"do\":\"put\",\"table\":\"notes\",\"key\":\"a\\u0000b\",\"data\":{\"title\":\"A\"}}", "schema",
     NULL},
    {"{\"id\":\"x\",\"do\":\"append\",\"stream\":\"j\",\"type\":\"job.progressed\",\"data\":{\"id\":\"none\",\"pct\":1}"
     "}",
     "rejected", "job.progressed changes no row"},
    {"{\"id\":\"x\",\"do\":\"append\",\"stream\":\"notes/n1\",\"type\":\"t\",\"data\":{}}", "bad_command", NULL},
    {"{\"id\":\"x\",\"do\":\"append\",\"stream\":\"s\",\"type\":\"daybook.x\",\"data\":{}}", "bad_command", NULL},
    {"{\"id\":\"x\",\"do\":\"batch\",\"commands\":[{\"do\":\"batch\",\"commands\":[]}]}", "bad_command",
     "no batch in a batch"},
    {"{\"id\":\"x\",\"do\":\"dismiss\",\"entry\":\"nonsense\"}", "bad_command",
     "'entry' is no entry id (replica.incarnation.seq)"},
};

static void a_refusal_says_what_and_leaves_no_trace(void **state)
{
    engine_fixture *f = *state;
    must_accept(f, "{\"id\":\"1\",\"do\":\"put\",\"table\":\"notes\",\"key\":\"n1\",\"data\":{\"title\":\"taken\"}}");
    dbk_model_state before, after;
    dbk_model_get_state(dbk_engine_model(f->engine), &before);
    for (size_t i = 0; i < sizeof refusals / sizeof refusals[0]; i++) {
        char *got = decide(f, refusals[i].command);
        char want[600];
        snprintf(want, sizeof want, "\"ok\":false,\"error\":\"%s\"", refusals[i].error);
        if (!strstr(got, want)) print_error("%s\n%s\n", refusals[i].command, got);
        assert_non_null(strstr(got, want));
        if (refusals[i].message) {
            dbk_buffer text;
            dbk_buffer_init(&text, dbk_port_system());
            const char *bar = strchr(refusals[i].message, '|');
            size_t size = bar ? (size_t)(bar - refusals[i].message) : strlen(refusals[i].message);
            dbk_buffer_put_text(&text, "\"message\":");
            dbk_json_put_string(&text, dbk_slice_of(refusals[i].message, size));
            if (bar) dbk_buffer_put_text(&text, ",\"hint\":"), dbk_json_put_string(&text, dbk_slice_text(bar + 1));
            dbk_buffer_put_text(&text, ",\"outcome\":\"none\"");
            if (!strstr(got, dbk_buffer_text(&text))) print_error("%s\n%s\n", (const char *)text.data, got);
            assert_non_null(strstr(got, (const char *)text.data));
            dbk_buffer_release(&text);
        }
        free(got);
    }
    dbk_model_get_state(dbk_engine_model(f->engine), &after);
    assert_memory_equal(&before, &after, sizeof before);
    assert_int_equal(dbk_log_position(dbk_engine_log(f->engine)), 1);
    must_accept(f, "{\"id\":\"x\",\"do\":\"put\",\"table\":\"notes\",\"key\":\"n2\",\"data\":{\"title\":\"the id was "
                   "not used up\"}}");
}

static void a_batch_is_one_entry_or_nothing(void **state)
{
    engine_fixture *f = *state;
    expect_receipt(f,
                   "{\"id\":\"1\",\"do\":\"batch\",\"commands\":[{\"do\":\"put\",\"table\":\"later\",\"key\":\"l\","
                   "\"data\":{\"note\":\"n1\"}},"
                   "{\"do\":\"put\",\"table\":\"notes\",\"key\":\"n1\",\"data\":{\"title\":\"A\"}},{\"do\":\"put\","
                   "\"table\":\"tags\",\"key\":[\"n1\",\"x\"]}]}",
                   "{\"id\":\"1\",\"ok\":true,\"position\":1,\"version\":1,\"key\":[\"n1\",\"x\"]," E(
                       "1") ",\"cursor\":[\"t\",1,1]}");
    char *got = decide(f, "{\"id\":\"2\",\"do\":\"batch\",\"commands\":[{\"do\":\"delete\",\"table\":\"notes\",\"key\":"
                          "\"n1\"},{\"do\":\"put\",\"table\":\"nots\"}]}");
    assert_non_null(strstr(got, "\"error\":\"unknown_table\""));
    assert_non_null(strstr(got, "\"at\":1"));
    free(got);
    must_accept(
        f, "{\"id\":\"3\",\"do\":\"patch\",\"table\":\"notes\",\"key\":\"n1\",\"data\":{\"stars\":1},\"expect\":1}");
}

/* ---- the transaction goes while a command is decided */

static int drop_transaction(void *arg, dbk_engine *engine, const char *point, dbk_slice id)
{
    if (strcmp(point, "decide") == 0 && dbk_slice_equal(id, dbk_slice_text(arg)))
        (void)sqlite3_exec(dbk_model_handle(dbk_engine_model(engine)), "ROLLBACK", NULL, NULL, NULL);
    return 0;
}

static void a_lost_transaction_costs_only_its_culprit(void **state)
{
    engine_fixture *f = *state;
    dbk_engine_close(f->engine);
    f->options.hook = drop_transaction;
    f->options.hook_arg = (void *)"b";
    fixture_open(f);
    const char *commands[] = {
        "{\"id\":\"a\",\"do\":\"put\",\"table\":\"notes\",\"key\":\"a\",\"data\":{\"title\":\"A\"}}",
        "{\"id\":\"b\",\"do\":\"put\",\"table\":\"notes\",\"key\":\"b\",\"data\":{\"title\":\"B\"}}",
        "{\"id\":\"c\",\"do\":\"put\",\"table\":\"notes\",\"key\":\"c\",\"data\":{\"title\":\"C\"}}"};
    char *receipts[3];
    decide_turn(f, commands, 3, receipts);
    assert_non_null(strstr(receipts[0], "\"ok\":true,\"position\":1,"));
    assert_non_null(strstr(receipts[1], "\"ok\":false,\"error\":\"internal\""));
    assert_non_null(strstr(receipts[1], "\"outcome\":\"none\""));
    assert_non_null(strstr(receipts[2], "\"ok\":true,\"position\":2,"));
    assert_non_null(strstr(receipts[2], E("2")));
    for (int i = 0; i < 3; i++) free(receipts[i]);
    assert_int_equal(dbk_log_position(dbk_engine_log(f->engine)), 2);
}

static void limits_hold_at_their_edge(void **state)
{
    engine_fixture *f = *state;
    char command[1500], id[160];
    memset(id, 'i', sizeof id);
    snprintf(command, sizeof command,
             "{\"id\":\"%.128s\",\"do\":\"put\",\"table\":\"notes\",\"key\":\"n1\",\"data\":{\"title\":\"A\"}}", id);
    must_accept(f, command);
    snprintf(command, sizeof command,
             "{\"id\":\"%.129s\",\"do\":\"put\",\"table\":\"notes\",\"key\":\"n2\",\"data\":{\"title\":\"B\"}}", id);
    char *got = decide(f, command);
    assert_non_null(strstr(got, "\"error\":\"too_big\""));
    assert_non_null(strstr(got, "\"message\":\"'id' is over 128 bytes\""));
    free(got);

    size_t limit = 1024 * 1024;
    char *big = malloc(limit + 256);
    assert_non_null(big);
    int head =
        snprintf(big, 128, "{\"id\":\"big\",\"do\":\"put\",\"table\":\"notes\",\"key\":\"n3\",\"data\":{\"title\":\"");
    memset(big + head, 'x', limit - (size_t)head);
    memcpy(big + limit - 3, "\"}}", 4);
    must_accept(f, big);
    memset(big + head, 'y', limit - (size_t)head);
    memcpy(big + limit - 2, "\"}}", 4);
    got = decide(f, big);
    assert_non_null(strstr(got, "\"message\":\"a command of 1048577 bytes is over 1048576\""));
    free(got);
    free(big);
}

/* Beyond the ends of the stamp a later entry would sort below the ones before. */
static void a_clock_at_its_end_is_refused(void **state)
{
    engine_fixture *f = *state;
    int64_t now_ms = f->now_ms;
    f->now_ms = INT64_C(1) << 48;
    must_refuse(f, "{\"id\":\"1\",\"do\":\"put\",\"table\":\"items\",\"data\":{}}", "unavailable",
                "\"message\":\"the clock of this machine is beyond the year 10889, which no entry can bear\"");
    f->now_ms = now_ms;
    must_accept(f, "{\"id\":\"1\",\"do\":\"put\",\"table\":\"items\",\"data\":{}}");
    f->engine->hlc = UINT64_MAX - 1;
    must_accept(f, "{\"id\":\"2\",\"do\":\"put\",\"table\":\"items\",\"data\":{}}");
    assert_true(f->engine->hlc == UINT64_MAX);
    must_refuse(f, "{\"id\":\"3\",\"do\":\"put\",\"table\":\"items\",\"data\":{}}", "corrupt",
                "\"message\":\"the log has an entry with the last clock there is: nothing sorts behind it\"");
    dbk_engine_close(f->engine);
    fixture_open(f);
    must_refuse(f, "{\"id\":\"3\",\"do\":\"put\",\"table\":\"items\",\"data\":{}}", "corrupt",
                "nothing sorts behind it");
    assert_int_equal(dbk_log_position(dbk_engine_log(f->engine)), 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_clock_at_its_end_is_refused, setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(accepted_commands_are_answered_with_position_and_cursor, setup,
                                        fixture_teardown),
        cmocka_unit_test_setup_teardown(the_same_id_is_answered_again_another_content_is_refused, setup,
                                        fixture_teardown),
        cmocka_unit_test_setup_teardown(what_changes_nothing_is_an_entry_without_events, setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(a_refusal_says_what_and_leaves_no_trace, setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(a_batch_is_one_entry_or_nothing, setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(a_lost_transaction_costs_only_its_culprit, setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(limits_hold_at_their_edge, setup, fixture_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
