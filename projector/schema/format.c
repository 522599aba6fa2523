/* Formats that are checked. The one other of the draft, idn-hostname, needs tables that are not here and is refused in
 * a schema by name. */
#include "projector/schema/internal.h"

static bool is_digit(uint8_t c)
{
    return c >= '0' && c <= '9';
}
static bool is_letter(uint8_t c)
{
    return (c | 0x20) >= 'a' && (c | 0x20) <= 'z';
}
static bool is_hex(uint8_t c)
{
    return is_digit(c) || ((c | 0x20) >= 'a' && (c | 0x20) <= 'f');
}

/* "00" to "99" at `at`; -1: not there. */
static int two(dbk_slice text, size_t at)
{
    if (at + 2 > text.size || !is_digit(text.data[at]) || !is_digit(text.data[at + 1])) return -1;
    return (text.data[at] - '0') * 10 + text.data[at + 1] - '0';
}

static bool is_date(dbk_slice text)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    int high = two(text, 0), low = two(text, 2), month = two(text, 5), day = two(text, 8);

    if (text.size != 10 || high < 0 || low < 0 || text.data[4] != '-' || text.data[7] != '-') return false;
    if (month < 1 || month > 12 || day < 1) return false;
    int year = high * 100 + low;
    bool leap = (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    return day <= days[month - 1] + (month == 2 && leap ? 1 : 0);
}

/* Z, or an offset; *minutes behind UTC it is. */
static bool read_zone(dbk_slice text, int *minutes)
{
    *minutes = 0;
    if (text.size == 1) return (text.data[0] | 0x20) == 'z';
    if (text.size != 6 || (text.data[0] != '+' && text.data[0] != '-') || text.data[3] != ':') return false;
    int hour = two(text, 1), minute = two(text, 4);
    if (hour < 0 || hour > 23 || minute < 0 || minute > 59) return false;
    *minutes = (hour * 60 + minute) * (text.data[0] == '+' ? 1 : -1);
    return true;
}

/* A second 60 is one only where UTC has it: at the end of a day. */
static bool is_time(dbk_slice text)
{
    int hour = two(text, 0), minute = two(text, 3), second = two(text, 6), offset;
    size_t at = 8;

    if (text.size < 9 || text.data[2] != ':' || text.data[5] != ':') return false;
    if (hour < 0 || hour > 23 || minute < 0 || minute > 59 || second < 0 || second > 60) return false;
    if (text.data[at] == '.') {
        size_t from = ++at;
        while (at < text.size && is_digit(text.data[at])) at++;
        if (at == from) return false;
    }
    if (!read_zone(dbk_slice_of(text.data + at, text.size - at), &offset)) return false;
    int utc = ((hour * 60 + minute - offset) % 1440 + 1440) % 1440;
    return second < 60 || utc == 1439;
}

static bool is_date_time(dbk_slice text)
{
    return text.size > 11 && (text.data[10] | 0x20) == 't' && is_date(dbk_slice_of(text.data, 10)) &&
           is_time(dbk_slice_of(text.data + 11, text.size - 11));
}

static bool is_ipv4(dbk_slice text)
{
    size_t at = 0;

    for (int part = 0; part < 4; part++) {
        size_t from = at;
        unsigned value = 0;
        while (at < text.size && is_digit(text.data[at]) && at - from < 4) value = value * 10 + text.data[at++] - '0';
        if (at == from || value > 255 || (at - from > 1 && text.data[from] == '0')) return false;
        if (part < 3 && (at == text.size || text.data[at++] != '.')) return false;
    }
    return at == text.size;
}

static bool is_ipv6(dbk_slice text)
{
    int groups = 0, gaps = 0;
    size_t at = 0;

    if (text.size >= 2 && text.data[0] == ':' && text.data[1] == ':') gaps = 1, at = 2;
    while (at < text.size) {
        size_t from = at;
        while (at < text.size && is_hex(text.data[at])) at++;
        if (at < text.size && text.data[at] == '.')
            return is_ipv4(dbk_slice_of(text.data + from, text.size - from)) && (gaps ? groups <= 5 : groups == 6);
        if (at == from || at - from > 4 || ++groups > 8) return false;
        if (at == text.size) break;
        if (text.data[at++] != ':') return false;
        if (at == text.size) return false;
        if (text.data[at] == ':') {
            if (gaps++ || ++at > text.size) return false;
            if (at == text.size) break;
        }
    }
    return gaps == 1 ? groups <= 7 : gaps == 0 && groups == 8;
}

static bool is_label(dbk_slice label)
{
    if (label.size == 0 || label.size > 63 || label.data[0] == '-' || label.data[label.size - 1] == '-') return false;
    for (size_t i = 0; i < label.size; i++)
        if (!is_letter(label.data[i]) && !is_digit(label.data[i]) && label.data[i] != '-') return false;
    /* "--" in places 3 and 4 belongs to encoded names; what they encode is not looked at */
    return label.size < 4 || label.data[2] != '-' || label.data[3] != '-' ||
           ((label.data[0] | 0x20) == 'x' && (label.data[1] | 0x20) == 'n' && label.size > 4);
}

static bool is_hostname(dbk_slice text)
{
    size_t from = 0;

    if (text.size == 0 || text.size > 253) return false;
    for (size_t at = 0; at <= text.size; at++) {
        if (at < text.size && text.data[at] != '.') continue;
        if (!is_label(dbk_slice_of(text.data + from, at - from))) return false;
        from = at + 1;
    }
    return true;
}

static bool is_atom(dbk_slice text)
{
    for (size_t i = 0; i < text.size; i++) {
        uint8_t c = text.data[i];
        bool dot = c == '.' && i > 0 && i + 1 < text.size && text.data[i - 1] != '.';
        if (!is_letter(c) && !is_digit(c) && !dot && !(c > 32 && c < 127 && strchr("!#$%&'*+-/=?^_`{|}~", c)))
            return false;
    }
    return text.size > 0;
}

static bool is_quoted(dbk_slice text)
{
    if (text.size < 2 || text.data[0] != '"' || text.data[text.size - 1] != '"') return false;
    for (size_t i = 1; i + 1 < text.size; i++) {
        if (text.data[i] == '\\' && ++i + 1 == text.size) return false;
        else if (text.data[i] < 32 || text.data[i] > 126 || (text.data[i] == '"' && text.data[i - 1] != '\\'))
            return false;
    }
    return true;
}

static bool is_email(dbk_slice text)
{
    size_t at = text.size;

    while (at > 0 && text.data[at - 1] != '@') at--;
    if (at < 2 || at - 1 > 64) return false;
    dbk_slice local = dbk_slice_of(text.data, at - 1), domain = dbk_slice_of(text.data + at, text.size - at);
    if (!is_atom(local) && !is_quoted(local)) return false;
    if (domain.size < 2 || domain.data[0] != '[' || domain.data[domain.size - 1] != ']') return is_hostname(domain);
    dbk_slice inner = dbk_slice_of(domain.data + 1, domain.size - 2);
    if (inner.size > 5 && memcmp(inner.data, "IPv6:", 5) == 0)
        return is_ipv6(dbk_slice_of(inner.data + 5, inner.size - 5));
    return is_ipv4(inner);
}

static bool is_uuid(dbk_slice text)
{
    uint8_t out[16];

    return dbk_uuid_parse(text, out);
}

/* Characters of a URI, percent signs with two digits, brackets only around an IPv6 host. */
static bool has_uri_characters(dbk_slice text)
{
    for (size_t i = 0; i < text.size; i++) {
        uint8_t c = text.data[i];
        if (c == '%') {
            if (i + 2 >= text.size || !is_hex(text.data[i + 1]) || !is_hex(text.data[i + 2])) return false;
            i += 2;
        } else if (!is_letter(c) && !is_digit(c) && !(c > 32 && c < 127 && strchr("-._~:/?#[]@!$&'()*+,;=", c))) {
            return false;
        }
    }
    return true;
}

/* IPv6, or "v1.x" of a version to come. */
static bool is_ip_literal(dbk_slice text)
{
    size_t at = 1;

    if (text.size == 0 || (text.data[0] | 0x20) != 'v') return is_ipv6(text);
    while (at < text.size && is_hex(text.data[at])) at++;
    return at > 1 && at + 1 < text.size && text.data[at] == '.' && !memchr(text.data + at, '[', text.size - at) &&
           !memchr(text.data + at, '%', text.size - at);
}

static bool is_authority(dbk_slice text)
{
    size_t at = 0, end = text.size;

    for (size_t i = 0; i < text.size; i++)
        if (text.data[i] == '@') {
            if (at || memchr(text.data, '[', i) || memchr(text.data, ']', i)) return false;
            at = i + 1;
        }
    while (end > at && is_digit(text.data[end - 1])) end--;
    if (end > at && text.data[end - 1] == ':') end--;
    else end = text.size;
    dbk_slice host = dbk_slice_of(text.data + at, end - at);
    if (host.size && host.data[0] == '[')
        return host.data[host.size - 1] == ']' && is_ip_literal(dbk_slice_of(host.data + 1, host.size - 2));
    return !host.size || (!memchr(host.data, '[', host.size) && !memchr(host.data, ']', host.size) &&
                          !memchr(host.data, ':', host.size));
}

static bool is_uri_reference(dbk_slice text)
{
    size_t scheme = 0, at, end;
    dbk_slice document, fragment;

    if (!has_uri_characters(text)) return false;
    dbk_uri_split(text, &document, &fragment);
    if (fragment.size && (memchr(fragment.data, '#', fragment.size) || memchr(fragment.data, '[', fragment.size)))
        return false;
    while (scheme < document.size &&
           (is_letter(document.data[scheme]) ||
            (scheme && (is_digit(document.data[scheme]) || strchr("+-.", document.data[scheme])))))
        scheme++;
    at = scheme < document.size && scheme > 0 && document.data[scheme] == ':' ? scheme + 1 : 0;
    end = at;
    if (document.size >= at + 2 && document.data[at] == '/' && document.data[at + 1] == '/') {
        for (end = at + 2; end < document.size && document.data[end] != '/' && document.data[end] != '?'; end++) {
        }
        if (!is_authority(dbk_slice_of(document.data + at + 2, end - at - 2))) return false;
    } else if (at == 0) { /* a first part with a colon would be a scheme */
        for (size_t i = 0; i < document.size && document.data[i] != '/' && document.data[i] != '?'; i++)
            if (document.data[i] == ':') return false;
    }
    dbk_slice rest = dbk_slice_of(document.data + end, document.size - end);
    return !rest.size || (!memchr(rest.data, '[', rest.size) && !memchr(rest.data, ']', rest.size));
}

static bool is_uri(dbk_slice text)
{
    size_t at = 0;

    while (at < text.size &&
           (is_letter(text.data[at]) || (at && (is_digit(text.data[at]) || strchr("+-.", text.data[at])))))
        at++;
    return at > 0 && at < text.size && text.data[at] == ':' && is_uri_reference(text);
}

static bool is_json_pointer(dbk_slice text)
{
    if (text.size && text.data[0] != '/') return false;
    for (size_t i = 0; i < text.size; i++)
        if (text.data[i] == '~' && (i + 1 == text.size || (text.data[i + 1] != '0' && text.data[i + 1] != '1')))
            return false;
    return true;
}

static bool is_relative_pointer(dbk_slice text)
{
    size_t at = 0;

    while (at < text.size && is_digit(text.data[at])) at++;
    if (at == 0 || (at > 1 && text.data[0] == '0')) return false;
    if (at + 1 == text.size && text.data[at] == '#') return true;
    return is_json_pointer(dbk_slice_of(text.data + at, text.size - at));
}

typedef struct format {
    const char *name;
    bool (*fits)(dbk_slice text); /* NULL: regex */
    const char *words;
    enum { ASCII, WIDE, WIDE_IRI } wide; /* of which the ASCII form is judged */
} format;

static const format formats[] = {
    {"date", is_date, "a date like 2026-11-21", ASCII},
    {"time", is_time, "a time of day with zone, like 10:20:30Z", ASCII},
    {"date-time", is_date_time, "a date and time with zone, like 2026-11-21T10:20:30Z", ASCII},
    {"email", is_email, "an e-mail address", ASCII},
    {"hostname", is_hostname, "a host name", ASCII},
    {"ipv4", is_ipv4, "an IPv4 address", ASCII},
    {"ipv6", is_ipv6, "an IPv6 address", ASCII},
    {"uri", is_uri, "a URI", ASCII},
    {"uri-reference", is_uri_reference, "a URI reference", ASCII},
    {"iri", is_uri, "an IRI", WIDE_IRI},
    {"iri-reference", is_uri_reference, "an IRI reference", WIDE_IRI},
    {"idn-email", is_email, "an e-mail address", WIDE},
    {"uri-template", dbk_schema_is_uri_template, "a URI template", ASCII},
    {"uuid", is_uuid, "a UUID", ASCII},
    {"json-pointer", is_json_pointer, "a JSON pointer", ASCII},
    {"relative-json-pointer", is_relative_pointer, "a relative JSON pointer", ASCII},
    {"regex", NULL, "a regular expression", ASCII},
};

static const format *find(dbk_slice name)
{
    for (size_t i = 0; i < sizeof(formats) / sizeof(formats[0]); i++)
        if (dbk_slice_equal(name, dbk_slice_text(formats[i].name))) return &formats[i];
    return NULL;
}

bool dbk_schema_format_known(dbk_slice name)
{
    return find(name) != NULL;
}

const char *dbk_schema_format_words(dbk_slice name)
{
    const format *found = find(name);

    return found ? found->words : "of its format";
}

static bool is_regex(const dbk_json_schema *schema, dbk_slice text, bool *no_memory)
{
    dbk_pattern_fault fault = {0};
    void *code = text.size <= DBK_SCHEMA_PATTERN_MAX ? dbk_schema_pattern_new(schema, text, &fault) : NULL;

    dbk_schema_pattern_free(code);
    *no_memory = fault.no_memory;
    return code != NULL;
}

bool dbk_schema_format_fits(const dbk_json_schema *schema, dbk_slice name, dbk_slice text, bool *no_memory)
{
    const format *found = find(name);

    *no_memory = false;
    if (!found) return true;
    if (text.size == 0) text = dbk_slice_text(""); /* an empty one may have no address */
    if (!found->fits) return is_regex(schema, text, no_memory);
    if (found->wide == ASCII) return found->fits(text);
    dbk_buffer narrow;
    dbk_buffer_init(&narrow, schema->port);
    bool fits = dbk_schema_narrow(text, found->wide == WIDE_IRI, &narrow) && !narrow.failed &&
                found->fits(narrow.size ? dbk_buffer_slice(&narrow) : text);
    *no_memory = narrow.failed;
    dbk_buffer_release(&narrow);
    return fits;
}
