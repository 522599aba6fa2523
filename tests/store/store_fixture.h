/* For the tests of the queue and of daybook.h: a store with its threads, in a temporary folder. */
#ifndef DBK_TEST_STORE_STORE_FIXTURE_H
#define DBK_TEST_STORE_STORE_FIXTURE_H

#include "tests/store/engine_fixture.h"

#include <pthread.h>
#include <stdatomic.h>

typedef struct live_store {
    char *folder;
    char path[4200];
    dbk_definition *definition;
    dbk_engine_options options;
    dbk_engine *engine;
    dbk_store *store;
} live_store;

static inline void live_open(live_store *s)
{
    dbk_error error = {0};
    dbk_result result = dbk_engine_open(s->path, &s->options, &s->engine, &error);
    if (result != DBK_OK) print_error("%s\n", error.text);
    assert_int_equal(result, DBK_OK);
    assert_int_equal(dbk_engine_wrap(s->engine, &s->store, &error), DBK_OK);
}

static inline void live_close(live_store *s)
{
    dbk_close(s->store);
    s->store = NULL;
    s->engine = NULL;
}

/* The ids are given, so the log has no entry of its own and every position is a test's command. */
static inline void live_start(live_store *s, const char *schema)
{
    dbk_error error = {0};
    memset(s, 0, sizeof *s);
    s->folder = temporary_dir();
    snprintf(s->path, sizeof s->path, "%s/t.daybook", s->folder);
    s->definition = definition_of(schema, NULL);
    s->options =
        (dbk_engine_options){.definition = s->definition, .given_ids = true, .incarnation = 1, .timeline = "t"};
    s->options.log.no_direct = true;
    memset(s->options.replica, 'r', 16);
    memset(s->options.lineage, 'l', 16);
    assert_int_equal(dbk_engine_create(s->path, NULL, &s->options, NULL, &error), DBK_OK);
    live_open(s);
}

static inline void live_stop(live_store *s)
{
    live_close(s);
    dbk_definition_free(s->definition);
    remove_temporary_dir(s->folder);
}

/* For cmocka: a live_store in *state. */
static inline int live_setup(void **state, const char *schema)
{
    live_store *s = calloc(1, sizeof *s);
    live_start(s, schema);
    *state = s;
    return 0;
}

static inline int live_teardown(void **state)
{
    live_stop(*state);
    free(*state);
    return 0;
}

/* A gate that a thread waits at until it is opened; `waiting` says how many came. */
typedef struct gate {
    pthread_mutex_t mutex;
    pthread_cond_t moved;
    bool open;
    unsigned waiting;
} gate;

static inline void gate_init(gate *g)
{
    *g = (gate){.mutex = PTHREAD_MUTEX_INITIALIZER, .moved = PTHREAD_COND_INITIALIZER};
}

static inline void gate_pass(gate *g)
{
    pthread_mutex_lock(&g->mutex);
    g->waiting++;
    pthread_cond_broadcast(&g->moved);
    while (!g->open) pthread_cond_wait(&g->moved, &g->mutex);
    pthread_mutex_unlock(&g->mutex);
}

static inline void gate_await(gate *g, unsigned waiting)
{
    pthread_mutex_lock(&g->mutex);
    while (g->waiting < waiting) pthread_cond_wait(&g->moved, &g->mutex);
    pthread_mutex_unlock(&g->mutex);
}

static inline void gate_open(gate *g)
{
    pthread_mutex_lock(&g->mutex);
    g->open = true;
    pthread_cond_broadcast(&g->moved);
    pthread_mutex_unlock(&g->mutex);
}

/* The number behind `"name":`, or -1. */
static inline long long number_of(const char *json, const char *name)
{
    char quoted[64];
    snprintf(quoted, sizeof quoted, "\"%s\":", name);
    const char *found = strstr(json, quoted);
    return found ? strtoll(found + strlen(quoted), NULL, 10) : -1;
}

#endif
