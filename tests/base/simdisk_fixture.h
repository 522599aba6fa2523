/* What the tests of the simulated machine share: a disk, its root, short calls. */
#ifndef TESTS_SIMDISK_FIXTURE_H
#define TESTS_SIMDISK_FIXTURE_H

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/simdisk.h"

enum { READ_WRITE = DBK_OPEN_READ | DBK_OPEN_WRITE, MAKE = READ_WRITE | DBK_OPEN_CREATE };

typedef struct fixture {
    dbk_simdisk *disk;
    const dbk_port *port;
    dbk_dir *root;
    dbk_simdisk_world *world;
} fixture;

/* After a crash, a kill or a restore the old handle is dead. */
static inline void reopen_root(fixture *f)
{
    if (f->root) f->port->close_dir(f->port->ctx, f->root);
    assert_int_equal(f->port->open_dir(f->port->ctx, NULL, "/", 0, &f->root), 0);
}

static inline int set_up(void **state)
{
    fixture *f = calloc(1, sizeof *f);
    assert_non_null(f);
    f->disk = dbk_simdisk_new(7);
    f->port = dbk_simdisk_port(f->disk);
    f->world = dbk_simdisk_world_of(f->disk);
    reopen_root(f);
    *state = f;
    return 0;
}

static inline int tear_down(void **state)
{
    fixture *f = *state;
    assert_int_equal(dbk_simdisk_memory_count(f->disk), 0);
    dbk_simdisk_free(f->disk);
    free(f);
    return 0;
}

static inline dbk_file *open_as(fixture *f, const char *name, int flags)
{
    dbk_file *file = NULL;
    assert_int_equal(f->port->open_file(f->port->ctx, f->root, name, flags, 0600, &file), 0);
    assert_non_null(file);
    return file;
}

static inline int open_fails(fixture *f, const char *name, int flags)
{
    dbk_file *file = NULL;
    int failed = f->port->open_file(f->port->ctx, f->root, name, flags, 0600, &file);
    assert_null(file);
    return failed;
}

static inline void close_it(fixture *f, dbk_file *file)
{
    f->port->close_file(f->port->ctx, file);
}

static inline int64_t put(fixture *f, dbk_file *file, uint64_t offset, const void *data, size_t size)
{
    return f->port->pwrite(f->port->ctx, file, data, size, offset);
}

/* `size` bytes of one value. */
static inline int64_t fill(fixture *f, dbk_file *file, uint64_t offset, int value, size_t size)
{
    uint8_t *data = malloc(size);
    assert_non_null(data);
    memset(data, value, size);
    int64_t done = put(f, file, offset, data, size);
    free(data);
    return done;
}

static inline int64_t get(fixture *f, dbk_file *file, uint64_t offset, void *out, size_t size)
{
    return f->port->pread(f->port->ctx, file, out, size, offset);
}

static inline int sync_it(fixture *f, dbk_file *file)
{
    return f->port->sync_file(f->port->ctx, file);
}

static inline int sync_root(fixture *f)
{
    return f->port->sync_dir(f->port->ctx, f->root);
}

/* A durable file of one value under a durable name. */
static inline void make_durable(fixture *f, const char *name, int value, size_t size)
{
    dbk_file *file = open_as(f, name, MAKE);
    if (size > 0) assert_int_equal(fill(f, file, 0, value, size), (int64_t)size);
    assert_int_equal(sync_it(f, file), 0);
    assert_int_equal(sync_root(f), 0);
    close_it(f, file);
}

static inline void crash(fixture *f, dbk_simdisk_crash_mode mode, uint64_t seed)
{
    dbk_simdisk_crash(f->disk, mode, seed);
    reopen_root(f);
}

/* -1: there is no such byte. */
static inline int byte_at(fixture *f, const char *path, uint64_t offset)
{
    uint8_t byte = 0;
    return dbk_simdisk_read(f->disk, path, offset, &byte, 1) == 1 ? byte : -1;
}

static inline void fault(fixture *f, dbk_simdisk_fault rule)
{
    dbk_simdisk_add_fault(f->disk, &rule);
}

#endif
