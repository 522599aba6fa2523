/* JSON out. */
#include "base/json_internal.h"

/* The first byte that has to be escaped, or `end`. */
static const uint8_t *plain_end(const uint8_t *at, const uint8_t *end)
{
    for (; end - at >= 8; at += 8) {
        uint64_t special = dbk_json_special_bytes(dbk_load_u64(at));
        if (special) return at + __builtin_ctzll(special) / 8;
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

/* True when `node` was a scalar, and is written. */
static bool put_scalar(dbk_buffer *out, const dbk_json_node *node)
{
    switch ((dbk_json_kind)node->kind) {
    case DBK_JSON_NULL: dbk_buffer_put(out, "null", 4); return true;
    case DBK_JSON_FALSE: dbk_buffer_put(out, "false", 5); return true;
    case DBK_JSON_TRUE: dbk_buffer_put(out, "true", 4); return true;
    case DBK_JSON_NUMBER: dbk_buffer_put_slice(out, node->text); return true;
    case DBK_JSON_STRING: dbk_json_put_string(out, node->text); return true;
    case DBK_JSON_ARRAY:
    case DBK_JSON_OBJECT: break;
    }
    return false;
}

typedef void put_value(dbk_buffer *out, const dbk_json_node *node);

/* The parser's limit on nesting bounds the recursion of the two below. */
static void put_array(dbk_buffer *out, const dbk_json_node *array, put_value *put)
{
    dbk_buffer_put_u8(out, '[');
    const dbk_json_node *child = array + 1;
    for (uint32_t i = 0; i < array->count; i++, child = dbk_json_next(child)) {
        if (i > 0) dbk_buffer_put_u8(out, ',');
        put(out, child);
    }
    dbk_buffer_put_u8(out, ']');
}

static void put_member(dbk_buffer *out, const dbk_json_node *member, char before, put_value *put)
{
    dbk_buffer_put_u8(out, (uint8_t)before);
    dbk_json_put_string(out, member->name);
    dbk_buffer_put_u8(out, ':');
    put(out, member);
}

void dbk_json_put_minimal(dbk_buffer *out, const dbk_json_node *node)
{
    if (put_scalar(out, node)) return;
    if (node->kind == DBK_JSON_ARRAY) {
        put_array(out, node, dbk_json_put_minimal);
        return;
    }
    if (node->count == 0) dbk_buffer_put_u8(out, '{');
    const dbk_json_node *child = node + 1;
    for (uint32_t i = 0; i < node->count; i++, child = dbk_json_next(child))
        put_member(out, child, i ? ',' : '{', dbk_json_put_minimal);
    dbk_buffer_put_u8(out, '}');
}

static void put_sorted(dbk_buffer *out, const dbk_json_node *object, dbk_json_named *members)
{
    dbk_json_list_members(object, members);
    dbk_json_sort(members, object->count);
    if (object->count == 0) dbk_buffer_put_u8(out, '{');
    for (uint32_t i = 0; i < object->count; i++)
        put_member(out, members[i].node, i ? ',' : '{', dbk_json_put_canonical);
    dbk_buffer_put_u8(out, '}');
}

/* A level of nesting with few members takes 512 bytes of stack, one with more takes memory. */
void dbk_json_put_canonical(dbk_buffer *out, const dbk_json_node *node)
{
    dbk_json_named few[32];
    if (put_scalar(out, node)) return;
    if (node->kind == DBK_JSON_ARRAY) {
        put_array(out, node, dbk_json_put_canonical);
        return;
    }
    if (node->count <= sizeof few / sizeof *few) {
        put_sorted(out, node, few);
        return;
    }
    const dbk_port *port = out->port;
    dbk_json_named *members = port->alloc(port->ctx, node->count * sizeof *members);
    if (!members) {
        out->failed = true;
        return;
    }
    put_sorted(out, node, members);
    port->free(port->ctx, members);
}
