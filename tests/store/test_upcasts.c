/* Events written under an older definition, read under a newer one: in the rebuild, in projections, in queries of the
 * log; what an upcast fails on is left out of the rows and shown as it was written. */
#include "tests/store/engine_fixture.h"

#include "store/engine.h"

#include <sqlite3.h>

static const char schema_1[] = "CREATE TABLE notes(id TEXT PRIMARY KEY NOT NULL, text TEXT, stars INTEGER);\n"
                               "CREATE TABLE done(id TEXT PRIMARY KEY NOT NULL, minutes INTEGER, by TEXT);\n";
static const char schema_3[] = "CREATE TABLE notes(id TEXT PRIMARY KEY NOT NULL, title TEXT, stars INTEGER);\n"
                               "CREATE TABLE done(id TEXT PRIMARY KEY NOT NULL, seconds INTEGER, by TEXT);\n";
static const char projections_1[] = "-- on job.done\nINSERT INTO done(id, minutes, by) VALUES ($id, $minutes, $by);\n";
static const char projections_3[] = "-- on job.done\nINSERT INTO done(id, seconds, by) VALUES ($id, $seconds, $by);\n";
static const char upcasts[] =
    "-- upcast notes.put 2 -> 3\n"
    "SELECT json_remove(json_set(:data, '$.title', json_extract(:data, '$.text')), '$.text');\n"
    "-- upcast notes.patched 2 -> 3\n"
    "SELECT CASE WHEN json_type(:data, '$.text') IS NULL THEN :data\n"
    "            ELSE json_remove(json_set(:data, '$.title', json_extract(:data, '$.text')), '$.text') END;\n"
    "-- upcast job.done 1 -> 2\n"
    "SELECT json_remove(json_set(:data, '$.seconds', 60 * json_extract(:data, '$.minutes')), '$.minutes') WHERE "
    "json_extract(:data, '$.id') <> 'odd';\n"
    "-- upcast job.done 2 -> 3\n"
    "SELECT json_set(:data, '$.by', ifnull(json_extract(:data, '$.by'), :stream || ' ' || :type || ' ' || "
    "substr(:time, 1, 10)));\n";

static dbk_definition *version_1(void)
{
    static const char app[] = "{\"daybook\":1,\"name\":\"up\",\"version\":1}";
    dbk_source sources[] = {{"app.json", dbk_slice_text(app)},
                            {"projections.sql", dbk_slice_text(projections_1)},
                            {"schema.sql", dbk_slice_text(schema_1)}};
    return definition_of_sources(sources, 3);
}

static dbk_definition *version_3(const dbk_definition *before, const char *by)
{
    static const char app[] = "{\"daybook\":1,\"name\":\"up\",\"version\":3}";
    dbk_source sources[] = {{"app.json", dbk_slice_text(app)},
                            {"projections.sql", dbk_slice_text(projections_3)},
                            {"schema.sql", dbk_slice_text(schema_3)},
                            {"upcasts.sql", dbk_slice_text(by ? by : "")}};
    dbk_definition *definition = definition_of_sources(sources, by ? 4 : 3);
    assert_int_equal(dbk_definition_set_ancestors(definition, (const uint8_t(*)[16])before->hash, 1, NULL, NULL),
                     DBK_OK);
    return definition;
}

static void assert_text(engine_fixture *f, const char *sql, const char *expected)
{
    sqlite3_stmt *statement;
    assert_int_equal(sqlite3_prepare_v2(dbk_model_handle(dbk_engine_model(f->engine)), sql, -1, &statement, NULL),
                     SQLITE_OK);
    assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
    const char *text = (const char *)sqlite3_column_text(statement, 0);
    assert_string_equal(text ? text : "NULL", expected);
    sqlite3_finalize(statement);
}

static void fill(engine_fixture *f)
{
    must_accept(
        f, "{\"id\":\"1\",\"do\":\"put\",\"table\":\"notes\",\"key\":\"a\",\"data\":{\"text\":\"A\",\"stars\":1}}");
    must_accept(f, "{\"id\":\"2\",\"do\":\"patch\",\"table\":\"notes\",\"key\":\"a\",\"data\":{\"stars\":2}}");
    must_accept(f, "{\"id\":\"3\",\"do\":\"patch\",\"table\":\"notes\",\"key\":\"a\",\"data\":{\"text\":\"B\"}}");
    must_accept(f, "{\"id\":\"4\",\"do\":\"append\",\"stream\":\"job/"
                   "7\",\"type\":\"job.done\",\"data\":{\"id\":\"7\",\"minutes\":3}}");
    must_accept(f, "{\"id\":\"5\",\"do\":\"append\",\"stream\":\"job/"
                   "8\",\"type\":\"job.done\",\"data\":{\"id\":\"odd\",\"minutes\":3}}");
}

static void note_lost(void *arg, const dbk_entry_id *lost)
{
    (void)lost;
    ++*(int *)arg;
}

static void old_events_are_read_in_the_form_of_today(void **state)
{
    engine_fixture f;
    uint64_t count = 0;
    int lost = 0;
    dbk_text answer = {0};
    dbk_store *store;
    (void)state;
    fixture_start_with(&f, version_1());
    fill(&f);
    dbk_definition *newer = version_3(f.definition, upcasts);
    assert_int_equal(dbk_engine_upgrade(f.engine, newer, f.now_ms, true, note_lost, &lost, &count, &f.error), DBK_OK);
    assert_int_equal(count, 1); /* "odd": its upcast gives no row */
    assert_int_equal(lost, 1);
    assert_text(&f, "SELECT title || stars FROM notes", "B2");
    assert_text(&f, "SELECT id || ' ' || seconds || ' ' || by FROM done", "7 180 job/7 job.done 2023-11-14");
    must_accept(&f, "{\"id\":\"6\",\"do\":\"append\",\"stream\":\"job/"
                    "9\",\"type\":\"job.done\",\"data\":{\"id\":\"9\",\"seconds\":5,\"by\":\"x\"}}");
    assert_int_equal(dbk_engine_rebuild(f.engine, NULL, NULL, &f.error), DBK_OK);
    assert_text(&f, "SELECT group_concat(seconds) FROM done", "180,5");
    assert_int_equal(dbk_engine_wrap(f.engine, &store, &f.error), DBK_OK);
    static const char ask[] = "{\"do\":\"log\",\"type\":\"job.done\"}";
    assert_int_equal(dbk_do(store, ask, sizeof ask - 1, &answer, &f.error), DBK_OK);
    assert_non_null(strstr(
        answer.data, "\"data\":{\"id\":\"7\",\"seconds\":180,\"by\":\"job/7 job.done 2023-11-14\"},\"position\":4"));
    assert_non_null(strstr(
        answer.data,
        "\"data\":{\"id\":\"odd\",\"minutes\":3},\"position\":5,\"index\":0,\"streamversion\":5,\"typeversion\":1"));
    assert_non_null(strstr(answer.data, "\"data\":{\"by\":\"x\",\"id\":\"9\",\"seconds\":5}"));
    dbk_text_free(&answer);
    dbk_free(dbk_port_system(), store);
    dbk_engine_close(f.engine);
    f.engine = NULL;
    dbk_definition_free(newer);
    fixture_stop(&f);
}

static void without_an_upcast_an_event_is_what_it_was(void **state)
{
    engine_fixture f;
    uint64_t count = 0;
    int lost = 0;
    (void)state;
    fixture_start_with(&f, version_1());
    fill(&f);
    dbk_definition *newer = version_3(f.definition, NULL);
    assert_int_equal(dbk_engine_upgrade(f.engine, newer, f.now_ms, true, note_lost, &lost, &count, &f.error), DBK_OK);
    assert_int_equal(count, 0);
    assert_text(&f,
                "SELECT ifnull(title, 'none') || stars || (SELECT count(*) FROM done WHERE seconds IS NULL) FROM notes",
                "none22");
    dbk_engine_close(f.engine);
    f.engine = NULL;
    dbk_definition_free(newer);
    fixture_stop(&f);
}

/* A counter and a column that are called otherwise today: the undo knows what the old entry said of them, and the inbox
 * asks again for what it means now. */
static void undo_and_inbox_read_events_in_the_form_of_today(void **state)
{
    static const char sql_1[] = "CREATE TABLE n(id TEXT PRIMARY KEY NOT NULL, stars INTEGER NOT NULL DEFAULT 0);\n"
                                "CREATE TABLE done(id TEXT PRIMARY KEY NOT NULL, minutes INTEGER);\n";
    static const char sql_2[] =
        "CREATE TABLE n(id TEXT PRIMARY KEY NOT NULL, likes INTEGER NOT NULL DEFAULT 0);\n"
        "CREATE TABLE done(id TEXT PRIMARY KEY NOT NULL, seconds INTEGER CHECK(ifnull(seconds, 0) <> 540));\n";
    static const char on_1[] = "-- on job.done\nINSERT INTO done(id, minutes) VALUES ($id, $minutes);\n";
    static const char on_2[] = "-- on job.done\nINSERT INTO done(id, seconds) VALUES ($id, $seconds);\n";
    static const char up[] =
        "-- upcast n.put 1 -> 2\nSELECT json_object('id', :data->>'id', 'likes', :data->'stars');\n"
        "-- upcast n.patched 1 -> 2\nSELECT json_object('id', :data->>'id', 'likes', :data->'stars');\n"
        "-- upcast job.done 1 -> 2\nSELECT json_object('id', :data->>'id', 'seconds', 60 * (:data->>'minutes'));\n";
#define APP(version, column)                                                                                           \
    "{\"daybook\":1,\"name\":\"up\",\"version\":" version ",\"tables\":{\"n\":{\"sync\":{\"conflict\":{\"" column      \
    "\":\"counter\"}}}}}"
    const dbk_source old[] = {{"app.json", dbk_slice_text(APP("1", "stars"))},
                              {"projections.sql", dbk_slice_text(on_1)},
                              {"schema.sql", dbk_slice_text(sql_1)}};
    const dbk_source now[] = {{"app.json", dbk_slice_text(APP("2", "likes"))},
                              {"projections.sql", dbk_slice_text(on_2)},
                              {"schema.sql", dbk_slice_text(sql_2)},
                              {"upcasts.sql", dbk_slice_text(up)}};
    engine_fixture f;
    uint64_t count = 0;
    int lost = 0;
    dbk_buffer answer;
    const dbk_json_node *request;
    dbk_json_parser *parser = dbk_json_parser_new(dbk_port_system());
    (void)state;
    dbk_buffer_init(&answer, dbk_port_system());
    fixture_start_with(&f, definition_of_sources(old, 3));
    must_accept(&f, "{\"id\":\"1\",\"do\":\"put\",\"table\":\"n\",\"key\":\"a\",\"data\":{\"stars\":5}}");
    must_accept(&f, "{\"id\":\"2\",\"do\":\"patch\",\"table\":\"n\",\"key\":\"a\",\"data\":{\"stars\":{\"+\":2}}}");
    must_accept(&f, "{\"id\":\"3\",\"do\":\"patch\",\"table\":\"n\",\"key\":\"a\",\"data\":{\"stars\":{\"+\":1}}}");
    must_accept(&f, "{\"id\":\"4\",\"do\":\"append\",\"stream\":\"job/9\",\"type\":\"job.done\","
                    "\"data\":{\"id\":\"9\",\"minutes\":9}}");
    dbk_definition *newer = definition_of_sources(now, 4);
    assert_int_equal(dbk_definition_set_ancestors(newer, (const uint8_t(*)[16])f.definition->hash, 1, NULL, NULL),
                     DBK_OK);
    assert_int_equal(dbk_engine_upgrade(f.engine, newer, f.now_ms, true, note_lost, &lost, &count, &f.error), DBK_OK);
    assert_int_equal(count, 1);
    static const char undo[] = "{\"id\":\"u\",\"do\":\"undo\",\"position\":2}";
    assert_int_equal(dbk_engine_undo(f.engine, dbk_slice_text(undo), f.now_ms + 1000, &answer, &f.error), DBK_OK);
    if (!strstr(dbk_buffer_text(&answer), "\"ok\":true")) fail_msg("%s", dbk_buffer_text(&answer));
    assert_text(&f, "SELECT likes FROM n", "6");
    static const char apply[] = "{\"id\":\"x\",\"do\":\"apply\",\"entry\":\"72727272727272727272727272727272.1.4\"}";
    assert_int_equal(dbk_json_parse(parser, dbk_slice_text(apply), &request, &f.error), DBK_OK);
    dbk_buffer_clear(&answer);
    assert_int_equal(dbk_request_answer(f.engine, request, &answer, &f.error), DBK_OK);
    assert_non_null(strstr(dbk_buffer_text(&answer), "\"error\":\"constraint\"")); /* 540 seconds, not none */
    dbk_buffer_release(&answer);
    dbk_json_parser_free(parser);
    dbk_engine_close(f.engine);
    f.engine = NULL;
    dbk_definition_free(newer);
    fixture_stop(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(undo_and_inbox_read_events_in_the_form_of_today),
        cmocka_unit_test(old_events_are_read_in_the_form_of_today),
        cmocka_unit_test(without_an_upcast_an_event_is_what_it_was),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
