/* Inside bus/.
 *   bus.c                    start, stop, run.json
 *   bus_paths.c, platform.c  where the sockets are, and whose
 *   endpoint.c               one nng socket that listens: options, who may connect, listening again
 *   bus_commands.c           messages in, answers out
 *   bus_changes.c            the change feed and its head messages
 *   bus_watchdog.c           sees that both endpoints still accept
 *   client.c, client_link.c, client_pending.c, client_changes.c   the other side: dbk_connect
 *
 * nng has its own threads; its callbacks take no lock but the ones of this folder, and nothing of this
 * folder is held while the store is called. */
#ifndef DBK_BUS_INTERNAL_H
#define DBK_BUS_INTERNAL_H

#include <nng/nng.h>

#include "bus/bus.h"

enum {
    DBK_BUS_PATH_MAX = 103,                    /* sun_path, with room for the NUL on every system */
    DBK_BUS_URL_SIZE = DBK_BUS_PATH_MAX + 16,
    DBK_BUS_MESSAGE_MAX = 17 * 1024 * 1024,    /* a batch of 16 MiB and what stands around it */
    DBK_BUS_PEER_MESSAGES = 1024,              /* of one connection, received and not decided */
    DBK_BUS_PEER_BYTES = 16 * 1024 * 1024,
};
/* No table has such a name: a '.' cannot stand in it. */
#define DBK_BUS_HEAD_TOPIC "daybook.head/"

/* platform.c: what the port does not carry, because nothing simulated needs it. */
uint32_t dbk_platform_user(void);
const char *dbk_platform_environment(const char *name); /* NULL: unset or empty */
uint32_t dbk_platform_umask(uint32_t mask);

/* The result that an nng error means, with its text in the record. */
dbk_result dbk_bus_fail_nng(dbk_error *err, int rc, const char *what, const char *url) DBK_MUST_USE;

/* ---- bus_paths.c */
typedef struct dbk_bus_paths {
    dbk_dir *dir; /* where the sockets are */
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
    const char *url;  /* borrowed, as dir and name of the socket file */
    dbk_dir *dir;
    const char *name;
    nng_socket socket;
    nng_listener listener;
    bool is_open, is_listening;
    uint32_t user;
    dbk_mutex *mutex;
    dbk_cond *changed; /* a connection came or went */
    dbk_buffer pipes;  /* uint32_t ids of the connections there are */
    uint64_t accepted, refused, relistened;
    void (*on_connect)(void *arg); /* may be NULL; after a connection was added */
    void *arg;
} dbk_endpoint;
/* Takes an open nng socket (also on failure), sets limits and the check of the peer. */
dbk_result dbk_endpoint_open(dbk_endpoint *endpoint, const dbk_port *port, nng_socket socket, const dbk_bus_paths *paths,
                             bool commands, dbk_error *err) DBK_MUST_USE;
/* Removes a stale socket file of ours and listens. The store's lock is held. */
dbk_result dbk_endpoint_listen(dbk_endpoint *endpoint, dbk_error *err) DBK_MUST_USE;
/* Closes the listener and listens again; connections that are there stay. */
dbk_result dbk_endpoint_relisten(dbk_endpoint *endpoint, dbk_error *err) DBK_MUST_USE;
size_t dbk_endpoint_count(dbk_endpoint *endpoint); /* connections */
uint64_t dbk_endpoint_accepted(dbk_endpoint *endpoint);
/* Waits until more than `seen` were accepted; false: not in time. */
bool dbk_endpoint_wait_accept(dbk_endpoint *endpoint, uint64_t seen, uint32_t timeout_ms);
uint64_t dbk_endpoint_errors(const dbk_endpoint *endpoint); /* of its listener, as nng counts */
void dbk_endpoint_unlisten(dbk_endpoint *endpoint); /* no new connections */
void dbk_endpoint_close(dbk_endpoint *endpoint);    /* accepts a zeroed one */
/* A message of no bytes to the commands at `url`, which answers with one: it listens and serves. */
dbk_result dbk_endpoint_ping(const char *url, uint32_t timeout_ms, dbk_error *err) DBK_MUST_USE;

/* ---- bus_commands.c */
typedef struct dbk_bus_commands dbk_bus_commands;
dbk_result dbk_bus_commands_start(const dbk_port *port, dbk_store *store, const dbk_bus_paths *paths, dbk_bus_commands **out,
                                  dbk_error *err) DBK_MUST_USE;
dbk_endpoint *dbk_bus_commands_endpoint(dbk_bus_commands *commands);
void dbk_bus_commands_stats(dbk_bus_commands *commands, dbk_buffer *out);
void dbk_bus_commands_stop(dbk_bus_commands *commands); /* answers what was received; accepts NULL */

/* ---- bus_changes.c */
typedef struct dbk_bus_changes dbk_bus_changes;
dbk_result dbk_bus_changes_start(const dbk_port *port, dbk_engine *engine, const dbk_bus_paths *paths, uint32_t head_ms,
                                 dbk_bus_changes **out, dbk_error *err) DBK_MUST_USE;
dbk_endpoint *dbk_bus_changes_endpoint(dbk_bus_changes *changes);
void dbk_bus_changes_stats(dbk_bus_changes *changes, dbk_buffer *out);
void dbk_bus_changes_stop(dbk_bus_changes *changes); /* accepts NULL */

/* ---- bus_watchdog.c */
typedef struct dbk_bus_watchdog dbk_bus_watchdog;
dbk_result dbk_bus_watchdog_start(const dbk_port *port, dbk_endpoint *commands, dbk_endpoint *changes, uint32_t every_ms,
                                  dbk_bus_watchdog **out, dbk_error *err) DBK_MUST_USE;
void dbk_bus_watchdog_stop(dbk_bus_watchdog *watchdog); /* accepts NULL */

/* ---- short forms of the port's thread calls */
static inline void dbk_hold(const dbk_port *port, dbk_mutex *mutex) { port->mutex_lock(port->ctx, mutex); }
static inline void dbk_let(const dbk_port *port, dbk_mutex *mutex) { port->mutex_unlock(port->ctx, mutex); }

#endif
