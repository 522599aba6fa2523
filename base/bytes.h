/* Bytes: borrowed slices, growing buffers, bounded readers and writers, checked arithmetic.
 * All integers on disk and on the wire are fixed-width little-endian (R7) unless said otherwise. */
#ifndef DBK_BYTES_H
#define DBK_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/port.h"
#include "base/result.h"

/* A borrowed run of bytes; the owner is named where one is handed out. */
typedef struct dbk_slice {
    const uint8_t *data;
    size_t size;
} dbk_slice;

static inline dbk_slice dbk_slice_of(const void *data, size_t size)
{
    return (dbk_slice){(const uint8_t *)data, size};
}
static inline dbk_slice dbk_slice_text(const char *text)
{
    return dbk_slice_of(text, strlen(text));
}
static inline bool dbk_slice_equal(dbk_slice a, dbk_slice b)
{
    return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}
/* memcmp order, the shorter first where one begins the other. */
int dbk_slice_compare(dbk_slice a, dbk_slice b);
/* For "%.*s": DBK_SLICE_ARG(s) passes length and data. */
#define DBK_SLICE_ARG(s) (int)(s).size, (const char *)(s).data

/* Checked arithmetic on sizes from outside: false on overflow, *out untouched then. */
static inline bool dbk_add(uint64_t a, uint64_t b, uint64_t *out)
{
    uint64_t sum;
    if (__builtin_add_overflow(a, b, &sum)) return false;
    *out = sum;
    return true;
}
static inline bool dbk_mul(uint64_t a, uint64_t b, uint64_t *out)
{
    uint64_t product;
    if (__builtin_mul_overflow(a, b, &product)) return false;
    *out = product;
    return true;
}
static inline uint64_t dbk_round_up(uint64_t value, uint64_t step)
{
    return (value + step - 1) / step * step;
}

/* A growing buffer, owned by whoever initialised it. A failed growth is remembered: the put
 * functions may be called without a check each, `failed` is looked at once at the end. */
typedef struct dbk_buffer {
    const dbk_port *port;
    uint8_t *data;
    size_t size;
    size_t capacity;
    bool failed; /* out of memory; nothing was appended since */
} dbk_buffer;

void dbk_buffer_init(dbk_buffer *buffer, const dbk_port *port);
void dbk_buffer_release(dbk_buffer *buffer); /* accepts a released or zeroed one */
void dbk_buffer_clear(dbk_buffer *buffer);   /* size 0, failed false, keeps the memory */
/* Clears it, and gives the memory back if that is more than `kept` bytes. */
void dbk_buffer_relax(dbk_buffer *buffer, size_t kept);
bool dbk_buffer_reserve(dbk_buffer *buffer, size_t more);
uint8_t *dbk_buffer_extend_slow(dbk_buffer *buffer, size_t size); /* internal: extend when full */
/* Appends `size` uninitialised bytes and returns them, NULL when out of memory. */
static inline uint8_t *dbk_buffer_extend(dbk_buffer *buffer, size_t size)
{
    if (buffer->failed || size >= buffer->capacity - buffer->size) {
        return dbk_buffer_extend_slow(buffer, size);
    }
    uint8_t *at = buffer->data + buffer->size;
    buffer->size += size;
    return at;
}
/* `data` must not lie inside the buffer itself. */
static inline void dbk_buffer_put(dbk_buffer *buffer, const void *data, size_t size)
{
    if (size == 0) return;
    uint8_t *at = dbk_buffer_extend(buffer, size);
    if (at) memcpy(at, data, size);
}
static inline void dbk_buffer_put_slice(dbk_buffer *buffer, dbk_slice slice)
{
    dbk_buffer_put(buffer, slice.data, slice.size);
}
static inline void dbk_buffer_put_text(dbk_buffer *buffer, const char *text)
{
    dbk_buffer_put(buffer, text, strlen(text));
}
static inline void dbk_buffer_put_u8(dbk_buffer *buffer, uint8_t v)
{
    dbk_buffer_put(buffer, &v, 1);
}
static inline void dbk_buffer_put_u16(dbk_buffer *buffer, uint16_t v)
{
    dbk_buffer_put(buffer, &v, 2);
}
static inline void dbk_buffer_put_u32(dbk_buffer *buffer, uint32_t v)
{
    dbk_buffer_put(buffer, &v, 4);
}
static inline void dbk_buffer_put_u64(dbk_buffer *buffer, uint64_t v)
{
    dbk_buffer_put(buffer, &v, 8);
}
void dbk_buffer_printf(dbk_buffer *buffer, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Puts a NUL behind the content without counting it, so that data can be read as C text; NULL when
 * out of memory. */
const char *dbk_buffer_text(dbk_buffer *buffer);
static inline dbk_slice dbk_buffer_slice(const dbk_buffer *buffer)
{
    return dbk_slice_of(buffer->data, buffer->size);
}
/* Of what was put there; nothing may be asked of a buffer that has nothing yet. */
static inline dbk_slice dbk_buffer_part(const dbk_buffer *buffer, size_t at, size_t size)
{
    return size ? dbk_slice_of(buffer->data + at, size) : dbk_slice_of("", 0);
}

/* Fixed-width integers at an address whose room the caller has checked. */
static inline void dbk_store_u16(uint8_t *at, uint16_t v)
{
    memcpy(at, &v, 2);
}
static inline void dbk_store_u32(uint8_t *at, uint32_t v)
{
    memcpy(at, &v, 4);
}
static inline void dbk_store_u64(uint8_t *at, uint64_t v)
{
    memcpy(at, &v, 8);
}
static inline uint16_t dbk_load_u16(const uint8_t *at)
{
    uint16_t v;
    memcpy(&v, at, 2);
    return v;
}
static inline uint32_t dbk_load_u32(const uint8_t *at)
{
    uint32_t v;
    memcpy(&v, at, 4);
    return v;
}
static inline uint64_t dbk_load_u64(const uint8_t *at)
{
    uint64_t v;
    memcpy(&v, at, 8);
    return v;
}
static inline void dbk_store_be32(uint8_t *at, uint32_t v)
{
    v = __builtin_bswap32(v);
    memcpy(at, &v, 4);
}
static inline void dbk_store_be64(uint8_t *at, uint64_t v)
{
    v = __builtin_bswap64(v);
    memcpy(at, &v, 8);
}
static inline uint32_t dbk_load_be32(const uint8_t *at)
{
    uint32_t v;
    memcpy(&v, at, 4);
    return __builtin_bswap32(v);
}
static inline uint64_t dbk_load_be64(const uint8_t *at)
{
    uint64_t v;
    memcpy(&v, at, 8);
    return __builtin_bswap64(v);
}
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the loads and stores above are for little-endian machines");

/* A bounded reader: a take beyond the end sets `failed`, gives zeros and an empty slice, and every
 * later take does the same, so a parser checks once at the end. */
typedef struct dbk_reader {
    const uint8_t *at;
    const uint8_t *end;
    bool failed;
} dbk_reader;

static inline dbk_reader dbk_reader_of(dbk_slice slice)
{
    return (dbk_reader){slice.data, slice.size ? slice.data + slice.size : slice.data, false};
}
static inline size_t dbk_reader_left(const dbk_reader *r)
{
    return (size_t)(r->end - r->at);
}
static inline dbk_slice dbk_reader_take(dbk_reader *reader, size_t size)
{
    if (reader->failed || size > dbk_reader_left(reader)) {
        reader->failed = true;
        return (dbk_slice){NULL, 0};
    }
    dbk_slice taken = dbk_slice_of(reader->at, size);
    if (size) reader->at += size;
    return taken;
}
static inline uint8_t dbk_reader_u8(dbk_reader *reader)
{
    const uint8_t *at = dbk_reader_take(reader, 1).data;
    return at ? *at : 0;
}
static inline uint16_t dbk_reader_u16(dbk_reader *reader)
{
    const uint8_t *at = dbk_reader_take(reader, 2).data;
    return at ? dbk_load_u16(at) : 0;
}
static inline uint32_t dbk_reader_u32(dbk_reader *reader)
{
    const uint8_t *at = dbk_reader_take(reader, 4).data;
    return at ? dbk_load_u32(at) : 0;
}
static inline uint64_t dbk_reader_u64(dbk_reader *reader)
{
    const uint8_t *at = dbk_reader_take(reader, 8).data;
    return at ? dbk_load_u64(at) : 0;
}

/* An arena: many small allocations released at once. Memory is 8-byte aligned, uninitialised. */
typedef struct dbk_arena dbk_arena;
dbk_arena *dbk_arena_new(const dbk_port *port, size_t block_bytes); /* NULL: out of memory */
void *dbk_arena_take(dbk_arena *arena, size_t size);                /* NULL: out of memory */
/* A copy of the slice with a NUL behind it; {NULL, 0} when out of memory. */
dbk_slice dbk_arena_copy(dbk_arena *arena, dbk_slice slice);
void dbk_arena_clear(dbk_arena *arena); /* forgets all, keeps one block */
void dbk_arena_free(dbk_arena *arena);  /* accepts NULL */

#endif
