/* Mirrors on a disk that fails at one name: the others go on, and nothing is taken for what it is not. */
#include <errno.h>

#include "tests/store/ask_fixture.h"
#include "tests/store/folder_fixture.h"
#include "tests/store/mirror_fixture.h"

static const char app[] = "{\"daybook\":1,\"name\":\"mirrors\",\"settings\":{"
                          "\"a\":{\"table\":\"prefs\",\"mirror\":\"first.json\"},"
                          "\"b\":{\"query\":\"list\",\"import\":\"take\",\"mirror\":\"second.json\"},"
                          "\"c\":{\"table\":\"prefs\",\"mirror\":\"third.json\"}}}";
static const char schema[] = "CREATE TABLE prefs(name TEXT PRIMARY KEY NOT NULL, value JSON);\n"
                             "CREATE TABLE jobs(id TEXT PRIMARY KEY NOT NULL);\n";
static const char queries[] = "-- query list()\nSELECT id FROM jobs ORDER BY id;\n";
static const char commands[] =
    "-- command take(rows JSON)\n-- else ok\n-- put jobs\nSELECT value->>'id' AS id FROM json_each(:rows);\n";
static const char shown[] = "[\n  {\n    \"id\": \"1\"\n  }\n]\n";

/* The disk fails where a file gets that name, is looked at or opened by it; NULL: nowhere. */
static struct {
    dbk_port port;
    const char *renamed, *looked, *opened;
} disk;

static bool is(const char *name, const char *bad)
{
    return bad && strcmp(name, bad) == 0;
}

static int bad_rename(void *ctx, dbk_dir *a, const char *from, dbk_dir *b, const char *to)
{
    return is(to, disk.renamed) ? -EIO : dbk_port_system()->rename(ctx, a, from, b, to);
}

static int bad_identify(void *ctx, dbk_dir *dir, const char *name, dbk_identity *out)
{
    return is(name, disk.looked) ? -EIO : dbk_port_system()->identify(ctx, dir, name, out);
}

static int bad_open_file(void *ctx, dbk_dir *dir, const char *name, int flags, uint32_t mode, dbk_file **out)
{
    return is(name, disk.opened) ? -EIO : dbk_port_system()->open_file(ctx, dir, name, flags, mode, out);
}

static void calm(void)
{
    disk.renamed = disk.looked = disk.opened = NULL;
}

static int setup(void **state)
{
    dbk_source sources[] = {{"app.json", dbk_slice_text(app)},
                            {"commands.sql", dbk_slice_text(commands)},
                            {"queries.sql", dbk_slice_text(queries)},
                            {"schema.sql", dbk_slice_text(schema)}};
    (void)start(state, sources, 4);
    engine_fixture *f = *state;
    must_accept(f, "{\"id\":\"1\",\"do\":\"put\",\"table\":\"jobs\",\"key\":\"1\",\"data\":{}}");
    must_accept(f, "{\"id\":\"2\",\"do\":\"set\",\"namespace\":\"a\",\"path\":\"x\",\"value\":1}");
    must_accept(f, "{\"id\":\"3\",\"do\":\"set\",\"namespace\":\"c\",\"path\":\"y\",\"value\":2}");
    calm();
    disk.port = *dbk_port_system();
    disk.port.rename = bad_rename;
    disk.port.identify = bad_identify;
    disk.port.open_file = bad_open_file;
    dbk_engine_close(f->engine);
    f->options.port = &disk.port;
    fixture_open(f);
    return 0;
}

static bool says(engine_fixture *f, const char *request, const char *part)
{
    char *answer = ask_of(f->engine, request);
    bool has = strstr(answer, part) != NULL;
    if (!has) print_message("%s\n%s\n", part, answer);
    free(answer);
    return has;
}

static void expect_file(engine_fixture *f, const char *name, const char *text)
{
    char *found = file_text(f->path, name);
    assert_string_equal(found, text);
    free(found);
}

static void one_that_fails_keeps_none_of_the_others(void **state)
{
    static const char name[] = "first.json", base[] = "a.json";
    for (int i = 0; i < 4; i++) {
        if (i > 0) teardown(state), setup(state);
        engine_fixture *f = *state;
        if (i == 0) disk.renamed = name;
        if (i == 1) disk.renamed = base;
        if (i == 2) disk.looked = name;
        if (i == 3) disk.opened = base;
        dbk_error_clear(&f->error);
        assert_int_equal(dbk_engine_mirror(f->engine, &f->error), DBK_IO);
        assert_true(f->error.text[0]);
        assert_int_equal(dbk_engine_mirror(f->engine, &f->error), DBK_IO); /* and again at the next look */
        expect_file(f, "files/second.json", shown);
        expect_file(f, "files/third.json", "{\n  \"y\": 2\n}\n");
        assert_true(says(f, "{\"do\":\"status\"}", "\"mirror_faults\":{\"first.json\":\"cannot "));
        assert_true(says(f, "{\"do\":\"stats\"}", "\"mirror_failures\":2"));
        calm();
        look(f);
        expect_file(f, "files/first.json", "{\n  \"x\": 1\n}\n");
        char *status = ask_of(f->engine, "{\"do\":\"status\"}");
        assert_null(strstr(status, "mirror_faults"));
        free(status);
        assert_int_equal(dbk_log_position(dbk_engine_log(f->engine)), 3);
    }
}

/* A file that stood there before has no base, and the base comes behind the file: a process that dies between the two,
 * or one whose disk fails there, would else leave a base beside the other's file, which would make an edit of it. */
static void what_stood_there_is_no_edit_however_often_the_disk_fails(void **state)
{
    static const char theirs[] = "[{\"id\":\"theirs\"}]";
    engine_fixture *f = *state;
    folder_make(f->path, "files");
    file_write(f->path, "files/second.json", theirs, strlen(theirs));
    disk.renamed = "second.json";
    for (int i = 0; i < 3; i++) assert_int_equal(dbk_engine_mirror(f->engine, &f->error), DBK_IO);
    expect_file(f, "files/second.json", theirs);
    calm();
    dbk_engine_close(f->engine);
    fixture_open(f);
    look(f);
    look(f);
    expect_file(f, "files/second.json", shown);
    expect_file(f, "files/second.json.rejected", theirs);
    assert_int_equal(dbk_log_position(dbk_engine_log(f->engine)), 3); /* no command came of it */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(one_that_fails_keeps_none_of_the_others, setup, teardown),
        cmocka_unit_test_setup_teardown(what_stood_there_is_no_edit_however_often_the_disk_fails, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
