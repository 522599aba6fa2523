/* Decisions on rows: what is recorded, what is refused and how. */
#include "tests/projector/row_fixture.h"

#include <stdio.h>

static const char schema[] =
    "CREATE TABLE notes(id TEXT NOT NULL PRIMARY KEY, title TEXT UNIQUE, stars INTEGER NOT NULL DEFAULT 3 CHECK (stars "
    ">= 0),\n"
    " made TEXT DEFAULT CURRENT_TIMESTAMP, body TEXT, done BOOLEAN, doc JSON, score REAL, at DATETIME) WITHOUT ROWID;\n"
    "CREATE TABLE tags(id TEXT NOT NULL PRIMARY KEY, note TEXT NOT NULL REFERENCES notes(id) ON DELETE CASCADE);\n"
    "CREATE INDEX tags_note ON tags(note);\n"
    "CREATE TABLE links(id TEXT NOT NULL PRIMARY KEY, next TEXT REFERENCES links(id) DEFERRABLE INITIALLY DEFERRED);\n"
    "CREATE INDEX links_next ON links(next);\n"
    "CREATE TABLE counts(n INTEGER PRIMARY KEY, v TEXT);\n"
    "CREATE TABLE pairs(a INTEGER NOT NULL, b TEXT NOT NULL, v TEXT, PRIMARY KEY(b, a)) WITHOUT ROWID;\n"
    "CREATE TABLE seen(id TEXT NOT NULL PRIMARY KEY, n INTEGER);\n";
static const char projections[] =
    "-- on page.seen\nINSERT INTO seen VALUES($id, 1) ON CONFLICT(id) DO UPDATE SET n = n + 1;\n";

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

static void a_new_row_is_recorded_with_all_its_columns(void **state)
{
    (void)state;
    accept(
        &bench, "{\"do\":\"put\",\"table\":\"notes\",\"key\":\"a/\xc3\xbc\",\"data\":{\"title\":\"t\",\"done\":true}}",
        "notes/a%2F%C3%BC notes.put {\"at\":null,\"body\":null,\"doc\":null,\"done\":true,\"id\":\"a/\xc3\xbc\","
        "\"made\":\"2023-11-14 22:13:20\",\"score\":null,\"stars\":3,\"title\":\"t\"} +at,body,doc,made,score,stars");
    assert_rows(bench.model, "SELECT id, stars, made, done FROM notes", "a/\xc3\xbc|3|2023-11-14 22:13:20|1");
    assert_string_equal(dbk_buffer_text(&bench.draft.key), "\"a/\xc3\xbc\"");
    assert_replay(&bench);
}

static void a_put_makes_the_row_equal_to_its_data(void **state)
{
    (void)state;
    accept(&bench,
           "{\"do\":\"put\",\"table\":\"notes\",\"key\":\"n\",\"data\":{\"title\":\"t\",\"stars\":9,\"body\":\"b\","
           "\"made\":\"m\"}}",
           NULL);
    bench.time_ms += 1000;
    accept(&bench, "{\"do\":\"put\",\"table\":\"notes\",\"key\":\"n\",\"data\":{\"title\":\"t\"}}",
           "notes/n notes.patched {\"body\":null,\"made\":\"2023-11-14 22:13:21\",\"stars\":3} ^1");
    accept(&bench, "{\"do\":\"put\",\"table\":\"notes\",\"key\":\"n\",\"data\":{\"title\":\"t\"}}", "");
    assert_rows(bench.model, "SELECT title, stars, body FROM notes", "t|3|NULL");
    assert_replay(&bench);
}

static void the_model_may_keep_what_a_put_does_not_name(void **state)
{
    (void)state;
    bench.model->options.put_keeps_unnamed = true;
    accept(&bench,
           "{\"do\":\"put\",\"table\":\"notes\",\"key\":\"n\",\"data\":{\"title\":\"t\",\"stars\":9,\"body\":\"b\"}}",
           NULL);
    accept(&bench, "{\"do\":\"put\",\"table\":\"notes\",\"key\":\"n\",\"data\":{\"title\":\"u\"}}",
           "notes/n notes.patched {\"title\":\"u\"} ^1");
}

static void a_put_of_many_existing_rows_learns_to_look_first(void **state)
{
    char command[128];
    (void)state;
    for (int i = 0; i < 30; i++) {
        snprintf(command, sizeof command, "{\"do\":\"put\",\"table\":\"counts\",\"key\":1,\"data\":{\"v\":\"%d\"}}", i);
        accept(&bench, command, NULL);
    }
    assert_true(
        dbk_row_statements_of(bench.model, dbk_definition_table(bench.definition, dbk_slice_text("counts")))->guess >
        0);
    accept(&bench, "{\"do\":\"put\",\"table\":\"counts\",\"key\":2,\"data\":{\"v\":\"x\"}}",
           "counts/2 counts.put {\"n\":2,\"v\":\"x\"}");
    accept(&bench, "{\"do\":\"put\",\"table\":\"counts\",\"key\":2,\"data\":{\"v\":\"y\"},\"expect\":\"exists\"}",
           "counts/2 counts.patched {\"v\":\"y\"} ^31");
    assert_replay(&bench);
}

/* A NOT NULL column without default: the INSERT is refused before SQLite sees that the row is there. */
static void a_refused_insert_may_still_be_an_update(void **state)
{
    (void)state;
    accept(&bench, "{\"do\":\"put\",\"table\":\"notes\",\"key\":\"n\",\"data\":{}}", NULL);
    accept(&bench, "{\"do\":\"put\",\"table\":\"tags\",\"key\":\"t\",\"data\":{\"note\":\"n\"}}", NULL);
    bench.model->options.put_keeps_unnamed = true;
    accept(&bench, "{\"do\":\"put\",\"table\":\"tags\",\"key\":\"t\",\"data\":{}}", "");
    bench.model->options.put_keeps_unnamed = false;
    refuse(&bench, "{\"do\":\"put\",\"table\":\"tags\",\"key\":\"t\",\"data\":{}}", DBK_CONSTRAINT,
           "NOT NULL tags.note", "\"constraint\":\"NOT NULL tags.note\"");
    refuse(&bench, "{\"do\":\"put\",\"table\":\"tags\",\"key\":\"u\",\"data\":{}}", DBK_CONSTRAINT,
           "NOT NULL tags.note", "\"constraint\":\"NOT NULL tags.note\"");
}

static void a_patch_records_what_differs(void **state)
{
    (void)state;
    accept(&bench, "{\"do\":\"put\",\"table\":\"notes\",\"key\":\"n\",\"data\":{\"title\":\"t\",\"score\":2}}", NULL);
    accept(
        &bench,
        "{\"do\":\"patch\",\"table\":\"notes\",\"key\":\"n\",\"data\":{\"title\":\"t\",\"stars\":5.0,\"score\":2.0}}",
        "notes/n notes.patched {\"stars\":5} ^1");
    accept(&bench, "{\"do\":\"patch\",\"table\":\"notes\",\"key\":\"n\",\"data\":{\"stars\":5,\"id\":\"n\"}}", "");
    accept(&bench,
           "{\"do\":\"patch\",\"table\":\"notes\",\"key\":\"n\",\"data\":{\"title\":null,\"at\":\"2026-01-02T03:04:05."
           "5+01:00\"}}",
           "notes/n notes.patched {\"at\":\"2026-01-02 02:04:05.5\",\"title\":null} ^2");
    assert_replay(&bench);
}

static void documents_are_merged(void **state)
{
    (void)state;
    accept(&bench,
           "{\"do\":\"put\",\"table\":\"notes\",\"key\":\"n\",\"data\":{\"doc\":{\"b\":1.10,\"a\":{\"x\":1,\"y\":[1, "
           "2]}}}}",
           NULL);
    assert_rows(bench.model, "SELECT doc FROM notes", "{\"b\":1.10,\"a\":{\"x\":1,\"y\":[1,2]}}");
    accept(&bench,
           "{\"do\":\"patch\",\"table\":\"notes\",\"key\":\"n\",\"data\":{\"doc\":{\"a\":{\"x\":null,\"z\":{\"q\":null}"
           "},\"c\":3}}}",
           "notes/n notes.patched {\"doc\":{\"b\":1.10,\"a\":{\"y\":[1,2],\"z\":{}},\"c\":3}} ^1");
    accept(&bench, "{\"do\":\"patch\",\"table\":\"notes\",\"key\":\"n\",\"data\":{\"doc\":[1]}}",
           "notes/n notes.patched {\"doc\":[1]} ^2");
    accept(&bench, "{\"do\":\"patch\",\"table\":\"notes\",\"key\":\"n\",\"data\":{\"doc\":{\"k\":\"v\"}}}",
           "notes/n notes.patched {\"doc\":{\"k\":\"v\"}} ^3");
    accept(&bench, "{\"do\":\"patch\",\"table\":\"notes\",\"key\":\"n\",\"data\":{\"doc\":null}}",
           "notes/n notes.patched {\"doc\":null} ^4");
    accept(&bench, "{\"do\":\"put\",\"table\":\"notes\",\"key\":\"m\",\"data\":{\"doc\":12345678901234567890}}", NULL);
    assert_non_null(strstr(dbk_buffer_text(&bench.text), "\"doc\":12345678901234567890,"));
    assert_replay(&bench);
}

static void a_delete_takes_its_children(void **state)
{
    (void)state;
    accept(&bench, "{\"do\":\"put\",\"table\":\"notes\",\"key\":\"n\",\"data\":{}}", NULL);
    accept(&bench, "{\"do\":\"put\",\"table\":\"tags\",\"key\":\"t\",\"data\":{\"note\":\"n\"}}", NULL);
    accept(&bench, "{\"do\":\"delete\",\"table\":\"notes\",\"key\":\"n\"}", "notes/n notes.deleted {} ^1");
    assert_rows(bench.model, "SELECT count(*) FROM tags", "0");
    assert_rows(bench.model, "SELECT tab, key, version, last = at FROM _daybook_rows", "tags|t|3|1");
    accept(&bench, "{\"do\":\"put\",\"table\":\"notes\",\"key\":\"n\",\"data\":{\"made\":\"\"}}", NULL);
    assert_replay(&bench);
}

static void keys_are_made_or_taken_from_the_data(void **state)
{
    (void)state;
    accept(&bench, "{\"do\":\"put\",\"table\":\"counts\",\"data\":{\"v\":\"x\"}}",
           "counts/1 counts.put {\"n\":1,\"v\":\"x\"}");
    assert_string_equal(dbk_buffer_text(&bench.draft.key), "1");
    accept(&bench, "{\"do\":\"put\",\"table\":\"counts\",\"key\":41}", "counts/41 counts.put {\"n\":41,\"v\":null} +v");
    accept(&bench, "{\"do\":\"put\",\"table\":\"counts\",\"data\":{}}",
           "counts/42 counts.put {\"n\":42,\"v\":null} +v");
    accept(&bench, "{\"do\":\"put\",\"table\":\"pairs\",\"data\":{\"a\":7,\"b\":\"x/y\"}}",
           "pairs/x%2Fy/7 pairs.put {\"a\":7,\"b\":\"x/y\",\"v\":null} +v");
    assert_string_equal(dbk_buffer_text(&bench.draft.key), "[\"x/y\",7]");
    accept(&bench, "{\"do\":\"patch\",\"table\":\"pairs\",\"key\":[\"x/y\",7],\"data\":{\"a\":7,\"v\":\"1\"}}",
           "pairs/x%2Fy/7 pairs.patched {\"v\":\"1\"} ^4");
    accept(&bench, "{\"do\":\"put\",\"table\":\"counts\",\"key\":9223372036854775807}", NULL);
    refuse(&bench, "{\"do\":\"put\",\"table\":\"counts\",\"data\":{}}", DBK_CONSTRAINT,
           "'counts' has no integer key left", "\"constraint\":\"'counts' has no integer key left\"");
    assert_replay(&bench);
}

static void a_row_changed_twice_in_an_entry_is_its_own_base(void **state)
{
    (void)state;
    accept(&bench,
           "[{\"do\":\"put\",\"table\":\"counts\",\"key\":1,\"data\":{\"v\":\"a\"}},"
           "{\"do\":\"patch\",\"table\":\"counts\",\"key\":1,\"data\":{\"v\":\"b\"}},"
           "{\"do\":\"delete\",\"table\":\"counts\",\"key\":1},"
           "{\"do\":\"put\",\"table\":\"counts\",\"key\":1,\"data\":{\"v\":\"c\"}}]",
           "counts/1 counts.put {\"n\":1,\"v\":\"a\"}\ncounts/1 counts.patched {\"v\":\"b\"} ^1\n"
           "counts/1 counts.deleted {} ^1\ncounts/1 counts.put {\"n\":1,\"v\":\"c\"}");
    assert_replay(&bench);
}

static const struct {
    const char *command;
    dbk_result code;
    const char *text, *detail;
} refusals[] = {
    {"{\"do\":\"put\",\"table\":\"note\",\"key\":\"n\"}", DBK_UNKNOWN_TABLE, "there is no table 'note'", NULL},
    {"{\"do\":\"put\",\"table\":\"seen\",\"key\":\"n\"}", DBK_UNKNOWN_TABLE, "'seen' is written by projections", NULL},
    {"{\"do\":\"put\",\"table\":\"notes\",\"key\":\"n\",\"data\":{\"titel\":1}}", DBK_UNKNOWN_FIELD,
     "'notes' has no column 'titel'", NULL},
    {"{\"do\":\"put\",\"table\":\"notes\",\"key\":\"n\",\"data\":[]}", DBK_BAD_COMMAND,
     "the data of a put is an object", NULL},
    {"{\"do\":\"put\",\"table\":\"notes\",\"data\":{}}", DBK_BAD_COMMAND,
     "a put into 'notes' needs a key: 'id' is missing", NULL},
    {"{\"do\":\"patch\",\"table\":\"notes\",\"data\":{}}", DBK_BAD_COMMAND, "a patch needs a key", NULL},
    {"{\"do\":\"patch\",\"table\":\"notes\",\"key\":\"k\",\"data\":{\"id\":\"l\"}}", DBK_BAD_COMMAND,
     "the data of a patch cannot change the key column 'notes.id'", NULL},
    {"{\"do\":\"put\",\"table\":\"notes\",\"key\":\"k\",\"data\":{},\"expect\":\"maybe\"}", DBK_BAD_COMMAND,
     "expect is a version, \"none\", \"exists\" or \"any\"", NULL},
    {"{\"do\":\"put\",\"table\":\"notes\",\"key\":7}", DBK_SCHEMA, "key column 'notes.id' takes a text", NULL},
    {"{\"do\":\"put\",\"table\":\"counts\",\"key\":\"7\"}", DBK_SCHEMA, "key column 'counts.n' takes an integer", NULL},
    {"{\"do\":\"put\",\"table\":\"notes\",\"key\":null}", DBK_CONSTRAINT, "NOT NULL notes.id: a key has no null",
     "\"constraint\":\"NOT NULL notes.id\""},
    {"{\"do\":\"put\",\"table\":\"pairs\",\"key\":\"x\"}", DBK_BAD_COMMAND,
     "the key of 'pairs' is an array of 2 values", NULL},
    {"{\"do\":\"put\",\"table\":\"notes\",\"key\":[\"x\"]}", DBK_BAD_COMMAND, "the key of 'notes' is one value ('id')",
     NULL},
    {"{\"do\":\"put\",\"table\":\"notes\",\"key\":\"k\",\"data\":{\"stars\":\"5\"}}", DBK_SCHEMA,
     "'notes.stars' takes an integer of 64 bits, not a text", NULL},
    {"{\"do\":\"put\",\"table\":\"notes\",\"key\":\"k\",\"data\":{\"stars\":null}}", DBK_CONSTRAINT,
     "NOT NULL notes.stars", "\"constraint\":\"NOT NULL notes.stars\""},
    {"{\"do\":\"put\",\"table\":\"notes\",\"key\":\"k\",\"data\":{\"stars\":-1}}", DBK_CONSTRAINT, "CHECK stars >= 0",
     "\"constraint\":\"CHECK stars >= 0\""},
    {"{\"do\":\"put\",\"table\":\"notes\",\"key\":\"k\",\"data\":{\"title\":\"used\"}}", DBK_CONSTRAINT,
     "UNIQUE notes.title", "\"constraint\":\"UNIQUE notes.title\""},
    {"{\"do\":\"put\",\"table\":\"tags\",\"key\":\"k\",\"data\":{\"note\":\"none\"}}", DBK_CONSTRAINT,
     "FOREIGN KEY tags.note: 'notes' has no 'none'", "\"constraint\":\"FOREIGN KEY\""},
    {"{\"do\":\"put\",\"table\":\"links\",\"key\":\"k\",\"data\":{\"next\":\"none\"}}", DBK_CONSTRAINT,
     "FOREIGN KEY: a deferred foreign key does not hold", "\"constraint\":\"FOREIGN KEY\""},
    {"{\"do\":\"patch\",\"table\":\"notes\",\"key\":\"none\",\"data\":{\"stars\":\"wrong\"}}", DBK_NOT_FOUND,
     "there is no 'notes/none'", NULL},
    {"{\"do\":\"delete\",\"table\":\"notes\",\"key\":\"none\"}", DBK_NOT_FOUND, "there is no 'notes/none'", NULL},
    {"{\"do\":\"delete\",\"table\":\"notes\",\"key\":\"none\",\"expect\":5}", DBK_VERSION_CONFLICT,
     "'notes/none' is at version 0, you expected 5", "\"expected\":5,\"actual\":0"},
    {"{\"do\":\"put\",\"table\":\"notes\",\"key\":\"u\",\"expect\":\"none\"}", DBK_VERSION_CONFLICT,
     "'notes/u' exists, you expected that it does not", "\"expected\":\"none\",\"actual\":1"},
    {"{\"do\":\"patch\",\"table\":\"notes\",\"key\":\"w\",\"expect\":\"exists\"}", DBK_VERSION_CONFLICT,
     "'notes/w' does not exist, you expected that it does", "\"expected\":\"exists\",\"actual\":0"},
    {"{\"do\":\"append\",\"stream\":\"\",\"type\":\"x\"}", DBK_BAD_COMMAND, "an append needs a stream", NULL},
    {"{\"do\":\"append\",\"stream\":\"s\",\"type\":\"notes.put\"}", DBK_BAD_COMMAND, "the type 'notes.put' is reserved",
     NULL},
    {"{\"do\":\"append\",\"stream\":\"s\",\"type\":\"daybook.epoch\"}", DBK_BAD_COMMAND,
     "the type 'daybook.epoch' is reserved", NULL},
    {"{\"do\":\"append\",\"stream\":\"notes/n\",\"type\":\"x\"}", DBK_BAD_COMMAND, "the stream 'notes/n' is reserved",
     NULL},
    {"{\"do\":\"append\",\"stream\":\"s\",\"type\":\"x\",\"expect\":-1}", DBK_BAD_COMMAND,
     "expect is a version, \"none\", \"exists\" or \"any\"", NULL},
};

static void refusals_name_what_is_wrong(void **state)
{
    (void)state;
    accept(&bench, "{\"do\":\"put\",\"table\":\"notes\",\"key\":\"u\",\"data\":{\"title\":\"used\"}}", NULL);
    for (size_t i = 0; i < sizeof refusals / sizeof *refusals; i++) {
        refuse(&bench, refusals[i].command, refusals[i].code, refusals[i].text, refusals[i].detail);
        assert_rows(bench.model, "SELECT (SELECT count(*) FROM notes) || (SELECT count(*) FROM counts)", "10");
    }
    assert_int_equal(decide(&bench, "{\"do\":\"put\",\"table\":\"notes\",\"key\":\"n\",\"data\":{\"titel\":1}}"),
                     DBK_UNKNOWN_FIELD);
    assert_string_equal(bench.err.hint, "did you mean 'title'?");
    assert_int_equal(decide(&bench, "{\"do\":\"put\",\"table\":\"note\",\"key\":\"n\"}"), DBK_UNKNOWN_TABLE);
    assert_string_equal(bench.err.hint, "did you mean 'notes'?");
    assert_replay(&bench);
}

static void a_refused_batch_leaves_nothing(void **state)
{
    (void)state;
    refuse(&bench,
           "[{\"do\":\"put\",\"table\":\"counts\",\"key\":1},{\"do\":\"patch\",\"table\":\"counts\",\"key\":2,\"data\":"
           "{}}]",
           DBK_NOT_FOUND, "there is no 'counts/2'", NULL);
    assert_rows(bench.model, "SELECT count(*) FROM counts", "0");
    accept(&bench,
           "[{\"do\":\"put\",\"table\":\"links\",\"key\":\"a\",\"data\":{\"next\":\"b\"}},"
           "{\"do\":\"put\",\"table\":\"links\",\"key\":\"b\",\"data\":{}}]",
           NULL);
    assert_replay(&bench);
}

/* Refused commands between accepted ones in one transaction: what went before stays. */
static void a_refusal_leaves_the_transaction(void **state)
{
    (void)state;
    uint64_t version;
    assert_int_equal(dbk_model_begin(bench.model, &bench.err), DBK_OK);
    assert_int_equal(
        decide_here(&bench, "{\"do\":\"put\",\"table\":\"notes\",\"key\":\"a\",\"data\":{\"title\":\"t\"}}"), DBK_OK);
    assert_int_equal(
        decide_here(&bench, "{\"do\":\"put\",\"table\":\"notes\",\"key\":\"b\",\"data\":{\"title\":\"t\"}}"),
        DBK_CONSTRAINT);
    assert_int_equal(decide_here(&bench, "{\"do\":\"delete\",\"table\":\"notes\",\"key\":\"c\"}"), DBK_NOT_FOUND);
    assert_int_equal(
        decide_here(&bench,
                    "{\"do\":\"patch\",\"table\":\"notes\",\"key\":\"a\",\"data\":{\"title\":\"u\"},\"expect\":1}"),
        DBK_OK);
    assert_true(dbk_model_in_transaction(bench.model));
    assert_int_equal(dbk_model_version(bench.model, dbk_slice_text("notes/a"), &version, &bench.err), DBK_OK);
    assert_int_equal(version, 1);
    assert_rows(bench.model, "SELECT id, title FROM notes", "a|u");
    dbk_model_rollback(bench.model);
    assert_int_equal(dbk_model_begin(bench.model, &bench.err), DBK_OK);
    assert_int_equal(dbk_model_version(bench.model, dbk_slice_text("notes/a"), &version, &bench.err), DBK_OK);
    assert_int_equal(version, 0);
    dbk_model_rollback(bench.model);
}

static void versions_grow_with_what_names_or_changes_a_row(void **state)
{
    uint64_t version;
    (void)state;
    accept(&bench, "{\"do\":\"put\",\"table\":\"notes\",\"key\":\"n\",\"data\":{}}", NULL);
    accept(&bench, "{\"do\":\"put\",\"table\":\"tags\",\"key\":\"t\",\"data\":{\"note\":\"n\"},\"expect\":\"none\"}",
           NULL);
    accept(&bench, "{\"do\":\"patch\",\"table\":\"notes\",\"key\":\"n\",\"data\":{\"stars\":1},\"expect\":1}", NULL);
    accept(&bench, "{\"do\":\"delete\",\"table\":\"notes\",\"key\":\"n\",\"expect\":3}", NULL);
    assert_int_equal(dbk_model_version(bench.model, dbk_slice_text("tags/t"), &version, &bench.err), DBK_OK);
    assert_int_equal(version, 4); /* the cascade */
    accept(&bench,
           "{\"do\":\"append\",\"stream\":\"page/"
           "1\",\"type\":\"page.seen\",\"data\":{\"id\":\"p\",\"a\":1.10},\"expect\":\"none\"}",
           "page/1 page.seen {\"a\":1.10,\"id\":\"p\"}");
    refuse(&bench, "{\"do\":\"append\",\"stream\":\"page/1\",\"type\":\"page.seen\",\"data\":{},\"expect\":\"none\"}",
           DBK_VERSION_CONFLICT, "'page/1' exists, you expected that it does not",
           "\"expected\":\"none\",\"actual\":5");
    assert_int_equal(dbk_model_version(bench.model, dbk_slice_text("seen/p"), &version, &bench.err), DBK_OK);
    assert_int_equal(version, 5); /* the projection */
    assert_replay(&bench);
}

/* A patch that runs without reading the row first says and refuses what one that reads it does. */
static void a_patch_at_once_is_one_that_looks_first(void **state)
{
    dbk_changes changes;
    const uint8_t zero[DBK_LEAF_SIZE] = {0}, top[DBK_ORDER_KEY_SIZE] = {0};
    dbk_model_state before, after;
    (void)state;
    bench_close(&bench);
    bench_open(&bench,
               "CREATE TABLE t(id TEXT PRIMARY KEY NOT NULL, a TEXT, n INTEGER CHECK(n < 9), r REAL, u TEXT UNIQUE) "
               "WITHOUT ROWID; CREATE INDEX t_a ON t(a);",
               NULL);
    decide(&bench,
           "[{\"do\":\"put\",\"table\":\"t\",\"key\":\"x\",\"data\":{\"a\":\"1\",\"n\":1,\"r\":2,\"u\":\"x\"}},"
           "{\"do\":\"put\",\"table\":\"t\",\"key\":\"y\",\"data\":{\"a\":\"1\",\"n\":1,\"r\":2,\"u\":\"y\"}}]");
    accept(&bench, "{\"do\":\"patch\",\"table\":\"t\",\"key\":\"x\",\"data\":{\"n\":2,\"a\":\"2\",\"r\":2.0}}",
           "t/x t.patched {\"a\":\"2\",\"n\":2} ^1");
    assert_int_equal(bench.model->rows[0]->patch_guess, 1);
    refuse(&bench, "{\"do\":\"patch\",\"table\":\"t\",\"key\":\"z\",\"data\":{\"n\":\"two\"}}", DBK_NOT_FOUND,
           "there is no 't/z'", NULL);
    refuse(&bench, "{\"do\":\"patch\",\"table\":\"t\",\"key\":\"z\",\"data\":{\"n\":2}}", DBK_NOT_FOUND,
           "there is no 't/z'", NULL);
    refuse(&bench, "{\"do\":\"patch\",\"table\":\"t\",\"key\":\"x\",\"data\":{\"n\":\"two\"}}", DBK_SCHEMA,
           "'t.n' takes an integer of 64 bits, not a text", NULL);
    refuse(&bench, "{\"do\":\"patch\",\"table\":\"t\",\"key\":\"x\",\"data\":{\"n\":9}}", DBK_CONSTRAINT, "CHECK n < 9",
           "\"constraint\":\"CHECK n < 9\"");
    refuse(&bench, "{\"do\":\"patch\",\"table\":\"t\",\"key\":\"x\",\"data\":{\"u\":\"y\"}}", DBK_CONSTRAINT,
           "UNIQUE t.u", "\"constraint\":\"UNIQUE t.u\"");
    /* A row that stays as it is was not touched: no event, nothing for the feed. */
    dbk_model_get_state(bench.model, &before);
    assert_int_equal(dbk_model_begin(bench.model, &bench.err), DBK_OK);
    assert_int_equal(decide_here(&bench, "{\"do\":\"patch\",\"table\":\"t\",\"key\":\"x\",\"data\":{\"n\":2,\"r\":2}}"),
                     DBK_OK);
    assert_int_equal(bench.draft.event_count, 0);
    assert_int_equal(dbk_model_commit(bench.model, before.position + 1, zero, top, &changes, &bench.err), DBK_OK);
    assert_int_equal(changes.count, 0);
    dbk_model_get_state(bench.model, &after);
    assert_true(after.fingerprint.low == before.fingerprint.low && after.fingerprint.high == before.fingerprint.high);
    assert_rows(bench.model, "SELECT * FROM t ORDER BY id", "x|2|2|2.0|x\ny|1|1|2.0|y");
    bench_close(&bench);
    bench_open(&bench, schema, projections);
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_new_row_is_recorded_with_all_its_columns),
        T(a_put_makes_the_row_equal_to_its_data),
        T(the_model_may_keep_what_a_put_does_not_name),
        T(a_put_of_many_existing_rows_learns_to_look_first),
        T(a_refused_insert_may_still_be_an_update),
        T(a_patch_records_what_differs),
        T(documents_are_merged),
        T(a_delete_takes_its_children),
        T(keys_are_made_or_taken_from_the_data),
        T(a_row_changed_twice_in_an_entry_is_its_own_base),
        T(refusals_name_what_is_wrong),
        T(a_refused_batch_leaves_nothing),
        T(a_refusal_leaves_the_transaction),
        T(versions_grow_with_what_names_or_changes_a_row),
        T(a_patch_at_once_is_one_that_looks_first),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
