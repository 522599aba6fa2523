/* The file of an image: what was packed comes back, and nothing else does. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdlib.h>

#include "base/simdisk.h"
#include "store/image_file.h"

typedef struct fixture {
    dbk_simdisk *disk;
    const dbk_port *port;
    dbk_dir *dir;
    dbk_error err;
} fixture;

static int setup(void **state)
{
    fixture *f = calloc(1, sizeof *f);
    f->disk = dbk_simdisk_new(3);
    f->port = dbk_simdisk_port(f->disk);
    *state = f;
    return f->port->open_dir(f->port->ctx, NULL, "images", DBK_OPEN_DIRECTORY, &f->dir);
}

static int teardown(void **state)
{
    fixture *f = *state;
    f->port->close_dir(f->port->ctx, f->dir);
    dbk_simdisk_free(f->disk);
    free(f);
    return 0;
}

static void write_file(fixture *f, const char *name, uint64_t offset, const uint8_t *bytes, size_t size)
{
    dbk_file *file;
    assert_int_equal(dbk_io_open(f->port, f->dir, name, DBK_OPEN_WRITE | DBK_OPEN_CREATE, &file, &f->err), DBK_OK);
    assert_int_equal(dbk_io_write(f->port, file, name, offset, bytes, size, &f->err), DBK_OK);
    f->port->close_file(f->port->ctx, file);
}

static void remove_file(fixture *f, const char *name)
{
    assert_int_equal(f->port->unlink(f->port->ctx, f->dir, name), 0);
}

static bool is_there(fixture *f, const char *name)
{
    dbk_identity identity;
    return f->port->identify(f->port->ctx, f->dir, name, &identity) == 0;
}

static uint8_t *some_bytes(size_t size, unsigned seed)
{
    uint8_t *bytes = malloc(size);
    assert_non_null(bytes);
    for (size_t i = 0; i < size; i++) bytes[i] = (uint8_t)((i * seed) >> (i % 3));
    return bytes;
}

static void pack(fixture *f, const char *name, uint64_t position, size_t size, unsigned seed)
{
    dbk_image_header header = {.store_id = "one store", .position = position, .head = "h", .top = "t"};
    uint8_t *bytes = some_bytes(size, seed);
    write_file(f, "plain", 0, bytes, size);
    assert_int_equal(dbk_image_pack(f->port, f->dir, "plain", &header, name, &f->err), DBK_OK);
    assert_int_equal(header.plain_bytes, size);
    remove_file(f, "plain");
    free(bytes);
}

/* Around the borders of a block. */
static void what_was_packed_comes_back(void **state)
{
    static const size_t sizes[] = {1,
                                   4096,
                                   DBK_IMAGE_BLOCK_SIZE - 1,
                                   DBK_IMAGE_BLOCK_SIZE,
                                   DBK_IMAGE_BLOCK_SIZE + 1,
                                   3 * DBK_IMAGE_BLOCK_SIZE + 100};
    fixture *f = *state;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        dbk_image_header header;
        uint8_t *bytes = some_bytes(sizes[i], 7), *back = calloc(1, sizes[i] + 1);
        pack(f, "image", 9, sizes[i], 7);
        assert_int_equal(dbk_image_header_read(f->port, f->dir, "image", &header, &f->err), DBK_OK);
        assert_int_equal(header.position, 9);
        assert_int_equal(header.plain_bytes, sizes[i]);
        assert_string_equal((const char *)header.store_id, "one store");
        assert_int_equal(dbk_image_unpack(f->port, f->dir, "image", "images/back", &f->err), DBK_OK);
        assert_int_equal(dbk_simdisk_read(f->disk, "images/back", 0, back, sizes[i] + 1), (int64_t)sizes[i]);
        assert_memory_equal(back, bytes, sizes[i]);
        assert_int_equal(dbk_image_unpack(f->port, f->dir, "image", "images/back", &f->err), DBK_EXISTS);
        assert_true(is_there(f, "back"));
        remove_file(f, "back");
        remove_file(f, "image");
        free(bytes);
        free(back);
    }
}

/* Every byte of header and frames, and some of each block: damage is found, and leaves no file. */
static void no_byte_may_differ(void **state)
{
    fixture *f = *state;
    uint8_t file[4096], byte;
    pack(f, "image", 9, DBK_IMAGE_BLOCK_SIZE * 2 + 5, 0);
    int64_t size = dbk_simdisk_read(f->disk, "images/image", 0, file, sizeof file);
    assert_in_range(size, DBK_IMAGE_HEADER_SIZE + 3 * 17, sizeof file - 1);
    for (int64_t i = 0; i < size; i++) {
        byte = file[i] ^ 0x40;
        write_file(f, "image", (uint64_t)i, &byte, 1);
        assert_int_equal(dbk_image_unpack(f->port, f->dir, "image", "images/back", &f->err), DBK_CORRUPT);
        assert_false(is_there(f, "back"));
        write_file(f, "image", (uint64_t)i, &file[i], 1);
    }
    byte = 0;
    write_file(f, "image", (uint64_t)size, &byte, 1);
    assert_int_equal(dbk_image_unpack(f->port, f->dir, "image", "images/back", &f->err), DBK_CORRUPT);
}

/* A block of another image, or one in another's place, is sound by itself and not taken. */
static void blocks_do_not_change_places(void **state)
{
    fixture *f = *state;
    uint8_t one[4096], other[4096];
    pack(f, "one", 9, DBK_IMAGE_BLOCK_SIZE * 2, 0);
    pack(f, "other", 10, DBK_IMAGE_BLOCK_SIZE * 2, 0);
    int64_t size = dbk_simdisk_read(f->disk, "images/one", 0, one, sizeof one);
    assert_int_equal(dbk_simdisk_read(f->disk, "images/other", 0, other, sizeof other), size);
    write_file(f, "one", DBK_IMAGE_HEADER_SIZE, other + DBK_IMAGE_HEADER_SIZE, (size_t)size - DBK_IMAGE_HEADER_SIZE);
    assert_int_equal(dbk_image_unpack(f->port, f->dir, "one", "images/back", &f->err), DBK_CORRUPT);
    size_t block = ((size_t)size - DBK_IMAGE_HEADER_SIZE) / 2;
    write_file(f, "other", DBK_IMAGE_HEADER_SIZE + block, other + DBK_IMAGE_HEADER_SIZE, block);
    assert_int_equal(dbk_image_unpack(f->port, f->dir, "other", "images/back", &f->err), DBK_CORRUPT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_was_packed_comes_back, setup, teardown),
        cmocka_unit_test_setup_teardown(no_byte_may_differ, setup, teardown),
        cmocka_unit_test_setup_teardown(blocks_do_not_change_places, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
