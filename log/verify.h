/* Verification as its files share it (internal): verify.c judges one segment after the other, verify_records.c its
 * records, verify_ahead.c has sound ones judged by other threads meanwhile. */
#ifndef DBK_LOG_VERIFY_H
#define DBK_LOG_VERIFY_H

#include "log/index_internal.h"
#include "log/load.h"

/* What a segment's own start record says of all before it. */
typedef struct dbk_verify_begun {
    bool known;
    uint64_t position, previous;
    dbk_range range;
} dbk_verify_begun;

/* How many things of a kind there were, and their hashes added up: the same in any order. */
typedef struct dbk_seen_sum {
    uint64_t count;
    dbk_hash128 sum;
} dbk_seen_sum;

/* What the records of a segment say that the caches beside them say again. */
typedef struct dbk_seen {
    bool sealed, packed;
    bool known;  /* all of it was read, and no fault met */
    bool failed; /* not everything could be added up */
    uint64_t salt, first_position, last_position;
    uint64_t seal_offset, before_seal; /* of the seal; of that of the segment before, as the start says */
    uint8_t head[DBK_LEAF_SIZE];
    dbk_seen_sum keys, authors, batches; /* at the depth PROOF */
} dbk_seen;

/* The same of the entries up to the checkpoint. */
typedef struct dbk_verify_point {
    uint64_t segment, last_position; /* as CHECKPOINT names them */
    dbk_seen seen;
    bool noted; /* the next three are known: what the checkpoint has to say of the log there */
    bool ordered;
    uint8_t top[DBK_ORDER_KEY_SIZE];
    uint8_t note[DBK_INDEX_NOTE_BYTES];
} dbk_verify_point;

typedef struct dbk_verifier {
    const dbk_port *port;
    dbk_dir *dir;
    dbk_log_options options;
    bool proof;
    const dbk_log_watcher *watcher;
    dbk_log_report *report;
    dbk_watermark mark;
    bool mark_valid;
    uint64_t *firsts;     /* [number - 1]: first position by the start record; 0: none is sound */
    uint64_t *nexts;      /* [number - 1]: the same of this segment or the next that has one */
    uint64_t count;       /* of segment numbers */
    uint64_t base;        /* the highest with a sound start; those below must be whole */
    uint64_t last_packed; /* the next one had begun */
    dbk_expect expect;    /* of the next record, across segments */
    dbk_log_state *state;
    const dbk_image *image; /* of the segment in work, as the next */
    dbk_pack_head sum;
    bool linked;  /* state holds all before expect.position: the proof can go on */
    bool ended;   /* by the watcher, or for lack of memory: not a fault of a file */
    bool doubted; /* a record of another history was met: what follows is not known to be this one's */
    uint64_t all_bytes, done_bytes;
    dbk_verify_begun *begun; /* NULL: nobody asks */
    dbk_seen **seen;         /* [number - 1]; NULL: no such file was read. Of one segment one thread at a time, as the
                                next */
    dbk_verify_point *point;
} dbk_verifier;

/* One segment: a file that cannot be read is a fault, and DBK_OK. */
dbk_result dbk_verify_file(dbk_verifier *v, uint64_t number, dbk_error *err) DBK_MUST_USE;
void dbk_verify_tell(dbk_verifier *v, dbk_log_fault fault);
void dbk_verify_say(dbk_verifier *v, dbk_result code, const char *file, uint64_t offset, uint64_t last,
                    const char *text);
/* Whether the watermark says that the log went on at this place, or beyond what was read. */
bool dbk_verify_is_covered(const dbk_verifier *v, uint64_t number, uint64_t offset);
/* The last position that is gone with the rest of segment `number`; 0: not known, or none. */
uint64_t dbk_verify_last_of(const dbk_verifier *v, uint64_t number);

/* verify_records.c: all that are there; a fault is told, and DBK_OK. */
dbk_result dbk_verify_records(dbk_verifier *v, dbk_scanner *scanner, dbk_segment *segment, dbk_error *err) DBK_MUST_USE;
/* Whether a start with this range goes on from what was read so far, as far as that can be told. */
bool dbk_verify_goes_on(const dbk_verifier *v, const dbk_range *range);
void dbk_verify_progress(dbk_verifier *v, uint64_t bytes);

/* verify_index.c */
void dbk_verify_find_point(dbk_verifier *v, dbk_verify_point *point); /* before any record is read */
void dbk_verify_note_batch(dbk_verifier *v, const dbk_segment *segment, const dbk_record *record, const uint8_t *whole,
                           uint64_t bytes);
/* Behind a batch that was taken into v->state, and ends at `end`. */
void dbk_verify_note_point(dbk_verifier *v, const dbk_segment *segment, uint64_t end);
/* Behind all segments. Damage is told; DBK_NO_MEMORY, or the folder cannot be listed. */
dbk_result dbk_verify_caches(dbk_verifier *v, dbk_error *err) DBK_MUST_USE;

/* verify_ahead.c: all segments, in order. */
dbk_result dbk_verify_files(dbk_verifier *v, dbk_error *err) DBK_MUST_USE;

#endif
