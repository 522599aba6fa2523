/* Each read of a log in turn gives other bytes than were written: a bit flips on the way, zeros come, or nothing, as if
 * the file ended there. Whoever asks is told, or is answered rightly; nothing leaks, and nobody who only reads changes
 * anything. Where a writer is deceived at the end of the log, what it took away is put aside. */
#include "asking.h"

#include "log/scrub.h"

#include "tests/support/step.h"

typedef enum deceit { FLIP, ZEROS, NOTHING, ANOTHER } deceit;
static struct {
    dbk_port port;
    const dbk_port *inner;
    deceit how;
    uint64_t at, count, bit;
} reading;

static int64_t deceive(void *ctx, dbk_file *file, void *out, size_t size, uint64_t offset)
{
    int64_t got = reading.inner->pread(ctx, file, out, size, offset);

    if (++reading.count != reading.at || got <= 0) return got;
    uint8_t *bytes = out;
    switch (reading.how) {
    case FLIP: bytes[reading.bit / 8 % (uint64_t)got] ^= (uint8_t)(1 << reading.bit % 8); return got;
    case ZEROS: memset(out, 0, (size_t)got); return got;
    case NOTHING: return 0;
    case ANOTHER: break; /* a page further on, or what comes of it */
    }
    int64_t other = reading.inner->pread(ctx, file, out, (size_t)got, offset + 4096);
    if (other < got) memset(bytes + (other < 0 ? 0 : other), 0x5a, (size_t)(got - (other < 0 ? 0 : other)));
    return got;
}

static void ask_reader(world *w)
{
    ask_all(w, false);
}

static void ask_writer(world *w)
{
    ask_all(w, true);
}

/* Through ends of segments, which are packed and whose indexes are merged. */
static void append_some(world *w)
{
    dbk_result rc = world_open(w, NULL);

    assert_true(is_told(rc));
    if (rc != DBK_OK) return;
    for (int i = 0; i < 14; i++) {
        rc = append(w->log, 5);
        assert_true(is_told(rc));
    }
    assert_true(is_told(dbk_log_idle(w->log, NULL)));
}

static void scrub_it(world *w)
{
    dbk_scrub_options options = {.no_thread = true};
    dbk_scrub *scrub;
    dbk_result rc = world_open(w, NULL);

    if (rc != DBK_OK) return;
    if (dbk_scrub_start(w->log, &options, &scrub, NULL) != DBK_OK) return;
    (void)!dbk_scrub_glance(scrub, NULL);
    for (int i = 0; i < 8; i++) assert_true(is_told(dbk_scrub_step(scrub, NULL)));
    dbk_scrub_stop(scrub);
}

static void mend_it(world *w)
{
    static const dbk_mend_watcher watcher;
    uint64_t mended;
    dbk_dir *copy;

    assert_int_equal(w->port->open_dir(w->port->ctx, NULL, "copy", DBK_OPEN_DIRECTORY, &copy), 0);
    assert_true(is_told(dbk_log_mend(w->port, w->dir, copy, &w->options, &watcher, &mended, NULL)));
    w->port->close_dir(w->port->ctx, copy);
}

static uint64_t runs, step = 1;

/* `reads`: it changes nothing. `stays`: what it leaves can be opened, with all that was there. */
static void each_read(world *w, void (*act)(world *w), bool reads, bool stays)
{
    dbk_simdisk_image *image = dbk_simdisk_snapshot(w->disk);
    const dbk_port *inner = w->port;

    reading.inner = inner;
    reading.port = *inner;
    reading.port.pread = deceive;
    for (int how = FLIP; how <= ANOTHER; how++) {
        bool hit = true;
        for (uint64_t at = 1; hit; at += step) {
            dbk_simdisk_restore(w->disk, image);
            w->port = &reading.port;
            w->dir = root_of(w->port);
            reading.how = (deceit)how;
            reading.at = at;
            reading.bit = at * 7919 + 3;
            reading.count = 0;
            anything_fails = true;
            act(w);
            anything_fails = false;
            hit = reading.count >= at;
            world_close(w);
            w->port = inner;
            assert_int_equal(dbk_simdisk_memory_count(w->disk), 0);
            if (reads) assert_true(dbk_simdisk_same(w->disk, image, NULL, 0));
            if (stays) {
                dbk_error err = {0};
                if (world_open(w, &err) != DBK_OK) fail_msg("read %d: %s", (int)at, err.text);
                assert_true(dbk_log_position(w->log) >= entries);
                check_entries(w->log, 0);
                world_close(w);
            }
            runs++;
        }
    }
    dbk_simdisk_image_free(w->disk, image);
}

static void of_form(form of, bool lost)
{
    world w;

    make(&w, of, lost);
    each_read(&w, ask_reader, true, true);
    each_read(&w, ask_writer, false, false);
    world_free(&w);
}

static void test_own(void **state)
{
    (void)state;
    of_form(OWN, false);
}

static void test_own_without_table(void **state)
{
    (void)state;
    if (!keep_plain) of_form(OWN, true);
}

static void test_first_form(void **state)
{
    (void)state;
    if (keep_plain) return;
    of_form(FIRST_FORM, false);
    of_form(FIRST_FORM, true);
}

static void test_changes(void **state)
{
    world w;

    (void)state;
    make(&w, OWN, false);
    each_read(&w, append_some, false, false);
    each_read(&w, scrub_it, false, false);
    world_free(&w);
}

/* A damaged segment and a missing one, which a copy has. */
static void test_mending(void **state)
{
    world w;

    (void)state;
    make(&w, OWN, false);
    dbk_dir *copy;
    assert_int_equal(w.port->open_dir(w.port->ctx, NULL, "copy", DBK_OPEN_DIRECTORY, &copy), 0);
    w.port->close_dir(w.port->ctx, copy);
    for (unsigned n = 1; n < 9; n++) {
        char from[64], to[64];
        snprintf(from, sizeof(from), "log/%016x.seg", n);
        snprintf(to, sizeof(to), "copy/%016x.seg", n);
        if (dbk_simdisk_exists(w.disk, from)) assert_int_equal(dbk_simdisk_copy(w.disk, from, to), 0);
    }
    dbk_simdisk_flip_bit(w.disk, "log/0000000000000001.seg", keep_plain ? 9000 : 700, 1);
    assert_int_equal(dbk_simdisk_remove(w.disk, "log/0000000000000002.seg"), 0);
    (void)dbk_simdisk_remove(w.disk, "log/CATALOG");
    dbk_simdisk_sync_all(w.disk);
    each_read(&w, mend_it, false, false);
    world_free(&w);
}

int main(int argc, char **argv)
{
    checkpoint_bytes = 512;
    if (argc > 1) root = argv[1];
    step = step_argument(argc, argv, 2);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_own),     cmocka_unit_test(test_own_without_table), cmocka_unit_test(test_first_form),
        cmocka_unit_test(test_changes), cmocka_unit_test(test_mending),
    };
    int red = run_both_forms(tests);
    printf("%llu runs, in each another read deceived\n", (unsigned long long)runs);
    return red;
}
