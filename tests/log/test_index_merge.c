/* Runs made one, by themselves: what they say together, inputs that are damaged or lie, each call failing, stopping,
 * and more than a run can hold. */
#include <errno.h>

#include "tests/log/index_fixture.h"

enum { RUNS = 3 };
static const char merged[] = "merged.run";

typedef struct input {
    dbk_index_source source;
    char name[16];
} input;

/* Three runs of `each` positions that follow one another: an id for each, a stream for seven; a batch for each ten, two
 * authors that take turns by run, the second with a gap in its seqs. */
static void make(fixture *f, uint64_t each, input inputs[RUNS])
{
    for (uint64_t k = 0; k < RUNS; k++) {
        input *in = &inputs[k];
        *in = (input){
            .source = {
                .segment = k + 1, .salt = 70 + k, .first_position = 1 + k * each, .last_position = (k + 1) * each}};
        dbk_index_table *table = dbk_index_table_new(f->port, store_id, in->source.first_position);
        snprintf(in->name, sizeof(in->name), "%d.idx", (int)k);
        for (uint64_t at = in->source.first_position; at <= in->source.last_position; at++) {
            dbk_index_batch batch = {at, (uint32_t)at * 16, 160, (int64_t)at};
            char command[32], stream[32];
            if ((at - in->source.first_position) % 10 == 0)
                assert_int_equal(dbk_index_table_add_batch(table, &batch, NULL), DBK_OK);
            snprintf(command, sizeof(command), "c%llu", (unsigned long long)at);
            snprintf(stream, sizeof(stream), "s%llu", (unsigned long long)at % 7);
            dbk_event event = {.stream = dbk_slice_text(stream)};
            dbk_entry entry = {.event_count = 1,
                               .id = {.seq = at + (k == 2 ? 5 : 0), .incarnation = k == 1 && at % each > each / 2}};
            entry.id.replica[0] = at % each == each / 3;
            dbk_buffer events;
            dbk_buffer_init(&events, dbk_port_system());
            dbk_event_encode(&events, &event);
            entry.events = dbk_buffer_slice(&events);
            entry.command_id = dbk_slice_text(command);
            assert_int_equal(dbk_index_table_add(table, at, &entry, NULL), DBK_OK);
            dbk_buffer_release(&events);
        }
        assert_int_equal(dbk_index_run_write(f->port, f->root, in->name, table, &in->source, NULL), DBK_OK);
        dbk_index_table_free(table);
    }
}

typedef struct want {
    bool batches[RUNS];
    uint64_t stop_behind; /* 0: never */
    uint64_t asked;
    uint64_t last_position; /* in place of the right one */
} want;

static bool is_stopped(void *arg)
{
    want *w = arg;

    return w->stop_behind && ++w->asked >= w->stop_behind;
}

static dbk_result merge(fixture *f, const input inputs[RUNS], want *w, size_t *bad)
{
    dbk_index_source source = {
        .segment = 1, .segments = RUNS, .first_position = 1, .last_position = inputs[RUNS - 1].source.last_position};
    dbk_index_run *runs[RUNS] = {NULL};
    dbk_index_merge job = {
        .runs = runs, .count = RUNS, .with_batches = w->batches, .source = &source, .stop = is_stopped, .arg = w};
    dbk_result rc = DBK_OK;
    dbk_error err = {0};

    source.salt = 77;
    if (w->last_position) source.last_position = w->last_position;
    *bad = RUNS;
    for (size_t k = 0; k < RUNS && rc == DBK_OK; k++) {
        dbk_index_source expect = inputs[k].source, found;
        expect.without_batches = true;
        rc = dbk_index_run_open(f->port, f->root, inputs[k].name, store_id, &expect, &found, &runs[k], &err);
    }
    if (rc == DBK_OK) rc = dbk_index_runs_merge(f->port, f->root, merged, &job, bad, w->asked % 2 ? NULL : &err);
    for (size_t k = 0; k < RUNS; k++) dbk_index_run_close(runs[k]);
    return rc;
}

static void check(fixture *f, uint64_t each, bool batches)
{
    dbk_index_source expect = {.segment = 1, .segments = RUNS, .salt = 77, .first_position = 1}, found;
    dbk_index_run *run;
    size_t count;
    uint64_t offset, position;

    assert_int_equal(dbk_index_run_open(f->port, f->root, merged, store_id, &expect, &found, &run, NULL), DBK_OK);
    assert_int_equal(dbk_index_run_check(run, NULL, NULL, &offset, NULL), DBK_OK);
    for (uint64_t at = 1; at <= RUNS * each; at += 1 + each / 50) {
        char command[32];
        snprintf(command, sizeof(command), "c%llu", (unsigned long long)at);
        assert_int_equal(run_find(run, DBK_INDEX_COMMAND, dbk_slice_text(command), 0, &position, NULL), DBK_OK);
        assert_int_equal(position, at);
    }
    (void)dbk_index_run_batches(run, &count);
    assert_int_equal(count, batches ? RUNS * ((each + 9) / 10) : 0);
    const dbk_index_author_run *authors = dbk_index_run_authors(run, &count);
    uint64_t all = 0;
    for (size_t i = 0; i < count; i++) all += authors[i].count;
    assert_int_equal(all, RUNS * each);
    dbk_index_run_close(run);
}

/* With batches and without, small, and so large that the file is synced on the way and the merge asks whether to
 * stop. */
static void runs_become_one(void **state)
{
    static const uint64_t sizes[] = {30, 300, 12000};
    input inputs[RUNS];
    fixture *f = *state;
    size_t bad;

    for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
        make(f, sizes[i], inputs);
        for (int batches = 0; batches < 2; batches++) {
            want w = {.batches = {batches, batches, batches}};
            assert_int_equal(merge(f, inputs, &w, &bad), DBK_OK);
            check(f, sizes[i], batches);
        }
    }
    want w = {.stop_behind = 1};
    assert_int_equal(merge(f, inputs, &w, &bad), DBK_END);
    w = (want){.last_position = 1 + (uint64_t)UINT32_MAX + 1};
    assert_int_equal(merge(f, inputs, &w, &bad), DBK_TOO_BIG);
}

static uint32_t number_at(fixture *f, const char *name, uint64_t offset)
{
    uint8_t bytes[4];

    assert_int_equal(dbk_simdisk_read(f->disk, name, offset, bytes, 4), 4);
    return dbk_load_u32(bytes);
}

/* Changes bytes under a checksum that is right. */
static void lie(fixture *f, const input *in, uint64_t offset, const void *bytes, size_t size)
{
    uint8_t page[DBK_INDEX_PAGE_SIZE];
    uint64_t number = offset / sizeof(page);

    assert_int_equal(dbk_simdisk_read(f->disk, in->name, number * sizeof(page), page, sizeof(page)), sizeof(page));
    memcpy(page + offset % sizeof(page), bytes, size);
    dbk_index_page_seal(page, number, in->source.salt);
    assert_int_equal(dbk_simdisk_write(f->disk, in->name, number * sizeof(page), page, sizeof(page)), 0);
}

/* Keys that are out of order or beyond the run, batches likewise: the merge ends, and says which run it is. */
static void inputs_that_lie(void **state)
{
    static const uint8_t low[20] = {0}, high[20] = {255, 255, 255, 255, 255, 255, 255, 255, 255, 255,
                                                    255, 255, 255, 255, 255, 255, 255, 255, 255, 255};
    fixture *f = *state;
    input inputs[RUNS];
    size_t bad;

    for (size_t k = 0; k < RUNS; k++) {
        for (int kind = 0; kind < 5; kind++) {
            want w = {.batches = {true, true, true}};
            make(f, 300, inputs);
            uint64_t pages = (number_at(f, inputs[k].name, 140) + DBK_INDEX_PAGE_KEYS - 1) / DBK_INDEX_PAGE_KEYS;
            uint64_t batches = (1 + pages) * DBK_INDEX_PAGE_SIZE + number_at(f, inputs[k].name, 144) * 64 + pages * 20;
            uint64_t key = DBK_INDEX_PAGE_SIZE + 20 * 7;
            if (kind == 0) lie(f, &inputs[k], key, low, 20);
            if (kind == 1) lie(f, &inputs[k], key + 16, high, 4);
            if (kind == 2) lie(f, &inputs[k], batches + 24 * 3, low, 8);
            if (kind == 3) lie(f, &inputs[k], batches + 24 * 3, high, 8);
            if (kind == 4) assert_int_equal(dbk_simdisk_flip_bit(f->disk, inputs[k].name, key, 1), 0);
            assert_int_equal(merge(f, inputs, &w, &bad), DBK_CORRUPT);
            assert_int_equal(bad, k);
        }
    }
}

/* Each call and each allocation fails, once and from there on: told, nothing leaks, no half file under the name. */
static void each_call_fails(void **state)
{
    static const uint32_t kinds[] = {DBK_SIM_MEMORY, DBK_SIM_READ | DBK_SIM_OPEN, DBK_SIM_CHANGES};
    fixture *f = *state;
    input inputs[RUNS];
    size_t bad;

    make(f, 2500, inputs);
    uint64_t memory = dbk_simdisk_memory_count(f->disk);
    for (size_t i = 0; i < 6; i++) {
        dbk_simdisk_fault fault = {.kinds = kinds[i / 2], .times = i % 2, .error = i % 2 ? ENOSPC : EIO};
        for (bool hit = true; hit; fault.skip++) {
            want w = {.batches = {true, false, true}};
            (void)dbk_simdisk_remove(f->disk, merged);
            dbk_simdisk_add_fault(f->disk, &fault);
            dbk_result rc = merge(f, inputs, &w, &bad);
            hit = dbk_simdisk_fault_hits(f->disk) > 0;
            dbk_simdisk_clear_faults(f->disk);
            assert_true(rc == DBK_OK || hit);
            assert_int_equal(dbk_simdisk_memory_count(f->disk), memory);
            if (rc == DBK_OK) assert_true(dbk_simdisk_exists(f->disk, merged));
        }
    }
}

/* So large that it is written in many pieces: each of these finds no room. */
static void each_piece_fails(void **state)
{
    dbk_simdisk_fault fault = {.kinds = DBK_SIM_WRITE, .path = ".tmp", .error = ENOSPC};
    fixture *f = *state;
    input inputs[RUNS];
    size_t bad;

    make(f, 14000, inputs);
    for (bool hit = true; hit; fault.skip++) {
        want w = {.batches = {true, true, true}};
        dbk_simdisk_add_fault(f->disk, &fault);
        dbk_result rc = merge(f, inputs, &w, &bad);
        hit = dbk_simdisk_fault_hits(f->disk) > 0;
        dbk_simdisk_clear_faults(f->disk);
        assert_int_equal(rc, hit ? DBK_NO_SPACE : DBK_OK);
    }
    assert_true(fault.skip > 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(runs_become_one, set_up, tear_down),
        cmocka_unit_test_setup_teardown(inputs_that_lie, set_up, tear_down),
        cmocka_unit_test_setup_teardown(each_call_fails, set_up, tear_down),
        cmocka_unit_test_setup_teardown(each_piece_fails, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
