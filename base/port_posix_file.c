/* The port on POSIX: open files. Each function is one system call and answers as it does, with EINTR and short
 * counts, over which base/io.c goes on. Locks belong to the open file (OFD), not to the process, so that two handles
 * of one process shut each other out. */
#include "base/port_posix.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* O_NONBLOCK: opening a FIFO that was put in a file's place must not wait for its other end. It has
 * no effect on regular files. */
static int open_flags(int flags)
{
    int out = O_NOFOLLOW | O_NONBLOCK;

    assert(flags & (DBK_OPEN_READ | DBK_OPEN_WRITE));
    if ((flags & DBK_OPEN_READ) && (flags & DBK_OPEN_WRITE)) {
        out |= O_RDWR;
    } else {
        out |= flags & DBK_OPEN_WRITE ? O_WRONLY : O_RDONLY;
    }
    if (flags & DBK_OPEN_CREATE) out |= O_CREAT;
    if (flags & DBK_OPEN_EXCLUSIVE) out |= O_EXCL;
    if (flags & DBK_OPEN_DIRECT) out |= O_DIRECT | O_DSYNC;
    return out;
}

static int refuse_non_files(int fd)
{
    struct stat found;

    if (fstat(fd, &found) != 0) return -errno;
    if (S_ISDIR(found.st_mode)) return -EISDIR;
    return S_ISREG(found.st_mode) ? 0 : -ENXIO;
}

int dbk_posix_open_file(void *ctx, dbk_dir *dir, const char *name, int flags, uint32_t mode, dbk_file **out)
{
    dbk_file *file = NULL;
    int fd, rc;

    (void)ctx;
    *out = NULL;
    if (!dbk_posix_name_valid(name)) return -EINVAL;
    fd = dbk_posix_openat(dir->fd, name, open_flags(flags), mode);
    if (fd < 0) return fd;
    rc = refuse_non_files(fd);
    if (rc == 0) {
        file = malloc(sizeof(*file));
        if (!file) rc = -ENOMEM;
    }
    if (rc != 0) {
        (void)close(fd);
        return rc;
    }
    file->fd = fd;
    *out = file;
    return 0;
}

/* What was written counts as durable only after a sync, which has reported its own failures: what
 * close says adds nothing, and on Linux the descriptor is gone even after an error. */
void dbk_posix_close_file(void *ctx, dbk_file *file)
{
    (void)ctx;
    (void)close(file->fd);
    free(file);
}

int64_t dbk_posix_pread(void *ctx, dbk_file *file, void *out, size_t size, uint64_t offset)
{
    ssize_t count;

    (void)ctx;
    if (offset > INT64_MAX) return -EINVAL;
    count = pread(file->fd, out, size, (off_t)offset);
    return count < 0 ? -errno : count;
}

int64_t dbk_posix_pwrite(void *ctx, dbk_file *file, const void *data, size_t size, uint64_t offset)
{
    ssize_t count;

    (void)ctx;
    if (offset > INT64_MAX) return -EINVAL;
    count = pwrite(file->fd, data, size, (off_t)offset);
    return count < 0 ? -errno : count;
}

int dbk_posix_sync_file(void *ctx, dbk_file *file)
{
    (void)ctx;
    return fdatasync(file->fd) == 0 ? 0 : -errno;
}

int dbk_posix_truncate(void *ctx, dbk_file *file, uint64_t size)
{
    (void)ctx;
    if (size > INT64_MAX) return -EINVAL;
    return ftruncate(file->fd, (off_t)size) == 0 ? 0 : -errno;
}

int dbk_posix_allocate(void *ctx, dbk_file *file, uint64_t offset, uint64_t size)
{
    (void)ctx;
    if (offset > INT64_MAX || size > INT64_MAX) return -EINVAL;
    return -posix_fallocate(file->fd, (off_t)offset, (off_t)size);
}

int dbk_posix_drop_cache(void *ctx, dbk_file *file, uint64_t offset, uint64_t size)
{
    (void)ctx;
    if (offset > INT64_MAX || size > INT64_MAX) return -EINVAL;
    return -posix_fadvise(file->fd, (off_t)offset, (off_t)size, POSIX_FADV_DONTNEED);
}

/* An open file description's lock, not a process's: it conflicts between two opens of one process
 * and is not dropped when some other descriptor of the same file is closed. */
static int set_lock(int fd, short type)
{
    struct flock whole = {.l_type = type, .l_whence = SEEK_SET, .l_start = 0, .l_len = 0};

    if (fcntl(fd, F_OFD_SETLK, &whole) == 0) return 0;
    return errno == EACCES ? -EAGAIN : -errno;
}

int dbk_posix_lock_file(void *ctx, dbk_file *file)
{
    (void)ctx;
    return set_lock(file->fd, F_WRLCK);
}

int dbk_posix_share_lock(void *ctx, dbk_file *file)
{
    (void)ctx;
    return set_lock(file->fd, F_RDLCK);
}
