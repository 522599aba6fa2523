/* Each thread is a context with its own stack (ucontext); the scheduler is a draw among those that can go on. */
#include "tests/support/interleave.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

#if defined(__SANITIZE_ADDRESS__)
#define WITH_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define WITH_ASAN 1
#endif
#endif
#ifdef WITH_ASAN
#include <sanitizer/common_interface_defs.h>
#endif

enum { STACK_BYTES = 1024 * 1024, SWITCHES_MAX = 4 * 1000 * 1000 };

typedef enum task_state { READY, LOCKING, WAITING, JOINING, ENDED } task_state;

struct dbk_thread {
    struct dbk_thread *next;
    ucontext_t context;
    uint8_t *stack;
    void (*run)(void *);
    void *arg;
    char name[16];
    task_state state;
    const void *on;   /* the mutex, condition or thread it waits for */
    int64_t until_ns; /* of WAITING; -1: for ever */
    bool timed_out;
    void *fake_stack; /* AddressSanitizer's */
    const void *bottom;
    size_t bottom_size;
};
struct dbk_mutex {
    const struct dbk_thread *owner;
};
struct dbk_cond {
    uint64_t waiting;
};

struct interleave {
    dbk_port port;
    const dbk_port *inner;
    dbk_simdisk *disk;
    uint64_t random, switches;
    unsigned leave_one_in; /* how readily a thread is left */
    dbk_thread first, *threads, *now;
    uint8_t *spare; /* stacks, linked through their first bytes */
    void (*on_stuck)(const char *why);
};

static interleave *current;

uint64_t interleave_draw(interleave *i, uint64_t limit)
{
    uint64_t z = i->random += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return (z ^ (z >> 31)) % limit;
}

static void run_task(void);

/* The present context goes on when it is switched to again. */
static void switch_to(interleave *i, dbk_thread *to)
{
    dbk_thread *from = i->now;
    if (to == from) return;
    i->now = to;
    i->switches++;
#ifdef WITH_ASAN
    __sanitizer_start_switch_fiber(from->state == ENDED ? NULL : &from->fake_stack, to->bottom, to->bottom_size);
#endif
    if (swapcontext(&from->context, &to->context) != 0) abort();
#ifdef WITH_ASAN
    __sanitizer_finish_switch_fiber(from->fake_stack, NULL, NULL);
#endif
}

static void stuck(const interleave *i, const char *why)
{
    static const char *const states[] = {"runs", "waits for a mutex", "waits for a condition", "waits for a thread",
                                         "has ended"};
    char text[1024];
    size_t used = (size_t)snprintf(text, sizeof text, "%s:", why);
    for (const dbk_thread *t = i->threads; t && used < sizeof text; t = t->next)
        used += (size_t)snprintf(text + used, sizeof text - used, " %s %s;", t->name, states[t->state]);
    i->on_stuck(text);
    abort();
}

/* Those whose time has come wake. The nearest time of the others; -1: none. */
static int64_t wake_due(interleave *i)
{
    int64_t now = dbk_simdisk_world_of(i->disk)->monotonic_ns, next = -1;
    for (dbk_thread *t = i->threads; t; t = t->next) {
        if (t->state != WAITING || t->until_ns < 0) continue;
        if (t->until_ns <= now) {
            t->state = READY;
            t->timed_out = true;
        } else if (next < 0 || t->until_ns < next) {
            next = t->until_ns;
        }
    }
    return next;
}

static void pass_time(interleave *i, int64_t ns)
{
    dbk_simdisk_world *world = dbk_simdisk_world_of(i->disk);
    world->monotonic_ns += ns;
    world->wall_ms += ns / 1000000;
}

static dbk_thread *pick(interleave *i)
{
    for (;;) {
        uint64_t ready = 0;
        int64_t next = wake_due(i);
        for (dbk_thread *t = i->threads; t; t = t->next) ready += t->state == READY;
        if (ready) {
            uint64_t chosen = interleave_draw(i, ready);
            for (dbk_thread *t = i->threads;; t = t->next)
                if (t->state == READY && chosen-- == 0) return t;
        }
        if (next < 0) stuck(i, "all wait");
        pass_time(i, next - dbk_simdisk_world_of(i->disk)->monotonic_ns);
    }
}

static void leave(interleave *i)
{
    if (i->switches > SWITCHES_MAX) stuck(i, "it does not end");
    switch_to(i, pick(i));
}

/* Now and then the time leaps, or somebody wakes without a signal. */
void interleave_yield(interleave *i)
{
    if (interleave_draw(i, 200) == 0) pass_time(i, (int64_t)interleave_draw(i, 1500000000));
    if (interleave_draw(i, 100) == 0) {
        for (dbk_thread *t = i->threads; t; t = t->next)
            if (t->state == WAITING && interleave_draw(i, 2) == 0) t->state = READY;
    }
    if (interleave_draw(i, i->leave_one_in) == 0) leave(i);
}

static void block(interleave *i, task_state state, const void *on)
{
    i->now->on = on;
    i->now->state = state;
    leave(i);
}

static void wake_all(interleave *i, task_state state, const void *on)
{
    for (dbk_thread *t = i->threads; t; t = t->next)
        if (t->state == state && t->on == on) t->state = READY;
}

/* ---- mutexes, conditions */

static dbk_mutex *mutex_new(void *ctx)
{
    dbk_mutex *mutex = current->inner->alloc(ctx, sizeof *mutex);
    if (mutex) mutex->owner = NULL;
    return mutex;
}

static void mutex_free(void *ctx, dbk_mutex *mutex)
{
    assert(!mutex || !mutex->owner);
    current->inner->free(ctx, mutex);
}

static void take(dbk_mutex *mutex)
{
    assert(mutex->owner != current->now);
    while (mutex->owner) block(current, LOCKING, mutex);
    mutex->owner = current->now;
}

static void give(dbk_mutex *mutex)
{
    assert(mutex->owner == current->now);
    mutex->owner = NULL;
    wake_all(current, LOCKING, mutex);
}

static void mutex_lock(void *ctx, dbk_mutex *mutex)
{
    (void)ctx;
    interleave_yield(current);
    take(mutex);
}

static void mutex_unlock(void *ctx, dbk_mutex *mutex)
{
    (void)ctx;
    give(mutex);
    interleave_yield(current);
}

static dbk_cond *cond_new(void *ctx)
{
    dbk_cond *cond = current->inner->alloc(ctx, sizeof *cond);
    if (cond) cond->waiting = 0;
    return cond;
}

static void cond_free(void *ctx, dbk_cond *cond)
{
    assert(!cond || cond->waiting == 0);
    current->inner->free(ctx, cond);
}

static int cond_wait(void *ctx, dbk_cond *cond, dbk_mutex *mutex, int64_t timeout_ns)
{
    interleave *i = current;
    dbk_thread *self = i->now;
    (void)ctx;
    self->timed_out = false;
    self->until_ns = timeout_ns < 0 ? -1 : dbk_simdisk_world_of(i->disk)->monotonic_ns + timeout_ns;
    cond->waiting++;
    give(mutex);
    block(i, WAITING, cond);
    cond->waiting--;
    take(mutex);
    return self->timed_out ? -ETIMEDOUT : 0;
}

static void cond_signal(void *ctx, dbk_cond *cond)
{
    uint64_t waiting = 0;
    (void)ctx;
    for (dbk_thread *t = current->threads; t; t = t->next) waiting += t->state == WAITING && t->on == cond;
    if (!waiting) return;
    uint64_t chosen = interleave_draw(current, waiting);
    for (dbk_thread *t = current->threads; t; t = t->next)
        if (t->state == WAITING && t->on == cond && chosen-- == 0) t->state = READY;
}

static void cond_broadcast(void *ctx, dbk_cond *cond)
{
    (void)ctx;
    wake_all(current, WAITING, cond);
}

/* ---- threads */

static uint8_t *stack_take(interleave *i)
{
    uint8_t *stack = i->spare;
    if (!stack) return malloc(STACK_BYTES);
    memcpy(&i->spare, stack, sizeof i->spare);
    return stack;
}

static void stack_give(interleave *i, uint8_t *stack)
{
    memcpy(stack, &i->spare, sizeof i->spare);
    i->spare = stack;
}

/* Where a thread begins; it never returns from here. */
static void run_task(void)
{
    interleave *i = current;
    dbk_thread *self = i->now;
#ifdef WITH_ASAN
    const void *bottom;
    size_t size;
    __sanitizer_finish_switch_fiber(NULL, &bottom, &size);
    if (!i->first.bottom) {
        i->first.bottom = bottom;
        i->first.bottom_size = size;
    }
#endif
    self->run(self->arg);
    self->state = ENDED;
    wake_all(i, JOINING, self);
    leave(i);
    abort();
}

static int thread_start(void *ctx, const char *name, void (*run)(void *), void *arg, dbk_thread **out)
{
    interleave *i = current;
    dbk_thread *t = i->inner->alloc(ctx, sizeof *t);
    *out = NULL;
    if (!t) return -ENOMEM;
    memset(t, 0, sizeof *t);
    t->stack = stack_take(i);
    t->run = run;
    t->arg = arg;
    t->bottom = t->stack;
    t->bottom_size = STACK_BYTES;
    (void)snprintf(t->name, sizeof t->name, "%s", name);
    if (!t->stack || getcontext(&t->context) != 0) abort();
    t->context.uc_stack.ss_sp = t->stack;
    t->context.uc_stack.ss_size = STACK_BYTES;
    makecontext(&t->context, run_task, 0);
    t->next = i->threads;
    i->threads = t;
    *out = t;
    interleave_yield(i);
    return 0;
}

static void thread_join(void *ctx, dbk_thread *thread)
{
    interleave *i = current;
    while (thread->state != ENDED) block(i, JOINING, thread);
    dbk_thread **at = &i->threads;
    while (*at != thread) at = &(*at)->next;
    *at = thread->next;
    stack_give(i, thread->stack);
    i->inner->free(ctx, thread);
}

/* ---- files: the calls of the disk, with a chance for others in front and behind */

static int64_t do_pread(void *ctx, dbk_file *file, void *out, size_t size, uint64_t offset)
{
    interleave_yield(current);
    return current->inner->pread(ctx, file, out, size, offset);
}

static int64_t do_pwrite(void *ctx, dbk_file *file, const void *data, size_t size, uint64_t offset)
{
    interleave_yield(current);
    int64_t done = current->inner->pwrite(ctx, file, data, size, offset);
    interleave_yield(current);
    return done;
}

static int do_sync(void *ctx, dbk_file *file)
{
    interleave_yield(current);
    int done = current->inner->sync_file(ctx, file);
    interleave_yield(current);
    return done;
}

static int do_rename(void *ctx, dbk_dir *from_dir, const char *from, dbk_dir *to_dir, const char *to)
{
    interleave_yield(current);
    int done = current->inner->rename(ctx, from_dir, from, to_dir, to);
    interleave_yield(current);
    return done;
}

/* ---- life */

const dbk_port *interleave_port(const interleave *i)
{
    return &i->port;
}

uint64_t interleave_switches(const interleave *i)
{
    return i->switches;
}

interleave *interleave_new(dbk_simdisk *disk, uint64_t seed, void (*on_stuck)(const char *why))
{
    static const unsigned readiness[] = {1, 2, 4, 12, 40};
    interleave *i = calloc(1, sizeof *i);
    if (!i) abort();
    assert(!current);
    current = i;
    i->disk = disk;
    i->on_stuck = on_stuck;
    i->inner = dbk_simdisk_port(disk);
    i->random = seed * 0x632be59bd9b4e019u;
    i->leave_one_in = readiness[interleave_draw(i, sizeof readiness / sizeof *readiness)];
    i->now = i->threads = &i->first;
    (void)snprintf(i->first.name, sizeof i->first.name, "main");
    i->port = *i->inner;
    i->port.mutex_new = mutex_new;
    i->port.mutex_free = mutex_free;
    i->port.mutex_lock = mutex_lock;
    i->port.mutex_unlock = mutex_unlock;
    i->port.cond_new = cond_new;
    i->port.cond_free = cond_free;
    i->port.cond_wait = cond_wait;
    i->port.cond_signal = cond_signal;
    i->port.cond_broadcast = cond_broadcast;
    i->port.thread_start = thread_start;
    i->port.thread_join = thread_join;
    i->port.pread = do_pread;
    i->port.pwrite = do_pwrite;
    i->port.sync_file = do_sync;
    i->port.rename = do_rename;
    return i;
}

void interleave_free(interleave *i)
{
    if (!i) return;
    assert(i->threads == &i->first && !i->first.next);
    while (i->spare) {
        uint8_t *stack = i->spare;
        memcpy(&i->spare, stack, sizeof i->spare);
        free(stack);
    }
    current = NULL;
    free(i);
}
