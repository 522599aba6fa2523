/* Internal to projector/: the parts of a model and who owns which.
 *   model.c, schema.c, path.c, finish.c             the file and its settings; transactions
 *   coalesce*.c                                     its WAL, written in few calls (coalesce.h)
 *   state.c, commit.c, keys.c                       state and journal, read and written (journal.h)
 *   budget.c                                        what the file may hold
 *   feed.c, select.c, skips.c                       rows, changes and skip list, told
 *   difference.c, image.c, upgrade.c, due.c         the model as a whole
 *   fold.c, amend.c, under.c, tied.c                catch up (amend.h)
 *   ahead.c                                         a round folded before the log has it (ahead.h)
 *   shadow.c, shadow_index.c, take_over.c           build, take over
 *   sandbox*.c, memory.c                            deterministic SQL, its memory
 *   sql_failure.c                                   what SQLite's codes mean
 * Of the other folders: observer/ has the preupdate hook, what it gathers, and the fingerprint; rows/ keys, values,
 * decisions, facts, undo and old versions of events; reader/ clients' SQL, on connections of its own. */
#ifndef DBK_PROJECTOR_MODEL_INTERNAL_H
#define DBK_PROJECTOR_MODEL_INTERNAL_H

#include "projector/observer/observer.h"

/* Prepared statements of one table, made when first needed (rows/statement.c). */
typedef struct dbk_row_statements dbk_row_statements;
/* Streams named by entries of the open transaction that the log does not have yet (rows/fresh.c). */
typedef struct dbk_fresh dbk_fresh;
/* Prepared projections (rows/project.c). */
typedef struct dbk_projections dbk_projections;
/* What an async model is told by the log (rows/orders.c). */
typedef struct dbk_orders dbk_orders;
/* Prepared commands of the app (rows/command.c). */
typedef struct dbk_commands dbk_commands;

struct dbk_model {
    const dbk_port *port;
    const dbk_definition *definition;
    dbk_log *log;
    struct dbk_coalescer *coalescer; /* model/coalesce.h; NULL: SQLite knows no such file layer */
    sqlite3 *db;
    char *path;
    dbk_model_options options;
    dbk_sandbox sandbox;
    dbk_observer *observer;
    dbk_model_state state;     /* as committed */
    bool in_entry, savepoint;  /* an entry is open; it has a savepoint */
    bool deciding;             /* a decision, else a fact */
    bool undo;                 /* the entry in work is an undo (F10) */
    bool has_surplus;          /* some table keeps its last rows only */
    bool bounded, over_budget; /* model/budget.c: the entry in work may not grow beyond it; it would have */
    uint64_t budget_bytes;     /* of the inline model for decisions, of an async one for all it folds; 0: none */
    uint64_t used_before;      /* the entry in work, where it is bounded */
    bool doubted;              /* see dbk_model_doubt */
    bool has_skips;            /* the skip list has rows, or had some in this transaction */
    bool has_row_records;      /* _daybook_rows has rows, or had some in this transaction */
    dbk_row_statements **rows; /* per table of the definition */
    dbk_projections *projections;
    dbk_commands *commands;
    dbk_upcaster *upcaster; /* NULL: there are no upcasts */
    dbk_fresh *fresh;
    struct dbk_row_work *work; /* the entry in work and scratch memory of rows/ (rows/internal.h) */
    /* What is being folded (model/fold.c, model/shadow.c): an entry of the log counts as folded before the one in work
     * when its position is at most wanted_last (0: no bound), `wanted` (NULL: all) takes it and its order
     * key is lower. All zero outside catch_up and build. */
    dbk_log_wanted_fn wanted;
    void *wanted_arg;
    uint64_t wanted_last;
    dbk_orders *orders; /* rows/orders.c; NULL: not an async model */
    dbk_model_stop stop;
    dbk_buffer endless;            /* dbk_endless, rows/bound.c */
    bool indexes_aside;            /* a build made without indexes that no plan names */
    bool wants_indexes;            /* … and a statement came near its bound: it is counted again with them */
    const struct dbk_mask *hidden; /* model/under.c: of the patch in work these columns were set later; NULL: none */
    dbk_slice only;                /* rows/alone.c: only events of this stream are carried out; empty: all */
    const dbk_trail *trail;        /* of a build that tells what entries change; else NULL */
    const dbk_ahead *ahead; /* model/ahead.c: entries that are folded and that the log does not have yet; or NULL */
    dbk_arena *arena;       /* cleared at entry_begin */
    dbk_changes changes;    /* of the last commit */
    dbk_arena *changes_arena;
    struct dbk_narrow *compared;  /* model/narrow.c: of a shadow, what differed before the switch; or NULL */
    struct dbk_journal *journal;  /* tables' last positions, what the journal holds (model/journal.h) */
    sqlite3_stmt *statements[28]; /* fixed engine statements, see dbk_model_statement */
    uint64_t amended;             /* entries applied again, since it was opened (model/amend.c) */
};

/* Places in model->statements below this are those of model/ (journal.h), the others those of rows/. */
enum { DBK_STATEMENTS_OF_MODEL = 12 };

/* Engine tables, made by model/schema.c:
 *   _daybook_meta(name TEXT PRIMARY KEY, value) WITHOUT ROWID        format, definition hash
 *   _daybook_commits(position INTEGER PRIMARY KEY, head BLOB, top BLOB, fingerprint BLOB,
 *                    floor INTEGER, rows INTEGER, keys BLOB)
 *        one row per commit: the journal and the state; keys = the changed keys per table, rows = how many
 *   _daybook_tables(name TEXT PRIMARY KEY, last INTEGER) WITHOUT ROWID
 *        position of each table's last change, up to DBK_LASTS_EVERY commits behind what their keys say
 *   _daybook_skips(entry TEXT PRIMARY KEY, position INTEGER, state TEXT, reason TEXT, against TEXT) WITHOUT ROWID
 *   _daybook_dismissed(entry TEXT PRIMARY KEY) WITHOUT ROWID
 *   _daybook_rows(tab TEXT, key TEXT, last TEXT, at TEXT, version INTEGER, gone TEXT,
 *                PRIMARY KEY(tab, key)) WITHOUT ROWID
 *        what the log's stream index cannot tell: rows changed by an entry that does not name them (last = at =
 *        its id) and rows named by an applied entry that left them alone (at = its id, last = who wrote it
 *        before); version = the highest such position. Of tables with `guard` or `edit_wins` every row that was
 *        ever written; gone = the row as it was deleted under edit_wins */
/* model.c: what the observer is to gather, by the definition and the options. */
void dbk_model_ask_observer(dbk_model *model);
/* A fixed statement of the engine by its place 0 … 27 in model->statements, prepared on first use. */
dbk_result dbk_model_statement(dbk_model *model, int place, const char *sql, sqlite3_stmt **out,
                               dbk_error *err) DBK_MUST_USE;
/* The result for an SQLite return code: FULL → no_space, NOMEM → no_memory, CONSTRAINT → constraint (text
 * says which: "UNIQUE notes.title", detail member "constraint"), IOERR → io, CORRUPT/NOTADB → corrupt … */
dbk_result dbk_model_sql_failure(dbk_model *model, int rc, const char *what, dbk_error *err);

/* rows/key.c */
/* Appends the key of a row to `out` as in stream names; `get` gives column i. false: not a key (NULL, NUL). */
bool dbk_key_from_row(const dbk_table *table, dbk_column_fn get, void *arg, dbk_buffer *out);
/* The same from a statement whose first columns are those of the key, in its order. */
bool dbk_key_from_columns(const dbk_table *table, sqlite3_stmt *row, dbk_buffer *out);
/* Binds the parts of an encoded key to consecutive parameters from `first`. false: not a key of the table. */
bool dbk_key_bind(const dbk_table *table, dbk_slice encoded, sqlite3_stmt *statement, int first, dbk_buffer *scratch);
/* rows/value.c: one value by declared type (app-format.md §5.6, §5.7). DBK_SCHEMA says what was expected.
 * bind: JSON in; out: SQLite's value as JSON for clients and, with `stored` true, for events (as the log
 * keeps it: booleans true/false, JSON parsed, DATETIME in stored form). */
dbk_result dbk_value_bind(const dbk_column *column, const char *table, const dbk_json_node *value,
                          sqlite3_stmt *statement, int parameter, dbk_buffer *scratch, dbk_error *err) DBK_MUST_USE;
void dbk_value_out(dbk_column_type type, sqlite3_value *value, bool stored, dbk_buffer *out);
void dbk_row_value_out(dbk_column_type type, const dbk_row_value *value, bool stored, dbk_buffer *out);
/* rows/statement.c … made and freed by model/model.c's open and close */
dbk_result dbk_rows_open(dbk_model *model, dbk_error *err) DBK_MUST_USE;
void dbk_rows_close(dbk_model *model);
void dbk_rows_transaction_begin(dbk_model *model); /* forgets the fresh entries */

#endif
