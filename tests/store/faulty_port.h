/* A port whose n-th call that reaches the disk fails, or whose n-th allocation does; once or from then on. */
#ifndef DBK_TEST_STORE_FAULTY_PORT_H
#define DBK_TEST_STORE_FAULTY_PORT_H

#include "tests/store/engine_fixture.h"

#include <errno.h>

/* The log's own thread calls too. */
typedef struct faulty_port {
    dbk_port port;
    _Atomic size_t calls, fail_at; /* of the disk, from 1; 0: none fails */
    _Atomic size_t allocs, fail_alloc_at;
    _Atomic bool for_ever;
    _Atomic int error;     /* a positive errno */
    _Atomic size_t held;   /* allocations not given back */
    _Atomic size_t opened; /* files and folders not closed */
    _Atomic bool writes_only, syncs_only;
} faulty_port;

static inline bool falls_on(_Atomic size_t *count, size_t at, bool for_ever)
{
    if (at == 0) return false;
    size_t now = ++*count;
    return now == at || (for_ever && now > at);
}

static inline int disk(void *ctx)
{
    faulty_port *self = ctx;
    return !self->writes_only && !self->syncs_only && falls_on(&self->calls, self->fail_at, self->for_ever)
               ? -self->error
               : 0;
}

static inline int disk_write(void *ctx)
{
    faulty_port *self = ctx;
    return !self->syncs_only && falls_on(&self->calls, self->fail_at, self->for_ever) ? -self->error : 0;
}

static inline int disk_sync(void *ctx)
{
    faulty_port *self = ctx;
    return !self->writes_only && falls_on(&self->calls, self->fail_at, self->for_ever) ? -self->error : 0;
}

#define REAL dbk_port_system()
#define FAILS_OR(check, call)                                                                                          \
    int failed = check(ctx);                                                                                           \
    return failed ? failed : (call)

static inline void *faulty_alloc(void *ctx, size_t size)
{
    faulty_port *self = ctx;
    if (falls_on(&self->allocs, self->fail_alloc_at, self->for_ever)) return NULL;
    self->held++;
    return REAL->alloc(NULL, size);
}

static inline void *faulty_resize(void *ctx, void *memory, size_t size)
{
    faulty_port *self = ctx;
    if (falls_on(&self->allocs, self->fail_alloc_at, self->for_ever)) return NULL;
    self->held += memory == NULL;
    return REAL->resize(NULL, memory, size);
}

static inline void *faulty_alloc_aligned(void *ctx, size_t alignment, size_t size)
{
    faulty_port *self = ctx;
    if (falls_on(&self->allocs, self->fail_alloc_at, self->for_ever)) return NULL;
    self->held++;
    return REAL->alloc_aligned(NULL, alignment, size);
}

static inline void faulty_free(void *ctx, void *memory)
{
    ((faulty_port *)ctx)->held -= memory != NULL;
    REAL->free(NULL, memory);
}

static inline void faulty_free_aligned(void *ctx, void *memory)
{
    ((faulty_port *)ctx)->held -= memory != NULL;
    REAL->free_aligned(NULL, memory);
}

static inline dbk_mutex *faulty_mutex_new(void *ctx)
{
    faulty_port *self = ctx;
    return falls_on(&self->allocs, self->fail_alloc_at, self->for_ever) ? NULL : REAL->mutex_new(NULL);
}

static inline dbk_cond *faulty_cond_new(void *ctx)
{
    faulty_port *self = ctx;
    return falls_on(&self->allocs, self->fail_alloc_at, self->for_ever) ? NULL : REAL->cond_new(NULL);
}

static inline int faulty_thread_start(void *ctx, const char *name, void (*run)(void *), void *arg, dbk_thread **out)
{
    faulty_port *self = ctx;
    if (falls_on(&self->allocs, self->fail_alloc_at, self->for_ever)) return -EAGAIN;
    return REAL->thread_start(NULL, name, run, arg, out);
}

static inline int faulty_random(void *ctx, void *out, size_t size)
{
    FAILS_OR(disk, REAL->random(NULL, out, size));
}
static inline int faulty_sync_dir(void *ctx, dbk_dir *dir)
{
    FAILS_OR(disk_sync, REAL->sync_dir(NULL, dir));
}
static inline int faulty_list(void *ctx, dbk_dir *dir, dbk_list_fn each, void *arg)
{
    FAILS_OR(disk, REAL->list(NULL, dir, each, arg));
}
static inline int faulty_identify(void *ctx, dbk_dir *dir, const char *name, dbk_identity *out)
{
    FAILS_OR(disk, REAL->identify(NULL, dir, name, out));
}
static inline int faulty_make_dir(void *ctx, dbk_dir *dir, const char *name, uint32_t mode)
{
    FAILS_OR(disk, REAL->make_dir(NULL, dir, name, mode));
}
static inline int faulty_remove_dir(void *ctx, dbk_dir *dir, const char *name)
{
    FAILS_OR(disk, REAL->remove_dir(NULL, dir, name));
}
static inline int faulty_rename(void *ctx, dbk_dir *a, const char *from, dbk_dir *b, const char *to)
{
    FAILS_OR(disk, REAL->rename(NULL, a, from, b, to));
}
static inline int faulty_unlink(void *ctx, dbk_dir *dir, const char *name)
{
    FAILS_OR(disk, REAL->unlink(NULL, dir, name));
}
static inline int faulty_truncate(void *ctx, dbk_file *file, uint64_t size)
{
    FAILS_OR(disk, REAL->truncate(NULL, file, size));
}
static inline int faulty_allocate(void *ctx, dbk_file *file, uint64_t offset, uint64_t size)
{
    FAILS_OR(disk_write, REAL->allocate(NULL, file, offset, size));
}
static inline int faulty_sync_file(void *ctx, dbk_file *file)
{
    FAILS_OR(disk_sync, REAL->sync_file(NULL, file));
}

static inline int faulty_open_dir(void *ctx, dbk_dir *dir, const char *name, int flags, dbk_dir **out)
{
    int rc = disk(ctx);
    if (rc == 0) rc = REAL->open_dir(NULL, dir, name, flags, out);
    ((faulty_port *)ctx)->opened += rc == 0;
    return rc;
}

static inline int faulty_open_file(void *ctx, dbk_dir *dir, const char *name, int flags, uint32_t mode, dbk_file **out)
{
    int rc = disk(ctx);
    if (rc == 0) rc = REAL->open_file(NULL, dir, name, flags, mode, out);
    ((faulty_port *)ctx)->opened += rc == 0;
    return rc;
}

static inline void faulty_close_dir(void *ctx, dbk_dir *dir)
{
    ((faulty_port *)ctx)->opened--;
    REAL->close_dir(NULL, dir);
}

static inline void faulty_close_file(void *ctx, dbk_file *file)
{
    ((faulty_port *)ctx)->opened--;
    REAL->close_file(NULL, file);
}

static inline int64_t faulty_pread(void *ctx, dbk_file *file, void *out, size_t size, uint64_t offset)
{
    int failed = disk(ctx);
    return failed ? failed : REAL->pread(NULL, file, out, size, offset);
}

static inline int64_t faulty_pwrite(void *ctx, dbk_file *file, const void *data, size_t size, uint64_t offset)
{
    int failed = disk_write(ctx);
    return failed ? failed : REAL->pwrite(NULL, file, data, size, offset);
}

#undef REAL
#undef FAILS_OR

static inline void faulty_init(faulty_port *self)
{
    *self = (faulty_port){.port = *dbk_port_system(), .error = EIO};
    dbk_port *port = &self->port;
    port->ctx = self;
    port->alloc = faulty_alloc;
    port->resize = faulty_resize;
    port->alloc_aligned = faulty_alloc_aligned;
    port->free = faulty_free;
    port->free_aligned = faulty_free_aligned;
    port->mutex_new = faulty_mutex_new;
    port->cond_new = faulty_cond_new;
    port->thread_start = faulty_thread_start;
    port->random = faulty_random;
    port->open_dir = faulty_open_dir;
    port->sync_dir = faulty_sync_dir;
    port->list = faulty_list;
    port->identify = faulty_identify;
    port->make_dir = faulty_make_dir;
    port->remove_dir = faulty_remove_dir;
    port->rename = faulty_rename;
    port->unlink = faulty_unlink;
    port->open_file = faulty_open_file;
    port->close_dir = faulty_close_dir;
    port->close_file = faulty_close_file;
    port->truncate = faulty_truncate;
    port->allocate = faulty_allocate;
    port->sync_file = faulty_sync_file;
    port->pread = faulty_pread;
    port->pwrite = faulty_pwrite;
}

/* Nothing fails any more; the counters begin anew. */
static inline void faulty_calm(faulty_port *self)
{
    self->calls = self->fail_at = self->allocs = self->fail_alloc_at = 0;
    self->for_ever = self->writes_only = self->syncs_only = false;
}

#endif
