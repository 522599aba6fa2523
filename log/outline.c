/* Outlines of large records: parts of some 8 KiB of whole entries, and a checksum for each. A record is checked whole
 * when it is first read; from then on the part with an entry is read alone and checked alone, as long as the outline
 * is kept, which takes a 500th of the record. Who asks for the first or the last entry is taken for one who walks
 * through all of them, and is given the record whole, unless that is too large to be kept: it would be read anew for
 * each entry. */
#include "log/piece.h"

enum { PART_BYTES = 8192 };

typedef struct outline_part {
    uint32_t offset; /* of the length of its first entry, from the begin of the record */
    uint32_t first;  /* that entry, counted from the record's first */
    uint64_t checksum;
} outline_part;

struct dbk_outline {
    uint64_t first, used;
    uint64_t record_offset;
    int64_t received_ms;
    uint32_t count, part_count;
    uint32_t end; /* behind the last entry */
    bool is_kept; /* the record as a piece is small enough for it */
    outline_part parts[];
};

static size_t bytes_of(uint32_t part_count)
{
    return sizeof(dbk_outline) + (size_t)part_count * sizeof(outline_part);
}

/* Under the cache's lock, as all that follow. The last one that begins at or below the position, counted from 1. */
static size_t below(const dbk_log *log, uint64_t position)
{
    size_t low = 0, high = log->outline_count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (log->outlines[middle]->first <= position) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

bool dbk_outline_place(const dbk_outline *outline, uint64_t position, dbk_part_place *place)
{
    uint32_t entry = (uint32_t)(position - outline->first), low = 0, high = outline->part_count;

    if (outline->is_kept && (entry == 0 || entry == outline->count - 1)) return false;
    while (high - low > 1) {
        uint32_t middle = low + (high - low) / 2;
        if (outline->parts[middle].first <= entry) {
            low = middle;
        } else {
            high = middle;
        }
    }
    const outline_part *part = &outline->parts[low];
    bool last = low + 1 == outline->part_count;
    *place = (dbk_part_place){.offset = outline->record_offset + part->offset,
                              .first = outline->first + part->first,
                              .size = (last ? outline->end : part[1].offset) - part->offset,
                              .count = (last ? outline->count : part[1].first) - part->first,
                              .checksum = part->checksum,
                              .received_ms = outline->received_ms};
    return true;
}

dbk_outlined dbk_outline_find(dbk_log *log, uint64_t position, dbk_part_place *place)
{
    size_t at = below(log, position);
    dbk_outline *outline = at ? log->outlines[at - 1] : NULL;

    if (!outline || position - outline->first >= outline->count) return DBK_OUTLINED_NOT;
    outline->used = ++log->piece_clock;
    return dbk_outline_place(outline, position, place) ? DBK_OUTLINED_PART : DBK_OUTLINED_WHOLE;
}

static void drop_oldest(dbk_log *log)
{
    size_t oldest = 0;

    for (size_t i = 1; i < log->outline_count; i++) {
        if (log->outlines[i]->used < log->outlines[oldest]->used) oldest = i;
    }
    dbk_outline *outline = log->outlines[oldest];
    size_t behind = --log->outline_count - oldest;
    memmove(log->outlines + oldest, log->outlines + oldest + 1, behind * sizeof(dbk_outline *));
    log->outline_bytes -= bytes_of(outline->part_count);
    dbk_free(log->port, outline);
}

static uint32_t begin_of(const dbk_piece *piece, uint32_t entry)
{
    return piece->entries[entry].offset - 4; /* its length, in front of it */
}

static uint32_t end_of(const dbk_piece *piece, uint32_t entry)
{
    return piece->entries[entry].offset + piece->entries[entry].size;
}

/* The entry behind the part that begins with this one. */
static uint32_t behind_part(const dbk_piece *piece, uint32_t entry)
{
    uint32_t begin = begin_of(piece, entry);

    do entry++;
    while (entry < piece->count && end_of(piece, entry) - begin <= PART_BYTES);
    return entry;
}

dbk_outline *dbk_outline_new(const dbk_log *log, const dbk_piece *piece, uint64_t record_offset)
{
    uint32_t part_count = 0;

    if (piece->bytes < DBK_LARGE_RECORD_BYTES || piece->count < 2) return NULL;
    for (uint32_t at = 0; at < piece->count; at = behind_part(piece, at)) part_count++;
    if (bytes_of(part_count) > DBK_OUTLINE_CACHE_BYTES) return NULL;
    dbk_outline *outline = dbk_alloc(log->port, bytes_of(part_count));
    if (!outline) return NULL;
    memset(outline, 0, sizeof(*outline));
    outline->first = piece->first;
    outline->count = piece->count;
    outline->record_offset = record_offset;
    outline->received_ms = piece->entries[0].received_ms;
    outline->end = end_of(piece, piece->count - 1);
    outline->is_kept = outline->end <= DBK_PIECE_CACHE_BYTES / 4; /* beside those of other walks */
    for (uint32_t at = 0, next; at < piece->count; at = next) {
        next = behind_part(piece, at);
        uint32_t begin = begin_of(piece, at);
        dbk_slice bytes = dbk_slice_of(piece->data + begin, end_of(piece, next - 1) - begin);
        outline->parts[outline->part_count++] = (outline_part){begin, at, dbk_checksum(bytes, piece->first + at)};
    }
    return outline;
}

static bool has_room(dbk_log *log)
{
    size_t room = log->outline_room ? log->outline_room * 2 : 64;

    if (log->outline_count < log->outline_room) return true;
    dbk_outline **grown = dbk_alloc(log->port, room * sizeof(dbk_outline *));
    if (!grown) return false;
    if (log->outline_count) memcpy(grown, log->outlines, log->outline_count * sizeof(dbk_outline *));
    dbk_free(log->port, log->outlines);
    log->outlines = grown;
    log->outline_room = room;
    return true;
}

void dbk_outline_keep(dbk_log *log, dbk_outline *outline)
{
    size_t bytes = bytes_of(outline->part_count);
    size_t at = below(log, outline->first);

    if ((at && log->outlines[at - 1]->first == outline->first) || !has_room(log)) {
        dbk_free(log->port, outline);
        return;
    }
    while (log->outline_count && log->outline_bytes + bytes > DBK_OUTLINE_CACHE_BYTES) drop_oldest(log);
    at = below(log, outline->first);
    memmove(log->outlines + at + 1, log->outlines + at, (log->outline_count - at) * sizeof(dbk_outline *));
    log->outlines[at] = outline;
    outline->used = ++log->piece_clock;
    log->outline_count++;
    log->outline_bytes += bytes;
}

void dbk_outline_release(dbk_log *log)
{
    for (size_t i = 0; i < log->outline_count; i++) dbk_free(log->port, log->outlines[i]);
    dbk_free(log->port, log->outlines);
    log->outlines = NULL;
    log->outline_count = log->outline_room = log->outline_bytes = 0;
}
