/* Receipts by stage: told in order, each no more than it has, the failure behind an early one too. */
#include "tests/store/faulty_port.h"

#include "store/store.h"

#include <sqlite3.h>
#include <time.h>

static const char schema[] = "CREATE TABLE notes (id TEXT PRIMARY KEY NOT NULL, title TEXT);";
#define PUT(id, more)                                                                                                  \
    "{\"id\":\"" id "\",\"do\":\"put\",\"table\":\"notes\",\"key\":\"" id "\",\"data\":{\"title\":\"T\"}" more "}"

enum { CALLS_MAX = 8 };
typedef struct call {
    dbk_stage stage;
    bool last;
    uint64_t log_position, model_position;
    char receipt[600];
} call;

typedef struct stages {
    engine_fixture f;
    faulty_port faults;
    dbk_store *store;
    _Atomic bool breaks_commit;
    call calls[CALLS_MAX];
    _Atomic int count; /* counted when the call is whole: the worker tells, the test looks */
} stages;

static void on_stage(void *arg, dbk_stage stage, const char *receipt, size_t size, bool last)
{
    stages *s = arg;
    dbk_model_state state;
    assert_true(s->count < CALLS_MAX);
    call *c = &s->calls[s->count];
    dbk_model_get_state(dbk_engine_model(s->f.engine), &state);
    *c = (call){.stage = stage,
                .last = last,
                .log_position = dbk_log_position(dbk_engine_log(s->f.engine)),
                .model_position = state.position};
    assert_true(size < sizeof c->receipt && receipt[size] == 0);
    memcpy(c->receipt, receipt, size + 1);
    s->count++;
}

/* The commit of the rows fails: its transaction is gone. */
static int at_point(void *arg, dbk_engine *engine, const char *point, dbk_slice id)
{
    stages *s = arg;
    (void)id;
    if (s->breaks_commit && strcmp(point, "logged") == 0) {
        s->breaks_commit = false;
        (void)sqlite3_exec(dbk_model_handle(dbk_engine_model(engine)), "ROLLBACK", NULL, NULL, NULL);
    }
    return 0;
}

static stages *begin(bool threads)
{
    stages *s = calloc(1, sizeof *s);
    fixture_start(&s->f, schema, NULL);
    dbk_engine_close(s->f.engine);
    faulty_init(&s->faults);
    s->f.options.port = &s->faults.port;
    s->f.options.log.no_direct = true;
    s->f.options.no_threads = !threads;
    s->f.options.hook = at_point;
    s->f.options.hook_arg = s;
    fixture_open(&s->f);
    assert_int_equal(dbk_engine_wrap(s->f.engine, &s->store, &s->f.error), DBK_OK);
    return s;
}

static void end(stages *s)
{
    dbk_close(s->store);
    s->f.engine = NULL;
    fixture_stop(&s->f);
    free(s);
}

static void send(stages *s, const char *json)
{
    s->count = 0;
    assert_int_equal(dbk_send_staged(s->store, json, strlen(json), on_stage, s, &s->f.error), DBK_OK);
}

static void expect_call(stages *s, int index, dbk_stage stage, bool last, const char *part)
{
    assert_true(index < s->count);
    const call *c = &s->calls[index];
    if (!strstr(c->receipt, part)) print_error("%s\n", c->receipt);
    assert_non_null(strstr(c->receipt, part));
    assert_int_equal(c->stage, stage);
    assert_int_equal(c->last, last);
}

static void expect_answer(stages *s, const char *json, const char *part, const char *never)
{
    dbk_text answer = {0};
    assert_int_equal(dbk_do(s->store, json, strlen(json), &answer, &s->f.error), DBK_OK);
    if (!strstr(answer.data, part)) print_error("%s\n%s\n", json, answer.data);
    assert_non_null(strstr(answer.data, part));
    if (never) assert_null(strstr(answer.data, never));
    dbk_text_free(&answer);
}

static void each_stage_is_told_once_and_claims_no_more(void **state)
{
    (void)state;
    stages *s = begin(false);
    send(s, PUT("a", ""));
    assert_int_equal(s->count, 3);
    expect_call(s, 0, DBK_STAGE_ACCEPTED, false, "\"position\":1,");
    expect_call(s, 0, DBK_STAGE_ACCEPTED, false, "\"durable\":false}");
    assert_int_equal(s->calls[0].log_position, 0);
    assert_int_equal(s->calls[0].model_position, 0);
    expect_call(s, 1, DBK_STAGE_DURABLE, false, "\"projected\":false}");
    assert_int_equal(s->calls[1].log_position, 1);
    assert_int_equal(s->calls[1].model_position, 0);
    expect_call(s, 2, DBK_STAGE_PROJECTED, true, "\"cursor\":[\"t\",1,1]}");
    assert_int_equal(s->calls[2].model_position, 1);
    end(s);
}

static void what_brings_no_new_entry_is_told_once(void **state)
{
    (void)state;
    stages *s = begin(false);
    send(s, PUT("a", ""));
    send(s, PUT("a", ""));
    assert_int_equal(s->count, 1);
    expect_call(s, 0, DBK_STAGE_PROJECTED, true, "\"again\":true");
    send(s, "{\"id\":\"x\",\"do\":\"put\",\"table\":\"none\"}");
    assert_int_equal(s->count, 1);
    expect_call(s, 0, DBK_STAGE_FAILED, true, "\"unknown_table\"");
    send(s, "{\"id\":\"y\",\"do\":\"delete\",\"table\":\"notes\",\"key\":\"none\"}");
    expect_call(s, 0, DBK_STAGE_FAILED, true, "\"not_found\"");
    end(s);
}

static void an_array_is_told_as_a_whole(void **state)
{
    (void)state;
    stages *s = begin(false);
    send(s, "[" PUT("a", "") ",{\"id\":\"x\",\"do\":\"put\",\"table\":\"none\"}," PUT("b", "") "]");
    assert_int_equal(s->count, 3);
    expect_call(s, 0, DBK_STAGE_ACCEPTED, false, "\"durable\":false},{\"id\":\"x\",\"ok\":false");
    expect_call(s, 0, DBK_STAGE_ACCEPTED, false, "\"durable\":false}]");
    expect_call(s, 2, DBK_STAGE_PROJECTED, true, "\"id\":\"b\",\"ok\":true");
    end(s);
}

static void a_sync_that_fails_after_the_first_stage_is_told(void **state)
{
    (void)state;
    stages *s = begin(false);
    s->faults.syncs_only = s->faults.for_ever = true;
    s->faults.fail_at = 1;
    send(s, PUT("a", ""));
    assert_int_equal(s->count, 2);
    expect_call(s, 0, DBK_STAGE_ACCEPTED, false, "\"durable\":false}");
    expect_call(s, 1, DBK_STAGE_FAILED, true, "\"outcome\":\"unknown\"");
    expect_call(s, 1, DBK_STAGE_FAILED, true, "\"error\":\"poisoned\"");
    faulty_calm(&s->faults);
    end(s);
}

static void a_write_without_room_after_the_first_stage_is_told(void **state)
{
    (void)state;
    stages *s = begin(false);
    s->faults.writes_only = s->faults.for_ever = true;
    s->faults.error = ENOSPC;
    s->faults.fail_at = 1;
    send(s, PUT("a", ""));
    assert_int_equal(s->count, 2);
    expect_call(s, 1, DBK_STAGE_FAILED, true, "\"outcome\":\"none\"");
    expect_call(s, 1, DBK_STAGE_FAILED, true, "\"error\":\"no_space\"");
    faulty_calm(&s->faults);
    send(s, PUT("a", ""));
    expect_call(s, 2, DBK_STAGE_PROJECTED, true, "\"position\":1,");
    end(s);
}

/* The early receipt is true in the end: what follows it in the queue comes after it. */
static void who_waits_for_accepted_is_answered_before_the_sync(void **state)
{
    for (int threads = 0; threads < 2; threads++) {
        stages *s = begin(threads != 0);
        (void)state;
        expect_answer(s, PUT("a", ",\"wait\":\"accepted\""), "\"durable\":false}", NULL);
        expect_answer(s, "[" PUT("b", ",\"wait\":\"accepted\"") "," PUT("c", "") "]", "\"ok\":true",
                      "\"durable\":false");
        expect_answer(s, PUT("d", ",\"wait\":\"durable\""), "\"position\":4,", "\"durable\"");
        expect_answer(s, "{\"do\":\"query\",\"sql\":\"SELECT count(*) FROM notes\"}", "[[4]]", NULL);
        expect_answer(s, PUT("a", ",\"wait\":\"accepted\""), "\"again\":true", "\"durable\"");
        expect_answer(s, PUT("e", ",\"wait\":\"soon\""), "\"bad_command\"", NULL);
        end(s);
    }
}

static void who_waits_for_projected_is_held_until_it_shows(void **state)
{
    (void)state;
    stages *s = begin(true);
    s->breaks_commit = true;
    expect_answer(s, PUT("a", ""), "\"projected\":false}", NULL);
    expect_answer(s, PUT("b", ""), "\"ok\":true", "\"projected\"");
    s->breaks_commit = true;
    expect_answer(s, PUT("c", ",\"wait\":\"projected\""), "\"position\":3,", "\"projected\"");
    expect_answer(s, "{\"do\":\"query\",\"sql\":\"SELECT count(*) FROM notes\"}", "[[3]]", NULL);
    end(s);
}

/* What is held when the store closes says what it has. */
static void a_held_receipt_ends_with_the_store(void **state)
{
    (void)state;
    stages *s = begin(true);
    s->breaks_commit = true;
    send(s, PUT("a", ""));
    for (int i = 0; i < 20000 && s->count < 2; i++) nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    dbk_engine *engine = s->f.engine;
    assert_non_null(engine);
    dbk_close(s->store);
    assert_int_equal(s->count, 3);
    assert_true(s->calls[2].last);
    s->f.engine = NULL;
    fixture_stop(&s->f);
    free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_stage_is_told_once_and_claims_no_more),
        cmocka_unit_test(what_brings_no_new_entry_is_told_once),
        cmocka_unit_test(an_array_is_told_as_a_whole),
        cmocka_unit_test(a_sync_that_fails_after_the_first_stage_is_told),
        cmocka_unit_test(a_write_without_room_after_the_first_stage_is_told),
        cmocka_unit_test(who_waits_for_accepted_is_answered_before_the_sync),
        cmocka_unit_test(who_waits_for_projected_is_held_until_it_shows),
        cmocka_unit_test(a_held_receipt_ends_with_the_store),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
