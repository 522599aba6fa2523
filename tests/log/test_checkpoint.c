/* The checkpoint of the active segment: opening goes on from it, answers as without it, and never
 * believes one that is damaged, or of another history. */
#include "log/index_internal.h"
#include "log/internal.h"
#include "log_fixture.h"

#define CHECKPOINT "log/" DBK_CHECKPOINT_NAME

enum { SEED = 3 };

static uint64_t used_prefix(const dbk_log *log)
{
    return dbk_log_active(log)->prefix_last;
}

/* All that can be asked of the log, as it must be for entries made from their position. */
static void check_answers(dbk_log *log)
{
    uint64_t end = dbk_log_position(log), found;
    dbk_entry_id id = {.incarnation = 1}, same;
    char name[32];

    check_entries(log, 0);
    memcpy(id.replica, replica_one, 16);
    assert_int_equal(dbk_log_next_seq(log, replica_one, 1), end + 1);
    for (uint64_t at = 1; at <= end; at++) {
        snprintf(name, sizeof(name), "c%llu", (unsigned long long)at);
        assert_int_equal(dbk_log_find_command(log, dbk_slice_text(name), 0, &found, NULL), DBK_OK);
        assert_int_equal(found, at);
        snprintf(name, sizeof(name), "note/%llu", (unsigned long long)(at % 10));
        assert_int_equal(dbk_log_find_stream(log, dbk_slice_text(name), at, &found, NULL), DBK_OK);
        assert_int_equal(found, at > 10 ? at - 10 : 0);
        id.seq = at;
        assert_int_equal(dbk_log_find_entry(log, &id, &found, NULL), DBK_OK);
        assert_int_equal(found, at);
        assert_int_equal(dbk_log_entry_id_at(log, at, &same, NULL), DBK_OK);
        assert_true(dbk_entry_id_equal(&id, &same));
    }
    assert_int_equal(dbk_log_find_command(log, dbk_slice_text("absent"), 0, &found, NULL), DBK_OK);
    assert_int_equal(found, 0);
}

/* What a log opened here says of the whole: state, clock, head, order. */
typedef struct summary {
    uint64_t position, hlc, batches;
    int64_t received_ms;
    uint32_t epoch;
    bool ordered;
    uint8_t head[DBK_LEAF_SIZE], top[DBK_ORDER_KEY_SIZE], segment_top[DBK_ORDER_KEY_SIZE];
} summary;

static void sum_up(const dbk_log *log, summary *out)
{
    dbk_log_report report;

    memset(out, 0, sizeof(*out));
    out->position = dbk_log_position(log);
    dbk_log_clock(log, &out->epoch, &out->hlc);
    out->received_ms = log->state.received_ms;
    out->ordered = dbk_log_is_ordered(log);
    dbk_log_head(log, out->head);
    dbk_log_top(log, out->top);
    memcpy(out->segment_top, dbk_log_active(log)->top, sizeof(out->segment_top));
    assert_int_equal(dbk_log_stats((dbk_log *)log, &report, NULL), DBK_OK);
    out->batches = report.batches;
}

static void world_with(world *w, uint64_t seed, size_t batches)
{
    checkpoint_bytes = 512;
    world_new(w, seed);
    for (size_t i = 0; i < batches; i++) assert_int_equal(append(w->log, 1 + i % 4), DBK_OK);
}

/* A log that was closed in good order goes on from the checkpoint, and all it says is the same as
 * when every record is read. */
static void test_same_as_without(void **state)
{
    (void)state;
    for (size_t batches = 1; batches < 40; batches++) {
        summary with, without;
        world w;
        world_with(&w, SEED, batches);
        world_reopen(&w);
        bool sealed_just_now = dbk_log_active(w.log)->records == 2; /* one batch may be too little */
        if (!sealed_just_now) assert_true(used_prefix(w.log) > 0);
        sum_up(w.log, &with);
        check_answers(w.log);
        world_close(&w);
        if (dbk_simdisk_exists(w.disk, CHECKPOINT)) assert_int_equal(dbk_simdisk_remove(w.disk, CHECKPOINT), 0);
        assert_int_equal(world_open(&w, NULL), DBK_OK);
        assert_int_equal(used_prefix(w.log), 0);
        sum_up(w.log, &without);
        assert_memory_equal(&with, &without, sizeof(with));
        world_free(&w);
    }
}

/* Behind a checkpoint the log is appended to, through the end of the segment and others; the index
 * of the segment that began with one is then made of all its entries. */
static void test_goes_on(void **state)
{
    world w;

    (void)state;
    world_with(&w, SEED, 12);
    for (size_t round = 0; round < 60; round++) {
        world_reopen(&w);
        assert_int_equal(append(w.log, 1 + round % 3), DBK_OK);
        if (round % 7 == 0) check_answers(w.log);
    }
    assert_true(w.log->segment_count > 2);
    check_answers(w.log);
    world_reopen(&w);
    check_answers(w.log);
    world_free(&w);
}

/* A clock or a highest key that is not the last entry's: what is appended next would be sorted by it. */
static void test_another_clock(void **state)
{
    static const uint64_t offsets[] = {1024 + 32, 1024 + 40, 1024 + 48 + 8, 1024 + 48 + 36};
    summary right, found;
    world w;

    (void)state;
    world_with(&w, SEED, 12);
    world_reopen(&w);
    assert_true(used_prefix(w.log) > 0);
    sum_up(w.log, &right);
    world_close(&w);
    dbk_simdisk_image *image = dbk_simdisk_snapshot(w.disk);
    for (size_t i = 0; i < sizeof(offsets) / sizeof(*offsets); i++) {
        uint8_t page[DBK_INDEX_PAGE_SIZE];
        dbk_simdisk_restore(w.disk, image);
        assert_int_equal(dbk_simdisk_read(w.disk, CHECKPOINT, 0, page, sizeof(page)), sizeof(page));
        memset(page + offsets[i], 0xff, 4);
        dbk_index_page_seal(page, 0, dbk_load_u64(page + 56));
        assert_int_equal(dbk_simdisk_write(w.disk, CHECKPOINT, 0, page, sizeof(page)), 0);
        assert_int_equal(world_open(&w, NULL), DBK_OK);
        assert_int_equal(used_prefix(w.log), 0);
        sum_up(w.log, &found);
        assert_memory_equal(&found, &right, sizeof(right));
        world_close(&w);
    }
    world_free(&w);
}

/* A bit is wrong somewhere in the checkpoint: the log opens and answers right, whether the damage is
 * met when it is opened or when a page of it is asked. */
static void test_damaged(void **state)
{
    world w;

    (void)state;
    world_with(&w, SEED, 20);
    world_close(&w);
    int64_t size = dbk_simdisk_size(w.disk, CHECKPOINT);
    assert_true(size > 4096);
    dbk_simdisk_image *image = dbk_simdisk_snapshot(w.disk);
    for (uint64_t at = 0; at < (uint64_t)size; at += 23) {
        dbk_simdisk_restore(w.disk, image);
        assert_int_equal(dbk_simdisk_flip_bit(w.disk, CHECKPOINT, at, at % 8), 0);
        assert_int_equal(world_open(&w, NULL), DBK_OK);
        check_answers(w.log);
        assert_int_equal(append(w.log, 3), DBK_OK);
        check_answers(w.log);
        world_close(&w);
    }
    for (uint64_t kept = 0; kept < (uint64_t)size; kept += 511) {
        dbk_simdisk_restore(w.disk, image);
        assert_int_equal(dbk_simdisk_truncate(w.disk, CHECKPOINT, kept), 0);
        assert_int_equal(world_open(&w, NULL), DBK_OK);
        assert_int_equal(used_prefix(w.log), 0);
        world_close(&w);
    }
    dbk_simdisk_image_free(w.disk, image);
    world_free(&w);
}

/* The same segment, with the same salt, was written twice with other batches: the checkpoint of one
 * is put to the other. Nothing of it is believed. */
static void test_of_another_history(void **state)
{
    world one, other;
    uint8_t bytes[65536];

    (void)state;
    world_with(&one, SEED, 20);
    world_close(&one);
    int64_t size = dbk_simdisk_read(one.disk, CHECKPOINT, 0, bytes, sizeof(bytes));
    assert_true(size > 0 && size < (int64_t)sizeof(bytes));
    for (size_t first = 1; first < 40; first++) {
        world_with(&other, SEED, 0);
        assert_int_equal(append(other.log, first), DBK_OK);
        for (size_t i = 0; i < 19; i++) assert_int_equal(append(other.log, 1 + (i + 1) % 4), DBK_OK);
        world_close(&other);
        if (first > 1) assert_int_equal(dbk_simdisk_remove(other.disk, CHECKPOINT), 0);
        assert_int_equal(dbk_simdisk_write(other.disk, CHECKPOINT, 0, bytes, (size_t)size), 0);
        assert_int_equal(world_open(&other, NULL), DBK_OK);
        assert_true((used_prefix(other.log) > 0) == (first == 1)); /* the history of `one` itself */
        check_answers(other.log);
        world_free(&other);
    }
    world_free(&one);
}

/* The same, but all batches have the same lengths and places, and no watermark tells: the checksum of
 * the last record alone does. */
static void test_of_a_twin(void **state)
{
    world one, twin;
    uint8_t bytes[65536];
    dbk_buffer entry;
    dbk_log *reader;

    (void)state;
    dbk_buffer_init(&entry, dbk_port_system());
    world_with(&one, SEED, 0);
    world_with(&twin, SEED, 0);
    for (uint64_t seq = 1; seq <= 8; seq++) {
        for (int i = 0; i < 2; i++) {
            make_entry(&entry, replica_one, seq, 100 + seq + (seq == 2 ? (uint64_t)i : 0), 80);
            dbk_slice origin = dbk_buffer_slice(&entry);
            assert_int_equal(dbk_log_append(i ? twin.log : one.log, &origin, 1, 1, NULL, NULL), DBK_OK);
        }
    }
    world_close(&one);
    world_close(&twin);
    int64_t size = dbk_simdisk_read(one.disk, CHECKPOINT, 0, bytes, sizeof(bytes));
    for (int right = 0; right < 2; right++) {
        world *w = right ? &one : &twin;
        assert_int_equal(dbk_simdisk_write(w->disk, CHECKPOINT, 0, bytes, (size_t)size), 0);
        assert_int_equal(dbk_simdisk_remove(w->disk, "log/" DBK_WATERMARK_NAME), 0);
        w->options.read_only = true;
        w->dir = root_of(w->port);
        assert_int_equal(dbk_log_open(w->port, w->dir, &w->options, &reader, NULL), DBK_OK);
        assert_true((used_prefix(reader) > 0) == right);
        dbk_log_close(reader);
        world_free(w);
    }
    dbk_buffer_release(&entry);
}

/* After an end that was not orderly the writer reads every record again; a reader, who changes nothing,
 * goes on from the checkpoint. */
static void test_unclean(void **state)
{
    world w;
    dbk_log *reader;

    (void)state;
    world_with(&w, SEED, 20);
    assert_int_equal(dbk_log_idle(w.log, NULL), DBK_OK);
    dbk_log_leave(w.log);
    w.log = NULL;
    assert_int_equal(world_open(&w, NULL), DBK_OK);
    assert_int_equal(used_prefix(w.log), 0);
    dbk_log_options options = w.options;
    options.read_only = true;
    assert_int_equal(dbk_log_open(w.port, w.dir, &options, &reader, NULL), DBK_OK);
    assert_true(used_prefix(reader) > 0);
    check_answers(reader);
    dbk_log_close(reader);
    world_free(&w);
}

/* A reader opens beside a writer that has been idle once and appends on, through the end of the
 * segment: it sees all of it. */
static void test_beside_a_writer(void **state)
{
    world w;
    dbk_log *reader;

    (void)state;
    world_with(&w, SEED, 16);
    assert_int_equal(dbk_log_idle(w.log, NULL), DBK_OK);
    dbk_log_options options = w.options;
    options.read_only = true;
    assert_int_equal(dbk_log_open(w.port, w.dir, &options, &reader, NULL), DBK_OK);
    assert_int_equal(used_prefix(reader), dbk_log_position(reader));
    for (size_t i = 0; i < 30; i++) {
        assert_int_equal(append(w.log, 2), DBK_OK);
        assert_int_equal(dbk_log_refresh(reader, NULL), DBK_OK);
        check_answers(reader);
        assert_int_equal(dbk_log_position(reader), dbk_log_position(w.log));
    }
    dbk_log_close(reader);
    world_free(&w);
}

/* The path of the active segment, and a batch of it by its number from the first. */
static dbk_index_batch batch_of_active(const world *w, size_t number, char path[64])
{
    const dbk_segment *active = dbk_log_active(w->log);
    const dbk_index_batch *batch = dbk_index_table_batch(active->table, active->first_position);

    for (uint64_t at = active->first_position; number > 0; at++) {
        const dbk_index_batch *next = dbk_index_table_batch(active->table, at);
        assert_non_null(next);
        if (next != batch) number--;
        batch = next;
    }
    snprintf(path, 64, "log/%s", active->name);
    return *batch;
}

/* A record in front of the checkpoint rots: opening need not see it, reading it tells, and the entries
 * before and behind are read. */
static void test_rot_in_front(void **state)
{
    dbk_error err = {0};
    dbk_buffer out;
    char path[64];
    world w;

    (void)state;
    world_with(&w, SEED, 16);
    dbk_index_batch batch = batch_of_active(&w, 2, path);
    world_close(&w);
    assert_int_equal(dbk_simdisk_flip_bit(w.disk, path, batch.offset + 200, 3), 0);
    assert_int_equal(world_open(&w, &err), DBK_OK);
    assert_true(used_prefix(w.log) > batch.first_position);
    dbk_buffer_init(&out, w.port);
    assert_int_equal(dbk_log_read(w.log, batch.first_position, &out, NULL, &err), DBK_CORRUPT);
    assert_int_equal(dbk_log_read(w.log, batch.first_position - 1, &out, NULL, NULL), DBK_OK);
    assert_int_equal(dbk_log_read(w.log, dbk_log_position(w.log), &out, NULL, NULL), DBK_OK);
    dbk_buffer_release(&out);
    world_free(&w);
}

/* The record that the checkpoint was made behind is damaged: it is not believed, and opening refuses
 * as it does without one. So it is where something else than zeros stands behind the last record. */
static void test_rot_of_the_last(void **state)
{
    dbk_error err = {0};
    char path[64];
    world w;

    (void)state;
    for (int behind = 0; behind < 2; behind++) {
        world_with(&w, SEED, 16);
        (void)batch_of_active(&w, 0, path);
        uint64_t end = dbk_log_active(w.log)->end;
        world_close(&w);
        assert_int_equal(dbk_simdisk_flip_bit(w.disk, path, behind ? end + 700 : end - 300, 3), 0);
        dbk_result rc = world_open(&w, &err);
        if (behind) {
            assert_true(rc == DBK_OK); /* a torn write: cut, with a copy */
            assert_false(dbk_log_was_clean(w.log));
        } else {
            assert_int_equal(rc, DBK_CORRUPT);
            assert_non_null(strstr(err.text, "at offset"));
        }
        world_free(&w);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same_as_without), cmocka_unit_test(test_goes_on),
        cmocka_unit_test(test_damaged),         cmocka_unit_test(test_of_another_history),
        cmocka_unit_test(test_another_clock),   cmocka_unit_test(test_of_a_twin),
        cmocka_unit_test(test_unclean),         cmocka_unit_test(test_beside_a_writer),
        cmocka_unit_test(test_rot_in_front),    cmocka_unit_test(test_rot_of_the_last),
    };
    return run_both_forms(tests);
}
