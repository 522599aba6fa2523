/* A round of facts taken in slice by slice: who wants to decide meanwhile goes between two of them, what is seen there
 * is a state of the log, and in the end all is as if it had come at once. */
#include "tests/store/dying.h"
#include "tests/store/world_fixture.h"

#include <pthread.h>
#include <sched.h>

enum { SLICE = 4, FACTS = 60 };

static void author_facts(world *w, facts *f, const char *table, int count)
{
    char command[200];
    memset(f, 0, sizeof *f);
    for (int i = 0; i < count; i++) {
        snprintf(command, sizeof command,
                 "{\"id\":\"f%d\",\"do\":\"put\",\"table\":\"%s\",\"key\":%d,\"data\":{\"what\":\"fact %d\"}}", i,
                 table, i % 17, i);
        world_accept(w, 0, command);
    }
    for (uint64_t i = 1; i <= dbk_log_position(dbk_engine_log(w->engines[0])); i++) facts_take(f, w, 0, i);
}

static void check_rebuilt(dbk_engine *engine)
{
    dbk_model_state before, after;
    dbk_error error = {0};
    dbk_model_get_state(dbk_engine_model(engine), &before);
    assert_int_equal(before.position, dbk_log_position(dbk_engine_log(engine)));
    assert_int_equal(dbk_engine_rebuild(engine, NULL, NULL, &error), DBK_OK);
    dbk_model_get_state(dbk_engine_model(engine), &after);
    assert_memory_equal(&before.fingerprint, &after.fingerprint, sizeof before.fingerprint);
}

/* ---- between the slices */

typedef struct between {
    dbk_engine *engine;
    pthread_t importer, clients[FACTS];
    int slices, sent;
    int64_t now_ms;
    pthread_mutex_t lock;
    uint64_t positions[FACTS]; /* of the receipts */
} between;

typedef struct client {
    between *b;
    int number;
} client;

static void *decide_one(void *arg)
{
    client *c = arg;
    char text[160];
    dbk_buffer receipt;
    dbk_error error = {0};
    snprintf(text, sizeof text,
             "{\"id\":\"own%d\",\"do\":\"put\",\"table\":\"free\",\"key\":%d,\"data\":{\"what\":\"own %d\"}}",
             c->number, c->number % 17, c->number);
    dbk_slice command = dbk_slice_text(text);
    dbk_buffer_init(&receipt, dbk_port_system());
    dbk_result result = dbk_engine_decide(c->b->engine, &command, 1, c->b->now_ms, &receipt, &error);
    const char *position = result == DBK_OK ? strstr(dbk_buffer_text(&receipt), "\"position\":") : NULL;
    pthread_mutex_lock(&c->b->lock);
    c->b->positions[c->number] = position ? strtoull(position + 11, NULL, 10) : 0;
    pthread_mutex_unlock(&c->b->lock);
    dbk_buffer_release(&receipt);
    free(c);
    return NULL;
}

/* Behind the model's step of every slice a client comes, and is waited for until it wants the turn. */
static int at_point(void *arg, dbk_engine *engine, const char *point, dbk_slice id)
{
    between *b = arg;
    (void)id;
    if (strcmp(point, "committed") != 0 || !pthread_equal(pthread_self(), b->importer)) return 0;
    client *c = malloc(sizeof *c);
    assert_non_null(c);
    *c = (client){b, b->sent};
    b->slices++;
    assert_int_equal(pthread_create(&b->clients[b->sent++], NULL, decide_one, c), 0);
    while (atomic_load(&engine->wanting) == 0) sched_yield();
    return 0;
}

static void a_command_goes_between_two_slices(void **state)
{
    (void)state;
    static facts f;
    static between b;
    world w;
    uint64_t logged, parked;
    world_start(&w, 3);
    author_facts(&w, &f, "free", FACTS);
    dbk_engine_close(w.engines[1]);
    memset(&b, 0, sizeof b);
    pthread_mutex_init(&b.lock, NULL);
    w.options[1].no_threads = false;
    w.options[1].import_slice = SLICE;
    w.options[1].hook = at_point;
    w.options[1].hook_arg = &b;
    b.importer = pthread_self();
    b.now_ms = w.now_ms[1];
    world_open(&w, 1);
    b.engine = w.engines[1];
    uint64_t before = dbk_log_position(dbk_engine_log(b.engine));
    assert_int_equal(facts_deliver(&f, &w, 1, &logged, &parked), DBK_OK);
    for (int i = 0; i < b.sent; i++) pthread_join(b.clients[i], NULL);
    assert_int_equal(logged, f.count);
    assert_int_equal(b.slices, (f.count + SLICE - 1) / SLICE);
    /* the last client may come behind the whole round; each of the others stands behind its slice */
    for (int i = 0; i + 1 < b.sent; i++) assert_int_equal(b.positions[i], before + (uint64_t)(i + 1) * (SLICE + 1));
    assert_int_equal(dbk_log_position(dbk_engine_log(b.engine)), before + f.count + (uint64_t)b.sent);
    b.importer = (pthread_t){0};
    check_rebuilt(b.engine);
    pthread_mutex_destroy(&b.lock);
    facts_clear(&f);
    world_stop(&w);
}

/* ---- at the pace of the fold, by a clock of the test's own */

enum { PACED = 400, PACES = 64 };

typedef struct pacing {
    int slices;
    uint64_t sizes[PACES], last;
} pacing;

static int64_t paced_ns;

static int64_t read_paced(void *ctx)
{
    (void)ctx;
    return paced_ns;
}

/* The first five folds take long, two take about as long as they may, the others are short. */
static int fold_takes(void *arg, dbk_engine *engine, const char *point, dbk_slice id)
{
    pacing *p = arg;
    (void)id;
    if (strcmp(point, "logged") != 0) return 0;
    assert_true(p->slices < PACES);
    uint64_t now = dbk_log_position(dbk_engine_log(engine));
    p->sizes[p->slices] = now - p->last;
    p->last = now;
    paced_ns += p->slices < 5 ? 20000000 : p->slices < 7 ? 4000000 : 1000000;
    p->slices++;
    return 0;
}

static void slices_follow_the_time_that_their_fold_takes(void **state)
{
    (void)state;
    static const uint64_t expected[] = {128, 64, 32, 16, 8, 8, 8, 8, 10, 12, 15};
    static facts f;
    dbk_port port = *dbk_port_system();
    pacing p = {0};
    world w;
    port.monotonic_ns = read_paced;
    world_start(&w, 3);
    author_facts(&w, &f, "free", PACED);
    dbk_engine_close(w.engines[1]);
    w.options[1].port = &port;
    w.options[1].hook = fold_takes;
    w.options[1].hook_arg = &p;
    world_open(&w, 1);
    assert_int_equal(facts_deliver(&f, &w, 1, NULL, NULL), DBK_OK);
    for (size_t i = 0; i < sizeof expected / sizeof *expected; i++) assert_int_equal(p.sizes[i], expected[i]);
    for (int i = 8; i + 2 < p.slices; i++) assert_true(p.sizes[i + 1] > p.sizes[i] && p.sizes[i + 1] <= 128);
    assert_int_equal(p.last, PACED);
    w.engines[1]->options.hook = NULL;
    check_rebuilt(w.engines[1]);
    facts_clear(&f);
    world_stop(&w);
}

/* ---- one state, however it is sliced */

/* Facts that take a shadow come with local commands before them; a store dies at every point between the slices, and
 * the facts come again. */
static void die_and_go_on(const char *point, int after, uint32_t slice)
{
    static facts f;
    world w;
    uint64_t logged, parked;
    dying d = {after, point};
    world_start(&w, 7 + slice);
    memset(&f, 0, sizeof f);
    for (int i = 0; i < 25; i++) world_random_command(&w, 0);
    w.now_ms[1] += 5000;
    for (int i = 0; i < 12; i++) world_random_command(&w, 1);
    for (uint64_t i = 1; i <= dbk_log_position(dbk_engine_log(w.engines[0])); i++) facts_take(&f, &w, 0, i);
    dbk_engine_close(w.engines[1]);
    w.options[1].import_slice = slice;
    w.options[1].base_least = 1;
    w.options[1].hook = die_at;
    w.options[1].hook_arg = &d;
    world_open(&w, 1);
    dbk_result result = facts_deliver(&f, &w, 1, &logged, &parked);
    assert_int_equal(result, d.left < 0 ? DBK_UNAVAILABLE : DBK_OK);
    dbk_engine_close(w.engines[1]);
    w.options[1].hook = NULL;
    world_open(&w, 1);
    assert_int_equal(facts_deliver(&f, &w, 1, &logged, &parked), DBK_OK);
    assert_int_equal(parked, 0);
    check_rebuilt(w.engines[1]);
    for (size_t i = 0; i < f.count; i++) assert_int_equal(facts_deliver(&f, &w, 2, NULL, NULL), DBK_OK);
    facts_clear(&f);
    for (uint64_t i = 1; i <= dbk_log_position(dbk_engine_log(w.engines[1])); i++) facts_take(&f, &w, 1, i);
    assert_int_equal(facts_deliver(&f, &w, 2, NULL, &parked), DBK_OK);
    assert_int_equal(parked, 0);
    char one[33], other[33];
    world_fingerprint(&w, 1, one);
    world_fingerprint(&w, 2, other);
    assert_string_equal(one, other);
    facts_clear(&f);
    world_stop(&w);
}

static void a_death_between_slices_leaves_what_was_before(void **state)
{
    (void)state;
    for (int after = 0; after < 6; after++) {
        die_and_go_on("logged", after, 1 + (uint32_t)after % 3);
        die_and_go_on("committed", after, 1 + (uint32_t)after % 3);
    }
}

/* A store that lost its log gets it back from others, and goes on behind it. */
static void facts_under_the_stores_own_name_come_whole(void **state)
{
    (void)state;
    static facts f;
    world w;
    uint64_t logged, parked;
    world_start(&w, 5);
    author_facts(&w, &f, "free", 20);
    dbk_engine_close(w.engines[1]);
    memset(w.options[1].replica, 'a', 16);
    snprintf(w.paths[1], sizeof w.paths[1], "%s/again.daybook", w.folder);
    w.options[1].import_slice = 3;
    assert_int_equal(dbk_engine_create(w.paths[1], NULL, &w.options[1], NULL, &w.error), DBK_OK);
    world_open(&w, 1);
    assert_int_equal(dbk_log_position(dbk_engine_log(w.engines[1])), 0);
    assert_int_equal(facts_deliver(&f, &w, 1, &logged, &parked), DBK_OK);
    assert_int_equal(logged, f.count);
    world_accept(&w, 1, "{\"id\":\"next\",\"do\":\"put\",\"table\":\"free\",\"key\":99}");
    check_rebuilt(w.engines[1]);
    facts_clear(&f);
    world_stop(&w);
}

static void count_call(void *arg, uint64_t done, uint64_t all)
{
    (void)done, (void)all;
    ++*(int *)arg;
}

/* Whoever opens has what progress is told to on the stack, mostly. */
static void progress_is_told_of_opening_alone(void **state)
{
    (void)state;
    static facts f;
    world w;
    int calls = 0;
    world_start(&w, 9);
    author_facts(&w, &f, "free", 10);
    dbk_engine_close(w.engines[1]);
    w.options[1].progress = count_call;
    w.options[1].progress_arg = &calls;
    world_open(&w, 1);
    calls = 0;
    assert_int_equal(facts_deliver(&f, &w, 1, NULL, NULL), DBK_OK);
    check_rebuilt(w.engines[1]);
    assert_int_equal(calls, 0);
    facts_clear(&f);
    world_stop(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_command_goes_between_two_slices),
        cmocka_unit_test(slices_follow_the_time_that_their_fold_takes),
        cmocka_unit_test(a_death_between_slices_leaves_what_was_before),
        cmocka_unit_test(facts_under_the_stores_own_name_come_whole),
        cmocka_unit_test(progress_is_told_of_opening_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
