/* undo: one entry that puts back what stood before others (semantics.md §7, docs/decisions/0020).
 *
 *   1. which entries: by id, by position, by the correlation of their commands
 *   2. a fold from the nearest image below the first of them to the log's end tells what they wrote and who
 *      wrote since; this long part runs beside the commands
 *   3. in a turn of its own: what was logged meanwhile is added to the fold, then the entry is decided
 *
 * A model needs no record of each column's last writer for this: only an undo asks, and the log knows. */
#include "store/undo.h"

#include "store/disk.h"
#include "store/replay.h"
#include "store/request.h"
#include "store/turn.h"
#include "store/undone.h"

enum { TARGETS_MAX = 1000 };

typedef struct dbk_undo_work {
    dbk_engine *engine;
    dbk_undo *undo;
    dbk_past_model past;
    dbk_buffer positions; /* u64 of each target */
    dbk_buffer origin;
    dbk_buffer ids; /* dbk_entry_id of each */
    dbk_undone undone;
    dbk_undoing undoing;
} dbk_undo_work;

/* ---- which entries */

static dbk_result add_position(dbk_undo_work *work, uint64_t position, dbk_error *err)
{
    for (size_t i = 0; i < work->positions.size / 8; i++)
        if (dbk_load_u64(work->positions.data + i * 8) == position) return DBK_OK;
    if (work->positions.size / 8 == TARGETS_MAX)
        return dbk_fail(err, DBK_TOO_BIG, "over %d entries to undo at once", TARGETS_MAX);
    dbk_buffer_put_u64(&work->positions, position);
    return work->positions.failed ? dbk_fail(err, DBK_NO_MEMORY, "no memory for an undo") : DBK_OK;
}

static dbk_result add_number(dbk_undo_work *work, const dbk_json_node *node, dbk_error *err)
{
    int64_t position;
    uint64_t end = dbk_log_position(work->engine->log);
    if (node->kind != DBK_JSON_NUMBER || !dbk_json_is_integer(node, &position) || position < 1)
        return dbk_fail(err, DBK_BAD_COMMAND, "'position' must be a position, or an array of them");
    if ((uint64_t)position <= end) return add_position(work, (uint64_t)position, err);
    (void)dbk_fail(err, DBK_NOT_FOUND, "there is no position %lld", (long long)position);
    dbk_error_hint(err, "the last position is %llu", (unsigned long long)end);
    return DBK_NOT_FOUND;
}

static dbk_result add_entry(dbk_undo_work *work, const dbk_json_node *node, dbk_error *err)
{
    dbk_entry_id id;
    uint64_t position = 0;
    if (node->kind != DBK_JSON_STRING || !dbk_entry_id_parse(node->text, &id))
        return dbk_fail(err, DBK_BAD_COMMAND, "'entry' is no entry id (replica.incarnation.seq), nor an array of them");
    dbk_result result = dbk_log_find_entry(work->engine->log, &id, &position, err);
    if (result != DBK_OK) return result;
    return position ? add_position(work, position, err)
                    : dbk_fail(err, DBK_NOT_FOUND, "there is no entry '%.*s'", DBK_SLICE_ARG(node->text));
}

typedef dbk_result (*add_fn)(dbk_undo_work *work, const dbk_json_node *node, dbk_error *err);

static dbk_result add_all(dbk_undo_work *work, const dbk_json_node *node, add_fn add, dbk_error *err)
{
    dbk_result result = DBK_OK;
    if (!node) return DBK_OK;
    if (node->kind != DBK_JSON_ARRAY) return add(work, node, err);
    const dbk_json_node *child = node + 1;
    for (uint32_t i = 0; result == DBK_OK && i < node->count; i++, child = dbk_json_next(child))
        result = add(work, child, err);
    return result;
}

/* No index knows correlations: the log is read. */
static dbk_result add_correlated(dbk_undo_work *work, const dbk_json_node *node, dbk_error *err)
{
    dbk_log_cursor *cursor = NULL;
    uint64_t position, count = work->positions.size;
    dbk_slice origin;
    if (!node) return DBK_OK;
    if (node->kind != DBK_JSON_STRING || node->text.size == 0)
        return dbk_fail(err, DBK_BAD_COMMAND, "'of_correlation' must be text");
    dbk_result result = dbk_log_cursor_open(work->engine->log, 1, 0, &cursor, err);
    while (result == DBK_OK) {
        dbk_entry entry;
        result = dbk_log_cursor_next(cursor, &position, NULL, &origin, err);
        if (result == DBK_OK) result = dbk_entry_decode(origin, &entry, err);
        if (result == DBK_OK && entry.flags == DBK_ENTRY_APP && dbk_slice_equal(entry.correlation, node->text))
            result = add_position(work, position, err);
    }
    dbk_log_cursor_close(cursor);
    if (result != DBK_END) return result;
    if (work->positions.size > count) return DBK_OK;
    return dbk_fail(err, DBK_NOT_FOUND, "no entry has the correlation '%.*s'", DBK_SLICE_ARG(node->text));
}

static dbk_result find_targets(dbk_undo_work *work, const dbk_json_node *command, dbk_error *err)
{
    const dbk_json_node *entry = dbk_json_member(command, "entry"), *position = dbk_json_member(command, "position");
    const dbk_json_node *correlation = dbk_json_member(command, "of_correlation");
    if (!entry && !position && !correlation)
        return dbk_fail(err, DBK_BAD_COMMAND, "an undo command needs 'entry', 'position' or 'of_correlation'");
    dbk_result result = add_all(work, entry, add_entry, err);
    if (result == DBK_OK) result = add_all(work, position, add_number, err);
    if (result == DBK_OK) result = add_correlated(work, correlation, err);
    if (result == DBK_OK && work->positions.size == 0)
        result = dbk_fail(err, DBK_BAD_COMMAND, "an undo command names no entry");
    return result;
}

static dbk_result refuse_engine(const dbk_event *event, dbk_error *err)
{
    bool definition = dbk_slice_equal(event->type, dbk_slice_text("daybook.definition"));
    (void)dbk_fail(err, DBK_REJECTED, "'%.*s' is an entry of the engine, which no undo takes back",
                   DBK_SLICE_ARG(event->type));
    dbk_error_hint(err, definition ? "another definition takes its place by 'daybook upgrade STORE --app APP'"
                                   : "an undo names entries of commands: 'daybook log STORE' lists them");
    return DBK_REJECTED;
}

/* Only what changed rows of collections has a before to go back to; of others the app says the opposite. */
static dbk_result check_events(const dbk_engine *engine, const dbk_entry *entry, dbk_error *err)
{
    dbk_slice rest = entry->events;
    for (dbk_event event; dbk_event_next(&rest, &event);) {
        const dbk_table *table;
        dbk_row_op op;
        if (dbk_definition_row_event(engine->definition, event.type, &table, &op) && table->collection) continue;
        if (dbk_definition_undo(engine->definition, event.type)) continue;
        if (dbk_event_is_engine(&event)) return refuse_engine(&event, err);
        (void)dbk_fail(err, DBK_REJECTED, "undo of '%.*s' is not declared", DBK_SLICE_ARG(event.type));
        dbk_error_hint(err, "'-- undo %.*s' in commands.sql says the opposite", DBK_SLICE_ARG(event.type));
        return DBK_REJECTED;
    }
    return DBK_OK;
}

static dbk_result take_targets(dbk_undo_work *work, dbk_error *err)
{
    dbk_engine *engine = work->engine;
    dbk_result result = dbk_undo_new(engine->port, engine->definition, &work->undo, err);
    for (size_t i = 0; result == DBK_OK && i < work->positions.size / 8; i++) {
        dbk_entry entry;
        result = dbk_log_read(engine->log, dbk_load_u64(work->positions.data + i * 8), &work->origin, NULL, err);
        if (result == DBK_OK) result = dbk_entry_decode(dbk_buffer_slice(&work->origin), &entry, err);
        if (result == DBK_OK) result = check_events(engine, &entry, err);
        if (result == DBK_OK) result = dbk_undo_add(work->undo, &entry, err);
        if (result == DBK_OK) dbk_buffer_put(&work->ids, &entry.id, sizeof entry.id);
        if (result == DBK_OK && work->ids.failed) result = dbk_fail(err, DBK_NO_MEMORY, "no memory for an undo");
    }
    if (result == DBK_OK && work->ids.size == sizeof(dbk_entry_id))
        dbk_entry_id_text((const dbk_entry_id *)(const void *)work->ids.data, work->undoing.causation);
    return result;
}

/* ---- the fold */

typedef struct dbk_undo_skips {
    const dbk_undo_work *work;
    char state[16];
} dbk_undo_skips;

static dbk_result on_skip(void *arg, const dbk_skip *skip)
{
    dbk_undo_skips *skips = arg;
    const dbk_entry_id *ids = (const dbk_entry_id *)(const void *)skips->work->ids.data;
    if (strcmp(skip->state, "suffixed") == 0) return DBK_OK;
    for (size_t i = 0; i < skips->work->ids.size / sizeof *ids; i++) {
        if (!dbk_entry_id_equal(&ids[i], &skip->entry)) continue;
        size_t size = strlen(skip->state);
        memcpy(skips->state, skip->state, size < sizeof skips->state ? size + 1 : sizeof skips->state - 1);
    }
    return DBK_OK;
}

static dbk_result check_applied(dbk_undo_work *work, dbk_error *err)
{
    dbk_undo_skips skips = {.work = work};
    dbk_result result = dbk_model_skips(work->past.model, on_skip, &skips, err);
    if (result == DBK_OK && skips.state[0]) result = dbk_fail(err, DBK_REJECTED, "it was not applied: %s", skips.state);
    return result;
}

static dbk_result fold(dbk_undo_work *work, dbk_error *err)
{
    dbk_past all = {.position = dbk_log_position(work->engine->log)};
    dbk_past_discard(work->engine, &work->past);
    dbk_undo_forget_rows(work->undo);
    return dbk_past_open(work->engine, &all, dbk_undo_trail(work->undo), &work->past, err);
}

/* The turn is held: nothing more comes. */
static dbk_result complete(dbk_undo_work *work, dbk_error *err)
{
    bool again = false;
    dbk_model_follow(work->past.model, dbk_undo_trail(work->undo));
    dbk_result result = dbk_model_catch_up(work->past.model, 0, NULL, NULL, NULL, &again, err);
    dbk_model_follow(work->past.model, NULL);
    if (result == DBK_OK && again) result = fold(work, err);
    if (result == DBK_OK) result = dbk_undone_read(&work->undone, err);
    if (result == DBK_OK) result = dbk_undone_tell(&work->undone, work->past.model, err);
    return result == DBK_OK ? check_applied(work, err) : result;
}

/* ---- the decision */

static bool is_known(dbk_engine *engine, const dbk_json_node *command)
{
    const dbk_json_node *id = dbk_json_member(command, "id");
    uint64_t position = 0;
    return id && id->kind == DBK_JSON_STRING &&
           dbk_log_find_command(engine->log, id->text, 0, &position, NULL) == DBK_OK && position > 0;
}

/* A refusal from before the turn; the form comes first, as with every command. */
static void refuse(dbk_engine *engine, const dbk_json_node *command, dbk_error *error, dbk_result code,
                   dbk_buffer *receipt)
{
    const dbk_json_node *id = dbk_json_member(command, "id");
    error->code = code;
    dbk_buffer_clear(receipt);
    dbk_receipt_refused(engine, id && id->kind == DBK_JSON_STRING ? id->text : (dbk_slice){NULL, 0}, error,
                        (dbk_slice){NULL, 0}, false, receipt);
}

static dbk_result undo_is_off(dbk_error *err)
{
    (void)dbk_fail(err, DBK_BAD_COMMAND, "the app has no undo: 'models.main.undo' of app.json is false");
    dbk_error_hint(err, "set it to true and upgrade, or send the command that puts the rows back");
    return DBK_BAD_COMMAND;
}

static dbk_result decide(dbk_undo_work *work, dbk_slice json, const dbk_json_node *command, int64_t now_ms,
                         dbk_buffer *receipt, dbk_error *err)
{
    dbk_engine *engine = work->engine;
    dbk_turn_item item = {.json = json, .answer = receipt};
    dbk_error error = {0};
    engine->port->mutex_lock(engine->port->ctx, engine->turn);
    bool known = is_known(engine, command);
    bool off = engine->definition->no_undo; /* an upgrade may have come between */
    dbk_result ready = known              ? DBK_OK
                       : off              ? undo_is_off(&error)
                       : work->past.model ? complete(work, &error)
                                          : dbk_fail(&error, DBK_INTERNAL, "an undo without its fold");
    dbk_result result = DBK_OK;
    if (ready == DBK_OK) {
        work->undoing.undo = work->undo;
        engine->undoing = &work->undoing;
        result = dbk_turn_decide(engine, &item, 1, now_ms, err);
        engine->undoing = NULL;
    } else {
        refuse(engine, command, &error, ready, receipt);
    }
    engine->port->mutex_unlock(engine->port->ctx, engine->turn);
    return result;
}

static dbk_result prepare(dbk_undo_work *work, const dbk_json_node *command, dbk_error *err)
{
    dbk_command form;
    dbk_result result = dbk_command_read(work->engine, command, false, &form, err);
    if (result != DBK_OK || is_known(work->engine, command)) return result;
    if (work->engine->definition->no_undo) return undo_is_off(err);
    result = find_targets(work, command, err);
    if (result == DBK_OK) result = take_targets(work, err);
    if (result == DBK_OK) result = dbk_undone_begin(&work->undone, work->undo, err);
    if (result == DBK_OK) result = dbk_undone_read(&work->undone, err);
    return result == DBK_OK ? fold(work, err) : result;
}

dbk_result dbk_engine_undo(dbk_engine *engine, dbk_slice json, int64_t now_ms, dbk_buffer *receipt, dbk_error *err)
{
    const dbk_json_node *command;
    dbk_error error = {0};
    dbk_undo_work work = {.engine = engine};
    dbk_json_parser *parser = dbk_json_parser_new(engine->port);
    if (!parser) return dbk_fail(err, DBK_NO_MEMORY, "no memory for an undo");
    dbk_buffer_init(&work.positions, engine->port);
    dbk_buffer_init(&work.origin, engine->port);
    dbk_buffer_init(&work.ids, engine->port);
    dbk_buffer_init(&work.undoing.kept, engine->port);
    dbk_undone_init(&work.undone, engine);
    dbk_result result = dbk_json_parse(parser, json, &command, err);
    if (result == DBK_OK) result = dbk_engine_may_write(engine, err);
    if (result == DBK_OK) {
        dbk_result ready = prepare(&work, command, &error);
        if (ready == DBK_OK) result = decide(&work, json, command, now_ms, receipt, err);
        else refuse(engine, command, &error, ready, receipt);
    }
    dbk_past_discard(engine, &work.past);
    dbk_undo_free(work.undo);
    dbk_buffer_release(&work.positions);
    dbk_buffer_release(&work.origin);
    dbk_buffer_release(&work.ids);
    dbk_buffer_release(&work.undoing.kept);
    dbk_undone_release(&work.undone);
    dbk_json_parser_free(parser);
    return result;
}

dbk_result dbk_request_undo(dbk_engine *engine, const dbk_json_node *request, dbk_buffer *out, dbk_error *err)
{
    dbk_buffer command, receipt;
    dbk_buffer_init(&command, engine->port);
    dbk_buffer_init(&receipt, engine->port);
    dbk_json_put_minimal(&command, request);
    dbk_result result =
        command.failed ? dbk_fail(err, DBK_NO_MEMORY, "no memory for an undo")
                       : dbk_engine_undo(engine, dbk_buffer_slice(&command), dbk_engine_now(engine), &receipt, err);
    dbk_request_put_receipt(out, &receipt);
    dbk_buffer_release(&command);
    dbk_buffer_release(&receipt);
    return result;
}
