/* Nodes and names of the simulated disk. `now` is what calls see, `kept` what is durable, `changes`
 * the way from the one to the other, oldest first. A change carries its node, so that it can be
 * applied whatever became of the changes before it; as a node has one name at most, applying one
 * always moves the node's durable name and can neither lose nor double it. */
#include <stdio.h>
#include <stdlib.h>

#include "base/simdisk_internal.h"

static size_t bucket_of(const char *text)
{
    uint32_t hash = 2166136261U;
    for (; *text; text++) hash = (hash ^ (uint8_t)*text) * 16777619U;
    return hash % SIM_BUCKETS;
}

const sim_name *sim_name_find(const dbk_simdisk *disk, const char *text)
{
    const sim_name *name = disk->names[bucket_of(text)];
    while (name && strcmp(name->text, text) != 0) name = name->next;
    return name;
}

const sim_name *sim_name_make(dbk_simdisk *disk, const char *text)
{
    const sim_name *found = sim_name_find(disk, text);
    if (found) return found;
    size_t size = strlen(text) + 1;
    sim_name *name = sim_host_take(sizeof *name + size);
    memcpy(name->text, text, size);
    sim_name **bucket = &disk->names[bucket_of(text)];
    name->next = *bucket;
    *bucket = name;
    return name;
}

int sim_name_check(const char *text)
{
    size_t size = strlen(text);
    if (size > SIM_NAME_MAX) return -ENAMETOOLONG;
    if (size == 0 || strchr(text, '/')) return -EINVAL;
    return strcmp(text, ".") == 0 || strcmp(text, "..") == 0 ? -EINVAL : 0;
}

static sim_entry *entry_find(const sim_entries *entries, uint32_t dir, const sim_name *name)
{
    for (size_t i = 0; i < entries->count; i++) {
        sim_entry *entry = &entries->items[i];
        if (entry->dir == dir && entry->name == name) return entry;
    }
    return NULL;
}

uint32_t sim_lookup(const dbk_simdisk *disk, const sim_tree *tree, uint32_t dir, const char *name)
{
    const sim_name *known = sim_name_find(disk, name);
    const sim_entry *entry = known ? entry_find(&tree->now, dir, known) : NULL;
    return entry ? entry->node : SIM_NO_NODE;
}

bool sim_is_dir(const sim_tree *tree, uint32_t node)
{
    return !tree->nodes[node].body;
}

bool sim_dir_is_empty(const sim_tree *tree, uint32_t dir)
{
    for (size_t i = 0; i < tree->now.count; i++) {
        if (tree->now.items[i].dir == dir) return false;
    }
    return true;
}

/* Takes the next component off the path: 1 got one, 0 none left, else a negative errno. */
static int next_component(const char **path, char out[SIM_NAME_MAX + 1])
{
    while (**path == '/') ++*path;
    size_t size = strcspn(*path, "/");
    if (size == 0) return 0;
    if (size > SIM_NAME_MAX) return -ENAMETOOLONG;
    memcpy(out, *path, size);
    out[size] = '\0';
    *path += size;
    return strcmp(out, "..") == 0 ? -EINVAL : 1;
}

int sim_resolve(const dbk_simdisk *disk, const sim_tree *tree, const char *path, uint32_t *node, uint32_t *parent,
                char last[SIM_NAME_MAX + 1])
{
    char component[SIM_NAME_MAX + 1] = "";
    uint32_t at = 0, above = 0;
    int more;
    while ((more = next_component(&path, component)) > 0) {
        if (strcmp(component, ".") == 0) continue;
        if (at == SIM_NO_NODE) return -ENOENT;
        if (!sim_is_dir(tree, at)) return -ENOTDIR;
        above = at;
        at = sim_lookup(disk, tree, at, component);
        if (last) memcpy(last, component, sizeof component);
    }
    if (more < 0) return more;
    if (parent) *parent = above;
    *node = at;
    return at == SIM_NO_NODE ? -ENOENT : 0;
}

void sim_path(const sim_tree *tree, uint32_t node, const char *name, char out[SIM_PATH_MAX])
{
    char *at = out + SIM_PATH_MAX - 1;
    *at = '\0';
    const char *part = name;
    for (int depth = 0; depth < SIM_DEPTH_MAX; depth++) {
        if (part) {
            size_t size = strlen(part);
            if (size + 1 > (size_t)(at - out)) break;
            if (*at) *--at = '/';
            at -= size;
            memcpy(at, part, size);
        }
        if (node == 0 || node >= tree->node_count || !tree->nodes[node].name) break;
        part = tree->nodes[node].name->text;
        node = tree->nodes[node].parent;
    }
    memmove(out, at, strlen(at) + 1);
}

void sim_node_unref(dbk_simdisk *disk, uint32_t node)
{
    sim_node *it = &disk->tree.nodes[node];
    assert(it->refs > 0);
    if (--it->refs > 0) return;
    sim_body_drop(it->body);
    *it = (sim_node){0};
}

static void node_ref(dbk_simdisk *disk, uint32_t node)
{
    disk->tree.nodes[node].refs++;
}

sim_body *sim_node_body(dbk_simdisk *disk, uint32_t node)
{
    sim_node *it = &disk->tree.nodes[node];
    if (it->body->refs > 1) {
        sim_body *copy = sim_body_copy(it->body);
        it->body->refs--;
        it->body = copy;
    }
    return it->body;
}

/* The new node has no reference; the caller links it at once. */
uint32_t sim_node_make(dbk_simdisk *disk, bool directory, uint32_t mode)
{
    sim_tree *tree = &disk->tree;
    uint32_t slot = 0;
    while (slot < tree->node_count && tree->nodes[slot].refs > 0) slot++;
    if (slot == tree->node_count) {
        tree->nodes = sim_host_grow(tree->nodes, &tree->node_room, tree->node_count + 1, sizeof *tree->nodes);
        tree->node_count++;
    }
    tree->nodes[slot] = (sim_node){.mode = mode,
                                   .inode = ++disk->next_inode,
                                   .modified_ms = disk->world.wall_ms,
                                   .body = directory ? NULL : sim_body_new()};
    return slot;
}

static void entry_add(dbk_simdisk *disk, sim_entries *entries, uint32_t dir, const sim_name *name, uint32_t node)
{
    entries->items = sim_host_grow(entries->items, &entries->room, entries->count + 1, sizeof *entries->items);
    entries->items[entries->count++] = (sim_entry){dir, node, name};
    node_ref(disk, dir);
    node_ref(disk, node);
}

static void entry_remove(dbk_simdisk *disk, sim_entries *entries, sim_entry *entry)
{
    sim_entry gone = *entry;
    *entry = entries->items[--entries->count];
    sim_node_unref(disk, gone.node);
    sim_node_unref(disk, gone.dir);
}

static void change_add(dbk_simdisk *disk, sim_change change)
{
    sim_tree *tree = &disk->tree;
    tree->changes = sim_host_grow(tree->changes, &tree->change_room, tree->change_count + 1, sizeof *tree->changes);
    tree->changes[tree->change_count++] = change;
    node_ref(disk, change.node);
    node_ref(disk, change.from_dir);
    node_ref(disk, change.to_dir);
}

static void change_drop(dbk_simdisk *disk, const sim_change *change)
{
    sim_node_unref(disk, change->node);
    sim_node_unref(disk, change->from_dir);
    sim_node_unref(disk, change->to_dir);
}

static void see_link(dbk_simdisk *disk, uint32_t dir, const sim_name *name, uint32_t node)
{
    entry_add(disk, &disk->tree.now, dir, name, node);
    sim_node *it = &disk->tree.nodes[node];
    it->links = 1;
    it->parent = dir;
    it->name = name;
    disk->tree.nodes[dir].modified_ms = disk->world.wall_ms;
}

static void see_unlink(dbk_simdisk *disk, uint32_t dir, const sim_name *name)
{
    sim_entry *entry = entry_find(&disk->tree.now, dir, name);
    assert(entry);
    sim_node *it = &disk->tree.nodes[entry->node];
    it->links = 0;
    if (it->opens == 0 && it->body) disk->used_blocks -= it->body->blocks;
    disk->tree.nodes[dir].modified_ms = disk->world.wall_ms;
    entry_remove(disk, &disk->tree.now, entry);
}

void sim_link(dbk_simdisk *disk, uint32_t dir, const char *text, uint32_t node)
{
    const sim_name *name = sim_name_make(disk, text);
    see_link(disk, dir, name, node);
    change_add(disk, (sim_change){.node = node, .from_dir = dir, .to_dir = dir, .to = name});
}

void sim_unlink(dbk_simdisk *disk, uint32_t dir, const char *text)
{
    const sim_name *name = sim_name_make(disk, text);
    const sim_entry *entry = entry_find(&disk->tree.now, dir, name);
    assert(entry);
    change_add(disk, (sim_change){.node = entry->node, .from_dir = dir, .to_dir = dir, .from = name});
    see_unlink(disk, dir, name);
}

void sim_move(dbk_simdisk *disk, uint32_t from_dir, const char *from, uint32_t to_dir, const char *to)
{
    const sim_name *old = sim_name_make(disk, from), *new = sim_name_make(disk, to);
    const sim_entry *entry = entry_find(&disk->tree.now, from_dir, old);
    assert(entry);
    uint32_t node = entry->node;
    /* the change is noted first: its references keep the node while it has no entry */
    change_add(disk, (sim_change){node, from_dir, to_dir, old, new});
    if (entry_find(&disk->tree.now, to_dir, new)) see_unlink(disk, to_dir, new);
    disk->tree.nodes[node].opens++;
    see_unlink(disk, from_dir, old);
    disk->tree.nodes[node].opens--;
    see_link(disk, to_dir, new, node);
}

/* A directory that is durably gone takes the durable names inside it along. */
static void keep_remove(dbk_simdisk *disk, sim_entry *entry)
{
    uint32_t node = entry->node;
    bool directory = sim_is_dir(&disk->tree, node);
    node_ref(disk, node);
    sim_entries *kept = &disk->tree.kept;
    entry_remove(disk, kept, entry);
    for (size_t i = 0; directory && i < kept->count;) {
        if (kept->items[i].dir == node) {
            keep_remove(disk, &kept->items[i]);
            i = 0;
        } else {
            i++;
        }
    }
    sim_node_unref(disk, node);
}

static sim_entry *entry_of_node(const sim_entries *entries, uint32_t node)
{
    for (size_t i = 0; i < entries->count; i++) {
        if (entries->items[i].node == node) return &entries->items[i];
    }
    return NULL;
}

/* Whether durable names lead from the root to the directory, not passing `around`. */
static bool is_kept_dir(const sim_tree *tree, uint32_t dir, uint32_t around)
{
    for (size_t depth = 0; dir != 0 && depth <= tree->kept.count; depth++) {
        const sim_entry *entry = dir == around ? NULL : entry_of_node(&tree->kept, dir);
        if (!entry) return false;
        dir = entry->dir;
    }
    return dir == 0;
}

/* A durable node is never moved to where no durable name leads: it would be lost with both names.
 */
static bool would_lose(const sim_tree *tree, const sim_change *change)
{
    return change->from && change->to && change->from_dir != change->to_dir &&
           entry_of_node(&tree->kept, change->node) && !is_kept_dir(tree, change->to_dir, change->node);
}

static void keep_change(dbk_simdisk *disk, const sim_change *change)
{
    sim_entries *kept = &disk->tree.kept;
    if (would_lose(&disk->tree, change)) return;
    if (!change->to) {
        sim_entry *gone = entry_find(kept, change->from_dir, change->from);
        if (gone && gone->node == change->node) keep_remove(disk, gone);
        return;
    }
    sim_entry *old = entry_of_node(kept, change->node);
    if (old) entry_remove(disk, kept, old);
    sim_entry *replaced = entry_find(kept, change->to_dir, change->to);
    if (replaced) keep_remove(disk, replaced);
    entry_add(disk, kept, change->to_dir, change->to, change->node);
}

/* Earlier changes of a node that was moved durably must not move it back later. */
static void forget_earlier(const sim_change *changes, size_t count, uint32_t node, bool *done)
{
    for (size_t i = 0; i < count; i++) {
        if (changes[i].node == node) done[i] = true;
    }
}

void sim_tree_sync(dbk_simdisk *disk, uint32_t dir)
{
    sim_tree *tree = &disk->tree;
    size_t left = 0;
    /* A move into a directory that is not durable itself can only become durable along with that
     * directory's own name: then all is, as when a journal commits. */
    for (size_t i = 0; i < tree->change_count; i++) {
        const sim_change *change = &tree->changes[i];
        if (change->from_dir != dir && change->to_dir != dir) continue;
        if (would_lose(tree, change)) dir = SIM_NO_NODE;
    }
    bool *done = sim_host_take(tree->change_count + 1);
    for (size_t i = 0; i < tree->change_count; i++) {
        const sim_change *change = &tree->changes[i];
        if (dir != SIM_NO_NODE && change->from_dir != dir && change->to_dir != dir) continue;
        keep_change(disk, change);
        forget_earlier(tree->changes, i + 1, change->node, done);
    }
    for (size_t i = 0; i < tree->change_count; i++) {
        if (done[i]) {
            change_drop(disk, &tree->changes[i]);
        } else {
            tree->changes[left++] = tree->changes[i];
        }
    }
    tree->change_count = left;
    free(done);
}

/* Names that no chain of durable names leads to from the root go. */
static void drop_unreachable(dbk_simdisk *disk)
{
    sim_entries *kept = &disk->tree.kept;
    bool *reached = sim_host_take(disk->tree.node_count);
    reached[0] = true;
    for (bool again = true; again;) {
        again = false;
        for (size_t i = 0; i < kept->count; i++) {
            const sim_entry *entry = &kept->items[i];
            if (!reached[entry->dir] || reached[entry->node]) continue;
            reached[entry->node] = again = true;
        }
    }
    for (size_t i = 0; i < kept->count;) {
        if (reached[kept->items[i].dir]) {
            i++;
        } else {
            entry_remove(disk, kept, &kept->items[i]);
        }
    }
    free(reached);
}

void sim_tree_settle(dbk_simdisk *disk, sim_chooser *chooser)
{
    sim_tree *tree = &disk->tree;
    for (size_t i = 0; i < tree->change_count; i++) {
        if (sim_choose(chooser, DBK_SIM_ASK_CHANGE, 2) == DBK_SIM_NEW) {
            keep_change(disk, &tree->changes[i]);
        }
        change_drop(disk, &tree->changes[i]);
    }
    tree->change_count = 0;
    drop_unreachable(disk);
    for (size_t i = 1; i < tree->node_count; i++) tree->nodes[i].links = 0;
    while (tree->now.count > 0) entry_remove(disk, &tree->now, &tree->now.items[0]);
    for (size_t i = 0; i < tree->kept.count; i++) {
        const sim_entry *entry = &tree->kept.items[i];
        see_link(disk, entry->dir, entry->name, entry->node);
    }
}

static void *copy_items(const void *items, size_t count, size_t size)
{
    void *copy = sim_host_take(count * size + 1);
    if (count > 0) memcpy(copy, items, count * size);
    return copy;
}

void sim_tree_copy(sim_tree *to, const sim_tree *from)
{
    *to = *from;
    to->nodes = copy_items(from->nodes, from->node_count, sizeof *from->nodes);
    to->now.items = copy_items(from->now.items, from->now.count, sizeof *from->now.items);
    to->kept.items = copy_items(from->kept.items, from->kept.count, sizeof *from->kept.items);
    to->changes = copy_items(from->changes, from->change_count, sizeof *from->changes);
    to->node_room = to->node_count;
    to->now.room = to->now.count;
    to->kept.room = to->kept.count;
    to->change_room = to->change_count;
    for (size_t i = 0; i < to->node_count; i++) {
        sim_node *node = &to->nodes[i];
        node->refs -= node->opens; /* handles are not part of an image */
        node->opens = 0;
        node->locked_by = 0;
        if (node->refs == 0) *node = (sim_node){0};
        if (node->body) node->body->refs++;
    }
}

void sim_tree_release(sim_tree *tree)
{
    for (size_t i = 0; i < tree->node_count; i++) sim_body_drop(tree->nodes[i].body);
    free(tree->nodes);
    free(tree->now.items);
    free(tree->kept.items);
    free(tree->changes);
}

void sim_recount(dbk_simdisk *disk)
{
    disk->used_blocks = 0;
    for (size_t i = 0; i < disk->tree.node_count; i++) {
        const sim_node *node = &disk->tree.nodes[i];
        if (node->body && (node->links > 0 || node->opens > 0)) {
            disk->used_blocks += node->body->blocks;
        }
    }
}
