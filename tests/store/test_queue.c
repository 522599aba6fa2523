/* The queue before the decider, with many threads: who decides, in which order, what is answered how
 * often, and what may be read, subscribed and switched beside it. */
#include <time.h>

#include "store/engine.h"
#include "tests/store/store_fixture.h"

static const char schema[] = "CREATE TABLE notes (id TEXT PRIMARY KEY NOT NULL, n INTEGER);";

enum { THREADS = 8, EACH = 60 };

static int setup(void **state)
{
    return live_setup(state, schema);
}

static void write_put(char *out, size_t size, const char *id, long long n)
{
    snprintf(out, size, "{\"id\":\"%s\",\"do\":\"put\",\"table\":\"notes\",\"key\":\"%s\",\"data\":{\"n\":%lld}}", id,
             id, n);
}

static dbk_result do_text(dbk_store *store, const char *json, dbk_text *receipt)
{
    dbk_error error = {0};
    return dbk_do(store, json, strlen(json), receipt, &error);
}

static long long rows_of(dbk_store *store)
{
    dbk_text answer;
    dbk_error error = {0};
    assert_int_equal(dbk_query(store, "SELECT count(*) AS c FROM notes", NULL, NULL, &answer, &error), DBK_OK);
    const char *rows = strstr(answer.data, "\"rows\":[[");
    assert_non_null(rows);
    long long count = strtoll(rows + strlen("\"rows\":[["), NULL, 10);
    dbk_text_free(&answer);
    return count;
}

/* ---- dbk_do */

typedef struct caller {
    live_store *s;
    unsigned number, wrong;
    pthread_t thread;
} caller;

/* Its receipts are its own, accepted, at ever higher positions. */
static void *call_many(void *arg)
{
    caller *c = arg;
    long long last = 0;
    for (unsigned i = 0; i < EACH; i++) {
        char id[32], command[200], start[64];
        dbk_text receipt = {0};
        snprintf(id, sizeof id, "c%u-%u", c->number, i);
        write_put(command, sizeof command, id, i);
        snprintf(start, sizeof start, "{\"id\":\"%s\",\"ok\":true,", id);
        bool good = do_text(c->s->store, command, &receipt) == DBK_OK &&
                    strncmp(receipt.data, start, strlen(start)) == 0 && number_of(receipt.data, "position") > last;
        if (good) last = number_of(receipt.data, "position");
        else c->wrong++;
        dbk_text_free(&receipt);
    }
    return NULL;
}

static void callers_run(live_store *s, caller *callers, size_t count, void *(*run)(void *))
{
    for (size_t i = 0; i < count; i++) {
        callers[i] = (caller){.s = s, .number = (unsigned)i};
        assert_int_equal(pthread_create(&callers[i].thread, NULL, run, &callers[i]), 0);
    }
}

static void callers_join(caller *callers, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        pthread_join(callers[i].thread, NULL);
        assert_int_equal(callers[i].wrong, 0);
    }
}

static void eight_callers_get_their_own_receipts_in_order(void **state)
{
    live_store *s = *state;
    caller callers[THREADS];
    callers_run(s, callers, THREADS, call_many);
    callers_join(callers, THREADS);
    assert_int_equal(dbk_log_position(dbk_engine_log(s->engine)), THREADS * EACH);
    assert_int_equal(rows_of(s->store), THREADS * EACH);
}

/* ---- dbk_send */

typedef struct sender {
    live_store *s;
    unsigned number, refused;
    atomic_uint answered[EACH]; /* per command: how often */
    long long positions[EACH];
    unsigned order[EACH]; /* command numbers as answered; only the deciding thread writes */
    unsigned count;
    pthread_t thread;
} sender;

typedef struct sent {
    sender *from;
    unsigned index;
} sent;

static void note_answer(void *arg, const char *receipt, size_t size)
{
    sent *s = arg;
    (void)size;
    atomic_fetch_add(&s->from->answered[s->index], 1);
    s->from->positions[s->index] = number_of(receipt, "position");
    if (s->from->count < EACH) s->from->order[s->from->count++] = s->index;
    free(s);
}

static void *send_many(void *arg)
{
    sender *s = arg;
    for (unsigned i = 0; i < EACH; i++) {
        char id[32], command[200];
        sent *item = malloc(sizeof *item);
        *item = (sent){s, i};
        snprintf(id, sizeof id, "s%u-%u", s->number, i);
        write_put(command, sizeof command, id, i);
        if (dbk_send(s->s->store, command, strlen(command), note_answer, item, NULL) == DBK_OK) continue;
        s->refused++;
        free(item);
    }
    return NULL;
}

static void callbacks_come_once_and_in_the_order_of_each_thread(void **state)
{
    live_store *s = *state;
    static sender senders[4];
    memset(senders, 0, sizeof senders);
    for (unsigned i = 0; i < 4; i++) {
        senders[i].s = s;
        senders[i].number = i;
        assert_int_equal(pthread_create(&senders[i].thread, NULL, send_many, &senders[i]), 0);
    }
    caller callers[2];
    callers_run(s, callers, 2, call_many); /* who waits gets in between, and disturbs no order */
    for (unsigned i = 0; i < 4; i++) pthread_join(senders[i].thread, NULL);
    callers_join(callers, 2);
    live_close(s);
    for (unsigned i = 0; i < 4; i++) {
        assert_int_equal(senders[i].refused, 0);
        assert_int_equal(senders[i].count, EACH);
        for (unsigned k = 0; k < EACH; k++) {
            assert_int_equal(atomic_load(&senders[i].answered[k]), 1);
            assert_int_equal(senders[i].order[k], k);
            assert_true(senders[i].positions[k] > (k ? senders[i].positions[k - 1] : 0));
        }
    }
    live_open(s);
    assert_int_equal(rows_of(s->store), 6 * EACH);
}

static void count_one(void *arg, const char *receipt, size_t size)
{
    (void)receipt;
    (void)size;
    atomic_fetch_add((atomic_uint *)arg, 1);
}

static void what_a_thread_sent_is_decided_before_what_it_then_does(void **state)
{
    live_store *s = *state;
    atomic_uint answered = 0;
    for (unsigned round = 0; round < 20; round++) {
        char id[32], command[200];
        for (unsigned i = 0; i < 5; i++) {
            snprintf(id, sizeof id, "r%u-%u", round, i);
            write_put(command, sizeof command, id, i);
            assert_int_equal(dbk_send(s->store, command, strlen(command), count_one, &answered, NULL), DBK_OK);
        }
        dbk_text receipt;
        snprintf(id, sizeof id, "r%u-last", round);
        write_put(command, sizeof command, id, 0);
        assert_int_equal(do_text(s->store, command, &receipt), DBK_OK);
        assert_int_equal(number_of(receipt.data, "position"), (round + 1) * 6);
        dbk_text_free(&receipt);
    }
    live_close(s);
    assert_int_equal(atomic_load(&answered), 100);
    live_open(s);
}

/* ---- who decides */

typedef struct witness {
    pthread_t decider;
    unsigned decisions;
} witness;

static int see_decider(void *arg, dbk_engine *engine, const char *point, dbk_slice id)
{
    witness *w = arg;
    (void)engine;
    (void)id;
    if (strcmp(point, "decide") != 0) return 0;
    w->decider = pthread_self();
    w->decisions++;
    return 0;
}

static void who_waits_alone_decides_by_itself(void **state)
{
    live_store *s = *state;
    witness seen = {0};
    dbk_text receipt;
    atomic_uint answered = 0;
    live_close(s);
    s->options.hook = see_decider;
    s->options.hook_arg = &seen;
    live_open(s);
    char command[200];
    write_put(command, sizeof command, "a", 1);
    assert_int_equal(do_text(s->store, command, &receipt), DBK_OK);
    dbk_text_free(&receipt);
    assert_int_equal(seen.decisions, 1);
    assert_true(pthread_equal(seen.decider, pthread_self()));
    write_put(command, sizeof command, "b", 1);
    assert_int_equal(dbk_send(s->store, command, strlen(command), count_one, &answered, NULL), DBK_OK);
    live_close(s);
    assert_int_equal(seen.decisions, 2);
    assert_int_equal(atomic_load(&answered), 1);
    assert_false(pthread_equal(seen.decider, pthread_self()));
    s->options.hook = NULL;
    live_open(s);
}

/* ---- fullness and the end */

static int wait_at_gate(void *arg, dbk_engine *engine, const char *point, dbk_slice id)
{
    (void)engine;
    if (strcmp(point, "decide") == 0 && dbk_slice_equal(id, dbk_slice_text("gate"))) gate_pass(arg);
    return 0;
}

static void hold_decider(live_store *s, gate *g, atomic_uint *answered)
{
    char command[200];
    gate_init(g);
    live_close(s);
    s->options.hook = wait_at_gate;
    s->options.hook_arg = g;
    live_open(s);
    write_put(command, sizeof command, "gate", 1);
    assert_int_equal(dbk_send(s->store, command, strlen(command), count_one, answered, NULL), DBK_OK);
    gate_await(g, 1);
}

static void the_queue_is_full_at_65536(void **state)
{
    live_store *s = *state;
    gate g;
    dbk_error error = {0};
    dbk_text receipt = {0};
    atomic_uint answered = 0;
    hold_decider(s, &g, &answered);
    for (unsigned i = 0; i < 65536; i++)
        assert_int_equal(dbk_send(s->store, "{}", 2, count_one, &answered, &error), DBK_OK);
    assert_int_equal(dbk_send(s->store, "{}", 2, count_one, &answered, &error), DBK_BUSY);
    assert_string_equal(error.text, "65536 commands are waiting already");
    assert_string_equal(error.hint, "wait for receipts before sending more");
    assert_int_equal(dbk_do(s->store, "{}", 2, &receipt, &error), DBK_BUSY);
    assert_null(receipt.data);
    assert_int_equal(atomic_load(&answered), 0);
    gate_open(&g);
    live_close(s);
    assert_int_equal(atomic_load(&answered), 65537);
    s->options.hook = NULL;
    live_open(s);
    assert_int_equal(rows_of(s->store), 1);
}

static void *close_store(void *arg)
{
    dbk_close(arg);
    return NULL;
}

static void closing_answers_what_waits(void **state)
{
    live_store *s = *state;
    gate g;
    pthread_t closer;
    atomic_uint answered = 0;
    hold_decider(s, &g, &answered);
    for (unsigned i = 0; i < 50; i++) {
        char id[16], command[200];
        snprintf(id, sizeof id, "w%u", i);
        write_put(command, sizeof command, id, i);
        assert_int_equal(dbk_send(s->store, command, strlen(command), count_one, &answered, NULL), DBK_OK);
        assert_int_equal(dbk_send(s->store, "{\"do\":\"status\"}", 15, count_one, &answered, NULL), DBK_OK);
    }
    assert_int_equal(pthread_create(&closer, NULL, close_store, s->store), 0);
    gate_open(&g);
    pthread_join(closer, NULL);
    assert_int_equal(atomic_load(&answered), 101);
    s->options.hook = NULL;
    live_open(s);
    assert_int_equal(rows_of(s->store), 51);
}

/* Each callback sends the next command, until the store says that it is closing. */
typedef struct chain {
    dbk_store *store;
    unsigned sent;
    atomic_uint answered;
    dbk_result end;
    gate started;
} chain;

static void send_next(void *arg, const char *receipt, size_t size)
{
    chain *c = arg;
    char id[32], command[200];
    (void)receipt;
    (void)size;
    if (atomic_fetch_add(&c->answered, 1) == 3) gate_pass(&c->started);
    snprintf(id, sizeof id, "k%u", c->sent);
    write_put(command, sizeof command, id, c->sent);
    c->end = dbk_send(c->store, command, strlen(command), send_next, c, NULL);
    if (c->end == DBK_OK) c->sent++;
}

static void a_callback_may_send_and_is_refused_once_the_store_closes(void **state)
{
    live_store *s = *state;
    chain c = {.store = s->store, .sent = 1};
    char command[200];
    gate_init(&c.started);
    c.started.open = true;
    write_put(command, sizeof command, "k0", 0);
    assert_int_equal(dbk_send(s->store, command, strlen(command), send_next, &c, NULL), DBK_OK);
    gate_await(&c.started, 1);
    live_close(s);
    assert_int_equal(c.end, DBK_UNAVAILABLE);
    assert_int_equal(atomic_load(&c.answered), c.sent);
    live_open(s);
    assert_int_equal(rows_of(s->store), c.sent);
}

/* ---- arrays and requests */

static void an_array_is_answered_in_order_and_reads_what_it_wrote(void **state)
{
    live_store *s = *state;
    dbk_text receipt;
    assert_int_equal(
        do_text(s->store,
                "[{\"id\":\"1\",\"do\":\"put\",\"table\":\"notes\",\"key\":\"a\",\"data\":{\"n\":1}},"
                "{\"do\":\"get\",\"table\":\"notes\",\"key\":\"a\"},"
                "{\"id\":\"2\",\"do\":\"patch\",\"table\":\"notes\",\"key\":\"a\",\"data\":{\"n\":2}},"
                "{\"do\":\"query\",\"sql\":\"SELECT n FROM notes\"},{\"do\":\"get\"},{\"do\":\"nothing\"},7]",
                &receipt),
        DBK_OK);
    const char *parts[] = {"[{\"id\":\"1\",\"ok\":true,\"position\":1,",
                           "\"n\":1",
                           "{\"id\":\"2\",\"ok\":true,\"position\":2,",
                           "\"rows\":[[2]]",
                           "\"message\":\"'get' needs 'table'\"",
                           "there is no command 'nothing'",
                           "\"message\":\"a command is a JSON object\",\"outcome\":\"none\"}]"};
    const char *at = receipt.data;
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++) {
        const char *found = strstr(at, parts[i]);
        if (!found) print_error("%s\n%s\n", parts[i], receipt.data);
        assert_non_null(found);
        at = found;
    }
    dbk_text_free(&receipt);
    assert_int_equal(do_text(s->store, "[]", &receipt), DBK_OK);
    assert_string_equal(receipt.data, "[]");
    dbk_text_free(&receipt);
    assert_int_equal(do_text(s->store, "[", &receipt), DBK_OK);
    assert_non_null(strstr(receipt.data, "\"error\":\"bad_json\""));
    dbk_text_free(&receipt);
}

/* ---- beside the decider */

typedef struct beside {
    live_store *s;
    atomic_bool stop;
    unsigned rounds, wrong;
    pthread_t thread;
} beside;

static void *read_beside(void *arg)
{
    beside *b = arg;
    long long last = 0;
    while (!atomic_load(&b->stop) || b->rounds < 3) {
        dbk_text answer;
        dbk_error error = {0};
        dbk_result result = dbk_query(b->s->store, "SELECT count(*) AS c FROM notes", NULL, NULL, &answer, &error);
        if (result == DBK_OK) { /* one commit's rows, with that commit's position, never an older one */
            long long position = number_of(answer.data, "position"),
                      rows = strtoll(strstr(answer.data, "[[") + 2, NULL, 10);
            if (rows != position || position < last) b->wrong++;
            last = position;
            dbk_text_free(&answer);
        } else {
            b->wrong++;
        }
        b->rounds++;
    }
    return NULL;
}

static void *ask_beside(void *arg)
{
    beside *b = arg;
    static const char *const requests[] = {"{\"do\":\"status\"}",
                                           "{\"do\":\"stats\"}",
                                           "{\"do\":\"log\",\"limit\":3}",
                                           "{\"do\":\"hello\"}",
                                           "{\"do\":\"list\",\"table\":\"notes\",\"limit\":2}",
                                           "{\"do\":\"fingerprint\"}",
                                           "{\"do\":\"changes\",\"table\":\"notes\"}",
                                           "{\"do\":\"inbox\"}"};
    while (!atomic_load(&b->stop) || b->rounds < 8) {
        dbk_text answer = {0};
        const char *request = requests[b->rounds++ % (sizeof requests / sizeof *requests)];
        if (do_text(b->s->store, request, &answer) != DBK_OK || !strstr(answer.data, "\"ok\":true")) b->wrong++;
        dbk_text_free(&answer);
    }
    return NULL;
}

static void *head_beside(void *arg)
{
    beside *b = arg;
    long long last = 0;
    dbk_buffer head;
    dbk_buffer_init(&head, dbk_port_system());
    while (!atomic_load(&b->stop) || b->rounds < 3) {
        dbk_buffer_clear(&head);
        bool good = dbk_engine_head_message(b->s->engine, &head, NULL) == DBK_OK && dbk_buffer_text(&head) &&
                    strncmp((const char *)head.data, "{\"head\":true,", 13) == 0;
        long long position = good ? number_of((const char *)head.data, "position") : -1;
        if (position < last) b->wrong++;
        last = position;
        b->rounds++;
    }
    dbk_buffer_release(&head);
    return NULL;
}

static void reading_goes_on_beside_deciding(void **state)
{
    live_store *s = *state;
    caller callers[3];
    beside others[4] = {0};
    void *(*const runs[4])(void *) = {read_beside, read_beside, ask_beside, head_beside};
    for (size_t i = 0; i < 4; i++) {
        others[i].s = s;
        assert_int_equal(pthread_create(&others[i].thread, NULL, runs[i], &others[i]), 0);
    }
    callers_run(s, callers, 3, call_many);
    callers_join(callers, 3);
    for (size_t i = 0; i < 4; i++) {
        atomic_store(&others[i].stop, true);
        pthread_join(others[i].thread, NULL);
        assert_int_equal(others[i].wrong, 0);
    }
    assert_int_equal(rows_of(s->store), 3 * EACH);
}

static void a_rebuild_beside_deciding_loses_nothing(void **state)
{
    live_store *s = *state;
    caller callers[3];
    beside reader = {.s = s};
    assert_int_equal(pthread_create(&reader.thread, NULL, read_beside, &reader), 0);
    callers_run(s, callers, 3, call_many);
    for (int i = 0; i < 3; i++) {
        dbk_error error = {0};
        assert_int_equal(dbk_engine_rebuild(s->engine, NULL, NULL, &error), DBK_OK);
    }
    callers_join(callers, 3);
    atomic_store(&reader.stop, true);
    pthread_join(reader.thread, NULL);
    assert_int_equal(reader.wrong, 0);
    const char *timeline;
    uint64_t generation, position;
    dbk_engine_cursor(s->engine, &timeline, &generation, &position);
    assert_string_equal(timeline, "t");
    assert_int_equal(generation, 4);
    assert_int_equal(position, 3 * EACH);
    assert_int_equal(rows_of(s->store), 3 * EACH);
}

/* ---- subscriptions */

typedef struct follower {
    long long last;
    unsigned messages, wrong, after_end;
    atomic_bool ended;
} follower;

static void follow(void *arg, const char *message, size_t size)
{
    follower *f = arg;
    (void)size;
    if (atomic_load(&f->ended)) f->after_end++;
    long long previous = number_of(message, "previous"), position = number_of(message, "position");
    if (f->messages > 0 && previous != f->last) f->wrong++;
    if (position <= f->last) f->wrong++;
    f->last = position;
    f->messages++;
}

static void subscriptions_come_and_go_beside_deciding(void **state)
{
    live_store *s = *state;
    caller callers[3];
    follower whole = {0};
    dbk_subscription *all = NULL;
    dbk_error error = {0};
    assert_int_equal(dbk_subscribe(s->store, NULL, NULL, follow, &whole, &all, &error), DBK_OK);
    callers_run(s, callers, 3, call_many);
    for (int i = 0; i < 40; i++) {
        follower brief = {0};
        dbk_subscription *one = NULL;
        assert_int_equal(dbk_subscribe(s->store, "notes", NULL, follow, &brief, &one, &error), DBK_OK);
        dbk_unsubscribe(one);
        atomic_store(&brief.ended, true);
        assert_int_equal(brief.wrong, 0);
        assert_int_equal(brief.after_end, 0);
    }
    callers_join(callers, 3);
    dbk_unsubscribe(all);
    assert_int_equal(whole.wrong, 0);
    assert_int_equal(whole.last, 3 * EACH);
}

/* ---- batches */

static void reopen_with(live_store *s, dbk_batch_limits batch)
{
    live_close(s);
    s->options.batch = batch;
    live_open(s);
}

typedef struct answers {
    atomic_int count;
} answers;

static void count_answer(void *arg, const char *receipt, size_t size)
{
    answers *a = arg;
    if (size > 0 && strstr(receipt, "\"ok\":true")) atomic_fetch_add(&a->count, 1);
}

static void send_put(live_store *s, int number, answers *a)
{
    char id[32], command[200];
    dbk_error error = {0};
    snprintf(id, sizeof id, "b%d", number);
    write_put(command, sizeof command, id, number);
    assert_int_equal(dbk_send(s->store, command, strlen(command), count_answer, a, &error), DBK_OK);
}

static int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void wait_for_answers(answers *a, int count)
{
    for (int64_t end = now_ms() + 20000; atomic_load(&a->count) < count && now_ms() < end;) sched_yield();
    assert_int_equal(atomic_load(&a->count), count);
}

static long long batches_of(live_store *s)
{
    dbk_text answer = {0};
    assert_int_equal(do_text(s->store, "{\"do\":\"stats\"}", &answer), DBK_OK);
    long long batches = number_of(answer.data, "batches");
    dbk_text_free(&answer);
    return batches;
}

/* An hour of delay, and batches of four: three wait, the fourth takes all along; so do as many bytes. */
static void a_batch_waits_until_it_is_full(void **state)
{
    live_store *s = *state;
    for (int by_bytes = 0; by_bytes < 2; by_bytes++) {
        answers a = {.count = 0};
        reopen_with(
            s, (dbk_batch_limits){.count = by_bytes ? 0 : 4, .bytes = by_bytes ? 300 : 0, .delay_us = 3600000000u});
        for (int i = 0; i < 3; i++) send_put(s, 10 * by_bytes + i, &a);
        assert_int_equal(atomic_load(&a.count), 0);
        send_put(s, 10 * by_bytes + 3, &a);
        if (by_bytes) send_put(s, 10 * by_bytes + 4, &a);
        wait_for_answers(&a, 4 + by_bytes);
        assert_int_equal(s->engine->counts.batches, 1);
    }
}

/* Alone it waits as long as was asked for, also where its caller would decide by itself. */
static void a_delay_ends(void **state)
{
    live_store *s = *state;
    char command[200];
    dbk_text receipt = {0};
    reopen_with(s, (dbk_batch_limits){.delay_us = 30000});
    int64_t begin = now_ms();
    write_put(command, sizeof command, "d", 1);
    assert_int_equal(do_text(s->store, command, &receipt), DBK_OK);
    assert_true(now_ms() - begin >= 29);
    assert_non_null(strstr(receipt.data, "\"ok\":true"));
    dbk_text_free(&receipt);
}

/* What waits is decided when the store closes. */
static void closing_waits_for_no_delay(void **state)
{
    live_store *s = *state;
    answers a = {.count = 0};
    reopen_with(s, (dbk_batch_limits){.delay_us = 3600000000u});
    for (int i = 0; i < 3; i++) send_put(s, i, &a);
    live_close(s);
    assert_int_equal(atomic_load(&a.count), 3);
    s->options.batch = (dbk_batch_limits){0};
    live_open(s);
    assert_int_equal(rows_of(s->store), 3);
}

/* Without a delay a limit cuts what waits: nine in batches of two are five at least. */
static void a_batch_holds_no_more_than_its_limit(void **state)
{
    live_store *s = *state;
    answers a = {.count = 0};
    reopen_with(s, (dbk_batch_limits){.count = 2});
    for (int i = 0; i < 9; i++) send_put(s, i, &a);
    wait_for_answers(&a, 9);
    assert_true(batches_of(s) >= 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(eight_callers_get_their_own_receipts_in_order, setup, live_teardown),
        cmocka_unit_test_setup_teardown(callbacks_come_once_and_in_the_order_of_each_thread, setup, live_teardown),
        cmocka_unit_test_setup_teardown(what_a_thread_sent_is_decided_before_what_it_then_does, setup, live_teardown),
        cmocka_unit_test_setup_teardown(who_waits_alone_decides_by_itself, setup, live_teardown),
        cmocka_unit_test_setup_teardown(the_queue_is_full_at_65536, setup, live_teardown),
        cmocka_unit_test_setup_teardown(closing_answers_what_waits, setup, live_teardown),
        cmocka_unit_test_setup_teardown(a_callback_may_send_and_is_refused_once_the_store_closes, setup, live_teardown),
        cmocka_unit_test_setup_teardown(an_array_is_answered_in_order_and_reads_what_it_wrote, setup, live_teardown),
        cmocka_unit_test_setup_teardown(a_batch_waits_until_it_is_full, setup, live_teardown),
        cmocka_unit_test_setup_teardown(a_delay_ends, setup, live_teardown),
        cmocka_unit_test_setup_teardown(closing_waits_for_no_delay, setup, live_teardown),
        cmocka_unit_test_setup_teardown(a_batch_holds_no_more_than_its_limit, setup, live_teardown),
        cmocka_unit_test_setup_teardown(reading_goes_on_beside_deciding, setup, live_teardown),
        cmocka_unit_test_setup_teardown(a_rebuild_beside_deciding_loses_nothing, setup, live_teardown),
        cmocka_unit_test_setup_teardown(subscriptions_come_and_go_beside_deciding, setup, live_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
