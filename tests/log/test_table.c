/* A packed segment whose table of blocks is damaged: the blocks say what stood in it. Nothing is lost, it is told, and
 * who writes makes the table again; where a block is damaged too, opening refuses and the rest can be saved. */
#include "packed_fixture.h"

#include "log/load.h"
#include "log/scrub.h"

static const char two[] = "log/0000000000000002.seg";

/* A closed log of packed segments; `data_bytes` large: batches are cut into several blocks. */
static void packed_log_of(world *w, uint32_t segment_bytes, size_t batches, size_t count, size_t data_bytes)
{
    memset(w, 0, sizeof(*w));
    w->disk = dbk_simdisk_new(51);
    w->port = dbk_simdisk_port(w->disk);
    w->options = small_options();
    w->options.segment_first_bytes = w->options.segment_max_bytes = segment_bytes;
    w->dir = root_of(w->port);
    assert_int_equal(dbk_log_create(w->port, w->dir, &w->options, NULL), DBK_OK);
    assert_int_equal(world_open(w, NULL), DBK_OK);
    for (size_t i = 0; i < batches; i++) assert_int_equal(append_sized(w->log, count, data_bytes, NULL), DBK_OK);
    assert_true(w->log->segment_count > 3);
    world_close(w);
}

static void packed_log(world *w, size_t batches, size_t count, size_t data_bytes)
{
    packed_log_of(w, 16384, batches, count, data_bytes);
}

/* Rot leaves the time of a file as it was: with its catalog, opening does not look at the table. */
static void flip(world *w, const char *path, uint64_t offset, bool catalog)
{
    assert_int_equal(dbk_simdisk_flip_bit(w->disk, path, offset, 3), 0);
    if (!catalog) (void)dbk_simdisk_remove(w->disk, "log/CATALOG");
}

typedef struct found {
    unsigned faults, tables;
    uint64_t table_offset, lost, entries;
} found;

static void on_fault(void *arg, const dbk_log_fault *fault)
{
    found *f = arg;

    f->faults++;
    assert_int_equal(fault->code, DBK_CORRUPT);
    assert_string_equal(fault->file, two + 4);
    if (strstr(fault->text, "table of blocks")) {
        f->tables++;
        f->table_offset = fault->offset;
        assert_int_equal(fault->first_position, 0);
    } else {
        if (fault->first_position) f->lost += fault->last_position - fault->first_position + 1;
    }
}

static dbk_result on_entry(void *arg, uint64_t position, int64_t received_ms, dbk_slice origin, dbk_error *err)
{
    found *f = arg;
    dbk_buffer want;

    (void)received_ms;
    (void)err;
    f->entries++;
    dbk_buffer_init(&want, dbk_port_system());
    make_entry(&want, replica_one, position, 100 + position, 900);
    if (origin.size > 900) assert_true(dbk_slice_equal(origin, dbk_buffer_slice(&want)));
    dbk_buffer_release(&want);
    return DBK_OK;
}

static found verify(world *w)
{
    found f = {0};
    dbk_log_watcher watcher = {.arg = &f, .fault = on_fault, .entry = on_entry};
    dbk_log_report report;

    if (!w->dir) w->dir = root_of(w->port);
    assert_int_equal(dbk_log_verify(w->port, w->dir, &w->options, DBK_VERIFY_PROOF, &watcher, &report, NULL), DBK_OK);
    return f;
}

/* One bit of the table, wherever it stands, small batches or large ones: verification names the table and misses no
 * entry; a reader is given all, by position, by stream, by type and by time; the writer packs the segment again, byte
 * for byte as it was, and notes it. */
static void test_table_alone(void **state)
{
    static const size_t data_bytes[] = {0, 900};

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        world w;
        packed_log(&w, i ? 12 : 60, i ? 60 : 5, data_bytes[i]);
        dbk_simdisk_image *image = dbk_simdisk_snapshot(w.disk);
        uint64_t whole = dbk_simdisk_hash(w.disk, two);
        dbk_pack_head head = pack_head_of(&w, two);
        uint64_t size = dbk_pack_table_bytes(&head);
        for (uint64_t at = 0; at < size; at += 1 + size / 24) {
            dbk_log_options reading = w.options;
            dbk_simdisk_restore(w.disk, image);
            flip(&w, two, head.table_offset + at, false);
            found f = verify(&w);
            assert_int_equal(f.faults, 1);
            assert_int_equal(f.table_offset, head.table_offset);
            reading.read_only = true;
            assert_int_equal(dbk_log_open(w.port, w.dir, &reading, &w.log, NULL), DBK_OK);
            assert_int_equal(f.entries, dbk_log_position(w.log));
            check_entries(w.log, data_bytes[i]);
            dbk_log_close(w.log);
            assert_int_equal(world_open(&w, NULL), DBK_OK);
            check_entries(w.log, data_bytes[i]);
            world_close(&w);
            assert_int_equal(dbk_simdisk_hash(w.disk, two), whole);
            char note[200] = "";
            assert_true(dbk_simdisk_read(w.disk, "log/recovery.ndjson", 0, note, sizeof(note) - 1) > 0);
            assert_non_null(strstr(note, "\"case\":\"table\",\"file\":\"0000000000000002.seg\""));
            assert_int_equal(verify(&w).faults, 0);
            w.port->close_dir(w.port->ctx, w.dir);
            w.dir = NULL;
        }
        world_free(&w);
    }
}

static dbk_result next(dbk_log_selection *selection, uint64_t *position)
{
    dbk_slice origin;

    return dbk_log_selection_next(selection, position, NULL, &origin, NULL);
}

/* What the table alone tells, which blocks have a type and when they were received, is answered without it. */
static void test_asked_without(void **state)
{
    const dbk_log_wish wishes[] = {{.type = dbk_slice_text("note.put")},
                                   {.type = dbk_slice_text("note.put"), .reverse = true},
                                   {.since_ms = FIRST_MS + 100}};
    uint64_t counts[2][3] = {0}, sums[2][3] = {0};
    world w;

    (void)state;
    packed_log(&w, 60, 5, 0);
    for (int damaged = 0; damaged < 2; damaged++) {
        w.options.read_only = true;
        if (damaged) flip(&w, two, pack_head_of(&w, two).table_offset, false);
        assert_int_equal(world_open(&w, NULL), DBK_OK);
        for (size_t i = 0; i < 3; i++) {
            dbk_log_selection *selection;
            uint64_t position;
            assert_int_equal(dbk_log_selection_open(w.log, &wishes[i], &selection, NULL), DBK_OK);
            for (; next(selection, &position) == DBK_OK; sums[damaged][i] += position * ++counts[damaged][i]) {
            }
            dbk_log_selection_close(selection);
        }
        world_close(&w);
    }
    assert_memory_equal(counts[0], counts[1], sizeof(counts[0]));
    assert_memory_equal(sums[0], sums[1], sizeof(sums[0]));
    assert_true(counts[0][0] == 300 && counts[0][2] > 0 && counts[0][2] < 300);
    world_free(&w);
}

/* The table and a block: opening refuses and changes nothing; verification loses the positions of that block alone,
 * also of two blocks, and of the first or the last; of a batch that was cut into blocks, the batch. */
static void damage_blocks(bool large)
{
    static const struct {
        uint32_t first, last; /* blocks; counted from the end where above 1000 */
    } cases[] = {{3, 3}, {0, 0}, {2, 4}, {1001, 1001}, {1002, 1001}, {0, 1001}};
    world w;

    packed_log_of(&w, 262144, large ? 30 : 180, large ? 60 : 10, 900);
    dbk_simdisk_image *image = dbk_simdisk_snapshot(w.disk);
    dbk_pack_head head = pack_head_of(&w, two);
    assert_true(head.block_count > 5);
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        dbk_image *sound;
        dbk_error err = {0};
        uint32_t first = cases[i].first, last = cases[i].last;
        if (first > 1000) first = head.block_count - (first - 1000);
        if (last > 1000) last = head.block_count - (last - 1000);
        dbk_simdisk_restore(w.disk, image);
        w.dir = root_of(w.port);
        assert_int_equal(dbk_image_open(w.port, w.dir, two + 4, &sound, NULL), DBK_OK);
        for (uint32_t k = first; k <= last; k++) flip(&w, two, sound->blocks[k].offset + 2, false);
        dbk_image_close(sound);
        flip(&w, two, head.table_offset + 7, false);
        uint64_t before = dbk_simdisk_hash(w.disk, NULL);
        assert_int_equal(world_open(&w, &err), DBK_CORRUPT);
        assert_non_null(strstr(err.text, "its blocks do not give it again"));
        assert_int_equal(dbk_simdisk_hash(w.disk, NULL), before);
        found f = verify(&w);
        assert_int_equal(f.tables, 1);
        assert_true(f.faults >= 2 &&
                    (f.lost > 0 || first == 0 || first + 1 == head.block_count)); /* start or seal alone */
        assert_int_equal(f.entries + f.lost, 1800);
        if (first > 0 || last + 1 < head.block_count)
            assert_true(f.lost < head.last_position - head.first_position + 1);
        w.port->close_dir(w.port->ctx, w.dir);
        w.dir = NULL;
    }
    world_free(&w);
}

static void test_and_blocks(void **state)
{
    (void)state;
    damage_blocks(false);
    damage_blocks(true);
}

/* Blocks that account for the whole file and are not this segment's: the table cannot be made of them. */
static void test_other_blocks(void **state)
{
    uint8_t mine[65536], other[65536];
    dbk_error err = {0};
    world w;

    (void)state;
    packed_log(&w, 60, 5, 0);
    dbk_pack_head head = pack_head_of(&w, two), third = pack_head_of(&w, "log/0000000000000003.seg");
    assert_true(dbk_simdisk_read(w.disk, two, 0, mine, sizeof(mine)) > 0);
    assert_true(dbk_simdisk_read(w.disk, "log/0000000000000003.seg", 0, other, sizeof(other)) > 0);
    assert_true(third.table_offset >= 1024 && head.table_offset >= 1024);
    memcpy(mine + 512, other + 512,
           (size_t)(head.table_offset < third.table_offset ? head.table_offset : third.table_offset) - 512);
    mine[head.table_offset] ^= 1;
    assert_int_equal(dbk_simdisk_write(w.disk, two, 0, mine, (size_t)head.file_bytes), 0);
    (void)dbk_simdisk_remove(w.disk, "log/CATALOG");
    assert_int_equal(world_open(&w, &err), DBK_CORRUPT);
    found f = verify(&w);
    assert_true(f.tables == 1 && f.lost == head.last_position - head.first_position + 1);
    world_free(&w);
}

static void put_head(world *w, const dbk_segment_header *header, const dbk_pack_head *head)
{
    uint8_t bytes[DBK_PACK_HEAD_SIZE];

    dbk_pack_head_encode(header, head, bytes);
    assert_int_equal(dbk_simdisk_write(w->disk, two, 0, bytes, sizeof(bytes)), 0);
    assert_int_equal(dbk_simdisk_write(w->disk, two, head->file_bytes - sizeof(bytes), bytes, sizeof(bytes)), 0);
}

/* A head that says something else than the blocks, in what the table does not repeat: no table is made for it. */
static void test_other_heads(void **state)
{
    uint8_t bytes[DBK_PACK_HEAD_SIZE];
    dbk_segment_header header;
    dbk_pack_head head, lying;
    world w;

    (void)state;
    packed_log_of(&w, 262144, 180, 10, 900);
    flip(&w, two, pack_head_of(&w, two).table_offset, false);
    assert_int_equal(dbk_simdisk_read(w.disk, two, 0, bytes, sizeof(bytes)), sizeof(bytes));
    assert_int_equal(dbk_pack_head_decode(bytes, &header, &head), DBK_DECODED_OK);
    for (int lie = 0; lie < 7; lie++) {
        dbk_image *image = NULL;
        lying = head;
        if (lie == 0) lying.seal_checksum++;
        if (lie == 1) lying.previous++;
        if (lie == 2) lying.end -= 512;
        if (lie == 3) lying.last_position--;
        if (lie == 4)
            lying.block_count--, lying.root_count = dbk_pack_roots_count(head.first_position, head.last_position);
        if (lie == 5) lying.block_count++;
        if (lie == 6) lying.end += 512;
        if (lie == 3) lying.root_count = dbk_pack_roots_count(head.first_position, lying.last_position);
        uint64_t table = dbk_pack_table_bytes(&lying);
        lying.file_bytes = dbk_round_up(lying.table_offset + table, DBK_PACK_HEAD_SIZE) + DBK_PACK_HEAD_SIZE;
        if (lying.end > header.size) continue;
        put_head(&w, &header, &lying);
        w.dir = root_of(w.port);
        dbk_result rc = dbk_image_open(w.port, w.dir, two + 4, &image, NULL);
        if (rc == DBK_OK) { /* no head that could be: taken for a plain file */
            assert_false(image->packed);
        } else {
            assert_int_equal(rc, DBK_CORRUPT);
            assert_int_equal(dbk_image_open_damaged(w.port, w.dir, two + 4, &image, NULL), DBK_OK);
            assert_true(image->table_lost);
        }
        dbk_image_close(image);
        w.port->close_dir(w.port->ctx, w.dir);
        w.dir = NULL;
    }
    world_free(&w);
}

typedef struct told {
    unsigned mended, remade, refused;
} told;
static void on_mended(void *arg, const char *file, const char *kept, uint64_t bytes)
{
    (void)file, (void)kept, (void)bytes;
    ((told *)arg)->mended++;
}
static void on_remade(void *arg, const char *file, uint64_t bytes)
{
    assert_string_equal(file, two + 4);
    assert_true(bytes > 1024);
    ((told *)arg)->remade++;
}
static void on_refused(void *arg, const char *file, const char *why)
{
    (void)file, (void)why;
    ((told *)arg)->refused++;
}

/* Mending asks no copy for it: an empty folder does. A copy that has lost its own table does not serve. */
static void test_mended_alone(void **state)
{
    dbk_dir *empty;
    world w;

    (void)state;
    packed_log(&w, 60, 5, 0);
    uint64_t whole = dbk_simdisk_hash(w.disk, two), mended;
    dbk_pack_head head = pack_head_of(&w, two);
    uint8_t bytes[65536];
    int64_t size = dbk_simdisk_read(w.disk, two, 0, bytes, sizeof(bytes));
    w.dir = root_of(w.port);
    assert_int_equal(w.port->open_dir(w.port->ctx, NULL, "copy", DBK_OPEN_DIRECTORY, &empty), 0);
    for (int damage = 0; damage < 2; damage++) {
        told t = {0};
        dbk_mend_watcher watcher = {&t, on_mended, on_remade, on_refused};
        flip(&w, two, damage ? 600 : head.table_offset, true);
        if (damage) { /* a block: only a copy helps, and this one lacks its table */
            bytes[head.table_offset] ^= 1;
            assert_int_equal(dbk_simdisk_write(w.disk, "copy/0000000000000002.seg", 0, bytes, (size_t)size), 0);
        }
        assert_int_equal(dbk_log_mend(w.port, w.dir, empty, &w.options, &watcher, &mended, NULL), DBK_OK);
        assert_int_equal(t.mended, 0);
        assert_int_equal(t.remade, !damage);
        assert_int_equal(t.refused, damage);
        assert_int_equal(mended, !damage);
        if (!damage) assert_int_equal(dbk_simdisk_hash(w.disk, two), whole);
    }
    w.port->close_dir(w.port->ctx, empty);
    world_free(&w);
}

/* Opening believes the catalog; the scrub's first glance does not, says so, and the log packs the segment again when it
 * has time. */
static void test_glance(void **state)
{
    dbk_scrub_options options = {.no_thread = true};
    dbk_scrub_state seen;
    dbk_scrub *scrub;
    world w;

    (void)state;
    packed_log(&w, 60, 5, 0);
    uint64_t whole = dbk_simdisk_hash(w.disk, two);
    flip(&w, two, pack_head_of(&w, two).table_offset + 40, true);
    assert_int_equal(world_open(&w, NULL), DBK_OK);
    assert_int_not_equal(dbk_simdisk_hash(w.disk, two), whole);
    assert_int_equal(dbk_scrub_start(w.log, &options, &scrub, NULL), DBK_OK);
    for (int i = 0; i < 2; i++) assert_int_equal(dbk_scrub_glance(scrub, NULL), DBK_OK);
    dbk_scrub_get(scrub, &seen);
    assert_int_equal(seen.faults, 1);
    assert_non_null(strstr(seen.fault, "0000000000000002.seg"));
    assert_non_null(strstr(seen.fault, "table of blocks"));
    dbk_scrub_stop(scrub);
    assert_int_equal(dbk_log_idle(w.log, NULL), DBK_OK);
    assert_int_equal(dbk_simdisk_hash(w.disk, two), whole);
    check_entries(w.log, 0);
    world_free(&w);
}

/* Each call and each allocation fails once, while a log with a lost table is opened, asked and verified: told, or the
 * answer; nothing leaks, and the next opening has all. */
static void test_failures(void **state)
{
    static const uint32_t kinds[] = {DBK_SIM_MEMORY, DBK_SIM_READ | DBK_SIM_OPEN,
                                     DBK_SIM_WRITE | DBK_SIM_SYNC | DBK_SIM_RENAME};
    world w;

    (void)state;
    packed_log(&w, 60, 5, 0);
    flip(&w, two, pack_head_of(&w, two).table_offset, false);
    dbk_simdisk_image *image = dbk_simdisk_snapshot(w.disk);
    for (size_t i = 0; i < 3; i++) {
        dbk_simdisk_fault fault = {.kinds = kinds[i], .times = 1, .error = 5};
        for (bool hit = true; hit; fault.skip++) {
            dbk_simdisk_restore(w.disk, image);
            w.dir = root_of(w.port);
            dbk_simdisk_add_fault(w.disk, &fault);
            dbk_result rc = world_open(&w, NULL);
            assert_true(rc == DBK_OK || rc == DBK_IO || rc == DBK_NO_MEMORY || rc == DBK_CORRUPT || rc == DBK_POISONED);
            hit = dbk_simdisk_fault_hits(w.disk) > 0;
            dbk_simdisk_clear_faults(w.disk);
            world_close(&w);
            assert_int_equal(dbk_simdisk_memory_count(w.disk), 0);
            assert_int_equal(world_open(&w, NULL), DBK_OK);
            check_entries(w.log, 0);
            world_close(&w);
        }
    }
    world_free(&w);
}

static int64_t (*real_pread)(void *ctx, dbk_file *file, void *out, size_t size, uint64_t offset);
static uint64_t bytes_read;

static int64_t counted_pread(void *ctx, dbk_file *file, void *out, size_t size, uint64_t offset)
{
    int64_t got = real_pread(ctx, file, out, size, offset);
    if (got > 0) bytes_read += (uint64_t)got;
    return got;
}

/* A forged file: no table, and nothing but beginnings of blocks that are none. Each costs a look at what stands behind
 * it; all together cost no more than some looks at the file. */
static void test_nothing_but_beginnings(void **state)
{
    static const uint8_t celled[8] = {0xbb, 0x4d, 0x0c, 0xf7, 0x00, 0x01}, framed[8] = {0x28, 0xb5, 0x2f, 0xfd, 0xa4};
    world w;

    (void)state;
    packed_log(&w, 12, 60, 900);
    dbk_pack_head head = pack_head_of(&w, two);
    uint64_t begin = dbk_pack_blocks_begin(&head), size = head.table_offset - begin;
    uint8_t *bytes = malloc(size);
    assert_non_null(bytes);
    for (uint64_t i = 0; i < size; i++) bytes[i] = head.celled ? celled[i % 8] : framed[i % 8];
    assert_int_equal(dbk_simdisk_write(w.disk, two, begin, bytes, size), 0);
    flip(&w, two, head.table_offset, false);
    free(bytes);
    const dbk_port *port = w.port;
    dbk_port counted = *port;
    real_pread = counted.pread;
    counted.pread = counted_pread;
    bytes_read = 0;
    w.port = &counted;
    found f = verify(&w);
    print_message("%llu bytes of blocks: %llu read\n", (unsigned long long)size, (unsigned long long)bytes_read);
    assert_true(f.faults > 0 && f.tables == 1);
    assert_true(bytes_read < 200 * head.file_bytes);
    w.port = port;
    world_free(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table_alone),
        cmocka_unit_test(test_asked_without),
        cmocka_unit_test(test_and_blocks),
        cmocka_unit_test(test_other_blocks),
        cmocka_unit_test(test_other_heads),
        cmocka_unit_test(test_mended_alone),
        cmocka_unit_test(test_nothing_but_beginnings),
        cmocka_unit_test(test_glance),
        cmocka_unit_test(test_failures),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
