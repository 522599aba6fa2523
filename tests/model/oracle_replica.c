#include "tests/model/oracle.h"

#include <stdio.h>
#include <stdlib.h>

static const int64_t DAY_MS = 86400000, YEAR_2200_MS = 7258118400000;

/* ---- entries */

static int order_of(uint64_t a, uint64_t b)
{
    return (a > b) - (a < b);
}

int o_entry_order(const o_entry *a, const o_entry *b)
{
    int order = order_of(a->epoch, b->epoch);
    if (!order) order = order_of(a->hlc, b->hlc);
    if (!order) order = memcmp(a->replica, b->replica, sizeof a->replica);
    if (!order) order = order_of(a->incarnation, b->incarnation);
    return order ? order : order_of(a->seq, b->seq);
}

void o_entry_name(o_entry *entry)
{
    char hex[33];
    dbk_hex_encode(dbk_slice_of(entry->replica, 16), hex);
    entry->id = o_format("%s.%u.%llu", hex, entry->incarnation, (unsigned long long)entry->seq);
}

static bool same_author(const o_entry *entry, const uint8_t id[16], uint32_t incarnation)
{
    return memcmp(entry->replica, id, 16) == 0 && entry->incarnation == incarnation;
}

/* ---- a log */

o_replica *o_replica_new(const char *name, const uint8_t id[16], uint32_t incarnation, const o_definition *definition)
{
    o_replica *replica = o_take(sizeof *replica);
    replica->name = o_text(name);
    memcpy(replica->id, id, 16);
    replica->incarnation = incarnation;
    replica->definition = definition;
    replica->state = o_take(sizeof *replica->state);
    o_state_init(replica->state, definition);
    return replica;
}

void o_append(o_replica *replica, const o_entry *entry, int64_t now_ms)
{
    if (replica->position == O_ENTRIES) o_die("too many entries");
    int64_t last = replica->position ? replica->received[replica->position - 1] : 0;
    replica->received[replica->position] = now_ms > last ? now_ms : last;
    replica->log[replica->position++] = entry;
    if (entry->epoch > replica->epoch || (entry->epoch == replica->epoch && entry->hlc > replica->hlc)) {
        replica->epoch = entry->epoch;
        replica->hlc = entry->hlc;
    }
}

uint64_t o_position_of(const o_replica *replica, const o_entry *entry)
{
    for (uint64_t i = replica->position; i > 0; i--)
        if (replica->log[i - 1] == entry) return i;
    return 0;
}

uint64_t o_next_seq(const o_replica *replica, const uint8_t id[16], uint32_t incarnation)
{
    uint64_t next = 1;
    for (uint64_t i = 0; i < replica->position; i++)
        if (same_author(replica->log[i], id, incarnation) && replica->log[i]->seq >= next)
            next = replica->log[i]->seq + 1;
    return next;
}

uint64_t o_named(const o_replica *replica, const char *stream)
{
    for (uint64_t i = replica->position; i > 0; i--)
        for (int k = 0; k < replica->log[i - 1]->event_count; k++)
            if (replica->log[i - 1]->events[k].stream == stream) return i;
    return 0;
}

uint64_t o_version(const o_replica *replica, const char *stream, int table, const char *key)
{
    uint64_t named = o_named(replica, stream);
    const o_record *record = table < 0 ? NULL : o_record_find(replica->state, table, key);
    return record && record->version > named ? record->version : named;
}

/* ---- folds */

static int by_order(const void *a, const void *b)
{
    return o_entry_order(((const o_wanted *)a)->entry, ((const o_wanted *)b)->entry);
}

static bool is_wanted(const o_replica *replica, const o_moment *moment, uint64_t position)
{
    const o_entry *entry = replica->log[position - 1];
    if (moment->by_position) return position <= moment->position;
    if (moment->by_received) return replica->received[position - 1] <= moment->time_ms;
    if (moment->by_order) return (int64_t)(entry->hlc >> 16) <= moment->time_ms;
    return !moment->below || o_entry_order(entry, moment->entry) < 0;
}

size_t o_wanted_of(const o_replica *replica, const o_moment *moment, o_wanted *out)
{
    size_t count = 0;
    for (uint64_t position = 1; position <= replica->position; position++)
        if (is_wanted(replica, moment, position)) out[count++] = (o_wanted){replica->log[position - 1], position};
    qsort(out, count, sizeof *out, by_order);
    return count;
}

static void fold(o_state *state, const o_replica *replica, const o_moment *moment)
{
    static o_wanted all[O_ENTRIES];
    size_t count = o_wanted_of(replica, moment, all);
    for (size_t i = 0; i < count; i++) o_apply(state, all[i].entry, all[i].position);
}

o_state *o_as_of(const o_replica *replica, const o_moment *moment, const o_definition *definition)
{
    o_state *state = malloc(sizeof *state);
    if (!state) o_die("out of memory");
    o_state_init(state, definition);
    fold(state, replica, moment);
    return state;
}

void o_state_free(o_state *state)
{
    free(state);
}

void o_refold(o_replica *replica)
{
    replica->applied = 0;
    o_catch_up(replica);
}

static void note_top(o_replica *replica)
{
    replica->top = NULL;
    for (uint64_t i = 0; i < replica->position; i++)
        if (!replica->top || o_entry_order(replica->log[i], replica->top) > 0) replica->top = replica->log[i];
    replica->applied = replica->position;
}

/* From the position of the state to the end of the log. */
void o_catch_up(o_replica *replica)
{
    bool late = false;
    if (replica->applied == 0) {
        o_state_init(replica->state, replica->definition);
        fold(replica->state, replica, &(o_moment){0});
        note_top(replica);
        return;
    }
    for (uint64_t i = replica->applied; i < replica->position; i++)
        late = late || o_entry_order(replica->log[i], replica->top) < 0;
    if (late) {
        o_refold(replica);
        return;
    }
    static o_wanted all[O_ENTRIES];
    size_t count = 0;
    for (uint64_t i = replica->applied; i < replica->position; i++) all[count++] = (o_wanted){replica->log[i], i + 1};
    qsort(all, count, sizeof *all, by_order);
    for (size_t i = 0; i < count; i++) o_apply(replica->state, all[i].entry, all[i].position);
    note_top(replica);
}

void o_forget_after(o_replica *replica, uint64_t position)
{
    replica->position = position;
    replica->epoch = 0;
    replica->hlc = 0;
    for (uint64_t i = 0; i < position; i++) {
        const o_entry *entry = replica->log[i];
        if (entry->epoch < replica->epoch || (entry->epoch == replica->epoch && entry->hlc <= replica->hlc)) continue;
        replica->epoch = entry->epoch;
        replica->hlc = entry->hlc;
    }
    replica->applied = 0;
    o_catch_up(replica);
}

/* ---- facts */

static int by_entry(const void *a, const void *b)
{
    return o_entry_order(*(const o_entry *const *)a, *(const o_entry *const *)b);
}

static void park(o_replica *replica, const o_entry *entry)
{
    for (int i = 0; i < replica->parked_count; i++)
        if (replica->parked[i] == entry) return;
    if (replica->parked_count == O_PARKED) o_die("too many parked");
    replica->parked[replica->parked_count++] = entry;
}

int o_import(o_replica *replica, const o_entry *const *facts, int count, int64_t now_ms)
{
    int logged = 0, left = 0;
    const o_entry *waiting[O_PARKED];
    for (int i = 0; i < count; i++)
        if (!o_position_of(replica, facts[i])) park(replica, facts[i]);
    memcpy(waiting, replica->parked, sizeof waiting);
    qsort(waiting, (size_t)replica->parked_count, sizeof *waiting, by_entry);
    for (int i = 0; i < replica->parked_count; i++) {
        const o_entry *entry = waiting[i];
        int64_t at_ms = (int64_t)(entry->hlc >> 16);
        if (at_ms >= YEAR_2200_MS) continue;
        if (entry->seq == o_next_seq(replica, entry->replica, entry->incarnation) && at_ms <= now_ms + DAY_MS) {
            o_append(replica, entry, now_ms);
            logged++;
        } else {
            waiting[left++] = entry;
        }
    }
    replica->parked_count = left;
    memcpy(replica->parked, waiting, sizeof *waiting * (size_t)left);
    o_catch_up(replica);
    return logged;
}

/* ---- a store's life */

o_replica *o_replica_copy(const o_replica *from, uint64_t upto, uint32_t incarnation, const char *name)
{
    o_replica *replica = o_replica_new(name, from->id, incarnation, from->definition);
    for (uint64_t i = 0; i < upto; i++) o_append(replica, from->log[i], from->received[i]);
    o_catch_up(replica);
    return replica;
}

static void engine_entry(o_replica *replica, int64_t now_ms)
{
    o_entry *entry = o_take(sizeof *entry);
    o_event *event = o_take(sizeof *event);
    *event =
        (o_event){.kind = O_OF_ENGINE, .stream = o_text("daybook/definition"), .type = o_text("daybook.definition")};
    memcpy(entry->replica, replica->id, 16);
    entry->incarnation = replica->incarnation;
    entry->seq = o_next_seq(replica, replica->id, replica->incarnation);
    entry->epoch = replica->epoch;
    entry->hlc = (uint64_t)now_ms << 16 > replica->hlc ? (uint64_t)now_ms << 16 : replica->hlc + 1;
    entry->time_ms = now_ms;
    entry->definition = replica->definition;
    entry->command_id = entry->command_text = entry->correlation = o_text("");
    entry->events = event;
    entry->event_count = 1;
    o_entry_name(entry);
    o_append(replica, entry, now_ms);
}

static bool projected(const char *state)
{
    return strcmp(state, "applied") == 0 || strcmp(state, "suffixed") == 0;
}

int o_upgrade(o_replica *replica, const o_definition *definition, int64_t now_ms, bool accept, const o_entry **lost,
              int limit)
{
    int count = 0;
    o_state *shadow = o_as_of(replica, &(o_moment){0}, definition);
    for (int i = 0; i < shadow->core.skip_count; i++) {
        const o_skip *skip = &shadow->skips[i];
        if (strcmp(skip->state, "suffixed") == 0 || !projected(o_state_of(replica->state, skip->entry))) continue;
        if (count == limit) o_die("too many lost entries");
        lost[count++] = skip->entry;
    }
    o_state_free(shadow);
    if (accept || count == 0) {
        replica->definition = definition;
        engine_entry(replica, now_ms);
        replica->applied = 0;
        o_catch_up(replica);
    }
    return count;
}
