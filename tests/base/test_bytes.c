#include "fixture.h"

/* A slice that begins another comes first; otherwise the first differing byte, unsigned, decides. */
static void slices_are_ordered_by_bytes_then_length(void **state)
{
    (void)state;
    dbk_slice empty = {NULL, 0}, a = dbk_slice_text("a"), ab = dbk_slice_text("ab");
    dbk_slice high = dbk_slice_text("\xff");

    assert_true(dbk_slice_compare(empty, a) < 0);
    assert_true(dbk_slice_compare(a, empty) > 0);
    assert_true(dbk_slice_compare(a, ab) < 0);
    assert_true(dbk_slice_compare(high, ab) > 0);
    assert_int_equal(dbk_slice_compare(empty, empty), 0);
    assert_int_equal(dbk_slice_compare(ab, dbk_slice_text("ab")), 0);
    assert_true(dbk_slice_equal(empty, dbk_slice_text("")));
    assert_false(dbk_slice_equal(a, ab));
    assert_false(dbk_slice_equal(a, dbk_slice_text("b")));
}

static void sums_and_products_stop_at_64_bits(void **state)
{
    (void)state;
    uint64_t out = 7;

    assert_true(dbk_add(UINT64_MAX - 1, 1, &out));
    assert_true(out == UINT64_MAX);
    assert_false(dbk_add(UINT64_MAX, 1, &out));
    assert_true(dbk_mul(UINT32_MAX, UINT32_MAX, &out));
    assert_true(out == (uint64_t)UINT32_MAX * UINT32_MAX);
    out = 7;
    assert_false(dbk_mul((uint64_t)1 << 32, (uint64_t)1 << 32, &out));
    assert_int_equal(out, 7);
    assert_int_equal(dbk_round_up(0, 8), 0);
    assert_int_equal(dbk_round_up(1, 8), 8);
    assert_int_equal(dbk_round_up(16, 8), 16);
}

/* What the puts write, the takes read back, in little-endian order on disk. */
static void integers_go_through_buffer_and_reader(void **state)
{
    (void)state;
    static const uint8_t expected[] = {0x01, 0x03, 0x02, 0x07, 0x06, 0x05, 0x04, 0x0f,
                                       0x0e, 0x0d, 0x0c, 0x0b, 0x0a, 0x09, 0x08, 'x'};
    dbk_buffer buffer;

    dbk_buffer_init(&buffer, dbk_port_system());
    dbk_buffer_put_u8(&buffer, 0x01);
    dbk_buffer_put_u16(&buffer, 0x0203);
    dbk_buffer_put_u32(&buffer, 0x04050607);
    dbk_buffer_put_u64(&buffer, 0x08090a0b0c0d0e0f);
    dbk_buffer_put_text(&buffer, "x");
    dbk_buffer_put_slice(&buffer, (dbk_slice){NULL, 0});
    assert_int_equal(buffer.size, sizeof(expected));
    assert_memory_equal(buffer.data, expected, sizeof(expected));

    dbk_reader reader = dbk_reader_of(dbk_buffer_slice(&buffer));
    assert_int_equal(dbk_reader_u8(&reader), 0x01);
    assert_int_equal(dbk_reader_u16(&reader), 0x0203);
    assert_int_equal(dbk_reader_u32(&reader), 0x04050607);
    assert_true(dbk_reader_u64(&reader) == 0x08090a0b0c0d0e0f);
    assert_int_equal(dbk_reader_left(&reader), 1);
    assert_true(dbk_slice_equal(dbk_reader_take(&reader, 1), dbk_slice_text("x")));
    assert_int_equal(dbk_reader_take(&reader, 0).size, 0);
    assert_false(reader.failed);
    dbk_buffer_release(&buffer);
}

static void loads_undo_stores(void **state)
{
    (void)state;
    uint8_t at[8];

    dbk_store_u16(at, 0x0102);
    assert_int_equal(dbk_load_u16(at), 0x0102);
    dbk_store_be32(at, 0x01020304);
    assert_int_equal(at[0], 1);
    assert_int_equal(dbk_load_be32(at), 0x01020304);
    assert_int_equal(dbk_load_u32(at), 0x04030201);
    dbk_store_be64(at, 0x0102030405060708);
    assert_int_equal(at[7], 8);
    assert_true(dbk_load_be64(at) == 0x0102030405060708);
    assert_true(dbk_load_u64(at) == 0x0807060504030201);
    dbk_store_u32(at, 5);
    dbk_store_u64(at, 6);
    assert_true(dbk_load_u64(at) == 6);
}

/* Four bytes hold one u16 and no u32; once a take failed, the two bytes left are not given out. */
static void reader_stays_failed_after_a_take_beyond_the_end(void **state)
{
    (void)state;
    dbk_reader reader = dbk_reader_of(dbk_slice_text("abcd"));

    assert_int_equal(dbk_reader_u16(&reader), 'a' | 'b' << 8);
    assert_int_equal(dbk_reader_u32(&reader), 0);
    assert_true(reader.failed);
    assert_int_equal(dbk_reader_u16(&reader), 0);
    assert_int_equal(dbk_reader_u8(&reader), 0);
    assert_true(dbk_reader_u64(&reader) == 0);
    assert_null(dbk_reader_take(&reader, SIZE_MAX).data);

    reader = dbk_reader_of((dbk_slice){NULL, 0});
    assert_int_equal(dbk_reader_left(&reader), 0);
    assert_int_equal(dbk_reader_take(&reader, 0).size, 0);
    assert_false(reader.failed);
    assert_int_equal(dbk_reader_u8(&reader), 0);
    assert_true(reader.failed);
}

/* A million one-byte appends ask for memory only some twenty times. */
static void buffer_growth_is_amortised(void **state)
{
    (void)state;
    thrifty_port thrifty;
    dbk_buffer buffer;

    thrifty_init(&thrifty, SIZE_MAX);
    dbk_buffer_init(&buffer, &thrifty.port);
    for (int i = 0; i < 1000000; i++) dbk_buffer_put_u8(&buffer, (uint8_t)i);
    assert_int_equal(buffer.size, 1000000);
    assert_in_range(thrifty.calls, 1, 20);
    for (int i = 0; i < 1000000; i++) assert_int_equal(buffer.data[i], (uint8_t)i);
    dbk_buffer_release(&buffer);
    assert_int_equal(thrifty.held, 0);
}

/* The second growth fails: what was there stays, nothing is appended any more, even if it had fit. */
static void failed_buffer_takes_nothing_more(void **state)
{
    (void)state;
    thrifty_port thrifty;
    dbk_buffer buffer;
    uint8_t many[100] = {0};

    thrifty_init(&thrifty, 2);
    dbk_buffer_init(&buffer, &thrifty.port);
    dbk_buffer_put_text(&buffer, "kept");
    dbk_buffer_put(&buffer, many, sizeof(many));
    assert_true(buffer.failed);
    dbk_buffer_put_u8(&buffer, 1);
    dbk_buffer_printf(&buffer, "%d", 1);
    assert_null(dbk_buffer_extend(&buffer, 1));
    assert_null(dbk_buffer_text(&buffer));
    assert_false(dbk_buffer_reserve(&buffer, 0));
    assert_true(dbk_slice_equal(dbk_buffer_slice(&buffer), dbk_slice_text("kept")));
    dbk_buffer_clear(&buffer);
    assert_false(buffer.failed);
    dbk_buffer_put_u8(&buffer, 'x');
    assert_string_equal(dbk_buffer_text(&buffer), "x");
    dbk_buffer_release(&buffer);
    assert_int_equal(thrifty.held, 0);
}

static void sizes_beyond_memory_fail_without_asking_for_it(void **state)
{
    (void)state;
    thrifty_port thrifty;
    dbk_buffer buffer;

    thrifty_init(&thrifty, SIZE_MAX);
    dbk_buffer_init(&buffer, &thrifty.port);
    dbk_buffer_put_u8(&buffer, 1);
    size_t calls = thrifty.calls;
    assert_null(dbk_buffer_extend(&buffer, SIZE_MAX));
    dbk_buffer_clear(&buffer);
    assert_null(dbk_buffer_extend(&buffer, SIZE_MAX - 1));
    dbk_buffer_clear(&buffer);
    assert_false(dbk_buffer_reserve(&buffer, SIZE_MAX / 2 + 1));
    assert_int_equal(thrifty.calls, calls);
    dbk_buffer_release(&buffer);
}

static void empty_buffers_are_usable(void **state)
{
    (void)state;
    dbk_buffer zeroed = {0}, buffer;

    dbk_buffer_release(&zeroed);
    dbk_buffer_init(&buffer, dbk_port_system());
    assert_non_null(dbk_buffer_extend(&buffer, 0));
    assert_int_equal(buffer.size, 0);
    assert_string_equal(dbk_buffer_text(&buffer), "");
    assert_int_equal(buffer.size, 0);
    dbk_buffer_release(&buffer);
    dbk_buffer_release(&buffer);
    dbk_buffer_put_text(&buffer, "again");
    assert_string_equal(dbk_buffer_text(&buffer), "again");
    dbk_buffer_release(&buffer);
}

/* Texts of every length around the buffer's first capacity come out whole. */
static void printf_grows_as_needed(void **state)
{
    (void)state;
    for (int length = 0; length < 200; length++) {
        dbk_buffer buffer;
        dbk_buffer_init(&buffer, dbk_port_system());
        dbk_buffer_put_text(&buffer, ">");
        dbk_buffer_printf(&buffer, "%0*d|", length, 7);
        assert_false(buffer.failed);
        assert_int_equal(buffer.size, (length > 1 ? length : 1) + 2);
        assert_int_equal(buffer.data[0], '>');
        assert_int_equal(buffer.data[buffer.size - 2], '7');
        assert_int_equal(buffer.data[buffer.size - 1], '|');
        dbk_buffer_release(&buffer);
    }
}

/* A wide character that the "C" locale cannot write makes printf itself fail. */
static void printf_that_cannot_format_fails_the_buffer(void **state)
{
    (void)state;
    static const wchar_t wide[] = {0x20ac, 0};
    dbk_buffer buffer;

    dbk_buffer_init(&buffer, dbk_port_system());
    dbk_buffer_printf(&buffer, "%ls", wide);
    assert_true(buffer.failed);
    assert_int_equal(buffer.size, 0);
    dbk_buffer_release(&buffer);
}

static void printf_out_of_memory_appends_nothing(void **state)
{
    (void)state;
    thrifty_port thrifty;
    dbk_buffer buffer;

    thrifty_init(&thrifty, 2);
    dbk_buffer_init(&buffer, &thrifty.port);
    dbk_buffer_printf(&buffer, "%0500d", 1);
    assert_true(buffer.failed);
    assert_int_equal(buffer.size, 0);
    dbk_buffer_release(&buffer);
}

/* Allocations of all sizes are aligned, lie apart from each other, and are all given back. */
static void arena_hands_out_disjoint_aligned_memory(void **state)
{
    (void)state;
    enum { COUNT = 600 };
    thrifty_port thrifty;
    uint8_t *all[COUNT];

    thrifty_init(&thrifty, SIZE_MAX);
    dbk_arena *arena = dbk_arena_new(&thrifty.port, 1000);
    assert_non_null(arena);
    for (size_t round = 0; round < 3; round++) {
        for (size_t i = 0; i < COUNT; i++) {
            all[i] = dbk_arena_take(arena, i);
            assert_non_null(all[i]);
            assert_int_equal((uintptr_t)all[i] % 8, 0);
            if (i) memset(all[i], (int)(i & 255), i);
        }
        for (size_t i = 0; i < COUNT; i++) {
            for (size_t k = 0; k < i; k++) assert_int_equal(all[i][k], i & 255);
        }
        dbk_arena_clear(arena);
        assert_int_equal(thrifty.held, 2);
    }
    dbk_arena_free(arena);
    dbk_arena_free(NULL);
    assert_int_equal(thrifty.held, 0);
}

/* An outsized first allocation leaves nothing that clear would keep; small ones share one block. */
static void arena_keeps_ordinary_blocks_only(void **state)
{
    (void)state;
    thrifty_port thrifty;

    thrifty_init(&thrifty, SIZE_MAX);
    dbk_arena *arena = dbk_arena_new(&thrifty.port, 0);
    assert_non_null(dbk_arena_take(arena, 100000));
    assert_int_equal(thrifty.held, 2);
    dbk_arena_clear(arena);
    assert_int_equal(thrifty.held, 1);
    for (int i = 0; i < 32; i++) assert_non_null(dbk_arena_take(arena, 8));
    assert_int_equal(thrifty.held, 2);
    assert_non_null(dbk_arena_take(arena, 8));
    assert_int_equal(thrifty.held, 3);
    dbk_arena_free(arena);
    assert_int_equal(thrifty.held, 0);
}

static void arena_copies_end_in_nul(void **state)
{
    (void)state;
    dbk_arena *arena = dbk_arena_new(dbk_port_system(), 4096);
    dbk_slice copy = dbk_arena_copy(arena, dbk_slice_of("textual", 4));

    assert_int_equal(copy.size, 4);
    assert_string_equal((const char *)copy.data, "text");
    copy = dbk_arena_copy(arena, (dbk_slice){NULL, 0});
    assert_int_equal(copy.size, 0);
    assert_string_equal((const char *)copy.data, "");
    copy = dbk_arena_copy(arena, (dbk_slice){(const uint8_t *)"", SIZE_MAX});
    assert_null(copy.data);
    dbk_arena_free(arena);
}

static void arena_out_of_memory_gives_null(void **state)
{
    (void)state;
    thrifty_port thrifty;

    thrifty_init(&thrifty, 1);
    assert_null(dbk_arena_new(&thrifty.port, 4096));
    thrifty_init(&thrifty, 2);
    dbk_arena *arena = dbk_arena_new(&thrifty.port, 4096);
    assert_null(dbk_arena_take(arena, 8));
    assert_null(dbk_arena_take(arena, 5000));
    assert_null(dbk_arena_take(arena, SIZE_MAX));
    assert_null(dbk_arena_copy(arena, dbk_slice_text("x")).data);
    dbk_arena_clear(arena);
    dbk_arena_free(arena);
    assert_int_equal(thrifty.held, 0);
}

/* What a large use took is given back, what is usual is kept; both are empty then. */
static void relaxed_buffers_keep_what_is_usual(void **state)
{
    dbk_buffer buffer;

    (void)state;
    dbk_buffer_init(&buffer, dbk_port_system());
    assert_non_null(dbk_buffer_extend(&buffer, 5000));
    dbk_buffer_relax(&buffer, 100000);
    assert_true(buffer.size == 0 && buffer.capacity >= 5000);
    assert_non_null(dbk_buffer_extend(&buffer, 100));
    dbk_buffer_relax(&buffer, 4999);
    assert_true(buffer.size == 0 && buffer.capacity == 0);
    dbk_buffer_release(&buffer);
}

/* Nothing can be taken, also from nothing. */
static void nothing_is_taken(void **state)
{
    dbk_reader reader = dbk_reader_of(dbk_slice_of(NULL, 0));

    (void)state;
    assert_int_equal(dbk_reader_take(&reader, 0).size, 0);
    assert_false(reader.failed);
    assert_null(dbk_reader_take(&reader, 1).data);
    assert_null(dbk_reader_take(&reader, 0).data);
    assert_true(reader.failed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(relaxed_buffers_keep_what_is_usual),
        cmocka_unit_test(nothing_is_taken),
        cmocka_unit_test(slices_are_ordered_by_bytes_then_length),
        cmocka_unit_test(sums_and_products_stop_at_64_bits),
        cmocka_unit_test(integers_go_through_buffer_and_reader),
        cmocka_unit_test(loads_undo_stores),
        cmocka_unit_test(reader_stays_failed_after_a_take_beyond_the_end),
        cmocka_unit_test(buffer_growth_is_amortised),
        cmocka_unit_test(failed_buffer_takes_nothing_more),
        cmocka_unit_test(sizes_beyond_memory_fail_without_asking_for_it),
        cmocka_unit_test(empty_buffers_are_usable),
        cmocka_unit_test(printf_grows_as_needed),
        cmocka_unit_test(printf_that_cannot_format_fails_the_buffer),
        cmocka_unit_test(printf_out_of_memory_appends_nothing),
        cmocka_unit_test(arena_hands_out_disjoint_aligned_memory),
        cmocka_unit_test(arena_keeps_ordinary_blocks_only),
        cmocka_unit_test(arena_copies_end_in_nul),
        cmocka_unit_test(arena_out_of_memory_gives_null),
    };

    return cmocka_run_group_tests_name("bytes", tests, NULL, NULL);
}
