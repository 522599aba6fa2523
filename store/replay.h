/* Internal to store/: moments of the past (semantics.md §7). */
#ifndef DBK_STORE_REPLAY_H
#define DBK_STORE_REPLAY_H

#include "store/engine.h"

/* What a moment means in the log as it is now. */
typedef struct dbk_past {
    uint64_t position;     /* the entries up to it … */
    int64_t order_time_ms; /* … of these, those that happened by then; 0: all */
    bool passing;          /* its file goes with the process, and need not be durable */
    bool bounded, through; /* … of these, those that sort below `bound`, or up to it */
    uint8_t bound[DBK_ORDER_KEY_SIZE];
    const dbk_definition *model; /* an async one; NULL: the inline model. Where it stops, it stands as it did there */
} dbk_past;
/* `at` NULL: now. DBK_NOT_FOUND: a position beyond the end. */
dbk_result dbk_past_of(dbk_engine *engine, const dbk_moment *at, dbk_past *past, dbk_error *err) DBK_MUST_USE;
/* Of these, what sorts below the entry at the position, or with `through` up to it. */
void dbk_past_bound(dbk_engine *engine, const dbk_entry *entry, uint64_t position, bool through, dbk_past *past);
bool dbk_past_wants(const dbk_past *past, uint64_t position, int64_t received_ms,
                    const uint8_t key[DBK_ORDER_KEY_SIZE]);
/* The fold of a past in a file of its own, for the caller alone; the trail (may be NULL) hears of it. */
typedef struct dbk_past_model {
    dbk_model *model;
    char *path;
} dbk_past_model;
dbk_result dbk_past_open(dbk_engine *engine, const dbk_past *past, const dbk_trail *trail, dbk_past_model *out,
                         dbk_error *err) DBK_MUST_USE;
/* The trail of one row of a table that stands alone, without a fold of the rest. */
dbk_result dbk_past_alone(dbk_engine *engine, const dbk_alone *alone, const dbk_trail *trail,
                          dbk_error *err) DBK_MUST_USE;
void dbk_past_discard(dbk_engine *engine, dbk_past_model *past);   /* with its file; accepts a zeroed one */
void dbk_past_remove_file(const dbk_port *port, const char *path); /* with what SQLite put beside it; best effort */

/* The files of the last few moments that were asked for. */
typedef struct dbk_pasts dbk_pasts;
/* A reader on the moment's file, for the caller alone until dbk_pasts_leave, which comes in any case. */
dbk_result dbk_pasts_enter(dbk_engine *engine, const dbk_definition *model, const dbk_moment *at,
                           dbk_model_reader **reader, dbk_model_state *state, dbk_error *err) DBK_MUST_USE;
void dbk_pasts_leave(dbk_engine *engine);
void dbk_pasts_forget(dbk_engine *engine); /* all files: they are of another definition */
void dbk_pasts_free(dbk_engine *engine);   /* with their files; accepts an engine that has none */

#endif
