/* Late entries about rows that others name behind them. Of a row-local table (F6) the events that name a row are
 * all that ever happens to it, so the row goes and what names it is applied again, in canonical order, among what is
 * new: the same as a fold of the whole log, without the rest of it.
 *
 * An entry applies whole or not at all, and whether it does may change. What names the row must therefore be local in
 * all its events, and the other rows that it names are made again too, until there are no more. An entry that shares
 * its command id, or touches a table with ties, is not for this. */
#include "projector/model/amend.h"

#include <stdlib.h>

void dbk_amend_init(dbk_amend *amend, dbk_model *model, uint64_t most)
{
    *amend = (dbk_amend){.model = model, .done = model->state.position, .most = most};
    dbk_buffer_init(&amend->streams, model->port);
    dbk_buffer_init(&amend->entries, model->port);
    dbk_buffer_init(&amend->origin, model->port);
}

void dbk_amend_release(dbk_amend *amend)
{
    dbk_fresh_free(amend->seen);
    dbk_buffer_release(&amend->streams);
    dbk_buffer_release(&amend->entries);
    dbk_buffer_release(&amend->origin);
}

dbk_result dbk_amend_add(dbk_amend *amend, dbk_slice stream, dbk_error *err)
{
    static const dbk_entry_id nobody;

    if (!amend->seen) amend->seen = dbk_fresh_new(amend->model->port);
    if (!amend->seen) return dbk_row_no_memory(err);
    if (dbk_amend_has(amend, stream)) return DBK_OK;
    if (!dbk_fresh_add(amend->seen, stream, &nobody, 1)) return dbk_row_no_memory(err);
    dbk_buffer_put_u32(&amend->streams, (uint32_t)stream.size);
    dbk_buffer_put_slice(&amend->streams, stream);
    return amend->streams.failed ? dbk_row_no_memory(err) : DBK_OK;
}

/* One entry that names such a row: it is applied again, with all rows that it names. */
static dbk_result take_entry(dbk_amend *amend, uint64_t position, bool *possible, dbk_error *err)
{
    dbk_log *log = amend->model->log;
    dbk_again again = {.position = position};
    bool shared = false;
    dbk_entry entry;
    dbk_event event;
    dbk_result result = dbk_log_read(log, position, &amend->origin, NULL, err);

    if (result == DBK_NONE)
        result = dbk_fail(err, DBK_GAP, "entry at position %llu is missing", (unsigned long long)position);
    if (result == DBK_OK) result = dbk_entry_decode(dbk_buffer_slice(&amend->origin), &entry, err);
    if (result == DBK_OK) result = dbk_model_shares_id(log, entry.command_id, &shared, err);
    if (shared) *possible = false;
    for (dbk_slice rest = entry.events; result == DBK_OK && *possible && dbk_event_next(&rest, &event);) {
        *possible = dbk_event_is_local(amend->model, &event);
        if (*possible) result = dbk_amend_add(amend, event.stream, err);
    }
    if (result != DBK_OK) return result;
    dbk_entry_order_key(&entry, again.key);
    dbk_buffer_put(&amend->entries, &again, sizeof again);
    return amend->entries.failed ? dbk_row_no_memory(err) : DBK_OK;
}

static dbk_result take_row(dbk_amend *amend, dbk_slice stream, bool *possible, dbk_error *err)
{
    dbk_result result = DBK_OK;

    for (uint64_t position = amend->done + 1; result == DBK_OK && *possible;) {
        result = dbk_log_find_stream(amend->model->log, stream, position, &position, err);
        if (result != DBK_OK || position == 0) break;
        *possible = ++amend->read <= amend->most;
        if (*possible) result = take_entry(amend, position, possible, err);
    }
    return result;
}

static int compare_again(const void *a, const void *b)
{
    return memcmp(((const dbk_again *)a)->key, ((const dbk_again *)b)->key, DBK_ORDER_KEY_SIZE);
}

/* One that names several of the rows was met several times. */
static void sort_entries(dbk_amend *amend)
{
    dbk_again *items = (dbk_again *)(void *)amend->entries.data;
    size_t count = dbk_amend_count(amend), kept = 0;

    if (count) qsort(items, count, sizeof *items, compare_again);
    for (size_t i = 0; i < count; i++)
        if (kept == 0 || items[kept - 1].position != items[i].position) items[kept++] = items[i];
    amend->entries.size = kept * sizeof *items;
}

dbk_result dbk_amend_complete(dbk_amend *amend, bool *possible, dbk_error *err)
{
    dbk_result result = DBK_OK;
    dbk_buffer stream;

    *possible = true;
    dbk_buffer_init(&stream, amend->model->port);
    for (size_t at = 0; result == DBK_OK && *possible && at < amend->streams.size;) {
        uint32_t size = dbk_load_u32(amend->streams.data + at);
        dbk_buffer_clear(&stream); /* the list moves as it grows */
        dbk_buffer_put(&stream, amend->streams.data + at + 4, size);
        at += 4 + (size_t)size;
        result = stream.failed ? dbk_row_no_memory(err) : take_row(amend, dbk_buffer_slice(&stream), possible, err);
    }
    dbk_buffer_release(&stream);
    if (result == DBK_OK && *possible) sort_entries(amend);
    return result;
}

static dbk_result drop_record(dbk_model *model, const dbk_table *table, dbk_slice key, dbk_error *err)
{
    sqlite3_stmt *statement;

    if (!model->has_row_records) return DBK_OK;
    dbk_result result = dbk_model_statement(model, DBK_PLACE_RECORD_DROP,
                                            "DELETE FROM _daybook_rows WHERE tab=?1 AND key=?2", &statement, err);
    if (result != DBK_OK) return result;
    (void)sqlite3_bind_text(statement, 1, table->name, -1, SQLITE_STATIC);
    (void)sqlite3_bind_text64(statement, 2, key.data ? (const char *)key.data : "", key.size, SQLITE_STATIC,
                              SQLITE_UTF8);
    return dbk_row_run(model, statement, "drop a row record", NULL, err);
}

/* A key that is none has no row. */
static dbk_result drop_row(dbk_model *model, dbk_slice stream, dbk_error *err)
{
    const uint8_t *slash = stream.size ? memchr(stream.data, '/', stream.size) : NULL;
    size_t before = slash ? (size_t)(slash - stream.data) : stream.size;
    const dbk_table *table = dbk_definition_table(model->definition, dbk_slice_of(stream.data, before));
    sqlite3_stmt *statement;
    dbk_slice key;

    if (!table || !dbk_row_key_of(table, stream, &key)) return DBK_OK;
    dbk_result result = dbk_row_prepare(model, table, DBK_ROW_DELETE, &statement, err);
    if (result != DBK_OK) return result;
    if (dbk_key_bind(table, key, statement, 1, &model->work->part)) {
        result = dbk_row_run(model, statement, "make the row again", NULL, err);
    } else {
        result = dbk_row_bad_key(model, table, key, err);
        if (result == DBK_SCHEMA) result = DBK_OK;
    }
    return result == DBK_OK ? drop_record(model, table, key, err) : result;
}

static dbk_result drop_skip(dbk_amend *amend, uint64_t position, dbk_error *err)
{
    dbk_model *model = amend->model;
    char text[DBK_ENTRY_ID_TEXT_SIZE];
    sqlite3_stmt *statement;
    dbk_entry_id id;

    if (!model->has_skips) return DBK_OK;
    dbk_result result = dbk_log_entry_id_at(model->log, position, &id, err);
    if (result == DBK_OK)
        result = dbk_model_statement(model, DBK_PLACE_SKIP_DROP, "DELETE FROM _daybook_skips WHERE entry=?1",
                                     &statement, err);
    if (result != DBK_OK) return result;
    dbk_entry_id_text(&id, text);
    (void)sqlite3_bind_text(statement, 1, text, -1, SQLITE_STATIC);
    return dbk_row_run(model, statement, "write the skip list", NULL, err);
}

dbk_result dbk_amend_clear(dbk_amend *amend, dbk_error *err)
{
    dbk_reader streams = dbk_reader_of(dbk_buffer_slice(&amend->streams));
    dbk_result result = DBK_OK;

    if (!amend->seen) return DBK_OK;
    dbk_observer_entry_begin(amend->model->observer);
    for (size_t left = amend->streams.size; result == DBK_OK && left > 0;) {
        uint32_t size = dbk_reader_u32(&streams);
        result = drop_row(amend->model, dbk_reader_take(&streams, size), err);
        left -= 4 + (size_t)size;
    }
    for (size_t i = 0; result == DBK_OK && i < dbk_amend_count(amend); i++)
        result = drop_skip(amend, dbk_amend_at(amend, i)->position, err);
    return result;
}

static dbk_result row_now(void *arg, const dbk_table *table, dbk_slice key, dbk_hash128 prefix, bool *exists,
                          dbk_hash128 *hash, dbk_error *err)
{
    dbk_amend *amend = arg;
    sqlite3_stmt *row;
    dbk_result result = dbk_row_read(amend->model, table, key, &row, err);

    *exists = result == DBK_OK;
    if (result != DBK_OK) return result == DBK_NONE ? DBK_OK : result;
    *hash = dbk_row_hash_with(&amend->origin, prefix, table, dbk_statement_column, row);
    (void)sqlite3_reset(row);
    return amend->origin.failed ? dbk_row_no_memory(err) : DBK_OK;
}

dbk_result dbk_amend_keep_net(dbk_amend *amend, dbk_error *err)
{
    return dbk_observer_keep_net(amend->model->observer, row_now, amend, err);
}
