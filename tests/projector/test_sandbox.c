/* SQL sees the event's time and nothing else that changes; each role may do what it is for. */
#include "tests/base/fixture.h"

#include <sqlite3.h>
#include <time.h>

#include "projector/definition.h"

static sqlite3 *db;
static dbk_sandbox sandbox;

static int open_db(void **state)
{
    (void)state;
    assert_int_equal(sqlite3_open(":memory:", &db), SQLITE_OK);
    sandbox = (dbk_sandbox){.role = DBK_SQL_ENGINE, .time_ms = 1700000000123};
    assert_int_equal(dbk_sandbox_install(db, &sandbox, NULL), DBK_OK);
    assert_int_equal(sqlite3_exec(db,
                                  "CREATE TABLE t(id TEXT PRIMARY KEY, at TEXT DEFAULT CURRENT_TIMESTAMP, "
                                  "d TEXT DEFAULT (date('now')), n INTEGER);"
                                  "CREATE TABLE _daybook_x(id TEXT PRIMARY KEY); CREATE VIEW v AS SELECT id FROM t",
                                  NULL, NULL, NULL),
                     SQLITE_OK);
    return 0;
}

static int close_db(void **state)
{
    (void)state;
    return sqlite3_close(db) == SQLITE_OK ? 0 : -1;
}

/* The first value as text, or "error: …". */
static const char *value_of(const char *sql)
{
    static char text[300];
    sqlite3_stmt *statement = NULL;

    int rc = sqlite3_prepare_v2(db, sql, -1, &statement, NULL);
    if (rc == SQLITE_OK) rc = sqlite3_step(statement);
    if (rc == SQLITE_ROW) {
        const char *value = (const char *)sqlite3_column_text(statement, 0);
        (void)snprintf(text, sizeof(text), "%s", value ? value : "NULL");
    } else {
        (void)snprintf(text, sizeof(text), "error: %s", sqlite3_errmsg(db));
    }
    (void)sqlite3_finalize(statement);
    return text;
}

static void test_time(void **state)
{
    static const struct {
        const char *sql, *value;
    } wanted[] = {
        {"SELECT CURRENT_TIMESTAMP", "2023-11-14 22:13:20"},
        {"SELECT CURRENT_DATE", "2023-11-14"},
        {"SELECT CURRENT_TIME", "22:13:20"},
        {"SELECT datetime('now')", "2023-11-14 22:13:20"},
        {"SELECT datetime('NOW', '+1 day', 'start of day')", "2023-11-15 00:00:00"},
        {"SELECT datetime()", "2023-11-14 22:13:20"},
        {"SELECT date()", "2023-11-14"},
        {"SELECT time('now')", "22:13:20"},
        {"SELECT unixepoch('now')", "1700000000"},
        {"SELECT strftime('%s %f')", "1700000000 20.123"},
        {"SELECT strftime('%Y', 'now')", "2023"},
        {"SELECT julianday('now') = julianday('2023-11-14 22:13:20.123')", "1"},
        {"SELECT datetime('2020-02-30', '+0 days')", "2020-03-01 00:00:00"},
        {"SELECT datetime(1092941466, 'unixepoch')", "2004-08-19 18:51:06"},
        {"SELECT datetime(NULL)", "NULL"},
        {"SELECT date('nonsense')", "NULL"},
        {"SELECT typeof(unixepoch('now'))", "integer"},
        {"SELECT strftime()", "NULL"},
        {"SELECT datetime('now', 'localtime')", "error: 'localtime' and 'utc' depend on the device: times are UTC"},
        {"SELECT datetime('2020-01-01', 'UTC')", "error: 'localtime' and 'utc' depend on the device: times are UTC"},
        {"SELECT date(1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17)", "error: too many arguments of a date function"},
        {"SELECT sum(datetime('now') = datetime('now')) FROM t", "NULL"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++)
        if (strcmp(value_of(wanted[i].sql), wanted[i].value) != 0)
            fail_msg("%s: %s", wanted[i].sql, value_of(wanted[i].sql));
}

/* A statement that was prepared earlier sees the time of its own run, in defaults too. */
static void test_time_moves(void **state)
{
    sqlite3_stmt *statement;

    (void)state;
    assert_int_equal(sqlite3_prepare_v2(db, "INSERT INTO t(id) VALUES(datetime('now'))", -1, &statement, NULL),
                     SQLITE_OK);
    for (int i = 0; i < 2; i++) {
        sandbox.time_ms = 86400000LL * i;
        assert_int_equal(sqlite3_step(statement), SQLITE_DONE);
        assert_int_equal(sqlite3_reset(statement), SQLITE_OK);
    }
    assert_int_equal(sqlite3_finalize(statement), SQLITE_OK);
    assert_string_equal(value_of("SELECT group_concat(id || '/' || at || '/' || d, ' ') FROM t ORDER BY id"),
                        "1970-01-01 00:00:00/1970-01-01 00:00:00/1970-01-01 1970-01-02 00:00:00/1970-01-02 "
                        "00:00:00/1970-01-02");
}

static const struct {
    const char *sql, *denied; /* NULL: allowed */
    dbk_sql_role role;
} roles[] = {
    {"CREATE TABLE a(id TEXT PRIMARY KEY)", NULL, DBK_SQL_DDL},
    {"CREATE INDEX i ON t(n)", NULL, DBK_SQL_DDL},
    {"CREATE VIEW w AS SELECT 1", NULL, DBK_SQL_DDL},
    {"CREATE TABLE _daybook_y(id TEXT)", "'_daybook_y' has the prefix of the engine's tables", DBK_SQL_DDL},
    {"CREATE TEMP TABLE b(id TEXT)", "'temp' is another database", DBK_SQL_DDL},
    {"INSERT INTO t(id) VALUES('a')", "'t' is data: a schema holds DDL only", DBK_SQL_DDL},
    {"DROP TABLE t", "'t' may not be in a schema", DBK_SQL_DDL},
    {"PRAGMA user_version = 1", "'user_version' may not be in a schema", DBK_SQL_DDL},
    {"INSERT INTO t(id, n) SELECT id, n FROM t WHERE true ON CONFLICT DO NOTHING", NULL, DBK_SQL_PROJECTION},
    {"UPDATE t SET n = 1 WHERE id IN (SELECT id FROM v)", NULL, DBK_SQL_PROJECTION},
    {"DELETE FROM t", NULL, DBK_SQL_PROJECTION},
    {"WITH RECURSIVE c(x) AS (SELECT 1 UNION SELECT x + 1 FROM c WHERE x < 9) DELETE FROM t "
     "WHERE n IN c",
     NULL, DBK_SQL_PROJECTION},
    {"UPDATE t SET n = (SELECT value FROM json_each('[1]'))", NULL, DBK_SQL_PROJECTION},
    {"UPDATE t SET n = random()", "'random' gives another result at every replay", DBK_SQL_PROJECTION},
    {"UPDATE t SET n = randomblob(1)", "'randomblob' gives another result at every replay", DBK_SQL_PROJECTION},
    {"UPDATE t SET n = changes()", "'changes' tells of the connection, not of the data", DBK_SQL_PROJECTION},
    {"UPDATE t SET n = total_changes()", "'total_changes' tells of the connection, not of the data",
     DBK_SQL_PROJECTION},
    {"UPDATE t SET n = last_insert_rowid()", "'last_insert_rowid' tells of the connection, not of the data",
     DBK_SQL_PROJECTION},
    {"UPDATE t SET n = sqlite_version()", "'sqlite_version' differs between builds of SQLite", DBK_SQL_PROJECTION},
    {"UPDATE t SET n = rowid", "'rowid' is hidden and made by SQLite: it differs between devices", DBK_SQL_PROJECTION},
    {"DELETE FROM _daybook_x", "'_daybook_x' is a table of the engine", DBK_SQL_PROJECTION},
    {"UPDATE t SET n = (SELECT count(*) FROM sqlite_schema)", "'sqlite_schema' belongs to SQLite", DBK_SQL_PROJECTION},
    {"ATTACH ':memory:' AS b", "':memory:' is another file: ATTACH has no place here", DBK_SQL_PROJECTION},
    {"PRAGMA user_version = 1", "'user_version' is a setting of the connection: PRAGMA has no place here",
     DBK_SQL_PROJECTION},
    {"BEGIN", "'BEGIN' may not be changed by a projection", DBK_SQL_PROJECTION},
    {"SAVEPOINT s", "'BEGIN' may not be changed by a projection", DBK_SQL_PROJECTION},
    {"CREATE TABLE c(id TEXT)", NULL, DBK_SQL_ENGINE},
    {"SELECT * FROM t JOIN v USING(id)", NULL, DBK_SQL_QUERY},
    {"SELECT name FROM sqlite_schema", NULL, DBK_SQL_QUERY},
    {"SELECT rowid FROM t", NULL, DBK_SQL_QUERY},
    {"SELECT * FROM _daybook_x", "'_daybook_x' is a table of the engine", DBK_SQL_QUERY},
    {"SELECT random()", "'random' gives another result at every replay", DBK_SQL_QUERY},
    {"DELETE FROM t", "'t' may only be read here", DBK_SQL_QUERY},
    {"SELECT load_extension('x')", "'load_extension' reaches out of the database", DBK_SQL_QUERY},
    {"VACUUM INTO 'x'", "'x' is another file: ATTACH has no place here", DBK_SQL_QUERY},
    {"SELECT random(), changes()", NULL, DBK_SQL_ENGINE},
};

static void test_roles(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(roles) / sizeof(roles[0]); i++) {
        sqlite3_stmt *statement = NULL;
        sandbox.role = roles[i].role;
        sandbox.denied[0] = '\0';
        int rc = sqlite3_prepare_v2(db, roles[i].sql, -1, &statement, NULL);
        if (rc == SQLITE_OK && roles[i].denied) rc = sqlite3_step(statement);
        (void)sqlite3_finalize(statement);
        sandbox.role = DBK_SQL_ENGINE;
        const char *denied = roles[i].denied ? roles[i].denied : "";
        if ((rc == SQLITE_OK) == (roles[i].denied != NULL) || strcmp(sandbox.denied, denied) != 0)
            fail_msg("%s: %d '%s' %s", roles[i].sql, rc, sandbox.denied, sqlite3_errmsg(db));
    }
}

/* "text" is never a string, here and in what the schema holds. */
static void test_quotes(void **state)
{
    (void)state;
    assert_string_equal(value_of("SELECT \"none\""), "error: no such column: none");
    assert_string_equal(value_of("SELECT count(*) FROM t WHERE id = \"none\""), "error: no such column: none");
}

/* ---- functions in place of SQLite's */

static uint32_t drawn = 1;

static uint32_t draw(uint32_t below)
{
    drawn = drawn * 1664525 + 1013904223;
    return (drawn >> 8) % below;
}

/* Texts of few letters, so that one is often in the other; among the letters some of two bytes, halves of such, and
 * the end of texts. */
static void bind_drawn(sqlite3_stmt *statements[2], int at)
{
    static const char *const letters[] = {"a", "a", "b", "\xc3\xa4", "\xa4", "\xc3", " ", "\xf0\x9f\x8c\xb3", "", "1"};
    char text[64] = "";
    uint32_t kind = draw(12), count = draw(at == 1 ? 12 : 4);
    int size = 0;
    for (uint32_t i = 0; i < count; i++) {
        const char *letter = letters[draw(sizeof letters / sizeof *letters)];
        memcpy(text + size, letter, strlen(letter));
        size += (int)strlen(letter);
        if (draw(20) == 0) text[size++] = 0;
    }
    int64_t number = draw(200);
    for (int i = 0; i < 2; i++) {
        int rc = kind == 0   ? sqlite3_bind_null(statements[i], at)
                 : kind == 1 ? sqlite3_bind_int64(statements[i], at, number)
                 : kind == 2 ? sqlite3_bind_double(statements[i], at, (double)number / 8)
                 : kind < 5  ? sqlite3_bind_blob(statements[i], at, text, size, SQLITE_TRANSIENT)
                             : sqlite3_bind_text(statements[i], at, text, size, SQLITE_TRANSIENT);
        assert_int_equal(rc, SQLITE_OK);
    }
}

static void test_same_answers_as_sqlites_own(void **state)
{
    static const char *const questions[] = {
        "SELECT instr(?1, ?2)", "SELECT replace(?1, ?2, ?3)", "SELECT trim(?1, ?2)",
        "SELECT ltrim(?1, ?2)", "SELECT rtrim(?1, ?2)",       "SELECT trim(?1)",
        "SELECT ltrim(?1)",     "SELECT rtrim(?1)",
    };
    sqlite3 *own;
    (void)state;
    assert_int_equal(sqlite3_open(":memory:", &own), SQLITE_OK);
    for (size_t q = 0; q < sizeof questions / sizeof *questions; q++) {
        sqlite3_stmt *statements[2];
        assert_int_equal(sqlite3_prepare_v2(db, questions[q], -1, &statements[0], NULL), SQLITE_OK);
        assert_int_equal(sqlite3_prepare_v2(own, questions[q], -1, &statements[1], NULL), SQLITE_OK);
        for (int round = 0; round < 20000; round++) {
            for (int at = 1; at <= sqlite3_bind_parameter_count(statements[0]); at++) bind_drawn(statements, at);
            for (int i = 0; i < 2; i++) assert_int_equal(sqlite3_step(statements[i]), SQLITE_ROW);
            assert_int_equal(sqlite3_column_type(statements[0], 0), sqlite3_column_type(statements[1], 0));
            int size = sqlite3_column_bytes(statements[1], 0);
            assert_int_equal(sqlite3_column_bytes(statements[0], 0), size);
            if (size)
                assert_memory_equal(sqlite3_column_blob(statements[0], 0), sqlite3_column_blob(statements[1], 0),
                                    (size_t)size);
            for (int i = 0; i < 2; i++) assert_int_equal(sqlite3_reset(statements[i]), SQLITE_OK);
        }
        for (int i = 0; i < 2; i++) assert_int_equal(sqlite3_finalize(statements[i]), SQLITE_OK);
    }
    assert_int_equal(sqlite3_close(own), SQLITE_OK);
}

/* Each took SQLite's own a minute or more, in one step. */
static void test_long_texts_take_no_long_steps(void **state)
{
    static const struct {
        const char *sql, *value;
    } wanted[] = {
        {"SELECT instr(printf('%.1000000c', 'a'), printf('%.500000c', 'a') || 'b')", "0"},
        {"SELECT length(replace(printf('%.1000000c', 'a'), printf('%.500000c', 'a') || 'b', 'c'))", "1000000"},
        {"SELECT length(replace(printf('%.1000000c', 'a'), 'a', 'bc'))", "2000000"},
        {"SELECT trim('a', printf('%.257c', 'b'))", "error: string or blob too big"},
        {"SELECT trim('ab', printf('%.255c', 'b') || 'a')", ""},
        {"SELECT json_patch('{\"a\":1,\"b\":{\"c\":2}}', '{\"b\":{\"c\":null},\"d\":[1,2]}')",
         "{\"a\":1,\"b\":{},\"d\":[1,2]}"},
        {"SELECT json_array(json_patch('{}', '{\"a\":1}'))", "[{\"a\":1}]"},
        {"SELECT json_patch(NULL, '{}')", "NULL"},
        {"SELECT json_patch('{', '{}')", "error: malformed JSON"},
        {"WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < 50000), "
         "d(j) AS (SELECT json_group_object('k' || i, i) FROM c) SELECT json_patch(j, j) FROM d",
         "error: string or blob too big"},
        {"SELECT printf('%s %d', 'a', 3) || format('%.3c', 'b')", "a 3bbb"},
        {"SELECT printf('%.1000001c', 'b')", "error: string or blob too big"},
        {"SELECT printf()", "NULL"},
    };
    clock_t begin = clock();
    (void)state;
    for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++)
        if (strcmp(value_of(wanted[i].sql), wanted[i].value) != 0)
            fail_msg("%s: %s", wanted[i].sql, value_of(wanted[i].sql));
    assert_true((clock() - begin) / CLOCKS_PER_SEC < 10); /* of the processor */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_time, open_db, close_db),
        cmocka_unit_test_setup_teardown(test_time_moves, open_db, close_db),
        cmocka_unit_test_setup_teardown(test_roles, open_db, close_db),
        cmocka_unit_test_setup_teardown(test_quotes, open_db, close_db),
        cmocka_unit_test_setup_teardown(test_same_answers_as_sqlites_own, open_db, close_db),
        cmocka_unit_test_setup_teardown(test_long_texts_take_no_long_steps, open_db, close_db),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
