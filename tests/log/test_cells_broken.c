/* What is made of blocks that contradict themselves under checksums that are right, without a file: fronts whose row is
 * another, shells, entries and plain forms that are cut, grown and changed anywhere. Memory is as large as it is said
 * to be, for the sanitizer; what comes out is right or refused. And zstd that fails. */
#include "log_fixture.h"

#include "log/cells_read.h"
#include "log/cells_write.h"
#include "log/internal.h"

/* The linker puts these in the place of zstd's. */
static const char *refused; /* the name of the call that fails */
#define ZSTD_STATIC_LINKING_ONLY
#include <zstd.h>
size_t __real_ZSTD_DCtx_setParameter(ZSTD_DCtx *context, ZSTD_dParameter name, int value);
size_t __real_ZSTD_CCtx_setParameter(ZSTD_CCtx *context, ZSTD_cParameter name, int value);
size_t __real_ZSTD_CCtx_refCDict(ZSTD_CCtx *context, const ZSTD_CDict *dictionary);
size_t __wrap_ZSTD_DCtx_setParameter(ZSTD_DCtx *context, ZSTD_dParameter name, int value);
size_t __wrap_ZSTD_CCtx_setParameter(ZSTD_CCtx *context, ZSTD_cParameter name, int value);
size_t __wrap_ZSTD_CCtx_refCDict(ZSTD_CCtx *context, const ZSTD_CDict *dictionary);

static bool fails(const char *name)
{
    return refused && strcmp(refused, name) == 0;
}

size_t __wrap_ZSTD_DCtx_setParameter(ZSTD_DCtx *context, ZSTD_dParameter name, int value)
{
    return fails("d") ? (size_t)-1 : __real_ZSTD_DCtx_setParameter(context, name, value);
}

size_t __wrap_ZSTD_CCtx_setParameter(ZSTD_CCtx *context, ZSTD_cParameter name, int value)
{
    return fails("c") ? (size_t)-1 : __real_ZSTD_CCtx_setParameter(context, name, value);
}

size_t __wrap_ZSTD_CCtx_refCDict(ZSTD_CCtx *context, const ZSTD_CDict *dictionary)
{
    return fails("ref") ? (size_t)-1 : __real_ZSTD_CCtx_refCDict(context, dictionary);
}

/* ---- blocks of a log */

typedef struct block {
    dbk_segment_header header;
    dbk_pack_block row;
    dbk_front front;
    uint64_t position;
    uint8_t *front_bytes, *entries, *plain;
} block;

static uint8_t *copy(const void *data, size_t size)
{
    uint8_t *out = malloc(size);

    assert_true(out || size == 0);
    if (size) memcpy(out, data, size);
    return out;
}

static void rebuild_refused(const block *b, const dbk_front *front, const dbk_pack_block *row, dbk_slice entries,
                            uint64_t *right)
{
    uint8_t *own = copy(entries.data, entries.size), *out = malloc(row->plain_bytes + 1);
    uint8_t *shells = copy(front->shells.data, front->shells.size);
    dbk_front exact = *front;

    exact.shells = dbk_slice_of(shells, front->shells.size);
    if (dbk_cells_rebuild(&b->header, &exact, row, b->position, dbk_slice_of(own, entries.size), out)) ++*right;
    free(shells);
    free(own);
    free(out);
}

static void break_block(const block *b)
{
    dbk_slice entries = dbk_slice_of(b->entries, (size_t)b->front.payload_bytes);
    dbk_pack_block row = b->row;
    dbk_front front = b->front;
    uint64_t right = 0;

    rebuild_refused(b, &front, &row, entries, &right);
    assert_int_equal(right, 1);
    for (uint32_t size = 0; size < b->row.plain_bytes + 700; size += size < 3000 ? 64 : 509) {
        row.plain_bytes = size;
        if (size != b->row.plain_bytes) rebuild_refused(b, &front, &row, entries, &right);
    }
    row = b->row;
    for (size_t size = 0; size < entries.size; size += size < 500 ? 3 : 401)
        rebuild_refused(b, &front, &row, dbk_slice_of(entries.data, size), &right);
    for (size_t size = 0; size < b->front.shells.size; size += size < 200 ? 1 : 7) {
        front.shells.size = size;
        rebuild_refused(b, &front, &row, entries, &right);
    }
    row.continued = !row.continued;
    front = b->front;
    rebuild_refused(b, &front, &row, entries, &right);
    assert_int_equal(right, 1);
    row = b->row;
    for (int flag = 0; flag < 2; flag++) { /* what is computed then differs from what is there */
        front.heads_computed = !b->front.heads_computed;
        front.hashes_apart = flag;
        rebuild_refused(b, &front, &row, entries, &right);
    }
}

/* Each byte of the shells and of the lengths of entries, to several others. */
static void twist_block(const block *b)
{
    static const uint8_t twists[] = {0x01, 0x10, 0x80, 0x7f, 0xff};
    uint8_t *entries = copy(b->entries, (size_t)b->front.payload_bytes);
    uint8_t *shells = copy(b->front.shells.data, b->front.shells.size);
    dbk_front front = b->front;
    uint64_t right = 0;

    front.shells.data = shells;
    for (size_t k = 0; k < sizeof(twists); k++) {
        for (size_t i = 0; i < front.shells.size; i += i < 400 ? 1 : 11) {
            shells[i] ^= twists[k];
            rebuild_refused(b, &front, &b->row, dbk_slice_of(entries, (size_t)front.payload_bytes), &right);
            shells[i] ^= twists[k];
        }
        for (size_t i = 0; i < front.payload_bytes; i += i < 8 ? 1 : 173) {
            entries[i] ^= twists[k];
            rebuild_refused(b, &front, &b->row, dbk_slice_of(entries, (size_t)front.payload_bytes), &right);
            entries[i] ^= twists[k];
        }
    }
    free(shells);
    free(entries);
}

/* A front under another row than its own. */
static void other_rows(const block *b)
{
    dbk_buffer cells;
    dbk_front front;

    dbk_buffer_init(&cells, dbk_port_system());
    for (int field = 0; field < 7; field++) {
        dbk_pack_block row = b->row;
        if (field == 1) row.bytes++;
        if (field == 2) row.plain_offset++;
        if (field == 3) row.plain_bytes++;
        if (field == 4) row.delta++;
        if (field == 5) row.received_ms++;
        if (field == 6) row.continued = !row.continued;
        assert_int_equal(dbk_front_decode(dbk_slice_of(b->front_bytes, b->front.bytes), &row, &front, &cells), !field);
    }
    for (size_t size = 0; size < b->front.bytes; size++) {
        dbk_slice part = dbk_slice_of(b->front_bytes, size);
        dbk_pack_block row;
        assert_false(dbk_front_row(&b->header, part, &row));
        assert_false(dbk_front_decode(part, &b->row, &front, &cells) && size + 1 < b->front.bytes && front.shells.size);
    }
    dbk_buffer_release(&cells);
}

static unsigned blocks_tried, continued, computed;

static void each_block(dbk_image *image)
{
    dbk_unpacker *unpacker = dbk_unpacker_new(image->port);
    dbk_open_block *open;

    for (uint32_t index = 0; index < image->head.block_count; index++) {
        assert_int_equal(dbk_image_open_block(image, unpacker, index, &open, NULL), DBK_OK);
        block b = {.header = image->header, .row = image->blocks[index], .front = open->front};
        b.position = image->head.first_position + b.row.delta;
        b.front_bytes = copy(open->data.data, b.front.bytes);
        b.front.shells.data = b.front_bytes + (open->front.shells.data - open->data.data);
        b.entries = malloc((size_t)b.front.payload_bytes + 1);
        size_t at = 0;
        for (uint32_t i = 0; i < b.front.cell_count; i++) {
            assert_int_equal(dbk_image_read_cell(image, unpacker, open, i, b.entries + at, NULL), DBK_OK);
            at += dbk_cell_payload(&b.front, dbk_block_cell(open, i));
        }
        break_block(&b);
        twist_block(&b);
        other_rows(&b);
        blocks_tried++;
        continued += b.row.continued;
        computed += b.front.heads_computed;
        free(b.front_bytes);
        free(b.entries);
    }
    dbk_unpacker_free(unpacker);
}

/* Batches of no, one and several entries; single ones, whose heads are computed; and such as are cut into blocks. */
static void test_each_block(void **state)
{
    static const struct {
        size_t count, data_bytes;
    } shapes[] = {{5, 0}, {0, 0}, {1, 60}, {40, 900}, {2, 20000}};

    (void)state;
    for (size_t i = 0; i < sizeof(shapes) / sizeof(*shapes); i++) {
        world w;
        dbk_image *image;
        with_hashes = i % 2;
        world_new(&w, 41);
        for (size_t k = 1; w.log->segment_count < 4; k++)
            assert_int_equal(append_sized(w.log, shapes[i].count ? shapes[i].count : k % 7, shapes[i].data_bytes, NULL),
                             DBK_OK);
        assert_int_equal(dbk_segment_pin(w.log, w.log->segments[1], &image, NULL), DBK_OK);
        assert_true(image->packed && image->head.celled);
        each_block(image);
        dbk_segment_unpin(w.log, image);
        world_free(&w);
    }
    with_hashes = false;
    assert_true(blocks_tried > 10 && continued > 0 && computed > 0);
}

/* ---- cells with their hashes apart */

/* Contents and hashes of every length up to those of two entries. */
static void test_join(void **state)
{
    enum { BEHIND = 40, ENTRY = DBK_COMMAND_HASH_AT + DBK_COMMAND_HASH_SIZE + BEHIND, PLAIN = 4 + ENTRY };
    uint8_t whole[2 * PLAIN], content[2 * (PLAIN - DBK_COMMAND_HASH_SIZE)], hashes[2 * DBK_COMMAND_HASH_SIZE];
    size_t in_content = 0;

    (void)state;
    for (size_t i = 0; i < sizeof(whole); i++) whole[i] = (uint8_t)(i * 7);
    for (size_t k = 0; k < 2; k++) {
        uint8_t *from = whole + k * PLAIN;
        dbk_store_u32(from, ENTRY);
        memcpy(content + in_content, from, 4 + DBK_COMMAND_HASH_AT);
        in_content += 4 + DBK_COMMAND_HASH_AT;
        memcpy(hashes + k * DBK_COMMAND_HASH_SIZE, from + 4 + DBK_COMMAND_HASH_AT, DBK_COMMAND_HASH_SIZE);
        memcpy(content + in_content, from + 4 + DBK_COMMAND_HASH_AT + DBK_COMMAND_HASH_SIZE, BEHIND);
        in_content += BEHIND;
    }
    for (size_t size = 0; size <= in_content; size++) {
        for (size_t count = 0; count <= 2; count++) {
            uint8_t *own = copy(content, size), *out = malloc(sizeof(whole));
            bool joined =
                dbk_cell_join(dbk_slice_of(own, size), dbk_slice_of(hashes, count * DBK_COMMAND_HASH_SIZE), out);
            assert_int_equal(joined, size == count * (in_content / 2));
            if (joined) assert_memory_equal(out, whole, count * PLAIN);
            free(own);
            free(out);
        }
    }
    for (uint32_t lie = 0; lie < 2; lie++) {
        uint8_t out[sizeof(whole)];
        dbk_store_u32(content, lie ? UINT32_MAX : DBK_COMMAND_HASH_AT + DBK_COMMAND_HASH_SIZE - 1);
        assert_false(dbk_cell_join(dbk_slice_of(content, in_content), dbk_slice_of(hashes, sizeof(hashes)), out));
    }
}

/* ---- zstd */

static void test_frames(void **state)
{
    uint8_t plain[5000] = {0}, out[5001];
    char packed[6000];
    size_t plain_bytes;

    (void)state;
    for (size_t i = 0; i < sizeof(plain); i++) plain[i] = (uint8_t)(i / 50);
    size_t size = ZSTD_compress(packed, sizeof(packed) - 10, plain, sizeof(plain), 3);
    memset(packed + size, 0x77, 10);
    dbk_slice frame = dbk_slice_of(packed, size), longer = dbk_slice_of(packed, size + 10);
    dbk_unpacker *unpacker = dbk_unpacker_new(dbk_port_system());
    assert_true(dbk_unpacker_run(unpacker, frame, out, sizeof(plain)));
    assert_memory_equal(out, plain, sizeof(plain));
    assert_false(dbk_unpacker_run(unpacker, longer, out, sizeof(plain)));
    assert_false(dbk_unpacker_run(unpacker, frame, out, sizeof(plain) + 1));
    assert_false(dbk_unpacker_run(unpacker, dbk_slice_of(packed, size - 1), out, sizeof(plain)));
    assert_false(dbk_unpacker_run_cell(unpacker, dbk_slice_of(packed, 0), NULL, out, 10));
    refused = "d";
    assert_false(dbk_unpacker_run(unpacker, frame, out, sizeof(plain)));
    refused = NULL;
    assert_int_equal(dbk_unpacker_frame(frame, &plain_bytes), size);
    assert_int_equal(plain_bytes, sizeof(plain));
    assert_int_equal(dbk_unpacker_frame(longer, &plain_bytes), size);
    for (size_t cut = 0; cut < size; cut += 1 + cut / 8)
        assert_int_equal(dbk_unpacker_frame(dbk_slice_of(packed, cut), &plain_bytes), 0);
    ZSTD_CCtx *unsized = ZSTD_createCCtx(); /* a frame that does not say its size */
    assert_false(ZSTD_isError(ZSTD_CCtx_setParameter(unsized, ZSTD_c_contentSizeFlag, 0)));
    size = ZSTD_compress2(unsized, packed, sizeof(packed), plain, sizeof(plain));
    ZSTD_freeCCtx(unsized);
    assert_int_equal(dbk_unpacker_frame(dbk_slice_of(packed, size), &plain_bytes), 0);
    static const uint8_t skippable[] = {0x50, 0x2a, 0x4d, 0x18, 2, 0, 0, 0, 1, 2};
    assert_int_equal(dbk_unpacker_frame(dbk_slice_of(skippable, sizeof(skippable)), &plain_bytes), 0);
    dbk_unpacker_free(unpacker);
    dbk_unpacker_free(NULL);
}

/* Fewer bytes than say what they begin, and a front that is said to be shorter than one can be. */
static void test_beginnings(void **state)
{
    uint8_t bytes[512];

    (void)state;
    memset(bytes, 0, sizeof(bytes));
    assert_false(dbk_unpacker_begins(dbk_slice_of(bytes, 3)));
    assert_false(dbk_unpacker_begins(dbk_slice_of(bytes, 4)));
    assert_false(dbk_front_begins(dbk_slice_of(bytes, 3)));
    assert_false(dbk_front_begins(dbk_slice_of(bytes, 4)));
    dbk_pack_block row = {.bytes = 100};
    dbk_segment_header header = {.salt = 1};
    for (uint32_t size = 0; size < sizeof(bytes); size += 5) {
        dbk_front_finish(&header, &row, bytes, DBK_FRONT_HEAD_SIZE + 8);
        dbk_store_u32(bytes + 4, size);
        uint32_t said = dbk_front_bytes(dbk_slice_of(bytes, 200));
        assert_true(said == 0 || (said == size && size > DBK_FRONT_HEAD_SIZE && size <= 200));
    }
}

static void test_zstd_fails(void **state)
{
    uint8_t plain[3000] = {0}, out[3000], dictionary[600];
    dbk_slice content = dbk_slice_of(plain, sizeof(plain)), packed;
    bool sound;

    (void)state;
    for (size_t i = 0; i < sizeof(plain); i++) plain[i] = (uint8_t)(i / 9);
    refused = "c";
    assert_null(dbk_packer_new(dbk_port_system(), dbk_slice_of(NULL, 0)));
    refused = NULL;
    dbk_packer *packer = dbk_packer_new(dbk_port_system(), dbk_slice_of(NULL, 0));
    assert_non_null(packer);
    refused = "ref";
    assert_false(dbk_packer_run(packer, content, &packed));
    refused = NULL;
    assert_true(dbk_packer_run(packer, content, &packed));
    dbk_unpacker *unpacker = dbk_unpacker_new(dbk_port_system());
    refused = "d";
    assert_false(dbk_unpacker_run_cell(unpacker, packed, NULL, out, sizeof(out)));
    refused = NULL;
    assert_false(dbk_unpacker_run_cell(unpacker, packed, NULL, out, sizeof(out) - 1));
    assert_true(dbk_unpacker_run_cell(unpacker, packed, NULL, out, sizeof(out)));
    assert_memory_equal(out, plain, sizeof(plain));
    memset(dictionary, 0x55, sizeof(dictionary)); /* none of zstd's */
    assert_null(dbk_dictionary_new(dbk_port_system(), dbk_slice_of(dictionary, sizeof(dictionary)), &sound));
    assert_false(sound);
    assert_null(dbk_packer_new(dbk_port_system(), dbk_slice_of(dictionary, sizeof(dictionary))));
    dbk_dictionary_free(NULL);
    dbk_packer_free(NULL);
    dbk_packer_free(packer);
    dbk_unpacker_free(unpacker);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_block), cmocka_unit_test(test_join),       cmocka_unit_test(test_frames),
        cmocka_unit_test(test_beginnings), cmocka_unit_test(test_zstd_fails),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
