/* What guards against rare accidents, each with the accident: races of two openers, evidence that lies in
 * the next segment, what a failed write leaves, syncs that only a second crash shows. */
#include <errno.h>

#include "log_fixture.h"

#include "log/internal.h"

static const char *path_of(uint64_t number)
{
    static char path[64];

    snprintf(path, sizeof(path), "log/%016llx.seg", (unsigned long long)number);
    return path;
}

/* A log that has just gone on to segment 2 with one batch, and nothing prepared behind it. */
static uint64_t two_segments(world *w)
{
    world_new(w, 41);
    while (w->log->segment_count < 2) assert_int_equal(append(w->log, 5), DBK_OK);
    uint64_t seal = w->log->segments[0]->seal_offset;
    world_close(w);
    (void)dbk_simdisk_remove(w->disk, path_of(3));
    dbk_simdisk_remove(w->disk, "log/WATERMARK");
    return seal;
}

static void refused(world *w, dbk_result code)
{
    uint64_t hash = dbk_simdisk_hash(w->disk, NULL);

    assert_int_equal(world_open(w, NULL), code);
    world_close(w);
    assert_int_equal(dbk_simdisk_hash(w->disk, NULL), hash);
}

/* The seal of segment 1 and the start of segment 2 are damaged: the batch behind that start still proves
 * that segment 1 was ended, so that its end is no torn write. */
static void test_next_segment_proves(void **state)
{
    world w;

    (void)state;
    uint64_t seal = two_segments(&w);
    dbk_simdisk_flip_bit(w.disk, path_of(1), seal + 40, 1);
    dbk_simdisk_flip_bit(w.disk, path_of(2), DBK_SEGMENT_DATA_OFFSET + 40, 1);
    refused(&w, DBK_CORRUPT);
    world_free(&w);
}

/* Segment 2 holds nothing any more, and nothing says so but that segment 3 was prepared, which is done only
 * once segment 2 has begun. */
static void test_prepared_segment_proves(void **state)
{
    uint8_t zeros[512] = {0};
    world w;

    (void)state;
    world_new(&w, 41);
    while (w.log->segment_count < 2) assert_int_equal(append(w.log, 5), DBK_OK);
    world_close(&w);
    assert_true(dbk_simdisk_exists(w.disk, path_of(3)));
    dbk_simdisk_remove(w.disk, "log/WATERMARK");
    for (uint64_t at = DBK_SEGMENT_DATA_OFFSET; at < 32768; at += sizeof(zeros))
        assert_int_equal(dbk_simdisk_write(w.disk, path_of(2), at, zeros, sizeof(zeros)), 0);
    refused(&w, DBK_LOST);
    world_free(&w);
}

/* The watermark names a place in segment 2, of which nothing but the prepared file is left, and the seal of
 * segment 1 is gone: what was durable is lost, though no position says so. */
static void test_watermark_in_the_next_segment(void **state)
{
    uint8_t slot[DBK_WATERMARK_SLOT_SIZE], zeros[DBK_UNIT_MAX] = {0};
    dbk_watermark mark = {.counter = 1, .segment = 2, .offset = DBK_SEGMENT_DATA_OFFSET};
    world w;

    (void)state;
    uint64_t seal = two_segments(&w);
    assert_int_equal(world_open(&w, NULL), DBK_OK);
    mark.position = w.log->segments[0]->last_position;
    uint32_t unit = w.log->unit;
    world_close(&w);
    (void)dbk_simdisk_remove(w.disk, path_of(3));
    for (uint64_t at = DBK_SEGMENT_DATA_OFFSET; at < 32768; at += unit)
        assert_int_equal(dbk_simdisk_write(w.disk, path_of(2), at, zeros, unit), 0);
    assert_int_equal(dbk_simdisk_write(w.disk, path_of(1), seal, zeros, unit), 0);
    memcpy(mark.store_id, w.options.store_id, 16);
    dbk_watermark_encode(&mark, slot);
    dbk_simdisk_remove(w.disk, "log/WATERMARK");
    assert_int_equal(dbk_simdisk_write(w.disk, "log/WATERMARK", DBK_WATERMARK_STRIDE, slot, sizeof(slot)), 0);
    refused(&w, DBK_LOST);
    world_free(&w);
}

/* Every byte of a record counts, its trailer too: a record whose end is not that of its header was not
 * written at once. */
static void test_every_byte_of_the_trailer(void **state)
{
    world w;

    (void)state;
    world_new(&w, 46);
    assert_int_equal(append(w.log, 2), DBK_OK);
    uint64_t end = w.log->segments[0]->end;
    world_close(&w);
    for (uint64_t at = end - DBK_RECORD_TRAILER_SIZE; at < end; at++) {
        dbk_simdisk_flip_bit(w.disk, path_of(1), at, 3);
        refused(&w, DBK_CORRUPT);
        dbk_simdisk_flip_bit(w.disk, path_of(1), at, 3);
    }
    assert_int_equal(world_open(&w, NULL), DBK_OK);
    world_free(&w);
}

static uint64_t recovery_lines(world *w)
{
    uint8_t text[4096];
    int64_t size = dbk_simdisk_read(w->disk, "log/recovery.ndjson", 0, text, sizeof(text));
    uint64_t lines = 0;

    for (int64_t i = 0; i < size; i++) lines += text[i] == '\n';
    return lines;
}

/* What recovery clears in the segment behind the active one stays cleared when the power goes at once. */
static void test_clearing_is_durable(void **state)
{
    uint8_t sector[512];
    world w;

    (void)state;
    (void)two_segments(&w);
    memset(sector, 0xee, sizeof(sector)); /* nothing sound is left in segment 2 */
    for (uint64_t at = DBK_SEGMENT_DATA_OFFSET; at < DBK_SEGMENT_DATA_OFFSET + 8192; at += 512)
        assert_int_equal(dbk_simdisk_write(w.disk, path_of(2), at, sector, sizeof(sector)), 0);
    dbk_simdisk_sync_all(w.disk);
    w.options.no_background = false; /* the segment is not made anew before it is needed */
    dbk_simdisk_fault fault = {.kinds = DBK_SIM_ALLOCATE | DBK_SIM_TRUNCATE, .error = ENOSPC};
    dbk_simdisk_add_fault(w.disk, &fault);
    assert_int_equal(world_open(&w, NULL), DBK_OK);
    assert_int_equal(recovery_lines(&w), 1);
    dbk_simdisk_crash(w.disk, DBK_SIM_ALL_OLD, 1);
    world_close(&w);
    assert_int_equal(dbk_simdisk_read(w.disk, path_of(2), DBK_SEGMENT_DATA_OFFSET, sector, 512), 512);
    assert_true(dbk_all_zero(sector, sizeof(sector)));
    dbk_simdisk_clear_faults(w.disk);
    assert_int_equal(world_open(&w, NULL), DBK_OK);
    assert_int_equal(recovery_lines(&w), 1);
    world_free(&w);
}

/* A write fails half way and so does clearing it: it is cleared before the next write, so that what it left
 * is not found behind a smaller batch. */
static void test_failed_clearing(void **state)
{
    dbk_simdisk_fault half = {
        .kinds = DBK_SIM_WRITE, .path = ".seg", .times = 1, .action = DBK_SIM_SHORT, .bytes = 2048};
    dbk_simdisk_fault full = {.kinds = DBK_SIM_WRITE, .path = ".seg", .skip = 1, .times = 2, .error = ENOSPC};
    world w;

    (void)state;
    for (int no_direct = 0; no_direct < 2; no_direct++) {
        world_new_with(&w, 42, no_direct);
        assert_int_equal(append(w.log, 1), DBK_OK);
        dbk_simdisk_add_fault(w.disk, &half);
        dbk_simdisk_add_fault(w.disk, &full);
        assert_int_equal(append(w.log, 8), DBK_NO_SPACE);
        dbk_simdisk_clear_faults(w.disk);
        assert_int_equal(append(w.log, 1), DBK_OK);
        world_close(&w);
        assert_int_equal(world_open(&w, NULL), DBK_OK);
        assert_int_equal(dbk_log_position(w.log), 2);
        assert_true(dbk_log_was_clean(w.log));
        assert_int_equal(recovery_lines(&w), 0);
        world_free(&w);
    }
}

/* The next segment was prepared without its syncs having worked, and found so by the next opener: it is made
 * sure of before it is used. */
static void test_adopted_segment(void **state)
{
    dbk_simdisk_fault lie = {.kinds = DBK_SIM_SYNC, .path = "0000000000000002.seg", .action = DBK_SIM_LIE};
    world w;

    (void)state;
    world_new(&w, 43);
    world_close(&w);
    (void)dbk_simdisk_remove(w.disk, path_of(2));
    dbk_simdisk_sync_all(w.disk);
    dbk_simdisk_add_fault(w.disk, &lie);
    assert_int_equal(world_open(&w, NULL), DBK_OK);
    assert_true(dbk_simdisk_exists(w.disk, path_of(2)));
    dbk_simdisk_kill(w.disk);
    world_close(&w);
    dbk_simdisk_clear_faults(w.disk);
    assert_int_equal(world_open(&w, NULL), DBK_OK);
    while (w.log->segment_count < 2) assert_int_equal(append(w.log, 5), DBK_OK);
    uint64_t position = dbk_log_position(w.log);
    dbk_simdisk_crash(w.disk, DBK_SIM_ALL_OLD, 1);
    world_close(&w);
    dbk_error err = {0};
    if (world_open(&w, &err) != DBK_OK) fail_msg("%s", err.text);
    assert_int_equal(dbk_log_position(w.log), position);
    check_entries(w.log, 0);
    world_free(&w);
}

/* The process died between the two headers of a segment that it prepared: that is no damage, and the next opener
 * writes both. */
static void test_half_prepared_segment(void **state)
{
    static const uint64_t copies[] = {0, DBK_SEGMENT_COPY_OFFSET};
    uint8_t zeros[DBK_SEGMENT_HEADER_SIZE] = {0}, header[DBK_SEGMENT_HEADER_SIZE];
    dbk_log_report report;
    world w;

    (void)state;
    world_new(&w, 47);
    assert_int_equal(append(w.log, 5), DBK_OK);
    world_close(&w);
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(dbk_simdisk_write(w.disk, path_of(2), copies[i], zeros, sizeof(zeros)), 0);
        w.dir = root_of(w.port);
        assert_int_equal(dbk_log_verify(w.port, w.dir, &w.options, DBK_VERIFY_PROOF, NULL, &report, NULL), DBK_OK);
        assert_int_equal(report.faults, 0);
        world_reopen(&w);
        world_close(&w);
        for (size_t j = 0; j < 2; j++) {
            assert_int_equal(dbk_simdisk_read(w.disk, path_of(2), copies[j], header, sizeof(header)), sizeof(header));
            assert_memory_equal(header, "DBookSEG", 8);
        }
    }
    world_free(&w);
}

static void append_at(world *w, int64_t received_ms)
{
    uint64_t seq = dbk_log_position(w->log) + 1;
    dbk_buffer bytes;
    dbk_slice origin;

    dbk_buffer_init(&bytes, dbk_port_system());
    make_entry(&bytes, replica_one, seq, 100 + seq, size_of_seq(seq));
    origin = dbk_buffer_slice(&bytes);
    assert_int_equal(dbk_log_append(w->log, &origin, 1, received_ms, NULL, NULL), DBK_OK);
    dbk_buffer_release(&bytes);
}

/* The clock is set back and forward by years: times of receipt never decrease, positions are what orders,
 * and what was torn is put aside under a name that is free. */
static void test_clock(void **state)
{
    static const int64_t year_ms = 365LL * 24 * 3600 * 1000;
    int64_t last = 0, received_ms;
    dbk_buffer out;
    world w;

    (void)state;
    world_new(&w, 47);
    for (int64_t i = 0; i < 8; i++) {
        append_at(&w, (50 + (i % 2 ? -i : i) * 10) * year_ms);
        dbk_simdisk_world_of(w.disk)->wall_ms += (i % 2 ? -20 : 15) * year_ms;
        world_reopen(&w);
    }
    check_entries(w.log, 0);
    dbk_buffer_init(&out, w.port);
    for (uint64_t position = 1; position <= 8; position++) {
        assert_int_equal(dbk_log_read(w.log, position, &out, &received_ms, NULL), DBK_OK);
        assert_true(received_ms >= last);
        last = received_ms;
    }
    dbk_buffer_release(&out);
    world_free(&w);
}

/* ---- races: the other process acts at the moment of locking */

static struct {
    const dbk_port *real;
    world *w;
    void (*act)(void);
} race;

static int lock_late(void *ctx, dbk_file *file)
{
    void (*act)(void) = race.act;

    race.act = NULL;
    if (act) act();
    return race.real->lock_file(ctx, file);
}

static dbk_port racing(world *w, void (*act)(void))
{
    dbk_port port = *w->port;

    race.real = w->port;
    race.w = w;
    race.act = act;
    port.lock_file = lock_late;
    return port;
}

static void go_on_to_the_next_segment(void)
{
    dbk_dir *dir = root_of(race.real);
    dbk_log *log;

    assert_int_equal(dbk_log_open(race.real, dir, &race.w->options, &log, NULL), DBK_OK);
    while (log->segment_count < 3) assert_int_equal(append(log, 5), DBK_OK);
    dbk_log_close(log);
    race.real->close_dir(race.real->ctx, dir);
}

/* Another writer goes on to other segments between the look and the lock: the lock of the old one is not
 * enough, what it wrote is seen, and appended to where it ended. */
static void test_look_again_under_the_lock(void **state)
{
    world w;

    (void)state;
    world_new(&w, 44);
    assert_int_equal(append(w.log, 5), DBK_OK);
    world_close(&w);
    dbk_port port = racing(&w, go_on_to_the_next_segment);
    dbk_dir *dir = root_of(w.port);
    dbk_log *log;
    assert_int_equal(dbk_log_open(&port, dir, &w.options, &log, NULL), DBK_OK);
    uint64_t position = dbk_log_position(log);
    assert_true(position > 10);
    assert_int_equal(append(log, 7), DBK_OK);
    check_entries(log, 0);
    dbk_log_close(log);
    w.port->close_dir(w.port->ctx, dir);
    world_reopen(&w);
    assert_int_equal(dbk_log_position(w.log), position + 7);
    check_entries(w.log, 0);
    world_free(&w);
}

static dbk_lock *others;
static dbk_dir *their_dir;

static void replace_the_lock(void)
{
    their_dir = root_of(race.real);
    assert_int_equal(race.real->rename(race.real->ctx, their_dir, "LOCK", their_dir, "LOCK.old"), 0);
    assert_int_equal(dbk_lock_take(race.real, their_dir, "LOCK", &others, NULL), DBK_OK);
}

/* The lock's file is moved away and made anew by another, who locks it, between opening and locking: the
 * lock of the moved one is none. */
static void test_lock_of_a_moved_file(void **state)
{
    dbk_lock *lock;
    world w;

    (void)state;
    world_new(&w, 45);
    dbk_dir *dir = root_of(w.port);
    assert_int_equal(dbk_lock_take(w.port, dir, "LOCK", &lock, NULL), DBK_OK);
    dbk_lock_release(lock);
    dbk_port port = racing(&w, replace_the_lock);
    assert_int_equal(dbk_lock_take(&port, dir, "LOCK", &lock, NULL), DBK_LOCKED);
    assert_null(lock);
    assert_int_equal(dbk_lock_check(others, NULL), DBK_OK);
    dbk_lock_release(others);
    w.port->close_dir(w.port->ctx, their_dir);
    w.port->close_dir(w.port->ctx, dir);
    world_free(&w);
}

static int no_boot_id(void *ctx, char out[37])
{
    (void)ctx;
    out[0] = '\0';
    return -ENOENT;
}
static int no_identity(void *ctx, dbk_dir *dir, const char *name, dbk_identity *out)
{
    (void)ctx, (void)dir, (void)name, (void)out;
    return -EIO;
}

/* Whatever stands in the file, who holds it is told as far as it is known; a machine that does not know itself, one
 * that has no room for the name, and one that cannot look. */
static void test_what_a_lock_says(void **state)
{
    static const char *const texts[] = {"", "x", "17", "17 some-boot 1\n"};
    dbk_lock *lock, *second;
    dbk_error err = {0};
    world w;

    (void)state;
    world_new(&w, 46);
    dbk_dir *dir = root_of(w.port);
    dbk_port port = *w.port;
    port.boot_id = no_boot_id;
    assert_int_equal(dbk_lock_take(&port, dir, "LOCK", &lock, NULL), DBK_OK);
    for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
        assert_int_equal(dbk_simdisk_truncate(w.disk, "log/LOCK", 0), 0);
        assert_int_equal(dbk_simdisk_write(w.disk, "log/LOCK", 0, texts[i], strlen(texts[i])), 0);
        for (int knows = 0; knows < 2; knows++) {
            assert_int_equal(dbk_lock_take(knows ? w.port : &port, dir, "LOCK", &second, &err), DBK_LOCKED);
            assert_non_null(
                strstr(err.text, i < 3 ? "another process holds it" : "process 17 or one on another machine"));
        }
    }
    dbk_simdisk_fault unread = {.kinds = DBK_SIM_READ, .times = 1};
    dbk_simdisk_add_fault(w.disk, &unread);
    assert_int_equal(dbk_lock_take(w.port, dir, "LOCK", &second, &err), DBK_LOCKED);
    dbk_simdisk_clear_faults(w.disk);
    dbk_lock_release(lock);
    dbk_simdisk_fault full = {.kinds = DBK_SIM_WRITE, .times = 1, .error = ENOSPC};
    dbk_simdisk_add_fault(w.disk, &full);
    assert_int_equal(dbk_lock_take(w.port, dir, "LOCK", &lock, NULL), DBK_OK);
    dbk_simdisk_clear_faults(w.disk);
    dbk_lock_release(lock);
    static const uint32_t kinds[] = {DBK_SIM_TRUNCATE, DBK_SIM_WRITE, DBK_SIM_LOCK, DBK_SIM_IDENTIFY, DBK_SIM_MEMORY};
    for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++) {
        dbk_simdisk_fault fault = {.kinds = kinds[i]};
        dbk_simdisk_add_fault(w.disk, &fault);
        assert_int_not_equal(dbk_lock_take(w.port, dir, "LOCK", &lock, i % 2 ? &err : NULL), DBK_OK);
        dbk_simdisk_clear_faults(w.disk);
    }
    assert_int_equal(dbk_lock_take(w.port, dir, "LOCK", &lock, NULL), DBK_OK);
    port.identify = no_identity;
    dbk_lock_release(lock);
    assert_int_equal(dbk_lock_take(&port, dir, "LOCK", &lock, &err), DBK_IO);
    w.port->close_dir(w.port->ctx, dir);
    world_free(&w);
}

/* Sizes of segments that no segment can have become ones that it can; to close nothing is allowed. */
static void test_sizes_asked_for(void **state)
{
    static const uint32_t sizes[][2] = {{1, 1}, {UINT32_MAX, UINT32_MAX}, {65536, 16384}};

    (void)state;
    dbk_log_close(NULL);
    for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
        world w = {0};
        w.disk = dbk_simdisk_new(5);
        w.port = dbk_simdisk_port(w.disk);
        w.options = small_options();
        w.options.segment_first_bytes = sizes[i][0];
        w.options.segment_max_bytes = sizes[i][1];
        w.dir = root_of(w.port);
        assert_int_equal(dbk_log_create(w.port, w.dir, &w.options, NULL), DBK_OK);
        assert_int_equal(world_open(&w, NULL), DBK_OK);
        for (int k = 0; k < 6; k++) assert_int_equal(append(w.log, 9), DBK_OK);
        uint64_t size = w.log->segments[0]->header.size;
        assert_true(size >= DBK_SEGMENT_SIZE_MIN && size <= DBK_SEGMENT_SIZE_MAX);
        world_reopen(&w);
        check_entries(w.log, 0);
        world_free(&w);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_next_segment_proves),
        cmocka_unit_test(test_prepared_segment_proves),
        cmocka_unit_test(test_watermark_in_the_next_segment),
        cmocka_unit_test(test_every_byte_of_the_trailer),
        cmocka_unit_test(test_clearing_is_durable),
        cmocka_unit_test(test_failed_clearing),
        cmocka_unit_test(test_adopted_segment),
        cmocka_unit_test(test_half_prepared_segment),
        cmocka_unit_test(test_clock),
        cmocka_unit_test(test_look_again_under_the_lock),
        cmocka_unit_test(test_sizes_asked_for),
        cmocka_unit_test(test_lock_of_a_moved_file),
        cmocka_unit_test(test_what_a_lock_says),
    };
    keep_plain = true;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
