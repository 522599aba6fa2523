/* Internal to projector/: rows that are made again (model/amend.c). */
#ifndef DBK_PROJECTOR_AMEND_H
#define DBK_PROJECTOR_AMEND_H

#include "projector/rows/internal.h"

typedef struct dbk_again { /* an entry that the model has and that is applied once more */
    uint8_t key[DBK_ORDER_KEY_SIZE];
    uint64_t position;
} dbk_again;

/* under.c: a late patch, and the columns that those behind it set. */
typedef struct dbk_under {
    bool possible;
    uint32_t count; /* of those behind it */
    dbk_mask columns;
} dbk_under;
dbk_result dbk_under_begin(dbk_model *model, const dbk_entry *entry, dbk_under *under, dbk_error *err) DBK_MUST_USE;
/* One that names the stream behind it; under->possible may end. */
dbk_result dbk_under_take(dbk_model *model, const dbk_entry *later, dbk_slice stream, dbk_under *under,
                          dbk_error *err) DBK_MUST_USE;

/* A patch that sets nothing on which something else depends. */
dbk_result dbk_under_may(dbk_model *model, const dbk_table *table, const dbk_event *event, bool *may,
                         dbk_error *err) DBK_MUST_USE;

/* tied.c: late entries about tables with ties that may be applied as they come. */
typedef struct dbk_tied {
    dbk_model *model;
    uint64_t done, below; /* the model's position; the entries up to there sort below all that is new */
    uint64_t *looked;     /* counts the entries that are read */
    dbk_fresh *made;      /* rows that nothing but this round names; NULL: none */
    bool asked_left_out;
    uint8_t left_out[DBK_ORDER_KEY_SIZE]; /* the highest key of what the model left out */
    dbk_buffer origin, stream, skips;
} dbk_tied;
void dbk_tied_init(dbk_tied *tied, dbk_model *model, uint64_t *looked);
void dbk_tied_release(dbk_tied *tied);
bool dbk_event_is_tied(dbk_model *model, const dbk_event *event);
/* Of entries in canonical order. *named: the entry's one event is a patch, and others behind it name its row, which must
 * be such that it fits under them. */
dbk_result dbk_tied_fits(dbk_tied *tied, const dbk_entry *entry, const uint8_t *key, uint64_t below, dbk_under *under,
                         bool *fits, bool *named, dbk_error *err) DBK_MUST_USE;

typedef struct dbk_amend {
    dbk_model *model;
    uint64_t done;      /* the model's position */
    dbk_fresh *seen;    /* NULL: no row is made again */
    dbk_buffer streams; /* u32 length + name, one behind the other: the rows */
    dbk_buffer entries; /* dbk_again …; in canonical order, each once, when complete */
    dbk_buffer origin;
    uint64_t read, most; /* entries that were read for it, and how many may be */
} dbk_amend;

/* `most`: entries that may be read for it. The model is borrowed. */
void dbk_amend_init(dbk_amend *amend, dbk_model *model, uint64_t most);
void dbk_amend_release(dbk_amend *amend);
/* The row of that stream is made again. */
dbk_result dbk_amend_add(dbk_amend *amend, dbk_slice stream, dbk_error *err) DBK_MUST_USE;
/* Finds what is to be applied again. *possible false: other rows depend on it, or it is too much. */
dbk_result dbk_amend_complete(dbk_amend *amend, bool *possible, dbk_error *err) DBK_MUST_USE;
/* In the open transaction: the rows, what is recorded of them and of the entries goes. */
dbk_result dbk_amend_clear(dbk_amend *amend, dbk_error *err) DBK_MUST_USE;
static inline bool dbk_amend_has(const dbk_amend *amend, dbk_slice stream)
{
    dbk_entry_id id;
    uint64_t position;
    return amend->seen && dbk_fresh_find(amend->seen, stream, &id, &position);
}
/* Before its COMMIT: what came out as it was is no change (semantics.md §6: a merge is told as the net difference). */
dbk_result dbk_amend_keep_net(dbk_amend *amend, dbk_error *err) DBK_MUST_USE;
static inline size_t dbk_amend_count(const dbk_amend *amend)
{
    return amend->entries.size / sizeof(dbk_again);
}
static inline const dbk_again *dbk_amend_at(const dbk_amend *amend, size_t i)
{
    return (const dbk_again *)(const void *)amend->entries.data + i;
}

/* fold.c: the event changes one row of a row-local table (F6) and nothing else. */
bool dbk_event_is_local(dbk_model *model, const dbk_event *event);
/* Some other entry of the log has the command id. */
dbk_result dbk_model_shares_id(dbk_log *log, dbk_slice command_id, bool *shared, dbk_error *err) DBK_MUST_USE;

#endif
