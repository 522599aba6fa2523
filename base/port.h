/* The port: the one door to the operating system. Everything outside base/ reaches files, clocks,
 * randomness, memory and threads only through a `dbk_port`, so that tests can make them lie (R28).
 *
 * Two implementations: dbk_port_system() is the machine; base/simdisk.h makes a simulated one.
 * The calls are raw: they may be short, interrupted, or fail; base/io.h has the loops around them.
 * Calls that can fail return 0 or a count on success and a negative errno on failure. A table of
 * functions never changes after it is made and may be used from all threads. */
#ifndef DBK_PORT_H
#define DBK_PORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct dbk_port dbk_port;
typedef struct dbk_dir dbk_dir;   /* an open directory */
typedef struct dbk_file dbk_file; /* an open file */
typedef struct dbk_mutex dbk_mutex;
typedef struct dbk_cond dbk_cond;
typedef struct dbk_thread dbk_thread;

enum {
    DBK_OPEN_READ = 1,
    DBK_OPEN_WRITE = 2,
    DBK_OPEN_CREATE = 4,     /* made if missing */
    DBK_OPEN_EXCLUSIVE = 8,  /* with CREATE: fails with EEXIST if it is there */
    DBK_OPEN_DIRECT = 16,    /* O_DIRECT|O_DSYNC: every write is durable when it returns; offsets,
                                sizes and addresses are multiples of the file's sector size. EINVAL
                                where the file system has none */
    DBK_OPEN_DIRECTORY = 32, /* open_dir makes it if missing */
};
/* Links are never followed in the last component (O_NOFOLLOW), descriptors are never inherited
 * (O_CLOEXEC) and never 0, 1 or 2 (F42). */

/* What a name or an open file is. */
typedef struct dbk_identity {
    uint64_t device;
    uint64_t inode;
    uint64_t links; /* 0: unlinked while open */
    uint64_t size_bytes;
    int64_t modified_ms;
    int64_t created_ns; /* when the inode was made, which no copy takes along; 0: not known here */
    enum { DBK_IS_FILE = 1, DBK_IS_DIRECTORY, DBK_IS_OTHER } kind;
    uint32_t mode;  /* permission bits */
    uint32_t owner; /* uid */
} dbk_identity;

typedef struct dbk_space {
    uint64_t free_bytes; /* to an unprivileged user */
    uint64_t total_bytes;
    uint32_t sector_bytes; /* unit of direct I/O, a power of two, 512 at least */
    const char *fs_name;   /* static text: "ext4", "nfs", "fuse", …, "unknown" */
    bool suits_live_store; /* false for network and FUSE file systems (R25) */
} dbk_space;

/* For list: return non-zero to stop, which list then returns. `name` lives for the call. */
typedef int (*dbk_list_fn)(void *arg, const char *name);

struct dbk_port {
    void *ctx;

    /* memory: as malloc, realloc, free; aligned for O_DIRECT where asked */
    void *(*alloc)(void *ctx, size_t size);
    void *(*resize)(void *ctx, void *memory, size_t size);
    void *(*alloc_aligned)(void *ctx, size_t alignment, size_t size); /* freed by free_aligned */
    void (*free)(void *ctx, void *memory);
    void (*free_aligned)(void *ctx, void *memory);

    /* clocks: wall time may jump, monotonic time may not; only the latter is for timeouts (R27) */
    int64_t (*wall_ms)(void *ctx);
    int64_t (*monotonic_ns)(void *ctx);
    int32_t (*zone_minutes)(void *ctx); /* local offset from UTC, east positive */

    /* randomness from the system's CSPRNG */
    int (*random)(void *ctx, void *out, size_t size);

    /* directories; names are single components, except open_dir's when parent is NULL: a path */
    int (*open_dir)(void *ctx, dbk_dir *parent, const char *name, int flags, dbk_dir **out);
    void (*close_dir)(void *ctx, dbk_dir *dir);
    int (*sync_dir)(void *ctx, dbk_dir *dir);
    int (*list)(void *ctx, dbk_dir *dir, dbk_list_fn each, void *arg); /* without . and .. */
    int (*identify)(void *ctx, dbk_dir *dir, const char *name, dbk_identity *out);
    int (*identify_dir)(void *ctx, dbk_dir *dir, dbk_identity *out);
    int (*space)(void *ctx, dbk_dir *dir, dbk_space *out);
    int (*path_of)(void *ctx, dbk_dir *dir, char *out, size_t size); /* absolute, links resolved, NUL-terminated */
    int (*make_dir)(void *ctx, dbk_dir *dir, const char *name, uint32_t mode);
    int (*remove_dir)(void *ctx, dbk_dir *dir, const char *name);
    int (*rename)(void *ctx, dbk_dir *from_dir, const char *from, dbk_dir *to_dir, const char *to);
    int (*unlink)(void *ctx, dbk_dir *dir, const char *name);

    /* files */
    int (*open_file)(void *ctx, dbk_dir *dir, const char *name, int flags, uint32_t mode, dbk_file **out);
    void (*close_file)(void *ctx, dbk_file *file);                                        /* drops its locks */
    int64_t (*pread)(void *ctx, dbk_file *file, void *out, size_t size, uint64_t offset); /* 0: end */
    int64_t (*pwrite)(void *ctx, dbk_file *file, const void *data, size_t size, uint64_t offset);
    int (*sync_file)(void *ctx, dbk_file *file); /* fdatasync; F_FULLFSYNC on macOS (R17) */
    int (*truncate)(void *ctx, dbk_file *file, uint64_t size);
    int (*allocate)(void *ctx, dbk_file *file, uint64_t offset, uint64_t size); /* posix_fallocate */
    int (*identify_file)(void *ctx, dbk_file *file, dbk_identity *out);
    int (*drop_cache)(void *ctx, dbk_file *file, uint64_t offset, uint64_t size); /* best effort */
    /* Exclusive lock of the whole file, not waiting: -EAGAIN when another open file has it. */
    int (*lock_file)(void *ctx, dbk_file *file);
    /* Shared with others of its kind, and -EAGAIN where a lock_file stands; a file open for reading will do. */
    int (*share_lock)(void *ctx, dbk_file *file);

    /* threads; wait may wake without a signal; timeout_ns < 0 waits for ever, -ETIMEDOUT else */
    dbk_mutex *(*mutex_new)(void *ctx);
    void (*mutex_free)(void *ctx, dbk_mutex *mutex);
    void (*mutex_lock)(void *ctx, dbk_mutex *mutex);
    void (*mutex_unlock)(void *ctx, dbk_mutex *mutex);
    dbk_cond *(*cond_new)(void *ctx);
    void (*cond_free)(void *ctx, dbk_cond *cond);
    int (*cond_wait)(void *ctx, dbk_cond *cond, dbk_mutex *mutex, int64_t timeout_ns);
    void (*cond_signal)(void *ctx, dbk_cond *cond);
    void (*cond_broadcast)(void *ctx, dbk_cond *cond);
    int (*thread_start)(void *ctx, const char *name, void (*run)(void *), void *arg, dbk_thread **out);
    void (*thread_join)(void *ctx, dbk_thread *thread); /* frees it */
    /* The calling thread takes second place from now on: for work that nobody waits for. */
    void (*thread_lower)(void *ctx);

    /* this process */
    uint32_t (*processors)(void *ctx); /* that its threads may run on at the same time, 1 at least */
    uint32_t (*process_id)(void *ctx);
    bool (*process_alive)(void *ctx, uint32_t id);
    int (*boot_id)(void *ctx, char out[37]); /* text of the running system's boot, NUL-terminated */

    /* SQLite's file layer that goes with this port; NULL: SQLite's default for the machine */
    const char *sqlite_vfs;
};

/* The machine. Static; needs no release. */
const dbk_port *dbk_port_system(void);
/* For a process that lives long: what it frees of large memory goes back to the machine at once, in
 * place of being kept for the next need. */
void dbk_port_return_memory(void);
/* After something large was freed in small pieces: such a process gives that back too, others keep it. Takes
 * milliseconds. */
void dbk_port_trim_memory(void);

#endif
