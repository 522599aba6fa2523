/* search: what full text finds is what a scan of the rows finds, whatever happened to them. */
#include "tests/projector/row_fixture.h"

#include <stdio.h>
#include <stdlib.h>

#include "projector/model/search.h"

static const char schema[] =
    "CREATE TABLE boards(id TEXT PRIMARY KEY NOT NULL);"
    "CREATE TABLE notes(id TEXT PRIMARY KEY NOT NULL, board TEXT REFERENCES boards(id) ON DELETE CASCADE,"
    " title TEXT NOT NULL COLLATE NOCASE, body TEXT, stars INTEGER NOT NULL DEFAULT 0);"
    "CREATE INDEX notes_board ON notes(board);"
    "CREATE TABLE pairs(a TEXT NOT NULL, b INTEGER NOT NULL, text TEXT, PRIMARY KEY(a, b)) WITHOUT ROWID;"
    "CREATE TABLE said(n INTEGER PRIMARY KEY NOT NULL, text TEXT UNIQUE);";
static const char projections[] =
    "-- on said\nINSERT INTO said VALUES($n, $text) ON CONFLICT(n) DO UPDATE SET text = excluded.text;\n";
static const char app[] =
    "{\"daybook\": 1, \"name\": \"s\", \"search\": {"
    "\"find_notes\": {\"table\": \"notes\", \"columns\": [\"title\", \"body\"]},"
    "\"find_pairs\": {\"table\": \"pairs\", \"columns\": [\"text\", \"a\"], \"tokenize\": \"porter ascii\"},"
    "\"find_said\": {\"table\": \"said\", \"columns\": [\"text\"]}}}";
static const char *const words[] = {"oak", "elm", "ash", "fir", "yew"};
enum { WORDS = 5 };

static unsigned upto(uint64_t *seed, unsigned limit)
{
    return (unsigned)(next_random(seed) % limit);
}

static char *text_of(dbk_model *model, const char *sql)
{
    sqlite3_stmt *rows = NULL;
    dbk_buffer out;
    dbk_buffer_init(&out, dbk_port_system());
    assert_int_equal(sqlite3_prepare_v2(dbk_model_handle(model), sql, -1, &rows, NULL), SQLITE_OK);
    int rc;
    while ((rc = sqlite3_step(rows)) == SQLITE_ROW)
        dbk_buffer_printf(&out, "%s\n", (const char *)sqlite3_column_text(rows, 0));
    assert_int_equal(rc, SQLITE_DONE);
    sqlite3_finalize(rows);
    char *text = strdup(dbk_buffer_text(&out) ? dbk_buffer_text(&out) : "");
    dbk_buffer_release(&out);
    assert_non_null(text);
    return text;
}

/* One question to both sides; `%s` of each is the word. */
static size_t same(dbk_model *model, const char *search, const char *scan, const char *word)
{
    char *one = sqlite3_mprintf(search, word), *two = sqlite3_mprintf(scan, word, word);
    assert_true(one && two);
    char *found = text_of(model, one), *wanted = text_of(model, two);
    sqlite3_free(one);
    sqlite3_free(two);
    size_t size = strlen(wanted);
    assert_string_equal(found, wanted);
    free(found);
    free(wanted);
    return size;
}

/* How much was found, so that a test can tell that something was. */
static size_t assert_found(dbk_model *model)
{
    dbk_error err;
    size_t size = 0;
    for (int i = 0; i < WORDS; i++) {
        size += same(
            model,
            "SELECT n.id FROM notes AS n JOIN find_notes AS s ON n.id = s.id WHERE find_notes MATCH '%s' ORDER BY 1",
            "SELECT id FROM notes WHERE ' ' || title || ' ' || ifnull(body, '') || ' ' LIKE '%% %s %%' AND '%s' <> '' "
            "ORDER BY 1",
            words[i]);
        size +=
            same(model,
                 "SELECT p.a || p.b FROM pairs AS p JOIN find_pairs AS s ON p.a = s.a AND p.b = s.b WHERE find_pairs "
                 "MATCH '%s' ORDER BY 1",
                 "SELECT a || b FROM pairs WHERE ' ' || ifnull(text, '') || ' ' LIKE '%% %s %%' OR a = '%s' ORDER BY 1",
                 words[i]);
        size += same(model, "SELECT n FROM find_said WHERE find_said MATCH '%s' ORDER BY 1",
                     "SELECT n FROM said WHERE ' ' || text || ' ' LIKE '%% %s %%' AND '%s' <> '' ORDER BY 1", words[i]);
    }
    assert_int_equal(dbk_model_check(model, &err), DBK_OK);
    assert_int_equal(dbk_model_check_search(model, &err), DBK_OK);
    return size;
}

static const char *some_text(uint64_t *seed, char text[64])
{
    size_t size = 0;
    for (unsigned n = upto(seed, 4), i = 0; i <= n; i++)
        size += (size_t)snprintf(text + size, 64 - size, "%s%s", i ? " " : "", words[upto(seed, WORDS)]);
    return text;
}

static void some_command(uint64_t *seed, char out[512])
{
    char one[64], two[64];
    unsigned note = upto(seed, 6), board = upto(seed, 3);
    some_text(seed, one);
    some_text(seed, two);
    switch (upto(seed, 9)) {
    case 0: snprintf(out, 512, "{\"do\":\"put\",\"table\":\"boards\",\"key\":\"b%u\",\"data\":{}}", board); break;
    case 1: snprintf(out, 512, "{\"do\":\"delete\",\"table\":\"boards\",\"key\":\"b%u\"}", board); break;
    case 2:
        snprintf(out, 512, "{\"do\":\"patch\",\"table\":\"notes\",\"key\":\"n%u\",\"data\":{\"body\":\"%s\"}}", note,
                 one);
        break;
    case 3: snprintf(out, 512, "{\"do\":\"delete\",\"table\":\"notes\",\"key\":\"n%u\"}", note); break;
    case 4:
        snprintf(out, 512, "{\"do\":\"put\",\"table\":\"pairs\",\"key\":[\"%s\",%u],\"data\":{\"text\":\"%s\"}}",
                 words[upto(seed, WORDS)], upto(seed, 3), one);
        break;
    case 5:
        snprintf(out, 512, "{\"do\":\"append\",\"stream\":\"s\",\"type\":\"said\",\"data\":{\"n\":%u,\"text\":\"%s\"}}",
                 note, one);
        break;
    case 6: /* the second is refused, and takes the first along */
        snprintf(out, 512,
                 "[{\"do\":\"put\",\"table\":\"notes\",\"key\":\"n%u\",\"data\":{\"title\":\"%s\"}},"
                 "{\"do\":\"put\",\"table\":\"notes\",\"key\":\"x\",\"data\":{\"board\":\"none\",\"title\":\"%s\"}}]",
                 note, one, two);
        break;
    default:
        snprintf(out, 512,
                 "{\"do\":\"put\",\"table\":\"notes\",\"key\":\"n%u\",\"data\":{\"board\":\"b%u\",\"title\":\"%s\","
                 "\"body\":\"%s\"}}",
                 note, board, one, two);
    }
}

static void test_random_commands_are_found_as_a_scan_finds_them(void **state)
{
    (void)state;
    for (uint64_t first = 1; first <= 6; first++) {
        uint64_t seed = first;
        row_bench bench;
        size_t found = 0;
        bench_open_with(&bench, app, schema, projections);
        for (int i = 0; i < 120; i++) {
            char command[512];
            some_command(&seed, command);
            (void)decide(&bench, command);
            if (i % 10 == 9) found += assert_found(bench.model);
        }
        assert_true(found > 100);
        dbk_model *again = place_build(&bench.place, (dbk_shadow_options){0});
        assert_true(assert_found(again) > 0);
        dbk_model_close(again);
        bench_close(&bench);
    }
}

/* A fact that comes late is found, alone and through a shadow. */
static void test_late_facts_are_found(void **state)
{
    (void)state;
    row_bench bench;
    bench_open_with(&bench, app, schema, projections);
    assert_int_equal(
        decide(&bench, "{\"do\":\"put\",\"table\":\"pairs\",\"key\":[\"x\",1],\"data\":{\"text\":\"oak\"}}"), DBK_OK);
    log_fact(&bench, &(row_fact){.author = 1,
                                 .seq = 1,
                                 .ms = 1000,
                                 .command_id = "f1",
                                 .stream = "pairs/x/1",
                                 .type = "pairs.put",
                                 .data = "{\"a\":\"x\",\"b\":1,\"text\":\"elm\"}"});
    log_fact(&bench, &(row_fact){.author = 1,
                                 .seq = 2,
                                 .ms = 1001,
                                 .command_id = "f2",
                                 .stream = "pairs/y/2",
                                 .type = "pairs.put",
                                 .data = "{\"a\":\"y\",\"b\":2,\"text\":\"elm\"}"});
    fold(&bench);
    assert_found(bench.model);
    assert_rows(bench.model, "SELECT a, b FROM find_pairs WHERE find_pairs MATCH 'elm' AND a = 'y'", "y|2");
    assert_rows(bench.model, "SELECT count(*) FROM find_pairs WHERE find_pairs MATCH 'oak OR elm'", "2");
    bench_close(&bench);
}

/* What NOCASE takes for the same is other text all the same. */
static void test_case_that_a_collation_hides_is_written(void **state)
{
    (void)state;
    row_bench bench;
    bench_open_with(&bench, app, schema, projections);
    assert_int_equal(decide(&bench, "{\"do\":\"put\",\"table\":\"notes\",\"key\":\"n\",\"data\":{\"title\":\"oak\"}}"),
                     DBK_OK);
    assert_int_equal(
        decide(&bench, "{\"do\":\"patch\",\"table\":\"notes\",\"key\":\"n\",\"data\":{\"title\":\"OAK\"}}"), DBK_OK);
    assert_rows(bench.model, "SELECT highlight(find_notes, 0, '[', ']') FROM find_notes WHERE find_notes MATCH 'oak'",
                "[OAK]");
    bench_close(&bench);
}

static void test_a_text_that_is_not_its_rows_is_damage(void **state)
{
    (void)state;
    static const char *const harm[] = {"UPDATE find_notes SET body = 'elm'", "DELETE FROM find_notes",
                                       "INSERT INTO find_notes(title, id) VALUES('ash', 'z')",
                                       "UPDATE _daybook_docs_find_notes SET k0 = 'm'"};
    for (size_t i = 0; i < sizeof harm / sizeof *harm; i++) {
        row_bench bench;
        dbk_error err;
        bench_open_with(&bench, app, schema, projections);
        assert_int_equal(
            decide(&bench, "{\"do\":\"put\",\"table\":\"notes\",\"key\":\"n\",\"data\":{\"title\":\"oak\"}}"), DBK_OK);
        assert_int_equal(sqlite3_exec(dbk_model_handle(bench.model), harm[i], NULL, NULL, NULL), SQLITE_OK);
        assert_int_equal(dbk_model_check(bench.model, &err), DBK_CORRUPT);
        bench_close(&bench);
    }
}

/* An index that lost its words is found out by FTS5 alone. */
static void test_an_index_without_its_words_is_damage(void **state)
{
    (void)state;
    row_bench bench;
    dbk_error err;
    bench_open_with(&bench, app, schema, projections);
    assert_int_equal(decide(&bench, "{\"do\":\"put\",\"table\":\"notes\",\"key\":\"n\",\"data\":{\"title\":\"oak\"}}"),
                     DBK_OK);
    sqlite3 *db = dbk_model_handle(bench.model);
    assert_int_equal(sqlite3_db_config(db, SQLITE_DBCONFIG_DEFENSIVE, 0, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "UPDATE find_notes_content SET c0 = 'ash'", NULL, NULL, NULL), SQLITE_OK);
    assert_int_equal(dbk_model_check_search(bench.model, &err), DBK_CORRUPT);
    bench_close(&bench);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_commands_are_found_as_a_scan_finds_them),
        cmocka_unit_test(test_late_facts_are_found),
        cmocka_unit_test(test_case_that_a_collation_hides_is_written),
        cmocka_unit_test(test_a_text_that_is_not_its_rows_is_damage),
        cmocka_unit_test(test_an_index_without_its_words_is_damage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
