/* Internal to store/: the folders of a path below files/ in the store's folder, for what lies there: archives of rules
 * of time and mirrors. */
#ifndef DBK_STORE_FOLDERS_H
#define DBK_STORE_FOLDERS_H

#include "store/engine.h"

enum { DBK_FOLDERS_MAX = 10 };
typedef struct dbk_folders {         /* zero at first */
    dbk_dir *items[DBK_FOLDERS_MAX]; /* from files/ on */
    size_t count;
} dbk_folders;

/* Opens files/ and what stands before each '/' of `path`; what is missing is made (0700) where
 * `make` says so, no link is followed. *file:
 * what is behind them, within `path`. What is open is the caller's also after a failure, whose text names the folder:
 * dbk_folders_close. */
dbk_result dbk_folders_open(dbk_engine *engine, dbk_folders *folders, const char *path, bool make, const char **file,
                            dbk_error *err) DBK_MUST_USE;
static inline dbk_dir *dbk_folders_last(const dbk_folders *folders)
{
    return folders->items[folders->count - 1];
}
/* The names in all of them, and of files/ itself, are durable when it returns. */
dbk_result dbk_folders_sync(dbk_engine *engine, const dbk_folders *folders, dbk_error *err) DBK_MUST_USE;
void dbk_folders_close(dbk_engine *engine, dbk_folders *folders);

#endif
