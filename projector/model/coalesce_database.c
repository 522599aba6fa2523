/* The database file: all of it is passed on, and before the write lock goes the WAL's buffer does. */
#include <assert.h>

#include "projector/model/coalesce_internal.h"

enum { WRITE_LOCK = 0 }; /* its slot in the index */

static int database_close(sqlite3_file *base)
{
    sqlite3_file *file = dbk_file_below(base);
    return file->pMethods->xClose(file);
}

static int database_read(sqlite3_file *base, void *out, int size, sqlite3_int64 offset)
{
    sqlite3_file *file = dbk_file_below(base);
    return file->pMethods->xRead(file, out, size, offset);
}

static int database_write(sqlite3_file *base, const void *data, int size, sqlite3_int64 offset)
{
    sqlite3_file *file = dbk_file_below(base);
    return file->pMethods->xWrite(file, data, size, offset);
}

static int database_truncate(sqlite3_file *base, sqlite3_int64 size)
{
    sqlite3_file *file = dbk_file_below(base);
    return file->pMethods->xTruncate(file, size);
}

static int database_sync(sqlite3_file *base, int flags)
{
    sqlite3_file *file = dbk_file_below(base);
    return file->pMethods->xSync(file, flags);
}

static int database_size(sqlite3_file *base, sqlite3_int64 *out)
{
    sqlite3_file *file = dbk_file_below(base);
    return file->pMethods->xFileSize(file, out);
}

static int database_lock(sqlite3_file *base, int level)
{
    sqlite3_file *file = dbk_file_below(base);
    return file->pMethods->xLock(file, level);
}

static int database_unlock(sqlite3_file *base, int level)
{
    sqlite3_file *file = dbk_file_below(base);
    return file->pMethods->xUnlock(file, level);
}

static int database_check_reserved(sqlite3_file *base, int *out)
{
    sqlite3_file *file = dbk_file_below(base);
    return file->pMethods->xCheckReservedLock(file, out);
}

static int database_control(sqlite3_file *base, int what, void *arg)
{
    sqlite3_file *file = dbk_file_below(base);
    return file->pMethods->xFileControl(file, what, arg);
}

static int database_sector_size(sqlite3_file *base)
{
    sqlite3_file *file = dbk_file_below(base);
    return file->pMethods->xSectorSize(file);
}

static int database_characteristics(sqlite3_file *base)
{
    sqlite3_file *file = dbk_file_below(base);
    return file->pMethods->xDeviceCharacteristics(file);
}

static int database_index_map(sqlite3_file *base, int region, int size, int extend, void volatile **out)
{
    sqlite3_file *file = dbk_file_below(base);
    return file->pMethods->xShmMap(file, region, size, extend, out);
}

static int database_index_lock(sqlite3_file *base, int slot, int count, int flags)
{
    dbk_coalesced_file *database = (dbk_coalesced_file *)base;
    const int let_go = SQLITE_SHM_UNLOCK | SQLITE_SHM_EXCLUSIVE;

    if (slot == WRITE_LOCK && (flags & let_go) == let_go && database->other) dbk_coalesce_settle(database->other);
    return database->below->pMethods->xShmLock(database->below, slot, count, flags);
}

/* Stands between the two halves of each change of the index's head, and cannot fail. */
static void database_index_barrier(sqlite3_file *base)
{
    dbk_coalesced_file *database = (dbk_coalesced_file *)base;

    assert(!database->other || database->other->kept_bytes == 0 || !database->other->commits);
    database->below->pMethods->xShmBarrier(database->below);
}

static int database_index_unmap(sqlite3_file *base, int remove)
{
    sqlite3_file *file = dbk_file_below(base);
    return file->pMethods->xShmUnmap(file, remove);
}

static int database_fetch(sqlite3_file *base, sqlite3_int64 offset, int size, void **out)
{
    sqlite3_file *file = dbk_file_below(base);
    return file->pMethods->xFetch(file, offset, size, out);
}

static int database_unfetch(sqlite3_file *base, sqlite3_int64 offset, void *page)
{
    sqlite3_file *file = dbk_file_below(base);
    return file->pMethods->xUnfetch(file, offset, page);
}

/* SQLite asks for some by whether they are there: without an index there is no WAL. */
void dbk_coalesce_database(dbk_coalesced_file *file)
{
    const sqlite3_io_methods *below = file->below->pMethods;
    bool index = below->iVersion >= 2, mapped = below->iVersion >= 3;

    file->methods = (sqlite3_io_methods){
        .iVersion = below->iVersion < 3 ? below->iVersion : 3,
        .xClose = database_close,
        .xRead = database_read,
        .xWrite = database_write,
        .xTruncate = database_truncate,
        .xSync = database_sync,
        .xFileSize = database_size,
        .xLock = database_lock,
        .xUnlock = database_unlock,
        .xCheckReservedLock = database_check_reserved,
        .xFileControl = database_control,
        .xSectorSize = database_sector_size,
        .xDeviceCharacteristics = database_characteristics,
        .xShmMap = index && below->xShmMap ? database_index_map : NULL,
        .xShmLock = index && below->xShmLock ? database_index_lock : NULL,
        .xShmBarrier = index && below->xShmBarrier ? database_index_barrier : NULL,
        .xShmUnmap = index && below->xShmUnmap ? database_index_unmap : NULL,
        .xFetch = mapped && below->xFetch ? database_fetch : NULL,
        .xUnfetch = mapped && below->xUnfetch ? database_unfetch : NULL,
    };
    file->base.pMethods = &file->methods;
}
