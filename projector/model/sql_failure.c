/* What an SQLite return code means here. */
#include "projector/model/journal.h"

#include <errno.h>

static dbk_result result_of_os(int os_errno, dbk_result otherwise)
{
    dbk_result result = os_errno ? dbk_result_of_errno(os_errno) : otherwise;
    return result == DBK_NO_SPACE || result == DBK_NO_FILES || result == DBK_READ_ONLY || result == DBK_MISSING
               ? result
               : otherwise;
}

static dbk_result result_of(int rc, int os_errno)
{
    if (rc == SQLITE_IOERR_NOMEM) return DBK_NO_MEMORY;
    if (rc == SQLITE_IOERR_SHMSIZE) return DBK_NO_SPACE; /* of which SQLite keeps no errno */
    switch (rc & 0xff) {
    case SQLITE_OK:
    case SQLITE_ROW:
    case SQLITE_DONE: return DBK_OK;
    case SQLITE_FULL: return DBK_NO_SPACE;
    case SQLITE_NOMEM: return DBK_NO_MEMORY;
    case SQLITE_CONSTRAINT: return DBK_CONSTRAINT;
    case SQLITE_MISMATCH: return DBK_SCHEMA;
    case SQLITE_IOERR: return result_of_os(os_errno, DBK_IO);
    case SQLITE_CANTOPEN: return result_of_os(os_errno, DBK_IO);
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB: return DBK_CORRUPT;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
    case SQLITE_PROTOCOL:
    case SQLITE_INTERRUPT: return DBK_BUSY;
    case SQLITE_READONLY:
    case SQLITE_PERM: return DBK_READ_ONLY;
    case SQLITE_TOOBIG: return DBK_TOO_BIG;
    case SQLITE_AUTH: return DBK_DENIED;
    default: return DBK_INTERNAL;
    }
}

/* "UNIQUE constraint failed: notes.title" -> "UNIQUE notes.title"; what a trigger raised stays as it is. */
static dbk_result fail_constraint(const char *message, dbk_error *err)
{
    static const char middle[] = " constraint failed";
    const char *found = strstr(message, middle);

    if (!found) return dbk_fail(err, DBK_CONSTRAINT, "%s", message);
    const char *rest = found + sizeof middle - 1;
    if (strncmp(rest, ": ", 2) == 0) rest++;
    return dbk_fail(err, DBK_CONSTRAINT, "%.*s%s", (int)(found - message), message, rest);
}

dbk_result dbk_sql_failure(sqlite3 *db, int rc, const char *what, dbk_error *err)
{
    int os_errno = db ? sqlite3_system_errno(db) : 0;
    int known = db ? sqlite3_errcode(db) : SQLITE_OK; /* OK: the failure was met around SQLite */
    bool silent = known == SQLITE_OK || known == SQLITE_ROW || known == SQLITE_DONE;
    const char *message = silent ? sqlite3_errstr(rc) : sqlite3_errmsg(db);
    dbk_result result = result_of(rc, os_errno);

    /* A success where none can be: the caller's call was wrong, not the data. */
    if (result == DBK_OK) result = DBK_INTERNAL;
    if (result == DBK_CONSTRAINT) return fail_constraint(message, err);
    if (result == DBK_NO_FILES)
        return dbk_fail_os(err, result, os_errno, "cannot %s", what); /* SQLite does not say why */
    (void)dbk_fail(err, result, "cannot %s: %s", what, message);
    if (err && (result == DBK_IO || result == DBK_NO_SPACE)) err->os_errno = os_errno;
    return result;
}

dbk_result dbk_model_sql_failure(dbk_model *model, int rc, const char *what, dbk_error *err)
{
    return dbk_sql_failure(model->db, rc, what, err);
}

/* The sandbox knows its own failures only; what SQLite says of a file that is none or of memory tells more. */
dbk_result dbk_sql_guard(sqlite3 *db, dbk_sandbox *sandbox, dbk_error *err)
{
    dbk_result result = dbk_sandbox_install(db, sandbox, err);
    int rc = sqlite3_extended_errcode(db);

    if (result != DBK_INTERNAL || rc == SQLITE_OK) return result;
    return dbk_sql_failure(db, rc, "guard the connection", err);
}
