/* upgrade: whatever step the process dies in, the next opening has the one definition or the other, whole. */
#include "tests/store/ask_fixture.h"

#include <sched.h>
#include <sys/stat.h>

#include "store/engine.h"

static const char first_schema[] = "CREATE TABLE notes (id TEXT PRIMARY KEY NOT NULL, title TEXT, stars INTEGER);\n";
static const char second_schema[] =
    "CREATE TABLE notes (id TEXT PRIMARY KEY NOT NULL, title TEXT, stars INTEGER, more TEXT DEFAULT 'm');\n";

static void write_file(const char *folder, const char *name, const char *text)
{
    char file[4400];
    snprintf(file, sizeof file, "%s/%s", folder, name);
    FILE *out = fopen(file, "w");
    assert_non_null(out);
    fputs(text, out);
    fclose(out);
}

static void write_app(const engine_fixture *f, const char *name, const char *schema, char path[4300])
{
    snprintf(path, 4300, "%s/%s", f->folder, name);
    mkdir(path, 0700);
    write_file(path, "schema.sql", schema);
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
    write_app(f, "v1", first_schema, app);
    assert_int_equal(dbk_engine_create(f->path, app, &f->options, NULL, &f->error), DBK_OK);
    fixture_open(f);
    must_accept(
        f, "{\"id\":\"1\",\"do\":\"put\",\"table\":\"notes\",\"key\":\"n1\",\"data\":{\"title\":\"A\",\"stars\":9}}");
    *state = f;
    return 0;
}

static bool row_has(engine_fixture *f, const char *part)
{
    char *row = ask_of(f->engine, "{\"do\":\"get\",\"table\":\"notes\",\"key\":\"n1\"}");
    assert_non_null(strstr(row, "\"title\":\"A\""));
    bool yes = strstr(row, part) != NULL;
    free(row);
    return yes;
}

static void request_upgrade(engine_fixture *f, const char *app, const char *more, const char *part)
{
    char request[4600];
    snprintf(request, sizeof request, "{\"do\":\"upgrade\",\"app\":\"%s\"%s}", app, more);
    char *answer = ask_of(f->engine, request);
    if (!strstr(answer, part)) print_error("%s\n%s\n", part, answer);
    assert_non_null(strstr(answer, part));
    free(answer);
}

static int dies_at(void *arg, dbk_engine *engine, const char *point, dbk_slice command_id)
{
    (void)engine;
    (void)command_id;
    return strcmp(arg, point) == 0;
}

static void a_crash_at_any_step_leaves_one_definition(void **state)
{
    static const struct {
        char point[16];
        bool second;
    } steps[] = {{"staged", false}, {"definition", true}, {"app", true}, {"committed", true}};
    engine_fixture *f = *state;
    char first[4300], second[4300], here[4400];
    struct stat there;
    for (size_t i = 0; i < 4; i++) {
        fixture_teardown(state);
        setup(state);
        f = *state;
        write_app(f, "v2", second_schema, second);
        dbk_engine_close(f->engine);
        f->options.hook = dies_at;
        f->options.hook_arg = (void *)steps[i].point;
        fixture_open(f);
        request_upgrade(f, second, "", "unavailable: stopped");
        dbk_engine_close(f->engine);
        f->options.hook = NULL;
        fixture_open(f);
        assert_int_equal(row_has(f, "\"more\":\"m\""), steps[i].second);
        must_accept(f, "{\"id\":\"2\",\"do\":\"patch\",\"table\":\"notes\",\"key\":\"n1\",\"data\":{\"stars\":1}}");
        snprintf(here, sizeof here, "%s/app.new", f->path);
        assert_int_not_equal(stat(here, &there), 0);
        request_upgrade(f, second, "", steps[i].second ? "\"same\":true" : "\"upgraded\":true");
        assert_true(row_has(f, "\"more\":\"m\""));
    }
    write_app(f, "v1", first_schema, first);
    request_upgrade(f, first, "", "rejected: the definition in");
}

/* Between the two renames there is no app/ at all. */
static void a_folder_that_is_gone_between_its_renames_is_mended(void **state)
{
    engine_fixture *f = *state;
    char from[4400], to[4400];
    dbk_engine_close(f->engine);
    snprintf(from, sizeof from, "%s/app", f->path);
    snprintf(to, sizeof to, "%s/app.new", f->path);
    assert_int_equal(rename(from, to), 0);
    fixture_open(f);
    assert_true(row_has(f, "\"stars\":9"));
}

static void what_would_be_skipped_needs_consent(void **state)
{
    engine_fixture *f = *state;
    char app[4300];
    uint64_t before = dbk_log_position(dbk_engine_log(f->engine));
    write_app(f, "v3",
              "CREATE TABLE notes (id TEXT PRIMARY KEY NOT NULL, title TEXT, stars INTEGER CHECK (stars < 5));\n", app);
    request_upgrade(f, app, "", "rejected: 1 entry that projected before would be skipped");
    request_upgrade(
        f, app, ",\"dry_run\":true",
        "\"tables\":[{\"table\":\"notes\",\"rows_before\":1,\"rows_after\":0,\"only_before\":1,\"only_after\":0,"
        "\"writer_before\":\"commands\",\"writer_after\":\"commands\",\"columns_gone\":[],\"columns_new\":[]}]");
    assert_int_equal(dbk_log_position(dbk_engine_log(f->engine)), before);
    assert_true(row_has(f, "\"stars\":9"));
    request_upgrade(f, app, ",\"accept\":true", "\"lost_count\":1");
    char *gone = ask_of(f->engine, "{\"do\":\"get\",\"table\":\"notes\",\"key\":\"n1\"}");
    assert_non_null(strstr(gone, "not_found"));
    free(gone);
}

/* app/ put back by hand to what was before: nothing is decided under it, all can be read. */
static void an_older_app_only_reads(void **state)
{
    engine_fixture *f = *state;
    char app[4300], own[4300];
    dbk_engine *engine = NULL;
    write_app(f, "v2", second_schema, app);
    request_upgrade(f, app, "", "\"upgraded\":true");
    dbk_engine_close(f->engine);
    f->engine = NULL;
    snprintf(own, sizeof own, "%s/app", f->path);
    write_file(own, "schema.sql", first_schema);
    assert_int_equal(dbk_engine_open(f->path, &f->options, &engine, &f->error), DBK_READ_ONLY);
    assert_non_null(strstr(f->error.text, "was upgraded to a definition that came after the one in 'app'"));
    f->options.read_only = true;
    fixture_open(f);
    char *rows = ask_of(f->engine, "{\"do\":\"query\",\"sql\":\"SELECT title FROM notes\"}");
    assert_non_null(strstr(rows, "[[\"A\"]]"));
    free(rows);
}

/* ---- what is done while commands have to wait */

static struct {
    dbk_port port;
    dbk_mutex *turn;
    bool held;
    int turns, syncs, unlinks;
} watched;

static void watched_lock(void *ctx, dbk_mutex *mutex)
{
    dbk_port_system()->mutex_lock(ctx, mutex);
    if (mutex != watched.turn) return;
    watched.held = true;
    watched.turns++;
}

static void watched_unlock(void *ctx, dbk_mutex *mutex)
{
    if (mutex == watched.turn) watched.held = false;
    dbk_port_system()->mutex_unlock(ctx, mutex);
}

static int watched_sync_file(void *ctx, dbk_file *file)
{
    watched.syncs += watched.held;
    return dbk_port_system()->sync_file(ctx, file);
}

static int watched_sync_dir(void *ctx, dbk_dir *dir)
{
    watched.syncs += watched.held;
    return dbk_port_system()->sync_dir(ctx, dir);
}

static int watched_unlink(void *ctx, dbk_dir *dir, const char *name)
{
    watched.unlinks += watched.held;
    return dbk_port_system()->unlink(ctx, dir, name);
}

static void watch_the_turn(engine_fixture *f)
{
    watched.port = *dbk_port_system();
    watched.port.mutex_lock = watched_lock;
    watched.port.mutex_unlock = watched_unlock;
    watched.port.sync_file = watched_sync_file;
    watched.port.sync_dir = watched_sync_dir;
    watched.port.unlink = watched_unlink;
    dbk_engine_close(f->engine);
    f->options.port = &watched.port;
    fixture_open(f);
    watched.turn = f->engine->turn;
}

static void forget_turns(void)
{
    watched.turns = watched.syncs = watched.unlinks = 0;
}

static bool past_has(engine_fixture *f, const char *part)
{
    char *rows = ask_of(f->engine, "{\"do\":\"query\",\"sql\":\"SELECT * FROM notes\",\"at\":2}");
    assert_non_null(strstr(rows, "\"A\""));
    bool yes = strstr(rows, part) != NULL;
    free(rows);
    return yes;
}

/* The entry of the definition is one sync, like that of any command; all others are made outside the turn. */
static void a_switch_syncs_and_removes_nothing_in_its_turn(void **state)
{
    engine_fixture *f = *state;
    char app[4300];
    watch_the_turn(f);
    assert_false(past_has(f, "\"m\""));
    write_app(f, "v2", second_schema, app);
    forget_turns();
    request_upgrade(f, app, "", "\"upgraded\":true");
    assert_true(watched.turns > 1);
    assert_int_equal(watched.syncs, 1);
    assert_int_equal(watched.unlinks, 0);
    assert_true(past_has(f, "\"m\"")); /* the file of before answers no more */
    uint64_t generation = f->engine->identity.generation;
    forget_turns();
    assert_int_equal(dbk_engine_rebuild(f->engine, NULL, NULL, &f->error), DBK_OK);
    assert_true(watched.turns > 1);
    assert_int_equal(watched.syncs, 0);
    assert_int_equal(watched.unlinks, 0);
    assert_int_equal(f->engine->identity.generation, generation + 1);
    dbk_engine_close(f->engine);
    fixture_open(f);
    assert_int_equal(f->engine->identity.generation, generation + 1);
    assert_true(row_has(f, "\"more\":\"m\""));
}

/* ---- what a definition wants done beside the commands */

static const char mirrored_schema[] = "CREATE TABLE notes (id TEXT PRIMARY KEY NOT NULL, title TEXT, stars INTEGER);\n"
                                      "CREATE TABLE settings (name TEXT PRIMARY KEY NOT NULL, value JSON NOT NULL);\n";
static void write_mirrored(const engine_fixture *f, const char *name, const char *every, char path[4300])
{
    char app[400];
    snprintf(app, sizeof app,
             "{\"daybook\":1,\"name\":\"t\",\"settings\":{\"ui\":{\"table\":\"settings\",\"mirror\":\"ui.json\"}},"
             "\"retention\":[{\"name\":\"old\",\"table\":\"notes\",\"where\":\"stars > 5\",\"every\":\"%s\"}]}",
             every);
    write_app(f, name, mirrored_schema, path);
    write_file(path, "app.json", app);
}

static bool is_shown(engine_fixture *f)
{
    char file[4400];
    struct stat there;
    snprintf(file, sizeof file, "%s/files/ui.json", f->path);
    return stat(file, &there) == 0;
}

static bool is_deleted(engine_fixture *f)
{
    char *row = ask_of(f->engine, "{\"do\":\"get\",\"table\":\"notes\",\"key\":\"n1\"}");
    bool gone = strstr(row, "not_found") != NULL;
    free(row);
    return gone;
}

static void await(engine_fixture *f, bool (*is_so)(engine_fixture *))
{
    const dbk_port *port = dbk_port_system();
    int64_t until_ns = port->monotonic_ns(port->ctx) + INT64_C(120000000000);
    while (!is_so(f)) {
        assert_true(port->monotonic_ns(port->ctx) < until_ns);
        sched_yield();
    }
}

/* The definition before has neither a mirror nor a rule of time, so nobody looks after such things. */
static void mirrors_and_rules_of_an_upgrade_begin_with_it(void **state)
{
    engine_fixture *f = *state;
    char app[4300];
    dbk_engine_close(f->engine);
    f->options.no_threads = false;
    fixture_open(f);
    write_mirrored(f, "v2", "1 day", app);
    request_upgrade(f, app, "", "\"upgraded\":true");
    await(f, is_shown);
    write_mirrored(f, "v3", "20 ms", app);
    request_upgrade(f, app, "", "\"upgraded\":true");
    await(f, is_deleted);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(mirrors_and_rules_of_an_upgrade_begin_with_it, setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(a_switch_syncs_and_removes_nothing_in_its_turn, setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(a_crash_at_any_step_leaves_one_definition, setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(a_folder_that_is_gone_between_its_renames_is_mended, setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(what_would_be_skipped_needs_consent, setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(an_older_app_only_reads, setup, fixture_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
