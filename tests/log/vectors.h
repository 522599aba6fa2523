/* The byte vectors of the reference model, tests/data/model/vectors.json. */
#ifndef TESTS_LOG_VECTORS_H
#define TESTS_LOG_VECTORS_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>
#include <stdio.h>

#include "log/entry.h"

typedef struct vectors {
    dbk_json_parser *parser;
    const dbk_json_node *root;
    const dbk_json_node *entries;
} vectors;

/* The whole file below the project's root, which the test program was given as its argument. */
static inline dbk_buffer project_file(const char *project, const char *path)
{
    char name[4096];
    uint8_t chunk[4096];
    dbk_buffer content;
    size_t got;

    assert_true(snprintf(name, sizeof(name), "%s/%s", project, path) < (int)sizeof(name));
    FILE *file = fopen(name, "rb");
    assert_non_null(file);
    dbk_buffer_init(&content, dbk_port_system());
    while ((got = fread(chunk, 1, sizeof(chunk), file)) > 0) dbk_buffer_put(&content, chunk, got);
    fclose(file);
    assert_false(content.failed);
    return content;
}

static inline vectors vectors_open(const char *project)
{
    dbk_buffer text = project_file(project, "tests/data/model/vectors.json");
    vectors v = {.parser = dbk_json_parser_new(dbk_port_system())};

    assert_non_null(v.parser);
    assert_int_equal(dbk_json_parse(v.parser, dbk_buffer_slice(&text), &v.root, NULL), DBK_OK);
    v.entries = dbk_json_member(v.root, "entries");
    assert_non_null(v.entries);
    assert_int_equal(v.entries->count, 8);
    dbk_buffer_release(&text);
    return v;
}

static inline void vectors_close(vectors *v)
{
    dbk_json_parser_free(v->parser);
}

static inline dbk_slice vector_text(const dbk_json_node *vector, const char *member)
{
    const dbk_json_node *node = dbk_json_member(vector, member);

    assert_non_null(node);
    return node->text;
}

/* The bytes of a member in hexadecimal; to be released. */
static inline dbk_buffer vector_bytes(const dbk_json_node *vector, const char *member)
{
    dbk_slice text = vector_text(vector, member);
    dbk_buffer bytes;
    uint8_t *to;

    dbk_buffer_init(&bytes, dbk_port_system());
    to = dbk_buffer_extend(&bytes, text.size / 2);
    assert_non_null(to);
    assert_true(dbk_hex_decode(text, to, text.size / 2));
    return bytes;
}

static inline const dbk_json_node *vector_named(const vectors *v, const char *what)
{
    const dbk_json_node *vector = dbk_json_child(v->entries);

    for (size_t i = 0; i < v->entries->count; i++, vector = dbk_json_next(vector)) {
        if (dbk_json_text_is(dbk_json_member(vector, "what"), what)) return vector;
    }
    fail_msg("no vector '%s'", what);
    return NULL;
}

static inline void assert_slice(dbk_slice slice, const char *text)
{
    assert_int_equal(slice.size, strlen(text));
    if (slice.size) assert_memory_equal(slice.data, text, slice.size);
}

#endif
