/* Shared by the files of the index: the keyed hash, the table's inside, the layout of a run file.
 *
 * Hash of a name: XXH3-128 of (kind u8 | store id 16 | name). The store id is in it so that a run
 * of another store answers nothing, and so that names prepared for one store do not collide in all.
 *
 * Run file, version 1 (of one segment) or 2 (of several). Pages of 4096 bytes: 4088 of payload, then XXH3-64 of the
 * payload, seeded with salt + number of the page, so that a page of another run or another place is seen. Payload
 * without content is zero. Integers are little-endian.
 *
 *   page 0          header: magic 8 | version u32 | page bytes u32 | store id 16 | segment u64 |
 *                   first position u64 | last position u64 | salt u64 | head 32 | top 40 |
 *                   ordered u32 | keys u32 | filter blocks u32 | batches u32 | author runs u32;
 *                   in version 2: segments u32; at 1024 the note of the run's owner
 *   key pages       204 keys each {high u64, low u64, position - first position u32}, sorted by
 *                   these
 *   resident pages  one stream: filter blocks 64 | per key page its first key 20 |
 *                   batches {first position u64, offset u32, bytes u32, received i64} |
 *                   author runs {first position u64, first seq u64, count u64, replica 16,
 *                   incarnation u32}
 *
 * Filter: one block of 512 bits per hash, chosen by high; 7 bits in it, chosen by 9 bits of low
 * each; 16 bits per different hash in all; a merged run has as many blocks as those it was made of. */
#ifndef DBK_LOG_INDEX_INTERNAL_H
#define DBK_LOG_INDEX_INTERNAL_H

#include "log/index.h"

enum {
    DBK_INDEX_PAGE_SIZE = 4096,
    DBK_INDEX_PAYLOAD_SIZE = DBK_INDEX_PAGE_SIZE - 8,
    DBK_INDEX_KEY_SIZE = 20,
    DBK_INDEX_PAGE_KEYS = DBK_INDEX_PAYLOAD_SIZE / DBK_INDEX_KEY_SIZE,
    DBK_INDEX_BLOCK_SIZE = 64,
    DBK_INDEX_BATCH_SIZE = 24,
    DBK_INDEX_AUTHOR_SIZE = 44,
    DBK_INDEX_VERSION = 1,
    DBK_INDEX_VERSION_MERGED = 2,
    DBK_INDEX_NOTE_OFFSET = DBK_INDEX_PAYLOAD_SIZE - DBK_INDEX_NOTE_BYTES,
    DBK_INDEX_CHUNK_RECORDS = 512,
};
#define DBK_INDEX_MAGIC "dbkindex"

/* One (kind, name) at one position. */
typedef struct dbk_index_record {
    dbk_hash128 hash;
    uint32_t delta;    /* position - first_position of the table */
    uint32_t previous; /* the one before it with the same hash: its number from 1; 0: none */
} dbk_index_record;

/* Records are numbered from 1 in the order they came, so their positions never fall. A slot holds
 * the number of the newest record of its hash, 0 when free. Slots are filled in the order in which
 * the hashes first came, after growth too; taking records back newest first therefore leaves no gap
 * in any probe sequence, and a slot is freed by writing 0, to its tag too. */
struct dbk_index_table {
    const dbk_port *port;
    uint8_t store_id[16];
    uint64_t first_position;
    dbk_index_record **chunks; /* of DBK_INDEX_CHUNK_RECORDS; they stay where they are */
    size_t chunk_count, chunk_capacity;
    uint32_t record_count;
    uint32_t *slots;
    uint8_t *tags; /* of each slot 8 bits of the hash in it, never 0; 0: free */
    uint32_t slot_bits;
    uint32_t hash_count; /* slots in use */
    dbk_index_batch *batches;
    size_t batch_count, batch_capacity;
    dbk_index_author_run *authors;
    size_t author_count, author_capacity;
};

static inline dbk_index_record *dbk_index_table_record(const dbk_index_table *table, uint32_t number)
{
    uint32_t index = number - 1;

    return &table->chunks[index / DBK_INDEX_CHUNK_RECORDS][index % DBK_INDEX_CHUNK_RECORDS];
}

/* The last of the batches that begin at or below the position; NULL when none does. */
const dbk_index_batch *dbk_index_batch_below(const dbk_index_batch *batches, size_t count, uint64_t position);

/* What the header of a run says, and what follows from it. */
typedef struct dbk_index_layout {
    uint8_t store_id[16];
    dbk_index_source source;
    uint32_t key_count, block_count, batch_count, author_count;
    uint64_t key_pages, resident_bytes, resident_pages;
} dbk_index_layout;

/* Fills the last three members from the counts. */
void dbk_index_layout_measure(dbk_index_layout *layout);
/* The header's payload, into a page of zeros. */
void dbk_index_header_encode(const dbk_index_layout *layout, uint8_t *page);
void dbk_index_page_seal(uint8_t *page, uint64_t number, uint64_t salt);
/* The records of batches and author runs. */
void dbk_index_batch_encode(const dbk_index_batch *batch, uint8_t out[DBK_INDEX_BATCH_SIZE]);
void dbk_index_author_encode(const dbk_index_author_run *run, uint8_t out[DBK_INDEX_AUTHOR_SIZE]);

/* For who merges: what stands in an open run. Key pages are numbered from 0. */
const dbk_index_layout *dbk_index_run_layout(const dbk_index_run *run);
dbk_result dbk_index_run_read_keys(dbk_index_run *run, uint64_t first_page, uint64_t count, uint8_t *out,
                                   dbk_error *err) DBK_MUST_USE;
dbk_result dbk_index_run_read_batch(dbk_index_run *run, uint32_t index, dbk_index_batch *batch,
                                    dbk_error *err) DBK_MUST_USE;
/* Bytes of the resident stream. */
dbk_result dbk_index_run_take_stream(dbk_index_run *run, uint64_t offset, uint8_t *out, size_t size,
                                     dbk_error *err) DBK_MUST_USE;
/* What the header of a run says it is of, whatever that is. DBK_MISSING, DBK_CORRUPT. */
dbk_result dbk_index_run_peek(const dbk_port *port, dbk_dir *dir, const char *name, const uint8_t store_id[16],
                              dbk_index_source *found, dbk_error *err) DBK_MUST_USE;
/* Reads all of an open run; `key` (may be NULL) is given each key. DBK_CORRUPT: a page is damaged, keys are out of
 * order, or filter or fences do not lead to one; *offset is where in the file it was reading. */
typedef void (*dbk_index_key_fn)(void *arg, dbk_hash128 hash, uint64_t position);
dbk_result dbk_index_run_check(dbk_index_run *run, dbk_index_key_fn key, void *arg, uint64_t *offset,
                               dbk_error *err) DBK_MUST_USE;
/* DBK_CORRUPT, with the name of the run. */
dbk_result dbk_index_run_fail(const dbk_index_run *run, uint64_t page, const char *wrong, dbk_error *err);
static inline uint64_t dbk_index_layout_file_bytes(const dbk_index_layout *layout)
{
    return (1 + layout->key_pages + layout->resident_pages) * DBK_INDEX_PAGE_SIZE;
}

uint64_t dbk_index_page_checksum(const uint8_t *page, uint64_t number, uint64_t salt);

/* Where the block of the hash begins in the filter. */
static inline size_t dbk_index_filter_block(uint32_t block_count, dbk_hash128 hash)
{
    return (size_t)(((unsigned __int128)hash.high * block_count) >> 64) * DBK_INDEX_BLOCK_SIZE;
}
/* The bit of probe 0 to 6 within the block. */
enum { DBK_INDEX_PROBES = 7 };
static inline uint32_t dbk_index_filter_bit(dbk_hash128 hash, uint32_t probe)
{
    return (uint32_t)(hash.low >> (probe * 9)) & 511;
}

#endif
