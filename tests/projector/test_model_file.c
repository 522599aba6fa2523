/* The model's file: made, opened, refused; commits, their journal and what a rollback leaves. */
#include "tests/projector/model_fixture.h"

#include "projector/model/journal.h"

static dbk_model_state state_of(const dbk_model *model)
{
    dbk_model_state state;
    dbk_model_get_state(model, &state);
    return state;
}

static int64_t number(dbk_model *model, const char *text)
{
    sqlite3_stmt *row;
    if (sqlite3_prepare_v2(dbk_model_handle(model), text, -1, &row, NULL) != SQLITE_OK)
        fail_msg("%s", sqlite3_errmsg(dbk_model_handle(model)));
    assert_int_equal(sqlite3_step(row), SQLITE_ROW);
    int64_t value = sqlite3_column_int64(row, 0);
    sqlite3_finalize(row);
    return value;
}

static const char *word(dbk_model *model, const char *text)
{
    static char copy[64];
    sqlite3_stmt *row;
    assert_int_equal(sqlite3_prepare_v2(dbk_model_handle(model), text, -1, &row, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(row), SQLITE_ROW);
    snprintf(copy, sizeof copy, "%s", (const char *)sqlite3_column_text(row, 0));
    sqlite3_finalize(row);
    return copy;
}

/* A new file is at position 0 with nothing in it; reopened it is where its last commit left it. */
static void test_state_survives_a_close(void **state)
{
    model_place place;
    dbk_changes changes;
    (void)state;
    place_init(&place, NULL);
    dbk_model *model = place_create(&place, "model", NULL);
    dbk_model_state before = state_of(model);

    assert_int_equal(before.position, 0);
    assert_int_equal(before.floor, 0);
    assert_memory_equal(before.definition, place.definition->hash, 16);
    changes = commit_sql(model, 3, "INSERT INTO notes(id) VALUES('n1'), ('n/2')");
    assert_int_equal(changes.count, 1);
    assert_int_equal(changes.items[0].key_count, 2);
    assert_int_equal(changes.items[0].previous, 0);
    assert_string_equal((const char *)changes.items[0].keys[0].data, "n%2F2");
    changes = commit_sql(model, 7, "DELETE FROM notes WHERE id='n1'; INSERT INTO counts(n) VALUES(-5)");
    assert_int_equal(changes.count, 2);
    assert_string_equal(changes.items[0].table->name, "counts");
    assert_string_equal((const char *)changes.items[0].keys[0].data, "-5");
    assert_int_equal(changes.items[1].previous, 3);
    before = state_of(model);
    dbk_model_close(model);
    model = place_open(&place, "model", NULL);
    dbk_model_state after = state_of(model);
    assert_memory_equal(&before, &after, sizeof before);
    assert_recount(model);
    changes = commit_sql(model, 8, "UPDATE notes SET stars=1");
    assert_int_equal(changes.items[0].previous, 7);
    dbk_model_close(model);
    place_done(&place);
}

static void test_settings_of_the_connection(void **state)
{
    model_place place;
    (void)state;
    place_init(&place, NULL);
    dbk_model *model = place_create(&place, "model", &(dbk_model_options){.reverse_unordered = true});
    assert_string_equal(word(model, "PRAGMA journal_mode"), "wal");
    assert_int_equal(number(model, "PRAGMA synchronous"), 1);
    assert_int_equal(number(model, "PRAGMA wal_autocheckpoint"), 0);
    assert_int_equal(number(model, "PRAGMA page_size"), 4096);
    assert_int_equal(number(model, "PRAGMA cache_size"), 512);
    assert_int_equal(number(model, "PRAGMA foreign_keys"), 1);
    assert_int_equal(number(model, "PRAGMA temp_store"), 2);
    assert_int_equal(number(model, "PRAGMA secure_delete"), 0);
    assert_int_equal(number(model, "PRAGMA trusted_schema"), 0);
    assert_int_equal(number(model, "PRAGMA reverse_unordered_selects"), 1);
    assert_int_equal(sql_try(model, "PRAGMA writable_schema=ON; DELETE FROM sqlite_schema"), SQLITE_ERROR);
    assert_string_equal(dbk_model_path(model), place_file(&place, "model"));
    dbk_model_close(model);
    struct stat info;
    assert_int_equal(stat(place_file(&place, "model"), &info), 0);
    assert_int_equal(info.st_mode & 0777, 0600);
    assert_int_not_equal(stat(place_file(&place, "model-wal"), &info), 0);
    place_done(&place);
}

static void put_file(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static dbk_result try_open(model_place *place, const char *name, const dbk_definition *definition)
{
    dbk_model *model;
    dbk_result result =
        dbk_model_open(place->port, place_file(place, name), definition, NULL, NULL, &model, &place->err);
    if (result == DBK_OK) dbk_model_close(model);
    else assert_null(model);
    return result;
}

/* Missing, a folder, other bytes, an empty file, another database, another definition: refused by name. */
static void test_files_that_are_no_model(void **state)
{
    model_place place;
    dbk_model *model;
    sqlite3 *db;
    (void)state;
    place_init(&place, NULL);
    assert_int_equal(try_open(&place, "none", place.definition), DBK_MISSING);
    assert_int_equal(try_open(&place, "no/where", place.definition), DBK_MISSING);
    assert_int_equal(try_open(&place, ".", place.definition), DBK_CORRUPT);
    put_file(place_file(&place, "text"),
             "this is not a database, but long enough to be looked at: 0123456789 0123456789 0123456789");
    assert_int_equal(try_open(&place, "text", place.definition), DBK_CORRUPT);
    put_file(place_file(&place, "empty"), "");
    assert_int_equal(try_open(&place, "empty", place.definition), DBK_CORRUPT);
    assert_int_equal(sqlite3_open(place_file(&place, "other"), &db), SQLITE_OK);
    assert_int_equal(sqlite3_exec(db, "CREATE TABLE t(x)", NULL, NULL, NULL), SQLITE_OK);
    sqlite3_close(db);
    assert_int_equal(try_open(&place, "other", place.definition), DBK_CORRUPT);
    model = place_create(&place, "model", NULL);
    dbk_model_close(model);
    assert_int_equal(
        dbk_model_create(place.port, place_file(&place, "model"), place.definition, NULL, NULL, &model, &place.err),
        DBK_EXISTS);
    assert_int_equal(try_open(&place, "model", place.definition), DBK_OK);
    dbk_definition other = *place.definition;
    other.hash[3] ^= 1;
    assert_int_equal(try_open(&place, "model", &other), DBK_FOREIGN);
    place_done(&place);
}

/* Whichever commits are still there at a reopening, each table's last position is the one of its last
 * change: with a long journal, with one that is pruned, with commits too big for it. */
static void test_last_positions_survive_every_reopening(void **state)
{
    static const uint32_t journals[] = {1, 5, 1000000};
    (void)state;
    for (size_t j = 0; j < sizeof journals / sizeof *journals; j++) {
        model_place place;
        dbk_model_options options = {.journal_rows = journals[j]};
        int64_t last[3] = {-1, -1, -1};
        uint64_t random = 7 + j;
        place_init(&place, NULL);
        dbk_model *model = place_create(&place, "model", &options);
        for (uint64_t at = 1; at <= 4000; at++) {
            size_t table = next_random(&random) % 10 == 0 ? (size_t)at % 2 : 2; /* two of them rarely */
            int n = (int)at;
            if (table == 0) (void)commit_sql(model, at, "INSERT INTO notes(id) VALUES('n%d'), ('m%d')", n, n);
            else if (table == 1) (void)commit_sql(model, at, "INSERT INTO counts(n) VALUES(%d)", n);
            else (void)commit_sql(model, at, "REPLACE INTO pairs(a, b) VALUES(%d, 'x'), (%d, 'y')", n % 2, n);
            last[table] = n;
            if (next_random(&random) % 40 != 0 && at % 1024 != 5) continue; /* also after each pruning */
            dbk_model_close(model);
            model = place_open(&place, "model", &options);
            static const char *const names[] = {"notes", "counts", "pairs"};
            for (size_t t = 0; t < 3; t++)
                assert_int_equal(model->journal->last[table_of(model, names[t]) - model->definition->tables], last[t]);
        }
        dbk_model_close(model);
        unlink(place_file(&place, "model"));
        place_done(&place);
    }
}

/* Each of these damages to the engine's tables is told as damage, never taken for a state. */
static void test_damaged_engine_tables_are_refused(void **state)
{
    static const struct {
        const char *sql;
        dbk_result expected;
    } cases[] = {
        {"DELETE FROM _daybook_commits", DBK_CORRUPT},
        {"UPDATE _daybook_commits SET head=x'00'", DBK_CORRUPT},
        {"UPDATE _daybook_commits SET top=NULL", DBK_CORRUPT},
        {"UPDATE _daybook_commits SET fingerprint='text of sixteen by'", DBK_CORRUPT},
        {"UPDATE _daybook_commits SET position=-1", DBK_CORRUPT},
        {"UPDATE _daybook_commits SET rows=-1", DBK_CORRUPT},
        {"UPDATE _daybook_commits SET floor=-1", DBK_CORRUPT},
        {"INSERT INTO _daybook_tables VALUES('nowhere', 1)", DBK_CORRUPT},
        {"DELETE FROM _daybook_meta WHERE name='definition'", DBK_CORRUPT},
        {"UPDATE _daybook_meta SET value=99 WHERE name='format'", DBK_FOREIGN},
        {"DROP TABLE _daybook_tables", DBK_INTERNAL},
    };
    model_place place;
    (void)state;
    place_init(&place, NULL);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char name[16];
        snprintf(name, sizeof name, "m%zu", i);
        dbk_model *model = place_create(&place, name, NULL);
        sql(model, "%s", cases[i].sql);
        dbk_model_close(model);
        assert_int_equal(try_open(&place, name, place.definition), cases[i].expected);
    }
    place_done(&place);
}

/* A rollback and a close in the middle leave the last commit; a second rollback is no harm. */
static void test_rollback_leaves_the_last_commit(void **state)
{
    model_place place;
    dbk_changes changes;
    (void)state;
    place_init(&place, NULL);
    dbk_model *model = place_create(&place, "model", NULL);
    commit_sql(model, 1, "INSERT INTO notes(id) VALUES('n1')");
    assert_ok(dbk_model_begin(model, &place.err), &place.err);
    assert_true(dbk_model_in_transaction(model));
    assert_int_equal(dbk_model_begin(model, &place.err), DBK_INTERNAL);
    sql(model, "DELETE FROM notes");
    dbk_model_rollback(model);
    dbk_model_rollback(model);
    assert_false(dbk_model_in_transaction(model));
    assert_recount(model);
    assert_int_equal(try_commit(model, 2, &changes, &place.err), DBK_INTERNAL);
    assert_ok(dbk_model_begin(model, &place.err), &place.err);
    sql(model, "DELETE FROM notes");
    dbk_model_close(model);
    model = place_open(&place, "model", NULL);
    assert_int_equal(state_of(model).position, 1);
    assert_recount(model);
    assert_int_equal(number(model, "SELECT count(*) FROM notes"), 1);
    dbk_model_close(model);
    place_done(&place);
}

/* ---- the journal beside the reference model's rule: one (position, table, key) per row, the row at
 * OFFSET n in falling order takes its position and all below it with it */
typedef struct reference {
    uint64_t positions[4000];
    size_t count;
    uint64_t floor;
} reference;

static void reference_commit(reference *journal, uint64_t position, size_t keys, size_t most)
{
    for (size_t i = 0; i < keys; i++) journal->positions[journal->count++] = position;
    if (journal->count <= most) return;
    journal->floor = journal->positions[journal->count - 1 - most];
    size_t left = 0;
    for (size_t i = 0; i < journal->count; i++) {
        if (journal->positions[i] > journal->floor) journal->positions[left++] = journal->positions[i];
    }
    journal->count = left;
}

/* The floor is the model's for commits of any size, empty ones among them, and after a reopening. */
static void test_floor_is_the_reference_models(void **state)
{
    enum { MOST = 16 };
    static const char behind[] =
        "SELECT count(*) FROM _daybook_commits c, (SELECT max(position) AS p, floor AS f FROM _daybook_commits)"
        " WHERE c.position <= f AND c.position < p";
    model_place place;
    reference journal = {.floor = 0};
    uint64_t seed = 7;
    (void)state;
    place_init(&place, NULL);
    dbk_model_options options = {.journal_rows = MOST};
    dbk_model *model = place_create(&place, "model", &options);

    for (uint64_t position = 1; position < 3000; position += 1 + next_random(&seed) % 2) {
        dbk_changes changes;
        uint64_t rows = next_random(&seed) % 23 == 0 ? 17 + next_random(&seed) % 9 : next_random(&seed) % 4;
        assert_ok(dbk_model_begin(model, &place.err), &place.err);
        for (uint64_t i = 0; i < rows; i++) sql(model, "REPLACE INTO pairs VALUES(%d, 'b', NULL)", (int)i);
        commit_at(model, position, &changes);
        reference_commit(&journal, position, rows, MOST);
        assert_int_equal(state_of(model).floor, journal.floor);
        assert_int_equal(model->journal->rows, journal.count);
        assert_int_equal(state_of(model).position, position);
        assert_int_equal(number(model, behind), model->journal->behind);
        if (next_random(&seed) % 300 == 0) {
            dbk_model_close(model);
            model = place_open(&place, "model", &options);
            assert_int_equal(state_of(model).floor, journal.floor);
            assert_int_equal(model->journal->rows, journal.count);
        }
    }
    assert_true(number(model, "SELECT count(*) FROM _daybook_commits") < 1024 + MOST + 2);
    assert_int_equal(number(model, "SELECT min(position) >= 1 FROM _daybook_commits"), 1);
    assert_recount(model);
    dbk_model_close(model);
    place_done(&place);
}

/* Commits that change no row leave one row of state, however many they are. */
static void test_empty_commits_do_not_pile_up(void **state)
{
    model_place place;
    (void)state;
    place_init(&place, NULL);
    dbk_model *model = place_create(&place, "model", NULL);
    for (uint64_t position = 1; position <= 20; position++) commit_sql(model, position, "SELECT 1");
    assert_int_equal(number(model, "SELECT count(*) FROM _daybook_commits"), 1);
    commit_sql(model, 21, "INSERT INTO notes(id) VALUES('n1')");
    for (uint64_t position = 22; position <= 30; position++) commit_sql(model, position, "SELECT 1");
    assert_int_equal(number(model, "SELECT count(*) FROM _daybook_commits"), 2);
    dbk_model_close(model);
    place_done(&place);
}

/* Two commits at one position are one: their keys are joined and counted once. */
static void test_second_commit_at_a_position_joins_the_first(void **state)
{
    model_place place;
    dbk_changes changes;
    dbk_buffer out;
    (void)state;
    place_init(&place, NULL);
    dbk_buffer_init(&out, place.port);
    dbk_model *model = place_create(&place, "model", NULL);
    commit_sql(model, 1, "INSERT INTO pairs VALUES(1, 'a', NULL), (2, 'a', NULL)");
    changes = commit_sql(model, 1, "UPDATE pairs SET v='x' WHERE a=2; INSERT INTO pairs VALUES(3, 'a', NULL)");
    assert_int_equal(changes.items[0].key_count, 3);
    assert_int_equal(model->journal->rows, 3);
    assert_ok(dbk_model_catch_up_rows(model, table_of(model, "pairs"), 0, false, &out, &place.err), &place.err);
    assert_text(&out, "\"table\":\"pairs\",\"reset\":false,\"changes\":["
                      "{\"op\":\"update\",\"key\":[1,\"a\"],\"row\":{\"a\":1,\"b\":\"a\",\"v\":null}},"
                      "{\"op\":\"update\",\"key\":[2,\"a\"],\"row\":{\"a\":2,\"b\":\"a\",\"v\":\"x\"}},"
                      "{\"op\":\"update\",\"key\":[3,\"a\"],\"row\":{\"a\":3,\"b\":\"a\",\"v\":null}}]");
    dbk_buffer_release(&out);
    dbk_model_close(model);
    place_done(&place);
}

/* What SQLite says of a constraint is told by its kind, table and columns. */
static void test_sql_failures_by_name(void **state)
{
    static const struct {
        const char *sql, *text;
        dbk_result expected;
    } cases[] = {
        {"INSERT INTO notes(id, title) VALUES('n2', 'one')", "UNIQUE notes.title", DBK_CONSTRAINT},
        {"INSERT INTO notes(id) VALUES('n1')", "UNIQUE notes.id", DBK_CONSTRAINT},
        {"INSERT INTO notes(id, stars) VALUES('n2', NULL)", "NOT NULL notes.stars", DBK_CONSTRAINT},
        {"INSERT INTO notes(id, stars) VALUES('n2', -1)", "CHECK stars >= 0", DBK_CONSTRAINT},
        {"INSERT INTO tags VALUES('nobody', 'x', NULL)", "FOREIGN KEY", DBK_CONSTRAINT},
        {"INSERT INTO pairs VALUES(1, 'a', NULL), (1, 'a', NULL)", "UNIQUE pairs.a, pairs.b", DBK_CONSTRAINT},
        {"INSERT INTO counts(n) VALUES('x')", "cannot test: datatype mismatch", DBK_SCHEMA},
        {"SELECT x FROM nowhere", "cannot test: no such table: nowhere", DBK_INTERNAL},
    };
    static const struct {
        int rc;
        dbk_result expected;
    } codes[] = {
        {SQLITE_FULL, DBK_NO_SPACE},         {SQLITE_NOMEM, DBK_NO_MEMORY},
        {SQLITE_IOERR_NOMEM, DBK_NO_MEMORY}, {SQLITE_IOERR_READ, DBK_IO},
        {SQLITE_CANTOPEN, DBK_IO},           {SQLITE_CORRUPT, DBK_CORRUPT},
        {SQLITE_NOTADB, DBK_CORRUPT},        {SQLITE_BUSY, DBK_BUSY},
        {SQLITE_INTERRUPT, DBK_BUSY},        {SQLITE_READONLY_DBMOVED, DBK_READ_ONLY},
        {SQLITE_TOOBIG, DBK_TOO_BIG},        {SQLITE_AUTH, DBK_DENIED},
        {SQLITE_MISUSE, DBK_INTERNAL},       {SQLITE_DONE, DBK_INTERNAL},
    };
    model_place place;
    (void)state;
    place_init(&place, NULL);
    dbk_model *model = place_create(&place, "model", NULL);
    commit_sql(model, 1, "INSERT INTO notes(id, title) VALUES('n1', 'one')");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int rc = sql_try(model, cases[i].sql);
        assert_int_equal(
            dbk_model_sql_failure(model, sqlite3_extended_errcode(dbk_model_handle(model)), "test", &place.err),
            cases[i].expected);
        assert_int_not_equal(rc, SQLITE_OK);
        assert_string_equal(place.err.text, cases[i].text);
    }
    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++) {
        assert_int_equal(dbk_sql_failure(NULL, codes[i].rc, "test", &place.err), codes[i].expected);
        assert_int_equal(dbk_sql_failure(NULL, codes[i].rc, "test", NULL), codes[i].expected);
    }
    dbk_model_close(model);
    place_done(&place);
}

/* Allocation number n of the port fails, for every n: refused by name, nothing held back, no file left. */
static void test_port_memory_runs_out(void **state)
{
    model_place place;
    thrifty_port thrifty;
    dbk_model *model;
    dbk_changes changes;
    dbk_error err;
    struct stat info;
    bool done = false;
    (void)state;
    place_init(&place, NULL);
    for (size_t n = 1; !done; n++) {
        thrifty_place(&thrifty, n);
        dbk_result result =
            dbk_model_create(&thrifty.port, place_file(&place, "model"), place.definition, NULL, NULL, &model, &err);
        if (result == DBK_OK) {
            result = dbk_model_begin(model, &err);
            if (result == DBK_OK) sql(model, "INSERT INTO notes(id) VALUES('n1'), ('n2')");
            if (result == DBK_OK) result = try_commit(model, 1, &changes, &err);
            if (result != DBK_OK) assert_int_equal(state_of(model).position, 0);
            dbk_model_close(model);
            done = result == DBK_OK && thrifty.calls < n;
            unlink(place_file(&place, "model"));
        } else {
            assert_null(model);
        }
        if (result != DBK_OK) assert_int_equal(result, DBK_NO_MEMORY);
        assert_int_equal(thrifty.held, 0);
        thrifty.fail_at = SIZE_MAX;
        unlink(place_file(&place, "model"));
        assert_int_not_equal(stat(place_file(&place, "model-wal"), &info), 0);
    }
    place_done(&place);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_state_survives_a_close),
        cmocka_unit_test(test_settings_of_the_connection),
        cmocka_unit_test(test_files_that_are_no_model),
        cmocka_unit_test(test_damaged_engine_tables_are_refused),
        cmocka_unit_test(test_last_positions_survive_every_reopening),
        cmocka_unit_test(test_rollback_leaves_the_last_commit),
        cmocka_unit_test(test_floor_is_the_reference_models),
        cmocka_unit_test(test_empty_commits_do_not_pile_up),
        cmocka_unit_test(test_second_commit_at_a_position_joins_the_first),
        cmocka_unit_test(test_sql_failures_by_name),
        cmocka_unit_test(test_port_memory_runs_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
