/* The bytes of the log on disk (internal): segment header, record, watermark slot. Described with
 * offsets in docs/format/log.md. Encoding and decoding only; no file is touched here. */
#ifndef DBK_LOG_FORMAT_H
#define DBK_LOG_FORMAT_H

#include "log/entry.h"

enum {
    DBK_LOG_FORMAT_VERSION = 1,
    DBK_UNIT_MIN = 512,
    DBK_UNIT_MAX = 4096,
    DBK_SEGMENT_HEADER_SIZE = 128,
    DBK_SEGMENT_COPY_OFFSET = 4096, /* the second copy of the header */
    DBK_SEGMENT_DATA_OFFSET = 8192, /* the first record */
    DBK_SEGMENT_SIZE_MIN = 16384,
    DBK_SEGMENT_SIZE_MAX = 64 * 1024 * 1024,
    DBK_RECORD_HEADER_SIZE = 128,
    DBK_RECORD_TRAILER_SIZE = 16,
    DBK_RECORD_FRAME_SIZE = DBK_RECORD_HEADER_SIZE + DBK_RECORD_TRAILER_SIZE,
    DBK_PAYLOAD_MAX = 40 * 1024 * 1024,
    DBK_START_FIXED_SIZE = 88, /* of a start record's payload, before the peaks */
    DBK_SEAL_PAYLOAD_SIZE = 24,
    DBK_WATERMARK_SLOT_SIZE = 512,
    DBK_WATERMARK_STRIDE = 4096, /* the slots lie in different sectors of any disk */
};

/* How much of its input a decoder could make sense of. */
typedef enum dbk_decoded {
    DBK_DECODED_OK,
    DBK_DECODED_BAD,   /* not such a thing, or damaged */
    DBK_DECODED_NEWER, /* sound, of a later format version or with an unknown feature */
} dbk_decoded;

typedef struct dbk_segment_header {
    uint8_t store_id[16], lineage[16];
    uint64_t number;
    uint64_t salt; /* random for each life of a file */
    uint64_t size; /* of the file */
    uint32_t unit; /* records begin at multiples of it */
    uint32_t features;
} dbk_segment_header;
enum {
    DBK_FEATURE_PACKED = 1, /* the rest of the file is as pack.h has it */
    DBK_FEATURE_CELLS = 2,  /* of a packed one: its blocks are as cells.h has them */
};

void dbk_segment_header_encode(const dbk_segment_header *header, uint8_t out[DBK_SEGMENT_HEADER_SIZE]);
dbk_decoded dbk_segment_header_decode(const uint8_t at[DBK_SEGMENT_HEADER_SIZE], dbk_segment_header *header);

typedef enum dbk_record_type {
    DBK_RECORD_START = 1,   /* first in its segment: the state the segment begins with */
    DBK_RECORD_ENTRIES = 2, /* a batch */
    DBK_RECORD_SEAL = 3,    /* last in its segment */
} dbk_record_type;

/* A record's header. Position, segment, salt and offset say where the record belongs; they and the
 * store's id seed its checksums, so that it is valid nowhere else (R3). */
typedef struct dbk_record {
    uint8_t type;
    uint32_t count; /* entries */
    uint32_t payload_bytes;
    uint64_t first_position; /* of the first entry; without entries, of the next one */
    uint64_t durable_upto;   /* last position whose sync had returned when this was built (R1) */
    uint64_t previous;       /* checksum of the record before it, across segments; 0 for the first */
    int64_t received_ms;
    uint8_t head[DBK_LEAF_SIZE]; /* of the log after this record */
    uint64_t payload_checksum;
    uint64_t segment, salt, offset;
    uint64_t checksum;
} dbk_record;

static inline uint64_t dbk_record_bytes(uint64_t payload_bytes, uint32_t unit)
{
    return dbk_round_up(DBK_RECORD_FRAME_SIZE + payload_bytes, unit);
}
/* Completes the record of `bytes` bytes at `at`, whose payload stands already behind the header:
 * pads, computes the checksums (also into *record), writes header and trailer. */
void dbk_record_finish(dbk_record *record, const uint8_t store_id[16], uint8_t *at, uint64_t bytes);
/* Both parts alone, for a record that lies in pieces: the header, with the payload's checksum that *record has, and the
 * 16 bytes that end it. The header's checksum goes into *record. */
void dbk_record_put_header(dbk_record *record, const uint8_t store_id[16], uint8_t at[DBK_RECORD_HEADER_SIZE]);
void dbk_record_put_trailer(uint64_t checksum, uint8_t at[DBK_RECORD_TRAILER_SIZE]);
/* The header alone: false unless magic, checksum and ranges are right for the place it names. */
bool dbk_record_decode(const uint8_t at[DBK_RECORD_HEADER_SIZE], const uint8_t store_id[16], dbk_record *record);
/* Payload, padding and trailer of a record with a decoded header; `bytes` is its whole length. */
bool dbk_record_sound(const dbk_record *record, const uint8_t store_id[16], const uint8_t *at, uint64_t bytes);
/* Steps through the payload of a batch; false at the end and where a length leads beyond it. */
bool dbk_record_next_origin(dbk_slice *rest, dbk_slice *origin);

/* The state a segment begins with, so that opening reads the last segment only. */
typedef struct dbk_start {
    uint64_t seal_offset; /* of the seal in the segment before; 0 in the first */
    uint32_t epoch;
    uint64_t hlc;
    bool ordered;
    uint8_t top[DBK_ORDER_KEY_SIZE];
    dbk_range range;
} dbk_start;
uint32_t dbk_start_encode(const dbk_start *start, uint8_t *out); /* the size; at most START_MAX */
bool dbk_start_decode(dbk_slice payload, dbk_start *start);
enum { DBK_START_PAYLOAD_MAX = DBK_START_FIXED_SIZE + 64 * DBK_LEAF_SIZE };

typedef struct dbk_seal {
    uint64_t first_position, entries, records;
} dbk_seal;
void dbk_seal_encode(const dbk_seal *seal, uint8_t out[DBK_SEAL_PAYLOAD_SIZE]);
bool dbk_seal_decode(dbk_slice payload, dbk_seal *seal);

typedef struct dbk_watermark {
    uint8_t store_id[16];
    uint64_t counter;         /* the higher of the two slots holds */
    uint64_t position;        /* durable */
    uint64_t segment, offset; /* behind the last durable record */
    uint64_t checksum;        /* of that record */
    bool clean;               /* the writer closed in good order here */
} dbk_watermark;
void dbk_watermark_encode(const dbk_watermark *mark, uint8_t out[DBK_WATERMARK_SLOT_SIZE]);
dbk_decoded dbk_watermark_decode(const uint8_t at[DBK_WATERMARK_SLOT_SIZE], dbk_watermark *mark);

bool dbk_all_zero(const uint8_t *at, size_t size);

#endif
