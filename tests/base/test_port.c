/* The machine's port, against the contracts of base/port.h. */
#include "fixture.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#include "base/port_posix.h"

static const dbk_port *port;
static dbk_dir *dir;
static char *path;

static int set_up(void **state)
{
    (void)state;
    port = dbk_port_system();
    path = temporary_dir();
    return port->open_dir(port->ctx, NULL, path, 0, &dir);
}

static int tear_down(void **state)
{
    (void)state;
    port->close_dir(port->ctx, dir);
    remove_temporary_dir(path);
    return 0;
}

static const char *in_dir(const char *name)
{
    static char full[600];

    (void)snprintf(full, sizeof(full), "%s/%s", path, name);
    return full;
}

static int open_file(const char *name, int flags, dbk_file **out)
{
    return port->open_file(port->ctx, dir, name, flags, 0640, out);
}

static dbk_file *make_file(const char *name, const char *text)
{
    dbk_file *file;

    assert_int_equal(open_file(name, DBK_OPEN_READ | DBK_OPEN_WRITE | DBK_OPEN_CREATE, &file), 0);
    assert_int_equal(port->pwrite(port->ctx, file, text, strlen(text), 0), strlen(text));
    return file;
}

static void close_file(dbk_file *file)
{
    port->close_file(port->ctx, file);
}

static void memory_behaves_as_malloc(void **state)
{
    (void)state;
    uint8_t *memory = port->alloc(port->ctx, 0);

    assert_non_null(memory);
    memory = port->resize(port->ctx, memory, 3);
    memcpy(memory, "abc", 3);
    memory = port->resize(port->ctx, memory, 100000);
    assert_memory_equal(memory, "abc", 3);
    memory = port->resize(port->ctx, memory, 0);
    assert_non_null(memory);
    port->free(port->ctx, memory);
    for (size_t alignment = 8; alignment <= 65536; alignment *= 2) {
        memory = port->alloc_aligned(port->ctx, alignment, 10);
        assert_int_equal((uintptr_t)memory % alignment, 0);
        port->free_aligned(port->ctx, memory);
    }
}

static void clocks_run_forward(void **state)
{
    (void)state;
    int64_t wall_ms = port->wall_ms(port->ctx), before = port->monotonic_ns(port->ctx), after;

    assert_in_range(wall_ms / 1000 - time(NULL) + 5, 0, 10);
    do {
        after = port->monotonic_ns(port->ctx);
        assert_true(after >= before);
    } while (after == before);
}

static void zone_follows_the_environment(void **state)
{
    (void)state;
    const char *set = getenv("TZ");
    char *before = set ? strdup(set) : NULL;

    assert_int_equal(setenv("TZ", "ABC-05:30", 1), 0);
    assert_int_equal(port->zone_minutes(port->ctx), 330);
    assert_int_equal(setenv("TZ", "ABC+8", 1), 0);
    assert_int_equal(port->zone_minutes(port->ctx), -480);
    assert_int_equal(before ? setenv("TZ", before, 1) : unsetenv("TZ"), 0);
    tzset();
    free(before);
}

/* A megabyte, more than the system gives in one call: no two runs of 16 bytes are equal or zero. */
static void randomness_fills_everything(void **state)
{
    (void)state;
    enum { SIZE = 1 << 20 };
    uint8_t *bytes = calloc(SIZE, 1), zeros[16] = {0};

    assert_int_equal(port->random(port->ctx, bytes, SIZE), 0);
    for (size_t i = 0; i < SIZE; i += 16) assert_memory_not_equal(bytes + i, zeros, 16);
    assert_memory_not_equal(bytes, bytes + SIZE - 16, 16);
    assert_int_equal(port->random(port->ctx, bytes, 0), 0);
    free(bytes);
}

static void directories_are_made_on_demand(void **state)
{
    (void)state;
    dbk_identity identity;
    dbk_dir *sub;

    assert_int_equal(port->open_dir(port->ctx, dir, "sub", 0, &sub), -ENOENT);
    assert_null(sub);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(port->open_dir(port->ctx, dir, "sub", DBK_OPEN_DIRECTORY, &sub), 0);
        assert_int_equal(port->identify_dir(port->ctx, sub, &identity), 0);
        assert_int_equal(identity.kind, DBK_IS_DIRECTORY);
        assert_int_equal(identity.mode, 0700);
        assert_int_equal(identity.owner, geteuid());
        assert_int_equal(port->sync_dir(port->ctx, sub), 0);
        port->close_dir(port->ctx, sub);
    }
    assert_int_equal(port->make_dir(port->ctx, dir, "sub", 0700), -EEXIST);
    assert_int_equal(port->make_dir(port->ctx, dir, "sub2", 0750), 0);
    assert_int_equal(port->remove_dir(port->ctx, dir, "sub2"), 0);
    assert_int_equal(port->remove_dir(port->ctx, dir, "sub2"), -ENOENT);
    close_file(make_file("file", "x"));
    assert_int_equal(port->open_dir(port->ctx, dir, "file", 0, &sub), -ENOTDIR);
    assert_int_equal(port->open_dir(port->ctx, NULL, in_dir("none/sub"), DBK_OPEN_DIRECTORY, &sub), -ENOENT);
}

/* Names that lead elsewhere are refused by every call that takes one. */
static void names_cannot_leave_their_directory(void **state)
{
    (void)state;
    static const char *const bad[] = {"", "..", "a/b", "/etc", "../x", "a/"};
    dbk_identity identity;
    dbk_file *file;
    dbk_dir *sub;

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(port->open_dir(port->ctx, dir, bad[i], 0, &sub), -EINVAL);
        assert_int_equal(port->identify(port->ctx, dir, bad[i], &identity), -EINVAL);
        assert_int_equal(port->make_dir(port->ctx, dir, bad[i], 0700), -EINVAL);
        assert_int_equal(port->remove_dir(port->ctx, dir, bad[i]), -EINVAL);
        assert_int_equal(port->rename(port->ctx, dir, bad[i], dir, "x"), -EINVAL);
        assert_int_equal(port->rename(port->ctx, dir, "x", dir, bad[i]), -EINVAL);
        assert_int_equal(port->unlink(port->ctx, dir, bad[i]), -EINVAL);
        assert_int_equal(open_file(bad[i], DBK_OPEN_READ, &file), -EINVAL);
    }
}

static void links_are_never_followed(void **state)
{
    (void)state;
    const int create = DBK_OPEN_WRITE | DBK_OPEN_CREATE;
    dbk_identity identity;
    dbk_file *file;
    dbk_dir *sub;

    close_file(make_file("target", "x"));
    assert_int_equal(symlink("target", in_dir("link")), 0);
    assert_int_equal(symlink("nowhere", in_dir("dangling")), 0);
    assert_int_equal(symlink(".", in_dir("dirlink")), 0);
    assert_int_equal(open_file("link", DBK_OPEN_READ, &file), -ELOOP);
    assert_int_equal(open_file("dangling", create, &file), -ELOOP);
    assert_int_equal(open_file("dangling", create | DBK_OPEN_EXCLUSIVE, &file), -EEXIST);
    assert_int_equal(port->open_dir(port->ctx, dir, "dirlink", 0, &sub), -ENOTDIR);
    assert_int_equal(port->open_dir(port->ctx, NULL, in_dir("dirlink"), 0, &sub), -ENOTDIR);
    assert_int_equal(port->identify(port->ctx, dir, "link", &identity), 0);
    assert_int_equal(identity.kind, DBK_IS_OTHER);
    assert_int_equal(port->identify(port->ctx, dir, "nowhere", &identity), -ENOENT);
}

/* A FIFO in a file's place: opening it neither waits nor succeeds. */
static void only_regular_files_are_opened(void **state)
{
    (void)state;
    dbk_file *file;

    assert_int_equal(mkfifo(in_dir("fifo"), 0600), 0);
    assert_int_equal(open_file("fifo", DBK_OPEN_READ, &file), -ENXIO);
    assert_int_equal(open_file("fifo", DBK_OPEN_WRITE, &file), -ENXIO);
    assert_int_equal(open_file(".", DBK_OPEN_READ, &file), -EISDIR);
    assert_null(file);
}

static void files_know_who_they_are(void **state)
{
    (void)state;
    dbk_identity by_name, by_file;
    dbk_file *file = make_file("a", "12345");

    assert_int_equal(port->identify(port->ctx, dir, "a", &by_name), 0);
    assert_int_equal(port->identify_file(port->ctx, file, &by_file), 0);
    assert_true(by_name.inode == by_file.inode && by_name.device == by_file.device);
    assert_int_equal(by_file.kind, DBK_IS_FILE);
    assert_int_equal(by_file.size_bytes, 5);
    assert_int_equal(by_file.links, 1);
    assert_int_equal(by_file.mode & 0700, 0600);
    assert_in_range(by_file.modified_ms / 1000 - time(NULL) + 60, 0, 120);
    assert_int_equal(fcntl(file->fd, F_GETFD), FD_CLOEXEC);
    assert_int_equal(fcntl(dir->fd, F_GETFD), FD_CLOEXEC);
    assert_int_equal(port->unlink(port->ctx, dir, "a"), 0);
    assert_int_equal(port->identify_file(port->ctx, file, &by_file), 0);
    assert_int_equal(by_file.links, 0);
    close_file(file);
    close_file(make_file("b", ""));
    assert_int_equal(port->rename(port->ctx, dir, "b", dir, "c"), 0);
    assert_int_equal(port->rename(port->ctx, dir, "b", dir, "c"), -ENOENT);
    assert_int_equal(port->unlink(port->ctx, dir, "b"), -ENOENT);
}

static void bytes_go_where_they_are_sent(void **state)
{
    (void)state;
    const uint64_t beyond = (uint64_t)INT64_MAX + 1;
    dbk_file *file = make_file("a", "0123456789"), *reader;
    char text[16] = "";

    assert_int_equal(port->pwrite(port->ctx, file, "ab", 2, 4), 2);
    assert_int_equal(port->pread(port->ctx, file, text, 16, 2), 8);
    assert_memory_equal(text, "23ab6789", 8);
    assert_int_equal(port->pread(port->ctx, file, text, 16, 10), 0);
    assert_int_equal(port->sync_file(port->ctx, file), 0);
    assert_int_equal(port->truncate(port->ctx, file, 3), 0);
    assert_int_equal(port->allocate(port->ctx, file, 0, 5), 0);
    assert_int_equal(port->pread(port->ctx, file, text, 16, 0), 5);
    assert_memory_equal(text, "012\0\0", 5);
    assert_int_equal(port->drop_cache(port->ctx, file, 0, 5), 0);
    assert_int_equal(port->pread(port->ctx, file, text, 1, beyond), -EINVAL);
    assert_int_equal(port->pwrite(port->ctx, file, text, 1, beyond), -EINVAL);
    assert_int_equal(port->truncate(port->ctx, file, beyond), -EINVAL);
    assert_int_equal(port->allocate(port->ctx, file, beyond, 1), -EINVAL);
    assert_int_equal(port->allocate(port->ctx, file, 0, beyond), -EINVAL);
    assert_int_equal(port->drop_cache(port->ctx, file, 0, beyond), -EINVAL);
    assert_int_equal(port->allocate(port->ctx, file, 0, 0), -EINVAL);
    assert_int_equal(open_file("a", DBK_OPEN_READ, &reader), 0);
    assert_int_equal(port->pwrite(port->ctx, reader, "x", 1, 0), -EBADF);
    assert_int_equal(port->truncate(port->ctx, reader, 0), -EINVAL);
    close_file(reader);
    assert_int_equal(open_file("a", DBK_OPEN_WRITE, &reader), 0);
    assert_int_equal(port->pread(port->ctx, reader, text, 1, 0), -EBADF);
    close_file(reader);
    close_file(file);
}

/* Calls on a descriptor that is gone show the system's errors instead of passing. */
static void failures_of_the_system_are_passed_on(void **state)
{
    (void)state;
    dbk_file gone_file = {-1};
    dbk_dir gone_dir = {-1};
    dbk_identity identity;
    dbk_space space;

    assert_int_equal(port->sync_file(port->ctx, &gone_file), -EBADF);
    assert_int_equal(port->identify_file(port->ctx, &gone_file, &identity), -EBADF);
    assert_int_equal(port->lock_file(port->ctx, &gone_file), -EBADF);
    assert_int_equal(port->drop_cache(port->ctx, &gone_file, 0, 0), -EBADF);
    assert_int_equal(port->sync_dir(port->ctx, &gone_dir), -EBADF);
    assert_int_equal(port->space(port->ctx, &gone_dir, &space), -EBADF);
    assert_int_equal(port->list(port->ctx, &gone_dir, NULL, NULL), -EBADF);
}

/* Direct writes take whole sectors only, and refuse what is not aligned. */
static void direct_files_take_whole_sectors(void **state)
{
    (void)state;
    dbk_file *file;
    dbk_space space;
    uint8_t *sector;
    int rc = open_file("a", DBK_OPEN_READ | DBK_OPEN_WRITE | DBK_OPEN_CREATE | DBK_OPEN_DIRECT, &file);

    if (rc == -EINVAL) skip(); /* the file system of the temporary directory has none */
    assert_int_equal(rc, 0);
    assert_int_equal(fcntl(file->fd, F_GETFL) & O_DIRECT, O_DIRECT);
    assert_int_equal(fcntl(file->fd, F_GETFL) & O_DSYNC, O_DSYNC);
    assert_int_equal(port->space(port->ctx, dir, &space), 0);
    sector = port->alloc_aligned(port->ctx, space.sector_bytes, space.sector_bytes);
    memset(sector, 'x', space.sector_bytes);
    assert_int_equal(port->pwrite(port->ctx, file, sector, space.sector_bytes, 0), space.sector_bytes);
    memset(sector, 0, space.sector_bytes);
    assert_int_equal(port->pread(port->ctx, file, sector, space.sector_bytes, 0), space.sector_bytes);
    assert_int_equal(sector[space.sector_bytes - 1], 'x');
    port->free_aligned(port->ctx, sector);
    close_file(file);
}

static void space_has_figures_and_a_kind(void **state)
{
    (void)state;
    dbk_space space;

    memset(&space, 0, sizeof(space));
    assert_int_equal(port->space(port->ctx, dir, &space), 0);
    assert_true(space.total_bytes > 0 && space.free_bytes <= space.total_bytes);
    assert_true(space.sector_bytes >= 512 && (space.sector_bytes & (space.sector_bytes - 1)) == 0);
    assert_non_null(space.fs_name);
}

static void network_and_fuse_file_systems_do_not_suit(void **state)
{
    (void)state;
    static const struct {
        uint32_t magic;
        const char *name;
        bool suits;
    } table[] = {
        {0xEF53, "ext4", true},        {0x01021994, "tmpfs", true}, {0x794C7630, "overlayfs", true},
        {0x9123683E, "btrfs", true},   {0x58465342, "xfs", true},   {0x6969, "nfs", false},
        {0x65735546, "fuse", false},   {0xFF534D42, "cifs", false}, {0x01021997, "9p", false},
        {0x12345678, "unknown", true},
    };

    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        const char *name;
        bool suits;
        dbk_posix_fs_kind(table[i].magic, &name, &suits);
        assert_string_equal(name, table[i].name);
        assert_int_equal(suits, table[i].suits);
    }
}

static int note_name(void *arg, const char *name)
{
    char *names = arg;

    assert_int_equal(strlen(name), 1);
    names[strlen(names)] = name[0];
    return name[0] == 'z' ? 42 : 0;
}

/* Listing twice gives all names twice: no position is shared between listings. */
static void listings_are_complete_and_can_be_stopped(void **state)
{
    (void)state;
    char names[8] = "";

    assert_int_equal(port->list(port->ctx, dir, note_name, names), 0);
    assert_string_equal(names, "");
    close_file(make_file("a", ""));
    assert_int_equal(port->make_dir(port->ctx, dir, "b", 0700), 0);
    for (int i = 0; i < 2; i++) {
        memset(names, 0, sizeof(names));
        assert_int_equal(port->list(port->ctx, dir, note_name, names), 0);
        assert_int_equal(strlen(names), 2);
        assert_true(strchr(names, 'a') && strchr(names, 'b'));
    }
    close_file(make_file("z", ""));
    assert_int_equal(port->list(port->ctx, dir, note_name, names), 42);
}

/* The second open of the same process is kept out too, until the first is closed. */
static void locks_exclude_every_other_open(void **state)
{
    (void)state;
    dbk_file *first = make_file("LOCK", ""), *second = make_file("LOCK", ""), *third;

    assert_int_equal(port->lock_file(port->ctx, first), 0);
    assert_int_equal(port->lock_file(port->ctx, first), 0);
    assert_int_equal(port->lock_file(port->ctx, second), -EAGAIN);
    assert_int_equal(open_file("LOCK", DBK_OPEN_READ, &third), 0);
    close_file(third);
    assert_int_equal(port->lock_file(port->ctx, second), -EAGAIN);
    close_file(first);
    assert_int_equal(port->lock_file(port->ctx, second), 0);
    close_file(second);
}

static int run_without_standard_descriptors(void)
{
    dbk_file *file;
    dbk_dir *sub;

    for (int fd = 0; fd < 3; fd++) (void)close(fd);
    if (port->open_dir(port->ctx, NULL, path, 0, &sub) != 0) return 1;
    if (port->open_file(port->ctx, sub, "a", DBK_OPEN_WRITE | DBK_OPEN_CREATE, 0600, &file) != 0) {
        return 2;
    }
    if (sub->fd < 3 || file->fd < 3) return 3;
    if (fcntl(0, F_GETFD) >= 0 || fcntl(1, F_GETFD) >= 0 || fcntl(2, F_GETFD) >= 0) return 4;
    if (!(fcntl(sub->fd, F_GETFD) & FD_CLOEXEC) || !(fcntl(file->fd, F_GETFD) & FD_CLOEXEC)) return 5;
    port->close_file(port->ctx, file);
    port->close_dir(port->ctx, sub);
    return 0;
}

static struct rlimit descriptors; /* as they were */

/* The highest number allowed is 2, of which 0 is free: it is not used in want of a better one. */
static int run_with_no_descriptor_above_two(void)
{
    const struct rlimit three = {3, descriptors.rlim_max};
    dbk_file *file;

    (void)close(0);
    if (setrlimit(RLIMIT_NOFILE, &three) != 0) return 1;
    int rc = port->open_file(port->ctx, dir, "a", DBK_OPEN_WRITE | DBK_OPEN_CREATE, 0600, &file);
    if (rc != -EINVAL && rc != -EMFILE) return 2;
    return fcntl(0, F_GETFD) >= 0 ? 3 : 0;
}

static int run_with_no_descriptor_left(void)
{
    const struct rlimit none = {0, descriptors.rlim_max};
    dbk_file *file;
    char text[37] = "x";

    if (setrlimit(RLIMIT_NOFILE, &none) != 0) return 1;
    if (port->open_file(port->ctx, dir, "a", DBK_OPEN_READ, 0, &file) != -EMFILE) return 2;
    if (port->boot_id(port->ctx, text) != -EMFILE || text[0]) return 3;
    return port->list(port->ctx, dir, NULL, NULL) == -EMFILE ? 0 : 4;
}

/* Where coverage is measured: a child that ends without the library's leave counts for nothing. */
void __gcov_dump(void) __attribute__((weak));

static int in_child(int (*run)(void))
{
    int status;

    assert_int_equal(getrlimit(RLIMIT_NOFILE, &descriptors), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        int result = run();
        (void)setrlimit(RLIMIT_NOFILE, &descriptors);
        if (__gcov_dump) __gcov_dump();
        _exit(result);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void descriptors_are_never_standard_ones(void **state)
{
    (void)state;
    assert_int_equal(in_child(run_without_standard_descriptors), 0);
    assert_int_equal(in_child(run_with_no_descriptor_above_two), 0);
    assert_int_equal(in_child(run_with_no_descriptor_left), 0);
}

static void processes_are_alive_until_they_end(void **state)
{
    (void)state;
    pid_t child = fork();

    assert_true(child >= 0);
    if (child == 0) _exit(0);
    assert_int_equal(port->process_id(port->ctx), getpid());
    assert_in_range(port->processors(port->ctx), 1, 65536);
    assert_true(port->process_alive(port->ctx, (uint32_t)getpid()));
    assert_true(port->process_alive(port->ctx, 1));
    assert_int_equal(waitpid(child, NULL, 0), child);
    assert_false(port->process_alive(port->ctx, (uint32_t)child));
    assert_false(port->process_alive(port->ctx, 0));
    assert_false(port->process_alive(port->ctx, UINT32_MAX));
}

static void boot_ids_are_uuids_and_stay(void **state)
{
    (void)state;
    char first[37], second[37];
    uint8_t uuid[16];

    assert_int_equal(port->boot_id(port->ctx, first), 0);
    assert_int_equal(port->boot_id(port->ctx, second), 0);
    assert_string_equal(first, second);
    assert_true(dbk_uuid_parse(dbk_slice_text(first), uuid));
}

typedef struct counter {
    dbk_mutex *mutex;
    dbk_cond *cond;
    int count;
    int waiting;
    bool open;
    bool signals_blocked;
    char name[32];
} counter;

static void count_up(void *arg)
{
    counter *self = arg;

    for (int i = 0; i < 10000; i++) {
        port->mutex_lock(port->ctx, self->mutex);
        self->count++;
        port->mutex_unlock(port->ctx, self->mutex);
    }
}

static void counter_init(counter *self)
{
    memset(self, 0, sizeof(*self));
    self->mutex = port->mutex_new(port->ctx);
    self->cond = port->cond_new(port->ctx);
    assert_true(self->mutex && self->cond);
}

static void counter_release(counter *self)
{
    port->cond_free(port->ctx, self->cond);
    port->mutex_free(port->ctx, self->mutex);
}

static void mutexes_exclude(void **state)
{
    (void)state;
    dbk_thread *threads[4];
    counter shared;

    counter_init(&shared);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(port->thread_start(port->ctx, "counter", count_up, &shared, &threads[i]), 0);
    }
    for (int i = 0; i < 4; i++) port->thread_join(port->ctx, threads[i]);
    assert_int_equal(shared.count, 40000);
    counter_release(&shared);
    port->mutex_free(port->ctx, NULL);
    port->cond_free(port->ctx, NULL);
}

static void wait_for_gate(void *arg)
{
    counter *self = arg;

    port->mutex_lock(port->ctx, self->mutex);
    self->waiting++;
    port->cond_broadcast(port->ctx, self->cond);
    while (!self->open) {
        assert_int_equal(port->cond_wait(port->ctx, self->cond, self->mutex, INT64_MAX), 0);
    }
    self->waiting--;
    port->mutex_unlock(port->ctx, self->mutex);
}

/* Three wait at a gate; when it opens, one broadcast lets all of them through. */
static void waiters_are_woken(void **state)
{
    (void)state;
    dbk_thread *threads[3];
    counter gate;

    counter_init(&gate);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(port->thread_start(port->ctx, "gate", wait_for_gate, &gate, &threads[i]), 0);
        port->mutex_lock(port->ctx, gate.mutex);
        while (gate.waiting <= i) {
            assert_int_equal(port->cond_wait(port->ctx, gate.cond, gate.mutex, -1), 0);
        }
        port->mutex_unlock(port->ctx, gate.mutex);
        port->cond_signal(port->ctx, gate.cond); /* wakes one for nothing: it waits on */
    }
    port->mutex_lock(port->ctx, gate.mutex);
    gate.open = true;
    port->cond_broadcast(port->ctx, gate.cond);
    port->mutex_unlock(port->ctx, gate.mutex);
    for (int i = 0; i < 3; i++) port->thread_join(port->ctx, threads[i]);
    assert_int_equal(gate.waiting, 0);
    counter_release(&gate);
}

/* Nobody signals: the wait ends after its time, not before, and holds the mutex again. */
static void waits_end_after_their_time(void **state)
{
    (void)state;
    counter alone;
    int rc;

    counter_init(&alone);
    port->mutex_lock(port->ctx, alone.mutex);
    int64_t before = port->monotonic_ns(port->ctx);
    do {
        rc = port->cond_wait(port->ctx, alone.cond, alone.mutex, 2000000);
    } while (rc == 0);
    assert_int_equal(rc, -ETIMEDOUT);
    assert_true(port->monotonic_ns(port->ctx) - before >= 2000000);
    assert_int_equal(port->cond_wait(port->ctx, alone.cond, alone.mutex, 0), -ETIMEDOUT);
    port->mutex_unlock(port->ctx, alone.mutex);
    counter_release(&alone);
}

static void look_around(void *arg)
{
    counter *self = arg;
    sigset_t blocked;

    (void)pthread_getname_np(pthread_self(), self->name, sizeof(self->name));
    (void)pthread_sigmask(SIG_SETMASK, NULL, &blocked);
    self->signals_blocked = sigismember(&blocked, SIGTERM) == 1 && sigismember(&blocked, SIGINT) == 1;
}

static void threads_have_names_and_no_signals(void **state)
{
    (void)state;
    dbk_thread *thread;
    counter seen;
    sigset_t mine;

    counter_init(&seen);
    assert_int_equal(port->thread_start(port->ctx, "a name that is too long", look_around, &seen, &thread), 0);
    port->thread_join(port->ctx, thread);
    assert_string_equal(seen.name, "a name that is ");
    assert_true(seen.signals_blocked);
    (void)pthread_sigmask(SIG_SETMASK, NULL, &mine);
    assert_int_equal(sigismember(&mine, SIGTERM), 0);
    counter_release(&seen);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(memory_behaves_as_malloc),
        TEST(clocks_run_forward),
        TEST(zone_follows_the_environment),
        TEST(randomness_fills_everything),
        TEST(directories_are_made_on_demand),
        TEST(names_cannot_leave_their_directory),
        TEST(links_are_never_followed),
        TEST(only_regular_files_are_opened),
        TEST(files_know_who_they_are),
        TEST(bytes_go_where_they_are_sent),
        TEST(failures_of_the_system_are_passed_on),
        TEST(direct_files_take_whole_sectors),
        TEST(space_has_figures_and_a_kind),
        TEST(network_and_fuse_file_systems_do_not_suit),
        TEST(listings_are_complete_and_can_be_stopped),
        TEST(locks_exclude_every_other_open),
        TEST(descriptors_are_never_standard_ones),
        TEST(processes_are_alive_until_they_end),
        TEST(boot_ids_are_uuids_and_stay),
        TEST(mutexes_exclude),
        TEST(waiters_are_woken),
        TEST(waits_end_after_their_time),
        TEST(threads_have_names_and_no_signals),
    };

    return cmocka_run_group_tests_name("port", tests, NULL, NULL);
}
