/* A lock that excludes other writers for as long as the holder lives (R25). The lock is the open
 * file's, so a removed lock file would admit a second writer: the file's identity is compared with
 * its name after locking, and again whenever asked. */
#include "log/log.h"

#include <errno.h>
#include <stdio.h>

struct dbk_lock {
    const dbk_port *port;
    dbk_dir *dir;
    dbk_file *file;
    char *name;
};
enum { LOCK_ATTEMPTS = 10, LOCK_TEXT_SIZE = 128 };

static dbk_result same_file(const dbk_lock *lock, bool *same, dbk_error *err)
{
    const dbk_port *port = lock->port;
    dbk_identity mine, named;

    *same = false;
    int rc = port->identify_file(port->ctx, lock->file, &mine);
    if (rc == 0) rc = port->identify(port->ctx, lock->dir, lock->name, &named);
    if (rc == -ENOENT) return DBK_OK;
    if (rc != 0) return dbk_fail_os(err, dbk_result_of_errno(rc), rc, "cannot look at '%s'", lock->name);
    *same = mine.links > 0 && mine.device == named.device && mine.inode == named.inode;
    return DBK_OK;
}

static dbk_result fail_held(const dbk_lock *lock, dbk_error *err)
{
    char text[LOCK_TEXT_SIZE] = "", boot[37] = "", now[37] = "?";
    unsigned pid = 0;
    size_t got = 0;

    dbk_result rc = dbk_io_read(lock->port, lock->file, lock->name, 0, text, sizeof(text) - 1, &got, NULL);
    if (rc != DBK_OK || sscanf(text, "%u %36s", &pid, boot) != 2) {
        return dbk_fail(err, DBK_LOCKED, "cannot lock '%s': another process holds it", lock->name);
    }
    bool here = lock->port->boot_id(lock->port->ctx, now) == 0 && strcmp(boot, now) == 0;
    dbk_fail(err, DBK_LOCKED, "cannot lock '%s': held by process %u%s", lock->name, pid,
             here ? "" : " or one on another machine");
    dbk_error_hint(err, "end the other process, or use it");
    return DBK_LOCKED;
}

static dbk_result write_holder(const dbk_lock *lock, dbk_error *err)
{
    const dbk_port *port = lock->port;
    char text[LOCK_TEXT_SIZE], boot[37] = "-";

    if (port->boot_id(port->ctx, boot) != 0) snprintf(boot, sizeof(boot), "-");
    int size = snprintf(text, sizeof(text), "%u %s %lld\n", port->process_id(port->ctx), boot,
                        (long long)port->wall_ms(port->ctx));
    int rc = port->truncate(port->ctx, lock->file, 0);
    if (rc != 0) return dbk_fail_os(err, dbk_result_of_errno(rc), rc, "cannot write '%s'", lock->name);
    dbk_result result = dbk_io_write(port, lock->file, lock->name, 0, text, (size_t)size, err);
    /* On a full disk the holder goes without a name; the lock holds all the same. */
    return result == DBK_NO_SPACE ? DBK_OK : result;
}

/* One attempt; *again: the file was replaced between opening and locking. */
static dbk_result try_lock(dbk_lock *lock, bool *again, dbk_error *err)
{
    const dbk_port *port = lock->port;
    bool same = false;

    *again = false;
    dbk_result rc =
        dbk_io_open(port, lock->dir, lock->name, DBK_OPEN_READ | DBK_OPEN_WRITE | DBK_OPEN_CREATE, &lock->file, err);
    if (rc != DBK_OK) return rc;
    int locked = port->lock_file(port->ctx, lock->file);
    if (locked == -EAGAIN) {
        rc = fail_held(lock, err);
    } else if (locked != 0) {
        rc = dbk_fail_os(err, dbk_result_of_errno(locked), locked, "cannot lock '%s'", lock->name);
    } else {
        rc = same_file(lock, &same, err);
        if (rc == DBK_OK && same) return write_holder(lock, err);
        *again = rc == DBK_OK;
    }
    port->close_file(port->ctx, lock->file);
    lock->file = NULL;
    return rc;
}

dbk_result dbk_lock_take(const dbk_port *port, dbk_dir *dir, const char *name, dbk_lock **out, dbk_error *err)
{
    dbk_lock *lock = dbk_alloc_zero(port, 1, sizeof(*lock));
    bool again = true;

    *out = NULL;
    if (!lock) return dbk_fail(err, DBK_NO_MEMORY, "cannot lock '%s': out of memory", name);
    lock->port = port;
    lock->dir = dir;
    lock->name = dbk_copy_text(port, name);
    dbk_result rc = lock->name ? DBK_OK : dbk_fail(err, DBK_NO_MEMORY, "cannot lock '%s': out of memory", name);
    for (int i = 0; i < LOCK_ATTEMPTS && rc == DBK_OK && again; i++) rc = try_lock(lock, &again, err);
    if (rc == DBK_OK && again) {
        rc = dbk_fail(err, DBK_LOCKED, "cannot lock '%s': it is replaced again and again", name);
    }
    if (rc == DBK_OK) {
        *out = lock;
    } else {
        dbk_lock_release(lock);
    }
    return rc;
}

void dbk_lock_release(dbk_lock *lock)
{
    if (!lock) return;
    if (lock->file) lock->port->close_file(lock->port->ctx, lock->file);
    dbk_free(lock->port, lock->name);
    dbk_free(lock->port, lock);
}

dbk_result dbk_lock_check(const dbk_lock *lock, dbk_error *err)
{
    bool same;

    dbk_result rc = same_file(lock, &same, err);
    if (rc != DBK_OK || same) return rc;
    return dbk_fail(err, DBK_POISONED, "the lock file '%s' was removed or replaced", lock->name);
}
