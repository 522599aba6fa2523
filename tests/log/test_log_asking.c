/* Whoever asks a sound log, as its writer or beside it, is given the answer or told of the call or the allocation that
 * failed: each of them in turn, once and from there on. Nothing is changed by asking, and nothing leaks. The log is one
 * of this writer's, one of the first packed form, or either with a table of blocks that is lost. */
#include "asking.h"

#include "tests/support/step.h"

static uint64_t runs, step = 1;

static void each_failure(form of, bool lost, bool writer, uint32_t kinds, uint64_t times)
{
    world w;

    make(&w, of, lost);
    dbk_simdisk_image *image = dbk_simdisk_snapshot(w.disk);
    dbk_simdisk_fault fault = {.kinds = kinds, .times = times, .error = 5};
    for (bool hit = true; hit; fault.skip += of == OWN && !lost ? 1 : step) {
        dbk_simdisk_restore(w.disk, image);
        w.dir = root_of(w.port);
        dbk_simdisk_add_fault(w.disk, &fault);
        ask_all(&w, writer);
        hit = dbk_simdisk_fault_hits(w.disk) > 0;
        dbk_simdisk_clear_faults(w.disk);
        world_close(&w);
        assert_int_equal(dbk_simdisk_memory_count(w.disk), 0);
        if (!writer) assert_true(dbk_simdisk_same(w.disk, image, NULL, 0));
        runs++;
    }
    world_free(&w);
}

static void each_of(form of, bool lost)
{
    static const uint32_t kinds[] = {DBK_SIM_READ | DBK_SIM_OPEN | DBK_SIM_LIST | DBK_SIM_IDENTIFY, DBK_SIM_MEMORY};

    for (int writer = 0; writer < 2; writer++) {
        for (size_t i = 0; i < 4; i++) each_failure(of, lost, writer, kinds[i / 2], i % 2);
    }
}

static void test_own(void **state)
{
    (void)state;
    each_of(OWN, false);
}

static void test_own_without_table(void **state)
{
    (void)state;
    if (!keep_plain) each_of(OWN, true);
}

/* It is packed as it is, whatever becomes of what is sealed from now on. */
static void test_first_form(void **state)
{
    (void)state;
    if (!keep_plain) each_of(FIRST_FORM, false);
}

static void test_first_form_without_table(void **state)
{
    (void)state;
    if (!keep_plain) each_of(FIRST_FORM, true);
}

/* What the indexes would have answered is read from the segments. */
static void test_rotten_caches(void **state)
{
    (void)state;
    each_of(ROTTEN, false);
}

static void test_hashes_apart(void **state)
{
    (void)state;
    if (!keep_plain) each_of(DRAWN, false);
    with_hashes = false;
}

/* Opening refuses; verification goes on behind each damage. */
static void test_damaged(void **state)
{
    (void)state;
    if (!keep_plain) return;
    anything_fails = true;
    each_of(DAMAGED, false);
    anything_fails = false;
}

int main(int argc, char **argv)
{
    checkpoint_bytes = 512;
    if (argc > 1) root = argv[1];
    step = step_argument(argc, argv, 2);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_own),           cmocka_unit_test(test_own_without_table),
        cmocka_unit_test(test_first_form),    cmocka_unit_test(test_first_form_without_table),
        cmocka_unit_test(test_rotten_caches), cmocka_unit_test(test_hashes_apart),
        cmocka_unit_test(test_damaged),
    };
    int red = run_both_forms(tests);
    printf("%llu runs, in each another call failing: every one of them\n", (unsigned long long)runs);
    return red;
}
