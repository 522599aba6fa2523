/* Regular expressions of ECMA 262, as its `u` flag has them, said in the words of PCRE2.
 *
 * Most of the two languages is one. What differs is written otherwise here (white space of Unicode, `.`, \v, \u{…},
 * names of categories, `[` in a class, references by number), and what PCRE2 alone has is refused (\A, (?i), (?P<…>),
 * (?#…), a*+, verbs): a pattern means the same to every validator, or `check` says where it would not. */
#define PCRE2_CODE_UNIT_WIDTH 8
#include "projector/schema/internal.h"

#include <pcre2.h>
#include <stdio.h>
#include <stdlib.h>

/* White space and ends of lines as ECMA 262 counts them, and all that is none. */
#define SPACES                                                                                                         \
    "\\x{9}-\\x{d}\\x{20}\\x{a0}\\x{1680}\\x{2000}-\\x{200a}\\x{2028}\\x{2029}\\x{202f}\\x{205f}\\x{3000}\\x{feff}"
#define NO_SPACES                                                                                                      \
    "\\x{0}-\\x{8}\\x{e}-\\x{1f}\\x{21}-\\x{9f}\\x{a1}-\\x{167f}\\x{1681}-\\x{1fff}\\x{200b}-\\x{2027}\\x{202a}-\\x{"  \
    "202e}"                                                                                                            \
    "\\x{2030}-\\x{205e}\\x{2060}-\\x{2fff}\\x{3001}-\\x{fefe}\\x{ff00}-\\x{10ffff}"

typedef struct pattern {
    dbk_slice text;
    size_t at;
    dbk_buffer *out;
    const char *fault; /* what is wrong at `at` */
    bool in_class;
    bool repeated; /* the last thing was a quantifier */
} pattern;

static uint8_t peek(const pattern *p, size_t ahead)
{
    return p->at + ahead < p->text.size ? p->text.data[p->at + ahead] : 0;
}

static bool wrong(pattern *p, const char *fault)
{
    p->fault = fault;
    return false;
}

static bool put(pattern *p, const char *words, size_t taken)
{
    dbk_buffer_put_text(p->out, words);
    p->at += taken;
    return true;
}

static bool copy(pattern *p, size_t size)
{
    dbk_buffer_put(p->out, p->text.data + p->at, size);
    p->at += size;
    return true;
}

/* ---- escapes */

/* `digits` hexadecimal ones at `from`; -1: not there. */
static long hexadecimal(const pattern *p, size_t from, size_t digits)
{
    long value = 0;

    for (size_t i = 0; i < digits; i++) {
        uint8_t c = peek(p, from + i), low = c | 0x20;
        bool digit = c >= '0' && c <= '9';
        if (!digit && (low < 'a' || low > 'f')) return -1;
        value = value * 16 + (digit ? c - '0' : low - 'a' + 10);
    }
    return value;
}

static bool put_character(pattern *p, long character, size_t taken)
{
    dbk_buffer_printf(p->out, "\\x{%lx}", (unsigned long)character);
    p->at += taken;
    return true;
}

/* \u{1f432}, \ud83d\udc32, \u0041. */
static bool unicode_escape(pattern *p)
{
    size_t digits = 0;

    if (peek(p, 2) == '{') {
        while (hexadecimal(p, 3, digits + 1) >= 0 && digits < 7) digits++;
        long character = digits ? hexadecimal(p, 3, digits) : -1;
        if (digits > 6 || character < 0 || character > 0x10ffff || peek(p, 3 + digits) != '}')
            return wrong(p, "\\u{…} without the number of a character");
        if (character >= 0xd800 && character < 0xe000) return wrong(p, "half of a surrogate pair");
        return put_character(p, character, digits + 4);
    }
    long character = hexadecimal(p, 2, 4);
    if (character < 0) return wrong(p, "\\u without four hexadecimal digits");
    if (character < 0xd800 || character > 0xdfff) return put_character(p, character, 6);
    long low = peek(p, 6) == '\\' && peek(p, 7) == 'u' ? hexadecimal(p, 8, 4) : -1;
    if (character > 0xdbff || low < 0xdc00 || low > 0xdfff) return wrong(p, "half of a surrogate pair");
    return put_character(p, 0x10000 + (character - 0xd800) * 0x400 + (low - 0xdc00), 12);
}

typedef struct category {
    const char *name, *code;
} category;

static int compare_category(const void *name, const void *entry)
{
    return dbk_slice_compare(*(const dbk_slice *)name, dbk_slice_text(((const category *)entry)->name));
}

/* What PCRE2 calls a general category; NULL: it has other names for all else. Sorted by their bytes. */
static const char *category_code(dbk_slice name)
{
    static const category categories[] = {{"Cased_Letter", "L&"},
                                          {"Close_Punctuation", "Pe"},
                                          {"Combining_Mark", "M"},
                                          {"Connector_Punctuation", "Pc"},
                                          {"Control", "Cc"},
                                          {"Currency_Symbol", "Sc"},
                                          {"Dash_Punctuation", "Pd"},
                                          {"Decimal_Number", "Nd"},
                                          {"Enclosing_Mark", "Me"},
                                          {"Final_Punctuation", "Pf"},
                                          {"Format", "Cf"},
                                          {"Initial_Punctuation", "Pi"},
                                          {"LC", "L&"},
                                          {"Letter", "L"},
                                          {"Letter_Number", "Nl"},
                                          {"Line_Separator", "Zl"},
                                          {"Lowercase_Letter", "Ll"},
                                          {"Mark", "M"},
                                          {"Math_Symbol", "Sm"},
                                          {"Modifier_Letter", "Lm"},
                                          {"Modifier_Symbol", "Sk"},
                                          {"Nonspacing_Mark", "Mn"},
                                          {"Number", "N"},
                                          {"Open_Punctuation", "Ps"},
                                          {"Other", "C"},
                                          {"Other_Letter", "Lo"},
                                          {"Other_Number", "No"},
                                          {"Other_Punctuation", "Po"},
                                          {"Other_Symbol", "So"},
                                          {"Paragraph_Separator", "Zp"},
                                          {"Private_Use", "Co"},
                                          {"Punctuation", "P"},
                                          {"Separator", "Z"},
                                          {"Space_Separator", "Zs"},
                                          {"Spacing_Mark", "Mc"},
                                          {"Surrogate", "Cs"},
                                          {"Symbol", "S"},
                                          {"Titlecase_Letter", "Lt"},
                                          {"Unassigned", "Cn"},
                                          {"Uppercase_Letter", "Lu"},
                                          {"cntrl", "Cc"},
                                          {"digit", "Nd"},
                                          {"punct", "P"}};
    const category *found =
        bsearch(&name, categories, sizeof(categories) / sizeof(categories[0]), sizeof(categories[0]), compare_category);

    return found ? found->code : NULL;
}

/* \p{Letter}, \p{gc=Lu}, \p{Script=Greek}, \p{Alphabetic}; PCRE2 knows the other names itself. */
static bool property_escape(pattern *p)
{
    static const char *const prefixes[] = {"General_Category=", "gc="};
    size_t size = 0;

    if (peek(p, 2) != '{') return wrong(p, "\\p without a name in {…}");
    while (peek(p, 3 + size) && peek(p, 3 + size) != '}') size++;
    dbk_slice name = dbk_slice_of(p->text.data + p->at + 3, size);
    if (!size || peek(p, 3 + size) != '}' || name.data[0] == '^') return wrong(p, "\\p without a name in {…}");
    for (size_t i = 0; i < 2; i++) {
        size_t prefix = strlen(prefixes[i]);
        if (name.size > prefix && memcmp(name.data, prefixes[i], prefix) == 0)
            name = dbk_slice_of(name.data + prefix, name.size - prefix);
    }
    const char *code = category_code(name);
    dbk_buffer_printf(p->out, "\\%c{", peek(p, 1));
    if (code) dbk_buffer_put_text(p->out, code);
    else dbk_buffer_put_slice(p->out, name);
    return put(p, "}", size + 4);
}

/* \1: a number alone would be octal to PCRE2 from two digits on. */
static bool reference(pattern *p)
{
    size_t digits = 1;

    while (peek(p, 1 + digits) >= '0' && peek(p, 1 + digits) <= '9') digits++;
    if (p->in_class || digits > 3) return wrong(p, "no group has this number");
    dbk_buffer_printf(p->out, "\\g{%.*s}", (int)digits, (const char *)p->text.data + p->at + 1);
    p->at += digits + 1;
    return true;
}

static bool escape(pattern *p)
{
    uint8_t c = peek(p, 1), next = peek(p, 2), low = c | 0x20;

    if (p->at + 1 >= p->text.size) return wrong(p, "a backslash at the end");
    if (c == 's') return put(p, p->in_class ? SPACES : "[" SPACES "]", 2);
    if (c == 'S') return put(p, p->in_class ? NO_SPACES : "[" NO_SPACES "]", 2);
    if (c == 'v') return put(p, "\\x{b}", 2);
    if (c == 'u') return unicode_escape(p);
    if (c == 'p' || c == 'P') return property_escape(p);
    if (c == 'x' && hexadecimal(p, 2, 2) < 0) return wrong(p, "\\x without two hexadecimal digits");
    if (c == 'x') return put_character(p, hexadecimal(p, 2, 2), 4);
    if (c == '0' && next >= '0' && next <= '9') return wrong(p, "\\0 with a digit behind it");
    if (c == '0') return put(p, "\\x{0}", 2);
    if (c >= '1' && c <= '9') return reference(p);
    if (c == 'c' && (next | 0x20) >= 'a' && (next | 0x20) <= 'z') return put_character(p, next & 0x1f, 3);
    if (c == 'k' && next == '<' && !p->in_class) return copy(p, 2);
    if (c >= 0x80 || c < 0x20) return put(p, "", 1); /* the character behind the backslash means itself */
    bool letter = low >= 'a' && low <= 'z';
    if (letter && !strchr(p->in_class ? "dDwWbfnrt" : "dDwWbBfnrt", c))
        return wrong(p, "no such escape in regular expressions of ECMA 262");
    return copy(p, 2);
}

/* ---- the rest */

static bool class_part(pattern *p)
{
    uint8_t c = peek(p, 0);

    if (c == '\\') return escape(p);
    if (c == ']') p->in_class = false;
    if (c == '[') return put(p, "\\[", 1); /* "[:alpha:]" is no name here */
    return copy(p, 1);
}

/* "{2}", "{2,}", "{2,3}"; 0: a brace that means itself. */
static size_t braces(const pattern *p)
{
    size_t at = 1, first = 1;

    while (peek(p, at) >= '0' && peek(p, at) <= '9') at++;
    if (at == first) return 0;
    if (peek(p, at) == ',') at++;
    while (peek(p, at) >= '0' && peek(p, at) <= '9') at++;
    return peek(p, at) == '}' ? at + 1 : 0;
}

static bool quantifier(pattern *p, size_t size)
{
    if (p->repeated) return wrong(p, "nothing to repeat");
    if (peek(p, size) == '?') size++;
    copy(p, size);
    p->repeated = true;
    return true;
}

static bool group(pattern *p)
{
    uint8_t kind = peek(p, 2), next = peek(p, 3);
    bool name = (next | 0x20) >= 'a' && (next | 0x20) <= 'z';

    if (peek(p, 1) == '*') return wrong(p, "nothing to repeat");
    if (peek(p, 1) != '?') return copy(p, 1);
    if (kind == ':' || kind == '=' || kind == '!') return copy(p, 3);
    if (kind == '<' && (next == '=' || next == '!' || next == '_' || name)) return copy(p, 3);
    return wrong(p, "no such group in regular expressions of ECMA 262");
}

static bool part(pattern *p)
{
    uint8_t c = peek(p, 0);
    size_t size = c == '*' || c == '+' || c == '?' ? 1 : c == '{' ? braces(p) : 0;

    if (size) return quantifier(p, size);
    p->repeated = false;
    if (c == '\\') return escape(p);
    if (c == '(') return group(p);
    if (c == '.') return put(p, "[^\\x{a}\\x{d}\\x{2028}\\x{2029}]", 1);
    if (c == '[') {
        p->in_class = true;
        return copy(p, peek(p, 1) == '^' ? 2 : 1);
    }
    return copy(p, 1);
}

static bool translate(pattern *p)
{
    while (p->at < p->text.size)
        if (!(p->in_class ? class_part(p) : part(p))) return false;
    return true;
}

void *dbk_schema_pattern_new(const dbk_json_schema *schema, dbk_slice text, dbk_pattern_fault *fault)
{
    dbk_buffer out;
    pattern p = {.text = text, .out = &out};
    pcre2_code *code = NULL;
    int error = 0;

    *fault = (dbk_pattern_fault){0};
    dbk_buffer_init(&out, schema->port);
    bool good = translate(&p);
    pcre2_compile_context *context = good ? pcre2_compile_context_create(schema->pattern_memory) : NULL;
    if (good && context && !out.failed)
        code = pcre2_compile(out.size ? out.data : (PCRE2_SPTR) "", out.size,
                             PCRE2_UTF | PCRE2_DOLLAR_ENDONLY | PCRE2_MATCH_UNSET_BACKREF | PCRE2_ALLOW_EMPTY_CLASS |
                                 PCRE2_NEVER_BACKSLASH_C,
                             &error, &(PCRE2_SIZE){0}, context);
    fault->no_memory = good && (!context || out.failed || error == PCRE2_ERROR_NOMEMORY || error == 121);
    pcre2_compile_context_free(context);
    dbk_buffer_release(&out);
    if (code || fault->no_memory) return code;
    fault->offset = p.at;
    fault->at_end = good;
    if (good) (void)pcre2_get_error_message(error, (PCRE2_UCHAR *)fault->text, sizeof(fault->text));
    else (void)snprintf(fault->text, sizeof(fault->text), "%s", p.fault);
    return NULL;
}

void dbk_schema_pattern_free(void *code)
{
    pcre2_code_free(code);
}
