/* Internal to store/: JSON files beside the settings. */
#ifndef DBK_STORE_MIRROR_H
#define DBK_STORE_MIRROR_H

#include "store/engine.h"

dbk_result dbk_mirrors_start(dbk_engine *engine, dbk_error *err) DBK_MUST_USE; /* nothing where no namespace has one */
void dbk_mirrors_stop(dbk_engine *engine);                                     /* before the queue goes */

#endif
