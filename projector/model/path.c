/* A path as directory and name, for the calls of the port. */
#include "projector/model/journal.h"

dbk_result dbk_path_open(const dbk_port *port, const char *path, dbk_path_parts *parts, dbk_dir **dir, dbk_error *err)
{
    const char *slash = strrchr(path, '/');

    *dir = NULL;
    *parts = (dbk_path_parts){.name = slash ? slash + 1 : path, .folder = dbk_copy_text(port, path)};
    if (!parts->folder) return dbk_fail(err, DBK_NO_MEMORY, "cannot open '%s': out of memory", path);
    if (!slash) memcpy(parts->folder, *path ? "." : "", *path ? 2 : 1);
    else parts->folder[slash == path ? 1 : slash - path] = 0;
    return dbk_io_open_dir(port, NULL, parts->folder, 0, dir, err);
}

void dbk_path_close(const dbk_port *port, dbk_path_parts *parts, dbk_dir *dir)
{
    if (dir) port->close_dir(port->ctx, dir);
    dbk_free(port, parts->folder);
    parts->folder = NULL;
}

dbk_result dbk_path_check(const dbk_port *port, const char *path, dbk_error *err)
{
    dbk_path_parts parts;
    dbk_dir *dir;
    dbk_identity identity;
    dbk_result result = dbk_path_open(port, path, &parts, &dir, err);

    if (result == DBK_OK) {
        int error = port->identify(port->ctx, dir, parts.name, &identity);
        if (error < 0) {
            result = dbk_fail_os(err, dbk_result_of_errno(error), error, "cannot open '%s'", path);
        } else if (identity.kind != DBK_IS_FILE) {
            result = dbk_fail(err, DBK_CORRUPT, "'%s' is no file", path);
        }
    }
    dbk_path_close(port, &parts, dir);
    return result;
}
