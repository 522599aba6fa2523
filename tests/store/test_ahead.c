/* A turn is decided while the log syncs the one before (store/pipeline.c): the sync is held, and what is decided,
 * answered and durable meanwhile is looked at. */
#include <errno.h>

#include "store/engine.h"
#include "tests/store/store_fixture.h"

static const char schema[] = "CREATE TABLE notes (id TEXT PRIMARY KEY NOT NULL, n INTEGER);";
/* So many of the second wake the worker while the sync is held; how many more it finds then is chance. */
enum { FIRST = 6, SECOND = 28, SURE = 24 };

typedef struct told {
    atomic_uint count, refused, unknown, out_of_order;
    long long position;
} told;

static struct scene {
    dbk_port port;
    gate decider, sync; /* the first command is held while it is decided; a sync while it is under way */
    atomic_bool armed;  /* the next sync is to be held */
    atomic_int error;   /* with which it then ends; 0: well */
    pthread_mutex_t mutex;
    pthread_cond_t moved;
    unsigned decisions;
    told told;
} scene;

static int hold_sync(void *ctx, dbk_file *file)
{
    if (!atomic_exchange(&scene.armed, false)) return dbk_port_system()->sync_file(ctx, file);
    gate_pass(&scene.sync);
    int error = atomic_load(&scene.error);
    return error ? error : dbk_port_system()->sync_file(ctx, file);
}

static int see_decision(void *arg, dbk_engine *engine, const char *point, dbk_slice id)
{
    (void)arg;
    (void)engine;
    if (strcmp(point, "decide") != 0) return 0;
    if (dbk_slice_equal(id, dbk_slice_text("gate"))) gate_pass(&scene.decider);
    if (dbk_slice_equal(id, dbk_slice_text("a0"))) atomic_store(&scene.armed, true);
    pthread_mutex_lock(&scene.mutex);
    scene.decisions++;
    pthread_cond_broadcast(&scene.moved);
    pthread_mutex_unlock(&scene.mutex);
    return 0;
}

static void await_decisions(unsigned count)
{
    pthread_mutex_lock(&scene.mutex);
    while (scene.decisions < count) pthread_cond_wait(&scene.moved, &scene.mutex);
    pthread_mutex_unlock(&scene.mutex);
}

static void take_receipt(void *arg, const char *receipt, size_t size)
{
    told *t = arg;
    (void)size;
    if (strstr(receipt, "\"ok\":true")) {
        long long position = number_of(receipt, "position");
        if (position <= t->position) atomic_fetch_add(&t->out_of_order, 1);
        t->position = position;
    } else {
        atomic_fetch_add(&t->refused, 1);
        if (strstr(receipt, "\"outcome\":\"unknown\"")) atomic_fetch_add(&t->unknown, 1);
    }
    atomic_fetch_add(&t->count, 1);
}

static void send_text(live_store *s, const char *command)
{
    assert_int_equal(dbk_send(s->store, command, strlen(command), take_receipt, &scene.told, NULL), DBK_OK);
}

static void send_events(live_store *s, const char *name, unsigned count, const char *more)
{
    char command[200];
    for (unsigned i = 0; i < count; i++) {
        snprintf(command, sizeof command,
                 "{\"id\":\"%s%u\",\"do\":\"append\",\"stream\":\"job/%u\",\"type\":\"job.noted\",\"data\":{}%s}", name,
                 i, i, more);
        send_text(s, command);
    }
}

/* The first six events are decided, and their sync is held. */
static void hold_first(live_store *s, int error)
{
    live_close(s);
    memset(&scene, 0, sizeof scene);
    scene.port = *dbk_port_system();
    scene.port.sync_file = hold_sync;
    gate_init(&scene.decider);
    gate_init(&scene.sync);
    pthread_mutex_init(&scene.mutex, NULL);
    pthread_cond_init(&scene.moved, NULL);
    atomic_store(&scene.error, error);
    s->options.port = &scene.port;
    s->options.hook = see_decision;
    live_open(s);
    send_text(s, "{\"id\":\"gate\",\"do\":\"put\",\"table\":\"notes\",\"key\":\"gate\",\"data\":{\"n\":1}}");
    gate_await(&scene.decider, 1);
    send_events(s, "a", FIRST, "");
    gate_open(&scene.decider);
    gate_await(&scene.sync, 1);
}

static int setup(void **state)
{
    return live_setup(state, schema);
}

static uint64_t position_after_reopening(live_store *s)
{
    live_close(s);
    s->options.hook = NULL;
    s->options.port = NULL;
    live_open(s);
    return dbk_log_position(dbk_engine_log(s->engine));
}

/* More are decided beside the sync of the first; nothing of either is told or in the log before it. */
static void the_next_are_decided_while_the_first_sync(void **state)
{
    live_store *s = *state;
    hold_first(s, 0);
    send_events(s, "b", SECOND, "");
    await_decisions(1 + FIRST + SURE);
    assert_int_equal(atomic_load(&scene.told.count), 1);
    assert_int_equal(dbk_log_position(dbk_engine_log(s->engine)), 1);
    gate_open(&scene.sync);
    assert_int_equal(position_after_reopening(s), 1 + FIRST + SECOND);
    assert_int_equal(atomic_load(&scene.told.count), 1 + FIRST + SECOND);
    assert_int_equal(atomic_load(&scene.told.refused), 0);
    assert_int_equal(atomic_load(&scene.told.out_of_order), 0);
}

/* What they are decided on counts: streams that were empty before the first are not any more. */
static void they_see_the_streams_of_the_first(void **state)
{
    live_store *s = *state;
    hold_first(s, 0);
    send_events(s, "b", SECOND, ",\"expect\":\"none\"");
    await_decisions(1 + FIRST + SURE - FIRST);
    gate_open(&scene.sync);
    assert_int_equal(position_after_reopening(s), 1 + SECOND); /* of the second, those on streams of their own */
    assert_int_equal(atomic_load(&scene.told.refused), FIRST);
}

/* Sent again before the first time is durable: one entry, and both are told its position. */
static void they_know_the_ids_of_the_first(void **state)
{
    live_store *s = *state;
    hold_first(s, 0);
    send_events(s, "a", FIRST, "");
    send_events(s, "b", SECOND, "");
    await_decisions(1 + FIRST + SURE - FIRST);
    gate_open(&scene.sync);
    assert_int_equal(position_after_reopening(s), 1 + FIRST + SECOND);
    assert_int_equal(atomic_load(&scene.told.count), 1 + FIRST + FIRST + SECOND);
    assert_int_equal(atomic_load(&scene.told.refused), 0);
}

/* The sync fails: the first are refused with an unknown outcome, the next without having been written. */
static void a_failed_sync_takes_both_back(void **state)
{
    live_store *s = *state;
    hold_first(s, -EIO);
    send_events(s, "b", SECOND, "");
    await_decisions(1 + FIRST + SURE);
    gate_open(&scene.sync);
    uint64_t position = position_after_reopening(s);
    assert_true(position == 1 || position == 1 + FIRST);
    assert_int_equal(atomic_load(&scene.told.count), 1 + FIRST + SECOND);
    assert_int_equal(atomic_load(&scene.told.refused), FIRST + SECOND);
    assert_int_equal(atomic_load(&scene.told.unknown), FIRST);
}

/* A row among them is decided by the ordinary way, behind all that came before it. */
static void a_row_ends_it(void **state)
{
    live_store *s = *state;
    hold_first(s, 0);
    send_events(s, "b", SECOND, "");
    send_text(s, "{\"id\":\"row\",\"do\":\"put\",\"table\":\"notes\",\"key\":\"row\",\"data\":{\"n\":2}}");
    send_events(s, "c", SECOND, "");
    await_decisions(1 + FIRST + SURE);
    gate_open(&scene.sync);
    assert_int_equal(position_after_reopening(s), 2 + FIRST + 2 * SECOND);
    assert_int_equal(atomic_load(&scene.told.out_of_order), 0);
    assert_int_equal(atomic_load(&scene.told.refused), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_next_are_decided_while_the_first_sync, setup, live_teardown),
        cmocka_unit_test_setup_teardown(they_see_the_streams_of_the_first, setup, live_teardown),
        cmocka_unit_test_setup_teardown(they_know_the_ids_of_the_first, setup, live_teardown),
        cmocka_unit_test_setup_teardown(a_failed_sync_takes_both_back, setup, live_teardown),
        cmocka_unit_test_setup_teardown(a_row_ends_it, setup, live_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
