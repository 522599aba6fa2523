/* Internal to store/: the ladder of images (images.c; semantics.md §7, docs/decisions/0019 and 0032). */
#ifndef DBK_STORE_IMAGES_H
#define DBK_STORE_IMAGES_H

#include "store/replay.h"

dbk_result dbk_images_new(dbk_engine *engine, dbk_error *err) DBK_MUST_USE; /* engine->images */
void dbk_images_free(dbk_engine *engine); /* ends the thread; the files stay; accepts an engine without */
/* Unpacks the nearest image that serves the past to `path` (which must not exist). *position 0: none does. */
dbk_result dbk_images_start(dbk_engine *engine, const dbk_past *past, const char *path, uint64_t *position,
                            dbk_error *err) DBK_MUST_USE;
/* A past of the positions 1 … P that `entries` were folded for becomes a rung, if one is missed at its state, by the
 * thread where there is one; not if these are few. A failure costs time later, no truth: it is not told. */
void dbk_images_after_fold(dbk_engine *engine, const char *model_path, const dbk_model_state *state, uint64_t entries);
/* By the decider behind a commit: the thread makes a rung when it is time. */
void dbk_images_after_commit(dbk_engine *engine, const dbk_model *model);
/* None serves any more: another definition. */
void dbk_images_clear(dbk_engine *engine);

#endif
