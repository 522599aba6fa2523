/* Blocks in a list, the one being filled in front. An allocation too big to share a block gets its
 * own, put behind the front, so that the room left in the front block is not given up for it. */
#include "base/bytes.h"

#include <assert.h>

enum { ALIGNMENT = 8, BLOCK_BYTES_MIN = 256 };

typedef struct dbk_arena_block {
    struct dbk_arena_block *next;
    size_t capacity;
    size_t used;
    uint64_t data[];
} dbk_arena_block;

struct dbk_arena {
    const dbk_port *port;
    size_t block_bytes;
    dbk_arena_block *front; /* NULL before the first take */
};

dbk_arena *dbk_arena_new(const dbk_port *port, size_t block_bytes)
{
    dbk_arena *arena;

    assert(port && block_bytes <= SIZE_MAX / 2);
    arena = port->alloc(port->ctx, sizeof(*arena));
    if (!arena) return NULL;
    if (block_bytes < BLOCK_BYTES_MIN) block_bytes = BLOCK_BYTES_MIN;
    *arena = (dbk_arena){port, (size_t)dbk_round_up(block_bytes, ALIGNMENT), NULL};
    return arena;
}

static dbk_arena_block *new_block(dbk_arena *arena, size_t capacity)
{
    dbk_arena_block *block;

    block = arena->port->alloc(arena->port->ctx, sizeof(*block) + capacity);
    if (block) *block = (dbk_arena_block){.capacity = capacity};
    return block;
}

static void *take_own_block(dbk_arena *arena, size_t size)
{
    dbk_arena_block *block = new_block(arena, size);

    if (!block) return NULL;
    block->used = size;
    if (arena->front) {
        block->next = arena->front->next;
        arena->front->next = block;
    } else {
        arena->front = block;
    }
    return block->data;
}

void *dbk_arena_take(dbk_arena *arena, size_t size)
{
    dbk_arena_block *front = arena->front;
    uint8_t *at;

    if (size > SIZE_MAX / 2) return NULL;
    size = size ? (size_t)dbk_round_up(size, ALIGNMENT) : ALIGNMENT;
    if (!front || size > front->capacity - front->used) {
        if (size > arena->block_bytes / 4) return take_own_block(arena, size);
        front = new_block(arena, arena->block_bytes);
        if (!front) return NULL;
        front->next = arena->front;
        arena->front = front;
    }
    at = (uint8_t *)front->data + front->used;
    front->used += size;
    return at;
}

dbk_slice dbk_arena_copy(dbk_arena *arena, dbk_slice slice)
{
    size_t room;
    uint8_t *copy;

    if (__builtin_add_overflow(slice.size, 1, &room)) return (dbk_slice){NULL, 0};
    copy = dbk_arena_take(arena, room);
    if (!copy) return (dbk_slice){NULL, 0};
    if (slice.size) memcpy(copy, slice.data, slice.size);
    copy[slice.size] = 0;
    return dbk_slice_of(copy, slice.size);
}

static void free_blocks(dbk_arena *arena, const dbk_arena_block *keep)
{
    dbk_arena_block *block = arena->front;

    while (block) {
        dbk_arena_block *next = block->next;
        if (block != keep) arena->port->free(arena->port->ctx, block);
        block = next;
    }
}

/* Keeps a block of the ordinary size: an outsized one would hold on to its memory for good. */
void dbk_arena_clear(dbk_arena *arena)
{
    dbk_arena_block *keep = arena->front;

    while (keep && keep->capacity != arena->block_bytes) keep = keep->next;
    free_blocks(arena, keep);
    arena->front = keep;
    if (keep) {
        keep->next = NULL;
        keep->used = 0;
    }
}

void dbk_arena_free(dbk_arena *arena)
{
    if (!arena) return;
    free_blocks(arena, NULL);
    arena->port->free(arena->port->ctx, arena);
}
