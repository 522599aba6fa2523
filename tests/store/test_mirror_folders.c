/* Mirrors in folders below files/: made, told where they cannot be opened, and no link followed. */
#include "tests/store/mirror_fixture.h"

#include <errno.h>
#include <sys/stat.h>

static const char app[] = "{\"daybook\":1,\"name\":\"set\",\"settings\":{"
                          "\"app\":{\"table\":\"settings\",\"mirror\":\"config/app.json\"},"
                          "\"deep\":{\"table\":\"settings\",\"mirror\":\"config/a/b/deep.json\"},"
                          "\"shown\":{\"query\":\"names\",\"mirror\":\"lists/names.json\"},"
                          "\"top\":{\"table\":\"settings\",\"mirror\":\"top.json\"}}}";
static const char schema[] = "CREATE TABLE settings(name TEXT PRIMARY KEY NOT NULL, value JSON);\n";
static const char queries[] = "-- query names()\nSELECT name FROM settings ORDER BY name;\n";

static int setup(void **state)
{
    dbk_source sources[] = {{"app.json", dbk_slice_text(app)},
                            {"schema.sql", dbk_slice_text(schema)},
                            {"queries.sql", dbk_slice_text(queries)}};
    return start(state, sources, 3);
}

static const char *name_of(const engine_fixture *f, const char *name)
{
    static char path[4400];
    snprintf(path, sizeof path, "%s/files/%s", f->path, name);
    return path;
}

static void write_file(const engine_fixture *f, const char *name, const char *text)
{
    FILE *file = fopen(name_of(f, name), "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static void expect_file(const engine_fixture *f, const char *name, const char *text)
{
    char found[4096];
    FILE *file = fopen(name_of(f, name), "r");
    if (!file) print_error("%s\n", name);
    assert_non_null(file);
    found[fread(found, 1, sizeof found - 1, file)] = 0;
    fclose(file);
    assert_string_equal(found, text);
}

static bool answers(engine_fixture *f, const char *ask, const char *part)
{
    dbk_store *store;
    dbk_text answer = {0};
    assert_int_equal(dbk_engine_wrap(f->engine, &store, &f->error), DBK_OK);
    assert_int_equal(dbk_do(store, ask, strlen(ask), &answer, &f->error), DBK_OK);
    bool found = strstr(answer.data, part) != NULL;
    dbk_text_free(&answer);
    dbk_free(dbk_port_system(), store);
    return found;
}

#define SET(id, space, path, value)                                                                                    \
    "{\"id\":\"" id "\",\"do\":\"set\",\"namespace\":\"" space "\",\"path\":\"" path "\",\"value\":" value "}"
#define STATUS "{\"do\":\"status\"}"

static void folders_are_made_and_edits_in_them_taken(void **state)
{
    engine_fixture *f = *state;
    struct stat found;
    must_accept(f, SET("1", "app", "x", "1"));
    look(f);
    expect_file(f, "config/app.json", "{\n  \"x\": 1\n}\n");
    expect_file(f, "config/a/b/deep.json", "{}\n");
    expect_file(f, "lists/names.json", "[\n  {\n    \"name\": \"app\"\n  }\n]\n");
    assert_int_equal(stat(name_of(f, "config/a"), &found), 0);
    assert_int_equal(found.st_mode & 0777, 0700);
    write_file(f, "config/a/b/deep.json", "{\"y\":2}");
    write_file(f, "config/app.json", "{\"x\":");
    look(f);
    assert_true(answers(f, "{\"do\":\"get\",\"namespace\":\"deep\"}", "\"value\":{\"y\":2}"));
    assert_true(answers(f, "{\"do\":\"get\",\"namespace\":\"app\"}", "\"value\":{\"x\":1}"));
    expect_file(f, "config/app.json.rejected", "{\"x\":");
    assert_true(
        answers(f, STATUS, "\"mirrors_rejected\":[\"config/app.json\"],\"mirror_faults\":{\"config/app.json\":"));
    /* bases are known again */
    dbk_engine_close(f->engine);
    write_file(f, "config/a/b/deep.json", "{\"z\":3}");
    fixture_open(f);
    look(f);
    assert_true(answers(f, "{\"do\":\"get\",\"namespace\":\"deep\"}", "\"value\":{\"z\":3}"));
}

/* Nothing of what stands outside is read or written, and the mirrors in other folders go on. */
static void a_folder_that_cannot_be_opened_is_told_and_others_go_on(void **state)
{
    engine_fixture *f = *state;
    char outside[4200], set[120], file[4300];
    must_accept(f, SET("1", "app", "x", "1"));
    look(f);
    assert_false(answers(f, STATUS, "mirror_faults"));
    snprintf(outside, sizeof outside, "%s/outside", f->folder);
    snprintf(file, sizeof file, "%s/app.json", outside);
    assert_int_equal(mkdir(outside, 0700), 0);
    for (int kind = 0; kind < 2; kind++) { /* a link, a file */
        char aside[4400];
        snprintf(aside, sizeof aside, "%s", name_of(f, "aside"));
        assert_int_equal(rename(name_of(f, "config"), aside), 0);
        if (kind == 0) assert_int_equal(symlink(outside, name_of(f, "config")), 0);
        else write_file(f, "config", "mine");
        snprintf(set, sizeof set, SET("t%d", "top", "n", "%d"), kind, kind);
        must_accept(f, set);
        snprintf(set, sizeof set, SET("a%d", "app", "n", "%d"), kind, kind);
        must_accept(f, set);
        assert_int_not_equal(dbk_engine_mirror(f->engine, &f->error), DBK_OK);
        snprintf(set, sizeof set, "{\n  \"n\": %d\n}\n", kind);
        expect_file(f, "top.json", set);
        assert_int_equal(access(file, F_OK), -1);
        if (kind == 1) expect_file(f, "config", "mine");
        assert_true(answers(f, STATUS, "\"mirror_faults\":{\"config/app.json\":\"cannot open"));
        assert_true(answers(f, STATUS, "\"config/a/b/deep.json\":\"cannot open"));
        assert_int_equal(remove(name_of(f, "config")), 0);
        assert_int_equal(rename(aside, name_of(f, "config")), 0);
        look(f);
        assert_false(answers(f, STATUS, "mirror_faults"));
        snprintf(set, sizeof set, "{\n  \"x\": 1,\n  \"n\": %d\n}\n", kind);
        expect_file(f, "config/app.json", set);
    }
}

/* A port on which a folder may not be opened while `closed` is true; the syncs of folders are counted. */
typedef struct closed_port {
    dbk_port port;
    bool closed;
    int syncs;
} closed_port;

static int open_unless_closed(void *ctx, dbk_dir *parent, const char *name, int flags, dbk_dir **out)
{
    if (((closed_port *)ctx)->closed && strcmp(name, "config") == 0) return -EACCES;
    return dbk_port_system()->open_dir(NULL, parent, name, flags, out);
}

static int count_sync(void *ctx, dbk_dir *dir)
{
    ((closed_port *)ctx)->syncs++;
    return dbk_port_system()->sync_dir(NULL, dir);
}

static void a_folder_that_may_not_be_read_is_told(void **state)
{
    engine_fixture *f = *state;
    closed_port closed = {.port = *dbk_port_system(), .closed = true};
    closed.port.ctx = &closed;
    closed.port.open_dir = open_unless_closed;
    closed.port.sync_dir = count_sync;
    dbk_engine_close(f->engine);
    f->options.port = &closed.port;
    fixture_open(f);
    must_accept(f, SET("1", "app", "x", "1"));
    must_accept(f, SET("2", "top", "x", "2"));
    assert_int_not_equal(dbk_engine_mirror(f->engine, &f->error), DBK_OK);
    expect_file(f, "top.json", "{\n  \"x\": 2\n}\n");
    assert_true(answers(f, STATUS, "\"mirror_faults\":{\"config/app.json\":\"cannot open"));
    assert_false(answers(f, STATUS, "lists/names.json"));
    closed.closed = false;
    closed.syncs = 0;
    look(f);
    expect_file(f, "config/app.json", "{\n  \"x\": 1\n}\n");
    /* two files and two bases with their folders; then the store, files, config; and a and b with them */
    assert_int_equal(closed.syncs, 4 + 3 + 5);
    assert_false(answers(f, STATUS, "mirror_faults"));
    dbk_engine_close(f->engine);
    f->options.port = NULL;
    fixture_open(f);
}

/* A folder that somebody removed is made again, as a file is. */
static void a_folder_that_is_gone_is_made_again(void **state)
{
    engine_fixture *f = *state;
    must_accept(f, SET("1", "deep", "x", "1"));
    look(f);
    assert_int_equal(remove(name_of(f, "config/a/b/deep.json")), 0);
    assert_int_equal(remove(name_of(f, "config/a/b")), 0);
    assert_int_equal(remove(name_of(f, "config/a")), 0);
    look(f);
    expect_file(f, "config/a/b/deep.json", "{\n  \"x\": 1\n}\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(folders_are_made_and_edits_in_them_taken, setup, teardown),
        cmocka_unit_test_setup_teardown(a_folder_that_cannot_be_opened_is_told_and_others_go_on, setup, teardown),
        cmocka_unit_test_setup_teardown(a_folder_that_may_not_be_read_is_told, setup, teardown),
        cmocka_unit_test_setup_teardown(a_folder_that_is_gone_is_made_again, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
