/* A parser, a buffer and a port whose memory can fail, for the tests of JSON. */
#ifndef TEST_JSON_FIXTURE_H
#define TEST_JSON_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/base.h"

/* The machine's port, but allocation number `fail_at` (from 1, 0: none) and all later ones fail. */
static dbk_port port;
static unsigned calls, fail_at;

static inline bool may_allocate(void)
{
    return ++calls < fail_at || fail_at == 0;
}

static inline void *failing_alloc(void *ctx, size_t size)
{
    const dbk_port *machine = dbk_port_system();
    (void)ctx;
    return may_allocate() ? machine->alloc(machine->ctx, size) : NULL;
}

static inline void *failing_resize(void *ctx, void *memory, size_t size)
{
    const dbk_port *machine = dbk_port_system();
    (void)ctx;
    return may_allocate() ? machine->resize(machine->ctx, memory, size) : NULL;
}

static inline void plain_free(void *ctx, void *memory)
{
    const dbk_port *machine = dbk_port_system();
    (void)ctx;
    machine->free(machine->ctx, memory);
}

static dbk_json_parser *parser;
static dbk_buffer out;
static dbk_error err;

static inline int set_up(void **state)
{
    (void)state;
    port = *dbk_port_system();
    port.ctx = NULL;
    port.alloc = failing_alloc;
    port.resize = failing_resize;
    port.free = plain_free;
    calls = fail_at = 0;
    dbk_buffer_init(&out, dbk_port_system());
    parser = dbk_json_parser_new(&port);
    return parser ? 0 : -1;
}

static inline int tear_down(void **state)
{
    (void)state;
    fail_at = 0;
    dbk_json_parser_free(parser);
    dbk_buffer_release(&out);
    return 0;
}

static inline const dbk_json_node *parse_slice(dbk_slice text)
{
    const dbk_json_node *root = NULL;
    if (dbk_json_parse(parser, text, &root, &err) != DBK_OK) fail_msg("%s", err.text);
    assert_non_null(root);
    return root;
}

static inline const dbk_json_node *parse(const char *text)
{
    return parse_slice(dbk_slice_text(text));
}

static inline void assert_slice(dbk_slice slice, const char *text)
{
    if (!dbk_slice_equal(slice, dbk_slice_text(text))) fail_msg("'%.*s' instead of '%s'", DBK_SLICE_ARG(slice), text);
}

static inline void assert_out(const char *text)
{
    assert_false(out.failed);
    assert_slice(dbk_buffer_slice(&out), text);
    dbk_buffer_clear(&out);
}

static inline void assert_refused(const char *text, dbk_result code, const char *message)
{
    const dbk_json_node untouched = {0}, *root = &untouched;
    assert_int_equal(dbk_json_parse(parser, dbk_slice_text(text), &root, &err), code);
    assert_null(root);
    assert_int_equal(err.code, code);
    assert_string_equal(err.text, message);
}

/* before, then `count` times each with %u from 0, joined by commas, then after */
static inline dbk_slice repeat(dbk_buffer *buffer, const char *before, const char *each, unsigned count,
                               const char *after)
{
    const char *mark = strstr(each, "%u");
    dbk_buffer_clear(buffer);
    dbk_buffer_put_text(buffer, before);
    for (unsigned i = 0; i < count; i++) {
        if (i > 0) dbk_buffer_put_u8(buffer, ',');
        if (mark) {
            dbk_buffer_put(buffer, each, (size_t)(mark - each));
            dbk_json_put_u64(buffer, i);
            dbk_buffer_put_text(buffer, mark + 2);
        } else {
            dbk_buffer_put_text(buffer, each);
        }
    }
    dbk_buffer_put_text(buffer, after);
    assert_false(buffer->failed);
    return dbk_buffer_slice(buffer);
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

#endif
