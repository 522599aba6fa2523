/* The file layer's names: opening, removing, asking; clock and randomness. */
#include "tests/support/simvfs.h"

#include <errno.h>
#include <stdio.h>

#include "tests/support/simvfs_internal.h"

static simvfs *self_of(sqlite3_vfs *base)
{
    return base->pAppData;
}

int simvfs_open_parent(simvfs *vfs, const char *path, dbk_dir **dir, const char **name)
{
    char parent[SIMVFS_PATH_MAX] = "/";
    const char *slash = strrchr(path, '/');
    if (!slash) return -EINVAL; /* full paths have one */
    if (slash > path) {
        memcpy(parent, path, (size_t)(slash - path));
        parent[slash - path] = '\0';
    }
    *name = slash + 1;
    int failed;
    do {
        failed = vfs->port->open_dir(vfs->port->ctx, NULL, parent, 0, dir);
    } while (failed == -EINTR);
    return failed;
}

int simvfs_sync_parent(simvfs *vfs, const char *path)
{
    dbk_dir *dir = NULL;
    const char *name;
    int failed = simvfs_open_parent(vfs, path, &dir, &name);
    if (failed) return failed;
    do {
        failed = vfs->port->sync_dir(vfs->port->ctx, dir);
    } while (failed == -EINTR);
    vfs->port->close_dir(vfs->port->ctx, dir);
    return failed;
}

static int full_path(sqlite3_vfs *base, const char *name, int size, char *out)
{
    const char *root = name[0] == '/' ? "" : self_of(base)->root;
    size_t length = strlen(root);
    const char *between = name[0] == '/' || (length > 0 && root[length - 1] == '/') ? "" : "/";
    while (strncmp(name, "./", 2) == 0) name += 2;
    int written = snprintf(out, (size_t)size, "%s%s%s", root, between, name);
    return written < 0 || written >= size ? SQLITE_CANTOPEN : SQLITE_OK;
}

static int port_flags(int flags)
{
    int out = DBK_OPEN_READ;
    if (flags & SQLITE_OPEN_READWRITE) out |= DBK_OPEN_WRITE;
    if (flags & SQLITE_OPEN_CREATE) out |= DBK_OPEN_CREATE;
    if (flags & SQLITE_OPEN_EXCLUSIVE) out |= DBK_OPEN_EXCLUSIVE;
    return out;
}

static int open_in(simvfs *vfs, dbk_dir *dir, const char *name, int flags, dbk_file **out)
{
    const dbk_port *port = vfs->port;
    int wanted = port_flags(flags), failed = -ENOENT;
    if (!(wanted & DBK_OPEN_EXCLUSIVE)) {
        failed = port->open_file(port->ctx, dir, name, wanted & ~DBK_OPEN_CREATE, 0600, out);
    }
    if (failed == -ENOENT && (wanted & DBK_OPEN_CREATE)) {
        failed = port->open_file(port->ctx, dir, name, wanted, 0600, out);
    }
    return failed;
}

static int open_path(simvfs_file *file, int flags)
{
    const dbk_port *port = file->vfs->port;
    dbk_dir *dir = NULL;
    const char *name;
    int failed = simvfs_open_parent(file->vfs, file->path, &dir, &name);
    if (failed) return failed;
    do {
        failed = open_in(file->vfs, dir, name, flags, &file->file);
    } while (failed == -EINTR);
    /* As SQLite's own layer does: also for a log that is there. It may stand where one was deleted whose
     * name a power loss would bring back. */
    file->syncs_directory = (flags & SQLITE_OPEN_CREATE) &&
                            (flags & (SQLITE_OPEN_MAIN_JOURNAL | SQLITE_OPEN_WAL | SQLITE_OPEN_SUPER_JOURNAL));
    if (!failed && (flags & SQLITE_OPEN_DELETEONCLOSE)) {
        failed = port->unlink(port->ctx, dir, name);
        if (failed) port->close_file(port->ctx, file->file);
    }
    port->close_dir(port->ctx, dir);
    return failed;
}

static int open_result(int failed)
{
    return failed == -ENOMEM ? SQLITE_NOMEM : SQLITE_CANTOPEN;
}

static int vfs_randomness(sqlite3_vfs *base, int size, char *out)
{
    const dbk_port *port = self_of(base)->port;
    memset(out, 0, (size_t)size);
    return port->random(port->ctx, out, (size_t)size) == 0 ? size : 0;
}

static int vfs_open(sqlite3_vfs *base, const char *name, sqlite3_file *out, int flags, int *got)
{
    simvfs_file *file = (simvfs_file *)out;
    memset(file, 0, sizeof *file); /* no methods: SQLite does not close what failed to open */
    file->vfs = self_of(base);
    if (name) {
        snprintf(file->path, sizeof file->path, "%s", name);
    } else {
        char temporary[32];
        uint64_t number = 0;
        if (vfs_randomness(base, sizeof number, (char *)&number) == 0) return SQLITE_CANTOPEN;
        snprintf(temporary, sizeof temporary, "temporary-%016llx", (unsigned long long)number);
        int failed = full_path(base, temporary, sizeof file->path, file->path);
        if (failed) return failed;
        flags |= SQLITE_OPEN_DELETEONCLOSE;
    }
    if (flags & SQLITE_OPEN_MAIN_DB) {
        file->shared = simvfs_shared_take(file->vfs, file->path);
        if (!file->shared) return SQLITE_NOMEM;
    }
    int failed = open_path(file, flags);
    if (failed) {
        if (file->shared) simvfs_shared_drop(file->vfs, file->shared);
        return open_result(failed);
    }
    if (got) *got = flags;
    file->base.pMethods = simvfs_methods();
    return SQLITE_OK;
}

static int vfs_delete(sqlite3_vfs *base, const char *path, int sync_directory)
{
    simvfs *vfs = self_of(base);
    dbk_dir *dir = NULL;
    const char *name;
    int failed = simvfs_open_parent(vfs, path, &dir, &name);
    if (failed) return failed == -ENOENT ? SQLITE_IOERR_DELETE_NOENT : SQLITE_IOERR_DELETE;
    do {
        failed = vfs->port->unlink(vfs->port->ctx, dir, name);
    } while (failed == -EINTR);
    vfs->port->close_dir(vfs->port->ctx, dir);
    if (failed) return failed == -ENOENT ? SQLITE_IOERR_DELETE_NOENT : SQLITE_IOERR_DELETE;
    if (!sync_directory) return SQLITE_OK;
    return simvfs_sync_parent(vfs, path) ? SQLITE_IOERR_DIR_FSYNC : SQLITE_OK;
}

/* As on Unix, an empty file does not count as existing: such a journal holds nothing. */
static int vfs_access(sqlite3_vfs *base, const char *path, int question, int *out)
{
    simvfs *vfs = self_of(base);
    dbk_dir *dir = NULL;
    const char *name;
    dbk_identity found = {0};
    *out = 0;
    int failed = simvfs_open_parent(vfs, path, &dir, &name);
    if (!failed) {
        failed = vfs->port->identify(vfs->port->ctx, dir, name, &found);
        vfs->port->close_dir(vfs->port->ctx, dir);
    }
    if (failed == -ENOENT) return SQLITE_OK;
    if (failed) return SQLITE_IOERR_ACCESS;
    *out = question != SQLITE_ACCESS_EXISTS || found.kind != DBK_IS_FILE || found.size_bytes > 0;
    return SQLITE_OK;
}

/* With one thread nothing changes while one sleeps. */
static int vfs_sleep(sqlite3_vfs *base, int microseconds)
{
    (void)base;
    return microseconds;
}

/* Milliseconds since noon of 24 November 4714 BC, the beginning of Julian days. */
static int vfs_time_ms(sqlite3_vfs *base, sqlite3_int64 *out)
{
    const dbk_port *port = self_of(base)->port;
    *out = port->wall_ms(port->ctx) + INT64_C(210866760000000);
    return SQLITE_OK;
}

static int vfs_time_days(sqlite3_vfs *base, double *out)
{
    sqlite3_int64 ms;
    vfs_time_ms(base, &ms);
    *out = (double)ms / 86400000.0;
    return SQLITE_OK;
}

static int vfs_last_error(sqlite3_vfs *base, int size, char *out)
{
    (void)base, (void)size, (void)out;
    return 0;
}

simvfs *simvfs_register(const char *name, const dbk_port *port, const simvfs_options *options)
{
    const char *root = options && options->root ? options->root : "/";
    simvfs *vfs = dbk_alloc_zero(port, 1, sizeof *vfs);
    if (!vfs) return NULL;
    vfs->port = port;
    vfs->powersafe_overwrite = options && options->powersafe_overwrite;
    snprintf(vfs->root, sizeof vfs->root, "%s", root);
    snprintf(vfs->name, sizeof vfs->name, "%s", name);
    vfs->base = (sqlite3_vfs){.iVersion = 2,
                              .szOsFile = sizeof(simvfs_file),
                              .mxPathname = SIMVFS_PATH_MAX - 16, /* room for "-journal" */
                              .zName = vfs->name,
                              .pAppData = vfs,
                              .xOpen = vfs_open,
                              .xDelete = vfs_delete,
                              .xAccess = vfs_access,
                              .xFullPathname = full_path,
                              .xRandomness = vfs_randomness,
                              .xSleep = vfs_sleep,
                              .xCurrentTime = vfs_time_days,
                              .xGetLastError = vfs_last_error,
                              .xCurrentTimeInt64 = vfs_time_ms};
    if (sqlite3_vfs_register(&vfs->base, 0) == SQLITE_OK) return vfs;
    dbk_free(port, vfs);
    return NULL;
}

void simvfs_unregister(simvfs *vfs)
{
    if (!vfs) return;
    sqlite3_vfs_unregister(&vfs->base);
    dbk_free(vfs->port, vfs);
}
