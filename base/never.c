#include "base/never.h"

#ifndef DBK_NEVER_IS_CONSTANT

#include <stdio.h>
#include <stdlib.h>

void dbk_never_came(const char *condition, const char *file, int line)
{
    (void)fprintf(stderr, "%s:%d: this was never to come: %s\n", file, line, condition);
    abort();
}

#endif
