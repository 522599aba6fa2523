/* store: one open store. What the bus, the command line and the tests need beyond daybook.h.
 *
 * A dbk_store is a table of functions and its context, so that bus/client.c can put a connection behind
 * the same calls.
 *
 * Threads: create, open and close by one thread. Between them every call on an engine may come from any thread;
 * those that decide, log or switch wait for the one that has the turn, so none of them is made from a callback of
 * the turn. Every call can give DBK_NO_MEMORY, DBK_IO and DBK_UNAVAILABLE (the store is closing). Positions count
 * entries from 1; times are ms since 1970 unless their names say otherwise. */
#ifndef DBK_STORE_H
#define DBK_STORE_H

#include "projector/projector.h"
#include "store/daybook.h"

/* What a client may send and ask for. */
enum {
    DBK_COMMAND_MAX_BYTES = 1024 * 1024,
    DBK_BATCH_MAX_BYTES = 16 * 1024 * 1024,
    DBK_BATCH_MAX_COMMANDS = 10000,
    DBK_COMMAND_ID_MAX_BYTES = 128,
    DBK_QUERY_MAX_MS = 250,
    DBK_QUERY_MAX_MIB = 64, /* of memory that SQLite takes for one */
    DBK_ANSWER_MAX_BYTES = 16 * 1024 * 1024,
    DBK_ANSWER_MAX_ROWS = 100000
};

/* What stands behind a dbk_store: the engine of this process (queue.c), or a connection (bus/client.c). All but `close`
 * may be called by any thread at any time. Texts that come in are borrowed for the call; a dbk_text that goes out is
 * the caller's. A refused command is an answer, hence DBK_OK; another result means that there is no answer, and says
 * why as dbk_do of daybook.h has it. */
typedef struct dbk_store_ops {
    /* Once, last and alone: answers what waits, ends subscriptions and threads, frees ctx. */
    void (*close)(void *ctx);
    /* Does not wait. DBK_OK: `done` is called once, on a thread of the implementation or on this one before it returns;
     * the receipt lives for that call. Else it is never called. Commands of one thread are decided in its order. */
    dbk_result (*send)(void *ctx, const char *json, size_t size, dbk_done_fn done, void *arg, dbk_error *err);
    /* A command or request, or an array of them; waits for the answer. What it accepts is durable by then, unless the
     * command itself said that it need not be. */
    dbk_result (*call)(void *ctx, const char *json, size_t size, dbk_text *receipt, dbk_error *err);
    /* As dbk_subscribe; *out is what unsubscribe takes, which waits for a call of `each` under way and frees it. */
    dbk_result (*subscribe)(void *ctx, const char *table, const char *from, dbk_change_fn each, void *arg, void **out,
                            dbk_error *err);
    void (*unsubscribe)(void *ctx, void *subscription);
    /* As dbk_send_staged. NULL: only the last stage is told. */
    dbk_result (*send_staged)(void *ctx, const char *json, size_t size, dbk_stage_fn each, void *arg, dbk_error *err);
    /* As dbk_register_command. NULL: it takes no commands of the caller's process. */
    dbk_result (*register_command)(void *ctx, const char *name, dbk_command_fn run, void *arg, dbk_error *err);
    /* As `call`, given up when *cancel becomes true, which `cancel` sets, from another thread. Both or neither; NULL:
     * it cannot be followed. */
    dbk_result (*call_until)(void *ctx, const char *json, size_t size, const bool *cancel, dbk_text *receipt,
                             dbk_error *err);
    void (*cancel)(void *ctx, bool *cancel);
} dbk_store_ops;
/* Wraps an implementation; frees nothing of it until dbk_close → ops->close(ctx). query and read_log of
 * daybook.h are made of `call` ({"do":"query"…}, {"do":"log"…}), so every implementation has them. */
dbk_result dbk_store_wrap(const dbk_store_ops *ops, void *ctx, dbk_store **out, dbk_error *err) DBK_MUST_USE;
/* What an answer says: DBK_OK, or its refusal as result and error record. */
dbk_result dbk_answer_result(const dbk_json_node *root, dbk_error *err) DBK_MUST_USE;
/* The moment as members of a request, each with a comma in front: `,"at":17`; of the present nothing. */
static inline void dbk_moment_put(dbk_buffer *out, const dbk_moment *at)
{
    if (at->position) dbk_buffer_printf(out, ",\"at\":%llu", (unsigned long long)at->position);
    if (at->time_ms) dbk_buffer_printf(out, ",\"at_time\":%lld", (long long)at->time_ms);
    if (at->order_time_ms) dbk_buffer_printf(out, ",\"order_time\":%lld", (long long)at->order_time_ms);
}

/* ---- the embedded implementation */
typedef struct dbk_engine dbk_engine;
enum { DBK_FOLDER_TEXT_SIZE = 48 };

/* Where a test stops the turn: "decide" (in a command, before it ends; `command_id` set), "logged",
 * "committed"; beside the turns, before what was decided is folded into what a late round takes: "ahead". Non-zero: the process "dies" here (the call returns DBK_UNAVAILABLE, the engine only allows close). */
typedef int (*dbk_hook_fn)(void *arg, dbk_engine *engine, const char *point, dbk_slice command_id);

/* Messages of the feed, as published: called on the deciding thread after each commit. `table` NULL: a head
 * message, sent at once when a new generation begins. */
typedef void (*dbk_publish_fn)(void *arg, const char *table, const char *message, size_t size);
/* Whether anybody would read a message now: asked on the deciding thread before the rows are read for it. */
typedef bool (*dbk_wanted_fn)(void *arg);

/* Room on the disk (docs/decisions/0012-disk-guard.md). Zero = default, of a small disk a share. */
typedef struct dbk_disk_limits {
    uint64_t min_free_bytes;   /* below it commands are refused: 64 MiB, 2 % at most */
    uint64_t alert_free_bytes; /* below it stats and doctor warn: 256 MiB, 5 % at most */
    uint64_t reserve_bytes;    /* kept to finish with on a full disk: 8 MiB, 1 % at most */
    bool off;                  /* no guard, no reserve */
} dbk_disk_limits;
/* What they come to on a disk of that size; limits may be NULL. */
void dbk_disk_levels(const dbk_disk_limits *limits, uint64_t total_bytes, uint64_t *min_free, uint64_t *alert_free);

/* What is decided and synced together. A message that is over a limit of bytes by itself is a batch of its own. */
typedef struct dbk_batch_limits { /* zero = default */
    uint32_t count;               /* messages: 1,000, and no more than that */
    uint32_t bytes;               /* 8 MiB, and no more */
    uint32_t delay_us;            /* how long a batch that is not full waits for more messages: not at all */
} dbk_batch_limits;

typedef struct dbk_engine_options { /* zero = default */
    const dbk_port *port;           /* the system's */
    bool read_only, force_fs, force_location;
    dbk_disk_limits disk;
    dbk_batch_limits batch;
    uint64_t scrub_bytes_per_second; /* reads the ended segments again at this rate; 0: it does not */
    bool no_threads;                 /* no worker, no checkpoint thread, no background in the log (simulation) */
    uint32_t import_slice;           /* facts that an import takes in within one turn: 128 */
    uint64_t base_least;             /* entries that a round's shadow folds beside the turns, else not: 4,096 */
    uint32_t parked_max;             /* facts that may wait before the log: 100,000, of 64 MiB together */
    uint32_t wal_bytes_max;          /* of the model's WAL, where the decider stands still for it: 256 MiB */
    bool ignore_place;               /* a copied folder keeps its identity (tests) */
    bool given_ids;                  /* create: take lineage, replica, incarnation, timeline from here */
    uint8_t lineage[16], replica[16];
    uint32_t incarnation;
    const char *timeline;
    const dbk_definition *definition; /* instead of app/ (borrowed, must outlive) */
    dbk_model_options model;          /* limits of journal and feed, vfs */
    dbk_log_options log;              /* segment sizes, no_direct … */
    uint64_t image_bytes;             /* budget of images/; default: 0.4 of the model's, 1 MiB at least */
    uint64_t image_every;             /* a rung for so many entries; default 65,536, and an eighth of the log */
    dbk_hook_fn hook;
    void *hook_arg;
    dbk_publish_fn publish; /* also of what is caught up at open; see dbk_engine_on_publish */
    void *publish_arg;
    dbk_progress_fn progress; /* of a rebuild at open; not called once that has returned */
    void *progress_arg;
} dbk_engine_options;

/* Makes a store at `path` (must not exist, or be an empty folder) with the definition `app`, durable when it
 * returns; daybook.json comes last, so that what a crash leaves is told from a store. Errors as dbk_create has them.
 * `report` is filled like dbk_create's. */
dbk_result dbk_engine_create(const char *path, const char *app, const dbk_engine_options *options, dbk_text *report,
                             dbk_error *err) DBK_MUST_USE;
/* Locks, recovers the log, brings the model up to it, starts the threads; errors as dbk_open has them. `options` are
 * copied; what they point to outlives the engine. *out is the caller's until close or wrap. */
dbk_result dbk_engine_open(const char *path, const dbk_engine_options *options, dbk_engine **out,
                           dbk_error *err) DBK_MUST_USE;
/* Answers what waits, ends the threads, marks the clean end, frees; accepts NULL. */
void dbk_engine_close(dbk_engine *engine);
dbk_result dbk_engine_wrap(dbk_engine *engine, dbk_store **out,
                           dbk_error *err) DBK_MUST_USE; /* the store then owns it */

/* One turn of the commit loop over exactly these commands, at the given wall clock, by the calling
 * thread; receipts[i] is filled for each (JSON). What a receipt accepts is durable by then; what
 * failed, and whether its outcome is known, stands in the receipts too. Another result than DBK_OK: no receipts. */
dbk_result dbk_engine_decide(dbk_engine *engine, const dbk_slice *commands, size_t count, int64_t now_ms,
                             dbk_buffer *receipts, dbk_error *err) DBK_MUST_USE;
/* {"id","do":"undo","entry"|"position"|"of_correlation"} in a turn of its own. */
dbk_result dbk_engine_undo(dbk_engine *engine, dbk_slice json, int64_t now_ms, dbk_buffer *receipt,
                           dbk_error *err) DBK_MUST_USE;
/* Carries out the rules of time that are due at these readings of both clocks (retention.c does it by itself
 * where there are threads). *deleted: rows. */
dbk_result dbk_engine_retain(dbk_engine *engine, int64_t now_ms, int64_t mono_ns, uint64_t *deleted,
                             dbk_error *err) DBK_MUST_USE;
/* Facts of other replicas (origin bytes): logs what is next of its author, parks the rest, folds once
 * (semantics.md §4). Many are taken in slice by slice, and between these others decide. What is logged is durable when
 * it returns, what is parked is not; after a failure some may be logged, and all can be sent again. Facts of another
 * lineage are passed over. DBK_DUPLICATE: a fork, nothing of the round is logged; DBK_CORRUPT: bytes that are no
 * entry. */
dbk_result dbk_engine_import(dbk_engine *engine, const dbk_slice *origins, size_t count, int64_t now_ms,
                             uint64_t *logged, uint64_t *parked, dbk_error *err) DBK_MUST_USE;
/* One look at every mirror of the settings: takes edits of the files in, writes what was set. A store with threads
 * looks by itself, twice a second; without them only this does, by one thread at a time. */
dbk_result dbk_engine_mirror(dbk_engine *engine, dbk_error *err) DBK_MUST_USE;
/* A new generation from the log alone; waits for it. The present model serves meanwhile, and stays after a failure. */
dbk_result dbk_engine_rebuild(dbk_engine *engine, dbk_progress_fn progress, void *arg, dbk_error *err) DBK_MUST_USE;
/* The fold at a moment into a new SQLite file at `path`; plain: without the engine's tables. The state says
 * position and fingerprint. at NULL: now. DBK_NOT_FOUND: no such position; DBK_EXISTS: the file is there;
 * DBK_BAD_COMMAND: it would lie in a folder of the store. A failure leaves no file. */
dbk_result dbk_engine_replay(dbk_engine *engine, const dbk_moment *at, const char *path, bool plain,
                             dbk_progress_fn progress, void *arg, dbk_model_state *state, dbk_error *err) DBK_MUST_USE;
/* The same of an async model of the definition; where the model stops before the moment, as it stands there. */
dbk_result dbk_engine_replay_model(dbk_engine *engine, const dbk_definition *model, const dbk_moment *at,
                                   const char *path, bool plain, dbk_progress_fn progress, void *arg,
                                   dbk_model_state *state, dbk_error *err) DBK_MUST_USE;
/* A copy of the entries up to a position as a store of its own at `path` that writes under a new incarnation and
 * timeline. DBK_NOT_FOUND: no such position; DBK_USAGE: the incarnation is this store's or the first;
 * DBK_EXISTS. Incarnation 0 and timeline NULL: drawn. */
dbk_result dbk_engine_copy(dbk_engine *engine, uint64_t upto, const char *path, uint32_t incarnation,
                           const char *timeline, const dbk_engine_options *options, dbk_error *err) DBK_MUST_USE;
/* What salvage tells; each function may be NULL. */
typedef struct dbk_salvage_watcher {
    void *arg;
    void (*fault)(void *arg, const dbk_log_fault *fault);                         /* of the old store's log */
    void (*note)(void *arg, const char *file, dbk_result code, const char *text); /* of its other files */
    void (*missing_positions)(void *arg, uint64_t first, uint64_t last);          /* of the old store */
    void (*missing_ids)(void *arg, const dbk_entry_id *first, uint64_t count);    /* from its seq on */
    dbk_progress_fn progress;
} dbk_salvage_watcher;
typedef struct dbk_salvage_report {
    uint64_t faults, kept, kept_bytes; /* entries, their origin bytes */
    uint64_t missing;                  /* positions that were there by watermark, seals and later records */
    uint64_t
        damaged_bytes; /* of the segment files that hold no sound record; what is missing with a file is not counted */
    uint64_t left_out; /* entries in sound batches of another history */
    uint64_t inbox;    /* kept entries that do not project without the missing ones */
    uint64_t position; /* the new store's last */
    bool new_replica;  /* daybook.json was not readable: it writes as another replica */
    bool new_definition;         /* not the one that the log recorded last */
    char id[DBK_UUID_TEXT_SIZE]; /* of the new store */
} dbk_salvage_report;
/* Copies what is provably good of the store at `path` (dbk_log_watcher, entry) into a new store at `into`:
 * the same entries under the same ids, one behind the other, in a timeline of its own that writes under a new
 * incarnation. Opens it once, so that its model is made. Reads the old store only. `app` NULL: the old store's
 * definition. DBK_LOST: nothing is good; DBK_MISSING, DBK_SCHEMA: no definition; DBK_VERSION; DBK_EXISTS. */
dbk_result dbk_engine_salvage(const char *path, const char *into, const char *app, const dbk_engine_options *options,
                              const dbk_salvage_watcher *watcher, dbk_salvage_report *report,
                              dbk_error *err) DBK_MUST_USE;
/* Folds with a newer definition (borrowed) from here on. Calls `each` for every entry that projected before
 * and does not now; with any, nothing is changed unless `accept`. *count: how many. */
dbk_result dbk_engine_upgrade(dbk_engine *engine, const dbk_definition *definition, int64_t now_ms, bool accept,
                              void (*each)(void *arg, const dbk_entry_id *lost), void *arg, uint64_t *count,
                              dbk_error *err) DBK_MUST_USE;
/* Sets the receiver of the feed; NULL: none. `wanted` NULL: always. */
void dbk_engine_on_publish(dbk_engine *engine, dbk_publish_fn publish, dbk_wanted_fn wanted, void *arg);
/* The present head message {"head":true,…}. */
dbk_result dbk_engine_head_message(dbk_engine *engine, dbk_buffer *out, dbk_error *err) DBK_MUST_USE;
/* Answers every request that waits for the log to grow, as if its time were over. */
void dbk_engine_answer_waits(dbk_engine *engine);
/* Of a store that an engine is behind. As dbk_send; a request that waits for the log is answered as soon as *cancel is
 * true, which dbk_store_cancel sets; what only asks and was not read by then is refused: `unavailable`. What is to be
 * done is done all the same. */
dbk_result dbk_store_send_until(dbk_store *store, const char *json, size_t size, const bool *cancel, dbk_done_fn done,
                                void *arg, dbk_error *err) DBK_MUST_USE;
void dbk_store_cancel(dbk_store *store, bool *cancel);
/* Requests that wait for nothing, from any thread: appends the answer. False: it is none of them, send it. */
bool dbk_engine_answer_at_once(dbk_engine *engine, dbk_slice json, dbk_buffer *out) DBK_MUST_USE;
/* Which folder an open directory is on this machine, "<device>:<inode>", as hello's "folder" says it. */
dbk_result dbk_folder_text(const dbk_port *port, dbk_dir *dir, char out[DBK_FOLDER_TEXT_SIZE],
                           dbk_error *err) DBK_MUST_USE;
const dbk_definition *dbk_engine_definition(const dbk_engine *engine); /* borrowed until an upgrade or close */
dbk_log *dbk_engine_log(dbk_engine *engine);                           /* borrowed */
dbk_model *dbk_engine_model(dbk_engine *engine);                       /* borrowed; only while nobody decides */
const char *dbk_engine_id(const dbk_engine *engine);                   /* the store's id, UUID text */
/* The same, with the incarnation behind it unless it is the first: no copy has it too. */
const char *dbk_engine_own_name(const dbk_engine *engine);
/* location.c: DBK_UNSUPPORTED_FS: the folder is no place for a live store, and why. `any_fs`: on whatever file
 * system; `anywhere`: where a cloud's client synchronizes, too. */
dbk_result dbk_location_check(const dbk_port *port, dbk_dir *dir, bool any_fs, bool anywhere,
                              dbk_error *err) DBK_MUST_USE;
/* place.c: whether the store in that folder was copied or put back there since it was last written. Its next
 * writer then takes a new incarnation and timeline. */
dbk_result dbk_place_is_copy(const dbk_port *port, dbk_dir *store, bool *copy, dbk_error *err) DBK_MUST_USE;
/* aside.c: each name, within the store, of what stood in the way of a cache and was renamed, as UTF-8 of what
 * bytes it may be. Nobody deletes it. */
typedef void (*dbk_aside_fn)(void *arg, const char *path);
void dbk_aside_each(const dbk_port *port, dbk_dir *store, dbk_aside_fn each, void *arg);
void dbk_engine_cursor(dbk_engine *engine, const char **timeline, uint64_t *generation, uint64_t *position);
int64_t dbk_engine_now(const dbk_engine *engine);

#endif
