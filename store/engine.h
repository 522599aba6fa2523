/* Internal to store/: an open engine, its parts, and whose they are. Which file does what stands in
 * docs/architecture.md, whose map is held to the folder by script/check-tree.
 *
 * One thread at a time decides: it holds `turn`, and it alone touches model, clock and the log's end. Locks are taken
 * in this order: import_lock, switch_lock, turn. Whoever holds one of the others takes none of these three. */
#ifndef DBK_STORE_ENGINE_H
#define DBK_STORE_ENGINE_H

#include <stdatomic.h>

#include "store/store.h"

/* daybook.json: replaced atomically. */
typedef struct dbk_identity_file {
    uint8_t store_id[16], lineage[16], replica[16];
    uint32_t incarnation;
    char timeline[64];
    uint64_t generation;
    uint32_t format; /* 1 */
} dbk_identity_file;

/* disk.c. What a refusal reads is read by other threads too. */
typedef struct dbk_disk {
    _Atomic uint64_t free_bytes, min_free_bytes, refused; /* free_bytes: as last asked */
    atomic_bool known;
    uint64_t total_bytes, alert_free_bytes, budget_bytes, counted_bytes;
    int64_t looked_ns;
    bool full, low, has_reserve;
} dbk_disk;

typedef struct dbk_queue dbk_queue;               /* queue.c */
typedef struct dbk_waits dbk_waits;               /* waits.c */
typedef struct dbk_checkpointer dbk_checkpointer; /* checkpoint.c */

struct dbk_engine {
    const dbk_port *port;
    dbk_engine_options options;
    char *path;
    dbk_dir *dir, *log_dir, *models_dir;
    dbk_lock *lock;
    dbk_identity_file identity;
    const dbk_definition *definition;
    dbk_definition *own_definition; /* loaded from app/, else NULL */
    dbk_buffer retired;             /* dbk_definition *: of before an upgrade; a reading thread may still look at one */
    dbk_log *log;
    dbk_model *model;                  /* used by the holder of `turn` only */
    dbk_mutex *turn;                   /* who holds it decides, imports, switches (semantics.md §3.7) */
    dbk_mutex *switch_lock;            /* one change of the model's file beside the turns at a time, before turn */
    dbk_mutex *identity_lock;          /* who writes daybook.json; the innermost */
    uint64_t generation_written;       /* identity_lock: the highest known to be in daybook.json; 0: not known */
    atomic_uint_least64_t stays_at;    /* of a store that is only read: position from which the model did not move on */
    atomic_uint_least64_t unfolded;    /* the same: of the log, of which no other model could be made */
    dbk_mutex *import_lock, *way_lock; /* one import at a time, before turn; way.c */
    dbk_cond *way;
    atomic_bool importing;
    atomic_uint wanting; /* who waits for the turn to decide */
    dbk_queue *queue;
    dbk_waits *waits; /* NULL: not open yet */
    dbk_checkpointer *checkpointer;
    dbk_scrub *scrub;
    dbk_json_parser *parser; /* the decider's */
    dbk_draft draft;
    dbk_buffer batch;               /* origin bytes of an entry of the engine */
    struct dbk_host_command *hosts; /* changed by the holder of `turn` only */
    struct dbk_turn *turn_memory;   /* decide.c */
    struct dbk_hashes *hashes;      /* hashes.c; NULL: not yet of use */
    struct dbk_undoing *undoing;    /* undo.c: what the turn in work undoes; else NULL */
    bool dead;                      /* a hook stopped it, or poisoned */
    bool reading; /* no model, the log is only read: as asked for, or there is no room to write (state.c) */
    dbk_disk disk;
    bool behind;           /* the model has to catch up before the next command */
    bool keeps_superseded; /* whoever switches removes the model that was, when the turn is over (models.c) */
    char *superseded;      /* its path; NULL: none */
    struct dbk_base *base; /* late_base.h: what the next shadow may go on from; of the holder of `turn`. NULL: none */
    bool doubted;          /* subscribers may have seen states that the model lost (models.c) */
    bool suspect;          /* the model was not closed in order, or its WAL came back: it is looked through first */
    uint32_t commit_failures;
    uint32_t epoch; /* highest clock seen, with the open turn's */
    uint64_t hlc;
    uint64_t next_seq; /* of this replica and incarnation, with the open turn's */
    int64_t first_failure_ms;
    dbk_publish_fn publish;
    dbk_wanted_fn publish_wanted; /* NULL: always */
    void *publish_arg;
    struct dbk_listener *listeners; /* publish.c */
    dbk_buffer cursor_begin;        /* of the receipts of a turn */
    dbk_buffer entry_begin;         /* and of their entry ids, up to the seq */
    dbk_buffer message;
    struct dbk_parked {   /* facts that wait before the log */
        dbk_buffer bytes; /* u32 length + origin bytes, one behind the other */
        size_t count;
        uint64_t dropped; /* over the limit: whoever sent them sends them again */
    } parked;
    dbk_mutex *readers_lock;
    dbk_model_reader *readers[DBK_MODEL_READERS_MAX]; /* idle ones */
    struct dbk_slow_queries {                         /* under readers_lock; slow_queries.c */
        struct {
            char text[200];
            bool named;
            uint32_t took_ms;
            dbk_result result;
            int64_t at_ms;
        } last[16];
        uint64_t count;
    } slow;
    uint64_t readers_epoch; /* rises when the model they read is no longer current */
    size_t requests;        /* readers_lock: under way; none while `resuming` */
    bool resuming;          /* readers_lock */
    dbk_mutex *pasts_lock;
    struct dbk_pasts *pasts;         /* replay.c: files of moments asked for lately */
    struct dbk_images *images;       /* images.c; NULL until the store is open */
    struct dbk_asyncs *asyncs;       /* async.c; NULL: none. Changed under readers_lock, by who holds the turn or has
                                        the store alone */
    struct dbk_mirrors *mirrors;     /* mirror.c; NULL: none. Made by who holds the turn or has the store alone */
    bool mirrors_over;               /* under the turn: the store closes, none is made any more */
    char mirrors_rejected[1024];     /* under readers_lock: names of files, as elements of a JSON array */
    char mirror_faults[4096];        /* under readers_lock: what is wrong by file, as members of a JSON object */
    struct dbk_retention *retention; /* retention.c; NULL: not yet */
    dbk_thread *check;               /* counts the model's rows after an unclean end */
    char id_text[DBK_UUID_TEXT_SIZE], own_name[DBK_UUID_TEXT_SIZE + 12];
    bool copied; /* it was found to be a copy and has become a store of its own (place.c) */
    int64_t opened_ms;
    struct {
        uint64_t commands, entries, events, batches, imports, rebuilds, bases, aheads, bytes;
        uint64_t tail; /* with those of the round: entries that the last one folded ahead of the log left to the turn */
        _Atomic uint64_t refused; /* requests are refused beside the turn */
        _Atomic uint64_t mirror_failures;
    } counts;
};

/* state.c: log, model and the threads beside them. A writer that finds no room opens for reading and
 * resumes when there is some. */
dbk_result dbk_state_open(dbk_engine *engine, dbk_error *err) DBK_MUST_USE;
void dbk_state_close(dbk_engine *engine);
/* The turn is held. Writes again, if there is room and no request is under way; false: not yet. */
bool dbk_state_resume(dbk_engine *engine);
static inline bool dbk_engine_is_stranded(const dbk_engine *engine)
{
    return engine->reading && !engine->options.read_only;
}
/* Around every request: the log and the readers stay the same ones until it ends. */
void dbk_request_enter(dbk_engine *engine);
void dbk_request_leave(dbk_engine *engine);

/* models.c */
dbk_result dbk_models_open(dbk_engine *engine, dbk_error *err) DBK_MUST_USE; /* current model, healed */
bool dbk_models_checked_at_open(const dbk_engine *engine); /* after an unclean end; else a thread looks through it */
/* For a shadow that is folded with the definition, which names the file. */
dbk_result dbk_models_next_path(dbk_engine *engine, const dbk_definition *definition, dbk_buffer *path,
                                dbk_error *err) DBK_MUST_USE;
/* Pointer, close old, remove its folder. `staged`: what dbk_models_stage wrote becomes the pointer, which the next sync
 * of models/ makes durable. */
dbk_result dbk_models_switch(dbk_engine *engine, dbk_model *shadow, bool staged, dbk_error *err) DBK_MUST_USE;
dbk_result dbk_models_stage(dbk_engine *engine, const char *path, dbk_error *err) DBK_MUST_USE;
void dbk_models_unstage(dbk_engine *engine);
/* The path of the model that models/current names, whatever its file is called: an upgrade may be about to name it
 * otherwise. For whoever reads it beside the turn. DBK_MISSING: it names none. */
dbk_result dbk_models_current(dbk_engine *engine, dbk_buffer *path, dbk_error *err) DBK_MUST_USE;
/* Position not beyond the log, and the same head there: else it is another log's model (R24). */
dbk_result dbk_model_belongs(dbk_engine *engine, const dbk_model *model, bool *yes, dbk_error *err) DBK_MUST_USE;
void dbk_models_discard(dbk_engine *engine, const char *path); /* removes the folder of a shadow given up */
/* request_query.c: closes the idle readers (they read a model that is no longer current). */
void dbk_engine_drop_readers(dbk_engine *engine);
/* switch.c: the model up to the log's end, by append, row-local or shadow; publishes. */
dbk_result dbk_engine_catch_up(dbk_engine *engine, dbk_error *err) DBK_MUST_USE;
dbk_result dbk_engine_reset_generation(dbk_engine *engine, dbk_progress_fn progress, void *arg,
                                       dbk_error *err) DBK_MUST_USE;
/* way.c: the turn, to decide. Who takes it again and again lets those go first that wait for it so. */
void dbk_engine_take_turn(dbk_engine *engine);
void dbk_engine_end_turn(dbk_engine *engine);
void dbk_engine_let_others(dbk_engine *engine);
/* decide.c: frees what the turns kept between them. */
void dbk_turn_release(dbk_engine *engine);
/* host_command.c */
dbk_result dbk_engine_register(dbk_engine *engine, const char *name, dbk_command_fn run, void *arg,
                               dbk_error *err) DBK_MUST_USE;
void dbk_host_commands_free(dbk_engine *engine);
/* engine_entry.c: an engine entry of one event, logged and folded in a turn of its own. */
dbk_result dbk_turn_engine_entry(dbk_engine *engine, const char *stream, const char *type, dbk_slice data,
                                 int64_t now_ms, dbk_error *err) DBK_MUST_USE;
/* create.c: the texts of the definition into a new folder of that name */
dbk_result dbk_store_copy_sources(const dbk_port *port, dbk_dir *dir, const char *name,
                                  const dbk_definition *definition, dbk_error *err) DBK_MUST_USE;
/* upgrade.c: the entry that names the definition */
dbk_result dbk_engine_log_definition(dbk_engine *engine, const dbk_definition *definition, int64_t now_ms,
                                     dbk_error *err) DBK_MUST_USE;
/* upgrade.c: the entry that names the definition */
dbk_result dbk_engine_log_definition(dbk_engine *engine, const dbk_definition *definition, int64_t now_ms,
                                     dbk_error *err) DBK_MUST_USE;
/* publish.c */
void dbk_engine_publish(dbk_engine *engine, const dbk_changes *changes);
void dbk_engine_expect_changes(dbk_engine *engine); /* before a turn: changed rows are kept while somebody subscribes */
dbk_result dbk_engine_subscribe(dbk_engine *engine, const char *table, const char *from, dbk_change_fn each, void *arg,
                                void **out, dbk_error *err) DBK_MUST_USE;
void dbk_engine_unsubscribe(dbk_engine *engine, void *subscription);
/* receipt.c */
void dbk_receipt_refused(dbk_engine *engine, dbk_slice id, const dbk_error *error, dbk_slice detail,
                         bool outcome_unknown, dbk_buffer *out);
/* request_*.c. They take engine->turn themselves where they need it; the caller does not hold it. false: `do` names no
 * request (a command that writes, or unknown). */
bool dbk_request_is(const dbk_json_node *request);
bool dbk_request_only_asks(const dbk_json_node *request); /* and writes no entry and changes no model */
dbk_result dbk_request_answer(dbk_engine *engine, const dbk_json_node *request, dbk_buffer *out,
                              dbk_error *err) DBK_MUST_USE;

#endif
