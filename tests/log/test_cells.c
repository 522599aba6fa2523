/* Blocks with cells: that they give the plain form again, and what damage to a dictionary leads to. */
#include "log_fixture.h"

#include "log/cells_read.h"
#include "log/internal.h"

static const char two[] = "log/0000000000000002.seg";

/* A closed log of some packed segments; its last one is plain. */
static dbk_simdisk_image *packed_log(world *w, size_t batches, size_t count)
{
    world_new(w, 11);
    for (size_t i = 0; i < batches; i++) assert_int_equal(append(w->log, count), DBK_OK);
    for (size_t i = 0; i + 1 < w->log->segment_count; i++) assert_true(w->log->segments[i]->packed);
    assert_true(w->log->segment_count > 2);
    world_close(w);
    return dbk_simdisk_snapshot(w->disk);
}

/* One copy of a dictionary is enough, and the other's damage is told; without both the entries cannot be read. */
static void test_two_dictionaries(void **state)
{
    uint8_t bytes[DBK_PACK_HEAD_SIZE];
    dbk_segment_header header;
    dbk_log_report report;
    dbk_pack_head head;
    world w;

    (void)state;
    dbk_simdisk_image *image = packed_log(&w, 40, 6);
    assert_int_equal(dbk_simdisk_read(w.disk, two, 0, bytes, sizeof(bytes)), sizeof(bytes));
    assert_int_equal(dbk_pack_head_decode(bytes, &header, &head), DBK_DECODED_OK);
    assert_true(head.celled && head.dictionary_bytes > 100);
    for (int kind = 1; kind <= 3; kind++) {
        dbk_simdisk_restore(w.disk, image);
        if (kind & 1) assert_int_equal(dbk_simdisk_flip_bit(w.disk, two, DBK_PACK_HEAD_SIZE + 30, 2), 0);
        if (kind & 2) assert_int_equal(dbk_simdisk_flip_bit(w.disk, two, head.table_offset - 30, 2), 0);
        w.dir = root_of(w.port);
        assert_int_equal(dbk_log_verify(w.port, w.dir, &w.options, DBK_VERIFY_PROOF, NULL, &report, NULL), DBK_OK);
        assert_true(report.faults > 0);
        if (kind < 3) {
            assert_int_equal(report.faults, 1);
            assert_int_equal(report.entries, 240);
            assert_int_equal(world_open(&w, NULL), DBK_OK);
            check_entries(w.log, 0);
            world_close(&w);
            continue;
        }
        assert_true(report.entries < 240 && report.entries >= 240 - (head.last_position - head.first_position + 1));
        w.port->close_dir(w.port->ctx, w.dir);
        w.dir = NULL;
        (void)dbk_simdisk_remove(w.disk, "log/CATALOG"); /* which opening would believe */
        assert_int_equal(world_open(&w, NULL), DBK_CORRUPT);
        world_close(&w);
    }
    world_free(&w);
}

/* The file of a sealed segment shrinks, and an image of it reads byte for byte as the plain one. */
static void same_bytes(size_t count, size_t data_bytes)
{
    world plain, packed;
    dbk_image *image[2];
    dbk_unpacker *unpacker = NULL;
    uint8_t *bytes[2];
    size_t got;

    keep_plain = true;
    world_new(&plain, 5);
    keep_plain = false;
    world_new(&packed, 5);
    for (size_t i = 1; i < 80; i++) {
        size_t now = count ? count : i % 9;
        assert_int_equal(append_sized(plain.log, now, data_bytes, NULL), DBK_OK);
        assert_int_equal(append_sized(packed.log, now, data_bytes, NULL), DBK_OK);
    }
    check_entries(packed.log, data_bytes);
    int64_t size = dbk_simdisk_size(plain.disk, two);
    assert_true(dbk_simdisk_size(packed.disk, two) < size / 3);
    for (int i = 0; i < 2; i++) {
        world *w = i ? &packed : &plain;
        assert_int_equal(dbk_image_open(w->port, w->dir, "0000000000000002.seg", &image[i], NULL), DBK_OK);
        assert_int_equal(image[i]->packed, i);
        bytes[i] = malloc((size_t)size);
        assert_int_equal(dbk_image_read(image[i], &unpacker, 8192, bytes[i], (size_t)size - 8192, &got, NULL), DBK_OK);
        assert_int_equal(got, size - 8192);
    }
    assert_memory_equal(bytes[0], bytes[1], (size_t)size - 8192);
    for (uint64_t at = 8192; at < (uint64_t)size; at += 777) { /* any part of it */
        size_t want = (at * 31) % 3000;
        assert_int_equal(dbk_image_read(image[1], &unpacker, at, bytes[1], want, &got, NULL), DBK_OK);
        assert_memory_equal(bytes[1], bytes[0] + (at - 8192), got);
        assert_true(got == want || at + got == (uint64_t)size);
    }
    for (int i = 0; i < 2; i++) {
        dbk_image_close(image[i]);
        free(bytes[i]);
    }
    dbk_unpacker_free(unpacker);
    world_free(&plain);
    world_free(&packed);
}

/* Batches of no, one and several entries; single ones, whose heads are computed; and such as are cut. */
static void test_same_bytes(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        with_hashes = i;
        same_bytes(0, 0);
        same_bytes(1, 60);
        same_bytes(1, 3000);
        same_bytes(40, 900);
        same_bytes(3, 20000);
    }
    with_hashes = false;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same_bytes),
        cmocka_unit_test(test_two_dictionaries),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
