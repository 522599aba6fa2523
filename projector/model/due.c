/* Rows whose time is over by a rule of app.json: read for the store, which deletes them by commands. */
#include "projector/rows/rules.h"

/* A look holds the turn: a condition that takes more of SQLite's steps is given up, and looked at again later. */
enum { STEPS_EACH = 1000, THOUSANDS_MAX = 20000 };

static int count_steps(void *arg)
{
    uint32_t *thousands = arg;
    return ++*thousands > THOUSANDS_MAX;
}

/* ?1 is the end of the time that a rule keeps, in the stored form. */
static void put_condition(dbk_buffer *sql, const dbk_retention_rule *rule)
{
    if (rule->where) dbk_buffer_printf(sql, " WHERE (%s\n)", rule->where);
    else
        dbk_buffer_printf(sql, " WHERE \"%s\" <= ?1 ORDER BY \"%s\"", rule->table->columns[rule->by].name,
                          rule->table->columns[rule->by].name);
}

static dbk_result prepare(dbk_model *model, const dbk_retention_rule *rule, uint64_t skip, uint64_t limit,
                          sqlite3_stmt **out, dbk_error *err)
{
    const dbk_table *table = rule->table;
    dbk_sql_role role = model->sandbox.role;
    dbk_buffer sql;

    dbk_buffer_init(&sql, model->port);
    dbk_buffer_put_text(&sql, "SELECT ");
    for (uint16_t i = 0; i < table->key_count; i++)
        dbk_buffer_printf(&sql, "%s\"%s\"", i ? "," : "", table->columns[table->key_columns[i]].name);
    dbk_buffer_printf(&sql, " FROM \"%s\"", table->name);
    put_condition(&sql, rule);
    dbk_buffer_printf(&sql, " LIMIT %llu OFFSET %llu", (unsigned long long)limit, (unsigned long long)skip);
    const char *text = dbk_buffer_text(&sql);
    model->sandbox.role = DBK_SQL_QUERY; /* the condition is the app's */
    int rc = text ? sqlite3_prepare_v2(model->db, text, -1, out, NULL) : SQLITE_NOMEM;
    model->sandbox.role = role;
    dbk_buffer_release(&sql);
    return rc == SQLITE_OK ? DBK_OK : dbk_model_sql_failure(model, rc, "prepare a retention rule", err);
}

static dbk_result each_row(dbk_model *model, const dbk_table *table, sqlite3_stmt *rows, dbk_due_fn each, void *arg,
                           dbk_error *err)
{
    char base[DBK_ENTRY_ID_TEXT_SIZE];
    dbk_buffer *key = &model->work->key;
    dbk_result result = DBK_OK;
    int rc = SQLITE_DONE;

    while (result == DBK_OK && (rc = sqlite3_step(rows)) == SQLITE_ROW) {
        dbk_buffer_clear(key);
        if (!dbk_key_from_columns(table, rows, key)) {
            if (key->failed) result = dbk_row_no_memory(err);
            continue;
        }
        result = dbk_row_last_writer(model, table, dbk_buffer_slice(key), base, err);
        if (result == DBK_OK) result = each(arg, dbk_buffer_slice(key), base, err);
    }
    if (result == DBK_OK && rc != SQLITE_DONE)
        result = dbk_model_sql_failure(model, rc, "read what a retention rule ends", err);
    return result;
}

/* In a transaction that is given up: what the last one touched is forgotten, and nothing is written. */
dbk_result dbk_model_due(dbk_model *model, const dbk_retention_rule *rule, int64_t now_ms, uint64_t skip,
                         uint64_t limit, dbk_due_fn each, void *arg, dbk_error *err)
{
    sqlite3_stmt *rows = NULL;
    char end[DBK_TIME_TEXT_SIZE];
    uint32_t thousands = 0;
    dbk_memory_bound memory;
    dbk_result result = dbk_model_begin(model, err);

    if (result != DBK_OK) return result;
    model->deciding = true;
    model->sandbox.time_ms = now_ms;
    result = prepare(model, rule, skip, limit, &rows, err);
    dbk_time_stored(now_ms - (int64_t)rule->older_ms, true, end);
    if (result == DBK_OK && !rule->where) (void)sqlite3_bind_text(rows, 1, end, -1, SQLITE_STATIC);
    sqlite3_progress_handler(model->db, STEPS_EACH, count_steps, &thousands);
    dbk_memory_begin(&memory, NULL, (int64_t)DBK_SQL_MEMORY_MIB << 20);
    if (result == DBK_OK) result = each_row(model, rule->table, rows, each, arg, err);
    bool no_memory = dbk_memory_end(&memory);
    sqlite3_progress_handler(model->db, 0, NULL, NULL);
    (void)sqlite3_finalize(rows);
    if (result == DBK_NO_MEMORY && no_memory) {
        result = dbk_fail(err, DBK_TOO_BIG, "the retention rule '%s' takes more than %d MiB of memory", rule->name,
                          DBK_SQL_MEMORY_MIB);
        dbk_error_hint(err, "an index on what its 'where' asks for");
    }
    if (result != DBK_OK && thousands > THOUSANDS_MAX) {
        result = dbk_fail(err, DBK_BUSY, "the retention rule '%s' takes more than %d million steps", rule->name,
                          THOUSANDS_MAX / 1000);
        dbk_error_hint(err, "an end to the recursion in its 'where', or an index on what it asks for");
    }
    dbk_model_rollback(model);
    return result;
}

dbk_result dbk_model_count_rows(dbk_model *model, const dbk_table *table, uint64_t *rows, dbk_error *err)
{
    sqlite3_stmt *statement = NULL;
    char *sql = sqlite3_mprintf("SELECT count(*) FROM \"%w\"", table->name);
    int rc = sql ? sqlite3_prepare_v2(model->db, sql, -1, &statement, NULL) : SQLITE_NOMEM;

    sqlite3_free(sql);
    if (rc == SQLITE_OK) rc = sqlite3_step(statement);
    *rows = rc == SQLITE_ROW ? (uint64_t)sqlite3_column_int64(statement, 0) : 0;
    (void)sqlite3_finalize(statement);
    return rc == SQLITE_ROW ? DBK_OK : dbk_model_sql_failure(model, rc, "count the rows of a table", err);
}
