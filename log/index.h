/* The log's index (internal): for each segment one table of (kind, 128-bit keyed hash, position), in
 * memory while the segment is active, a sorted immutable run file with a filter once it is sealed.
 * A cache (R23): each run names segment, positions and head it was made from, and is made anew from
 * the segment when it is missing or wrong. */
#ifndef DBK_LOG_INDEX_H
#define DBK_LOG_INDEX_H

#include "log/entry.h"

typedef enum dbk_index_kind { DBK_INDEX_COMMAND = 1, DBK_INDEX_STREAM = 2 } dbk_index_kind;

/* A batch of the segment: where it begins and what it covers; sorted by first_position. */
typedef struct dbk_index_batch {
    uint64_t first_position;
    uint32_t offset; /* in the segment file */
    uint32_t bytes;  /* from there to the next batch */
    int64_t received_ms;
} dbk_index_batch;

/* A run of consecutive positions with consecutive seqs of one author. */
typedef struct dbk_index_author_run {
    uint64_t first_position, first_seq, count;
    uint8_t replica[16];
    uint32_t incarnation;
} dbk_index_author_run;

/* The table of the active segment. One thread adds; find is safe beside it under the owner's lock. */
typedef struct dbk_index_table dbk_index_table;
dbk_index_table *dbk_index_table_new(const dbk_port *port, const uint8_t store_id[16], uint64_t first_position);
void dbk_index_table_free(dbk_index_table *table);
/* Takes in one entry with all its streams (each once) and its command id. Entries come in order of
 * position. DBK_NO_MEMORY leaves the table as before. */
dbk_result dbk_index_table_add(dbk_index_table *table, uint64_t position, const dbk_entry *entry,
                               dbk_error *err) DBK_MUST_USE;
dbk_result dbk_index_table_add_batch(dbk_index_table *table, const dbk_index_batch *batch, dbk_error *err) DBK_MUST_USE;
/* Forgets everything at and above `position` (a batch that was not written). */
void dbk_index_table_cut(dbk_index_table *table, uint64_t position);

/* The run of a sealed segment, or of several that follow one another. */
typedef struct dbk_index_run dbk_index_run;
enum { DBK_INDEX_NOTE_BYTES = 3064 };
typedef struct dbk_index_source { /* what the run was made from; compared at open */
    uint64_t segment, first_position, last_position;
    uint32_t segments;               /* from that one on; 0 stands for 1 */
    uint64_t salt;                   /* of the segment; of several: made from theirs (dbk_index_salt_of) */
    uint8_t head[DBK_LEAF_SIZE];     /* of the log after last_position */
    uint8_t top[DBK_ORDER_KEY_SIZE]; /* highest order key in the segment */
    bool ordered;                    /* keys grow within the segment */
    dbk_slice note;                  /* what its owner keeps in the header, up to DBK_INDEX_NOTE_BYTES; when written */
    /* only asked for, when a run is opened; a last_position of 0 takes any */
    uint8_t *note_out; /* DBK_INDEX_NOTE_BYTES for the note and zeros; NULL: not wanted */
    bool without_batches;
    size_t page_limit; /* pages of filter and fences that are kept; 0: all that were touched */
} dbk_index_source;
dbk_result dbk_index_run_write(const dbk_port *port, dbk_dir *dir, const char *name, const dbk_index_table *table,
                               const dbk_index_source *source, dbk_error *err) DBK_MUST_USE;
/* DBK_MISSING, DBK_CORRUPT (damaged or of another source: the caller makes it anew). Keeps the
 * author runs and, if wanted, the batches in memory; reads pages on find, one thread at a time.
 * *found receives what the run says of its source; `expect` compares segment, salt and positions. */
dbk_result dbk_index_run_open(const dbk_port *port, dbk_dir *dir, const char *name, const uint8_t store_id[16],
                              const dbk_index_source *expect, dbk_index_source *found, dbk_index_run **out,
                              dbk_error *err) DBK_MUST_USE;
void dbk_index_run_close(dbk_index_run *run);
/* What stands for the salts of several segments, in their order. */
uint64_t dbk_index_salt_of(dbk_slice salts);

/* Makes one run of several that follow one another: their keys in one order, their lists joined. Reads and
 * writes page by page in memory of a fixed size, syncs each MiB by itself, and puts the file in place whole
 * by rename, with the folder synced. The runs are the caller's alone meanwhile, opened without batches.
 * DBK_CORRUPT: one of them is damaged, *bad says which. DBK_TOO_BIG: it would be beyond what a run can
 * hold. DBK_END: stopped. */
typedef struct dbk_index_merge {
    dbk_index_run *const *runs;
    size_t count;
    const bool *with_batches; /* of each run: its batches are taken along */
    const dbk_index_source *source;
    bool (*stop)(void *arg);
    void *arg;
} dbk_index_merge;
dbk_result dbk_index_runs_merge(const dbk_port *port, dbk_dir *dir, const char *name, const dbk_index_merge *merge,
                                size_t *bad, dbk_error *err) DBK_MUST_USE;

/* What a name is asked by. false: no entry can carry this name (empty, or longer than a text may be). */
bool dbk_index_hash(const uint8_t store_id[16], dbk_index_kind kind, dbk_slice name, dbk_hash128 *hash);
/* The same questions to a table or a run. find: the highest position < before (0: no bound), 0: none. */
void dbk_index_table_find_hash(const dbk_index_table *table, dbk_hash128 hash, uint64_t before, uint64_t *position);
dbk_result dbk_index_run_find_hash(dbk_index_run *run, dbk_hash128 hash, uint64_t before, uint64_t *position,
                                   dbk_error *err) DBK_MUST_USE;
const dbk_index_batch *dbk_index_table_batch(const dbk_index_table *table, uint64_t position); /* holding it, or NULL */
const dbk_index_batch *dbk_index_run_batch(const dbk_index_run *run, uint64_t position);
/* The same, read from the file, for a run that was opened without batches. DBK_NONE: it has none there. */
dbk_result dbk_index_run_find_batch(dbk_index_run *run, uint64_t position, dbk_index_batch *batch,
                                    dbk_error *err) DBK_MUST_USE;
const dbk_index_batch *dbk_index_run_batches(const dbk_index_run *run, size_t *count);
size_t dbk_index_table_bytes(const dbk_index_table *table); /* of memory, about */
const dbk_index_author_run *dbk_index_table_authors(const dbk_index_table *table, size_t *count);
const dbk_index_author_run *dbk_index_run_authors(const dbk_index_run *run, size_t *count);

#endif
