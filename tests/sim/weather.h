/* A fault that lasts for a while: what fails, how often, and with what. */
#ifndef DBK_TEST_SIM_WEATHER_H
#define DBK_TEST_SIM_WEATHER_H

#include "base/simdisk.h"

typedef struct weather {
    const char *name;
    uint32_t kinds;
    uint64_t times; /* 0: from there on */
    dbk_simdisk_action action;
    int error;
} weather;

/* Behind `skip` calls of its kinds. */
static inline dbk_simdisk_fault weather_fault(const weather *w, uint64_t skip)
{
    return (dbk_simdisk_fault){
        .kinds = w->kinds, .skip = skip, .times = w->times, .action = w->action, .error = w->error, .bytes = 100};
}

#endif
