/* The log as the table `events`, plans of queries, and what stats says of slow ones. */
#include "tests/store/engine_fixture.h"

static const char schema[] =
    "CREATE TABLE notes(id TEXT PRIMARY KEY NOT NULL, title TEXT, n INTEGER);\nCREATE INDEX notes_n ON notes(n);\n";

static int setup(void **state)
{
    asked *a = calloc(1, sizeof *a);
    fixture_start(&a->f, schema, NULL);
    asked_wrap(a);
    for (int i = 0; i < 50; i++) {
        char command[300];
        snprintf(command, sizeof command,
                 "{\"id\":\"c%d\",\"do\":\"batch\",\"actor\":\"a%d\",\"commands\":[{\"do\":\"append\",\"stream\":\"job/"
                 "%d\",\"type\":\"t.%s\","
                 "\"data\":{\"i\":%d}},{\"do\":\"put\",\"table\":\"notes\",\"key\":\"n%d\",\"data\":{\"n\":%d}}]}",
                 i, i % 2, i % 5, i % 3 ? "a" : "b", i, i, i);
        must_accept(&a->f, command);
    }
    *state = a;
    return 0;
}

static void expect_rows(asked *a, const char *where, const char *rows)
{
    char request[500];
    snprintf(request, sizeof request,
             "{\"do\":\"query\",\"sql\":\"SELECT position, \\\"index\\\" FROM events WHERE %s\"}", where);
    asked_contains(a, request, rows);
}

static void every_event_is_a_row(void **state)
{
    asked *a = *state;
    asked_contains(
        a, "{\"do\":\"query\",\"sql\":\"SELECT * FROM events WHERE position = 2\"}",
        "{\"ok\":true,\"columns\":[\"position\",\"index\",\"id\",\"type\",\"stream\",\"time\",\"received\","
        "\"actor\",\"command\",\"correlation\","
        "\"causation\",\"typeversion\",\"data\"],\"rows\":[[2,0,\"72727272727272727272727272727272.1.2.0\",\"t."
        "a\",\"job/1\",\"2023-11-14T22:13:22.000Z\","
        "\"2023-11-14T22:13:22.000Z\",\"a1\",\"c1\",null,null,1,{\"i\":1}],[2,1,"
        "\"72727272727272727272727272727272.1.2.1\",\"notes.put\",\"notes/n1\",");
    asked_contains(
        a,
        "{\"do\":\"query\",\"sql\":\"SELECT count(*), count(DISTINCT position), sum(json_extract(data, '$.i')) "
        "FROM events\"}",
        "[[100,50,1225]]");
    asked_contains(
        a, "{\"do\":\"query\",\"sql\":\"SELECT count(*) FROM events e JOIN notes n ON e.stream = 'notes/' || n.id\"}",
        "[[50]]");
}

static void bounds_are_those_of_sql(void **state)
{
    asked *a = *state;
    expect_rows(a, "position > 48 AND position <= 49", "[[49,0],[49,1]]");
    expect_rows(a, "position BETWEEN 50 AND 60", "[[50,0],[50,1]]");
    expect_rows(a, "position < 2 AND position >= -5", "[[1,0],[1,1]]");
    expect_rows(a, "position = 3.0", "[[3,0],[3,1]]");
    expect_rows(a, "position = 3.5", "\"rows\":[]");
    expect_rows(a, "position = '3'", "[[3,0],[3,1]]");
    expect_rows(a, "position IS NULL", "\"rows\":[]");
    expect_rows(a, "position < 1", "\"rows\":[]");
    expect_rows(a, "position > 9223372036854775807", "\"rows\":[]");
    expect_rows(a, "stream = 'job/1' AND position < 12", "[[2,0],[7,0]]");
    expect_rows(a, "stream = 'job/1' AND type = 't.b'", "[[7,0],[22,0],[37,0]]");
    expect_rows(a, "stream = 'nothing'", "\"rows\":[]");
    expect_rows(a, "stream = ''", "\"rows\":[]");
    expect_rows(a, "type = 't.b' ORDER BY position DESC LIMIT 2", "[[49,0],[46,0]]");
    expect_rows(a, "stream = 'notes/n7' OR position = 1", "[[8,1]");
    expect_rows(a, "actor = 'a1' AND \\\"index\\\" = 0 ORDER BY position LIMIT 2", "[[2,0],[4,0]]");
}

/* The index of the log knows texts byte by byte: where a question calls others equal, it is not asked. */
static void a_bound_has_the_collation_of_the_question(void **state)
{
    asked *a = *state;
    expect_rows(a, "stream = 'NOTES/n7' COLLATE NOCASE", "[[8,1]]");
    expect_rows(a, "stream = 'notes/n7 ' COLLATE RTRIM", "[[8,1]]");
    expect_rows(a, "type = 'T.B' COLLATE NOCASE AND position < 5", "[[1,0],[4,0]]");
    expect_rows(a, "stream = 'JOB/1' COLLATE NOCASE AND type = 't.b'", "[[7,0],[22,0],[37,0]]");
    expect_rows(a, "stream = 'notes/n7' COLLATE BINARY", "[[8,1]]");
    asked_contains(a,
                   "{\"do\":\"query\",\"sql\":\"SELECT count(*) FROM (SELECT 'Notes/N7' COLLATE NOCASE AS name) x JOIN "
                   "events e ON x.name = e.stream\"}",
                   "[[1]]");
}

/* A DATETIME is numeric to SQLite, so a text that reads as a number is one: docs/definition.md says so. */
static void a_year_alone_is_a_number_to_a_time(void **state)
{
    asked *a = *state;
    asked_contains(a, "{\"do\":\"query\",\"sql\":\"SELECT count(*) FROM events WHERE time < '9000'\"}", "[[0]]");
    asked_contains(a, "{\"do\":\"query\",\"sql\":\"SELECT count(*) > 0 FROM events WHERE time < '9000-01-01'\"}",
                   "[[1]]");
}

static void it_ends_where_the_rows_end(void **state)
{
    asked *a = *state;
    asked_contains(a, "{\"do\":\"query\",\"sql\":\"SELECT max(position) FROM events\",\"at\":7}",
                   "\"rows\":[[7]],\"position\":7");
    asked_contains(a, "{\"do\":\"query\",\"sql\":\"SELECT max(position) FROM events\"}",
                   "\"rows\":[[50]],\"position\":50");
    asked_contains(a, "{\"do\":\"query\",\"sql\":\"DELETE FROM events\"}", "\"ok\":false");
    asked_contains(
        a,
        "{\"do\":\"query\",\"sql\":\"SELECT a.position FROM events a, events b, events c, events d, events e "
        "WHERE a.actor || b.actor || c.actor || d.actor || e.actor = 'x'\"}",
        "\"error\":\"busy\"");
}

static void a_plan_is_told_and_not_run(void **state)
{
    asked *a = *state;
    asked_contains(a, "{\"do\":\"query\",\"explain\":true,\"sql\":\"SELECT * FROM notes WHERE n = :n\"}",
                   "\"columns\":[\"plan\"],\"rows\":[[\"SEARCH notes USING INDEX notes_n (n=?)\"]],\"position\":50");
    asked_contains(a,
                   "{\"do\":\"query\",\"explain\":true,\"sql\":\"SELECT * FROM notes WHERE title = 'x' ORDER BY id\"}",
                   "\"rows\":[[\"SCAN notes");
    asked_contains(a, "{\"do\":\"query\",\"explain\":true,\"sql\":\"SELECT 1 UNION ALL SELECT 2\"}",
                   "[[\"COMPOUND QUERY\"],[\"  LEFT-MOST SUBQUERY\"],[\"    SCAN CONSTANT ROW\"]");
    asked_contains(a, "{\"do\":\"query\",\"explain\":true,\"sql\":\"DELETE FROM notes\"}", "\"error\":\"denied\"");
    asked_contains(a, "{\"do\":\"query\",\"explain\":1,\"sql\":\"SELECT 1\"}", "'explain' must be true or false");
}

static void slow_queries_are_kept(void **state)
{
    asked *a = *state;
    asked_contains(a, "{\"do\":\"stats\"}", "\"slow_queries\":{\"over_ms\":50,\"count\":0,\"last\":[]}");
    asked_contains(a,
                   "{\"do\":\"query\",\"sql\":\"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT "
                   "max(i) FROM n\"}",
                   "\"error\":\"busy\"");
    asked_contains(a, "{\"do\":\"stats\"}",
                   "\"slow_queries\":{\"over_ms\":50,\"count\":1,\"last\":[{\"sql\":\"WITH RECURSIVE n(i)");
    asked_contains(a, "{\"do\":\"stats\"}", "\"ended\":\"busy\"}]}");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(every_event_is_a_row, setup, asked_teardown),
        cmocka_unit_test_setup_teardown(bounds_are_those_of_sql, setup, asked_teardown),
        cmocka_unit_test_setup_teardown(a_bound_has_the_collation_of_the_question, setup, asked_teardown),
        cmocka_unit_test_setup_teardown(a_year_alone_is_a_number_to_a_time, setup, asked_teardown),
        cmocka_unit_test_setup_teardown(it_ends_where_the_rows_end, setup, asked_teardown),
        cmocka_unit_test_setup_teardown(a_plan_is_told_and_not_run, setup, asked_teardown),
        cmocka_unit_test_setup_teardown(slow_queries_are_kept, setup, asked_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
