/* The loops around the port, driven by a port whose next calls answer what the test says. */
#include "fixture.h"

#include <errno.h>

enum {
    CALL_OPEN_DIR,
    CALL_OPEN,
    CALL_READ,
    CALL_WRITE,
    CALL_SYNC,
    CALL_SYNC_DIR,
    CALL_IDENTIFY,
    CALL_RENAME,
    CALL_UNLINK,
    CALL_KINDS
};

/* Of each kind of call, those numbered skip+1 to skip+times answer `answer`: an error, or for reads
 * and writes a count that they are cut to (0: they move nothing). */
typedef struct fault {
    int skip;
    int times;
    int64_t answer;
} fault;

static struct {
    dbk_port port;
    fault faults[CALL_KINDS];
    int calls[CALL_KINDS];
    bool renamed_too_early; /* before the file was synced, or after its directory was */
} faulty;

static dbk_port const *port;
static dbk_dir *dir;
static char *path;
static dbk_error err;

static const dbk_port *real(void)
{
    return dbk_port_system();
}

static bool hit(int kind)
{
    const fault *f = &faulty.faults[kind];
    int call = ++faulty.calls[kind];

    return call > f->skip && call - f->skip <= f->times;
}

static int answer(int kind)
{
    return (int)faulty.faults[kind].answer;
}

static int faulty_open_dir(void *ctx, dbk_dir *parent, const char *name, int flags, dbk_dir **out)
{
    return hit(CALL_OPEN_DIR) ? answer(CALL_OPEN_DIR) : real()->open_dir(ctx, parent, name, flags, out);
}

static int faulty_open_file(void *ctx, dbk_dir *in, const char *name, int flags, uint32_t mode, dbk_file **out)
{
    assert_int_equal(mode, 0600);
    return hit(CALL_OPEN) ? answer(CALL_OPEN) : real()->open_file(ctx, in, name, flags, mode, out);
}

static int64_t faulty_pread(void *ctx, dbk_file *file, void *out, size_t size, uint64_t offset)
{
    if (hit(CALL_READ)) {
        int64_t count = faulty.faults[CALL_READ].answer;
        if (count < 0) return count;
        if (size > (size_t)count) size = (size_t)count;
    }
    return real()->pread(ctx, file, out, size, offset);
}

static int64_t faulty_pwrite(void *ctx, dbk_file *file, const void *data, size_t size, uint64_t offset)
{
    if (hit(CALL_WRITE)) {
        int64_t count = faulty.faults[CALL_WRITE].answer;
        if (count < 0) return count;
        if (size > (size_t)count) size = (size_t)count;
    }
    return real()->pwrite(ctx, file, data, size, offset);
}

static int faulty_sync_file(void *ctx, dbk_file *file)
{
    return hit(CALL_SYNC) ? answer(CALL_SYNC) : real()->sync_file(ctx, file);
}

static int faulty_sync_dir(void *ctx, dbk_dir *of)
{
    return hit(CALL_SYNC_DIR) ? answer(CALL_SYNC_DIR) : real()->sync_dir(ctx, of);
}

static int faulty_identify_file(void *ctx, dbk_file *file, dbk_identity *out)
{
    return hit(CALL_IDENTIFY) ? answer(CALL_IDENTIFY) : real()->identify_file(ctx, file, out);
}

static int faulty_rename(void *ctx, dbk_dir *from_dir, const char *from, dbk_dir *to_dir, const char *to)
{
    if (faulty.calls[CALL_SYNC] == 0 || faulty.calls[CALL_SYNC_DIR] > 0) {
        faulty.renamed_too_early = true;
    }
    return hit(CALL_RENAME) ? answer(CALL_RENAME) : real()->rename(ctx, from_dir, from, to_dir, to);
}

static int faulty_unlink(void *ctx, dbk_dir *in, const char *name)
{
    return hit(CALL_UNLINK) ? answer(CALL_UNLINK) : real()->unlink(ctx, in, name);
}

static void set_fault(int kind, int skip, int times, int64_t reply)
{
    memset(faulty.faults, 0, sizeof(faulty.faults));
    memset(faulty.calls, 0, sizeof(faulty.calls));
    faulty.faults[kind] = (fault){skip, times, reply};
}

static void no_fault(void)
{
    set_fault(CALL_OPEN, 0, 0, 0);
}

static int set_up(void **state)
{
    (void)state;
    faulty.port = *dbk_port_system();
    faulty.port.open_dir = faulty_open_dir;
    faulty.port.open_file = faulty_open_file;
    faulty.port.pread = faulty_pread;
    faulty.port.pwrite = faulty_pwrite;
    faulty.port.sync_file = faulty_sync_file;
    faulty.port.sync_dir = faulty_sync_dir;
    faulty.port.identify_file = faulty_identify_file;
    faulty.port.rename = faulty_rename;
    faulty.port.unlink = faulty_unlink;
    no_fault();
    port = &faulty.port;
    path = temporary_dir();
    return dbk_io_open_dir(port, NULL, path, 0, &dir, &err);
}

static int tear_down(void **state)
{
    (void)state;
    port->close_dir(port->ctx, dir);
    remove_temporary_dir(path);
    return 0;
}

static dbk_file *open_new(const char *name)
{
    dbk_file *file;

    assert_int_equal(dbk_io_open(port, dir, name, DBK_OPEN_READ | DBK_OPEN_WRITE | DBK_OPEN_CREATE, &file, &err),
                     DBK_OK);
    return file;
}

static void assert_content(const char *name, const char *expected)
{
    dbk_buffer content;

    no_fault();
    dbk_buffer_init(&content, port);
    assert_int_equal(dbk_io_read_file(port, dir, name, 1 << 20, &content, &err), DBK_OK);
    assert_true(dbk_slice_equal(dbk_buffer_slice(&content), dbk_slice_text(expected)));
    dbk_buffer_release(&content);
}

static bool exists(const char *name)
{
    dbk_identity identity;

    return port->identify(port->ctx, dir, name, &identity) == 0;
}

static void failed_opens_name_the_file(void **state)
{
    (void)state;
    dbk_file *file;
    dbk_dir *other;

    assert_int_equal(dbk_io_open(port, dir, "none", DBK_OPEN_READ, &file, &err), DBK_MISSING);
    assert_string_equal(err.text, "cannot open 'none': no such file or directory");
    assert_null(file);
    port->close_file(port->ctx, open_new("there"));
    assert_int_equal(
        dbk_io_open(port, dir, "there", DBK_OPEN_WRITE | DBK_OPEN_CREATE | DBK_OPEN_EXCLUSIVE, &file, &err),
        DBK_EXISTS);
    assert_string_equal(err.text, "cannot create 'there': file exists");
    assert_int_equal(dbk_io_open_dir(port, dir, "none", 0, &other, &err), DBK_MISSING);
    assert_string_equal(err.text, "cannot open directory 'none': no such file or directory");
    char link[600];
    (void)snprintf(link, sizeof(link), "%s/link", path);
    assert_int_equal(symlink("there", link), 0);
    assert_int_equal(dbk_io_open(port, dir, "link", DBK_OPEN_READ, &file, &err), DBK_IO);
    assert_string_equal(err.hint, "it is a symbolic link, which is never followed here");
    set_fault(CALL_OPEN, 0, 1, -EMFILE);
    assert_int_equal(dbk_io_open(port, dir, "there", DBK_OPEN_READ, &file, &err), DBK_NO_FILES);
    assert_true(err.hint[0]);
}

/* A few interruptions are not noticed; a system that does nothing else is an error, not a hang. */
static void interruptions_are_retried_but_not_for_ever(void **state)
{
    (void)state;
    dbk_file *file;
    dbk_dir *other;
    uint64_t size;
    size_t got;
    char text[4];

    for (int times = 3; times <= 1000000; times += 999997) {
        dbk_result expected = times == 3 ? DBK_OK : DBK_IO;
        set_fault(CALL_OPEN_DIR, 0, times, -EINTR);
        assert_int_equal(dbk_io_open_dir(port, dir, ".", 0, &other, &err), expected);
        if (expected == DBK_OK) port->close_dir(port->ctx, other);
        no_fault();
        file = open_new("a");
        set_fault(CALL_WRITE, 0, times, -EINTR);
        assert_int_equal(dbk_io_write(port, file, "a", 0, "abcd", 4, &err), expected);
        set_fault(CALL_READ, 0, times, -EINTR);
        assert_int_equal(dbk_io_read(port, file, "a", 0, text, 4, &got, &err), expected);
        if (expected == DBK_OK) assert_memory_equal(text, "abcd", 4);
        set_fault(CALL_SYNC, 0, times, -EINTR);
        assert_int_equal(dbk_io_sync(port, file, "a", &err), expected);
        set_fault(CALL_SYNC_DIR, 0, times, -EINTR);
        assert_int_equal(dbk_io_sync_dir(port, dir, ".", &err), expected);
        set_fault(CALL_IDENTIFY, 0, times, -EINTR);
        assert_int_equal(dbk_io_size(port, file, "a", &size, &err), expected);
        port->close_file(port->ctx, file);
        set_fault(CALL_OPEN, 0, times, -EINTR);
        assert_int_equal(dbk_io_open(port, dir, "a", DBK_OPEN_READ, &file, NULL), expected);
        if (expected == DBK_OK) port->close_file(port->ctx, file);
        no_fault();
        port->close_file(port->ctx, open_new("a.tmp"));
        set_fault(CALL_UNLINK, 0, times, -EINTR);
        assert_int_equal(dbk_io_replace_file(port, dir, "a", dbk_slice_text("x"), NULL), expected);
        set_fault(CALL_RENAME, 0, times, -EINTR);
        assert_int_equal(dbk_io_replace_file(port, dir, "a", dbk_slice_text("x"), NULL), expected);
        no_fault();
    }
    assert_string_equal(err.text, "cannot find the size of 'a': interrupted system call");
    port->close_file(port->ctx, open_new("a.tmp"));
    set_fault(CALL_UNLINK, 0, 1, -ENOENT); /* another has removed it */
    assert_int_equal(dbk_io_replace_file(port, dir, "a", dbk_slice_text("x"), NULL), DBK_EXISTS);
}

/* Every call moves one byte only: the whole comes over all the same. */
static void short_counts_are_continued(void **state)
{
    (void)state;
    char text[600], back[700];
    dbk_file *file = open_new("a");
    size_t got;

    for (size_t i = 0; i < sizeof(text); i++) text[i] = (char)('a' + i % 26);
    set_fault(CALL_WRITE, 0, 1000000, 1);
    assert_int_equal(dbk_io_write(port, file, "a", 3, text, sizeof(text), &err), DBK_OK);
    assert_int_equal(faulty.calls[CALL_WRITE], 600);
    set_fault(CALL_READ, 0, 1000000, 7);
    assert_int_equal(dbk_io_read(port, file, "a", 3, back, sizeof(back), &got, &err), DBK_OK);
    assert_int_equal(got, sizeof(text));
    assert_memory_equal(back, text, sizeof(text));
    port->close_file(port->ctx, file);
}

/* A transfer in whole sectors that stops inside one goes on from that sector's start, as direct I/O
 * must; one that never gets over a sector is an error and not the end of the file. */
static void sector_transfers_go_on_at_sectors(void **state)
{
    (void)state;
    uint8_t *data = real()->alloc_aligned(NULL, 4096, 8192);
    dbk_file *file = open_new("a");
    size_t got;

    for (size_t i = 0; i < 8192; i++) data[i] = (uint8_t)(i / 512 + i);
    for (int64_t cut = 511; cut <= 1025; cut++) {
        set_fault(CALL_WRITE, 0, 5, cut);
        dbk_result rc = dbk_io_write(port, file, "a", 512, data + 512, 7680, &err);
        assert_int_equal(rc, DBK_OK);
        set_fault(CALL_READ, 0, 5, cut);
        uint8_t *back = real()->alloc_aligned(NULL, 4096, 8192);
        rc = dbk_io_read(port, file, "a", 512, back + 512, 7680, &got, &err);
        assert_int_equal(rc, DBK_OK);
        assert_int_equal(got, 7680);
        assert_memory_equal(back + 512, data + 512, 7680);
        real()->free_aligned(NULL, back);
    }
    set_fault(CALL_READ, 0, 1000000, 300);
    assert_int_equal(dbk_io_read(port, file, "a", 0, data, 4096, &got, &err), DBK_IO);
    assert_string_equal(err.text, "cannot read 'a': input/output error");
    set_fault(CALL_WRITE, 0, 1000000, 300);
    assert_int_equal(dbk_io_write(port, file, "a", 0, data, 4096, &err), DBK_IO);
    set_fault(CALL_WRITE, 0, 1000000, 0);
    assert_int_equal(dbk_io_write(port, file, "a", 0, data, 100, &err), DBK_IO);
    assert_string_equal(err.text, "cannot write 'a': input/output error");
    port->close_file(port->ctx, file);
    real()->free_aligned(NULL, data);
}

/* A file that ends inside a sector is read to its end by a read of whole sectors. */
static void sector_reads_find_the_end_inside_a_sector(void **state)
{
    (void)state;
    uint8_t *data = real()->alloc_aligned(NULL, 4096, 8192);
    dbk_file *file = open_new("a");
    size_t got;

    memset(data, 'x', 8192);
    assert_int_equal(dbk_io_write(port, file, "a", 0, data, 4700, &err), DBK_OK);
    assert_int_equal(dbk_io_read(port, file, "a", 0, data, 8192, &got, &err), DBK_OK);
    assert_int_equal(got, 4700);
    set_fault(CALL_IDENTIFY, 0, 1, -EIO);
    assert_int_equal(dbk_io_read(port, file, "a", 0, data, 8192, &got, &err), DBK_IO);
    assert_int_equal(got, 0);
    port->close_file(port->ctx, file);
    real()->free_aligned(NULL, data);
}

static void failed_calls_have_their_codes(void **state)
{
    (void)state;
    dbk_file *file = open_new("a");
    uint64_t size;
    size_t got = 9;
    char text[8];

    set_fault(CALL_WRITE, 0, 1, -ENOSPC);
    assert_int_equal(dbk_io_write(port, file, "a", 0, "abcd", 4, &err), DBK_NO_SPACE);
    assert_string_equal(err.text, "cannot write 'a': no space left on device");
    assert_string_equal(err.hint, "free some space on the disk and try again");
    assert_int_equal(dbk_io_write(port, file, "a", 0, "abcd", 4, NULL), DBK_OK);
    set_fault(CALL_READ, 0, 1, -EIO);
    assert_int_equal(dbk_io_read(port, file, "a", 0, text, 4, &got, &err), DBK_IO);
    assert_int_equal(got, 0);
    set_fault(CALL_SYNC, 0, 1, -EIO);
    assert_int_equal(dbk_io_sync(port, file, "a", &err), DBK_IO);
    assert_int_equal(faulty.calls[CALL_SYNC], 1);
    assert_string_equal(err.text, "cannot sync 'a': input/output error");
    set_fault(CALL_SYNC_DIR, 0, 1, -EIO);
    assert_int_equal(dbk_io_sync_dir(port, dir, "d", &err), DBK_IO);
    assert_string_equal(err.text, "cannot sync directory 'd': input/output error");
    no_fault();
    assert_int_equal(dbk_io_size(port, file, "a", &size, &err), DBK_OK);
    assert_int_equal(size, 4);
    port->close_file(port->ctx, file);
}

static void whole_files_are_read_up_to_the_limit(void **state)
{
    (void)state;
    dbk_file *file = open_new("a");
    dbk_buffer content;

    dbk_buffer_init(&content, port);
    dbk_buffer_put_text(&content, "old");
    assert_int_equal(dbk_io_read_file(port, dir, "a", 0, &content, &err), DBK_OK);
    assert_int_equal(content.size, 0);
    assert_int_equal(dbk_io_write(port, file, "a", 0, "12345", 5, &err), DBK_OK);
    assert_int_equal(dbk_io_read_file(port, dir, "a", 5, &content, &err), DBK_OK);
    assert_string_equal(dbk_buffer_text(&content), "12345");
    assert_int_equal(dbk_io_read_file(port, dir, "a", 4, &content, &err), DBK_TOO_BIG);
    assert_string_equal(err.text, "'a' is over the limit of 4 bytes");
    assert_int_equal(dbk_io_read_file(port, dir, "b", 4, &content, &err), DBK_MISSING);
    set_fault(CALL_READ, 0, 1, -EIO);
    assert_int_equal(dbk_io_read_file(port, dir, "a", 5, &content, &err), DBK_IO);
    set_fault(CALL_IDENTIFY, 0, 1, -EIO);
    assert_int_equal(dbk_io_read_file(port, dir, "a", 5, &content, &err), DBK_IO);
    dbk_buffer_release(&content);
    port->close_file(port->ctx, file);
}

/* The file looks empty when its size is asked for, and is longer than a chunk when it is read. */
static int looks_empty(void *ctx, dbk_file *file, dbk_identity *out)
{
    int rc = real()->identify_file(ctx, file, out);

    out->size_bytes = 0;
    return rc;
}

static void growing_files_are_read_to_their_end(void **state)
{
    (void)state;
    enum { SIZE = 200000 };
    uint8_t *data = malloc(SIZE);
    dbk_file *file = open_new("a");
    dbk_buffer content;
    dbk_port growing = *port;

    growing.identify_file = looks_empty;
    for (size_t i = 0; i < SIZE; i++) data[i] = (uint8_t)(i % 251);
    assert_int_equal(dbk_io_write(port, file, "a", 0, data, SIZE, &err), DBK_OK);
    dbk_buffer_init(&content, &growing);
    assert_int_equal(dbk_io_read_file(&growing, dir, "a", SIZE, &content, &err), DBK_OK);
    assert_int_equal(content.size, SIZE);
    assert_memory_equal(content.data, data, SIZE);
    assert_int_equal(dbk_io_read_file(&growing, dir, "a", SIZE - 1, &content, &err), DBK_TOO_BIG);
    dbk_buffer_release(&content);
    port->close_file(port->ctx, file);
    free(data);
}

static void reading_a_file_without_memory_says_so(void **state)
{
    (void)state;
    thrifty_port thrifty;
    dbk_buffer content;

    port->close_file(port->ctx, open_new("a"));
    thrifty_init(&thrifty, 1);
    dbk_buffer_init(&content, &thrifty.port);
    assert_int_equal(dbk_io_read_file(port, dir, "a", 5, &content, &err), DBK_NO_MEMORY);
    assert_string_equal(err.text, "cannot read 'a': out of memory");
    dbk_buffer_release(&content);
}

static bool may_be(void *arg)
{
    assert_true(exists("a.tmp"));
    return *(const bool *)arg;
}

/* Who may write it too is asked about it last. */
static void a_file_is_replaced_if_it_may_be(void **state)
{
    bool may = false;
    (void)state;
    assert_int_equal(dbk_io_replace_file(port, dir, "a", dbk_slice_text("first"), &err), DBK_OK);
    assert_int_equal(dbk_io_replace_file_if(port, dir, "a", dbk_slice_text("2nd"), may_be, &may, &err), DBK_NONE);
    assert_content("a", "first");
    assert_false(exists("a.tmp"));
    may = true;
    assert_int_equal(dbk_io_replace_file_if(port, dir, "a", dbk_slice_text("2nd"), may_be, &may, &err), DBK_OK);
    assert_content("a", "2nd");
}

/* Made, then replaced by something shorter, over what an earlier, cut short replacement left. */
static void files_are_replaced_whole(void **state)
{
    (void)state;
    assert_int_equal(dbk_io_replace_file(port, dir, "a", dbk_slice_text("first"), &err), DBK_OK);
    assert_content("a", "first");
    dbk_file *left = open_new("a.tmp");
    assert_int_equal(dbk_io_write(port, left, "a.tmp", 0, "much longer than that", 21, &err), DBK_OK);
    port->close_file(port->ctx, left);
    no_fault();
    assert_int_equal(dbk_io_replace_file(port, dir, "a", dbk_slice_text("2nd"), &err), DBK_OK);
    assert_int_equal(faulty.calls[CALL_SYNC], 1);
    assert_int_equal(faulty.calls[CALL_RENAME], 1);
    assert_int_equal(faulty.calls[CALL_SYNC_DIR], 1);
    assert_false(faulty.renamed_too_early);
    assert_content("a", "2nd");
    assert_false(exists("a.tmp"));
}

/* Each call of a replacement fails once: an error that names the file; the old content, or after the
 * rename the new one; no temporary file, and the next try passes. */
static void a_failed_replacement_leaves_old_or_new(void **state)
{
    (void)state;
    static const int kinds[] = {CALL_OPEN, CALL_WRITE, CALL_SYNC, CALL_RENAME, CALL_SYNC_DIR};

    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        no_fault();
        assert_int_equal(dbk_io_replace_file(port, dir, "a", dbk_slice_text("old"), &err), DBK_OK);
        set_fault(kinds[i], 0, 1, -EIO);
        assert_int_equal(dbk_io_replace_file(port, dir, "a", dbk_slice_text("new"), &err), DBK_IO);
        assert_ptr_equal(strstr(err.text, "cannot replace 'a': cannot "), err.text);
        assert_content("a", kinds[i] == CALL_SYNC_DIR ? "new" : "old");
        assert_false(exists("a.tmp"));
    }
}

static void a_leftover_that_cannot_be_removed_stops_the_replacement(void **state)
{
    (void)state;
    port->close_file(port->ctx, open_new("a.tmp"));
    set_fault(CALL_UNLINK, 0, 1, -EROFS);
    assert_int_equal(dbk_io_replace_file(port, dir, "a", dbk_slice_text("x"), &err), DBK_READ_ONLY);
    assert_string_equal(err.text, "cannot replace 'a': cannot remove 'a.tmp': read-only file system");
    assert_false(exists("a"));
}

static void a_name_without_room_for_the_suffix_is_refused(void **state)
{
    (void)state;
    char name[253];

    memset(name, 'a', sizeof(name));
    name[252] = '\0';
    assert_int_equal(dbk_io_replace_file(port, dir, name, dbk_slice_text("x"), &err), DBK_TOO_BIG);
    name[251] = '\0';
    assert_int_equal(dbk_io_replace_file(port, dir, name, dbk_slice_text("x"), &err), DBK_OK);
}

static void memory_helpers_check_their_sizes(void **state)
{
    (void)state;
    thrifty_port thrifty;

    thrifty_init(&thrifty, 3);
    assert_null(dbk_alloc_zero(&thrifty.port, SIZE_MAX / 2, 3));
    uint8_t *zeros = dbk_alloc_zero(&thrifty.port, 10, 10);
    for (size_t i = 0; i < 100; i++) assert_int_equal(zeros[i], 0);
    char *copy = dbk_copy_text(&thrifty.port, "text");
    assert_string_equal(copy, "text");
    assert_null(dbk_alloc_zero(&thrifty.port, 1, 1));
    assert_null(dbk_copy_text(&thrifty.port, "text"));
    dbk_free(&thrifty.port, copy);
    dbk_free(&thrifty.port, zeros);
    dbk_free(&thrifty.port, NULL);
    assert_int_equal(thrifty.held, 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(failed_opens_name_the_file),
        TEST(interruptions_are_retried_but_not_for_ever),
        TEST(short_counts_are_continued),
        TEST(sector_transfers_go_on_at_sectors),
        TEST(sector_reads_find_the_end_inside_a_sector),
        TEST(failed_calls_have_their_codes),
        TEST(whole_files_are_read_up_to_the_limit),
        TEST(growing_files_are_read_to_their_end),
        TEST(reading_a_file_without_memory_says_so),
        TEST(files_are_replaced_whole),
        TEST(a_file_is_replaced_if_it_may_be),
        TEST(a_failed_replacement_leaves_old_or_new),
        TEST(a_leftover_that_cannot_be_removed_stops_the_replacement),
        TEST(a_name_without_room_for_the_suffix_is_refused),
        TEST(memory_helpers_check_their_sizes),
    };

    return cmocka_run_group_tests_name("io", tests, NULL, NULL);
}
