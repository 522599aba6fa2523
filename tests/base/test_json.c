/* JSON in. The documents with their verdicts are in json_cases.h. */
#include "json_fixture.h"

#include "base/json_internal.h"
#include "json_cases.h"

/* Each document alone, with one parser for all; the text stands at the very end of its memory, so
 * that a read beyond it is seen. */
static void every_case_has_its_verdict(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof json_cases / sizeof *json_cases; i++) {
        const json_case *c = &json_cases[i];
        const dbk_json_node *root;
        uint8_t *copy = malloc(c->size + (c->size == 0));
        assert_non_null(copy);
        memcpy(copy, c->text, c->size);
        dbk_result result = dbk_json_parse(parser, dbk_slice_of(copy, c->size), &root, &err);
        free(copy);
        if (result != c->expected) fail_msg("case %zu '%s' gave %d", i, c->text, result);
        if (result != DBK_OK && strncmp(err.text, "byte ", 5) != 0) fail_msg("%s", err.text);
    }
}

/* The same documents, the good ones inside an array, the bad ones in white space, at every position
 * within the 64 bytes that the first stage takes at once. */
static void every_case_keeps_its_verdict_at_every_offset(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof json_cases / sizeof *json_cases; i++) {
        const json_case *c = &json_cases[i];
        const dbk_json_node *root;
        for (unsigned pad = 0; pad < 67; pad++) {
            dbk_buffer_clear(&out);
            for (unsigned k = 0; k < pad; k++) dbk_buffer_put_u8(&out, ' ');
            dbk_buffer_put_u8(&out, c->expected == DBK_OK ? '[' : ' ');
            dbk_buffer_put(&out, c->text, c->size);
            dbk_buffer_put_u8(&out, c->expected == DBK_OK ? ']' : ' ');
            dbk_result result = dbk_json_parse(parser, dbk_buffer_slice(&out), &root, NULL);
            if (result != c->expected) fail_msg("case %zu '%s' at %u gave %d", i, c->text, pad, result);
        }
    }
}

/* A good document cut off at any byte is refused, and so is one with any byte behind it. */
static void every_prefix_is_refused(void **state)
{
    (void)state;
    const dbk_json_node *root;
    const char *text = "{\"a\":[1,-2.5e-3,\"x\\u00e9\\ud83d\\ude00\\n\",true,false,null],\"\\u0062\":{\"c\":{}}}";
    (void)parse(text);
    for (size_t size = 0; size < strlen(text); size++)
        assert_int_equal(dbk_json_parse(parser, dbk_slice_of(text, size), &root, NULL), DBK_BAD_JSON);
    for (unsigned byte = 0; byte < 256; byte++) {
        bool space = byte == ' ' || byte == '\t' || byte == '\n' || byte == '\r';
        dbk_buffer_clear(&out);
        dbk_buffer_put_text(&out, text);
        dbk_buffer_put_u8(&out, (uint8_t)byte);
        assert_int_equal(dbk_json_parse(parser, dbk_buffer_slice(&out), &root, NULL), space ? DBK_OK : DBK_BAD_JSON);
    }
}

static void errors_name_the_byte_and_what_was_found(void **state)
{
    (void)state;
    assert_refused("", DBK_BAD_JSON, "byte 0: expected a value, found the end of the input");
    assert_refused("  ", DBK_BAD_JSON, "byte 2: expected a value, found the end of the input");
    assert_refused("[1,]", DBK_BAD_JSON, "byte 3: expected a value, found ']'");
    assert_refused("[1 2]", DBK_BAD_JSON, "byte 3: expected ',' or ']', found '2'");
    assert_refused("{\"a\":1", DBK_BAD_JSON, "byte 6: expected ',' or '}', found the end of the input");
    assert_refused("{\"a\" 1}", DBK_BAD_JSON, "byte 5: expected ':', found '1'");
    assert_refused("{a:1}", DBK_BAD_JSON, "byte 1: expected a member name in double quotes, found 'a'");
    assert_refused("{} x", DBK_BAD_JSON, "byte 3: expected the end of the input, found 'x'");
    assert_refused("nul", DBK_BAD_JSON, "byte 3: expected null, found the end of the input");
    assert_refused("trues", DBK_BAD_JSON, "byte 4: expected the end of the word, found 's'");
    assert_refused("-", DBK_BAD_JSON, "byte 1: expected a digit, found the end of the input");
    assert_refused("[1.]", DBK_BAD_JSON, "byte 3: expected a digit, found ']'");
    assert_refused("01", DBK_BAD_JSON, "byte 1: expected the end of the number, found '1'");
    assert_refused("[1e400]", DBK_BAD_JSON, "byte 1: this number is beyond the range of a double");
    assert_refused("\v1", DBK_BAD_JSON, "byte 0: expected a value, found byte 0x0b");
    assert_refused("\xef\xbb\xbf{}", DBK_BAD_JSON, "byte 0: expected a value, found a byte order mark");
    assert_refused("[\"a\tb\"]", DBK_BAD_JSON, "byte 3: control character 0x09 in a string");
    assert_refused("[\"a", DBK_BAD_JSON, "byte 1: this string does not end");
    assert_refused("[\"\\\\\",\"\\\"]", DBK_BAD_JSON, "byte 6: this string does not end");
    assert_refused("[\"ab\xff\"]", DBK_BAD_JSON, "byte 4: not valid UTF-8");
    assert_refused("\"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\xff\"", DBK_BAD_JSON, "byte 10: not valid UTF-8");
    assert_refused("\"a\\x\"", DBK_BAD_JSON,
                   "byte 2: no such escape, expected one of \"\\/bfnrtu behind the backslash");
    assert_refused("\"\\u12g4\"", DBK_BAD_JSON, "byte 1: \\u without four hexadecimal digits");
    assert_refused("\"ab\\ud800\"", DBK_BAD_JSON, "byte 3: half of a surrogate pair");
    assert_refused("{\"a\":1, \"a\":2}", DBK_BAD_JSON, "byte 8: the member name 'a' stands twice");
}

/* simdjson says only that the text is not UTF-8; where is found again, for each kind of fault. */
static void bad_utf8_is_found_again(void **state)
{
    (void)state;
    static const char *const faults[] = {"\x80",
                                         "\xc1\xbf",
                                         "\xe0\x9f\xbf",
                                         "\xed\xa0\x80",
                                         "\xf0\x8f\xbf\xbf",
                                         "\xf4\x90\x80\x80",
                                         "\xf5\x80\x80\x80",
                                         "\xe2\x82",
                                         "\xf0\x9f\x98",
                                         "\xc3"};
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) {
        char text[32];
        snprintf(text, sizeof text, "[\"\xe2\x82\xac%s\"]", faults[i]);
        assert_refused(text, DBK_BAD_JSON, "byte 5: not valid UTF-8");
    }
}

/* A tree of all kinds: spans lead to the siblings, texts are as sent or unescaped. */
static void nodes_hold_the_tree(void **state)
{
    (void)state;
    const dbk_json_node *root = parse(" {\"a\" : [1.10, \"x\\ny\", []], \"\\u0062\":{\"c\":null},\"d\":true} ");
    assert_int_equal(root->kind, DBK_JSON_OBJECT);
    assert_int_equal(root->span, 8);
    assert_int_equal(root->count, 3);
    assert_int_equal(root->offset, 1);
    const dbk_json_node *a = root + 1, *b = dbk_json_next(a), *d = dbk_json_next(b);
    assert_ptr_equal(dbk_json_child(root), a);
    assert_slice(a->name, "a");
    assert_slice(a->text, "[1.10, \"x\\ny\", []]");
    assert_int_equal(a->span, 4);
    assert_int_equal(a->offset, 8);
    assert_slice(a[1].text, "1.10");
    assert_int_equal(a[1].name.size, 0);
    assert_slice(a[2].text, "x\ny");
    assert_true(a[2].escaped);
    assert_slice(a[3].text, "[]");
    assert_null(dbk_json_child(&a[3]));
    assert_slice(b->name, "b");
    assert_slice(b->text, "{\"c\":null}");
    assert_int_equal(b[1].kind, DBK_JSON_NULL);
    assert_int_equal(d->kind, DBK_JSON_TRUE);
    assert_ptr_equal(dbk_json_next(d), root + root->span);
    assert_ptr_equal(dbk_json_member(root, "b"), b);
    assert_null(dbk_json_member(root, "e"));
    assert_null(dbk_json_member(a, "a"));
    assert_true(dbk_json_text_is(&a[2], "x\ny"));
    assert_false(dbk_json_text_is(&a[2], "x"));
    assert_false(dbk_json_text_is(d, "true"));
}

static void escapes_mean_what_they_should(void **state)
{
    (void)state;
    const dbk_json_node *n = parse("\"\\\"\\\\\\/\\b\\f\\n\\r\\t \\u0041\\u00e9\\u20AC\\ud83d\\ude00\\u007f\"");
    assert_slice(n->text, "\"\\/\b\f\n\r\t A\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\x7f");
    n = parse("[\"\\u07ff\\u0800\\uffff\\ud800\\udc00\\udbff\\udfff\",\"plain\",\"\\u0080\"]");
    assert_slice(n[1].text, "\xdf\xbf\xe0\xa0\x80\xef\xbf\xbf\xf0\x90\x80\x80\xf4\x8f\xbf\xbf");
    assert_slice(n[2].text, "plain");
    assert_false(n[2].escaped);
    assert_slice(n[3].text, "\xc2\x80");
    n = parse("\"a\\u0000b\"");
    assert_int_equal(n->text.size, 3);
    assert_memory_equal(n->text.data, "a\0b", 3);
}

/* Escapes and ends at every distance from the begin, so that every lane of the scan is met. */
static void strings_end_where_they_should_at_every_length(void **state)
{
    (void)state;
    for (unsigned size = 0; size < 80; size++) {
        char text[200], expected[200];
        memset(expected, 'x', size);
        snprintf(text, sizeof text, "[\"%.*s\\n\",\"%.*s\",1]", (int)size, expected, (int)size, expected);
        const dbk_json_node *root = parse(text);
        assert_int_equal(root->count, 3);
        assert_int_equal(root[1].text.size, size + 1);
        assert_int_equal(root[1].text.data[size], '\n');
        assert_int_equal(root[2].text.size, size);
        assert_memory_equal(root[2].text.data, expected, size);
    }
}

static void input_is_copied(void **state)
{
    (void)state;
    char text[] = "[\"abc\",12]";
    const dbk_json_node *root = parse(text);
    memset(text, 'z', sizeof text - 1);
    assert_slice(root[1].text, "abc");
    assert_slice(root->text, "[\"abc\",12]");
}

static void check_integer(const char *text, bool expected, int64_t value)
{
    int64_t got = 77;
    if (dbk_json_is_integer(parse(text), &got) != expected) fail_msg("%s", text);
    assert_int_equal(got, expected ? value : 77);
}

static void integers_are_known_by_value(void **state)
{
    (void)state;
    check_integer("5", true, 5);
    check_integer("-0", true, 0);
    check_integer("5.0", true, 5);
    check_integer("5e2", true, 500);
    check_integer("1.5e1", true, 15);
    check_integer("100e-2", true, 1);
    check_integer("-1.20E+1", true, -12);
    check_integer("0e999999999999999999999999", true, 0);
    check_integer("0.0e-5", true, 0);
    check_integer("1e18", true, INT64_C(1000000000000000000));
    check_integer("9223372036854775807", true, INT64_MAX);
    check_integer("9223372036854775807.000", true, INT64_MAX);
    check_integer("922337203685477580700e-2", true, INT64_MAX);
    check_integer("-9223372036854775808", true, INT64_MIN);
    check_integer("9223372036854775808", false, 0);
    check_integer("-9223372036854775809", false, 0);
    check_integer("18446744073709551616", false, 0);
    check_integer("99999999999999999999", false, 0);
    check_integer("100000000000000000000", false, 0);
    check_integer("2e18", true, INT64_C(2000000000000000000));
    check_integer("10e18", false, 0);
    check_integer("99e18", false, 0);
    check_integer("1e19", false, 0);
    check_integer("1e300", false, 0);
    check_integer("0.5", false, 0);
    check_integer("5e-1", false, 0);
    check_integer("1.00000000000000000000000000001", false, 0);
    check_integer("1e-99999999999999999999", false, 0);
    check_integer("\"5\"", false, 0);
    check_integer("true", false, 0);
}

static void doubles_are_exactly_rounded(void **state)
{
    (void)state;
    static const char *const texts[] = {"0",
                                        "1.10",
                                        "-2.5e-3",
                                        "5e-324",
                                        "1e-5",
                                        "123456789.123456789",
                                        "1e22",
                                        "1e23",
                                        "9007199254740993",
                                        "2.2250738585072011e-308",
                                        "0.1e-6",
                                        "1.7976931348623157e308"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        assert_true(dbk_json_double(parse(texts[i])) == strtod(texts[i], NULL));
    assert_true(dbk_json_double(parse("1e-400")) == 0.0);
    assert_true(__builtin_signbit(dbk_json_double(parse("-1e-400"))));
    assert_true(__builtin_signbit(dbk_json_double(parse("-0"))));
    assert_true(dbk_json_double(parse("\"1\"")) == 0.0);
}

/* Numbers of thousands of digits: the order of the first digit decides. */
static void long_numbers_are_judged_by_their_size(void **state)
{
    (void)state;
    const dbk_json_node *root;
    static const struct {
        unsigned before, after;
        const char *tail;
        dbk_result expected;
    } cases[] = {{308, 0, "", DBK_OK},
                 {309, 0, "", DBK_OK},
                 {310, 0, "", DBK_BAD_JSON},
                 {5000, 0, "e-4800", DBK_OK},
                 {5000, 0, "", DBK_BAD_JSON},
                 {5000, 0, "e-4691", DBK_OK},
                 {5000, 0, "e-4690", DBK_BAD_JSON},
                 {1, 5000, "e308", DBK_OK},
                 {1, 5000, "e309", DBK_BAD_JSON}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        dbk_buffer_clear(&out);
        for (unsigned k = 0; k < cases[i].before; k++) dbk_buffer_put_u8(&out, '1');
        if (cases[i].after) dbk_buffer_put_u8(&out, '.');
        for (unsigned k = 0; k < cases[i].after; k++) dbk_buffer_put_u8(&out, '1');
        dbk_buffer_put_text(&out, cases[i].tail);
        if (dbk_json_parse(parser, dbk_buffer_slice(&out), &root, NULL) != cases[i].expected) fail_msg("case %zu", i);
    }
    /* 0.000…01 with the exponent that brings it back */
    dbk_buffer_clear(&out);
    dbk_buffer_put_text(&out, "0.");
    for (unsigned k = 0; k < 999; k++) dbk_buffer_put_u8(&out, '0');
    dbk_buffer_put_text(&out, "1e1308");
    assert_true(dbk_json_double(parse_slice(dbk_buffer_slice(&out))) == 1e308);
}

static void nesting_ends_at_its_limit(void **state)
{
    (void)state;
    char text[200];
    memset(text, '[', 33);
    memset(text + 33, ']', 33);
    (void)parse_slice(dbk_slice_of(text + 1, 64));
    text[66] = '\0';
    assert_refused(text, DBK_TOO_BIG, "byte 32: more than 32 levels of nesting");
    size_t size = 0;
    for (unsigned i = 0; i < 33; i++) size += (size_t)sprintf(text + size, "{\"\":");
    assert_refused(text, DBK_TOO_BIG, "byte 128: more than 32 levels of nesting");
    /* A hundred thousand brackets are refused at the 33rd, with or without their ends. */
    char *many = malloc(200001);
    assert_non_null(many);
    memset(many, '[', 100000);
    many[100000] = '\0';
    assert_refused(many, DBK_TOO_BIG, "byte 32: more than 32 levels of nesting");
    memset(many + 100000, ']', 100000);
    many[200000] = '\0';
    assert_refused(many, DBK_TOO_BIG, "byte 32: more than 32 levels of nesting");
    free(many);
}

static void containers_end_at_their_limit(void **state)
{
    (void)state;
    assert_int_equal(parse_slice(repeat(&out, "[", "1", 10000, "]"))->count, 10000);
    assert_refused((repeat(&out, "[", "1", 10001, "]"), dbk_buffer_text(&out)), DBK_TOO_BIG,
                   "byte 20000: more than 10000 elements in an array");
    const dbk_json_node *root = parse_slice(repeat(&out, "{", "\"member %u\":1", 10000, "}"));
    assert_int_equal(root->count, 10000);
    assert_non_null(dbk_json_member(root, "member 9999"));
    assert_refused((repeat(&out, "{", "\"%u\":1", 10001, "}"), dbk_buffer_text(&out)), DBK_TOO_BIG,
                   "byte 88890: more than 10000 members in an object");
}

/* 100 arrays of 9,999 numbers are with their container 1,000,001 values. */
static void values_end_at_their_limit(void **state)
{
    (void)state;
    dbk_buffer inner;
    dbk_buffer_init(&inner, dbk_port_system());
    repeat(&inner, "[", "1", 9999, "]");
    const char *array = dbk_buffer_text(&inner);
    const dbk_json_node *root;
    assert_int_equal(dbk_json_parse(parser, repeat(&out, "[", array, 100, "]"), &root, &err), DBK_TOO_BIG);
    assert_non_null(strstr(err.text, "more than 1000000 values"));
    root = parse_slice(repeat(&out, "[", array, 99, ",[1]]"));
    assert_int_equal(root->span, 990000 + 3);
    /* A small input afterwards gives the large memory back and works as before. */
    assert_slice(parse("[7]")[1].text, "7");
    dbk_buffer_release(&inner);
}

static void inputs_beyond_32_bits_are_refused_unread(void **state)
{
    (void)state;
    const dbk_json_node *root;
    dbk_slice huge = dbk_slice_of("1", (size_t)UINT32_MAX);
    assert_int_equal(dbk_json_parse(parser, huge, &root, &err), DBK_TOO_BIG);
    assert_string_equal(err.text, "4294967295 bytes of JSON, the limit is 4294963199");
}

/* In objects of every size around the change of method, a repeated name is found at each place. */
static void duplicates_are_found_in_objects_of_every_size(void **state)
{
    (void)state;
    const dbk_json_node *root;
    for (unsigned count = 1; count < 40; count++) {
        for (unsigned copy = 0; copy < count; copy++) {
            dbk_buffer_clear(&out);
            dbk_buffer_put_u8(&out, '{');
            for (unsigned i = 0; i < count; i++) dbk_buffer_printf(&out, "\"name-%02u\":[{\"name-%02u\":1}],", i, i);
            size_t second = out.size;
            dbk_buffer_printf(&out, " \"name-\\u00%02x%u\" : {}}", '0' + copy / 10, copy % 10);
            char message[100];
            snprintf(message, sizeof message, "byte %zu: the member name 'name-%02u' stands twice", second + 1, copy);
            assert_int_equal(dbk_json_parse(parser, dbk_buffer_slice(&out), &root, &err), DBK_BAD_JSON);
            assert_string_equal(err.text, message);
        }
    }
}

/* Names that begin and end alike, and differ in the middle or by a NUL, are different. */
static void names_alike_are_not_duplicates(void **state)
{
    (void)state;
    const dbk_json_node *root = parse_slice(repeat(&out, "{", "\"same beginning %u same end\":1", 5000, "}"));
    assert_int_equal(root->count, 5000);
    root = parse("{\"ab\":1,\"ba\":1,\"a\":1,\"a\\u0000\":1,\"a\\u0000\\u0000\":1,\"\":1,\"aXb\":1,"
                 "\"aYb\":1}");
    assert_int_equal(root->count, 8);
    repeat(&out, "{\"a\":0,\"a\\u0000\":0,\"a\\u0000b\":0,", "\"%u\":1", 30, "}");
    assert_int_equal(parse_slice(dbk_buffer_slice(&out))->count, 33);
}

/* A long repeated name is cut at a border of characters in the message. */
static void a_long_duplicate_is_cut_in_the_message(void **state)
{
    (void)state;
    const dbk_json_node *root;
    char name[101] = "";
    for (unsigned i = 0; i < 33; i++) strcat(name, "\xe2\x82\xac");
    dbk_buffer_printf(&out, "{\"%s\":1,\"%s\":2}", name, name);
    assert_int_equal(dbk_json_parse(parser, dbk_buffer_slice(&out), &root, &err), DBK_BAD_JSON);
    name[63] = '\0';
    char message[200];
    snprintf(message, sizeof message, "byte 105: the member name '%s' stands twice", name);
    assert_string_equal(err.text, message);
}

/* simdjson's own memory comes from the nothrow forms of operator new; here they can fail as well. They have to be seen
 * from its library. */
#pragma GCC visibility push(default)
void *_Znwm(size_t size);
void *_Znam(size_t size);
void *_ZnwmRKSt9nothrow_t(size_t size, const void *tag);
void *_ZnamRKSt9nothrow_t(size_t size, const void *tag);
void _ZdlPv(void *memory);
void _ZdlPvm(void *memory, size_t size);
void _ZdaPv(void *memory);

void *_Znwm(size_t size)
{
    void *memory = malloc(size);
    if (!memory) abort();
    return memory;
}

void *_Znam(size_t size)
{
    return _Znwm(size);
}

void *_ZnwmRKSt9nothrow_t(size_t size, const void *tag)
{
    (void)tag;
    return may_allocate() ? malloc(size) : NULL;
}

void *_ZnamRKSt9nothrow_t(size_t size, const void *tag)
{
    return _ZnwmRKSt9nothrow_t(size, tag);
}

void _ZdlPv(void *memory)
{
    free(memory);
}

void _ZdlPvm(void *memory, size_t size)
{
    (void)size;
    free(memory);
}

void _ZdaPv(void *memory)
{
    free(memory);
}

#pragma GCC visibility pop

/* Parses `before`, then `text` while allocation n and all later ones fail; the parser must go on
 * working. Returns whether n was beyond the last allocation. */
static bool parse_while_memory_ends(unsigned n, const char *before, dbk_slice text)
{
    const dbk_json_node *root;
    dbk_json_parser *fresh = dbk_json_parser_new(&port);
    assert_non_null(fresh);
    if (before) assert_int_equal(dbk_json_parse(fresh, dbk_slice_text(before), &root, NULL), DBK_OK);
    calls = 0;
    fail_at = n;
    dbk_result result = dbk_json_parse(fresh, text, &root, &err);
    fail_at = 0;
    if (result != DBK_OK) {
        assert_int_equal(result, DBK_NO_MEMORY);
        assert_null(root);
        assert_int_equal(dbk_json_parse(fresh, text, &root, &err), DBK_OK);
    }
    dbk_json_parser_free(fresh);
    return result == DBK_OK;
}

/* Every allocation of a parse fails, in a new parser and in one that has to grow. */
static void allocation_failures_are_reported(void **state)
{
    (void)state;
    dbk_buffer text;
    dbk_buffer_init(&text, dbk_port_system());
    repeat(&text, "{\"escaped\":\"a\\nb\",", "\"number %u\":[]", 600, "}");
    unsigned n = 1, m = 1;
    while (!parse_while_memory_ends(n, NULL, dbk_buffer_slice(&text))) n++;
    while (!parse_while_memory_ends(m, "[\"\\n\"]", dbk_buffer_slice(&text))) m++;
    assert_in_range(n, 9, 20);
    assert_in_range(m, 7, 20);
    calls = 0;
    fail_at = 1;
    assert_null(dbk_json_parser_new(&port));
    dbk_buffer_release(&text);
}

/* Who asked for answers without a limit of their own is given them; who gives memory back parses on. */
static void answers_of_any_count(void **state)
{
    const dbk_json_node *root;
    dbk_buffer text;

    (void)state;
    dbk_buffer_init(&text, dbk_port_system());
    repeat(&text, "[[", "1", 1100000, "],2]");
    dbk_json_parser_relax(parser);
    assert_int_equal(dbk_json_parse(parser, dbk_buffer_slice(&text), &root, &err), DBK_TOO_BIG);
    dbk_json_parser_any_count(parser);
    assert_int_equal(dbk_json_parse(parser, dbk_buffer_slice(&text), &root, &err), DBK_OK);
    assert_int_equal(root->count, 2);
    assert_int_equal((root + 1)->count, 1100000);
    dbk_json_parser_relax(parser);
    assert_int_equal(dbk_json_parse(parser, dbk_slice_text("[]"), &root, &err), DBK_OK);
    assert_null(dbk_json_child(root));
    assert_int_equal(dbk_json_parse(parser, dbk_slice_text("[7]"), &root, &err), DBK_OK);
    assert_ptr_equal(dbk_json_child(root), root + 1);
    dbk_buffer_release(&text);
}

/* A string with an escape that a control character ends, and names that differ only behind an escaped quote. */
static void escapes_go_on(void **state)
{
    const dbk_json_node *root;

    (void)state;
    assert_int_equal(dbk_json_parse(parser, dbk_slice_text("[\"a\\nb\x01\"]"), &root, &err), DBK_BAD_JSON);
    assert_int_equal(dbk_json_parse(parser, dbk_slice_text("{\"a\\\"b\":1,\"a\\\"c\":2}"), &root, &err), DBK_OK);
    assert_int_equal(dbk_json_parse(parser, dbk_slice_text("{\"a\\\"b\":1,\"a\\\"b\":2}"), &root, &err), DBK_BAD_JSON);
    assert_non_null(strstr(err.text, "byte 10:"));
}

/* Every first and second byte, with each kind of third and fourth, against the definition. */
static void characters_have_their_size(void **state)
{
    static const uint8_t rest[] = {0x00, 0x41, 0x7f, 0x80, 0xbf, 0xc0, 0xff};

    (void)state;
    for (unsigned i = 0; i < 65536 * sizeof(rest) * sizeof(rest); i++) {
        const uint8_t bytes[4] = {(uint8_t)i, (uint8_t)(i >> 8), rest[(i >> 16) % sizeof(rest)],
                                  rest[(i >> 16) / sizeof(rest)]};
        size_t size = 0;
        for (size_t k = 1; k <= 4 && size == 0; k++) /* the shortest that is one character */
            if (dbk_utf8_valid(dbk_slice_of(bytes, k))) size = k;
        if (dbk_json_character_size(bytes) != size)
            fail_msg("%02x %02x %02x %02x", bytes[0], bytes[1], bytes[2], bytes[3]);
    }
}

static void no_parser_can_be_freed(void **state)
{
    (void)state;
    dbk_json_parser_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(every_case_has_its_verdict),
        T(every_case_keeps_its_verdict_at_every_offset),
        T(every_prefix_is_refused),
        T(errors_name_the_byte_and_what_was_found),
        T(bad_utf8_is_found_again),
        T(nodes_hold_the_tree),
        T(escapes_mean_what_they_should),
        T(strings_end_where_they_should_at_every_length),
        T(input_is_copied),
        T(integers_are_known_by_value),
        T(doubles_are_exactly_rounded),
        T(long_numbers_are_judged_by_their_size),
        T(nesting_ends_at_its_limit),
        T(containers_end_at_their_limit),
        T(values_end_at_their_limit),
        T(inputs_beyond_32_bits_are_refused_unread),
        T(duplicates_are_found_in_objects_of_every_size),
        T(names_alike_are_not_duplicates),
        T(a_long_duplicate_is_cut_in_the_message),
        T(allocation_failures_are_reported),
        T(answers_of_any_count),
        T(escapes_go_on),
        T(characters_have_their_size),
        T(no_parser_can_be_freed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
