/* What another definition makes of the same log: two model files compared by their tables, in one read-only
 * connection that has both. Tables of one name are compared by the columns they share. */
#include "projector/model/journal.h"

typedef struct dbk_upgrade_walk {
    sqlite3 *db;
    dbk_buffer *out, sql;
    bool any;
} dbk_upgrade_walk;

static dbk_result count(dbk_upgrade_walk *walk, int64_t *number, dbk_error *err)
{
    sqlite3_stmt *statement = NULL;
    const char *text = dbk_buffer_text(&walk->sql);
    if (!text) return dbk_fail(err, DBK_NO_MEMORY, "cannot compare the models: out of memory");
    int rc = sqlite3_prepare_v2(walk->db, text, -1, &statement, NULL);
    if (rc == SQLITE_OK) rc = sqlite3_step(statement);
    if (rc == SQLITE_ROW) *number = sqlite3_column_int64(statement, 0);
    dbk_result result = rc == SQLITE_ROW ? DBK_OK : dbk_sql_failure(walk->db, rc, "compare the models", err);
    sqlite3_finalize(statement);
    dbk_buffer_clear(&walk->sql);
    return result;
}

static dbk_result count_rows(dbk_upgrade_walk *walk, const char *schema, const dbk_table *table, int64_t *rows,
                             dbk_error *err)
{
    *rows = 0;
    if (!table) return DBK_OK;
    dbk_buffer_printf(&walk->sql, "SELECT count(*) FROM %s.", schema);
    dbk_put_name(&walk->sql, table->name);
    return count(walk, rows, err);
}

static void put_shared(dbk_upgrade_walk *walk, const char *schema, const dbk_table *table, const dbk_table *other)
{
    bool first = true;
    dbk_buffer_put_text(&walk->sql, "SELECT ");
    for (uint16_t i = 0; i < table->column_count; i++) {
        if (dbk_table_column(other, dbk_slice_text(table->columns[i].name)) < 0) continue;
        if (!first) dbk_buffer_put_u8(&walk->sql, ',');
        first = false;
        dbk_put_name(&walk->sql, table->columns[i].name);
    }
    dbk_buffer_printf(&walk->sql, "%s FROM %s.", first ? "1" : "", schema);
    dbk_put_name(&walk->sql, table->name);
}

/* Rows of the one that the other does not have so. */
static dbk_result count_only(dbk_upgrade_walk *walk, const char *schema, const char *other_schema,
                             const dbk_table *table, const dbk_table *other, int64_t *rows, dbk_error *err)
{
    dbk_buffer_put_text(&walk->sql, "SELECT count(*) FROM (");
    put_shared(walk, schema, table, other);
    dbk_buffer_put_text(&walk->sql, " EXCEPT ");
    dbk_buffer_printf(&walk->sql, "SELECT * FROM (");
    put_shared(walk, other_schema, table, other);
    dbk_buffer_put_text(&walk->sql, "))");
    return count(walk, rows, err);
}

/* Rows of the table before that hold something of their own in a column. A default that only a model's connection can
 * compute (it asks a function of the engine) is taken for none. The default stands in a query of its own, where a name
 * in double quotes is no column of the table. */
static dbk_result count_values(dbk_upgrade_walk *walk, const dbk_table *table, const dbk_column *column, int64_t *rows,
                               dbk_error *err)
{
    dbk_result result = DBK_NONE;
    for (int with_default = column->default_sql != NULL; result != DBK_OK && with_default >= 0; with_default--) {
        if (with_default) dbk_buffer_printf(&walk->sql, "WITH _default(v) AS (SELECT (%s)) ", column->default_sql);
        dbk_buffer_put_text(&walk->sql, "SELECT count(*) FROM old.");
        dbk_put_name(&walk->sql, table->name);
        dbk_buffer_put_text(&walk->sql, " WHERE ");
        dbk_put_name(&walk->sql, column->name);
        dbk_buffer_put_text(&walk->sql, " IS NOT NULL");
        if (with_default) {
            dbk_buffer_put_text(&walk->sql, " AND ");
            dbk_put_name(&walk->sql, column->name);
            dbk_buffer_put_text(&walk->sql, " IS NOT (SELECT v FROM _default)");
        }
        result = count(walk, rows, err);
    }
    return result;
}

static dbk_result put_columns(dbk_upgrade_walk *walk, const dbk_table *before, const dbk_table *after, dbk_error *err)
{
    const char *comma = "";
    dbk_result result = DBK_OK;
    dbk_buffer_put_text(walk->out, ",\"columns_gone\":[");
    for (uint16_t i = 0; result == DBK_OK && i < before->column_count; i++) {
        const dbk_column *column = &before->columns[i];
        int64_t values = 0;
        if (dbk_table_column(after, dbk_slice_text(column->name)) >= 0) continue;
        result = count_values(walk, before, column, &values, err);
        dbk_buffer_printf(walk->out, "%s{\"column\":\"%s\",\"values\":%lld}", comma, column->name, (long long)values);
        comma = ",";
    }
    dbk_buffer_put_text(walk->out, "],\"columns_new\":[");
    comma = "";
    for (uint16_t i = 0; i < after->column_count; i++) {
        if (dbk_table_column(before, dbk_slice_text(after->columns[i].name)) >= 0) continue;
        dbk_buffer_printf(walk->out, "%s\"%s\"", comma, after->columns[i].name);
        comma = ",";
    }
    dbk_buffer_put_u8(walk->out, ']');
    return result;
}

/* A table that an async model has from now on does not go. */
static bool is_of_a_model(const dbk_definition *definition, const char *table)
{
    for (size_t i = 0; i < definition->model_count; i++)
        if (dbk_definition_table(definition->models[i], dbk_slice_text(table))) return true;
    return false;
}

static const char *writer_of(const dbk_table *table)
{
    return !table ? "none" : table->collection ? "commands" : "projections";
}

static dbk_result put_table(dbk_upgrade_walk *walk, const dbk_table *before, const dbk_table *after, bool goes,
                            dbk_error *err)
{
    int64_t had = 0, has = 0, gone = 0, came = 0;
    dbk_result result = count_rows(walk, "old", before, &had, err);
    if (result == DBK_OK) result = count_rows(walk, "main", after, &has, err);
    if (result == DBK_OK && before && after) result = count_only(walk, "old", "main", before, after, &gone, err);
    if (result == DBK_OK && before && after) result = count_only(walk, "main", "old", before, after, &came, err);
    if (result != DBK_OK) return result;
    dbk_buffer_put_text(walk->out, walk->any ? ",{\"table\":" : "{\"table\":");
    walk->any = true;
    dbk_json_put_string(walk->out, dbk_slice_text(before ? before->name : after->name));
    dbk_buffer_printf(walk->out, ",\"rows_before\":%lld,\"rows_after\":%lld,\"only_before\":%lld,\"only_after\":%lld",
                      (long long)had, (long long)has, (long long)(after ? gone : had),
                      (long long)(before ? came : has));
    dbk_buffer_printf(walk->out, ",\"writer_before\":\"%s\",\"writer_after\":\"%s\"", writer_of(before),
                      writer_of(after));
    if (goes) dbk_buffer_put_text(walk->out, ",\"gone\":true");
    if (before && after) result = put_columns(walk, before, after, err);
    dbk_buffer_put_u8(walk->out, '}');
    return result;
}

static dbk_result compare(dbk_upgrade_walk *walk, const dbk_definition *before, const dbk_definition *after,
                          dbk_error *err)
{
    dbk_result result = DBK_OK;
    for (size_t i = 0; result == DBK_OK && i < after->table_count; i++) {
        const dbk_table *table = &after->tables[i];
        result = put_table(walk, dbk_definition_table(before, dbk_slice_text(table->name)), table, false, err);
    }
    for (size_t i = 0; result == DBK_OK && i < before->table_count; i++) {
        const dbk_table *table = &before->tables[i];
        if (!dbk_definition_table(after, dbk_slice_text(table->name)))
            result = put_table(walk, table, NULL, !is_of_a_model(after, table->name), err);
    }
    return result;
}

dbk_result dbk_upgrade_compare(const dbk_port *port, const char *vfs, const dbk_upgrade_side *before,
                               const dbk_upgrade_side *after, dbk_buffer *out, dbk_error *err)
{
    dbk_upgrade_walk walk = {.out = out};
    dbk_sqlite_configure();
    dbk_buffer_init(&walk.sql, port);
    int rc = sqlite3_open_v2(after->path, &walk.db, SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX,
                             vfs ? vfs : port->sqlite_vfs);
    sqlite3_stmt *attach = NULL;
    if (rc == SQLITE_OK) rc = sqlite3_exec(walk.db, "PRAGMA temp_store=MEMORY", NULL, NULL, NULL);
    if (rc == SQLITE_OK) rc = sqlite3_prepare_v2(walk.db, "ATTACH ?1 AS old", -1, &attach, NULL);
    if (rc == SQLITE_OK) rc = sqlite3_bind_text(attach, 1, before->path, -1, SQLITE_STATIC);
    if (rc == SQLITE_OK && (rc = sqlite3_step(attach)) == SQLITE_DONE) rc = SQLITE_OK;
    sqlite3_finalize(attach);
    dbk_result result = rc == SQLITE_OK ? compare(&walk, before->definition, after->definition, err)
                                        : dbk_sql_failure(walk.db, rc, "compare the models", err);
    sqlite3_close(walk.db);
    dbk_buffer_release(&walk.sql);
    return result;
}
