/* What was made and is not wanted: only names that a store has are touched, never whatever else stands beside them. */
#include "store/unmake.h"

typedef struct dbk_place_in {
    const dbk_port *port;
    dbk_dir *dir;
} dbk_place_in;

static int remove_entry(void *arg, const char *name)
{
    const dbk_place_in *in = arg;
    dbk_place_in below = {in->port, NULL};
    if (in->port->unlink(in->port->ctx, in->dir, name) == 0) return 0;
    if (in->port->open_dir(in->port->ctx, in->dir, name, 0, &below.dir) != 0) return 0;
    (void)in->port->list(in->port->ctx, below.dir, remove_entry, &below);
    in->port->close_dir(in->port->ctx, below.dir);
    (void)in->port->remove_dir(in->port->ctx, in->dir, name);
    return 0;
}

void dbk_folder_remove(const dbk_port *port, dbk_dir *dir, const char *name)
{
    dbk_place_in in = {port, dir};
    dbk_identity identity;
    if (port->identify(port->ctx, dir, name, &identity) == 0) (void)remove_entry(&in, name);
}

void dbk_store_unmake(const dbk_port *port, dbk_dir *dir)
{
    static const char *const names[] = {"daybook.json.tmp", "app",   "app.new", "app.old", "log",   "models",
                                        "images",           "files", "mirrors", "reserve", "place", "place.tmp",
                                        "run.json",         "LOCK"};
    dbk_identity identity;
    dbk_folder_remove(port, dir, "daybook.json");
    if (port->identify(port->ctx, dir, "daybook.json", &identity) == 0) return; /* better whole than half */
    if (dbk_io_sync_dir(port, dir, "the store", NULL) != DBK_OK) return;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) dbk_folder_remove(port, dir, names[i]);
}

bool dbk_folder_is_there(const dbk_port *port, const char *path)
{
    dbk_dir *dir = NULL;
    if (port->open_dir(port->ctx, NULL, path, 0, &dir) != 0) return false;
    port->close_dir(port->ctx, dir);
    return true;
}

void dbk_folder_remove_empty(const dbk_port *port, const char *path)
{
    dbk_dir *dir = NULL;
    char *name = dbk_copy_text(port, path);
    size_t end = name ? strlen(name) : 0;
    while (end > 1 && name[end - 1] == '/') name[--end] = 0;
    const char *slash = name ? strrchr(name, '/') : NULL;
    if (name && dbk_store_open_parent(port, name, &dir, NULL) == DBK_OK) {
        (void)port->remove_dir(port->ctx, dir, slash ? slash + 1 : name);
        port->close_dir(port->ctx, dir);
    }
    dbk_free(port, name);
}
