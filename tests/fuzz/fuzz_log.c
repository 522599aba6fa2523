/* Opening, reading and verifying a log whose files were changed. The input is a list of changes of
 * 6 bytes: file, offset (2), value, whether to make the checksums right again afterwards, length.
 */
#include <stdlib.h>

#include "base/simdisk.h"
#include "log/index_internal.h"
#include "log/internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const files[] = {"log/0000000000000001.seg",
                                    "log/WATERMARK",
                                    "log/0000000000000002.seg",
                                    "log/0000000000000001.idx",
                                    "log/0000000000000003.seg",
                                    "log/CHECKPOINT",
                                    "log/CATALOG"};
enum { FILES = sizeof files / sizeof *files };
static dbk_simdisk *disk;
static const dbk_port *port;
static dbk_simdisk_image *image;
static dbk_log_options options = {
    .no_background = true, .segment_first_bytes = 16384, .segment_max_bytes = 16384, .checkpoint_bytes = 512};

static void check(bool holds)
{
    if (!holds) abort();
}

static dbk_dir *folder(void)
{
    dbk_dir *dir;

    check(port->open_dir(port->ctx, NULL, "log", DBK_OPEN_DIRECTORY, &dir) == 0);
    return dir;
}

static void append_one(dbk_log *log, uint64_t seq)
{
    dbk_entry entry = {.id = {.incarnation = 1, .seq = seq}, .epoch = 1, .hlc = seq};
    dbk_buffer bytes;
    dbk_slice origin;

    entry.command_id = dbk_slice_text("command");
    dbk_buffer_init(&bytes, port);
    dbk_entry_encode(&bytes, &entry);
    origin = dbk_buffer_slice(&bytes);
    check(dbk_log_append(log, &origin, 1, (int64_t)seq, NULL, NULL) == DBK_OK);
    dbk_buffer_release(&bytes);
}

static void make_log(void)
{
    dbk_log *log;

    disk = dbk_simdisk_new(1);
    port = dbk_simdisk_port(disk);
    dbk_dir *dir = folder();
    check(dbk_log_create(port, dir, &options, NULL) == DBK_OK);
    check(dbk_log_open(port, dir, &options, &log, NULL) == DBK_OK);
    for (uint64_t seq = 1; seq <= 18; seq++) append_one(log, seq);
    dbk_log_close(log);
    port->close_dir(port->ctx, dir);
    image = dbk_simdisk_snapshot(disk);
}

/* Makes a changed record of the original layout valid again, so that what it says is believed. */
static void mend_records(const char *path)
{
    uint8_t bytes[8192];

    for (uint64_t offset = DBK_SEGMENT_DATA_OFFSET; offset + 512 <= 16384; offset += 512) {
        dbk_record record = {.offset = offset};
        if (dbk_simdisk_read(disk, path, offset, bytes, 512) != 512) return;
        if (dbk_load_u64(bytes + 104) != offset) continue;
        record.type = bytes[4];
        record.first_position = dbk_load_u64(bytes + 8);
        record.count = dbk_load_u32(bytes + 16);
        record.payload_bytes = dbk_load_u32(bytes + 20);
        record.durable_upto = dbk_load_u64(bytes + 24);
        record.previous = dbk_load_u64(bytes + 32);
        record.received_ms = (int64_t)dbk_load_u64(bytes + 40);
        memcpy(record.head, bytes + 48, DBK_LEAF_SIZE);
        record.segment = dbk_load_u64(bytes + 88);
        record.salt = dbk_load_u64(bytes + 96);
        uint64_t whole = dbk_record_bytes(record.payload_bytes, 512);
        if (whole > sizeof(bytes) || dbk_simdisk_read(disk, path, offset, bytes, whole) != (int64_t)whole) continue;
        dbk_record_finish(&record, options.store_id, bytes, whole);
        dbk_simdisk_write(disk, path, offset, bytes, whole);
    }
}

static void mend_checksum(const char *path, uint64_t offset)
{
    uint8_t bytes[128];

    if (dbk_simdisk_read(disk, path, offset, bytes, sizeof(bytes)) != sizeof(bytes)) return;
    dbk_store_u64(bytes + 120, dbk_checksum(dbk_slice_of(bytes, 120), dbk_load_u64(bytes)));
    dbk_simdisk_write(disk, path, offset, bytes, sizeof(bytes));
}

/* The pages of an index run and of the checkpoint, by the salt that the first one names. */
static void mend_pages(const char *path)
{
    uint8_t page[DBK_INDEX_PAGE_SIZE];
    uint64_t salt = 0;

    for (uint64_t number = 0;; number++) {
        if (dbk_simdisk_read(disk, path, number * sizeof(page), page, sizeof(page)) != (int64_t)sizeof(page)) return;
        if (number == 0) salt = dbk_load_u64(page + 56); /* of the header */
        dbk_store_u64(page + DBK_INDEX_PAYLOAD_SIZE, dbk_index_page_checksum(page, number, salt));
        dbk_simdisk_write(disk, path, number * sizeof(page), page, sizeof(page));
    }
}

/* The rows of the catalog: each has the head of a packed segment, what there is of its file, and a checksum. */
static void mend_rows(const char *path)
{
    uint8_t row[552];

    for (uint64_t number = 1;; number++) {
        uint64_t offset = 32 + (number - 1) * sizeof(row);
        if (dbk_simdisk_read(disk, path, offset, row, sizeof(row)) != (int64_t)sizeof(row)) return;
        dbk_store_u64(row + 120, dbk_checksum(dbk_slice_of(row, 120), dbk_load_u64(row)));
        dbk_store_u64(row + 504, dbk_checksum(dbk_slice_of(row, 504), UINT64_C(0x5041434b48454144)));
        dbk_store_u64(row + 544, dbk_checksum(dbk_slice_of(row, 544), number));
        dbk_simdisk_write(disk, path, offset, row, sizeof(row));
    }
}

static void walk(dbk_log *log)
{
    uint64_t position, count = 0;
    dbk_log_cursor *cursor;
    dbk_log_fold *fold;
    dbk_buffer out;
    dbk_slice origin;
    dbk_result rc;

    check(dbk_log_cursor_open(log, 1, 0, &cursor, NULL) == DBK_OK);
    while ((rc = dbk_log_cursor_next(cursor, &position, NULL, &origin, NULL)) == DBK_OK) check(position == ++count);
    check(rc != DBK_END || count == dbk_log_position(log));
    dbk_log_cursor_close(cursor);
    if (dbk_log_fold_open(log, 0, 0, NULL, NULL, &fold, NULL) == DBK_OK) {
        while (dbk_log_fold_next(fold, &position, &origin, NULL) == DBK_OK) {
        }
        dbk_log_fold_close(fold);
    }
    dbk_buffer_init(&out, port);
    for (position = 1; position <= dbk_log_position(log) && position < 40; position++) {
        (void)!dbk_log_read(log, position, &out, NULL, NULL);
    }
    dbk_buffer_release(&out);
    (void)!dbk_log_find_command(log, dbk_slice_text("command"), 0, &position, NULL);
}

static void use(void)
{
    uint64_t hash = dbk_simdisk_hash(disk, NULL);
    dbk_log_report report;
    dbk_log *log;
    dbk_dir *dir = folder();

    (void)!dbk_log_verify(port, dir, &options, DBK_VERIFY_PROOF, NULL, &report, NULL);
    for (int writer = 0; writer < 2; writer++) {
        options.read_only = !writer;
        check(dbk_simdisk_hash(disk, NULL) == hash);
        if (dbk_log_open(port, dir, &options, &log, NULL) == DBK_OK) {
            walk(log);
            dbk_log_close(log);
        } else {
            check(dbk_simdisk_hash(disk, NULL) == hash);
        }
    }
    port->close_dir(port->ctx, dir);
    check(dbk_simdisk_memory_count(disk) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    bool mend = false;

    if (!disk) make_log();
    dbk_simdisk_restore(disk, image);
    for (size_t i = 0; i + 6 <= size && i < 600; i += 6) {
        const char *path = files[data[i] % FILES];
        uint8_t run[16];
        memset(run, data[i + 3], sizeof(run));
        dbk_simdisk_write(disk, path, dbk_load_u16(data + i + 1) % 16384, run, 1 + data[i + 5] % sizeof(run));
        mend |= data[i + 4] & 1;
    }
    for (size_t i = 0; mend && i < FILES; i++) {
        if (i == 3 || i == 5) {
            mend_pages(files[i]);
            continue;
        }
        if (i == 6) {
            mend_rows(files[i]);
            continue;
        }
        if (i != 1) mend_records(files[i]);
        mend_checksum(files[i], 0);
        mend_checksum(files[i], 4096);
    }
    use();
    return 0;
}
