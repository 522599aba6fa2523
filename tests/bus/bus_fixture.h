/* A store in a temporary folder, served on sockets in a folder beside it. Nothing here waits a fixed
 * time: conditions are looked at until they hold or a deadline passes. */
#ifndef BUS_FIXTURE_H
#define BUS_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "bus/internal.h"

enum { DEADLINE_MS = 20000 };

/* nng counts the users of a dialer with atomics in code that the sanitizer does not see, so that freeing one on
 * nng's own thread looks like a race with having used it. */
const char *__tsan_default_suppressions(void);
__attribute__((visibility("default"))) const char *__tsan_default_suppressions(void)
{
    return "race:^pthread_mutex_destroy$\n";
}

typedef struct served {
    char root[64], path[96], app[96];
    dbk_engine *engine;
    dbk_store *store;
    dbk_bus *bus;
    dbk_bus_options options;
    pthread_mutex_t mutex; /* of paused: while it is true, the deciding thread stands still */
    pthread_cond_t resumed;
    bool paused;
} served;

static const char served_schema[] = "CREATE TABLE notes (id TEXT PRIMARY KEY, title TEXT, n INTEGER) WITHOUT ROWID;\n"
                                    "CREATE TABLE jobs (id TEXT PRIMARY KEY, state TEXT) WITHOUT ROWID;\n";

#define assert_ok(call, error)                                                                                         \
    do {                                                                                                               \
        if ((call) != DBK_OK) fail_msg("%s: %s", #call, (error).text);                                                 \
    } while (0)

static inline int64_t now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static inline bool until(bool (*holds)(void *), void *arg)
{
    const struct timespec pause = {0, 2000000};
    for (int64_t end = now_ms() + DEADLINE_MS; now_ms() < end; nanosleep(&pause, NULL))
        if (holds(arg)) return true;
    return holds(arg);
}

static inline int served_hook(void *arg, dbk_engine *engine, const char *point, dbk_slice command)
{
    served *s = arg;
    (void)engine, (void)point, (void)command;
    pthread_mutex_lock(&s->mutex);
    while (s->paused) pthread_cond_wait(&s->resumed, &s->mutex);
    pthread_mutex_unlock(&s->mutex);
    return 0;
}

static inline void served_pause(served *s, bool paused)
{
    pthread_mutex_lock(&s->mutex);
    s->paused = paused;
    pthread_cond_broadcast(&s->resumed);
    pthread_mutex_unlock(&s->mutex);
}

/* A number of dbk_bus_stats. */
static inline long long served_count(served *s, const char *name)
{
    dbk_buffer stats;
    char member[64];
    dbk_buffer_init(&stats, dbk_port_system());
    dbk_bus_stats(s->bus, &stats);
    snprintf(member, sizeof member, "\"%s\":", name);
    const char *at = strstr(dbk_buffer_text(&stats), member);
    assert_non_null(at);
    long long count = atoll(at + strlen(member));
    dbk_buffer_release(&stats);
    return count;
}

static inline void served_start(served *s)
{
    dbk_error error = {0};
    assert_ok(dbk_bus_start(s->engine, s->store, s->path, &s->options, &s->bus, &error), error);
}

static inline void served_stop(served *s)
{
    dbk_bus_stop(s->bus);
    s->bus = NULL;
}

static inline int served_setup(void **state)
{
    dbk_error error = {0};
    served *s = calloc(1, sizeof *s);
    snprintf(s->root, sizeof s->root, "/tmp/daybook-bus-XXXXXX");
    assert_non_null(mkdtemp(s->root));
    setenv("XDG_RUNTIME_DIR", s->root, 1);
    snprintf(s->path, sizeof s->path, "%s/s.daybook", s->root);
    snprintf(s->app, sizeof s->app, "%s/schema.sql", s->root);
    FILE *file = fopen(s->app, "w");
    assert_non_null(file);
    fputs(served_schema, file);
    fclose(file);
    pthread_mutex_init(&s->mutex, NULL);
    pthread_cond_init(&s->resumed, NULL);
    dbk_engine_options options = {.force_fs = true, .hook = served_hook, .hook_arg = s};
    dbk_text report = {0};
    if (dbk_engine_create(s->path, s->app, &options, &report, &error) != DBK_OK)
        fail_msg("%s %s", error.text, report.data ? report.data : "");
    dbk_text_free(&report);
    assert_ok(dbk_engine_open(s->path, &options, &s->engine, &error), error);
    assert_ok(dbk_engine_wrap(s->engine, &s->store, &error), error);
    served_start(s);
    *state = s;
    return 0;
}

static inline int remove_entry(const char *path, const struct stat *info, int kind, struct FTW *at)
{
    (void)info, (void)kind, (void)at;
    return remove(path);
}

static inline int served_teardown(void **state)
{
    served *s = *state;
    served_stop(s);
    dbk_close(s->store);
    nftw(s->root, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
    free(s);
    return 0;
}

static inline dbk_store *served_connect(served *s)
{
    dbk_error error = {0};
    dbk_store *client = NULL;
    assert_ok(dbk_connect(dbk_bus_commands_url(s->bus), NULL, &client, &error), error);
    return client;
}

/* The receipt must be there and hold `part`. */
static inline void does(dbk_store *client, const char *json, const char *part)
{
    dbk_error error = {0};
    dbk_text receipt = {0};
    assert_ok(dbk_do(client, json, strlen(json), &receipt, &error), error);
    if (!strstr(receipt.data, part)) fail_msg("'%s' is not in '%s'", part, receipt.data);
    dbk_text_free(&receipt);
}

static inline const char *socket_path(const char *url)
{
    return url + strlen("ipc://");
}

static inline int raw_connect(const char *url)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "%s", socket_path(url));
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    if (connect(fd, (struct sockaddr *)&address, sizeof address) == 0) return fd;
    close(fd);
    return -1;
}

#endif
