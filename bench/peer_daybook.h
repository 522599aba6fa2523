/* What both halves of peer_daybook share. Each has a copy of the harness's common.h, whose state is static. */
#ifndef DBK_BENCH_PEER_DAYBOOK_H
#define DBK_BENCH_PEER_DAYBOOK_H

#include <common.h> /* of the harness, not of this folder */

#include "store/store.h"

/* The works D, E and F, with arguments as main has them. */
void peer_read(int argc, char **argv);

static inline void must(dbk_result result, const dbk_error *err)
{
    if (result != DBK_OK) die("%s", err->text);
}

static inline dbk_log *log_at(const char *dir, bool create, bool read_only)
{
    static dbk_dir *folder; /* lives as long as the log: as long as the process */
    dbk_log_options options = {.read_only = read_only};
    dbk_error err = {0};
    dbk_log *log = NULL;
    must(dbk_io_open_dir(dbk_port_system(), NULL, dir, DBK_OPEN_DIRECTORY, &folder, &err), &err);
    if (create) must(dbk_log_create(dbk_port_system(), folder, &options, &err), &err);
    else must(dbk_log_identify(dbk_port_system(), folder, options.store_id, options.lineage, &err), &err);
    must(dbk_log_open(dbk_port_system(), folder, &options, &log, &err), &err);
    return log;
}

#endif
