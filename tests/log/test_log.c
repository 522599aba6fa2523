/* The log through its public header, on a simulated disk. */
#include "log_fixture.h"

/* An empty log is clean, at position 0, and has the head of nothing. */
static void test_empty(void **state)
{
    uint8_t head[DBK_LEAF_SIZE], at[DBK_LEAF_SIZE];
    dbk_buffer out;
    world w;

    (void)state;
    world_new(&w, 1);
    assert_int_equal(dbk_log_position(w.log), 0);
    assert_true(dbk_log_was_clean(w.log));
    dbk_log_head(w.log, head);
    assert_int_equal(dbk_log_head_at(w.log, 0, at, NULL), DBK_OK);
    assert_memory_equal(head, at, sizeof(head));
    dbk_buffer_init(&out, w.port);
    assert_int_equal(dbk_log_read(w.log, 1, &out, NULL, NULL), DBK_NONE);
    assert_int_equal(dbk_log_read(w.log, 0, &out, NULL, NULL), DBK_NONE);
    world_free(&w);
}

/* Batches of many sizes cross many segments; all of it reads back, before and after reopening. */
static void test_append_reopen(void **state)
{
    world w;

    (void)state;
    world_new(&w, 2);
    for (size_t i = 1; i < 120; i++) assert_int_equal(append(w.log, i % 17), DBK_OK);
    check_entries(w.log, 0);
    uint64_t position = dbk_log_position(w.log);
    world_reopen(&w);
    assert_true(dbk_log_was_clean(w.log));
    assert_int_equal(dbk_log_position(w.log), position);
    check_entries(w.log, 0);
    assert_int_equal(append(w.log, 5), DBK_OK);
    check_entries(w.log, 0);
    world_free(&w);
}

static void append_one(world *w, const uint8_t replica[16], uint64_t seq, uint64_t hlc)
{
    dbk_buffer bytes;
    dbk_slice origin;

    dbk_buffer_init(&bytes, dbk_port_system());
    make_entry(&bytes, replica, seq, hlc, 60);
    origin = dbk_buffer_slice(&bytes);
    assert_int_equal(dbk_log_append(w->log, &origin, 1, 0, NULL, NULL), DBK_OK);
    dbk_buffer_release(&bytes);
}

/* Two authors whose clocks interleave: the fold gives their order, the log that of arrival. */
static bool only_odd(void *arg, uint64_t position, int64_t received_ms, const uint8_t key[DBK_ORDER_KEY_SIZE])
{
    (void)arg;
    (void)received_ms;
    (void)key;
    return position % 2;
}

static uint64_t fold_all(dbk_log *log, uint64_t last, dbk_log_wanted_fn wanted)
{
    uint64_t position, count = 0, hlc = 0;
    dbk_log_fold *fold;
    dbk_slice origin;
    dbk_entry entry;
    dbk_result rc;

    assert_int_equal(dbk_log_fold_open(log, 0, last, wanted, NULL, &fold, NULL), DBK_OK);
    while ((rc = dbk_log_fold_next(fold, &position, &origin, NULL)) == DBK_OK) {
        assert_int_equal(dbk_entry_decode(origin, &entry, NULL), DBK_OK);
        assert_true(entry.hlc > hlc);
        hlc = entry.hlc;
        count++;
    }
    assert_int_equal(rc, DBK_END);
    assert_int_equal(count, dbk_log_fold_count(fold));
    dbk_log_fold_close(fold);
    return count;
}

static void test_fold(void **state)
{
    world w;

    (void)state;
    world_new(&w, 3);
    assert_int_equal(fold_all(w.log, 0, NULL), 0);
    for (uint64_t i = 1; i <= 200; i++) append_one(&w, replica_one, i, 1000 + i * 2);
    assert_true(dbk_log_is_ordered(w.log));
    assert_int_equal(fold_all(w.log, 0, NULL), 200);
    assert_int_equal(fold_all(w.log, 50, NULL), 50);
    for (uint64_t i = 1; i <= 100; i++) append_one(&w, replica_two, i, 1001 + i * 2);
    assert_false(dbk_log_is_ordered(w.log));
    assert_int_equal(fold_all(w.log, 0, NULL), 300);
    assert_int_equal(fold_all(w.log, 0, only_odd), 150);
    assert_int_equal(dbk_log_next_seq(w.log, replica_one, 1), 201);
    assert_int_equal(dbk_log_next_seq(w.log, replica_two, 1), 101);
    assert_int_equal(dbk_log_next_seq(w.log, replica_two, 2), 1);
    world_reopen(&w);
    assert_false(dbk_log_is_ordered(w.log));
    assert_int_equal(fold_all(w.log, 0, NULL), 300);
    world_free(&w);
}

static void check_lookup(dbk_log *log, uint64_t end)
{
    for (uint64_t position = 1; position <= end; position += 7) {
        dbk_entry_id id;
        uint64_t found;
        char command[32];
        assert_int_equal(dbk_log_entry_id_at(log, position, &id, NULL), DBK_OK);
        assert_int_equal(id.seq, position);
        assert_memory_equal(id.replica, replica_one, 16);
        assert_int_equal(dbk_log_find_entry(log, &id, &found, NULL), DBK_OK);
        assert_int_equal(found, position);
        snprintf(command, sizeof(command), "c%llu", (unsigned long long)position);
        assert_int_equal(dbk_log_find_command(log, dbk_slice_text(command), 0, &found, NULL), DBK_OK);
        assert_int_equal(found, position);
        assert_int_equal(dbk_log_find_command(log, dbk_slice_text(command), position, &found, NULL), DBK_OK);
        assert_int_equal(found, 0);
    }
}

/* Index questions over tables and runs alike; a stream is walked down to its beginning. */
static void test_lookup(void **state)
{
    static const char merged[] = "log/0000000000000001-0000000000000004.run";
    uint64_t at = 0, found, steps = 0;
    dbk_entry_id id;
    world w;

    (void)state;
    world_new(&w, 4);
    for (size_t i = 0; i < 60; i++) assert_int_equal(append(w.log, 10), DBK_OK);
    assert_true(dbk_simdisk_exists(w.disk, merged));
    for (int again = 0; again < 2; again++) {
        check_lookup(w.log, 600);
        for (at = 0, steps = 0;
             dbk_log_find_stream(w.log, dbk_slice_text("note/3"), at, &found, NULL) == DBK_OK && found; steps++) {
            assert_true(found % 10 == 3 && (at == 0 || found + 10 == at));
            at = found;
        }
        assert_int_equal(steps, 60);
        assert_int_equal(dbk_log_entry_id_at(w.log, 601, &id, NULL), DBK_NONE);
        assert_int_equal(dbk_log_find_stream(w.log, dbk_slice_text("note/none"), 0, &found, NULL), DBK_OK);
        assert_int_equal(found, 0);
        memset(&id, 5, sizeof(id));
        assert_int_equal(dbk_log_find_entry(w.log, &id, &found, NULL), DBK_OK);
        assert_int_equal(found, 0);
        world_close(&w);
        dbk_simdisk_remove(w.disk, merged); /* a cache: it comes back */
        assert_int_equal(world_open(&w, NULL), DBK_OK);
        assert_true(dbk_simdisk_exists(w.disk, merged));
    }
    world_free(&w);
}

/* A page of an index rots after open: the answer comes from the segment. */
static void test_rotten_index(void **state)
{
    world w;

    (void)state;
    world_new(&w, 4);
    for (size_t i = 0; i < 60; i++) assert_int_equal(append(w.log, 10), DBK_OK);
    for (uint64_t at = 4096; at < 8192; at += 40)
        dbk_simdisk_flip_bit(w.disk, "log/0000000000000001-0000000000000004.run", at, 1);
    check_lookup(w.log, 600);
    world_free(&w);
}

/* The head at every position is that over the entries up to it; also over a reopen. */
static void test_heads(void **state)
{
    uint8_t head[DBK_LEAF_SIZE], want[DBK_LEAF_SIZE], leaf[DBK_LEAF_SIZE];
    dbk_buffer out;
    dbk_range range;
    world w;

    (void)state;
    world_new(&w, 5);
    for (size_t i = 0; i < 30; i++) assert_int_equal(append(w.log, 8), DBK_OK);
    dbk_range_init(&range);
    dbk_buffer_init(&out, w.port);
    for (uint64_t position = 1; position <= 240; position++) {
        int64_t received_ms;
        assert_int_equal(dbk_log_read(w.log, position, &out, &received_ms, NULL), DBK_OK);
        assert_int_equal(received_ms, FIRST_MS + (int64_t)((position - 1) / 8 * 8));
        dbk_entry_leaf(dbk_buffer_slice(&out), leaf);
        dbk_range_add(&range, leaf);
        dbk_range_head(&range, want);
        assert_int_equal(dbk_log_head_at(w.log, position, head, NULL), DBK_OK);
        assert_memory_equal(head, want, sizeof(head));
    }
    assert_int_equal(dbk_log_head_at(w.log, 241, head, NULL), DBK_NONE);
    dbk_buffer_release(&out);
    world_reopen(&w);
    dbk_log_head(w.log, head);
    assert_memory_equal(head, want, sizeof(head));
    uint8_t key[DBK_ORDER_KEY_SIZE];
    uint32_t epoch;
    uint64_t hlc;
    dbk_log_clock(w.log, &epoch, &hlc);
    assert_true(epoch == 1 && hlc == 340);
    dbk_log_top(w.log, key);
    assert_int_equal(dbk_load_be64(key + DBK_ORDER_KEY_SIZE - 8), 240); /* the seq, last in the key */
    world_free(&w);
}

/* Batches and entries larger than a segment get one that fits; those over the limits are refused.
 */
static void test_large(void **state)
{
    dbk_error err;
    world w;

    (void)state;
    world_new(&w, 6);
    assert_int_equal(append_sized(w.log, 1, 60000, &err), DBK_OK);
    assert_int_equal(append_sized(w.log, 3, 60000, &err), DBK_OK);
    assert_int_equal(append_sized(w.log, 40, 60000, &err), DBK_OK);
    check_entries(w.log, 60000);
    world_reopen(&w);
    check_entries(w.log, 60000);
    dbk_slice big = dbk_slice_of("", DBK_ENTRY_MAX_BYTES + 1);
    assert_int_equal(dbk_log_append(w.log, &big, 1, 0, NULL, &err), DBK_TOO_BIG);
    dbk_slice many[3] = {dbk_slice_of("", 16 << 20), dbk_slice_of("", 16 << 20), dbk_slice_of("", 16 << 20)};
    assert_int_equal(dbk_log_append(w.log, many, 3, 0, NULL, &err), DBK_TOO_BIG);
    dbk_slice junk = dbk_slice_text("\x01unk");
    assert_int_equal(dbk_log_append(w.log, &junk, 1, 0, NULL, &err), DBK_CORRUPT);
    assert_int_equal(dbk_log_append(w.log, NULL, 0, 0, NULL, &err), DBK_OK);
    assert_int_equal(dbk_log_position(w.log), 44);
    assert_int_equal(append_sized(w.log, 1, 60000, &err), DBK_OK);
    world_free(&w);
}

/* A reader beside the writer sees what is durable, follows it through segments, and changes
 * nothing. */
static void test_reader(void **state)
{
    dbk_log *reader;
    dbk_error err;
    world w;

    (void)state;
    world_new(&w, 7);
    assert_int_equal(append(w.log, 5), DBK_OK);
    dbk_log_options options = w.options;
    options.read_only = true;
    uint64_t changes = dbk_simdisk_calls(w.disk, DBK_SIM_CHANGES);
    assert_int_equal(dbk_log_open(w.port, w.dir, &options, &reader, &err), DBK_OK);
    assert_int_equal(dbk_simdisk_calls(w.disk, DBK_SIM_CHANGES), changes);
    assert_int_equal(dbk_log_position(reader), 5);
    for (size_t i = 0; i < 60; i++) {
        assert_int_equal(append(w.log, 7), DBK_OK);
        assert_int_equal(dbk_log_refresh(reader, &err), DBK_OK);
        assert_int_equal(dbk_log_position(reader), dbk_log_position(w.log));
    }
    check_entries(reader, 0);
    check_lookup(reader, dbk_log_position(reader));
    assert_int_equal(append(reader, 1), DBK_READ_ONLY);
    assert_int_equal(dbk_log_idle(reader, NULL), DBK_READ_ONLY);
    assert_int_equal(dbk_log_refresh(w.log, NULL), DBK_USAGE);
    dbk_log_close(reader);
    assert_int_equal(dbk_log_open(w.port, w.dir, &options, &reader, &err), DBK_OK);
    check_entries(reader, 0);
    dbk_log_close(reader);
    world_free(&w);
}

/* A second writer is kept out by the segment's own lock, also after the first has rolled on. */
static void test_second_writer(void **state)
{
    dbk_log *second;
    dbk_error err;
    world w;

    (void)state;
    world_new(&w, 8);
    for (size_t i = 0; i < 40; i++) {
        assert_int_equal(dbk_log_open(w.port, w.dir, &w.options, &second, &err), DBK_LOCKED);
        assert_int_equal(append(w.log, 9), DBK_OK);
    }
    assert_int_equal(dbk_log_create(w.port, w.dir, &w.options, &err), DBK_EXISTS);
    world_free(&w);
}

static void count_fault(void *arg, const dbk_log_fault *fault)
{
    assert_true(fault->code < 0 && fault->file && fault->text[0]);
    if (fault->first_position) ((uint64_t *)arg)[1] += fault->last_position - fault->first_position + 1;
    ((uint64_t *)arg)[0]++;
}

static void count_progress(void *arg, uint64_t done, uint64_t all)
{
    assert_true(done <= all);
    ((uint64_t *)arg)[2]++;
}

static void note_code(void *arg, const dbk_log_fault *fault)
{
    dbk_result *seen = arg; /* what was seen, what is looked for */

    if (fault->code == seen[1]) seen[0] = fault->code;
}

/* Verification counts what there is, and lists all faults with the positions they cost. */
static void test_verify(void **state)
{
    uint64_t counts[3] = {0};
    dbk_log_watcher watcher = {.arg = counts, .fault = count_fault, .progress = count_progress};
    dbk_log_report report, stats;
    world w;

    (void)state;
    world_new(&w, 10);
    for (size_t i = 0; i < 50; i++) assert_int_equal(append(w.log, 8), DBK_OK);
    assert_int_equal(dbk_log_stats(w.log, &stats, NULL), DBK_OK);
    for (int depth = 0; depth < 2; depth++) {
        assert_int_equal(dbk_log_verify(w.port, w.dir, &w.options, (dbk_verify_depth)depth, &watcher, &report, NULL),
                         DBK_OK);
        assert_int_equal(report.faults, 0);
        assert_true(report.entries == 400 && report.batches == 50);
        assert_true(stats.entries == 400 && stats.batches == 50 && stats.segments == report.segments);
        assert_memory_equal(report.head, stats.head, DBK_LEAF_SIZE);
    }
    assert_true(counts[0] == 0 && counts[2] > 100);
    dbk_simdisk_flip_bit(w.disk, "log/0000000000000001.seg", keep_plain ? 9500 : 700, 2);
    dbk_simdisk_remove(w.disk, "log/0000000000000003.seg");
    assert_int_equal(dbk_log_verify(w.port, w.dir, &w.options, DBK_VERIFY_PROOF, &watcher, &report, NULL), DBK_OK);
    assert_int_equal(report.faults, 2);
    assert_int_equal(counts[0], 2);
    assert_int_equal(report.entries + counts[1], 400);
    world_free(&w);
    w.disk = dbk_simdisk_new(1);
    w.port = dbk_simdisk_port(w.disk);
    w.dir = root_of(w.port);
    assert_int_equal(dbk_log_verify(w.port, w.dir, &w.options, DBK_VERIFY_PROOF, NULL, &report, NULL), DBK_MISSING);
    assert_int_equal(dbk_log_open(w.port, w.dir, &w.options, &w.log, NULL), DBK_MISSING);
    world_free(&w);
}

/* Everything also on the machine itself, with its threads, direct and not. */
static void test_machine(void **state)
{
    char path[] = "/tmp/dbk-log-XXXXXX", command[64];
    dbk_log_options options = small_options();
    const dbk_port *port = dbk_port_system();
    dbk_dir *dir;

    (void)state;
    assert_non_null(mkdtemp(path));
    assert_int_equal(port->open_dir(port->ctx, NULL, path, 0, &dir), 0);
    options.no_background = false;
    options.segment_max_bytes = 65536;
    assert_int_equal(dbk_log_create(port, dir, &options, NULL), DBK_OK);
    for (int i = 0; i < 4; i++) {
        dbk_log *log;
        dbk_error err;
        options.no_direct = i % 2;
        if (dbk_log_open(port, dir, &options, &log, &err) != DBK_OK) fail_msg("%s", err.text);
        assert_true(dbk_log_was_clean(log));
        for (int j = 0; j < 100; j++) assert_int_equal(append(log, 12), DBK_OK);
        check_entries(log, 0);
        check_lookup(log, dbk_log_position(log));
        dbk_log_close(log);
    }
    port->close_dir(port->ctx, dir);
    snprintf(command, sizeof(command), "rm -rf %s", path);
    assert_int_equal(system(command), 0);
}

typedef struct reading {
    dbk_log *log;
    uint64_t seed;
    uint64_t *stop; /* atomic */
} reading;

static void read_beside(void *arg)
{
    reading *r = arg;
    dbk_buffer out, want;

    dbk_buffer_init(&out, dbk_port_system());
    dbk_buffer_init(&want, dbk_port_system());
    while (!__atomic_load_n(r->stop, __ATOMIC_RELAXED)) {
        uint64_t end = dbk_log_position(r->log), found, position;
        dbk_log_cursor *cursor;
        dbk_slice origin;
        char command[32];
        if (end == 0) continue;
        r->seed = r->seed * 6364136223846793005ull + 1442695040888963407ull;
        position = 1 + (r->seed >> 33) % end;
        assert_int_equal(dbk_log_read(r->log, position, &out, NULL, NULL), DBK_OK);
        make_entry(&want, replica_one, position, 100 + position, size_of_seq(position));
        assert_true(dbk_slice_equal(dbk_buffer_slice(&out), dbk_buffer_slice(&want)));
        snprintf(command, sizeof(command), "c%llu", (unsigned long long)position);
        assert_int_equal(dbk_log_find_command(r->log, dbk_slice_text(command), 0, &found, NULL), DBK_OK);
        assert_int_equal(found, position);
        assert_int_equal(dbk_log_cursor_open(r->log, position, 0, &cursor, NULL), DBK_OK);
        for (int i = 0; i < 50 && dbk_log_cursor_next(cursor, &found, NULL, &origin, NULL) == DBK_OK; i++) {
            assert_int_equal(found, position++);
        }
        dbk_log_cursor_close(cursor);
    }
    dbk_buffer_release(&out);
    dbk_buffer_release(&want);
}

/* Two threads read, look up and walk while the log grows through segments. */
static void test_threads(void **state)
{
    char path[] = "/tmp/dbk-log-XXXXXX", command[64];
    dbk_log_options options = small_options();
    const dbk_port *port = dbk_port_system();
    uint64_t stop = 0;
    dbk_thread *threads[2];
    dbk_log *log;
    dbk_dir *dir;

    (void)state;
    assert_non_null(mkdtemp(path));
    assert_int_equal(port->open_dir(port->ctx, NULL, path, 0, &dir), 0);
    options.no_background = false;
    assert_int_equal(dbk_log_create(port, dir, &options, NULL), DBK_OK);
    assert_int_equal(dbk_log_open(port, dir, &options, &log, NULL), DBK_OK);
    reading readers[2] = {{log, 1, &stop}, {log, 2, &stop}};
    for (int i = 0; i < 2; i++) {
        assert_int_equal(port->thread_start(port->ctx, "reader", read_beside, &readers[i], &threads[i]), 0);
    }
    for (int i = 0; i < 400; i++) assert_int_equal(append(log, 9), DBK_OK);
    __atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
    for (int i = 0; i < 2; i++) port->thread_join(port->ctx, threads[i]);
    dbk_log_close(log);
    port->close_dir(port->ctx, dir);
    snprintf(command, sizeof(command), "rm -rf %s", path);
    assert_int_equal(system(command), 0);
}

/* Verification names each kind of damage, at both depths, whatever else it finds. */
static void check_fault(world *w, const dbk_simdisk_image *image, dbk_result code)
{
    dbk_result seen[2] = {DBK_OK, code};
    dbk_log_watcher watcher = {.arg = seen, .fault = note_code};
    dbk_log_report report;

    w->dir = root_of(w->port);
    for (int depth = 0; depth < 2; depth++) {
        seen[0] = DBK_OK;
        assert_int_equal(dbk_log_verify(w->port, w->dir, &w->options, (dbk_verify_depth)depth, &watcher, &report, NULL),
                         DBK_OK);
        if (seen[0] != code) fail_msg("%s not found in %d faults", dbk_result_name(code), (int)report.faults);
    }
    w->port->close_dir(w->port->ctx, w->dir);
    w->dir = NULL;
    dbk_simdisk_clear_faults(w->disk);
    dbk_simdisk_restore(w->disk, image);
}

static void test_verify_kinds(void **state)
{
    static const char one[] = "log/0000000000000001.seg", two[] = "log/0000000000000002.seg",
                      three[] = "log/0000000000000003.seg", mark[] = "log/WATERMARK";
    uint8_t sector[512] = {1, 2, 3}, zeros[20480] = {0};
    world w;

    (void)state;
    if (!keep_plain) return; /* where the records lie; test_pack.c has those of the packed form */
    world_new(&w, 10);
    while (!dbk_simdisk_exists(w.disk, three)) assert_int_equal(append(w.log, 4), DBK_OK);
    world_close(&w);
    dbk_simdisk_image *image = dbk_simdisk_snapshot(w.disk);
    dbk_simdisk_flip_bit(w.disk, one, 5, 1);
    dbk_simdisk_flip_bit(w.disk, one, 4101, 1); /* both headers */
    check_fault(&w, image, DBK_CORRUPT);
    dbk_simdisk_swap(w.disk, one, two);
    check_fault(&w, image, DBK_DUPLICATE);
    dbk_simdisk_truncate(w.disk, two, 12288);
    check_fault(&w, image, DBK_CORRUPT);
    dbk_simdisk_remove(w.disk, one);
    check_fault(&w, image, DBK_GAP);
    dbk_simdisk_write(w.disk, one, 16384 - 512, sector, sizeof(sector)); /* behind the seal */
    check_fault(&w, image, DBK_CORRUPT);
    dbk_simdisk_write(w.disk, two, 8192, zeros, sizeof(zeros));
    check_fault(&w, image, DBK_LOST);
    dbk_simdisk_read(w.disk, one, 8704, sector, sizeof(sector)); /* a record of another place */
    dbk_simdisk_write(w.disk, one, 12288, sector, sizeof(sector));
    check_fault(&w, image, DBK_CORRUPT);
    dbk_simdisk_add_fault(w.disk, &(dbk_simdisk_fault){.kinds = DBK_SIM_READ, .path = "1.seg", .error = 5});
    check_fault(&w, image, DBK_IO);
    dbk_simdisk_add_fault(w.disk, &(dbk_simdisk_fault){.kinds = DBK_SIM_READ, .path = mark, .error = 5});
    check_fault(&w, image, DBK_IO);
    w.options.store_id[0] ^= 1;
    check_fault(&w, image, DBK_FOREIGN);
    w.options.store_id[0] ^= 1;
    dbk_simdisk_remove(w.disk, two);
    dbk_simdisk_remove(w.disk, three);
    check_fault(&w, image, DBK_GAP);
    world_free(&w);
}

/* The lock file: one holder, told by its process; a replaced file is seen. */
static void test_lock(void **state)
{
    dbk_lock *lock, *second;
    char text[64] = "";
    dbk_error err;
    world w;

    (void)state;
    world_new(&w, 11);
    assert_int_equal(dbk_lock_take(w.port, w.dir, "LOCK", &lock, &err), DBK_OK);
    assert_int_equal(dbk_lock_take(w.port, w.dir, "LOCK", &second, &err), DBK_LOCKED);
    assert_non_null(strstr(err.text, "process 1000"));
    dbk_simdisk_read(w.disk, "log/LOCK", 0, text, sizeof(text) - 1);
    assert_memory_equal(text, "1000 ", 5);
    assert_int_equal(dbk_lock_check(lock, NULL), DBK_OK);
    dbk_simdisk_remove(w.disk, "log/LOCK");
    assert_int_equal(dbk_lock_check(lock, NULL), DBK_POISONED);
    assert_int_equal(dbk_lock_take(w.port, w.dir, "LOCK", &second, &err), DBK_OK);
    assert_int_equal(dbk_lock_check(lock, NULL), DBK_POISONED);
    assert_int_equal(dbk_lock_check(second, NULL), DBK_OK);
    dbk_lock_release(second);
    dbk_lock_release(lock);
    dbk_lock_release(NULL);
    assert_int_equal(dbk_lock_take(w.port, w.dir, "LOCK", &lock, &err), DBK_OK);
    dbk_lock_release(lock);
    world_free(&w);
}

/* Each call under the taking of a lock fails: told, and nothing is held afterwards. */
static void test_lock_faults(void **state)
{
    world w;

    (void)state;
    world_new(&w, 12);
    for (dbk_simdisk_fault fault = {.kinds = DBK_SIM_IO | DBK_SIM_MEMORY, .times = 1, .error = 5};; fault.skip++) {
        dbk_lock *lock;
        dbk_simdisk_clear_faults(w.disk);
        dbk_simdisk_add_fault(w.disk, &fault);
        dbk_result rc = dbk_lock_take(w.port, w.dir, "LOCK", &lock, NULL);
        if (rc != DBK_OK) assert_null(lock);
        dbk_lock_release(lock);
        if (dbk_simdisk_fault_hits(w.disk) == 0) break;
        dbk_simdisk_clear_faults(w.disk);
        assert_int_equal(dbk_lock_take(w.port, w.dir, "LOCK", &lock, NULL), DBK_OK);
        dbk_lock_release(lock);
    }
    world_free(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_empty),       cmocka_unit_test(test_append_reopen), cmocka_unit_test(test_fold),
        cmocka_unit_test(test_lookup),      cmocka_unit_test(test_rotten_index),  cmocka_unit_test(test_heads),
        cmocka_unit_test(test_large),       cmocka_unit_test(test_reader),        cmocka_unit_test(test_second_writer),
        cmocka_unit_test(test_verify),      cmocka_unit_test(test_machine),       cmocka_unit_test(test_lock),
        cmocka_unit_test(test_lock_faults), cmocka_unit_test(test_threads),       cmocka_unit_test(test_verify_kinds),
    };
    return run_both_forms(tests);
}
