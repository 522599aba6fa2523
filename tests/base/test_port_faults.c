/* What the machine's port makes of calls of the system that fail, which no test can have the machine do: the linker
 * puts functions of this file in the place of those of libc (--wrap in CMakeLists.txt), and these pass on what is not
 * to fail. */
#include "fixture.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/port_posix.h"

typedef enum call {
    NOTHING,
    OPENAT,
    FCNTL,
    FSTAT,
    STATX,
    STATFS,
    STATVFS,
    READ,
    READLINK,
    FDOPENDIR,
    MALLOC,
    ALIGNED,
    RANDOM,
    LOCALTIME,
    KILL,
    THREAD,
    AFFINITY,
    SYSCONF
} call;

/* The call that fails the next `times`, or the other one, with this error. */
static struct {
    call which, also;
    int error, times;
    const char *text; /* READ gives this instead; OPENAT: paths with it fail */
    unsigned hits;
} plan;

static void fail_next(call which, int error)
{
    memset(&plan, 0, sizeof(plan));
    plan.which = which;
    plan.error = error;
    plan.times = 1;
}

static bool fails(call which)
{
    if ((plan.which != which && plan.also != which) || plan.times == 0) return false;
    plan.times--;
    plan.hits++;
    errno = plan.error;
    return true;
}

int __real_openat64(int dir_fd, const char *name, int flags, ...);
int __real_fcntl64(int fd, int command, ...);
int __real_fstat64(int fd, struct stat *out);
int __real_statx(int fd, const char *name, int flags, unsigned mask, struct statx *out);
int __real_fstatfs64(int fd, struct statfs *out);
int __real_fstatvfs64(int fd, struct statvfs *out);
ssize_t __real_read(int fd, void *out, size_t size);
ssize_t __real_readlink(const char *name, char *out, size_t size);
DIR *__real_fdopendir(int fd);
void *__real_malloc(size_t size);
int __real_posix_memalign(void **out, size_t alignment, size_t size);
ssize_t __real_getrandom(void *out, size_t size, unsigned flags);
struct tm *__real_localtime_r(const time_t *at, struct tm *out);
int __real_kill(pid_t id, int number);
int __real_pthread_create(pthread_t *id, const pthread_attr_t *how, void *(*run)(void *), void *arg);
int __real_sched_getaffinity(pid_t id, size_t size, cpu_set_t *out);
long __real_sysconf(int name);

int __wrap_openat64(int dir_fd, const char *name, int flags, mode_t mode);
int __wrap_openat64(int dir_fd, const char *name, int flags, mode_t mode)
{
    bool meant = !plan.text || strstr(name, plan.text);

    return meant && fails(OPENAT) ? -1 : __real_openat64(dir_fd, name, flags, mode);
}

int __wrap_fcntl64(int fd, int command, void *arg);
int __wrap_fcntl64(int fd, int command, void *arg)
{
    return fails(FCNTL) ? -1 : __real_fcntl64(fd, command, arg);
}

int __wrap_fstat64(int fd, struct stat *out);
int __wrap_fstat64(int fd, struct stat *out)
{
    return fails(FSTAT) ? -1 : __real_fstat64(fd, out);
}

/* It does not fail: the file system knows no time of birth. */
int __wrap_statx(int fd, const char *name, int flags, unsigned mask, struct statx *out);
int __wrap_statx(int fd, const char *name, int flags, unsigned mask, struct statx *out)
{
    int rc = __real_statx(fd, name, flags, mask, out);

    if (rc == 0) out->stx_mask |= STATX_BTIME;
    if (rc == 0 && fails(STATX)) out->stx_mask &= ~(uint32_t)STATX_BTIME;
    return rc;
}

int __wrap_fstatfs64(int fd, struct statfs *out);
int __wrap_fstatfs64(int fd, struct statfs *out)
{
    return fails(STATFS) ? -1 : __real_fstatfs64(fd, out);
}

int __wrap_fstatvfs64(int fd, struct statvfs *out);
int __wrap_fstatvfs64(int fd, struct statvfs *out)
{
    return fails(STATVFS) ? -1 : __real_fstatvfs64(fd, out);
}

ssize_t __wrap_read(int fd, void *out, size_t size);
ssize_t __wrap_read(int fd, void *out, size_t size)
{
    if (!fails(READ)) return __real_read(fd, out, size);
    if (!plan.text) return -1;
    size_t given = strlen(plan.text);
    assert_true(given <= size);
    memcpy(out, plan.text, given);
    return (ssize_t)given;
}

ssize_t __wrap_readlink(const char *name, char *out, size_t size);
ssize_t __wrap_readlink(const char *name, char *out, size_t size)
{
    return fails(READLINK) ? -1 : __real_readlink(name, out, size);
}

DIR *__wrap_fdopendir(int fd);
DIR *__wrap_fdopendir(int fd)
{
    return fails(FDOPENDIR) ? NULL : __real_fdopendir(fd);
}

void *__wrap_malloc(size_t size);
void *__wrap_malloc(size_t size)
{
    return fails(MALLOC) ? NULL : __real_malloc(size);
}

int __wrap_posix_memalign(void **out, size_t alignment, size_t size);
int __wrap_posix_memalign(void **out, size_t alignment, size_t size)
{
    return fails(ALIGNED) ? plan.error : __real_posix_memalign(out, alignment, size);
}

ssize_t __wrap_getrandom(void *out, size_t size, unsigned flags);
ssize_t __wrap_getrandom(void *out, size_t size, unsigned flags)
{
    return fails(RANDOM) ? -1 : __real_getrandom(out, size > 7 ? 7 : size, flags); /* never all at once */
}

struct tm *__wrap_localtime_r(const time_t *at, struct tm *out);
struct tm *__wrap_localtime_r(const time_t *at, struct tm *out)
{
    return fails(LOCALTIME) ? NULL : __real_localtime_r(at, out);
}

int __wrap_kill(pid_t id, int number);
int __wrap_kill(pid_t id, int number)
{
    return fails(KILL) ? -1 : __real_kill(id, number);
}

int __wrap_pthread_create(pthread_t *id, const pthread_attr_t *how, void *(*run)(void *), void *arg);
int __wrap_pthread_create(pthread_t *id, const pthread_attr_t *how, void *(*run)(void *), void *arg)
{
    return fails(THREAD) ? plan.error : __real_pthread_create(id, how, run, arg);
}

/* Without an error it says that there is none. */
int __wrap_sched_getaffinity(pid_t id, size_t size, cpu_set_t *out);
int __wrap_sched_getaffinity(pid_t id, size_t size, cpu_set_t *out)
{
    if (!fails(AFFINITY)) return __real_sched_getaffinity(id, size, out);
    CPU_ZERO(out);
    return plan.error ? -1 : 0;
}

long __wrap_sysconf(int name);
long __wrap_sysconf(int name)
{
    return fails(SYSCONF) ? -1 : __real_sysconf(name);
}

/* ---- tests */

static const dbk_port *port;
static dbk_dir *dir;
static char *path;

static int set_up(void **state)
{
    (void)state;
    port = dbk_port_system();
    path = temporary_dir();
    fail_next(NOTHING, 0);
    return port->open_dir(port->ctx, NULL, path, 0, &dir);
}

static int tear_down(void **state)
{
    (void)state;
    fail_next(NOTHING, 0);
    port->close_dir(port->ctx, dir);
    remove_temporary_dir(path);
    return 0;
}

static unsigned open_descriptors(void)
{
    unsigned count = 0;

    for (int fd = 0; fd < 256; fd++) count += __real_fcntl64(fd, F_GETFD, NULL) >= 0;
    return count;
}

static int open_one(dbk_file **file)
{
    return port->open_file(port->ctx, dir, "one", DBK_OPEN_READ | DBK_OPEN_WRITE | DBK_OPEN_CREATE, 0600, file);
}

/* A program that was started without its first three descriptors: none of the store's files gets their numbers. */
static int without_low_descriptors(bool refused)
{
    dbk_file *file = NULL;
    dbk_dir *again = NULL;

    (void)close(0);
    (void)close(2);
    if (refused) fail_next(FCNTL, EMFILE);
    int rc = port->open_dir(port->ctx, NULL, path, 0, &again);
    if (refused) return rc == -EMFILE && !again && __real_fcntl64(0, F_GETFD, NULL) < 0 ? 0 : 1;
    if (rc != 0 || again->fd < 3 || __real_fcntl64(again->fd, F_GETFD, NULL) != FD_CLOEXEC) return 2;
    if (open_one(&file) != 0 || file->fd < 3) return 3;
    port->close_file(port->ctx, file);
    port->close_dir(port->ctx, again);
    return __real_fcntl64(0, F_GETFD, NULL) < 0 ? 0 : 4;
}

static void low_descriptors_stay_free(void **state)
{
    (void)state;
    for (int refused = 0; refused < 2; refused++) {
        int status, out = dup(1), in = dup(0), errors = dup(2);
        assert_true(out > 2 && in > 2 && errors > 2);
        status = without_low_descriptors(refused);
        assert_int_equal(dup2(in, 0), 0);
        assert_int_equal(dup2(errors, 2), 2);
        (void)close(in);
        (void)close(errors);
        (void)close(out);
        assert_int_equal(status, 0);
    }
}

static int list_nothing(void *arg, const char *name)
{
    (void)arg, (void)name;
    return 0;
}

static int open_dir_again(void)
{
    dbk_dir *again = (dbk_dir *)1;
    int rc = port->open_dir(port->ctx, NULL, path, 0, &again);

    assert_null(again);
    return rc;
}

static int open_file_again(void)
{
    dbk_file *file = (dbk_file *)1;
    int rc = open_one(&file);

    assert_null(file);
    return rc;
}

static int list_again(void)
{
    return port->list(port->ctx, dir, list_nothing, NULL);
}

static int lock_again(void)
{
    dbk_file file = {.fd = 1};

    return port->share_lock(port->ctx, &file);
}

static int ask_space(void)
{
    dbk_space space;

    return port->space(port->ctx, dir, &space);
}

static int ask_path(void)
{
    char out[600];

    return port->path_of(port->ctx, dir, out, sizeof(out));
}

static int ask_boot(void)
{
    char id[37];
    int rc = port->boot_id(port->ctx, id);

    assert_true(rc == 0 || id[0] == '\0');
    return rc;
}

static int ask_random(void)
{
    uint8_t out[40];

    return port->random(port->ctx, out, sizeof(out));
}

static void run_nothing(void *arg)
{
    (void)arg;
}

static int start_thread(void)
{
    dbk_thread *thread = (dbk_thread *)1;
    int rc = port->thread_start(port->ctx, "test", run_nothing, NULL, &thread);

    assert_null(thread);
    return rc;
}

/* Whatever fails is told, and no descriptor is left behind. */
static void failures_are_told(void **state)
{
    static const struct {
        call which;
        int error;
        int (*ask)(void);
        int told;
    } cases[] = {
        {MALLOC, ENOMEM, open_dir_again, -ENOMEM},
        {MALLOC, ENOMEM, open_file_again, -ENOMEM},
        {OPENAT, EMFILE, open_dir_again, -EMFILE},
        {OPENAT, EIO, list_again, -EIO},
        {FDOPENDIR, ENOMEM, list_again, -ENOMEM},
        {FSTAT, EIO, open_file_again, -EIO},
        {FCNTL, EACCES, lock_again, -EAGAIN},
        {FCNTL, EAGAIN, lock_again, -EAGAIN},
        {FCNTL, EIO, lock_again, -EIO},
        {STATVFS, EIO, ask_space, -EIO},
        {STATFS, EIO, ask_space, -EIO},
        {READLINK, ENOENT, ask_path, -ENOENT},
        {OPENAT, EACCES, ask_boot, -EACCES},
        {READ, EIO, ask_boot, -EIO},
        {RANDOM, EIO, ask_random, -EIO},
        {RANDOM, EINTR, ask_random, 0},
        {MALLOC, ENOMEM, start_thread, -ENOMEM},
        {THREAD, EAGAIN, start_thread, -EAGAIN},
    };
    unsigned before = open_descriptors();

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        fail_next(cases[i].which, cases[i].error);
        int told = cases[i].ask();
        if (plan.hits != 1 || told != cases[i].told) fail_msg("case %zu: %d after %u", i, told, plan.hits);
        fail_next(NOTHING, 0);
        assert_int_equal(open_descriptors(), before);
    }
}

/* A boot id that ends early is none. */
static void short_boot_id(void **state)
{
    (void)state;
    fail_next(READ, 0);
    plan.text = "12345678-";
    assert_int_equal(ask_boot(), -EIO);
    fail_next(NOTHING, 0);
    assert_int_equal(ask_boot(), 0);
}

static void no_memory_for_locks(void **state)
{
    (void)state;
    fail_next(MALLOC, ENOMEM);
    assert_null(port->mutex_new(port->ctx));
    fail_next(MALLOC, ENOMEM);
    assert_null(port->cond_new(port->ctx));
    assert_int_equal(plan.hits, 1);
    fail_next(ALIGNED, ENOMEM);
    assert_null(port->alloc_aligned(port->ctx, 64, 100));
    assert_int_equal(plan.hits, 1);
    void *memory = port->alloc_aligned(port->ctx, 64, 0);
    assert_non_null(memory);
    port->free_aligned(port->ctx, memory);
    port->mutex_free(port->ctx, NULL);
    port->cond_free(port->ctx, NULL);
}

static uint32_t sector(void)
{
    dbk_space space = {0};

    assert_int_equal(port->space(port->ctx, dir, &space), 0);
    return space.sector_bytes;
}

/* A sector's size that cannot be had, or cannot be one, is taken to be the largest that is common. */
static void sectors_that_cannot_be(void **state)
{
    static const char *const sizes[] = {"0", "256", "513", "768", "131072", "x", ""};

    (void)state;
    for (size_t i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
        fail_next(READ, EIO);
        plan.times = 2;
        plan.text = sizes[i];
        assert_int_equal(sector(), 4096);
    }
    fail_next(READ, EIO);
    plan.times = 2;
    assert_int_equal(sector(), 4096);
    fail_next(OPENAT, ENOENT);
    plan.text = "/sys/";
    plan.times = 2;
    assert_int_equal(sector(), 4096);
    assert_int_equal(plan.hits, 2);
    fail_next(FSTAT, EIO);
    assert_int_equal(sector(), 4096);
    assert_int_equal(plan.hits, 1);
    fail_next(READ, EIO); /* where the disk has an entry at all */
    plan.text = "512\n";
    plan.times = 2;
    uint32_t bytes = sector();
    assert_true(bytes == (plan.hits ? 512 : 4096));
}

/* The place of a directory, and too little room for it. */
static void path_of_a_directory(void **state)
{
    char out[600];
    char *full = realpath(path, NULL);

    (void)state;
    assert_non_null(full);
    assert_int_equal(port->path_of(port->ctx, dir, out, sizeof(out)), 0);
    assert_string_equal(out, full);
    assert_int_equal(port->path_of(port->ctx, dir, out, strlen(full)), -ENAMETOOLONG);
    free(full);
}

/* A file system that knows no time of birth gives none. */
static void no_time_of_birth(void **state)
{
    dbk_identity identity;
    char text[DBK_IDENTITY_TEXT_SIZE];

    (void)state;
    fail_next(STATX, 0);
    assert_int_equal(port->identify_dir(port->ctx, dir, &identity), 0);
    assert_int_equal(identity.created_ns, 0);
    dbk_identity_text(&identity, text);
    assert_int_equal(text[0], 'i');
    identity.created_ns = 77;
    dbk_identity_text(&identity, text);
    assert_string_equal(text, "t77");
}

static void no_zone(void **state)
{
    (void)state;
    fail_next(LOCALTIME, EOVERFLOW);
    assert_int_equal(port->zone_minutes(port->ctx), 0);
    assert_int_equal(plan.hits, 1);
}

/* A process that may not be signalled is there; one that is not, is not. */
static void processes(void **state)
{
    (void)state;
    fail_next(KILL, EPERM);
    assert_true(port->process_alive(port->ctx, 4711));
    fail_next(KILL, ESRCH);
    assert_false(port->process_alive(port->ctx, 4711));
    assert_int_equal(plan.hits, 1);
    assert_false(port->process_alive(port->ctx, 0));
    assert_false(port->process_alive(port->ctx, UINT32_MAX));
}

/* Where the set of processors cannot be had, all of the machine's count, and one where these are not known. */
static void processors(void **state)
{
    (void)state;
    assert_true(port->processors(port->ctx) >= 1);
    for (int error = 0; error < 2; error++) {
        fail_next(AFFINITY, error ? EINVAL : 0);
        assert_true(port->processors(port->ctx) >= 1);
        assert_int_equal(plan.hits, 1);
    }
    fail_next(AFFINITY, EINVAL);
    plan.also = SYSCONF;
    plan.times = 2;
    assert_int_equal(port->processors(port->ctx), 1);
    assert_int_equal(plan.hits, 2);
}

/* A thread lowers itself, and waits for as long as it takes. */
typedef struct pair {
    dbk_mutex *mutex;
    dbk_cond *cond;
    bool said;
    int nice;
} pair;

static void say(void *arg)
{
    pair *p = arg;

    port->thread_lower(port->ctx);
    port->mutex_lock(port->ctx, p->mutex);
    p->nice = getpriority(PRIO_PROCESS, (id_t)gettid());
    p->said = true;
    port->cond_signal(port->ctx, p->cond);
    port->mutex_unlock(port->ctx, p->mutex);
}

static void waits_without_a_limit(void **state)
{
    pair p = {.mutex = port->mutex_new(port->ctx), .cond = port->cond_new(port->ctx)};
    dbk_thread *thread;
    int own = getpriority(PRIO_PROCESS, 0);

    (void)state;
    port->mutex_lock(port->ctx, p.mutex);
    assert_int_equal(port->thread_start(port->ctx, "says", say, &p, &thread), 0);
    while (!p.said) assert_int_equal(port->cond_wait(port->ctx, p.cond, p.mutex, -1), 0);
    port->mutex_unlock(port->ctx, p.mutex);
    port->thread_join(port->ctx, thread);
    assert_true(p.nice >= own && p.nice >= 10);
    assert_int_equal(getpriority(PRIO_PROCESS, 0), own);
    port->cond_free(port->ctx, p.cond);
    port->mutex_free(port->ctx, p.mutex);
}

/* Places and lengths that no file has. */
static void beyond_all_files(void **state)
{
    const uint64_t far = (uint64_t)INT64_MAX + 1;
    uint8_t byte = 0;
    dbk_file *file;

    (void)state;
    assert_int_equal(open_one(&file), 0);
    assert_int_equal(port->pread(port->ctx, file, &byte, 1, far), -EINVAL);
    assert_int_equal(port->pwrite(port->ctx, file, &byte, 1, far), -EINVAL);
    assert_int_equal(port->truncate(port->ctx, file, far), -EINVAL);
    assert_int_equal(port->allocate(port->ctx, file, far, 1), -EINVAL);
    assert_int_equal(port->allocate(port->ctx, file, 0, far), -EINVAL);
    assert_int_equal(port->drop_cache(port->ctx, file, far, 1), -EINVAL);
    assert_int_equal(port->drop_cache(port->ctx, file, 0, far), -EINVAL);
    assert_int_equal(port->share_lock(port->ctx, file), 0);
    port->close_file(port->ctx, file);
}

/* Memory is given back where this was asked for; it does nothing before. */
static void memory_is_given_back(void **state)
{
    (void)state;
    dbk_port_trim_memory();
    dbk_port_return_memory();
    dbk_port_trim_memory();
}

static void environment(void **state)
{
    (void)state;
    assert_int_equal(setenv("DBK_TEST_FAULTS", "here", 1), 0);
    assert_string_equal(dbk_io_environment("DBK_TEST_FAULTS"), "here");
    assert_int_equal(unsetenv("DBK_TEST_FAULTS"), 0);
    assert_null(dbk_io_environment("DBK_TEST_FAULTS"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(low_descriptors_stay_free),
        TEST(failures_are_told),
        TEST(short_boot_id),
        TEST(no_memory_for_locks),
        TEST(sectors_that_cannot_be),
        TEST(path_of_a_directory),
        TEST(no_time_of_birth),
        TEST(no_zone),
        TEST(processes),
        TEST(processors),
        TEST(waits_without_a_limit),
        TEST(beyond_all_files),
        TEST(memory_is_given_back),
        TEST(environment),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
