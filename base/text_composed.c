/* Unicode normalisation form C (UAX #15). The tables are utf8proc's; the walk is ours, for three reasons:
 *
 *   - most text needs no tables: what stands in `is_still` below is copied byte by byte
 *   - the library's own ordering of marks takes the square of their number, which a hostile text would ask for
 *   - it swallows U+11A7 behind a Hangul syllable, which is no trailing consonant
 *
 * A text is cut before every still character that another still one follows; each piece between is decomposed, its
 * marks are ordered, and it is composed in place. */
#include <utf8proc.h>

#include "base/never.h"
#include "base/text.h"

/* Bytes of characters that are as they are in form C, are no marks and join with nothing before them: all below
 * U+0300, U+0400 to U+047F (Cyrillic), U+4000 to U+9FFF (Chinese), U+B000 to U+CFFF (Hangul), and what follows a
 * first byte. What is one now stays one in later versions of Unicode (its stability policy). */
static inline bool is_still(uint8_t byte)
{
    return byte < 0xcc || byte == 0xd0 || byte == 0xd1 || (byte >= 0xe4 && byte <= 0xec && byte != 0xea);
}

static inline bool is_first(uint8_t byte)
{
    return (byte & 0xc0) != 0x80;
}

static utf8proc_int32_t *points_of(const dbk_buffer *wide)
{
    return (utf8proc_int32_t *)(void *)wide->data;
}

static size_t count_of(const dbk_buffer *wide)
{
    return wide->size / sizeof(utf8proc_int32_t);
}

static uint8_t class_of(utf8proc_int32_t point)
{
    return (uint8_t)utf8proc_get_property(point)->combining_class;
}

/* ---- the order of marks */

/* Counted by class, so that the time is a line; what is of one class keeps its order. */
static void order_run(dbk_buffer *wide, size_t from, size_t count)
{
    size_t places[257] = {0}, bytes = count * sizeof(utf8proc_int32_t);
    utf8proc_int32_t *sorted = (utf8proc_int32_t *)(void *)dbk_buffer_extend(wide, bytes);

    if (!sorted) return;
    utf8proc_int32_t *run = points_of(wide) + from;
    for (size_t i = 0; i < count; i++) places[class_of(run[i]) + 1]++;
    for (size_t i = 1; i < 256; i++) places[i] += places[i - 1];
    for (size_t i = 0; i < count; i++) sorted[places[class_of(run[i])]++] = run[i];
    memcpy(run, sorted, bytes);
    wide->size -= bytes;
}

static void order_marks(dbk_buffer *wide)
{
    size_t count = count_of(wide), from = 0;
    bool ordered = true;

    for (size_t i = 0; i <= count && !wide->failed; i++) {
        uint8_t class = i < count ? class_of(points_of(wide)[i]) : 0;
        if (class && i > from) ordered = ordered && class_of(points_of(wide)[i - 1]) <= class;
        if (class) continue;
        if (!ordered) order_run(wide, from, i - from);
        from = i + 1;
        ordered = true;
    }
}

/* ---- a piece */

static void put_composed(dbk_buffer *out, dbk_buffer *wide)
{
    uint8_t bytes[4];

    order_marks(wide);
    utf8proc_ssize_t count = wide->failed || !wide->size
                                 ? 0
                                 : utf8proc_normalize_utf32(points_of(wide), (utf8proc_ssize_t)count_of(wide),
                                                            UTF8PROC_STABLE | UTF8PROC_COMPOSE);
    for (utf8proc_ssize_t i = 0; i < count; i++)
        dbk_buffer_put(out, bytes, (size_t)utf8proc_encode_char(points_of(wide)[i], bytes));
    out->failed = out->failed || wide->failed;
    dbk_buffer_clear(wide);
}

static bool put_decomposed(dbk_buffer *wide, utf8proc_int32_t point)
{
    utf8proc_int32_t parts[16]; /* four is the most in any version so far */
    int before = 0;
    utf8proc_ssize_t count = utf8proc_decompose_char(point, parts, 16, UTF8PROC_STABLE | UTF8PROC_DECOMPOSE, &before);

    if (dbk_never(count < 0 || count > 16)) return false; /* of what the library itself has read */
    dbk_buffer_put(wide, parts, (size_t)count * sizeof(*parts));
    return true;
}

static bool compose_piece(dbk_buffer *out, dbk_slice piece, dbk_buffer *wide)
{
    enum { HANGUL_BEFORE_TRAILING = 0x11a7 };
    utf8proc_int32_t point;

    dbk_buffer_clear(wide);
    for (size_t at = 0; at < piece.size;) {
        utf8proc_ssize_t size = utf8proc_iterate(piece.data + at, (utf8proc_ssize_t)(piece.size - at), &point);
        if (size <= 0) return false;
        if (point == HANGUL_BEFORE_TRAILING) put_composed(out, wide);
        if (!put_decomposed(wide, point)) return false;
        at += (size_t)size;
    }
    put_composed(out, wide);
    return true;
}

/* ---- the text */

static size_t still_end(dbk_slice text, size_t at)
{
    while (at < text.size && is_still(text.data[at])) at++;
    return at;
}

bool dbk_utf8_is_still(dbk_slice text)
{
    return still_end(text, 0) == text.size;
}

bool dbk_utf8_compose(dbk_buffer *out, dbk_slice text, dbk_buffer *wide)
{
    size_t was = out->size, at = 0;

    while (at < text.size) {
        size_t from = still_end(text, at), end = from;
        if (from < text.size)
            while (from > at && !is_first(text.data[--from])) continue; /* what marks may join with */
        dbk_buffer_put(out, text.data + at, from - at);
        while (end < text.size && !(is_first(text.data[end]) && is_still(text.data[end]))) end++;
        if (from < end && !compose_piece(out, dbk_slice_of(text.data + from, end - from), wide)) {
            out->size = was;
            return false;
        }
        at = end;
    }
    return true;
}
