/* Three calls of the system that only the bus needs: whose process this is, and where its user's
 * runtime folder is. */
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bus/internal.h"

uint32_t dbk_platform_user(void)
{
    return (uint32_t)geteuid();
}

const char *dbk_platform_environment(const char *name)
{
    const char *value = getenv(name);
    return value && value[0] ? value : NULL;
}

uint32_t dbk_platform_umask(uint32_t mask)
{
    return (uint32_t)umask((mode_t)mask);
}
