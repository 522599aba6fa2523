/* For the tests of faults in whole stores: a store on a simulated disk, and what has to be so whenever it is closed. */
#ifndef DBK_TEST_SIM_FAULT_BENCH_H
#define DBK_TEST_SIM_FAULT_BENCH_H

#include "tests/sim/folds.h"
#include "tests/support/simvfs.h"

#include <stdio.h>
#include <stdlib.h>

typedef struct fault_bench {
    dbk_simdisk *disk;
    simvfs *vfs;
    dbk_definition *definition; /* NULL: stores have their own */
    dbk_engine_options options;
    dbk_engine *engine;
    size_t memory, handles; /* while the store is closed */
    int64_t now_ms;
    char context[120]; /* what is being done, for who reads of a failure */
    dbk_error error;
} fault_bench;

_Noreturn static inline void bench_fail(const fault_bench *s, const char *what)
{
    printf("%s: %s\n  %s\n", s->context, what, s->error.text);
    fflush(stdout);
    _Exit(1);
}

/* An empty disk, and options for stores on it. `name`: of the file layer that SQLite is given, lives on. */
static inline void bench_start(fault_bench *s, const char *name, uint64_t seed)
{
    memset(s, 0, sizeof *s);
    s->disk = dbk_simdisk_new(seed);
    s->vfs = simvfs_register(name, dbk_simdisk_port(s->disk), NULL);
    if (!s->vfs) abort();
    s->options = (dbk_engine_options){.port = dbk_simdisk_port(s->disk),
                                      .no_threads = true,
                                      .given_ids = true,
                                      .ignore_place = true,
                                      .incarnation = 1,
                                      .timeline = "t"};
    memset(s->options.replica, 'a', 16);
    memset(s->options.lineage, 'l', 16);
    s->options.disk.off = true;
    s->options.model.vfs = name;
    s->options.log = (dbk_log_options){.no_background = true, .no_direct = true, .segment_first_bytes = 65536};
}

/* One definition for all stores of the disk. */
static inline void bench_define(fault_bench *s, const char *schema, const char *app)
{
    dbk_source sources[] = {{"schema.sql", dbk_slice_text(schema)}, {"app.json", dbk_slice_text(app)}};
    dbk_findings findings = {0};
    if (dbk_definition_parse(dbk_port_system(), sources, 2, "faults", &s->definition, &findings, &s->error) != DBK_OK)
        bench_fail(s, "no definition");
    dbk_findings_free(&findings);
    s->options.definition = s->definition;
}

static inline void bench_end(fault_bench *s)
{
    dbk_definition_free(s->definition);
    simvfs_unregister(s->vfs);
    dbk_simdisk_free(s->disk);
}

static inline bool bench_open(fault_bench *s, const char *path)
{
    s->engine = NULL;
    return dbk_engine_open(path, &s->options, &s->engine, &s->error) == DBK_OK;
}

static inline void bench_close(fault_bench *s)
{
    dbk_engine_close(s->engine);
    s->engine = NULL;
}

/* Of a closed store: as it is, synced; from now on no more is held while it is closed. */
static inline dbk_simdisk_image *bench_take_image(fault_bench *s)
{
    dbk_simdisk_sync_all(s->disk);
    s->memory = dbk_simdisk_memory_count(s->disk);
    s->handles = dbk_simdisk_handle_count(s->disk);
    return dbk_simdisk_snapshot(s->disk);
}

static inline void bench_check_given_back(const fault_bench *s)
{
    if (dbk_simdisk_memory_count(s->disk) != s->memory) bench_fail(s, "memory is not given back");
    if (dbk_simdisk_handle_count(s->disk) != s->handles) bench_fail(s, "handles are not closed");
}

static inline void bench_check_rows(fault_bench *s)
{
    const char *wrong = wrong_rows(s->engine, s->disk, &s->error);
    if (wrong) bench_fail(s, wrong);
}

#endif
