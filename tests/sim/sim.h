/* A whole store on a simulated machine: scripts of commands and facts by seed, power losses in the
 * middle, and the four laws after each.
 *
 *   sim_random.c   the seed's numbers            sim_machine.c   disk, files of SQLite, engine
 *   sim_script.c   commands and steps by seed    sim_watch.c     a subscriber's copy of the tables
 *   sim_laws.c     L1 to L4                      sim_damage.c    rot, stale bytes, forged records
 *   sim_run.c      one seed: prefixes, crashes   sim_store.c     the program
 *
 * What was acknowledged and seen is kept outside the simulated machine (R30), in one flat record, so
 * that a copy of it goes with each image of the disk. A run follows from its seed alone. */
#ifndef TESTS_SIM_SIM_H
#define TESTS_SIM_SIM_H

#include <setjmp.h>

#include "base/simdisk.h"
#include "store/engine.h"
#include "tests/support/simvfs.h"

enum {
    SIM_TABLES = 7,
    SIM_ROWS_MAX = 128,    /* of one table */
    SIM_ENTRIES_MAX = 900, /* of one log */
    SIM_COMMANDS_MAX = 700,
    SIM_FACTS_MAX = 48,
    SIM_TURN_MAX = 6,
    SIM_ID_SIZE = 24,
};
static const int64_t SIM_START_MS = 1700000000000;

/* ---- sim_random.c */
typedef struct sim_random {
    uint64_t state;
} sim_random;
uint64_t sim_draw(sim_random *random);                  /* 64 bits */
uint32_t sim_below(sim_random *random, uint32_t limit); /* 0 … limit - 1 */
bool sim_chance(sim_random *random, uint32_t one_in);
uint64_t sim_mix(uint64_t a, uint64_t b);

/* ---- sim_watch.c: what a subscriber knows, as hashes of keys and rows */
typedef struct sim_rows {
    uint32_t count;
    struct {
        uint64_t key, row;
    } items[SIM_ROWS_MAX];
} sim_rows;
typedef struct sim_watch {
    uint64_t generation, position; /* of the last message */
    bool behind[SIM_TABLES];       /* a message had no rows: catches up when it looks next */
    uint64_t reached[SIM_TABLES];  /* position of its copy, for the next catch-up */
    uint64_t last[SIM_TABLES];     /* of the last change it was told of */
    sim_rows tables[SIM_TABLES];
} sim_watch;

/* ---- what is known outside */
typedef struct sim_acked {
    const char *json; /* the command as it was sent */
    uint64_t position;
    char entry[DBK_ENTRY_ID_TEXT_SIZE];
} sim_acked;
typedef struct sim_fact {
    dbk_slice origin;
    dbk_entry_id id;
} sim_fact;
typedef struct sim_oracle {
    uint64_t seen;                        /* a reader may have read up to here */
    uint64_t read;                        /* the origins below are known up to here */
    dbk_hash128 origins[SIM_ENTRIES_MAX]; /* [position - 1] */
    uint32_t acked_count;
    sim_acked acked[SIM_COMMANDS_MAX];
    /* The call under way: what of it may be in the log beyond what was seen. */
    uint32_t flight_count, flight_facts;
    char flight_ids[SIM_TURN_MAX][SIM_ID_SIZE];
    uint32_t fact_first, fact_end;      /* facts handed in so far, in order of their author */
    uint32_t own_entries, fact_entries; /* in the log up to `read` */
    bool any_facts;
    sim_watch watch;
} sim_oracle;

typedef struct sim_script {
    sim_random random;
    int64_t now_ms;
    uint32_t next_id;
} sim_script;

/* ---- sim_machine.c */
typedef struct sim_machine {
    uint64_t seed, states, until; /* `until`: the run ends at this state; 0: never */
    uint64_t earlier;             /* states of the seeds before */
    jmp_buf stop;
    const char *program;
    char context[96];          /* of a failure */
    dbk_simdisk *disk, *bench; /* the machine; and one that never fails, for cold folds and authors */
    simvfs *vfs, *bench_vfs;
    char vfs_name[32], bench_vfs_name[32];
    const dbk_port *port;
    dbk_definition *definition;
    dbk_engine_options options;
    dbk_engine *engine;
    dbk_json_parser *parser;
    dbk_arena *texts;  /* commands sent, facts */
    sim_random random; /* of crashes and checks */
    sim_script script;
    sim_oracle oracle;
    sim_fact facts[SIM_FACTS_MAX];
    uint32_t fact_count;
    char drop_id[SIM_ID_SIZE]; /* SQLite loses the transaction while this command is decided */
    bool dying;                /* writes fail: the process is about to be killed */
    bool full;                 /* the disk has no room: refusals say so */
    uint64_t trace;            /* digest of all answers */
    dbk_error error;
} sim_machine;

/* Says what broke and how to see it again; ends the program with 1. */
_Noreturn void sim_fail(sim_machine *m, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* One crash state checked; ends the run of this seed (true) at the state asked for. */
void sim_count_state(sim_machine *m);
dbk_definition *sim_definition(void);
void sim_machine_start(sim_machine *m, uint64_t seed, dbk_definition *definition);
void sim_machine_stop(sim_machine *m);
dbk_result sim_create(sim_machine *m);
dbk_result sim_open(sim_machine *m);
void sim_close(sim_machine *m);
void sim_crash(sim_machine *m); /* closes; unsynced bytes as the seed says */
bool sim_power_is_off(const sim_machine *m);

/* ---- sim_script.c, sim_step.c */
/* The next command, in the arena; its id in `id`. */
const char *sim_command(sim_machine *m, sim_script *script, const char *author, char id[SIM_ID_SIZE]);
void sim_make_facts(sim_machine *m); /* another replica's entries, written beside this one's */
/* One step of the script; false: the power went, or the engine cannot go on. */
bool sim_step(sim_machine *m);
/* What a receipt obliges to. `id` may be the command under which the transaction was lost. */
void sim_note_receipt(sim_machine *m, const char *json, const char *receipt, const char *id);
/* Takes one turn of up to `most` commands. */
bool sim_turn(sim_machine *m, uint32_t most);

/* ---- sim_watch.c */
void sim_watch_attach(sim_machine *m); /* follows the feed of the open engine */
/* Catches up as a subscriber would after its connection broke, and compares with all rows. */
void sim_watch_check(sim_machine *m);

/* ---- sim_laws.c */
void sim_note_seen(sim_machine *m);  /* all that the log holds now may have been read */
void sim_check_laws(sim_machine *m); /* the engine is open, the power on */

/* ---- sim_damage.c; each takes a closed, healthy store and leaves one */
void sim_check_rot(sim_machine *m);
void sim_check_forged(sim_machine *m);
void sim_put_stale(sim_machine *m); /* a record of an earlier life behind the end of the log */

/* ---- sim_run.c */
/* One seed; at least `states` crash states unless it ends at m->until. */
void sim_run(sim_machine *m, uint32_t states);

#endif
