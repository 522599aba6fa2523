/* What the virtual tables of a reader's connection share: each knows its reader. */
#include "projector/reader/internal.h"

#include <stdio.h>

dbk_result dbk_reader_table_show(dbk_model_reader *reader, const char *name, const sqlite3_module *module,
                                 dbk_error *err)
{
    char use[80];
    int rc = sqlite3_create_module_v2(reader->db, name, module, reader, NULL);

    /* its first use declares it, which a client's role would not be let do */
    (void)snprintf(use, sizeof use, "SELECT 1 FROM %s LIMIT 0", name);
    if (rc == SQLITE_OK) rc = sqlite3_exec(reader->db, use, NULL, NULL, NULL);
    return rc == SQLITE_OK ? DBK_OK : dbk_sql_failure(reader->db, rc, "show the tables of a query", err);
}

int dbk_reader_table_new(sqlite3 *db, dbk_model_reader *reader, const char *declaration, sqlite3_vtab **out)
{
    dbk_reader_table *table = sqlite3_malloc(sizeof(*table));

    if (!table) return SQLITE_NOMEM;
    *table = (dbk_reader_table){.reader = reader};
    int rc = sqlite3_declare_vtab(db, declaration);
    if (rc == SQLITE_OK) *out = &table->base;
    else sqlite3_free(table);
    return rc;
}

int dbk_reader_table_free(sqlite3_vtab *table)
{
    sqlite3_free(table);
    return SQLITE_OK;
}
