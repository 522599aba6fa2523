/* The leaves of a batch hashed by several threads give the range that one thread gives. */
#include <errno.h>
#include <unistd.h>

#include "log/leaves.h"
#include "tests/log/log_fixture.h"

enum { ENTRIES = 700, ROUNDS = 400, BYTES = 60000 };

static dbk_port here;
static uint32_t processors;
static unsigned started, refuse_behind;

static uint32_t wanted_processors(void *ctx)
{
    (void)ctx;
    return processors;
}

static int start_thread(void *ctx, const char *name, void (*run)(void *), void *arg, dbk_thread **out)
{
    if (started == refuse_behind) return -EAGAIN;
    started++;
    return dbk_port_system()->thread_start(ctx, name, run, arg, out);
}

static const dbk_port *machine_of(uint32_t count)
{
    here = *dbk_port_system();
    here.processors = wanted_processors;
    here.thread_start = start_thread;
    processors = count;
    started = 0;
    refuse_behind = 100;
    return &here;
}

typedef struct batch {
    uint8_t *bytes;
    dbk_slice origins[ENTRIES];
    size_t count;
    uint64_t size;
} batch;

/* Sizes of all kinds, now and then one that is as large as all others. */
static void fill(batch *b, size_t count, size_t largest)
{
    size_t at = 0;

    b->count = count;
    b->size = 0;
    for (size_t i = 0; i < count; i++) {
        size_t size = 1 + (size_t)rand() % largest;
        if (at + size > BYTES) at = (size_t)rand() % 64;
        b->origins[i] = dbk_slice_of(b->bytes + at, size);
        at += size;
        b->size += 4 + size;
    }
}

static void one_by_one(const batch *b, dbk_range *range)
{
    for (size_t i = 0; i < b->count; i++) {
        uint8_t leaf[DBK_LEAF_SIZE];
        dbk_entry_leaf(b->origins[i], leaf);
        dbk_range_add(range, leaf);
    }
}

static void assert_same(const dbk_range *a, const dbk_range *b)
{
    assert_true(a->count == b->count && a->peak_count == b->peak_count);
    assert_memory_equal(a->peaks, b->peaks, a->peak_count * sizeof(a->peaks[0]));
}

static void batch_new(batch *b)
{
    b->bytes = malloc(BYTES);
    assert_non_null(b->bytes);
    for (size_t i = 0; i < BYTES; i++) b->bytes[i] = (uint8_t)rand();
}

/* Batches of all counts and sizes, each behind those before, so that groups begin and end anywhere. */
static void the_range_is_that_of_one_thread(void **state)
{
    static const size_t largest[] = {20, 300, 2000, 20000, 50000};
    dbk_leaves *leaves = dbk_leaves_new(machine_of(4));
    dbk_range alone, together;
    unsigned shared = 0;
    batch b;

    (void)state;
    srand(11);
    batch_new(&b);
    dbk_range_init(&alone);
    dbk_range_init(&together);
    for (int i = 0; i < ROUNDS; i++) {
        fill(&b, 1 + (size_t)rand() % (i % 3 ? ENTRIES : 9), largest[i % 5]);
        one_by_one(&b, &alone);
        if (i % 7 == 6 && dbk_leaves_begin(leaves, b.origins, b.count, b.size, together.count))
            dbk_leaves_drop(leaves); /* and begun again */
        if (dbk_leaves_begin(leaves, b.origins, b.count, b.size, together.count)) {
            dbk_leaves_add(leaves, &together);
            shared++;
        } else {
            one_by_one(&b, &together);
        }
        assert_same(&alone, &together);
    }
    assert_true(shared > ROUNDS / 2);
    assert_int_equal(started, 3);
    dbk_leaves_free(leaves);
    free(b.bytes);
}

/* One processor, no thread, a small batch: nothing is begun. */
static void it_begins_only_where_it_is_worth_it(void **state)
{
    batch b;

    (void)state;
    batch_new(&b);
    fill(&b, ENTRIES, 400);
    for (int i = 0; i < 3; i++) {
        dbk_leaves *leaves = dbk_leaves_new(machine_of(i == 0 ? 1 : 2));
        refuse_behind = i == 1 ? 0 : 1;
        assert_int_equal(dbk_leaves_begin(leaves, b.origins, b.count, b.size, 5), i == 2);
        if (i == 2) dbk_leaves_drop(leaves);
        assert_false(dbk_leaves_begin(leaves, b.origins, 20, 20 * 400, 5));
        assert_false(dbk_leaves_begin(leaves, b.origins, 1, DBK_LEAVES_WORTH_BYTES, 5));
        dbk_leaves_free(leaves);
    }
    free(b.bytes);
}

static unsigned calls, failing;
static dbk_mutex *mutex_or_fail(void *ctx)
{
    return ++calls == failing ? NULL : dbk_port_system()->mutex_new(ctx);
}
static dbk_cond *cond_or_fail(void *ctx)
{
    return ++calls == failing ? NULL : dbk_port_system()->cond_new(ctx);
}
static void *alloc_or_fail(void *ctx, size_t size)
{
    return ++calls == failing ? NULL : dbk_port_system()->alloc(ctx, size);
}
static void *resize_or_fail(void *ctx, void *memory, size_t size)
{
    return ++calls == failing ? NULL : dbk_port_system()->resize(ctx, memory, size);
}

/* Each allocation fails: there are no helpers, or they do not begin; nothing leaks. More processors than are used. */
static void without_memory_it_does_not_begin(void **state)
{
    batch b;

    (void)state;
    batch_new(&b);
    fill(&b, ENTRIES, 400);
    for (failing = 1; failing <= 6; failing++) {
        (void)machine_of(64);
        here.mutex_new = mutex_or_fail;
        here.cond_new = cond_or_fail;
        here.alloc = alloc_or_fail;
        here.resize = resize_or_fail;
        calls = 0;
        dbk_leaves *leaves = dbk_leaves_new(&here);
        if (failing <= 4) assert_null(leaves);
        if (!leaves) continue;
        bool begun = dbk_leaves_begin(leaves, b.origins, b.count, b.size, 5);
        assert_int_equal(begun, calls < failing);
        if (begun) dbk_leaves_drop(leaves);
        assert_true(started < 64);
        dbk_leaves_free(leaves);
    }
    free(b.bytes);
}

/* Batches of a log, large and small, and one that is refused in its middle: its head is that of its entries. */
static void a_log_of_large_batches_is_proven(void **state)
{
    char path[] = "/tmp/dbk-leaves-XXXXXX", command[64];
    dbk_log_options options = small_options();
    const dbk_port *port = machine_of(3);
    static const uint8_t zeros[512];
    dbk_slice bad[ENTRIES];
    dbk_log_report report;
    dbk_log *log;
    dbk_dir *dir;

    (void)state;
    assert_non_null(mkdtemp(path));
    assert_int_equal(port->open_dir(port->ctx, NULL, path, 0, &dir), 0);
    options.segment_first_bytes = options.segment_max_bytes = 1 << 20;
    assert_int_equal(dbk_log_create(port, dir, &options, NULL), DBK_OK);
    assert_int_equal(dbk_log_open(port, dir, &options, &log, NULL), DBK_OK);
    for (size_t i = 0; i < 6; i++) {
        assert_int_equal(append(log, 300 + 37 * i), DBK_OK);
        assert_int_equal(append(log, 3), DBK_OK);
        for (size_t k = 0; k < ENTRIES; k++) bad[k] = dbk_slice_of(zeros, sizeof(zeros));
        assert_int_equal(dbk_log_append(log, bad, ENTRIES, 0, NULL, NULL), DBK_CORRUPT);
    }
    assert_int_equal(started, 2);
    check_entries(log, 0);
    uint64_t count = dbk_log_position(log);
    dbk_log_close(log);
    assert_int_equal(dbk_log_verify(port, dir, &options, DBK_VERIFY_PROOF, NULL, &report, NULL), DBK_OK);
    assert_int_equal(report.faults, 0);
    assert_int_equal(report.entries, count);
    port->close_dir(port->ctx, dir);
    snprintf(command, sizeof(command), "rm -rf %s", path);
    assert_int_equal(system(command), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_range_is_that_of_one_thread),
        cmocka_unit_test(it_begins_only_where_it_is_worth_it),
        cmocka_unit_test(without_memory_it_does_not_begin),
        cmocka_unit_test(a_log_of_large_batches_is_proven),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
