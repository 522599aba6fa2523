/* zstd within memory of the port (internal): what it needs is measured beforehand, so that it asks
 * for none of its own. */
#ifndef DBK_LOG_UNPACK_H
#define DBK_LOG_UNPACK_H

#include "log/image.h"

/* Room for compressed bytes, until the next call; NULL: out of memory. */
uint8_t *dbk_unpacker_room(dbk_unpacker *unpacker, size_t size);
/* False unless `data` is one frame of exactly so many bytes. */
bool dbk_unpacker_run(dbk_unpacker *unpacker, dbk_slice data, uint8_t *out, size_t size);
/* How many bytes of `data` are the frame that it begins with, and of how many it is made; 0: it begins with no whole
 * one. Whether one could begin there. */
size_t dbk_unpacker_frame(dbk_slice data, size_t *plain_bytes);
bool dbk_unpacker_begins(dbk_slice data);
/* The block kept, if it is this one. */
const uint8_t *dbk_unpacker_kept(const dbk_unpacker *unpacker, const dbk_image *image, uint32_t index);
uint8_t *dbk_unpacker_keep(dbk_unpacker *unpacker, size_t size); /* forgets the one before */
void dbk_unpacker_note(dbk_unpacker *unpacker, const dbk_image *image, uint32_t index);

typedef struct dbk_packer dbk_packer;
dbk_packer *dbk_packer_new(const dbk_port *port); /* NULL: out of memory */
void dbk_packer_free(dbk_packer *packer);         /* accepts NULL */
/* One frame, which names its length; it lives until the next call. False: out of memory. */
bool dbk_packer_run(dbk_packer *packer, dbk_slice data, dbk_slice *packed);

#endif
