/* The observer against what the tables really hold. */
#include "tests/projector/model_fixture.h"

#include "projector/rows/internal.h"

enum { ROWS_MAX = 400, ROW_TEXT = 400 };

typedef struct seen_row {
    char key[120], text[ROW_TEXT];
} seen_row;
typedef struct seen_rows {
    size_t count;
    seen_row rows[ROWS_MAX];
} seen_rows;

static const char *const dumps[] = {
    ("SELECT 'notes ' || id, quote(title)||quote(stars)||quote(score)||typeof(score)||quote(raw)||quote(amount)||"
     "typeof(amount)||quote(doc) FROM notes"),
    "SELECT 'tags ' || note || '/' || tag, quote(weight)||typeof(weight) FROM tags",
    "SELECT 'counts ' || n, quote(note)||quote(v) FROM counts",
    "SELECT 'pairs ' || a || '/' || b, quote(v) FROM pairs",
};

static void see(dbk_model *model, seen_rows *seen)
{
    seen->count = 0;
    for (size_t i = 0; i < sizeof dumps / sizeof *dumps; i++) {
        sqlite3_stmt *row;
        assert_int_equal(sqlite3_prepare_v2(dbk_model_handle(model), dumps[i], -1, &row, NULL), SQLITE_OK);
        while (sqlite3_step(row) == SQLITE_ROW) {
            assert_true(seen->count < ROWS_MAX);
            seen_row *one = &seen->rows[seen->count++];
            snprintf(one->key, sizeof one->key, "%s", (const char *)sqlite3_column_text(row, 0));
            snprintf(one->text, sizeof one->text, "%s", (const char *)sqlite3_column_text(row, 1));
        }
        sqlite3_finalize(row);
    }
}

static const seen_row *find_seen(const seen_rows *seen, const char *key)
{
    for (size_t i = 0; i < seen->count; i++) {
        if (strcmp(seen->rows[i].key, key) == 0) return &seen->rows[i];
    }
    return NULL;
}

static const dbk_touched *find_touched(const dbk_model *model, const char *key)
{
    const char *space = strchr(key, ' ');
    const dbk_table *table = dbk_definition_table(model->definition, dbk_slice_of(key, (size_t)(space - key)));
    return dbk_observer_find(model->observer, table, dbk_slice_text(space + 1));
}

/* Every row that came, went or changed is touched and said to be so; every touched row is told rightly. */
static void check_touched(dbk_model *model, const seen_rows *before, const seen_rows *after)
{
    size_t count;
    const dbk_touched *touched = dbk_observer_touched(model->observer, &count);

    for (size_t i = 0; i < before->count + after->count; i++) {
        const seen_row *row = i < before->count ? &before->rows[i] : &after->rows[i - before->count];
        const seen_row *old = find_seen(before, row->key), *new = find_seen(after, row->key);
        const dbk_touched *found = find_touched(model, row->key);
        bool changed = !old || !new || strcmp(old->text, new->text) != 0;
        if (changed) assert_non_null(found);
        if (!found) continue;
        assert_int_equal(found->changed, changed);
        assert_int_equal(found->existed, old != NULL);
        assert_int_equal(found->exists, new != NULL);
    }
    for (size_t i = 0; i < count; i++) {
        char key[120];
        snprintf(key, sizeof key, "%s %.*s", touched[i].table->name, DBK_SLICE_ARG(touched[i].key));
        assert_int_equal(touched[i].existed, find_seen(before, key) != NULL);
        assert_int_equal(touched[i].exists, find_seen(after, key) != NULL);
        assert_ptr_equal(dbk_observer_find(model->observer, touched[i].table, touched[i].key), &touched[i]);
    }
}

/* A value of any storage class: what affinity makes of it is SQLite's business. */
static const char *any_value(uint64_t *seed)
{
    static const char *const values[] = {"NULL",
                                         "0",
                                         "2",
                                         "-7",
                                         "2.0",
                                         "2.5",
                                         "-0.0",
                                         "'2'",
                                         "'x'",
                                         "''",
                                         "x'00ff'",
                                         "x''",
                                         "9007199254740993",
                                         "-9223372036854775808",
                                         "1e300",
                                         "'3.0'",
                                         "'9e999'",
                                         "1e999",
                                         "'1e5'"};
    return values[next_random(seed) % (sizeof values / sizeof *values)];
}

static void random_statement(uint64_t *seed, char *out, size_t size)
{
    unsigned id = (unsigned)(next_random(seed) % 8), other = (unsigned)(next_random(seed) % 8);
    const char *one = any_value(seed), *two = any_value(seed);

    switch (next_random(seed) % 18) {
    case 0:
        snprintf(out, size, "INSERT INTO notes(id, title, score, raw) VALUES('n%u', 't%u', %s, %s)", id, other, one,
                 two);
        break;
    case 1:
        snprintf(out, size, "INSERT OR REPLACE INTO notes(id, title, amount) VALUES('n%u', 't%u', %s)", id, other, one);
        break;
    case 2:
        snprintf(out, size,
                 "INSERT INTO notes(id, stars) VALUES('n%u', %u) ON CONFLICT(id) DO UPDATE SET stars=stars+1", id, id);
        break;
    case 3: snprintf(out, size, "INSERT INTO notes(id) VALUES('n%u') ON CONFLICT(id) DO NOTHING", id); break;
    case 4: snprintf(out, size, "UPDATE notes SET score=%s, amount=%s WHERE id='n%u'", one, two, id); break;
    case 5: snprintf(out, size, "UPDATE notes SET title='t%u'", id); break; /* fails with two rows, half way */
    case 6: snprintf(out, size, "UPDATE notes SET stars=stars-1"); break;
    case 7: snprintf(out, size, "DELETE FROM notes WHERE id='n%u'", id); break;
    case 8: snprintf(out, size, "DELETE FROM notes WHERE stars > %u", id); break;
    case 9: snprintf(out, size, "INSERT INTO tags VALUES('n%u', 'a%u', %s)", id, other, one); break;
    case 10: snprintf(out, size, "UPDATE tags SET weight=%s WHERE tag='a%u'", one, other); break;
    case 11: snprintf(out, size, "INSERT OR REPLACE INTO tags VALUES('n%u', 'a%u', %s)", id, other, one); break;
    case 12: snprintf(out, size, "INSERT INTO counts(note, v) VALUES('n%u', %s)", id, one); break;
    case 13: snprintf(out, size, "UPDATE counts SET n=n+%u WHERE n=%u", other, id); break;
    case 14: snprintf(out, size, "DELETE FROM counts WHERE n > 12"); break;
    case 15: snprintf(out, size, "INSERT OR REPLACE INTO pairs VALUES(%u, 'b%u', %s)", id, other, one); break;
    case 16: snprintf(out, size, "UPDATE pairs SET b='c' || a, v=%s WHERE a=%u", one, id); break;
    default: snprintf(out, size, "DELETE FROM %s", other ? "pairs" : "notes");
    }
}

/* The rows touched by entries that were kept, each once: what a commit tells. */
typedef struct kept_rows {
    char keys[2000][120];
    size_t count;
} kept_rows;

static bool is_kept(const kept_rows *kept, const char *key)
{
    for (size_t i = 0; i < kept->count; i++) {
        if (strcmp(kept->keys[i], key) == 0) return true;
    }
    return false;
}

static void keep_touched(dbk_model *model, kept_rows *kept)
{
    size_t count;
    const dbk_touched *touched = dbk_observer_touched(model->observer, &count);
    for (size_t i = 0; i < count; i++) {
        char key[120];
        snprintf(key, sizeof key, "%s %.*s", touched[i].table->name, DBK_SLICE_ARG(touched[i].key));
        if (!is_kept(kept, key)) strcpy(kept->keys[kept->count++], key);
    }
}

/* An UPDATE of which the columns are said beforehand. */
static int try_set(dbk_model *model, uint64_t *seed)
{
    char text[300];
    const dbk_table *notes = table_of(model, "notes");
    dbk_mask mask = {0};

    dbk_mask_add(&mask, 3);
    dbk_mask_add(&mask, 5);
    snprintf(text, sizeof text, "UPDATE notes SET score=%s, amount=%s WHERE id='n%u'", any_value(seed), any_value(seed),
             (unsigned)(next_random(seed) % 8));
    dbk_observer_sets(model->observer, notes, &mask, NULL);
    int rc = sql_try(model, text);
    dbk_observer_sets(model->observer, NULL, NULL, NULL);
    return rc;
}

static int try_any(dbk_model *model, uint64_t *seed)
{
    char text[300];

    if (next_random(seed) % 8 == 0) return try_set(model, seed);
    random_statement(seed, text, sizeof text);
    return sql_try(model, text);
}

static void random_entry(dbk_model *model, uint64_t *seed, seen_rows *before, seen_rows *after, kept_rows *kept)
{
    bool keeps = next_random(seed) % 3 != 0;

    see(model, before);
    dbk_observer_entry_begin(model->observer);
    sql(model, "SAVEPOINT entry");
    for (uint64_t n = next_random(seed) % 6; n > 0; n--) {
        dbk_observer_statement_mark(model->observer);
        if (try_any(model, seed) != SQLITE_OK) dbk_observer_statement_drop(model->observer);
        assert_int_equal(dbk_observer_failure(model->observer), DBK_OK);
    }
    if (!keeps) {
        sql(model, "ROLLBACK TO entry");
        dbk_observer_entry_drop(model->observer);
    }
    sql(model, "RELEASE entry");
    see(model, after);
    check_touched(model, before, after);
    keep_touched(model, kept);
}

/* The dirty rows are those of the kept entries, no more and no less, and hold all that differs. */
static void check_changes(const dbk_changes *changes, const kept_rows *kept, const seen_rows *before,
                          const seen_rows *after)
{
    size_t told = 0;

    for (size_t c = 0; c < changes->count; c++) {
        for (size_t k = 0; k < changes->items[c].key_count; k++) {
            char key[120];
            snprintf(key, sizeof key, "%s %.*s", changes->items[c].table->name,
                     DBK_SLICE_ARG(changes->items[c].keys[k]));
            assert_true(is_kept(kept, key));
            told++;
        }
    }
    assert_int_equal(told, kept->count);
    for (size_t i = 0; i < before->count + after->count; i++) {
        const seen_row *row = i < before->count ? &before->rows[i] : &after->rows[i - before->count];
        const seen_row *old = find_seen(before, row->key), *new = find_seen(after, row->key);
        if (!old || !new || strcmp(old->text, new->text) != 0) assert_true(is_kept(kept, row->key));
    }
}

static void check_sorted(const dbk_changes *changes)
{
    for (size_t c = 0; c < changes->count; c++) {
        if (c) assert_true(strcmp(changes->items[c - 1].table->name, changes->items[c].table->name) < 0);
        for (size_t k = 1; k < changes->items[c].key_count; k++) {
            assert_true(dbk_slice_compare(changes->items[c].keys[k - 1], changes->items[c].keys[k]) < 0);
        }
    }
}

/* What was kept of each row gives the message that reading them gives; how many rows were kept. */
static size_t check_messages(dbk_model *model, const dbk_changes *changes, bool all)
{
    dbk_buffer kept, read;
    dbk_error err;
    size_t known = 0;

    dbk_buffer_init(&kept, dbk_port_system());
    dbk_buffer_init(&read, dbk_port_system());
    for (size_t c = 0; c < changes->count; c++) {
        dbk_change change = changes->items[c];
        assert_ok(dbk_model_change_json(model, &change, &kept, &err), &err);
        for (size_t k = 0; k < change.key_count; k++) {
            bool is_known = change.seen && change.seen[k].known;
            assert_true(is_known || !all);
            known += is_known;
        }
        change.seen = NULL;
        assert_ok(dbk_model_change_json(model, &change, &read, &err), &err);
        assert_true(dbk_slice_equal(dbk_buffer_slice(&kept), dbk_buffer_slice(&read)));
    }
    dbk_buffer_release(&kept);
    dbk_buffer_release(&read);
    return known;
}

/* Random statements in entries, kept and dropped, in transactions, committed and rolled back: the
 * fingerprint equals a full count after each, and the touched rows are those that differ. */
static void test_random_statements_are_seen_exactly(void **state)
{
    model_place place;
    (void)state;
    place_init(&place, NULL);
    dbk_model *model = place_create(&place, "model", NULL);
    seen_rows *seen = calloc(3, sizeof *seen);
    kept_rows *kept = calloc(1, sizeof *kept);
    uint64_t seed = 20261121, position = 0;
    size_t known = 0;

    for (int turn = 0; turn < 1200; turn++) {
        see(model, &seen[2]);
        kept->count = 0;
        bool keeps = next_random(&seed) % 3 != 0, all = keeps;
        dbk_model_keep_rows(model, keeps);
        assert_ok(dbk_model_begin(model, &place.err), &place.err);
        for (uint64_t n = next_random(&seed) % 4; n > 0; n--) {
            random_entry(model, &seed, &seen[0], &seen[1], kept);
            if (next_random(&seed) % 4) continue;
            all = false; /* a subscriber comes or goes */
            dbk_model_keep_rows(model, keeps = !keeps);
        }
        if (next_random(&seed) % 4 == 0) {
            dbk_model_rollback(model);
        } else {
            dbk_changes changes;
            commit_at(model, ++position, &changes);
            see(model, &seen[1]);
            check_changes(&changes, kept, &seen[2], &seen[1]);
            check_sorted(&changes);
            known += check_messages(model, &changes, all);
        }
        assert_recount(model);
    }
    assert_true(known > 300);
    free(seen);
    free(kept);
    dbk_model_close(model);
    place_done(&place);
}

/* A number in a REAL column has one hash, whether the hook or a scan reads it. */
static void test_each_affinity_hashes_alike_in_hook_and_scan(void **state)
{
    static const char *const values[] = {"2",    "2.0", "'2'", "-0.0", "NULL", "x'32'", "'two'", "9007199254740993",
                                         "1e999"};
    model_place place;
    (void)state;
    place_init(&place, NULL);
    dbk_model *model = place_create(&place, "model", NULL);
    uint64_t position = 0;

    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        commit_sql(model, ++position,
                   "INSERT INTO notes(id, score, amount, raw, stars) VALUES('a%zu', %s, %s, %s, 5.0)", i, values[i],
                   values[i], values[i]);
        assert_recount(model);
        commit_sql(model, ++position, "UPDATE notes SET score=%s, amount=%s, doc=%s", values[i], values[i], values[i]);
        assert_recount(model);
        commit_sql(model, ++position, "INSERT INTO tags VALUES('a%zu', 'x', %s); UPDATE tags SET weight=%s", i,
                   values[i], values[i]);
        assert_recount(model);
    }
    commit_sql(model, ++position, "DELETE FROM notes");
    assert_recount(model);
    dbk_model_state got;
    dbk_model_get_state(model, &got);
    assert_true(got.fingerprint.low == 0 && got.fingerprint.high == 0);
    dbk_model_close(model);
    place_done(&place);
}

/* INSERT shows its row with defaults and affinity; an upsert that updates and a cascade show none. */
static void test_inserted_row_is_kept_as_resolved(void **state)
{
    model_place place;
    (void)state;
    place_init(&place, NULL);
    dbk_model *model = place_create(&place, "model", NULL);
    const dbk_table *notes = table_of(model, "notes");

    assert_ok(dbk_model_begin(model, &place.err), &place.err);
    dbk_observer_entry_begin(model->observer);
    sql(model, "INSERT INTO notes(id, title, score) VALUES('n1', 'one', 2)");
    dbk_slice rest = dbk_observer_inserted(model->observer, notes);
    dbk_row_value values[16], none;
    for (uint16_t i = 0; i < notes->column_count; i++) assert_true(dbk_row_value_next(&rest, &values[i]));
    assert_false(dbk_row_value_next(&rest, &none));
    assert_true(dbk_slice_equal(values[0].bytes, dbk_slice_text("n1")));
    assert_true(dbk_slice_equal(values[1].bytes, dbk_slice_text("one")));
    assert_true(values[2].type == SQLITE_INTEGER && values[2].integer == 0);
    assert_int_equal(values[6].type, SQLITE_NULL);
    assert_int_equal(dbk_observer_inserted(model->observer, table_of(model, "tags")).size, 0);
    sql(model, "INSERT INTO notes(id) VALUES('n1') ON CONFLICT(id) DO UPDATE SET stars=1");
    assert_int_equal(dbk_observer_inserted(model->observer, notes).size, 0);
    dbk_observer_keep_inserted(model->observer, false);
    sql(model, "INSERT INTO notes(id) VALUES('n2')");
    assert_int_equal(dbk_observer_inserted(model->observer, notes).size, 0);
    dbk_observer_keep_inserted(model->observer, true);
    sql(model, "INSERT INTO notes(id) VALUES('n3')");
    dbk_observer_statement_mark(model->observer);
    assert_int_equal(dbk_observer_inserted(model->observer, notes).size, 0);
    dbk_model_rollback(model);
    dbk_model_close(model);
    place_done(&place);
}

/* One entry that changes 100,001 rows fails, one that changes 100,000 does not; dropping it heals. */
static void test_too_many_rows_of_one_entry(void **state)
{
    static const char rows[] = "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n+1 FROM c WHERE n < %d)"
                               " INSERT INTO counts(n) SELECT n FROM c";
    char text[200];
    model_place place;
    dbk_changes changes;
    (void)state;
    place_init(&place, NULL);
    dbk_model *model = place_create(&place, "model", NULL);

    assert_ok(dbk_model_begin(model, &place.err), &place.err);
    sql(model, "SAVEPOINT entry");
    dbk_observer_entry_begin(model->observer);
    snprintf(text, sizeof text, rows, 100001);
    sql(model, "%s", text);
    assert_int_equal(dbk_observer_failure(model->observer), DBK_TOO_BIG);
    assert_int_equal(try_commit(model, 1, &changes, &place.err), DBK_TOO_BIG);
    assert_false(dbk_model_in_transaction(model));
    assert_ok(dbk_model_begin(model, &place.err), &place.err);
    sql(model, "SAVEPOINT entry");
    dbk_observer_entry_begin(model->observer);
    sql(model, "%s", text);
    sql(model, "ROLLBACK TO entry");
    dbk_observer_entry_drop(model->observer);
    assert_int_equal(dbk_observer_failure(model->observer), DBK_OK);
    dbk_observer_entry_begin(model->observer);
    snprintf(text, sizeof text, rows, 100000);
    sql(model, "%s", text);
    assert_int_equal(dbk_observer_failure(model->observer), DBK_OK);
    commit_at(model, 1, &changes);
    assert_int_equal(changes.count, 1);
    assert_int_equal(changes.items[0].key_count, 100000);
    assert_recount(model);
    dbk_model_close(model);
    place_done(&place);
}

/* In bulk only the entry's rows are kept; the fingerprint is kept all the same. */
static void test_bulk_keeps_no_dirty_rows(void **state)
{
    model_place place;
    dbk_changes changes;
    size_t count;
    (void)state;
    place_init(&place, NULL);
    dbk_model *model = place_create(&place, "model", &(dbk_model_options){.bulk = true});

    assert_ok(dbk_model_begin(model, &place.err), &place.err);
    dbk_observer_entry_begin(model->observer);
    sql(model, "INSERT INTO notes(id) VALUES('n1'), ('n2')");
    dbk_observer_touched(model->observer, &count);
    assert_int_equal(count, 2);
    dbk_observer_entry_begin(model->observer);
    sql(model, "UPDATE notes SET stars=2 WHERE id='n1'");
    const dbk_touched *touched = dbk_observer_touched(model->observer, &count);
    assert_int_equal(count, 1);
    assert_true(touched->existed && touched->exists && touched->changed);
    commit_at(model, 2, &changes);
    assert_int_equal(changes.count, 0);
    assert_recount(model);
    dbk_model_close(model);
    place_done(&place);
}

/* Other databases of the connection, temporary tables and the engine's tables are not the model's rows. */
static void test_other_tables_are_not_seen(void **state)
{
    model_place place;
    size_t count;
    (void)state;
    place_init(&place, NULL);
    dbk_model *model = place_create(&place, "model", NULL);

    assert_ok(dbk_model_begin(model, &place.err), &place.err);
    sql(model, "CREATE TEMP TABLE notes(id TEXT NOT NULL PRIMARY KEY)");
    sql(model, "INSERT INTO temp.notes VALUES('n1'); INSERT INTO _daybook_dismissed VALUES('x')");
    dbk_observer_touched(model->observer, &count);
    assert_int_equal(count, 0);
    assert_int_equal(dbk_observer_failure(model->observer), DBK_OK);
    dbk_model_rollback(model);
    dbk_model_close(model);
    place_done(&place);
}

/* The whole hash of a row is that with the table's prefix; the fingerprint's text is its bytes in order. */
static void test_row_hash_and_fingerprint_text(void **state)
{
    model_place place;
    dbk_buffer scratch;
    sqlite3_stmt *row;
    char text[33];
    (void)state;
    place_init(&place, NULL);
    dbk_buffer_init(&scratch, place.port);
    dbk_model *model = place_create(&place, "model", NULL);
    commit_sql(model, 1, "INSERT INTO pairs VALUES(1, 'a', x'00')");
    assert_int_equal(sqlite3_prepare_v2(dbk_model_handle(model), "SELECT * FROM pairs", -1, &row, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(row), SQLITE_ROW);
    const dbk_table *pairs = table_of(model, "pairs");
    dbk_hash128 prefix = dbk_row_hash_prefix(&scratch, pairs);
    dbk_hash128 hash = dbk_row_hash_with(&scratch, prefix, pairs, dbk_statement_column, row);
    sqlite3_finalize(row);
    assert_memory_equal(&hash, &model->state.fingerprint, sizeof hash);
    dbk_fingerprint_text((dbk_hash128){UINT64_C(0x0807060504030201), 0xff}, text);
    assert_string_equal(text, "0102030405060708ff00000000000000");
    dbk_buffer_release(&scratch);
    dbk_model_close(model);
    place_done(&place);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_statements_are_seen_exactly),
        cmocka_unit_test(test_each_affinity_hashes_alike_in_hook_and_scan),
        cmocka_unit_test(test_inserted_row_is_kept_as_resolved),
        cmocka_unit_test(test_too_many_rows_of_one_entry),
        cmocka_unit_test(test_bulk_keeps_no_dirty_rows),
        cmocka_unit_test(test_other_tables_are_not_seen),
        cmocka_unit_test(test_row_hash_and_fingerprint_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
