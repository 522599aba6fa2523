/* Internal to projector/: what an undo knows of rows (rows/undo_rows.c) and does with it (rows/undo_steps.c). */
#ifndef DBK_PROJECTOR_UNDO_H
#define DBK_PROJECTOR_UNDO_H

#include "projector/rows/rules.h"

typedef struct dbk_undo_cell {
    bool mine;       /* the last writer is one of the undone entries */
    bool lost;       /* one of them wrote it, another one since */
    bool absent;     /* there was no row before they wrote it */
    dbk_slice value; /* JSON of what stood there then */
    double plus;     /* what they added to a counter: it commutes, whoever wrote since (F16) */
} dbk_undo_cell;

/* A row that an undone entry touched; the texts stand in the arena. */
typedef struct dbk_undo_row {
    const dbk_table *table;
    dbk_slice key;
    uint64_t hash;
    uint32_t next;        /* chain, from 1; 0: end */
    bool exists;          /* now */
    dbk_slice gone;       /* the row before they removed it, empty: they did not */
    dbk_undo_cell *cells; /* by column number */
} dbk_undo_row;

/* An event of the app that an undone entry holds. */
typedef struct dbk_undo_event {
    uint8_t order[DBK_ORDER_KEY_SIZE]; /* of its entry */
    uint32_t index;                    /* in its entry */
    dbk_entry_id entry, base;          /* base: the entry that it took back itself; all zero: none */
    dbk_slice stream, type;            /* in the arena `said` */
    const char *kept;                  /* why it stays as it is; NULL: it is taken back */
    const dbk_app_command *command;    /* what undoes it */
    size_t at, size;                   /* in dbk_undo.arguments */
} dbk_undo_event;

enum { DBK_UNDO_SLOTS = 1024 };

struct dbk_undo {
    const dbk_port *port;
    const dbk_definition *definition;
    dbk_arena *arena, *said;
    dbk_json_parser *before, *after, *data;
    dbk_buffer targets; /* dbk_entry_id */
    dbk_buffer rows;    /* dbk_undo_row */
    dbk_buffer events;  /* dbk_undo_event */
    dbk_buffer arguments;
    dbk_upcaster *upcaster;
    uint32_t slots[DBK_UNDO_SLOTS];
    dbk_trail trail;
};

const dbk_undo_row *dbk_undo_find(const dbk_undo *undo, const dbk_table *table, dbk_slice key);

/* rows/undo_events.c */
dbk_result dbk_undo_add_events(dbk_undo *undo, const dbk_entry *entry, dbk_error *err) DBK_MUST_USE;
dbk_result dbk_undo_run_events(dbk_model *model, dbk_draft *draft, const dbk_undo *undo, dbk_json_parser *parser,
                               dbk_buffer *kept, dbk_error *err) DBK_MUST_USE;

#endif
