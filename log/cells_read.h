/* Reading entries of a packed segment of the celled form, cell by cell (internal). */
#ifndef DBK_LOG_CELLS_READ_H
#define DBK_LOG_CELLS_READ_H

#include "log/unpack.h"

static inline bool dbk_image_is_celled(const dbk_image *image)
{
    return image->packed && image->head.celled;
}
/* One copy of the dictionary, which the file has. DBK_CORRUPT: it is damaged; dbk_error as of an image. */
dbk_result dbk_image_read_dictionary(dbk_image *image, uint64_t offset, dbk_dictionary **out,
                                     dbk_error *err) DBK_MUST_USE;
/* Of either copy, if the image has one. Who looks at damage goes on without. */
dbk_result dbk_image_take_dictionary(dbk_image *image, dbk_error *err) DBK_MUST_USE;
/* Reads a block and checks its front; the unpacker keeps it until another one is asked for. */
dbk_result dbk_image_open_block(dbk_image *image, dbk_unpacker *unpacker, uint32_t index, dbk_open_block **out,
                                dbk_error *err) DBK_MUST_USE;
static inline const dbk_pack_cell *dbk_block_cell(const dbk_open_block *block, uint32_t cell)
{
    return (const dbk_pack_cell *)(const void *)block->cells.data + cell;
}
/* The cell with an entry, counted from the block's first; there is one. */
uint32_t dbk_block_cell_of(const dbk_open_block *block, uint32_t entry);
/* Entries with their lengths, both checksums checked; `out` has room for the cell's payload. */
dbk_result dbk_image_read_cell(dbk_image *image, dbk_unpacker *unpacker, dbk_open_block *block, uint32_t cell,
                               uint8_t *out, dbk_error *err) DBK_MUST_USE;
/* The plain form of a block, made again, and its checksum: the records' own are computed from what is there, so they
 * say nothing of it. `out` has room for its plain_bytes. */
dbk_result dbk_image_rebuild_block(dbk_image *image, dbk_unpacker *unpacker, uint32_t index, uint8_t *out,
                                   dbk_error *err) DBK_MUST_USE;

/* When entries were received, one after the other: of those of one record it is the same. */
typedef struct dbk_times {
    dbk_shells shells;
    dbk_shell shell;
    uint32_t left; /* entries of the shell */
} dbk_times;
void dbk_times_begin(dbk_times *times, const dbk_image *image, const dbk_open_block *block);
/* Passes over so many entries; false: the block has not so many. */
bool dbk_times_skip(dbk_times *times, uint32_t entries);
/* Of the next entry. */
bool dbk_times_next(dbk_times *times, int64_t *received_ms);

/* A walk over the entries of one image, with an unpacker of its own. */
typedef struct dbk_cell_walk {
    dbk_image *image;
    dbk_unpacker **unpacker;
    uint32_t block, cell;
    dbk_open_block *open;
    dbk_times times;
    dbk_buffer payload; /* of the cell */
    dbk_slice rest;     /* entries in it not given yet */
    uint32_t left;      /* and how many these must be */
} dbk_cell_walk;
/* Before the first entry with a position at or above. The memory stays from one walk to the next. */
dbk_result dbk_cell_walk_begin(dbk_cell_walk *walk, dbk_image *image, dbk_unpacker **unpacker, uint64_t position,
                               dbk_error *err) DBK_MUST_USE;
/* The origin bytes live until the next call. DBK_END: behind the segment's last entry. */
dbk_result dbk_cell_walk_next(dbk_cell_walk *walk, int64_t *received_ms, dbk_slice *origin,
                              dbk_error *err) DBK_MUST_USE;
void dbk_cell_walk_release(dbk_cell_walk *walk);

#endif
