/* A client or a stranger puts things where the engine makes its own: the store goes on and opens again. */
#include "tests/store/ask_fixture.h"
#include "tests/store/folder_fixture.h"

static const char schema[] = "CREATE TABLE notes (id TEXT PRIMARY KEY NOT NULL, title TEXT);";

static int setup(void **state)
{
    (void)fixture_setup(state, definition_of(schema, NULL));
    must_accept(*state,
                "{\"id\":\"c1\",\"do\":\"put\",\"table\":\"notes\",\"key\":\"n1\",\"data\":{\"title\":\"one\"}}");
    return 0;
}

static void open_again(engine_fixture *f)
{
    dbk_model_state model;
    dbk_engine_close(f->engine);
    f->engine = NULL;
    fixture_open(f);
    dbk_model_get_state(dbk_engine_model(f->engine), &model);
    assert_int_equal(model.position, dbk_log_position(dbk_engine_log(f->engine)));
}

static dbk_result replay_into(engine_fixture *f, const char *name)
{
    dbk_model_state model;
    dbk_moment at = {0};
    memset(&f->error, 0, sizeof f->error);
    return dbk_engine_replay(f->engine, &at, path_in(f->path, name).text, true, NULL, NULL, &model, &f->error);
}

/* Named as a segment far beyond the last one, it would make the log look torn. */
static void a_replay_leaves_the_stores_folder_alone(void **state)
{
    static const char *const names[] = {
        "x", "log/0000000000000099.seg", "models/x", "models/00000001/x", "log/../log/x", "log/./x"};
    engine_fixture *f = *state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        assert_int_equal(replay_into(f, names[i]), DBK_BAD_COMMAND);
        assert_non_null(strstr(f->error.text, "the store's own"));
        assert_false(file_exists(f->path, names[i]));
    }
    assert_int_equal(replay_into(f, "../beside.sqlite"), DBK_OK);
    assert_true(file_exists(f->path, "../beside.sqlite"));
    file_remove(f->path, "../beside.sqlite");
    open_again(f);
}

static void a_pointer_of_any_size_is_made_again(void **state)
{
    static const char zeros[100];
    engine_fixture *f = *state;
    static const size_t sizes[] = {0, 1, 8, 64, 65, sizeof zeros};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        file_write(f->path, "models/current", zeros, sizes[i]);
        open_again(f);
    }
}

/* A leftover that cannot be removed holds the last serial. */
static void after_the_last_serial_come_the_first(void **state)
{
    engine_fixture *f = *state;
    folder_make(f->path, "models/99999999");
    folder_make(f->path, "models/99999999/deeper");
    for (int i = 0; i < 3; i++) {
        assert_int_equal(dbk_engine_rebuild(f->engine, NULL, NULL, &f->error), DBK_OK);
        open_again(f);
        assert_false(file_exists(f->path, "models/100000000"));
    }
    assert_int_equal(rmdir(path_in(f->path, "models/99999999.aside-1/deeper").text), 0);
}

/* ---- something else stands where a model was */

enum { A_FILE, A_FIFO, A_LINK, A_DANGLING_LINK, A_FOLDER, A_FULL_FOLDER };

/* What was there moves out of the store, where the link then leads to. */
static void put_in_place(engine_fixture *f, const char *name, int kind)
{
    folder_path path = path_in(f->path, name), outside = path_in(f->folder, "outside");
    if (file_exists(f->path, name)) assert_int_equal(rename(path.text, outside.text), 0);
    else file_write(f->folder, "outside", "untouched", 9);
    if (kind == A_FILE) file_write(f->path, name, "mine", 4);
    if (kind == A_FIFO) assert_int_equal(mkfifo(path.text, 0600), 0);
    if (kind == A_LINK) assert_int_equal(symlink(outside.text, path.text), 0);
    if (kind == A_DANGLING_LINK) assert_int_equal(symlink("/nowhere/at/all", path.text), 0);
    if (kind >= A_FOLDER) folder_make(f->path, name);
    if (kind == A_FULL_FOLDER) file_write(path.text, "mine", "mine", 4);
}

static uint64_t outside_digest(engine_fixture *f)
{
    struct stat info;
    folder_path outside = path_in(f->folder, "outside");
    assert_int_equal(stat(outside.text, &info), 0);
    if (S_ISDIR(info.st_mode)) return folder_digest(outside.text);
    size_t size;
    char *bytes = file_bytes(f->folder, "outside", &size);
    uint64_t digest = dbk_checksum(dbk_slice_of(bytes, size), 1);
    free(bytes);
    return digest;
}

static void note_aside(void *arg, const char *path)
{
    snprintf(arg, 300, "%.299s", path);
}

/* Refused by none; the row is there; the thing has another name, and what a link led to is as it was. */
static void is_put_aside(engine_fixture *f, const char *name, const char *aside, int kind)
{
    char told[300] = "";
    dbk_dir *store = NULL;
    const dbk_port *port = dbk_port_system();
    put_in_place(f, name, kind);
    uint64_t before = outside_digest(f);
    open_again(f);
    must_accept(f, "{\"id\":\"c2\",\"do\":\"patch\",\"table\":\"notes\",\"key\":\"n1\",\"data\":{\"title\":\"two\"}}");
    open_again(f);
    assert_int_equal(outside_digest(f), before);
    assert_int_equal(dbk_io_open_dir(port, NULL, f->path, 0, &store, NULL), DBK_OK);
    dbk_aside_each(port, store, note_aside, told);
    port->close_dir(port->ctx, store);
    assert_string_equal(told, aside);
    char *notes = file_text(f->path, "log/recovery.ndjson");
    assert_non_null(strstr(notes, "\"case\":\"aside\""));
    free(notes);
}

static void what_stands_in_the_way_of_a_model_is_put_aside(void **state)
{
    static const char *const cases[][2] = {
        {"models", "models.aside-1"},
        {"images", "images.aside-1"},
        {"models/current", "models/current.aside-1"},
        {"models/current.tmp", "models/current.tmp.aside-1"},
        {"models/current.next", "models/current.next.aside-1"},
        {"models/boot", "models/boot.aside-1"},
        {"models/00000001", "models/00000001.aside-1"},
        {"models/00000001/main.sqlite", "models/00000001.aside-1"},
        {"models/00000001/main.sqlite-wal", "models/00000001.aside-1"},
        {"models/00000001/main.sqlite-shm", "models/00000001.aside-1"},
        {"models/00000001/main.sqlite-journal", "models/00000001.aside-1"},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        bool is_folder = i < 2 || i == 6;
        for (int kind = is_folder ? A_FILE : A_FIFO; kind <= (is_folder ? A_DANGLING_LINK : A_FULL_FOLDER); kind++) {
            engine_fixture *f = NULL;
            setup((void **)&f);
            dbk_engine_close(f->engine);
            f->engine = NULL;
            is_put_aside(f, cases[i][0], cases[i][1], kind);
            fixture_teardown((void **)&f);
        }
    }
}

/* Who only reads changes nothing, and folds what he needs from the log. */
static void a_reader_passes_over_what_is_no_model(void **state)
{
    engine_fixture *f = *state;
    dbk_engine_close(f->engine);
    f->engine = NULL;
    put_in_place(f, "models", A_LINK);
    f->options.read_only = true;
    fixture_open(f);
    char *answer = ask_of(f->engine, "{\"do\":\"get\",\"table\":\"notes\",\"key\":\"n1\"}");
    assert_non_null(strstr(answer, "\"title\":\"one\""));
    free(answer);
    assert_true(file_exists(f->path, "models"));
    assert_false(file_exists(f->path, "models.aside-1"));
}

/* The second one of a name takes the next number. */
static void what_was_put_aside_is_never_replaced(void **state)
{
    engine_fixture *f = *state;
    for (int i = 0; i < 3; i++) {
        dbk_engine_close(f->engine);
        f->engine = NULL;
        file_remove(f->path, "models/current");
        folder_make(f->path, "models/current");
        fixture_open(f);
    }
    assert_true(file_exists(f->path, "models/current.aside-1"));
    assert_true(file_exists(f->path, "models/current.aside-2"));
    assert_true(file_exists(f->path, "models/current.aside-3"));
}

/* Whatever it is called, and even if it is a database: only what the engine made goes with a model. */
static void what_lies_beside_a_model_stays(void **state)
{
    static const char *const names[] = {"main.sqlite.bak", "main.sqlite.old", "main.sqlite2", "notes.txt", "empty"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char beside[80], aside[120];
        size_t size;
        setup(state);
        engine_fixture *f = *state;
        snprintf(beside, sizeof beside, "models/00000001/%s", names[i]);
        snprintf(aside, sizeof aside, "models/00000001.aside-1/%s", names[i]);
        char *model = file_bytes(f->path, "models/00000001/main.sqlite", &size);
        file_write(f->path, beside, model, i == 0 ? size : i == 4 ? 0 : 9); /* the first is a copy of it */
        free(model);
        assert_int_equal(dbk_engine_rebuild(f->engine, NULL, NULL, &f->error), DBK_OK);
        open_again(f);
        assert_true(file_exists(f->path, aside));
        assert_false(file_exists(f->path, "models/00000001"));
        fixture_teardown(state);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_replay_leaves_the_stores_folder_alone, setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(a_pointer_of_any_size_is_made_again, setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(after_the_last_serial_come_the_first, setup, fixture_teardown),
        cmocka_unit_test(what_stands_in_the_way_of_a_model_is_put_aside),
        cmocka_unit_test(what_lies_beside_a_model_stays),
        cmocka_unit_test_setup_teardown(a_reader_passes_over_what_is_no_model, setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(what_was_put_aside_is_never_replaced, setup, fixture_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
