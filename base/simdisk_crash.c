/* Crashes, kills and disk images of the simulated machine. */
#include <stdlib.h>

#include "base/simdisk_internal.h"

unsigned sim_choose(sim_chooser *chooser, dbk_simdisk_question question, unsigned options)
{
    unsigned answer = chooser->choose(chooser->arg, question, options);
    assert(answer < options);
    return answer;
}

void dbk_simdisk_crash_with(dbk_simdisk *disk, dbk_simdisk_choose_fn choose, void *arg, uint64_t seed)
{
    sim_chooser chooser = {choose, arg, seed};
    sim_handles_kill(disk);
    sim_tree_settle(disk, &chooser);
    for (uint32_t i = 0; i < disk->tree.node_count; i++) {
        const sim_body *body = disk->tree.nodes[i].body;
        if (body && !sim_body_is_settled(body)) sim_body_settle(sim_node_body(disk, i), &chooser);
    }
    sim_recount(disk);
    disk->power = SIM_POWER_ON;
    disk->changes_left = 0;
    disk->world.process_id++;
    sim_boot(disk);
}

static unsigned choose_old(void *arg, dbk_simdisk_question question, unsigned options)
{
    (void)arg, (void)question, (void)options;
    return DBK_SIM_OLD;
}

static unsigned choose_new(void *arg, dbk_simdisk_question question, unsigned options)
{
    (void)arg, (void)question, (void)options;
    return DBK_SIM_NEW;
}

static unsigned choose_zero(void *arg, dbk_simdisk_question question, unsigned options)
{
    (void)arg, (void)options;
    return question == DBK_SIM_ASK_SECTOR ? DBK_SIM_ZERO : DBK_SIM_NEW;
}

static unsigned choose_garbage(void *arg, dbk_simdisk_question question, unsigned options)
{
    (void)arg, (void)options;
    return question == DBK_SIM_ASK_SECTOR ? DBK_SIM_GARBAGE : DBK_SIM_NEW;
}

static unsigned choose_random(void *arg, dbk_simdisk_question question, unsigned options)
{
    uint64_t *state = arg;
    (void)question;
    return (unsigned)(sim_random_next(state) >> 32) % options;
}

void dbk_simdisk_crash(dbk_simdisk *disk, dbk_simdisk_crash_mode mode, uint64_t seed)
{
    static const dbk_simdisk_choose_fn choosers[] = {
        [DBK_SIM_ALL_OLD] = choose_old,         [DBK_SIM_ALL_NEW] = choose_new,       [DBK_SIM_ALL_ZERO] = choose_zero,
        [DBK_SIM_ALL_GARBAGE] = choose_garbage, [DBK_SIM_RANDOM_MIX] = choose_random,
    };
    uint64_t answers = sim_random_next(&seed), contents = sim_random_next(&seed);
    dbk_simdisk_crash_with(disk, choosers[mode], &answers, contents);
}

size_t dbk_simdisk_unsynced(dbk_simdisk *disk)
{
    size_t count = disk->tree.change_count;
    for (size_t i = 0; i < disk->tree.node_count; i++) {
        const sim_node *node = &disk->tree.nodes[i];
        if (node->body && node->links > 0) count += sim_body_unsynced(node->body);
    }
    return count;
}

void dbk_simdisk_kill(dbk_simdisk *disk)
{
    sim_handles_kill(disk);
    disk->world.process_id++;
}

void dbk_simdisk_sync_all(dbk_simdisk *disk)
{
    sim_tree_sync(disk, SIM_NO_NODE);
    for (uint32_t i = 0; i < disk->tree.node_count; i++) {
        const sim_body *body = disk->tree.nodes[i].body;
        if (body && !sim_body_is_settled(body)) sim_body_sync(sim_node_body(disk, i));
    }
}

dbk_simdisk_image *dbk_simdisk_snapshot(dbk_simdisk *disk)
{
    dbk_simdisk_image *image = sim_host_take(sizeof *image);
    sim_tree_copy(&image->tree, &disk->tree);
    image->next = disk->images;
    disk->images = image;
    return image;
}

void dbk_simdisk_image_free(dbk_simdisk *disk, dbk_simdisk_image *image)
{
    if (!image) return;
    dbk_simdisk_image **at = &disk->images;
    for (; *at != image; at = &(*at)->next) assert(*at);
    *at = image->next;
    sim_tree_release(&image->tree);
    free(image);
}

void dbk_simdisk_restore(dbk_simdisk *disk, const dbk_simdisk_image *image)
{
    sim_handles_kill(disk);
    sim_tree_release(&disk->tree);
    sim_tree_copy(&disk->tree, &image->tree);
    sim_recount(disk);
    disk->power = SIM_POWER_ON;
    disk->changes_left = 0;
}
