/* Sealed segments in their packed form: what is on disk, what each kind of damage leads to, and that
 * both forms answer alike. */
#include <errno.h>

#include "packed_fixture.h"

#include "log/load.h"
#include "log/pack_write.h"

static const char one[] = "log/0000000000000001.seg", two[] = "log/0000000000000002.seg",
                  beside[] = "log/0000000000000001.pack";

/* These changes of a file leave its time as it was, as rot does: opening would believe the catalog. */
static void without_catalog(world *w)
{
    (void)dbk_simdisk_remove(w->disk, "log/CATALOG");
}

static void expect_refusal(world *w, dbk_result code, const char *text)
{
    uint64_t before = dbk_simdisk_hash(w->disk, NULL);
    dbk_error err = {0};

    assert_int_equal(world_open(w, &err), code);
    if (!strstr(err.text, text)) fail_msg("'%s' is not in: %s", text, err.text);
    assert_int_equal(dbk_simdisk_hash(w->disk, NULL), before);
    world_close(w);
}

/* Batches larger than a block are cut between their entries; a single entry that is larger is a
 * block. Each entry reads back, at random and in order. */
static void test_large_batches(void **state)
{
    static const size_t sizes[] = {100, 900, 5000, 33000, 70000};
    world w;

    (void)state;
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        world_new(&w, 6);
        for (size_t k = 0; k < 4; k++) assert_int_equal(append_sized(w.log, 3 + 90 * (k % 2), sizes[i], NULL), DBK_OK);
        assert_int_equal(append_sized(w.log, 400, sizes[i] / 10 + 1, NULL), DBK_OK);
        assert_int_equal(append_sized(w.log, 1, sizes[i], NULL), DBK_OK);
        for (size_t k = 0; k + 1 < w.log->segment_count; k++) {
            dbk_segment *segment = w.log->segments[k];
            assert_true(segment->packed || segment->last_position < segment->first_position);
        }
        dbk_buffer want, got;
        dbk_buffer_init(&want, dbk_port_system());
        dbk_buffer_init(&got, dbk_port_system());
        for (uint64_t n = 0, position = 1; n < 400; n++) {
            position = 1 + position * 7919 % dbk_log_position(w.log);
            assert_int_equal(dbk_log_read(w.log, position, &got, NULL, NULL), DBK_OK);
            dbk_entry entry;
            assert_int_equal(dbk_entry_decode(dbk_buffer_slice(&got), &entry, NULL), DBK_OK);
            assert_int_equal(entry.id.seq, position);
            uint8_t head[2][DBK_LEAF_SIZE];
            if (n % 40 == 0) assert_int_equal(dbk_log_head_at(w.log, position, head[0], NULL), DBK_OK);
        }
        dbk_buffer_release(&want);
        dbk_buffer_release(&got);
        world_free(&w);
    }
}

/* Adds the trees of an image to a range that ends in front of them: while its last peak is as high as the tree, the
 * two become one. How high a tree is follows from where it begins and where the segment ends. */
static void join_roots(const dbk_image *image, dbk_range *range)
{
    const uint8_t *root = image->table;

    assert_int_equal(range->count, image->head.first_position - 1);
    for (uint32_t i = 0; i < image->head.root_count; i++, root += DBK_LEAF_SIZE) {
        uint8_t node[DBK_LEAF_SIZE];
        uint64_t size = range->count ? range->count & -range->count : UINT64_C(1) << 62;
        while (range->count + size > image->head.last_position) size /= 2;
        memcpy(node, root, sizeof(node));
        for (uint64_t low = size; range->count & low; low *= 2) {
            const dbk_slice pair[] = {dbk_slice_of(range->peaks[--range->peak_count], DBK_LEAF_SIZE),
                                      dbk_slice_of(node, DBK_LEAF_SIZE)};
            dbk_digest_parts(DBK_DIGEST_NODE, pair, 2, node, DBK_LEAF_SIZE);
        }
        memcpy(range->peaks[range->peak_count++], node, DBK_LEAF_SIZE);
        range->count += size;
    }
    assert_int_equal(range->count, image->head.last_position);
}

/* The roots of all packed segments join to the head that the next segment begins with. */
static void test_roots(void **state)
{
    uint8_t head[DBK_LEAF_SIZE];
    dbk_range range;
    world w;

    (void)state;
    world_packed(&w, 40, 7);
    assert_int_equal(world_open(&w, NULL), DBK_OK);
    dbk_range_init(&range);
    for (size_t i = 0; i + 1 < w.log->segment_count; i++) {
        dbk_image *image;
        assert_int_equal(dbk_segment_pin(w.log, w.log->segments[i], &image, NULL), DBK_OK);
        join_roots(image, &range);
        dbk_range_head(&range, head);
        assert_memory_equal(head, image->head.head, sizeof(head));
        dbk_segment_unpin(w.log, image);
    }
    assert_true(range.count > 200);
    world_free(&w);
}

/* A file beside a plain segment is what a crash left of packing: it is made anew and takes its
 * place. */
static void test_left_beside(void **state)
{
    uint8_t junk[700];
    world w;

    (void)state;
    keep_plain = true;
    world_new(&w, 7);
    for (int i = 0; i < 20; i++) assert_int_equal(append(w.log, 6), DBK_OK);
    world_close(&w);
    keep_plain = false;
    memset(junk, 0xa5, sizeof(junk));
    assert_int_equal(dbk_simdisk_write(w.disk, beside, 0, junk, sizeof(junk)), 0);
    w.options.keep_plain = false;
    assert_int_equal(world_open(&w, NULL), DBK_OK);
    assert_false(dbk_simdisk_exists(w.disk, beside));
    assert_true(w.log->segments[0]->packed);
    check_entries(w.log, 0);
    world_reopen(&w);
    assert_true(w.log->segments[0]->packed);
    check_entries(w.log, 0);
    world_free(&w);
}

/* A segment that is damaged stays plain, and the others are packed. */
static void test_damaged_stays_plain(void **state)
{
    dbk_log_report report;
    world w;

    (void)state;
    keep_plain = true;
    world_new(&w, 8);
    for (int i = 0; i < 30; i++) assert_int_equal(append(w.log, 6), DBK_OK);
    world_close(&w);
    keep_plain = false;
    assert_int_equal(dbk_simdisk_flip_bit(w.disk, one, 9800, 3), 0);
    w.options.keep_plain = false;
    assert_int_equal(world_open(&w, NULL), DBK_OK);
    assert_false(w.log->segments[0]->packed);
    assert_true(w.log->segments[1]->packed);
    assert_false(dbk_simdisk_exists(w.disk, beside));
    world_close(&w);
    assert_int_equal(dbk_simdisk_size(w.disk, one), 16384);
    w.dir = root_of(w.port);
    assert_int_equal(dbk_log_verify(w.port, w.dir, &w.options, DBK_VERIFY_PROOF, NULL, &report, NULL), DBK_OK);
    assert_true(report.faults > 0);
    world_free(&w);
}

/* A packed segment is never the last one: it was packed after the next had begun. */
static void test_next_is_gone(void **state)
{
    uint8_t zeros[32768] = {0};
    char last[40], spare[40];
    dbk_log_report report;
    world w;

    (void)state;
    dbk_simdisk_image *image = world_packed(&w, 20, 6);
    unsigned count = 1;
    for (;; count++) {
        snprintf(last, sizeof(last), "log/%016x.seg", count + 1);
        if (!dbk_simdisk_exists(w.disk, last)) break;
    }
    snprintf(last, sizeof(last), "log/%016x.seg", count - 1); /* one is prepared ahead */
    snprintf(spare, sizeof(spare), "log/%016x.seg", count);
    for (int kind = 0; kind < 2; kind++) {
        dbk_simdisk_restore(w.disk, image);
        dbk_simdisk_remove(w.disk, "log/WATERMARK");
        dbk_simdisk_remove(w.disk, spare);
        if (kind == 0) {
            dbk_simdisk_remove(w.disk, last);
        } else {
            dbk_simdisk_write(w.disk, last, 8192, zeros, (size_t)dbk_simdisk_size(w.disk, last) - 8192);
        }
        expect_refusal(&w, DBK_LOST, "the packed segment before it shows that it had begun");
        w.dir = root_of(w.port);
        assert_int_equal(dbk_log_verify(w.port, w.dir, &w.options, DBK_VERIFY_PROOF, NULL, &report, NULL), DBK_OK);
        if (kind == 0) assert_true(report.faults > 0);
        w.port->close_dir(w.port->ctx, w.dir);
        w.dir = NULL;
    }
    world_free(&w);
}

/* A packed segment under another's name, of another store, missing, of another history. */
static void test_misplaced(void **state)
{
    world w, other;

    (void)state;
    dbk_simdisk_image *image = world_packed(&w, 30, 6);
    dbk_simdisk_swap(w.disk, one, two);
    expect_refusal(&w, DBK_DUPLICATE, "is a copy of");
    dbk_simdisk_restore(w.disk, image);
    dbk_simdisk_copy(w.disk, one, two);
    expect_refusal(&w, DBK_DUPLICATE, "is a copy of");
    dbk_simdisk_restore(w.disk, image);
    dbk_simdisk_remove(w.disk, two);
    expect_refusal(&w, DBK_GAP, "a segment is missing");
    dbk_simdisk_restore(w.disk, image);
    w.options.store_id[3] ^= 1;
    expect_refusal(&w, DBK_FOREIGN, "another store");
    w.options.store_id[3] ^= 1;
    /* the same store, other entries: its records do not link */
    world_new(&other, 12);
    for (int i = 0; i < 30; i++) assert_int_equal(append_sized(other.log, 6, 90, NULL), DBK_OK);
    world_close(&other);
    uint8_t bytes[32768];
    int64_t size = dbk_simdisk_read(other.disk, two, 0, bytes, sizeof(bytes));
    dbk_simdisk_remove(w.disk, two);
    dbk_simdisk_write(w.disk, two, 0, bytes, (size_t)size);
    expect_refusal(&w, DBK_CORRUPT, "the seal is not the one that the next segment follows");
    world_free(&other);
    world_free(&w);
}

/* An older reader meets an unknown feature bit: refused by name. So does this one with later bits. */
static void test_newer(void **state)
{
    uint8_t bytes[DBK_PACK_HEAD_SIZE];
    dbk_segment_header header;
    world w;

    (void)state;
    world_packed(&w, 20, 6);
    assert_int_equal(dbk_simdisk_read(w.disk, one, 0, bytes, sizeof(bytes)), sizeof(bytes));
    assert_int_equal(dbk_load_u32(bytes + 12), DBK_FEATURE_PACKED | DBK_FEATURE_CELLS);
    assert_int_equal(dbk_segment_header_decode(bytes, &header), DBK_DECODED_OK);
    header.features |= 4;
    dbk_segment_header_encode(&header, bytes);
    dbk_simdisk_write(w.disk, one, 0, bytes, DBK_SEGMENT_HEADER_SIZE);
    without_catalog(&w);
    expect_refusal(&w, DBK_VERSION, "written by a later format");
    world_free(&w);
}

/* What the head of a damaged file cannot say, the copy at its end does; without both it is refused. */
static void test_two_heads(void **state)
{
    dbk_log_report report;
    world w;

    (void)state;
    dbk_simdisk_image *image = world_packed(&w, 20, 6);
    uint64_t tail = (uint64_t)dbk_simdisk_size(w.disk, one) - 512;
    for (int kind = 1; kind <= 3; kind++) {
        dbk_simdisk_restore(w.disk, image);
        if (kind & 1) dbk_simdisk_flip_bit(w.disk, one, kind == 1 ? 60 : 200, 1);
        if (kind & 2) dbk_simdisk_flip_bit(w.disk, one, tail + 300, 1);
        w.dir = root_of(w.port);
        assert_int_equal(dbk_log_verify(w.port, w.dir, &w.options, DBK_VERIFY_CHECKSUMS, NULL, &report, NULL), DBK_OK);
        assert_true(report.faults > 0);
        if (kind < 3) assert_int_equal(report.entries, 120);
        if (kind == 3) {
            w.port->close_dir(w.port->ctx, w.dir);
            w.dir = NULL;
            without_catalog(&w);
            expect_refusal(&w, DBK_CORRUPT, "");
            continue;
        }
        assert_int_equal(world_open(&w, NULL), DBK_OK);
        check_entries(w.log, 0);
        world_close(&w);
    }
    world_free(&w);
}

/* One block of several is damaged, in its front or in its last cell: verification names its positions and no others,
 * the rest reads, and who reads is told which. */
static void damage_block(bool in_front)
{
    const char *wrong_text = in_front ? "the checksum of a block differs" : "the checksum of a cell differs";
    dbk_log_report report;
    dbk_buffer out;
    dbk_image *image;
    world w;

    world_new(&w, 13);
    assert_int_equal(append_sized(w.log, 300, 900, NULL), DBK_OK);
    assert_int_equal(append_sized(w.log, 20, 900, NULL), DBK_OK);
    assert_int_equal(append_sized(w.log, 40, 900, NULL), DBK_OK);
    for (int i = 0; i < 60; i++) assert_int_equal(append(w.log, 3), DBK_OK);
    uint64_t end = dbk_log_position(w.log), wrong = 0;
    dbk_segment *segment = dbk_log_segment_of(w.log, 330);
    assert_true(segment->packed);
    assert_int_equal(dbk_segment_pin(w.log, segment, &image, NULL), DBK_OK);
    char path[40];
    snprintf(path, sizeof(path), "log/%s", segment->name);
    uint32_t index =
        dbk_pack_block_of(image->blocks, image->head.block_count, (uint32_t)(330 - image->head.first_position));
    const dbk_pack_block *block = &image->blocks[index];
    uint64_t at = block->offset + (in_front ? 40 : block->bytes - 3);
    dbk_segment_unpin(w.log, image);
    world_close(&w);
    assert_int_equal(dbk_simdisk_flip_bit(w.disk, path, at, 5), 0);
    assert_int_equal(world_open(&w, NULL), DBK_OK);
    dbk_buffer_init(&out, w.port);
    for (uint64_t position = 1; position <= end; position++) {
        dbk_error err = {0};
        dbk_result rc = dbk_log_read(w.log, position, &out, NULL, &err);
        assert_true(rc == DBK_OK || (rc == DBK_CORRUPT && strstr(err.text, wrong_text)));
        wrong += rc != DBK_OK;
    }
    dbk_buffer_release(&out);
    assert_true(wrong > 0 && wrong < (in_front ? 60 : 6));
    assert_int_equal(dbk_log_verify(w.port, w.dir, &w.options, DBK_VERIFY_PROOF, NULL, &report, NULL), DBK_OK);
    assert_true(report.faults >= 1 && report.entries < end && report.entries >= end - 60);
    world_free(&w);
}

typedef struct told {
    uint64_t offset, bytes, faults;
} told;

static void take_fault(void *arg, const dbk_log_fault *fault)
{
    told *t = arg;
    if (t->faults++ == 0) *t = (told){fault->offset, fault->bytes, 1};
}

/* Faults name the place in the packed file, whose plain form is larger: each block, damaged alone, as it lies. */
static void test_told_places(void **state)
{
    world w;
    dbk_image *image;

    (void)state;
    world_wide(&w, 21);
    for (int i = 0; i < 300; i++) assert_int_equal(append(w.log, 20), DBK_OK);
    world_close(&w);
    dbk_simdisk_image *whole = dbk_simdisk_snapshot(w.disk);
    assert_int_equal(world_open(&w, NULL), DBK_OK);
    dbk_segment *segment = w.log->segments[1];
    assert_true(segment->packed);
    assert_int_equal(dbk_segment_pin(w.log, segment, &image, NULL), DBK_OK);
    uint32_t count = image->head.block_count;
    uint64_t end = image->head.end, blocks_end = dbk_pack_blocks_end(&image->head);
    dbk_pack_block blocks[16];
    char path[40];
    assert_true(count > 2 && count <= 16);
    memcpy(blocks, image->blocks, count * sizeof(*blocks));
    snprintf(path, sizeof(path), "log/%s", segment->name);
    assert_int_equal(dbk_image_place(image, end), blocks_end);
    dbk_segment_unpin(w.log, image);
    world_close(&w);
    for (uint32_t i = 0; i < count; i++) {
        told t = {0};
        dbk_log_watcher watcher = {.arg = &t, .fault = take_fault};
        dbk_log_report report;
        dbk_simdisk_restore(w.disk, whole);
        assert_int_equal(dbk_simdisk_flip_bit(w.disk, path, blocks[i].offset + 40, 5), 0);
        w.dir = root_of(w.port);
        assert_int_equal(dbk_log_verify(w.port, w.dir, &w.options, DBK_VERIFY_PROOF, &watcher, &report, NULL), DBK_OK);
        world_close(&w);
        assert_true(t.faults >= 1);
        assert_int_equal(t.offset, blocks[i].offset);
        assert_int_equal(t.bytes, blocks[i].bytes);
    }
    world_free(&w);
}

static void test_damaged_block(void **state)
{
    (void)state;
    damage_block(true);
    damage_block(false);
}

/* The writer stops in the middle of packing when it is closed, and goes on at the next open. */
static bool stop_at_once(void *arg)
{
    return --*(int *)arg < 0;
}

static void test_stopped(void **state)
{
    world w;

    (void)state;
    keep_plain = true;
    world_new(&w, 14);
    for (int i = 0; i < 20; i++) assert_int_equal(append(w.log, 6), DBK_OK);
    dbk_pack_job job = {.port = w.port, .dir = w.dir, .name = "0000000000000001.pack"};
    dbk_pack_head head;
    bool done = false;
    job.segment = *w.log->segments[0];
    job.stop = stop_at_once;
    for (int steps = 0; !done; steps++) {
        int left = steps;
        job.arg = &left;
        assert_int_equal(dbk_segment_pin(w.log, w.log->segments[0], &job.image, NULL), DBK_OK);
        dbk_result rc = dbk_pack_write(&job, &head, NULL);
        dbk_segment_unpin(w.log, job.image);
        done = rc == DBK_OK;
        assert_true(done || rc == DBK_END);
    }
    keep_plain = false;
    world_free(&w);
}

static void append_typed(dbk_log *log, uint64_t seq, const char *type)
{
    dbk_entry entry = {.id = {.incarnation = 1, .seq = seq}, .hlc = seq, .event_count = 1};
    dbk_event event = {.stream = dbk_slice_text("s"), .type = dbk_slice_text(type)};
    dbk_buffer events, origin;
    dbk_slice slice;

    dbk_buffer_init(&events, dbk_port_system());
    dbk_buffer_init(&origin, dbk_port_system());
    dbk_event_encode(&events, &event);
    entry.events = dbk_buffer_slice(&events);
    dbk_entry_encode(&origin, &entry);
    slice = dbk_buffer_slice(&origin);
    assert_int_equal(dbk_log_append(log, &slice, 1, 0, NULL, NULL), DBK_OK);
    dbk_buffer_release(&events);
    dbk_buffer_release(&origin);
}

/* More types than a segment lists: none is listed, and each block may have any. */
static void test_many_types(void **state)
{
    dbk_log_selection *selection;
    dbk_log_wish wish = {.type = dbk_slice_text("type.7")};
    uint64_t position, count = 0;
    dbk_image *image;
    dbk_slice origin;
    world w;

    (void)state;
    world_new(&w, 16);
    w.options.segment_first_bytes = w.options.segment_max_bytes = 1024 * 1024;
    w.log->options.segment_max_bytes = 1024 * 1024;
    for (uint64_t seq = 1; seq <= 2400; seq++) {
        char type[24];
        snprintf(type, sizeof(type), "type.%d", (int)(seq % 300));
        append_typed(w.log, seq, type);
    }
    size_t unlisted = 0;
    for (size_t i = 0; i + 1 < w.log->segment_count; i++) {
        assert_int_equal(dbk_segment_pin(w.log, w.log->segments[i], &image, NULL), DBK_OK);
        assert_true(image->packed);
        if (!image->head.types_known) {
            unlisted++;
            assert_int_equal(image->head.type_count, 0);
            assert_true(dbk_image_may_have_type(image, 0, 1));
        }
        dbk_segment_unpin(w.log, image);
    }
    assert_true(unlisted > 0);
    assert_int_equal(dbk_log_selection_open(w.log, &wish, &selection, NULL), DBK_OK);
    while (dbk_log_selection_next(selection, &position, NULL, &origin, NULL) == DBK_OK) count++;
    assert_int_equal(count, 8);
    dbk_log_selection_close(selection);
    world_free(&w);
}

/* A batch whose entries do not give its head, in records that are sound and linked: it is not packed. */
static void test_false_head_stays_plain(void **state)
{
    uint8_t bytes[16384];
    uint64_t previous = 0, size = 0;
    dbk_record record;
    world w;

    (void)state;
    keep_plain = true;
    world_new(&w, 17);
    for (int i = 0; i < 30; i++) assert_int_equal(append(w.log, 6), DBK_OK);
    keep_plain = false;
    assert_int_equal(dbk_simdisk_read(w.disk, one, 0, bytes, sizeof(bytes)), sizeof(bytes));
    for (uint64_t at = 8192; at < w.log->segments[0]->end; at += size) {
        assert_true(dbk_record_decode(bytes + at, w.options.store_id, &record));
        size = dbk_record_bytes(record.payload_bytes, 512);
        if (at > 8192) record.previous = previous;
        if (record.first_position == 7) bytes[at + size / 2] ^= 1; /* within an entry's data */
        dbk_record_finish(&record, w.options.store_id, bytes + at, size);
        previous = record.checksum;
    }
    assert_int_equal(dbk_simdisk_write(w.disk, one, 0, bytes, sizeof(bytes)), 0);
    w.log->options.keep_plain = false;
    dbk_pack_kick(w.log);
    assert_false(w.log->segments[0]->packed);
    assert_true(w.log->segments[0]->unpackable);
    assert_true(w.log->segments[1]->packed);
    world_free(&w);
}

/* Where no thread can be started the segments stay plain, and the log goes on. */
static void test_no_thread(void **state)
{
    world w;

    (void)state;
    world_new(&w, 18);
    world_close(&w);
    w.options.no_background = false;
    assert_int_equal(world_open(&w, NULL), DBK_OK);
    for (int i = 0; i < 30; i++) assert_int_equal(append(w.log, 6), DBK_OK);
    assert_false(w.log->segments[0]->packed);
    check_entries(w.log, 0);
    dbk_simdisk_world_of(w.disk)->runs_threads = true;
    for (int i = 0; i < 12; i++) assert_int_equal(append(w.log, 6), DBK_OK);
    assert_true(w.log->segments[0]->packed);
    check_entries(w.log, 0);
    world_free(&w);
}

/* A packed copy mends a damaged packed segment, and a damaged plain one. */
static void test_mends(void **state)
{
    (void)state;
    for (int plain = 0; plain < 2; plain++) {
        dbk_mend_watcher watcher = {0};
        dbk_dir *copy;
        char name[40];
        world w;
        keep_plain = plain;
        world_new(&w, 19);
        for (int i = 0; i < 30; i++) assert_int_equal(append(w.log, 6), DBK_OK);
        world_close(&w);
        keep_plain = false;
        w.options.keep_plain = false;
        assert_int_equal(w.port->open_dir(w.port->ctx, NULL, "copy", DBK_OPEN_DIRECTORY, &copy), 0);
        dbk_simdisk_image *image = dbk_simdisk_snapshot(w.disk);
        assert_int_equal(world_open(&w, NULL), DBK_OK); /* packs what is plain */
        assert_true(w.log->segments[0]->packed);
        world_close(&w);
        uint8_t bytes[32768];
        int64_t size = dbk_simdisk_read(w.disk, one, 0, bytes, sizeof(bytes));
        w.port->close_dir(w.port->ctx, copy);
        dbk_simdisk_restore(w.disk, image);
        snprintf(name, sizeof(name), "copy/0000000000000001.seg");
        assert_int_equal(dbk_simdisk_write(w.disk, name, 0, bytes, (size_t)size), 0);
        assert_int_equal(dbk_simdisk_flip_bit(w.disk, one, plain ? 9800 : 700, 1), 0);
        w.dir = root_of(w.port);
        assert_int_equal(w.port->open_dir(w.port->ctx, NULL, "copy", DBK_OPEN_DIRECTORY, &copy), 0);
        uint64_t mended = 0;
        assert_int_equal(dbk_log_mend(w.port, w.dir, copy, &w.options, &watcher, &mended, NULL), DBK_OK);
        assert_int_equal(mended, 1);
        w.port->close_dir(w.port->ctx, copy);
        assert_int_equal(world_open(&w, NULL), DBK_OK);
        assert_true(w.log->segments[0]->packed);
        check_entries(w.log, 0);
        world_free(&w);
    }
}

/* A block that gives other bytes than were packed, under checksums of the file that are right: its plain checksum tells
 * whoever makes the plain form of it. Entries alone are told by the checksums of their cell. */
static void test_other_content(void **state)
{
    uint8_t file[32768];
    dbk_segment_header header;
    dbk_pack_head head;
    dbk_buffer out;
    world w;

    (void)state;
    world_packed(&w, 20, 6);
    size_t size = (size_t)dbk_simdisk_read(w.disk, one, 0, file, sizeof(file));
    assert_int_equal(dbk_pack_head_decode(file, &header, &head), DBK_DECODED_OK);
    file[head.table_offset + DBK_PACK_BLOCK_ROW + 33] ^= 1; /* of the plain checksum of the first block with entries */
    head.table_checksum =
        dbk_pack_table_checksum(&header, dbk_slice_of(file + head.table_offset, (size_t)dbk_pack_table_bytes(&head)));
    dbk_pack_head_encode(&header, &head, file);
    memcpy(file + size - DBK_PACK_HEAD_SIZE, file, DBK_PACK_HEAD_SIZE);
    assert_int_equal(dbk_simdisk_write(w.disk, one, 0, file, size), 0);
    assert_int_equal(world_open(&w, NULL), DBK_OK);
    dbk_buffer_init(&out, w.port);
    assert_int_equal(dbk_log_read(w.log, 1, &out, NULL, NULL), DBK_OK);
    dbk_buffer_release(&out);
    dbk_unpacker *unpacker = NULL;
    dbk_image *image;
    assert_int_equal(dbk_image_open(w.port, w.dir, "0000000000000001.seg", &image, NULL), DBK_OK);
    uint8_t *plain = malloc(image->blocks[1].plain_bytes);
    assert_int_equal(dbk_image_read_block(image, &unpacker, 1, plain, NULL), DBK_CORRUPT);
    free(plain);
    dbk_unpacker_free(unpacker);
    dbk_image_close(image);
    world_free(&w);
}

/* The same entries give the same packed bytes. */
static void test_deterministic(void **state)
{
    uint64_t hash[2];

    (void)state;
    for (int i = 0; i < 2; i++) {
        world w;
        world_packed(&w, 30, 6);
        hash[i] = dbk_simdisk_hash(w.disk, two);
        world_free(&w);
    }
    assert_int_equal(hash[0], hash[1]);
}

/* A reader that opened the plain files goes on while the writer packs them, and so does a walk. */
static void test_swapped_beneath(void **state)
{
    dbk_log_options reading;
    dbk_log_cursor *cursor;
    uint64_t position, count = 0;
    dbk_slice origin;
    dbk_log *reader;
    world w;

    (void)state;
    keep_plain = true;
    world_new(&w, 15);
    for (int i = 0; i < 30; i++) assert_int_equal(append(w.log, 6), DBK_OK);
    keep_plain = false;
    reading = w.options;
    reading.read_only = true;
    assert_int_equal(dbk_log_open(w.port, w.dir, &reading, &reader, NULL), DBK_OK);
    assert_int_equal(dbk_log_cursor_open(reader, 1, 0, &cursor, NULL), DBK_OK);
    assert_int_equal(dbk_log_cursor_next(cursor, &position, NULL, &origin, NULL), DBK_OK);
    dbk_log_cursor *own; /* the writer's walk holds the plain file too */
    assert_int_equal(dbk_log_cursor_open(w.log, 1, 0, &own, NULL), DBK_OK);
    assert_int_equal(dbk_log_cursor_next(own, &position, NULL, &origin, NULL), DBK_OK);
    w.log->options.keep_plain = false;
    dbk_pack_kick(w.log);
    assert_true(w.log->segments[0]->packed && w.log->segments[1]->packed);
    while (dbk_log_cursor_next(own, &position, NULL, &origin, NULL) == DBK_OK) {
    }
    assert_int_equal(position, 180);
    dbk_log_cursor_close(own);
    for (int i = 0; i < 30; i++) assert_int_equal(append(w.log, 6), DBK_OK);
    while (dbk_log_cursor_next(cursor, &position, NULL, &origin, NULL) == DBK_OK) count++;
    assert_int_equal(count, 179);
    dbk_log_cursor_close(cursor);
    assert_int_equal(dbk_log_refresh(reader, NULL), DBK_OK);
    assert_int_equal(dbk_log_position(reader), 360);
    check_entries(reader, 0);
    check_entries(w.log, 0);
    dbk_log_close(reader);
    world_free(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {

        cmocka_unit_test(test_large_batches),   cmocka_unit_test(test_roots),
        cmocka_unit_test(test_left_beside),     cmocka_unit_test(test_damaged_stays_plain),
        cmocka_unit_test(test_next_is_gone),    cmocka_unit_test(test_misplaced),
        cmocka_unit_test(test_newer),           cmocka_unit_test(test_two_heads),
        cmocka_unit_test(test_damaged_block),   cmocka_unit_test(test_told_places),
        cmocka_unit_test(test_stopped),         cmocka_unit_test(test_deterministic),
        cmocka_unit_test(test_swapped_beneath), cmocka_unit_test(test_many_types),
        cmocka_unit_test(test_other_content),   cmocka_unit_test(test_false_head_stays_plain),
        cmocka_unit_test(test_no_thread),       cmocka_unit_test(test_mends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
