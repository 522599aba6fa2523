/* Rows of the app's tables as the engine reads them. */
#include "projector/model/journal.h"
#include "projector/rows/internal.h"

void dbk_put_name(dbk_buffer *sql, const char *name)
{
    dbk_buffer_put_u8(sql, '"');
    for (const char *at = name; *at; at++) {
        if (*at == '"') dbk_buffer_put_u8(sql, '"');
        dbk_buffer_put_u8(sql, (uint8_t)*at);
    }
    dbk_buffer_put_u8(sql, '"');
}

static void put_select(dbk_buffer *sql, const dbk_table *table)
{
    for (uint16_t i = 0; i < table->column_count; i++) {
        dbk_buffer_put_text(sql, i ? ", " : "SELECT ");
        dbk_put_name(sql, table->columns[i].name);
    }
    dbk_buffer_put_text(sql, " FROM main.");
    dbk_put_name(sql, table->name);
}

static dbk_result prepare(dbk_model *model, dbk_buffer *sql, sqlite3_stmt **out, dbk_error *err)
{
    const char *text = dbk_buffer_text(sql);
    dbk_sql_role role = model->sandbox.role;
    dbk_result result = DBK_OK;

    *out = NULL;
    if (!text) {
        result = dbk_fail(err, DBK_NO_MEMORY, "cannot read rows: out of memory");
    } else {
        model->sandbox.role = DBK_SQL_ENGINE;
        int rc = sqlite3_prepare_v3(model->db, text, -1, SQLITE_PREPARE_PERSISTENT, out, NULL);
        model->sandbox.role = role;
        if (rc != SQLITE_OK) result = dbk_model_sql_failure(model, rc, "read rows", err);
    }
    dbk_buffer_release(sql);
    return result;
}

dbk_result dbk_select_by_key(dbk_model *model, const dbk_table *table, sqlite3_stmt **out, dbk_error *err)
{
    sqlite3_stmt **cached = &model->journal->select[table - model->definition->tables];
    dbk_buffer sql;

    *out = *cached;
    if (*out) return DBK_OK;
    dbk_buffer_init(&sql, model->port);
    put_select(&sql, table);
    for (uint16_t i = 0; i < table->key_count; i++) {
        dbk_buffer_put_text(&sql, i ? " AND " : " WHERE ");
        dbk_put_name(&sql, table->columns[table->key_columns[i]].name);
        dbk_buffer_put_text(&sql, "=?");
    }
    dbk_result result = prepare(model, &sql, cached, err);
    *out = *cached;
    return result;
}

dbk_result dbk_select_all(dbk_model *model, const dbk_table *table, bool sorted, sqlite3_stmt **out, dbk_error *err)
{
    dbk_buffer sql;

    dbk_buffer_init(&sql, model->port);
    put_select(&sql, table);
    for (uint16_t i = 0; sorted && i < table->key_count; i++) {
        dbk_buffer_put_text(&sql, i ? ", " : " ORDER BY ");
        dbk_put_name(&sql, table->columns[table->key_columns[i]].name);
    }
    return prepare(model, &sql, out, err);
}

void dbk_row_put_values(const dbk_table *table, dbk_slice values, dbk_buffer *out)
{
    dbk_row_value value;

    for (uint16_t i = 0; i < table->column_count && dbk_row_value_next(&values, &value); i++) {
        dbk_put_member_name(out, i == 0, table->columns[i].name);
        dbk_row_value_out(table->columns[i].type, &value, false, out);
    }
    dbk_buffer_put_u8(out, '}');
}

void dbk_row_put_json(const dbk_table *table, sqlite3_stmt *row, dbk_buffer *out)
{
    for (uint16_t i = 0; i < table->column_count; i++) {
        dbk_put_member_name(out, i == 0, table->columns[i].name);
        dbk_value_out(table->columns[i].type, sqlite3_column_value(row, i), false, out);
    }
    dbk_buffer_put_u8(out, '}');
}
