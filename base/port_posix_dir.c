/* Directories of the POSIX port. Everything goes through an open directory's descriptor, so that a
 * directory which is renamed or replaced while in use cannot redirect a later call. */
#include "base/port_posix.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

enum { LOWEST_FD = 3, DIRECTORY_MODE = 0700, SECTOR_DEFAULT = 4096 };

/* A library that prints to descriptor 2 must never hit a store file that was given this number
 * because the program was started without it (F42). */
int dbk_posix_openat(int dir_fd, const char *name, int flags, uint32_t mode)
{
    int fd = openat(dir_fd, name, flags | O_CLOEXEC | O_NOCTTY, (mode_t)mode);
    int low = fd, failed;

    if (fd < 0) return -errno;
    if (fd >= LOWEST_FD) return fd;
    fd = fcntl(low, F_DUPFD_CLOEXEC, LOWEST_FD);
    failed = fd < 0 ? errno : 0;
    (void)close(low);
    return failed ? -failed : fd;
}

bool dbk_posix_name_valid(const char *name)
{
    return name[0] != '\0' && !strchr(name, '/') && strcmp(name, "..") != 0;
}

int dbk_posix_open_dir(void *ctx, dbk_dir *parent, const char *name, int flags, dbk_dir **out)
{
    int parent_fd = parent ? parent->fd : AT_FDCWD, fd;
    dbk_dir *dir;

    (void)ctx;
    *out = NULL;
    if (parent && !dbk_posix_name_valid(name)) return -EINVAL;
    if ((flags & DBK_OPEN_DIRECTORY) && mkdirat(parent_fd, name, DIRECTORY_MODE) != 0 && errno != EEXIST) {
        return -errno;
    }
    fd = dbk_posix_openat(parent_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0);
    if (fd < 0) return fd;
    dir = malloc(sizeof(*dir));
    if (!dir) {
        (void)close(fd);
        return -ENOMEM;
    }
    dir->fd = fd;
    *out = dir;
    return 0;
}

/* A directory's descriptor has no writes to lose: what close says does not matter. */
void dbk_posix_close_dir(void *ctx, dbk_dir *dir)
{
    (void)ctx;
    (void)close(dir->fd);
    free(dir);
}

int dbk_posix_sync_dir(void *ctx, dbk_dir *dir)
{
    (void)ctx;
    return fsync(dir->fd) == 0 ? 0 : -errno;
}

static int list_stream(DIR *stream, dbk_list_fn each, void *arg)
{
    for (;;) {
        errno = 0;
        const struct dirent *entry = readdir(stream);
        if (!entry) return -errno;
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
        int stop = each(arg, entry->d_name);
        if (stop) return stop;
    }
}

/* Opens the directory anew: a duplicate would share its reading position with other threads. */
int dbk_posix_list(void *ctx, dbk_dir *dir, dbk_list_fn each, void *arg)
{
    int fd = dbk_posix_openat(dir->fd, ".", O_RDONLY | O_DIRECTORY, 0), rc;
    DIR *stream;

    (void)ctx;
    if (fd < 0) return fd;
    stream = fdopendir(fd);
    if (!stream) {
        rc = -errno;
        (void)close(fd);
        return rc;
    }
    rc = list_stream(stream, each, arg);
    (void)closedir(stream);
    return rc;
}

static void identity_of(const struct statx *from, dbk_identity *out)
{
    bool has_birth = (from->stx_mask & STATX_BTIME) != 0;

    *out = (dbk_identity){
        .device = makedev(from->stx_dev_major, from->stx_dev_minor),
        .inode = from->stx_ino,
        .links = from->stx_nlink,
        .size_bytes = from->stx_size,
        .modified_ms = (int64_t)from->stx_mtime.tv_sec * 1000 + from->stx_mtime.tv_nsec / 1000000,
        .created_ns = has_birth ? (int64_t)from->stx_btime.tv_sec * 1000000000 + from->stx_btime.tv_nsec : 0,
        .kind = S_ISREG(from->stx_mode)   ? DBK_IS_FILE
                : S_ISDIR(from->stx_mode) ? DBK_IS_DIRECTORY
                                          : DBK_IS_OTHER,
        .mode = from->stx_mode & 07777,
        .owner = from->stx_uid,
    };
}

static int identify_at(int fd, const char *name, int flags, dbk_identity *out)
{
    struct statx found;

    if (statx(fd, name, flags, STATX_BASIC_STATS | STATX_BTIME, &found) != 0) return -errno;
    identity_of(&found, out);
    return 0;
}

int dbk_posix_identify(void *ctx, dbk_dir *dir, const char *name, dbk_identity *out)
{
    (void)ctx;
    if (!dbk_posix_name_valid(name)) return -EINVAL;
    return identify_at(dir->fd, name, AT_SYMLINK_NOFOLLOW, out);
}

int dbk_posix_identify_dir(void *ctx, dbk_dir *dir, dbk_identity *out)
{
    (void)ctx;
    return identify_at(dir->fd, "", AT_EMPTY_PATH, out);
}

int dbk_posix_identify_file(void *ctx, dbk_file *file, dbk_identity *out)
{
    (void)ctx;
    return identify_at(file->fd, "", AT_EMPTY_PATH, out);
}

int dbk_posix_path_of(void *ctx, dbk_dir *dir, char *out, size_t size)
{
    char link[32];

    (void)ctx;
    (void)snprintf(link, sizeof(link), "/proc/self/fd/%d", dir->fd);
    ssize_t length = readlink(link, out, size);
    if (length < 0) return -errno;
    if ((size_t)length >= size) return -ENAMETOOLONG;
    out[length] = '\0';
    return 0;
}

static uint32_t read_number(const char *path)
{
    int fd = dbk_posix_openat(AT_FDCWD, path, O_RDONLY, 0);
    char text[16] = "";

    if (fd < 0) return 0;
    if (read(fd, text, sizeof(text) - 1) <= 0) text[0] = '\0';
    (void)close(fd);
    return (uint32_t)strtoul(text, NULL, 10);
}

/* The logical block size of the disk below. A partition has none of its own: the disk's entry is one
 * up. File systems without a disk of their own (tmpfs, overlayfs, btrfs) take the default, of which
 * every smaller unit is a divisor. */
static uint32_t sector_bytes(int fd)
{
    static const char *const places[] = {"queue", "../queue"};
    struct stat found;
    char path[96];

    if (fstat(fd, &found) != 0) return SECTOR_DEFAULT;
    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        (void)snprintf(path, sizeof(path), "/sys/dev/block/%u:%u/%s/logical_block_size", major(found.st_dev),
                       minor(found.st_dev), places[i]);
        uint32_t bytes = read_number(path);
        if (bytes >= 512 && bytes <= 65536 && (bytes & (bytes - 1)) == 0) return bytes;
    }
    return SECTOR_DEFAULT;
}

int dbk_posix_space(void *ctx, dbk_dir *dir, dbk_space *out)
{
    struct statvfs figures;
    struct statfs kind;

    (void)ctx;
    if (fstatvfs(dir->fd, &figures) != 0 || fstatfs(dir->fd, &kind) != 0) return -errno;
    out->free_bytes = (uint64_t)figures.f_bavail * figures.f_frsize;
    out->total_bytes = (uint64_t)figures.f_blocks * figures.f_frsize;
    out->sector_bytes = sector_bytes(dir->fd);
    dbk_posix_fs_kind((uint32_t)kind.f_type, &out->fs_name, &out->suits_live_store);
    return 0;
}

int dbk_posix_make_dir(void *ctx, dbk_dir *dir, const char *name, uint32_t mode)
{
    (void)ctx;
    if (!dbk_posix_name_valid(name)) return -EINVAL;
    return mkdirat(dir->fd, name, (mode_t)mode) == 0 ? 0 : -errno;
}

int dbk_posix_remove_dir(void *ctx, dbk_dir *dir, const char *name)
{
    (void)ctx;
    if (!dbk_posix_name_valid(name)) return -EINVAL;
    return unlinkat(dir->fd, name, AT_REMOVEDIR) == 0 ? 0 : -errno;
}

int dbk_posix_rename(void *ctx, dbk_dir *from_dir, const char *from, dbk_dir *to_dir, const char *to)
{
    (void)ctx;
    if (!dbk_posix_name_valid(from) || !dbk_posix_name_valid(to)) return -EINVAL;
    return renameat(from_dir->fd, from, to_dir->fd, to) == 0 ? 0 : -errno;
}

int dbk_posix_unlink(void *ctx, dbk_dir *dir, const char *name)
{
    (void)ctx;
    if (!dbk_posix_name_valid(name)) return -EINVAL;
    return unlinkat(dir->fd, name, 0) == 0 ? 0 : -errno;
}
