/* Versions (F7) and last writers: who last changed a row, from the log's stream index, the
 * decisions of the open transaction and the few rows of _daybook_rows.
 *
 * A record says: as of the entry `at`, `last` wrote the row. Whatever names the row and stands
 * above `at` in canonical order overrides it. Skipped entries wrote nothing. */
#include "projector/model/ahead.h"
#include "projector/rows/rules.h"

#include <stdio.h>
#include <stdlib.h>

typedef struct record {
    bool found;
    char last[DBK_ENTRY_ID_TEXT_SIZE];
    dbk_entry_id at;
    uint64_t version;
} record;

typedef struct candidate {
    bool found;
    dbk_entry_id id;
    uint8_t key[DBK_ORDER_KEY_SIZE];
} candidate;

void dbk_row_stream(dbk_buffer *out, const dbk_table *table, dbk_slice key)
{
    dbk_buffer_clear(out);
    dbk_buffer_put_text(out, table->name);
    dbk_buffer_put_u8(out, '/');
    dbk_buffer_put_slice(out, key);
}

dbk_result dbk_row_is_skipped(dbk_model *model, const char *entry, bool *skipped, dbk_error *err)
{
    sqlite3_stmt *statement;
    dbk_result result;

    *skipped = false;
    if (!model->has_skips) return DBK_OK;
    result = dbk_model_statement(model, DBK_PLACE_SKIP_GET,
                                 "SELECT 1 FROM _daybook_skips WHERE entry=?1 AND state<>'suffixed'", &statement, err);
    if (result != DBK_OK) return result;
    (void)sqlite3_bind_text(statement, 1, entry, -1, SQLITE_STATIC);
    int rc = sqlite3_step(statement);
    *skipped = rc == SQLITE_ROW;
    if (rc != SQLITE_ROW && rc != SQLITE_DONE) result = dbk_model_sql_failure(model, rc, "read the skip list", err);
    (void)sqlite3_reset(statement);
    return result;
}

dbk_result dbk_row_is_folded(dbk_model *model, uint64_t position, const dbk_entry *entry, int64_t received_ms,
                             bool *folded, dbk_error *err)
{
    uint8_t key[DBK_ORDER_KEY_SIZE];
    char text[DBK_ENTRY_ID_TEXT_SIZE];
    bool skipped;

    dbk_entry_order_key(entry, key);
    *folded = model->deciding || (memcmp(key, model->work->order, sizeof(key)) < 0 &&
                                  (model->wanted_last == 0 || position <= model->wanted_last) &&
                                  (!model->wanted || model->wanted(model->wanted_arg, position, received_ms, key)));
    if (!*folded) return DBK_OK;
    dbk_entry_id_text(&entry->id, text);
    dbk_result result = dbk_row_is_skipped(model, text, &skipped, err);
    *folded = !skipped;
    return result;
}

static dbk_result read_record(dbk_model *model, dbk_slice table, dbk_slice key, record *out, dbk_error *err)
{
    sqlite3_stmt *statement;
    dbk_result result;

    *out = (record){0};
    if (!model->has_row_records) return DBK_OK;
    result = dbk_model_statement(model, DBK_PLACE_RECORD_GET,
                                 "SELECT last,at,version FROM _daybook_rows WHERE tab=?1 AND key=?2", &statement, err);
    if (result != DBK_OK) return result;
    (void)sqlite3_bind_text64(statement, 1, (const char *)table.data, table.size, SQLITE_STATIC, SQLITE_UTF8);
    (void)sqlite3_bind_text64(statement, 2, key.data ? (const char *)key.data : "", key.size, SQLITE_STATIC,
                              SQLITE_UTF8);
    int rc = sqlite3_step(statement);
    if (rc == SQLITE_ROW) {
        const char *last = (const char *)sqlite3_column_text(statement, 0);
        dbk_slice at = dbk_slice_of(sqlite3_column_blob(statement, 1), (size_t)sqlite3_column_bytes(statement, 1));
        out->found = dbk_entry_id_parse(at, &out->at);
        (void)snprintf(out->last, sizeof(out->last), "%s", last ? last : "");
        out->version = (uint64_t)sqlite3_column_int64(statement, 2);
    } else if (rc != SQLITE_DONE) {
        result = dbk_model_sql_failure(model, rc, "read a row record", err);
    }
    (void)sqlite3_reset(statement);
    return result;
}

dbk_result dbk_row_has_record(dbk_model *model, const dbk_table *table, dbk_slice key, bool *has, dbk_error *err)
{
    record row;
    dbk_result result = read_record(model, dbk_slice_text(table->name), key, &row, err);

    *has = row.found;
    return result;
}

dbk_result dbk_model_version(dbk_model *model, dbk_slice stream, uint64_t *version, dbk_error *err)
{
    const uint8_t *slash = stream.size ? memchr(stream.data, '/', stream.size) : NULL;
    uint64_t fresh = 0;
    dbk_entry_id id;
    dbk_result result = DBK_OK;
    record row = {0};

    *version = 0;
    if (model->log) result = dbk_log_find_stream(model->log, stream, 0, version, err);
    if (result != DBK_OK) return result;
    if (dbk_fresh_find(model->fresh, stream, &id, &fresh) && fresh > *version) *version = fresh;
    if (!slash || !model->has_row_records) return DBK_OK;
    size_t before = (size_t)(slash - stream.data);
    result = read_record(model, dbk_slice_of(stream.data, before), dbk_slice_of(slash + 1, stream.size - before - 1),
                         &row, err);
    if (row.version > *version) *version = row.version;
    return result;
}

/* Reads and decodes an entry of the log into work->origin. */
static dbk_result read_entry(dbk_model *model, uint64_t position, dbk_entry *entry, int64_t *received_ms,
                             dbk_error *err)
{
    dbk_result result = dbk_log_read(model->log, position, &model->work->place, received_ms, err);
    if (result != DBK_OK) return result;
    return dbk_entry_decode(dbk_buffer_slice(&model->work->place), entry, err);
}

static bool names_row(const dbk_model *model, const dbk_entry *entry, dbk_slice stream)
{
    dbk_slice rest = entry->events;
    const dbk_table *table;
    dbk_event event;
    dbk_row_op op;

    while (dbk_event_next(&rest, &event)) {
        if (dbk_slice_equal(event.stream, stream) &&
            dbk_definition_row_event(model->definition, event.type, &table, &op)) {
            return true;
        }
    }
    return false;
}

/* The highest naming entry of the log in canonical order. Where it is ordered the first one met is it. */
static dbk_result last_logged(dbk_model *model, dbk_slice stream, candidate *best, dbk_error *err)
{
    bool ordered = dbk_log_is_ordered(model->log), folded;
    uint64_t position = 0;
    int64_t received_ms;
    dbk_entry entry;

    *best = (candidate){0};
    for (;;) {
        dbk_result result = dbk_log_find_stream(model->log, stream, position, &position, err);
        if (result != DBK_OK || position == 0) return result;
        if (ordered && model->deciding && !model->has_skips) {
            best->found = true;
            return dbk_log_entry_id_at(model->log, position, &best->id, err);
        }
        result = read_entry(model, position, &entry, &received_ms, err);
        if (result == DBK_OK) result = dbk_row_is_folded(model, position, &entry, received_ms, &folded, err);
        if (result != DBK_OK) return result;
        if (!folded || !names_row(model, &entry, stream)) continue;
        candidate other = {.found = true, .id = entry.id};
        dbk_entry_order_key(&entry, other.key);
        if (!best->found || memcmp(other.key, best->key, sizeof(other.key)) > 0) *best = other;
        if (ordered) return DBK_OK;
    }
}

/* Among those that are folded before the log has them. */
static dbk_result last_ahead(dbk_model *model, dbk_slice stream, candidate *best, dbk_error *err)
{
    dbk_ahead_entry item;
    for (size_t index = SIZE_MAX; dbk_ahead_find_stream(model->ahead, stream, &index, &item);) {
        char text[DBK_ENTRY_ID_TEXT_SIZE];
        dbk_entry entry;
        bool skipped;
        if (memcmp(item.key, model->work->order, DBK_ORDER_KEY_SIZE) >= 0) continue;
        if (best->found && memcmp(item.key, best->key, sizeof(best->key)) < 0) return DBK_OK;
        dbk_result result = dbk_entry_decode(item.origin, &entry, err);
        if (result != DBK_OK) return result;
        dbk_entry_id_text(&entry.id, text);
        result = dbk_row_is_skipped(model, text, &skipped, err);
        if (result != DBK_OK) return result;
        if (skipped || !names_row(model, &entry, stream)) continue;
        *best = (candidate){.found = true, .id = entry.id};
        memcpy(best->key, item.key, sizeof(best->key));
        return DBK_OK;
    }
    return DBK_OK;
}

static dbk_result last_naming(dbk_model *model, dbk_slice stream, candidate *best, dbk_error *err)
{
    dbk_result result = last_logged(model, stream, best, err);
    return result == DBK_OK && model->ahead ? last_ahead(model, stream, best, err) : result;
}

/* *known false: of the open transaction. */
static dbk_result key_of_entry(dbk_model *model, const dbk_entry_id *id, uint8_t key[DBK_ORDER_KEY_SIZE], bool *known,
                               dbk_error *err)
{
    char text[DBK_ENTRY_ID_TEXT_SIZE];
    uint64_t position = 0;
    dbk_entry entry;
    dbk_entry_id_text(id, text);
    const uint8_t *ahead = dbk_ahead_key_of(model->ahead, text);
    *known = true;
    if (ahead) {
        memcpy(key, ahead, DBK_ORDER_KEY_SIZE);
        return DBK_OK;
    }
    dbk_result result = dbk_log_find_entry(model->log, id, &position, err);
    *known = position > 0;
    if (result == DBK_OK && *known) result = read_entry(model, position, &entry, NULL, err);
    if (result == DBK_OK && *known) dbk_entry_order_key(&entry, key);
    return result;
}

static dbk_result record_holds_ahead(dbk_model *model, const record *row, const candidate *naming, bool *holds,
                                     dbk_error *err)
{
    uint8_t at[DBK_ORDER_KEY_SIZE], other[DBK_ORDER_KEY_SIZE];
    bool known;
    *holds = true;
    dbk_result result = key_of_entry(model, &row->at, at, &known, err);
    if (result != DBK_OK || !known) return result;
    result = key_of_entry(model, &naming->id, other, &known, err);
    *holds = result == DBK_OK && memcmp(at, other, sizeof(at)) >= 0;
    return result;
}

/* Whether the record holds against the candidate: `at` is not below it in canonical order. */
static dbk_result record_holds(dbk_model *model, const record *row, const candidate *naming, bool *holds,
                               dbk_error *err)
{
    uint64_t at = 0, other = 0;
    uint8_t at_key[DBK_ORDER_KEY_SIZE], other_key[DBK_ORDER_KEY_SIZE];
    if (model->ahead) return record_holds_ahead(model, row, naming, holds, err);
    dbk_result result = dbk_log_find_entry(model->log, &row->at, &at, err);
    dbk_entry entry;

    *holds = at == 0; /* a decision of the open transaction stands above the whole log */
    if (result != DBK_OK || at == 0) return result;
    result = dbk_log_find_entry(model->log, &naming->id, &other, err);
    if (result != DBK_OK) return result;
    if (dbk_log_is_ordered(model->log)) {
        *holds = at >= other;
        return DBK_OK;
    }
    result = read_entry(model, at, &entry, NULL, err);
    if (result != DBK_OK) return result;
    dbk_entry_order_key(&entry, at_key);
    result = read_entry(model, other, &entry, NULL, err);
    if (result != DBK_OK) return result;
    dbk_entry_order_key(&entry, other_key);
    *holds = memcmp(at_key, other_key, sizeof(at_key)) >= 0;
    return DBK_OK;
}

static bool keeps_records(const dbk_table *table)
{
    return table->rules && table->rules->records;
}

/* The last writer without regard to what the entry in work did itself. */
static dbk_result entry_before(dbk_model *model, const dbk_table *table, dbk_slice key, dbk_entry_id *out, bool *found,
                               dbk_error *err)
{
    dbk_buffer *text = &model->work->scratch;
    uint64_t fresh = 0;
    candidate naming = {0};
    record row;
    bool holds = keeps_records(table);

    *found = false;
    dbk_row_stream(text, table, key);
    if (text->failed) return dbk_row_no_memory(err);
    dbk_slice stream = dbk_buffer_slice(text);
    dbk_result result = read_record(model, dbk_slice_text(table->name), key, &row, err);
    if (result != DBK_OK) return result;
    if (!holds && dbk_fresh_find(model->fresh, stream, &naming.id, &fresh)) {
        holds = row.found && row.version > fresh;
    } else if (!holds) {
        if (model->log) result = last_naming(model, stream, &naming, err);
        if (result != DBK_OK) return result;
        holds = row.found;
        if (row.found && naming.found) result = record_holds(model, &row, &naming, &holds, err);
        if (result != DBK_OK) return result;
    }
    if (holds) {
        *found = row.last[0] && dbk_entry_id_parse(dbk_slice_text(row.last), out);
    } else if (naming.found || fresh) {
        *found = true;
        *out = naming.id;
    }
    return DBK_OK;
}

/* As text; "" where there is none. */
static dbk_result writer_before(dbk_model *model, const dbk_table *table, dbk_slice key,
                                char out[DBK_ENTRY_ID_TEXT_SIZE], dbk_error *err)
{
    dbk_entry_id id;
    bool found;
    dbk_result result = entry_before(model, table, key, &id, &found, err);

    out[0] = '\0';
    if (result == DBK_OK && found) dbk_entry_id_text(&id, out);
    return result;
}

dbk_result dbk_row_last_writer(dbk_model *model, const dbk_table *table, dbk_slice key,
                               char out[DBK_ENTRY_ID_TEXT_SIZE], dbk_error *err)
{
    if (dbk_observer_find(model->observer, table, key)) {
        memcpy(out, model->work->id_text, sizeof(model->work->id_text));
        return DBK_OK;
    }
    return writer_before(model, table, key, out, err);
}

dbk_result dbk_row_last_entry(dbk_model *model, const dbk_table *table, dbk_slice key, dbk_entry_id *out, bool *found,
                              dbk_error *err)
{
    *found = dbk_observer_find(model->observer, table, key) != NULL;
    if (!*found) return entry_before(model, table, key, out, found, err);
    *out = model->work->id;
    return DBK_OK;
}

dbk_result dbk_row_gone(dbk_model *model, const dbk_table *table, dbk_slice key, dbk_error *err)
{
    dbk_buffer *gone = &model->work->gone;
    sqlite3_stmt *statement;
    dbk_result result;

    dbk_buffer_clear(gone);
    result = dbk_model_statement(model, DBK_PLACE_RECORD_GONE, "SELECT gone FROM _daybook_rows WHERE tab=?1 AND key=?2",
                                 &statement, err);
    if (result != DBK_OK) return result;
    (void)sqlite3_bind_text(statement, 1, table->name, -1, SQLITE_STATIC);
    (void)sqlite3_bind_text64(statement, 2, key.data ? (const char *)key.data : "", key.size, SQLITE_STATIC,
                              SQLITE_UTF8);
    int rc = sqlite3_step(statement);
    if (rc == SQLITE_ROW)
        dbk_buffer_put(gone, sqlite3_column_blob(statement, 0), (size_t)sqlite3_column_bytes(statement, 0));
    else if (rc != SQLITE_DONE) result = dbk_model_sql_failure(model, rc, "read a row record", err);
    (void)sqlite3_reset(statement);
    return result == DBK_OK && gone->failed ? dbk_row_no_memory(err) : result;
}

static dbk_result put_record(dbk_model *model, const dbk_table *table, dbk_slice key, const char *last, dbk_slice gone,
                             dbk_error *err)
{
    sqlite3_stmt *statement;
    dbk_result result =
        dbk_model_statement(model, DBK_PLACE_RECORD_SET,
                            "INSERT INTO _daybook_rows(tab,key,last,at,version,gone) VALUES(?1,?2,?3,?4,?5,?6) "
                            "ON CONFLICT(tab,key) DO UPDATE SET last=excluded.last,at=excluded.at,gone=excluded.gone,"
                            "version=max(version,excluded.version)",
                            &statement, err);
    if (result != DBK_OK) return result;
    (void)sqlite3_bind_text(statement, 1, table->name, -1, SQLITE_STATIC);
    (void)sqlite3_bind_text64(statement, 2, key.data ? (const char *)key.data : "", key.size, SQLITE_STATIC,
                              SQLITE_UTF8);
    (void)sqlite3_bind_text(statement, 3, last, -1, SQLITE_STATIC);
    (void)sqlite3_bind_text(statement, 4, model->work->id_text, -1, SQLITE_STATIC);
    (void)sqlite3_bind_int64(statement, 5, (sqlite3_int64)model->work->position);
    if (gone.size)
        (void)sqlite3_bind_text64(statement, 6, (const char *)gone.data, gone.size, SQLITE_STATIC, SQLITE_UTF8);
    else (void)sqlite3_bind_null(statement, 6);
    model->has_row_records = true;
    return dbk_row_run(model, statement, "keep a row record", NULL, err);
}

static dbk_slice key_of(const dbk_row_work *work, const dbk_row_named *named)
{
    return dbk_buffer_part(&work->named_keys, named->at, named->size);
}

static int compare_named(const void *a, const void *b, void *arg)
{
    const dbk_row_named *left = a, *right = b;
    if (left->table != right->table) return left->table < right->table ? -1 : 1;
    int order = dbk_slice_compare(key_of(arg, left), key_of(arg, right));
    return order ? order : (int)right->wrote - (int)left->wrote;
}

/* Rows named more than once become one, which wrote if any did. */
static void sort_named(dbk_row_work *work)
{
    size_t kept = 0;

    if (work->named_count) qsort_r(work->named, work->named_count, sizeof(*work->named), compare_named, work);
    for (size_t i = 0; i < work->named_count; i++) {
        dbk_row_named *last = kept ? &work->named[kept - 1] : NULL;
        if (last && last->table == work->named[i].table &&
            dbk_slice_equal(key_of(work, last), key_of(work, &work->named[i]))) {
            continue;
        }
        work->named[kept++] = work->named[i];
    }
    work->named_count = kept;
}

static const dbk_row_named *find_named(const dbk_row_work *work, const dbk_touched *row)
{
    size_t low = 0, high = work->named_count;

    while (low < high) {
        size_t middle = (low + high) / 2;
        const dbk_row_named *named = &work->named[middle];
        int order = named->table == row->table ? dbk_slice_compare(key_of(work, named), row->key)
                                               : (named->table < row->table ? -1 : 1);
        if (order == 0) return named;
        if (order < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return NULL;
}

static bool was_written(const dbk_touched *row)
{
    return row->changed || !row->existed || !row->exists;
}

/* A row that came and went within the entry was written by it; one that a statement touched without
 * changing anything was not. */
dbk_result dbk_row_records_keep(dbk_model *model, dbk_error *err)
{
    dbk_row_work *work = model->work;
    size_t count;
    const dbk_touched *touched = dbk_observer_touched(model->observer, &count);
    char before[DBK_ENTRY_ID_TEXT_SIZE];
    dbk_result result = DBK_OK;

    if (count == 1 && work->named_count == 1 && work->named[0].wrote && touched->table == work->named[0].table &&
        !keeps_records(touched->table) && dbk_slice_equal(touched->key, key_of(work, work->named))) {
        return DBK_OK;
    }
    sort_named(work);
    for (size_t i = 0; i < count && result == DBK_OK; i++) {
        const dbk_row_named *named = find_named(work, &touched[i]);
        bool writes = named && named->wrote, kept = keeps_records(touched[i].table);
        if (kept ? writes || was_written(&touched[i]) : was_written(&touched[i]) && !writes) {
            dbk_slice gone = touched[i].exists ? (dbk_slice){NULL, 0} : dbk_observer_gone(model->observer, &touched[i]);
            result = put_record(model, touched[i].table, touched[i].key, work->id_text, gone, err);
        }
    }
    for (size_t i = 0; i < work->named_count && result == DBK_OK; i++) {
        const dbk_row_named *named = &work->named[i];
        if (named->wrote || keeps_records(named->table)) continue;
        const dbk_touched *row = dbk_observer_find(model->observer, named->table, key_of(work, named));
        if (row && was_written(row)) continue;
        result = writer_before(model, named->table, key_of(work, named), before, err);
        if (result == DBK_OK)
            result = put_record(model, named->table, key_of(work, named), before, (dbk_slice){NULL, 0}, err);
    }
    return result;
}
