/* A client or a stranger puts things where the engine makes its own: the store goes on and opens again. */
#include "tests/store/folder_fixture.h"

static const char schema[] = "CREATE TABLE notes (id TEXT PRIMARY KEY NOT NULL, title TEXT);";

static int setup(void **state)
{
    engine_fixture *f = calloc(1, sizeof *f);
    fixture_start(f, schema, NULL);
    must_accept(f, "{\"id\":\"c1\",\"do\":\"put\",\"table\":\"notes\",\"key\":\"n1\",\"data\":{\"title\":\"one\"}}");
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    fixture_stop(*state);
    free(*state);
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
    assert_int_equal(rmdir(path_in(f->path, "models/99999999/deeper").text), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_replay_leaves_the_stores_folder_alone, setup, teardown),
        cmocka_unit_test_setup_teardown(a_pointer_of_any_size_is_made_again, setup, teardown),
        cmocka_unit_test_setup_teardown(after_the_last_serial_come_the_first, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
