/* SELECTs of the embedding process inside an entry: it sees what the entry has changed so far. */
#include "projector/rows/command.h"

enum { STEPS_EACH = 1000, THOUSANDS_MAX = 20000, ROWS_MAX = 100000, ROWS_MAX_BYTES = 16 * 1024 * 1024 };

static int count_steps(void *arg)
{
    dbk_commands *commands = arg;

    return ++commands->steps > THOUSANDS_MAX;
}

static dbk_result failure(dbk_model *model, int rc, dbk_error *err)
{
    if ((rc & 0xff) == SQLITE_INTERRUPT) return dbk_fail(err, DBK_BUSY, "the query reads too much");
    if ((rc & 0xff) == SQLITE_AUTH || model->sandbox.denied[0])
        return dbk_fail(err, DBK_DENIED, "a query cannot do this: %s",
                        model->sandbox.denied[0] ? model->sandbox.denied : sqlite3_errmsg(model->db));
    if ((rc & 0xff) == SQLITE_ERROR || (rc & 0xff) == SQLITE_MISMATCH)
        return dbk_fail(err, DBK_BAD_COMMAND, "%s", sqlite3_errmsg(model->db));
    return dbk_model_sql_failure(model, rc, "read for a command", err);
}

static dbk_result prepare(dbk_model *model, dbk_slice sql, sqlite3_stmt **out, dbk_error *err)
{
    dbk_sql_role role = model->sandbox.role;
    const char *tail = NULL;

    if (sql.size > DBK_SOURCE_MAX_BYTES)
        return dbk_fail(err, DBK_TOO_BIG, "a query of %zu bytes is too long", sql.size);
    model->sandbox.role = DBK_SQL_QUERY;
    model->sandbox.denied[0] = '\0';
    int rc = sqlite3_prepare_v2(model->db, (const char *)sql.data, (int)sql.size, out, &tail);
    model->sandbox.role = role;
    if (rc != SQLITE_OK) return failure(model, rc, err);
    if (!*out || !sqlite3_stmt_readonly(*out) || sqlite3_column_count(*out) == 0)
        return dbk_fail(err, DBK_DENIED, "a query is a SELECT");
    for (const char *end = (const char *)sql.data + sql.size; tail < end; tail++)
        if (!strchr("; \t\r\n", *tail)) return dbk_fail(err, DBK_BAD_COMMAND, "a query is one statement");
    return DBK_OK;
}

static dbk_result bind(dbk_model *model, sqlite3_stmt *statement, const dbk_json_node *args, dbk_error *err)
{
    int count = sqlite3_bind_parameter_count(statement);

    if (args && args->kind != DBK_JSON_OBJECT) return dbk_fail(err, DBK_BAD_COMMAND, "arguments are an object");
    for (int i = 1; i <= count; i++) {
        const char *name = sqlite3_bind_parameter_name(statement, i);
        const dbk_json_node *value = args && name ? dbk_json_member(args, name + 1) : NULL;
        if (!value) return dbk_fail(err, DBK_BAD_COMMAND, "the argument '%s' is missing", name ? name + 1 : "?");
        int rc = dbk_row_bind_json(model, statement, i, value);
        if (rc != SQLITE_OK) return dbk_model_sql_failure(model, rc, "bind an argument", err);
    }
    return DBK_OK;
}

static dbk_result put_rows(dbk_model *model, sqlite3_stmt *statement, dbk_buffer *out, dbk_error *err)
{
    size_t count = 0, begin = out->size;
    int rc;

    model->commands->steps = 0;
    sqlite3_progress_handler(model->db, STEPS_EACH, count_steps, model->commands);
    dbk_buffer_put_u8(out, '[');
    while ((rc = sqlite3_step(statement)) == SQLITE_ROW && !out->failed) {
        if (count++) dbk_buffer_put_u8(out, ',');
        dbk_command_put_result(statement, out);
        if (count > ROWS_MAX || out->size - begin > ROWS_MAX_BYTES) break;
    }
    sqlite3_progress_handler(model->db, 0, NULL, NULL);
    dbk_buffer_put_u8(out, ']');
    if (out->failed) return dbk_row_no_memory(err);
    if (rc == SQLITE_ROW)
        return dbk_fail(err, DBK_TOO_BIG, "more than %d rows or %d MiB", ROWS_MAX, ROWS_MAX_BYTES >> 20);
    return rc == SQLITE_DONE ? DBK_OK : failure(model, rc, err);
}

dbk_result dbk_model_select(dbk_model *model, dbk_slice sql, const dbk_json_node *args, dbk_buffer *out, dbk_error *err)
{
    sqlite3_stmt *statement = NULL;
    dbk_result result =
        model->in_entry ? prepare(model, sql, &statement, err) : dbk_fail(err, DBK_INTERNAL, "no entry is open");

    if (result == DBK_OK) result = bind(model, statement, args, err);
    if (result == DBK_OK) result = put_rows(model, statement, out, err);
    sqlite3_finalize(statement);
    return result;
}
