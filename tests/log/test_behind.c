/* What stands behind a clean end is read after opening, and before the first append: on real files, with a port that
 * holds the reading thread back, or counts what the opening thread reads. */
#include "log_fixture.h"

#include "log/internal.h"

enum { SEGMENT_BYTES = 1024 * 1024, FAR_BYTES = 600 * 1024 };

typedef struct machine {
    dbk_port port;
    bool held; /* other threads stop at their first read until it is let go */
    uint64_t own_bytes;
    unsigned own_syncs;
} machine;
static machine here;
static dbk_mutex *gate;
static dbk_cond *opened;
static _Thread_local bool is_own;

static int64_t hold_or_count(void *ctx, dbk_file *file, void *out, size_t size, uint64_t offset)
{
    const dbk_port *port = dbk_port_system();

    port->mutex_lock(port->ctx, gate);
    while (here.held && !is_own) (void)port->cond_wait(port->ctx, opened, gate, -1);
    port->mutex_unlock(port->ctx, gate);
    int64_t got = port->pread(ctx, file, out, size, offset);
    if (is_own && got > 0) here.own_bytes += (uint64_t)got;
    return got;
}

static int count_sync(void *ctx, dbk_file *file)
{
    if (is_own) here.own_syncs++;
    return dbk_port_system()->sync_file(ctx, file);
}

static void let_go(void)
{
    const dbk_port *port = dbk_port_system();

    port->mutex_lock(port->ctx, gate);
    here.held = false;
    port->cond_broadcast(port->ctx, opened);
    port->mutex_unlock(port->ctx, gate);
}

typedef struct place {
    char path[32];
    dbk_dir *dir;
    dbk_log_options options;
    dbk_log *log;
} place;

static dbk_result place_open(place *p, bool held, dbk_error *err)
{
    here = (machine){.port = *dbk_port_system(), .held = held};
    here.port.pread = hold_or_count;
    here.port.sync_file = count_sync;
    is_own = true;
    return dbk_log_open(&here.port, p->dir, &p->options, &p->log, err);
}

static void place_close(place *p)
{
    dbk_log_close(p->log);
    p->log = NULL;
}

/* Some batches in the first of two segments of a MiB, closed in good order. */
static void place_new(place *p)
{
    const dbk_port *port = dbk_port_system();

    *p = (place){.path = "/tmp/dbk-behind-XXXXXX", .options = small_options()};
    p->options.no_background = false;
    p->options.segment_first_bytes = p->options.segment_max_bytes = SEGMENT_BYTES;
    assert_non_null(mkdtemp(p->path));
    assert_int_equal(port->open_dir(port->ctx, NULL, p->path, 0, &p->dir), 0);
    gate = port->mutex_new(port->ctx);
    opened = port->cond_new(port->ctx);
    assert_int_equal(dbk_log_create(port, p->dir, &p->options, NULL), DBK_OK);
    assert_int_equal(place_open(p, false, NULL), DBK_OK);
    for (int i = 0; i < 5; i++) assert_int_equal(append(p->log, 3), DBK_OK);
    place_close(p);
}

static void place_free(place *p)
{
    const dbk_port *port = dbk_port_system();
    char command[64];

    port->close_dir(port->ctx, p->dir);
    port->cond_free(port->ctx, opened);
    port->mutex_free(port->ctx, gate);
    snprintf(command, sizeof(command), "rm -rf %s", p->path);
    assert_int_equal(system(command), 0);
}

static void write_at(place *p, const char *name, uint64_t offset, const void *bytes, size_t size)
{
    const dbk_port *port = dbk_port_system();
    dbk_file *file;

    assert_int_equal(dbk_io_open(port, p->dir, name, DBK_OPEN_READ | DBK_OPEN_WRITE, &file, NULL), DBK_OK);
    assert_int_equal(dbk_io_write(port, file, name, offset, bytes, size, NULL), DBK_OK);
    port->close_file(port->ctx, file);
}

/* A sound record at that place of the next file. */
static void forge_in_next(place *p, uint64_t offset)
{
    static const char name[] = "0000000000000002.seg";
    dbk_record record = {.type = DBK_RECORD_ENTRIES,
                         .count = 1,
                         .payload_bytes = 64,
                         .first_position = 40,
                         .durable_upto = 39,
                         .segment = 2};
    dbk_segment_header header;
    uint8_t bytes[4096] = {0};
    dbk_decoded decoded;
    dbk_file *file;

    assert_int_equal(dbk_io_open(&here.port, p->dir, name, DBK_OPEN_READ, &file, NULL), DBK_OK);
    assert_int_equal(dbk_segment_read_header(&here.port, file, name, &header, &decoded, NULL), DBK_OK);
    here.port.close_file(here.port.ctx, file);
    record.salt = header.salt;
    record.offset = offset;
    uint64_t size = dbk_record_bytes(record.payload_bytes, header.unit);
    dbk_record_finish(&record, p->options.store_id, bytes, size);
    write_at(p, name, offset, bytes, size);
}

static bool is_there(place *p, const char *name)
{
    dbk_identity identity;

    return here.port.identify(here.port.ctx, p->dir, name, &identity) == 0;
}

/* A MiB lies behind the end, another in the next file; opening reads little, syncs nothing and waits for nobody, and
 * the first append waits until all of it was seen to be zeros. */
static void test_opening_reads_little(void **state)
{
    place p;

    (void)state;
    place_new(&p);
    assert_int_equal(place_open(&p, true, NULL), DBK_OK);
    assert_true(dbk_log_was_clean(p.log));
    assert_int_equal(dbk_log_position(p.log), 15);
    assert_true(here.own_bytes < 64 * 1024);
    assert_int_equal(here.own_syncs, 0);
    check_entries(p.log, 0);
    let_go();
    assert_int_equal(append(p.log, 3), DBK_OK);
    place_close(&p);
    assert_int_equal(place_open(&p, false, NULL), DBK_OK);
    assert_true(dbk_log_was_clean(p.log));
    check_entries(p.log, 0);
    place_close(&p);
    place_free(&p);
}

/* The watermark on disk is clean no more before the first append, and dbk_log_begin does as much. */
static void test_begun_before_append(void **state)
{
    place p;

    (void)state;
    for (int appends = 0; appends < 2; appends++) {
        place_new(&p);
        assert_int_equal(place_open(&p, false, NULL), DBK_OK);
        assert_int_equal(appends ? append(p.log, 1) : dbk_log_begin(p.log, NULL), DBK_OK);
        dbk_log_leave(p.log);
        assert_int_equal(place_open(&p, false, NULL), DBK_OK);
        assert_false(dbk_log_was_clean(p.log));
        assert_int_equal(dbk_log_position(p.log), appends ? 16 : 15);
        place_close(&p);
        place_free(&p);
    }
}

/* Bytes that are no record, far behind the end: the log opens, and the first append puts them aside and clears them. */
static void test_rubbish_far_behind(void **state)
{
    place p;

    (void)state;
    place_new(&p);
    write_at(&p, "0000000000000001.seg", FAR_BYTES, "rubbish", 7);
    assert_int_equal(place_open(&p, false, NULL), DBK_OK);
    assert_true(dbk_log_was_clean(p.log));
    assert_false(is_there(&p, "recovery.ndjson"));
    assert_int_equal(append(p.log, 3), DBK_OK);
    assert_true(is_there(&p, "recovery.ndjson"));
    check_entries(p.log, 0);
    place_close(&p);
    assert_int_equal(place_open(&p, false, NULL), DBK_OK);
    assert_int_equal(append(p.log, 200), DBK_OK);
    check_entries(p.log, 0);
    place_close(&p);
    place_free(&p);
}

/* Rubbish that nobody appended to is met again: a close after it does not call the end clean. */
static void test_doubt_stays(void **state)
{
    place p;

    (void)state;
    place_new(&p);
    write_at(&p, "0000000000000001.seg", FAR_BYTES, "rubbish", 7);
    assert_int_equal(place_open(&p, false, NULL), DBK_OK);
    dbk_log_lock(p.log);
    while (p.log->behind == DBK_BEHIND_LOOKING) (void)here.port.cond_wait(here.port.ctx, p.log->wake, p.log->lock, -1);
    dbk_log_unlock(p.log);
    place_close(&p);
    assert_int_equal(place_open(&p, false, NULL), DBK_OK);
    assert_false(dbk_log_was_clean(p.log));
    assert_true(is_there(&p, "recovery.ndjson")); /* opening judged and cleared it, as after a crash */
    assert_int_equal(append(p.log, 3), DBK_OK);
    place_close(&p);
    place_free(&p);
}

/* Records stand far behind in the file that was prepared, so this one was ended once: nothing is appended, the file is
 * not made anew, and from then on opening itself refuses. */
static void test_records_in_next(void **state)
{
    dbk_error err = {0};
    place p;

    (void)state;
    place_new(&p);
    forge_in_next(&p, FAR_BYTES);
    assert_int_equal(place_open(&p, false, NULL), DBK_OK);
    assert_int_equal(append_sized(p.log, 3, 0, &err), DBK_POISONED);
    assert_int_equal(append(p.log, 3), DBK_POISONED);
    check_entries(p.log, 0);
    place_close(&p);
    assert_int_equal(place_open(&p, false, &err), DBK_CORRUPT);
    assert_non_null(strstr(err.text, "sealed"));
    place_free(&p);
}

static void read_at(place *p, const char *name, uint64_t offset, uint8_t *bytes, size_t size)
{
    const dbk_port *port = dbk_port_system();
    dbk_file *file;
    size_t got;

    assert_int_equal(dbk_io_open(port, p->dir, name, DBK_OPEN_READ, &file, NULL), DBK_OK);
    assert_int_equal(dbk_io_read(port, file, name, offset, bytes, size, &got, NULL), DBK_OK);
    assert_int_equal(got, size);
    port->close_file(port->ctx, file);
}

/* Opening read zeros behind the clean end; by the first append an entry stands there: it would be newer than what was
 * told of, so nothing is appended. */
static void test_entries_behind_the_end(void **state)
{
    static const char segment[] = "0000000000000001.seg";
    static uint8_t before[FAR_BYTES], after[FAR_BYTES];
    uint8_t mark[DBK_WATERMARK_STRIDE + DBK_WATERMARK_SLOT_SIZE];
    dbk_error err = {0};
    place p;

    (void)state;
    place_new(&p);
    read_at(&p, segment, 0, before, sizeof(before));
    read_at(&p, DBK_WATERMARK_NAME, 0, mark, sizeof(mark));
    assert_int_equal(place_open(&p, false, NULL), DBK_OK);
    assert_int_equal(append(p.log, 3), DBK_OK);
    place_close(&p);
    read_at(&p, segment, 0, after, sizeof(after));
    write_at(&p, segment, 0, before, sizeof(before));
    write_at(&p, segment, FAR_BYTES, "rubbish", 7);
    write_at(&p, DBK_WATERMARK_NAME, 0, mark, sizeof(mark));
    assert_int_equal(place_open(&p, true, &err), DBK_OK);
    assert_int_equal(dbk_log_position(p.log), 15);
    write_at(&p, segment, 0, after, sizeof(after));
    let_go();
    assert_int_equal(append_sized(p.log, 3, 0, &err), DBK_POISONED);
    assert_non_null(strstr(err.text, "behind the clean end"));
    place_close(&p);
    place_free(&p);
}

/* Closing does not wait for the look, and the end stays as clean as it was. */
static void test_closed_before_the_look(void **state)
{
    place p;

    (void)state;
    place_new(&p);
    write_at(&p, "0000000000000001.seg", FAR_BYTES, "rubbish", 7);
    assert_int_equal(place_open(&p, true, NULL), DBK_OK);
    p.log->closing = true; /* as closing sets it, but before the thread is let go */
    let_go();
    place_close(&p);
    assert_int_equal(place_open(&p, true, NULL), DBK_OK);
    assert_true(dbk_log_was_clean(p.log));
    let_go();
    assert_int_equal(append(p.log, 3), DBK_OK);
    assert_true(is_there(&p, "recovery.ndjson"));
    place_close(&p);
    place_free(&p);
}

/* A reader beside nobody: a clean end is believed, one that is not as the watermark says is not. */
static void test_reader(void **state)
{
    place p;

    (void)state;
    place_new(&p);
    p.options.read_only = true;
    assert_int_equal(place_open(&p, false, NULL), DBK_OK);
    assert_true(here.own_bytes < 64 * 1024);
    check_entries(p.log, 0);
    place_close(&p);
    place_free(&p);
}

/* A reader that opened at a clean end sees what a writer appends who came after it. */
static void test_reader_follows_a_later_writer(void **state)
{
    place p, writer;
    uint64_t end;

    (void)state;
    place_new(&p);
    p.options.read_only = true;
    assert_int_equal(place_open(&p, false, NULL), DBK_OK);
    end = dbk_log_position(p.log);
    writer = p;
    writer.options.read_only = false;
    assert_int_equal(dbk_log_open(&here.port, writer.dir, &writer.options, &writer.log, NULL), DBK_OK);
    for (uint64_t i = 1; i <= 3; i++) {
        assert_int_equal(append(writer.log, 3), DBK_OK);
        assert_int_equal(dbk_log_refresh(p.log, NULL), DBK_OK);
        assert_int_equal(dbk_log_position(p.log), end + 3 * i);
    }
    place_close(&writer);
    place_close(&p);
    place_free(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_opening_reads_little),
        cmocka_unit_test(test_begun_before_append),
        cmocka_unit_test(test_rubbish_far_behind),
        cmocka_unit_test(test_doubt_stays),
        cmocka_unit_test(test_records_in_next),
        cmocka_unit_test(test_entries_behind_the_end),
        cmocka_unit_test(test_closed_before_the_look),
        cmocka_unit_test(test_reader),
        cmocka_unit_test(test_reader_follows_a_later_writer),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
