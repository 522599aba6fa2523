/* UTF-8 by the tables of the standard, and the nearest of some names, for "did you mean". */
#include "base/text.h"

enum { NAME_SIZE_MAX = 128 };

/* Bytes of the character at `at`, 0 if it is not well-formed. The second byte carries the rules
 * against overlong forms, surrogates and code points beyond U+10FFFF. */
static size_t utf8_character(const uint8_t *at, size_t left)
{
    uint8_t lead = at[0], low = 0x80, high = 0xBF;
    size_t size;

    if (lead < 0x80) return 1;
    if (lead < 0xC2 || lead > 0xF4) return 0;
    size = lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
    if (left < size) return 0;
    if (lead == 0xE0) low = 0xA0;
    if (lead == 0xED) high = 0x9F;
    if (lead == 0xF0) low = 0x90;
    if (lead == 0xF4) high = 0x8F;
    if (at[1] < low || at[1] > high) return 0;
    for (size_t i = 2; i < size; i++) {
        if ((at[i] & 0xC0) != 0x80) return 0;
    }
    return size;
}

bool dbk_utf8_valid(dbk_slice text)
{
    const uint64_t high_bits = 0x8080808080808080u;
    size_t at = 0;

    while (at < text.size) {
        if (text.size - at >= 8 && (dbk_load_u64(text.data + at) & high_bits) == 0) {
            at += 8;
            continue;
        }
        size_t size = utf8_character(text.data + at, text.size - at);
        if (size == 0) return false;
        at += size;
    }
    return true;
}

size_t dbk_utf8_readable(dbk_slice text, uint8_t *out)
{
    static const uint8_t replacement[DBK_UTF8_READABLE] = {0xef, 0xbf, 0xbd};
    uint8_t *to = out;

    for (size_t at = 0; at < text.size;) {
        size_t size = utf8_character(text.data + at, text.size - at), step = size ? size : 1;
        const uint8_t *from = size ? text.data + at : replacement;
        if (!size) size = sizeof(replacement);
        memcpy(to, from, size);
        to += size;
        at += step;
    }
    return (size_t)(to - out);
}

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Edits between two names: insert, remove, replace a byte, or swap two neighbours. rows[0] is the
 * row being filled, rows[1] the one before, rows[2] the one before that. */
static size_t edits_between(dbk_slice a, dbk_slice b)
{
    size_t space[3][NAME_SIZE_MAX + 1];
    size_t *rows[3] = {space[0], space[1], space[2]};

    for (size_t j = 0; j <= b.size; j++) rows[0][j] = j;
    for (size_t i = 1; i <= a.size; i++) {
        size_t *oldest = rows[2];
        rows[2] = rows[1];
        rows[1] = rows[0];
        rows[0] = oldest;
        rows[0][0] = i;
        for (size_t j = 1; j <= b.size; j++) {
            size_t replaced = rows[1][j - 1] + (a.data[i - 1] != b.data[j - 1]);
            size_t edits = least(replaced, least(rows[1][j], rows[0][j - 1]) + 1);
            if (i > 1 && j > 1 && a.data[i - 1] == b.data[j - 2] && a.data[i - 2] == b.data[j - 1]) {
                edits = least(edits, rows[2][j - 2] + 1);
            }
            rows[0][j] = edits;
        }
    }
    return rows[0][b.size];
}

const char *dbk_nearest(dbk_slice name, const char *const *names, size_t count)
{
    const char *best = NULL;
    size_t limit = name.size / 3 > 1 ? name.size / 3 : 1;

    if (name.size == 0 || name.size > NAME_SIZE_MAX) return NULL;
    for (size_t i = 0; i < count; i++) {
        dbk_slice other = dbk_slice_text(names[i]);
        if (other.size == 0 || other.size > NAME_SIZE_MAX) continue;
        size_t edits = edits_between(name, other);
        if (edits > limit || (best && edits == limit)) continue;
        best = names[i];
        limit = edits;
    }
    return best;
}
