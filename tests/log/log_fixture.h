/* A log on a simulated disk, with entries made from their position. */
#ifndef DBK_TEST_LOG_FIXTURE_H
#define DBK_TEST_LOG_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/simdisk.h"
#include "log/log.h"

enum { FIRST_MS = 1000 };
static const uint8_t replica_one[16] = {1, 1, 1}, replica_two[16] = {2, 2, 2};

typedef struct world {
    dbk_simdisk *disk;
    const dbk_port *port;
    dbk_dir *dir;
    dbk_log *log;
    dbk_log_options options;
} world;

/* Whether sealed segments stay plain. */
static bool keep_plain;
/* Whether entries have the hash of a command, which looks as if drawn. */
static bool with_hashes;
/* So small that also these logs have checkpoints; 0: they have none. */
static uint32_t checkpoint_bytes;

static inline dbk_log_options small_options(void)
{
    dbk_log_options options = {.no_background = true,
                               .keep_plain = keep_plain,
                               .checkpoint_bytes = checkpoint_bytes,
                               .near_bytes = 2048,
                               .segment_first_bytes = 16384,
                               .segment_max_bytes = 32768};

    memset(options.store_id, 7, 16);
    memset(options.lineage, 9, 16);
    return options;
}

/* Puts the origin bytes of the entry with this seq into `out`: `data_bytes` of event data. */
static inline void make_entry(dbk_buffer *out, const uint8_t replica[16], uint64_t seq, uint64_t hlc, size_t data_bytes)
{
    char stream[32], command[32];
    uint8_t data[70000];
    dbk_buffer events;
    dbk_entry entry = {
        .id = {.incarnation = 1, .seq = seq}, .epoch = 1, .hlc = hlc, .time_ms = (int64_t)seq, .event_count = 1};
    dbk_event event = {.type = dbk_slice_text("note.put"), .type_version = 1};

    assert_true(data_bytes <= sizeof(data));
    memset(data, (int)('a' + seq % 26), sizeof(data));
    snprintf(stream, sizeof(stream), "note/%llu", (unsigned long long)(seq % 10));
    snprintf(command, sizeof(command), "c%llu", (unsigned long long)seq);
    memcpy(entry.id.replica, replica, 16);
    memset(entry.lineage, 9, 16);
    for (size_t i = 0; with_hashes && i < sizeof(entry.command_hash); i += 8)
        dbk_store_u64(entry.command_hash + i, (seq + i) * 0x9e3779b97f4a7c15ull);
    entry.command_id = dbk_slice_text(command);
    event.stream = dbk_slice_text(stream);
    event.data = dbk_slice_of(data, data_bytes);
    dbk_buffer_init(&events, dbk_port_system());
    dbk_event_encode(&events, &event);
    entry.events = dbk_buffer_slice(&events);
    dbk_buffer_clear(out);
    dbk_entry_encode(out, &entry);
    assert_false(out->failed || events.failed);
    dbk_buffer_release(&events);
}

static inline size_t size_of_seq(uint64_t seq)
{
    return 40 + (seq * 131) % 300;
}

/* Appends `count` entries in one batch; the seqs follow the log's position. */
static inline dbk_result append_sized(dbk_log *log, size_t count, size_t data_bytes, dbk_error *err)
{
    dbk_buffer *buffers = calloc(count, sizeof(*buffers));
    dbk_slice *origins = calloc(count, sizeof(*origins));
    uint64_t seq = dbk_log_position(log), first;

    for (size_t i = 0; i < count; i++) {
        uint64_t own = seq + i + 1;
        dbk_buffer_init(&buffers[i], dbk_port_system());
        make_entry(&buffers[i], replica_one, own, 100 + own, data_bytes ? data_bytes : size_of_seq(own));
        origins[i] = dbk_buffer_slice(&buffers[i]);
    }
    dbk_result rc = dbk_log_append(log, origins, count, FIRST_MS + (int64_t)seq, &first, err);
    if (rc == DBK_OK && count) assert_int_equal(first, seq + 1);
    for (size_t i = 0; i < count; i++) dbk_buffer_release(&buffers[i]);
    free(buffers);
    free(origins);
    return rc;
}
static inline dbk_result append(dbk_log *log, size_t count)
{
    return append_sized(log, count, 0, NULL);
}

/* An entry of that one event, by itself. */
static inline dbk_result append_event(dbk_log *log, dbk_entry *entry, const dbk_event *event, dbk_error *err)
{
    dbk_buffer events, origin;
    uint64_t first;

    dbk_buffer_init(&events, dbk_port_system());
    dbk_buffer_init(&origin, dbk_port_system());
    dbk_event_encode(&events, event);
    memset(entry->lineage, 9, 16);
    entry->events = dbk_buffer_slice(&events);
    dbk_entry_encode(&origin, entry);
    dbk_slice one = dbk_buffer_slice(&origin);
    dbk_result rc = dbk_log_append(log, &one, 1, FIRST_MS, &first, err);
    dbk_buffer_release(&events);
    dbk_buffer_release(&origin);
    return rc;
}

/* Every entry up to the end is the one made from its position, by cursor and by read. */
static inline void check_entries(dbk_log *log, size_t data_bytes)
{
    dbk_log_cursor *cursor;
    dbk_buffer want, got;
    uint64_t position = 0, count = 0;
    int64_t received_ms;
    dbk_slice origin;
    dbk_result rc;

    dbk_buffer_init(&want, dbk_port_system());
    dbk_buffer_init(&got, dbk_port_system());
    assert_int_equal(dbk_log_cursor_open(log, 1, 0, &cursor, NULL), DBK_OK);
    while ((rc = dbk_log_cursor_next(cursor, &position, &received_ms, &origin, NULL)) == DBK_OK) {
        assert_int_equal(position, ++count);
        make_entry(&want, replica_one, position, 100 + position, data_bytes ? data_bytes : size_of_seq(position));
        assert_true(dbk_slice_equal(origin, dbk_buffer_slice(&want)));
        assert_int_equal(dbk_log_read(log, position, &got, NULL, NULL), DBK_OK);
        assert_true(dbk_slice_equal(dbk_buffer_slice(&got), dbk_buffer_slice(&want)));
    }
    assert_int_equal(rc, DBK_END);
    assert_int_equal(count, dbk_log_position(log));
    dbk_log_cursor_close(cursor);
    dbk_buffer_release(&want);
    dbk_buffer_release(&got);
}

static inline dbk_dir *root_of(const dbk_port *port)
{
    dbk_dir *dir;

    assert_int_equal(port->open_dir(port->ctx, NULL, "log", DBK_OPEN_DIRECTORY, &dir), 0);
    return dir;
}

/* Opening needs a new handle of the folder after each crash. */
static inline dbk_result world_open(world *w, dbk_error *err)
{
    if (!w->dir) w->dir = root_of(w->port);
    return dbk_log_open(w->port, w->dir, &w->options, &w->log, err);
}

static inline void world_close(world *w)
{
    dbk_log_close(w->log);
    w->log = NULL;
    if (w->dir) w->port->close_dir(w->port->ctx, w->dir);
    w->dir = NULL;
}

/* An open, empty log. */
static inline void world_new_with(world *w, uint64_t seed, bool no_direct)
{
    dbk_error err = {0};

    memset(w, 0, sizeof(*w));
    w->disk = dbk_simdisk_new(seed);
    w->port = dbk_simdisk_port(w->disk);
    w->options = small_options();
    w->options.no_direct = no_direct;
    w->dir = root_of(w->port);
    if (dbk_log_create(w->port, w->dir, &w->options, &err) != DBK_OK) fail_msg("create: %s", err.text);
    dbk_simdisk_sync_all(w->disk);
    if (world_open(w, &err) != DBK_OK) fail_msg("open: %s", err.text);
}

static inline void world_new(world *w, uint64_t seed)
{
    world_new_with(w, seed, false);
}

/* One whose segments have room for some blocks each. */
static inline void world_wide(world *w, uint64_t seed)
{
    memset(w, 0, sizeof(*w));
    w->disk = dbk_simdisk_new(seed);
    w->port = dbk_simdisk_port(w->disk);
    w->options = small_options();
    w->options.segment_first_bytes = w->options.segment_max_bytes = 262144;
    w->dir = root_of(w->port);
    assert_int_equal(dbk_log_create(w->port, w->dir, &w->options, NULL), DBK_OK);
    assert_int_equal(world_open(w, NULL), DBK_OK);
}

static inline void world_free(world *w)
{
    world_close(w);
    assert_int_equal(dbk_simdisk_memory_count(w->disk), 0);
    dbk_simdisk_free(w->disk);
}

static inline void world_reopen(world *w)
{
    dbk_error err = {0};

    world_close(w);
    if (world_open(w, &err) != DBK_OK) fail_msg("reopen: %s", err.text);
}

/* The same tests with sealed segments left plain and packed. */
#define run_both_forms(tests)                                                                                          \
    ({                                                                                                                 \
        keep_plain = true;                                                                                             \
        int failed = cmocka_run_group_tests_name("plain", (tests), NULL, NULL);                                        \
        keep_plain = false;                                                                                            \
        failed + cmocka_run_group_tests_name("packed", (tests), NULL, NULL);                                           \
    })

#endif
