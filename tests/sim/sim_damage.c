/* Damage to a store that is closed: refused with nothing touched (L3), or without consequence (L1). */
#include "log/format.h"
#include "tests/sim/sim.h"

#include <stdio.h>
#include <stdlib.h>

enum { SEGMENT_BYTES_MAX = 32768 };

static void segment_path(uint64_t number, char path[64])
{
    snprintf(path, 64, "store/log/%016llx.seg", (unsigned long long)number);
}

/* The highest segment with a record in it; 0: none. */
static uint64_t last_segment(sim_machine *m, dbk_buffer *bytes)
{
    char path[64];
    uint64_t last = 0;
    for (uint64_t number = 1;; number++) {
        segment_path(number, path);
        int64_t size = dbk_simdisk_size(m->disk, path);
        if (size < 0) return last;
        dbk_buffer one;
        dbk_buffer_init(&one, dbk_port_system());
        uint8_t *at = dbk_buffer_extend(&one, (size_t)size);
        if (!at || dbk_simdisk_read(m->disk, path, 0, at, (size_t)size) != size) abort();
        bool used = size > DBK_SEGMENT_DATA_OFFSET && !dbk_all_zero(at + DBK_SEGMENT_DATA_OFFSET, DBK_UNIT_MIN);
        if (used) {
            dbk_buffer_release(bytes);
            *bytes = one;
            last = number;
        } else {
            dbk_buffer_release(&one);
        }
    }
}

static size_t used_end(const dbk_buffer *bytes)
{
    size_t end = bytes->size;
    while (end > DBK_SEGMENT_DATA_OFFSET && dbk_all_zero(bytes->data + end - DBK_UNIT_MIN, DBK_UNIT_MIN))
        end -= DBK_UNIT_MIN;
    return end;
}

/* Every entry is as it was, or says that it is damaged: false. Never another one in silence. */
static bool reads_well(sim_machine *m)
{
    dbk_log *log = dbk_engine_log(m->engine);
    dbk_buffer origin;
    bool well = true;
    if (dbk_log_position(log) != m->oracle.seen)
        sim_fail(m, "L1: a damaged log ends at %llu, not %llu", (unsigned long long)dbk_log_position(log),
                 (unsigned long long)m->oracle.seen);
    dbk_buffer_init(&origin, dbk_port_system());
    for (uint64_t position = 1; position <= m->oracle.seen; position++) {
        dbk_result result = dbk_log_read(log, position, &origin, NULL, &m->error);
        dbk_hash128 found = dbk_checksum128(dbk_buffer_slice(&origin)), known = m->oracle.origins[position - 1];
        if (result != DBK_OK && result != DBK_CORRUPT) sim_fail(m, "L3: reading a damaged log: %s", m->error.text);
        if (result == DBK_OK && (found.low != known.low || found.high != known.high))
            sim_fail(m, "L3: entry %llu was read with other bytes", (unsigned long long)position);
        well = well && result == DBK_OK;
    }
    dbk_buffer_release(&origin);
    return well;
}

/* Opening must refuse and leave all as it was, or find everything that was acknowledged, but for what
 * it says is damaged. */
static void open_damaged(sim_machine *m, const char *what, bool must_refuse)
{
    uint64_t before = dbk_simdisk_hash(m->disk, "store/log");
    if (sim_open(m) == DBK_OK) {
        if (must_refuse) sim_fail(m, "L3: %s was opened", what);
        if (reads_well(m)) sim_check_laws(m);
    } else if (dbk_simdisk_hash(m->disk, "store/log") != before) {
        sim_fail(m, "L3: %s was refused (%s), and the log changed", what, m->error.text);
    }
    sim_close(m);
}

void sim_check_rot(sim_machine *m)
{
    dbk_buffer bytes;
    char path[64], what[96];
    bool tried = false;
    dbk_buffer_init(&bytes, dbk_port_system());
    uint64_t last = last_segment(m, &bytes);
    if (last > 0) {
        dbk_simdisk_image *healthy = dbk_simdisk_snapshot(m->disk);
        uint64_t number = 1 + sim_below(&m->random, (uint32_t)last);
        size_t end = number == last ? used_end(&bytes) : SEGMENT_BYTES_MAX;
        uint64_t offset = sim_below(&m->random, (uint32_t)(end - DBK_SEGMENT_DATA_OFFSET)) + DBK_SEGMENT_DATA_OFFSET;
        segment_path(number, path);
        if (dbk_simdisk_flip_bit(m->disk, path, offset, sim_below(&m->random, 8)) == 0) {
            snprintf(what, sizeof what, "segment %llu with a flipped bit at %llu", (unsigned long long)number,
                     (unsigned long long)offset);
            open_damaged(m, what, false);
            tried = true;
        }
        dbk_simdisk_restore(m->disk, healthy);
        dbk_simdisk_image_free(m->disk, healthy);
    }
    dbk_buffer_release(&bytes);
    if (tried) sim_count_state(m); /* with nothing held: the run may end here */
}

/* ---- records that are sound but cannot be */

typedef struct forge {
    dbk_buffer bytes; /* the last segment */
    dbk_segment_header header;
    uint64_t number;
    dbk_record last;
    uint64_t end; /* behind the last record */
} forge;

static bool find_end(sim_machine *m, forge *f)
{
    dbk_record record;
    memset(f, 0, sizeof *f);
    dbk_buffer_init(&f->bytes, dbk_port_system());
    f->number = last_segment(m, &f->bytes);
    if (f->number == 0 || dbk_segment_header_decode(f->bytes.data, &f->header) != DBK_DECODED_OK) return false;
    f->end = DBK_SEGMENT_DATA_OFFSET;
    while (f->end + DBK_UNIT_MIN <= f->bytes.size &&
           dbk_record_decode(f->bytes.data + f->end, f->header.store_id, &record)) {
        f->last = record;
        f->end += dbk_record_bytes(record.payload_bytes, f->header.unit);
    }
    return f->last.type == DBK_RECORD_ENTRIES || f->last.type == DBK_RECORD_START;
}

/* A batch of one fact that is sound at its place, and of this salt; false: no room. */
static bool put_record(sim_machine *m, const forge *f, uint64_t offset, uint64_t position, uint64_t salt)
{
    uint8_t bytes[8192];
    char path[64];
    dbk_slice origin = m->facts[0].origin;
    dbk_record record = {.type = DBK_RECORD_ENTRIES,
                         .count = 1,
                         .payload_bytes = (uint32_t)(4 + origin.size),
                         .first_position = position,
                         .durable_upto = position - 1,
                         .previous = f->last.checksum,
                         .received_ms = f->last.received_ms,
                         .segment = f->number,
                         .salt = salt,
                         .offset = offset};
    uint64_t size = dbk_record_bytes(record.payload_bytes, f->header.unit);
    if (m->fact_count == 0 || size > sizeof bytes || offset + size > f->bytes.size) return false;
    memcpy(record.head, f->last.head, sizeof record.head);
    dbk_store_u32(bytes + DBK_RECORD_HEADER_SIZE, (uint32_t)origin.size);
    memcpy(bytes + DBK_RECORD_HEADER_SIZE + 4, origin.data, origin.size);
    dbk_record_finish(&record, f->header.store_id, bytes, size);
    segment_path(f->number, path);
    if (dbk_simdisk_write(m->disk, path, offset, bytes, size) != 0) abort();
    return true;
}

/* A record behind the end that leaves positions out: it can only have been made by losing some. */
void sim_check_forged(sim_machine *m)
{
    forge f;
    bool tried = false;
    dbk_simdisk_image *healthy = dbk_simdisk_snapshot(m->disk);
    if (find_end(m, &f)) {
        uint64_t position = f.last.first_position + f.last.count + 1 + sim_below(&m->random, 3);
        tried = put_record(m, &f, f.end, position, f.header.salt);
        if (tried) open_damaged(m, "a log with positions left out", true);
    }
    dbk_simdisk_restore(m->disk, healthy);
    dbk_simdisk_image_free(m->disk, healthy);
    dbk_buffer_release(&f.bytes);
    if (tried) sim_count_state(m);
}

/* Behind the end, where nothing was ever acknowledged, stands a record of an earlier life of the file,
 * sound then: another salt. It proves nothing and must not stop the store. */
void sim_put_stale(sim_machine *m)
{
    forge f;
    if (find_end(m, &f)) {
        uint64_t offset = dbk_round_up(f.end, DBK_UNIT_MAX) + DBK_UNIT_MAX * sim_below(&m->random, 2);
        (void)put_record(m, &f, offset, f.last.first_position + f.last.count + sim_below(&m->random, 4),
                         f.header.salt ^ 0x5a5a5a);
    }
    dbk_buffer_release(&f.bytes);
}
