/* Internal to store/: whether this folder is the one that was written before, or a copy of it
 * (docs/decisions/0011-copies.md). */
#ifndef DBK_STORE_PLACE_H
#define DBK_STORE_PLACE_H

#include "store/engine.h"

/* The log is open for writing, nothing was written to it. In a copy: a new incarnation and timeline, durable
 * in daybook.json and noted in recovery.ndjson. */
dbk_result dbk_place_check(dbk_engine *engine, dbk_error *err) DBK_MUST_USE;
/* A writer ends: what was copied until now is told from what it leaves. Best effort. */
void dbk_place_leave(dbk_engine *engine);
/* A new store: it and its copies are told apart before it is opened for the first time. */
void dbk_place_begin(const dbk_port *port, dbk_dir *store);

#endif
