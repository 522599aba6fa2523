/* Search through the life of a store: what time takes away, what a moment of the past had, another definition. */
#include "tests/store/ask_fixture.h"

#include <sqlite3.h>

#include "store/engine.h"

static const char schema[] = "CREATE TABLE notes(id TEXT PRIMARY KEY NOT NULL, title TEXT, body TEXT, until DATETIME);";
static const char title_only[] = "{\"daybook\":1,\"name\":\"s\",\"tables\":{\"notes\":{\"ttl\":\"until\"}},"
                                 "\"search\":{\"find\":{\"table\":\"notes\",\"columns\":[\"title\"]}}}";
static const char both[] =
    "{\"daybook\":1,\"name\":\"s\",\"version\":2,\"tables\":{\"notes\":{\"ttl\":\"until\"}},"
    "\"search\":{\"find\":{\"table\":\"notes\",\"columns\":[\"title\",\"body\"],\"tokenize\":\"trigram\"}}}";
static const char none[] = "{\"daybook\":1,\"name\":\"s\",\"version\":3}";

static dbk_definition *definition_with(const char *app)
{
    const dbk_source sources[] = {{"schema.sql", dbk_slice_text(schema)}, {"app.json", dbk_slice_text(app)}};
    return definition_of_sources(sources, 2);
}

static int setup(void **state)
{
    static engine_fixture f;
    fixture_start_with(&f, definition_with(title_only));
    must_accept(&f, "{\"id\":\"1\",\"do\":\"put\",\"table\":\"notes\",\"key\":\"a\",\"data\":{\"title\":\"oak tree\","
                    "\"body\":\"leaves\",\"until\":\"2023-11-20T00:00:00Z\"}}");
    must_accept(&f, "{\"id\":\"2\",\"do\":\"put\",\"table\":\"notes\",\"key\":\"b\",\"data\":{\"title\":\"oak door\","
                    "\"body\":\"hinge\"}}");
    must_accept(&f,
                "{\"id\":\"3\",\"do\":\"patch\",\"table\":\"notes\",\"key\":\"b\",\"data\":{\"title\":\"elm door\"}}");
    *state = &f;
    return 0;
}

static int teardown(void **state)
{
    fixture_stop(*state);
    return 0;
}

static char *found_in(sqlite3 *db, const char *word)
{
    sqlite3_stmt *rows;
    char sql[160], out[100] = "";
    snprintf(sql, sizeof sql,
             "SELECT n.id FROM find AS s JOIN notes AS n ON n.id = s.id WHERE find MATCH '%s' ORDER BY 1", word);
    assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &rows, NULL), SQLITE_OK);
    while (sqlite3_step(rows) == SQLITE_ROW) strcat(out, (const char *)sqlite3_column_text(rows, 0));
    sqlite3_finalize(rows);
    return strdup(out);
}

static void finds(engine_fixture *f, const char *word, const char *wanted)
{
    char *found = found_in(dbk_model_handle(dbk_engine_model(f->engine)), word);
    assert_string_equal(found, wanted);
    free(found);
    assert_int_equal(dbk_model_check_search(dbk_engine_model(f->engine), &f->error), DBK_OK);
    assert_int_equal(dbk_model_check(dbk_engine_model(f->engine), &f->error), DBK_OK);
}

static void what_time_takes_away_is_not_found(void **state)
{
    engine_fixture *f = *state;
    uint64_t deleted = 0;
    int64_t day_ms = 86400000;
    finds(f, "oak", "a");
    for (int64_t i = 0; i < 2; i++) /* the first look only begins to count */
        assert_int_equal(dbk_engine_retain(f->engine, f->now_ms + (10 + i) * day_ms, (1 + (10 + i) * day_ms) * 1000000,
                                           &deleted, &f->error),
                         DBK_OK);
    finds(f, "oak", "");
    finds(f, "door", "b");
}

static void the_past_finds_what_it_had(void **state)
{
    engine_fixture *f = *state;
    dbk_model_state replayed;
    char path[4300];
    sqlite3 *db;
    for (uint64_t position = 1; position <= 3; position++) {
        static const char *const oaks[] = {"", "a", "ab", "a"};
        dbk_moment at = {.position = position};
        snprintf(path, sizeof path, "%s/then-%d.sqlite", f->folder, (int)position);
        assert_int_equal(dbk_engine_replay(f->engine, &at, path, true, NULL, NULL, &replayed, &f->error), DBK_OK);
        assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
        char *found = found_in(db, "oak");
        assert_string_equal(found, oaks[position]);
        free(found);
        sqlite3_close(db);
    }
}

static void upgrade(engine_fixture *f, const char *app)
{
    uint64_t count = 0;
    dbk_definition *newer = definition_with(app);
    uint8_t before[2][16];
    uint32_t ancestors = f->definition->ancestor_count;
    assert_true(ancestors < 2);
    if (ancestors) memcpy(before, f->definition->ancestors, 16);
    memcpy(before[ancestors], f->definition->hash, 16);
    assert_int_equal(dbk_definition_set_ancestors(newer, (const uint8_t(*)[16])before, ancestors + 1, NULL, NULL),
                     DBK_OK);
    assert_int_equal(dbk_engine_upgrade(f->engine, newer, f->now_ms, true, NULL, NULL, &count, &f->error), DBK_OK);
    assert_int_equal(count, 0);
    dbk_engine_close(f->engine);
    dbk_definition_free(f->definition);
    f->definition = newer;
    f->options.definition = newer;
    fixture_open(f);
}

/* Other columns and another tokenizer: the rows are searched anew; and without any search nothing of it is left. */
static void another_definition_searches_anew(void **state)
{
    engine_fixture *f = *state;
    upgrade(f, both);
    finds(f, "eav", "a");
    finds(f, "hing", "b");
    must_accept(f, "{\"id\":\"4\",\"do\":\"patch\",\"table\":\"notes\",\"key\":\"b\",\"data\":{\"body\":\"lock\"}}");
    finds(f, "hing", "");
    finds(f, "lock", "b");
    upgrade(f, none);
    sqlite3_stmt *rows;
    assert_int_equal(sqlite3_prepare_v2(dbk_model_handle(dbk_engine_model(f->engine)),
                                        "SELECT count(*) FROM sqlite_schema WHERE name LIKE '%find%'", -1, &rows, NULL),
                     SQLITE_OK);
    assert_int_equal(sqlite3_step(rows), SQLITE_ROW);
    assert_int_equal(sqlite3_column_int(rows, 0), 0);
    sqlite3_finalize(rows);
}

/* FTS5's own tables hold the texts once more, in forms of its own: a query reads the search, which reads them. */
static void what_a_search_keeps_for_itself_is_not_read(void **state)
{
    static const char *const inner[] = {"find_data", "find_idx", "FIND_content", "find_docsize", "main.find_config"};
    engine_fixture *f = *state;
    char request[200];
    for (size_t i = 0; i < sizeof inner / sizeof *inner; i++) {
        snprintf(request, sizeof request, "{\"do\":\"query\",\"sql\":\"SELECT count(*) FROM %s\"}", inner[i]);
        char *answer = ask_of(f->engine, request);
        if (!strstr(answer, "denied: ") || !strstr(answer, "is what a search keeps for itself")) fail_msg("%s", answer);
        free(answer);
    }
    char *answer =
        ask_of(f->engine, "{\"do\":\"query\",\"sql\":\"SELECT id, snippet(find, 0, '','','',9) FROM find('oak')\"}");
    if (!strstr(answer, "[\"a\",\"oak tree\"]")) fail_msg("%s", answer);
    free(answer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_time_takes_away_is_not_found, setup, teardown),
        cmocka_unit_test_setup_teardown(the_past_finds_what_it_had, setup, teardown),
        cmocka_unit_test_setup_teardown(what_a_search_keeps_for_itself_is_not_read, setup, teardown),
        cmocka_unit_test_setup_teardown(another_definition_searches_anew, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
