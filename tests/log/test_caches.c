/* The caches beside the segments, index files, checkpoint and catalog: whatever is wrong with one is told by
 * verification with its file, and one that lies under right checksums is found at the deep one. */
#include "log_fixture.h"

#include "log/index_internal.h"
#include "log/load.h"

typedef struct findings {
    unsigned count;
    char file[64], text[400];
    uint64_t offset;
} findings;

static void on_fault(void *arg, const dbk_log_fault *fault)
{
    findings *f = arg;

    assert_int_equal(fault->code, DBK_CORRUPT);
    assert_int_equal(fault->law, 4);
    assert_true(fault->first_position == 0 && fault->last_position == 0);
    if (!strstr(fault->text, "daybook rebuild --index")) fail_msg("%s", fault->text);
    if (f->count++ == 0) {
        snprintf(f->file, sizeof(f->file), "%s", fault->file);
        snprintf(f->text, sizeof(f->text), "%s", fault->text);
        f->offset = fault->offset;
    }
}

static findings verify(world *w, dbk_verify_depth depth)
{
    findings f = {0};
    dbk_log_watcher watcher = {.arg = &f, .fault = on_fault};
    dbk_log_report report;

    w->dir = root_of(w->port);
    assert_int_equal(dbk_log_verify(w->port, w->dir, &w->options, depth, &watcher, &report, NULL), DBK_OK);
    assert_int_equal(report.faults, f.count);
    w->port->close_dir(w->port->ctx, w->dir);
    w->dir = NULL;
    return f;
}

/* A closed log with single runs, a merged one, a checkpoint and a catalog. */
static dbk_simdisk_image *make(world *w)
{
    keep_plain = false;
    checkpoint_bytes = 512;
    world_new(w, 61);
    for (int i = 0; i < 40; i++) assert_int_equal(append(w->log, 7), DBK_OK);
    for (int i = 0; i < 60 && dbk_log_active(w->log)->end < 12000; i++) assert_int_equal(append(w->log, 2), DBK_OK);
    world_close(w);
    for (int pass = 0; pass < 2; pass++) {
        findings f = verify(w, pass ? DBK_VERIFY_PROOF : DBK_VERIFY_CHECKSUMS);
        if (f.count) fail_msg("a sound log: %s: %s", f.file, f.text);
    }
    return dbk_simdisk_snapshot(w->disk);
}

static const char merged[] = "log/0000000000000001-0000000000000004.run", caught[] = "log/0000000000000005.idx",
                  point[] = "log/CHECKPOINT", catalog[] = "log/CATALOG";

/* Whoever asks a log with such caches is answered, or told. */
static void ask(world *w)
{
    for (int writer = 0; writer < 2; writer++) {
        dbk_log_cursor *cursor;
        uint64_t position;
        dbk_slice origin;
        dbk_entry_id id;
        w->options.read_only = !writer;
        dbk_result rc = world_open(w, NULL);
        assert_true(rc == DBK_OK || rc == DBK_CORRUPT);
        for (uint64_t at = 1; rc == DBK_OK && at <= dbk_log_position(w->log); at += 2) {
            dbk_result answer = dbk_log_entry_id_at(w->log, at, &id, NULL);
            assert_true(answer == DBK_OK || answer == DBK_CORRUPT);
            if (answer == DBK_OK) (void)!dbk_log_find_entry(w->log, &id, &position, NULL);
            dbk_buffer out;
            dbk_buffer_init(&out, dbk_port_system());
            answer = dbk_log_read(w->log, at, &out, NULL, NULL);
            assert_true(answer == DBK_OK || answer == DBK_CORRUPT);
            dbk_buffer_release(&out);
            answer = dbk_log_cursor_open(w->log, at, at + 1, &cursor, NULL);
            while (answer == DBK_OK) answer = dbk_log_cursor_next(cursor, NULL, NULL, &origin, NULL);
            assert_true(answer == DBK_END || answer == DBK_CORRUPT);
            dbk_log_cursor_close(cursor);
        }
        if (rc == DBK_OK) (void)!dbk_log_find_stream(w->log, dbk_slice_text("note/3"), 0, &position, NULL);
        world_close(w);
    }
    w->options.read_only = false;
}

static void expect(world *w, const char *path, bool shallow, const char *text)
{
    findings deep = verify(w, DBK_VERIFY_PROOF), flat = verify(w, DBK_VERIFY_CHECKSUMS);

    if (deep.count == 0) fail_msg("%s: nothing was told of: %s", path, text);
    assert_string_equal(deep.file, path + 4);
    if (!strstr(deep.text, text)) fail_msg("%s: '%s' is not in: %s", path, text, deep.text);
    assert_int_equal(flat.count > 0, shallow);
    ask(w);
}

/* A flipped bit anywhere in any of them. */
static void test_rot(void **state)
{
    static const char *const paths[] = {merged, caught, point, catalog};
    world w;

    (void)state;
    dbk_simdisk_image *image = make(&w);
    for (size_t i = 0; i < 4; i++) {
        int64_t size = dbk_simdisk_size(w.disk, paths[i]);
        if (size <= 0) fail_msg("there is no '%s'", paths[i]);
        for (int64_t at = 3; at < size; at += i == 3 ? 61 : 509) {
            dbk_simdisk_restore(w.disk, image);
            assert_int_equal(dbk_simdisk_flip_bit(w.disk, paths[i], (uint64_t)at, 2), 0);
            findings f = verify(&w, DBK_VERIFY_CHECKSUMS);
            if (f.count != 1) fail_msg("%s at %lld: %u faults", paths[i], (long long)at, f.count);
            assert_string_equal(f.file, paths[i] + 4);
            if (i < 3 && f.offset) assert_int_equal(f.offset, at / DBK_INDEX_PAGE_SIZE * DBK_INDEX_PAGE_SIZE);
        }
        dbk_simdisk_restore(w.disk, image);
        assert_int_equal(dbk_simdisk_truncate(w.disk, paths[i], (uint64_t)size - 5), 0);
        assert_int_equal(verify(&w, DBK_VERIFY_CHECKSUMS).count, 1);
    }
    world_free(&w);
}

/* Changes bytes of a page, and puts its checksum right. */
static void lie(world *w, const char *path, uint64_t offset, const void *bytes, size_t size)
{
    uint64_t number = offset / DBK_INDEX_PAGE_SIZE;
    uint8_t first[DBK_INDEX_PAGE_SIZE], page[DBK_INDEX_PAGE_SIZE];

    assert_int_equal(dbk_simdisk_read(w->disk, path, 0, first, sizeof(first)), sizeof(first));
    assert_int_equal(dbk_simdisk_read(w->disk, path, number * sizeof(page), page, sizeof(page)), sizeof(page));
    memcpy(page + offset % sizeof(page), bytes, size);
    dbk_index_page_seal(page, number, dbk_load_u64(first + 56));
    assert_int_equal(dbk_simdisk_write(w->disk, path, number * sizeof(page), page, sizeof(page)), 0);
}

static uint64_t number_at(world *w, const char *path, uint64_t offset, size_t size)
{
    uint8_t bytes[8] = {0};

    assert_int_equal(dbk_simdisk_read(w->disk, path, offset, bytes, size), size);
    return dbk_load_u64(bytes);
}

/* Where the parts of the resident stream of a small run are in its file, all in one page of it. */
static uint64_t resident(world *w, const char *path, uint64_t keys_of)
{
    uint64_t keys = number_at(w, path, 140, 4), blocks = number_at(w, path, 144, 4);
    uint64_t pages = (keys + DBK_INDEX_PAGE_KEYS - 1) / DBK_INDEX_PAGE_KEYS;

    return (1 + pages) * DBK_INDEX_PAGE_SIZE + (keys_of > 0 ? blocks * DBK_INDEX_BLOCK_SIZE : 0) +
           (keys_of > 1 ? pages * DBK_INDEX_KEY_SIZE : 0);
}

/* Right checksums, and wrong content: a key that is another one's, a name that is missing, a position moved, a filter
 * that denies, fences, batches, authors, the head. */
static void test_lies(void **state)
{
    static const char *const paths[] = {caught, merged, point};
    static const uint8_t zeros[64];
    world w;

    (void)state;
    dbk_simdisk_image *image = make(&w);
    for (size_t i = 0; i < 3; i++) {
        const char *path = paths[i];
        uint8_t key[DBK_INDEX_KEY_SIZE], delta[4];
        uint64_t third = DBK_INDEX_PAGE_SIZE + 3 * DBK_INDEX_KEY_SIZE;
        dbk_simdisk_restore(w.disk, image);
        dbk_store_u32(delta, (uint32_t)number_at(&w, path, third + 16, 4) + 1);
        lie(&w, path, third + 16, delta, 4); /* the stream is said to be in the entry behind */
        expect(&w, path, false, "other command ids or streams than the entries");

        dbk_simdisk_restore(w.disk, image); /* the key before, once more, in its place: one id is gone */
        assert_int_equal(dbk_simdisk_read(w.disk, path, third - sizeof(key), key, sizeof(key)), sizeof(key));
        lie(&w, path, third, key, sizeof(key));
        expect(&w, path, true, "out of order");

        dbk_simdisk_restore(w.disk, image);
        memset(key, 0xff, sizeof(key));
        lie(&w, path, third + 16, key, 4);
        expect(&w, path, true, "out of order, or beyond");

        dbk_simdisk_restore(w.disk, image);
        lie(&w, path, resident(&w, path, 0), zeros, sizeof(zeros));
        expect(&w, path, true, "the filter denies");

        dbk_simdisk_restore(w.disk, image);
        lie(&w, path, resident(&w, path, 1), zeros, 20);
        expect(&w, path, true, "another first key");

        dbk_simdisk_restore(w.disk, image); /* the last number of the list of authors: an incarnation */
        uint64_t batches = number_at(&w, path, 148, 4), author = resident(&w, path, 2) + batches * 24;
        uint8_t incarnation[4] = {9};
        lie(&w, path, author + 40, incarnation, 4);
        expect(&w, path, false, "other authors than the entries");

        uint8_t fewer[8];
        dbk_simdisk_restore(w.disk, image);
        dbk_store_u64(fewer, number_at(&w, path, author + 16, 8) - 5); /* nobody wrote the last entries */
        lie(&w, path, author + 16, fewer, 8);
        expect(&w, path, false, "other authors than the entries");

        if (batches > 0) {
            dbk_simdisk_restore(w.disk, image);
            lie(&w, path, resident(&w, path, 2) + 12, zeros, 4); /* the length of the first batch */
            expect(&w, path, false, "other batches than the entries");

            dbk_simdisk_restore(w.disk, image);
            dbk_store_u64(fewer, number_at(&w, path, resident(&w, path, 2), 8) + 1); /* where it begins */
            lie(&w, path, resident(&w, path, 2), fewer, 8);
            expect(&w, path, false, "other batches than the entries");

            dbk_simdisk_restore(w.disk, image);
            lie(&w, path, resident(&w, path, 2) + 8, zeros, 4); /* the offset of the first batch */
            expect(&w, path, false, "other batches than the entries");
        }
    }
    dbk_simdisk_restore(w.disk, image);
    lie(&w, merged, 64, zeros, 32);
    expect(&w, merged, true, "another head");
    world_free(&w);
}

/* What the checkpoint says of the log as a whole: opening goes on from it, so that a lie would become one of what is
 * appended next. */
static void test_lies_of_the_log(void **state)
{
    static const struct {
        uint64_t offset;
        size_t size;
    } numbers[] = {{1024 + 8, 8},  {1024 + 16, 8}, {1024 + 24, 8}, {1024 + 32, 8}, {1024 + 40, 4},
                   {1024 + 44, 4}, {1024 + 48, 8}, {1024 + 80, 8}, {96, 8},        {136, 4}};
    world w;

    (void)state;
    dbk_simdisk_image *image = make(&w);
    for (size_t i = 0; i < sizeof(numbers) / sizeof(*numbers); i++) {
        uint8_t other[8];
        dbk_simdisk_restore(w.disk, image);
        dbk_store_u64(other, number_at(&w, point, numbers[i].offset, numbers[i].size) ^ 1);
        lie(&w, point, numbers[i].offset, other, numbers[i].size);
        expect(&w, point, false, "something else of the log than the entries");
    }
    world_free(&w);
}

static void count_laws(void *arg, const dbk_log_fault *fault)
{
    unsigned *counts = arg;

    counts[fault->law == 4]++;
}

/* The entries of a damaged record are not known: a checkpoint that names them has no fault. */
static void test_point_behind_damage(void **state)
{
    unsigned counts[2] = {0};
    dbk_log_watcher watcher = {.arg = counts, .fault = count_laws};
    dbk_log_report report;
    dbk_index_source source;
    char name[DBK_SEGMENT_NAME_SIZE], path[64];
    world w;

    (void)state;
    (void)make(&w);
    w.dir = root_of(w.port);
    assert_int_equal(dbk_index_run_peek(w.port, w.dir, "CHECKPOINT", w.options.store_id, &source, NULL), DBK_OK);
    dbk_segment_name(source.segment, "seg", name);
    snprintf(path, sizeof(path), "log/%s", name);
    assert_int_equal(dbk_simdisk_flip_bit(w.disk, path, DBK_SEGMENT_DATA_OFFSET + 150, 3), 0);
    assert_int_equal(dbk_log_verify(w.port, w.dir, &w.options, DBK_VERIFY_PROOF, &watcher, &report, NULL), DBK_OK);
    assert_true(counts[0] > 0);
    assert_int_equal(counts[1], 0);
    world_close(&w);
    world_free(&w);
}

/* A row of the catalog that stands for the file there is, and says another head. */
static void test_catalog(void **state)
{
    uint8_t row[552];
    dbk_segment_header header;
    dbk_pack_head head;
    world w;

    (void)state;
    dbk_simdisk_image *image = make(&w);
    assert_int_equal(dbk_simdisk_read(w.disk, catalog, 32, row, sizeof(row)), sizeof(row));
    assert_int_equal(dbk_pack_head_decode(row, &header, &head), DBK_DECODED_OK);
    head.records++;
    dbk_pack_head_encode(&header, &head, row);
    dbk_store_u64(row + 544, dbk_checksum(dbk_slice_of(row, 544), 1));
    assert_int_equal(dbk_simdisk_write(w.disk, catalog, 32, row, sizeof(row)), 0);
    expect(&w, catalog, true, "another head than the segment's file");
    dbk_simdisk_restore(w.disk, image); /* of a file that is another one by now: not believed, no fault */
    dbk_store_u64(row + 512, 987654);
    dbk_store_u64(row + 544, dbk_checksum(dbk_slice_of(row, 544), 1));
    assert_int_equal(dbk_simdisk_write(w.disk, catalog, 32, row, sizeof(row)), 0);
    assert_int_equal(verify(&w, DBK_VERIFY_PROOF).count, 0);
    world_free(&w);
}

enum { ROW = 552, FILE_AT = 512, SUM_AT = 544 };

static void put_row(world *w, uint64_t number, uint8_t row[ROW])
{
    dbk_store_u64(row + SUM_AT, dbk_checksum(dbk_slice_of(row, SUM_AT), number));
    assert_int_equal(dbk_simdisk_write(w->disk, catalog, 32 + (number - 1) * ROW, row, ROW), 0);
}

/* Rows under right checksums that say a head that is none, or of a file of another length; and rows of files that are
 * not what they were, though they look as they did: the file of another segment, a longer one, a folder. */
static void test_other_rows(void **state)
{
    static const char one[] = "log/0000000000000001.seg", two[] = "log/0000000000000002.seg";
    static uint8_t file[65536];
    uint8_t row[ROW];
    dbk_segment_header header;
    dbk_pack_head head;
    world w;

    (void)state;
    dbk_simdisk_image *image = make(&w);
    int64_t size_one = dbk_simdisk_size(w.disk, one), size_two = dbk_simdisk_size(w.disk, two);
    for (int lie = 0; lie < 5; lie++) {
        dbk_simdisk_restore(w.disk, image);
        assert_int_equal(dbk_simdisk_read(w.disk, catalog, 32 + ROW, row, sizeof(row)), sizeof(row));
        assert_int_equal(dbk_pack_head_decode(row, &header, &head), DBK_DECODED_OK);
        if (lie == 0) row[300] ^= 1;
        if (lie == 1) {
            head.file_bytes += DBK_PACK_HEAD_SIZE;
            dbk_pack_head_encode(&header, &head, row);
        }
        if (lie == 2) {
            assert_int_equal(dbk_simdisk_read(w.disk, one, 0, file, sizeof(file)), size_one);
            assert_int_equal(dbk_simdisk_write(w.disk, two, 0, file, (size_t)size_one), 0);
            assert_int_equal(dbk_simdisk_truncate(w.disk, two, (uint64_t)size_one), 0);
            dbk_store_u64(row + FILE_AT + 8, (uint64_t)size_one);
        }
        if (lie == 3) {
            assert_int_equal(dbk_simdisk_truncate(w.disk, two, (uint64_t)size_two + 512), 0);
            dbk_store_u64(row + FILE_AT + 8, (uint64_t)size_two + 512);
        }
        put_row(&w, 2, row);
        if (lie == 4) {
            dbk_dir *dir;
            assert_int_equal(dbk_simdisk_remove(w.disk, two), 0);
            assert_int_equal(w.port->open_dir(w.port->ctx, NULL, two, DBK_OPEN_DIRECTORY, &dir), 0);
            w.port->close_dir(w.port->ctx, dir);
        }
        for (int writer = 0; writer < 2; writer++) {
            w.options.read_only = !writer;
            dbk_result rc = world_open(&w, NULL);
            assert_true(lie < 2 ? rc == DBK_OK : rc < 0);
            if (rc == DBK_OK) check_entries(w.log, 0);
            world_close(&w);
        }
        dbk_log_report report;
        w.dir = root_of(w.port);
        assert_int_equal(dbk_log_verify(w.port, w.dir, &w.options, DBK_VERIFY_PROOF, NULL, &report, NULL), DBK_OK);
        assert_true(lie < 2 || report.faults > 0);
        world_close(&w);
    }
    world_free(&w);
}

/* What is not believed is no fault: a checkpoint of records that are not there, an index of a segment that is not
 * ended. */
static void test_not_believed(void **state)
{
    world w;

    (void)state;
    dbk_simdisk_image *image = make(&w);
    uint8_t more[8], head[32];
    dbk_store_u64(more, number_at(&w, point, 48, 8) + 500);
    lie(&w, point, 48, more, 8); /* its last position */
    assert_int_equal(verify(&w, DBK_VERIFY_PROOF).count, 0);
    uint64_t authors = resident(&w, point, 2) + number_at(&w, point, 148, 4) * 24;
    dbk_store_u64(more, UINT64_MAX / 2); /* nobody counts through these */
    lie(&w, point, 48, more, 8);
    dbk_store_u64(more, UINT64_MAX / 4);
    lie(&w, point, authors + 16, more, 8);
    assert_int_equal(verify(&w, DBK_VERIFY_PROOF).count, 0);
    dbk_simdisk_restore(w.disk, image);
    memset(head, 3, sizeof(head));
    lie(&w, point, 64, head, 32);
    assert_int_equal(verify(&w, DBK_VERIFY_PROOF).count, 0);
    assert_int_equal(dbk_simdisk_write(w.disk, "log/00000000000000ff.idx", 0, head, 32), 0);
    assert_int_equal(dbk_simdisk_write(w.disk, "log/0000000000000000.idx", 0, head, 32), 0);
    assert_int_equal(dbk_simdisk_write(w.disk, "log/0000000000000003-0000000000000003.run", 0, head, 32), 0);
    assert_int_equal(dbk_simdisk_write(w.disk, "log/000000000000000:.idx", 0, head, 32), 0);
    assert_int_equal(dbk_simdisk_write(w.disk, "log/00000000.0000000.idx", 0, head, 32), 0);
    assert_int_equal(verify(&w, DBK_VERIFY_PROOF).count, 0);
    world_free(&w);
}

/* Without its caches the log opens, makes them anew, and they are right. */
static void test_dropped(void **state)
{
    uint64_t dropped;
    world w;

    (void)state;
    (void)make(&w);
    w.dir = root_of(w.port);
    assert_int_equal(dbk_log_drop_caches(w.port, w.dir, &dropped, NULL), DBK_OK);
    assert_true(dropped >= 4);
    assert_false(dbk_simdisk_exists(w.disk, merged) || dbk_simdisk_exists(w.disk, point));
    assert_int_equal(dbk_log_drop_caches(w.port, w.dir, &dropped, NULL), DBK_OK);
    assert_int_equal(dropped, 0);
    assert_int_equal(world_open(&w, NULL), DBK_OK);
    check_entries(w.log, 0);
    world_close(&w);
    assert_true(dbk_simdisk_exists(w.disk, catalog) && dbk_simdisk_exists(w.disk, caught));
    assert_int_equal(verify(&w, DBK_VERIFY_PROOF).count, 0);
    world_free(&w);
}

/* A folder where a file of the index was: the log opens without it. Of another kind it is the same. */
static void test_no_file(void **state)
{
    dbk_dir *dir;
    world w;

    (void)state;
    (void)make(&w);
    assert_int_equal(dbk_simdisk_remove(w.disk, merged), 0);
    assert_int_equal(w.port->open_dir(w.port->ctx, NULL, merged, DBK_OPEN_DIRECTORY, &dir), 0);
    w.port->close_dir(w.port->ctx, dir);
    for (int pass = 0; pass < 4; pass++) {
        w.options.read_only = pass % 2 == 0;
        assert_int_equal(world_open(&w, NULL), DBK_OK);
        check_entries(w.log, 0);
        world_close(&w);
    }
    findings f = verify(&w, DBK_VERIFY_CHECKSUMS);
    assert_int_equal(f.count, 1);
    assert_string_equal(f.file, merged + 4);
    world_free(&w);
}

static size_t largest;
static void *(*usual_alloc)(void *ctx, size_t size);

static void *note_largest(void *ctx, size_t size)
{
    if (size > largest) largest = size;
    return usual_alloc(ctx, size);
}

/* A stray file with a high number in its name: what is missing before it is told, and takes no memory each. */
static void test_high_number(void **state)
{
    dbk_log_report report;
    dbk_port port;
    world w;

    (void)state;
    (void)make(&w);
    port = *w.port;
    usual_alloc = port.alloc;
    port.alloc = note_largest;
    assert_int_equal(dbk_simdisk_write(w.disk, "log/0000000000010000.seg", 0, "x", 1), 0);
    w.dir = root_of(w.port);
    assert_int_equal(dbk_log_verify(&port, w.dir, &w.options, DBK_VERIFY_PROOF, NULL, &report, NULL), DBK_OK);
    assert_true(report.faults > 60000 && report.entries >= 40 * 7);
    assert_true(largest < 1024 * 1024);
    world_free(&w);
}

/* Each call and each allocation fails once, and from there on: told, or an answer, and nothing leaks. */
static void test_failures(void **state)
{
    static const uint32_t kinds[] = {DBK_SIM_MEMORY, DBK_SIM_READ | DBK_SIM_OPEN | DBK_SIM_LIST | DBK_SIM_IDENTIFY};
    dbk_log_report report;
    world w;

    (void)state;
    (void)make(&w);
    for (size_t i = 0; i < 4; i++) {
        dbk_simdisk_fault fault = {.kinds = kinds[i / 2], .times = i % 2, .error = 5};
        for (bool hit = true; hit; fault.skip++) {
            w.dir = root_of(w.port);
            dbk_simdisk_add_fault(w.disk, &fault);
            dbk_result rc = dbk_log_verify(w.port, w.dir, &w.options, DBK_VERIFY_PROOF, NULL, &report, NULL);
            assert_true(rc == DBK_OK || rc == DBK_NO_MEMORY || rc == DBK_IO);
            hit = dbk_simdisk_fault_hits(w.disk) > 0;
            if (rc == DBK_OK && !hit) assert_int_equal(report.faults, 0);
            dbk_simdisk_clear_faults(w.disk);
            w.port->close_dir(w.port->ctx, w.dir);
            w.dir = NULL;
            assert_int_equal(dbk_simdisk_memory_count(w.disk), 0);
        }
    }
    dbk_simdisk_fault fault = {
        .kinds = DBK_SIM_LIST | DBK_SIM_REMOVE | DBK_SIM_SYNC_DIR | DBK_SIM_MEMORY, .times = 1, .error = 5};
    w.dir = root_of(w.port);
    for (bool hit = true; hit; fault.skip++) {
        uint64_t dropped;
        dbk_simdisk_add_fault(w.disk, &fault);
        dbk_result rc = dbk_log_drop_caches(w.port, w.dir, &dropped, NULL);
        hit = dbk_simdisk_fault_hits(w.disk) > 0;
        assert_int_equal(rc != DBK_OK, hit);
        dbk_simdisk_clear_faults(w.disk);
    }
    world_free(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rot),
        cmocka_unit_test(test_lies),
        cmocka_unit_test(test_lies_of_the_log),
        cmocka_unit_test(test_catalog),
        cmocka_unit_test(test_other_rows),
        cmocka_unit_test(test_not_believed),
        cmocka_unit_test(test_dropped),
        cmocka_unit_test(test_failures),
        cmocka_unit_test(test_high_number),
        cmocka_unit_test(test_point_behind_damage),
        cmocka_unit_test(test_no_file),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
