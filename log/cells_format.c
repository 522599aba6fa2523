/* Fronts, shells, and the plain form out of them. All numbers here come from a file: each is bounded by what the
 * block's row says before it is used. */
#include "log/cells.h"

static const uint64_t stored_twist = 0x43454c4c53544f52ull;
static const uint64_t content_twist = 0x43454c4c434f4e54ull;
static const uint64_t front_twist = 0x43454c4c46524f4eull;
static const uint32_t front_magic = 0xf70c4dbbu;

/* FRONT_LEAST: flags and a count of no cells behind its head. */
enum { FRONT_CHECKSUM = 32, FRONT_LEAST = DBK_FRONT_HEAD_SIZE + 2, VARINT_MAX = 10 };

/* Seven bits a byte, lowest first; false beyond `max`. */
static uint64_t take_number(dbk_reader *reader, uint64_t max)
{
    uint64_t value = 0;

    for (unsigned i = 0; i < VARINT_MAX; i++) {
        uint8_t byte = dbk_reader_u8(reader);
        if (i == VARINT_MAX - 1 && byte > 1) break;
        value |= (uint64_t)(byte & 0x7f) << 7 * i;
        if (byte & 0x80) continue;
        if (value > max) break;
        return value;
    }
    reader->failed = true;
    return 0;
}

/* Small ones of either sign are short. */
static int64_t take_difference(dbk_reader *reader)
{
    uint64_t value = take_number(reader, UINT64_MAX);

    return (int64_t)(value >> 1 ^ (0 - (value & 1)));
}

bool dbk_front_begins(dbk_slice block_bytes)
{
    return block_bytes.size >= 4 && dbk_load_u32(block_bytes.data) == front_magic;
}

uint32_t dbk_front_bytes(dbk_slice block_bytes)
{
    if (block_bytes.size < FRONT_LEAST || !dbk_front_begins(block_bytes)) return 0;
    uint32_t bytes = dbk_load_u32(block_bytes.data + 4);
    return bytes < FRONT_LEAST || bytes > DBK_FRONT_MAX || bytes > block_bytes.size ? 0 : bytes;
}

static uint64_t front_checksum(const dbk_segment_header *header, const uint8_t *front, size_t bytes)
{
    uint64_t seed = dbk_checksum(dbk_slice_of(front, FRONT_CHECKSUM), header->salt ^ front_twist);

    return dbk_checksum(dbk_slice_of(front + DBK_FRONT_HEAD_SIZE, bytes - DBK_FRONT_HEAD_SIZE), seed);
}

static void load_row(const uint8_t *front, dbk_pack_block *row)
{
    *row = (dbk_pack_block){.bytes = dbk_load_u32(front + 8),
                            .plain_offset = dbk_load_u32(front + 12),
                            .plain_bytes = dbk_load_u32(front + 16),
                            .delta = dbk_load_u32(front + 20),
                            .received_ms = (int64_t)dbk_load_u64(front + 24),
                            .continued = front[DBK_FRONT_HEAD_SIZE] & DBK_CELL_CONTINUED};
}

bool dbk_front_row(const dbk_segment_header *header, dbk_slice block_bytes, dbk_pack_block *row)
{
    uint32_t bytes = dbk_front_bytes(block_bytes);

    if (bytes == 0 ||
        front_checksum(header, block_bytes.data, bytes) != dbk_load_u64(block_bytes.data + FRONT_CHECKSUM))
        return false;
    load_row(block_bytes.data, row);
    return row->bytes >= bytes;
}

void dbk_front_finish(const dbk_segment_header *header, const dbk_pack_block *row, uint8_t *front, size_t bytes)
{
    dbk_store_u32(front, front_magic);
    dbk_store_u32(front + 4, (uint32_t)bytes);
    dbk_store_u32(front + 8, row->bytes);
    dbk_store_u32(front + 12, row->plain_offset);
    dbk_store_u32(front + 16, row->plain_bytes);
    dbk_store_u32(front + 20, row->delta);
    dbk_store_u64(front + 24, (uint64_t)row->received_ms);
    dbk_store_u64(front + FRONT_CHECKSUM, front_checksum(header, front, bytes));
}

static bool is_of_row(const uint8_t *front, const dbk_pack_block *row)
{
    dbk_pack_block own;

    load_row(front, &own);
    return own.bytes == row->bytes && own.plain_offset == row->plain_offset && own.plain_bytes == row->plain_bytes &&
           own.delta == row->delta && own.received_ms == row->received_ms && own.continued == row->continued;
}

static bool take_cell(dbk_reader *reader, const dbk_pack_block *block, dbk_front *front, uint64_t *offset,
                      dbk_pack_cell *cell)
{
    cell->offset = (uint32_t)*offset;
    cell->stored = (uint32_t)take_number(reader, block->bytes - *offset);
    cell->content = (uint32_t)take_number(reader, block->plain_bytes);
    cell->first = front->entry_count;
    cell->count = (uint32_t)take_number(reader, cell->content / 4);
    cell->stored_checksum = dbk_reader_u32(reader);
    cell->content_checksum = dbk_reader_u32(reader);
    if (reader->failed || cell->count == 0) return false;
    if (front->hashes_apart && cell->stored / DBK_COMMAND_HASH_SIZE < cell->count) return false;
    front->entry_count += cell->count;
    front->payload_bytes += dbk_cell_payload(front, cell);
    *offset += cell->stored;
    return front->payload_bytes <= block->plain_bytes;
}

bool dbk_front_decode(dbk_slice front_bytes, const dbk_pack_block *block, dbk_front *front, dbk_buffer *cells)
{
    dbk_reader reader = dbk_reader_of(front_bytes);
    uint64_t offset = front_bytes.size;

    memset(front, 0, sizeof(*front));
    dbk_buffer_clear(cells);
    (void)dbk_reader_take(&reader, DBK_FRONT_HEAD_SIZE);
    front->bytes = (uint32_t)front_bytes.size;
    uint8_t flags = dbk_reader_u8(&reader);
    front->hashes_apart = flags & DBK_CELL_HASHES_APART;
    front->heads_computed = flags & DBK_CELL_HEADS_COMPUTED;
    front->cell_count = (uint32_t)take_number(&reader, front_bytes.size / DBK_CELL_ROW_MIN);
    if (reader.failed || !is_of_row(front_bytes.data, block)) return false;
    if (flags & ~(DBK_CELL_HASHES_APART | DBK_CELL_HEADS_COMPUTED | DBK_CELL_CONTINUED)) return false;
    dbk_pack_cell *cell = (dbk_pack_cell *)(void *)dbk_buffer_extend(cells, (size_t)front->cell_count * sizeof(*cell));
    for (uint32_t i = 0; cell && i < front->cell_count; i++) {
        if (!take_cell(&reader, block, front, &offset, &cell[i])) return false;
    }
    front->shells = dbk_slice_of(reader.at, dbk_reader_left(&reader));
    return offset == block->bytes;
}

uint32_t dbk_cell_checksum(const dbk_segment_header *header, const dbk_pack_block *block, uint32_t cell, bool content,
                           dbk_slice data)
{
    uint64_t place = (uint64_t)block->plain_offset << 32 | cell; /* its number may be lost with the table */

    return (uint32_t)dbk_checksum(data, (header->salt ^ (content ? content_twist : stored_twist)) + place);
}

bool dbk_cell_join(dbk_slice content, dbk_slice hashes, uint8_t *out)
{
    enum { FRONT = 4 + DBK_COMMAND_HASH_AT };

    for (; hashes.size; hashes.data += DBK_COMMAND_HASH_SIZE, hashes.size -= DBK_COMMAND_HASH_SIZE) {
        if (content.size < FRONT) return false;
        uint32_t size = dbk_load_u32(content.data);
        if (size < DBK_COMMAND_HASH_AT + DBK_COMMAND_HASH_SIZE) return false;
        size_t behind = size - DBK_COMMAND_HASH_AT - DBK_COMMAND_HASH_SIZE;
        if (behind > content.size - FRONT) return false;
        memcpy(out, content.data, FRONT);
        memcpy(out + FRONT, hashes.data, DBK_COMMAND_HASH_SIZE);
        memcpy(out + FRONT + DBK_COMMAND_HASH_SIZE, content.data + FRONT, behind);
        out += 4 + (size_t)size;
        content = dbk_slice_of(content.data + FRONT + behind, content.size - FRONT - behind);
    }
    return content.size == 0;
}

void dbk_shells_begin(dbk_shells *shells, const dbk_front *front, const dbk_pack_block *block, uint64_t position)
{
    *shells = (dbk_shells){
        .front = front,
        .reader = dbk_reader_of(front->shells),
        .position = position,
        .received_ms = block->received_ms,
        .continued = block->continued,
        .first = true,
    };
    if (!front->heads_computed) return;
    size_t peaks = (size_t)__builtin_popcountll(position - 1);
    shells->peaks = dbk_reader_take(&shells->reader, peaks * DBK_LEAF_SIZE).data;
}

/* The rest of a record that began in a block before. */
static void take_rest(dbk_shells *shells, dbk_shell *shell)
{
    dbk_reader *reader = &shells->reader;

    shell->record.type = DBK_RECORD_ENTRIES;
    shell->here = (uint32_t)take_number(reader, shells->front->entry_count);
    uint8_t ends = dbk_reader_u8(reader);
    if (ends > 1) reader->failed = true;
    shell->ends = ends == 1;
    if (shell->ends) shell->record.checksum = dbk_reader_u64(reader);
}

static void take_entries(dbk_shells *shells, dbk_shell *shell)
{
    dbk_reader *reader = &shells->reader;

    shell->record.count = (uint32_t)take_number(reader, UINT32_MAX);
    shell->here = shell->record.count;
    if (!shell->ends) {
        shell->here = (uint32_t)take_number(reader, shell->record.count);
        shell->record.payload_bytes = (uint32_t)take_number(reader, DBK_PAYLOAD_MAX);
        shell->record.payload_checksum = dbk_reader_u64(reader);
    }
    if (shell->record.count == 0) reader->failed = true;
}

static void take_begin(dbk_shells *shells, dbk_shell *shell)
{
    dbk_reader *reader = &shells->reader;
    dbk_record *record = &shell->record;
    uint8_t kind = dbk_reader_u8(reader);

    shell->begins = true;
    shell->ends = !(kind & DBK_SHELL_GOES_ON);
    record->type = kind & (uint8_t)~DBK_SHELL_GOES_ON;
    record->first_position = shells->position;
    record->durable_upto = record->first_position - (uint64_t)take_difference(reader);
    record->received_ms = (int64_t)((uint64_t)shells->received_ms + (uint64_t)take_difference(reader));
    shell->previous_known = shells->first;
    if (shells->first) record->previous = dbk_reader_u64(reader);
    if (!shells->front->heads_computed) {
        const uint8_t *head = dbk_reader_take(reader, DBK_LEAF_SIZE).data;
        if (head) memcpy(record->head, head, DBK_LEAF_SIZE);
    }
    if (record->type == DBK_RECORD_ENTRIES) {
        take_entries(shells, shell);
    } else {
        if ((record->type != DBK_RECORD_START && record->type != DBK_RECORD_SEAL) || !shell->ends)
            reader->failed = true;
        record->payload_bytes = (uint32_t)take_number(reader, DBK_PAYLOAD_MAX);
        shell->payload = dbk_reader_take(reader, record->payload_bytes);
    }
    shells->first = false;
    shells->received_ms = record->received_ms;
}

bool dbk_shells_next(dbk_shells *shells, dbk_shell *shell)
{
    if (shells->reader.failed || dbk_reader_left(&shells->reader) == 0) return false;
    memset(shell, 0, sizeof(*shell));
    shell->record.received_ms = shells->received_ms;
    if (shells->continued) {
        take_rest(shells, shell);
    } else {
        take_begin(shells, shell);
    }
    shells->continued = false;
    shells->position += shell->here;
    return !shells->reader.failed;
}

/* ---- the plain form */

typedef struct rebuild {
    const dbk_segment_header *header;
    const dbk_front *front;
    uint64_t plain_offset;
    uint8_t *out;
    size_t size, at;
    dbk_slice entries; /* not put yet */
    dbk_range range;   /* where heads are computed */
    uint64_t previous; /* checksum of the record before, in this block */
} rebuild;

static void begin_range(rebuild *r, const dbk_shells *shells, uint64_t position)
{
    dbk_range_init(&r->range);
    if (!shells->peaks) return;
    r->range.count = position - 1;
    r->range.peak_count = (uint32_t)__builtin_popcountll(position - 1);
    memcpy(r->range.peaks, shells->peaks, (size_t)r->range.peak_count * DBK_LEAF_SIZE);
}

/* Copies so many entries; their bytes, or SIZE_MAX where they do not fit. */
static size_t put_entries(rebuild *r, uint32_t count)
{
    const uint8_t *from = r->entries.data;
    uint8_t leaf[DBK_LEAF_SIZE];
    dbk_slice origin;

    for (; count; count--) {
        if (!dbk_record_next_origin(&r->entries, &origin)) return SIZE_MAX;
        if (!r->front->heads_computed) continue;
        dbk_entry_leaf(origin, leaf);
        dbk_range_add(&r->range, leaf);
    }
    size_t bytes = from ? (size_t)(r->entries.data - from) : 0;
    if (bytes > r->size - r->at) return SIZE_MAX;
    if (bytes) memcpy(r->out + r->at, from, bytes);
    r->at += bytes;
    return bytes;
}

/* What follows the last entry of a record whose header is in another block. */
static bool put_end(rebuild *r, uint64_t checksum)
{
    uint64_t end = dbk_round_up(r->plain_offset + r->at + DBK_RECORD_TRAILER_SIZE, r->header->unit) - r->plain_offset;

    if (end > r->size) return false;
    memset(r->out + r->at, 0, (size_t)end - r->at);
    dbk_record_put_trailer(checksum, r->out + end - DBK_RECORD_TRAILER_SIZE);
    r->previous = checksum;
    r->at = (size_t)end;
    return true;
}

static bool put_payload(rebuild *r, const dbk_shell *shell, size_t *bytes)
{
    if (shell->record.type == DBK_RECORD_ENTRIES) {
        *bytes = put_entries(r, shell->here);
        return *bytes <= DBK_PAYLOAD_MAX;
    }
    *bytes = shell->payload.size;
    if (*bytes > r->size - r->at) return false;
    if (*bytes) memcpy(r->out + r->at, shell->payload.data, *bytes);
    r->at += *bytes;
    return true;
}

static bool put_record(rebuild *r, dbk_shell *shell)
{
    dbk_record *record = &shell->record;
    size_t begin = r->at, bytes;

    if (r->size - r->at < DBK_RECORD_HEADER_SIZE) return false;
    r->at += DBK_RECORD_HEADER_SIZE;
    if (!put_payload(r, shell, &bytes)) return false;
    if (!shell->previous_known) record->previous = r->previous;
    if (r->front->heads_computed) dbk_range_head(&r->range, record->head);
    record->segment = r->header->number;
    record->salt = r->header->salt;
    record->offset = r->plain_offset + begin;
    if (!shell->ends) {
        dbk_record_put_header(record, r->header->store_id, r->out + begin);
        return r->at == r->size;
    }
    record->payload_bytes = (uint32_t)bytes;
    uint64_t whole = dbk_record_bytes(bytes, r->header->unit);
    if (whole > r->size - begin) return false;
    dbk_record_finish(record, r->header->store_id, r->out + begin, whole);
    r->previous = record->checksum;
    r->at = begin + (size_t)whole;
    return true;
}

/* A record that goes on behind the block is not computed a head for: the entries behind it are not here. */
static bool is_possible(const dbk_front *front, const dbk_shell *shell)
{
    return shell->ends || !shell->begins || !front->heads_computed;
}

bool dbk_cells_rebuild(const dbk_segment_header *header, const dbk_front *front, const dbk_pack_block *block,
                       uint64_t position, dbk_slice entries, uint8_t *out)
{
    rebuild r = {.header = header,
                 .front = front,
                 .plain_offset = block->plain_offset,
                 .out = out,
                 .size = block->plain_bytes,
                 .entries = entries};
    dbk_shells shells;
    dbk_shell shell;

    dbk_shells_begin(&shells, front, block, position);
    if (front->heads_computed) begin_range(&r, &shells, position);
    while (dbk_shells_next(&shells, &shell)) {
        bool put = is_possible(front, &shell);
        if (shell.begins) {
            put = put && put_record(&r, &shell);
        } else {
            put = put && put_entries(&r, shell.here) != SIZE_MAX && (!shell.ends || put_end(&r, shell.record.checksum));
        }
        if (!put) return false;
    }
    return !shells.reader.failed && r.at == r.size && r.entries.size == 0;
}
