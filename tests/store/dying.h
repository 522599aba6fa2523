/* A store that dies at a point of its way: a hook for its options. */
#ifndef DBK_TEST_DYING_H
#define DBK_TEST_DYING_H

#include "store/engine.h"

#include <string.h>

/* What the hook gets as `arg`: at that point, after it was passed `left` times. */
typedef struct dying {
    int left;
    const char *point;
} dying;

static inline int die_at(void *arg, dbk_engine *engine, const char *point, dbk_slice id)
{
    dying *d = arg;
    (void)engine, (void)id;
    return strcmp(point, d->point) == 0 && d->left-- == 0;
}

#endif
