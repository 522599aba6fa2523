/* Shared by simvfs.c (names and opening), simvfs_file.c (contents), simvfs_lock.c (locks, WAL
 * index). */
#ifndef TESTS_SUPPORT_SIMVFS_INTERNAL_H
#define TESTS_SUPPORT_SIMVFS_INTERNAL_H

#include <sqlite3.h>

#include "tests/support/simvfs.h"

enum { SIMVFS_PATH_MAX = 512, SIMVFS_REGIONS_MAX = 64 };

typedef struct simvfs_file simvfs_file;

/* What the connections to one file share: its locks and its WAL index. */
typedef struct simvfs_shared {
    struct simvfs_shared *next;
    unsigned refs;
    unsigned readers;    /* handles with SHARED or more */
    simvfs_file *writer; /* has RESERVED or more */
    int writer_level;
    unsigned index_refs;
    void *regions[SIMVFS_REGIONS_MAX];
    unsigned slot_readers[SQLITE_SHM_NLOCK];
    simvfs_file *slot_writer[SQLITE_SHM_NLOCK];
    char path[SIMVFS_PATH_MAX];
} simvfs_shared;

struct simvfs_file {
    sqlite3_file base;
    simvfs *vfs;
    dbk_file *file;
    simvfs_shared *shared; /* of a main database; NULL for the others */
    int level;             /* SQLITE_LOCK_… */
    bool has_index;
    bool syncs_directory; /* a new journal: its name becomes durable with its first sync */
    unsigned slots_shared;
    char path[SIMVFS_PATH_MAX];
};

struct simvfs {
    sqlite3_vfs base;
    const dbk_port *port;
    simvfs_shared *shared;
    bool powersafe_overwrite;
    char root[SIMVFS_PATH_MAX];
    char name[64];
};

/* The directory of a full path, to be closed by the caller, and the name in it; 0 or an errno. */
int simvfs_open_parent(simvfs *vfs, const char *path, dbk_dir **dir, const char **name);
int simvfs_sync_parent(simvfs *vfs, const char *path);

const sqlite3_io_methods *simvfs_methods(void);

simvfs_shared *simvfs_shared_take(simvfs *vfs, const char *path); /* NULL: out of memory */
void simvfs_shared_drop(simvfs *vfs, simvfs_shared *shared);

int simvfs_lock(sqlite3_file *base, int level);
int simvfs_unlock(sqlite3_file *base, int level);
int simvfs_check_reserved(sqlite3_file *base, int *out);
int simvfs_index_map(sqlite3_file *base, int region, int size, int extend, void volatile **out);
int simvfs_index_lock(sqlite3_file *base, int offset, int count, int flags);
void simvfs_index_barrier(sqlite3_file *base);
int simvfs_index_unmap(sqlite3_file *base, int remove);

#endif
