/* The checked-in logs of format version 1 open, read back and verify; docs/format/log.md shows the bytes that are in
 * them. With "write" or "write-cells" as second argument those files are made anew; the others were written by a writer
 * of their time, whose form is only read since. */
#include "golden.h"

#include "log/parts.h"

static void write_golden(const golden *g)
{
    char path[1024];
    world w;

    keep_plain = !g->packed;
    checkpoint_bytes = g->files == merged_files ? 512 : 0;
    world_new(&w, 20261121);
    for (int i = 0; i < g->batches; i++) assert_int_equal(append(w.log, GOLDEN_BATCH), DBK_OK);
    world_close(&w);
    for (int i = 0; g->files[i]; i++) {
        uint8_t bytes[65536];
        snprintf(path, sizeof(path), "log/%s", g->files[i]);
        int64_t size = dbk_simdisk_read(w.disk, path, 0, bytes, sizeof(bytes));
        if (size <= 0) fail_msg("there is no '%s'", path);
        snprintf(path, sizeof(path), "%s/%s/%s", root, g->folder, g->files[i]);
        FILE *file = fopen(path, "wb");
        assert_non_null(file);
        assert_int_equal(fwrite(bytes, 1, (size_t)size, file), size);
        fclose(file);
    }
    world_free(&w);
}

static void check_golden(const golden *g)
{
    dbk_log_report report;
    dbk_error err;
    world w;

    put_golden(&w, g);
    assert_int_equal(dbk_log_verify(w.port, w.dir, &w.options, DBK_VERIFY_PROOF, NULL, &report, &err), DBK_OK);
    assert_true(report.faults == 0 && report.entries == (uint64_t)g->batches * GOLDEN_BATCH &&
                report.segments == g->segments);
    if (world_open(&w, &err) != DBK_OK) fail_msg("%s", err.text);
    assert_true(dbk_log_was_clean(w.log));
    assert_int_equal(dbk_log_position(w.log), (uint64_t)g->batches * GOLDEN_BATCH);
    check_entries(w.log, 0);
    assert_int_equal(append(w.log, 3), DBK_OK);
    check_entries(w.log, 0);
    world_free(&w);
}

static void test_opens(void **state)
{
    (void)state;
    for (int i = 0; i < GOLDEN_COUNT; i++) check_golden(&goldens[i]);
}

static void check_file(world *w, const char *name)
{
    uint8_t *want, got[65536];
    char path[64];

    size_t size = load(goldens[RUNS].folder, name, &want);
    snprintf(path, sizeof(path), "log/%s", name);
    assert_int_equal(dbk_simdisk_read(w->disk, path, 0, got, sizeof(got)), size);
    assert_memory_equal(got, want, size);
    free(want);
}

static uint32_t features_of(const char *folder, const char *name)
{
    uint8_t *bytes;

    load(folder, name, &bytes);
    uint32_t features = dbk_load_u32(bytes + 12);
    free(bytes);
    return features;
}

/* Each folder has the form it stands for. */
static void test_forms(void **state)
{
    (void)state;
    assert_int_equal(features_of(goldens[PLAIN].folder, files[0]), 0);
    assert_int_equal(features_of(goldens[PACKED].folder, files[0]), DBK_FEATURE_PACKED);
    assert_int_equal(features_of(goldens[RUNS].folder, files[0]), DBK_FEATURE_PACKED);
    for (int i = 0; i < 4; i++)
        assert_int_equal(features_of(goldens[CELLS].folder, merged_files[i]), DBK_FEATURE_PACKED | DBK_FEATURE_CELLS);
}

/* A segment that was packed again has other blocks, and its image may be where the one before was: what an unpacker
 * keeps of that one is not taken for the new one's. */
static void test_an_image_in_the_place_of_another(void **state)
{
    static const char name[] = "0000000000000002.seg";
    uint8_t want[400], have[400];
    dbk_unpacker *used = NULL, *fresh = NULL;
    dbk_image *image[2], place;
    uint64_t bytes;
    size_t got;
    world w;

    (void)state;
    put_golden(&w, &goldens[RUNS]);
    assert_int_equal(dbk_image_open(w.port, w.dir, name, &image[0], NULL), DBK_OK);
    assert_int_equal(dbk_pack_again(w.port, w.dir, 2, &bytes, NULL), DBK_OK);
    assert_int_equal(dbk_image_open(w.port, w.dir, name, &image[1], NULL), DBK_OK);
    assert_true(image[0]->header.salt == image[1]->header.salt && image[1]->head.block_count > 1);
    for (int i = 2; i-- > 0;) {
        uint64_t end = image[i]->head.end - sizeof(have);
        for (uint64_t offset = DBK_SEGMENT_DATA_OFFSET; offset < end; offset += sizeof(have)) {
            place = *image[1 - i]; /* reads something of a block, and is gone */
            assert_int_equal(dbk_image_read(&place, &used, DBK_SEGMENT_DATA_OFFSET, have, 16, &got, NULL), DBK_OK);
            place = *image[i];
            assert_int_equal(dbk_image_read(&place, &used, offset, have, sizeof(have), &got, NULL), DBK_OK);
            assert_int_equal(dbk_image_read(image[i], &fresh, offset, want, sizeof(want), &got, NULL), DBK_OK);
            assert_memory_equal(have, want, sizeof(want));
        }
    }
    for (int i = 0; i < 2; i++) dbk_image_close(image[i]);
    dbk_unpacker_free(used);
    dbk_unpacker_free(fresh);
    world_free(&w);
}

/* The index of four segments and the checkpoint answer as they are; deleted, they come back byte for byte. */
static void test_caches(void **state)
{
    world w;

    (void)state;
    put_golden(&w, &goldens[RUNS]);
    w.options.keep_plain = false;
    w.options.checkpoint_bytes = 512;
    for (int again = 0; again < 2; again++) {
        assert_int_equal(world_open(&w, NULL), DBK_OK);
        assert_int_equal(w.log->part_count, 1);
        assert_int_equal(w.log->parts[0]->last, 4);
        assert_int_equal(w.log->segments[4]->prefix_last != 0, again == 0); /* by the checkpoint */
        for (uint64_t position = 1; position <= RUN_BATCHES * GOLDEN_BATCH; position++) {
            char command[32];
            uint64_t found;
            snprintf(command, sizeof(command), "c%llu", (unsigned long long)position);
            assert_int_equal(dbk_log_find_command(w.log, dbk_slice_text(command), 0, &found, NULL), DBK_OK);
            assert_int_equal(found, position);
        }
        world_close(&w);
        check_file(&w, MERGED);
        check_file(&w, CHECKPOINT);
        if (again) break;
        assert_int_equal(dbk_simdisk_remove(w.disk, "log/" MERGED), 0);
        assert_int_equal(dbk_simdisk_remove(w.disk, "log/" CHECKPOINT), 0);
    }
    world_free(&w);
}

/* Each line "oooooooo  xx xx …" under a heading that names a file is a part of that file. */
static void test_document(void **state)
{
    uint8_t *text, *bytes = NULL;
    size_t size = 0, lines = 0;
    char *rest;

    (void)state;
    load("docs/format", "log.md", &text);
    for (char *line = strtok_r((char *)text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
        unsigned long offset;
        int used = 0;
        for (int i = 0; merged_files[i]; i++) {
            char heading[64];
            const char *name = NULL;
            snprintf(heading, sizeof(heading), "`%s`:", merged_files[i]);
            if (strcmp(line, heading) == 0) name = merged_files[i];
            if (!name) continue;
            free(bytes);
            bool caches = strcmp(name, MERGED) == 0 || strcmp(name, CHECKPOINT) == 0;
            size = load(goldens[caches ? RUNS : PLAIN].folder, name, &bytes);
        }
        if (sscanf(line, "%8lx  %n", &offset, &used) != 1 || used != 10 || !bytes) continue;
        for (const char *at = line + 10; *at && strspn(at, "0123456789abcdef") == 2; at += at[2] ? 3 : 2) {
            assert_true(offset < size);
            if (strtoul(at, NULL, 16) != bytes[offset]) fail_msg("docs/format/log.md: %s", line);
            offset++;
        }
        lines++;
    }
    assert_true(lines > 40);
    free(bytes);
    free(text);
}

/* The document's table has the rows of the code, in their order, with their decisions. */
static void test_table(void **state)
{
    uint8_t *text;
    char *at;

    (void)state;
    load("docs/format", "log.md", &text);
    at = (char *)text;
    for (unsigned i = 0; i < dbk_recovery_row_count; i++) {
        const dbk_recovery_row *row = &dbk_recovery_table[i];
        char name[64], decision[64];
        snprintf(name, sizeof(name), "\n| %s |", row->name);
        at = strstr(at, name);
        if (!at) fail_msg("no row '%s' in its place", row->name);
        snprintf(decision, sizeof(decision), row->decision == DBK_DECIDE_REFUSE ? "| refuse: `%s` |" : "| %s |",
                 row->decision == DBK_DECIDE_REFUSE ? dbk_result_name(row->code)
                 : row->decision == DBK_DECIDE_CUT  ? "cut"
                                                    : "open");
        char *end = strchr(at + 1, '\n'), *found = strstr(at, decision);
        if (!found || found > end) fail_msg("row '%s' decides otherwise", row->name);
    }
    free(text);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_opens),    cmocka_unit_test(test_forms),
        cmocka_unit_test(test_caches),   cmocka_unit_test(test_an_image_in_the_place_of_another),
        cmocka_unit_test(test_document), cmocka_unit_test(test_table)};

    keep_plain = true;
    if (argc > 1) root = argv[1];
    if (argc > 2 && strcmp(argv[2], "write") == 0) write_golden(&goldens[PLAIN]);
    if (argc > 2 && strcmp(argv[2], "write-cells") == 0) write_golden(&goldens[CELLS]);
    checkpoint_bytes = 0;
    keep_plain = true;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
