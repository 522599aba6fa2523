/* Internal to store/: the part of a shadow that is built before the entries it is taken for are in the log. */
#ifndef DBK_STORE_LATE_BASE_H
#define DBK_STORE_LATE_BASE_H

#include "store/engine.h"

typedef struct dbk_base {
    dbk_model *model; /* NULL: none */
    dbk_ahead *ahead; /* what comes is in it already; NULL: it is not */
    dbk_buffer path;
    bool staged; /* the pointer to it only has to be renamed */
} dbk_base;

/* Beside the turns, engine->switch_lock is held: a shadow of the log up to a position such that all behind it, and all
 * that comes (`count` of `origins`, from the key on), sorts above; and, where that can be, with the rest of the log and
 * what comes. Durable when it returns. DBK_NONE: it would spare too little. */
dbk_result dbk_base_make(dbk_engine *engine, const uint8_t key[DBK_ORDER_KEY_SIZE], const dbk_slice *origins,
                         size_t count, dbk_base *base, dbk_error *err) DBK_MUST_USE;
void dbk_base_drop(dbk_engine *engine, dbk_base *base); /* with its folder; accepts one that has none */

#endif
