/* Projections: what binds to what, which statements a type has, what happens when one changes nothing. */
#include "tests/projector/row_fixture.h"

#include <stdio.h>

static const char schema[] =
    "CREATE TABLE notes(id TEXT NOT NULL PRIMARY KEY, title TEXT);\n"
    "CREATE TABLE titles(id TEXT NOT NULL PRIMARY KEY, title TEXT, was TEXT);\n"
    "CREATE TABLE seen(id TEXT NOT NULL PRIMARY KEY, a, b, c, d, e, f);\n"
    "CREATE TABLE places(area TEXT NOT NULL, n INTEGER NOT NULL, mark BLOB NOT NULL, x REAL, "
    "PRIMARY KEY(area, n, mark));\n"
    "CREATE TABLE trail(n INTEGER PRIMARY KEY NOT NULL, type TEXT, area, kind, m, mark, data);\n"
    "CREATE TABLE told(type TEXT NOT NULL PRIMARY KEY, n INTEGER);\n";
static const char projections[] =
    "-- on told.values\n"
    "INSERT INTO seen VALUES($id, $a, $b::c, typeof($n), $o, $none, $a::b::c);\n"
    "-- on told.event\n"
    "INSERT INTO seen VALUES('1', :type, :stream, :time, CURRENT_TIMESTAMP, :event, :order);\n"
    "INSERT INTO seen VALUES('2', :data, :actor, :command, :correlation, :causation, NULL);\n"
    "-- on job.*, job.a\n"
    "INSERT INTO told VALUES(:type, 1) ON CONFLICT(type) DO UPDATE SET n = n + 1;\n"
    "-- on job.done\n"
    "UPDATE seen SET a = 1 WHERE id = $id;\n"
    "-- on job.swept\n"
    "-- may change nothing\n"
    "DELETE FROM seen WHERE id = $id;\n"
    "-- on job.bad\n"
    "INSERT INTO seen(id, a) VALUES($id, json_extract($doc, '$.x'));\n"
    "-- on notes.put\n"
    "INSERT INTO titles VALUES($id, $title, (SELECT title FROM notes WHERE id = $id));\n"
    "-- on notes.patched\n"
    "UPDATE titles SET title = $title WHERE id = $id;\n"
    "-- on notes.deleted\n"
    "DELETE FROM titles WHERE id = :data->>'$.id' AND id = $id;\n"
    "-- on places.*\n"
    "INSERT INTO trail VALUES((SELECT count(*) FROM trail), :type, $area, typeof($n), $n, $mark, :data);\n";

static row_bench bench;

static int set_up(void **state)
{
    (void)state;
    bench_open(&bench, schema, projections);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    bench_close(&bench);
    return 0;
}

static void members_bind_by_their_kind(void **state)
{
    (void)state;
    accept(&bench,
           "{\"do\":\"append\",\"stream\":\"s\",\"type\":\"told.values\",\"data\":{\"id\":\"x\",\"a\":true,\"b\":{"
           "\"c\":\"deep\"},"
           "\"n\":5.0,\"o\":{\"z\":[1, 1.10]}}}",
           NULL);
    assert_rows(bench.model, "SELECT * FROM seen", "x|1|deep|real|{\"z\":[1,1.10]}|NULL|NULL");
    accept(&bench,
           "{\"do\":\"append\",\"stream\":\"s\",\"type\":\"told.values\",\"data\":{\"id\":\"y\",\"a\":null,\"b\":[{"
           "\"c\":1}],"
           "\"n\":12345678901234567890,\"o\":false}}",
           NULL);
    assert_rows(bench.model, "SELECT * FROM seen WHERE id = 'y'", "y|NULL|NULL|real|0|NULL|NULL");
    accept(&bench, "{\"do\":\"append\",\"stream\":\"s\",\"type\":\"told.values\",\"data\":{\"id\":\"z\",\"n\":7}}",
           NULL);
    assert_rows(bench.model, "SELECT c FROM seen WHERE id = 'z'", "integer");
    assert_replay(&bench);
}

static void an_event_tells_of_itself(void **state)
{
    (void)state;
    accept(&bench, "{\"do\":\"append\",\"stream\":\"s/1\",\"type\":\"told.event\",\"data\":{\"b\":1,\"a\":2.50}}",
           NULL);
    assert_rows(bench.model, "SELECT a, b, c, d, e FROM seen WHERE id = '1'",
                "told.event|s/1|2023-11-14 22:13:20.123|2023-11-14 22:13:20|5a000000000000000000000000000000.1.1.0");
    assert_rows(bench.model, "SELECT length(f), substr(f, 1, 8), substr(f, -24) FROM seen WHERE id = '1'",
                "88|00000000|000000000000000100000000");
    assert_rows(bench.model, "SELECT a, b, c, d, e FROM seen WHERE id = '2'",
                "{\"a\":2.50,\"b\":1}|NULL|NULL|NULL|NULL");
    assert_replay(&bench);
}

static void a_block_runs_once_for_an_event(void **state)
{
    (void)state;
    accept(&bench, "{\"do\":\"append\",\"stream\":\"s\",\"type\":\"job.a\"}", NULL);
    accept(&bench, "{\"do\":\"append\",\"stream\":\"s\",\"type\":\"job.a.b\"}", NULL);
    accept(&bench, "{\"do\":\"append\",\"stream\":\"s\",\"type\":\"job\"}", NULL);
    assert_rows(bench.model, "SELECT type, n FROM told ORDER BY type", "job.a|1\njob.a.b|1");
    assert_replay(&bench);
}

static void a_statement_must_change_something(void **state)
{
    (void)state;
    refuse(&bench, "{\"do\":\"append\",\"stream\":\"s\",\"type\":\"job.done\",\"data\":{\"id\":\"x\"}}", DBK_REJECTED,
           "job.done changes no row", NULL);
    assert_rows(bench.model, "SELECT count(*) FROM told", "0");
    accept(&bench, "{\"do\":\"append\",\"stream\":\"s\",\"type\":\"job.swept\",\"data\":{\"id\":\"x\"}}", NULL);
    assert_int_equal(
        decide(&bench,
               "{\"do\":\"append\",\"stream\":\"s\",\"type\":\"job.bad\",\"data\":{\"id\":\"x\",\"doc\":\"{\"}}"),
        DBK_REJECTED);
    assert_non_null(strstr(bench.err.text, "malformed JSON"));
    refuse(&bench, "{\"do\":\"append\",\"stream\":\"s\",\"type\":\"job.bad\",\"data\":{}}", DBK_CONSTRAINT,
           "NOT NULL seen.id", "\"constraint\":\"NOT NULL seen.id\"");
    assert_rows(bench.model, "SELECT type, n FROM told", "job.swept|1");
    assert_replay(&bench);
}

static void a_row_is_projected_after_it_changed(void **state)
{
    (void)state;
    accept(&bench, "{\"do\":\"put\",\"table\":\"notes\",\"key\":\"n\",\"data\":{\"title\":\"t\"}}", NULL);
    assert_rows(bench.model, "SELECT * FROM titles", "n|t|t");
    accept(&bench, "{\"do\":\"put\",\"table\":\"notes\",\"key\":\"n\",\"data\":{\"title\":\"u\"}}", NULL);
    accept(&bench, "{\"do\":\"patch\",\"table\":\"notes\",\"key\":\"n\",\"data\":{\"title\":\"v\"}}", NULL);
    assert_rows(bench.model, "SELECT * FROM titles", "n|v|t");
    accept(&bench, "{\"do\":\"delete\",\"table\":\"notes\",\"key\":\"n\"}", NULL);
    assert_rows(bench.model, "SELECT count(*) FROM titles", "0");
    assert_replay(&bench);
}

/* Their data does not hold it, so a projection that counted on it would find nothing. */
static void patches_and_deletes_offer_their_key(void **state)
{
    (void)state;
    accept(&bench, "{\"do\":\"put\",\"table\":\"places\",\"key\":[\"a/b %\",-7,\"AP8=\"],\"data\":{\"x\":1}}", NULL);
    accept(&bench, "{\"do\":\"patch\",\"table\":\"places\",\"key\":[\"a/b %\",-7,\"AP8=\"],\"data\":{\"x\":2.5}}",
           "places/a%2Fb%20%25/-7/AP8%3D places.patched {\"x\":2.5} ^1");
    accept(&bench, "{\"do\":\"delete\",\"table\":\"places\",\"key\":[\"a/b %\",-7,\"AP8=\"]}", NULL);
    assert_rows(bench.model, "SELECT * FROM trail",
                "0|places.put|a/b %|integer|-7|AP8=|{\"area\":\"a/b %\",\"mark\":\"AP8=\",\"n\":-7,\"x\":1.0}\n"
                "1|places.patched|a/b %|integer|-7|AP8=|{\"area\":\"a/b %\",\"n\":-7,\"mark\":\"AP8=\",\"x\":2.5}\n"
                "2|places.deleted|a/b %|integer|-7|AP8=|{\"area\":\"a/b %\",\"n\":-7,\"mark\":\"AP8=\"}");
    assert_replay(&bench);
}

/* A foreign author's data does not speak for the stream. */
static void the_stream_counts_not_the_data(void **state)
{
    row_fact patch = {.author = 1, .seq = 1, .ms = 1800000000000, .stream = "notes/n", .type = "notes.patched"};
    (void)state;
    accept(&bench, "{\"do\":\"put\",\"table\":\"notes\",\"key\":\"n\",\"data\":{\"title\":\"t\"}}", NULL);
    accept(&bench, "{\"do\":\"put\",\"table\":\"notes\",\"key\":\"m\",\"data\":{\"title\":\"t\"}}", NULL);
    patch.data = "{\"id\":\"m\",\"title\":\"u\"}";
    log_fact(&bench, &patch);
    fold(&bench);
    assert_rows(bench.model, "SELECT id, title FROM titles ORDER BY id", "m|t\nn|u");
    assert_replay(&bench);
}

/* More types than are remembered: each still finds its statements. */
static void many_types_are_no_trouble(void **state)
{
    char command[96];
    (void)state;
    for (int i = 0; i < 300; i++) {
        snprintf(command, sizeof command, "{\"do\":\"append\",\"stream\":\"s\",\"type\":\"job.t%d\"}", i);
        accept(&bench, command, NULL);
    }
    assert_rows(bench.model, "SELECT count(*), sum(n) FROM told", "300|300");
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(members_bind_by_their_kind),          T(an_event_tells_of_itself),
        T(a_block_runs_once_for_an_event),      T(a_statement_must_change_something),
        T(a_row_is_projected_after_it_changed), T(many_types_are_no_trouble),
        T(patches_and_deletes_offer_their_key), T(the_stream_counts_not_the_data),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
