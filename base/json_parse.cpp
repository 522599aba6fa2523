/* JSON in. simdjson's first stage runs over the whole input with the widest instructions of the
 * CPU: it checks UTF-8, refuses control characters in strings and unclosed strings, and lists where
 * tokens begin. The walk below visits every token of that list, so nothing is left unchecked:
 * On-Demand, which stands on the same stage, checks only what is asked for.
 *
 * What the walk relies on: outside strings every byte that is not white space begins a token or
 * continues a scalar, so a scalar that ends before white space, an operator or the end of the input
 * is followed by nothing but white space up to the next token. The list is closed by an entry that
 * points at the end, where the copy of the input holds a NUL; no rule accepts it, so the walk
 * cannot step over it. Whatever first-stage code the CPU gets, the walk checks strings again as it
 * reads them; only UTF-8 is left to simdjson alone.
 *
 * No exception leaves this file: the functions of simdjson are noexcept and allocate with new
 * (nothrow), which gives an error code, but for the choice of its code for this CPU at the first
 * use. Everything else comes from the port. */
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include <algorithm>
#include <memory>
#include <new>

#define SIMDJSON_EXCEPTIONS 0
#include <simdjson.h>

#define _Static_assert static_assert
extern "C" {
#include "base/json_internal.h"
}
#undef _Static_assert

using first_stage = simdjson::internal::dom_parser_implementation;

struct dbk_json_parser {
    const dbk_port *port;
    std::unique_ptr<first_stage> stage; /* owns the list of tokens */
    uint8_t *text;                      /* the input, then SIMDJSON_PADDING zeros */
    size_t text_capacity;
    uint8_t *plain; /* strings that were written with escapes, unescaped */
    size_t plain_capacity;
    dbk_json_node *nodes;
    size_t node_capacity;
    dbk_json_named *names; /* for the duplicate check of large objects */
    size_t name_capacity;
    bool any_count; /* dbk_json_parser_any_count */
};

namespace
{

constexpr size_t input_max = UINT32_MAX - 4096; /* offsets are 32 bits wide */
constexpr size_t nodes_max = 1000000;
constexpr size_t first_bytes = 4096;
constexpr size_t first_nodes = 64;
/* After an input above kept_bytes, one of at most small_bytes gives the memory back. */
constexpr size_t kept_bytes = 2 << 20;
constexpr size_t small_bytes = 64 << 10;
/* Up to here a name is compared with its older siblings as it is read, above there is one sort. */
constexpr uint32_t few_members = 16;

struct frame {
    uint32_t node; /* index of an open container */
    uint64_t seen; /* filter over the names so far */
};

struct walk {
    dbk_json_parser *parser;
    dbk_error *err;
    dbk_result result; /* why a step returned false */
    const uint8_t *text;
    size_t size;
    const uint32_t *next; /* the next token's offset */
    uint8_t *plain;       /* where the next unescaped string goes; NULL before the first */
    size_t used;          /* nodes */
    size_t depth;
    dbk_slice name; /* of the value to come */
    frame open[DBK_JSON_DEPTH_MAX];
};

/* Room for `want` items whose old content is of no use; at least doubles. */
template <typename T> bool renew(const dbk_port *port, T **items, size_t *capacity, size_t want)
{
    if (*capacity >= want) return true;
    size_t room = std::max(want, *capacity * 2);
    port->free(port->ctx, *items);
    *items = static_cast<T *>(port->alloc(port->ctx, room * sizeof(T)));
    *capacity = *items ? room : 0;
    return *items != nullptr;
}

template <typename T> void drop(const dbk_port *port, T **items, size_t *capacity)
{
    port->free(port->ctx, *items);
    *items = nullptr;
    *capacity = 0;
}

void drop_memory(dbk_json_parser *p)
{
    drop(p->port, &p->text, &p->text_capacity);
    drop(p->port, &p->plain, &p->plain_capacity);
    drop(p->port, &p->nodes, &p->node_capacity);
    drop(p->port, &p->names, &p->name_capacity);
    p->stage.reset();
}

bool new_stage(size_t capacity, std::unique_ptr<first_stage> &stage)
{
    const simdjson::implementation *chosen = simdjson::get_active_implementation();
    if (chosen->create_dom_parser_implementation(capacity, 1, stage) == simdjson::SUCCESS) return true;
    stage.reset(); /* it may be half made */
    return false;
}

bool reserve_stage(dbk_json_parser *p, size_t size)
{
    if (p->stage && p->stage->capacity() >= size) return true;
    size_t capacity = std::max(first_bytes, size);
    if (!p->stage) return new_stage(capacity, p->stage);
    capacity = std::max(capacity, std::min(p->stage->capacity() * 2, input_max));
    if (p->stage->set_capacity(capacity) == simdjson::SUCCESS) return true;
    p->stage.reset();
    return false;
}

bool is_large(const dbk_json_parser *p)
{
    return p->text_capacity > kept_bytes || p->node_capacity * sizeof *p->nodes > kept_bytes;
}

bool prepare(dbk_json_parser *p, dbk_slice input)
{
    if (is_large(p) && input.size <= small_bytes) drop_memory(p);
    size_t want = std::max(first_bytes, input.size + simdjson::SIMDJSON_PADDING);
    if (!renew(p->port, &p->text, &p->text_capacity, want) || !reserve_stage(p, input.size)) return false;
    if (input.size) memcpy(p->text, input.data, input.size);
    memset(p->text + input.size, 0, simdjson::SIMDJSON_PADDING);
    return true;
}

bool no_memory(walk *w)
{
    w->result = dbk_fail(w->err, DBK_NO_MEMORY, "out of memory for %zu bytes of JSON", w->size);
    return false;
}

bool too_big(walk *w, size_t offset, unsigned limit, const char *what)
{
    w->result = dbk_fail(w->err, DBK_TOO_BIG, "byte %zu: more than %u %s", offset, limit, what);
    return false;
}

bool bad(walk *w, size_t offset, const char *what)
{
    w->result = dbk_fail(w->err, DBK_BAD_JSON, "byte %zu: %s", offset, what);
    return false;
}

bool unexpected(walk *w, size_t offset, const char *expected)
{
    unsigned byte = w->text[offset];
    if (offset == w->size) {
        w->result =
            dbk_fail(w->err, DBK_BAD_JSON, "byte %zu: expected %s, found the end of the input", offset, expected);
    } else if (byte > 0x20 && byte < 0x7f) {
        w->result = dbk_fail(w->err, DBK_BAD_JSON, "byte %zu: expected %s, found '%c'", offset, expected,
                             static_cast<int>(byte));
    } else if (offset == 0 && memcmp(w->text, "\xef\xbb\xbf", 3) == 0) {
        w->result = dbk_fail(w->err, DBK_BAD_JSON, "byte 0: expected %s, found a byte order mark", expected);
    } else {
        w->result = dbk_fail(w->err, DBK_BAD_JSON, "byte %zu: expected %s, found byte 0x%02x", offset, expected, byte);
    }
    return false;
}

/* A string that stops at a byte which is neither a quote nor an escape. */
bool stopped_string(walk *w, size_t begin, size_t offset)
{
    if (offset < w->size) {
        w->result = dbk_fail(w->err, DBK_BAD_JSON, "byte %zu: control character 0x%02x in a string", offset,
                             static_cast<unsigned>(w->text[offset]));
    } else {
        w->result = dbk_fail(w->err, DBK_BAD_JSON, "byte %zu: this string does not end", begin);
    }
    return false;
}

/* The first stage refused the input without saying where: look again, slowly. */
bool explain(walk *w)
{
    for (size_t i = 0, step; i < w->size; i += step) {
        step = dbk_json_character_size(w->text + i);
        if (step == 0) return bad(w, i, "not valid UTF-8");
    }
    bool inside = false;
    size_t begin = 0;
    for (size_t i = 0; i < w->size; i++) {
        if (w->text[i] == '"') {
            inside = !inside;
            begin = i;
        } else if (inside && w->text[i] == '\\') {
            i++;
        } else if (inside && w->text[i] < 0x20) {
            return stopped_string(w, begin, i);
        }
    }
    if (inside) return stopped_string(w, begin, w->size);
    return unexpected(w, w->size, "a value");
}

bool is_digit(uint8_t byte)
{
    return byte >= '0' && byte <= '9';
}

const uint8_t *skip_digits(const uint8_t *at)
{
    while (is_digit(*at)) at++;
    return at;
}

/* White space and operators. */
constexpr struct scalar_ends {
    bool of[256]{};
    constexpr scalar_ends()
    {
        for (const char *at = " \t\n\r,:[]{}"; *at; at++) of[static_cast<uint8_t>(*at)] = true;
    }
} ends;

bool ends_scalar(const walk *w, const uint8_t *at)
{
    return ends.of[*at] || at == w->text + w->size;
}

size_t offset_of(const walk *w, const uint8_t *at)
{
    return static_cast<size_t>(at - w->text);
}

bool read_number(walk *w, dbk_json_node *node)
{
    const uint8_t *begin = w->text + node->offset, *at = begin;
    if (*at == '-') at++;
    if (!is_digit(*at)) return unexpected(w, offset_of(w, at), "a digit");
    at = *at == '0' ? at + 1 : skip_digits(at);
    bool exponent = false;
    if (*at == '.') {
        if (!is_digit(*++at)) return unexpected(w, offset_of(w, at), "a digit");
        at = skip_digits(at);
    }
    if ((*at | 0x20) == 'e') {
        exponent = true;
        at++;
        if (*at == '+' || *at == '-') at++;
        if (!is_digit(*at)) return unexpected(w, offset_of(w, at), "a digit");
        at = skip_digits(at);
    }
    if (!ends_scalar(w, at)) return unexpected(w, offset_of(w, at), "the end of the number");
    if ((exponent || at - begin > 300) && !dbk_json_is_finite(dbk_slice_of(begin, static_cast<size_t>(at - begin))))
        return bad(w, node->offset, "this number is beyond the range of a double");
    node->kind = DBK_JSON_NUMBER;
    node->text = dbk_slice_of(begin, static_cast<size_t>(at - begin));
    w->next++;
    return true;
}

/* The first quote, backslash or control character; the NUL behind the input is one. */
const uint8_t *plain_end(const uint8_t *at)
{
    for (;; at += DBK_JSON_STRIDE) {
        size_t plain = dbk_json_plain_sixteen(at);
        if (plain < DBK_JSON_STRIDE) return at + plain;
    }
}

/* A string with escapes, whose text goes to the parser's own memory: the copy of the input stays as
 * it is, for the texts of containers. No text is longer than it was with escapes. */
bool read_escaped(walk *w, size_t offset, dbk_slice *text)
{
    dbk_json_parser *p = w->parser;
    if (!w->plain) {
        size_t want = std::max(first_bytes, w->size);
        if (!renew(p->port, &p->plain, &p->plain_capacity, want)) return no_memory(w);
        w->plain = p->plain;
    }
    uint8_t *to = w->plain;
    for (const uint8_t *from = w->text + offset + 1;;) {
        const uint8_t *at = plain_end(from);
        size_t run = static_cast<size_t>(at - from);
        memcpy(to, from, run);
        to += run;
        if (*at == '"') {
            *text = dbk_slice_of(w->plain, static_cast<size_t>(to - w->plain));
            w->plain = to;
            return true;
        }
        if (*at != '\\') return stopped_string(w, offset, offset_of(w, at));
        const char *fault;
        from = dbk_json_unescape(at, &to, &fault);
        if (!from) return bad(w, offset_of(w, at), fault);
    }
}

bool read_string(walk *w, size_t offset, dbk_slice *text, bool *escaped)
{
    const uint8_t *begin = w->text + offset + 1, *end = plain_end(begin);
    w->next++;
    *escaped = *end != '"';
    if (*escaped) return read_escaped(w, offset, text);
    *text = dbk_slice_of(begin, static_cast<size_t>(end - begin));
    return true;
}

bool duplicate(walk *w, const dbk_json_node *node, dbk_slice name)
{
    /* From the value back over the colon to the quote that opens its name. */
    size_t offset = node ? node->offset : w->next[-2];
    if (node) {
        while (w->text[offset] != ':') offset--;
        while (w->text[offset] != '"') offset--;
        do offset--;
        while (w->text[offset] != '"' || w->text[offset - 1] == '\\');
    }
    if (name.size > 64) /* cut, at the border of a character */
        for (name.size = 64; (name.data[name.size] & 0xc0) == 0x80;) name.size--;
    w->result =
        dbk_fail(w->err, DBK_BAD_JSON, "byte %zu: the member name '%.*s' stands twice", offset, DBK_SLICE_ARG(name));
    return false;
}

/* Few siblings: one bit per name filters nearly all comparisons out. */
bool check_name(walk *w)
{
    frame *f = &w->open[w->depth - 1];
    const dbk_json_node *object = &w->parser->nodes[f->node];
    dbk_slice name = w->name;
    if (object->count > few_members) return true;
    size_t mix = name.size * 37;
    if (name.size) mix += name.data[0] * 5u + name.data[name.size - 1] * 11u + name.data[name.size / 2];
    uint64_t bit = UINT64_C(1) << (mix & 63);
    bool known = (f->seen & bit) != 0;
    f->seen |= bit;
    if (!known) return true;
    const dbk_json_node *child = object + 1;
    for (uint32_t i = 1; i < object->count; i++, child = dbk_json_next(child))
        if (dbk_slice_equal(child->name, name)) return duplicate(w, nullptr, name);
    return true;
}

/* Many siblings: sorted, equal names stand side by side. */
bool check_names(walk *w, const dbk_json_node *object)
{
    dbk_json_parser *p = w->parser;
    if (!renew(p->port, &p->names, &p->name_capacity, object->count)) return no_memory(w);
    dbk_json_list_members(object, p->names);
    dbk_json_sort(p->names, object->count);
    for (uint32_t i = 1; i < object->count; i++) {
        const dbk_json_node *a = p->names[i - 1].node, *b = p->names[i].node;
        if (dbk_slice_equal(a->name, b->name)) return duplicate(w, std::max(a, b), a->name);
    }
    return true;
}

/* A member's name and colon; the value is next. */
bool read_name(walk *w)
{
    uint32_t offset = *w->next;
    bool escaped;
    if (w->text[offset] != '"') return unexpected(w, offset, "a member name in double quotes");
    if (!read_string(w, offset, &w->name, &escaped)) return false;
    if (w->text[*w->next] != ':') return unexpected(w, *w->next, "':'");
    w->next++;
    return check_name(w);
}

dbk_json_node *add_node(walk *w)
{
    dbk_json_parser *p = w->parser;
    if (w->used == p->node_capacity) {
        size_t room = std::max(first_nodes, p->node_capacity * 2);
        void *grown = p->port->resize(p->port->ctx, p->nodes, room * sizeof *p->nodes);
        if (!grown) {
            no_memory(w);
            return nullptr;
        }
        p->nodes = static_cast<dbk_json_node *>(grown);
        p->node_capacity = room;
    }
    if (w->used == nodes_max && !w->parser->any_count) {
        too_big(w, *w->next, nodes_max, "values");
        return nullptr;
    }
    dbk_json_node *node = &p->nodes[w->used++];
    *node = dbk_json_node{};
    node->span = 1;
    node->offset = *w->next;
    node->name = w->name;
    w->name = dbk_slice{};
    return node;
}

bool read_literal(walk *w, dbk_json_node *node, dbk_json_kind kind, const char *word)
{
    const uint8_t *at = w->text + node->offset;
    for (const char *letter = word; *letter; letter++, at++)
        if (*at != static_cast<uint8_t>(*letter)) return unexpected(w, offset_of(w, at), word);
    if (!ends_scalar(w, at)) return unexpected(w, offset_of(w, at), "the end of the word");
    node->kind = static_cast<uint8_t>(kind);
    w->next++;
    return true;
}

void close_container(walk *w, dbk_json_node *node)
{
    size_t index = static_cast<size_t>(node - w->parser->nodes);
    node->span = static_cast<uint32_t>(w->used - index);
    node->text = dbk_slice_of(w->text + node->offset, *w->next + 1 - node->offset);
    w->next++;
}

/* *opened: there is something inside, and its first value is next. */
bool open_container(walk *w, dbk_json_node *node, dbk_json_kind kind, bool *opened)
{
    if (w->depth == DBK_JSON_DEPTH_MAX) return too_big(w, node->offset, DBK_JSON_DEPTH_MAX, "levels of nesting");
    node->kind = static_cast<uint8_t>(kind);
    w->next++;
    if (w->text[*w->next] == (kind == DBK_JSON_OBJECT ? '}' : ']')) {
        close_container(w, node);
        return true;
    }
    node->count = 1;
    w->open[w->depth++] = frame{static_cast<uint32_t>(node - w->parser->nodes), 0};
    *opened = true;
    return kind == DBK_JSON_ARRAY || read_name(w);
}

bool read_value(walk *w, bool *opened)
{
    *opened = false;
    dbk_json_node *node = add_node(w);
    if (!node) return false;
    switch (w->text[node->offset]) {
    case '{': return open_container(w, node, DBK_JSON_OBJECT, opened);
    case '[': return open_container(w, node, DBK_JSON_ARRAY, opened);
    case '"': node->kind = DBK_JSON_STRING; return read_string(w, node->offset, &node->text, &node->escaped);
    case 'n': return read_literal(w, node, DBK_JSON_NULL, "null");
    case 't': return read_literal(w, node, DBK_JSON_TRUE, "true");
    case 'f': return read_literal(w, node, DBK_JSON_FALSE, "false");
    case '-': return read_number(w, node);
    default:
        if (is_digit(w->text[node->offset])) return read_number(w, node);
        return unexpected(w, node->offset, "a value");
    }
}

/* Behind a value: closes the containers that end here, up to a comma or the end of the input.
 * *more: a comma was read, with an object's next name, and the next value is next. */
bool follow_value(walk *w, bool *more)
{
    *more = false;
    for (; w->depth > 0; w->depth--) {
        dbk_json_node *node = &w->parser->nodes[w->open[w->depth - 1].node];
        bool object = node->kind == DBK_JSON_OBJECT;
        uint8_t byte = w->text[*w->next];
        if (byte == ',') {
            if (node->count == DBK_JSON_MEMBERS_MAX && !w->parser->any_count)
                return too_big(w, *w->next, DBK_JSON_MEMBERS_MAX,
                               object ? "members in an object" : "elements in an array");
            node->count++;
            w->next++;
            *more = true;
            return !object || read_name(w);
        }
        if (byte != (object ? '}' : ']')) return unexpected(w, *w->next, object ? "',' or '}'" : "',' or ']'");
        close_container(w, node);
        if (object && node->count > few_members && !check_names(w, node)) return false;
    }
    if (*w->next == w->size) return true;
    return unexpected(w, *w->next, "the end of the input");
}

bool read_document(walk *w)
{
    bool more = true, opened;
    while (more) {
        if (!read_value(w, &opened)) return false;
        if (!opened && !follow_value(w, &more)) return false;
    }
    return true;
}

} // namespace

extern "C" {

dbk_json_parser *dbk_json_parser_new(const dbk_port *port)
{
    void *memory = port->alloc(port->ctx, sizeof(dbk_json_parser));
    if (!memory) return nullptr;
    dbk_json_parser *parser = new (memory) dbk_json_parser{};
    parser->port = port;
    return parser;
}

void dbk_json_parser_relax(dbk_json_parser *parser)
{
    if (is_large(parser)) drop_memory(parser);
}

void dbk_json_parser_any_count(dbk_json_parser *parser)
{
    parser->any_count = true;
}

void dbk_json_parser_free(dbk_json_parser *parser)
{
    if (!parser) return;
    const dbk_port *port = parser->port;
    drop_memory(parser);
    parser->~dbk_json_parser();
    port->free(port->ctx, parser);
}

dbk_result dbk_json_parse(dbk_json_parser *parser, dbk_slice input, const dbk_json_node **root, dbk_error *err)
{
    walk w;
    memset(&w, 0, offsetof(walk, open)); /* the frames are filled as they open */
    w.parser = parser;
    w.err = err;
    w.size = input.size;
    *root = nullptr;
    if (input.size > input_max)
        return dbk_fail(err, DBK_TOO_BIG, "%zu bytes of JSON, the limit is %zu", input.size, input_max);
    if (!prepare(parser, input)) return no_memory(&w), w.result;
    w.text = parser->text;
    first_stage *stage = parser->stage.get();
    if (stage->stage1(w.text, w.size, simdjson::stage1_mode::regular) != simdjson::SUCCESS)
        return explain(&w), w.result;
    w.next = stage->structural_indexes.get();
    stage->structural_indexes[stage->n_structural_indexes] = static_cast<uint32_t>(w.size);
    if (!read_document(&w)) return w.result;
    *root = parser->nodes;
    return DBK_OK;
}

} // extern "C"
