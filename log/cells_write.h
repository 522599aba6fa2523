/* Writing blocks of the celled form (internal). */
#ifndef DBK_LOG_CELLS_WRITE_H
#define DBK_LOG_CELLS_WRITE_H

#include "log/cells.h"
#include "log/unpack.h"

typedef struct dbk_cell_writer {
    const dbk_segment_header *header;
    dbk_packer *packer;
    dbk_buffer rows, shells, stored; /* of the block under way: of its cells, of its records, the cells themselves */
    dbk_buffer content, hashes;      /* of the cell under way */
    dbk_buffer out;                  /* the block */
    const dbk_pack_block *row;       /* its row */
    uint32_t block, cell_count, in_cell;
    uint64_t left; /* bytes of payload of a record that goes on in the next block */
    bool hashes_apart, heads_computed, out_of_memory;
} dbk_cell_writer;
void dbk_cell_writer_init(dbk_cell_writer *writer, const dbk_port *port, const dbk_segment_header *header,
                          dbk_packer *packer);
void dbk_cell_writer_release(dbk_cell_writer *writer);
/* The next block, from its plain form, whose records are sound; *block gets its lengths and checksums. `before` are the
 * entries in front of its first one. *packed lives until the next call. False: out of memory. */
bool dbk_cell_writer_put(dbk_cell_writer *writer, dbk_slice plain, dbk_pack_block *block, const dbk_range *before,
                         dbk_slice *packed);

#endif
