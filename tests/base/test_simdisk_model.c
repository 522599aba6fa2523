/* Random calls on files of the simulated disk, beside two plain arrays for each: what is seen, and what is durable.
 * What a crash leaves of them is what the arrays say. */
#include "simdisk_fixture.h"

#include <stdio.h>

enum { FILES = 3, LIMIT = 24 * 1024, STEPS = 4000, PAGE = DBK_SIM_BLOCK_BYTES };

typedef struct mirror {
    char name[4], path[8];
    uint8_t now[LIMIT], kept[LIMIT];
    size_t now_size, kept_size;
} mirror;

static mirror files[FILES];
static uint64_t seed;

static size_t draw(size_t below)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (size_t)(seed >> 33) % below;
}

static void check(fixture *f, mirror *m)
{
    static uint8_t got[LIMIT + 8];

    assert_int_equal(dbk_simdisk_size(f->disk, m->path), m->now_size);
    assert_int_equal(dbk_simdisk_read(f->disk, m->path, 0, got, sizeof(got)), m->now_size);
    assert_memory_equal(got, m->now, m->now_size);
    dbk_file *file = open_as(f, m->name, READ_WRITE);
    size_t at = draw(LIMIT), size = draw(9000);
    size_t want = at >= m->now_size ? 0 : size < m->now_size - at ? size : m->now_size - at;
    assert_int_equal(get(f, file, at, got, size), want);
    assert_memory_equal(got, m->now + at, want);
    close_it(f, file);
}

static void resize_now(mirror *m, size_t size)
{
    if (size < m->now_size) memset(m->now + size, 0, LIMIT - size);
    m->now_size = size;
}

static void keep_size(mirror *m)
{
    if (m->now_size < m->kept_size) memset(m->kept + m->now_size, 0, LIMIT - m->now_size);
    m->kept_size = m->now_size;
}

static void keep_all(mirror *m)
{
    memcpy(m->kept, m->now, LIMIT);
    m->kept_size = m->now_size;
}

static void write_some(fixture *f, mirror *m, int flags)
{
    static uint8_t data[LIMIT] __attribute__((aligned(4096)));
    size_t at = draw(LIMIT - 1), size = draw(3) ? draw(700) : draw(LIMIT), unit = flags ? 512 : 1;

    at -= at % unit;
    if (size > LIMIT - at) size = LIMIT - at;
    size -= size % unit;
    for (size_t i = 0; i < size; i++) data[i] = (uint8_t)(draw(4) ? seed >> 40 : 0);
    dbk_file *file = open_as(f, m->name, READ_WRITE | flags);
    assert_int_equal(put(f, file, at, data, size), (int64_t)size);
    close_it(f, file);
    if (size == 0) return;
    memcpy(m->now + at, data, size);
    if (at + size > m->now_size) m->now_size = at + size;
    if (!flags) return;
    size_t first = at - at % PAGE, end = (at + size + PAGE - 1) / PAGE * PAGE; /* whole pages become durable */
    memcpy(m->kept + first, m->now + first, (end < LIMIT ? end : LIMIT) - first);
    keep_size(m);
}

static void change(fixture *f, mirror *m, size_t what)
{
    dbk_file *file = open_as(f, m->name, READ_WRITE);
    size_t size = draw(LIMIT), at = draw(LIMIT - size);
    void *ctx = f->port->ctx;

    if (what == 0) {
        assert_int_equal(f->port->truncate(ctx, file, size), 0);
        resize_now(m, size);
    } else if (what == 1 && size > 0) {
        assert_int_equal(f->port->allocate(ctx, file, at, size), 0);
        if (at + size > m->now_size) m->now_size = at + size;
    } else if (what == 2) {
        assert_int_equal(sync_it(f, file), 0);
        keep_all(m);
    } else if (what == 3) {
        assert_int_equal(f->port->drop_cache(ctx, file, at, draw(2) ? size : 0), 0);
    }
    close_it(f, file);
}

/* By path, both contents at once. */
static void meddle(fixture *f, mirror *m, size_t what)
{
    static uint8_t data[2000];
    size_t size = draw(sizeof(data)), at = draw(LIMIT - size);
    mirror *other = &files[draw(FILES)];

    if (what == 0) {
        memset(data, (int)draw(256), sizeof(data));
        assert_int_equal(dbk_simdisk_write(f->disk, m->path, at, data, size), 0);
        if (size == 0) return;
        memcpy(m->now + at, data, size);
        memcpy(m->kept + at, data, size);
        if (at + size > m->now_size) m->now_size = at + size;
        if (at + size > m->kept_size) m->kept_size = at + size;
    } else if (what == 1) {
        assert_int_equal(dbk_simdisk_truncate(f->disk, m->path, at), 0);
        resize_now(m, at);
        memset(m->kept + at, 0, LIMIT - at);
        m->kept_size = at;
    } else {
        mirror mine = *m, theirs = *other;
        int rc = what == 2 ? dbk_simdisk_copy(f->disk, m->path, other->path)
                           : dbk_simdisk_swap(f->disk, m->path, other->path);
        assert_int_equal(rc, 0);
        if (m == other) return;
        *other = mine;
        if (what == 3) *m = theirs;
        memcpy(m->name, mine.name, sizeof(m->name)), memcpy(m->path, mine.path, sizeof(m->path));
        memcpy(other->name, theirs.name, sizeof(m->name)), memcpy(other->path, theirs.path, sizeof(m->path));
    }
}

static void crash_all(fixture *f, bool old)
{
    crash(f, old ? DBK_SIM_ALL_OLD : DBK_SIM_ALL_NEW, draw(1000));
    for (size_t i = 0; i < FILES; i++) {
        mirror *m = &files[i];
        if (old) {
            memcpy(m->now, m->kept, LIMIT);
            m->now_size = m->kept_size;
        } else {
            keep_all(m);
        }
    }
    assert_int_equal(dbk_simdisk_unsynced(f->disk), 0);
}

/* An image is the same until something changes, and brings back what was. */
static void with_image(fixture *f)
{
    static mirror before[FILES];
    char differs[40] = "";
    dbk_simdisk_image *image = dbk_simdisk_snapshot(f->disk);
    uint64_t hash = dbk_simdisk_hash(f->disk, draw(2) ? "/" : NULL), again = dbk_simdisk_hash(f->disk, "a");
    mirror *m = &files[draw(FILES)];

    memcpy(before, files, sizeof(files));
    assert_true(dbk_simdisk_same(f->disk, image, differs, sizeof(differs)));
    if (m->now_size == 0) assert_int_equal(dbk_simdisk_write(f->disk, m->path, 0, "x", 1), 0);
    else assert_int_equal(dbk_simdisk_flip_bit(f->disk, m->path, draw(m->now_size), 3), 0);
    assert_false(dbk_simdisk_same(f->disk, image, draw(2) ? differs : NULL, sizeof(differs)));
    assert_true(dbk_simdisk_hash(f->disk, NULL) != hash);
    assert_true((dbk_simdisk_hash(f->disk, "a") == again) == (m->name[0] != 'a'));
    dbk_simdisk_restore(f->disk, image);
    reopen_root(f);
    memcpy(files, before, sizeof(files));
    assert_int_equal(dbk_simdisk_hash(f->disk, NULL), hash);
    dbk_simdisk_image_free(f->disk, image);
}

static void test_like_the_arrays(void **state)
{
    fixture *f = *state;

    memset(files, 0, sizeof(files));
    seed = 11;
    f->world->capacity_bytes = 64 << 20;
    for (size_t i = 0; i < FILES; i++) {
        snprintf(files[i].name, sizeof(files[i].name), "%c", (char)('a' + i));
        snprintf(files[i].path, sizeof(files[i].path), "%c", (char)('a' + i));
        make_durable(f, files[i].name, 0, 0);
    }
    for (int step = 0; step < STEPS; step++) {
        (void)dbk_simdisk_unsynced(f->disk);
        mirror *m = &files[draw(FILES)];
        size_t what = draw(100);
        if (what < 40) write_some(f, m, what < 12 ? DBK_OPEN_DIRECT : 0);
        else if (what < 70) change(f, m, what % 4);
        else if (what < 90) meddle(f, m, what % 4);
        else if (what < 96) crash_all(f, what % 2);
        else with_image(f);
        check(f, m);
    }
}

/* After lies and failed syncs nothing is known of what is durable, but what is seen stays what was written until the
 * cache is dropped, and then each sector is the old one or the new one. */
static void test_lost_sectors(void **state)
{
    fixture *f = *state;
    uint8_t got[LIMIT];

    f->world->capacity_bytes = 64 << 20;
    for (int round = 0; round < 60; round++) {
        char name[8];
        snprintf(name, sizeof(name), "f%d", round);
        make_durable(f, name, 1, 5000 + draw(9000));
        dbk_file *file = open_as(f, name, READ_WRITE);
        size_t at = draw(16000), size = 1 + draw(6000);
        bool lie = round % 2;
        fault(f, (dbk_simdisk_fault){.kinds = lie ? DBK_SIM_WRITE : DBK_SIM_SYNC,
                                     .times = 1,
                                     .action = lie ? DBK_SIM_LIE : DBK_SIM_FAIL,
                                     .error = EIO});
        assert_int_equal(fill(f, file, at, 2, size), (int64_t)size);
        if (!lie) assert_int_equal(sync_it(f, file), -EIO);
        dbk_simdisk_clear_faults(f->disk);
        assert_int_equal(get(f, file, at, got, size), (int64_t)size);
        for (size_t i = 0; i < size; i++) assert_int_equal(got[i], 2);
        size_t more = draw(16000);
        if (round % 3) assert_int_equal(fill(f, file, more, 3, 700), 700);
        if (round % 5 == 1) assert_int_equal(f->port->truncate(f->port->ctx, file, at + size / 2), 0);
        int64_t length = dbk_simdisk_size(f->disk, name);
        assert_int_equal(f->port->drop_cache(f->port->ctx, file, draw(2) ? at : 0, draw(2) ? size : 0), 0);
        assert_int_equal(get(f, file, 0, got, sizeof(got)), length);
        for (int64_t i = 0; i < length; i++) assert_true(got[i] <= 3);
        if (round % 4 == 0) assert_int_equal(sync_it(f, file), 0);
        close_it(f, file);
        dbk_file *direct = NULL;
        assert_int_equal(f->port->open_file(f->port->ctx, f->root, name, READ_WRITE | DBK_OPEN_DIRECT, 0600, &direct),
                         0);
        static uint8_t aligned[4096] __attribute__((aligned(4096)));
        assert_true(get(f, direct, 4096, aligned, sizeof(aligned)) >= 0);
        assert_int_equal(get(f, direct, 65536, aligned, sizeof(aligned)), 0);
        assert_int_equal(get(f, direct, 0, aligned, 0), 0);
        close_it(f, direct);
        crash(f, (dbk_simdisk_crash_mode)(round % 5), 7);
        assert_true(dbk_simdisk_size(f->disk, name) >= 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_like_the_arrays, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_lost_sectors, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
