/* Internal to observer/: the rows of a transaction and how they are found and cut back. */
#ifndef DBK_PROJECTOR_OBSERVER_INTERNAL_H
#define DBK_PROJECTOR_OBSERVER_INTERNAL_H

#include "projector/rows/internal.h"

/* What the last change left of a row, where rows are kept: its values as they were hashed. */
typedef struct dbk_kept {
    size_t at, size;    /* in `rows` of the observer */
    bool known, exists; /* not known: nobody looked, or there was too much */
} dbk_kept;

/* A dirty row of the transaction. Its place in the entry's touched rows counts only while `entry` is
 * the entry in work. */
typedef struct dbk_dirty {
    const dbk_table *table;
    dbk_slice key;
    uint64_t hash; /* of table and key, for the slots */
    uint64_t entry;
    uint32_t touched;
    bool existed;       /* before the transaction */
    bool same;          /* it came out as it was: no change */
    dbk_hash128 before; /* where it existed */
    dbk_kept now;
} dbk_dirty;

/* What one change did to the lists; walking these back undoes it. */
typedef struct dbk_step {
    uint32_t touched;
    bool is_new_dirty, is_new_touched;
    bool exists, changed, went; /* of the touched row before it */
    uint64_t dirty_entry;       /* of the dirty row before it */
    uint32_t dirty_touched;
    uint32_t dirty;
    dbk_hash128 now;
    dbk_kept kept;
    size_t rows_size; /* of `rows` before it */
} dbk_step;

typedef struct dbk_mark {
    size_t steps;
    dbk_hash128 difference;
    dbk_result failure;
} dbk_mark;

typedef struct dbk_tracked { /* per table of the definition */
    const dbk_table *table;
    dbk_hash128 prefix;
} dbk_tracked;

struct dbk_observer {
    const dbk_port *port;
    sqlite3 *db;
    const dbk_definition *definition;
    dbk_tracked *tracked; /* as in definition->tables */
    const dbk_tracked *last_tracked;
    bool bulk, unhashed, keep_inserted, keep_before, show_before, keep_rows;
    bool has_added; /* by dbk_observer_add, in this transaction */
    bool stops;     /* the statement in work, once there is too much */
    uint64_t bytes; /* that statements of the entry wrote, those taken back included */
    uint64_t bytes_max;
    dbk_result failure;
    dbk_hash128 difference;
    uint64_t entry;
    dbk_arena *arena;    /* keys */
    dbk_buffer dirty;    /* dbk_dirty */
    dbk_buffer touched;  /* dbk_touched, of the entry */
    dbk_buffer hashes;   /* two dbk_hash128 beside each: the row before the entry, now */
    dbk_buffer steps;    /* dbk_step, of the entry */
    uint32_t *slots;     /* index into dirty + 1; 0: free */
    uint32_t slot_count; /* a power of two */
    dbk_mark entry_mark, statement_mark;
    dbk_buffer key, row;        /* scratch of the hook */
    dbk_buffer changed;         /* the same: a row as an UPDATE leaves it */
    const dbk_table *set_table; /* what the statement in work sets, see dbk_observer_sets; NULL: anything */
    dbk_mask set, *set_changed;
    dbk_buffer gone;      /* JSON of the entry's deleted rows, of tables where an edit wins */
    dbk_buffer gone_at;   /* dbk_gone_row of each */
    dbk_buffer before;    /* JSON of the entry's rows as they were */
    dbk_buffer before_at; /* dbk_place beside each of `touched` */
    const dbk_table *inserted_table;
    dbk_buffer inserted; /* the values as they were hashed */
    dbk_buffer rows;     /* the same of dirty rows, see dbk_kept */
    dbk_arena *changes_arena;
};

static inline dbk_dirty *dbk_dirty_at(const dbk_observer *observer, uint32_t i)
{
    return (dbk_dirty *)(void *)observer->dirty.data + i;
}
static inline uint32_t dbk_dirty_count(const dbk_observer *observer)
{
    return (uint32_t)(observer->dirty.size / sizeof(dbk_dirty));
}
static inline dbk_touched *dbk_touched_at(const dbk_observer *observer, uint32_t i)
{
    return (dbk_touched *)(void *)observer->touched.data + i;
}
static inline uint32_t dbk_touched_count(const dbk_observer *observer)
{
    return (uint32_t)(observer->touched.size / sizeof(dbk_touched));
}

typedef struct dbk_place { /* in a buffer that grows */
    size_t at, size;
} dbk_place;

typedef struct dbk_gone_row {
    size_t step; /* cut back with it */
    uint32_t touched;
    dbk_place place;
} dbk_gone_row;

/* observer/gone.c: the row that the last record deleted; what was cut back goes. */
dbk_result dbk_observer_take_gone(dbk_observer *observer, const dbk_table *table, dbk_column_fn get, void *arg);
void dbk_observer_cut_gone(dbk_observer *observer, size_t steps);

/* observer/before.c: the row that the last record made touched, as it was. */
dbk_result dbk_observer_take_before(dbk_observer *observer, const dbk_table *table, bool existed, dbk_column_fn get,
                                    void *arg);

/* observer/rows.c. A row as a change found it and left it. */
typedef struct dbk_row_change {
    const dbk_table *table;
    dbk_slice key; /* copied when it is new */
    bool existed, exists;
    dbk_hash128 before, now;
    bool seen; /* `values` is all of the row as it is now, empty where there is none */
    dbk_slice values;
} dbk_row_change;
dbk_result dbk_observer_record(dbk_observer *observer, const dbk_row_change *change);
void dbk_observer_cut(dbk_observer *observer, const dbk_mark *mark);
void dbk_observer_begin_entry(dbk_observer *observer); /* dirty rows stay */
void dbk_observer_forget_rows(dbk_observer *observer); /* all dirty rows, with their keys */
const dbk_dirty *dbk_observer_dirty(const dbk_observer *observer, const dbk_table *table, dbk_slice key);

#endif
