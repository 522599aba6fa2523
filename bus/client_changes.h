/* Inside bus/: a subscription over a connection. client_changes.c has its life and its rules,
 * client_feed.c the connection its messages come over, client_cursor.c what it asks. */
#ifndef DBK_BUS_CLIENT_CHANGES_H
#define DBK_BUS_CLIENT_CHANGES_H

#include "bus/client.h"

enum { DBK_TIMELINE_SIZE = 128, DBK_TOPIC_MAX = 1024 };

typedef struct dbk_cursor {
    char timeline[DBK_TIMELINE_SIZE];
    uint64_t generation, position;
} dbk_cursor;

typedef struct dbk_track { /* what was handed out of one table */
    struct dbk_track *next;
    dbk_cursor cursor;
    char table[];
} dbk_track;

typedef struct dbk_heard { /* a message that waits for the subscription's thread */
    struct dbk_heard *next;
    size_t size;
    char data[]; /* with a NUL behind it */
} dbk_heard;

struct dbk_client_subscription {
    dbk_client_subscription *next;
    dbk_client *client;
    char *table; /* NULL: all */
    dbk_change_fn each;
    void *arg;
    bool catches_up; /* the caller gave a cursor */
    bool stopping;
    dbk_thread *thread;
    /* the connection; guarded by the client's mutex */
    dbk_conn_rules rules;
    dbk_conn *conn;
    size_t alive; /* connections with memory */
    bool opened, ended;
    dbk_cond *wake;
    dbk_heard *first, *last;
    size_t heard_count, heard_bytes;
    dbk_json_parser *parser, *answer_parser;
    dbk_cursor start; /* of a table not heard of yet */
    dbk_track *tracks;
};

/* client_feed.c: messages come in between open and close; what finds no room is lost, as anywhere on the way. */
dbk_result dbk_feed_open(dbk_client_subscription *s, dbk_error *err) DBK_MUST_USE;
dbk_heard *dbk_feed_next(dbk_client_subscription *s); /* waits, and connects again; NULL: the subscription ends */
void dbk_feed_close(dbk_client_subscription *s);      /* accepts one that was not opened */

/* timeline, generation and position of an object; false: they are not there. */
bool dbk_cursor_read(const dbk_json_node *root, dbk_cursor *cursor);
/* The store's cursor, or the caller's, into s->start, and a track for each wanted table. DBK_UNKNOWN_TABLE. */
dbk_result dbk_changes_hello(dbk_client_subscription *s, const char *from,
                             dbk_track *(*track_of)(dbk_client_subscription *s, dbk_slice table),
                             dbk_error *err) DBK_MUST_USE;
/* The answer to {"do":"changes"}; *root belongs to s->answer_parser. */
dbk_result dbk_changes_ask(dbk_client_subscription *s, const char *table, const dbk_cursor *from, dbk_text *answer,
                           const dbk_json_node **root, dbk_error *err) DBK_MUST_USE;

#endif
