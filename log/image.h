/* A segment file open for reading, in either form (internal). Offsets are those of the plain form:
 * who reads through an image need not know which form it is. */
#ifndef DBK_LOG_IMAGE_H
#define DBK_LOG_IMAGE_H

#include "log/pack.h"

typedef struct dbk_dictionary dbk_dictionary; /* unpack.h */
typedef struct dbk_image {
    const dbk_port *port;
    dbk_file *file;
    char name[32];
    dbk_segment_header header; /* zero for a plain one whose headers are damaged */
    bool packed;
    dbk_pack_head head; /* of a packed one, as the next four */
    dbk_pack_block *blocks;
    const uint8_t *table;       /* roots and types, behind the blocks; NULL where the table is lost */
    dbk_dictionary *dictionary; /* of a celled one; NULL: it has none */
    bool lent;                  /* the file is closed by who gave it */
    bool table_lost;            /* it is damaged; `blocks` was made again from the blocks themselves */
    bool read_damaged;          /* for verification: what is damaged reads as bytes of DBK_IMAGE_DAMAGED */
    size_t memory;              /* bytes that it holds, about */
    /* for segment.c, under the log's lock */
    unsigned pins;
    uint64_t used;
    bool detached; /* closed with the last pin: the segment has another image by now */
} dbk_image;
enum { DBK_IMAGE_DAMAGED = 0xdb };

/* The memory that decompression needs, and the block it did last. One thread at a time. */
typedef struct dbk_unpacker dbk_unpacker;
dbk_unpacker *dbk_unpacker_new(const dbk_port *port); /* NULL: out of memory */
void dbk_unpacker_free(dbk_unpacker *unpacker);       /* accepts NULL */

/* DBK_CORRUPT where a packed file's parts contradict each other. A file without a sound header is
 * taken for a plain one: its records speak for themselves. Where only the table of a packed one is damaged it is
 * made again from the blocks, which reads all of them. */
dbk_result dbk_image_open(const dbk_port *port, dbk_dir *dir, const char *name, dbk_image **out,
                          dbk_error *err) DBK_MUST_USE;
/* For who looks at damage: what cannot be read has bytes of DBK_IMAGE_DAMAGED. */
dbk_result dbk_image_open_damaged(const dbk_port *port, dbk_dir *dir, const char *name, dbk_image **out,
                                  dbk_error *err) DBK_MUST_USE;
/* The same for a file that is open: taken, and closed in any case; or lent, `damaged` as by the second of these. */
dbk_result dbk_image_of(const dbk_port *port, dbk_file *file, const char *name, dbk_image **out,
                        dbk_error *err) DBK_MUST_USE;
dbk_result dbk_image_lend(const dbk_port *port, dbk_file *file, const char *name, bool damaged, dbk_image **out,
                          dbk_error *err) DBK_MUST_USE;
/* image_table.c: rows for image->blocks, which has room for as many as the head counts. `damaged`: also where not all
 * of the file can be accounted for. */
dbk_result dbk_image_rebuild_table(dbk_image *image, bool damaged, dbk_error *err) DBK_MUST_USE;
void dbk_image_close(dbk_image *image); /* accepts NULL */

/* As dbk_io_read. Of a packed segment, places outside of the records read as zeros. *unpacker is made
 * when needed and freed by the caller. The plain form is not checked here: records are sealed by
 * their own checksums, which whoever reads them checks. */
dbk_result dbk_image_read(dbk_image *image, dbk_unpacker **unpacker, uint64_t offset, void *out, size_t size,
                          size_t *got, dbk_error *err) DBK_MUST_USE;
/* Where in the file what the plain form has at `offset` is told as damaged: of a packed image where its block begins, or
 * behind the last one. */
uint64_t dbk_image_place(const dbk_image *image, uint64_t offset);
/* How much to read from `offset`, at least `least` and at most `most`, so that a packed image need not
 * decompress a block for a part of it. */
size_t dbk_image_whole_blocks(const dbk_image *image, uint64_t offset, size_t least, size_t most);
/* One block of a packed image, both checksums checked; `out` has room for its plain_bytes. */
dbk_result dbk_image_read_block(dbk_image *image, dbk_unpacker **unpacker, uint32_t index, uint8_t *out,
                                dbk_error *err) DBK_MUST_USE;
/* Whether an entry with this type of event may begin in the block. */
bool dbk_image_may_have_type(const dbk_image *image, uint32_t index, uint64_t type_hash);

/* Reads the head of a packed segment from either end of its file. */
dbk_result dbk_pack_head_read(const dbk_port *port, dbk_file *file, const char *name, dbk_segment_header *header,
                              dbk_pack_head *head, dbk_decoded *decoded, dbk_error *err) DBK_MUST_USE;

/* The record that holds a position of a packed segment: its header, decoded. */
dbk_result dbk_image_find_record(dbk_image *image, dbk_unpacker **unpacker, uint64_t position, dbk_record *record,
                                 dbk_error *err) DBK_MUST_USE;
/* Where the first record of the block with this position begins. */
void dbk_image_seek(const dbk_image *image, uint64_t position, uint64_t *offset, uint64_t *first_position);

/* What is wrong around the blocks of a packed file: heads that are not alike, bytes that must be
 * zero. */
enum { DBK_PACK_FAULTS_MAX = 7 }; /* each kind once */
typedef struct dbk_pack_faults {
    unsigned count;
    struct {
        const char *text;
        uint64_t offset;
    } list[DBK_PACK_FAULTS_MAX];
} dbk_pack_faults;
dbk_result dbk_pack_check(dbk_image *image, dbk_pack_faults *faults, dbk_error *err) DBK_MUST_USE;

/* DBK_CORRUPT, with what is wrong there. */
dbk_result dbk_image_fail(const dbk_image *image, uint64_t offset, const char *wrong, dbk_error *err);

#endif
