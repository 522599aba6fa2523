/* Linked over the program's port: the n-th allocation that asks it for memory fails, n in $DAYBOOK_FAIL_ALLOC. How many
 * were asked for is written to the file that $DAYBOOK_ALLOC_COUNT names. */
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/port.h"

const dbk_port *__real_dbk_port_system(void);
const dbk_port *__wrap_dbk_port_system(void);

static dbk_port port;
static _Atomic long asked;
static long fail_at;

static bool falls(void)
{
    return ++asked == fail_at;
}

static void *short_alloc(void *ctx, size_t size)
{
    (void)ctx;
    return falls() ? NULL : __real_dbk_port_system()->alloc(NULL, size);
}

static void *short_resize(void *ctx, void *memory, size_t size)
{
    (void)ctx;
    return falls() ? NULL : __real_dbk_port_system()->resize(NULL, memory, size);
}

static void tell(void)
{
    const char *path = getenv("DAYBOOK_ALLOC_COUNT");
    FILE *file = path ? fopen(path, "w") : NULL;
    if (!file) return;
    fprintf(file, "%ld", (long)asked);
    (void)fclose(file);
}

__attribute__((constructor)) static void begin(void)
{
    const char *at = getenv("DAYBOOK_FAIL_ALLOC");
    fail_at = at ? strtol(at, NULL, 10) : 0;
    port = *__real_dbk_port_system();
    port.alloc = short_alloc;
    port.resize = short_resize;
    (void)atexit(tell);
}

const dbk_port *__wrap_dbk_port_system(void)
{
    return &port;
}
