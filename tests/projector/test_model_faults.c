/* SQLite's own memory runs out: at every allocation in turn, once and for ever. What a model says then is
 * no_memory (or that its file is none, where the file could not be read through), and what it left on disk
 * is a whole state. usage: test_model_faults once|ever STRIDE */
#include "tests/projector/model_fixture.h"

#include "projector/model/journal.h"

static sqlite3_mem_methods usual;
static size_t calls, fail_at, stride;
static bool for_ever;

static bool fails(void)
{
    if (!fail_at) return false;
    calls++;
    return calls == fail_at || (for_ever && calls > fail_at);
}

static void *failing_malloc(int size)
{
    return fails() ? NULL : usual.xMalloc(size);
}
static void *failing_realloc(void *memory, int size)
{
    return fails() ? NULL : usual.xRealloc(memory, size);
}

static void start_failing(size_t n)
{
    calls = 0;
    fail_at = n;
}

/* false: it went through without meeting the failure. */
static bool stop_failing(void)
{
    bool met = fail_at && calls >= fail_at;
    fail_at = 0;
    return met;
}

typedef dbk_result (*scene_fn)(model_place *place, dbk_error *err);

static dbk_result exec(dbk_model *model, const char *text, dbk_error *err)
{
    int rc = sql_try(model, text);
    return rc == SQLITE_OK ? DBK_OK : dbk_model_sql_failure(model, rc, "run", err);
}

static dbk_result create_and_commit(model_place *place, dbk_error *err)
{
    dbk_model *model;
    dbk_result result = dbk_model_create(place->port, place_file(place, "model"), place->definition, NULL,
                                         &(dbk_model_options){.journal_rows = 3}, &model, err);
    if (result == DBK_OK) dbk_model_keep_rows(model, true);
    for (uint64_t position = 1; result == DBK_OK && position < 4; position++) {
        dbk_changes changes;
        result = dbk_model_begin(model, err);
        if (result == DBK_OK) {
            result = exec(model,
                          "INSERT INTO counts(v) VALUES(1), (2); INSERT INTO notes(id, raw) VALUES(hex(2), "
                          "x'0102030405060708090a0b0c0d0e0f')  ON CONFLICT DO NOTHING; UPDATE counts SET v=v+1",
                          err);
        }
        if (result == DBK_OK) result = try_commit(model, position, &changes, err);
    }
    dbk_model_close(model);
    return result;
}

static dbk_result open_and_tell(model_place *place, dbk_error *err)
{
    dbk_model *model;
    dbk_buffer out;
    dbk_hash128 counted;
    uint64_t rows;

    dbk_buffer_init(&out, place->port);
    dbk_result result =
        dbk_model_open(place->port, place_file(place, "model"), place->definition, NULL, NULL, &model, err);
    if (result == DBK_OK) result = dbk_model_catch_up_rows(model, table_of(model, "counts"), 1, false, &out, err);
    if (result == DBK_OK) result = dbk_model_catch_up_rows(model, table_of(model, "notes"), 0, true, &out, err);
    if (result == DBK_OK) result = dbk_model_recount(model, &counted, &rows, err);
    if (result == DBK_OK) assert_memory_equal(&counted, &model->state.fingerprint, sizeof counted);
    dbk_model_close(model);
    dbk_buffer_release(&out);
    return result;
}

static dbk_result switch_and_finish(model_place *place, dbk_error *err)
{
    dbk_model *old = NULL, *shadow = NULL;
    dbk_changes changes;

    dbk_result result =
        dbk_model_open(place->port, place_file(place, "model"), place->definition, NULL, NULL, &old, err);
    if (result == DBK_OK) {
        result = dbk_model_create(place->port, place_file(place, "shadow"), place->definition, NULL,
                                  &(dbk_model_options){.bulk = true}, &shadow, err);
    }
    if (result == DBK_OK) result = dbk_model_begin(shadow, err);
    if (result == DBK_OK) result = exec(shadow, "INSERT INTO counts(v) VALUES(7), (2), (9)", err);
    if (result == DBK_OK) result = try_commit(shadow, 9, &changes, err);
    if (result == DBK_OK) result = dbk_model_take_over(shadow, old, false, &changes, err);
    if (result == DBK_OK) result = dbk_model_finish(shadow, false, err);
    dbk_model_close(old);
    dbk_model_close(shadow);
    return result;
}

static dbk_result read_as_client(model_place *place, dbk_error *err)
{
    dbk_model_reader *reader;
    dbk_buffer out;

    dbk_buffer_init(&out, place->port);
    dbk_result result = dbk_reader_open(place->port, place_file(place, "model"), NULL, place->definition, &reader, err);
    if (result == DBK_OK)
        result =
            dbk_reader_query(reader, dbk_slice_text("SELECT n, v FROM counts ORDER BY v DESC"), NULL, NULL, &out, err);
    if (result == DBK_OK) result = dbk_reader_named(reader, dbk_slice_text("flags"), NULL, NULL, &out, err);
    dbk_reader_close(reader);
    dbk_buffer_release(&out);
    return result;
}

static void forget(model_place *place, const char *name)
{
    static const char *const tails[] = {"", "-wal", "-shm", "-journal"};
    char whole[64];
    for (size_t i = 0; i < sizeof tails / sizeof *tails; i++) {
        snprintf(whole, sizeof whole, "%s%s", name, tails[i]);
        unlink(place_file(place, whole));
    }
}

/* The file, if it is one, opens and counts right without the failure. */
static void check_left(model_place *place, const char *name)
{
    dbk_model *model;
    struct stat info;
    if (stat(place_file(place, name), &info) != 0) return;
    dbk_result result =
        dbk_model_open(place->port, place_file(place, name), place->definition, NULL, NULL, &model, &place->err);
    assert_ok(result, &place->err);
    assert_recount(model);
    dbk_model_close(model);
}

static void run_scene(scene_fn scene, bool makes_model, bool makes_shadow)
{
    model_place place;
    bool met = true;
    size_t runs = 0;

    place_init(&place, NULL);
    if (!makes_model) assert_ok(create_and_commit(&place, &place.err), &place.err);
    for (size_t n = 1; met; n += stride) {
        start_failing(n);
        dbk_result result = scene(&place, &place.err);
        met = stop_failing();
        runs += met;
        if (!met) assert_ok(result, &place.err);
        else if (result != DBK_OK) assert_result(result, DBK_NO_MEMORY, &place.err);
        check_left(&place, "model");
        if (makes_shadow) forget(&place, "shadow");
        if (makes_model) forget(&place, "model");
    }
    assert_true(runs * stride >= 40); /* else it saw nothing */
    place_done(&place);
}

static void test_create_and_commit(void **state)
{
    (void)state;
    run_scene(create_and_commit, true, false);
}

static void test_open_and_tell(void **state)
{
    (void)state;
    run_scene(open_and_tell, false, false);
}

static void test_switch_and_finish(void **state)
{
    (void)state;
    run_scene(switch_and_finish, false, true);
}

static void test_read_as_client(void **state)
{
    (void)state;
    run_scene(read_as_client, false, false);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_create_and_commit),
        cmocka_unit_test(test_open_and_tell),
        cmocka_unit_test(test_switch_and_finish),
        cmocka_unit_test(test_read_as_client),
    };
    if (argc != 3 || (strcmp(argv[1], "once") != 0 && strcmp(argv[1], "ever") != 0)) return 2;
    for_ever = strcmp(argv[1], "ever") == 0;
    stride = strtoul(argv[2], NULL, 10);
    if (stride == 0) return 2;
    sqlite3_config(SQLITE_CONFIG_GETMALLOC, &usual);
    sqlite3_mem_methods failing = usual;
    failing.xMalloc = failing_malloc;
    failing.xRealloc = failing_realloc;
    if (sqlite3_config(SQLITE_CONFIG_MALLOC, &failing) != SQLITE_OK) return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
