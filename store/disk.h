/* Internal to store/: room on the disk (docs/decisions/0012-disk-guard.md). The caller holds engine->turn
 * where nothing else is said. */
#ifndef DBK_STORE_DISK_H
#define DBK_STORE_DISK_H

#include "store/engine.h"

/* Asks the file system where it is time to: once a second, after a quarter of the room was written, at
 * each turn while there is too little. Makes the reserve again where there is room. */
void dbk_disk_look(dbk_engine *engine);
/* DBK_NO_SPACE: how much is free and how much is needed. Any thread. */
dbk_result dbk_disk_refuse(dbk_engine *engine, dbk_error *err) DBK_MUST_USE;
/* DBK_READ_ONLY: it was opened so. DBK_NO_SPACE: it waits for room. */
dbk_result dbk_engine_may_write(dbk_engine *engine, dbk_error *err) DBK_MUST_USE;
/* Gives a failure for want of room its hint, unless it has one. Any thread. */
void dbk_disk_hint(const dbk_engine *engine, dbk_error *err);
/* Gives the reserve's room to whatever has to be finished; false: there was none. */
bool dbk_disk_free_reserve(dbk_engine *engine);
/* Takes it back, where there is room for it. */
void dbk_disk_take_reserve(dbk_engine *engine);
/* ,"disk":{…} */
void dbk_disk_put(const dbk_engine *engine, dbk_buffer *out);

#endif
