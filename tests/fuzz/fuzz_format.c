/* The decoders of the log's fixed forms: segment header, record, watermark, start, seal, head of a packed segment. The
 * first byte of the input chooses the form, the second says whether its checksums are made right first, so that what
 * it says is believed. What is accepted must come out of the encoder as it went in. */
#include <stdlib.h>

#include "log/format.h"
#include "log/pack.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { FORMS = 6, BYTES_MAX = 65536 };
static const uint8_t store_id[16] = {7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7};
static uint8_t input[BYTES_MAX];

static void check(bool holds)
{
    if (!holds) abort();
}

static void mend_magic(uint8_t *at)
{
    dbk_store_u64(at + 120, dbk_checksum(dbk_slice_of(at, 120), dbk_load_u64(at)));
}

static void use_header(bool mend)
{
    uint8_t again[DBK_SEGMENT_HEADER_SIZE];
    dbk_segment_header header;

    if (mend) mend_magic(input);
    if (dbk_segment_header_decode(input, &header) != DBK_DECODED_OK) return;
    check(header.number && header.salt && header.size >= DBK_SEGMENT_SIZE_MIN && header.size <= DBK_SEGMENT_SIZE_MAX);
    check(header.unit >= DBK_UNIT_MIN && header.unit <= DBK_UNIT_MAX);
    dbk_segment_header_encode(&header, again);
    dbk_store_u32(input + 76, 0); /* features that may be ignored */
    mend_magic(input);
    check(memcmp(again, input, sizeof(again)) == 0);
}

/* The record of `bytes` bytes as it is, or made sound from what its header says. */
static void use_record(bool mend, uint64_t bytes)
{
    dbk_record record = {0};
    dbk_slice rest, origin;
    uint32_t count = 0;

    if (mend) {
        record.type = input[4];
        record.first_position = dbk_load_u64(input + 8);
        record.count = dbk_load_u32(input + 16);
        record.payload_bytes = dbk_load_u32(input + 20);
        record.durable_upto = dbk_load_u64(input + 24);
        record.previous = dbk_load_u64(input + 32);
        record.received_ms = (int64_t)dbk_load_u64(input + 40);
        memcpy(record.head, input + 48, DBK_LEAF_SIZE);
        record.segment = dbk_load_u64(input + 88);
        record.salt = dbk_load_u64(input + 96);
        record.offset = dbk_load_u64(input + 104);
        if (dbk_record_bytes(record.payload_bytes, DBK_UNIT_MIN) != bytes) return;
        dbk_record_finish(&record, store_id, input, bytes);
    }
    if (!dbk_record_decode(input, store_id, &record)) return;
    check(record.first_position > 0 && record.payload_bytes <= DBK_PAYLOAD_MAX);
    check((record.count > 0) == (record.type == DBK_RECORD_ENTRIES));
    check(record.count <= record.payload_bytes / 4);
    if (dbk_record_bytes(record.payload_bytes, DBK_UNIT_MIN) != bytes) return;
    if (!dbk_record_sound(&record, store_id, input, bytes)) return;
    rest = dbk_slice_of(input + DBK_RECORD_HEADER_SIZE, record.payload_bytes);
    while (dbk_record_next_origin(&rest, &origin)) count += origin.data + origin.size <= input + bytes;
    check(count <= record.payload_bytes / 4);
}

static void use_watermark(bool mend)
{
    uint8_t again[DBK_WATERMARK_SLOT_SIZE];
    dbk_watermark mark;

    if (mend) mend_magic(input);
    if (dbk_watermark_decode(input, &mark) != DBK_DECODED_OK) return;
    dbk_watermark_encode(&mark, again);
    memset(input + 72, 0, 48); /* a reader ignores what is there */
    mend_magic(input);
    check(memcmp(again, input, 128) == 0);
}

static void use_start(size_t size)
{
    uint8_t again[DBK_START_PAYLOAD_MAX];
    dbk_start start;

    if (!dbk_start_decode(dbk_slice_of(input, size), &start)) return;
    check(start.range.peak_count <= 64);
    check(dbk_start_encode(&start, again) == size && memcmp(again, input, size) == 0);
}

static void use_seal(size_t size)
{
    uint8_t again[DBK_SEAL_PAYLOAD_SIZE];
    dbk_seal seal;

    if (!dbk_seal_decode(dbk_slice_of(input, size), &seal)) return;
    dbk_seal_encode(&seal, again);
    check(size == sizeof(again) && memcmp(again, input, size) == 0);
}

/* The table's rows stand behind the head. */
static void use_pack_head(bool mend, size_t size)
{
    dbk_segment_header header;
    dbk_pack_head head;

    if (mend) {
        mend_magic(input);
        dbk_store_u64(input + 504, dbk_checksum(dbk_slice_of(input, 504), UINT64_C(0x5041434b48454144)));
    }
    if (dbk_pack_head_decode(input, &header, &head) != DBK_DECODED_OK) return;
    check(head.last_position >= head.first_position && head.end <= header.size);
    check(head.block_count > 0 && head.block_count <= DBK_PACK_BLOCKS_MAX);
    uint64_t rows = (uint64_t)head.block_count * DBK_PACK_BLOCK_ROW;
    check(dbk_pack_table_bytes(&head) >= rows);
    if (DBK_PACK_HEAD_SIZE + rows > size) return;
    dbk_pack_block *blocks = malloc(head.block_count * sizeof(*blocks));
    check(blocks != NULL);
    if (dbk_pack_blocks_decode(&head, dbk_slice_of(input + DBK_PACK_HEAD_SIZE, rows), blocks)) {
        uint64_t last = head.last_position - head.first_position;
        uint32_t of = dbk_pack_block_of(blocks, head.block_count, (uint32_t)last);
        uint32_t at = dbk_pack_block_at(blocks, head.block_count, head.seal_offset);
        check(of < head.block_count && at < head.block_count && blocks[at].plain_offset <= head.seal_offset);
    }
    free(blocks);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2 || size - 2 > BYTES_MAX) return 0;
    bool mend = data[1] & 1;
    memset(input, 0, size > 1024 ? size : 1024);
    memcpy(input, data + 2, size - 2);
    switch (data[0] % FORMS) {
    case 0: use_header(mend); break;
    case 1: use_record(mend, dbk_round_up(size < 514 ? 512 : size - 2, DBK_UNIT_MIN)); break;
    case 2: use_watermark(mend); break;
    case 3: use_start(size - 2); break;
    case 4: use_seal(size - 2); break;
    default: use_pack_head(mend, size - 2); break;
    }
    return 0;
}
