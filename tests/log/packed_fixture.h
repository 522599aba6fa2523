/* Packed segments of a log on a simulated disk. */
#ifndef DBK_TEST_PACKED_FIXTURE_H
#define DBK_TEST_PACKED_FIXTURE_H

#include "log_fixture.h"

#include "log/internal.h"
#include "log/pack.h"

/* A closed log of some packed segments; its last one is plain. */
static inline dbk_simdisk_image *world_packed(world *w, size_t batches, size_t count)
{
    world_new(w, 11);
    for (size_t i = 0; i < batches; i++) assert_int_equal(append(w->log, count), DBK_OK);
    for (size_t i = 0; i + 1 < w->log->segment_count; i++) assert_true(w->log->segments[i]->packed);
    assert_true(w->log->segment_count > 2);
    world_close(w);
    return dbk_simdisk_snapshot(w->disk);
}

static inline dbk_pack_head pack_head_of(const world *w, const char *path)
{
    uint8_t bytes[DBK_PACK_HEAD_SIZE];
    dbk_segment_header header;
    dbk_pack_head head;

    assert_int_equal(dbk_simdisk_read(w->disk, path, 0, bytes, sizeof(bytes)), sizeof(bytes));
    assert_int_equal(dbk_pack_head_decode(bytes, &header, &head), DBK_DECODED_OK);
    return head;
}

#endif
