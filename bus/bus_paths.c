/* Where the sockets of a store are: $XDG_RUNTIME_DIR/daybook/<store id>/, without that variable
 * /tmp/daybook-<uid>/<store id>/, or where the user said.
 *
 * Whoever can write in the folder can put a socket of his own there, so each folder from the first one
 * that is ours down is opened without following links, must belong to this user and be closed to all
 * others. A folder that fails is refused, never repaired: it is not known who prepared it. */
#include <errno.h>
#include <stdio.h>

#include "bus/internal.h"

enum { OURS_ALONE = 0077, FOLDER_MODE = 0700 };

static dbk_result check_folder(const dbk_port *port, dbk_dir *dir, const char *name, dbk_error *err)
{
    dbk_identity found;
    int rc = port->identify_dir(port->ctx, dir, &found);
    if (rc < 0) return dbk_fail_os(err, dbk_result_of_errno(rc), rc, "cannot look at folder '%s'", name);
    dbk_result result = DBK_OK;
    if (found.owner != dbk_platform_user())
        result = dbk_fail(err, DBK_DENIED, "folder '%s' belongs to user %u", name, found.owner);
    else if (found.mode & OURS_ALONE)
        result = dbk_fail(err, DBK_DENIED, "folder '%s' is open to others (mode %04o)", name, found.mode & 07777);
    if (result != DBK_OK) dbk_error_hint(err, "sockets need a folder of mode 0700 that is yours alone");
    return result;
}

/* The folder `name` in `parent` (NULL: a path), which must be ours alone; made if `make`. */
static dbk_result open_ours(const dbk_port *port, dbk_dir *parent, const char *name, bool make, dbk_dir **out,
                            dbk_error *err)
{
    dbk_dir *dir = NULL;
    if (make) {
        int rc = port->make_dir(port->ctx, parent, name, FOLDER_MODE);
        if (rc < 0 && rc != -EEXIST)
            return dbk_fail_os(err, dbk_result_of_errno(rc), rc, "cannot make folder '%s'", name);
    }
    int rc = port->open_dir(port->ctx, parent, name, DBK_OPEN_READ, &dir);
    if (rc == -ELOOP || rc == -ENOTDIR) return dbk_fail_os(err, DBK_DENIED, rc, "'%s' is no folder", name);
    if (rc < 0) return dbk_fail_os(err, dbk_result_of_errno(rc), rc, "cannot open folder '%s'", name);
    dbk_result result = check_folder(port, dir, name, err);
    if (result != DBK_OK) port->close_dir(port->ctx, dir);
    else *out = dir;
    return result;
}

/* Opens base/first/second; the base itself must be ours when it is the runtime folder, and is anybody's
 * when it is /tmp, whose sticky bit keeps others from moving what is ours. */
static dbk_result open_nested(const dbk_port *port, const char *base, bool base_is_ours, const char *first,
                              dbk_bus_paths *paths, dbk_error *err)
{
    dbk_dir *root = NULL;
    dbk_result result;
    if (base_is_ours) result = open_ours(port, NULL, base, false, &root, err);
    else result = dbk_io_open_dir(port, NULL, base, DBK_OPEN_READ, &root, err);
    if (result == DBK_OK) result = open_ours(port, root, first, true, &paths->parent, err);
    if (result == DBK_OK) result = open_ours(port, paths->parent, paths->folder, true, &paths->dir, err);
    if (root) port->close_dir(port->ctx, root);
    return result;
}

static const char *path_of(const char *url)
{
    return url + strlen("ipc://");
}

bool dbk_bus_changes_of(const char *commands, char changes[DBK_BUS_URL_SIZE])
{
    static const char last[] = "/commands";
    size_t size = strlen(commands), tail = sizeof last - 1;
    bool is_default = size > tail && strcmp(commands + size - tail, last) == 0;
    size_t kept = is_default ? size - tail : size;
    const char *added = is_default ? "/changes" : "-changes";
    if (strncmp(commands, "ipc:///", 7) != 0 || strlen(path_of(commands)) > DBK_BUS_PATH_MAX) return false;
    int length = snprintf(changes, DBK_BUS_URL_SIZE, "%.*s%s", (int)kept, commands, added);
    return length > 0 && length < DBK_BUS_URL_SIZE && strlen(path_of(changes)) <= DBK_BUS_PATH_MAX;
}

static dbk_result too_long(dbk_error *err, const char *path)
{
    dbk_result result =
        dbk_fail(err, DBK_TOO_BIG, "the path of a socket in '%s' is over %d bytes", path, DBK_BUS_PATH_MAX);
    dbk_error_hint(err, "choose a shorter path with --listen, or a shorter XDG_RUNTIME_DIR");
    return result;
}

static dbk_result open_default(const dbk_port *port, const char *store_id, dbk_bus_paths *paths, dbk_error *err)
{
    const char *base = dbk_platform_environment("XDG_RUNTIME_DIR");
    bool has_runtime = base && base[0] == '/';
    char first[32] = "daybook";
    if (!has_runtime) {
        base = "/tmp";
        (void)snprintf(first, sizeof first, "daybook-%u", dbk_platform_user());
    }
    int length = snprintf(paths->commands, sizeof paths->commands, "ipc://%s/%s/%s/commands", base, first, store_id);
    if (length < 0 || (size_t)length >= sizeof paths->commands || !dbk_bus_changes_of(paths->commands, paths->changes))
        return too_long(err, base);
    (void)snprintf(paths->folder, sizeof paths->folder, "%s", store_id);
    return open_nested(port, base, has_runtime, first, paths, err);
}

static dbk_result open_given(const dbk_port *port, const char *listen, dbk_bus_paths *paths, dbk_error *err)
{
    if (strncmp(listen, "ipc:///", 7) != 0 || listen[strlen(listen) - 1] == '/')
        return dbk_fail(err, DBK_USAGE, "'%s' is no address of the form ipc:///PATH", listen);
    if (strlen(listen) >= sizeof paths->commands || !dbk_bus_changes_of(listen, paths->changes))
        return too_long(err, listen);
    memcpy(paths->commands, listen, strlen(listen) + 1);
    char folder[DBK_BUS_URL_SIZE];
    (void)snprintf(folder, sizeof folder, "%s", path_of(listen));
    char *last = strrchr(folder, '/');
    last[last == folder ? 1 : 0] = '\0';
    return open_ours(port, NULL, folder, false, &paths->dir, err);
}

dbk_result dbk_bus_paths_open(const dbk_port *port, const char *store_id, const char *listen, dbk_bus_paths *paths,
                              dbk_error *err)
{
    *paths = (dbk_bus_paths){0};
    dbk_result result = listen ? open_given(port, listen, paths, err) : open_default(port, store_id, paths, err);
    if (result != DBK_OK) dbk_bus_paths_release(port, paths);
    if (result != DBK_OK) return dbk_error_wrap(err, result, "cannot place the sockets");
    (void)snprintf(paths->commands_name, sizeof paths->commands_name, "%s", strrchr(paths->commands, '/') + 1);
    (void)snprintf(paths->changes_name, sizeof paths->changes_name, "%s", strrchr(paths->changes, '/') + 1);
    return DBK_OK;
}

void dbk_bus_paths_release(const dbk_port *port, dbk_bus_paths *paths)
{
    if (paths->dir) port->close_dir(port->ctx, paths->dir);
    if (paths->dir && paths->parent)
        (void)port->remove_dir(port->ctx, paths->parent, paths->folder); /* while it is empty */
    if (paths->parent) port->close_dir(port->ctx, paths->parent);
    *paths = (dbk_bus_paths){0};
}
