/* What one client can cost the daemon, and what it is told when it is too much. */
#include "bus_raw.h"

#include <nng/nng.h>

static void restart(served *s)
{
    served_stop(s);
    served_start(s);
}

static void it_serves(served *s)
{
    dbk_store *client = served_connect(s);
    does(client, "{\"do\":\"hello\"}", "\"ok\":true");
    dbk_close(client);
}

static bool somebody_was_cut(void *arg)
{
    return served_count(arg, "cut") > 0;
}
static bool nobody_is_there(void *arg)
{
    return served_count(arg, "clients") == 0;
}

/* A row of `size` bytes under the key. */
static void put_big(served *s, const char *key, int serial, size_t size)
{
    char *json = malloc(size + 300);
    int head = snprintf(
        json, 300,
        "{\"id\":\"big-%s-%d\",\"do\":\"put\",\"table\":\"notes\",\"key\":\"%s\",\"data\":{\"n\":%d,\"title\":\"", key,
        serial, key, serial);
    memset(json + head, 'x', size);
    strcpy(json + head + size, "\"}}");
    does(s->store, json, "\"ok\":true");
    free(json);
}

/* ---- connections */

static void a_greeting_has_its_time(void **state)
{
    served *s = *state;
    s->options.greeting_ms = 200;
    restart(s);
    int greeted = raw_greet(dbk_bus_commands_url(s->bus), raw_req);
    int64_t begin = now_ms();
    int silent = raw_connect(dbk_bus_commands_url(s->bus)), half = raw_connect(dbk_bus_changes_url(s->bus));
    assert_true(raw_write(half, raw_sub, 5));
    assert_true(raw_is_ended(silent) && raw_is_ended(half));
    assert_true(now_ms() - begin >= 200);
    char body[4096];
    assert_true(raw_ask(greeted, 1, "{\"do\":\"hello\"}"));
    assert_int_equal(raw_answer(greeted, body, sizeof body), 0x80000001u);
    close(silent);
    close(half);
    close(greeted);
}

static void sixty_four_are_served_and_the_next_is_turned_away(void **state)
{
    served *s = *state;
    int fds[64];
    char body[4096];
    for (int i = 0; i < 64; i++) fds[i] = raw_greet(dbk_bus_commands_url(s->bus), raw_req);
    int more = raw_connect(dbk_bus_commands_url(s->bus));
    assert_true(raw_is_ended(more));
    close(more);
    assert_int_equal(served_count(s, "crowded"), 1);
    for (int i = 0; i < 64; i++) assert_true(raw_ask(fds[i], 5, "{\"do\":\"status\"}"));
    for (int i = 0; i < 64; i++) assert_int_equal(raw_answer(fds[i], body, sizeof body), 0x80000005u);
    close(fds[0]);
    it_serves(s); /* the library tries again until there is room */
    for (int i = 1; i < 64; i++) close(fds[i]);
    assert_true(until(nobody_is_there, s));
}

static bool all_wait(void *arg)
{
    return served_count(arg, "under_way") == 64;
}

static bool nothing_is_under_way(void *arg)
{
    return served_count(arg, "under_way") == 0;
}

/* Who waits for the log and goes does not keep its place until its time is over. */
static void places_of_who_waited_and_went_are_free(void **state)
{
    served *s = *state;
    int fds[64];
    for (int i = 0; i < 64; i++) {
        fds[i] = raw_greet(dbk_bus_commands_url(s->bus), raw_req);
        assert_true(raw_ask(fds[i], 5, "{\"do\":\"log\",\"from\":1000000,\"wait_ms\":60000}"));
    }
    assert_true(until(all_wait, s));
    for (int i = 0; i < 64; i++) close(fds[i]);
    assert_true(until(nothing_is_under_way, s));
    assert_true(until(nobody_is_there, s));
    it_serves(s);
}

/* ---- messages that never become whole */

enum { LARGE = 17 * 1024 * 1024 - 4, CROWD = 8, FIT = 3 };

/* The message of that number and LARGE bytes, from byte `from` up to `to` of its frame. */
static bool send_part(int fd, uint32_t id, size_t from, size_t to)
{
    static uint8_t frame[LARGE + 13];
    memset(frame, 'x', sizeof frame);
    (void)raw_frame(frame, id, NULL, 0);
    dbk_store_be64(frame + 1, LARGE + 4);
    return raw_write(fd, frame + from, to - from);
}

static bool five_were_refused(void *arg)
{
    return served_count(arg, "busy") == CROWD - FIT;
}

/* Eight begin messages of 17 MiB and do not end them: three have 51 of the 64 MiB that there are, the others
 * are told so at once, and may go on when they have sent the rest. */
static void half_messages_share_a_limit(void **state)
{
    served *s = *state;
    int fds[CROWD];
    char body[4096];
    enum { WHOLE = LARGE + 13 };
    for (int i = 0; i < CROWD; i++) {
        fds[i] = raw_greet(dbk_bus_commands_url(s->bus), raw_req);
        assert_true(send_part(fds[i], 7, 0, WHOLE - 1));
    }
    assert_true(until(five_were_refused, s));
    for (int i = FIT; i < CROWD; i++) {
        assert_int_equal(raw_answer(fds[i], body, sizeof body), 0x80000007u);
        assert_non_null(strstr(body,
                               "{\"ok\":false,\"error\":\"busy\",\"class\":\"transient\",\"message\":\"messages of "
                               "more than 64 MiB together are on their way already\""));
    }
    it_serves(s); /* small ones pass */
    assert_true(send_part(fds[FIT], 7, WHOLE - 1, WHOLE) && raw_ask(fds[FIT], 8, "{\"do\":\"hello\"}"));
    assert_int_equal(raw_answer(fds[FIT], body, sizeof body), 0x80000008u);
    assert_true(send_part(fds[0], 7, WHOLE - 1, WHOLE)); /* whole: answered, and its room is free */
    assert_int_equal(raw_answer(fds[0], body, sizeof body), 0x80000007u);
    assert_null(strstr(body, "\"busy\""));
    assert_true(send_part(fds[FIT], 9, 0, WHOLE));
    assert_int_equal(raw_answer(fds[FIT], body, sizeof body), 0x80000009u);
    assert_null(strstr(body, "\"busy\""));
    for (int i = 0; i < CROWD; i++) close(fds[i]);
    assert_true(until(nobody_is_there, s));
    assert_true(served_count(s, "busy") == CROWD - FIT);
}

/* A subscriber has nothing to send, and gets no memory for it. */
static void a_subscriber_may_not_even_begin(void **state)
{
    served *s = *state;
    int fd = raw_greet(dbk_bus_changes_url(s->bus), raw_sub);
    (void)send_part(fd, 7, 0, 9);
    assert_true(raw_is_ended(fd));
    close(fd);
}

/* ---- answers that nobody reads */

static void a_client_that_never_reads_is_cut_off(void **state)
{
    served *s = *state;
    put_big(s, "b", 1, 900000);
    int fd = raw_greet(dbk_bus_commands_url(s->bus), raw_req);
    for (uint32_t i = 1; i <= 100; i++)
        if (!raw_ask(fd, i, "{\"do\":\"get\",\"table\":\"notes\",\"key\":\"b\"}")) break;
    assert_true(until(somebody_was_cut, s));
    it_serves(s);
    assert_true(until(nobody_is_there, s));
    close(fd);
}

/* 4,096 answers, however small. A hello is answered at once, so its answers pile up. */
static void so_is_one_with_many_small_answers(void **state)
{
    served *s = *state;
    uint8_t frame[64];
    int fd = raw_greet(dbk_bus_commands_url(s->bus), raw_req);
    size_t size = raw_frame(frame, 1, "{\"do\":\"hello\"}", 14);
    for (int i = 0; i < 20000; i++)
        if (!raw_write(fd, frame, size)) break;
    assert_true(until(somebody_was_cut, s));
    it_serves(s);
    close(fd);
}

static void so_is_one_that_stops_reading(void **state)
{
    served *s = *state;
    s->options.stalled_ms = 300;
    restart(s);
    put_big(s, "b", 1, 900000);
    int fd = raw_greet(dbk_bus_commands_url(s->bus), raw_req), idle = raw_greet(dbk_bus_commands_url(s->bus), raw_req);
    int64_t begin = now_ms();
    for (uint32_t i = 1; i <= 3; i++) assert_true(raw_ask(fd, i, "{\"do\":\"get\",\"table\":\"notes\",\"key\":\"b\"}"));
    assert_true(until(somebody_was_cut, s));
    assert_true(now_ms() - begin >= 300);
    char body[4096];
    assert_true(raw_ask(idle, 1, "{\"do\":\"hello\"}")); /* to whom nothing is owed may be silent */
    assert_int_equal(raw_answer(idle, body, sizeof body), 0x80000001u);
    assert_int_equal(served_count(s, "cut"), 1);
    assert_true(raw_is_ended(fd));
    close(fd);
    close(idle);
}

/* ---- subscribers */

typedef struct reader {
    int fd;
    pthread_t thread;
    _Atomic int rows, heads, resets, last_n;
    _Atomic int64_t bytes;
} reader;

/* One message; false: the connection is over. */
static bool read_message(reader *r, char *body, size_t room)
{
    uint8_t head[9];
    if (!raw_read(r->fd, head, 9)) return false;
    uint64_t size = dbk_load_be64(head + 1);
    assert_true(head[0] == 1 && size < room);
    if (!raw_read(r->fd, body, (size_t)size)) return false;
    body[size] = '\0';
    const char *json = body + strlen(body) + 1, *n = strstr(json, "\"n\":");
    if (strcmp(body, "daybook.head/") != 0) {
        r->rows++;
        r->last_n = n ? atoi(n + 4) : -1;
    } else if (strncmp(json, "{\"head\":true,\"reset\":true,", 26) == 0) {
        r->resets++;
    } else {
        r->heads++;
    }
    r->bytes += (int64_t)size;
    return true;
}

static void *read_on(void *arg)
{
    char *body = malloc(2 << 20);
    while (read_message(arg, body, 2 << 20)) continue;
    free(body);
    return NULL;
}

static bool is_greeted(void *arg)
{
    return ((reader *)arg)->heads > 0;
}
static bool is_complete(void *arg)
{
    return ((reader *)arg)->rows == 150;
}
static bool both_are_there(void *arg)
{
    return served_count(arg, "subscribers") == 2;
}

/* 15 MiB for one that reads and one that does not: the one has it all, the other what was on its way when
 * 8 MiB waited for it, then a head that says so, and then goes on like the first. */
static void a_slow_subscriber_is_told_and_delays_nobody(void **state)
{
    served *s = *state;
    char *body = malloc(2 << 20);
    reader fast = {.fd = raw_greet(dbk_bus_changes_url(s->bus), raw_sub)},
           slow = {.fd = raw_greet(dbk_bus_changes_url(s->bus), raw_sub)};
    assert_int_equal(pthread_create(&fast.thread, NULL, read_on, &fast), 0);
    assert_true(until(is_greeted, &fast) && until(both_are_there, s));
    for (int i = 0; i < 150; i++) put_big(s, "k", i, 100 * 1024);
    assert_true(until(is_complete, &fast));
    assert_int_equal(fast.resets, 0);
    assert_int_equal(fast.last_n, 149);
    assert_true(served_count(s, "forgotten") > 0);
    while (slow.resets == 0) assert_true(read_message(&slow, body, 2 << 20));
    assert_true(slow.bytes < 4 << 20); /* what was on its way when it was told to forget the rest */
    put_big(s, "k", 200, 10);
    int rows = slow.rows;
    while (slow.rows == rows) assert_true(read_message(&slow, body, 2 << 20));
    assert_int_equal(slow.last_n, 200);
    assert_int_equal(slow.resets, 1);
    shutdown(fast.fd, SHUT_RDWR);
    pthread_join(fast.thread, NULL);
    close(fast.fd);
    close(slow.fd);
    free(body);
}

static bool something_was_forgotten(void *arg)
{
    static int serial;
    put_big(arg, "later", serial++, 10);
    return served_count(arg, "forgotten") > 0;
}

/* 4 MiB are no matter at first, and one when they have waited for long. */
static void so_is_one_that_is_behind_for_long(void **state)
{
    served *s = *state;
    s->options.heavy_ms = 300;
    restart(s);
    reader slow = {.fd = raw_greet(dbk_bus_changes_url(s->bus), raw_sub)};
    char *body = malloc(2 << 20);
    assert_true(read_message(&slow, body, 2 << 20)); /* a head: it is there */
    int64_t begin = now_ms();
    for (int i = 0; i < 40; i++) put_big(s, "k", i, 100 * 1024);
    if (now_ms() - begin < 300) assert_int_equal(served_count(s, "forgotten"), 0);
    assert_true(until(something_was_forgotten, s));
    assert_true(now_ms() - begin >= 300);
    while (slow.resets == 0) assert_true(read_message(&slow, body, 2 << 20));
    assert_true(slow.bytes < 2 << 20);
    close(slow.fd);
    free(body);
}

int main(void)
{
#define served(test) cmocka_unit_test_setup_teardown(test, served_setup, served_teardown)
    const struct CMUnitTest tests[] = {
        served(a_greeting_has_its_time),
        served(sixty_four_are_served_and_the_next_is_turned_away),
        served(places_of_who_waited_and_went_are_free),
        served(half_messages_share_a_limit),
        served(a_subscriber_may_not_even_begin),
        served(a_client_that_never_reads_is_cut_off),
        served(so_is_one_with_many_small_answers),
        served(so_is_one_that_stops_reading),
        served(a_slow_subscriber_is_told_and_delays_nobody),
        served(so_is_one_that_is_behind_for_long),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    nng_fini();
    return failed;
}
