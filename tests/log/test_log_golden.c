/* The checked-in log of format version 1 opens, reads back and verifies; docs/format/log.md shows
 * the bytes that are in it. With "write" as second argument the files are made anew. */
#include "log_fixture.h"

#include "log/internal.h"

static const char *root = ".";
static const char *const files[] = {"0000000000000001.seg", "0000000000000001.idx", "0000000000000002.seg",
                                    "0000000000000003.seg", "WATERMARK"};
enum { FILE_COUNT = 5, ENTRIES = 42 };

static size_t load(const char *folder, const char *name, uint8_t **out)
{
    char path[1024];
    FILE *file;
    long size;

    snprintf(path, sizeof(path), "%s/%s/%s", root, folder, name);
    file = fopen(path, "rb");
    if (!file) fail_msg("cannot open %s", path);
    fseek(file, 0, SEEK_END);
    size = ftell(file);
    rewind(file);
    *out = calloc(1, (size_t)size + 1);
    assert_int_equal(fread(*out, 1, (size_t)size, file), size);
    fclose(file);
    return (size_t)size;
}

/* The plain form and the packed one. */
static const char *const folders[] = {"tests/data/golden/log-v1", "tests/data/golden/log-v1-packed"};

static void write_golden(bool packed)
{
    char path[1024];
    world w;

    keep_plain = !packed;

    world_new(&w, 20261121);
    for (int i = 0; i < 6; i++) assert_int_equal(append(w.log, 7), DBK_OK);
    world_close(&w);
    for (int i = 0; i < FILE_COUNT; i++) {
        uint8_t bytes[65536];
        snprintf(path, sizeof(path), "log/%s", files[i]);
        int64_t size = dbk_simdisk_read(w.disk, path, 0, bytes, sizeof(bytes));
        assert_true(size > 0);
        snprintf(path, sizeof(path), "%s/%s/%s", root, folders[packed], files[i]);
        FILE *file = fopen(path, "wb");
        assert_non_null(file);
        assert_int_equal(fwrite(bytes, 1, (size_t)size, file), size);
        fclose(file);
    }
    world_free(&w);
}

static void put_golden(world *w, const char *folder)
{
    char path[64];

    memset(w, 0, sizeof(*w));
    w->disk = dbk_simdisk_new(1);
    w->port = dbk_simdisk_port(w->disk);
    w->options = small_options();
    w->dir = root_of(w->port);
    for (int i = 0; i < FILE_COUNT; i++) {
        uint8_t *bytes;
        size_t size = load(folder, files[i], &bytes);
        snprintf(path, sizeof(path), "log/%s", files[i]);
        assert_int_equal(dbk_simdisk_write(w->disk, path, 0, bytes, size), 0);
        free(bytes);
    }
}

static void check_golden(const char *folder)
{
    dbk_log_report report;
    dbk_error err;
    world w;

    put_golden(&w, folder);
    assert_int_equal(dbk_log_verify(w.port, w.dir, &w.options, DBK_VERIFY_PROOF, NULL, &report, &err), DBK_OK);
    assert_true(report.faults == 0 && report.entries == ENTRIES && report.segments == 2);
    if (world_open(&w, &err) != DBK_OK) fail_msg("%s", err.text);
    assert_true(dbk_log_was_clean(w.log));
    assert_int_equal(dbk_log_position(w.log), ENTRIES);
    check_entries(w.log, 0);
    assert_int_equal(append(w.log, 3), DBK_OK);
    check_entries(w.log, 0);
    world_free(&w);
}

static void test_opens(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) check_golden(folders[i]);
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
        for (int i = 0; i < FILE_COUNT; i++) {
            char heading[64];
            snprintf(heading, sizeof(heading), "`%s`:", files[i]);
            if (strcmp(line, heading) != 0) continue;
            free(bytes);
            size = load("tests/data/golden/log-v1", files[i], &bytes);
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
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_opens), cmocka_unit_test(test_document),
                                       cmocka_unit_test(test_table)};

    keep_plain = true;
    if (argc > 1) root = argv[1];
    if (argc > 2 && strcmp(argv[2], "write") == 0) write_golden(false);
    if (argc > 2 && strcmp(argv[2], "write-packed") == 0) write_golden(true);
    keep_plain = true;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
