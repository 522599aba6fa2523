/* Making and checking proofs. Everything is made of the roots of perfect trees: tree (first, height)
 * stands for the leaves first … first + 2^height - 1, first being a multiple of 2^height.
 *
 * Such a root need not be computed from its leaves. A tree that is a left child is a peak of the range
 * for as long as its sibling is not full, and the start record of each segment holds the peaks there;
 * so of the trees larger than a segment one per level at most is put together, from two halves of which
 * the left one is such a peak. What is hashed are parts of a few segments. */
#include "log/proof.h"

#include "log/load.h"

#include <assert.h>

static void join(const uint8_t left[DBK_LEAF_SIZE], const uint8_t right[DBK_LEAF_SIZE], uint8_t out[DBK_LEAF_SIZE])
{
    const dbk_slice pair[] = {dbk_slice_of(left, DBK_LEAF_SIZE), dbk_slice_of(right, DBK_LEAF_SIZE)};

    dbk_digest_parts(DBK_DIGEST_NODE, pair, 2, out, DBK_LEAF_SIZE);
}

/* The root, if it is one of the peaks. */
static bool peak_of(const dbk_range *range, uint64_t first, unsigned height, uint8_t out[DBK_LEAF_SIZE])
{
    uint64_t above = range->count >> height;

    if (!(above & 1) || (above & ~1ull) << height != first) return false;
    memcpy(out, range->peaks[__builtin_popcountll(above) - 1], DBK_LEAF_SIZE);
    return true;
}

/* The first segment that begins at or behind `end` leaves; NULL: none. */
static dbk_segment *first_behind(dbk_log *log, uint64_t end)
{
    dbk_log_lock(log);
    size_t low = 0, high = log->segment_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (log->segments[middle]->first_position - 1 >= end) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    dbk_segment *segment = low < log->segment_count ? log->segments[low] : NULL;
    dbk_log_unlock(log);
    return segment;
}

/* The starts read last, since neighbouring trees ask for the same ones. */
enum { STARTS_KEPT = 8 };
typedef struct prover {
    dbk_log *log;
    const dbk_segment *of[STARTS_KEPT];
    dbk_start starts[STARTS_KEPT];
    unsigned turn;
} prover;

static dbk_result start_of(prover *p, dbk_segment *segment, const dbk_start **out, dbk_error *err)
{
    for (unsigned i = 0; i < STARTS_KEPT; i++) {
        *out = &p->starts[i];
        if (p->of[i] == segment) return DBK_OK;
    }
    unsigned slot = p->turn++ % STARTS_KEPT;
    p->of[slot] = NULL;
    dbk_result rc = dbk_load_range(p->log, segment, &p->starts[slot], err);
    if (rc == DBK_OK) p->of[slot] = segment;
    *out = &p->starts[slot];
    return rc;
}

static prover *prover_new(dbk_log *log, dbk_error *err)
{
    prover *p = dbk_alloc_zero(log->port, 1, sizeof(*p));

    if (p) {
        p->log = log;
    } else {
        (void)dbk_fail(err, DBK_NO_MEMORY, "cannot make a proof: out of memory");
    }
    return p;
}

/* Looks at the present end and at the first start that lies behind the tree. */
static dbk_result known_peak(prover *p, uint64_t first, unsigned height, uint8_t out[DBK_LEAF_SIZE], bool *found,
                             dbk_error *err)
{
    dbk_log *log = p->log;
    uint64_t end = first + (1ull << height);
    const dbk_start *start;

    dbk_log_lock(log);
    *found = peak_of(&log->state.range, first, height, out);
    dbk_log_unlock(log);
    dbk_segment *segment = *found ? NULL : first_behind(log, end);
    if (!segment || segment->first_position - 1 - end >= 1ull << height) return DBK_OK;
    dbk_result rc = start_of(p, segment, &start, err);
    if (rc == DBK_OK) *found = peak_of(&start->range, first, height, out);
    return rc;
}

static dbk_result hash_leaves(dbk_log *log, uint64_t first, unsigned height, uint8_t out[DBK_LEAF_SIZE], dbk_error *err)
{
    dbk_range *range = dbk_alloc(log->port, sizeof(*range));
    dbk_log_cursor *cursor = NULL;
    uint8_t leaf[DBK_LEAF_SIZE];
    dbk_slice origin;

    if (!range) return dbk_fail(err, DBK_NO_MEMORY, "cannot make a proof: out of memory");
    dbk_range_init(range);
    dbk_result rc = dbk_log_cursor_open(log, first + 1, first + (1ull << height), &cursor, err);
    while (rc == DBK_OK) {
        rc = dbk_log_cursor_next(cursor, NULL, NULL, &origin, err);
        if (rc != DBK_OK) break;
        dbk_entry_leaf(origin, leaf);
        dbk_range_add(range, leaf);
    }
    dbk_log_cursor_close(cursor);
    if (rc == DBK_END && dbk_never(range->count != 1ull << height)) /* a cursor ends behind the last position only */
        rc = dbk_fail(err, DBK_CORRUPT, "the log ends within a proof");
    if (rc == DBK_END) memcpy(out, range->peaks[0], DBK_LEAF_SIZE);
    dbk_free(log->port, range);
    return rc == DBK_END ? DBK_OK : rc;
}

/* Goes down the right edge of the tree: the left halves wait until the last piece is known. */
static dbk_result tree_root(prover *p, uint64_t first, unsigned height, uint8_t out[DBK_LEAF_SIZE], dbk_error *err)
{
    dbk_log *log = p->log;
    uint8_t(*left)[DBK_LEAF_SIZE] = dbk_alloc(log->port, 64 * DBK_LEAF_SIZE);
    unsigned halves = 0;
    dbk_result rc = DBK_OK;

    if (!left) return dbk_fail(err, DBK_NO_MEMORY, "cannot make a proof: out of memory");
    for (bool found = false; rc == DBK_OK;) {
        rc = known_peak(p, first, height, out, &found, err);
        if (rc != DBK_OK || found) break;
        bool within = dbk_log_segment_of(log, first + 1) == dbk_log_segment_of(log, first + (1ull << height));
        if (!within) rc = known_peak(p, first, height - 1, left[halves], &found, err);
        if (rc == DBK_OK && !found) {
            rc = hash_leaves(log, first, height, out, err);
            break;
        }
        halves++;
        height--;
        first += 1ull << height;
    }
    while (rc == DBK_OK && halves > 0) join(left[--halves], out, out);
    dbk_free(log->port, left);
    return rc;
}

static dbk_result range_at(prover *p, uint64_t count, dbk_range *out, dbk_error *err)
{
    dbk_result rc = DBK_OK;

    dbk_range_init(out);
    for (unsigned height = 64; height-- > 0 && rc == DBK_OK;) {
        uint8_t root[DBK_LEAF_SIZE];
        if (!(count >> height & 1)) continue;
        rc = tree_root(p, out->count, height, root, err);
        if (rc == DBK_OK) dbk_range_add_tree(out, height, root);
    }
    return rc;
}

dbk_result dbk_log_range_at(dbk_log *log, uint64_t count, dbk_range *out, dbk_error *err)
{
    if (count > dbk_log_position(log)) return DBK_NONE;
    prover *p = prover_new(log, err);
    dbk_result rc = p ? range_at(p, count, out, err) : DBK_NO_MEMORY;
    dbk_free(log->port, p);
    return rc;
}

/* The peak that stands for the leaf, which is below `count`: its height, its index, and its first leaf. */
static unsigned find_peak(uint64_t count, uint64_t leaf, uint32_t *index, uint64_t *first)
{
    assert(leaf < count);
    *first = 0;
    *index = 0;
    for (unsigned height = 63;; height--) {
        uint64_t tree = 1ull << height;
        if (!(count & tree)) continue;
        if (leaf - *first < tree) return height;
        *first += tree;
        ++*index;
    }
}

dbk_result dbk_log_prove(dbk_log *log, uint64_t position, uint64_t count, dbk_inclusion *out, dbk_error *err)
{
    uint64_t end = dbk_log_position(log), first, leaf = position - 1;
    uint32_t index;
    dbk_buffer origin;

    if (count == 0) count = end;
    if (position == 0 || position > count || count > end) return DBK_NONE;
    prover *p = prover_new(log, err);
    if (!p) return DBK_NO_MEMORY;
    out->position = position;
    dbk_buffer_init(&origin, log->port);
    dbk_result rc = dbk_log_read(log, position, &origin, NULL, err);
    if (rc == DBK_OK) dbk_entry_leaf(dbk_buffer_slice(&origin), out->leaf);
    dbk_buffer_release(&origin);
    if (rc == DBK_OK) rc = range_at(p, count, &out->range, err);
    out->path_count = find_peak(count, leaf, &index, &first);
    for (unsigned height = 0; height < out->path_count && rc == DBK_OK; height++) {
        uint64_t sibling = ((leaf - first) >> height ^ 1) << height;
        rc = tree_root(p, first + sibling, height, out->path[height], err);
    }
    dbk_free(log->port, p);
    if (rc != DBK_OK || dbk_inclusion_holds(out)) return rc;
    return dbk_fail(err, DBK_CORRUPT, "the entry at position %llu is not under its head", (unsigned long long)position);
}

static bool is_range(const dbk_range *range)
{
    return range->peak_count == (uint32_t)__builtin_popcountll(range->count);
}

bool dbk_inclusion_holds(const dbk_inclusion *proof)
{
    uint8_t node[DBK_LEAF_SIZE];
    uint64_t first, leaf = proof->position - 1;
    uint32_t index;

    if (!is_range(&proof->range) || proof->position == 0 || proof->position > proof->range.count) return false;
    unsigned height = find_peak(proof->range.count, leaf, &index, &first);
    if (proof->path_count != height) return false;
    memcpy(node, proof->leaf, sizeof(node));
    for (unsigned i = 0; i < height; i++) {
        bool right = (leaf - first) >> i & 1;
        join(right ? proof->path[i] : node, right ? node : proof->path[i], node);
    }
    return memcmp(node, proof->range.peaks[index], sizeof(node)) == 0;
}

/* Of the tree that comes next behind `at` leaves on the way to `count`, at < count: the largest that fits and may stand
 * there. */
static unsigned next_height(uint64_t at, uint64_t count)
{
    unsigned fits = 63 - (unsigned)__builtin_clzll(count - at);
    unsigned may = at ? (unsigned)__builtin_ctzll(at) : 63;

    return fits < may ? fits : may;
}

dbk_result dbk_log_prove_extension(dbk_log *log, uint64_t old, uint64_t count, dbk_extension *out, dbk_error *err)
{
    uint64_t end = dbk_log_position(log);

    if (count == 0) count = end;
    if (old > count || count > end) return DBK_NONE;
    prover *p = prover_new(log, err);
    if (!p) return DBK_NO_MEMORY;
    out->tree_count = 0;
    dbk_result rc = range_at(p, old, &out->old, err);
    if (rc == DBK_OK) rc = range_at(p, count, &out->range, err);
    for (uint64_t at = old; at < count && rc == DBK_OK;) {
        unsigned height = next_height(at, count);
        assert(out->tree_count < DBK_EXTENSION_TREES_MAX);
        rc = tree_root(p, at, height, out->trees[out->tree_count++], err);
        at += 1ull << height;
    }
    dbk_free(log->port, p);
    if (rc != DBK_OK || dbk_extension_holds(out)) return rc;
    return dbk_fail(err, DBK_CORRUPT, "the head at position %llu does not extend that at %llu",
                    (unsigned long long)count, (unsigned long long)old);
}

bool dbk_extension_holds(const dbk_extension *proof)
{
    dbk_range range = proof->old;
    uint32_t used = 0;

    if (!is_range(&proof->old) || !is_range(&proof->range)) return false;
    if (proof->old.count > proof->range.count) return false;
    while (range.count < proof->range.count) {
        if (used == proof->tree_count) return false;
        dbk_range_add_tree(&range, next_height(range.count, proof->range.count), proof->trees[used++]);
    }
    return used == proof->tree_count &&
           memcmp(range.peaks, proof->range.peaks, (size_t)range.peak_count * DBK_LEAF_SIZE) == 0;
}
