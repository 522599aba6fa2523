/* Numbers that lie, under checksums that are right: every length, count, offset and position in the files of a log is
 * set to each of the values that break sums and allocations. Whatever is asked then ends, takes little memory, and
 * loses nothing silently; who is refused has changed nothing. And files that are cut anywhere, each missing in turn,
 * full to the last unit, and a process without descriptors. */
#include <errno.h>

#include "lies.h"

#include "log/index_internal.h"

#include "tests/support/step.h"

static const char *segment_path(uint64_t number)
{
    static char path[64];

    snprintf(path, sizeof(path), "log/%016llx.seg", (unsigned long long)number);
    return path;
}

static uint64_t load(const uint8_t *at, unsigned width)
{
    return width == 8 ? dbk_load_u64(at) : dbk_load_u32(at);
}
static void store(uint8_t *at, unsigned width, uint64_t value)
{
    if (width == 8) dbk_store_u64(at, value);
    else dbk_store_u32(at, (uint32_t)value);
}

typedef struct field {
    uint64_t offset;
    unsigned width;
    const char *name;
} field;
typedef void (*mend_fn)(world *w, const char *path, uint64_t at, uint8_t *bytes, size_t size);

static uint64_t step = 1, drawn; /* of lies about headers and records one of so many is told */

/* Each field of the `size` bytes at `at` set to each value; `mend` makes the checksums right and writes. */
static void tell_lies(world *w, const dbk_simdisk_image *image, const char *path, uint64_t at, size_t size,
                      const field *fields, size_t count, mend_fn mend)
{
    static const uint64_t values[] = {
        0, 1, 0x7fffffff, 0x80000000, 0xffffffff, UINT64_C(1) << 32, UINT64_C(1) << 63, UINT64_MAX, UINT64_MAX - 511};
    uint8_t *bytes = malloc(size);
    char what[160];

    assert_non_null(bytes);
    for (size_t i = 0; i < count; i++) {
        for (size_t v = 0; v < sizeof(values) / sizeof(*values) + 2; v++) {
            dbk_simdisk_restore(w->disk, image);
            assert_int_equal(dbk_simdisk_read(w->disk, path, at, bytes, size), size);
            uint64_t own = load(bytes + fields[i].offset, fields[i].width);
            uint64_t value = v < 2 ? own + 1 - 2 * v : values[v - 2];
            if (fields[i].width == 4) value = (uint32_t)value;
            if (value == own || drawn++ % step != 0) continue;
            store(bytes + fields[i].offset, fields[i].width, value);
            mend(w, path, at, bytes, size);
            snprintf(what, sizeof(what), "%s, %s %llx in place of %llx", path, fields[i].name,
                     (unsigned long long)value, (unsigned long long)own);
            look(w, what);
            lies++;
        }
    }
    free(bytes);
}

/* By the rule that a segment's header, a watermark and a checkpoint's note share. */
static void mend_magic(world *w, const char *path, uint64_t at, uint8_t *bytes, size_t size)
{
    dbk_store_u64(bytes + 120, dbk_checksum(dbk_slice_of(bytes, 120), dbk_load_u64(bytes)));
    dbk_simdisk_write(w->disk, path, at, bytes, size);
    if (strstr(path, ".seg")) dbk_simdisk_write(w->disk, path, DBK_SEGMENT_COPY_OFFSET, bytes, size);
}

static uint64_t seed_of(const world *w, const uint8_t *record)
{
    uint8_t place[48];

    memcpy(place, w->options.store_id, 16);
    memcpy(place + 16, record + 88, 24); /* segment, salt, offset */
    memcpy(place + 40, record + 8, 8);
    return dbk_checksum(dbk_slice_of(place, sizeof(place)), dbk_load_u32(record));
}

/* A whole record: payload, header and trailer. */
static void mend_record(world *w, const char *path, uint64_t at, uint8_t *bytes, size_t size)
{
    uint64_t seed = seed_of(w, bytes);
    dbk_slice rest = dbk_slice_of(bytes + DBK_RECORD_HEADER_SIZE, size - DBK_RECORD_FRAME_SIZE);

    dbk_store_u64(bytes + 80, dbk_checksum(rest, seed ^ UINT64_C(0x9e3779b97f4a7c15)));
    dbk_store_u64(bytes + 120, dbk_checksum(dbk_slice_of(bytes, 120), seed));
    dbk_store_u64(bytes + size - 8, dbk_load_u64(bytes + 120));
    dbk_simdisk_write(w->disk, path, at, bytes, size);
}

static void mend_page(world *w, const char *path, uint64_t at, uint8_t *bytes, size_t size)
{
    uint64_t salt = dbk_load_u64(bytes + 56);

    dbk_store_u64(bytes + DBK_INDEX_PAYLOAD_SIZE, dbk_index_page_checksum(bytes, at / DBK_INDEX_PAGE_SIZE, salt));
    dbk_simdisk_write(w->disk, path, at, bytes, size);
}

/* What is made again from the segments: watermark, checkpoint, indexes. */
typedef struct caches {
    char paths[16][64];
    size_t count;
} caches;

static int note_cache(void *arg, const char *name)
{
    caches *c = arg;

    if (!strstr(name, ".idx") && !strstr(name, ".run") && strcmp(name, "CHECKPOINT") != 0 &&
        strcmp(name, "WATERMARK") != 0)
        return 0;
    assert_true(c->count < COUNT(c->paths));
    snprintf(c->paths[c->count++], sizeof(c->paths[0]), "log/%s", name);
    return 0;
}

static caches find_caches(world *w)
{
    caches c = {0};

    w->dir = root_of(w->port);
    assert_int_equal(w->port->list(w->port->ctx, w->dir, note_cache, &c), 0);
    world_close(w);
    assert_true(c.count >= 3);
    return c;
}

static void test_headers(void **state)
{
    static const field header[] = {{8, 4, "version"}, {12, 4, "features"}, {48, 8, "number"},
                                   {64, 8, "size"},   {72, 4, "unit"},     {76, 4, "ignored features"}};
    static const field mark[] = {
        {12, 4, "flags"}, {32, 8, "counter"}, {40, 8, "position"}, {48, 8, "segment"}, {56, 8, "offset"}};
    world w;

    (void)state;
    dbk_simdisk_image *image = make_log(&w);
    for (uint64_t number = 1; number <= 4; number++) {
        if (number < 4 && !keep_plain) continue; /* packed: test_packed */
        tell_lies(&w, image, segment_path(number), 0, DBK_SEGMENT_HEADER_SIZE, header, COUNT(header), mend_magic);
    }
    for (uint64_t slot = 0; slot < 2; slot++) {
        tell_lies(&w, image, "log/WATERMARK", slot * DBK_WATERMARK_STRIDE, DBK_SEGMENT_HEADER_SIZE, mark, COUNT(mark),
                  mend_magic);
    }
    world_free(&w);
}

static size_t record_size(world *w, const char *path, uint64_t at)
{
    uint8_t bytes[DBK_RECORD_HEADER_SIZE];

    if (dbk_simdisk_read(w->disk, path, at, bytes, sizeof(bytes)) != sizeof(bytes)) return 0;
    return dbk_load_u32(bytes) == 0xdbb00c52 ? (size_t)dbk_record_bytes(dbk_load_u32(bytes + 20), 512) : 0;
}

/* All records of the first and of the last segment: their headers, what a start and a seal say, and the lengths of
 * the entries. */
static void test_records(void **state)
{
    static const field header[] = {{4, 4, "type"},           {8, 8, "position"}, {16, 4, "count"},   {20, 4, "payload"},
                                   {24, 8, "durable up to"}, {88, 8, "segment"}, {104, 8, "offset"}, {112, 8, "zero"},
                                   {32, 8, "record before"}, {96, 8, "salt"},    {48, 8, "head"}};
    static const field start[] = {
        {128, 8, "offset of the seal"}, {148, 4, "ordered"}, {192, 8, "entries"}, {200, 4, "peaks"}};
    static const field seal[] = {{128, 8, "first position"}, {136, 8, "entries"}, {144, 8, "records"}};
    static const field entry[] = {{128, 4, "length of an entry"}};
    world w;

    (void)state;
    if (!keep_plain) return;
    dbk_simdisk_image *image = make_log(&w);
    for (uint64_t number = 1; number <= 4; number += 3) {
        const char *path = segment_path(number);
        uint64_t at = DBK_SEGMENT_DATA_OFFSET;
        dbk_simdisk_restore(w.disk, image);
        for (size_t size; (size = record_size(&w, path, at)) > 0; at += size) {
            uint8_t type[8];
            dbk_simdisk_read(w.disk, path, at, type, sizeof(type));
            tell_lies(&w, image, path, at, size, header, COUNT(header), mend_record);
            if (type[4] == DBK_RECORD_START) tell_lies(&w, image, path, at, size, start, COUNT(start), mend_record);
            if (type[4] == DBK_RECORD_SEAL) tell_lies(&w, image, path, at, size, seal, COUNT(seal), mend_record);
            if (type[4] == DBK_RECORD_ENTRIES) tell_lies(&w, image, path, at, size, entry, COUNT(entry), mend_record);
            dbk_simdisk_restore(w.disk, image);
        }
    }
    world_free(&w);
}

/* A log that is open, and then a record that lies: whoever reads it is told. */
static void test_beneath_a_reader(void **state)
{
    static const field fields[] = {{4, 4, "type"},      {8, 8, "position"}, {16, 4, "count"}, {20, 4, "payload"},
                                   {40, 8, "received"}, {88, 8, "segment"}, {96, 8, "salt"},  {104, 8, "offset"}};
    world w;

    (void)state;
    if (!keep_plain) return;
    dbk_simdisk_image *image = make_log(&w);
    for (uint64_t number = 1; number <= 4; number += 3) {
        char path[64];
        uint64_t at = DBK_SEGMENT_DATA_OFFSET;
        snprintf(path, sizeof(path), "log/%016llx.seg", (unsigned long long)number);
        dbk_simdisk_restore(w.disk, image);
        for (size_t size, records = 0; records < 4 && (size = record_size(&w, path, at)) > 0; at += size, records++) {
            uint8_t *bytes = malloc(size);
            for (size_t i = 0; i < 2 * COUNT(fields); i++) {
                const field *f = &fields[i / 2];
                dbk_simdisk_restore(w.disk, image);
                w.options.read_only = true;
                assert_int_equal(world_open(&w, NULL), DBK_OK);
                assert_int_equal(dbk_simdisk_read(w.disk, path, at, bytes, size), size);
                store(bytes + f->offset, f->width, load(bytes + f->offset, f->width) + (i % 2 ? 512 : 1));
                mend_record(&w, path, at, bytes, size);
                ask_each(w.log, f->name);
                world_close(&w);
                w.options.read_only = false;
                lies++;
            }
            free(bytes);
            dbk_simdisk_restore(w.disk, image);
        }
    }
    world_free(&w);
}

/* ---- one record lies, and all behind it follow it */

enum { CHAINED = 4 };

/* From the record at `at` of segment `number` on, each record names the one before it as it is by now. */
static void relink(world *w, uint64_t number, uint64_t at)
{
    uint64_t previous = 0;

    for (; dbk_simdisk_exists(w->disk, segment_path(number)); number++, at = DBK_SEGMENT_DATA_OFFSET) {
        for (size_t size; (size = record_size(w, segment_path(number), at)) > 0; at += size) {
            uint8_t *bytes = malloc(size);
            assert_non_null(bytes);
            assert_int_equal(dbk_simdisk_read(w->disk, segment_path(number), at, bytes, size), size);
            if (previous) dbk_store_u64(bytes + 32, previous);
            mend_record(w, segment_path(number), at, bytes, size);
            previous = dbk_load_u64(bytes + 120);
            free(bytes);
        }
    }
}

/* Each that can be asked of the log: who does not refuse it is answered, or told. */
static void ask_chained(world *w, const char *what)
{
    dbk_log_report report;

    w->dir = root_of(w->port);
    (void)!dbk_log_verify(w->port, w->dir, &w->options, DBK_VERIFY_CHECKSUMS, NULL, &report, NULL);
    w->options.read_only = true;
    if (world_open(w, NULL) == DBK_OK) {
        static dbk_inclusion inclusion;
        static dbk_extension extension;
        dbk_result rc = dbk_log_prove(w->log, 7, 0, &inclusion, NULL);
        assert_true(rc == DBK_CORRUPT || rc == DBK_NONE || (rc == DBK_OK && dbk_inclusion_holds(&inclusion)));
        rc = dbk_log_prove_extension(w->log, 70, 0, &extension, NULL);
        assert_true(rc == DBK_CORRUPT || rc == DBK_NONE || (rc == DBK_OK && dbk_extension_holds(&extension)));
        if (dbk_log_position(w->log) == BATCHES * BATCH) ask_each(w->log, what); /* else: not all of it is proven */
        (void)!dbk_log_refresh(w->log, NULL);
    }
    world_close(w);
    w->options.read_only = false;
}

/* Starts, batches and seals of all segments but the last: what they say of themselves, of the segment and of the log
 * before it. The watermark is gone, or names another record than there is. */
static void test_relinked(void **state)
{
    static const field fields[] = {
        {4, 4, "type"},    {8, 8, "position"},  {16, 4, "count"},         {24, 8, "durable"},   {40, 8, "received"},
        {48, 8, "head"},   {128, 8, "content"}, {136, 8, "more content"}, {144, 8, "and more"}, {192, 8, "entries"},
        {200, 4, "peaks"}, {204, 8, "zero"},    {216, 8, "a peak"}};
    world w;

    (void)state;
    if (!keep_plain) return;
    dbk_simdisk_image *image = make_log(&w);
    for (uint64_t number = 1; number <= CHAINED; number++) {
        uint64_t at = DBK_SEGMENT_DATA_OFFSET, next;
        dbk_simdisk_restore(w.disk, image);
        for (size_t size, records = 0; (size = record_size(&w, segment_path(number), at)) > 0; at = next, records++) {
            next = at + size;
            bool last = record_size(&w, segment_path(number), next) == 0;
            if (records > 1 && !last) continue;
            for (size_t i = 0; i < 4 * COUNT(fields); i++) {
                const field *f = &fields[i / 4];
                uint8_t bytes[256];
                if (drawn++ % step != 0) continue;
                dbk_simdisk_restore(w.disk, image);
                assert_int_equal(dbk_simdisk_read(w.disk, segment_path(number), at, bytes, sizeof(bytes)), 256);
                uint64_t own = load(bytes + f->offset, f->width);
                store(bytes + f->offset, f->width, i % 4 == 0 ? own + 1 : i % 4 == 1 ? own - 1 : i % 4 == 2 ? 0 : 3);
                dbk_simdisk_write(w.disk, segment_path(number), at, bytes, sizeof(bytes));
                relink(&w, number, at);
                if (i % 2) (void)dbk_simdisk_remove(w.disk, "log/WATERMARK");
                if (i % 3) (void)dbk_simdisk_remove(w.disk, "log/CHECKPOINT");
                ask_chained(&w, f->name);
                look(&w, f->name);
                lies++;
            }
            dbk_simdisk_restore(w.disk, image);
        }
    }
    world_free(&w);
}

static void test_packed(void **state)
{
    static const field head[] = {{64, 8, "size"},           {72, 4, "unit"},         {128, 8, "end"},
                                 {136, 8, "seal"},          {144, 8, "seal before"}, {152, 8, "first position"},
                                 {160, 8, "last position"}, {168, 8, "records"},     {208, 8, "table"},
                                 {224, 8, "file"},          {312, 4, "blocks"},      {316, 4, "roots"},
                                 {320, 4, "types"},         {340, 8, "zero"},        {308, 4, "types listed"},
                                 {304, 4, "ordered"},       {324, 4, "dictionary"},  {328, 8, "its checksum"}};
    static const field row[] = {
        {0, 4, "bytes"}, {4, 4, "plain bytes"}, {8, 4, "position"}, {12, 4, "continued"}, {16, 8, "received"}};
    uint8_t bytes[DBK_PACK_HEAD_SIZE];
    world w;

    (void)state;
    if (keep_plain) return;
    dbk_simdisk_image *image = make_log(&w);
    for (uint64_t number = 1; number <= 2; number++) {
        const char *path = segment_path(number);
        dbk_segment_header header;
        dbk_pack_head packed;
        dbk_simdisk_restore(w.disk, image);
        assert_int_equal(dbk_simdisk_read(w.disk, path, 0, bytes, sizeof(bytes)), sizeof(bytes));
        assert_int_equal(dbk_pack_head_decode(bytes, &header, &packed), DBK_DECODED_OK);
        tell_lies(&w, image, path, 0, sizeof(bytes), head, COUNT(head), mend_head);
        tell_lies(&w, image, path, packed.table_offset, (size_t)dbk_pack_table_bytes(&packed), row, COUNT(row),
                  mend_table);
    }
    world_free(&w);
}

/* Of the checkpoint and of the index of an ended segment: caches, so that all is there whatever they say. */
static void test_caches(void **state)
{
    field fields[DBK_INDEX_PAGE_SIZE / 8];
    size_t count = 0;
    world w;

    (void)state;
    dbk_simdisk_image *image = make_log(&w);
    caches all = find_caches(&w);
    for (uint64_t at = 0; at < 1024 + 136; at += at == 256 ? 768 : 8) fields[count++] = (field){at, 8, "a field"};
    for (size_t i = 0; i < all.count; i++) {
        bool checkpoint = strstr(all.paths[i], "CHECKPOINT") != NULL;
        if (strstr(all.paths[i], "WATERMARK")) continue; /* test_headers */
        tell_lies(&w, image, all.paths[i], 0, DBK_INDEX_PAGE_SIZE, fields, checkpoint ? count : 32, mend_page);
    }
    world_free(&w);
}

/* ---- cut, missing, full */

/* An ended segment that is cut at any sector, or grown. */
static void test_cut_anywhere(void **state)
{
    const char *path = segment_path(2);
    world w;

    (void)state;
    dbk_simdisk_image *image = make_log(&w);
    int64_t size = dbk_simdisk_size(w.disk, path);
    for (int64_t at = 0; at <= size + 1024; at += 512) {
        dbk_simdisk_restore(w.disk, image);
        dbk_simdisk_truncate(w.disk, path, (uint64_t)at);
        look(&w, "cut");
        dbk_simdisk_restore(w.disk, image);
        dbk_simdisk_truncate(w.disk, path, (uint64_t)at);
        if (at != size) assert_int_not_equal(world_open(&w, NULL), DBK_OK);
        world_close(&w);
    }
    world_free(&w);
}

/* Each file is missing in turn: without a segment it is refused, the others are made again. */
static void test_each_missing(void **state)
{
    dbk_error err = {0};
    char name[32];
    world w;

    (void)state;
    dbk_simdisk_image *image = make_log(&w);
    for (uint64_t number = 1; number <= 4; number++) {
        dbk_simdisk_restore(w.disk, image);
        assert_int_equal(dbk_simdisk_remove(w.disk, segment_path(number)), 0);
        dbk_result rc = world_open(&w, &err);
        assert_true(rc == DBK_GAP || rc == DBK_LOST);
        snprintf(name, sizeof(name), "%016llx.seg", (unsigned long long)number);
        assert_non_null(strstr(err.text, name));
        world_close(&w);
    }
    dbk_simdisk_restore(w.disk, image);
    caches all = find_caches(&w);
    for (size_t i = 0; i < all.count; i++) {
        dbk_simdisk_restore(w.disk, image);
        assert_int_equal(dbk_simdisk_remove(w.disk, all.paths[i]), 0);
        if (world_open(&w, &err) != DBK_OK) fail_msg("without '%s': %s", all.paths[i], err.text);
        check_entries(w.log, 0);
        world_close(&w);
    }
    world_free(&w);
}

/* Batches of every length up to more than a segment, so that its end comes at every unit: nothing but zeros, or
 * nothing at all, is behind the seal. */
static void test_every_end(void **state)
{
    world w;

    (void)state;
    for (size_t bytes = 100; bytes < 9000; bytes += 487) {
        world_new(&w, bytes);
        while (dbk_log_position(w.log) < 12) assert_int_equal(append_sized(w.log, 1, bytes, NULL), DBK_OK);
        dbk_simdisk_crash(w.disk, DBK_SIM_ALL_OLD, 1);
        world_close(&w);
        dbk_error err = {0};
        if (world_open(&w, &err) != DBK_OK) fail_msg("%zu bytes: %s", bytes, err.text);
        assert_false(dbk_simdisk_exists(w.disk, "log/recovery.ndjson"));
        assert_int_equal(dbk_log_position(w.log), 12);
        check_entries(w.log, bytes);
        world_free(&w);
    }
}

/* The process has no descriptor left when the segment ends: told, nothing is lost, and it goes on when there are
 * some. */
static void test_no_descriptors(void **state)
{
    dbk_simdisk_fault fault = {.kinds = DBK_SIM_OPEN | DBK_SIM_CREATE, .error = EMFILE};
    world w;

    (void)state;
    for (fault.skip = 0; fault.skip < 6; fault.skip++) {
        uint64_t refused = 0, accepted = 0;
        world_new(&w, 73);
        dbk_simdisk_add_fault(w.disk, &fault);
        for (int i = 0; i < 40; i++) {
            dbk_result rc = append(w.log, 4);
            assert_true(rc == DBK_OK || rc == DBK_NO_FILES);
            refused += rc != DBK_OK;
            accepted += rc == DBK_OK ? 4 : 0;
        }
        assert_true(refused > 0 && !dbk_log_poisoned(w.log));
        dbk_simdisk_clear_faults(w.disk);
        assert_int_equal(append(w.log, 4), DBK_OK);
        assert_int_equal(dbk_log_position(w.log), accepted + 4);
        check_entries(w.log, 0);
        world_reopen(&w);
        assert_int_equal(dbk_log_position(w.log), accepted + 4);
        world_free(&w);
    }
}

int main(int argc, char **argv)
{
    checkpoint_bytes = 512;
    step = step_argument(argc, argv, 1);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_headers),      cmocka_unit_test(test_records),   cmocka_unit_test(test_beneath_a_reader),
        cmocka_unit_test(test_packed),       cmocka_unit_test(test_caches),    cmocka_unit_test(test_cut_anywhere),
        cmocka_unit_test(test_each_missing), cmocka_unit_test(test_every_end), cmocka_unit_test(test_no_descriptors),
        cmocka_unit_test(test_relinked),
    };
    int red = run_both_forms(tests);
    printf("%llu lies, none believed silently\n", (unsigned long long)lies);
    return red;
}
