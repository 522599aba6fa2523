/* An image of which the file was changed. The input is a list of changes of 4 bytes: offset (2), value, what to do: 0
 * exchanges the byte, 1 cuts the file there, 2 adds a byte behind it. An input of odd length has all checksums made
 * right again afterwards, so that what the file says is believed; one of even length has not, and must then unpack to
 * what was packed or not at all. */
#include <stdlib.h>

#include "base/simdisk.h"
#include "store/image_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { PLAIN_SIZE = DBK_IMAGE_BLOCK_SIZE * 2 + 5000, FILE_MAX = 60000 };
static dbk_simdisk *disk;
static const dbk_port *port;
static dbk_simdisk_image *before;
static uint8_t plain[PLAIN_SIZE], packed[FILE_MAX];
static size_t packed_size;

static void check(bool holds)
{
    if (!holds) abort();
}

static dbk_dir *folder(void)
{
    dbk_dir *dir;
    check(port->open_dir(port->ctx, NULL, "images", DBK_OPEN_DIRECTORY, &dir) == 0);
    return dir;
}

static void write_file(dbk_dir *dir, const char *name, const uint8_t *bytes, size_t size)
{
    dbk_file *file;
    check(dbk_io_open(port, dir, name, DBK_OPEN_WRITE | DBK_OPEN_CREATE, &file, NULL) == DBK_OK);
    check(port->truncate(port->ctx, file, 0) == 0);
    check(dbk_io_write(port, file, name, 0, bytes, size, NULL) == DBK_OK);
    port->close_file(port->ctx, file);
}

static void make_image(void)
{
    dbk_image_header header = {.position = 17, .store_id = "a store"};
    disk = dbk_simdisk_new(1);
    port = dbk_simdisk_port(disk);
    dbk_dir *dir = folder();
    for (size_t i = 0; i < PLAIN_SIZE; i++) plain[i] = (uint8_t)(i % 200 ? i / 500 : i >> 3);
    write_file(dir, "plain", plain, sizeof plain);
    check(dbk_image_pack(port, dir, "plain", &header, "image", NULL) == DBK_OK);
    packed_size = (size_t)dbk_simdisk_read(disk, "images/image", 0, packed, sizeof packed);
    check(packed_size > DBK_IMAGE_HEADER_SIZE && packed_size < FILE_MAX / 2);
    port->close_dir(port->ctx, dir);
    before = dbk_simdisk_snapshot(disk);
}

static void mend(uint8_t *file, size_t size)
{
    if (size < DBK_IMAGE_HEADER_SIZE) return;
    memcpy(file, "DBKIMAGE", 8);
    dbk_store_u64(file + 248, dbk_checksum(dbk_slice_of(file, 248), 0));
    uint64_t seed = dbk_load_u64(file + 248);
    for (size_t at = DBK_IMAGE_HEADER_SIZE; size - at >= 16; seed++) {
        uint32_t bytes = dbk_load_u32(file + at);
        if (bytes > size - at - 16) return;
        dbk_store_u64(file + at + 8, dbk_checksum(dbk_slice_of(file + at + 16, bytes), seed));
        at += 16 + bytes;
    }
}

static void change(uint8_t *file, size_t *size, const uint8_t *data, size_t count)
{
    for (size_t i = 0; i + 4 <= count; i += 4) {
        size_t at = dbk_load_u16(data + i);
        if (data[i + 3] % 3 == 2 && *size < FILE_MAX) file[(*size)++] = data[i + 2];
        else if (at < *size && data[i + 3] % 3 == 1) *size = at;
        else if (at < *size) file[at] = data[i + 2];
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t file[FILE_MAX], out[PLAIN_SIZE];
    size_t changed = packed_size;
    bool believed = size % 2;
    if (!disk) make_image();
    changed = packed_size;
    memcpy(file, packed, packed_size);
    change(file, &changed, data, size);
    if (believed) mend(file, changed);
    dbk_simdisk_restore(disk, before);
    dbk_dir *dir = folder();
    write_file(dir, "image", file, changed);
    dbk_error err = {0};
    dbk_result result = dbk_image_unpack(port, dir, "image", "images/out", &err);
    check(result == DBK_OK || result == DBK_CORRUPT);
    dbk_identity identity;
    bool there = port->identify(port->ctx, dir, "out", &identity) == 0;
    check(there == (result == DBK_OK));
    if (result == DBK_OK && !believed) {
        check(identity.size_bytes == PLAIN_SIZE);
        check(dbk_simdisk_read(disk, "images/out", 0, out, sizeof out) == PLAIN_SIZE);
        check(memcmp(out, plain, sizeof out) == 0);
    }
    port->close_dir(port->ctx, dir);
    return 0;
}
