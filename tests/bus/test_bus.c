/* Commands over the bus: answers, order, many clients, restarts, what a bad peer can do. */
#include "bus_raw.h"

#include <nng/nng.h>

static void put_text(char *out, size_t size, const char *who, int i)
{
    snprintf(out, size, "{\"id\":\"%s-%d\",\"do\":\"put\",\"table\":\"notes\",\"key\":\"%s\",\"data\":{\"n\":%d}}", who,
             i, who, i);
}

static void a_command_comes_back_with_its_receipt(void **state)
{
    dbk_store *client = served_connect(*state);
    does(client, "{\"id\":\"c1\",\"do\":\"put\",\"table\":\"notes\",\"key\":\"n1\",\"data\":{\"title\":\"Hello\"}}",
         "\"ok\":true");
    does(client, "{\"do\":\"get\",\"table\":\"notes\",\"key\":\"n1\"}", "Hello");
    does(client, "{\"id\":\"c1\",\"do\":\"put\",\"table\":\"notes\",\"key\":\"n1\",\"data\":{\"title\":\"Hello\"}}",
         "\"again\":true");
    does(client, "nonsense", "bad_json");
    dbk_close(client);
}

static void an_array_comes_back_as_an_array_in_order(void **state)
{
    dbk_error error = {0};
    dbk_text receipts = {0};
    char json[4096] = "[", id[32];
    dbk_store *client = served_connect(*state);
    for (int i = 0; i < 20; i++) {
        if (i) strcat(json, ",");
        put_text(json + strlen(json), 200, "array", i);
    }
    strcat(json, "]");
    assert_ok(dbk_do(client, json, strlen(json), &receipts, &error), error);
    assert_int_equal(receipts.data[0], '[');
    const char *at = receipts.data;
    for (int i = 0; i < 20; i++) {
        snprintf(id, sizeof id, "\"array-%d\"", i);
        at = strstr(at, id);
        assert_non_null(at);
    }
    dbk_text_free(&receipts);
    dbk_close(client);
}

/* ---- following the log */

typedef struct followed {
    dbk_follower *handle;
    atomic_int events;
    dbk_result result;
} followed;

static bool on_event(void *arg, const char *event, size_t size)
{
    followed *f = arg;
    (void)event, (void)size;
    f->events++;
    return true;
}

static void *run_follower(void *arg)
{
    followed *f = arg;
    dbk_error error = {0};
    f->result = dbk_follower_run(f->handle, on_event, f, &error);
    return NULL;
}

static bool has_two(void *arg)
{
    return ((followed *)arg)->events >= 2;
}

/* One connection follows and sends as well; what waits at the daemon holds nothing up. */
static void the_log_is_followed_over_a_connection(void **state)
{
    dbk_store *client = served_connect(*state);
    dbk_error error = {0};
    followed f = {0};
    pthread_t thread;
    assert_ok(dbk_follower_new(client, &(dbk_log_range){.type = "notes.put"}, &f.handle, &error), error);
    assert_int_equal(pthread_create(&thread, NULL, run_follower, &f), 0);
    does(client, "{\"id\":\"f1\",\"do\":\"put\",\"table\":\"notes\",\"key\":\"n1\",\"data\":{\"n\":1}}", "\"ok\":true");
    does(client, "{\"id\":\"f2\",\"do\":\"put\",\"table\":\"jobs\",\"key\":\"j1\",\"data\":{}}", "\"ok\":true");
    does(client, "{\"id\":\"f3\",\"do\":\"put\",\"table\":\"notes\",\"key\":\"n2\",\"data\":{\"n\":1}}", "\"ok\":true");
    assert_true(until(has_two, &f));
    dbk_follower_stop(f.handle);
    pthread_join(thread, NULL);
    assert_int_equal(f.result, DBK_OK);
    assert_int_equal(f.events, 2);
    dbk_follower_free(f.handle);
    dbk_close(client);
}

static void on_waited(void *arg, const char *answer, size_t size)
{
    (void)size;
    if (strstr(answer, "\"events\":[]")) (*(atomic_int *)arg)++;
}

/* The daemon goes at once, with an answer, though a minute is not over. */
static void a_daemon_that_ends_answers_who_waits_for_the_log(void **state)
{
    static const char request[] = "{\"do\":\"log\",\"from\":1000,\"wait_ms\":60000}";
    served *s = *state;
    dbk_store *client = served_connect(s);
    dbk_error error = {0};
    atomic_int answered = 0;
    assert_ok(dbk_send(client, request, sizeof request - 1, on_waited, &answered, &error), error);
    does(client, "{\"do\":\"list\",\"table\":\"notes\"}", "\"ok\":true"); /* it has been taken */
    int64_t begun = now_ms();
    served_stop(s);
    assert_true(now_ms() - begun < DEADLINE_MS);
    dbk_close(client);
    assert_int_equal(answered, 1);
    served_start(s);
}

/* ---- pipelining */

typedef struct order {
    const char *who;
    atomic_int done, wrong, busy;
    int count, sent;
    _Atomic int64_t last;
} order;

/* Receipts of one sender come in the order it sent in, so positions only grow. */
static void on_receipt(void *arg, const char *receipt, size_t size)
{
    order *o = arg;
    (void)size;
    const char *position = strstr(receipt, "\"position\":");
    int64_t at = position ? atoll(position + strlen("\"position\":")) : 0;
    if (at <= o->last) o->wrong++;
    else o->last = at;
    o->done++;
}

static bool all_done(void *arg)
{
    return ((order *)arg)->done == ((order *)arg)->count;
}

static void send_many(dbk_store *client, order *o)
{
    dbk_error error = {0};
    char json[256];
    for (int i = 0; i < o->count; i++) {
        put_text(json, sizeof json, o->who, i);
        assert_ok(dbk_send(client, json, strlen(json), on_receipt, o, &error), error);
    }
}

/* 5,000 are five times what may be on the wire: all are answered, in order, none refused as busy. */
static void pipelined_commands_are_decided_in_order(void **state)
{
    order o = {.who = "pipe", .count = 5000};
    dbk_store *client = served_connect(*state);
    send_many(client, &o);
    assert_true(until(all_done, &o));
    assert_int_equal(o.wrong, 0);
    does(client, "{\"do\":\"get\",\"table\":\"notes\",\"key\":\"pipe\"}", "\"n\":4999");
    dbk_close(client);
}

typedef struct caller {
    served *s;
    char who[16];
    order o;
} caller;

static void *call_and_send(void *arg)
{
    caller *c = arg;
    char json[256];
    dbk_store *client = served_connect(c->s);
    c->o = (order){.who = c->who, .count = 300};
    send_many(client, &c->o);
    for (int i = 1000; i < 1050; i++) {
        put_text(json, sizeof json, c->who, i);
        does(client, json, "\"ok\":true");
    }
    assert_true(until(all_done, &c->o));
    dbk_close(client);
    return NULL;
}

static void eight_clients_are_served_at_once(void **state)
{
    caller callers[8];
    pthread_t threads[8];
    memset(callers, 0, sizeof callers);
    for (int i = 0; i < 8; i++) {
        callers[i].s = *state;
        snprintf(callers[i].who, sizeof callers[i].who, "client%d", i);
        assert_int_equal(pthread_create(&threads[i], NULL, call_and_send, &callers[i]), 0);
    }
    for (int i = 0; i < 8; i++) pthread_join(threads[i], NULL);
    for (int i = 0; i < 8; i++) assert_int_equal(callers[i].o.wrong, 0);
    dbk_store *client = served_connect(*state);
    does(client, "{\"do\":\"query\",\"sql\":\"SELECT count(*) AS c, min(n) AS m FROM notes\"}", "[[8,1049]]");
    dbk_close(client);
}

/* ---- restarts */

static void *restart_later(void *arg)
{
    served *s = arg;
    served_stop(s);
    served_start(s);
    return NULL;
}

/* The daemon goes away under 3,000 commands and comes back: each is decided once, in order. */
static void commands_survive_a_restart_of_the_daemon(void **state)
{
    served *s = *state;
    order o = {.who = "restart", .count = 3000};
    pthread_t thread;
    dbk_store *client = served_connect(s);
    send_many(client, &o);
    assert_int_equal(pthread_create(&thread, NULL, restart_later, s), 0);
    assert_true(until(all_done, &o));
    pthread_join(thread, NULL);
    assert_int_equal(o.wrong, 0);
    does(client, "{\"do\":\"get\",\"table\":\"notes\",\"key\":\"restart\"}", "\"n\":2999");
    does(client, "{\"do\":\"query\",\"sql\":\"SELECT count(*) AS c FROM notes\"}", "[[1]]");
    dbk_close(client);
}

static void *start_when_it_waits(void *arg)
{
    served_start(arg);
    return NULL;
}

static void a_caller_waits_for_the_daemon_to_come_back(void **state)
{
    served *s = *state;
    pthread_t thread;
    dbk_store *client = served_connect(s);
    served_stop(s);
    assert_int_equal(pthread_create(&thread, NULL, start_when_it_waits, s), 0);
    does(client, "{\"id\":\"w1\",\"do\":\"put\",\"table\":\"notes\",\"key\":\"w\",\"data\":{\"n\":1}}", "\"ok\":true");
    pthread_join(thread, NULL);
    dbk_close(client);
}

static void without_a_daemon_a_call_ends_in_time(void **state)
{
    served *s = *state;
    dbk_error error = {0};
    dbk_text receipt = {0};
    dbk_store *client = NULL;
    dbk_options options = {.timeout_ms = 100};
    assert_ok(dbk_connect(s->path, &options, &client, &error), error);
    served_stop(s);
    assert_int_equal(dbk_do(client, "{\"do\":\"hello\"}", 14, &receipt, &error), DBK_UNAVAILABLE);
    assert_non_null(strstr(error.text, "the daemon at 'ipc://"));
    assert_non_null(strstr(error.hint, "safe to send again"));
    dbk_close(client);
    assert_int_equal(dbk_connect(s->path, &options, &client, &error), DBK_UNAVAILABLE);
    assert_non_null(strstr(error.text, "no daemon serves"));
    assert_non_null(strstr(error.hint, "daybook serve"));
}

/* ---- bad peers */

static void peers_that_leave_at_once_do_not_end_the_service(void **state)
{
    served *s = *state;
    dbk_store *before = served_connect(s);
    for (int i = 0; i < 5; i++) {
        close(raw_connect(dbk_bus_commands_url(s->bus)));
        close(raw_connect(dbk_bus_changes_url(s->bus)));
    }
    dbk_store *after = served_connect(s);
    does(after, "{\"do\":\"hello\"}", "\"ok\":true");
    does(before, "{\"do\":\"hello\"}", "\"ok\":true");
    dbk_close(before);
    dbk_close(after);
}

static void frame_head(uint8_t head[13], uint64_t body_size)
{
    head[0] = 1;
    dbk_store_be64(head + 1, body_size + 4);
    dbk_store_be32(head + 9, 0x80000007u);
}

/* The form that docs/bus.md gives for a client without nng. */
static void the_documented_frames_are_understood(void **state)
{
    served *s = *state;
    uint8_t head[13], hello[8];
    char body[65536];
    static const char request[] = "{\"do\":\"hello\"}";
    int fd = raw_connect(dbk_bus_commands_url(s->bus));
    assert_true(raw_write(fd, raw_req, 8) && raw_read(fd, hello, 8));
    static const uint8_t rep_hello[8] = {0, 'S', 'P', 0, 0, 0x31, 0, 0};
    assert_memory_equal(hello, rep_hello, 8);
    frame_head(head, sizeof request - 1);
    assert_true(raw_write(fd, head, 13) && raw_write(fd, request, sizeof request - 1));
    assert_true(raw_read(fd, head, 13));
    assert_int_equal(dbk_load_be32(head + 9), 0x80000007u);
    uint64_t size = dbk_load_be64(head + 1) - 4;
    assert_true(size < sizeof body && raw_read(fd, body, (size_t)size));
    assert_memory_equal(body, "{\"ok\":true,\"daybook\":", 21);
    close(fd);
}

static void garbage_ends_only_its_own_connection(void **state)
{
    served *s = *state;
    dbk_store *client = served_connect(s);
    uint8_t bytes[64];
    for (int round = 0; round < 8; round++) {
        int fd = raw_connect(dbk_bus_commands_url(s->bus));
        for (size_t i = 0; i < sizeof bytes; i++) bytes[i] = (uint8_t)(round * 37 + (int)i * 11);
        if (round % 2) assert_true(raw_write(fd, raw_req, 8));
        (void)raw_write(fd, bytes, sizeof bytes);
        close(fd);
    }
    does(client, "{\"do\":\"hello\"}", "\"ok\":true");
    dbk_store *other = served_connect(s);
    does(other, "{\"do\":\"hello\"}", "\"ok\":true");
    dbk_close(other);
    dbk_close(client);
}

/* The length is refused before a byte of the body is read. */
static void a_message_over_17_mib_is_refused(void **state)
{
    served *s = *state;
    uint8_t head[13], hello[8], answer;
    int fd = raw_connect(dbk_bus_commands_url(s->bus));
    assert_true(raw_write(fd, raw_req, 8) && raw_read(fd, hello, 8));
    frame_head(head, 17 * 1024 * 1024 + 1);
    assert_true(raw_write(fd, head, 13));
    assert_false(raw_read(fd, &answer, 1));
    close(fd);
    dbk_store *client = served_connect(s);
    does(client, "{\"do\":\"hello\"}", "\"ok\":true");
    dbk_error error = {0};
    dbk_text receipt = {0};
    char *big = calloc(1, 17 * 1024 * 1024 + 1);
    assert_int_equal(dbk_do(client, big, 17 * 1024 * 1024 + 1, &receipt, &error), DBK_TOO_BIG);
    free(big);
    dbk_close(client);
}

static bool has_received(void *arg)
{
    return served_count(arg, "messages") >= 3000;
}

/* The decider stands still and a client sends 3,000 commands: the ones over the limit are told so and
 * stored nowhere, and another client's is decided when it goes on. */
static void one_client_cannot_fill_the_queue(void **state)
{
    served *s = *state;
    enum { MESSAGES = 3000 };
    uint8_t head[13], hello[8];
    char body[4096], json[200];
    int fd = raw_connect(dbk_bus_commands_url(s->bus)), answered = 0, busy = 0;
    dbk_store *client = served_connect(s);
    assert_true(raw_write(fd, raw_req, 8) && raw_read(fd, hello, 8));
    served_pause(s, true);
    for (int i = 0; i < MESSAGES; i++) {
        snprintf(json, sizeof json,
                 "{\"id\":\"fill%d\",\"do\":\"put\",\"table\":\"notes\",\"key\":\"k%d\",\"data\":{\"n\":1}}", i, i);
        frame_head(head, strlen(json));
        assert_true(raw_write(fd, head, 13) && raw_write(fd, json, strlen(json)));
    }
    assert_true(until(has_received, s));
    served_pause(s, false);
    does(client, "{\"id\":\"f1\",\"do\":\"put\",\"table\":\"jobs\",\"key\":\"f\",\"data\":{}}", "\"ok\":true");
    for (; answered < MESSAGES && raw_read(fd, head, 13); answered++) {
        uint64_t size = dbk_load_be64(head + 1) - 4;
        assert_true(size < sizeof body && raw_read(fd, body, (size_t)size));
        body[size] = '\0';
        if (strstr(body, "\"error\":\"busy\"")) busy++;
    }
    assert_int_equal(answered, MESSAGES);
    assert_int_equal(busy, MESSAGES - 1024);
    does(client, "{\"do\":\"query\",\"sql\":\"SELECT count(*) AS c FROM notes\"}", "[[1024]]");
    close(fd);
    dbk_close(client);
}

int main(void)
{
#define served(test) cmocka_unit_test_setup_teardown(test, served_setup, served_teardown)
    const struct CMUnitTest tests[] = {
        served(a_command_comes_back_with_its_receipt),    served(an_array_comes_back_as_an_array_in_order),
        served(the_log_is_followed_over_a_connection),    served(a_daemon_that_ends_answers_who_waits_for_the_log),
        served(pipelined_commands_are_decided_in_order),  served(eight_clients_are_served_at_once),
        served(commands_survive_a_restart_of_the_daemon), served(a_caller_waits_for_the_daemon_to_come_back),
        served(without_a_daemon_a_call_ends_in_time),     served(peers_that_leave_at_once_do_not_end_the_service),
        served(the_documented_frames_are_understood),     served(garbage_ends_only_its_own_connection),
        served(a_message_over_17_mib_is_refused),         served(one_client_cannot_fill_the_queue),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    nng_fini(); /* it frees what is closed on a thread of its own: a leak checker would see the rest */
    return failed;
}
