/* What the virtual tables of a reader's connection share: each knows its reader. */
#include "projector/reader/internal.h"

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
