/* The simulated machine's crashes, lies, and disk images. */
#include <stdio.h>

#include "simdisk_fixture.h"

enum { SECTOR = DBK_SIM_SECTOR_BYTES };

/* What was synced, content and name, is there after any crash. */
static void test_synced_survives(void **state)
{
    fixture *f = *state;
    for (int mode = DBK_SIM_ALL_OLD; mode <= DBK_SIM_RANDOM_MIX; mode++) {
        char name[8];
        snprintf(name, sizeof name, "f%d", mode);
        make_durable(f, name, 10 + mode, 9000);
        crash(f, (dbk_simdisk_crash_mode)mode, 3);
        assert_int_equal(dbk_simdisk_size(f->disk, "f0"), 9000);
        assert_int_equal(byte_at(f, name, 8999), 10 + mode);
    }
    assert_int_equal(dbk_simdisk_unsynced(f->disk), 0);
}

/* An unsynced sector takes the answer given, and its synced neighbours stay. */
static void test_sector_outcomes(void **state)
{
    static const struct {
        dbk_simdisk_crash_mode mode;
        int byte;
    } cases[] = {{DBK_SIM_ALL_OLD, 1}, {DBK_SIM_ALL_NEW, 2}, {DBK_SIM_ALL_ZERO, 0}};
    fixture *f = *state;
    for (size_t i = 0; i < 3; i++) {
        make_durable(f, "a", 1, 4 * SECTOR);
        dbk_file *file = open_as(f, "a", READ_WRITE);
        assert_int_equal(fill(f, file, SECTOR + 10, 2, SECTOR), SECTOR);
        assert_int_equal(dbk_simdisk_unsynced(f->disk), 2);
        close_it(f, file);
        crash(f, cases[i].mode, 5);
        assert_int_equal(byte_at(f, "a", SECTOR - 1), 1);
        assert_int_equal(byte_at(f, "a", SECTOR + 10), cases[i].byte);
        assert_int_equal(byte_at(f, "a", 2 * SECTOR + 9), cases[i].byte);
        assert_int_equal(byte_at(f, "a", 3 * SECTOR), 1);
    }
}

/* Garbage is neither old nor new, and the same for the same seed. */
static void test_garbage(void **state)
{
    fixture *f = *state;
    uint8_t first[SECTOR], second[SECTOR], third[SECTOR];
    make_durable(f, "a", 1, SECTOR);
    dbk_file *file = open_as(f, "a", READ_WRITE);
    assert_int_equal(fill(f, file, 0, 2, 1), 1);
    close_it(f, file);
    dbk_simdisk_image *image = dbk_simdisk_snapshot(f->disk);
    uint8_t *into[] = {first, second, third};
    for (size_t i = 0; i < 3; i++) {
        dbk_simdisk_restore(f->disk, image);
        crash(f, DBK_SIM_ALL_GARBAGE, 5 + i / 2);
        assert_int_equal(dbk_simdisk_read(f->disk, "a", 0, into[i], SECTOR), SECTOR);
    }
    assert_memory_equal(first, second, SECTOR);
    assert_memory_not_equal(first, third, SECTOR);
    assert_int_not_equal(first[100], first[101]);
}

/* Growth that was not synced may end anywhere between, and what is gained reads new or zero. */
static void test_sizes(void **state)
{
    fixture *f = *state;
    make_durable(f, "a", 1, 100);
    dbk_file *file = open_as(f, "a", READ_WRITE);
    assert_int_equal(fill(f, file, 100, 2, 10000), 10000);
    close_it(f, file);
    dbk_simdisk_image *image = dbk_simdisk_snapshot(f->disk);
    bool old = false, new = false, between = false;
    for (uint64_t seed = 0; seed < 50; seed++) {
        dbk_simdisk_restore(f->disk, image);
        crash(f, DBK_SIM_RANDOM_MIX, seed);
        int64_t size = dbk_simdisk_size(f->disk, "a");
        assert_in_range(size, 100, 10100);
        old = old || size == 100;
        new = new || size == 10100;
        between = between || (size > 100 && size < 10100);
    }
    assert_true(old && new &&between);
}

static unsigned old_size_and_garbage(void *arg, dbk_simdisk_question question, unsigned options)
{
    (void)arg, (void)options;
    return question == DBK_SIM_ASK_SECTOR ? DBK_SIM_GARBAGE : DBK_SIM_OLD;
}

/* An unsynced truncation that did not happen gives all sectors behind it back. */
static void test_truncation_undone(void **state)
{
    fixture *f = *state;
    make_durable(f, "a", 1, 10000);
    dbk_file *file = open_as(f, "a", READ_WRITE);
    assert_int_equal(f->port->truncate(f->port->ctx, file, 2 * SECTOR), 0);
    close_it(f, file);
    dbk_simdisk_image *image = dbk_simdisk_snapshot(f->disk);
    crash(f, DBK_SIM_ALL_OLD, 1);
    assert_int_equal(dbk_simdisk_size(f->disk, "a"), 10000);
    assert_int_equal(byte_at(f, "a", 2 * SECTOR), 1);
    assert_int_equal(byte_at(f, "a", 9999), 1);
    dbk_simdisk_restore(f->disk, image);
    dbk_simdisk_crash_with(f->disk, old_size_and_garbage, NULL, 1);
    assert_int_equal(byte_at(f, "a", 2 * SECTOR), 1);
    dbk_simdisk_restore(f->disk, image);
    crash(f, DBK_SIM_ALL_NEW, 1);
    assert_int_equal(dbk_simdisk_size(f->disk, "a"), 2 * SECTOR);
    assert_int_equal(dbk_simdisk_truncate(f->disk, "a", 10000), 0);
    assert_int_equal(byte_at(f, "a", 2 * SECTOR), 0);
    assert_int_equal(byte_at(f, "a", 9999), 0);
}

/* A file cut and grown again never shows its old bytes once that is synced. */
static void test_cut_and_grown(void **state)
{
    fixture *f = *state;
    make_durable(f, "a", 1, 10000);
    dbk_file *file = open_as(f, "a", READ_WRITE);
    assert_int_equal(f->port->truncate(f->port->ctx, file, 10), 0);
    assert_int_equal(sync_it(f, file), 0);
    assert_int_equal(f->port->truncate(f->port->ctx, file, 10000), 0);
    close_it(f, file);
    crash(f, DBK_SIM_ALL_NEW, 1);
    assert_int_equal(byte_at(f, "a", 9), 1);
    assert_int_equal(byte_at(f, "a", 10), 0);
    assert_int_equal(byte_at(f, "a", 9999), 0);
    make_durable(f, "b", 1, 10000);
    file = open_as(f, "b", READ_WRITE);
    assert_int_equal(f->port->truncate(f->port->ctx, file, 10), 0);
    assert_int_equal(f->port->truncate(f->port->ctx, file, 10000), 0);
    assert_int_equal(sync_it(f, file), 0);
    assert_int_equal(fill(f, file, 0, 1, 1), 1);
    close_it(f, file);
    crash(f, DBK_SIM_ALL_OLD, 1);
    assert_int_equal(byte_at(f, "b", 10), 0);
    assert_int_equal(byte_at(f, "b", 9999), 0);
}

/* A write through a DIRECT handle is durable when it returns, another handle's is not. */
static void test_direct_is_durable(void **state)
{
    fixture *f = *state;
    make_durable(f, "a", 1, 2 * DBK_SIM_BLOCK_BYTES);
    dbk_file *direct = open_as(f, "a", READ_WRITE | DBK_OPEN_DIRECT);
    dbk_file *plain = open_as(f, "a", READ_WRITE);
    uint8_t *memory = f->port->alloc_aligned(f->port->ctx, 512, SECTOR);
    assert_non_null(memory);
    memset(memory, 5, SECTOR);
    assert_int_equal(fill(f, plain, DBK_SIM_BLOCK_BYTES, 6, 10), 10);
    assert_int_equal(put(f, direct, SECTOR, memory, SECTOR), SECTOR);
    f->port->free_aligned(f->port->ctx, memory);
    crash(f, DBK_SIM_ALL_OLD, 1);
    assert_int_equal(byte_at(f, "a", SECTOR), 5);
    assert_int_equal(byte_at(f, "a", DBK_SIM_BLOCK_BYTES), 1);
}

/* Allocated blocks read as zeros after a crash and are still the file's. */
static void test_allocation(void **state)
{
    fixture *f = *state;
    f->world->capacity_bytes = 4 * DBK_SIM_BLOCK_BYTES;
    dbk_file *file = open_as(f, "a", MAKE);
    assert_int_equal(f->port->allocate(f->port->ctx, file, 0, 4 * DBK_SIM_BLOCK_BYTES), 0);
    assert_int_equal(fill(f, file, 0, 1, 10), 10);
    assert_int_equal(sync_it(f, file), 0);
    assert_int_equal(sync_root(f), 0);
    close_it(f, file);
    crash(f, DBK_SIM_ALL_GARBAGE, 1);
    assert_int_equal(byte_at(f, "a", 4 * DBK_SIM_BLOCK_BYTES - 1), 0);
    dbk_file *other = open_as(f, "b", MAKE);
    assert_int_equal(fill(f, other, 0, 1, 1), -ENOSPC);
    close_it(f, other);
}

/* A name that was not synced may be lost though the content was. */
static void test_name_lost(void **state)
{
    fixture *f = *state;
    dbk_file *file = open_as(f, "a", MAKE);
    assert_int_equal(fill(f, file, 0, 1, 10), 10);
    assert_int_equal(sync_it(f, file), 0);
    close_it(f, file);
    crash(f, DBK_SIM_ALL_OLD, 1);
    assert_false(dbk_simdisk_exists(f->disk, "a"));
    make_durable(f, "b", 4, 10);
    assert_int_equal(f->port->unlink(f->port->ctx, f->root, "b"), 0);
    crash(f, DBK_SIM_ALL_OLD, 1);
    assert_int_equal(byte_at(f, "b", 9), 4);
    assert_int_equal(f->port->unlink(f->port->ctx, f->root, "b"), 0);
    assert_int_equal(sync_root(f), 0);
    crash(f, DBK_SIM_ALL_OLD, 1);
    assert_false(dbk_simdisk_exists(f->disk, "b"));
}

/* Replacing by rename leaves the old file or the new one under the name, never none, and the
 * temporary name only where the new one is not. */
static void test_rename_is_atomic(void **state)
{
    fixture *f = *state;
    make_durable(f, "a", 1, 10);
    make_durable(f, "a.tmp", 2, 10);
    assert_int_equal(f->port->rename(f->port->ctx, f->root, "a.tmp", f->root, "a"), 0);
    dbk_simdisk_image *image = dbk_simdisk_snapshot(f->disk);
    bool old = false, new = false;
    for (uint64_t seed = 0; seed < 20; seed++) {
        dbk_simdisk_restore(f->disk, image);
        crash(f, DBK_SIM_RANDOM_MIX, seed);
        int byte = byte_at(f, "a", 9);
        assert_true(byte == 1 || byte == 2);
        assert_int_equal(dbk_simdisk_exists(f->disk, "a.tmp"), byte == 1);
        old = old || byte == 1;
        new = new || byte == 2;
    }
    assert_true(old && new);
}

/* Bits of the mask answer the questions in turn. */
static unsigned choose_by_mask(void *arg, dbk_simdisk_question question, unsigned options)
{
    uint64_t *mask = arg;
    unsigned answer = (unsigned)(*mask & 1);
    (void)question;
    *mask >>= 1;
    return options > 1 ? answer : 0;
}

static int times_there(fixture *f, const char *const *paths, size_t count, int byte)
{
    int there = 0;
    for (size_t i = 0; i < count; i++) there += byte_at(f, paths[i], 0) == byte;
    return there;
}

/* Whatever subset of a tangle of renames happens, a durable file has exactly one name, also where
 * a directory it was moved to is lost, or moved itself. */
static void test_renames_keep_one_name(void **state)
{
    static const char *const paths[] = {"a", "b", "c", "d/a", "d/b", "e/a", "e/b", "e/d/a", "e/d/b"};
    fixture *f = *state;
    void *ctx = f->port->ctx;
    dbk_dir *d = NULL, *e = NULL;
    make_durable(f, "a", 1, 10);
    assert_int_equal(f->port->open_dir(ctx, NULL, "d", DBK_OPEN_DIRECTORY, &d), 0);
    assert_int_equal(sync_root(f), 0);
    assert_int_equal(f->port->rename(ctx, f->root, "a", f->root, "b"), 0);
    assert_int_equal(f->port->open_dir(ctx, NULL, "e", DBK_OPEN_DIRECTORY, &e), 0);
    assert_int_equal(f->port->rename(ctx, f->root, "b", d, "b"), 0);
    assert_int_equal(f->port->rename(ctx, d, "b", e, "a"), 0);
    assert_int_equal(f->port->rename(ctx, f->root, "d", e, "d"), 0);
    assert_int_equal(f->port->rename(ctx, e, "a", d, "a"), 0);
    f->port->close_dir(ctx, d);
    f->port->close_dir(ctx, e);
    assert_int_equal(dbk_simdisk_unsynced(f->disk), 6);
    dbk_simdisk_image *image = dbk_simdisk_snapshot(f->disk);
    for (uint64_t subset = 0; subset < 64; subset++) {
        uint64_t mask = subset;
        dbk_simdisk_restore(f->disk, image);
        dbk_simdisk_crash_with(f->disk, choose_by_mask, &mask, 1);
        assert_int_equal(times_there(f, paths, sizeof paths / sizeof *paths, 1), 1);
        assert_int_equal(dbk_simdisk_unsynced(f->disk), 0);
    }
}

/* Syncing a directory that has no durable name itself does not lose what was moved into it. */
static void test_sync_of_new_directory(void **state)
{
    fixture *f = *state;
    void *ctx = f->port->ctx;
    dbk_dir *d = NULL;
    make_durable(f, "a", 1, 10);
    assert_int_equal(f->port->open_dir(ctx, NULL, "d", DBK_OPEN_DIRECTORY, &d), 0);
    assert_int_equal(f->port->rename(ctx, f->root, "a", d, "a"), 0);
    assert_int_equal(f->port->sync_dir(ctx, d), 0);
    f->port->close_dir(ctx, d);
    crash(f, DBK_SIM_ALL_OLD, 1);
    assert_int_equal(byte_at(f, "d/a", 0), 1);
}

/* A sync of either directory makes a move between them durable, and nothing moves it back. */
static void test_sync_of_one_side(void **state)
{
    fixture *f = *state;
    void *ctx = f->port->ctx;
    dbk_dir *d = NULL;
    assert_int_equal(f->port->open_dir(ctx, NULL, "d", DBK_OPEN_DIRECTORY, &d), 0);
    assert_int_equal(sync_root(f), 0);
    dbk_file *file = NULL;
    assert_int_equal(f->port->open_file(ctx, d, "x", MAKE, 0600, &file), 0);
    close_it(f, file);
    assert_int_equal(f->port->rename(ctx, d, "x", f->root, "y"), 0);
    assert_int_equal(sync_root(f), 0);
    assert_int_equal(dbk_simdisk_unsynced(f->disk), 0);
    crash(f, DBK_SIM_ALL_NEW, 1);
    assert_true(dbk_simdisk_exists(f->disk, "y"));
    assert_false(dbk_simdisk_exists(f->disk, "d/x"));
    f->port->close_dir(ctx, d);
}

/* A directory whose removal is durable takes the names inside along. */
static void test_removed_directory(void **state)
{
    fixture *f = *state;
    void *ctx = f->port->ctx;
    dbk_dir *d = NULL, *e = NULL;
    assert_int_equal(f->port->open_dir(ctx, NULL, "d", DBK_OPEN_DIRECTORY, &d), 0);
    assert_int_equal(f->port->open_dir(ctx, d, "e", DBK_OPEN_DIRECTORY, &e), 0);
    assert_int_equal(dbk_simdisk_write(f->disk, "d/e/x", 0, "x", 1), 0);
    dbk_simdisk_sync_all(f->disk);
    assert_int_equal(f->port->unlink(ctx, e, "x"), 0);
    assert_int_equal(f->port->remove_dir(ctx, d, "e"), 0);
    assert_int_equal(f->port->remove_dir(ctx, f->root, "d"), 0);
    assert_int_equal(sync_root(f), 0);
    crash(f, DBK_SIM_ALL_OLD, 1);
    assert_false(dbk_simdisk_exists(f->disk, "d"));
    f->port->close_dir(ctx, d);
    f->port->close_dir(ctx, e);
}

/* A name kept in a directory that is lost is lost with it. */
static void test_name_in_lost_directory(void **state)
{
    fixture *f = *state;
    uint64_t directory_lost = 2;
    dbk_dir *d = NULL;
    dbk_file *file = NULL;
    assert_int_equal(f->port->open_dir(f->port->ctx, NULL, "d", DBK_OPEN_DIRECTORY, &d), 0);
    assert_int_equal(f->port->open_file(f->port->ctx, d, "x", MAKE, 0600, &file), 0);
    close_it(f, file);
    f->port->close_dir(f->port->ctx, d);
    dbk_simdisk_crash_with(f->disk, choose_by_mask, &directory_lost, 1);
    reopen_root(f);
    assert_false(dbk_simdisk_exists(f->disk, "d"));
    assert_int_equal(dbk_simdisk_hash(f->disk, NULL), 0);
}

/* sync_all leaves nothing to lose. */
static void test_sync_all(void **state)
{
    fixture *f = *state;
    dbk_file *file = open_as(f, "a", MAKE);
    assert_int_equal(fill(f, file, 0, 1, 5000), 5000);
    dbk_simdisk_sync_all(f->disk);
    crash(f, DBK_SIM_ALL_OLD, 1);
    assert_int_equal(byte_at(f, "a", 4999), 1);
    close_it(f, file);
}

/* The program of the power test: a file is written, synced and named in four changes. */
static int write_under_name(fixture *f)
{
    dbk_file *file = NULL;
    void *ctx = f->port->ctx;
    int failed = f->port->open_file(ctx, f->root, "a", MAKE, 0600, &file);
    if (failed) return failed;
    int64_t done = fill(f, file, 0, 1, 700);
    failed = done < 0 ? (int)done : sync_it(f, file);
    if (!failed) failed = sync_root(f);
    close_it(f, file);
    return failed;
}

/* The power goes at each change in turn: that call and all later ones fail, and only a run that
 * was told of its success has its data for sure. */
static void test_power_off(void **state)
{
    fixture *f = *state;
    dbk_simdisk_image *image = dbk_simdisk_snapshot(f->disk);
    uint64_t before = dbk_simdisk_calls(f->disk, DBK_SIM_CHANGES);
    assert_int_equal(write_under_name(f), 0);
    uint64_t changes = dbk_simdisk_calls(f->disk, DBK_SIM_CHANGES) - before;
    assert_int_equal(changes, 4);
    for (uint64_t k = 1; k <= changes + 1; k++) {
        dbk_simdisk_restore(f->disk, image);
        reopen_root(f);
        dbk_simdisk_power_off_at(f->disk, k);
        assert_int_equal(write_under_name(f), k <= changes ? -EIO : 0);
        assert_int_equal(dbk_simdisk_power_is_off(f->disk), k <= changes);
        if (k <= changes) assert_int_equal(open_fails(f, "a", READ_WRITE), -EIO);
        dbk_simdisk_image *dark = dbk_simdisk_snapshot(f->disk);
        crash(f, DBK_SIM_ALL_OLD, k);
        assert_int_equal(byte_at(f, "a", 699), k <= changes ? -1 : 1);
        dbk_simdisk_restore(f->disk, dark);
        crash(f, DBK_SIM_ALL_NEW, k);
        assert_int_equal(byte_at(f, "a", 699), k == 1 ? -1 : 1);
        assert_false(dbk_simdisk_power_is_off(f->disk));
        assert_int_equal(open_fails(f, "none", READ_WRITE), -ENOENT);
    }
}

/* The power goes during a DIRECT write, a rename, a removal, or a call that fails anyway. */
static void test_power_off_in_flight(void **state)
{
    fixture *f = *state;
    void *ctx = f->port->ctx;
    dbk_dir *dir = NULL;
    make_durable(f, "a", 1, SECTOR);
    dbk_file *file = open_as(f, "a", READ_WRITE | DBK_OPEN_DIRECT);
    uint8_t *memory = f->port->alloc_aligned(ctx, 512, SECTOR);
    assert_non_null(memory);
    memset(memory, 2, SECTOR);
    dbk_simdisk_power_off_at(f->disk, 1);
    assert_int_equal(put(f, file, 0, memory, SECTOR), -EIO);
    f->port->free_aligned(ctx, memory);
    crash(f, DBK_SIM_ALL_OLD, 1);
    assert_int_equal(byte_at(f, "a", 0), 1);
    close_it(f, file);
    dbk_simdisk_power_off_at(f->disk, 1);
    assert_int_equal(f->port->rename(ctx, f->root, "a", f->root, "b"), -EIO);
    crash(f, DBK_SIM_ALL_NEW, 1);
    assert_int_equal(byte_at(f, "b", 0), 1);
    dbk_simdisk_power_off_at(f->disk, 1);
    assert_int_equal(f->port->unlink(ctx, f->root, "none"), -EIO);
    assert_true(dbk_simdisk_power_is_off(f->disk));
    assert_int_equal(f->port->open_dir(ctx, f->root, "d", DBK_OPEN_DIRECTORY, &dir), -EIO);
    assert_null(dir);
    crash(f, DBK_SIM_ALL_NEW, 1);
    assert_false(dbk_simdisk_exists(f->disk, "d"));
    dbk_simdisk_power_off_at(f->disk, 1);
    assert_int_equal(f->port->open_dir(ctx, f->root, "d", DBK_OPEN_DIRECTORY, &dir), -EIO);
    assert_null(dir);
    crash(f, DBK_SIM_ALL_NEW, 1);
    assert_true(dbk_simdisk_exists(f->disk, "d"));
    assert_int_equal(dbk_simdisk_handle_count(f->disk), 1);
}

/* After a failed sync Linux takes the sectors for clean: a second sync does nothing for them, and
 * the old bytes come back with the next read past the cache. */
static void test_failed_sync(void **state)
{
    fixture *f = *state;
    make_durable(f, "a", 1, 4 * SECTOR);
    dbk_file *file = open_as(f, "a", READ_WRITE);
    assert_int_equal(fill(f, file, 0, 2, SECTOR), SECTOR);
    fault(f, (dbk_simdisk_fault){.kinds = DBK_SIM_SYNC, .times = 1, .error = EINTR});
    assert_int_equal(sync_it(f, file), -EINTR);
    fault(f, (dbk_simdisk_fault){.kinds = DBK_SIM_SYNC, .times = 1});
    assert_int_equal(sync_it(f, file), -EIO);
    assert_int_equal(fill(f, file, SECTOR, 3, SECTOR), SECTOR);
    assert_int_equal(sync_it(f, file), 0);
    assert_int_equal(byte_at(f, "a", 0), 2);
    dbk_simdisk_image *image = dbk_simdisk_snapshot(f->disk);
    crash(f, DBK_SIM_ALL_NEW, 1);
    assert_int_equal(byte_at(f, "a", 0), 1);
    assert_int_equal(byte_at(f, "a", SECTOR), 3);
    close_it(f, file);
    dbk_simdisk_restore(f->disk, image);
    reopen_root(f);
    file = open_as(f, "a", READ_WRITE);
    assert_int_equal(fill(f, file, 2 * SECTOR, 4, 1), 1);
    assert_int_equal(f->port->drop_cache(f->port->ctx, file, 0, 0), 0);
    assert_int_equal(byte_at(f, "a", 0), 1);
    assert_int_equal(byte_at(f, "a", SECTOR), 3);
    assert_int_equal(byte_at(f, "a", 2 * SECTOR), 4);
    close_it(f, file);
}

/* Where a failed sync keeps its sectors dirty, the next one makes them durable. */
static void test_failed_sync_kept_dirty(void **state)
{
    fixture *f = *state;
    f->world->failed_sync_keeps_dirty = true;
    make_durable(f, "a", 1, SECTOR);
    dbk_file *file = open_as(f, "a", READ_WRITE);
    assert_int_equal(fill(f, file, 0, 2, SECTOR), SECTOR);
    fault(f, (dbk_simdisk_fault){.kinds = DBK_SIM_SYNC, .times = 1});
    assert_int_equal(sync_it(f, file), -EIO);
    assert_int_equal(sync_it(f, file), 0);
    close_it(f, file);
    crash(f, DBK_SIM_ALL_OLD, 1);
    assert_int_equal(byte_at(f, "a", 0), 2);
}

/* A sync that lies says 0 and makes nothing durable; a write that lies is never durable. */
static void test_lies(void **state)
{
    fixture *f = *state;
    make_durable(f, "a", 1, 2 * DBK_SIM_BLOCK_BYTES);
    dbk_file *file = open_as(f, "a", READ_WRITE);
    fault(f, (dbk_simdisk_fault){.kinds = DBK_SIM_SYNC | DBK_SIM_SYNC_DIR, .times = 2, .action = DBK_SIM_LIE});
    assert_int_equal(fill(f, file, 0, 2, 1), 1);
    assert_int_equal(sync_it(f, file), 0);
    close_it(f, open_as(f, "b", MAKE));
    assert_int_equal(sync_root(f), 0);
    close_it(f, file);
    crash(f, DBK_SIM_ALL_OLD, 1);
    assert_int_equal(byte_at(f, "a", 0), 1);
    assert_false(dbk_simdisk_exists(f->disk, "b"));
    file = open_as(f, "a", READ_WRITE | DBK_OPEN_DIRECT);
    dbk_file *plain = open_as(f, "a", READ_WRITE);
    fault(f, (dbk_simdisk_fault){.kinds = DBK_SIM_WRITE, .times = 1, .action = DBK_SIM_LIE});
    assert_int_equal(fill(f, plain, 0, 2, DBK_SIM_BLOCK_BYTES), DBK_SIM_BLOCK_BYTES);
    assert_int_equal(sync_it(f, plain), 0);
    assert_int_equal(byte_at(f, "a", 0), 2);
    uint8_t *memory = f->port->alloc_aligned(f->port->ctx, 512, SECTOR);
    assert_non_null(memory);
    assert_int_equal(get(f, file, 0, memory, SECTOR), SECTOR);
    assert_int_equal(memory[0], 1);
    f->port->free_aligned(f->port->ctx, memory);
    close_it(f, file);
    close_it(f, plain);
}

/* A misdirected write lands where the plan says, and its own place keeps the old bytes. */
static void test_misdirected_write(void **state)
{
    fixture *f = *state;
    make_durable(f, "a", 1, 4 * SECTOR);
    dbk_file *file = open_as(f, "a", READ_WRITE);
    fault(f, (dbk_simdisk_fault){.kinds = DBK_SIM_WRITE, .action = DBK_SIM_MISDIRECT, .bytes = 3 * SECTOR});
    assert_int_equal(fill(f, file, SECTOR, 2, SECTOR), SECTOR);
    close_it(f, file);
    assert_int_equal(byte_at(f, "a", SECTOR), 1);
    assert_int_equal(byte_at(f, "a", 3 * SECTOR), 2);
}

/* A restored image has what was unsynced when it was taken, and later writes do not reach it. */
static void test_images(void **state)
{
    fixture *f = *state;
    make_durable(f, "a", 1, 9000);
    dbk_file *file = open_as(f, "a", READ_WRITE);
    assert_int_equal(fill(f, file, 0, 2, 10), 10);
    assert_int_equal(f->port->unlink(f->port->ctx, f->root, "a"), 0);
    dbk_simdisk_image *image = dbk_simdisk_snapshot(f->disk);
    assert_int_equal(fill(f, file, 0, 3, 10), 10);
    close_it(f, file);
    dbk_simdisk_restore(f->disk, image);
    crash(f, DBK_SIM_ALL_OLD, 1);
    assert_int_equal(byte_at(f, "a", 0), 1);
    dbk_simdisk_restore(f->disk, image);
    reopen_root(f);
    assert_int_equal(open_fails(f, "a", READ_WRITE), -ENOENT);
    dbk_simdisk_image *empty = dbk_simdisk_snapshot(f->disk);
    dbk_simdisk_image_free(f->disk, image);
    dbk_simdisk_image_free(f->disk, empty);
}

/* A power loss gives another boot and another process. */
static void test_reboot(void **state)
{
    fixture *f = *state;
    char before[37], after[37];
    uint32_t process = f->port->process_id(f->port->ctx);
    assert_int_equal(f->port->boot_id(f->port->ctx, before), 0);
    crash(f, DBK_SIM_ALL_NEW, 1);
    assert_int_equal(f->port->boot_id(f->port->ctx, after), 0);
    assert_string_not_equal(before, after);
    assert_int_not_equal(f->port->process_id(f->port->ctx), process);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_synced_survives),
        TEST(test_sector_outcomes),
        TEST(test_garbage),
        TEST(test_sizes),
        TEST(test_truncation_undone),
        TEST(test_cut_and_grown),
        TEST(test_direct_is_durable),
        TEST(test_allocation),
        TEST(test_name_lost),
        TEST(test_rename_is_atomic),
        TEST(test_renames_keep_one_name),
        TEST(test_sync_of_new_directory),
        TEST(test_sync_of_one_side),
        TEST(test_removed_directory),
        TEST(test_name_in_lost_directory),
        TEST(test_sync_all),
        TEST(test_power_off),
        TEST(test_power_off_in_flight),
        TEST(test_failed_sync),
        TEST(test_failed_sync_kept_dirty),
        TEST(test_lies),
        TEST(test_misdirected_write),
        TEST(test_images),
        TEST(test_reboot),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
