/* Parts of the index: merged behind sealing, found by their names, made anew from the segments. Each test says
 * what is on disk. */
#include <errno.h>

#include "log_fixture.h"

#include "log/index_internal.h"
#include "log/parts.h"

#include "tests/support/step.h"

enum { BATCHES = 220, COUNT = 6, ENTRIES = BATCHES * COUNT };
static const char wide[] = "log/0000000000000001-0000000000000004.run";

/* ---- what the tests share */

static void fill(world *w, size_t batches)
{
    for (size_t i = 0; i < batches; i++) assert_int_equal(append(w->log, COUNT), DBK_OK);
}

/* Each id, each stream walked down, names that are nowhere, and who wrote what. */
static void check_index(dbk_log *log, uint64_t entries)
{
    char text[32];
    uint64_t found;

    for (uint64_t position = 1; position <= entries; position += 5) {
        dbk_entry_id id;
        snprintf(text, sizeof(text), "c%llu", (unsigned long long)position);
        assert_int_equal(dbk_log_find_command(log, dbk_slice_text(text), 0, &found, NULL), DBK_OK);
        assert_int_equal(found, position);
        assert_int_equal(dbk_log_entry_id_at(log, position, &id, NULL), DBK_OK);
        assert_int_equal(id.seq, position);
        assert_int_equal(dbk_log_find_entry(log, &id, &found, NULL), DBK_OK);
        assert_int_equal(found, position);
    }
    for (uint64_t stream = 0; stream < 10; stream++) {
        uint64_t at = 0, steps = 0;
        snprintf(text, sizeof(text), "note/%llu", (unsigned long long)stream);
        while (dbk_log_find_stream(log, dbk_slice_text(text), at, &found, NULL) == DBK_OK && found) {
            assert_true(found % 10 == stream && (at == 0 || found + 10 == at));
            at = found;
            steps++;
        }
        assert_int_equal(steps, entries / 10 + (stream > 0 && entries % 10 >= stream));
    }
    assert_int_equal(dbk_log_find_command(log, dbk_slice_text("c0"), 0, &found, NULL), DBK_OK);
    assert_int_equal(found, 0);
    assert_int_equal(dbk_log_next_seq(log, replica_one, 1), entries + 1);
}

typedef struct names {
    size_t runs, singles, others;
    uint64_t widest;
} names;

static int count_name(void *arg, const char *name)
{
    names *n = arg;
    uint64_t first, last;

    if (dbk_part_name_parse(name, &first, &last)) {
        if (first == last) n->singles++;
        else n->runs++;
        if (last - first + 1 > n->widest) n->widest = last - first + 1;
    } else if (strstr(name, ".run") || strstr(name, ".idx")) {
        n->others++;
    }
    return 0;
}

static names names_of(world *w)
{
    dbk_dir *dir = root_of(w->port);
    names n = {0};

    assert_int_equal(w->port->list(w->port->ctx, dir, count_name, &n), 0);
    w->port->close_dir(w->port->ctx, dir);
    return n;
}

static dbk_log *open_reader(world *w)
{
    dbk_log_options options = w->options;
    dbk_error err = {0};
    dbk_log *reader;

    options.read_only = true;
    if (dbk_log_open(w->port, w->dir, &options, &reader, &err) != DBK_OK) fail_msg("reader: %s", err.text);
    return reader;
}

/* ---- merging */

/* Twenty sealed segments: few files answer for them, none of those that were merged is left, and all is
 * found, also by a reader and after a reopen. */
static void test_few_files_answer(void **state)
{
    world w;

    (void)state;
    world_new(&w, 1);
    fill(&w, BATCHES);
    size_t sealed = w.log->segment_count - 1;
    names n = names_of(&w);
    assert_true(sealed >= 16 && sealed < 64);
    assert_int_equal(n.widest, 16);
    assert_int_equal(n.others, 0);
    assert_int_equal(n.runs + n.singles, sealed / 16 + sealed % 16 / 4 + sealed % 4);
    assert_int_equal(w.log->part_count, n.runs + n.singles);
    for (int again = 0; again < 2; again++) {
        check_index(w.log, ENTRIES);
        check_entries(w.log, 0);
        dbk_log *reader = open_reader(&w);
        check_index(reader, ENTRIES);
        dbk_log_close(reader);
        world_reopen(&w);
    }
    world_free(&w);
}

/* A folder as it was before there were merged runs: one for each segment. It opens as it is for who reads;
 * who writes merges them. */
static void test_present_format(void **state)
{
    char path[64];
    world w;

    (void)state;
    world_new(&w, 2);
    fill(&w, BATCHES);
    size_t sealed = w.log->segment_count - 1;
    for (uint64_t number = 1; number <= sealed; number++)
        assert_int_equal(dbk_background_write_run(w.log, w.log->segments[number - 1], NULL), DBK_OK);
    for (size_t i = 0; i < w.log->part_count; i++) {
        char name[DBK_PART_NAME_SIZE];
        dbk_part_name(w.log->parts[i]->first, w.log->parts[i]->last, name);
        snprintf(path, sizeof(path), "log/%s", name);
        if (strstr(name, ".run")) assert_int_equal(dbk_simdisk_remove(w.disk, path), 0);
    }
    world_close(&w);
    w.dir = root_of(w.port);
    dbk_log *reader = open_reader(&w);
    assert_int_equal(reader->part_count, sealed);
    check_index(reader, ENTRIES);
    dbk_log_close(reader);
    assert_int_equal(names_of(&w).runs, 0);
    assert_int_equal(world_open(&w, NULL), DBK_OK);
    assert_int_equal(names_of(&w).widest, 16);
    check_index(w.log, ENTRIES);
    world_free(&w);
}

/* Segments are left plain: the merged run has their batches. */
static void test_batches_of_plain_segments(void **state)
{
    bool before = keep_plain;
    world w;

    (void)state;
    keep_plain = true;
    world_new(&w, 3);
    fill(&w, BATCHES);
    assert_int_equal(names_of(&w).widest, 16);
    world_reopen(&w);
    uint64_t reads = dbk_simdisk_calls(w.disk, DBK_SIM_READ);
    check_entries(w.log, 0);
    assert_true(dbk_simdisk_calls(w.disk, DBK_SIM_READ) - reads < 3000); /* no segment was read whole for it */
    for (size_t i = 0; i < w.log->segment_count - 1; i++) assert_null(w.log->segments[i]->table);
    world_free(&w);
    keep_plain = before;
}

/* A packed segment under a merged run gets its plain form back (a copy mended it): it has no batches there,
 * and is read for them. */
static void test_plain_again(void **state)
{
    dbk_simdisk_image *image;
    static uint8_t bytes[65536];
    world w;

    (void)state;
    if (keep_plain) return;
    keep_plain = true;
    world_new(&w, 4);
    fill(&w, BATCHES);
    world_close(&w);
    keep_plain = false;
    int64_t size = dbk_simdisk_read(w.disk, "log/0000000000000002.seg", 0, bytes, sizeof(bytes));
    image = dbk_simdisk_snapshot(w.disk);
    assert_true(size > 0);
    dbk_simdisk_remove(w.disk, wide);
    w.options.keep_plain = false;
    for (uint64_t first = 1; first <= 13; first += 4) { /* the runs are made again over packed segments */
        char path[64];
        snprintf(path, sizeof(path), "log/%016llx-%016llx.run", (unsigned long long)first,
                 (unsigned long long)first + 3);
        (void)dbk_simdisk_remove(w.disk, path);
    }
    (void)dbk_simdisk_remove(w.disk, "log/0000000000000001-0000000000000010.run");
    assert_int_equal(world_open(&w, NULL), DBK_OK);
    world_close(&w);
    assert_int_equal(dbk_simdisk_truncate(w.disk, "log/0000000000000002.seg", 0), 0);
    assert_int_equal(dbk_simdisk_write(w.disk, "log/0000000000000002.seg", 0, bytes, (size_t)size), 0);
    w.options.keep_plain = true;
    assert_int_equal(world_open(&w, NULL), DBK_OK);
    check_entries(w.log, 0);
    check_index(w.log, ENTRIES);
    world_free(&w);
    (void)image;
}

/* Two authors take turns: a merged run joins what one of them wrote over the border of two segments, and
 * gives back every id. */
static void test_authors(void **state)
{
    dbk_buffer bytes;
    world w;

    (void)state;
    world_new(&w, 5);
    dbk_buffer_init(&bytes, dbk_port_system());
    for (uint64_t i = 0; i < 400; i++) {
        make_entry(&bytes, i / 50 % 2 ? replica_two : replica_one, i / 100 * 50 + i % 50 + 1, 100 + i, 300);
        dbk_slice origin = dbk_buffer_slice(&bytes);
        assert_int_equal(dbk_log_append(w.log, &origin, 1, FIRST_MS, NULL, NULL), DBK_OK);
    }
    assert_true(names_of(&w).widest >= 4);
    for (uint64_t i = 0; i < 400; i++) {
        dbk_entry_id id;
        assert_int_equal(dbk_log_entry_id_at(w.log, i + 1, &id, NULL), DBK_OK);
        assert_memory_equal(id.replica, i / 50 % 2 ? replica_two : replica_one, 16);
        assert_int_equal(id.seq, i / 100 * 50 + i % 50 + 1);
    }
    assert_int_equal(dbk_log_next_seq(w.log, replica_one, 1), 201);
    assert_int_equal(dbk_log_next_seq(w.log, replica_two, 1), 201);
    world_reopen(&w);
    assert_int_equal(dbk_log_next_seq(w.log, replica_two, 1), 201);
    dbk_buffer_release(&bytes);
    world_free(&w);
}

/* One author leaves out a seq behind every other entry, also at borders of segments: no id is made up. */
static void test_gaps_of_an_author(void **state)
{
    dbk_buffer bytes;
    world w;

    (void)state;
    world_new(&w, 13);
    dbk_buffer_init(&bytes, dbk_port_system());
    for (uint64_t i = 0; i < 900; i++) {
        make_entry(&bytes, replica_one, 1 + i + i / 2, 100 + i, 300);
        dbk_slice origin = dbk_buffer_slice(&bytes);
        assert_int_equal(dbk_log_append(w.log, &origin, 1, FIRST_MS, NULL, NULL), DBK_OK);
    }
    assert_true(names_of(&w).widest >= 16);
    for (uint64_t i = 0; i < 900; i++) {
        dbk_entry_id id;
        assert_int_equal(dbk_log_entry_id_at(w.log, i + 1, &id, NULL), DBK_OK);
        assert_int_equal(id.seq, 1 + i + i / 2);
    }
    dbk_buffer_release(&bytes);
    world_free(&w);
}

/* ---- beside each other */

/* A reader has opened nothing yet while the writer merges what it knows of: it finds the new files. */
static void test_reader_beside_merges(void **state)
{
    world w;

    (void)state;
    world_new(&w, 6);
    fill(&w, 30);
    dbk_log *early = open_reader(&w);
    fill(&w, BATCHES - 30);
    check_index(early, 30 * COUNT);
    assert_int_equal(dbk_log_refresh(early, NULL), DBK_OK);
    check_index(early, ENTRIES);
    check_entries(early, 0);
    size_t tables = 0;
    for (size_t i = 0; i + 1 < early->segment_count; i++) tables += early->segments[i]->table != NULL;
    assert_true(tables <= DBK_TABLES_KEPT + 1); /* what it followed does not stay in memory */
    dbk_log_close(early);
    world_free(&w);
}

/* So many single files that not all are held open. */
static void test_many_files(void **state)
{
    world w;

    (void)state;
    world_new(&w, 7);
    fill(&w, 4 * BATCHES);
    size_t sealed = w.log->segment_count - 1;
    assert_true(sealed > DBK_PARTS_OPEN_MAX);
    for (uint64_t number = 1; number <= sealed; number++)
        assert_int_equal(dbk_background_write_run(w.log, w.log->segments[number - 1], NULL), DBK_OK);
    assert_int_equal(dbk_parts_split(w.log, 1, sealed, NULL), DBK_OK);
    check_index(w.log, 4 * ENTRIES);
    size_t open = 0;
    for (size_t i = 0; i < w.log->part_count; i++) open += w.log->parts[i]->run != NULL;
    assert_int_equal(w.log->part_count, sealed);
    assert_true(open <= DBK_PARTS_OPEN_MAX);
    world_free(&w);
}

/* ---- damage */

static void check_damaged(world *w, const char *what)
{
    dbk_error err = {0};

    w->dir = root_of(w->port);
    dbk_log *reader = open_reader(w);
    check_index(reader, ENTRIES);
    dbk_log_close(reader);
    if (world_open(w, &err) != DBK_OK) fail_msg("%s: %s", what, err.text);
    check_index(w->log, ENTRIES);
    assert_int_equal(append(w->log, COUNT), DBK_OK); /* what is damaged is made anew behind it */
    check_index(w->log, ENTRIES + COUNT);
    for (size_t i = 0; i < w->log->part_count; i++) assert_false(w->log->parts[i]->damaged);
    uint64_t whole = dbk_simdisk_calls(w->disk, DBK_SIM_READ);
    check_index(w->log, ENTRIES + COUNT);
    assert_true(dbk_simdisk_calls(w->disk, DBK_SIM_READ) - whole < 10000);
    world_close(w);
    names n = names_of(w);
    assert_int_equal(n.others, 0);
    assert_int_equal(n.widest, 16);
}

/* The file that answers for sixteen segments is gone, empty, cut, of another store, or rotten in its header,
 * its keys, its filter, its fences, its authors: every answer comes, and it is made anew. */
static void test_damaged_runs(void **state)
{
    static const char run[] = "log/0000000000000001-0000000000000010.run";
    world w;

    (void)state;
    world_new(&w, 8);
    fill(&w, BATCHES);
    world_close(&w);
    dbk_simdisk_image *image = dbk_simdisk_snapshot(w.disk);
    uint64_t size = (uint64_t)dbk_simdisk_size(w.disk, run);
    for (uint64_t page = 0; page < size / DBK_INDEX_PAGE_SIZE; page++) {
        dbk_simdisk_restore(w.disk, image);
        assert_int_equal(dbk_simdisk_flip_bit(w.disk, run, page * DBK_INDEX_PAGE_SIZE + 70, 3), 0);
        check_damaged(&w, "a rotten page");
    }
    for (int i = 0; i < 4; i++) {
        dbk_simdisk_restore(w.disk, image);
        if (i == 0) assert_int_equal(dbk_simdisk_remove(w.disk, run), 0);
        if (i == 1) assert_int_equal(dbk_simdisk_truncate(w.disk, run, 0), 0);
        if (i == 2) assert_int_equal(dbk_simdisk_truncate(w.disk, run, size - 1), 0);
        if (i == 3) assert_int_equal(dbk_simdisk_write(w.disk, run, 16, "another of tests", 16), 0);
        check_damaged(&w, "a lost run");
    }
    world_free(&w);
}

/* A run with a rotten page, or with keys out of order, when it is merged: it is made anew, and merged then. */
static void test_damaged_while_merged(void **state)
{
    static const uint64_t places[] = {4096 + 20 * 3 + 18, 4096 + 20 * 2 + 1, 4096 + 4090, 4096};
    world w;

    (void)state;
    for (size_t i = 0; i < 2 * sizeof(places) / sizeof(*places); i++) {
        uint64_t at = places[i / 2];
        size_t batches = 0;
        keep_plain = false;
        world_new(&w, 41);
        while (w.log->segment_count < 4) {
            assert_int_equal(append(w.log, COUNT), DBK_OK);
            batches++;
        }
        static const char third[] = "log/0000000000000003.idx";
        assert_true(dbk_simdisk_exists(w.disk, third));
        if (i % 2) { /* a checksum that is right over keys out of order */
            uint8_t first[DBK_INDEX_PAGE_SIZE], page[DBK_INDEX_PAGE_SIZE];
            assert_int_equal(dbk_simdisk_read(w.disk, third, 0, first, sizeof(first)), sizeof(first));
            assert_int_equal(dbk_simdisk_read(w.disk, third, 4096, page, sizeof(page)), sizeof(page));
            memcpy(page + 20, page + 60, 20);
            dbk_index_page_seal(page, 1, dbk_load_u64(first + 56));
            assert_int_equal(dbk_simdisk_write(w.disk, third, 4096, page, sizeof(page)), 0);
        } else {
            assert_int_equal(dbk_simdisk_flip_bit(w.disk, third, at, 2), 0);
        }
        for (size_t k = 0; k < 60; k++, batches++) assert_int_equal(append(w.log, COUNT), DBK_OK);
        assert_int_equal(dbk_log_idle(w.log, NULL), DBK_OK);
        check_index(w.log, batches * COUNT);
        world_reopen(&w);
        check_index(w.log, batches * COUNT);
        assert_true(dbk_simdisk_exists(w.disk, wide));
        world_free(&w);
    }
}

/* The run of other segments under this name, runs that overlap, a run beyond the end of the log, names that
 * are almost one: nothing of it is believed, and what was taken for a part is removed. */
static void test_names_that_lie(void **state)
{
    static const char *const lies[] = {"log/0000000000000003-0000000000000012.run",
                                       "log/0000000000000001-0000000000000011.run",
                                       "log/0000000000000011-0000000000000040.run", "log/0000000000000030.idx",
                                       "log/0000000000000002-0000000000000003.run"};
    uint64_t first, last;
    world w;

    (void)state;
    world_new(&w, 9);
    fill(&w, BATCHES);
    world_close(&w);
    for (size_t i = 0; i < 5; i++)
        assert_int_equal(dbk_simdisk_copy(w.disk, "log/0000000000000001-0000000000000010.run", lies[i]), 0);
    check_damaged(&w, "lies");
    for (size_t i = 0; i < 5; i++) assert_false(dbk_simdisk_exists(w.disk, lies[i]));
    assert_false(dbk_part_name_parse("0000000000000002-0000000000000001.run", &first, &last));
    assert_false(dbk_part_name_parse("0000000000000001-0000000000000001.run", &first, &last));
    assert_false(dbk_part_name_parse("0000000000000000-0000000000000001.run", &first, &last));
    assert_false(dbk_part_name_parse("000000000000000A-000000000000000B.run", &first, &last));
    assert_false(dbk_part_name_parse("0000000000000001-0000000000000004.run.tmp", &first, &last));
    assert_true(dbk_part_name_parse("0000000000000001-0000000000000004.run", &first, &last) && first == 1 && last == 4);
    assert_true(dbk_part_name_parse("000000000000000f.idx", &first, &last) && first == 15 && last == 15);
    world_free(&w);
}

/* ---- crashes and faults */

/* Power loss at each change that the merges of sixteen segments make: all is found, and merged again. */
static void test_crash_at_each_step(void **state)
{
    static const dbk_simdisk_crash_mode modes[] = {DBK_SIM_RANDOM_MIX, DBK_SIM_ALL_OLD, DBK_SIM_ALL_NEW,
                                                   DBK_SIM_ALL_GARBAGE};
    bool went_off = true;
    world w;

    (void)state;
    world_new(&w, 10);
    fill(&w, BATCHES);
    size_t sealed = w.log->segment_count - 1;
    for (uint64_t number = 1; number <= sealed; number++)
        assert_int_equal(dbk_background_write_run(w.log, w.log->segments[number - 1], NULL), DBK_OK);
    for (size_t i = w.log->part_count; i-- > 0;) {
        char path[64] = "log/";
        dbk_part_name(w.log->parts[i]->first, w.log->parts[i]->last, path + 4);
        if (strstr(path, ".run")) assert_int_equal(dbk_simdisk_remove(w.disk, path), 0);
    }
    world_close(&w);
    dbk_simdisk_sync_all(w.disk);
    dbk_simdisk_image *image = dbk_simdisk_snapshot(w.disk);
    for (uint64_t at = 1; went_off; at++) {
        for (size_t mode = 0; mode < 4; mode++) {
            dbk_error err = {0};
            dbk_simdisk_restore(w.disk, image);
            dbk_simdisk_power_off_at(w.disk, at);
            (void)!world_open(&w, NULL);
            world_close(&w);
            went_off = dbk_simdisk_power_is_off(w.disk);
            dbk_simdisk_power_off_at(w.disk, 0);
            dbk_simdisk_crash(w.disk, modes[mode], at);
            if (world_open(&w, &err) != DBK_OK) fail_msg("change %d mode %d: %s", (int)at, (int)mode, err.text);
            check_index(w.log, ENTRIES);
            names n = names_of(&w);
            assert_int_equal(n.widest, 16);
            assert_int_equal(n.runs + n.singles, sealed / 16 + sealed % 16 / 4 + sealed % 4);
            world_close(&w);
        }
    }
    world_free(&w);
}

static uint64_t step = 1; /* of the calls, one of so many fails */

/* The n-th call or allocation of opening, merging and asking fails, once or for ever: no answer is wrong, and
 * afterwards all is found. */
static void fail_each(uint32_t kinds, int error, uint64_t times)
{
    bool hit = true;
    world w;

    world_new(&w, 11);
    fill(&w, 60);
    world_close(&w);
    dbk_simdisk_image *image = dbk_simdisk_snapshot(w.disk);
    for (uint64_t skip = 0; hit; skip += step) {
        dbk_simdisk_fault fault = {.kinds = kinds, .skip = skip, .times = times, .error = error};
        dbk_simdisk_restore(w.disk, image);
        w.dir = root_of(w.port);
        dbk_simdisk_add_fault(w.disk, &fault);
        if (world_open(&w, NULL) == DBK_OK) {
            size_t done = 0;
            while (done < 24 && append(w.log, COUNT) == DBK_OK) done++;
            for (uint64_t position = 1; position <= 60 * COUNT; position += 37) {
                char text[32];
                uint64_t found;
                snprintf(text, sizeof(text), "c%llu", (unsigned long long)position);
                if (dbk_log_find_command(w.log, dbk_slice_text(text), 0, &found, NULL) == DBK_OK)
                    assert_int_equal(found, position);
            }
        }
        world_close(&w);
        hit = dbk_simdisk_fault_hits(w.disk) > 0;
        dbk_simdisk_clear_faults(w.disk);
        assert_int_equal(world_open(&w, NULL), DBK_OK);
        check_index(w.log, dbk_log_position(w.log));
        world_close(&w);
    }
    world_free(&w);
}

static void test_faults(void **state)
{
    (void)state;
    fail_each(DBK_SIM_IO, EIO, 1);
    fail_each(DBK_SIM_WRITE | DBK_SIM_ALLOCATE | DBK_SIM_CREATE, ENOSPC, 0);
    fail_each(DBK_SIM_MEMORY, ENOMEM, 1);
}

/* ---- an index that is lost */

static dbk_port real;
static uint64_t bytes_read; /* of segments */
static const dbk_file *segment_files[512];
static size_t segment_file_count;

static bool is_segment(const dbk_file *file)
{
    for (size_t i = 0; i < segment_file_count; i++)
        if (segment_files[i] == file) return true;
    return false;
}

static int counted_open(void *ctx, dbk_dir *dir, const char *name, int flags, uint32_t mode, dbk_file **out)
{
    int rc = real.open_file(ctx, dir, name, flags, mode, out);
    if (rc != 0) return rc;
    for (size_t i = 0; i < segment_file_count; i++) /* the memory of one that was closed */
        if (segment_files[i] == *out) segment_files[i] = NULL;
    assert_true(segment_file_count < sizeof(segment_files) / sizeof(segment_files[0]));
    if (strstr(name, ".seg")) segment_files[segment_file_count++] = *out;
    return 0;
}

static int64_t counted_pread(void *ctx, dbk_file *file, void *out, size_t size, uint64_t offset)
{
    int64_t got = real.pread(ctx, file, out, size, offset);
    if (got > 0 && is_segment(file)) bytes_read += (uint64_t)got;
    return got;
}

static int remove_part(void *arg, const char *name)
{
    uint64_t first, last;
    world *w = arg;
    dbk_dir *dir = root_of(w->port);
    if (dbk_part_name_parse(name, &first, &last)) (void)w->port->unlink(w->port->ctx, dir, name);
    w->port->close_dir(w->port->ctx, dir);
    return 0;
}

static uint64_t open_counted(world *w, const dbk_port *counted)
{
    dbk_error err = {0};
    bytes_read = segment_file_count = 0;
    if (dbk_log_open(counted, w->dir, &w->options, &w->log, &err) != DBK_OK) fail_msg("%s", err.text);
    return bytes_read;
}

/* No file of the index, and far more segments than tables are kept: each is read once before anything is written, and
 * its run is made of what was read. */
static void test_a_lost_index_is_read_once(void **state)
{
    world w;

    (void)state;
    world_new(&w, 11);
    fill(&w, BATCHES);
    dbk_log_close(w.log);
    real = *w.port;
    dbk_port counted = real;
    counted.pread = counted_pread;
    counted.open_file = counted_open;
    uint64_t whole = open_counted(&w, &counted);
    size_t sealed = w.log->segment_count - 1;
    assert_true(sealed > 3 * DBK_TABLES_KEPT);
    bytes_read = 0;
    for (size_t i = 0; i < sealed; i++)
        assert_int_equal(dbk_parts_read_segment(w.log, w.log->segments[i], NULL), DBK_OK);
    uint64_t once = bytes_read;
    dbk_log_close(w.log);
    dbk_dir *dir = root_of(w.port);
    assert_int_equal(w.port->list(w.port->ctx, dir, remove_part, &w), 0);
    w.port->close_dir(w.port->ctx, dir);
    uint64_t lost = open_counted(&w, &counted);
    print_message("read: %llu, all tables %llu, without an index %llu\n", (unsigned long long)whole,
                  (unsigned long long)once, (unsigned long long)lost);
    assert_true(lost <= whole + once);
    size_t tables = 0;
    for (size_t i = 0; i < sealed; i++) tables += w.log->segments[i]->table != NULL;
    assert_true(tables <= DBK_TABLES_KEPT + 1);
    check_index(w.log, ENTRIES);
    world_free(&w);
}

int main(int argc, char **argv)
{
    step = step_argument(argc, argv, 1);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_few_files_answer),
        cmocka_unit_test(test_present_format),
        cmocka_unit_test(test_batches_of_plain_segments),
        cmocka_unit_test(test_plain_again),
        cmocka_unit_test(test_authors),
        cmocka_unit_test(test_gaps_of_an_author),
        cmocka_unit_test(test_reader_beside_merges),
        cmocka_unit_test(test_many_files),
        cmocka_unit_test(test_damaged_runs),
        cmocka_unit_test(test_damaged_while_merged),
        cmocka_unit_test(test_names_that_lie),
        cmocka_unit_test(test_crash_at_each_step),
        cmocka_unit_test(test_faults),
        cmocka_unit_test(test_a_lost_index_is_read_once),
    };

    return run_both_forms(tests);
}
