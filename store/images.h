/* Internal to store/: the ladder of images (images.c; semantics.md §7, docs/decisions/0019). */
#ifndef DBK_STORE_IMAGES_H
#define DBK_STORE_IMAGES_H

#include "store/replay.h"

dbk_result dbk_images_new(dbk_engine *engine, dbk_error *err) DBK_MUST_USE; /* engine->images */
void dbk_images_free(dbk_engine *engine); /* ends the thread; the files stay; accepts an engine without */
/* Copies the nearest image that serves the past to `path` (which must not exist). *position 0: none does. */
dbk_result dbk_images_start(dbk_engine *engine, const dbk_past *past, const char *path, uint64_t *position,
                            dbk_error *err) DBK_MUST_USE;
/* Whether `entries` folded behind an image are enough to keep what came of it. */
bool dbk_images_worth(const dbk_engine *engine, uint64_t entries);
/* A model that holds the positions 1 … P and nothing else becomes a rung. A failure costs time later, no
 * truth: it is not told. */
void dbk_images_offer(dbk_engine *engine, const char *model_path);
/* By the decider behind a commit: the thread makes a rung when it is time. */
void dbk_images_after_commit(dbk_engine *engine, const dbk_model *model);
/* None serves any more: another definition. */
void dbk_images_clear(dbk_engine *engine);

#endif
