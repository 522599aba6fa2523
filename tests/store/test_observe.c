/* What an app does without of its row observer: feed, journal and fingerprint, each by itself. */
#include "tests/store/ask_fixture.h"

static const char schema[] = "CREATE TABLE notes(id TEXT PRIMARY KEY NOT NULL, title TEXT);"
                             "CREATE TABLE tags(id TEXT PRIMARY KEY NOT NULL, note TEXT REFERENCES notes ON DELETE "
                             "CASCADE); CREATE INDEX tags_note ON tags(note);"
                             "CREATE TABLE heard(id TEXT PRIMARY KEY NOT NULL, n INTEGER);";
static const char projections[] = "-- on heard.again\n-- may change nothing\nDELETE FROM heard WHERE id = $id;\n"
                                  "INSERT INTO heard VALUES($id, $n);\n";

static void start(engine_fixture *f, const char *observe)
{
    char app[200];
    snprintf(app, sizeof app, "{\"daybook\":1,\"name\":\"t\",\"version\":1,\"models\":{\"main\":{\"observe\":%s}}}",
             observe);
    dbk_source sources[3] = {{"schema.sql", dbk_slice_text(schema)},
                             {"projections.sql", dbk_slice_text(projections)},
                             {"app.json", dbk_slice_text(app)}};
    fixture_start_with(f, definition_of_sources(sources, 3));
}

/* Rows that come, change, stay, go, go by a cascade, and go and come within one entry. */
static void work(engine_fixture *f)
{
    must_accept(f, "{\"id\":\"1\",\"do\":\"put\",\"table\":\"notes\",\"key\":\"a\",\"data\":{\"title\":\"A\"}}");
    must_accept(f, "{\"id\":\"2\",\"do\":\"put\",\"table\":\"tags\",\"key\":\"t\",\"data\":{\"note\":\"a\"}}");
    must_accept(f, "{\"id\":\"3\",\"do\":\"patch\",\"table\":\"notes\",\"key\":\"a\",\"data\":{\"title\":\"B\"}}");
    must_accept(f, "{\"id\":\"4\",\"do\":\"append\",\"stream\":\"h\",\"type\":\"heard.again\",\"data\":{\"id\":\"x\","
                   "\"n\":1}}");
    must_accept(f, "{\"id\":\"5\",\"do\":\"append\",\"stream\":\"h\",\"type\":\"heard.again\",\"data\":{\"id\":\"x\","
                   "\"n\":2}}");
    must_accept(f, "{\"id\":\"6\",\"do\":\"delete\",\"table\":\"notes\",\"key\":\"a\"}");
    must_accept(f, "{\"id\":\"7\",\"do\":\"put\",\"table\":\"notes\",\"key\":\"b\",\"data\":{\"title\":\"C\"}}");
}

static void expect(engine_fixture *f, const char *request, const char *part)
{
    char *answer = ask_of(f->engine, request);
    if (!strstr(answer, part)) print_error("%s\n%s\n%s\n", request, part, answer);
    assert_non_null(strstr(answer, part));
    free(answer);
}

static void take(void *arg, const char *table, const char *message, size_t size)
{
    size_t *messages = arg;
    (void)table, (void)message, (void)size;
    ++*messages;
}

static void ignore(void *arg, const char *message, size_t size)
{
    (void)arg, (void)message, (void)size;
}

static bool subscribes(engine_fixture *f)
{
    void *subscription = NULL;
    dbk_result result = dbk_engine_subscribe(f->engine, "notes", NULL, ignore, NULL, &subscription, &f->error);
    if (result == DBK_OK) dbk_engine_unsubscribe(f->engine, subscription);
    else assert_int_equal(result, DBK_BAD_COMMAND);
    return result == DBK_OK;
}

static const char changes[] = "{\"do\":\"changes\",\"table\":\"notes\",\"from\":[\"t\",1,2]}";
static const char fingerprint[] = "{\"do\":\"fingerprint\"}";

static void all_by_default(void **state)
{
    (void)state;
    engine_fixture f;
    size_t messages = 0;
    start(&f, "{}");
    dbk_engine_on_publish(f.engine, take, NULL, &messages);
    work(&f);
    assert_true(messages >= 7);
    assert_true(subscribes(&f));
    expect(&f, changes, "\"changes\":[");
    expect(&f, fingerprint, "\"fingerprint\":\"");
    fixture_stop(&f);
}

static void no_feed(void **state)
{
    (void)state;
    engine_fixture f;
    size_t messages = 0;
    start(&f, "{\"feed\":false}");
    dbk_engine_on_publish(f.engine, take, NULL, &messages);
    work(&f);
    assert_int_equal(messages, 0);
    assert_false(subscribes(&f));
    expect(&f, changes, "'models.main.observe.feed' of app.json is false");
    expect(&f, fingerprint, "\"fingerprint\":\"");
    fixture_stop(&f);
}

static void no_journal(void **state)
{
    (void)state;
    engine_fixture f;
    size_t messages = 0;
    start(&f, "{\"journal\":false}");
    dbk_engine_on_publish(f.engine, take, NULL, &messages);
    work(&f);
    assert_true(messages >= 7);
    assert_true(subscribes(&f));
    expect(&f, changes, "\"reset\":true");
    fixture_stop(&f);
}

/* The rows are the same without; nothing compares them with a hash that is none. */
static void no_fingerprint(void **state)
{
    (void)state;
    engine_fixture f;
    size_t messages = 0;
    dbk_model_state live, built;
    start(&f, "{\"fingerprint\":false}");
    dbk_engine_on_publish(f.engine, take, NULL, &messages);
    work(&f);
    assert_true(messages >= 7);
    expect(&f, changes, "\"changes\":[");
    expect(&f, fingerprint, "the model 'main' has no fingerprint");
    assert_int_equal(dbk_model_check(dbk_engine_model(f.engine), &f.error), DBK_OK);
    assert_int_equal(dbk_engine_rebuild(f.engine, NULL, NULL, &f.error), DBK_OK);
    assert_int_equal(dbk_model_check(dbk_engine_model(f.engine), &f.error), DBK_OK);
    dbk_model_get_state(dbk_engine_model(f.engine), &live);
    assert_int_equal(live.fingerprint.low | live.fingerprint.high, 0);
    dbk_engine_close(f.engine);
    fixture_open(&f);
    dbk_model_get_state(dbk_engine_model(f.engine), &built);
    assert_int_equal(built.position, live.position);
    fixture_stop(&f);
}

/* All off: nothing is kept of what changed, and all else goes on. */
static void nothing_at_all(void **state)
{
    (void)state;
    engine_fixture f, all;
    dbk_hash128 one, other;
    uint64_t rows;
    start(&f, "{\"feed\":false,\"journal\":false,\"fingerprint\":false}");
    work(&f);
    start(&all, "{}");
    work(&all);
    assert_int_equal(dbk_model_recount(dbk_engine_model(f.engine), &one, &rows, &f.error), DBK_OK);
    assert_int_equal(rows, 2);
    assert_int_equal(dbk_model_recount(dbk_engine_model(all.engine), &other, &rows, &f.error), DBK_OK);
    assert_memory_equal(&one, &other, sizeof one);
    must_answer(&f, "{\"id\":\"3\",\"do\":\"patch\",\"table\":\"notes\",\"key\":\"a\",\"data\":{\"title\":\"B\"}}",
                "\"again\":true");
    fixture_stop(&all);
    fixture_stop(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_by_default), cmocka_unit_test(no_feed),        cmocka_unit_test(no_journal),
        cmocka_unit_test(no_fingerprint), cmocka_unit_test(nothing_at_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
