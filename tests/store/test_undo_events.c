/* Events of the app that are undone by what "-- undo <type>" says. */
#include "tests/store/ask_fixture.h"

#include "store/engine.h"

static const dbk_source sources[] = {
    {"schema.sql",
     {(const uint8_t *)"CREATE TABLE jobs (id TEXT PRIMARY KEY NOT NULL, status TEXT, seen INTEGER);\n"
                       "CREATE TABLE runs (id TEXT PRIMARY KEY NOT NULL, job TEXT REFERENCES jobs(id), "
                       "pct INTEGER);\n"
                       "CREATE TABLE tallies (id TEXT PRIMARY KEY NOT NULL, n INTEGER, note TEXT, marks TEXT);\n",
      0}},
    {"projections.sql",
     {(const uint8_t *)"-- on run.begun\n"
                       "INSERT INTO runs(id, job, pct) VALUES ($id, $job, 0);\n"
                       "UPDATE jobs SET seen = ifnull(seen, 0) + 1 WHERE id = $job;\n"
                       "-- on run.gone\n"
                       "DELETE FROM runs WHERE id = $id;\n"
                       "UPDATE jobs SET seen = seen - 1 WHERE id = $job;\n"
                       "-- on run.moved\n"
                       "UPDATE runs SET pct = pct + $by WHERE id = $id;\n",
      0}},
    {"commands.sql",
     {(const uint8_t *)"-- command run.begin(job TEXT)\n"
                       "-- put jobs\n"
                       "SELECT :job AS id, 'RUNNING' AS status;\n"
                       "SELECT 'run.begun' AS type, 'run/' || :job AS stream, "
                       "json_object('id', 'r' || :job, 'job', :job) AS data;\n"
                       "-- undo run.begun\n"
                       "SELECT 'run.gone' AS type, :stream AS stream, :data AS data;\n"
                       "-- undo run.gone\n"
                       "SELECT 'run.begun' AS type, :stream AS stream, :data AS data;\n"
                       "-- undo run.moved\n"
                       "-- let now\n"
                       "SELECT pct FROM runs WHERE id = :data->>'id';\n"
                       "-- require 'run {stream} is at {now} only'\n"
                       "SELECT 1 WHERE :now >= (:data->>'by');\n"
                       "SELECT :type AS type, :stream AS stream, json_set(:data, '$.by', -(:data->>'by')) AS data;\n"
                       "-- undo run.noted\n"
                       "-- else 'a note stays'\n"
                       "SELECT 'x' AS type, 'x' AS stream WHERE 0;\n",
      0}},
    {"app.json",
     {(const uint8_t *)"{\"daybook\":1,\"name\":\"t\",\"version\":2,"
                       "\"tables\":{\"jobs\":{\"derived\":[\"seen\"]},\"tallies\":{\"sync\":{\"conflict\":{\"n\":"
                       "\"counter\",\"marks\":\"set\"}}}}}",
      0}},
    {"upcasts.sql",
     {(const uint8_t *)"-- upcast run.moved 1 -> 2\n"
                       "SELECT json_set(:data, '$.by', ifnull(:data->>'by', :data->>'pct'));\n",
      0}},
};

static int setup(void **state)
{
    static engine_fixture f;
    dbk_source read[5];
    for (size_t i = 0; i < 5; i++)
        read[i] = (dbk_source){sources[i].name, dbk_slice_text((const char *)sources[i].text.data)};
    fixture_start_with(&f, definition_of_sources(read, 5));
    *state = &f;
    return 0;
}

static int teardown(void **state)
{
    fixture_stop(*state);
    return 0;
}

static void must_undo(engine_fixture *f, const char *command, const char *part)
{
    dbk_buffer receipt;
    dbk_buffer_init(&receipt, dbk_port_system());
    f->now_ms += 1000;
    assert_int_equal(dbk_engine_undo(f->engine, dbk_slice_text(command), f->now_ms, &receipt, &f->error), DBK_OK);
    if (!strstr(dbk_buffer_text(&receipt), part)) print_error("%s\n%s\n%s\n", command, part, dbk_buffer_text(&receipt));
    assert_non_null(strstr(dbk_buffer_text(&receipt), part));
    dbk_buffer_release(&receipt);
}

static void answers(engine_fixture *f, const char *sql, const char *part)
{
    char request[400];
    snprintf(request, sizeof request, "{\"do\":\"query\",\"sql\":\"%s\"}", sql);
    char *answer = ask_of(f->engine, request);
    if (!strstr(answer, part)) print_error("%s\n%s\n%s\n", sql, part, answer);
    assert_non_null(strstr(answer, part));
    free(answer);
}

/* The entry put a job and began a run of it: the run goes first, then the job; and both come back. */
static void events_and_rows_of_one_entry_go_back_together(void **state)
{
    engine_fixture *f = *state;
    must_answer(f, "{\"id\":\"1\",\"do\":\"run.begin\",\"args\":{\"job\":\"7\"}}", "\"ok\":true");
    answers(f, "SELECT seen, count(*) FROM jobs JOIN runs ON job = jobs.id", "[1,1]");
    must_undo(f, "{\"id\":\"u\",\"do\":\"undo\",\"position\":1}", "\"ok\":true");
    answers(f, "SELECT (SELECT count(*) FROM jobs), (SELECT count(*) FROM runs)", "[0,0]");
    must_answer(f, "{\"id\":\"2\",\"do\":\"put\",\"table\":\"jobs\",\"key\":\"8\",\"data\":{}}", "\"ok\":true");
    must_undo(f, "{\"id\":\"u\",\"do\":\"undo\",\"position\":1}", "\"again\":true");
}

/* Its row stays because another one wrote to it, so what they added to it stays too, whether or not another column goes
 * back. */
static void a_row_that_stays_keeps_what_was_added(void **state)
{
    engine_fixture *f = *state;
    static const char *const data[] = {"{\"n\":{\"+\":2}}", "{\"note\":\"x\"}", "{\"note\":\"y\"}"};
    must_answer(f,
                "{\"id\":\"0\",\"do\":\"put\",\"table\":\"tallies\",\"key\":\"t\",\"data\":{\"n\":5,\"note\":\"a\"}}",
                "\"position\":1");
    for (int i = 0; i < 3; i++) {
        char command[160];
        snprintf(command, sizeof command,
                 "{\"id\":\"p%d\",\"do\":\"patch\",\"table\":\"tallies\",\"key\":\"t\",\"data\":%s}", i, data[i]);
        must_answer(f, command, "\"ok\":true");
    }
    must_undo(f, "{\"id\":\"u\",\"do\":\"undo\",\"position\":[1,2,4]}", "\"reason\":\"others wrote to it\"");
    answers(f, "SELECT n, note FROM tallies", "[7,\"x\"]");
}

static void batch(engine_fixture *f, const char *id, const char *one, const char *other)
{
    char command[320];
    snprintf(command, sizeof command,
             "{\"id\":\"%s\",\"do\":\"batch\",\"commands\":["
             "{\"do\":\"patch\",\"table\":\"tallies\",\"key\":\"t\",\"data\":%s},"
             "{\"do\":\"patch\",\"table\":\"tallies\",\"key\":\"t\",\"data\":%s}]}",
             id, one, other);
    must_answer(f, command, "\"ok\":true");
}

/* An entry whose second event takes back what its first changed has written the column, though before and after it the
 * row is the same. */
static void who_changed_a_set_and_changed_it_back_wrote_it(void **state)
{
    engine_fixture *f = *state;
    must_answer(f, "{\"id\":\"1\",\"do\":\"put\",\"table\":\"tallies\",\"key\":\"t\",\"data\":{\"marks\":[\"a\"]}}",
                "\"position\":1");
    must_answer(
        f, "{\"id\":\"2\",\"do\":\"patch\",\"table\":\"tallies\",\"key\":\"t\",\"data\":{\"marks\":[],\"note\":\"x\"}}",
        "\"position\":2");
    batch(f, "3", "{\"marks\":{\"add\":[\"b\"],\"remove\":[]}}", "{\"marks\":{\"add\":[],\"remove\":[\"b\"]}}");
    must_undo(f, "{\"id\":\"u\",\"do\":\"undo\",\"position\":2}",
              "\"columns\":[\"marks\"],\"reason\":\"written since\"");
    answers(f, "SELECT marks, note FROM tallies", "[\"[]\",null]");
}

/* So the row has two writers, and the undo of the one who made it lets it stay. */
static void a_row_stays_that_another_counted_up_and_down(void **state)
{
    engine_fixture *f = *state;
    must_answer(f, "{\"id\":\"1\",\"do\":\"put\",\"table\":\"tallies\",\"key\":\"t\",\"data\":{\"n\":5}}",
                "\"position\":1");
    batch(f, "2", "{\"n\":{\"+\":2}}", "{\"n\":{\"+\":-2}}");
    must_undo(f, "{\"id\":\"u\",\"do\":\"undo\",\"position\":1}",
              "\"columns\":[\"n\"],\"reason\":\"others wrote to it\"");
    answers(f, "SELECT n FROM tallies", "[5]");
}

/* Two at once: the later one is taken back first, and what the app requires is asked of the rows as they are. */
static void the_latest_is_taken_back_first(void **state)
{
    engine_fixture *f = *state;
    must_answer(f, "{\"id\":\"0\",\"do\":\"put\",\"table\":\"jobs\",\"key\":\"7\",\"data\":{}}", "\"ok\":true");
    must_answer(f,
                "{\"id\":\"1\",\"do\":\"append\",\"stream\":\"run/"
                "7\",\"type\":\"run.begun\",\"data\":{\"id\":\"r\",\"job\":\"7\"}}",
                "\"ok\":true");
    must_answer(
        f,
        "{\"id\":\"2\",\"do\":\"append\",\"stream\":\"run/7\",\"type\":\"run.moved\",\"data\":{\"id\":\"r\",\"by\":4}}",
        "\"ok\":true");
    must_answer(f,
                "{\"id\":\"3\",\"do\":\"append\",\"stream\":\"run/"
                "7\",\"type\":\"run.moved\",\"data\":{\"id\":\"r\",\"by\":-3}}",
                "\"ok\":true");
    must_undo(f, "{\"id\":\"a\",\"do\":\"undo\",\"position\":3}", "run run/7 is at 1 only");
    answers(f, "SELECT pct FROM runs", "[1]");
    must_undo(f, "{\"id\":\"b\",\"do\":\"undo\",\"position\":[3,2,4]}", "\"position\":5");
    answers(f, "SELECT (SELECT seen FROM jobs), (SELECT count(*) FROM runs)", "[0,0]");
    must_undo(f, "{\"id\":\"c\",\"do\":\"undo\",\"position\":5}", "\"position\":6");
    answers(f, "SELECT pct, (SELECT seen FROM jobs) FROM runs", "[1,1]");
}

static void counts(engine_fixture *f, const char *pct)
{
    answers(f, "SELECT pct FROM runs", pct);
}

/* An event goes back while its entry is the last that said it, like a column while its entry is the last writer. */
static void what_was_taken_back_is_not_taken_back_twice(void **state)
{
    engine_fixture *f = *state;
    must_answer(f, "{\"id\":\"1\",\"do\":\"run.begin\",\"args\":{\"job\":\"7\"}}", "\"ok\":true");
    for (int i = 2; i < 4; i++) {
        char command[200];
        snprintf(command, sizeof command,
                 "{\"id\":\"%d\",\"do\":\"append\",\"stream\":\"run/7\",\"type\":\"run.moved\","
                 "\"data\":{\"id\":\"r7\",\"by\":%d}}",
                 i, i * 10);
        must_answer(f, command, "\"ok\":true");
    }
    must_undo(f, "{\"id\":\"u4\",\"do\":\"undo\",\"position\":2}", "\"position\":4");
    counts(f, "[30]");
    must_undo(f, "{\"id\":\"u5\",\"do\":\"undo\",\"position\":2}",
              "\"kept\":[{\"stream\":\"run/7\",\"type\":\"run.moved\",\"reason\":\"undone already\"}]");
    counts(f, "[30]");
    must_undo(f, "{\"id\":\"u6\",\"do\":\"undo\",\"position\":4}", "\"position\":6"); /* the redo */
    counts(f, "[50]");
    must_undo(f, "{\"id\":\"u7\",\"do\":\"undo\",\"position\":4}", "\"reason\":\"undone already\"");
    must_undo(f, "{\"id\":\"u8\",\"do\":\"undo\",\"position\":2}", "\"reason\":\"said again since\"");
    counts(f, "[50]");
    must_undo(f, "{\"id\":\"u9\",\"do\":\"undo\",\"position\":[3,6]}", "\"position\":9");
    counts(f, "[0]");
    must_undo(f, "{\"id\":\"u10\",\"do\":\"undo\",\"position\":3}", "\"reason\":\"undone already\"");
    must_undo(f, "{\"id\":\"u11\",\"do\":\"undo\",\"position\":6}", "\"reason\":\"undone already\"");
    counts(f, "[0]");
    must_undo(f, "{\"id\":\"u12\",\"do\":\"undo\",\"position\":9}", "\"position\":12");
    counts(f, "[50]");
    must_undo(f, "{\"id\":\"u13\",\"do\":\"undo\",\"position\":[12,9,3]}", "\"position\":13");
    counts(f, "[20]"); /* as before the first of them */
}

static void what_has_no_event_to_say_is_refused(void **state)
{
    engine_fixture *f = *state;
    must_answer(f, "{\"id\":\"1\",\"do\":\"append\",\"stream\":\"run/7\",\"type\":\"run.noted\",\"data\":{}}",
                "\"ok\":true");
    must_answer(f, "{\"id\":\"2\",\"do\":\"append\",\"stream\":\"run/7\",\"type\":\"run.other\",\"data\":{}}",
                "\"ok\":true");
    must_undo(f, "{\"id\":\"a\",\"do\":\"undo\",\"position\":1}", "\"message\":\"a note stays\"");
    must_undo(f, "{\"id\":\"b\",\"do\":\"undo\",\"position\":2}", "'-- undo run.other' in commands.sql");
    must_refuse(f, "{\"id\":\"3\",\"do\":\"run.begun\",\"args\":{}}", "unknown_command", "run.begun");
}

/* Redo: the opposite names its own opposite. */
static void an_undone_event_is_said_again_by_the_redo(void **state)
{
    engine_fixture *f = *state;
    must_answer(f, "{\"id\":\"1\",\"do\":\"run.begin\",\"args\":{\"job\":\"7\"}}", "\"ok\":true");
    must_undo(f, "{\"id\":\"u\",\"do\":\"undo\",\"position\":1}", "\"ok\":true");
    must_undo(f, "{\"id\":\"r\",\"do\":\"undo\",\"position\":2}", "\"ok\":true");
    answers(f, "SELECT id, job, pct FROM runs", "[\"r7\",\"7\",0]");
}

/* ---- undos of other devices */

/* One event by another device; `base`: it is an undo, and takes that entry's back. */
static void hear_event(engine_fixture *f, uint8_t author, int64_t ms, dbk_event event, const dbk_entry_id *base)
{
    uint64_t logged = 0, parked = 0;
    dbk_buffer events, origin;
    dbk_entry entry = {.id = {{author}, 1, 1}, .event_count = 1, .hlc = (uint64_t)ms << 16, .time_ms = ms};
    memset(entry.lineage, 'l', sizeof entry.lineage);
    memcpy(entry.definition, f->definition->hash, sizeof entry.definition);
    entry.flags = base ? DBK_ENTRY_UNDO : DBK_ENTRY_APP;
    dbk_buffer_init(&events, dbk_port_system());
    dbk_buffer_init(&origin, dbk_port_system());
    event.type_version = 2;
    event.has_base = base != NULL;
    if (base) event.base = *base;
    dbk_event_encode(&events, &event);
    entry.events = dbk_buffer_slice(&events);
    dbk_entry_encode(&origin, &entry);
    dbk_slice fact = dbk_buffer_slice(&origin);
    assert_int_equal(dbk_engine_import(f->engine, &fact, 1, f->now_ms, &logged, &parked, &f->error), DBK_OK);
    assert_int_equal(logged, 1);
    dbk_buffer_release(&events);
    dbk_buffer_release(&origin);
}

static void hear(engine_fixture *f, uint8_t author, int64_t ms, const char *run, int by, const dbk_entry_id *base)
{
    char stream[24], data[64];
    snprintf(stream, sizeof stream, "run/%s", run);
    snprintf(data, sizeof data, "{\"by\":%d,\"id\":\"r%s\"}", by, run);
    hear_event(f, author, ms,
               (dbk_event){
                   .stream = dbk_slice_text(stream), .type = dbk_slice_text("run.moved"), .data = dbk_slice_text(data)},
               base);
}

static void move(engine_fixture *f, const char *id, const char *run, int by)
{
    char command[200];
    snprintf(command, sizeof command,
             "{\"id\":\"%s\",\"do\":\"append\",\"stream\":\"run/%s\",\"type\":\"run.moved\","
             "\"data\":{\"id\":\"r%s\",\"by\":%d}}",
             id, run, run, by);
    must_answer(f, command, "\"ok\":true");
}

/* The undo was heard of before what it takes back: it has the lower position. */
static void an_undo_counts_where_it_was_logged_before_its_base(void **state)
{
    engine_fixture *f = *state;
    dbk_entry_id moved = {{7}, 1, 1};
    must_answer(f, "{\"id\":\"1\",\"do\":\"run.begin\",\"args\":{\"job\":\"7\"}}", "\"ok\":true");
    must_answer(f, "{\"id\":\"2\",\"do\":\"put\",\"table\":\"jobs\",\"key\":\"x\",\"data\":{}}", "\"ok\":true");
    hear(f, 8, f->now_ms + 20000, "7", -20, &moved);
    hear(f, 7, f->now_ms + 10000, "7", 20, NULL);
    counts(f, "[0]");
    f->now_ms += 30000;
    must_undo(f, "{\"id\":\"u\",\"do\":\"undo\",\"position\":4}", "\"reason\":\"undone already\"");
    counts(f, "[0]");
}

/* An undo of two entries is a link of two chains; another device has taken back one of them since. */
static void an_undo_of_several_goes_on_with_the_chain_of_each(void **state)
{
    engine_fixture *f = *state;
    must_answer(f, "{\"id\":\"1\",\"do\":\"run.begin\",\"args\":{\"job\":\"7\"}}", "\"ok\":true");
    must_answer(f, "{\"id\":\"2\",\"do\":\"run.begin\",\"args\":{\"job\":\"8\"}}", "\"ok\":true");
    move(f, "3", "7", 20);
    move(f, "4", "8", 30);
    must_undo(f, "{\"id\":\"u5\",\"do\":\"undo\",\"position\":[4,3]}", "\"position\":5");
    must_undo(f, "{\"id\":\"u6\",\"do\":\"undo\",\"position\":5}", "\"position\":6");
    answers(f, "SELECT pct FROM runs ORDER BY id", "[20],[30]");
    dbk_entry_id moved;
    assert_int_equal(dbk_log_entry_id_at(dbk_engine_log(f->engine), 3, &moved, &f->error), DBK_OK);
    hear(f, 8, f->now_ms + 1000, "7", -20, &moved);
    answers(f, "SELECT pct FROM runs ORDER BY id", "[0],[30]");
    f->now_ms += 2000;
    must_undo(f, "{\"id\":\"u8\",\"do\":\"undo\",\"position\":6}",
              "\"kept\":[{\"stream\":\"run/7\",\"type\":\"run.moved\",\"reason\":\"undone already\"}]");
    answers(f, "SELECT pct FROM runs ORDER BY id", "[0],[0]");
}

/* What another device removed from a set was gone before it: the column is still the writer's who removed it first. */
static void who_removed_what_was_gone_wrote_nothing(void **state)
{
    engine_fixture *f = *state;
    must_answer(f, "{\"id\":\"1\",\"do\":\"put\",\"table\":\"tallies\",\"key\":\"t\",\"data\":{\"marks\":[\"a\"]}}",
                "\"position\":1");
    must_answer(f, "{\"id\":\"2\",\"do\":\"patch\",\"table\":\"tallies\",\"key\":\"t\",\"data\":{\"marks\":[]}}",
                "\"position\":2");
    hear_event(f, 8, f->now_ms + 1000,
               (dbk_event){.stream = dbk_slice_text("tallies/t"),
                           .type = dbk_slice_text("tallies.patched"),
                           .data = dbk_slice_text("{\"marks\":{\"add\":[],\"remove\":[\"a\"]},\"note\":\"x\"}")},
               NULL);
    f->now_ms += 2000;
    must_undo(f, "{\"id\":\"u\",\"do\":\"undo\",\"position\":2}", "\"kept\":[]");
    answers(f, "SELECT marks->>0, note FROM tallies", "[\"a\",\"x\"]");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(events_and_rows_of_one_entry_go_back_together, setup, teardown),
        cmocka_unit_test_setup_teardown(a_row_that_stays_keeps_what_was_added, setup, teardown),
        cmocka_unit_test_setup_teardown(who_changed_a_set_and_changed_it_back_wrote_it, setup, teardown),
        cmocka_unit_test_setup_teardown(a_row_stays_that_another_counted_up_and_down, setup, teardown),
        cmocka_unit_test_setup_teardown(the_latest_is_taken_back_first, setup, teardown),
        cmocka_unit_test_setup_teardown(what_was_taken_back_is_not_taken_back_twice, setup, teardown),
        cmocka_unit_test_setup_teardown(what_has_no_event_to_say_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(an_undone_event_is_said_again_by_the_redo, setup, teardown),
        cmocka_unit_test_setup_teardown(an_undo_counts_where_it_was_logged_before_its_base, setup, teardown),
        cmocka_unit_test_setup_teardown(an_undo_of_several_goes_on_with_the_chain_of_each, setup, teardown),
        cmocka_unit_test_setup_teardown(who_removed_what_was_gone_wrote_nothing, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
