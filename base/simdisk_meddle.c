/* Reading and spoiling the simulated disk by path, and proving that nothing changed. */
#include <stdio.h>
#include <stdlib.h>

#include "base/hash.h"
#include "base/simdisk_internal.h"

static int find_file(dbk_simdisk *disk, const char *path, uint32_t *node)
{
    int failed = sim_resolve(disk, &disk->tree, path, node, NULL, NULL);
    if (failed) return failed;
    return sim_is_dir(&disk->tree, *node) ? -EISDIR : 0;
}

bool dbk_simdisk_exists(dbk_simdisk *disk, const char *path)
{
    uint32_t node;
    return sim_resolve(disk, &disk->tree, path, &node, NULL, NULL) == 0;
}

int64_t dbk_simdisk_size(dbk_simdisk *disk, const char *path)
{
    uint32_t node;
    int failed = find_file(disk, path, &node);
    return failed ? failed : (int64_t)disk->tree.nodes[node].body->now_size;
}

int64_t dbk_simdisk_read(dbk_simdisk *disk, const char *path, uint64_t offset, void *out, size_t size)
{
    uint32_t node;
    int failed = find_file(disk, path, &node);
    if (failed) return failed;
    return (int64_t)sim_body_read(disk->tree.nodes[node].body, out, size, offset);
}

/* Finds the file or makes it, durably. */
static int find_or_make(dbk_simdisk *disk, const char *path, uint32_t *node)
{
    char last[SIM_NAME_MAX + 1] = "";
    uint32_t parent = SIM_NO_NODE;
    int failed = sim_resolve(disk, &disk->tree, path, node, &parent, last);
    if (failed == -ENOENT && parent != SIM_NO_NODE) {
        *node = sim_node_make(disk, false, 0600);
        sim_link(disk, parent, last, *node);
        sim_tree_sync(disk, parent);
        return 0;
    }
    return failed ? failed : find_file(disk, path, node);
}

int dbk_simdisk_write(dbk_simdisk *disk, const char *path, uint64_t offset, const void *data, size_t size)
{
    uint32_t node;
    uint64_t end;
    if (!dbk_add(offset, size, &end) || end > SIM_FILE_MAX) return -EFBIG;
    int failed = find_or_make(disk, path, &node);
    if (failed) return failed;
    sim_body_poke(sim_node_body(disk, node), data, size, offset);
    sim_recount(disk);
    return 0;
}

int dbk_simdisk_flip_bit(dbk_simdisk *disk, const char *path, uint64_t offset, unsigned bit)
{
    uint8_t byte;
    int64_t got = dbk_simdisk_read(disk, path, offset, &byte, 1);
    if (got < 0) return (int)got;
    if (got == 0) return -EINVAL;
    byte ^= (uint8_t)(1U << (bit % 8));
    return dbk_simdisk_write(disk, path, offset, &byte, 1);
}

int dbk_simdisk_truncate(dbk_simdisk *disk, const char *path, uint64_t size)
{
    uint32_t node;
    if (size > SIM_FILE_MAX) return -EFBIG;
    int failed = find_file(disk, path, &node);
    if (failed) return failed;
    sim_body_cut(sim_node_body(disk, node), size);
    sim_recount(disk);
    return 0;
}

int dbk_simdisk_remove(dbk_simdisk *disk, const char *path)
{
    uint32_t node, parent;
    char last[SIM_NAME_MAX + 1] = "";
    int failed = find_file(disk, path, &node);
    if (failed) return failed;
    (void)sim_resolve(disk, &disk->tree, path, &node, &parent, last); /* it was found, and now by whose name */
    sim_unlink(disk, parent, last);
    sim_tree_sync(disk, parent);
    return 0;
}

/* Gives the node a content of its own in place of the one it has. */
static void replace_body(dbk_simdisk *disk, uint32_t node, sim_body *body)
{
    sim_body_drop(disk->tree.nodes[node].body);
    disk->tree.nodes[node].body = body;
    sim_recount(disk);
}

int dbk_simdisk_copy(dbk_simdisk *disk, const char *from, const char *to)
{
    uint32_t source, target;
    int failed = find_file(disk, from, &source);
    if (!failed) failed = find_or_make(disk, to, &target);
    if (failed) return failed;
    if (source != target) {
        replace_body(disk, target, sim_body_copy(disk->tree.nodes[source].body));
    }
    return 0;
}

int dbk_simdisk_swap(dbk_simdisk *disk, const char *a, const char *b)
{
    uint32_t first, second;
    int failed = find_file(disk, a, &first);
    if (!failed) failed = find_file(disk, b, &second);
    if (failed) return failed;
    sim_body *body = disk->tree.nodes[first].body;
    disk->tree.nodes[first].body = disk->tree.nodes[second].body;
    disk->tree.nodes[second].body = body;
    return 0;
}

static bool is_zero(const uint8_t *data)
{
    static const uint8_t zeros[DBK_SIM_BLOCK_BYTES];
    return memcmp(data, zeros, sizeof zeros) == 0;
}

/* Holes and pages of zeros count alike. */
static uint64_t body_hash(const sim_body *body, uint64_t seed)
{
    uint64_t hash = dbk_checksum(dbk_slice_of(&body->now_size, sizeof body->now_size), seed);
    for (size_t page = 0; page < body->room; page++) {
        if (!body->now[page] || is_zero(sim_page_bytes(body->now[page]))) continue;
        dbk_slice data = dbk_slice_of(sim_page_bytes(body->now[page]), DBK_SIM_BLOCK_BYTES);
        hash += dbk_checksum(data, seed + page + 1);
    }
    return hash;
}

static bool is_at_or_below(const char *path, const char *top)
{
    size_t size = strlen(top);
    while (size > 0 && top[size - 1] == '/') size--;
    return strncmp(path, top, size) == 0 && (size == 0 || path[size] == '\0' || path[size] == '/');
}

/* A sum over the names, so that their order does not matter. */
uint64_t dbk_simdisk_hash(dbk_simdisk *disk, const char *top)
{
    const sim_tree *tree = &disk->tree;
    uint64_t sum = 0;
    for (size_t i = 0; i < tree->now.count; i++) {
        char path[SIM_PATH_MAX];
        uint32_t node = tree->now.items[i].node;
        sim_path(tree, node, NULL, path);
        if (!is_at_or_below(path, top ? top : "")) continue;
        uint64_t seed = dbk_checksum(dbk_slice_text(path), sim_is_dir(tree, node));
        sum += sim_is_dir(tree, node) ? seed : body_hash(tree->nodes[node].body, seed);
    }
    return sum;
}

static bool bodies_equal(const sim_body *a, const sim_body *b)
{
    if (a == b) return true;
    if (!a || !b || a->now_size != b->now_size) return false;
    size_t most = a->room > b->room ? a->room : b->room;
    for (size_t page = 0; page < most; page++) {
        const sim_page *left = page < a->room ? a->now[page] : NULL;
        const sim_page *right = page < b->room ? b->now[page] : NULL;
        if (left == right) continue;
        if (memcmp(sim_page_bytes(left), sim_page_bytes(right), DBK_SIM_BLOCK_BYTES) != 0) {
            return false;
        }
    }
    return true;
}

/* Whether each name of `a` is in `b` with the same content. */
static bool is_contained(const dbk_simdisk *disk, const sim_tree *a, const sim_tree *b, char *path)
{
    for (size_t i = 0; i < a->now.count; i++) {
        uint32_t node = a->now.items[i].node, other;
        sim_path(a, node, NULL, path);
        if (sim_resolve(disk, b, path, &other, NULL, NULL) != 0) return false;
        if (!bodies_equal(a->nodes[node].body, b->nodes[other].body)) return false;
    }
    return true;
}

bool dbk_simdisk_same(dbk_simdisk *disk, const dbk_simdisk_image *image, char *path, size_t path_size)
{
    char found[SIM_PATH_MAX] = "";
    if (is_contained(disk, &disk->tree, &image->tree, found) && is_contained(disk, &image->tree, &disk->tree, found)) {
        return true;
    }
    if (path && path_size > 0) snprintf(path, path_size, "%s", found);
    return false;
}
