/* Outlines of large records: where each entry stands, and its checksum. A record is checked whole when
 * it is first read; from then on one entry of it is read alone and checked alone, as long as its
 * outline is kept. Who reads entries one beside the other is better served by the whole record, unless that is too
 * large to be kept: it would be read anew for each of them. */
#include "log/piece.h"

enum { LARGE_RECORD_BYTES = 32 * 1024, IN_ORDER_MAX = 4 };

typedef struct outline_entry {
    uint32_t offset, size; /* of the origin bytes, from the begin of the record */
    uint64_t checksum;
} outline_entry;

struct dbk_outline {
    uint64_t first, used;
    uint64_t asked;    /* the position asked for last */
    uint32_t in_order; /* how many in a row stood beside the one before */
    uint32_t count;
    bool is_kept; /* the record as a piece is small enough for it */
    uint64_t record_offset;
    int64_t received_ms;
    outline_entry entries[];
};

static size_t bytes_of(uint32_t count)
{
    return sizeof(dbk_outline) + (size_t)count * sizeof(outline_entry);
}

/* Under the cache's lock, as all that follow. */
static dbk_outline *find(const dbk_log *log, uint64_t position)
{
    for (size_t i = 0; i < log->outline_count; i++) {
        dbk_outline *outline = log->outlines[i];
        if (position >= outline->first && position - outline->first < outline->count) return outline;
    }
    return NULL;
}

bool dbk_outline_find(dbk_log *log, uint64_t position, dbk_entry_place *place)
{
    dbk_outline *outline = find(log, position);

    if (!outline) return false;
    bool beside = position == outline->asked + 1 || position + 1 == outline->asked;
    outline->in_order = beside ? outline->in_order + 1 : 0;
    outline->asked = position;
    outline->used = ++log->piece_clock;
    if (outline->in_order >= IN_ORDER_MAX && outline->is_kept) return false;
    const outline_entry *entry = &outline->entries[position - outline->first];
    *place =
        (dbk_entry_place){outline->record_offset + entry->offset, entry->size, entry->checksum, outline->received_ms};
    return true;
}

static void drop_oldest(dbk_log *log)
{
    size_t oldest = 0;

    for (size_t i = 1; i < log->outline_count; i++) {
        if (log->outlines[i]->used < log->outlines[oldest]->used) oldest = i;
    }
    log->outline_bytes -= bytes_of(log->outlines[oldest]->count);
    dbk_free(log->port, log->outlines[oldest]);
    log->outlines[oldest] = log->outlines[--log->outline_count];
}

dbk_outline *dbk_outline_new(const dbk_log *log, const dbk_piece *piece, uint64_t record_offset)
{
    size_t bytes = bytes_of(piece->count);

    if (piece->bytes < LARGE_RECORD_BYTES || piece->count < 2 || bytes > DBK_OUTLINE_CACHE_BYTES) return NULL;
    dbk_outline *outline = dbk_alloc(log->port, bytes);
    if (!outline) return NULL;
    memset(outline, 0, sizeof(*outline));
    outline->first = piece->first;
    outline->count = piece->count;
    outline->is_kept = piece->bytes <= DBK_PIECE_CACHE_BYTES / 4; /* beside those of other walks */
    outline->record_offset = record_offset;
    outline->received_ms = piece->entries[0].received_ms;
    for (uint32_t i = 0; i < piece->count; i++) {
        const dbk_piece_entry *entry = &piece->entries[i];
        uint64_t checksum = dbk_checksum(dbk_piece_origin(piece, piece->first + i), piece->first + i);
        outline->entries[i] = (outline_entry){entry->offset, entry->size, checksum};
    }
    return outline;
}

void dbk_outline_keep(dbk_log *log, dbk_outline *outline)
{
    size_t bytes = bytes_of(outline->count);

    if (find(log, outline->first)) {
        dbk_free(log->port, outline);
        return;
    }
    while (log->outline_count == DBK_OUTLINE_SLOTS ||
           (log->outline_count && log->outline_bytes + bytes > DBK_OUTLINE_CACHE_BYTES))
        drop_oldest(log);
    outline->used = ++log->piece_clock;
    log->outlines[log->outline_count++] = outline;
    log->outline_bytes += bytes;
}

void dbk_outline_release(dbk_log *log)
{
    while (log->outline_count) drop_oldest(log);
}
