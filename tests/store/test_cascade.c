/* Cascades deeper than SQLite's 1,000 levels: whole, in one entry, seen by feed, history and undo. */
#include "tests/store/ask_fixture.h"
#include "tests/store/world_fixture.h"

#include "store/engine.h"

enum { DEEP = 2500 };
static const char schema[] =
    "CREATE TABLE parts (id INTEGER PRIMARY KEY NOT NULL, within INTEGER REFERENCES parts(id) ON DELETE CASCADE);\n"
    "CREATE INDEX parts_within ON parts (within);\n"
    "CREATE TABLE marks (part INTEGER NOT NULL REFERENCES parts ON DELETE CASCADE, word TEXT NOT NULL, PRIMARY KEY "
    "(part, word)) WITHOUT ROWID;\n"
    "CREATE TABLE labels (id TEXT PRIMARY KEY NOT NULL, part INTEGER REFERENCES parts ON DELETE CASCADE, "
    "stars INTEGER DEFAULT 7);\nCREATE INDEX labels_part ON labels (part);\n";

static void expect_part(engine_fixture *f, const char *request, const char *part)
{
    char *answer = ask_of(f->engine, request);
    if (!strstr(answer, part)) print_error("%s\n%s\n%.600s\n", request, part, answer);
    assert_non_null(strstr(answer, part));
    free(answer);
}

static void put_chain(engine_fixture *f, const char *last)
{
    dbk_buffer command;
    dbk_buffer_init(&command, dbk_port_system());
    dbk_buffer_put_text(
        &command,
        "{\"id\":\"chain\",\"do\":\"batch\",\"commands\":[{\"do\":\"put\",\"table\":\"parts\",\"key\":1,\"data\":{}}");
    for (int i = 2; i <= DEEP; i++)
        dbk_buffer_printf(&command, ",{\"do\":\"put\",\"table\":\"parts\",\"key\":%d,\"data\":{\"within\":%d}}", i,
                          i - 1);
    dbk_buffer_printf(&command, ",{\"do\":\"put\",\"table\":\"marks\",\"key\":[%d,\"deep\"]}%s]}", DEEP, last);
    must_accept(f, dbk_buffer_text(&command));
    dbk_buffer_release(&command);
}

static int setup(void **state)
{
    return fixture_setup(state, definition_of(schema, NULL));
}

static void assert_folds(engine_fixture *f)
{
    char path[4300], live[33], cold[33];
    dbk_model_state now, folded;
    snprintf(path, sizeof path, "%s/cold.sqlite", f->folder);
    dbk_model_get_state(dbk_engine_model(f->engine), &now);
    assert_int_equal(dbk_engine_replay(f->engine, NULL, path, true, NULL, NULL, &folded, &f->error), DBK_OK);
    remove(path);
    dbk_fingerprint_text(now.fingerprint, live);
    dbk_fingerprint_text(folded.fingerprint, cold);
    assert_string_equal(live, cold);
}

static void a_deep_chain_goes_with_its_root_and_comes_back(void **state)
{
    engine_fixture *f = *state;
    put_chain(f, "");
    must_accept(f, "{\"id\":\"d\",\"do\":\"delete\",\"table\":\"parts\",\"key\":1}");
    expect_part(f, "{\"do\":\"query\",\"sql\":\"SELECT (SELECT count(*) FROM parts), (SELECT count(*) FROM marks)\"}",
                "\"rows\":[[0,0]]");
    expect_part(f, "{\"do\":\"history\",\"table\":\"marks\",\"key\":[2500,\"deep\"],\"limit\":1}",
                "\"commandid\":\"d\"");
    assert_folds(f);
    char *changes = ask_of(f->engine, "{\"do\":\"changes\",\"table\":\"marks\",\"from\":[\"t\",1,1]}");
    assert_non_null(strstr(changes, "\"op\":\"delete\",\"key\":[2500,\"deep\"]"));
    free(changes);
    dbk_buffer receipt;
    dbk_buffer_init(&receipt, dbk_port_system());
    assert_int_equal(dbk_engine_undo(f->engine, dbk_slice_text("{\"id\":\"u\",\"do\":\"undo\",\"position\":2}"),
                                     f->now_ms, &receipt, &f->error),
                     DBK_OK);
    assert_non_null(strstr(dbk_buffer_text(&receipt), "\"kept\":[]"));
    dbk_buffer_release(&receipt);
    expect_part(f, "{\"do\":\"query\",\"sql\":\"SELECT (SELECT count(*) FROM parts), (SELECT count(*) FROM marks)\"}",
                "\"rows\":[[2500,1]]");
    assert_folds(f);
}

/* Nothing of it has a bottom: refused whole, and the next command finds all in place. */
static void a_ring_is_refused_whole(void **state)
{
    engine_fixture *f = *state;
    put_chain(f, ",{\"do\":\"patch\",\"table\":\"parts\",\"key\":1,\"data\":{\"within\":2500}}");
    char *receipt = decide(f, "{\"id\":\"d\",\"do\":\"delete\",\"table\":\"parts\",\"key\":1}");
    assert_non_null(strstr(receipt, "in a ring of over 1,000"));
    free(receipt);
    expect_part(f, "{\"do\":\"query\",\"sql\":\"SELECT count(*) FROM parts\"}", "\"rows\":[[2500]]");
    must_accept(f, "{\"id\":\"p\",\"do\":\"patch\",\"table\":\"parts\",\"key\":1,\"data\":{\"within\":null}}");
    must_accept(f, "{\"id\":\"e\",\"do\":\"delete\",\"table\":\"parts\",\"key\":1}");
    assert_folds(f);
}

/* Who lets a row go by a cascade and makes it anew has written all of it, also what was filled in and is as before. */
static void what_was_made_anew_behind_a_cascade_stays(void **state)
{
    engine_fixture *f = *state;
    dbk_buffer receipt;
    must_accept(f, "{\"id\":\"1\",\"do\":\"put\",\"table\":\"parts\",\"key\":1,\"data\":{}}");
    must_accept(f, "{\"id\":\"2\",\"do\":\"put\",\"table\":\"labels\",\"key\":\"a\","
                   "\"data\":{\"part\":1,\"stars\":3}}");
    must_accept(f, "{\"id\":\"3\",\"do\":\"patch\",\"table\":\"labels\",\"key\":\"a\",\"data\":{\"stars\":7}}");
    must_accept(f, "{\"id\":\"4\",\"do\":\"batch\",\"commands\":[{\"do\":\"delete\",\"table\":\"parts\",\"key\":1},"
                   "{\"do\":\"put\",\"table\":\"parts\",\"key\":1,\"data\":{}},"
                   "{\"do\":\"put\",\"table\":\"labels\",\"key\":\"a\",\"data\":{\"part\":1}}]}");
    dbk_buffer_init(&receipt, dbk_port_system());
    assert_int_equal(dbk_engine_undo(f->engine, dbk_slice_text("{\"id\":\"u\",\"do\":\"undo\",\"position\":3}"),
                                     f->now_ms, &receipt, &f->error),
                     DBK_OK);
    assert_non_null(strstr(dbk_buffer_text(&receipt), "\"columns\":[\"stars\"],\"reason\":\"written since\""));
    dbk_buffer_release(&receipt);
    expect_part(f, "{\"do\":\"get\",\"table\":\"labels\",\"key\":\"a\"}", "\"stars\":7");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_was_made_anew_behind_a_cascade_stays, setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(a_deep_chain_goes_with_its_root_and_comes_back, setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(a_ring_is_refused_whole, setup, fixture_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
