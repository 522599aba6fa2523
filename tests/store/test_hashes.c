/* The hashes of an array's commands, made by a thread beside the turn, are those that the turn would make. */
#include "store/hashes.h"
#include "tests/store/engine_fixture.h"

#include <errno.h>
#include <sched.h>
#include <stdatomic.h>

enum { COMMANDS = 200, ROUNDS = 300 };

static dbk_port here;
static uint32_t processors;
static bool refuses_threads;

static uint32_t wanted_processors(void *ctx)
{
    (void)ctx;
    return processors;
}

static _Thread_local bool is_beside;
static atomic_bool busy; /* the thread beside, within a hash */
static struct {
    void (*run)(void *);
    void *arg;
} beside;

static void run_beside(void *arg)
{
    (void)arg;
    is_beside = true;
    beside.run(beside.arg);
}

static int start_thread(void *ctx, const char *name, void (*run)(void *), void *arg, dbk_thread **out)
{
    beside.run = run;
    beside.arg = arg;
    return refuses_threads ? -EAGAIN : dbk_port_system()->thread_start(ctx, name, run_beside, NULL, out);
}

/* The thread's first hash of an array takes so long that the turn comes to it meanwhile. */
static void *slow_resize(void *ctx, void *memory, size_t size)
{
    if (is_beside) busy = true;
    for (int i = 0; is_beside && i < 3000; i++) sched_yield();
    if (is_beside) busy = false;
    return dbk_port_system()->resize(ctx, memory, size);
}

static dbk_hashes *hashes_on(uint32_t count, bool refuses)
{
    here = *dbk_port_system();
    here.processors = wanted_processors;
    here.thread_start = start_thread;
    here.resize = slow_resize;
    processors = count;
    refuses_threads = refuses;
    dbk_hashes *hashes = dbk_hashes_new(&here);
    assert_non_null(hashes);
    return hashes;
}

/* Appends and puts in turn, each with another content; now and then an element that is no command. */
static void write_array(dbk_buffer *out, unsigned count, unsigned salt)
{
    dbk_buffer_clear(out);
    dbk_buffer_put_u8(out, '[');
    for (unsigned i = 0; i < count; i++) {
        if (i > 0) dbk_buffer_put_u8(out, ',');
        if (i % 17 == 3) dbk_buffer_put_text(out, "7");
        else if (i % 2)
            dbk_buffer_printf(out, "{\"id\":\"%u\",\"do\":\"append\",\"data\":{\"b\":%u,\"a\":%u},\"type\":\"t.t\"}", i,
                              i, salt);
        else
            dbk_buffer_printf(out, "{\"id\":\"%u\",\"do\":\"put\",\"table\":\"notes\",\"key\":\"k%u\",\"data\":{}}", i,
                              salt + i);
    }
    dbk_buffer_put_u8(out, ']');
    assert_false(out->failed);
}

typedef struct given {
    dbk_buffer json, own;
    dbk_json_parser *parser;
    const dbk_json_node *array;
} given;

static void give(given *g, unsigned count, unsigned salt)
{
    write_array(&g->json, count, salt);
    assert_int_equal(dbk_json_parse(g->parser, dbk_buffer_slice(&g->json), &g->array, NULL), DBK_OK);
}

static void begin_given(given *g)
{
    dbk_buffer_init(&g->json, dbk_port_system());
    dbk_buffer_init(&g->own, dbk_port_system());
    g->parser = dbk_json_parser_new(dbk_port_system());
    assert_non_null(g->parser);
}

static void end_given(given *g)
{
    dbk_json_parser_free(g->parser);
    dbk_buffer_release(&g->json);
    dbk_buffer_release(&g->own);
}

static void assert_known(given *g, const dbk_json_node *node, const dbk_foreknown *known)
{
    dbk_foreknown own;
    dbk_buffer_clear(&g->own);
    assert_int_equal(dbk_command_hash(&g->own, node, &own, NULL), DBK_OK);
    assert_memory_equal(known->hash, own.hash, sizeof own.hash);
    if (!dbk_json_text_is(dbk_json_member(node, "do"), "append")) return;
    assert_int_equal(known->data_bytes, own.data_bytes);
    assert_memory_equal(known->text->data + known->data, g->own.data + own.data, own.data_bytes);
}

/* Takes the first `most` in order; how many of them the thread had made. */
static size_t take_in_order(given *g, dbk_hashes *hashes, uint32_t most)
{
    const dbk_json_node *child = g->array + 1;
    size_t made = 0;
    for (uint32_t i = 0; i < most; i++, child = dbk_json_next(child)) {
        const dbk_foreknown *known = dbk_hashes_take(hashes, i);
        if (!known) continue;
        assert_int_equal(child->kind, DBK_JSON_OBJECT);
        assert_known(g, child, known);
        made++;
    }
    return made;
}

static void what_the_thread_made_is_what_the_turn_would_make(void **state)
{
    (void)state;
    given g;
    begin_given(&g);
    dbk_hashes *hashes = hashes_on(2, false);
    int64_t until = dbk_port_system()->monotonic_ns(NULL) + INT64_C(60000000000);
    size_t made = 0;
    for (unsigned round = 0; round < ROUNDS || made == 0; round++) {
        assert_true(dbk_port_system()->monotonic_ns(NULL) < until); /* the thread never had its turn */
        give(&g, COMMANDS - round % 50, round);
        assert_true(dbk_hashes_begin(hashes, g.array, g.json.size));
        made += take_in_order(&g, hashes, g.array->count);
        assert_false(busy);
        dbk_hashes_end(hashes);
        dbk_hashes_relax(hashes, round % 3 ? 0 : 1 << 20);
    }
    dbk_hashes_free(hashes);
    end_given(&g);
}

/* A turn that lost its transaction goes away in the middle, and its array with it. */
static void an_array_left_in_the_middle_is_no_longer_read(void **state)
{
    (void)state;
    given g;
    begin_given(&g);
    dbk_hashes *hashes = hashes_on(2, false);
    for (unsigned round = 0; round < ROUNDS; round++) {
        give(&g, COMMANDS, round);
        assert_true(dbk_hashes_begin(hashes, g.array, g.json.size));
        (void)take_in_order(&g, hashes, round % COMMANDS);
        dbk_hashes_end(hashes);
        assert_false(busy);
        dbk_hashes_relax(hashes, 0);
        memset(g.json.data, 'x', g.json.size);
        dbk_json_parser_free(g.parser);
        g.parser = dbk_json_parser_new(dbk_port_system());
        assert_null(dbk_hashes_take(hashes, 0));
    }
    dbk_hashes_free(hashes);
    end_given(&g);
}

static void small_arrays_one_processor_and_no_thread_leave_it_to_the_turn(void **state)
{
    (void)state;
    given g;
    begin_given(&g);
    for (int kind = 0; kind < 3; kind++) {
        dbk_hashes *hashes = hashes_on(kind == 0 ? 1 : 2, kind == 1);
        give(&g, kind == 2 ? DBK_HASHES_WORTH_COMMANDS - 1 : COMMANDS, 1);
        for (int again = 0; again < 2; again++) {
            assert_false(dbk_hashes_begin(hashes, g.array, g.json.size));
            assert_int_equal(take_in_order(&g, hashes, g.array->count), 0);
            dbk_hashes_end(hashes);
        }
        dbk_hashes_free(hashes);
    }
    end_given(&g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_the_thread_made_is_what_the_turn_would_make),
        cmocka_unit_test(an_array_left_in_the_middle_is_no_longer_read),
        cmocka_unit_test(small_arrays_one_processor_and_no_thread_leave_it_to_the_turn),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
