/* One bit of a closed log flips: opening refuses, or all is there, or reading tells. Never fewer
 * entries, or other bytes, without a word. */
#include "log_fixture.h"

#include "tests/support/step.h"

typedef struct tally {
    uint64_t flips, refused, told, harmless, verified;
} tally;

/* true when every entry comes back right; false when the failure was told. */
static bool reads_back(dbk_log *log, uint64_t want)
{
    dbk_log_cursor *cursor;
    dbk_buffer expected;
    uint64_t position, count = 0;
    dbk_slice origin;
    dbk_result rc;

    dbk_buffer_init(&expected, dbk_port_system());
    assert_int_equal(dbk_log_cursor_open(log, 1, 0, &cursor, NULL), DBK_OK);
    while ((rc = dbk_log_cursor_next(cursor, &position, NULL, &origin, NULL)) == DBK_OK) {
        make_entry(&expected, replica_one, position, 100 + position, size_of_seq(position));
        assert_true(dbk_slice_equal(origin, dbk_buffer_slice(&expected)));
        count++;
    }
    dbk_log_cursor_close(cursor);
    dbk_buffer_release(&expected);
    if (rc == DBK_END) assert_int_equal(count, want);
    return rc == DBK_END;
}

static void flip_and_look(world *w, const dbk_simdisk_image *image, const char *path, uint64_t offset, unsigned bit,
                          uint64_t want, tally *t)
{
    dbk_log_report report = {0};

    dbk_simdisk_restore(w->disk, image);
    assert_int_equal(dbk_simdisk_flip_bit(w->disk, path, offset, bit), 0);
    t->flips++;
    uint64_t hash = dbk_simdisk_hash(w->disk, NULL);
    if (t->flips % 8 == 0) { /* verification sees what opening or reading sees, or more */
        w->dir = root_of(w->port);
        assert_int_equal(dbk_log_verify(w->port, w->dir, &w->options, DBK_VERIFY_PROOF, NULL, &report, NULL), DBK_OK);
        w->port->close_dir(w->port->ctx, w->dir);
        w->dir = NULL;
        assert_int_equal(dbk_simdisk_hash(w->disk, NULL), hash);
        t->verified += report.faults > 0;
    }
    dbk_result rc = world_open(w, NULL);
    bool bad = true;
    if (rc != DBK_OK) {
        t->refused++;
        assert_int_equal(dbk_simdisk_hash(w->disk, NULL), hash);
    } else {
        if (dbk_log_position(w->log) != want)
            fail_msg("%s %d bit %u: %d entries", path, (int)offset, bit, (int)dbk_log_position(w->log));
        bad = !reads_back(w->log, want);
        if (bad) t->told++;
        else t->harmless++;
    }
    if (t->flips % 8 == 0 && bad && report.faults == 0) {
        fail_msg("%s %d bit %u: verify saw nothing (%s)", path, (int)offset, bit, dbk_result_name(rc));
    }
    world_close(w);
}

static dbk_simdisk_image *small_log(world *w, size_t batches, size_t count)
{
    world_new(w, 9);
    for (size_t i = 0; i < batches; i++) assert_int_equal(append(w->log, count), DBK_OK);
    world_close(w);
    return dbk_simdisk_snapshot(w->disk);
}

static unsigned step = 1; /* of the bits, one of so many is flipped */

static unsigned first_bit(uint64_t at)
{
    return (unsigned)(at % step);
}

/* Every bit of a log of one segment, its headers and its watermark. */
static void test_every_bit(void **state)
{
    static const char segment[] = "log/0000000000000001.seg";
    static const uint64_t ranges[][2] = {{0, 128}, {4096, 4224}, {8192, 11264}};
    tally t = {0};
    world w;

    (void)state;
    dbk_simdisk_image *image = small_log(&w, 3, 3);
    for (size_t i = 0; i < 3; i++) {
        for (uint64_t at = ranges[i][0]; at < ranges[i][1]; at++) {
            for (unsigned bit = first_bit(at); bit < 8; bit += step) flip_and_look(&w, image, segment, at, bit, 9, &t);
        }
    }
    assert_true(t.refused > 15000 / step);
    assert_int_equal(t.told, 0); /* the last segment is read at open */
    for (uint64_t at = 0; at < 8192; at += at % 4096 == 127 ? 3969 : 1) {
        for (unsigned bit = first_bit(at); bit < 8; bit += step)
            flip_and_look(&w, image, "log/WATERMARK", at, bit, 9, &t);
    }
    print_message("%llu flips: %llu refused, %llu without effect\n", (unsigned long long)t.flips,
                  (unsigned long long)t.refused, (unsigned long long)t.harmless);
    world_free(&w);
}

/* Every bit of a packed segment's file: its heads, blocks, table. */
static void test_every_packed_bit(void **state)
{
    static const char segment[] = "log/0000000000000001.seg";
    tally t = {0};
    world w;

    (void)state;
    if (keep_plain) return;
    dbk_simdisk_image *image = small_log(&w, 9, 6);
    int64_t size = dbk_simdisk_size(w.disk, segment);
    assert_true(size > 1500 && size < 12000);
    for (uint64_t at = 0; at < (uint64_t)size; at++) {
        for (unsigned bit = first_bit(at); bit < 8; bit += step) flip_and_look(&w, image, segment, at, bit, 54, &t);
    }
    assert_true(t.told > 3000 / step); /* blocks and table; of two heads, and of two dictionaries, one serves */
    print_message("%llu flips: %llu refused, %llu told by reading, %llu without effect\n", (unsigned long long)t.flips,
                  (unsigned long long)t.refused, (unsigned long long)t.told, (unsigned long long)t.harmless);
    world_free(&w);
}

/* Bits of sealed segments and their indexes: drawn. */
static void test_sealed(void **state)
{
    static const char *files[] = {"log/0000000000000001.seg", "log/0000000000000002.seg",
                                  "log/0000000000000001-0000000000000004.run", "log/0000000000000003.seg"};
    uint64_t random = 88172645463325252ull;
    tally t = {0};
    world w;

    (void)state;
    dbk_simdisk_image *image = small_log(&w, 40, 6);
    for (int i = 0; i < 4000 / (int)step; i++) {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        const char *file = files[random % 4];
        uint64_t size = (uint64_t)dbk_simdisk_size(w.disk, file);
        flip_and_look(&w, image, file, (random >> 20) % size, (unsigned)(random >> 8) % 8, 240, &t);
        if (i % 50 == 0) dbk_simdisk_restore(w.disk, image);
    }
    assert_true(t.told > 500 / step);
    print_message("%llu flips: %llu refused, %llu told by reading, %llu without effect\n", (unsigned long long)t.flips,
                  (unsigned long long)t.refused, (unsigned long long)t.told, (unsigned long long)t.harmless);
    world_free(&w);
}

/* The index is of no use, so that opening reads the segments: a damaged one is refused, and then neither the index's
 * file nor the watermark is touched. */
static void test_sealed_without_index(void **state)
{
    static const char *files[] = {"log/0000000000000001.seg", "log/0000000000000003.seg"};
    uint64_t random = 88172645463325252ull;
    tally t = {0};
    world w;

    (void)state;
    (void)small_log(&w, 40, 6);
    assert_int_equal(dbk_simdisk_flip_bit(w.disk, "log/0000000000000001-0000000000000004.run", 0, 0), 0);
    dbk_simdisk_image *image = dbk_simdisk_snapshot(w.disk);
    for (int i = 0; i < 300; i++) {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        const char *file = files[random % 2];
        uint64_t size = (uint64_t)dbk_simdisk_size(w.disk, file);
        flip_and_look(&w, image, file, (random >> 20) % size, (unsigned)(random >> 8) % 8, 240, &t);
    }
    assert_true(t.refused > 50);
    world_free(&w);
}

/* Every bit of the first 64 KiB of a log's segments; of `parts` equal parts the one numbered `part`. */
enum { EVERY_BYTES = 65536 };
static unsigned part, parts;

static void test_every_bit_of_64_kib(void **state)
{
    static const char *files[] = {"log/0000000000000001.seg", "log/0000000000000002.seg", "log/0000000000000003.seg"};
    uint64_t at = 0;
    tally t = {0};
    world w;

    (void)state;
    dbk_simdisk_image *image = small_log(&w, 14, 6);
    assert_true(dbk_simdisk_exists(w.disk, files[2]));
    for (size_t i = 0; i < 3; i++) {
        uint64_t size = (uint64_t)dbk_simdisk_size(w.disk, files[i]);
        for (uint64_t offset = 0; offset < size && at < EVERY_BYTES; offset++, at++) {
            for (unsigned bit = 0; bit < 8 && at % parts == part; bit++)
                flip_and_look(&w, image, files[i], offset, bit, 84, &t);
        }
    }
    assert_int_equal(at, EVERY_BYTES);
    assert_int_equal(t.flips, EVERY_BYTES * 8 / parts);
    print_message("%llu flips of 64 KiB: %llu refused, %llu told by reading, %llu without effect\n",
                  (unsigned long long)t.flips, (unsigned long long)t.refused, (unsigned long long)t.told,
                  (unsigned long long)t.harmless);
    world_free(&w);
}

/* usage: test_log_rot [STEP | PART PARTS]: with two, every bit of 64 KiB instead */
int main(int argc, char **argv)
{
    const struct CMUnitTest every[] = {cmocka_unit_test(test_every_bit_of_64_kib)};
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_bit),
        cmocka_unit_test(test_every_packed_bit),
        cmocka_unit_test(test_sealed),
        cmocka_unit_test(test_sealed_without_index),
    };
    if (argc < 3) {
        step = (unsigned)step_argument(argc, argv, 1);
        return run_both_forms(tests);
    }
    part = (unsigned)atoi(argv[1]);
    parts = (unsigned)atoi(argv[2]);
    if (parts == 0 || EVERY_BYTES % parts || part >= parts)
        return fprintf(stderr, "usage: %s [STEP | PART PARTS]\n", argv[0]), 2;
    keep_plain = true;
    return cmocka_run_group_tests(every, NULL, NULL);
}
