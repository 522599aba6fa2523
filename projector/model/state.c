/* State and journal as the file has them: read at open, after a rollback never needed. */
#include "projector/model/journal.h"

#include <stdio.h>

dbk_result dbk_journal_open(dbk_model *model, dbk_error *err)
{
    size_t tables = model->definition->table_count + 1; /* never nothing */
    dbk_journal *journal = dbk_alloc_zero(model->port, 1, sizeof *journal);

    model->journal = journal;
    if (!journal) goto no_memory;
    dbk_buffer_init(&journal->keys, model->port);
    journal->last = dbk_alloc_zero(model->port, tables, sizeof *journal->last);
    journal->next_last = dbk_alloc_zero(model->port, tables, sizeof *journal->next_last);
    journal->written = dbk_alloc_zero(model->port, tables, sizeof *journal->written);
    journal->select = dbk_alloc_zero(model->port, tables, sizeof(sqlite3_stmt *));
    if (journal->last && journal->next_last && journal->written && journal->select) return DBK_OK;
no_memory:
    return dbk_fail(err, DBK_NO_MEMORY, "cannot open the journal: out of memory");
}

void dbk_journal_close(dbk_model *model)
{
    dbk_journal *journal = model->journal;

    if (!journal) return;
    for (size_t i = 0; journal->select && i < model->definition->table_count; i++) {
        sqlite3_finalize(journal->select[i]);
    }
    dbk_buffer_release(&journal->keys);
    dbk_free(model->port, journal->last);
    dbk_free(model->port, journal->next_last);
    dbk_free(model->port, journal->written);
    dbk_free(model->port, (void *)journal->select);
    dbk_free(model->port, journal);
    model->journal = NULL;
}

static bool copy_blob(sqlite3_stmt *statement, int column, void *out, size_t size)
{
    const void *data = sqlite3_column_blob(statement, column);
    if (!data || sqlite3_column_bytes(statement, column) != (int)size) return false;
    memcpy(out, data, size);
    return true;
}

static bool take_state(dbk_model *model, sqlite3_stmt *statement)
{
    dbk_model_state *state = &model->state;
    uint8_t fingerprint[16];
    int64_t position = sqlite3_column_int64(statement, 0), floor = sqlite3_column_int64(statement, 4);

    if (position < 0 || floor < 0 || sqlite3_column_int64(statement, 5) < 0) return false;
    if (!copy_blob(statement, 1, state->head, sizeof state->head) ||
        !copy_blob(statement, 2, state->top, sizeof state->top) ||
        !copy_blob(statement, 3, fingerprint, sizeof fingerprint)) {
        return false;
    }
    state->position = (uint64_t)position;
    state->floor = (uint64_t)floor;
    state->fingerprint = (dbk_hash128){dbk_load_u64(fingerprint), dbk_load_u64(fingerprint + 8)};
    memcpy(state->definition, model->definition->hash, sizeof state->definition);
    model->journal->newest_rows = (uint64_t)sqlite3_column_int64(statement, 5);
    model->journal->has_commit = true;
    return true;
}

typedef bool (*take_row_fn)(dbk_model *model, sqlite3_stmt *statement);

/* Each row to `take`; false from it: not what a model holds. */
static dbk_result each_row(dbk_model *model, const char *sql, take_row_fn take, dbk_error *err)
{
    sqlite3_stmt *statement = NULL;
    dbk_result result = DBK_OK;
    int rc = sqlite3_prepare_v2(model->db, sql, -1, &statement, NULL);

    if (rc != SQLITE_OK) return dbk_model_sql_failure(model, rc, "read the model's state", err);
    while (result == DBK_OK && (rc = sqlite3_step(statement)) == SQLITE_ROW) {
        if (!take(model, statement)) result = dbk_fail(err, DBK_CORRUPT, "the state of '%s' is damaged", model->path);
    }
    if (result == DBK_OK && rc != SQLITE_DONE) {
        result = dbk_model_sql_failure(model, rc, "read the model's state", err);
    }
    sqlite3_finalize(statement);
    return result;
}

static bool take_counts(dbk_model *model, sqlite3_stmt *statement)
{
    model->journal->rows = (uint64_t)sqlite3_column_int64(statement, 0);
    model->journal->behind = (uint32_t)sqlite3_column_int64(statement, 1);
    return true;
}

static bool take_last(dbk_model *model, sqlite3_stmt *statement)
{
    const void *name = sqlite3_column_text(statement, 0);
    const dbk_table *table =
        name ? dbk_definition_table(model->definition, dbk_slice_of(name, (size_t)sqlite3_column_bytes(statement, 0)))
             : NULL;
    if (!table) return false;
    model->journal->written[table - model->definition->tables] = sqlite3_column_int64(statement, 1);
    return true;
}

static bool take_newer_last(dbk_model *model, sqlite3_stmt *statement)
{
    const void *keys = sqlite3_column_blob(statement, 1);
    int64_t position = sqlite3_column_int64(statement, 0);
    dbk_keys_walk walk;
    dbk_slice key;

    dbk_keys_begin(&walk, dbk_slice_of(keys, (size_t)sqlite3_column_bytes(statement, 1)));
    while (dbk_keys_next(&walk, &key)) {
        const dbk_table *table = dbk_definition_table(model->definition, walk.table);
        if (!table) return false;
        int64_t *last = &model->journal->last[table - model->definition->tables];
        if (*last < position) *last = position;
    }
    return !walk.rest.failed;
}

static dbk_result load_lasts(dbk_model *model, dbk_error *err)
{
    dbk_journal *journal = model->journal;
    size_t tables = model->definition->table_count;
    char newest[96];

    for (size_t i = 0; i < tables; i++) journal->written[i] = -1;
    journal->unwritten = DBK_LASTS_EVERY;
    dbk_result result = each_row(model, "SELECT name, last FROM _daybook_tables", take_last, err);
    if (tables > 0) memcpy(journal->last, journal->written, tables * sizeof *journal->last);
    (void)snprintf(newest, sizeof newest, "SELECT position, keys FROM _daybook_commits ORDER BY position DESC LIMIT %d",
                   DBK_LASTS_EVERY + 1);
    return result == DBK_OK ? each_row(model, newest, take_newer_last, err) : result;
}

static bool take_has(dbk_model *model, sqlite3_stmt *statement)
{
    model->has_skips = sqlite3_column_int(statement, 0) != 0;
    model->has_row_records = sqlite3_column_int(statement, 1) != 0;
    return true;
}

dbk_result dbk_model_load_state(dbk_model *model, dbk_error *err)
{
    dbk_journal *journal = model->journal;
    dbk_result result;

    journal->has_commit = false;
    result = each_row(model,
                      "SELECT position, head, top, fingerprint, floor, rows FROM _daybook_commits"
                      " ORDER BY position DESC LIMIT 1",
                      take_state, err);
    if (result == DBK_OK && !journal->has_commit) {
        result = dbk_fail(err, DBK_CORRUPT, "'%s' has no state", model->path);
    }
    if (result == DBK_OK) {
        result = each_row(model,
                          "SELECT coalesce(sum(rows) FILTER (WHERE position > f), 0),"
                          " count(*) FILTER (WHERE position <= f AND position < p) FROM _daybook_commits,"
                          " (SELECT floor AS f, position AS p FROM _daybook_commits ORDER BY position DESC LIMIT 1)",
                          take_counts, err);
    }
    if (result == DBK_OK) result = load_lasts(model, err);
    if (result == DBK_OK) {
        result = each_row(model, "SELECT EXISTS (SELECT 1 FROM _daybook_skips), EXISTS (SELECT 1 FROM _daybook_rows)",
                          take_has, err);
    }
    return result;
}
