/* What was right when it was looked at is another thing when it is used: rows in memory that are not those of the file,
 * a file that changes between two looks or while it is packed, a segment behind the end that follows another one, a log
 * that grows while it is being locked, an index that misses what the entries have. Whoever asks is told. */
#include <errno.h>

#include "log_fixture.h"

#include "log/load.h"
#include "log/pack_write.h"

enum { BATCHES = 44, BATCH = 5 };

static const char *segment_path(const char *folder, unsigned number)
{
    static char path[2][64];
    static unsigned which;

    which = !which;
    snprintf(path[which], sizeof(path[0]), "%s/%016x.seg", folder, number);
    return path[which];
}

/* ---- rows */

static void read_some(world *w, uint64_t first, uint64_t last, unsigned *told)
{
    dbk_buffer got, want;

    dbk_buffer_init(&got, dbk_port_system());
    dbk_buffer_init(&want, dbk_port_system());
    for (uint64_t position = first; position <= last; position++) {
        dbk_result rc = dbk_log_read(w->log, position, &got, NULL, NULL);
        assert_true(rc == DBK_OK || rc == DBK_CORRUPT);
        *told += rc == DBK_CORRUPT;
    }
    dbk_log_cursor *cursor;
    dbk_slice origin;
    for (uint64_t position = first; position <= last; position += 3) {
        assert_int_equal(dbk_log_cursor_open(w->log, position, last, &cursor, NULL), DBK_OK);
        dbk_result rc;
        while ((rc = dbk_log_cursor_next(cursor, NULL, NULL, &origin, NULL)) == DBK_OK) {
        }
        assert_true(rc == DBK_END || rc == DBK_CORRUPT);
        *told += rc == DBK_CORRUPT;
        dbk_log_cursor_close(cursor);
    }
    dbk_buffer_release(&got);
    dbk_buffer_release(&want);
}

/* Some blocks in each segment. */
static void world_large(world *w)
{
    world_wide(w, 21);
    while (w->log->segment_count < 3) assert_int_equal(append_sized(w->log, 10, 900, NULL), DBK_OK);
}

/* The rows that were made again when the file was opened say another number of entries than its blocks have; or the
 * head says other positions than the segment. */
static void test_other_rows(void **state)
{
    world w;

    (void)state;
    if (keep_plain) return;
    for (int lie = 0; lie < 6; lie++) {
        unsigned told = 0;
        dbk_image *image;
        world_large(&w);
        const dbk_segment *segment = w.log->segments[1];
        uint64_t first = segment->first_position, last = segment->last_position;
        assert_int_equal(dbk_segment_pin(w.log, w.log->segments[1], &image, NULL), DBK_OK);
        assert_true(image->packed && image->head.celled && image->head.block_count > 2);
        image->table_lost = true;
        uint32_t index = image->head.block_count - 2;
        if (lie < 2) image->blocks[index].delta += lie ? UINT32_MAX : 1;
        if (lie == 2) image->blocks[1].delta += 5;
        if (lie == 3) image->head.first_position += 3;
        if (lie == 4) image->head.last_position -= 3;
        if (lie == 5) image->blocks[index + 1].delta += 2;
        read_some(&w, first, last, &told);
        if (told == 0) fail_msg("lie %d is not told", lie);
        dbk_segment_unpin(w.log, image);
        world_free(&w);
    }
}

/* The blocks of a segment come to an end before all its positions: what was given is not taken for the whole. */
static void test_too_few(void **state)
{
    dbk_log_cursor *cursor;
    dbk_error err = {0};
    uint64_t position;
    dbk_slice origin;
    dbk_image *image;
    dbk_result rc;
    world w;

    (void)state;
    if (keep_plain) return;
    world_large(&w);
    uint64_t last = w.log->segments[1]->last_position;
    assert_int_equal(dbk_segment_pin(w.log, w.log->segments[1], &image, NULL), DBK_OK);
    assert_true(image->packed && image->head.celled);
    assert_int_equal(dbk_log_cursor_open(w.log, last - 3, 0, &cursor, NULL), DBK_OK);
    assert_int_equal(dbk_log_cursor_next(cursor, &position, NULL, &origin, NULL), DBK_OK);
    image->head.last_position += 5;
    while ((rc = dbk_log_cursor_next(cursor, &position, NULL, &origin, &err)) == DBK_OK) assert_true(position <= last);
    assert_int_equal(rc, DBK_CORRUPT);
    assert_non_null(strstr(err.text, "not all positions"));
    image->head.last_position -= 5;
    dbk_log_cursor_close(cursor);
    dbk_segment_unpin(w.log, image);
    world_free(&w);
}

/* What is asked for lies in front of the records, behind the file, or across a border. */
static void test_places_outside(void **state)
{
    uint8_t bytes[1024], zeros[1024] = {0};
    dbk_unpacker *unpacker = NULL;
    dbk_record record;
    dbk_image *image;
    size_t got;
    world w;

    (void)state;
    if (keep_plain) return;
    world_large(&w);
    assert_int_equal(dbk_segment_pin(w.log, w.log->segments[0], &image, NULL), DBK_OK);
    assert_int_equal(dbk_image_read(image, &unpacker, image->header.size, bytes, 100, &got, NULL), DBK_OK);
    assert_int_equal(got, 0);
    assert_int_equal(dbk_image_read(image, &unpacker, image->header.size - 10, bytes, 100, &got, NULL), DBK_OK);
    assert_int_equal(got, 10);
    assert_int_equal(dbk_image_read(image, &unpacker, 0, bytes, 100, &got, NULL), DBK_OK);
    assert_true(got == 100 && memcmp(bytes, zeros, 100) == 0);
    assert_int_equal(dbk_image_read(image, &unpacker, DBK_SEGMENT_DATA_OFFSET - 512, bytes, 1024, &got, NULL), DBK_OK);
    assert_true(got == 1024 && memcmp(bytes, zeros, 512) == 0);
    assert_int_equal(dbk_load_u32(bytes + 512), 0xdbb00c52);
    assert_int_equal(dbk_image_find_record(image, &unpacker, 15, &record, NULL), DBK_OK);
    assert_true(record.first_position <= 15 && 15 < record.first_position + record.count);
    image->head.last_position += 5; /* it has fewer */
    assert_int_equal(dbk_image_find_record(image, &unpacker, image->head.last_position, &record, NULL), DBK_CORRUPT);
    image->head.last_position -= 5;
    dbk_unpacker_free(unpacker);
    dbk_segment_unpin(w.log, image);
    world_free(&w);
}

/* ---- packing */

static void relink_start(world *w, unsigned number, unsigned at, uint64_t value)
{
    static const char *const folder = "log";
    uint8_t bytes[4096], place[48];

    assert_int_equal(
        dbk_simdisk_read(w->disk, segment_path(folder, number), DBK_SEGMENT_DATA_OFFSET, bytes, sizeof(bytes)),
        sizeof(bytes));
    size_t size = (size_t)dbk_record_bytes(dbk_load_u32(bytes + 20), 512);
    dbk_store_u64(bytes + at, value);
    memcpy(place, w->options.store_id, 16);
    memcpy(place + 16, bytes + 88, 24);
    memcpy(place + 40, bytes + 8, 8);
    uint64_t seed = dbk_checksum(dbk_slice_of(place, sizeof(place)), dbk_load_u32(bytes));
    dbk_slice rest = dbk_slice_of(bytes + DBK_RECORD_HEADER_SIZE, size - DBK_RECORD_FRAME_SIZE);
    dbk_store_u64(bytes + 80, dbk_checksum(rest, seed ^ UINT64_C(0x9e3779b97f4a7c15)));
    dbk_store_u64(bytes + 120, dbk_checksum(dbk_slice_of(bytes, 120), seed));
    dbk_store_u64(bytes + size - 8, dbk_load_u64(bytes + 120));
    dbk_simdisk_write(w->disk, segment_path(folder, number), DBK_SEGMENT_DATA_OFFSET, bytes, size);
}

static char text[1024]; /* what was wrong */

static dbk_result pack_it(world *w, const dbk_segment *as)
{
    static const char name[] = "0000000000000002.pack";
    dbk_pack_job job = {.port = w->port, .dir = w->dir, .name = name, .segment = *as};
    dbk_pack_head head;
    dbk_error err = {0};

    text[0] = 0;
    assert_int_equal(dbk_image_open(w->port, w->dir, as->name, &job.image, NULL), DBK_OK);
    dbk_result rc = dbk_pack_write(&job, &head, &err);
    assert_true(rc == DBK_OK || err.text[0]);
    snprintf(text, sizeof(text), "%s", err.text);
    dbk_image_close(job.image);
    return rc;
}

/* The plain segment is not the one that is said to be packed: other positions, another end, another start. */
static void test_packed_as_another(void **state)
{
    world w;

    (void)state;
    if (!keep_plain) return;
    world_new(&w, 22);
    for (int i = 0; i < BATCHES; i++) assert_int_equal(append(w.log, BATCH), DBK_OK);
    dbk_segment segment = *w.log->segments[1], as = segment;
    assert_int_equal(pack_it(&w, &as), DBK_OK);
    as.first_position++;
    assert_int_equal(pack_it(&w, &as), DBK_CORRUPT);
    as = segment;
    as.last_position++;
    assert_int_equal(pack_it(&w, &as), DBK_CORRUPT);
    as = segment;
    as.seal_offset += 512;
    assert_int_equal(pack_it(&w, &as), DBK_CORRUPT);
    as.seal_offset -= 1024;
    assert_int_equal(pack_it(&w, &as), DBK_CORRUPT);
    as = segment;
    as.seal_offset = as.end - 512; /* within the seal, or another record */
    (void)pack_it(&w, &as);
    relink_start(&w, 2, DBK_RECORD_HEADER_SIZE + 64, segment.first_position); /* one entry more than there are */
    assert_int_equal(pack_it(&w, &segment), DBK_CORRUPT);
    relink_start(&w, 2, DBK_RECORD_HEADER_SIZE + 64, segment.first_position - 1);
    if (pack_it(&w, &segment)) fail_msg("%s", text);
    relink_start(&w, 2, DBK_RECORD_HEADER_SIZE + 76, 1); /* what must be zero */
    assert_int_equal(pack_it(&w, &segment), DBK_CORRUPT);
    world_free(&w);
}

static const dbk_port *system_of;
static unsigned opens_of_pack;
static const char *instead;

/* What was written to be packed is another file when it is opened again. */
static int open_another(void *ctx, dbk_dir *dir, const char *name, int flags, uint32_t mode, dbk_file **out)
{
    bool again = strstr(name, ".pack") && ++opens_of_pack == 2;

    return system_of->open_file(ctx, dir, again ? instead : name, flags, mode, out);
}

static void test_read_back_another(void **state)
{
    static const char *const others[] = {"0000000000000001.seg", "0000000000000003.pack"};
    dbk_port port;
    world w;

    (void)state;
    if (!keep_plain) return;
    world_new(&w, 23);
    for (int i = 0; i < BATCHES; i++) assert_int_equal(append(w.log, BATCH), DBK_OK);
    assert_int_equal(pack_it(&w, w.log->segments[2]), DBK_OK);
    assert_int_equal(dbk_simdisk_copy(w.disk, "log/0000000000000002.pack", "log/0000000000000003.pack"), 0);
    system_of = w.port;
    port = *w.port;
    port.open_file = open_another;
    w.port = &port;
    for (int i = 0; i < 2; i++) {
        opens_of_pack = 0;
        instead = others[i];
        assert_int_equal(pack_it(&w, w.log->segments[1]), DBK_CORRUPT);
    }
    w.port = system_of;
    world_free(&w);
}

/* ---- what follows */

/* A log of plain segments whose last one is ended: what comes behind it is put aside, into "aside". */
static unsigned ended_log(world *w, uint64_t seed, unsigned keep)
{
    unsigned number = keep + 1;
    dbk_dir *aside;

    world_new(w, seed);
    for (int i = 0; i < 2 * BATCHES; i++) assert_int_equal(append(w->log, BATCH), DBK_OK);
    world_close(w);
    assert_int_equal(w->port->open_dir(w->port->ctx, NULL, "aside", DBK_OPEN_DIRECTORY, &aside), 0);
    w->port->close_dir(w->port->ctx, aside);
    for (; dbk_simdisk_exists(w->disk, segment_path("log", number)); number++) {
        assert_int_equal(dbk_simdisk_copy(w->disk, segment_path("log", number), segment_path("aside", number)), 0);
        assert_int_equal(dbk_simdisk_remove(w->disk, segment_path("log", number)), 0);
    }
    (void)dbk_simdisk_remove(w->disk, "log/WATERMARK");
    (void)dbk_simdisk_remove(w->disk, "log/CHECKPOINT");
    return number - 1;
}

static void put_back(world *w, unsigned number)
{
    assert_int_equal(dbk_simdisk_copy(w->disk, segment_path("aside", number), segment_path("log", number)), 0);
}

/* A reader follows the writer into the next segment: there is none, it is half prepared, another store's, one that
 * follows another record; and then the right one. */
static void test_following(void **state)
{
    uint8_t header[DBK_SEGMENT_HEADER_SIZE], own;
    world w;

    (void)state;
    if (!keep_plain) return;
    (void)ended_log(&w, 24, 2);
    w.options.read_only = true;
    assert_int_equal(world_open(&w, NULL), DBK_OK);
    const dbk_segment *last = w.log->segments[1];
    assert_true(last->seal_offset != 0 && dbk_log_position(w.log) == last->last_position);
    uint64_t end = dbk_log_position(w.log);
    assert_int_equal(dbk_log_refresh(w.log, NULL), DBK_OK);
    memset(header, 0, sizeof(header));
    dbk_simdisk_write(w.disk, segment_path("log", 3), 16000, header, sizeof(header));
    assert_int_equal(dbk_log_refresh(w.log, NULL), DBK_OK);
    put_back(&w, 3);
    dbk_simdisk_read(w.disk, segment_path("log", 3), 0, header, sizeof(header));
    own = header[16];
    header[16] ^= 1; /* the id of the store */
    for (int i = 0; i < 2; i++) {
        dbk_store_u64(header + 120, dbk_checksum(dbk_slice_of(header, 120), dbk_load_u64(header)));
        for (uint64_t at = 0; at <= DBK_SEGMENT_COPY_OFFSET; at += DBK_SEGMENT_COPY_OFFSET)
            dbk_simdisk_write(w.disk, segment_path("log", 3), at, header, sizeof(header));
        if (i == 0) assert_int_equal(dbk_log_refresh(w.log, NULL), DBK_FOREIGN);
        header[16] = own;
    }
    relink_start(&w, 3, 32, 12345); /* the record before it */
    assert_int_equal(dbk_log_refresh(w.log, NULL), DBK_CORRUPT);
    assert_int_equal(dbk_log_position(w.log), end);
    put_back(&w, 3);
    put_back(&w, 4);
    assert_int_equal(dbk_log_refresh(w.log, NULL), DBK_OK);
    assert_true(dbk_log_position(w.log) > end);
    world_free(&w);
}

/* The seal of the last segment that has begun is not this segment's. */
static void test_seal_of_another(void **state)
{
    world w;

    (void)state;
    if (!keep_plain) return;
    (void)ended_log(&w, 25, 2);
    w.options.read_only = true;
    assert_int_equal(world_open(&w, NULL), DBK_OK);
    uint64_t seal = w.log->segments[1]->seal_offset;
    world_close(&w);
    uint8_t bytes[512], place[48];
    assert_int_equal(dbk_simdisk_read(w.disk, segment_path("log", 2), seal, bytes, sizeof(bytes)), sizeof(bytes));
    dbk_store_u64(bytes + DBK_RECORD_HEADER_SIZE, 1);
    memcpy(place, w.options.store_id, 16);
    memcpy(place + 16, bytes + 88, 24);
    memcpy(place + 40, bytes + 8, 8);
    uint64_t seed = dbk_checksum(dbk_slice_of(place, sizeof(place)), dbk_load_u32(bytes));
    dbk_slice rest = dbk_slice_of(bytes + DBK_RECORD_HEADER_SIZE, sizeof(bytes) - DBK_RECORD_FRAME_SIZE);
    dbk_store_u64(bytes + 80, dbk_checksum(rest, seed ^ UINT64_C(0x9e3779b97f4a7c15)));
    dbk_store_u64(bytes + 120, dbk_checksum(dbk_slice_of(bytes, 120), seed));
    dbk_store_u64(bytes + sizeof(bytes) - 8, dbk_load_u64(bytes + 120));
    dbk_simdisk_write(w.disk, segment_path("log", 2), seal, bytes, sizeof(bytes));
    for (int writer = 0; writer < 2; writer++) {
        dbk_error err = {0};
        w.options.read_only = !writer;
        assert_int_equal(world_open(&w, &err), DBK_CORRUPT);
        assert_non_null(strstr(err.text, "seal"));
        world_close(&w);
    }
    world_free(&w);
}

static world *growing;
static unsigned next_number, last_number;

/* Each time that the lock is asked for, another process has gone on to the next segment. */
static int lock_late(void *ctx, dbk_file *file)
{
    if (next_number <= last_number) put_back(growing, next_number++);
    return system_of->lock_file(ctx, file);
}

static void test_growing(void **state)
{
    dbk_error err = {0};
    dbk_port port;
    world w;

    (void)state;
    if (!keep_plain) return;
    for (unsigned more = 2; more < 8; more += 4) {
        last_number = ended_log(&w, 26, 2);
        assert_true(last_number > 7);
        if (more < 4) last_number = 2 + more;
        growing = &w;
        next_number = 3;
        system_of = w.port;
        port = *w.port;
        port.lock_file = lock_late;
        w.port = &port;
        assert_int_equal(world_open(&w, &err), more < 4 ? DBK_OK : DBK_LOCKED);
        if (more > 4) assert_non_null(strstr(err.text, "goes on appending"));
        if (more < 4) assert_int_equal(append(w.log, 2), DBK_OK);
        world_close(&w);
        w.port = system_of;
        world_free(&w);
    }
}

/* A header says that the segment ends with its last record, and the file does: none but a forger leaves no room for the
 * seal. Nothing is written behind the end, also where that write would have failed, and what is there stays readable. */
static void test_no_room_for_the_seal(void **state)
{
    static const uint64_t copies[] = {0, DBK_SEGMENT_COPY_OFFSET};
    uint8_t header[DBK_SEGMENT_HEADER_SIZE];
    world w;

    (void)state;
    for (int fails = 0; fails < 2; fails++) {
        dbk_simdisk_fault fault = {.kinds = DBK_SIM_WRITE, .path = ".seg", .error = ENOSPC, .times = 1};
        dbk_error err = {0};
        world_new(&w, 22);
        while (dbk_log_active(w.log)->end < DBK_SEGMENT_SIZE_MIN || dbk_log_active(w.log)->end % DBK_UNIT_MAX)
            assert_int_equal(append(w.log, 1), DBK_OK);
        const char *path = segment_path("log", (unsigned)w.log->segment_count);
        uint64_t end = dbk_log_active(w.log)->end;
        world_close(&w);
        assert_int_equal(dbk_simdisk_read(w.disk, path, 0, header, sizeof(header)), sizeof(header));
        dbk_store_u64(header + 64, end);
        dbk_store_u64(header + 120, dbk_checksum(dbk_slice_of(header, 120), dbk_load_u64(header)));
        for (size_t i = 0; i < 2; i++)
            assert_int_equal(dbk_simdisk_write(w.disk, path, copies[i], header, sizeof(header)), 0);
        assert_int_equal(dbk_simdisk_truncate(w.disk, path, end), 0);
        assert_int_equal(world_open(&w, &err), DBK_OK);
        if (fails) dbk_simdisk_add_fault(w.disk, &fault);
        assert_int_equal(append_sized(w.log, 1, 0, &err), DBK_CORRUPT);
        assert_non_null(strstr(err.text, "leave no room for the seal"));
        dbk_simdisk_clear_faults(w.disk);
        assert_int_equal(dbk_simdisk_size(w.disk, path), end);
        world_reopen(&w);
        check_entries(w.log, 0);
        world_free(&w);
    }
}

int main(void)
{
    checkpoint_bytes = 512;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_places_outside),    cmocka_unit_test(test_other_rows),
        cmocka_unit_test(test_packed_as_another), cmocka_unit_test(test_read_back_another),
        cmocka_unit_test(test_following),         cmocka_unit_test(test_seal_of_another),
        cmocka_unit_test(test_growing),           cmocka_unit_test(test_no_room_for_the_seal),
        cmocka_unit_test(test_too_few),
    };

    return run_both_forms(tests);
}
