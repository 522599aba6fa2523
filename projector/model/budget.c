/* What a model's file may hold (docs/decisions/0043): a part of an entry in work. What counts are the pages in use, as
 * the entry would leave them: those that deletes gave back, and the WAL, do not. An entry that takes no page more than
 * there were is never over the budget, whatever the file holds. */
#include "projector/model/journal.h"
#include "projector/rows/internal.h"

static dbk_result ask(dbk_model *model, int place, const char *sql, uint64_t *count, dbk_error *err)
{
    sqlite3_stmt *statement;
    dbk_result result = dbk_model_statement(model, place, sql, &statement, err);

    *count = 0;
    if (result != DBK_OK) return result;
    int rc = sqlite3_step(statement);
    if (rc == SQLITE_ROW) *count = (uint64_t)sqlite3_column_int64(statement, 0);
    else result = dbk_model_sql_failure(model, rc, "count the pages", err);
    (void)sqlite3_reset(statement);
    return result;
}

dbk_result dbk_model_used(dbk_model *model, uint64_t *bytes, dbk_error *err)
{
    uint64_t pages, unused = 0;
    dbk_result result = ask(model, DBK_SQL_PAGES, DBK_COUNT_PAGES, &pages, err);

    if (result == DBK_OK) result = ask(model, DBK_PLACE_FREE_PAGES, "PRAGMA main.freelist_count", &unused, err);
    *bytes = pages > unused ? (pages - unused) * DBK_MODEL_PAGE_BYTES : 0;
    return result;
}

dbk_result dbk_budget_begin(dbk_model *model, dbk_error *err)
{
    if (model->budget_bytes == 0) return DBK_OK;
    model->over_budget = false;
    dbk_result result = dbk_model_used(model, &model->used_before, err);
    model->bounded = result == DBK_OK;
    return result;
}

dbk_result dbk_budget_check(dbk_model *model, dbk_error *err)
{
    const char *name = model->definition->model ? model->definition->model : "main";
    uint64_t used;
    dbk_result result = dbk_model_used(model, &used, err);

    if (result != DBK_OK || used <= model->budget_bytes || used <= model->used_before) return result;
    model->over_budget = true;
    if (dbk_row_is_async(model))
        return dbk_fail(
            err, DBK_TOO_BIG,
            "the model would hold %llu bytes, over its budget of %llu: raise 'models.%s.budget' of app.json "
            "and upgrade, or keep less",
            (unsigned long long)used, (unsigned long long)model->budget_bytes, name);
    (void)dbk_fail(err, DBK_NO_SPACE, "the model '%s' would hold %llu bytes, over its budget of %llu", name,
                   (unsigned long long)used, (unsigned long long)model->budget_bytes);
    dbk_error_hint(err, "delete what is not needed, or raise 'models.%s.budget' of app.json and upgrade", name);
    return DBK_NO_SPACE;
}

/* Rows that go make room, though not always at once: what a search keeps of them may take a page first. Entries of the
 * engine are no app's. */
bool dbk_budget_spares(const dbk_model *model, const dbk_draft *draft)
{
    dbk_slice rest = dbk_buffer_slice(&draft->events);
    const dbk_table *table;
    dbk_event event;
    dbk_row_op op;

    while (dbk_event_next(&rest, &event)) {
        if (dbk_event_is_engine(&event)) continue;
        if (!dbk_definition_row_event(model->definition, event.type, &table, &op) || op != DBK_OP_DELETED) return false;
    }
    return true;
}
