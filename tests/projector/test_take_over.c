/* The switch to a shadow, and the end of a bulk build. */
#include "tests/projector/model_fixture.h"

#include "projector/model/journal.h"

static const char random_fill[] = "WITH RECURSIVE c(n) AS (SELECT 0 UNION ALL SELECT n+1 FROM c WHERE n < 40)"
                                  " INSERT INTO %s SELECT %s FROM c WHERE (n * %d + %d) %% 3 <> 0";

/* Two models of overlapping content; which rows, and what is in them, follows from the seed. */
static void fill(dbk_model *model, uint64_t seed, uint64_t position)
{
    int a = (int)(seed % 7) + 1, b = (int)(seed % 5);
    char notes[300], pairs[300], counts[300];

    snprintf(notes, sizeof notes, random_fill, "notes(id, title, score)", "'n' || n, NULL, n / 4", a, b);
    snprintf(pairs, sizeof pairs, random_fill, "pairs", "n % 9 - 4, 'k' || n, CASE n % 5 WHEN 0 THEN n END", a, b + 1);
    snprintf(counts, sizeof counts, random_fill, "counts(n, v)", "n * 3 - 60, n", a, b + 2);
    commit_sql(model, position, "%s; %s; %s; UPDATE notes SET stars=%d WHERE id IN ('n1', 'n2', 'n17')", notes, pairs,
               counts, (int)(seed % 3));
}

typedef struct text_set {
    char rows[400][200];
    size_t count;
} text_set;

/* All rows as "table key|content". */
static void read_rows(dbk_model *model, text_set *set)
{
    static const char all[] = "SELECT 'counts ' || n || '|' || quote(v) || quote(note) FROM counts UNION ALL"
                              " SELECT 'notes ' || id || '|' || quote(score) || quote(stars) FROM notes UNION ALL"
                              " SELECT 'pairs ' || a || '/' || b || '|' || quote(v) FROM pairs";
    sqlite3_stmt *row;
    set->count = 0;
    assert_int_equal(sqlite3_prepare_v2(dbk_model_handle(model), all, -1, &row, NULL), SQLITE_OK);
    while (sqlite3_step(row) == SQLITE_ROW) {
        snprintf(set->rows[set->count++], sizeof set->rows[0], "%s", (const char *)sqlite3_column_text(row, 0));
    }
    sqlite3_finalize(row);
}

static bool has_text(const text_set *set, const char *text)
{
    for (size_t i = 0; i < set->count; i++) {
        if (strcmp(set->rows[i], text) == 0) return true;
    }
    return false;
}

static bool names_key(const dbk_changes *changes, const char *row)
{
    char key[200];
    for (size_t c = 0; c < changes->count; c++) {
        for (size_t k = 0; k < changes->items[c].key_count; k++) {
            snprintf(key, sizeof key, "%s %.*s|", changes->items[c].table->name,
                     DBK_SLICE_ARG(changes->items[c].keys[k]));
            if (strncmp(key, row, strlen(key)) == 0) return true;
        }
    }
    return false;
}

/* The keys named are exactly those whose row differs, in both directions. */
static void check_difference(const dbk_changes *changes, const text_set *was, const text_set *now)
{
    for (size_t i = 0; i < was->count; i++)
        assert_int_equal(names_key(changes, was->rows[i]), !has_text(now, was->rows[i]));
    for (size_t i = 0; i < now->count; i++)
        assert_int_equal(names_key(changes, now->rows[i]), !has_text(was, now->rows[i]));
}

/* Whatever the two hold, the step is their exact difference, and the old journal goes on behind it. */
static void test_step_is_the_exact_difference(void **state)
{
    text_set *was = calloc(2, sizeof *was), *now = was + 1;
    (void)state;
    for (uint64_t seed = 0; seed < 35; seed++) {
        model_place place;
        dbk_changes changes;
        dbk_buffer out;
        place_init(&place, NULL);
        dbk_buffer_init(&out, place.port);
        dbk_model *old = place_create(&place, "old", NULL),
                  *shadow = place_create(&place, "shadow", &(dbk_model_options){.bulk = true});
        fill(old, seed, 3);
        commit_sql(old, 4, "DELETE FROM pairs WHERE a=1");
        fill(shadow, seed * 31 + 4, 9);
        read_rows(old, was);
        read_rows(shadow, now);
        assert_ok(dbk_model_take_over(shadow, old, false, &changes, &place.err), &place.err);
        check_difference(&changes, was, now);
        for (size_t i = 0; i < changes.count; i++) {
            int64_t last = old->journal->last[changes.items[i].table - place.definition->tables];
            assert_int_equal(changes.items[i].previous, last > 0 ? last : 0);
        }
        assert_int_equal(shadow->state.floor, old->state.floor);
        assert_ok(dbk_model_finish(shadow, false, &place.err), &place.err);
        assert_recount(shadow);
        dbk_model_close(shadow);
        shadow = place_open(&place, "shadow", NULL);
        assert_ok(dbk_model_catch_up_rows(shadow, table_of(shadow, "pairs"), 3, false, &out, &place.err), &place.err);
        assert_non_null(strstr(dbk_buffer_text(&out), "\"reset\":false"));
        assert_int_equal(shadow->state.position, 9);
        assert_recount(shadow);
        dbk_buffer_release(&out);
        dbk_model_close(shadow);
        dbk_model_close(old);
        place_done(&place);
    }
    free(was);
}

/* With reset nothing of before counts: floor and all last positions are the position, no change is told. */
static void test_reset_begins_anew(void **state)
{
    model_place place;
    dbk_changes changes;
    dbk_buffer out;
    (void)state;
    place_init(&place, NULL);
    dbk_buffer_init(&out, place.port);
    dbk_model *shadow = place_create(&place, "shadow", &(dbk_model_options){.bulk = true});
    fill(shadow, 1, 9);
    assert_ok(dbk_model_take_over(shadow, NULL, true, &changes, &place.err), &place.err);
    assert_int_equal(changes.count, 0);
    assert_int_equal(shadow->state.floor, 9);
    assert_ok(dbk_model_last_json(shadow, &out, &place.err), &place.err);
    assert_text(&out, "{\"counts\":9,\"notes\":9,\"pairs\":9,\"tags\":9}");
    assert_ok(dbk_model_catch_up_rows(shadow, table_of(shadow, "tags"), 8, false, &out, &place.err), &place.err);
    assert_text(&out, "\"table\":\"tags\",\"reset\":true,\"changes\":[]");
    assert_ok(dbk_model_catch_up_rows(shadow, table_of(shadow, "tags"), 9, false, &out, &place.err), &place.err);
    assert_text(&out, "\"table\":\"tags\",\"reset\":false,\"changes\":[]");
    assert_recount(shadow);
    dbk_buffer_release(&out);
    dbk_model_close(shadow);
    place_done(&place);
}

/* A shadow of the same position keeps the commit that stood there and joins the difference to it. */
static void test_shadow_at_the_old_position(void **state)
{
    model_place place;
    dbk_changes changes;
    (void)state;
    place_init(&place, NULL);
    dbk_model *old = place_create(&place, "old", NULL),
              *shadow = place_create(&place, "shadow", &(dbk_model_options){.bulk = true});
    commit_sql(old, 4, "INSERT INTO pairs VALUES(1, 'a', 'x'), (2, 'b', 'x')");
    commit_sql(shadow, 4, "INSERT INTO pairs VALUES(2, 'b', 'x'), (3, 'c', 'x')");
    assert_ok(dbk_model_take_over(shadow, old, false, &changes, &place.err), &place.err);
    assert_int_equal(changes.items[0].key_count, 3);
    assert_int_equal(shadow->journal->rows, 3);
    assert_recount(shadow);
    dbk_model_close(shadow);
    dbk_model_close(old);
    place_done(&place);
}

/* Another definition, or a shadow behind the model: refused, and the shadow is as it was. */
static void test_pairs_that_do_not_fit(void **state)
{
    model_place place;
    dbk_changes changes;
    (void)state;
    place_init(&place, NULL);
    dbk_definition other = *place.definition;
    dbk_model *old = place_create(&place, "old", NULL),
              *shadow = place_create(&place, "shadow", &(dbk_model_options){.bulk = true});
    commit_sql(old, 4, "INSERT INTO pairs VALUES(1, 'a', 'x')");
    commit_sql(shadow, 3, "INSERT INTO pairs VALUES(2, 'b', 'x')");
    assert_int_equal(dbk_model_take_over(shadow, old, false, &changes, &place.err), DBK_USAGE);
    other.hash[0] ^= 1;
    old->definition = &other;
    assert_int_equal(dbk_model_take_over(shadow, old, false, &changes, &place.err), DBK_FOREIGN);
    assert_int_equal(shadow->state.position, 3);
    assert_recount(shadow);
    old->definition = place.definition;
    dbk_model_close(shadow);
    dbk_model_close(old);
    place_done(&place);
}

/* The port's memory runs out at allocation n, or the old file cannot be read: the shadow keeps its state. */
static void test_failures_leave_the_shadow_as_it_was(void **state)
{
    model_place place;
    thrifty_port thrifty;
    dbk_changes changes;
    bool done = false;
    (void)state;
    place_init(&place, NULL);
    for (size_t n = 1; !done; n++) {
        dbk_model *old = place_create(&place, "old", NULL);
        thrifty_place(&thrifty, SIZE_MAX);
        place.port = &thrifty.port;
        dbk_model *shadow = place_create(&place, "shadow", &(dbk_model_options){.bulk = true});
        place.port = dbk_port_system();
        fill(old, 2, 3);
        fill(shadow, 3, 9);
        thrifty.fail_at = thrifty.calls + n;
        dbk_model_state before = shadow->state;
        dbk_result result = dbk_model_take_over(shadow, old, false, &changes, &place.err);
        thrifty.fail_at = SIZE_MAX;
        done = result == DBK_OK;
        if (!done) {
            assert_int_equal(result, DBK_NO_MEMORY);
            assert_memory_equal(&shadow->state, &before, sizeof before);
        }
        assert_recount(shadow);
        dbk_model_close(shadow);
        assert_int_equal(thrifty.held, 0);
        dbk_model_close(old);
        unlink(place_file(&place, "old"));
        unlink(place_file(&place, "shadow"));
    }
    dbk_model *old = place_create(&place, "old", NULL), *shadow = place_create(&place, "shadow", NULL);
    sql(old, "ALTER TABLE counts RENAME TO lost");
    assert_int_equal(dbk_model_take_over(shadow, old, false, &changes, &place.err), DBK_INTERNAL);
    assert_int_equal(shadow->state.position, 0);
    assert_recount(shadow);
    dbk_model_close(old);
    dbk_model_close(shadow);
    place_done(&place);
}

static int64_t number(const char *path, const char *text)
{
    sqlite3 *db;
    sqlite3_stmt *row;
    assert_int_equal(sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_prepare_v2(db, text, -1, &row, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(row), SQLITE_ROW);
    int64_t value = sqlite3_column_int64(row, 0);
    sqlite3_finalize(row);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
    return value;
}

/* A plain file has the app's tables and rows and nothing of ours, in the ordinary journal mode. */
static void test_plain_file_has_only_the_apps_tables(void **state)
{
    model_place place;
    struct stat info;
    (void)state;
    place_init(&place, NULL);
    dbk_model *model = place_create(&place, "plain", &(dbk_model_options){.bulk = true});
    commit_sql(model, 2, "INSERT INTO pairs VALUES(1, 'a', 'x')");
    assert_ok(dbk_model_finish(model, true, &place.err), &place.err);
    dbk_model_close(model);
    const char *path = place_file(&place, "plain");
    assert_int_equal(number(path, "SELECT count(*) FROM sqlite_schema WHERE name LIKE '\\_daybook%' ESCAPE '\\'"), 0);
    assert_int_equal(number(path, "SELECT count(*) FROM pairs"), 1);
    assert_int_equal(number(path, "SELECT count(*) FROM pragma_quick_check WHERE quick_check='ok'"), 1);
    assert_int_equal(number(path, "SELECT count(*) FROM pragma_journal_mode WHERE journal_mode='delete'"), 1);
    assert_int_not_equal(stat(place_file(&place, "plain-wal"), &info), 0);
    place_done(&place);
}

/* After finish the model goes on as any other: WAL, synced, its lock shared, its changes told. */
static void test_finished_model_is_an_ordinary_one(void **state)
{
    model_place place;
    (void)state;
    place_init(&place, NULL);
    dbk_model *model = place_create(&place, "model", &(dbk_model_options){.bulk = true});
    commit_sql(model, 2, "INSERT INTO pairs VALUES(1, 'a', 'x')");
    assert_ok(dbk_model_finish(model, false, &place.err), &place.err);
    const char *path = place_file(&place, "model");
    assert_int_equal(number(path, "SELECT count(*) FROM pragma_journal_mode WHERE journal_mode='wal'"), 1);
    assert_int_equal(number(path, "SELECT count(*) FROM pairs"), 1);
    dbk_changes changes = commit_sql(model, 3, "UPDATE pairs SET v='y'");
    assert_int_equal(changes.count, 1);
    assert_recount(model);
    dbk_model_close(model);
    place_done(&place);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_step_is_the_exact_difference),
        cmocka_unit_test(test_reset_begins_anew),
        cmocka_unit_test(test_shadow_at_the_old_position),
        cmocka_unit_test(test_pairs_that_do_not_fit),
        cmocka_unit_test(test_failures_leave_the_shadow_as_it_was),
        cmocka_unit_test(test_plain_file_has_only_the_apps_tables),
        cmocka_unit_test(test_finished_model_is_an_ordinary_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
