/* The shim's names: registering, opening, what is passed on. */
#include <stdio.h>

#include "projector/model/coalesce_internal.h"

static sqlite3_vfs *below(sqlite3_vfs *base)
{
    return ((dbk_coalescer *)base)->below;
}

/* The WAL's buffer comes first: what is opened below would have to be closed again. */
static int open_below(dbk_coalescer *self, dbk_coalesced_file *file, const char *name, int flags, int *got)
{
    memset(file, 0, (size_t)self->base.szOsFile);
    file->port = self->port;
    file->below = (sqlite3_file *)(file + 1);
    if (flags & SQLITE_OPEN_WAL) {
        file->kept = dbk_alloc(self->port, DBK_COALESCED_BYTES);
        if (!file->kept) return SQLITE_NOMEM;
    }
    int rc = self->below->xOpen(self->below, name, file->below, flags, got);
    if (rc == SQLITE_OK) return SQLITE_OK;
    if (file->below->pMethods) file->below->pMethods->xClose(file->below);
    dbk_free(self->port, file->kept);
    return rc;
}

static int vfs_open(sqlite3_vfs *base, const char *name, sqlite3_file *out, int flags, int *got)
{
    dbk_coalescer *self = (dbk_coalescer *)base;
    dbk_coalesced_file *file = (dbk_coalesced_file *)out;

    if (!(flags & (SQLITE_OPEN_MAIN_DB | SQLITE_OPEN_WAL)))
        return self->below->xOpen(self->below, name, out, flags, got);
    int rc = open_below(self, file, name, flags, got);
    if (rc != SQLITE_OK) return rc;
    if (flags & SQLITE_OPEN_MAIN_DB) {
        dbk_coalesce_database(file);
        return SQLITE_OK;
    }
    file->other = (dbk_coalesced_file *)sqlite3_database_file_object(name);
    file->other->other = file;
    dbk_coalesce_wal(file);
    return SQLITE_OK;
}

static int vfs_delete(sqlite3_vfs *base, const char *name, int sync_directory)
{
    return below(base)->xDelete(below(base), name, sync_directory);
}

static int vfs_access(sqlite3_vfs *base, const char *name, int question, int *out)
{
    return below(base)->xAccess(below(base), name, question, out);
}

static int vfs_full_path(sqlite3_vfs *base, const char *name, int size, char *out)
{
    return below(base)->xFullPathname(below(base), name, size, out);
}

static void *vfs_library_open(sqlite3_vfs *base, const char *name)
{
    return below(base)->xDlOpen(below(base), name);
}

static void vfs_library_error(sqlite3_vfs *base, int size, char *out)
{
    below(base)->xDlError(below(base), size, out);
}

static void (*vfs_library_symbol(sqlite3_vfs *base, void *library, const char *name))(void)
{
    return below(base)->xDlSym(below(base), library, name);
}

static void vfs_library_close(sqlite3_vfs *base, void *library)
{
    below(base)->xDlClose(below(base), library);
}

static int vfs_randomness(sqlite3_vfs *base, int size, char *out)
{
    return below(base)->xRandomness(below(base), size, out);
}

static int vfs_sleep(sqlite3_vfs *base, int microseconds)
{
    return below(base)->xSleep(below(base), microseconds);
}

static int vfs_time_days(sqlite3_vfs *base, double *out)
{
    return below(base)->xCurrentTime(below(base), out);
}

static int vfs_last_error(sqlite3_vfs *base, int size, char *out)
{
    return below(base)->xGetLastError(below(base), size, out);
}

static int vfs_time_ms(sqlite3_vfs *base, sqlite3_int64 *out)
{
    return below(base)->xCurrentTimeInt64(below(base), out);
}

/* Version 3 would be replacing the system's calls, which is asked of the layer that makes them. */
static void fill(dbk_coalescer *self)
{
    const sqlite3_vfs *from = self->below;
    self->base = (sqlite3_vfs){.iVersion = from->iVersion < 2 ? from->iVersion : 2,
                               .szOsFile = (int)sizeof(dbk_coalesced_file) + from->szOsFile,
                               .mxPathname = from->mxPathname,
                               .zName = self->name,
                               .xOpen = vfs_open,
                               .xDelete = vfs_delete,
                               .xAccess = vfs_access,
                               .xFullPathname = vfs_full_path,
                               .xDlOpen = from->xDlOpen ? vfs_library_open : NULL,
                               .xDlError = from->xDlError ? vfs_library_error : NULL,
                               .xDlSym = from->xDlSym ? vfs_library_symbol : NULL,
                               .xDlClose = from->xDlClose ? vfs_library_close : NULL,
                               .xRandomness = vfs_randomness,
                               .xSleep = vfs_sleep,
                               .xCurrentTime = vfs_time_days,
                               .xGetLastError = from->xGetLastError ? vfs_last_error : NULL,
                               .xCurrentTimeInt64 = from->iVersion >= 2 ? vfs_time_ms : NULL};
}

/* The name is the address: no other that is registered has it. */
dbk_result dbk_coalescer_new(const dbk_port *port, const char *name, dbk_coalescer **out, dbk_error *err)
{
    *out = NULL;
    sqlite3_vfs *found = sqlite3_vfs_find(name);
    if (!found) return DBK_OK;
    dbk_coalescer *self = dbk_alloc_zero(port, 1, sizeof *self);
    if (!self) return dbk_fail(err, DBK_NO_MEMORY, "cannot open the model: out of memory");
    self->port = port;
    self->below = found;
    snprintf(self->name, sizeof self->name, "coalesce-%p", (void *)self);
    fill(self);
    if (sqlite3_vfs_register(&self->base, 0) == SQLITE_OK) {
        *out = self;
        return DBK_OK;
    }
    dbk_free(port, self);
    return dbk_fail(err, DBK_NO_MEMORY, "cannot open the model: out of memory");
}

const char *dbk_coalescer_name(const dbk_coalescer *coalescer)
{
    return coalescer->name;
}

void dbk_coalescer_free(dbk_coalescer *coalescer)
{
    if (!coalescer) return;
    (void)sqlite3_vfs_unregister(&coalescer->base);
    dbk_free(coalescer->port, coalescer);
}
