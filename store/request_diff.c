/* diff: the rows in which two moments differ. */
#include "store/replay.h"
#include "store/request.h"
#include "store/row_change.h"

enum { ROWS_DEFAULT = 1000, ROWS_MAX = 100000 };

typedef struct dbk_difference {
    dbk_row_writer writer;
    const dbk_table *only; /* NULL: all tables */
    uint64_t count, limit, left_out;
} dbk_difference;

static dbk_result on_row(void *arg, const dbk_table *table, dbk_slice key, dbk_slice before, dbk_slice after,
                         dbk_error *err)
{
    dbk_difference *difference = arg;
    dbk_buffer *out = difference->writer.out;
    if (difference->only && difference->only != table) return DBK_OK;
    if (difference->count == difference->limit) {
        difference->left_out++;
        return DBK_OK;
    }
    dbk_buffer_put_text(out, difference->count++ ? ",{" : "{");
    dbk_row_writer_name(&difference->writer, table, key);
    dbk_buffer_put_u8(out, ',');
    dbk_result result = dbk_row_writer_change(&difference->writer, before, after, err);
    dbk_buffer_put_u8(out, '}');
    return result == DBK_OK && out->failed ? dbk_fail(err, DBK_NO_MEMORY, "no memory for the answer") : result;
}

/* A position or a time; `name` absent: now. */
static dbk_result read_moment(dbk_engine *engine, const dbk_json_node *request, const char *name, dbk_past *past,
                              dbk_error *err)
{
    const dbk_json_node *node = dbk_json_member(request, name);
    dbk_moment at = {0};
    int64_t number = 0;
    if (!node || node->kind == DBK_JSON_NULL) return dbk_past_of(engine, NULL, past, err);
    if (node->kind == DBK_JSON_NUMBER && dbk_json_is_integer(node, &number) && number >= 0)
        at.position = (uint64_t)number;
    else if (node->kind != DBK_JSON_STRING || !dbk_time_parse(node->text, &at.time_ms) || at.time_ms <= 0) {
        (void)dbk_fail(err, DBK_BAD_COMMAND, "'%s' must be a position or a time", name);
        dbk_error_hint(err, "write a time as 2026-11-21T04:05:06Z");
        return DBK_BAD_COMMAND;
    }
    dbk_result result = dbk_past_of(engine, &at, past, err);
    if (result == DBK_OK && at.position == 0 && at.time_ms == 0) past->position = 0; /* before the first entry */
    return result;
}

static dbk_result compare(dbk_engine *engine, const dbk_past *from, const dbk_past *to, dbk_difference *difference,
                          dbk_error *err)
{
    dbk_past_model before = {0}, after = {0};
    dbk_result result = dbk_past_open(engine, from, NULL, &before, err);
    if (result == DBK_OK) result = dbk_past_open(engine, to, NULL, &after, err);
    if (result == DBK_OK) result = dbk_model_compare(before.model, after.model, on_row, difference, err);
    dbk_past_discard(engine, &before);
    dbk_past_discard(engine, &after);
    return result;
}

dbk_result dbk_request_diff(dbk_engine *engine, const dbk_json_node *request, dbk_buffer *out, dbk_error *err)
{
    dbk_past from, to;
    int64_t limit = ROWS_DEFAULT;
    dbk_difference difference = {0};
    dbk_result result = read_moment(engine, request, "from", &from, err);
    if (result == DBK_OK) result = read_moment(engine, request, "to", &to, err);
    if (result == DBK_OK) result = dbk_request_number(request, "limit", 1, ROWS_MAX, &limit, err);
    if (result == DBK_OK && dbk_json_member(request, "table"))
        result = dbk_request_table(engine, request, &difference.only, err);
    if (result == DBK_OK) result = dbk_row_writer_init(&difference.writer, engine, out, err);
    if (result != DBK_OK) return result;
    difference.limit = (uint64_t)limit;
    dbk_request_put_u64(out, "from", from.position);
    dbk_request_put_u64(out, "to", to.position);
    dbk_buffer_put_text(out, ",\"rows\":[");
    result = compare(engine, &from, &to, &difference, err);
    dbk_buffer_put_u8(out, ']');
    if (difference.left_out) dbk_request_put_u64(out, "left_out", difference.left_out);
    dbk_row_writer_release(&difference.writer);
    return result;
}
