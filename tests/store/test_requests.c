/* Requests: the exact answer of each, and the refusal of what is not well-formed. */
#include "tests/store/world_fixture.h"

#include "store/request.h"

static int setup(void **state)
{
    world *w = world_new(state, 1);
    world_accept(w, 0,
                 "{\"id\":\"1\",\"do\":\"put\",\"table\":\"notes\",\"key\":\"n1\",\"data\":{\"title\":\"A\",\"done\":"
                 "true},\"actor\":\"me\"}");
    world_accept(w, 0,
                 "{\"id\":\"2\",\"do\":\"batch\",\"commands\":[{\"do\":\"put\",\"table\":\"tags\",\"key\":[\"n1\",\"a/"
                 "b\"]},{\"do\":\"put\",\"table\":\"tags\",\"key\":[\"n1\",\"c\"]}]}");
    world_accept(w, 0,
                 "{\"id\":\"3\",\"do\":\"append\",\"stream\":\"job/"
                 "7\",\"type\":\"job.started\",\"data\":{\"id\":\"7\"},\"correlation\":\"k\",\"causation\":\"z\"}");
    return 0;
}

static void get_gives_row_version_and_position(void **state)
{
    world *w = *state;
    world_expect(
        w, 0, "{\"do\":\"get\",\"table\":\"notes\",\"key\":\"n1\"}",
        "{\"ok\":true,\"row\":{\"id\":\"n1\",\"title\":\"A\",\"stars\":0,\"done\":true},\"version\":1,\"position\":3}");
    world_expect(w, 0, "{\"id\":\"g\",\"do\":\"get\",\"table\":\"tags\",\"key\":[\"n1\",\"a/b\"]}",
                 "{\"id\":\"g\",\"ok\":true,\"row\":{\"note\":\"n1\",\"name\":\"a/b\"},\"version\":2,\"position\":3}");
    world_expect(w, 0, "{\"do\":\"get\",\"table\":\"notes\",\"key\":\"n2\"}", "not_found: there is no row 'notes/n2'");
    world_contains(w, 0, "{\"do\":\"get\",\"table\":\"notes\",\"key\":7}", "schema: ");
    world_expect(w, 0, "{\"id\":\"g\",\"do\":\"get\",\"table\":\"notes\",\"key\":\"n2\"}",
                 "{\"id\":\"g\",\"ok\":false,\"error\":\"not_found\",\"class\":\"persistent\",\"message\":\"there is "
                 "no row 'notes/n2'\",\"outcome\":\"none\"}");
}

static void list_goes_through_a_table_page_by_page(void **state)
{
    world *w = *state;
    world_expect(
        w, 0, "{\"do\":\"list\",\"table\":\"tags\",\"limit\":1}",
        "{\"ok\":true,\"rows\":[{\"note\":\"n1\",\"name\":\"a/b\"}],\"position\":3,\"next\":[\"n1\",\"a/b\"]}");
    world_expect(w, 0, "{\"do\":\"list\",\"table\":\"tags\",\"limit\":1,\"after\":[\"n1\",\"a/b\"]}",
                 "{\"ok\":true,\"rows\":[{\"note\":\"n1\",\"name\":\"c\"}],\"position\":3}");
    world_expect(w, 0, "{\"do\":\"list\",\"table\":\"notes\",\"prefix\":\"n\"}",
                 "{\"ok\":true,\"rows\":[{\"id\":\"n1\",\"title\":\"A\",\"stars\":0,\"done\":true}],\"position\":3}");
    world_expect(w, 0, "{\"do\":\"list\",\"table\":\"notes\",\"prefix\":\"m\"}",
                 "{\"ok\":true,\"rows\":[],\"position\":3}");
    world_expect(w, 0, "{\"do\":\"list\",\"table\":\"free\",\"prefix\":\"1\"}",
                 "bad_command: 'prefix' is for keys of text: 'free.id' is none");
    world_expect(w, 0, "{\"do\":\"list\",\"table\":\"notes\",\"limit\":1001}",
                 "bad_command: 'limit' must be an integer from 1 to 1000");
}

static void query_takes_sql_and_arguments(void **state)
{
    world *w = *state;
    world_expect(w, 0,
                 "{\"do\":\"query\",\"sql\":\"SELECT id, done FROM notes WHERE title = :t\",\"args\":{\"t\":\"A\"}}",
                 "{\"ok\":true,\"columns\":[\"id\",\"done\"],\"rows\":[[\"n1\",true]],\"position\":3}");
    world_contains(w, 0, "{\"do\":\"query\",\"sql\":\"DELETE FROM notes\"}", "denied: ");
    world_contains(w, 0, "{\"do\":\"query\",\"sql\":\"SELECT * FROM _daybook_meta\"}", "denied: ");
    world_expect(w, 0, "{\"do\":\"query\",\"sql\":\"\"}", "bad_command: 'sql' is empty | write one SELECT");
    world_expect(w, 0, "{\"do\":\"query\",\"sql\":\"SELECT 1\",\"at\":1,\"at_time\":1700000000000}",
                 "bad_command: 'at' and 'at_time' name two moments | give one of them");
    world_contains(w, 0, "{\"do\":\"query\"}", "bad_command: 'query' needs either 'sql' or the 'name'");
    world_contains(w, 0, "{\"do\":\"query\",\"name\":\"none\"}", "none");
    world_expect(w, 0, "{\"do\":\"query\",\"sql\":\"SELECT 1\",\"argz\":1}",
                 "bad_command: 'argz' is no member of 'query' | did you mean 'args'?");
    for (int i = 0; i < 10; i++) world_contains(w, 0, "{\"do\":\"query\",\"sql\":\"SELECT 1\"}", "[[1]]");
}

/* A reader lent out over a switch reads the old model to its end and is not kept. */
static void a_reader_of_an_old_model_is_not_lent_again(void **state)
{
    world *w = *state;
    dbk_lent_reader lent, other;
    assert_int_equal(dbk_reader_borrow(w->engines[0], &lent, &w->error), DBK_OK);
    dbk_model_reader *old = lent.reader;
    assert_int_equal(dbk_engine_rebuild(w->engines[0], NULL, NULL, &w->error), DBK_OK);
    assert_int_equal(dbk_reader_borrow(w->engines[0], &other, &w->error), DBK_OK);
    assert_ptr_not_equal(other.reader, old);
    dbk_reader_give_back(w->engines[0], &other);
    dbk_reader_give_back(w->engines[0], &lent);
    size_t kept = 0;
    for (size_t i = 0; i < 4; i++) kept += w->engines[0]->readers[i] != NULL;
    assert_int_equal(kept, 1);
}

/* An answer may hold more rows than a JSON reader of ours takes in one array. */
static void a_query_of_the_embedding_interface_may_be_long(void **state)
{
    world *w = *state;
    dbk_store *store = NULL;
    dbk_text answer;
    assert_int_equal(dbk_engine_wrap(w->engines[0], &store, &w->error), DBK_OK);
    w->engines[0] = NULL;
    assert_int_equal(
        dbk_query(store,
                  "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n+1 FROM c WHERE n < 10001) SELECT n FROM c", NULL,
                  NULL, &answer, &w->error),
        DBK_OK);
    assert_non_null(strstr(answer.data, "[10001]]"));
    dbk_text_free(&answer);
    dbk_close(store);
}

static void log_gives_cloud_events(void **state)
{
    world *w = *state;
    char want[900];
    snprintf(want, sizeof want,
             "{\"ok\":true,\"events\":[{\"specversion\":\"1.0\",\"id\":\"61616161616161616161616161616161.1.3.0\","
             "\"source\":\"daybook:%s\","
             "\"type\":\"job.started\",\"subject\":\"job/"
             "7\",\"time\":\"2023-11-14T22:13:23.000Z\",\"datacontenttype\":\"application/json\","
             "\"data\":{\"id\":\"7\"},\"position\":3,\"index\":0,\"streamversion\":3,\"typeversion\":1,\"commandid\":"
             "\"3\",\"correlationid\":\"k\","
             "\"causationid\":\"z\"}],\"position\":3}",
             dbk_engine_id(w->engines[0]));
    world_expect(w, 0, "{\"do\":\"log\",\"type\":\"job.started\"}", want);
    world_expect(w, 0, "{\"do\":\"log\",\"stream\":\"job/7\"}", want);
    world_expect(w, 0, "{\"do\":\"log\",\"from\":3,\"to\":3}", want);
    world_expect(w, 0, "{\"do\":\"log\",\"from\":4}", "{\"ok\":true,\"events\":[],\"position\":3}");
    world_expect(w, 0, "{\"do\":\"log\",\"to\":2,\"stream\":\"job/7\"}", "{\"ok\":true,\"events\":[],\"position\":3}");
    world_contains(w, 0, "{\"do\":\"log\",\"limit\":1}", "],\"position\":3,\"next\":2}");
    world_contains(w, 0, "{\"do\":\"log\",\"limit\":1,\"from\":2}", "\"index\":1,"); /* an entry is not cut */
    world_contains(w, 0, "{\"do\":\"log\",\"to\":1}", "\"actor\":\"me\"");
}

/* A fact that clashes lies in the inbox until it is applied in other words or dismissed. */
static void the_inbox_shows_both_sides_and_lets_go(void **state)
{
    world *w = *state;
    static facts f;
    w->now_ms[1] += 50000;
    world_accept(w, 1, "{\"id\":\"b1\",\"do\":\"put\",\"table\":\"notes\",\"key\":\"n9\",\"data\":{\"title\":\"A\"}}");
    facts_take(&f, w, 1, 1);
    w->now_ms[0] += 100000;
    assert_int_equal(facts_deliver(&f, w, 0, NULL, NULL), DBK_OK);
    facts_clear(&f);
    world_contains(w, 0, "{\"do\":\"inbox\"}",
                   "\"items\":[{\"entry\":\"62626262626262626262626262626262.1.1\",\"position\":4,");
    world_contains(
        w, 0, "{\"do\":\"inbox\"}",
        "\"commandid\":\"b1\",\"events\":[{\"type\":\"notes.put\",\"subject\":\"notes/n9\"}],\"state\":\"skipped\"");
    static const char apply[] = "{\"id\":\"ap\",\"do\":\"apply\",\"entry\":\"62626262626262626262626262626262.1.1\"}";
    world_contains(w, 0, apply, "\"id\":\"ap\",\"ok\":false,\"error\":\"constraint\"");
    world_contains(w, 0, "{\"do\":\"inbox\"}", "\"state\":\"skipped\"");
    world_accept(w, 0, "{\"id\":\"4\",\"do\":\"patch\",\"table\":\"notes\",\"key\":\"n1\",\"data\":{\"title\":\"B\"}}");
    world_contains(w, 0, apply, "\"id\":\"ap\",\"ok\":true,\"position\":6,");
    world_contains(w, 0, apply, "\"again\":true");
    world_contains(w, 0, "{\"do\":\"inbox\"}", "\"items\":[]");
    world_contains(w, 0, "{\"do\":\"inbox\",\"all\":true}", "\"dismissed\":true");
    world_contains(w, 0, "{\"do\":\"get\",\"table\":\"notes\",\"key\":\"n9\"}", "\"title\":\"A\"");
    world_contains(w, 0, "{\"id\":\"x\",\"do\":\"apply\",\"entry\":\"62626262626262626262626262626262.1.2\"}",
                   "\"error\":\"not_found\"");
    world_expect(w, 0, "{\"do\":\"apply\",\"entry\":\"x\"}", "bad_command: 'apply' needs 'id'");
}

static void changes_since_a_cursor(void **state)
{
    world *w = *state;
    world_expect(w, 0, "{\"do\":\"changes\",\"table\":\"tags\",\"from\":[\"a\",1,1]}",
                 "{\"ok\":true,\"timeline\":\"a\",\"generation\":1,\"position\":3,\"table\":\"tags\",\"reset\":false,"
                 "\"changes\":["
                 "{\"op\":\"update\",\"key\":[\"n1\",\"a/b\"],\"row\":{\"note\":\"n1\",\"name\":\"a/b\"}},"
                 "{\"op\":\"update\",\"key\":[\"n1\",\"c\"],\"row\":{\"note\":\"n1\",\"name\":\"c\"}}]}");
    world_contains(w, 0, "{\"do\":\"changes\",\"table\":\"tags\",\"from\":[\"a\",1,3]}",
                   "\"reset\":false,\"changes\":[]");
    world_contains(w, 0, "{\"do\":\"changes\",\"table\":\"tags\",\"from\":[\"a\",2,3]}",
                   "\"reset\":true,\"changes\":[{\"op\":\"insert\"");
    world_contains(w, 0, "{\"do\":\"changes\",\"table\":\"tags\",\"from\":[\"b\",1,3]}", "\"reset\":true");
    world_contains(w, 0, "{\"do\":\"changes\",\"table\":\"tags\"}", "\"reset\":true");
    world_expect(w, 0, "{\"do\":\"changes\",\"table\":\"tags\",\"from\":[1]}",
                 "bad_command: 'from' must be [timeline, generation, position] | send the 'cursor' of a receipt or a "
                 "message back as it came");
    world_expect(w, 0, "{\"do\":\"changes\",\"table\":\"tag\"}",
                 "unknown_table: there is no table 'tag' | did you mean 'tags'?");
}

static void a_store_tells_of_itself(void **state)
{
    world *w = *state;
    world_contains(w, 0, "{\"do\":\"hello\"}", "\"daybook\":\"0.1.0\",\"protocol\":1,\"store\":\"");
    world_contains(w, 0, "{\"do\":\"hello\"}", "\"tables\":[\"notes\",\"tags\",\"free\",\"progress\"],\"queries\":[]");
    world_contains(w, 0, "{\"do\":\"status\"}", "\"condition\":\"ok\",\"model_position\":3,");
    world_contains(w, 0, "{\"do\":\"stats\"}",
                   "\"since_open\":{\"commands\":3,\"refused\":0,\"entries\":3,\"batches\":3,");
    world_contains(w, 0, "{\"do\":\"verify\"}", "\"depth\":\"proof\",\"entries\":3,");
    world_contains(w, 0, "{\"do\":\"verify\",\"depth\":\"checksums\"}", "\"fault_count\":0,\"faults\":[]");
    world_expect(w, 0, "{\"do\":\"verify\",\"depth\":\"deep\"}",
                 "bad_command: 'depth' must be \"checksums\" or \"proof\"");
}

/* Through the embedding call: an array with commands and requests is answered in order. */
static void commands_and_requests_go_through_one_door(void **state)
{
    world *w = *state;
    dbk_store *store = NULL;
    dbk_text receipt;
    static const char both[] = "[{\"id\":\"9\",\"do\":\"put\",\"table\":\"free\",\"key\":1},{\"do\":\"get\",\"table\":"
                               "\"free\",\"key\":1},{\"do\":\"pit\"}]";
    assert_int_equal(dbk_engine_wrap(w->engines[0], &store, &w->error), DBK_OK);
    w->engines[0] = NULL;
    assert_int_equal(dbk_do(store, both, sizeof both - 1, &receipt, &w->error), DBK_OK);
    assert_non_null(strstr(receipt.data, "[{\"id\":\"9\",\"ok\":true,\"position\":4,"));
    assert_non_null(
        strstr(receipt.data, ",{\"ok\":true,\"row\":{\"id\":1,\"what\":null},\"version\":4,\"position\":4},{"));
    assert_non_null(strstr(receipt.data, "\"error\":\"unknown_command\""));
    dbk_text_free(&receipt);
    assert_int_equal(
        dbk_query(store, "SELECT count(*) FROM free", NULL, &(dbk_moment){.position = 3}, &receipt, &w->error), DBK_OK);
    assert_non_null(strstr(receipt.data, "\"rows\":[[0]],\"position\":3"));
    dbk_text_free(&receipt);
    dbk_close(store);
}

/* Beside a writer a store shows what is durable and refuses to change. */
static void a_store_opened_for_reading_only(void **state)
{
    world *w = *state;
    dbk_engine *writer = w->engines[0];
    dbk_engine_options options = w->options[0];
    options.read_only = true;
    w->engines[0] = NULL;
    assert_int_equal(dbk_engine_open(w->paths[0], &options, &w->engines[0], &w->error), DBK_OK);
    world_expect(w, 0, "{\"do\":\"get\",\"table\":\"notes\",\"key\":\"n1\"}",
                 "{\"ok\":true,\"row\":{\"id\":\"n1\",\"title\":\"A\",\"stars\":0,\"done\":true},\"position\":3}");
    dbk_slice command = dbk_slice_text("{\"id\":\"w\",\"do\":\"put\",\"table\":\"free\",\"key\":5}");
    dbk_buffer receipt;
    dbk_buffer_init(&receipt, dbk_port_system());
    assert_int_equal(dbk_engine_decide(writer, &command, 1, w->now_ms[0] + 1, &receipt, &w->error), DBK_OK);
    world_contains(w, 0, "{\"do\":\"log\",\"from\":4}", "\"subject\":\"free/5\"");
    world_contains(w, 0, "{\"do\":\"query\",\"sql\":\"SELECT id FROM free\"}", "\"rows\":[[5]],\"position\":4");
    world_contains(w, 0, "{\"do\":\"query\",\"sql\":\"SELECT count(*) FROM free\",\"at\":3}",
                   "\"rows\":[[0]],\"position\":3");
    world_contains(w, 0, "{\"do\":\"status\"}", "\"condition\":\"read_only\"");
    world_contains(w, 0, "{\"do\":\"rebuild\"}", "read_only: ");
    world_contains(w, 0, "{\"do\":\"changes\",\"table\":\"free\"}", "read_only: ");
    dbk_buffer_clear(&receipt);
    assert_int_equal(dbk_engine_decide(w->engines[0], &command, 1, w->now_ms[0] + 1, &receipt, &w->error), DBK_OK);
    assert_non_null(strstr(dbk_buffer_text(&receipt), "\"error\":\"read_only\""));
    dbk_buffer_release(&receipt);
    dbk_engine_close(writer);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, world_teardown)
    const struct CMUnitTest tests[] = {
        TEST(get_gives_row_version_and_position),
        TEST(list_goes_through_a_table_page_by_page),
        TEST(query_takes_sql_and_arguments),
        TEST(a_reader_of_an_old_model_is_not_lent_again),
        TEST(a_query_of_the_embedding_interface_may_be_long),
        TEST(log_gives_cloud_events),
        TEST(the_inbox_shows_both_sides_and_lets_go),
        TEST(changes_since_a_cursor),
        TEST(a_store_tells_of_itself),
        TEST(commands_and_requests_go_through_one_door),
        TEST(a_store_opened_for_reading_only),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
