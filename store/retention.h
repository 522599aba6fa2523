/* Internal to store/: rules of time (semantics.md §5). */
#ifndef DBK_STORE_RETENTION_H
#define DBK_STORE_RETENTION_H

#include "store/engine.h"

/* Starts the thread that carries the rules out, if the definition has any, or wakes it: the last step of opening, and
 * behind an upgrade, the turn being held. DBK_NO_MEMORY, or what the system says of a thread. */
dbk_result dbk_retention_start(dbk_engine *engine, dbk_error *err) DBK_MUST_USE;
/* The turn is not held. */
void dbk_retention_stop(dbk_engine *engine);

/* ,"retention_failed":[…] of the rules whose last look failed, if any. The turn is held. */
void dbk_retention_put(const dbk_engine *engine, dbk_buffer *out);

#endif
