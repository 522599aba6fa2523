/* Inside bus/: one connection, of the daemon or of a client: an nng stream under our own frames.
 *
 * nng 1.5.2 has three ways to wait for ever, and this is how none of them is met:
 *   - an aio that was closed gives no callback when it is used again: an aio is closed or stopped
 *     by nobody here; a connection ends by nng_stream_close, which fails what is under way;
 *   - a stream that was closed takes an aio and forgets it: closing and starting hold one mutex;
 *   - freeing an aio waits for its callback: it is handed to nng_aio_reap, by the last reference.
 *
 * References: one of whoever made it, one of the receive under way, one of the send under way, and those
 * taken by dbk_conn_hold. The stream, the aios and the memory go with the last.
 *
 * The callbacks of the rules hold no mutex of the connection; opened, received and ended of one
 * connection come one after the other, in this order, on threads of nng. */
#ifndef DBK_BUS_CONN_H
#define DBK_BUS_CONN_H

#include <nng/nng.h>

#include "bus/frames.h"

typedef struct dbk_conn dbk_conn;
typedef struct dbk_conn_rules { /* must outlive the connection */
    uint16_t protocol, peer;    /* ours, and the one the other side must speak */
    size_t message_max;
    dbk_frames_share *share;                   /* of the connections with these rules; NULL: there is no such limit */
    void (*opened)(void *arg, dbk_conn *conn); /* the greetings are exchanged */
    bool (*received)(void *arg, dbk_conn *conn, dbk_slice body); /* a NUL follows the body; false: end it */
    /* So begins a body for which the share has no room; the rest is skipped. False: end it */
    bool (*crowded)(void *arg, dbk_conn *conn, dbk_slice begin);
    void (*ended)(void *arg, dbk_conn *conn); /* once, also if it never opened */
    void (*freed)(void *arg);                 /* the last thing that is heard of it */
    void *arg;
} dbk_conn_rules;

/* Bytes on their way out, shared by the queues they stand in. */
typedef struct dbk_block {
    uint32_t refs;
    uint32_t frames;
    size_t size, capacity;
    uint8_t data[];
} dbk_block;
/* A frame of these bytes, one reference; NULL: no memory, or it has no body yet (dbk_block_body fills it). */
dbk_block *dbk_block_frame(const dbk_port *port, size_t body_size);
static inline uint8_t *dbk_block_body(dbk_block *block)
{
    return block->data + DBK_FRAME_HEAD;
}
void dbk_block_drop(const dbk_port *port, dbk_block *block);

typedef struct dbk_out { /* a place in the queue */
    struct dbk_out *next;
    dbk_block *block;
} dbk_out;

struct dbk_conn {
    const dbk_port *port;
    const dbk_conn_rules *rules;
    dbk_mutex *mutex;
    nng_stream *stream;
    nng_aio *receive, *send;
    uint32_t refs;
    bool closed, sending, opened;
    int64_t begun_ns;
    dbk_frames frames; /* of the receive callback alone */
    /* the queue; the first `flying` places are in the hands of nng */
    dbk_out *first, *last;
    size_t flying, flown_bytes; /* flown: of the first block, written already */
    size_t out_bytes, out_frames;
    int64_t moved_ns; /* when the queue last was empty, or bytes left */
    dbk_block *spare;
    /* the owner's */
    dbk_conn *next, *previous;
    size_t waiting, waiting_bytes; /* commands: received and not decided */
    bool gone;                     /* commands: nobody is there to be answered; see dbk_store_cancel */
    int64_t heavy_ns;              /* changes: since when the queue is over the soft limit; 0: it is not */
    bool lost;                     /* changes: messages were forgotten, and it is not told yet */
};

/* Takes the stream (also on failure). One reference; nothing is sent or read before dbk_conn_start. */
dbk_result dbk_conn_new(const dbk_port *port, nng_stream *stream, const dbk_conn_rules *rules, dbk_conn **out,
                        dbk_error *err) DBK_MUST_USE;
/* Greets and reads; from here on `ended` comes. */
void dbk_conn_start(dbk_conn *conn);
/* A frame of head and body. False: closed, or no memory. Never waits. */
bool dbk_conn_send(dbk_conn *conn, dbk_slice head, dbk_slice body);
/* A frame that several connections send; they take references of their own. */
bool dbk_conn_share(dbk_conn *conn, dbk_block *frame);
/* Forgets the frames that are not on their way yet. */
void dbk_conn_forget(dbk_conn *conn);
void dbk_conn_backlog(dbk_conn *conn, size_t *frames, size_t *bytes); /* what the peer has not taken */
/* How long the peer has taken nothing of what waits for it; 0 when nothing waits. */
int64_t dbk_conn_stalled_ns(dbk_conn *conn, int64_t now_ns);
bool dbk_conn_is_open(dbk_conn *conn);
void dbk_conn_close(dbk_conn *conn); /* at once; callbacks follow. More than once is fine */
void dbk_conn_hold(dbk_conn *conn);
void dbk_conn_drop(dbk_conn *conn);

/* Connects to a Unix socket; on success a stream whose peer may be asked for its user. An nng result. */
int dbk_dial(const char *url, nng_stream **out);
/* DBK_UNAVAILABLE and its relatives: what an nng result means, with its text in the record. */
dbk_result dbk_bus_fail_nng(dbk_error *err, int rc, const char *what, const char *url) DBK_MUST_USE;
bool dbk_stream_is_of(nng_stream *stream, uint32_t user);
void dbk_stream_discard(nng_stream *stream); /* accepts NULL */

#endif
