/* Settings as a file that people edit: both ways, at the same time, and what cannot be taken. */
#include "tests/store/mirror_fixture.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

static const char app[] = "{\"daybook\":1,\"name\":\"set\",\"settings\":{\"ui\":{\"table\":\"settings\",\"mirror\":"
                          "\"ui.json\",\"schema\":\"ui\"}}}";
static const char schema[] = "CREATE TABLE settings(name TEXT PRIMARY KEY NOT NULL, value JSON);\n";
static const char ui[] = "{\"properties\":{\"size\":{\"type\":\"integer\"}}}";

static int setup(void **state)
{
    dbk_source sources[] = {{"app.json", dbk_slice_text(app)},
                            {"schema.sql", dbk_slice_text(schema)},
                            {"schemas/ui.json", dbk_slice_text(ui)}};
    return start(state, sources, 3);
}

static const char *name_of(const engine_fixture *f, const char *name)
{
    static char path[4400];
    snprintf(path, sizeof path, "%s/files/%s", f->path, name);
    return path;
}

static void write_file(const engine_fixture *f, const char *text)
{
    FILE *file = fopen(name_of(f, "ui.json"), "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static void expect_file(const engine_fixture *f, const char *name, const char *text)
{
    static char found[4096];
    FILE *file = fopen(name_of(f, name), "r");
    assert_non_null(file);
    found[fread(found, 1, sizeof found - 1, file)] = 0;
    fclose(file);
    assert_string_equal(found, text);
}

static void expect_answer(engine_fixture *f, const char *ask, const char *value)
{
    dbk_store *store;
    dbk_text answer = {0};
    assert_int_equal(dbk_engine_wrap(f->engine, &store, &f->error), DBK_OK);
    assert_int_equal(dbk_do(store, ask, strlen(ask), &answer, &f->error), DBK_OK);
    if (!strstr(answer.data, value)) print_error("%s\n", answer.data);
    assert_non_null(strstr(answer.data, value));
    dbk_text_free(&answer);
    dbk_free(dbk_port_system(), store);
}

static void expect_setting(engine_fixture *f, const char *value)
{
    expect_answer(f, "{\"do\":\"get\",\"namespace\":\"ui\"}", value);
}

#define SET(id, path, value)                                                                                           \
    "{\"id\":\"" id "\",\"do\":\"set\",\"namespace\":\"ui\",\"path\":\"" path "\",\"value\":" value "}"

static void settings_are_shown_and_edits_taken(void **state)
{
    engine_fixture *f = *state;
    look(f);
    expect_file(f, "ui.json", "{}\n");
    must_accept(f, SET("1", "a.b", "[1,{}]"));
    look(f);
    expect_file(f, "ui.json", "{\n  \"a\": {\n    \"b\": [\n      1,\n      {}\n    ]\n  }\n}\n");
    write_file(f, "{\"size\": 7,   \"a\": {\"b\": 2}}");
    look(f);
    expect_setting(f, "\"value\":{\"a\":{\"b\":2},\"size\":7}");
    look(f);
    expect_file(f, "ui.json", "{\"size\": 7,   \"a\": {\"b\": 2}}"); /* as its author left it */
    write_file(f, "{\"size\": 7}");
    look(f);
    expect_setting(f, "\"value\":{\"size\":7}");
    assert_int_equal(remove(name_of(f, "ui.json")), 0);
    look(f);
    expect_file(f, "ui.json", "{\n  \"size\": 7\n}\n");
    expect_setting(f, "\"value\":{\"size\":7}");
}

static void an_edit_and_a_change_at_the_same_time_both_stay(void **state)
{
    engine_fixture *f = *state;
    must_accept(f, SET("1", "x", "1"));
    must_accept(f, SET("2", "y", "1"));
    look(f);
    write_file(f, "{\"x\":2,\"y\":1}");
    must_accept(f, SET("3", "z", "3"));
    look(f);
    expect_setting(f, "\"value\":{\"x\":2,\"y\":1,\"z\":3}");
    look(f);
    expect_file(f, "ui.json", "{\n  \"x\": 2,\n  \"y\": 1,\n  \"z\": 3\n}\n");
    /* edited while the store was closed */
    dbk_engine_close(f->engine);
    write_file(f, "{\"y\":1,\"z\":3,\"w\":4}");
    fixture_open(f);
    must_accept(f, SET("4", "y", "9"));
    look(f);
    expect_setting(f, "\"value\":{\"y\":9,\"z\":3,\"w\":4}");
}

static void a_broken_edit_is_kept_aside_and_wipes_nothing(void **state)
{
    static const char *const broken[] = {"{\"size\": 7",     "", "[1]", "{\"size\":\"big\"}", "{\"size\":null}",
                                         "{\"a\":1,\"a\":2}"};
    engine_fixture *f = *state;
    must_accept(f, SET("1", "size", "5"));
    look(f);
    for (size_t i = 0; i < sizeof broken / sizeof *broken; i++) {
        write_file(f, broken[i]);
        look(f);
        look(f);
        expect_setting(f, "\"value\":{\"size\":5}");
        expect_file(f, "ui.json", broken[i]);
        expect_file(f, "ui.json.rejected", broken[i]);
        expect_answer(f, "{\"do\":\"stats\"}", "\"mirrors_rejected\":[\"ui.json\"]");
        expect_answer(f, "{\"do\":\"status\"}", "\"mirrors_rejected\":[\"ui.json\"],\"mirror_faults\":{\"ui.json\":\"");
    }
    write_file(f, "{\"size\":6}");
    look(f);
    expect_setting(f, "\"value\":{\"size\":6}");
    write_file(f, "{");
    look(f);
    must_accept(f, SET("2", "size", "8"));
    look(f);
    expect_file(f, "ui.json", "{\n  \"size\": 8\n}\n");
    expect_file(f, "ui.json.rejected", "{");
}

static void what_is_no_file_is_left_alone(void **state)
{
    engine_fixture *f = *state;
    char outside[4200];
    must_accept(f, SET("1", "size", "5"));
    look(f);
    snprintf(outside, sizeof outside, "%s/outside.json", f->folder);
    FILE *file = fopen(outside, "w");
    assert_non_null(file);
    assert_true(fputs("{\"size\":1}", file) >= 0);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(remove(name_of(f, "ui.json")), 0);
    assert_int_equal(symlink(outside, name_of(f, "ui.json")), 0);
    look(f);
    must_accept(f, SET("2", "size", "6"));
    look(f);
    expect_setting(f, "\"value\":{\"size\":6}");
    expect_file(f, "../../outside.json", "{\"size\":1}");
    assert_int_equal(remove(name_of(f, "ui.json")), 0);
    assert_int_equal(mkdir(name_of(f, "ui.json"), 0700), 0);
    look(f);
    expect_setting(f, "\"value\":{\"size\":6}");
}

/* An editor that saves twice, and half a file that becomes a whole one: the last word counts, each in one command. */
static void edits_in_a_row_are_taken_in_turn(void **state)
{
    engine_fixture *f = *state;
    must_accept(f, SET("1", "size", "5"));
    look(f);
    write_file(f, "{\"size\":6,\"font\":\"a\"}");
    write_file(f, "{\"size\":7}");
    look(f);
    expect_setting(f, "\"value\":{\"size\":7}");
    write_file(f, "{\"size\":8");
    look(f);
    expect_setting(f, "\"value\":{\"size\":7}");
    write_file(f, "{\"size\":8}");
    look(f);
    write_file(f, "{\"size\":9}");
    look(f);
    look(f);
    expect_setting(f, "\"value\":{\"size\":9}");
    assert_int_equal(dbk_log_position(dbk_engine_log(f->engine)), 4); /* 5, 7, 8, 9 */
    write_file(f, "{\"size\":10}");
    must_accept(f, SET("2", "other", "1"));
    write_file(f, "{\"size\":11}");
    look(f);
    expect_setting(f, "\"size\":11");
    expect_setting(f, "\"other\":1");
}

/* A port on which the file may not be read while `closed` is true. */
typedef struct closed_port {
    dbk_port port;
    bool closed;
} closed_port;

static int open_unless_closed(void *ctx, dbk_dir *dir, const char *name, int flags, uint32_t mode, dbk_file **out)
{
    if (((closed_port *)ctx)->closed && strcmp(name, "ui.json") == 0) return -EACCES;
    return dbk_port_system()->open_file(NULL, dir, name, flags, mode, out);
}

/* What may not be read says nothing: neither that it is empty nor that it is gone. */
static void a_file_that_cannot_be_read_changes_nothing(void **state)
{
    engine_fixture *f = *state;
    closed_port closed = {.port = *dbk_port_system()};
    closed.port.ctx = &closed;
    closed.port.open_file = open_unless_closed;
    dbk_engine_close(f->engine);
    f->options.port = &closed.port;
    fixture_open(f);
    must_accept(f, SET("1", "size", "5"));
    look(f);
    write_file(f, "{\"size\":6}");
    closed.closed = true;
    (void)!dbk_engine_mirror(f->engine, &f->error);
    expect_setting(f, "\"value\":{\"size\":5}");
    must_accept(f, SET("2", "other", "1"));
    (void)!dbk_engine_mirror(f->engine, &f->error);
    expect_file(f, "ui.json", "{\"size\":6}");
    closed.closed = false;
    look(f);
    expect_setting(f, "\"size\":6");
    expect_setting(f, "\"other\":1");
    dbk_engine_close(f->engine);
    f->options.port = NULL;
    fixture_open(f);
}

/* A port whose clock stands until it is moved. */
typedef struct clock_port {
    dbk_port port;
    int64_t now_ns;
} clock_port;

static int64_t standing(void *ctx)
{
    return ((clock_port *)ctx)->now_ns;
}

/* "debounce": "2 s": neither side is taken over before it was quiet for so long, and what changes meanwhile starts
 * anew. */
static void a_side_is_taken_over_when_it_is_quiet(void **state)
{
    enum { SECOND_NS = 1000000000 };
    static const char quiet[] =
        "{\"daybook\":1,\"name\":\"set\",\"settings\":{\"ui\":{\"table\":\"settings\",\"mirror\":"
        "\"ui.json\",\"debounce\":\"2 s\"}}}";
    dbk_source sources[] = {{"app.json", dbk_slice_text(quiet)}, {"schema.sql", dbk_slice_text(schema)}};
    clock_port clock = {.port = *dbk_port_system(), .now_ns = SECOND_NS};
    engine_fixture *f = calloc(1, sizeof *f);
    (void)state;
    clock.port.ctx = &clock;
    clock.port.monotonic_ns = standing;
    fixture_start_with(f, definition_of_sources(sources, 2));
    dbk_engine_close(f->engine);
    f->options.port = &clock.port;
    fixture_open(f);
    must_accept(f, SET("1", "size", "5"));
    look(f);
    expect_file(f, "ui.json", "{\n  \"size\": 5\n}\n"); /* there was none */
    must_accept(f, SET("2", "size", "6"));
    look(f);
    clock.now_ns += SECOND_NS;
    must_accept(f, SET("3", "size", "7"));
    look(f);
    clock.now_ns += SECOND_NS;
    look(f);
    expect_file(f, "ui.json", "{\n  \"size\": 5\n}\n");
    clock.now_ns += SECOND_NS;
    look(f);
    expect_file(f, "ui.json", "{\n  \"size\": 7\n}\n");
    write_file(f, "{\"size\":8");
    look(f);
    clock.now_ns += SECOND_NS;
    write_file(f, "{\"size\":8}");
    look(f);
    clock.now_ns += SECOND_NS;
    look(f);
    expect_setting(f, "\"value\":{\"size\":7}");
    clock.now_ns += SECOND_NS;
    look(f);
    expect_setting(f, "\"value\":{\"size\":8}");
    fixture_stop(f);
    free(f);
}

/* A port that sets something else when an edit has been read, and asks for the id of its command. */
typedef struct meddling_port {
    dbk_port port;
    engine_fixture *f;
    int left;
} meddling_port;

static int set_beside(void *ctx, void *out, size_t size)
{
    meddling_port *meddling = ctx;
    if (meddling->left > 0) {
        char command[120];
        snprintf(command, sizeof command, SET("beside-%d", "beside", "%d"), meddling->left, meddling->left);
        meddling->left--;
        must_accept(meddling->f, command);
    }
    return dbk_port_system()->random(NULL, out, size);
}

static void what_is_set_while_an_edit_is_taken_stays(void **state)
{
    engine_fixture *f = *state;
    meddling_port meddling = {.port = *dbk_port_system(), .f = f};
    meddling.port.ctx = &meddling;
    meddling.port.random = set_beside;
    dbk_engine_close(f->engine);
    f->options.port = &meddling.port;
    fixture_open(f);
    must_accept(f, SET("1", "size", "5"));
    look(f);
    write_file(f, "{\"size\":6}");
    meddling.left = 1;
    look(f);
    assert_int_equal(meddling.left, 0);
    expect_setting(f, "\"size\":6");
    expect_setting(f, "\"beside\":1");
    look(f);
    expect_file(f, "ui.json", "{\n  \"size\": 6,\n  \"beside\": 1\n}\n");
    dbk_engine_close(f->engine);
    f->options.port = NULL;
    fixture_open(f);
}

static void expect_no_fault(engine_fixture *f)
{
    dbk_store *store;
    dbk_text answer = {0};
    assert_int_equal(dbk_engine_wrap(f->engine, &store, &f->error), DBK_OK);
    assert_int_equal(dbk_do(store, "{\"do\":\"status\"}", 15, &answer, &f->error), DBK_OK);
    assert_null(strstr(answer.data, "mirror_faults"));
    dbk_text_free(&answer);
    dbk_free(dbk_port_system(), store);
}

/* A port that edits the file when the one that is to replace it is written. */
typedef struct saving_port {
    dbk_port port;
    const engine_fixture *f;
    const char *text;
} saving_port;

static int open_and_save(void *ctx, dbk_dir *dir, const char *name, int flags, uint32_t mode, dbk_file **out)
{
    saving_port *saving = ctx;
    if (saving->text && strcmp(name, "ui.json.tmp") == 0) {
        write_file(saving->f, saving->text);
        saving->text = NULL;
    }
    return dbk_port_system()->open_file(NULL, dir, name, flags, mode, out);
}

static void what_is_saved_while_the_file_is_written_stays(void **state)
{
    engine_fixture *f = *state;
    saving_port saving = {.port = *dbk_port_system(), .f = f};
    saving.port.ctx = &saving;
    saving.port.open_file = open_and_save;
    dbk_engine_close(f->engine);
    f->options.port = &saving.port;
    fixture_open(f);
    saving.text = "{\"size\":4}"; /* there was none */
    look(f);
    expect_file(f, "ui.json", "{\"size\":4}");
    look(f);
    expect_setting(f, "\"value\":{\"size\":4}");
    must_accept(f, SET("1", "other", "1"));
    saving.text = "{\"size\":6}";
    look(f);
    expect_file(f, "ui.json", "{\"size\":6}");
    look(f);
    expect_setting(f, "\"value\":{\"size\":6,\"other\":1}");
    /* an edit, taken together with what was set, and gone on from and back meanwhile */
    write_file(f, "{\"size\":7,\"other\":1}");
    must_accept(f, SET("2", "more", "2"));
    saving.text = "{\"size\":6,\"other\":3}";
    look(f);
    assert_null(saving.text);
    look(f);
    look(f);
    expect_setting(f, "\"size\":6");
    expect_setting(f, "\"other\":3");
    expect_setting(f, "\"more\":2");
    dbk_engine_close(f->engine);
    f->options.port = NULL;
    fixture_open(f);
}

/* A base is made again: one that is broken keeps no edit from being taken. */
static void a_broken_base_is_none(void **state)
{
    static const char *const broken[] = {"", "{\"size\":", "[1]", "\xff\xfe{}"};
    engine_fixture *f = *state;
    for (size_t i = 0; i < sizeof broken / sizeof *broken; i++) {
        char set[120], edit[40], want[40];
        snprintf(set, sizeof set, SET("%zu", "other", "%zu"), i, i + 10);
        must_accept(f, set);
        look(f);
        dbk_engine_close(f->engine);
        FILE *file = fopen(name_of(f, "../mirrors/ui.json"), "w");
        assert_non_null(file);
        assert_true(fputs(broken[i], file) >= 0);
        assert_int_equal(fclose(file), 0);
        fixture_open(f);
        snprintf(edit, sizeof edit, "{\"size\":%zu}", i);
        write_file(f, edit);
        look(f);
        look(f);
        snprintf(want, sizeof want, "\"size\":%zu", i);
        expect_setting(f, want);
        expect_no_fault(f);
    }
}

/* What may not be taken as an edit, or be shown, is said. A file over the limit is not read, and none is written that
 * could not be read again. */
static void what_is_too_large_is_said(void **state)
{
    enum { LARGE = 1024 * 1024 };
    engine_fixture *f = *state;
    char *text = malloc(LARGE + 200);
    assert_non_null(text);
    must_accept(f, SET("1", "size", "5"));
    look(f);
    memset(text, ' ', LARGE + 10);
    memcpy(text, "{\"size\":6}", 10);
    text[LARGE + 10] = 0;
    write_file(f, text);
    look(f);
    expect_setting(f, "\"size\":5");
    expect_answer(f, "{\"do\":\"status\"}", "\"mirror_faults\":{\"ui.json\":\"'ui.json' is over");
    write_file(f, "{\"size\":7}");
    look(f);
    expect_setting(f, "\"size\":7");
    expect_no_fault(f);
    for (int i = 0; i < 3; i++) {
        int head = snprintf(text, 120,
                            "{\"id\":\"l%d\",\"do\":\"set\",\"namespace\":\"ui\",\"path\":\"t%d\",\"value\":\"", i, i);
        memset(text + head, 'a', LARGE / 5 * 2);
        memcpy(text + head + LARGE / 5 * 2, "\"}", 3);
        must_accept(f, text);
    }
    assert_int_equal(dbk_engine_mirror(f->engine, &f->error), DBK_TOO_BIG);
    expect_answer(f, "{\"do\":\"status\"}", "\"mirror_faults\":{\"ui.json\":\"'ui.json' would have");
    expect_file(f, "ui.json", "{\"size\":7}");
    must_accept(f, "{\"id\":\"2\",\"do\":\"unset\",\"namespace\":\"ui\",\"path\":\"t1\"}");
    must_accept(f, "{\"id\":\"3\",\"do\":\"unset\",\"namespace\":\"ui\",\"path\":\"t2\"}");
    must_accept(f, "{\"id\":\"4\",\"do\":\"unset\",\"namespace\":\"ui\",\"path\":\"t0\"}");
    look(f);
    expect_no_fault(f);
    free(text);
}

/* What is wrong with one file says nothing of the others, and is told. */
static void one_that_fails_does_not_hold_up_the_others(void **state)
{
    static const char two[] = "{\"daybook\":1,\"name\":\"set\",\"settings\":{"
                              "\"a\":{\"table\":\"settings\",\"mirror\":\"a.json\"},"
                              "\"ui\":{\"table\":\"settings\",\"mirror\":\"ui.json\"}}}";
    dbk_source sources[] = {{"app.json", dbk_slice_text(two)}, {"schema.sql", dbk_slice_text(schema)}};
    engine_fixture *f = calloc(1, sizeof *f);
    const char *base = "../mirrors/a.json";
    (void)state;
    fixture_start_with(f, definition_of_sources(sources, 2));
    look(f);
    assert_int_equal(remove(name_of(f, base)), 0);
    assert_int_equal(mkdir(name_of(f, base), 0700), 0);
    must_accept(f, "{\"id\":\"1\",\"do\":\"set\",\"namespace\":\"a\",\"path\":\"x\",\"value\":1}");
    for (int opened = 0; opened < 2; opened++) {
        must_accept(f, opened ? SET("3", "size", "6") : SET("2", "size", "5"));
        assert_int_not_equal(dbk_engine_mirror(f->engine, &f->error), DBK_OK);
        expect_file(f, "ui.json", opened ? "{\n  \"size\": 6\n}\n" : "{\n  \"size\": 5\n}\n");
        expect_answer(f, "{\"do\":\"status\"}", "\"mirror_faults\":{\"a.json\":\"");
        dbk_engine_close(f->engine);
        fixture_open(f);
    }
    assert_int_equal(rmdir(name_of(f, base)), 0);
    look(f);
    expect_file(f, "a.json", "{\n  \"x\": 1\n}\n");
    expect_no_fault(f);
    fixture_stop(f);
    free(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_is_set_while_an_edit_is_taken_stays, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_saved_while_the_file_is_written_stays, setup, teardown),
        cmocka_unit_test_setup_teardown(a_broken_base_is_none, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_too_large_is_said, setup, teardown),
        cmocka_unit_test(one_that_fails_does_not_hold_up_the_others),
        cmocka_unit_test_setup_teardown(settings_are_shown_and_edits_taken, setup, teardown),
        cmocka_unit_test_setup_teardown(an_edit_and_a_change_at_the_same_time_both_stay, setup, teardown),
        cmocka_unit_test_setup_teardown(a_broken_edit_is_kept_aside_and_wipes_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(a_file_that_cannot_be_read_changes_nothing, setup, teardown),
        cmocka_unit_test(a_side_is_taken_over_when_it_is_quiet),
        cmocka_unit_test_setup_teardown(edits_in_a_row_are_taken_in_turn, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_no_file_is_left_alone, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
