/* A store of a definition with mirrors, and one look at all of them. */
#ifndef DBK_TEST_MIRROR_FIXTURE_H
#define DBK_TEST_MIRROR_FIXTURE_H

#include "tests/store/engine_fixture.h"

static inline int start(void **state, const dbk_source *sources, size_t count)
{
    engine_fixture *f = calloc(1, sizeof *f);
    assert_non_null(f);
    fixture_start_with(f, definition_of_sources(sources, count));
    *state = f;
    return 0;
}

static inline int teardown(void **state)
{
    fixture_stop(*state);
    free(*state);
    return 0;
}

static inline void look(engine_fixture *f)
{
    dbk_result result = dbk_engine_mirror(f->engine, &f->error);
    if (result != DBK_OK) print_error("%s\n", f->error.text);
    assert_int_equal(result, DBK_OK);
}

#endif
