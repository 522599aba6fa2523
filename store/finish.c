/* The second half of a turn: what was decided is written and synced, then committed, then answered. */
#include "store/checkpoint.h"
#include "store/decide.h"
#include "store/disk.h"
#include "store/prepare.h"
#include "store/waits.h"

static dbk_result append(dbk_turn *turn, dbk_error *err)
{
    dbk_engine *engine = turn->engine;
    dbk_slice *origins = dbk_alloc(engine->port, turn->entries * sizeof *origins);
    if (!origins) return dbk_fail(err, DBK_NO_MEMORY, "no memory for a batch");
    size_t count = 0;
    for (size_t i = 0; i < turn->count; i++)
        if (turn->elements[i].origin_size > 0) origins[count++] = dbk_turn_origin(turn, &turn->elements[i]);
    dbk_result result = dbk_engine_append(engine, origins, count, turn->now_ms, err);
    dbk_free(engine->port, origins);
    return result;
}

void dbk_turn_log(dbk_turn *turn)
{
    struct dbk_logged *logged = &turn->logged;
    const dbk_log *log = turn->engine->log;
    logged->error = (dbk_error){0};
    logged->result = turn->entries > 0 ? append(turn, &logged->error) : DBK_OK;
    logged->position = dbk_log_position(log);
    dbk_log_head(log, logged->head);
    dbk_log_top(log, logged->top);
}

static dbk_slice id_of(dbk_turn *turn, const dbk_element *element)
{
    dbk_entry entry;
    return dbk_entry_decode(dbk_turn_origin(turn, element), &entry, NULL) == DBK_OK ? entry.command_id
                                                                                    : (dbk_slice){NULL, 0};
}

typedef struct dbk_rewriting {
    const dbk_error *error; /* what was accepted is refused; NULL: it gets the suffix instead of its last '}' */
    bool unknown;
    const char *suffix;
} dbk_rewriting;

/* The one whose entry the receipt names: sent twice in a turn, it is the first one's. */
static const dbk_element *named_by(const dbk_turn *turn, const dbk_element *element)
{
    return element->again ? &turn->elements[element->again - 1] : element;
}

/* The receipts of one item, whose elements begin at *at, with those that name new entries as `how` says. False: it
 * has none. */
static bool put_receipts(dbk_turn *turn, const dbk_buffer *old, size_t *at, const dbk_rewriting *how, dbk_buffer *out)
{
    uint32_t item = turn->elements[*at].item;
    bool any = false;
    size_t done = 0;
    for (; *at < turn->count && turn->elements[*at].item == item; ++*at) {
        const dbk_element *e = &turn->elements[*at], *named = named_by(turn, e);
        dbk_buffer_put(out, old->data + done, e->receipt - done);
        done = e->receipt + e->receipt_size;
        any = any || named->origin_size > 0;
        if (named->origin_size == 0) {
            dbk_buffer_put(out, old->data + e->receipt, e->receipt_size);
        } else if (how->error) {
            dbk_receipt_refused(turn->engine, id_of(turn, named), how->error, (dbk_slice){NULL, 0}, how->unknown, out);
        } else {
            dbk_buffer_put(out, old->data + e->receipt, e->receipt_size - 1);
            dbk_buffer_put_text(out, how->suffix);
        }
    }
    dbk_buffer_put(out, old->data + done, old->size - done);
    return any;
}

static void rewrite_receipts(dbk_turn *turn, const dbk_rewriting *how)
{
    for (size_t at = 0; at < turn->count;) {
        dbk_buffer *out = turn->items[turn->elements[at].item].answer;
        dbk_buffer old = *out;
        dbk_buffer_init(out, old.port); /* the caller's, who releases it */
        (void)put_receipts(turn, &old, &at, how, out);
        dbk_buffer_release(&old);
    }
}

/* Tells who asks. Without memory for it the stage is passed over: the last word comes in any case. */
static void tell_stage(dbk_turn *turn, dbk_stage stage)
{
    static const dbk_rewriting decided = {.suffix = ",\"durable\":false}"},
                               synced = {.suffix = ",\"projected\":false}"};
    for (size_t at = 0; at < turn->count;) {
        dbk_turn_item *item = &turn->items[turn->elements[at].item];
        bool wanted = item->on_stage && (item->all_stages || (stage == DBK_STAGE_ACCEPTED && item->wait == stage));
        if (!wanted) {
            for (uint32_t own = turn->elements[at].item; at < turn->count && turn->elements[at].item == own;) at++;
            continue;
        }
        dbk_buffer out;
        dbk_buffer_init(&out, turn->engine->port);
        bool any = put_receipts(turn, item->answer, &at, stage == DBK_STAGE_ACCEPTED ? &decided : &synced, &out);
        if (any && dbk_buffer_text(&out)) item->on_stage(item, stage, &out);
        dbk_buffer_release(&out);
    }
}

static void refuse_one(dbk_turn *turn, const dbk_json_node *node, const dbk_error *error, dbk_buffer *out)
{
    const dbk_json_node *id = node && node->kind == DBK_JSON_OBJECT ? dbk_json_member(node, "id") : NULL;
    bool named = id && id->kind == DBK_JSON_STRING && id->text.size <= DBK_COMMAND_ID_MAX_BYTES;
    dbk_receipt_refused(turn->engine, named ? id->text : (dbk_slice){NULL, 0}, error, (dbk_slice){NULL, 0}, false, out);
}

static void refuse_message(dbk_turn *turn, const dbk_json_node *root, const dbk_error *error, dbk_buffer *out)
{
    if (!root || root->kind != DBK_JSON_ARRAY) return refuse_one(turn, root, error, out);
    dbk_buffer_put_u8(out, '[');
    const dbk_json_node *child = root + 1;
    for (uint32_t i = 0; i < root->count; i++, child = dbk_json_next(child)) {
        if (i > 0) dbk_buffer_put_u8(out, ',');
        refuse_one(turn, child, error, out);
    }
    dbk_buffer_put_u8(out, ']');
}

void dbk_turn_refuse_all(dbk_turn *turn, const dbk_error *error)
{
    for (uint32_t i = 0; i < turn->item_count; i++) {
        dbk_turn_item *item = &turn->items[i];
        const dbk_json_node *root;
        dbk_error unread = {0};
        dbk_result result = dbk_turn_read_item(turn, item, &root, &unread);
        unread.code = result;
        item->deferred = result == DBK_OK && !turn->engine->undoing && dbk_message_has_request(root);
        dbk_buffer_clear(item->answer);
        const dbk_error *why = result == DBK_NO_MEMORY ? &unread : error; /* it may be a request, which is answered */
        if (!item->deferred) refuse_message(turn, result == DBK_OK ? root : NULL, why, item->answer);
    }
}

void dbk_turn_take_back_clock(dbk_engine *engine)
{
    dbk_log_clock(engine->log, &engine->epoch, &engine->hlc);
    engine->next_seq = dbk_log_next_seq(engine->log, engine->identity.replica, engine->identity.incarnation);
}

static void write_failed(dbk_turn *turn, dbk_error *error, dbk_result result)
{
    dbk_model_rollback(turn->engine->model);
    dbk_turn_take_back_clock(turn->engine);
    error->code = result;
    turn->engine->disk.known = turn->engine->disk.known && result != DBK_NO_SPACE;
    rewrite_receipts(turn, &(dbk_rewriting){.error = error, .unknown = result == DBK_POISONED});
}

/* Of turns that were decided one ahead of the other it is one failure. */
static void commit_failed(dbk_turn *turn, dbk_result result)
{
    dbk_engine *engine = turn->engine;
    dbk_model_rollback(engine->model);
    engine->disk.known = engine->disk.known && result != DBK_NO_SPACE; /* looks again */
    if (result != DBK_NO_SPACE && !engine->behind) engine->commit_failures++;
    engine->behind = true;
    rewrite_receipts(turn, &(dbk_rewriting){.suffix = ",\"projected\":false}"});
}

void dbk_turn_tell_accepted(dbk_turn *turn)
{
    tell_stage(turn, DBK_STAGE_ACCEPTED);
}

dbk_result dbk_turn_settle(dbk_turn *turn, dbk_error *err)
{
    dbk_engine *engine = turn->engine;
    struct dbk_logged *logged = &turn->logged;
    dbk_error error = logged->error;
    dbk_changes changes = {0};
    if (turn->entries == 0) return DBK_OK;
    if (logged->result != DBK_OK) return write_failed(turn, &error, logged->result), DBK_OK;
    engine->counts.batches++;
    engine->counts.entries += turn->entries;
    engine->counts.bytes += turn->batch.size;
    if (dbk_turn_hook(turn, "logged", (dbk_slice){NULL, 0})) return dbk_fail(err, DBK_UNAVAILABLE, "stopped");
    tell_stage(turn, DBK_STAGE_DURABLE);
    dbk_result result = dbk_model_commit(engine->model, logged->position, logged->head, logged->top, &changes, &error);
    if (result != DBK_OK) return commit_failed(turn, result), DBK_OK;
    engine->commit_failures = 0;
    if (dbk_turn_hook(turn, "committed", (dbk_slice){NULL, 0})) return dbk_fail(err, DBK_UNAVAILABLE, "stopped");
    dbk_engine_publish(engine, &changes);
    dbk_checkpoint_after_commit(engine->checkpointer, engine->model);
    return DBK_OK;
}

dbk_result dbk_turn_finish(dbk_turn *turn, dbk_error *err)
{
    if (turn->entries == 0) return dbk_model_rollback(turn->engine->model), DBK_OK;
    dbk_turn_tell_accepted(turn);
    dbk_turn_log(turn);
    return dbk_turn_settle(turn, err);
}
