/* A run read through: each page's checksum, the order of the keys, and that filter and fences lead to each of them, for
 * a key that they do not lead to is never found. What the keys should be is for who asks. */
#include "log/index_internal.h"

typedef struct checker {
    dbk_index_run *run;
    const dbk_index_layout *layout;
    dbk_index_key_fn key;
    void *arg;
    uint64_t *offset; /* of the page that is read */
} checker;

/* Bytes of the resident stream; c->offset is where its page begins. */
static dbk_result take(checker *c, uint64_t from, uint8_t *out, size_t size, dbk_error *err)
{
    *c->offset = (1 + c->layout->key_pages + from / DBK_INDEX_PAYLOAD_SIZE) * DBK_INDEX_PAGE_SIZE;
    return dbk_index_run_take_stream(c->run, from, out, size, err);
}

static dbk_result check_filter(checker *c, dbk_hash128 hash, dbk_error *err)
{
    size_t at = dbk_index_filter_block(c->layout->block_count, hash);
    uint8_t block[DBK_INDEX_BLOCK_SIZE];

    dbk_result rc = take(c, at, block, sizeof(block), err);
    for (uint32_t probe = 0; probe < DBK_INDEX_PROBES && rc == DBK_OK; probe++) {
        uint32_t bit = dbk_index_filter_bit(hash, probe);
        if (block[bit / 8] >> bit % 8 & 1) continue;
        rc = dbk_index_run_fail(c->run, *c->offset / DBK_INDEX_PAGE_SIZE, "the filter denies a name that stands in it",
                                err);
    }
    return rc;
}

static dbk_result check_fence(checker *c, uint64_t page, const uint8_t *first, dbk_error *err)
{
    uint64_t fences = (uint64_t)c->layout->block_count * DBK_INDEX_BLOCK_SIZE;
    uint8_t fence[DBK_INDEX_KEY_SIZE];

    dbk_result rc = take(c, fences + page * DBK_INDEX_KEY_SIZE, fence, sizeof(fence), err);
    if (rc != DBK_OK || memcmp(fence, first, sizeof(fence)) == 0) return rc;
    return dbk_index_run_fail(c->run, *c->offset / DBK_INDEX_PAGE_SIZE, "it names another first key of a page", err);
}

static bool is_above(dbk_hash128 hash, uint64_t delta, dbk_hash128 before, uint64_t before_delta)
{
    unsigned __int128 own = dbk_hash128_number(hash), other = dbk_hash128_number(before);

    return own != other ? own > other : delta > before_delta;
}

static dbk_result check_keys(checker *c, dbk_error *err)
{
    const dbk_index_source *source = &c->layout->source;
    uint8_t bytes[DBK_INDEX_PAGE_SIZE];
    dbk_hash128 before = {0};
    uint64_t before_delta = 0, left = c->layout->key_count;

    for (uint64_t page = 0; page < c->layout->key_pages; page++) {
        uint64_t count = left < DBK_INDEX_PAGE_KEYS ? left : DBK_INDEX_PAGE_KEYS;
        *c->offset = (1 + page) * DBK_INDEX_PAGE_SIZE;
        dbk_result rc = dbk_index_run_read_keys(c->run, page, 1, bytes, err);
        for (uint64_t i = 0; i < count && rc == DBK_OK; i++) {
            const uint8_t *at = bytes + i * DBK_INDEX_KEY_SIZE;
            dbk_hash128 hash = {.high = dbk_load_u64(at), .low = dbk_load_u64(at + 8)};
            uint64_t delta = dbk_load_u32(at + 16);
            bool first = left == c->layout->key_count && i == 0;
            if ((!first && !is_above(hash, delta, before, before_delta)) ||
                delta > source->last_position - source->first_position)
                return dbk_index_run_fail(c->run, 1 + page, "a key is out of order, or beyond the segments", err);
            if (c->key) c->key(c->arg, hash, source->first_position + delta);
            rc = check_filter(c, hash, err);
            before = hash;
            before_delta = delta;
        }
        if (rc == DBK_OK) rc = check_fence(c, page, bytes, err);
        if (rc != DBK_OK) return rc;
        left -= count;
    }
    return DBK_OK;
}

dbk_result dbk_index_run_check(dbk_index_run *run, dbk_index_key_fn key, void *arg, uint64_t *offset, dbk_error *err)
{
    checker c = {.run = run, .layout = dbk_index_run_layout(run), .key = key, .arg = arg, .offset = offset};
    dbk_result rc = check_keys(&c, err);

    for (uint64_t at = 0; at < c.layout->resident_bytes && rc == DBK_OK; at += DBK_INDEX_PAYLOAD_SIZE) {
        uint8_t byte;
        rc = take(&c, at, &byte, 1, err);
    }
    return rc;
}
