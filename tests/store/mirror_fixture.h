/* A store of a definition with mirrors, and one look at all of them. */
#ifndef DBK_TEST_MIRROR_FIXTURE_H
#define DBK_TEST_MIRROR_FIXTURE_H

#include "tests/store/engine_fixture.h"

static inline int start(void **state, const dbk_source *sources, size_t count)
{
    return fixture_setup(state, definition_of_sources(sources, count));
}

static inline int teardown(void **state)
{
    return fixture_teardown(state);
}

static inline void look(engine_fixture *f)
{
    dbk_result result = dbk_engine_mirror(f->engine, &f->error);
    if (result != DBK_OK) print_error("%s\n", f->error.text);
    assert_int_equal(result, DBK_OK);
}

#endif
