/* The scrub: reads the ended segments of an open log again, slowly, so that rot is found while a copy still
 * exists (R26). What it finds it tells; it acts on nothing but the table of a packed segment, which the log makes again
 * from the blocks.
 *
 * One thread of its own, or none: then the caller makes the steps. Stop it before the log is closed. How far
 * it is stands in the file SCRUB of the log's folder, a cache: without it a round begins anew. */
#ifndef DBK_LOG_SCRUB_H
#define DBK_LOG_SCRUB_H

#include "base/base.h"

struct dbk_log;
typedef struct dbk_scrub dbk_scrub;

typedef struct dbk_scrub_options { /* zero = default */
    uint64_t bytes_per_second;     /* 2 MiB */
    int64_t every_ms;              /* from the end of a round to the begin of the next: 30 days */
    bool no_thread;
} dbk_scrub_options;

enum { DBK_SCRUB_FAULT_SIZE = 200 };
typedef struct dbk_scrub_state {
    int64_t last_full_ms;             /* when the last round ended; 0: none has */
    uint64_t full_bytes;              /* that it read */
    uint64_t next_segment;            /* of the round under way; 0: none is */
    uint64_t round_bytes;             /* read in it so far */
    uint64_t faults;                  /* met in this round, or, between rounds, in the last one */
    uint64_t bytes_per_second;        /* the limit */
    char fault[DBK_SCRUB_FAULT_SIZE]; /* the first of them: file, offset, positions */
} dbk_scrub_state;

/* Goes on where SCRUB says the last round stood. `options` (NULL: the defaults) is copied, the log borrowed; *out is
 * the caller's until dbk_scrub_stop. What is damaged is no error of a call: it stands in the state. DBK_NO_MEMORY, or
 * the system's reason for no thread. */
dbk_result dbk_scrub_start(struct dbk_log *log, const dbk_scrub_options *options, dbk_scrub **out,
                           dbk_error *err) DBK_MUST_USE;
void dbk_scrub_stop(dbk_scrub *scrub);                      /* waits for its thread; accepts NULL */
void dbk_scrub_get(dbk_scrub *scrub, dbk_scrub_state *out); /* from any thread */
/* Without a thread: reads one segment if it is time. DBK_END: nothing to do now. */
dbk_result dbk_scrub_step(dbk_scrub *scrub, dbk_error *err) DBK_MUST_USE;
/* Heads and tables of all packed segments, at once; the thread begins with it. */
dbk_result dbk_scrub_glance(dbk_scrub *scrub, dbk_error *err) DBK_MUST_USE;
/* What the file says, for a log that is not open here. DBK_MISSING; DBK_CORRUPT. */
dbk_result dbk_scrub_read(const dbk_port *port, dbk_dir *dir, dbk_scrub_state *out, dbk_error *err) DBK_MUST_USE;

#endif
