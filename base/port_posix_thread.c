/* Threads of the POSIX port. The pthread calls used here fail only for wrong use (a mutex locked
 * twice by one thread, unlocked by another), which is asserted on. */
#include "base/port_posix.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { NAME_SIZE = 16 }; /* the kernel's limit, with the NUL */

struct dbk_mutex {
    pthread_mutex_t mutex;
};

struct dbk_cond {
    pthread_cond_t cond;
};

struct dbk_thread {
    pthread_t id;
    void (*run)(void *);
    void *arg;
    char name[NAME_SIZE];
};

dbk_mutex *dbk_posix_mutex_new(void *ctx)
{
    dbk_mutex *mutex = malloc(sizeof(*mutex));
    pthread_mutexattr_t attributes;
    int rc;

    (void)ctx;
    if (!mutex) return NULL;
    rc = pthread_mutexattr_init(&attributes);
    assert(rc == 0);
    rc = pthread_mutexattr_settype(&attributes, PTHREAD_MUTEX_ERRORCHECK);
    assert(rc == 0);
    rc = pthread_mutex_init(&mutex->mutex, &attributes);
    assert(rc == 0);
    (void)pthread_mutexattr_destroy(&attributes);
    return mutex;
}

void dbk_posix_mutex_free(void *ctx, dbk_mutex *mutex)
{
    int rc;

    (void)ctx;
    if (!mutex) return;
    rc = pthread_mutex_destroy(&mutex->mutex);
    assert(rc == 0);
    free(mutex);
}

void dbk_posix_mutex_lock(void *ctx, dbk_mutex *mutex)
{
    int rc = pthread_mutex_lock(&mutex->mutex);

    (void)ctx;
    assert(rc == 0);
}

void dbk_posix_mutex_unlock(void *ctx, dbk_mutex *mutex)
{
    int rc = pthread_mutex_unlock(&mutex->mutex);

    (void)ctx;
    assert(rc == 0);
}

dbk_cond *dbk_posix_cond_new(void *ctx)
{
    dbk_cond *cond = malloc(sizeof(*cond));
    pthread_condattr_t attributes;
    int rc;

    (void)ctx;
    if (!cond) return NULL;
    rc = pthread_condattr_init(&attributes);
    assert(rc == 0);
    rc = pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    assert(rc == 0);
    rc = pthread_cond_init(&cond->cond, &attributes);
    assert(rc == 0);
    (void)pthread_condattr_destroy(&attributes);
    return cond;
}

void dbk_posix_cond_free(void *ctx, dbk_cond *cond)
{
    int rc;

    (void)ctx;
    if (!cond) return;
    rc = pthread_cond_destroy(&cond->cond);
    assert(rc == 0);
    free(cond);
}

int dbk_posix_cond_wait(void *ctx, dbk_cond *cond, dbk_mutex *mutex, int64_t timeout_ns)
{
    const int64_t second_ns = 1000000000;
    struct timespec until;
    int rc;

    (void)ctx;
    if (timeout_ns < 0) {
        rc = pthread_cond_wait(&cond->cond, &mutex->mutex);
    } else {
        rc = clock_gettime(CLOCK_MONOTONIC, &until);
        assert(rc == 0);
        int64_t ns = until.tv_nsec + timeout_ns % second_ns;
        until.tv_sec += timeout_ns / second_ns + ns / second_ns;
        until.tv_nsec = ns % second_ns;
        rc = pthread_cond_timedwait(&cond->cond, &mutex->mutex, &until);
    }
    assert(rc == 0 || rc == ETIMEDOUT);
    return -rc;
}

void dbk_posix_cond_signal(void *ctx, dbk_cond *cond)
{
    int rc = pthread_cond_signal(&cond->cond);

    (void)ctx;
    assert(rc == 0);
}

void dbk_posix_cond_broadcast(void *ctx, dbk_cond *cond)
{
    int rc = pthread_cond_broadcast(&cond->cond);

    (void)ctx;
    assert(rc == 0);
}

static void *thread_main(void *arg)
{
    dbk_thread *thread = arg;

    (void)pthread_setname_np(pthread_self(), thread->name);
    thread->run(thread->arg);
    return NULL;
}

/* The thread starts with all signals blocked: those of the process belong to the program that the
 * library lives in, whose handlers must not run on our threads. */
int dbk_posix_thread_start(void *ctx, const char *name, void (*run)(void *), void *arg, dbk_thread **out)
{
    dbk_thread *thread = malloc(sizeof(*thread));
    sigset_t all, before;
    int rc;

    (void)ctx;
    *out = NULL;
    if (!thread) return -ENOMEM;
    *thread = (dbk_thread){.run = run, .arg = arg};
    memcpy(thread->name, name, strnlen(name, NAME_SIZE - 1));
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    rc = pthread_create(&thread->id, NULL, thread_main, thread);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (rc != 0) {
        free(thread);
        return -rc;
    }
    *out = thread;
    return 0;
}

void dbk_posix_thread_join(void *ctx, dbk_thread *thread)
{
    int rc = pthread_join(thread->id, NULL);

    (void)ctx;
    assert(rc == 0);
    free(thread);
}

/* On Linux a thread has a nice value of its own, and its disk accesses follow it. */
void dbk_posix_thread_lower(void *ctx)
{
    enum { NICE = 10 };

    (void)ctx;
#ifdef SYS_gettid
    (void)setpriority(PRIO_PROCESS, (id_t)syscall(SYS_gettid), NICE);
#endif
}

uint32_t dbk_posix_processors(void *ctx)
{
    (void)ctx;
#ifdef CPU_COUNT
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof(set), &set) == 0 && CPU_COUNT(&set) > 0) return (uint32_t)CPU_COUNT(&set);
#endif
    long count = sysconf(_SC_NPROCESSORS_ONLN);
    return count > 0 ? (uint32_t)count : 1;
}
