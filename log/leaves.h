/* The leaves of a large batch, hashed by several threads (internal). One thread at a time asks. */
#ifndef DBK_LOG_LEAVES_H
#define DBK_LOG_LEAVES_H

#include "log/entry.h"

enum { DBK_LEAVES_WORTH_BYTES = 48 * 1024 };
typedef struct dbk_leaves dbk_leaves;

dbk_leaves *dbk_leaves_new(const dbk_port *port); /* starts no thread yet; NULL: out of memory */
void dbk_leaves_free(dbk_leaves *leaves);         /* accepts NULL */

/* Begins to hash the entries, which come behind the first `behind` ones of the log; from here on they must
 * stay as they are until dbk_leaves_add or dbk_leaves_drop. False: it is not worth it, or there is only one
 * thread or no memory; nothing is under way then. */
bool dbk_leaves_begin(dbk_leaves *leaves, const dbk_slice *origins, size_t count, uint64_t bytes, uint64_t behind);
/* Joins in until all are hashed, and adds them to the range, whose count is `behind`. */
void dbk_leaves_add(dbk_leaves *leaves, dbk_range *range);
void dbk_leaves_drop(dbk_leaves *leaves); /* waits for the others alone: the entries are not wanted any more */

#endif
