/* What a SELECT of the definition answers with: asked of SQLite, which has prepared it, never of the text.
 *
 * Only whether a column can be NULL is judged here, and only the plain case is certain: one SELECT without
 * outer join, view or aggregate, of a column that the table declares so. */
#include <assert.h>
#include <ctype.h>
#include <string.h>

#include <sqlite3.h>

#include "projector/model/journal.h"
#include "projector/rules.h"

struct dbk_answers {
    const dbk_port *port;
    const dbk_definition *definition;
    sqlite3 *db;
    dbk_sandbox sandbox;
    bool by_view; /* the statement prepared last reads through a view */
};

static dbk_result fail(const dbk_answers *a, int rc, dbk_error *err)
{
    return dbk_fail(err, rc == SQLITE_NOMEM ? DBK_NO_MEMORY : DBK_INTERNAL,
                    "cannot look at the columns of an answer: %s", a->db ? sqlite3_errmsg(a->db) : sqlite3_errstr(rc));
}

/* Says what a statement reads as SQLite prepares it: the last name is that of the view it reads it for. */
static int note_view(void *arg, int action, const char *table, const char *column, const char *database,
                     const char *view)
{
    dbk_answers *a = arg;

    (void)action, (void)table, (void)column, (void)database;
    a->by_view = a->by_view || view != NULL;
    return SQLITE_OK;
}

dbk_result dbk_answers_open(const dbk_port *port, const dbk_definition *definition, dbk_answers **out, dbk_error *err)
{
    assert(port && definition && out);
    dbk_sqlite_configure();
    dbk_answers *a = dbk_alloc_zero(port, 1, sizeof *a);
    *out = NULL;
    if (!a) return dbk_fail(err, DBK_NO_MEMORY, "no memory for the columns of an answer");
    *a = (dbk_answers){.port = port, .definition = definition, .sandbox = {.role = DBK_SQL_ENGINE}};
    dbk_result result = DBK_OK;
    int rc =
        sqlite3_open_v2(":memory:", &a->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, NULL);
    if (rc == SQLITE_OK) result = dbk_sandbox_install(a->db, &a->sandbox, err);
    if (rc == SQLITE_OK && result == DBK_OK) rc = sqlite3_exec(a->db, definition->schema_sql, NULL, NULL, NULL);
    for (size_t i = 0; rc == SQLITE_OK && result == DBK_OK && i < definition->app->search_count; i++)
        rc = sqlite3_exec(a->db, definition->app->searches[i].table_sql, NULL, NULL, NULL);
    /* In place of the sandbox's: from here on statements that check has passed are prepared, and none is run. */
    if (rc == SQLITE_OK && result == DBK_OK) rc = sqlite3_set_authorizer(a->db, note_view, a);
    if (rc != SQLITE_OK && result == DBK_OK) result = fail(a, rc, err);
    if (result == DBK_OK) *out = a;
    else dbk_answers_close(a);
    return result;
}

void dbk_answers_close(dbk_answers *a)
{
    if (!a) return;
    sqlite3_close(a->db);
    dbk_free(a->port, a);
}

static bool word_is(const char *word, size_t size, const char *name)
{
    return strlen(name) == size && sqlite3_strnicmp(word, name, (int)size) == 0;
}

/* Words inside texts and comments count too: then less is certain, and nothing wrong is said. */
static bool is_plain(const char *sql)
{
    static const char *const hard[] = {
        "left",  "right",        "full", "union", "intersect", "except", "values",           "avg",
        "count", "group_concat", "max",  "min",   "sum",       "total",  "json_group_array", "json_group_object"};
    unsigned selects = 0;
    while (*sql) {
        size_t size = 0;
        while (isalnum((unsigned char)sql[size]) || sql[size] == '_') size++;
        if (word_is(sql, size, "select") && ++selects > 1) return false;
        for (size_t i = 0; size && i < sizeof hard / sizeof *hard; i++) {
            if (word_is(sql, size, hard[i])) return false;
        }
        sql += size ? size : 1;
    }
    return selects == 1;
}

static void find_origin(const dbk_answers *a, sqlite3_stmt *statement, int i, bool plain, dbk_answer_column *c)
{
    const char *table = sqlite3_column_table_name(statement, i), *column = sqlite3_column_origin_name(statement, i);
    if (!table || !column) return;
    c->table = dbk_definition_table(a->definition, dbk_slice_text(table));
    if (!c->table) return;
    c->column = dbk_table_column(c->table, dbk_slice_text(column));
    if (c->column < 0) {
        c->table = NULL;
        return;
    }
    const dbk_column *origin = &c->table->columns[c->column];
    c->not_null = plain && (origin->not_null || origin->key_part > 0);
}

dbk_result dbk_answers_of(dbk_answers *a, const char *sql, const dbk_column_type *returns, size_t return_count,
                          void (*each)(void *arg, const dbk_answer_column *column), void *arg, dbk_error *err)
{
    sqlite3_stmt *statement = NULL;
    a->by_view = false;
    int rc = sqlite3_prepare_v2(a->db, sql, -1, &statement, NULL);
    if (rc != SQLITE_OK || !statement) {
        sqlite3_finalize(statement);
        return fail(a, rc, err);
    }
    bool plain = !a->by_view && is_plain(sql);
    int count = sqlite3_column_count(statement);
    for (int i = 0; i < count && rc == SQLITE_OK; i++) {
        const char *declared = sqlite3_column_decltype(statement, i);
        dbk_answer_column column = {.name = sqlite3_column_name(statement, i),
                                    .type = declared ? dbk_type_of_declared(declared) : DBK_TYPE_ANY,
                                    .column = -1};
        if (returns && (size_t)i < return_count) column.type = returns[i];
        find_origin(a, statement, i, plain, &column);
        if (column.name) each(arg, &column);
        else rc = SQLITE_NOMEM;
    }
    sqlite3_finalize(statement);
    return rc == SQLITE_OK ? DBK_OK : fail(a, rc, err);
}
