/* For the tests of the coalesced WAL: a simulated disk, SQLite's layer over it, and the one in test over that. */
#ifndef DBK_TEST_COALESCE_FIXTURE_H
#define DBK_TEST_COALESCE_FIXTURE_H

#include "tests/base/fixture.h"

#include <sqlite3.h>

#include "base/simdisk.h"
#include "projector/model/coalesce.h"
#include "tests/support/simvfs.h"

typedef struct machine {
    dbk_simdisk *disk;
    const dbk_port *port;
    simvfs *vfs;
} machine;

/* A connection that writes, through the layer in test or, plain, without it. */
typedef struct writer {
    dbk_coalescer *coalescer;
    sqlite3 *db;
    int rc; /* of the opening */
} writer;

#define BELOW "below"

void machine_init(machine *m, bool powersafe);
void machine_done(machine *m);
writer writer_open(machine *m, bool plain, const char *settings);
/* keeps: the WAL stays where it is, as if the process had ended. */
void writer_close(writer *w, bool keeps);

int run(sqlite3 *db, const char *format, ...) __attribute__((format(printf, 2, 3))); /* SQLite's code */
int64_t number(sqlite3 *db, const char *sql);                                        /* -1: failed, or no row */
void assert_intact(sqlite3 *db);
uint64_t writes(machine *m); /* calls so far */

#endif
