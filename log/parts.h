/* Which files of the index answer for which sealed segments (internal). */
#ifndef DBK_LOG_PARTS_H
#define DBK_LOG_PARTS_H

#include "log/load.h"

enum {
    DBK_PART_NAME_SIZE = 48,
    DBK_PART_FANOUT = 4,             /* so many parts of one width make one of the next */
    DBK_PARTS_OPEN_MAX = 64,         /* files of the index held open */
    DBK_TABLES_KEPT = 4,             /* tables of sealed segments that were read again because no run answers */
    DBK_TABLES_KEPT_BYTES = 8 << 20, /* of them while opening, which reads all that have no run before it writes one */
};

/* A run of the index by its name: opened when it is first asked, closed when many others were since. */
struct dbk_part {
    uint64_t first, last; /* segments */
    dbk_index_run *run;   /* run_lock; closed under the lock too */
    unsigned pins;        /* lock, as all that follow */
    uint64_t used;
    bool retired;   /* no longer in the list: freed with the last pin */
    bool damaged;   /* a page of it: to be made anew */
    dbk_part *next; /* of those that are to be freed */
};

/* "<first>.idx", or "<first>-<last>.run" where it is of several. */
void dbk_part_name(uint64_t first, uint64_t last, char out[DBK_PART_NAME_SIZE]);
bool dbk_part_name_parse(const char *name, uint64_t *first, uint64_t *last);
int dbk_part_collect(void *files, const char *name); /* of a listing: first and last of each, into a dbk_buffer */

/* The list becomes what the folder's files can answer for, the widest first; what else there is is put into `stale`
 * (may be NULL). Parts that were there stay. */
dbk_result dbk_parts_list(dbk_log *log, dbk_buffer *stale, dbk_error *err) DBK_MUST_USE;
/* One that was just written takes the place of all within it. */
dbk_result dbk_parts_put(dbk_log *log, uint64_t first, uint64_t last, dbk_error *err) DBK_MUST_USE;
/* Those of the single segments take the place of what is there. */
dbk_result dbk_parts_split(dbk_log *log, uint64_t first, uint64_t last, dbk_error *err) DBK_MUST_USE;
void dbk_parts_release(dbk_log *log);

/* Under the lock. The part with the segment; NULL: none. */
dbk_part *dbk_parts_of(const dbk_log *log, uint64_t number);
/* Takes the lock itself. */
dbk_part *dbk_parts_pin(dbk_log *log, uint64_t number);
void dbk_parts_unpin(dbk_log *log, dbk_part *part);
void dbk_parts_unpin_all(dbk_log *log, dbk_part **parts, size_t count);
/* Takes it out of the list: its file is missing, or not one of this log. */
void dbk_parts_drop(dbk_log *log, dbk_part *part);

/* What a run of these segments was made from. They are sealed. */
dbk_result dbk_parts_source(dbk_log *log, uint64_t first, uint64_t last, dbk_index_source *source,
                            dbk_error *err) DBK_MUST_USE;
/* Opens the part's run, for its pinner; under run_lock. As dbk_index_run_open. */
dbk_result dbk_parts_open(dbk_log *log, dbk_part *part, dbk_error *err) DBK_MUST_USE;

/* find.c: reads the sealed segment into a table of its own, kept for a while. */
dbk_result dbk_parts_read_segment(dbk_log *log, dbk_segment *segment, dbk_error *err) DBK_MUST_USE;

/* Opening is through: no more of them than usual. */
void dbk_parts_relax(dbk_log *log);

/* A question: one of the three is asked. */
typedef struct dbk_visit {
    void *arg;
    /* Under run_lock. DBK_CORRUPT: the run is damaged there. */
    dbk_result (*run)(void *arg, dbk_index_run *run, dbk_error *err);
    /* Under the lock. */
    void (*table)(void *arg, const dbk_segment *segment);
    /* Behind that, with no lock held, where the table goes on from a checkpoint; may be NULL. */
    dbk_result (*prefix)(void *arg, dbk_segment *segment, dbk_error *err);
    bool done; /* set by these: nothing further down is wanted */
} dbk_visit;
/* Asks what answers for the segment; *below is the next one down that was not asked by it. *listed: who only
 * reads has looked again which files there are; false at first. */
dbk_result dbk_visit_segment(dbk_log *log, uint64_t number, dbk_visit *v, uint64_t *below, bool *listed,
                             dbk_error *err) DBK_MUST_USE;
/* From that segment down. */
dbk_result dbk_visit_down(dbk_log *log, uint64_t number, dbk_visit *v, dbk_error *err) DBK_MUST_USE;
/* The table of a segment that was just sealed is no longer needed for long: a run comes, or it is read again. */
void dbk_parts_let_go(dbk_log *log, dbk_segment *sealed);

/* authors.c: the next seq of each author, as far as the entries are not in a table. */
dbk_result dbk_authors_note(dbk_log *log, const dbk_index_author_run *runs, size_t count, dbk_error *err) DBK_MUST_USE;

/* background.c */
/* For who writes, at open, before any other thread runs. First opens all parts and reads each segment that has none:
 * changes no file, so that what it refuses stays as it is. Then, when nothing is refused any more, removes the files
 * that cannot be used and writes the runs that are missing. */
dbk_result dbk_parts_take(dbk_log *log, dbk_error *err) DBK_MUST_USE;
void dbk_parts_complete(dbk_log *log);
/* Writes the run of a sealed segment, from its table or its records. Noted are its authors. */
dbk_result dbk_background_write_run(dbk_log *log, dbk_segment *segment, dbk_error *err) DBK_MUST_USE;

/* merge_work.c: merges what there is to merge; ends early when packing is stopped. */
void dbk_merge_work(dbk_log *log);

#endif
