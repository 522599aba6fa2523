/* Memory, clocks, randomness, threads and process of the simulated machine. */
#include <stdlib.h>

#include "base/simdisk_internal.h"

/* In front of each piece of memory, so that its release can be checked. */
typedef struct sim_block {
    uint32_t magic;
    uint32_t gap; /* from the host's memory to the block's */
    size_t size;
} sim_block;

enum { MAGIC_PLAIN = 0x6d656d31, MAGIC_ALIGNED = 0x6d656d32 };

static void *block_take(dbk_simdisk *disk, uint32_t magic, size_t alignment, size_t size)
{
    if (sim_enter(disk, DBK_SIM_MEMORY, NULL).error) return NULL;
    if (size > SIZE_MAX - sizeof(sim_block) - alignment) return NULL;
    uint8_t *host = malloc(sizeof(sim_block) + alignment + size);
    if (!host) return NULL;
    uintptr_t past = (uintptr_t)host + sizeof(sim_block);
    size_t gap = (alignment - past % alignment) % alignment;
    sim_block block = {magic, (uint32_t)gap, size};
    memcpy(host + gap, &block, sizeof block);
    disk->memory_count++;
    disk->memory_bytes += size;
    return host + gap + sizeof block;
}

static void block_give(dbk_simdisk *disk, uint32_t magic, void *memory)
{
    if (!memory) return;
    uint8_t *at = (uint8_t *)memory - sizeof(sim_block);
    sim_block block;
    memcpy(&block, at, sizeof block);
    assert(block.magic == magic);
    memset(at, 0, sizeof block);
    disk->memory_count--;
    disk->memory_bytes -= block.size;
    free(at - block.gap);
}

static void *sim_alloc(void *ctx, size_t size)
{
    return block_take(ctx, MAGIC_PLAIN, _Alignof(max_align_t), size);
}

/* Always moves, so that a pointer kept over a resize is found out. */
static void *sim_resize(void *ctx, void *memory, size_t size)
{
    void *moved = sim_alloc(ctx, size);
    if (!moved || !memory) return moved;
    sim_block block;
    memcpy(&block, (uint8_t *)memory - sizeof block, sizeof block);
    memcpy(moved, memory, block.size < size ? block.size : size);
    block_give(ctx, MAGIC_PLAIN, memory);
    return moved;
}

static void *sim_alloc_aligned(void *ctx, size_t alignment, size_t size)
{
    if (alignment < _Alignof(max_align_t)) alignment = _Alignof(max_align_t);
    return block_take(ctx, MAGIC_ALIGNED, alignment, size);
}

static void sim_free(void *ctx, void *memory)
{
    block_give(ctx, MAGIC_PLAIN, memory);
}

static void sim_free_aligned(void *ctx, void *memory)
{
    block_give(ctx, MAGIC_ALIGNED, memory);
}

size_t dbk_simdisk_memory_count(const dbk_simdisk *disk)
{
    return disk->memory_count;
}

size_t dbk_simdisk_memory_bytes(const dbk_simdisk *disk)
{
    return disk->memory_bytes;
}

static int64_t sim_wall_ms(void *ctx)
{
    dbk_simdisk_world *world = &((dbk_simdisk *)ctx)->world;
    int64_t now = world->wall_ms;
    world->wall_ms += world->wall_step_ms;
    return now;
}

static int64_t sim_monotonic_ns(void *ctx)
{
    dbk_simdisk_world *world = &((dbk_simdisk *)ctx)->world;
    int64_t now = world->monotonic_ns;
    world->monotonic_ns += world->monotonic_step_ns;
    return now;
}

static int32_t sim_zone_minutes(void *ctx)
{
    return ((dbk_simdisk *)ctx)->world.zone_minutes;
}

void dbk_simdisk_advance_ms(dbk_simdisk *disk, int64_t ms)
{
    disk->world.wall_ms += ms;
    disk->world.monotonic_ns += ms * 1000000;
}

static int sim_random(void *ctx, void *out, size_t size)
{
    dbk_simdisk *disk = ctx;
    sim_verdict verdict = sim_enter(disk, DBK_SIM_RANDOM, NULL);
    if (verdict.error) return -verdict.error;
    for (size_t done = 0; done < size; done += 8) {
        uint64_t word = sim_random_next(&disk->random_state);
        memcpy((uint8_t *)out + done, &word, size - done < 8 ? size - done : 8);
    }
    return 0;
}

struct dbk_mutex {
    bool locked;
};
struct dbk_cond {
    bool waited_on;
};
struct dbk_thread {
    bool ended;
};

static dbk_mutex *sim_mutex_new(void *ctx)
{
    dbk_mutex *mutex = sim_alloc(ctx, sizeof *mutex);
    if (mutex) mutex->locked = false;
    return mutex;
}

static void sim_mutex_free(void *ctx, dbk_mutex *mutex)
{
    assert(!mutex || !mutex->locked);
    sim_free(ctx, mutex);
}

static void sim_mutex_lock(void *ctx, dbk_mutex *mutex)
{
    (void)ctx;
    assert(!mutex->locked); /* with one thread, waiting for it would never end */
    mutex->locked = true;
}

static void sim_mutex_unlock(void *ctx, dbk_mutex *mutex)
{
    (void)ctx;
    assert(mutex->locked);
    mutex->locked = false;
}

static dbk_cond *sim_cond_new(void *ctx)
{
    dbk_cond *cond = sim_alloc(ctx, sizeof *cond);
    if (cond) cond->waited_on = false;
    return cond;
}

static void sim_cond_free(void *ctx, dbk_cond *cond)
{
    sim_free(ctx, cond);
}

/* Nobody can signal: the time passes at once. A wait without end is answered the same way, and a
 * caller that goes on waiting so is stopped. */
static int sim_cond_wait(void *ctx, dbk_cond *cond, dbk_mutex *mutex, int64_t timeout_ns)
{
    dbk_simdisk *disk = ctx;
    assert(mutex->locked);
    cond->waited_on = true;
    if (timeout_ns > 0) {
        disk->world.monotonic_ns += timeout_ns;
        disk->world.wall_ms += timeout_ns / 1000000;
    }
    disk->endless_waits = timeout_ns < 0 ? disk->endless_waits + 1 : 0;
    assert(disk->endless_waits < 1000);
    return -ETIMEDOUT;
}

static void sim_cond_wake(void *ctx, dbk_cond *cond)
{
    ((dbk_simdisk *)ctx)->endless_waits = 0;
    cond->waited_on = false;
}

static int sim_thread_start(void *ctx, const char *name, void (*run)(void *), void *arg, dbk_thread **out)
{
    dbk_simdisk *disk = ctx;
    (void)name;
    *out = NULL;
    sim_verdict verdict = sim_enter(disk, DBK_SIM_THREAD, NULL);
    if (verdict.error) return -verdict.error;
    if (!disk->world.runs_threads) return -ENOSYS;
    dbk_thread *thread = sim_alloc(disk, sizeof *thread);
    if (!thread) return -ENOMEM;
    run(arg);
    thread->ended = true;
    *out = thread;
    return 0;
}

static void sim_thread_join(void *ctx, dbk_thread *thread)
{
    assert(thread->ended);
    sim_free(ctx, thread);
}

static void sim_thread_lower(void *ctx)
{
    (void)ctx;
}

/* One, so that nothing in the simulation hangs on the order of threads. */
static uint32_t sim_processors(void *ctx)
{
    (void)ctx;
    return 1;
}

static uint32_t sim_process_id(void *ctx)
{
    return ((dbk_simdisk *)ctx)->world.process_id;
}

static bool sim_process_alive(void *ctx, uint32_t id)
{
    const dbk_simdisk_world *world = &((dbk_simdisk *)ctx)->world;
    return id == world->process_id || (id != 0 && id == world->other_process);
}

static int sim_boot_id(void *ctx, char out[37])
{
    memcpy(out, ((dbk_simdisk *)ctx)->world.boot_id, 37);
    return 0;
}

void sim_fill_world(dbk_port *port)
{
    port->alloc = sim_alloc;
    port->resize = sim_resize;
    port->alloc_aligned = sim_alloc_aligned;
    port->free = sim_free;
    port->free_aligned = sim_free_aligned;
    port->wall_ms = sim_wall_ms;
    port->monotonic_ns = sim_monotonic_ns;
    port->zone_minutes = sim_zone_minutes;
    port->random = sim_random;
    port->mutex_new = sim_mutex_new;
    port->mutex_free = sim_mutex_free;
    port->mutex_lock = sim_mutex_lock;
    port->mutex_unlock = sim_mutex_unlock;
    port->cond_new = sim_cond_new;
    port->cond_free = sim_cond_free;
    port->cond_wait = sim_cond_wait;
    port->cond_signal = sim_cond_wake;
    port->cond_broadcast = sim_cond_wake;
    port->thread_start = sim_thread_start;
    port->thread_join = sim_thread_join;
    port->thread_lower = sim_thread_lower;
    port->processors = sim_processors;
    port->process_id = sim_process_id;
    port->process_alive = sim_process_alive;
    port->boot_id = sim_boot_id;
}
