/* The vectors are in tests/data/model/vectors.json, made by the model of the design. */
#include "fixture.h"

static dbk_buffer vectors_text;
static dbk_json_parser *parser;
static const dbk_json_node *vectors;

static int load_vectors(void **state)
{
    const dbk_port *port = dbk_port_system();
    dbk_dir *dir;

    (void)state;
    dbk_buffer_init(&vectors_text, port);
    assert_int_equal(dbk_io_open_dir(port, NULL, DBK_TEST_DATA "/model", 0, &dir, NULL), DBK_OK);
    assert_int_equal(dbk_io_read_file(port, dir, "vectors.json", 1 << 20, &vectors_text, NULL), DBK_OK);
    port->close_dir(port->ctx, dir);
    parser = dbk_json_parser_new(port);
    assert_int_equal(dbk_json_parse(parser, dbk_buffer_slice(&vectors_text), &vectors, NULL), DBK_OK);
    return 0;
}

static int release_vectors(void **state)
{
    (void)state;
    dbk_json_parser_free(parser);
    dbk_buffer_release(&vectors_text);
    return 0;
}

static void assert_digest(const uint8_t *digest, size_t size, dbk_slice hex)
{
    char text[129];

    dbk_hex_encode(dbk_slice_of(digest, size), text);
    assert_int_equal(hex.size, 2 * size);
    assert_memory_equal(text, hex.data, hex.size);
}

/* The purposes give the empty text digests as different as those of different texts. */
static void purposes_are_personalisations(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        dbk_purpose purpose;
    } table[] = {{"leaf", DBK_DIGEST_LEAF},
                 {"node", DBK_DIGEST_NODE},
                 {"head", DBK_DIGEST_HEAD},
                 {"command", DBK_DIGEST_COMMAND},
                 {"row", DBK_DIGEST_ROW}};
    const dbk_json_node *expected = dbk_json_member(vectors, "empty_blake2b");
    uint8_t digest[32];

    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        dbk_slice hex = dbk_json_member(expected, table[i].name)->text;
        dbk_digest(table[i].purpose, (dbk_slice){NULL, 0}, digest, sizeof(digest));
        assert_digest(digest, sizeof(digest), hex);
        dbk_digest_parts(table[i].purpose, NULL, 0, digest, sizeof(digest));
        assert_digest(digest, sizeof(digest), hex);
    }
}

/* The model has no vector for a definition: this one is of Python's hashlib.blake2b. */
static void definitions_have_a_purpose_of_their_own(void **state)
{
    (void)state;
    uint8_t digest[32], longest[64];

    dbk_digest(DBK_DIGEST_DEFINITION, dbk_slice_text("abc"), digest, sizeof(digest));
    assert_digest(digest, 32, dbk_slice_text("aaf1c551077f2f3ddd7a1779a57b92ce5981f81bb0fd0c3aa6da80f2a24813b9"));
    dbk_digest(DBK_DIGEST_DEFINITION, dbk_slice_text("abc"), digest, 1);
    assert_digest(digest, 1, dbk_slice_text("4a"));
    dbk_digest(DBK_DIGEST_DEFINITION, dbk_slice_text("abc"), longest, 64);
    assert_digest(longest, 64,
                  dbk_slice_text("0a0afb31fc12ed82b6e0f88135a3fc19f1f197b6c22ebaf28b07428cd36e2e49"
                                 "3de3bedb28f762368d92ec7ef13b1bfc2542ac2ea73e81bab0c04098471d20b5"));
}

/* Origin bytes of each entry, whole and in parts cut at every byte, give its leaf. */
static void leaves_of_entries_match_the_model(void **state)
{
    (void)state;
    const dbk_json_node *entries = dbk_json_member(vectors, "entries");
    const dbk_json_node *entry = dbk_json_child(entries);

    assert_in_range(entries->count, 5, 100);
    for (size_t i = 0; i < entries->count; i++, entry = dbk_json_next(entry)) {
        dbk_slice origin = dbk_json_member(entry, "origin_bytes")->text;
        dbk_slice leaf = dbk_json_member(entry, "leaf")->text;
        uint8_t bytes[1024], digest[32];
        size_t size = origin.size / 2;
        assert_in_range(size, 1, sizeof(bytes));
        assert_true(dbk_hex_decode(origin, bytes, size));
        dbk_digest(DBK_DIGEST_LEAF, dbk_slice_of(bytes, size), digest, sizeof(digest));
        assert_digest(digest, sizeof(digest), leaf);
        for (size_t cut = 0; cut <= size; cut++) {
            dbk_slice parts[] = {{bytes, cut}, {NULL, 0}, {bytes + cut, size - cut}};
            dbk_digest_parts(DBK_DIGEST_LEAF, parts, 3, digest, sizeof(digest));
            assert_digest(digest, sizeof(digest), leaf);
        }
    }
}

/* Nine leaves joined into mountains as the design says: leaf, node and head work together. */
static void heads_of_ranges_match_the_model(void **state)
{
    (void)state;
    const dbk_json_node *ranges = dbk_json_member(vectors, "range_heads");
    const dbk_json_node *heads = dbk_json_member(ranges, "heads_of_first_n_leaves");
    const dbk_json_node *expected = dbk_json_child(heads);
    uint8_t peaks[8][32], digest[32], count[8];
    unsigned heights[8], peak_count = 0;

    for (uint64_t n = 0; n < heads->count; n++, expected = dbk_json_next(expected)) {
        dbk_slice parts[9];
        dbk_store_u64(count, n);
        parts[0] = dbk_slice_of(count, 8);
        for (unsigned i = 0; i < peak_count; i++) parts[i + 1] = dbk_slice_of(peaks[i], 32);
        dbk_digest_parts(DBK_DIGEST_HEAD, parts, peak_count + 1, digest, sizeof(digest));
        assert_digest(digest, sizeof(digest), expected->text);
        uint8_t leaf = (uint8_t)n;
        unsigned height = 0;
        dbk_digest(DBK_DIGEST_LEAF, dbk_slice_of(&leaf, 1), digest, sizeof(digest));
        for (; peak_count && heights[peak_count - 1] == height; height++) {
            dbk_slice pair[] = {{peaks[--peak_count], 32}, {digest, 32}};
            uint8_t joined[32];
            dbk_digest_parts(DBK_DIGEST_NODE, pair, 2, joined, sizeof(joined));
            memcpy(digest, joined, sizeof(digest));
        }
        memcpy(peaks[peak_count], digest, sizeof(digest));
        heights[peak_count++] = height;
    }
    assert_int_equal(heads->count, 10);
}

/* The first two values are xxHash's published ones for the empty text. */
static void checksums_are_xxh3(void **state)
{
    (void)state;
    dbk_slice empty = {NULL, 0}, text = dbk_slice_text("daybook");
    dbk_hash128 hash = dbk_checksum128(empty);

    assert_true(dbk_checksum(empty, 0) == 0x2d06800538d394c2);
    assert_true(hash.high == 0x99aa06d3014798d8 && hash.low == 0x6001c324468d497f);
    assert_true(dbk_checksum(text, 0) != dbk_checksum(text, 1));
    assert_true(dbk_checksum(text, 1) == dbk_checksum(dbk_slice_text("daybook"), 1));
}

/* Sums carry from the low half into the high one, and differences borrow back. */
static void hash_sums_are_modulo_2_to_the_128(void **state)
{
    (void)state;
    dbk_hash128 zero = {0, 0}, one = {1, 0}, low = {UINT64_MAX, 0}, all = {UINT64_MAX, UINT64_MAX};
    dbk_hash128 sum = dbk_hash128_add(low, one);

    assert_true(sum.low == 0 && sum.high == 1);
    sum = dbk_hash128_subtract(sum, one);
    assert_true(sum.low == UINT64_MAX && sum.high == 0);
    sum = dbk_hash128_add(all, one);
    assert_true(sum.low == 0 && sum.high == 0);
    sum = dbk_hash128_subtract(zero, one);
    assert_true(sum.low == UINT64_MAX && sum.high == UINT64_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(purposes_are_personalisations),
        cmocka_unit_test(definitions_have_a_purpose_of_their_own),
        cmocka_unit_test(leaves_of_entries_match_the_model),
        cmocka_unit_test(heads_of_ranges_match_the_model),
        cmocka_unit_test(checksums_are_xxh3),
        cmocka_unit_test(hash_sums_are_modulo_2_to_the_128),
    };

    return cmocka_run_group_tests_name("hash", tests, load_vectors, release_vectors);
}
