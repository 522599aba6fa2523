/* Makes one run of several that follow one another. Keys are sorted by hash, then position, in each of
 * them, and blocks of the filter follow the hashes: all parts of the new file are written from front to
 * back while the keys are met in order, so that the memory needed does not grow with them.
 *
 * On disk: "<name>.tmp" is written, its header last, when all behind it is synced; synced, renamed, the
 * folder synced. A crash leaves the runs it is made of, and perhaps the new one beside them. */
#include "log/index_internal.h"

#include <assert.h>
#include <stdio.h>

enum { PAGES_AT_ONCE = 16, SYNC_BYTES = 1024 * 1024, NAME_SIZE = 64, KEYS_BETWEEN_STOPS = 16384 };

typedef struct merge_key {
    dbk_hash128 hash;
    uint64_t position;
} merge_key;

/* The keys of one run in their order. */
typedef struct input {
    dbk_index_run *run;
    const dbk_index_layout *layout;
    uint8_t *pages; /* PAGES_AT_ONCE */
    uint64_t taken; /* keys so far, that in `key` included */
    merge_key key;
    bool ended;
} input;

/* Pages that are filled one after the other. */
typedef struct stream {
    uint8_t *data;
    uint64_t number; /* in the file, of the page that data begins with */
    size_t full;     /* pages in data */
    size_t filled;   /* bytes in the one behind them */
    uint8_t *first;  /* where not NULL: receives the first page, which is shared with another stream */
} stream;

typedef struct merger {
    const dbk_port *port;
    const dbk_index_merge *job;
    const char *name; /* of the file that is written */
    dbk_file *file;
    dbk_index_layout layout;
    input *inputs;
    stream keys, filter, rest; /* rest: fences, batches, authors */
    uint8_t *shared;           /* the page in which the filter ends and the rest begins */
    uint8_t block[DBK_INDEX_BLOCK_SIZE];
    uint64_t block_index; /* of that block */
    uint64_t key_index;
    uint64_t unsynced;
    size_t bad;
} merger;

static dbk_result fail_memory(const merger *m, dbk_error *err)
{
    return dbk_fail(err, DBK_NO_MEMORY, "cannot merge into '%s': out of memory", m->name);
}

/* ---- what comes in */

static bool is_above(const merge_key *a, const merge_key *b)
{
    unsigned __int128 own = dbk_hash128_number(a->hash), other = dbk_hash128_number(b->hash);

    return own != other ? own > other : a->position > b->position;
}

/* The searches in the new run rest on the order: one that does not keep it is damaged. */
static dbk_result next_key(input *in, dbk_error *err)
{
    const dbk_index_source *source = &in->layout->source;
    uint64_t page = in->taken / DBK_INDEX_PAGE_KEYS, at = in->taken % DBK_INDEX_PAGE_KEYS;
    merge_key before = in->key;

    in->ended = in->taken == in->layout->key_count;
    if (in->ended) return DBK_OK;
    if (at == 0 && page % PAGES_AT_ONCE == 0) {
        uint64_t left = in->layout->key_pages - page, count = left < PAGES_AT_ONCE ? left : PAGES_AT_ONCE;
        dbk_result rc = dbk_index_run_read_keys(in->run, page, count, in->pages, err);
        if (rc != DBK_OK) return rc;
    }
    const uint8_t *bytes = in->pages + page % PAGES_AT_ONCE * DBK_INDEX_PAGE_SIZE + at * DBK_INDEX_KEY_SIZE;
    uint32_t delta = dbk_load_u32(bytes + 16);
    in->key.hash = (dbk_hash128){dbk_load_u64(bytes + 8), dbk_load_u64(bytes)};
    in->key.position = source->first_position + delta;
    if (delta > source->last_position - source->first_position || (in->taken && !is_above(&in->key, &before)))
        return dbk_index_run_fail(in->run, 1 + page, "keys are out of order", err);
    in->taken++;
    return DBK_OK;
}

static dbk_result advance(merger *m, size_t index, dbk_error *err)
{
    dbk_result rc = next_key(&m->inputs[index], err);

    if (rc == DBK_CORRUPT) m->bad = index;
    return rc;
}

static dbk_result open_inputs(merger *m, dbk_error *err)
{
    dbk_result rc = DBK_OK;

    m->inputs = dbk_alloc_zero(m->port, m->job->count, sizeof(*m->inputs));
    if (!m->inputs) return fail_memory(m, err);
    for (size_t i = 0; i < m->job->count && rc == DBK_OK; i++) {
        input *in = &m->inputs[i];
        in->run = m->job->runs[i];
        in->layout = dbk_index_run_layout(in->run);
        in->pages = dbk_alloc(m->port, PAGES_AT_ONCE * DBK_INDEX_PAGE_SIZE);
        rc = in->pages ? advance(m, i, err) : fail_memory(m, err);
    }
    return rc;
}

/* ---- what goes out */

static dbk_result write_pages(merger *m, stream *s, dbk_error *err)
{
    size_t size = s->full * DBK_INDEX_PAGE_SIZE;

    if (size == 0) return DBK_OK;
    dbk_result rc = dbk_io_write(m->port, m->file, m->name, s->number * DBK_INDEX_PAGE_SIZE, s->data, size, err);
    s->number += s->full;
    s->full = 0;
    m->unsynced += size;
    if (rc != DBK_OK || m->unsynced < SYNC_BYTES) return rc;
    m->unsynced = 0;
    return dbk_io_sync(m->port, m->file, m->name, err);
}

/* The page that is being filled is as full as it gets. */
static dbk_result end_page(merger *m, stream *s, dbk_error *err)
{
    uint8_t *page = s->data + s->full * DBK_INDEX_PAGE_SIZE;

    memset(page + s->filled, 0, DBK_INDEX_PAYLOAD_SIZE - s->filled);
    dbk_index_page_seal(page, s->number + s->full, m->layout.source.salt);
    if (s->first) memcpy(s->first, page, DBK_INDEX_PAGE_SIZE);
    s->first = NULL;
    s->filled = 0;
    return ++s->full == PAGES_AT_ONCE ? write_pages(m, s, err) : DBK_OK;
}

static dbk_result put(merger *m, stream *s, const void *data, size_t size, dbk_error *err)
{
    const uint8_t *from = data;
    dbk_result rc = DBK_OK;

    while (size > 0 && rc == DBK_OK) {
        size_t room = DBK_INDEX_PAYLOAD_SIZE - s->filled, now = size < room ? size : room;
        memcpy(s->data + s->full * DBK_INDEX_PAGE_SIZE + s->filled, from, now);
        s->filled += now;
        from += now;
        size -= now;
        if (s->filled == DBK_INDEX_PAYLOAD_SIZE) rc = end_page(m, s, err);
    }
    return rc;
}

static dbk_result begin_stream(merger *m, stream *s, uint64_t number, size_t filled, dbk_error *err)
{
    s->data = dbk_alloc_zero(m->port, PAGES_AT_ONCE, DBK_INDEX_PAGE_SIZE);
    s->number = number;
    s->filled = filled;
    return s->data ? DBK_OK : fail_memory(m, err);
}

static dbk_result begin_streams(merger *m, dbk_error *err)
{
    uint64_t filter_bytes = (uint64_t)m->layout.block_count * DBK_INDEX_BLOCK_SIZE;
    uint64_t resident = 1 + m->layout.key_pages;
    size_t shared = (size_t)(filter_bytes % DBK_INDEX_PAYLOAD_SIZE);

    m->shared = dbk_alloc_zero(m->port, 1, DBK_INDEX_PAGE_SIZE);
    if (!m->shared) return fail_memory(m, err);
    dbk_result rc = begin_stream(m, &m->keys, 1, 0, err);
    if (rc == DBK_OK) rc = begin_stream(m, &m->filter, resident, 0, err);
    if (rc == DBK_OK) rc = begin_stream(m, &m->rest, resident + filter_bytes / DBK_INDEX_PAYLOAD_SIZE, shared, err);
    if (shared) m->rest.first = m->shared;
    return rc;
}

/* The filter's blocks in front of `index` are complete. */
static dbk_result go_to_block(merger *m, uint64_t index, dbk_error *err)
{
    for (; m->block_index < index; m->block_index++) {
        dbk_result rc = put(m, &m->filter, m->block, sizeof(m->block), err);
        if (rc != DBK_OK) return rc;
        memset(m->block, 0, sizeof(m->block));
    }
    return DBK_OK;
}

static dbk_result put_key(merger *m, const merge_key *key, dbk_error *err)
{
    uint64_t block = dbk_index_filter_block(m->layout.block_count, key->hash) / DBK_INDEX_BLOCK_SIZE;
    uint8_t bytes[DBK_INDEX_KEY_SIZE];

    dbk_store_u64(bytes, key->hash.high);
    dbk_store_u64(bytes + 8, key->hash.low);
    dbk_store_u32(bytes + 16, (uint32_t)(key->position - m->layout.source.first_position));
    dbk_result rc = go_to_block(m, block, err);
    for (uint32_t probe = 0; probe < DBK_INDEX_PROBES; probe++) {
        uint32_t bit = dbk_index_filter_bit(key->hash, probe);
        m->block[bit / 8] |= (uint8_t)(1u << bit % 8);
    }
    bool begins = m->key_index % DBK_INDEX_PAGE_KEYS == 0;
    if (rc == DBK_OK && begins && m->keys.filled) rc = end_page(m, &m->keys, err);
    if (rc == DBK_OK && begins) rc = put(m, &m->rest, bytes, sizeof(bytes), err);
    if (rc == DBK_OK) rc = put(m, &m->keys, bytes, sizeof(bytes), err);
    m->key_index++;
    return rc;
}

static dbk_result merge_keys(merger *m, dbk_error *err)
{
    dbk_result rc = DBK_OK;

    while (rc == DBK_OK) {
        size_t least = m->job->count;
        for (size_t i = 0; i < m->job->count; i++) {
            if (m->inputs[i].ended) continue;
            if (least == m->job->count || is_above(&m->inputs[least].key, &m->inputs[i].key)) least = i;
        }
        if (least == m->job->count) return DBK_OK;
        if (m->key_index % KEYS_BETWEEN_STOPS == 0 && m->job->stop(m->job->arg)) return DBK_END;
        rc = put_key(m, &m->inputs[least].key, err);
        if (rc == DBK_OK) rc = advance(m, least, err);
    }
    return rc;
}

static dbk_result put_batches(merger *m, dbk_error *err)
{
    for (size_t i = 0; i < m->job->count; i++) {
        const dbk_index_layout *layout = m->inputs[i].layout;
        uint64_t from = layout->source.first_position;
        for (uint32_t j = 0; m->job->with_batches[i] && j < layout->batch_count; j++) {
            uint8_t bytes[DBK_INDEX_BATCH_SIZE];
            dbk_index_batch batch;
            dbk_result rc = dbk_index_run_read_batch(m->inputs[i].run, j, &batch, err);
            if (rc == DBK_OK && (batch.first_position < from || batch.first_position > layout->source.last_position))
                rc = dbk_index_run_fail(m->inputs[i].run, 1 + layout->key_pages, "batches are out of order", err);
            if (rc == DBK_CORRUPT) m->bad = i;
            if (rc != DBK_OK) return rc;
            from = batch.first_position + 1;
            dbk_index_batch_encode(&batch, bytes);
            rc = put(m, &m->rest, bytes, sizeof(bytes), err);
            if (rc != DBK_OK) return rc;
        }
    }
    return DBK_OK;
}

static bool goes_on(const dbk_index_author_run *run, const dbk_index_author_run *next)
{
    return run->first_position + run->count == next->first_position && run->first_seq + run->count == next->first_seq &&
           run->incarnation == next->incarnation && memcmp(run->replica, next->replica, sizeof(run->replica)) == 0;
}

static dbk_result put_author(merger *m, const dbk_index_author_run *run, dbk_error *err)
{
    uint8_t bytes[DBK_INDEX_AUTHOR_SIZE];

    if (run->count == 0) return DBK_OK;
    dbk_index_author_encode(run, bytes);
    m->layout.author_count++;
    return put(m, &m->rest, bytes, sizeof(bytes), err);
}

/* One author's seqs go on over the border of two runs. */
static dbk_result put_authors(merger *m, dbk_error *err)
{
    dbk_index_author_run joined = {0};

    m->layout.author_count = 0;
    for (size_t i = 0; i < m->job->count; i++) {
        size_t count;
        const dbk_index_author_run *runs = dbk_index_run_authors(m->inputs[i].run, &count);
        for (size_t j = 0; j < count; j++) {
            if (joined.count && goes_on(&joined, &runs[j])) {
                joined.count += runs[j].count;
                continue;
            }
            dbk_result rc = put_author(m, &joined, err);
            if (rc != DBK_OK) return rc;
            joined = runs[j];
        }
    }
    return put_author(m, &joined, err);
}

/* ---- the file */

/* All counts but that of authors, who may be joined, are known before. */
static dbk_result plan(merger *m, dbk_error *err)
{
    const dbk_index_source *source = m->job->source;
    uint64_t keys = 0, blocks = 0, batches = 0, authors = 0;

    for (size_t i = 0; i < m->job->count; i++) {
        const dbk_index_layout *layout = dbk_index_run_layout(m->job->runs[i]);
        keys += layout->key_count;
        blocks += layout->block_count;
        authors += layout->author_count;
        if (m->job->with_batches[i]) batches += layout->batch_count;
        memcpy(m->layout.store_id, layout->store_id, sizeof(m->layout.store_id));
    }
    if (((source->last_position - source->first_position) | keys | blocks | batches | authors) > UINT32_MAX) /* any */
        return dbk_fail(err, DBK_TOO_BIG, "cannot merge into '%s': there are more keys than a run can have", m->name);
    m->layout.source = *source;
    m->layout.key_count = (uint32_t)keys;
    m->layout.block_count = (uint32_t)blocks;
    m->layout.batch_count = (uint32_t)batches;
    m->layout.author_count = (uint32_t)authors;
    dbk_index_layout_measure(&m->layout);
    return DBK_OK;
}

static dbk_result end_stream(merger *m, stream *s, dbk_error *err)
{
    dbk_result rc = s->filled ? end_page(m, s, err) : DBK_OK;

    return rc == DBK_OK ? write_pages(m, s, err) : rc;
}

/* The filter's last bytes go in front of what the rest put into their page. */
static dbk_result end_filter(merger *m, dbk_error *err)
{
    stream *filter = &m->filter;
    const uint8_t *tail = filter->data + filter->full * DBK_INDEX_PAGE_SIZE;
    uint64_t number = filter->number + filter->full;

    if (!filter->filled) return write_pages(m, filter, err);
    memcpy(m->shared, tail, filter->filled);
    dbk_index_page_seal(m->shared, number, m->layout.source.salt);
    dbk_result rc = write_pages(m, filter, err);
    if (rc != DBK_OK) return rc;
    return dbk_io_write(m->port, m->file, m->name, number * DBK_INDEX_PAGE_SIZE, m->shared, DBK_INDEX_PAGE_SIZE, err);
}

static dbk_result write_header(merger *m, dbk_error *err)
{
    uint8_t page[DBK_INDEX_PAGE_SIZE] = {0};

    dbk_index_layout_measure(&m->layout);
    dbk_index_header_encode(&m->layout, page);
    dbk_index_page_seal(page, 0, m->layout.source.salt);
    dbk_result rc = dbk_io_sync(m->port, m->file, m->name, err);
    if (rc == DBK_OK) rc = dbk_io_write(m->port, m->file, m->name, 0, page, sizeof(page), err);
    return rc == DBK_OK ? dbk_io_sync(m->port, m->file, m->name, err) : rc;
}

static dbk_result write_all(merger *m, dbk_error *err)
{
    dbk_result rc = begin_streams(m, err);

    if (rc == DBK_OK) rc = open_inputs(m, err);
    if (rc == DBK_OK) rc = merge_keys(m, err);
    if (rc == DBK_OK) rc = end_stream(m, &m->keys, err);
    if (rc == DBK_OK) rc = go_to_block(m, m->layout.block_count, err);
    if (rc == DBK_OK) rc = put_batches(m, err);
    if (rc == DBK_OK) rc = put_authors(m, err);
    if (rc == DBK_OK) rc = end_stream(m, &m->rest, err);
    if (rc == DBK_OK) rc = end_filter(m, err);
    return rc == DBK_OK ? write_header(m, err) : rc;
}

static void release(merger *m)
{
    if (m->file) m->port->close_file(m->port->ctx, m->file);
    for (size_t i = 0; m->inputs && i < m->job->count; i++) dbk_free(m->port, m->inputs[i].pages);
    dbk_free(m->port, m->inputs);
    dbk_free(m->port, m->keys.data);
    dbk_free(m->port, m->filter.data);
    dbk_free(m->port, m->rest.data);
    dbk_free(m->port, m->shared);
}

static dbk_result open_empty(merger *m, dbk_dir *dir, dbk_error *err)
{
    dbk_result rc = dbk_io_open(m->port, dir, m->name, DBK_OPEN_READ | DBK_OPEN_WRITE | DBK_OPEN_CREATE, &m->file, err);

    if (rc != DBK_OK) return rc;
    int done = m->port->truncate(m->port->ctx, m->file, 0);
    return done == 0 ? DBK_OK : dbk_fail_os(err, dbk_result_of_errno(done), done, "cannot empty '%s'", m->name);
}

dbk_result dbk_index_runs_merge(const dbk_port *port, dbk_dir *dir, const char *name, const dbk_index_merge *merge,
                                size_t *bad, dbk_error *err)
{
    merger m = {.port = port, .job = merge, .bad = merge->count};
    char temporary[NAME_SIZE];

    assert(merge->count > 0);
    (void)snprintf(temporary, sizeof(temporary), "%s.tmp", name);
    m.name = temporary;
    dbk_result rc = plan(&m, err);
    if (rc != DBK_OK) return rc;
    rc = open_empty(&m, dir, err);
    if (rc == DBK_OK) rc = write_all(&m, err);
    release(&m);
    *bad = m.bad;
    int renamed = rc == DBK_OK ? port->rename(port->ctx, dir, temporary, dir, name) : 0;
    if (renamed != 0) rc = dbk_fail_os(err, dbk_result_of_errno(renamed), renamed, "cannot rename '%s'", temporary);
    if (rc == DBK_OK) return dbk_io_sync_dir(port, dir, "log", err);
    (void)port->unlink(port->ctx, dir, temporary);
    return rc;
}

uint64_t dbk_index_salt_of(dbk_slice salts)
{
    return dbk_checksum(salts, 0);
}
