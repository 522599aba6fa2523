/* Internal to store/: points at which a test stops the engine; feed messages of a switch. */
#ifndef DBK_STORE_SWITCH_H
#define DBK_STORE_SWITCH_H

#include "store/engine.h"

/* Calls the hook; true: the process "dies" here and the engine is dead. */
bool dbk_engine_stops_at(dbk_engine *engine, const char *point);
/* As dbk_engine_catch_up, but a shadow is not built: *shadow says that it takes one, and nothing was done. */
dbk_result dbk_engine_try_catch_up(dbk_engine *engine, bool *shadow, dbk_error *err) DBK_MUST_USE;
/* A shadow becomes the model of a new generation, with all that takes long outside the turn; engine->switch_lock is
 * held all the while.
 *   1. it begins a journal of its own, and is durable */
dbk_result dbk_engine_begin_anew(dbk_model *shadow, dbk_error *err) DBK_MUST_USE;
/*   2. the generation is in daybook.json, the pointer in a file of another name */
dbk_result dbk_engine_ready(dbk_engine *engine, const dbk_model *shadow, dbk_error *err) DBK_MUST_USE;
/*   3. near the log's end, so that what is left for the turn is short */
dbk_result dbk_engine_approach(dbk_engine *engine, dbk_model *shadow, dbk_error *err) DBK_MUST_USE;
/*   4. the turn is held, engine->keeps_superseded set, the shadow at the log's end. *adopted: it is the engine's now */
dbk_result dbk_engine_adopt(dbk_engine *engine, dbk_model *shadow, bool *adopted, dbk_error *err) DBK_MUST_USE;
/*   5. the pointer is durable, and the folder of the model of before removed; or what was made ready is */
dbk_result dbk_engine_settle(dbk_engine *engine, bool adopted, dbk_error *err) DBK_MUST_USE;
/* publish.c: tells subscribers of a new generation: a head message, on table NULL. The turn is held. */
void dbk_engine_publish_head(dbk_engine *engine);

#endif
