/* <serial>/<file>, and the pointer `current`. */
#include "store/model_folder.h"

#include "store/aside.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

enum { SERIAL_DIGITS = 8, SERIAL_MAX = 99999999, SERIAL_TRIES = 100, LEFTOVERS_MAX = 1000 };

static const char staged_name[] = "current.next";

static bool is_serial(const char *name)
{
    return strlen(name) == SERIAL_DIGITS && strspn(name, "0123456789") == SERIAL_DIGITS;
}

typedef struct dbk_serial {
    const dbk_model_folder *folder;
    dbk_dir *dir;
    char own[256]; /* the database that is the model; "": none was met yet */
} dbk_serial;

enum { IS_OURS, IS_FOREIGN, IS_UNKNOWN };

static const char *const ends[] = {"", "-wal", "-shm", "-journal"}; /* what SQLite opens beside a file */
enum { ENDS = sizeof ends / sizeof *ends };

/* What SQLite puts behind the name of a database; "": it is the name of one. */
static const char *end_of(const char *name)
{
    size_t size = strlen(name);
    for (size_t i = 1; i < ENDS; i++) {
        size_t end = strlen(ends[i]);
        if (size > end && strcmp(name + size - end, ends[i]) == 0) return name + size - end;
    }
    return name + size;
}

/* A database, or nothing yet. */
static int judge_base(const dbk_serial *one, const char *name)
{
    static const char magic[] = "SQLite format 3";
    const dbk_port *port = one->folder->port;
    char head[sizeof magic];
    size_t got = 0;
    dbk_file *file = NULL;
    dbk_result result = dbk_io_open(port, one->dir, name, DBK_OPEN_READ, &file, NULL);
    if (result == DBK_MISSING) return IS_FOREIGN;
    if (result == DBK_OK) result = dbk_io_read(port, file, name, 0, head, sizeof head, &got, NULL);
    if (file) port->close_file(port->ctx, file);
    if (result != DBK_OK) return IS_UNKNOWN;
    return got == 0 || (got == sizeof head && memcmp(head, magic, sizeof head) == 0) ? IS_OURS : IS_FOREIGN;
}

/* The model's file and what SQLite puts beside it, all of them files. It had another name in an earlier definition, or
 * nobody knows it any more: then it is ours if it is a database, and the only one: a second one is somebody's copy. */
static int find_foreign(void *arg, const char *name)
{
    dbk_serial *one = arg;
    const dbk_port *port = one->folder->port;
    char base[sizeof one->own];
    if (!dbk_aside_is_kind(port, one->dir, name, DBK_IS_FILE)) return IS_FOREIGN;
    int size = snprintf(base, sizeof base, "%.*s", (int)(end_of(name) - name), name);
    if (size >= (int)sizeof base) return IS_FOREIGN;
    if (one->own[0]) return strcmp(base, one->own) == 0 ? IS_OURS : IS_FOREIGN;
    int found = judge_base(one, base);
    if (found == IS_OURS) memcpy(one->own, base, (size_t)size + 1);
    return found;
}

static void find_own(dbk_serial *one)
{
    const char *file = one->folder->file;
    if (file[0] && dbk_aside_is_kind(one->folder->port, one->dir, file, DBK_IS_FILE))
        (void)snprintf(one->own, sizeof one->own, "%s", file);
}

static int unlink_beside(void *arg, const char *name)
{
    const dbk_serial *one = arg;
    if (end_of(name)[0]) (void)one->folder->port->unlink(one->folder->port->ctx, one->dir, name);
    return 0;
}

static int unlink_one(void *arg, const char *name)
{
    const dbk_serial *one = arg;
    (void)one->folder->port->unlink(one->folder->port->ctx, one->dir, name);
    return 0;
}

/* Best effort: a leftover that stays costs space, not truth. The database goes last: it tells what the others are. */
static void remove_serial(const dbk_model_folder *folder, const char *serial)
{
    const dbk_port *port = folder->port;
    dbk_serial one = {.folder = folder};
    int found = dbk_aside_is_kind(port, folder->dir, serial, DBK_IS_DIRECTORY) ? IS_OURS : IS_FOREIGN;
    if (found == IS_OURS && dbk_io_open_dir(port, folder->dir, serial, 0, &one.dir, NULL) != DBK_OK) return;
    if (found == IS_OURS) find_own(&one);
    if (found == IS_OURS) found = port->list(port->ctx, one.dir, find_foreign, &one);
    if (found == IS_OURS) (void)port->list(port->ctx, one.dir, unlink_beside, &one);
    if (found == IS_OURS) (void)port->list(port->ctx, one.dir, unlink_one, &one);
    if (one.dir) port->close_dir(port->ctx, one.dir);
    if (found == IS_OURS) (void)port->remove_dir(port->ctx, folder->dir, serial);
    if (found == IS_FOREIGN)
        (void)!dbk_aside_put(port, folder->dir, folder->below, serial, DBK_ASIDE_ANYTHING, folder->notes, NULL);
}

typedef struct dbk_serials {
    char keep[SERIAL_DIGITS + 1];
    char leftover[SERIAL_DIGITS + 1];
    unsigned long highest;
} dbk_serials;

static int note_serial(void *arg, const char *name)
{
    dbk_serials *serials = arg;
    if (!is_serial(name)) return 0;
    unsigned long serial = strtoul(name, NULL, 10);
    if (serial > serials->highest) serials->highest = serial;
    if (strcmp(name, serials->keep) != 0) memcpy(serials->leftover, name, sizeof serials->leftover);
    return 0;
}

static dbk_result list_serials(const dbk_model_folder *folder, dbk_serials *serials, dbk_error *err)
{
    serials->highest = 0;
    serials->leftover[0] = 0;
    int rc = folder->port->list(folder->port->ctx, folder->dir, note_serial, serials);
    return rc < 0 ? dbk_fail_os(err, dbk_result_of_errno(-rc), -rc, "cannot list '%s'", folder->below) : DBK_OK;
}

/* The serial in a path made by the functions here; "" in others. */
static void serial_of(const char *path, char serial[SERIAL_DIGITS + 1])
{
    const char *slash = strrchr(path, '/');
    serial[0] = 0;
    if (!slash || slash - path < SERIAL_DIGITS) return;
    memcpy(serial, slash - SERIAL_DIGITS, SERIAL_DIGITS);
    serial[SERIAL_DIGITS] = 0;
}

static dbk_result path_of(const dbk_model_folder *folder, const char *serial, dbk_buffer *path, dbk_error *err)
{
    dbk_buffer_clear(path);
    dbk_buffer_printf(path, "%s/%s/%s/%s", folder->store, folder->below, serial, folder->file);
    return dbk_buffer_text(path) ? DBK_OK : dbk_fail(err, DBK_NO_MEMORY, "no memory for a path");
}

dbk_result dbk_model_folder_clear(const dbk_model_folder *folder, const char *other, dbk_error *err)
{
    const char *const names[] = {"current", staged_name, other};
    char temporary[64];
    dbk_result result = DBK_OK;
    for (size_t i = 0; i < 3 && result == DBK_OK; i++) {
        (void)snprintf(temporary, sizeof temporary, "%s.tmp", names[i]);
        result = dbk_aside_put(folder->port, folder->dir, folder->below, names[i], DBK_IS_FILE, folder->notes, err);
        if (result == DBK_OK)
            result =
                dbk_aside_put(folder->port, folder->dir, folder->below, temporary, DBK_IS_FILE, folder->notes, err);
    }
    return result;
}

/* Nothing that SQLite would open there is a link, a fifo or a folder. */
static bool is_plain(const dbk_model_folder *folder, const char *serial)
{
    const dbk_port *port = folder->port;
    dbk_dir *dir = NULL;
    dbk_identity found;
    char name[128];
    bool plain = true;
    int rc = port->open_dir(port->ctx, folder->dir, serial, 0, &dir);
    if (rc != 0) return rc == -ENOENT || dbk_aside_is_kind(port, folder->dir, serial, DBK_IS_DIRECTORY);
    for (size_t i = 0; plain && i < ENDS; i++) {
        (void)snprintf(name, sizeof name, "%s%s", folder->file, ends[i]);
        plain = port->identify(port->ctx, dir, name, &found) != 0 || found.kind == DBK_IS_FILE;
    }
    port->close_dir(port->ctx, dir);
    return plain;
}

dbk_result dbk_model_folder_current(const dbk_model_folder *folder, dbk_buffer *path, dbk_error *err)
{
    dbk_buffer text;
    dbk_buffer_init(&text, folder->port);
    dbk_result result = dbk_io_read_file(folder->port, folder->dir, "current", 64, &text, err);
    char serial[SERIAL_DIGITS + 1] = "";
    if (result == DBK_OK && text.size >= SERIAL_DIGITS) memcpy(serial, text.data, SERIAL_DIGITS);
    dbk_buffer_release(&text);
    if (result != DBK_OK && result != DBK_TOO_BIG && result != DBK_MISSING &&
        !dbk_aside_is_kind(folder->port, folder->dir, "current", DBK_IS_FILE))
        return dbk_fail(err, DBK_MISSING, "'%s/current' is no file", folder->below);
    if (result != DBK_OK && result != DBK_TOO_BIG) return result;
    if (!is_serial(serial)) return dbk_fail(err, DBK_MISSING, "'%s/current' names no model", folder->below);
    if (!is_plain(folder, serial))
        return dbk_fail(err, DBK_MISSING, "what '%s/current' names holds what is no file of a model", folder->below);
    return path_of(folder, serial, path, err);
}

typedef struct dbk_found {
    dbk_serial one;
    char name[128];
} dbk_found;

static int find_database(void *arg, const char *name)
{
    dbk_found *found = arg;
    const dbk_port *port = found->one.folder->port;
    dbk_identity file;
    if (end_of(name)[0] || strlen(name) >= sizeof found->name) return 0;
    if (port->identify(port->ctx, found->one.dir, name, &file) != 0 || file.kind != DBK_IS_FILE) return 0;
    if (file.size_bytes == 0 || judge_base(&found->one, name) != IS_OURS) return 0;
    memcpy(found->name, name, strlen(name) + 1);
    return 1;
}

dbk_result dbk_model_folder_found(const dbk_model_folder *folder, dbk_buffer *path, dbk_error *err)
{
    const dbk_port *port = folder->port;
    char serial[SERIAL_DIGITS + 1];
    dbk_found found = {.one.folder = folder};
    dbk_identity named;
    dbk_result result = dbk_model_folder_current(folder, path, err);
    if (result != DBK_OK) return result;
    serial_of((const char *)path->data, serial);
    if (port->open_dir(port->ctx, folder->dir, serial, 0, &found.one.dir) != 0)
        return DBK_OK; /* who opens it is told */
    if (port->identify(port->ctx, found.one.dir, folder->file, &named) != 0)
        (void)port->list(port->ctx, found.one.dir, find_database, &found);
    port->close_dir(port->ctx, found.one.dir);
    dbk_model_folder other = *folder;
    other.file = found.name;
    return found.name[0] && is_plain(&other, serial) ? path_of(&other, serial, path, err) : DBK_OK;
}

dbk_result dbk_model_folder_next(const dbk_model_folder *folder, dbk_buffer *path, dbk_error *err)
{
    dbk_serials serials = {0};
    dbk_result result = list_serials(folder, &serials, err);
    if (result != DBK_OK) return result;
    char name[24];
    int rc = -EEXIST;
    for (int i = 0; rc == -EEXIST && i < SERIAL_TRIES; i++) { /* after the last serial come the first */
        serials.highest = serials.highest % SERIAL_MAX + 1;
        snprintf(name, sizeof name, "%0*lu", SERIAL_DIGITS, serials.highest);
        rc = folder->port->make_dir(folder->port->ctx, folder->dir, name, 0700);
    }
    if (rc != 0)
        return dbk_fail_os(err, dbk_result_of_errno(-rc), -rc, "cannot make folder '%s/%s'", folder->below, name);
    result = path_of(folder, name, path, err);
    return result == DBK_OK ? dbk_io_sync_dir(folder->port, folder->dir, folder->below, err) : result;
}

/* A pointer may stand though pointing failed (the sync behind the rename did): it goes first. */
static void unpoint(const dbk_model_folder *folder, const char *serial)
{
    dbk_buffer text;
    dbk_buffer_init(&text, folder->port);
    dbk_result result = dbk_io_read_file(folder->port, folder->dir, "current", 64, &text, NULL);
    if (result == DBK_OK && dbk_slice_equal(dbk_buffer_slice(&text), dbk_slice_text(serial)))
        (void)folder->port->unlink(folder->port->ctx, folder->dir, "current");
    dbk_buffer_release(&text);
}

void dbk_model_folder_discard(const dbk_model_folder *folder, const char *path)
{
    char serial[SERIAL_DIGITS + 1];
    serial_of(path, serial);
    if (!is_serial(serial)) return;
    unpoint(folder, serial);
    remove_serial(folder, serial);
}

dbk_result dbk_model_folder_point(const dbk_model_folder *folder, const char *path, dbk_error *err)
{
    char serial[SERIAL_DIGITS + 1];
    serial_of(path, serial);
    return dbk_io_replace_file(folder->port, folder->dir, "current", dbk_slice_of(serial, SERIAL_DIGITS), err);
}

dbk_result dbk_model_folder_stage(const dbk_model_folder *folder, const char *path, dbk_error *err)
{
    char serial[SERIAL_DIGITS + 1];
    serial_of(path, serial);
    return dbk_io_replace_file(folder->port, folder->dir, staged_name, dbk_slice_of(serial, SERIAL_DIGITS), err);
}

dbk_result dbk_model_folder_point_staged(const dbk_model_folder *folder, dbk_error *err)
{
    int rc = folder->port->rename(folder->port->ctx, folder->dir, staged_name, folder->dir, "current");
    return rc == 0 ? DBK_OK
                   : dbk_fail_os(err, dbk_result_of_errno(-rc), -rc, "cannot replace '%s/current'", folder->below);
}

void dbk_model_folder_unstage(const dbk_model_folder *folder)
{
    (void)folder->port->unlink(folder->port->ctx, folder->dir, staged_name);
}

bool dbk_model_folder_is_same(const char *path, const char *other)
{
    char one[SERIAL_DIGITS + 1], two[SERIAL_DIGITS + 1];
    serial_of(path, one);
    serial_of(other, two);
    return strcmp(one, two) == 0;
}

dbk_result dbk_model_folder_clean(const dbk_model_folder *folder, const char *path, dbk_error *err)
{
    dbk_serials serials = {0};
    char stayed[SERIAL_DIGITS + 1] = "";
    serial_of(path, serials.keep);
    dbk_model_folder_unstage(folder);
    for (int i = 0; i < LEFTOVERS_MAX; i++) {
        dbk_result result = list_serials(folder, &serials, err);
        if (result != DBK_OK || strcmp(serials.leftover, stayed) == 0) return result;
        memcpy(stayed, serials.leftover, sizeof stayed);
        remove_serial(folder, serials.leftover);
    }
    return DBK_OK;
}

bool dbk_model_folder_has_wal(const dbk_model_folder *folder, const char *path)
{
    const dbk_port *port = folder->port;
    char serial[SERIAL_DIGITS + 1], name[128];
    dbk_dir *dir = NULL;
    dbk_identity wal;
    serial_of(path, serial);
    (void)snprintf(name, sizeof name, "%s-wal", folder->file);
    if (!is_serial(serial) || port->open_dir(port->ctx, folder->dir, serial, 0, &dir) != 0) return false;
    bool has = port->identify(port->ctx, dir, name, &wal) == 0 && wal.size_bytes > 0;
    port->close_dir(port->ctx, dir);
    return has;
}
