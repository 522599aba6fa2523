#include "tests/log/index_fixture.h"

/* Random entries, batches and cuts; table and, at the end, its run answer as the plain list does.
 */
static void agrees_with_a_plain_list(fixture *f, uint32_t names, int steps, int finds)
{
    model m = model_new(names, (size_t)steps * 8 + 8);
    dbk_index_table *table = dbk_index_table_new(f->port, store_id, FIRST);
    subject s = {.table = table};

    assert_non_null(table);
    for (int i = 0; i < steps; i++) {
        if (draw(f, 6) == 0) {
            uint64_t position = m.next + 1 - draw(f, 1 + (uint32_t)(m.next - FIRST) % 20);
            dbk_index_table_cut(table, position);
            model_cut(&m, position);
        } else {
            add_batch(f, &m, table, 1 + draw(f, 7));
        }
        check_finds(f, &s, &m, 3);
        if (i % 16 == 0) check_all(f, &s, &m, 20);
    }
    check_all(f, &s, &m, finds);
    write_run(f, &m, table);
    assert_int_equal(open_run(f, &m, &s.run, NULL), DBK_OK);
    check_all(f, &s, &m, finds);
    dbk_index_run_close(s.run);
    s.run = NULL;
    dbk_index_table_cut(table, draw(f, 2) ? FIRST : 0);
    model_cut(&m, FIRST);
    check_all(f, &s, &m, 50);
    dbk_index_table_free(table);
    model_free(&m);
}

/* Positions that are not the run's. */
static void batches_of_others(void **state)
{
    fixture *f = *state;
    model m = model_new(5, 100);
    dbk_index_table *table = dbk_index_table_new(f->port, store_id, FIRST);
    dbk_index_run *run;
    dbk_index_batch batch;

    for (int i = 0; i < 5; i++) add_batch(f, &m, table, 4);
    write_run(f, &m, table);
    assert_int_equal(open_run(f, &m, &run, NULL), DBK_OK);
    assert_int_equal(dbk_index_run_find_batch(run, FIRST - 1, &batch, NULL), DBK_NONE);
    assert_int_equal(dbk_index_run_find_batch(run, m.next, &batch, NULL), DBK_NONE);
    assert_int_equal(dbk_index_run_find_batch(run, FIRST + 5, &batch, NULL), DBK_OK);
    assert_int_equal(batch.first_position, FIRST + 4);
    dbk_index_run_close(run);
    dbk_index_table_free(table);
    model_free(&m);
    static const char name[UINT16_MAX + 1];
    dbk_hash128 hash;
    assert_true(dbk_index_hash(store_id, DBK_INDEX_STREAM, dbk_slice_of(name, UINT16_MAX), &hash));
    assert_false(dbk_index_hash(store_id, DBK_INDEX_STREAM, dbk_slice_of(name, UINT16_MAX + 1), &hash));
    assert_false(dbk_index_hash(store_id, DBK_INDEX_STREAM, dbk_slice_of(name, 0), &hash));
}

static void few_names_make_long_chains(void **state)
{
    agrees_with_a_plain_list(*state, 3, 300, 2000);
}

static void many_names_make_many_hashes(void **state)
{
    agrees_with_a_plain_list(*state, NAMES_MAX, 600, 2000);
}

static void small_tables_of_all_sizes(void **state)
{
    for (int i = 0; i < 60; i++) agrees_with_a_plain_list(*state, 6, i, 30);
}

/* 100,000 entries with a command and a stream each: what a pair costs in memory and on disk. */
static void a_pair_is_small(void **state)
{
    fixture *f = *state;
    uint64_t before = dbk_simdisk_memory_bytes(f->disk);
    dbk_index_table *table = dbk_index_table_new(f->port, store_id, 1);
    dbk_index_source source = {.first_position = 1, .last_position = 100000}, found;
    dbk_index_run *run;
    uint64_t position;

    for (uint32_t i = 1; i <= 100000; i++) {
        char command[32], stream[32];
        (void)snprintf(command, sizeof(command), "c%u", i);
        (void)snprintf(stream, sizeof(stream), "s/%u", i);
        add_stream(table, i, command, stream);
    }
    uint64_t in_memory = dbk_simdisk_memory_bytes(f->disk) - before;
    assert_true(in_memory <= UINT64_C(200000) * 48 && in_memory >= UINT64_C(200000) * 24);
    assert_int_equal(dbk_index_run_write(f->port, f->root, run_name, table, &source, NULL), DBK_OK);
    assert_true(dbk_simdisk_size(f->disk, run_name) <= 200000 * 23);
    assert_int_equal(dbk_index_run_open(f->port, f->root, run_name, store_id, &source, &found, &run, NULL), DBK_OK);
    uint64_t reads = 0;
    for (uint32_t i = 1; i <= 2000; i++) { /* what the first round touched, the second has */
        char stream[32];
        uint32_t wanted = (i - 1) % 1000 * 100 + 100;
        if (i <= 1001) reads = dbk_simdisk_calls(f->disk, DBK_SIM_READ);
        (void)snprintf(stream, sizeof(stream), "s/%u", wanted);
        assert_int_equal(run_find(run, DBK_INDEX_STREAM, dbk_slice_text(stream), 0, &position, NULL), DBK_OK);
        assert_int_equal(position, wanted);
        if (i == 1) assert_true(dbk_simdisk_calls(f->disk, DBK_SIM_READ) - reads <= 5);
    }
    assert_int_equal(dbk_simdisk_calls(f->disk, DBK_SIM_READ) - reads, 1000);
    for (uint32_t i = 0; i < 10000; i++) {
        char stream[32];
        (void)snprintf(stream, sizeof(stream), "absent/%u", i);
        assert_int_equal(run_find(run, DBK_INDEX_STREAM, dbk_slice_text(stream), 0, &position, NULL), DBK_OK);
        assert_int_equal(position, 0);
    }
    /* the filter lets through fewer than 1 in 100 */
    assert_true(dbk_simdisk_calls(f->disk, DBK_SIM_READ) - reads < 1100);
    dbk_index_run_close(run);
    source.page_limit = 3; /* a reader keeps few pages, and answers alike */
    source.without_batches = true;
    assert_int_equal(dbk_index_run_open(f->port, f->root, run_name, store_id, &source, &found, &run, NULL), DBK_OK);
    size_t memory = dbk_simdisk_memory_bytes(f->disk);
    for (uint32_t i = 1; i <= 1000; i++) {
        char stream[32];
        (void)snprintf(stream, sizeof(stream), "s/%u", i * 100);
        assert_int_equal(run_find(run, DBK_INDEX_STREAM, dbk_slice_text(stream), 0, &position, NULL), DBK_OK);
        assert_int_equal(position, i * 100);
        assert_true(dbk_simdisk_memory_bytes(f->disk) <= memory + 4 * DBK_INDEX_PAGE_SIZE);
    }
    dbk_index_run_close(run);
    dbk_index_table_free(table);
}

/* Kind, store and name all are in the hash; names that no entry can carry are not found. */
static void hashes_differ_in_each_part(void **state)
{
    fixture *f = *state;
    static uint8_t long_name[UINT16_MAX + 1];
    uint8_t other_store[16] = "another of tests";
    dbk_index_table *table = dbk_index_table_new(f->port, store_id, FIRST);
    dbk_hash128 one, two;
    uint64_t position = 9;

    add_stream(table, FIRST, "", "name");
    table_find(table, DBK_INDEX_STREAM, dbk_slice_text("name"), 0, &position);
    assert_int_equal(position, FIRST);
    table_find(table, DBK_INDEX_COMMAND, dbk_slice_text("name"), 0, &position);
    assert_int_equal(position, 0);
    assert_true(dbk_index_hash(store_id, DBK_INDEX_STREAM, dbk_slice_text("name"), &one));
    assert_true(dbk_index_hash(other_store, DBK_INDEX_STREAM, dbk_slice_text("name"), &two));
    assert_true(one.high != two.high && one.low != two.low);
    assert_true(dbk_index_hash(store_id, DBK_INDEX_STREAM, dbk_slice_of(long_name, UINT16_MAX), &one));
    assert_false(dbk_index_hash(store_id, DBK_INDEX_STREAM, dbk_slice_of(long_name, UINT16_MAX + 1), &one));
    table_find(table, DBK_INDEX_STREAM, dbk_slice_of(NULL, 0), 0, &position);
    assert_int_equal(position, 0);
    dbk_index_table_free(table);
    dbk_index_table_free(NULL);
    dbk_index_run_close(NULL);
}

/* Walking down a stream of 200,000 entries in memory costs no more than a search for each step;
 * with a walk from the top each time this test would run into its time limit. */
static void a_long_stream_is_walked_down(void **state)
{
    fixture *f = *state;
    dbk_index_table *table = dbk_index_table_new(f->port, store_id, FIRST);
    uint64_t position = 0;

    for (uint32_t i = 0; i < 200000; i++) add_stream(table, FIRST + 2 * i, "c", i % 100 ? "hot" : "cold");
    for (uint32_t i = 200000; i > 0; i--) {
        if ((i - 1) % 100 == 0) continue;
        table_find(table, DBK_INDEX_STREAM, dbk_slice_text("hot"), position, &position);
        assert_int_equal(position, FIRST + 2 * (i - 1));
    }
    table_find(table, DBK_INDEX_STREAM, dbk_slice_text("hot"), position, &position);
    assert_int_equal(position, 0);
    dbk_index_table_free(table);
}

/* Many events of one entry on one stream are one record. */
static void a_stream_is_indexed_once_an_entry(void **state)
{
    fixture *f = *state;
    dbk_index_table *table = dbk_index_table_new(f->port, store_id, FIRST);
    dbk_entry entry = {.event_count = 100, .command_id = dbk_slice_text("n1/")};
    dbk_buffer events;

    dbk_buffer_init(&events, dbk_port_system());
    for (uint32_t i = 0; i < 100; i++) put_event(&events, 1 + i % 2);
    entry.events = dbk_buffer_slice(&events);
    for (uint32_t i = 1; i <= 3; i++) {
        assert_int_equal(dbk_index_table_add(table, FIRST + i, &entry, NULL), DBK_OK);
        assert_int_equal(table->record_count, 3 * i);
        assert_int_equal(table->hash_count, 3);
    }
    dbk_buffer_release(&events);
    dbk_index_table_free(table);
}

static void positions_too_far_are_refused(void **state)
{
    fixture *f = *state;
    dbk_index_table *table = dbk_index_table_new(f->port, store_id, 1);
    dbk_entry entry = {.command_id = dbk_slice_text("c")};
    dbk_error err;

    assert_int_equal(dbk_index_table_add(table, UINT64_C(1) + UINT32_MAX, &entry, &err), DBK_OK);
    assert_int_equal(dbk_index_table_add(table, UINT64_C(2) + UINT32_MAX, &entry, &err), DBK_TOO_BIG);
    assert_string_equal(err.text, "cannot index position 4294967297: too far from 1");
    dbk_index_table_free(table);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(batches_of_others, set_up, tear_down),
        cmocka_unit_test_setup_teardown(few_names_make_long_chains, set_up, tear_down),
        cmocka_unit_test_setup_teardown(many_names_make_many_hashes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(small_tables_of_all_sizes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_pair_is_small, set_up, tear_down),
        cmocka_unit_test_setup_teardown(hashes_differ_in_each_part, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_long_stream_is_walked_down, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_stream_is_indexed_once_an_entry, set_up, tear_down),
        cmocka_unit_test_setup_teardown(positions_too_far_are_refused, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
