/* The turn of the commit loop (semantics.md §3): decide all in one transaction, one write, one sync, one
 * COMMIT, then publish. Nothing is visible before the log has it. */
#include "store/decide.h"
#include "store/disk.h"
#include "store/hashes.h"
#include "store/prepare.h"
#include "store/settings.h"
#include "store/undo.h"

#include <stdio.h>

enum { TURN_ELEMENTS_START = 256 };

static dbk_result element_new(dbk_turn *turn, uint32_t item, uint32_t order, dbk_element **out, dbk_error *err)
{
    if (turn->count == turn->capacity) {
        size_t capacity = turn->capacity ? turn->capacity * 2 : TURN_ELEMENTS_START;
        const dbk_port *port = turn->engine->port;
        dbk_element *grown = port->resize(port->ctx, turn->elements, capacity * sizeof *grown);
        if (!grown) return dbk_fail(err, DBK_NO_MEMORY, "no memory for a turn of %zu commands", capacity);
        turn->elements = grown;
        turn->capacity = capacity;
    }
    *out = &turn->elements[turn->count++];
    memset(*out, 0, sizeof **out);
    (*out)->item = item;
    (*out)->order = order;
    return DBK_OK;
}

static dbk_result refuse_culprit(const dbk_turn *turn, const dbk_element *element, dbk_error *err)
{
    const struct dbk_culprit *culprit = turn->culprits, *end = culprit + turn->culprit_count;
    while (culprit < end && (culprit->item != element->item || culprit->order != element->order)) culprit++;
    if (culprit == end) return DBK_OK;
    if (culprit->code == DBK_INTERNAL)
        return dbk_fail(err, DBK_INTERNAL, "SQLite gave up the transaction during this command");
    dbk_fail(err, culprit->code, "%s", culprit->why);
    dbk_error_hint(err, "%s", culprit->hint);
    return culprit->code;
}

/* ---- one command */

dbk_result dbk_turn_run_one(dbk_engine *engine, const dbk_command *c, dbk_error *err)
{
    dbk_model *model = engine->model;
    dbk_draft *draft = &engine->draft;
    switch (c->verb) {
    case DBK_DO_PUT: return dbk_model_put(model, draft, c->table->text, c->key, c->data, c->expect, err);
    case DBK_DO_PATCH: return dbk_model_patch(model, draft, c->table->text, c->key, c->data, c->expect, err);
    case DBK_DO_DELETE: return dbk_model_delete(model, draft, c->table->text, c->key, c->expect, err);
    case DBK_DO_APPEND: return dbk_model_append(model, draft, c->stream->text, c->type->text, c->data, c->expect, err);
    case DBK_DO_COMMAND: return dbk_model_command(model, draft, c->app, c->args, err);
    case DBK_DO_SET:
    case DBK_DO_UNSET:
    case DBK_DO_RESET: return dbk_settings_run(engine, c, err);
    case DBK_DO_HOST: return dbk_host_command_run(engine, c, err);
    case DBK_DO_BATCH:
    case DBK_DO_DISMISS:
    case DBK_DO_UNDO: break;
    }
    return dbk_fail(err, DBK_INTERNAL, "a command of no kind");
}

static dbk_result run_batch(dbk_engine *engine, const dbk_command *batch, dbk_error *err)
{
    const dbk_json_node *node = batch->commands + 1;
    for (uint32_t i = 0; i < batch->commands->count; i++, node = dbk_json_next(node)) {
        dbk_command inner;
        dbk_result result = dbk_command_read(engine, node, true, &inner, err);
        if (result == DBK_OK) result = dbk_turn_run_one(engine, &inner, err);
        if (result != DBK_OK) {
            if (engine->draft.detail.size > 0) dbk_buffer_put_u8(&engine->draft.detail, ',');
            dbk_buffer_printf(&engine->draft.detail, "\"at\":%u", i);
            return result;
        }
    }
    return DBK_OK;
}

int dbk_turn_hook(dbk_turn *turn, const char *point, dbk_slice id)
{
    dbk_engine *engine = turn->engine;
    if (!engine->options.hook) return 0;
    int stop = engine->options.hook(engine->options.hook_arg, engine, point, id);
    if (stop) turn->stopped = engine->dead = true;
    return stop;
}

static dbk_result decide_events(dbk_turn *turn, const dbk_command *c, dbk_error *err)
{
    dbk_engine *engine = turn->engine;
    bool single =
        c->verb <= DBK_DO_APPEND || c->verb == DBK_DO_COMMAND; /* those make a savepoint where they need one */
    dbk_result result = dbk_model_entry_begin(engine->model, &engine->draft, single, err);
    if (result == DBK_OK)
        result = c->verb == DBK_DO_BATCH     ? run_batch(engine, c, err)
                 : c->verb == DBK_DO_DISMISS ? dbk_turn_run_dismiss(engine, c, err)
                 : c->verb == DBK_DO_UNDO    ? dbk_turn_run_undo(engine, err)
                                             : dbk_turn_run_one(engine, c, err);
    if (result == DBK_OK) (void)dbk_turn_hook(turn, "decide", engine->draft.command_id);
    if (result == DBK_OK) result = dbk_model_entry_end(engine->model, &engine->draft, err);
    if (result != DBK_OK) dbk_model_entry_drop(engine->model);
    return result;
}

static void fill_entry(dbk_turn *turn, const uint8_t *hash, uint32_t epoch, uint64_t hlc, dbk_entry *entry)
{
    const dbk_engine *engine = turn->engine;
    const dbk_draft *draft = &engine->draft;
    memset(entry, 0, sizeof *entry);
    memcpy(entry->lineage, engine->identity.lineage, 16);
    memcpy(entry->definition, engine->definition->hash, 16);
    memcpy(entry->command_hash, hash, 32);
    entry->id = draft->id;
    entry->epoch = epoch;
    entry->hlc = hlc;
    entry->time_ms = turn->now_ms;
    entry->zone_minutes = turn->zone_minutes;
    entry->flags = draft->undo ? DBK_ENTRY_UNDO : DBK_ENTRY_APP;
    entry->command_id = draft->command_id;
    entry->actor = draft->actor;
    entry->correlation = draft->correlation;
    entry->causation = draft->causation;
    entry->event_count = draft->event_count;
    entry->events = dbk_buffer_slice(&draft->events);
}

static void begin_draft(dbk_turn *turn, const dbk_command *c, uint32_t epoch, uint64_t hlc)
{
    dbk_engine *engine = turn->engine;
    dbk_draft *draft = &engine->draft;
    dbk_draft_clear(draft);
    memcpy(draft->id.replica, engine->identity.replica, 16);
    draft->id.incarnation = engine->identity.incarnation;
    draft->id.seq = engine->next_seq;
    draft->position = turn->base + turn->entries + 1;
    draft->time_ms = turn->now_ms;
    draft->command_id = c->id->text;
    draft->actor = c->actor;
    draft->correlation = c->correlation;
    draft->causation = c->causation;
    if (c->verb == DBK_DO_UNDO && engine->undoing && engine->undoing->causation[0])
        draft->causation = dbk_slice_text(engine->undoing->causation);
    dbk_entry stamp = {.id = draft->id, .epoch = epoch, .hlc = hlc};
    dbk_entry_order_key(&stamp, draft->order);
}

static dbk_result accept(dbk_turn *turn, dbk_element *element, const uint8_t *hash, uint32_t epoch, uint64_t hlc,
                         dbk_buffer *out, dbk_error *err)
{
    dbk_engine *engine = turn->engine;
    dbk_draft *draft = &engine->draft;
    dbk_entry entry;
    uint64_t version = draft->event_count > 0 ? draft->position : 0;
    if (version == 0 && draft->last_stream.size > 0) {
        dbk_result result = dbk_model_version(engine->model, draft->last_stream, &version, err);
        if (result != DBK_OK) return result;
    }
    fill_entry(turn, hash, epoch, hlc, &entry);
    size_t origin = turn->batch.size;
    dbk_entry_encode(&turn->batch, &entry);
    if (turn->batch.failed) return dbk_fail(err, DBK_NO_MEMORY, "no memory for the entry");
    element->origin = origin;
    element->origin_size = turn->batch.size - origin;
    engine->epoch = epoch;
    engine->hlc = hlc;
    engine->next_seq++;
    turn->entries++;
    dbk_receipt_accepted(engine, draft, version, out);
    return DBK_OK;
}

/* What there is to know of the command; `own` where it was not prepared. */
static dbk_result foreknow(dbk_turn *turn, const dbk_json_node *node, const dbk_foreknown **known, dbk_foreknown *own,
                           dbk_error *err)
{
    if (*known) return DBK_OK;
    *known = own;
    dbk_buffer_clear(&turn->text);
    return dbk_command_hash(&turn->text, node, own, err);
}

static dbk_slice canonical_of(const dbk_foreknown *known)
{
    return dbk_slice_of(known->text->data + known->data, known->data_bytes);
}

/* `foreknown` is NULL when it was not prepared. */
static dbk_result decide_command(dbk_turn *turn, dbk_element *element, const dbk_json_node *node,
                                 const dbk_foreknown *foreknown, dbk_slice *id, dbk_buffer *out, dbk_error *err)
{
    dbk_engine *engine = turn->engine;
    dbk_command command;
    dbk_foreknown own;
    bool known = false;
    dbk_draft_clear(&engine->draft);
    const dbk_json_node *sent = node->kind == DBK_JSON_OBJECT ? dbk_json_member(node, "id") : NULL;
    if (sent && sent->kind == DBK_JSON_STRING && sent->text.size <= DBK_COMMAND_ID_MAX_BYTES) *id = sent->text;
    dbk_result result = dbk_command_read(engine, node, false, &command, err);
    if (result == DBK_OK) result = refuse_culprit(turn, element, err);
    if (result == DBK_OK) result = foreknow(turn, node, &foreknown, &own, err);
    if (result != DBK_OK) return result;
    uint64_t id_hash = dbk_checksum(*id, 0);
    result = dbk_turn_look_up_id(turn, element, *id, id_hash, foreknown->hash, &known, out, err);
    if (result != DBK_OK) element->again = 0;
    if (result != DBK_OK || known) return result;
    if (engine->disk.full) return dbk_disk_refuse(engine, err);

    uint32_t epoch;
    uint64_t hlc;
    result = dbk_clock_next(engine, turn->now_ms, &epoch, &hlc, err);
    if (result != DBK_OK) return result;
    begin_draft(turn, &command, epoch, hlc);
    if (command.verb == DBK_DO_APPEND && command.data) engine->draft.canonical = canonical_of(foreknown);
    result = decide_events(turn, &command, err);
    if (result != DBK_OK) return result;
    result = accept(turn, element, foreknown->hash, epoch, hlc, out, err);
    if (result == DBK_OK) dbk_turn_remember_id(turn, element, id_hash);
    else
        dbk_model_rollback(
            engine->model); /* its rows would stay without an entry: the turn is decided again without it */
    return result;
}

static void note_culprit(dbk_turn *turn, const dbk_element *last, const dbk_error *refusal)
{
    if (turn->culprit_count == sizeof turn->culprits / sizeof turn->culprits[0]) return;
    struct dbk_culprit *culprit = &turn->culprits[turn->culprit_count++];
    bool named = refusal->code == DBK_BUSY || refusal->code == DBK_TOO_BIG || refusal->code == DBK_NO_MEMORY;
    *culprit =
        (struct dbk_culprit){.item = last->item, .order = last->order, .code = named ? refusal->code : DBK_INTERNAL};
    snprintf(culprit->why, sizeof culprit->why, "%.191s", refusal->text);
    snprintf(culprit->hint, sizeof culprit->hint, "%.95s", refusal->hint);
}

static dbk_result decide_element(dbk_turn *turn, uint32_t item, uint32_t order, const dbk_json_node *node,
                                 const dbk_foreknown *foreknown, dbk_error *err)
{
    dbk_engine *engine = turn->engine;
    dbk_buffer *out = turn->items[item].answer;
    dbk_element *element = NULL;
    dbk_error refusal;
    dbk_slice id = {NULL, 0};
    dbk_error_clear(&refusal);
    dbk_result result = element_new(turn, item, order, &element, err);
    if (result != DBK_OK) return result;
    element->receipt = out->size;
    engine->counts.commands++;
    dbk_stage wait = dbk_command_wait(node);
    if (wait > turn->items[item].wait) turn->items[item].wait = wait;
    result = decide_command(turn, element, node, foreknown, &id, out, &refusal);
    if (result == DBK_NO_SPACE && !dbk_model_in_transaction(engine->model)) { /* the disk's fault, not the command's */
        if (err) *err = refusal;
        return result;
    }
    refusal.code = result;
    if (!dbk_model_in_transaction(engine->model)) note_culprit(turn, element, &refusal);
    if (result != DBK_OK)
        dbk_receipt_refused(engine, id, &refusal, dbk_buffer_slice(&engine->draft.detail), false, out);
    element->receipt_size = out->size - element->receipt;
    return out->failed ? dbk_fail(err, DBK_NO_MEMORY, "no memory for receipts") : DBK_OK;
}

/* ---- one item: a command or an array of them */

static void refuse_item(dbk_turn *turn, uint32_t item, dbk_error *refusal, dbk_result code)
{
    refusal->code = code;
    dbk_receipt_refused(turn->engine, (dbk_slice){NULL, 0}, refusal, (dbk_slice){NULL, 0}, false,
                        turn->items[item].answer);
}

dbk_result dbk_turn_read_item(dbk_turn *turn, const dbk_turn_item *item, const dbk_json_node **root, dbk_error *refusal)
{
    const dbk_prepared *prepared = item->prepared;
    if (!prepared) return dbk_message_parse(turn->engine->parser, item->json, root, refusal);
    *root = prepared->root;
    *refusal = prepared->error;
    return prepared->result;
}

/* Beside the turn, of an array that was not prepared. */
static void begin_hashes(dbk_engine *engine, const dbk_json_node *array, size_t bytes)
{
    if (engine->options.no_threads || array->count < DBK_HASHES_WORTH_COMMANDS) return;
    if (!engine->hashes) engine->hashes = dbk_hashes_new(engine->port);
    if (engine->hashes) (void)dbk_hashes_begin(engine->hashes, array, bytes);
}

static dbk_result decide_array(dbk_turn *turn, uint32_t index, const dbk_json_node *array, const dbk_foreknown *known,
                               dbk_error *err)
{
    dbk_engine *engine = turn->engine;
    dbk_buffer *out = turn->items[index].answer;
    const dbk_json_node *child = array + 1;
    dbk_buffer_put_u8(out, '[');
    for (uint32_t i = 0; i < array->count; i++, child = dbk_json_next(child)) {
        if (i > 0) dbk_buffer_put_u8(out, ',');
        const dbk_foreknown *of = known ? known + i : engine->hashes ? dbk_hashes_take(engine->hashes, i) : NULL;
        dbk_result result = decide_element(turn, index, i, child, of, err);
        if (result != DBK_OK || turn->stopped || !dbk_model_in_transaction(engine->model)) return result;
    }
    dbk_buffer_put_u8(out, ']');
    return out->failed ? dbk_fail(err, DBK_NO_MEMORY, "no memory for receipts") : DBK_OK;
}

dbk_result dbk_turn_decide_item(dbk_turn *turn, uint32_t index, dbk_error *err)
{
    dbk_turn_item *item = &turn->items[index];
    const dbk_json_node *root;
    dbk_error refusal = {0};
    dbk_buffer_clear(item->answer);
    item->wait = DBK_STAGE_FAILED;
    dbk_result result = dbk_turn_read_item(turn, item, &root, &refusal);
    if (result != DBK_OK) return refuse_item(turn, index, &refusal, result), DBK_OK;
    bool has_request = item->prepared ? item->prepared->has_request : dbk_message_has_request(root);
    item->deferred = !turn->engine->undoing && has_request;
    if (item->deferred) return DBK_OK;
    const dbk_foreknown *known =
        item->prepared && item->prepared->known.size > 0 ? (const void *)item->prepared->known.data : NULL;
    if (root->kind != DBK_JSON_ARRAY) return decide_element(turn, index, 0, root, known, err);
    if (!known) begin_hashes(turn->engine, root, item->json.size);
    result = decide_array(turn, index, root, known, err);
    if (turn->engine->hashes) dbk_hashes_end(turn->engine->hashes);
    return result;
}

/* Decides all; again without the culprit when SQLite gave up the transaction. */
dbk_result dbk_turn_decide_all(dbk_turn *turn, dbk_error *err)
{
    dbk_engine *engine = turn->engine;
    uint64_t seq = engine->next_seq, hlc = engine->hlc;
    uint32_t epoch = engine->epoch;
    dbk_engine_expect_changes(engine);
    for (size_t attempt = 0; attempt <= sizeof turn->culprits / sizeof turn->culprits[0]; attempt++) {
        engine->next_seq = seq;
        engine->hlc = hlc;
        engine->epoch = epoch;
        dbk_turn_forget_ids(turn);
        turn->count = turn->entries = 0;
        dbk_buffer_clear(&turn->batch);
        dbk_result result = dbk_model_begin(engine->model, err);
        for (uint32_t i = 0; result == DBK_OK && i < turn->item_count && dbk_model_in_transaction(engine->model); i++)
            result = dbk_turn_decide_item(turn, i, err);
        if (turn->stopped) return dbk_fail(err, DBK_UNAVAILABLE, "stopped");
        if (result != DBK_OK) return result;
        if (dbk_model_in_transaction(engine->model)) return DBK_OK;
    }
    return dbk_fail(err, DBK_INTERNAL, "SQLite gave up the transaction again and again");
}
