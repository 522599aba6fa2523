/* The commit: journal, tables' last positions, position, head, top and fingerprint in the transaction
 * that has the rows.
 *   1. the dirty rows become changes with the tables' previous positions
 *   2. the floor: with more than journal_rows keys above it, whole commits fall out, oldest first
 *   3. one row of _daybook_commits; now and then those of _daybook_tables that lag behind; COMMIT
 *   4. what memory knows of state and journal moves; until then a failure has changed nothing
 * Rows at or below the floor are deleted now and then, the newest never: it is the state. */
#include "projector/model/journal.h"

#include <assert.h>

enum { PRUNE_EVERY = 1024 };

typedef struct dbk_commit { /* what the commit will have made of state and journal */
    dbk_model_state state;
    uint64_t rows, newest_rows;
    uint32_t behind;
    size_t change_count;
    dbk_change *changes;
    bool keep_keys;
    bool put_lasts; /* _daybook_tables is brought up to date */
} dbk_commit;

static dbk_result bind_failure(dbk_model *model, int rc, sqlite3_stmt *statement, dbk_error *err)
{
    sqlite3_reset(statement);
    sqlite3_clear_bindings(statement);
    return dbk_model_sql_failure(model, rc, "commit", err);
}

/* Keys that the row of this position holds already: a second commit at one position joins them. */
static dbk_result keys_at(dbk_model *model, uint64_t position, dbk_error *err)
{
    dbk_buffer *keys = &model->journal->keys;
    sqlite3_stmt *statement;
    dbk_keys_walk walk;
    dbk_slice key;
    dbk_result result = dbk_model_statement(model, DBK_SQL_KEYS_AT,
                                            "SELECT keys FROM _daybook_commits WHERE position=?1", &statement, err);

    if (result != DBK_OK) return result;
    int rc = sqlite3_bind_int64(statement, 1, (int64_t)position);
    if (rc == SQLITE_OK) rc = sqlite3_step(statement);
    if (rc == SQLITE_ROW) {
        const void *data = sqlite3_column_blob(statement, 0);
        dbk_buffer_clear(keys);
        dbk_buffer_put(keys, data, (size_t)sqlite3_column_bytes(statement, 0));
    }
    sqlite3_reset(statement);
    if (rc != SQLITE_ROW && rc != SQLITE_DONE) return dbk_model_sql_failure(model, rc, "read the journal", err);
    dbk_keys_begin(&walk, dbk_buffer_slice(keys));
    while (result == DBK_OK && rc == SQLITE_ROW && dbk_keys_next(&walk, &key)) {
        const dbk_table *table = dbk_definition_table(model->definition, walk.table);
        if (table) result = dbk_observer_add(model->observer, table, key, true, err);
    }
    return result;
}

static dbk_result gather(dbk_model *model, dbk_commit *commit, dbk_error *err)
{
    dbk_journal *journal = model->journal;
    dbk_result result = dbk_observer_failure(model->observer);

    if (result != DBK_OK) return dbk_fail(err, result, "cannot commit: the rows changed were not all seen");
    result = dbk_observer_changes(model->observer, &commit->changes, &commit->change_count, err);
    for (size_t i = 0; result == DBK_OK && i < commit->change_count; i++) {
        dbk_change *change = &commit->changes[i];
        size_t table = (size_t)(change->table - model->definition->tables);
        change->previous = journal->last[table] > 0 ? (uint64_t)journal->last[table] : 0;
        commit->newest_rows += change->key_count;
    }
    return result;
}

/* The newest commits that together hold at most journal_rows keys stay; the floor is the position of
 * the newest that does not. */
static dbk_result prune(dbk_model *model, dbk_commit *commit, dbk_error *err)
{
    uint64_t most = model->definition->no_journal ? 0 : model->options.journal_rows;
    sqlite3_stmt *statement;
    dbk_result result;
    int rc = SQLITE_ROW;

    commit->keep_keys = commit->newest_rows <= most;
    if (commit->rows <= most) return DBK_OK;
    result = dbk_model_statement(model, DBK_SQL_OLDEST,
                                 "SELECT position, rows FROM _daybook_commits WHERE position > ?1"
                                 " AND position < ?2 ORDER BY position",
                                 &statement, err);
    if (result != DBK_OK) return result;
    sqlite3_bind_int64(statement, 1, (int64_t)commit->state.floor);
    sqlite3_bind_int64(statement, 2, (int64_t)commit->state.position);
    while (commit->rows > most && (rc = sqlite3_step(statement)) == SQLITE_ROW) {
        commit->state.floor = (uint64_t)sqlite3_column_int64(statement, 0);
        commit->rows -= (uint64_t)sqlite3_column_int64(statement, 1);
        commit->behind++;
    }
    sqlite3_reset(statement);
    if (rc != SQLITE_ROW && rc != SQLITE_DONE) return dbk_model_sql_failure(model, rc, "prune the journal", err);
    if (commit->rows > most) { /* only this one is left and it is too big itself */
        commit->state.floor = commit->state.position;
        commit->rows = 0;
    }
    return DBK_OK;
}

static dbk_result put_commit(dbk_model *model, const dbk_commit *commit, dbk_error *err)
{
    const dbk_model_state *state = &commit->state;
    dbk_buffer *keys = &model->journal->keys;
    uint8_t fingerprint[16];
    sqlite3_stmt *statement;
    dbk_result result = dbk_model_statement(
        model, DBK_SQL_PUT_COMMIT, "INSERT OR REPLACE INTO _daybook_commits VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        &statement, err);

    if (result != DBK_OK) return result;
    dbk_buffer_clear(keys);
    if (commit->keep_keys) dbk_keys_encode(keys, commit->changes, commit->change_count);
    if (keys->failed) return dbk_fail(err, DBK_NO_MEMORY, "cannot commit: out of memory");
    dbk_store_u64(fingerprint, state->fingerprint.low);
    dbk_store_u64(fingerprint + 8, state->fingerprint.high);
    int rc = sqlite3_bind_int64(statement, 1, (int64_t)state->position);
    if (rc == SQLITE_OK) rc = sqlite3_bind_blob(statement, 2, state->head, sizeof state->head, SQLITE_STATIC);
    if (rc == SQLITE_OK) rc = sqlite3_bind_blob(statement, 3, state->top, sizeof state->top, SQLITE_STATIC);
    if (rc == SQLITE_OK) rc = sqlite3_bind_blob(statement, 4, fingerprint, sizeof fingerprint, SQLITE_STATIC);
    if (rc == SQLITE_OK) rc = sqlite3_bind_int64(statement, 5, (int64_t)state->floor);
    if (rc == SQLITE_OK) rc = sqlite3_bind_int64(statement, 6, (int64_t)commit->newest_rows);
    if (rc == SQLITE_OK)
        rc = sqlite3_bind_blob64(statement, 7, keys->data ? keys->data : (uint8_t *)"", keys->size, SQLITE_STATIC);
    return rc == SQLITE_OK ? dbk_model_run(model, statement, "commit", err) : bind_failure(model, rc, statement, err);
}

static dbk_result put_last(dbk_model *model, size_t table, dbk_error *err)
{
    sqlite3_stmt *statement;
    dbk_result result = dbk_model_statement(model, DBK_SQL_PUT_LAST,
                                            "INSERT OR REPLACE INTO _daybook_tables VALUES(?1, ?2)", &statement, err);

    if (result != DBK_OK) return result;
    int rc = sqlite3_bind_text(statement, 1, model->definition->tables[table].name, -1, SQLITE_STATIC);
    if (rc == SQLITE_OK) rc = sqlite3_bind_int64(statement, 2, model->journal->next_last[table]);
    return rc == SQLITE_OK ? dbk_model_run(model, statement, "commit", err) : bind_failure(model, rc, statement, err);
}

/* Before a commit row leaves that still says them, or says none: open looks at so many and no more. */
static dbk_result put_lasts(dbk_model *model, dbk_commit *commit, dbk_error *err)
{
    const dbk_journal *journal = model->journal;
    size_t tables = model->definition->table_count;
    dbk_result result = DBK_OK;

    memcpy(journal->next_last, journal->last, tables * sizeof *journal->last);
    for (size_t i = 0; i < commit->change_count; i++)
        journal->next_last[commit->changes[i].table - model->definition->tables] = (int64_t)commit->state.position;
    commit->put_lasts = !commit->keep_keys || journal->unwritten >= DBK_LASTS_EVERY || commit->behind >= PRUNE_EVERY;
    for (size_t i = 0; commit->put_lasts && result == DBK_OK && i < tables; i++)
        if (journal->next_last[i] != journal->written[i]) result = put_last(model, i, err);
    return result;
}

/* Commits without keys hold nothing but a state that is no more: each takes the place of the last. */
static dbk_result drop_empty(dbk_model *model, dbk_commit *commit, dbk_error *err)
{
    const dbk_journal *journal = model->journal;
    sqlite3_stmt *statement;

    if (!journal->has_commit || model->state.position == commit->state.position) return DBK_OK;
    if (journal->newest_rows != 0) {
        commit->behind += model->state.position <= model->state.floor; /* it was too big for the journal itself */
        return DBK_OK;
    }
    dbk_result result = dbk_model_statement(model, DBK_SQL_DROP_EMPTY, "DELETE FROM _daybook_commits WHERE position=?1",
                                            &statement, err);
    if (result != DBK_OK) return result;
    sqlite3_bind_int64(statement, 1, (int64_t)model->state.position);
    return dbk_model_run(model, statement, "commit", err);
}

static dbk_result drop_behind(dbk_model *model, dbk_commit *commit, dbk_error *err)
{
    sqlite3_stmt *statement;

    if (commit->behind < PRUNE_EVERY) return DBK_OK;
    dbk_result result = dbk_model_statement(
        model, DBK_SQL_PRUNE, "DELETE FROM _daybook_commits WHERE position <= ?1 AND position < ?2", &statement, err);
    if (result != DBK_OK) return result;
    sqlite3_bind_int64(statement, 1, (int64_t)commit->state.floor);
    sqlite3_bind_int64(statement, 2, (int64_t)commit->state.position);
    commit->behind = 0;
    return dbk_model_run(model, statement, "prune the journal", err);
}

static dbk_result write_all(dbk_model *model, dbk_commit *commit, dbk_error *err)
{
    sqlite3_stmt *statement;
    dbk_result result = drop_empty(model, commit, err);

    if (result == DBK_OK) result = prune(model, commit, err);
    if (result == DBK_OK) result = put_commit(model, commit, err);
    if (result == DBK_OK) result = put_lasts(model, commit, err);
    if (result == DBK_OK) result = drop_behind(model, commit, err);
    if (result == DBK_OK) result = dbk_model_statement(model, DBK_SQL_COMMIT, "COMMIT", &statement, err);
    if (result == DBK_OK) result = dbk_model_run(model, statement, "commit", err);
    return result;
}

static void publish(dbk_model *model, const dbk_commit *commit, dbk_changes *changes)
{
    dbk_journal *journal = model->journal;
    int64_t *old = journal->last;

    journal->last = journal->next_last;
    journal->next_last = old;
    if (commit->put_lasts)
        memcpy(journal->written, journal->last, model->definition->table_count * sizeof *journal->written);
    journal->unwritten = commit->put_lasts ? 0 : journal->unwritten + 1;
    journal->rows = commit->rows;
    journal->newest_rows = commit->newest_rows;
    journal->behind = commit->behind;
    journal->has_commit = true;
    model->state = commit->state;
    model->changes = (dbk_changes){commit->changes, commit->change_count};
    if (changes) *changes = model->changes;
}

dbk_result dbk_model_commit(dbk_model *model, uint64_t position, const uint8_t head[DBK_LEAF_SIZE],
                            const uint8_t top[DBK_ORDER_KEY_SIZE], dbk_changes *changes, dbk_error *err)
{
    dbk_commit commit = {.state = model->state, .rows = model->journal->rows, .behind = model->journal->behind};
    dbk_result result = DBK_OK;

    assert(position <= INT64_MAX && (!model->journal->has_commit || position >= model->state.position));
    if (!dbk_model_in_transaction(model)) return dbk_fail(err, DBK_INTERNAL, "cannot commit: the transaction is gone");
    model->sandbox.role = DBK_SQL_ENGINE;
    commit.state.position = position;
    memcpy(commit.state.head, head, sizeof commit.state.head);
    memcpy(commit.state.top, top, sizeof commit.state.top);
    memcpy(commit.state.definition, model->definition->hash, sizeof commit.state.definition);
    commit.state.fingerprint = dbk_hash128_add(model->state.fingerprint, dbk_observer_difference(model->observer));
    if (model->journal->has_commit && position == model->state.position && model->journal->newest_rows) {
        if (position > model->state.floor) commit.rows -= model->journal->newest_rows;
        result = keys_at(model, position, err);
    }
    if (result == DBK_OK) result = gather(model, &commit, err);
    if (position > commit.state.floor) commit.rows += commit.newest_rows;
    if (result == DBK_OK) result = write_all(model, &commit, err);
    if (result != DBK_OK) {
        dbk_model_rollback(model);
        return result;
    }
    publish(model, &commit, changes);
    return DBK_OK;
}
