/* The simulated machine: a second dbk_port, whose disk is in memory and breaks on request (R28).
 *
 * Everything it does follows from its seed and the calls made, so a failing run can be repeated.
 * One thread only: neither the disk nor its port may be used from two threads, not even in turn
 * under a lock; separate disks share nothing. Its own memory is the host's; when the host has none
 * left the process aborts, for a simulation cannot go on then.
 *
 * The disk. Each file has two contents: what reads see, and what would be there after a power loss.
 * Writes change the first and mark 512-byte sectors as unsynced; sync_file makes content and size
 * durable, a write through a DIRECT handle does so before it returns. Creations, renames and
 * removals of names are seen at once and are durable after sync_dir of a directory they touch; a
 * rename between two directories is one change, made durable by a sync of either. sync_file does
 * not make a name durable. Allocation is counted in blocks of 4096 bytes; names cost nothing; files
 * end at 4 GiB (EFBIG). Permission bits are kept and not enforced. list() gives a shuffled order.
 *
 * A crash (dbk_simdisk_crash) settles everything unsynced, see there. Handles opened before a
 * crash, a kill or a restore are dead: their calls give EBADF, but they must still be closed (or
 * are released with the disk). */
#ifndef DBK_SIMDISK_H
#define DBK_SIMDISK_H

#include "base/bytes.h"
#include "base/port.h"

typedef struct dbk_simdisk dbk_simdisk;
typedef struct dbk_simdisk_image dbk_simdisk_image;

enum { DBK_SIM_SECTOR_BYTES = 512, DBK_SIM_BLOCK_BYTES = 4096 };

/* An empty disk; never NULL. Release frees all memory of the disk, its handles and images included;
 * accepts NULL. Memory taken through the port and not given back is not freed: see
 * dbk_simdisk_memory_count, and the leak checker. */
dbk_simdisk *dbk_simdisk_new(uint64_t seed);
void dbk_simdisk_free(dbk_simdisk *disk);
/* The port of this disk, valid until dbk_simdisk_free. */
const dbk_port *dbk_simdisk_port(const dbk_simdisk *disk);
/* Sets the port's sqlite_vfs (NULL at first), before the port is given to others. */
void dbk_simdisk_set_sqlite_vfs(dbk_simdisk *disk, const char *name);

/* What surrounds the disk. The fields may be read and changed between any two calls. */
typedef struct dbk_simdisk_world {
    int64_t wall_ms;              /* 1,700,000,000,000 at first */
    int64_t monotonic_ns;         /* 1,000,000,000 at first */
    int64_t wall_step_ms;         /* added after each wall_ms call; 0 at first */
    int64_t monotonic_step_ns;    /* added after each monotonic_ns call; 1,000 at first */
    int32_t zone_minutes;         /* 0 at first */
    uint32_t process_id;          /* 1000 at first; one more after each kill and crash */
    uint32_t other_process;       /* the one other process that is alive; 0: none */
    uint32_t owner;               /* uid of every file; 1000 at first */
    char boot_id[37];             /* from the seed; another after each crash */
    uint64_t capacity_bytes;      /* 1 TiB at first; rounded down to blocks */
    uint32_t sector_bytes;        /* alignment that DIRECT handles ask for; 512 at first */
    const char *fs_name;          /* "simulated" at first */
    bool suits_live_store;        /* true at first */
    bool refuses_direct;          /* opening with DIRECT gives EINVAL, as tmpfs does */
    bool read_only;               /* calls that would change the disk, and opening with WRITE, give EROFS */
    bool failed_sync_keeps_dirty; /* false, as on Linux: a sync_file that fails (but for EINTR)
                                     leaves its sectors marked clean and not durable; reads see the
                                     new bytes until drop_cache or a DIRECT read fetches the old
                                     ones */
    bool runs_threads;            /* thread_start runs the function to its end inside the call and
                                     then returns 0; otherwise it gives ENOSYS */
} dbk_simdisk_world;

dbk_simdisk_world *dbk_simdisk_world_of(dbk_simdisk *disk);
/* Moves both clocks forward. */
void dbk_simdisk_advance_ms(dbk_simdisk *disk, int64_t ms);

/* Kinds of calls, one bit each. */
enum {
    DBK_SIM_READ = 1 << 0,
    DBK_SIM_WRITE = 1 << 1,
    DBK_SIM_SYNC = 1 << 2,     /* sync_file */
    DBK_SIM_SYNC_DIR = 1 << 3, /* sync_dir */
    DBK_SIM_OPEN = 1 << 4,     /* open_file and open_dir of what is there, or fails */
    DBK_SIM_CREATE = 1 << 5,   /* open_file and open_dir that make something, make_dir */
    DBK_SIM_REMOVE = 1 << 6,   /* unlink, remove_dir */
    DBK_SIM_RENAME = 1 << 7,
    DBK_SIM_TRUNCATE = 1 << 8,
    DBK_SIM_ALLOCATE = 1 << 9,
    DBK_SIM_LIST = 1 << 10,
    DBK_SIM_IDENTIFY = 1 << 11, /* identify, identify_dir, identify_file, space */
    DBK_SIM_LOCK = 1 << 12,
    DBK_SIM_DROP_CACHE = 1 << 13,
    DBK_SIM_MEMORY = 1 << 14, /* alloc, resize, alloc_aligned, mutex_new, cond_new */
    DBK_SIM_RANDOM = 1 << 15,
    DBK_SIM_THREAD = 1 << 16, /* thread_start */
    /* what can change the disk, durably or not */
    DBK_SIM_CHANGES = DBK_SIM_WRITE | DBK_SIM_SYNC | DBK_SIM_SYNC_DIR | DBK_SIM_CREATE | DBK_SIM_REMOVE |
                      DBK_SIM_RENAME | DBK_SIM_TRUNCATE | DBK_SIM_ALLOCATE,
    DBK_SIM_IO = DBK_SIM_CHANGES | DBK_SIM_READ | DBK_SIM_OPEN | DBK_SIM_LIST | DBK_SIM_IDENTIFY | DBK_SIM_LOCK |
                 DBK_SIM_DROP_CACHE,
    DBK_SIM_KIND_COUNT = 17
};

/* Calls of the kinds in `kinds` made so far, failed ones included. */
uint64_t dbk_simdisk_calls(const dbk_simdisk *disk, uint32_t kinds);

typedef enum dbk_simdisk_action {
    DBK_SIM_FAIL,      /* nothing is done; `error` is returned (memory calls return NULL) */
    DBK_SIM_SHORT,     /* a read or write does at most `bytes` bytes; other calls are done whole */
    DBK_SIM_LIE,       /* sync_file, sync_dir: nothing is done and 0 returned. pwrite: reads see the
                          bytes, but they are never durable, as if the device had lost the write;
                          drop_cache or a DIRECT read brings the old bytes back. Else done whole */
    DBK_SIM_MISDIRECT, /* a write lands at offset `bytes` instead of its own; otherwise done whole
                        */
} dbk_simdisk_action;

/* A rule of the fault plan: which calls, and what becomes of them. */
typedef struct dbk_simdisk_fault {
    uint32_t kinds;   /* DBK_SIM_… bits */
    const char *path; /* calls on a path that contains this text ("dir/file"; for a rename either
                         name; for handles the present or last name); copied. NULL: all calls.
                         A rule with a path never matches memory, random and thread calls */
    uint64_t skip;    /* so many matching calls pass first */
    uint64_t times;   /* then so many are hit; 0: all from there on */
    dbk_simdisk_action action;
    int error;      /* for FAIL: an errno, EINTR for example; 0 means EIO */
    uint64_t bytes; /* for SHORT and MISDIRECT */
} dbk_simdisk_fault;

/* Adds a rule. Of the rules that hit a call the one added first decides; all of them count it. */
void dbk_simdisk_add_fault(dbk_simdisk *disk, const dbk_simdisk_fault *fault);
void dbk_simdisk_clear_faults(dbk_simdisk *disk);
/* Calls hit by rules since the last dbk_simdisk_clear_faults; 0 ends a loop over `skip`. */
uint64_t dbk_simdisk_fault_hits(const dbk_simdisk *disk);

/* The power goes while the count-th call of DBK_SIM_CHANGES from now (1: the next one) is under
 * way: that call takes effect without being durable and gives EIO (for a sync or a DIRECT write:
 * any part of it may be durable after the crash); all I/O after it gives EIO and does nothing,
 * until dbk_simdisk_crash. count 0: never. A harness counts the changes of a whole run first, then
 * repeats it with the power going at each of them. */
void dbk_simdisk_power_off_at(dbk_simdisk *disk, uint64_t count);
bool dbk_simdisk_power_is_off(const dbk_simdisk *disk);

/* What a crash asks about each unsynced thing, and the answers. In this order: changes of names,
 * oldest first (options OLD: it did not happen, NEW: it did; any subset, so that a rename leaves
 * either its old or its new name, never none and never both); then for each file its size if that
 * changed (OLD, NEW, BETWEEN: drawn from between the two), and its unsynced sectors below that
 * size in ascending order (OLD, NEW, ZERO, GARBAGE). A sector that was never durable is zero when
 * OLD. Bytes cut off by an unsynced truncation are back when the size is OLD. */
typedef enum dbk_simdisk_question {
    DBK_SIM_ASK_CHANGE,
    DBK_SIM_ASK_SIZE,
    DBK_SIM_ASK_SECTOR,
} dbk_simdisk_question;

typedef enum dbk_simdisk_outcome {
    DBK_SIM_OLD = 0,
    DBK_SIM_NEW = 1,
    DBK_SIM_ZERO = 2,
    DBK_SIM_BETWEEN = 2,
    DBK_SIM_GARBAGE = 3,
} dbk_simdisk_outcome;

/* Answers one question with 0 to options - 1. */
typedef unsigned (*dbk_simdisk_choose_fn)(void *arg, dbk_simdisk_question question, unsigned options);

typedef enum dbk_simdisk_crash_mode {
    DBK_SIM_ALL_OLD,
    DBK_SIM_ALL_NEW,
    DBK_SIM_ALL_ZERO,    /* sectors zero; names and sizes new */
    DBK_SIM_ALL_GARBAGE, /* sectors garbage; names and sizes new */
    DBK_SIM_RANDOM_MIX,  /* each independently, from the seed */
} dbk_simdisk_crash_mode;

/* Power loss: settles everything unsynced, makes the result durable and visible, kills all handles
 * and locks, turns the power on again, and gives another boot id and process id. The fault plan
 * stays. `seed` decides the random mode, garbage, and sizes between. */
void dbk_simdisk_crash(dbk_simdisk *disk, dbk_simdisk_crash_mode mode, uint64_t seed);
/* The same with the caller's answers, for walking through all of them. */
void dbk_simdisk_crash_with(dbk_simdisk *disk, dbk_simdisk_choose_fn choose, void *arg, uint64_t seed);
/* The number of questions the crash would ask now, if all sizes were answered NEW. */
size_t dbk_simdisk_unsynced(dbk_simdisk *disk);
/* The process is killed: handles and locks die, nothing is lost, the process id changes. */
void dbk_simdisk_kill(dbk_simdisk *disk);

/* An image of the whole disk, unsynced parts included; content is shared until one side changes
 * it. Belongs to the disk it was taken of; free accepts NULL and is implied by dbk_simdisk_free. */
dbk_simdisk_image *dbk_simdisk_snapshot(dbk_simdisk *disk);
void dbk_simdisk_image_free(dbk_simdisk *disk, dbk_simdisk_image *image);
/* Puts the image back (it stays valid): handles and locks die, the power is on. World, fault plan
 * and call counts stay. */
void dbk_simdisk_restore(dbk_simdisk *disk, const dbk_simdisk_image *image);

/* Meddling by path ("dir/file", from the root) behind the back of the program: acts on what reads
 * see and on what is durable alike, is never counted, never fails by plan. All but read give 0 or a
 * negative errno: ENOENT, EISDIR, ENOTDIR. */
bool dbk_simdisk_exists(dbk_simdisk *disk, const char *path);
/* Up to `size` bytes from `offset` as reads see them; the number read, or a negative errno. */
int64_t dbk_simdisk_read(dbk_simdisk *disk, const char *path, uint64_t offset, void *out, size_t size);
int64_t dbk_simdisk_size(dbk_simdisk *disk, const char *path); /* bytes, or a negative errno */
/* Makes the file if missing, grows it as needed; ignores the capacity. EFBIG past 4 GiB. */
int dbk_simdisk_write(dbk_simdisk *disk, const char *path, uint64_t offset, const void *data, size_t size);
int dbk_simdisk_flip_bit(dbk_simdisk *disk, const char *path, uint64_t offset, unsigned bit);
int dbk_simdisk_truncate(dbk_simdisk *disk, const char *path, uint64_t size); /* also grows */
int dbk_simdisk_remove(dbk_simdisk *disk, const char *path);                  /* a file */
int dbk_simdisk_copy(dbk_simdisk *disk, const char *from, const char *to);    /* a file */
int dbk_simdisk_swap(dbk_simdisk *disk, const char *a, const char *b);        /* contents of two files */
/* Makes all that is unsynced durable. */
void dbk_simdisk_sync_all(dbk_simdisk *disk);

/* A digest of all paths, kinds, sizes and contents as reads see them, or of those at and below
 * `path` (NULL or "": everything). Equal trees have equal digests. */
uint64_t dbk_simdisk_hash(dbk_simdisk *disk, const char *path);
/* Whether reads see the same tree as in the image; if not, `path` (may be NULL) gets the first
 * path found that differs, cut to fit. */
bool dbk_simdisk_same(dbk_simdisk *disk, const dbk_simdisk_image *image, char *path, size_t path_size);

/* What was taken through the port and not given back. Mutexes, conditions and threads count as
 * memory. Freeing with the wrong call, or twice, is asserted on. */
size_t dbk_simdisk_memory_count(const dbk_simdisk *disk);
size_t dbk_simdisk_memory_bytes(const dbk_simdisk *disk);
size_t dbk_simdisk_handle_count(const dbk_simdisk *disk); /* open files and directories */

#endif
