/* The port's file calls on the simulated disk. */
#include "base/simdisk_internal.h"

static int open_checks(const dbk_simdisk *disk, uint32_t node, int flags)
{
    if ((flags & DBK_OPEN_DIRECT) && disk->world.refuses_direct) return -EINVAL;
    if (node == SIM_NO_NODE) return flags & DBK_OPEN_CREATE ? 0 : -ENOENT;
    if ((flags & DBK_OPEN_CREATE) && (flags & DBK_OPEN_EXCLUSIVE)) return -EEXIST;
    if (sim_is_dir(&disk->tree, node)) return -EISDIR;
    return (flags & DBK_OPEN_WRITE) && disk->world.read_only ? -EROFS : 0;
}

static int open_or_create(dbk_simdisk *disk, const dbk_dir *dir, const char *name, int flags, uint32_t mode,
                          dbk_file **out)
{
    uint32_t parent = dir->handle.node;
    uint32_t node = sim_lookup(disk, &disk->tree, parent, name);
    bool create = node == SIM_NO_NODE && (flags & DBK_OPEN_CREATE);
    sim_target target = {.node = parent, .name = name};
    sim_verdict verdict = sim_enter(disk, create ? DBK_SIM_CREATE : DBK_SIM_OPEN, &target);
    if (verdict.error) return -verdict.error;
    int failed = open_checks(disk, node, flags);
    if (!failed && create && disk->tree.nodes[parent].links == 0) failed = -ENOENT;
    if (!failed && create) {
        node = sim_node_make(disk, false, mode);
        sim_link(disk, parent, name, node);
    }
    failed = (int)sim_leave(disk, failed);
    if (!failed) *out = (dbk_file *)sim_handle_new(disk, sizeof **out, node, flags);
    return failed;
}

static int sim_open_file(void *ctx, dbk_dir *dir, const char *name, int flags, uint32_t mode, dbk_file **out)
{
    *out = NULL;
    if (dir->handle.dead) return -EBADF;
    int failed = sim_name_check(name);
    if (failed) return failed;
    if (!(flags & (DBK_OPEN_READ | DBK_OPEN_WRITE))) return -EINVAL;
    return open_or_create(ctx, dir, name, flags, mode, out);
}

static void sim_close_file(void *ctx, dbk_file *file)
{
    (void)ctx;
    sim_handle_close(&file->handle);
}

/* What direct I/O asks of an offset, a size and an address. */
static bool is_aligned(const dbk_file *file, const void *memory, size_t size, uint64_t offset)
{
    if (!(file->handle.flags & DBK_OPEN_DIRECT)) return true;
    uint64_t sector = file->handle.disk->world.sector_bytes;
    return ((uintptr_t)memory | size | offset) % sector == 0;
}

static int64_t sim_pread(void *ctx, dbk_file *file, void *out, size_t size, uint64_t offset)
{
    dbk_simdisk *disk = ctx;
    const sim_handle *handle = &file->handle;
    if (handle->dead || !(handle->flags & DBK_OPEN_READ)) return -EBADF;
    if (!is_aligned(file, out, size, offset)) return -EINVAL;
    sim_target target = {.node = handle->node};
    sim_verdict verdict = sim_enter(disk, DBK_SIM_READ, &target);
    if (verdict.error) return -verdict.error;
    if (verdict.action == DBK_SIM_SHORT && size > verdict.bytes) size = (size_t)verdict.bytes;
    const sim_body *body = disk->tree.nodes[handle->node].body;
    if ((handle->flags & DBK_OPEN_DIRECT) && body->has_lost && offset < body->now_size) {
        sim_body *own = sim_node_body(disk, handle->node);
        sim_body_evict(own, offset, size);
        body = own;
    }
    return (int64_t)sim_body_read(body, out, size, offset);
}

/* A write that the plan let pass: blocks, contents, and durability for DIRECT. */
static int64_t put_bytes(dbk_simdisk *disk, const sim_handle *handle, const void *data, size_t size, uint64_t offset,
                         bool lost)
{
    if (size == 0) return 0;
    if (offset >= SIM_FILE_MAX) return -EFBIG;
    if (size > SIM_FILE_MAX - offset) size = (size_t)(SIM_FILE_MAX - offset);
    sim_node *node = &disk->tree.nodes[handle->node];
    sim_body *body = sim_node_body(disk, handle->node);
    uint64_t blocks = body->blocks;
    size_t done = sim_body_write(body, data, size, offset, sim_spare_blocks(disk), lost);
    disk->used_blocks += body->blocks - blocks;
    if (done == 0) return -ENOSPC;
    node->modified_ms = disk->world.wall_ms;
    if ((handle->flags & DBK_OPEN_DIRECT) && !lost && !sim_is_failing(disk)) {
        sim_body_sync_range(body, offset, done);
    }
    return (int64_t)done;
}

static int64_t sim_pwrite(void *ctx, dbk_file *file, const void *data, size_t size, uint64_t offset)
{
    dbk_simdisk *disk = ctx;
    const sim_handle *handle = &file->handle;
    if (handle->dead || !(handle->flags & DBK_OPEN_WRITE)) return -EBADF;
    if (!is_aligned(file, data, size, offset)) return -EINVAL;
    sim_target target = {.node = handle->node};
    sim_verdict verdict = sim_enter(disk, DBK_SIM_WRITE, &target);
    if (verdict.error) return -verdict.error;
    if (verdict.action == DBK_SIM_SHORT && size > verdict.bytes) size = (size_t)verdict.bytes;
    if (verdict.action == DBK_SIM_MISDIRECT) offset = verdict.bytes;
    bool lost = verdict.action == DBK_SIM_LIE;
    return sim_leave(disk, put_bytes(disk, handle, data, size, offset, lost));
}

static int sim_sync_file(void *ctx, dbk_file *file)
{
    dbk_simdisk *disk = ctx;
    const sim_handle *handle = &file->handle;
    if (handle->dead) return -EBADF;
    sim_target target = {.node = handle->node};
    sim_verdict verdict = sim_enter(disk, DBK_SIM_SYNC, &target);
    bool settled = sim_body_is_settled(disk->tree.nodes[handle->node].body);
    if (verdict.error) {
        bool cleans = !disk->world.failed_sync_keeps_dirty && verdict.error != EINTR && disk->power == SIM_POWER_ON;
        if (cleans && !settled) sim_body_fail_sync(sim_node_body(disk, handle->node));
        return -verdict.error;
    }
    if (!sim_is_failing(disk) && verdict.action != DBK_SIM_LIE && !settled) {
        sim_body_sync(sim_node_body(disk, handle->node));
    }
    return (int)sim_leave(disk, 0);
}

static int sim_truncate(void *ctx, dbk_file *file, uint64_t size)
{
    dbk_simdisk *disk = ctx;
    const sim_handle *handle = &file->handle;
    if (handle->dead) return -EBADF;
    if (!(handle->flags & DBK_OPEN_WRITE)) return -EINVAL;
    if (size > SIM_FILE_MAX) return -EFBIG;
    sim_target target = {.node = handle->node};
    sim_verdict verdict = sim_enter(disk, DBK_SIM_TRUNCATE, &target);
    if (verdict.error) return -verdict.error;
    sim_body *body = sim_node_body(disk, handle->node);
    uint64_t blocks = body->blocks;
    sim_body_truncate(body, size);
    disk->used_blocks -= blocks - body->blocks;
    disk->tree.nodes[handle->node].modified_ms = disk->world.wall_ms;
    return (int)sim_leave(disk, 0);
}

static int sim_allocate(void *ctx, dbk_file *file, uint64_t offset, uint64_t size)
{
    dbk_simdisk *disk = ctx;
    const sim_handle *handle = &file->handle;
    uint64_t end;
    if (handle->dead || !(handle->flags & DBK_OPEN_WRITE)) return -EBADF;
    if (size == 0) return -EINVAL;
    if (!dbk_add(offset, size, &end) || end > SIM_FILE_MAX) return -EFBIG;
    sim_target target = {.node = handle->node};
    sim_verdict verdict = sim_enter(disk, DBK_SIM_ALLOCATE, &target);
    if (verdict.error) return -verdict.error;
    sim_body *body = sim_node_body(disk, handle->node);
    uint64_t blocks = body->blocks;
    bool fits = sim_body_allocate(body, offset, size, sim_spare_blocks(disk));
    disk->used_blocks += body->blocks - blocks;
    return (int)sim_leave(disk, fits ? 0 : -ENOSPC);
}

static int sim_drop_cache(void *ctx, dbk_file *file, uint64_t offset, uint64_t size)
{
    dbk_simdisk *disk = ctx;
    const sim_handle *handle = &file->handle;
    if (handle->dead) return -EBADF;
    sim_target target = {.node = handle->node};
    sim_verdict verdict = sim_enter(disk, DBK_SIM_DROP_CACHE, &target);
    if (verdict.error) return -verdict.error;
    const sim_body *body = disk->tree.nodes[handle->node].body;
    if (!body->has_lost || offset >= body->now_size) return 0;
    uint64_t left = body->now_size - offset;
    if (size == 0 || size > left) size = left; /* 0: to the end, as posix_fadvise has it */
    sim_body_evict(sim_node_body(disk, handle->node), offset, size);
    return 0;
}

/* Nobody is counted who shares: only that no lock_file stands now. */
static int sim_share_lock(void *ctx, dbk_file *file)
{
    dbk_simdisk *disk = ctx;
    const sim_handle *handle = &file->handle;
    if (handle->dead) return -EBADF;
    sim_target target = {.node = handle->node};
    sim_verdict verdict = sim_enter(disk, DBK_SIM_LOCK, &target);
    if (verdict.error) return -verdict.error;
    const sim_node *node = &disk->tree.nodes[handle->node];
    return node->locked_by != 0 && node->locked_by != handle->id ? -EAGAIN : 0;
}

static int sim_lock_file(void *ctx, dbk_file *file)
{
    dbk_simdisk *disk = ctx;
    int rc = sim_share_lock(ctx, file);
    if (rc == 0) disk->tree.nodes[file->handle.node].locked_by = file->handle.id;
    return rc;
}

void sim_fill_file(dbk_port *port)
{
    port->open_file = sim_open_file;
    port->close_file = sim_close_file;
    port->pread = sim_pread;
    port->pwrite = sim_pwrite;
    port->sync_file = sim_sync_file;
    port->truncate = sim_truncate;
    port->allocate = sim_allocate;
    port->drop_cache = sim_drop_cache;
    port->lock_file = sim_lock_file;
    port->share_lock = sim_share_lock;
}
