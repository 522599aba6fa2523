/* Internal to store/: the file of an image (docs/format/image.md). What is read may be of anybody's making. */
#ifndef DBK_STORE_IMAGE_FILE_H
#define DBK_STORE_IMAGE_FILE_H

#include "store/engine.h"

enum { DBK_IMAGE_HEADER_SIZE = 256, DBK_IMAGE_BLOCK_SIZE = 128 * 1024 };

typedef struct dbk_image_header {
    uint8_t store_id[16];
    uint64_t position;
    uint8_t head[DBK_LEAF_SIZE], top[DBK_ORDER_KEY_SIZE], definition[16];
    uint64_t plain_bytes; /* of the model's copy that is packed in it */
} dbk_image_header;

/* DBK_CORRUPT: no header of an image. What is behind it is not looked at. */
dbk_result dbk_image_header_read(const dbk_port *port, dbk_dir *dir, const char *name, dbk_image_header *header,
                                 dbk_error *err) DBK_MUST_USE;
/* Packs the file `plain` of the folder into a new one `name` (DBK_EXISTS), synced when it returns. The header's
 * plain_bytes are set. A failure may leave a file behind. */
dbk_result dbk_image_pack(const dbk_port *port, dbk_dir *dir, const char *plain, dbk_image_header *header,
                          const char *name, dbk_error *err) DBK_MUST_USE;
/* Unpacks `name` into a new file at `path` (DBK_EXISTS), every byte of it checked; it is not synced, and there is none
 * after a failure. DBK_CORRUPT: the image is damaged. */
dbk_result dbk_image_unpack(const dbk_port *port, dbk_dir *dir, const char *name, const char *path,
                            dbk_error *err) DBK_MUST_USE;

#endif
