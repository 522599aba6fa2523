/* models.main.undo of app.json: false, and no entry is undone from here on; what was undone before stays so. */
#include "tests/store/ask_fixture.h"
#include "tests/store/folder_fixture.h"

static const char schema[] = "CREATE TABLE notes (id TEXT PRIMARY KEY NOT NULL, title TEXT);\n";
static const char off[] = "undo' of app.json is false";

static void write_app(const engine_fixture *f, const char *name, int version, bool undo, char path[4300])
{
    char app[200];
    snprintf(path, 4300, "%s/%s", f->folder, name);
    folder_make(f->folder, name);
    snprintf(app, sizeof app,
             "{\"daybook\": 1, \"name\": \"f\", \"version\": %d, \"models\": {\"main\": {\"undo\": %s}}}", version,
             undo ? "true" : "false");
    file_write(path, "schema.sql", schema, strlen(schema));
    file_write(path, "app.json", app, strlen(app));
}

static int setup(void **state)
{
    char app[4300];
    engine_fixture *f = calloc(1, sizeof *f);
    f->folder = temporary_dir();
    snprintf(f->path, sizeof f->path, "%s/t.daybook", f->folder);
    f->options = (dbk_engine_options){.no_threads = true};
    f->options.log.no_direct = true;
    f->now_ms = 1700000000000;
    write_app(f, "v1", 1, true, app);
    assert_int_equal(dbk_engine_create(f->path, app, &f->options, NULL, &f->error), DBK_OK);
    fixture_open(f);
    must_accept(f, "{\"id\":\"1\",\"do\":\"put\",\"table\":\"notes\",\"key\":\"a\",\"data\":{\"title\":\"one\"}}");
    must_accept(f, "{\"id\":\"2\",\"do\":\"patch\",\"table\":\"notes\",\"key\":\"a\",\"data\":{\"title\":\"two\"}}");
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    fixture_stop(*state);
    free(*state);
    return 0;
}

static void says(engine_fixture *f, const char *request, const char *part)
{
    char *answer = ask_of(f->engine, request);
    if (!strstr(answer, part)) print_error("%s\n%s\n", part, answer);
    assert_non_null(strstr(answer, part));
    free(answer);
}

static void upgrade(engine_fixture *f, const char *name, int version, bool undo)
{
    char app[4300], request[4600];
    write_app(f, name, version, undo, app);
    snprintf(request, sizeof request, "{\"do\":\"upgrade\",\"app\":\"%s\"}", app);
    says(f, request, "\"upgraded\":true");
}

static bool has_undo(engine_fixture *f, const char *request)
{
    char *answer = ask_of(f->engine, request);
    bool has = strstr(answer, ",\"undo\":false") == NULL;
    free(answer);
    return has;
}

static const char row[] = "{\"do\":\"get\",\"table\":\"notes\",\"key\":\"a\"}";
static const char undo_u[] = "{\"id\":\"u\",\"do\":\"undo\",\"position\":3}";

static void what_was_undone_stays_so_and_nothing_more_is(void **state)
{
    engine_fixture *f = *state;
    says(f, undo_u, "\"ok\":true");
    says(f, row, "\"one\"");
    assert_true(has_undo(f, "{\"do\":\"hello\"}") && has_undo(f, "{\"do\":\"status\"}"));
    upgrade(f, "v2", 2, false);
    says(f, row, "\"one\""); /* the undo is folded as an entry like others */
    assert_false(has_undo(f, "{\"do\":\"hello\"}") || has_undo(f, "{\"do\":\"status\"}"));
    uint64_t end = dbk_log_position(dbk_engine_log(f->engine));
    says(f, "{\"id\":\"v\",\"do\":\"undo\",\"position\":2}", "\"error\":\"bad_command\"");
    says(f, "{\"id\":\"v\",\"do\":\"undo\",\"position\":2}", off);
    says(f, "{\"id\":\"r\",\"do\":\"undo\",\"position\":4}", off); /* the redo */
    says(f, "{\"id\":\"v\",\"do\":\"undo\",\"position\":99}", off);
    says(f, "{\"id\":\"v\",\"do\":\"undo\"}", off);
    says(f, undo_u, "\"again\":true"); /* its id is remembered */
    assert_int_equal(dbk_log_position(dbk_engine_log(f->engine)), end);
    says(f, row, "\"one\"");
    says(f, "{\"do\":\"history\",\"table\":\"notes\",\"key\":\"a\",\"limit\":1}", "\"undo\":true");
}

static void it_comes_back_with_a_definition_that_has_it(void **state)
{
    engine_fixture *f = *state;
    upgrade(f, "v2", 2, false);
    says(f, "{\"id\":\"v\",\"do\":\"undo\",\"position\":3}", off);
    dbk_engine_close(f->engine);
    fixture_open(f);
    says(f, "{\"id\":\"v\",\"do\":\"undo\",\"position\":3}", off);
    upgrade(f, "v3", 3, true);
    assert_true(has_undo(f, "{\"do\":\"status\"}"));
    says(f, "{\"id\":\"v\",\"do\":\"undo\",\"position\":3}", "\"ok\":true"); /* the refusal left no trace */
    says(f, row, "\"one\"");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_was_undone_stays_so_and_nothing_more_is, setup, teardown),
        cmocka_unit_test_setup_teardown(it_comes_back_with_a_definition_that_has_it, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
