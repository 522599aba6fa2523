/* Segments of many pages and blocks, so that what fails is in the midst of something: each call of packing them, of merging
 * their indexes and of reading them fails in turn, and each read is deceived. It ends, leaks nothing, tells of it, and
 * all is there when the calls succeed again. */
#include <errno.h>

#include "log_fixture.h"

#include "log/load.h"

#include "tests/support/step.h"

enum { SEGMENT_BYTES = 192 * 1024, DATA_BYTES = 150 };
static uint64_t runs, step = 1, all;

/* Plain segments: whoever opens the log next packs and indexes them. */
static void make(world *w)
{
    memset(w, 0, sizeof(*w));
    w->disk = dbk_simdisk_new(31);
    w->port = dbk_simdisk_port(w->disk);
    w->options = small_options();
    w->options.keep_plain = true;
    w->options.segment_first_bytes = w->options.segment_max_bytes = SEGMENT_BYTES;
    w->dir = root_of(w->port);
    assert_int_equal(dbk_log_create(w->port, w->dir, &w->options, NULL), DBK_OK);
    assert_int_equal(world_open(w, NULL), DBK_OK);
    while (w->log->segment_count < 6) assert_int_equal(append_sized(w->log, 150, DATA_BYTES, NULL), DBK_OK);
    all = dbk_log_position(w->log);
    world_close(w);
    for (unsigned n = 1; n < 6; n++) { /* the indexes, too, are made by whoever comes */
        char path[64];
        snprintf(path, sizeof(path), "log/%016x.idx", n);
        (void)dbk_simdisk_remove(w->disk, path);
    }
    dbk_simdisk_sync_all(w->disk);
    w->options.keep_plain = false;
}

static void some_entries(dbk_log *log, bool strict)
{
    dbk_buffer got, want;

    dbk_buffer_init(&got, dbk_port_system());
    dbk_buffer_init(&want, dbk_port_system());
    for (uint64_t position = 1; position <= all; position += 211) {
        dbk_result rc = dbk_log_read(log, position, &got, NULL, NULL);
        assert_true(rc == DBK_OK || !strict);
        if (rc != DBK_OK) continue;
        make_entry(&want, replica_one, position, 100 + position, DATA_BYTES);
        assert_true(dbk_slice_equal(dbk_buffer_slice(&got), dbk_buffer_slice(&want)));
    }
    dbk_buffer_release(&got);
    dbk_buffer_release(&want);
}

static void walk_through(dbk_log *log, bool strict)
{
    dbk_log_cursor *cursor;
    uint64_t position, count = 0;
    dbk_slice origin;
    dbk_result rc = dbk_log_cursor_open(log, 1, 0, &cursor, NULL);

    while (rc == DBK_OK && (rc = dbk_log_cursor_next(cursor, &position, NULL, &origin, NULL)) == DBK_OK) count++;
    dbk_log_cursor_close(cursor);
    assert_true(rc == DBK_END ? count == dbk_log_position(log) : !strict && rc < 0);
}

/* The writer packs and merges; then all that is there is asked for. */
static void use(world *w)
{
    const dbk_log_wish wishes[] = {{.stream = dbk_slice_text("note/3")},
                                   {.type = dbk_slice_text("note.put"), .reverse = true}};
    dbk_log_selection *selection;
    dbk_log_report report;
    uint64_t position;
    dbk_slice origin;

    if (world_open(w, NULL) == DBK_OK) {
        (void)!dbk_log_idle(w->log, NULL);
        some_entries(w->log, false);
        walk_through(w->log, false);
        (void)!dbk_log_find_command(w->log, dbk_slice_text("c700"), 0, &position, NULL);
        for (size_t i = 0; i < 2; i++) {
            if (dbk_log_selection_open(w->log, &wishes[i], &selection, NULL) != DBK_OK) continue;
            for (int k = 0; k < 60 && dbk_log_selection_next(selection, &position, NULL, &origin, NULL) == DBK_OK;
                 k++) {
            }
            dbk_log_selection_close(selection);
        }
        dbk_log_close(w->log);
        w->log = NULL;
    }
    (void)!dbk_log_verify(w->port, w->dir, &w->options, DBK_VERIFY_PROOF, NULL, &report, NULL);
}

static void check_left(world *w, uint64_t call)
{
    dbk_error err = {0};

    if (world_open(w, &err) != DBK_OK) fail_msg("call %d: %s", (int)call, err.text);
    assert_int_equal(dbk_log_position(w->log), all);
    some_entries(w->log, true);
    walk_through(w->log, true);
    world_close(w);
}

static void each_call(const dbk_simdisk_fault *kind)
{
    dbk_simdisk_fault fault = *kind;
    uint64_t before = runs;
    world w;

    make(&w);
    dbk_simdisk_image *image = dbk_simdisk_snapshot(w.disk);
    for (bool hit = true; hit; fault.skip += step) {
        dbk_simdisk_restore(w.disk, image);
        w.dir = root_of(w.port);
        dbk_simdisk_add_fault(w.disk, &fault);
        use(&w);
        hit = dbk_simdisk_fault_hits(w.disk) > 0;
        dbk_simdisk_clear_faults(w.disk);
        world_close(&w);
        assert_int_equal(dbk_simdisk_memory_count(w.disk), 0);
        check_left(&w, fault.skip);
        runs++;
    }
    assert_true((runs - before) * step >= 40); /* else it saw nothing */
    world_free(&w);
}

static void test_reads(void **state)
{
    (void)state;
    each_call(&(dbk_simdisk_fault){.kinds = DBK_SIM_READ | DBK_SIM_OPEN | DBK_SIM_LIST, .times = 1, .error = 5});
}

static void test_memory(void **state)
{
    (void)state;
    each_call(&(dbk_simdisk_fault){.kinds = DBK_SIM_MEMORY, .times = 1, .error = 12});
}

static void test_changes(void **state)
{
    (void)state;
    each_call(&(dbk_simdisk_fault){.kinds = DBK_SIM_CHANGES, .times = 1, .error = 28});
}

/* ---- reads that give other bytes */

static struct {
    dbk_port port;
    const dbk_port *inner;
    uint64_t at, count;
    bool nothing;
} reading;

static int64_t deceive(void *ctx, dbk_file *file, void *out, size_t size, uint64_t offset)
{
    int64_t got = reading.inner->pread(ctx, file, out, size, offset);

    if (++reading.count != reading.at || got <= 0) return got;
    if (reading.nothing) return 0;
    ((uint8_t *)out)[reading.at * 7919 % (uint64_t)got] ^= 4;
    return got;
}

/* The files of a log that is packed, read by who only reads: told, or right. */
static void test_deceived(void **state)
{
    dbk_log_report report;
    world w;

    (void)state;
    make(&w);
    assert_int_equal(world_open(&w, NULL), DBK_OK);
    world_close(&w);
    w.options.read_only = true;
    dbk_simdisk_image *image = dbk_simdisk_snapshot(w.disk);
    reading.inner = w.port;
    reading.port = *w.port;
    reading.port.pread = deceive;
    for (int nothing = 0; nothing < 2; nothing++) {
        bool hit = true;
        for (uint64_t at = 1; hit; at += step) {
            w.port = &reading.port;
            w.dir = root_of(w.port);
            reading.at = at;
            reading.count = 0;
            reading.nothing = nothing;
            use(&w);
            hit = reading.count >= at;
            world_close(&w);
            w.port = reading.inner;
            assert_true(dbk_simdisk_same(w.disk, image, NULL, 0));
            assert_int_equal(dbk_simdisk_memory_count(w.disk), 0);
            runs++;
        }
    }
    w.dir = root_of(w.port);
    assert_int_equal(dbk_log_verify(w.port, w.dir, &w.options, DBK_VERIFY_PROOF, NULL, &report, NULL), DBK_OK);
    assert_int_equal(report.faults, 0);
    world_free(&w);
}

static dbk_result append_drawn(dbk_log *log, size_t data_bytes)
{
    static uint64_t drawn = 1;
    uint64_t *data = malloc(data_bytes);
    dbk_event event = {.type = dbk_slice_text("note.put"), .stream = dbk_slice_text("note/1"), .type_version = 1};
    dbk_entry entry = {.id = {.incarnation = 1, .seq = dbk_log_position(log) + 1},
                       .epoch = 1,
                       .hlc = 200 + dbk_log_position(log),
                       .event_count = 1};

    assert_non_null(data);
    for (size_t i = 0; i < data_bytes / 8; i++) data[i] = drawn = drawn * 6364136223846793005u + 1442695040888963407u;
    event.data = dbk_slice_of((const uint8_t *)data, data_bytes);
    dbk_result rc = append_event(log, &entry, &event, NULL);
    free(data);
    return rc;
}

/* What does not compress makes a packed file of some MiB, which is synced on the way: each of these syncs fails. */
static void test_synced_on_the_way(void **state)
{
    enum { MIB = 1024 * 1024 };
    dbk_simdisk_fault fault = {.kinds = DBK_SIM_SYNC, .path = ".pack", .error = EIO, .times = 1};
    dbk_log_report report;
    bool packed = false;

    (void)state;
    for (; !packed; fault.skip++) {
        world w = {0};
        w.disk = dbk_simdisk_new(32);
        w.port = dbk_simdisk_port(w.disk);
        w.options = small_options();
        w.options.segment_first_bytes = w.options.segment_max_bytes = 3 * MIB;
        w.dir = root_of(w.port);
        assert_int_equal(dbk_log_create(w.port, w.dir, &w.options, NULL), DBK_OK);
        assert_int_equal(world_open(&w, NULL), DBK_OK);
        dbk_simdisk_add_fault(w.disk, &fault);
        while (w.log->segment_count < 2) assert_int_equal(append_drawn(w.log, 60000), DBK_OK);
        packed = dbk_simdisk_fault_hits(w.disk) == 0;
        assert_int_equal(w.log->segments[0]->packed, packed);
        dbk_simdisk_clear_faults(w.disk);
        assert_int_equal(dbk_log_verify(w.port, w.dir, &w.options, DBK_VERIFY_PROOF, NULL, &report, NULL), DBK_OK);
        assert_int_equal(report.faults, 0);
        world_free(&w);
    }
    assert_true(fault.skip > 4);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reads),
        cmocka_unit_test(test_memory),
        cmocka_unit_test(test_changes),
        cmocka_unit_test(test_deceived),
        cmocka_unit_test(test_synced_on_the_way),
    };

    checkpoint_bytes = 2048;
    step = step_argument(argc, argv, 1);
    int red = cmocka_run_group_tests(tests, NULL, NULL);
    printf("%llu runs, in each another call failing: one of every %llu\n", (unsigned long long)runs,
           (unsigned long long)step);
    return red;
}
