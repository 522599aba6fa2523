/* history: what happened to one row. explain: which rows one entry changed. Both are told by a fold, so that
 * cascades and projections are in them as SQLite carried them out (semantics.md K8), under today's
 * definition and in canonical order. */
#include "store/replay.h"
#include "store/request.h"
#include "store/row_change.h"

enum { CHANGES_DEFAULT = 100, CHANGES_MAX = 10000 };

/* ---- history */

typedef struct dbk_history {
    dbk_row_writer writer;
    dbk_buffer text;   /* the changes, one behind the other */
    dbk_buffer begins; /* u64 each: where a change begins in `text` */
    dbk_slice stream;
} dbk_history;

static bool names_stream(const dbk_entry *entry, dbk_slice stream)
{
    dbk_slice rest = entry->events;
    for (dbk_event event; dbk_event_next(&rest, &event);)
        if (dbk_slice_equal(event.stream, stream)) return true;
    return false;
}

static dbk_result on_history(void *arg, uint64_t position, const dbk_entry *entry, const dbk_trail_row *rows,
                             size_t count, dbk_error *err)
{
    dbk_history *history = arg;
    dbk_result result = DBK_OK;
    for (size_t i = 0; result == DBK_OK && i < count; i++) {
        if (!dbk_row_differs(rows[i].before, rows[i].after)) continue;
        dbk_buffer_put_u64(&history->begins, history->text.size);
        dbk_buffer_put_u8(&history->text, '{');
        dbk_row_writer_entry(&history->writer, position, entry);
        dbk_buffer_put_text(&history->text,
                            names_stream(entry, history->stream) ? ",\"named\":true," : ",\"named\":false,");
        result = dbk_row_writer_change(&history->writer, rows[i].before, rows[i].after, err);
        dbk_buffer_put_u8(&history->text, '}');
    }
    if (result == DBK_OK && (history->text.failed || history->begins.failed))
        result = dbk_fail(err, DBK_NO_MEMORY, "no memory for the answer");
    return result;
}

/* The newest ones, oldest first. */
static void put_changes(const dbk_history *history, uint64_t limit, dbk_buffer *out)
{
    uint64_t count = history->begins.size / 8, first = count > limit ? count - limit : 0;
    dbk_buffer_put_text(out, ",\"changes\":[");
    for (uint64_t i = first; i < count; i++) {
        uint64_t begin = dbk_load_u64(history->begins.data + i * 8);
        uint64_t end = i + 1 < count ? dbk_load_u64(history->begins.data + (i + 1) * 8) : history->text.size;
        if (i > first) dbk_buffer_put_u8(out, ',');
        dbk_buffer_put(out, history->text.data + begin, end - begin);
    }
    dbk_buffer_put_u8(out, ']');
    if (first > 0) dbk_request_put_u64(out, "earlier", first);
}

static dbk_result note_skipped(void *arg, const dbk_skip *skip)
{
    dbk_buffer *skipped = arg;
    if (strcmp(skip->state, "suffixed") != 0) dbk_buffer_put(skipped, &skip->entry, sizeof skip->entry);
    return skipped->failed ? DBK_NO_MEMORY : DBK_OK;
}

static bool is_skipped(void *arg, const dbk_entry_id *id)
{
    const dbk_buffer *skipped = arg;
    const dbk_entry_id *ids = (const dbk_entry_id *)(const void *)skipped->data;
    for (size_t i = 0; i < skipped->size / sizeof *ids; i++)
        if (dbk_entry_id_equal(&ids[i], id)) return true;
    return false;
}

/* Only the model knows what it skips; it is asked at one position. */
static dbk_result follow_alone(dbk_engine *engine, const dbk_trail *trail, uint64_t *position, dbk_error *err)
{
    dbk_model_state state;
    dbk_buffer skipped;
    dbk_buffer_init(&skipped, engine->port);
    engine->port->mutex_lock(engine->port->ctx, engine->turn);
    dbk_result result = dbk_model_skips(engine->model, note_skipped, &skipped, err);
    if (skipped.failed) result = dbk_fail(err, DBK_NO_MEMORY, "no memory for what the model left out");
    dbk_model_get_state(engine->model, &state);
    engine->port->mutex_unlock(engine->port->ctx, engine->turn);
    dbk_alone alone = {.last = state.position, .left_out = is_skipped, .arg = &skipped};
    if (result == DBK_OK) result = dbk_past_alone(engine, &alone, trail, err);
    *position = state.position;
    dbk_buffer_release(&skipped);
    return result;
}

static dbk_result follow_row(dbk_engine *engine, const dbk_table *table, dbk_slice key, dbk_history *history,
                             uint64_t *position, dbk_error *err)
{
    dbk_past past;
    dbk_past_model model = {0};
    dbk_trail trail = {.table = table, .key = key, .shown = true, .each = on_history, .arg = history};
    if (engine->model && dbk_table_is_alone(table)) return follow_alone(engine, &trail, position, err);
    dbk_result result = dbk_past_of(engine, NULL, &past, err);
    if (result == DBK_OK) result = dbk_past_open(engine, &past, &trail, &model, err);
    dbk_past_discard(engine, &model);
    *position = past.position;
    return result;
}

dbk_result dbk_request_history(dbk_engine *engine, const dbk_json_node *request, dbk_buffer *out, dbk_error *err)
{
    const dbk_table *table;
    int64_t limit = CHANGES_DEFAULT;
    uint64_t position = 0;
    dbk_buffer key, stream;
    dbk_history history = {0};
    dbk_result result = dbk_request_table(engine, request, &table, err);
    if (result == DBK_OK) result = dbk_request_number(request, "limit", 1, CHANGES_MAX, &limit, err);
    if (result != DBK_OK) return result;
    dbk_buffer_init(&key, engine->port);
    dbk_buffer_init(&stream, engine->port);
    dbk_buffer_init(&history.text, engine->port);
    dbk_buffer_init(&history.begins, engine->port);
    result = dbk_key_from_json(table, dbk_json_member(request, "key"), &key, err);
    dbk_buffer_printf(&stream, "%s/%.*s", table->name, (int)key.size, (const char *)key.data);
    if (result == DBK_OK && stream.failed) result = dbk_fail(err, DBK_NO_MEMORY, "no memory for the stream of a row");
    history.stream = dbk_buffer_slice(&stream);
    if (result == DBK_OK) result = dbk_row_writer_init(&history.writer, engine, &history.text, err);
    if (result == DBK_OK) result = follow_row(engine, table, dbk_buffer_slice(&key), &history, &position, err);
    if (result == DBK_OK) {
        put_changes(&history, (uint64_t)limit, out);
        dbk_request_put_u64(out, "position", position);
    }
    dbk_row_writer_release(&history.writer);
    dbk_buffer_release(&history.text);
    dbk_buffer_release(&history.begins);
    dbk_buffer_release(&stream);
    dbk_buffer_release(&key);
    return result;
}

/* ---- explain */

typedef struct dbk_explained {
    dbk_row_writer writer;
    uint64_t count, limit, left_out;
} dbk_explained;

static dbk_result on_explained(void *arg, uint64_t position, const dbk_entry *entry, const dbk_trail_row *rows,
                               size_t count, dbk_error *err)
{
    dbk_explained *explained = arg;
    dbk_buffer *out = explained->writer.out;
    dbk_result result = DBK_OK;
    (void)position;
    (void)entry;
    for (size_t i = 0; result == DBK_OK && i < count; i++) {
        if (!dbk_row_differs(rows[i].before, rows[i].after)) continue;
        if (explained->count == explained->limit) {
            explained->left_out++;
            continue;
        }
        dbk_buffer_put_text(out, explained->count++ ? ",{" : "{");
        dbk_row_writer_name(&explained->writer, rows[i].table, rows[i].key);
        dbk_buffer_put_u8(out, ',');
        result = dbk_row_writer_change(&explained->writer, rows[i].before, rows[i].after, err);
        dbk_buffer_put_u8(out, '}');
    }
    return result;
}

typedef struct dbk_verdict {
    dbk_entry_id id;
    dbk_buffer *out;
    bool found;
} dbk_verdict;

static dbk_result on_skip(void *arg, const dbk_skip *skip)
{
    dbk_verdict *verdict = arg;
    if (!dbk_entry_id_equal(&skip->entry, &verdict->id)) return DBK_OK;
    verdict->found = true;
    dbk_request_put_text(verdict->out, "state", dbk_slice_text(skip->state));
    dbk_request_put_text(verdict->out, "reason", dbk_slice_text(skip->reason ? skip->reason : ""));
    return DBK_OK;
}

/* The state before the entry in canonical order, then the entry. */
static dbk_result apply_entry(dbk_engine *engine, uint64_t position, const dbk_entry *entry, dbk_explained *explained,
                              dbk_error *err)
{
    dbk_past past;
    dbk_past_model model = {0};
    dbk_verdict verdict = {.id = entry->id, .out = explained->writer.out};
    dbk_trail trail = {.position = position, .shown = true, .each = on_explained, .arg = explained};
    dbk_result result = dbk_past_of(engine, NULL, &past, err);
    if (result != DBK_OK) return result;
    dbk_past_bound(engine, entry, position, true, &past);
    dbk_buffer_put_text(verdict.out, ",\"rows\":[");
    result = dbk_past_open(engine, &past, &trail, &model, err);
    dbk_buffer_put_u8(verdict.out, ']');
    if (explained->left_out) dbk_request_put_u64(verdict.out, "left_out", explained->left_out);
    if (result == DBK_OK) result = dbk_model_skips(model.model, on_skip, &verdict, err);
    if (result == DBK_OK && !verdict.found) dbk_buffer_put_text(verdict.out, ",\"state\":\"applied\"");
    dbk_past_discard(engine, &model);
    return result;
}

dbk_result dbk_request_explain(dbk_engine *engine, const dbk_json_node *request, dbk_buffer *out, dbk_error *err)
{
    int64_t position = 0;
    dbk_entry entry;
    dbk_buffer origin;
    dbk_explained explained = {.limit = CHANGES_MAX};
    dbk_result result = dbk_request_number(request, "position", 1, INT64_MAX, &position, err);
    if (result != DBK_OK) return result;
    if (position == 0) return dbk_fail(err, DBK_BAD_COMMAND, "'position' must be the position of an entry");
    dbk_buffer_init(&origin, engine->port);
    result = dbk_log_read(engine->log, (uint64_t)position, &origin, NULL, err);
    if (result == DBK_NONE) {
        result = dbk_fail(err, DBK_NOT_FOUND, "there is no position %lld", (long long)position);
        dbk_error_hint(err, "the last position is %llu", (unsigned long long)dbk_log_position(engine->log));
    }
    if (result == DBK_OK) result = dbk_entry_decode(dbk_buffer_slice(&origin), &entry, err);
    if (result == DBK_OK) result = dbk_row_writer_init(&explained.writer, engine, out, err);
    if (result == DBK_OK) {
        dbk_buffer_put_u8(out, ',');
        dbk_row_writer_entry(&explained.writer, (uint64_t)position, &entry);
        result = apply_entry(engine, (uint64_t)position, &entry, &explained, err);
    }
    dbk_row_writer_release(&explained.writer);
    dbk_buffer_release(&origin);
    return result;
}
