/* The index of a segment that is being written: an open hash table over (kind, name), in memory.
 *
 * A name that stands at several positions has a chain: its slot points to the newest record, each record to the one
 * before. Records are numbered as they come and never move, so that a batch that could not be written is taken back
 * from the end. Batches and authors are arrays in order of position. Room is made before anything is entered: what
 * runs out of memory leaves the table as it was. */
#include "log/index_internal.h"

#include <assert.h>

enum { FIRST_SLOT_BITS = 10, FIRST_CAPACITY = 16, HASHED_ON_STACK = 1024, KEY_HEAD_BYTES = 17 };

static dbk_hash128 hash_in(uint8_t *joined, const uint8_t store_id[16], dbk_index_kind kind, dbk_slice name)
{
    joined[0] = (uint8_t)kind;
    memcpy(joined + 1, store_id, 16);
    memcpy(joined + KEY_HEAD_BYTES, name.data, name.size);
    return dbk_checksum128(dbk_slice_of(joined, KEY_HEAD_BYTES + name.size));
}

/* Apart, so that only names beyond any limit of the engine pay for a large frame. */
static __attribute__((noinline)) dbk_hash128 hash_long(const uint8_t store_id[16], dbk_index_kind kind, dbk_slice name)
{
    uint8_t joined[KEY_HEAD_BYTES + UINT16_MAX];

    return hash_in(joined, store_id, kind, name);
}

bool dbk_index_hash(const uint8_t store_id[16], dbk_index_kind kind, dbk_slice name, dbk_hash128 *hash)
{
    uint8_t joined[KEY_HEAD_BYTES + HASHED_ON_STACK];

    if (name.size == 0 || name.size > UINT16_MAX) return false;
    *hash = name.size <= HASHED_ON_STACK ? hash_in(joined, store_id, kind, name) : hash_long(store_id, kind, name);
    return true;
}

const dbk_index_batch *dbk_index_batch_below(const dbk_index_batch *batches, size_t count, uint64_t position)
{
    size_t low = 0, high = count; /* batches[..low) begin at or below, batches[high..) above */

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (batches[middle].first_position <= position) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low ? &batches[low - 1] : NULL;
}

/* Room for one more element; false: out of memory, the array is as before. */
static bool reserve_one(const dbk_port *port, void *array, size_t count, size_t *capacity, size_t element_size)
{
    size_t grown = *capacity ? *capacity * 2 : FIRST_CAPACITY;
    void *old, *memory;

    if (count < *capacity) return true;
    memcpy(&old, array, sizeof(old));
    memory = port->resize(port->ctx, old, grown * element_size);
    if (!memory) return false;
    memcpy(array, &memory, sizeof(memory));
    *capacity = grown;
    return true;
}

/* All free, with the tags behind them. */
static bool new_slots(dbk_index_table *table, uint32_t bits)
{
    size_t count = (size_t)1 << bits;
    uint32_t *slots = dbk_alloc_zero(table->port, count, sizeof(*slots) + sizeof(*table->tags));

    if (!slots) return false;
    dbk_free(table->port, table->slots);
    table->slots = slots;
    table->tags = (uint8_t *)(slots + count);
    table->slot_bits = bits;
    return true;
}

dbk_index_table *dbk_index_table_new(const dbk_port *port, const uint8_t store_id[16], uint64_t first_position)
{
    dbk_index_table *table = dbk_alloc_zero(port, 1, sizeof(*table));

    if (!table) return NULL;
    table->port = port;
    memcpy(table->store_id, store_id, sizeof(table->store_id));
    table->first_position = first_position;
    if (new_slots(table, FIRST_SLOT_BITS)) return table;
    dbk_free(port, table);
    return NULL;
}

void dbk_index_table_free(dbk_index_table *table)
{
    if (!table) return;
    for (size_t i = 0; i < table->chunk_count; i++) dbk_free(table->port, table->chunks[i]);
    dbk_free(table->port, table->chunks);
    dbk_free(table->port, table->slots);
    dbk_free(table->port, table->batches);
    dbk_free(table->port, table->authors);
    dbk_free(table->port, table);
}

static bool is_equal(dbk_hash128 a, dbk_hash128 b)
{
    return dbk_hash128_number(a) == dbk_hash128_number(b);
}

static uint8_t tag_of(dbk_hash128 hash)
{
    uint8_t tag = (uint8_t)hash.low;

    return tag ? tag : 1;
}

/* The slot of the hash, or the free one where it would go. There always is a free one. A name that is not there is
 * found missing by the tags alone, which lie close together: no record, each a cache miss, is looked at. */
static uint64_t find_slot(const dbk_index_table *table, dbk_hash128 hash)
{
    uint64_t mask = ((uint64_t)1 << table->slot_bits) - 1;
    uint64_t index = hash.high >> (64 - table->slot_bits);
    uint8_t tag = tag_of(hash);

    for (; table->tags[index]; index = (index + 1) & mask) {
        if (table->tags[index] != tag) continue;
        if (is_equal(dbk_index_table_record(table, table->slots[index])->hash, hash)) break;
    }
    return index;
}

static void set_slot(dbk_index_table *table, uint64_t index, dbk_hash128 hash, uint32_t number)
{
    table->slots[index] = number;
    table->tags[index] = number ? tag_of(hash) : 0;
}

/* Doubles the slots and enters all records again in their order (see the struct). */
static bool grow_slots(dbk_index_table *table)
{
    if (!new_slots(table, table->slot_bits + 1)) return false;
    for (uint32_t number = 1; number <= table->record_count; number++) {
        dbk_hash128 hash = dbk_index_table_record(table, number)->hash;
        set_slot(table, find_slot(table, hash), hash, number);
    }
    return true;
}

/* Room for one more record under one more hash. Slots stay at most three quarters full. */
static bool reserve_record(dbk_index_table *table)
{
    dbk_index_record *chunk;

    if (table->record_count >= UINT32_MAX - 1) return false;
    if (((uint64_t)table->hash_count + 1) * 4 > ((uint64_t)3 << table->slot_bits) && !grow_slots(table)) {
        return false;
    }
    if (table->record_count < table->chunk_count * DBK_INDEX_CHUNK_RECORDS) return true;
    if (!reserve_one(table->port, &table->chunks, table->chunk_count, &table->chunk_capacity,
                     sizeof(dbk_index_record *))) {
        return false;
    }
    chunk = dbk_alloc(table->port, DBK_INDEX_CHUNK_RECORDS * sizeof(*chunk));
    if (!chunk) return false;
    table->chunks[table->chunk_count++] = chunk;
    return true;
}

/* Absent names and those the position has already are passed over. */
static bool add_name(dbk_index_table *table, dbk_index_kind kind, dbk_slice name, uint32_t delta)
{
    dbk_hash128 hash;

    if (!dbk_index_hash(table->store_id, kind, name, &hash)) return true;
    if (!reserve_record(table)) return false;
    uint64_t slot = find_slot(table, hash);
    uint32_t newest = table->slots[slot];
    if (newest && dbk_index_table_record(table, newest)->delta == delta) return true;
    if (!newest) table->hash_count++;
    *dbk_index_table_record(table, table->record_count + 1) =
        (dbk_index_record){.hash = hash, .delta = delta, .previous = newest};
    set_slot(table, slot, hash, ++table->record_count);
    return true;
}

static void take_back(dbk_index_table *table, uint32_t record_count)
{
    while (table->record_count > record_count) {
        const dbk_index_record *record = dbk_index_table_record(table, table->record_count);
        set_slot(table, find_slot(table, record->hash), record->hash, record->previous);
        if (!record->previous) table->hash_count--;
        table->record_count--;
    }
}

/* 0 when there is none. */
static uint64_t last_position(const dbk_index_table *table)
{
    const dbk_index_author_run *last;

    if (table->author_count == 0) return 0;
    last = &table->authors[table->author_count - 1];
    return last->first_position + last->count - 1;
}

/* Room for one more author run was made before. */
static void add_author(dbk_index_table *table, uint64_t position, const dbk_entry_id *id)
{
    dbk_index_author_run *last = table->authors + table->author_count - 1;

    if (table->author_count && last->first_position + last->count == position &&
        last->first_seq + last->count == id->seq && last->incarnation == id->incarnation &&
        memcmp(last->replica, id->replica, sizeof(last->replica)) == 0) {
        last->count++;
        return;
    }
    last = &table->authors[table->author_count++];
    *last = (dbk_index_author_run){position, id->seq, 1, {0}, id->incarnation};
    memcpy(last->replica, id->replica, sizeof(last->replica));
}

dbk_result dbk_index_table_add(dbk_index_table *table, uint64_t position, const dbk_entry *entry, dbk_error *err)
{
    uint32_t before = table->record_count, delta;
    dbk_slice rest = entry->events;
    dbk_event event;
    bool added;

    assert(position >= table->first_position && position > last_position(table));
    if (position - table->first_position > UINT32_MAX) {
        return dbk_fail(err, DBK_TOO_BIG, "cannot index position %llu: too far from %llu", (unsigned long long)position,
                        (unsigned long long)table->first_position);
    }
    delta = (uint32_t)(position - table->first_position);
    added = reserve_one(table->port, &table->authors, table->author_count, &table->author_capacity,
                        sizeof(*table->authors)) &&
            add_name(table, DBK_INDEX_COMMAND, entry->command_id, delta);
    while (added && dbk_event_next(&rest, &event)) {
        added = add_name(table, DBK_INDEX_STREAM, event.stream, delta);
    }
    if (!added) {
        take_back(table, before);
        return dbk_fail(err, DBK_NO_MEMORY, "cannot index position %llu: out of memory", (unsigned long long)position);
    }
    add_author(table, position, &entry->id);
    return DBK_OK;
}

dbk_result dbk_index_table_add_batch(dbk_index_table *table, const dbk_index_batch *batch, dbk_error *err)
{
    assert(batch->first_position >= table->first_position);
    assert(!table->batch_count || batch->first_position > table->batches[table->batch_count - 1].first_position);
    if (!reserve_one(table->port, &table->batches, table->batch_count, &table->batch_capacity,
                     sizeof(*table->batches))) {
        return dbk_fail(err, DBK_NO_MEMORY, "cannot index the batch at position %llu: out of memory",
                        (unsigned long long)batch->first_position);
    }
    table->batches[table->batch_count++] = *batch;
    return DBK_OK;
}

void dbk_index_table_cut(dbk_index_table *table, uint64_t position)
{
    uint32_t kept = table->record_count;
    dbk_index_author_run *run;

    while (kept && table->first_position + dbk_index_table_record(table, kept)->delta >= position) {
        kept--;
    }
    take_back(table, kept);
    while (table->batch_count && table->batches[table->batch_count - 1].first_position >= position) {
        table->batch_count--;
    }
    while (table->author_count && table->authors[table->author_count - 1].first_position >= position) {
        table->author_count--;
    }
    if (table->author_count == 0) return;
    run = &table->authors[table->author_count - 1];
    if (run->count > position - run->first_position) run->count = position - run->first_position;
}

/* The first record at or above delta; one more than the last where there is none. */
static uint32_t first_at(const dbk_index_table *table, uint64_t delta)
{
    uint32_t low = 1, high = table->record_count + 1;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (dbk_index_table_record(table, middle)->delta < delta) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

/* The newest record of the hash below delta. Whoever walks down asks with the position of the
 * record found last: the chain is entered there, or n steps of a walk would cost n * n / 2. Who asks
 * from the end is not sent through the records. */
static uint32_t chain_below(const dbk_index_table *table, dbk_hash128 hash, uint64_t delta)
{
    uint32_t count = table->record_count;
    bool from_end = count == 0 || dbk_index_table_record(table, count)->delta < delta;
    uint32_t number = from_end ? count + 1 : first_at(table, delta);

    for (; number <= table->record_count; number++) {
        const dbk_index_record *record = dbk_index_table_record(table, number);
        if (record->delta != delta) break;
        if (is_equal(record->hash, hash)) return record->previous;
    }
    number = table->slots[find_slot(table, hash)];
    while (number && dbk_index_table_record(table, number)->delta >= delta) {
        number = dbk_index_table_record(table, number)->previous;
    }
    return number;
}

void dbk_index_table_find_hash(const dbk_index_table *table, dbk_hash128 hash, uint64_t before, uint64_t *position)
{
    uint32_t number;

    *position = 0;
    if (before && before <= table->first_position) return;
    number = before ? chain_below(table, hash, before - table->first_position) : table->slots[find_slot(table, hash)];
    if (number) *position = table->first_position + dbk_index_table_record(table, number)->delta;
}

const dbk_index_batch *dbk_index_table_batch(const dbk_index_table *table, uint64_t position)
{
    if (position > last_position(table)) return NULL;
    return dbk_index_batch_below(table->batches, table->batch_count, position);
}

const dbk_index_author_run *dbk_index_table_authors(const dbk_index_table *table, size_t *count)
{
    *count = table->author_count;
    return table->authors;
}

size_t dbk_index_table_bytes(const dbk_index_table *table)
{
    size_t slots = (size_t)1 << table->slot_bits;

    return table->chunk_count * DBK_INDEX_CHUNK_RECORDS * sizeof(dbk_index_record) +
           slots * (sizeof(*table->slots) + sizeof(*table->tags)) + table->batch_capacity * sizeof(*table->batches) +
           table->author_capacity * sizeof(*table->authors);
}
