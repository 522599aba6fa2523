/* Our snippet and highlight beside SQLite's own, on drawn documents and questions; and what they and MATCH are for. */
#include "tests/base/fixture.h"

#include <sqlite3.h>

#include "projector/definition.h"
#include "projector/model/memory.h"

enum { DOCUMENTS = 40, ROUNDS = 60, QUESTIONS = 60, HITS = 200000 };

/* The last is not compared: see put_up_to. */
static const char *const tokenizers[] = {"unicode61", "ascii", "porter unicode61", "trigram"};
static uint64_t seed;
static dbk_sandbox sandbox;

static uint64_t draw(uint64_t below)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return seed % below;
}

static sqlite3 *open_db(bool own, const char *tokenizer)
{
    sqlite3 *db;
    char sql[200];

    assert_int_equal(sqlite3_open(":memory:", &db), SQLITE_OK);
    sandbox = (dbk_sandbox){.role = DBK_SQL_ENGINE};
    if (own) assert_int_equal(dbk_sandbox_install(db, &sandbox, NULL), DBK_OK);
    (void)snprintf(sql, sizeof sql, "CREATE VIRTUAL TABLE f USING fts5(a, b, k UNINDEXED, tokenize = '%s')", tokenizer);
    assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
    return db;
}

/* Few words, so that phrases meet; ends of sentences, wide white space, letters of several bytes. */
static void draw_text(char *text, size_t size)
{
    static const char *const parts[] = {"a",   "b",   "abc", "bcd", " ",  " ", " ", ". ",  ".\n",  ": ",
                                        "Été", "   ", "\t",  "c",   "de", ".", "-", "abc", "\r\n", "running"};
    size_t at = 0, count = draw(draw(8) ? 60 : 600);

    for (size_t i = 0; i < count && at + 12 < size; i++)
        at += (size_t)snprintf(text + at, size - at, "%s%s", parts[draw(sizeof parts / sizeof *parts)],
                               draw(3) ? " " : "");
    text[at] = 0;
}

static void draw_term(char *text, size_t size)
{
    static const char *const terms[] = {"a",   "b",         "abc",       "\"a b\"",      "\"abc bcd\"", "ab*",
                                        "^a",  "été",       "c + de",    "run",          "\"a b a\"",   "b : a",
                                        "bcd", "{a b} : c", "- a : abc", "NEAR(a b, 3)", "\"\"",        "abcd*"};
    (void)snprintf(text, size, "%s", terms[draw(sizeof terms / sizeof *terms)]);
}

static void draw_match(char *text, size_t size)
{
    static const char *const between[] = {" OR ", " OR ", " AND ", " NOT ", " "};
    char term[40];
    size_t count = 1 + draw(4);

    text[0] = 0;
    for (size_t i = 0; i < count; i++) {
        draw_term(term, sizeof term);
        if (i) strncat(text, between[draw(5)], size - strlen(text) - 1);
        strncat(text, term, size - strlen(text) - 1);
    }
}

/* All rows, or the failure. */
static char *rows_of(sqlite3 *db, const char *sql, const char *match)
{
    sqlite3_stmt *statement = NULL;
    sqlite3_str *out = sqlite3_str_new(NULL);
    int rc = sqlite3_prepare_v2(db, sql, -1, &statement, NULL);

    if (rc == SQLITE_OK) rc = sqlite3_bind_text(statement, 1, match, -1, SQLITE_STATIC);
    while (rc == SQLITE_OK && (rc = sqlite3_step(statement)) == SQLITE_ROW) {
        const char *value = (const char *)sqlite3_column_text(statement, 0);
        sqlite3_str_appendf(out, "%d %s|", sqlite3_column_bytes(statement, 0), value ? value : "NULL");
        rc = SQLITE_OK;
    }
    sqlite3_str_appendf(out, "%d %s", rc, rc == SQLITE_DONE ? "" : sqlite3_errmsg(db));
    sqlite3_finalize(statement);
    return sqlite3_str_finish(out);
}

static void draw_question(char *sql, size_t size)
{
    static const char *const marks[] = {"'['", "''", "NULL", "'<b>'"};
    int column = (int)draw(5) - 1, tokens = draw(5) ? (int)draw(12) : (int)draw(90) - 5;

    if (draw(3) == 0)
        (void)snprintf(sql, size, "SELECT highlight(f, %d, %s, %s) FROM f WHERE f MATCH ?1", column, marks[draw(4)],
                       marks[draw(4)]);
    else
        (void)snprintf(sql, size, "SELECT snippet(f, %d, %s, %s, %s, %d) FROM f WHERE f MATCH ?1", column,
                       marks[draw(4)], marks[draw(4)], draw(4) ? "'...'" : "NULL", tokens);
}

static void fill(sqlite3 *own, sqlite3 *usual)
{
    char a[4096], b[4096];
    sqlite3 *const both[] = {own, usual};

    for (int i = 0; i < DOCUMENTS; i++) {
        draw_text(a, sizeof a);
        draw_text(b, sizeof b);
        bool empty = draw(10) == 0;
        for (size_t d = 0; d < 2; d++) {
            sqlite3_stmt *insert;
            assert_int_equal(sqlite3_prepare_v2(both[d], "INSERT INTO f VALUES(?1, ?2, 'k')", -1, &insert, NULL),
                             SQLITE_OK);
            (void)sqlite3_bind_text(insert, 1, a, -1, SQLITE_STATIC);
            if (!empty) (void)sqlite3_bind_text(insert, 2, b, -1, SQLITE_STATIC);
            assert_int_equal(sqlite3_step(insert), SQLITE_DONE);
            (void)sqlite3_finalize(insert);
        }
    }
}

/* Of later releases the corners differ, which is no fault of either. */
static void test_answers_are_those_of_sqlite(void **state)
{
    (void)state;
    size_t found = 0;
    if (sqlite3_libversion_number() != 3040001) skip();
    seed = 88172645463325252u;
    for (size_t round = 0; round < ROUNDS; round++) {
        sqlite3 *own = open_db(true, tokenizers[round % 3]), *usual = open_db(false, tokenizers[round % 3]);
        fill(own, usual);
        for (int i = 0; i < QUESTIONS; i++) {
            char sql[200], match[300];
            draw_question(sql, sizeof sql);
            draw_match(match, sizeof match);
            char *ours = rows_of(own, sql, match), *theirs = rows_of(usual, sql, match);
            if (strcmp(ours, theirs) != 0)
                print_error("%s\n%s\n%s\nours   %s\ntheirs %s\n", tokenizers[round % 3], sql, match, ours, theirs);
            assert_string_equal(ours, theirs);
            found += strchr(ours, '|') != NULL;
            sqlite3_free(ours);
            sqlite3_free(theirs);
        }
        assert_int_equal(sqlite3_close(own), SQLITE_OK);
        assert_int_equal(sqlite3_close(usual), SQLITE_OK);
    }
    assert_true(found > (size_t)ROUNDS * QUESTIONS / 3);
}

/* With SQLite's own each of these takes minutes. */
static void test_a_document_of_many_hits(void **state)
{
    (void)state;
    sqlite3 *db = open_db(true, "unicode61");
    char *text = malloc(6 * HITS + 1);
    sqlite3_stmt *insert;

    assert_non_null(text);
    for (size_t i = 0; i < HITS; i++) memcpy(text + 6 * i, i % 7 ? "a x b " : "a. b: ", 6);
    assert_int_equal(sqlite3_prepare_v2(db, "INSERT INTO f(a) VALUES(?1)", -1, &insert, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_bind_text(insert, 1, text, 6 * HITS, SQLITE_STATIC), SQLITE_OK);
    assert_int_equal(sqlite3_step(insert), SQLITE_DONE);
    (void)sqlite3_finalize(insert);
    char *rows = rows_of(db, "SELECT snippet(f, 0, '[', ']', '..', 5) FROM f WHERE f MATCH ?1", "a OR b");
    assert_string_equal(rows, "19 ..[a] x [b] [a] x..|101 ");
    sqlite3_free(rows);
    rows = rows_of(db, "SELECT length(snippet(f, 0, '[', ']', '..', 1000000)) FROM f WHERE f MATCH ?1", "a OR b");
    assert_string_equal(rows, "7 2000000|101 ");
    sqlite3_free(rows);
    rows = rows_of(db, "SELECT length(highlight(f, 0, '[', ']')) FROM f WHERE f MATCH ?1", "a OR b");
    assert_string_equal(rows, "7 2000000|101 ");
    sqlite3_free(rows);
    free(text);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

static void assert_match(sqlite3 *db, const char *match, const char *rows, bool bounded)
{
    dbk_memory_bound bound;

    if (bounded) dbk_memory_begin(&bound, NULL, INT64_MAX);
    char *got = rows_of(db, "SELECT count(*) FROM f WHERE f MATCH ?1", match);
    if (bounded) (void)dbk_memory_end(&bound);
    assert_string_equal(got, rows);
    sqlite3_free(got);
}

/* `times` of `word` behind one another. */
static char *many(const char *before, const char *word, size_t times, const char *behind)
{
    sqlite3_str *text = sqlite3_str_new(NULL);

    sqlite3_str_appendall(text, before);
    for (size_t i = 0; i < times; i++) sqlite3_str_appendall(text, word);
    sqlite3_str_appendall(text, behind);
    return sqlite3_str_finish(text);
}

static void test_words_of_match_are_bounded(void **state)
{
    (void)state;
    for (size_t t = 0; t < 4; t++) {
        sqlite3 *db = open_db(true, tokenizers[t]);
        assert_int_equal(sqlite3_exec(db, "INSERT INTO f(a) VALUES('alpha beta')", NULL, NULL, NULL), SQLITE_OK);
        char *long_word = many(" OR w", "0123456789abcdef", DBK_SQL_WORDS / 256, "");
        char *few = many("alpha", long_word, 200, "");
        char *more = many("alpha", long_word, 300, "");
        char *quoted = many("alpha OR \"", "none ", DBK_SQL_WORDS * 4, "\"");
        assert_match(db, few, "1 1|101 ", true);
        assert_match(db, more, "18 string or blob too big", true);
        assert_match(db, quoted, "18 string or blob too big", true);
        assert_match(db, few, "1 1|101 ", true); /* each bound counts its own */
        assert_match(db, more, "1 1|101 ", false);
        sqlite3_free(long_word);
        sqlite3_free(few);
        sqlite3_free(more);
        sqlite3_free(quoted);
        assert_int_equal(sqlite3_close(db), SQLITE_OK);
    }
}

static void test_trigrams_that_overlap(void **state)
{
    (void)state;
    sqlite3 *db = open_db(true, "trigram");
    assert_int_equal(sqlite3_exec(db, "INSERT INTO f(a) VALUES('abcdef and more')", NULL, NULL, NULL), SQLITE_OK);
    char *rows = rows_of(db, "SELECT highlight(f, 0, '[', ']') FROM f WHERE f MATCH ?1", "abc OR bcd OR def");
    assert_string_equal(rows, "21 [abc][d][ef] and more|101 ");
    sqlite3_free(rows);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

/* FTS5 answers LIKE by the trigrams only where it knows their tokenizer. */
static void test_trigram_still_answers_like(void **state)
{
    (void)state;
    sqlite3 *db = open_db(true, "trigram");
    sqlite3_stmt *plan;
    assert_int_equal(
        sqlite3_prepare_v2(db, "EXPLAIN QUERY PLAN SELECT a FROM f WHERE a LIKE '%alpha%'", -1, &plan, NULL),
        SQLITE_OK);
    assert_int_equal(sqlite3_step(plan), SQLITE_ROW);
    assert_non_null(strstr((const char *)sqlite3_column_text(plan, 3), "INDEX 0:L0"));
    (void)sqlite3_finalize(plan);
    assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_answers_are_those_of_sqlite), cmocka_unit_test(test_a_document_of_many_hits),
        cmocka_unit_test(test_words_of_match_are_bounded),  cmocka_unit_test(test_trigrams_that_overlap),
        cmocka_unit_test(test_trigram_still_answers_like),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
