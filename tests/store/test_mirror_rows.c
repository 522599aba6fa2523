/* Rows of a query as a file: what it shows, edits that a command takes, and what is no edit. */
#include <errno.h>
#include <sys/stat.h>

#include "tests/store/mirror_fixture.h"

static const char app[] =
    "{\"daybook\":1,\"name\":\"rows\",\"settings\":{"
    "\"jobs\":{\"query\":\"job_list\",\"import\":\"jobs.import\",\"mirror\":\"jobs.json\",\"schema\":\"list\"},"
    "\"done\":{\"query\":\"done_list\",\"mirror\":\"done.json\"},"
    "\"many\":{\"query\":\"many\",\"mirror\":\"many.json\"},"
    "\"quiet\":{\"query\":\"done_list\",\"mirror\":\"quiet.json\",\"watch\":false}}}";
static const char schema[] = "CREATE TABLE jobs(id TEXT PRIMARY KEY NOT NULL, title TEXT, done BOOLEAN NOT NULL "
                             "DEFAULT 0, extra JSON, due DATETIME);\n";
static const char queries[] = "-- query job_list(most INTEGER = 20000)\n"
                              "SELECT id, title, done, extra, due, length(title) AS size FROM jobs ORDER BY id LIMIT "
                              ":most;\n"
                              "-- query many()\n"
                              "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < "
                              "(SELECT extra->>'n' FROM jobs WHERE id = 'm'))\n"
                              "SELECT n, (SELECT extra->>'text' FROM jobs WHERE id = 'm') AS text FROM c;\n"
                              "-- query done_list()\nSELECT id FROM jobs WHERE done ORDER BY id;\n";
/* What is missing goes, what is there is put, its title in capitals. */
static const char commands[] =
    "-- command jobs.import(rows JSON)\n"
    "-- require 'a job has a title'\n"
    "SELECT 1 WHERE NOT EXISTS (SELECT 1 FROM json_each(:rows) WHERE value->>'title' IS NULL);\n"
    "-- else ok\n-- delete jobs\n"
    "SELECT id FROM jobs WHERE id NOT IN (SELECT value->>'id' FROM json_each(:rows));\n"
    "-- else ok\n-- put jobs\n"
    "SELECT value->>'id' AS id, upper(value->>'title') AS title, ifnull(value->>'done', 0) AS done, value->'extra' AS "
    "extra, value->>'due' AS due FROM json_each(:rows);\n";
static const char list_schema[] = "{\"type\":\"array\",\"items\":{\"properties\":{\"title\":{\"maxLength\":20}}}}";

static int setup(void **state)
{
    dbk_source sources[] = {{"app.json", dbk_slice_text(app)},
                            {"commands.sql", dbk_slice_text(commands)},
                            {"queries.sql", dbk_slice_text(queries)},
                            {"schema.sql", dbk_slice_text(schema)},
                            {"schemas/list.json", dbk_slice_text(list_schema)}};
    return start(state, sources, 5);
}

static const char *path_of(const engine_fixture *f, const char *name)
{
    static char paths[2][4400];
    static int turn;
    turn = !turn;
    snprintf(paths[turn], sizeof paths[turn], "%s/%s", f->path, name);
    return paths[turn];
}

static void write_file(const engine_fixture *f, const char *name, const char *text)
{
    FILE *file = fopen(path_of(f, name), "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static const char *text_of(const engine_fixture *f, const char *name)
{
    static char found[4096];
    FILE *file = fopen(path_of(f, name), "r");
    if (!file) fail_msg("no '%s'", name);
    found[fread(found, 1, sizeof found - 1, file)] = 0;
    fclose(file);
    return found;
}

static void expect_file(const engine_fixture *f, const char *name, const char *text)
{
    assert_string_equal(text_of(f, name), text);
}

static bool answers(engine_fixture *f, const char *ask, const char *part)
{
    dbk_store *store;
    dbk_text answer = {0};
    assert_int_equal(dbk_engine_wrap(f->engine, &store, &f->error), DBK_OK);
    (void)!dbk_do(store, ask, strlen(ask), &answer, &f->error);
    bool has = answer.data && strstr(answer.data, part);
    if (!has) print_message("%s\n", answer.data);
    dbk_text_free(&answer);
    dbk_free(dbk_port_system(), store);
    return has;
}

#define JOBS          "files/jobs.json"
#define BASE          "mirrors/jobs.json"
#define STATUS        "{\"do\":\"status\"}"
#define GET           "{\"do\":\"get\",\"namespace\":\"jobs\"}"
#define PUT(id, data) AGAIN("", id, data)
#define AGAIN(n, id, data)                                                                                             \
    "{\"id\":\"p" n id "\",\"do\":\"put\",\"table\":\"jobs\",\"key\":\"" id "\",\"data\":" data "}"
#define ROW(id, title)                                                                                                 \
    "{\"id\":\"" id "\",\"title\":\"" title "\",\"done\":false,\"extra\":null,\"due\":null,\"size\":1}"

static uint64_t position(const engine_fixture *f)
{
    return dbk_log_position(dbk_engine_log(f->engine));
}

static void rows_are_shown_as_they_change(void **state)
{
    engine_fixture *f = *state;
    look(f);
    expect_file(f, JOBS, "[]\n");
    must_accept(f, PUT("1", "{\"title\":\"A\",\"done\":true,\"extra\":{\"n\":1.10},\"due\":\"2026-11-22\"}"));
    look(f);
    expect_file(
        f, JOBS,
        "[\n  {\n    \"id\": \"1\",\n    \"title\": \"A\",\n    \"done\": true,\n    \"extra\": {\n      \"n\": "
        "1.10\n    },\n    \"due\": \"2026-11-22T00:00:00.000Z\",\n    \"size\": 1\n  }\n]\n");
    expect_file(f, "files/done.json", "[\n  {\n    \"id\": \"1\"\n  }\n]\n");
    assert_true(answers(f, GET,
                        "\"value\":[{\"id\":\"1\",\"title\":\"A\",\"done\":true,\"extra\":{\"n\":1.10},"
                        "\"due\":\"2026-11-22T00:00:00.000Z\",\"size\":1}],\"set\":false,\"position\":1}"));
    assert_int_equal(remove(path_of(f, JOBS)), 0);
    look(f);
    assert_non_null(strstr(text_of(f, JOBS), "\"title\": \"A\""));
    dbk_engine_close(f->engine);
    fixture_open(f);
    must_accept(f, "{\"id\":\"d\",\"do\":\"delete\",\"table\":\"jobs\",\"key\":\"1\"}");
    look(f);
    expect_file(f, JOBS, "[]\n");
    assert_int_equal(position(f), 2);
}

static void an_edit_is_given_to_the_command(void **state)
{
    engine_fixture *f = *state;
    must_accept(f, PUT("1", "{\"title\":\"A\"}"));
    look(f);
    write_file(f, JOBS, "[{\"id\":\"1\",\"title\":\"b\"}, {\"id\":\"2\",\"title\":\"C\"}]");
    look(f);
    assert_true(answers(f, GET, "[" ROW("1", "B") "," ROW("2", "C") "]"));
    look(f); /* what came of it is shown */
    assert_non_null(strstr(text_of(f, JOBS), "\"title\": \"B\""));
    assert_true(answers(f, "{\"do\":\"query\",\"sql\":\"SELECT DISTINCT actor FROM events WHERE position = 2\"}",
                        "[[\"daybook:mirror\"]]"));
    look(f);
    assert_int_equal(position(f), 2);
    /* what comes out as it was written stays as its author wrote it */
    write_file(f, JOBS, "[" ROW("1", "B") ",\n\n " ROW("2", "D") "]");
    look(f);
    look(f);
    expect_file(f, JOBS, "[" ROW("1", "B") ",\n\n " ROW("2", "D") "]");
    assert_int_equal(position(f), 3);
    /* back and forth: each is an edit of its own */
    write_file(f, JOBS, "[" ROW("2", "D") "]");
    look(f);
    write_file(f, JOBS, "[" ROW("1", "B") ",\n\n " ROW("2", "D") "]");
    look(f);
    write_file(f, JOBS, "[" ROW("2", "D") "]");
    look(f);
    assert_true(answers(f, GET, "\"value\":[" ROW("2", "D") "]"));
    assert_int_equal(position(f), 6);
}

/* Saved by a rename, twice in a row, while rows change, and while the store is closed. */
static void edits_come_in_many_ways(void **state)
{
    engine_fixture *f = *state;
    look(f);
    write_file(f, "files/.new", "[{\"id\":\"1\",\"title\":\"a\"}]");
    assert_int_equal(rename(path_of(f, "files/.new"), path_of(f, JOBS)), 0);
    look(f);
    assert_true(answers(f, GET, "[" ROW("1", "A") "]"));
    write_file(f, JOBS, "[{\"id\":\"1\",\"title\":\"b\"}]");
    write_file(f, JOBS, "[{\"id\":\"1\",\"title\":\"c\"}]");
    look(f);
    write_file(f, JOBS, "[{\"id\":\"1\",\"title\":\"d\"}]"); /* before what came of the last one was shown */
    look(f);
    assert_true(answers(f, GET, "[" ROW("1", "D") "]"));
    look(f);
    must_accept(f, PUT("2", "{\"title\":\"N\"}"));
    write_file(f, JOBS, "[{\"id\":\"2\",\"title\":\"o\"}]");
    look(f);
    assert_true(answers(f, GET, "\"value\":[" ROW("2", "O") "]"));
    look(f);
    dbk_engine_close(f->engine);
    write_file(f, JOBS, "[]");
    fixture_open(f);
    look(f);
    assert_true(answers(f, GET, "\"value\":[]"));
    assert_int_equal(position(f), 6);
}

static void what_cannot_be_taken_is_kept_aside_and_wipes_nothing(void **state)
{
    static const struct {
        const char *text, *why;
    } broken[] = {{"[{\"id\":\"1\"", "\"mirror_faults\":{\"jobs.json\":\"byte "},
                  {"", "\"mirror_faults\":{\"jobs.json\":\""},
                  {"{}", "the rows in 'jobs.json' are a list"},
                  {"[{\"id\":\"1\"}]", "a job has a title"},
                  {"[{\"id\":null,\"title\":\"x\"}]", "\"mirror_faults\":{\"jobs.json\":\""},
                  {"[{\"id\":\"1\",\"title\":\"aaaaaaaaaaaaaaaaaaaaa\"}]", "/0/title"},
                  {"[7]", "\"mirror_faults\":{\"jobs.json\":\""}};
    engine_fixture *f = *state;
    must_accept(f, PUT("1", "{\"title\":\"A\"}"));
    look(f);
    for (size_t i = 0; i < sizeof broken / sizeof *broken; i++) {
        write_file(f, JOBS, broken[i].text);
        look(f);
        look(f);
        assert_true(answers(f, GET, "\"value\":[" ROW("1", "A") "]"));
        expect_file(f, JOBS, broken[i].text);
        expect_file(f, "files/jobs.json.rejected", broken[i].text);
        assert_true(answers(f, STATUS, "\"mirrors_rejected\":[\"jobs.json\"]"));
        assert_true(answers(f, STATUS, broken[i].why));
    }
    assert_int_equal(position(f), 1);
    write_file(f, JOBS, "[{\"id\":\"1\",\"title\":\"b\"}]");
    look(f);
    assert_true(answers(f, GET, "[" ROW("1", "B") "]"));
    assert_false(answers(f, STATUS, "mirror_faults"));
    write_file(f, JOBS, "[");
    look(f);
    must_accept(f, AGAIN("2", "1", "{\"title\":\"C\"}"));
    look(f);
    assert_non_null(strstr(text_of(f, JOBS), "\"title\": \"C\""));
    expect_file(f, "files/jobs.json.rejected", "[");
    assert_false(answers(f, STATUS, "mirrors_rejected"));
}

static void without_a_command_it_is_read_only(void **state)
{
    engine_fixture *f = *state;
    look(f);
    for (int i = 0; i < 2; i++) { /* the same edit again */
        write_file(f, "files/done.json", "[{\"id\":\"9\"}]");
        look(f);
        expect_file(f, "files/done.json", "[]\n");
        expect_file(f, "files/done.json.rejected", "[{\"id\":\"9\"}]");
        assert_true(answers(f, STATUS,
                            "\"mirrors_rejected\":[\"done.json\"],\"mirror_faults\":{\"done.json\":\""
                            "'done.json' shows a query and is read only"));
        assert_int_equal(remove(path_of(f, "files/done.json.rejected")), 0);
    }
    must_accept(f, PUT("1", "{\"done\":true}"));
    look(f);
    assert_false(answers(f, STATUS, "mirrors_rejected"));
    /* where nobody looks, an edit stays until the rows change */
    write_file(f, "files/quiet.json", "mine");
    look(f);
    expect_file(f, "files/quiet.json", "mine");
    must_accept(f, PUT("2", "{\"done\":true}"));
    look(f);
    assert_non_null(strstr(text_of(f, "files/quiet.json"), "\"id\": \"2\""));
}

/* The base names both documents while the file is replaced: neither of them is an edit. */
static void a_crash_while_the_file_is_written_makes_no_edit(void **state)
{
    char before[4096], after[4096], base[2][200], both[200];
    engine_fixture *f = *state;
    must_accept(f, PUT("1", "{\"title\":\"A\"}"));
    look(f);
    snprintf(before, sizeof before, "%s", text_of(f, JOBS));
    snprintf(base[0], sizeof base[0], "%s", text_of(f, BASE));
    must_accept(f, PUT("2", "{\"title\":\"B\"}"));
    look(f);
    snprintf(after, sizeof after, "%s", text_of(f, JOBS));
    snprintf(base[1], sizeof base[1], "%s", text_of(f, BASE));
    assert_int_equal(strlen(strstr(base[0], "[\"")), 21);
    snprintf(both, sizeof both, "{\"position\":2,\"shown\":[%.18s,%.18s]}", strstr(base[0], "[\"") + 1,
             strstr(base[1], "[\"") + 1);
    for (int replaced = 0; replaced < 2; replaced++)
        for (int changed = 0; changed < 2; changed++) {
            if (changed) must_accept(f, replaced ? PUT("4", "{\"title\":\"D\"}") : PUT("3", "{\"title\":\"C\"}"));
            uint64_t was = position(f);
            dbk_engine_close(f->engine);
            write_file(f, BASE, both);
            write_file(f, JOBS, replaced ? after : before);
            fixture_open(f);
            look(f);
            assert_int_equal(position(f), was);
            assert_false(!access(path_of(f, "files/jobs.json.rejected"), F_OK));
            const char *now = text_of(f, JOBS);
            assert_non_null(strstr(now, "\"B\""));
            assert_int_equal(strstr(now, "\"C\"") != NULL, was > 2);
            assert_int_equal(strstr(now, "\"D\"") != NULL, was > 3);
            look(f);
            assert_int_equal(strlen(strstr(text_of(f, BASE), "[\"")), 21); /* one sum again */
        }
}

/* A port on which the n-th of the files called jobs.json, the base and the mirror, is not put in place. */
typedef struct torn_port {
    dbk_port port;
    int left;
} torn_port;

static int rename_unless_torn(void *ctx, dbk_dir *from_dir, const char *from, dbk_dir *to_dir, const char *to)
{
    torn_port *torn = ctx;
    if (strcmp(to, "jobs.json") == 0 && torn->left > 0 && --torn->left == 0) return -EIO;
    return dbk_port_system()->rename(NULL, from_dir, from, to_dir, to);
}

static void reopen(engine_fixture *f, torn_port *torn)
{
    dbk_engine_close(f->engine);
    f->options.port = torn ? &torn->port : NULL;
    fixture_open(f);
}

/* Whatever was in place when it was cut off, nothing is taken for an edit: rows that changed later stay. */
static void what_is_cut_off_makes_no_edit(void **state)
{
    engine_fixture *f = *state;
    torn_port torn = {.port = *dbk_port_system()};
    torn.port.ctx = &torn;
    torn.port.rename = rename_unless_torn;
    look(f);
    for (int n = 1; n <= 5; n++) {
        bool first = n > 3; /* without a base, a file of others: the file, then the base */
        char command[2][100];
        for (int i = 0; i < 2; i++)
            snprintf(command[i], sizeof command[i],
                     "{\"id\":\"%d-%d\",\"do\":\"put\",\"table\":\"jobs\",\"key\":\"%d%d\",\"data\":{}}", n, i, n, i);
        reopen(f, &torn);
        must_accept(f, command[0]);
        if (first) {
            reopen(f, &torn);
            assert_int_equal(remove(path_of(f, BASE)), 0);
            write_file(f, JOBS, "[{\"id\":\"x\",\"title\":\"x\"}]");
        }
        torn.left = first ? n - 3 : n;
        assert_int_equal(dbk_engine_mirror(f->engine, &f->error), DBK_IO);
        must_accept(f, command[1]);
        reopen(f, NULL);
        look(f);
        assert_int_equal(position(f), 2 * n);
        assert_non_null(strstr(text_of(f, JOBS), "1\",\n    \"title\": null"));
        assert_null(strstr(text_of(f, JOBS), "\"x\""));
    }
}

/* Between the command and the base: the same edit is known by its id. Later it is one of its own. */
static void a_crash_behind_the_command_decides_it_once(void **state)
{
    static const char edit[] = "[{\"id\":\"1\",\"title\":\"b\"},{\"id\":\"2\",\"title\":\"c\"}]";
    char base[200];
    engine_fixture *f = *state;
    must_accept(f, PUT("1", "{\"title\":\"A\"}"));
    look(f);
    snprintf(base, sizeof base, "%s", text_of(f, BASE));
    write_file(f, JOBS, edit);
    look(f);
    must_accept(f, AGAIN("2", "1", "{\"title\":\"LATER\"}"));
    assert_int_equal(position(f), 3);
    dbk_engine_close(f->engine);
    write_file(f, BASE, base);
    write_file(f, JOBS, edit);
    fixture_open(f);
    look(f);
    look(f);
    assert_int_equal(position(f), 3);
    assert_non_null(strstr(text_of(f, JOBS), "LATER"));
    write_file(f, JOBS, edit);
    look(f);
    assert_int_equal(position(f), 4);
    assert_true(answers(f, GET, "[" ROW("1", "B") "," ROW("2", "C") "]"));
}

/* Nobody knows whether it is an edit: it goes aside, and no row with it. */
static void a_file_that_stood_there_first_goes_aside(void **state)
{
    static const char *const bases[] = {NULL, "{\"theme\":\"light\"}", "{\"shown\":[]}", "{\"shown\":[\"xyz\"]}", "["};
    engine_fixture *f = *state;
    must_accept(f, PUT("1", "{\"title\":\"A\"}"));
    look(f);
    for (size_t i = 0; i < sizeof bases / sizeof *bases; i++) {
        dbk_engine_close(f->engine);
        if (bases[i]) write_file(f, BASE, bases[i]);
        else assert_int_equal(remove(path_of(f, BASE)), 0);
        write_file(f, JOBS, "[]");
        fixture_open(f);
        look(f);
        assert_int_equal(position(f), 1);
        assert_non_null(strstr(text_of(f, JOBS), "\"A\""));
        expect_file(f, "files/jobs.json.rejected", "[]");
        assert_true(answers(f, STATUS, "'jobs.json' stood there before rows were shown in it"));
    }
}

static void what_is_no_file_is_left_alone(void **state)
{
    engine_fixture *f = *state;
    look(f);
    write_file(f, "outside.json", "[{\"id\":\"1\",\"title\":\"x\"}]");
    assert_int_equal(remove(path_of(f, JOBS)), 0);
    assert_int_equal(symlink("../outside.json", path_of(f, JOBS)), 0);
    look(f);
    must_accept(f, PUT("2", "{\"title\":\"B\"}"));
    look(f);
    assert_true(answers(f, GET, "\"value\":[" ROW("2", "B") "]"));
    expect_file(f, "outside.json", "[{\"id\":\"1\",\"title\":\"x\"}]");
    assert_int_equal(remove(path_of(f, JOBS)), 0);
    assert_int_equal(mkdir(path_of(f, JOBS), 0700), 0);
    look(f);
    assert_int_equal(position(f), 1);
}

/* More than a mirror holds: status says so, the file stays, and other mirrors go on. */
static void rows_that_are_too_many_are_told(void **state)
{
    static const struct {
        const char *n;
        int width;
        const char *fault;
    } many[] = {{"10001", 0, "{\"many.json\":\"the answer has more than 10000 rows"},
                {"10000", 140, "{\"many.json\":\"the answer has more than 1048576 b"},
                {"10000", 75, "{\"many.json\":\"'many.json' would have "}};
    char wide[141] = {0};
    engine_fixture *f = *state;
    look(f);
    for (int i = 0; i < 3; i++) {
        char command[500];
        memset(wide, 'a', sizeof wide - 1);
        snprintf(command, sizeof command,
                 "{\"id\":\"m%d\",\"do\":\"put\",\"table\":\"jobs\",\"key\":\"m\",\"data\":{\"done\":%s,\"extra\":"
                 "{\"n\":%s,\"text\":\"%.*s\"}}}",
                 i, i % 2 ? "false" : "true", many[i].n, many[i].width, wide);
        must_accept(f, command);
        look(f);
        look(f);
        assert_true(answers(f, STATUS, many[i].fault));
        assert_false(answers(f, STATUS, "mirrors_rejected"));
        assert_non_null(strstr(text_of(f, "files/many.json"), "\"n\": 1,"));
        assert_int_equal(strstr(text_of(f, "files/done.json"), "\"id\": \"m\"") != NULL, i % 2 == 0);
    }
    must_accept(f, PUT("m", "{}")); /* what stands in the file */
    look(f);
    assert_false(answers(f, STATUS, "mirror_faults"));
    must_accept(f, AGAIN("2", "m", "{\"extra\":{\"n\":2}}"));
    look(f);
    assert_non_null(strstr(text_of(f, "files/many.json"), "\"n\": 2,"));
    assert_false(answers(f, STATUS, "mirror_faults"));
}

typedef struct clock_port {
    dbk_port port;
    int64_t seconds;
} clock_port;

static int64_t wall_ms(void *ctx)
{
    return 1700000000000 + 1000 * ((clock_port *)ctx)->seconds;
}

static int64_t monotonic_ns(void *ctx)
{
    return (((clock_port *)ctx)->seconds + 1) * 1000000000;
}

/* No entry says that a job has become due: the query is asked again after a minute. */
static void what_the_time_changes_is_shown_within_a_minute(void **state)
{
    static const char timed[] = "{\"daybook\":1,\"name\":\"t\",\"settings\":{\"due\":{\"query\":\"due\",\"mirror\":"
                                "\"due.json\",\"debounce\":\"2 s\"}}}";
    dbk_source sources[] = {
        {"app.json", dbk_slice_text(timed)},
        {"queries.sql", dbk_slice_text("-- query due()\nSELECT id FROM jobs WHERE due <= :time;\n")},
        {"schema.sql", dbk_slice_text("CREATE TABLE jobs(id TEXT PRIMARY KEY NOT NULL, due DATETIME);\n")}};
    clock_port clock = {.port = *dbk_port_system()};
    engine_fixture f;
    (void)state;
    clock.port.ctx = &clock;
    clock.port.wall_ms = wall_ms;
    clock.port.monotonic_ns = monotonic_ns;
    fixture_start_with(&f, definition_of_sources(sources, 3));
    dbk_engine_close(f.engine);
    f.options.port = &clock.port;
    fixture_open(&f);
    must_accept(&f, "{\"id\":\"1\",\"do\":\"put\",\"table\":\"jobs\",\"key\":\"a\",\"data\":{\"due\":\"2023-11-14 "
                    "22:13:30\"}}"); /* in ten seconds */
    look(&f);
    expect_file(&f, "files/due.json", "[]\n");
    for (int i = 0; i < 2; i++) { /* asked, then quiet for two seconds */
        clock.seconds += i ? 2 : 59;
        look(&f);
        expect_file(&f, "files/due.json", "[]\n");
    }
    clock.seconds += 2;
    look(&f);
    expect_file(&f, "files/due.json", "[\n  {\n    \"id\": \"a\"\n  }\n]\n");
    fixture_stop(&f);
}

static void nothing_is_set_in_rows(void **state)
{
    engine_fixture *f = *state;
    must_refuse(f, "{\"id\":\"1\",\"do\":\"set\",\"namespace\":\"jobs\",\"path\":\"a\",\"value\":1}", "bad_command",
                "'jobs' shows the rows of the query 'job_list': nothing is set in it");
    must_refuse(f, "{\"id\":\"1\",\"do\":\"unset\",\"namespace\":\"jobs\",\"path\":\"a\"}", "bad_command",
                "send the command 'jobs.import', or edit 'jobs.json'");
    must_refuse(f, "{\"id\":\"1\",\"do\":\"reset\",\"namespace\":\"done\"}", "bad_command",
                "change the rows of the tables that it reads");
    assert_true(answers(f, "{\"do\":\"get\",\"namespace\":\"jobs\",\"path\":\"a\"}", "no path leads into them"));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(rows_are_shown_as_they_change),
        TEST(an_edit_is_given_to_the_command),
        TEST(edits_come_in_many_ways),
        TEST(what_cannot_be_taken_is_kept_aside_and_wipes_nothing),
        TEST(without_a_command_it_is_read_only),
        TEST(a_crash_while_the_file_is_written_makes_no_edit),
        TEST(what_is_cut_off_makes_no_edit),
        TEST(a_crash_behind_the_command_decides_it_once),
        TEST(a_file_that_stood_there_first_goes_aside),
        TEST(what_is_no_file_is_left_alone),
        TEST(rows_that_are_too_many_are_told),
        TEST(nothing_is_set_in_rows),
        cmocka_unit_test(what_the_time_changes_is_shown_within_a_minute),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
