/* For the tests of base/: a temporary directory, and ports whose memory runs out on demand. */
#ifndef DBK_TEST_BASE_FIXTURE_H
#define DBK_TEST_BASE_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/base.h"

/* The system's port, but allocation number `fail_at` (from 1) and all after it fail. */
typedef struct thrifty_port {
    dbk_port port;
    size_t calls;
    size_t fail_at;
    bool once;   /* that one call fails; else all from there on */
    size_t held; /* allocations not given back */
} thrifty_port;

static inline bool thrifty_fails(thrifty_port *self)
{
    self->calls++;
    return self->once ? self->calls == self->fail_at : self->calls >= self->fail_at;
}

static inline void *thrifty_alloc(void *ctx, size_t size)
{
    thrifty_port *self = ctx;

    if (thrifty_fails(self)) return NULL;
    self->held++;
    return dbk_port_system()->alloc(NULL, size);
}

static inline void *thrifty_resize(void *ctx, void *memory, size_t size)
{
    thrifty_port *self = ctx;

    if (thrifty_fails(self)) return NULL;
    self->held += memory == NULL;
    return dbk_port_system()->resize(NULL, memory, size);
}

static inline void thrifty_free(void *ctx, void *memory)
{
    ((thrifty_port *)ctx)->held -= memory != NULL;
    dbk_port_system()->free(NULL, memory);
}

static inline void thrifty_init(thrifty_port *self, size_t fail_at)
{
    *self = (thrifty_port){.port = *dbk_port_system(), .fail_at = fail_at};
    self->port.ctx = self;
    self->port.alloc = thrifty_alloc;
    self->port.resize = thrifty_resize;
    self->port.free = thrifty_free;
}

static inline char *temporary_dir(void)
{
    const char *parent = getenv("TMPDIR");
    char path[512];

    (void)snprintf(path, sizeof(path), "%s/dbk-base-XXXXXX", parent ? parent : "/tmp");
    assert_non_null(mkdtemp(path));
    return strdup(path);
}

static inline int remove_one(const char *path, const struct stat *info, int kind, struct FTW *at)
{
    (void)info, (void)kind, (void)at;
    return remove(path);
}

static inline void remove_temporary_dir(char *path)
{
    assert_int_equal(nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS), 0);
    free(path);
}

#endif
