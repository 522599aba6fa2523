/* A packed segment whose file was changed. The input is a list of changes of 4 bytes: offset (2),
 * value, what to do: 0 exchanges the byte, 1 cuts the file there, 2 exchanges a byte of the copy of the
 * head too. An input of odd length has all checksums made right again afterwards, so that what the
 * file says is believed; one of even length has not, and must then read as before or not at all. */
#include <stdlib.h>

#include "base/simdisk.h"
#include "log/cells_read.h"
#include "log/internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { FILE_MAX = 65536 };
static const char path[] = "log/0000000000000001.seg";
static dbk_simdisk *disk;
static const dbk_port *port;
static dbk_simdisk_image *before;
static uint8_t packed[FILE_MAX], plain[FILE_MAX];
static size_t packed_size, plain_size;
static dbk_log_options options = {.no_background = true, .segment_first_bytes = 65536, .segment_max_bytes = 65536};

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

/* Small batches, and one that is cut into several blocks. */
static void append_batch(dbk_log *log, uint64_t seq, size_t count)
{
    static uint8_t filler[1000];
    dbk_slice origins[64];
    dbk_buffer bytes[64];

    for (size_t i = 0; i < count; i++) {
        dbk_entry entry = {.id = {.incarnation = 1, .seq = seq + i}, .hlc = seq + i, .event_count = 1};
        dbk_event event = {.stream = dbk_slice_text("s"), .type_version = 1};
        dbk_buffer events;
        event.type = dbk_slice_text(i % 5 ? "often" : "rare");
        event.data = dbk_slice_of(filler, count > 4 ? 800 : 50);
        dbk_buffer_init(&events, port);
        dbk_buffer_init(&bytes[i], port);
        dbk_event_encode(&events, &event);
        entry.events = dbk_buffer_slice(&events);
        dbk_entry_encode(&bytes[i], &entry);
        origins[i] = dbk_buffer_slice(&bytes[i]);
        dbk_buffer_release(&events);
        filler[i * 7 % sizeof(filler)] ^= (uint8_t)seq;
    }
    check(dbk_log_append(log, origins, count, (int64_t)seq, NULL, NULL) == DBK_OK);
    for (size_t i = 0; i < count; i++) dbk_buffer_release(&bytes[i]);
}

static void make_log(void)
{
    dbk_unpacker *unpacker = NULL;
    dbk_image *image;
    dbk_log *log;

    disk = dbk_simdisk_new(1);
    port = dbk_simdisk_port(disk);
    dbk_dir *dir = folder();
    check(dbk_log_create(port, dir, &options, NULL) == DBK_OK);
    check(dbk_log_open(port, dir, &options, &log, NULL) == DBK_OK);
    append_batch(log, 1, 3);
    append_batch(log, 4, 2);
    append_batch(log, 6, 40);
    append_batch(log, 46, 4);
    append_batch(log, 50, 40); /* begins the next segment */
    dbk_log_close(log);
    check(dbk_image_open(port, dir, "0000000000000001.seg", &image, NULL) == DBK_OK);
    check(image->packed && image->head.block_count > 2 && image->head.dictionary_bytes);
    check(dbk_image_read(image, &unpacker, 0, plain, sizeof(plain), &plain_size, NULL) == DBK_OK);
    dbk_image_close(image);
    dbk_unpacker_free(unpacker);
    port->close_dir(port->ctx, dir);
    packed_size = (size_t)dbk_simdisk_read(disk, path, 0, packed, sizeof(packed));
    before = dbk_simdisk_snapshot(disk);
}

static uint64_t number_at(const uint8_t *block, size_t size, size_t *at)
{
    uint64_t value = 0;

    for (unsigned i = 0; i < 10 && *at < size; i++) {
        value |= (uint64_t)(block[*at] & 0x7f) << 7 * i;
        if (!(block[(*at)++] & 0x80)) break;
    }
    return value;
}

/* The checksums of cells as they are stored; those of their content only decompressing would tell. Returns the length
 * of the front. */
static size_t mend_front(const dbk_segment_header *header, uint8_t *block, size_t size)
{
    size_t front = dbk_front_bytes(dbk_slice_of(block, size)), at = DBK_FRONT_HEAD_SIZE + 1, offset = front;
    dbk_pack_block row = {0};

    if (front == 0) return size;
    row.bytes = dbk_load_u32(block + 8);
    row.plain_offset = dbk_load_u32(block + 12);
    row.plain_bytes = dbk_load_u32(block + 16);
    row.delta = dbk_load_u32(block + 20);
    row.received_ms = (int64_t)dbk_load_u64(block + 24);
    uint64_t count = number_at(block, front, &at);
    for (uint32_t i = 0; i < count && at < front; i++) {
        uint64_t stored = number_at(block, front, &at);
        (void)number_at(block, front, &at);
        (void)number_at(block, front, &at);
        if (at + 8 > front || stored > size - offset) break;
        dbk_slice data = dbk_slice_of(block + offset, (size_t)stored);
        dbk_store_u32(block + at, dbk_cell_checksum(header, &row, i, false, data));
        at += 8;
        offset += (size_t)stored;
    }
    dbk_front_finish(header, &row, block, front);
    return front;
}

/* Cell by cell and block by block, then the table, then both heads: each covers what was made right before it. */
static void mend(uint8_t *file, size_t size)
{
    dbk_segment_header header;
    dbk_pack_head head;

    memcpy(file, "DBookSEG", 8);
    dbk_store_u64(file + 120, dbk_checksum(dbk_slice_of(file, 120), dbk_load_u64(file)));
    dbk_store_u64(file + 504, dbk_checksum(dbk_slice_of(file, 504), 0x5041434b48454144ull));
    if (dbk_pack_head_decode(file, &header, &head) != DBK_DECODED_OK) return;
    uint64_t table = dbk_pack_table_bytes(&head), at = DBK_PACK_HEAD_SIZE + head.dictionary_bytes;
    if (at > size) return;
    if (head.table_offset > size || table > size - head.table_offset) return;
    for (uint32_t i = 0; i < head.block_count; i++) {
        uint8_t *row = file + head.table_offset + (size_t)i * DBK_PACK_BLOCK_ROW;
        uint32_t bytes = dbk_load_u32(row);
        if (bytes > size - at) return;
        dbk_slice covered = dbk_slice_of(file + at, head.celled ? mend_front(&header, file + at, bytes) : bytes);
        dbk_store_u64(row + 24, dbk_pack_block_checksum(&header, i, covered));
        at += bytes;
    }
    if (head.dictionary_bytes && DBK_PACK_HEAD_SIZE + head.dictionary_bytes <= size)
        dbk_store_u64(file + 328,
                      dbk_pack_dictionary_checksum(dbk_slice_of(file + DBK_PACK_HEAD_SIZE, head.dictionary_bytes)));
    dbk_store_u64(file + 128 + 88,
                  dbk_pack_table_checksum(&header, dbk_slice_of(file + head.table_offset, (size_t)table)));
    dbk_store_u64(file + 504, dbk_checksum(dbk_slice_of(file, 504), 0x5041434b48454144ull));
    if (size >= 1024) memcpy(file + size - 512, file, 512);
}

static void walk_cells(dbk_image *image)
{
    uint64_t first = image->head.first_position, last = image->head.last_position;
    dbk_unpacker *unpacker = NULL;
    dbk_cell_walk walk = {0};
    int64_t received_ms;
    dbk_slice origin;

    for (unsigned part = 0; part < 3; part++) {
        if (dbk_cell_walk_begin(&walk, image, &unpacker, first + (last - first) / 3 * part, NULL) != DBK_OK) continue;
        for (int i = 0; i < 1000; i++)
            if (dbk_cell_walk_next(&walk, &received_ms, &origin, NULL) != DBK_OK) break;
    }
    dbk_cell_walk_release(&walk);
    dbk_unpacker_free(unpacker);
}

static void read_all(dbk_image *image, bool believed)
{
    static uint8_t bytes[FILE_MAX];
    dbk_unpacker *unpacker = NULL;
    dbk_record record;
    size_t got;

    for (uint64_t at = 0; at < FILE_MAX; at += 5000) {
        dbk_result rc = dbk_image_read(image, &unpacker, at, bytes, 7000, &got, NULL);
        if (rc == DBK_OK && image->packed && !believed)
            check(at + got <= plain_size && memcmp(bytes, plain + at, got) == 0);
    }
    for (uint32_t i = 0; image->packed && i < image->head.block_count; i++) {
        uint8_t *room = malloc(image->blocks[i].plain_bytes);
        check(room != NULL);
        (void)!dbk_image_read_block(image, &unpacker, i, room, NULL);
        (void)dbk_image_may_have_type(image, i, 5);
        free(room);
    }
    if (image->packed) {
        uint64_t last = image->head.last_position, first = image->head.first_position;
        (void)!dbk_image_find_record(image, &unpacker, first + (last - first) / 2, &record, NULL);
        (void)!dbk_image_find_record(image, &unpacker, last, &record, NULL);
    }
    if (dbk_image_is_celled(image)) walk_cells(image);
    dbk_unpacker_free(unpacker);
}

static void look(bool believed)
{
    dbk_dir *dir = folder();
    dbk_log_report report;
    dbk_pack_faults faults;
    dbk_image *image;
    dbk_buffer out;
    dbk_log *log;

    if (dbk_image_open(port, dir, "0000000000000001.seg", &image, NULL) == DBK_OK) {
        if (image->packed) (void)!dbk_pack_check(image, &faults, NULL);
        read_all(image, believed);
        dbk_image_close(image);
    }
    check(dbk_log_verify(port, dir, &options, DBK_VERIFY_PROOF, NULL, &report, NULL) == DBK_OK);
    if (dbk_log_open(port, dir, &options, &log, NULL) == DBK_OK) {
        dbk_buffer_init(&out, port);
        for (uint64_t position = 1; position <= dbk_log_position(log); position += 3)
            (void)!dbk_log_read(log, position, &out, NULL, NULL);
        dbk_buffer_release(&out);
        dbk_log_close(log);
    }
    port->close_dir(port->ctx, dir);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t file[FILE_MAX];

    if (!disk) make_log();
    size_t length = packed_size;
    memcpy(file, packed, packed_size);
    for (size_t i = 0; i + 4 <= size; i += 4) {
        size_t offset = (data[i] | (size_t)data[i + 1] << 8) % packed_size;
        if (data[i + 3] % 4 == 1) length = offset;
        file[offset] = data[i + 2];
        if (data[i + 3] % 4 == 2 && offset < 512) file[packed_size - 512 + offset] = data[i + 2];
    }
    bool believed = size % 2;
    if (believed && length > 1024) mend(file, length);
    dbk_simdisk_restore(disk, before);
    check(dbk_simdisk_truncate(disk, path, 0) == 0);
    check(dbk_simdisk_write(disk, path, 0, file, length) == 0);
    look(believed);
    return 0;
}
