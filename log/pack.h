/* The packed form of a sealed segment on disk (internal): head, table, blocks. Encoding and decoding
 * only; no file is touched here. Described with offsets in docs/format/log.md.
 *
 * What is packed are the bytes of the records as they were written, from DBK_SEGMENT_DATA_OFFSET to
 * behind the seal, so that offsets, checksums and heads mean the same in both forms. They are cut
 * into blocks, each compressed by itself. A block holds whole records; one that is larger than a
 * block is cut in front of entries into blocks of its own, and all but the first of these begin
 * with an entry (a continued block). */
#ifndef DBK_LOG_PACK_H
#define DBK_LOG_PACK_H

#include "log/format.h"

enum {
    DBK_PACK_HEAD_SIZE = 512,         /* at the begin of the file and again at its end */
    DBK_PACK_BLOCK_BYTES = 32 * 1024, /* of payload in a block */
    DBK_PACK_BLOCK_PLAIN = 64 * 1024, /* of whole records in it */
    DBK_PACK_DICTIONARY_MAX = 64 * 1024,
    DBK_PACK_PLAIN_MAX = DBK_PAYLOAD_MAX + 2 * DBK_UNIT_MAX, /* of one block, before compression */
    DBK_PACK_BLOCK_ROW = 40,
    DBK_PACK_TYPES_MAX = 255,
    DBK_PACK_ROOTS_MAX = 128,
    DBK_PACK_BLOCKS_MAX = DBK_SEGMENT_SIZE_MAX / DBK_UNIT_MIN,
};

/* What opening has to know of the segment, and where its parts are. */
typedef struct dbk_pack_head {
    uint64_t end; /* of the records in the plain form */
    uint64_t seal_offset;
    uint64_t before_seal; /* offset of the seal in the segment before, as its start says */
    uint64_t first_position, last_position;
    uint64_t records;
    uint64_t previous;      /* checksum of the record before the start */
    uint64_t seal_checksum; /* of the last record */
    int64_t first_received_ms, last_received_ms;
    uint8_t head[DBK_LEAF_SIZE];     /* of the log after last_position */
    uint8_t top[DBK_ORDER_KEY_SIZE]; /* highest order key in the segment */
    bool ordered;
    uint32_t block_count, root_count, type_count;
    bool types_known; /* false: there were too many to list */
    uint64_t table_offset, table_checksum;
    uint64_t file_bytes;
    bool celled; /* its blocks are as cells.h has them; without, they are frames of zstd without a dictionary */
    uint32_t dictionary_bytes; /* of a celled one, as the next; behind the head, and before the table */
    uint64_t dictionary_checksum;
} dbk_pack_head;

void dbk_pack_head_encode(const dbk_segment_header *header, const dbk_pack_head *head, uint8_t out[DBK_PACK_HEAD_SIZE]);
/* OK only for a packed segment whose counts and places are possible. */
dbk_decoded dbk_pack_head_decode(const uint8_t at[DBK_PACK_HEAD_SIZE], dbk_segment_header *header, dbk_pack_head *head);
/* What the records say that a head says again: begun anew by a start, each further record added to it. Keys are for who
 * decodes entries. */
void dbk_pack_head_add(dbk_pack_head *sum, const dbk_record *record, const uint8_t *whole, uint64_t bytes);
bool dbk_pack_head_agrees(const dbk_pack_head *head, const dbk_pack_head *sum);
#define DBK_PACK_HEAD_LIES "its head says something else of its records than they do"
uint64_t dbk_pack_table_bytes(const dbk_pack_head *head);
/* Blocks lie between the two copies of the dictionary. */
static inline uint64_t dbk_pack_blocks_begin(const dbk_pack_head *head)
{
    return DBK_PACK_HEAD_SIZE + (uint64_t)head->dictionary_bytes;
}
static inline uint64_t dbk_pack_blocks_end(const dbk_pack_head *head)
{
    return head->table_offset - head->dictionary_bytes;
}

typedef struct dbk_pack_block {
    uint32_t offset;       /* in the file */
    uint32_t plain_offset; /* in the plain form */
    uint32_t bytes, plain_bytes;
    uint32_t delta; /* the first position that begins in it, from the segment's first */
    bool continued;
    int64_t received_ms; /* of its first record */
    uint64_t checksum, plain_checksum;
} dbk_pack_block;

void dbk_pack_block_encode(const dbk_pack_block *block, uint8_t out[DBK_PACK_BLOCK_ROW]);
/* Decodes `head->block_count` rows and checks that they fill the file and the plain form. The rows may lie in the memory
 * of the blocks, at its end. */
bool dbk_pack_blocks_decode(const dbk_pack_head *head, dbk_slice rows, dbk_pack_block *blocks);
/* Of the dictionary alone, wherever it stands: equal ones have equal sums. */
uint64_t dbk_pack_dictionary_checksum(dbk_slice dictionary);
/* Over the bytes in the file; of a celled block over its front. Seeds differ by block, so that one in another's place
 * is not sound. */
uint64_t dbk_pack_block_checksum(const dbk_segment_header *header, uint32_t index, dbk_slice data);
uint64_t dbk_pack_plain_checksum(const dbk_segment_header *header, uint32_t index, dbk_slice data);
uint64_t dbk_pack_table_checksum(const dbk_segment_header *header, dbk_slice table);
/* The block that holds this place of the plain form, which is one of the records'. */
uint32_t dbk_pack_block_at(const dbk_pack_block *blocks, uint32_t count, uint64_t plain_offset);
/* The last block whose first position is at or below delta. */
uint32_t dbk_pack_block_of(const dbk_pack_block *blocks, uint32_t count, uint32_t delta);

/* Behind the rows: the roots, 32 bytes each, of the largest perfect trees of the log's Merkle
 * mountain range that lie in the segment, from left to right; then for each type of event its hash
 * and a bit for each block that an entry with it begins in. */
static inline size_t dbk_pack_type_row(uint32_t block_count)
{
    return 8 + ((size_t)block_count + 7) / 8;
}
uint64_t dbk_pack_type_hash(const uint8_t store_id[16], dbk_slice type);

typedef struct dbk_pack_root {
    uint64_t first; /* position of the leftmost leaf, from 1 */
    uint32_t height;
    uint8_t node[DBK_LEAF_SIZE];
} dbk_pack_root;
typedef struct dbk_pack_roots {
    uint64_t next; /* the position whose leaf comes next */
    uint32_t count;
    dbk_pack_root roots[DBK_PACK_ROOTS_MAX];
} dbk_pack_roots;
void dbk_pack_roots_begin(dbk_pack_roots *roots, uint64_t first_position);
void dbk_pack_roots_add(dbk_pack_roots *roots, const uint8_t leaf[DBK_LEAF_SIZE]);
/* How many roots the positions first … last have. */
uint32_t dbk_pack_roots_count(uint64_t first_position, uint64_t last_position);

#endif
