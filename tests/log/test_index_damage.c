/* Runs that are damaged, missing, of another source or forged; calls and allocations that fail. */
#include <errno.h>

#include "tests/log/index_fixture.h"

/* A table of some entries and its run on the disk. */
typedef struct written {
    model m;
    dbk_index_table *table;
} written;

static written make_written(fixture *f, uint32_t names, uint32_t entries)
{
    written w = {model_new(names, entries), dbk_index_table_new(f->port, store_id, FIRST)};

    assert_non_null(w.table);
    for (uint32_t i = 0; i < entries; i += 4) add_batch(f, &w.m, w.table, 4);
    write_run(f, &w.m, w.table);
    return w;
}

static void free_written(written *w)
{
    dbk_index_table_free(w->table);
    model_free(&w->m);
}

/* Every name without bound and in the middle: DBK_CORRUPT with a text, or the table's answer. */
static size_t count_corrupt(dbk_index_run *run, const written *w)
{
    size_t corrupt = 0;

    for (uint32_t name = 1; name < w->m.names; name++) {
        for (int i = 0; i < 4; i++) {
            dbk_index_kind kind = i & 1 ? DBK_INDEX_COMMAND : DBK_INDEX_STREAM;
            uint64_t before = i & 2 ? (FIRST + w->m.next) / 2 : 0, position, wanted;
            dbk_error err;
            dbk_result rc = run_find(run, kind, name_of(name), before, &position, &err);
            table_find(w->table, kind, name_of(name), before, &wanted);
            if (rc == DBK_OK) {
                assert_int_equal(position, wanted);
                continue;
            }
            assert_int_equal(rc, DBK_CORRUPT);
            assert_non_null(strstr(err.text, run_name));
            corrupt++;
        }
    }
    return corrupt;
}

/* A flipped bit in any byte of the file: refused at open, or where a key page is read. */
static void any_flipped_byte_is_found(void **state)
{
    fixture *f = *state;
    written w = make_written(f, 60, 160);
    int64_t size = dbk_simdisk_size(f->disk, run_name);
    size_t refused = 0, found = 0;

    assert_true(size >= 4 * DBK_INDEX_PAGE_SIZE);
    for (int64_t at = 0; at < size; at++) {
        dbk_index_run *run;
        dbk_error err;
        assert_int_equal(dbk_simdisk_flip_bit(f->disk, run_name, (uint64_t)at, (unsigned)at % 8), 0);
        dbk_result rc = open_run(f, &w.m, &run, &err);
        if (rc == DBK_OK) {
            found += count_corrupt(run, &w) > 0;
        } else {
            assert_int_equal(rc, DBK_CORRUPT);
            assert_non_null(strstr(err.text, run_name));
            refused++;
        }
        dbk_index_run_close(run);
        assert_int_equal(dbk_simdisk_flip_bit(f->disk, run_name, (uint64_t)at, (unsigned)at % 8), 0);
    }
    assert_int_equal(refused + found, size);
    assert_int_equal(refused % DBK_INDEX_PAGE_SIZE, 0);
    free_written(&w);
}

static void assert_open(fixture *f, const written *w, dbk_result code, const char *text)
{
    dbk_index_run *run;
    dbk_error err;

    assert_int_equal(open_run(f, &w->m, &run, &err), code);
    if (code < 0 && !strstr(err.text, text)) fail_msg("'%s' not in '%s'", text, err.text);
    dbk_index_run_close(run);
}

/* A file cut anywhere, grown, empty or gone. */
static void other_sizes_are_refused(void **state)
{
    fixture *f = *state;
    written w = make_written(f, 60, 160);
    uint64_t size = (uint64_t)dbk_simdisk_size(f->disk, run_name);

    for (uint64_t cut = 0; cut < size; cut += cut % DBK_INDEX_PAGE_SIZE == 0 ? 7 : 4089) {
        assert_int_equal(dbk_simdisk_copy(f->disk, run_name, "whole"), 0);
        assert_int_equal(dbk_simdisk_truncate(f->disk, run_name, cut), 0);
        assert_open(f, &w, DBK_CORRUPT,
                    cut < DBK_INDEX_PAGE_SIZE ? "the file ends within the page" : "its header asks for");
        assert_int_equal(dbk_simdisk_copy(f->disk, "whole", run_name), 0);
    }
    assert_open(f, &w, DBK_OK, "");
    assert_int_equal(dbk_simdisk_truncate(f->disk, run_name, size + 1), 0);
    assert_open(f, &w, DBK_CORRUPT, "its header asks for");
    assert_int_equal(dbk_simdisk_remove(f->disk, run_name), 0);
    assert_open(f, &w, DBK_MISSING, run_name);
    free_written(&w);
}

/* A page cut off behind the back of an open run. */
static void a_page_lost_later_is_found(void **state)
{
    fixture *f = *state;
    written w = make_written(f, 60, 160);
    dbk_index_run *run;

    assert_int_equal(open_run(f, &w.m, &run, NULL), DBK_OK);
    assert_int_equal(count_corrupt(run, &w), 0);
    assert_int_equal(dbk_simdisk_truncate(f->disk, run_name, DBK_INDEX_PAGE_SIZE + 9), 0);
    assert_true(count_corrupt(run, &w) > 0);
    dbk_index_run_close(run);
    free_written(&w);
}

/* Two whole key pages, each in the other's place: their checksums know where they belong. */
static void swapped_pages_are_found(void **state)
{
    fixture *f = *state;
    written w = make_written(f, 60, 160);
    uint8_t pages[2 * DBK_INDEX_PAGE_SIZE];
    dbk_index_run *run;

    assert_true(w.table->record_count > DBK_INDEX_PAGE_KEYS);
    assert_int_equal(dbk_simdisk_read(f->disk, run_name, DBK_INDEX_PAGE_SIZE, pages, sizeof(pages)), sizeof(pages));
    assert_int_equal(
        dbk_simdisk_write(f->disk, run_name, DBK_INDEX_PAGE_SIZE, pages + DBK_INDEX_PAGE_SIZE, DBK_INDEX_PAGE_SIZE), 0);
    assert_int_equal(dbk_simdisk_write(f->disk, run_name, 2 * DBK_INDEX_PAGE_SIZE, pages, DBK_INDEX_PAGE_SIZE), 0);
    assert_int_equal(open_run(f, &w.m, &run, NULL), DBK_OK);
    assert_true(count_corrupt(run, &w) > 100);
    dbk_index_run_close(run);
    free_written(&w);
}

static void expect_refused(fixture *f, const dbk_index_source *expect, const uint8_t store[16])
{
    dbk_index_source found;
    dbk_index_run *run;
    dbk_error err;

    assert_int_equal(dbk_index_run_open(f->port, f->root, run_name, store, expect, &found, &run, &err), DBK_CORRUPT);
    assert_null(run);
    assert_string_equal(err.text, "index '0000000000000003.idx' was made from another segment");
}

/* Segment, positions, salt and store are compared; head, top and order are handed out. */
static void source_is_compared(void **state)
{
    fixture *f = *state;
    written w = make_written(f, 9, 12);
    dbk_index_source expect = source_of(&w.m), other = expect, found;
    uint8_t other_store[16] = "another of tests";
    dbk_index_run *run;

    other.segment++;
    expect_refused(f, &other, store_id);
    other = expect;
    other.salt++;
    expect_refused(f, &other, store_id);
    other = expect;
    other.first_position--;
    expect_refused(f, &other, store_id);
    other = expect;
    other.last_position++;
    expect_refused(f, &other, store_id);
    expect_refused(f, &expect, other_store);
    other = expect;
    memset(other.head, 0, sizeof(other.head));
    memset(other.top, 0, sizeof(other.top));
    other.ordered = false;
    assert_int_equal(dbk_index_run_open(f->port, f->root, run_name, store_id, &other, &found, &run, NULL), DBK_OK);
    assert_memory_equal(found.head, expect.head, sizeof(found.head));
    assert_memory_equal(found.top, expect.top, sizeof(found.top));
    assert_true(found.ordered);
    assert_int_equal(found.segment, 3);
    assert_int_equal(found.last_position, expect.last_position);
    dbk_index_run_close(run);
    free_written(&w);
}

/* Changes bytes of a page and gives it the checksum that fits. */
static void forge(fixture *f, uint64_t number, size_t at, uint64_t value, size_t size)
{
    uint8_t page[DBK_INDEX_PAGE_SIZE];

    assert_int_equal(dbk_simdisk_read(f->disk, run_name, number * sizeof(page), page, sizeof(page)), sizeof(page));
    memcpy(page + at, &value, size);
    dbk_store_u64(page + DBK_INDEX_PAYLOAD_SIZE, dbk_index_page_checksum(page, number, 0x1234567890abcdef));
    assert_int_equal(dbk_simdisk_write(f->disk, run_name, number * sizeof(page), page, sizeof(page)), 0);
}

static void forge_and_restore(fixture *f, const written *w, uint64_t page, size_t at, uint64_t value, size_t size,
                              const char *text)
{
    assert_int_equal(dbk_simdisk_copy(f->disk, run_name, "whole"), 0);
    forge(f, page, at, value, size);
    assert_open(f, w, DBK_CORRUPT, text);
    assert_int_equal(dbk_simdisk_copy(f->disk, "whole", run_name), 0);
}

/* Where the header's fields stand by the comment of index_internal.h. */
enum {
    AT_VERSION = 8,
    AT_PAGE = 12,
    AT_ORDERED = 136,
    AT_KEYS = 140,
    AT_BLOCKS = 144,
    AT_BATCHES = 148,
    AT_AUTHORS = 152
};

/* Pages whose checksums fit but whose content cannot be: nothing is taken from them. */
static void forged_pages_are_refused(void **state)
{
    fixture *f = *state;
    written w = make_written(f, 9, 12);
    const char *header = "the header is not one of this version", *lists = "batches or authors are out of order";
    size_t batches = 64 + DBK_INDEX_KEY_SIZE, authors = batches + 3 * DBK_INDEX_BATCH_SIZE;

    forge_and_restore(f, &w, 0, 0, 'x', 1, header);
    forge_and_restore(f, &w, 0, AT_VERSION, 2, 4, header);
    forge_and_restore(f, &w, 0, AT_PAGE, 512, 4, header);
    forge_and_restore(f, &w, 0, AT_ORDERED, 2, 4, header);
    forge_and_restore(f, &w, 0, AT_BLOCKS, 0, 4, header);
    forge_and_restore(f, &w, 0, AT_KEYS, UINT32_MAX, 4, "its header asks for");
    forge_and_restore(f, &w, 0, AT_BLOCKS, UINT32_MAX, 4, "its header asks for");
    forge_and_restore(f, &w, 0, AT_BATCHES, UINT32_MAX, 4, "its header asks for");
    forge_and_restore(f, &w, 0, AT_AUTHORS, UINT32_MAX, 4, "its header asks for");
    forge_and_restore(f, &w, 2, batches, FIRST - 1, 8, lists);
    forge_and_restore(f, &w, 2, batches + DBK_INDEX_BATCH_SIZE, FIRST, 8, lists);
    forge_and_restore(f, &w, 2, batches + 2 * DBK_INDEX_BATCH_SIZE, FIRST + 12, 8, lists);
    forge_and_restore(f, &w, 2, authors, FIRST - 1, 8, lists);
    forge_and_restore(f, &w, 2, authors, FIRST + 12, 8, lists);
    forge_and_restore(f, &w, 2, authors + 16, 0, 8, lists);
    forge_and_restore(f, &w, 2, authors + 16, 13, 8, lists);
    forge_and_restore(f, &w, 2, authors + 16, UINT64_MAX, 8, lists);
    forge_and_restore(f, &w, 2, authors + DBK_INDEX_AUTHOR_SIZE, FIRST, 8, lists);
    assert_open(f, &w, DBK_OK, "");
    free_written(&w);
}

/* Keys of a forged page never give a position outside the segment. */
static void forged_keys_stay_inside(void **state)
{
    fixture *f = *state;
    dbk_index_table *table = dbk_index_table_new(f->port, store_id, FIRST);
    model m = {.next = FIRST + 1};
    dbk_index_run *run;
    uint64_t position = 9;
    dbk_error err;

    add_stream(table, FIRST, "", "name");
    write_run(f, &m, table);
    forge(f, 1, 16, 1, 4);
    assert_int_equal(open_run(f, &m, &run, NULL), DBK_OK);
    assert_int_equal(run_find(run, DBK_INDEX_STREAM, dbk_slice_text("name"), 0, &position, &err), DBK_CORRUPT);
    assert_string_equal(err.text,
                        "index '0000000000000003.idx' is damaged at offset 4096: a key is beyond the segment");
    assert_int_equal(position, 0);
    dbk_index_run_close(run);
    dbk_index_table_free(table);
}

/* One fault in the n-th call of the kinds, from n = 1 until none is hit. */
static void fail_nth(fixture *f, uint32_t kinds, uint64_t n)
{
    dbk_simdisk_fault fault = {.kinds = kinds, .skip = n, .times = 1, .error = ENOSPC};

    dbk_simdisk_clear_faults(f->disk);
    dbk_simdisk_add_fault(f->disk, &fault);
}

static bool fault_was_hit(fixture *f)
{
    bool hit = dbk_simdisk_fault_hits(f->disk) > 0;

    dbk_simdisk_clear_faults(f->disk);
    return hit;
}

/* A table whose n-th allocation fails is as before, and takes the same entry the next time. */
static void table_survives_lack_of_memory(void **state)
{
    fixture *f = *state;
    dbk_index_table *table;
    uint64_t failed = 0, random = f->random;
    model m;
    subject s;

    for (uint64_t n = 0;
         fail_nth(f, DBK_SIM_MEMORY, n), table = dbk_index_table_new(f->port, store_id, FIRST), fault_was_hit(f); n++) {
        assert_null(table);
        assert_int_equal(n < 2, true);
    }
    assert_non_null(table);
    m = model_new(2000, 1200);
    s = (subject){.table = table};
    for (uint32_t i = 0; i < 1200; i++) {
        dbk_index_batch batch = {FIRST + i, i, 1, 0};
        model before = m;
        fail_nth(f, DBK_SIM_MEMORY, 0);
        dbk_result rc = dbk_index_table_add_batch(table, &batch, NULL);
        if (fault_was_hit(f)) {
            assert_int_equal(rc, DBK_NO_MEMORY);
            assert_int_equal(dbk_index_table_add_batch(table, &batch, NULL), DBK_OK);
            failed++;
        }
        m.batches[m.batch_count++] = batch;
        before.batch_count++;
        for (uint64_t n = 0;; n++) {
            uint32_t records = table->record_count, hashes = table->hash_count;
            random = f->random;
            fail_nth(f, DBK_SIM_MEMORY, n);
            if (try_add_entry(f, &m, table) == DBK_OK) break;
            assert_true(fault_was_hit(f));
            m = before;
            assert_int_equal(table->record_count, records);
            assert_int_equal(table->hash_count, hashes);
            check_finds(f, &s, &m, 20);
            check_authors(&s, &m);
            f->random = random;
            failed++;
        }
        dbk_simdisk_clear_faults(f->disk);
    }
    assert_true(failed > 20);
    check_all(f, &s, &m, 1000);
    dbk_index_table_free(table);
    model_free(&m);
}

/* Any call of a write that fails leaves the run that was there, or none, or the new one. */
static void failing_writes_leave_whole_runs(void **state)
{
    fixture *f = *state;
    written w = make_written(f, 60, 160);
    dbk_index_source source = source_of(&w.m);
    size_t memory = dbk_simdisk_memory_count(f->disk);
    dbk_result rc;

    for (int old = 0; old < 2; old++) {
        uint64_t n = 0;
        do {
            dbk_error err = {0};
            if (!old) (void)dbk_simdisk_remove(f->disk, run_name);
            fail_nth(f, DBK_SIM_IO | DBK_SIM_MEMORY, n++);
            rc = dbk_index_run_write(f->port, f->root, run_name, w.table, &source, &err);
            if (!fault_was_hit(f)) break;
            assert_int_equal(dbk_simdisk_memory_count(f->disk), memory);
            if (rc == DBK_OK) continue;
            assert_true(rc == DBK_NO_SPACE || rc == DBK_NO_MEMORY);
            assert_non_null(strstr(err.text, run_name));
            if (old || dbk_simdisk_exists(f->disk, run_name)) assert_open(f, &w, DBK_OK, "");
        } while (true);
        assert_true(n > 6);
        assert_int_equal(rc, DBK_OK);
    }
    free_written(&w);
}

/* Any call of an open or a find that fails is told; nothing is kept. */
static void failing_reads_are_told(void **state)
{
    fixture *f = *state;
    written w = make_written(f, 60, 160);
    size_t memory = dbk_simdisk_memory_count(f->disk), handles = dbk_simdisk_handle_count(f->disk);
    dbk_index_run *run;
    uint64_t n = 0, position;
    dbk_error err;

    for (;; n++) {
        fail_nth(f, DBK_SIM_IO | DBK_SIM_MEMORY, n);
        dbk_result rc = open_run(f, &w.m, &run, &err);
        if (!fault_was_hit(f)) break;
        assert_true(rc == DBK_NO_SPACE || rc == DBK_NO_MEMORY);
        assert_non_null(strstr(err.text, run_name));
        assert_int_equal(dbk_simdisk_memory_count(f->disk), memory);
        assert_int_equal(dbk_simdisk_handle_count(f->disk), handles);
    }
    assert_true(n > 8);
    fail_nth(f, DBK_SIM_READ, 0);
    assert_int_equal(run_find(run, DBK_INDEX_STREAM, name_of(1), 0, &position, &err), DBK_NO_SPACE);
    assert_true(fault_was_hit(f));
    dbk_index_run_close(run);
    free_written(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(any_flipped_byte_is_found, set_up, tear_down),
        cmocka_unit_test_setup_teardown(other_sizes_are_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_page_lost_later_is_found, set_up, tear_down),
        cmocka_unit_test_setup_teardown(swapped_pages_are_found, set_up, tear_down),
        cmocka_unit_test_setup_teardown(source_is_compared, set_up, tear_down),
        cmocka_unit_test_setup_teardown(forged_pages_are_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(forged_keys_stay_inside, set_up, tear_down),
        cmocka_unit_test_setup_teardown(table_survives_lack_of_memory, set_up, tear_down),
        cmocka_unit_test_setup_teardown(failing_writes_leave_whole_runs, set_up, tear_down),
        cmocka_unit_test_setup_teardown(failing_reads_are_told, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
