/* Verification by several threads finds what one thread finds, in the same order, whatever is damaged. */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "log/internal.h"
#include "tests/log/log_fixture.h"

enum { BATCHES = 90, PER_BATCH = 7, FLIPS = 160 };

/* The machine, with as many processors as wanted, and threads other than the test's own that fail. */
typedef struct machine {
    dbk_port port;
    uint32_t processors;
    unsigned started, refuse_behind; /* threads; more than this many are refused */
    unsigned fail_every;             /* allocation of the other threads; 0: none */
    uint64_t own_bytes;              /* read by the test's thread */
} machine;
static machine here;
static _Thread_local bool is_own;
static _Thread_local unsigned allocations;

static uint32_t wanted_processors(void *ctx)
{
    (void)ctx;
    return here.processors;
}

static int start_thread(void *ctx, const char *name, void (*run)(void *), void *arg, dbk_thread **out)
{
    if (here.started == here.refuse_behind) return -EAGAIN;
    here.started++;
    return dbk_port_system()->thread_start(ctx, name, run, arg, out);
}

static int64_t count_read(void *ctx, dbk_file *file, void *out, size_t size, uint64_t offset)
{
    int64_t got = dbk_port_system()->pread(ctx, file, out, size, offset);
    if (is_own && got > 0) here.own_bytes += (uint64_t)got;
    return got;
}

static unsigned own_calls, own_failing; /* of the asking thread, before it has started another */

static bool fails_here(void)
{
    return is_own && own_failing && ++own_calls == own_failing;
}

static dbk_mutex *mutex_or_fail(void *ctx)
{
    return fails_here() ? NULL : dbk_port_system()->mutex_new(ctx);
}

static dbk_cond *cond_or_fail(void *ctx)
{
    return fails_here() ? NULL : dbk_port_system()->cond_new(ctx);
}

static void *alloc_or_fail(void *ctx, size_t size)
{
    if (!is_own && here.fail_every && ++allocations % here.fail_every == 0) return NULL;
    return dbk_port_system()->alloc(ctx, size);
}

static const dbk_port *machine_of(uint32_t processors)
{
    here = (machine){.port = *dbk_port_system(), .processors = processors, .refuse_behind = 1000};
    here.port.processors = wanted_processors;
    here.port.thread_start = start_thread;
    here.port.pread = count_read;
    here.port.alloc = alloc_or_fail;
    here.port.mutex_new = mutex_or_fail;
    here.port.cond_new = cond_or_fail;
    own_calls = own_failing = 0;
    is_own = true;
    return &here.port;
}

typedef struct place {
    char path[32];
    dbk_dir *dir;
    dbk_log_options options;
    uint64_t segments;
} place;

static void place_new(place *p, uint8_t entry_bytes)
{
    const dbk_port *port = dbk_port_system();
    dbk_log_report report;
    dbk_log *log;

    *p = (place){.path = "/tmp/dbk-ahead-XXXXXX", .options = small_options()};
    assert_non_null(mkdtemp(p->path));
    assert_int_equal(port->open_dir(port->ctx, NULL, p->path, 0, &p->dir), 0);
    assert_int_equal(dbk_log_create(port, p->dir, &p->options, NULL), DBK_OK);
    assert_int_equal(dbk_log_open(port, p->dir, &p->options, &log, NULL), DBK_OK);
    for (int i = 0; i < BATCHES; i++) assert_int_equal(append_sized(log, PER_BATCH, entry_bytes, NULL), DBK_OK);
    assert_int_equal(dbk_log_stats(log, &report, NULL), DBK_OK);
    p->segments = report.segments;
    dbk_log_close(log);
    assert_true(p->segments >= 8);
}

static void place_free(place *p)
{
    char command[64];

    dbk_port_system()->close_dir(dbk_port_system()->ctx, p->dir);
    snprintf(command, sizeof(command), "rm -rf %s", p->path);
    assert_int_equal(system(command), 0);
}

static void path_of(const place *p, uint64_t number, char out[80])
{
    snprintf(out, 80, "%s/%016llx.seg", p->path, (unsigned long long)number);
}

/* All that a verification tells, as text. */
typedef struct finding {
    char text[65536];
    size_t size;
    dbk_log_report report;
} finding;

static void put_fault(void *arg, const dbk_log_fault *fault)
{
    finding *f = arg;

    f->size += (size_t)snprintf(f->text + f->size, sizeof(f->text) - f->size, "%s %s %llu %llu-%llu %llu %u %s\n",
                                dbk_result_name(fault->code), fault->file, (unsigned long long)fault->offset,
                                (unsigned long long)fault->first_position, (unsigned long long)fault->last_position,
                                (unsigned long long)fault->bytes, fault->law, fault->text);
    assert_true(f->size < sizeof(f->text));
}

static void check_progress(void *arg, uint64_t done, uint64_t all)
{
    (void)arg;
    assert_true(done <= all);
}

static void find(const place *p, const dbk_port *port, dbk_verify_depth depth, finding *out)
{
    dbk_log_watcher watcher = {.arg = out, .fault = put_fault, .progress = check_progress};

    memset(out, 0, sizeof(*out));
    assert_int_equal(dbk_log_verify(port, p->dir, &p->options, depth, &watcher, &out->report, NULL), DBK_OK);
}

/* With one and with four; how many faults there are. */
static uint64_t compare(const place *p)
{
    static finding one, four;

    for (int depth = 0; depth < 2; depth++) {
        find(p, machine_of(1), (dbk_verify_depth)depth, &one);
        assert_int_equal(here.started, 0);
        find(p, machine_of(4), (dbk_verify_depth)depth, &four);
        assert_int_equal(here.started, 4);
        assert_string_equal(one.text, four.text);
        assert_memory_equal(&one.report, &four.report, sizeof(one.report));
    }
    return one.report.faults;
}

static void flip(const char *path, uint64_t offset, uint8_t mask)
{
    uint8_t byte;
    int fd = open(path, O_RDWR | O_CLOEXEC);

    assert_true(fd >= 0);
    assert_int_equal(pread(fd, &byte, 1, (off_t)offset), 1);
    byte ^= mask;
    assert_int_equal(pwrite(fd, &byte, 1, (off_t)offset), 1);
    close(fd);
}

/* Of a sound log the asking thread reads where the segments begin, and none of their records. */
static void a_sound_log_is_read_by_the_others(void **state)
{
    static finding one, four;
    place p;

    (void)state;
    place_new(&p, 200);
    uint64_t dropped; /* it reads caches, too */
    assert_int_equal(dbk_log_drop_caches(dbk_port_system(), p.dir, &dropped, NULL), DBK_OK);
    assert_true(dropped > 2);
    find(&p, machine_of(1), DBK_VERIFY_PROOF, &one);
    uint64_t alone = here.own_bytes;
    find(&p, machine_of(4), DBK_VERIFY_PROOF, &four);
    assert_true(here.own_bytes < alone / 2);
    assert_int_equal(four.report.entries, BATCHES * PER_BATCH);
    assert_int_equal(compare(&p), 0);
    place_free(&p);
}

static void every_fault_is_told_alike(void **state)
{
    uint64_t found = 0;
    char path[80];
    place p;

    (void)state;
    place_new(&p, 200);
    srand(7);
    for (int i = 0; i < FLIPS; i++) {
        struct stat st;
        path_of(&p, 1 + (uint64_t)rand() % p.segments, path);
        assert_int_equal(stat(path, &st), 0);
        uint64_t offset = (uint64_t)rand() % (uint64_t)st.st_size;
        flip(path, offset, (uint8_t)(1u << rand() % 8));
        found += compare(&p) > 0;
        if (i % 4 < 2) flip(path, offset, 0xff); /* stays damaged, so that faults gather */
    }
    assert_true(found > FLIPS / 2);
    place_free(&p);
}

static void copy_file(const char *from, const char *to)
{
    char command[200];

    snprintf(command, sizeof(command), "cp %s %s", from, to);
    assert_int_equal(system(command), 0);
}

/* A segment that is sound in itself and of another history: its start does not go on from the one before. */
static void another_history_is_not_taken_over(void **state)
{
    char here_path[80], there_path[80];
    place p, other;

    (void)state;
    place_new(&p, 200);
    place_new(&other, 201);
    path_of(&p, 3, here_path);
    path_of(&other, 3, there_path);
    copy_file(there_path, here_path);
    assert_true(compare(&p) > 0);
    path_of(&p, 6, there_path);
    copy_file(there_path, here_path);
    assert_true(compare(&p) > 0);
    assert_int_equal(unlink(here_path), 0);
    assert_true(compare(&p) > 0);
    path_of(&p, 5, there_path);
    assert_int_equal(truncate(there_path, 9000), 0);
    assert_true(compare(&p) > 0);
    place_free(&other);
    place_free(&p);
}

/* Where the segment before is missing, only the trees in its start can tell. */
static void another_history_behind_a_gap_is_not_taken_over(void **state)
{
    char here_path[80], there_path[80];
    place p, other;

    (void)state;
    place_new(&p, 200);
    place_new(&other, 201);
    path_of(&p, 5, here_path);
    assert_int_equal(unlink(here_path), 0);
    assert_int_equal(compare(&p), 1);
    path_of(&other, 6, there_path);
    path_of(&p, 6, here_path);
    copy_file(there_path, here_path);
    assert_true(compare(&p) > 2);
    place_free(&other);
    place_free(&p);
}

/* What the other threads cannot do for want of memory or of themselves, the asking one does. */
static void without_threads_or_memory_it_finds_the_same(void **state)
{
    static finding one, now;
    char path[80];
    place p;

    (void)state;
    place_new(&p, 200);
    path_of(&p, 4, path);
    flip(path, keep_plain ? 9000 : 700, 4);
    find(&p, machine_of(1), DBK_VERIFY_PROOF, &one);
    for (unsigned i = 0; i < 15; i++) {
        const dbk_port *port = machine_of(i == 3 ? 9 : 4);
        if (i < 4) here.refuse_behind = i;
        else if (i < 12) here.fail_every = i - 3;
        else own_failing = i - 11; /* the mutex, or a condition */
        find(&p, port, DBK_VERIFY_PROOF, &now);
        assert_string_equal(one.text, now.text);
        assert_memory_equal(&one.report, &now.report, sizeof(one.report));
    }
    place_free(&p);
}

/* One that nobody watches is read ahead as well, one of a single segment is not. */
static void with_little_to_do_it_finds_the_same(void **state)
{
    dbk_log_report report;
    char path[80];
    place p;

    (void)state;
    place_new(&p, 200);
    assert_int_equal(dbk_log_verify(machine_of(3), p.dir, &p.options, DBK_VERIFY_PROOF, NULL, &report, NULL), DBK_OK);
    assert_true(here.started > 0 && report.faults == 0 && report.entries == BATCHES * PER_BATCH);
    for (uint64_t number = 2; number <= p.segments + 1; number++) {
        path_of(&p, number, path);
        (void)unlink(path);
    }
    snprintf(path, sizeof(path), "%s/%s", p.path, DBK_WATERMARK_NAME);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(dbk_log_verify(machine_of(3), p.dir, &p.options, DBK_VERIFY_PROOF, NULL, &report, NULL), DBK_OK);
    assert_int_equal(here.started, 0);
    place_free(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_sound_log_is_read_by_the_others),
        cmocka_unit_test(every_fault_is_told_alike),
        cmocka_unit_test(another_history_is_not_taken_over),
        cmocka_unit_test(another_history_behind_a_gap_is_not_taken_over),
        cmocka_unit_test(without_threads_or_memory_it_finds_the_same),
        cmocka_unit_test(with_little_to_do_it_finds_the_same),
    };
    return run_both_forms(tests);
}
