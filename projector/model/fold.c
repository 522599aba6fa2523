/* Catching up: the model goes from its position to the end of the log, in canonical order.
 *
 *   1. list what is new with its order keys (not needed where the whole log is ordered)
 *   2. whatever sorts below the model's top must be row-local (F6), else a shadow is asked for; where later entries
 *      name its rows, these are made again (amend.c)
 *   3. apply in canonical order, commit where the applied ones are the positions up to some P (K4)
 *
 * Until step 3 nothing is written, so that "needs a shadow" leaves the model as it was. A failure in
 * step 3 rolls back to the last commit, from which the next call goes on. Where an async model stops at an entry,
 * what comes below it in order of position is committed. */
#include "projector/model/amend.h"

#include <stdlib.h>

enum { LOOKS_FREE = 4096, AMEND_SHARE = 16 };

typedef struct dbk_newcomer {
    uint8_t key[DBK_ORDER_KEY_SIZE];
    uint64_t position;
} dbk_newcomer;

typedef struct dbk_hidden { /* a patch of which some columns were set later */
    uint64_t position;
    dbk_mask columns;
} dbk_hidden;

typedef struct dbk_catch {
    dbk_model *model;
    uint64_t done, end;  /* the model's position before, the log's now */
    dbk_newcomer *items; /* in canonical order; NULL where order of position is canonical */
    uint64_t looked;     /* entries read to decide on F6 */
    uint64_t below;      /* the entries up to there sort below all that is new */
    dbk_tied tied;
    dbk_amend amend; /* rows that are made again, and how many of their entries were applied */
    size_t amended;
    dbk_buffer hidden; /* dbk_hidden …, in canonical order, and how many were met */
    size_t hid;
    dbk_log_cursor *cursor; /* where items is NULL */
    dbk_buffer origin, other;
    const dbk_trail *trail; /* of the model, which is told nothing twice */
    uint64_t told;
    uint64_t applied, highest; /* how many of the new ones, and their highest position */
    uint8_t top[DBK_ORDER_KEY_SIZE];
} dbk_catch;

static int compare_newcomers(const void *a, const void *b)
{
    return memcmp(((const dbk_newcomer *)a)->key, ((const dbk_newcomer *)b)->key, DBK_ORDER_KEY_SIZE);
}

static dbk_result order_key_of(dbk_slice origin, uint8_t key[DBK_ORDER_KEY_SIZE], dbk_error *err)
{
    dbk_entry entry;
    dbk_result result = dbk_entry_decode(origin, &entry, err);
    if (result == DBK_OK) dbk_entry_order_key(&entry, key);
    return result;
}

/* Fills `items` in order of position. */
static dbk_result list_new(dbk_catch *catch, dbk_error *err)
{
    dbk_model *model = catch->model;
    uint64_t count = catch->end - catch->done;
    dbk_log_cursor *cursor = NULL;
    catch->items = dbk_alloc_zero(model->port, count, sizeof *catch->items);
    if (!catch->items) {
        return dbk_fail(err, DBK_NO_MEMORY, "out of memory for the order of %llu entries", (unsigned long long)count);
    }
    dbk_result result = dbk_log_cursor_open(model->log, catch->done + 1, catch->end, &cursor, err);
    for (uint64_t i = 0; result == DBK_OK && i < count; i++) {
        dbk_slice origin;
        int64_t received_ms;
        result = dbk_log_cursor_next(cursor, &catch->items[i].position, &received_ms, &origin, err);
        if (result == DBK_END)
            result = dbk_fail(err, DBK_GAP, "the log ends before position %llu", (unsigned long long)catch->end);
        if (result == DBK_OK) result = order_key_of(origin, catch->items[i].key, err);
    }
    dbk_log_cursor_close(cursor);
    return result;
}

/* The new entries in canonical order; `items` stays NULL where that is the order of their positions and
 * all sort above the model. */
static dbk_result order_new(dbk_catch *catch, dbk_error *err)
{
    if (dbk_log_is_ordered(catch->model->log)) return DBK_OK;
    dbk_result result = list_new(catch, err);
    if (result != DBK_OK) return result;
    uint64_t count = catch->end - catch->done;
    const uint8_t *before = catch->model->state.top;
    for (uint64_t i = 0; i < count; i++) {
        if (memcmp(before, catch->items[i].key, DBK_ORDER_KEY_SIZE) >= 0) {
            qsort(catch->items, count, sizeof *catch->items, compare_newcomers);
            return DBK_OK;
        }
        before = catch->items[i].key;
    }
    dbk_free(catch->model->port, catch->items);
    catch->items = NULL;
    return DBK_OK;
}

/* Does an entry that the model has, and that sorts above `key`, name the stream? Positions say nothing
 * about order here, so every one of them is looked at. Patches under which this one fits do not count. */
static dbk_result named_later(dbk_catch *catch, dbk_slice stream, const uint8_t *key, dbk_under *under, bool *later,
                              dbk_error *err)
{
    uint64_t position = catch->done + 1;
    while (!*later) {
        dbk_log *log = catch->model->log;
        dbk_result result = dbk_log_find_stream(log, stream, position, &position, err);
        if (result != DBK_OK) return result;
        if (position <= catch->below) return DBK_OK;
        uint8_t other[DBK_ORDER_KEY_SIZE];
        dbk_entry entry;
        result = dbk_log_read(log, position, &catch->other, NULL, err);
        if (result == DBK_NONE)
            result = dbk_fail(err, DBK_GAP, "entry at position %llu is missing", (unsigned long long)position);
        if (result == DBK_OK) result = dbk_entry_decode(dbk_buffer_slice(&catch->other), &entry, err);
        if (result != DBK_OK) return result;
        dbk_entry_order_key(&entry, other);
        catch->looked++;
        if (memcmp(other, key, DBK_ORDER_KEY_SIZE) < 0) continue;
        if (under->possible) result = dbk_under_take(catch->model, &entry, stream, under, err);
        if (result != DBK_OK) return result;
        *later = !under->possible;
    }
    return DBK_OK;
}

dbk_result dbk_model_shares_id(dbk_log *log, dbk_slice command_id, bool *shared, dbk_error *err)
{
    uint64_t position = 0;
    *shared = false;
    if (command_id.size == 0) return DBK_OK;
    dbk_result result = dbk_log_find_command(log, command_id, 0, &position, err);
    if (result == DBK_OK && position > 1) result = dbk_log_find_command(log, command_id, position, &position, err);
    else position = 0;
    *shared = position != 0;
    return result;
}

/* Of a table with projections on its events other rows depend; a stream that does not say its row is read by nobody. */
bool dbk_event_is_local(dbk_model *model, const dbk_event *event)
{
    const dbk_table *table;
    dbk_row_op op;
    dbk_slice key;
    return !dbk_event_is_engine(event) && dbk_definition_row_event(model->definition, event->type, &table, &op) &&
           table->row_local && dbk_project_count(model, event->type) == 0 && dbk_row_key_of(table, event->stream, &key);
}

static dbk_result hide(dbk_catch *catch, uint64_t position, const dbk_under *under, dbk_error *err)
{
    dbk_hidden hidden = {position, under->columns};
    dbk_buffer_put(&catch->hidden, &hidden, sizeof hidden);
    return catch->hidden.failed ? dbk_row_no_memory(err) : DBK_OK;
}

/* The entry touches a table with ties, and its command id is its own. */
static dbk_result fits_tied(dbk_catch *catch, const dbk_newcomer *item, const dbk_entry *entry, bool *fits,
                            dbk_error *err)
{
    dbk_under under;
    dbk_event event;
    bool named = false, later = false;
    dbk_slice rest = entry->events;
    dbk_result result = dbk_tied_fits(&catch->tied, entry, item->key, catch->below, &under, fits, &named, err);
    if (result != DBK_OK || !*fits || !named || !dbk_event_next(&rest, &event)) return result;
    result = named_later(catch, event.stream, item->key, &under, &later, err);
    *fits = !later;
    return result == DBK_OK && *fits && under.count > 0 ? hide(catch, item->position, &under, err) : result;
}

/* F6: only rows of row-local tables (or engine events), and a command id of its own. Streams that a later entry
 * names, whether that one applied or not, are rows to be made again. */
static dbk_result is_row_local(dbk_catch *catch, const dbk_newcomer *item, bool *local, dbk_error *err)
{
    dbk_model *model = catch->model;
    dbk_entry entry;
    dbk_under under;
    bool other = false, tied = false;
    *local = false;
    dbk_result result = dbk_log_read(model->log, item->position, &catch->origin, NULL, err);
    if (result == DBK_NONE)
        result = dbk_fail(err, DBK_GAP, "entry at position %llu is missing", (unsigned long long)item->position);
    if (result == DBK_OK) result = dbk_entry_decode(dbk_buffer_slice(&catch->origin), &entry, err);
    if (result != DBK_OK) return result;
    dbk_event event;
    for (dbk_slice rest = entry.events; dbk_event_next(&rest, &event);) {
        if (dbk_event_is_engine(&event)) continue;
        if (dbk_row_is_async(model) && dbk_project_count(model, event.type) == 0) continue;
        if (dbk_event_is_local(model, &event)) continue;
        if (!dbk_event_is_tied(model, &event)) return DBK_OK;
        tied = true;
    }
    result = dbk_model_shares_id(model->log, entry.command_id, &other, err);
    if (tied) return result == DBK_OK && !other ? fits_tied(catch, item, &entry, local, err) : result;
    if (result == DBK_OK) result = dbk_under_begin(model, &entry, &under, err);
    *local = !other;
    bool elsewhere = dbk_row_is_async(model); /* none of its rows: later ones do not matter */
    for (dbk_slice rest = entry.events; result == DBK_OK && *local && !elsewhere && dbk_event_next(&rest, &event);) {
        bool later = false;
        result = named_later(catch, event.stream, item->key, &under, &later, err);
        if (later && dbk_event_is_engine(&event)) *local = false;
        else if (result == DBK_OK && later) result = dbk_amend_add(&catch->amend, event.stream, err);
    }
    return result == DBK_OK && under.possible && under.count > 0 ? hide(catch, item->position, &under, err) : result;
}

static bool is_late(const dbk_catch *catch, const dbk_newcomer *item)
{
    return memcmp(item->key, catch->model->state.top, DBK_ORDER_KEY_SIZE) < 0;
}

/* Deciding by reading much more than a shadow would read is no gain: the answer is "yes" then, which is always safe. */
static dbk_result needs_shadow(dbk_catch *catch, bool *shadow, dbk_error *err)
{
    uint64_t count = catch->items ? catch->end - catch->done : 0;
    bool local = true;
    dbk_result result = DBK_OK;
    if (count > 0 && is_late(catch, catch->items))
        result = dbk_log_all_below(catch->model->log, catch->items->key, &catch->below, err);
    for (uint64_t i = 0; result == DBK_OK && local && i < count && is_late(catch, &catch->items[i]); i++) {
        result = is_row_local(catch, &catch->items[i], &local, err);
        local = local && catch->looked <= catch->done + LOOKS_FREE;
    }
    if ((catch->amend.seen || catch->hidden.size) && catch->trail)
        local = false; /* it would be told of what it knows */
    if (result == DBK_OK && local) result = dbk_amend_complete(&catch->amend, &local, err);
    *shadow = !local;
    return result;
}

/* One that the log does not have yet, and that sorts below the model's top. Of row-local tables alone nothing is said: what
 * these take is found as they are folded. */
static dbk_result foresee_one(dbk_catch *catch, const dbk_newcomer *item, const dbk_entry *entry, bool *fits,
                              dbk_error *err)
{
    uint64_t other = 0;
    dbk_event event;
    bool tied = false;
    dbk_result result = DBK_OK;
    for (dbk_slice rest = entry->events; dbk_event_next(&rest, &event);)
        tied = tied || dbk_event_is_tied(catch->model, &event);
    if (!tied) return DBK_OK;
    if (entry->command_id.size > 0) result = dbk_log_find_command(catch->model->log, entry->command_id, 0, &other, err);
    *fits = other == 0;
    return result == DBK_OK && *fits ? fits_tied(catch, item, entry, fits, err) : result;
}

dbk_result dbk_model_foresee(dbk_model *model, const dbk_slice *origins, size_t count, bool *fits, dbk_error *err)
{
    dbk_catch catch = {.model = model, .done = model->state.position, .end = model->state.position};
    dbk_result result = DBK_OK;
    *fits = true;
    dbk_buffer_init(&catch.other, model->port);
    dbk_buffer_init(&catch.hidden, model->port);
    dbk_tied_init(&catch.tied, model, &catch.looked);
    for (size_t i = 0; result == DBK_OK && *fits && i < count; i++) {
        dbk_newcomer item = {.position = model->state.position + 1 + i};
        dbk_entry entry;
        result = dbk_entry_decode(origins[i], &entry, err);
        if (result != DBK_OK) break;
        dbk_entry_order_key(&entry, item.key);
        if (!is_late(&catch, &item)) break;
        if (i == 0) result = dbk_log_all_below(model->log, item.key, &catch.below, err);
        if (result == DBK_OK) result = foresee_one(&catch, &item, &entry, fits, err);
        *fits = *fits && catch.looked <= catch.done + LOOKS_FREE;
    }
    dbk_tied_release(&catch.tied);
    dbk_buffer_release(&catch.other);
    dbk_buffer_release(&catch.hidden);
    return result;
}

/* The next of those that are applied again, where it sorts below what is new. */
static const dbk_again *next_again(const dbk_catch *catch)
{
    if (catch->amended == dbk_amend_count(&catch->amend)) return NULL;
    const dbk_again *again = dbk_amend_at(&catch->amend, catch->amended);
    bool last = catch->applied == catch->end - catch->done;
    return last || memcmp(again->key, catch->items[catch->applied].key, DBK_ORDER_KEY_SIZE) < 0 ? again : NULL;
}

static dbk_result next_new(dbk_catch *catch, uint64_t *position, dbk_slice *origin, dbk_error *err)
{
    int64_t received_ms;
    dbk_result result;
    if (catch->items) {
        *position = catch->items[catch->applied].position;
        result = dbk_log_read(catch->model->log, *position, &catch->origin, NULL, err);
        *origin = dbk_buffer_slice(&catch->origin);
    } else {
        result = dbk_log_cursor_next(catch->cursor, position, &received_ms, origin, err);
    }
    if (result > DBK_OK) {
        return dbk_fail(err, DBK_GAP, "the log ends before position %llu", (unsigned long long)catch->end);
    }
    return result;
}

static dbk_result apply_again(dbk_catch *catch, const dbk_again *again, dbk_error *err)
{
    dbk_result result = dbk_log_read(catch->model->log, again->position, &catch->origin, NULL, err);
    if (result == DBK_OK)
        result = dbk_model_apply(catch->model, again->position, dbk_buffer_slice(&catch->origin), err);
    if (result == DBK_OK) catch->amended++;
    return result;
}

/* Where its row is made again all that names it is applied as it is. */
static const dbk_mask *hidden_of(dbk_catch *catch, uint64_t position, dbk_slice origin)
{
    const dbk_hidden *items = (const dbk_hidden *)(const void *)catch->hidden.data;
    dbk_entry entry;
    dbk_event event;
    if (catch->hid == catch->hidden.size / sizeof *items || items[catch->hid].position != position) return NULL;
    const dbk_mask *columns = &items[catch->hid++].columns;
    bool whole = dbk_entry_decode(origin, &entry, NULL) != DBK_OK || !dbk_event_next(&entry.events, &event) ||
                 dbk_amend_has(&catch->amend, event.stream);
    return whole ? NULL : columns;
}

static dbk_result apply_next(dbk_catch *catch, dbk_error *err)
{
    const dbk_again *again = next_again(catch);
    if (again) return apply_again(catch, again, err);
    uint64_t position;
    dbk_slice origin;
    uint8_t key[DBK_ORDER_KEY_SIZE];
    dbk_result result = next_new(catch, &position, &origin, err);
    if (result == DBK_OK) result = order_key_of(origin, key, err);
    catch->model->trail = catch->applied < catch->told ? NULL : catch->trail;
    if (result == DBK_OK) {
        catch->model->hidden = hidden_of(catch, position, origin);
        result = dbk_model_apply(catch->model, position, origin, err);
        catch->model->hidden = NULL;
    }
    if (result != DBK_OK) return result;
    catch->applied++;
    if (position > catch->highest) catch->highest = position;
    if (memcmp(key, catch->top, sizeof key) > 0) memcpy(catch->top, key, sizeof key);
    return DBK_OK;
}

/* The entry after those that were applied is the one the model stops at, and none below it is missing. */
static bool may_end_here(const dbk_catch *catch)
{
    return catch->model->stop.position > 0 && dbk_model_in_transaction(catch->model) &&
           catch->highest == catch->done + catch->applied;
}

/* No position is missing below one that was applied, and no row waits for its entries. */
static bool may_commit_here(const dbk_catch *catch)
{
    return catch->highest == catch->done + catch->applied && catch->amended == dbk_amend_count(&catch->amend);
}

/* One transaction: `entries` of them (0: all), and on to the next point at which it may end: a state in between would
 * be none of the log. */
static dbk_result apply_some(dbk_catch *catch, uint32_t entries, dbk_changes *changes, dbk_error *err)
{
    dbk_model *model = catch->model;
    uint8_t head[DBK_LEAF_SIZE];
    uint64_t count = catch->end - catch->done, applied = 0;
    dbk_result stopped = DBK_OK, result = dbk_model_begin(model, err);
    if (result != DBK_OK) return result;
    if (catch->applied == 0) result = dbk_amend_clear(&catch->amend, err);
    while (result == DBK_OK && (catch->applied < count || next_again(catch))) {
        if (entries && applied >= entries && may_commit_here(catch)) break;
        result = apply_next(catch, err);
        if (result == DBK_OK) applied++;
    }
    if (result != DBK_OK && applied > 0 && may_end_here(catch)) {
        stopped = result;
        result = DBK_OK;
        err = NULL;
    }
    if (result == DBK_OK) result = dbk_log_head_at(model->log, catch->highest, head, err);
    if (result == DBK_NONE) {
        result = dbk_fail(err, DBK_GAP, "the log has no head at position %llu", (unsigned long long)catch->highest);
    }
    if (result == DBK_OK && (catch->amend.seen || catch->hidden.size)) result = dbk_amend_keep_net(&catch->amend, err);
    if (result == DBK_OK) result = dbk_model_commit(model, catch->highest, head, catch->top, changes, err);
    if (result != DBK_OK || stopped == DBK_OK) {
        if (result != DBK_OK) dbk_model_rollback(model);
        return result;
    }
    return stopped;
}

static bool is_halted(const dbk_model *model)
{
    return model->options.halt && atomic_load_explicit(model->options.halt, memory_order_relaxed);
}

static dbk_result apply_all(dbk_catch *catch, uint32_t entries, dbk_model_changed_fn changed, dbk_progress_fn progress,
                            void *arg, dbk_error *err)
{
    dbk_model *model = catch->model;
    dbk_result result = DBK_OK;
    uint64_t count = catch->end - catch->done;
    memcpy(catch->top, model->state.top, sizeof catch->top);
    if (!catch->items) result = dbk_log_cursor_open(model->log, catch->done + 1, catch->end, &catch->cursor, err);
    model->wanted_last = catch->end;
    while (result == DBK_OK && catch->applied < count) {
        dbk_changes changes = {0};
        result = apply_some(catch, entries, &changes, err);
        if (result != DBK_OK) break;
        if (changed) changed(arg, &changes);
        if (progress) progress(arg, catch->applied, count);
        if (is_halted(model)) result = dbk_fail(err, DBK_UNAVAILABLE, "the fold was halted");
    }
    model->wanted_last = 0;
    return result;
}

uint64_t dbk_model_amended(const dbk_model *model)
{
    return model->amended;
}

void dbk_model_doubt(dbk_model *model)
{
    model->doubted = true;
}

/* What is new up to the position `last` (0: the end). */
typedef struct dbk_call {
    uint64_t last;
    uint32_t entries;
    dbk_model_changed_fn changed;
    dbk_progress_fn progress;
    void *arg;
} dbk_call;

static dbk_result catch_up_once(dbk_model *model, const dbk_call *call, uint64_t *told, bool *shadow, dbk_error *err)
{
    dbk_catch catch = {.model = model, .done = model->state.position, .end = dbk_log_position(model->log)};
    *shadow = false;
    catch.trail = model->trail;
    catch.told = *told > catch.done ? *told - catch.done : 0;
    if (catch.end < catch.done) {
        return dbk_fail(err, DBK_LOST, "the model is at position %llu, but the log ends at %llu",
                        (unsigned long long)catch.done, (unsigned long long)catch.end);
    }
    if (call->last && call->last < catch.end) catch.end = call->last > catch.done ? call->last : catch.done;
    if (catch.end == catch.done) return DBK_OK;
    dbk_buffer_init(&catch.origin, model->port);
    dbk_buffer_init(&catch.other, model->port);
    dbk_buffer_init(&catch.hidden, model->port);
    dbk_amend_init(&catch.amend, model, LOOKS_FREE + catch.done / AMEND_SHARE);
    dbk_tied_init(&catch.tied, model, &catch.looked);
    dbk_result result = order_new(&catch, err);
    if (result == DBK_OK) result = needs_shadow(&catch, shadow, err);
    if (result == DBK_OK && model->doubted && catch.items) *shadow = true;
    if (result == DBK_OK && !*shadow)
        result = apply_all(&catch, call->entries, call->changed, call->progress, call->arg, err);
    if (result == DBK_OK) model->doubted = false;
    model->amended += catch.amended;
    if (catch.done + catch.applied > *told) *told = catch.done + catch.applied;
    model->trail = catch.trail;
    dbk_log_cursor_close(catch.cursor);
    dbk_buffer_release(&catch.origin);
    dbk_buffer_release(&catch.other);
    dbk_amend_release(&catch.amend);
    dbk_tied_release(&catch.tied);
    dbk_buffer_release(&catch.hidden);
    dbk_free(model->port, catch.items);
    return result;
}

/* An entry whose projection had to be stopped cost the transaction; it is known now, and skipped. */
static dbk_result catch_up(dbk_model *model, const dbk_call *call, bool *shadow, dbk_error *err)
{
    uint64_t told = 0;
    size_t known;
    dbk_result result;
    do {
        known = model->endless.size;
        result = catch_up_once(model, call, &told, shadow, err);
    } while (result == DBK_BUSY && model->endless.size > known);
    return result;
}

dbk_result dbk_model_catch_up(dbk_model *model, uint32_t entries, dbk_model_changed_fn changed,
                              dbk_progress_fn progress, void *arg, bool *shadow, dbk_error *err)
{
    dbk_call call = {.entries = entries, .changed = changed, .progress = progress, .arg = arg};
    return catch_up(model, &call, shadow, err);
}

/* Where the entry it stops at sorts before others that were to come with it, or cost the transaction, the ones
 * below its position are folded without it. One of them may be the next to stop at. */
dbk_result dbk_model_keep_up(dbk_model *model, uint64_t last, uint32_t entries, bool *shadow, dbk_error *err)
{
    dbk_call call = {.last = last, .entries = entries};
    *shadow = false;
    model->stop = (dbk_model_stop){0};
    dbk_result result = dbk_orders_read(model, shadow, err);
    if (result != DBK_OK || *shadow) return result;
    result = catch_up(model, &call, shadow, err);
    while (result != DBK_OK && model->stop.position > model->state.position + 1 && !*shadow) {
        dbk_model_stop stop = model->stop;
        dbk_error other = {0};
        model->stop = (dbk_model_stop){0};
        call.last = stop.position - 1;
        dbk_result again = catch_up(model, &call, shadow, &other);
        if (again == DBK_OK) {
            model->stop = stop;
            break;
        }
        result = again;
        if (err) *err = other;
    }
    return result;
}
