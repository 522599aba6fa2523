/* Rules of time: what goes and when, under which id, how much in a day, and on which clock not. */
#include "tests/store/engine_fixture.h"

#include <sqlite3.h>

static const char schema[] =
    "CREATE TABLE jobs(id TEXT NOT NULL PRIMARY KEY, status TEXT, made DATETIME);\n"
    "CREATE TABLE caches(id TEXT NOT NULL PRIMARY KEY, until DATETIME);\n"
    "CREATE TABLE parts(id TEXT NOT NULL PRIMARY KEY, job TEXT NOT NULL REFERENCES jobs(id));\n"
    "CREATE INDEX parts_job ON parts(job);\n";
static const char app[] =
    "{\"daybook\": 1, \"name\": \"retention\",\n"
    " \"tables\": {\"jobs\": {\"stamps\": {\"created\": \"made\"}}, \"caches\": {\"ttl\": \"until\"}},\n"
    " \"retention\": [{\"name\": \"done-jobs\", \"table\": \"jobs\", \"where\": \"status = 'done' AND made <= "
    "datetime('now', '-1 day')\"},\n"
    "  {\"name\": \"old-jobs\", \"table\": \"jobs\", \"keep\": {\"for\": \"30 days\"}, \"every\": \"1 day\", "
    "\"limit\": 100000}]}";
static const int64_t start_ms = 1700000000000, day_ms = 86400000, minute_ms = 60000;
static const int64_t ms_ns = 1000000;

static int setup(void **state)
{
    dbk_source sources[2] = {{"schema.sql", dbk_slice_text(schema)}, {"app.json", dbk_slice_text(app)}};
    return fixture_setup(state, definition_of_sources(sources, 2));
}

static long long count(engine_fixture *f, const char *sql)
{
    sqlite3_stmt *statement;
    assert_int_equal(sqlite3_prepare_v2(dbk_model_handle(dbk_engine_model(f->engine)), sql, -1, &statement, NULL),
                     SQLITE_OK);
    assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
    long long number = sqlite3_column_int64(statement, 0);
    sqlite3_finalize(statement);
    return number;
}

/* Both clocks so long after the start. */
static uint64_t retain_at(engine_fixture *f, int64_t wall, int64_t mono)
{
    uint64_t deleted = 0;
    dbk_result result = dbk_engine_retain(f->engine, start_ms + wall, (1 + mono) * ms_ns, &deleted, &f->error);
    if (result != DBK_OK) print_error("%s\n", f->error.text);
    assert_int_equal(result, DBK_OK);
    return deleted;
}

static uint64_t retain(engine_fixture *f, int64_t after_ms)
{
    return retain_at(f, after_ms, after_ms);
}

static void put_jobs(engine_fixture *f, int from, int to, const char *status)
{
    char command[200];
    for (int i = from; i < to; i++) {
        snprintf(command, sizeof command,
                 "{\"id\":\"p%d\",\"do\":\"put\",\"table\":\"jobs\",\"key\":\"j%d\",\"data\":{\"status\":\"%s\"}}", i,
                 i, status);
        f->now_ms = start_ms + 1000;
        must_answer(f, command, "\"ok\":true");
    }
}

static dbk_slice last_command_id(engine_fixture *f, dbk_buffer *origin, dbk_entry *entry)
{
    dbk_log *log = dbk_engine_log(f->engine);
    assert_int_equal(dbk_log_read(log, dbk_log_position(log), origin, NULL, &f->error), DBK_OK);
    assert_int_equal(dbk_entry_decode(dbk_buffer_slice(origin), entry, &f->error), DBK_OK);
    return entry->command_id;
}

static void rows_go_when_their_time_is_over(void **state)
{
    engine_fixture *f = *state;
    dbk_buffer origin;
    dbk_entry entry;
    put_jobs(f, 0, 1, "done");
    put_jobs(f, 1, 2, "open");
    assert_int_equal(retain(f, 10), 0); /* nothing runs with the first commands */
    assert_int_equal(retain(f, 2 * minute_ms), 0);
    assert_int_equal(retain(f, day_ms + 2 * minute_ms), 1);
    assert_int_equal(count(f, "SELECT count(*) FROM jobs WHERE id = 'j1'"), 1);
    dbk_buffer_init(&origin, dbk_port_system());
    assert_true(dbk_slice_equal(last_command_id(f, &origin, &entry),
                                dbk_slice_text("retain/done-jobs/j0/72727272727272727272727272727272.1.1")));
    assert_true(dbk_slice_equal(entry.actor, dbk_slice_text("daybook:retention")));
    dbk_buffer_release(&origin);
    assert_int_equal(retain(f, 29 * day_ms), 0);
    assert_int_equal(retain(f, 31 * day_ms), 1);
    assert_int_equal(count(f, "SELECT count(*) FROM jobs"), 0);
}

static void a_row_names_its_own_end(void **state)
{
    engine_fixture *f = *state;
    must_answer(f,
                "{\"id\":\"a\",\"do\":\"put\",\"table\":\"caches\",\"key\":\"a\",\"data\":{\"until\":\"2023-11-14T22:"
                "20:00Z\"}}",
                "");
    must_answer(f, "{\"id\":\"b\",\"do\":\"put\",\"table\":\"caches\",\"key\":\"b\"}", "");
    retain(f, 10);
    assert_int_equal(retain(f, 5 * minute_ms), 0);
    assert_int_equal(retain(f, 7 * minute_ms), 1);
    assert_int_equal(count(f, "SELECT count(*) FROM caches WHERE id = 'b'"), 1);
}

/* What is put again under the same key is another row: its last writer is in the id. */
static void a_row_put_again_goes_again(void **state)
{
    engine_fixture *f = *state;
    must_answer(f,
                "{\"id\":\"a\",\"do\":\"put\",\"table\":\"caches\",\"key\":\"a\",\"data\":{\"until\":\"2023-11-14T22:"
                "20:00Z\"}}",
                "");
    retain(f, 10);
    assert_int_equal(retain(f, 7 * minute_ms), 1);
    f->now_ms = start_ms + 8 * minute_ms;
    must_answer(f,
                "{\"id\":\"b\",\"do\":\"put\",\"table\":\"caches\",\"key\":\"a\",\"data\":{\"until\":\"2023-11-14T22:"
                "20:00Z\"}}",
                "");
    assert_int_equal(retain(f, 9 * minute_ms), 1);
    assert_int_equal(retain(f, 11 * minute_ms), 0);
}

/* A tenth of a table in a day, a hundred at least; a store opened again goes on counting. */
static void a_brake_stops_a_rule(void **state)
{
    engine_fixture *f = *state;
    put_jobs(f, 0, 1500, "done");
    retain(f, 10);
    assert_int_equal(retain(f, 40 * day_ms), 150);
    assert_int_equal(retain(f, 40 * day_ms + 3 * 3600000), 0);
    dbk_engine_close(f->engine);
    fixture_open(f);
    retain_at(f, 40 * day_ms + 4 * 3600000, 10);
    assert_int_equal(retain_at(f, 40 * day_ms + 4 * 3600000 + 2 * minute_ms, 10 + 2 * minute_ms), 0);
    assert_int_equal(retain_at(f, 41 * day_ms + 5 * 3600000, 10 + 25 * 3600000), 135);
    assert_int_equal(count(f, "SELECT count(*) FROM jobs"), 1215);
}

static void small_tables_may_be_emptied(void **state)
{
    engine_fixture *f = *state;
    put_jobs(f, 0, 120, "done");
    retain(f, 10);
    assert_int_equal(retain(f, 40 * day_ms), 100);
    assert_int_equal(retain(f, 41 * day_ms + minute_ms), 20);
}

static void a_clock_that_jumped_is_not_believed(void **state)
{
    engine_fixture *f = *state;
    put_jobs(f, 0, 3, "done");
    retain(f, 10);
    assert_int_equal(retain_at(f, 40 * day_ms, 10 * minute_ms), 0); /* ahead by weeks: a day */
    assert_int_equal(retain_at(f, 40 * day_ms + 60 * minute_ms, 70 * minute_ms), 0);
    assert_int_equal(retain_at(f, 41 * day_ms + minute_ms, day_ms + 11 * minute_ms), 3);
}

static void a_machine_that_slept_rests_a_while(void **state)
{
    engine_fixture *f = *state;
    put_jobs(f, 0, 3, "done");
    retain(f, 10);
    assert_int_equal(retain_at(f, 2 * day_ms, 10 * minute_ms), 0);
    assert_int_equal(retain_at(f, 2 * day_ms + 11 * minute_ms, 21 * minute_ms), 3);
}

static void a_clock_behind_what_is_known_waits(void **state)
{
    engine_fixture *f = *state;
    must_answer(
        f, "{\"id\":\"a\",\"do\":\"put\",\"table\":\"caches\",\"key\":\"a\",\"data\":{\"until\":\"2020-01-01\"}}", "");
    retain_at(f, -5 * minute_ms, 10);
    assert_int_equal(retain_at(f, -3 * minute_ms, 2 * minute_ms), 0);
    assert_int_equal(retain_at(f, minute_ms, 6 * minute_ms), 1);
}

/* A row that others hold stays; the rule ends, and the rows behind it go another time. */
static void a_row_that_is_held_stays(void **state)
{
    engine_fixture *f = *state;
    put_jobs(f, 0, 2, "done");
    must_answer(f, "{\"id\":\"x\",\"do\":\"put\",\"table\":\"parts\",\"key\":\"x\",\"data\":{\"job\":\"j0\"}}", "");
    retain(f, 10);
    assert_int_equal(retain(f, 2 * day_ms), 1);
    assert_int_equal(count(f, "SELECT count(*) FROM jobs WHERE id = 'j0'"), 1);
}

static void a_long_key_is_named_by_its_digest(void **state)
{
    engine_fixture *f = *state;
    char command[600], key[301];
    dbk_buffer origin;
    dbk_entry entry;
    memset(key, 'k', 300);
    key[300] = '\0';
    snprintf(command, sizeof command,
             "{\"id\":\"a\",\"do\":\"put\",\"table\":\"caches\",\"key\":\"%s\",\"data\":{\"until\":\"2020-01-01\"}}",
             key);
    must_answer(f, command, "");
    retain(f, 2000);
    assert_int_equal(retain(f, 2 * minute_ms), 1);
    dbk_buffer_init(&origin, dbk_port_system());
    dbk_slice id = last_command_id(f, &origin, &entry);
    assert_memory_equal(id.data, "retain/#", 8);
    assert_int_equal(id.size, 8 + 32 + 1 + 36);
    dbk_buffer_release(&origin);
}

/* The turn is held while a rule looks: a condition without an end is given up, and commands go on. */
static void a_rule_without_an_end_is_given_up(void **state)
{
    static const char endless[] =
        "{\"daybook\": 1, \"name\": \"retention\", \"retention\": [{\"name\": \"endless\", \"table\": \"jobs\", "
        "\"where\": "
        "\"(WITH RECURSIVE r(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM r) SELECT max(x) FROM r) > 1\"}]}";
    dbk_source sources[2] = {{"schema.sql", dbk_slice_text(schema)}, {"app.json", dbk_slice_text(endless)}};
    engine_fixture f = {0};
    uint64_t deleted = 0;
    (void)state;
    fixture_start_with(&f, definition_of_sources(sources, 2));
    put_jobs(&f, 0, 1, "done");
    assert_int_equal(retain(&f, 10), 0);
    assert_int_equal(dbk_engine_retain(f.engine, start_ms + 2 * day_ms, (1 + 2 * day_ms) * ms_ns, &deleted, &f.error),
                     DBK_BUSY);
    assert_string_equal(f.error.text, "the retention rule 'endless' takes more than 20 million steps");
    put_jobs(&f, 1, 2, "done");
    assert_int_equal(count(&f, "SELECT count(*) FROM jobs"), 2);
    fixture_stop(&f);
}

static const char seen_schema[] =
    "CREATE TABLE seen(user TEXT NOT NULL, n INTEGER NOT NULL, at DATETIME NOT NULL, PRIMARY KEY(user, n));\n"
    "CREATE INDEX seen_at ON seen(at);\n";
static const char seen_projections[] = "-- on page.seen\nINSERT INTO seen(user, n, at) VALUES ($user, $n, :time);\n"
                                       "-- on page.forgotten\nDELETE FROM seen WHERE user = $user AND n = $n;\n";
static const char seen_commands[] =
    "-- command page.forget(n INTEGER, user TEXT)\n"
    "-- require 'it is kept'\nSELECT 1 WHERE :user <> 'kept';\n"
    "SELECT 'page.forgotten' AS type, 'page/' || :user AS stream, json_object('user', :user, 'n', :n) AS data;\n";
static const char seen_app[] =
    "{\"daybook\": 1, \"name\": \"seen\", \"retention\": [{\"name\": \"seen\", \"table\": \"seen\", \"where\": "
    "\"at <= datetime('now', '-1 day')\", \"every\": \"1 minute\", \"do\": \"page.forget\"}]}";

/* All rows of that user; `begin`: of the ids of the rule. */
static void end_rows_by_command(const char *user, const char *begin)
{
    dbk_source sources[4] = {{"schema.sql", dbk_slice_text(seen_schema)},
                             {"projections.sql", dbk_slice_text(seen_projections)},
                             {"commands.sql", dbk_slice_text(seen_commands)},
                             {"app.json", dbk_slice_text(seen_app)}};
    engine_fixture f = {0};
    dbk_buffer origin;
    dbk_entry entry;
    char command[300];
    fixture_start_with(&f, definition_of_sources(sources, 4));
    for (int i = 0; i < 120; i++) {
        snprintf(command, sizeof command,
                 "{\"id\":\"s%d\",\"do\":\"append\",\"stream\":\"page/a\",\"type\":\"page.seen\",\"data\":{\"user\":"
                 "\"%s\",\"n\":%d}}",
                 i, i == 3 ? "kept" : user, i);
        f.now_ms = start_ms + 1000;
        must_answer(&f, command, "\"ok\":true");
    }
    assert_int_equal(retain(&f, 10), 0);
    assert_int_equal(retain(&f, 2 * minute_ms), 0);
    assert_int_equal(retain(&f, day_ms + 2 * minute_ms), 100);
    assert_int_equal(count(&f, "SELECT count(*) FROM seen"), 20);
    dbk_buffer_init(&origin, dbk_port_system());
    dbk_slice id = last_command_id(&f, &origin, &entry);
    assert_true(id.size > strlen(begin) && memcmp(id.data, begin, strlen(begin)) == 0);
    assert_true(dbk_slice_equal(entry.actor, dbk_slice_text("daybook:retention")));
    dbk_buffer_release(&origin);
    assert_int_equal(retain(&f, day_ms + 10 * minute_ms), 0);
    dbk_engine_close(f.engine); /* the brake goes on counting */
    fixture_open(&f);
    assert_int_equal(retain(&f, day_ms + 11 * minute_ms), 0);
    assert_int_equal(retain(&f, day_ms + 20 * minute_ms), 0);
    assert_int_equal(retain(&f, 2 * day_ms + 40 * minute_ms), 19);
    assert_int_equal(count(&f, "SELECT count(*) FROM seen WHERE user = 'kept'"), 1);
    fixture_stop(&f);
}

/* Rows that projections write go by a command of the app: given the key, under the rule's id, and by the same brake. */
static void a_command_ends_rows_of_projections(void **state)
{
    (void)state;
    end_rows_by_command("a/b", "retain/seen/a%2Fb/");
}

/* Of ids with a key's digest too. */
static void a_command_ends_rows_with_long_keys(void **state)
{
    (void)state;
    end_rows_by_command("someone with a name that leaves no room for anything else in the id of a command", "retain/#");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, fixture_teardown)
    const struct CMUnitTest tests[] = {
        TEST(rows_go_when_their_time_is_over),
        TEST(a_row_names_its_own_end),
        TEST(a_row_put_again_goes_again),
        TEST(a_brake_stops_a_rule),
        TEST(small_tables_may_be_emptied),
        TEST(a_clock_that_jumped_is_not_believed),
        TEST(a_machine_that_slept_rests_a_while),
        TEST(a_clock_behind_what_is_known_waits),
        TEST(a_row_that_is_held_stays),
        TEST(a_long_key_is_named_by_its_digest),
        cmocka_unit_test(a_rule_without_an_end_is_given_up),
        cmocka_unit_test(a_command_ends_rows_of_projections),
        cmocka_unit_test(a_command_ends_rows_with_long_keys),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
