/* Internal to store/: async models (docs/decisions/0021-async-models.md).
 *
 *   async.c         the set: begun, ended, told of the log, found
 *   async_model.c   one model's thread: opens, heals, follows
 *   async_build.c   a shadow, and where it stops
 *   async_state.c   what is kept beside the file, what is said of a model
 *   async_reader.c  clients' SQL on a model
 *
 * Each model has a folder models/async-<name>/ (model_folder.h) and a thread, which alone touches the model's file for
 * writing. Nobody who holds the turn waits for it. Between them stands one mutex, held for moments. */
#ifndef DBK_STORE_ASYNC_H
#define DBK_STORE_ASYNC_H

#include "store/model_folder.h"

enum { DBK_ASYNC_READERS_MAX = DBK_MODEL_READERS_MAX, DBK_ASYNC_READERS = 4 };

typedef struct dbk_async_note { /* what outlives the process: models/async-<name>/state */
    bool paused;
    dbk_model_stop stop; /* position 0: none */
} dbk_async_note;

typedef struct dbk_async {
    struct dbk_asyncs *all;
    const dbk_definition *definition;
    char below[96], file[80];
    dbk_dir *dir;
    dbk_model_folder folder;
    dbk_thread *thread; /* NULL: it is worked on in turns (no_threads) */
    atomic_bool halt;   /* what folds shall end soon */
    /* the thread's own */
    dbk_model *model;
    dbk_dir *serial;     /* of its file */
    dbk_identity opened; /* its file, as it was opened, or as its own checkpoint left it */
    int wal_pages;
    bool checked; /* of a suspect one: it was looked through */
    /* all->mutex */
    char *path;    /* of the file that answers; NULL: none yet */
    uint64_t life; /* rises with each file */
    dbk_model_reader *idle[DBK_ASYNC_READERS_MAX];
    dbk_model_state state; /* of the last commit */
    dbk_async_note note;
    bool noted; /* it is in the file */
    bool busy, opening, needs_build, building, rebuild_asked, retry_asked, look_asked;
    uint64_t tried;    /* stopped: where the log ended when it was tried last */
    uint64_t done, of; /* building */
    uint64_t builds;
    uint64_t used_bytes;   /* by the file, as of the last piece of work; only where there is a budget */
    const char *healed;    /* why it was built anew while it served; NULL: it never was */
    int64_t queried_ns;    /* when the last look that a query asked for was asked for; 0: none was */
    int64_t not_before_ns; /* trouble, or stopped: when it is tried again */
    int64_t delay_ns;
    dbk_error trouble; /* code DBK_OK: none */
} dbk_async;

typedef struct dbk_asyncs {
    dbk_engine *engine;
    const dbk_port *port;
    dbk_mutex *mutex;
    dbk_cond *moved;   /* there may be work */
    dbk_cond *changed; /* a model may have got somewhere */
    uint64_t end;      /* of the log */
    size_t users, asleep, cleaning;
    bool closing;
    bool others_build; /* an upgrade: what nothing points to may be its */
    dbk_async *items;
    size_t count;
} dbk_asyncs;

/* async.c */
dbk_result dbk_asyncs_start(dbk_engine *engine, dbk_error *err) DBK_MUST_USE;
/* The same in parts, of which only those that hold the turn are short: a set that nobody sees; it answers; it is taken
 * away (NULL: there is none); its threads and whoever is inside end. */
dbk_result dbk_asyncs_make(dbk_engine *engine, dbk_asyncs **out, dbk_error *err) DBK_MUST_USE;
void dbk_asyncs_serve(dbk_engine *engine, dbk_asyncs *all); /* the turn is held; accepts NULL */
dbk_asyncs *dbk_asyncs_take_away(dbk_engine *engine);       /* the turn is held */
void dbk_asyncs_end(dbk_asyncs *all);                       /* accepts NULL */
/* Waits for whoever is inside. `drain_ms`: models that are nearly there may get there first. */
void dbk_asyncs_stop(dbk_engine *engine, uint32_t drain_ms);
/* Removes the folders of models that the definition does not have. Best effort: what stays costs space. */
void dbk_asyncs_clean(dbk_engine *engine);
void dbk_asyncs_tell(dbk_engine *engine, uint64_t end); /* the log reaches to there */
void dbk_asyncs_step(dbk_engine *engine);               /* without threads: all that is to be done */
/* Keeps the set alive until it is left; NULL: there are no async models now, or the store is only read. Who is inside
 * does not wait for the turn. */
dbk_asyncs *dbk_asyncs_enter(dbk_engine *engine);
void dbk_asyncs_leave(dbk_asyncs *all);                        /* accepts NULL */
dbk_async *dbk_asyncs_find(dbk_asyncs *all, const char *name); /* NULL: none */
/* Has them look whether their files are still theirs, so that what is not is healed at once. Just opened, they are where
 * they were in a moment: waits for that, for limit_ms at most. */
enum { DBK_ASYNCS_SETTLE_MS = 250 }; /* for those that tell how it is */
void dbk_asyncs_settle(dbk_engine *engine, int64_t limit_ms);
/* While an upgrade builds files in the folders of these models, they remove none; waits for those that are at it. */
void dbk_asyncs_let_build(dbk_engine *engine, bool others_build);
void dbk_asyncs_wake(dbk_asyncs *all); /* the mutex is held */
static inline void dbk_asyncs_lock(dbk_asyncs *all)
{
    all->port->mutex_lock(all->port->ctx, all->mutex);
}
static inline void dbk_asyncs_unlock(dbk_asyncs *all)
{
    all->port->mutex_unlock(all->port->ctx, all->mutex);
}
/* The folder of a model; the caller closes *dir. DBK_MISSING without `make`. */
dbk_result dbk_async_folder(dbk_engine *engine, const dbk_definition *model, bool make, char below[96], char file[80],
                            dbk_dir **dir, dbk_model_folder *folder, dbk_error *err) DBK_MUST_USE;

/* async_model.c */
void dbk_async_run(void *async);
bool dbk_async_has_work(const dbk_async *async, int64_t now_ns, int64_t *left_ns); /* the mutex is held */
void dbk_async_work(dbk_async *async);                                             /* it is not */
void dbk_async_close(dbk_async *async);

/* async_build.c: the fold of the positions up to `options->last` (0: the end), or up to where it stops, into a new file
 * as dbk_model_build leaves it, or durable. `options->stop` is needed. */
dbk_result dbk_async_fold(dbk_engine *engine, const char *path, const dbk_definition *model,
                          const dbk_shadow_options *options, dbk_model **out, dbk_error *err) DBK_MUST_USE;
dbk_result dbk_async_build(dbk_engine *engine, const char *path, const dbk_definition *model,
                           const dbk_shadow_options *options, dbk_model **out, dbk_error *err) DBK_MUST_USE;

/* async_state.c */
dbk_result dbk_async_note_read(const dbk_model_folder *folder, dbk_async_note *note, dbk_error *err) DBK_MUST_USE;
dbk_result dbk_async_note_write(const dbk_model_folder *folder, const dbk_async_note *note,
                                dbk_error *err) DBK_MUST_USE;
/* Of the last commit. DBK_UNAVAILABLE: there is no file yet. */
dbk_result dbk_async_state(dbk_engine *engine, const dbk_definition *model, dbk_model_state *state,
                           dbk_error *err) DBK_MUST_USE;
void dbk_async_put_stop(dbk_buffer *out, const dbk_model_stop *stop);                 /* ,"failed":{…} */
void dbk_async_put(dbk_engine *engine, const dbk_definition *model, dbk_buffer *out); /* {"model":…} of one */
void dbk_async_put_all(dbk_engine *engine, dbk_buffer *out);                          /* of all of them: […] */

#endif
