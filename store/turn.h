/* Internal to store/: commands as they are read, the turn of the commit loop, receipts. */
#ifndef DBK_STORE_TURN_H
#define DBK_STORE_TURN_H

#include "store/engine.h"

typedef enum dbk_verb {
    DBK_DO_PUT,
    DBK_DO_PATCH,
    DBK_DO_DELETE,
    DBK_DO_APPEND,
    DBK_DO_BATCH,
    DBK_DO_DISMISS,
    DBK_DO_UNDO,
    DBK_DO_COMMAND,
    DBK_DO_HOST,
    DBK_DO_SET,
    DBK_DO_UNSET,
    DBK_DO_RESET
} dbk_verb;

/* The members of one command, NULL where absent. They belong to the parser. */
typedef struct dbk_command {
    dbk_verb verb;
    const dbk_json_node *node;
    const dbk_json_node *id, *table, *key, *data, *stream, *type, *expect, *commands, *entry, *args, *space, *path,
        *value;
    const dbk_app_command *app;          /* COMMAND: of the definition */
    const struct dbk_host_command *host; /* HOST: registered by this process */
    dbk_slice actor, correlation, causation;
} dbk_command;
/* Checks the form: members known for the verb (named, with the nearest right one), their JSON kinds,
 * what is required, the limits. `inner`: inside a batch. */
dbk_result dbk_command_read(const dbk_engine *engine, const dbk_json_node *node, bool inner, dbk_command *command,
                            dbk_error *err) DBK_MUST_USE;
bool dbk_command_is_verb(dbk_slice name); /* one that the engine itself understands */
/* What is known of a command that was read before its turn. */
typedef struct dbk_foreknown {
    uint8_t hash[32];
    uint32_t data, data_bytes; /* where its `data` stands in the text that was hashed; 0 bytes: it has none */
    const dbk_buffer *text;
} dbk_foreknown;
/* BLAKE2b-256 over the canonical command without id, actor, correlation, causation, wait (F1), which is put behind what
 * `text` holds. */
dbk_result dbk_command_hash(dbk_buffer *text, const dbk_json_node *node, dbk_foreknown *known,
                            dbk_error *err) DBK_MUST_USE;

/* One message in: a command, or an array of them, and the answer as it is built. */
typedef struct dbk_turn_item {
    dbk_slice json;
    const struct dbk_prepared *prepared; /* NULL: the turn reads `json` itself */
    dbk_buffer *answer;
    bool deferred;  /* it has requests in it: not decided here, answered by the reading thread */
    dbk_stage wait; /* the furthest that one of its commands waits for */
    /* Told before the sync and after it what the receipts would be now; NULL: nobody asks. It may take what
     * `answer` points to for itself and leave another buffer there. */
    void (*on_stage)(struct dbk_turn_item *item, dbk_stage stage, const dbk_buffer *receipts);
    bool all_stages; /* else only the one it waits for, before the sync */
    void *owner;
    dbk_buffer kept; /* the owner's */
} dbk_turn_item;
/* What a command waits for: "accepted", "durable" (default), "projected". */
dbk_stage dbk_command_wait(const dbk_json_node *node);
/* handle.c: how far a receipt, or the one furthest behind in an array of them, has come. */
dbk_stage dbk_receipt_stage(dbk_slice receipt);

/* Decides the items as one turn: one transaction, one write, one sync, one COMMIT. The caller holds
 * engine->turn. DBK_UNAVAILABLE when a hook ended the process; every other outcome is in the answers. */
dbk_result dbk_turn_decide(dbk_engine *engine, dbk_turn_item *items, size_t count, int64_t now_ms,
                           dbk_error *err) DBK_MUST_USE;

/* One command that is no batch, inside the open entry of engine->draft. */
dbk_result dbk_turn_run_one(dbk_engine *engine, const dbk_command *command, dbk_error *err) DBK_MUST_USE;

/* host_command.c: commands of the embedding process */
const struct dbk_host_command *dbk_host_command_find(const dbk_engine *engine, dbk_slice name); /* NULL: none */
dbk_result dbk_host_command_run(dbk_engine *engine, const dbk_command *command, dbk_error *err) DBK_MUST_USE;

/* receipt.c */
void dbk_receipt_begin(dbk_engine *engine);  /* before the first one of a turn */
void dbk_receipt_show(dbk_buffer *receipts); /* what was durable is visible now: `"projected":false` goes */
void dbk_receipt_accepted(dbk_engine *engine, const dbk_draft *draft, uint64_t version, dbk_buffer *out);
void dbk_receipt_again(dbk_engine *engine, const dbk_entry *entry, uint64_t position, dbk_buffer *out);
/* store/clock.c: the next stamp of the decider: max(wall clock, last + 1) in the highest epoch seen (§5). It is taken when
 * the caller puts it into the engine. DBK_UNAVAILABLE: the wall clock is beyond what a stamp holds; DBK_CORRUPT: the last
 * stamp was the last there is. */
dbk_result dbk_clock_next(const dbk_engine *engine, int64_t now_ms, uint32_t *epoch, uint64_t *hlc,
                          dbk_error *err) DBK_MUST_USE;

/* decide_entries.c: the events of these commands, within the draft's entry */
dbk_result dbk_turn_run_dismiss(dbk_engine *engine, const dbk_command *c, dbk_error *err) DBK_MUST_USE;
dbk_result dbk_turn_run_undo(dbk_engine *engine, dbk_error *err) DBK_MUST_USE;

#endif
