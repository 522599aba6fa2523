/* daybook.h as an app uses it: create, open, do, send, query, read the log, subscribe; answers that make no
 * sense; and the change of a definition. */
#include "tests/store/folder_fixture.h"

#include "store/engine.h"

static const char schema[] = "CREATE TABLE notes (id TEXT PRIMARY KEY NOT NULL, n INTEGER);\nCREATE TABLE tags (id "
                             "TEXT PRIMARY KEY NOT NULL);\n";

typedef struct app {
    char *folder;
    folder_path store, definition;
    dbk_store *handle;
    dbk_error error;
} app;

static int setup(void **state)
{
    app *a = calloc(1, sizeof *a);
    dbk_text report;
    a->folder = temporary_dir();
    a->store = path_in(a->folder, "s.daybook");
    a->definition = path_in(a->folder, "schema.sql");
    file_write(a->folder, "schema.sql", schema, strlen(schema));
    assert_int_equal(dbk_create(a->store.text, a->definition.text, NULL, &report, &a->error), DBK_OK);
    dbk_text_free(&report);
    assert_int_equal(dbk_open(a->store.text, NULL, &a->handle, &a->error), DBK_OK);
    *state = a;
    return 0;
}

static int teardown(void **state)
{
    app *a = *state;
    dbk_close(a->handle);
    remove_temporary_dir(a->folder);
    free(a);
    return 0;
}

static void do_ok(app *a, const char *command)
{
    dbk_text receipt;
    assert_int_equal(dbk_do(a->handle, command, strlen(command), &receipt, &a->error), DBK_OK);
    if (!strstr(receipt.data, "\"ok\":true")) print_error("%s\n%s\n", command, receipt.data);
    assert_non_null(strstr(receipt.data, "\"ok\":true"));
    assert_int_equal(receipt.size, strlen(receipt.data));
    dbk_text_free(&receipt);
    assert_null(receipt.data);
    assert_int_equal(receipt.size, 0);
}

static void put_note(app *a, int n)
{
    char command[200];
    snprintf(command, sizeof command,
             "{\"id\":\"n%d\",\"do\":\"put\",\"table\":\"notes\",\"key\":\"n%d\",\"data\":{\"n\":%d}}", n, n, n);
    do_ok(a, command);
}

/* ---- create and open */

static void creating_says_what_is_wrong(void **state)
{
    app *a = *state;
    dbk_text report;
    folder_path other = path_in(a->folder, "other.daybook");
    assert_int_equal(dbk_create(a->store.text, a->definition.text, NULL, &report, &a->error), DBK_EXISTS);
    assert_non_null(strstr(a->error.text, "exists and is not empty"));
    assert_string_equal(a->error.hint, "choose another path, or remove what is there");
    assert_null(report.data);

    static const char bad[] =
        "CREATE TABLE notes (id TEXT);\nCREATE TABLE b (id INTEGER PRIMARY KEY NOT NULL, x BLURB);\n";
    file_write(a->folder, "bad.sql", bad, sizeof bad - 1);
    memset(&a->error, 0, sizeof a->error);
    assert_int_equal(dbk_create(other.text, path_in(a->folder, "bad.sql").text, NULL, &report, &a->error), DBK_SCHEMA);
    assert_non_null(report.data);
    assert_int_equal(report.size, strlen(report.data));
    assert_non_null(strstr(report.data, "bad.sql:1:"));
    assert_non_null(strstr(report.data, "bad.sql:2:"));
    dbk_text_free(&report);
    assert_false(file_exists(a->folder, "other.daybook"));
    assert_int_equal(dbk_create(other.text, path_in(a->folder, "bad.sql").text, NULL, NULL, NULL), DBK_SCHEMA);

    assert_int_equal(dbk_create(other.text, path_in(a->folder, "none").text, NULL, &report, &a->error), DBK_MISSING);
    folder_make(a->folder, "other.daybook");
    assert_int_equal(dbk_create(other.text, a->definition.text, NULL, &report, &a->error), DBK_OK);
    dbk_text_free(&report);
    dbk_store *made;
    assert_int_equal(dbk_open(other.text, &(dbk_options){.force_fs = true}, &made, &a->error), DBK_OK);
    dbk_close(made);
    assert_int_equal(dbk_open(path_in(a->folder, "none").text, NULL, &made, &a->error), DBK_MISSING);
    assert_int_equal(dbk_open(a->store.text, NULL, &made, &a->error), DBK_LOCKED);
}

static void what_is_empty_is_accepted(void **state)
{
    (void)state;
    dbk_text none = {0};
    dbk_text_free(NULL);
    dbk_text_free(&none);
    dbk_close(NULL);
    dbk_unsubscribe(NULL);
    assert_string_equal(dbk_version(), "0.1.0");
}

/* ---- query */

static void expect_query(app *a, const char *sql, const char *args, const dbk_moment *at, const char *part)
{
    dbk_text answer;
    memset(&a->error, 0, sizeof a->error);
    dbk_result result = dbk_query(a->handle, sql, args, at, &answer, &a->error);
    if (result != DBK_OK) print_error("%s\n", a->error.text);
    assert_int_equal(result, DBK_OK);
    if (!strstr(answer.data, part)) print_error("%s\n%s\n", part, answer.data);
    assert_non_null(strstr(answer.data, part));
    dbk_text_free(&answer);
}

static void expect_no_answer(app *a, const char *sql, const char *args, dbk_result code)
{
    dbk_text answer = {(char *)"x", 1};
    memset(&a->error, 0, sizeof a->error);
    assert_int_equal(dbk_query(a->handle, sql, args, NULL, &answer, &a->error), code);
    assert_int_equal(a->error.code, code);
    assert_true(a->error.text[0] != 0);
    assert_null(answer.data);
    assert_int_equal(answer.size, 0);
}

static void queries_take_arguments_and_moments(void **state)
{
    app *a = *state;
    put_note(a, 1);
    put_note(a, 2);
    put_note(a, 3);
    expect_query(a, "SELECT n FROM notes WHERE n > :least ORDER BY n", "{\"least\":1}", NULL,
                 "\"columns\":[\"n\"],\"rows\":[[2],[3]]");
    expect_query(a, "SELECT n FROM notes WHERE n IN (?, ?) ORDER BY n", "[1,3]", NULL, "\"rows\":[[1],[3]]");
    expect_query(a, "SELECT count(*) AS c FROM notes", NULL, &(dbk_moment){.position = 3}, "\"rows\":[[2]]");
    expect_query(a, "SELECT count(*) AS c FROM notes", NULL, &(dbk_moment){.time_ms = 1}, "\"rows\":[[0]]");
    expect_query(a, "SELECT count(*) AS c FROM notes", NULL, &(dbk_moment){.order_time_ms = INT64_C(4000000000000)},
                 "\"rows\":[[3]]");
    expect_query(a, "SELECT count(*) AS c FROM notes", NULL, &(dbk_moment){0}, "\"rows\":[[3]]");
    expect_no_answer(a, "SELECT nonsense", NULL, DBK_BAD_COMMAND);
    expect_no_answer(a, "DELETE FROM notes", NULL, DBK_DENIED);
    expect_no_answer(a, "SELECT 1", "{", DBK_BAD_JSON);
    expect_no_answer(a, "SELECT 1", "7", DBK_BAD_COMMAND);
}

/* ---- the log */

typedef struct seen_events {
    unsigned count, stop_at, wrong;
    long long last;
} seen_events;

static bool see_event(void *arg, const char *event, size_t size)
{
    seen_events *seen = arg;
    const char *position = strstr(event, "\"position\":");
    if (!position || !strstr(event, "\"specversion\":\"1.0\"") || size != strlen(event)) {
        seen->wrong++;
        return true;
    }
    long long at = strtoll(position + strlen("\"position\":"), NULL, 10);
    if (at < seen->last) seen->wrong++;
    seen->last = at;
    return ++seen->count != seen->stop_at;
}

static unsigned events_of(app *a, uint64_t from, uint64_t to, const char *stream, const char *type, unsigned stop_at)
{
    seen_events seen = {.stop_at = stop_at};
    assert_int_equal(dbk_read_log(a->handle, from, to, stream, type, see_event, &seen, &a->error), DBK_OK);
    assert_int_equal(seen.wrong, 0);
    return seen.count;
}

static void the_log_is_read_over_many_pages(void **state)
{
    app *a = *state;
    dbk_buffer batch;
    dbk_buffer_init(&batch, dbk_port_system());
    dbk_buffer_put_u8(&batch, '[');
    for (int i = 0; i < 1200; i++)
        dbk_buffer_printf(
            &batch, "%s{\"id\":\"m%d\",\"do\":\"append\",\"stream\":\"job/%d\",\"type\":\"%s\",\"data\":{\"n\":%d}}",
            i ? "," : "", i, i % 3, i % 2 ? "odd" : "even", i);
    dbk_buffer_put_u8(&batch, ']');
    do_ok(a, dbk_buffer_text(&batch));
    dbk_buffer_release(&batch);
    assert_int_equal(events_of(a, 0, 0, NULL, NULL, 0), 1201); /* and the entry that names the definition */
    assert_int_equal(events_of(a, 2, 0, NULL, NULL, 0), 1200);
    assert_int_equal(events_of(a, 2, 701, NULL, NULL, 0), 700);
    assert_int_equal(events_of(a, 0, 0, "job/1", NULL, 0), 400);
    assert_int_equal(events_of(a, 0, 0, "job/1", "odd", 0), 200);
    assert_int_equal(events_of(a, 0, 0, NULL, "even", 0), 600);
    assert_int_equal(events_of(a, 0, 0, NULL, NULL, 777), 777);
    assert_int_equal(events_of(a, 5000, 0, NULL, NULL, 0), 0);
    assert_int_equal(events_of(a, 0, 0, "job/none", NULL, 0), 0);
}

/* ---- subscriptions */

static void keep_message(void *arg, const char *message, size_t size)
{
    dbk_buffer *all = arg;
    dbk_buffer_put(all, message, size);
    dbk_buffer_put_u8(all, '\n');
}

static void a_subscription_begins_where_it_is_told(void **state)
{
    app *a = *state;
    dbk_buffer notes, tags, all, late;
    dbk_subscription *on_notes, *on_tags, *on_all, *from_then;
    char cursor[200];
    dbk_text receipt;
    dbk_buffer_init(&notes, dbk_port_system());
    dbk_buffer_init(&tags, dbk_port_system());
    dbk_buffer_init(&all, dbk_port_system());
    dbk_buffer_init(&late, dbk_port_system());
    const char *first = "{\"id\":\"n1\",\"do\":\"put\",\"table\":\"notes\",\"key\":\"n1\",\"data\":{\"n\":1}}";
    assert_int_equal(dbk_do(a->handle, first, strlen(first), &receipt, &a->error), DBK_OK);
    const char *at = strstr(receipt.data, "\"cursor\":");
    assert_non_null(at);
    snprintf(cursor, sizeof cursor, "%.*s", (int)(strchr(at, ']') + 1 - (at + 9)), at + 9);
    dbk_text_free(&receipt);

    assert_int_equal(dbk_subscribe(a->handle, "notes", NULL, keep_message, &notes, &on_notes, &a->error), DBK_OK);
    assert_int_equal(dbk_subscribe(a->handle, "tags", NULL, keep_message, &tags, &on_tags, &a->error), DBK_OK);
    assert_int_equal(dbk_subscribe(a->handle, NULL, NULL, keep_message, &all, &on_all, &a->error), DBK_OK);
    assert_int_equal(notes.size, 0);
    put_note(a, 2);
    do_ok(a, "{\"id\":\"t1\",\"do\":\"put\",\"table\":\"tags\",\"key\":\"t1\"}");
    assert_non_null(strstr(dbk_buffer_text(&notes), "\"key\":\"n2\""));
    assert_null(strstr(dbk_buffer_text(&notes), "t1"));
    assert_non_null(strstr(dbk_buffer_text(&tags), "\"key\":\"t1\""));
    assert_null(strstr(dbk_buffer_text(&tags), "n2"));
    assert_non_null(strstr(dbk_buffer_text(&all), "\"key\":\"n2\""));
    assert_non_null(strstr(dbk_buffer_text(&all), "\"key\":\"t1\""));

    assert_int_equal(dbk_subscribe(a->handle, "notes", cursor, keep_message, &late, &from_then, &a->error), DBK_OK);
    assert_non_null(strstr(dbk_buffer_text(&late), "\"key\":\"n2\""));
    assert_null(strstr(dbk_buffer_text(&late), "\"key\":\"n1\""));
    assert_non_null(strstr(dbk_buffer_text(&late), "\"reset\":false"));
    dbk_unsubscribe(on_notes);
    dbk_unsubscribe(from_then);
    size_t before = notes.size;
    do_ok(a, "{\"do\":\"rebuild\"}");
    assert_non_null(strstr(dbk_buffer_text(&tags), "{\"head\":true,"));
    put_note(a, 3);
    assert_int_equal(notes.size, before);
    dbk_buffer_clear(&late);
    assert_int_equal(dbk_subscribe(a->handle, "notes", cursor, keep_message, &late, &from_then, &a->error), DBK_OK);
    assert_non_null(strstr(dbk_buffer_text(&late), "\"reset\":true"));
    assert_non_null(strstr(dbk_buffer_text(&late), "\"key\":\"n1\""));
    dbk_unsubscribe(on_all); /* the other two end with the store */
    dbk_close(a->handle);
    free(from_then);
    free(on_tags);
    a->handle = NULL;
    dbk_buffer_release(&notes);
    dbk_buffer_release(&tags);
    dbk_buffer_release(&all);
    dbk_buffer_release(&late);
}

static void a_subscription_to_nothing_is_refused(void **state)
{
    app *a = *state;
    dbk_subscription *none = NULL;
    assert_int_equal(dbk_subscribe(a->handle, "nots", NULL, keep_message, NULL, &none, &a->error), DBK_UNKNOWN_TABLE);
    assert_string_equal(a->error.text, "there is no table 'nots'");
    assert_int_equal(dbk_subscribe(a->handle, NULL, "[", keep_message, NULL, &none, &a->error), DBK_BAD_JSON);
    assert_int_equal(dbk_subscribe(a->handle, NULL, "[1,2,3]", keep_message, NULL, &none, &a->error), DBK_BAD_COMMAND);
    assert_string_equal(a->error.text, "'from' must be [timeline, generation, position]");
    assert_null(none);
}

/* ---- answers of another implementation */

static dbk_result say(void *ctx, const char *json, size_t size, dbk_text *receipt, dbk_error *err)
{
    const char *answer = ctx;
    (void)json;
    (void)size;
    if (!answer[0]) return dbk_fail(err, DBK_TIMEOUT, "nobody answers");
    *receipt = (dbk_text){strdup(answer), strlen(answer)};
    return DBK_OK;
}

static void end(void *ctx)
{
    (void)ctx;
}

static const struct strange_answer {
    const char *answer;
    dbk_result code;
    const char *text;
} strange_answers[] = {
    {"", DBK_TIMEOUT, "nobody answers"},
    {"nonsense", DBK_BAD_JSON, ""},
    {"[]", DBK_INTERNAL, "an answer without 'ok'"},
    {"{\"ok\":false}", DBK_INTERNAL, "an answer without 'ok'"},
    {"{\"ok\":false,\"error\":\"busy\",\"message\":\"later\",\"hint\":\"wait\"}", DBK_BUSY, "later"},
    {"{\"ok\":false,\"error\":\"of tomorrow\",\"message\":\"m\"}", DBK_INTERNAL, "m"},
    {"{\"ok\":true}", DBK_INTERNAL, "an answer without 'events'"},
    {"{\"ok\":true,\"events\":7}", DBK_INTERNAL, "an answer without 'events'"},
};

static void answers_that_make_no_sense_are_errors(void **state)
{
    static const dbk_store_ops ops = {.call = say, .close = end};
    (void)state;
    for (size_t i = 0; i < sizeof strange_answers / sizeof *strange_answers; i++) {
        const struct strange_answer *strange = &strange_answers[i];
        dbk_error error = {0};
        dbk_store *store;
        seen_events seen = {0};
        assert_int_equal(dbk_store_wrap(&ops, (void *)strange->answer, &store, &error), DBK_OK);
        dbk_result result = dbk_read_log(store, 0, 0, NULL, NULL, see_event, &seen, &error);
        if (result != strange->code) print_error("%s: %s\n", strange->answer, error.text);
        assert_int_equal(result, strange->code);
        assert_non_null(strstr(error.text, strange->text));
        if (result == DBK_BUSY) assert_string_equal(error.hint, "wait");
        assert_int_equal(seen.count, 0);
        dbk_close(store);
    }
}

/* ---- another definition */

typedef struct lost_entries {
    unsigned count;
    uint64_t seqs[4];
} lost_entries;

static void note_lost(void *arg, const dbk_entry_id *id)
{
    lost_entries *lost = arg;
    if (lost->count < 4) lost->seqs[lost->count] = id->seq;
    lost->count++;
}

static void a_definition_that_loses_entries_needs_consent(void **state)
{
    (void)state;
    engine_fixture f;
    lost_entries lost = {0};
    uint64_t count;
    dbk_model_state before, after;
    fixture_start(&f, "CREATE TABLE notes (id TEXT PRIMARY KEY NOT NULL, n INTEGER);", NULL);
    dbk_definition *tight =
        definition_of("CREATE TABLE notes (id TEXT PRIMARY KEY NOT NULL, n INTEGER CHECK (n < 10));", NULL);
    must_accept(&f, "{\"id\":\"1\",\"do\":\"put\",\"table\":\"notes\",\"key\":\"a\",\"data\":{\"n\":5}}");
    must_accept(&f, "{\"id\":\"2\",\"do\":\"put\",\"table\":\"notes\",\"key\":\"b\",\"data\":{\"n\":50}}");
    must_accept(&f, "{\"id\":\"3\",\"do\":\"put\",\"table\":\"notes\",\"key\":\"c\",\"data\":{\"n\":7}}");
    dbk_model_get_state(f.engine->model, &before);
    assert_int_equal(dbk_engine_upgrade(f.engine, tight, f.now_ms, false, note_lost, &lost, &count, &f.error), DBK_OK);
    assert_int_equal(count, 1);
    assert_int_equal(lost.count, 1);
    assert_int_equal(lost.seqs[0], 2);
    dbk_model_get_state(f.engine->model, &after);
    assert_memory_equal(&before, &after, sizeof before);
    assert_int_equal(dbk_log_position(f.engine->log), 3);
    assert_int_equal(folder_count(f.path, "models"), 1);
    must_accept(&f, "{\"id\":\"4\",\"do\":\"put\",\"table\":\"notes\",\"key\":\"d\",\"data\":{\"n\":70}}");

    lost = (lost_entries){0};
    assert_int_equal(dbk_engine_upgrade(f.engine, tight, f.now_ms, true, note_lost, &lost, &count, &f.error), DBK_OK);
    assert_int_equal(count, 2);
    assert_int_equal(lost.seqs[0] + lost.seqs[1], 6);
    assert_int_equal(dbk_log_position(f.engine->log), 5); /* the change itself */
    assert_int_equal(f.engine->identity.generation, 2);
    dbk_model_get_state(f.engine->model, &after);
    assert_memory_equal(after.definition, tight->hash, 16);
    char *refused = decide(&f, "{\"id\":\"5\",\"do\":\"put\",\"table\":\"notes\",\"key\":\"e\",\"data\":{\"n\":11}}");
    assert_non_null(strstr(refused, "\"error\":\"constraint\""));
    free(refused);
    must_accept(&f, "{\"id\":\"6\",\"do\":\"put\",\"table\":\"notes\",\"key\":\"e\",\"data\":{\"n\":1}}");
    dbk_engine_close(f.engine);
    f.options.definition = tight;
    fixture_open(&f);
    assert_int_equal(f.engine->identity.generation, 2);
    fixture_stop(&f);
    dbk_definition_free(tight);
}

/* Several codes have one name in receipts: the class tells them apart, so that a fault of the disk is not taken for
 * something that no other try mends. */
static void a_refusal_is_of_the_class_it_says(void **state)
{
    static const struct {
        const char *answer;
        dbk_result result;
    } cases[] = {
        {"{\"ok\":false,\"error\":\"unavailable\",\"class\":\"critical\",\"message\":\"m\"}", DBK_IO},
        {"{\"ok\":false,\"error\":\"unavailable\",\"class\":\"transient\",\"message\":\"m\"}", DBK_UNAVAILABLE},
        {"{\"ok\":false,\"error\":\"unavailable\",\"class\":\"persistent\",\"message\":\"m\"}", DBK_VERSION},
        {"{\"ok\":false,\"error\":\"unavailable\",\"message\":\"m\"}", DBK_UNAVAILABLE},
        {"{\"ok\":false,\"error\":\"corrupt\",\"class\":\"critical\",\"message\":\"m\"}", DBK_CORRUPT},
        {"{\"ok\":false,\"error\":\"new\",\"class\":5,\"message\":\"m\"}", DBK_INTERNAL},
    };
    dbk_json_parser *parser = dbk_json_parser_new(dbk_port_system());
    const dbk_json_node *root;
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        dbk_error error = {0};
        assert_int_equal(dbk_json_parse(parser, dbk_slice_text(cases[i].answer), &root, NULL), DBK_OK);
        assert_int_equal(dbk_answer_result(root, &error), cases[i].result);
    }
    dbk_json_parser_free(parser);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_refusal_is_of_the_class_it_says),
        cmocka_unit_test_setup_teardown(creating_says_what_is_wrong, setup, teardown),
        cmocka_unit_test(what_is_empty_is_accepted),
        cmocka_unit_test_setup_teardown(queries_take_arguments_and_moments, setup, teardown),
        cmocka_unit_test_setup_teardown(the_log_is_read_over_many_pages, setup, teardown),
        cmocka_unit_test_setup_teardown(a_subscription_begins_where_it_is_told, setup, teardown),
        cmocka_unit_test_setup_teardown(a_subscription_to_nothing_is_refused, setup, teardown),
        cmocka_unit_test(answers_that_make_no_sense_are_errors),
        cmocka_unit_test(a_definition_that_loses_entries_needs_consent),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
