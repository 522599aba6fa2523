/* Inside bus/: a connection to a daemon (dbk_connect).
 *
 * What was sent and not answered stays in a list, in the order of the calls. At most the window is on
 * the wire. When the connection is lost, everything on the list is sent again in that order on a new
 * one, once the old is gone, so that nothing of it can come in between; commands carry ids, so that what the
 * daemon had decided already is answered from its log.
 *
 * Nothing waits for a daemon that is not there: when nobody listens for DBK_CLIENT_PATIENCE_MS, all that is on
 * the list fails, and each new call after a look of DBK_CLIENT_GLANCE_MS. */
#ifndef DBK_BUS_CLIENT_H
#define DBK_BUS_CLIENT_H

#include "bus/internal.h"

enum { CLIENT_SLOTS = 4096, CLIENT_PENDING_MAX = 65536, DBK_CLIENT_PATIENCE_MS = 2000, DBK_CLIENT_GLANCE_MS = 250 };

typedef struct dbk_pending {
    struct dbk_pending *next, *previous;
    dbk_slice json; /* of a waiting caller borrowed, else in `copy` */
    dbk_buffer copy;
    dbk_done_fn done; /* NULL: a caller waits */
    void *arg;
    dbk_cond *ready;    /* of a waiting caller */
    const bool *cancel; /* may be NULL; true: it waits no longer */
    dbk_buffer answer;
    bool answered, failed; /* failed: the connection ends without an answer */
    bool sent;
    uint32_t id; /* of the request on the wire, while sent */
    int64_t begun_ns;
    bool patient; /* waits as long as the daemon is there */
} dbk_pending;

typedef struct dbk_client_subscription dbk_client_subscription;

typedef struct dbk_client {
    const dbk_port *port;
    char commands[DBK_BUS_URL_SIZE], changes[DBK_BUS_URL_SIZE];
    uint32_t timeout_ms, user;
    bool strict_timeout; /* the caller named it: it holds for what takes long, too */
    dbk_mutex *mutex;
    /* the list */
    dbk_pending *first, *last, *unsent; /* unsent: the first that is not on the wire */
    size_t pending_count, sent_count, sent_bytes;
    uint32_t next_id;
    dbk_pending *by_id[CLIENT_SLOTS]; /* of those on the wire */
    /* the link */
    dbk_thread *thread;
    dbk_cond *wake;
    dbk_conn_rules rules;
    dbk_conn *conn; /* NULL: none; one at a time */
    size_t alive;   /* connections with memory */
    bool connected; /* greetings are exchanged: it may be sent on */
    bool opened;    /* the connection there is has been greeted */
    bool ended;     /* the connection there is will not come back */
    bool foreign, stopping;
    int64_t down_ns; /* since when nobody listens; 0: somebody does */
    dbk_client_subscription *subscriptions;
} dbk_client;

/* client_pending.c; the mutex is held where it says so */
dbk_result dbk_client_call(void *client, const char *json, size_t size, dbk_text *receipt, dbk_error *err) DBK_MUST_USE;
/* The same, given up when *cancel becomes true, which dbk_client_cancel tells. */
dbk_result dbk_client_call_until(dbk_client *client, const char *json, size_t size, const bool *cancel,
                                 dbk_text *receipt, dbk_error *err) DBK_MUST_USE;
void dbk_client_cancel(dbk_client *client, const bool *cancel); /* held */
dbk_result dbk_client_send(void *client, const char *json, size_t size, dbk_done_fn done, void *arg,
                           dbk_error *err) DBK_MUST_USE;
void dbk_client_pump(dbk_client *client);                      /* sends what the window allows; held */
void dbk_client_requeue(dbk_client *client);                   /* nothing is on the wire any more; held */
void dbk_client_answered(dbk_client *client, dbk_slice frame); /* not held */
void dbk_client_lost(dbk_client *client);                      /* wakes who waits, to look at its limit again; held */
int64_t
dbk_client_expire(dbk_client *client,
                  int64_t now_ns); /* gives up what waited too long; the next limit or 0; held, let go for callbacks */
void dbk_client_fail_all(dbk_client *client); /* not held; nothing is sent after it */

/* client_link.c */
dbk_result dbk_client_link_open(dbk_client *client, dbk_error *err) DBK_MUST_USE;
void dbk_client_link_close(dbk_client *client);

/* client_changes.c */
dbk_result dbk_client_subscribe(void *client, const char *table, const char *from, dbk_change_fn each, void *arg,
                                void **out, dbk_error *err) DBK_MUST_USE;
void dbk_client_unsubscribe(void *client, void *subscription);

#endif
