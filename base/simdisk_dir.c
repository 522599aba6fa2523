/* The port's directory calls on the simulated disk. */
#include <stdlib.h>

#include "base/simdisk_internal.h"

static int dir_check(const dbk_dir *dir, const char *name)
{
    if (dir->handle.dead) return -EBADF;
    return name ? sim_name_check(name) : 0;
}

static bool is_self(const char *name)
{
    return strcmp(name, ".") == 0;
}

/* For calls that only look: "." is the directory itself, as for the machine. */
static int look_up(const dbk_dir *dir, const char *name, uint32_t *node)
{
    const dbk_simdisk *disk = dir->handle.disk;
    int failed = dir_check(dir, is_self(name) ? NULL : name);
    if (failed) return failed;
    uint32_t self = dir->handle.node;
    *node = is_self(name) ? self : sim_lookup(disk, &disk->tree, self, name);
    return 0;
}

/* A new name cannot be made in a directory that was removed while open. */
static bool dir_is_gone(const dbk_dir *dir)
{
    return dir->handle.disk->tree.nodes[dir->handle.node].links == 0;
}

static int hand_out(dbk_simdisk *disk, uint32_t node, int flags, dbk_dir **out)
{
    *out = (dbk_dir *)sim_handle_new(disk, sizeof **out, node, flags);
    return 0;
}

/* Opens, or makes what `found` says is missing. */
static int open_or_make(dbk_simdisk *disk, int found, uint32_t node, uint32_t parent, const char *name, int flags,
                        dbk_dir **out)
{
    bool make = found == -ENOENT && parent != SIM_NO_NODE && (flags & DBK_OPEN_DIRECTORY);
    sim_target target = {.node = parent == SIM_NO_NODE ? 0 : parent, .name = name};
    sim_verdict verdict = sim_enter(disk, make ? DBK_SIM_CREATE : DBK_SIM_OPEN, &target);
    if (verdict.error) return -verdict.error;
    if (make) {
        if (disk->tree.nodes[parent].links == 0) return (int)sim_leave(disk, -ENOENT);
        node = sim_node_make(disk, true, 0700);
        sim_link(disk, parent, name, node);
        found = (int)sim_leave(disk, 0);
    }
    if (found < 0) return found;
    return sim_is_dir(&disk->tree, node) ? hand_out(disk, node, flags, out) : -ENOTDIR;
}

static int sim_open_dir(void *ctx, dbk_dir *parent, const char *name, int flags, dbk_dir **out)
{
    dbk_simdisk *disk = ctx;
    uint32_t node = SIM_NO_NODE, above = SIM_NO_NODE;
    char last[SIM_NAME_MAX + 1] = "";
    *out = NULL;
    if (!parent) {
        int found = sim_resolve(disk, &disk->tree, name, &node, &above, last);
        return open_or_make(disk, found, node, above, last, flags, out);
    }
    int failed = look_up(parent, name, &node);
    if (failed) return failed;
    above = parent->handle.node;
    return open_or_make(disk, node == SIM_NO_NODE ? -ENOENT : 0, node, above, name, flags, out);
}

static void sim_close_dir(void *ctx, dbk_dir *dir)
{
    (void)ctx;
    sim_handle_close(&dir->handle);
}

static int sim_sync_dir(void *ctx, dbk_dir *dir)
{
    dbk_simdisk *disk = ctx;
    int failed = dir_check(dir, NULL);
    if (failed) return failed;
    sim_target target = {.node = dir->handle.node};
    sim_verdict verdict = sim_enter(disk, DBK_SIM_SYNC_DIR, &target);
    if (verdict.error) return -verdict.error;
    if (!sim_is_failing(disk) && verdict.action != DBK_SIM_LIE) {
        sim_tree_sync(disk, dir->handle.node);
    }
    return (int)sim_leave(disk, 0);
}

/* The names in an order of the disk's own choosing; `count` of them, freed by the caller. */
static const sim_name **shuffled_names(dbk_simdisk *disk, uint32_t dir, size_t *count)
{
    const sim_entries *now = &disk->tree.now;
    const sim_name **names = sim_host_take((now->count + 1) * sizeof *names);
    size_t n = 0;
    for (size_t i = 0; i < now->count; i++) {
        if (now->items[i].dir != dir) continue;
        size_t at = (size_t)(sim_random_next(&disk->order_state) % (n + 1));
        names[n++] = names[at];
        names[at] = now->items[i].name;
    }
    *count = n;
    return names;
}

static int sim_list(void *ctx, dbk_dir *dir, dbk_list_fn each, void *arg)
{
    dbk_simdisk *disk = ctx;
    int failed = dir_check(dir, NULL);
    if (failed) return failed;
    sim_target target = {.node = dir->handle.node};
    sim_verdict verdict = sim_enter(disk, DBK_SIM_LIST, &target);
    if (verdict.error) return -verdict.error;
    size_t count = 0;
    const sim_name **names = shuffled_names(disk, dir->handle.node, &count);
    int stop = 0;
    for (size_t i = 0; i < count && !stop; i++) stop = each(arg, names[i]->text);
    free(names);
    return stop;
}

static void describe(const dbk_simdisk *disk, uint32_t at, dbk_identity *out)
{
    const sim_node *node = &disk->tree.nodes[at];
    *out = (dbk_identity){.device = 1,
                          .inode = node->inode,
                          .links = node->links,
                          .size_bytes = node->body ? node->body->now_size : 0,
                          .modified_ms = node->modified_ms,
                          .created_ns = (int64_t)node->inode, /* no two have one number */
                          .kind = node->body ? DBK_IS_FILE : DBK_IS_DIRECTORY,
                          .mode = node->mode,
                          .owner = disk->world.owner};
}

static int sim_identify(void *ctx, dbk_dir *dir, const char *name, dbk_identity *out)
{
    dbk_simdisk *disk = ctx;
    uint32_t node;
    int failed = look_up(dir, name, &node);
    if (failed) return failed;
    sim_target target = {.node = dir->handle.node, .name = name};
    sim_verdict verdict = sim_enter(disk, DBK_SIM_IDENTIFY, &target);
    if (verdict.error) return -verdict.error;
    if (node == SIM_NO_NODE) return -ENOENT;
    describe(disk, node, out);
    return 0;
}

static int identify_handle(const sim_handle *handle, dbk_identity *out)
{
    dbk_simdisk *disk = handle->disk;
    if (handle->dead) return -EBADF;
    sim_target target = {.node = handle->node};
    sim_verdict verdict = sim_enter(disk, DBK_SIM_IDENTIFY, &target);
    if (verdict.error) return -verdict.error;
    describe(disk, handle->node, out);
    return 0;
}

static int sim_identify_dir(void *ctx, dbk_dir *dir, dbk_identity *out)
{
    (void)ctx;
    return identify_handle(&dir->handle, out);
}

static int sim_identify_file(void *ctx, dbk_file *file, dbk_identity *out)
{
    (void)ctx;
    return identify_handle(&file->handle, out);
}

static int sim_space(void *ctx, dbk_dir *dir, dbk_space *out)
{
    dbk_simdisk *disk = ctx;
    int failed = dir_check(dir, NULL);
    if (failed) return failed;
    sim_target target = {.node = dir->handle.node};
    sim_verdict verdict = sim_enter(disk, DBK_SIM_IDENTIFY, &target);
    if (verdict.error) return -verdict.error;
    uint64_t blocks = disk->world.capacity_bytes / DBK_SIM_BLOCK_BYTES;
    *out = (dbk_space){.free_bytes = sim_spare_blocks(disk) * DBK_SIM_BLOCK_BYTES,
                       .total_bytes = blocks * DBK_SIM_BLOCK_BYTES,
                       .sector_bytes = disk->world.sector_bytes,
                       .fs_name = disk->world.fs_name,
                       .suits_live_store = disk->world.suits_live_store};
    return 0;
}

static int sim_path_of(void *ctx, dbk_dir *dir, char *out, size_t size)
{
    const dbk_simdisk *disk = ctx;
    char path[SIM_PATH_MAX];
    int failed = dir_check(dir, NULL);
    if (failed) return failed;
    sim_path(&disk->tree, dir->handle.node, "", path);
    size_t length = strlen(path);
    while (length > 0 && path[length - 1] == '/') path[--length] = '\0';
    if (length + 2 > size) return -ENAMETOOLONG;
    out[0] = '/';
    memcpy(out + 1, path, length + 1);
    return 0;
}

static int sim_make_dir(void *ctx, dbk_dir *dir, const char *name, uint32_t mode)
{
    dbk_simdisk *disk = ctx;
    int failed = dir_check(dir, name);
    if (failed) return failed;
    sim_target target = {.node = dir->handle.node, .name = name};
    sim_verdict verdict = sim_enter(disk, DBK_SIM_CREATE, &target);
    if (verdict.error) return -verdict.error;
    if (dir_is_gone(dir)) return (int)sim_leave(disk, -ENOENT);
    if (sim_lookup(disk, &disk->tree, dir->handle.node, name) != SIM_NO_NODE) {
        return (int)sim_leave(disk, -EEXIST);
    }
    sim_link(disk, dir->handle.node, name, sim_node_make(disk, true, mode));
    return (int)sim_leave(disk, 0);
}

static int remove_checks(const sim_tree *tree, uint32_t node, bool directory)
{
    if (node == SIM_NO_NODE) return -ENOENT;
    if (!directory) return sim_is_dir(tree, node) ? -EISDIR : 0;
    if (!sim_is_dir(tree, node)) return -ENOTDIR;
    return sim_dir_is_empty(tree, node) ? 0 : -ENOTEMPTY;
}

static int remove_name(dbk_simdisk *disk, const dbk_dir *dir, const char *name, bool directory)
{
    int failed = dir_check(dir, name);
    if (failed) return failed;
    sim_target target = {.node = dir->handle.node, .name = name};
    sim_verdict verdict = sim_enter(disk, DBK_SIM_REMOVE, &target);
    if (verdict.error) return -verdict.error;
    uint32_t node = sim_lookup(disk, &disk->tree, dir->handle.node, name);
    failed = remove_checks(&disk->tree, node, directory);
    if (!failed) sim_unlink(disk, dir->handle.node, name);
    return (int)sim_leave(disk, failed);
}

static int sim_remove_dir(void *ctx, dbk_dir *dir, const char *name)
{
    return remove_name(ctx, dir, name, true);
}

static int sim_unlink_file(void *ctx, dbk_dir *dir, const char *name)
{
    return remove_name(ctx, dir, name, false);
}

static bool is_inside(const sim_tree *tree, uint32_t dir, uint32_t outer)
{
    while (dir != outer && dir != 0) dir = tree->nodes[dir].parent;
    return dir == outer;
}

static int rename_checks(const sim_tree *tree, uint32_t node, uint32_t to_dir, uint32_t replaced)
{
    if (node == SIM_NO_NODE) return -ENOENT;
    bool directory = sim_is_dir(tree, node);
    if (directory && is_inside(tree, to_dir, node)) return -EINVAL;
    if (replaced == SIM_NO_NODE) return 0;
    if (!directory) return sim_is_dir(tree, replaced) ? -EISDIR : 0;
    if (!sim_is_dir(tree, replaced)) return -ENOTDIR;
    return sim_dir_is_empty(tree, replaced) ? 0 : -ENOTEMPTY;
}

static int sim_rename(void *ctx, dbk_dir *from_dir, const char *from, dbk_dir *to_dir, const char *to)
{
    dbk_simdisk *disk = ctx;
    int failed = dir_check(from_dir, from);
    if (!failed) failed = dir_check(to_dir, to);
    if (failed) return failed;
    uint32_t source = from_dir->handle.node, target_dir = to_dir->handle.node;
    sim_target target = {source, from, target_dir, to};
    sim_verdict verdict = sim_enter(disk, DBK_SIM_RENAME, &target);
    if (verdict.error) return -verdict.error;
    uint32_t node = sim_lookup(disk, &disk->tree, source, from);
    uint32_t replaced = sim_lookup(disk, &disk->tree, target_dir, to);
    failed = dir_is_gone(to_dir) ? -ENOENT : rename_checks(&disk->tree, node, target_dir, replaced);
    if (!failed && node != replaced) sim_move(disk, source, from, target_dir, to);
    return (int)sim_leave(disk, failed);
}

void sim_fill_dir(dbk_port *port)
{
    port->open_dir = sim_open_dir;
    port->close_dir = sim_close_dir;
    port->sync_dir = sim_sync_dir;
    port->list = sim_list;
    port->identify = sim_identify;
    port->identify_dir = sim_identify_dir;
    port->identify_file = sim_identify_file;
    port->space = sim_space;
    port->path_of = sim_path_of;
    port->make_dir = sim_make_dir;
    port->remove_dir = sim_remove_dir;
    port->rename = sim_rename;
    port->unlink = sim_unlink_file;
}
