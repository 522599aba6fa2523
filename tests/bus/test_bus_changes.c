/* The change feed over the bus: whatever is lost on the way, a subscriber ends equal to the model and
 * sees each table move forward only. The replica below keeps `n` of each row of notes by the messages. */
#include "bus_fixture.h"

#include <nng/nng.h>

enum { KEYS = 16 };

typedef struct replica {
    pthread_mutex_t mutex;
    pthread_cond_t released;
    bool stalled;
    int n[KEYS]; /* -1: there is no such row */
    int64_t position;
    int messages, heads, resets, backwards, foreign;
    int expected[KEYS];
    dbk_json_parser *parser;
} replica;

static void replica_init(replica *r)
{
    *r = (replica){.mutex = PTHREAD_MUTEX_INITIALIZER,
                   .released = PTHREAD_COND_INITIALIZER,
                   .parser = dbk_json_parser_new(dbk_port_system())};
    for (int i = 0; i < KEYS; i++) r->n[i] = r->expected[i] = -1;
}

static void apply_change(replica *r, const dbk_json_node *change)
{
    int64_t n = -1;
    const dbk_json_node *key = dbk_json_member(change, "key"), *row = dbk_json_member(change, "row");
    const dbk_json_node *value = row && row->kind == DBK_JSON_OBJECT ? dbk_json_member(row, "n") : NULL;
    if (!key || key->kind != DBK_JSON_STRING || key->text.size < 2) return;
    int at = atoi((const char *)key->text.data + 1);
    if (value) (void)dbk_json_is_integer(value, &n);
    if (at >= 0 && at < KEYS) r->n[at] = (int)n;
}

static void on_change(void *arg, const char *message, size_t size)
{
    replica *r = arg;
    const dbk_json_node *root;
    int64_t position = 0;
    pthread_mutex_lock(&r->mutex);
    while (r->stalled) pthread_cond_wait(&r->released, &r->mutex);
    if (dbk_json_parse(r->parser, dbk_slice_of(message, size), &root, NULL) != DBK_OK) abort();
    (void)dbk_json_is_integer(dbk_json_member(root, "position"), &position);
    if (dbk_json_member(root, "head")) {
        r->heads++;
    } else if (!dbk_json_text_is(dbk_json_member(root, "table"), "notes")) {
        r->foreign++;
    } else {
        const dbk_json_node *reset = dbk_json_member(root, "reset"), *changes = dbk_json_member(root, "changes");
        if (reset && reset->kind == DBK_JSON_TRUE) {
            r->resets++;
            for (int i = 0; i < KEYS; i++) r->n[i] = -1;
        } else if (position <= r->position) {
            r->backwards++;
        }
        r->position = position;
        r->messages++;
        const dbk_json_node *change = changes + 1;
        for (uint32_t i = 0; i < changes->count; i++, change = dbk_json_next(change)) apply_change(r, change);
    }
    pthread_mutex_unlock(&r->mutex);
}

static void stall(replica *r, bool stalled)
{
    pthread_mutex_lock(&r->mutex);
    r->stalled = stalled;
    pthread_cond_broadcast(&r->released);
    pthread_mutex_unlock(&r->mutex);
}

static bool is_equal(void *arg)
{
    replica *r = arg;
    pthread_mutex_lock(&r->mutex);
    bool equal = memcmp(r->n, r->expected, sizeof r->n) == 0;
    pthread_mutex_unlock(&r->mutex);
    return equal;
}

static bool has_head(void *arg)
{
    replica *r = arg;
    pthread_mutex_lock(&r->mutex);
    bool has = r->heads > 0;
    pthread_mutex_unlock(&r->mutex);
    return has;
}

static void expect(replica *r, int key, int n)
{
    pthread_mutex_lock(&r->mutex);
    r->expected[key] = n;
    pthread_mutex_unlock(&r->mutex);
}

static void put(dbk_store *store, replica *r, int i)
{
    static int serial;
    char json[200];
    snprintf(json, sizeof json,
             "{\"id\":\"p%d\",\"do\":\"put\",\"table\":\"notes\",\"key\":\"k%d\",\"data\":{\"n\":%d}}", serial++,
             i % KEYS, i);
    expect(r, i % KEYS, i);
    does(store, json, "\"ok\":true");
}

static dbk_subscription *follow(dbk_store *client, const char *table, const char *from, replica *r)
{
    dbk_error error = {0};
    dbk_subscription *subscription = NULL;
    assert_ok(dbk_subscribe(client, table, from, on_change, r, &subscription, &error), error);
    return subscription;
}

static void end(replica *r, dbk_subscription *subscription, dbk_store *client)
{
    dbk_unsubscribe(subscription);
    dbk_close(client);
    dbk_json_parser_free(r->parser);
}

static void a_subscriber_sees_each_change_once(void **state)
{
    replica r;
    served *s = *state;
    replica_init(&r);
    dbk_store *client = served_connect(s);
    dbk_subscription *subscription = follow(client, "notes", NULL, &r);
    for (int i = 0; i < 100; i++) put(client, &r, i);
    does(client, "{\"id\":\"j1\",\"do\":\"put\",\"table\":\"jobs\",\"key\":\"k1\",\"data\":{\"state\":\"new\"}}",
         "\"ok\":true");
    does(client, "{\"id\":\"d1\",\"do\":\"delete\",\"table\":\"notes\",\"key\":\"k3\"}", "\"ok\":true");
    expect(&r, 3, -1);
    assert_true(until(is_equal, &r) && until(has_head, &r));
    assert_int_equal(r.backwards + r.foreign + r.resets, 0);
    end(&r, subscription, client);
}

static void a_cursor_brings_what_happened_since(void **state)
{
    replica r;
    served *s = *state;
    char from[200];
    const char *timeline;
    uint64_t generation, position;
    replica_init(&r);
    for (int i = 0; i < 8; i++) put(s->store, &r, i);
    dbk_engine_cursor(s->engine, &timeline, &generation, &position);
    snprintf(from, sizeof from, "[\"%s\",%llu,%llu]", timeline, (unsigned long long)generation,
             (unsigned long long)position);
    for (int i = 0; i < 8; i++) r.n[i] = i; /* what the caller kept with its cursor */
    for (int i = 20; i < 24; i++) put(s->store, &r, i);
    dbk_store *client = served_connect(s);
    dbk_subscription *subscription = follow(client, NULL, from, &r);
    assert_true(until(is_equal, &r));
    put(s->store, &r, 40);
    assert_true(until(is_equal, &r));
    assert_int_equal(r.backwards + r.resets, 0);
    end(&r, subscription, client);
}

/* The reader stands still for 2,500 commits, more than all buffers hold, and the last one is among the
 * lost: only a head can show that. */
static void a_reader_that_stalls_ends_equal(void **state)
{
    replica r;
    served *s = *state;
    replica_init(&r);
    dbk_store *client = served_connect(s);
    dbk_subscription *subscription = follow(client, "notes", NULL, &r);
    put(s->store, &r, 0);
    assert_true(until(is_equal, &r));
    stall(&r, true);
    for (int i = 0; i < 2500; i++) put(s->store, &r, i);
    stall(&r, false);
    assert_true(until(is_equal, &r));
    assert_true(r.messages < 2500);
    assert_int_equal(r.backwards + r.foreign, 0);
    end(&r, subscription, client);
}

/* Messages of 100 KiB fill the share of big ones; the rest is not published, and asked for. */
static void big_messages_are_asked_for(void **state)
{
    replica r;
    served *s = *state;
    enum { TITLE = 100 * 1024 };
    char *json = malloc(TITLE + 300), *title = malloc(TITLE + 1);
    memset(title, 'x', TITLE);
    title[TITLE] = '\0';
    replica_init(&r);
    dbk_store *client = served_connect(s);
    dbk_subscription *subscription = follow(client, "notes", NULL, &r);
    assert_true(until(has_head, &r));
    for (int i = 0; i < 60; i++) {
        snprintf(json, TITLE + 300,
                 "{\"id\":\"big%d\",\"do\":\"put\",\"table\":\"notes\",\"key\":\"k%d\",\"data\":{\"n\":%d,\"title\":\"%"
                 "s\"}}",
                 i, i % KEYS, i, title);
        expect(&r, i % KEYS, i);
        does(s->store, json, "\"ok\":true");
    }
    assert_true(until(is_equal, &r));
    dbk_buffer stats;
    dbk_buffer_init(&stats, dbk_port_system());
    dbk_bus_stats(s->bus, &stats);
    assert_null(strstr(dbk_buffer_text(&stats), "\"skipped\":0,"));
    dbk_buffer_release(&stats);
    assert_int_equal(r.backwards, 0);
    free(json);
    free(title);
    end(&r, subscription, client);
}

/* While the bus is away, changes go on; with it comes what was missed. */
static void a_restart_is_bridged(void **state)
{
    replica r;
    served *s = *state;
    replica_init(&r);
    dbk_store *client = served_connect(s);
    dbk_subscription *subscription = follow(client, NULL, NULL, &r);
    put(s->store, &r, 1);
    assert_true(until(is_equal, &r));
    served_stop(s);
    for (int i = 2; i < 12; i++) put(s->store, &r, i);
    served_start(s);
    assert_true(until(is_equal, &r));
    assert_int_equal(r.backwards + r.resets, 0);
    end(&r, subscription, client);
}

typedef struct counted {
    dbk_json_parser *parser;
    atomic_int rows, resets;
} counted;

static void count_rows(void *arg, const char *message, size_t size)
{
    counted *c = arg;
    const dbk_json_node *root;
    if (dbk_json_parse(c->parser, dbk_slice_of(message, size), &root, NULL) != DBK_OK) abort();
    const dbk_json_node *changes = dbk_json_member(root, "changes"), *reset = dbk_json_member(root, "reset");
    if (reset && reset->kind == DBK_JSON_TRUE) c->resets++;
    if (changes) c->rows += (int)changes->count;
}

enum { MANY_ROWS = 12000, BATCH_ROWS = 4000 };

static void put_batch(dbk_store *store, int first)
{
    dbk_buffer json;
    dbk_buffer_init(&json, dbk_port_system());
    dbk_buffer_printf(&json, "{\"id\":\"m%d\",\"do\":\"batch\",\"commands\":[", first);
    for (int i = first; i < first + BATCH_ROWS; i++)
        dbk_buffer_printf(&json, "%s{\"do\":\"put\",\"table\":\"notes\",\"key\":\"m%d\",\"data\":{\"n\":1}}",
                          i > first ? "," : "", i);
    dbk_buffer_put_text(&json, "]}");
    does(store, dbk_buffer_text(&json), "\"ok\":true");
    dbk_buffer_release(&json);
}

static bool has_all_rows(void *arg)
{
    return ((counted *)arg)->rows + ((counted *)arg)->resets >= MANY_ROWS;
}

/* More rows in one answer than a command may have members: what was missed comes all the same. */
static void an_absence_of_many_rows_is_bridged(void **state)
{
    served *s = *state;
    char from[200];
    const char *timeline;
    uint64_t generation, position;
    counted c = {.parser = dbk_json_parser_new(dbk_port_system())};
    dbk_error error = {0};
    dbk_subscription *subscription = NULL;
    dbk_json_parser_any_count(c.parser);
    dbk_engine_cursor(s->engine, &timeline, &generation, &position);
    snprintf(from, sizeof from, "[\"%s\",%llu,%llu]", timeline, (unsigned long long)generation,
             (unsigned long long)position);
    for (int first = 0; first < MANY_ROWS; first += BATCH_ROWS) put_batch(s->store, first);
    dbk_store *client = served_connect(s);
    assert_ok(dbk_subscribe(client, "notes", from, count_rows, &c, &subscription, &error), error);
    assert_true(until(has_all_rows, &c));
    assert_int_equal(c.rows, MANY_ROWS);
    assert_int_equal(c.resets, 0);
    dbk_unsubscribe(subscription);
    dbk_close(client);
    dbk_json_parser_free(c.parser);
}

static void unknown_tables_and_bad_cursors_are_refused(void **state)
{
    replica r;
    dbk_error error = {0};
    dbk_subscription *subscription = NULL;
    replica_init(&r);
    dbk_store *client = served_connect(*state);
    assert_int_equal(dbk_subscribe(client, "nothing", NULL, on_change, &r, &subscription, &error), DBK_UNKNOWN_TABLE);
    assert_string_equal(error.text, "there is no table 'nothing'");
    assert_int_equal(dbk_subscribe(client, "notes", "[1]", on_change, &r, &subscription, &error), DBK_BAD_COMMAND);
    end(&r, NULL, client);
}

int main(void)
{
#define served(test) cmocka_unit_test_setup_teardown(test, served_setup, served_teardown)
    const struct CMUnitTest tests[] = {
        served(a_subscriber_sees_each_change_once),
        served(a_cursor_brings_what_happened_since),
        served(an_absence_of_many_rows_is_bridged),
        served(a_reader_that_stalls_ends_equal),
        served(big_messages_are_asked_for),
        served(a_restart_is_bridged),
        served(unknown_tables_and_bad_cursors_are_refused),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    nng_fini();
    return failed;
}
