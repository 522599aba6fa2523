/* Following the log without polling: what wakes a follower, what it is given, and how it is ended. The port's
 * timeouts never end here unless a test lets them, so that only being told wakes anybody. */
#include "tests/store/store_fixture.h"

static const char schema[] = "CREATE TABLE notes (id TEXT PRIMARY KEY NOT NULL, n INTEGER);";
static dbk_port timeless;

static int wait_for_ever(void *ctx, dbk_cond *cond, dbk_mutex *mutex, int64_t timeout_ns)
{
    (void)ctx, (void)timeout_ns;
    return dbk_port_system()->cond_wait(NULL, cond, mutex, -1);
}

typedef struct follower {
    live_store *s;
    dbk_follower *handle;
    pthread_t thread;
    gate gate;     /* `waiting` counts the events */
    size_t enough; /* after so many `each` has had enough; 0: never */
    char last[2048];
    dbk_result result;
    bool run;
} follower;

static bool on_event(void *arg, const char *event, size_t size)
{
    follower *f = arg;
    pthread_mutex_lock(&f->gate.mutex);
    snprintf(f->last, sizeof f->last, "%.*s", (int)size, event);
    bool more = ++f->gate.waiting != f->enough;
    pthread_cond_broadcast(&f->gate.moved);
    pthread_mutex_unlock(&f->gate.mutex);
    return more;
}

static void *run(void *arg)
{
    follower *f = arg;
    dbk_error error = {0};
    f->result = dbk_follower_run(f->handle, on_event, f, &error);
    return NULL;
}

static void follow(follower *f, live_store *s, dbk_store *store, const dbk_log_range *range)
{
    dbk_error error = {0};
    *f = (follower){.s = s, .enough = f->enough};
    gate_init(&f->gate);
    assert_int_equal(dbk_follower_new(store, range, &f->handle, &error), DBK_OK);
    assert_int_equal(pthread_create(&f->thread, NULL, run, f), 0);
}

static void end(follower *f)
{
    pthread_join(f->thread, NULL);
    assert_int_equal(f->result, DBK_OK);
    dbk_follower_free(f->handle);
}

static void put(live_store *s, const char *key, const char *table)
{
    char json[256];
    dbk_text receipt;
    dbk_error error = {0};
    snprintf(json, sizeof json, "{\"id\":\"%s\",\"do\":\"put\",\"table\":\"%s\",\"key\":\"%s\",\"data\":{\"n\":1}}",
             key, table, key);
    assert_int_equal(dbk_do(s->store, json, strlen(json), &receipt, &error), DBK_OK);
    assert_non_null(strstr(receipt.data, "\"ok\":true"));
    dbk_text_free(&receipt);
}

static int setup(void **state)
{
    live_store *s = calloc(1, sizeof *s);
    live_start(s, schema);
    live_close(s);
    timeless = *dbk_port_system();
    timeless.cond_wait = wait_for_ever;
    s->options.port = &timeless;
    live_open(s);
    *state = s;
    return 0;
}

/* It sleeps when the first command comes, and again when the second does: each is there before the next is sent. */
static void an_entry_wakes_who_sleeps(void **state)
{
    live_store *s = *state;
    follower f = {0};
    follow(&f, s, s->store, &(dbk_log_range){0});
    for (unsigned i = 1; i <= 20; i++) {
        char key[8];
        snprintf(key, sizeof key, "k%u", i);
        put(s, key, "notes");
        gate_await(&f.gate, i);
        assert_int_equal(number_of(f.last, "position"), i);
    }
    dbk_follower_stop(f.handle);
    end(&f);
}

static void many_followers_are_all_woken_by_one_entry(void **state)
{
    live_store *s = *state;
    follower f[8] = {0};
    for (size_t i = 0; i < 8; i++) follow(&f[i], s, s->store, &(dbk_log_range){0});
    put(s, "one", "notes");
    for (size_t i = 0; i < 8; i++) gate_await(&f[i].gate, 1);
    for (size_t i = 0; i < 8; i++) dbk_follower_stop(f[i].handle), end(&f[i]);
}

static void what_was_there_comes_first_and_then_what_comes(void **state)
{
    live_store *s = *state;
    follower f = {.enough = 3};
    put(s, "a", "notes"), put(s, "b", "notes"), put(s, "c", "notes");
    follow(&f, s, s->store, &(dbk_log_range){.from = 2});
    gate_await(&f.gate, 2);
    put(s, "d", "notes");
    end(&f); /* `each` had enough */
    assert_int_equal(number_of(f.last, "position"), 4);
}

static void only_what_is_wanted_comes_and_it_ends_behind_to(void **state)
{
    live_store *s = *state;
    follower f = {0};
    follow(&f, s, s->store, &(dbk_log_range){.stream = "notes/b", .to = 4});
    put(s, "a", "notes"), put(s, "b", "notes"), put(s, "c", "notes"), put(s, "d", "notes");
    end(&f);
    assert_int_equal(f.gate.waiting, 1);
    assert_int_equal(number_of(f.last, "position"), 2);
}

static void one_that_was_stopped_before_does_not_begin(void **state)
{
    live_store *s = *state;
    dbk_error error = {0};
    follower f = {0};
    gate_init(&f.gate);
    put(s, "a", "notes");
    assert_int_equal(dbk_follower_new(s->store, &(dbk_log_range){0}, &f.handle, &error), DBK_OK);
    dbk_follower_stop(f.handle);
    assert_int_equal(dbk_follower_run(f.handle, on_event, &f, &error), DBK_OK);
    assert_int_equal(f.gate.waiting, 0);
    dbk_follower_free(f.handle);
}

static void backward_is_refused(void **state)
{
    live_store *s = *state;
    dbk_follower *handle;
    dbk_error error = {0};
    assert_int_equal(dbk_follower_new(s->store, &(dbk_log_range){.reverse = true}, &handle, &error), DBK_USAGE);
    assert_string_equal(error.text, "what is to come is not read backward");
}

static void on_answer(void *arg, const char *answer, size_t size)
{
    follower *f = arg;
    pthread_mutex_lock(&f->gate.mutex);
    snprintf(f->last, sizeof f->last, "%.*s", (int)size, answer);
    f->gate.waiting++;
    pthread_cond_broadcast(&f->gate.moved);
    pthread_mutex_unlock(&f->gate.mutex);
}

static void ask(live_store *s, follower *f, const char *json)
{
    dbk_error error = {0};
    assert_int_equal(dbk_send(s->store, json, strlen(json), on_answer, f, &error), DBK_OK);
}

/* One request waits for the log; another read and a command are answered meanwhile. */
static void a_request_that_waits_holds_nobody_up(void **state)
{
    live_store *s = *state;
    follower waits = {0}, reads = {0};
    gate_init(&waits.gate), gate_init(&reads.gate);
    ask(s, &waits, "{\"do\":\"log\",\"from\":2,\"wait_ms\":60000}");
    ask(s, &reads, "{\"do\":\"list\",\"table\":\"notes\"}");
    gate_await(&reads.gate, 1);
    put(s, "a", "notes");
    assert_int_equal(waits.gate.waiting, 0);
    put(s, "b", "notes");
    gate_await(&waits.gate, 1);
    assert_non_null(strstr(waits.last, "\"subject\":\"notes/b\""));
    assert_int_equal(number_of(waits.last, "position"), 2);
}

static void what_waits_is_answered_when_the_store_closes(void **state)
{
    live_store *s = *state;
    follower waits = {0};
    gate_init(&waits.gate);
    ask(s, &waits, "{\"do\":\"log\",\"wait_ms\":60000}");
    live_close(s);
    assert_int_equal(waits.gate.waiting, 1);
    assert_string_equal(waits.last, "{\"ok\":true,\"events\":[],\"position\":0}");
    live_open(s);
}

static void the_time_of_a_request_ends(void **state)
{
    live_store *s = *state;
    dbk_text answer;
    dbk_error error = {0};
    live_close(s);
    s->options.port = dbk_port_system();
    live_open(s);
    static const char request[] = "{\"do\":\"log\",\"wait_ms\":1}";
    assert_int_equal(dbk_do(s->store, request, sizeof request - 1, &answer, &error), DBK_OK);
    assert_string_equal(answer.data, "{\"ok\":true,\"events\":[],\"position\":0}");
    dbk_text_free(&answer);
}

static void a_wait_that_makes_no_sense_is_refused(void **state)
{
    live_store *s = *state;
    static const char *const requests[] = {"{\"do\":\"log\",\"wait_ms\":60001}", "{\"do\":\"log\",\"wait_ms\":\"1\"}",
                                           "{\"do\":\"log\",\"wait_ms\":1,\"reverse\":true}"};
    for (size_t i = 0; i < 3; i++) {
        dbk_text answer;
        dbk_error error = {0};
        assert_int_equal(dbk_do(s->store, requests[i], strlen(requests[i]), &answer, &error), DBK_OK);
        assert_non_null(strstr(answer.data, "\"error\":\"bad_command\""));
        dbk_text_free(&answer);
    }
}

/* The writer of another process tells nobody: the reader looks, with the machine's own timeouts. */
static void a_reader_beside_the_writer_sees_what_comes(void **state)
{
    live_store *s = *state;
    dbk_engine_options options = s->options;
    dbk_engine *engine;
    dbk_store *reader;
    dbk_error error = {0};
    follower f = {0};
    options.read_only = true;
    options.port = dbk_port_system();
    assert_int_equal(dbk_engine_open(s->path, &options, &engine, &error), DBK_OK);
    assert_int_equal(dbk_engine_wrap(engine, &reader, &error), DBK_OK);
    follow(&f, s, reader, &(dbk_log_range){0});
    put(s, "a", "notes");
    gate_await(&f.gate, 1);
    put(s, "b", "notes");
    gate_await(&f.gate, 2);
    dbk_follower_stop(f.handle);
    end(&f);
    dbk_close(reader);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(an_entry_wakes_who_sleeps, setup, live_teardown),
        cmocka_unit_test_setup_teardown(many_followers_are_all_woken_by_one_entry, setup, live_teardown),
        cmocka_unit_test_setup_teardown(what_was_there_comes_first_and_then_what_comes, setup, live_teardown),
        cmocka_unit_test_setup_teardown(only_what_is_wanted_comes_and_it_ends_behind_to, setup, live_teardown),
        cmocka_unit_test_setup_teardown(one_that_was_stopped_before_does_not_begin, setup, live_teardown),
        cmocka_unit_test_setup_teardown(backward_is_refused, setup, live_teardown),
        cmocka_unit_test_setup_teardown(a_request_that_waits_holds_nobody_up, setup, live_teardown),
        cmocka_unit_test_setup_teardown(what_waits_is_answered_when_the_store_closes, setup, live_teardown),
        cmocka_unit_test_setup_teardown(the_time_of_a_request_ends, setup, live_teardown),
        cmocka_unit_test_setup_teardown(a_wait_that_makes_no_sense_is_refused, setup, live_teardown),
        cmocka_unit_test_setup_teardown(a_reader_beside_the_writer_sees_what_comes, setup, live_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
