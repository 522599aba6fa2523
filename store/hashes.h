/* Internal to store/: the hashes of an array's commands, made beside the turn that decides them. A thread begins at the
 * end of the array, the turn at its beginning; where they meet all are made. Used by the holder of engine->turn. */
#ifndef DBK_STORE_HASHES_H
#define DBK_STORE_HASHES_H

#include "store/turn.h"

enum { DBK_HASHES_WORTH_COMMANDS = 16, DBK_HASHES_WORTH_BYTES = 4096 }; /* for less no thread is woken */

typedef struct dbk_hashes dbk_hashes;
dbk_hashes *dbk_hashes_new(const dbk_port *port); /* NULL: out of memory */
void dbk_hashes_free(dbk_hashes *hashes);         /* accepts NULL; ended before */

/* The array is read by the thread until the end is called. false: nothing was begun (too small, one processor, no
 * memory). `bytes`: of its text. */
bool dbk_hashes_begin(dbk_hashes *hashes, const dbk_json_node *array, size_t bytes);
/* For each command, in order. NULL: the turn makes it by itself. Valid until the next begin. */
const dbk_foreknown *dbk_hashes_take(dbk_hashes *hashes, uint32_t index);
void dbk_hashes_end(dbk_hashes *hashes); /* also without a begin: the array may go */
void dbk_hashes_relax(dbk_hashes *hashes, size_t kept_bytes);

#endif
