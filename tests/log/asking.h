/* All that a log can be asked, and what may be answered while calls fail; and the logs that are asked. */
#ifndef DBK_TEST_ASKING_H
#define DBK_TEST_ASKING_H

#include "golden.h"
#include "packed_fixture.h"

/* ROTTEN: of this writer, and a page of each index is damaged. DRAWN: its entries have the hashes of commands. */
/* DAMAGED: plain, and its segments are damaged in many ways. */
typedef enum form { OWN, FIRST_FORM, ROTTEN, DRAWN, DAMAGED } form;
static uint64_t entries;

/* Whether what is read may be other than what was written: then any failure tells of it. */
static bool anything_fails;

static bool is_told(dbk_result rc)
{
    if (anything_fails && rc < 0) return true;
    return rc == DBK_OK || rc == DBK_END || rc == DBK_NONE || rc == DBK_IO || rc == DBK_NO_MEMORY;
}

#define ask(call) assert_true(is_told(call))

/* Every other entry. */
static bool is_wanted(void *arg, uint64_t position, int64_t received_ms, const uint8_t key[DBK_ORDER_KEY_SIZE])
{
    (void)arg;
    (void)received_ms;
    (void)key;
    return position % 2;
}

static void ask_fold(dbk_log *log, dbk_log_wanted_fn wanted)
{
    uint64_t position, last = 0;
    dbk_log_fold *fold = NULL;
    dbk_slice origin;
    dbk_result rc = dbk_log_fold_open(log, 20, 0, wanted, NULL, &fold, NULL);

    while (rc == DBK_OK && (rc = dbk_log_fold_next(fold, &position, &origin, NULL)) == DBK_OK) {
        assert_true(position > last);
        last = position;
    }
    assert_true(is_told(rc) && rc != DBK_NONE);
    dbk_log_fold_close(fold);
}

static void ask_selection(dbk_log *log, const dbk_log_wish *wish)
{
    dbk_log_selection *selection;
    uint64_t position;
    dbk_slice origin;
    dbk_result rc = dbk_log_selection_open(log, wish, &selection, NULL);

    while (rc == DBK_OK) rc = dbk_log_selection_next(selection, &position, NULL, &origin, NULL);
    assert_true(is_told(rc) && rc != DBK_NONE);
    dbk_log_selection_close(selection);
}

static void check_entry(dbk_buffer *want, uint64_t position, dbk_slice origin)
{
    make_entry(want, replica_one, position, 100 + position, size_of_seq(position));
    if (!dbk_slice_equal(origin, dbk_buffer_slice(want))) fail_msg("another entry at position %d", (int)position);
}

static void ask_walk(dbk_log *log)
{
    dbk_log_cursor *cursor;
    dbk_buffer want;
    dbk_slice origin;
    uint64_t position, count = 0;
    dbk_result rc = dbk_log_cursor_open(log, 30, 0, &cursor, NULL);

    dbk_buffer_init(&want, dbk_port_system());
    while (rc == DBK_OK && (rc = dbk_log_cursor_next(cursor, &position, NULL, &origin, NULL)) == DBK_OK) {
        assert_int_equal(position, 30 + count++);
        check_entry(&want, position, origin);
    }
    assert_true(is_told(rc) && (rc != DBK_END || count + 29 == dbk_log_position(log)));
    dbk_log_cursor_close(cursor);
    dbk_buffer_release(&want);
}

static void ask_index(dbk_log *log)
{
    uint64_t position;
    dbk_entry_id id;
    int64_t received_ms;
    dbk_buffer out, want;

    dbk_buffer_init(&out, dbk_port_system());
    dbk_buffer_init(&want, dbk_port_system());
    for (uint64_t at = 1; at <= entries; at += 13) {
        dbk_result read = dbk_log_read(log, at, &out, &received_ms, NULL);
        assert_true(is_told(read));
        if (read == DBK_OK) check_entry(&want, at, dbk_buffer_slice(&out));
        ask(dbk_log_entry_id_at(log, at, &id, NULL));
    }
    dbk_error err = {0};
    dbk_result rc = dbk_log_find_stream(log, dbk_slice_text("note/3"), 50, &position, &err);
    assert_true(rc >= 0 || err.text[0]);
    assert_true(rc == DBK_OK ? position == 43 : is_told(rc));
    rc = dbk_log_find_command(log, dbk_slice_text("c7"), 0, &position, NULL);
    assert_true(rc == DBK_OK ? position == 7 : is_told(rc));
    ask(dbk_log_find_received(log, FIRST_MS + 40, &position, NULL));
    memcpy(id.replica, replica_one, 16);
    id = (dbk_entry_id){.incarnation = 1, .seq = 9};
    memcpy(id.replica, replica_one, 16);
    rc = dbk_log_find_entry(log, &id, &position, NULL);
    assert_true(rc == DBK_OK ? position == 9 : is_told(rc));
    dbk_buffer_release(&out);
    dbk_buffer_release(&want);
}

/* All entries have a key of their own order, so that those below one are as many as its position says. */
static void ask_order(dbk_log *log)
{
    uint8_t key[DBK_ORDER_KEY_SIZE], store_id[16], lineage[16];
    uint64_t position;
    dbk_entry entry;
    dbk_buffer out;

    dbk_log_ids(log, store_id, lineage);
    assert_true(store_id[0] == 7 && lineage[0] == 9);
    dbk_buffer_init(&out, dbk_port_system());
    for (uint64_t at = 1; at <= entries + 1; at += 26) {
        make_entry(&out, replica_one, at, 100 + at, 40);
        assert_int_equal(dbk_entry_decode(dbk_buffer_slice(&out), &entry, NULL), DBK_OK);
        dbk_entry_order_key(&entry, key);
        dbk_result rc = dbk_log_all_below(log, key, &position, NULL);
        assert_true(rc == DBK_OK ? position <= at - 1 : is_told(rc));
    }
    dbk_buffer_release(&out);
}

static void ask_proofs(dbk_log *log)
{
    static dbk_inclusion inclusion;
    static dbk_extension extension;
    uint8_t head[DBK_LEAF_SIZE];

    ask(dbk_log_head_at(log, 61, head, NULL));
    static dbk_range range;
    ask(dbk_log_range_at(log, 61, &range, NULL));
    assert_int_equal(dbk_log_range_at(log, dbk_log_position(log) + 1, &range, NULL), DBK_NONE);
    dbk_result rc = dbk_log_prove(log, 17, 100, &inclusion, NULL);
    assert_true(rc == DBK_OK ? dbk_inclusion_holds(&inclusion) : is_told(rc));
    rc = dbk_log_prove_extension(log, 40, 0, &extension, NULL);
    assert_true(rc == DBK_OK ? dbk_extension_holds(&extension) : is_told(rc));
}

static dbk_result take_entry(void *arg, uint64_t position, int64_t received_ms, dbk_slice origin, dbk_error *err)
{
    (void)arg;
    (void)position;
    (void)received_ms;
    (void)origin;
    (void)err;
    return DBK_OK;
}

static void ask_folder(world *w)
{
    dbk_log_watcher watcher = {.entry = take_entry};
    dbk_log_report report;
    uint8_t store_id[16], lineage[16];

    dbk_result rc = dbk_log_verify(w->port, w->dir, &w->options, DBK_VERIFY_PROOF, &watcher, &report, NULL);
    assert_true(is_told(rc));
    if (rc == DBK_OK && report.faults == 0) assert_int_equal(report.entries, entries);
    rc = dbk_log_identify(w->port, w->dir, store_id, lineage, NULL);
    assert_true(is_told(rc) || rc == DBK_MISSING);
}

static void ask_all(world *w, bool writer)
{
    const dbk_log_wish wishes[] = {{.stream = dbk_slice_text("note/3")},
                                   {.stream = dbk_slice_text("note/3"), .reverse = true, .since_ms = FIRST_MS + 20},
                                   {.type = dbk_slice_text("note.put"), .first = 90},
                                   {.type = dbk_slice_text("note.none"), .reverse = true}};
    dbk_log_options options = w->options;
    dbk_log_report report;

    options.read_only = !writer;
    dbk_result rc = dbk_log_open(w->port, w->dir, &options, &w->log, NULL);
    assert_true(is_told(rc) && rc <= 0);
    if (rc == DBK_OK) {
        ask_fold(w->log, NULL);
        ask_fold(w->log, is_wanted);
        for (size_t i = 0; i < sizeof(wishes) / sizeof(*wishes); i++) ask_selection(w->log, &wishes[i]);
        ask_walk(w->log);
        ask_index(w->log);
        ask_proofs(w->log);
        ask_order(w->log);
        ask(dbk_log_stats(w->log, &report, NULL));
        if (!writer) ask(dbk_log_refresh(w->log, NULL));
        dbk_log_close(w->log);
        w->log = NULL;
    }
    if (!writer) ask_folder(w);
}

static void lose_table(world *w)
{
    static const char path[] = "log/0000000000000002.seg";
    assert_int_equal(dbk_simdisk_flip_bit(w->disk, path, pack_head_of(w, path).table_offset + 3, 3), 0);
    (void)dbk_simdisk_remove(w->disk, "log/CATALOG");
}

static void rot_caches(world *w)
{
    static const struct {
        const char *path;
        uint64_t at;
    } bits[] = {{"log/CHECKPOINT", 4096 + 50},
                {"log/CHECKPOINT", 8192 + 10},
                {"log/0000000000000001.idx", 4096 + 50},
                {"log/0000000000000002.idx", 8192 + 10}};

    for (size_t i = 0; i < sizeof(bits) / sizeof(*bits); i++)
        assert_int_equal(dbk_simdisk_flip_bit(w->disk, bits[i].path, bits[i].at, 2), 0);
}

/* A record, and one of another segment behind it; both headers and the first record; behind the seal. */
static void damage_plain(world *w)
{
    static const char second[] = "log/0000000000000002.seg", third[] = "log/0000000000000003.seg";
    uint8_t other[512];

    assert_int_equal(dbk_simdisk_flip_bit(w->disk, second, 9000, 2), 0);
    for (uint64_t at = 8192; at < 16384; at += 512) {
        assert_int_equal(dbk_simdisk_read(w->disk, "log/0000000000000001.seg", at, other, sizeof(other)), 512);
        if (dbk_load_u32(other) == 0xdbb00c52 && at > 9500 && at < 11000)
            assert_int_equal(dbk_simdisk_write(w->disk, second, at, other, sizeof(other)), 0);
    }
    dbk_simdisk_write(w->disk, second, (uint64_t)dbk_simdisk_size(w->disk, second) - 9, "x", 1);
    dbk_simdisk_write(w->disk, "log/0000000000000001.seg", 16384 - 9, "x", 1);
    for (uint64_t at = 20; at < 13000; at += at < 8000 ? 4096 : 131) dbk_simdisk_flip_bit(w->disk, third, at, 1);
}

static void make(world *w, form of, bool lost)
{
    with_hashes = of == DRAWN;
    if (of == FIRST_FORM) {
        put_golden(w, &goldens[RUNS]);
        w->port->close_dir(w->port->ctx, w->dir);
        entries = RUN_BATCHES * GOLDEN_BATCH;
    } else {
        world_new(w, 81);
        for (int i = 0; i < 33; i++) assert_int_equal(append(w->log, 4), DBK_OK);
        assert_true(w->log->segment_count >= 3);
        entries = dbk_log_position(w->log);
        world_close(w);
    }
    if (of == ROTTEN) rot_caches(w);
    if (of == DAMAGED) damage_plain(w);
    if (lost) lose_table(w);
    w->dir = NULL;
}

#endif
