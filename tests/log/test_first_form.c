/* Packed segments of the first form, which are only read since: damage to their tables and blocks together, any byte of
 * them, and blocks that are other bytes under checksums that are right. */
#include "lies.h"
#include "packed_fixture.h"

#include "log/cells_read.h"

#include "tests/support/step.h"

#include <zstd.h>

enum { DATA_BYTES = 900 };
static const char second[] = "log/0000000000000002.seg";

/* Changes the plain bytes of a block before they are packed. */
typedef void (*twist_fn)(const world *w, const dbk_pack_block *block, uint32_t index, uint8_t *plain);

/* The border in front of that block lies elsewhere; 0: none. */
static struct {
    uint32_t border;
    int32_t by;
} moved;

/* The packed file of another form: the same cuts, each block one frame of zstd. */
static void convert(world *w, twist_fn twist)
{
    static uint8_t file[1 << 20], all_plain[1 << 20], plain[1 << 20];
    dbk_unpacker *unpacker = NULL;
    dbk_image *image;

    w->dir = root_of(w->port);
    assert_int_equal(dbk_image_open(w->port, w->dir, second + 4, &image, NULL), DBK_OK);
    dbk_pack_head head = image->head;
    assert_true(head.celled && head.block_count > 5);
    head.celled = false;
    head.dictionary_bytes = 0;
    head.dictionary_checksum = 0;
    uint64_t at = DBK_PACK_HEAD_SIZE;
    uint8_t *rows = malloc((size_t)dbk_pack_table_bytes(&head));
    for (uint32_t i = 0; i < head.block_count; i++) {
        uint8_t *to = all_plain + image->blocks[i].plain_offset - DBK_SEGMENT_DATA_OFFSET;
        assert_int_equal(dbk_image_read_block(image, &unpacker, i, to, NULL), DBK_OK);
    }
    for (uint32_t i = 0; i < head.block_count; i++) {
        dbk_pack_block block = image->blocks[i];
        uint32_t begin = moved.border && i == moved.border ? (uint32_t)moved.by : 0;
        uint32_t end = moved.border && i + 1 == moved.border ? (uint32_t)moved.by : 0;
        block.plain_offset += begin;
        block.plain_bytes += end - begin;
        memcpy(plain, all_plain + block.plain_offset - DBK_SEGMENT_DATA_OFFSET, block.plain_bytes);
        if (twist) twist(w, &block, i, plain);
        block.bytes = (uint32_t)ZSTD_compress(file + at, sizeof(file) - at, plain, block.plain_bytes, 3);
        block.checksum = dbk_pack_block_checksum(&image->header, i, dbk_slice_of(file + at, block.bytes));
        block.plain_checksum = dbk_pack_plain_checksum(&image->header, i, dbk_slice_of(plain, block.plain_bytes));
        dbk_pack_block_encode(&block, rows + (size_t)i * DBK_PACK_BLOCK_ROW);
        at += block.bytes;
    }
    size_t size = (size_t)dbk_pack_table_bytes(&head), own = (size_t)head.block_count * DBK_PACK_BLOCK_ROW;
    memcpy(rows + own, image->table, size - own);
    memset(file + at, 0, 4096);
    memcpy(file + at, rows, size);
    free(rows);
    head.table_offset = at;
    head.table_checksum = dbk_pack_table_checksum(&image->header, dbk_slice_of(file + at, size));
    head.file_bytes = dbk_round_up(at + size, DBK_PACK_HEAD_SIZE) + DBK_PACK_HEAD_SIZE;
    dbk_pack_head_encode(&image->header, &head, file);
    memset(file + at + size, 0, head.file_bytes - at - size);
    memcpy(file + head.file_bytes - DBK_PACK_HEAD_SIZE, file, DBK_PACK_HEAD_SIZE);
    dbk_image_close(image);
    dbk_unpacker_free(unpacker);
    assert_int_equal(dbk_simdisk_write(w->disk, second, 0, file, (size_t)head.file_bytes), 0);
    assert_int_equal(dbk_simdisk_truncate(w->disk, second, head.file_bytes), 0);
    (void)dbk_simdisk_remove(w->disk, "log/CATALOG");
}

static uint64_t all, step = 1;
static bool stays_celled; /* it is left as the writer packs it */

/* A log with such a segment in its midst; its batches may be cut into blocks. */
static void make(world *w, bool large)
{
    world_wide(w, 51);
    for (int i = 0; w->log->segment_count < 4; i++)
        assert_int_equal(append_sized(w->log, large ? 60 : 10, DATA_BYTES, NULL), DBK_OK);
    all = dbk_log_position(w->log);
    world_close(w);
    if (!stays_celled) convert(w, NULL);
    assert_int_equal(world_open(w, NULL), DBK_OK);
    check_entries(w->log, DATA_BYTES);
    world_close(w);
    w->dir = root_of(w->port);
}

/* The same as the writer leaves it, to be converted with a lie. */
static dbk_simdisk_image *make_celled(world *w, bool large)
{
    stays_celled = true;
    make(w, large);
    stays_celled = false;
    world_close(w);
    return dbk_simdisk_snapshot(w->disk);
}

typedef struct found {
    unsigned faults, tables;
    uint64_t lost, entries;
} found;

static void on_fault(void *arg, const dbk_log_fault *fault)
{
    found *f = arg;

    f->faults++;
    if (strstr(fault->text, "table of blocks")) f->tables++;
    else if (fault->first_position) f->lost += fault->last_position - fault->first_position + 1;
}

static dbk_result on_entry(void *arg, uint64_t position, int64_t received_ms, dbk_slice origin, dbk_error *err)
{
    dbk_buffer want;

    (void)received_ms, (void)err;
    ((found *)arg)->entries++;
    dbk_buffer_init(&want, dbk_port_system());
    make_entry(&want, replica_one, position, 100 + position, DATA_BYTES);
    assert_true(dbk_slice_equal(origin, dbk_buffer_slice(&want)));
    dbk_buffer_release(&want);
    return DBK_OK;
}

static found verify(world *w)
{
    found f = {0};
    dbk_log_watcher watcher = {.arg = &f, .fault = on_fault, .entry = on_entry};
    dbk_log_report report;

    assert_int_equal(dbk_log_verify(w->port, w->dir, &w->options, DBK_VERIFY_PROOF, &watcher, &report, NULL), DBK_OK);
    return f;
}

static void reopen_dir(world *w)
{
    if (w->dir) w->port->close_dir(w->port->ctx, w->dir);
    w->dir = root_of(w->port);
}

static dbk_pack_head head_of(const world *w)
{
    dbk_pack_head head = pack_head_of(w, second);
    assert_int_equal(head.celled, stays_celled);
    return head;
}

/* The table and some of the blocks: only what stood in these is lost, and opening refuses. */
static void damage_blocks(bool large)
{
    dbk_pack_block blocks[64];
    dbk_image *image;
    world w;

    make(&w, large);
    dbk_simdisk_image *sound = dbk_simdisk_snapshot(w.disk);
    dbk_pack_head head = head_of(&w);
    assert_int_equal(dbk_image_open(w.port, w.dir, second + 4, &image, NULL), DBK_OK);
    assert_true(head.block_count >= 2 && head.block_count <= 64);
    memcpy(blocks, image->blocks, head.block_count * sizeof(*blocks));
    dbk_image_close(image);
    for (uint32_t first = 0; first < head.block_count; first++) {
        for (uint32_t last = first; last < head.block_count; last += 1 + head.block_count / 2) {
            for (int how = 0; how < 3; how++) { /* its magic number, its length, its content */
                static const uint32_t places[] = {1, 5, 30};
                dbk_simdisk_restore(w.disk, sound);
                assert_int_equal(dbk_simdisk_flip_bit(w.disk, second, head.table_offset + 7, 3), 0);
                (void)dbk_simdisk_remove(w.disk, "log/CATALOG");
                for (uint32_t k = first; k <= last; k++) {
                    uint32_t at = blocks[k].offset + places[how] % blocks[k].bytes;
                    assert_int_equal(dbk_simdisk_flip_bit(w.disk, second, at, how ? 4 : 1), 0);
                }
                reopen_dir(&w);
                found f = verify(&w);
                assert_true(f.tables == 1 && f.faults >= 1);
                assert_int_equal(f.entries + f.lost, all);
                assert_true(f.lost <= head.last_position - head.first_position + 1);
                dbk_error err = {0};
                dbk_result rc = world_open(&w, &err);
                if (rc != DBK_CORRUPT && (rc != DBK_OK || f.lost))
                    fail_msg("%d lost %d, blocks %u to %u of %u, how %d: %s", rc, (int)f.lost, first, last,
                             head.block_count, how, err.text);
                world_close(&w);
            }
        }
    }
    world_free(&w);
}

static void test_table_and_blocks(void **state)
{
    (void)state;
    damage_blocks(false);
    damage_blocks(true);
}

/* A bit of bytes all over the file: told, or nothing is lost. */
static void test_each_byte(void **state)
{
    world w;

    (void)state;
    make(&w, false);
    dbk_simdisk_image *sound = dbk_simdisk_snapshot(w.disk);
    uint64_t size = (uint64_t)dbk_simdisk_size(w.disk, second);
    for (uint64_t at = 0; at < size; at += step * (at < 512 || at + 1024 > size ? 3 : 97)) {
        dbk_simdisk_restore(w.disk, sound);
        assert_int_equal(dbk_simdisk_flip_bit(w.disk, second, at, (unsigned)at % 8), 0);
        reopen_dir(&w);
        found f = verify(&w);
        assert_true(f.entries == all || f.faults > 0);
        assert_int_equal(f.entries + f.lost, all);
    }
    world_free(&w);
}

/* The table and a block are damaged, and each allocation or read fails while that is looked at: told, and no leak. */
static void fail_each(bool large, uint32_t kinds)
{
    dbk_simdisk_fault fault = {.kinds = kinds, .times = 1, .error = 5};
    dbk_log_report report;
    dbk_image *image;
    world w;

    make(&w, large);
    dbk_pack_head head = head_of(&w);
    assert_int_equal(dbk_image_open(w.port, w.dir, second + 4, &image, NULL), DBK_OK);
    assert_int_equal(dbk_simdisk_flip_bit(w.disk, second, image->blocks[3].offset + 1, 1), 0);
    dbk_image_close(image);
    assert_int_equal(dbk_simdisk_flip_bit(w.disk, second, head.table_offset + 7, 3), 0);
    (void)dbk_simdisk_remove(w.disk, "log/CATALOG");
    dbk_simdisk_image *damaged = dbk_simdisk_snapshot(w.disk);
    for (bool hit = true; hit; fault.skip += step) {
        dbk_simdisk_restore(w.disk, damaged);
        reopen_dir(&w);
        dbk_simdisk_add_fault(w.disk, &fault);
        dbk_result rc = dbk_log_verify(w.port, w.dir, &w.options, DBK_VERIFY_PROOF, NULL, &report, NULL);
        assert_true(rc == DBK_OK ? report.faults > 0 : rc == DBK_IO || rc == DBK_NO_MEMORY);
        rc = dbk_log_open(w.port, w.dir, &w.options, &w.log, NULL);
        assert_true(rc == DBK_CORRUPT || rc == DBK_IO || rc == DBK_NO_MEMORY);
        w.log = NULL;
        hit = dbk_simdisk_fault_hits(w.disk) > 0;
        dbk_simdisk_clear_faults(w.disk);
    }
    world_free(&w);
}

static void test_failures(void **state)
{
    (void)state;
    for (int form = 0; form < 2; form++) {
        stays_celled = form;
        for (int large = 0; large < 2; large++) {
            fail_each(large, DBK_SIM_MEMORY);
            fail_each(large, DBK_SIM_READ | DBK_SIM_OPEN);
        }
    }
    stays_celled = false;
}

static uint64_t unpacked;
size_t __real_ZSTD_decompressDCtx(ZSTD_DCtx *context, void *out, size_t room, const void *data, size_t size);
size_t __wrap_ZSTD_decompressDCtx(ZSTD_DCtx *context, void *out, size_t room, const void *data, size_t size);
size_t __wrap_ZSTD_decompressDCtx(ZSTD_DCtx *context, void *out, size_t room, const void *data, size_t size)
{
    unpacked += room;
    return __real_ZSTD_decompressDCtx(context, out, room, data, size);
}

/* A forged file: no table, and nothing but frames that say of themselves that they hold the whole segment. To look whether
 * one is a block it is unpacked; all together cost no more than some of them. */
static void test_nothing_but_frames(void **state)
{
    enum { CLAIMED = 16 << 20 };
    static uint8_t file[1 << 20];
    uint8_t *plain = calloc(1, CLAIMED), frame[4096];
    dbk_segment_header header;
    dbk_pack_head head;
    world w;

    (void)state;
    make(&w, false);
    head = head_of(&w);
    assert_true(head.file_bytes < sizeof(file));
    assert_int_equal(dbk_simdisk_read(w.disk, second, 0, file, (size_t)head.file_bytes), head.file_bytes);
    assert_int_equal(dbk_pack_head_decode(file, &header, &head), DBK_DECODED_OK);
    header.size = head.end = CLAIMED;
    dbk_pack_head_encode(&header, &head, file);
    memcpy(file + head.file_bytes - DBK_PACK_HEAD_SIZE, file, DBK_PACK_HEAD_SIZE);
    size_t size = ZSTD_compress(frame, sizeof(frame), plain, CLAIMED, 3);
    assert_false(ZSTD_isError(size));
    free(plain);
    for (uint64_t at = DBK_PACK_HEAD_SIZE; at + size <= head.table_offset; at += size) memcpy(file + at, frame, size);
    file[head.table_offset + 7] ^= 8;
    assert_int_equal(dbk_simdisk_write(w.disk, second, 0, file, (size_t)head.file_bytes), 0);
    (void)dbk_simdisk_remove(w.disk, "log/CATALOG");
    reopen_dir(&w);
    unpacked = 0;
    assert_true(verify(&w).faults > 0);
    assert_in_range(unpacked, CLAIMED, 3 * CLAIMED);
    world_free(&w);
}

static uint64_t right, told;

static void read_each(world *w, const dbk_pack_head *head)
{
    dbk_buffer got, want;

    dbk_buffer_init(&got, dbk_port_system());
    dbk_buffer_init(&want, dbk_port_system());
    for (uint64_t position = head->first_position; position <= head->last_position; position += 17) {
        dbk_error err = {0};
        dbk_result rc = dbk_log_read(w->log, position, &got, NULL, &err);
        make_entry(&want, replica_one, position, 100 + position, DATA_BYTES);
        if (rc == DBK_OK) assert_true(dbk_slice_equal(dbk_buffer_slice(&got), dbk_buffer_slice(&want)));
        else assert_true(rc == DBK_CORRUPT && err.text[0]);
        right += rc == DBK_OK;
        told += rc != DBK_OK;
    }
    dbk_buffer_release(&got);
    dbk_buffer_release(&want);
}

/* A block of other bytes, and its row says their checksum: it does not decompress, or not to what was packed. */
static void test_other_blocks(void **state)
{
    static uint8_t file[1 << 20];
    dbk_segment_header header;
    dbk_pack_block blocks[64];
    dbk_pack_head head;
    world w;

    (void)state;
    make(&w, false);
    dbk_simdisk_image *sound = dbk_simdisk_snapshot(w.disk);
    assert_true(dbk_simdisk_read(w.disk, second, 0, file, sizeof(file)) > 0);
    assert_int_equal(dbk_pack_head_decode(file, &header, &head), DBK_DECODED_OK);
    size_t rows = (size_t)head.block_count * DBK_PACK_BLOCK_ROW;
    assert_true(dbk_pack_blocks_decode(&head, dbk_slice_of(file + head.table_offset, rows), blocks));
    for (uint32_t index = 0; index < head.block_count; index++) {
        const dbk_pack_block *block = &blocks[index];
        for (uint32_t at = 0; at < block->bytes; at += (uint32_t)step * (1 + block->bytes / 12)) {
            dbk_pack_block lying = *block;
            dbk_simdisk_restore(w.disk, sound);
            reopen_dir(&w);
            file[block->offset + at] ^= 0x10;
            lying.checksum = dbk_pack_block_checksum(&header, index, dbk_slice_of(file + block->offset, block->bytes));
            dbk_pack_block_encode(&lying, file + head.table_offset + (size_t)index * DBK_PACK_BLOCK_ROW);
            dbk_simdisk_write(w.disk, second, block->offset, file + block->offset, block->bytes);
            mend_table(&w, second, head.table_offset, file + head.table_offset, (size_t)dbk_pack_table_bytes(&head));
            (void)dbk_simdisk_remove(w.disk, "log/CATALOG");
            w.options.read_only = true;
            lies++;
            if (world_open(&w, NULL) == DBK_OK) read_each(&w, &head);
            world_close(&w);
            w.dir = root_of(w.port);
            found f = verify(&w); /* of a frame's header not every bit matters */
            assert_true(f.faults > 0 || f.entries == all);
            file[block->offset + at] ^= 0x10;
            dbk_pack_block_encode(block, file + head.table_offset + (size_t)index * DBK_PACK_BLOCK_ROW);
        }
    }
    assert_true(lies > 100 / step && right > 0 && told > 0);
    world_free(&w);
}

/* ---- records that are others than their block is said to have */

static struct {
    uint32_t block, record; /* of the block, counted from 0 */
    unsigned at, width;     /* of the header or what is behind it */
    uint64_t more;
    bool done;
} lie;

static void lie_in_record(const world *w, const dbk_pack_block *block, uint32_t index, uint8_t *plain)
{
    uint8_t place[48], *at = plain;

    if (index != lie.block || block->continued) return;
    for (uint32_t i = 0; i < lie.record; i++) {
        at += dbk_record_bytes(dbk_load_u32(at + 20), 512);
        if (at + DBK_RECORD_HEADER_SIZE + 8 > plain + block->plain_bytes) return;
    }
    size_t size = (size_t)dbk_record_bytes(dbk_load_u32(at + 20), 512);
    if (lie.width == 8) dbk_store_u64(at + lie.at, dbk_load_u64(at + lie.at) + lie.more);
    else dbk_store_u32(at + lie.at, dbk_load_u32(at + lie.at) + (uint32_t)lie.more);
    memcpy(place, w->options.store_id, 16);
    memcpy(place + 16, at + 88, 24);
    memcpy(place + 40, at + 8, 8);
    uint64_t seed = dbk_checksum(dbk_slice_of(place, sizeof(place)), dbk_load_u32(at));
    bool whole = at + size <= plain + block->plain_bytes;
    dbk_slice rest = dbk_slice_of(at + DBK_RECORD_HEADER_SIZE, size - DBK_RECORD_FRAME_SIZE);
    if (whole) dbk_store_u64(at + 80, dbk_checksum(rest, seed ^ UINT64_C(0x9e3779b97f4a7c15)));
    dbk_store_u64(at + 120, dbk_checksum(dbk_slice_of(at, 120), seed));
    if (whole) dbk_store_u64(at + size - 8, dbk_load_u64(at + 120));
    lie.done = true;
}

/* Entry by entry, with heads, by a walk; each is right, or told. */
static void ask_of_lie(world *w, const dbk_pack_head *head)
{
    uint8_t bytes[DBK_LEAF_SIZE];
    dbk_log_cursor *cursor;
    uint64_t position;
    dbk_slice origin;

    w->options.read_only = true;
    if (world_open(w, NULL) == DBK_OK) {
        read_each(w, head);
        for (uint64_t at = head->first_position; at <= head->last_position; at += 7) {
            dbk_result rc = dbk_log_head_at(w->log, at, bytes, NULL);
            assert_true(rc == DBK_OK || rc == DBK_CORRUPT);
            rc = dbk_log_find_received(w->log, FIRST_MS + (int64_t)at, &position, NULL);
            assert_true(rc == DBK_OK || rc == DBK_CORRUPT);
        }
        assert_int_equal(dbk_log_cursor_open(w->log, head->first_position + 3, 0, &cursor, NULL), DBK_OK);
        dbk_result rc;
        while ((rc = dbk_log_cursor_next(cursor, &position, NULL, &origin, NULL)) == DBK_OK) {
        }
        assert_true(rc == DBK_END || rc == DBK_CORRUPT);
        dbk_log_cursor_close(cursor);
    }
    world_close(w);
    w->options.read_only = false;
    w->dir = root_of(w->port);
}

/* A record in a block says another place, position or number of entries than is so, under checksums that are right, in
 * a log that has the table and in one that makes it again from the blocks. */
static void test_other_records(void **state)
{
    static const struct {
        unsigned at, width;
        uint64_t more;
    } fields[] = {{4, 4, 1},  {8, 8, 1},  {8, 8, UINT64_MAX}, {16, 4, 1},   {16, 4, UINT32_MAX}, {20, 4, 512},
                  {88, 8, 1}, {96, 8, 1}, {104, 8, 512},      {104, 8, 64}, {128, 4, 1},         {128, 4, 100000}};
    unsigned tried = 0;
    world w;

    (void)state;
    for (int large = 0; large < 2; large++) {
        dbk_simdisk_image *sound = make_celled(&w, large);
        for (uint32_t i = 0; i < 3 * 2 * COUNT(fields); i += (uint32_t)step) {
            dbk_simdisk_restore(w.disk, sound);
            memset(&lie, 0, sizeof(lie));
            lie.block = i / COUNT(fields) / 2;
            lie.record = i / COUNT(fields) % 2;
            lie.at = fields[i % COUNT(fields)].at;
            lie.width = fields[i % COUNT(fields)].width;
            lie.more = fields[i % COUNT(fields)].more;
            convert(&w, lie_in_record);
            w.port->close_dir(w.port->ctx, w.dir);
            w.dir = root_of(w.port);
            if (!lie.done) continue;
            dbk_pack_head head = head_of(&w);
            for (int lost = 0; lost < 2; lost++) {
                if (lost) dbk_simdisk_flip_bit(w.disk, second, head.table_offset + 7, 3);
                ask_of_lie(&w, &head);
                dbk_log_report report;
                assert_int_equal(dbk_log_verify(w.port, w.dir, &w.options, DBK_VERIFY_PROOF, NULL, &report, NULL),
                                 DBK_OK);
                assert_true(report.faults > 0);
            }
            tried++;
            lies++;
        }
        world_free(&w);
    }
    assert_true(tried > 50 / step);
}

/* Blocks are cut within an entry, a header or what is behind the entries: without the table the rows cannot be made
 * again, and whoever opens the log refuses. */
static void test_other_cuts(void **state)
{
    unsigned refused = 0;
    world w;

    (void)state;
    for (int large = 0; large < 2; large++) {
        dbk_simdisk_image *sound = make_celled(&w, large);
        for (int32_t by = -900; by <= 900; by += 37 * (int32_t)step) {
            dbk_simdisk_restore(w.disk, sound);
            moved.border = 2 + (uint32_t)(by + 900) / 37 % 3;
            moved.by = by;
            convert(&w, NULL);
            moved.border = 0;
            w.port->close_dir(w.port->ctx, w.dir);
            w.dir = root_of(w.port);
            dbk_simdisk_flip_bit(w.disk, second, head_of(&w).table_offset + 7, 3);
            dbk_result rc = world_open(&w, NULL);
            assert_true(rc == DBK_OK || rc == DBK_CORRUPT);
            refused += rc != DBK_OK;
            world_close(&w);
            w.dir = root_of(w.port);
            found f = verify(&w);
            assert_true(f.faults > 0 && f.entries + f.lost == all);
        }
        world_free(&w);
    }
    assert_true(refused > 20 / step);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table_and_blocks), cmocka_unit_test(test_each_byte),
        cmocka_unit_test(test_other_blocks),     cmocka_unit_test(test_nothing_but_frames),
        cmocka_unit_test(test_failures),         cmocka_unit_test(test_other_records),
        cmocka_unit_test(test_other_cuts),
    };

    step = step_argument(argc, argv, 1);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
