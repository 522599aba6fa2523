/* Entries in memory (internal): those of one record, or of one block of a packed segment, checked.
 * Pieces used last are kept, up to DBK_PIECE_CACHE_BYTES
 * together, or one alone up to DBK_PIECE_LARGEST_BYTES; one in use stays as long as it is held. */
#ifndef DBK_LOG_PIECE_H
#define DBK_LOG_PIECE_H

#include "log/internal.h"

typedef struct dbk_piece_entry {
    uint32_t offset, size; /* of the origin bytes in data */
    int64_t received_ms;
} dbk_piece_entry;

struct dbk_piece {
    uint64_t first; /* position of entries[0] */
    uint32_t count;
    uint32_t holders; /* cache_lock, as the next two */
    bool kept;
    uint64_t used;
    size_t bytes; /* of memory */
    uint8_t *data;
    dbk_piece_entry entries[];
};

/* The piece with this position. DBK_NONE: no such position. */
dbk_result dbk_piece_take(dbk_log *log, uint64_t position, dbk_piece **out, dbk_error *err) DBK_MUST_USE;
void dbk_piece_give(dbk_log *log, dbk_piece *piece); /* accepts NULL */
static inline dbk_slice dbk_piece_origin(const dbk_piece *piece, uint64_t position)
{
    const dbk_piece_entry *entry = &piece->entries[position - piece->first];

    return dbk_slice_of(piece->data + entry->offset, entry->size);
}

/* outline.c: find, keep and release are called under the cache's lock. */
typedef struct dbk_part_place {
    uint64_t offset; /* in the plain file */
    uint64_t first;  /* position of its first entry */
    uint32_t size, count;
    uint64_t checksum; /* of its bytes, seeded with the position */
    int64_t received_ms;
} dbk_part_place;
/* What to read: of a record that has an outline, the part with the entry, or all of it. */
typedef enum dbk_outlined { DBK_OUTLINED_NOT, DBK_OUTLINED_PART, DBK_OUTLINED_WHOLE } dbk_outlined;
dbk_outlined dbk_outline_find(dbk_log *log, uint64_t position, dbk_part_place *place);
/* Of a record that was read and checked; NULL: it is small, or memory is short. */
dbk_outline *dbk_outline_new(const dbk_log *log, const dbk_piece *piece, uint64_t record_offset);
/* The part with the position; false: all of the record. */
bool dbk_outline_place(const dbk_outline *outline, uint64_t position, dbk_part_place *place);
void dbk_outline_keep(dbk_log *log, dbk_outline *outline); /* takes it */
void dbk_outline_release(dbk_log *log);

#endif
