/* The model's file is taken away, exchanged or damaged while the store is open: nothing acknowledged is lost, and the
 * store goes on or says what is wrong; opened again it has all rows. */
#include "tests/store/ask_fixture.h"
#include "tests/store/folder_fixture.h"

#include "store/engine.h"

#include <sqlite3.h>

static const char schema[] = "CREATE TABLE notes (id TEXT PRIMARY KEY NOT NULL, title TEXT);";

static int setup(void **state)
{
    int result = fixture_setup(state, definition_of(schema, NULL));
    engine_fixture *f = *state;
    must_accept(f, "{\"id\":\"1\",\"do\":\"put\",\"table\":\"notes\",\"key\":\"a\",\"data\":{\"title\":\"one\"}}");
    return result;
}

/* Whatever is answered now: opened again, all that was acknowledged is there, and the model is the log's. */
static void opens_with_all_rows(engine_fixture *f, bool second)
{
    dbk_model_state state;
    dbk_engine_close(f->engine);
    f->engine = NULL;
    fixture_open(f);
    dbk_model_get_state(dbk_engine_model(f->engine), &state);
    assert_int_equal(state.position, dbk_log_position(dbk_engine_log(f->engine)));
    char *rows = ask_of(f->engine, "{\"do\":\"list\",\"table\":\"notes\"}");
    assert_non_null(strstr(rows, "\"title\":\"one\""));
    if (second) assert_non_null(strstr(rows, "\"title\":\"two\""));
    free(rows);
    assert_int_equal(dbk_model_check(dbk_engine_model(f->engine), &f->error), DBK_OK);
}

static const char *model_path(engine_fixture *f)
{
    return dbk_model_path(dbk_engine_model(f->engine));
}

/* true: accepted; else it is a refusal with a name. */
static bool put_second(engine_fixture *f)
{
    char *receipt =
        decide(f, "{\"id\":\"2\",\"do\":\"put\",\"table\":\"notes\",\"key\":\"b\",\"data\":{\"title\":\"two\"}}");
    bool accepted = strstr(receipt, "\"ok\":true") != NULL;
    if (!accepted) assert_non_null(strstr(receipt, "\"error\":\""));
    free(receipt);
    return accepted;
}

static void a_model_that_is_deleted_is_made_again(void **state)
{
    engine_fixture *f = *state;
    assert_int_equal(remove(model_path(f)), 0);
    bool second = put_second(f);
    char *answer = ask_of(f->engine, "{\"do\":\"query\",\"sql\":\"SELECT count(*) FROM notes\"}");
    assert_true(strstr(answer, "\"rows\":[[1]]") || strstr(answer, "\"rows\":[[2]]") || strchr(answer, ':'));
    assert_null(strstr(answer, "\"rows\":[[0]]"));
    free(answer);
    opens_with_all_rows(f, second);
}

/* Another store's model has another log's head: it is no model of this one. */
static void a_model_of_another_store_is_not_believed(void **state)
{
    engine_fixture *f = *state, other;
    char theirs[4400];
    fixture_start(&other, schema, NULL);
    must_accept(&other,
                "{\"id\":\"9\",\"do\":\"put\",\"table\":\"notes\",\"key\":\"z\",\"data\":{\"title\":\"theirs\"}}");
    snprintf(theirs, sizeof theirs, "%s", model_path(&other));
    dbk_engine_close(other.engine);
    other.engine = NULL;
    char ours[4400];
    snprintf(ours, sizeof ours, "%s", model_path(f));
    assert_int_equal(rename(theirs, ours), 0);
    bool second = put_second(f);
    opens_with_all_rows(f, second);
    char *rows = ask_of(f->engine, "{\"do\":\"list\",\"table\":\"notes\"}");
    assert_null(strstr(rows, "theirs"));
    free(rows);
    fixture_stop(&other);
}

static void a_model_that_is_damaged_is_told_and_made_again(void **state)
{
    engine_fixture *f = *state;
    char zeros[4096];
    memset(zeros, 0x5a, sizeof zeros);
    (void)sqlite3_wal_checkpoint_v2(dbk_model_handle(dbk_engine_model(f->engine)), NULL, SQLITE_CHECKPOINT_TRUNCATE,
                                    NULL, NULL);
    FILE *file = fopen(model_path(f), "r+");
    assert_non_null(file);
    fseek(file, 0, SEEK_END);
    long size = ftell(file);
    for (long at = 4096; at < size; at += 4096) {
        fseek(file, at, SEEK_SET);
        assert_int_equal(fwrite(zeros, 1, sizeof zeros, file), sizeof zeros);
    }
    fclose(file);
    bool second = put_second(f);
    char *answer = ask_of(f->engine, "{\"do\":\"query\",\"sql\":\"SELECT title FROM notes\"}");
    assert_null(strstr(answer, "\"rows\":[]"));
    free(answer);
    opens_with_all_rows(f, second);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_model_that_is_deleted_is_made_again, setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(a_model_of_another_store_is_not_believed, setup, fixture_teardown),
        cmocka_unit_test_setup_teardown(a_model_that_is_damaged_is_told_and_made_again, setup, fixture_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
