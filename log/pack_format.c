/* Encoding and decoding of a packed segment's head, table and roots, by the offsets of docs/format/log.md. */
#include "log/pack.h"

#include <assert.h>

static const uint64_t head_twist = 0x5041434b48454144ull;
static const uint64_t table_twist = 0x5041434b5441424cull;
static const uint64_t plain_twist = 0x5041434b504c4149ull;
static const uint64_t dictionary_twist = 0x5041434b44494354ull;

enum { BODY = DBK_SEGMENT_HEADER_SIZE, CHECKSUM = DBK_PACK_HEAD_SIZE - 8 };

static uint64_t head_checksum(const uint8_t *at)
{
    return dbk_checksum(dbk_slice_of(at, CHECKSUM), head_twist);
}

void dbk_pack_head_add(dbk_pack_head *sum, const dbk_record *record, const uint8_t *whole, uint64_t bytes)
{
    dbk_start start;

    if (record->type == DBK_RECORD_START) {
        memset(sum, 0, sizeof(*sum));
        if (dbk_start_decode(dbk_slice_of(whole + DBK_RECORD_HEADER_SIZE, record->payload_bytes), &start))
            sum->before_seal = start.seal_offset;
        sum->previous = record->previous;
    } else if (record->type == DBK_RECORD_ENTRIES && sum->first_position == 0) {
        sum->first_position = record->first_position;
        sum->first_received_ms = record->received_ms;
    }
    sum->last_position = record->first_position + record->count - 1;
    sum->last_received_ms = record->received_ms;
    sum->seal_offset = record->offset;
    sum->seal_checksum = record->checksum;
    sum->end = record->offset + bytes;
    memcpy(sum->head, record->head, sizeof(sum->head));
    sum->records++;
}

bool dbk_pack_head_agrees(const dbk_pack_head *head, const dbk_pack_head *sum)
{
    bool place = head->end == sum->end && head->seal_offset == sum->seal_offset &&
                 head->before_seal == sum->before_seal && head->records == sum->records;
    bool history = head->first_position == sum->first_position && head->last_position == sum->last_position &&
                   head->previous == sum->previous && head->seal_checksum == sum->seal_checksum &&
                   memcmp(head->head, sum->head, sizeof(head->head)) == 0;
    bool times = head->first_received_ms == sum->first_received_ms && head->last_received_ms == sum->last_received_ms;
    bool keys = head->ordered == sum->ordered && memcmp(head->top, sum->top, sizeof(head->top)) == 0;

    return place && history && times && keys;
}

uint64_t dbk_pack_table_bytes(const dbk_pack_head *head)
{
    return (uint64_t)head->block_count * DBK_PACK_BLOCK_ROW + (uint64_t)head->root_count * DBK_LEAF_SIZE +
           (uint64_t)head->type_count * dbk_pack_type_row(head->block_count);
}

static uint64_t file_bytes_of(const dbk_pack_head *head)
{
    return dbk_round_up(head->table_offset + dbk_pack_table_bytes(head), DBK_PACK_HEAD_SIZE) + DBK_PACK_HEAD_SIZE;
}

void dbk_pack_head_encode(const dbk_segment_header *header, const dbk_pack_head *head, uint8_t out[DBK_PACK_HEAD_SIZE])
{
    dbk_segment_header packed = *header;
    uint8_t *at = out + BODY;

    memset(out, 0, DBK_PACK_HEAD_SIZE);
    packed.features = DBK_FEATURE_PACKED | (head->celled ? DBK_FEATURE_CELLS : 0);
    dbk_segment_header_encode(&packed, out);
    const uint64_t numbers[] = {head->end,
                                head->seal_offset,
                                head->before_seal,
                                head->first_position,
                                head->last_position,
                                head->records,
                                head->previous,
                                head->seal_checksum,
                                (uint64_t)head->first_received_ms,
                                (uint64_t)head->last_received_ms,
                                head->table_offset,
                                head->table_checksum,
                                head->file_bytes};
    for (size_t i = 0; i < sizeof(numbers) / 8; i++) dbk_store_u64(at + i * 8, numbers[i]);
    memcpy(at + 104, head->head, DBK_LEAF_SIZE);
    memcpy(at + 136, head->top, DBK_ORDER_KEY_SIZE);
    dbk_store_u32(at + 176, head->ordered ? 1 : 0);
    dbk_store_u32(at + 180, head->types_known ? 1 : 0);
    dbk_store_u32(at + 184, head->block_count);
    dbk_store_u32(at + 188, head->root_count);
    dbk_store_u32(at + 192, head->type_count);
    dbk_store_u32(at + 196, head->dictionary_bytes);
    dbk_store_u64(at + 200, head->dictionary_checksum);
    dbk_store_u64(out + CHECKSUM, head_checksum(out));
}

static void take_fields(const uint8_t *at, dbk_pack_head *head)
{
    uint64_t *const numbers[] = {&head->end,           &head->seal_offset, &head->before_seal, &head->first_position,
                                 &head->last_position, &head->records,     &head->previous,    &head->seal_checksum};

    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) *numbers[i] = dbk_load_u64(at + i * 8);
    head->first_received_ms = (int64_t)dbk_load_u64(at + 64);
    head->last_received_ms = (int64_t)dbk_load_u64(at + 72);
    head->table_offset = dbk_load_u64(at + 80);
    head->table_checksum = dbk_load_u64(at + 88);
    head->file_bytes = dbk_load_u64(at + 96);
    memcpy(head->head, at + 104, DBK_LEAF_SIZE);
    memcpy(head->top, at + 136, DBK_ORDER_KEY_SIZE);
    head->ordered = dbk_load_u32(at + 176) == 1;
    head->types_known = dbk_load_u32(at + 180) == 1;
    head->block_count = dbk_load_u32(at + 184);
    head->root_count = dbk_load_u32(at + 188);
    head->type_count = dbk_load_u32(at + 192);
    head->dictionary_bytes = dbk_load_u32(at + 196);
    head->dictionary_checksum = dbk_load_u64(at + 200);
}

/* What all later arithmetic rests on. */
static bool is_possible(const dbk_segment_header *header, const dbk_pack_head *head)
{
    if (head->end > header->size || head->seal_offset >= head->end) return false;
    if (head->seal_offset < DBK_SEGMENT_DATA_OFFSET) return false;
    if (head->first_position == 0 || head->last_position < head->first_position) return false;
    if (head->last_position - head->first_position >= UINT32_MAX) return false;
    if (head->block_count == 0 || head->block_count > DBK_PACK_BLOCKS_MAX) return false;
    if (head->root_count != dbk_pack_roots_count(head->first_position, head->last_position)) return false;
    if (head->type_count > DBK_PACK_TYPES_MAX) return false;
    if (head->dictionary_bytes > (head->celled ? DBK_PACK_DICTIONARY_MAX : 0)) return false;
    if (!head->dictionary_bytes && head->dictionary_checksum) return false;
    if (head->table_offset < DBK_PACK_HEAD_SIZE + 2 * (uint64_t)head->dictionary_bytes ||
        head->table_offset > 2 * header->size)
        return false;
    return head->file_bytes == file_bytes_of(head);
}

dbk_decoded dbk_pack_head_decode(const uint8_t at[DBK_PACK_HEAD_SIZE], dbk_segment_header *header, dbk_pack_head *head)
{
    dbk_decoded decoded = dbk_segment_header_decode(at, header);

    memset(head, 0, sizeof(*head));
    if (decoded != DBK_DECODED_OK) return decoded;
    if (!(header->features & DBK_FEATURE_PACKED)) return DBK_DECODED_BAD;
    if (head_checksum(at) != dbk_load_u64(at + CHECKSUM)) return DBK_DECODED_BAD;
    take_fields(at + BODY, head);
    head->celled = header->features & DBK_FEATURE_CELLS;
    if (dbk_load_u32(at + BODY + 176) > 1 || dbk_load_u32(at + BODY + 180) > 1) return DBK_DECODED_BAD;
    if (!dbk_all_zero(at + BODY + 208, CHECKSUM - BODY - 208)) return DBK_DECODED_BAD;
    return is_possible(header, head) ? DBK_DECODED_OK : DBK_DECODED_BAD;
}

void dbk_pack_block_encode(const dbk_pack_block *block, uint8_t out[DBK_PACK_BLOCK_ROW])
{
    dbk_store_u32(out, block->bytes);
    dbk_store_u32(out + 4, block->plain_bytes);
    dbk_store_u32(out + 8, block->delta);
    dbk_store_u32(out + 12, block->continued ? 1 : 0);
    dbk_store_u64(out + 16, (uint64_t)block->received_ms);
    dbk_store_u64(out + 24, block->checksum);
    dbk_store_u64(out + 32, block->plain_checksum);
}

bool dbk_pack_blocks_decode(const dbk_pack_head *head, dbk_slice rows, dbk_pack_block *blocks)
{
    uint64_t offset = dbk_pack_blocks_begin(head), plain = DBK_SEGMENT_DATA_OFFSET;
    uint64_t entries = head->last_position - head->first_position + 1;
    uint32_t delta = 0;

    assert(rows.size == (size_t)head->block_count * DBK_PACK_BLOCK_ROW);
    for (uint32_t i = 0; i < head->block_count; i++) {
        const uint8_t *at = rows.data + (size_t)i * DBK_PACK_BLOCK_ROW;
        uint32_t continued = dbk_load_u32(at + 12);
        blocks[i] = (dbk_pack_block){.offset = (uint32_t)offset, /* the table's own is bounded */
                                     .plain_offset = (uint32_t)plain,
                                     .bytes = dbk_load_u32(at),
                                     .plain_bytes = dbk_load_u32(at + 4),
                                     .delta = dbk_load_u32(at + 8),
                                     .continued = continued == 1,
                                     .received_ms = (int64_t)dbk_load_u64(at + 16),
                                     .checksum = dbk_load_u64(at + 24),
                                     .plain_checksum = dbk_load_u64(at + 32)};
        if (blocks[i].bytes == 0 || blocks[i].plain_bytes == 0) return false;
        if (blocks[i].plain_bytes > DBK_PACK_PLAIN_MAX || continued > 1) return false;
        if (blocks[i].bytes > dbk_pack_blocks_end(head) - offset) return false;
        if (blocks[i].plain_bytes > head->end - plain) return false;
        if (blocks[i].delta < delta || blocks[i].delta > entries) return false;
        if (i == 0 && (blocks[i].delta != 0 || blocks[i].continued)) return false;
        delta = blocks[i].delta;
        offset += blocks[i].bytes;
        plain += blocks[i].plain_bytes;
    }
    return offset == dbk_pack_blocks_end(head) && plain == head->end;
}

uint64_t dbk_pack_dictionary_checksum(dbk_slice dictionary)
{
    return dbk_checksum(dictionary, dictionary_twist);
}

uint64_t dbk_pack_block_checksum(const dbk_segment_header *header, uint32_t index, dbk_slice data)
{
    return dbk_checksum(data, header->salt + index);
}

uint64_t dbk_pack_plain_checksum(const dbk_segment_header *header, uint32_t index, dbk_slice data)
{
    return dbk_checksum(data, (header->salt ^ plain_twist) + index);
}

uint64_t dbk_pack_table_checksum(const dbk_segment_header *header, dbk_slice table)
{
    return dbk_checksum(table, header->salt ^ table_twist);
}

uint32_t dbk_pack_block_at(const dbk_pack_block *blocks, uint32_t count, uint64_t plain_offset)
{
    uint32_t low = 0, high = count;

    while (high - low > 1) {
        uint32_t middle = low + (high - low) / 2;
        if (blocks[middle].plain_offset <= plain_offset) {
            low = middle;
        } else {
            high = middle;
        }
    }
    return low;
}

uint32_t dbk_pack_block_of(const dbk_pack_block *blocks, uint32_t count, uint32_t delta)
{
    uint32_t low = 0, high = count;

    while (high - low > 1) {
        uint32_t middle = low + (high - low) / 2;
        if (blocks[middle].delta <= delta) {
            low = middle;
        } else {
            high = middle;
        }
    }
    return low;
}

/* The eight bytes tell types of one segment apart; a collision makes a block be read in vain. */
uint64_t dbk_pack_type_hash(const uint8_t store_id[16], dbk_slice type)
{
    return dbk_checksum(type, dbk_load_u64(store_id) ^ head_twist);
}

void dbk_pack_roots_begin(dbk_pack_roots *roots, uint64_t first_position)
{
    roots->next = first_position;
    roots->count = 0;
}

/* Two trees side by side become one where the left one begins at a multiple of the size of both. */
void dbk_pack_roots_add(dbk_pack_roots *roots, const uint8_t leaf[DBK_LEAF_SIZE])
{
    dbk_pack_root tree = {.first = roots->next++};

    memcpy(tree.node, leaf, DBK_LEAF_SIZE);
    while (roots->count) {
        const dbk_pack_root *left = &roots->roots[roots->count - 1];
        if (left->height != tree.height || (left->first - 1) >> tree.height & 1) break;
        const dbk_slice pair[] = {dbk_slice_of(left->node, DBK_LEAF_SIZE), dbk_slice_of(tree.node, DBK_LEAF_SIZE)};
        dbk_digest_parts(DBK_DIGEST_NODE, pair, 2, tree.node, DBK_LEAF_SIZE);
        tree.first = left->first;
        tree.height++;
        roots->count--;
    }
    assert(roots->count < DBK_PACK_ROOTS_MAX);
    roots->roots[roots->count++] = tree;
}

/* The height of the next tree: as high as its place and what is left allow. */
static uint32_t next_height(uint64_t leaf, uint64_t end)
{
    uint32_t height = leaf ? (uint32_t)__builtin_ctzll(leaf) : 63;
    uint32_t room = 63 - (uint32_t)__builtin_clzll(end - leaf);

    return height < room ? height : room;
}

uint32_t dbk_pack_roots_count(uint64_t first_position, uint64_t last_position)
{
    uint32_t count = 0;

    for (uint64_t leaf = first_position - 1; leaf < last_position; count++)
        leaf += (uint64_t)1 << next_height(leaf, last_position);
    return count;
}
