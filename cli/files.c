/* Whole small files at paths that the user gives. */
#include "cli/cli.h"

/* The folder of the path, open, and the name in it. */
static dbk_result open_parent(const dbk_port *port, const char *path, dbk_dir **dir, const char **name, dbk_error *err)
{
    const char *slash = strrchr(path, '/');
    *name = slash ? slash + 1 : path;
    if (!slash) return dbk_io_open_dir(port, NULL, ".", 0, dir, err);
    char *folder = dbk_copy_text(port, path);
    if (!folder) return dbk_fail(err, DBK_NO_MEMORY, "no memory for a path");
    folder[slash == path ? 1 : slash - path] = 0;
    dbk_result result = dbk_io_open_dir(port, NULL, folder, 0, dir, err);
    dbk_free(port, folder);
    return result;
}

dbk_result dbk_cli_read_file(const dbk_port *port, const char *path, dbk_buffer *out, dbk_error *err)
{
    dbk_dir *dir = NULL;
    const char *name;
    dbk_result result = open_parent(port, path, &dir, &name, err);
    if (result == DBK_OK) result = dbk_io_read_file(port, dir, name, DBK_CLI_FILE_MAX, out, err);
    if (dir) port->close_dir(port->ctx, dir);
    return result == DBK_OK ? DBK_OK : dbk_error_wrap(err, result, "cannot read '%s'", path);
}

dbk_result dbk_cli_write_file(const dbk_port *port, const char *path, dbk_slice content, bool replace, dbk_error *err)
{
    dbk_dir *dir = NULL;
    dbk_identity identity;
    const char *name;
    dbk_result result = open_parent(port, path, &dir, &name, err);
    if (result == DBK_OK && !replace && port->identify(port->ctx, dir, name, &identity) == 0)
        result = dbk_fail(err, DBK_EXISTS, "'%s' is there already", path);
    if (result == DBK_OK) result = dbk_io_replace_file(port, dir, name, content, err);
    if (dir) port->close_dir(port->ctx, dir);
    return result == DBK_OK ? DBK_OK : dbk_error_wrap(err, result, "cannot write '%s'", path);
}

bool dbk_cli_is_async_folder(const char *name)
{
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_";
    const char *model = name + 6;
    return strncmp(name, "async-", 6) == 0 && model[0] && strspn(model, letters) == strlen(model) && strlen(model) < 64;
}
