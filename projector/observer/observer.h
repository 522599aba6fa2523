/* Internal to projector/: the row observer (preupdate hook) and what it gathers.
 *
 * Per entry: the touched rows (table, key) with whether they existed before and exist now. Per
 * transaction: the dirty rows for journal and feed, and the fingerprint's difference. An entry that is
 * dropped is cut back to its mark. */
#ifndef DBK_PROJECTOR_OBSERVER_H
#define DBK_PROJECTOR_OBSERVER_H

#include "projector/model.h"
#include <sqlite3.h>

typedef struct dbk_touched {
    const dbk_table *table;
    dbk_slice key;        /* encoded as in stream names; owned by the observer until the entry ends */
    bool existed, exists; /* before the entry, now */
    bool changed;         /* some column differs, or it came or went */
    bool went;            /* it was removed within the entry, whatever came then */
} dbk_touched;

typedef struct dbk_observer dbk_observer;
dbk_observer *dbk_observer_new(const dbk_port *port, sqlite3 *db, const dbk_definition *definition); /* NULL: memory */
void dbk_observer_free(dbk_observer *observer);
dbk_result dbk_observer_start(dbk_observer *observer,
                              dbk_error *err) DBK_MUST_USE;  /* sets the hook; before any prepare */
void dbk_observer_transaction_begin(dbk_observer *observer); /* forgets dirty rows and the difference */
void dbk_observer_entry_begin(dbk_observer *observer);       /* mark */
void dbk_observer_entry_drop(dbk_observer *observer);        /* back to the mark */
void dbk_observer_statement_mark(dbk_observer *observer);    /* for a statement that may fail alone */
void dbk_observer_statement_drop(dbk_observer *observer);
/* The touched row that the step at `place` changed; false: there is no such step. */
bool dbk_observer_step(const dbk_observer *observer, size_t place, size_t *touched);
/* Marks of the caller's own within the entry, for several statements that fail together. */
size_t dbk_observer_place(const dbk_observer *observer, dbk_hash128 *difference);
void dbk_observer_back_to(dbk_observer *observer, size_t place, dbk_hash128 difference);
/* DBK_NO_MEMORY or DBK_TOO_BIG (rows of one entry, or their bytes) that happened inside the hook. */
dbk_result dbk_observer_failure(const dbk_observer *observer);
/* Between true and false DBK_TOO_BIG also stops the statement, which costs the transaction. */
void dbk_observer_stops(dbk_observer *observer, bool stops);
void dbk_observer_set_written_max(dbk_observer *observer, uint32_t mib); /* else DBK_ENTRY_WRITTEN_MAX_MIB */
/* Of a DBK_TOO_BIG: the bytes were too many, not the rows. */
bool dbk_observer_is_heavy(const dbk_observer *observer);
const dbk_touched *dbk_observer_touched(const dbk_observer *observer, size_t *count);
const dbk_touched *dbk_observer_find(const dbk_observer *observer, const dbk_table *table,
                                     dbk_slice key);               /* of this entry */
dbk_hash128 dbk_observer_difference(const dbk_observer *observer); /* of the transaction, to add to the fingerprint */
/* For bulk builds: dirty rows are not kept (dbk_observer_changes gives none), only the entry's touched ones. */
void dbk_observer_set_bulk(dbk_observer *observer, bool bulk);
/* No hash is taken where nobody needs one to see whether a row changed; the difference stays zero. */
void dbk_observer_set_unhashed(dbk_observer *observer, bool unhashed);
/* The statement to be run sets only these columns of the table's rows, of one row where `changed` is there; NULL:
 * any. It holds until the next, and spares the hook the others. `changed` gets those that did change; a row that
 * stays as it is then counts as not touched. */
struct dbk_mask;
void dbk_observer_sets(dbk_observer *observer, const dbk_table *table, const struct dbk_mask *mask,
                       struct dbk_mask *changed);
/* Whether dbk_observer_inserted is wanted (default true): a copy of each inserted row; facts need none. */
void dbk_observer_keep_inserted(dbk_observer *observer, bool keep);
/* Adds a dirty row from outside the hook (the net difference of a switch); also in bulk. `existed`: before
 * the transaction. */
dbk_result dbk_observer_add(dbk_observer *observer, const dbk_table *table, dbk_slice key, bool existed,
                            dbk_error *err) DBK_MUST_USE;
/* The row as the last INSERT of the hook resolved it (defaults, affinity), for a .put's event: its values, which
 * live until the next statement. Empty when the last change was no INSERT of `table`. */
dbk_slice dbk_observer_inserted(const dbk_observer *observer, const dbk_table *table);
typedef struct dbk_row_value {
    int type; /* SQLITE_NULL, SQLITE_INTEGER … */
    int64_t integer;
    double real;
    dbk_slice bytes; /* of a text or blob */
} dbk_row_value;
bool dbk_row_value_next(dbk_slice *values, dbk_row_value *value); /* false: there are no more */
/* A touched row that is gone, of a table where an edit wins: a JSON object of its columns as it was when it
 * was deleted; empty for others. */
dbk_slice dbk_observer_gone(const dbk_observer *observer, const dbk_touched *row);
/* Whether dbk_observer_before is wanted (default false): a copy of each row as the entry met it; `shown`: values
 * as clients see them, not as events have them. */
void dbk_observer_keep_before(dbk_observer *observer, bool keep, bool shown);
/* The touched row at `index` as it was before the entry, a JSON object of its columns;
 * empty: there was none. */
dbk_slice dbk_observer_before(const dbk_observer *observer, size_t index);
/* Whether changed rows are kept for dbk_observer_changes (default false) as the last change leaves them, up to a bound; not in
 * bulk. It may change at any time: rows that nobody kept are told without values. */
void dbk_observer_keep_rows(dbk_observer *observer, bool keep);
/* The dirty rows of the transaction as changes without `previous`, sorted by table name and key. */
dbk_result dbk_observer_changes(dbk_observer *observer, dbk_change **changes, size_t *count,
                                dbk_error *err) DBK_MUST_USE;
/* Rows that are again as they were before the transaction are no change: `now` says what a row is, its hash taken with
 * that prefix. Asked behind the last statement, before dbk_observer_changes. */
typedef dbk_result (*dbk_row_now_fn)(void *arg, const dbk_table *table, dbk_slice key, dbk_hash128 prefix, bool *exists,
                                     dbk_hash128 *hash, dbk_error *err);
dbk_result dbk_observer_keep_net(dbk_observer *observer, dbk_row_now_fn now, void *arg, dbk_error *err) DBK_MUST_USE;
/* Hash of one row as the fingerprint takes it: `get` gives column i. The table's prefix is computed once: 16 bytes
 * over its name and columns. */
typedef sqlite3_value *(*dbk_column_fn)(void *arg, int column);
dbk_hash128 dbk_row_hash_prefix(dbk_buffer *scratch, const dbk_table *table);
dbk_hash128 dbk_row_hash_with(dbk_buffer *scratch, dbk_hash128 prefix, const dbk_table *table, dbk_column_fn get,
                              void *arg);
/* The same for a row that differs from another in columns of the mask at most; `scratch` is what the other's
 * hash left there, `out` gets this one's, `changed` the columns in which it differs. */
dbk_hash128 dbk_row_hash_changed(dbk_buffer *out, const dbk_buffer *scratch, const dbk_table *table,
                                 const struct dbk_mask *mask, dbk_column_fn get, void *arg, struct dbk_mask *changed);
/* column_fn for the row a statement stands on: arg is the sqlite3_stmt, column i of the table its result column i. */
sqlite3_value *dbk_statement_column(void *statement, int column);

#endif
