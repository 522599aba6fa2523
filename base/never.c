#include "base/never.h"

#include <stdio.h>
#include <stdlib.h>

void dbk_never_came(const char *condition, const char *file, int line)
{
    (void)fprintf(stderr, "%s:%d: never came before: %s\n", file, line, condition);
    abort();
}
