/* The checked-in logs of format version 1, on a simulated disk. */
#ifndef DBK_TEST_GOLDEN_H
#define DBK_TEST_GOLDEN_H

#include "log_fixture.h"

static const char *root = ".";
static const char *const files[] = {
    "0000000000000001.seg", "0000000000000001.idx", "0000000000000002.seg", "0000000000000003.seg", "WATERMARK", NULL};
/* Packed, with an index of several segments and a checkpoint of the last one. */
#define MERGED     "0000000000000001-0000000000000004.run"
#define CHECKPOINT "CHECKPOINT"
static const char *const merged_files[] = {"0000000000000001.seg",
                                           "0000000000000002.seg",
                                           "0000000000000003.seg",
                                           "0000000000000004.seg",
                                           "0000000000000005.seg",
                                           MERGED,
                                           CHECKPOINT,
                                           "WATERMARK",
                                           NULL};

static inline size_t load(const char *folder, const char *name, uint8_t **out)
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

typedef struct golden {
    const char *folder;
    const char *const *files;
    bool packed;
    int batches;
    uint64_t segments;
} golden;
enum { PLAIN, PACKED, RUNS, CELLS, MIXED, GOLDEN_COUNT, GOLDEN_BATCH = 7, RUN_BATCHES = 28 };
static const golden goldens[GOLDEN_COUNT] = {
    {"tests/data/golden/log-v1", files, false, 6, 2},
    {"tests/data/golden/log-v1-packed", files, true, 6, 2},
    {"tests/data/golden/log-v1-merged", merged_files, true, RUN_BATCHES, 5},
    {"tests/data/golden/log-v1-cells", merged_files, true, RUN_BATCHES, 5},
    /* of the two before: each other segment is of the other form */
    {"tests/data/golden/log-v1-cells", merged_files, true, RUN_BATCHES, 5},
};

static inline void put_golden(world *w, const golden *g)
{
    char path[64];

    memset(w, 0, sizeof(*w));
    w->disk = dbk_simdisk_new(1);
    w->port = dbk_simdisk_port(w->disk);
    w->options = small_options();
    w->dir = root_of(w->port);
    for (int i = 0; g->files[i]; i++) {
        uint8_t *bytes;
        bool other = g == &goldens[MIXED] && i % 2;
        size_t size = load(other ? goldens[RUNS].folder : g->folder, g->files[i], &bytes);
        snprintf(path, sizeof(path), "log/%s", g->files[i]);
        assert_int_equal(dbk_simdisk_write(w->disk, path, 0, bytes, size), 0);
        free(bytes);
    }
}

#endif
