/* JSON out: shortest, minimal, canonical. */
#include "json_fixture.h"

#include "json_cases.h"

static void strings_are_escaped_in_the_shortest_form(void **state)
{
    (void)state;
    dbk_json_put_string(&out, dbk_slice_text(""));
    assert_out("\"\"");
    dbk_json_put_string(&out, dbk_slice_of(NULL, 0));
    assert_out("\"\"");
    dbk_json_put_string(&out, dbk_slice_text("plain text / \xc3\xa9\xf0\x9f\x98\x80\x7f"));
    assert_out("\"plain text / \xc3\xa9\xf0\x9f\x98\x80\x7f\"");
    dbk_json_put_string(&out, dbk_slice_of("\b\f\n\r\t\"\\\0\x01\x1f\x0b", 11));
    assert_out("\"\\b\\f\\n\\r\\t\\\"\\\\\\u0000\\u0001\\u001f\\u000b\"");
    dbk_json_put_string(&out, dbk_slice_text("12345678\n12345678\"x"));
    assert_out("\"12345678\\n12345678\\\"x\"");
}

/* Each byte at each place of a word: what needs an escape gets one, the others stay. */
static void escapes_are_found_at_every_place(void **state)
{
    (void)state;
    for (unsigned byte = 0; byte < 0x80; byte++) {
        for (unsigned place = 0; place < 16; place++) {
            char text[20] = "abcdefghijklmnop";
            bool plain = byte >= 0x20 && byte != '"' && byte != '\\';
            text[place] = (char)byte;
            dbk_buffer_clear(&out);
            dbk_json_put_string(&out, dbk_slice_of(text, 16));
            assert_true(plain ? out.size == 18 : out.size > 18);
            assert_int_equal(out.data[place + 1], plain ? byte : '\\');
            assert_memory_equal(parse_slice(dbk_buffer_slice(&out))->text.data, text, 16);
        }
    }
}

static void integers_are_written_whole(void **state)
{
    (void)state;
    dbk_json_put_i64(&out, 0);
    assert_out("0");
    dbk_json_put_i64(&out, -1);
    assert_out("-1");
    dbk_json_put_i64(&out, INT64_MIN);
    assert_out("-9223372036854775808");
    dbk_json_put_i64(&out, INT64_MAX);
    assert_out("9223372036854775807");
    dbk_json_put_u64(&out, UINT64_MAX);
    assert_out("18446744073709551615");
}

static void doubles_are_written_shortest(void **state)
{
    (void)state;
    static const struct {
        double value;
        const char *text;
    } cases[] = {{0.0, "0.0"},
                 {-0.0, "-0.0"},
                 {2.0, "2.0"},
                 {-2.5, "-2.5"},
                 {0.1, "0.1"},
                 {100000.0, "100000.0"},
                 {1e15, "1000000000000000.0"},
                 {9007199254740994.0, "9007199254740994.0"},
                 {1e16, "1e+16"},
                 {1e21, "1e+21"},
                 {0.0001, "0.0001"},
                 {0.00001, "1e-05"},
                 {1.0 / 3, "0.3333333333333333"},
                 {5e-324, "5e-324"},
                 {1.7976931348623157e308, "1.7976931348623157e+308"},
                 {-2.2250738585072014e-308, "-2.2250738585072014e-308"},
                 {0.00012345678901234567, "0.00012345678901234567"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        dbk_json_put_double(&out, cases[i].value);
        assert_out(cases[i].text);
    }
}

/* What is written for a double is read back as the same one, bit by bit. */
static void doubles_come_back(void **state)
{
    (void)state;
    uint64_t seed = 88172645463325252u;
    for (unsigned i = 0; i < 20000; i++) {
        double value;
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        memcpy(&value, &seed, sizeof value);
        if (!__builtin_isfinite(value)) continue;
        dbk_buffer_clear(&out);
        dbk_json_put_double(&out, value);
        double back = dbk_json_double(parse_slice(dbk_buffer_slice(&out)));
        assert_memory_equal(&value, &back, sizeof value);
    }
}

static void minimal_keeps_order_and_numbers(void **state)
{
    (void)state;
    dbk_json_put_minimal(&out,
                         parse(" { \"b\" : [ 1.10 , 12345678901234567890, -0, 1E5 ] ,\n\"a\":{ } ,\"c\\u0041\": [ ],"
                               " \"d\":[null,true,false,\"\\u00e9\\/\\u000A\"]} "));
    assert_out("{\"b\":[1.10,12345678901234567890,-0,1E5],\"a\":{},\"cA\":[],\"d\":[null,true,"
               "false,\"\xc3\xa9/\\n\"]}");
    dbk_json_put_minimal(&out, parse(" \"x\" "));
    assert_out("\"x\"");
}

static void canonical_sorts_by_bytes_at_every_depth(void **state)
{
    (void)state;
    dbk_json_put_canonical(&out,
                           parse("{\"b\":{\"z\":1,\"y\":[{\"q\":1,\"p\":2},{}]},\"a\":1.0,\"\":0,\"aa\":2,\"A\":3}"));
    assert_out("{\"\":0,\"A\":3,\"a\":1.0,\"aa\":2,\"b\":{\"y\":[{\"p\":2,\"q\":1},{}],\"z\":1}}");
    /* UTF-8 orders as code points do, unlike UTF-16: U+FFFF before U+10000. A NUL is the least. */
    dbk_json_put_canonical(&out, parse("{\"\\ud800\\udc00\":1,\"\\uffff\":2,\"\\u007f\":3,\"a\\u0000\":4,\"a\":5}"));
    assert_out("{\"a\":5,\"a\\u0000\":4,\"\x7f\":3,\"\xef\xbf\xbf\":2,\"\xf0\x90\x80\x80\":1}");
    dbk_json_put_canonical(&out, parse("[3,2,1]"));
    assert_out("[3,2,1]");
    /* Equal heads of eight bytes are decided by the rest. */
    dbk_json_put_canonical(&out, parse("{\"longname2\":1,\"longname1\":2,\"longname\":3}"));
    assert_out("{\"longname\":3,\"longname1\":2,\"longname2\":1}");
}

/* For any order of the members, at sizes on both sides of each limit inside. */
static void canonical_does_not_depend_on_the_order(void **state)
{
    (void)state;
    static const unsigned sizes[] = {2, 16, 17, 31, 32, 33, 34, 100, 1000};
    dbk_buffer expected;
    dbk_buffer_init(&expected, dbk_port_system());
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        unsigned count = sizes[s];
        dbk_buffer_clear(&expected);
        for (unsigned i = 0; i < count; i++)
            dbk_buffer_printf(&expected, "%c\"member%04u\":[{\"x\":%u}]", i ? ',' : '{', i, i);
        dbk_buffer_put_u8(&expected, '}');
        for (unsigned step = 1; step < 8; step += 2) {
            dbk_buffer text;
            dbk_buffer_init(&text, dbk_port_system());
            /* 10007 is a prime above every size: i * step visits each member once */
            unsigned put = 0;
            for (unsigned i = 0; put < count; i++) {
                unsigned member = (10006 - i * step % 10007);
                if (member >= count) continue;
                dbk_buffer_printf(&text, "%c\"member%04u\":[{\"x\":%u}]", put++ ? ',' : '{', member, member);
            }
            dbk_buffer_put_u8(&text, '}');
            dbk_json_put_canonical(&out, parse_slice(dbk_buffer_slice(&text)));
            assert_true(dbk_slice_equal(dbk_buffer_slice(&out), dbk_buffer_slice(&expected)));
            dbk_buffer_clear(&out);
            dbk_buffer_release(&text);
        }
    }
    dbk_buffer_release(&expected);
}

/* parse, minimal, parse gives the same nodes: over all documents that are accepted. */
static void minimal_form_is_read_as_the_same(void **state)
{
    (void)state;
    dbk_json_parser *second = dbk_json_parser_new(&port);
    const dbk_json_node *root, *again;
    for (size_t i = 0; i < sizeof json_cases / sizeof *json_cases; i++) {
        if (json_cases[i].expected != DBK_OK) continue;
        root = parse_slice(dbk_slice_of(json_cases[i].text, json_cases[i].size));
        dbk_buffer_clear(&out);
        dbk_json_put_minimal(&out, root);
        assert_int_equal(dbk_json_parse(second, dbk_buffer_slice(&out), &again, &err), DBK_OK);
        assert_int_equal(again->span, root->span);
        for (uint32_t k = 0; k < root->span; k++) {
            assert_int_equal(root[k].kind, again[k].kind);
            assert_int_equal(root[k].span, again[k].span);
            assert_int_equal(root[k].count, again[k].count);
            assert_true(dbk_slice_equal(root[k].name, again[k].name));
            assert_true(root[k].kind >= DBK_JSON_ARRAY || dbk_slice_equal(root[k].text, again[k].text));
        }
    }
    dbk_json_parser_free(second);
}

/* Every allocation of a writer fails; the buffer remembers it, whatever is put afterwards. */
static void writing_without_memory_marks_the_buffer(void **state)
{
    (void)state;
    dbk_buffer text, small;
    dbk_buffer_init(&text, dbk_port_system());
    repeat(&text, "{\"a\":[true,false,null,{},1.5,\"x\",\"\\n\",{\"b\":[]}],", "\"n%u\":\"\\u0001\"", 40, "}");
    const dbk_json_node *root = parse_slice(dbk_buffer_slice(&text));
    for (unsigned n = 1, failed = 1; failed; n++) {
        dbk_buffer_init(&small, &port);
        calls = 0;
        fail_at = n;
        dbk_json_put_string(&small, dbk_slice_text("plain"));
        dbk_json_put_canonical(&small, root);
        dbk_json_put_minimal(&small, root);
        failed = small.failed;
        assert_true(failed || n > 2);
        fail_at = 0;
        dbk_buffer_release(&small);
    }
    dbk_buffer_release(&text);
}

/* Memory ends at each byte of what is written: the buffer says so, and takes nothing more. */
static void memory_ends_at_each_byte(void **state)
{
    dbk_buffer text, whole;

    (void)state;
    dbk_buffer_init(&text, dbk_port_system());
    dbk_buffer_init(&whole, dbk_port_system());
    repeat(&text, "{\"b\":[true,false,null,{},-12345678.5,\"a text of some length, more than sixteen\",\"eight by\"],",
           "\"n%u\":\"\\u0001\"", 35, "}");
    dbk_json_node root = *parse_slice(dbk_buffer_slice(&text)), *nodes = malloc(root.span * sizeof(*nodes));
    memcpy(nodes, parse_slice(dbk_buffer_slice(&text)), root.span * sizeof(*nodes));
    for (int sorted = 0; sorted < 2; sorted++) {
        void (*put)(dbk_buffer *, const dbk_json_node *) = sorted ? dbk_json_put_canonical : dbk_json_put_minimal;
        dbk_buffer_clear(&whole);
        put(&whole, nodes);
        nodes[0].text.size = 0; /* nothing is known of its size */
        for (size_t filled = 0; filled < whole.size + 80; filled++) {
            dbk_buffer small;
            dbk_buffer_init(&small, &port);
            fail_at = 0;
            assert_true(dbk_buffer_reserve(&small, whole.size + 64));
            while (small.size < small.capacity && small.size < filled) small.data[small.size++] = ' ';
            calls = 0;
            fail_at = sorted ? 2 : 1; /* sorting takes a piece */
            put(&small, nodes);
            if (!small.failed) assert_memory_equal(small.data + filled, whole.data, whole.size);
            assert_true(small.failed || filled + whole.size <= small.capacity);
            fail_at = 0;
            dbk_buffer_release(&small);
        }
        nodes[0].text.size = root.text.size;
    }
    free(nodes);
    dbk_buffer_release(&whole);
    dbk_buffer_release(&text);
}

/* The room that is reserved first is the size of the input; nodes of another origin, whose raw text
 * is too short, are written whole all the same. */
static void a_value_may_outgrow_its_raw_text(void **state)
{
    (void)state;
    dbk_json_node nodes[5];
    memcpy(nodes, parse("[true,\"0123456789\",\"\\u0001\",7]"), sizeof nodes);
    nodes[0].text.size = 0;
    dbk_json_put_minimal(&out, nodes);
    assert_out("[true,\"0123456789\",\"\\u0001\",7]");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(strings_are_escaped_in_the_shortest_form),
        T(escapes_are_found_at_every_place),
        T(integers_are_written_whole),
        T(doubles_are_written_shortest),
        T(doubles_come_back),
        T(minimal_keeps_order_and_numbers),
        T(canonical_sorts_by_bytes_at_every_depth),
        T(canonical_does_not_depend_on_the_order),
        T(minimal_form_is_read_as_the_same),
        T(a_value_may_outgrow_its_raw_text),
        T(writing_without_memory_marks_the_buffer),
        T(memory_ends_at_each_byte),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
