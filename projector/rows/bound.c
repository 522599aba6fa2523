/* How much work a statement of a projection may be (docs/decisions/0024-bounded-projections.md).
 *
 * SQLite's own steps are counted, never time: whether an entry is skipped must be the same on every device and in
 * every rebuild. The counter of the statement is exact; the progress handler only stops what is above the bound
 * already. Stopping a write costs its transaction, so the model remembers the entry, and whoever folds begins
 * the transaction again and finds it skipped without running it.
 *
 * One step may still make a long value: 32 MiB at most.
 *
 * A build that set indexes aside spares their upkeep, and so would count less than the model that serves: a
 * statement that comes near the bound there is counted again with the indexes in place. */
#include "projector/rows/internal.h"

enum { STEPS_EACH = 1000, DECIDED_THOUSANDS = 100000, FOLDED_THOUSANDS = 400000, ASIDE_SHARE = 64 };

typedef struct dbk_endless {
    dbk_entry_id id;
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

void dbk_step_bound_begin(dbk_model *model, dbk_step_bound *bound)
{
    bound->thousands = 0;
    bound->halt = model->options.halt;
    bound->thousands_max = stops(model) ? DECIDED_THOUSANDS : folded_thousands(model);
    if (!stops(model) && model->indexes_aside) bound->thousands_max /= ASIDE_SHARE;
    bound->length = sqlite3_limit(model->db, SQLITE_LIMIT_LENGTH, DBK_SQL_VALUE_MAX_BYTES);
    sqlite3_progress_handler(model->db, STEPS_EACH, count_steps, bound);
}

static dbk_result too_many(dbk_result code, const char *file, uint32_t line, uint32_t thousands, dbk_error *err)
{
    if (thousands < 1000)
        (void)dbk_fail(err, code, "%s:%u: the projection takes more than %u thousand steps", file, line, thousands);
    else
        (void)dbk_fail(err, code, "%s:%u: the projection takes more than %u million steps", file, line,
                       thousands / 1000);
    dbk_error_hint(err, "an end to its recursion, or an index on what its WHERE asks for");
    return code;
}

dbk_result dbk_step_bound_end(dbk_model *model, const dbk_step_bound *bound, sqlite3_stmt *statement,
                              const dbk_statement *source, dbk_result result, dbk_error *err)
{
    uint64_t steps = (uint32_t)sqlite3_stmt_status(statement, SQLITE_STMTSTATUS_VM_STEP, 1);
    bool stopped = bound->thousands > bound->thousands_max;

    sqlite3_progress_handler(model->db, 0, NULL, NULL);
    (void)sqlite3_limit(model->db, SQLITE_LIMIT_LENGTH, bound->length);
    if (result != DBK_OK && is_halted(bound)) return dbk_fail(err, DBK_UNAVAILABLE, "the fold was halted");
    if (!stopped && steps <= (uint64_t)bound->thousands_max * STEPS_EACH) return result;
    if (stops(model))
        return result == DBK_OK ? result : too_many(DBK_BUSY, source->file, source->line, bound->thousands_max, err);
    if (model->indexes_aside) {
        model->wants_indexes = true;
        return dbk_fail(err, DBK_BUSY, "a projection is counted again with all indexes");
    }
    if (!stopped || !sqlite3_get_autocommit(model->db))
        return too_many(DBK_REJECTED, source->file, source->line, bound->thousands_max, err);
    dbk_endless found = {.id = model->work->id, .file = source->file, .line = source->line};
    dbk_buffer_put(&model->endless, &found, sizeof found);
    if (model->endless.failed) return dbk_row_no_memory(err);
    return too_many(DBK_BUSY, source->file, source->line, bound->thousands_max, err);
}

dbk_result dbk_step_bound_check(const dbk_model *model, const dbk_entry_id *id, dbk_error *err)
{
    const dbk_endless *known = (const dbk_endless *)(const void *)model->endless.data;

    for (size_t i = 0; i < model->endless.size / sizeof *known; i++)
        if (dbk_entry_id_equal(&known[i].id, id))
            return too_many(DBK_REJECTED, known[i].file, known[i].line, folded_thousands(model), err);
    return DBK_OK;
}
