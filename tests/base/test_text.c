#include "fixture.h"

#define LITERAL(text) dbk_slice_of((text), sizeof(text) - 1)

static dbk_buffer out;

static int init_out(void **state)
{
    (void)state;
    dbk_buffer_init(&out, dbk_port_system());
    return 0;
}

static int release_out(void **state)
{
    (void)state;
    dbk_buffer_release(&out);
    return 0;
}

static bool by_definition(uint32_t code, uint8_t *bytes, size_t *size)
{
    if (code > 0x10FFFF || (code >= 0xD800 && code <= 0xDFFF)) return false;
    if (code < 0x80) {
        bytes[0] = (uint8_t)code;
        *size = 1;
        return true;
    }
    *size = code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    for (size_t i = *size - 1; i > 0; i--, code >>= 6) bytes[i] = (uint8_t)(0x80 | (code & 63));
    bytes[0] = (uint8_t)((0xF00 >> *size) | code);
    return true;
}

/* Every code point is valid whole, and invalid with its last byte missing. */
static void every_character_is_valid_and_no_part_of_one(void **state)
{
    (void)state;
    uint8_t bytes[4];
    size_t size;

    for (uint32_t code = 0; code <= 0x10FFFF; code++) {
        if (!by_definition(code, bytes, &size)) continue;
        assert_true(dbk_utf8_valid(dbk_slice_of(bytes, size)));
        if (size > 1) assert_false(dbk_utf8_valid(dbk_slice_of(bytes, size - 1)));
    }
}

static void any_bytes_are_made_readable(void **state)
{
    static const struct {
        const char *text, *readable;
    } cases[] = {{"", ""},
                 {"plain \xc3\xa9\xf0\x9f\x98\x80", "plain \xc3\xa9\xf0\x9f\x98\x80"},
                 {"\xff", "\xef\xbf\xbd"},
                 {"a\xc3", "a\xef\xbf\xbd"},
                 {"\xe2\x82z\x80", "\xef\xbf\xbd\xef\xbf\xbdz\xef\xbf\xbd"}};
    (void)state;

    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        dbk_slice text = dbk_slice_text(cases[i].text);
        uint8_t *made = malloc(text.size * DBK_UTF8_READABLE + 1); /* no byte more: a sanitizer watches */
        size_t size = dbk_utf8_readable(text, made);
        assert_true(dbk_slice_equal(dbk_slice_of(made, size), dbk_slice_text(cases[i].readable)));
        free(made);
    }
}

/* All texts of three bytes: the valid ones are counted by arithmetic. Lengths of one, two and three
 * bytes leave 128^3 + 2 * 128 * 1920 + (63488 - 2048) valid texts of exactly three bytes. */
static void valid_texts_of_three_bytes_are_as_many_as_computed(void **state)
{
    (void)state;
    uint32_t count = 0;

    for (uint32_t i = 0; i < 1 << 24; i++) {
        uint8_t bytes[3] = {(uint8_t)(i >> 16), (uint8_t)(i >> 8), (uint8_t)i};
        count += dbk_utf8_valid(dbk_slice_of(bytes, 3));
    }
    assert_int_equal(count, 128 * 128 * 128 + 2 * 128 * 1920 + 63488 - 2048);
}

static void malformed_texts_are_refused_anywhere(void **state)
{
    (void)state;
    static const dbk_slice bad[] = {
        {(const uint8_t *)"\x80", 1},
        {(const uint8_t *)"\xc0\x80", 2},
        {(const uint8_t *)"\xc1\xbf", 2},
        {(const uint8_t *)"\xe0\x9f\xbf", 3},
        {(const uint8_t *)"\xed\xa0\x80", 3},
        {(const uint8_t *)"\xf0\x8f\xbf\xbf", 4},
        {(const uint8_t *)"\xf4\x90\x80\x80", 4},
        {(const uint8_t *)"\xf5\x80\x80\x80", 4},
        {(const uint8_t *)"\xf1\x80\x80\x41", 4},
        {(const uint8_t *)"\xf1\x80\x41\x80", 4},
        {(const uint8_t *)"\xff", 1},
    };
    uint8_t text[40];

    assert_true(dbk_utf8_valid((dbk_slice){NULL, 0}));
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        for (size_t at = 0; at < 24; at++) {
            memset(text, 'a', sizeof(text));
            assert_true(dbk_utf8_valid(dbk_slice_of(text, sizeof(text))));
            memcpy(text + at, bad[i].data, bad[i].size);
            assert_false(dbk_utf8_valid(dbk_slice_of(text, sizeof(text))));
            assert_false(dbk_utf8_valid(dbk_slice_of(text, at + bad[i].size)));
        }
    }
}

static void hex_goes_both_ways(void **state)
{
    (void)state;
    uint8_t all[256], back[256];
    char text[513];

    for (size_t i = 0; i < 256; i++) all[i] = (uint8_t)i;
    dbk_hex_encode(dbk_slice_of(all, 256), text);
    assert_int_equal(strlen(text), 512);
    assert_memory_equal(text + 2 * 0xab, "ab", 2);
    assert_true(dbk_hex_decode(dbk_slice_text(text), back, 256));
    assert_memory_equal(all, back, 256);
    assert_true(dbk_hex_decode(dbk_slice_text("aBFf"), back, 2));
    assert_int_equal(back[0], 0xab);
    assert_int_equal(back[1], 0xff);
    dbk_hex_encode((dbk_slice){NULL, 0}, text);
    assert_string_equal(text, "");
    assert_true(dbk_hex_decode((dbk_slice){NULL, 0}, back, 0));
}

static void text_that_is_no_hex_is_refused(void **state)
{
    (void)state;
    uint8_t back[4];

    assert_false(dbk_hex_decode(dbk_slice_text("abc"), back, 1));
    assert_false(dbk_hex_decode(dbk_slice_text("abcd"), back, 1));
    assert_false(dbk_hex_decode(dbk_slice_text("ab"), back, 2));
    for (unsigned c = 0; c < 256; c++) {
        uint8_t text[2] = {'0', (uint8_t)c}, swapped[2] = {(uint8_t)c, '0'};
        bool digit = c && strchr("0123456789abcdefABCDEF", (int)c);
        assert_int_equal(dbk_hex_decode(dbk_slice_of(text, 2), back, 1), digit);
        assert_int_equal(dbk_hex_decode(dbk_slice_of(swapped, 2), back, 1), digit);
    }
}

/* The examples of RFC 4648, section 10. */
static void base64_matches_the_rfc(void **state)
{
    (void)state;
    static const char *const table[][2] = {
        {"", ""},
        {"f", "Zg=="},
        {"fo", "Zm8="},
        {"foo", "Zm9v"},
        {"foob", "Zm9vYg=="},
        {"fooba", "Zm9vYmE="},
        {"foobar", "Zm9vYmFy"},
        {"\xfb\xff", "+/8="},
    };

    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        dbk_buffer_clear(&out);
        dbk_base64_encode(&out, dbk_slice_text(table[i][0]));
        assert_string_equal(dbk_buffer_text(&out), table[i][1]);
        dbk_buffer_clear(&out);
        assert_true(dbk_base64_decode(&out, dbk_slice_text(table[i][1])));
        assert_string_equal(dbk_buffer_text(&out), table[i][0]);
    }
}

static void base64_goes_both_ways_at_every_length(void **state)
{
    (void)state;
    uint8_t data[100];
    dbk_buffer back;

    for (size_t i = 0; i < sizeof(data); i++) data[i] = (uint8_t)(i * 89 + 7);
    dbk_buffer_init(&back, dbk_port_system());
    for (size_t size = 0; size <= sizeof(data); size++) {
        dbk_buffer_clear(&out);
        dbk_buffer_clear(&back);
        dbk_buffer_put_text(&back, "before");
        dbk_base64_encode(&out, dbk_slice_of(data, size));
        assert_true(dbk_base64_decode(&back, dbk_buffer_slice(&out)));
        assert_int_equal(back.size, size + 6);
        assert_memory_equal(back.data + 6, data, size);
    }
    dbk_buffer_release(&back);
}

static void text_that_is_no_base64_leaves_the_buffer_alone(void **state)
{
    (void)state;
    static const char *const bad[] = {"A",    "AA",     "AAA",      "A===",     "====",  "AB==", "AAB=",
                                      "AA=A", "A=AA",   "AA==AAAA", "AAAA====", "AAA\n", "AAA-", "AAA_",
                                      "A AA", "Zg==\n", "****",     "AA*=",     "*A==",  "A*==", "AAAA*AAA"};

    dbk_buffer_clear(&out);
    dbk_buffer_put_text(&out, "before");
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_false(dbk_base64_decode(&out, dbk_slice_text(bad[i])));
        assert_string_equal(dbk_buffer_text(&out), "before");
    }
    /* every byte is a digit or refused, in each place of a group */
    for (unsigned c = 0; c < 256; c++) {
        bool digit = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '+' || c == '/';
        for (size_t at = 0; at < 4; at++) {
            uint8_t text[] = "AAAAAAAA";
            text[at] = (uint8_t)c;
            dbk_buffer_clear(&out);
            assert_int_equal(dbk_base64_decode(&out, dbk_slice_of(text, 8)), digit);
        }
    }
}

static void encoders_out_of_memory_fail_the_buffer(void **state)
{
    (void)state;
    thrifty_port thrifty;
    dbk_buffer small;

    thrifty_init(&thrifty, 1);
    dbk_buffer_init(&small, &thrifty.port);
    dbk_base64_encode(&small, dbk_slice_text("abc"));
    assert_true(small.failed);
    dbk_buffer_clear(&small);
    assert_true(dbk_base64_decode(&small, dbk_slice_text("Zm9v")));
    assert_true(small.failed);
    dbk_buffer_clear(&small);
    assert_true(dbk_percent_decode(&small, dbk_slice_text("abc")));
    assert_true(small.failed);
    assert_false(dbk_percent_decode(&small, dbk_slice_text("a%")));
    dbk_buffer_clear(&small);
    dbk_base64_encode(&small, (dbk_slice){(const uint8_t *)"", SIZE_MAX / 2});
    assert_true(small.failed);
    dbk_buffer_release(&small);
}

/* The unreserved characters of RFC 3986 stay, all else is coded; it reads back, but for NUL. */
static void percent_codes_all_but_unreserved_bytes(void **state)
{
    (void)state;
    static const char kept[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-~";

    for (unsigned c = 0; c < 256; c++) {
        uint8_t byte = (uint8_t)c;
        char expected[8];
        bool stays = c && strchr(kept, (int)c);
        (void)snprintf(expected, sizeof(expected), stays ? "%c" : "%%%02X", c);
        dbk_buffer_clear(&out);
        dbk_percent_encode(&out, dbk_slice_of(&byte, 1));
        assert_string_equal(dbk_buffer_text(&out), expected);
        dbk_buffer_clear(&out);
        assert_int_equal(dbk_percent_decode(&out, dbk_slice_text(expected)), c != 0);
        if (c) assert_true(dbk_slice_equal(dbk_buffer_slice(&out), dbk_slice_of(&byte, 1)));
    }
    dbk_buffer_clear(&out);
    assert_true(dbk_percent_decode(&out, dbk_slice_text("a%2fb/ %2F")));
    assert_string_equal(dbk_buffer_text(&out), "a/b/ /");
}

static void bad_percent_codes_leave_the_buffer_alone(void **state)
{
    (void)state;
    static const dbk_slice bad[] = {
        {(const uint8_t *)"a%", 2},   {(const uint8_t *)"a%2", 3},  {(const uint8_t *)"a%g0", 4},
        {(const uint8_t *)"a%0g", 4}, {(const uint8_t *)"a%00", 4}, {(const uint8_t *)"a\0b", 3},
        {(const uint8_t *)"%%41", 4},
    };

    dbk_buffer_clear(&out);
    dbk_buffer_put_text(&out, "before");
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_false(dbk_percent_decode(&out, bad[i]));
        assert_string_equal(dbk_buffer_text(&out), "before");
    }
}

static void uuids_go_both_ways(void **state)
{
    (void)state;
    const uint8_t uuid[16] = {0x12, 0x34, 0x56, 0x78, 0x9a, 0xbc, 0xde, 0xf0,
                              0x01, 0x23, 0x45, 0x67, 0x89, 0xab, 0xcd, 0xef};
    const char *text = "12345678-9abc-def0-0123-456789abcdef";
    char out_text[DBK_UUID_TEXT_SIZE];
    uint8_t back[16];

    dbk_uuid_text(uuid, out_text);
    assert_string_equal(out_text, text);
    assert_true(dbk_uuid_parse(dbk_slice_text(text), back));
    assert_memory_equal(back, uuid, 16);
    assert_true(dbk_uuid_parse(dbk_slice_text("12345678-9ABC-DEF0-0123-456789ABCDEF"), back));
    assert_memory_equal(back, uuid, 16);
    for (size_t i = 0; i < 36; i++) {
        (void)strcpy(out_text, text);
        out_text[i] = text[i] == '-' ? '0' : '-';
        assert_false(dbk_uuid_parse(dbk_slice_text(out_text), back));
    }
    assert_false(dbk_uuid_parse(dbk_slice_of(text, 35), back));
    assert_false(dbk_uuid_parse((dbk_slice){NULL, 0}, back));
}

static void assert_time(const char *text, int64_t expected)
{
    int64_t wall_ms = 77;

    if (!dbk_time_parse(dbk_slice_text(text), &wall_ms)) fail_msg("'%s' was refused", text);
    if (wall_ms != expected) fail_msg("'%s' gave %lld", text, (long long)wall_ms);
}

static void times_are_read_in_all_their_forms(void **state)
{
    (void)state;
    assert_time("1970-01-01", 0);
    assert_time("1970-01-01 00:01", 60000);
    assert_time("1970-01-01T00:00:01", 1000);
    assert_time("1970-01-01t00:00:01.5", 1500);
    assert_time("1970-01-01 00:00:00.0019999", 1);
    assert_time("1970-01-01T00:00:00Z", 0);
    assert_time("1970-01-01T00:00:00z", 0);
    assert_time("1970-01-01 00:00:00.25+00:00", 250);
    assert_time("1970-01-01T02:00:00+02:00", 0);
    assert_time("1969-12-31T18:30:00-05:30", 0);
    assert_time("1970-01-01T00:00:00-00:00", 0);
    assert_time("1969-12-31 23:59:59.999", -1);
    assert_time("2026-11-21T04:05:06.789Z", 1795233906789);
    assert_time("2000-02-29", 951782400000);
    assert_time("0000-01-01", -62167219200000);
    assert_time("9999-12-31 23:59:59.999", 253402300799999);
}

static void times_that_do_not_exist_are_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {"",
                                      "1970",
                                      "1970-01",
                                      "1970-1-01",
                                      "1970-01-1",
                                      "70-01-01",
                                      "1970/01/01",
                                      "1970-01/01",
                                      "1970-00-01",
                                      "1970-13-01",
                                      "1970-01-00",
                                      "1970-01-32",
                                      "1970-04-31",
                                      "1900-02-29",
                                      "2023-02-29",
                                      "2024-02-30",
                                      "1970-01-01 ",
                                      "1970-01-01 0",
                                      "1970-01-01 24:00",
                                      "1970-01-01 00:60",
                                      "1970-01-01 00-00",
                                      "1970-01-01 00:00:60",
                                      "1970-01-01 00:00-00",
                                      "1970-01-01 00:00:",
                                      "1970-01-01 00:00:00.",
                                      "1970-01-01 00:00:00.Z",
                                      "1970-01-01x00:00",
                                      "1970-01-01 00:00Z",
                                      "1970-01-01 00:00:00 Z",
                                      "1970-01-01 00:00:00Zx",
                                      "1970-01-01 00:00:00+0",
                                      "1970-01-01 00:00:00+24:00",
                                      "1970-01-01 00:00:00+00:60",
                                      "1970-01-01 00:00:00+0000",
                                      "1970-01-01 00:00:00*00:00",
                                      "0000-01-01T00:00:00+00:01",
                                      "9999-12-31T23:59:59-00:01",
                                      "+1970-01-01",
                                      "1970-01-01 00:00:00,5",
                                      "1970-01-01Z",
                                      "197a-01-01"};
    int64_t wall_ms = 77;

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        if (dbk_time_parse(dbk_slice_text(bad[i]), &wall_ms)) fail_msg("'%s' was read", bad[i]);
    }
    assert_false(dbk_time_parse(LITERAL("1970-01-01\0"), &wall_ms));
    assert_int_equal(wall_ms, 77);
}

static void assert_written(int64_t wall_ms, const char *stored, const char *rfc3339)
{
    char text[DBK_TIME_TEXT_SIZE];

    dbk_time_stored(wall_ms, true, text);
    assert_string_equal(text, stored);
    dbk_time_stored(wall_ms, false, text);
    assert_int_equal(strlen(text), 19);
    assert_memory_equal(text, stored, 19);
    dbk_time_rfc3339(wall_ms, text);
    assert_string_equal(text, rfc3339);
}

static void times_are_written_without_trailing_zeros(void **state)
{
    (void)state;
    assert_written(0, "1970-01-01 00:00:00", "1970-01-01T00:00:00.000Z");
    assert_written(1500, "1970-01-01 00:00:01.5", "1970-01-01T00:00:01.500Z");
    assert_written(50, "1970-01-01 00:00:00.05", "1970-01-01T00:00:00.050Z");
    assert_written(7, "1970-01-01 00:00:00.007", "1970-01-01T00:00:00.007Z");
    assert_written(-1, "1969-12-31 23:59:59.999", "1969-12-31T23:59:59.999Z");
    assert_written(1795233906789, "2026-11-21 04:05:06.789", "2026-11-21T04:05:06.789Z");
    assert_written(INT64_MIN, "0000-01-01 00:00:00", "0000-01-01T00:00:00.000Z");
    assert_written(INT64_MAX, "9999-12-31 23:59:59.999", "9999-12-31T23:59:59.999Z");
}

/* Every day of ten thousand years follows the one before it by the rules of the calendar, and is
 * read back as the day it was written for. */
static void every_day_follows_the_calendar(void **state)
{
    (void)state;
    static const int lengths[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    int year = 0, month = 1, day = 1;

    for (int64_t ms = -62167219200000; ms <= 253402300799999; ms += 86400000) {
        char text[DBK_TIME_TEXT_SIZE], expected[64];
        int64_t back;
        (void)snprintf(expected, sizeof(expected), "%04d-%02d-%02d 00:00:00", year, month, day);
        dbk_time_stored(ms, true, text);
        assert_string_equal(text, expected);
        assert_true(dbk_time_parse(dbk_slice_of(text, 10), &back));
        assert_true(back == ms);
        bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
        if (++day <= lengths[month - 1] + (month == 2 && leap)) continue;
        day = 1;
        if (++month <= 12) continue;
        month = 1;
        year++;
    }
    assert_int_equal(year, 10000);
}

static void near_names_are_found(void **state)
{
    (void)state;
    static const char *const names[] = {"notes", "people", "jobs", "", "attachments"};

    assert_string_equal(dbk_nearest(dbk_slice_text("notes"), names, 5), "notes");
    assert_string_equal(dbk_nearest(dbk_slice_text("ntoes"), names, 5), "notes");
    assert_string_equal(dbk_nearest(dbk_slice_text("note"), names, 5), "notes");
    assert_string_equal(dbk_nearest(dbk_slice_text("jobz"), names, 5), "jobs");
    assert_string_equal(dbk_nearest(dbk_slice_text("job"), names, 5), "jobs");
    assert_string_equal(dbk_nearest(dbk_slice_text("atachmetns"), names, 5), "attachments");
    assert_string_equal(dbk_nearest(dbk_slice_text("xpeopley"), names, 5), "people");
    assert_null(dbk_nearest(dbk_slice_text("jxbz"), names, 5));
    assert_null(dbk_nearest(dbk_slice_text("elephants"), names, 5));
    assert_null(dbk_nearest(dbk_slice_text(""), names, 5));
    assert_null(dbk_nearest(dbk_slice_text("notes"), names, 0));
}

/* Of two equally near names the first is taken, of a nearer and a farther one the nearer. */
static void the_nearest_name_wins(void **state)
{
    (void)state;
    static const char *const names[] = {"abcdex", "abcdey", "abcdef"};
    char longest[130];

    assert_string_equal(dbk_nearest(dbk_slice_text("abcdez"), names, 3), "abcdex");
    assert_string_equal(dbk_nearest(dbk_slice_text("abcdef"), names, 3), "abcdef");
    memset(longest, 'a', sizeof(longest) - 1);
    longest[129] = '\0';
    const char *const long_names[] = {longest};
    assert_null(dbk_nearest(dbk_slice_of(longest, 128), long_names, 1));
    assert_null(dbk_nearest(dbk_slice_of(longest, 129), long_names, 1));
    longest[128] = '\0';
    assert_non_null(dbk_nearest(dbk_slice_of(longest, 128), long_names, 1));
}

/* The one form that encoding gives, and no other. */
static void canonical_percent_codes_are_known(void **state)
{
    static const char *const canonical[] = {"", "a", "a-z_0.~", "%20", "a%2Fb", "%C3%A9", "%25", "%FF", "x%01y"};
    static const char *const others[] = {" ",  "a b", "/",   "%",   "a%",  "%2",  "%2f", "%c3",
                                         "%C", "%41", "%7E", "%00", "%GG", "%2G", "%fF", "%Ff"};

    (void)state;
    for (size_t i = 0; i < sizeof(canonical) / sizeof(*canonical); i++)
        if (!dbk_percent_is_canonical(dbk_slice_text(canonical[i]))) fail_msg("%s", canonical[i]);
    for (size_t i = 0; i < sizeof(others) / sizeof(*others); i++)
        if (dbk_percent_is_canonical(dbk_slice_text(others[i]))) fail_msg("%s", others[i]);
    for (unsigned byte = 1; byte < 256; byte++) {
        const uint8_t three[] = {'a', (uint8_t)byte, 'z'};
        dbk_buffer_clear(&out);
        dbk_percent_encode(&out, dbk_slice_of(three, sizeof(three)));
        assert_true(dbk_percent_is_canonical(dbk_buffer_slice(&out)));
        assert_int_equal(out.data[out.size - 1], 'z');
    }
}

/* In a value a time with a T has a zone: by its letter, or in hours and minutes. */
static void times_of_values_have_zones(void **state)
{
    static const char *const good[] = {"2027-01-31T12:00:00Z",      "2027-01-31t12:00:00z",
                                       "2027-01-31T12:00:00+00:00", "2027-01-31T13:00:00+01:00",
                                       "2027-01-31T11:00:00-01:00", "2027-01-31 12:00:00"};
    static const char *const bad[] = {
        "2027-01-31T12:00:00",     "2027-01-31T12:00", "2027-01-31T1", "2027-02-31T12:00:00Z", "",
        "2027-01-31T12:00:00+0100"};
    int64_t first = 0, ms;

    (void)state;
    assert_true(dbk_time_parse_value(dbk_slice_text(good[0]), &first));
    for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++) {
        if (!dbk_time_parse_value(dbk_slice_text(good[i]), &ms) || ms != first) fail_msg("%s", good[i]);
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
        if (dbk_time_parse_value(dbk_slice_text(bad[i]), &ms)) fail_msg("%s", bad[i]);
    assert_true(dbk_time_parse_value(dbk_slice_text("2027-01-31"), &ms));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_character_is_valid_and_no_part_of_one),
        cmocka_unit_test(valid_texts_of_three_bytes_are_as_many_as_computed),
        cmocka_unit_test(malformed_texts_are_refused_anywhere),
        cmocka_unit_test(any_bytes_are_made_readable),
        cmocka_unit_test(hex_goes_both_ways),
        cmocka_unit_test(text_that_is_no_hex_is_refused),
        cmocka_unit_test(base64_matches_the_rfc),
        cmocka_unit_test(base64_goes_both_ways_at_every_length),
        cmocka_unit_test(text_that_is_no_base64_leaves_the_buffer_alone),
        cmocka_unit_test(encoders_out_of_memory_fail_the_buffer),
        cmocka_unit_test(percent_codes_all_but_unreserved_bytes),
        cmocka_unit_test(bad_percent_codes_leave_the_buffer_alone),
        cmocka_unit_test(uuids_go_both_ways),
        cmocka_unit_test(times_are_read_in_all_their_forms),
        cmocka_unit_test(times_that_do_not_exist_are_refused),
        cmocka_unit_test(times_are_written_without_trailing_zeros),
        cmocka_unit_test(every_day_follows_the_calendar),
        cmocka_unit_test(canonical_percent_codes_are_known),
        cmocka_unit_test(times_of_values_have_zones),
        cmocka_unit_test(near_names_are_found),
        cmocka_unit_test(the_nearest_name_wins),
    };

    return cmocka_run_group_tests_name("text", tests, init_out, release_out);
}
