/* Mending: a damaged segment is replaced by another folder's where this log proves it, and else left as
 * it is. */
#include "log_fixture.h"

#include "log/internal.h"

enum { BATCHES = 40, COUNT = 6, ENTRIES = BATCHES * COUNT };

typedef struct told {
    uint64_t mended, refused;
    char kept[64], why[128];
} told;

static void on_mended(void *arg, const char *file, const char *kept, uint64_t bytes)
{
    told *t = arg;

    assert_non_null(file);
    assert_true(bytes >= (keep_plain ? 16384 : 1024));
    t->mended++;
    snprintf(t->kept, sizeof(t->kept), "%s", kept ? kept : "");
}

static void on_remade(void *arg, const char *file, uint64_t bytes)
{
    assert_non_null(file);
    assert_true(bytes > 0);
    ((told *)arg)->mended++;
}

static void on_refused(void *arg, const char *file, const char *why)
{
    told *t = arg;

    assert_non_null(file);
    t->refused++;
    snprintf(t->why, sizeof(t->why), "%s", why);
}

static const char *path_of(const char *folder, uint64_t number)
{
    static char paths[4][64];
    static unsigned turn;

    turn = (turn + 1) % 4;
    snprintf(paths[turn], sizeof(paths[turn]), "%s/%016llx.seg", folder, (unsigned long long)number);
    return paths[turn];
}

static dbk_dir *folder(world *w, const char *name)
{
    dbk_dir *dir;

    assert_int_equal(w->port->open_dir(w->port->ctx, NULL, name, DBK_OPEN_DIRECTORY, &dir), 0);
    return dir;
}

static told mend(world *w)
{
    told t = {0};
    dbk_mend_watcher watcher = {&t, on_mended, on_remade, on_refused};
    dbk_dir *dir = folder(w, "log"), *from = folder(w, "copy");
    uint64_t mended, hash = dbk_simdisk_hash(w->disk, "copy");
    dbk_error err = {0};

    if (dbk_log_mend(w->port, dir, from, &w->options, &watcher, &mended, &err) != DBK_OK)
        fail_msg("mend: %s", err.text);
    assert_int_equal(mended, t.mended);
    assert_int_equal(dbk_simdisk_hash(w->disk, "copy"), hash);
    w->port->close_dir(w->port->ctx, dir);
    w->port->close_dir(w->port->ctx, from);
    return t;
}

static void copy_log(world *w)
{
    w->port->close_dir(w->port->ctx, folder(w, "copy"));
    for (uint64_t n = 1; dbk_simdisk_exists(w->disk, path_of("log", n)); n++)
        assert_int_equal(dbk_simdisk_copy(w->disk, path_of("log", n), path_of("copy", n)), 0);
}

/* A log of 240 entries in four segments or more, and a copy of it. */
static uint64_t make(world *w)
{
    world_new(w, 11);
    for (size_t i = 0; i < BATCHES; i++) assert_int_equal(append(w->log, COUNT), DBK_OK);
    uint64_t segments = w->log->segment_count;
    assert_true(segments >= 4);
    world_close(w);
    copy_log(w);
    dbk_simdisk_sync_all(w->disk);
    return segments;
}

static void check_whole(world *w)
{
    dbk_log_report report;
    dbk_error err = {0};

    w->dir = root_of(w->port);
    assert_int_equal(dbk_log_verify(w->port, w->dir, &w->options, DBK_VERIFY_PROOF, NULL, &report, NULL), DBK_OK);
    assert_int_equal(report.faults, 0);
    if (world_open(w, &err) != DBK_OK) fail_msg("open: %s", err.text);
    assert_int_equal(dbk_log_position(w->log), ENTRIES);
    check_entries(w->log, 0);
    assert_int_equal(append(w->log, 3), DBK_OK);
    world_close(w);
}

/* Nothing is damaged: nothing is done. */
static void test_nothing_to_do(void **state)
{
    world w;

    (void)state;
    make(&w);
    uint64_t hash = dbk_simdisk_hash(w.disk, NULL);
    told t = mend(&w);
    assert_true(t.mended == 0 && t.refused == 0);
    assert_int_equal(dbk_simdisk_hash(w.disk, NULL), hash);
    world_free(&w);
}

/* Each segment in turn with a flipped bit, a header damaged, cut short, or missing. */
static void test_each_segment(void **state)
{
    world w;

    (void)state;
    uint64_t segments = make(&w);
    dbk_simdisk_image *image = dbk_simdisk_snapshot(w.disk);
    for (uint64_t n = 1; n <= segments; n++) {
        for (int kind = 0; kind < 6; kind++) {
            const char *path = path_of("log", n);
            uint8_t before[9500], kept[9500];
            dbk_simdisk_restore(w.disk, image);
            if (kind == 0) dbk_simdisk_flip_bit(w.disk, path, 9000, 2);
            if (kind == 1) dbk_simdisk_flip_bit(w.disk, path, 4100, 2);
            if (kind == 2) dbk_simdisk_truncate(w.disk, path, 9500);
            if (kind == 3) dbk_simdisk_remove(w.disk, path);
            if (kind == 4) dbk_simdisk_truncate(w.disk, path, 0);
            if (kind == 5) {
                dbk_simdisk_flip_bit(w.disk, path, 0, 2);
                dbk_simdisk_flip_bit(w.disk, path, 4096, 2);
            }
            int64_t size = dbk_simdisk_read(w.disk, path, 0, before, sizeof(before));
            told t = mend(&w);
            if (t.mended != 1 || t.refused) fail_msg("segment %d kind %d: %s", (int)n, kind, t.why);
            assert_int_equal(t.kept[0] != 0, kind != 3);
            if (t.kept[0]) {
                char name[128];
                snprintf(name, sizeof(name), "log/%s", t.kept);
                assert_int_equal(dbk_simdisk_read(w.disk, name, 0, kept, sizeof(kept)), size);
                assert_memory_equal(kept, before, (size_t)size);
            }
            dbk_simdisk_crash(w.disk, DBK_SIM_ALL_OLD, 1); /* what was told is durable */
            check_whole(&w);
        }
    }
    world_free(&w);
}

/* Neighbours are proven together; all of them, by the watermark. */
static void test_several(void **state)
{
    world w;

    (void)state;
    uint64_t segments = make(&w);
    for (uint64_t n = 2; n <= segments; n++) dbk_simdisk_flip_bit(w.disk, path_of("log", n), 9000, 1);
    assert_int_equal(mend(&w).mended, segments - 1);
    check_whole(&w);
    world_free(&w);
    segments = make(&w);
    for (uint64_t n = 1; n <= segments; n++) dbk_simdisk_remove(w.disk, path_of("log", n));
    assert_int_equal(mend(&w).mended, segments);
    check_whole(&w);
    world_free(&w);
}

static void refuses(world *w, uint64_t number, const char *why)
{
    uint64_t hash = dbk_simdisk_hash(w->disk, NULL);
    told t = mend(w);

    (void)number;
    assert_int_equal(t.mended, 0);
    assert_int_equal(t.refused, 1);
    if (!strstr(t.why, why)) fail_msg("'%s' is not '%s'", t.why, why);
    assert_int_equal(dbk_simdisk_hash(w->disk, NULL), hash);
}

/* A copy that is damaged itself, older, of another store, of another history, another number, absent,
 * or not proven by anything: refused, and nothing is changed. */
static void test_refused(void **state)
{
    world w;

    (void)state;
    uint64_t segments = make(&w);
    dbk_simdisk_flip_bit(w.disk, path_of("log", 2), 9000, 1);
    dbk_simdisk_image *image = dbk_simdisk_snapshot(w.disk);
    dbk_simdisk_flip_bit(w.disk, path_of("copy", 2), 12000, 1);
    refuses(&w, 2, "a record is damaged");
    dbk_simdisk_restore(w.disk, image);
    dbk_simdisk_remove(w.disk, path_of("copy", 2));
    refuses(&w, 2, "there is no such segment");
    dbk_simdisk_restore(w.disk, image);
    dbk_simdisk_copy(w.disk, path_of("copy", 3), path_of("copy", 2));
    refuses(&w, 2, "is a copy of '0000000000000003.seg'");
    dbk_simdisk_restore(w.disk, image);
    dbk_segment_header header;
    uint8_t bytes[512] = {0};
    assert_int_equal(dbk_simdisk_read(w.disk, path_of("copy", 2), 0, bytes, 128), 128);
    assert_int_equal(dbk_segment_header_decode(bytes, &header), DBK_DECODED_OK);
    header.store_id[3] ^= 1;
    dbk_segment_header_encode(&header, bytes);
    dbk_simdisk_write(w.disk, path_of("copy", 2), 0, bytes, 128);
    dbk_simdisk_write(w.disk, path_of("copy", 2), 4096, bytes, 128);
    refuses(&w, 2, "belongs to another store");
    /* from before it was ended: the seal is not yet there */
    dbk_simdisk_restore(w.disk, image);
    memset(bytes, 0, sizeof(bytes));
    uint64_t end = 0;
    for (uint64_t at = 8192; at < 32768; at += 512) {
        uint8_t sector[512];
        assert_int_equal(dbk_simdisk_read(w.disk, path_of("copy", 2), at, sector, 512), 512);
        if (!dbk_all_zero(sector, 512)) end = at;
    }
    dbk_simdisk_write(w.disk, path_of("copy", 2), end, bytes, 512);
    refuses(&w, 2, "older copy of the segment");
    /* the last segment with the last batch gone on both sides: here by damage, there by age */
    dbk_simdisk_restore(w.disk, image);
    dbk_simdisk_copy(w.disk, path_of("copy", 2), path_of("log", 2));
    for (uint64_t at = 8192; at < 32768; at += 512) {
        uint8_t sector[512];
        assert_int_equal(dbk_simdisk_read(w.disk, path_of("copy", segments), at, sector, 512), 512);
        if (!dbk_all_zero(sector, 512)) end = at;
    }
    dbk_simdisk_write(w.disk, path_of("log", segments), end, bytes, 512);
    dbk_simdisk_write(w.disk, path_of("copy", segments), end, bytes, 512);
    refuses(&w, segments, "a record is damaged");
    world_free(&w);
}

/* The last record of the last segment has lost its header, and there is no watermark: a copy that has one there
 * may be right, or of a store that went on differently. It is not taken. */
static void test_unproven_end(void **state)
{
    dbk_index_batch batch;
    world w;

    (void)state;
    uint64_t segments = make(&w);
    assert_int_equal(world_open(&w, NULL), DBK_OK);
    assert_int_equal(dbk_log_batch_of(w.log, w.log->segments[segments - 1], ENTRIES, &batch, NULL), DBK_OK);
    world_close(&w);
    dbk_simdisk_image *image = dbk_simdisk_snapshot(w.disk);
    dbk_simdisk_flip_bit(w.disk, path_of("log", segments), batch.offset + 60, 1);
    dbk_simdisk_remove(w.disk, "log/WATERMARK");
    refuses(&w, segments, "nothing here proves it");
    dbk_simdisk_restore(w.disk, image); /* the watermark does */
    dbk_simdisk_flip_bit(w.disk, path_of("log", segments), batch.offset + 60, 1);
    assert_int_equal(mend(&w).mended, 1);
    check_whole(&w);
    dbk_simdisk_restore(w.disk, image); /* so does the header, which names the payload by its checksum */
    dbk_simdisk_flip_bit(w.disk, path_of("log", segments), batch.offset + 200, 1);
    dbk_simdisk_remove(w.disk, "log/WATERMARK");
    assert_int_equal(mend(&w).mended, 1);
    check_whole(&w);
    world_free(&w);
}

/* A log of the same ids that went another way. Its segments are whole, and not ours. */
static void test_another_history(void **state)
{
    world w, other;

    (void)state;
    uint64_t segments = make(&w);
    world_new(&other, 12);
    for (size_t i = 0; i < BATCHES; i++) assert_int_equal(append(other.log, COUNT), DBK_OK);
    world_close(&other);
    for (uint64_t n = 2; n <= segments; n++) {
        uint8_t *bytes = malloc(1 << 20);
        int64_t size = dbk_simdisk_read(other.disk, path_of("log", n), 0, bytes, 1 << 20);
        assert_true(size > 0);
        dbk_simdisk_remove(w.disk, path_of("copy", n));
        dbk_simdisk_write(w.disk, path_of("copy", n), 0, bytes, (size_t)size);
        free(bytes);
    }
    dbk_simdisk_image *image = dbk_simdisk_snapshot(w.disk);
    dbk_simdisk_remove(w.disk, path_of("log", 3));
    refuses(&w, 3, "does not follow");
    dbk_simdisk_restore(w.disk, image);
    dbk_simdisk_flip_bit(w.disk, path_of("log", 3), 9000, 1);
    refuses(&w, 3, "it lacks a record that is still sound here");
    dbk_simdisk_restore(w.disk, image);
    dbk_simdisk_remove(w.disk, path_of("log", segments));
    refuses(&w, segments, "watermark");
    /* without a watermark the last one is proven by nothing, although it may be right */
    dbk_simdisk_restore(w.disk, image);
    dbk_simdisk_copy(w.disk, path_of("log", segments), path_of("copy", segments));
    dbk_simdisk_remove(w.disk, "log/WATERMARK");
    dbk_simdisk_flip_bit(w.disk, path_of("log", segments), 8192, 1);
    dbk_simdisk_truncate(w.disk, path_of("log", segments), 8192 + 512);
    dbk_simdisk_write(w.disk, path_of("log", segments), 8192 + 512, "x", 1);
    told t = mend(&w);
    assert_int_equal(t.mended, 0);
    world_free(&other);
    world_free(&w);
}

/* The power goes at each change that mending makes: the log is as before or whole, and mending again
 * ends it. */
static void test_crash(void **state)
{
    world w;

    (void)state;
    make(&w);
    dbk_simdisk_flip_bit(w.disk, path_of("log", 2), 9000, 1);
    dbk_simdisk_sync_all(w.disk);
    dbk_simdisk_image *image = dbk_simdisk_snapshot(w.disk);
    for (uint64_t at = 1; at < 30; at++) {
        told t = {0};
        dbk_mend_watcher watcher = {&t, on_mended, on_remade, on_refused};
        uint64_t mended;
        dbk_simdisk_restore(w.disk, image);
        dbk_dir *dir = folder(&w, "log"), *from = folder(&w, "copy");
        dbk_simdisk_power_off_at(w.disk, at);
        dbk_result rc = dbk_log_mend(w.port, dir, from, &w.options, &watcher, &mended, NULL);
        w.port->close_dir(w.port->ctx, dir);
        w.port->close_dir(w.port->ctx, from);
        dbk_simdisk_power_off_at(w.disk, 0);
        dbk_simdisk_crash(w.disk, DBK_SIM_RANDOM_MIX, at);
        told again = mend(&w);
        assert_true(again.refused == 0 && (rc != DBK_OK || again.mended == 0));
        check_whole(&w);
    }
    world_free(&w);
}

/* Each call fails once: told, and the log is as it was or mended. */
static void test_faults(void **state)
{
    uint32_t kinds[] = {DBK_SIM_IO, DBK_SIM_MEMORY};
    world w;

    (void)state;
    make(&w);
    dbk_simdisk_flip_bit(w.disk, path_of("log", 2), 9000, 1);
    dbk_simdisk_image *image = dbk_simdisk_snapshot(w.disk);
    for (size_t k = 0; k < 2; k++) {
        bool hit = true;
        for (uint64_t skip = 0; hit; skip++) {
            dbk_simdisk_fault fault = {.kinds = kinds[k], .skip = skip, .times = 1};
            uint64_t mended;
            dbk_mend_watcher watcher = {0};
            dbk_simdisk_restore(w.disk, image);
            dbk_dir *dir = folder(&w, "log"), *from = folder(&w, "copy");
            dbk_simdisk_add_fault(w.disk, &fault);
            (void)!dbk_log_mend(w.port, dir, from, &w.options, &watcher, &mended, NULL);
            hit = dbk_simdisk_fault_hits(w.disk) > 0;
            dbk_simdisk_clear_faults(w.disk);
            w.port->close_dir(w.port->ctx, dir);
            w.port->close_dir(w.port->ctx, from);
            assert_int_equal(mend(&w).refused, 0);
            if (skip % 7 == 0) check_whole(&w);
        }
    }
    world_free(&w);
}

/* The same log up to a batch, and other batches from there on. */
static void put_other_history(world *w, uint64_t same)
{
    static uint8_t bytes[65536];
    world other;

    world_new(&other, 11);
    for (size_t i = 0; i < same; i++) assert_int_equal(append(other.log, COUNT), DBK_OK);
    while (dbk_log_position(other.log) < ENTRIES) assert_int_equal(append(other.log, COUNT - 1), DBK_OK);
    world_close(&other);
    for (uint64_t n = 1; dbk_simdisk_exists(other.disk, path_of("log", n)); n++) {
        int64_t size = dbk_simdisk_read(other.disk, path_of("log", n), 0, bytes, sizeof(bytes));
        if (dbk_simdisk_exists(w->disk, path_of("copy", n))) dbk_simdisk_truncate(w->disk, path_of("copy", n), 0);
        else assert_int_equal(dbk_simdisk_copy(w->disk, path_of("log", 1), path_of("copy", n)), 0);
        assert_int_equal(dbk_simdisk_write(w->disk, path_of("copy", n), 0, bytes, (size_t)size), 0);
        assert_int_equal(dbk_simdisk_truncate(w->disk, path_of("copy", n), (uint64_t)size), 0);
    }
    world_free(&other);
}

/* The copy was cut into other batches: where a record is still sound here, it has none. */
static void test_other_batches(void **state)
{
    world w;

    (void)state;
    for (uint64_t number = 1; number < 4; number++) {
        make(&w);
        put_other_history(&w, 2);
        dbk_simdisk_flip_bit(w.disk, path_of("log", number), 9000, 1);
        told t = mend(&w);
        assert_true(t.mended == 0 && t.refused == 1);
        assert_non_null(strstr(t.why, "lacks a record"));
        world_free(&w);
    }
}

/* The first record that differs is the damaged one: where the next begins here, the copy has none. */
static void test_other_places(void **state)
{
    uint64_t at = DBK_SEGMENT_DATA_OFFSET;
    uint8_t bytes[DBK_RECORD_HEADER_SIZE];
    world w;

    (void)state;
    make(&w);
    put_other_history(&w, 1);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(dbk_simdisk_read(w.disk, path_of("log", 1), at, bytes, sizeof(bytes)), sizeof(bytes));
        at += dbk_record_bytes(dbk_load_u32(bytes + 20), 512);
    }
    dbk_simdisk_flip_bit(w.disk, path_of("log", 1), at + 10, 1);
    told t = mend(&w);
    assert_true(t.mended == 0 && t.refused == 1);
    if (!strstr(t.why, "lacks a record")) fail_msg("%s", t.why);
    world_free(&w);
}

static const dbk_port *usual;
static dbk_simdisk *meddled;
static unsigned opens;
static uint64_t rots_at;

/* A block rots behind the look at its file. */
static int open_and_rot(void *ctx, dbk_dir *dir, const char *name, int flags, uint32_t mode, dbk_file **out)
{
    if (strstr(name, "2.seg") && ++opens == 2) dbk_simdisk_flip_bit(meddled, path_of("log", 2), rots_at, 1);
    return usual->open_file(ctx, dir, name, flags, mode, out);
}

/* Only the table of a packed segment was damaged; when it is made again, a block is too. */
static void test_blocks_rot_meanwhile(void **state)
{
    uint8_t bytes[DBK_PACK_HEAD_SIZE];
    dbk_segment_header header;
    dbk_pack_head head;
    dbk_port port;
    world w;

    (void)state;
    keep_plain = false;
    for (unsigned before = 0; before < 2; before++) {
        make(&w);
        assert_int_equal(dbk_simdisk_read(w.disk, path_of("log", 2), 0, bytes, sizeof(bytes)), sizeof(bytes));
        assert_int_equal(dbk_pack_head_decode(bytes, &header, &head), DBK_DECODED_OK);
        dbk_simdisk_flip_bit(w.disk, path_of("log", 2), head.table_offset + 3, 1);
        rots_at = dbk_pack_blocks_begin(&head) + 9;
        usual = w.port;
        meddled = w.disk;
        opens = 1 - before;
        port = *w.port;
        port.open_file = open_and_rot;
        w.port = &port;
        told t = mend(&w);
        assert_int_equal(t.refused, before);
        if (before) assert_non_null(strstr(t.why, "do not give it again"));
        w.port = usual;
        world_free(&w);
    }
    keep_plain = true;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_to_do),
        cmocka_unit_test(test_each_segment),
        cmocka_unit_test(test_several),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_another_history),
        cmocka_unit_test(test_unproven_end),
        cmocka_unit_test(test_crash),
        cmocka_unit_test(test_faults),
        cmocka_unit_test(test_other_batches),
        cmocka_unit_test(test_other_places),
        cmocka_unit_test(test_blocks_rot_meanwhile),
    };
    keep_plain = true; /* places of records are damaged; test_pack.c has the packed form */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
