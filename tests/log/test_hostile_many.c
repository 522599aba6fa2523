/* Several things are wrong at once, drawn by a seed: fields that lie under right checksums, files that are missing,
 * cut, copied, swapped, partly zeros, or another history's. Whoever looks ends, takes little memory, leaks nothing,
 * says why it refuses and has changed nothing then; no other entry is given for one where the proof holds; and a sound
 * copy mends, or is refused with a reason. */
#include "lies.h"

enum { NAMES = 16 };
typedef struct names {
    char paths[NAMES][64];
    size_t count;
} names;

static uint64_t state;

static uint64_t draw(uint64_t below)
{
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (state >> 33) % below;
}

static int note_name(void *arg, const char *name)
{
    names *n = arg;

    if (n->count < NAMES) snprintf(n->paths[n->count++], sizeof(n->paths[0]), "log/%s", name);
    return 0;
}

static names list_names(world *w)
{
    names n = {0};

    w->dir = root_of(w->port);
    assert_int_equal(w->port->list(w->port->ctx, w->dir, note_name, &n), 0);
    world_close(w);
    return n;
}

static uint64_t some_value(uint64_t own)
{
    static const uint64_t values[] = {0, 1, 2, 4096, 8192, 0x7fffffff, 0xffffffff, UINT64_C(1) << 32, UINT64_MAX};

    return draw(2) ? own + draw(5) - 2 : values[draw(COUNT(values))];
}

/* A field of whatever has a magic number and a checksum of its own there. */
static void lie_in(world *w, const char *path)
{
    static const uint64_t places[] = {0, 512, 4096, 8192};
    uint8_t bytes[65536];
    int64_t size = dbk_simdisk_read(w->disk, path, 0, bytes, sizeof(bytes));

    if (size < 512) return;
    uint64_t at = places[draw(COUNT(places))];
    if (strstr(path, "WATERMARK")) at = draw(2) * 4096;
    if ((int64_t)at + 512 > size) at = 0;
    uint8_t *unit = bytes + at;
    while (dbk_load_u32(unit) == 0xdbb00c52 && draw(3)) { /* on to another record */
        uint64_t next = dbk_record_bytes(dbk_load_u32(unit + 20), 512);
        if ((uint64_t)(unit - bytes) + next + 512 > (uint64_t)size) break;
        unit += next;
    }
    uint64_t offset = 8 + 8 * draw(14);
    dbk_store_u64(unit + offset, some_value(dbk_load_u64(unit + offset)));
    size_t length = 512;
    if (dbk_load_u32(unit) == 0xdbb00c52) {
        uint8_t place[48];
        length = (size_t)dbk_record_bytes(dbk_load_u32(unit + 20), 512);
        if (length > (size_t)size - (size_t)(unit - bytes)) return;
        memcpy(place, w->options.store_id, 16);
        memcpy(place + 16, unit + 88, 24);
        memcpy(place + 40, unit + 8, 8);
        uint64_t seed = dbk_checksum(dbk_slice_of(place, sizeof(place)), dbk_load_u32(unit));
        dbk_store_u64(unit + 120, dbk_checksum(dbk_slice_of(unit, 120), seed));
        dbk_store_u64(unit + length - 8, dbk_load_u64(unit + 120));
    } else {
        dbk_store_u64(unit + 120, dbk_checksum(dbk_slice_of(unit, 120), dbk_load_u64(unit)));
    }
    dbk_simdisk_write(w->disk, path, (uint64_t)(unit - bytes), unit, length);
    if (at == 0 && strstr(path, ".seg")) dbk_simdisk_write(w->disk, path, DBK_SEGMENT_COPY_OFFSET, unit, 128);
}

static void zero_some(world *w, const char *path)
{
    uint8_t zeros[4096] = {0};
    int64_t size = dbk_simdisk_size(w->disk, path);

    if (size < 1024) return;
    uint64_t at = draw((uint64_t)size - 512) & ~UINT64_C(511);
    size_t length = (size_t)512 << draw(4);
    if (length > (size_t)size - at) length = (size_t)size - at;
    dbk_simdisk_write(w->disk, path, at, zeros, length);
}

static void stir(world *w, const world *other, const names *n, bool *mixed)
{
    const char *path = n->paths[draw(n->count)], *second = n->paths[draw(n->count)];
    uint8_t bytes[65536];
    int64_t size;

    if (!dbk_simdisk_exists(w->disk, path) || !dbk_simdisk_exists(w->disk, second)) return;
    switch (draw(9)) {
    case 0:
    case 1: lie_in(w, path); break;
    case 2: (void)dbk_simdisk_remove(w->disk, path); break;
    case 3: dbk_simdisk_copy(w->disk, path, second); break;
    case 4: dbk_simdisk_swap(w->disk, path, second); break;
    case 5: dbk_simdisk_truncate(w->disk, path, draw((uint64_t)dbk_simdisk_size(w->disk, path) + 1)); break;
    case 6: zero_some(w, path); break;
    case 7:
        size = dbk_simdisk_size(w->disk, path);
        if (size) dbk_simdisk_flip_bit(w->disk, path, draw((uint64_t)size), (unsigned)draw(8));
        break;
    default:
        size = dbk_simdisk_read(other->disk, path, 0, bytes, sizeof(bytes));
        if (size <= 0) break;
        *mixed = true;
        dbk_simdisk_write(w->disk, path, 0, bytes, (size_t)size);
        dbk_simdisk_truncate(w->disk, path, (uint64_t)size);
    }
}

static dbk_result take_entry(void *arg, uint64_t position, int64_t received_ms, dbk_slice origin, dbk_error *err)
{
    (void)received_ms, (void)origin, (void)err;
    assert_true(position > *(uint64_t *)arg);
    *(uint64_t *)arg = position;
    return DBK_OK;
}

static void ask_about(dbk_log *log)
{
    uint64_t position;
    uint8_t head[DBK_LEAF_SIZE];

    (void)!dbk_log_find_stream(log, dbk_slice_text("note/3"), 0, &position, NULL);
    (void)!dbk_log_find_command(log, dbk_slice_text("c7"), 0, &position, NULL);
    (void)!dbk_log_find_received(log, FIRST_MS + 40, &position, NULL);
    (void)!dbk_log_head_at(log, 1 + draw(BATCHES * BATCH), head, NULL);
}

/* What is made again from the segments may go before a segment is found that is damaged. */
static uint64_t segments_hash(world *w)
{
    uint64_t sum = 0;

    for (unsigned n = 1; n < 12; n++) {
        char path[64];
        snprintf(path, sizeof(path), "log/%016x.seg", n);
        sum += dbk_simdisk_hash(w->disk, path);
    }
    return sum;
}

static void look_once(world *w, const char *what, bool mixed)
{
    uint64_t hash = dbk_simdisk_hash(w->disk, NULL), segments = segments_hash(w), count, last = 0;
    dbk_log_watcher watcher = {.arg = &last, .entry = take_entry};
    dbk_port port = noting(w->port);
    dbk_log_options options = w->options;
    uint8_t store_id[16], lineage[16];
    dbk_log_report report = {0};
    dbk_error err = {0};

    w->dir = root_of(w->port);
    (void)!dbk_log_verify(&port, w->dir, &options, DBK_VERIFY_CHECKSUMS, NULL, &report, NULL);
    dbk_result rc = dbk_log_verify(&port, w->dir, &options, DBK_VERIFY_PROOF, draw(2) ? &watcher : NULL, &report, &err);
    assert_true(rc == DBK_OK || err.text[0]);
    bool proven = rc == DBK_OK && report.faults == 0;
    (void)!dbk_log_identify(&port, w->dir, store_id, lineage, NULL);
    assert_int_equal(dbk_simdisk_hash(w->disk, NULL), hash);
    for (int writer = 0; writer < 2; writer++) {
        options.read_only = !writer;
        rc = dbk_log_open(&port, w->dir, &options, &w->log, &err);
        if (rc != DBK_OK) {
            if (!err.text[0]) fail_msg("%s: refused without a reason", what);
            if (segments_hash(w) != segments || (!writer && dbk_simdisk_hash(w->disk, NULL) != hash))
                fail_msg("%s: refused, and changed: %s", what, err.text);
            continue;
        }
        rc = read_all(w->log, &count);
        if (rc == DBK_SCHEMA && proven && !mixed) fail_msg("%s: other bytes, and the proof holds", what);
        ask_about(w->log);
        if (writer) (void)!append(w->log, 3);
        dbk_log_close(w->log);
    }
    w->log = NULL;
    if (largest > LARGEST_BYTES) fail_msg("%s: %zu bytes asked for at once", what, largest);
    lend(w, what);
    world_close(w);
}

/* It is mended from a copy that is sound. */
static void mend_from(world *w, const char *what)
{
    static const dbk_mend_watcher watcher;
    dbk_error err = {0};
    uint64_t mended, count;
    dbk_dir *copy;

    w->dir = root_of(w->port);
    assert_int_equal(w->port->open_dir(w->port->ctx, NULL, "copy", 0, &copy), 0);
    dbk_result rc = dbk_log_mend(w->port, w->dir, copy, &w->options, &watcher, &mended, &err);
    assert_true(rc == DBK_OK || err.text[0]);
    w->port->close_dir(w->port->ctx, copy);
    if (rc == DBK_OK && dbk_log_open(w->port, w->dir, &w->options, &w->log, NULL) == DBK_OK) {
        rc = read_all(w->log, &count);
        if (rc != DBK_END && rc != DBK_SCHEMA && rc != DBK_CORRUPT) fail_msg("%s: %d", what, rc);
    }
    world_close(w);
}

static void put_copy(world *w, const names *n)
{
    dbk_dir *copy;

    assert_int_equal(w->port->open_dir(w->port->ctx, NULL, "copy", DBK_OPEN_DIRECTORY, &copy), 0);
    w->port->close_dir(w->port->ctx, copy);
    for (size_t i = 0; i < n->count; i++) {
        char to[80];
        if (!strstr(n->paths[i], ".seg")) continue;
        snprintf(to, sizeof(to), "copy/%s", n->paths[i] + 4);
        assert_int_equal(dbk_simdisk_copy(w->disk, n->paths[i], to), 0);
    }
}

static uint64_t first_seed = 1, last_seed = 250;

static void test_many(void **unused)
{
    world w, other;
    char what[40];

    (void)unused;
    make_log(&w);
    world_new(&other, 72);
    for (int i = 0; i < BATCHES; i++) assert_int_equal(append_sized(other.log, BATCH, 90, NULL), DBK_OK);
    world_close(&other);
    names n = list_names(&w);
    put_copy(&w, &n);
    dbk_simdisk_image *image = dbk_simdisk_snapshot(w.disk);
    for (uint64_t seed = first_seed; seed <= last_seed; seed++) {
        bool mixed = false;
        dbk_simdisk_restore(w.disk, image);
        state = seed * 0x9e3779b97f4a7c15ull;
        for (uint64_t i = 0, times = 1 + draw(3); i < times; i++) stir(&w, &other, &n, &mixed);
        snprintf(what, sizeof(what), "seed %llu", (unsigned long long)seed);
        dbk_simdisk_image *stirred = dbk_simdisk_snapshot(w.disk);
        look_once(&w, what, mixed);
        dbk_simdisk_restore(w.disk, stirred);
        mend_from(&w, what);
        dbk_simdisk_image_free(w.disk, stirred);
        assert_int_equal(dbk_simdisk_memory_count(w.disk), 0);
        lies++;
    }
    world_free(&other);
    world_free(&w);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_many)};

    checkpoint_bytes = 512;
    if (argc > 2) first_seed = strtoull(argv[1], NULL, 10), last_seed = strtoull(argv[2], NULL, 10);
    int red = run_both_forms(tests);
    printf("%llu logs with several lies, none believed silently\n", (unsigned long long)lies);
    return red;
}
