/* Rules of time with an archive: what is kept, in which form, what stands in the way, and what is not written twice. */
#include "tests/store/engine_fixture.h"

#include <errno.h>
#include <sys/stat.h>

static const char schema[] =
    "CREATE TABLE jobs(id TEXT NOT NULL PRIMARY KEY, status TEXT, note TEXT, flag BOOLEAN, more JSON, n INTEGER, "
    "raw BLOB, made DATETIME);\n"
    "CREATE TABLE parts(job TEXT NOT NULL REFERENCES jobs(id), n INTEGER NOT NULL, PRIMARY KEY(job, n));\n"
    "CREATE TABLE others(id TEXT NOT NULL PRIMARY KEY, made DATETIME);\n";
#define APP(rules) "{\"daybook\": 1, \"name\": \"archive\", \"retention\": [" rules "]}"
#define DONE(path)                                                                                                     \
    "{\"name\": \"done\", \"table\": \"jobs\", \"where\": \"status = 'done'\", \"every\": \"1 minute\", \"archive\": " \
    "\"" path "\"}"
static const int64_t start_ms = 1700000000000, minute_ms = 60000, day_ms = 86400000, ms_ns = 1000000;

static void start(asked *a, const char *app)
{
    dbk_source sources[2] = {{"schema.sql", dbk_slice_text(schema)}, {"app.json", dbk_slice_text(app)}};
    fixture_start_with(&a->f, definition_of_sources(sources, 2));
    asked_wrap(a);
}

static void stop(asked *a)
{
    dbk_free(dbk_port_system(), a->store);
    fixture_stop(&a->f);
}

static dbk_result try_at(asked *a, int64_t after_ms, uint64_t *deleted)
{
    a->f.error = (dbk_error){0};
    return dbk_engine_retain(a->f.engine, start_ms + after_ms, (1 + after_ms) * ms_ns, deleted, &a->f.error);
}

static uint64_t retain(asked *a, int64_t after_ms)
{
    uint64_t deleted = 0;
    dbk_result result = try_at(a, after_ms, &deleted);
    if (result != DBK_OK) print_error("%s\n", a->f.error.text);
    assert_int_equal(result, DBK_OK);
    return deleted;
}

static void put(asked *a, const char *table, const char *key, const char *data)
{
    static int number;
    static char command[20000];
    snprintf(command, sizeof command, "{\"id\":\"p%d\",\"do\":\"put\",\"table\":\"%s\",\"key\":%s,\"data\":%s}",
             number++, table, key, data);
    a->f.now_ms = start_ms;
    must_accept(&a->f, command);
}

static const char *path_of(const asked *a, const char *name)
{
    static char path[4400];
    snprintf(path, sizeof path, "%s/files/%s", a->f.path, name);
    return path;
}

static char *text_of(const asked *a, const char *name)
{
    FILE *file = fopen(path_of(a, name), "rb");
    char *text = calloc(1, 2048 * 1024);
    if (!file) print_error("%s: %s\n", path_of(a, name), strerror(errno));
    assert_non_null(file);
    assert_non_null(text);
    text[fread(text, 1, 2048 * 1024 - 1, file)] = 0;
    fclose(file);
    return text;
}

static void expect_file(const asked *a, const char *name, const char *text)
{
    char *found = text_of(a, name);
    assert_string_equal(found, text);
    free(found);
}

static void write_text(const asked *a, const char *name, const char *how, const char *text)
{
    FILE *file = fopen(path_of(a, name), how);
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static int times_in(const asked *a, const char *name, const char *part)
{
    char *text = text_of(a, name);
    int count = 0;
    for (const char *at = text; (at = strstr(at, part)); at++) count++;
    free(text);
    return count;
}

static void expect_rows(asked *a, const char *table, int count)
{
    char ask[200], part[60];
    snprintf(ask, sizeof ask, "{\"do\":\"query\",\"sql\":\"SELECT count(*) FROM %s\"}", table);
    snprintf(part, sizeof part, "\"rows\":[[%d]]", count);
    asked_contains(a, ask, part);
}

#define ENTRY(seq) "72727272727272727272727272727272.1." seq

static void rows_are_kept_whole_before_they_go(void **state)
{
    asked a;
    (void)state;
    start(&a, APP(DONE("old/{table}/{rule}-{year}-{month}-{day}.ndjson")));
    put(&a, "jobs", "\"a/b\"",
        "{\"status\":\"done\",\"note\":\"say \\\"x\\\"\\n\",\"flag\":true,\"more\":{\"k\":[1.10,null]},\"n\":7,"
        "\"raw\":\"AAE=\",\"made\":\"2023-11-14T22:13:20Z\"}");
    put(&a, "jobs", "\"c\"", "{\"status\":\"open\"}");
    put(&a, "jobs", "\"d\"", "{\"status\":\"done\"}");
    assert_int_equal(retain(&a, 10), 0);
    assert_int_equal(retain(&a, 2 * minute_ms), 2);
    expect_file(
        &a, "old/jobs/done-2023-11-14.ndjson",
        "{\"time\":\"2023-11-14T22:15:20.000Z\",\"id\":\"retain/done/a%2Fb/" ENTRY(
            "1") "\",\"rule\":\"done\",\"table\":"
                 "\"jobs\",\"key\":\"a/b\",\"entry\":\"" ENTRY(
                     "1") "\",\"row\":{\"id\":\"a/b\",\"status\":\"done\",\"note\":"
                          "\"say "
                          "\\\"x\\\"\\n\",\"flag\":true,\"more\":{\"k\":[1.10,null]},\"n\":7,\"raw\":\"AAE=\",\"made\":"
                          "\"2023-11-14T22:13:20.000Z\"}}\n"
                          "{\"time\":\"2023-11-14T22:15:20.000Z\",\"id\":\"retain/done/d/" ENTRY(
                              "3") "\",\"rule\":\"done\",\"table\":"
                                   "\"jobs\",\"key\":\"d\",\"entry\":\"" ENTRY(
                                       "3") "\",\"row\":{\"id\":\"d\",\"status\":\"done\",\"note\":null,"
                                            "\"flag\":null,\"more\":null,\"n\":null,\"raw\":null,\"made\":null}}\n");
    expect_rows(&a, "jobs", 1);
    struct stat found;
    assert_int_equal(stat(path_of(&a, "old/jobs/done-2023-11-14.ndjson"), &found), 0);
    assert_int_equal(found.st_mode & 0777, 0600);
    assert_int_equal(stat(path_of(&a, "old/jobs"), &found), 0);
    assert_int_equal(found.st_mode & 0777, 0700);
    stop(&a);
}

/* The id of a line is that of the command that deleted the row. */
static void a_line_names_the_command(void **state)
{
    asked a;
    (void)state;
    start(&a, APP(DONE("{rule}.ndjson")));
    put(&a, "jobs", "\"a\"", "{\"status\":\"done\"}");
    retain(&a, 10);
    assert_int_equal(retain(&a, 2 * minute_ms), 1);
    assert_int_equal(times_in(&a, "done.ndjson", "\"id\":\"retain/done/a/" ENTRY("1") "\""), 1);
    asked_contains(&a, "{\"do\":\"log\",\"reverse\":true,\"limit\":1}",
                   "\"commandid\":\"retain/done/a/" ENTRY("1") "\"");
    stop(&a);
}

#define HEADER                                                                                                         \
    "daybook.time,daybook.id,daybook.rule,daybook.table,daybook.key,daybook.entry,id,status,note,flag,more,n,raw,"     \
    "made\r\n"

/* Quotes, ends of lines, no value and the empty text are told apart; what a spreadsheet takes for a formula stays. */
static void a_csv_has_a_header_and_quotes(void **state)
{
    asked a;
    (void)state;
    start(&a, APP(DONE("{rule}.csv")));
    put(&a, "jobs", "\"a,b\"",
        "{\"status\":\"done\",\"note\":\"=1+1\\r\\n\\\"x\\\", "
        "é\",\"flag\":false,\"more\":{\"k\":[1.10,\"}\"]},\"n\":-7}");
    put(&a, "jobs", "\"c\"", "{\"status\":\"done\",\"note\":\"\"}");
    retain(&a, 10);
    assert_int_equal(retain(&a, 2 * minute_ms), 2);
    expect_file(&a, "done.csv",
                HEADER "2023-11-14T22:15:20.000Z,retain/done/a%2Cb/" ENTRY("1") ",done,jobs,\"a,b\"," ENTRY(
                    "1") ",\"a,b\","
                         "done,\"=1+1\r\n\"\"x\"\", é\",false,\"{\"\"k\"\":[1.10,\"\"}\"\"]}\",-7,,\r\n"
                         "2023-11-14T22:15:20.000Z,retain/done/c/" ENTRY("2") ",done,jobs,c," ENTRY(
                             "2") ",c,done,\"\",,,,,\r\n");
    stop(&a);
}

static void a_key_of_several_columns(void **state)
{
    asked a;
    (void)state;
    start(&a, APP("{\"name\": \"p\", \"table\": \"parts\", \"where\": \"n > 1\", \"every\": \"1 minute\", \"archive\": "
                  "\"p.csv\"}"));
    put(&a, "jobs", "\"j\"", "{}");
    put(&a, "parts", "[\"j\",2]", "{}");
    retain(&a, 10);
    assert_int_equal(retain(&a, 2 * minute_ms), 1);
    assert_int_equal(times_in(&a, "p.csv", ",p,parts,\"[\"\"j\"\",2]\"," ENTRY("2") ",j,2\r\n"), 1);
    stop(&a);
}

/* Each sweep finds a row that others hold, and its line is there already; what changes in it is written. */
static void a_row_that_stays_is_written_once(void **state)
{
    asked a;
    (void)state;
    start(&a, APP(DONE("{rule}.ndjson")));
    put(&a, "jobs", "\"a\"", "{\"status\":\"done\"}");
    put(&a, "parts", "[\"a\",1]", "{}");
    retain(&a, 10);
    for (int i = 2; i < 6; i++) assert_int_equal(retain(&a, i * minute_ms), 0);
    assert_int_equal(times_in(&a, "done.ndjson", "\n"), 1);
    dbk_engine_close(a.f.engine); /* nor by the next process */
    fixture_open(&a.f);
    retain(&a, 6 * minute_ms);
    assert_int_equal(retain(&a, 8 * minute_ms), 0);
    assert_int_equal(times_in(&a, "done.ndjson", "\n"), 1);
    a.f.now_ms = start_ms + 8 * minute_ms;
    must_accept(&a.f, "{\"id\":\"n\",\"do\":\"patch\",\"table\":\"jobs\",\"key\":\"a\",\"data\":{\"n\":5}}");
    assert_int_equal(retain(&a, 10 * minute_ms), 0);
    assert_int_equal(times_in(&a, "done.ndjson", "\n"), 2);
    assert_int_equal(times_in(&a, "done.ndjson", "\"n\":5"), 1);
    dbk_free(dbk_port_system(), a.store);
    fixture_stop(&a.f);
}

/* What a sweep left that died behind the archive: its lines are found at the end. A torn one gets an end. */
static void what_a_dead_sweep_left_is_gone_on_from(void **state)
{
    asked a;
    (void)state;
    start(&a, APP(DONE("{rule}.ndjson")));
    put(&a, "jobs", "\"a\"", "{\"status\":\"done\"}");
    put(&a, "jobs", "\"b\"", "{\"status\":\"done\"}");
    assert_int_equal(mkdir(path_of(&a, ""), 0700), 0);
    write_text(
        &a, "done.ndjson", "w",
        "{\"time\":\"2023-11-14T22:14:00.000Z\",\"id\":\"retain/done/a/" ENTRY(
            "1") "\",\"rule\":\"done\","
                 "\"table\":\"jobs\",\"key\":\"a\",\"entry\":\"" ENTRY(
                     "1") "\",\"row\":{\"id\":\"a\",\"status\":"
                          "\"done\",\"note\":null,\"flag\":null,\"more\":null,\"n\":null,\"raw\":null,\"made\":null}}\n"
                          "{\"time\":\"2023-11-14T22:14:00.000Z\",\"id\":\"retain/done/b/7");
    retain(&a, 10);
    assert_int_equal(retain(&a, 2 * minute_ms), 2);
    assert_int_equal(times_in(&a, "done.ndjson", "\"id\":\"retain/done/a/"), 1);
    assert_int_equal(times_in(&a, "done.ndjson", "retain/done/b/7\n{\"time\":\"2023-11-14T22:15:20.000Z\","), 1);
    assert_int_equal(times_in(&a, "done.ndjson", "\n"), 3);
    stop(&a);
}

/* Of a CSV that is torn, of other columns, or too large, the next number begins, and that one is gone on with. */
static void a_csv_that_cannot_be_written_on_is_left(void **state)
{
    static const char *const found[] = {"daybook.time,id\r\nx\r\n", HEADER "2023,\"torn\r\n", HEADER "2023,x",
                                        "daybook.ti"};
    (void)state;
    for (size_t i = 0; i < sizeof found / sizeof *found; i++) {
        asked a;
        start(&a, APP(DONE("{rule}.csv")));
        put(&a, "jobs", "\"a\"", "{\"status\":\"done\"}");
        assert_int_equal(mkdir(path_of(&a, ""), 0700), 0);
        write_text(&a, "done.csv", "w", found[i]);
        retain(&a, 10);
        assert_int_equal(retain(&a, 2 * minute_ms), 1);
        put(&a, "jobs", "\"b\"", "{\"status\":\"done\"}");
        assert_int_equal(retain(&a, 4 * minute_ms), 1);
        expect_file(&a, "done.csv", found[i]);
        assert_int_equal(times_in(&a, "done-2.csv", HEADER), 1);
        assert_int_equal(times_in(&a, "done-2.csv", "\r\n"), 3);
        assert_int_not_equal(access(path_of(&a, "done-3.csv"), F_OK), 0);
        stop(&a);
    }
}

static void a_large_csv_is_full(void **state)
{
    asked a;
    (void)state;
    start(&a, APP(DONE("{rule}.csv")));
    put(&a, "jobs", "\"a\"", "{\"status\":\"done\"}");
    retain(&a, 10);
    assert_int_equal(retain(&a, 2 * minute_ms), 1);
    FILE *file = fopen(path_of(&a, "done.csv"), "a");
    assert_non_null(file);
    assert_int_equal(fseek(file, 32 * 1024 * 1024, SEEK_SET), 0);
    assert_int_equal(ftruncate(fileno(file), 32 * 1024 * 1024 + 1), 0);
    fclose(file);
    put(&a, "jobs", "\"b\"", "{\"status\":\"done\"}");
    assert_int_equal(retain(&a, 4 * minute_ms), 1);
    assert_int_equal(times_in(&a, "done-2.csv", "\r\n"), 2);
    stop(&a);
}

/* A link, or a folder: nothing is deleted, the state says why, other rules go on; later it is tried again. */
static void what_stands_in_the_way_keeps_the_rows(void **state)
{
    static const char *const ways[] = {"link", "folder", "link for a folder"};
    (void)state;
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        asked a;
        uint64_t deleted = 0;
        char outside[4300];
        start(&a, APP(DONE("old/x.ndjson") ", {\"name\": \"others\", \"table\": \"others\", \"where\": \"true\", "
                                           "\"every\": \"1 minute\"}"));
        put(&a, "jobs", "\"a\"", "{\"status\":\"done\"}");
        put(&a, "others", "\"a\"", "{}");
        snprintf(outside, sizeof outside, "%s/outside", a.f.folder);
        assert_int_equal(mkdir(outside, 0700), 0);
        assert_int_equal(mkdir(path_of(&a, ""), 0700), 0);
        if (i == 2) assert_int_equal(symlink(outside, path_of(&a, "old")), 0);
        else assert_int_equal(mkdir(path_of(&a, "old"), 0700), 0);
        if (i == 0) assert_int_equal(symlink("/dev/null", path_of(&a, "old/x.ndjson")), 0);
        if (i == 1) assert_int_equal(mkdir(path_of(&a, "old/x.ndjson"), 0700), 0);
        retain(&a, 10);
        assert_int_not_equal(try_at(&a, 2 * minute_ms, &deleted), DBK_OK);
        assert_non_null(strstr(a.f.error.text, "cannot archive what the retention rule 'done' ends: cannot open"));
        assert_int_equal(deleted, 1);
        expect_rows(&a, "jobs", 1);
        expect_rows(&a, "others", 0);
        asked_contains(&a, "{\"do\":\"status\"}",
                       ",\"retention_failed\":[{\"rule\":\"done\",\"error\":\"unavailable\",\"class\":\"critical\","
                       "\"message\":\"cannot archive what the retention rule 'done' ends: cannot open ");
        asked_contains(&a, "{\"do\":\"stats\"}", "\"at\":\"2023-11-14T22:15:20.000Z\"}]");
        assert_int_equal(
            i == 1 ? rmdir(path_of(&a, "old/x.ndjson")) : unlink(path_of(&a, i == 2 ? "old" : "old/x.ndjson")), 0);
        assert_int_equal(retain(&a, 4 * minute_ms), 1);
        assert_int_equal(times_in(&a, "old/x.ndjson", "\n"), 1);
        dbk_text answer = {0};
        assert_int_equal(dbk_do(a.store, "{\"do\":\"status\"}", 15, &answer, &a.f.error), DBK_OK);
        assert_null(strstr(answer.data, "retention_failed"));
        dbk_text_free(&answer);
        stop(&a);
    }
}

static void each_day_has_its_file(void **state)
{
    asked a;
    (void)state;
    start(&a, APP("{\"name\": \"done\", \"table\": \"jobs\", \"where\": \"status = 'done'\", \"every\": \"1 minute\", "
                  "\"archive\": \"{date}.ndjson\"}"));
    put(&a, "jobs", "\"a\"", "{\"status\":\"done\"}");
    retain(&a, 10);
    assert_int_equal(retain(&a, 2 * minute_ms), 1);
    put(&a, "jobs", "\"b\"", "{\"status\":\"done\"}");
    assert_int_equal(retain(&a, day_ms), 1);
    assert_int_equal(times_in(&a, "2023-11-14.ndjson", "\"key\":\"a\""), 1);
    assert_int_equal(times_in(&a, "2023-11-15.ndjson", "\"key\":\"b\""), 1);
    stop(&a);
}

/* More than a piece holds: all rows once, in pieces of a thousand rows, or of a mebibyte. */
static void many_rows_go_in_pieces(void **state)
{
    asked a;
    char key[16];
    static char data[13000];
    (void)state;
    start(&a, APP("{\"name\": \"done\", \"table\": \"jobs\", \"where\": \"status = 'done'\", \"every\": \"1 minute\", "
                  "\"limit\": 100000, \"archive\": \"x.ndjson\"}"));
    memset(data, 'x', sizeof data);
    snprintf(data + 12000, sizeof data - 12000, "\"}");
    memcpy(data, "{\"status\":\"done\",\"note\":\"", 25);
    for (int i = 0; i < 120; i++) {
        snprintf(key, sizeof key, "\"j%d\"", i);
        put(&a, "jobs", key, data);
    }
    retain(&a, 10);
    assert_int_equal(retain(&a, 2 * minute_ms), 100); /* the brake */
    assert_int_equal(times_in(&a, "x.ndjson", "\n"), 100);
    assert_int_equal(retain(&a, 2 * day_ms), 20);
    assert_int_equal(times_in(&a, "x.ndjson", "\n"), 120);
    for (int i = 0; i < 120; i++) {
        snprintf(key, sizeof key, "\"key\":\"j%d\"", i);
        assert_int_equal(times_in(&a, "x.ndjson", key), 1);
    }
    stop(&a);
}

/* What a command of the app ends is kept as it was before it. */
static void a_command_ends_what_was_kept(void **state)
{
    static const char app[] = APP("{\"name\": \"seen\", \"table\": \"seen\", \"where\": \"n > 1\", \"every\": "
                                  "\"1 minute\", \"do\": \"page.forget\", \"archive\": \"{rule}.ndjson\"}");
    static const char seen[] = "CREATE TABLE seen(page TEXT NOT NULL PRIMARY KEY, n INTEGER NOT NULL);\n";
    static const char projections[] = "-- on page.seen\nINSERT INTO seen(page, n) VALUES ($page, $n);\n"
                                      "-- on page.forgotten\nDELETE FROM seen WHERE page = $page;\n";
    static const char commands[] =
        "-- command page.forget(page TEXT)\n"
        "SELECT 'page.forgotten' AS type, 'page/' || :page AS stream, json_object('page', :page) AS data;\n";
    dbk_source sources[4] = {{"schema.sql", dbk_slice_text(seen)},
                             {"projections.sql", dbk_slice_text(projections)},
                             {"commands.sql", dbk_slice_text(commands)},
                             {"app.json", dbk_slice_text(app)}};
    asked a;
    (void)state;
    fixture_start_with(&a.f, definition_of_sources(sources, 4));
    asked_wrap(&a);
    a.f.now_ms = start_ms;
    must_accept(&a.f, "{\"id\":\"s\",\"do\":\"append\",\"stream\":\"page/a\",\"type\":\"page.seen\",\"data\":{\"page\":"
                      "\"a\",\"n\":2}}");
    retain(&a, 10);
    assert_int_equal(retain(&a, 2 * minute_ms), 1);
    assert_int_equal(times_in(&a, "seen.ndjson", "\"row\":{\"page\":\"a\",\"n\":2}}\n"), 1);
    expect_rows(&a, "seen", 0);
    stop(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_are_kept_whole_before_they_go),
        cmocka_unit_test(a_line_names_the_command),
        cmocka_unit_test(a_csv_has_a_header_and_quotes),
        cmocka_unit_test(a_key_of_several_columns),
        cmocka_unit_test(a_row_that_stays_is_written_once),
        cmocka_unit_test(what_a_dead_sweep_left_is_gone_on_from),
        cmocka_unit_test(a_csv_that_cannot_be_written_on_is_left),
        cmocka_unit_test(a_large_csv_is_full),
        cmocka_unit_test(what_stands_in_the_way_keeps_the_rows),
        cmocka_unit_test(each_day_has_its_file),
        cmocka_unit_test(many_rows_go_in_pieces),
        cmocka_unit_test(a_command_ends_what_was_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
