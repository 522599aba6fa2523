/* Moments of the past: as of a position is the fold of the entries up to it, whatever came later. */
#include "tests/store/world_fixture.h"

#include <sqlite3.h>

static void fingerprint_of_cold_fold(world *w, uint64_t position, char out[33])
{
    dbk_log_cursor *cursor = NULL;
    dbk_slice origin;
    uint64_t at;
    int64_t received;
    char path[4300];
    dbk_engine *cold = NULL;
    dbk_engine_options options = w->options[0];
    snprintf(path, sizeof path, "%s/cold-%llu", w->folder, (unsigned long long)position);
    memset(options.replica, 'z', 16);
    assert_int_equal(dbk_engine_create(path, NULL, &options, NULL, &w->error), DBK_OK);
    assert_int_equal(dbk_engine_open(path, &options, &cold, &w->error), DBK_OK);
    assert_int_equal(dbk_log_cursor_open(dbk_engine_log(w->engines[0]), 1, position, &cursor, &w->error), DBK_OK);
    while (dbk_log_cursor_next(cursor, &at, &received, &origin, &w->error) == DBK_OK)
        assert_int_equal(dbk_engine_import(cold, &origin, 1, received, NULL, NULL, &w->error), DBK_OK);
    dbk_log_cursor_close(cursor);
    dbk_model_state state;
    dbk_model_get_state(dbk_engine_model(cold), &state);
    assert_int_equal(state.position, position);
    dbk_fingerprint_text(state.fingerprint, out);
    dbk_engine_close(cold);
}

static uint64_t fill(world *w, int steps)
{
    static facts f;
    for (int step = 0; step < steps; step++) world_random_command(w, world_random(w, 2));
    uint64_t end = dbk_log_position(dbk_engine_log(w->engines[1]));
    for (uint64_t position = 1; position <= end; position++) facts_take(&f, w, 1, position);
    w->now_ms[0] += 100000;
    assert_int_equal(facts_deliver(&f, w, 0, NULL, NULL), DBK_OK);
    facts_clear(&f);
    world_accept(w, 0, "{\"id\":\"last\",\"do\":\"put\",\"table\":\"free\",\"key\":99}");
    return dbk_log_position(dbk_engine_log(w->engines[0]));
}

static void as_of_a_position_is_the_cold_fold(void **state)
{
    (void)state;
    world w;
    world_start(&w, 4242);
    uint64_t end = fill(&w, 30);
    for (uint64_t position = 1; position <= end; position++) {
        char want[33], request[100], part[120];
        fingerprint_of_cold_fold(&w, position, want);
        snprintf(request, sizeof request, "{\"do\":\"fingerprint\",\"at\":%llu}", (unsigned long long)position);
        snprintf(part, sizeof part, "\"fingerprint\":\"%s\",\"position\":%llu", want, (unsigned long long)position);
        world_contains(&w, 0, request, part);
        world_contains(&w, 0, request, part); /* from the file that is kept */
    }
    world_expect(&w, 0, "{\"do\":\"fingerprint\",\"at\":9999}",
                 "not_found: there is no position 9999 | the last position is 22");
    world_stop(&w);
}

static void times_choose_what_was_received_or_had_happened(void **state)
{
    (void)state;
    static facts f;
    world w;
    world_start(&w, 1);
    world_accept(
        &w, 1,
        "{\"id\":\"b\",\"do\":\"put\",\"table\":\"free\",\"key\":1,\"data\":{\"what\":\"early\"}}"); /* 1700000001000 there */
    w.now_ms[0] += 10000;
    world_accept(&w, 0, "{\"id\":\"a\",\"do\":\"put\",\"table\":\"free\",\"key\":2}"); /* 1700000011000 */
    facts_take(&f, &w, 1, 1);
    w.now_ms[0] += 10000;
    assert_int_equal(facts_deliver(&f, &w, 0, NULL, NULL), DBK_OK); /* received 1700000021000 */
    facts_clear(&f);
    static const char sql[] = "\"do\":\"query\",\"sql\":\"SELECT id FROM free ORDER BY id\"";
    static const struct {
        const char *when, *rows;
    } moments[] = {
        {"\"at_time\":1700000010999", "\"rows\":[],\"position\":0"},
        {"\"at_time\":1700000011000", "\"rows\":[[2]],\"position\":1"},
        {"\"at\":\"2023-11-14T22:13:40Z\"", "\"rows\":[[2]],\"position\":1"},
        {"\"at_time\":1700000021000", "\"rows\":[[1],[2]],\"position\":2"},
        {"\"order_time\":1700000001000", "\"rows\":[[1]],\"position\":2"},
        {"\"order_time\":1700000000999", "\"rows\":[],\"position\":2"},
        {"\"at\":1", "\"rows\":[[2]],\"position\":1"},
        {"\"at\":2", "\"rows\":[[1],[2]],\"position\":2"},
        {"\"at\":1,\"order_time\":1700000001000", "\"rows\":[],\"position\":1"},
    };
    for (size_t i = 0; i < sizeof moments / sizeof *moments; i++) {
        char request[200];
        snprintf(request, sizeof request, "{%s,%s}", sql, moments[i].when);
        world_contains(&w, 0, request, moments[i].rows);
    }
    static const char *const none[] = {"\"at_time\":0", "\"at\":\"1970-01-01T00:00:00Z\"",
                                       "\"order_time\":\"1969-07-20\""};
    for (size_t i = 0; i < sizeof none / sizeof *none; i++) {
        char request[200];
        snprintf(request, sizeof request, "{%s,%s}", sql, none[i]);
        world_contains(&w, 0, request, "must be a time");
    }
    world_stop(&w);
}

static int64_t number(sqlite3 *db, const char *sql)
{
    sqlite3_stmt *statement = NULL;
    assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &statement, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
    int64_t value = sqlite3_column_int64(statement, 0);
    sqlite3_finalize(statement);
    return value;
}

static void replay_leaves_an_ordinary_file(void **state)
{
    (void)state;
    world w;
    char request[4400], path[4300];
    sqlite3 *db = NULL;
    world_start(&w, 1);
    world_accept(&w, 0, "{\"id\":\"1\",\"do\":\"put\",\"table\":\"notes\",\"key\":\"n1\",\"data\":{\"title\":\"A\"}}");
    world_accept(&w, 0, "{\"id\":\"2\",\"do\":\"delete\",\"table\":\"notes\",\"key\":\"n1\"}");
    snprintf(path, sizeof path, "%s/then.sqlite", w.folder);
    snprintf(request, sizeof request, "{\"do\":\"replay\",\"into\":\"%s\",\"at\":1}", path);
    world_contains(&w, 0, request, "\"position\":1,\"fingerprint\":\"");
    assert_int_equal(sqlite3_open(path, &db), SQLITE_OK);
    assert_int_equal(number(db, "SELECT count(*) FROM notes WHERE id='n1' AND title='A'"), 1);
    assert_int_equal(number(db, "SELECT count(*) FROM sqlite_schema WHERE name LIKE '\\_daybook%' ESCAPE '\\'"), 0);
    sqlite3_close(db);
    world_contains(&w, 0, request, "bad_command: cannot replay into"); /* it exists, and stays */
    assert_int_equal(access(path, F_OK), 0);
    world_stop(&w);
}

static void a_copy_goes_on_under_its_own_name(void **state)
{
    (void)state;
    world w;
    char path[4300], want[33];
    dbk_engine *copy = NULL;
    world_start(&w, 11);
    uint64_t end = fill(&w, 20), upto = end - 3;
    dbk_engine_options options = w.options[0];
    snprintf(path, sizeof path, "%s/copy", w.folder);
    assert_int_equal(dbk_engine_copy(w.engines[0], end + 1, path, 7, "copy", &options, &w.error), DBK_NOT_FOUND);
    assert_int_equal(dbk_engine_copy(w.engines[0], upto, path, 1, "copy", &options, &w.error), DBK_USAGE);
    assert_int_equal(dbk_engine_copy(w.engines[0], upto, path, 7, "copy", &options, &w.error), DBK_OK);
    assert_int_equal(dbk_engine_open(path, &options, &copy, &w.error), DBK_OK);
    fingerprint_of_cold_fold(&w, upto, want);
    dbk_engine_close(w.engines[2]);
    w.engines[2] = copy;
    char got[33];
    world_fingerprint(&w, 2, got);
    assert_string_equal(got, want);
    for (uint64_t position = 1; position <= upto; position++) {
        dbk_buffer mine, its;
        int64_t received, copied;
        dbk_buffer_init(&mine, dbk_port_system());
        dbk_buffer_init(&its, dbk_port_system());
        assert_int_equal(dbk_log_read(dbk_engine_log(w.engines[0]), position, &mine, &received, &w.error), DBK_OK);
        assert_int_equal(dbk_log_read(dbk_engine_log(copy), position, &its, &copied, &w.error), DBK_OK);
        assert_true(dbk_slice_equal(dbk_buffer_slice(&mine), dbk_buffer_slice(&its)));
        assert_int_equal(received, copied);
        dbk_buffer_release(&mine);
        dbk_buffer_release(&its);
    }
    w.now_ms[2] = w.now_ms[0] + 1000000;
    char *receipt = world_decide(&w, 2, "{\"id\":\"new\",\"do\":\"put\",\"table\":\"free\",\"key\":50}");
    assert_non_null(strstr(receipt, "\"entry\":\"61616161616161616161616161616161.7.1\",\"cursor\":[\"copy\",1,"));
    free(receipt);
    world_stop(&w);
}

static void a_rebuild_is_a_new_generation_with_the_same_rows(void **state)
{
    (void)state;
    world w;
    char before[33], after[33];
    world_start(&w, 5);
    uint64_t end = fill(&w, 20);
    world_fingerprint(&w, 0, before);
    char part[120];
    snprintf(part, sizeof part, "\"timeline\":\"a\",\"generation\":2,\"position\":%llu,\"fingerprint\":\"%s\"",
             (unsigned long long)end, before);
    world_contains(&w, 0, "{\"do\":\"rebuild\"}", part);
    world_fingerprint(&w, 0, after);
    assert_string_equal(after, before);
    world_contains(&w, 0, "{\"do\":\"query\",\"sql\":\"SELECT count(*) FROM free\"}", "\"ok\":true");
    dbk_engine_close(w.engines[0]);
    world_open(&w, 0);
    world_contains(&w, 0, "{\"do\":\"status\"}", "\"generation\":2");
    world_stop(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(as_of_a_position_is_the_cold_fold),
        cmocka_unit_test(times_choose_what_was_received_or_had_happened),
        cmocka_unit_test(replay_leaves_an_ordinary_file),
        cmocka_unit_test(a_copy_goes_on_under_its_own_name),
        cmocka_unit_test(a_rebuild_is_a_new_generation_with_the_same_rows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
