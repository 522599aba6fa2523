/* The decision of recovery: each row of its table from a log that is in that state, by its mark. */
#include "log_fixture.h"

#include "log/internal.h"

#define ACTIVE "log/0000000000000001.seg"

static unsigned row_named(const char *name)
{
    for (unsigned i = 0; i < dbk_recovery_row_count; i++) {
        if (strcmp(dbk_recovery_table[i].name, name) == 0) return i;
    }
    fail_msg("no row '%s'", name);
    return 0;
}

static void path_of(uint64_t number, char out[64])
{
    snprintf(out, 64, "log/%016llx.seg", (unsigned long long)number);
}

/* The records of a segment as they lie, up to the first that is not sound. */
typedef struct layout {
    dbk_segment_header header;
    dbk_record records[256];
    size_t count;
    uint64_t end;
} layout;

static void read_layout(world *w, uint64_t number, layout *l)
{
    uint8_t bytes[DBK_RECORD_HEADER_SIZE];
    char path[64];

    memset(l, 0, sizeof(*l));
    path_of(number, path);
    assert_int_equal(dbk_simdisk_read(w->disk, path, 0, bytes, sizeof(bytes)), sizeof(bytes));
    assert_int_equal(dbk_segment_header_decode(bytes, &l->header), DBK_DECODED_OK);
    l->end = DBK_SEGMENT_DATA_OFFSET;
    while (dbk_simdisk_read(w->disk, path, l->end, bytes, sizeof(bytes)) == sizeof(bytes) &&
           dbk_record_decode(bytes, w->options.store_id, &l->records[l->count])) {
        l->end += dbk_record_bytes(l->records[l->count++].payload_bytes, l->header.unit);
        assert_true(l->count < 256);
    }
}

static dbk_record last_of(const layout *l)
{
    return l->records[l->count - 1];
}

/* Writes a sound record of one entry where and as asked. */
static void forge(world *w, const layout *l, uint64_t offset, dbk_record record, const char *garbage)
{
    uint8_t bytes[4096] = {0};
    dbk_buffer entry;
    char path[64];

    dbk_buffer_init(&entry, dbk_port_system());
    make_entry(&entry, replica_one, record.first_position, 100 + record.first_position, 50);
    if (garbage) memcpy(entry.data, garbage, strlen(garbage));
    record.type = DBK_RECORD_ENTRIES;
    record.count = 1;
    record.payload_bytes = (uint32_t)entry.size + 4;
    record.segment = l->header.number;
    record.salt = l->header.salt;
    record.offset = offset;
    dbk_store_u32(bytes + DBK_RECORD_HEADER_SIZE, (uint32_t)entry.size);
    memcpy(bytes + DBK_RECORD_HEADER_SIZE + 4, entry.data, entry.size);
    uint64_t size = dbk_record_bytes(record.payload_bytes, l->header.unit);
    dbk_record_finish(&record, w->options.store_id, bytes, size);
    path_of(l->header.number, path);
    assert_int_equal(dbk_simdisk_write(w->disk, path, offset, bytes, size), 0);
    dbk_buffer_release(&entry);
}

/* The log refuses by that row with that code, and not one byte changes. */
static void refuses(world *w, const char *row, dbk_result code)
{
    uint64_t hash = dbk_simdisk_hash(w->disk, NULL), mark = dbk_recover_mark(row_named(row));
    dbk_error err = {0};
    dbk_result rc = world_open(w, &err);

    if (rc != code) fail_msg("%s: '%s' %s", row, dbk_result_name(rc), err.text);
    assert_true(dbk_recover_mark(row_named(row)) > mark);
    world_close(w);
    assert_int_equal(dbk_simdisk_hash(w->disk, NULL), hash);
    world_free(w);
}

/* The log opens by that row at that position, clean the next time. */
static void opens(world *w, const char *row, uint64_t position, bool notes)
{
    uint64_t mark = dbk_recover_mark(row_named(row));
    dbk_error err = {0};

    if (world_open(w, &err) != DBK_OK) fail_msg("%s: %s", row, err.text);
    assert_true(dbk_recover_mark(row_named(row)) > mark);
    assert_int_equal(dbk_log_position(w->log), position);
    assert_int_equal(dbk_simdisk_exists(w->disk, "log/recovery.ndjson"), notes);
    check_entries(w->log, 0);
    assert_int_equal(append(w->log, 3), DBK_OK);
    world_reopen(w);
    assert_true(dbk_log_was_clean(w->log));
    assert_int_equal(dbk_log_position(w->log), position + 3);
    check_entries(w->log, 0);
    world_free(w);
}

/* Three batches of two entries in the first segment, closed; the watermark stays or goes. */
static void three_batches(world *w, bool watermark)
{
    world_new(w, 5);
    for (int i = 0; i < 3; i++) assert_int_equal(append(w->log, 2), DBK_OK);
    world_close(w);
    if (!watermark) assert_int_equal(dbk_simdisk_remove(w->disk, "log/WATERMARK"), 0);
}

static uint64_t many_batches(world *w)
{
    uint64_t position;

    world_new(w, 6);
    for (int i = 0; i < 60; i++) assert_int_equal(append(w->log, 7), DBK_OK);
    position = dbk_log_position(w->log);
    assert_true(dbk_simdisk_exists(w->disk, "log/0000000000000004.seg"));
    world_close(w);
    return position;
}

static void test_end(void **state)
{
    world w;

    (void)state;
    three_batches(&w, true);
    opens(&w, "end", 6, false);
}

static void test_unreadable(void **state)
{
    dbk_simdisk_fault fault = {.kinds = DBK_SIM_READ, .path = "1.seg", .skip = 3, .error = 5};
    world w;

    (void)state;
    three_batches(&w, true);
    for (fault.skip = 0; fault.skip < 6; fault.skip++) {
        uint64_t mark = dbk_recover_mark(row_named("unreadable"));
        dbk_simdisk_clear_faults(w.disk);
        dbk_simdisk_add_fault(w.disk, &fault);
        assert_int_equal(world_open(&w, NULL), DBK_IO);
        world_close(&w);
        assert_true(dbk_recover_mark(row_named("unreadable")) > mark);
    }
    dbk_simdisk_clear_faults(w.disk);
    dbk_simdisk_add_fault(w.disk, &(dbk_simdisk_fault){.kinds = DBK_SIM_READ, .path = "1.seg", .skip = 2, .error = 5});
    refuses(&w, "unreadable", DBK_IO);
}

/* A header of format version 2 whose checksum is right. */
static void test_newer(void **state)
{
    uint8_t bytes[DBK_SEGMENT_HEADER_SIZE];
    world w;

    (void)state;
    three_batches(&w, true);
    dbk_simdisk_read(w.disk, ACTIVE, 0, bytes, sizeof(bytes));
    dbk_store_u32(bytes + 8, 2);
    dbk_store_u64(bytes + 120, dbk_checksum(dbk_slice_of(bytes, 120), dbk_load_u64(bytes)));
    dbk_simdisk_write(w.disk, ACTIVE, 0, bytes, sizeof(bytes));
    dbk_simdisk_write(w.disk, ACTIVE, DBK_SEGMENT_COPY_OFFSET, bytes, sizeof(bytes));
    refuses(&w, "newer", DBK_VERSION);
}

static void test_missing_segment(void **state)
{
    world w;

    (void)state;
    many_batches(&w);
    dbk_simdisk_remove(w.disk, "log/0000000000000002.seg");
    refuses(&w, "missing-segment", DBK_GAP);
    many_batches(&w);
    dbk_simdisk_remove(w.disk, "log/0000000000000001.seg");
    refuses(&w, "missing-segment", DBK_GAP);
}

/* All from the one the watermark names on are gone. */
static void test_missing_end(void **state)
{
    char path[64];
    world w;

    (void)state;
    many_batches(&w);
    for (uint64_t number = 4; number < 30; number++) {
        path_of(number, path);
        (void)dbk_simdisk_remove(w.disk, path);
    }
    refuses(&w, "missing-end", DBK_LOST);
    three_batches(&w, true);
    dbk_simdisk_remove(w.disk, "log/0000000000000001.seg");
    dbk_simdisk_remove(w.disk, "log/0000000000000002.seg");
    refuses(&w, "missing-end", DBK_LOST);
}

static void forge_behind(bool watermark, uint64_t position, uint64_t durable_upto, bool linked, const char *garbage,
                         world *w)
{
    layout l;

    three_batches(w, watermark);
    read_layout(w, 1, &l);
    dbk_record record = {
        .first_position = position, .durable_upto = durable_upto, .previous = linked ? last_of(&l).checksum : 12345};
    forge(w, &l, l.end, record, garbage);
}

static void test_higher(void **state)
{
    world w;

    (void)state;
    forge_behind(true, 9, 6, true, NULL, &w);
    refuses(&w, "higher-position", DBK_GAP);
}

static void test_lower(void **state)
{
    world w;

    (void)state;
    forge_behind(true, 6, 5, true, NULL, &w);
    refuses(&w, "lower-position", DBK_DUPLICATE);
}

static void test_alien(void **state)
{
    world w;

    (void)state;
    forge_behind(true, 7, 6, true, "\x01garbage that is no entry", &w);
    refuses(&w, "alien", DBK_CORRUPT);
    /* a watermark of another history ends at the same place behind another record */
    layout l;
    three_batches(&w, true);
    read_layout(&w, 1, &l);
    dbk_record record = {.first_position = 5, .durable_upto = 4, .previous = l.records[2].checksum};
    uint64_t end = last_of(&l).offset;
    forge(&w, &l, end, record, NULL);
    dbk_watermark mark = {.counter = 99, .position = 4, .segment = 1, .offset = last_of(&l).offset, .checksum = 1};
    uint8_t slot[DBK_WATERMARK_SLOT_SIZE];
    memcpy(mark.store_id, w.options.store_id, 16);
    dbk_watermark_encode(&mark, slot);
    dbk_simdisk_write(w.disk, "log/WATERMARK", 0, slot, sizeof(slot));
    refuses(&w, "alien", DBK_CORRUPT);
}

/* The index of a sealed segment is gone as well, so that it is read at open. */
static void test_bad_in_sealed(void **state)
{
    layout l;
    world w;

    (void)state;
    many_batches(&w);
    read_layout(&w, 2, &l);
    dbk_simdisk_flip_bit(w.disk, "log/0000000000000002.seg", last_of(&l).offset + 50, 3); /* its seal */
    refuses(&w, "bad-in-sealed", DBK_CORRUPT);
    many_batches(&w);
    dbk_simdisk_flip_bit(w.disk, "log/0000000000000002.seg", DBK_SEGMENT_DATA_OFFSET + 50, 3); /* its start */
    refuses(&w, "bad-in-sealed", DBK_CORRUPT);
    many_batches(&w);
    dbk_simdisk_truncate(w.disk, "log/0000000000000002.seg", 20000);
    refuses(&w, "bad-in-sealed", DBK_CORRUPT);
}

static void test_lost_end(void **state)
{
    uint8_t zeros[4096] = {0};
    layout l;
    world w;

    (void)state;
    three_batches(&w, true);
    read_layout(&w, 1, &l);
    dbk_simdisk_write(w.disk, ACTIVE, last_of(&l).offset, zeros, l.end - last_of(&l).offset);
    refuses(&w, "lost-end", DBK_LOST);
}

/* A seal is there, the segment behind it was never made. */
static void test_end_of_sealed(void **state)
{
    dbk_simdisk_fault fault = {.kinds = DBK_SIM_WRITE, .path = "2.seg", .error = 28};
    uint64_t position;
    world w;

    (void)state;
    world_new(&w, 8);
    dbk_simdisk_add_fault(w.disk, &fault);
    while (append(w.log, 3) == DBK_OK) {
    }
    position = dbk_log_position(w.log);
    world_close(&w);
    dbk_simdisk_clear_faults(w.disk);
    dbk_simdisk_remove(w.disk, "log/0000000000000002.seg");
    opens(&w, "end-of-sealed", position, false);
}

static void test_stranger(void **state)
{
    world w;

    (void)state;
    forge_behind(true, 7, 6, false, NULL, &w);
    opens(&w, "stranger", 6, true);
}

static void test_stranger_proven(void **state)
{
    world w;

    (void)state;
    forge_behind(false, 7, 7, false, NULL, &w);
    refuses(&w, "stranger-proven", DBK_CORRUPT);
}

static void test_stranger_covered(void **state)
{
    layout l;
    world w;

    (void)state;
    three_batches(&w, true);
    read_layout(&w, 1, &l);
    dbk_record record = {.first_position = 5, .durable_upto = 4, .previous = 77};
    forge(&w, &l, last_of(&l).offset, record, NULL);
    refuses(&w, "stranger-covered", DBK_CORRUPT);
}

static void flip_in(world *w, size_t record, uint64_t at)
{
    layout l;

    read_layout(w, 1, &l);
    dbk_simdisk_flip_bit(w->disk, ACTIVE, l.records[record].offset + at, 5);
}

static void test_bad_proven(void **state)
{
    world w;

    (void)state;
    three_batches(&w, false);
    flip_in(&w, 1, 20); /* the length */
    refuses(&w, "bad-proven", DBK_CORRUPT);
    three_batches(&w, false);
    flip_in(&w, 1, 200);
    refuses(&w, "bad-proven", DBK_CORRUPT);
}

static void test_bad_covered(void **state)
{
    world w;

    (void)state;
    three_batches(&w, true);
    flip_in(&w, 3, 200);
    refuses(&w, "bad-covered", DBK_CORRUPT);
    three_batches(&w, true);
    flip_in(&w, 3, 20);
    flip_in(&w, 2, 20);
    refuses(&w, "bad-covered", DBK_CORRUPT);
}

static void test_torn(void **state)
{
    world w;

    (void)state;
    three_batches(&w, false);
    flip_in(&w, 3, 200);
    opens(&w, "torn", 4, true);
}

/* A sound record of another place where the next is to stand. */
static void test_misdirected(void **state)
{
    layout l;
    uint8_t bytes[4096];
    dbk_error err = {0};
    char text[512] = "";
    world w;

    (void)state;
    three_batches(&w, false);
    read_layout(&w, 1, &l);
    uint64_t size = l.end - last_of(&l).offset;
    dbk_simdisk_read(w.disk, ACTIVE, last_of(&l).offset, bytes, size);
    dbk_simdisk_write(w.disk, ACTIVE, l.end, bytes, size);
    assert_int_equal(world_open(&w, &err), DBK_OK);
    dbk_simdisk_read(w.disk, "log/recovery.ndjson", 0, text, sizeof(text) - 1);
    assert_non_null(strstr(text, "\"misdirected\":true"));
    assert_int_equal(dbk_log_position(w.log), 6);
    world_free(&w);
    three_batches(&w, true);
    dbk_simdisk_write(w.disk, ACTIVE, last_of(&l).offset, bytes, 100);
    dbk_simdisk_read(w.disk, ACTIVE, l.records[1].offset, bytes, size);
    dbk_simdisk_write(w.disk, ACTIVE, last_of(&l).offset, bytes, size);
    assert_int_equal(world_open(&w, &err), DBK_CORRUPT);
    assert_non_null(strstr(err.text, "another place"));
    world_free(&w);
}

/* The record before the last never reached the disk; the last proves nothing of it. */
static void test_reordered(void **state)
{
    layout l;
    world w;

    (void)state;
    three_batches(&w, false);
    read_layout(&w, 1, &l);
    dbk_record record = {.first_position = 8, .durable_upto = 6, .previous = 1};
    forge(&w, &l, l.end + 1024, record, NULL);
    opens(&w, "reordered", 6, true);
}

/* A record of an earlier life of the file, right in all but the salt, is no record (F9). */
static void test_stale_salt(void **state)
{
    layout l;
    world w;

    (void)state;
    three_batches(&w, true);
    read_layout(&w, 1, &l);
    dbk_record record = {.first_position = 7, .durable_upto = 6, .previous = last_of(&l).checksum};
    l.header.salt ^= 2;
    forge(&w, &l, l.end, record, NULL);
    opens(&w, "torn", 6, true);
}

/* The watermark names a new segment durably before its first batch is acknowledged. */
static void test_watermark_at_roll(void **state)
{
    char path[64];
    world w;

    (void)state;
    world_new(&w, 8);
    while (!dbk_simdisk_exists(w.disk, "log/0000000000000003.seg")) assert_int_equal(append(w.log, 3), DBK_OK);
    dbk_simdisk_crash(w.disk, DBK_SIM_ALL_OLD, 1);
    world_close(&w);
    for (uint64_t number = 2; number < 4; number++) {
        path_of(number, path);
        assert_int_equal(dbk_simdisk_remove(w.disk, path), 0);
    }
    refuses(&w, "missing-end", DBK_LOST);
}

/* Copies and strangers in place of segments (F13). */
static void test_foreign(void **state)
{
    dbk_error err = {0};
    world w;

    (void)state;
    many_batches(&w);
    dbk_simdisk_swap(w.disk, "log/0000000000000001.seg", "log/0000000000000003.seg");
    assert_int_equal(world_open(&w, &err), DBK_DUPLICATE);
    assert_non_null(strstr(err.text, "0000000000000003.seg"));
    world_close(&w);
    dbk_simdisk_swap(w.disk, "log/0000000000000001.seg", "log/0000000000000003.seg");
    w.options.store_id[3] ^= 1;
    assert_int_equal(world_open(&w, &err), DBK_FOREIGN);
    w.options.store_id[3] ^= 1;
    w.options.lineage[3] ^= 1;
    assert_int_equal(world_open(&w, &err), DBK_FOREIGN);
    w.options.lineage[3] ^= 1;
    assert_int_equal(world_open(&w, &err), DBK_OK);
    world_free(&w);
}

/* Whatever is found, a row decides, and only by what it says. */
static void test_table_is_total(void **state)
{
    (void)state;
    for (unsigned head = 2; head <= DBK_HEAD_ALIEN; head *= 2) {
        for (unsigned later = 1; later <= 4; later *= 2) {
            for (int bits = 0; bits < 4; bits++) {
                dbk_situation s = {(dbk_head)head, (dbk_later)later, bits & 1, bits & 2};
                const dbk_recovery_row *row = &dbk_recovery_table[dbk_recover_decide(&s)];
                bool proven = s.sealed || s.covered || later == DBK_LATER_ABOVE;
                if (proven) assert_int_equal(row->decision, DBK_DECIDE_REFUSE);
                if (row->decision == DBK_DECIDE_REFUSE) assert_true(row->code < 0);
            }
        }
    }
    assert_int_equal(dbk_recover_mark(dbk_recovery_row_count), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_end),
        cmocka_unit_test(test_unreadable),
        cmocka_unit_test(test_newer),
        cmocka_unit_test(test_missing_segment),
        cmocka_unit_test(test_missing_end),
        cmocka_unit_test(test_higher),
        cmocka_unit_test(test_lower),
        cmocka_unit_test(test_alien),
        cmocka_unit_test(test_bad_in_sealed),
        cmocka_unit_test(test_lost_end),
        cmocka_unit_test(test_end_of_sealed),
        cmocka_unit_test(test_stranger),
        cmocka_unit_test(test_stranger_proven),
        cmocka_unit_test(test_stranger_covered),
        cmocka_unit_test(test_bad_proven),
        cmocka_unit_test(test_bad_covered),
        cmocka_unit_test(test_torn),
        cmocka_unit_test(test_misdirected),
        cmocka_unit_test(test_reordered),
        cmocka_unit_test(test_foreign),
        cmocka_unit_test(test_table_is_total),
        cmocka_unit_test(test_stale_salt),
        cmocka_unit_test(test_watermark_at_roll),
    };
    keep_plain = true; /* places of records are damaged; test_pack.c has the packed form */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
