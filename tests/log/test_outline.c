/* Large records: once checked whole, a part of theirs is read alone, and checked alone. */
#include "log/internal.h"
#include "log/piece.h"
#include "log_fixture.h"

/* More than is kept of whole records; and what a part of one has at most. */
enum { BATCHES = 48, ENTRIES = 128, DATA_BYTES = 300, PART_ENTRIES = 8192 / DATA_BYTES };

static void world_large(world *w)
{
    keep_plain = true;
    world_new(w, 5);
    world_close(w);
    for (int number = 1; number <= 2; number++) {
        char path[64];
        snprintf(path, sizeof(path), "log/%016x.seg", number);
        if (dbk_simdisk_exists(w->disk, path)) assert_int_equal(dbk_simdisk_remove(w->disk, path), 0);
    }
    assert_int_equal(dbk_simdisk_remove(w->disk, "log/" DBK_WATERMARK_NAME), 0);
    w->options.segment_first_bytes = w->options.segment_max_bytes = 4 * 1024 * 1024;
    w->dir = root_of(w->port);
    assert_int_equal(dbk_log_create(w->port, w->dir, &w->options, NULL), DBK_OK);
    assert_int_equal(world_open(w, NULL), DBK_OK);
    for (int i = 0; i < BATCHES; i++) assert_int_equal(append_sized(w->log, ENTRIES, DATA_BYTES, NULL), DBK_OK);
    world_reopen(w);
}

static dbk_result read_one(world *w, uint64_t position)
{
    dbk_buffer got, want;

    dbk_buffer_init(&got, w->port);
    dbk_buffer_init(&want, dbk_port_system());
    make_entry(&want, replica_one, position, 100 + position, DATA_BYTES);
    dbk_result rc = dbk_log_read(w->log, position, &got, NULL, NULL);
    if (rc == DBK_OK) assert_true(dbk_slice_equal(dbk_buffer_slice(&got), dbk_buffer_slice(&want)));
    dbk_buffer_release(&got);
    dbk_buffer_release(&want);
    return rc;
}

static uint64_t reads(const world *w)
{
    return dbk_simdisk_calls(w->disk, DBK_SIM_READ);
}

/* The entry of this number in each record. */
static void read_each(world *w, uint64_t number)
{
    for (uint64_t i = 0; i < BATCHES; i++) assert_int_equal(read_one(w, 1 + i * ENTRIES + number), DBK_OK);
}

/* One entry of each of many records, again and again: from the second time on it takes one read of
 * a part. */
static void test_one_by_one(void **state)
{
    world w;

    (void)state;
    world_large(&w);
    read_each(&w, 3);
    assert_int_equal(w.log->outline_count, BATCHES);
    for (uint64_t number = 3; number < ENTRIES - 1; number += 40) {
        uint64_t before = reads(&w);
        read_each(&w, number);
        assert_true(reads(&w) - before <= BATCHES); /* some parts are kept */
    }
    assert_int_equal(w.log->outline_count, BATCHES);
    assert_true(w.log->outline_bytes <= DBK_OUTLINE_CACHE_BYTES);
    world_free(&w);
}

/* One beside the other, upwards and downwards: who begins at an end gets the record whole, who begins in the middle
 * one part after the other. */
static void test_in_order(void **state)
{
    world w;

    (void)state;
    world_large(&w);
    read_each(&w, 64);
    uint64_t before = reads(&w);
    for (uint64_t at = 1; at <= ENTRIES; at++) assert_int_equal(read_one(&w, at), DBK_OK);
    for (uint64_t at = 3 * ENTRIES; at > 2 * ENTRIES; at--) assert_int_equal(read_one(&w, at), DBK_OK);
    assert_true(reads(&w) - before <= 2 * 2);
    before = reads(&w);
    for (uint64_t at = 5 * ENTRIES + 2; at < 6 * ENTRIES; at++) assert_int_equal(read_one(&w, at), DBK_OK);
    assert_true(reads(&w) - before <= 2 * ENTRIES / PART_ENTRIES);
    world_free(&w);
}

/* Outlines find no more room: those that were asked for longest ago go, and what they stood for is read whole again. */
static void test_too_many(void **state)
{
    world w;

    (void)state;
    world_large(&w);
    assert_int_equal(read_one(&w, 4), DBK_OK);
    size_t others = DBK_OUTLINE_CACHE_BYTES - BATCHES / 2 * w.log->outline_bytes;
    w.log->outline_bytes += others;
    read_each(&w, 3);
    read_each(&w, 3);
    assert_in_range(w.log->outline_count, BATCHES / 2 - 1, BATCHES / 2);
    uint64_t before = reads(&w);
    for (uint64_t i = BATCHES / 2 + 1; i < BATCHES; i++) assert_int_equal(read_one(&w, 1 + i * ENTRIES + 50), DBK_OK);
    assert_true(reads(&w) - before < BATCHES / 2);
    w.log->outline_bytes -= others;
    world_free(&w);
}

/* An entry rots after its record was checked: its part is not given, all others are. */
static void test_rot_behind_the_check(void **state)
{
    dbk_index_batch batch;
    world w;

    (void)state;
    world_large(&w);
    read_each(&w, 0);
    assert_int_equal(dbk_log_batch_of(w.log, dbk_log_active(w.log), 1 + ENTRIES, &batch, NULL), DBK_OK);
    uint64_t middle = batch.offset + batch.bytes / 2;
    assert_int_equal(dbk_simdisk_flip_bit(w.disk, "log/0000000000000001.seg", middle, 2), 0);
    uint64_t first = 0, last = 0, told = 0;
    for (uint64_t i = 1; i < ENTRIES - 1; i++) {
        dbk_result rc = read_one(&w, 1 + ENTRIES + i);
        assert_true(rc == DBK_OK || rc == DBK_CORRUPT);
        if (rc == DBK_OK) continue;
        if (told++ == 0) first = i;
        last = i;
    }
    assert_in_range(told, 1, PART_ENTRIES);
    assert_int_equal(last - first + 1, told);
    assert_in_range(ENTRIES / 2, first, last);
    world_free(&w);
}

/* A part cannot be read, or its file was cut: told, and it is read when it is there again. */
static void test_part_is_gone(void **state)
{
    dbk_simdisk_fault fault = {.kinds = DBK_SIM_READ, .error = 5, .times = 1};
    world w;

    (void)state;
    world_large(&w);
    read_each(&w, 3);
    read_each(&w, 60);
    dbk_simdisk_add_fault(w.disk, &fault);
    assert_int_equal(read_one(&w, 1 + 7 * ENTRIES + 100), DBK_IO);
    assert_int_equal(read_one(&w, 1 + 7 * ENTRIES + 100), DBK_OK);
    assert_int_equal(dbk_simdisk_truncate(w.disk, "log/0000000000000001.seg", 10000), 0);
    assert_int_equal(read_one(&w, 1 + 9 * ENTRIES + 100), DBK_CORRUPT);
    world_free(&w);
}

/* Memory ends at each point of reading: told, and the same read passes when there is some again. */
static void test_out_of_memory(void **state)
{
    world w;

    (void)state;
    world_large(&w);
    for (uint64_t skip = 0; skip < 12; skip++) {
        dbk_simdisk_fault fault = {.kinds = DBK_SIM_MEMORY, .skip = skip, .times = 1};
        dbk_simdisk_add_fault(w.disk, &fault);
        for (uint64_t i = 0; i < 6; i++) {
            dbk_result rc = read_one(&w, 1 + (skip * 4 + i % 3) % BATCHES * ENTRIES + 9 * i);
            assert_true(rc == DBK_OK || rc == DBK_NO_MEMORY);
        }
        dbk_simdisk_clear_faults(w.disk);
        assert_int_equal(read_one(&w, 1 + skip * 4 % BATCHES * ENTRIES), DBK_OK);
    }
    world_free(&w);
}

/* Two readers made an outline of the same record, or there is no memory to keep one: it is let go. The list grows. */
static void test_twice(void **state)
{
    dbk_simdisk_fault none = {.kinds = DBK_SIM_MEMORY};
    dbk_piece *piece;
    world w;

    (void)state;
    world_large(&w);
    assert_int_equal(dbk_piece_take(w.log, 1, &piece, NULL), DBK_OK); /* from its begin on: it is kept whole */
    assert_int_equal(w.log->outline_count, 1);
    dbk_outline *again = dbk_outline_new(w.log, piece, DBK_SEGMENT_DATA_OFFSET);
    assert_non_null(again);
    dbk_outline_keep(w.log, again);
    assert_int_equal(w.log->outline_count, 1);
    again = dbk_outline_new(w.log, piece, DBK_SEGMENT_DATA_OFFSET);
    assert_non_null(again);
    dbk_outline_release(w.log);
    dbk_simdisk_add_fault(w.disk, &none);
    dbk_outline_keep(w.log, again);
    dbk_simdisk_clear_faults(w.disk);
    assert_int_equal(w.log->outline_count, 0);
    dbk_piece_give(w.log, piece);
    for (uint64_t i = 1; i < 5; i++) {
        assert_int_equal(read_one(&w, 1 + i * ENTRIES + 3), DBK_OK);
        w.log->outline_room = w.log->outline_count;
    }
    assert_int_equal(w.log->outline_count, 4);
    read_each(&w, 5);
    world_free(&w);
}

/* Records of different lengths take turns in the memory that is left. */
static void test_lengths(void **state)
{
    uint64_t firsts[6];
    world w;

    (void)state;
    world_large(&w);
    for (size_t i = 0; i < 6; i++) {
        firsts[i] = dbk_log_position(w.log) + 1;
        assert_int_equal(append_sized(w.log, ENTRIES * (1 + i), DATA_BYTES, NULL), DBK_OK);
    }
    for (uint64_t turn = 0; turn < 4; turn++) {
        for (size_t i = 0; i < 6; i++)
            assert_int_equal(read_one(&w, firsts[turn % 2 ? 5 - i : i] + 20 + 25 * turn), DBK_OK);
        world_reopen(&w);
    }
    world_free(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_by_one),    cmocka_unit_test(test_in_order),
        cmocka_unit_test(test_too_many),      cmocka_unit_test(test_rot_behind_the_check),
        cmocka_unit_test(test_out_of_memory), cmocka_unit_test(test_twice),
        cmocka_unit_test(test_part_is_gone),  cmocka_unit_test(test_lengths),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
