/* Packing one ended segment into a file beside it.
 *
 * The plain form is read record by record with all checks of recovery: each batch's head has to be that of its
 * entries, the last one that of the seal. Records gather in blocks; a large one is cut in front of entries. Roots of
 * subtrees and the types of each block are noted on the way and go into the table. Then the file is read back from
 * the disk, its cache dropped: only what came back whole may take the plain one's place, which is pack_work.c's
 * step. */
#include "log/pack_write.h"

enum { TYPE_BYTES = 32 }; /* a bit for each type a segment may list, of one block */

typedef struct pack_writer {
    const dbk_pack_job *job;
    dbk_pack_sink sink;
    dbk_buffer dictionary;
    dbk_buffer records;   /* whole ones, of the block under way */
    uint64_t payload;     /* of them */
    uint64_t plain_bytes; /* of the blocks before */
    dbk_pack_block block;
    dbk_range before;     /* the entries in front of it */
    dbk_log_state *state; /* range and position of what was read so far */
    uint64_t last_offset; /* of the last record: the seal in the end */
    dbk_pack_roots *roots;
    dbk_segment totals; /* top and ordered */
    uint64_t types[DBK_PACK_TYPES_MAX];
    uint32_t type_count;
    bool types_known;
    dbk_buffer type_bits; /* TYPE_BYTES for each block */
    dbk_pack_head head;
} pack_writer;

static void begin_block(pack_writer *w, uint64_t position, int64_t received_ms, bool continued)
{
    uint8_t *bits = dbk_buffer_extend(&w->type_bits, TYPE_BYTES);

    if (bits) memset(bits, 0, TYPE_BYTES);
    w->block = (dbk_pack_block){
        .delta = (uint32_t)(position - w->job->segment.first_position),
        .plain_offset = (uint32_t)(DBK_SEGMENT_DATA_OFFSET + w->plain_bytes),
        .received_ms = received_ms,
        .continued = continued,
    };
    w->before = w->state->range;
    w->payload = 0;
}

static dbk_result put_block(pack_writer *w, dbk_slice plain, dbk_error *err)
{
    w->plain_bytes += plain.size;
    return dbk_pack_sink_put(&w->sink, plain, &w->block, &w->before, err);
}

static dbk_result flush(pack_writer *w, dbk_error *err)
{
    if (w->records.failed || w->type_bits.failed)
        return dbk_fail(err, DBK_NO_MEMORY, "cannot pack '%s': out of memory", w->job->segment.name);
    if (w->records.size == 0) return DBK_OK;
    dbk_result rc = put_block(w, dbk_buffer_slice(&w->records), err);
    dbk_buffer_clear(&w->records);
    return rc;
}

static void note_type(pack_writer *w, dbk_slice type)
{
    uint64_t hash = dbk_pack_type_hash(w->job->segment.header.store_id, type);
    uint32_t i = 0;

    while (i < w->type_count && w->types[i] != hash) i++;
    if (i == w->type_count) {
        if (w->type_count == DBK_PACK_TYPES_MAX) {
            w->types_known = false;
            return;
        }
        w->types[w->type_count++] = hash;
    }
    if (w->type_bits.failed) return;
    w->type_bits.data[w->type_bits.size - TYPE_BYTES + i / 8] |= (uint8_t)(1u << i % 8);
}

/* The entry begins in the block under way. */
static dbk_result take_entry(pack_writer *w, dbk_slice origin, dbk_error *err)
{
    uint8_t leaf[DBK_LEAF_SIZE];
    dbk_entry entry;
    dbk_event event;

    dbk_result rc = dbk_entry_decode(origin, &entry, err);
    if (rc != DBK_OK) return rc;
    dbk_slice rest = entry.events;
    while (dbk_event_next(&rest, &event)) note_type(w, event.type);
    dbk_entry_leaf(origin, leaf);
    dbk_range_add(&w->state->range, leaf);
    dbk_pack_roots_add(w->roots, leaf);
    dbk_state_note_key(&entry, w->totals.top, &w->totals.ordered);
    w->state->position++;
    return DBK_OK;
}

static dbk_result fail_batch(const pack_writer *w, const dbk_record *record, dbk_error *err)
{
    return dbk_fail(err, DBK_CORRUPT, "'%s' at offset %llu: the batch is not what its head proves",
                    w->job->segment.name, (unsigned long long)record->offset);
}

static dbk_result check_batch(const pack_writer *w, const dbk_record *record, uint32_t count, size_t rest,
                              dbk_error *err)
{
    uint8_t head[DBK_LEAF_SIZE];

    dbk_range_head(&w->state->range, head);
    if (count == record->count && rest == 0 && memcmp(head, record->head, sizeof(head)) == 0) return DBK_OK;
    return fail_batch(w, record, err);
}

static dbk_result put_whole(pack_writer *w, const dbk_record *record, const uint8_t *whole, uint64_t bytes,
                            dbk_error *err)
{
    dbk_slice rest = dbk_slice_of(whole + DBK_RECORD_HEADER_SIZE, record->payload_bytes), origin;
    dbk_result rc = DBK_OK;
    uint32_t count = 0;

    if (w->records.size + bytes > DBK_PACK_BLOCK_PLAIN || w->payload + record->payload_bytes > DBK_PACK_BLOCK_BYTES)
        rc = flush(w, err);
    if (rc != DBK_OK) return rc;
    if (w->records.size == 0) begin_block(w, record->first_position, record->received_ms, false);
    w->payload += record->payload_bytes;
    dbk_buffer_put(&w->records, whole, (size_t)bytes);
    if (record->type == DBK_RECORD_START) return flush(w, err); /* it is asked for alone */
    if (record->type != DBK_RECORD_ENTRIES) return DBK_OK;
    while (rc == DBK_OK && dbk_record_next_origin(&rest, &origin)) {
        count++;
        rc = take_entry(w, origin, err);
    }
    return rc == DBK_OK ? check_batch(w, record, count, rest.size, err) : rc;
}

/* Cut in front of an entry where the block would grow beyond its size; each has one at least. */
static dbk_result put_large(pack_writer *w, const dbk_record *record, const uint8_t *whole, uint64_t bytes,
                            dbk_error *err)
{
    dbk_slice rest = dbk_slice_of(whole + DBK_RECORD_HEADER_SIZE, record->payload_bytes), origin;
    const uint8_t *from = whole;
    uint32_t count = 0, in_block = 0;

    dbk_result rc = flush(w, err);
    begin_block(w, record->first_position, record->received_ms, false);
    while (rc == DBK_OK && dbk_record_next_origin(&rest, &origin)) {
        const uint8_t *at = origin.data - 4;
        if (in_block && (size_t)(rest.data - from) > DBK_PACK_BLOCK_BYTES) {
            rc = put_block(w, dbk_slice_of(from, (size_t)(at - from)), err);
            if (rc != DBK_OK) return rc;
            begin_block(w, record->first_position + count, record->received_ms, true);
            from = at;
            in_block = 0;
        }
        count++;
        in_block++;
        rc = take_entry(w, origin, err);
    }
    if (rc == DBK_OK) rc = check_batch(w, record, count, rest.size, err);
    if (rc != DBK_OK) return rc;
    return put_block(w, dbk_slice_of(from, (size_t)(whole + bytes - from)), err);
}

static dbk_result take_start(pack_writer *w, const dbk_record *record, const uint8_t *whole, dbk_error *err)
{
    dbk_slice payload = dbk_slice_of(whole + DBK_RECORD_HEADER_SIZE, record->payload_bytes);
    dbk_start start;

    if (!dbk_start_decode(payload, &start) || start.range.count != record->first_position - 1)
        return fail_batch(w, record, err);
    dbk_state_begin(w->state, record, &start);
    dbk_pack_roots_begin(w->roots, record->first_position);
    w->head.previous = record->previous;
    w->head.before_seal = start.seal_offset;
    w->head.first_received_ms = record->received_ms;
    return DBK_OK;
}

static dbk_result take_record(pack_writer *w, const dbk_record *record, const uint8_t *whole, uint64_t bytes,
                              dbk_error *err)
{
    dbk_result rc = DBK_OK;

    if (record->type == DBK_RECORD_START) rc = take_start(w, record, whole, err);
    if (record->type == DBK_RECORD_ENTRIES && w->head.first_position == 0) {
        w->head.first_position = record->first_position;
        w->head.first_received_ms = record->received_ms;
    }
    if (rc != DBK_OK) return rc;
    w->head.last_received_ms = record->received_ms;
    w->head.records++;
    return bytes > DBK_PACK_BLOCK_BYTES ? put_large(w, record, whole, bytes, err)
                                        : put_whole(w, record, whole, bytes, err);
}

static dbk_result read_records(pack_writer *w, dbk_scanner *scanner, dbk_error *err)
{
    const dbk_segment *segment = &w->job->segment;
    dbk_expect expect = {segment->first_position, 0, true};
    uint64_t bytes = 0;

    for (uint64_t at = DBK_SEGMENT_DATA_OFFSET; at <= segment->seal_offset; at += bytes) {
        dbk_record record;
        const uint8_t *whole;
        dbk_head head;
        if (w->job->stop && w->job->stop(w->job->arg)) return DBK_END;
        dbk_result rc = dbk_scan_record(scanner, at, &expect, &record, &whole, &bytes, &head, err);
        if (rc != DBK_OK) return rc;
        if (head != DBK_HEAD_RECORD || (record.type == DBK_RECORD_SEAL) != (at == segment->seal_offset)) {
            return dbk_log_bad_record(segment, at, expect.position, segment->last_position, err);
        }
        rc = take_record(w, &record, whole, bytes, err);
        if (rc != DBK_OK) return rc;
        expect = (dbk_expect){expect.position + record.count, record.checksum, false};
        w->head.end = at + bytes;
        w->last_offset = at;
        w->head.seal_checksum = record.checksum;
        memcpy(w->head.head, record.head, DBK_LEAF_SIZE);
    }
    return flush(w, err);
}

/* Roots, then for each type its hash and its bits by block, which were gathered block by block. */
static void put_rest(pack_writer *w, dbk_buffer *rest)
{
    uint32_t blocks = w->sink.block_count;

    for (uint32_t i = 0; i < w->roots->count; i++) dbk_buffer_put(rest, w->roots->roots[i].node, DBK_LEAF_SIZE);
    w->head.root_count = w->roots->count;
    w->head.types_known = w->types_known;
    w->head.type_count = w->types_known ? w->type_count : 0;
    for (uint32_t type = 0; type < w->head.type_count; type++) {
        dbk_buffer_put_u64(rest, w->types[type]);
        uint8_t *bits = dbk_buffer_extend(rest, dbk_pack_type_row(blocks) - 8);
        if (!bits) return;
        memset(bits, 0, dbk_pack_type_row(blocks) - 8);
        for (uint32_t i = 0; i < blocks; i++) {
            const uint8_t *of_block = w->type_bits.data + (size_t)i * TYPE_BYTES;
            if (of_block[type / 8] >> type % 8 & 1) bits[i / 8] |= (uint8_t)(1u << i % 8);
        }
    }
}

static dbk_result finish(pack_writer *w, dbk_error *err)
{
    const dbk_segment *segment = &w->job->segment;
    dbk_buffer rest;

    bool all = w->head.first_position == segment->first_position && w->state->position == segment->last_position;
    if (!all || w->last_offset != segment->seal_offset) {
        return dbk_log_bad_record(segment, segment->seal_offset, segment->first_position, segment->last_position, err);
    }
    w->head.last_position = segment->last_position;
    w->head.seal_offset = segment->seal_offset;
    memcpy(w->head.top, w->totals.top, sizeof(w->head.top));
    w->head.ordered = w->totals.ordered;
    dbk_buffer_init(&rest, w->job->port);
    put_rest(w, &rest);
    dbk_result rc = rest.failed ? dbk_fail(err, DBK_NO_MEMORY, "cannot pack '%s': out of memory", segment->name)
                                : dbk_pack_sink_finish(&w->sink, dbk_buffer_slice(&rest), &w->head, err);
    dbk_buffer_release(&rest);
    return rc;
}

/* Before the plain form goes, the packed one has come back from the disk whole. */
static dbk_result read_back(const pack_writer *w, dbk_error *err)
{
    const dbk_pack_job *job = w->job;
    dbk_unpacker *unpacker = NULL;
    dbk_image *image;
    dbk_buffer plain;

    (void)job->port->drop_cache(job->port->ctx, w->sink.file, 0, w->head.file_bytes);
    dbk_result rc = dbk_image_open(job->port, job->dir, job->name, &image, err);
    if (rc != DBK_OK) return rc;
    dbk_buffer_init(&plain, job->port);
    if (!image->packed || memcmp(&image->head.head, &w->head.head, DBK_LEAF_SIZE) != 0)
        rc = dbk_fail(err, DBK_CORRUPT, "'%s' does not read back as it was written", job->name);
    for (uint32_t i = 0; rc == DBK_OK && i < image->head.block_count; i++) {
        dbk_buffer_clear(&plain);
        uint8_t *room = dbk_buffer_extend(&plain, image->blocks[i].plain_bytes);
        rc = room ? dbk_image_read_block(image, &unpacker, i, room, err)
                  : dbk_fail(err, DBK_NO_MEMORY, "cannot pack '%s': out of memory", job->segment.name);
        if (rc == DBK_OK && job->stop && job->stop(job->arg)) rc = DBK_END;
    }
    dbk_buffer_release(&plain);
    dbk_unpacker_free(unpacker);
    dbk_image_close(image);
    return rc;
}

static dbk_result write_file(pack_writer *w, dbk_error *err)
{
    const dbk_pack_job *job = w->job;
    dbk_scanner scanner;

    dbk_result rc = dbk_pack_train(job, &w->dictionary, err);
    if (rc != DBK_OK) return rc;
    rc = dbk_pack_sink_open(&w->sink, job->port, job->dir, job->name, &job->segment.header,
                            dbk_buffer_slice(&w->dictionary), err);
    if (rc != DBK_OK) return rc;
    dbk_scanner_init(&scanner, job->image, &job->segment);
    rc = read_records(w, &scanner, err);
    dbk_scanner_release(&scanner);
    if (rc == DBK_OK) rc = finish(w, err);
    return rc == DBK_OK ? read_back(w, err) : rc;
}

dbk_result dbk_pack_write(const dbk_pack_job *job, dbk_pack_head *head, dbk_error *err)
{
    pack_writer *w = dbk_alloc_zero(job->port, 1, sizeof(*w));

    if (!w) return dbk_fail(err, DBK_NO_MEMORY, "cannot pack '%s': out of memory", job->segment.name);
    w->job = job;
    w->totals.ordered = true;
    w->types_known = true;
    dbk_buffer_init(&w->dictionary, job->port);
    dbk_buffer_init(&w->records, job->port);
    dbk_buffer_init(&w->type_bits, job->port);
    w->state = dbk_alloc(job->port, sizeof(*w->state));
    w->roots = dbk_alloc(job->port, sizeof(*w->roots));
    dbk_result rc = w->state && w->roots
                        ? write_file(w, err)
                        : dbk_fail(err, DBK_NO_MEMORY, "cannot pack '%s': out of memory", job->segment.name);
    if (rc == DBK_OK) *head = w->head;
    dbk_pack_sink_release(&w->sink);
    dbk_buffer_release(&w->dictionary);
    dbk_buffer_release(&w->records);
    dbk_buffer_release(&w->type_bits);
    dbk_free(job->port, w->state);
    dbk_free(job->port, w->roots);
    dbk_free(job->port, w);
    return rc;
}
