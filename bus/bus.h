/* bus: commands in, changes out over nng's ipc streams; the client behind daybook.h's calls (dbk_connect). What goes
 * over the wire is in docs/bus.md.
 *
 * dbk_bus_start and dbk_bus_stop are called by one thread, one behind the other; all else may be called by any in
 * between. Nothing here makes a command durable: receipts are the store's. */
#ifndef DBK_BUS_H
#define DBK_BUS_H

#include "store/store.h"

typedef struct dbk_bus dbk_bus;
typedef struct dbk_bus_options { /* zero = default; borrowed for the call */
    const dbk_port *port;        /* the system's */
    const char *listen;          /* "ipc://PATH" for the commands; changes are at PATH with "-changes" unless it ends in
                              "/commands"; default $XDG_RUNTIME_DIR/daybook/<store id>/{commands,changes} */
    uint32_t head_ms;            /* head message after the last change, 50 */
    uint32_t greeting_ms;        /* a new connection's time to greet, 5,000 */
    uint32_t stalled_ms;         /* a client that takes none of its answers for so long is cut off, 60,000 */
    uint32_t heavy_ms;           /* how long over 2 MiB may wait for a subscriber, 10,000 */
} dbk_bus_options;
/* Serves the engine behind `store` (which outlives the bus) and writes <store>/run.json. The caller holds the
 * store's lock already (an open writer does). *out is the caller's until dbk_bus_stop; the engine's feed goes to the
 * bus until then. DBK_DENIED: the folder of the sockets is not ours alone; DBK_LOCKED: another
 * process serves there; DBK_USAGE: `listen` is no address; DBK_TOO_BIG: it is longer than a socket's path may be;
 * DBK_IO, DBK_NO_MEMORY. After a failure nothing of the bus is left. */
dbk_result dbk_bus_start(dbk_engine *engine, dbk_store *store, const char *store_path, const dbk_bus_options *options,
                         dbk_bus **out, dbk_error *err) DBK_MUST_USE;
const char *dbk_bus_commands_url(const dbk_bus *bus); /* "ipc://…", borrowed from the bus */
const char *dbk_bus_changes_url(const dbk_bus *bus);
/* Removes run.json, answers what is queued, removes the sockets, waits for the threads; accepts NULL. */
void dbk_bus_stop(dbk_bus *bus);
/* The commands url of the daemon that serves the store at `path`, from its run.json (`url` is cleared first).
 * DBK_NONE: none is running (no store, no note or one for another folder, its process is gone, nobody listens). */
dbk_result dbk_bus_find(const dbk_port *port, const char *path, dbk_buffer *url, dbk_error *err) DBK_MUST_USE;
/* What dbk_send's callback gets where a connection has no receipt: the daemon ended, or did not answer in time. */
bool dbk_bus_is_lost(const char *receipt, size_t size);

#endif
