/* Which indexes a build can do without is asked of SQLite: what EXPLAIN QUERY PLAN says of every statement of every
 * projection names those that are read. */
#include "projector/model/shadow_index.h"

#include "projector/model/journal.h"

static const char candidates[] =
    "SELECT s.name, s.sql FROM main.sqlite_schema AS s JOIN pragma_index_list(s.tbl_name) AS l ON l.name = s.name"
    " WHERE s.type = 'index' AND s.sql IS NOT NULL AND NOT l.\"unique\""
    " AND NOT EXISTS (SELECT 1 FROM pragma_foreign_key_list(s.tbl_name) AS f JOIN pragma_index_info(s.name) AS i"
    " ON i.name = f.\"from\" COLLATE NOCASE) ORDER BY s.rowid";

/* What SQLite says of how it would run the statement, one line behind the other. */
static dbk_result put_plan(dbk_model *model, const char *sql, dbk_buffer *plans, dbk_error *err)
{
    dbk_buffer text;
    sqlite3_stmt *plan = NULL;
    dbk_buffer_init(&text, model->port);
    dbk_buffer_printf(&text, "EXPLAIN QUERY PLAN %s", sql);
    const char *explain = dbk_buffer_text(&text);
    int rc = explain ? sqlite3_prepare_v2(model->db, explain, -1, &plan, NULL) : SQLITE_NOMEM;
    while (rc == SQLITE_OK && (rc = sqlite3_step(plan)) == SQLITE_ROW) {
        const char *detail = (const char *)sqlite3_column_text(plan, 3);
        if (detail) dbk_buffer_put_text(plans, detail);
        dbk_buffer_put_u8(plans, '\n');
        rc = SQLITE_OK;
    }
    sqlite3_finalize(plan);
    dbk_buffer_release(&text);
    return rc == SQLITE_DONE ? DBK_OK : dbk_model_sql_failure(model, rc, "plan a projection", err);
}

static dbk_result put_plans(dbk_model *model, dbk_buffer *plans, dbk_error *err)
{
    const dbk_definition *definition = model->definition;
    dbk_result result = DBK_OK;
    for (size_t i = 0; i < definition->projection_count; i++) {
        const dbk_projection *projection = &definition->projections[i];
        for (uint32_t j = 0; result == DBK_OK && j < projection->statement_count; j++) {
            result = put_plan(model, projection->statements[j].sql, plans, err);
        }
    }
    return result;
}

/* `drop` and `create` for every index that no plan names. A name inside another word counts as named:
 * that keeps an index too many, never one too few. */
static dbk_result choose(dbk_model *model, const char *plans, dbk_buffer *drop, dbk_buffer *create, dbk_error *err)
{
    sqlite3_stmt *rows = NULL;
    int rc = sqlite3_prepare_v2(model->db, candidates, -1, &rows, NULL);
    while (rc == SQLITE_OK && (rc = sqlite3_step(rows)) == SQLITE_ROW) {
        const char *name = (const char *)sqlite3_column_text(rows, 0),
                   *sql = (const char *)sqlite3_column_text(rows, 1);
        rc = name && sql ? SQLITE_OK : SQLITE_NOMEM;
        if (rc != SQLITE_OK || strcasestr(plans, name)) continue;
        char *statement = sqlite3_mprintf("DROP INDEX main.\"%w\";", name);
        if (statement) dbk_buffer_put_text(drop, statement);
        else rc = SQLITE_NOMEM;
        sqlite3_free(statement);
        dbk_buffer_put(create, sql, strlen(sql) + 1);
    }
    sqlite3_finalize(rows);
    return rc == SQLITE_DONE ? DBK_OK : dbk_model_sql_failure(model, rc, "list the indexes", err);
}

dbk_result dbk_indexes_set_aside(dbk_model *model, dbk_buffer *create, dbk_error *err)
{
    dbk_buffer plans, drop;
    dbk_buffer_init(&plans, model->port);
    dbk_buffer_init(&drop, model->port);
    dbk_result result = put_plans(model, &plans, err);
    const char *text = dbk_buffer_text(&plans);
    if (result == DBK_OK && text) result = choose(model, text, &drop, create, err);
    const char *statements = dbk_buffer_text(&drop);
    if (result == DBK_OK && (!text || !statements || create->failed)) {
        result = dbk_fail(err, DBK_NO_MEMORY, "out of memory for the list of indexes");
    }
    if (result == DBK_OK && drop.size) result = dbk_model_exec(model, statements, "set an index aside", err);
    dbk_buffer_release(&plans);
    dbk_buffer_release(&drop);
    return result;
}

/* The text may come from the file of an image, which anybody may have made: nothing but DDL of the app is run. */
static dbk_result make_index(dbk_model *model, const char *sql, dbk_error *err)
{
    dbk_sql_role role = model->sandbox.role;
    model->sandbox.role = DBK_SQL_DDL;
    model->sandbox.denied[0] = '\0';
    dbk_result result = dbk_model_exec(model, sql, "make an index", err);
    model->sandbox.role = role;
    if (result == DBK_OK || !model->sandbox.denied[0]) return result;
    dbk_fail(err, DBK_CORRUPT, "the list of indexes in '%s' says something else: %s", model->path,
             model->sandbox.denied);
    dbk_error_hint(err, "delete the folder 'images' of the store: it is made anew from the log");
    return DBK_CORRUPT;
}

dbk_result dbk_indexes_put_back(dbk_model *model, dbk_buffer *create, dbk_error *err)
{
    dbk_result result = DBK_OK;
    /* One by one and as they were: the file's schema is the text, to the byte. */
    for (size_t at = 0; result == DBK_OK && at < create->size; at += strlen((const char *)create->data + at) + 1) {
        result = make_index(model, (const char *)create->data + at, err);
    }
    if (result == DBK_OK) dbk_buffer_clear(create);
    return result;
}

static dbk_result run_note(dbk_model *model, const char *sql, const dbk_buffer *in, dbk_buffer *out, dbk_error *err)
{
    sqlite3_stmt *statement = NULL;
    int rc = sqlite3_prepare_v2(model->db, sql, -1, &statement, NULL);
    if (rc == SQLITE_OK && in) rc = sqlite3_bind_blob64(statement, 1, in->data, in->size, SQLITE_STATIC);
    if (rc == SQLITE_OK) rc = sqlite3_step(statement);
    if (rc == SQLITE_ROW && out) {
        dbk_buffer_put(out, sqlite3_column_blob(statement, 0), (size_t)sqlite3_column_bytes(statement, 0));
        dbk_buffer_put_u8(out, 0); /* a note that was cut ends all the same */
        if (!out->failed) out->size--;
    }
    sqlite3_finalize(statement);
    if (out && out->failed) return dbk_fail(err, DBK_NO_MEMORY, "out of memory for the list of indexes");
    return rc == SQLITE_ROW || rc == SQLITE_DONE ? DBK_OK : dbk_model_sql_failure(model, rc, "note the indexes", err);
}

dbk_result dbk_indexes_note(dbk_model *model, const dbk_buffer *create, dbk_error *err)
{
    return create->size ? run_note(model, "INSERT INTO main._daybook_meta VALUES('indexes', ?1)", create, NULL, err)
                        : DBK_OK;
}

dbk_result dbk_indexes_take_note(dbk_model *model, dbk_buffer *create, dbk_error *err)
{
    dbk_result result = run_note(model, "SELECT value FROM main._daybook_meta WHERE name='indexes'", NULL, create, err);
    if (result != DBK_OK || create->size == 0) return result;
    return run_note(model, "DELETE FROM main._daybook_meta WHERE name='indexes'", NULL, NULL, err);
}
