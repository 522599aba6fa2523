/* The simulated machine without crashes: files, names, faults, memory, clocks, meddling. */
#include "simdisk_fixture.h"

/* A file keeps what is written at any offset; the gap before it reads as zeros. */
static void test_file_reads_back(void **state)
{
    fixture *f = *state;
    dbk_file *file = open_as(f, "a", MAKE);
    assert_int_equal(put(f, file, 10000, "hello", 5), 5);
    assert_int_equal(put(f, file, 0, "", 0), 0);
    uint8_t out[6000];
    assert_int_equal(get(f, file, 5000, out, sizeof out), 5005);
    assert_int_equal(out[0], 0);
    assert_memory_equal(out + 5000, "hello", 5);
    assert_int_equal(get(f, file, 10005, out, 1), 0);
    assert_int_equal(f->port->truncate(f->port->ctx, file, 10002), 0);
    assert_int_equal(f->port->truncate(f->port->ctx, file, 20000), 0);
    assert_int_equal(get(f, file, 10000, out, 5), 5);
    assert_memory_equal(out, "he\0\0\0", 5);
    assert_int_equal(get(f, file, 19999, out, 5), 1);
    close_it(f, file);
}

/* Names and flags are refused as the machine refuses them. */
static void test_open_refusals(void **state)
{
    fixture *f = *state;
    char endless[300];
    memset(endless, 'x', sizeof endless - 1);
    endless[299] = '\0';
    assert_int_equal(open_fails(f, "none", READ_WRITE), -ENOENT);
    assert_int_equal(open_fails(f, "a/b", MAKE), -EINVAL);
    assert_int_equal(open_fails(f, "..", MAKE), -EINVAL);
    assert_int_equal(open_fails(f, "", MAKE), -EINVAL);
    assert_int_equal(open_fails(f, endless, MAKE), -ENAMETOOLONG);
    assert_int_equal(open_fails(f, "a", DBK_OPEN_CREATE), -EINVAL);
    make_durable(f, "a", 1, 1);
    assert_int_equal(open_fails(f, "a", MAKE | DBK_OPEN_EXCLUSIVE), -EEXIST);
    assert_int_equal(f->port->make_dir(f->port->ctx, f->root, "d", 0755), 0);
    assert_int_equal(open_fails(f, "d", READ_WRITE), -EISDIR);
    f->world->refuses_direct = true;
    assert_int_equal(open_fails(f, "a", READ_WRITE | DBK_OPEN_DIRECT), -EINVAL);
    f->world->read_only = true;
    assert_int_equal(open_fails(f, "a", READ_WRITE), -EROFS);
    assert_int_equal(open_fails(f, "new", MAKE), -EROFS);
    close_it(f, open_as(f, "a", DBK_OPEN_READ));
}

/* Handles allow what they were opened for, within the file size limit. */
static void test_handle_refusals(void **state)
{
    fixture *f = *state;
    uint8_t byte = 0;
    make_durable(f, "a", 1, 10);
    dbk_file *reader = open_as(f, "a", DBK_OPEN_READ);
    dbk_file *writer = open_as(f, "a", DBK_OPEN_WRITE);
    assert_int_equal(put(f, reader, 0, "x", 1), -EBADF);
    assert_int_equal(f->port->truncate(f->port->ctx, reader, 0), -EINVAL);
    assert_int_equal(f->port->allocate(f->port->ctx, reader, 0, 1), -EBADF);
    assert_int_equal(get(f, writer, 0, &byte, 1), -EBADF);
    assert_int_equal(f->port->allocate(f->port->ctx, writer, 0, 0), -EINVAL);
    assert_int_equal(f->port->allocate(f->port->ctx, writer, UINT64_MAX, 2), -EFBIG);
    assert_int_equal(f->port->allocate(f->port->ctx, writer, UINT64_C(4) << 30, 2), -EFBIG);
    assert_int_equal(f->port->truncate(f->port->ctx, writer, UINT64_C(5) << 30), -EFBIG);
    assert_int_equal(put(f, writer, UINT64_C(4) << 30, "x", 1), -EFBIG);
    assert_int_equal(put(f, writer, (UINT64_C(4) << 30) - 1, "xy", 2), 1);
    close_it(f, reader);
    close_it(f, writer);
}

/* A DIRECT handle wants sector-aligned offsets, sizes and addresses. */
static void test_direct_alignment(void **state)
{
    fixture *f = *state;
    f->world->sector_bytes = 4096;
    dbk_file *file = open_as(f, "a", MAKE | DBK_OPEN_DIRECT);
    uint8_t *memory = f->port->alloc_aligned(f->port->ctx, 4096, 8192);
    assert_non_null(memory);
    assert_int_equal((uintptr_t)memory % 4096, 0);
    memset(memory, 3, 8192);
    assert_int_equal(put(f, file, 0, memory, 4096), 4096);
    assert_int_equal(put(f, file, 512, memory, 4096), -EINVAL);
    assert_int_equal(put(f, file, 0, memory, 512), -EINVAL);
    assert_int_equal(put(f, file, 0, memory + 512, 4096), -EINVAL);
    assert_int_equal(get(f, file, 0, memory + 1, 4096), -EINVAL);
    assert_int_equal(get(f, file, 0, memory, 8192), 4096);
    f->port->free_aligned(f->port->ctx, memory);
    close_it(f, file);
}

static int count_name(void *arg, const char *name)
{
    assert_true(strlen(name) > 0);
    return ++*(int *)arg == 3 ? 77 : 0;
}

/* Directories can be made, walked, listed, and removed when empty. */
static void test_directories(void **state)
{
    fixture *f = *state;
    void *ctx = f->port->ctx;
    dbk_dir *a = NULL, *b = NULL;
    int names = 0;
    assert_int_equal(f->port->open_dir(ctx, f->root, "a", 0, &a), -ENOENT);
    assert_int_equal(f->port->open_dir(ctx, f->root, "a", DBK_OPEN_DIRECTORY, &a), 0);
    assert_int_equal(f->port->open_dir(ctx, NULL, "/a/./b/", DBK_OPEN_DIRECTORY, &b), 0);
    assert_true(dbk_simdisk_exists(f->disk, "a/b"));
    dbk_dir *none = NULL;
    assert_int_equal(f->port->open_dir(ctx, NULL, "x/y", DBK_OPEN_DIRECTORY, &none), -ENOENT);
    assert_int_equal(f->port->open_dir(ctx, NULL, "a/../a", 0, &none), -EINVAL);
    assert_int_equal(f->port->open_dir(ctx, a, "..", 0, &none), -EINVAL);
    close_it(f, open_as(f, "file", MAKE));
    assert_int_equal(f->port->open_dir(ctx, f->root, "file", 0, &none), -ENOTDIR);
    assert_int_equal(f->port->open_dir(ctx, NULL, "file/x", 0, &none), -ENOTDIR);
    assert_int_equal(f->port->make_dir(ctx, f->root, "a", 0700), -EEXIST);
    assert_int_equal(f->port->list(ctx, f->root, count_name, &names), 0);
    assert_int_equal(names, 2);
    assert_int_equal(f->port->list(ctx, f->root, count_name, &names), 77);
    assert_int_equal(f->port->remove_dir(ctx, f->root, "a"), -ENOTEMPTY);
    assert_int_equal(f->port->remove_dir(ctx, f->root, "file"), -ENOTDIR);
    assert_int_equal(f->port->remove_dir(ctx, f->root, "none"), -ENOENT);
    assert_int_equal(f->port->unlink(ctx, f->root, "a"), -EISDIR);
    assert_int_equal(f->port->remove_dir(ctx, a, "b"), 0);
    assert_int_equal(f->port->make_dir(ctx, b, "c", 0700), -ENOENT);
    assert_int_equal(f->port->rename(ctx, f->root, "file", b, "file"), -ENOENT);
    dbk_file *file = NULL;
    assert_int_equal(f->port->open_file(ctx, b, "c", MAKE, 0600, &file), -ENOENT);
    f->port->close_dir(ctx, a);
    f->port->close_dir(ctx, b);
}

/* To calls that only look, "." is the directory itself; it can be neither made nor removed. */
static void test_dot(void **state)
{
    fixture *f = *state;
    void *ctx = f->port->ctx;
    dbk_dir *again = NULL;
    dbk_identity self, root;
    assert_int_equal(f->port->open_dir(ctx, f->root, ".", 0, &again), 0);
    assert_int_equal(f->port->identify_dir(ctx, again, &self), 0);
    assert_int_equal(f->port->identify(ctx, again, ".", &root), 0);
    assert_int_equal(self.inode, root.inode);
    assert_int_equal(f->port->make_dir(ctx, f->root, ".", 0700), -EINVAL);
    assert_int_equal(f->port->remove_dir(ctx, f->root, "."), -EINVAL);
    f->port->close_dir(ctx, again);
}

/* A rename replaces files and empty directories, and nothing else. */
static void test_rename(void **state)
{
    fixture *f = *state;
    void *ctx = f->port->ctx;
    make_durable(f, "a", 1, 5000);
    make_durable(f, "b", 2, 10);
    dbk_dir *d = NULL;
    assert_int_equal(f->port->open_dir(ctx, f->root, "d", DBK_OPEN_DIRECTORY, &d), 0);
    assert_int_equal(f->port->make_dir(ctx, f->root, "e", 0700), 0);
    assert_int_equal(f->port->rename(ctx, f->root, "none", f->root, "a"), -ENOENT);
    assert_int_equal(f->port->rename(ctx, f->root, "a", f->root, "a"), 0);
    assert_int_equal(f->port->rename(ctx, f->root, "a", f->root, "d"), -EISDIR);
    assert_int_equal(f->port->rename(ctx, f->root, "d", f->root, "a"), -ENOTDIR);
    assert_int_equal(f->port->rename(ctx, f->root, "d", d, "x"), -EINVAL);
    assert_int_equal(f->port->rename(ctx, f->root, "a", d, "a"), 0);
    assert_int_equal(f->port->rename(ctx, f->root, "e", f->root, "d"), -ENOTEMPTY);
    assert_int_equal(f->port->rename(ctx, d, "a", f->root, "b"), 0);
    assert_int_equal(f->port->rename(ctx, f->root, "e", f->root, "d"), 0);
    assert_int_equal(byte_at(f, "b", 4999), 1);
    assert_false(dbk_simdisk_exists(f->disk, "a"));
    f->port->close_dir(ctx, d);
}

/* An unlinked file lives while it is open, and its space with it. */
static void test_unlinked_file_lives(void **state)
{
    fixture *f = *state;
    void *ctx = f->port->ctx;
    dbk_identity before, after;
    dbk_space space;
    f->world->capacity_bytes = 10 * 4096;
    dbk_file *file = open_as(f, "a", MAKE);
    assert_int_equal(fill(f, file, 0, 9, 5000), 5000);
    assert_int_equal(f->port->identify(ctx, f->root, "a", &before), 0);
    assert_int_equal(before.links, 1);
    assert_int_equal(before.kind, DBK_IS_FILE);
    assert_int_equal(before.modified_ms, f->world->wall_ms);
    assert_int_equal(f->port->unlink(ctx, f->root, "a"), 0);
    assert_int_equal(f->port->unlink(ctx, f->root, "a"), -ENOENT);
    assert_int_equal(f->port->identify(ctx, f->root, "a", &after), -ENOENT);
    assert_int_equal(f->port->identify_file(ctx, file, &after), 0);
    assert_int_equal(after.links, 0);
    assert_int_equal(after.inode, before.inode);
    assert_int_equal(after.size_bytes, 5000);
    assert_int_equal(f->port->space(ctx, f->root, &space), 0);
    assert_int_equal(space.free_bytes, 8 * 4096);
    close_it(f, file);
    assert_int_equal(f->port->space(ctx, f->root, &space), 0);
    assert_int_equal(space.free_bytes, 10 * 4096);
    assert_int_equal(space.sector_bytes, 512);
    assert_true(space.suits_live_store);
    assert_int_equal(f->port->identify_dir(ctx, f->root, &after), 0);
    assert_int_equal(after.kind, DBK_IS_DIRECTORY);
}

/* The disk is full exactly when its blocks are taken: a write is cut short, the next one fails,
 * and what has its blocks can still be written. */
static void test_full_disk(void **state)
{
    fixture *f = *state;
    void *ctx = f->port->ctx;
    f->world->capacity_bytes = 4 * 4096 + 100;
    dbk_file *a = open_as(f, "a", MAKE), *b = open_as(f, "b", MAKE);
    assert_int_equal(f->port->allocate(ctx, b, 0, 5 * 4096), -ENOSPC);
    assert_int_equal(f->port->allocate(ctx, b, 0, 4097), 0);
    assert_int_equal(fill(f, a, 100, 1, 3 * 4096), 2 * 4096 - 100);
    assert_int_equal(fill(f, a, 2 * 4096, 1, 1), -ENOSPC);
    assert_int_equal(fill(f, a, 0, 2, 4096), 4096);
    assert_int_equal(fill(f, b, 4096, 2, 4096), 4096);
    assert_int_equal(f->port->truncate(ctx, a, 4096), 0);
    assert_int_equal(fill(f, b, 8192, 3, 4097), 4096);
    assert_int_equal(f->port->unlink(ctx, f->root, "a"), 0);
    close_it(f, a);
    assert_int_equal(fill(f, b, 3 * 4096, 3, 1), 1);
    close_it(f, b);
    assert_int_equal(f->port->unlink(ctx, f->root, "b"), 0);
    dbk_file *c = open_as(f, "c", MAKE);
    assert_int_equal(f->port->allocate(ctx, c, 0, 4 * 4096), 0);
    close_it(f, c);
}

/* A lock is held against every other open file until its own is closed. */
static void test_locks(void **state)
{
    fixture *f = *state;
    void *ctx = f->port->ctx;
    dbk_file *a = open_as(f, "a", MAKE), *b = open_as(f, "a", MAKE);
    assert_int_equal(f->port->lock_file(ctx, a), 0);
    assert_int_equal(f->port->lock_file(ctx, a), 0);
    assert_int_equal(f->port->lock_file(ctx, b), -EAGAIN);
    close_it(f, a);
    assert_int_equal(f->port->lock_file(ctx, b), 0);
    uint32_t process = f->world->process_id;
    dbk_simdisk_kill(f->disk);
    reopen_root(f);
    assert_int_equal(f->port->process_id(ctx), process + 1);
    assert_false(f->port->process_alive(ctx, process));
    dbk_file *c = open_as(f, "a", READ_WRITE);
    assert_int_equal(f->port->lock_file(ctx, c), 0);
    close_it(f, b);
    assert_int_equal(f->port->lock_file(ctx, c), 0);
    close_it(f, c);
    assert_int_equal(dbk_simdisk_handle_count(f->disk), 1);
}

/* A shared lock is given unless another open file has the file's own. */
static void test_shared_locks(void **state)
{
    fixture *f = *state;
    void *ctx = f->port->ctx;
    dbk_file *a = open_as(f, "a", MAKE), *b = open_as(f, "a", MAKE);
    dbk_simdisk_fault fault = {.kinds = DBK_SIM_LOCK, .times = 1};
    assert_int_equal(f->port->share_lock(ctx, a), 0);
    assert_int_equal(f->port->share_lock(ctx, b), 0);
    assert_int_equal(f->port->lock_file(ctx, a), 0);
    assert_int_equal(f->port->share_lock(ctx, b), -EAGAIN);
    assert_int_equal(f->port->share_lock(ctx, a), 0);
    dbk_simdisk_add_fault(f->disk, &fault);
    assert_int_equal(f->port->share_lock(ctx, a), -EIO);
    dbk_simdisk_clear_faults(f->disk);
    dbk_simdisk_kill(f->disk);
    assert_int_equal(f->port->share_lock(ctx, a), -EBADF);
    close_it(f, a);
    close_it(f, b);
    reopen_root(f);
}

/* After a kill every call on an old handle fails and closing it is still right. */
static void test_dead_handles(void **state)
{
    fixture *f = *state;
    void *ctx = f->port->ctx;
    dbk_file *file = open_as(f, "a", MAKE);
    dbk_dir *root = f->root, *out = NULL;
    dbk_file *opened = NULL;
    dbk_identity id;
    dbk_space space;
    f->root = NULL;
    int names = 0;
    dbk_simdisk_kill(f->disk);
    assert_int_equal(get(f, file, 0, &id, 1), -EBADF);
    assert_int_equal(put(f, file, 0, "x", 1), -EBADF);
    assert_int_equal(sync_it(f, file), -EBADF);
    assert_int_equal(f->port->truncate(ctx, file, 0), -EBADF);
    assert_int_equal(f->port->allocate(ctx, file, 0, 1), -EBADF);
    assert_int_equal(f->port->drop_cache(ctx, file, 0, 1), -EBADF);
    assert_int_equal(f->port->lock_file(ctx, file), -EBADF);
    assert_int_equal(f->port->identify_file(ctx, file, &id), -EBADF);
    assert_int_equal(f->port->sync_dir(ctx, root), -EBADF);
    assert_int_equal(f->port->list(ctx, root, count_name, &names), -EBADF);
    assert_int_equal(f->port->identify(ctx, root, "a", &id), -EBADF);
    assert_int_equal(f->port->identify_dir(ctx, root, &id), -EBADF);
    assert_int_equal(f->port->space(ctx, root, &space), -EBADF);
    assert_int_equal(f->port->make_dir(ctx, root, "d", 0700), -EBADF);
    assert_int_equal(f->port->remove_dir(ctx, root, "d"), -EBADF);
    assert_int_equal(f->port->rename(ctx, root, "a", root, "b"), -EBADF);
    assert_int_equal(f->port->open_dir(ctx, root, "d", 0, &out), -EBADF);
    assert_int_equal(f->port->open_file(ctx, root, "a", READ_WRITE, 0, &opened), -EBADF);
    close_it(f, file);
    f->port->close_dir(ctx, root);
    assert_int_equal(dbk_simdisk_handle_count(f->disk), 0);
}

/* A rule hits the calls it names, after those it skips and as often as it says. */
static void test_faults_by_count_and_path(void **state)
{
    fixture *f = *state;
    void *ctx = f->port->ctx;
    dbk_file *a = open_as(f, "first", MAKE), *b = open_as(f, "second", MAKE);
    fault(f, (dbk_simdisk_fault){.kinds = DBK_SIM_WRITE, .path = "sec", .skip = 1, .times = 1, .error = EINTR});
    fault(f, (dbk_simdisk_fault){.kinds = DBK_SIM_WRITE, .path = "first", .action = DBK_SIM_SHORT, .bytes = 3});
    assert_int_equal(put(f, b, 0, "abcde", 5), 5);
    assert_int_equal(put(f, a, 0, "abcde", 5), 3);
    assert_int_equal(put(f, b, 0, "vwxyz", 5), -EINTR);
    assert_int_equal(put(f, b, 0, "vwxyz", 5), 5);
    assert_int_equal(put(f, a, 0, "a", 1), 1);
    assert_int_equal(dbk_simdisk_fault_hits(f->disk), 3);
    assert_int_equal(dbk_simdisk_calls(f->disk, DBK_SIM_WRITE), 5);
    dbk_simdisk_clear_faults(f->disk);
    fault(f, (dbk_simdisk_fault){.kinds = DBK_SIM_READ, .action = DBK_SIM_SHORT, .bytes = 2});
    fault(f, (dbk_simdisk_fault){.kinds = DBK_SIM_RENAME, .path = "target", .error = EACCES});
    char out[5];
    assert_int_equal(get(f, b, 0, out, 5), 2);
    assert_int_equal(f->port->rename(ctx, f->root, "first", f->root, "target"), -EACCES);
    assert_int_equal(f->port->rename(ctx, f->root, "first", f->root, "third"), 0);
    close_it(f, a);
    close_it(f, b);
}

static int list_nothing(void *arg, const char *name)
{
    (void)arg, (void)name;
    return 0;
}

/* Every call of the port can be made to fail, and then nothing has changed. */
static void test_every_call_fails(void **state)
{
    fixture *f = *state;
    void *ctx = f->port->ctx;
    make_durable(f, "a", 1, 600);
    dbk_file *file = open_as(f, "a", READ_WRITE), *out = NULL;
    assert_int_equal(f->port->make_dir(ctx, f->root, "d", 0700), 0);
    dbk_dir *dir = NULL;
    dbk_identity id;
    dbk_space space;
    dbk_thread *thread = NULL;
    uint8_t byte;
    dbk_simdisk_image *before = dbk_simdisk_snapshot(f->disk);
    fault(f, (dbk_simdisk_fault){.kinds = UINT32_MAX});
    assert_int_equal(get(f, file, 0, &byte, 1), -EIO);
    assert_int_equal(put(f, file, 0, "x", 1), -EIO);
    assert_int_equal(sync_it(f, file), -EIO);
    assert_int_equal(sync_root(f), -EIO);
    assert_int_equal(open_fails(f, "a", READ_WRITE), -EIO);
    assert_int_equal(open_fails(f, "b", MAKE), -EIO);
    assert_int_equal(f->port->open_file(ctx, f->root, "b", MAKE, 0600, &out), -EIO);
    assert_int_equal(f->port->open_dir(ctx, f->root, "d", 0, &dir), -EIO);
    assert_int_equal(f->port->make_dir(ctx, f->root, "e", 0700), -EIO);
    assert_int_equal(f->port->remove_dir(ctx, f->root, "d"), -EIO);
    assert_int_equal(f->port->unlink(ctx, f->root, "a"), -EIO);
    assert_int_equal(f->port->rename(ctx, f->root, "a", f->root, "b"), -EIO);
    assert_int_equal(f->port->truncate(ctx, file, 0), -EIO);
    assert_int_equal(f->port->allocate(ctx, file, 0, 9999), -EIO);
    assert_int_equal(f->port->list(ctx, f->root, list_nothing, NULL), -EIO);
    assert_int_equal(f->port->identify(ctx, f->root, "a", &id), -EIO);
    assert_int_equal(f->port->identify_file(ctx, file, &id), -EIO);
    assert_int_equal(f->port->space(ctx, f->root, &space), -EIO);
    assert_int_equal(f->port->drop_cache(ctx, file, 0, 0), -EIO);
    assert_int_equal(f->port->lock_file(ctx, file), -EIO);
    assert_int_equal(f->port->random(ctx, &byte, 1), -EIO);
    assert_int_equal(f->port->thread_start(ctx, "t", NULL, NULL, &thread), -EIO);
    assert_null(f->port->alloc(ctx, 10));
    assert_null(f->port->alloc_aligned(ctx, 512, 512));
    assert_null(f->port->mutex_new(ctx));
    assert_null(f->port->cond_new(ctx));
    assert_true(dbk_simdisk_same(f->disk, before, NULL, 0));
    assert_int_equal(dbk_simdisk_fault_hits(f->disk), 26);
    close_it(f, file);
}

/* Memory is counted, moves when resized, and fails on request leaving the old piece alone. */
static void test_memory(void **state)
{
    fixture *f = *state;
    void *ctx = f->port->ctx;
    char *text = f->port->alloc(ctx, 6);
    assert_non_null(text);
    memcpy(text, "hello", 6);
    fault(f, (dbk_simdisk_fault){.kinds = DBK_SIM_MEMORY, .skip = 1, .times = 1});
    char *moved = f->port->resize(ctx, text, 4000);
    assert_non_null(moved);
    assert_string_equal(moved, "hello");
    assert_null(f->port->resize(ctx, moved, 8000));
    assert_string_equal(moved, "hello");
    assert_int_equal(dbk_simdisk_memory_count(f->disk), 1);
    assert_int_equal(dbk_simdisk_memory_bytes(f->disk), 4000);
    f->port->free(ctx, moved);
    f->port->free(ctx, NULL);
    assert_null(f->port->alloc(ctx, SIZE_MAX - 8));
    text = f->port->resize(ctx, NULL, 1);
    assert_non_null(text);
    f->port->free(ctx, text);
    assert_int_equal(dbk_simdisk_memory_bytes(f->disk), 0);
    text = f->port->alloc_aligned(ctx, 1, 5);
    assert_non_null(text);
    f->port->free_aligned(ctx, text);
}

static void note_run(void *arg)
{
    *(bool *)arg = true;
}

/* Clocks stand still but for their steps; threads run inside the call or not at all. */
static void test_world(void **state)
{
    fixture *f = *state;
    void *ctx = f->port->ctx;
    f->world->wall_step_ms = 5;
    f->world->zone_minutes = -90;
    f->world->other_process = 42;
    int64_t wall = f->port->wall_ms(ctx), monotonic = f->port->monotonic_ns(ctx);
    dbk_simdisk_advance_ms(f->disk, 100);
    assert_int_equal(f->port->wall_ms(ctx) - wall, 105);
    assert_int_equal(f->port->monotonic_ns(ctx) - monotonic, 100001000);
    assert_int_equal(f->port->zone_minutes(ctx), -90);
    assert_true(f->port->process_alive(ctx, 42));
    assert_true(f->port->process_alive(ctx, f->port->process_id(ctx)));
    assert_false(f->port->process_alive(ctx, 0));
    bool ran = false;
    dbk_thread *thread = NULL;
    assert_int_equal(f->port->thread_start(ctx, "t", note_run, &ran, &thread), -ENOSYS);
    assert_false(ran);
    f->world->runs_threads = true;
    assert_int_equal(f->port->thread_start(ctx, "t", note_run, &ran, &thread), 0);
    assert_true(ran);
    f->port->thread_join(ctx, thread);
    fault(f, (dbk_simdisk_fault){.kinds = DBK_SIM_MEMORY});
    assert_int_equal(f->port->thread_start(ctx, "t", note_run, &ran, &thread), -ENOMEM);
    dbk_simdisk_set_sqlite_vfs(f->disk, "other");
    assert_string_equal(f->port->sqlite_vfs, "other");
}

/* Waiting lets the time pass and says so. */
static void test_waiting(void **state)
{
    fixture *f = *state;
    void *ctx = f->port->ctx;
    dbk_mutex *mutex = f->port->mutex_new(ctx);
    dbk_cond *cond = f->port->cond_new(ctx);
    assert_non_null(mutex);
    assert_non_null(cond);
    f->port->mutex_lock(ctx, mutex);
    int64_t before = f->world->monotonic_ns;
    assert_int_equal(f->port->cond_wait(ctx, cond, mutex, 3000000), -ETIMEDOUT);
    assert_int_equal(f->world->monotonic_ns - before, 3000000);
    assert_int_equal(f->port->cond_wait(ctx, cond, mutex, -1), -ETIMEDOUT);
    f->port->mutex_unlock(ctx, mutex);
    f->port->cond_signal(ctx, cond);
    f->port->cond_broadcast(ctx, cond);
    f->port->cond_free(ctx, cond);
    f->port->mutex_free(ctx, mutex);
}

/* Two disks of one seed are the same, of two seeds they differ. */
static void test_seed_decides(void **state)
{
    uint8_t random[3][11];
    char boot[3][37];
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        dbk_simdisk *disk = dbk_simdisk_new(i / 2);
        const dbk_port *port = dbk_simdisk_port(disk);
        assert_int_equal(port->random(port->ctx, random[i], sizeof random[i]), 0);
        assert_int_equal(port->boot_id(port->ctx, boot[i]), 0);
        assert_int_equal(strlen(boot[i]), 36);
        dbk_simdisk_free(disk);
    }
    dbk_simdisk_free(NULL);
    assert_memory_equal(random[0], random[1], 11);
    assert_memory_not_equal(random[0], random[2], 11);
    assert_string_equal(boot[0], boot[1]);
    assert_string_not_equal(boot[0], boot[2]);
}

/* Meddling changes files behind the program's back and survives a crash. */
static void test_meddling(void **state)
{
    fixture *f = *state;
    dbk_simdisk *disk = f->disk;
    assert_int_equal(f->port->make_dir(f->port->ctx, f->root, "d", 0700), 0);
    assert_int_equal(sync_root(f), 0);
    assert_int_equal(dbk_simdisk_write(disk, "d/a", 0, "abc", 3), 0);
    assert_int_equal(dbk_simdisk_write(disk, "d/a", 5000, "z", 1), 0);
    assert_int_equal(dbk_simdisk_write(disk, "d/a", 0, "", 0), 0);
    assert_int_equal(dbk_simdisk_flip_bit(disk, "d/a", 1, 0), 0);
    assert_int_equal(dbk_simdisk_copy(disk, "d/a", "b"), 0);
    assert_int_equal(dbk_simdisk_copy(disk, "b", "b"), 0);
    assert_int_equal(dbk_simdisk_truncate(disk, "b", 2), 0);
    assert_int_equal(dbk_simdisk_swap(disk, "b", "d/a"), 0);
    crash(f, DBK_SIM_ALL_OLD, 1);
    assert_int_equal(dbk_simdisk_size(disk, "d/a"), 2);
    assert_int_equal(dbk_simdisk_size(disk, "b"), 5001);
    assert_int_equal(byte_at(f, "b", 1), 'c');
    assert_int_equal(byte_at(f, "b", 5000), 'z');
    assert_int_equal(dbk_simdisk_remove(disk, "b"), 0);
    crash(f, DBK_SIM_ALL_OLD, 1);
    assert_false(dbk_simdisk_exists(disk, "b"));
    assert_int_equal(dbk_simdisk_size(disk, "b"), -ENOENT);
    assert_int_equal(dbk_simdisk_size(disk, "d"), -EISDIR);
    assert_int_equal(dbk_simdisk_write(disk, "d", 0, "x", 1), -EISDIR);
    assert_int_equal(dbk_simdisk_write(disk, "e/x", 0, "x", 1), -ENOENT);
    assert_int_equal(dbk_simdisk_write(disk, "x", UINT64_MAX, "x", 1), -EFBIG);
    assert_int_equal(dbk_simdisk_truncate(disk, "d/a", UINT64_MAX), -EFBIG);
    assert_int_equal(dbk_simdisk_truncate(disk, "b", 0), -ENOENT);
    assert_int_equal(dbk_simdisk_flip_bit(disk, "b", 0, 0), -ENOENT);
    assert_int_equal(dbk_simdisk_flip_bit(disk, "d/a", 2, 0), -EINVAL);
    assert_int_equal(dbk_simdisk_remove(disk, "b"), -ENOENT);
    assert_int_equal(dbk_simdisk_copy(disk, "b", "c"), -ENOENT);
    assert_int_equal(dbk_simdisk_swap(disk, "d/a", "c"), -ENOENT);
    char endless[300];
    memset(endless, 'x', sizeof endless - 1);
    endless[299] = '\0';
    assert_int_equal(dbk_simdisk_write(disk, endless, 0, "x", 1), -ENAMETOOLONG);
}

/* Spoiling a byte of a file leaves what else is unsynced in it unsynced. */
static void test_meddling_beside_unsynced(void **state)
{
    fixture *f = *state;
    make_durable(f, "a", 1, 4096);
    dbk_file *file = open_as(f, "a", READ_WRITE);
    assert_int_equal(fill(f, file, 0, 2, 512), 512);
    assert_int_equal(dbk_simdisk_write(f->disk, "a", 1000, "\7", 1), 0);
    close_it(f, file);
    crash(f, DBK_SIM_ALL_OLD, 1);
    assert_int_equal(byte_at(f, "a", 0), 1);
    assert_int_equal(byte_at(f, "a", 1000), 7);
}

/* The digest and the comparison see every bit, name and size, and nothing else. */
static void test_hash_and_same(void **state)
{
    fixture *f = *state;
    dbk_simdisk *disk = f->disk;
    char where[64] = "";
    assert_int_equal(f->port->make_dir(f->port->ctx, f->root, "d", 0700), 0);
    make_durable(f, "a", 1, 10000);
    assert_int_equal(dbk_simdisk_write(disk, "d/x", 9000, "x", 1), 0);
    uint64_t all = dbk_simdisk_hash(disk, NULL), below = dbk_simdisk_hash(disk, "d/");
    dbk_simdisk_image *image = dbk_simdisk_snapshot(disk);
    assert_int_equal(dbk_simdisk_flip_bit(disk, "a", 9999, 3), 0);
    assert_int_not_equal(dbk_simdisk_hash(disk, NULL), all);
    assert_int_equal(dbk_simdisk_hash(disk, "d"), below);
    assert_false(dbk_simdisk_same(disk, image, where, sizeof where));
    assert_string_equal(where, "a");
    assert_int_equal(dbk_simdisk_flip_bit(disk, "a", 9999, 3), 0);
    assert_int_equal(dbk_simdisk_hash(disk, ""), all);
    assert_true(dbk_simdisk_same(disk, image, where, sizeof where));
    assert_int_equal(dbk_simdisk_write(disk, "a", 40000, "x", 1), 0); /* it was longer once */
    assert_int_equal(dbk_simdisk_truncate(disk, "a", 10000), 0);
    assert_true(dbk_simdisk_same(disk, image, where, sizeof where));
    dbk_simdisk_image *long_once = dbk_simdisk_snapshot(disk);
    dbk_simdisk_restore(disk, image);
    reopen_root(f);
    assert_true(dbk_simdisk_same(disk, long_once, where, sizeof where));
    assert_int_equal(dbk_simdisk_remove(disk, "a"), 0); /* a folder where a file was */
    assert_int_equal(f->port->make_dir(f->port->ctx, f->root, "a", 0700), 0);
    assert_false(dbk_simdisk_same(disk, image, where, sizeof where));
    assert_string_equal(where, "a");
    dbk_simdisk_restore(disk, image);
    reopen_root(f);
    assert_int_equal(dbk_simdisk_truncate(disk, "d/x", 9002), 0);
    assert_int_not_equal(dbk_simdisk_hash(disk, "d"), below);
    assert_false(dbk_simdisk_same(disk, image, where, sizeof where));
    assert_string_equal(where, "d/x");
    assert_int_equal(dbk_simdisk_remove(disk, "d/x"), 0);
    assert_false(dbk_simdisk_same(disk, image, NULL, 0));
    assert_false(dbk_simdisk_same(disk, image, where, sizeof where));
    assert_string_equal(where, "d/x");
    dbk_simdisk_restore(disk, image);
    assert_int_equal(dbk_simdisk_hash(disk, NULL), all);
    dbk_simdisk_image_free(disk, image);
    dbk_simdisk_image_free(disk, NULL);
}

/* The place of a directory, in room enough and in too little. */
static void test_path_of(void **state)
{
    fixture *f = *state;
    void *ctx = f->port->ctx;
    char out[64];
    dbk_dir *dir = NULL, *below = NULL;
    assert_int_equal(f->port->path_of(ctx, f->root, out, sizeof out), 0);
    assert_string_equal(out, "/");
    assert_int_equal(f->port->open_dir(ctx, f->root, "a", DBK_OPEN_DIRECTORY, &dir), 0);
    assert_int_equal(f->port->open_dir(ctx, dir, "bc", DBK_OPEN_DIRECTORY, &below), 0);
    assert_int_equal(f->port->path_of(ctx, below, out, sizeof out), 0);
    assert_string_equal(out, "/a/bc");
    assert_int_equal(f->port->path_of(ctx, below, out, 6), 0);
    assert_int_equal(f->port->path_of(ctx, below, out, 5), -ENAMETOOLONG);
    f->port->close_dir(ctx, below);
    assert_int_equal(f->port->remove_dir(ctx, dir, "bc"), 0);
    assert_int_equal(f->port->remove_dir(ctx, f->root, "a"), 0);
    assert_int_equal(f->port->open_dir(ctx, dir, "d", DBK_OPEN_DIRECTORY, &below), -ENOENT); /* it is in none */
    dbk_simdisk_kill(f->disk);
    assert_int_equal(f->port->path_of(ctx, dir, out, sizeof out), -EBADF);
    f->port->close_dir(ctx, dir);
    reopen_root(f);
}

/* Meddling that cannot be: beyond all files, in what is none, with what is not there. */
static void test_meddling_refused(void **state)
{
    fixture *f = *state;
    uint8_t byte = 1;
    dbk_dir *dir = NULL;
    make_durable(f, "a", 1, 600);
    assert_int_equal(f->port->open_dir(f->port->ctx, f->root, "d", DBK_OPEN_DIRECTORY, &dir), 0);
    f->port->close_dir(f->port->ctx, dir);
    dbk_simdisk_image *before = dbk_simdisk_snapshot(f->disk);
    assert_int_equal(dbk_simdisk_write(f->disk, "a", UINT64_MAX, &byte, 1), -EFBIG);
    assert_int_equal(dbk_simdisk_write(f->disk, "a", UINT64_C(1) << 40, &byte, 1), -EFBIG);
    assert_true(dbk_simdisk_write(f->disk, "d", 0, &byte, 1) < 0);
    assert_true(dbk_simdisk_write(f->disk, "none/b", 0, &byte, 1) < 0);
    assert_int_equal(dbk_simdisk_truncate(f->disk, "a", UINT64_C(1) << 40), -EFBIG);
    assert_true(dbk_simdisk_swap(f->disk, "a", "b") < 0);
    assert_true(dbk_simdisk_swap(f->disk, "b", "a") < 0);
    assert_true(dbk_simdisk_copy(f->disk, "b", "a") < 0);
    assert_true(dbk_simdisk_same(f->disk, before, NULL, 0));
    /* a name that begins as another one is not below it */
    uint64_t of_a = dbk_simdisk_hash(f->disk, "a/");
    make_durable(f, "ab", 2, 300);
    assert_int_equal(dbk_simdisk_hash(f->disk, "a"), of_a);
    char differs[8] = "";
    assert_false(dbk_simdisk_same(f->disk, before, differs, sizeof differs));
    assert_string_equal(differs, "ab");
    assert_false(dbk_simdisk_same(f->disk, before, differs, 0));
    dbk_simdisk_restore(f->disk, before);
    reopen_root(f);
    assert_int_equal(f->port->remove_dir(f->port->ctx, f->root, "d"), 0);
    make_durable(f, "d", 1, 10); /* a file where a directory was */
    assert_false(dbk_simdisk_same(f->disk, before, NULL, 0));
    fault(f, (dbk_simdisk_fault){.kinds = DBK_SIM_MEMORY, .path = "a"}); /* memory has no path */
    void *memory = f->port->alloc(f->port->ctx, 10);
    assert_non_null(memory);
    f->port->free(f->port->ctx, memory);
    dbk_simdisk_clear_faults(f->disk);
    dbk_simdisk_image *another = dbk_simdisk_snapshot(f->disk);
    dbk_simdisk_image_free(f->disk, before);
    dbk_simdisk_image_free(f->disk, another);
    dbk_simdisk_image_free(f->disk, NULL);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_file_reads_back),
        TEST(test_open_refusals),
        TEST(test_handle_refusals),
        TEST(test_direct_alignment),
        TEST(test_directories),
        TEST(test_dot),
        TEST(test_rename),
        TEST(test_unlinked_file_lives),
        TEST(test_full_disk),
        TEST(test_locks),
        TEST(test_shared_locks),
        TEST(test_dead_handles),
        TEST(test_faults_by_count_and_path),
        TEST(test_every_call_fails),
        TEST(test_memory),
        TEST(test_world),
        TEST(test_waiting),
        cmocka_unit_test(test_seed_decides),
        TEST(test_meddling),
        TEST(test_meddling_beside_unsynced),
        TEST(test_hash_and_same),
        TEST(test_path_of),
        TEST(test_meddling_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
