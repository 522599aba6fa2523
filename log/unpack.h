/* zstd within memory of the port (internal): what it needs is measured beforehand, so that it asks
 * for none of its own. */
#ifndef DBK_LOG_UNPACK_H
#define DBK_LOG_UNPACK_H

#include "log/cells.h"
#include "log/image.h"

/* Room for compressed bytes, until the next call; NULL: out of memory. */
uint8_t *dbk_unpacker_room(dbk_unpacker *unpacker, size_t size);
/* False unless `data` is one frame of exactly so many bytes. */
bool dbk_unpacker_run(dbk_unpacker *unpacker, dbk_slice data, uint8_t *out, size_t size);
/* How many bytes of `data` are the frame that it begins with, and of how many it is made; 0: it begins with no whole
 * one. Whether one could begin there. */
size_t dbk_unpacker_frame(dbk_slice data, size_t *plain_bytes);
bool dbk_unpacker_begins(dbk_slice data);
/* Which block is kept. Of an image that is gone another one may have the address, and be of the same segment: one that
 * was packed again is told by its table. */
typedef struct dbk_block_place {
    const dbk_image *image;
    uint64_t salt; /* of its segment; 0: none is kept */
    uint64_t table_checksum;
    uint32_t index;
} dbk_block_place;
static inline dbk_block_place dbk_block_place_of(const dbk_image *image, uint32_t index)
{
    return (dbk_block_place){image, image->header.salt, image->head.table_checksum, index};
}
static inline bool dbk_block_place_is(const dbk_block_place *place, const dbk_image *image, uint32_t index)
{
    return place->salt != 0 && place->image == image && place->salt == image->header.salt &&
           place->table_checksum == image->head.table_checksum && place->index == index;
}

/* The block kept, if it is this one. */
const uint8_t *dbk_unpacker_kept(const dbk_unpacker *unpacker, const dbk_image *image, uint32_t index);
uint8_t *dbk_unpacker_keep(dbk_unpacker *unpacker, size_t size); /* forgets the one before */
void dbk_unpacker_note(dbk_unpacker *unpacker, const dbk_image *image, uint32_t index);

enum { DBK_DICTIONARY_MEMORY = 28 * 1024 }; /* beside its bytes, about */
/* A dictionary made ready for decompression. */
dbk_dictionary *dbk_dictionary_new(const dbk_port *port, dbk_slice bytes, bool *sound); /* NULL; sound: out of memory */
void dbk_dictionary_free(dbk_dictionary *dictionary);                                   /* accepts NULL */
/* As run, of a cell: a frame without its magic number, made with the dictionary, if there is one. */
bool dbk_unpacker_run_cell(dbk_unpacker *unpacker, dbk_slice data, const dbk_dictionary *dictionary, uint8_t *out,
                           size_t size);

/* The block of the celled form that was read last. */
typedef struct dbk_open_block {
    dbk_block_place place;
    dbk_front front;
    dbk_buffer data, cells; /* the block as in the file; its dbk_pack_cell */
} dbk_open_block;
dbk_open_block *dbk_unpacker_block(dbk_unpacker *unpacker);
uint8_t *dbk_unpacker_scratch(dbk_unpacker *unpacker, size_t size); /* until the next call; NULL: out of memory */

enum { DBK_PACK_LEVEL = 6 };
typedef struct dbk_packer dbk_packer;
/* For cells; the dictionary may be empty, and has to live as long. NULL: out of memory, or it is none. */
dbk_packer *dbk_packer_new(const dbk_port *port, dbk_slice dictionary);
void dbk_packer_free(dbk_packer *packer); /* accepts NULL */
/* One frame without its magic number, which names its length; it lives until the next call. False: out of memory. */
bool dbk_packer_run(dbk_packer *packer, dbk_slice data, dbk_slice *packed);

#endif
