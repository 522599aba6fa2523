/* What is computed from an entry: leaf, order key, text of its id; and the range over leaves. */
#include "log/entry.h"

#include <assert.h>

enum { REPLICA_DIGITS = 32 };

void dbk_entry_leaf(dbk_slice origin, uint8_t leaf[DBK_LEAF_SIZE])
{
    dbk_digest(DBK_DIGEST_LEAF, origin, leaf, DBK_LEAF_SIZE);
}

void dbk_entry_order_key(const dbk_entry *entry, uint8_t key[DBK_ORDER_KEY_SIZE])
{
    dbk_store_be32(key, entry->epoch);
    dbk_store_be64(key + 4, entry->hlc);
    memcpy(key + 12, entry->id.replica, sizeof(entry->id.replica));
    dbk_store_be32(key + 28, entry->id.incarnation);
    dbk_store_be64(key + 32, entry->id.seq);
}

bool dbk_entry_id_equal(const dbk_entry_id *a, const dbk_entry_id *b)
{
    return a->seq == b->seq && a->incarnation == b->incarnation &&
           memcmp(a->replica, b->replica, sizeof(a->replica)) == 0;
}

/* A dot and the digits; each receipt has two of them. Returns their end. */
static char *put_number(char *out, uint64_t value)
{
    char digits[20];
    size_t count = 0;

    do digits[count++] = (char)('0' + value % 10);
    while ((value /= 10) > 0);
    *out++ = '.';
    while (count > 0) *out++ = digits[--count];
    return out;
}

void dbk_entry_id_text(const dbk_entry_id *id, char out[DBK_ENTRY_ID_TEXT_SIZE])
{
    dbk_hex_encode(dbk_slice_of(id->replica, sizeof(id->replica)), out);
    char *end = put_number(put_number(out + REPLICA_DIGITS, id->incarnation), id->seq);
    *end = '\0';
}

/* Digits as they are printed: at least one, no sign, no leading zero. */
static bool parse_number(dbk_slice text, uint64_t max, uint64_t *out)
{
    uint64_t value = 0;

    if (text.size == 0 || (text.size > 1 && text.data[0] == '0')) return false;
    for (size_t i = 0; i < text.size; i++) {
        if (text.data[i] < '0' || text.data[i] > '9') return false;
        if (!dbk_mul(value, 10, &value)) return false;
        if (!dbk_add(value, (uint64_t)(text.data[i] - '0'), &value)) return false;
    }
    *out = value;
    return value <= max;
}

/* The decoder of base takes both cases; one id has one text. */
static bool is_lower_case(dbk_slice text)
{
    for (size_t i = 0; i < text.size; i++) {
        if (text.data[i] >= 'A' && text.data[i] <= 'Z') return false;
    }
    return true;
}

bool dbk_entry_id_parse(dbk_slice text, dbk_entry_id *id)
{
    dbk_entry_id parsed;
    dbk_slice replica, rest;
    const uint8_t *dot;
    uint64_t incarnation;

    if (text.size < REPLICA_DIGITS + 1 || text.data[REPLICA_DIGITS] != '.') return false;
    replica = dbk_slice_of(text.data, REPLICA_DIGITS);
    rest = dbk_slice_of(text.data + REPLICA_DIGITS + 1, text.size - REPLICA_DIGITS - 1);
    if (!is_lower_case(replica)) return false;
    if (!dbk_hex_decode(replica, parsed.replica, sizeof(parsed.replica))) return false;
    dot = rest.size ? memchr(rest.data, '.', rest.size) : NULL;
    if (!dot) return false;
    if (!parse_number(dbk_slice_of(rest.data, (size_t)(dot - rest.data)), UINT32_MAX, &incarnation)) {
        return false;
    }
    rest = dbk_slice_of(dot + 1, (size_t)(rest.data + rest.size - (dot + 1)));
    if (!parse_number(rest, UINT64_MAX, &parsed.seq) || parsed.seq == 0) return false;
    parsed.incarnation = (uint32_t)incarnation;
    *id = parsed;
    return true;
}

void dbk_range_init(dbk_range *range)
{
    range->count = 0;
    range->peak_count = 0;
}

/* Each one bit of the count from the tree's height on is a tree of the height the new one has grown
 * to: they become one. */
void dbk_range_add_tree(dbk_range *range, unsigned height, const uint8_t root[DBK_LEAF_SIZE])
{
    uint8_t node[DBK_LEAF_SIZE];

    assert(height < 64 && (range->count & ((1ull << height) - 1)) == 0);
    memcpy(node, root, sizeof(node));
    for (uint64_t trees = range->count >> height; trees & 1; trees >>= 1) {
        const dbk_slice pair[] = {
            dbk_slice_of(range->peaks[--range->peak_count], DBK_LEAF_SIZE),
            dbk_slice_of(node, DBK_LEAF_SIZE),
        };
        dbk_digest_parts(DBK_DIGEST_NODE, pair, 2, node, DBK_LEAF_SIZE);
    }
    memcpy(range->peaks[range->peak_count++], node, sizeof(node));
    range->count += 1ull << height;
}

void dbk_range_add(dbk_range *range, const uint8_t leaf[DBK_LEAF_SIZE])
{
    dbk_range_add_tree(range, 0, leaf);
}

bool dbk_range_agrees(const dbk_range *older, const dbk_range *newer)
{
    uint32_t peak = 0;

    for (unsigned height = 64; height-- > 0;) {
        uint64_t tree = 1ull << height;
        if ((older->count & tree) != (newer->count & tree)) return true; /* none in common below */
        if (!(older->count & tree)) continue;
        if (memcmp(older->peaks[peak], newer->peaks[peak], DBK_LEAF_SIZE) != 0) return false;
        peak++;
    }
    return true;
}

void dbk_range_head(const dbk_range *range, uint8_t head[DBK_LEAF_SIZE])
{
    uint8_t count[8] = {0};
    const dbk_slice parts[] = {
        dbk_slice_of(count, sizeof(count)),
        dbk_slice_of(range->peaks, (size_t)range->peak_count * DBK_LEAF_SIZE),
    };

    dbk_store_u64(count, range->count);
    dbk_digest_parts(DBK_DIGEST_HEAD, parts, 2, head, DBK_LEAF_SIZE);
}
