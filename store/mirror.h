/* Internal to store/: JSON files beside the settings. */
#ifndef DBK_STORE_MIRROR_H
#define DBK_STORE_MIRROR_H

#include "store/engine.h"

/* The last step of opening: one look at each, and the thread; nothing where no namespace has a mirror, and without
 * threads. A file that cannot be read or written is no failure: it is looked at again, and status tells of it.
 * DBK_NO_MEMORY, or what the system says of a thread. */
dbk_result dbk_mirrors_start(dbk_engine *engine, dbk_error *err) DBK_MUST_USE;
/* Behind an upgrade, the turn is held: the thread, where the new definition has mirrors and none runs. */
dbk_result dbk_mirrors_follow(dbk_engine *engine, dbk_error *err) DBK_MUST_USE;
/* The last look, then none any more. Before the queue goes, which carries the edits; the turn is not held. */
void dbk_mirrors_stop(dbk_engine *engine);

#endif
