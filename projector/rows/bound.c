/* How much work a statement of a projection may be (docs/decisions/0024-bounded-projections.md).
 *
 * SQLite's own steps are counted, never time: whether an entry is skipped must be the same on every device and in
 * every rebuild. The counter of the statement is exact; the progress handler only stops what is above the bound
 * already. Stopping a write costs its transaction, so the model remembers the entry, and whoever folds begins
 * the transaction again and finds it skipped without running it.
 *
 * One step may still make a long value: 32 MiB at most. Memory is bounded too (docs/decisions/0030-memory-of-sql.md),
 * and what the entry writes, by the row observer.
 *
 * A build that set indexes aside spares their upkeep, and so would count less than the model that serves: a
 * statement that comes near the bound there is counted again with the indexes in place. */
#include "projector/rows/internal.h"

enum { STEPS_EACH = 1000, DECIDED_THOUSANDS = 100000, FOLDED_THOUSANDS = 400000, ASIDE_SHARE = 64 };

typedef enum dbk_excess { NOTHING, STEPS, MEMORY, ROWS, BYTES } dbk_excess;

typedef struct dbk_endless {
    dbk_entry_id id;
    dbk_excess excess;
    const char *file; /* of the definition */
    uint32_t line;
} dbk_endless;

static bool is_halted(const dbk_step_bound *bound)
{
    return bound->halt && atomic_load_explicit(bound->halt, memory_order_relaxed);
}

static int count_steps(void *arg)
{
    dbk_step_bound *bound = arg;
    return ++bound->thousands > bound->thousands_max || is_halted(bound);
}

static uint32_t folded_thousands(const dbk_model *model)
{
    return model->options.fold_thousands ? model->options.fold_thousands : FOLDED_THOUSANDS;
}

/* What is decided is refused, and an async model stops at the entry: neither skips it. */
static bool stops(const dbk_model *model)
{
    return model->deciding || dbk_row_is_async(model);
}

static uint32_t folded_mib(const dbk_model *model)
{
    return model->options.fold_mib ? model->options.fold_mib : DBK_SQL_FOLD_MEMORY_MIB;
}

static uint32_t mib_max(const dbk_model *model)
{
    return stops(model) ? folded_mib(model) * DBK_SQL_MEMORY_MIB / DBK_SQL_FOLD_MEMORY_MIB : folded_mib(model);
}

static uint32_t written_mib(const dbk_model *model)
{
    return model->options.written_mib ? model->options.written_mib : DBK_ENTRY_WRITTEN_MAX_MIB;
}

void dbk_step_bound_begin(dbk_model *model, dbk_step_bound *bound)
{
    bound->thousands = 0;
    bound->refused = false;
    bound->halt = model->options.halt;
    bound->thousands_max = stops(model) ? DECIDED_THOUSANDS : folded_thousands(model);
    if (!stops(model) && model->indexes_aside) bound->thousands_max /= ASIDE_SHARE;
    bound->length = sqlite3_limit(model->db, SQLITE_LIMIT_LENGTH, DBK_SQL_VALUE_MAX_BYTES);
    sqlite3_progress_handler(model->db, STEPS_EACH, count_steps, bound);
    dbk_observer_stops(model->observer, true);
    /* where little is kept of the file, asking how much would cost more than leaving it out */
    dbk_memory_begin(&bound->memory, model->options.bulk ? model->db : NULL, (int64_t)mib_max(model) << 20);
}

/* What the statement had too much of, and where it stands. */
typedef struct dbk_refusal {
    dbk_excess excess;
    const char *file;
    uint32_t line, thousands, mib, written_mib;
} dbk_refusal;

static void say_steps(dbk_result code, const dbk_refusal *r, dbk_error *err)
{
    if (r->thousands < 1000)
        (void)dbk_fail(err, code, "%s:%u: the projection takes more than %u thousand steps", r->file, r->line,
                       r->thousands);
    else
        (void)dbk_fail(err, code, "%s:%u: the projection takes more than %u million steps", r->file, r->line,
                       r->thousands / 1000);
    dbk_error_hint(err, "an end to its recursion, or an index on what its WHERE asks for");
}

static dbk_result refuse(dbk_result code, const dbk_refusal *r, dbk_error *err)
{
    switch (r->excess) {
    case NOTHING:
    case STEPS: say_steps(code, r, err); return code;
    case MEMORY:
        (void)dbk_fail(err, code, "%s:%u: the projection takes more than %u MiB of memory", r->file, r->line, r->mib);
        dbk_error_hint(err, "an index that has the order it sorts for, or fewer and shorter rows at a time");
        return code;
    case ROWS:
        (void)dbk_fail(err, code, "%s:%u: the projection changes more than %d rows for one entry", r->file, r->line,
                       DBK_ENTRY_ROWS_MAX);
        break;
    case BYTES:
        (void)dbk_fail(err, code, "%s:%u: the projection writes more than %u MiB for one entry", r->file, r->line,
                       r->written_mib);
        break;
    }
    dbk_error_hint(err, "a narrower WHERE, or events that say less each");
    return code;
}

/* Steps are counted even where the statement came to its end. A lack of memory that SQLite got along with is none. */
static dbk_excess find_excess(const dbk_model *model, const dbk_step_bound *bound, uint64_t steps, bool no_memory,
                              dbk_result result)
{
    if (dbk_observer_failure(model->observer) == DBK_TOO_BIG)
        return dbk_observer_is_heavy(model->observer) ? BYTES : ROWS;
    if (no_memory && result != DBK_OK) return MEMORY;
    bool over = bound->thousands > bound->thousands_max || steps > (uint64_t)bound->thousands_max * STEPS_EACH;
    return over ? STEPS : NOTHING;
}

dbk_result dbk_step_bound_end(dbk_model *model, dbk_step_bound *bound, sqlite3_stmt *statement,
                              const dbk_statement *source, dbk_result result, dbk_error *err)
{
    uint64_t steps = (uint32_t)sqlite3_stmt_status(statement, SQLITE_STMTSTATUS_VM_STEP, 1);
    bool no_memory = dbk_memory_end(&bound->memory);

    dbk_observer_stops(model->observer, false);
    sqlite3_progress_handler(model->db, 0, NULL, NULL);
    (void)sqlite3_limit(model->db, SQLITE_LIMIT_LENGTH, bound->length);
    if (result != DBK_OK && is_halted(bound)) return dbk_fail(err, DBK_UNAVAILABLE, "the fold was halted");
    dbk_refusal r = {.excess = find_excess(model, bound, steps, no_memory, result),
                     .file = source->file,
                     .line = source->line,
                     .thousands = bound->thousands_max,
                     .mib = mib_max(model),
                     .written_mib = written_mib(model)};
    bound->refused = r.excess != NOTHING && !(stops(model) && result == DBK_OK);
    if (!bound->refused) return result;
    if (stops(model)) return refuse(r.excess == STEPS ? DBK_BUSY : DBK_TOO_BIG, &r, err);
    if (r.excess == STEPS && model->indexes_aside) {
        model->wants_indexes = true;
        return dbk_fail(err, DBK_BUSY, "a projection is counted again with all indexes");
    }
    if (!sqlite3_get_autocommit(model->db)) return refuse(DBK_REJECTED, &r, err);
    dbk_endless found = {.id = model->work->id, .excess = r.excess, .file = r.file, .line = r.line};
    dbk_buffer_put(&model->endless, &found, sizeof found);
    if (model->endless.failed) return dbk_row_no_memory(err);
    return refuse(DBK_BUSY, &r, err);
}

dbk_result dbk_step_bound_check(const dbk_model *model, const dbk_entry_id *id, dbk_error *err)
{
    const dbk_endless *known = (const dbk_endless *)(const void *)model->endless.data;

    for (size_t i = 0; i < model->endless.size / sizeof *known; i++) {
        if (!dbk_entry_id_equal(&known[i].id, id)) continue;
        dbk_refusal r = {.excess = known[i].excess,
                         .file = known[i].file,
                         .line = known[i].line,
                         .thousands = folded_thousands(model),
                         .mib = folded_mib(model),
                         .written_mib = written_mib(model)};
        return refuse(DBK_REJECTED, &r, err);
    }
    return DBK_OK;
}
