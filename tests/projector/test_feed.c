/* Messages, catch-up, skip list: what subscribers and the inbox are told. */
#include "tests/projector/model_fixture.h"

#include "projector/model/journal.h"

typedef struct feed_place {
    model_place place;
    dbk_model *model;
    dbk_buffer out;
} feed_place;

static void feed_init(feed_place *feed, const dbk_model_options *options)
{
    place_init(&feed->place, NULL);
    feed->model = place_create(&feed->place, "model", options);
    dbk_buffer_init(&feed->out, feed->place.port);
}

static void feed_done(feed_place *feed)
{
    dbk_buffer_release(&feed->out);
    dbk_model_close(feed->model);
    place_done(&feed->place);
}

static void check_row(feed_place *feed, const char *table, const char *key, const char *expected)
{
    assert_ok(dbk_model_row_json(feed->model, table_of(feed->model, table), dbk_slice_text(key), &feed->out,
                                 &feed->place.err),
              &feed->place.err);
    assert_text(&feed->out, expected);
}

static void check_change(feed_place *feed, const dbk_change *change, const char *expected)
{
    assert_ok(dbk_model_change_json(feed->model, change, &feed->out, &feed->place.err), &feed->place.err);
    assert_text(&feed->out, expected);
}

static void check_reset(feed_place *feed, const char *table, uint64_t position, const char *expected)
{
    assert_ok(dbk_model_catch_up_rows(feed->model, table_of(feed->model, table), position, false, &feed->out,
                                      &feed->place.err),
              &feed->place.err);
    assert_text(&feed->out, expected);
}

static void check_catch_up(feed_place *feed, const char *table, uint64_t position, const char *changes)
{
    char expected[512];
    snprintf(expected, sizeof expected, "\"table\":\"%s\",\"reset\":false,\"changes\":[%s]", table, changes);
    check_reset(feed, table, position, expected);
}

/* Values come by declared type; a key that no row has, or that is none, gives NONE and puts nothing. */
static void test_row_by_declared_types(void **state)
{
    feed_place feed;
    (void)state;
    feed_init(&feed, NULL);
    commit_sql(
        feed.model, 1,
        "INSERT INTO notes VALUES('a/b', 'q\"', 3, 2, x'010203', 1.5, '2026-11-21 07:00:00.25', 1, '{\"x\":[1.10]}');"
        "INSERT INTO pairs VALUES(-3, '', NULL)");
    check_row(&feed, "notes", "a%2Fb",
              "{\"id\":\"a/b\",\"title\":\"q\\\"\",\"stars\":3,\"score\":2.0,\"raw\":\"AQID\",\"amount\":1.5,"
              "\"at\":\"2026-11-21T07:00:00.250Z\",\"ok\":true,\"doc\":{\"x\":[1.10]}}");
    check_row(&feed, "pairs", "-3/", "{\"a\":-3,\"b\":\"\",\"v\":null}");
    const dbk_table *pairs = table_of(feed.model, "pairs");
    assert_int_equal(dbk_model_row_json(feed.model, pairs, dbk_slice_text("4/x"), &feed.out, &feed.place.err),
                     DBK_NONE);
    assert_int_equal(dbk_model_row_json(feed.model, pairs, dbk_slice_text("4"), &feed.out, &feed.place.err), DBK_NONE);
    assert_int_equal(feed.out.size, 0);
    feed_done(&feed);
}

static void test_change_message_with_rows_and_tombstones(void **state)
{
    feed_place feed;
    dbk_changes changes;
    (void)state;
    feed_init(&feed, NULL);
    commit_sql(feed.model, 1, "INSERT INTO pairs VALUES(1, 'a', 'x'), (2, 'b', 'y')");
    changes = commit_sql(feed.model, 5, "DELETE FROM pairs WHERE a=1; UPDATE pairs SET v='z'");
    assert_int_equal(changes.count, 1);
    check_change(&feed, &changes.items[0],
                 "\"previous\":1,\"table\":\"pairs\",\"changes\":[{\"op\":\"delete\",\"key\":[1,\"a\"]},"
                 "{\"op\":\"update\",\"key\":[2,\"b\"],\"row\":{\"a\":2,\"b\":\"b\",\"v\":\"z\"}}]");
    feed_done(&feed);
}

static dbk_changes put_pairs(dbk_model *model, uint64_t position, int rows)
{
    return commit_sql(model, position,
                      "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n+1 FROM c WHERE n < %d)"
                      " REPLACE INTO pairs SELECT n, 'k', %d FROM c",
                      rows, (int)position);
}

/* With limits by number: as many are still whole, one more are not. */
static void test_message_limits_by_number(void **state)
{
    feed_place feed;
    dbk_changes changes;
    (void)state;
    feed_init(&feed, &(dbk_model_options){.keys_only_over = 2, .reset_table_over = 4});
    changes = put_pairs(feed.model, 1, 2);
    check_change(&feed, changes.items,
                 "\"previous\":0,\"table\":\"pairs\",\"changes\":[{\"op\":\"insert\",\"key\":[1,\"k\"],\"row\":{\"a\":"
                 "1,\"b\":\"k\",\"v\":\"1\"}},"
                 "{\"op\":\"insert\",\"key\":[2,\"k\"],\"row\":{\"a\":2,\"b\":\"k\",\"v\":\"1\"}}]");
    changes = put_pairs(feed.model, 2, 3);
    check_change(&feed, changes.items,
                 "\"previous\":1,\"table\":\"pairs\",\"keys\":true,\"changes\":[{\"key\":[1,\"k\"]},{\"key\":[2,\"k\"]}"
                 ",{\"key\":[3,\"k\"]}]");
    changes = put_pairs(feed.model, 3, 4);
    check_change(&feed, changes.items,
                 "\"previous\":2,\"table\":\"pairs\",\"keys\":true,\"changes\":[{\"key\":[1,\"k\"]},{\"key\":[2,\"k\"]}"
                 ",{\"key\":[3,\"k\"]},{\"key\":[4,\"k\"]}]");
    changes = put_pairs(feed.model, 4, 5);
    check_change(&feed, changes.items, "\"previous\":3,\"table\":\"pairs\",\"reset\":true,\"changes\":[]");
    feed_done(&feed);
}

static bool holds(dbk_buffer *out, const char *text)
{
    return strstr(dbk_buffer_text(out), text) != NULL;
}

/* By bytes: rows over 256 KiB become keys, keys over 1 MiB become a reset. */
static void test_message_limits_by_bytes(void **state)
{
    feed_place feed;
    dbk_changes changes;
    (void)state;
    feed_init(&feed, NULL);
    changes = put_pairs(feed.model, 1, 3000);
    assert_ok(dbk_model_change_json(feed.model, changes.items, &feed.out, &feed.place.err), &feed.place.err);
    assert_true(holds(&feed.out, "\"row\":{") && feed.out.size < 256 * 1024 + 100);
    dbk_buffer_clear(&feed.out);
    changes = put_pairs(feed.model, 2, 9000);
    assert_ok(dbk_model_change_json(feed.model, changes.items, &feed.out, &feed.place.err), &feed.place.err);
    assert_true(holds(&feed.out, "\"keys\":true") && !holds(&feed.out, "\"row\"") && feed.out.size < 1024 * 1024 + 100);
    dbk_buffer_clear(&feed.out);
    changes = commit_sql(feed.model, 3, "UPDATE pairs SET b = b || zeroblob(0) || printf('%%0150d', a)");
    check_change(&feed, changes.items, "\"previous\":2,\"table\":\"pairs\",\"reset\":true,\"changes\":[]");
    feed_done(&feed);
}

/* The same message whether the rows were kept as they changed or are read: of each declared type, of more than is kept,
 * and of rows that joined a commit at one position, which nobody saw. */
static void check_both(feed_place *feed, const dbk_changes *changes, bool known)
{
    dbk_buffer read;
    dbk_buffer_init(&read, feed->place.port);
    assert_true(changes->count > 0);
    for (size_t i = 0; i < changes->count; i++) {
        dbk_change change = changes->items[i];
        assert_non_null(change.seen);
        assert_int_equal(change.seen[0].known, known);
        assert_ok(dbk_model_change_json(feed->model, &change, &feed->out, &feed->place.err), &feed->place.err);
        change.seen = NULL;
        assert_ok(dbk_model_change_json(feed->model, &change, &read, &feed->place.err), &feed->place.err);
        assert_text(&feed->out, dbk_buffer_text(&read));
        dbk_buffer_clear(&read);
    }
    dbk_buffer_release(&read);
}

static void test_kept_rows_are_told_as_read_ones(void **state)
{
    static const char types[] =
        "VALUES('a/b', 'q\"', 3, 2, x'010203', 1.5, '2026-11-21 07:00:00.25', 1, '{\"x\":[1.10]}'),"
        "('', char(1) || 'é', 0, 1e300, x'', 'z', 'never', 7, '{'), "
        "('c', NULL, 1, -0.0, 'raw', 9007199254740993, 5, 0, cast(x'ff' AS TEXT))";
    feed_place feed;
    dbk_changes changes;
    (void)state;
    feed_init(&feed, &(dbk_model_options){.keys_only_over = 100000});
    dbk_model_keep_rows(feed.model, true);
    changes = commit_sql(feed.model, 1, "INSERT INTO notes %s", types);
    check_both(&feed, &changes, true);
    changes = commit_sql(feed.model, 2,
                         "UPDATE notes SET score=stars, doc=json_object('a', id); DELETE FROM notes WHERE id=''");
    check_both(&feed, &changes, true);
    changes = put_pairs(feed.model, 3, 40000);
    size_t known = 0;
    for (size_t i = 0; i < 40000; i++) known += changes.items[0].seen[i].known;
    assert_true(known > 10000 && known < 39000);
    check_both(&feed, &changes, true);
    changes = commit_sql(feed.model, 4, "UPDATE pairs SET v='one' WHERE a < 3");
    changes = commit_sql(feed.model, 4, "UPDATE pairs SET v='two' WHERE a = 2");
    assert_int_equal(changes.items[0].key_count, 2);
    assert_false(changes.items[0].seen[1].known);
    check_both(&feed, &changes, false);
    feed_done(&feed);
}

/* Every key touched since, once, with its row of now or a tombstone; nothing for whoever is up to date. */
static void test_catch_up_since_a_position(void **state)
{
    feed_place feed;
    (void)state;
    feed_init(&feed, NULL);
    commit_sql(feed.model, 1, "INSERT INTO pairs VALUES(1, 'a', 'x'), (2, 'b', 'y')");
    commit_sql(feed.model, 2, "INSERT INTO counts(n) VALUES(1)");
    commit_sql(feed.model, 3, "UPDATE pairs SET v='z' WHERE a=2");
    commit_sql(feed.model, 4, "DELETE FROM pairs WHERE a=2; INSERT INTO pairs VALUES(3, 'c', NULL)");
    check_catch_up(&feed, "pairs", 0,
                   "{\"op\":\"update\",\"key\":[1,\"a\"],\"row\":{\"a\":1,\"b\":\"a\",\"v\":\"x\"}},"
                   "{\"op\":\"delete\",\"key\":[2,\"b\"]},{\"op\":\"update\",\"key\":[3,\"c\"],\"row\":{\"a\":3,\"b\":"
                   "\"c\",\"v\":null}}");
    check_catch_up(&feed, "pairs", 1,
                   "{\"op\":\"delete\",\"key\":[2,\"b\"]},{\"op\":\"update\",\"key\":[3,\"c\"],\"row\":{\"a\":3,\"b\":"
                   "\"c\",\"v\":null}}");
    check_catch_up(&feed, "pairs", 4, "");
    check_catch_up(&feed, "counts", 2, "");
    check_catch_up(&feed, "notes", 0, "");
    assert_ok(dbk_model_catch_up_rows(feed.model, table_of(feed.model, "counts"), 4, true, &feed.out, &feed.place.err),
              &feed.place.err);
    assert_text(&feed.out, "\"table\":\"counts\",\"reset\":true,\"changes\":[{\"op\":\"insert\",\"key\":1,\"row\":{"
                           "\"n\":1,\"note\":null,\"v\":null}}]");
    assert_ok(dbk_model_last_json(feed.model, &feed.out, &feed.place.err), &feed.place.err);
    assert_text(&feed.out, "{\"counts\":2,\"pairs\":4}");
    feed_done(&feed);
}

/* Below the floor a subscriber begins anew, unless its table has not changed since it looked. */
static void test_catch_up_below_the_floor(void **state)
{
    feed_place feed;
    (void)state;
    feed_init(&feed, &(dbk_model_options){.journal_rows = 2});
    commit_sql(feed.model, 1, "INSERT INTO counts(n) VALUES(1)");
    for (uint64_t position = 2; position <= 6; position++) {
        commit_sql(feed.model, position, "REPLACE INTO pairs VALUES(%d, 'a', NULL)", (int)position % 3);
    }
    assert_int_equal(feed.model->state.floor, 4);
    check_catch_up(&feed, "counts", 1, "");
    check_reset(&feed, "counts", 0,
                "\"table\":\"counts\",\"reset\":true,\"changes\":[{\"op\":\"insert\",\"key\":1,\"row\":{\"n\":1,"
                "\"note\":null,\"v\":null}}]");
    check_catch_up(&feed, "pairs", 4,
                   "{\"op\":\"update\",\"key\":[0,\"a\"],\"row\":{\"a\":0,\"b\":\"a\",\"v\":null}},"
                   "{\"op\":\"update\",\"key\":[2,\"a\"],\"row\":{\"a\":2,\"b\":\"a\",\"v\":null}}");
    check_reset(&feed, "pairs", 3,
                "\"table\":\"pairs\",\"reset\":true,\"changes\":[{\"op\":\"insert\",\"key\":[0,\"a\"],\"row\":{\"a\":0,"
                "\"b\":\"a\",\"v\":null}},"
                "{\"op\":\"insert\",\"key\":[1,\"a\"],\"row\":{\"a\":1,\"b\":\"a\",\"v\":null}},"
                "{\"op\":\"insert\",\"key\":[2,\"a\"],\"row\":{\"a\":2,\"b\":\"a\",\"v\":null}}]");
    feed_done(&feed);
}

/* ---- a subscriber that loses, repeats and reorders messages ends with the rows of the model */
typedef struct subscriber {
    uint64_t at;
    int rows[64]; /* value + 1 by key, 0: no row */
} subscriber;

static void take_rows(subscriber *sub, dbk_json_parser *parser, dbk_buffer *members)
{
    const dbk_json_node *root, *changes;
    dbk_buffer text;
    dbk_error err;

    dbk_buffer_init(&text, dbk_port_system());
    dbk_buffer_put_u8(&text, '{');
    dbk_buffer_put_slice(&text, dbk_buffer_slice(members));
    dbk_buffer_put_u8(&text, '}');
    assert_ok(dbk_json_parse(parser, dbk_buffer_slice(&text), &root, &err), &err);
    const dbk_json_node *reset = dbk_json_member(root, "reset");
    if (reset && reset->kind == DBK_JSON_TRUE) memset(sub->rows, 0, sizeof sub->rows);
    changes = dbk_json_member(root, "changes");
    assert_non_null(changes);
    const dbk_json_node *change = dbk_json_child(changes);
    for (uint32_t i = 0; i < changes->count; i++, change = dbk_json_next(change)) {
        int64_t key = -1, value = -1;
        const dbk_json_node *row = dbk_json_member(change, "row");
        assert_true(dbk_json_is_integer(dbk_json_member(change, "key"), &key) && key >= 0 && key < 64);
        assert_int_equal(row == NULL, dbk_json_text_is(dbk_json_member(change, "op"), "delete"));
        if (row) assert_true(dbk_json_is_integer(dbk_json_member(row, "v"), &value));
        sub->rows[key] = (int)value + 1;
    }
    dbk_buffer_clear(members);
    dbk_buffer_release(&text);
}

static void random_commit(dbk_model *model, uint64_t *seed, uint64_t position, int truth[64], dbk_changes *changes)
{
    dbk_error err;
    assert_ok(dbk_model_begin(model, &err), &err);
    for (uint64_t n = next_random(seed) % 7; n > 0; n--) {
        int key = (int)(next_random(seed) % 64), value = (int)(next_random(seed) % 1000);
        bool deletes = next_random(seed) % 3 == 0;
        if (deletes) sql(model, "DELETE FROM counts WHERE n=%d", key);
        else sql(model, "REPLACE INTO counts(n, v) VALUES(%d, %d)", key, value);
        truth[key] = deletes ? 0 : value + 1;
    }
    commit_at(model, position, changes);
}

static void test_lossy_subscriber_ends_equal(void **state)
{
    feed_place feed;
    subscriber sub = {0};
    int truth[64] = {0};
    uint64_t seed = 99;
    unsigned resets = 0, caught = 0;
    (void)state;
    feed_init(&feed, &(dbk_model_options){.journal_rows = 12, .keys_only_over = 4, .reset_table_over = 5});
    dbk_json_parser *parser = dbk_json_parser_new(feed.place.port);
    const dbk_table *counts = table_of(feed.model, "counts");

    for (uint64_t position = 1; position <= 3000; position++) {
        dbk_changes changes;
        random_commit(feed.model, &seed, position, truth, &changes);
        if (changes.count == 0 || next_random(&seed) % 3 == 0) continue; /* lost */
        assert_ok(dbk_model_change_json(feed.model, changes.items, &feed.out, &feed.place.err), &feed.place.err);
        if (changes.items[0].previous > sub.at || holds(&feed.out, "\"keys\":true") ||
            holds(&feed.out, "\"reset\":true")) {
            dbk_buffer_clear(&feed.out);
            assert_ok(dbk_model_catch_up_rows(feed.model, counts, sub.at, false, &feed.out, &feed.place.err),
                      &feed.place.err);
            resets += holds(&feed.out, "\"reset\":true");
            caught++;
        }
        take_rows(&sub, parser, &feed.out);
        sub.at = position;
        assert_memory_equal(sub.rows, truth, sizeof truth);
    }
    assert_true(resets > 50 && caught > resets + 100);
    dbk_json_parser_free(parser);
    feed_done(&feed);
}

/* ---- skip list */
typedef struct seen_skips {
    dbk_buffer text;
    size_t stop_at, count;
} seen_skips;

static dbk_result see_skip(void *arg, const dbk_skip *skip)
{
    seen_skips *seen = arg;
    char id[DBK_ENTRY_ID_TEXT_SIZE], against[DBK_ENTRY_ID_TEXT_SIZE] = "-";

    dbk_entry_id_text(&skip->entry, id);
    if (skip->has_against) dbk_entry_id_text(&skip->against, against);
    dbk_buffer_printf(&seen->text, "%s %d %s '%s' %s%s\n", id + 32, (int)skip->position, skip->state, skip->reason,
                      skip->has_against ? against + 32 : against, skip->dismissed ? " dismissed" : "");
    return ++seen->count == seen->stop_at ? DBK_BUSY : DBK_OK;
}

#define REPLICA "00000000000000000000000000000001"

static void test_skip_list_in_order_with_dismissals(void **state)
{
    feed_place feed;
    seen_skips seen = {.stop_at = 0};
    (void)state;
    feed_init(&feed, NULL);
    dbk_buffer_init(&seen.text, feed.place.port);
    sql(feed.model, "INSERT INTO _daybook_skips VALUES('" REPLICA ".1.2', 9, 'skipped', 'UNIQUE notes.title', ''),"
                    "('" REPLICA ".1.1', 4, 'duplicate', NULL, '" REPLICA ".1.2');"
                    "INSERT INTO _daybook_dismissed VALUES('" REPLICA ".1.2')");
    assert_ok(dbk_model_skips(feed.model, see_skip, &seen, &feed.place.err), &feed.place.err);
    assert_text(&seen.text, ".1.1 4 duplicate '' .1.2\n.1.2 9 skipped 'UNIQUE notes.title' - dismissed\n");
    seen = (seen_skips){.text = seen.text, .stop_at = 1};
    assert_int_equal(dbk_model_skips(feed.model, see_skip, &seen, &feed.place.err), DBK_BUSY);
    assert_int_equal(seen.count, 1);
    sql(feed.model, "UPDATE _daybook_skips SET against='nobody'");
    assert_int_equal(dbk_model_skips(feed.model, see_skip, &seen, &feed.place.err), DBK_CORRUPT);
    sql(feed.model, "INSERT INTO _daybook_skips VALUES('0', 1, '', '', '')");
    assert_int_equal(dbk_model_skips(feed.model, see_skip, &seen, &feed.place.err), DBK_CORRUPT);
    dbk_buffer_release(&seen.text);
    feed_done(&feed);
}

/* Keys that are cut off or name a table of no definition: damage, or nothing. */
static void test_damaged_journal_is_told(void **state)
{
    feed_place feed;
    (void)state;
    feed_init(&feed, NULL);
    commit_sql(feed.model, 1, "INSERT INTO pairs VALUES(1, 'a', 'x')");
    sql(feed.model, "UPDATE _daybook_commits SET keys=substr(keys, 1, length(keys) - 1)");
    assert_int_equal(
        dbk_model_catch_up_rows(feed.model, table_of(feed.model, "pairs"), 0, false, &feed.out, &feed.place.err),
        DBK_CORRUPT);
    assert_int_equal(feed.out.size, 0);
    sql(feed.model, "UPDATE _daybook_commits SET keys=x'0300616263010000000100000061'");
    check_catch_up(&feed, "pairs", 0, "");
    feed_done(&feed);
}

/* No memory for a message: said so, and the buffer is as it was. */
static void test_memory_runs_out_in_messages(void **state)
{
    feed_place feed;
    thrifty_port thrifty;
    bool done = false;
    (void)state;
    feed_init(&feed, NULL);
    dbk_changes changes = put_pairs(feed.model, 1, 300);
    const dbk_port *usual = feed.model->port;
    for (size_t n = 1; !done; n++) {
        thrifty_place(&thrifty, n);
        dbk_buffer out;
        dbk_buffer_init(&out, &thrifty.port);
        feed.model->port = &thrifty.port;
        dbk_result result =
            dbk_model_catch_up_rows(feed.model, table_of(feed.model, "pairs"), 0, n % 2, &out, &feed.place.err);
        if (result == DBK_OK) result = dbk_model_change_json(feed.model, changes.items, &out, &feed.place.err);
        if (result == DBK_OK) result = dbk_model_last_json(feed.model, &out, &feed.place.err);
        feed.model->port = usual;
        done = result == DBK_OK;
        if (!done) assert_int_equal(result, DBK_NO_MEMORY);
        dbk_buffer_release(&out);
        assert_int_equal(thrifty.held, 0);
    }
    feed_done(&feed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_row_by_declared_types),
        cmocka_unit_test(test_change_message_with_rows_and_tombstones),
        cmocka_unit_test(test_message_limits_by_number),
        cmocka_unit_test(test_message_limits_by_bytes),
        cmocka_unit_test(test_kept_rows_are_told_as_read_ones),
        cmocka_unit_test(test_catch_up_since_a_position),
        cmocka_unit_test(test_catch_up_below_the_floor),
        cmocka_unit_test(test_lossy_subscriber_ends_equal),
        cmocka_unit_test(test_skip_list_in_order_with_dismissals),
        cmocka_unit_test(test_damaged_journal_is_told),
        cmocka_unit_test(test_memory_runs_out_in_messages),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
