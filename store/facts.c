/* Facts of other replicas (semantics.md §4): what is next of its author is logged in canonical order, the rest waits in
 * memory before the log.
 *   1. all that waits and all that came, one of each id
 *   2. what the log has goes, or is a fork: then nothing of the round is logged
 *   3. by order key: foreign and invalid ones go, the next of each author are taken, the others wait
 *   4. slice by slice, each in a turn of its own: append, then the model, so that it stands at the end of the log
 *      whenever somebody decides; behind the last one the new list of those that wait
 *
 * 1 to 3 run beside the turns, by one import at a time: nobody else logs facts of others. Where the model needs a
 * shadow, all that is left comes with it into one turn: a shadow for each slice would take longer than it saves. */
#include <stdlib.h>

#include "store/checkpoint.h"
#include "store/disk.h"
#include "store/late_base.h"
#include "store/request.h"
#include "store/switch.h"
#include "store/turn.h"
#include "store/waits.h"

static const uint64_t DAY_MS = 86400000, YEAR_2200_MS = 7258118400000;
enum {
    BATCH_MAX_BYTES = 32 * 1024 * 1024 /* of one append */,
    SLICE_FACTS = 128,
    SLICE_FACTS_LEAST = 8,
    SLICE_BYTES = 256 * 1024,
    AMENDED_MIN = 65536,
    AMENDED_SHARE = 2, /* of the log: more is not applied again for a round before a shadow is tried */
    PARKED_MAX = 100000,
    PARKED_MAX_BYTES = 64 * 1024 * 1024
};
/* The fold of a slice that takes longer makes the next one smaller, one that takes less than half of it larger. */
static const int64_t FOLD_NS = 6000000;

typedef enum dbk_fact_fate { FACT_WAITS, FACT_TAKEN, FACT_GONE } dbk_fact_fate;

typedef struct dbk_fact {
    dbk_slice origin;
    dbk_entry_id id;
    uint8_t key[DBK_ORDER_KEY_SIZE];
    size_t arrival; /* of several with one id the last counts */
    uint32_t author;
    uint64_t time_ms; /* of the hlc */
    bool own_lineage, needs_key;
    dbk_fact_fate fate;
} dbk_fact;

typedef struct dbk_round {
    dbk_engine *engine;
    dbk_fact *facts;
    uint64_t *next_seq; /* per author */
    dbk_slice *origins; /* of those that are taken */
    size_t count, taken;
    int64_t now_ms;
    bool has_own;       /* some taken one bears the store's own name */
    dbk_buffer waiting; /* u32 length + origin bytes of those that wait from now on */
    size_t waiting_count;
    uint64_t dropped;                /* for want of room among them */
    size_t logged;                   /* of those taken */
    size_t most;                     /* facts of the next slice */
    uint64_t amended;                /* the model's count before the first slice */
    uint8_t low[DBK_ORDER_KEY_SIZE]; /* of the next one */
    bool wants_base, asked_base;     /* the next slice takes a shadow; it was begun, or cannot be */
} dbk_round;

static bool needs_key(const dbk_entry *entry)
{
    dbk_slice rest = entry->events;
    for (dbk_event event; dbk_event_next(&rest, &event);)
        if (event.key_id.size > 0) return true;
    return false;
}

static dbk_result add_fact(dbk_round *round, dbk_slice origin, dbk_error *err)
{
    dbk_fact *fact = &round->facts[round->count];
    dbk_entry entry;
    dbk_result result = dbk_entry_decode(origin, &entry, err);
    if (result != DBK_OK) return dbk_error_wrap(err, result, "fact %zu", round->count + 1);
    *fact = (dbk_fact){.origin = origin, .id = entry.id, .arrival = round->count, .time_ms = entry.hlc >> 16};
    fact->own_lineage = memcmp(entry.lineage, round->engine->identity.lineage, 16) == 0;
    fact->needs_key = needs_key(&entry);
    dbk_entry_order_key(&entry, fact->key);
    round->count++;
    return DBK_OK;
}

static int compare_authors(const dbk_entry_id *a, const dbk_entry_id *b)
{
    int order = memcmp(a->replica, b->replica, 16);
    return order ? order : (a->incarnation > b->incarnation) - (a->incarnation < b->incarnation);
}

/* By author, seq, and the one that came last first. */
static int compare_ids(const void *left, const void *right)
{
    const dbk_fact *a = left, *b = right;
    int order = compare_authors(&a->id, &b->id);
    if (order == 0) order = (a->id.seq > b->id.seq) - (a->id.seq < b->id.seq);
    return order ? order : (a->arrival < b->arrival) - (a->arrival > b->arrival);
}

static int compare_keys(const void *left, const void *right)
{
    return memcmp(((const dbk_fact *)left)->key, ((const dbk_fact *)right)->key, DBK_ORDER_KEY_SIZE);
}

/* All that waits and all that came, one of each id, with the number of its author. */
static dbk_result gather(dbk_round *round, const dbk_slice *origins, size_t count, dbk_error *err)
{
    dbk_engine *engine = round->engine;
    size_t most = engine->parked.count + count;
    round->facts = dbk_alloc_zero(engine->port, most + 1, sizeof *round->facts);
    round->next_seq = dbk_alloc_zero(engine->port, most + 1, sizeof *round->next_seq);
    round->origins = dbk_alloc_zero(engine->port, most + 1, sizeof *round->origins);
    if (!round->facts || !round->next_seq || !round->origins)
        return dbk_fail(err, DBK_NO_MEMORY, "no memory for %zu facts", most);
    dbk_result result = DBK_OK;
    dbk_reader parked = dbk_reader_of(dbk_buffer_slice(&engine->parked.bytes));
    for (size_t i = 0; result == DBK_OK && i < engine->parked.count; i++) {
        uint32_t size = dbk_reader_u32(&parked);
        result = add_fact(round, dbk_reader_take(&parked, size), err);
    }
    for (size_t i = 0; result == DBK_OK && i < count; i++) result = add_fact(round, origins[i], err);
    if (result != DBK_OK) return result;
    if (round->count) qsort(round->facts, round->count, sizeof *round->facts, compare_ids);
    size_t kept = 0;
    uint32_t authors = 0;
    for (size_t i = 0; i < round->count; i++) {
        if (kept && dbk_entry_id_equal(&round->facts[kept - 1].id, &round->facts[i].id)) continue;
        if (kept && compare_authors(&round->facts[kept - 1].id, &round->facts[i].id) == 0) authors--;
        round->facts[kept] = round->facts[i];
        round->facts[kept++].author = authors++;
    }
    round->count = kept;
    return DBK_OK;
}

static dbk_result check_known(dbk_round *round, dbk_buffer *logged, dbk_fact *fact, dbk_error *err)
{
    dbk_log *log = round->engine->log;
    char id[DBK_ENTRY_ID_TEXT_SIZE];
    uint64_t position = 0;
    dbk_result result = dbk_log_find_entry(log, &fact->id, &position, err);
    if (result != DBK_OK || position == 0) return result;
    result = dbk_log_read(log, position, logged, NULL, err);
    if (result != DBK_OK) return result;
    fact->fate = FACT_GONE;
    if (dbk_slice_equal(dbk_buffer_slice(logged), fact->origin)) return DBK_OK;
    dbk_entry_id_text(&fact->id, id);
    dbk_fail(err, DBK_DUPLICATE, "entry '%s' at position %llu has another content there: a fork", id,
             (unsigned long long)position);
    dbk_error_hint(err, "two stores write under one identity: let only one of them go on");
    return DBK_DUPLICATE;
}

static dbk_result drop_known(dbk_round *round, dbk_error *err)
{
    dbk_buffer logged;
    dbk_buffer_init(&logged, round->engine->port);
    dbk_result result = DBK_OK;
    for (size_t i = 0; result == DBK_OK && i < round->count; i++) {
        dbk_fact *fact = &round->facts[i];
        if (i == 0 || fact->author != round->facts[i - 1].author)
            round->next_seq[fact->author] =
                dbk_log_next_seq(round->engine->log, fact->id.replica, fact->id.incarnation);
        result = check_known(round, &logged, fact, err);
    }
    dbk_buffer_release(&logged);
    return result;
}

static bool is_own(const dbk_engine *engine, const dbk_fact *fact)
{
    return fact->id.incarnation == engine->identity.incarnation &&
           memcmp(fact->id.replica, engine->identity.replica, 16) == 0;
}

/* No ring of subject keys exists in this version, so what needs one of them waits. */
static void choose(dbk_round *round)
{
    uint64_t ahead = (uint64_t)(round->now_ms > 0 ? round->now_ms : 0) + DAY_MS;
    if (round->count) qsort(round->facts, round->count, sizeof *round->facts, compare_keys);
    for (size_t i = 0; i < round->count; i++) {
        dbk_fact *fact = &round->facts[i];
        if (fact->fate != FACT_WAITS) continue;
        if (!fact->own_lineage || fact->time_ms >= YEAR_2200_MS) {
            fact->fate = FACT_GONE;
        } else if (fact->id.seq == round->next_seq[fact->author] && fact->time_ms <= ahead && !fact->needs_key) {
            fact->fate = FACT_TAKEN;
            round->has_own |= is_own(round->engine, fact);
            round->next_seq[fact->author]++;
            round->origins[round->taken++] = fact->origin;
        }
    }
}

/* In canonical order: what waits longest for those before it goes first when there are too many. */
static dbk_result collect_waiting(dbk_round *round, dbk_error *err)
{
    dbk_engine *engine = round->engine;
    dbk_buffer *bytes = &round->waiting;
    size_t most = engine->options.parked_max ? engine->options.parked_max : PARKED_MAX;
    for (size_t i = 0; i < round->count; i++) {
        const dbk_fact *fact = &round->facts[i];
        if (fact->fate != FACT_WAITS) continue;
        if (round->waiting_count >= most || bytes->size + 4 + fact->origin.size > PARKED_MAX_BYTES) {
            round->dropped++;
            continue;
        }
        dbk_buffer_put_u32(bytes, (uint32_t)fact->origin.size);
        dbk_buffer_put_slice(bytes, fact->origin);
        round->waiting_count++;
    }
    return bytes->failed ? dbk_fail(err, DBK_NO_MEMORY, "no memory for the facts that wait") : DBK_OK;
}

static dbk_result plan(dbk_round *round, const dbk_slice *origins, size_t count, dbk_error *err)
{
    dbk_result result = gather(round, origins, count, err);
    if (result == DBK_OK) result = drop_known(round, err);
    if (result != DBK_OK) return result;
    choose(round);
    return collect_waiting(round, err);
}

static void forget(dbk_round *round)
{
    const dbk_port *port = round->engine->port;
    dbk_free(port, round->facts);
    dbk_free(port, round->next_seq);
    dbk_free(port, round->origins);
    dbk_buffer_release(&round->waiting);
    *round = (dbk_round){.engine = round->engine, .now_ms = round->now_ms, .most = round->most};
    dbk_buffer_init(&round->waiting, port);
}

/* ---- the turns; each is held in what follows */

/* How many of the next ones stay within these numbers: one at least. */
static size_t slice_end(const dbk_round *round, size_t most, size_t most_bytes)
{
    size_t bytes = 0, end = round->logged;
    while (end < round->taken && end - round->logged < most &&
           (end == round->logged || bytes + round->origins[end].size <= most_bytes))
        bytes += round->origins[end++].size;
    return end;
}

/* One write. Each batch is whole by itself: what follows it comes again. */
static dbk_result append(dbk_round *round, size_t end, dbk_error *err)
{
    dbk_engine *engine = round->engine;
    size_t first = round->logged;
    if (end == first) return DBK_OK;
    dbk_result result = dbk_engine_append(engine, round->origins + first, end - first, round->now_ms, err);
    if (result != DBK_OK) return result;
    for (size_t i = first; i < end; i++) engine->counts.bytes += round->origins[i].size;
    engine->counts.entries += end - first;
    engine->counts.batches++;
    engine->behind = true;
    round->logged = end;
    dbk_log_clock(engine->log, &engine->epoch, &engine->hlc);
    engine->next_seq = dbk_log_next_seq(engine->log, engine->identity.replica, engine->identity.incarnation);
    return DBK_OK;
}

static dbk_result append_rest(dbk_round *round, dbk_error *err)
{
    dbk_result result = DBK_OK;
    while (result == DBK_OK && round->logged < round->taken)
        result = append(round, slice_end(round, SIZE_MAX, BATCH_MAX_BYTES), err);
    return result;
}

/* The facts are durable now: whether the model can follow at once does not change that. `asks` NULL: by a shadow too;
 * else *asks says that it takes one, or failed. */
static dbk_result project(dbk_engine *engine, bool *asks, dbk_error *err)
{
    bool shadow = false;
    if (dbk_engine_stops_at(engine, "logged")) return dbk_fail(err, DBK_UNAVAILABLE, "stopped");
    dbk_result result = asks ? dbk_engine_try_catch_up(engine, &shadow, err) : dbk_engine_catch_up(engine, err);
    if (engine->dead) return dbk_fail(err, DBK_UNAVAILABLE, "stopped");
    if (asks) *asks = shadow || result != DBK_OK;
    if (result == DBK_OK || asks) return DBK_OK;
    engine->behind = true;
    if (result != DBK_NO_SPACE) engine->commit_failures++; /* it is tried again when there is room */
    return DBK_OK;
}

static bool amends_too_much(const dbk_round *round)
{
    const dbk_engine *engine = round->engine;
    uint64_t most = dbk_log_position(engine->log) / AMENDED_SHARE, done = dbk_model_amended(engine->model);
    return done > round->amended && done - round->amended > (most > AMENDED_MIN ? most : AMENDED_MIN);
}

static dbk_result may_import(dbk_engine *engine, dbk_error *err)
{
    if (engine->dead) return dbk_fail(err, DBK_UNAVAILABLE, "the store is closing");
    if (dbk_log_poisoned(engine->log)) return dbk_fail(err, DBK_POISONED, "a sync of the log failed earlier");
    if (dbk_engine_is_stranded(engine)) (void)dbk_state_resume(engine);
    dbk_result result = dbk_engine_may_write(engine, err);
    if (result != DBK_OK) return result;
    dbk_disk_look(engine);
    return engine->disk.full ? dbk_disk_refuse(engine, err) : DBK_OK;
}

/* As the next slice is tried it would be too late: a shadow is then built in the turn. What cannot be foreseen is tried. */
static bool is_foreseen(const dbk_round *round, size_t end)
{
    bool fits = true;
    dbk_result result =
        dbk_model_foresee(round->engine->model, round->origins + round->logged, end - round->logged, &fits, NULL);
    return result == DBK_OK && !fits;
}

/* A late one among them is of a kind that takes a shadow, or meets what came behind it. */
static bool takes_shadow(dbk_round *round, size_t end)
{
    dbk_engine *engine = round->engine;
    dbk_model_state state;
    dbk_model_get_state(engine->model, &state);
    for (size_t i = round->logged; i < end; i++) {
        uint8_t key[DBK_ORDER_KEY_SIZE];
        dbk_entry entry;
        if (dbk_entry_decode(round->origins[i], &entry, NULL) != DBK_OK) continue;
        dbk_entry_order_key(&entry, key);
        if (i == round->logged) memcpy(round->low, key, sizeof round->low);
        if (memcmp(key, state.top, sizeof key) > 0) break;
        if (!dbk_model_may_amend(engine->model, &entry)) return true;
    }
    return is_foreseen(round, end);
}

static void pace(dbk_round *round, int64_t fold_ns)
{
    if (round->engine->options.import_slice) return;
    if (fold_ns > FOLD_NS) round->most = round->most / 2 > SLICE_FACTS_LEAST ? round->most / 2 : SLICE_FACTS_LEAST;
    else if (fold_ns < FOLD_NS / 2) round->most += round->most / 4;
    if (round->most > SLICE_FACTS) round->most = SLICE_FACTS;
}

static dbk_result project_slice(dbk_round *round, bool *asks, dbk_error *err)
{
    const dbk_port *port = round->engine->port;
    int64_t begin_ns = port->monotonic_ns(port->ctx);
    dbk_result result = project(round->engine, asks, err);
    pace(round, port->monotonic_ns(port->ctx) - begin_ns);
    return result;
}

/* All that is left, once what a shadow needs of the log before it was folded beside the turns. */
static dbk_result take_slice(dbk_round *round, dbk_error *err)
{
    dbk_engine *engine = round->engine;
    bool whole = round->has_own || round->asked_base || engine->behind;
    size_t end = slice_end(round, whole ? SIZE_MAX : round->most, whole ? BATCH_MAX_BYTES : SLICE_BYTES);
    if (!whole && end > round->logged && (takes_shadow(round, end) || amends_too_much(round))) {
        round->wants_base = true;
        return DBK_OK;
    }
    dbk_result result = append(round, end, err);
    if (result == DBK_OK && !whole && end < round->taken) {
        result = project_slice(round, &whole, err);
        if (result != DBK_OK || !whole) return result;
    }
    if (result == DBK_OK) result = append_rest(round, err);
    return result == DBK_OK ? project(engine, NULL, err) : result;
}

static void keep_waiting(dbk_round *round)
{
    dbk_engine *engine = round->engine;
    dbk_buffer_release(&engine->parked.bytes);
    engine->parked.bytes = round->waiting;
    engine->parked.count = round->waiting_count;
    engine->parked.dropped += round->dropped;
    dbk_buffer_init(&round->waiting, engine->port);
    engine->counts.imports++;
}

/* Between the check and the append of a fact under the store's own name a decision may take its place: all in one. */
static dbk_result run_turn(dbk_round *round, const dbk_slice *origins, size_t count, dbk_error *err)
{
    dbk_result result = may_import(round->engine, err);
    if (result == DBK_OK && round->has_own) {
        forget(round);
        result = plan(round, origins, count, err);
    }
    if (result == DBK_OK) result = take_slice(round, err);
    if (result == DBK_OK && round->logged == round->taken) keep_waiting(round);
    return result;
}

/* The rest of the round with a shadow, of which as much as can be is folded first, and removed afterwards what it
 * replaced. Where there is no such beginning the shadow is built in the turn. */
static dbk_result take_with_base(dbk_round *round, const dbk_slice *origins, size_t count, dbk_error *err)
{
    dbk_engine *engine = round->engine;
    const dbk_port *port = engine->port;
    dbk_base base;
    round->asked_base = true;
    round->wants_base = false;
    port->mutex_lock(port->ctx, engine->switch_lock);
    bool made = dbk_base_make(engine, round->low, round->origins + round->logged, round->taken - round->logged, &base,
                              NULL) == DBK_OK;
    port->mutex_lock(port->ctx, engine->turn);
    uint64_t rebuilds = engine->counts.rebuilds;
    engine->base = made ? &base : NULL;
    engine->keeps_superseded = true;
    dbk_result result = run_turn(round, origins, count, err);
    engine->base = NULL;
    engine->keeps_superseded = false;
    bool adopted = engine->counts.rebuilds > rebuilds && !engine->dead;
    char *path = adopted ? dbk_copy_text(port, dbk_model_path(engine->model)) : NULL;
    port->mutex_unlock(port->ctx, engine->turn);
    if (path) dbk_checkpoint_beside(engine->checkpointer, path);
    dbk_free(port, path);
    if (adopted) (void)!dbk_engine_settle(engine, true, NULL);
    dbk_base_drop(engine, &base);
    port->mutex_unlock(port->ctx, engine->switch_lock);
    return result;
}

/* What the first slice will ask of the log's index, and who reads the answer first opens and reads files: beside the
 * turns here. */
static void warm_up(const dbk_round *round)
{
    dbk_log *log = round->engine->log;
    uint64_t last = dbk_log_position(log), position;
    size_t end = slice_end(round, round->most, SLICE_BYTES);
    dbk_buffer origin;
    if (end <= SLICE_FACTS_LEAST) return;
    dbk_buffer_init(&origin, round->engine->port);
    for (size_t i = 0; i < end; i++) {
        uint8_t key[DBK_ORDER_KEY_SIZE];
        dbk_entry entry;
        dbk_event event;
        if (dbk_entry_decode(round->origins[i], &entry, NULL) != DBK_OK) continue;
        dbk_entry_order_key(&entry, key);
        if (i == 0) (void)!dbk_log_all_below(log, key, &position, NULL);
        for (dbk_slice rest = entry.events; dbk_event_next(&rest, &event);)
            if (dbk_log_find_stream(log, event.stream, last + 1, &position, NULL) == DBK_OK && position > 0)
                (void)!dbk_log_read(log, position, &origin, NULL, NULL);
    }
    dbk_buffer_release(&origin);
}

static dbk_result run_round(dbk_round *round, const dbk_slice *origins, size_t count, dbk_error *err)
{
    dbk_engine *engine = round->engine;
    const dbk_port *port = engine->port;
    dbk_request_enter(engine);
    round->most = engine->options.import_slice ? engine->options.import_slice : SLICE_FACTS;
    dbk_result result = plan(round, origins, count, err);
    if (result == DBK_OK) warm_up(round);
    dbk_request_leave(engine);
    if (result != DBK_OK) return result;
    do {
        dbk_checkpoint_await(engine->checkpointer);
        if (round->logged > 0) dbk_engine_let_others(engine);
        port->mutex_lock(port->ctx, engine->turn);
        if (round->logged == 0 && engine->model) round->amended = dbk_model_amended(engine->model);
        result = run_turn(round, origins, count, err);
        port->mutex_unlock(port->ctx, engine->turn);
        if (result == DBK_OK && round->wants_base) result = take_with_base(round, origins, count, err);
    } while (result == DBK_OK && round->logged < round->taken);
    return result;
}

dbk_result dbk_engine_import(dbk_engine *engine, const dbk_slice *origins, size_t count, int64_t now_ms,
                             uint64_t *logged, uint64_t *parked, dbk_error *err)
{
    const dbk_port *port = engine->port;
    dbk_round round = {.engine = engine, .now_ms = now_ms};
    dbk_buffer_init(&round.waiting, port);
    if (logged) *logged = 0;
    port->mutex_lock(port->ctx, engine->import_lock);
    port->mutex_lock(port->ctx, engine->turn);
    dbk_result result = may_import(engine, err);
    port->mutex_unlock(port->ctx, engine->turn);
    if (result == DBK_OK) {
        atomic_store(&engine->importing, true);
        result = run_round(&round, origins, count, err);
        atomic_store(&engine->importing, false);
    }
    if (parked) *parked = engine->parked.count;
    if (result == DBK_OK && logged) *logged = round.taken;
    forget(&round);
    port->mutex_unlock(port->ctx, engine->import_lock);
    return result;
}
