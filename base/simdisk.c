/* The simulated machine: the object, its handles, its table. */
#include "base/simdisk.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/simdisk_internal.h"

static void *must(void *memory)
{
    if (!memory) abort();
    return memory;
}

void *sim_host_take(size_t size)
{
    return must(calloc(1, size));
}

void *sim_host_grow(void *items, size_t *room, size_t need, size_t item_size)
{
    if (need <= *room) return items;
    size_t more = *room < 8 ? 16 : *room * 2;
    if (more < need) more = need;
    *room = more;
    return must(realloc(items, more * item_size));
}

/* Steele, Lea and Flood's SplitMix64: any state will do, and every seed gives another sequence. */
uint64_t sim_random_next(uint64_t *state)
{
    uint64_t z = (*state += UINT64_C(0x9e3779b97f4a7c15));
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

void sim_boot(dbk_simdisk *disk)
{
    uint64_t high = sim_random_next(&disk->boot_state), low = sim_random_next(&disk->boot_state);
    snprintf(disk->world.boot_id, sizeof disk->world.boot_id, "%08x-%04x-4%03x-8%03x-%012llx", (unsigned)(high >> 32),
             (unsigned)(high >> 16) & 0xffff, (unsigned)high & 0xfff, (unsigned)(low >> 52),
             (unsigned long long)low & 0xffffffffffff);
}

dbk_simdisk *dbk_simdisk_new(uint64_t seed)
{
    dbk_simdisk *disk = sim_host_take(sizeof *disk);
    uint64_t state = seed;
    disk->random_state = sim_random_next(&state);
    disk->order_state = sim_random_next(&state);
    disk->boot_state = sim_random_next(&state);
    disk->world = (dbk_simdisk_world){.wall_ms = INT64_C(1700000000000),
                                      .monotonic_ns = 1000000000,
                                      .monotonic_step_ns = 1000,
                                      .process_id = 1000,
                                      .owner = 1000,
                                      .capacity_bytes = UINT64_C(1) << 40,
                                      .sector_bytes = DBK_SIM_SECTOR_BYTES,
                                      .fs_name = "simulated",
                                      .suits_live_store = true};
    sim_boot(disk);
    uint32_t root = sim_node_make(disk, true, 0700);
    disk->tree.nodes[root].refs = disk->tree.nodes[root].links = 1;
    disk->port.ctx = disk;
    sim_fill_world(&disk->port);
    sim_fill_dir(&disk->port);
    sim_fill_file(&disk->port);
    return disk;
}

void dbk_simdisk_free(dbk_simdisk *disk)
{
    if (!disk) return;
    while (disk->handles) sim_handle_close(disk->handles);
    while (disk->images) dbk_simdisk_image_free(disk, disk->images);
    dbk_simdisk_clear_faults(disk);
    sim_tree_release(&disk->tree);
    for (size_t i = 0; i < SIM_BUCKETS; i++) {
        while (disk->names[i]) {
            sim_name *name = disk->names[i];
            disk->names[i] = name->next;
            free(name);
        }
    }
    free(disk);
}

const dbk_port *dbk_simdisk_port(const dbk_simdisk *disk)
{
    return &disk->port;
}

void dbk_simdisk_set_sqlite_vfs(dbk_simdisk *disk, const char *name)
{
    disk->port.sqlite_vfs = name;
}

dbk_simdisk_world *dbk_simdisk_world_of(dbk_simdisk *disk)
{
    return &disk->world;
}

size_t dbk_simdisk_handle_count(const dbk_simdisk *disk)
{
    return disk->handle_count;
}

sim_handle *sim_handle_new(dbk_simdisk *disk, size_t size, uint32_t node, int flags)
{
    sim_handle *handle = sim_host_take(size);
    *handle =
        (sim_handle){.disk = disk, .next = disk->handles, .id = ++disk->next_handle, .node = node, .flags = flags};
    if (disk->handles) disk->handles->previous = handle;
    disk->handles = handle;
    disk->handle_count++;
    disk->tree.nodes[node].refs++;
    disk->tree.nodes[node].opens++;
    return handle;
}

/* Gives up the handle's hold on its node. */
static void handle_detach(sim_handle *handle)
{
    dbk_simdisk *disk = handle->disk;
    if (handle->dead) return;
    handle->dead = true;
    sim_node *node = &disk->tree.nodes[handle->node];
    if (node->locked_by == handle->id) node->locked_by = 0;
    node->opens--;
    if (node->body && node->opens == 0 && node->links == 0) disk->used_blocks -= node->body->blocks;
    sim_node_unref(disk, handle->node);
}

void sim_handle_close(sim_handle *handle)
{
    dbk_simdisk *disk = handle->disk;
    handle_detach(handle);
    if (handle->next) handle->next->previous = handle->previous;
    if (handle->previous) {
        handle->previous->next = handle->next;
    } else {
        disk->handles = handle->next;
    }
    disk->handle_count--;
    free(handle);
}

void sim_handles_kill(dbk_simdisk *disk)
{
    for (sim_handle *handle = disk->handles; handle; handle = handle->next) handle_detach(handle);
}
