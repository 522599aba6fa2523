/* Values of clients' queries: arguments in, rows out. */
#include "projector/reader/internal.h"

static dbk_result no_memory(dbk_error *err)
{
    return dbk_fail(err, DBK_NO_MEMORY, "cannot answer a query: out of memory");
}

/* ---- arguments */

static int bind_text(sqlite3_stmt *statement, int parameter, dbk_slice text)
{
    return sqlite3_bind_text64(statement, parameter, text.size ? (const char *)text.data : "", text.size,
                               SQLITE_TRANSIENT, SQLITE_UTF8);
}

/* 5 is an integer here and 5.0 is not: no column says what is meant. */
static int bind_number(sqlite3_stmt *statement, int parameter, const dbk_json_node *value)
{
    int64_t integer;
    bool whole = true;

    for (size_t i = 0; i < value->text.size; i++) {
        whole = whole && value->text.data[i] != '.' && (value->text.data[i] | 0x20) != 'e';
    }
    if (whole && dbk_json_is_integer(value, &integer)) return sqlite3_bind_int64(statement, parameter, integer);
    return sqlite3_bind_double(statement, parameter, dbk_json_double(value));
}

static dbk_result bind_value(dbk_model_reader *reader, sqlite3_stmt *statement, int parameter,
                             const dbk_json_node *value, dbk_error *err)
{
    int rc = SQLITE_OK;

    switch ((dbk_json_kind)value->kind) {
    case DBK_JSON_NULL: rc = sqlite3_bind_null(statement, parameter); break;
    case DBK_JSON_FALSE: rc = sqlite3_bind_int(statement, parameter, 0); break;
    case DBK_JSON_TRUE: rc = sqlite3_bind_int(statement, parameter, 1); break;
    case DBK_JSON_NUMBER: rc = bind_number(statement, parameter, value); break;
    case DBK_JSON_STRING: rc = bind_text(statement, parameter, value->text); break;
    case DBK_JSON_ARRAY:
    case DBK_JSON_OBJECT:
        dbk_buffer_clear(&reader->scratch);
        dbk_json_put_minimal(&reader->scratch, value);
        if (reader->scratch.failed) return no_memory(err);
        rc = bind_text(statement, parameter, dbk_buffer_slice(&reader->scratch));
    }
    return rc == SQLITE_OK ? DBK_OK : dbk_reader_failure(reader, rc, err);
}

/* The name of a parameter without its :, @ or $; NULL: a bare or numbered ?. */
static const char *parameter_name(sqlite3_stmt *statement, int parameter)
{
    const char *name = sqlite3_bind_parameter_name(statement, parameter);
    return name && *name != '?' ? name + 1 : NULL;
}

static bool is_one_of(dbk_slice name, const char *const *names, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (dbk_slice_equal(dbk_slice_text(names[i]), name)) return true;
    }
    return false;
}

static dbk_result check_all_used(sqlite3_stmt *statement, const dbk_json_node *args, dbk_error *err)
{
    const char *names[PARAMETERS_MAX];
    size_t count = 0;

    for (int i = 1; i <= sqlite3_bind_parameter_count(statement) && count < PARAMETERS_MAX; i++) {
        const char *name = parameter_name(statement, i);
        if (name) names[count++] = name;
    }
    const dbk_json_node *value = dbk_json_child(args);
    for (uint32_t i = 0; i < args->count; i++, value = dbk_json_next(value)) {
        if (is_one_of(value->name, names, count)) continue;
        dbk_result result =
            dbk_fail(err, DBK_UNKNOWN_FIELD, "the query has no argument '%.*s'", DBK_SLICE_ARG(value->name));
        const char *near = dbk_nearest(value->name, names, count);
        if (near) dbk_error_hint(err, "did you mean '%s'?", near);
        return result;
    }
    return DBK_OK;
}

static dbk_result bind_object(dbk_model_reader *reader, sqlite3_stmt *statement, const dbk_json_node *args,
                              dbk_error *err)
{
    int count = sqlite3_bind_parameter_count(statement);

    for (int i = 1; i <= count; i++) {
        const char *name = parameter_name(statement, i);
        const dbk_json_node *value = name ? dbk_json_member(args, name) : NULL;
        if (!name) return dbk_fail(err, DBK_BAD_COMMAND, "named arguments cannot fill a '?'");
        if (!value) return dbk_fail(err, DBK_BAD_COMMAND, "the argument '%s' is missing", name);
        dbk_result result = bind_value(reader, statement, i, value, err);
        if (result != DBK_OK) return result;
    }
    return check_all_used(statement, args, err);
}

static dbk_result bind_array(dbk_model_reader *reader, sqlite3_stmt *statement, const dbk_json_node *args,
                             dbk_error *err)
{
    int count = sqlite3_bind_parameter_count(statement);
    const dbk_json_node *value = dbk_json_child(args);

    if (args->count != (uint32_t)count) {
        return dbk_fail(err, DBK_BAD_COMMAND, "the query takes %d argument%s, not %u", count, count == 1 ? "" : "s",
                        args->count);
    }
    for (int i = 1; i <= count; i++, value = dbk_json_next(value)) {
        dbk_result result = bind_value(reader, statement, i, value, err);
        if (result != DBK_OK) return result;
    }
    return DBK_OK;
}

dbk_result dbk_reader_bind(dbk_model_reader *reader, sqlite3_stmt *statement, const dbk_json_node *args, dbk_error *err)
{
    int count = sqlite3_bind_parameter_count(statement);

    if (!args || args->kind == DBK_JSON_NULL) {
        if (count == 0) return DBK_OK;
        const char *name = parameter_name(statement, 1);
        if (name) return dbk_fail(err, DBK_BAD_COMMAND, "the argument '%s' is missing", name);
        return dbk_fail(err, DBK_BAD_COMMAND, "the query takes %d argument%s and has none", count,
                        count == 1 ? "" : "s");
    }
    if (args->kind == DBK_JSON_OBJECT) return bind_object(reader, statement, args, err);
    if (args->kind == DBK_JSON_ARRAY) return bind_array(reader, statement, args, err);
    return dbk_fail(err, DBK_BAD_COMMAND, "arguments are an object or an array");
}

/* ---- arguments of a named query */

static const dbk_argument *find_argument(const dbk_named_query *query, dbk_slice name)
{
    for (uint16_t i = 0; i < query->argument_count; i++) {
        if (dbk_slice_equal(dbk_slice_text(query->arguments[i].name), name)) return &query->arguments[i];
    }
    return NULL;
}

static dbk_result no_argument(const dbk_named_query *query, dbk_slice name, dbk_error *err)
{
    const char *names[PARAMETERS_MAX];
    size_t count = 0;

    for (uint16_t i = 0; i < query->argument_count && count < PARAMETERS_MAX; i++)
        names[count++] = query->arguments[i].name;
    dbk_result result =
        dbk_fail(err, DBK_UNKNOWN_FIELD, "the query '%s' has no argument '%.*s'", query->name, DBK_SLICE_ARG(name));
    const char *near = dbk_nearest(name, names, count);
    if (near) dbk_error_hint(err, "did you mean '%s'?", near);
    else if (count == 0) dbk_error_hint(err, "it takes none");
    else if (count == 1) dbk_error_hint(err, "it takes '%s'", names[0]);
    return result;
}

static dbk_result check_names(const dbk_named_query *query, const dbk_json_node *args, dbk_error *err)
{
    if (!args || args->kind == DBK_JSON_NULL) return DBK_OK;
    if (args->kind != DBK_JSON_OBJECT)
        return dbk_fail(err, DBK_BAD_COMMAND, "the arguments of '%s' are an object", query->name);
    const dbk_json_node *value = dbk_json_child(args);
    for (uint32_t i = 0; i < args->count; i++, value = dbk_json_next(value)) {
        if (find_argument(query, value->name)) continue;
        return no_argument(query, value->name, err);
    }
    return DBK_OK;
}

static dbk_result bind_default(dbk_model_reader *reader, sqlite3_stmt *statement, int parameter,
                               const dbk_argument *argument, dbk_error *err)
{
    sqlite3_stmt *literal = NULL;

    dbk_buffer_clear(&reader->scratch);
    dbk_buffer_put_text(&reader->scratch, "SELECT ");
    dbk_buffer_put_text(&reader->scratch, argument->default_sql);
    if (reader->scratch.failed) return no_memory(err);
    dbk_result result = dbk_reader_prepare(reader, dbk_buffer_slice(&reader->scratch), &literal, err);
    if (result == DBK_OK) {
        int rc = sqlite3_step(literal);
        if (rc == SQLITE_ROW) rc = sqlite3_bind_value(statement, parameter, sqlite3_column_value(literal, 0));
        if (rc != SQLITE_OK) result = dbk_reader_failure(reader, rc, err);
    }
    sqlite3_finalize(literal);
    return result;
}

static dbk_result bind_argument(dbk_model_reader *reader, sqlite3_stmt *statement, int parameter,
                                const dbk_named_query *query, const dbk_argument *argument, const dbk_json_node *value,
                                dbk_error *err)
{
    dbk_column column = {.name = argument->name, .declared = "", .type = argument->type};

    if (!value && argument->default_sql) return bind_default(reader, statement, parameter, argument, err);
    if (!value && !argument->optional) {
        return dbk_fail(err, DBK_BAD_COMMAND, "the query '%s' needs the argument '%s'", query->name, argument->name);
    }
    if (!value) return DBK_OK; /* unbound is NULL */
    if (value->kind == DBK_JSON_NULL && !argument->optional) {
        return dbk_fail(err, DBK_SCHEMA, "the argument '%s' of '%s' is not null", argument->name, query->name);
    }
    return dbk_value_bind(&column, query->name, value, statement, parameter, &reader->scratch, err);
}

/* No argument has that name. */
static dbk_result bind_time(dbk_model_reader *reader, sqlite3_stmt *statement, dbk_error *err)
{
    char now[DBK_TIME_TEXT_SIZE];
    int parameter = sqlite3_bind_parameter_index(statement, ":time");

    if (!parameter) return DBK_OK;
    dbk_time_stored(reader->sandbox.time_ms, true, now);
    int rc = bind_text(statement, parameter, dbk_slice_text(now));
    return rc == SQLITE_OK ? DBK_OK : dbk_reader_failure(reader, rc, err);
}

/* In the order of the definition, so that what is missing is told whether the SQL uses it or not. */
dbk_result dbk_reader_bind_named(dbk_model_reader *reader, sqlite3_stmt *statement, const dbk_named_query *query,
                                 const dbk_json_node *args, dbk_error *err)
{
    dbk_result result = check_names(query, args, err);
    if (result == DBK_OK) result = bind_time(reader, statement, err);
    bool has_args = args && args->kind == DBK_JSON_OBJECT;

    for (uint16_t a = 0; result == DBK_OK && a < query->argument_count; a++) {
        const dbk_argument *argument = &query->arguments[a];
        const dbk_json_node *value = has_args ? dbk_json_member(args, argument->name) : NULL;
        int parameter = 0;
        for (int i = 1; i <= sqlite3_bind_parameter_count(statement) && !parameter; i++) {
            const char *name = parameter_name(statement, i);
            if (name && strcmp(name, argument->name) == 0) parameter = i;
        }
        if (parameter) {
            result = bind_argument(reader, statement, parameter, query, argument, value, err);
        } else if (!value && !argument->default_sql && !argument->optional) {
            result =
                dbk_fail(err, DBK_BAD_COMMAND, "the query '%s' needs the argument '%s'", query->name, argument->name);
        }
    }
    return result;
}

/* ---- the answer */

static dbk_column_type type_of(sqlite3_stmt *statement, const dbk_named_query *query, int column)
{
    if (query && query->returns && column < query->return_count) return query->returns[column];
    const char *declared = sqlite3_column_decltype(statement, column);
    return declared ? dbk_type_of_declared(declared) : DBK_TYPE_ANY;
}

static dbk_result put_columns(dbk_model_reader *reader, sqlite3_stmt *statement, const dbk_named_query *query,
                              dbk_column_type *types, dbk_buffer *out, dbk_error *err)
{
    int count = sqlite3_column_count(statement);

    if (count > DBK_COLUMNS_MAX) return dbk_fail(err, DBK_TOO_BIG, "an answer has at most %d columns", DBK_COLUMNS_MAX);
    dbk_buffer_put_text(out, "\"columns\":[");
    for (int i = 0; i < count; i++) {
        const char *name = sqlite3_column_name(statement, i);
        if (!name) return dbk_reader_failure(reader, SQLITE_NOMEM, err);
        if (i) dbk_buffer_put_u8(out, ',');
        dbk_json_put_string(out, dbk_slice_text(name));
        types[i] = type_of(statement, query, i);
    }
    dbk_buffer_put_text(out, "],\"rows\":[");
    return DBK_OK;
}

static void put_row(sqlite3_stmt *statement, const dbk_column_type *types, dbk_buffer *out)
{
    int count = sqlite3_column_count(statement);
    for (int i = 0; i < count; i++) {
        dbk_buffer_put_u8(out, i ? ',' : '[');
        dbk_value_out(types[i], sqlite3_column_value(statement, i), false, out);
    }
    dbk_buffer_put_u8(out, ']');
}

dbk_result dbk_reader_put_answer(dbk_model_reader *reader, sqlite3_stmt *statement, const dbk_named_query *query,
                                 const dbk_reader_limits *limits, dbk_buffer *out, dbk_error *err)
{
    dbk_column_type types[DBK_COLUMNS_MAX];
    uint64_t rows = 0;
    size_t size = out->size;
    int rc = SQLITE_DONE;
    dbk_result result = put_columns(reader, statement, query, types, out, err);

    while (result == DBK_OK && !out->failed && (rc = sqlite3_step(statement)) == SQLITE_ROW) {
        if (limits && limits->rows && rows == limits->rows) {
            return dbk_fail(err, DBK_TOO_BIG, "the answer has more than %llu rows", (unsigned long long)limits->rows);
        }
        if (rows++) dbk_buffer_put_u8(out, ',');
        put_row(statement, types, out);
        if (limits && limits->answer_bytes && out->size - size > limits->answer_bytes) {
            return dbk_fail(err, DBK_TOO_BIG, "the answer has more than %llu bytes",
                            (unsigned long long)limits->answer_bytes);
        }
    }
    if (result == DBK_OK && out->failed) return no_memory(err);
    if (result == DBK_OK && rc != SQLITE_DONE) return dbk_reader_failure(reader, rc, err);
    dbk_buffer_put_u8(out, ']');
    return result;
}
