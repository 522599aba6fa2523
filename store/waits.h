/* Internal to store/: requests for the log that wait for what is to come, {"do":"log","from":P,"wait_ms":N}.
 *
 * They wait on a thread of their own, which is asleep until an append tells it, so that neither a turn nor
 * another read waits for them. Calls from any thread. */
#ifndef DBK_STORE_WAITS_H
#define DBK_STORE_WAITS_H

#include "store/engine.h"

enum { DBK_WAIT_MAX_MS = 60000, DBK_WAITS_MAX = 1024 };

typedef struct dbk_waiting { /* a member of what waits */
    struct dbk_waiting *next;
    void *owner;
    const bool *cancel; /* may be NULL; set by dbk_waits_cancel: it waits no longer */
    uint64_t from;
    int64_t until_ns;
} dbk_waiting;

/* Answers the owner; called without a lock. */
typedef void (*dbk_waited_fn)(void *arg, void *owner);

/* Its thread begins with the first that waits. DBK_NO_MEMORY. The caller's until free. */
dbk_result dbk_waits_new(dbk_engine *engine, dbk_waited_fn answer, void *arg, dbk_waits **out,
                         dbk_error *err) DBK_MUST_USE;
/* DBK_OK: it waits, and `answer` is called once for its owner. DBK_NONE: there is nothing to wait for, the
 * caller answers. DBK_BUSY: too many wait. */
dbk_result dbk_waits_park(dbk_waits *waits, dbk_slice json, dbk_waiting *waiting, dbk_error *err) DBK_MUST_USE;
void dbk_waits_cancel(dbk_waits *waits, bool *cancel); /* sets it, and answers who waits with it */
bool dbk_waits_is_cancelled(dbk_waits *waits, const bool *cancel);
void dbk_waits_end(dbk_waits *waits);  /* answers all; none waits from now on */
void dbk_waits_free(dbk_waits *waits); /* after that; accepts NULL */

/* dbk_log_append to the engine's log; whoever waits for it is told. */
dbk_result dbk_engine_append(dbk_engine *engine, const dbk_slice *origins, size_t count, int64_t now_ms,
                             dbk_error *err) DBK_MUST_USE;

#endif
