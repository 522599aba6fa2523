/* A round folded into a shadow before the log has it, so that the turn that logs it only lands it (docs/decisions/0046).
 *
 *   1. the shadow stands where all that comes, and all that the log has behind it, sorts above what it has
 *   2. beside the turns the entries of the log up to there and those of the round are folded among each other, in
 *      canonical order; then, several times over, the decisions that the log got meanwhile
 *   3. in the turn the log gets the round; the last few decisions are folded and the state becomes the log's
 *
 * What a fold asks the log, the round answers for its own entries: who named a row (rows/history.c). Command ids it does
 * not answer for: a round in which one of them stands twice, or in the log, is not folded ahead. Positions are not known
 * before 3. Until then the entries bear those from PROVISIONAL on, in their order: above all of the log, as they will
 * be, so that versions come to the same. What holds such a number is listed behind the fold, and set right in 3. */
#include "projector/model/ahead.h"

#include <stdlib.h>

enum { STEP_ENTRIES = 4096 };
static const uint64_t PROVISIONAL = UINT64_C(1) << 62;

typedef struct ahead_name { /* an event of the round's entry `index` on the stream of that hash */
    dbk_hash128 stream;
    size_t index;
} ahead_name;

struct dbk_ahead {
    dbk_model *model;
    const dbk_slice *origins; /* in canonical order */
    size_t count, applied;
    uint8_t *keys; /* of each */
    ahead_name *names;
    size_t name_count;
    dbk_fresh *ids, *commands; /* entry ids as text → index; command ids */
    uint64_t folded, done;     /* the log's entries up to there are in the shadow; entries that were applied to it */
    uint8_t top[DBK_ORDER_KEY_SIZE];
    dbk_buffer places; /* u32 size + text …: entries of the skip list, or table and key of row records, by pairs */
};

static const uint8_t *key_at(const dbk_ahead *ahead, size_t index)
{
    return ahead->keys + index * DBK_ORDER_KEY_SIZE;
}

/* ---- what is asked of it */

static int compare_streams(const dbk_hash128 *a, const dbk_hash128 *b)
{
    if (a->high != b->high) return a->high < b->high ? -1 : 1;
    return (a->low > b->low) - (a->low < b->low);
}

static int compare_names(const void *left, const void *right)
{
    const ahead_name *a = left, *b = right;
    int order = compare_streams(&a->stream, &b->stream);
    return order ? order : (a->index > b->index) - (a->index < b->index);
}

bool dbk_ahead_find_stream(const dbk_ahead *ahead, dbk_slice stream, size_t *index, dbk_ahead_entry *out)
{
    ahead_name wanted = {dbk_checksum128(stream), *index};
    size_t low = 0, high = ahead->name_count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (compare_names(&ahead->names[middle], &wanted) < 0) low = middle + 1;
        else high = middle;
    }
    if (low == 0 || compare_streams(&ahead->names[low - 1].stream, &wanted.stream) != 0) return false;
    *index = ahead->names[low - 1].index;
    *out = (dbk_ahead_entry){ahead->origins[*index], key_at(ahead, *index)};
    return true;
}

const uint8_t *dbk_ahead_key_of(const dbk_ahead *ahead, const char *entry)
{
    dbk_entry_id id;
    uint64_t index;
    return dbk_fresh_find(ahead->ids, dbk_slice_text(entry), &id, &index) ? key_at(ahead, (size_t)index) : NULL;
}

/* ---- taking it in */

static dbk_result take_names(dbk_ahead *ahead, const dbk_entry *entry, size_t index, size_t *room, dbk_error *err)
{
    const dbk_port *port = ahead->model->port;
    dbk_event event;
    for (dbk_slice rest = entry->events; dbk_event_next(&rest, &event);) {
        if (ahead->name_count == *room) {
            size_t more = *room ? 2 * *room : ahead->count + 16;
            ahead_name *names = port->resize(port->ctx, ahead->names, more * sizeof *names);
            if (!names) return dbk_row_no_memory(err);
            ahead->names = names;
            *room = more;
        }
        ahead->names[ahead->name_count++] = (ahead_name){dbk_checksum128(event.stream), index};
    }
    return DBK_OK;
}

/* *alone: nobody else has its command id, as far as is known now. */
static dbk_result take_command(dbk_ahead *ahead, const dbk_entry *entry, bool *alone, dbk_error *err)
{
    dbk_entry_id id;
    uint64_t position = 0;
    *alone = true;
    if (entry->command_id.size == 0) return DBK_OK;
    dbk_result result = dbk_log_find_command(ahead->model->log, entry->command_id, 0, &position, err);
    if (result != DBK_OK) return result;
    *alone = position == 0 && !dbk_fresh_find(ahead->commands, entry->command_id, &id, &position);
    return dbk_fresh_add(ahead->commands, entry->command_id, &entry->id, 1) ? DBK_OK : dbk_row_no_memory(err);
}

static dbk_result take_entries(dbk_ahead *ahead, bool *fits, dbk_error *err)
{
    dbk_result result = DBK_OK;
    size_t room = 0;
    *fits = true;
    for (size_t i = 0; result == DBK_OK && *fits && i < ahead->count; i++) {
        char id[DBK_ENTRY_ID_TEXT_SIZE];
        dbk_entry entry;
        result = dbk_entry_decode(ahead->origins[i], &entry, err);
        if (result != DBK_OK) return result;
        dbk_entry_order_key(&entry, ahead->keys + i * DBK_ORDER_KEY_SIZE);
        dbk_entry_id_text(&entry.id, id);
        if (!dbk_fresh_add(ahead->ids, dbk_slice_text(id), &entry.id, i)) return dbk_row_no_memory(err);
        result = take_command(ahead, &entry, fits, err);
        if (result == DBK_OK) result = take_names(ahead, &entry, i, &room, err);
    }
    if (ahead->name_count) qsort(ahead->names, ahead->name_count, sizeof *ahead->names, compare_names);
    return result;
}

void dbk_ahead_free(dbk_ahead *ahead)
{
    if (!ahead) return;
    const dbk_port *port = ahead->model->port;
    dbk_free(port, ahead->keys);
    dbk_free(port, ahead->names);
    dbk_fresh_free(ahead->ids);
    dbk_fresh_free(ahead->commands);
    dbk_buffer_release(&ahead->places);
    dbk_free(port, ahead);
}

/* ---- the fold */

static dbk_result apply(dbk_ahead *ahead, uint64_t position, dbk_slice origin, const uint8_t *key, dbk_error *err)
{
    dbk_result result = dbk_model_apply(ahead->model, position, origin, err);
    if (result != DBK_OK) return result;
    memcpy(ahead->top, key, sizeof ahead->top);
    ahead->done++;
    return DBK_OK;
}

static dbk_result apply_own(dbk_ahead *ahead, dbk_error *err)
{
    size_t i = ahead->applied++;
    return apply(ahead, PROVISIONAL + i, ahead->origins[i], key_at(ahead, i), err);
}

/* The states in between are none of the log: their head is zero, and their position counts entries. */
static const uint8_t none[DBK_LEAF_SIZE];

static dbk_result commit(dbk_ahead *ahead, dbk_error *err)
{
    uint64_t begun = ahead->model->state.position;
    dbk_result result = dbk_model_commit(ahead->model, begun + ahead->done, none, ahead->top, NULL, err);
    ahead->done = 0;
    return result;
}

static dbk_result pause(dbk_ahead *ahead, dbk_error *err)
{
    const dbk_model_options *options = &ahead->model->options;
    dbk_result result = commit(ahead, err);
    if (result == DBK_OK && options->halt && atomic_load_explicit(options->halt, memory_order_relaxed))
        return dbk_fail(err, DBK_UNAVAILABLE, "the fold was halted");
    return result == DBK_OK ? dbk_model_begin(ahead->model, err) : result;
}

typedef struct logged { /* the next entry of the log, where there is one */
    dbk_log_fold *fold;
    bool ended, waits;
    uint64_t position;
    dbk_slice origin;
    uint8_t key[DBK_ORDER_KEY_SIZE];
} logged;

static dbk_result look_at_next(logged *l, dbk_error *err)
{
    dbk_entry entry;
    if (l->waits || l->ended) return DBK_OK;
    dbk_result result = l->fold ? dbk_log_fold_next(l->fold, &l->position, &l->origin, err) : DBK_END;
    l->ended = result == DBK_END;
    if (l->ended) return DBK_OK;
    if (result == DBK_OK) result = dbk_entry_decode(l->origin, &entry, err);
    if (result == DBK_OK) dbk_entry_order_key(&entry, l->key);
    l->waits = result == DBK_OK;
    return result;
}

static dbk_result merge(dbk_ahead *ahead, logged *l, dbk_error *err)
{
    for (;;) {
        dbk_result result = look_at_next(l, err);
        bool own = ahead->applied < ahead->count;
        if (result != DBK_OK || (!own && !l->waits)) return result;
        if (own && (!l->waits || memcmp(key_at(ahead, ahead->applied), l->key, sizeof l->key) < 0)) {
            result = apply_own(ahead, err);
        } else {
            result = apply(ahead, l->position, l->origin, l->key, err);
            l->waits = false;
        }
        if (result == DBK_OK && ahead->done >= STEP_ENTRIES) result = pause(ahead, err);
        if (result != DBK_OK) return result;
    }
}

/* ---- what bears a provisional position */

static dbk_result list(dbk_ahead *ahead, const char *sql, dbk_error *err)
{
    sqlite3_stmt *rows = NULL;
    dbk_model *model = ahead->model;
    int rc = sqlite3_prepare_v2(model->db, sql, -1, &rows, NULL);
    if (rc == SQLITE_OK) rc = sqlite3_bind_int64(rows, 1, (int64_t)PROVISIONAL);
    if (rc != SQLITE_OK) return dbk_model_sql_failure(model, rc, "list the positions", err);
    while ((rc = sqlite3_step(rows)) == SQLITE_ROW) {
        for (int i = 0; i < 2; i++) {
            int size = sqlite3_column_bytes(rows, i);
            dbk_buffer_put_u32(&ahead->places, (uint32_t)size);
            dbk_buffer_put(&ahead->places, sqlite3_column_text(rows, i), (size_t)size);
        }
    }
    sqlite3_finalize(rows);
    if (ahead->places.failed) return dbk_row_no_memory(err);
    return rc == SQLITE_DONE ? DBK_OK : dbk_model_sql_failure(model, rc, "list the positions", err);
}

static dbk_result list_places(dbk_ahead *ahead, dbk_error *err)
{
    dbk_result result = DBK_OK;
    ahead->model->sandbox.role = DBK_SQL_ENGINE;
    if (ahead->model->has_skips) result = list(ahead, "SELECT '', entry FROM _daybook_skips WHERE position >= ?1", err);
    if (result == DBK_OK && ahead->model->has_row_records)
        result = list(ahead, "SELECT tab, key FROM _daybook_rows WHERE version >= ?1", err);
    return result;
}

static dbk_result set_right_one(dbk_ahead *ahead, sqlite3_stmt *update, dbk_slice table, dbk_slice key, uint64_t first,
                                dbk_error *err)
{
    (void)sqlite3_bind_int64(update, 1, (int64_t)(PROVISIONAL - first));
    (void)sqlite3_bind_int64(update, 2, (int64_t)PROVISIONAL);
    (void)sqlite3_bind_text64(update, 3, (const char *)key.data, key.size, SQLITE_STATIC, SQLITE_UTF8);
    if (table.size > 0)
        (void)sqlite3_bind_text64(update, 4, (const char *)table.data, table.size, SQLITE_STATIC, SQLITE_UTF8);
    return dbk_model_run(ahead->model, update, "set the positions right", err);
}

/* The round's first entry stands at `first` in the log. */
static dbk_result set_right(dbk_ahead *ahead, uint64_t first, dbk_error *err)
{
    static const char *const sql[] = {
        "UPDATE _daybook_skips SET position = position - ?1 WHERE entry = ?3 AND position >= ?2",
        "UPDATE _daybook_rows SET version = version - ?1 WHERE tab = ?4 AND key = ?3 AND version >= ?2"};
    sqlite3_stmt *updates[2] = {NULL, NULL};
    dbk_result result = DBK_OK;
    int rc = SQLITE_OK;
    ahead->model->sandbox.role = DBK_SQL_ENGINE;
    for (int i = 0; rc == SQLITE_OK && i < 2; i++)
        rc = sqlite3_prepare_v2(ahead->model->db, sql[i], -1, &updates[i], NULL);
    if (rc != SQLITE_OK) result = dbk_model_sql_failure(ahead->model, rc, "set the positions right", err);
    dbk_reader places = dbk_reader_of(dbk_buffer_slice(&ahead->places));
    for (size_t left = ahead->places.size; result == DBK_OK && left > 0;) {
        dbk_slice table = dbk_reader_take(&places, dbk_reader_u32(&places));
        dbk_slice key = dbk_reader_take(&places, dbk_reader_u32(&places));
        result = set_right_one(ahead, updates[table.size > 0], table, key, first, err);
        left -= 8 + table.size + key.size;
    }
    for (int i = 0; i < 2; i++) sqlite3_finalize(updates[i]);
    return result;
}

/* ---- the steps */

static dbk_result fold_all(dbk_ahead *ahead, dbk_error *err)
{
    dbk_model *model = ahead->model;
    logged l = {0};
    uint64_t begun = model->state.position;
    dbk_result result = DBK_OK;
    if (ahead->folded > begun) result = dbk_log_fold_open(model->log, begun, ahead->folded, NULL, NULL, &l.fold, err);
    model->wanted_last = ahead->folded;
    if (result == DBK_OK) result = dbk_model_begin(model, err);
    if (result == DBK_OK) result = merge(ahead, &l, err);
    if (result == DBK_OK) result = commit(ahead, err);
    if (result == DBK_OK) result = list_places(ahead, err);
    if (l.fold) dbk_log_fold_close(l.fold);
    return result;
}

dbk_result dbk_ahead_make(dbk_model *shadow, const dbk_slice *origins, size_t count, dbk_ahead **out, dbk_error *err)
{
    const dbk_port *port = shadow->port;
    bool fits = true;
    *out = NULL;
    dbk_ahead *ahead = dbk_alloc_zero(port, 1, sizeof *ahead);
    if (!ahead) return dbk_row_no_memory(err);
    *ahead = (dbk_ahead){.model = shadow, .origins = origins, .count = count};
    /* before command ids are looked up: what comes behind it is looked at as it is followed */
    ahead->folded = dbk_log_position(shadow->log);
    dbk_buffer_init(&ahead->places, port);
    memcpy(ahead->top, shadow->state.top, sizeof ahead->top);
    ahead->keys = dbk_alloc_zero(port, count + 1, DBK_ORDER_KEY_SIZE);
    ahead->ids = dbk_fresh_new(port);
    ahead->commands = dbk_fresh_new(port);
    dbk_result result =
        ahead->keys && ahead->ids && ahead->commands ? take_entries(ahead, &fits, err) : dbk_row_no_memory(err);
    if (result == DBK_OK && fits) {
        shadow->ahead = ahead;
        result = fold_all(ahead, err);
        shadow->ahead = NULL;
        shadow->wanted_last = 0;
        if (result != DBK_OK) dbk_model_rollback(shadow);
    }
    if (result == DBK_OK && fits) *out = ahead;
    else dbk_ahead_free(ahead);
    return result;
}

/* In an open transaction: the log's entries up to `last`, where each sorts above all that was folded, and shares its
 * command id with none of the round. */
static dbk_result follow(dbk_ahead *ahead, uint64_t last, bool *fits, dbk_error *err)
{
    dbk_log_cursor *cursor = NULL;
    *fits = true;
    if (last == ahead->folded) return DBK_OK;
    dbk_result result = dbk_log_cursor_open(ahead->model->log, ahead->folded + 1, last, &cursor, err);
    while (result == DBK_OK && *fits) {
        uint8_t key[DBK_ORDER_KEY_SIZE];
        uint64_t position, known;
        int64_t received_ms;
        dbk_slice origin;
        dbk_entry entry;
        dbk_entry_id id;
        result = dbk_log_cursor_next(cursor, &position, &received_ms, &origin, err);
        if (result == DBK_OK) result = dbk_entry_decode(origin, &entry, err);
        if (result != DBK_OK) break;
        dbk_entry_order_key(&entry, key);
        *fits =
            memcmp(key, ahead->top, sizeof key) > 0 && !dbk_fresh_find(ahead->commands, entry.command_id, &id, &known);
        if (*fits) result = apply(ahead, position, origin, key, err);
    }
    dbk_log_cursor_close(cursor);
    if (result != DBK_END) return result;
    ahead->folded = last;
    return DBK_OK;
}

uint64_t dbk_ahead_position(const dbk_ahead *ahead)
{
    return ahead->folded;
}

dbk_result dbk_ahead_follow(dbk_ahead *ahead, bool *fits, dbk_error *err)
{
    dbk_model *model = ahead->model;
    uint64_t last = dbk_log_position(model->log);
    dbk_result result = dbk_model_begin(model, err);
    if (result != DBK_OK) return result;
    model->ahead = ahead;
    model->wanted_last = last;
    result = follow(ahead, last, fits, err);
    if (result == DBK_OK && *fits) result = commit(ahead, err);
    model->ahead = NULL;
    model->wanted_last = 0;
    if (result != DBK_OK || !*fits) dbk_model_rollback(model);
    return result;
}

/* The log ends with the round. */
static dbk_result is_logged(dbk_ahead *ahead, uint64_t end, bool *is, dbk_error *err)
{
    dbk_entry entry;
    dbk_entry_id id;
    *is = ahead->count > 0 && end >= ahead->folded + ahead->count;
    for (int i = 0; *is && i < 2; i++) {
        size_t at = i ? ahead->count - 1 : 0;
        dbk_result result = dbk_log_entry_id_at(ahead->model->log, end - ahead->count + 1 + at, &id, err);
        if (result == DBK_OK) result = dbk_entry_decode(ahead->origins[at], &entry, err);
        if (result != DBK_OK) return result;
        *is = dbk_entry_id_equal(&id, &entry.id);
    }
    return DBK_OK;
}

/* The log's head is in memory only, until the switch commits it together with the journal of the model that was. A power
 * loss between the two commits leaves a state of no log: with this shadow's own journal it would tell subscribers of
 * positions that it counted. */
static dbk_result land(dbk_ahead *ahead, uint64_t end, bool *fits, dbk_error *err)
{
    dbk_model *model = ahead->model;
    uint64_t first = end - ahead->count + 1;
    uint8_t head[DBK_LEAF_SIZE];
    model->wanted_last = first - 1;
    dbk_result result = follow(ahead, first - 1, fits, err);
    if (result != DBK_OK || !*fits) return result;
    result = set_right(ahead, first, err);
    if (result == DBK_OK) result = dbk_log_head_at(model->log, end, head, err);
    if (result == DBK_NONE)
        result = dbk_fail(err, DBK_GAP, "the log has no head at position %llu", (unsigned long long)end);
    if (result == DBK_OK) result = dbk_model_commit(model, end, none, ahead->top, NULL, err);
    if (result == DBK_OK) memcpy(model->state.head, head, sizeof head);
    return result;
}

dbk_result dbk_ahead_land(dbk_ahead *ahead, bool *fits, dbk_error *err)
{
    dbk_model *model = ahead->model;
    uint64_t end = dbk_log_position(model->log);
    dbk_result result = is_logged(ahead, end, fits, err);
    if (result == DBK_OK && *fits) result = dbk_model_begin(model, err);
    if (result != DBK_OK || !*fits) return result;
    model->ahead = ahead;
    result = land(ahead, end, fits, err);
    model->ahead = NULL;
    model->wanted_last = 0;
    if (result != DBK_OK || !*fits) dbk_model_rollback(model);
    return result;
}
