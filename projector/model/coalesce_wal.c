/* The WAL: writes that follow each other are kept until they go down as one (coalesce.h says why nobody misses them).
 *
 * What fails: a write of SQLite fails when the one that carries it fails, and then the transaction is over: what is
 * kept is forgotten, lest a commit that was told to have failed comes into the file later. Any other call that has to
 * write first fails with it and forgets nothing: the transaction may go on, and the next call tries again. */
#include "projector/model/coalesce_internal.h"

enum {
    HEADER_BYTES = 32,
    HEADER_PAGE_SIZE = 8, /* where it stands in the header */
    HEAD_BYTES = 24,
    HEAD_MARK = 4, /* not zero: the last frame of a commit */
    PAGE_BYTES_MIN = 512,
    PAGE_BYTES_MAX = 65536
};

static uint32_t big_endian(const uint8_t *in)
{
    return (uint32_t)in[0] << 24 | (uint32_t)in[1] << 16 | (uint32_t)in[2] << 8 | in[3];
}

static int frame_bytes_of(const uint8_t *header)
{
    uint32_t page = big_endian(header + HEADER_PAGE_SIZE);
    bool possible = page >= PAGE_BYTES_MIN && page <= PAGE_BYTES_MAX && (page & (page - 1)) == 0;
    bool is_wal = (big_endian(header) & ~1U) == 0x377f0682;
    return possible && is_wal ? (int)page + HEAD_BYTES : 0;
}

/* A WAL that goes on has a header that another connection wrote, in another process perhaps. */
static void look(dbk_coalesced_file *wal)
{
    uint8_t header[HEADER_BYTES];
    wal->looked = true;
    if (wal->below->pMethods->xRead(wal->below, header, sizeof header, 0) == SQLITE_OK)
        wal->frame_bytes = frame_bytes_of(header);
}

static int flush(dbk_coalesced_file *wal)
{
    if (wal->kept_bytes == 0) return SQLITE_OK;
    int rc = wal->below->pMethods->xWrite(wal->below, wal->kept, wal->kept_bytes, wal->kept_at);
    if (rc == SQLITE_OK) wal->kept_bytes = 0;
    return rc;
}

/* By its place: a page may be written in two parts, one of which is as long as a head. */
static bool is_head(const dbk_coalesced_file *wal, int size, sqlite3_int64 offset)
{
    return size == HEAD_BYTES && offset >= HEADER_BYTES && (offset - HEADER_BYTES) % wal->frame_bytes == 0;
}

static int keep(dbk_coalesced_file *wal, const void *data, int size, sqlite3_int64 offset)
{
    int rc = wal->kept_bytes + size > DBK_COALESCED_BYTES ? flush(wal) : SQLITE_OK;
    if (rc != SQLITE_OK) return rc;
    if (wal->kept_bytes == 0) wal->kept_at = offset;
    memcpy(wal->kept + wal->kept_bytes, data, (size_t)size);
    wal->kept_bytes += size;
    return SQLITE_OK;
}

static int wal_write(sqlite3_file *base, const void *data, int size, sqlite3_int64 offset)
{
    dbk_coalesced_file *wal = (dbk_coalesced_file *)base;
    bool follows = offset == wal->next && size <= DBK_COALESCED_BYTES;
    int rc;

    if (offset == 0 && size == HEADER_BYTES) wal->frame_bytes = frame_bytes_of(data);
    else if (wal->frame_bytes == 0 && !wal->looked) look(wal);
    bool known = wal->frame_bytes > 0, head = known && is_head(wal, size, offset);
    if (head) wal->commits = big_endian((const uint8_t *)data + HEAD_MARK) != 0;
    if (known && follows) {
        rc = keep(wal, data, size, offset);
        if (rc == SQLITE_OK && wal->commits && !head) rc = flush(wal);
    } else {
        rc = flush(wal);
        if (rc == SQLITE_OK) rc = wal->below->pMethods->xWrite(wal->below, data, size, offset);
    }
    wal->next = rc == SQLITE_OK ? offset + size : -1;
    if (rc != SQLITE_OK) wal->kept_bytes = 0;
    return rc;
}

static int wal_read(sqlite3_file *base, void *out, int size, sqlite3_int64 offset)
{
    dbk_coalesced_file *wal = (dbk_coalesced_file *)base;
    bool overlaps = offset < wal->kept_at + wal->kept_bytes && offset + size > wal->kept_at;
    int rc = overlaps ? flush(wal) : SQLITE_OK;
    return rc == SQLITE_OK ? wal->below->pMethods->xRead(wal->below, out, size, offset) : rc;
}

static int wal_truncate(sqlite3_file *base, sqlite3_int64 size)
{
    dbk_coalesced_file *wal = (dbk_coalesced_file *)base;
    int rc = flush(wal);
    wal->next = -1;
    return rc == SQLITE_OK ? wal->below->pMethods->xTruncate(wal->below, size) : rc;
}

static int wal_sync(sqlite3_file *base, int flags)
{
    dbk_coalesced_file *wal = (dbk_coalesced_file *)base;
    int rc = flush(wal);
    return rc == SQLITE_OK ? wal->below->pMethods->xSync(wal->below, flags) : rc;
}

static int wal_size(sqlite3_file *base, sqlite3_int64 *out)
{
    dbk_coalesced_file *wal = (dbk_coalesced_file *)base;
    int rc = wal->below->pMethods->xFileSize(wal->below, out);
    sqlite3_int64 end = wal->kept_at + wal->kept_bytes;
    if (rc == SQLITE_OK && wal->kept_bytes > 0 && *out < end) *out = end;
    return rc;
}

static int wal_control(sqlite3_file *base, int what, void *arg)
{
    dbk_coalesced_file *wal = (dbk_coalesced_file *)base;
    int rc = flush(wal);
    return rc == SQLITE_OK ? wal->below->pMethods->xFileControl(wal->below, what, arg) : rc;
}

static int wal_close(sqlite3_file *base)
{
    dbk_coalesced_file *wal = (dbk_coalesced_file *)base;
    int rc = flush(wal);
    int closed = wal->below->pMethods->xClose(wal->below);
    wal->other->other = NULL;
    dbk_free(wal->port, wal->kept);
    wal->base.pMethods = NULL;
    return rc == SQLITE_OK ? closed : rc;
}

static int wal_lock(sqlite3_file *base, int level)
{
    return dbk_file_below(base)->pMethods->xLock(dbk_file_below(base), level);
}

static int wal_unlock(sqlite3_file *base, int level)
{
    return dbk_file_below(base)->pMethods->xUnlock(dbk_file_below(base), level);
}

static int wal_check_reserved(sqlite3_file *base, int *out)
{
    return dbk_file_below(base)->pMethods->xCheckReservedLock(dbk_file_below(base), out);
}

static int wal_sector_size(sqlite3_file *base)
{
    return dbk_file_below(base)->pMethods->xSectorSize(dbk_file_below(base));
}

static int wal_characteristics(sqlite3_file *base)
{
    return dbk_file_below(base)->pMethods->xDeviceCharacteristics(dbk_file_below(base));
}

/* Frames that were never committed. Whether they are written matters to nobody any more; what matters is that they
 * are not written later, over the frames of whoever has the lock then. */
void dbk_coalesce_settle(dbk_coalesced_file *wal)
{
    (void)flush(wal);
    wal->kept_bytes = 0;
}

/* The index and mapped pages belong to database files: version 1 has neither. */
void dbk_coalesce_wal(dbk_coalesced_file *file)
{
    file->next = -1;
    file->methods = (sqlite3_io_methods){.iVersion = 1,
                                         .xClose = wal_close,
                                         .xRead = wal_read,
                                         .xWrite = wal_write,
                                         .xTruncate = wal_truncate,
                                         .xSync = wal_sync,
                                         .xFileSize = wal_size,
                                         .xLock = wal_lock,
                                         .xUnlock = wal_unlock,
                                         .xCheckReservedLock = wal_check_reserved,
                                         .xFileControl = wal_control,
                                         .xSectorSize = wal_sector_size,
                                         .xDeviceCharacteristics = wal_characteristics};
    file->base.pMethods = &file->methods;
}
