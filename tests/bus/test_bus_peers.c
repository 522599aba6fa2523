/* Bad peers, by thousands: connections that end at every byte, clients that are cut off in the middle,
 * bytes that mean nothing. After each the daemon serves, holds no descriptor more, and stops at once. */
#include "bus_raw.h"

#include <dirent.h>
#include <nng/nng.h>
#include <poll.h>
#include <sched.h>
#include <sys/resource.h>

static int open_descriptors(void)
{
    int count = 0;
    DIR *dir = opendir("/proc/self/fd");
    assert_non_null(dir);
    while (readdir(dir)) count++;
    closedir(dir);
    return count;
}

/* Only sockets: the store's own threads open and close files whenever they come to it. */
static int open_sockets(void)
{
    int count = 0;
    char path[300], target[16];
    struct dirent *entry;
    DIR *dir = opendir("/proc/self/fd");
    assert_non_null(dir);
    while ((entry = readdir(dir))) {
        snprintf(path, sizeof path, "/proc/self/fd/%s", entry->d_name);
        ssize_t size = readlink(path, target, sizeof target);
        if (size >= 7 && memcmp(target, "socket:", 7) == 0) count++;
    }
    closedir(dir);
    return count;
}

static int before;
static bool none_is_left(void *arg)
{
    (void)arg;
    return open_sockets() <= before;
}

static bool nobody_is_connected(void *arg)
{
    return served_count(arg, "clients") == 0 && served_count(arg, "subscribers") == 0;
}

/* It serves, and what was open is closed. */
static void is_well(served *s)
{
    dbk_store *client = served_connect(s);
    does(client, "{\"do\":\"hello\"}", "\"ok\":true");
    dbk_close(client);
    assert_true(until(nobody_is_connected, s));
    assert_true(until(none_is_left, NULL));
}

static void stops_at_once(served *s)
{
    int64_t begin = now_ms();
    served_stop(s);
    assert_true(now_ms() - begin < 5000);
}

/* 35 places to leave at, on both sockets, with end or reset, 50 times. */
static void connections_may_end_at_every_byte(void **state)
{
    served *s = *state;
    uint8_t bytes[35];
    before = open_sockets();
    memcpy(bytes, raw_req, 8);
    (void)raw_frame(bytes + 8, 7, "{\"do\":\"hello\"}", 14);
    for (int round = 0; round < 50; round++) {
        for (size_t cut = 0; cut <= sizeof bytes; cut++) {
            int fd = raw_connect(dbk_bus_commands_url(s->bus));
            if (fd >= 0 && cut) (void)raw_write(fd, bytes, cut);
            if (fd >= 0 && round % 3 == 1) shutdown(fd, SHUT_WR);
            if (fd >= 0) close(fd);
            if (cut > 8) continue;
            fd = raw_connect(dbk_bus_changes_url(s->bus));
            if (fd >= 0 && cut) (void)raw_write(fd, raw_sub, cut);
            if (fd >= 0) close(fd);
        }
    }
    is_well(s);
    stops_at_once(s);
}

/* Everyone at once, and all of them gone while the bus stops. */
static void the_bus_stops_under_half_made_connections(void **state)
{
    enum { PEERS = 60 };
    served *s = *state;
    int fds[PEERS];
    uint8_t bytes[35];
    memcpy(bytes, raw_req, 8);
    (void)raw_frame(bytes + 8, 7, "{\"do\":\"hello\"}", 14);
    for (int round = 0; round < 10; round++) {
        before = open_sockets();
        for (int i = 0; i < PEERS; i++) {
            fds[i] = raw_connect(i % 4 ? dbk_bus_commands_url(s->bus) : dbk_bus_changes_url(s->bus));
            size_t size = (size_t)(i * 7 + round) % sizeof bytes;
            if (fds[i] >= 0) (void)raw_write(fds[i], i % 4 ? bytes : raw_sub, i % 4 ? size : size % 9);
            if (fds[i] >= 0 && i % 3 == 0) close(fds[i]), fds[i] = -1;
        }
        stops_at_once(s);
        for (int i = 0; i < PEERS; i++)
            if (fds[i] >= 0) close(fds[i]);
        served_start(s);
        is_well(s);
    }
}

typedef struct worker {
    served *s;
    int number, answered, asked;
    unsigned seed;
} worker;

/* Those that left are counted until the daemon has seen it: who is turned away comes again, as nng does. */
static int connect_when_there_is_room(served *s)
{
    uint8_t greeting[8];
    int64_t begin = now_ms();
    while (now_ms() - begin < 20000) {
        int fd = raw_connect(dbk_bus_commands_url(s->bus));
        if (fd >= 0 && raw_write(fd, raw_req, 8) && raw_read(fd, greeting, 8)) return fd;
        if (fd >= 0) close(fd);
        sched_yield();
    }
    return -1; /* told by the answers that are missing: no assertion outside the main thread */
}

/* A client that sends commands, reads some of the answers, and leaves without a word. */
static void *come_and_go(void *arg)
{
    worker *w = arg;
    uint8_t frame[400];
    char json[300], body[4096];
    for (int visit = 0; visit < 10; visit++) {
        int fd = connect_when_there_is_room(w->s);
        int sends = rand_r(&w->seed) % 20, reads = rand_r(&w->seed) % 20;
        for (int i = 0; i < sends; i++) {
            snprintf(json, sizeof json,
                     "{\"id\":\"w%d-%d-%d\",\"do\":\"put\",\"table\":\"notes\",\"key\":\"w%d\",\"data\":{\"n\":%d}}",
                     w->number, visit, i, w->number, i);
            size_t size = raw_frame(frame, (uint32_t)i, json, strlen(json));
            if (i == sends - 1) size -= (size_t)(rand_r(&w->seed) % (int)size);
            if (!raw_write(fd, frame, size)) break;
        }
        for (int i = 0; i < reads && i < sends - 1; i++) {
            w->asked++;
            w->answered += raw_answer(fd, body, sizeof body) != 0;
        }
        close(fd);
    }
    return NULL;
}

static void sixty_clients_come_and_go(void **state)
{
    enum { WORKERS = 60 };
    served *s = *state;
    worker workers[WORKERS];
    pthread_t threads[WORKERS];
    before = open_sockets();
    for (int i = 0; i < WORKERS; i++) {
        workers[i] = (worker){.s = s, .number = i, .seed = (unsigned)i + 1};
        assert_int_equal(pthread_create(&threads[i], NULL, come_and_go, &workers[i]), 0);
    }
    for (int i = 0; i < WORKERS; i++) pthread_join(threads[i], NULL);
    for (int i = 0; i < WORKERS; i++) {
        assert_true(workers[i].asked > 0);
        assert_int_equal(workers[i].answered, workers[i].asked);
    }
    is_well(s);
    stops_at_once(s);
}

/* 80 connect with the library, more than the daemon takes at once: those beyond wait for their turn. */
static void *connect_and_ask(void *arg)
{
    worker *w = arg;
    dbk_error error = {0};
    dbk_store *client = NULL;
    dbk_text receipt = {0};
    char json[160];
    snprintf(json, sizeof json, "{\"id\":\"lib%d\",\"do\":\"put\",\"table\":\"jobs\",\"key\":\"k%d\",\"data\":{}}",
             w->number, w->number);
    if (dbk_connect(dbk_bus_commands_url(w->s->bus), NULL, &client, &error) == DBK_OK &&
        dbk_do(client, json, strlen(json), &receipt, &error) == DBK_OK && strstr(receipt.data, "\"ok\":true"))
        w->answered++;
    else print_error("%d: %s\n", w->number, error.text);
    dbk_text_free(&receipt);
    dbk_close(client);
    return NULL;
}

static void eighty_clients_at_once_are_all_answered(void **state)
{
    enum { WORKERS = 80 };
    served *s = *state;
    worker workers[WORKERS];
    pthread_t threads[WORKERS];
    before = open_sockets();
    for (int i = 0; i < WORKERS; i++) {
        workers[i] = (worker){.s = s, .number = i};
        assert_int_equal(pthread_create(&threads[i], NULL, connect_and_ask, &workers[i]), 0);
    }
    for (int i = 0; i < WORKERS; i++) pthread_join(threads[i], NULL);
    for (int i = 0; i < WORKERS; i++) assert_int_equal(workers[i].answered, 1);
    is_well(s);
}

static void bytes_that_mean_nothing_end_their_connection(void **state)
{
    static const struct {
        const char *name;
        uint8_t bytes[32];
        size_t size;
    } bad[] = {
        {"http", "GET / HTTP/1.1\r\n\r\n", 18},
        {"first byte", {1}, 1},
        {"a SUB at the commands", {0, 'S', 'P', 0, 0, 0x21, 0, 0}, 8},
        {"greeting's end", {0, 'S', 'P', 0, 0, 0x30, 0, 1}, 8},
        {"frame of type 2", {0, 'S', 'P', 0, 0, 0x30, 0, 0, 2}, 9},
        {"length of 2^63", {0, 'S', 'P', 0, 0, 0x30, 0, 0, 1, 0x80}, 17},
        {"length of 2^64-1", {0, 'S', 'P', 0, 0, 0x30, 0, 0, 1, 255, 255, 255, 255, 255, 255, 255, 255}, 17},
        {"length of 17 MiB + 1", {0, 'S', 'P', 0, 0, 0x30, 0, 0, 1, 0, 0, 0, 0, 1, 0x10, 0, 1}, 17},
        {"no number", {0, 'S', 'P', 0, 0, 0x30, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0}, 17},
        {"half a number", {0, 'S', 'P', 0, 0, 0x30, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 3, 0x80, 0, 0}, 20},
        {"a number that is not the last", {0, 'S', 'P', 0, 0, 0x30, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 1}, 21},
    };
    served *s = *state;
    before = open_sockets();
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        int fd = raw_connect(dbk_bus_commands_url(s->bus));
        assert_true(raw_write(fd, bad[i].bytes, bad[i].size));
        if (!raw_is_ended(fd)) fail_msg("%s: the connection goes on", bad[i].name);
        close(fd);
    }
    int fd = raw_greet(dbk_bus_changes_url(s->bus), raw_sub);
    (void)raw_write(fd, "\1\0\0\0\0\0\0\0\0", 9); /* a subscriber has nothing to say */
    assert_true(raw_is_ended(fd));
    close(fd);
    is_well(s);
}

/* Without a descriptor to accept with, the daemon rests and goes on when there is one. */
static void accepting_goes_on_after_the_descriptors_ran_out(void **state)
{
    enum { HELD = 256 };
    served *s = *state;
    struct rlimit limit, low;
    int held[HELD], count = 0;
    before = open_sockets();
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    int waiting = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    low = limit;
    low.rlim_cur = (rlim_t)open_descriptors() + 60;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
    while (count < HELD && (held[count] = dup(0)) >= 0) count++;
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "%s", socket_path(dbk_bus_commands_url(s->bus)));
    assert_int_equal(connect(waiting, (struct sockaddr *)&address, sizeof address), 0); /* by the system */
    struct pollfd look = {.fd = waiting, .events = POLLIN};
    assert_int_equal(poll(&look, 1, 300), 0); /* not by the daemon */
    while (count > 0) close(held[--count]);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    uint8_t greeting[8];
    assert_true(raw_read(waiting, greeting, 8));
    close(waiting);
    is_well(s);
}

int main(void)
{
#define served(test) cmocka_unit_test_setup_teardown(test, served_setup, served_teardown)
    const struct CMUnitTest tests[] = {
        served(connections_may_end_at_every_byte),
        served(the_bus_stops_under_half_made_connections),
        served(sixty_clients_come_and_go),
        served(eighty_clients_at_once_are_all_answered),
        served(bytes_that_mean_nothing_end_their_connection),
        served(accepting_goes_on_after_the_descriptors_ran_out),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    nng_fini();
    return failed;
}
