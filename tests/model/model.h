/* The model test: random apps and random operations on stores that run on a simulated disk, each answer and each
 * state compared with the oracle's.
 *
 *   model_grammar.c   an app by seed, and what it is upgraded to     model_world.c    the stores, crashes, facts
 *   model_extras.c    its settings, search, rules of time, schemas   model_look.c     rows, skips, moments compared
 *   model_script.c    commands by seed                               model_beside.c   search tables, async models
 *   model_time.c      rows whose time is over                        model_power.c    power losses
 *   model_test.c      the program, and what makes a failure small
 *
 * A world follows from its seed alone; each operation draws from the seed and its own number, so that leaving one out
 * does not change what the others are. */
#ifndef DBK_TESTS_MODEL_MODEL_H
#define DBK_TESTS_MODEL_MODEL_H

#include "base/simdisk.h"
#include "store/engine.h"
#include "tests/model/oracle.h"
#include "tests/support/simvfs.h"

struct sqlite3;
struct sqlite3_stmt;

/* ---- random numbers */
typedef struct m_random {
    uint64_t state;
} m_random;
uint64_t m_mix(uint64_t a, uint64_t b);
uint32_t m_below(m_random *random, uint32_t limit); /* 0 … limit - 1 */
static inline bool m_chance(m_random *random, uint32_t one_in)
{
    return m_below(random, one_in) == 0;
}

/* ---- model_grammar.c */
enum { M_TABLES = 6, M_COLUMNS = 8, M_VERSIONS = 4 };
typedef enum m_key { M_KEY_TEXT, M_KEY_INTEGER, M_KEY_PAIR } m_key;
typedef struct m_column {
    char name[8];
    o_type type;
    o_rule rule;
    o_action action;
    bool not_null, unique, deferred;
    int parent;       /* a table, -1: none */
    int check, start; /* which CHECK, which DEFAULT; 0: none */
} m_column;
typedef struct m_table {
    char name[8];
    m_key key;
    m_column columns[M_COLUMNS];
    int column_count;
    bool without_rowid, guard, edit_wins, suffix, stamps, counted;
    int states; /* the column that has them, 0: none */
    /* model_extras.c; columns by number, -1: none */
    int ttl, keep_last, keep_by, keep_per; /* keep_last 0: all */
    int old_after_minutes, old_most;       /* rules of time: by the stamp, by column 0; 0: none */
    unsigned searched;                     /* columns, a set of bits; 0: no search */
} m_table;
typedef struct m_app { /* t0 … of the app, and what projections write */
    m_table tables[M_TABLES];
    int table_count;
    bool commands;
    int progress; /* which form the projections have */
    int version;
    /* model_extras.c */
    bool settings, undo;
    int setting_most;                /* by the schemas of settings; 0: none */
    int judged, judged_most, needed; /* the table that has a schema, -1: none */
    int upcast_from, upcast_to;      /* versions with a step to the next; from 0: none */
    int async;                       /* which form the async model has; 0: there is none */
} m_app;
typedef struct m_texts {
    dbk_buffer schema, projections, commands, app, undos, upcasts, judge, judge_settings, async_schema,
        async_projections;
    char judged[24]; /* the file that `judge` is */
} m_texts;
void m_app_make(m_app *app, m_random *random);
void m_app_change(m_app *app, m_random *random); /* to its next version */
void m_app_write(const m_app *app, m_texts *texts);
enum { M_SOURCES = 12 };
int m_texts_sources(m_texts *texts, dbk_source *out); /* at most M_SOURCES */
void m_texts_init(m_texts *texts);
void m_texts_release(m_texts *texts);

/* ---- model_extras.c */
void m_extras_make(m_app *app, m_random *random);
void m_extras_of_table(m_table *table, m_random *random);
void m_extras_change(m_app *app, m_random *random);
void m_extras_write(const m_app *app, m_texts *texts);
void m_extras_tell(const m_app *app, m_texts *texts, o_definition *definition); /* the oracle does not read them */
void m_put_setting(m_random *random, dbk_buffer *out);

/* ---- model_world.c */
enum { M_STORES = 4, M_TURN = 5, M_SENT = 48 };
typedef struct m_version { /* of the app */
    m_app app;
    dbk_definition *definition;
    o_definition *oracle;
} m_version;
typedef struct m_store {
    char path[16], timeline[8];
    dbk_engine_options options;
    dbk_engine *engine;
    o_replica *oracle;
    int version;
    int64_t now_ms, mono_ms;
    o_clock clock;
    /* fingerprints as they were shown, under the definition of this version */
    dbk_hash128 shown[O_ENTRIES + 1];
    bool known[O_ENTRIES + 1];
    o_core before;                  /* the rows before the operation, for the feed */
    dbk_buffer feed;                /* keys that were announced since: "table/key\n" */
    bool announced[O_TABLES], anew; /* a whole table; everything */
    const char *crash;              /* the point where the next turn dies, NULL: none */
    int crash_after;                /* so many times it passes there before */
    char drop[24];                  /* the command under which SQLite loses the transaction */
    bool died;
    bool powers;                 /* in the operation at hand the power may go */
    uint64_t held, acknowledged; /* positions: before the call, accepted by it */
} m_store;
typedef struct m_world {
    const char *program;
    uint64_t seed;
    uint32_t number; /* of the operation at hand, from 0 */
    const char *what;
    m_random random; /* of the operation */
    dbk_simdisk *disk;
    simvfs *vfs;
    dbk_json_parser *parser, *answers;
    m_version versions[M_VERSIONS];
    int version_count;
    m_store stores[M_STORES];
    int store_count;
    uint64_t commands;       /* sent so far: their ids */
    dbk_buffer sent[M_SENT]; /* some of them, to be sent again */
    size_t sent_count;
    uint64_t losses, over, stopped; /* of power; rows whose time was over; async models looked at that had stopped */
    bool shows;                     /* prints apps and commands */
    const char *skip;               /* operations left out, as the arguments have them */
    dbk_error error;
} m_world;
void m_world_start(m_world *w, uint64_t seed, const char *program);
void m_world_stop(m_world *w);
void m_operation(m_world *w); /* the one of w->number */
void m_finish(m_world *w);    /* what is looked at once in the end */
/* Says what differs and how to see it again; ends the program with 1. */
_Noreturn void m_fail(m_world *w, const char *format, ...) __attribute__((format(printf, 2, 3)));
m_store *m_any_store(m_world *w);
void m_open(m_world *w, m_store *store);
void m_forget_memory(m_store *store); /* what a store that is opened again does not know any more */
void m_close(m_world *w, m_store *store);

/* ---- model_script.c */
/* One command of a random kind for the store. */
void m_command(m_world *w, const m_store *store, dbk_buffer *out);
void m_decide(m_world *w, m_store *store, const dbk_buffer *commands, size_t count);
void m_undo(m_world *w, m_store *store);
void m_redo(m_world *w, m_store *store); /* undo, and undo of that, with nothing between */

/* ---- model_feed.c: whoever hears the feed hears of every row that changes */
void m_feed_begin(m_store *store);                                                /* an operation begins */
void m_feed_check(m_world *w, m_store *store);                                    /* it is over */
void m_feed_take(void *arg, const char *table, const char *message, size_t size); /* arg: the store */

/* ---- model_look.c */
void m_look(m_world *w, m_store *store);          /* rows, skips, fingerprint of the present */
void m_look_back(m_world *w, m_store *store);     /* a moment replayed into a file */
void m_look_again(m_world *w, m_store *store);    /* the same after a rebuild, and recounted */
void m_look_shuffled(m_world *w, m_store *store); /* all its facts in another order into a new store */
dbk_hash128 m_fingerprint(m_store *store);
o_value m_value_at(struct sqlite3_stmt *row, int column);

/* ---- model_beside.c */
void m_look_search(m_world *w, struct sqlite3 *db, const m_app *app, const o_state *state);
void m_look_async(m_world *w, m_store *store);

/* ---- model_time.c */
void m_retain(m_world *w, m_store *store);

/* ---- model_power.c: the power may go in any call of the engine that changes the disk */
void m_power_arm(m_world *w, m_store *store);  /* before a call */
void m_power_gone(m_world *w, m_store *store); /* after it: settles what became of it, if it went */

#endif
