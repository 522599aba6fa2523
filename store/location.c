/* Where a live store must not be: on file systems that keep no lock or sync of this machine (R25), and in
 * folders that a cloud's client copies file by file while they change, puts back older copies of, and makes
 * "conflicted copies" in. They are known by what these clients leave in the folders above. */
#include "store/store.h"

#include <stdio.h>

enum { PATH_MAX_BYTES = 4096, LEVELS_MAX = 64, NAMES_MAX = 2000 };

/* In or above the folder: a name of its own, or something in it. */
static const struct dbk_cloud {
    const char *who;
    const char *folder;          /* begins so, and ends there or with " - …" or " (…" */
    const char *inside;          /* a name in it */
    const char *prefix, *suffix; /* a name in it that begins and ends so */
} clouds[] = {
    {"Dropbox", "Dropbox", ".dropbox", NULL, NULL},
    {"Dropbox", NULL, ".dropbox.cache", NULL, NULL},
    {"OneDrive", "OneDrive", ".849C9593-D756-4E56-8D6E-42412F2A707B", NULL, NULL},
    {"Google Drive", "Google Drive", ".tmp.drivedownload", NULL, NULL},
    {"Google Drive", "GoogleDrive", ".tmp.driveupload", NULL, NULL},
    {"iCloud", "com~apple~CloudDocs", ".iCloud", NULL, NULL},
    {"iCloud", "iCloudDrive", NULL, NULL, NULL},
    {"Nextcloud", "Nextcloud", ".nextcloudsync.log", ".sync_", ".db"},
    {"ownCloud", "ownCloud", ".owncloudsync.log", "._sync_", ".db"},
    {"Syncthing", NULL, ".stfolder", NULL, NULL},
};
enum { CLOUD_COUNT = sizeof clouds / sizeof *clouds };

static bool is_folder_of(const char *name, size_t size, const char *folder)
{
    size_t length = strlen(folder);
    if (size < length || memcmp(name, folder, length) != 0) return false;
    return size == length ||
           (size > length + 2 && (memcmp(name + length, " - ", 3) == 0 || memcmp(name + length, " (", 2) == 0));
}

typedef struct dbk_sought_names {
    unsigned seen;
    const char *who;
} dbk_sought_names;

static int look_at_name(void *arg, const char *name)
{
    dbk_sought_names *sought = arg;
    size_t size = strlen(name);
    for (size_t i = 0; i < CLOUD_COUNT && !sought->who; i++) {
        const char *prefix = clouds[i].prefix, *suffix = clouds[i].suffix;
        if (!prefix || size <= strlen(prefix) + strlen(suffix)) continue;
        if (strncmp(name, prefix, strlen(prefix)) == 0 && strcmp(name + size - strlen(suffix), suffix) == 0)
            sought->who = clouds[i].who;
    }
    return sought->who || ++sought->seen >= NAMES_MAX;
}

/* The client that keeps this folder, or NULL. */
static const char *owner_of(const dbk_port *port, const char *path)
{
    dbk_sought_names sought = {0};
    dbk_identity found;
    dbk_dir *dir = NULL;
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    for (size_t i = 0; i < CLOUD_COUNT; i++)
        if (clouds[i].folder && is_folder_of(name, strlen(name), clouds[i].folder)) return clouds[i].who;
    if (dbk_io_open_dir(port, NULL, *path ? path : "/", 0, &dir, NULL) != DBK_OK) return NULL;
    for (size_t i = 0; i < CLOUD_COUNT && !sought.who; i++)
        if (clouds[i].inside && port->identify(port->ctx, dir, clouds[i].inside, &found) == 0)
            sought.who = clouds[i].who;
    if (!sought.who) (void)port->list(port->ctx, dir, look_at_name, &sought);
    port->close_dir(port->ctx, dir);
    return sought.who;
}

static dbk_result check_cloud(const dbk_port *port, dbk_dir *dir, dbk_error *err)
{
    char path[PATH_MAX_BYTES];
    if (port->path_of(port->ctx, dir, path, sizeof path) != 0) return DBK_OK; /* what cannot be asked is no reason */
    for (int level = 0; level < LEVELS_MAX && path[0]; level++) {
        const char *who = owner_of(port, path);
        if (who) {
            dbk_fail(err, DBK_UNSUPPORTED_FS, "'%s' is synchronized by %s, which copies files while they change", path,
                     who);
            dbk_error_hint(err, "keep the live store elsewhere, or force it with --force-location");
            return DBK_UNSUPPORTED_FS;
        }
        char *slash = strrchr(path, '/');
        if (!slash) break;
        *slash = '\0';
    }
    return DBK_OK;
}

dbk_result dbk_location_check(const dbk_port *port, dbk_dir *dir, bool any_fs, bool anywhere, dbk_error *err)
{
    dbk_space space;
    int rc = any_fs || anywhere ? -1 : port->space(port->ctx, dir, &space);
    if (rc == 0 && !space.suits_live_store) {
        dbk_fail(err, DBK_UNSUPPORTED_FS, "it is on a file system of kind %s", space.fs_name);
        dbk_error_hint(err, "keep the live store on a local disk, or force it with --force-location");
        return DBK_UNSUPPORTED_FS;
    }
    return anywhere ? DBK_OK : check_cloud(port, dir, err);
}
