/* log: the truth. Entries in batches, batches in segments, checksummed, append-only, synced before an
 * append returns (format version 1, docs/format/log.md; rules R1–R9, R20, R25 of the reliability page).
 *
 * Threads: one thread at a time appends (the caller's lock); all read functions may run beside it from
 * other threads. A cursor, selection or fold is used by one thread at a time, and closed before the log.
 * Units: positions count entries from 1, offsets bytes, times are ms since 1970. Only durable entries can be
 * read.
 * Errors: every call that reads can give DBK_NO_MEMORY, DBK_IO and, where bytes are damaged, DBK_CORRUPT with
 * file, offset and positions in the text. Ownership: an *out is the caller's until its close; a failure leaves it
 * NULL. */
#ifndef DBK_LOG_H
#define DBK_LOG_H

#include "log/entry.h"
#include "log/proof.h"
#include "log/scrub.h"

typedef struct dbk_log dbk_log;

typedef struct dbk_log_options { /* zero = default */
    uint8_t store_id[16];
    uint8_t lineage[16];
    bool read_only;               /* shows what is durable by watermark; takes no lock; changes nothing */
    bool no_background;           /* makes the next segment and writes indexes within append (simulation) */
    bool no_direct;               /* pwrite + fdatasync instead of O_DIRECT|O_DSYNC */
    bool keep_plain;              /* sealed segments are not compressed */
    uint32_t segment_first_bytes; /* 1 MiB; doubles segment by segment … */
    uint32_t segment_max_bytes;   /* … up to 32 MiB */
    uint32_t checkpoint_bytes;    /* 256 KiB: so much of new records is worth a new checkpoint */
    uint32_t near_bytes;          /* 128 KiB: so much behind a clean end is read before opening returns */
} dbk_log_options;

/* Makes an empty log in `dir` (exists, empty): first segment, watermark, all synced. DBK_EXISTS. */
dbk_result dbk_log_create(const dbk_port *port, dbk_dir *dir, const dbk_log_options *options,
                          dbk_error *err) DBK_MUST_USE;
/* Recovers by the decision table, syncs the tail, opens. Borrows `dir` until close. DBK_CORRUPT,
 * DBK_LOST, DBK_GAP, DBK_DUPLICATE, DBK_FOREIGN, DBK_VERSION, DBK_IO: refused, nothing changed; the
 * text names file, offset and positions. DBK_LOCKED: the active segment is locked by another. */
dbk_result dbk_log_open(const dbk_port *port, dbk_dir *dir, const dbk_log_options *options, dbk_log **out,
                        dbk_error *err) DBK_MUST_USE;
/* From here on an end without close is not a clean one, whatever happens to the machine. The first append does it; who
 * changes what goes by the log's clean end calls it before. */
dbk_result dbk_log_begin(dbk_log *log, dbk_error *err) DBK_MUST_USE;
/* Waits for background work, marks the clean end, frees; accepts NULL. */
void dbk_log_close(dbk_log *log);
/* The same without the mark: what was found unclean stays so for who opens next. */
void dbk_log_leave(dbk_log *log);
/* Adds a line of JSON to recovery.ndjson in the log's folder, durable when it returns. */
dbk_result dbk_log_note(const dbk_port *port, dbk_dir *dir, dbk_slice line, dbk_error *err) DBK_MUST_USE;

/* Appends the entries (origin bytes, decoded and checked here) as one batch: all or nothing, durable
 * when it returns DBK_OK; *first (may be NULL) is the position of the first. A failed write
 * (DBK_NO_SPACE, DBK_IO) leaves the log as before and usable. A failed sync: DBK_POISONED, outcome
 * unknown, no further append until reopened. An empty batch is DBK_OK. received_ms is raised to the
 * last one. */
dbk_result dbk_log_append(dbk_log *log, const dbk_slice *origins, size_t count, int64_t received_ms, uint64_t *first,
                          dbk_error *err) DBK_MUST_USE;
/* Call when nothing was appended for a second, from the appending thread: syncs the watermark. */
dbk_result dbk_log_idle(dbk_log *log, dbk_error *err) DBK_MUST_USE;
/* Read-only opener: takes in what the writer has appended since and made durable. */
dbk_result dbk_log_refresh(dbk_log *log, dbk_error *err) DBK_MUST_USE;

void dbk_log_ids(const dbk_log *log, uint8_t store_id[16], uint8_t lineage[16]); /* those of its segments' headers */
uint64_t dbk_log_position(const dbk_log *log); /* of the last durable entry, 0 when empty */
bool dbk_log_was_clean(const dbk_log *log);    /* the last close was orderly */
bool dbk_log_poisoned(const dbk_log *log);     /* a sync failed: nothing is appended until it is opened again */
void dbk_log_head(const dbk_log *log, uint8_t head[DBK_LEAF_SIZE]); /* of all entries */
/* The head over the first `position` entries; cheap at the end of a batch. DBK_NONE beyond the end. */
dbk_result dbk_log_head_at(dbk_log *log, uint64_t position, uint8_t head[DBK_LEAF_SIZE], dbk_error *err) DBK_MUST_USE;
void dbk_log_clock(const dbk_log *log, uint32_t *epoch, uint64_t *hlc); /* the highest pair seen */
void dbk_log_top(const dbk_log *log, uint8_t key[DBK_ORDER_KEY_SIZE]);  /* highest order key; zeros when empty */
bool dbk_log_is_ordered(const dbk_log *log); /* every entry's order key is above all before it */
/* A position up to which every entry sorts below the key; not always the highest one that there is. Costs a few
 * reads. */
dbk_result dbk_log_all_below(dbk_log *log, const uint8_t key[DBK_ORDER_KEY_SIZE], uint64_t *position,
                             dbk_error *err) DBK_MUST_USE;
/* Of the next entry of this author; 1 if new. Of a log opened for reading, as far as its index can be read. */
uint64_t dbk_log_next_seq(dbk_log *log, const uint8_t replica[16], uint32_t incarnation);

/* One entry. Its origin bytes are put into *out (cleared first); *received_ms may be NULL.
 * DBK_NONE: no such position. Checks the checksum of its batch, or, where that was done and the batch
 * is large, of the part with the entry. */
dbk_result dbk_log_read(dbk_log *log, uint64_t position, dbk_buffer *out, int64_t *received_ms,
                        dbk_error *err) DBK_MUST_USE;

/* A walk over positions first … last (0 = to the present end), in order of position. The slice lives
 * until the next call. DBK_END after the last. */
typedef struct dbk_log_cursor dbk_log_cursor;
dbk_result dbk_log_cursor_open(dbk_log *log, uint64_t first, uint64_t last, dbk_log_cursor **out,
                               dbk_error *err) DBK_MUST_USE;
dbk_result dbk_log_cursor_next(dbk_log_cursor *cursor, uint64_t *position, int64_t *received_ms, dbk_slice *origin,
                               dbk_error *err) DBK_MUST_USE;
void dbk_log_cursor_close(dbk_log_cursor *cursor); /* accepts NULL */

/* The entries of a stream, with a type of event, from a time on, forward or backward; all that is
 * asked for holds at once. The slice is borrowed from the log until the next call. DBK_END after the
 * last. */
typedef struct dbk_log_wish { /* zero = all */
    uint64_t first, last;
    int64_t since_ms; /* received then or later */
    dbk_slice stream, type;
    bool reverse;
} dbk_log_wish;
typedef struct dbk_log_selection dbk_log_selection;
dbk_result dbk_log_selection_open(dbk_log *log, const dbk_log_wish *wish, dbk_log_selection **out,
                                  dbk_error *err) DBK_MUST_USE;
dbk_result dbk_log_selection_next(dbk_log_selection *selection, uint64_t *position, int64_t *received_ms,
                                  dbk_slice *origin, dbk_error *err) DBK_MUST_USE;
void dbk_log_selection_close(dbk_log_selection *selection); /* accepts NULL */
/* The first position received at that time or later; one behind the end where there is none. */
dbk_result dbk_log_find_received(dbk_log *log, int64_t received_ms, uint64_t *position, dbk_error *err) DBK_MUST_USE;

/* The fold's walk: the wanted entries above `behind` up to `last` (0 = the end) in canonical order. `wanted` may be
 * NULL: all. Sorted in memory (48 bytes an entry) unless the log is ordered. */
/* Asked once for each entry, in order of position, while the fold opens. */
typedef bool (*dbk_log_wanted_fn)(void *arg, uint64_t position, int64_t received_ms,
                                  const uint8_t key[DBK_ORDER_KEY_SIZE]);
typedef struct dbk_log_fold dbk_log_fold;
dbk_result dbk_log_fold_open(dbk_log *log, uint64_t behind, uint64_t last, dbk_log_wanted_fn wanted, void *arg,
                             dbk_log_fold **out, dbk_error *err) DBK_MUST_USE;
uint64_t dbk_log_fold_count(const dbk_log_fold *fold); /* entries in all */
/* The slice lives until the next call. DBK_END after the last. */
dbk_result dbk_log_fold_next(dbk_log_fold *fold, uint64_t *position, dbk_slice *origin, dbk_error *err) DBK_MUST_USE;
void dbk_log_fold_close(dbk_log_fold *fold); /* accepts NULL */

/* The index: keyed 128-bit hashes, so an answer needs no read of the entry (a false hit has a chance
 * below 2^-80 for 10^7 streams). All cover the whole log. *position 0 and DBK_OK where there is none. */
dbk_result dbk_log_find_entry(dbk_log *log, const dbk_entry_id *id, uint64_t *position, dbk_error *err) DBK_MUST_USE;
/* The id of the entry at a position, without reading it. DBK_NONE beyond the end. */
dbk_result dbk_log_entry_id_at(dbk_log *log, uint64_t position, dbk_entry_id *id, dbk_error *err) DBK_MUST_USE;
/* The highest position below `before` (0 = no bound) whose entry carries this command id (with or
 * without events). Call again with the answer to walk down. */
dbk_result dbk_log_find_command(dbk_log *log, dbk_slice command_id, uint64_t before, uint64_t *position,
                                dbk_error *err) DBK_MUST_USE;
/* The highest position below `before` (0 = no bound) with an event on this stream. */
dbk_result dbk_log_find_stream(dbk_log *log, dbk_slice stream, uint64_t before, uint64_t *position,
                               dbk_error *err) DBK_MUST_USE;

/* Verification reads every byte of every file and changes nothing. Caches (index, checkpoint, catalog) are looked at
 * too; at the depth PROOF they are held against the entries. A fault of one has law 4 and no positions. */
typedef enum dbk_verify_depth { DBK_VERIFY_CHECKSUMS, DBK_VERIFY_PROOF } dbk_verify_depth;
typedef struct dbk_log_fault {
    dbk_result code;                        /* DBK_CORRUPT, DBK_LOST, DBK_GAP, DBK_DUPLICATE, DBK_FOREIGN, DBK_IO … */
    const char *file;                       /* within the log's folder */
    uint64_t offset;                        /* in the file; of a packed one where the block begins that has it */
    uint64_t first_position, last_position; /* that are not readable because of it; 0, 0: none */
    const char *text;
    uint64_t bytes; /* of the file, from offset on, that hold no sound record because of it; 0: not known */
    unsigned law;   /* of the four laws, which one is at stake: 1 to 4 */
} dbk_log_fault;
typedef struct dbk_log_report {
    uint64_t entries, batches, segments;
    uint64_t bytes; /* of the records, with the padding behind each */
    uint64_t faults;
    /* by stats: sealed segments that are compressed, their records' bytes before and their files' */
    uint64_t packed_segments, packed_records_bytes, packed_file_bytes;
    uint64_t file_bytes; /* of all files of the folder, indexes and preallocation included */
    uint64_t left_out;   /* by verification: entries of sound batches behind a contradiction */
    uint8_t head[DBK_LEAF_SIZE];
} dbk_log_report;
typedef struct dbk_log_watcher { /* each may be NULL */
    void *arg;
    void (*fault)(void *arg, const dbk_log_fault *fault);
    void (*progress)(void *arg, uint64_t done_bytes, uint64_t all_bytes);
    /* Each entry that is provably good, in order of position, with gaps where positions are not
     * readable: in a sound batch that decodes, of the history that the log begins with. What follows
     * a contradiction (another history's record in its place) is not given. Asks for the depth PROOF.
     * Another answer than DBK_OK ends the verification with it. */
    dbk_result (*entry)(void *arg, uint64_t position, int64_t received_ms, dbk_slice origin, dbk_error *err);
} dbk_log_watcher;
/* Needs no open log: `dir` is its folder. DBK_OK also with faults found (see report->faults); another
 * code only where it could not look at all. */
dbk_result dbk_log_verify(const dbk_port *port, dbk_dir *dir, const dbk_log_options *options, dbk_verify_depth depth,
                          const dbk_log_watcher *watcher, dbk_log_report *report, dbk_error *err) DBK_MUST_USE;
/* Replaces damaged and missing segments by those of another folder, where this log proves them to be
 * the ones that were there (log/mend.c says by what). A packed one whose blocks are sound is packed again instead. Each
 * damaged file stays beside as "<number>.damaged-<ms>". `from` is only read. The caller holds the store's lock and has
 * no log open here. DBK_OK also where nothing could be mended; *mended counts. */
typedef struct dbk_mend_watcher { /* each may be NULL */
    void *arg;
    void (*mended)(void *arg, const char *file, const char *kept, uint64_t bytes); /* kept NULL: was missing */
    void (*remade)(void *arg, const char *file, uint64_t bytes); /* from what it has itself: nothing was lost */
    void (*refused)(void *arg, const char *file, const char *why);
} dbk_mend_watcher;
dbk_result dbk_log_mend(const dbk_port *port, dbk_dir *dir, dbk_dir *from, const dbk_log_options *options,
                        const dbk_mend_watcher *watcher, uint64_t *mended, dbk_error *err) DBK_MUST_USE;
/* Removes what is made anew from the segments: index, checkpoint, catalog. The caller holds the store's lock and has
 * no log open here. */
dbk_result dbk_log_drop_caches(const dbk_port *port, dbk_dir *dir, uint64_t *dropped, dbk_error *err) DBK_MUST_USE;
/* The ids that most of the segments' sound headers name, else the watermark's store id with a lineage
 * of zeros: for a log whose daybook.json is gone. DBK_MISSING: nothing there names any. */
dbk_result dbk_log_identify(const dbk_port *port, dbk_dir *dir, uint8_t store_id[16], uint8_t lineage[16],
                            dbk_error *err) DBK_MUST_USE;
/* Sizes and counts of the open log, without reading it through (faults is 0). */
dbk_result dbk_log_stats(dbk_log *log, dbk_log_report *report, dbk_error *err) DBK_MUST_USE;

/* A write lock on a file of a folder (R25): OFD lock, inode compared with the name afterwards; the
 * file holds "<pid> <boot id> <since ms>\n" of the holder for the message of DBK_LOCKED. */
typedef struct dbk_lock dbk_lock;
dbk_result dbk_lock_take(const dbk_port *port, dbk_dir *dir, const char *name, dbk_lock **out,
                         dbk_error *err) DBK_MUST_USE;
void dbk_lock_release(dbk_lock *lock); /* the file stays; accepts NULL */
/* DBK_OK while the lock's file still is the one of that name; DBK_POISONED when it was removed or replaced. */
dbk_result dbk_lock_check(const dbk_lock *lock, dbk_error *err) DBK_MUST_USE;

#endif
