/* Result codes: one list, from which the enum, the names and the texts are made.
 * 0 is done, negative is a failure, positive another normal outcome. */
#ifndef DBK_RESULT_H
#define DBK_RESULT_H

/* X(code, value, name, name on the wire (interface.md §2), class, text). Several precise codes share
 * one name on the wire: clients switch on that one, operators read the precise one. */
#define DBK_RESULT_LIST(X)                                                                                             \
    X(OK, 0, "ok", "ok", NONE, "done")                                                                                 \
    X(END, 1, "end", "ok", NONE, "nothing follows")                                                                    \
    X(NONE, 2, "none", "ok", NONE, "there is no such thing")                                                           \
    X(BAD_JSON, -1, "bad_json", "bad_json", VALIDATION, "not valid JSON")                                              \
    X(BAD_COMMAND, -2, "bad_command", "bad_command", VALIDATION, "not a well-formed command")                          \
    X(UNKNOWN_COMMAND, -3, "unknown_command", "unknown_command", VALIDATION, "no such command")                        \
    X(UNKNOWN_TABLE, -4, "unknown_table", "unknown_table", VALIDATION, "no such collection")                           \
    X(UNKNOWN_FIELD, -5, "unknown_field", "unknown_field", VALIDATION, "no such field")                                \
    X(UNKNOWN_TYPE, -6, "unknown_type", "unknown_type", VALIDATION, "no such event type")                              \
    X(SCHEMA, -7, "schema", "schema", VALIDATION, "a value has the wrong type or shape")                               \
    X(CONSTRAINT, -8, "constraint", "constraint", PERSISTENT, "a constraint does not hold")                            \
    X(REJECTED, -9, "rejected", "rejected", PERSISTENT, "refused by the app's rules")                                  \
    X(VERSION_CONFLICT, -10, "version_conflict", "version_conflict", PERSISTENT, "not at the expected version")        \
    X(ID_REUSED, -11, "id_reused", "id_reused", PERSISTENT, "the id was used with other content")                      \
    X(NOT_FOUND, -12, "not_found", "not_found", PERSISTENT, "there is no such row")                                    \
    X(TOO_BIG, -13, "too_big", "too_big", VALIDATION, "over a limit")                                                  \
    X(DENIED, -14, "denied", "denied", PERSISTENT, "the right is missing")                                             \
    X(RATE_LIMITED, -15, "rate_limited", "rate_limited", TRANSIENT, "too many requests")                               \
    X(BUSY, -16, "busy", "busy", TRANSIENT, "out of time")                                                             \
    X(NO_SPACE, -17, "no_space", "no_space", CRITICAL, "the disk is full")                                             \
    X(READ_ONLY, -18, "read_only", "read_only", PERSISTENT, "opened for reading only")                                 \
    X(POISONED, -19, "poisoned", "poisoned", CRITICAL, "a sync failed earlier")                                        \
    X(CORRUPT, -20, "corrupt", "corrupt", CRITICAL, "acknowledged bytes are damaged")                                  \
    X(LOST, -21, "lost", "corrupt", CRITICAL, "acknowledged entries are gone")                                         \
    X(GAP, -22, "gap", "corrupt", CRITICAL, "entries are missing in the middle")                                       \
    X(DUPLICATE, -23, "duplicate", "corrupt", CRITICAL, "the same entries stand twice")                                \
    X(FOREIGN, -24, "foreign", "corrupt", CRITICAL, "it belongs to another store")                                     \
    X(VERSION, -25, "version", "unavailable", PERSISTENT, "written by a newer Daybook")                                \
    X(IO, -26, "io", "unavailable", CRITICAL, "the system failed a read or a write")                                   \
    X(NO_FILES, -27, "no_files", "busy", TRANSIENT, "too many open files")                                             \
    X(NO_MEMORY, -28, "no_memory", "busy", TRANSIENT, "out of memory")                                                 \
    X(LOCKED, -29, "locked", "locked", TRANSIENT, "another process has it")                                            \
    X(LOCKED_VAULT, -30, "locked_vault", "locked_vault", PERSISTENT, "the vault is locked")                            \
    X(UNSUPPORTED_FS, -31, "unsupported_fs", "unavailable", PERSISTENT,                                                \
      "this kind of file system cannot hold a live store")                                                             \
    X(UNAVAILABLE, -32, "unavailable", "unavailable", TRANSIENT, "not available now")                                  \
    X(TIMEOUT, -33, "timeout", "unavailable", TRANSIENT, "no answer in time")                                          \
    X(EXISTS, -34, "exists", "bad_command", PERSISTENT, "it exists already")                                           \
    X(MISSING, -35, "missing", "unavailable", PERSISTENT, "there is no such file")                                     \
    X(USAGE, -36, "usage", "bad_command", VALIDATION, "wrong use of the interface")                                    \
    X(UNSUPPORTED, -37, "unsupported", "bad_command", PERSISTENT, "not supported here")                                \
    X(INTERNAL, -38, "internal", "internal", CRITICAL, "an internal failure")

typedef enum dbk_result {
#define X(code, value, name, wire, class_, text) DBK_##code = (value),
    DBK_RESULT_LIST(X)
#undef X
} dbk_result;

/* What a caller can do about a failure: try again (transient), tell the user (persistent), raise the
 * alarm (critical), correct the input (validation). */
typedef enum dbk_class {
    DBK_CLASS_NONE,
    DBK_CLASS_TRANSIENT,
    DBK_CLASS_PERSISTENT,
    DBK_CLASS_CRITICAL,
    DBK_CLASS_VALIDATION
} dbk_class;

#define DBK_MUST_USE __attribute__((warn_unused_result))
#define DBK_API      __attribute__((visibility("default"))) /* seen outside the shared library */

/* All return static text; an unknown code gives "internal" and its relatives. */
DBK_API const char *dbk_result_name(dbk_result result);      /* "lost" */
DBK_API const char *dbk_result_wire_name(dbk_result result); /* "corrupt" */
DBK_API const char *dbk_result_text(dbk_result result);      /* "acknowledged entries are gone" */
DBK_API dbk_class dbk_result_class(dbk_result result);
DBK_API const char *dbk_class_name(dbk_class class_); /* "transient" … ; "none" for success */

#endif
