/* The log through its public header, on a simulated disk. */
#include "log_fixture.h"

/* An empty log is clean, at position 0, and has the head of nothing. */
static void test_empty(void **state)
{
    uint8_t head[DBK_LEAF_SIZE], at[DBK_LEAF_SIZE];
    dbk_buffer out;
    world w;

    (void)state;
    world_new(&w, 1);
    assert_int_equal(dbk_log_position(w.log), 0);
    assert_true(dbk_log_was_clean(w.log));
    dbk_log_head(w.log, head);
    assert_int_equal(dbk_log_head_at(w.log, 0, at, NULL), DBK_OK);
    assert_memory_equal(head, at, sizeof(head));
    dbk_buffer_init(&out, w.port);
    assert_int_equal(dbk_log_read(w.log, 1, &out, NULL, NULL), DBK_NONE);
    assert_int_equal(dbk_log_read(w.log, 0, &out, NULL, NULL), DBK_NONE);
    world_free(&w);
}

/* Batches of many sizes cross many segments; all of it reads back, before and after reopening. */
static void test_append_reopen(void **state)
{
    world w;

    (void)state;
    world_new(&w, 2);
    for (size_t i = 1; i < 120; i++) assert_int_equal(append(w.log, i % 17), DBK_OK);
    check_entries(w.log, 0);
    uint64_t position = dbk_log_position(w.log);
    world_reopen(&w);
    assert_true(dbk_log_was_clean(w.log));
    assert_int_equal(dbk_log_position(w.log), position);
    check_entries(w.log, 0);
    assert_int_equal(append(w.log, 5), DBK_OK);
    check_entries(w.log, 0);
    world_free(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_empty),
        cmocka_unit_test(test_append_reopen),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
