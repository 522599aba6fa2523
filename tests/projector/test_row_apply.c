/* Facts: what projects, what is skipped and why, who counts as a row's last writer; and that decisions
 * folded anew elsewhere give the same model. */
#include "tests/projector/row_fixture.h"

#include <stdio.h>

static const char schema[] =
    "CREATE TABLE settings(id TEXT NOT NULL PRIMARY KEY, value TEXT DEFAULT '-', other TEXT DEFAULT '-');\n"
    "CREATE TABLE notes(id TEXT NOT NULL PRIMARY KEY, title TEXT NOT NULL UNIQUE, stars INTEGER DEFAULT 0 CHECK (stars "
    "< 9));\n"
    "CREATE TABLE tags(id TEXT NOT NULL PRIMARY KEY, note TEXT NOT NULL REFERENCES notes(id) ON DELETE CASCADE, word "
    "TEXT);\n"
    "CREATE INDEX tags_note ON tags(note);\n"
    "CREATE TABLE links(id TEXT NOT NULL PRIMARY KEY, next TEXT REFERENCES links(id) DEFERRABLE INITIALLY DEFERRED);\n"
    "CREATE INDEX links_next ON links(next);\n"
    "CREATE TABLE jobs(id TEXT NOT NULL PRIMARY KEY, state TEXT);\n";
static const char projections[] = "-- on job.queued\nINSERT INTO jobs VALUES($id, 'queued');\n"
                                  "-- on job.done\nUPDATE jobs SET state = 'done' WHERE id = $id;\n";

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

#define FACT(...) log_fact(&bench, &(row_fact){__VA_ARGS__})
static const char skips[] =
    "SELECT substr(entry, 1, 2) || substr(entry, 33), state, reason, substr(against, 1, 2) || substr(against, 33)"
    " FROM _daybook_skips ORDER BY 1";

static void a_put_overwrites_what_its_author_named_only(void **state)
{
    (void)state;
    FACT(.author = 0, .seq = 1, .ms = 1, .stream = "settings/s", .type = "settings.put",
         .data = "{\"id\":\"s\",\"other\":\"o\",\"value\":\"v\"}");
    FACT(.author = 1, .seq = 1, .ms = 2, .stream = "settings/s", .type = "settings.put",
         .data = "{\"id\":\"s\",\"other\":\"-\",\"value\":\"w\"}", .filled = "other");
    fold(&bench);
    assert_rows(bench.model, "SELECT value, other FROM settings", "w|o");
    assert_replay(&bench);
}

/* A put that brings nothing to a row it meets did not write it: the next decision's base is older. */
static void a_put_that_brings_nothing_is_no_writer(void **state)
{
    (void)state;
    FACT(.author = 0, .seq = 1, .ms = 1, .stream = "settings/s", .type = "settings.put",
         .data = "{\"id\":\"s\",\"other\":\"o\",\"value\":\"v\"}");
    FACT(.author = 1, .seq = 7, .ms = 2, .stream = "settings/s", .type = "settings.put",
         .data = "{\"id\":\"s\",\"other\":\"-\"}", .filled = "other");
    fold(&bench);
    assert_rows(bench.model, "SELECT key, substr(last, 1, 2), substr(at, 1, 2), version FROM _daybook_rows",
                "s|41|42|2");
    bench.time_ms += 10;
    accept(&bench, "{\"do\":\"patch\",\"table\":\"settings\",\"key\":\"s\",\"data\":{\"value\":\"x\"}}",
           "settings/s settings.patched {\"value\":\"x\"} ^1");
    bench.seq = 40;
    accept(&bench, "{\"do\":\"patch\",\"table\":\"settings\",\"key\":\"s\",\"data\":{\"value\":\"y\"}}",
           "settings/s settings.patched {\"value\":\"y\"} ^1");
    accept(&bench, "{\"do\":\"patch\",\"table\":\"settings\",\"key\":\"s\",\"data\":{\"value\":\"z\"}}",
           "settings/s settings.patched {\"value\":\"z\"} ^41");
    assert_replay(&bench);
}

/* The last writer in canonical order is not the last arrival. */
static void the_last_writer_is_the_last_in_order(void **state)
{
    (void)state;
    FACT(.author = 0, .seq = 5, .ms = 50, .stream = "settings/s", .type = "settings.put",
         .data = "{\"id\":\"s\",\"value\":\"v\"}");
    FACT(.author = 1, .seq = 6, .ms = 10, .stream = "settings/s", .type = "settings.put",
         .data = "{\"id\":\"s\",\"value\":\"w\"}");
    FACT(.author = 1, .seq = 7, .ms = 60, .stream = "settings/s", .type = "settings.put",
         .data = "{\"id\":\"s\",\"value\":7}");
    fold(&bench);
    assert_rows(bench.model, skips, "42.1.7|skipped|'settings.value' takes a text, not a number|");
    bench.time_ms += 100;
    accept(&bench, "{\"do\":\"delete\",\"table\":\"settings\",\"key\":\"s\"}", "settings/s settings.deleted {} ^5");
    assert_replay(&bench);
}

/* A cascade counts as a writer of the rows it takes, until one that names them. */
static void a_cascade_is_a_writer(void **state)
{
    uint64_t version;
    (void)state;
    FACT(.author = 0, .seq = 1, .ms = 1, .stream = "notes/n", .type = "notes.put",
         .data = "{\"id\":\"n\",\"title\":\"t\"}");
    FACT(.author = 0, .seq = 2, .ms = 2, .stream = "tags/t", .type = "tags.put",
         .data = "{\"id\":\"t\",\"note\":\"n\"}");
    FACT(.author = 0, .seq = 3, .ms = 3, .stream = "notes/n", .type = "notes.deleted", .data = "{}");
    FACT(.author = 1, .seq = 1, .ms = 4, .stream = "tags/t", .type = "tags.patched", .data = "{\"word\":\"w\"}");
    fold(&bench);
    assert_rows(bench.model, skips, "42.1.1|superseded|no row to patch|41.1.3");
    assert_int_equal(dbk_model_version(bench.model, dbk_slice_text("tags/t"), &version, &bench.err), DBK_OK);
    assert_int_equal(version, 4);
    assert_replay(&bench);
}

static void an_entry_is_superseded_whole(void **state)
{
    (void)state;
    FACT(.author = 0, .seq = 1, .ms = 1, .stream = "settings/s", .type = "settings.put",
         .data = "{\"id\":\"s\",\"value\":\"v\"}", .stream_2 = "settings/none", .type_2 = "settings.deleted",
         .data_2 = "{}");
    FACT(.author = 0, .seq = 2, .ms = 2, .stream = "job/1", .type = "job.done", .data = "{\"id\":\"1\"}");
    fold(&bench);
    assert_rows(bench.model, "SELECT count(*) FROM settings", "0");
    assert_rows(bench.model, skips, "41.1.1|superseded|no row to delete|\n41.1.2|superseded|job.done changes no row|");
    assert_replay(&bench);
}

static void a_constraint_skips(void **state)
{
    (void)state;
    FACT(.author = 0, .seq = 1, .ms = 1, .stream = "notes/a", .type = "notes.put",
         .data = "{\"id\":\"a\",\"title\":\"t\"}");
    FACT(.author = 0, .seq = 2, .ms = 2, .stream = "notes/b", .type = "notes.put",
         .data = "{\"id\":\"b\",\"title\":\"t\"}");
    FACT(.author = 0, .seq = 3, .ms = 3, .stream = "notes/a", .type = "notes.patched", .data = "{\"stars\":9}");
    FACT(.author = 0, .seq = 4, .ms = 4, .stream = "links/a", .type = "links.put",
         .data = "{\"id\":\"a\",\"next\":\"b\"}");
    FACT(.author = 0, .seq = 5, .ms = 5, .stream = "notes/a", .type = "notes.put",
         .data = "{\"id\":\"a\",\"stars\":4}");
    FACT(.author = 0, .seq = 6, .ms = 6, .stream = "jobs/a", .type = "jobs.put", .data = "{\"id\":\"a\"}");
    FACT(.author = 0, .seq = 7, .ms = 7, .stream = "notes/c", .type = "notes.put", .data = "{\"id\":\"c\"}");
    FACT(.author = 0, .seq = 8, .ms = 8, .stream = "notes", .type = "notes.deleted", .data = "{}");
    FACT(.author = 0, .seq = 9, .ms = 9, .stream = "notes/a/b", .type = "notes.put", .data = "{\"title\":\"x\"}");
    /* one row, one name */
    FACT(.author = 1, .seq = 1, .ms = 10, .stream = "links/a", .type = "notes.patched", .data = "{\"stars\":1}");
    FACT(.author = 1, .seq = 2, .ms = 11, .stream = "notes/%61", .type = "notes.patched", .data = "{\"stars\":1}");
    fold(&bench);
    assert_rows(bench.model, skips,
                "41.1.2|skipped|UNIQUE notes.title|\n41.1.3|skipped|CHECK stars < 9|\n"
                "41.1.4|skipped|FOREIGN KEY: a deferred foreign key does not hold|\n"
                "41.1.6|skipped|'jobs' is written by projections|\n41.1.7|skipped|NOT NULL notes.title|\n"
                "41.1.8|skipped|the stream 'notes' names no row|\n41.1.9|skipped|'a/b' is not a key of 'notes'|\n"
                "42.1.1|skipped|the stream 'links/a' names no row|\n42.1.2|skipped|'%61' is not a key of 'notes'|");
    assert_rows(bench.model, "SELECT id, title, stars FROM notes", "a|t|4");
    assert_replay(&bench);
}

/* Of the entries with one command id the first in order that projects applies. */
static void a_command_applies_once(void **state)
{
    (void)state;
    FACT(.author = 0, .seq = 1, .ms = 1, .command_id = "c", .hash = 1, .stream = "settings/s",
         .type = "settings.deleted", .data = "{}");
    FACT(.author = 1, .seq = 1, .ms = 3, .command_id = "c", .hash = 1, .stream = "settings/a", .type = "settings.put",
         .data = "{\"id\":\"a\"}");
    FACT(.author = 2, .seq = 1, .ms = 2, .command_id = "c", .hash = 1, .stream = "settings/b", .type = "settings.put",
         .data = "{\"id\":\"b\"}");
    FACT(.author = 3, .seq = 1, .ms = 4, .command_id = "c", .hash = 2, .stream = "settings/c", .type = "settings.put",
         .data = "{\"id\":\"c\"}");
    FACT(.author = 4, .seq = 1, .ms = 0, .command_id = "c", .hash = 3);
    fold(&bench);
    assert_rows(bench.model, "SELECT id FROM settings", "b");
    assert_rows(bench.model, skips,
                "41.1.1|superseded|no row to delete|\n42.1.1|duplicate||43.1.1\n44.1.1|skipped|id_reused|43.1.1");
    assert_replay(&bench);
}

/* What a newer definition decided may fail here: it waits, and is no conflict. */
static void newer_entries_wait(void **state)
{
    (void)state;
    FACT(.author = 0, .seq = 1, .ms = 1, .definition = 9, .stream = "settings/a", .type = "settings.put",
         .data = "{\"id\":\"a\",\"color\":\"red\"}");
    FACT(.author = 0, .seq = 2, .ms = 2, .definition = 9, .stream = "settings/b", .type = "settings.put",
         .data = "{\"id\":\"b\"}");
    FACT(.author = 0, .seq = 3, .ms = 3, .definition = 9, .stream = "settings/c", .type = "settings.patched",
         .data = "{\"value\":\"x\"}");
    FACT(.author = 0, .seq = 4, .ms = 4, .definition = 9, .stream = "x", .type = "page.seen", .data = "{}");
    FACT(.author = 0, .seq = 5, .ms = 5, .stream = "x", .type = "page.seen", .data = "{}");
    FACT(.author = 0, .seq = 6, .ms = 6, .stream = "settings/d", .type = "settings.put",
         .data = "{\"id\":\"d\",\"color\":\"red\"}");
    fold(&bench);
    assert_rows(bench.model, skips,
                "41.1.1|waiting|unknown|\n41.1.3|waiting|no row to patch|\n41.1.4|waiting|unknown|");
    assert_rows(bench.model, "SELECT id FROM settings ORDER BY id", "b\nd");
    assert_replay(&bench);
}

static void a_dismissal_is_kept(void **state)
{
    (void)state;
    FACT(.author = 0, .seq = 1, .ms = 1, .stream = "daybook/inbox", .type = "daybook.dismissed",
         .data = "{\"entry\":\"e.1.1\"}");
    FACT(.author = 0, .seq = 2, .ms = 2, .stream = "daybook/inbox", .type = "daybook.dismissed",
         .data = "{\"entry\":\"e.1.1\"}");
    FACT(.author = 0, .seq = 3, .ms = 3, .stream = "daybook/inbox", .type = "daybook.dismissed", .data = "{}");
    FACT(.author = 0, .seq = 4, .ms = 4, .stream = "daybook/epoch", .type = "daybook.epoch", .data = "{}");
    fold(&bench);
    assert_rows(bench.model, "SELECT entry FROM _daybook_dismissed", "e.1.1");
    assert_rows(bench.model, skips, "41.1.3|skipped|a dismissal names an entry|");
    assert_int_equal(dbk_model_begin(bench.model, &bench.err), DBK_OK);
    bench.draft.time_ms = bench.time_ms;
    bench.draft.position = 5;
    assert_int_equal(dbk_model_entry_begin(bench.model, &bench.draft, true, &bench.err), DBK_OK);
    assert_int_equal(dbk_model_engine_event(bench.model, &bench.draft, "daybook/inbox", "daybook.dismissed",
                                            dbk_slice_text("{\"entry\":\"f\"}"), &bench.err),
                     DBK_OK);
    assert_int_equal(dbk_model_entry_end(bench.model, &bench.draft, &bench.err), DBK_OK);
    assert_rows(bench.model, "SELECT count(*) FROM _daybook_dismissed", "2");
    dbk_model_rollback(bench.model);
    assert_replay(&bench);
}

static unsigned roll(uint64_t *seed, unsigned faces)
{
    return (unsigned)(next_random(seed) % faces);
}

static void random_command(uint64_t *seed, char *out, size_t size)
{
    static const char *const words[] = {"\"a\"", "\"b\"", "null", "\"c\"", "\"d\"", "\"\xc3\xbc/%\""};
    unsigned key = roll(seed, 4), number = roll(seed, 11);
    const char *word = words[roll(seed, 6)], *other = words[roll(seed, 6)];

    switch (roll(seed, 9)) {
    case 0:
        snprintf(out, size, "{\"do\":\"put\",\"table\":\"notes\",\"key\":\"%u\",\"data\":{\"title\":%s,\"stars\":%u}}",
                 key, word, number);
        break;
    case 1:
        snprintf(out, size, "{\"do\":\"patch\",\"table\":\"notes\",\"key\":\"%u\",\"data\":{\"title\":%s}}", key, word);
        break;
    case 2: snprintf(out, size, "{\"do\":\"delete\",\"table\":\"notes\",\"key\":\"%u\"}", key); break;
    case 3:
        snprintf(out, size, "{\"do\":\"put\",\"table\":\"tags\",\"key\":\"%u\",\"data\":{\"note\":\"%u\"}}", key,
                 roll(seed, 4));
        break;
    case 4:
        snprintf(out, size, "{\"do\":\"put\",\"table\":\"settings\",\"key\":%s,\"data\":{\"value\":%s}}", word, other);
        break;
    case 5:
        snprintf(out, size, "{\"do\":\"patch\",\"table\":\"settings\",\"key\":%s,\"data\":{\"other\":%s}}", word,
                 other);
        break;
    case 6:
        snprintf(out, size, "{\"do\":\"put\",\"table\":\"links\",\"key\":\"%u\",\"data\":{\"next\":\"%u\"}}", key,
                 roll(seed, 4));
        break;
    case 7:
        snprintf(out, size, "{\"do\":\"append\",\"stream\":\"job/%u\",\"type\":\"job.%s\",\"data\":{\"id\":\"%u\"}}",
                 key, number < 6 ? "queued" : "done", key);
        break;
    default: snprintf(out, size, "{\"do\":\"delete\",\"table\":\"settings\",\"key\":%s}", word);
    }
}

/* Decisions on one model, applied as facts on another: equal rows, records, and none is skipped. Refused
 * ones, alone and within batches, leave nothing. */
static void what_was_decided_applies_elsewhere(void **state)
{
    uint64_t seed = 20261121;
    unsigned accepted = 0;
    char one[256], other[256], command[600];
    (void)state;
    for (int i = 0; i < 600; i++) {
        random_command(&seed, one, sizeof one);
        random_command(&seed, other, sizeof other);
        bool batch = roll(&seed, 3) == 0;
        snprintf(command, sizeof command, "%s%s%s%s%s", batch ? "[" : "", one, batch ? "," : "", batch ? other : "",
                 batch ? "]" : "");
        bench.time_ms += roll(&seed, 2000);
        accepted += decide(&bench, command) == DBK_OK;
    }
    assert_in_range(accepted, 150, 500);
    assert_rows(bench.model, "SELECT count(*) FROM _daybook_skips", "0");
    assert_replay(&bench);
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(a_put_overwrites_what_its_author_named_only),
        T(a_put_that_brings_nothing_is_no_writer),
        T(the_last_writer_is_the_last_in_order),
        T(a_cascade_is_a_writer),
        T(an_entry_is_superseded_whole),
        T(a_constraint_skips),
        T(a_command_applies_once),
        T(newer_entries_wait),
        T(a_dismissal_is_kept),
        T(what_was_decided_applies_elsewhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
