/* The validator: every finding with its pointer and words, numbers of any size, and schemas and values that are
 * meant to hurt: they are refused in bounded time and never end the process. */
#include "tests/base/fixture.h"

#include "projector/json_schema.h"

typedef struct judged {
    dbk_json_schema *schema;
    dbk_json_parser *parser;
    char fault[400];
    size_t offset; /* of the fault */
} judged;

static void keep_fault(void *arg, size_t offset, size_t size, const char *text, const char *advice)
{
    judged *j = arg;
    (void)size, (void)advice;
    if (!j->fault[0]) j->offset = offset;
    if (!j->fault[0]) snprintf(j->fault, sizeof j->fault, "%s", text);
}

static const dbk_json_schema_options *with;

static dbk_result make(judged *j, const char *schema)
{
    *j = (judged){.parser = dbk_json_parser_new(dbk_port_system())};
    assert_non_null(j->parser);
    return dbk_json_schema_new(dbk_port_system(), dbk_slice_text(schema), with, keep_fault, j, &j->schema, NULL);
}

static void drop(judged *j)
{
    dbk_json_schema_free(j->schema);
    dbk_json_parser_free(j->parser);
}

static dbk_result judge_text(judged *j, const char *value, dbk_buffer *errors, dbk_error *err)
{
    const dbk_json_node *root;
    assert_int_equal(dbk_json_parse(j->parser, dbk_slice_text(value), &root, err), DBK_OK);
    return dbk_json_schema_judge(j->schema, root, errors, err);
}

/* `errors` NULL: it fits. */
static void check(const char *schema, const char *value, const char *errors)
{
    judged j;
    dbk_error err = {0};
    dbk_buffer out;
    if (make(&j, schema) != DBK_OK) fail_msg("%s: %s", schema, j.fault);
    dbk_buffer_init(&out, dbk_port_system());
    dbk_result result = judge_text(&j, value, &out, &err);
    assert_string_equal(dbk_buffer_text(&out), errors ? errors : "[]");
    assert_int_equal(result, errors ? DBK_SCHEMA : DBK_OK);
    dbk_buffer_release(&out);
    drop(&j);
}

static void check_refused(const char *schema, const char *fault)
{
    judged j;
    assert_int_equal(make(&j, schema), DBK_SCHEMA);
    assert_null(j.schema);
    assert_string_equal(j.fault, fault);
    drop(&j);
}

static void all_findings_are_told_with_their_pointers(void **state)
{
    (void)state;
    check("{\"required\":[\"id\",\"a~/"
          "b\"],\"properties\":{\"n\":{\"maximum\":10},\"a\":{\"items\":{\"type\":[\"string\",\"null\"]}}},"
          "\"additionalProperties\":false}",
          "{\"n\":11,\"a\":[\"x\",7,null,true],\"z/~\":0}",
          "[{\"pointer\":\"/n\",\"message\":\"is 11, over the maximum 10\"},"
          "{\"pointer\":\"/a/1\",\"message\":\"is an integer, not string or null\"},"
          "{\"pointer\":\"/a/3\",\"message\":\"is true, not string or null\"},"
          "{\"pointer\":\"\",\"message\":\"has a member 'z/~' that is not allowed\"},"
          "{\"pointer\":\"\",\"message\":\"has no 'id'\"},{\"pointer\":\"\",\"message\":\"has no 'a~/b'\"}]");
    check("{\"properties\":{\"a/b\":{\"properties\":{\"c~\":{\"const\":{\"x\":1}}}}}}", "{\"a/b\":{\"c~\":{\"x\":2}}}",
          "[{\"pointer\":\"/a~1b/c~0\",\"message\":\"is not {\\\"x\\\":1}\"}]");
    check("{\"oneOf\":[{\"type\":\"number\"},{\"type\":\"integer\"}]}", "1",
          "[{\"pointer\":\"\",\"message\":\"fits 2 of 2 alternatives, not one\"}]");
    check("{\"anyOf\":[{\"minLength\":2},{\"pattern\":\"^x\"}]}", "\"a\"",
          "[{\"pointer\":\"\",\"message\":\"fits none of 2 alternatives\"}]");
    check("{\"enum\":[1,\"two\",[3]],\"format\":\"date\"}", "\"2026-02-30\"",
          "[{\"pointer\":\"\",\"message\":\"is none of 1, \\\"two\\\", [3]\"},{\"pointer\":\"\",\"message\":\"is not a "
          "date like 2026-11-21\"}]");
    check("{\"if\":{\"required\":[\"a\"]},\"then\":{\"required\":[\"b\"]},\"else\":{\"required\":[\"c\"]}}",
          "{\"a\":1}", "[{\"pointer\":\"\",\"message\":\"has no 'b'\"}]");
    check("{\"propertyNames\":{\"maxLength\":2},\"dependencies\":{\"a\":[\"b\"]}}", "{\"a\":1,\"long\":2}",
          "[{\"pointer\":\"\",\"message\":\"has 'a' but no 'b'\"},{\"pointer\":\"\",\"message\":\"has a member 'long' "
          "whose name does not fit 'propertyNames'\"}]");
}

static void numbers_are_compared_by_their_text(void **state)
{
    (void)state;
    check("{\"maximum\":12345678901234567890}", "12345678901234567891",
          "[{\"pointer\":\"\",\"message\":\"is 12345678901234567891, over the maximum 12345678901234567890\"}]");
    check("{\"maximum\":12345678901234567890}", "12345678901234567890.000", NULL);
    check("{\"enum\":[1.0]}", "1", NULL);
    check("{\"const\":9007199254740993}", "9007199254740992",
          "[{\"pointer\":\"\",\"message\":\"is not 9007199254740993\"}]");
    check("{\"multipleOf\":0.1}", "1.10", NULL);
    check("{\"multipleOf\":0.1}", "1.15", "[{\"pointer\":\"\",\"message\":\"is no multiple of 0.1\"}]");
    check("{\"multipleOf\":1e-300,\"type\":\"integer\"}", "1e308", NULL);
    check("{\"type\":\"integer\"}", "1.50e1", NULL);
    check("{\"type\":\"integer\"}", "1.5e-1", "[{\"pointer\":\"\",\"message\":\"is a number, not integer\"}]");
    check("{\"minimum\":-0.0,\"exclusiveMinimum\":-1e-400}", "0", NULL);
    check("{\"uniqueItems\":true}", "[1,[1],{\"a\":1,\"b\":2},1e1,{\"b\":2.0,\"a\":1.0}]",
          "[{\"pointer\":\"\",\"message\":\"has equal elements, 2 and 4\"}]");
    check("{\"uniqueItems\":true}", "[0,-0.0]", "[{\"pointer\":\"\",\"message\":\"has equal elements, 0 and 1\"}]");
}

static void references_are_followed_inside_the_file(void **state)
{
    static const char tree[] =
        "{\"properties\":{\"v\":{\"type\":\"integer\"},\"kids\":{\"items\":{\"$ref\":\"#\"}}},\"required\":[\"v\"],"
        "\"propertyNames\":{\"enum\":[\"v\",\"kids\"]}}";
    (void)state;
    check(tree, "{\"v\":1,\"kids\":[{\"v\":2},{\"v\":3,\"kids\":[{\"v\":\"x\"}]}]}",
          "[{\"pointer\":\"/kids/1/kids/0/v\",\"message\":\"is text, not integer\"}]");
    /* names of a schema that is itself a target of a reference are judged by their own schema */
    check("{\"properties\":{\"a\":{\"$ref\":\"#/definitions/"
          "d\"}},\"definitions\":{\"d\":{\"type\":\"object\",\"propertyNames\":{\"pattern\":\"^k\"}}}}",
          "{\"a\":{\"k1\":1,\"x\":2}}",
          "[{\"pointer\":\"/a\",\"message\":\"has a member 'x' whose name does not fit 'propertyNames'\"}]");
    check(
        "{\"$id\":\"http://x.example/root.json\",\"items\":{\"$ref\":\"b.json#named\"},"
        "\"definitions\":{\"b\":{\"$id\":\"b.json\",\"definitions\":{\"c\":{\"$id\":\"#named\",\"type\":\"null\"}}}}}",
        "[null,1]", "[{\"pointer\":\"/1\",\"message\":\"is an integer, not null\"}]");
}

/* notes.json beside common.json, which leads on; what they say stays theirs: "#" is each one's own root. */
static void references_lead_to_documents_that_are_given(void **state)
{
    const dbk_json_schema_document documents[] = {
        {"common.json",
         dbk_slice_text(
             "{\"definitions\":{\"name\":{\"$ref\":\"sub/text.json\"},\"self\":{\"$ref\":\"#\"},\"back\":{\"$ref\":"
             "\"notes.json#/definitions/n\"}},\"type\":\"array\"}")},
        {"sub/text.json", dbk_slice_text("{\"type\":\"string\",\"pattern\":\"^a+$\"}")},
        {"wrong.json", dbk_slice_text("{\"properties\":{\"a\":{\"requierd\":[]}}}")},
        {"two.json", dbk_slice_text("{},{}")},
        {"loop.json", dbk_slice_text("{\"allOf\":[{\"$ref\":\"notes.json\"}]}")},
        {"notes.json", dbk_slice_text("{}")}};
    const dbk_json_schema_options options = {.uri = "notes.json", .documents = documents, .document_count = 6};
    judged j;
    (void)state;
    with = &options;
    check(
        "{\"properties\":{\"a\":{\"$ref\":\"common.json#/definitions/name\"},\"b\":{\"$ref\":\"common.json#/"
        "definitions/"
        "self\"},\"c\":{\"$ref\":\"common.json#/definitions/back\"},\"d\":{\"$ref\":\"notes.json#/definitions/n\"}},"
        "\"definitions\":{\"n\":{\"type\":\"null\"}}}",
        "{\"a\":\"ab\",\"b\":{},\"c\":1,\"d\":2}",
        "[{\"pointer\":\"/a\",\"message\":\"does not match '^a+$'\"},{\"pointer\":\"/b\",\"message\":\"is an object, "
        "not "
        "array\"},{\"pointer\":\"/c\",\"message\":\"is an integer, not null\"},{\"pointer\":\"/d\",\"message\":\"is an "
        "integer, not null\"}]");
    check("{\"items\":{\"$ref\":\"http://json-schema.org/draft-07/schema#\"}}", "[{\"minLength\":-1},true,3]",
          "[{\"pointer\":\"/0/minLength\",\"message\":\"is -1, under the minimum "
          "0\"},{\"pointer\":\"/2\",\"message\":\"is "
          "an integer, not object or boolean\"}]");
    check_refused("{\"$ref\":\"wrong.json\"}", "what a '$ref' leads to is wrong");
    check_refused("{\"$ref\":\"two.json\"}", "what a '$ref' leads to cannot be read with this");
    check_refused("{\"$ref\":\"loop.json\"}", "the schema asks itself about the same value, without end");
    check_refused("{\"$ref\":\"common.json#/definitions/no\"}",
                  "'$ref' leads to no schema: 'common.json#/definitions/no'");
    check_refused("{\"$ref\":\"none.json\"}", "'$ref' names another document: 'none.json'");
    assert_int_equal(make(&j, "{\"items\":{\"$ref\":\"sub/text.json\"},  \"not\":{\"$ref\":\"#/no\"}}"), DBK_SCHEMA);
    assert_int_equal(j.offset, 50);
    drop(&j);
    with = NULL;
}

static void what_is_not_carried_out_is_refused_by_name(void **state)
{
    (void)state;
    check_refused("{\"properties\":{\"a\":{\"requierd\":[]}}}", "'requierd' is no keyword of JSON Schema draft 7");
    check_refused("{\"$ref\":\"http://example.org/x\"}", "'$ref' names another document: 'http://example.org/x'");
    check_refused("{\"not\":{\"allOf\":[{\"$ref\":\"#\"}]}}",
                  "the schema asks itself about the same value, without end");
    check_refused("{\"definitions\":{\"a\":{\"$ref\":\"#/definitions/b\"},\"b\":{\"$ref\":\"#/definitions/a\"}}}",
                  "the schema asks itself about the same value, without end");
    check_refused("{\"properties\":{\"a\\u0000b\":{}}}", "a NUL in a name");
    check_refused("{\"format\":\"idn-hostname\"}", "format 'idn-hostname' is not checked here");
    check_refused("{\"multipleOf\":0.1234567890123456789}", "'multipleOf' has another form");
}

static void texts_that_carry_bytes_or_json_are_judged(void **state)
{
    static const char both[] = "{\"items\":{\"contentEncoding\":\"base64\",\"contentMediaType\":\"application/json\"}}";
    (void)state;
    check(both, "[\"eyJhIjoxfQ==\",7,{}]", NULL);
    check(
        both, "[\"{}\",\"eyJhIjp9\"]",
        "[{\"pointer\":\"/0\",\"message\":\"is not base64\"},{\"pointer\":\"/1\",\"message\":\"holds no JSON: byte 5: "
        "expected a value, found '}'\"}]");
    check("{\"contentMediaType\":\"application/json\"}", "\"{\\\"a\\\":1}\"", NULL);
    check("{\"not\":{\"contentEncoding\":\"base64\"}}", "\"%\"", NULL);
    check_refused("{\"contentEncoding\":\"quoted-printable\"}", "'quoted-printable' is not checked here");
    check_refused("{\"contentMediaType\":\"image/png\"}", "'image/png' is not checked here");
}

typedef struct pattern_case {
    const char *schema, *value;
    bool fits;
} pattern_case;

static void judge_cases(const pattern_case *cases, size_t count)
{
    dbk_error err = {0};
    for (size_t i = 0; i < count; i++) {
        judged j;
        assert_int_equal(make(&j, cases[i].schema), DBK_OK);
        if ((judge_text(&j, cases[i].value, NULL, &err) == DBK_OK) != cases[i].fits)
            fail_msg("%s of %s", cases[i].schema, cases[i].value);
        drop(&j);
    }
}

static void patterns_mean_what_ecma_262_says(void **state)
{
    static const pattern_case cases[] = {
        {"{\"pattern\":\"^\\\\s$\"}", "\"\\u2003\"", true},
        {"{\"pattern\":\"^[^\\\\S]$\"}", "\"\\ufeff\"", true},
        {"{\"pattern\":\"^\\\\S$\"}", "\"\\u00a0\"", false},
        {"{\"pattern\":\"^[\\\\s\\\\d]+$\"}", "\"1\\u20282\"", true},
        {"{\"pattern\":\"^a.b$\"}", "\"a\\u2028b\"", false},
        {"{\"pattern\":\"^a.b$\"}", "\"a\\u0085b\"", true},
        {"{\"pattern\":\"^\\\\v$\"}", "\"\\u000b\"", true},
        {"{\"pattern\":\"^\\\\v$\"}", "\"\\n\"", false},
        {"{\"pattern\":\"^a$\"}", "\"a\\n\"", false},
        {"{\"pattern\":\"^\\\\d$\"}", "\"\\u0669\"", false},
        {"{\"pattern\":\"^\\\\p{Letter}$\"}", "\"\\u00e9\"", true},
        {"{\"pattern\":\"^[\\\\P{gc=Lu}]$\"}", "\"A\"", false},
        {"{\"pattern\":\"^\\\\p{Script=Greek}$\"}", "\"\\u03b1\"", true},
        {"{\"pattern\":\"^\\\\u{1f432}$\"}", "\"\\ud83d\\udc32\"", true},
        {"{\"pattern\":\"^[\\\\ud83d\\\\udc32]$\"}", "\"\\ud83d\\udc32\"", true},
        {"{\"pattern\":\"^[[:alpha:]]$\"}", "\"a]\"", true},
        {"{\"pattern\":\"^[[:alpha:]]$\"}", "\"b\"", false},
        {"{\"pattern\":\"^(a)?\\\\1b$\"}", "\"b\"", true},
        {"{\"pattern\":\"^[^]$\"}", "\"\\n\"", true},
        {"{\"pattern\":\"[]\"}", "\"a\"", false},
        {"{\"pattern\":\"^\\\\cJ\\\\0\\\\x41\\\\/{$\"}", "\"\\n\\u0000A/{\"", true},
        {"{\"pattern\":\"^(?<y>a+?)(?<=a)\\\\k<y>$\"}", "\"aa\"", true},
        {"{\"format\":\"regex\"}", "\"(?i)a\"", false},
        {"{\"format\":\"regex\"}", "\"(?<n>a)\\\\k<n>[]\"", true},
    };
    (void)state;
    judge_cases(cases, sizeof(cases) / sizeof(cases[0]));
}

static void formats_beyond_ascii_and_templates(void **state)
{
    static const pattern_case cases[] = {
        {"{\"format\":\"iri\"}",
         "\"http://l\xc3\xa4"
         "nger.example/?q=\\ue000\"",
         true},
        {"{\"format\":\"iri\"}",
         "\"http://l\xc3\xa4"
         "nger.example/\\ue000\"",
         false},
        {"{\"format\":\"iri\"}", "\"http://a/\\u0085\"", false},
        {"{\"format\":\"iri\"}", "\"http://a/\\ufffe\"", false},
        {"{\"format\":\"iri\"}",
         "\"l\xc3\xa4"
         "nger\"",
         false},
        {"{\"format\":\"iri-reference\"}",
         "\"l\xc3\xa4"
         "nger#\xc3\xa4\"",
         true},
        {"{\"format\":\"iri-reference\"}",
         "\"l\xc3\xa4"
         "nger[\"",
         false},
        {"{\"format\":\"idn-email\"}", "\"j\xc3\xbcrgen@m\xc3\xbcller.example\"", true},
        {"{\"format\":\"idn-email\"}", "\"j\xc3\xbcrgen\\uff20example\"", false},
        {"{\"format\":\"uri-template\"}", "\"/{a}/{+b.c:20,d*}{?%41}\"", true},
        {"{\"format\":\"uri-template\"}", "\"{a:}\"", false},
        {"{\"format\":\"uri-template\"}", "\"{a%4}\"", false},
        {"{\"format\":\"uri-template\"}", "\"{=a}\"", false},
        {"{\"format\":\"uri-template\"}", "\"{a\"", false},
        {"{\"format\":\"uri-reference\"}", "\"\"", true},
        {"{\"format\":\"iri-reference\"}", "\"\"", true},
        {"{\"format\":\"iri\"}", "\"\"", false},
        {"{\"format\":\"idn-email\"}", "\"\"", false},
        {"{\"format\":\"uri\"}", "\"http://[v1.fe:x]/\"", true},
        {"{\"format\":\"uri\"}", "\"http://[v.fe]/\"", false},
    };
    (void)state;
    judge_cases(cases, sizeof(cases) / sizeof(cases[0]));
}

/* What PCRE2 alone has would mean something else, or nothing, to another validator. */
static void patterns_of_other_languages_are_refused(void **state)
{
    static const char *const patterns[] = {
        "\\\\Aa",  "a\\\\Z",        "\\\\ha",     "(?i)a",  "(?P<n>a)",       "(?#a)b",    "a*+",
        "a{2}{3}", "(?>a)",         "(*ACCEPT)a", "(?|a)",  "\\\\Qa",         "\\\\ud83d", "\\\\u12",
        "\\\\u{}", "\\\\u{110000}", "\\\\p{^Lu}", "\\\\pL", "\\\\p{Nothing}", "a\\\\",     "[\\\\B]",
        "\\\\1",   "\\\\01",        "(a",         "[b-a]",  "\\\\x{41}",      "(?<=a+)b",  "\\\\p{Letter",
        "*a",      "\\\\g{1}(a)"};
    (void)state;
    for (size_t i = 0; i < sizeof(patterns) / sizeof(patterns[0]); i++) {
        char schema[100];
        judged j;
        snprintf(schema, sizeof(schema), "{\"pattern\":\"%s\"}", patterns[i]);
        if (make(&j, schema) != DBK_SCHEMA) fail_msg("%s was taken", schema);
        drop(&j);
    }
    check_refused("{\"pattern\":\"ab(?i)c\"}",
                  "no regular expression, at its byte 2: no such group in regular expressions of ECMA 262");
}

/* Each would take ages, or the stack, if nothing bounded it. */
static void hostile_schemas_and_values_end(void **state)
{
    char *deep = malloc(400000), *at = deep;
    judged j;
    dbk_error err = {0};
    (void)state;
    assert_non_null(deep);
    at += sprintf(at, "\"");
    for (int i = 0; i < 100000; i++) *at++ = 'a';
    strcpy(at, "!\"");
    static const char *const patterns[] = {"{\"pattern\":\"^(a+)+$\"}", "{\"pattern\":\"^(a|a)*$\"}",
                                           "{\"pattern\":\"(.*)*x\"}", "{\"pattern\":\"^(?:(?:(?:a*)*)*)*$\"}"};
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(make(&j, patterns[i]), DBK_OK);
        assert_int_equal(judge_text(&j, deep, NULL, &err), DBK_SCHEMA);
        drop(&j);
    }
    /* doubles at every step: 2^30 subschemas */
    at = deep + sprintf(deep, "{\"$ref\":\"#/definitions/a0\",\"definitions\":{");
    for (int i = 0; i < 12; i++)
        at += sprintf(at,
                      "\"a%d\":{\"allOf\":[{\"$ref\":\"#/definitions/a%d\"},{\"$ref\":\"#/definitions/"
                      "a%d\"},{\"$ref\":\"#/definitions/a%d\"},"
                      "{\"$ref\":\"#/definitions/a%d\"},{\"$ref\":\"#/definitions/a%d\"}]},",
                      i, i + 1, i + 1, i + 1, i + 1, i + 1);
    sprintf(at, "\"a12\":{\"type\":\"integer\"}}}");
    assert_int_equal(make(&j, deep), DBK_OK);
    assert_int_equal(judge_text(&j, "1", NULL, &err), DBK_SCHEMA);
    assert_non_null(strstr(err.text, "takes too much work"));
    drop(&j);
    /* ten thousand elements to compare with each other, and with an enum of as many */
    at = deep + sprintf(deep, "[");
    for (int i = 0; i < 9999; i++) at += sprintf(at, "{\"a\":%d,\"b\":%d},", i % 7, i);
    sprintf(at, "0]");
    assert_int_equal(make(&j, "{\"uniqueItems\":true,\"items\":{\"not\":{\"const\":[1]}}}"), DBK_OK);
    assert_int_equal(judge_text(&j, deep, NULL, &err), DBK_OK);
    drop(&j);
    free(deep);
}

static void memory_may_fail_at_any_point(void **state)
{
    static const char schema[] = "{\"$id\":\"x\",\"properties\":{\"a\":{\"$ref\":\"#/definitions/d\"},\"b\":{"
                                 "\"contentEncoding\":\"base64\",\"contentMediaType\":\"application/json\"}},"
                                 "\"definitions\":{\"d\":{\"pattern\":\"^a+$\",\"uniqueItems\":true,"
                                 "\"enum\":[[1,2],\"a\"]}}}";
    (void)state;
    dbk_result result = DBK_NO_MEMORY;
    for (size_t at = 1; result == DBK_NO_MEMORY; at++) {
        thrifty_port thrifty;
        judged j = {.parser = dbk_json_parser_new(dbk_port_system())};
        dbk_error err = {0};
        dbk_buffer out;
        thrifty_init(&thrifty, at);
        dbk_buffer_init(&out, &thrifty.port);
        result = dbk_json_schema_new(&thrifty.port, dbk_slice_text(schema), NULL, keep_fault, &j, &j.schema, &err);
        if (result == DBK_OK) result = judge_text(&j, "{\"b\":\"e30=\",\"a\":[1,2,3]}", &out, &err);
        dbk_buffer_release(&out);
        drop(&j);
        assert_int_equal(thrifty.held, 0);
    }
    assert_int_equal(result, DBK_SCHEMA);
}

/* A value that fits is never told not to be of its format: it fits, or memory was short. */
static void want_of_memory_is_no_misfit(void **state)
{
    static const char schema[] = "{\"properties\":{\"r\":{\"format\":\"regex\"},\"i\":{\"format\":\"iri\"},"
                                 "\"e\":{\"format\":\"idn-email\"}}}";
    static const char value[] = "{\"r\":\"^a+$\",\"i\":\"http://\xc3\xa9.fr/\xc3\xbc\",\"e\":\"\xc3\xa9@a.fr\"}";
    (void)state;
    dbk_result result = DBK_NO_MEMORY;
    size_t at = 1;
    for (; result == DBK_NO_MEMORY; at++) {
        thrifty_port thrifty;
        judged j = {.parser = dbk_json_parser_new(dbk_port_system())};
        dbk_error err = {0};
        thrifty_init(&thrifty, at);
        result = dbk_json_schema_new(&thrifty.port, dbk_slice_text(schema), NULL, keep_fault, &j, &j.schema, &err);
        if (result == DBK_OK) result = judge_text(&j, value, NULL, &err);
        if (result != DBK_OK && result != DBK_NO_MEMORY) print_error("allocation %zu: %s\n", at, err.text);
        drop(&j);
        assert_int_equal(thrifty.held, 0);
    }
    assert_int_equal(result, DBK_OK);
    assert_true(at > 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_findings_are_told_with_their_pointers),
        cmocka_unit_test(numbers_are_compared_by_their_text),
        cmocka_unit_test(references_are_followed_inside_the_file),
        cmocka_unit_test(references_lead_to_documents_that_are_given),
        cmocka_unit_test(what_is_not_carried_out_is_refused_by_name),
        cmocka_unit_test(texts_that_carry_bytes_or_json_are_judged),
        cmocka_unit_test(formats_beyond_ascii_and_templates),
        cmocka_unit_test(patterns_mean_what_ecma_262_says),
        cmocka_unit_test(patterns_of_other_languages_are_refused),
        cmocka_unit_test(hostile_schemas_and_values_end),
        cmocka_unit_test(memory_may_fail_at_any_point),
        cmocka_unit_test(want_of_memory_is_no_misfit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
