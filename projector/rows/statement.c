/* Prepared statements of a table. The fixed ones are made when first needed; INSERT and UPDATE name
 * exactly the columns of a mask, and the sixteen last used masks stay prepared. */
#include "projector/model/journal.h"
#include "projector/rows/rules.h"

static void put_key_condition(dbk_buffer *sql, const dbk_table *table, int first)
{
    for (uint16_t i = 0; i < table->key_count; i++) {
        dbk_buffer_put_text(sql, i ? " AND " : " WHERE ");
        dbk_put_name(sql, table->columns[table->key_columns[i]].name);
        dbk_buffer_printf(sql, "=?%d", first + i);
    }
}

static void put_columns(dbk_buffer *sql, const dbk_table *table)
{
    for (uint16_t i = 0; i < table->column_count; i++) {
        if (i > 0) dbk_buffer_put_u8(sql, ',');
        dbk_put_name(sql, table->columns[i].name);
    }
}

/* What each column has when a row is made without naming it, after the column's affinity. */
static void put_defaults(dbk_buffer *sql, const dbk_table *table)
{
    for (uint16_t i = 0; i < table->column_count; i++) {
        const dbk_column *column = &table->columns[i];
        if (i > 0) dbk_buffer_put_u8(sql, ',');
        if (!column->default_sql) {
            dbk_buffer_put_text(sql, "NULL");
        } else if (column->type == DBK_TYPE_TEXT || column->real_affinity) {
            dbk_buffer_printf(sql, "CAST((%s) AS %s)", column->default_sql, column->real_affinity ? "REAL" : "TEXT");
        } else {
            dbk_buffer_printf(sql, "(%s)", column->default_sql);
        }
    }
}

/* Keys of the rows behind the last n, of the rows like the one with key ?1 … where `per` groups them. */
static void put_surplus(dbk_buffer *sql, const dbk_table *table)
{
    const dbk_rules *rules = table->rules;

    dbk_buffer_put_text(sql, "SELECT ");
    for (uint16_t i = 0; i < table->key_count; i++) {
        if (i > 0) dbk_buffer_put_u8(sql, ',');
        dbk_put_name(sql, table->columns[table->key_columns[i]].name);
    }
    dbk_buffer_printf(sql, " FROM \"%s\"", table->name);
    if (rules->keep_per >= 0) {
        const char *per = table->columns[rules->keep_per].name;
        dbk_buffer_printf(sql, " WHERE \"%s\" IS (SELECT \"%s\" FROM \"%s\"", per, per, table->name);
        put_key_condition(sql, table, 1);
        dbk_buffer_put_u8(sql, ')');
    }
    dbk_buffer_printf(sql, " ORDER BY \"%s\" DESC", table->columns[rules->keep_by].name);
    for (uint16_t i = 0; i < table->key_count; i++) {
        dbk_buffer_put_u8(sql, ',');
        dbk_put_name(sql, table->columns[table->key_columns[i]].name);
        dbk_buffer_put_text(sql, " DESC");
    }
    dbk_buffer_printf(sql, " LIMIT -1 OFFSET %llu", (unsigned long long)rules->keep_last);
}

static dbk_result prepare(dbk_model *model, dbk_buffer *sql, sqlite3_stmt **out, dbk_error *err)
{
    if (!dbk_buffer_text(sql)) return dbk_row_no_memory(err);
    int rc =
        sqlite3_prepare_v3(model->db, (const char *)sql->data, (int)sql->size, SQLITE_PREPARE_PERSISTENT, out, NULL);
    if (rc != SQLITE_OK) return dbk_model_sql_failure(model, rc, "prepare a statement", err);
    return DBK_OK;
}

dbk_row_statements *dbk_row_statements_of(dbk_model *model, const dbk_table *table)
{
    return model->rows[table - model->definition->tables];
}

dbk_result dbk_row_prepare(dbk_model *model, const dbk_table *table, dbk_row_statement which, sqlite3_stmt **out,
                           dbk_error *err)
{
    sqlite3_stmt **place = &dbk_row_statements_of(model, table)->fixed[which];
    dbk_buffer sql;
    dbk_result result = DBK_OK;

    *out = *place;
    if (*out) return DBK_OK;
    dbk_buffer_init(&sql, model->port);
    if (which == DBK_ROW_SURPLUS) {
        put_surplus(&sql, table);
        result = prepare(model, &sql, place, err);
        *out = *place;
        dbk_buffer_release(&sql);
        return result;
    }
    dbk_buffer_put_text(&sql, which == DBK_ROW_DELETE ? "DELETE" : "SELECT ");
    if (which == DBK_ROW_SELECT) put_columns(&sql, table);
    if (which == DBK_ROW_MAX) dbk_buffer_printf(&sql, "max(\"%s\")", table->columns[table->key_columns[0]].name);
    if (which == DBK_ROW_DEFAULTS) {
        put_defaults(&sql, table);
    } else {
        dbk_buffer_printf(&sql, " FROM \"%s\"", table->name);
    }
    if (which == DBK_ROW_SELECT || which == DBK_ROW_DELETE) put_key_condition(&sql, table, 1);
    result = prepare(model, &sql, place, err);
    *out = *place;
    dbk_buffer_release(&sql);
    return result;
}

static void put_insert(dbk_buffer *sql, const dbk_table *table, const dbk_mask *mask)
{
    const char *comma = "";

    dbk_buffer_printf(sql, "INSERT INTO \"%s\"(", table->name);
    for (uint16_t i = 0; i < table->column_count; i++) {
        if (!dbk_mask_has(mask, i)) continue;
        dbk_buffer_printf(sql, "%s\"%s\"", comma, table->columns[i].name);
        comma = ",";
    }
    dbk_buffer_put_text(sql, ") VALUES(");
    comma = "";
    for (uint16_t i = 0; i < table->column_count; i++) {
        if (!dbk_mask_has(mask, i)) continue;
        dbk_buffer_printf(sql, "%s?%d", comma, i + 1);
        comma = ",";
    }
    dbk_buffer_put_text(sql, ") ON CONFLICT(");
    for (uint16_t i = 0; i < table->key_count; i++) {
        dbk_buffer_printf(sql, "%s\"%s\"", i ? "," : "", table->columns[table->key_columns[i]].name);
    }
    dbk_buffer_put_text(sql, ") DO NOTHING");
}

static void put_update(dbk_buffer *sql, const dbk_table *table, const dbk_mask *mask)
{
    const char *comma = "";

    dbk_buffer_printf(sql, "UPDATE \"%s\" SET ", table->name);
    for (uint16_t i = 0; i < table->column_count; i++) {
        if (!dbk_mask_has(mask, i)) continue;
        dbk_buffer_printf(sql, "%s\"%s\"=?%d", comma, table->columns[i].name, i + 1);
        comma = ",";
    }
    put_key_condition(sql, table, table->column_count + 1);
}

/* The place of the mask, or the one used longest ago, emptied. */
static struct dbk_row_cached *find_place(dbk_row_statements *statements, bool insert, const dbk_mask *mask)
{
    struct dbk_row_cached *oldest = statements->cached;

    for (size_t i = 0; i < sizeof(statements->cached) / sizeof(statements->cached[0]); i++) {
        struct dbk_row_cached *place = &statements->cached[i];
        if (place->statement && place->insert == insert && memcmp(&place->mask, mask, sizeof(*mask)) == 0) return place;
        if (place->used < oldest->used) oldest = place;
    }
    sqlite3_finalize(oldest->statement);
    *oldest = (struct dbk_row_cached){.mask = *mask, .insert = insert};
    return oldest;
}

dbk_result dbk_row_prepare_masked(dbk_model *model, const dbk_table *table, bool insert, const dbk_mask *mask,
                                  sqlite3_stmt **out, dbk_error *err)
{
    dbk_row_statements *statements = dbk_row_statements_of(model, table);
    struct dbk_row_cached *place = find_place(statements, insert, mask);
    dbk_result result = DBK_OK;
    dbk_buffer sql;

    if (!place->statement) {
        dbk_buffer_init(&sql, model->port);
        if (insert) {
            put_insert(&sql, table, mask);
        } else {
            put_update(&sql, table, mask);
        }
        result = prepare(model, &sql, &place->statement, err);
        dbk_buffer_release(&sql);
    }
    place->used = place->statement ? ++statements->uses : 0;
    *out = place->statement;
    return result;
}

/* SQLite lets a key column without NOT NULL be NULL; a projection then made a row that has no name.
 */
static dbk_result fail_observed(dbk_result observed, const char *what, dbk_error *err)
{
    if (observed == DBK_INTERNAL) return dbk_fail(err, DBK_CONSTRAINT, "NOT NULL: cannot %s: a key has no null", what);
    if (observed == DBK_TOO_BIG) return dbk_fail(err, DBK_TOO_BIG, "cannot %s: one entry changes too many rows", what);
    return dbk_fail(err, observed, "cannot %s: %s", what, dbk_result_text(observed));
}

dbk_result dbk_row_run(dbk_model *model, sqlite3_stmt *statement, const char *what, int *changes, dbk_error *err)
{
    dbk_result result = DBK_OK, observed;
    int rc;

    do rc = sqlite3_step(statement);
    while (rc == SQLITE_ROW);
    if (rc != SQLITE_DONE) result = dbk_model_sql_failure(model, rc, what, err);
    if (changes) *changes = sqlite3_changes(model->db);
    if (rc == SQLITE_DONE && sqlite3_changes(model->db) > 0) model->work->wrote = true;
    (void)sqlite3_reset(statement);
    if (sqlite3_get_autocommit(model->db)) /* the machine's fault keeps its name: it passes */
        return result == DBK_NO_SPACE || result == DBK_NO_MEMORY || result == DBK_IO
                   ? result
                   : dbk_fail(err, DBK_INTERNAL, "SQLite gave up the transaction");
    observed = dbk_observer_failure(model->observer);
    return observed == DBK_OK ? result : fail_observed(observed, what, err);
}

dbk_result dbk_row_run_update(dbk_model *model, const dbk_table *table, const dbk_mask *mask, sqlite3_stmt *statement,
                              int *changes, dbk_error *err)
{
    dbk_observer_sets(model->observer, table, mask, NULL);
    dbk_result result = dbk_row_run(model, statement, "change the row", changes, err);
    dbk_observer_sets(model->observer, NULL, NULL, NULL);
    return result;
}

dbk_result dbk_row_read(dbk_model *model, const dbk_table *table, dbk_slice key, sqlite3_stmt **out, dbk_error *err)
{
    dbk_result result = dbk_row_prepare(model, table, DBK_ROW_SELECT, out, err);

    if (result != DBK_OK) return result;
    if (!dbk_key_bind(table, key, *out, 1, &model->work->part)) {
        result = dbk_row_bad_key(model, table, key, err);
        return result == DBK_SCHEMA ? DBK_NONE : result;
    }
    int rc = sqlite3_step(*out);
    if (rc == SQLITE_ROW) return DBK_OK;
    result = rc == SQLITE_DONE ? DBK_NONE : dbk_model_sql_failure(model, rc, "read a row", err);
    (void)sqlite3_reset(*out);
    return result;
}

static void statements_free(const dbk_port *port, dbk_row_statements *statements)
{
    if (!statements) return;
    for (int i = 0; i < DBK_ROW_STATEMENTS; i++) sqlite3_finalize(statements->fixed[i]);
    for (size_t i = 0; i < sizeof(statements->cached) / sizeof(statements->cached[0]); i++) {
        sqlite3_finalize(statements->cached[i].statement);
    }
    dbk_free(port, statements);
}

static void work_free(dbk_model *model)
{
    dbk_row_work *work = model->work;
    if (!work) return;
    dbk_buffer *buffers[] = {&work->named_keys, &work->key,     &work->stream, &work->data,   &work->filled,
                             &work->scratch,    &work->part,    &work->made,   &work->origin, &work->place,
                             &work->gone,       &work->written, &work->wide};
    for (size_t i = 0; i < sizeof(buffers) / sizeof(buffers[0]); i++) dbk_buffer_release(buffers[i]);
    dbk_json_parser_free(work->parser);
    dbk_json_parser_free(work->old_value);
    dbk_json_parser_free(work->judged);
    dbk_free(model->port, work->named);
    dbk_free(model->port, work);
    model->work = NULL;
}

static dbk_row_work *work_new(const dbk_port *port)
{
    dbk_row_work *work = dbk_alloc_zero(port, 1, sizeof(*work));
    if (!work) return NULL;
    dbk_buffer *buffers[] = {&work->named_keys, &work->key,     &work->stream, &work->data,   &work->filled,
                             &work->scratch,    &work->part,    &work->made,   &work->origin, &work->place,
                             &work->gone,       &work->written, &work->wide};
    for (size_t i = 0; i < sizeof(buffers) / sizeof(buffers[0]); i++) dbk_buffer_init(buffers[i], port);
    work->parser = dbk_json_parser_new(port);
    work->old_value = dbk_json_parser_new(port);
    return work;
}

dbk_result dbk_rows_open(dbk_model *model, dbk_error *err)
{
    size_t count = model->definition->table_count;

    model->work = work_new(model->port);
    model->rows = dbk_alloc_zero(model->port, count ? count : 1, sizeof(*model->rows));
    model->projections = dbk_projections_new(model);
    model->commands = dbk_commands_new(model);
    model->fresh = dbk_fresh_new(model->port);
    bool good = model->work && model->work->parser && model->work->old_value && model->rows && model->projections &&
                model->commands && model->fresh;
    for (size_t i = 0; good && i < count; i++) {
        model->rows[i] = dbk_alloc_zero(model->port, 1, sizeof(**model->rows));
        good = model->rows[i] != NULL;
    }
    for (size_t i = 0; i < count; i++) {
        const dbk_rules *rules = model->definition->tables[i].rules;
        model->has_surplus |= rules && rules->keep_last;
    }
    if (good) {
        dbk_result result = dbk_upcaster_new(model->port, model->definition, &model->upcaster, err);
        if (result == DBK_OK) result = dbk_orders_new(model, err);
        if (result != DBK_OK) dbk_rows_close(model);
        return result;
    }
    dbk_rows_close(model);
    return dbk_row_no_memory(err);
}

void dbk_rows_close(dbk_model *model)
{
    for (size_t i = 0; model->rows && i < model->definition->table_count; i++) {
        statements_free(model->port, model->rows[i]);
    }
    dbk_free(model->port, model->rows);
    model->rows = NULL;
    work_free(model);
    dbk_projections_free(model);
    dbk_commands_free(model);
    dbk_upcaster_free(model->upcaster);
    model->upcaster = NULL;
    dbk_orders_free(model);
    dbk_fresh_free(model->fresh);
    model->fresh = NULL;
}

void dbk_rows_transaction_begin(dbk_model *model)
{
    if (model->fresh) dbk_fresh_clear(model->fresh); /* the schema is made before the rows are opened */
}
