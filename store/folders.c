/* The folders of a path below files/. Each is opened in the one before it, so that no link on the way leads out. */
#include "store/folders.h"

#include <stdio.h>

enum { NAME_SIZE = 256 };

static dbk_result open_one(dbk_engine *engine, dbk_folders *folders, const char *name, bool make, dbk_error *err)
{
    int flags = make ? DBK_OPEN_DIRECTORY : 0;
    dbk_dir *parent = folders->count ? dbk_folders_last(folders) : engine->dir;

    if (folders->count == DBK_FOLDERS_MAX) return dbk_fail(err, DBK_TOO_BIG, "too many folders in a path");
    dbk_result result = dbk_io_open_dir(engine->port, parent, name, flags, &folders->items[folders->count], err);
    if (result == DBK_OK) folders->count++;
    return result;
}

dbk_result dbk_folders_open(dbk_engine *engine, dbk_folders *folders, const char *path, bool make, const char **file,
                            dbk_error *err)
{
    char name[NAME_SIZE];
    const char *slash;
    dbk_result result = open_one(engine, folders, "files", make, err);

    while (result == DBK_OK && (slash = strchr(path, '/'))) {
        (void)snprintf(name, sizeof name, "%.*s", (int)(slash - path), path);
        result = open_one(engine, folders, name, make, err);
        path = slash + 1;
    }
    *file = path;
    return result;
}

dbk_result dbk_folders_sync(dbk_engine *engine, const dbk_folders *folders, dbk_error *err)
{
    dbk_result result = dbk_io_sync_dir(engine->port, engine->dir, engine->path, err);

    for (size_t i = 0; result == DBK_OK && i < folders->count; i++)
        result = dbk_io_sync_dir(engine->port, folders->items[i], "files", err);
    return result;
}

void dbk_folders_close(dbk_engine *engine, dbk_folders *folders)
{
    while (folders->count) engine->port->close_dir(engine->port->ctx, folders->items[--folders->count]);
}
