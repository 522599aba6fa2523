/* The catalog: opening reads it in place of the packed segments' files, and believes it of no other file. Each test
 * says what is on disk. */
#include "log_fixture.h"

#include "log/parts.h"

enum { BATCHES = 220, COUNT = 6, ENTRIES = BATCHES * COUNT, ROW = 552, HEADER = 32 };
static const char catalog[] = "log/CATALOG", third[] = "log/0000000000000003.seg";

static void make(world *w)
{
    world_new(w, 31);
    for (size_t i = 0; i < BATCHES; i++) assert_int_equal(append(w->log, COUNT), DBK_OK);
    world_close(w);
    world_reopen(w); /* the last of them is packed by now */
    world_close(w);
    w->dir = root_of(w->port);
}

/* How many segments an opening took from the catalog; all entries are there. */
static uint64_t open_and_look(world *w, bool read_only)
{
    dbk_log_options options = w->options;
    dbk_error err = {0};
    dbk_log *log;

    options.read_only = read_only;
    if (dbk_log_open(w->port, w->dir, &options, &log, &err) != DBK_OK) fail_msg("open: %s", err.text);
    uint64_t taken = log->cataloged;
    assert_int_equal(dbk_log_position(log), ENTRIES);
    check_entries(log, 0);
    dbk_log_leave(log);
    return taken;
}

/* All packed segments are in it: opening opens none of their files. */
static void test_in_place_of_files(void **state)
{
    uint64_t with, without;
    dbk_log_options options;
    dbk_log *log;
    world w;

    (void)state;
    make(&w);
    options = w.options;
    options.read_only = true;
    for (int kept = 1; kept >= 0; kept--) {
        if (!kept) assert_int_equal(dbk_simdisk_remove(w.disk, catalog), 0);
        uint64_t before = dbk_simdisk_calls(w.disk, DBK_SIM_READ);
        assert_int_equal(dbk_log_open(w.port, w.dir, &options, &log, NULL), DBK_OK);
        *(kept ? &with : &without) = dbk_simdisk_calls(w.disk, DBK_SIM_READ) - before;
        if (kept) assert_in_range(log->cataloged, log->segment_count - 3, log->segment_count);
        else assert_int_equal(log->cataloged, 0);
        dbk_log_close(log);
    }
    assert_true(without > with + 2 * 15);
    assert_int_equal(world_open(&w, NULL), DBK_OK); /* who writes makes it again */
    world_close(&w);
    assert_true(dbk_simdisk_exists(w.disk, catalog));
    world_free(&w);
}

/* A row rots, rows change places, the end is cut off, it is of another store or version: the files are read that it
 * says nothing right of. */
static void test_damaged_catalog(void **state)
{
    static uint8_t rows[2][ROW];
    world w;

    (void)state;
    make(&w);
    uint64_t all = open_and_look(&w, true);
    assert_true(all > 15);
    dbk_simdisk_image *image = dbk_simdisk_snapshot(w.disk);
    for (uint64_t at = HEADER + 2 * ROW; at < HEADER + 3 * ROW; at += 7) {
        world_close(&w);
        dbk_simdisk_restore(w.disk, image);
        w.dir = root_of(w.port);
        assert_int_equal(dbk_simdisk_flip_bit(w.disk, catalog, at, 4), 0);
        assert_int_equal(open_and_look(&w, at % 2), all - 1);
    }
    assert_int_equal(dbk_simdisk_read(w.disk, catalog, HEADER, rows, sizeof(rows)), sizeof(rows));
    assert_int_equal(dbk_simdisk_write(w.disk, catalog, HEADER, rows[1], ROW), 0);
    assert_int_equal(dbk_simdisk_write(w.disk, catalog, HEADER + ROW, rows[0], ROW), 0);
    assert_int_equal(open_and_look(&w, true), all - 3);
    assert_int_equal(dbk_simdisk_truncate(w.disk, catalog, HEADER + 5 * ROW - 1), 0);
    assert_int_equal(open_and_look(&w, true), 1);
    for (uint64_t at = 0; at < HEADER; at += 5) {
        assert_int_equal(dbk_simdisk_flip_bit(w.disk, catalog, at, 2), 0);
        assert_int_equal(open_and_look(&w, true), 0);
        assert_int_equal(dbk_simdisk_flip_bit(w.disk, catalog, at, 2), 0);
    }
    world_free(&w);
}

static void expect(world *w, dbk_result code)
{
    dbk_error err = {0};

    assert_int_equal(world_open(w, &err), code);
    world_close(w);
    w->dir = root_of(w->port);
}

/* The file of a segment that the catalog knows is gone, cut, another's copy, or was written to later: opening says so
 * as it does without a catalog. The same bytes under a new number of file are read, and are right. */
static void test_another_file(void **state)
{
    static uint8_t bytes[65536];
    world w;

    (void)state;
    make(&w);
    uint64_t all = open_and_look(&w, true);
    dbk_simdisk_image *image = dbk_simdisk_snapshot(w.disk);
    int64_t size = dbk_simdisk_read(w.disk, third, 0, bytes, sizeof(bytes));
    for (int kind = 0; kind < 5; kind++) {
        dbk_file *file;
        w.port->close_dir(w.port->ctx, w.dir);
        dbk_simdisk_restore(w.disk, image);
        w.dir = root_of(w.port);
        dbk_simdisk_advance_ms(w.disk, 5);
        if (kind == 1) assert_int_equal(dbk_simdisk_truncate(w.disk, third, (uint64_t)size - 1), 0);
        if (kind == 0 || kind == 2 || kind == 4) assert_int_equal(dbk_simdisk_remove(w.disk, third), 0);
        if (kind == 2) assert_int_equal(dbk_simdisk_copy(w.disk, "log/0000000000000002.seg", third), 0);
        if (kind == 4) assert_int_equal(dbk_simdisk_write(w.disk, third, 0, bytes, (size_t)size), 0);
        if (kind == 3) { /* through the port, as a program would: both heads */
            assert_int_equal(dbk_io_open(w.port, w.dir, third + 4, DBK_OPEN_WRITE, &file, NULL), DBK_OK);
            assert_int_equal(dbk_io_write(w.port, file, third, 0, "nothing", 7, NULL), DBK_OK);
            assert_int_equal(dbk_io_write(w.port, file, third, (uint64_t)size - 512, "nothing", 7, NULL), DBK_OK);
            w.port->close_file(w.port->ctx, file);
        }
        if (kind == 4) {
            assert_int_equal(open_and_look(&w, true), all - 1);
        } else {
            expect(&w, kind == 0 ? DBK_GAP : kind == 2 ? DBK_DUPLICATE : DBK_CORRUPT);
        }
    }
    world_free(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_in_place_of_files), cmocka_unit_test(test_damaged_catalog),
                                       cmocka_unit_test(test_another_file)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
