/* A log whose files say what is not so, under checksums that are right, and what may become of who asks it then. */
#ifndef DBK_TEST_LIES_H
#define DBK_TEST_LIES_H

#include "log_fixture.h"

#include "log/cells.h"
#include "log/internal.h"

enum { LARGEST_BYTES = 4 * 1024 * 1024, BATCHES = 44, BATCH = 5 };

/* A port that notes the largest piece of memory asked for. */
static const dbk_port *inner;
static size_t largest;

static inline void *note_alloc(void *ctx, size_t size)
{
    if (size > largest) largest = size;
    return inner->alloc(ctx, size);
}
static inline void *note_resize(void *ctx, void *memory, size_t size)
{
    if (size > largest) largest = size;
    return inner->resize(ctx, memory, size);
}
static inline void *note_aligned(void *ctx, size_t alignment, size_t size)
{
    if (size > largest) largest = size;
    return inner->alloc_aligned(ctx, alignment, size);
}

static inline dbk_port noting(const dbk_port *port)
{
    dbk_port out = *port;

    inner = port;
    largest = 0;
    out.alloc = note_alloc;
    out.resize = note_resize;
    out.alloc_aligned = note_aligned;
    return out;
}

/* ---- what may become of it */

static inline dbk_result read_all(dbk_log *log, uint64_t *count)
{
    dbk_log_cursor *cursor;
    dbk_slice origin;
    uint64_t position;
    dbk_buffer want;
    dbk_result rc = dbk_log_cursor_open(log, 1, 0, &cursor, NULL);

    dbk_buffer_init(&want, dbk_port_system());
    *count = 0;
    while (rc == DBK_OK && (rc = dbk_log_cursor_next(cursor, &position, NULL, &origin, NULL)) == DBK_OK) {
        assert_int_equal(position, ++*count);
        make_entry(&want, replica_one, position, 100 + position, size_of_seq(position));
        if (!dbk_slice_equal(origin, dbk_buffer_slice(&want))) rc = DBK_SCHEMA; /* a checksum that is right hides it */
    }
    dbk_log_cursor_close(cursor);
    dbk_buffer_release(&want);
    return rc;
}

/* The lying log as the copy that another one, damaged in each segment, is mended from: what is taken is right. */
static inline void lend(world *w, const char *what)
{
    static const dbk_mend_watcher watcher;
    dbk_error err = {0};
    uint64_t mended, count;
    dbk_dir *mine;
    dbk_log *log;

    assert_int_equal(w->port->open_dir(w->port->ctx, NULL, "mine", 0, &mine), 0);
    dbk_result rc = dbk_log_mend(w->port, mine, w->dir, &w->options, &watcher, &mended, &err);
    assert_true(rc == DBK_OK || err.text[0]);
    if (dbk_log_open(w->port, mine, &w->options, &log, NULL) == DBK_OK) {
        rc = read_all(log, &count);
        if (rc == DBK_SCHEMA || (rc == DBK_END && count != BATCHES * BATCH)) fail_msg("%s: mended with a lie", what);
        dbk_log_close(log);
    }
    w->port->close_dir(w->port->ctx, mine);
}

/* Refused, and nothing changed; or told by who reads; or all is there. Other bytes under right checksums are for the
 * proof to find, and so is whatever a log is not opened for: who is refused is told to verify. */
static inline void look(world *w, const char *what)
{
    uint64_t hash = dbk_simdisk_hash(w->disk, NULL), count;
    dbk_port port = noting(w->port);
    dbk_log_options options = w->options;
    dbk_log_report report;
    dbk_error err = {0};

    w->dir = root_of(w->port);
    bool told = dbk_log_verify(&port, w->dir, &options, DBK_VERIFY_PROOF, NULL, &report, NULL) != DBK_OK;
    told = told || report.faults > 0;
    for (int writer = 0; writer < (keep_plain ? 3 : 2); writer++) {
        options.read_only = !writer;
        options.keep_plain = keep_plain && writer < 2; /* then it packs, what can be packed */
        dbk_result rc = dbk_log_open(&port, w->dir, &options, &w->log, &err);
        if (rc != DBK_OK) {
            assert_true(err.text[0] && dbk_simdisk_hash(w->disk, NULL) == hash);
            if (!told) fail_msg("%s: refused, and verification finds nothing: %s", what, err.text);
            continue;
        }
        rc = read_all(w->log, &count);
        if (rc == DBK_SCHEMA && report.faults == 0) fail_msg("%s: other bytes, and the proof holds", what);
        if (rc == DBK_END && count != BATCHES * BATCH && writer)
            fail_msg("%s: %d entries of %d, and nobody says so", what, (int)count, BATCHES * BATCH);
        dbk_log_close(w->log);
    }
    w->log = NULL;
    if (largest > LARGEST_BYTES) fail_msg("%s: %zu bytes asked for at once", what, largest);
    lend(w, what);
    world_close(w);
}

/* ---- lies */

static uint64_t lies;

static inline void mend_head(world *w, const char *path, uint64_t at, uint8_t *bytes, size_t size)
{
    int64_t file_bytes = dbk_simdisk_size(w->disk, path);

    (void)at;
    dbk_store_u64(bytes + 120, dbk_checksum(dbk_slice_of(bytes, 120), dbk_load_u64(bytes)));
    dbk_store_u64(bytes + 504, dbk_checksum(dbk_slice_of(bytes, 504), UINT64_C(0x5041434b48454144)));
    dbk_simdisk_write(w->disk, path, 0, bytes, size);
    dbk_simdisk_write(w->disk, path, (uint64_t)file_bytes - size, bytes, size);
}

/* The table's checksum stands in both heads. */
static inline void mend_table(world *w, const char *path, uint64_t at, uint8_t *bytes, size_t size)
{
    uint8_t head[DBK_PACK_HEAD_SIZE];

    dbk_simdisk_write(w->disk, path, at, bytes, size);
    assert_int_equal(dbk_simdisk_read(w->disk, path, 0, head, sizeof(head)), sizeof(head));
    uint64_t seed = dbk_load_u64(head + 56) ^ UINT64_C(0x5041434b5441424c);
    dbk_store_u64(head + 216, dbk_checksum(dbk_slice_of(bytes, size), seed));
    mend_head(w, path, 0, head, sizeof(head));
}

/* ---- the log that is lied about */

/* A log like this one, with a flipped bit in each segment. */
static inline void put_mine(world *w)
{
    char own[64], path[64];
    dbk_dir *mine;

    assert_int_equal(w->port->open_dir(w->port->ctx, NULL, "mine", DBK_OPEN_DIRECTORY, &mine), 0);
    w->port->close_dir(w->port->ctx, mine);
    assert_int_equal(dbk_simdisk_copy(w->disk, "log/WATERMARK", "mine/WATERMARK"), 0);
    for (uint64_t number = 1;; number++) {
        uint8_t features = 0;
        snprintf(own, sizeof(own), "log/%016llx.seg", (unsigned long long)number);
        snprintf(path, sizeof(path), "mine/%016llx.seg", (unsigned long long)number);
        if (!dbk_simdisk_exists(w->disk, own)) return;
        assert_int_equal(dbk_simdisk_copy(w->disk, own, path), 0);
        (void)dbk_simdisk_read(w->disk, path, 12, &features, 1);
        assert_int_equal(dbk_simdisk_flip_bit(w->disk, path, features ? 700 : 9000, 3), 0);
    }
}

static inline dbk_simdisk_image *make_log(world *w)
{
    world_new(w, 71);
    for (int i = 0; i < BATCHES; i++) assert_int_equal(append(w->log, BATCH), DBK_OK);
    assert_true(w->log->segment_count >= 4);
    world_close(w);
    put_mine(w);
    return dbk_simdisk_snapshot(w->disk);
}

#define COUNT(array) (sizeof(array) / sizeof(*(array)))

/* Each position, by itself, by a walk, with the head there: right, or told. */
static inline void ask_each(dbk_log *log, const char *what)
{
    dbk_buffer got, want;
    uint8_t head[DBK_LEAF_SIZE];
    uint64_t count;

    dbk_buffer_init(&got, dbk_port_system());
    dbk_buffer_init(&want, dbk_port_system());
    for (uint64_t position = 1; position <= BATCHES * BATCH; position += 2) {
        dbk_error err = {0};
        int64_t received_ms;
        dbk_result rc = dbk_log_read(log, position, &got, &received_ms, &err);
        make_entry(&want, replica_one, position, 100 + position, size_of_seq(position));
        if (rc == DBK_OK && !dbk_slice_equal(dbk_buffer_slice(&got), dbk_buffer_slice(&want))) rc = DBK_SCHEMA;
        if (rc != DBK_OK && (rc != DBK_CORRUPT || !err.text[0])) fail_msg("%s: position %d", what, (int)position);
        rc = dbk_log_head_at(log, position, head, &err);
        assert_true(rc == DBK_OK || rc == DBK_CORRUPT);
    }
    dbk_result rc = read_all(log, &count);
    assert_true(rc == DBK_END ? count == BATCHES * BATCH : rc == DBK_CORRUPT);
    dbk_buffer_release(&got);
    dbk_buffer_release(&want);
}

#endif
