/* Escapes and UTF-8 of JSON strings, away from the fast path. */
#include "base/json_internal.h"

static bool continues(uint8_t byte)
{
    return (byte & 0xc0) == 0x80;
}

size_t dbk_json_character_size(const uint8_t *at)
{
    uint8_t a = at[0], b = at[1];
    if (a < 0x80) return 1;
    if (a < 0xc2 || a > 0xf4 || !continues(b)) return 0;
    if (a < 0xe0) return 2;
    if ((a == 0xe0 && b < 0xa0) || (a == 0xed && b > 0x9f) || !continues(at[2])) return 0;
    if (a < 0xf0) return 3;
    if ((a == 0xf0 && b < 0x90) || (a == 0xf4 && b > 0x8f) || !continues(at[3])) return 0;
    return 4;
}

/* The UTF-16 unit of four digits, or -1; a NUL among them ends the reading. */
static int32_t hex_unit(const uint8_t *at)
{
    int32_t unit = 0;
    for (int i = 0; i < 4; i++) {
        int32_t digit = at[i] - '0', letter = (at[i] | 0x20) - 'a';
        if (digit >= 0 && digit <= 9) unit = unit * 16 + digit;
        else if (letter >= 0 && letter < 6) unit = unit * 16 + letter + 10;
        else return -1;
    }
    return unit;
}

static uint8_t *put_utf8(uint8_t *to, uint32_t point)
{
    if (point < 0x80) {
        *to++ = (uint8_t)point;
        return to;
    }
    if (point < 0x800) {
        *to++ = (uint8_t)(0xc0 | point >> 6);
    } else if (point < 0x10000) {
        *to++ = (uint8_t)(0xe0 | point >> 12);
        *to++ = (uint8_t)(0x80 | (point >> 6 & 0x3f));
    } else {
        *to++ = (uint8_t)(0xf0 | point >> 18);
        *to++ = (uint8_t)(0x80 | (point >> 12 & 0x3f));
        *to++ = (uint8_t)(0x80 | (point >> 6 & 0x3f));
    }
    *to++ = (uint8_t)(0x80 | (point & 0x3f));
    return to;
}

static const uint8_t *unescape_unicode(const uint8_t *at, uint8_t **to, const char **fault)
{
    int32_t unit = hex_unit(at + 2);
    *fault = "\\u without four hexadecimal digits";
    if (unit < 0) return NULL;
    if (unit < 0xd800 || unit > 0xdfff) {
        *to = put_utf8(*to, (uint32_t)unit);
        return at + 6;
    }
    *fault = "half of a surrogate pair";
    if (unit > 0xdbff || at[6] != '\\' || at[7] != 'u') return NULL;
    int32_t low = hex_unit(at + 8);
    if (low < 0xdc00 || low > 0xdfff) return NULL;
    *to = put_utf8(*to, 0x10000 + ((uint32_t)(unit - 0xd800) << 10 | (uint32_t)(low - 0xdc00)));
    return at + 12;
}

const uint8_t *dbk_json_unescape(const uint8_t *at, uint8_t **to, const char **fault)
{
    uint8_t byte = at[1];
    switch (byte) {
    case '"':
    case '\\':
    case '/': break;
    case 'b': byte = '\b'; break;
    case 'f': byte = '\f'; break;
    case 'n': byte = '\n'; break;
    case 'r': byte = '\r'; break;
    case 't': byte = '\t'; break;
    case 'u': return unescape_unicode(at, to, fault);
    default: *fault = "no such escape, expected one of \"\\/bfnrtu behind the backslash"; return NULL;
    }
    *(*to)++ = byte;
    return at + 2;
}
