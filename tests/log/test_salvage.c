/* What verification gives of a damaged log (dbk_log_watcher, entry): every entry that is provably good,
 * before and behind the damage, bit-identical, and no other; what it does not give is named by a fault. */
#include "log_fixture.h"

#include "log/internal.h"

enum { BATCHES = 40, COUNT = 6, ENTRIES = BATCHES * COUNT };
static const char first[] = "log/0000000000000001.seg", second[] = "log/0000000000000002.seg",
                  third[] = "log/0000000000000003.seg";

typedef struct given {
    bool there[ENTRIES + 1], told[ENTRIES + 1];
    uint64_t last, count, faults, spans;
    unsigned laws;   /* bits */
    dbk_result code; /* of the first fault */
} given;

static dbk_result on_entry(void *arg, uint64_t position, int64_t received_ms, dbk_slice origin, dbk_error *err)
{
    given *g = arg;
    dbk_buffer want;

    (void)err;
    assert_true(position > g->last && position <= ENTRIES);
    assert_int_equal(received_ms, FIRST_MS + (int64_t)((position - 1) / COUNT * COUNT));
    dbk_buffer_init(&want, dbk_port_system());
    make_entry(&want, replica_one, position, 100 + position, size_of_seq(position));
    assert_true(dbk_slice_equal(origin, dbk_buffer_slice(&want)));
    dbk_buffer_release(&want);
    g->last = position;
    g->there[position] = true;
    g->count++;
    return DBK_OK;
}

static void on_fault(void *arg, const dbk_log_fault *fault)
{
    given *g = arg;

    if (g->faults++ == 0) g->code = fault->code;
    assert_true(fault->law >= 1 && fault->law <= 4 && fault->text && fault->file);
    g->laws |= 1u << fault->law;
    g->spans += fault->bytes;
    for (uint64_t i = fault->first_position; i && i <= fault->last_position; i++) {
        assert_true(i <= ENTRIES);
        g->told[i] = true;
    }
}

/* All but the untold is given; nothing of the disk has changed. */
static given look(world *w, bool complete)
{
    given g = {0};
    dbk_log_watcher watcher = {.arg = &g, .fault = on_fault, .entry = on_entry};
    dbk_log_report report;
    dbk_error err = {0};
    uint64_t hash = dbk_simdisk_hash(w->disk, NULL);

    w->dir = root_of(w->port);
    if (dbk_log_verify(w->port, w->dir, &w->options, DBK_VERIFY_PROOF, &watcher, &report, &err) != DBK_OK) {
        fail_msg("verify: %s", err.text);
    }
    assert_int_equal(dbk_simdisk_hash(w->disk, NULL), hash);
    assert_int_equal(report.faults, g.faults);
    for (uint64_t i = 1; complete && i <= ENTRIES; i++) {
        if (g.there[i] == g.told[i]) fail_msg("position %d: given %d, told %d", (int)i, g.there[i], g.told[i]);
    }
    world_close(w);
    return g;
}

static dbk_simdisk_image *make(world *w)
{
    world_new(w, 11);
    for (size_t i = 0; i < BATCHES; i++) assert_int_equal(append(w->log, COUNT), DBK_OK);
    assert_true(w->log->segment_count >= 4);
    world_close(w);
    return dbk_simdisk_snapshot(w->disk);
}

/* The positions of a segment, and where its records are. */
static void extent(world *w, uint64_t number, uint64_t *from, uint64_t *to, uint64_t *middle)
{
    assert_int_equal(world_open(w, NULL), DBK_OK);
    dbk_segment *segment = w->log->segments[number - 1];
    dbk_index_batch batch;
    *from = segment->first_position;
    *to = segment->last_position;
    assert_int_equal(dbk_log_batch_of(w->log, segment, *from + 2 * COUNT, &batch, NULL), DBK_OK);
    *middle = batch.offset;
    world_close(w);
}

/* A whole log is given whole. */
static void test_whole(void **state)
{
    world w;

    (void)state;
    make(&w);
    given g = look(&w, true);
    assert_int_equal(g.count, ENTRIES);
    assert_int_equal(g.faults, 0);
    world_free(&w);
}

/* One header of a sealed segment is damaged, or both: no entry is missed. */
static void test_headers(void **state)
{
    world w;

    (void)state;
    dbk_simdisk_image *image = make(&w);
    for (unsigned which = 1; which <= 3; which++) {
        dbk_simdisk_restore(w.disk, image);
        if (which & 1) assert_int_equal(dbk_simdisk_flip_bit(w.disk, second, 20, 3), 0);
        if (which & 2) assert_int_equal(dbk_simdisk_flip_bit(w.disk, second, 4096 + 60, 3), 0);
        given g = look(&w, true);
        assert_int_equal(g.count, ENTRIES);
        assert_int_equal(g.faults, 1);
        assert_int_equal(g.laws, 1 << 1);
    }
    world_free(&w);
}

/* A batch in the middle of a sealed segment: that batch is missed, no other. */
static void test_middle(void **state)
{
    uint64_t from, to, middle;
    world w;

    (void)state;
    dbk_simdisk_image *image = make(&w);
    extent(&w, 2, &from, &to, &middle);
    for (uint64_t at = middle; at < middle + 1024; at += 37) {
        dbk_simdisk_restore(w.disk, image);
        assert_int_equal(dbk_simdisk_flip_bit(w.disk, second, at, 5), 0);
        given g = look(&w, true);
        assert_int_equal(g.count, ENTRIES - COUNT);
        assert_int_equal(g.faults, 1);
        assert_true(g.spans >= 1024 && g.spans % 512 == 0);
        for (uint64_t i = 0; i < COUNT; i++) assert_true(g.told[from + 2 * COUNT + i]);
    }
    world_free(&w);
}

/* The start record of a sealed segment: no entry is missed, and the next start links again. */
static void test_start(void **state)
{
    world w;

    (void)state;
    make(&w);
    assert_int_equal(dbk_simdisk_flip_bit(w.disk, second, 8192 + 130, 5), 0);
    given g = look(&w, true);
    assert_int_equal(g.count, ENTRIES);
    assert_int_equal(g.faults, 1);
    world_free(&w);
}

/* The end of the last segment, which the watermark covers. */
static void test_tail(void **state)
{
    world w;

    (void)state;
    make(&w);
    uint64_t end = 0;
    assert_int_equal(world_open(&w, NULL), DBK_OK);
    dbk_segment *last = w.log->segments[w.log->segment_count - 1];
    char path[64];
    snprintf(path, sizeof(path), "log/%s", last->name);
    end = last->end;
    world_close(&w);
    assert_int_equal(dbk_simdisk_flip_bit(w.disk, path, end - 600, 1), 0);
    given g = look(&w, true);
    assert_int_equal(g.count, ENTRIES - COUNT);
    assert_int_equal(g.code, DBK_CORRUPT);
    assert_int_equal(dbk_simdisk_truncate(w.disk, path, end - 1024), 0);
    g = look(&w, true);
    assert_int_equal(g.count, ENTRIES - COUNT);
    world_free(&w);
}

/* A segment is missing, the first, one in the middle, two, the last but one. */
static void test_missing(void **state)
{
    uint64_t from, to, middle, from_three, to_three;
    world w;

    (void)state;
    dbk_simdisk_image *image = make(&w);
    extent(&w, 2, &from, &to, &middle);
    extent(&w, 3, &from_three, &to_three, &middle);
    assert_int_equal(dbk_simdisk_remove(w.disk, second), 0);
    given g = look(&w, true);
    assert_int_equal(g.count, ENTRIES - (to - from + 1));
    assert_int_equal(g.code, DBK_GAP);
    assert_int_equal(dbk_simdisk_remove(w.disk, third), 0);
    g = look(&w, true);
    assert_int_equal(g.count, ENTRIES - (to_three - from + 1));
    dbk_simdisk_restore(w.disk, image);
    assert_int_equal(dbk_simdisk_remove(w.disk, first), 0);
    g = look(&w, true);
    assert_int_equal(g.count, ENTRIES - (from - 1));
    dbk_simdisk_restore(w.disk, image);
    uint64_t count;
    char last[64];
    assert_int_equal(world_open(&w, NULL), DBK_OK);
    count = w.log->segment_count;
    from = w.log->segments[count - 1]->first_position;
    world_close(&w);
    for (uint64_t n = count; n <= count + 1; n++) { /* the one prepared ahead too */
        snprintf(last, sizeof(last), "log/%016llx.seg", (unsigned long long)n);
        assert_int_equal(dbk_simdisk_remove(w.disk, last), 0);
    }
    g = look(&w, true);
    assert_int_equal(g.count, from - 1);
    world_free(&w);
}

/* A sealed segment is cut short, emptied, or has bytes behind its end. */
static void test_sizes(void **state)
{
    uint64_t from, to, middle;
    world w;

    (void)state;
    dbk_simdisk_image *image = make(&w);
    extent(&w, 2, &from, &to, &middle);
    for (uint64_t size = 0; size < 32768; size += 512) {
        dbk_simdisk_restore(w.disk, image);
        assert_int_equal(dbk_simdisk_truncate(w.disk, second, size), 0);
        given g = look(&w, true);
        assert_true(g.faults > 0 && g.laws & (1 << 1));
        assert_true(g.count >= ENTRIES - (to - from + 1));
        if (size > middle) assert_true(g.there[from + 2 * COUNT - 1]);
        if (size <= 8192) assert_int_equal(g.count, ENTRIES - (to - from + 1));
    }
    dbk_simdisk_restore(w.disk, image);
    assert_int_equal(dbk_simdisk_write(w.disk, second, 32768, "junk", 4), 0);
    assert_int_equal(look(&w, true).count, ENTRIES);
    world_free(&w);
}

/* Segments of a copy that went another way stand behind ours: theirs are not given as ours. */
static void test_two_histories(void **state)
{
    world w;

    (void)state;
    dbk_simdisk_image *image = make(&w);
    uint64_t from, to, middle;
    extent(&w, 3, &from, &to, &middle);
    dbk_simdisk_free(w.disk);
    memset(&w, 0, sizeof(w));
    (void)image;
    /* a log of the same store with other batches has other records from the first segment on */
    world_new(&w, 12);
    for (size_t i = 0; i < BATCHES; i++) assert_int_equal(append(w.log, COUNT), DBK_OK);
    world_close(&w);
    uint8_t *bytes = malloc(1 << 20);
    int64_t size = dbk_simdisk_read(w.disk, third, 0, bytes, 1 << 20);
    assert_true(size > 0);
    dbk_simdisk_free(w.disk);
    make(&w);
    assert_int_equal(dbk_simdisk_write(w.disk, third, 0, bytes, (size_t)size), 0);
    free(bytes);
    given g = look(&w, false);
    assert_int_equal(g.count, from - 1);
    assert_true(g.laws & (1 << 2));
    world_free(&w);
}

/* The ids come from the headers that most segments have; with none left, from the watermark. */
static void test_identify(void **state)
{
    uint8_t store[16], lineage[16], none[16] = {0};
    dbk_error err;
    world w;

    (void)state;
    make(&w);
    w.dir = root_of(w.port);
    assert_int_equal(dbk_log_identify(w.port, w.dir, store, lineage, NULL), DBK_OK);
    assert_memory_equal(store, w.options.store_id, 16);
    assert_memory_equal(lineage, w.options.lineage, 16);
    for (int n = 1; n < 20; n++) {
        char path[64];
        snprintf(path, sizeof(path), "log/%016x.seg", n);
        (void)dbk_simdisk_truncate(w.disk, path, 8192);
        (void)dbk_simdisk_flip_bit(w.disk, path, 20, 3);
        (void)dbk_simdisk_flip_bit(w.disk, path, 4096 + 20, 3);
    }
    assert_int_equal(dbk_log_identify(w.port, w.dir, store, lineage, NULL), DBK_OK);
    assert_memory_equal(store, w.options.store_id, 16);
    assert_memory_equal(lineage, none, 16);
    assert_int_equal(dbk_simdisk_remove(w.disk, "log/WATERMARK"), 0);
    assert_int_equal(dbk_log_identify(w.port, w.dir, store, lineage, &err), DBK_MISSING);
    world_free(&w);
}

static dbk_result stop(void *arg, uint64_t position, int64_t received_ms, dbk_slice origin, dbk_error *err)
{
    (void)received_ms;
    (void)origin;
    *(uint64_t *)arg = position;
    return position == 50 ? dbk_fail(err, DBK_NO_SPACE, "full") : DBK_OK;
}

/* Who takes the entries may end it; that is no fault of the log. */
static void test_stopped(void **state)
{
    uint64_t last = 0;
    dbk_log_watcher watcher = {.arg = &last, .entry = stop};
    dbk_log_report report;
    dbk_error err = {0};
    world w;

    (void)state;
    make(&w);
    w.dir = root_of(w.port);
    assert_int_equal(dbk_log_verify(w.port, w.dir, &w.options, DBK_VERIFY_PROOF, &watcher, &report, &err),
                     DBK_NO_SPACE);
    assert_string_equal(err.text, "full");
    assert_int_equal(last, 50);
    assert_int_equal(report.faults, 0);
    world_free(&w);
}

static void set_header(world *w, uint64_t at, uint8_t value)
{
    for (uint64_t copy = 0; copy <= 4096; copy += 4096) {
        uint8_t bytes[DBK_SEGMENT_HEADER_SIZE];
        assert_int_equal(dbk_simdisk_read(w->disk, first, copy, bytes, sizeof(bytes)), sizeof(bytes));
        bytes[at] = value;
        dbk_store_u64(bytes + 120, dbk_checksum(dbk_slice_of(bytes, 120), dbk_load_u64(bytes)));
        assert_int_equal(dbk_simdisk_write(w->disk, first, copy, bytes, sizeof(bytes)), 0);
    }
}

/* A segment of a later version, or with a feature bit that this one does not know, is refused by name and
 * left as it is; a feature that may be ignored is. */
static void test_features(void **state)
{
    world w;

    (void)state;
    dbk_simdisk_image *image = make(&w);
    for (uint64_t at = 8; at < 16; at++) { /* version, bits to refuse */
        dbk_error err;
        dbk_simdisk_restore(w.disk, image);
        set_header(&w, at, at == 8 ? 2 : 0x80);
        uint64_t hash = dbk_simdisk_hash(w.disk, NULL);
        assert_int_equal(world_open(&w, &err), DBK_VERSION);
        assert_non_null(strstr(err.text, "0000000000000001.seg"));
        assert_non_null(strstr(err.text, "later format"));
        world_close(&w);
        assert_int_equal(dbk_simdisk_hash(w.disk, NULL), hash);
        given g = look(&w, false);
        assert_int_equal(g.code, DBK_VERSION);
    }
    for (uint64_t at = 76; at < 80; at++) {
        dbk_simdisk_restore(w.disk, image);
        set_header(&w, at, 0x11);
        assert_int_equal(world_open(&w, NULL), DBK_OK);
        check_entries(w.log, 0);
        world_close(&w);
        assert_int_equal(look(&w, true).faults, 0);
    }
    for (uint64_t at = 80; at < 120; at += 13) {
        dbk_simdisk_restore(w.disk, image);
        set_header(&w, at, 1);
        assert_int_equal(world_open(&w, NULL), DBK_CORRUPT);
        world_close(&w);
    }
    world_free(&w);
}

/* More stores in one folder than are counted, and watermarks that are short, damaged, or whole in one of two places. */
static void test_whose(void **state)
{
    uint8_t bytes[DBK_SEGMENT_HEADER_SIZE], mark[DBK_WATERMARK_SLOT_SIZE], store_id[16], lineage[16];
    dbk_segment_header header = {.salt = 5, .size = 16384, .unit = 512};
    world w;

    (void)state;
    make(&w);
    w.dir = root_of(w.port);
    for (uint64_t number = 20; number < 32; number++) { /* two each of the last */
        char path[64];
        snprintf(path, sizeof(path), "log/%016llx.seg", (unsigned long long)number);
        header.number = number;
        memset(header.store_id, (int)number, 16);
        dbk_segment_header_encode(&header, bytes);
        dbk_simdisk_write(w.disk, path, 0, bytes, sizeof(bytes));
    }
    assert_int_equal(dbk_log_identify(w.port, w.dir, store_id, lineage, NULL), DBK_OK);
    assert_memory_equal(store_id, w.options.store_id, 16);
    for (uint64_t number = 1; number < 32; number++) {
        char path[64];
        snprintf(path, sizeof(path), "log/%016llx.seg", (unsigned long long)number);
        (void)dbk_simdisk_remove(w.disk, path);
    }
    assert_int_equal(dbk_simdisk_read(w.disk, "log/WATERMARK", 0, mark, sizeof(mark)), sizeof(mark));
    for (unsigned sound = 0; sound < 4; sound++) {
        for (uint64_t slot = 0; slot < 2; slot++) {
            mark[40] ^= sound >> slot & 1 ? 0 : 1;
            dbk_simdisk_write(w.disk, "log/WATERMARK", slot * DBK_WATERMARK_STRIDE, mark, sizeof(mark));
            mark[40] ^= sound >> slot & 1 ? 0 : 1;
        }
        memset(store_id, 0, 16);
        assert_int_equal(dbk_log_identify(w.port, w.dir, store_id, lineage, NULL), sound ? DBK_OK : DBK_MISSING);
        if (sound) assert_memory_equal(store_id, w.options.store_id, 16);
    }
    dbk_simdisk_truncate(w.disk, "log/WATERMARK", 100);
    assert_int_equal(dbk_log_identify(w.port, w.dir, store_id, lineage, NULL), DBK_MISSING);
    world_free(&w);
}

/* The second header says another number, salt, size or unit than the first, soundly. */
static void test_second_header(void **state)
{
    uint8_t bytes[DBK_SEGMENT_HEADER_SIZE];
    dbk_segment_header header;
    world w;

    (void)state;
    for (int field = 0; field < 5; field++) {
        make(&w);
        dbk_simdisk_read(w.disk, second, 0, bytes, sizeof(bytes));
        assert_int_equal(dbk_segment_header_decode(bytes, &header), DBK_DECODED_OK);
        if (field == 1) header.number++;
        if (field == 2) header.salt++;
        if (field == 3) header.size *= 2;
        if (field == 4) header.unit *= 2;
        dbk_segment_header_encode(&header, bytes);
        dbk_simdisk_write(w.disk, second, DBK_SEGMENT_COPY_OFFSET, bytes, sizeof(bytes));
        given g = look(&w, true);
        assert_int_equal(g.faults, field != 0);
        assert_int_equal(g.count, ENTRIES);
        world_free(&w);
    }
}

/* A log is verified by who does not know its lineage. */
static void test_any_lineage(void **state)
{
    world w;

    (void)state;
    make(&w);
    memset(w.options.lineage, 0, sizeof(w.options.lineage));
    given g = look(&w, true);
    assert_true(g.faults == 0 && g.count == ENTRIES);
    world_free(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_whose),   cmocka_unit_test(test_second_header), cmocka_unit_test(test_any_lineage),
        cmocka_unit_test(test_whole),   cmocka_unit_test(test_headers),       cmocka_unit_test(test_middle),
        cmocka_unit_test(test_start),   cmocka_unit_test(test_tail),          cmocka_unit_test(test_missing),
        cmocka_unit_test(test_sizes),   cmocka_unit_test(test_two_histories), cmocka_unit_test(test_identify),
        cmocka_unit_test(test_stopped), cmocka_unit_test(test_features),
    };
    keep_plain = true; /* places of records are damaged; test_pack.c has the packed form */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
