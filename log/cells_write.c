/* A block of records becomes a front and cells. What is left out here is computed again by cells_format.c; that both
 * agree is checked for each segment by reading the file back and comparing checksums of the plain form, before the
 * plain file goes. */
#include "log/cells_write.h"

void dbk_cell_writer_init(dbk_cell_writer *w, const dbk_port *port, const dbk_segment_header *header,
                          dbk_packer *packer)
{
    memset(w, 0, sizeof(*w));
    w->header = header;
    w->packer = packer;
    dbk_buffer *const buffers[] = {&w->rows, &w->shells, &w->stored, &w->content, &w->hashes, &w->out};
    for (size_t i = 0; i < sizeof(buffers) / sizeof(buffers[0]); i++) dbk_buffer_init(buffers[i], port);
}

void dbk_cell_writer_release(dbk_cell_writer *w)
{
    dbk_buffer *const buffers[] = {&w->rows, &w->shells, &w->stored, &w->content, &w->hashes, &w->out};

    for (size_t i = 0; i < sizeof(buffers) / sizeof(buffers[0]); i++) dbk_buffer_release(buffers[i]);
}

static void put_number(dbk_buffer *out, uint64_t value)
{
    for (; value > 0x7f; value >>= 7) dbk_buffer_put_u8(out, (uint8_t)(value | 0x80));
    dbk_buffer_put_u8(out, (uint8_t)value);
}

static void put_difference(dbk_buffer *out, uint64_t difference)
{
    put_number(out, difference << 1 ^ (0 - (difference >> 63)));
}

static void end_cell(dbk_cell_writer *w)
{
    dbk_slice packed, content = dbk_buffer_slice(&w->content);
    size_t begin = w->stored.size;

    if (w->in_cell == 0) return;
    if (w->content.failed || !dbk_packer_run(w->packer, content, &packed)) {
        w->out_of_memory = true;
        return;
    }
    dbk_buffer_put_slice(&w->stored, packed);
    dbk_buffer_put_slice(&w->stored, dbk_buffer_slice(&w->hashes));
    if (w->stored.failed) return;
    dbk_slice stored = dbk_slice_of(w->stored.data + begin, w->stored.size - begin);
    put_number(&w->rows, stored.size);
    put_number(&w->rows, content.size);
    put_number(&w->rows, w->in_cell);
    dbk_buffer_put_u32(&w->rows, dbk_cell_checksum(w->header, w->row, w->cell_count, false, stored));
    dbk_buffer_put_u32(&w->rows, dbk_cell_checksum(w->header, w->row, w->cell_count, true, content));
    dbk_buffer_clear(&w->content);
    dbk_buffer_clear(&w->hashes);
    w->in_cell = 0;
    w->cell_count++;
}

static void put_entry(dbk_cell_writer *w, dbk_slice origin)
{
    const uint8_t *hash = origin.data + DBK_COMMAND_HASH_AT;
    size_t apart = w->hashes_apart ? DBK_COMMAND_HASH_SIZE : 0;

    if (w->content.size + 4 + origin.size - apart > DBK_CELL_BYTES) end_cell(w);
    w->in_cell++;
    if (!apart) {
        dbk_buffer_put(&w->content, origin.data - 4, origin.size + 4);
        return;
    }
    dbk_buffer_put(&w->content, origin.data - 4, 4 + DBK_COMMAND_HASH_AT);
    dbk_buffer_put(&w->content, hash + apart, origin.size - DBK_COMMAND_HASH_AT - apart);
    dbk_buffer_put(&w->hashes, hash, apart);
}

/* As many entries as there are; returns their number. */
static uint32_t put_entries(dbk_cell_writer *w, dbk_slice entries)
{
    uint32_t count = 0;
    dbk_slice origin;

    for (; dbk_record_next_origin(&entries, &origin); count++) put_entry(w, origin);
    return count;
}

/* The block begins with entries of a record that began before; returns where the next record begins. */
static size_t put_rest(dbk_cell_writer *w, dbk_slice plain, uint64_t plain_offset)
{
    bool ends = plain.size > w->left;
    size_t bytes = ends ? (size_t)w->left : plain.size;

    put_number(&w->shells, put_entries(w, dbk_slice_of(plain.data, bytes)));
    dbk_buffer_put_u8(&w->shells, ends);
    w->left -= bytes;
    if (!ends) return plain.size;
    uint64_t end = dbk_round_up(plain_offset + bytes + DBK_RECORD_TRAILER_SIZE, w->header->unit) - plain_offset;
    dbk_buffer_put(&w->shells, plain.data + end - 8, 8);
    return (size_t)end;
}

/* Returns the record's length in this block. */
static size_t put_record(dbk_cell_writer *w, dbk_slice plain, const dbk_record *record, int64_t *received_ms,
                         bool first)
{
    const uint8_t *payload = plain.data + DBK_RECORD_HEADER_SIZE;
    uint64_t whole = dbk_record_bytes(record->payload_bytes, w->header->unit);
    size_t room = plain.size - DBK_RECORD_HEADER_SIZE;
    bool ends = whole <= plain.size;

    dbk_buffer_put_u8(&w->shells, (uint8_t)(record->type | (ends ? 0 : DBK_SHELL_GOES_ON)));
    put_difference(&w->shells, record->first_position - record->durable_upto);
    put_difference(&w->shells, (uint64_t)record->received_ms - (uint64_t)*received_ms);
    *received_ms = record->received_ms;
    if (first) dbk_buffer_put_u64(&w->shells, record->previous);
    if (!w->heads_computed) dbk_buffer_put(&w->shells, record->head, DBK_LEAF_SIZE);
    if (record->type != DBK_RECORD_ENTRIES) {
        put_number(&w->shells, record->payload_bytes);
        dbk_buffer_put(&w->shells, payload, record->payload_bytes);
        return (size_t)whole;
    }
    put_number(&w->shells, record->count);
    uint32_t here = put_entries(w, dbk_slice_of(payload, ends ? record->payload_bytes : room));
    if (ends) return (size_t)whole;
    put_number(&w->shells, here);
    put_number(&w->shells, record->payload_bytes);
    dbk_buffer_put_u64(&w->shells, record->payload_checksum);
    w->left = record->payload_bytes - room;
    return plain.size;
}

/* Whether hashes are worth a place of their own: those that are all zero are not. */
static bool has_hash(dbk_slice entries)
{
    dbk_slice origin;
    bool there = dbk_record_next_origin(&entries, &origin);

    if (dbk_never(!there || origin.size < DBK_COMMAND_HASH_AT + DBK_COMMAND_HASH_SIZE))
        return false; /* it was decoded */
    return !dbk_all_zero(origin.data + DBK_COMMAND_HASH_AT, DBK_COMMAND_HASH_SIZE);
}

/* Heads cost 32 bytes each; to compute them, those that the range in front of the block has. */
static void look_ahead(dbk_cell_writer *w, dbk_slice plain, const dbk_pack_block *block, const dbk_range *before)
{
    dbk_record record = {0};
    uint32_t records = 0;
    bool known = block->continued;

    w->hashes_apart = block->continued && has_hash(plain);
    w->heads_computed = false;
    if (block->continued) return; /* of few large records */
    for (size_t at = 0; at < plain.size; records++) {
        bool right = dbk_record_decode(plain.data + at, w->header->store_id, &record);
        if (dbk_never(!right)) return; /* whoever packs has scanned it */
        uint64_t whole = dbk_record_bytes(record.payload_bytes, w->header->unit);
        if (whole > plain.size - at) records = 0; /* it goes on: its head is not to be computed here */
        if (!known && record.type == DBK_RECORD_ENTRIES) {
            known = true;
            w->hashes_apart = has_hash(
                dbk_slice_of(plain.data + at + DBK_RECORD_HEADER_SIZE, plain.size - at - DBK_RECORD_HEADER_SIZE));
        }
        if (whole > plain.size - at) return;
        at += (size_t)whole;
    }
    w->heads_computed = records > before->peak_count + 1;
}

static bool join(dbk_cell_writer *w, dbk_slice plain, dbk_pack_block *block, const dbk_range *before, dbk_slice *packed)
{
    uint8_t flags =
        (uint8_t)((w->hashes_apart ? DBK_CELL_HASHES_APART : 0) | (w->heads_computed ? DBK_CELL_HEADS_COMPUTED : 0) |
                  (block->continued ? DBK_CELL_CONTINUED : 0));

    dbk_buffer_clear(&w->out);
    (void)dbk_buffer_extend(&w->out, DBK_FRONT_HEAD_SIZE);
    dbk_buffer_put_u8(&w->out, flags);
    put_number(&w->out, w->cell_count);
    dbk_buffer_put_slice(&w->out, dbk_buffer_slice(&w->rows));
    if (w->heads_computed) dbk_buffer_put(&w->out, before->peaks, (size_t)before->peak_count * DBK_LEAF_SIZE);
    dbk_buffer_put_slice(&w->out, dbk_buffer_slice(&w->shells));
    size_t front = w->out.size;
    dbk_buffer_put_slice(&w->out, dbk_buffer_slice(&w->stored));
    if (w->out.failed || w->rows.failed || w->shells.failed || w->stored.failed || w->out_of_memory) return false;
    block->bytes = (uint32_t)w->out.size;
    block->plain_bytes = (uint32_t)plain.size;
    dbk_front_finish(w->header, block, w->out.data, front);
    block->checksum = dbk_pack_block_checksum(w->header, w->block, dbk_slice_of(w->out.data, front));
    block->plain_checksum = dbk_pack_plain_checksum(w->header, w->block, plain);
    *packed = dbk_buffer_slice(&w->out);
    return true;
}

bool dbk_cell_writer_put(dbk_cell_writer *w, dbk_slice plain, dbk_pack_block *block, const dbk_range *before,
                         dbk_slice *packed)
{
    int64_t received_ms = block->received_ms;
    bool first = true;
    size_t at = 0;

    dbk_buffer_clear(&w->rows);
    dbk_buffer_clear(&w->shells);
    dbk_buffer_clear(&w->stored);
    w->cell_count = 0;
    w->row = block;
    look_ahead(w, plain, block, before);
    if (block->continued) at = put_rest(w, plain, block->plain_offset);
    while (at < plain.size) {
        dbk_record record = {0};
        bool right = dbk_record_decode(plain.data + at, w->header->store_id, &record);
        if (dbk_never(!right)) break; /* reading back would tell */
        at += put_record(w, dbk_slice_of(plain.data + at, plain.size - at), &record, &received_ms, first);
        first = false;
    }
    end_cell(w);
    bool made = join(w, plain, block, before, packed);
    w->block++;
    return made;
}
