/* The lists of the observer: dirty rows of the transaction behind open-addressed slots, touched rows of
 * the entry, and steps by which both are walked back. Every function that can run out of memory reserves
 * first and changes afterwards, so that a failure leaves the lists as they were. */
#include "projector/observer/internal.h"

/* Values over this in one transaction are not kept: who wants them reads the rows. Most of a message that has so many
 * says keys only (model/feed.c). */
enum { SLOTS_MIN = 256, ROWS_BYTES_MAX = 512 * 1024 };

static uint64_t hash_of(const dbk_table *table, dbk_slice key)
{
    return dbk_checksum(key, (uint64_t)(uintptr_t)table);
}

/* The slot that holds the row, or the free one where it would stand. */
static uint32_t slot_of(const dbk_observer *observer, const dbk_table *table, dbk_slice key, uint64_t hash)
{
    uint32_t mask = observer->slot_count - 1, slot = (uint32_t)hash & mask;
    while (observer->slots[slot]) {
        const dbk_dirty *dirty = dbk_dirty_at(observer, observer->slots[slot] - 1);
        if (dirty->hash == hash && dirty->table == table && dbk_slice_equal(dirty->key, key)) break;
        slot = (slot + 1) & mask;
    }
    return slot;
}

const dbk_dirty *dbk_observer_dirty(const dbk_observer *observer, const dbk_table *table, dbk_slice key)
{
    uint32_t slot;
    if (observer->dirty.size == 0) return NULL;
    slot = slot_of(observer, table, key, hash_of(table, key));
    return observer->slots[slot] ? dbk_dirty_at(observer, observer->slots[slot] - 1) : NULL;
}

/* Keeps at least half of the slots free. */
static bool reserve_slot(dbk_observer *observer)
{
    uint32_t count = dbk_dirty_count(observer), room = observer->slot_count, *slots;

    if (room && count + 1 <= room / 2) return true;
    if (room > UINT32_MAX / 2) return false;
    room = room ? room * 2 : SLOTS_MIN;
    slots = dbk_alloc_zero(observer->port, room, sizeof *slots);
    if (!slots) return false;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t slot = (uint32_t)dbk_dirty_at(observer, i)->hash & (room - 1);
        while (slots[slot]) slot = (slot + 1) & (room - 1);
        slots[slot] = i + 1;
    }
    dbk_free(observer->port, observer->slots);
    observer->slots = slots;
    observer->slot_count = room;
    return true;
}

static bool keeps(const dbk_observer *observer, const dbk_row_change *change)
{
    return observer->keep_rows && !observer->bulk && change->seen &&
           observer->rows.size + change->values.size <= ROWS_BYTES_MAX;
}

static bool reserve(dbk_observer *observer, const dbk_row_change *change)
{
    return (!keeps(observer, change) || dbk_buffer_reserve(&observer->rows, change->values.size)) &&
           reserve_slot(observer) && dbk_buffer_reserve(&observer->dirty, sizeof(dbk_dirty)) &&
           dbk_buffer_reserve(&observer->touched, sizeof(dbk_touched)) &&
           dbk_buffer_reserve(&observer->hashes, 2 * sizeof(dbk_hash128)) &&
           dbk_buffer_reserve(&observer->steps, sizeof(dbk_step));
}

/* Room is reserved. UINT32_MAX: no memory for the key. */
static uint32_t add_dirty(dbk_observer *observer, const dbk_row_change *change, uint32_t slot, uint64_t hash)
{
    dbk_dirty dirty = {.table = change->table, .hash = hash, .existed = change->existed, .before = change->before};
    dirty.key = dbk_arena_copy(observer->arena, change->key);
    if (!dirty.key.data) return UINT32_MAX;
    dbk_buffer_put(&observer->dirty, &dirty, sizeof dirty);
    observer->slots[slot] = dbk_dirty_count(observer);
    return dbk_dirty_count(observer) - 1;
}

static void add_touched(dbk_observer *observer, const dbk_row_change *change, dbk_dirty *dirty)
{
    dbk_touched touched = {.table = change->table, .key = dirty->key, .existed = change->existed};
    dbk_hash128 both[2] = {change->before, change->before};

    touched.exists = touched.existed;
    dirty->entry = observer->entry;
    dirty->touched = dbk_touched_count(observer);
    dbk_buffer_put(&observer->touched, &touched, sizeof touched);
    dbk_buffer_put(&observer->hashes, both, sizeof both);
}

/* The last one counts; what a change left that nobody saw is not known any more. */
static void keep_values(dbk_observer *observer, const dbk_row_change *change, dbk_step *step)
{
    dbk_dirty *dirty = dbk_dirty_at(observer, step->dirty);

    step->kept = dirty->now;
    step->rows_size = observer->rows.size;
    dirty->now = (dbk_kept){.known = keeps(observer, change)};
    if (!dirty->now.known || !change->exists) return;
    dirty->now.exists = true;
    dirty->now.at = observer->rows.size;
    dirty->now.size = change->values.size;
    dbk_buffer_put_slice(&observer->rows, change->values);
}

static void apply_change(dbk_observer *observer, const dbk_row_change *change, dbk_step *step)
{
    dbk_touched *touched = dbk_touched_at(observer, step->touched);
    dbk_hash128 *both = (dbk_hash128 *)(void *)observer->hashes.data + (size_t)step->touched * 2;

    step->exists = touched->exists;
    step->changed = touched->changed;
    step->went = touched->went;
    touched->went |= !change->exists;
    step->now = both[1];
    touched->exists = change->exists;
    both[1] = change->now;
    touched->changed =
        touched->existed != touched->exists || (touched->exists && memcmp(&both[0], &both[1], sizeof both[0]) != 0);
    dbk_buffer_put(&observer->steps, step, sizeof *step);
}

dbk_result dbk_observer_record(dbk_observer *observer, const dbk_row_change *change)
{
    uint64_t hash = hash_of(change->table, change->key);
    dbk_step step = {0};
    uint32_t slot;
    dbk_dirty *dirty;

    if (!reserve(observer, change)) return DBK_NO_MEMORY;
    slot = slot_of(observer, change->table, change->key, hash);
    if (observer->slots[slot]) {
        step.dirty = observer->slots[slot] - 1;
        dirty = dbk_dirty_at(observer, step.dirty);
        step.is_new_touched = dirty->entry != observer->entry;
    } else {
        step.is_new_touched = step.is_new_dirty = true;
    }
    if (step.is_new_touched && dbk_touched_count(observer) == DBK_ENTRY_ROWS_MAX) return DBK_TOO_BIG;
    if (step.is_new_dirty) step.dirty = add_dirty(observer, change, slot, hash);
    if (step.dirty == UINT32_MAX) return DBK_NO_MEMORY;
    dirty = dbk_dirty_at(observer, step.dirty);
    step.dirty_entry = dirty->entry;
    step.dirty_touched = dirty->touched;
    if (step.is_new_touched) add_touched(observer, change, dirty);
    step.touched = dirty->touched;
    keep_values(observer, change, &step);
    apply_change(observer, change, &step);
    return DBK_OK;
}

/* Takes the newest dirty row out of its slot. It was put in last, so no probe of another row passes
 * over it to reach its own place: the slot is simply free again. */
static void pop_dirty(dbk_observer *observer)
{
    const dbk_dirty *dirty = dbk_dirty_at(observer, dbk_dirty_count(observer) - 1);
    uint32_t slot = slot_of(observer, dirty->table, dirty->key, dirty->hash);
    observer->slots[slot] = 0;
    observer->dirty.size -= sizeof(dbk_dirty);
}

static void walk_back(dbk_observer *observer, const dbk_step *step)
{
    dbk_touched *touched = dbk_touched_at(observer, step->touched);
    dbk_dirty *dirty = dbk_dirty_at(observer, step->dirty);

    observer->rows.size = step->rows_size;
    dirty->now = step->kept;
    if (step->is_new_touched) {
        observer->touched.size -= sizeof(dbk_touched);
        observer->hashes.size -= 2 * sizeof(dbk_hash128);
        dirty->entry = step->dirty_entry;
        dirty->touched = step->dirty_touched;
    } else {
        touched->exists = step->exists;
        touched->changed = step->changed;
        touched->went = step->went;
        memcpy(observer->hashes.data + ((size_t)step->touched * 2 + 1) * sizeof step->now, &step->now,
               sizeof step->now);
    }
    if (step->is_new_dirty) pop_dirty(observer);
}

void dbk_observer_cut(dbk_observer *observer, const dbk_mark *mark)
{
    const dbk_step *steps = (const dbk_step *)(const void *)observer->steps.data;

    for (size_t i = observer->steps.size / sizeof *steps; i > mark->steps; i--) {
        walk_back(observer, &steps[i - 1]);
    }
    observer->steps.size = mark->steps * sizeof *steps;
    if (observer->gone_at.size) dbk_observer_cut_gone(observer, mark->steps);
    observer->rows.failed = observer->dirty.failed = observer->touched.failed = observer->hashes.failed =
        observer->steps.failed = false;
    observer->difference = mark->difference;
    observer->failure = mark->failure;
}

/* Frees slot by slot where few are taken, so that an entry costs what it touched. */
void dbk_observer_forget_rows(dbk_observer *observer)
{
    uint32_t count = dbk_dirty_count(observer);

    if (count > observer->slot_count / 8) {
        memset(observer->slots, 0, observer->slot_count * sizeof *observer->slots);
    } else {
        while (dbk_dirty_count(observer)) pop_dirty(observer);
    }
    dbk_buffer_clear(&observer->dirty);
    dbk_buffer_clear(&observer->rows);
    dbk_arena_clear(observer->arena);
}
