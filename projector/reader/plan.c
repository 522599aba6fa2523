/* How SQLite would carry out a query: one line per step, set in below the step it belongs to. */
#include "projector/reader/internal.h"

enum { DEPTH_MAX = 32, STEPS_MAX = 200 };

typedef struct plan_step {
    int id, depth;
} plan_step;

static int depth_of(const plan_step *steps, size_t count, int parent)
{
    for (size_t i = count; i > 0; i--)
        if (steps[i - 1].id == parent) return steps[i - 1].depth + 1 < DEPTH_MAX ? steps[i - 1].depth + 1 : DEPTH_MAX;
    return 0;
}

static void put_step(sqlite3_stmt *plan, int depth, bool first, dbk_buffer *out, dbk_buffer *line)
{
    const char *detail = (const char *)sqlite3_column_text(plan, 3);

    dbk_buffer_clear(line);
    for (int i = 0; i < depth; i++) dbk_buffer_put_text(line, "  ");
    dbk_buffer_put_text(line, detail ? detail : "");
    dbk_buffer_put_text(out, first ? "[" : ",[");
    dbk_json_put_string(out, dbk_buffer_slice(line));
    dbk_buffer_put_u8(out, ']');
}

static dbk_result put_plan(dbk_model_reader *reader, sqlite3_stmt *plan, dbk_buffer *out, dbk_error *err)
{
    plan_step steps[STEPS_MAX];
    size_t count = 0;
    int rc;

    dbk_buffer_put_text(out, "\"columns\":[\"plan\"],\"rows\":[");
    while ((rc = sqlite3_step(plan)) == SQLITE_ROW && count < STEPS_MAX) {
        steps[count] = (plan_step){sqlite3_column_int(plan, 0), depth_of(steps, count, sqlite3_column_int(plan, 1))};
        put_step(plan, steps[count].depth, count == 0, out, &reader->scratch);
        count++;
    }
    dbk_buffer_put_u8(out, ']');
    if (out->failed || reader->scratch.failed)
        return dbk_fail(err, DBK_NO_MEMORY, "cannot explain a query: out of memory");
    return rc == SQLITE_ROW || rc == SQLITE_DONE ? DBK_OK : dbk_reader_failure(reader, rc, err);
}

dbk_result dbk_reader_put_plan(dbk_model_reader *reader, dbk_slice sql, dbk_buffer *out, dbk_error *err)
{
    sqlite3_stmt *statement = NULL, *plan = NULL;
    dbk_buffer text;
    dbk_result result = dbk_reader_prepare(reader, sql, &statement, err); /* what may not run is not explained */

    sqlite3_finalize(statement);
    if (result != DBK_OK) return result;
    dbk_buffer_init(&text, reader->port);
    dbk_buffer_put_text(&text, "EXPLAIN QUERY PLAN ");
    dbk_buffer_put_slice(&text, sql);
    result = text.failed ? dbk_fail(err, DBK_NO_MEMORY, "cannot explain a query: out of memory")
                         : dbk_reader_prepare(reader, dbk_buffer_slice(&text), &plan, err);
    if (result == DBK_OK && sqlite3_column_count(plan) != 4)
        result = dbk_fail(err, DBK_BAD_COMMAND, "only a SELECT is explained");
    if (result == DBK_OK) result = put_plan(reader, plan, out, err);
    sqlite3_finalize(plan);
    dbk_buffer_release(&text);
    return result;
}
