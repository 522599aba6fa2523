/* Decisions on rows: put, patch, delete (semantics.md §3, app-format.md §5). Each is carried out
 * first; its event says what that came to. */
#include "projector/rows/rules.h"

#include <inttypes.h>
#include <stdio.h>

/* ---- form */

static dbk_result unknown_table(const dbk_definition *definition, dbk_slice name, dbk_error *err)
{
    const char *names[DBK_TABLES_MAX], *nearest;
    size_t count = 0;

    for (size_t i = 0; i < definition->table_count && count < DBK_TABLES_MAX; i++) {
        if (definition->tables[i].collection) names[count++] = definition->tables[i].name;
    }
    (void)dbk_fail(err, DBK_UNKNOWN_TABLE, "there is no table '%.*s'", DBK_SLICE_ARG(name));
    nearest = dbk_nearest(name, names, count);
    if (nearest) dbk_error_hint(err, "did you mean '%s'?", nearest);
    return DBK_UNKNOWN_TABLE;
}

static dbk_result unknown_field(const dbk_table *table, dbk_slice name, dbk_error *err)
{
    const char *names[DBK_COLUMNS_MAX], *nearest;

    for (uint16_t i = 0; i < table->column_count; i++) names[i] = table->columns[i].name;
    (void)dbk_fail(err, DBK_UNKNOWN_FIELD, "'%s' has no column '%.*s'", table->name, DBK_SLICE_ARG(name));
    nearest = dbk_nearest(name, names, table->column_count);
    if (nearest) dbk_error_hint(err, "did you mean '%s'?", nearest);
    return DBK_UNKNOWN_FIELD;
}

bool dbk_row_expect_asks_row(const dbk_json_node *expect)
{
    return expect && (dbk_json_text_is(expect, "none") || dbk_json_text_is(expect, "exists"));
}

static dbk_result check_form(const dbk_decision *change, dbk_error *err)
{
    const dbk_json_node *expect = change->expect;
    int64_t version;

    if (change->data && change->data->kind != DBK_JSON_OBJECT) {
        return dbk_fail(err, DBK_BAD_COMMAND, "the data of a %s is an object", change->op);
    }
    if (!expect || dbk_json_text_is(expect, "any") || dbk_row_expect_asks_row(expect)) return DBK_OK;
    if (dbk_json_is_integer(expect, &version) && version >= 0) return DBK_OK;
    return dbk_fail(err, DBK_BAD_COMMAND, "expect is a version, \"none\", \"exists\" or \"any\"");
}

static dbk_result list_values(dbk_decision *change, dbk_error *err)
{
    const dbk_json_node **values = change->model->work->values;
    const dbk_json_node *child = change->data ? dbk_json_child(change->data) : NULL;
    uint16_t guess = 0;

    memset(values, 0, change->table->column_count * sizeof(*values));
    for (uint32_t i = 0; change->data && i < change->data->count; i++, child = dbk_json_next(child)) {
        int column = dbk_table_column_near(change->table, child->name, &guess);
        if (column < 0) return unknown_field(change->table, child->name, err);
        values[column] = child;
    }
    return DBK_OK;
}

/* ---- key */

/* Key columns in the data say the same as the key, or give it. */
static dbk_result check_key_columns(dbk_decision *change, dbk_error *err)
{
    dbk_row_work *work = change->model->work;
    const dbk_table *table = change->table;
    dbk_slice rest = change->key;

    for (uint16_t i = 0; i < table->key_count; i++) {
        const dbk_column *column = &table->columns[table->key_columns[i]];
        const dbk_json_node *value = work->values[table->key_columns[i]];
        const uint8_t *slash = rest.size ? memchr(rest.data, '/', rest.size) : NULL;
        dbk_slice part = dbk_slice_of(rest.data, slash ? (size_t)(slash - rest.data) : rest.size);

        rest = slash ? dbk_slice_of(slash + 1, rest.size - part.size - 1) : dbk_slice_of(NULL, 0);
        if (!value) continue;
        dbk_buffer_clear(&work->part);
        dbk_result result = dbk_key_part_put(table, column, value, &work->part, err);
        if (result != DBK_OK) return result;
        if (dbk_slice_equal(dbk_buffer_slice(&work->part), part)) continue;
        return dbk_fail(err, DBK_BAD_COMMAND, "the data of a %s cannot change the key column '%s.%s'", change->op,
                        table->name, column->name);
    }
    return DBK_OK;
}

static dbk_result make_integer_key(dbk_decision *change, dbk_error *err)
{
    dbk_row_work *work = change->model->work;
    sqlite3_stmt *statement;
    dbk_result result = dbk_row_prepare(change->model, change->table, DBK_ROW_MAX, &statement, err);

    if (result != DBK_OK) return result;
    int rc = sqlite3_step(statement);
    int64_t highest = rc == SQLITE_ROW ? sqlite3_column_int64(statement, 0) : 0;
    if (rc != SQLITE_ROW) result = dbk_model_sql_failure(change->model, rc, "make a key", err);
    (void)sqlite3_reset(statement);
    if (result != DBK_OK) return result;
    if (highest == INT64_MAX) {
        return dbk_fail(err, DBK_CONSTRAINT, "'%s' has no integer key left", change->table->name);
    }
    dbk_json_put_i64(&work->key, highest < 0 ? 1 : highest + 1);
    return work->key.failed ? dbk_row_no_memory(err) : DBK_OK;
}

static dbk_result key_from_data(dbk_decision *change, dbk_error *err)
{
    dbk_row_work *work = change->model->work;
    const dbk_table *table = change->table;

    for (uint16_t i = 0; i < table->key_count; i++) {
        const dbk_json_node *value = work->values[table->key_columns[i]];
        dbk_key_maker maker = table->rules ? table->rules->id : DBK_KEY_OF_CLIENT;
        if (!value && (table->integer_key || maker == DBK_KEY_INTEGER)) return make_integer_key(change, err);
        if (!value && maker != DBK_KEY_OF_CLIENT) return dbk_row_make_key(change, err);
        if (!value) {
            dbk_fail(err, DBK_BAD_COMMAND, "a put into '%s' needs a key: '%s' is missing", table->name,
                     table->columns[table->key_columns[i]].name);
            dbk_error_hint(err, "give it as 'key' or within 'data'; tables.%s.id of app.json lets the engine make it",
                           table->name);
            return DBK_BAD_COMMAND;
        }
        if (i > 0) dbk_buffer_put_u8(&work->key, '/');
        dbk_result result = dbk_key_part_put(table, &table->columns[table->key_columns[i]], value, &work->key, err);
        if (result != DBK_OK) return result;
    }
    return DBK_OK;
}

static dbk_result take_key(dbk_decision *change, const dbk_json_node *key, bool optional, dbk_error *err)
{
    dbk_row_work *work = change->model->work;
    dbk_draft *draft = change->draft;
    dbk_result result;

    dbk_buffer_clear(&work->key);
    if (!key && !optional) return dbk_fail(err, DBK_BAD_COMMAND, "a %s needs a key", change->op);
    result = key ? dbk_key_from_json(change->table, key, &work->key, err) : key_from_data(change, err);
    if (result != DBK_OK) return result;
    dbk_row_stream(&work->stream, change->table, dbk_buffer_slice(&work->key));
    dbk_buffer_clear(&draft->last_stream_text);
    dbk_buffer_put_slice(&draft->last_stream_text, dbk_buffer_slice(&work->stream));
    if (work->stream.failed || draft->last_stream_text.failed) return dbk_row_no_memory(err);
    change->key = dbk_buffer_slice(&work->key);
    change->stream = dbk_buffer_slice(&work->stream);
    draft->last_stream = dbk_buffer_slice(&draft->last_stream_text);
    if (change->stream.size > DBK_STREAM_MAX_BYTES) {
        return dbk_fail(err, DBK_TOO_BIG, "the key makes a stream name of %zu bytes, over %d", change->stream.size,
                        DBK_STREAM_MAX_BYTES);
    }
    return key ? check_key_columns(change, err) : DBK_OK;
}

/* ---- expect */

dbk_result dbk_row_expect(dbk_model *model, dbk_draft *draft, dbk_slice stream, const dbk_json_node *expect,
                          bool exists, dbk_error *err)
{
    bool none, asks_row;
    int64_t wanted = 0;
    uint64_t actual;

    if (!expect || dbk_json_text_is(expect, "any")) return DBK_OK;
    none = dbk_json_text_is(expect, "none");
    asks_row = dbk_row_expect_asks_row(expect);
    dbk_result result = dbk_model_version(model, stream, &actual, err);
    if (result != DBK_OK) return result;
    if (asks_row ? none != exists : dbk_json_is_integer(expect, &wanted) && (uint64_t)wanted == actual) return DBK_OK;
    dbk_buffer_put_text(&draft->detail, "\"expected\":");
    dbk_json_put_minimal(&draft->detail, expect);
    dbk_buffer_printf(&draft->detail, ",\"actual\":%" PRIu64, actual);
    if (asks_row) {
        (void)dbk_fail(err, DBK_VERSION_CONFLICT, "'%.*s' %s, you expected that it %s", DBK_SLICE_ARG(stream),
                       exists ? "exists" : "does not exist", none ? "does not" : "does");
    } else {
        (void)dbk_fail(err, DBK_VERSION_CONFLICT, "'%.*s' is at version %" PRIu64 ", you expected %" PRId64,
                       DBK_SLICE_ARG(stream), actual, wanted);
    }
    dbk_error_hint(err, "read it again and retry");
    return DBK_VERSION_CONFLICT;
}

static dbk_result expect_row(dbk_decision *change, dbk_error *err)
{
    bool exists = false;

    if (dbk_row_expect_asks_row(change->expect)) {
        sqlite3_stmt *row;
        dbk_result result = dbk_row_read(change->model, change->table, change->key, &row, err);
        if (result != DBK_OK && result != DBK_NONE) return result;
        exists = result == DBK_OK;
        (void)sqlite3_reset(row);
    }
    return dbk_row_expect(change->model, change->draft, change->stream, change->expect, exists, err);
}

/* ---- what the three have in common */

static bool is_projected(dbk_model *model, const dbk_table *table)
{
    return dbk_project_row(model, table, DBK_OP_PUT) || dbk_project_row(model, table, DBK_OP_PATCHED) ||
           dbk_project_row(model, table, DBK_OP_DELETED);
}

dbk_result dbk_row_decision_begin(dbk_decision *change, dbk_slice table, const dbk_json_node *key, bool optional_key,
                                  dbk_error *err)
{
    dbk_model *model = change->model;
    dbk_result result;

    if (!model->in_entry) return dbk_fail(err, DBK_INTERNAL, "no entry is open");
    dbk_buffer_clear(&model->work->made);
    dbk_buffer_clear(&model->work->data);
    dbk_buffer_clear(&model->work->filled);
    result = check_form(change, err);
    if (result != DBK_OK) return result;
    change->table = dbk_definition_table(model->definition, table);
    if (!change->table) return unknown_table(model->definition, table, err);
    if (!change->table->collection) {
        (void)dbk_fail(err, DBK_UNKNOWN_TABLE, "'%s' is written by projections", change->table->name);
        dbk_error_hint(err, "append the event that its projection reads");
        return DBK_UNKNOWN_TABLE;
    }
    result = list_values(change, err);
    if (result == DBK_OK) result = take_key(change, key, optional_key, err);
    if (result == DBK_OK) result = expect_row(change, err);
    if (result != DBK_OK || model->savepoint) return result;
    bool alone = change->table->self_contained && !is_projected(model, change->table);
    return alone ? DBK_OK : dbk_row_savepoint(model, err);
}

dbk_result dbk_row_convert(dbk_decision *change, bool merging, dbk_error *err)
{
    dbk_row_work *work = change->model->work;

    for (uint16_t i = 0; i < change->table->column_count; i++) {
        const dbk_column *column = &change->table->columns[i];
        const dbk_json_node *value = work->values[i];
        if (!value || column->key_part) continue;
        if (merging && column->type == DBK_TYPE_JSON && value->kind == DBK_JSON_OBJECT) continue;
        if (change->table->rules && dbk_field_is_raw(change->table, i, value)) continue;
        dbk_result result = dbk_cell_of_json(column, change->table->name, value, &work->made, &work->cells[i], err);
        if (result != DBK_OK) return result;
    }
    return DBK_OK;
}

dbk_result dbk_row_bind(dbk_model *model, const dbk_table *table, dbk_slice key, const dbk_mask *mask, bool insert,
                        sqlite3_stmt *statement, dbk_error *err)
{
    dbk_row_work *work = model->work;
    dbk_slice rest = key;

    for (uint16_t i = 0; i < table->column_count; i++) {
        if (!dbk_mask_has(mask, i) || table->columns[i].key_part) continue;
        dbk_result result = dbk_cell_bind(&work->cells[i], &work->made, statement, i + 1, err);
        if (result != DBK_OK) return result;
    }
    for (uint16_t i = 0; i < table->key_count; i++) {
        int parameter = insert ? table->key_columns[i] + 1 : table->column_count + 1 + i;
        if (!dbk_key_next(&rest, &work->part) ||
            !dbk_key_part_bind(&work->part, &table->columns[table->key_columns[i]], dbk_buffer_slice(&work->part),
                               statement, parameter)) {
            return dbk_row_bad_key(model, table, key, err);
        }
    }
    return rest.size ? dbk_row_bad_key(model, table, key, err) : DBK_OK;
}

/* Before the row changes: afterwards the entry itself has touched it. */
dbk_result dbk_row_take_base(dbk_decision *change, dbk_error *err)
{
    return dbk_row_last_entry(change->model, change->table, change->key, &change->base, &change->has_base, err);
}

dbk_result dbk_row_emit_change(dbk_decision *change, const char *op, const dbk_event *parts, dbk_error *err)
{
    char type[80];
    size_t name = strlen(change->table->name), suffix = strlen(op);
    dbk_event event = *parts;
    dbk_result result;

    if (name + 1 + suffix > sizeof(type)) return dbk_fail(err, DBK_INTERNAL, "the name of a table is too long");
    memcpy(type, change->table->name, name);
    type[name] = '.';
    memcpy(type + name + 1, op, suffix);
    event.stream = change->stream;
    event.type = dbk_slice_of(type, name + 1 + suffix);
    event.type_version = change->table->version;
    event.has_base = change->has_base;
    if (event.has_base) event.base = change->base;
    if (change->model->work->data.failed || change->model->work->filled.failed) return dbk_row_no_memory(err);
    result = dbk_row_name(change->model, change->table, change->key, true, err);
    if (result != DBK_OK) return result;
    return dbk_row_emit(change->model, change->draft, &event, NULL, err);
}

void dbk_row_put_member(dbk_buffer *out, const char *name)
{
    dbk_put_member_name(out, out->size == 0, name);
}

void dbk_put_member_name(dbk_buffer *out, bool first, const char *name)
{
    size_t size = strlen(name);
    uint8_t *at = dbk_buffer_extend(out, size + 4);
    if (!at) return;
    at[0] = first ? '{' : ',';
    at[1] = '"';
    memcpy(at + 2, name, size); /* an identifier: nothing in it has to be escaped */
    memcpy(at + 2 + size, "\":", 2);
}

dbk_result dbk_row_not_found(const dbk_decision *change, dbk_error *err)
{
    return dbk_fail(err, DBK_NOT_FOUND, "there is no '%.*s'", DBK_SLICE_ARG(change->stream));
}

/* ---- delete, put, patch */

static dbk_result delete_row(dbk_model *model, dbk_draft *draft, dbk_slice table, const dbk_json_node *key,
                             const dbk_json_node *expect, dbk_error *err)
{
    dbk_decision change = {.model = model, .draft = draft, .op = "delete", .expect = expect};
    sqlite3_stmt *statement;
    int changes = 0;
    dbk_result result = dbk_row_decision_begin(&change, table, key, false, err);

    if (result == DBK_OK) result = dbk_row_take_base(&change, err);
    if (result == DBK_OK) result = dbk_row_prepare(model, change.table, DBK_ROW_DELETE, &statement, err);
    if (result != DBK_OK) return result;
    if (!dbk_key_bind(change.table, change.key, statement, 1, &model->work->part)) {
        result = dbk_row_bad_key(model, change.table, change.key, err);
        return result == DBK_SCHEMA ? dbk_row_not_found(&change, err) : result;
    }
    result = dbk_row_delete(model, change.table, change.key, statement, &changes, err);
    if (result != DBK_OK) return result;
    if (changes == 0) return dbk_row_not_found(&change, err);
    return dbk_row_emit_change(&change, "deleted", &(dbk_event){.data = dbk_slice_text("{}")}, err);
}

static dbk_result put(dbk_model *model, dbk_draft *draft, dbk_slice table, const dbk_json_node *key,
                      const dbk_json_node *data, const dbk_json_node *expect, dbk_error *err)
{
    dbk_decision change = {.model = model, .draft = draft, .op = "put", .data = data, .expect = expect};
    dbk_result result = dbk_row_decision_begin(&change, table, key, true, err);

    if (result == DBK_OK) result = dbk_row_convert(&change, false, err);
    bool ruled = result == DBK_OK && dbk_rules_decide(change.table);
    if (result == DBK_OK && !ruled) result = dbk_row_judge(&change, NULL, err);
    if (result != DBK_OK) return result;
    dbk_buffer_clear(&draft->key);
    dbk_key_to_json(change.table, change.key, &draft->key);
    if (draft->key.failed) return dbk_row_no_memory(err);
    return ruled ? dbk_row_ruled_put(&change, err) : dbk_row_put(&change, err);
}

dbk_result dbk_model_put(dbk_model *model, dbk_draft *draft, dbk_slice table, const dbk_json_node *key,
                         const dbk_json_node *data, const dbk_json_node *expect, dbk_error *err)
{
    dbk_result result = dbk_row_note_constraint(model, draft, put(model, draft, table, key, data, expect, err), err);
    return dbk_row_name_foreign(model, table, data, false, result, err);
}

dbk_result dbk_model_patch(dbk_model *model, dbk_draft *draft, dbk_slice table, const dbk_json_node *key,
                           const dbk_json_node *data, const dbk_json_node *expect, dbk_error *err)
{
    dbk_result result =
        dbk_row_note_constraint(model, draft, dbk_row_patch(model, draft, table, key, data, expect, err), err);
    return dbk_row_name_foreign(model, table, data, false, result, err);
}

dbk_result dbk_model_delete(dbk_model *model, dbk_draft *draft, dbk_slice table, const dbk_json_node *key,
                            const dbk_json_node *expect, dbk_error *err)
{
    dbk_result result = dbk_row_note_constraint(model, draft, delete_row(model, draft, table, key, expect, err), err);
    return dbk_row_name_foreign(model, table, NULL, true, result, err);
}
