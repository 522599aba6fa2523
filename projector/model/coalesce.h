/* Internal to projector/: a file layer of SQLite (a "VFS shim") that coalesces the small writes of the WAL.
 *
 * SQLite writes each frame by two calls, 24 bytes of head and a page. The shim keeps writes that follow each other
 * in a buffer and hands them to the layer below as one. It knows of the WAL what is published (fileformat2.html,
 * section 4; walformat.html, section 2.3) and changes no byte of it. Why no reader can miss a frame:
 *   1. A reader looks for frames in the shared index, up to the last one of the newest commit told there.
 *   2. The index tells of a commit after the call that writes its last page has succeeded.
 *   3. The head of a commit's last frame carries a mark. The page after a marked head is never kept: the buffer goes
 *      down with it before the call returns, and a failure is that call's failure.
 *   4. So what is kept belongs to a transaction that is not committed. Nobody but its own connection looks at it, and
 *      a read of its bytes writes them first.
 *   5. It never outlives the transaction: the write lock is let go after the buffer.
 * A write somewhere else than after the last one goes down at once, after what is kept: the WAL begun anew, a page
 * that a transaction writes again, the heads that are counted again for it, the last of them marked and without page.
 *
 * Of a connection that writes, and with it: made before sqlite3_open_v2, which is given its name, freed after
 * sqlite3_close. Used by the thread that uses the connection. */
#ifndef DBK_PROJECTOR_MODEL_COALESCE_H
#define DBK_PROJECTOR_MODEL_COALESCE_H

#include "base/base.h"

typedef struct dbk_coalescer dbk_coalescer;

/* Over the layer `below` (NULL: SQLite's default). DBK_OK with *out NULL: SQLite has no layer of that name, which it
 * says itself when it is asked to open with it. */
dbk_result dbk_coalescer_new(const dbk_port *port, const char *below, dbk_coalescer **out, dbk_error *err) DBK_MUST_USE;
/* What sqlite3_open_v2 takes; lives as long as the coalescer. */
const char *dbk_coalescer_name(const dbk_coalescer *coalescer);
void dbk_coalescer_free(dbk_coalescer *coalescer); /* accepts NULL */

#endif
