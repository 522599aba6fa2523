/* The skip list, read; the fingerprint, counted anew. */
#include "projector/model/journal.h"
#include "projector/model/search.h"

static const char *text_of(sqlite3_stmt *row, int column)
{
    const char *text = (const char *)sqlite3_column_text(row, column);
    return text ? text : "";
}

static dbk_result take_skip(dbk_model *model, sqlite3_stmt *row, dbk_skip *skip, dbk_error *err)
{
    const char *entry = text_of(row, 0), *against = text_of(row, 4);

    *skip = (dbk_skip){.position = (uint64_t)sqlite3_column_int64(row, 1),
                       .state = text_of(row, 2),
                       .reason = text_of(row, 3),
                       .has_against = *against != 0,
                       .dismissed = sqlite3_column_int(row, 5) != 0};
    if (!dbk_entry_id_parse(dbk_slice_text(entry), &skip->entry) ||
        (skip->has_against && !dbk_entry_id_parse(dbk_slice_text(against), &skip->against))) {
        return dbk_fail(err, DBK_CORRUPT, "the skip list of '%s' names no entry: '%s' '%s'", model->path, entry,
                        against);
    }
    return DBK_OK;
}

dbk_result dbk_model_skips(dbk_model *model, dbk_skip_fn each, void *arg, dbk_error *err)
{
    sqlite3_stmt *statement;
    dbk_skip skip;
    int rc = SQLITE_DONE;
    dbk_result result =
        dbk_model_statement(model, DBK_SQL_SKIPS,
                            "SELECT s.entry, s.position, s.state, s.reason, s.against, d.entry IS NOT NULL"
                            " FROM _daybook_skips s LEFT JOIN _daybook_dismissed d USING (entry)"
                            " ORDER BY s.entry",
                            &statement, err);

    if (result != DBK_OK) return result;
    while (result == DBK_OK && (rc = sqlite3_step(statement)) == SQLITE_ROW) {
        result = take_skip(model, statement, &skip, err);
        if (result == DBK_OK) result = each(arg, &skip);
    }
    if (result == DBK_OK && rc != SQLITE_DONE) result = dbk_model_sql_failure(model, rc, "read the skip list", err);
    sqlite3_reset(statement);
    return result;
}

static dbk_result count_table(dbk_model *model, const dbk_table *table, dbk_buffer *scratch, dbk_hash128 *sum,
                              uint64_t *rows, dbk_error *err)
{
    dbk_hash128 prefix = dbk_row_hash_prefix(scratch, table);
    sqlite3_stmt *row;
    int rc = SQLITE_DONE;
    dbk_result result = dbk_select_all(model, table, false, &row, err);

    while (result == DBK_OK && !scratch->failed && (rc = sqlite3_step(row)) == SQLITE_ROW) {
        *sum = dbk_hash128_add(*sum, dbk_row_hash_with(scratch, prefix, table, dbk_statement_column, row));
        ++*rows;
    }
    if (result == DBK_OK && scratch->failed)
        result = dbk_fail(err, DBK_NO_MEMORY, "cannot count the rows: out of memory");
    if (result == DBK_OK && rc != SQLITE_DONE) result = dbk_model_sql_failure(model, rc, "count the rows", err);
    sqlite3_finalize(row);
    return result;
}

dbk_result dbk_model_recount(dbk_model *model, dbk_hash128 *fingerprint, uint64_t *rows, dbk_error *err)
{
    dbk_result result = DBK_OK;
    dbk_buffer scratch;

    *fingerprint = (dbk_hash128){0};
    *rows = 0;
    dbk_buffer_init(&scratch, model->port);
    for (size_t i = 0; result == DBK_OK && i < model->definition->table_count; i++) {
        result = count_table(model, &model->definition->tables[i], &scratch, fingerprint, rows, err);
    }
    dbk_buffer_release(&scratch);
    return result;
}

dbk_result dbk_model_recount_table(dbk_model *model, const dbk_table *table, dbk_hash128 *fingerprint, uint64_t *rows,
                                   dbk_error *err)
{
    dbk_buffer scratch;
    *fingerprint = (dbk_hash128){0};
    *rows = 0;
    dbk_buffer_init(&scratch, model->port);
    dbk_result result = count_table(model, table, &scratch, fingerprint, rows, err);
    dbk_buffer_release(&scratch);
    return result;
}

dbk_result dbk_model_hold(dbk_model *model, dbk_error *err)
{
    model->sandbox.role = DBK_SQL_ENGINE;
    dbk_result result = dbk_model_exec(model, "BEGIN", "read the model", err);
    return result == DBK_OK ? dbk_model_load_state(model, err) : result;
}

/* Indexes against rows too, which quick_check leaves out: a power loss that tears the sector in which a
 * synced frame of the WAL ends plays older pages back over newer ones, and those may be an index's. */
static dbk_result check_pages(dbk_model *model, dbk_error *err)
{
    sqlite3_stmt *statement = NULL;
    dbk_result result = DBK_OK;
    int rc = sqlite3_prepare_v2(model->db, "PRAGMA integrity_check(1)", -1, &statement, NULL);

    if (rc == SQLITE_OK) rc = sqlite3_step(statement);
    if (rc == SQLITE_ROW) {
        const char *found = (const char *)sqlite3_column_text(statement, 0);
        if (!found || strcmp(found, "ok") != 0)
            result = dbk_fail(err, DBK_CORRUPT, "'%s' is damaged: %s", model->path, found ? found : "");
    } else {
        result = dbk_model_sql_failure(model, rc, "look through the model", err);
    }
    sqlite3_finalize(statement);
    return result;
}

/* The state is read again inside: another connection may have committed since. */
static dbk_result check_in_snapshot(dbk_model *model, dbk_error *err)
{
    dbk_hash128 counted;
    uint64_t rows;
    dbk_result result = dbk_model_load_state(model, err);

    if (result == DBK_OK) result = check_pages(model, err);
    if (result == DBK_OK) result = dbk_model_recount(model, &counted, &rows, err);
    if (result == DBK_OK) result = dbk_search_compare(model, err);
    if (result != DBK_OK || model->definition->no_fingerprint) return result;
    if (counted.low == model->state.fingerprint.low && counted.high == model->state.fingerprint.high) return DBK_OK;
    return dbk_fail(err, DBK_CORRUPT, "the rows of '%s' are not those of its fingerprint", model->path);
}

bool dbk_model_holds_judgements(const dbk_model *model)
{
    return model->has_skips || model->has_row_records;
}

dbk_result dbk_model_check(dbk_model *model, dbk_error *err)
{
    model->sandbox.role = DBK_SQL_ENGINE;
    dbk_result result = dbk_model_exec(model, "BEGIN", "look through the model", err);

    if (result != DBK_OK) return result;
    result = check_in_snapshot(model, err);
    dbk_model_rollback(model);
    return result;
}
