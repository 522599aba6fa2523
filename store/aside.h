/* Internal to store/: what stands where Daybook keeps a cache and is not of its making (a link, a fifo, a file in place
 * of a folder) is not opened and not deleted: it gets another name beside the old one, and the cache is made anew. The
 * new names are told by `stats`, `verify` and `doctor` until somebody takes them away. One thread at a time uses a folder. */
#ifndef DBK_STORE_ASIDE_H
#define DBK_STORE_ASIDE_H

#include "store/engine.h"

enum { DBK_ASIDE_ANYTHING = 0 };
/* Renames `name` to `<name>.aside-<n>`, durably, unless it is of that kind (DBK_IS_FILE, DBK_IS_DIRECTORY) or there is
 * nothing. `below` stands in texts; `notes` is the log's folder, whose recovery.ndjson tells of it (NULL: nobody). */
dbk_result dbk_aside_put(const dbk_port *port, dbk_dir *dir, const char *below, const char *name, int kind,
                         dbk_dir *notes, dbk_error *err) DBK_MUST_USE;
bool dbk_aside_is(const char *name); /* a name that was given so */
/* There is something of that kind; false also where it cannot be looked at. */
bool dbk_aside_is_kind(const dbk_port *port, dbk_dir *dir, const char *name, int kind);

#endif
