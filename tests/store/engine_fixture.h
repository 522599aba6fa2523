/* For the tests of store/: an engine in a temporary folder, without threads, with a clock of its own. */
#ifndef DBK_TEST_STORE_ENGINE_FIXTURE_H
#define DBK_TEST_STORE_ENGINE_FIXTURE_H

#include "tests/base/fixture.h"

#include "store/store.h"

typedef struct engine_fixture {
    char *folder;
    char path[4200];
    dbk_definition *definition;
    dbk_engine_options options;
    dbk_engine *engine;
    dbk_error error;
    int64_t now_ms;
} engine_fixture;

static inline dbk_definition *definition_of_sources(const dbk_source *sources, size_t count)
{
    dbk_definition *definition = NULL;
    dbk_findings findings = {0};
    dbk_error error = {0};
    dbk_result result = dbk_definition_parse(dbk_port_system(), sources, count, "test", &definition, &findings, &error);
    if (result != DBK_OK) {
        dbk_buffer text;
        dbk_buffer_init(&text, dbk_port_system());
        dbk_findings_print(&findings, &text);
        print_error("%s\n%.*s\n", error.text, (int)text.size, (const char *)text.data);
        dbk_buffer_release(&text);
    }
    assert_int_equal(result, DBK_OK);
    dbk_findings_free(&findings);
    return definition;
}

static inline dbk_definition *definition_of(const char *schema, const char *projections)
{
    dbk_source sources[2] = {{"schema.sql", dbk_slice_text(schema)},
                             {"projections.sql", dbk_slice_text(projections ? projections : "")}};
    return definition_of_sources(sources, projections ? 2 : 1);
}

static inline void fixture_open(engine_fixture *f)
{
    dbk_result result = dbk_engine_open(f->path, &f->options, &f->engine, &f->error);
    if (result != DBK_OK) print_error("%s\n", f->error.text);
    assert_int_equal(result, DBK_OK);
}

static inline void fixture_start_with(engine_fixture *f, dbk_definition *definition)
{
    memset(f, 0, sizeof *f);
    f->folder = temporary_dir();
    snprintf(f->path, sizeof f->path, "%s/t.daybook", f->folder);
    f->definition = definition;
    f->options = (dbk_engine_options){
        .definition = f->definition, .no_threads = true, .given_ids = true, .incarnation = 1, .timeline = "t"};
    memset(f->options.replica, 'r', 16);
    memset(f->options.lineage, 'l', 16);
    f->now_ms = 1700000000000;
    dbk_result result = dbk_engine_create(f->path, NULL, &f->options, NULL, &f->error);
    if (result != DBK_OK) print_error("%s\n", f->error.text);
    assert_int_equal(result, DBK_OK);
    fixture_open(f);
}

static inline void fixture_start(engine_fixture *f, const char *schema, const char *projections)
{
    fixture_start_with(f, definition_of(schema, projections));
}

static inline void fixture_stop(engine_fixture *f)
{
    dbk_engine_close(f->engine);
    dbk_definition_free(f->definition);
    remove_temporary_dir(f->folder);
}

/* For cmocka: an engine_fixture in *state. Takes the definition. */
static inline int fixture_setup(void **state, dbk_definition *definition)
{
    engine_fixture *f = calloc(1, sizeof *f);
    assert_non_null(f);
    fixture_start_with(f, definition);
    *state = f;
    return 0;
}

static inline int fixture_teardown(void **state)
{
    fixture_stop(*state);
    free(*state);
    return 0;
}

/* One turn over `count` commands; the receipts are the caller's to free. */
static inline void decide_turn(engine_fixture *f, const char *const *commands, size_t count, char **receipts)
{
    dbk_slice slices[64] = {{NULL, 0}};
    dbk_buffer answers[64];
    for (size_t i = 0; i < count; i++) {
        slices[i] = dbk_slice_text(commands[i]);
        dbk_buffer_init(&answers[i], dbk_port_system());
    }
    f->now_ms += 1000;
    dbk_result result = dbk_engine_decide(f->engine, slices, count, f->now_ms, answers, &f->error);
    if (result != DBK_OK) print_error("%s\n", f->error.text);
    assert_int_equal(result, DBK_OK);
    for (size_t i = 0; i < count; i++) {
        receipts[i] = strdup(dbk_buffer_text(&answers[i]));
        dbk_buffer_release(&answers[i]);
    }
}

static inline char *decide(engine_fixture *f, const char *command)
{
    char *receipts[1] = {NULL};
    decide_turn(f, &command, 1, receipts);
    return receipts[0];
}

static inline void expect_receipt(engine_fixture *f, const char *command, const char *receipt)
{
    char *got = decide(f, command);
    assert_string_equal(got, receipt);
    free(got);
}

/* The receipt says ok, and has this in it. */
static inline void must_answer(engine_fixture *f, const char *command, const char *part)
{
    char *got = decide(f, command);
    if (!strstr(got, "\"ok\":true") || !strstr(got, part)) print_error("%s\n%s\n", command, got);
    assert_non_null(strstr(got, "\"ok\":true"));
    assert_non_null(strstr(got, part));
    free(got);
}

/* Refused by this name, with this in the receipt. */
static inline void must_refuse(engine_fixture *f, const char *command, const char *error, const char *part)
{
    char name[80];
    char *got = decide(f, command);
    snprintf(name, sizeof name, "\"error\":\"%s\"", error);
    if (!strstr(got, name) || !strstr(got, part)) print_error("%s\n%s\n", command, got);
    assert_non_null(strstr(got, name));
    assert_non_null(strstr(got, part));
    free(got);
}

static inline void must_accept(engine_fixture *f, const char *command)
{
    char *got = decide(f, command);
    if (!strstr(got, "\"ok\":true")) print_error("%s\n%s\n", command, got);
    assert_non_null(strstr(got, "\"ok\":true"));
    free(got);
}

/* An engine behind the calls of daybook.h, for requests: fixture_start… first, then asked_wrap. */
typedef struct asked {
    engine_fixture f;
    dbk_store *store;
} asked;

static inline void asked_wrap(asked *a)
{
    assert_int_equal(dbk_engine_wrap(a->f.engine, &a->store, &a->f.error), DBK_OK);
}

static inline int asked_teardown(void **state)
{
    asked *a = *state;
    dbk_free(dbk_port_system(), a->store);
    fixture_stop(&a->f);
    free(a);
    return 0;
}

static inline void asked_contains(asked *a, const char *request, const char *part)
{
    dbk_text answer = {0};
    assert_int_equal(dbk_do(a->store, request, strlen(request), &answer, &a->f.error), DBK_OK);
    if (!strstr(answer.data, part)) print_error("%s\n%s\n", request, answer.data);
    assert_non_null(strstr(answer.data, part));
    dbk_text_free(&answer);
}

#endif
