/* models.main.file of app.json: the inline model's file has the name that the definition of the day says, through
 * upgrades, deaths in the middle of one, readers of before, moments of the past and what stands beside it. */
#include "store/model_folder.h"
#include "store/request.h"
#include "tests/store/ask_fixture.h"
#include "tests/store/dying.h"
#include "tests/store/folder_fixture.h"

static const char schema[] = "CREATE TABLE notes (id TEXT PRIMARY KEY NOT NULL, title TEXT);\n";

static void write_app(const engine_fixture *f, const char *name, const char *file, char path[4300])
{
    char app[200];
    snprintf(path, 4300, "%s/%s", f->folder, name);
    folder_make(f->folder, name);
    if (file)
        snprintf(app, sizeof app, "{\"daybook\": 1, \"name\": \"f\", \"models\": {\"main\": {\"file\": \"%s\"}}}",
                 file);
    else snprintf(app, sizeof app, "{\"daybook\": 1, \"name\": \"f\"}");
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
    write_app(f, "v1", NULL, app);
    assert_int_equal(dbk_engine_create(f->path, app, &f->options, NULL, &f->error), DBK_OK);
    fixture_open(f);
    must_accept(f, "{\"id\":\"1\",\"do\":\"put\",\"table\":\"notes\",\"key\":\"a\",\"data\":{\"title\":\"one\"}}");
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

static void upgrade(engine_fixture *f, const char *app, const char *part)
{
    char request[4600];
    snprintf(request, sizeof request, "{\"do\":\"upgrade\",\"app\":\"%s\"}", app);
    says(f, request, part);
}

static const char *name_of_file(engine_fixture *f)
{
    return strrchr(dbk_model_path(f->engine->model), '/') + 1;
}

/* models/ has `current`, `boot` and one model; nothing was put aside. */
static void stands_alone(engine_fixture *f)
{
    struct dirent **names;
    int count = folder_names(path_in(f->path, "models").text, &names);
    for (int i = 0; i < count; i++) {
        assert_null(strstr(names[i]->d_name, "aside"));
        free(names[i]);
    }
    free(names);
    assert_int_equal(folder_count(f->path, "models"), 1);
}

static const char rows[] = "{\"do\":\"query\",\"sql\":\"SELECT title FROM notes ORDER BY id\"}";

static void an_upgrade_names_it(void **state)
{
    engine_fixture *f = *state;
    char app[4300];
    static const char again[] = "{\"daybook\": 1, \"name\": \"f\", \"version\": 2}";
    static const char *const files[] = {"notes.db", "other.sqlite", NULL};
    assert_string_equal(name_of_file(f), "main.sqlite");
    for (size_t i = 0; i < 3; i++) {
        char version[8];
        snprintf(version, sizeof version, "w%zu", i);
        write_app(f, version, files[i], app);
        if (!files[i]) /* the first definition comes again as another one */
            file_write(app, "app.json", again, strlen(again));
        says(f, rows, "[[\"one\"]]");
        upgrade(f, app, "\"upgraded\":true");
        assert_string_equal(name_of_file(f), files[i] ? files[i] : "main.sqlite");
        says(f, rows, "[[\"one\"]]");
        stands_alone(f);
        says(f, "{\"do\":\"query\",\"sql\":\"SELECT title FROM notes\",\"at\":2}", "[[\"one\"]]");
        dbk_engine_close(f->engine);
        fixture_open(f);
        assert_string_equal(name_of_file(f), files[i] ? files[i] : "main.sqlite");
        assert_int_equal(f->engine->counts.rebuilds, 0); /* what it found was its own */
        says(f, rows, "[[\"one\"]]");
        stands_alone(f);
    }
}

/* At every step of the upgrade the process dies, and once more while opening. */
static void a_death_leaves_one_file(void **state)
{
    static const struct {
        char point[16];
        bool renamed;
    } steps[] = {{"staged", false}, {"definition", true}, {"app", true}, {"committed", true}};
    for (size_t i = 0; i < 2 * sizeof steps / sizeof *steps; i++) {
        dying death = {.point = steps[i / 2].point};
        char app[4300];
        teardown(state);
        setup(state);
        engine_fixture *f = *state;
        write_app(f, "v2", "notes.db", app);
        dbk_engine_close(f->engine);
        f->options.hook = die_at;
        f->options.hook_arg = &death;
        fixture_open(f);
        upgrade(f, app, "unavailable: stopped");
        dbk_engine_close(f->engine);
        if (i % 2) { /* the next opening builds the model, and dies when it is committed */
            death = (dying){.point = "committed"};
            if (dbk_engine_open(f->path, &f->options, &f->engine, &f->error) == DBK_OK) dbk_engine_close(f->engine);
            f->engine = NULL;
        }
        f->options.hook = NULL;
        fixture_open(f);
        assert_string_equal(name_of_file(f), steps[i / 2].renamed ? "notes.db" : "main.sqlite");
        says(f, rows, "[[\"one\"]]");
        stands_alone(f);
    }
}

/* Between the definition and the pointer of an upgrade, and in a process that has the definition of before. */
static void who_knows_another_name_finds_it(void **state)
{
    engine_fixture *f = *state;
    dbk_lent_reader lent;
    dbk_source sources[2] = {
        {"schema.sql", dbk_slice_text(schema)},
        {"app.json",
         dbk_slice_text("{\"daybook\": 1, \"name\": \"f\", \"models\": {\"main\": {\"file\": \"x.db\"}}}")}};
    const dbk_definition *own = f->engine->definition;
    dbk_definition *other = definition_of_sources(sources, 2);
    dbk_buffer path;
    dbk_buffer_init(&path, dbk_port_system());
    f->engine->definition = other;
    assert_int_equal(dbk_models_current(f->engine, &path, &f->error), DBK_OK);
    assert_string_equal(dbk_buffer_text(&path), dbk_model_path(f->engine->model));
    assert_int_equal(dbk_reader_borrow(f->engine, &lent, &f->error), DBK_OK);
    dbk_reader_give_back(f->engine, &lent);
    f->engine->definition = own;
    dbk_engine_drop_readers(f->engine);
    dbk_definition_free(other);
    dbk_buffer_release(&path);
}

/* A stray file that begins like the model's own is not of the engine's making. */
static void what_begins_like_it_is_put_aside(void **state)
{
    engine_fixture *f = *state;
    char app[4300];
    write_app(f, "v2", "m", app);
    upgrade(f, app, "\"upgraded\":true");
    dbk_engine_close(f->engine);
    folder_make(f->path, "models/00000077");
    file_write(f->path, "models/00000077/m", "", 0);
    file_write(f->path, "models/00000077/my letter", "mine", 4);
    fixture_open(f);
    assert_false(file_exists(f->path, "models/00000077"));
    assert_true(file_exists(f->path, "models/00000077.aside-1/my letter"));
    dbk_engine_close(f->engine);
    folder_remove(f->path, "models/00000077.aside-1");
    f->options.read_only = true;
    fixture_open(f);
    says(f, rows, "[[\"one\"]]");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(an_upgrade_names_it, setup, teardown),
        cmocka_unit_test_setup_teardown(a_death_leaves_one_file, setup, teardown),
        cmocka_unit_test_setup_teardown(who_knows_another_name_finds_it, setup, teardown),
        cmocka_unit_test_setup_teardown(what_begins_like_it_is_put_aside, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
