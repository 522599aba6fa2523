/* The error record: caller-owned, filled by the function that found the failure and wrapped by its
 * callers: "cannot open store 'x': cannot lock 'x/LOCK': held by process 12". Every function takes a
 * NULL record and then only returns the code. Texts: lower case, no full stop, names in quotes. */
#ifndef DBK_ERROR_H
#define DBK_ERROR_H

#include <stddef.h>

#include "base/result.h"

enum { DBK_ERROR_TEXT_SIZE = 1024, DBK_ERROR_HINT_SIZE = 256 };

typedef struct dbk_error {
    dbk_result code;
    int os_errno;     /* 0 when the system had no part in it */
    const char *file; /* where it was found: static text */
    int line;
    char text[DBK_ERROR_TEXT_SIZE]; /* what happened to what; NUL-terminated, cut at a UTF-8 border */
    char hint[DBK_ERROR_HINT_SIZE]; /* what to do about it, or "" */
} dbk_error;

/* Nothing found yet, for who asks often: the rest of the record is not touched. */
static inline void dbk_error_clear(dbk_error *err)
{
    err->code = DBK_OK;
    err->os_errno = err->line = 0;
    err->file = NULL;
    err->text[0] = err->hint[0] = '\0';
}

/* Fills the record (err may be NULL) and returns `code`, so that callers write
 * `return dbk_fail(err, DBK_CORRUPT, "segment %s: …", name);`. dbk_fail_os takes the errno with
 * either sign and puts ": <the system's text for it>" behind the text. */
#define dbk_fail(err, code, ...)              dbk_error_set((err), (code), 0, __FILE__, __LINE__, __VA_ARGS__)
#define dbk_fail_os(err, code, os_errno, ...) dbk_error_set((err), (code), (os_errno), __FILE__, __LINE__, __VA_ARGS__)

dbk_result dbk_error_set(dbk_error *err, dbk_result code, int os_errno, const char *file, int line, const char *format,
                         ...) __attribute__((format(printf, 6, 7)));
/* Puts "<text>: " in front of the record's text, makes `code` its code and returns it; hint, errno
 * and origin stay. The record must have been set. */
dbk_result dbk_error_wrap(dbk_error *err, dbk_result code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Sets the line that says what to do. */
void dbk_error_hint(dbk_error *err, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The code that an errno means here: ENOSPC and EDQUOT no_space, EMFILE and ENFILE no_files, ENOMEM
 * no_memory, EROFS and EACCES and EPERM read_only, ENOENT missing, EEXIST exists, 0 ok,
 * else io. Takes either sign. */
dbk_result dbk_result_of_errno(int os_errno);

#endif
