/* Inside bus/.
 *   bus.c                    start, stop, run.json
 *   bus_paths.c, platform.c  where the sockets are, and whose
 *   frames.c                 bytes to messages
 *   conn.c, dial.c           one connection, of either side
 *   endpoint.c               a socket that listens: who may connect, how many, how long
 *   bus_commands.c           messages in, answers out
 *   bus_changes.c            the change feed and its head messages
 *   client.c, client_link.c, client_pending.c   the other side: dbk_connect (client.h)
 *   client_changes.c, client_feed.c, client_cursor.c   its subscriptions (client_changes.h)
 *
 * nng has its own threads; its callbacks take no lock but the ones of this folder, and nothing of this
 * folder is held while the store is called. */
#ifndef DBK_BUS_INTERNAL_H
#define DBK_BUS_INTERNAL_H

#include "bus/bus.h"
#include "bus/conn.h"

enum {
    DBK_BUS_PATH_MAX = 103, /* sun_path, with room for the NUL on every system */
    DBK_BUS_URL_SIZE = DBK_BUS_PATH_MAX + 16,
    DBK_BUS_MESSAGE_MAX = 17 * 1024 * 1024, /* a batch of 16 MiB and what stands around it */
    DBK_BUS_PEER_MESSAGES = 1024,           /* of one connection, received and not decided */
    DBK_BUS_PEER_BYTES = 16 * 1024 * 1024,
    DBK_BUS_BEGUN_BYTES = 64 * 1024 * 1024, /* of all connections of a socket: messages not yet whole */
    DBK_BUS_ALL_BYTES = 256 * 1024 * 1024,  /* of all connections, received and not decided */
    DBK_BUS_CLIENTS_MAX = 64,               /* of one socket */
    DBK_BUS_GREETING_MS = 5000,
    DBK_BUS_STALLED_MS = 60000,
    DBK_BUS_HEAVY_MS = 10000,
    DBK_BUS_HEAD_MS = 50,
};
/* No table has such a name: a '.' cannot stand in it. */
#define DBK_BUS_HEAD_TOPIC "daybook.head/"

/* bus.c: appends counts since the start as members of a JSON object, for tests of what the limits do. */
void dbk_bus_stats(dbk_bus *bus, dbk_buffer *out);

/* platform.c: what the port does not carry, because nothing simulated needs it. */
uint32_t dbk_platform_user(void);
const char *dbk_platform_environment(const char *name); /* NULL: unset or empty */
uint32_t dbk_platform_umask(uint32_t mask);

/* ---- bus_paths.c */
typedef struct dbk_bus_paths {
    dbk_dir *dir;    /* where the sockets are */
    dbk_dir *parent; /* of the default folder, which goes when the bus does; else NULL */
    char folder[64]; /* its name in there */
    char commands[DBK_BUS_URL_SIZE], changes[DBK_BUS_URL_SIZE];
    char commands_name[DBK_BUS_PATH_MAX + 1], changes_name[DBK_BUS_PATH_MAX + 1]; /* in dir */
} dbk_bus_paths;
/* `listen` NULL: the default. DBK_DENIED: a folder is not ours alone. */
dbk_result dbk_bus_paths_open(const dbk_port *port, const char *store_id, const char *listen, dbk_bus_paths *paths,
                              dbk_error *err) DBK_MUST_USE;
void dbk_bus_paths_release(const dbk_port *port, dbk_bus_paths *paths);
/* The url of the changes that goes with one of commands; false: too long. */
bool dbk_bus_changes_of(const char *commands, char changes[DBK_BUS_URL_SIZE]);

/* ---- endpoint.c */
typedef struct dbk_endpoint {
    const dbk_port *port;
    const char *url; /* borrowed, as dir and name of the socket file */
    dbk_dir *dir;
    const char *name;
    uint32_t user;
    dbk_conn_rules rules;
    dbk_frames_share share;
    nng_stream_listener *listener;
    nng_aio *accept;
    dbk_mutex *mutex;
    dbk_cond *changed;
    dbk_thread *keeper;
    bool accepting, stopping;
    uint32_t admitting; /* accepts whose stream is no connection yet */
    int64_t resume_ns;  /* when accepting goes on after the system refused; 0: it has not */
    dbk_conn *first;
    size_t alive, open_count; /* connections with memory; with greetings exchanged */
    uint64_t accepted, refused, crowded, cut;
    /* the owner's, set before dbk_endpoint_open */
    int64_t greeting_ns;
    int64_t stalled_ns;                            /* a peer that takes nothing for so long is cut off; 0: never */
    void (*on_connect)(void *arg, dbk_conn *conn); /* may be NULL */
    void (*on_ended)(void *arg, dbk_conn *conn);   /* may be NULL */
    bool (*on_message)(void *arg, dbk_conn *conn, dbk_slice body);  /* NULL: a peer that sends is cut off */
    bool (*on_crowded)(void *arg, dbk_conn *conn, dbk_slice begin); /* goes with on_message */
    void *arg;
} dbk_endpoint;
/* Removes a stale socket file of ours, listens and accepts. DBK_LOCKED: somebody serves there. */
dbk_result dbk_endpoint_open(dbk_endpoint *endpoint, const dbk_port *port, const dbk_bus_paths *paths, bool commands,
                             dbk_error *err) DBK_MUST_USE;
size_t dbk_endpoint_count(dbk_endpoint *endpoint); /* connections */
/* `each` runs under the endpoint's mutex. */
void dbk_endpoint_each(dbk_endpoint *endpoint, void (*each)(void *arg, dbk_conn *conn), void *arg);
void dbk_endpoint_unlisten(dbk_endpoint *endpoint);                  /* no new connections */
size_t dbk_endpoint_unsent(dbk_endpoint *endpoint);                  /* bytes that wait for all peers */
void dbk_endpoint_flush(dbk_endpoint *endpoint, int64_t longest_ns); /* waits until the peers have taken everything */
void dbk_endpoint_close(dbk_endpoint *endpoint);                     /* ends all connections; accepts a zeroed one */
typedef struct dbk_endpoint_counts {
    size_t clients;
    uint64_t refused, crowded, cut;
} dbk_endpoint_counts;
void dbk_endpoint_stats(dbk_endpoint *endpoint, dbk_endpoint_counts *counts); /* adds, but sets clients */

/* ---- bus_commands.c */
typedef struct dbk_bus_commands dbk_bus_commands;
dbk_result dbk_bus_commands_start(const dbk_port *port, dbk_engine *engine, dbk_store *store,
                                  const dbk_bus_paths *paths, const dbk_bus_options *options, dbk_bus_commands **out,
                                  dbk_error *err) DBK_MUST_USE;
dbk_endpoint *dbk_bus_commands_endpoint(dbk_bus_commands *commands);
void dbk_bus_commands_stats(dbk_bus_commands *commands, dbk_buffer *out);
void dbk_bus_commands_stop(dbk_bus_commands *commands); /* answers what was received; accepts NULL */

/* ---- bus_changes.c */
typedef struct dbk_bus_changes dbk_bus_changes;
dbk_result dbk_bus_changes_start(const dbk_port *port, dbk_engine *engine, const dbk_bus_paths *paths,
                                 const dbk_bus_options *options, dbk_bus_changes **out, dbk_error *err) DBK_MUST_USE;
dbk_endpoint *dbk_bus_changes_endpoint(dbk_bus_changes *changes);
void dbk_bus_changes_stats(dbk_bus_changes *changes, dbk_buffer *out);
void dbk_bus_changes_stop(dbk_bus_changes *changes); /* accepts NULL */

/* ---- short forms of the port's thread calls, and of times */
static inline int64_t dbk_ms_or(uint32_t ms, uint32_t otherwise)
{
    return (int64_t)(ms ? ms : otherwise) * 1000000;
} /* in ns */
static inline void dbk_hold(const dbk_port *port, dbk_mutex *mutex)
{
    port->mutex_lock(port->ctx, mutex);
}
static inline void dbk_let(const dbk_port *port, dbk_mutex *mutex)
{
    port->mutex_unlock(port->ctx, mutex);
}

#endif
