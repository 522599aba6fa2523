/* Tokens end where SQLite ends them, statements at their ';', directives only in column 1 between
 * statements. */
#include "tests/base/fixture.h"

#include "projector/definition/internal.h"

typedef struct scanned {
    dbk_check check;
    dbk_source source;
    dbk_script script;
} scanned;

static void scan_text(scanned *s, const char *text)
{
    static const char *const words[] = {"on", NULL};

    *s = (scanned){.check = {.port = dbk_port_system(),
                             .arena = dbk_arena_new(dbk_port_system(), 4096),
                             .report = dbk_report_new(dbk_port_system())},
                   .source = {"projections.sql", dbk_slice_text(text)}};
    assert_non_null(s->check.arena);
    assert_non_null(s->check.report);
    dbk_scan(&s->check, &s->source, words, &s->script);
    assert_false(s->check.failed);
}

static void release(scanned *s)
{
    dbk_arena_free(s->check.arena);
    dbk_arena_free(s->check.report->arena);
}

/* "on:a|b;on:c" = two blocks with their statements. */
static void shape(const scanned *s, char *out, size_t size)
{
    size_t at = 0;

    out[0] = '\0';
    for (const dbk_block *block = s->script.first; block; block = block->next) {
        at += (size_t)snprintf(out + at, size - at, "%s%s:", block == s->script.first ? "" : ";",
                               block->word ? block->word : "");
        for (const dbk_sql *sql = block->first; sql; sql = sql->next)
            at += (size_t)snprintf(out + at, size - at, "%s%s", sql == block->first ? "" : "|", sql->text);
        assert_true(at < size);
    }
}

static void test_blocks(void **state)
{
    static const struct {
        const char *text, *shape;
        size_t errors;
    } wanted[] = {
        {"", "", 0},
        {"-- on a\nx;y;", "on:x|y", 0},
        {"-- on a\nx\n", "on:x", 0},
        {"-- on a\r\nx;\r\n-- on b\r\ny", "on:x;on:y", 0},
        {"\xef\xbb\xbf-- on a\nx;", "on:x", 0},
        {"-- on a\n;;x;;", "on:x", 0},
        {" -- on a\n", "", 0},
        {"--- on a\n", "", 0},
        {"-- online\n", "", 0},
        {"-- On a\n", "", 0},
        {"-- on a\nx -- on b\n;-- on c\ny;", "on:x|y", 0},
        {"-- on a\nx\n-- on b\ny;", "on:x\n-- on b\ny", 0},
        {"-- on a\n'\n-- on b\n';", "on:'\n-- on b\n'", 0},
        {"-- on a\n/*\n-- on b\n*/x;", "on:x", 0},
        {"-- on a\n'a;''b' \"c;\"\"d\" [e;f] `g;` x';';h", "on:'a;''b' \"c;\"\"d\" [e;f] `g;` x';'|h", 0},
        {"-- on a\ncreate trigger t begin a;b;end;c;", "on:create trigger t begin a;b;end|c", 0},
        {"-- on a\nCREATE TEMP TRIGGER t begin a; END;c", "on:CREATE TEMP TRIGGER t begin a; END|c", 0},
        {"-- on a\ncreate table trigger(a;b)", "on:create table trigger(a|b)", 0},
        {"x;\n-- on a\ny;", ":;on:y", 1},
        {"-- on a\n'x;", "on:'x;", 1},
        {"-- may change nothing\n-- on a\nx;", "on:x", 1},
        {"-- on a\n-- may change nothing \r\nx;", "on:x", 0},
        {"-- on a\n-- may change all\nx;", "on:x", 1},
    };
    char got[512];

    (void)state;
    for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++) {
        scanned s;
        scan_text(&s, wanted[i].text);
        shape(&s, got, sizeof(got));
        if (strcmp(got, wanted[i].shape) != 0) fail_msg("'%s' gives '%s'", wanted[i].text, got);
        if (s.check.report->errors != wanted[i].errors)
            fail_msg("'%s': %zu errors", wanted[i].text, s.check.report->errors);
        release(&s);
    }
}

/* The mark belongs to the next statement alone. */
static void test_mark(void **state)
{
    scanned s;

    (void)state;
    scan_text(&s, "-- on a\nx;\n-- may change nothing\n\n-- said why\ny;\nz;");
    const dbk_sql *sql = s.script.first->first;
    assert_false(sql->may_change_nothing);
    assert_true(sql->next->may_change_nothing);
    assert_false(sql->next->next->may_change_nothing);
    assert_int_equal(sql->line, 2);
    assert_int_equal(sql->next->line, 6);
    assert_int_equal(sql->next->next->line, 7);
    release(&s);
}

static void test_swallowed(void **state)
{
    scanned s;

    (void)state;
    scan_text(&s, "-- on a\nx\n-- on b\ny;z;");
    assert_int_equal(s.script.first->first->swallowed, 10);
    assert_int_equal(s.script.first->first->next->swallowed, 0);
    release(&s);
}

static void test_tokens(void **state)
{
    static const struct {
        const char *text;
        dbk_token_kind kind;
        size_t size;
    } wanted[] = {
        {"select x", DBK_TOKEN_WORD, 6},  {"a$1 ", DBK_TOKEN_WORD, 3},           {"\xc3\xa9t ", DBK_TOKEN_WORD, 3},
        {"'a''b'c", DBK_TOKEN_STRING, 6}, {"x'00' ", DBK_TOKEN_STRING, 5},       {"\"a\"\"b\" ", DBK_TOKEN_QUOTED, 6},
        {"[a]]", DBK_TOKEN_QUOTED, 3},    {"`a`", DBK_TOKEN_QUOTED, 3},          {"12.5e+3,", DBK_TOKEN_NUMBER, 7},
        {".5 ", DBK_TOKEN_NUMBER, 2},     {"0x1F)", DBK_TOKEN_NUMBER, 4},        {"1-2", DBK_TOKEN_NUMBER, 1},
        {":a b", DBK_TOKEN_PARAMETER, 2}, {"$a::b::c)", DBK_TOKEN_PARAMETER, 8}, {"$a:b", DBK_TOKEN_PARAMETER, 2},
        {"?12 ", DBK_TOKEN_PARAMETER, 3}, {"?", DBK_TOKEN_PARAMETER, 1},         {":", DBK_TOKEN_PUNCTUATION, 1},
        {"'open", DBK_TOKEN_BROKEN, 5},   {"'x''", DBK_TOKEN_BROKEN, 4},         {"(", DBK_TOKEN_PUNCTUATION, 1},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++) {
        dbk_token token = dbk_token_read(dbk_slice_text(wanted[i].text), 0);
        if (token.kind != wanted[i].kind || token.end != wanted[i].size)
            fail_msg("'%s': kind %d, %u bytes", wanted[i].text, (int)token.kind, token.end);
    }
    assert_int_equal(dbk_token_blank(dbk_slice_text("-- a\nb"), 0), 4);
    assert_int_equal(dbk_token_blank(dbk_slice_text("/**/b"), 0), 4);
    assert_int_equal(dbk_token_blank(dbk_slice_text("/*/b*/c"), 0), 6);
    assert_int_equal(dbk_token_blank(dbk_slice_text("/* a"), 0), 4);
    assert_int_equal(dbk_token_blank(dbk_slice_text(" \t\r\nb"), 0), 4);
    assert_int_equal(dbk_token_blank(dbk_slice_text("-b"), 0), 0);
}

/* SQLite's own idea of a complete statement agrees at every border. */
static void test_complete(void **state)
{
    static const char *const text =
        "-- on a\nselect ';' /* ; */ -- ;\n, \"a;b\";\ncreate trigger t after insert on x begin "
        "select 1; select 2; end;\nupdate t set a = 'it''s;';";
    scanned s;
    unsigned count = 0;

    (void)state;
    scan_text(&s, text);
    for (const dbk_sql *sql = s.script.first->first; sql; sql = sql->next, count++) {
        char with_end[300];
        (void)snprintf(with_end, sizeof(with_end), "%s;", sql->text);
        assert_true(sqlite3_complete(with_end));
    }
    assert_int_equal(count, 3);
    release(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_blocks), cmocka_unit_test(test_mark),     cmocka_unit_test(test_swallowed),
        cmocka_unit_test(test_tokens), cmocka_unit_test(test_complete),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
