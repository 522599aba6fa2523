/* Internal to store/: commands read before their turn, on the thread that sends them. Parsing and hashing
 * need nothing of the engine; the one deciding thread is spared a third of its work. */
#ifndef DBK_STORE_PREPARE_H
#define DBK_STORE_PREPARE_H

#include "store/turn.h"

/* A message as the turn wants it. Its memory is used again for another message. */
typedef struct dbk_prepared {
    struct dbk_prepared *next;
    dbk_json_parser *parser;
    const dbk_json_node *root; /* NULL: refused with `result` and `error` */
    bool has_request;          /* as dbk_message_has_request says */
    bool only_appends;         /* of all its commands `do` is "append" */
    dbk_result result;
    dbk_error error;
    dbk_buffer known; /* a dbk_foreknown for each command, in order; empty: the turn hashes */
    dbk_buffer text;  /* what was hashed, one behind the other */
    uint8_t size_class;
} dbk_prepared;

/* What waits at one time is bounded: beyond it, and for bigger messages, the turn reads by itself. */
enum { DBK_PREPARED_CLASSES = 2 };
typedef struct dbk_prepared_pool {
    const dbk_port *port;
    struct {
        dbk_prepared *free;
        uint32_t made;
    } of[DBK_PREPARED_CLASSES];
} dbk_prepared_pool;

void dbk_prepared_pool_init(dbk_prepared_pool *pool, const dbk_port *port);
void dbk_prepared_pool_release(dbk_prepared_pool *pool); /* all were put back */
/* The caller holds the lock that guards the pool. NULL: none left, too big, or no memory. */
dbk_prepared *dbk_prepared_take(dbk_prepared_pool *pool, size_t message_size);
void dbk_prepared_put(dbk_prepared_pool *pool, dbk_prepared *prepared); /* accepts NULL */
/* Reads and hashes; no lock is held. `message` is copied. */
void dbk_prepare(dbk_prepared *prepared, dbk_slice message);
/* The parse of a message, with its limit of size; what a turn does for a message that was not prepared. */
dbk_result dbk_message_parse(dbk_json_parser *parser, dbk_slice message, const dbk_json_node **root,
                             dbk_error *err) DBK_MUST_USE;
/* Whether it is a request, or an array that holds one. */
bool dbk_message_has_request(const dbk_json_node *root);
bool dbk_message_only_asks(const dbk_json_node *root); /* nothing of it changes anything */

#endif
