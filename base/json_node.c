/* What can be asked of a node, and members in the order of their names. */
#include "base/json_internal.h"

const dbk_json_node *dbk_json_find(const dbk_json_node *object, dbk_slice name)
{
    if (object->kind != DBK_JSON_OBJECT) return NULL;
    const dbk_json_node *child = dbk_json_child(object);
    for (uint32_t i = 0; i < object->count; i++, child = dbk_json_next(child))
        if (dbk_slice_equal(child->name, name)) return child;
    return NULL;
}

/* A number as digits * 10^exponent; its grammar was checked by the parser. */
typedef struct decimal {
    bool negative;
    bool too_long; /* over 2^64 - 1 */
    uint64_t digits;
    int64_t exponent;
} decimal;

/* Zeros are held back until another digit follows, so that 100 is 1 * 10^2 and 5.0 is 5 * 10^0. */
static decimal read_decimal(dbk_slice text)
{
    decimal d = {0};
    const uint8_t *at = text.data, *end = text.data + text.size;
    bool fraction = false;
    int64_t zeros = 0, sent = 0;
    for (; at < end && *at != 'e' && *at != 'E'; at++) {
        if (*at == '-') d.negative = true;
        if (*at == '.') fraction = true;
        if (*at < '0') continue;
        if (fraction) d.exponent--;
        zeros++;
        if (*at == '0') continue;
        for (; zeros > 0 && !d.too_long; zeros--)
            d.too_long = d.digits && __builtin_mul_overflow(d.digits, 10u, &d.digits);
        d.too_long = d.too_long || __builtin_add_overflow(d.digits, *at - '0', &d.digits);
        zeros = 0;
    }
    bool shrinks = at < end && at[1] == '-';
    for (; at < end; at++)
        if (*at >= '0' && *at <= '9' && sent < INT64_C(1) << 40) sent = sent * 10 + (*at - '0');
    d.exponent += zeros + (shrinks ? -sent : sent);
    return d;
}

bool dbk_json_is_integer(const dbk_json_node *node, int64_t *value)
{
    if (node->kind != DBK_JSON_NUMBER) return false;
    decimal d = read_decimal(node->text);
    if (d.too_long || (d.digits && (d.exponent < 0 || d.exponent > 18))) return false;
    for (; d.digits && d.exponent > 0; d.exponent--)
        if (__builtin_mul_overflow(d.digits, 10u, &d.digits)) return false;
    if (d.digits > (uint64_t)INT64_MAX + d.negative) return false;
    *value = d.negative ? (int64_t)(0 - d.digits) : (int64_t)d.digits;
    return true;
}

static uint64_t head_of(dbk_slice name)
{
    uint64_t head = 0;
    if (name.size >= 8) return __builtin_bswap64(dbk_load_u64(name.data));
    for (size_t i = 0; i < name.size; i++) head |= (uint64_t)name.data[i] << (56 - 8 * i);
    return head;
}

void dbk_json_list_members(const dbk_json_node *object, dbk_json_named *members)
{
    const dbk_json_node *child = object + 1;
    for (uint32_t i = 0; i < object->count; i++, child = dbk_json_next(child))
        members[i] = (dbk_json_named){head_of(child->name), child};
}

/* Zeros behind a short name keep the order: equal heads are decided by the whole names. */
static inline bool comes_before(const dbk_json_named *a, const dbk_json_named *b)
{
    if (a->first != b->first) return a->first < b->first;
    return dbk_slice_compare(a->node->name, b->node->name) < 0;
}

static void insertion_sort(dbk_json_named *members, size_t count)
{
    for (size_t i = 1; i < count; i++) {
        dbk_json_named moved = members[i];
        size_t to = i;
        for (; to > 0 && comes_before(&moved, &members[to - 1]); to--) members[to] = members[to - 1];
        members[to] = moved;
    }
}

/* Lets members[at] sink in the heap of `count` whose largest member is on top. */
static void sift_down(dbk_json_named *members, size_t at, size_t count)
{
    dbk_json_named moved = members[at];
    for (size_t child; (child = 2 * at + 1) < count; at = child) {
        if (child + 1 < count && comes_before(&members[child], &members[child + 1])) child++;
        if (!comes_before(&moved, &members[child])) break;
        members[at] = members[child];
    }
    members[at] = moved;
}

/* A heap for many: no input from outside makes it slow, and it needs no memory. */
void dbk_json_sort(dbk_json_named *members, size_t count)
{
    if (count <= 32) {
        insertion_sort(members, count);
        return;
    }
    for (size_t i = count / 2; i-- > 0;) sift_down(members, i, count);
    for (size_t last = count; last-- > 1;) {
        dbk_json_named top = members[0];
        members[0] = members[last];
        members[last] = top;
        sift_down(members, 0, last);
    }
}
