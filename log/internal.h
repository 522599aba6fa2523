/* What the files of log/ share (internal). Locks: `lock` guards the fields of dbk_log marked so and
 * every segment's; it is never held while a file is read, written or synced. `run_lock` lets one
 * thread at a time open and ask the parts of the index. Only the appending thread and, where marked, the
 * background threads change anything on disk. Order: run_lock, then lock. */
#ifndef DBK_LOG_INTERNAL_H
#define DBK_LOG_INTERNAL_H

#include "log/format.h"
#include "log/image.h"
#include "log/index.h"
#include "log/leaves.h"
#include "log/log.h"

enum {
    DBK_SEGMENT_NAME_SIZE = 32,
    DBK_NAME_DIGITS = 16,
    DBK_SCAN_CHUNK_BYTES = 1024 * 1024,
    DBK_SEGMENT_DEFAULT_FIRST = 1024 * 1024,
    DBK_SEGMENT_DEFAULT_MAX = 32 * 1024 * 1024,
    DBK_CHECKPOINT_DEFAULT_BYTES = 256 * 1024,
    DBK_NEAR_DEFAULT_BYTES = 128 * 1024,
    DBK_READER_PAGES_KEPT = 16, /* of each run's filter and fences, by who does not append */
    DBK_PIECE_SLOTS = 64,
    DBK_PIECE_CACHE_BYTES = 1536 * 1024,
    DBK_PIECE_LARGEST_BYTES = 2 * 1024 * 1024, /* kept, then alone */
    DBK_PIECE_SPARE_BYTES = 512 * 1024,
    DBK_LARGE_RECORD_BYTES = 32 * 1024,        /* as a piece: it gets an outline */
    DBK_OUTLINE_CACHE_BYTES = 3 * 1024 * 1024, /* enough for 1.5 GiB of large records */
    DBK_OPEN_FILES_MAX = 64,                   /* sealed segments held open for reading */
    DBK_OPEN_FILES_BYTES = 2816 * 1024,        /* and so much memory of theirs */
};
/* What is known of the bytes behind the end that the log was opened with (behind.c). */
typedef enum dbk_behind { DBK_BEHIND_KNOWN, DBK_BEHIND_LOOKING, DBK_BEHIND_DOUBTED } dbk_behind;
#define DBK_WATERMARK_NAME  "WATERMARK"
#define DBK_RECOVERY_NAME   "recovery.ndjson"
#define DBK_CHECKPOINT_NAME "CHECKPOINT"
#define DBK_CATALOG_NAME    "CATALOG"

/* What the entries up to a position add up to. */
typedef struct dbk_log_state {
    uint64_t position;
    uint64_t previous; /* checksum of the last record */
    int64_t received_ms;
    uint32_t epoch;
    uint64_t hlc;
    bool ordered;
    uint8_t top[DBK_ORDER_KEY_SIZE];
    dbk_range range;
} dbk_log_state;

typedef struct dbk_segment {
    dbk_segment_header header;
    char name[DBK_SEGMENT_NAME_SIZE];
    uint64_t first_position;
    uint64_t last_position;          /* durable; first_position - 1 while it has none */
    uint64_t end;                    /* behind the last durable record */
    uint64_t records;                /* start and seal included */
    uint64_t seal_offset;            /* 0: not sealed */
    uint64_t before_seal;            /* of the segment before, as the start says */
    bool packed;                     /* the file has the packed form; a reader may not know of it */
    bool unpackable;                 /* packing failed: not tried again before the next open */
    bool table_lost;                 /* packed, its table of blocks damaged: to be packed again */
    uint64_t packed_bytes;           /* of the file, when packed */
    uint64_t seal_checksum;          /* when packed at open: of the seal */
    uint8_t head[DBK_LEAF_SIZE];     /* of the log after last_position, once sealed */
    uint8_t top[DBK_ORDER_KEY_SIZE]; /* of this segment alone */
    bool ordered;
    dbk_index_table *table;        /* of a sealed one: until its run is there, or where none answers */
    bool table_used;               /* by the background thread, outside of the lock */
    uint64_t table_asked;          /* when a table that was read again was asked last; 0: it was not */
    dbk_index_run *prefix;         /* of a checkpoint: the entries up to prefix_last; the table has the rest */
    uint64_t prefix_last;          /* 0: none, or no longer in use */
    dbk_index_table *prefix_table; /* answers in place of a prefix that was found damaged */
    dbk_image *image;              /* for reading; NULL: opened when needed */
} dbk_segment;

typedef struct dbk_piece dbk_piece; /* piece.h, as the next */
typedef struct dbk_outline dbk_outline;
typedef struct dbk_part dbk_part;     /* parts.h */
typedef struct dbk_author dbk_author; /* authors.c */

struct dbk_log {
    const dbk_port *port;
    dbk_dir *dir;
    dbk_log_options options;
    uint32_t unit;         /* of new segments */
    uint32_t sector_bytes; /* what direct writes ask for */

    dbk_mutex *lock, *run_lock, *cache_lock;
    dbk_cond *wake;         /* background work wanted or done */
    dbk_segment **segments; /* lock; [number - 1]; the pointers stay valid until close */
    size_t segment_count, segment_room;
    dbk_part **parts; /* lock, as the next two; sorted */
    size_t part_count, part_room;
    uint64_t part_clock;
    bool parts_opening;  /* tables that are read are soon written as runs */
    dbk_author *authors; /* lock, as the next */
    size_t author_count, author_room;
    bool parts_wanting;  /* lock; one, or a segment's table, is damaged: to be made anew at the next chance */
    dbk_log_state state; /* lock; only the appending thread changes it */
    bool poisoned;       /* lock */
    bool was_clean;
    uint64_t pins_given; /* lock */

    /* the appending thread's */
    dbk_file *write_file; /* of the active segment; holds its lock */
    bool direct;          /* write_file was opened so */
    dbk_segment *pending; /* next segment, locked, without a start yet; the active one is sealed */
    dbk_file *pending_file;
    bool pending_direct;
    uint64_t dirty_bytes;   /* left by a failed write where the next record goes */
    dbk_log_state *scratch; /* what state will be once the batch is durable */
    dbk_leaves *leaves;
    uint8_t *buffer;
    size_t buffer_size;
    dbk_file *mark_file;
    dbk_watermark mark; /* as last written or read */
    bool mark_valid;    /* something was there at open */
    bool mark_unsynced;
    bool trusts_end;            /* opening: a clean watermark names the end; nothing behind it is read yet */
    bool doubts_end;            /* opening: not any more */
    bool behind_known;          /* the appending thread's: behind.c has nothing more to say */
    uint64_t behind_next_bytes; /* of the next file, of which only the near bytes were looked at; 0: none */

    /* background work */
    dbk_thread *thread;                /* started for each piece of work; joined before the next and at close */
    bool running, wanted;              /* lock */
    dbk_behind behind;                 /* lock */
    bool begun;                        /* lock; the watermark of this opening, not a clean one, is synced */
    bool closing;                      /* lock; what no append needs may be left */
    bool preparing;                    /* lock; the next segment is under way */
    dbk_segment *next;                 /* lock; prepared, has no start record */
    dbk_segment *found_next;           /* one that was there at open: to be made sure of, then next */
    bool checkpoint_wanted;            /* lock */
    uint64_t cataloged;                /* segments that opening took from the catalog */
    uint64_t saved_segment, saved_end; /* lock; where the last checkpoint was made */

    dbk_thread *pack_thread;                   /* pack_work.c; joined before the next and at close */
    bool pack_running, pack_wanted, pack_stop; /* lock */
    dbk_buffer stale_parts;                    /* its own: files of the index found at open that others stand for */
    dbk_buffer useless_parts;                  /* at open: those that are missing or damaged */

    dbk_piece *pieces[DBK_PIECE_SLOTS]; /* cache_lock, as the next three */
    size_t piece_bytes;
    uint64_t piece_clock;
    dbk_outline **outlines; /* cache_lock, as the next; by position */
    size_t outline_count, outline_room, outline_bytes;
    dbk_unpacker *spare_unpacker;
    dbk_piece *spare_piece; /* memory for the next large record */
};

static inline dbk_segment *dbk_log_active(const dbk_log *log)
{
    return log->segment_count ? log->segments[log->segment_count - 1] : NULL;
}
static inline void dbk_log_lock(const dbk_log *log)
{
    log->port->mutex_lock(log->port->ctx, log->lock);
}
static inline void dbk_log_unlock(const dbk_log *log)
{
    log->port->mutex_unlock(log->port->ctx, log->lock);
}

/* state.c */
void dbk_state_init(dbk_log_state *state);
/* Takes in one decoded entry at position + 1; the second without its leaf, which goes into the range apart. */
void dbk_state_add(dbk_log_state *state, const dbk_entry *entry, dbk_slice origin);
void dbk_state_add_fields(dbk_log_state *state, const dbk_entry *entry);
/* Raises `top` to the entry's order key, or clears *ordered where the key is not above it. */
void dbk_state_note_key(const dbk_entry *entry, uint8_t top[DBK_ORDER_KEY_SIZE], bool *ordered);
void dbk_state_begin(dbk_log_state *state, const dbk_record *record, const dbk_start *start);
void dbk_state_start(const dbk_log_state *state, uint64_t seal_offset, dbk_start *start);
/* Adds a batch's entries to state, segment totals and index table; table may be NULL. A batch that
 * does not decode, or whose head is not that of its entries, is DBK_CORRUPT. */
dbk_result dbk_state_take(dbk_log_state *state, dbk_segment *segment, dbk_index_table *table, const dbk_record *record,
                          const uint8_t *whole, uint64_t bytes, dbk_error *err) DBK_MUST_USE;

/* segment.c */
void dbk_segment_name(uint64_t number, const char *suffix, char out[DBK_SEGMENT_NAME_SIZE]);
bool dbk_segment_name_parse(const char *name, const char *suffix, uint64_t *number);
/* The 16 digits that a name begins with. */
bool dbk_segment_digits_parse(const char *name, uint64_t *number);
dbk_segment *dbk_segment_new(const dbk_port *port, uint64_t number);
void dbk_segment_free(const dbk_port *port, dbk_segment *segment);
/* Reads both header copies. *decoded: OK when one is sound; the caller judges number and store. */
dbk_result dbk_segment_read_header(const dbk_port *port, dbk_file *file, const char *name, dbk_segment_header *header,
                                   dbk_decoded *decoded, dbk_error *err) DBK_MUST_USE;
/* How many of the two header copies are as `header`. */
dbk_result dbk_segment_count_headers(const dbk_port *port, dbk_file *file, const char *name,
                                     const dbk_segment_header *header, unsigned *count, dbk_error *err) DBK_MUST_USE;
/* salvage.c: for a segment whose two headers are gone. The header that its first sound record stands
 * for, of a file of `file_bytes`; *rebuilt false: no record of this store and number is there. */
dbk_result dbk_segment_rebuild_header(const dbk_port *port, dbk_file *file, const char *name,
                                      const dbk_log_options *options, uint64_t number, uint64_t file_bytes,
                                      dbk_segment_header *header, bool *rebuilt, dbk_error *err) DBK_MUST_USE;
/* Makes a zeroed segment of that size under its final name, synced with its name; a leftover of
 * that name without records is overwritten. */
dbk_result dbk_segment_prepare(const dbk_log *log, uint64_t number, uint64_t size, dbk_segment **out,
                               dbk_error *err) DBK_MUST_USE;
uint64_t dbk_segment_next_size(const dbk_log_options *options, uint64_t size);
/* The segment's file, open for reading until as many unpins as pins; it stays that file also when
 * the segment is packed meanwhile. */
dbk_result dbk_segment_pin(dbk_log *log, dbk_segment *segment, dbk_image **image, dbk_error *err) DBK_MUST_USE;
void dbk_segment_unpin(dbk_log *log, dbk_image *image);
/* Under the lock: the next pin opens the file anew. Returns the image to close, if any. */
dbk_image *dbk_segment_detach(dbk_segment *segment);
/* After it the next add cannot fail. */
dbk_result dbk_log_reserve_segment(dbk_log *log, dbk_error *err) DBK_MUST_USE;
/* Takes the segment on DBK_OK. */
dbk_result dbk_log_add_segment(dbk_log *log, dbk_segment *segment, dbk_error *err) DBK_MUST_USE;
/* A segment found prepared at open: its headers are written and synced again, as nobody knows
 * whether they were. */
dbk_result dbk_segment_adopt(const dbk_log *log, dbk_segment *segment, dbk_error *err) DBK_MUST_USE;
void dbk_segment_source(const dbk_segment *segment, dbk_index_source *source);

/* scan.c: a window over a segment file that slides forward. */
typedef struct dbk_scanner {
    const dbk_port *port;
    dbk_image *image;
    dbk_unpacker *unpacker;
    const char *name;
    const uint8_t *store_id;
    dbk_segment_header header;
    uint8_t *data;
    size_t capacity, filled;
    uint64_t from;
    size_t chunk; /* read at least so much at a time */
} dbk_scanner;
typedef enum dbk_head {
    DBK_HEAD_RECORD = 1,
    DBK_HEAD_ZEROS = 2, /* nothing but zeros from here, or the end of the file */
    DBK_HEAD_BAD = 4,
    DBK_HEAD_MISDIRECTED = 8,  /* sound, but belongs elsewhere */
    DBK_HEAD_HIGHER = 16,      /* sound, positions missing before it */
    DBK_HEAD_LOWER = 32,       /* sound, positions that were there already */
    DBK_HEAD_STRANGER = 64,    /* sound, follows another record than the one before it */
    DBK_HEAD_UNREADABLE = 128, /* the system failed the read */
    DBK_HEAD_NEWER = 256,
    DBK_HEAD_MISSING = 512, /* a file that must be there is not */
    DBK_HEAD_ALIEN = 1024,  /* contents that do not decode or do not give the head */
} dbk_head;
typedef struct dbk_expect {
    uint64_t position, previous;
    bool any_previous; /* the walk begins in the middle */
} dbk_expect;
void dbk_scanner_init(dbk_scanner *scanner, dbk_image *image, const dbk_segment *segment);
/* Goes on in another segment with the memory it has. */
void dbk_scanner_move(dbk_scanner *scanner, dbk_image *image, const dbk_segment *segment);
void dbk_scanner_release(dbk_scanner *scanner);
dbk_result dbk_scanner_view(dbk_scanner *scanner, uint64_t offset, size_t size, const uint8_t **at,
                            dbk_error *err) DBK_MUST_USE;
/* What stands at `offset`. DBK_OK with *head; *whole, *bytes and *record are set for RECORD,
 * *record also for the heads that call it sound. */
dbk_result dbk_scan_record(dbk_scanner *scanner, uint64_t offset, const dbk_expect *expect, dbk_record *record,
                           const uint8_t **whole, uint64_t *bytes, dbk_head *head, dbk_error *err) DBK_MUST_USE;
/* Looks from `offset` to the end for headers that are sound in their place: whether there is one,
 * and the highest durable_upto; and where the last byte that is not zero ends. */
typedef struct dbk_evidence {
    bool later;
    uint64_t durable_upto;
    uint64_t used_end; /* rounded up to 512; `offset` if all is zero */
} dbk_evidence;
dbk_result dbk_scan_evidence(dbk_scanner *scanner, uint64_t offset, dbk_evidence *evidence,
                             dbk_error *err) DBK_MUST_USE;

/* watermark.c */
dbk_result dbk_watermark_read(const dbk_port *port, dbk_dir *dir, const uint8_t store_id[16], dbk_watermark *mark,
                              bool *valid, dbk_error *err) DBK_MUST_USE;
dbk_result dbk_watermark_open(dbk_log *log, dbk_error *err) DBK_MUST_USE; /* for writing */
dbk_result dbk_watermark_write(dbk_log *log, bool clean, dbk_error *err) DBK_MUST_USE;
dbk_result dbk_watermark_sync(dbk_log *log, dbk_error *err) DBK_MUST_USE;

/* recover.c: the decision. */
typedef enum dbk_later { DBK_LATER_NONE = 1, DBK_LATER_BELOW = 2, DBK_LATER_ABOVE = 4 } dbk_later;
typedef enum dbk_decision { DBK_DECIDE_OPEN, DBK_DECIDE_CUT, DBK_DECIDE_REFUSE } dbk_decision;
typedef struct dbk_situation {
    dbk_head head;
    dbk_later later; /* evidence behind the spot: none, not reaching it, proving it was durable */
    bool covered;    /* the watermark says the spot was durable */
    bool sealed;     /* in a segment that was ended */
} dbk_situation;
typedef struct dbk_recovery_row {
    unsigned heads, laters; /* sets */
    int covered, sealed;    /* 0, 1, or -1: any */
    dbk_decision decision;
    dbk_result code; /* for REFUSE */
    const char *name, *text;
} dbk_recovery_row;
extern const dbk_recovery_row dbk_recovery_table[];
extern const unsigned dbk_recovery_row_count;
unsigned dbk_recover_decide(const dbk_situation *situation); /* index of the row; marks it */
uint64_t dbk_recover_mark(unsigned row);                     /* how often it was hit, in this process */

/* What recovery found, for load.h. */
typedef struct dbk_plan {
    unsigned row;
    dbk_situation situation;
    uint64_t segment, offset, position; /* the spot */
    uint64_t used_end;                  /* what CUT clears ends here */
    bool quiet;                         /* a clean end, with nothing near behind it */
} dbk_plan;

/* repair.c */
dbk_result dbk_log_repair(dbk_log *log, const dbk_plan *plan, dbk_error *err) DBK_MUST_USE;

/* tail.c: the one place that writes to a live segment. */
typedef struct dbk_tail {
    dbk_segment *segment;
    dbk_file **file;
    bool *direct;
    uint64_t offset;
} dbk_tail;
dbk_tail dbk_tail_of(dbk_log *log); /* where the next record goes */
/* Opens a segment for appending and takes its lock. */
dbk_result dbk_tail_open(const dbk_log *log, const dbk_segment *segment, dbk_file **file, bool *direct,
                         dbk_error *err) DBK_MUST_USE;
/* Durable when it returns DBK_OK. A failed sync poisons the log; after a failed write the range is
 * zeroed, now or before the next write. */
dbk_result dbk_tail_write(dbk_log *log, dbk_tail tail, const uint8_t *data, size_t size, dbk_error *err) DBK_MUST_USE;
dbk_result dbk_tail_clean(dbk_log *log, dbk_error *err) DBK_MUST_USE;
void dbk_log_poison(dbk_log *log);

/* roll.c */
/* Seals the active segment; log->pending becomes one with room for `need` bytes of batch. */
dbk_result dbk_log_roll(dbk_log *log, uint64_t need, dbk_error *err) DBK_MUST_USE;
/* Puts the start record of the pending segment at `at`, links the state to it; its length. */
uint64_t dbk_log_put_start(const dbk_log *log, dbk_segment *segment, dbk_log_state *state, uint8_t *at);
void dbk_log_activate(dbk_log *log); /* under the lock: pending becomes the active segment */
/* Grows log->buffer to hold so much. */
dbk_result dbk_log_buffer(dbk_log *log, size_t size, dbk_error *err) DBK_MUST_USE;

/* background.c */
void dbk_background_kick(dbk_log *log); /* the next segment and missing runs are wanted */
/* Waits for it if it is under way; NULL: none. */
dbk_segment *dbk_background_take_next(dbk_log *log);
void dbk_background_stop(dbk_log *log);

/* behind.c */
void dbk_behind_look(dbk_log *log); /* the background's first piece of work */
/* Before the first append: waits for the look, and judges what it found as opening would have. */
dbk_result dbk_behind_settle(dbk_log *log, dbk_error *err) DBK_MUST_USE;

/* checkpoint.c */
/* What a checkpoint behind `records` records that end at `end` says of the log. */
void dbk_checkpoint_put_note(const dbk_log_state *state, uint64_t end, uint64_t records, dbk_buffer *note);
/* Whether so much was appended behind the last checkpoint that a new one is worth its write. */
bool dbk_checkpoint_due(dbk_log *log);
/* Makes one of the active segment. From the table and the state there are (the appending thread, once
 * nothing else runs), or, where `from_file`, from the records, beside the one who appends. */
dbk_result dbk_checkpoint_save(dbk_log *log, bool from_file, dbk_error *err) DBK_MUST_USE;
/* Moves the beginning of the active segment's walk, which was made ready, behind the checkpoint, where
 * it is one of this segment and its record stands there; else nothing changes. Who writes has
 * dropped the cache before, so that the record is read from the disk. */
dbk_result dbk_checkpoint_use(dbk_log *log, dbk_error *err) DBK_MUST_USE;

/* pack_work.c */
/* Packs a packed segment again whose table is lost, and puts it in its place; *bytes of the new file. */
dbk_result dbk_pack_again(const dbk_port *port, dbk_dir *dir, uint64_t number, uint64_t *bytes,
                          dbk_error *err) DBK_MUST_USE;
void dbk_pack_kick(dbk_log *log);    /* sealed segments are to be packed */
bool dbk_pack_is_stopped(void *log); /* a dbk_log: what is under way is to end */
void dbk_pack_stop(dbk_log *log);    /* for good: before the end */

/* read.c */
/* Takes the lock itself; NULL: beyond the end. */
dbk_segment *dbk_log_segment_of(dbk_log *log, uint64_t position);
/* find.c: the batch with a position of the segment. */
dbk_result dbk_log_batch_of(dbk_log *log, dbk_segment *segment, uint64_t position, dbk_index_batch *batch,
                            dbk_error *err) DBK_MUST_USE;
dbk_result dbk_log_bad_record(const dbk_segment *segment, uint64_t offset, uint64_t first, uint64_t last,
                              dbk_error *err) DBK_MUST_USE;
/* Header of the record that holds a position of the segment. */
dbk_result dbk_log_record_of(dbk_log *log, dbk_segment *segment, uint64_t position, dbk_record *record,
                             dbk_error *err) DBK_MUST_USE;

/* piece.c */
void dbk_cache_release(dbk_log *log);
dbk_unpacker *dbk_log_take_unpacker(dbk_log *log); /* may be NULL */
void dbk_log_give_unpacker(dbk_log *log, dbk_unpacker *unpacker);

/* lookup.c: of all files in the log's folder; 0 where it cannot be listed. */
uint64_t dbk_log_file_bytes(const dbk_port *port, dbk_dir *dir);

#endif
