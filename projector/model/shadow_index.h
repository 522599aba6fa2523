/* Internal to projector/: indexes that a bulk build does not need while it runs.
 *
 * An index is kept where something of the build may read it: a UNIQUE one, one with a column of a foreign
 * key, one that the plan of a projection names (a definition has no triggers). The others change no
 * result, and are made faster at the end, in one sort (semantics.md §8).
 */
#ifndef DBK_PROJECTOR_SHADOW_INDEX_H
#define DBK_PROJECTOR_SHADOW_INDEX_H

#include "projector/model/internal.h"

/* Drops them; `create` (initialised by the caller) receives the SQL that makes them again, each text with
 * its NUL. Outside a transaction. */
dbk_result dbk_indexes_set_aside(dbk_model *model, dbk_buffer *create, dbk_error *err) DBK_MUST_USE;
/* Makes them again, within the transaction that commits the build. DBK_CORRUPT: a text of them is no DDL. */
dbk_result dbk_indexes_put_back(dbk_model *model, dbk_buffer *create, dbk_error *err) DBK_MUST_USE;
/* For a file that goes without them for a while: notes the SQL in it, and takes it out again (none: appends nothing).
 * Outside a transaction. */
dbk_result dbk_indexes_note(dbk_model *model, const dbk_buffer *create, dbk_error *err) DBK_MUST_USE;
dbk_result dbk_indexes_take_note(dbk_model *model, dbk_buffer *create, dbk_error *err) DBK_MUST_USE;

#endif
