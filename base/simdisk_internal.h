/* Inside the simulated machine. Files: simdisk.c (the object and its table), simdisk_body.c (file
 * contents), simdisk_tree.c (nodes and names), simdisk_dir.c and simdisk_file.c (the port's calls),
 * simdisk_fault.c (fault plan and power), simdisk_crash.c (crash, images), simdisk_meddle.c (by
 * path), simdisk_world.c (memory, clocks, threads). */
#ifndef DBK_SIMDISK_INTERNAL_H
#define DBK_SIMDISK_INTERNAL_H

#include <assert.h>
#include <errno.h>

#include "base/simdisk.h"

enum {
    SIM_SECTORS = DBK_SIM_BLOCK_BYTES / DBK_SIM_SECTOR_BYTES, /* in a page */
    SIM_NAME_MAX = 255,
    SIM_PATH_MAX = 4096,
    SIM_DEPTH_MAX = 64,
    SIM_BUCKETS = 1024,
};
#define SIM_FILE_MAX (UINT64_C(4) << 30)

/* Pages are shared by the two contents of a file and by images; whoever writes needs one alone. */
typedef struct sim_page {
    uint32_t refs;
    uint8_t data[DBK_SIM_BLOCK_BYTES];
} sim_page;

/* The contents of a file. NULL pages are holes. Bytes beyond a size are zero in its pages. A sector
 * that is not dirty is the same in both contents unless has_lost. */
typedef struct sim_body {
    uint32_t refs; /* the disk's node and images */
    size_t room;   /* of the three arrays */
    sim_page **now;
    sim_page **kept;
    uint8_t *dirty;   /* a bit per sector */
    size_t dirty_low; /* no dirty page below, none from dirty_high on */
    size_t dirty_high;
    uint64_t now_size;
    uint64_t kept_size;
    uint64_t blocks;    /* pages in `now` */
    bool has_lost;      /* there may be clean sectors that are not durable */
    bool has_allocated; /* there may be zero pages whose allocation is not durable */
} sim_body;

/* Names are unique for the life of the disk, so that equal names are equal pointers. */
typedef struct sim_name {
    struct sim_name *next;
    char text[];
} sim_name;

typedef struct sim_node {
    uint32_t refs; /* entries and changes that name it as node or directory, handles; 0: free slot */
    uint32_t opens;
    uint32_t links; /* entries of `now` that lead to it; 1 for the root */
    uint32_t mode;
    uint64_t inode;
    int64_t modified_ms;
    sim_body *body; /* NULL: a directory */
    uint32_t parent;
    const sim_name *name; /* the present name, or the last one */
    uint64_t locked_by;   /* id of a handle; 0: nobody */
} sim_node;

typedef struct sim_entry {
    uint32_t dir;
    uint32_t node;
    const sim_name *name;
} sim_entry;

/* A change of names that is not durable: from gone (remove), to made (create), or both (rename). */
typedef struct sim_change {
    uint32_t node;
    uint32_t from_dir;
    uint32_t to_dir;
    const sim_name *from;
    const sim_name *to;
} sim_change;

typedef struct sim_entries {
    sim_entry *items;
    size_t count, room;
} sim_entries;

/* Everything an image holds. Node 0 is the root; slots are used again, inode numbers are not. */
typedef struct sim_tree {
    sim_node *nodes;
    size_t node_count, node_room;
    sim_entries now;
    sim_entries kept;
    sim_change *changes;
    size_t change_count, change_room;
} sim_tree;

struct dbk_simdisk_image {
    sim_tree tree;
    dbk_simdisk_image *next;
};

/* Both kinds of handles. */
typedef struct sim_handle {
    dbk_simdisk *disk;
    struct sim_handle *next, *previous;
    uint64_t id;
    uint32_t node;
    int flags;
    bool dead; /* a crash, kill or restore came between; `node` means nothing then */
} sim_handle;
struct dbk_dir {
    sim_handle handle;
};
struct dbk_file {
    sim_handle handle;
};

typedef struct sim_rule {
    dbk_simdisk_fault fault;
    char *path;
    uint64_t seen;
    struct sim_rule *next;
} sim_rule;

typedef enum sim_power { SIM_POWER_ON, SIM_POWER_FAILING, SIM_POWER_OFF } sim_power;

struct dbk_simdisk {
    dbk_port port;
    dbk_simdisk_world world;
    sim_tree tree;
    sim_name *names[SIM_BUCKETS];
    sim_handle *handles;
    size_t handle_count;
    uint64_t next_handle;
    uint64_t next_inode;
    uint64_t used_blocks; /* of nodes that have a name or a handle */
    dbk_simdisk_image *images;
    sim_rule *rules;
    uint64_t fault_hits;
    uint64_t calls[DBK_SIM_KIND_COUNT];
    uint64_t changes_left; /* until the power fails; 0: it does not */
    sim_power power;
    uint64_t random_state; /* for the port's random() */
    uint64_t order_state;  /* for list() */
    uint64_t boot_state;
    size_t memory_count, memory_bytes;
    uint32_t endless_waits;
};

/* host memory, zeroed; aborts when there is none */
void *sim_host_take(size_t size);
/* Room for `need` items: returns items, perhaps moved. */
void *sim_host_grow(void *items, size_t *room, size_t need, size_t item_size);
uint64_t sim_random_next(uint64_t *state);

/* simdisk_body.c */
sim_body *sim_body_new(void);
sim_body *sim_body_copy(const sim_body *body);
void sim_body_drop(sim_body *body);
size_t sim_body_read(const sim_body *body, void *out, size_t size, uint64_t offset);
/* Writes into `now`, taking at most `spare` new blocks; returns the bytes that found room. */
size_t sim_body_write(sim_body *body, const void *data, size_t size, uint64_t offset, uint64_t spare, bool lost);
void sim_body_truncate(sim_body *body, uint64_t size);
/* Takes blocks for the range, all or none; false: more than `spare`. */
bool sim_body_allocate(sim_body *body, uint64_t offset, uint64_t size, uint64_t spare);
void sim_body_sync(sim_body *body);
void sim_body_sync_range(sim_body *body, uint64_t offset, uint64_t size);
void sim_body_fail_sync(sim_body *body);
void sim_body_evict(sim_body *body, uint64_t offset, uint64_t size); /* brings lost sectors back */
/* Change both contents; what else is unsynced stays so. */
void sim_body_poke(sim_body *body, const void *data, size_t size, uint64_t offset);
void sim_body_cut(sim_body *body, uint64_t size);
bool sim_body_is_settled(const sim_body *body);
size_t sim_body_unsynced(const sim_body *body);
/* How a crash settles a body; `random` gives garbage and sizes between. */
typedef struct sim_chooser {
    dbk_simdisk_choose_fn choose;
    void *arg;
    uint64_t random;
} sim_chooser;
unsigned sim_choose(sim_chooser *chooser, dbk_simdisk_question question, unsigned options);
void sim_body_settle(sim_body *body, sim_chooser *chooser);
const uint8_t *sim_page_bytes(const sim_page *page); /* zeros for a hole */

/* simdisk_tree.c */
const sim_name *sim_name_find(const dbk_simdisk *disk, const char *text); /* NULL: never used */
const sim_name *sim_name_make(dbk_simdisk *disk, const char *text);
int sim_name_check(const char *text); /* 0, or why it cannot be a name */
#define SIM_NO_NODE UINT32_MAX
uint32_t sim_lookup(const dbk_simdisk *disk, const sim_tree *tree, uint32_t dir, const char *name);
/* Of a path; *parent and *last (both may be NULL) say where its last component is or would be. */
int sim_resolve(const dbk_simdisk *disk, const sim_tree *tree, const char *path, uint32_t *node, uint32_t *parent,
                char last[SIM_NAME_MAX + 1]);
void sim_path(const sim_tree *tree, uint32_t node, const char *name, char out[SIM_PATH_MAX]);
bool sim_is_dir(const sim_tree *tree, uint32_t node);
bool sim_dir_is_empty(const sim_tree *tree, uint32_t dir);
void sim_node_unref(dbk_simdisk *disk, uint32_t node);
sim_body *sim_node_body(dbk_simdisk *disk, uint32_t node); /* alone, to be changed */
uint32_t sim_node_make(dbk_simdisk *disk, bool directory, uint32_t mode);
/* The changes of names: seen at once, durable after sim_tree_sync. */
void sim_link(dbk_simdisk *disk, uint32_t dir, const char *name, uint32_t node);
void sim_unlink(dbk_simdisk *disk, uint32_t dir, const char *name);
void sim_move(dbk_simdisk *disk, uint32_t from_dir, const char *from, uint32_t to_dir, const char *to);
void sim_tree_sync(dbk_simdisk *disk, uint32_t dir); /* SIM_NO_NODE: everywhere */
/* Each pending change happens or not; then `now` is what was kept and reachable. */
void sim_tree_settle(dbk_simdisk *disk, sim_chooser *chooser);
void sim_tree_copy(sim_tree *to, const sim_tree *from);
void sim_tree_release(sim_tree *tree);
void sim_recount(dbk_simdisk *disk);

/* simdisk_fault.c */
typedef struct sim_target { /* what a call is about; name NULL: the node itself */
    uint32_t node;
    const char *name;
    uint32_t second_node; /* of a rename */
    const char *second_name;
} sim_target;
typedef struct sim_verdict {
    int error;                 /* positive errno: give up at once */
    dbk_simdisk_action action; /* else: SHORT, LIE, MISDIRECT, or FAIL for "nothing special" */
    uint64_t bytes;
} sim_verdict;
/* At the start of each call: counts it, asks the power and the fault plan. */
sim_verdict sim_enter(dbk_simdisk *disk, uint32_t kind, const sim_target *target);
/* At the end of each call that can change the disk: turns `result` into EIO if the power went. */
int64_t sim_leave(dbk_simdisk *disk, int64_t result);
static inline bool sim_is_failing(const dbk_simdisk *disk)
{
    return disk->power == SIM_POWER_FAILING;
}

/* simdisk.c */
sim_handle *sim_handle_new(dbk_simdisk *disk, size_t size, uint32_t node, int flags);
void sim_handle_close(sim_handle *handle);
void sim_handles_kill(dbk_simdisk *disk);
void sim_boot(dbk_simdisk *disk);
static inline uint64_t sim_spare_blocks(const dbk_simdisk *disk)
{
    uint64_t all = disk->world.capacity_bytes / DBK_SIM_BLOCK_BYTES;
    return all > disk->used_blocks ? all - disk->used_blocks : 0;
}

/* filling the table */
void sim_fill_world(dbk_port *port);
void sim_fill_dir(dbk_port *port);
void sim_fill_file(dbk_port *port);

#endif
