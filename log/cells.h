/* The inside of a block of the celled form (internal): what docs/format/log.md says of fronts, cells and shells.
 * Encoding and decoding only; no file is touched here.
 *
 * A block is a front and cells. A cell has some entries, compressed by themselves with the segment's dictionary, so
 * that one entry costs one small cell. The front says where each cell is and has what stands around the entries in the
 * plain form, one *shell* for each record; whatever of it follows from the rest is left out and computed when the plain
 * form is wanted: sizes, places, checksums, and heads where there are many. */
#ifndef DBK_LOG_CELLS_H
#define DBK_LOG_CELLS_H

#include "log/pack.h"

enum {
    DBK_CELL_BYTES = 2048, /* a cell is closed in front of the entry that would lead beyond */
    DBK_CELL_HASHES_APART = 1,
    DBK_CELL_HEADS_COMPUTED = 2,
    DBK_CELL_CONTINUED = 4, /* as the table's row says */
    DBK_FRONT_HEAD_SIZE = 40,
    DBK_FRONT_MAX = 32 * 1024,
    DBK_SHELL_GOES_ON = 16,     /* beside the type: the record ends in another block */
    DBK_CELL_ROW_MIN = 11,      /* bytes in the front */
    DBK_COMMAND_HASH_AT = 85,   /* in the origin bytes */
    DBK_COMMAND_HASH_SIZE = 32, /* drawn as if at random, so kept apart from what compresses */
};

typedef struct dbk_pack_cell {
    uint32_t offset;       /* from the begin of the block */
    uint32_t stored;       /* bytes in the file: a frame of zstd, then hashes */
    uint32_t content;      /* bytes the frame decompresses to */
    uint32_t first, count; /* entries; the first one counted from the block's first */
    uint32_t stored_checksum, content_checksum;
} dbk_pack_cell;

typedef struct dbk_front {
    uint32_t bytes, cell_count, entry_count;
    bool hashes_apart, heads_computed;
    uint64_t payload_bytes; /* of all entries with their lengths */
    dbk_slice shells;
} dbk_front;

/* The bytes that begin a block say how long its front is; 0: impossible. */
uint32_t dbk_front_bytes(dbk_slice block_bytes);
/* A front begins with its magic, and tells all that the table does, for when that is lost: the row with no place in the
 * file and no checksums. False: no whole front with a right checksum. */
bool dbk_front_begins(dbk_slice block_bytes);
bool dbk_front_row(const dbk_segment_header *header, dbk_slice block_bytes, dbk_pack_block *row);
/* Writes the head of a front, whose bytes are all there but these. */
void dbk_front_finish(const dbk_segment_header *header, const dbk_pack_block *row, uint8_t *front, size_t bytes);
/* `front_bytes` is a front whose checksum is right, `block` its row. The cells go into `cells`, one dbk_pack_cell
 * behind the other. False where anything contradicts itself or the row. */
bool dbk_front_decode(dbk_slice front_bytes, const dbk_pack_block *block, dbk_front *front, dbk_buffer *cells);
uint32_t dbk_cell_checksum(const dbk_segment_header *header, const dbk_pack_block *block, uint32_t cell, bool content,
                           dbk_slice data);
/* Entries with their lengths, as they stand in the plain form. */
static inline size_t dbk_cell_payload(const dbk_front *front, const dbk_pack_cell *cell)
{
    return cell->content + (front->hashes_apart ? (size_t)cell->count * DBK_COMMAND_HASH_SIZE : 0);
}
/* Puts entries and their hashes together again; false where their lengths do not fill the content. */
bool dbk_cell_join(dbk_slice content, dbk_slice hashes, uint8_t *out);

/* What a block has of one record. */
typedef struct dbk_shell {
    bool begins, ends;   /* in this block */
    bool previous_known; /* else the record before it in the block says it */
    uint32_t here;       /* entries in this block */
    dbk_record record;   /* what is not computed */
    dbk_slice payload;   /* of a start or a seal */
} dbk_shell;
typedef struct dbk_shells {
    dbk_reader reader;
    const dbk_front *front;
    const uint8_t *peaks; /* of the entries in front of the block, where heads are computed */
    uint64_t position;    /* of the next entry */
    int64_t received_ms;
    bool continued, first;
} dbk_shells;
/* `position` is that of the block's first entry. */
void dbk_shells_begin(dbk_shells *shells, const dbk_front *front, const dbk_pack_block *block, uint64_t position);
/* False at the end, and where the bytes make no sense: shells->reader.failed. */
bool dbk_shells_next(dbk_shells *shells, dbk_shell *shell);

/* The block's plain form, `block->plain_bytes` at `out`, from all its entries. False: they do not fill it. */
bool dbk_cells_rebuild(const dbk_segment_header *header, const dbk_front *front, const dbk_pack_block *block,
                       uint64_t position, dbk_slice entries, uint8_t *out);

#endif
