/* Buffers grow by doubling and remember that memory ran out, so that a caller looks once, at the end. */
#include "base/bytes.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>

enum { FIRST_CAPACITY = 64 };

int dbk_slice_compare(dbk_slice a, dbk_slice b)
{
    size_t common = a.size < b.size ? a.size : b.size;
    int order = common ? memcmp(a.data, b.data, common) : 0;

    if (order != 0) return order;
    return (a.size > b.size) - (a.size < b.size);
}

void dbk_buffer_init(dbk_buffer *buffer, const dbk_port *port)
{
    assert(port);
    *buffer = (dbk_buffer){.port = port};
}

void dbk_buffer_release(dbk_buffer *buffer)
{
    if (buffer->data) buffer->port->free(buffer->port->ctx, buffer->data);
    *buffer = (dbk_buffer){.port = buffer->port};
}

void dbk_buffer_clear(dbk_buffer *buffer)
{
    buffer->size = 0;
    buffer->failed = false;
}

void dbk_buffer_relax(dbk_buffer *buffer, size_t kept)
{
    if (buffer->capacity > kept) dbk_buffer_release(buffer);
    else dbk_buffer_clear(buffer);
}

/* Doubles, so that n appended bytes cost O(n) copying in all. */
bool dbk_buffer_reserve(dbk_buffer *buffer, size_t more)
{
    size_t needed, capacity;
    uint8_t *data;

    if (buffer->failed) return false;
    if (more <= buffer->capacity - buffer->size) return true;
    assert(buffer->port);
    if (__builtin_add_overflow(buffer->size, more, &needed) || needed > SIZE_MAX / 2) goto fail;
    capacity = buffer->capacity ? buffer->capacity * 2 : FIRST_CAPACITY;
    if (capacity < needed) capacity = needed;
    data = buffer->port->resize(buffer->port->ctx, buffer->data, capacity);
    if (!data) goto fail;
    buffer->data = data;
    buffer->capacity = capacity;
    return true;
fail:
    buffer->failed = true;
    return false;
}

uint8_t *dbk_buffer_extend_slow(dbk_buffer *buffer, size_t size)
{
    uint8_t *at;

    /* One byte at least, so that the address of an empty extension is never NULL. */
    if (!dbk_buffer_reserve(buffer, size ? size : 1)) return NULL;
    at = buffer->data + buffer->size;
    buffer->size += size;
    return at;
}

void dbk_buffer_printf(dbk_buffer *buffer, const char *format, ...)
{
    va_list args, again;
    size_t room;
    int length;

    if (!dbk_buffer_reserve(buffer, 1)) return;
    room = buffer->capacity - buffer->size;
    va_start(args, format);
    va_copy(again, args);
    length = vsnprintf((char *)buffer->data + buffer->size, room, format, args);
    if (length < 0) {
        buffer->failed = true;
    } else if ((size_t)length < room) {
        buffer->size += (size_t)length;
    } else if (dbk_buffer_reserve(buffer, (size_t)length + 1)) {
        (void)vsnprintf((char *)buffer->data + buffer->size, (size_t)length + 1, format, again);
        buffer->size += (size_t)length;
    }
    va_end(again);
    va_end(args);
}

const char *dbk_buffer_text(dbk_buffer *buffer)
{
    if (!dbk_buffer_reserve(buffer, 1)) return NULL;
    buffer->data[buffer->size] = '\0';
    return (const char *)buffer->data;
}
