/* What is seldom done, with each of its calls and allocations failing in turn, once and from there on, asked for a
 * reason or not: it ends, leaks nothing, says nothing false, and what was acknowledged is there when the calls succeed
 * again. */
#include "packed_fixture.h"

#include "log/load.h"
#include "log/scrub.h"

#include "tests/support/step.h"

enum { BATCHES = 30, COUNT = 6, ENTRIES = BATCHES * COUNT };
static const uint32_t kinds[] = {DBK_SIM_MEMORY,
                                 DBK_SIM_READ | DBK_SIM_OPEN | DBK_SIM_LIST | DBK_SIM_IDENTIFY | DBK_SIM_RANDOM,
                                 DBK_SIM_CHANGES | DBK_SIM_LOCK | DBK_SIM_THREAD};
static uint64_t runs, step = 1; /* odd: a reason is asked for every other time */

typedef void (*act_fn)(world *w, dbk_error *err);

static void path_of(const char *folder, uint64_t number, char out[64])
{
    snprintf(out, 64, "%s/%016llx.seg", folder, (unsigned long long)number);
}

/* A closed log of ENTRIES, and a copy of its segments. */
static void make(world *w)
{
    char from[64], to[64];
    dbk_dir *copy;

    world_new(w, 91);
    for (size_t i = 0; i < BATCHES; i++) assert_int_equal(append(w->log, COUNT), DBK_OK);
    assert_true(w->log->segment_count >= 3);
    world_close(w);
    assert_int_equal(w->port->open_dir(w->port->ctx, NULL, "copy", DBK_OPEN_DIRECTORY, &copy), 0);
    w->port->close_dir(w->port->ctx, copy);
    for (uint64_t n = 1; path_of("log", n, from), dbk_simdisk_exists(w->disk, from); n++) {
        path_of("copy", n, to);
        assert_int_equal(dbk_simdisk_copy(w->disk, from, to), 0);
    }
    dbk_simdisk_sync_all(w->disk);
}

/* `left` is what has to be there afterwards; 0: it need not open. */
static void each_call(world *w, act_fn act, uint64_t left)
{
    dbk_simdisk_image *image = dbk_simdisk_snapshot(w->disk);
    uint64_t before = runs;

    for (size_t i = 0; i < 4 * sizeof(kinds) / sizeof(*kinds); i++) {
        dbk_simdisk_fault fault = {.kinds = kinds[i / 4], .times = i % 2, .error = i % 4 > 1 ? 28 : 5};
        for (bool hit = true; hit; fault.skip += step) {
            dbk_error err = {0};
            dbk_simdisk_restore(w->disk, image);
            w->dir = root_of(w->port);
            dbk_simdisk_add_fault(w->disk, &fault);
            act(w, fault.skip % 2 ? &err : NULL);
            hit = dbk_simdisk_fault_hits(w->disk) > 0;
            dbk_simdisk_clear_faults(w->disk);
            world_close(w);
            assert_int_equal(dbk_simdisk_memory_count(w->disk), 0);
            runs++;
            if (!left) continue;
            if (world_open(w, &err) != DBK_OK) fail_msg("call %llu: %s", (unsigned long long)fault.skip, err.text);
            assert_true(dbk_log_position(w->log) >= left);
            check_entries(w->log, 0);
            world_close(w);
        }
    }
    assert_true((runs - before) * step >= 100); /* else it saw nothing */
    world_free(w);
}

static bool is_told(dbk_result rc)
{
    return rc == DBK_OK || rc == DBK_END || rc == DBK_IO || rc == DBK_NO_MEMORY || rc == DBK_NO_SPACE || rc == DBK_NONE;
}

static void open_it(world *w, dbk_error *err)
{
    dbk_result rc = world_open(w, err);

    assert_true(is_told(rc) || rc == DBK_POISONED || rc == DBK_LOCKED);
    assert_true(rc != DBK_OK || dbk_log_position(w->log) >= ENTRIES);
}

/* A record under way when the power went: it is put aside. */
static void test_torn_end(void **state)
{
    char active[64] = "";
    world w;

    (void)state;
    make(&w);
    for (uint64_t n = 1;; n++) {
        char path[64];
        path_of("log", n, path);
        if (!dbk_simdisk_exists(w.disk, path)) break;
        uint8_t start[4];
        if (dbk_simdisk_read(w.disk, path, 8192, start, 4) == 4 && dbk_load_u32(start))
            snprintf(active, sizeof(active), "%s", path);
    }
    uint8_t bytes[32768];
    int64_t size = dbk_simdisk_read(w.disk, active, 0, bytes, sizeof(bytes));
    uint64_t end = (uint64_t)size;
    while (end > 512 && dbk_all_zero(bytes + end - 512, 512)) end -= 512;
    assert_true(end + 1024 <= (uint64_t)size);
    memset(bytes, 0x5a, 700);
    assert_int_equal(dbk_simdisk_write(w.disk, active, end, bytes, 700), 0);
    assert_int_equal(dbk_simdisk_write(w.disk, "log/recovery.ndjson", 0, "{\"cut\":", 7), 0);
    dbk_simdisk_sync_all(w.disk);
    each_call(&w, open_it, ENTRIES);
}

static dbk_pack_head head;

static void lose_table(world *w, const char *path)
{
    head = pack_head_of(w, path);
    assert_int_equal(dbk_simdisk_flip_bit(w->disk, path, head.table_offset + 5, 2), 0);
    (void)dbk_simdisk_remove(w->disk, "log/CATALOG");
}

/* Both headers gone, a flipped bit, a segment that is missing: read through, named, salvaged. */
static dbk_result take_entry(void *arg, uint64_t position, int64_t received_ms, dbk_slice origin, dbk_error *err)
{
    (void)received_ms, (void)origin;
    if (position == 170) return dbk_fail(err, DBK_END, "enough");
    assert_true(position > *(uint64_t *)arg);
    *(uint64_t *)arg = position;
    return DBK_OK;
}

static void verify_it(world *w, dbk_error *err)
{
    uint64_t last = 0;
    dbk_log_watcher watcher = {.arg = &last, .entry = take_entry};
    dbk_log_report report;
    uint8_t store_id[16], lineage[16];

    for (int depth = 0; depth < 2; depth++) {
        dbk_result rc = dbk_log_verify(w->port, w->dir, &w->options, depth ? DBK_VERIFY_PROOF : DBK_VERIFY_CHECKSUMS,
                                       depth ? &watcher : NULL, &report, err);
        assert_true(is_told(rc));
        if (rc == DBK_OK) assert_true(report.faults > 0);
    }
    dbk_result rc = dbk_log_identify(w->port, w->dir, store_id, lineage, err);
    assert_true(is_told(rc) || rc == DBK_MISSING);
}

static void test_damaged_verified(void **state)
{
    char path[64];
    world w;

    (void)state;
    for (int damage = 0; damage < (keep_plain ? 4 : 5); damage++) {
        make(&w);
        path_of("log", 2, path);
        if (damage == 0) {
            dbk_simdisk_flip_bit(w.disk, path, 3, 1);
            dbk_simdisk_flip_bit(w.disk, path, 4099, 1);
            if (!keep_plain) dbk_simdisk_flip_bit(w.disk, path, (uint64_t)dbk_simdisk_size(w.disk, path) - 509, 1);
        }
        if (damage == 1) dbk_simdisk_flip_bit(w.disk, path, keep_plain ? 9000 : 700, 1);
        if (damage == 2) dbk_simdisk_remove(w.disk, path);
        if (damage == 3) dbk_simdisk_truncate(w.disk, path, 600);
        if (damage == 4) { /* the table, and the first block */
            lose_table(&w, path);
            dbk_simdisk_flip_bit(w.disk, path, dbk_pack_blocks_begin(&head) + 2, 1);
        }
        each_call(&w, verify_it, 0);
    }
}

/* A table that is lost is made again from the blocks, by mending with nobody's help and nobody who asks. */
static void mend_alone(world *w, dbk_error *err)
{
    static const dbk_mend_watcher nobody;
    dbk_dir *empty;
    uint64_t mended = 0;

    if (w->port->open_dir(w->port->ctx, NULL, "empty", DBK_OPEN_DIRECTORY, &empty) != 0) return;
    dbk_result rc = dbk_log_mend(w->port, w->dir, empty, &w->options, &nobody, &mended, err);
    assert_true(is_told(rc) || rc == DBK_CORRUPT);
    w->port->close_dir(w->port->ctx, empty);
}

static void test_lost_table(void **state)
{
    char path[64];
    world w;

    (void)state;
    if (keep_plain) return;
    make(&w);
    path_of("log", 2, path);
    lose_table(&w, path);
    each_call(&w, mend_alone, ENTRIES);
}

/* Rubbish stands far behind a clean end: it is looked at beside the opening, and judged before the first append. */
static void append_behind(world *w, dbk_error *err)
{
    if (world_open(w, err) != DBK_OK) return;
    for (int i = 0; i < 2; i++) {
        dbk_result rc = append_sized(w->log, COUNT, 0, err);
        assert_true(is_told(rc) || rc == DBK_POISONED);
    }
}

static void test_behind(void **state)
{
    char path[64];
    world w;

    (void)state;
    make(&w);
    uint64_t last = 1;
    for (; path_of("log", last, path), dbk_simdisk_exists(w.disk, path); last++) {
    }
    for (uint64_t back = 1; back <= 2; back++) { /* in the file prepared ahead, and in the last one */
        path_of("log", last - back, path);
        int64_t size = dbk_simdisk_size(w.disk, path);
        assert_int_equal(dbk_simdisk_write(w.disk, path, (uint64_t)size - 1024, "rubbish", 7), 0);
    }
    dbk_simdisk_sync_all(w.disk);
    w.options.no_background = false;
    dbk_simdisk_world_of(w.disk)->runs_threads = true;
    each_call(&w, append_behind, ENTRIES);
}

/* Mended from the copy, whatever fails: the damaged file or the whole one is there. */
static void mend_it(world *w, dbk_error *err)
{
    static const dbk_mend_watcher watcher;
    dbk_dir *copy;
    uint64_t mended = 0;

    if (w->port->open_dir(w->port->ctx, NULL, "copy", 0, &copy) != 0) return;
    dbk_result rc = dbk_log_mend(w->port, w->dir, copy, &w->options, &watcher, &mended, err);
    assert_true(is_told(rc) || rc == DBK_CORRUPT); /* what was copied does not read back: it is not taken */
    w->port->close_dir(w->port->ctx, copy);
}

static void test_mend(void **state)
{
    char path[64];
    world w;

    (void)state;
    make(&w);
    path_of("log", 1, path);
    dbk_simdisk_flip_bit(w.disk, path, keep_plain ? 9000 : 700, 1);
    path_of("log", 2, path);
    dbk_simdisk_remove(w.disk, path);
    (void)dbk_simdisk_remove(w.disk, "log/CATALOG");
    each_call(&w, mend_it, 0);
}

/* A round of the scrub. */
static void scrub_it(world *w, dbk_error *err)
{
    dbk_scrub_options options = {.no_thread = true};
    dbk_scrub *scrub;
    dbk_scrub_state seen;

    if (world_open(w, err) != DBK_OK) return;
    if (dbk_scrub_start(w->log, &options, &scrub, err) == DBK_OK) {
        (void)!dbk_scrub_glance(scrub, err);
        for (int i = 0; i < 8; i++) assert_true(is_told(dbk_scrub_step(scrub, err)));
        dbk_scrub_get(scrub, &seen);
        dbk_scrub_stop(scrub);
    }
    (void)!dbk_log_idle(w->log, err);
}

static void test_scrub(void **state)
{
    char path[64];
    world w;

    (void)state;
    for (int damage = 0; damage < 2; damage++) {
        make(&w);
        path_of("log", 2, path);
        if (damage) dbk_simdisk_flip_bit(w.disk, path, keep_plain ? 9000 : 700, 1);
        each_call(&w, scrub_it, damage ? 0 : ENTRIES);
    }
}

/* Batches that are larger than a block, and than what is left of a segment; packed, indexed, merged within the call. */
static void append_large(world *w, dbk_error *err)
{
    uint64_t acknowledged = ENTRIES;

    if (world_open(w, err) != DBK_OK) return;
    for (int i = 0; i < 3; i++) {
        dbk_result rc = append_sized(w->log, 250, 0, err);
        assert_true(is_told(rc) || rc == DBK_POISONED);
        if (rc == DBK_OK) acknowledged += 250;
        assert_true(dbk_log_position(w->log) >= acknowledged);
    }
    (void)!dbk_log_idle(w->log, err);
}

static void test_large(void **state)
{
    world w;

    (void)state;
    make(&w);
    each_call(&w, append_large, ENTRIES);
}

/* One reads while the other appends, through ends of segments; both in one process, the same calls failing. */
static void follow_it(world *w, dbk_error *err)
{
    dbk_log_options reading = w->options;
    dbk_log *reader = NULL;
    uint64_t seen = 0;

    reading.read_only = true;
    if (world_open(w, err) != DBK_OK) return;
    if (dbk_log_open(w->port, w->dir, &reading, &reader, err) != DBK_OK) return;
    for (int i = 0; i < 9; i++) {
        if (append(w->log, COUNT) != DBK_OK) break;
        dbk_result rc = dbk_log_refresh(reader, err);
        assert_true(is_told(rc) && dbk_log_position(reader) >= seen);
        seen = dbk_log_position(reader);
        assert_true(seen <= dbk_log_position(w->log));
    }
    dbk_log_close(reader);
}

static void test_follow(void **state)
{
    world w;

    (void)state;
    make(&w);
    each_call(&w, follow_it, ENTRIES);
}

/* A log that is made: what fails leaves nothing that another attempt, in another folder, could not do. */
static void create_it(world *w, dbk_error *err)
{
    dbk_dir *dir;
    dbk_log *log;

    if (w->port->open_dir(w->port->ctx, NULL, "made", DBK_OPEN_DIRECTORY, &dir) != 0) return;
    dbk_result rc = dbk_log_create(w->port, dir, &w->options, err);
    assert_true(is_told(rc) || rc == DBK_POISONED);
    if (rc == DBK_OK) {
        assert_int_equal(dbk_log_create(w->port, dir, &w->options, err) == DBK_OK, 0);
        if (dbk_log_open(w->port, dir, &w->options, &log, err) == DBK_OK) dbk_log_close(log);
    }
    w->port->close_dir(w->port->ctx, dir);
}

static void test_create(void **state)
{
    world w;

    (void)state;
    make(&w);
    w.options.no_direct = true;
    each_call(&w, create_it, ENTRIES);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_create), cmocka_unit_test(test_torn_end),   cmocka_unit_test(test_damaged_verified),
        cmocka_unit_test(test_mend),   cmocka_unit_test(test_scrub),      cmocka_unit_test(test_large),
        cmocka_unit_test(test_follow), cmocka_unit_test(test_lost_table), cmocka_unit_test(test_behind),
    };

    step = step_argument(argc, argv, 1) | 1;
    checkpoint_bytes = 512;
    int red = run_both_forms(tests);
    printf("%llu runs, in each another call failing: one of every %llu\n", (unsigned long long)runs,
           (unsigned long long)step);
    return red;
}
