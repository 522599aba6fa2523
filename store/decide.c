/* The turn of the commit loop (semantics.md §3): decide all in one transaction, one write, one sync, one
 * COMMIT, then publish. Nothing is visible before the log has it. */
#include "store/decide.h"
#include "store/disk.h"
#include "store/prepare.h"
#include "store/settings.h"
#include "store/undo.h"

#include <stdio.h>

enum { TURN_ELEMENTS_START = 256, KEPT_BYTES = 4 << 20 };

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

/* ---- known ids (§3.5) */

static const dbk_element *fresh_with_id(dbk_turn *turn, dbk_slice id, uint64_t hash, dbk_entry *entry)
{
    for (uint32_t at = turn->ids[hash % DBK_TURN_ID_SLOTS]; at; at = turn->elements[at - 1].next) {
        const dbk_element *element = &turn->elements[at - 1];
        if (element->id_hash == hash && dbk_entry_decode(dbk_turn_origin(turn, element), entry, NULL) == DBK_OK &&
            dbk_slice_equal(entry->command_id, id))
            return element;
    }
    return NULL;
}

static void remember_id(dbk_turn *turn, dbk_element *element, uint64_t hash)
{
    element->id_hash = hash;
    element->next = turn->ids[hash % DBK_TURN_ID_SLOTS];
    turn->ids[hash % DBK_TURN_ID_SLOTS] = (uint32_t)(element - turn->elements) + 1;
}

/* Only the slots that were taken, so that a turn of one command costs one. */
static void forget_ids(dbk_turn *turn)
{
    for (size_t i = 0; i < turn->count; i++)
        if (turn->elements[i].origin_size > 0) turn->ids[turn->elements[i].id_hash % DBK_TURN_ID_SLOTS] = 0;
}

/* The first entry of the log with this command id: its position, 0 when there is none. */
static dbk_result logged_with_id(dbk_engine *engine, dbk_slice id, uint64_t *position, dbk_error *err)
{
    *position = 0;
    for (uint64_t before = 0;;) {
        uint64_t found = 0;
        dbk_result result = dbk_log_find_command(engine->log, id, before, &found, err);
        if (result != DBK_OK || found == 0) return result;
        *position = before = found;
        if (found == 1) return DBK_OK;
    }
}

static dbk_result answer_known(dbk_engine *engine, const dbk_entry *entry, uint64_t position, const uint8_t *hash,
                               dbk_buffer *out, dbk_error *err)
{
    if (memcmp(entry->command_hash, hash, 32) != 0) {
        dbk_fail(err, DBK_ID_REUSED, "id '%.*s' was used for another command, at position %llu",
                 DBK_SLICE_ARG(entry->command_id), (unsigned long long)position);
        dbk_error_hint(err, "use a new id for a new command");
        return DBK_ID_REUSED;
    }
    dbk_receipt_again(engine, entry, position, out);
    return DBK_OK;
}

/* *known: the id was used before, and the answer is in `out` or the result says id_reused. What the element names is
 * promised no earlier than the entry of this turn that it is. */
static dbk_result look_up_id(dbk_turn *turn, dbk_element *element, dbk_slice id, uint64_t id_hash, const uint8_t *hash,
                             bool *known, dbk_buffer *out, dbk_error *err)
{
    dbk_engine *engine = turn->engine;
    dbk_entry entry;
    uint64_t position = 0;
    *known = true;
    dbk_result result = logged_with_id(engine, id, &position, err);
    if (result != DBK_OK) return result;
    if (position > 0) {
        result = dbk_log_read(engine->log, position, &engine->message, NULL, err);
        if (result == DBK_OK) result = dbk_entry_decode(dbk_buffer_slice(&engine->message), &entry, err);
        return result == DBK_OK ? answer_known(engine, &entry, position, hash, out, err) : result;
    }
    for (dbk_turn *decided = turn; decided; decided = decided->before) {
        const dbk_element *fresh = fresh_with_id(decided, id, id_hash, &entry);
        if (!fresh) continue;
        position = decided->base + 1 + (entry.id.seq - decided->first_seq);
        result = answer_known(engine, &entry, position, hash, out, err);
        if (result == DBK_OK && decided == turn) element->again = (uint32_t)(fresh - turn->elements) + 1;
        return result;
    }
    *known = false;
    return DBK_OK;
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
    bool single = c->verb <= DBK_DO_APPEND; /* those make a savepoint where they need one */
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

static dbk_slice canonical_of(const dbk_turn *turn, const dbk_element *element, const dbk_foreknown *known)
{
    const dbk_prepared *prepared = turn->items[element->item].prepared;
    const dbk_buffer *text = prepared && prepared->known.size > 0 ? &prepared->text : &turn->text;
    return dbk_slice_of(text->data + known->data, known->data_bytes);
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
    result = look_up_id(turn, element, *id, id_hash, foreknown->hash, &known, out, err);
    if (result != DBK_OK) element->again = 0;
    if (result != DBK_OK || known) return result;
    if (engine->disk.full) return dbk_disk_refuse(engine, err);

    uint32_t epoch;
    uint64_t hlc;
    dbk_clock_next(engine, turn->now_ms, &epoch, &hlc);
    begin_draft(turn, &command, epoch, hlc);
    if (command.verb == DBK_DO_APPEND && command.data) engine->draft.canonical = canonical_of(turn, element, foreknown);
    result = decide_events(turn, &command, err);
    if (result != DBK_OK) return result;
    result = accept(turn, element, foreknown->hash, epoch, hlc, out, err);
    if (result == DBK_OK) remember_id(turn, element, id_hash);
    else
        dbk_model_rollback(
            engine->model); /* its rows would stay without an entry: the turn is decided again without it */
    return result;
}

static void note_culprit(dbk_turn *turn, const dbk_element *last, const dbk_error *refusal)
{
    if (turn->culprit_count == sizeof turn->culprits / sizeof turn->culprits[0]) return;
    struct dbk_culprit *culprit = &turn->culprits[turn->culprit_count++];
    bool by_limit = refusal->code == DBK_BUSY || refusal->code == DBK_TOO_BIG;
    *culprit =
        (struct dbk_culprit){.item = last->item, .order = last->order, .code = by_limit ? refusal->code : DBK_INTERNAL};
    snprintf(culprit->why, sizeof culprit->why, "%.191s", refusal->text);
    snprintf(culprit->hint, sizeof culprit->hint, "%.95s", refusal->hint);
}

static dbk_result decide_element(dbk_turn *turn, uint32_t item, uint32_t order, const dbk_json_node *node,
                                 const dbk_foreknown *foreknown, dbk_error *err)
{
    dbk_engine *engine = turn->engine;
    dbk_buffer *out = turn->items[item].answer;
    dbk_element *element = NULL;
    dbk_error refusal = {0};
    dbk_slice id = {NULL, 0};
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

static dbk_result decide_item(dbk_turn *turn, uint32_t index, dbk_error *err)
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
    dbk_buffer_put_u8(item->answer, '[');
    const dbk_json_node *child = root + 1;
    for (uint32_t i = 0; i < root->count; i++, child = dbk_json_next(child)) {
        if (i > 0) dbk_buffer_put_u8(item->answer, ',');
        result = decide_element(turn, index, i, child, known ? known + i : NULL, err);
        if (result != DBK_OK || turn->stopped || !dbk_model_in_transaction(turn->engine->model)) return result;
    }
    dbk_buffer_put_u8(item->answer, ']');
    return item->answer->failed ? dbk_fail(err, DBK_NO_MEMORY, "no memory for receipts") : DBK_OK;
}

/* Decides all; again without the culprit when SQLite gave up the transaction. */
static dbk_result decide_all(dbk_turn *turn, dbk_error *err)
{
    dbk_engine *engine = turn->engine;
    uint64_t seq = engine->next_seq, hlc = engine->hlc;
    uint32_t epoch = engine->epoch;
    for (size_t attempt = 0; attempt <= sizeof turn->culprits / sizeof turn->culprits[0]; attempt++) {
        engine->next_seq = seq;
        engine->hlc = hlc;
        engine->epoch = epoch;
        forget_ids(turn);
        turn->count = turn->entries = 0;
        dbk_buffer_clear(&turn->batch);
        dbk_result result = dbk_model_begin(engine->model, err);
        for (uint32_t i = 0; result == DBK_OK && i < turn->item_count && dbk_model_in_transaction(engine->model); i++)
            result = decide_item(turn, i, err);
        if (turn->stopped) return dbk_fail(err, DBK_UNAVAILABLE, "stopped");
        if (result != DBK_OK) return result;
        if (dbk_model_in_transaction(engine->model)) return DBK_OK;
    }
    return dbk_fail(err, DBK_INTERNAL, "SQLite gave up the transaction again and again");
}

/* For want of room it is no failure of the model: it is tried again when there is some. */
static dbk_result follow_log(dbk_engine *engine, dbk_error *err)
{
    dbk_result result = dbk_engine_catch_up(engine, err);
    if (result == DBK_OK) engine->behind = false;
    else if (result != DBK_NO_SPACE) engine->commit_failures++;
    if (result == DBK_OK) return DBK_OK;
    return dbk_error_wrap(err, result == DBK_NO_SPACE ? DBK_NO_SPACE : DBK_UNAVAILABLE, "the model is behind the log");
}

/* A store whose folder was removed under it would go on taking commands into files that nobody finds again. */
static dbk_result is_in_place(const dbk_engine *engine, dbk_error *err)
{
    if (!engine->lock || dbk_lock_check(engine->lock, err) != DBK_POISONED) return DBK_OK;
    dbk_error_hint(err, "close the store, and look at what stands in its place");
    return DBK_POISONED;
}

/* The model up to the log before anything is decided on it (§3.6). */
static dbk_result ready(dbk_engine *engine, dbk_error *err)
{
    if (engine->dead) return dbk_fail(err, DBK_UNAVAILABLE, "the store is closing");
    if (dbk_log_poisoned(engine->log)) {
        dbk_fail(err, DBK_POISONED, "a sync of the log failed earlier");
        dbk_error_hint(err, "close the store and open it again; the same ids are safe to send again");
        return DBK_POISONED;
    }
    if (dbk_engine_is_stranded(engine)) (void)dbk_state_resume(engine);
    dbk_result result = is_in_place(engine, err);
    if (result == DBK_OK) result = dbk_engine_may_write(engine, err);
    if (result != DBK_OK) return result;
    dbk_disk_look(engine);
    if (!engine->behind) return DBK_OK;
    if (engine->commit_failures >= 2) {
        dbk_model_state state;
        dbk_model_get_state(engine->model, &state);
        dbk_fail(err, DBK_UNAVAILABLE, "the model failed at position %llu", (unsigned long long)state.position + 1);
        dbk_error_hint(err, "look at the disk of 'models', then open the store again");
        return DBK_UNAVAILABLE;
    }
    return follow_log(engine, err);
}

/* Not by one assignment: that would clear the ids, of which few were taken. */
static void begin_turn(dbk_turn *turn, dbk_engine *engine, dbk_turn_item *items, size_t count, int64_t now_ms)
{
    forget_ids(turn);
    turn->before = NULL;
    turn->engine = engine;
    turn->items = items;
    turn->item_count = count;
    turn->now_ms = now_ms;
    dbk_receipt_begin(engine);
    turn->zone_minutes = engine->options.given_ids ? 0 : (int16_t)engine->port->zone_minutes(engine->port->ctx);
    turn->count = turn->entries = turn->culprit_count = 0;
    turn->stopped = false;
    dbk_buffer_clear(&turn->batch);
}

/* What the first entry builds on; after `ready`, which may append. */
static void begin_entries(dbk_turn *turn)
{
    const dbk_turn *before = turn->before;
    turn->base = before ? before->base + before->entries : dbk_log_position(turn->engine->log);
    turn->first_seq = turn->engine->next_seq;
}

/* What a large message took: a daemon that has seen one would hold some twelve times its size for good. */
static void relax(dbk_turn *turn)
{
    dbk_engine *engine = turn->engine;
    dbk_draft *draft = &engine->draft;
    dbk_buffer *buffers[] = {&turn->batch,   &turn->text,    &engine->message,
                             &draft->events, &draft->result, &draft->detail};
    dbk_json_parser_relax(engine->parser);
    for (size_t i = 0; i < sizeof buffers / sizeof *buffers; i++) dbk_buffer_relax(buffers[i], KEPT_BYTES);
}

dbk_result dbk_turn_decide(dbk_engine *engine, dbk_turn_item *items, size_t count, int64_t now_ms, dbk_error *err)
{
    dbk_error error = {0};
    dbk_turn *turn = engine->turn_memory;
    if (!turn) turn = engine->turn_memory = dbk_turn_new(engine->port);
    if (!turn) return dbk_fail(err, DBK_NO_MEMORY, "no memory for a turn");
    begin_turn(turn, engine, items, count, now_ms);
    dbk_result result = ready(engine, &error);
    begin_entries(turn);
    if (result == DBK_OK) result = decide_all(turn, &error);
    if (turn->stopped) return dbk_fail(err, DBK_UNAVAILABLE, "stopped");
    if (result != DBK_OK) {
        if (engine->model) dbk_model_rollback(engine->model);
        dbk_turn_take_back_clock(engine);
        error.code = result;
        dbk_turn_refuse_all(turn, &error);
        return DBK_OK;
    }
    result = dbk_turn_finish(turn, err);
    relax(turn);
    return result;
}

/* ---- ahead of the log */

dbk_result dbk_turn_begin_ahead(dbk_turn *turn, dbk_engine *engine, dbk_turn *before, int64_t now_ms, dbk_error *err)
{
    begin_turn(turn, engine, NULL, 0, now_ms);
    turn->before = before;
    if (before && engine->behind) return dbk_fail(err, DBK_UNAVAILABLE, "the model has to catch up first");
    dbk_result result = ready(engine, err);
    begin_entries(turn);
    if (result == DBK_OK && !before) result = dbk_model_begin(engine->model, err);
    return result;
}

dbk_result dbk_turn_decide_ahead(dbk_turn *turn, dbk_turn_item *items, size_t count, dbk_error *err)
{
    dbk_model *model = turn->engine->model;
    uint32_t from = (uint32_t)turn->item_count;
    dbk_result result = DBK_OK;
    turn->items = items;
    turn->item_count = count;
    for (uint32_t i = from; i < count && result == DBK_OK; i++) {
        if (!dbk_model_in_transaction(model)) break;
        result = decide_item(turn, i, err);
    }
    if (turn->stopped) return dbk_fail(err, DBK_UNAVAILABLE, "stopped");
    if (result == DBK_OK && !dbk_model_in_transaction(model))
        result = dbk_fail(err, DBK_INTERNAL, "the transaction is gone");
    return result;
}

void dbk_turn_drop_ahead(dbk_turn *turn)
{
    dbk_model_rollback(turn->engine->model);
    dbk_turn_take_back_clock(turn->engine);
}

/* ---- memory */

dbk_turn *dbk_turn_new(const dbk_port *port)
{
    dbk_turn *turn = dbk_alloc_zero(port, 1, sizeof *turn);
    if (!turn) return NULL;
    dbk_buffer_init(&turn->batch, port);
    dbk_buffer_init(&turn->text, port);
    return turn;
}

void dbk_turn_free(dbk_turn *turn)
{
    if (!turn) return;
    const dbk_port *port = turn->batch.port;
    dbk_buffer_release(&turn->batch);
    dbk_buffer_release(&turn->text);
    dbk_free(port, turn->elements);
    dbk_free(port, turn);
}

void dbk_turn_release(dbk_engine *engine)
{
    dbk_turn_free(engine->turn_memory);
    engine->turn_memory = NULL;
}

dbk_result dbk_engine_decide(dbk_engine *engine, const dbk_slice *commands, size_t count, int64_t now_ms,
                             dbk_buffer *receipts, dbk_error *err)
{
    dbk_turn_item *items = dbk_alloc_zero(engine->port, count + 1, sizeof *items);
    if (!items) return dbk_fail(err, DBK_NO_MEMORY, "no memory for a turn");
    for (size_t i = 0; i < count; i++) items[i] = (dbk_turn_item){.json = commands[i], .answer = &receipts[i]};
    dbk_engine_take_turn(engine);
    dbk_result result = dbk_turn_decide(engine, items, count, now_ms, err);
    dbk_engine_end_turn(engine);
    dbk_free(engine->port, items);
    return result;
}
