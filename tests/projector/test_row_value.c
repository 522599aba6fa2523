/* Keys and values: JSON in, SQLite, JSON out, by declared type. */
#include "tests/projector/row_fixture.h"

#include <stdio.h>

static dbk_json_parser *parser;
static dbk_buffer out, scratch;
static dbk_error err;
static sqlite3 *db;

static int set_up(void **state)
{
    (void)state;
    parser = dbk_json_parser_new(dbk_port_system());
    dbk_buffer_init(&out, dbk_port_system());
    dbk_buffer_init(&scratch, dbk_port_system());
    return parser && sqlite3_open(":memory:", &db) == SQLITE_OK ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    dbk_json_parser_free(parser);
    dbk_buffer_release(&out);
    dbk_buffer_release(&scratch);
    return sqlite3_close(db);
}

static const dbk_json_node *parse(const char *text)
{
    const dbk_json_node *root;
    if (dbk_json_parse(parser, dbk_slice_text(text), &root, &err) != DBK_OK) fail_msg("%s: %s", text, err.text);
    return root;
}

/* The value as SQLite holds it, and as it comes out for clients and in events; NULL: refused. */
typedef struct value_case {
    dbk_column_type type;
    const char *json, *held, *out, *stored;
} value_case;

static const value_case value_cases[] = {
    {DBK_TYPE_TEXT, "\"a\\u00e9\"", "'a\xc3\xa9'", "\"a\xc3\xa9\"", NULL},
    {DBK_TYPE_TEXT, "\"\"", "''", "\"\"", NULL},
    {DBK_TYPE_TEXT, "null", "NULL", "null", NULL},
    {DBK_TYPE_TEXT, "5", NULL, NULL, NULL},
    {DBK_TYPE_TEXT, "\"a\\u0000\"", NULL, NULL, NULL},
    {DBK_TYPE_TEXT, "true", NULL, NULL, NULL},
    {DBK_TYPE_INTEGER, "5.0", "5", "5", NULL},
    {DBK_TYPE_INTEGER, "-9223372036854775808", "-9223372036854775808", "-9223372036854775808", NULL},
    {DBK_TYPE_INTEGER, "9223372036854775808", NULL, NULL, NULL},
    {DBK_TYPE_INTEGER, "5.5", NULL, NULL, NULL},
    {DBK_TYPE_INTEGER, "\"5\"", NULL, NULL, NULL},
    {DBK_TYPE_INTEGER, "true", NULL, NULL, NULL},
    {DBK_TYPE_REAL, "2", "2.0", "2.0", NULL},
    {DBK_TYPE_REAL, "0.1", "0.1", "0.1", NULL},
    {DBK_TYPE_REAL, "\"2\"", NULL, NULL, NULL},
    {DBK_TYPE_BOOLEAN, "true", "1", "true", NULL},
    {DBK_TYPE_BOOLEAN, "0", "0", "false", NULL},
    {DBK_TYPE_BOOLEAN, "2", NULL, NULL, NULL},
    {DBK_TYPE_BOOLEAN, "\"true\"", NULL, NULL, NULL},
    {DBK_TYPE_ANY, "2.0", "2", "2", NULL},
    {DBK_TYPE_ANY, "1e-400", "0", "0", NULL},
    {DBK_TYPE_ANY, "1.00000000000000000001", "1", "1", NULL},
    {DBK_TYPE_ANY, "1e19", "1.0e+19", "1e+19", NULL},
    {DBK_TYPE_DATETIME, "\"2026-01-02T03:04:05+02:00\"", "'2026-01-02 01:04:05'", "\"2026-01-02T01:04:05.000Z\"",
     "\"2026-01-02 01:04:05\""},
    {DBK_TYPE_DATETIME, "\"2026-01-02 03:04:05.120\"", "'2026-01-02 03:04:05.12'", "\"2026-01-02T03:04:05.120Z\"",
     "\"2026-01-02 03:04:05.12\""},
    {DBK_TYPE_DATETIME, "\"2026-01-02\"", "'2026-01-02 00:00:00'", "\"2026-01-02T00:00:00.000Z\"",
     "\"2026-01-02 00:00:00\""},
    {DBK_TYPE_DATETIME, "\"2026-02-30\"", NULL, NULL, NULL},
    {DBK_TYPE_DATETIME, "\"2026-01-02T03:04:05\"", NULL, NULL, NULL},
    {DBK_TYPE_DATETIME, "\"2026-01-02t03:04\"", NULL, NULL, NULL},
    {DBK_TYPE_DATETIME, "\"2026-01-02T03:04:05.5-00:30\"", "'2026-01-02 03:34:05.5'", "\"2026-01-02T03:34:05.500Z\"",
     "\"2026-01-02 03:34:05.5\""},
    {DBK_TYPE_DATETIME, "1700000000", NULL, NULL, NULL},
    {DBK_TYPE_UUID, "\"0123ABCD-0000-4000-8000-0123456789AB\"", "'0123abcd-0000-4000-8000-0123456789ab'",
     "\"0123abcd-0000-4000-8000-0123456789ab\"", NULL},
    {DBK_TYPE_UUID, "\"0123\"", NULL, NULL, NULL},
    {DBK_TYPE_JSON, "{ \"b\" : 1.10, \"a\": [true, null] }", "'{\"b\":1.10,\"a\":[true,null]}'",
     "{\"b\":1.10,\"a\":[true,null]}", NULL},
    {DBK_TYPE_JSON, "\"{}\"", "'\"{}\"'", "\"{}\"", NULL},
    {DBK_TYPE_JSON, "12345678901234567890", "'12345678901234567890'", "12345678901234567890", NULL},
    {DBK_TYPE_JSON, "null", "NULL", "null", NULL},
    {DBK_TYPE_BLOB, "\"AAEC\"", "X'000102'", "\"AAEC\"", NULL},
    {DBK_TYPE_BLOB, "\"\"", "X''", "\"\"", NULL},
    {DBK_TYPE_BLOB, "\"A\"", NULL, NULL, NULL},
    {DBK_TYPE_BLOB, "5", NULL, NULL, NULL},
    {DBK_TYPE_ANY, "\"7\"", "'7'", "\"7\"", NULL},
    {DBK_TYPE_ANY, "7", "7", "7", NULL},
    {DBK_TYPE_ANY, "1.5", "1.5", "1.5", NULL},
    {DBK_TYPE_ANY, "{}", NULL, NULL, NULL},
};

static void values_go_in_and_out_by_type(void **state)
{
    sqlite3_stmt *statement;
    (void)state;
    assert_int_equal(sqlite3_prepare_v2(db, "SELECT quote(?1), ?1", -1, &statement, NULL), SQLITE_OK);
    for (size_t i = 0; i < sizeof value_cases / sizeof *value_cases; i++) {
        const value_case *c = &value_cases[i];
        dbk_column column = {.name = "c", .type = c->type};
        dbk_result result = dbk_value_bind(&column, "t", parse(c->json), statement, 1, &scratch, &err);
        assert_int_equal(result, c->held ? DBK_OK : DBK_SCHEMA);
        if (!c->held) continue;
        assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
        assert_string_equal((const char *)sqlite3_column_text(statement, 0), c->held);
        for (int stored = 0; stored < 2; stored++) {
            dbk_buffer_clear(&out);
            dbk_value_out(c->type, sqlite3_column_value(statement, 1), stored, &out);
            assert_string_equal(dbk_buffer_text(&out), stored && c->stored ? c->stored : c->out);
        }
        sqlite3_reset(statement);
    }
    sqlite3_finalize(statement);
}

/* What SQL can leave in a column, whatever its type says. */
static void answers_are_json_whatever_sql_left(void **state)
{
    static const struct {
        dbk_column_type type;
        const char *sql, *out;
    } cases[] = {
        {DBK_TYPE_JSON, "'{bad'", "\"{bad\""},
        {DBK_TYPE_JSON, "'[1,2] '", "[1,2] "},
        {DBK_TYPE_JSON, "1.5", "1.5"},
        {DBK_TYPE_JSON, "'[01]'", "\"[01]\""},
        {DBK_TYPE_JSON, "''", "\"\""},
        {DBK_TYPE_JSON, "'{\"a\":\"\\q\"}'", "\"{\\\"a\\\":\\\"\\\\q\\\"}\""},
        {DBK_TYPE_REAL, "9e999", "null"},
        {DBK_TYPE_REAL, "3", "3.0"},
        {DBK_TYPE_BOOLEAN, "7", "7"},
        {DBK_TYPE_DATETIME, "'soon'", "\"soon\""},
        {DBK_TYPE_TEXT, "x'00ff'", "\"AP8=\""},
        {DBK_TYPE_TEXT, "CAST(x'ff' AS TEXT)", "\"/w==\""},
        {DBK_TYPE_INTEGER, "'text'", "\"text\""},
    };
    char sql[80];
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        sqlite3_stmt *statement;
        snprintf(sql, sizeof sql, "SELECT %s", cases[i].sql);
        assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &statement, NULL), SQLITE_OK);
        assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
        dbk_buffer_clear(&out);
        dbk_value_out(cases[i].type, sqlite3_column_value(statement, 0), false, &out);
        assert_string_equal(dbk_buffer_text(&out), cases[i].out);
        sqlite3_finalize(statement);
    }
}

static dbk_column key_column;
static uint16_t first_column;
static const dbk_table key_table = {
    .name = "t", .columns = &key_column, .column_count = 1, .key_count = 1, .key_columns = &first_column};

static void keys_have_one_encoding(void **state)
{
    static const struct {
        dbk_column_type type;
        const char *json, *encoded, *back;
        dbk_result result;
    } cases[] = {
        {DBK_TYPE_TEXT, "\"a/b %\xc3\xbc\"", "a%2Fb%20%25%C3%BC", "\"a/b %\xc3\xbc\"", DBK_OK},
        {DBK_TYPE_TEXT, "\"\"", "", "\"\"", DBK_OK},
        {DBK_TYPE_TEXT, "7", NULL, NULL, DBK_SCHEMA},
        {DBK_TYPE_TEXT, "\"a\\u0000b\"", NULL, NULL, DBK_SCHEMA},
        {DBK_TYPE_TEXT, "null", NULL, NULL, DBK_CONSTRAINT},
        {DBK_TYPE_TEXT, "[\"a\"]", NULL, NULL, DBK_BAD_COMMAND},
        {DBK_TYPE_TEXT, "{}", NULL, NULL, DBK_BAD_COMMAND},
        {DBK_TYPE_INTEGER, "-7", "-7", "-7", DBK_OK},
        {DBK_TYPE_INTEGER, "7.0", "7", "7", DBK_OK},
        {DBK_TYPE_INTEGER, "7.5", NULL, NULL, DBK_SCHEMA},
        {DBK_TYPE_INTEGER, "\"7\"", NULL, NULL, DBK_SCHEMA},
        {DBK_TYPE_BOOLEAN, "true", "1", "true", DBK_OK},
        {DBK_TYPE_BOOLEAN, "2", NULL, NULL, DBK_SCHEMA},
        {DBK_TYPE_REAL, "2", "2.0", "2.0", DBK_OK},
        {DBK_TYPE_REAL, "-0", "0.0", "0.0", DBK_OK},
        {DBK_TYPE_UUID, "\"0123ABCD-0000-4000-8000-0123456789AB\"", "0123abcd-0000-4000-8000-0123456789ab",
         "\"0123abcd-0000-4000-8000-0123456789ab\"", DBK_OK},
        {DBK_TYPE_DATETIME, "\"2026-01-02T03:04:05Z\"", "2026-01-02%2003%3A04%3A05", "\"2026-01-02 03:04:05\"", DBK_OK},
        {DBK_TYPE_ANY, "7", "7", "7", DBK_OK},
        {DBK_TYPE_ANY, "\"7\"", NULL, NULL, DBK_SCHEMA},
        {DBK_TYPE_ANY, "\"07\"", "07", "\"07\"", DBK_OK},
        {DBK_TYPE_BLOB, "\"AP8=\"", "AP8%3D", "\"AP8=\"", DBK_OK},
    };
    sqlite3_stmt *statement;
    (void)state;
    assert_int_equal(sqlite3_prepare_v2(db, "SELECT ?1", -1, &statement, NULL), SQLITE_OK);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        key_column = (dbk_column){.name = "k", .type = cases[i].type, .key_part = 1};
        dbk_result result = dbk_key_from_json(&key_table, parse(cases[i].json), &scratch, &err);
        if (result != cases[i].result) fail_msg("%s: %s: %s", cases[i].json, dbk_result_name(result), err.text);
        if (result != DBK_OK) continue;
        assert_string_equal(dbk_buffer_text(&scratch), cases[i].encoded);
        dbk_buffer_clear(&out);
        dbk_key_to_json(&key_table, dbk_slice_text(cases[i].encoded), &out);
        assert_string_equal(dbk_buffer_text(&out), cases[i].back);
        assert_true(dbk_key_bind(&key_table, dbk_slice_text(cases[i].encoded), statement, 1, &scratch));
        assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
        dbk_buffer_clear(&out); /* and the row's own key is the same */
        assert_true(dbk_key_from_row(&key_table, dbk_statement_column, statement, &out));
        assert_string_equal(dbk_buffer_text(&out), cases[i].encoded);
        sqlite3_reset(statement);
    }
    sqlite3_finalize(statement);
}

static void streams_that_are_no_keys_are_refused(void **state)
{
    static const char *const bad[] = {"", "x", "07", "-0", "1/2", "1/", "%", "99999999999999999999"};
    sqlite3_stmt *statement;
    (void)state;
    key_column = (dbk_column){.name = "k", .type = DBK_TYPE_INTEGER, .key_part = 1};
    assert_int_equal(sqlite3_prepare_v2(db, "SELECT ?1", -1, &statement, NULL), SQLITE_OK);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_false(dbk_key_bind(&key_table, dbk_slice_text(bad[i]), statement, 1, &scratch));
    }
    sqlite3_finalize(statement);
}

static void long_keys_are_too_big(void **state)
{
    char text[DBK_KEY_MAX_BYTES + 4];
    (void)state;
    key_column = (dbk_column){.name = "k", .type = DBK_TYPE_TEXT, .key_part = 1};
    memset(text, 'a', sizeof text);
    text[0] = text[DBK_KEY_MAX_BYTES + 1] = '"';
    text[DBK_KEY_MAX_BYTES + 2] = '\0';
    assert_int_equal(dbk_key_from_json(&key_table, parse(text), &scratch, &err), DBK_OK);
    text[DBK_KEY_MAX_BYTES + 1] = 'a';
    text[DBK_KEY_MAX_BYTES + 2] = '"';
    text[DBK_KEY_MAX_BYTES + 3] = '\0';
    assert_int_equal(dbk_key_from_json(&key_table, parse(text), &scratch, &err), DBK_TOO_BIG);
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(values_go_in_and_out_by_type), T(answers_are_json_whatever_sql_left),
        T(keys_have_one_encoding),       T(streams_that_are_no_keys_are_refused),
        T(long_keys_are_too_big),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
