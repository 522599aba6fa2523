/* JSON out. */
#include "base/json_internal.h"

/* The first byte that has to be escaped, or `end`. */
static const uint8_t *plain_end(const uint8_t *at, const uint8_t *end)
{
    for (; end - at >= DBK_JSON_STRIDE; at += DBK_JSON_STRIDE) {
        size_t plain = dbk_json_plain_sixteen(at);
        if (plain < DBK_JSON_STRIDE) return at + plain;
    }
    if (end - at >= 8) {
        uint64_t special = dbk_json_special_bytes(dbk_load_u64(at));
        if (special) return at + __builtin_ctzll(special) / 8;
        at += 8;
    }
    while (at < end && *at >= 0x20 && *at != '"' && *at != '\\') at++;
    return at;
}

static void put_escape(dbk_buffer *out, uint8_t byte)
{
    static const char hex[] = "0123456789abcdef";
    char text[6] = {'\\', (char)byte, '0', '0'};
    size_t size = 2;
    switch (byte) {
    case '"':
    case '\\': break;
    case '\b': text[1] = 'b'; break;
    case '\f': text[1] = 'f'; break;
    case '\n': text[1] = 'n'; break;
    case '\r': text[1] = 'r'; break;
    case '\t': text[1] = 't'; break;
    default:
        text[1] = 'u';
        text[4] = hex[byte >> 4];
        text[5] = hex[byte & 15];
        size = 6;
    }
    dbk_buffer_put(out, text, size);
}

void dbk_json_put_string(dbk_buffer *out, dbk_slice text)
{
    const uint8_t *at = text.data, *end = at ? at + text.size : at, *stop = plain_end(at, end);
    if (stop == end) { /* nearly always: one growth, one copy */
        uint8_t *to = dbk_buffer_extend(out, text.size + 2);
        if (!to) return;
        to[0] = '"';
        if (text.size) memcpy(to + 1, at, text.size);
        to[text.size + 1] = '"';
        return;
    }
    dbk_buffer_put_u8(out, '"');
    for (; stop < end; at = stop + 1, stop = plain_end(at, end)) {
        dbk_buffer_put(out, at, (size_t)(stop - at));
        put_escape(out, *stop);
    }
    dbk_buffer_put(out, at, (size_t)(end - at));
    dbk_buffer_put_u8(out, '"');
}

static void put_decimal(dbk_buffer *out, uint64_t value, bool negative)
{
    char text[21], *at = text + sizeof text;
    do *--at = (char)('0' + value % 10);
    while ((value /= 10) != 0);
    if (negative) *--at = '-';
    dbk_buffer_put(out, at, (size_t)(text + sizeof text - at));
}

void dbk_json_put_i64(dbk_buffer *out, int64_t value)
{
    put_decimal(out, value < 0 ? 0 - (uint64_t)value : (uint64_t)value, value < 0);
}

void dbk_json_put_u64(dbk_buffer *out, uint64_t value)
{
    put_decimal(out, value, false);
}

void dbk_json_put_double(dbk_buffer *out, double value)
{
    char text[DBK_JSON_DOUBLE_SIZE];
    dbk_buffer_put(out, text, dbk_json_format_double(value, text));
}

/* A place in a buffer while a value is written: the checks of room are inline, and begin with as
 * much as the value took in the input, which its written form does not exceed. */
typedef struct pen {
    dbk_buffer *out;
    uint8_t *at;
    uint8_t *end;
} pen;

/* Hands what was written over to the buffer; lower() goes on behind it. */
static void lift(pen *p)
{
    if (p->at) p->out->size = (size_t)(p->at - p->out->data);
    p->at = p->end = NULL;
}

/* Room for `size` bytes; false when out of memory, which the buffer remembers. */
static bool lower(pen *p, size_t size)
{
    lift(p);
    if (!dbk_buffer_reserve(p->out, size)) return false;
    p->at = p->out->data + p->out->size;
    p->end = p->out->data + p->out->capacity;
    return true;
}

static inline bool has_room(pen *p, size_t size)
{
    return (size_t)(p->end - p->at) >= size || lower(p, size);
}

static inline void pen_byte(pen *p, char byte)
{
    if (has_room(p, 1)) *p->at++ = (uint8_t)byte;
}

static inline void pen_bytes(pen *p, const void *data, size_t size)
{
    if (size == 0 || !has_room(p, size)) return;
    if (size >= 8 && size <= 16) { /* most texts: two words that overlap, without a call */
        uint64_t head = dbk_load_u64(data), tail = dbk_load_u64((const uint8_t *)data + size - 8);
        dbk_store_u64(p->at, head);
        dbk_store_u64(p->at + size - 8, tail);
    } else if (size < 8) {
        for (size_t i = 0; i < size; i++) p->at[i] = ((const uint8_t *)data)[i];
    } else {
        memcpy(p->at, data, size);
    }
    p->at += size;
}

static void pen_string(pen *p, dbk_slice text)
{
    const uint8_t *end = text.size ? text.data + text.size : text.data;
    if (plain_end(text.data, end) == end) {
        if (!has_room(p, text.size + 2)) return;
        *p->at++ = '"';
        pen_bytes(p, text.data, text.size);
        *p->at++ = '"';
        return;
    }
    lift(p);
    dbk_json_put_string(p->out, text);
    (void)lower(p, 1);
}

/* The parser's limit on nesting bounds the recursion of the following. */
static void pen_value(pen *p, const dbk_json_node *node, bool sorted);

static void pen_array(pen *p, const dbk_json_node *array, bool sorted)
{
    pen_byte(p, '[');
    const dbk_json_node *child = array + 1;
    for (uint32_t i = 0; i < array->count; i++, child = dbk_json_next(child)) {
        if (i > 0) pen_byte(p, ',');
        pen_value(p, child, sorted);
    }
    pen_byte(p, ']');
}

static void pen_member(pen *p, const dbk_json_node *member, bool first, bool sorted)
{
    pen_byte(p, first ? '{' : ',');
    pen_string(p, member->name);
    pen_byte(p, ':');
    pen_value(p, member, sorted);
}

static void pen_object(pen *p, const dbk_json_node *object, bool sorted)
{
    const dbk_json_node *child = object + 1;
    for (uint32_t i = 0; i < object->count; i++, child = dbk_json_next(child)) pen_member(p, child, i == 0, sorted);
    if (object->count == 0) pen_byte(p, '{');
    pen_byte(p, '}');
}

/* Of two members at least. A level of nesting with few members takes 512 bytes of stack, one with more takes memory. */
static void pen_sorted_object(pen *p, const dbk_json_node *object)
{
    const dbk_port *port = p->out->port;
    dbk_json_named few[32], *members = few;
    if (object->count > sizeof few / sizeof *few) {
        members = port->alloc(port->ctx, object->count * sizeof *members);
        if (!members) {
            lift(p); /* nothing more goes into a failed buffer */
            p->out->failed = true;
            return;
        }
    }
    dbk_json_list_members(object, members);
    dbk_json_sort(members, object->count);
    for (uint32_t i = 0; i < object->count; i++) pen_member(p, members[i].node, i == 0, true);
    pen_byte(p, '}');
    if (members != few) port->free(port->ctx, members);
}

static void pen_value(pen *p, const dbk_json_node *node, bool sorted)
{
    switch ((dbk_json_kind)node->kind) {
    case DBK_JSON_NULL: pen_bytes(p, "null", 4); break;
    case DBK_JSON_FALSE: pen_bytes(p, "false", 5); break;
    case DBK_JSON_TRUE: pen_bytes(p, "true", 4); break;
    case DBK_JSON_NUMBER: pen_bytes(p, node->text.data, node->text.size); break;
    case DBK_JSON_STRING: pen_string(p, node->text); break;
    case DBK_JSON_ARRAY: pen_array(p, node, sorted); break;
    default: /* an object */
        if (sorted && node->count > 1) pen_sorted_object(p, node);
        else pen_object(p, node, sorted);
    }
}

static void put_value(dbk_buffer *out, const dbk_json_node *node, bool sorted)
{
    pen p = {out, NULL, NULL};
    if (!lower(&p, node->text.size + 8)) return;
    pen_value(&p, node, sorted);
    lift(&p);
}

void dbk_json_put_minimal(dbk_buffer *out, const dbk_json_node *node)
{
    put_value(out, node, false);
}

void dbk_json_put_canonical(dbk_buffer *out, const dbk_json_node *node)
{
    put_value(out, node, true);
}
