/* Whether a text is JSON. What the engine stored in a JSON column is, but a projection may write
 * there what it likes, and an answer has to be JSON in any case. */
#include "projector/rows/internal.h"

typedef struct scan {
    const uint8_t *at, *end;
} scan;

static void skip_space(scan *s)
{
    while (s->at < s->end && (*s->at == ' ' || *s->at == '\t' || *s->at == '\n' || *s->at == '\r')) s->at++;
}

static bool take(scan *s, char byte)
{
    if (s->at == s->end || *s->at != (uint8_t)byte) return false;
    s->at++;
    return true;
}

static bool take_word(scan *s, const char *word)
{
    size_t size = strlen(word);
    if ((size_t)(s->end - s->at) < size || memcmp(s->at, word, size) != 0) return false;
    s->at += size;
    return true;
}

static bool take_digits(scan *s)
{
    const uint8_t *from = s->at;
    while (s->at < s->end && *s->at >= '0' && *s->at <= '9') s->at++;
    return s->at > from;
}

static bool take_number(scan *s)
{
    (void)take(s, '-');
    if (!take(s, '0') && !take_digits(s)) return false;
    if (take(s, '.') && !take_digits(s)) return false;
    if (take(s, 'e') || take(s, 'E')) {
        if (!take(s, '+')) (void)take(s, '-');
        return take_digits(s);
    }
    return true;
}

static bool take_escape(scan *s)
{
    if (s->at == s->end) return false;
    uint8_t kind = *s->at++;
    if (kind != 'u') return strchr("\"\\/bfnrt", kind) && kind;
    for (int i = 0; i < 4; i++) {
        if (s->at == s->end || !strchr("0123456789abcdefABCDEF", *s->at) || !*s->at) return false;
        s->at++;
    }
    return true;
}

static bool take_string(scan *s)
{
    if (!take(s, '"')) return false;
    while (s->at < s->end) {
        uint8_t byte = *s->at++;
        if (byte == '"') return true;
        if (byte < 0x20) return false;
        if (byte == '\\' && !take_escape(s)) return false;
    }
    return false;
}

static bool take_value(scan *s, int depth);

/* The inside of an array or, with names, of an object. */
static bool take_list(scan *s, int depth, char close, bool names)
{
    skip_space(s);
    if (take(s, close)) return true;
    do {
        skip_space(s);
        if (names) {
            if (!take_string(s)) return false;
            skip_space(s);
            if (!take(s, ':')) return false;
        }
        if (!take_value(s, depth)) return false;
        skip_space(s);
    } while (take(s, ','));
    return take(s, close);
}

static bool take_value(scan *s, int depth)
{
    skip_space(s);
    if (s->at == s->end || depth > DBK_JSON_DEPTH_MAX) return false;
    switch (*s->at) {
    case '"': return take_string(s);
    case '[': return s->at++, take_list(s, depth + 1, ']', false);
    case '{': return s->at++, take_list(s, depth + 1, '}', true);
    case 't': return take_word(s, "true");
    case 'f': return take_word(s, "false");
    case 'n': return take_word(s, "null");
    default: return take_number(s);
    }
}

bool dbk_json_text_valid(dbk_slice text)
{
    if (text.size == 0) return false;
    scan s = {text.data, text.data + text.size};
    if (!take_value(&s, 0)) return false;
    skip_space(&s);
    return s.at == s.end && dbk_utf8_valid(text);
}
