/* Internal to store/: checkpoints of the model's WAL. */
#ifndef DBK_STORE_CHECKPOINT_H
#define DBK_STORE_CHECKPOINT_H

#include "store/engine.h"

/* With its thread, unless the engine has none. DBK_NO_MEMORY, or what the system says of a thread. The caller's until
 * free. */
dbk_result dbk_checkpointer_new(dbk_engine *engine, dbk_checkpointer **out, dbk_error *err) DBK_MUST_USE;
void dbk_checkpointer_free(dbk_checkpointer *checkpointer); /* waits for a checkpoint that runs; accepts NULL */

/* The next two by the holder of the turn. No failure is told: a WAL that was not copied is whole, and only grows. */
void dbk_checkpoint_watch(dbk_checkpointer *checkpointer, dbk_model *model); /* a model that begins to serve */
/* What follows a commit: images, async models without threads, then a checkpoint where it is time. Accepts NULL. */
void dbk_checkpoint_after_commit(dbk_checkpointer *checkpointer, dbk_model *model);
/* Makes durable what the file at `path` got by commits, on a connection and on the thread of the caller, as far as nobody
 * else copies it. Accepts NULL. */
void dbk_checkpoint_beside(dbk_checkpointer *checkpointer, const char *path);
/* Who writes much, and can wait, waits a second at most until the thread is through that is near the WAL's end; without
 * the turn, by any thread. Accepts NULL. */
void dbk_checkpoint_await(dbk_checkpointer *checkpointer);

#endif
