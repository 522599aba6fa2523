/* Shared by coalesce.c (the layer's names and opening), coalesce_wal.c (the WAL) and coalesce_database.c (the database
 * file, which is passed through but for one call). Other files, journals and temporary ones, are the layer's below. */
#ifndef DBK_PROJECTOR_MODEL_COALESCE_INTERNAL_H
#define DBK_PROJECTOR_MODEL_COALESCE_INTERNAL_H

#include <sqlite3.h>

#include "projector/model/coalesce.h"

/* Sixteen frames of usual pages, or one of the largest. SQLite's layer for Unix takes less than 128 KiB by one call. */
enum { DBK_COALESCED_BYTES = 16 * (4096 + 24) };

typedef struct dbk_coalesced_file dbk_coalesced_file;

struct dbk_coalescer {
    sqlite3_vfs base;
    const dbk_port *port;
    sqlite3_vfs *below;
    char name[32];
};

/* What SQLite allocates for a file: this, and behind it the file of the layer below. */
struct dbk_coalesced_file {
    sqlite3_file base;
    sqlite3_io_methods methods; /* without those that the file below does not have */
    const dbk_port *port;
    sqlite3_file *below;
    dbk_coalesced_file *other; /* of a database file its WAL, NULL: not open; of a WAL its database file */
    /* of a WAL */
    uint8_t *kept;         /* DBK_COALESCED_BYTES */
    int kept_bytes;        /* not yet written … */
    sqlite3_int64 kept_at; /* … that belong here */
    sqlite3_int64 next;    /* where the last write ended, -1: unknown */
    int frame_bytes;       /* head and page; 0: unknown, then nothing is kept */
    bool looked;           /* for the header of a WAL that was there */
    bool commits;          /* the last head written was marked */
};

static inline sqlite3_file *dbk_file_below(sqlite3_file *base)
{
    return ((dbk_coalesced_file *)base)->below;
}

/* Gives an opened file its methods. */
void dbk_coalesce_database(dbk_coalesced_file *file);
void dbk_coalesce_wal(dbk_coalesced_file *file);
/* Before the write lock is let go. */
void dbk_coalesce_settle(dbk_coalesced_file *wal);

#endif
