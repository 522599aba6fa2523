/* Internal to store/: which definitions a log was decided under, and the folder app/ (definitions.c). */
#ifndef DBK_STORE_DEFINITIONS_H
#define DBK_STORE_DEFINITIONS_H

#include "store/engine.h"

/* The hashes of this replica's definition entries, oldest first, each once, at its last place. */
typedef struct dbk_definition_list {
    uint8_t (*hashes)[16];
    uint32_t count;
} dbk_definition_list;
dbk_result dbk_definitions_known(dbk_engine *engine, dbk_definition_list *list, dbk_error *err) DBK_MUST_USE;
void dbk_definitions_release(dbk_engine *engine, dbk_definition_list *list);
/* Its place in the list, from 0; -1: not there. */
int dbk_definitions_find(const dbk_definition_list *list, const uint8_t hash[16]);
/* Names all of them but itself as what came before it. */
dbk_result dbk_definitions_inherit(const dbk_definition_list *list, dbk_definition *definition,
                                   dbk_error *err) DBK_MUST_USE;

dbk_result dbk_engine_load_definition(dbk_engine *engine, dbk_error *err) DBK_MUST_USE; /* open.c: of app/ */

/* The sources go to app.new, synced; nothing else changes. */
dbk_result dbk_app_stage(dbk_engine *engine, const dbk_definition *definition, dbk_error *err) DBK_MUST_USE;
/* app.new becomes app, whose sources stay as app.old until that is durable. */
dbk_result dbk_app_switch(dbk_engine *engine, dbk_error *err) DBK_MUST_USE;
dbk_result dbk_app_sync(dbk_engine *engine, dbk_error *err) DBK_MUST_USE; /* makes it so */
void dbk_app_unstage(dbk_engine *engine); /* removes app.new and app.old, if they are there */
/* At open, before app/ is read: a crash between the renames left none. */
dbk_result dbk_app_mend(dbk_engine *engine, dbk_error *err) DBK_MUST_USE;
/* At open, with the log: ends or takes back an upgrade that a crash cut short (*again: app/ is another one now);
 * names what came before the definition. DBK_READ_ONLY: the store was upgraded to a newer one. */
dbk_result dbk_definitions_settle(dbk_engine *engine, bool *again, dbk_error *err) DBK_MUST_USE;

#endif
