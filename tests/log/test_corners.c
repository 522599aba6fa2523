/* What is seldom asked or met: nothing to answer with, keys that are equal or out of order, numbers of segments beyond all
 * bounds, a lock that is replaced again and again, sectors larger than a unit. */
#include <errno.h>

#include "log_fixture.h"

#include "log/internal.h"
#include "log/load.h"

static void append_at(dbk_log *log, uint64_t seq, uint64_t hlc)
{
    dbk_buffer buffer;

    dbk_buffer_init(&buffer, dbk_port_system());
    make_entry(&buffer, replica_one, seq, hlc, 40);
    dbk_slice origin = dbk_buffer_slice(&buffer);
    assert_int_equal(dbk_log_append(log, &origin, 1, FIRST_MS, NULL, NULL), DBK_OK);
    dbk_buffer_release(&buffer);
}

static void key_at(uint64_t seq, uint64_t hlc, uint8_t key[DBK_ORDER_KEY_SIZE])
{
    dbk_buffer buffer;
    dbk_entry entry;

    dbk_buffer_init(&buffer, dbk_port_system());
    make_entry(&buffer, replica_one, seq, hlc, 40);
    assert_int_equal(dbk_entry_decode(dbk_buffer_slice(&buffer), &entry, NULL), DBK_OK);
    dbk_entry_order_key(&entry, key);
    dbk_buffer_release(&buffer);
}

static bool is_never_wanted(void *arg, uint64_t position, int64_t received_ms, const uint8_t key[DBK_ORDER_KEY_SIZE])
{
    (void)arg, (void)position, (void)received_ms, (void)key;
    return false;
}

/* Entries that came out of order, some of them twice: folded by their keys, then by their positions. */
static void test_out_of_order(void **state)
{
    uint8_t key[DBK_ORDER_KEY_SIZE];
    uint64_t position, below, seen = 0;
    dbk_log_fold *fold;
    dbk_slice origin;
    world w;

    (void)state;
    world_new(&w, 3);
    for (uint64_t i = 1; i <= 200; i++) append_at(w.log, i * 7 % 50, 100 + i * 7 % 50);
    assert_true(w.log->segment_count >= 3);
    assert_false(dbk_log_is_ordered(w.log));
    assert_int_equal(dbk_log_fold_open(w.log, 0, 9999, NULL, NULL, &fold, NULL), DBK_OK);
    assert_int_equal(dbk_log_fold_count(fold), 200);
    uint8_t last[DBK_ORDER_KEY_SIZE] = {0};
    for (uint64_t before = 0; dbk_log_fold_next(fold, seen % 2 ? &position : NULL, &origin, NULL) == DBK_OK; seen++) {
        dbk_entry entry;
        assert_int_equal(dbk_entry_decode(origin, &entry, NULL), DBK_OK);
        dbk_entry_order_key(&entry, key);
        assert_true(memcmp(key, last, sizeof(key)) >= 0);
        if (memcmp(key, last, sizeof(key)) > 0) before = 0;
        if (seen % 2) assert_true(position > before);
        if (seen % 2) before = position;
        memcpy(last, key, sizeof(key));
    }
    assert_int_equal(seen, 200);
    dbk_log_fold_close(fold);
    assert_int_equal(dbk_log_fold_open(w.log, 0, 0, is_never_wanted, NULL, &fold, NULL), DBK_OK);
    assert_int_equal(dbk_log_fold_count(fold), 0);
    assert_int_equal(dbk_log_fold_next(fold, &position, &origin, NULL), DBK_END);
    dbk_log_fold_close(fold);
    assert_int_equal(dbk_log_fold_open(w.log, 200, 0, NULL, NULL, &fold, NULL), DBK_OK);
    assert_int_equal(dbk_log_fold_next(fold, &position, &origin, NULL), DBK_END);
    dbk_log_fold_close(fold);
    for (uint64_t hlc = 99; hlc < 152; hlc++) {
        key_at(1, hlc, key);
        assert_int_equal(dbk_log_all_below(w.log, key, &below, NULL), DBK_OK);
        for (uint64_t at = 1; at <= below; at++) assert_true(100 + at * 7 % 50 <= hlc);
    }
    key_at(99, 999, key);
    assert_int_equal(dbk_log_all_below(w.log, key, &below, NULL), DBK_OK);
    assert_int_equal(below, 200);
    world_free(&w);
}

/* Segments without entries, as a log begins with, and bounds of 0. */
static void test_nothing_there(void **state)
{
    uint8_t key[DBK_ORDER_KEY_SIZE] = {0}, head[DBK_LEAF_SIZE];
    dbk_log_cursor *cursor;
    dbk_log_report report;
    uint64_t position;
    dbk_slice origin;
    world w;

    (void)state;
    world_new(&w, 4);
    assert_int_equal(dbk_log_begin(w.log, NULL), DBK_OK);
    assert_int_equal(dbk_log_begin(w.log, NULL), DBK_OK);
    for (int filled = 0; filled < 2; filled++) {
        assert_int_equal(dbk_log_all_below(w.log, key, &position, NULL), DBK_OK);
        assert_int_equal(position, 0);
        assert_int_equal(dbk_log_head_at(w.log, 0, head, NULL), DBK_OK);
        assert_int_equal(dbk_log_head_at(w.log, 999, head, NULL), DBK_NONE);
        assert_int_equal(dbk_log_cursor_open(w.log, 0, 0, &cursor, NULL), DBK_OK);
        assert_int_equal(dbk_log_cursor_next(cursor, &position, NULL, &origin, NULL), filled ? DBK_OK : DBK_END);
        dbk_log_cursor_close(cursor);
        assert_int_equal(dbk_log_stats(w.log, &report, NULL), DBK_OK);
        assert_int_equal(report.entries, filled ? 4 : 0);
        assert_int_equal(append(w.log, 4), DBK_OK);
    }
    world_close(&w);
    w.options.read_only = true;
    assert_int_equal(world_open(&w, NULL), DBK_OK);
    assert_int_equal(dbk_log_begin(w.log, NULL), DBK_OK);
    dbk_pack_kick(w.log); /* packs nothing */
    assert_int_equal(dbk_log_position(w.log), 8);
    world_free(&w);
    dbk_log_leave(NULL);
    dbk_log_close(NULL);
}

/* A file whose number no log ever had: refused, and nothing of its size is asked for. */
static void test_numbers_beyond_bounds(void **state)
{
    static const char *const names[] = {"log/0000000000200001.seg", "log/0000000001000001.seg",
                                        "log/ffffffffffffffff.seg"};
    dbk_mend_watcher watcher = {0};
    dbk_log_report report;
    uint64_t mended;
    dbk_dir *copy;
    world w;

    (void)state;
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
        dbk_error err = {0};
        world_new(&w, 5);
        assert_int_equal(append(w.log, 4), DBK_OK);
        world_close(&w);
        assert_int_equal(dbk_simdisk_copy(w.disk, "log/0000000000000001.seg", names[i]), 0);
        w.dir = root_of(w.port);
        assert_int_equal(w.port->open_dir(w.port->ctx, NULL, "copy", DBK_OPEN_DIRECTORY, &copy), 0);
        assert_int_equal(dbk_log_mend(w.port, w.dir, copy, &w.options, &watcher, &mended, &err), DBK_CORRUPT);
        if (i) {
            dbk_result rc = dbk_log_verify(w.port, w.dir, &w.options, DBK_VERIFY_CHECKSUMS, NULL, &report, &err);
            assert_int_equal(rc, DBK_CORRUPT);
        }
        w.port->close_dir(w.port->ctx, copy);
        assert_true(dbk_log_open(w.port, w.dir, &w.options, &w.log, &err) < 0);
        w.log = NULL;
        world_free(&w);
    }
}

/* Of a log there is the watermark alone, or nothing. */
static void test_watermark_alone(void **state)
{
    dbk_mend_watcher watcher = {0};
    uint8_t store_id[16], lineage[16];
    dbk_log_report report;
    uint64_t mended;
    dbk_dir *copy;
    world w;

    (void)state;
    world_new(&w, 6);
    assert_int_equal(append(w.log, 4), DBK_OK);
    world_close(&w);
    for (unsigned n = 1; n < 4; n++) {
        char path[64];
        snprintf(path, sizeof(path), "log/%016x.seg", n);
        (void)dbk_simdisk_remove(w.disk, path);
    }
    w.dir = root_of(w.port);
    assert_int_equal(w.port->open_dir(w.port->ctx, NULL, "copy", DBK_OPEN_DIRECTORY, &copy), 0);
    assert_int_equal(dbk_log_verify(w.port, w.dir, &w.options, DBK_VERIFY_PROOF, NULL, &report, NULL), DBK_OK);
    assert_true(report.faults > 0);
    assert_int_equal(dbk_log_identify(w.port, w.dir, store_id, lineage, NULL), DBK_OK);
    assert_memory_equal(store_id, w.options.store_id, 16);
    for (int again = 0; again < 2; again++) {
        assert_int_equal(dbk_log_mend(w.port, w.dir, copy, &w.options, &watcher, &mended, NULL), DBK_OK);
        assert_int_equal(mended, 0);
        (void)dbk_simdisk_remove(w.disk, "log/WATERMARK");
    }
    assert_int_equal(dbk_log_verify(w.port, w.dir, &w.options, DBK_VERIFY_PROOF, NULL, &report, NULL), DBK_MISSING);
    assert_int_equal(dbk_log_identify(w.port, w.dir, store_id, lineage, NULL), DBK_MISSING);
    w.port->close_dir(w.port->ctx, copy);
    world_free(&w);
}

/* A segment was ended before any entry came: what is asked passes it by. And names that are empty. */
static void test_empty_segment(void **state)
{
    uint64_t position;
    dbk_entry_id id;
    world w;

    (void)state;
    world_new(&w, 14);
    assert_int_equal(append_sized(w.log, 3, 60000, NULL), DBK_OK); /* more than the first one has room for */
    assert_true(w.log->segments[0]->last_position < w.log->segments[0]->first_position);
    for (int i = 0; i < 60; i++) assert_int_equal(append(w.log, 4), DBK_OK);
    for (int reader = 0; reader < 2; reader++) {
        world_close(&w);
        w.options.read_only = reader;
        assert_int_equal(world_open(&w, NULL), DBK_OK);
        assert_int_equal(dbk_log_find_stream(w.log, dbk_slice_text("none"), 0, &position, NULL), DBK_OK);
        assert_int_equal(position, 0);
        assert_int_equal(dbk_log_find_stream(w.log, dbk_slice_of(NULL, 0), 0, &position, NULL), DBK_OK);
        assert_int_equal(position, 0);
        assert_int_equal(dbk_log_find_command(w.log, dbk_slice_text("c1"), 0, &position, NULL), DBK_OK);
        assert_int_equal(position, 1);
        assert_int_equal(dbk_log_entry_id_at(w.log, 1, &id, NULL), DBK_OK);
        id.seq = 999999;
        assert_int_equal(dbk_log_find_entry(w.log, &id, &position, NULL), DBK_OK);
        assert_int_equal(position, 0);
        if (!reader) assert_int_equal(dbk_log_next_seq(w.log, replica_one, 1), dbk_log_position(w.log) + 1);
    }
    world_close(&w);
    w.options.read_only = false;
    assert_true(dbk_simdisk_exists(w.disk, "log/0000000000000001-0000000000000004.run"));
    dbk_simdisk_image *image = dbk_simdisk_snapshot(w.disk);
    dbk_simdisk_fault fault = {.kinds = DBK_SIM_MEMORY, .times = 1};
    for (bool hit = true; hit; fault.skip++) { /* the index of it and its neighbours is made anew */
        dbk_simdisk_restore(w.disk, image);
        dbk_simdisk_flip_bit(w.disk, "log/0000000000000001-0000000000000004.run", 4096 + 50, 1);
        assert_int_equal(world_open(&w, NULL), DBK_OK);
        assert_int_equal(dbk_log_find_stream(w.log, dbk_slice_text("note/3"), 7, &position, NULL), DBK_OK);
        dbk_simdisk_add_fault(w.disk, &fault);
        (void)!dbk_log_idle(w.log, NULL);
        hit = dbk_simdisk_fault_hits(w.disk) > 0;
        dbk_simdisk_clear_faults(w.disk);
        assert_int_equal(dbk_log_find_command(w.log, dbk_slice_text("c1"), 0, &position, NULL), DBK_OK);
        assert_int_equal(position, 1);
        world_close(&w);
    }
    world_free(&w);
}

/* ---- authors */

static dbk_result append_of(dbk_log *log, uint8_t replica, uint32_t incarnation, uint64_t seq, dbk_error *err)
{
    dbk_event event = {.type = dbk_slice_text("note.put"), .stream = dbk_slice_text("note/1"), .type_version = 1};
    dbk_entry entry = {.id = {.replica = {replica, 1}, .incarnation = incarnation, .seq = seq},
                       .epoch = 1,
                       .hlc = 200 + dbk_log_position(log),
                       .event_count = 1};
    char command[40];

    snprintf(command, sizeof(command), "c%d/%d/%d", replica, (int)incarnation, (int)seq);
    if (incarnation != 2) entry.command_id = dbk_slice_text(command); /* one writes without names */
    else event.stream = dbk_slice_of(NULL, 0);
    return append_event(log, &entry, &event, err);
}

/* More authors than there was room for at first, of which some share an incarnation and some a replica: each goes on
 * behind its own last entry, also where memory ends while they are counted. */
static void test_authors(void **state)
{
    enum { REPLICAS = 6, INCARNATIONS = 4 };
    uint64_t position, all = 0;
    world w;

    (void)state;
    world_new(&w, 15);
    for (uint64_t seq = 1; w.log->segment_count < 4; seq++) {
        for (uint8_t r = 1; r <= REPLICAS; r++) {
            for (uint32_t i = 1; i <= INCARNATIONS; i++) assert_int_equal(append_of(w.log, r, i, seq, NULL), DBK_OK);
        }
        all = seq;
    }
    world_close(&w);
    for (int reader = 0; reader < 2; reader++) {
        dbk_simdisk_fault fault = {.kinds = DBK_SIM_MEMORY, .times = 1};
        w.options.read_only = reader;
        for (bool hit = true; hit; fault.skip++) {
            dbk_simdisk_add_fault(w.disk, &fault);
            dbk_result rc = world_open(&w, NULL);
            hit = dbk_simdisk_fault_hits(w.disk) > 0;
            dbk_simdisk_clear_faults(w.disk);
            assert_true(rc == DBK_OK || rc == DBK_NO_MEMORY);
            for (uint8_t r = 1; r <= REPLICAS && rc == DBK_OK; r++) {
                uint8_t replica[16] = {r, 1};
                for (uint32_t i = 1; i <= INCARNATIONS; i++)
                    assert_int_equal(dbk_log_next_seq(w.log, replica, i), all + 1);
            }
            world_close(&w);
        }
    }
    w.options.read_only = false;
    assert_int_equal(world_open(&w, NULL), DBK_OK);
    dbk_log_report report;
    assert_int_equal(dbk_log_verify(w.port, w.dir, &w.options, DBK_VERIFY_PROOF, NULL, &report, NULL), DBK_OK);
    assert_int_equal(report.faults, 0);
    dbk_entry_id last = {.replica = {REPLICAS, 1}, .incarnation = INCARNATIONS, .seq = all};
    assert_int_equal(dbk_log_find_entry(w.log, &last, &position, NULL), DBK_OK);
    assert_int_equal(position, dbk_log_position(w.log));
    uint8_t replica[16] = {REPLICAS, 1};
    w.log->state.position--; /* as if the batch with it were under way */
    assert_int_equal(dbk_log_find_entry(w.log, &last, &position, NULL), DBK_OK);
    assert_int_equal(position, 0);
    assert_int_equal(dbk_log_next_seq(w.log, replica, INCARNATIONS), all);
    w.log->state.position++;
    world_free(&w);
}

/* ---- locks */

static const dbk_port *inner;
static int replaced, links, identify_fails, boot_fails;

static int identify_another(void *ctx, dbk_dir *dir, const char *name, dbk_identity *out)
{
    if (identify_fails) return -identify_fails;
    int rc = inner->identify(ctx, dir, name, out);
    if (rc == 0 && replaced > 0) replaced--, out->inode += 1000;
    return rc;
}

static int identify_unlinked(void *ctx, dbk_file *file, dbk_identity *out)
{
    int rc = inner->identify_file(ctx, file, out);

    if (rc == 0 && links == 0) out->links = 0;
    if (rc == 0 && links < 0) out->device++;
    return rc;
}

static int no_boot(void *ctx, char out[37])
{
    if (!boot_fails) return inner->boot_id(ctx, out);
    out[0] = '\0';
    return -EACCES;
}

/* The file is another one each time that its name is looked at; or cannot be looked at; or has no name any more. */
static void test_locks(void **state)
{
    dbk_lock *lock = NULL, *second = NULL;
    dbk_error err = {0};
    dbk_port port;
    world w;

    (void)state;
    world_new(&w, 7);
    inner = w.port;
    port = *w.port;
    port.identify = identify_another;
    port.identify_file = identify_unlinked;
    port.boot_id = no_boot;
    links = 1;
    replaced = 3;
    assert_int_equal(dbk_lock_take(&port, w.dir, "L", &lock, &err), DBK_OK);
    assert_int_equal(dbk_lock_check(lock, &err), DBK_OK);
    identify_fails = EIO;
    assert_int_equal(dbk_lock_check(lock, &err), DBK_IO);
    identify_fails = ENOENT;
    assert_int_equal(dbk_lock_check(lock, &err), DBK_POISONED);
    identify_fails = 0;
    links = 0;
    assert_int_equal(dbk_lock_check(lock, &err), DBK_POISONED);
    links = -1;
    assert_int_equal(dbk_lock_check(lock, &err), DBK_POISONED);
    links = 1;
    assert_int_equal(dbk_lock_take(&port, w.dir, "L", &second, &err), DBK_LOCKED);
    assert_non_null(strstr(err.text, "held by process"));
    boot_fails = 1; /* it may be of another machine then */
    assert_int_equal(dbk_lock_take(&port, w.dir, "L", &second, &err), DBK_LOCKED);
    assert_non_null(strstr(err.text, "another machine"));
    assert_int_equal(dbk_simdisk_write(w.disk, "log/L", 0, "? ?", 3), 0);
    assert_int_equal(dbk_lock_take(&port, w.dir, "L", &second, &err), DBK_LOCKED);
    assert_non_null(strstr(err.text, "another process holds it"));
    dbk_lock_release(lock);
    assert_int_equal(dbk_lock_take(&port, w.dir, "L", &lock, &err), DBK_OK); /* without an id of the boot */
    dbk_lock_release(lock);
    boot_fails = 0;
    replaced = 1000;
    assert_int_equal(dbk_lock_take(&port, w.dir, "L", &lock, &err), DBK_LOCKED);
    assert_non_null(strstr(err.text, "again and again"));
    assert_null(lock);
    world_free(&w);
}

/* ---- writes */

/* Sectors that are larger than any unit of a log: written without O_DIRECT. */
static void test_large_sectors(void **state)
{
    world w = {0};

    (void)state;
    w.disk = dbk_simdisk_new(8);
    w.port = dbk_simdisk_port(w.disk);
    w.options = small_options();
    dbk_simdisk_world_of(w.disk)->sector_bytes = 65536;
    w.dir = root_of(w.port);
    assert_int_equal(dbk_log_create(w.port, w.dir, &w.options, NULL), DBK_OK);
    assert_int_equal(world_open(&w, NULL), DBK_OK);
    assert_false(w.log->direct);
    for (int i = 0; i < 20; i++) assert_int_equal(append(w.log, 4), DBK_OK);
    check_entries(w.log, 0);
    world_reopen(&w);
    check_entries(w.log, 0);
    world_free(&w);
}

/* Large batches find no room, and what they left is cleared, up to the segment's end. */
static void test_large_without_room(void **state)
{
    dbk_simdisk_fault full = {.kinds = DBK_SIM_WRITE, .path = ".seg", .error = ENOSPC, .times = 1};
    world w = {0};

    (void)state;
    for (int no_direct = 0; no_direct < 2; no_direct++) {
        memset(&w, 0, sizeof(w));
        w.disk = dbk_simdisk_new(9);
        w.port = dbk_simdisk_port(w.disk);
        w.options = small_options();
        w.options.no_direct = no_direct;
        w.options.segment_first_bytes = w.options.segment_max_bytes = 262144;
        w.dir = root_of(w.port);
        assert_int_equal(dbk_log_create(w.port, w.dir, &w.options, NULL), DBK_OK);
        assert_int_equal(world_open(&w, NULL), DBK_OK);
        for (int i = 0; i < 8; i++) {
            full.skip = (uint64_t)i % 2;
            dbk_simdisk_add_fault(w.disk, &full);
            dbk_result rc = append_sized(w.log, 3, 30000 + 2000 * (size_t)i, NULL);
            assert_true(rc == DBK_OK || rc == DBK_NO_SPACE);
            dbk_simdisk_clear_faults(w.disk);
            uint64_t position = dbk_log_position(w.log);
            assert_int_equal(append_sized(w.log, 1, 100, NULL), DBK_OK);
            assert_int_equal(dbk_log_position(w.log), position + 1);
        }
        uint64_t all = dbk_log_position(w.log);
        world_reopen(&w);
        assert_int_equal(dbk_log_position(w.log), all);
        assert_true(dbk_log_was_clean(w.log));
        world_free(&w);
    }
}

/* The file system takes no direct write after all, and then no second open: the next append tries that again. */
static void test_opened_later(void **state)
{
    dbk_simdisk_fault refused = {.kinds = DBK_SIM_WRITE, .path = ".seg", .error = EINVAL, .times = 1},
                      closed = {.kinds = DBK_SIM_OPEN, .path = ".seg", .error = EMFILE, .times = 2};
    world w;

    (void)state;
    world_new(&w, 10);
    assert_int_equal(append(w.log, 4), DBK_OK);
    assert_true(w.log->direct);
    dbk_simdisk_add_fault(w.disk, &refused);
    dbk_simdisk_add_fault(w.disk, &closed);
    assert_int_equal(append(w.log, 4), DBK_NO_FILES);
    assert_int_equal(append(w.log, 4), DBK_NO_FILES);
    assert_int_equal(append(w.log, 4), DBK_OK);
    assert_false(w.log->direct);
    check_entries(w.log, 0);
    world_reopen(&w);
    assert_int_equal(dbk_log_position(w.log), 8);
    world_free(&w);
}

/* The file that was prepared is of another size than the next one is to have: it is made anew. */
static void test_prepared_of_another_size(void **state)
{
    world w;

    (void)state;
    world_new(&w, 11);
    assert_int_equal(append(w.log, 4), DBK_OK);
    world_close(&w);
    w.options.segment_first_bytes = w.options.segment_max_bytes = 16384;
    assert_int_equal(world_open(&w, NULL), DBK_OK);
    for (int i = 0; i < 30; i++) assert_int_equal(append(w.log, 6), DBK_OK);
    assert_int_equal(w.log->segments[1]->header.size, 16384);
    check_entries(w.log, 0);
    assert_int_equal(append_sized(w.log, 3, 60000, NULL), DBK_OK); /* more than a segment has */
    world_free(&w);
}

/* A segment is prepared and cannot be begun; the batch that comes then is larger than it. */
static void test_prepared_too_small(void **state)
{
    dbk_simdisk_fault full = {
        .kinds = DBK_SIM_WRITE, .path = ".seg", .error = ENOSPC, .skip = 1, .times = 1}; /* behind the seal */
    world w;

    (void)state;
    world_new(&w, 12);
    uint64_t before = 0;
    for (int i = 0; i < 60 && !w.log->pending; i++) {
        dbk_simdisk_add_fault(w.disk, &full);
        dbk_result rc = append(w.log, 2);
        assert_true(rc == DBK_OK || rc == DBK_NO_SPACE);
        dbk_simdisk_clear_faults(w.disk);
        if (w.log->pending) break;
        assert_int_equal(append(w.log, 2), DBK_OK);
    }
    assert_non_null(w.log->pending);
    assert_int_equal(dbk_checkpoint_save(w.log, true, NULL), DBK_OK); /* of an ended segment there is none */
    before = dbk_log_position(w.log);
    assert_int_equal(append_sized(w.log, 2, 60000, NULL), DBK_OK);
    assert_int_equal(dbk_log_position(w.log), before + 2);
    assert_int_equal(append(w.log, 3), DBK_OK);
    world_reopen(&w);
    assert_int_equal(dbk_log_position(w.log), before + 5);
    world_free(&w);
}

static unsigned undecodable;

static void on_fault(void *arg, const dbk_log_fault *fault)
{
    uint64_t position = *(uint64_t *)arg;

    undecodable += fault->first_position == position && fault->last_position == position;
}

static dbk_result on_entry(void *arg, uint64_t position, int64_t received_ms, dbk_slice origin, dbk_error *err)
{
    (void)received_ms, (void)origin, (void)err;
    assert_int_not_equal(position, *(uint64_t *)arg);
    return DBK_OK;
}

/* A record that is sound, follows, and has the right head, and whose entry is none: verification names its position. */
static void test_entry_that_is_none(void **state)
{
    uint8_t bytes[1024] = {0}, leaf[DBK_LEAF_SIZE];
    dbk_record record = {.type = DBK_RECORD_ENTRIES, .count = 1, .payload_bytes = 54};
    uint64_t position;
    dbk_log_watcher watcher = {.arg = &position, .fault = on_fault, .entry = on_entry};
    dbk_log_report report;
    char path[64];
    world w;

    (void)state;
    world_new(&w, 13);
    assert_int_equal(append(w.log, 4), DBK_OK);
    position = dbk_log_position(w.log) + 1;
    const dbk_segment *active = dbk_log_active(w.log);
    snprintf(path, sizeof(path), "log/%s", active->name);
    memset(bytes + DBK_RECORD_HEADER_SIZE, 0xee, 54);
    dbk_store_u32(bytes + DBK_RECORD_HEADER_SIZE, 50);
    dbk_entry_leaf(dbk_slice_of(bytes + DBK_RECORD_HEADER_SIZE + 4, 50), leaf);
    dbk_range range = w.log->state.range;
    dbk_range_add(&range, leaf);
    dbk_range_head(&range, record.head);
    record.first_position = position;
    record.durable_upto = position - 1;
    record.received_ms = FIRST_MS + 100;
    record.previous = w.log->state.previous;
    record.segment = active->header.number;
    record.salt = active->header.salt;
    record.offset = active->end;
    uint64_t size = dbk_record_bytes(record.payload_bytes, active->header.unit);
    dbk_record_finish(&record, w.options.store_id, bytes, size);
    world_close(&w);
    assert_int_equal(dbk_simdisk_write(w.disk, path, record.offset, bytes, size), 0);
    w.dir = root_of(w.port);
    undecodable = 0;
    assert_int_equal(dbk_log_verify(w.port, w.dir, &w.options, DBK_VERIFY_PROOF, &watcher, &report, NULL), DBK_OK);
    assert_int_equal(undecodable, 1);
    undecodable = 0; /* without the proof it is noticed when it is handed on */
    assert_int_equal(dbk_log_verify(w.port, w.dir, &w.options, DBK_VERIFY_CHECKSUMS, &watcher, &report, NULL), DBK_OK);
    assert_int_equal(undecodable, 1);
    assert_true(dbk_log_open(w.port, w.dir, &w.options, &w.log, NULL) < 0);
    w.log = NULL;
    world_free(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_out_of_order),
        cmocka_unit_test(test_nothing_there),
        cmocka_unit_test(test_numbers_beyond_bounds),
        cmocka_unit_test(test_watermark_alone),
        cmocka_unit_test(test_empty_segment),
        cmocka_unit_test(test_authors),
        cmocka_unit_test(test_locks),
        cmocka_unit_test(test_large_sectors),
        cmocka_unit_test(test_large_without_room),
        cmocka_unit_test(test_opened_later),
        cmocka_unit_test(test_prepared_of_another_size),
        cmocka_unit_test(test_prepared_too_small),
        cmocka_unit_test(test_entry_that_is_none),
    };

    return run_both_forms(tests);
}
