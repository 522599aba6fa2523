/* Internal to store/: points at which a test stops the engine; feed messages of a switch. */
#ifndef DBK_STORE_SWITCH_H
#define DBK_STORE_SWITCH_H

#include "store/engine.h"

/* Calls the hook; true: the process "dies" here and the engine is dead. */
bool dbk_engine_stops_at(dbk_engine *engine, const char *point);
/* publish.c: tells subscribers of a new generation: a head message, on table NULL. The turn is held. */
void dbk_engine_publish_head(dbk_engine *engine);

#endif
