/* Async models with their threads: what goes on beside them neither waits for them nor is disturbed. */
#include "tests/store/ask_fixture.h"
#include "tests/store/folder_fixture.h"

#include <pthread.h>
#include <sys/stat.h>

#include "store/async.h"
#include "store/engine.h"

static const char app_json[] =
    "{\"daybook\": 1, \"name\": \"shop\", \"models\": {\"one\": {}, \"two\": {\"readers\": 2}}}";
static const char schema[] = "CREATE TABLE orders(id TEXT PRIMARY KEY NOT NULL, n INTEGER NOT NULL);\n";
static const char one_schema[] = "CREATE TABLE sums(k INTEGER PRIMARY KEY NOT NULL, sum INTEGER NOT NULL);\n";
static const char one_projections[] =
    "-- on orders.put\nINSERT INTO sums(k, sum) VALUES ($n % 10, $n) ON CONFLICT(k) DO "
    "UPDATE SET sum = sum + $n;\n";
static const char two_schema[] = "CREATE TABLE seen(id TEXT PRIMARY KEY NOT NULL, n INTEGER CHECK (n <> 666));\n";
static const char two_projections[] = "-- on orders.put\nINSERT INTO seen(id, n) VALUES ($id, $n);\n";

enum { ROUNDS = 40, OF_ROUND = 25, ASKERS = 3 };

static dbk_definition *define(void)
{
    dbk_source sources[] = {{"app.json", dbk_slice_text(app_json)},
                            {"one/projections.sql", dbk_slice_text(one_projections)},
                            {"one/schema.sql", dbk_slice_text(one_schema)},
                            {"schema.sql", dbk_slice_text(schema)},
                            {"two/projections.sql", dbk_slice_text(two_projections)},
                            {"two/schema.sql", dbk_slice_text(two_schema)}};
    return definition_of_sources(sources, sizeof sources / sizeof *sources);
}

static int setup(void **state)
{
    engine_fixture *f = calloc(1, sizeof *f);
    f->folder = temporary_dir();
    snprintf(f->path, sizeof f->path, "%s/t.daybook", f->folder);
    f->definition = define();
    f->options = (dbk_engine_options){.definition = f->definition};
    f->now_ms = dbk_port_system()->wall_ms(NULL);
    assert_int_equal(dbk_engine_create(f->path, NULL, &f->options, NULL, &f->error), DBK_OK);
    fixture_open(f);
    *state = f;
    return 0;
}

static void put(engine_fixture *f, const char *id, int n)
{
    char command[200];
    snprintf(command, sizeof command,
             "{\"id\":\"%s\",\"do\":\"put\",\"table\":\"orders\",\"key\":\"%s\",\"data\":{\"n\":%d}}", id, id, n);
    must_accept(f, command);
}

static void feed(engine_fixture *f, const char *prefix, int first, int count)
{
    char id[40];
    for (int i = first; i < first + count; i++) {
        snprintf(id, sizeof id, "%s%d", prefix, i);
        put(f, id, i % 600);
    }
}

/* Asked again until it says so: nothing here sleeps for a time that is guessed. */
static void becomes(engine_fixture *f, const char *request, const char *part)
{
    const dbk_port *port = dbk_port_system();
    int64_t until_ns = port->monotonic_ns(port->ctx) + INT64_C(60000000000);
    for (;;) {
        char *answer = ask_of(f->engine, request);
        bool yes = strstr(answer, part) != NULL;
        if (!yes && port->monotonic_ns(port->ctx) > until_ns) fail_msg("%s\n%s\nlacks %s", request, answer, part);
        free(answer);
        if (yes) return;
        sched_yield();
    }
}

static void becomes_current(engine_fixture *f, const char *model)
{
    char request[80], part[80];
    snprintf(request, sizeof request, "{\"do\":\"models\",\"model\":\"%s\"}", model);
    snprintf(part, sizeof part, "\"state\":\"running\",\"position\":%llu,\"behind\":0",
             (unsigned long long)dbk_log_position(dbk_engine_log(f->engine)));
    becomes(f, request, part);
}

/* It is what a fold of the whole log makes. */
static void check_fold(engine_fixture *f, const char *model)
{
    char file[4400];
    becomes_current(f, model);
    snprintf(file, sizeof file, "%s/%s-fresh.sqlite", f->folder, model);
    (void)remove(file);
    const dbk_definition *definition = dbk_definition_model(f->definition, dbk_slice_text(model));
    dbk_model_state have, want;
    assert_int_equal(dbk_async_state(f->engine, definition, &have, &f->error), DBK_OK);
    assert_int_equal(dbk_engine_replay_model(f->engine, definition, NULL, file, true, NULL, NULL, &want, &f->error),
                     DBK_OK);
    assert_int_equal(have.position, want.position);
    assert_memory_equal(&have.fingerprint, &want.fingerprint, sizeof want.fingerprint);
}

typedef struct asker {
    engine_fixture *f;
    const char *const *requests;
    size_t count;
    atomic_bool *ends;
    pthread_t thread;
} asker;

static void *run_asker(void *arg)
{
    asker *a = arg;
    for (size_t i = 0; !atomic_load(a->ends); i++) {
        char *answer = ask_of(a->f->engine, a->requests[i % a->count]);
        bool good = strstr(answer, "\"ok\":true") || strstr(answer, "unavailable") || strstr(answer, "rejected") ||
                    strstr(answer, "busy");
        if (!good) fail_msg("%s\n%s", a->requests[i % a->count], answer);
        free(answer);
    }
    return NULL;
}

/* Queries, rebuilds, pauses and lists go on while the log grows; in the end both models are the fold of it. */
static void test_all_at_once(void **state)
{
    static const char *const queries[] = {"{\"do\":\"query\",\"sql\":\"SELECT sum(sum) FROM sums\"}",
                                          "{\"do\":\"query\",\"sql\":\"SELECT count(*) FROM seen\"}",
                                          "{\"do\":\"query\",\"sql\":\"SELECT count(*) FROM seen\",\"at\":5}"};
    static const char *const works[] = {
        "{\"do\":\"rebuild\",\"model\":\"one\"}", "{\"do\":\"models\"}", "{\"do\":\"model.pause\",\"model\":\"two\"}",
        "{\"do\":\"model.resume\",\"model\":\"two\"}", "{\"do\":\"model.retry\",\"model\":\"one\"}"};
    static const char *const looks[] = {"{\"do\":\"status\"}", "{\"do\":\"stats\"}",
                                        "{\"do\":\"fingerprint\",\"model\":\"two\"}"};
    engine_fixture *f = *state;
    atomic_bool ends = false;
    asker askers[ASKERS] = {{f, queries, 3, &ends, 0}, {f, works, 5, &ends, 0}, {f, looks, 3, &ends, 0}};
    feed(f, "a", 0, 10);
    for (size_t i = 0; i < ASKERS; i++)
        assert_int_equal(pthread_create(&askers[i].thread, NULL, run_asker, &askers[i]), 0);
    for (int i = 0; i < ROUNDS; i++) feed(f, "b", i * OF_ROUND, OF_ROUND);
    atomic_store(&ends, true);
    for (size_t i = 0; i < ASKERS; i++) pthread_join(askers[i].thread, NULL);
    free(ask_of(f->engine, "{\"do\":\"model.resume\",\"model\":\"two\"}"));
    check_fold(f, "one");
    check_fold(f, "two");
}

static void test_a_stopped_model_stops_nothing_else(void **state)
{
    engine_fixture *f = *state;
    feed(f, "a", 0, 20);
    put(f, "bad", 666);
    feed(f, "b", 0, 20);
    becomes_current(f, "one");
    becomes(f, "{\"do\":\"models\",\"model\":\"two\"}", "\"state\":\"failed\"");
    free(ask_of(f->engine, "{\"do\":\"model.skip\",\"model\":\"two\"}"));
    becomes_current(f, "two");
    check_fold(f, "two");
}

/* Closing waits for what is nearly there, and cuts short what is not. */
static void test_closing_and_opening(void **state)
{
    engine_fixture *f = *state;
    for (int i = 0; i < 5; i++) {
        feed(f, "a", i * 100, 100);
        free(ask_of(f->engine, "{\"do\":\"model.retry\",\"model\":\"one\"}"));
        dbk_engine_close(f->engine);
        f->engine = NULL;
        fixture_open(f);
        char *answer = ask_of(f->engine, "{\"do\":\"query\",\"sql\":\"SELECT count(*) FROM seen\"}");
        assert_non_null(strstr(answer, "\"ok\":true"));
        free(answer);
    }
    check_fold(f, "one");
    check_fold(f, "two");
}

/* Files taken away under it: each time it is whole again. */
static void test_files_go_while_it_works(void **state)
{
    engine_fixture *f = *state;
    for (int i = 0; i < 5; i++) {
        char name[60];
        feed(f, "a", i * 20, 20);
        becomes_current(f, "one");
        char *serial = file_text(f->path, "models/async-one/current");
        snprintf(name, sizeof name, "models/async-one/%.8s", serial);
        free(serial);
        folder_remove(f->path, name);
    }
    feed(f, "z", 0, 1);
    check_fold(f, "one");
    char *answer = ask_of(f->engine, "{\"do\":\"query\",\"sql\":\"SELECT count(*) FROM sums\"}");
    assert_non_null(strstr(answer, "\"rows\":[[10]]"));
    free(answer);
}

/* The models of before end and those of after begin, whatever they were at. */
static uint64_t builds_of(engine_fixture *f, const char *model)
{
    dbk_asyncs *all = dbk_asyncs_enter(f->engine);
    dbk_asyncs_lock(all);
    uint64_t builds = dbk_asyncs_find(all, model)->builds;
    dbk_asyncs_unlock(all);
    dbk_asyncs_leave(all);
    return builds;
}

/* Its file is replaced by an older copy while nothing is written: readers that are open still have the right one, and
 * nobody asks how the model is. That it is queried is enough for it to be built anew. */
static void test_a_query_has_an_idle_model_look(void **state)
{
    static const char query[] = "{\"do\":\"query\",\"sql\":\"SELECT count(*) FROM sums\"}";
    engine_fixture *f = *state;
    const dbk_port *port = dbk_port_system();
    feed(f, "a", 0, 20);
    becomes_current(f, "one");
    becomes(f, query, "\"rows\":[[10]]"); /* a reader is open from here on */
    uint64_t builds = builds_of(f, "one");
    char *serial = file_text(f->path, "models/async-one/current"), name[120];
    snprintf(name, sizeof name, "models/async-one/%.8s/one.sqlite", serial);
    free(serial);
    file_write(f->path, "other", "not a model", 11);
    file_move(f->path, "other", name);
    int64_t until_ns = port->monotonic_ns(NULL) + INT64_C(60000000000);
    while (builds_of(f, "one") == builds && port->monotonic_ns(NULL) < until_ns) free(ask_of(f->engine, query));
    assert_int_equal(builds_of(f, "one"), builds + 1);
    becomes(f, query, "\"rows\":[[10]]");
}

static void test_a_definition_goes_over_at_once(void **state)
{
    engine_fixture *f = *state;
    uint64_t lost = 0;
    dbk_definition *other = define();
    feed(f, "a", 0, 50);
    for (int i = 0; i < 6; i++) {
        assert_int_equal(
            dbk_engine_upgrade(f->engine, i % 2 ? f->definition : other, f->now_ms, true, NULL, NULL, &lost, &f->error),
            DBK_OK);
        feed(f, "b", i * 10, 10);
    }
    check_fold(f, "one");
    check_fold(f, "two");
    dbk_engine_close(f->engine);
    f->engine = NULL;
    dbk_definition_free(other);
}

/* The file is taken away and made again, which ends with the removal of what is left over. */
static void heal(engine_fixture *f, const char *id)
{
    char name[60];
    char *serial = file_text(f->path, "models/async-one/current");
    snprintf(name, sizeof name, "models/async-one/%.8s", serial);
    free(serial);
    folder_remove(f->path, name);
    put(f, id, 1);
    becomes(f, "{\"do\":\"models\"}", "its file was deleted");
    check_fold(f, "one");
}

/* On disk: a folder that `current` does not name, as an upgrade makes one while it builds. */
static void test_what_an_upgrade_builds_is_left_alone(void **state)
{
    engine_fixture *f = *state;
    struct stat seen;
    char made[4300];
    feed(f, "a", 0, 10);
    becomes_current(f, "one");
    snprintf(made, sizeof made, "%s/models/async-one/00000009", f->path);
    dbk_asyncs_let_build(f->engine, true);
    assert_int_equal(mkdir(made, 0700), 0);
    heal(f, "h1");
    assert_int_equal(stat(made, &seen), 0);
    dbk_asyncs_let_build(f->engine, false);
    dbk_engine_close(f->engine);
    f->engine = NULL;
    fixture_open(f);
    check_fold(f, "one");
    assert_int_equal(stat(made, &seen), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_all_at_once, setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_a_stopped_model_stops_nothing_else, setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_closing_and_opening, setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_files_go_while_it_works, setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_a_query_has_an_idle_model_look, setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_a_definition_goes_over_at_once, setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(test_what_an_upgrade_builds_is_left_alone, setup, fixture_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
