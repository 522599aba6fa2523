/* Proofs made from a log, checked without it. */
#include "log_fixture.h"

#include "log/internal.h"

enum { LEAVES_MAX = 420 };

/* Head and range of every prefix, from the leaves themselves. */
static void model(dbk_log *log, dbk_range *ranges, uint64_t count)
{
    dbk_buffer out;

    dbk_buffer_init(&out, dbk_port_system());
    dbk_range_init(&ranges[0]);
    for (uint64_t position = 1; position <= count; position++) {
        uint8_t leaf[DBK_LEAF_SIZE];
        assert_int_equal(dbk_log_read(log, position, &out, NULL, NULL), DBK_OK);
        dbk_entry_leaf(dbk_buffer_slice(&out), leaf);
        ranges[position] = ranges[position - 1];
        dbk_range_add(&ranges[position], leaf);
    }
    dbk_buffer_release(&out);
}

static bool same_range(const dbk_range *a, const dbk_range *b)
{
    return a->count == b->count && a->peak_count == b->peak_count &&
           memcmp(a->peaks, b->peaks, a->peak_count * DBK_LEAF_SIZE) == 0;
}

static dbk_range *grown(world *w, uint64_t *count)
{
    dbk_range *ranges = calloc(LEAVES_MAX + 1, sizeof(*ranges));

    world_new(w, 21);
    for (size_t i = 0; i < 60; i++) assert_int_equal(append(w->log, 1 + i % 13), DBK_OK);
    *count = dbk_log_position(w->log);
    assert_true(*count <= LEAVES_MAX && w->log->segment_count >= 5);
    model(w->log, ranges, *count);
    return ranges;
}

/* Each position under many heads: the proof holds, ends in the head, and reads back from its JSON. */
static void test_inclusion(void **state)
{
    static dbk_inclusion proof;
    uint64_t end;
    world w;

    (void)state;
    dbk_range *ranges = grown(&w, &end);
    for (uint64_t count = 1; count <= end; count += count < 70 ? 1 : 37) {
        for (uint64_t position = 1; position <= count; position += 1 + count / 40) {
            assert_int_equal(dbk_log_prove(w.log, position, count, &proof, NULL), DBK_OK);
            assert_true(same_range(&proof.range, &ranges[count]));
            assert_true(dbk_inclusion_holds(&proof));
        }
    }
    assert_int_equal(dbk_log_prove(w.log, end, 0, &proof, NULL), DBK_OK);
    assert_int_equal(proof.range.count, end);
    assert_int_equal(dbk_log_prove(w.log, 0, 0, &proof, NULL), DBK_NONE);
    assert_int_equal(dbk_log_prove(w.log, end + 1, 0, &proof, NULL), DBK_NONE);
    assert_int_equal(dbk_log_prove(w.log, 9, 8, &proof, NULL), DBK_NONE);
    assert_int_equal(dbk_log_prove(w.log, 1, end + 1, &proof, NULL), DBK_NONE);
    free(ranges);
    world_free(&w);
}

/* Any two heads, the empty one too. */
static void test_extension(void **state)
{
    static dbk_extension proof;
    static dbk_range range;
    uint64_t end;
    world w;

    (void)state;
    dbk_range *ranges = grown(&w, &end);
    for (uint64_t old = 0; old <= end; old += 1 + old / 9) {
        assert_int_equal(dbk_log_range_at(w.log, old, &range, NULL), DBK_OK);
        assert_true(same_range(&range, &ranges[old]));
        for (uint64_t count = old; count <= end; count += 1 + (count - old) / 5) {
            assert_int_equal(dbk_log_prove_extension(w.log, old, count ? count : end, &proof, NULL), DBK_OK);
            assert_true(same_range(&proof.old, &ranges[old]));
            assert_true(same_range(&proof.range, &ranges[count ? count : end]));
            assert_true(dbk_extension_holds(&proof));
        }
    }
    assert_int_equal(dbk_log_prove_extension(w.log, 5, 4, &proof, NULL), DBK_NONE);
    assert_int_equal(dbk_log_prove_extension(w.log, 5, end + 1, &proof, NULL), DBK_NONE);
    free(ranges);
    world_free(&w);
}

/* A proof with any bit flipped, or a count or position changed, holds no more. */
static void test_forged(void **state)
{
    static dbk_inclusion inclusion, forged;
    static dbk_extension extension, false_one;
    uint64_t end;
    world w;

    (void)state;
    dbk_range *ranges = grown(&w, &end);
    assert_int_equal(dbk_log_prove(w.log, 77, 0, &inclusion, NULL), DBK_OK);
    for (uint32_t i = 0; i < inclusion.path_count; i++) {
        forged = inclusion;
        forged.path[i][i % DBK_LEAF_SIZE] ^= 1;
        assert_false(dbk_inclusion_holds(&forged));
    }
    forged = inclusion;
    forged.leaf[0] ^= 1;
    assert_false(dbk_inclusion_holds(&forged));
    for (uint64_t position = 0; position <= end + 1; position++) {
        forged = inclusion;
        forged.position = position;
        assert_int_equal(dbk_inclusion_holds(&forged), position == 77);
    }
    forged = inclusion;
    forged.range.count++;
    assert_false(dbk_inclusion_holds(&forged));
    forged = inclusion;
    forged.path_count--;
    assert_false(dbk_inclusion_holds(&forged));
    assert_int_equal(dbk_log_prove_extension(w.log, 77, 0, &extension, NULL), DBK_OK);
    for (int shape = 0; shape < 5; shape++) { /* that no proof has */
        false_one = extension;
        if (shape == 0) false_one.old.peak_count++;
        if (shape == 1) false_one.range.peak_count--;
        if (shape == 2) false_one.old = extension.range, false_one.range = extension.old;
        if (shape == 3) false_one.tree_count--;
        if (shape == 4) false_one.tree_count++;
        assert_false(dbk_extension_holds(&false_one));
    }
    uint8_t beyond[DBK_LEAF_SIZE];
    assert_int_equal(dbk_log_head_at(w.log, end + 1, beyond, NULL), DBK_NONE);
    assert_int_equal(dbk_log_prove_extension(w.log, 77, end + 1, &false_one, NULL), DBK_NONE);
    assert_int_equal(dbk_log_prove_extension(w.log, 77, 76, &false_one, NULL), DBK_NONE);
    assert_int_equal(dbk_log_prove(w.log, 77, 76, &forged, NULL), DBK_NONE);
    for (uint32_t i = 0; i < extension.tree_count; i++) {
        false_one = extension;
        false_one.trees[i][31] ^= 128;
        assert_false(dbk_extension_holds(&false_one));
    }
    false_one = extension;
    false_one.tree_count--;
    assert_false(dbk_extension_holds(&false_one));
    false_one = extension;
    false_one.tree_count++;
    assert_false(dbk_extension_holds(&false_one));
    false_one = extension;
    false_one.old.peaks[0][0] ^= 1;
    assert_false(dbk_extension_holds(&false_one));
    free(ranges);
    world_free(&w);
}

static dbk_result read_text(dbk_slice text, dbk_proof *out, dbk_error *err)
{
    dbk_json_parser *parser = dbk_json_parser_new(dbk_port_system());
    const dbk_json_node *root;

    dbk_result rc = dbk_json_parse(parser, text, &root, err);
    if (rc == DBK_OK) rc = dbk_proof_read(root, out, err);
    dbk_json_parser_free(parser);
    return rc;
}

/* Whatever bit of the text flips, it is refused, or says the same. */
static void flip_all(dbk_buffer *text, const dbk_proof *want)
{
    static dbk_proof got;

    for (size_t i = 0; i < text->size; i++) {
        for (unsigned bit = 0; bit < 8; bit++) {
            text->data[i] ^= (uint8_t)(1u << bit);
            if (read_text(dbk_buffer_slice(text), &got, NULL) == DBK_OK) {
                assert_true(same_range(&got.range, &want->range));
                assert_int_equal(got.kind, want->kind);
            }
            text->data[i] ^= (uint8_t)(1u << bit);
        }
    }
}

/* Each member's value in turn replaced by one of another kind: refused, or not needed for what is proven. */
static void replace_all(const dbk_buffer *text, const dbk_proof *want)
{
    static const char *const values[] = {
        "null", "-1", "1.5", "\"x\"", "[]", "[1]", "{}", "[\"00\"]", "99999999999999999999"};
    static dbk_proof got;

    assert_int_equal(read_text(dbk_slice_text("[]"), &got, NULL), DBK_CORRUPT);
    for (size_t at = 0; at + 1 < text->size; at++) {
        if (text->data[at] != '"' || text->data[at + 1] != ':') continue;
        size_t end = at + 2, depth = 0;
        for (bool quoted = false; end < text->size; end++) {
            uint8_t c = text->data[end];
            if (c == '"') quoted = !quoted;
            if (!quoted && (c == '[' || c == '{')) depth++;
            if (!quoted && depth == 0 && (c == ',' || c == '}')) break;
            if (!quoted && (c == ']' || c == '}')) depth--;
        }
        for (size_t i = 0; i < sizeof(values) / sizeof(*values); i++) {
            dbk_buffer changed;
            dbk_buffer_init(&changed, dbk_port_system());
            dbk_buffer_put(&changed, text->data, at + 2);
            dbk_buffer_put_text(&changed, values[i]);
            dbk_buffer_put(&changed, text->data + end, text->size - end);
            if (read_text(dbk_buffer_slice(&changed), &got, NULL) == DBK_OK)
                assert_true(same_range(&got.range, &want->range) && got.kind == want->kind);
            dbk_buffer_release(&changed);
        }
    }
}

/* JSON out and in again, for all three kinds; forged texts are refused. */
static void test_json(void **state)
{
    static dbk_inclusion inclusion;
    static dbk_extension extension;
    static dbk_proof got, want;
    dbk_buffer text, origin;
    dbk_entry_id id;
    dbk_proof_of of;
    dbk_error err;
    uint64_t end;
    world w;

    (void)state;
    dbk_range *ranges = grown(&w, &end);
    dbk_log_ids(w.log, of.store_id, of.lineage);
    dbk_buffer_init(&text, dbk_port_system());
    dbk_buffer_init(&origin, dbk_port_system());
    dbk_head_put(&text, &of, &ranges[end], 1700000000000);
    assert_int_equal(read_text(dbk_buffer_slice(&text), &got, &err), DBK_OK);
    assert_true(got.kind == DBK_PROOF_HEAD && same_range(&got.range, &ranges[end]));
    assert_memory_equal(&got.of, &of, sizeof(of));
    want = got;
    flip_all(&text, &want);
    replace_all(&text, &want);
    assert_int_equal(dbk_log_prove(w.log, 30, 50, &inclusion, NULL), DBK_OK);
    assert_int_equal(dbk_log_entry_id_at(w.log, 30, &id, NULL), DBK_OK);
    for (int with = 0; with < 2; with++) {
        dbk_buffer_clear(&text);
        if (with) assert_int_equal(dbk_log_read(w.log, 30, &origin, NULL, NULL), DBK_OK);
        dbk_inclusion_put(&text, &of, &inclusion, &id, dbk_buffer_slice(&origin));
        assert_int_equal(read_text(dbk_buffer_slice(&text), &got, &err), DBK_OK);
        assert_true(got.kind == DBK_PROOF_INCLUSION && got.inclusion.position == 30);
        assert_true(dbk_entry_id_equal(&got.id, &id));
        want = got;
        flip_all(&text, &want);
        replace_all(&text, &want);
    }
    /* another entry's bytes */
    dbk_buffer_clear(&text);
    assert_int_equal(dbk_log_read(w.log, 31, &origin, NULL, NULL), DBK_OK);
    dbk_inclusion_put(&text, &of, &inclusion, &id, dbk_buffer_slice(&origin));
    assert_int_equal(read_text(dbk_buffer_slice(&text), &got, &err), DBK_CORRUPT);
    assert_non_null(strstr(err.text, "is not the one it names"));
    assert_int_equal(dbk_log_prove_extension(w.log, 30, 0, &extension, NULL), DBK_OK);
    dbk_buffer_clear(&text);
    dbk_extension_put(&text, &of, &extension);
    assert_int_equal(read_text(dbk_buffer_slice(&text), &got, &err), DBK_OK);
    assert_true(got.kind == DBK_PROOF_EXTENSION && got.extension.old.count == 30);
    want = got;
    flip_all(&text, &want);
    replace_all(&text, &want);
    char *version = strstr((char *)text.data, "\"version\":1");
    version[10] = '2';
    assert_int_equal(read_text(dbk_buffer_slice(&text), &got, &err), DBK_VERSION);
    dbk_buffer_release(&text);
    dbk_buffer_release(&origin);
    free(ranges);
    world_free(&w);
}

/* Trees added by their roots give the range that their leaves give; agreement is told from its lack. */
static void test_trees(void **state)
{
    static dbk_range left, whole, tree, other;
    uint8_t leaf[DBK_LEAF_SIZE] = {0};

    (void)state;
    for (uint64_t count = 0; count < 64; count++) {
        for (unsigned height = 0; height < 6; height++) {
            if (count % (1u << height)) continue;
            dbk_range_init(&left);
            dbk_range_init(&whole);
            dbk_range_init(&tree);
            for (uint64_t i = 0; i < count + (1u << height); i++) {
                leaf[0] = (uint8_t)i;
                dbk_range_add(&whole, leaf);
                dbk_range_add(i < count ? &left : &tree, leaf);
            }
            assert_true(dbk_range_agrees(&left, &whole));
            dbk_range_add_tree(&left, height, tree.peaks[0]);
            assert_true(same_range(&left, &whole));
            other = whole;
            other.peaks[0][0] ^= 1;
            assert_false(dbk_range_agrees(&whole, &other));
        }
    }
}

/* The most reads that a proof takes, over many positions. */
static uint64_t most_reads(world *w)
{
    static dbk_inclusion proof;
    uint64_t most = 0, end = dbk_log_position(w->log);

    for (uint64_t position = 1; position <= end; position += end / 21) {
        uint64_t before = dbk_simdisk_calls(w->disk, DBK_SIM_READ);
        assert_int_equal(dbk_log_prove(w->log, position, 0, &proof, NULL), DBK_OK);
        uint64_t reads = dbk_simdisk_calls(w->disk, DBK_SIM_READ) - before;
        if (reads > most) most = reads;
    }
    return most;
}

/* What has to be read for a proof grows with the logarithm of the log: eight times the entries ask for
 * less than three times the reads. */
static void test_cost(void **state)
{
    world w;

    (void)state;
    world_new(&w, 5);
    for (size_t i = 0; i < 100; i++) assert_int_equal(append(w.log, 16), DBK_OK);
    uint64_t small = most_reads(&w);
    for (size_t i = 0; i < 700; i++) assert_int_equal(append(w.log, 16), DBK_OK);
    assert_true(w.log->segment_count > 200);
    uint64_t large = most_reads(&w);
    if (large >= 3 * small) fail_msg("%d reads, then %d", (int)small, (int)large);
    world_free(&w);
}

/* Each read and each allocation fails: told, nothing leaks, the next proof is right. */
static void test_faults(void **state)
{
    static dbk_extension extension;
    static dbk_inclusion inclusion;
    static const uint32_t kinds[] = {DBK_SIM_READ | DBK_SIM_OPEN, DBK_SIM_MEMORY};
    uint64_t end;
    world w;

    (void)state;
    dbk_range *ranges = grown(&w, &end);
    for (size_t k = 0; k < 2; k++) {
        bool hit = true;
        for (uint64_t skip = 0; hit; skip++) {
            dbk_simdisk_fault fault = {.kinds = kinds[k], .skip = skip, .times = 1};
            world_reopen(&w);
            dbk_simdisk_add_fault(w.disk, &fault);
            dbk_result one = dbk_log_prove(w.log, 20, 0, &inclusion, NULL);
            dbk_result two = dbk_log_prove_extension(w.log, 33, 0, &extension, NULL);
            hit = dbk_simdisk_fault_hits(w.disk) > 0;
            dbk_simdisk_clear_faults(w.disk);
            bool told = one != DBK_OK || two != DBK_OK; /* a table that cannot be read is made again */
            assert_true(kinds[k] == DBK_SIM_MEMORY ? hit == told : hit || !told);
            assert_int_equal(dbk_log_prove(w.log, 20, 0, &inclusion, NULL), DBK_OK);
        }
    }
    free(ranges);
    world_free(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_trees),  cmocka_unit_test(test_inclusion), cmocka_unit_test(test_extension),
        cmocka_unit_test(test_forged), cmocka_unit_test(test_json),      cmocka_unit_test(test_cost),
        cmocka_unit_test(test_faults),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
