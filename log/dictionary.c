/* The dictionary of a packed segment, trained on entries from all over it. Small cells repeat little within themselves;
 * what they have in common with one another stands in the dictionary once.
 *
 * ZDICT has memory of its own, unlike the rest of zstd here: where it gets none, the segment has no dictionary. */
#define ZDICT_STATIC_LINKING_ONLY
#include "log/pack_write.h"

#include <zdict.h>

/* SAMPLE_BYTES: of one entry; SAMPLES_PER_BYTE: so much is looked at for each byte of the dictionary. */
enum { DICTIONARY_BYTES = 16 * 1024, LEAST = 256, DICTIONARY_SHARE = 128, SAMPLE_BYTES = 2048, SAMPLES_PER_BYTE = 64 };

typedef struct samples {
    dbk_buffer bytes, sizes;
    size_t wanted;
    uint64_t of, seen; /* bytes of the segment, and behind it so far */
} samples;

/* Without the hash of the command, which no cell has among what is compressed. */
static void take(samples *s, dbk_slice origin)
{
    enum { BEHIND = DBK_COMMAND_HASH_AT + DBK_COMMAND_HASH_SIZE };

    s->seen += origin.size;
    if (s->bytes.size >= s->wanted || s->bytes.size * s->of > s->wanted * s->seen) return;
    if (origin.size < BEHIND) return;
    size_t behind = origin.size - BEHIND < SAMPLE_BYTES ? origin.size - BEHIND : SAMPLE_BYTES;
    size_t size = 4 + DBK_COMMAND_HASH_AT + behind;
    dbk_buffer_put(&s->bytes, origin.data - 4, 4 + DBK_COMMAND_HASH_AT);
    dbk_buffer_put(&s->bytes, origin.data + BEHIND, behind);
    dbk_buffer_put(&s->sizes, &size, sizeof(size));
}

static dbk_result gather(const dbk_pack_job *job, samples *s, dbk_error *err)
{
    const dbk_segment *segment = &job->segment;
    dbk_expect expect = {segment->first_position, 0, true};
    dbk_scanner scanner;
    dbk_result rc = DBK_OK;
    uint64_t bytes = 0;

    dbk_scanner_init(&scanner, job->image, segment);
    for (uint64_t at = DBK_SEGMENT_DATA_OFFSET; at < segment->seal_offset; at += bytes) {
        dbk_slice rest, origin;
        dbk_record record;
        const uint8_t *whole;
        dbk_head head;
        if (job->stop && job->stop(job->arg)) rc = DBK_END;
        if (rc == DBK_OK) rc = dbk_scan_record(&scanner, at, &expect, &record, &whole, &bytes, &head, err);
        if (rc != DBK_OK || head != DBK_HEAD_RECORD) break; /* whoever packs finds it again, and says what it is */
        expect = (dbk_expect){expect.position + record.count, record.checksum, false};
        if (record.type != DBK_RECORD_ENTRIES) continue;
        rest = dbk_slice_of(whole + DBK_RECORD_HEADER_SIZE, record.payload_bytes);
        while (dbk_record_next_origin(&rest, &origin)) take(s, origin);
    }
    dbk_scanner_release(&scanner);
    return rc;
}

static void train(const samples *s, size_t size, dbk_buffer *out)
{
    const ZDICT_fastCover_params_t parameters = {
        .k = size / 4 < 512 ? (unsigned)size / 4 : 512, /* bytes of a piece taken over */
        .d = 8,
        .f = size < 4096 ? 12 : 16, /* memory of the training, as a power of two */
        .accel = 4,
        .zParams = {.compressionLevel = DBK_PACK_LEVEL}};
    uint8_t *room = dbk_buffer_extend(out, size);
    unsigned count = (unsigned)(s->sizes.size / sizeof(size_t));

    if (!room || s->bytes.failed || s->sizes.failed) return;
    size_t made = ZDICT_trainFromBuffer_fastCover(room, size, s->bytes.data,
                                                  (const size_t *)(const void *)s->sizes.data, count, parameters);
    out->size = ZDICT_isError(made) ? 0 : made;
}

dbk_result dbk_pack_train(const dbk_pack_job *job, dbk_buffer *out, dbk_error *err)
{
    uint64_t of = job->segment.seal_offset - DBK_SEGMENT_DATA_OFFSET;
    size_t size = of / DICTIONARY_SHARE < DICTIONARY_BYTES ? (size_t)(of / DICTIONARY_SHARE) : DICTIONARY_BYTES;

    if (size < LEAST) size = LEAST;
    samples s = {.wanted = size * SAMPLES_PER_BYTE, .of = of};
    dbk_buffer_init(&s.bytes, job->port);
    dbk_buffer_init(&s.sizes, job->port);
    dbk_result rc = gather(job, &s, err);
    if (rc == DBK_OK) train(&s, size, out);
    if (rc == DBK_OK && (out->failed || s.bytes.failed || s.sizes.failed))
        rc = dbk_fail(err, DBK_NO_MEMORY, "cannot pack '%s': out of memory", job->segment.name);
    dbk_buffer_release(&s.bytes);
    dbk_buffer_release(&s.sizes);
    return rc;
}
