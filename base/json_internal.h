/* What the reader and the writers of JSON share. Not for other folders. */
#ifndef DBK_JSON_INTERNAL_H
#define DBK_JSON_INTERNAL_H

#include "base/json.h"

#ifdef __SSE2__
#include <emmintrin.h>
#endif

/* A member on its way through a sort: most comparisons are decided by `first`. */
typedef struct dbk_json_named {
    uint64_t first; /* the first eight bytes of the name, big-endian, zeros behind a shorter one */
    const dbk_json_node *node;
} dbk_json_named;

/* Sorts by the bytes of the names; in place, O(n log n) for every input. */
void dbk_json_sort(dbk_json_named *members, size_t count);
/* Fills `members` with object->count entries, unsorted. */
void dbk_json_list_members(const dbk_json_node *object, dbk_json_named *members);

/* Bytes of the well-formed UTF-8 character at `at`, 0 if there is none (RFC 3629). A NUL ends it.
 */
size_t dbk_json_character_size(const uint8_t *at);
/* `at` is at a backslash of a NUL-ended text. Writes what the escape means, at most as long, to
 * *to, which it moves; returns what follows. NULL: a bad one, *fault says why. */
const uint8_t *dbk_json_unescape(const uint8_t *at, uint8_t **to, const char **fault);

/* Whether a number of correct grammar rounds to a finite double. */
bool dbk_json_is_finite(dbk_slice number);
enum { DBK_JSON_DOUBLE_SIZE = 40 };
/* Shortest decimal text of a finite double, in no locale; returns its length, no NUL behind it. */
size_t dbk_json_format_double(double value, char out[DBK_JSON_DOUBLE_SIZE]);

/* The high bit of a byte of the result is set where `word` holds '"', '\\' or a control character.
 * Exact up to and including the lowest such byte, which is the one that the callers ask for. */
static inline uint64_t dbk_json_special_bytes(uint64_t word)
{
    const uint64_t ones = 0x0101010101010101u, high = 0x8080808080808080u;
    uint64_t quote = word ^ (ones * '"'), backslash = word ^ (ones * '\\');
    uint64_t zero = ((quote - ones) & ~quote) | ((backslash - ones) & ~backslash);
    return (zero | ((word - ones * 0x20) & ~word)) & high;
}

enum { DBK_JSON_STRIDE = 16 };

/* The first of the 16 bytes at `at` that is special, 16 if none is. */
static inline size_t dbk_json_plain_sixteen(const uint8_t *at)
{
#ifdef __SSE2__
    __m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)at);
    __m128i quote = _mm_cmpeq_epi8(bytes, _mm_set1_epi8('"')), backslash = _mm_cmpeq_epi8(bytes, _mm_set1_epi8('\\'));
    __m128i control = _mm_cmpeq_epi8(_mm_min_epu8(bytes, _mm_set1_epi8(0x1f)), bytes);
    int special = _mm_movemask_epi8(_mm_or_si128(_mm_or_si128(quote, backslash), control));
    return special ? (size_t)__builtin_ctz((unsigned)special) : (size_t)DBK_JSON_STRIDE;
#else
    uint64_t special = dbk_json_special_bytes(dbk_load_u64(at));
    if (special) return (size_t)__builtin_ctzll(special) / 8;
    special = dbk_json_special_bytes(dbk_load_u64(at + 8));
    return special ? 8 + (size_t)__builtin_ctzll(special) / 8 : (size_t)DBK_JSON_STRIDE;
#endif
}

#endif
