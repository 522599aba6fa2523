/* An SQLite file layer over any dbk_port, so that databases live on the simulated disk and crash
 * with it. Rollback journals and WAL; the WAL index is on the heap, shared by the connections of
 * this process, gone with the last of them. One thread; no other process may have the databases.
 *
 * Before dbk_simdisk_crash, close all connections while the power is off (or they are dead after
 * dbk_simdisk_kill): closing then touches nothing. A connection closed after the crash may still
 * remove its journal by name.
 *
 * Directories are synced when a new journal or WAL is first synced and when SQLite asks for it with
 * a removal, as SQLite's own file layer does on Unix. Files get mode 0600. */
#ifndef TESTS_SUPPORT_SIMVFS_H
#define TESTS_SUPPORT_SIMVFS_H

#include "base/base.h"

typedef struct simvfs simvfs;

typedef struct simvfs_options {
    const char *root; /* path on the port that relative names start at; NULL: "/" */
    /* Says that bytes beside a write survive a power loss (SQLITE_IOCAP_POWERSAFE_OVERWRITE), what
     * SQLite assumes on Unix. Then commits share sectors of the WAL, and a crash that leaves zeros
     * or garbage in a sector breaks the promise: use it with crashes that leave sectors old or new.
     * False: SQLite pads commits to whole sectors of 512 bytes, and any crash is fair. */
    bool powersafe_overwrite;
} simvfs_options;

/* Registers the layer under `name` (not as the default); options may be NULL. NULL: out of memory,
 * or SQLite refused. Takes its memory from the port. */
simvfs *simvfs_register(const char *name, const dbk_port *port, const simvfs_options *options);
/* Connections must be closed; accepts NULL. */
void simvfs_unregister(simvfs *vfs);

#endif
