/* What others see and do while a late round comes in slices: every query sees the state of one position, undos go between two
 * slices, and in the end the rows are what the log folds to. */
#include "tests/store/dying.h"
#include "tests/store/world_fixture.h"

#include <pthread.h>
#include <sched.h>

enum { SLICE = 4, FACTS = 60, LOOKS = 4000, UNDOS = 12 };

static const char schema[] =
    "CREATE TABLE talks(id TEXT PRIMARY KEY NOT NULL, title TEXT);\n"
    "CREATE TABLE messages(id TEXT PRIMARY KEY NOT NULL, talk TEXT NOT NULL REFERENCES talks, body TEXT, n INTEGER);\n"
    "CREATE INDEX messages_talk ON messages(talk);\n"
    "CREATE TABLE pairs(id TEXT PRIMARY KEY NOT NULL, a TEXT, b TEXT);\n"
    "CREATE TABLE lines(id TEXT PRIMARY KEY NOT NULL, at INTEGER);\n";
static const char app[] = "{\"daybook\":1,\"name\":\"round\",\"retention\":[{\"name\":\"tail\",\"table\":\"lines\","
                          "\"keep\":{\"last\":3,\"by\":\"at\"}}]}";

static dbk_definition *definition_of_rounds(void)
{
    dbk_source sources[2] = {{"schema.sql", dbk_slice_text(schema)}, {"app.json", dbk_slice_text(app)}};
    return definition_of_sources(sources, 2);
}

__attribute__((format(printf, 3, 4))) static void accept(world *w, size_t i, const char *format, ...)
{
    char command[400];
    va_list args;
    va_start(args, format);
    vsnprintf(command, sizeof command, format, args);
    va_end(args);
    world_accept(w, i, command);
}

/* Store 1 has written beside what store 0 tells now: half of the entries make a message and a pair in one, so that there
 * are as many of one as of the other at every position; the others change rows that store 1 changed later. */
static void author(world *w, facts *f, bool lines)
{
    memset(f, 0, sizeof *f);
    world_accept(w, 0, "{\"id\":\"t\",\"do\":\"put\",\"table\":\"talks\",\"key\":\"t\",\"data\":{\"title\":\"t\"}}");
    world_accept(w, 0, "{\"id\":\"p\",\"do\":\"put\",\"table\":\"pairs\",\"key\":\"p\",\"data\":{\"a\":\"p\"}}");
    world_accept(w, 0, "{\"id\":\"m\",\"do\":\"put\",\"table\":\"messages\",\"key\":\"m\",\"data\":{\"talk\":\"t\"}}");
    for (uint64_t i = 1; i <= 3; i++) facts_take(f, w, 0, i);
    assert_int_equal(facts_deliver(f, w, 1, NULL, NULL), DBK_OK);
    facts_clear(f);
    accept(w, 1, "{\"id\":\"both\",\"do\":\"put\",\"table\":\"messages\",\"key\":\"both\",\"data\":{\"talk\":\"t\"}}");
    if (w->now_ms[0] <= w->now_ms[1]) w->now_ms[0] = w->now_ms[1] + 1;
    w->now_ms[1] += 1000000;
    accept(w, 1, "{\"id\":\"own\",\"do\":\"patch\",\"table\":\"pairs\",\"key\":\"p\",\"data\":{\"b\":\"own\"}}");
    accept(w, 1, "{\"id\":\"own2\",\"do\":\"patch\",\"table\":\"messages\",\"key\":\"m\",\"data\":{\"n\":5}}");
    for (int i = 0; i < FACTS; i++) {
        if (lines && i == FACTS - 5)
            accept(w, 0, "{\"id\":\"l\",\"do\":\"put\",\"table\":\"lines\",\"key\":\"l\",\"data\":{\"at\":1}}");
        else if (i % 4 == 1)
            accept(w, 0, "{\"id\":\"c%d\",\"do\":\"patch\",\"table\":\"pairs\",\"key\":\"p\",\"data\":{\"a\":\"%d\"}}",
                   i, i);
        else if (i % 8 == 7) /* of a row that store 1 had put before */
            accept(w, 0,
                   "{\"id\":\"c%d\",\"do\":\"put\",\"table\":\"messages\",\"key\":\"both\",\"data\":{\"talk\":\"t\","
                   "\"n\":%d}}",
                   i, i);
        else if (i % 4 == 3)
            accept(w, 0, "{\"id\":\"c%d\",\"do\":\"patch\",\"table\":\"messages\",\"key\":\"m\",\"data\":{\"n\":%d}}",
                   i, i);
        else
            accept(
                w, 0,
                "{\"id\":\"c%d\",\"do\":\"batch\",\"commands\":[{\"do\":\"put\",\"table\":\"pairs\",\"key\":\"k%d\"},"
                "{\"do\":\"put\",\"table\":\"messages\",\"key\":\"k%d\",\"data\":{\"talk\":\"t\"}}]}",
                i, i, i);
    }
    for (uint64_t i = 4; i <= dbk_log_position(dbk_engine_log(w->engines[0])); i++) facts_take(f, w, 0, i);
    if (w->now_ms[1] < w->now_ms[0]) w->now_ms[1] = w->now_ms[0];
}

static void reopen(world *w, dbk_hook_fn hook, void *arg)
{
    dbk_engine_close(w->engines[1]);
    w->options[1].no_threads = false;
    w->options[1].import_slice = SLICE;
    w->options[1].base_least = 1;
    w->options[1].hook = hook;
    w->options[1].hook_arg = arg;
    world_open(w, 1);
}

/* ---- queries */

static const char look_now[] =
    "{\"do\":\"query\",\"sql\":\"SELECT count(*), group_concat(a), group_concat(b), (SELECT count(*) FROM messages), "
    "(SELECT n FROM messages WHERE id = 'm'), (SELECT count(*) FROM lines) FROM pairs\"";

typedef struct looking {
    world *w;
    pthread_t importer;
    atomic_bool stop;
    _Atomic uint64_t looks;
    char request[400];
    char *seen[LOOKS]; /* answers, one after the other */
    size_t count;
} looking;

static void *look(void *arg)
{
    looking *l = arg;
    while (!atomic_load(&l->stop) && l->count < LOOKS) {
        char *answer = world_ask(l->w, 1, l->request);
        bool same = l->count > 0 && strcmp(answer, l->seen[l->count - 1]) == 0;
        if (same) free(answer);
        else l->seen[l->count++] = answer;
        atomic_fetch_add(&l->looks, 1);
    }
    return NULL;
}

/* The next slice waits until what this one left was looked at. */
static int wait_for_a_look(void *arg, dbk_engine *engine, const char *point, dbk_slice id)
{
    looking *l = arg;
    (void)engine, (void)id;
    if (strcmp(point, "committed") != 0 || !pthread_equal(pthread_self(), l->importer)) return 0;
    uint64_t until = atomic_load(&l->looks) + 2;
    while (atomic_load(&l->looks) < until) sched_yield();
    return 0;
}

static uint64_t position_of(const char *answer)
{
    const char *at = strstr(answer, "\"position\":");
    if (!at) fail_msg("no position in %s", answer);
    return strtoull(at + 11, NULL, 10);
}

static char *rows_of(char *answer)
{
    char *rows = strstr(answer, "\"rows\":");
    if (!rows) fail_msg("no rows in %s", answer);
    return rows;
}

static void look_at_round(bool lines)
{
    static facts f;
    static looking l;
    world w;
    pthread_t thread;
    uint64_t parked, last = 0;
    memset(&l, 0, sizeof l);
    world_start_with(&w, 3, definition_of_rounds());
    author(&w, &f, lines);
    l.w = &w;
    snprintf(l.request, sizeof l.request, "%s}", look_now);
    l.importer = pthread_self();
    reopen(&w, wait_for_a_look, &l);
    assert_int_equal(pthread_create(&thread, NULL, look, &l), 0);
    assert_int_equal(facts_deliver(&f, &w, 1, NULL, &parked), DBK_OK);
    atomic_store(&l.stop, true);
    pthread_join(thread, NULL);
    assert_true(l.count >= (lines ? FACTS - 8 : FACTS) / SLICE);
    for (size_t i = 0; i < l.count; i++) {
        char request[500];
        uint64_t position = position_of(l.seen[i]);
        assert_true(position >= last);
        last = position;
        snprintf(request, sizeof request, "%s,\"at\":%llu}", look_now, (unsigned long long)position);
        char *then = world_ask(&w, 1, request);
        assert_string_equal(rows_of(l.seen[i]), rows_of(then));
        free(then);
        free(l.seen[i]);
    }
    assert_int_equal(w.engines[1]->counts.aheads, lines);
    world_assert_folds(&w, 1);
    facts_clear(&f);
    world_stop(&w);
}

static void a_query_sees_the_state_of_one_position(void **state)
{
    (void)state;
    look_at_round(false);
    look_at_round(true); /* the last slices come with a shadow, begun beside the turns */
}

/* ---- undos between the slices */

typedef struct undoing {
    world *w;
    pthread_t importer, clients[UNDOS];
    int started;
    atomic_int accepted;
} undoing;

typedef struct client {
    undoing *u;
    int number;
} client;

/* Of the store's own entries, of those that just came, and of what was undone. */
static void *undo_one(void *arg)
{
    client *c = arg;
    char text[160];
    dbk_buffer receipt;
    dbk_error error = {0};
    unsigned long long positions[] = {5, 7 + (unsigned)c->number * 3, 2, 6, 11 + (unsigned)c->number * 4};
    snprintf(text, sizeof text, "{\"id\":\"u%d\",\"do\":\"undo\",\"position\":%llu}", c->number,
             positions[c->number % 5]);
    dbk_buffer_init(&receipt, dbk_port_system());
    dbk_result result =
        dbk_engine_undo(c->u->w->engines[1], dbk_slice_text(text), c->u->w->now_ms[1], &receipt, &error);
    const char *answer = result == DBK_OK ? dbk_buffer_text(&receipt) : NULL;
    if (answer && strstr(answer, "\"ok\":true")) atomic_fetch_add(&c->u->accepted, 1);
    dbk_buffer_release(&receipt);
    free(c);
    return NULL;
}

static int start_an_undo(void *arg, dbk_engine *engine, const char *point, dbk_slice id)
{
    undoing *u = arg;
    (void)id;
    if (strcmp(point, "committed") != 0 || !pthread_equal(pthread_self(), u->importer) || u->started == UNDOS) return 0;
    client *c = malloc(sizeof *c);
    assert_non_null(c);
    *c = (client){u, u->started};
    assert_int_equal(pthread_create(&u->clients[u->started++], NULL, undo_one, c), 0);
    for (int i = 0; i < 1000 && atomic_load(&engine->wanting) == 0; i++) sched_yield();
    return 0;
}

static void undo_amid(bool lines)
{
    static facts f;
    undoing u = {0};
    world w;
    uint64_t parked;
    char one[33], other[33];
    world_start_with(&w, 5, definition_of_rounds());
    author(&w, &f, lines);
    u.w = &w;
    u.importer = pthread_self();
    reopen(&w, start_an_undo, &u);
    assert_int_equal(facts_deliver(&f, &w, 1, NULL, &parked), DBK_OK);
    for (int i = 0; i < u.started; i++) pthread_join(u.clients[i], NULL);
    if (u.started < 5 || atomic_load(&u.accepted) < 3)
        fail_msg("%d undos started, %d accepted", u.started, atomic_load(&u.accepted));
    world_assert_folds(&w, 1);
    facts_clear(&f);
    for (uint64_t i = 1; i <= dbk_log_position(dbk_engine_log(w.engines[1])); i++) facts_take(&f, &w, 1, i);
    w.now_ms[2] = w.now_ms[1];
    assert_int_equal(facts_deliver(&f, &w, 2, NULL, &parked), DBK_OK);
    assert_int_equal(parked, 0);
    world_fingerprint(&w, 1, one);
    world_fingerprint(&w, 2, other);
    assert_string_equal(one, other);
    facts_clear(&f);
    world_stop(&w);
}

static void undos_go_between_the_slices(void **state)
{
    (void)state;
    undo_amid(false);
    undo_amid(true);
}

/* ---- deaths */

/* New rows, patches, and rows that are put again: none of them takes a shadow, whichever slice was the last. */
static void die_amid(const char *point, int after)
{
    static facts f;
    dying d = {after, point};
    world w;
    uint64_t parked;
    world_start_with(&w, 3, definition_of_rounds());
    author(&w, &f, false);
    reopen(&w, die_at, &d);
    assert_int_equal(facts_deliver(&f, &w, 1, NULL, &parked), DBK_UNAVAILABLE);
    reopen(&w, NULL, NULL);
    world_assert_folds(&w, 1);
    assert_int_equal(facts_deliver(&f, &w, 1, NULL, &parked), DBK_OK);
    assert_int_equal(parked, 0);
    assert_int_equal(w.engines[1]->counts.rebuilds, 0);
    world_assert_folds(&w, 1);
    facts_clear(&f);
    world_stop(&w);
}

static void a_death_amid_the_round_loses_nothing(void **state)
{
    (void)state;
    for (int after = 0; after < FACTS / SLICE; after += 3) {
        die_amid("logged", after);
        die_amid("committed", after + 1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_query_sees_the_state_of_one_position),
        cmocka_unit_test(undos_go_between_the_slices),
        cmocka_unit_test(a_death_amid_the_round_loses_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
