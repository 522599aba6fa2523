/* Internal to turn.c, decide.c, known_ids.c and finish.c: a turn of the commit loop while it is under way. */
#ifndef DBK_STORE_DECIDE_H
#define DBK_STORE_DECIDE_H

#include "store/turn.h"

enum { DBK_TURN_ID_SLOTS = 4096 };

/* What became of one command, where its receipt stands in the item's answer, where its entry in the batch. */
typedef struct dbk_element {
    uint32_t item;
    uint32_t order; /* within the item */
    size_t receipt, receipt_size;
    size_t origin, origin_size; /* size 0: no new entry */
    uint32_t again;             /* from 1: the element of this turn whose entry its receipt names; 0: none */
    uint64_t id_hash;
    uint32_t next; /* chain of the id table, from 1; 0: end */
} dbk_element;

typedef struct dbk_turn {
    dbk_engine *engine;
    dbk_turn_item *items;
    size_t item_count;
    int64_t now_ms;
    int16_t zone_minutes; /* asked once a turn: the system looks at a file for it */
    dbk_element *elements;
    size_t count, capacity;
    uint32_t ids[DBK_TURN_ID_SLOTS]; /* id hash → element index + 1; all 0 between turns */
    size_t entries;
    dbk_buffer batch;        /* their origin bytes */
    dbk_buffer text;         /* what was hashed of the command in work, where it was not prepared */
    uint64_t base;           /* the position before the first of them */
    uint64_t first_seq;      /* and its seq */
    struct dbk_turn *before; /* decided, and not known to be durable yet; NULL: none */
    struct dbk_logged {      /* what came of the append, as the log was right behind it */
        dbk_result result;
        dbk_error error;
        uint64_t position;
        uint8_t head[DBK_LEAF_SIZE], top[DBK_ORDER_KEY_SIZE];
    } logged;
    /* the command during which SQLite gave up the transaction: when the turn is redone, it is answered busy or
     * too_big where a limit was the cause, else internal */
    struct dbk_culprit {
        uint32_t item, order;
        dbk_result code;
        char why[192], hint[96];
    } culprits[64];
    size_t culprit_count;
    bool stopped; /* a hook ended the process */
} dbk_turn;

static inline dbk_slice dbk_turn_origin(const dbk_turn *turn, const dbk_element *element)
{
    return dbk_slice_of(turn->batch.data + element->origin, element->origin_size);
}
/* Calls the test's hook; non-zero: the process "dies" here. */
int dbk_turn_hook(dbk_turn *turn, const char *point, dbk_slice id);
/* The message as it was read before its turn, or read now. */
dbk_result dbk_turn_read_item(dbk_turn *turn, const dbk_turn_item *item, const dbk_json_node **root,
                              dbk_error *refusal) DBK_MUST_USE;
/* decide.c: the item, or all of them in one transaction, anew where SQLite gave it up. DBK_UNAVAILABLE with
 * turn->stopped: a hook. */
dbk_result dbk_turn_decide_item(dbk_turn *turn, uint32_t index, dbk_error *err) DBK_MUST_USE;
dbk_result dbk_turn_decide_all(dbk_turn *turn, dbk_error *err) DBK_MUST_USE;

/* known_ids.c. *known: the id was used before, and the answer is in `out` or the result says id_reused. What the element
 * names is promised no earlier than the entry of this turn that it is. */
dbk_result dbk_turn_look_up_id(dbk_turn *turn, dbk_element *element, dbk_slice id, uint64_t id_hash,
                               const uint8_t *hash, bool *known, dbk_buffer *out, dbk_error *err) DBK_MUST_USE;
void dbk_turn_remember_id(dbk_turn *turn, dbk_element *element, uint64_t hash);
void dbk_turn_forget_ids(dbk_turn *turn); /* of the turn before */

dbk_turn *dbk_turn_new(const dbk_port *port); /* NULL: out of memory */
void dbk_turn_free(dbk_turn *turn);           /* accepts NULL */

/* In parts, for who decides one turn while another is written (pipeline.c); the turn is held throughout. Only commands
 * that change no row. First: a turn with no items yet, behind `before`, or a transaction is begun. */
dbk_result dbk_turn_begin_ahead(dbk_turn *turn, dbk_engine *engine, dbk_turn *before, int64_t now_ms,
                                dbk_error *err) DBK_MUST_USE;
/* Decides those of the items that it has not yet. After a failure the whole turn is to be decided anew, once `before`
 * is through. */
dbk_result dbk_turn_decide_ahead(dbk_turn *turn, dbk_turn_item *items, size_t count, dbk_error *err) DBK_MUST_USE;
void dbk_turn_drop_ahead(dbk_turn *turn); /* what was decided and never logged is forgotten */

/* finish.c: writes, commits, publishes; corrects the receipts where that fails. DBK_UNAVAILABLE: a hook. */
dbk_result dbk_turn_finish(dbk_turn *turn, dbk_error *err) DBK_MUST_USE;
/* Its parts: who asks is told that it was decided; the append, on any thread, into turn->logged; and the rest. */
void dbk_turn_tell_accepted(dbk_turn *turn);
void dbk_turn_log(dbk_turn *turn);
dbk_result dbk_turn_settle(dbk_turn *turn, dbk_error *err) DBK_MUST_USE;
/* Nothing can be decided: every command is answered with the error; reading goes on. */
void dbk_turn_refuse_all(dbk_turn *turn, const dbk_error *error);
void dbk_turn_take_back_clock(dbk_engine *engine);

#endif
