/* The loops around the port's raw calls. A call that is interrupted, or that moves nothing, is made
 * again, but not for ever: a system that only answers EINTR shows as an error, not as a hang. */
#include "base/io.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

enum { ATTEMPTS_MAX = 100, SECTOR_MIN = 512, SECTOR_MAX = 4096, READ_CHUNK = 65536, NAME_MAX_ = 255 };

static const uint32_t file_mode = 0600;

/* Calls again while interrupted; `rc` is the result of the last call. */
#define RETRY(rc, call)                                                                                                \
    do {                                                                                                               \
        int attempts_ = 0;                                                                                             \
        do {                                                                                                           \
            (rc) = (call);                                                                                             \
        } while ((rc) == -EINTR && ++attempts_ < ATTEMPTS_MAX);                                                        \
    } while (0)

static dbk_result fail_call(dbk_error *err, int64_t rc, const char *what, const char *name)
{
    dbk_result code = dbk_result_of_errno((int)rc);

    code = dbk_fail_os(err, code, (int)rc, "cannot %s '%s'", what, name);
    if (code == DBK_NO_SPACE) dbk_error_hint(err, "free some space on the disk and try again");
    if (rc == -ELOOP) dbk_error_hint(err, "it is a symbolic link, which is never followed here");
    return code;
}

dbk_result dbk_io_open_dir(const dbk_port *port, dbk_dir *parent, const char *name, int flags, dbk_dir **out,
                           dbk_error *err)
{
    int rc;

    *out = NULL;
    RETRY(rc, port->open_dir(port->ctx, parent, name, flags, out));
    return rc == 0 ? DBK_OK : fail_call(err, rc, "open directory", name);
}

dbk_result dbk_io_open(const dbk_port *port, dbk_dir *dir, const char *name, int flags, dbk_file **out, dbk_error *err)
{
    int rc;

    *out = NULL;
    RETRY(rc, port->open_file(port->ctx, dir, name, flags, file_mode, out));
    if (rc == 0) return DBK_OK;
    return fail_call(err, rc, flags & DBK_OPEN_EXCLUSIVE ? "create" : "open", name);
}

/* The unit in which a transfer may go on: that of direct I/O if this may be such a one (a sector's
 * multiple in all respects), else 1. Going on in the middle of a sector would fail with EINVAL. */
static size_t unit_of(const void *memory, size_t size, uint64_t offset)
{
    uint64_t bits = (uint64_t)(uintptr_t)memory | size | offset | SECTOR_MAX;
    uint64_t unit = bits & (~bits + 1);

    return unit < SECTOR_MIN ? 1 : (size_t)unit;
}

/* Whether the file ends at `offset`: asked where a direct read stopped inside a sector, since there
 * is no reading on from there to be told so. */
static int at_end(const dbk_port *port, dbk_file *file, uint64_t offset, bool *yes)
{
    dbk_identity identity;
    int rc = port->identify_file(port->ctx, file, &identity);

    *yes = rc == 0 && offset >= identity.size_bytes;
    return rc;
}

dbk_result dbk_io_read(const dbk_port *port, dbk_file *file, const char *name, uint64_t offset, void *out, size_t size,
                       size_t *got, dbk_error *err)
{
    size_t unit = unit_of(out, size, offset), done = 0;
    uint8_t *to = out;
    int attempts = 0;

    *got = 0;
    while (done < size) {
        int64_t rc = port->pread(port->ctx, file, to + done, size - done, offset + done);
        if (rc < 0 && rc != -EINTR) return fail_call(err, rc, "read", name);
        if (rc == 0) break;
        size_t count = rc > 0 ? (size_t)rc : 0;
        assert(count <= size - done);
        if (count % unit) {
            bool end;
            int asked = at_end(port, file, offset + done + count, &end);
            if (asked < 0) return fail_call(err, asked, "read", name);
            if (end) {
                done += count;
                break;
            }
            count -= count % unit;
        }
        done += count;
        attempts = count ? 0 : attempts + 1;
        if (attempts == ATTEMPTS_MAX) return fail_call(err, rc < 0 ? rc : -EIO, "read", name);
    }
    *got = done;
    return DBK_OK;
}

dbk_result dbk_io_write(const dbk_port *port, dbk_file *file, const char *name, uint64_t offset, const void *data,
                        size_t size, dbk_error *err)
{
    size_t unit = unit_of(data, size, offset), done = 0;
    const uint8_t *from = data;
    int attempts = 0;

    while (done < size) {
        int64_t rc = port->pwrite(port->ctx, file, from + done, size - done, offset + done);
        if (rc < 0 && rc != -EINTR) return fail_call(err, rc, "write", name);
        size_t count = rc > 0 ? (size_t)rc : 0;
        assert(count <= size - done);
        count -= count % unit;
        done += count;
        attempts = count ? 0 : attempts + 1;
        if (attempts == ATTEMPTS_MAX) return fail_call(err, rc < 0 ? rc : -EIO, "write", name);
    }
    return DBK_OK;
}

/* An interrupted sync has reported no failed write yet, so asking again loses nothing; any other
 * failure is final for the file and must not be tried again by anyone (R12). */
dbk_result dbk_io_sync(const dbk_port *port, dbk_file *file, const char *name, dbk_error *err)
{
    int rc;

    RETRY(rc, port->sync_file(port->ctx, file));
    return rc == 0 ? DBK_OK : fail_call(err, rc, "sync", name);
}

dbk_result dbk_io_sync_dir(const dbk_port *port, dbk_dir *dir, const char *name, dbk_error *err)
{
    int rc;

    RETRY(rc, port->sync_dir(port->ctx, dir));
    return rc == 0 ? DBK_OK : fail_call(err, rc, "sync directory", name);
}

dbk_result dbk_io_size(const dbk_port *port, dbk_file *file, const char *name, uint64_t *size, dbk_error *err)
{
    dbk_identity identity;
    int rc;

    RETRY(rc, port->identify_file(port->ctx, file, &identity));
    if (rc != 0) return fail_call(err, rc, "find the size of", name);
    *size = identity.size_bytes;
    return DBK_OK;
}

static dbk_result fail_too_big(dbk_error *err, const char *name, size_t limit)
{
    return dbk_fail(err, DBK_TOO_BIG, "'%s' is over the limit of %zu bytes", name, limit);
}

/* Reads to the end rather than to the size found before: the file may be growing. */
static dbk_result read_all(const dbk_port *port, dbk_file *file, const char *name, size_t limit, dbk_buffer *out,
                           dbk_error *err)
{
    uint64_t size;
    size_t chunk, got;
    dbk_result rc = dbk_io_size(port, file, name, &size, err);

    if (rc < 0) return rc;
    if (size > limit) return fail_too_big(err, name, limit);
    chunk = (size_t)size + 1;
    do {
        uint8_t *to = dbk_buffer_extend(out, chunk);
        if (!to) return dbk_fail(err, DBK_NO_MEMORY, "cannot read '%s': out of memory", name);
        out->size -= chunk;
        rc = dbk_io_read(port, file, name, out->size, to, chunk, &got, err);
        if (rc < 0) return rc;
        out->size += got;
        if (out->size > limit) return fail_too_big(err, name, limit);
        if (got < chunk) return DBK_OK;
        chunk = READ_CHUNK;
    } while (true);
}

dbk_result dbk_io_read_file(const dbk_port *port, dbk_dir *dir, const char *name, size_t limit, dbk_buffer *out,
                            dbk_error *err)
{
    dbk_file *file;
    dbk_result rc;

    dbk_buffer_clear(out);
    rc = dbk_io_open(port, dir, name, DBK_OPEN_READ, &file, err);
    if (rc < 0) return rc;
    rc = read_all(port, file, name, limit, out, err);
    port->close_file(port->ctx, file);
    return rc;
}

/* A file of that name is left from a replacement that was cut short: nothing else makes one. It is
 * removed and not opened, since its name could lead to a file with other links. */
static dbk_result create_temporary(const dbk_port *port, dbk_dir *dir, const char *name, dbk_file **out, dbk_error *err)
{
    const int flags = DBK_OPEN_WRITE | DBK_OPEN_CREATE | DBK_OPEN_EXCLUSIVE;
    dbk_result rc = dbk_io_open(port, dir, name, flags, out, err);
    int unlinked;

    if (rc != DBK_EXISTS) return rc;
    RETRY(unlinked, port->unlink(port->ctx, dir, name));
    if (unlinked < 0 && unlinked != -ENOENT) return fail_call(err, unlinked, "remove", name);
    return dbk_io_open(port, dir, name, flags, out, err);
}

/* The content is durable under the temporary name before the rename, or a crash could leave `name`
 * on empty blocks; the rename is durable before success is reported. */
dbk_result dbk_io_replace_file_if(const dbk_port *port, dbk_dir *dir, const char *name, dbk_slice content,
                                  bool (*may)(void *arg), void *arg, dbk_error *err)
{
    char temporary[NAME_MAX_ + 1];
    dbk_file *file;
    dbk_result rc;
    int renamed;

    if ((size_t)snprintf(temporary, sizeof(temporary), "%s.tmp", name) >= sizeof(temporary)) {
        return dbk_fail(err, DBK_TOO_BIG, "cannot replace '%s': the name is too long", name);
    }
    rc = create_temporary(port, dir, temporary, &file, err);
    if (rc < 0) goto fail;
    rc = dbk_io_write(port, file, temporary, 0, content.data, content.size, err);
    if (rc == DBK_OK) rc = dbk_io_sync(port, file, temporary, err);
    port->close_file(port->ctx, file);
    if (rc < 0) goto remove;
    if (may && !may(arg)) {
        (void)port->unlink(port->ctx, dir, temporary);
        return DBK_NONE;
    }
    RETRY(renamed, port->rename(port->ctx, dir, temporary, dir, name));
    if (renamed < 0) {
        rc = fail_call(err, renamed, "rename", temporary);
        goto remove;
    }
    rc = dbk_io_sync_dir(port, dir, ".", err);
    if (rc < 0) goto fail;
    return DBK_OK;
remove:
    (void)port->unlink(port->ctx, dir, temporary);
fail:
    return dbk_error_wrap(err, rc, "cannot replace '%s'", name);
}

dbk_result dbk_io_replace_file(const dbk_port *port, dbk_dir *dir, const char *name, dbk_slice content, dbk_error *err)
{
    return dbk_io_replace_file_if(port, dir, name, content, NULL, NULL, err);
}

void dbk_identity_text(const dbk_identity *identity, char out[DBK_IDENTITY_TEXT_SIZE])
{
    if (identity->created_ns) (void)snprintf(out, DBK_IDENTITY_TEXT_SIZE, "t%lld", (long long)identity->created_ns);
    else (void)snprintf(out, DBK_IDENTITY_TEXT_SIZE, "i%llu", (unsigned long long)identity->inode);
}

void *dbk_alloc_zero(const dbk_port *port, size_t count, size_t size)
{
    size_t bytes;
    void *memory;

    if (__builtin_mul_overflow(count, size, &bytes)) return NULL;
    memory = dbk_alloc(port, bytes);
    if (memory) memset(memory, 0, bytes);
    return memory;
}

char *dbk_copy_text(const dbk_port *port, const char *text)
{
    size_t size = strlen(text) + 1;
    char *copy = dbk_alloc(port, size);

    if (copy) memcpy(copy, text, size);
    return copy;
}

const char *dbk_io_environment(const char *name)
{
    return getenv(name);
}
