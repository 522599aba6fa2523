/* The inline read model: one SQLite file with the app's tables and, in the same transaction, position,
 * head, fingerprint, journal, skip list (semantics.md §3, §4, §6). Engine tables begin with _daybook_.
 *
 * One thread at a time uses a model (the decider). Readers have connections of their own: dbk_reader_open.
 *
 * Durability: a commit survives the death of the process when it returns, a power loss after the next checkpoint of
 * the WAL; the log has all of it, and a model that is behind catches up. Failures that every call may give:
 * DBK_NO_MEMORY, DBK_NO_SPACE, DBK_IO, DBK_CORRUPT (SQLite finds the file damaged: build it anew), DBK_INTERNAL. */
#ifndef DBK_PROJECTOR_MODEL_H
#define DBK_PROJECTOR_MODEL_H

#include <stdatomic.h>

#include "log/log.h"
#include "projector/definition.h"

typedef struct dbk_model dbk_model;

typedef struct dbk_model_options { /* zero = default */
    const char *vfs;               /* SQLite's file layer, NULL: default */
    bool bulk;                 /* building a shadow: no WAL, no sync, big cache; dbk_model_finish makes it durable */
    bool reverse_unordered;    /* PRAGMA reverse_unordered_selects, for the determinism test */
    uint32_t journal_rows;     /* journal keeps at most so many (position, table, key); default 1,000,000 */
    uint32_t keys_only_over;   /* a message with more keys carries keys only; 0: by bytes (256 KiB) */
    uint32_t reset_table_over; /* … says reset table; 0: by bytes (1 MiB) */
    uint32_t cache_pages;      /* default 512 pages of 4096 */
    const atomic_bool
        *halt; /* NULL: none. Once it is true, what folds ends with DBK_UNAVAILABLE, between two commits */
    uint32_t fold_thousands; /* thousands of SQLite's steps that a statement of a projection may take for an entry of
                                   the log; default 400,000. A part of the fold: only tests say otherwise */
    uint32_t fold_mib;       /* the same of memory, in MiB; default 256. A decision has a quarter */
    uint32_t written_mib;    /* the same of what an entry's changes write; default DBK_ENTRY_WRITTEN_MAX_MIB */
    uint64_t budget_bytes;   /* of an async model: it stops where its file would hold more; 0: none. Files of moments
                                have none */
    bool passing;            /* the file is for this process alone: dbk_model_finish does not make it durable */
    bool put_keeps_unnamed;  /* a put leaves the columns it does not name on an existing row as they are:
                                   the reference model's reading, for its traces (docs/decisions/0005) */
} dbk_model_options;

/* Makes a new file (DBK_EXISTS) with the definition's schema, at position 0. `definition` and `log` are
 * borrowed until close; log may be NULL for a model that only answers about itself. */
dbk_result dbk_model_create(const dbk_port *port, const char *path, const dbk_definition *definition, dbk_log *log,
                            const dbk_model_options *options, dbk_model **out, dbk_error *err) DBK_MUST_USE;
/* Opens an existing one. DBK_MISSING; DBK_CORRUPT: not a usable model (rebuild it); DBK_FOREIGN: built
 * with another definition. */
dbk_result dbk_model_open(const dbk_port *port, const char *path, const dbk_definition *definition, dbk_log *log,
                          const dbk_model_options *options, dbk_model **out, dbk_error *err) DBK_MUST_USE;
void dbk_model_close(dbk_model *model); /* rolls back what is open; accepts NULL */
/* The same for one whose file goes: its WAL is not brought into it, which can take seconds. */
void dbk_model_abandon(dbk_model *model);
/* After a bulk build: switches to WAL and syncs, so that the file may become the store's model. With
 * `plain` it drops the engine's tables instead: an ordinary SQLite file (replay's result). */
dbk_result dbk_model_finish(dbk_model *model, bool plain, dbk_error *err) DBK_MUST_USE;
struct sqlite3 *dbk_model_handle(dbk_model *model); /* for tests and checkpoints; borrowed */
const char *dbk_model_path(const dbk_model *model);
/* Bytes of the pages in use, those that were given back not among them; what a budget is held against. */
dbk_result dbk_model_used(dbk_model *model, uint64_t *bytes, dbk_error *err) DBK_MUST_USE;

typedef struct dbk_model_state { /* of the last commit */
    uint64_t position;
    uint8_t head[DBK_LEAF_SIZE];
    uint8_t top[DBK_ORDER_KEY_SIZE]; /* highest order key among the entries folded in */
    dbk_hash128 fingerprint;         /* of all app rows */
    uint64_t floor;                  /* the journal begins above this position */
    uint8_t definition[16];
} dbk_model_state;
/* As the last commit left it; by whoever may use the model. */
void dbk_model_get_state(const dbk_model *model, dbk_model_state *state);

/* ---- a transaction of the fold: begin, entries, then commit or rollback (without effect where none is open) */
dbk_result dbk_model_begin(dbk_model *model, dbk_error *err) DBK_MUST_USE;
void dbk_model_rollback(dbk_model *model);
/* Behind a commit, where more was decided in the transaction than was committed: another one, that still knows the
 * streams of what is not logged yet. Only entries without rows may be decided so. */
dbk_result dbk_model_go_on(dbk_model *model, dbk_error *err) DBK_MUST_USE;
/* Whether a statement of the definition runs for events of that type: if none does, they change no row. */
bool dbk_model_reads_type(dbk_model *model, dbk_slice type);
/* Whether messages of what changes will be asked for (dbk_model_change_json): rows are then kept as they change, which
 * costs less than reading them again. Said or not, the messages are the same. */
void dbk_model_keep_rows(dbk_model *model, bool keep);
bool dbk_model_in_transaction(dbk_model *model); /* false: SQLite dropped it (semantics.md §3.1) */

/* A row as the commit leaves it. */
typedef struct dbk_seen_row {
    bool known, exists; /* not known: it is read where it is wanted */
    dbk_slice values;   /* of all columns, for dbk_row_value_next */
} dbk_seen_row;

/* A change of one table in a commit. */
typedef struct dbk_change {
    const dbk_table *table;
    uint64_t previous; /* position of the table's change before this one, 0: none */
    size_t key_count;
    const dbk_slice *keys;    /* encoded (as in stream names), sorted by bytes */
    const bool *existed;      /* per key: the row was there before the commit */
    const dbk_seen_row *seen; /* per key; NULL: none is known */
} dbk_change;
typedef struct dbk_changes { /* sorted by table name; borrowed from the model until its next begin */
    const dbk_change *items;
    size_t count;
} dbk_changes;
/* Journal, position, head and top with the rows: COMMIT. After a failure the transaction is open or gone (see
 * dbk_model_in_transaction); the caller rolls back. */
dbk_result dbk_model_commit(dbk_model *model, uint64_t position, const uint8_t head[DBK_LEAF_SIZE],
                            const uint8_t top[DBK_ORDER_KEY_SIZE], dbk_changes *changes, dbk_error *err) DBK_MUST_USE;

/* ---- a decision inside the transaction (semantics.md §3). Order: entry_begin, put/patch/… any number,
 * then entry_end (it keeps all) or entry_drop (it leaves no trace). */
typedef struct dbk_draft {
    dbk_entry_id id;                   /* of the entry being decided */
    uint64_t position;                 /* it will have */
    uint8_t order[DBK_ORDER_KEY_SIZE]; /* the order key it will have, for :order; set by the caller like all above */
    int64_t time_ms;
    bool undo; /* its entry puts back: puts leave unnamed columns alone, rules of columns do not merge (F10) */
    dbk_slice command_id, actor, correlation, causation;
    dbk_slice canonical; /* of an append: its data as canonical JSON, where that is known; no bytes: it is not */
    uint32_t event_count;
    dbk_buffer events;     /* encoded events so far */
    dbk_buffer key;        /* JSON of the key of the last put, for the receipt; empty: none */
    dbk_slice last_stream; /* of the last row or stream named, for the receipt's version; in last_stream_text */
    dbk_buffer last_stream_text;
    dbk_buffer result;  /* JSON array of what the last command's -- return gave; empty: none */
    dbk_buffer warning; /* what the receipt of an accepted command tells all the same; empty: nothing */
    dbk_buffer detail;  /* after a refusal: JSON members for the receipt, `"expected":17,"actual":21`; empty: none */
} dbk_draft;
void dbk_draft_init(dbk_draft *draft, const dbk_port *port);
void dbk_draft_clear(dbk_draft *draft); /* keeps memory and nothing else */
void dbk_draft_release(dbk_draft *draft);

/* `single`: the command is one put, patch or delete, or one of the app; no savepoint is made where none is needed. */
dbk_result dbk_model_entry_begin(dbk_model *model, dbk_draft *draft, bool single, dbk_error *err) DBK_MUST_USE;
/* Each appends its event (if any) to the draft and projects it. `key`, `data`, `expect` are JSON nodes
 * or NULL where absent. Refusals by name: DBK_UNKNOWN_TABLE, DBK_UNKNOWN_FIELD, DBK_VERSION_CONFLICT,
 * DBK_NOT_FOUND, DBK_SCHEMA, DBK_CONSTRAINT, DBK_REJECTED, DBK_BAD_COMMAND, DBK_TOO_BIG; failures:
 * DBK_INTERNAL, DBK_NO_SPACE, DBK_NO_MEMORY. After any of them the caller calls entry_drop. */
dbk_result dbk_model_put(dbk_model *model, dbk_draft *draft, dbk_slice table, const dbk_json_node *key,
                         const dbk_json_node *data, const dbk_json_node *expect, dbk_error *err) DBK_MUST_USE;
dbk_result dbk_model_patch(dbk_model *model, dbk_draft *draft, dbk_slice table, const dbk_json_node *key,
                           const dbk_json_node *data, const dbk_json_node *expect, dbk_error *err) DBK_MUST_USE;
dbk_result dbk_model_delete(dbk_model *model, dbk_draft *draft, dbk_slice table, const dbk_json_node *key,
                            const dbk_json_node *expect, dbk_error *err) DBK_MUST_USE;
dbk_result dbk_model_append(dbk_model *model, dbk_draft *draft, dbk_slice stream, dbk_slice type,
                            const dbk_json_node *data, const dbk_json_node *expect, dbk_error *err) DBK_MUST_USE;
/* A command of the definition (app-format.md §5.10): its steps in order, each sees those before; `args` an
 * object or NULL. Further refusals: DBK_UNKNOWN_FIELD (an argument), DBK_BUSY (it reads too much). */
dbk_result dbk_model_command(dbk_model *model, dbk_draft *draft, const dbk_app_command *command,
                             const dbk_json_node *args, dbk_error *err) DBK_MUST_USE;
/* One SELECT inside the entry, as an array of objects; `args` an object for :name, or NULL. */
dbk_result dbk_model_select(dbk_model *model, dbk_slice sql, const dbk_json_node *args, dbk_buffer *out,
                            dbk_error *err) DBK_MUST_USE;
/* An event of the engine: type "daybook.<kind>", stream "daybook/…". */
dbk_result dbk_model_engine_event(dbk_model *model, dbk_draft *draft, const char *stream, const char *type,
                                  dbk_slice data, dbk_error *err) DBK_MUST_USE;
/* Checks deferred foreign keys and the transaction, keeps row records, remembers the entry as fresh (its
 * streams count for versions before the log has it). DBK_CONSTRAINT: a deferred key does not hold. */
dbk_result dbk_model_entry_end(dbk_model *model, dbk_draft *draft, dbk_error *err) DBK_MUST_USE;
void dbk_model_entry_drop(dbk_model *model);

/* The version of a stream or row (F7) with the fresh entries of this transaction; 0: never named. */
dbk_result dbk_model_version(dbk_model *model, dbk_slice stream, uint64_t *version, dbk_error *err) DBK_MUST_USE;

/* ---- undo (semantics.md §7): entries are added, a fold is told with the trail, then the entry in work puts back
 * what stood before them, in the columns whose last writer is one of them. */
typedef struct dbk_undo dbk_undo;
dbk_result dbk_undo_new(const dbk_port *port, const dbk_definition *definition, dbk_undo **out,
                        dbk_error *err) DBK_MUST_USE;
void dbk_undo_free(dbk_undo *undo); /* accepts NULL */
dbk_result dbk_undo_add(dbk_undo *undo, const dbk_entry *entry, dbk_error *err) DBK_MUST_USE;
struct dbk_trail;
/* The events of the app among what is undone: whose they are, and what their entry took back itself when it said them
 * (all zero: nothing). What dbk_model_undo appends says so in its events' `base`. */
size_t dbk_undo_events(const dbk_undo *undo);
void dbk_undo_event_of(const dbk_undo *undo, size_t at, dbk_entry_id *entry, dbk_entry_id *base, dbk_slice *stream);
void dbk_undo_keep_event(dbk_undo *undo, size_t at, const char *reason); /* it is not taken back; static text */
const struct dbk_trail *dbk_undo_trail(const dbk_undo *undo); /* from the first of them to the end; borrowed */
void dbk_undo_forget_rows(dbk_undo *undo);                    /* the fold is told again, from the beginning */
/* The model is where the trail ended. *kept: `{"table","key","columns","reason"},…` of what stays as it is.
 * DBK_CONSTRAINT: something cannot be put back. */
dbk_result dbk_model_undo(dbk_model *model, dbk_draft *draft, const dbk_undo *undo, dbk_buffer *kept,
                          dbk_error *err) DBK_MUST_USE;

/* ---- facts: the fold's step (semantics.md §4). Projects the entry whole, or writes the skip row.
 * A refusal by the data is not an error here; errors are DBK_NO_SPACE, DBK_NO_MEMORY, DBK_INTERNAL … */
dbk_result dbk_model_apply(dbk_model *model, uint64_t position, dbk_slice origin, dbk_error *err) DBK_MUST_USE;

/* Brings the model from its position to the end of the log where that needs no shadow (nothing new
 * sorts below what is applied, or it is row-local: F6), in transactions of at most `entries` (0: one).
 * *shadow true: it needs one, nothing was done. */
typedef void (*dbk_model_changed_fn)(void *arg, const dbk_changes *changes);
typedef void (*dbk_progress_fn)(void *arg, uint64_t done, uint64_t all);
dbk_result dbk_model_catch_up(dbk_model *model, uint32_t entries, dbk_model_changed_fn changed,
                              dbk_progress_fn progress, void *arg, bool *shadow, dbk_error *err) DBK_MUST_USE;

/* Whether a late entry of that kind may be taken without a shadow: what it is about does not forbid it. */
bool dbk_model_may_amend(dbk_model *model, const dbk_entry *entry);
/* Before the log has them: *fits false where the next catch-up with these entries (origin bytes, in canonical order) would
 * ask for a shadow for one about a table with foreign keys or UNIQUE. Reads rows and the log, changes nothing. */
dbk_result dbk_model_foresee(dbk_model *model, const dbk_slice *origins, size_t count, bool *fits,
                             dbk_error *err) DBK_MUST_USE;
/* How many entries were applied once more since the model was opened, because late ones touched their rows. */
uint64_t dbk_model_amended(const dbk_model *model);

/* ---- async models (definition->model names it). They follow the log and decide nothing: row events are events like
 * others to them, and what the data refuse is no entry of the skip list but the end of the fold, with DBK_REJECTED
 * and the like. The model is then the fold of the positions below that entry's. Left out is what an entry
 * `daybook.model.skip` of the log says, wherever it stands: {"model","entry","skip":true|false}, the last one
 * counts. */
typedef struct dbk_model_stop {
    uint64_t position; /* 0: nowhere */
    dbk_entry_id entry;
    char type[128];   /* of its first event that the model has a projection for */
    char reason[512]; /* what SQLite said, with the place in projections.sql */
    bool over_budget; /* no entry's fault: the next one that needs room would stop it too */
} dbk_model_stop;
const dbk_model_stop *dbk_model_stopped(const dbk_model *model); /* of the last catch-up; borrowed */
#define DBK_MODEL_STREAM "daybook/model/"                        /* and the model's name: of what is said to it */
/* As dbk_model_catch_up, for an async model: up to the position `last` (0: the end). *shadow also where an entry was
 * folded that is to be left out, or the other way round. */
dbk_result dbk_model_keep_up(dbk_model *model, uint64_t last, uint32_t entries, bool *shadow,
                             dbk_error *err) DBK_MUST_USE;

/* States above the model's position were published and are lost to it: the next catch-up asks for a shadow
 * unless all that is new is in canonical order above it, which leads through the same states. */
void dbk_model_doubt(dbk_model *model);

/* A trail: what entries change, told as a fold passes over them. */
typedef struct dbk_trail_row {
    const dbk_table *table;
    dbk_slice key;                  /* as in stream names */
    dbk_slice before, after;        /* the row as a JSON object of its columns; empty: none */
    bool anew;                      /* it was there before and is there now, and was removed in between */
    const struct dbk_mask *written; /* of a table with rules: columns that events of the entry wrote; NULL: none */
} dbk_trail_row;
/* Called behind an entry that was applied and touched rows that are asked for. */
typedef dbk_result (*dbk_trail_fn)(void *arg, uint64_t position, const dbk_entry *entry, const dbk_trail_row *rows,
                                   size_t count, dbk_error *err);
typedef struct dbk_trail { /* zero: every entry, every row */
    uint64_t position;     /* only the entry there */
    bool bounded;          /* only from `first` on, in canonical order */
    uint8_t first[DBK_ORDER_KEY_SIZE];
    const dbk_table *table; /* only this row */
    dbk_slice key;
    bool shown;   /* values as clients see them, else as events have them */
    bool passing; /* rows too that came and went within the entry: before and after are empty */
    dbk_trail_fn each;
    void *arg;
} dbk_trail;

/* Tells the trail (NULL: none) of what catches up from here on; borrowed. */
void dbk_model_follow(dbk_model *model, const dbk_trail *trail);

/* Whether the events that name a row of the table are all that can happen to it. */
bool dbk_table_is_alone(const dbk_table *table);
/* Tells the trail of one row of such a table, up to the position `last`, without the rest of the log. `left_out`
 * says which entries the model skips. The file at `path` is the caller's to remove, also after a failure. */
typedef struct dbk_alone {
    uint64_t last;
    bool (*left_out)(void *arg, const dbk_entry_id *id);
    void *arg;
} dbk_alone;
dbk_result dbk_model_tell_alone(const dbk_port *port, const char *path, const dbk_definition *definition, dbk_log *log,
                                const dbk_model_options *options, const dbk_alone *alone, const dbk_trail *trail,
                                dbk_error *err) DBK_MUST_USE;

/* The shadow (K8): folds the wanted entries (see dbk_log_fold_open; position in the state is `last`, 0:
 * the log's end) into a new file. The result is committed, in bulk mode until dbk_model_finish. */
typedef struct dbk_shadow_options {
    dbk_model_options model;
    uint64_t last;
    dbk_log_wanted_fn wanted;
    void *wanted_arg;
    dbk_progress_fn progress;
    void *progress_arg;
    bool image;             /* `path` holds an image (model/image.c) of positions 1 … P, all of them wanted, and what
                               else is wanted sorts above them: the fold goes on from there */
    uint64_t at_once;       /* entries of a transaction; 0: by the file's size */
    const dbk_trail *trail; /* NULL: none */
    dbk_model_stop *stop;   /* of an async model; NULL: not asked. Where it is set, the result is DBK_OK and the model
                               that of the positions below it, or an error, and no lower `last` was tried */
} dbk_shadow_options;
dbk_result dbk_model_build(const dbk_port *port, const char *path, const dbk_definition *definition, dbk_log *log,
                           const dbk_shadow_options *options, dbk_model **out, dbk_error *err) DBK_MUST_USE;
/* Copies a model, whose file may be in use, without its journal and as small as it gets, to `to` (DBK_EXISTS): an
 * image, which only a build can go on from. Not synced. `by_way_of` (DBK_EXISTS) is gone when it returns. DBK_FOREIGN:
 * the model is of another definition. */
dbk_result dbk_image_make(const dbk_port *port, const dbk_model_options *options, const dbk_definition *definition,
                          const char *from, const char *by_way_of, const char *to, dbk_error *err) DBK_MUST_USE;
/* Position, head, top, fingerprint and definition of an image or a model. */
dbk_result dbk_image_look(const dbk_port *port, const char *vfs, const char *path, dbk_model_state *state,
                          dbk_error *err) DBK_MUST_USE;
/* Gives the shadow the journal, tables' last positions and floor of the model it replaces and adds one
 * forward step with the net row difference (reset false), or starts them anew: floor and every table's
 * last position are the position (reset true). `old` may be NULL with reset. Committed on return. */
dbk_result dbk_model_take_over(dbk_model *shadow, dbk_model *old, bool reset, dbk_changes *changes,
                               dbk_error *err) DBK_MUST_USE;

/* A round of facts folded into a shadow before the log has it (model/ahead.c), so that the turn in which it is logged has
 * little left to do. `origins` are in canonical order, the log has none of them, and all of them, with all that the log has
 * behind the shadow's position, sort above what the shadow has. Borrowed, like the shadow, until dbk_ahead_free.
 * What the shadow holds meanwhile is no state of the log: where *fits is false, or after a failure, it has to go. */
typedef struct dbk_ahead dbk_ahead;
/* Beside the turns: up to the log's end. *out NULL with DBK_OK: command ids of the round stand twice, or in the log; the
 * shadow is as it was. */
dbk_result dbk_ahead_make(dbk_model *shadow, const dbk_slice *origins, size_t count, dbk_ahead **out,
                          dbk_error *err) DBK_MUST_USE;
uint64_t dbk_ahead_position(const dbk_ahead *ahead); /* up to where the log's entries are in the shadow */
/* Beside the turns: what the log got since. *fits false: one of these sorts below something that was folded, or has the
 * command id of one of the round. */
dbk_result dbk_ahead_follow(dbk_ahead *ahead, bool *fits, dbk_error *err) DBK_MUST_USE;
/* In the turn, when the log ends with the round: the shadow is the log's fold then. *fits as above. Its file says so only
 * once dbk_model_take_over has committed too, which has to follow. */
dbk_result dbk_ahead_land(dbk_ahead *ahead, bool *fits, dbk_error *err) DBK_MUST_USE;
void dbk_ahead_free(dbk_ahead *ahead); /* before its shadow; accepts NULL */

/* Before dbk_model_take_over, beside the turns: compares the shadow with the model that it will replace, of which `old`
 * is another connection (dbk_model_hold), where their journals say in which rows they may differ. The switch then only
 * looks at what either changes from here on. */
dbk_result dbk_model_compare_ahead(dbk_model *shadow, dbk_model *old, dbk_error *err) DBK_MUST_USE;

/* The highest position up to `last` at which the model stood and from which on its journal has all that changed; 0:
 * none. */
dbk_result dbk_model_commit_below(dbk_model *model, uint64_t last, uint64_t *position, dbk_error *err) DBK_MUST_USE;

/* The rows in which two models of one definition differ, as a step from `before` to `after`: each row as a JSON
 * object, empty where there is none. In order of tables and keys. */
typedef dbk_result (*dbk_differs_fn)(void *arg, const dbk_table *table, dbk_slice key, dbk_slice before,
                                     dbk_slice after, dbk_error *err);
dbk_result dbk_model_compare(dbk_model *before, dbk_model *after, dbk_differs_fn each, void *arg,
                             dbk_error *err) DBK_MUST_USE;

/* Rows whose time is over by a rule (rules.h) at `now_ms`, at most `limit` behind the first `skip`, with the entry that
 * wrote each last ("": none). Outside a transaction; `each` may read rows. What it returns but DBK_OK ends the look. */
struct dbk_retention_rule;
typedef dbk_result (*dbk_due_fn)(void *arg, dbk_slice key, const char *base, dbk_error *err);
dbk_result dbk_model_due(dbk_model *model, const struct dbk_retention_rule *rule, int64_t now_ms, uint64_t skip,
                         uint64_t limit, dbk_due_fn each, void *arg, dbk_error *err) DBK_MUST_USE;
dbk_result dbk_model_count_rows(dbk_model *model, const dbk_table *table, uint64_t *rows, dbk_error *err) DBK_MUST_USE;

/* Two model files of different definitions: `{"table","rows_before","rows_after","only_before","only_after",
 * "writer_before","writer_after"},…` of every table of either; rows are compared by the columns they share. A table of
 * both has `"columns_gone":[{"column","values"},…]` too, values being the rows that hold neither NULL nor the default
 * there, and `"columns_new":["…"]`; one that no model of the second has, `"gone":true`. */
typedef struct dbk_upgrade_side {
    const char *path;
    const dbk_definition *definition;
} dbk_upgrade_side;
dbk_result dbk_upgrade_compare(const dbk_port *port, const char *vfs, const dbk_upgrade_side *before,
                               const dbk_upgrade_side *after, dbk_buffer *out, dbk_error *err) DBK_MUST_USE;

/* ---- reading the model */
/* The key of a command as in stream names (`encoded` is cleared first). DBK_BAD_COMMAND: not the parts of a
 * key; DBK_SCHEMA: a part of another type; DBK_CONSTRAINT: a null; DBK_TOO_BIG. */
dbk_result dbk_key_from_json(const dbk_table *table, const dbk_json_node *key, dbk_buffer *encoded,
                             dbk_error *err) DBK_MUST_USE;
/* The key of a stream name as JSON: a scalar, or an array for several columns. */
void dbk_key_to_json(const dbk_table *table, dbk_slice encoded, dbk_buffer *out);
/* One row as a JSON object by declared types; DBK_NONE: there is no such row. `key` as in stream names. */
dbk_result dbk_model_row_json(dbk_model *model, const dbk_table *table, dbk_slice key, dbk_buffer *out,
                              dbk_error *err) DBK_MUST_USE;
/* What changed for a subscriber (semantics.md §6) whose position in the table is `position`, as members of a
 * JSON object: `"table":…,"reset":false,"changes":[{"op":"update","key":…,"row":{…}},{"op":"delete","key":…},…]`,
 * in order of the keys' bytes; where it has to begin anew, `"reset":true` and every row, as inserted. */
dbk_result dbk_model_catch_up_rows(dbk_model *model, const dbk_table *table, uint64_t position, bool other_life,
                                   dbk_buffer *out, dbk_error *err) DBK_MUST_USE;
/* The feed message of one change: members `"previous":…,"table":…,"changes":[{"op":"insert|update|delete",
 * "key":…,"row":{…}},…]`; over the limit of rows `"keys":true` and only keys; over that of keys `"reset":true`
 * and no changes. */
dbk_result dbk_model_change_json(dbk_model *model, const dbk_change *change, dbk_buffer *out,
                                 dbk_error *err) DBK_MUST_USE;
/* {"table":last,…} of every table that ever changed. */
dbk_result dbk_model_last_json(dbk_model *model, dbk_buffer *out, dbk_error *err) DBK_MUST_USE;
/* Skip list: state is skipped, superseded, duplicate, waiting; callback per row, sorted by entry text. */
typedef struct dbk_skip {
    dbk_entry_id entry;
    uint64_t position; /* in the log */
    const char *state, *reason;
    bool has_against;
    dbk_entry_id against;
    bool dismissed;
} dbk_skip;
typedef dbk_result (*dbk_skip_fn)(void *arg, const dbk_skip *skip);
dbk_result dbk_model_skips(dbk_model *model, dbk_skip_fn each, void *arg, dbk_error *err) DBK_MUST_USE;
/* Counts all rows anew: the fingerprint by a full scan (compare with the state's). */
dbk_result dbk_model_recount(dbk_model *model, dbk_hash128 *fingerprint, uint64_t *rows, dbk_error *err) DBK_MUST_USE;
dbk_result dbk_model_recount_table(dbk_model *model, const dbk_table *table, dbk_hash128 *fingerprint, uint64_t *rows,
                                   dbk_error *err) DBK_MUST_USE;
/* What is read from here on is one committed state, which dbk_model_get_state tells; until dbk_model_rollback. */
dbk_result dbk_model_hold(dbk_model *model, dbk_error *err) DBK_MUST_USE;
/* Looks through the file, SQLite's pages and the rows against the fingerprint, as one moment has them.
 * DBK_CORRUPT: build it anew. */
dbk_result dbk_model_check(dbk_model *model, dbk_error *err) DBK_MUST_USE;
/* FTS5's own check of each search, index against texts: DBK_CORRUPT. It takes the right to write for its time,
 * so it is for a model that nobody else has open; dbk_model_check compares the texts with the rows anyhow. */
dbk_result dbk_model_check_search(dbk_model *model, dbk_error *err) DBK_MUST_USE;
bool dbk_model_holds_judgements(const dbk_model *model); /* skips or row records: no fingerprint covers them */
void dbk_fingerprint_text(dbk_hash128 fingerprint, char out[33]);

/* rows/merge.c: RFC 7396. Appends old merged with patch, minimised; old NULL: none. */
void dbk_json_merge_patch(dbk_buffer *out, const dbk_json_node *old, const dbk_json_node *patch);

/* ---- upcasts: events of old versions as the definition of today has them (app-format.md §5.13) */
typedef struct dbk_upcaster dbk_upcaster; /* one thread at a time */
/* *out is NULL where the definition has no upcasts. */
dbk_result dbk_upcaster_new(const dbk_port *port, const dbk_definition *definition, dbk_upcaster **out,
                            dbk_error *err) DBK_MUST_USE;
void dbk_upcaster_free(dbk_upcaster *upcaster); /* accepts NULL */
/* Brings data and type version on, as far as there are upcasts; the data is borrowed until the next call. A NULL
 * upcaster does nothing. DBK_REJECTED: an upcast fails on it, the event is as it was. */
dbk_result dbk_upcast_event(dbk_upcaster *upcaster, int64_t time_ms, dbk_event *event, dbk_error *err) DBK_MUST_USE;

/* ---- clients' SQL, read-only, on a connection of its own (any thread, one at a time each) */
typedef struct dbk_model_reader dbk_model_reader; /* (dbk_reader is the bounded reader of bytes.h) */
typedef struct dbk_reader_limits {                /* zero = none, but for a client's query see semantics.md §11 */
    uint32_t time_ms;
    uint64_t answer_bytes, rows;
    uint32_t memory_mib; /* that SQLite takes meanwhile */
    bool explain;        /* not run: the answer's rows are how it would be */
} dbk_reader_limits;
/* `path`: a model's file or a plain one. definition may be NULL. */
dbk_result dbk_reader_open(const dbk_port *port, const char *path, const char *vfs, const dbk_definition *definition,
                           dbk_model_reader **out, dbk_error *err) DBK_MUST_USE;
/* The same for a file in a place where nothing can be written, which SQLite's shared memory needs. The caller
 * sees to it that nobody writes to the file while it is open. */
dbk_result dbk_reader_open_still(const dbk_port *port, const char *path, const dbk_definition *definition,
                                 dbk_model_reader **out, dbk_error *err) DBK_MUST_USE;
void dbk_reader_close(dbk_model_reader *reader); /* accepts NULL */
/* The model's position as a query would see it now; 0 for a plain file. */
dbk_result dbk_reader_position(dbk_model_reader *reader, uint64_t *position, dbk_error *err) DBK_MUST_USE;
/* Makes a table `events` of the log (borrowed until close) for clients' SQL, up to the model's position: position,
 * "index", id, type, stream, time, received, actor, command, correlation, causation, typeversion, data. */
dbk_result dbk_reader_show_log(dbk_model_reader *reader, dbk_log *log, dbk_error *err) DBK_MUST_USE;
/* Runs one SELECT; `args` is a JSON object bound to :name, an array bound to ?, or NULL. Appends
 * `"columns":[…],"rows":[[…],…],"position":P` (the model's position as the same read transaction sees it;
 * 0 for a plain file); values by declared type. DBK_BAD_COMMAND: SQL error with its text; DBK_DENIED: writes,
 * PRAGMA, ATTACH, engine tables; DBK_BUSY: over the time; DBK_TOO_BIG. */
dbk_result dbk_reader_query(dbk_model_reader *reader, dbk_slice sql, const dbk_json_node *args,
                            const dbk_reader_limits *limits, dbk_buffer *out, dbk_error *err) DBK_MUST_USE;
/* The table that the last query named and the file does not have; "" otherwise. Borrowed until the next one. */
const char *dbk_reader_missing(const dbk_model_reader *reader);
/* A named query of the definition; missing or wrong arguments: DBK_BAD_COMMAND, DBK_UNKNOWN_FIELD, DBK_SCHEMA. */
dbk_result dbk_reader_named(dbk_model_reader *reader, dbk_slice name, const dbk_json_node *args,
                            const dbk_reader_limits *limits, dbk_buffer *out, dbk_error *err) DBK_MUST_USE;

#endif
