/* Commands of commands.sql and of the embedding process: what each step sees, what is recorded, every
 * refusal by its name, and that a refused step leaves nothing. */
#include "tests/store/engine_fixture.h"

#include <sqlite3.h>

static const char schema[] =
    "CREATE TABLE jobs(id TEXT PRIMARY KEY NOT NULL, status TEXT NOT NULL DEFAULT 'QUEUED', priority INTEGER NOT NULL "
    "DEFAULT 0,\n"
    "  options JSON, urgent BOOLEAN NOT NULL DEFAULT 0, due DATETIME, cover BLOB, weight REAL);\n"
    "CREATE INDEX jobs_status ON jobs(status);\n"
    "CREATE TABLE log(n INTEGER PRIMARY KEY NOT NULL, job TEXT NOT NULL, what TEXT NOT NULL);\n"
    "CREATE TABLE links(a TEXT NOT NULL, b TEXT NOT NULL, PRIMARY KEY(a, b)) WITHOUT ROWID;\n"
    "CREATE TABLE progress(job TEXT PRIMARY KEY NOT NULL, pct INTEGER NOT NULL CHECK (pct <= 100));\n";
static const char projections[] = "-- on job.progressed\nINSERT INTO progress(job, pct) VALUES ($id, $pct)\n"
                                  "  ON CONFLICT(job) DO UPDATE SET pct = excluded.pct;\n";
static const char commands[] =
    "-- command job.add(id TEXT, options JSON = '{\"a\":1}', urgent BOOLEAN?, due DATETIME?, priority INTEGER = -3, "
    "weight REAL = 1.5)\n"
    "-- put jobs\n"
    "SELECT :id AS id, :options AS options, ifnull(:urgent, 0) AS urgent, :due AS due, :priority AS priority, :weight "
    "AS weight;\n"
    "-- command job.start(id TEXT)\n"
    "-- require 'there is no job {id}, it''s gone'\n"
    "SELECT 1 FROM jobs WHERE id = :id;\n"
    "-- else 'job {id} is not queued'\n"
    "-- patch jobs\n"
    "SELECT id, 'RUNNING' AS status FROM jobs WHERE id = :id AND status = 'QUEUED';\n"
    "SELECT 'job.progressed' AS type, 'job/' || :id AS stream, json_object('id', :id, 'pct', 0) AS data;\n"
    "-- put log\n"
    "SELECT :id AS job, 'started' AS what;\n"
    "-- return\n"
    "SELECT id, urgent, options, due, :key AS made, :time AS at, :actor AS who FROM jobs WHERE id = :id;\n"
    "-- command job.claim()\n"
    "-- let next\n"
    "SELECT id FROM jobs WHERE status = 'QUEUED' ORDER BY priority DESC, id LIMIT 1;\n"
    "-- patch jobs\n"
    "SELECT :next AS id, 'RUNNING' AS status;\n"
    "-- return\n"
    "SELECT id, status FROM jobs WHERE id = :next;\n"
    "-- command job.purge(status TEXT)\n"
    "-- else ok\n"
    "-- delete jobs\n"
    "SELECT id FROM jobs WHERE status = :status;\n"
    "-- command job.drop(id TEXT)\n"
    "-- delete jobs\n"
    "SELECT id FROM jobs WHERE id = :id;\n"
    "-- command job.pct(id TEXT, pct INTEGER)\n"
    "SELECT 'job.progressed' AS type, 'job/' || :id AS stream, json_object('id', :id, 'pct', :pct) AS data;\n"
    "-- command link(a TEXT, b TEXT, version INTEGER)\n"
    "-- put links\n"
    "SELECT :a AS a, :b AS b, :version AS expect;\n"
    "-- command bad.json(text TEXT)\n"
    "-- put jobs\n"
    "SELECT 'x' AS id, :text AS options;\n"
    "-- command bad.sql(text TEXT)\n"
    "-- put jobs\n"
    "SELECT 'x' AS id, json_extract(:text, '$.a') AS status;\n"
    "-- command bad.type()\n"
    "-- put jobs\n"
    "SELECT 'x' AS id, 'many' AS priority;\n"
    "-- command endless()\n"
    "-- require 'no'\n"
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n WHERE i < 0;\n"
    "-- command two.rows()\n"
    "-- let one\n"
    "SELECT value FROM json_each('[1,2]');\n"
    "-- put log\n"
    "SELECT 'x' AS job, :one AS what;\n"
    "-- command seen()\n"
    "-- put log\n"
    "SELECT 'a' AS job, 'first' AS what;\n"
    "-- put log\n"
    "SELECT 'b' AS job, count(*) || ' before, key ' || :key AS what FROM log;\n";

static int setup(void **state)
{
    static const char *const texts[] = {commands, projections, schema};
    static const char *const names[] = {"commands.sql", "projections.sql", "schema.sql"};
    dbk_source sources[3];
    for (int i = 0; i < 3; i++) sources[i] = (dbk_source){names[i], dbk_slice_text(texts[i])};
    return fixture_setup(state, definition_of_sources(sources, 3));
}

static void assert_row(engine_fixture *f, const char *sql, const char *expected)
{
    sqlite3_stmt *statement;
    assert_int_equal(sqlite3_prepare_v2(dbk_model_handle(dbk_engine_model(f->engine)), sql, -1, &statement, NULL),
                     SQLITE_OK);
    assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
    const char *text = (const char *)sqlite3_column_text(statement, 0);
    assert_string_equal(text ? text : "NULL", expected);
    sqlite3_finalize(statement);
}

static void steps_run_in_order_in_one_entry(void **state)
{
    engine_fixture *f = *state;
    must_accept(f, "{\"id\":\"1\",\"do\":\"job.add\",\"args\":{\"id\":\"7\",\"urgent\":true,\"due\":\"2026-11-21T10:00:"
                   "00+01:00\"}}");
    assert_row(f, "SELECT options || urgent || due || priority || weight FROM jobs",
               "{\"a\":1}12026-11-21 09:00:00-31.5");
    must_answer(
        f, "{\"id\":\"2\",\"do\":\"job.start\",\"args\":{\"id\":\"7\"},\"actor\":\"ann\"}",
        "\"position\":2,\"version\":2,\"key\":1,\"result\":[{\"id\":\"7\",\"urgent\":true,\"options\":{\"a\":1},"
        "\"due\":\"2026-11-21T09:00:00.000Z\",\"made\":1,\"at\":\"2023-11-14 22:13:22\",\"who\":\"ann\"}]");
    assert_row(f, "SELECT j.status || p.pct || l.what FROM jobs j, progress p, log l", "RUNNING0started");
    must_refuse(f, "{\"id\":\"3\",\"do\":\"job.start\",\"args\":{\"id\":\"7\"}}", "rejected",
                "\"message\":\"job 7 is not queued\"");
    must_refuse(f, "{\"id\":\"3\",\"do\":\"job.start\",\"args\":{\"id\":\"8\"}}", "rejected",
                "\"message\":\"there is no job 8, it's gone\"");
    must_accept(f, "{\"id\":\"4\",\"do\":\"seen\"}");
    assert_row(f, "SELECT group_concat(what) FROM log WHERE job IN ('a', 'b')", "first,2 before, key 2");
}

static void what_was_accepted_is_folded_again_to_the_same_rows(void **state)
{
    engine_fixture *f = *state;
    dbk_model_state before, after;
    must_accept(f, "{\"id\":\"1\",\"do\":\"job.add\",\"args\":{\"id\":\"7\"}}");
    must_accept(f, "{\"id\":\"2\",\"do\":\"job.start\",\"args\":{\"id\":\"7\"}}");
    dbk_model_get_state(dbk_engine_model(f->engine), &before);
    assert_int_equal(dbk_engine_rebuild(f->engine, NULL, NULL, &f->error), DBK_OK);
    dbk_model_get_state(dbk_engine_model(f->engine), &after);
    assert_memory_equal(&before.fingerprint, &after.fingerprint, sizeof before.fingerprint);
}

static void sent_again_it_is_known_by_its_id(void **state)
{
    engine_fixture *f = *state;
    must_accept(f, "{\"id\":\"1\",\"do\":\"job.add\",\"args\":{\"id\":\"7\",\"priority\":1}}");
    must_answer(f, "{\"args\":{\"priority\":1,\"id\":\"7\"},\"id\":\"1\",\"do\":\"job.add\"}", "\"again\":true");
    must_refuse(f, "{\"id\":\"1\",\"do\":\"job.add\",\"args\":{\"id\":\"7\",\"priority\":2}}", "id_reused", "");
    must_accept(f, "{\"id\":\"2\",\"do\":\"job.add\",\"args\":{\"id\":\"8\",\"priority\":5}}");
    must_answer(f, "{\"id\":\"3\",\"do\":\"job.claim\"}", "\"result\":[{\"id\":\"8\",\"status\":\"RUNNING\"}]");
    must_answer(f, "{\"id\":\"4\",\"do\":\"job.claim\",\"args\":null}",
                "\"result\":[{\"id\":\"7\",\"status\":\"RUNNING\"}]");
    must_refuse(f, "{\"id\":\"5\",\"do\":\"job.claim\"}", "rejected", "\"message\":\"job.claim: no row for ':next'\"");
}

static void nothing_to_do_is_refused_unless_it_is_ok(void **state)
{
    engine_fixture *f = *state;
    must_answer(f, "{\"id\":\"1\",\"do\":\"job.purge\",\"args\":{\"status\":\"DONE\"}}", "\"position\":1");
    must_refuse(f, "{\"id\":\"2\",\"do\":\"job.drop\",\"args\":{\"id\":\"7\"}}", "rejected",
                "\"message\":\"job.drop: nothing to do\"");
    must_accept(f, "{\"id\":\"3\",\"do\":\"job.add\",\"args\":{\"id\":\"7\"}}");
    must_accept(f, "{\"id\":\"4\",\"do\":\"job.add\",\"args\":{\"id\":\"8\"}}");
    must_accept(f, "{\"id\":\"5\",\"do\":\"job.purge\",\"args\":{\"status\":\"QUEUED\"}}");
    assert_row(f, "SELECT count(*) FROM jobs", "0");
}

static void arguments_are_checked_before_anything_runs(void **state)
{
    engine_fixture *f = *state;
    must_refuse(f, "{\"id\":\"1\",\"do\":\"job.start\"}", "bad_command", "'job.start' needs the argument 'id'");
    must_refuse(f, "{\"id\":\"1\",\"do\":\"job.start\",\"args\":{\"id\":\"7\",\"idd\":1}}", "unknown_field",
                "\"message\":\"'job.start' has no argument 'idd'\",\"hint\":\"did you mean 'id'?\"");
    must_refuse(f, "{\"id\":\"1\",\"do\":\"job.start\",\"args\":{\"id\":null}}", "schema",
                "the argument 'id' of 'job.start' is not null");
    must_refuse(f, "{\"id\":\"1\",\"do\":\"job.start\",\"args\":{\"id\":7}}", "schema", "");
    must_refuse(f, "{\"id\":\"1\",\"do\":\"job.add\",\"args\":{\"id\":\"7\",\"due\":\"soon\"}}", "schema", "");
    must_refuse(f, "{\"id\":\"1\",\"do\":\"job.start\",\"args\":[7]}", "bad_command", "'args' must be an object");
    must_refuse(f, "{\"id\":\"1\",\"do\":\"job.start\",\"table\":\"jobs\"}", "bad_command",
                "'table' is no member of an app's command");
    must_refuse(f, "{\"id\":\"1\",\"do\":\"job.stat\",\"args\":{\"id\":\"7\"}}", "unknown_command",
                "did you mean 'job.start'?");
}

static void a_refused_step_takes_all_back(void **state)
{
    engine_fixture *f = *state;
    must_accept(f, "{\"id\":\"1\",\"do\":\"job.add\",\"args\":{\"id\":\"7\"}}");
    must_refuse(f,
                "{\"id\":\"2\",\"do\":\"batch\",\"commands\":[{\"do\":\"job.start\",\"args\":{\"id\":\"7\"}},"
                "{\"do\":\"job.pct\",\"args\":{\"id\":\"7\",\"pct\":101}}]}",
                "constraint", "\"at\":1");
    assert_row(f, "SELECT status || (SELECT count(*) FROM log) || (SELECT count(*) FROM progress) FROM jobs",
               "QUEUED00");
    must_refuse(f, "{\"id\":\"2\",\"do\":\"job.pct\",\"args\":{\"id\":\"7\",\"pct\":101}}", "constraint", "pct <= 100");
    must_accept(f, "{\"id\":\"2\",\"do\":\"batch\",\"commands\":[{\"do\":\"job.start\",\"args\":{\"id\":\"7\"}},"
                   "{\"do\":\"put\",\"table\":\"links\",\"key\":[\"a\",\"b\"]}]}");
    must_refuse(f, "{\"id\":\"3\",\"do\":\"link\",\"args\":{\"a\":\"a\",\"b\":\"b\",\"version\":1}}",
                "version_conflict", "\"expected\":1,\"actual\":2");
    must_accept(f, "{\"id\":\"3\",\"do\":\"link\",\"args\":{\"a\":\"a\",\"b\":\"b\",\"version\":2}}");
}

static void values_that_do_not_fit_are_named(void **state)
{
    engine_fixture *f = *state;
    must_refuse(f, "{\"id\":\"1\",\"do\":\"bad.json\",\"args\":{\"text\":\"hello\"}}", "schema",
                "'jobs.options' is no JSON text");
    must_accept(f, "{\"id\":\"1\",\"do\":\"bad.json\",\"args\":{\"text\":\"[1.10, 12345678901234567890]\"}}");
    assert_row(f, "SELECT options FROM jobs", "[1.10,12345678901234567890]");
    must_refuse(f, "{\"id\":\"2\",\"do\":\"bad.sql\",\"args\":{\"text\":\"{\"}}", "rejected", "malformed JSON");
    must_refuse(f, "{\"id\":\"2\",\"do\":\"bad.type\"}", "schema", "priority");
    must_refuse(f, "{\"id\":\"2\",\"do\":\"endless\"}", "busy", "the step reads too much");
    must_refuse(f, "{\"id\":\"2\",\"do\":\"two.rows\"}", "rejected", "two.rows: more than one row for ':one'");
    must_accept(f, "{\"id\":\"2\",\"do\":\"job.drop\",\"args\":{\"id\":\"x\"}}");
}

/* ---- of the process */

static dbk_result copy_job(void *arg, dbk_call *call, const char *args, size_t size, dbk_error *err)
{
    dbk_text rows = {0};
    char text[300];
    (void)size;
    (*(int *)arg)++;
    dbk_result result = dbk_call_query(call, "SELECT status FROM jobs WHERE id = :from", args, &rows, err);
    if (result == DBK_OK && strcmp(rows.data, "[]") == 0) result = dbk_fail(err, DBK_REJECTED, "no job to copy");
    dbk_text_free(&rows);
    static const char put[] = "{\"do\":\"put\",\"table\":\"jobs\",\"key\":\"copy\",\"data\":{\"status\":\"QUEUED\"}}";
    if (result == DBK_OK) result = dbk_call_emit(call, put, sizeof put - 1, err);
    static const char start[] = "{\"do\":\"job.start\",\"args\":{\"id\":\"copy\"}}";
    if (result == DBK_OK) result = dbk_call_emit(call, start, sizeof start - 1, err);
    if (result == DBK_OK)
        result = dbk_call_query(call, "SELECT status, id FROM jobs WHERE id = 'copy'", NULL, &rows, err);
    if (result == DBK_OK)
        snprintf(text, sizeof text, "{\"rows\":%s}", rows.data),
            result = dbk_call_return(call, text, strlen(text), err);
    dbk_text_free(&rows);
    return result;
}

/* It says OK although what it emitted was refused. */
static dbk_result careless(void *arg, dbk_call *call, const char *args, size_t size, dbk_error *err)
{
    static const char ok[] = "{\"do\":\"put\",\"table\":\"jobs\",\"key\":\"one\",\"data\":{}}";
    static const char bad[] = "{\"do\":\"put\",\"table\":\"nothing\",\"key\":\"two\",\"data\":{}}";
    (void)arg, (void)args, (void)size;
    (void)dbk_call_emit(call, ok, sizeof ok - 1, err);
    (void)dbk_call_emit(call, bad, sizeof bad - 1, err);
    return DBK_OK;
}

static dbk_result nosy(void *arg, dbk_call *call, const char *args, size_t size, dbk_error *err)
{
    dbk_text rows;
    (void)size;
    (void)args;
    return dbk_call_query(call, arg, NULL, &rows, err);
}

static void the_process_decides_in_the_same_turn(void **state)
{
    engine_fixture *f = *state;
    dbk_store *store;
    dbk_error error = {0};
    int runs = 0;
    assert_int_equal(dbk_engine_wrap(f->engine, &store, &error), DBK_OK);
    assert_int_equal(dbk_register_command(store, "job.copy", copy_job, &runs, &error), DBK_OK);
    assert_int_equal(dbk_register_command(store, "careless", careless, NULL, &error), DBK_OK);
    assert_int_equal(dbk_register_command(store, "job.copy", copy_job, &runs, &error), DBK_EXISTS);
    assert_int_equal(dbk_register_command(store, "job.start", copy_job, &runs, &error), DBK_EXISTS);
    assert_int_equal(dbk_register_command(store, "put", copy_job, &runs, &error), DBK_BAD_COMMAND);
    assert_int_equal(dbk_register_command(store, "daybook.x", copy_job, &runs, &error), DBK_BAD_COMMAND);
    assert_int_equal(dbk_register_command(store, "a..b", copy_job, &runs, &error), DBK_BAD_COMMAND);
    must_refuse(f, "{\"id\":\"1\",\"do\":\"job.copy\",\"args\":{\"from\":\"7\"}}", "rejected", "no job to copy");
    must_accept(f, "{\"id\":\"1\",\"do\":\"job.add\",\"args\":{\"id\":\"7\"}}");
    must_answer(f, "{\"id\":\"2\",\"do\":\"job.copy\",\"args\":{\"from\":\"7\"}}",
                "\"result\":{\"rows\":[{\"status\":\"RUNNING\",\"id\":\"copy\"}]}");
    must_answer(f, "{\"id\":\"2\",\"do\":\"job.copy\",\"args\":{\"from\":\"7\"}}", "\"again\":true");
    assert_int_equal(runs, 2);
    must_refuse(f, "{\"id\":\"3\",\"do\":\"careless\"}", "unknown_table", "there is no table 'nothing'");
    assert_row(f, "SELECT count(*) FROM jobs WHERE id = 'one'", "0");
    dbk_free(dbk_port_system(), store); /* the fixture closes the engine */
}

static void the_process_reads_and_nothing_else(void **state)
{
    static const struct {
        const char *sql, *error;
    } cases[] = {{"DELETE FROM jobs", "denied"},
                 {"PRAGMA user_version", "denied"},
                 {"SELECT * FROM _daybook_meta", "denied"},
                 {"SELECT nothing", "bad_command"},
                 {"SELECT 1; SELECT 2", "bad_command"},
                 {"SELECT :x", "bad_command"},
                 {"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT 2 FROM n) SELECT i FROM n WHERE i < 0", "busy"}};
    engine_fixture *f = *state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char name[20], command[80];
        snprintf(name, sizeof name, "nosy%zu", i);
        snprintf(command, sizeof command, "{\"id\":\"1\",\"do\":\"%s\"}", name);
        dbk_store *store;
        assert_int_equal(dbk_engine_wrap(f->engine, &store, &f->error), DBK_OK);
        assert_int_equal(dbk_register_command(store, name, nosy, (void *)(uintptr_t)cases[i].sql, &f->error), DBK_OK);
        dbk_free(dbk_port_system(), store);
        must_refuse(f, command, cases[i].error, "");
    }
}

/* ---- schemas */

static int setup_schemas(void **state)
{
    static const char *const files[][2] = {
        {"commands.sql",
         "-- command n.put(id TEXT, n INTEGER)\n-- put notes\nSELECT :id AS id, 'x' AS title, :n AS n;"},
        {"schema.sql", "CREATE TABLE notes(id TEXT PRIMARY KEY NOT NULL, title TEXT, tags JSON, n INTEGER DEFAULT 3, "
                       "made DATETIME, done BOOLEAN);"},
        {"schemas/n.seen.json", "{\"properties\":{\"at\":{\"type\":\"string\"}},\"additionalProperties\":false}"},
        {"schemas/notes.json", "{\"required\":[\"id\",\"title\",\"n\"],\"properties\":{\"n\":{\"maximum\":10},"
                               "\"title\":{\"type\":\"string\",\"minLength\":1},"
                               "\"tags\":{\"type\":\"array\",\"items\":{\"type\":\"string\"}},\"made\":{\"format\":"
                               "\"date-time\"},\"done\":{\"const\":true}}}"},
    };
    dbk_source copies[4];
    for (int i = 0; i < 4; i++) copies[i] = (dbk_source){files[i][0], dbk_slice_text(files[i][1])};
    return fixture_setup(state, definition_of_sources(copies, 4));
}

static void rows_are_judged_as_they_will_be(void **state)
{
    engine_fixture *f = *state;
    must_refuse(
        f, "{\"id\":\"1\",\"do\":\"put\",\"table\":\"notes\",\"key\":\"a\",\"data\":{\"n\":11,\"tags\":[\"x\",7]}}",
        "schema",
        "\"errors\":[{\"pointer\":\"/tags/1\",\"message\":\"is an integer, not "
        "string\"},{\"pointer\":\"/n\",\"message\":\"is 11, over the "
        "maximum 10\"},{\"pointer\":\"\",\"message\":\"has no 'title'\"}]");
    must_refuse(f, "{\"id\":\"1\",\"do\":\"put\",\"table\":\"notes\",\"key\":\"a\",\"data\":{\"title\":null}}",
                "schema", "\"message\":\"row 'notes/a': '/title' is null, not string\"");
    must_refuse(f,
                "{\"id\":\"1\",\"do\":\"put\",\"table\":\"notes\",\"key\":\"a\",\"data\":{\"title\":\"A\",\"done\":0}}",
                "schema", "'/done' is not true");
    must_accept(f, "{\"id\":\"1\",\"do\":\"put\",\"table\":\"notes\",\"key\":\"a\",\"data\":{\"title\":\"A\",\"done\":"
                   "1,\"made\":\"2026-11-21\"}}");
    must_refuse(f, "{\"id\":\"2\",\"do\":\"patch\",\"table\":\"notes\",\"key\":\"a\",\"data\":{\"title\":null}}",
                "schema", "has no 'title'");
    must_refuse(f, "{\"id\":\"2\",\"do\":\"patch\",\"table\":\"notes\",\"key\":\"a\",\"data\":{\"tags\":{\"a\":1}}}",
                "schema", "'/tags' is an object, not array");
    must_accept(f, "{\"id\":\"2\",\"do\":\"patch\",\"table\":\"notes\",\"key\":\"a\",\"data\":{\"n\":10,\"done\":null,"
                   "\"tags\":[\"x\"]}}");
    must_refuse(f, "{\"id\":\"3\",\"do\":\"n.put\",\"args\":{\"id\":\"b\",\"n\":12}}", "schema",
                "is 12, over the maximum 10");
    must_accept(f, "{\"id\":\"3\",\"do\":\"n.put\",\"args\":{\"id\":\"b\",\"n\":9}}");
    must_refuse(f, "{\"id\":\"4\",\"do\":\"put\",\"table\":\"notes\",\"key\":\"b\",\"data\":{\"title\":\"\"}}",
                "schema", "has 0 characters");
}

static void events_are_judged_by_their_type(void **state)
{
    engine_fixture *f = *state;
    must_refuse(f, "{\"id\":\"1\",\"do\":\"append\",\"stream\":\"s\",\"type\":\"n.seen\",\"data\":{\"at\":7,\"b\":1}}",
                "schema", "\"message\":\"event 'n.seen': '/at' is an integer, not string\"");
    must_accept(f, "{\"id\":\"1\",\"do\":\"append\",\"stream\":\"s\",\"type\":\"n.seen\",\"data\":{\"at\":\"x\"}}");
    must_accept(f, "{\"id\":\"2\",\"do\":\"append\",\"stream\":\"s\",\"type\":\"n.other\",\"data\":{\"at\":7}}");
}

static const char cleaning_app[] = "{\"daybook\":1,\"name\":\"notes\",\"tables\":{\"notes\":{\"sanitize\":{\"name\":"
                                   "[\"nfc\",\"trim\"]}}}}";
static const char cleaning_schema[] = "CREATE TABLE notes(id TEXT PRIMARY KEY NOT NULL, name TEXT);";
static const char cleaning_commands[] = "-- command add(name TEXT)\n-- put notes\nSELECT 'n' AS id, :name AS name;\n"
                                        "-- command rename(name TEXT)\n-- patch notes\n"
                                        "SELECT 'n' AS id, :name AS name;\n";

/* What a step puts or patches is cleaned like what a client sends; its event says the clean text. */
static void texts_of_steps_are_cleaned(void **state)
{
    static const dbk_source sources[] = {
        {"app.json", {(const uint8_t *)cleaning_app, sizeof cleaning_app - 1}},
        {"commands.sql", {(const uint8_t *)cleaning_commands, sizeof cleaning_commands - 1}},
        {"schema.sql", {(const uint8_t *)cleaning_schema, sizeof cleaning_schema - 1}},
    };
    engine_fixture f = {0};

    (void)state;
    fixture_start_with(&f, definition_of_sources(sources, 3));
    must_accept(&f, "{\"id\":\"1\",\"do\":\"add\",\"args\":{\"name\":\" Cafe\u0301\"}}");
    assert_row(&f, "SELECT name = 'Caf' || char(233) FROM notes", "1");
    must_accept(&f, "{\"id\":\"2\",\"do\":\"rename\",\"args\":{\"name\":\"Cafe\u0301\"}}");
    must_accept(&f, "{\"id\":\"3\",\"do\":\"rename\",\"args\":{\"name\":\"\u212b\"}}");
    assert_row(&f, "SELECT name = char(197) FROM notes", "1");
    fixture_stop(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(steps_run_in_order_in_one_entry, setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(what_was_accepted_is_folded_again_to_the_same_rows, setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(sent_again_it_is_known_by_its_id, setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(nothing_to_do_is_refused_unless_it_is_ok, setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(arguments_are_checked_before_anything_runs, setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(a_refused_step_takes_all_back, setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(values_that_do_not_fit_are_named, setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(the_process_decides_in_the_same_turn, setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(the_process_reads_and_nothing_else, setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(rows_are_judged_as_they_will_be, setup_schemas, fixture_teardown),
        cmocka_unit_test_setup_teardown(events_are_judged_by_their_type, setup_schemas, fixture_teardown),
        cmocka_unit_test(texts_of_steps_are_cleaned),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
