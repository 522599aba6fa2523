/* The keys of a commit in its row of _daybook_commits. */
#include "projector/model/journal.h"

void dbk_keys_encode(dbk_buffer *out, const dbk_change *changes, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        size_t size = strlen(changes[i].table->name);
        dbk_buffer_put_u16(out, (uint16_t)size);
        dbk_buffer_put(out, changes[i].table->name, size);
        dbk_buffer_put_u32(out, (uint32_t)changes[i].key_count);
        for (size_t k = 0; k < changes[i].key_count; k++) {
            dbk_buffer_put_u32(out, (uint32_t)changes[i].keys[k].size);
            dbk_buffer_put_slice(out, changes[i].keys[k]);
        }
    }
}

void dbk_keys_begin(dbk_keys_walk *walk, dbk_slice keys)
{
    *walk = (dbk_keys_walk){.rest = dbk_reader_of(keys)};
}

bool dbk_keys_next(dbk_keys_walk *walk, dbk_slice *key)
{
    while (walk->left == 0) {
        if (walk->rest.failed || dbk_reader_left(&walk->rest) == 0) return false;
        walk->table = dbk_reader_take(&walk->rest, dbk_reader_u16(&walk->rest));
        walk->left = dbk_reader_u32(&walk->rest);
    }
    walk->left--;
    *key = dbk_reader_take(&walk->rest, dbk_reader_u32(&walk->rest));
    return !walk->rest.failed;
}

static dbk_result tell_keys(dbk_model *model, sqlite3_stmt *statement, dbk_key_above_fn each, void *arg, dbk_error *err)
{
    const void *data = sqlite3_column_blob(statement, 0);
    dbk_result result = DBK_OK;
    dbk_keys_walk walk;
    dbk_slice key;
    dbk_keys_begin(&walk, dbk_slice_of(data, data ? (size_t)sqlite3_column_bytes(statement, 0) : 0));
    while (result == DBK_OK && dbk_keys_next(&walk, &key)) result = each(arg, walk.table, key, err);
    if (result == DBK_OK && walk.rest.failed)
        result = dbk_fail(err, DBK_CORRUPT, "the journal of '%s' is damaged", model->path);
    return result;
}

dbk_result dbk_model_keys_above(dbk_model *model, uint64_t above, dbk_key_above_fn each, void *arg, dbk_error *err)
{
    sqlite3_stmt *statement;
    int rc = SQLITE_DONE;
    dbk_result result = dbk_model_statement(model, DBK_SQL_KEYS_ABOVE,
                                            "SELECT keys FROM _daybook_commits WHERE position > ?1", &statement, err);
    if (result != DBK_OK) return result;
    (void)sqlite3_bind_int64(statement, 1, (int64_t)above);
    while (result == DBK_OK && (rc = sqlite3_step(statement)) == SQLITE_ROW)
        result = tell_keys(model, statement, each, arg, err);
    if (result == DBK_OK && rc != SQLITE_DONE) result = dbk_model_sql_failure(model, rc, "read the journal", err);
    (void)sqlite3_reset(statement);
    return result;
}
