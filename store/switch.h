/* Internal to store/: points at which a test stops the engine; feed messages of a switch. */
#ifndef DBK_STORE_SWITCH_H
#define DBK_STORE_SWITCH_H

#include "store/engine.h"

/* Calls the hook; true: the process "dies" here and the engine is dead. */
bool dbk_engine_stops_at(dbk_engine *engine, const char *point);
/* As dbk_engine_catch_up, but a shadow is not built: *shadow says that it takes one, and nothing was done. */
dbk_result dbk_engine_try_catch_up(dbk_engine *engine, bool *shadow, dbk_error *err) DBK_MUST_USE;
/* Brings a shadow near the log's end while commands go on, so that what is left for the turn is short. */
dbk_result dbk_engine_approach(dbk_engine *engine, dbk_model *shadow, dbk_error *err) DBK_MUST_USE;
/* Around an adoption, the turn is held: the folder of the model that was is not removed, which takes as long as the
 * file is large, but named to whoever removes it when the turn is over (dbk_engine_remove_superseded). */
void dbk_engine_keep_superseded(dbk_engine *engine);
char *dbk_engine_take_superseded(dbk_engine *engine);              /* the path of its file, NULL: none */
void dbk_engine_remove_superseded(dbk_engine *engine, char *path); /* takes it */
/* publish.c: tells subscribers of a new generation: a head message, on table NULL. The turn is held. */
void dbk_engine_publish_head(dbk_engine *engine);

#endif
