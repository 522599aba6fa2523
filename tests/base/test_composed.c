/* Unicode's normalisation form C: the kinds of UAX #15 one by one, then what holds for all texts. */
#include <utf8proc.h>

#include "fixture.h"

static dbk_buffer out, again, wide;

static int init_buffers(void **state)
{
    (void)state;
    dbk_buffer_init(&out, dbk_port_system());
    dbk_buffer_init(&again, dbk_port_system());
    dbk_buffer_init(&wide, dbk_port_system());
    return 0;
}

static int release_buffers(void **state)
{
    (void)state;
    dbk_buffer_release(&out);
    dbk_buffer_release(&again);
    dbk_buffer_release(&wide);
    return 0;
}

static void assert_composed(dbk_slice text, dbk_slice expected, size_t row)
{
    dbk_buffer_clear(&out);
    assert_true(dbk_utf8_compose(&out, text, &wide));
    assert_false(out.failed);
    if (!dbk_slice_equal(dbk_buffer_slice(&out), expected)) fail_msg("row %zu", row);
}

typedef struct vector {
    const char *text, *composed; /* NULL: as it is */
} vector;

static void assert_vectors(const vector *vectors, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        dbk_slice text = dbk_slice_text(vectors[i].text);
        dbk_slice expected = vectors[i].composed ? dbk_slice_text(vectors[i].composed) : text;
        assert_composed(text, expected, i);
        assert_composed(expected, expected, i);
        /* what stands around it changes nothing, unless it is part of it */
        dbk_buffer_clear(&again);
        dbk_buffer_printf(&again, "ab\u00e9 \u4e2d%s\u4e2d x", vectors[i].text);
        char whole[256];
        (void)snprintf(whole, sizeof whole, "ab\u00e9 \u4e2d%s\u4e2d x", (const char *)expected.data);
        assert_composed(dbk_buffer_slice(&again), dbk_slice_text(whole), i);
    }
}
#define ASSERT_VECTORS(list) assert_vectors(list, sizeof(list) / sizeof *(list))

static void letters_and_marks_are_joined(void **state)
{
    static const vector vectors[] = {
        {"", NULL},
        {"plain text", NULL},
        {"e\u0301", "\u00e9"},
        {"\u00e9", NULL},
        {"A\u030a", "\u00c5"},
        {"cafe\u0301s", "caf\u00e9s"},
        {"q\u0301", NULL},          /* no such letter */
        {"\u0438\u0306", "\u0439"}, /* Cyrillic */
        {"\u0430\u0301", NULL},
        {"\u03b1\u0345", "\u1fb3"},             /* Greek */
        {"\u03b1\u0313\u0301\u0345", "\u1f84"}, /* in three steps */
        {"\u1f04\u0345", "\u1f84"},
        {"\u0627\u0653", "\u0622"}, /* Arabic */
        {"\u304b\u3099", "\u304c"}, /* Kana */
        {"\u30cf\u309a", "\u30d1"},
        {"\u0928\u093c", "\u0929"}, /* Devanagari */
        {"\u09c7\u09be", "\u09cb"}, /* of two that are no marks in order */
        {"\u0dd9\u0dcf\u0dca", "\u0ddd"},
        {"\u1025\u102e", "\u1026"},
        {"a\u0328\u0301", "\u0105\u0301"},
        {"a\u0301\u0328", "\u0105\u0301"},
        {"o\u0302\u0301", "\u1ed1"},       /* Vietnamese */
        {"o\u0301\u0302", "\u00f3\u0302"}, /* of one class: their order counts */
        {"<\u0338", "\u226e"},
        {"\U00011131\U00011127", "\U0001112e"}, /* beyond 16 bits */
        {"\U0001f600\u0301", NULL},
        {"\u0301\u0300", NULL}, /* nothing to join with */
    };

    (void)state;
    ASSERT_VECTORS(vectors);
}

static void hangul_is_joined_by_arithmetic(void **state)
{
    static const vector vectors[] = {
        {"\u1100\u1161", "\uac00"},
        {"\u1100\u1161\u11a8", "\uac01"},
        {"\uac00\u11a8", "\uac01"},
        {"\u1112\u1175\u11c2", "\ud7a3"},
        {"\ud7a3\u11a8", NULL}, /* full */
        {"\uac01\u11a8", NULL},
        {"\u1100\u0301\u1161", NULL}, /* kept apart */
        {"\uac00\u0301\u11a8", NULL},
        {"\u1100\u1100\u1161", "\u1100\uac00"},
        {"\uac00\u11a7", NULL}, /* one before the first of the trailing ones */
        {"\u1100\u1161\u11a7\u11a8", "\uac00\u11a7\u11a8"},
        {"\u11a7\u11a7", NULL},
        {"\ud4db", NULL},
    };

    (void)state;
    ASSERT_VECTORS(vectors);
}

static void marks_are_ordered_by_class(void **state)
{
    static const vector vectors[] = {
        {"q\u0307\u0323", "q\u0323\u0307"},
        {"d\u0307\u0323", "\u1e0d\u0307"},
        {"\u1e0b\u0323", "\u1e0d\u0307"},
        {"\u0301\u0323", "\u0323\u0301"},
        {"x\u0315\u0300\u05ae\u0323y", "x\u0323\u05ae\u0300\u0315y"},
        {"k\u0308\u0301\u0300", NULL}, /* of one class */
        {"A\u035c\u0315\u0300\u05ae\u0300"
         "b",
         "\u00c0\u05ae\u0300\u0315\u035cb"},
        {"\u05d0\u05b8\u05bc", "\u05d0\u05b8\u05bc"},
        {"\u05d0\u05bc\u05b8", "\u05d0\u05b8\u05bc"},
        {"\u0e01\u0e48\u0e38", "\u0e01\u0e38\u0e48"},
        {"\u0344", "\u0308\u0301"}, /* that fall apart themselves */
        {"\u0345\u0344", "\u0308\u0301\u0345"},
    };

    (void)state;
    ASSERT_VECTORS(vectors);
}

/* One for another, and what falls apart for good. */
static void some_characters_never_stay(void **state)
{
    static const vector vectors[] = {
        {"\u212b", "\u00c5"}, /* the sign of Angstrom */
        {"\u2126", "\u03a9"},
        {"\u212a", "K"},
        {"\u037e", ";"},
        {"\u0387", "\u00b7"},
        {"\u0340", "\u0300"},
        {"e\u0341", "\u00e9"},
        {"\u1fef", "`"},
        {"\u2000", "\u2002"},
        {"\u2329", "\u3008"},
        {"\uf900", "\u8c48"},
        {"\U0002f800", "\u4e3d"},
        {"\u0958", "\u0915\u093c"}, /* composition exclusions */
        {"\u0915\u093c", NULL},
        {"\u0f43", "\u0f42\u0fb7"},
        {"\ufb1d", "\u05d9\u05b4"},
        {"\ufb2c", "\u05e9\u05bc\u05c1"},
        {"\u2adc", "\u2add\u0338"},
        {"\U0001d15e", "\U0001d157\U0001d165"},
        {"\ufb01", NULL}, /* compatibility alone is another form */
        {"\u00bd\u2460\uff21", NULL},
    };

    (void)state;
    ASSERT_VECTORS(vectors);
}

/* ---- all texts */

static size_t put_point(uint8_t *at, uint32_t point)
{
    size_t size = point < 0x80 ? 1 : point < 0x800 ? 2 : point < 0x10000 ? 3 : 4;

    if (size == 1) at[0] = (uint8_t)point;
    for (size_t i = size - 1; size > 1 && i > 0; i--, point >>= 6) at[i] = (uint8_t)(0x80 | (point & 63));
    if (size > 1) at[0] = (uint8_t)((0xF00 >> size) | point);
    return size;
}

/* What is still by its bytes alone is so by the tables: itself in form C, no mark, and joined with nothing before. */
static void still_characters_stay(void **state)
{
    static const int32_t before[] = {'A', 'a', '<', 0x1100, 0xac00, 0x9c7, 0xdd9, 0x304b, 0x3b1, 0x627};
    uint8_t text[4];
    size_t still = 0;

    (void)state;
    for (uint32_t point = 1; point < 0x110000; point++) {
        if (point >= 0xd800 && point < 0xe000) continue;
        if (!dbk_utf8_is_still(dbk_slice_of(text, put_point(text, point)))) continue;
        still++;
        int32_t parts[8];
        int unused = 0;
        utf8proc_option_t form = UTF8PROC_STABLE | UTF8PROC_COMPOSE;
        utf8proc_ssize_t count = utf8proc_decompose_char((int32_t)point, parts, 8, form, &unused);
        assert_int_equal(utf8proc_normalize_utf32(parts, count, form), 1);
        assert_int_equal(parts[0], point);
        assert_int_equal(utf8proc_get_property((int32_t)point)->combining_class, 0);
        for (size_t i = 0; i < sizeof before / sizeof *before; i++) {
            int32_t pair[2] = {before[i], (int32_t)point};
            assert_int_equal(utf8proc_normalize_utf32(pair, 2, form), 2);
        }
    }
    assert_int_equal(still, 0x2ff + 0x80 + 0x6000 + 0x2000);
}

static uint32_t next(uint32_t *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 17;
    return *seed ^= *seed << 5;
}

/* Composing twice is composing once; and a text cut before a letter is composed part by part. */
static void it_holds_for_any_text(void **state)
{
    static const uint32_t from[] = {'a',    '<',    0xe9,   0x300,  0x301,  0x323,  0x338,   0x344,  0x345,
                                    0x3b1,  0x958,  0x9c7,  0x9be,  0x1100, 0x1161, 0x11a7,  0x11a8, 0x1f82,
                                    0x212b, 0x3099, 0x304b, 0x4e2d, 0xac00, 0xfb2c, 0x1d15e, 0x1f600};
    uint32_t seed = 20261122;
    uint8_t text[128];

    (void)state;
    for (size_t run = 0; run < 20000; run++) {
        size_t size = 0, cut;
        while (size < 60 && next(&seed) % 12) size += put_point(text + size, from[next(&seed) % 26]);
        cut = size;
        size += put_point(text + size, 'a');
        while (size < 120 && next(&seed) % 12) size += put_point(text + size, from[next(&seed) % 26]);
        dbk_buffer_clear(&again);
        assert_true(dbk_utf8_compose(&again, dbk_slice_of(text, cut), &wide));
        assert_true(dbk_utf8_compose(&again, dbk_slice_of(text + cut, size - cut), &wide));
        assert_composed(dbk_slice_of(text, size), dbk_buffer_slice(&again), run);
        assert_composed(dbk_buffer_slice(&again), dbk_buffer_slice(&again), run);
    }
}

static void what_is_no_text_leaves_the_buffer_alone(void **state)
{
    static const char *const bad[] = {"e\xcc",        "abc\xcc",       "e\u0301 e\xcc",
                                      "\xcc\x81\xff", "a\xed\xa0\x80", "\x81\xf5\x80\x80\x80"};

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        dbk_buffer_clear(&out);
        dbk_buffer_put_text(&out, "before");
        assert_false(dbk_utf8_compose(&out, dbk_slice_text(bad[i]), &wide));
        assert_string_equal(dbk_buffer_text(&out), "before");
    }
}

/* 1 MiB of marks in the worst order: a line, not a square. */
static void a_long_run_of_marks_is_ordered_at_once(void **state)
{
    enum { PAIRS = 1 << 18 };
    uint8_t *text = malloc(PAIRS * 4 + 1);

    (void)state;
    assert_non_null(text);
    for (size_t i = 0; i < PAIRS; i++) memcpy(text + 4 * i, i < PAIRS / 2 ? "\u0301\u0300" : "\u0323\u0324", 4);
    dbk_buffer_clear(&out);
    assert_true(dbk_utf8_compose(&out, dbk_slice_of(text, PAIRS * 4), &wide));
    assert_int_equal(out.size, PAIRS * 4);
    for (size_t i = 0; i < PAIRS; i++)
        assert_memory_equal(out.data + 4 * i, i < PAIRS / 2 ? "\u0323\u0324" : "\u0301\u0300", 4);
    assert_in_range(wide.capacity, 1, 8 << 20);
    free(text);
}

static void out_of_memory_shows_in_the_buffer(void **state)
{
    static const char text[] = "a long beginning that is still, then e\u0301\u0323\u0300\u0316\u0301\u0323\u0300\u0316"
                               "\u0301\u0323\u0300\u0316\u0301\u0323\u0300\u0316\u0301\u0323\u0300\u0316 and more";
    size_t failed = 0;
    bool through = false;

    (void)state;
    for (size_t at = 1; !through; at++) {
        thrifty_port thrifty;
        dbk_buffer small, room;
        thrifty_init(&thrifty, at);
        thrifty.once = true;
        dbk_buffer_init(&small, &thrifty.port);
        dbk_buffer_init(&room, &thrifty.port);
        assert_true(dbk_utf8_compose(&small, dbk_slice_text(text), &room));
        through = thrifty.calls < at;
        assert_int_equal(small.failed, !through);
        failed += small.failed;
        dbk_buffer_release(&small);
        dbk_buffer_release(&room);
        assert_int_equal(thrifty.held, 0);
    }
    assert_in_range(failed, 3, 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(letters_and_marks_are_joined),
        cmocka_unit_test(hangul_is_joined_by_arithmetic),
        cmocka_unit_test(marks_are_ordered_by_class),
        cmocka_unit_test(some_characters_never_stay),
        cmocka_unit_test(still_characters_stay),
        cmocka_unit_test(it_holds_for_any_text),
        cmocka_unit_test(what_is_no_text_leaves_the_buffer_alone),
        cmocka_unit_test(a_long_run_of_marks_is_ordered_at_once),
        cmocka_unit_test(out_of_memory_shows_in_the_buffer),
    };

    return cmocka_run_group_tests_name("composed", tests, init_buffers, release_buffers);
}
