/* Documents and the verdict on each. OK: accepted; BAD: DBK_BAD_JSON. */
#ifndef TEST_JSON_CASES_H
#define TEST_JSON_CASES_H

#define OK  DBK_OK
#define BAD DBK_BAD_JSON

typedef struct json_case {
    dbk_result expected;
    const char *text;
    size_t size;
} json_case;

#define C(expected, text)                                                                                              \
    {                                                                                                                  \
        expected, text, sizeof(text) - 1                                                                               \
    }

/* clang-format off */
static const json_case json_cases[] = {
    /* scalars, with white space around them */
    C(OK, "null"), C(OK, "true"), C(OK, "false"), C(OK, " null"), C(OK, "null\n"),
    C(OK, "\t\r\n true \t"), C(OK, "\"\""), C(OK, "0"), C(OK, "[]"), C(OK, "{}"), C(OK, " [ ] "),
    C(OK, " { } "), C(BAD, ""), C(BAD, " "), C(BAD, "\n\r\t "), C(BAD, "\0"), C(BAD, " \0"),
    C(BAD, "null\0"), C(BAD, "null \0"), C(BAD, "\0null"), C(BAD, "[\0]"), C(BAD, "[1\0]"),
    C(BAD, "[true\0]"), C(BAD, "\"a\"\0"), C(BAD, "{}\0"), C(BAD, "\v1"), C(BAD, "\f1"),
    C(BAD, "1\f"), C(BAD, "[1\v]"), C(BAD, "\xc2\xa0" "1"), C(BAD, "1\xc2\xa0"),
    C(BAD, "\xe2\x80\xa8[]"), C(BAD, "[]\xe2\x81\xa0"),
    /* byte order marks and other encodings */
    C(BAD, "\xef\xbb\xbf"), C(BAD, "\xef\xbb\xbf{}"), C(BAD, "\xef\xbb\xbf 1"),
    C(BAD, "\xff\xfe[\0]\0"), C(BAD, "\xfe\xff\0[\0]"), C(BAD, "[\0\0\0]\0\0\0"),
    C(OK, "\"\xef\xbb\xbf\""), C(BAD, "{}\xef\xbb\xbf"),
    /* words */
    C(BAD, "nul"), C(BAD, "nulll"), C(BAD, "Null"), C(BAD, "NULL"), C(BAD, "tru"), C(BAD, "truee"),
    C(BAD, "True"), C(BAD, "TRUE"), C(BAD, "fals"), C(BAD, "falsee"), C(BAD, "False"), C(BAD, "n"),
    C(BAD, "t"), C(BAD, "f"), C(BAD, "undefined"), C(BAD, "None"), C(BAD, "nil"), C(BAD, "yes"),
    C(BAD, "true1"), C(BAD, "true\"\""), C(BAD, "true\\"), C(BAD, "null-1"), C(BAD, "[nul]"),
    C(BAD, "[tru e]"), C(BAD, "[fals]"), C(BAD, "[true false]"), C(OK, "[true,false,null]"),
    C(BAD, "truefalse"), C(BAD, "[nullnull]"), C(BAD, "true.false"), C(BAD, "true:1"),
    C(BAD, "null,"),
    /* numbers accepted */
    C(OK, "-0"), C(OK, "1"), C(OK, "-1"), C(OK, "10"), C(OK, "1234567890"), C(OK, "0.0"),
    C(OK, "-0.0"), C(OK, "0.5"), C(OK, "1.10"), C(OK, "123.456"), C(OK, "1e1"), C(OK, "1E1"),
    C(OK, "1e+1"), C(OK, "1e-1"), C(OK, "1E+01"), C(OK, "0e0"), C(OK, "0E+999999999999999999999"),
    C(OK, "0.000e400"), C(OK, "-0e-0"), C(OK, "1.5e300"), C(OK, "12345678901234567890"),
    C(OK, "1e-400"), C(OK, "-1e-99999999999999999999"), C(OK, "1.7976931348623157e308"),
    C(OK, "1.7976931348623158e308"), C(OK, "17976931348623157e292"), C(OK, "0.00001e312"),
    C(OK, "1000e305"), C(OK, "5e-324"), C(OK, "2.2250738585072011e-308"), C(OK, "[0,-1,2.5,3e4]"),
    C(OK, "[1 ]"), C(OK, "[ 1]"), C(OK, "{\"a\":1}"), C(OK, "{\"a\":-1.5e-3 }"),
    /* numbers refused: the grammar */
    C(BAD, "01"), C(BAD, "00"), C(BAD, "-01"), C(BAD, "-00"), C(BAD, "0123"), C(BAD, "1."),
    C(BAD, "-1."), C(BAD, ".5"), C(BAD, "-.5"), C(BAD, "+1"), C(BAD, "++1"), C(BAD, "+"),
    C(BAD, "-"), C(BAD, "--1"), C(BAD, "- 1"), C(BAD, "-a"), C(BAD, "1-"), C(BAD, "1+2"),
    C(BAD, "1e"), C(BAD, "1E"), C(BAD, "1e+"), C(BAD, "1e-"), C(BAD, "1e1.5"), C(BAD, "1.e1"),
    C(BAD, "1.5e"), C(BAD, "1ee1"), C(BAD, "1e++1"), C(BAD, "1eE2"), C(BAD, "e1"), C(BAD, "E"),
    C(BAD, "."), C(BAD, "1.2.3"), C(BAD, "1..2"), C(BAD, "0x10"), C(BAD, "0xg"), C(BAD, "0b1"),
    C(BAD, "0o7"), C(BAD, "1_000"), C(BAD, "1,000"), C(BAD, "1 000"), C(BAD, "1a"), C(BAD, "1n"),
    C(BAD, "1f"), C(BAD, "0e"), C(BAD, "0.e1"), C(BAD, "0.3e"), C(BAD, "0.3e+"), C(BAD, "NaN"),
    C(BAD, "-NaN"), C(BAD, "nan"), C(BAD, "Infinity"), C(BAD, "-Infinity"), C(BAD, "inf"),
    C(BAD, "1\"2\""), C(BAD, "1\\n"), C(BAD, "\xef\xbc\x91"), C(BAD, "1\xc3\xa9"), C(BAD, "[1.]"),
    C(BAD, "[-]"), C(BAD, "[1e]"), C(BAD, "[01]"), C(BAD, "[1 2]"), C(BAD, "[1\n2]"),
    C(BAD, "{\"a\":01}"), C(BAD, "1{}"), C(BAD, "1[]"), C(BAD, "[1[2]]"), C(BAD, "[1{}]"),
    C(BAD, "1:2"), C(BAD, "[1:2]"),
    /* numbers refused: beyond a finite double */
    C(BAD, "1e400"), C(BAD, "-1e400"), C(BAD, "1e309"), C(BAD, "1.8e308"),
    C(BAD, "1.7976931348623159e308"), C(BAD, "-1.7976931348623159e308"), C(BAD, "2e308"),
    C(BAD, "10e308"), C(BAD, "0.1e310"), C(BAD, "1e999999999999999999999999"), C(BAD, "[1e400]"),
    C(BAD, "{\"a\":1E+400}"), C(BAD, "0.00001e314"),
    /* strings accepted */
    C(OK, "\"a\""), C(OK, "\"1234567\""), C(OK, "\"12345678\""), C(OK, "\"123456789abcdefghi\""),
    C(OK, "\"\\\"\""), C(OK, "\"\\\\\""), C(OK, "\"\\/\""), C(OK, "\"/\""),
    C(OK, "\"\\b\\f\\n\\r\\t\""), C(OK, "\"\\u0041\""), C(OK, "\"\\u00e9\\u00E9\""),
    C(OK, "\"\\u20ac\""), C(OK, "\"\\uFFFF\""), C(OK, "\"\\u0000\""), C(OK, "\"a\\u0000b\""),
    C(OK, "\"\\ud83d\\ude00\""), C(OK, "\"\\uD800\\uDC00\""), C(OK, "\"\\udbff\\udfff\""),
    C(OK, "\"\\ud7ff\\ue000\""), C(OK, "\"\x7f\""), C(OK, "\"\\u001f\""), C(OK, "\"\xc2\x80\""),
    C(OK, "\"\xdf\xbf\""), C(OK, "\"\xe0\xa0\x80\""), C(OK, "\"\xed\x9f\xbf\""),
    C(OK, "\"\xee\x80\x80\""), C(OK, "\"\xef\xbf\xbf\""), C(OK, "\"\xf0\x90\x80\x80\""),
    C(OK, "\"\xf4\x8f\xbf\xbf\""), C(OK, "\"{[,:]}\""), C(OK, "\"null\""), C(OK, "\"\\\\u0041\""),
    C(OK, "\"\\\\\\\"\""), C(OK, "[\"a\",\"b\"]"), C(OK, "\"// not a comment\""),
    C(OK, "\"\\u0022\\u005c\""), C(OK, "\"       \\n\""), C(OK, "\"abcdefg\\\"\""),
    C(OK, "\"abcdef\\\\\""),
    /* strings refused: ends and control characters */
    C(BAD, "\""), C(BAD, "\"a"), C(BAD, "\"\\\""), C(BAD, "\"\\"), C(BAD, "\"a\\"), C(BAD, "[\"a"),
    C(BAD, "[\"a]"), C(BAD, "{\"a"), C(BAD, "{\"a\":\"b"), C(BAD, "\"\\\\\\\""), C(BAD, "\"\"\""),
    C(BAD, "\"a\nb\""), C(BAD, "\"a\tb\""), C(BAD, "\"a\rb\""), C(BAD, "\"\0\""),
    C(BAD, "\"\x01\""), C(BAD, "\"\x1f\""), C(BAD, "\"\x08\""), C(BAD, "\"12345678\n\""),
    C(BAD, "\"\\\n\""), C(BAD, "\"\\\0\""), C(BAD, "\"a\\n\x01\""), C(BAD, "{\"a\x01\":1}"),
    C(BAD, "\"\\u000\x01\""), C(BAD, "[\"\n\"]"), C(BAD, "'a'"), C(BAD, "['a']"), C(BAD, "`a`"),
    C(BAD, "abc"), C(BAD, "\\\"a\""), C(BAD, "\\u0022a\""), C(BAD, "\"a\"b"), C(BAD, "\"a\" \"b\""),
    C(BAD, "\"a\"\"b\""), C(BAD, "\"a\"1"), C(BAD, "\"a\"\\"), C(BAD, "[\"a\"\"b\"]"),
    C(BAD, "[\"a\" 1]"), C(BAD, "[a]"), C(BAD, "\xe2\x80\x9c" "a\xe2\x80\x9d"),
    /* strings refused: escapes */
    C(BAD, "\"\\a\""), C(BAD, "\"\\v\""), C(BAD, "\"\\0\""), C(BAD, "\"\\x41\""), C(BAD, "\"\\'\""),
    C(BAD, "\"\\ \""), C(BAD, "\"\\N\""), C(BAD, "\"\\U00000041\""), C(BAD, "\"\\1\""),
    C(BAD, "\"\\e\""), C(BAD, "\"\\u\""), C(BAD, "\"\\u1\""), C(BAD, "\"\\u12\""),
    C(BAD, "\"\\u123\""), C(BAD, "\"\\u123g\""), C(BAD, "\"\\u 123\""), C(BAD, "\"\\u+123\""),
    C(BAD, "\"\\u-123\""), C(BAD, "\"\\u{41}\""), C(BAD, "\"\\uGHIJ\""), C(BAD, "\"\\u00\\u0041\""),
    C(BAD, "\"\\\xc3\xa9\""), C(BAD, "\"\\u00`0\""), C(BAD, "\"\\u00:0\""), C(BAD, "\"\\u00@0\""),
    C(BAD, "{\"\\a\":1}"), C(BAD, "\"\\ud83d\\ude0\""),
    /* strings refused: surrogates */
    C(BAD, "\"\\ud800\""), C(BAD, "\"\\udbff\""), C(BAD, "\"\\udc00\""), C(BAD, "\"\\udfff\""),
    C(BAD, "\"\\ud800a\""), C(BAD, "\"\\ud800\\n\""), C(BAD, "\"\\ud800\\u0041\""),
    C(BAD, "\"\\ud800\\ud800\""), C(BAD, "\"\\ud800\\udbff\""), C(BAD, "\"\\ud800\\ue000\""),
    C(BAD, "\"\\udc00\\ud800\""), C(BAD, "\"\\udc00\\udc00\""), C(BAD, "\"\\ud800 \\udc00\""),
    C(BAD, "\"\\ud800\\\""), C(BAD, "\"\\ud800\\u\""), C(BAD, "\"\\uD800udc00\""),
    C(BAD, "{\"\\ud800\":1}"), C(BAD, "\"\\ud83d\xed\xb8\x80\""),
    /* bytes that are not UTF-8 */
    C(BAD, "\x80"), C(BAD, "\"\x80\""), C(BAD, "\"\xbf\""), C(BAD, "\"\xc0\x80\""),
    C(BAD, "\"\xc1\xbf\""), C(BAD, "\"\xc2\""), C(BAD, "\"\xc2"), C(BAD, "\"\xe0\x80\x80\""),
    C(BAD, "\"\xe0\x9f\xbf\""), C(BAD, "\"\xe1\x80\""), C(BAD, "\"\xe1\""),
    C(BAD, "\"\xed\xa0\x80\""), C(BAD, "\"\xed\xbf\xbf\""), C(BAD, "\"\xf0\x80\x80\x80\""),
    C(BAD, "\"\xf0\x8f\xbf\xbf\""), C(BAD, "\"\xf0\x90\x80\""), C(BAD, "\"\xf4\x90\x80\x80\""),
    C(BAD, "\"\xf5\x80\x80\x80\""), C(BAD, "\"\xf8\x88\x80\x80\x80\""), C(BAD, "\"\xfe\""),
    C(BAD, "\"\xff\""), C(BAD, "\"\xe9\""), C(BAD, "\"a\xe2\x28\xa1\""), C(BAD, "[\xff]"),
    C(BAD, "{\"\xff\":1}"), C(BAD, "[1,\xc3\xa9]"), C(BAD, "\xe5"), C(BAD, "\"\xf0\x9f\x98\""),
    C(BAD, "\"\xc3\xa9\xa9\""),
    C(BAD, "\"0123456789012345678901234567890123456789012345678901234567890\xc3\""),
    /* arrays */
    C(OK, "[[]]"), C(OK, "[[],[]]"), C(OK, "[{}]"), C(OK, "[1,[2,[3]],4]"), C(OK, "[\n1\n,\n2\n]"),
    C(OK, "[null,1,\"1\",{}]"), C(OK, "[[[[]]],{\"a\":[]}]"), C(BAD, "["), C(BAD, "]"),
    C(BAD, "[["), C(BAD, "[]]"), C(BAD, "[[]"), C(BAD, "[1"), C(BAD, "[1,"), C(BAD, "[,"),
    C(BAD, "[,]"), C(BAD, "[1,]"), C(BAD, "[,1]"), C(BAD, "[1,,2]"), C(BAD, "[1,,]"), C(BAD, "[:]"),
    C(BAD, "[\"a\":1]"), C(BAD, "[1}"), C(BAD, "[}"), C(BAD, "[{]"), C(BAD, "[{]}"),
    C(BAD, "[1;2]"), C(BAD, "[1],"), C(BAD, "[1]1"), C(BAD, "[1][2]"), C(BAD, "[] []"),
    C(BAD, "[...]"), C(BAD, "[1 true]"), C(BAD, "[[] []]"), C(BAD, "[{} {}]"), C(BAD, "(1)"),
    C(BAD, "<1>"), C(BAD, "[*]"), C(BAD, "[\x0c]"), C(BAD, "[1\x0c" "2]"), C(BAD, "[1\x1a]"),
    C(BAD, "[\x1a]"), C(BAD, "[1\x0d,\x0e" "2]"),
    /* objects */
    C(OK, "{\"\":0}"), C(OK, "{\"a\":{\"a\":{\"a\":{}}}}"), C(OK, "{ \"a\" : 1 , \"b\" : 2 }"),
    C(OK, "{\"a\":1,\"A\":2}"), C(OK, "{\"a\":1,\"a \":2}"),
    C(OK, "{\"a\":{\"b\":1},\"b\":{\"a\":1}}"), C(OK, "{\"a\\u0000\":1,\"a\":2}"),
    C(OK, "{\"\\n\":1,\"n\":2}"), C(OK, "{\"a\":[],\"b\":{},\"c\":null}"), C(BAD, "{"), C(BAD, "}"),
    C(BAD, "{{"), C(BAD, "{}}"), C(BAD, "{]"), C(BAD, "{,}"), C(BAD, "{\"a\"}"), C(BAD, "{\"a\":}"),
    C(BAD, "{\"a\":1,}"), C(BAD, "{,\"a\":1}"), C(BAD, "{\"a\":1,,\"b\":2}"),
    C(BAD, "{\"a\":1 \"b\":2}"), C(BAD, "{\"a\" 1}"), C(BAD, "{\"a\"::1}"), C(BAD, "{\"a\":1:2}"),
    C(BAD, "{:1}"), C(BAD, "{a:1}"), C(BAD, "{'a':1}"), C(BAD, "{1:1}"), C(BAD, "{null:1}"),
    C(BAD, "{[]:1}"), C(BAD, "{{}:1}"), C(BAD, "{\"a\":1"), C(BAD, "{\"a\":"), C(BAD, "{\"a\""),
    C(BAD, "{\"a\":1]"), C(BAD, "{\"a\",1}"), C(BAD, "{\"a\"=1}"), C(BAD, "{\"a\":1;}"),
    C(BAD, "{\"a\":\"b\":\"c\"}"), C(BAD, "{} {}"), C(BAD, "{}1"), C(BAD, "{\"a\":a}"),
    C(BAD, "{\"a\" \"b\":1}"), C(BAD, "{\"a\"b:1}"), C(BAD, "{\"a\":1}x"), C(BAD, "{1}"),
    /* duplicate names */
    C(BAD, "{\"a\":1,\"a\":1}"), C(BAD, "{\"a\":1,\"b\":2,\"a\":3}"), C(BAD, "{\"\":1,\"\":2}"),
    C(BAD, "{\"a\":1,\"\\u0061\":2}"), C(BAD, "{\"\\u0061\":1,\"a\":2}"),
    C(BAD, "[{\"x\":{\"k\":1,\"k\":2}}]"), C(BAD, "{\"/\":1,\"\\/\":2}"),
    C(BAD, "{\"\xc3\xa9\":1,\"\\u00e9\":2}"), C(BAD, "{\"a\":{},\"a\":{}}"),
    C(BAD, "{\"a\":[{\"a\":1}],\"b\":{\"a\":2},\"a\":3}"),
    C(BAD, "{\"\xf0\x9f\x98\x80\":1,\"\\ud83d\\ude00\":2}"),
    C(BAD, "{\"a\\u0000\":1,\"a\\u0000\":2}"),
    /* comments and other extensions */
    C(BAD, "// x\n1"), C(BAD, "1 // x"), C(BAD, "/* x */1"), C(BAD, "1/**/"), C(BAD, "[1/**/]"),
    C(BAD, "# x\n1"), C(BAD, "{\"a\":1/**/}"), C(BAD, "1;"), C(BAD, "=1"), C(BAD, "$"), C(BAD, "@"),
    C(BAD, "\xc3\xa9"), C(BAD, "1 1"),
};
/* clang-format on */

#endif
