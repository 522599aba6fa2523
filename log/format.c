/* Encoding and decoding of what stands in a plain segment and in WATERMARK, by the offsets of docs/format/log.md. A
 * checksum covers where a record belongs (store, segment, offset, salt) beside what it holds: a sound record in
 * another place is not taken. A decoder that is given any bytes says whether they are sound, and nothing else. */
#include "log/format.h"

#include <assert.h>

static const uint64_t segment_magic = 0x4745536b6f6f4244ull;   /* "DBookSEG" */
static const uint64_t watermark_magic = 0x4b524d6b6f6f4244ull; /* "DBookMRK" */
static const uint64_t commit_magic = 0x444e456b6f6f4244ull;    /* "DBookEND" */
static const uint32_t record_magic = 0xdbb00c52u;
static const uint64_t payload_twist = 0x9e3779b97f4a7c15ull; /* sets payload seeds apart */

bool dbk_all_zero(const uint8_t *at, size_t size)
{
    return size == 0 || (at[0] == 0 && memcmp(at, at + 1, size - 1) == 0);
}

/* The version is looked at only where the checksum holds, which every later version must keep in
 * this place with this seed: a damaged field must not read as "newer". */
static dbk_decoded check_version(const uint8_t *at, uint64_t magic)
{
    if (dbk_load_u64(at) != magic) return DBK_DECODED_BAD;
    if (dbk_checksum(dbk_slice_of(at, 120), magic) != dbk_load_u64(at + 120)) return DBK_DECODED_BAD;
    return dbk_load_u32(at + 8) == DBK_LOG_FORMAT_VERSION ? DBK_DECODED_OK : DBK_DECODED_NEWER;
}

void dbk_segment_header_encode(const dbk_segment_header *header, uint8_t out[DBK_SEGMENT_HEADER_SIZE])
{
    memset(out, 0, DBK_SEGMENT_HEADER_SIZE);
    dbk_store_u64(out, segment_magic);
    dbk_store_u32(out + 8, DBK_LOG_FORMAT_VERSION);
    dbk_store_u32(out + 12, header->features);
    memcpy(out + 16, header->store_id, 16);
    memcpy(out + 32, header->lineage, 16);
    dbk_store_u64(out + 48, header->number);
    dbk_store_u64(out + 56, header->salt);
    dbk_store_u64(out + 64, header->size);
    dbk_store_u32(out + 72, header->unit);
    dbk_store_u64(out + 120, dbk_checksum(dbk_slice_of(out, 120), segment_magic));
}

dbk_decoded dbk_segment_header_decode(const uint8_t at[DBK_SEGMENT_HEADER_SIZE], dbk_segment_header *header)
{
    dbk_decoded decoded = check_version(at, segment_magic);

    memset(header, 0, sizeof(*header));
    if (decoded != DBK_DECODED_OK) return decoded;
    header->features = dbk_load_u32(at + 12);
    if (header->features & ~(uint32_t)(DBK_FEATURE_PACKED | DBK_FEATURE_CELLS)) return DBK_DECODED_NEWER;
    if (header->features == DBK_FEATURE_CELLS) return DBK_DECODED_BAD;
    memcpy(header->store_id, at + 16, 16);
    memcpy(header->lineage, at + 32, 16);
    header->number = dbk_load_u64(at + 48);
    header->salt = dbk_load_u64(at + 56);
    header->size = dbk_load_u64(at + 64);
    header->unit = dbk_load_u32(at + 72);
    if (header->number == 0 || header->salt == 0 || header->size < DBK_SEGMENT_SIZE_MIN) return DBK_DECODED_BAD;
    if (header->size > DBK_SEGMENT_SIZE_MAX || header->size % DBK_UNIT_MAX) return DBK_DECODED_BAD;
    if (header->unit < DBK_UNIT_MIN || header->unit > DBK_UNIT_MAX) return DBK_DECODED_BAD;
    if (header->unit & (header->unit - 1)) return DBK_DECODED_BAD;
    /* 76 to 79: features that a reader may ignore */
    return dbk_all_zero(at + 80, 40) ? DBK_DECODED_OK : DBK_DECODED_BAD;
}

static uint64_t record_seed(const dbk_record *record, const uint8_t store_id[16])
{
    uint8_t place[48];

    memcpy(place, store_id, 16);
    dbk_store_u64(place + 16, record->segment);
    dbk_store_u64(place + 24, record->salt);
    dbk_store_u64(place + 32, record->offset);
    dbk_store_u64(place + 40, record->first_position);
    return dbk_checksum(dbk_slice_of(place, sizeof(place)), record_magic);
}

static uint64_t payload_checksum(const uint8_t *at, uint64_t bytes, uint64_t seed)
{
    return dbk_checksum(dbk_slice_of(at + DBK_RECORD_HEADER_SIZE, bytes - DBK_RECORD_FRAME_SIZE), seed ^ payload_twist);
}

static void put_header(dbk_record *record, uint64_t seed, uint8_t *at)
{
    dbk_store_u32(at, record_magic);
    dbk_store_u32(at + 4, record->type);
    dbk_store_u64(at + 8, record->first_position);
    dbk_store_u32(at + 16, record->count);
    dbk_store_u32(at + 20, record->payload_bytes);
    dbk_store_u64(at + 24, record->durable_upto);
    dbk_store_u64(at + 32, record->previous);
    dbk_store_u64(at + 40, (uint64_t)record->received_ms);
    memcpy(at + 48, record->head, DBK_LEAF_SIZE);
    dbk_store_u64(at + 80, record->payload_checksum);
    dbk_store_u64(at + 88, record->segment);
    dbk_store_u64(at + 96, record->salt);
    dbk_store_u64(at + 104, record->offset);
    dbk_store_u64(at + 112, 0);
    record->checksum = dbk_checksum(dbk_slice_of(at, 120), seed);
    dbk_store_u64(at + 120, record->checksum);
}

void dbk_record_put_header(dbk_record *record, const uint8_t store_id[16], uint8_t at[DBK_RECORD_HEADER_SIZE])
{
    put_header(record, record_seed(record, store_id), at);
}

void dbk_record_put_trailer(uint64_t checksum, uint8_t at[DBK_RECORD_TRAILER_SIZE])
{
    dbk_store_u64(at, commit_magic);
    dbk_store_u64(at + 8, checksum);
}

void dbk_record_finish(dbk_record *record, const uint8_t store_id[16], uint8_t *at, uint64_t bytes)
{
    uint64_t seed = record_seed(record, store_id);
    uint64_t used = DBK_RECORD_HEADER_SIZE + (uint64_t)record->payload_bytes;

    assert(bytes >= used + DBK_RECORD_TRAILER_SIZE);
    memset(at + used, 0, bytes - used);
    record->payload_checksum = payload_checksum(at, bytes, seed);
    put_header(record, seed, at);
    dbk_record_put_trailer(record->checksum, at + bytes - DBK_RECORD_TRAILER_SIZE);
}

bool dbk_record_decode(const uint8_t at[DBK_RECORD_HEADER_SIZE], const uint8_t store_id[16], dbk_record *record)
{
    if (dbk_load_u32(at) != record_magic) return false;
    record->first_position = dbk_load_u64(at + 8);
    record->segment = dbk_load_u64(at + 88);
    record->salt = dbk_load_u64(at + 96);
    record->offset = dbk_load_u64(at + 104);
    record->checksum = dbk_load_u64(at + 120);
    if (dbk_checksum(dbk_slice_of(at, 120), record_seed(record, store_id)) != record->checksum) return false;
    record->type = at[4];
    record->count = dbk_load_u32(at + 16);
    record->payload_bytes = dbk_load_u32(at + 20);
    record->durable_upto = dbk_load_u64(at + 24);
    record->previous = dbk_load_u64(at + 32);
    record->received_ms = (int64_t)dbk_load_u64(at + 40);
    memcpy(record->head, at + 48, DBK_LEAF_SIZE);
    record->payload_checksum = dbk_load_u64(at + 80);
    if (!dbk_all_zero(at + 5, 3) || dbk_load_u64(at + 112) != 0) return false;
    if (record->type < DBK_RECORD_START || record->type > DBK_RECORD_SEAL) return false;
    if ((record->count != 0) != (record->type == DBK_RECORD_ENTRIES)) return false;
    if (record->first_position == 0 || record->first_position > UINT64_MAX - record->count) return false;
    if (record->count > record->payload_bytes / 4) return false; /* each entry has its size in front */
    return record->payload_bytes <= DBK_PAYLOAD_MAX;
}

bool dbk_record_sound(const dbk_record *record, const uint8_t store_id[16], const uint8_t *at, uint64_t bytes)
{
    uint64_t seed = record_seed(record, store_id);

    assert(bytes >= DBK_RECORD_FRAME_SIZE + (uint64_t)record->payload_bytes);
    if (dbk_load_u64(at + bytes - 16) != commit_magic) return false;
    if (dbk_load_u64(at + bytes - 8) != record->checksum) return false;
    return payload_checksum(at, bytes, seed) == record->payload_checksum;
}

bool dbk_record_next_origin(dbk_slice *rest, dbk_slice *origin)
{
    uint32_t size;

    if (rest->size < 4) return false;
    size = dbk_load_u32(rest->data);
    if (size > rest->size - 4) return false;
    *origin = dbk_slice_of(rest->data + 4, size);
    *rest = dbk_slice_of(rest->data + 4 + size, rest->size - 4 - size);
    return true;
}

uint32_t dbk_start_encode(const dbk_start *start, uint8_t *out)
{
    size_t peaks = (size_t)start->range.peak_count * DBK_LEAF_SIZE;

    memset(out, 0, DBK_START_FIXED_SIZE);
    dbk_store_u64(out, start->seal_offset);
    dbk_store_u64(out + 8, start->hlc);
    dbk_store_u32(out + 16, start->epoch);
    dbk_store_u32(out + 20, start->ordered ? 1 : 0);
    memcpy(out + 24, start->top, DBK_ORDER_KEY_SIZE);
    dbk_store_u64(out + 64, start->range.count);
    dbk_store_u32(out + 72, start->range.peak_count);
    memcpy(out + DBK_START_FIXED_SIZE, start->range.peaks, peaks);
    return (uint32_t)(DBK_START_FIXED_SIZE + peaks);
}

bool dbk_start_decode(dbk_slice payload, dbk_start *start)
{
    const uint8_t *at = payload.data;

    memset(start, 0, sizeof(*start));
    if (payload.size < DBK_START_FIXED_SIZE) return false;
    start->seal_offset = dbk_load_u64(at);
    start->hlc = dbk_load_u64(at + 8);
    start->epoch = dbk_load_u32(at + 16);
    if (dbk_load_u32(at + 20) > 1 || !dbk_all_zero(at + 76, 12)) return false;
    start->ordered = dbk_load_u32(at + 20) == 1;
    memcpy(start->top, at + 24, DBK_ORDER_KEY_SIZE);
    start->range.count = dbk_load_u64(at + 64);
    start->range.peak_count = dbk_load_u32(at + 72);
    if (start->range.peak_count != (uint32_t)__builtin_popcountll(start->range.count)) return false;
    if (payload.size != DBK_START_FIXED_SIZE + (size_t)start->range.peak_count * DBK_LEAF_SIZE) return false;
    memcpy(start->range.peaks, at + DBK_START_FIXED_SIZE, payload.size - DBK_START_FIXED_SIZE);
    return true;
}

void dbk_seal_encode(const dbk_seal *seal, uint8_t out[DBK_SEAL_PAYLOAD_SIZE])
{
    dbk_store_u64(out, seal->first_position);
    dbk_store_u64(out + 8, seal->entries);
    dbk_store_u64(out + 16, seal->records);
}

bool dbk_seal_decode(dbk_slice payload, dbk_seal *seal)
{
    if (payload.size != DBK_SEAL_PAYLOAD_SIZE) return false;
    seal->first_position = dbk_load_u64(payload.data);
    seal->entries = dbk_load_u64(payload.data + 8);
    seal->records = dbk_load_u64(payload.data + 16);
    return true;
}

void dbk_watermark_encode(const dbk_watermark *mark, uint8_t out[DBK_WATERMARK_SLOT_SIZE])
{
    memset(out, 0, DBK_WATERMARK_SLOT_SIZE);
    dbk_store_u64(out, watermark_magic);
    dbk_store_u32(out + 8, DBK_LOG_FORMAT_VERSION);
    dbk_store_u32(out + 12, mark->clean ? 1 : 0);
    memcpy(out + 16, mark->store_id, 16);
    dbk_store_u64(out + 32, mark->counter);
    dbk_store_u64(out + 40, mark->position);
    dbk_store_u64(out + 48, mark->segment);
    dbk_store_u64(out + 56, mark->offset);
    dbk_store_u64(out + 64, mark->checksum);
    dbk_store_u64(out + 120, dbk_checksum(dbk_slice_of(out, 120), watermark_magic));
}

dbk_decoded dbk_watermark_decode(const uint8_t at[DBK_WATERMARK_SLOT_SIZE], dbk_watermark *mark)
{
    dbk_decoded decoded = check_version(at, watermark_magic);

    memset(mark, 0, sizeof(*mark));
    if (decoded != DBK_DECODED_OK) return decoded;
    if (dbk_load_u32(at + 12) > 1) return DBK_DECODED_NEWER;
    mark->clean = dbk_load_u32(at + 12) == 1;
    memcpy(mark->store_id, at + 16, 16);
    mark->counter = dbk_load_u64(at + 32);
    mark->position = dbk_load_u64(at + 40);
    mark->segment = dbk_load_u64(at + 48);
    mark->offset = dbk_load_u64(at + 56);
    mark->checksum = dbk_load_u64(at + 64);
    return DBK_DECODED_OK;
}
