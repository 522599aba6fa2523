/* bus: commands in, changes out over nng ipc; the client behind daybook.h's calls (dbk_connect). */
#ifndef DBK_BUS_H
#define DBK_BUS_H

#include "store/store.h"

typedef struct dbk_bus dbk_bus;
typedef struct dbk_bus_options { /* zero = default */
    const dbk_port *port;
    const char *listen;    /* "ipc://PATH" for the commands; changes are at PATH with "-changes" unless it ends in
                              "/commands"; default $XDG_RUNTIME_DIR/daybook/<store id>/{commands,changes} */
    uint32_t head_ms;      /* head message after the last change, 50 */
    uint32_t greeting_ms;  /* a new connection's time to greet, 5,000 */
    uint32_t stalled_ms;   /* a client that takes none of its answers for so long is cut off, 60,000 */
    uint32_t heavy_ms;     /* how long over 2 MiB may wait for a subscriber, 10,000 */
} dbk_bus_options;
/* Serves the engine behind `store` (which outlives the bus) and writes <store>/run.json. The caller holds the
 * store's lock already (an open writer does). DBK_DENIED: the folder of the sockets is not ours alone. */
dbk_result dbk_bus_start(dbk_engine *engine, dbk_store *store, const char *store_path, const dbk_bus_options *options,
                         dbk_bus **out, dbk_error *err) DBK_MUST_USE;
const char *dbk_bus_commands_url(const dbk_bus *bus);
const char *dbk_bus_changes_url(const dbk_bus *bus);
void dbk_bus_stats(dbk_bus *bus, dbk_buffer *out); /* members of a JSON object */
void dbk_bus_stop(dbk_bus *bus); /* answers what is queued, removes sockets and run.json; accepts NULL */
/* The commands url of the daemon that serves the store at `path`, from its run.json; DBK_NONE: none is
 * running (no file, or its process is gone). */
dbk_result dbk_bus_find(const dbk_port *port, const char *path, dbk_buffer *url, dbk_error *err) DBK_MUST_USE;
/* What dbk_send's callback gets where a connection has no receipt: the daemon ended, or did not answer in time. */
bool dbk_bus_is_lost(const char *receipt, size_t size);

#endif
