/* The tables of full text in a model's file, and the triggers that keep them.
 *
 * A trigger runs inside the statement that changes the row: put, patch, cascade, projection, undo and
 * retention are all the same to it, and a savepoint that is rolled back takes its work along. The update's
 * WHEN compares bytes, not by collations: only what the tokenizer would see anew is written. */
#include "projector/model/search.h"

#include "projector/model/journal.h"

#include <strings.h>

/* Columns of the FTS5 table: the searched ones, then the rest of the key. */
static uint16_t column_at(const dbk_search_rule *rule, size_t i, bool *more)
{
    size_t next = rule->column_count;

    *more = true;
    if (i < rule->column_count) return rule->columns[i];
    for (uint16_t k = 0; k < rule->table->key_count; k++) {
        uint16_t column = rule->table->key_columns[k];
        bool searched = false;
        for (size_t c = 0; c < rule->column_count; c++) searched = searched || rule->columns[c] == column;
        if (!searched && next++ == i) return column;
    }
    *more = false;
    return 0;
}

/* The columns of the FTS5 table, `before` in front of each name, `unindexed` behind those of the key alone. */
static void put_columns(dbk_buffer *sql, const dbk_search_rule *rule, const char *before, const char *unindexed)
{
    bool more;

    for (size_t i = 0;; i++) {
        uint16_t column = column_at(rule, i, &more);
        if (!more) return;
        if (i) dbk_buffer_put_text(sql, ", ");
        dbk_buffer_put_text(sql, before);
        dbk_put_name(sql, rule->table->columns[column].name);
        if (i >= rule->column_count) dbk_buffer_put_text(sql, unindexed);
    }
}

static void put_docs(dbk_buffer *sql, const dbk_search_rule *rule)
{
    dbk_buffer_printf(sql, "_daybook_docs_%s", rule->name);
}

/* "k0 = old."id" AND …" */
static void put_key(dbk_buffer *sql, const dbk_search_rule *rule, const char *row, const char *between)
{
    for (uint16_t i = 0; i < rule->table->key_count; i++) {
        if (i) dbk_buffer_put_text(sql, between);
        dbk_buffer_printf(sql, "k%u = %s.", i, row);
        dbk_put_name(sql, rule->table->columns[rule->table->key_columns[i]].name);
    }
}

static void put_docid(dbk_buffer *sql, const dbk_search_rule *rule, const char *row)
{
    dbk_buffer_put_text(sql, "(SELECT docid FROM ");
    put_docs(sql, rule);
    dbk_buffer_put_text(sql, " WHERE ");
    put_key(sql, rule, row, " AND ");
    dbk_buffer_put_u8(sql, ')');
}

static void put_table(dbk_buffer *sql, const dbk_search_rule *rule)
{
    dbk_buffer_put_text(sql, "CREATE VIRTUAL TABLE ");
    dbk_put_name(sql, rule->name);
    dbk_buffer_put_text(sql, " USING fts5(");
    put_columns(sql, rule, "", " UNINDEXED");
    dbk_buffer_put_text(sql, ", tokenize = \"");
    for (const char *at = rule->tokenize; *at; at++) {
        if (*at == '"') dbk_buffer_put_u8(sql, '"');
        dbk_buffer_put_u8(sql, (uint8_t)*at);
    }
    dbk_buffer_put_text(sql, "\");");
}

static void put_documents(dbk_buffer *sql, const dbk_search_rule *rule)
{
    dbk_buffer_put_text(sql, "CREATE TABLE ");
    put_docs(sql, rule);
    dbk_buffer_put_text(sql, "(docid INTEGER PRIMARY KEY");
    for (uint16_t i = 0; i < rule->table->key_count; i++) dbk_buffer_printf(sql, ", k%u", i);
    dbk_buffer_put_text(sql, ", UNIQUE(");
    for (uint16_t i = 0; i < rule->table->key_count; i++) dbk_buffer_printf(sql, "%sk%u", i ? ", " : "", i);
    dbk_buffer_put_text(sql, "));");
}

static void put_trigger(dbk_buffer *sql, const dbk_search_rule *rule, const char *name, const char *when)
{
    dbk_buffer_printf(sql, "CREATE TRIGGER _daybook_search_%s_%s AFTER %s", rule->name, name, when);
}

static void put_on(dbk_buffer *sql, const dbk_search_rule *rule)
{
    dbk_buffer_put_text(sql, " ON ");
    dbk_put_name(sql, rule->table->name);
}

static void put_insert(dbk_buffer *sql, const dbk_search_rule *rule)
{
    put_trigger(sql, rule, "came", "INSERT");
    put_on(sql, rule);
    dbk_buffer_put_text(sql, " BEGIN INSERT INTO ");
    put_docs(sql, rule);
    dbk_buffer_put_u8(sql, '(');
    for (uint16_t i = 0; i < rule->table->key_count; i++) dbk_buffer_printf(sql, "%sk%u", i ? ", " : "", i);
    dbk_buffer_put_text(sql, ") VALUES(");
    for (uint16_t i = 0; i < rule->table->key_count; i++) {
        dbk_buffer_put_text(sql, i ? ", new." : "new.");
        dbk_put_name(sql, rule->table->columns[rule->table->key_columns[i]].name);
    }
    dbk_buffer_put_text(sql, "); INSERT INTO ");
    dbk_put_name(sql, rule->name);
    dbk_buffer_put_text(sql, "(rowid, ");
    put_columns(sql, rule, "", "");
    dbk_buffer_put_text(sql, ") VALUES(");
    put_docid(sql, rule, "new");
    dbk_buffer_put_text(sql, ", ");
    put_columns(sql, rule, "new.", "");
    dbk_buffer_put_text(sql, "); END;");
}

static void put_delete(dbk_buffer *sql, const dbk_search_rule *rule)
{
    put_trigger(sql, rule, "gone", "DELETE");
    put_on(sql, rule);
    dbk_buffer_put_text(sql, " BEGIN DELETE FROM ");
    dbk_put_name(sql, rule->name);
    dbk_buffer_put_text(sql, " WHERE rowid = ");
    put_docid(sql, rule, "old");
    dbk_buffer_put_text(sql, "; DELETE FROM ");
    put_docs(sql, rule);
    dbk_buffer_put_text(sql, " WHERE ");
    put_key(sql, rule, "old", " AND ");
    dbk_buffer_put_text(sql, "; END;");
}

/* Does the row differ in a byte of what is searched, or of its key? */
static void put_when(dbk_buffer *sql, const dbk_search_rule *rule)
{
    bool more;

    for (size_t i = 0;; i++) {
        const char *name = rule->table->columns[column_at(rule, i, &more)].name;
        if (!more) return;
        dbk_buffer_put_text(sql, i ? " OR CAST(old." : " WHEN CAST(old.");
        dbk_put_name(sql, name);
        dbk_buffer_put_text(sql, " AS BLOB) IS NOT CAST(new.");
        dbk_put_name(sql, name);
        dbk_buffer_put_text(sql, " AS BLOB)");
    }
}

static void put_set(dbk_buffer *sql, const dbk_search_rule *rule)
{
    bool more;

    for (size_t i = 0;; i++) {
        const char *name = rule->table->columns[column_at(rule, i, &more)].name;
        if (!more) return;
        dbk_buffer_put_text(sql, i ? ", " : " SET ");
        dbk_put_name(sql, name);
        dbk_buffer_put_text(sql, " = new.");
        dbk_put_name(sql, name);
    }
}

static void put_update(dbk_buffer *sql, const dbk_search_rule *rule)
{
    put_trigger(sql, rule, "changed", "UPDATE OF ");
    put_columns(sql, rule, "", "");
    put_on(sql, rule);
    put_when(sql, rule);
    dbk_buffer_put_text(sql, " BEGIN UPDATE ");
    dbk_put_name(sql, rule->name);
    put_set(sql, rule);
    dbk_buffer_put_text(sql, " WHERE rowid = ");
    put_docid(sql, rule, "old");
    dbk_buffer_put_text(sql, "; UPDATE ");
    put_docs(sql, rule);
    dbk_buffer_put_text(sql, " SET ");
    put_key(sql, rule, "new", ", ");
    dbk_buffer_put_text(sql, " WHERE ");
    put_key(sql, rule, "old", " AND ");
    dbk_buffer_put_text(sql, " AND NOT (");
    put_key(sql, rule, "new", " AND ");
    dbk_buffer_put_text(sql, "); END;");
}

static const char *keep(dbk_arena *arena, dbk_buffer *sql)
{
    const char *text = dbk_buffer_text(sql);
    const char *copy = text ? (const char *)dbk_arena_copy(arena, dbk_slice_text(text)).data : NULL;

    dbk_buffer_clear(sql);
    return copy;
}

bool dbk_search_write_sql(const dbk_port *port, dbk_arena *arena, dbk_search_rule *rule)
{
    dbk_buffer sql;

    dbk_buffer_init(&sql, port);
    put_table(&sql, rule);
    rule->table_sql = keep(arena, &sql);
    put_documents(&sql, rule);
    put_insert(&sql, rule);
    put_delete(&sql, rule);
    put_update(&sql, rule);
    rule->upkeep_sql = keep(arena, &sql);
    dbk_buffer_release(&sql);
    return rule->table_sql && rule->upkeep_sql;
}

/* ---- names */

bool dbk_search_inner(const dbk_app *app, const char *name)
{
    static const char *const tails[] = {"_data", "_idx", "_content", "_docsize", "_config"};

    for (size_t i = 0; app && i < app->search_count; i++) {
        size_t size = strlen(app->searches[i].name);
        if (strncasecmp(name, app->searches[i].name, size) != 0) continue;
        for (size_t t = 0; t < sizeof tails / sizeof *tails; t++)
            if (strcasecmp(name + size, tails[t]) == 0) return true;
    }
    return false;
}

bool dbk_search_keeps(const dbk_app *app, const char *name)
{
    static const char prefix[] = "_daybook_docs_";
    bool docs = strncasecmp(name, prefix, sizeof prefix - 1) == 0;

    if (docs) name += sizeof prefix - 1;
    for (size_t i = 0; app && i < app->search_count; i++)
        if (strcasecmp(name, app->searches[i].name) == 0) return true;
    return !docs && dbk_search_inner(app, name);
}

/* ---- in a model */

/* Any question will do whose words a tokenizer leaves over. */
dbk_result dbk_search_wake(sqlite3 *db, const dbk_port *port, const dbk_app *app, dbk_error *err)
{
    int rc = SQLITE_OK;
    dbk_buffer sql;

    dbk_buffer_init(&sql, port);
    for (size_t i = 0; rc == SQLITE_OK && i < app->search_count; i++) {
        dbk_buffer_clear(&sql);
        dbk_buffer_put_text(&sql, "SELECT count(*) FROM ");
        dbk_put_name(&sql, app->searches[i].name);
        dbk_buffer_put_text(&sql, " WHERE ");
        dbk_put_name(&sql, app->searches[i].name);
        dbk_buffer_put_text(&sql, " MATCH '\"xyz\" OR \"012\" OR \"qqq\"'");
        const char *text = dbk_buffer_text(&sql);
        rc = text ? sqlite3_exec(db, text, NULL, NULL, NULL) : SQLITE_NOMEM;
        if (rc == SQLITE_ERROR) rc = SQLITE_OK;
    }
    dbk_buffer_release(&sql);
    return rc == SQLITE_OK ? DBK_OK : dbk_sql_failure(db, rc, "wake the tables of search", err);
}

dbk_result dbk_search_make(dbk_model *model, dbk_error *err)
{
    const dbk_app *app = model->definition->app;
    dbk_result result = DBK_OK;

    for (size_t i = 0; result == DBK_OK && i < app->search_count; i++) {
        result = dbk_model_exec(model, app->searches[i].table_sql, "make the tables of search", err);
        if (result == DBK_OK)
            result = dbk_model_exec(model, app->searches[i].upkeep_sql, "make the tables of search", err);
    }
    if (result == DBK_OK) result = dbk_search_wake(model->db, model->port, app, err);
    return result;
}

static dbk_result run(dbk_model *model, dbk_buffer *sql, const char *what, dbk_error *err)
{
    const char *text = dbk_buffer_text(sql);
    dbk_result result =
        text ? dbk_model_exec(model, text, what, err) : dbk_fail(err, DBK_NO_MEMORY, "cannot %s: out of memory", what);

    dbk_buffer_clear(sql);
    return result;
}

dbk_result dbk_search_leave(dbk_model *model, dbk_error *err)
{
    static const char *const triggers[] = {"came", "gone", "changed"};
    const dbk_app *app = model->definition->app;
    dbk_result result = DBK_OK;
    dbk_buffer sql;

    dbk_buffer_init(&sql, model->port);
    for (size_t i = 0; result == DBK_OK && i < app->search_count; i++) {
        dbk_buffer_put_text(&sql, "BEGIN IMMEDIATE;");
        for (size_t t = 0; t < sizeof triggers / sizeof *triggers; t++)
            dbk_buffer_printf(&sql, "DROP TRIGGER _daybook_search_%s_%s;", app->searches[i].name, triggers[t]);
        dbk_buffer_put_text(&sql, "DROP TABLE ");
        put_docs(&sql, &app->searches[i]);
        dbk_buffer_put_text(&sql, ";COMMIT;");
        result = run(model, &sql, "finish the model", err);
    }
    dbk_buffer_release(&sql);
    return result;
}

/* How many rows more than documents, and how many rows whose document is not theirs. Bytes are compared: a
 * collation would take texts for one that the tokenizer tells apart. */
static void put_compare(dbk_buffer *sql, const dbk_search_rule *rule)
{
    bool more;

    dbk_buffer_put_text(sql, "SELECT (SELECT count(*) FROM ");
    dbk_put_name(sql, rule->table->name);
    dbk_buffer_put_text(sql, ") - (SELECT count(*) FROM ");
    dbk_put_name(sql, rule->name);
    dbk_buffer_put_text(sql, "), (SELECT count(*) FROM ");
    dbk_put_name(sql, rule->table->name);
    dbk_buffer_put_text(sql, " AS t LEFT JOIN ");
    put_docs(sql, rule);
    dbk_buffer_put_text(sql, " AS d ON ");
    put_key(sql, rule, "t", " AND ");
    dbk_buffer_put_text(sql, " LEFT JOIN ");
    dbk_put_name(sql, rule->name);
    dbk_buffer_put_text(sql, " AS f ON f.rowid = d.docid WHERE f.rowid IS NULL");
    for (size_t i = 0;; i++) {
        const char *name = rule->table->columns[column_at(rule, i, &more)].name;
        if (!more) break;
        dbk_buffer_put_text(sql, " OR CAST(t.");
        dbk_put_name(sql, name);
        dbk_buffer_put_text(sql, " AS BLOB) IS NOT CAST(f.");
        dbk_put_name(sql, name);
        dbk_buffer_put_text(sql, " AS BLOB)");
    }
    dbk_buffer_put_u8(sql, ')');
}

static dbk_result compare(dbk_model *model, const dbk_search_rule *rule, dbk_buffer *sql, dbk_error *err)
{
    sqlite3_stmt *row = NULL;
    dbk_result result = DBK_OK;

    put_compare(sql, rule);
    const char *text = dbk_buffer_text(sql);
    if (!text) return dbk_fail(err, DBK_NO_MEMORY, "cannot check a search: out of memory");
    int rc = sqlite3_prepare_v2(model->db, text, -1, &row, NULL);
    if (rc == SQLITE_OK) rc = sqlite3_step(row);
    if (rc != SQLITE_ROW) result = dbk_model_sql_failure(model, rc, "check a search", err);
    else if (sqlite3_column_int64(row, 0) != 0 || sqlite3_column_int64(row, 1) != 0)
        result = dbk_fail(err, DBK_CORRUPT, "search '%s' holds other texts than '%s'", rule->name, rule->table->name);
    sqlite3_finalize(row);
    dbk_buffer_clear(sql);
    return result;
}

dbk_result dbk_search_compare(dbk_model *model, dbk_error *err)
{
    const dbk_app *app = model->definition->app;
    dbk_result result = DBK_OK;
    dbk_buffer sql;

    dbk_buffer_init(&sql, model->port);
    for (size_t i = 0; result == DBK_OK && i < app->search_count; i++)
        result = compare(model, &app->searches[i], &sql, err);
    dbk_buffer_release(&sql);
    return result;
}

dbk_result dbk_model_check_search(dbk_model *model, dbk_error *err)
{
    const dbk_app *app = model->definition->app;
    dbk_result result = DBK_OK;
    dbk_buffer sql;

    model->sandbox.role = DBK_SQL_ENGINE;
    dbk_buffer_init(&sql, model->port);
    for (size_t i = 0; result == DBK_OK && i < app->search_count; i++) {
        dbk_buffer_put_text(&sql, "INSERT INTO ");
        dbk_put_name(&sql, app->searches[i].name);
        dbk_buffer_put_u8(&sql, '(');
        dbk_put_name(&sql, app->searches[i].name);
        dbk_buffer_put_text(&sql, ") VALUES('integrity-check')");
        result = run(model, &sql, "look through a search", err);
    }
    dbk_buffer_release(&sql);
    return result;
}
