/* Writes a table out as a run. The file is made in memory and put in place whole: a crash leaves
 * the old one, the new one or none, and a run that is missing is made anew from its segment. */
#include "log/index_internal.h"

#include <assert.h>

enum { FILTER_BITS_PER_HASH = 16 };

/* A hash of the table with the number of its newest record. */
typedef struct sorted_hash {
    dbk_hash128 hash;
    uint32_t newest;
} sorted_hash;

static bool is_above(const sorted_hash *a, const sorted_hash *b)
{
    return dbk_hash128_number(a->hash) > dbk_hash128_number(b->hash);
}

static void merge(const sorted_hash *from, size_t left, size_t right, size_t end, sorted_hash *to)
{
    size_t a = left, b = right;

    for (size_t i = left; i < end; i++) {
        bool take_right = b < end && (a == right || is_above(&from[a], &from[b]));
        to[i] = take_right ? from[b++] : from[a++];
    }
}

/* Bottom-up merge sort of `count` hashes in `work`, which has room for twice as many. Returns the
 * half that holds the result. (The C library's qsort may allocate past the port.) */
static sorted_hash *sort(sorted_hash *work, size_t count)
{
    sorted_hash *from = work, *to = work + count;

    for (size_t width = 1; width < count; width *= 2) {
        for (size_t left = 0; left < count; left += 2 * width) {
            size_t right = left + width < count ? left + width : count;
            size_t end = right + width < count ? right + width : count;
            merge(from, left, right, end, to);
        }
        sorted_hash *swapped = from;
        from = to;
        to = swapped;
    }
    return from;
}

/* Slots are in the order of their hashes' high bits, but for collisions, so the merges find nearly
 * sorted runs. */
static void gather(const dbk_index_table *table, sorted_hash *out)
{
    size_t count = 0;

    for (size_t i = 0; i < (size_t)1 << table->slot_bits; i++) {
        uint32_t newest = table->slots[i];
        if (!newest) continue;
        out[count++] = (sorted_hash){dbk_index_table_record(table, newest)->hash, newest};
    }
    assert(count == table->hash_count);
}

static uint8_t *key_at(uint8_t *file, uint64_t index)
{
    return file + (1 + index / DBK_INDEX_PAGE_KEYS) * DBK_INDEX_PAGE_SIZE +
           index % DBK_INDEX_PAGE_KEYS * DBK_INDEX_KEY_SIZE;
}

/* The chain of a hash goes from its newest record down, the file up: counted first, filled from the
 * back. */
static void put_keys(const dbk_index_table *table, const sorted_hash *hashes, uint8_t *file)
{
    uint64_t index = 0, end;

    for (uint32_t i = 0; i < table->hash_count; i++) {
        const dbk_index_record *record;
        end = index;
        for (uint32_t number = hashes[i].newest; number; number = record->previous) {
            record = dbk_index_table_record(table, number);
            end++;
        }
        index = end;
        for (uint32_t number = hashes[i].newest; number; number = record->previous) {
            record = dbk_index_table_record(table, number);
            uint8_t *at = key_at(file, --index);
            dbk_store_u64(at, record->hash.high);
            dbk_store_u64(at + 8, record->hash.low);
            dbk_store_u32(at + 16, record->delta);
        }
        index = end;
    }
}

static void put_filter(const sorted_hash *hashes, size_t count, const dbk_index_layout *layout, dbk_buffer *out)
{
    size_t size = (size_t)layout->block_count * DBK_INDEX_BLOCK_SIZE;
    uint8_t *filter = dbk_buffer_extend(out, size);

    if (!filter) return;
    memset(filter, 0, size);
    for (size_t i = 0; i < count; i++) {
        uint8_t *block = filter + dbk_index_filter_block(layout->block_count, hashes[i].hash);
        for (uint32_t probe = 0; probe < DBK_INDEX_PROBES; probe++) {
            uint32_t bit = dbk_index_filter_bit(hashes[i].hash, probe);
            block[bit / 8] |= (uint8_t)(1u << bit % 8);
        }
    }
}

void dbk_index_batch_encode(const dbk_index_batch *batch, uint8_t out[DBK_INDEX_BATCH_SIZE])
{
    dbk_store_u64(out, batch->first_position);
    dbk_store_u32(out + 8, batch->offset);
    dbk_store_u32(out + 12, batch->bytes);
    dbk_store_u64(out + 16, (uint64_t)batch->received_ms);
}

void dbk_index_author_encode(const dbk_index_author_run *run, uint8_t out[DBK_INDEX_AUTHOR_SIZE])
{
    dbk_store_u64(out, run->first_position);
    dbk_store_u64(out + 8, run->first_seq);
    dbk_store_u64(out + 16, run->count);
    memcpy(out + 24, run->replica, sizeof(run->replica));
    dbk_store_u32(out + 40, run->incarnation);
}

static void put_batch(dbk_buffer *out, const dbk_index_batch *batch)
{
    uint8_t bytes[DBK_INDEX_BATCH_SIZE];

    dbk_index_batch_encode(batch, bytes);
    dbk_buffer_put(out, bytes, sizeof(bytes));
}

static void put_author(dbk_buffer *out, const dbk_index_author_run *run)
{
    uint8_t bytes[DBK_INDEX_AUTHOR_SIZE];

    dbk_index_author_encode(run, bytes);
    dbk_buffer_put(out, bytes, sizeof(bytes));
}

/* The resident stream, put into its pages; the key pages must be complete. */
static bool put_resident(const dbk_index_table *table, const sorted_hash *hashes, const dbk_index_layout *layout,
                         uint8_t *file)
{
    dbk_buffer stream;
    uint8_t *page = file + (1 + layout->key_pages) * DBK_INDEX_PAGE_SIZE;
    bool done;

    dbk_buffer_init(&stream, table->port);
    put_filter(hashes, table->hash_count, layout, &stream);
    for (uint64_t i = 0; i < layout->key_pages; i++) {
        dbk_buffer_put(&stream, key_at(file, i * DBK_INDEX_PAGE_KEYS), DBK_INDEX_KEY_SIZE);
    }
    for (size_t i = 0; i < table->batch_count; i++) put_batch(&stream, &table->batches[i]);
    for (size_t i = 0; i < table->author_count; i++) put_author(&stream, &table->authors[i]);
    done = !stream.failed;
    assert(!done || stream.size == layout->resident_bytes);
    for (size_t at = 0; done && at < stream.size; at += DBK_INDEX_PAYLOAD_SIZE) {
        size_t left = stream.size - at;
        memcpy(page, stream.data + at, left < DBK_INDEX_PAYLOAD_SIZE ? left : DBK_INDEX_PAYLOAD_SIZE);
        page += DBK_INDEX_PAGE_SIZE;
    }
    dbk_buffer_release(&stream);
    return done;
}

static uint8_t *put_bytes(uint8_t *at, const void *data, size_t size)
{
    memcpy(at, data, size);
    return at + size;
}

void dbk_index_header_encode(const dbk_index_layout *layout, uint8_t *page)
{
    const dbk_index_source *source = &layout->source;
    bool merged = source->segments > 1;
    const uint32_t sizes[] = {merged ? DBK_INDEX_VERSION_MERGED : DBK_INDEX_VERSION, DBK_INDEX_PAGE_SIZE};
    const uint64_t made_from[] = {source->segment, source->first_position, source->last_position, source->salt};
    const uint32_t counts[] = {source->ordered, layout->key_count, layout->block_count, layout->batch_count,
                               layout->author_count};

    assert(source->note.size <= DBK_INDEX_NOTE_BYTES);
    if (source->note.size) memcpy(page + DBK_INDEX_NOTE_OFFSET, source->note.data, source->note.size);
    page = put_bytes(page, DBK_INDEX_MAGIC, 8);
    page = put_bytes(page, sizes, sizeof(sizes));
    page = put_bytes(page, layout->store_id, sizeof(layout->store_id));
    page = put_bytes(page, made_from, sizeof(made_from));
    page = put_bytes(page, source->head, sizeof(source->head));
    page = put_bytes(page, source->top, sizeof(source->top));
    page = put_bytes(page, counts, sizeof(counts));
    if (merged) dbk_store_u32(page, source->segments);
}

void dbk_index_page_seal(uint8_t *page, uint64_t number, uint64_t salt)
{
    dbk_store_u64(page + DBK_INDEX_PAYLOAD_SIZE, dbk_index_page_checksum(page, number, salt));
}

static void seal_pages(const dbk_index_layout *layout, uint8_t *file)
{
    uint64_t pages = dbk_index_layout_file_bytes(layout) / DBK_INDEX_PAGE_SIZE;

    for (uint64_t number = 0; number < pages; number++) {
        dbk_index_page_seal(file + number * DBK_INDEX_PAGE_SIZE, number, layout->source.salt);
    }
}

static dbk_index_layout layout_of(const dbk_index_table *table, const dbk_index_source *source)
{
    const uint64_t block_bits = DBK_INDEX_BLOCK_SIZE * 8;
    uint64_t filter_bits = (uint64_t)table->hash_count * FILTER_BITS_PER_HASH;
    dbk_index_layout layout = {
        .source = *source,
        .key_count = table->record_count,
        .block_count = (uint32_t)((filter_bits + block_bits - 1) / block_bits),
        .batch_count = (uint32_t)table->batch_count,
        .author_count = (uint32_t)table->author_count,
    };

    memcpy(layout.store_id, table->store_id, sizeof(layout.store_id));
    dbk_index_layout_measure(&layout);
    return layout;
}

static bool put_all(const dbk_index_table *table, const dbk_index_layout *layout, uint8_t *file)
{
    size_t count = table->hash_count;
    sorted_hash *work = dbk_alloc(table->port, (2 * count + 1) * sizeof(*work)), *hashes;
    bool done;

    if (!work) return false;
    gather(table, work);
    hashes = sort(work, count);
    dbk_index_header_encode(layout, file);
    put_keys(table, hashes, file);
    done = put_resident(table, hashes, layout, file);
    if (done) seal_pages(layout, file);
    dbk_free(table->port, work);
    return done;
}

dbk_result dbk_index_run_write(const dbk_port *port, dbk_dir *dir, const char *name, const dbk_index_table *table,
                               const dbk_index_source *source, dbk_error *err)
{
    dbk_index_layout layout = layout_of(table, source);
    size_t size = (size_t)dbk_index_layout_file_bytes(&layout);
    uint8_t *file;
    dbk_result rc;

    assert(source->first_position == table->first_position);
    assert(table->batch_count <= UINT32_MAX && table->author_count <= UINT32_MAX);
    file = dbk_alloc_zero(port, 1, size);
    if (file && put_all(table, &layout, file)) {
        rc = dbk_io_replace_file(port, dir, name, dbk_slice_of(file, size), err);
    } else {
        rc = dbk_fail(err, DBK_NO_MEMORY, "cannot write index '%s': out of memory", name);
    }
    dbk_free(port, file);
    return rc;
}
