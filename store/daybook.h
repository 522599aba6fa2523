/* daybook.h: the embedding interface. C11 and C++17.
 *
 * A store is a folder. Every accepted command is one entry in a checksummed append-only log, on disk
 * before its receipt is given; SQLite read models are projected from it in the same turn. The same calls
 * work on a store that this process opened (dbk_open) and on a connection to a daemon (dbk_connect).
 *
 * Threads: all calls on one dbk_store may be made from any thread at any time, except that dbk_close
 * comes last and alone. The callbacks of dbk_send and dbk_subscribe run on the thread that decides, which
 * may be that of any caller, on a thread of the store, or in dbk_subscribe itself; no command is decided
 * until they return. So they are quick, and make no call on the store but dbk_send: any other one waits
 * for the turn that waits for them.
 * Ownership: a dbk_text that a call fills is the caller's, released by dbk_text_free. Strings passed in
 * are only borrowed for the call. Errors: the result says which, *err (may be NULL) what happened to
 * what, and what to do. Durability: a receipt with "ok":true means synced to disk (unless the command
 * said "wait":"accepted"). Memory: what SQL of an app or a client takes is bounded by counting in SQLite's allocator, which
 * can be set up only before SQLite is used in a process: a program that uses SQLite itself makes its first dbk_open or
 * dbk_create before. Where SQLite was there first the same SQL is bounded by its steps alone. */
#ifndef DAYBOOK_H
#define DAYBOOK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#include "base/error.h"

typedef struct dbk_store dbk_store;

/* Text made by the library: UTF-8, NUL-terminated; size without the NUL. */
typedef struct dbk_text {
    char *data;
    size_t size;
} dbk_text;
DBK_API void dbk_text_free(dbk_text *text); /* accepts an empty one; leaves it empty */

/* Zero is the default of every member: `dbk_options options = {0};` (C++: `dbk_options options{};`). */
typedef struct dbk_options {
    bool read_only;      /* dbk_open: beside a writer; shows what is durable; changes nothing */
    bool force_fs;       /* dbk_create, dbk_open: also on a network or FUSE file system */
    bool force_location; /* the same, and in a folder that a cloud's client synchronizes */
    uint32_t timeout_ms; /* dbk_connect: for each answer; 10,000, and none for what folds or reads the whole log */
    /* dbk_open: what is decided and synced together. Messages: 1,000 at most, which is the default; their bytes:
     * 8 MiB, likewise; how long one waits for others to come with it: 0. A delay saves syncs and costs each
     * message its time, also one that only reads. */
    uint32_t batch_count, batch_bytes, batch_delay_us;
    uint32_t reserved_one;
    uint64_t reserved[6];
} dbk_options;

/* Makes a store at `path` (must not exist, or be an empty folder) with the app definition `app`: a folder
 * or one schema.sql. DBK_EXISTS; DBK_SCHEMA: the definition has errors, all in *report (may be NULL). */
DBK_API dbk_result dbk_create(const char *path, const char *app, const dbk_options *options, dbk_text *report,
                              dbk_error *err);
/* Opens it: recovers the log, brings the model up to it. DBK_LOCKED names the holder; DBK_CORRUPT and its
 * relatives refuse and change nothing; DBK_VERSION: a newer format. */
DBK_API dbk_result dbk_open(const char *path, const dbk_options *options, dbk_store **out, dbk_error *err);
/* Connects to a daemon: `url` is "ipc:///…/commands" as `daybook serve` prints it, or the path of a store
 * that a daemon of this user serves. */
DBK_API dbk_result dbk_connect(const char *url, const dbk_options *options, dbk_store **out, dbk_error *err);
/* Decides what is queued, ends subscriptions, marks the clean end. Accepts NULL. */
DBK_API void dbk_close(dbk_store *store);

/* One command or request as JSON (docs/commands.md), or an array of them; the receipt, or the array of
 * receipts in order. DBK_OK also for a refused command: its receipt says "ok":false. Another result
 * means that there is no receipt: DBK_BUSY (the queue is full), DBK_TOO_BIG, DBK_UNAVAILABLE (no daemon has listened
 * for 2 s), DBK_TIMEOUT, DBK_DENIED (another user serves there), DBK_NO_MEMORY. Waits until durable. */
DBK_API dbk_result dbk_do(dbk_store *store, const char *json, size_t size, dbk_text *receipt, dbk_error *err);
/* The same without waiting: `done` is called once, with the receipt, when it is durable and visible, or as
 * soon as the command's "wait" allows: "accepted" before it is synced, "projected" never before it is visible.
 * Order of decision = order of the calls of one thread. DBK_BUSY: the queue is full (65,536). */
typedef void (*dbk_done_fn)(void *arg, const char *receipt, size_t size);
DBK_API dbk_result dbk_send(dbk_store *store, const char *json, size_t size, dbk_done_fn done, void *arg,
                            dbk_error *err);

/* How far a command has come. */
typedef enum dbk_stage {
    DBK_STAGE_FAILED = 0,    /* "ok":false; "outcome" says whether it may have been stored */
    DBK_STAGE_ACCEPTED = 1,  /* decided, with the position it will have; "durable":false: a power loss takes it */
    DBK_STAGE_DURABLE = 2,   /* on disk; "projected":false: not seen by queries yet */
    DBK_STAGE_PROJECTED = 3, /* on disk, and seen by every query asked from now on */
} dbk_stage;
/* As dbk_send, told of each stage that the command reaches, in order, until `last`: a failure also behind
 * DBK_STAGE_ACCEPTED, when its write or sync fails. A command that is refused or was accepted before is told
 * once. Of an array the stage is that of what was accepted in it. Over a connection only the last call
 * comes. The text lives for the call. */
typedef void (*dbk_stage_fn)(void *arg, dbk_stage stage, const char *receipt, size_t size, bool last);
DBK_API dbk_result dbk_send_staged(dbk_store *store, const char *json, size_t size, dbk_stage_fn each, void *arg,
                                   dbk_error *err);

typedef struct dbk_moment { /* zero: now */
    uint64_t position;      /* the state at this position */
    int64_t time_ms;        /* what this store showed at this time, ms since 1970 */
    int64_t order_time_ms;  /* what is known now to have happened by then */
} dbk_moment;
/* One SELECT on the model: {"columns":[…],"rows":[[…],…],"position":P}. `args`: a JSON object for :name,
 * an array for ?, or NULL. `at` may be NULL. */
DBK_API dbk_result dbk_query(dbk_store *store, const char *sql, const char *args, const dbk_moment *at,
                             dbk_text *answer, dbk_error *err);
/* Events as CloudEvents 1.0, one JSON object per call, positions from … to (0: the end); stream and type
 * NULL or exact. Stops when `each` returns false. */
typedef bool (*dbk_event_fn)(void *arg, const char *event, size_t size);
DBK_API dbk_result dbk_read_log(dbk_store *store, uint64_t from, uint64_t to, const char *stream, const char *type,
                                dbk_event_fn each, void *arg, dbk_error *err);
/* The same with a time, received then or later, and backward: event by event from the last. */
typedef struct dbk_log_range { /* zero = all */
    uint64_t from, to;
    const char *stream, *type;
    int64_t since_ms;
    bool reverse;
} dbk_log_range;
DBK_API dbk_result dbk_read_log_range(dbk_store *store, const dbk_log_range *range, dbk_event_fn each, void *arg,
                                      dbk_error *err);

/* The same, and on as the log grows, without polling: each entry is handed out as soon as it is durable (of a store
 * opened read_only beside a writer of another process: within a moment). Blocks; `range` is forward and copied. Returns
 * DBK_OK when `to` was read, when `each` returns false, or when it was stopped; over a connection DBK_UNAVAILABLE when
 * the daemon is gone for good. Run once by one thread; stop from any thread, before or meanwhile, also in `each`. Free
 * it when run has returned, and before dbk_close. DBK_UNSUPPORTED: the store cannot be followed. */
typedef struct dbk_follower dbk_follower;
DBK_API dbk_result dbk_follower_new(dbk_store *store, const dbk_log_range *range, dbk_follower **out, dbk_error *err);
DBK_API dbk_result dbk_follower_run(dbk_follower *follower, dbk_event_fn each, void *arg, dbk_error *err);
DBK_API void dbk_follower_stop(dbk_follower *follower);
DBK_API void dbk_follower_free(dbk_follower *follower); /* accepts NULL */

/* Changes of one table (NULL: of all), live: one JSON message per commit and table, and "head" messages
 * (docs/commands.md, "Changes"). `from`: a cursor [timeline, generation, position] to catch up from, NULL:
 * from now. The first message after a gap the library could not bridge says "reset":true. `table` and `from`
 * are copied. DBK_UNKNOWN_TABLE; DBK_BAD_JSON, DBK_BAD_COMMAND: `from` is no cursor. */
typedef struct dbk_subscription dbk_subscription;
typedef void (*dbk_change_fn)(void *arg, const char *message, size_t size);
DBK_API dbk_result dbk_subscribe(dbk_store *store, const char *table, const char *from, dbk_change_fn each, void *arg,
                                 dbk_subscription **out, dbk_error *err);
DBK_API void dbk_unsubscribe(dbk_subscription *subscription); /* no call comes after it returns; accepts NULL */

/* A command of this process, beside those of the app definition: {"id":…,"do":"note.import","args":{…}}.
 * `run` decides it inside the turn: it reads the rows as they are, emits what shall become of them, and returns
 * DBK_OK; or refuses with an error record (DBK_REJECTED says that the app's rules say no), and nothing of the
 * command stays. What was emitted before is seen by what is read after. It runs on the thread that decides and
 * makes no other call on the store. `args` is the text of the object, "{}" when there was none; it lives for the call.
 * Only what it emits is logged: it is never run again for an entry. `name` has the form of the app's commands
 * ("note.import"), stands neither in the definition nor for one of the engine's words, and is used once.
 * DBK_BAD_COMMAND, DBK_EXISTS; DBK_UNSUPPORTED: the store is a connection. For the life of the store. */
typedef struct dbk_call dbk_call;
typedef dbk_result (*dbk_command_fn)(void *arg, dbk_call *call, const char *args, size_t size, dbk_error *err);
DBK_API dbk_result dbk_register_command(dbk_store *store, const char *name, dbk_command_fn run, void *arg,
                                        dbk_error *err);
/* One SELECT as an array of objects: [{"id":"n1","title":"Hello"},…]; `args` an object for :name, or NULL. */
DBK_API dbk_result dbk_call_query(dbk_call *call, const char *sql, const char *args, dbk_text *rows, dbk_error *err);
/* A put, patch, delete, append or command of the app as JSON without an id. A refusal is returned, and refuses the
 * whole command whatever `run` says. */
DBK_API dbk_result dbk_call_emit(dbk_call *call, const char *json, size_t size, dbk_error *err);
/* The `result` of the receipt: any JSON. */
DBK_API dbk_result dbk_call_return(dbk_call *call, const char *json, size_t size, dbk_error *err);

/* "0.1.0" */
DBK_API const char *dbk_version(void);

#ifdef __cplusplus
}
#endif
#endif
