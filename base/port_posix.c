/* The port on POSIX: memory, clocks, randomness, processes, and the table with all of its functions. */
#include "base/port_posix.h"
#include "base/test_clock.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

/* One byte where none is asked for, so that NULL always means out of memory. */
static void *posix_alloc(void *ctx, size_t size)
{
    (void)ctx;
    return malloc(size ? size : 1);
}

static void *posix_resize(void *ctx, void *memory, size_t size)
{
    (void)ctx;
    return realloc(memory, size ? size : 1);
}

static void *posix_alloc_aligned(void *ctx, size_t alignment, size_t size)
{
    void *memory = NULL;

    (void)ctx;
    assert(alignment >= sizeof(void *) && (alignment & (alignment - 1)) == 0);
    return posix_memalign(&memory, alignment, size ? size : 1) == 0 ? memory : NULL;
}

static void posix_free(void *ctx, void *memory)
{
    (void)ctx;
    free(memory);
}

static struct timespec read_clock(clockid_t id)
{
    struct timespec now;
    int rc = clock_gettime(id, &now);

    assert(rc == 0);
    return now;
}

static int64_t posix_wall_ms(void *ctx)
{
    struct timespec now = read_clock(CLOCK_REALTIME);
    int64_t ms = (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;

    (void)ctx;
#ifndef NDEBUG
    ms = dbk_test_clock(ms);
#endif
    return ms;
}

static int64_t posix_monotonic_ns(void *ctx)
{
    struct timespec now = read_clock(CLOCK_MONOTONIC);

    (void)ctx;
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static int32_t posix_zone_minutes(void *ctx)
{
    time_t now = read_clock(CLOCK_REALTIME).tv_sec;
    struct tm local;

    (void)ctx;
    tzset();
    if (!localtime_r(&now, &local)) return 0;
    return (int32_t)(local.tm_gmtoff / 60);
}

static int posix_random(void *ctx, void *out, size_t size)
{
    unsigned char *at = out;

    (void)ctx;
    while (size > 0) {
        ssize_t count = getrandom(at, size, 0);
        if (count < 0 && errno != EINTR) return -errno;
        if (count < 0) continue;
        at += count;
        size -= (size_t)count;
    }
    return 0;
}

static uint32_t posix_process_id(void *ctx)
{
    (void)ctx;
    return (uint32_t)getpid();
}

/* A process that may not be signalled is there all the same. 0 and negative ids mean groups. */
static bool posix_process_alive(void *ctx, uint32_t id)
{
    (void)ctx;
    if (id == 0 || id > INT32_MAX) return false;
    return kill((pid_t)id, 0) == 0 || errno == EPERM;
}

static int posix_boot_id(void *ctx, char out[37])
{
    int fd = dbk_posix_openat(AT_FDCWD, "/proc/sys/kernel/random/boot_id", O_RDONLY, 0);
    ssize_t count;
    int rc;

    (void)ctx;
    out[0] = '\0';
    if (fd < 0) return fd;
    count = read(fd, out, 36);
    rc = count == 36 ? 0 : count < 0 ? -errno : -EIO;
    (void)close(fd);
    out[rc == 0 ? 36 : 0] = '\0';
    return rc;
}

static const dbk_port system_port = {
    .alloc = posix_alloc,
    .resize = posix_resize,
    .alloc_aligned = posix_alloc_aligned,
    .free = posix_free,
    .free_aligned = posix_free,

    .wall_ms = posix_wall_ms,
    .monotonic_ns = posix_monotonic_ns,
    .zone_minutes = posix_zone_minutes,
    .random = posix_random,

    .open_dir = dbk_posix_open_dir,
    .close_dir = dbk_posix_close_dir,
    .sync_dir = dbk_posix_sync_dir,
    .list = dbk_posix_list,
    .identify = dbk_posix_identify,
    .identify_dir = dbk_posix_identify_dir,
    .space = dbk_posix_space,
    .path_of = dbk_posix_path_of,
    .make_dir = dbk_posix_make_dir,
    .remove_dir = dbk_posix_remove_dir,
    .rename = dbk_posix_rename,
    .unlink = dbk_posix_unlink,

    .open_file = dbk_posix_open_file,
    .close_file = dbk_posix_close_file,
    .pread = dbk_posix_pread,
    .pwrite = dbk_posix_pwrite,
    .sync_file = dbk_posix_sync_file,
    .truncate = dbk_posix_truncate,
    .allocate = dbk_posix_allocate,
    .identify_file = dbk_posix_identify_file,
    .drop_cache = dbk_posix_drop_cache,
    .lock_file = dbk_posix_lock_file,
    .share_lock = dbk_posix_share_lock,

    .mutex_new = dbk_posix_mutex_new,
    .mutex_free = dbk_posix_mutex_free,
    .mutex_lock = dbk_posix_mutex_lock,
    .mutex_unlock = dbk_posix_mutex_unlock,
    .cond_new = dbk_posix_cond_new,
    .cond_free = dbk_posix_cond_free,
    .cond_wait = dbk_posix_cond_wait,
    .cond_signal = dbk_posix_cond_signal,
    .cond_broadcast = dbk_posix_cond_broadcast,
    .thread_start = dbk_posix_thread_start,
    .thread_join = dbk_posix_thread_join,
    .thread_lower = dbk_posix_thread_lower,

    .processors = dbk_posix_processors,
    .process_id = posix_process_id,
    .process_alive = posix_process_alive,
    .boot_id = posix_boot_id,

    .sqlite_vfs = NULL,
};

const dbk_port *dbk_port_system(void)
{
    return &system_port;
}

static atomic_bool returns_memory;

/* Left alone, glibc learns from the largest block freed so far to take the next ones from its heaps, and
 * keeps up to 64 MiB in the heap of each thread. */
void dbk_port_return_memory(void)
{
    atomic_store_explicit(&returns_memory, true, memory_order_relaxed);
#ifdef __GLIBC__
    (void)mallopt(M_MMAP_THRESHOLD, 1 << 20);
#endif
}

void dbk_port_trim_memory(void)
{
    if (!atomic_load_explicit(&returns_memory, memory_order_relaxed)) return;
#ifdef __GLIBC__
    (void)malloc_trim(0);
#endif
}
