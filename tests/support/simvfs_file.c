/* The file layer's contents: reads, writes, syncs. */
#include <errno.h>

#include "tests/support/simvfs_internal.h"

static int file_close(sqlite3_file *base)
{
    simvfs_file *file = (simvfs_file *)base;
    const dbk_port *port = file->vfs->port;
    simvfs_unlock(base, SQLITE_LOCK_NONE);
    simvfs_index_unmap(base, 0);
    if (file->shared) simvfs_shared_drop(file->vfs, file->shared);
    port->close_file(port->ctx, file->file);
    return SQLITE_OK;
}

static int file_read(sqlite3_file *base, void *out, int size, sqlite3_int64 offset)
{
    simvfs_file *file = (simvfs_file *)base;
    const dbk_port *port = file->vfs->port;
    size_t want = (size_t)size, done = 0;
    while (done < want) {
        int64_t got = port->pread(port->ctx, file->file, (uint8_t *)out + done, want - done, (uint64_t)offset + done);
        if (got == -EINTR) continue;
        if (got < 0) return SQLITE_IOERR_READ;
        if (got == 0) break;
        done += (size_t)got;
    }
    if (done == want) return SQLITE_OK;
    memset((uint8_t *)out + done, 0, want - done);
    return SQLITE_IOERR_SHORT_READ;
}

static int file_write(sqlite3_file *base, const void *data, int size, sqlite3_int64 offset)
{
    simvfs_file *file = (simvfs_file *)base;
    const dbk_port *port = file->vfs->port;
    size_t want = (size_t)size, done = 0;
    while (done < want) {
        int64_t put =
            port->pwrite(port->ctx, file->file, (const uint8_t *)data + done, want - done, (uint64_t)offset + done);
        if (put == -EINTR) continue;
        if (put == 0 || put == -ENOSPC || put == -EDQUOT) return SQLITE_FULL;
        if (put < 0) return SQLITE_IOERR_WRITE;
        done += (size_t)put;
    }
    return SQLITE_OK;
}

static int file_truncate(sqlite3_file *base, sqlite3_int64 size)
{
    simvfs_file *file = (simvfs_file *)base;
    const dbk_port *port = file->vfs->port;
    int failed;
    do {
        failed = port->truncate(port->ctx, file->file, (uint64_t)size);
    } while (failed == -EINTR);
    return failed ? SQLITE_IOERR_TRUNCATE : SQLITE_OK;
}

static int file_sync(sqlite3_file *base, int flags)
{
    simvfs_file *file = (simvfs_file *)base;
    const dbk_port *port = file->vfs->port;
    int failed;
    (void)flags;
    do {
        failed = port->sync_file(port->ctx, file->file);
    } while (failed == -EINTR);
    if (failed) return SQLITE_IOERR_FSYNC;
    if (!file->syncs_directory) return SQLITE_OK;
    if (simvfs_sync_parent(file->vfs, file->path)) return SQLITE_IOERR_DIR_FSYNC;
    file->syncs_directory = false;
    return SQLITE_OK;
}

static int file_size(sqlite3_file *base, sqlite3_int64 *out)
{
    simvfs_file *file = (simvfs_file *)base;
    const dbk_port *port = file->vfs->port;
    dbk_identity found;
    if (port->identify_file(port->ctx, file->file, &found)) return SQLITE_IOERR_FSTAT;
    *out = (sqlite3_int64)found.size_bytes;
    return SQLITE_OK;
}

static int file_control(sqlite3_file *base, int what, void *arg)
{
    simvfs_file *file = (simvfs_file *)base;
    switch (what) {
    case SQLITE_FCNTL_LOCKSTATE: *(int *)arg = file->level; return SQLITE_OK;
    case SQLITE_FCNTL_VFSNAME: *(char **)arg = sqlite3_mprintf("%s", file->vfs->name); return SQLITE_OK;
    default: return SQLITE_NOTFOUND;
    }
}

static int file_sector_size(sqlite3_file *base)
{
    (void)base;
    return 512;
}

static int file_characteristics(sqlite3_file *base)
{
    const simvfs_file *file = (const simvfs_file *)base;
    return file->vfs->powersafe_overwrite ? SQLITE_IOCAP_POWERSAFE_OVERWRITE : 0;
}

const sqlite3_io_methods *simvfs_methods(void)
{
    static const sqlite3_io_methods methods = {
        .iVersion = 2,
        .xClose = file_close,
        .xRead = file_read,
        .xWrite = file_write,
        .xTruncate = file_truncate,
        .xSync = file_sync,
        .xFileSize = file_size,
        .xLock = simvfs_lock,
        .xUnlock = simvfs_unlock,
        .xCheckReservedLock = simvfs_check_reserved,
        .xFileControl = file_control,
        .xSectorSize = file_sector_size,
        .xDeviceCharacteristics = file_characteristics,
        .xShmMap = simvfs_index_map,
        .xShmLock = simvfs_index_lock,
        .xShmBarrier = simvfs_index_barrier,
        .xShmUnmap = simvfs_index_unmap,
    };
    return &methods;
}
