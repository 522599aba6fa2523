/* Inside bus/: a subscription over a connection. client_changes.c has its life and its rules,
 * client_cursor.c what it asks. */
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

struct dbk_client_subscription {
    dbk_client_subscription *next;
    dbk_client *client;
    char *table; /* NULL: all */
    dbk_change_fn each;
    void *arg;
    bool catches_up; /* the caller gave a cursor */
    bool stopping, has_socket;
    nng_socket socket;
    nng_aio *receive;
    dbk_thread *thread;
    dbk_json_parser *parser, *answer_parser;
    dbk_cursor start; /* of a table not heard of yet */
    dbk_track *tracks;
};

/* timeline, generation and position of an object; false: they are not there. */
bool dbk_cursor_read(const dbk_json_node *root, dbk_cursor *cursor);
/* The store's cursor, or the caller's, into s->start, and a track for each wanted table. DBK_UNKNOWN_TABLE. */
dbk_result dbk_changes_hello(dbk_client_subscription *s, const char *from,
                             dbk_track *(*track_of)(dbk_client_subscription *s, dbk_slice table), dbk_error *err) DBK_MUST_USE;
/* The answer to {"do":"changes"}; *root belongs to s->answer_parser. */
dbk_result dbk_changes_ask(dbk_client_subscription *s, const char *table, const dbk_cursor *from, dbk_text *answer,
                           const dbk_json_node **root, dbk_error *err) DBK_MUST_USE;

#endif
