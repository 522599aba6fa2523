/* Internal to store/: the queue before the decider. Calls from any thread. */
#ifndef DBK_STORE_QUEUE_H
#define DBK_STORE_QUEUE_H

#include "store/engine.h"

/* With the threads that decide and answer, unless the engine has none, and engine->waits. DBK_NO_MEMORY, or what the
 * system says of a thread. The caller's until free. */
dbk_result dbk_queue_new(dbk_engine *engine, dbk_queue **out, dbk_error *err) DBK_MUST_USE;
void dbk_queue_free(dbk_queue *queue); /* answers what waits, then ends the threads; accepts NULL */
/* The calls of daybook.h are made of these. Callbacks come from whatever thread decides or answers, also before the call
 * returns, those of an early stage with the turn held; after another result than DBK_OK they do not come. Receipts of
 * `call` are of the engine's port, and the caller's. DBK_BUSY, DBK_TOO_BIG as there; DBK_UNAVAILABLE: the store closes. */
dbk_result dbk_queue_send(dbk_queue *queue, const char *json, size_t size, dbk_done_fn done, void *arg,
                          dbk_error *err) DBK_MUST_USE;
/* Of a request that waits for the log: answered at once when *cancel becomes true, by dbk_waits_cancel. What only
 * asks and was not read by then is refused: DBK_UNAVAILABLE. What is to be done is done all the same. */
dbk_result dbk_queue_send_until(dbk_queue *queue, const char *json, size_t size, const bool *cancel, dbk_done_fn done,
                                void *arg, dbk_error *err) DBK_MUST_USE;
dbk_result dbk_queue_send_staged(dbk_queue *queue, const char *json, size_t size, dbk_stage_fn each, void *arg,
                                 dbk_error *err) DBK_MUST_USE;
/* A request that waits for the log is answered at once when *cancel becomes true, by dbk_waits_cancel. */
dbk_result dbk_queue_call_until(dbk_queue *queue, const char *json, size_t size, const bool *cancel, dbk_text *receipt,
                                dbk_error *err) DBK_MUST_USE;
dbk_result dbk_queue_call(dbk_queue *queue, const char *json, size_t size, dbk_text *receipt,
                          dbk_error *err) DBK_MUST_USE;

#endif
