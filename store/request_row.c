/* One row with its version, and rows of a table in order of their keys. */
#include "store/request.h"

enum { LIST_DEFAULT = 100, LIST_MAX = 1000 };
static const dbk_reader_limits list_limits = {
    .time_ms = 250, .memory_mib = DBK_QUERY_MAX_MIB, .answer_bytes = 8 * 1024 * 1024, .rows = LIST_MAX + 1};

/* ---- SQL of a row and of a list */

static void put_name(dbk_buffer *sql, const char *name)
{
    dbk_buffer_printf(sql, "\"%s\"", name);
}

static void put_names(dbk_buffer *sql, const dbk_table *table)
{
    for (uint16_t i = 0; i < table->key_count; i++) {
        if (i > 0) dbk_buffer_put_u8(sql, ',');
        put_name(sql, table->columns[table->key_columns[i]].name);
    }
}

/* The parts of a key are the parameters :k0, :k1 … */
static void put_parts(dbk_buffer *sql, const dbk_table *table)
{
    for (uint16_t i = 0; i < table->key_count; i++) dbk_buffer_printf(sql, "%s:k%u", i ? "," : "", i);
}

static void put_key_args(dbk_buffer *args, const dbk_json_node *key, bool *first)
{
    const dbk_json_node *part = key->kind == DBK_JSON_ARRAY ? key + 1 : key;
    uint32_t count = key->kind == DBK_JSON_ARRAY ? key->count : 1;
    for (uint32_t i = 0; i < count; i++, part = dbk_json_next(part)) {
        dbk_buffer_printf(args, "%s\"k%u\":", *first ? "" : ",", i);
        dbk_json_put_minimal(args, part);
        *first = false;
    }
}

/* ---- answers of a reader as objects */

/* columns and values of one row → {"column":value,…} */
static void put_object(dbk_buffer *out, const dbk_json_node *columns, const dbk_json_node *row)
{
    const dbk_json_node *name = columns + 1, *value = row + 1;
    dbk_buffer_put_u8(out, '{');
    for (uint32_t i = 0; i < row->count; i++, name = dbk_json_next(name), value = dbk_json_next(value)) {
        if (i > 0) dbk_buffer_put_u8(out, ',');
        dbk_json_put_string(out, name->text);
        dbk_buffer_put_u8(out, ':');
        dbk_json_put_minimal(out, value);
    }
    dbk_buffer_put_u8(out, '}');
}

static void put_key(dbk_buffer *out, const dbk_table *table, const dbk_json_node *row)
{
    if (table->key_count > 1) dbk_buffer_put_u8(out, '[');
    for (uint16_t i = 0; i < table->key_count; i++) {
        const dbk_json_node *value = row + 1;
        for (uint16_t c = 0; c < table->key_columns[i]; c++) value = dbk_json_next(value);
        if (i > 0) dbk_buffer_put_u8(out, ',');
        dbk_json_put_minimal(out, value);
    }
    if (table->key_count > 1) dbk_buffer_put_u8(out, ']');
}

typedef struct dbk_row_question {
    const dbk_table *table;
    dbk_buffer sql, args, answer;
    dbk_json_parser *args_parser, *parser;
    const dbk_json_node *columns, *rows;
    uint64_t position;
} dbk_row_question;

static dbk_result question_new(dbk_row_question *q, const dbk_port *port, const dbk_table *table, dbk_error *err)
{
    *q = (dbk_row_question){
        .table = table, .args_parser = dbk_json_parser_new(port), .parser = dbk_json_parser_new(port)};
    dbk_buffer_init(&q->sql, port);
    dbk_buffer_init(&q->args, port);
    dbk_buffer_init(&q->answer, port);
    return q->args_parser && q->parser ? DBK_OK : dbk_fail(err, DBK_NO_MEMORY, "no memory for a request");
}

static void question_release(dbk_row_question *q)
{
    dbk_json_parser_free(q->args_parser);
    dbk_json_parser_free(q->parser);
    dbk_buffer_release(&q->sql);
    dbk_buffer_release(&q->args);
    dbk_buffer_release(&q->answer);
}

static dbk_result ask(dbk_engine *engine, dbk_row_question *q, dbk_error *err)
{
    const dbk_json_node *args, *root;
    dbk_lent_reader lent;
    int64_t position = 0;
    if (q->sql.failed || q->args.failed) return dbk_fail(err, DBK_NO_MEMORY, "no memory for a request");
    dbk_result result = dbk_json_parse(q->args_parser, dbk_buffer_slice(&q->args), &args, err);
    if (result == DBK_OK) result = dbk_reader_borrow(engine, &lent, err);
    if (result != DBK_OK) return result;
    dbk_buffer_put_u8(&q->answer, '{');
    result = dbk_reader_query(lent.reader, dbk_buffer_slice(&q->sql), args, &list_limits, &q->answer, err);
    dbk_buffer_put_u8(&q->answer, '}');
    dbk_reader_give_back(engine, &lent);
    if (result == DBK_OK && q->answer.failed) result = dbk_fail(err, DBK_NO_MEMORY, "no memory for the answer");
    if (result == DBK_OK) result = dbk_json_parse(q->parser, dbk_buffer_slice(&q->answer), &root, err);
    if (result != DBK_OK) return result;
    q->columns = dbk_json_member(root, "columns");
    q->rows = dbk_json_member(root, "rows");
    const dbk_json_node *at = dbk_json_member(root, "position");
    if (!q->columns || !q->rows || !at || !dbk_json_is_integer(at, &position))
        return dbk_fail(err, DBK_INTERNAL, "a reader gave no rows");
    q->position = (uint64_t)position;
    return DBK_OK;
}

/* ---- get */

static dbk_result no_row(const dbk_table *table, dbk_slice key, dbk_error *err)
{
    return dbk_fail(err, DBK_NOT_FOUND, "there is no row '%s/%.*s'", table->name,
                    (int)(key.size < 256 ? key.size : 256), (const char *)key.data);
}

/* Row and version of one state: in the turn. */
static dbk_result get_in_turn(dbk_engine *engine, const dbk_table *table, dbk_slice key, dbk_slice stream,
                              dbk_buffer *out, dbk_error *err)
{
    dbk_model_state state;
    uint64_t version = 0;
    const dbk_port *port = engine->port;
    port->mutex_lock(port->ctx, engine->turn);
    dbk_buffer_put_text(out, ",\"row\":");
    dbk_result result = dbk_model_row_json(engine->model, table, key, out, err);
    if (result == DBK_OK) result = dbk_model_version(engine->model, stream, &version, err);
    dbk_model_get_state(engine->model, &state);
    port->mutex_unlock(port->ctx, engine->turn);
    if (result == DBK_NONE) return no_row(table, key, err);
    if (result != DBK_OK) return result;
    dbk_request_put_u64(out, "version", version);
    dbk_request_put_u64(out, "position", state.position);
    return DBK_OK;
}

/* Beside a writer: the row as its model shows it. Its version is not known here: cascades and projections
 * raise it in a place that only the writer reads. */
static dbk_result get_beside(dbk_engine *engine, const dbk_table *table, const dbk_json_node *key, dbk_slice encoded,
                             dbk_buffer *out, dbk_error *err)
{
    dbk_row_question q;
    bool first = true;
    dbk_result result = question_new(&q, engine->port, table, err);
    dbk_buffer_printf(&q.sql, "SELECT * FROM \"%s\" WHERE (", table->name);
    put_names(&q.sql, table);
    dbk_buffer_put_text(&q.sql, ") = (");
    put_parts(&q.sql, table);
    dbk_buffer_put_u8(&q.sql, ')');
    dbk_buffer_put_u8(&q.args, '{');
    put_key_args(&q.args, key, &first);
    dbk_buffer_put_u8(&q.args, '}');
    if (result == DBK_OK) result = ask(engine, &q, err);
    if (result == DBK_OK && q.rows->count == 0) result = no_row(table, encoded, err);
    if (result == DBK_OK) {
        dbk_buffer_put_text(out, ",\"row\":");
        put_object(out, q.columns, q.rows + 1);
        dbk_request_put_u64(out, "position", q.position);
    }
    question_release(&q);
    return result;
}

dbk_result dbk_request_get(dbk_engine *engine, const dbk_json_node *request, dbk_buffer *out, dbk_error *err)
{
    const dbk_table *table;
    const dbk_json_node *key = dbk_json_member(request, "key");
    dbk_buffer encoded, stream;
    if (dbk_json_member(request, "namespace") && !dbk_json_member(request, "table") && !key)
        return dbk_request_setting(engine, request, out, err);
    if (!dbk_json_member(request, "table")) return dbk_fail(err, DBK_BAD_COMMAND, "'get' needs 'table'");
    if (!key) return dbk_fail(err, DBK_BAD_COMMAND, "'get' needs 'key'");
    if (dbk_json_member(request, "namespace") || dbk_json_member(request, "path"))
        return dbk_fail(err, DBK_BAD_COMMAND, "'get' reads a row ('table', 'key') or a setting ('namespace', 'path')");
    dbk_result result = dbk_request_table(engine, request, &table, err);
    if (result != DBK_OK) return result;
    dbk_buffer_init(&encoded, engine->port);
    dbk_buffer_init(&stream, engine->port);
    result = dbk_key_from_json(table, key, &encoded, err);
    dbk_buffer_printf(&stream, "%s/", table->name);
    dbk_buffer_put_slice(&stream, dbk_buffer_slice(&encoded));
    if (result == DBK_OK && stream.failed) result = dbk_fail(err, DBK_NO_MEMORY, "no memory for a key");
    if (result == DBK_OK) {
        result = engine->reading
                     ? get_beside(engine, table, key, dbk_buffer_slice(&encoded), out, err)
                     : get_in_turn(engine, table, dbk_buffer_slice(&encoded), dbk_buffer_slice(&stream), out, err);
    }
    dbk_buffer_release(&encoded);
    dbk_buffer_release(&stream);
    return result;
}

/* ---- list */

static dbk_result check_prefix(const dbk_table *table, dbk_slice prefix, dbk_error *err)
{
    const dbk_column *column = &table->columns[table->key_columns[0]];
    if (prefix.size == 0 || column->type == DBK_TYPE_TEXT || column->type == DBK_TYPE_UUID ||
        column->type == DBK_TYPE_DATETIME)
        return DBK_OK;
    return dbk_fail(err, DBK_BAD_COMMAND, "'prefix' is for keys of text: '%s.%s' is none", table->name, column->name);
}

/* Begins with the prefix: from it on, and cut to its length equal to it. */
static dbk_result list_question(dbk_row_question *q, const dbk_json_node *request, int64_t limit, dbk_error *err)
{
    const dbk_table *table = q->table;
    const dbk_json_node *after = dbk_json_member(request, "after");
    const char *first_column = table->columns[table->key_columns[0]].name;
    dbk_slice prefix;
    bool first = true;
    dbk_result result = dbk_request_text(request, "prefix", &prefix, err);
    if (result == DBK_OK) result = check_prefix(table, prefix, err);
    if (after && after->kind != DBK_JSON_NULL && result == DBK_OK) {
        dbk_buffer encoded;
        dbk_buffer_init(&encoded, q->sql.port);
        result = dbk_key_from_json(table, after, &encoded, err);
        dbk_buffer_release(&encoded);
    }
    if (result != DBK_OK) return result;
    dbk_buffer_printf(&q->sql, "SELECT * FROM \"%s\" WHERE true", table->name);
    dbk_buffer_put_u8(&q->args, '{');
    if (prefix.size > 0) {
        dbk_buffer_printf(&q->sql, " AND \"%s\" >= :prefix AND substr(\"%s\", 1, length(:prefix)) = :prefix",
                          first_column, first_column);
        dbk_buffer_put_text(&q->args, "\"prefix\":");
        dbk_json_put_string(&q->args, prefix);
        first = false;
    }
    if (after && after->kind != DBK_JSON_NULL) {
        dbk_buffer_put_text(&q->sql, " AND (");
        put_names(&q->sql, table);
        dbk_buffer_put_text(&q->sql, ") > (");
        put_parts(&q->sql, table);
        dbk_buffer_put_u8(&q->sql, ')');
        put_key_args(&q->args, after, &first);
    }
    dbk_buffer_put_u8(&q->args, '}');
    dbk_buffer_put_text(&q->sql, " ORDER BY ");
    put_names(&q->sql, table);
    dbk_buffer_printf(&q->sql, " LIMIT %lld", (long long)limit + 1);
    return DBK_OK;
}

static void put_list(const dbk_row_question *q, int64_t limit, dbk_buffer *out)
{
    const dbk_json_node *row = q->rows + 1, *last = NULL;
    dbk_buffer_put_text(out, ",\"rows\":[");
    for (uint32_t i = 0; i < q->rows->count && i < (uint64_t)limit; i++, row = dbk_json_next(row)) {
        if (i > 0) dbk_buffer_put_u8(out, ',');
        put_object(out, q->columns, row);
        last = row;
    }
    dbk_buffer_put_u8(out, ']');
    dbk_request_put_u64(out, "position", q->position);
    if (q->rows->count <= (uint64_t)limit || !last) return;
    dbk_buffer_put_text(out, ",\"next\":");
    put_key(out, q->table, last);
}

dbk_result dbk_request_list(dbk_engine *engine, const dbk_json_node *request, dbk_buffer *out, dbk_error *err)
{
    const dbk_table *table;
    dbk_row_question q;
    int64_t limit = LIST_DEFAULT;
    dbk_result result = dbk_request_table(engine, request, &table, err);
    if (result == DBK_OK) result = dbk_request_number(request, "limit", 1, LIST_MAX, &limit, err);
    if (result != DBK_OK) return result;
    result = question_new(&q, engine->port, table, err);
    if (result == DBK_OK) result = list_question(&q, request, limit, err);
    if (result == DBK_OK) result = ask(engine, &q, err);
    if (result == DBK_OK) put_list(&q, limit, out);
    question_release(&q);
    return result;
}
