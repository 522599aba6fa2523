/* Reads a run. Opening reads the header and the lists; pages of filter and fences are read, checked
 * and kept when a question first needs them, so that opening costs the same for any number of keys. A
 * key page is checked each time it is read; the last one is kept. One thread at a time may find; the lists never
 * change. */
#include "log/index_internal.h"

#include <inttypes.h>

/* The first key of a page, or a key that is looked for. */
typedef struct run_key {
    dbk_hash128 hash;
    uint64_t delta;
} run_key;

struct dbk_index_run {
    const dbk_port *port;
    dbk_file *file;
    char *name;
    dbk_index_layout layout;
    uint8_t **pages; /* resident ones with filter and fences, NULL until needed */
    size_t page_count, page_limit;
    uint8_t *key_page;        /* the one that was asked last, checked; who walks down a stream asks it again */
    uint64_t key_page_number; /* 0: none */
    dbk_index_batch *batches;
    dbk_index_author_run *authors;
};

void dbk_index_layout_measure(dbk_index_layout *layout)
{
    layout->key_pages = ((uint64_t)layout->key_count + DBK_INDEX_PAGE_KEYS - 1) / DBK_INDEX_PAGE_KEYS;
    layout->resident_bytes =
        (uint64_t)layout->block_count * DBK_INDEX_BLOCK_SIZE + layout->key_pages * DBK_INDEX_KEY_SIZE +
        (uint64_t)layout->batch_count * DBK_INDEX_BATCH_SIZE + (uint64_t)layout->author_count * DBK_INDEX_AUTHOR_SIZE;
    layout->resident_pages = (layout->resident_bytes + DBK_INDEX_PAYLOAD_SIZE - 1) / DBK_INDEX_PAYLOAD_SIZE;
}

uint64_t dbk_index_page_checksum(const uint8_t *page, uint64_t number, uint64_t salt)
{
    return dbk_checksum(dbk_slice_of(page, DBK_INDEX_PAYLOAD_SIZE), salt + number);
}

static dbk_result fail_page(const dbk_index_run *run, uint64_t number, const char *wrong, dbk_error *err)
{
    return dbk_fail(err, DBK_CORRUPT, "index '%s' is damaged at offset %" PRIu64 ": %s", run->name,
                    number * DBK_INDEX_PAGE_SIZE, wrong);
}

dbk_result dbk_index_run_fail(const dbk_index_run *run, uint64_t page, const char *wrong, dbk_error *err)
{
    return fail_page(run, page, wrong, err);
}

static dbk_result check_page(const dbk_index_run *run, const uint8_t *page, uint64_t number, uint64_t salt,
                             dbk_error *err)
{
    if (dbk_load_u64(page + DBK_INDEX_PAYLOAD_SIZE) == dbk_index_page_checksum(page, number, salt)) {
        return DBK_OK;
    }
    return fail_page(run, number, "the checksum of the page differs", err);
}

static dbk_result read_pages(const dbk_index_run *run, uint64_t first, uint64_t count, uint8_t *out, dbk_error *err)
{
    size_t size = (size_t)count * DBK_INDEX_PAGE_SIZE, got;
    dbk_result rc = dbk_io_read(run->port, run->file, run->name, first * DBK_INDEX_PAGE_SIZE, out, size, &got, err);

    if (rc < 0) return rc;
    if (got == size) return DBK_OK;
    return fail_page(run, first + got / DBK_INDEX_PAGE_SIZE, "the file ends within the page", err);
}

static void take_bytes(dbk_reader *reader, void *out, size_t size)
{
    dbk_slice taken = dbk_reader_take(reader, size);

    if (dbk_never(!taken.data)) return;
    memcpy(out, taken.data, size);
}

/* The header page has room for all of this: the reader cannot fail. */
static bool parse_header(const uint8_t *page, dbk_index_layout *layout)
{
    dbk_reader reader = dbk_reader_of(dbk_slice_of(page, DBK_INDEX_PAYLOAD_SIZE));
    dbk_index_source *source = &layout->source;
    dbk_slice magic = dbk_reader_take(&reader, 8);
    uint32_t version = dbk_reader_u32(&reader), page_bytes = dbk_reader_u32(&reader), ordered;

    take_bytes(&reader, layout->store_id, sizeof(layout->store_id));
    source->segment = dbk_reader_u64(&reader);
    source->first_position = dbk_reader_u64(&reader);
    source->last_position = dbk_reader_u64(&reader);
    source->salt = dbk_reader_u64(&reader);
    take_bytes(&reader, source->head, sizeof(source->head));
    take_bytes(&reader, source->top, sizeof(source->top));
    ordered = dbk_reader_u32(&reader);
    source->ordered = ordered == 1;
    layout->key_count = dbk_reader_u32(&reader);
    layout->block_count = dbk_reader_u32(&reader);
    layout->batch_count = dbk_reader_u32(&reader);
    layout->author_count = dbk_reader_u32(&reader);
    dbk_index_layout_measure(layout);
    bool merged = version == DBK_INDEX_VERSION_MERGED;
    source->segments = merged ? dbk_reader_u32(&reader) : 1;
    return dbk_slice_equal(magic, dbk_slice_text(DBK_INDEX_MAGIC)) && (merged || version == DBK_INDEX_VERSION) &&
           (!merged || source->segments > 1) && page_bytes == DBK_INDEX_PAGE_SIZE && ordered <= 1 &&
           (layout->block_count > 0 || layout->key_count == 0);
}

/* The salt that seeds the checksum stands in the page itself: one that is wrong there fails too. */
static dbk_result read_header(dbk_index_run *run, const uint8_t store_id[16], const dbk_index_source *expect,
                              dbk_error *err)
{
    uint8_t page[DBK_INDEX_PAGE_SIZE];
    const dbk_index_source *source = &run->layout.source;
    uint64_t size;
    bool known;
    dbk_result rc = read_pages(run, 0, 1, page, err);

    if (rc < 0) return rc;
    known = parse_header(page, &run->layout);
    rc = check_page(run, page, 0, source->salt, err);
    if (rc < 0) return rc;
    if (!known) return fail_page(run, 0, "the header is not one of this version", err);
    if (memcmp(store_id, run->layout.store_id, sizeof(run->layout.store_id)) != 0 ||
        source->segment != expect->segment || source->segments != (expect->segments ? expect->segments : 1) ||
        source->salt != expect->salt || source->first_position != expect->first_position ||
        (expect->last_position && source->last_position != expect->last_position)) {
        return dbk_fail(err, DBK_CORRUPT, "index '%s' was made from another segment", run->name);
    }
    if (expect->note_out) memcpy(expect->note_out, page + DBK_INDEX_NOTE_OFFSET, DBK_INDEX_NOTE_BYTES);
    rc = dbk_io_size(run->port, run->file, run->name, &size, err);
    if (rc < 0) return rc;
    if (size == dbk_index_layout_file_bytes(&run->layout)) return DBK_OK;
    return dbk_fail(err, DBK_CORRUPT, "index '%s' has %" PRIu64 " bytes, its header asks for %" PRIu64, run->name, size,
                    dbk_index_layout_file_bytes(&run->layout));
}

dbk_result dbk_index_run_peek(const dbk_port *port, dbk_dir *dir, const char *name, const uint8_t store_id[16],
                              dbk_index_source *found, dbk_error *err)
{
    dbk_index_run run = {.port = port, .name = (char *)name};
    uint8_t page[DBK_INDEX_PAGE_SIZE];

    memset(found, 0, sizeof(*found));
    dbk_result rc = dbk_io_open(port, dir, name, DBK_OPEN_READ, &run.file, err);
    if (rc != DBK_OK) return rc;
    rc = read_pages(&run, 0, 1, page, err);
    bool known = rc == DBK_OK && parse_header(page, &run.layout);
    if (rc == DBK_OK) rc = check_page(&run, page, 0, run.layout.source.salt, err);
    if (rc == DBK_OK && (!known || memcmp(store_id, run.layout.store_id, sizeof(run.layout.store_id)) != 0))
        rc = fail_page(&run, 0, "the header is not one of this version and store", err);
    if (rc == DBK_OK) *found = run.layout.source;
    port->close_file(port->ctx, run.file);
    return rc;
}

/* Where the parts of the resident stream begin. */
static uint64_t fences_begin(const dbk_index_layout *layout)
{
    return (uint64_t)layout->block_count * DBK_INDEX_BLOCK_SIZE;
}

static uint64_t batches_begin(const dbk_index_layout *layout)
{
    return fences_begin(layout) + layout->key_pages * DBK_INDEX_KEY_SIZE;
}

static uint64_t authors_begin(const dbk_index_layout *layout)
{
    return batches_begin(layout) + (uint64_t)layout->batch_count * DBK_INDEX_BATCH_SIZE;
}

static dbk_result fail_memory(const dbk_index_run *run, dbk_error *err)
{
    return dbk_fail(err, DBK_NO_MEMORY, "cannot read index '%s': out of memory", run->name);
}

/* A reader keeps few pages; a writer, who asks for each command, all that it has touched. */
static void forget_pages(dbk_index_run *run)
{
    for (uint64_t i = 0; run->pages && i < run->layout.resident_pages; i++) {
        dbk_free(run->port, run->pages[i]);
        run->pages[i] = NULL;
    }
    run->page_count = 0;
}

static dbk_result take_page(dbk_index_run *run, uint64_t index, const uint8_t **out, dbk_error *err)
{
    uint64_t number = 1 + run->layout.key_pages + index;

    if (!run->pages[index]) {
        if (run->page_limit && run->page_count >= run->page_limit) forget_pages(run);
        uint8_t *page = dbk_alloc(run->port, DBK_INDEX_PAGE_SIZE);
        if (!page) return fail_memory(run, err);
        dbk_result rc = read_pages(run, number, 1, page, err);
        if (rc == DBK_OK) rc = check_page(run, page, number, run->layout.source.salt, err);
        if (rc != DBK_OK) {
            dbk_free(run->port, page);
            return rc;
        }
        run->pages[index] = page;
        run->page_count++;
    }
    *out = run->pages[index];
    return DBK_OK;
}

/* Bytes of the resident stream. */
dbk_result dbk_index_run_take_stream(dbk_index_run *run, uint64_t offset, uint8_t *out, size_t size, dbk_error *err)
{
    while (size > 0) {
        size_t skip = (size_t)(offset % DBK_INDEX_PAYLOAD_SIZE);
        size_t now = DBK_INDEX_PAYLOAD_SIZE - skip < size ? DBK_INDEX_PAYLOAD_SIZE - skip : size;
        const uint8_t *page = NULL;
        dbk_result rc = take_page(run, offset / DBK_INDEX_PAYLOAD_SIZE, &page, err);
        if (rc != DBK_OK) return rc;
        memcpy(out, page + skip, now);
        offset += now;
        out += now;
        size -= now;
    }
    return DBK_OK;
}

static run_key take_key(dbk_reader *reader)
{
    uint64_t high = dbk_reader_u64(reader), low = dbk_reader_u64(reader);

    return (run_key){{low, high}, dbk_reader_u32(reader)};
}

static bool take_batch(dbk_reader *reader, dbk_index_batch *batch)
{
    batch->first_position = dbk_reader_u64(reader);
    batch->offset = dbk_reader_u32(reader);
    batch->bytes = dbk_reader_u32(reader);
    batch->received_ms = (int64_t)dbk_reader_u64(reader);
    return !reader->failed;
}

/* Batches and authors in order and within the segment: what the searches in them rest on. */
static bool parse_batches(dbk_index_run *run, dbk_reader *reader)
{
    const dbk_index_source *source = &run->layout.source;
    uint64_t from = source->first_position;

    for (uint32_t i = 0; i < run->layout.batch_count; i++) {
        dbk_index_batch *batch = &run->batches[i];
        (void)take_batch(reader, batch);
        if (batch->first_position < from || batch->first_position > source->last_position) return false;
        from = batch->first_position + 1;
    }
    return !reader->failed;
}

static bool parse_authors(dbk_index_run *run, dbk_reader *reader)
{
    const dbk_index_source *source = &run->layout.source;
    uint64_t from = source->first_position;

    for (uint32_t i = 0; i < run->layout.author_count; i++) {
        dbk_index_author_run *author = &run->authors[i];
        author->first_position = dbk_reader_u64(reader);
        author->first_seq = dbk_reader_u64(reader);
        author->count = dbk_reader_u64(reader);
        take_bytes(reader, author->replica, sizeof(author->replica));
        author->incarnation = dbk_reader_u32(reader);
        if (author->first_position < from || author->first_position > source->last_position) return false;
        if (author->count == 0 || author->count - 1 > source->last_position - author->first_position) return false;
        from = author->first_position + author->count;
    }
    return !reader->failed;
}

/* Joins the payloads of the pages with bytes `from` to `to` of the stream where they are. */
static dbk_result join_pages(dbk_index_run *run, uint64_t from, uint64_t to, uint8_t *pages, dbk_reader *reader,
                             dbk_error *err)
{
    uint64_t first = from / DBK_INDEX_PAYLOAD_SIZE, begin = first * DBK_INDEX_PAYLOAD_SIZE;
    uint64_t count = (to - begin + DBK_INDEX_PAYLOAD_SIZE - 1) / DBK_INDEX_PAYLOAD_SIZE;
    uint64_t number = 1 + run->layout.key_pages + first;

    dbk_result rc = read_pages(run, number, count, pages, err);
    for (uint64_t i = 0; i < count && rc == DBK_OK; i++) {
        const uint8_t *page = pages + i * DBK_INDEX_PAGE_SIZE;
        rc = check_page(run, page, number + i, run->layout.source.salt, err);
        memmove(pages + i * DBK_INDEX_PAYLOAD_SIZE, page, DBK_INDEX_PAYLOAD_SIZE);
    }
    *reader = dbk_reader_of(dbk_slice_of(pages + (from - begin), (size_t)(to - from)));
    return rc;
}

static dbk_result read_lists(dbk_index_run *run, bool with_batches, dbk_error *err)
{
    const dbk_index_layout *layout = &run->layout;
    uint64_t from = with_batches ? batches_begin(layout) : authors_begin(layout);
    uint64_t to = layout->resident_bytes;
    dbk_reader reader;

    run->pages = dbk_alloc_zero(run->port, (size_t)layout->resident_pages + 1, sizeof(*run->pages));
    run->authors = dbk_alloc_zero(run->port, (size_t)layout->author_count + 1, sizeof(*run->authors));
    if (with_batches) run->batches = dbk_alloc_zero(run->port, (size_t)layout->batch_count + 1, sizeof(*run->batches));
    uint8_t *pages = dbk_alloc(run->port, (size_t)(to - from) + 3 * DBK_INDEX_PAGE_SIZE +
                                              (size_t)((to - from) / DBK_INDEX_PAYLOAD_SIZE) * 8);
    dbk_result rc =
        run->pages && run->authors && pages && (run->batches || !with_batches) ? DBK_OK : fail_memory(run, err);
    if (rc == DBK_OK && from < to) {
        rc = join_pages(run, from, to, pages, &reader, err);
        bool right = rc == DBK_OK && (!with_batches || parse_batches(run, &reader)) && parse_authors(run, &reader);
        if (rc == DBK_OK && !right) {
            rc = fail_page(run, 1 + layout->key_pages, "batches or authors are out of order", err);
        }
    }
    dbk_free(run->port, pages);
    return rc;
}

dbk_result dbk_index_run_open(const dbk_port *port, dbk_dir *dir, const char *name, const uint8_t store_id[16],
                              const dbk_index_source *expect, dbk_index_source *found, dbk_index_run **out,
                              dbk_error *err)
{
    dbk_index_run *run = dbk_alloc_zero(port, 1, sizeof(*run));
    dbk_result rc;

    *out = NULL;
    if (run) {
        run->port = port;
        run->name = dbk_copy_text(port, name);
    }
    if (!run || !run->name) {
        rc = dbk_fail(err, DBK_NO_MEMORY, "cannot open index '%s': out of memory", name);
        goto fail;
    }
    rc = dbk_io_open(port, dir, name, DBK_OPEN_READ, &run->file, err);
    if (rc == DBK_OK) rc = read_header(run, store_id, expect, err);
    if (rc == DBK_OK) rc = read_lists(run, !expect->without_batches, err);
    if (rc < 0) goto fail;
    run->page_limit = expect->page_limit;
    *found = run->layout.source;
    *out = run;
    return DBK_OK;
fail:
    if (run) run->port = port;
    dbk_index_run_close(run);
    return rc;
}

void dbk_index_run_close(dbk_index_run *run)
{
    if (!run) return;
    if (run->file) run->port->close_file(run->port->ctx, run->file);
    forget_pages(run);
    dbk_free(run->port, run->pages);
    dbk_free(run->port, run->key_page);
    dbk_free(run->port, run->batches);
    dbk_free(run->port, run->authors);
    dbk_free(run->port, run->name);
    dbk_free(run->port, run);
}

static dbk_result look_in_filter(dbk_index_run *run, dbk_hash128 hash, bool *may, dbk_error *err)
{
    uint8_t block[DBK_INDEX_BLOCK_SIZE];

    *may = run->layout.key_count > 0;
    if (!*may) return DBK_OK;
    dbk_result rc = dbk_index_run_take_stream(run, dbk_index_filter_block(run->layout.block_count, hash), block,
                                              sizeof(block), err);
    for (uint32_t probe = 0; probe < DBK_INDEX_PROBES && rc == DBK_OK; probe++) {
        uint32_t bit = dbk_index_filter_bit(hash, probe);
        if (!(block[bit / 8] >> bit % 8 & 1)) *may = false;
    }
    return rc;
}

static bool is_below(const run_key *a, const run_key *b)
{
    unsigned __int128 own = dbk_hash128_number(a->hash), other = dbk_hash128_number(b->hash);

    return own != other ? own < other : a->delta < b->delta;
}

static run_key key_in(const uint8_t *page, size_t index)
{
    dbk_reader reader = dbk_reader_of(dbk_slice_of(page + index * DBK_INDEX_KEY_SIZE, DBK_INDEX_KEY_SIZE));

    return take_key(&reader);
}

/* Whether the key page begins below the wanted key. */
static dbk_result begins_below(dbk_index_run *run, uint64_t index, const run_key *wanted, bool *below, dbk_error *err)
{
    uint8_t bytes[DBK_INDEX_KEY_SIZE];

    dbk_result rc = dbk_index_run_take_stream(run, fences_begin(&run->layout) + index * DBK_INDEX_KEY_SIZE, bytes,
                                              sizeof(bytes), err);
    if (rc != DBK_OK) return rc;
    run_key fence = key_in(bytes, 0);
    *below = is_below(&fence, wanted);
    return DBK_OK;
}

/* How many key pages begin below the wanted key: it can only stand behind the last of them. Hashes
 * are even, so it is looked for around the place that its own value names, then further and further
 * away. */
static dbk_result count_fences_below(dbk_index_run *run, const run_key *wanted, uint64_t *count, dbk_error *err)
{
    uint64_t low = 0, high = run->layout.key_pages, step = 1;
    uint64_t probe = (uint64_t)((unsigned __int128)wanted->hash.high * high >> 64);
    bool below = false, turned = false, first = true, up = false;

    while (low < high) {
        dbk_result rc = begins_below(run, probe, wanted, &below, err);
        if (rc != DBK_OK) return rc;
        if (below) {
            low = probe + 1;
        } else {
            high = probe;
        }
        turned = turned || (!first && below != up);
        up = below;
        first = false;
        if (turned || step >= high - low) {
            probe = low + (high - low) / 2;
        } else {
            probe = up ? low + step - 1 : high - step;
            step *= 2;
        }
    }
    *count = low;
    return DBK_OK;
}

/* The last key of the page below the wanted one. */
static run_key last_below(const uint8_t *page, size_t count, const run_key *wanted)
{
    size_t low = 0, high = count;

    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        run_key key = key_in(page, middle);
        if (is_below(&key, wanted)) {
            low = middle;
        } else {
            high = middle;
        }
    }
    return key_in(page, low);
}

/* `number` counts the pages of the file: 0 is the header. */
static dbk_result take_key_page(dbk_index_run *run, uint64_t number, dbk_error *err)
{
    if (run->key_page_number == number) return DBK_OK;
    if (!run->key_page) run->key_page = dbk_alloc(run->port, DBK_INDEX_PAGE_SIZE);
    if (!run->key_page) return fail_memory(run, err);
    run->key_page_number = 0;
    dbk_result rc = read_pages(run, number, 1, run->key_page, err);
    if (rc == DBK_OK) rc = check_page(run, run->key_page, number, run->layout.source.salt, err);
    if (rc == DBK_OK) run->key_page_number = number;
    return rc;
}

/* The highest position below `before` is the last key below (hash, before): the fences name the one
 * page that can hold it. */
dbk_result dbk_index_run_find_hash(dbk_index_run *run, dbk_hash128 hash, uint64_t before, uint64_t *position,
                                   dbk_error *err)
{
    const dbk_index_layout *layout = &run->layout;
    run_key wanted = {.hash = hash}, found;
    uint64_t pages, keys;
    dbk_result rc;
    bool may;

    *position = 0;
    if (before && before <= layout->source.first_position) return DBK_OK;
    rc = look_in_filter(run, wanted.hash, &may, err);
    if (rc != DBK_OK || !may) return rc;
    wanted.delta = before ? before - layout->source.first_position : UINT64_MAX;
    rc = count_fences_below(run, &wanted, &pages, err);
    if (rc != DBK_OK || pages == 0) return rc;
    rc = take_key_page(run, pages, err);
    if (rc != DBK_OK) return rc;
    keys = layout->key_count - (pages - 1) * DBK_INDEX_PAGE_KEYS;
    if (keys > DBK_INDEX_PAGE_KEYS) keys = DBK_INDEX_PAGE_KEYS;
    found = last_below(run->key_page, (size_t)keys, &wanted);
    if (dbk_hash128_number(found.hash) != dbk_hash128_number(hash)) return DBK_OK;
    if (found.delta > layout->source.last_position - layout->source.first_position) {
        return fail_page(run, pages, "a key is beyond the segment", err);
    }
    *position = layout->source.first_position + found.delta;
    return DBK_OK;
}

const dbk_index_batch *dbk_index_run_batch(const dbk_index_run *run, uint64_t position)
{
    if (position > run->layout.source.last_position) return NULL;
    return dbk_index_batch_below(run->batches, run->layout.batch_count, position);
}

dbk_result dbk_index_run_read_batch(dbk_index_run *run, uint32_t index, dbk_index_batch *batch, dbk_error *err)
{
    uint8_t bytes[DBK_INDEX_BATCH_SIZE];

    dbk_result rc = dbk_index_run_take_stream(run, batches_begin(&run->layout) + (uint64_t)index * DBK_INDEX_BATCH_SIZE,
                                              bytes, sizeof(bytes), err);
    dbk_reader reader = dbk_reader_of(dbk_slice_of(bytes, sizeof(bytes)));
    if (rc == DBK_OK) (void)take_batch(&reader, batch);
    return rc;
}

dbk_result dbk_index_run_find_batch(dbk_index_run *run, uint64_t position, dbk_index_batch *batch, dbk_error *err)
{
    uint32_t low = 0, high = run->layout.batch_count; /* [0, low) begin at or below it */

    if (position < run->layout.source.first_position || position > run->layout.source.last_position) return DBK_NONE;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        dbk_result rc = dbk_index_run_read_batch(run, middle, batch, err);
        if (rc != DBK_OK) return rc;
        if (batch->first_position <= position) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low ? dbk_index_run_read_batch(run, low - 1, batch, err) : DBK_NONE;
}

const dbk_index_layout *dbk_index_run_layout(const dbk_index_run *run)
{
    return &run->layout;
}

dbk_result dbk_index_run_read_keys(dbk_index_run *run, uint64_t first_page, uint64_t count, uint8_t *out,
                                   dbk_error *err)
{
    dbk_result rc = read_pages(run, 1 + first_page, count, out, err);

    for (uint64_t i = 0; i < count && rc == DBK_OK; i++)
        rc = check_page(run, out + i * DBK_INDEX_PAGE_SIZE, 1 + first_page + i, run->layout.source.salt, err);
    return rc;
}

const dbk_index_batch *dbk_index_run_batches(const dbk_index_run *run, size_t *count)
{
    *count = run->layout.batch_count;
    return run->batches;
}

const dbk_index_author_run *dbk_index_run_authors(const dbk_index_run *run, size_t *count)
{
    *count = run->layout.author_count;
    return run->authors;
}
