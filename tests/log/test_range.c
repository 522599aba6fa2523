#include "tests/log/vectors.h"

static const char *project;

/* Order key and leaf of every vector, and the id inside the key. */
static void vectors_have_their_keys_and_leaves(void **state)
{
    vectors v = vectors_open(project);
    const dbk_json_node *vector = dbk_json_child(v.entries);

    (void)state;
    for (size_t i = 0; i < v.entries->count; i++, vector = dbk_json_next(vector)) {
        dbk_buffer origin = vector_bytes(vector, "origin_bytes");
        dbk_buffer leaf = vector_bytes(vector, "leaf"), key = vector_bytes(vector, "order_key");
        uint8_t made_leaf[DBK_LEAF_SIZE], made_key[DBK_ORDER_KEY_SIZE];
        dbk_entry entry;
        assert_int_equal(dbk_entry_decode(dbk_buffer_slice(&origin), &entry, NULL), DBK_OK);
        dbk_entry_leaf(dbk_buffer_slice(&origin), made_leaf);
        dbk_entry_order_key(&entry, made_key);
        assert_int_equal(leaf.size, sizeof(made_leaf));
        assert_int_equal(key.size, sizeof(made_key));
        assert_memory_equal(made_leaf, leaf.data, sizeof(made_leaf));
        assert_memory_equal(made_key, key.data, sizeof(made_key));
        dbk_buffer_release(&origin);
        dbk_buffer_release(&leaf);
        dbk_buffer_release(&key);
    }
    vectors_close(&v);
}

/* memcmp of the made keys puts the vectors into the model's canonical order. */
static void keys_sort_canonically(void **state)
{
    vectors v = vectors_open(project);
    const dbk_json_node *order = dbk_json_member(v.root, "canonical_order");
    const dbk_json_node *what = dbk_json_child(order);
    uint8_t last[DBK_ORDER_KEY_SIZE] = {0}, key[DBK_ORDER_KEY_SIZE];

    (void)state;
    assert_int_equal(order->count, 8);
    for (size_t i = 0; i < order->count; i++, what = dbk_json_next(what)) {
        char name[64];
        dbk_entry entry;
        (void)snprintf(name, sizeof(name), "%.*s", DBK_SLICE_ARG(what->text));
        dbk_buffer origin = vector_bytes(vector_named(&v, name), "origin_bytes");
        assert_int_equal(dbk_entry_decode(dbk_buffer_slice(&origin), &entry, NULL), DBK_OK);
        dbk_entry_order_key(&entry, key);
        assert_true(memcmp(last, key, sizeof(key)) < 0);
        memcpy(last, key, sizeof(key));
        dbk_buffer_release(&origin);
    }
    vectors_close(&v);
}

static void byte_leaf(uint8_t byte, uint8_t leaf[DBK_LEAF_SIZE])
{
    dbk_entry_leaf(dbk_slice_of(&byte, 1), leaf);
}

/* The heads of the model over its first leaves, none included. */
static void heads_are_the_models(void **state)
{
    vectors v = vectors_open(project);
    const dbk_json_node *heads = dbk_json_member(dbk_json_member(v.root, "range_heads"), "heads_of_first_n_leaves");
    const dbk_json_node *expected = dbk_json_child(heads);
    dbk_range range;

    (void)state;
    assert_int_equal(heads->count, 10);
    dbk_range_init(&range);
    for (size_t n = 0; n < heads->count; n++, expected = dbk_json_next(expected)) {
        uint8_t head[DBK_LEAF_SIZE], leaf[DBK_LEAF_SIZE], wanted[DBK_LEAF_SIZE];
        assert_true(dbk_hex_decode(expected->text, wanted, sizeof(wanted)));
        dbk_range_head(&range, head);
        assert_memory_equal(head, wanted, sizeof(head));
        byte_leaf((uint8_t)n, leaf);
        dbk_range_add(&range, leaf);
    }
    vectors_close(&v);
}

/* The root of the perfect tree over leaves first … first + size - 1, from the top down. */
static void tree_root(size_t first, size_t size, uint8_t root[DBK_LEAF_SIZE])
{
    uint8_t pair[2 * DBK_LEAF_SIZE];

    if (size == 1) {
        byte_leaf((uint8_t)first, root);
        return;
    }
    tree_root(first, size / 2, pair);
    tree_root(first + size / 2, size / 2, pair + DBK_LEAF_SIZE);
    dbk_digest(DBK_DIGEST_NODE, dbk_slice_of(pair, sizeof(pair)), root, DBK_LEAF_SIZE);
}

/* After every leaf the peaks are the perfect trees of the count's set bits, the highest first. */
static void peaks_are_perfect_trees(void **state)
{
    dbk_range range;
    uint8_t leaf[DBK_LEAF_SIZE], root[DBK_LEAF_SIZE];

    (void)state;
    dbk_range_init(&range);
    for (size_t count = 1; count <= 130; count++) {
        size_t first = 0;
        uint32_t peak = 0;
        byte_leaf((uint8_t)(count - 1), leaf);
        dbk_range_add(&range, leaf);
        assert_int_equal(range.count, count);
        for (size_t size = 128; size; size /= 2) {
            if (!(count & size)) continue;
            tree_root(first, size, root);
            assert_memory_equal(range.peaks[peak], root, sizeof(root));
            first += size;
            peak++;
        }
        assert_int_equal(range.peak_count, peak);
    }
}

static void ids_have_one_text(void **state)
{
    dbk_entry_id id = {.incarnation = UINT32_MAX, .seq = UINT64_MAX}, parsed = {{0}, 0, 0};
    char text[DBK_ENTRY_ID_TEXT_SIZE];

    (void)state;
    memset(id.replica, 0xfe, sizeof(id.replica));
    dbk_entry_id_text(&id, text);
    assert_string_equal(text, "fefefefefefefefefefefefefefefefe.4294967295.18446744073709551615");
    assert_true(dbk_entry_id_parse(dbk_slice_text(text), &parsed));
    assert_true(dbk_entry_id_equal(&id, &parsed));
    assert_true(dbk_entry_id_parse(dbk_slice_text("00000000000000000000000000000000.0.10"), &parsed));
    assert_int_equal(parsed.incarnation, 0);
    assert_int_equal(parsed.seq, 10);
}

#define REPLICA "000102030405060708090a0b0c0d0e0f"

static void other_texts_are_no_ids(void **state)
{
    static const char *const texts[] = {
        "",
        ".",
        REPLICA,
        REPLICA ".",
        REPLICA ".1",
        REPLICA ".1.",
        REPLICA "..1",
        REPLICA ".1.0",
        REPLICA ".01.1",
        REPLICA ".1.01",
        REPLICA ".+1.1",
        REPLICA ".1.-1",
        REPLICA ".1.1.1",
        REPLICA ".1.1 ",
        " " REPLICA ".1.1",
        REPLICA ".4294967296.1",
        REPLICA ".1.18446744073709551616",
        REPLICA ".1.99999999999999999999",
        REPLICA ".1.184467440737095516150",
        REPLICA "0.1.1",
        "000102030405060708090a0b0c0d0e0F.1.1",
        "000102030405060708090a0b0c0d0e0g.1.1",
        "000102030405060708090a0b0c0d0e.1.1",
        REPLICA ".1.a",
        REPLICA ",1.1",
        REPLICA ".1,1",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        dbk_entry_id id = {.seq = 77};
        if (dbk_entry_id_parse(dbk_slice_text(texts[i]), &id)) fail_msg("taken: '%s'", texts[i]);
        assert_int_equal(id.seq, 77);
    }
    assert_false(dbk_entry_id_parse((dbk_slice){NULL, 0}, &(dbk_entry_id){.seq = 1}));
}

static void ids_differ_in_each_part(void **state)
{
    const dbk_entry_id id = {.incarnation = 1, .seq = 2};
    dbk_entry_id other = id;

    (void)state;
    assert_true(dbk_entry_id_equal(&id, &other));
    other.replica[15] = 1;
    assert_false(dbk_entry_id_equal(&id, &other));
    other = id;
    other.incarnation = 2;
    assert_false(dbk_entry_id_equal(&id, &other));
    other = id;
    other.seq = 1;
    assert_false(dbk_entry_id_equal(&id, &other));
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(vectors_have_their_keys_and_leaves),
        cmocka_unit_test(keys_sort_canonically),
        cmocka_unit_test(heads_are_the_models),
        cmocka_unit_test(peaks_are_perfect_trees),
        cmocka_unit_test(ids_have_one_text),
        cmocka_unit_test(other_texts_are_no_ids),
        cmocka_unit_test(ids_differ_in_each_part),
    };

    if (argc != 2) return fprintf(stderr, "usage: %s PROJECT\n", argv[0]), 2;
    project = argv[1];
    return cmocka_run_group_tests(tests, NULL, NULL);
}
