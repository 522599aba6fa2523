/* Internal to store/: which events of the app that an undo names were taken back, or said again, by undos before
 * (undone.c). */
#ifndef DBK_STORE_UNDONE_H
#define DBK_STORE_UNDONE_H

#include "store/engine.h"

typedef struct dbk_undone {
    dbk_engine *engine;
    dbk_undo *undo;
    dbk_buffer links; /* dbk_undone_link; the first `roots` begin the chains */
    size_t roots;
    dbk_buffer undos; /* dbk_undone_undo: what was read, */
    dbk_buffer bases; /* and dbk_entry_id: whose events it took back */
    dbk_buffer ways;  /* dbk_undone_way: which chains an undone event may be of */
    dbk_buffer origin;
    uint64_t next; /* position to read on from; 0: nothing is asked */
} dbk_undone;

void dbk_undone_init(dbk_undone *undone, dbk_engine *engine);
void dbk_undone_release(dbk_undone *undone);
/* All that is undone was added to `undo`: finds where its events come from. */
dbk_result dbk_undone_begin(dbk_undone *undone, dbk_undo *undo, dbk_error *err) DBK_MUST_USE;
/* Reads the log on to its end, for undos of them. Any number of times. */
dbk_result dbk_undone_read(dbk_undone *undone, dbk_error *err) DBK_MUST_USE;
/* Tells the undo which events stay. `model`: folded to the log's end. */
dbk_result dbk_undone_tell(dbk_undone *undone, dbk_model *model, dbk_error *err) DBK_MUST_USE;

#endif
