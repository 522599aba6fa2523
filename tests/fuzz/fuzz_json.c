/* Any bytes through the JSON reader. Its verdict is held against a second, plain reader below; what
 * it accepts must be a well-formed array of nodes and come back the same from both written forms.
 */
#include <math.h>
#include <stdlib.h>

#include "base/base.h"

#define REQUIRE(condition)                                                                                             \
    do {                                                                                                               \
        if (!(condition)) abort();                                                                                     \
    } while (0)

/* The plain reader: recursive descent, byte by byte. It knows no duplicates and no limits. */
typedef struct plain {
    const uint8_t *at;
    const uint8_t *end;
} plain;

static int peek(const plain *p)
{
    return p->at < p->end ? *p->at : -1;
}

static bool take(plain *p, int byte)
{
    if (peek(p) != byte) return false;
    p->at++;
    return true;
}

static void skip_space(plain *p)
{
    while (take(p, ' ') || take(p, '\t') || take(p, '\n') || take(p, '\r')) continue;
}

static bool plain_digits(plain *p)
{
    const uint8_t *begin = p->at;
    while (peek(p) >= '0' && peek(p) <= '9') p->at++;
    return p->at > begin;
}

static bool plain_number(plain *p)
{
    char text[512];
    const uint8_t *begin = p->at;
    (void)take(p, '-');
    if (!take(p, '0') && !plain_digits(p)) return false;
    if (take(p, '.') && !plain_digits(p)) return false;
    if (take(p, 'e') || take(p, 'E')) {
        if (!take(p, '+')) (void)take(p, '-');
        if (!plain_digits(p)) return false;
    }
    size_t size = (size_t)(p->at - begin);
    char *copy = size < sizeof text ? text : malloc(size + 1);
    REQUIRE(copy);
    memcpy(copy, begin, size);
    copy[size] = '\0';
    bool finite = isfinite(strtod(copy, NULL));
    if (copy != text) free(copy);
    return finite;
}

/* One code point; counts the continuation bytes and computes the value that they make. */
static bool plain_character(plain *p)
{
    static const uint32_t least[] = {0, 0x80, 0x800, 0x10000};
    uint32_t lead = *p->at++, more = lead < 0x80 ? 0 : lead < 0xe0 ? 1 : lead < 0xf0 ? 2 : 3;
    if (lead >= 0xf8 || (lead >= 0x80 && lead < 0xc0)) return false;
    uint32_t point = more ? lead & (0x3fu >> more) : lead;
    for (uint32_t i = 0; i < more; i++) {
        int byte = peek(p);
        if (byte < 0x80 || byte > 0xbf) return false;
        point = point << 6 | ((uint32_t)byte & 0x3f);
        p->at++;
    }
    return point >= least[more] && point <= 0x10ffff && (point < 0xd800 || point > 0xdfff);
}

static bool plain_hex(plain *p, unsigned *unit)
{
    *unit = 0;
    for (int i = 0; i < 4; i++) {
        int byte = peek(p);
        const char *digits = "0123456789abcdef0123456789ABCDEF";
        const char *found = byte > 0 ? strchr(digits, byte) : NULL;
        if (!found) return false;
        *unit = *unit * 16 + (unsigned)(found - digits) % 16;
        p->at++;
    }
    return true;
}

static bool plain_string(plain *p)
{
    unsigned unit;
    if (!take(p, '"')) return false;
    while (!take(p, '"')) {
        if (peek(p) < 0x20) return false;
        if (!take(p, '\\')) {
            if (!plain_character(p)) return false;
        } else if (take(p, 'u')) {
            if (!plain_hex(p, &unit) || (unit & 0xfc00) == 0xdc00) return false;
            if ((unit & 0xfc00) != 0xd800) continue;
            if (!take(p, '\\') || !take(p, 'u') || !plain_hex(p, &unit)) return false;
            if ((unit & 0xfc00) != 0xdc00) return false;
        } else {
            if (peek(p) <= 0 || !strchr("\"\\/bfnrt", peek(p))) return false;
            p->at++;
        }
    }
    return true;
}

static bool plain_word(plain *p, const char *word)
{
    while (*word)
        if (!take(p, *word++)) return false;
    return true;
}

static bool plain_value(plain *p);

static bool plain_container(plain *p, bool object)
{
    int closer = object ? '}' : ']';
    p->at++;
    skip_space(p);
    if (take(p, closer)) return true;
    for (;;) {
        skip_space(p);
        if (object) {
            if (!plain_string(p)) return false;
            skip_space(p);
            if (!take(p, ':')) return false;
        }
        if (!plain_value(p)) return false;
        if (take(p, closer)) return true;
        if (!take(p, ',')) return false;
    }
}

/* With the white space on both sides. */
static bool plain_value(plain *p)
{
    bool ok;
    skip_space(p);
    switch (peek(p)) {
    case '{': ok = plain_container(p, true); break;
    case '[': ok = plain_container(p, false); break;
    case '"': ok = plain_string(p); break;
    case 'n': ok = plain_word(p, "null"); break;
    case 't': ok = plain_word(p, "true"); break;
    case 'f': ok = plain_word(p, "false"); break;
    default: ok = plain_number(p);
    }
    skip_space(p);
    return ok;
}

static void check_names(const dbk_json_node *object)
{
    const dbk_json_node *a = object + 1;
    for (uint32_t i = 0; i < object->count && i < 300; i++, a = dbk_json_next(a)) {
        const dbk_json_node *b = dbk_json_next(a);
        for (uint32_t k = i + 1; k < object->count && k < 300; k++, b = dbk_json_next(b))
            REQUIRE(!dbk_slice_equal(a->name, b->name));
    }
}

/* Spans and counts agree, raw texts lie where the offsets say, and strings are UTF-8. */
static void check_nodes(const dbk_json_node *root, dbk_slice input)
{
    int64_t integer;
    for (uint32_t i = 0; i < root->span; i++) {
        const dbk_json_node *node = root + i, *child = node + 1;
        REQUIRE(node->span >= 1 && i + node->span <= root->span && node->offset < input.size);
        REQUIRE(dbk_utf8_valid(node->name));
        if (node->kind == DBK_JSON_STRING) REQUIRE(dbk_utf8_valid(node->text));
        if (node->kind >= DBK_JSON_ARRAY || node->kind == DBK_JSON_NUMBER) {
            REQUIRE(node->offset + node->text.size <= input.size);
            REQUIRE(memcmp(input.data + node->offset, node->text.data, node->text.size) == 0);
        }
        for (uint32_t k = 0; k < node->count; k++) child = dbk_json_next(child);
        REQUIRE(child == node + node->span);
        if (node->kind == DBK_JSON_OBJECT) check_names(node);
        REQUIRE(isfinite(dbk_json_double(node)));
        (void)dbk_json_is_integer(node, &integer);
    }
}

/* `text` must parse to the same values in the same order. */
static void check_same(dbk_json_parser *second, dbk_slice text, const dbk_json_node *root)
{
    const dbk_json_node *again;
    REQUIRE(dbk_json_parse(second, text, &again, NULL) == DBK_OK);
    REQUIRE(again->span == root->span);
    for (uint32_t i = 0; i < root->span; i++) {
        const dbk_json_node *a = root + i, *b = again + i;
        REQUIRE(a->kind == b->kind && a->span == b->span && a->count == b->count);
        REQUIRE(dbk_slice_equal(a->name, b->name));
        if (a->kind < DBK_JSON_ARRAY) REQUIRE(dbk_slice_equal(a->text, b->text));
    }
}

static void check_written(dbk_json_parser *second, const dbk_json_node *root)
{
    const dbk_json_node *again;
    dbk_buffer minimal, canonical, repeated;
    dbk_buffer_init(&minimal, dbk_port_system());
    dbk_buffer_init(&canonical, dbk_port_system());
    dbk_buffer_init(&repeated, dbk_port_system());
    dbk_json_put_minimal(&minimal, root);
    dbk_json_put_canonical(&canonical, root);
    REQUIRE(!minimal.failed && !canonical.failed && minimal.size == canonical.size);
    check_same(second, dbk_buffer_slice(&minimal), root);
    REQUIRE(dbk_json_parse(second, dbk_buffer_slice(&canonical), &again, NULL) == DBK_OK);
    dbk_json_put_minimal(&repeated, again);
    REQUIRE(dbk_slice_equal(dbk_buffer_slice(&repeated), dbk_buffer_slice(&canonical)));
    dbk_buffer_release(&minimal);
    dbk_buffer_release(&canonical);
    dbk_buffer_release(&repeated);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static dbk_json_parser *parser, *second; /* reused, as in the engine */
    if (!parser) parser = dbk_json_parser_new(dbk_port_system());
    if (!second) second = dbk_json_parser_new(dbk_port_system());
    REQUIRE(parser && second);
    dbk_error err;
    const dbk_json_node *root;
    dbk_result result = dbk_json_parse(parser, dbk_slice_of(data, size), &root, &err);
    if (result == DBK_TOO_BIG) return 0;
    plain p = {data, data + size};
    bool valid = plain_value(&p) && p.at == p.end;
    if (result == DBK_OK) {
        REQUIRE(valid);
        check_nodes(root, dbk_slice_of(data, size));
        check_written(second, root);
    } else {
        REQUIRE(result == DBK_BAD_JSON && root == NULL);
        REQUIRE(!valid || strstr(err.text, "stands twice"));
    }
    return 0;
}
