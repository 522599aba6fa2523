/* Reading by stream, by type, from a time, either way: held against all entries asked one by one. */
#include "log_fixture.h"

#include "log/internal.h"

enum { ENTRIES = 700 };

static uint64_t early; /* up to there all have a type of their own */

/* Streams in turn, a rare type now and then, all received at a time of their position. */
static void append_mixed(world *w, uint64_t seq)
{
    char stream[24];
    dbk_buffer events, origin;
    dbk_entry entry = {.id = {.incarnation = 1, .seq = seq}, .epoch = 1, .hlc = seq, .event_count = 1};
    dbk_event event = {.type_version = 1};

    snprintf(stream, sizeof(stream), "note/%llu", (unsigned long long)(seq % 7));
    memcpy(entry.id.replica, replica_one, 16);
    event.stream = dbk_slice_text(stream);
    event.type = dbk_slice_text(seq <= early     ? "note.early"
                                : seq % 97 == 13 ? "note.rare"
                                : seq % 3        ? "note.put"
                                                 : "note.cut");
    event.data = dbk_slice_of("{\"some\":\"data\"}", 15);
    dbk_buffer_init(&events, dbk_port_system());
    dbk_buffer_init(&origin, dbk_port_system());
    dbk_event_encode(&events, &event);
    entry.events = dbk_buffer_slice(&events);
    dbk_entry_encode(&origin, &entry);
    dbk_slice slice = dbk_buffer_slice(&origin);
    assert_int_equal(dbk_log_append(w->log, &slice, 1, (int64_t)(seq / 5 * 10), NULL, NULL), DBK_OK);
    dbk_buffer_release(&events);
    dbk_buffer_release(&origin);
}

static bool is_wanted(dbk_log *log, uint64_t position, const dbk_log_wish *wish, dbk_buffer *out)
{
    int64_t received_ms;
    dbk_entry entry;
    dbk_event event;

    assert_int_equal(dbk_log_read(log, position, out, &received_ms, NULL), DBK_OK);
    assert_int_equal(dbk_entry_decode(dbk_buffer_slice(out), &entry, NULL), DBK_OK);
    assert_true(dbk_event_next(&entry.events, &event));
    return position >= wish->first && (!wish->last || position <= wish->last) && received_ms >= wish->since_ms &&
           (!wish->stream.size || dbk_slice_equal(wish->stream, event.stream)) &&
           (!wish->type.size || dbk_slice_equal(wish->type, event.type));
}

static uint64_t check_wish(dbk_log *log, const dbk_log_wish *wish)
{
    dbk_log_selection *selection;
    uint64_t position, count = 0;
    int64_t received_ms;
    dbk_buffer want;
    dbk_slice origin;

    dbk_buffer_init(&want, dbk_port_system());
    assert_int_equal(dbk_log_selection_open(log, wish, &selection, NULL), DBK_OK);
    for (uint64_t i = 1; i <= ENTRIES; i++) {
        uint64_t at = wish->reverse ? ENTRIES + 1 - i : i;
        if (!is_wanted(log, at, wish, &want)) continue;
        count++;
        assert_int_equal(dbk_log_selection_next(selection, &position, &received_ms, &origin, NULL), DBK_OK);
        assert_int_equal(position, at);
        assert_int_equal(received_ms, at / 5 * 10);
        assert_true(dbk_slice_equal(origin, dbk_buffer_slice(&want)));
    }
    assert_int_equal(dbk_log_selection_next(selection, &position, NULL, &origin, NULL), DBK_END);
    assert_int_equal(dbk_log_selection_next(selection, &position, NULL, &origin, NULL), DBK_END);
    dbk_log_selection_close(selection);
    dbk_buffer_release(&want);
    return count;
}

static void check_all(dbk_log *log)
{
    static const char *const streams[] = {"", "note/3", "note/9"}, *const types[] = {"", "note.rare", "note.cut",
                                                                                     "none"};
    static const uint64_t ranges[][2] = {{0, 0}, {1, 1}, {120, 480}, {700, 0}, {480, 120}, {701, 900}};
    static const int64_t times[] = {0, 10, 705, 1400, 9999};
    uint64_t found = 0;

    for (int i = 0; i < 3 * 4 * 6 * 5 * 2; i++) {
        int rest = i / 2;
        dbk_log_wish wish = {.reverse = i % 2};
        wish.stream = dbk_slice_text(streams[rest % 3]);
        wish.type = dbk_slice_text(types[rest / 3 % 4]);
        wish.first = ranges[rest / 12 % 6][0];
        wish.last = ranges[rest / 12 % 6][1];
        wish.since_ms = times[rest / 72];
        found += check_wish(log, &wish);
    }
    assert_true(found > 5000);
}

static void test_wishes(void **state)
{
    world w;

    (void)state;
    world_new(&w, 21);
    for (uint64_t seq = 1; seq <= ENTRIES; seq++) append_mixed(&w, seq);
    check_all(w.log);
    world_reopen(&w);
    check_all(w.log);
    world_free(&w);
}

/* A rare type reads the few blocks that have it, not the log. */
static void test_rare_type(void **state)
{
    dbk_log_wish wish = {.type = dbk_slice_text("note.rare")};
    uint64_t reads[2];
    world w;

    (void)state;
    world_new(&w, 22);
    for (uint64_t seq = 1; seq <= ENTRIES; seq++) append_mixed(&w, seq);
    for (int i = 0; i < 2; i++) {
        if (i) wish.type = dbk_slice_text("note.put");
        world_reopen(&w);
        uint64_t before = dbk_simdisk_calls(w.disk, DBK_SIM_READ);
        assert_true(check_wish(w.log, &wish) > 0); /* reads all by itself too */
        dbk_log_selection *selection;
        dbk_slice origin;
        uint64_t position;
        world_reopen(&w);
        before = dbk_simdisk_calls(w.disk, DBK_SIM_READ);
        assert_int_equal(dbk_log_selection_open(w.log, &wish, &selection, NULL), DBK_OK);
        while (dbk_log_selection_next(selection, &position, NULL, &origin, NULL) == DBK_OK) {
        }
        dbk_log_selection_close(selection);
        reads[i] = dbk_simdisk_calls(w.disk, DBK_SIM_READ) - before;
    }
    if (!keep_plain) assert_true(reads[0] < reads[1]);
    world_free(&w);
}

/* An empty log has nothing of anything; failures come through. */
static void test_edges(void **state)
{
    dbk_log_wish wish = {.since_ms = 5, .reverse = true};
    dbk_log_selection *selection;
    uint64_t position;
    dbk_slice origin;
    world w;

    (void)state;
    world_new(&w, 23);
    assert_int_equal(dbk_log_selection_open(w.log, &wish, &selection, NULL), DBK_OK);
    assert_int_equal(dbk_log_selection_next(selection, &position, NULL, &origin, NULL), DBK_END);
    dbk_log_selection_close(selection);
    for (uint64_t seq = 1; seq <= 300; seq++) append_mixed(&w, seq);
    wish.type = dbk_slice_text("note.cut");
    for (int by_stream = 0; by_stream < 2; by_stream++) {
        wish.stream = dbk_slice_text(by_stream ? "note/3" : "");
        bool done = false;
        for (uint64_t skip = 0; !done; skip++) {
            dbk_simdisk_fault fault = {.kinds = DBK_SIM_MEMORY | DBK_SIM_READ, .skip = skip, .times = 1};
            dbk_result rc;
            world_reopen(&w);
            dbk_simdisk_add_fault(w.disk, &fault);
            rc = dbk_log_selection_open(w.log, &wish, &selection, NULL);
            while (rc == DBK_OK) rc = dbk_log_selection_next(selection, &position, NULL, &origin, NULL);
            dbk_log_selection_close(selection);
            done = dbk_simdisk_fault_hits(w.disk) == 0;
            dbk_simdisk_clear_faults(w.disk);
            assert_true(rc == DBK_END || (!done && (rc == DBK_NO_MEMORY || rc == DBK_IO)));
        }
        wish.reverse = !wish.reverse;
    }
    world_free(&w);
}

/* A large first segment; how many entries its first block of them has. */
static uint64_t world_of_blocks(world *w, uint64_t last_early)
{
    dbk_image *image;

    memset(w, 0, sizeof(*w));
    early = last_early;
    w->disk = dbk_simdisk_new(33);
    w->port = dbk_simdisk_port(w->disk);
    w->options = small_options();
    w->options.segment_first_bytes = w->options.segment_max_bytes = 512 * 1024;
    w->dir = root_of(w->port);
    assert_int_equal(dbk_log_create(w->port, w->dir, &w->options, NULL), DBK_OK);
    assert_int_equal(world_open(w, NULL), DBK_OK);
    for (uint64_t seq = 1; w->log->segment_count < 2; seq++) append_mixed(w, seq);
    assert_int_equal(dbk_segment_pin(w->log, w->log->segments[0], &image, NULL), DBK_OK);
    assert_true(image->packed && image->head.block_count > 4);
    uint32_t index = 0;
    while (image->blocks[index].delta == 0) index++;
    uint64_t count = image->blocks[index].delta;
    dbk_segment_unpin(w->log, image);
    return count;
}

/* Only the entries of the first block have the type, or only those behind: the other blocks are passed over, to the last
 * entry. */
static void test_blocks_passed_over(void **state)
{
    dbk_log_selection *selection;
    uint64_t position, count = 0;
    dbk_slice origin;
    world w;

    (void)state;
    if (keep_plain) return;
    uint64_t border = world_of_blocks(&w, UINT64_MAX);
    world_free(&w);
    assert_int_equal(world_of_blocks(&w, border), border);
    dbk_log_wish wish = {.type = dbk_slice_text("note.early"), .reverse = true};
    assert_int_equal(dbk_log_selection_open(w.log, &wish, &selection, NULL), DBK_OK);
    while (dbk_log_selection_next(selection, &position, NULL, &origin, NULL) == DBK_OK)
        assert_int_equal(position, border - count++);
    assert_int_equal(count, border);
    dbk_log_selection_close(selection);
    wish = (dbk_log_wish){.type = dbk_slice_text("note.cut")};
    assert_int_equal(dbk_log_selection_open(w.log, &wish, &selection, NULL), DBK_OK);
    assert_int_equal(dbk_log_selection_next(selection, &position, NULL, &origin, NULL), DBK_OK);
    assert_true(position > border && position < border + 6);
    dbk_log_selection_close(selection);
    early = 0;
    world_free(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_blocks_passed_over), cmocka_unit_test(test_wishes),
                                       cmocka_unit_test(test_rare_type), cmocka_unit_test(test_edges)};

    return run_both_forms(tests);
}
