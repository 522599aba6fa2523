/* Internal to store/: checkpoints of the model's WAL. */
#ifndef DBK_STORE_CHECKPOINT_H
#define DBK_STORE_CHECKPOINT_H

#include "store/engine.h"

dbk_result dbk_checkpointer_new(dbk_engine *engine, dbk_checkpointer **out, dbk_error *err) DBK_MUST_USE;
void dbk_checkpointer_free(dbk_checkpointer *checkpointer);                  /* waits for one that runs; accepts NULL */
void dbk_checkpoint_watch(dbk_checkpointer *checkpointer, dbk_model *model); /* a model that begins to serve */
void dbk_checkpoint_after_commit(dbk_checkpointer *checkpointer, dbk_model *model); /* by the decider */
/* Who writes much, and can wait: until the thread is through that is near the WAL's end. Accepts NULL. */
void dbk_checkpoint_await(dbk_checkpointer *checkpointer);

#endif
