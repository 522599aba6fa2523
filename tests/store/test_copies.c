/* A store whose folder was copied, or put back from a copy, writes under a name of its own; one that was
 * moved, or reopened, keeps its name. */
#include "tests/store/folder_fixture.h"

#include "store/store.h"

static const char schema[] = "CREATE TABLE notes (id TEXT PRIMARY KEY NOT NULL, title TEXT);";

static int setup(void **state)
{
    int result = fixture_setup(state, definition_of(schema, NULL));
    engine_fixture *f = *state;
    must_accept(f, "{\"id\":\"c1\",\"do\":\"put\",\"table\":\"notes\",\"key\":\"n\",\"data\":{\"title\":\"T\"}}");
    dbk_engine_close(f->engine);
    f->engine = NULL;
    return result;
}

static void close_it(engine_fixture *f)
{
    dbk_engine_close(f->engine);
    f->engine = NULL;
}

/* The entry id of the next command, and the cursor's timeline. */
static void write_one(engine_fixture *f, char *receipt, size_t size)
{
    static int number;
    char command[200];
    snprintf(command, sizeof command,
             "{\"id\":\"w%d\",\"do\":\"put\",\"table\":\"notes\",\"key\":\"w\",\"data\":{\"title\":\"%d\"}}", number,
             number);
    number++;
    char *got = decide(f, command);
    snprintf(receipt, size, "%s", got);
    free(got);
}

static void expect_own_name(engine_fixture *f, bool own)
{
    char receipt[600];
    fixture_open(f);
    write_one(f, receipt, sizeof receipt);
    bool first = strstr(receipt, "72.1.") != NULL && strstr(receipt, "\"cursor\":[\"t\"") != NULL;
    if (first == own) print_error("%s\n", receipt);
    assert_int_equal(first, !own);
    close_it(f);
}

static bool is_copy(const char *path)
{
    bool copy = false;
    dbk_dir *dir = NULL;
    assert_int_equal(dbk_io_open_dir(dbk_port_system(), NULL, path, 0, &dir, NULL), DBK_OK);
    assert_int_equal(dbk_place_is_copy(dbk_port_system(), dir, &copy, NULL), DBK_OK);
    dbk_port_system()->close_dir(NULL, dir);
    return copy;
}

static void a_store_that_is_reopened_keeps_its_name(void **state)
{
    for (int i = 0; i < 3; i++) expect_own_name(*state, false);
}

static void a_store_that_is_renamed_keeps_its_name(void **state)
{
    engine_fixture *f = *state;
    file_move(f->folder, "t.daybook", "moved.daybook");
    snprintf(f->path, sizeof f->path, "%s/moved.daybook", f->folder);
    assert_false(is_copy(f->path));
    expect_own_name(f, false);
}

/* Only the first writer changes it; from then on it is a store like any other. */
static void a_copy_takes_a_name_of_its_own_once(void **state)
{
    engine_fixture *f = *state;
    char first[600], second[600];
    folder_copy_in(f->folder, "t.daybook", "copy.daybook");
    expect_own_name(f, false);
    snprintf(f->path, sizeof f->path, "%s/copy.daybook", f->folder);
    assert_true(is_copy(f->path));
    fixture_open(f);
    write_one(f, first, sizeof first);
    close_it(f);
    assert_false(is_copy(f->path));
    fixture_open(f);
    write_one(f, second, sizeof second);
    const char *timeline = strstr(first, "\"cursor\":");
    assert_non_null(timeline);
    assert_memory_equal(timeline, strstr(second, "\"cursor\":"), 26);
    assert_null(strstr(first, "72.1."));
    assert_non_null(strstr(second, ".2\","));
    expect_receipt(f, "{\"id\":\"c1\",\"do\":\"put\",\"table\":\"notes\",\"key\":\"n\",\"data\":{\"title\":\"other\"}}",
                   "{\"id\":\"c1\",\"ok\":false,\"error\":\"id_reused\",\"class\":\"persistent\",\"message\":\"id 'c1' "
                   "was used for another command, at "
                   "position 1\",\"hint\":\"use a new id for a new command\",\"outcome\":\"none\"}");
    close_it(f);
    char *note = file_text(f->path, "log/recovery.ndjson");
    assert_non_null(strstr(note, "\"case\":\"copy\""));
    free(note);
}

/* The two write on from one common past, and neither takes the other's entries for its own. */
static void a_store_and_its_copy_meet_without_a_fork(void **state)
{
    engine_fixture *f = *state;
    dbk_buffer origin;
    char receipt[600];
    folder_copy_in(f->folder, "t.daybook", "copy.daybook");
    char home[4200];
    memcpy(home, f->path, sizeof home);
    snprintf(f->path, sizeof f->path, "%s/copy.daybook", f->folder);
    fixture_open(f);
    write_one(f, receipt, sizeof receipt);
    dbk_buffer_init(&origin, dbk_port_system());
    assert_int_equal(dbk_log_read(dbk_engine_log(f->engine), 2, &origin, NULL, NULL), DBK_OK);
    close_it(f);
    memcpy(f->path, home, sizeof home);
    fixture_open(f);
    write_one(f, receipt, sizeof receipt);
    dbk_slice fact = dbk_buffer_slice(&origin);
    uint64_t logged = 0;
    assert_int_equal(dbk_engine_import(f->engine, &fact, 1, f->now_ms + 1000, &logged, NULL, &f->error), DBK_OK);
    assert_int_equal(logged, 1);
    dbk_buffer_release(&origin);
}

/* The same folder, the same inodes for what is written into: only the file that tells is of another time. */
static void a_backup_put_back_in_place_takes_a_new_name(void **state)
{
    engine_fixture *f = *state;
    folder_copy_in(f->folder, "t.daybook", "backup");
    expect_own_name(f, false);
    char command[9000];
    snprintf(command, sizeof command, "cp -a '%s/backup/.' '%s/'", f->folder, f->path);
    assert_int_equal(system(command), 0);
    assert_true(is_copy(f->path));
    expect_own_name(f, true);
}

static void who_only_reads_changes_nothing(void **state)
{
    engine_fixture *f = *state;
    folder_copy_in(f->folder, "t.daybook", "copy.daybook");
    snprintf(f->path, sizeof f->path, "%s/copy.daybook", f->folder);
    uint64_t before = folder_digest(f->path);
    f->options.read_only = true;
    fixture_open(f);
    close_it(f);
    assert_int_equal(folder_digest(f->path), before);
    assert_true(is_copy(f->path));
}

/* What a power loss leaves of the file, or nothing at all, is no proof of a copy. */
static void a_file_that_cannot_be_read_proves_nothing(void **state)
{
    static const char *const remains[] = {"", "{", "[]", "{\"place\":\"", "\0\0\0\0"};
    engine_fixture *f = *state;
    for (size_t i = 0; i < sizeof remains / sizeof *remains; i++) {
        file_write(f->path, "place", remains[i], i == 4 ? 4 : strlen(remains[i]));
        expect_own_name(f, false);
    }
    file_remove(f->path, "place");
    expect_own_name(f, false);
}

/* A log that is damaged refuses the opening before the copy is given a name. */
static void a_copy_that_cannot_be_opened_is_left_alone(void **state)
{
    engine_fixture *f = *state;
    folder_copy_in(f->folder, "t.daybook", "copy.daybook");
    snprintf(f->path, sizeof f->path, "%s/copy.daybook", f->folder);
    file_flip(f->path, "log/0000000000000001.seg", 8200);
    uint64_t before = folder_digest(f->path);
    assert_true(dbk_engine_open(f->path, &f->options, &f->engine, &f->error) < 0);
    assert_int_equal(folder_digest(f->path), before);
    f->engine = NULL;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_store_that_is_reopened_keeps_its_name, setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(a_store_that_is_renamed_keeps_its_name, setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(a_copy_takes_a_name_of_its_own_once, setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(a_store_and_its_copy_meet_without_a_fork, setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(a_backup_put_back_in_place_takes_a_new_name, setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(who_only_reads_changes_nothing, setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(a_file_that_cannot_be_read_proves_nothing, setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(a_copy_that_cannot_be_opened_is_left_alone, setup, fixture_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
