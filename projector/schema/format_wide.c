/* Formats with characters beyond ASCII, judged by their forms in ASCII with a letter in the place of each such
 * character; and URI templates (RFC 6570). */
#include "projector/schema/internal.h"

/* The character at `at`; the text was checked. */
static uint32_t take_character(dbk_slice text, size_t *at)
{
    uint8_t first = text.data[(*at)++];
    size_t more = first < 0x80 ? 0 : first < 0xe0 ? 1 : first < 0xf0 ? 2 : 3;
    uint32_t c = more == 0 ? first : first & (0x3fu >> more);

    while (more-- && *at < text.size) c = c << 6 | (text.data[(*at)++] & 0x3f);
    return c;
}

static bool is_private(uint32_t c)
{
    return (c >= 0xe000 && c <= 0xf8ff) || c >= 0xf0000;
}

static bool is_no_character(uint32_t c)
{
    return (c & 0xfffe) == 0xfffe || (c >= 0xfdd0 && c <= 0xfdef);
}

/* RFC 3987: no controls and no special ones, private ones in the query alone. */
static bool is_of_iri(uint32_t c, bool in_query)
{
    if (c < 0xa0 || (c >= 0xfff0 && c <= 0xffff) || is_no_character(c)) return false;
    return !is_private(c) || in_query;
}

bool dbk_schema_narrow(dbk_slice text, bool iri, dbk_buffer *out)
{
    bool in_query = false;

    for (size_t at = 0; at < text.size;) {
        uint32_t c = take_character(text, &at);
        if (c == '#') in_query = false;
        else if (c == '?') in_query = true;
        if (c >= 0x80 && iri && !is_of_iri(c, in_query)) return false;
        dbk_buffer_put_u8(out, c < 0x80 ? (uint8_t)c : 'x');
    }
    return true;
}

/* ---- URI templates */

static bool is_hex(uint8_t c)
{
    return (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'f');
}

static bool is_encoded(dbk_slice text, size_t at)
{
    return text.data[at] == '%' && at + 2 < text.size && is_hex(text.data[at + 1]) && is_hex(text.data[at + 2]);
}

static bool is_name_byte(uint8_t c)
{
    return (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') || c == '_';
}

/* "a.b", "a:3", "a*": moves behind it. */
static bool take_variable(dbk_slice text, size_t *at)
{
    size_t digits = 0;

    for (bool part = false;; (*at)++) {
        uint8_t c = *at < text.size ? text.data[*at] : 0;
        if (is_name_byte(c)) part = true;
        else if (c == '%' && is_encoded(text, *at)) part = true, *at += 2;
        else if (c == '.' && part) part = false;
        else if (!part) return false;
        else break;
    }
    if (*at < text.size && text.data[*at] == '*') return ++*at, true;
    if (*at == text.size || text.data[*at] != ':') return true;
    while (++*at < text.size && text.data[*at] >= '0' && text.data[*at] <= '9')
        if (digits++ == 0 && text.data[*at] == '0') return false;
    return digits > 0 && digits < 5;
}

static bool take_expression(dbk_slice text, size_t *at)
{
    if (*at < text.size && strchr("+#./;?&=,!@|", text.data[*at]) && text.data[*at]) {
        if (strchr("=,!@|", text.data[*at])) return false; /* kept for later */
        ++*at;
    }
    while (take_variable(text, at)) {
        if (*at == text.size) return false;
        if (text.data[*at] == '}') return ++*at, true;
        if (text.data[(*at)++] != ',') return false;
    }
    return false;
}

bool dbk_schema_is_uri_template(dbk_slice text)
{
    for (size_t at = 0; at < text.size;) {
        uint8_t c = text.data[at];
        if (c == '{') {
            at++;
            if (!take_expression(text, &at)) return false;
        } else if (c == '%') {
            if (!is_encoded(text, at)) return false;
            at += 3;
        } else if (c >= 0x80) {
            uint32_t character = take_character(text, &at);
            if (!is_of_iri(character, true)) return false;
        } else if (c <= 0x20 || c == 0x7f || strchr("\"<>\\^`|}", c)) {
            return false;
        } else {
            at++;
        }
    }
    return true;
}
