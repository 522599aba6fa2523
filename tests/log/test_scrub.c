/* The scrub reads the ended segments again and tells what it finds. */
#include "log_fixture.h"

#include "log/internal.h"
#include "log/scrub.h"
#include "tests/support/interleave.h"

/* Places of records are damaged in the plain form; test_packed has the other one. */
static void make(world *w)
{
    keep_plain = true;
    world_new(w, 31);
    for (size_t i = 0; i < 40; i++) assert_int_equal(append(w->log, 6), DBK_OK);
    assert_true(w->log->segment_count >= 4);
}

static dbk_scrub *start(world *w, int64_t every_ms)
{
    dbk_scrub_options options = {.no_thread = true, .every_ms = every_ms};
    dbk_scrub *scrub;

    assert_int_equal(dbk_scrub_start(w->log, &options, &scrub, NULL), DBK_OK);
    return scrub;
}

static dbk_scrub_state round_of(dbk_scrub *scrub)
{
    dbk_scrub_state state;
    dbk_result rc;

    while ((rc = dbk_scrub_step(scrub, NULL)) == DBK_OK) {
    }
    assert_int_equal(rc, DBK_END);
    dbk_scrub_get(scrub, &state);
    assert_int_equal(state.next_segment, 0);
    assert_true(state.last_full_ms > 0);
    return state;
}

/* A sound log: all bytes of the ended segments are read, no fault; the next round comes when it is time. */
static void test_sound(void **state)
{
    uint64_t bytes = 0;
    world w;

    (void)state;
    make(&w);
    for (size_t i = 0; i + 1 < w.log->segment_count; i++) bytes += w.log->segments[i]->end - DBK_SEGMENT_DATA_OFFSET;
    dbk_scrub *scrub = start(&w, 1000);
    dbk_scrub_state found = round_of(scrub);
    assert_int_equal(found.full_bytes, bytes);
    assert_int_equal(found.faults, 0);
    dbk_simdisk_advance_ms(w.disk, 999);
    assert_int_equal(dbk_scrub_step(scrub, NULL), DBK_END);
    dbk_simdisk_advance_ms(w.disk, 1);
    assert_int_equal(dbk_scrub_step(scrub, NULL), DBK_OK);
    (void)round_of(scrub);
    dbk_simdisk_world_of(w.disk)->wall_ms -= 1000LL * 3600 * 24 * 365; /* set back by a year */
    assert_int_equal(dbk_scrub_step(scrub, NULL), DBK_OK);
    dbk_scrub_stop(scrub);
    world_free(&w);
}

/* A flipped bit in an ended segment is found and named; nothing is changed; the next round finds it again,
 * and does not when it was mended. */
static void test_fault(void **state)
{
    world w;

    (void)state;
    make(&w);
    uint64_t offset = 0;
    dbk_index_batch batch;
    dbk_segment *second = w.log->segments[1];
    assert_int_equal(dbk_log_batch_of(w.log, second, second->first_position + 6, &batch, NULL), DBK_OK);
    offset = batch.offset + 200;
    dbk_simdisk_flip_bit(w.disk, "log/0000000000000002.seg", offset, 4);
    uint64_t hash = dbk_simdisk_hash(w.disk, "log/0000000000000002.seg");
    dbk_scrub *scrub = start(&w, 10);
    dbk_scrub_state found = round_of(scrub);
    assert_int_equal(found.faults, 1);
    char want[DBK_SCRUB_FAULT_SIZE];
    snprintf(want, sizeof(want), "log/0000000000000002.seg at offset %u, positions %llu to %llu: the record is damaged",
             batch.offset, (unsigned long long)second->first_position + 6, (unsigned long long)second->last_position);
    assert_string_equal(found.fault, want);
    assert_int_equal(dbk_simdisk_hash(w.disk, "log/0000000000000002.seg"), hash);
    assert_int_equal(append(w.log, 3), DBK_OK);
    dbk_simdisk_advance_ms(w.disk, 20);
    assert_int_equal(round_of(scrub).faults, 1);
    dbk_simdisk_flip_bit(w.disk, "log/0000000000000002.seg", offset, 4);
    dbk_simdisk_advance_ms(w.disk, 20);
    found = round_of(scrub);
    assert_int_equal(found.faults, 0);
    assert_string_equal(found.fault, "");
    dbk_scrub_stop(scrub);
    world_free(&w);
}

/* A packed segment is read through as it is on disk: a bit that flips in it is found wherever it is. */
static void test_packed(void **state)
{
    world w;

    (void)state;
    keep_plain = false;
    world_new(&w, 31);
    for (size_t i = 0; i < 40; i++) assert_int_equal(append(w.log, 6), DBK_OK);
    world_reopen(&w);
    assert_true(w.log->segments[1]->packed);
    dbk_scrub *scrub = start(&w, 10);
    assert_int_equal(round_of(scrub).faults, 0);
    int64_t size = dbk_simdisk_size(w.disk, "log/0000000000000002.seg");
    for (uint64_t at = 700; at < (uint64_t)size; at += 131) {
        dbk_simdisk_flip_bit(w.disk, "log/0000000000000002.seg", at, 4);
        dbk_simdisk_advance_ms(w.disk, 20);
        dbk_scrub_state found = round_of(scrub);
        if (found.faults == 0) fail_msg("byte %d of %d: not found", (int)at, (int)size);
        unsigned long long told = 0;
        assert_int_equal(sscanf(found.fault, "log/0000000000000002.seg at offset %llu", &told), 1);
        assert_true(told < (uint64_t)size); /* the plain form begins behind the end of this file */
        dbk_simdisk_flip_bit(w.disk, "log/0000000000000002.seg", at, 4);
    }
    dbk_simdisk_advance_ms(w.disk, 20);
    assert_int_equal(round_of(scrub).faults, 0);
    dbk_scrub_stop(scrub);
    world_free(&w);
}

/* Its place is kept: another opening goes on there, and knows when the last round was. */
static void test_goes_on(void **state)
{
    dbk_scrub_state found, kept;
    world w;

    (void)state;
    make(&w);
    dbk_scrub *scrub = start(&w, 1000);
    assert_int_equal(dbk_scrub_step(scrub, NULL), DBK_OK);
    assert_int_equal(dbk_scrub_step(scrub, NULL), DBK_OK);
    dbk_scrub_get(scrub, &found);
    assert_int_equal(found.next_segment, 3);
    dbk_scrub_stop(scrub);
    world_reopen(&w);
    scrub = start(&w, 1000);
    dbk_scrub_get(scrub, &kept);
    assert_memory_equal(&kept, &found, sizeof(kept));
    found = round_of(scrub);
    dbk_scrub_stop(scrub);
    assert_int_equal(dbk_scrub_read(w.port, w.dir, &kept, NULL), DBK_OK);
    assert_int_equal(kept.last_full_ms, found.last_full_ms);
    assert_int_equal(kept.full_bytes, found.full_bytes);
    /* a broken file is a cache that is wrong */
    for (uint64_t at = 0; at < 150; at++) {
        dbk_simdisk_flip_bit(w.disk, "log/SCRUB", at, 3);
        (void)!dbk_scrub_read(w.port, w.dir, &kept, NULL);
        scrub = start(&w, 1000);
        dbk_scrub_stop(scrub);
        dbk_simdisk_flip_bit(w.disk, "log/SCRUB", at, 3);
    }
    static const char *const wrong[] = {
        "[]",
        "{}",
        "{\"last_full_ms\":-1}",
        "{\"last_full_ms\":\"1\"}",
        "{\"last_full_ms\":1.5}",
        "{\"last_full_ms\":1,\"full_bytes\":1,\"next_segment\":1,\"round_bytes\":1,\"faults\":0,"
        "\"bytes_per_second\":1}",
        "{\"last_full_ms\":1,\"full_bytes\":1,\"next_segment\":1,\"round_bytes\":1,\"faults\":0,"
        "\"bytes_per_second\":1,\"fault\":7}"};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
        assert_int_equal(dbk_simdisk_truncate(w.disk, "log/SCRUB", 0), 0);
        assert_int_equal(dbk_simdisk_write(w.disk, "log/SCRUB", 0, wrong[i], strlen(wrong[i])), 0);
        assert_int_equal(dbk_scrub_read(w.port, w.dir, &kept, NULL), DBK_CORRUPT);
        assert_int_equal(kept.faults, 0);
    }
    dbk_simdisk_remove(w.disk, "log/SCRUB");
    assert_int_equal(dbk_scrub_start(w.log, NULL, &scrub, NULL), DBK_IO); /* the default options ask for a thread */
    assert_int_equal(dbk_scrub_read(w.port, w.dir, &kept, NULL), DBK_MISSING);
    scrub = start(&w, 1000);
    dbk_scrub_get(scrub, &kept);
    assert_int_equal(kept.last_full_ms, 0);
    dbk_scrub_stop(scrub);
    world_free(&w);
}

/* A read that fails is told as a fault of the file; lack of memory is none. */
static void test_failures(void **state)
{
    world w;

    (void)state;
    make(&w);
    dbk_simdisk_fault fault = {.kinds = DBK_SIM_READ, .path = "0000000000000002.seg", .times = 0};
    dbk_scrub *scrub = start(&w, 10);
    dbk_simdisk_add_fault(w.disk, &fault);
    dbk_scrub_state found = round_of(scrub);
    assert_int_equal(found.faults, 1);
    assert_non_null(strstr(found.fault, "0000000000000002.seg"));
    dbk_simdisk_clear_faults(w.disk);
    dbk_simdisk_advance_ms(w.disk, 20);
    dbk_simdisk_fault memory = {.kinds = DBK_SIM_MEMORY, .times = 1};
    dbk_simdisk_add_fault(w.disk, &memory);
    dbk_result rc = dbk_scrub_step(scrub, NULL);
    assert_true(rc == DBK_NO_MEMORY || rc == DBK_OK);
    dbk_simdisk_clear_faults(w.disk);
    assert_int_equal(round_of(scrub).faults, 0);
    dbk_scrub_stop(scrub);
    for (uint64_t skip = 0;; skip++) {
        dbk_scrub_options options = {.no_thread = true};
        memory.skip = skip;
        dbk_simdisk_add_fault(w.disk, &memory);
        rc = dbk_scrub_start(w.log, &options, &scrub, NULL);
        bool hit = dbk_simdisk_fault_hits(w.disk) > 0;
        dbk_simdisk_clear_faults(w.disk);
        dbk_scrub_stop(scrub);
        if (!hit) break;
    }
    world_free(&w);
}

static void on_stuck(const char *why)
{
    fail_msg("%s", why);
}

/* Lets so much time pass. */
static void sleep_ms(const dbk_port *port, int64_t ms)
{
    dbk_mutex *mutex = port->mutex_new(port->ctx);
    dbk_cond *cond = port->cond_new(port->ctx);

    port->mutex_lock(port->ctx, mutex);
    int64_t until = port->monotonic_ns(port->ctx) + ms * 1000000, left;
    while ((left = until - port->monotonic_ns(port->ctx)) > 0) (void)port->cond_wait(port->ctx, cond, mutex, left);
    port->mutex_unlock(port->ctx, mutex);
    port->cond_free(port->ctx, cond);
    port->mutex_free(port->ctx, mutex);
}

/* On a thread of its own, at so many bytes a second, beside a writer: it takes its time, comes round, and ends at
 * once when it is told to, wherever it is. */
static void test_own_thread(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        dbk_scrub_options options = {.bytes_per_second = 10000, .every_ms = 1000};
        dbk_scrub_state found;
        dbk_scrub *scrub;
        world w;
        make(&w);
        world_close(&w);
        interleave *threads = interleave_new(w.disk, seed, on_stuck);
        const dbk_port *port = interleave_port(threads);
        w.dir = root_of(port);
        assert_int_equal(dbk_log_open(port, w.dir, &w.options, &w.log, NULL), DBK_OK);
        assert_int_equal(dbk_scrub_start(w.log, &options, &scrub, NULL), DBK_OK);
        int64_t begun = port->monotonic_ns(port->ctx);
        do {
            sleep_ms(port, 100);
            assert_int_equal(append(w.log, 1), DBK_OK);
            dbk_scrub_get(scrub, &found);
        } while (found.last_full_ms == 0);
        int64_t took_ms = (port->monotonic_ns(port->ctx) - begun) / 1000000;
        assert_true(found.faults == 0 && found.full_bytes > 30000);
        if (took_ms < (int64_t)found.full_bytes / 20)
            fail_msg("%d bytes in %d ms", (int)found.full_bytes, (int)took_ms);
        sleep_ms(port, (int64_t)seed * 97);
        begun = port->monotonic_ns(port->ctx);
        dbk_scrub_stop(scrub);
        assert_true(port->monotonic_ns(port->ctx) - begun < 4000000000);
        dbk_log_close(w.log);
        w.log = NULL;
        interleave_free(threads);
        world_free(&w);
    }
}

/* No thread can be had. */
static void test_no_thread(void **state)
{
    dbk_scrub_options options = {.bytes_per_second = 10000};
    dbk_error err = {0};
    dbk_scrub *scrub;
    world w;

    (void)state;
    make(&w);
    assert_int_not_equal(dbk_scrub_start(w.log, &options, &scrub, &err), DBK_OK);
    assert_non_null(strstr(err.text, "thread"));
    world_free(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sound),     cmocka_unit_test(test_fault),    cmocka_unit_test(test_packed),
        cmocka_unit_test(test_goes_on),   cmocka_unit_test(test_failures), cmocka_unit_test(test_own_thread),
        cmocka_unit_test(test_no_thread),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
