/* Blocks with cells: that they give the plain form again, and what damage leads to: to a dictionary, and to each part
 * of a block, which tells it by itself. */
#include "packed_fixture.h"

#include "log/cells_read.h"

static const char two[] = "log/0000000000000002.seg";

/* One copy of a dictionary is enough, and the other's damage is told; without both the entries cannot be read. */
static void test_two_dictionaries(void **state)
{
    dbk_log_report report;
    world w;

    (void)state;
    dbk_simdisk_image *image = world_packed(&w, 40, 6);
    dbk_pack_head head = pack_head_of(&w, two);
    assert_true(head.celled && head.dictionary_bytes > 100);
    for (int kind = 1; kind <= 3; kind++) {
        dbk_simdisk_restore(w.disk, image);
        if (kind & 1) assert_int_equal(dbk_simdisk_flip_bit(w.disk, two, DBK_PACK_HEAD_SIZE + 30, 2), 0);
        if (kind & 2) assert_int_equal(dbk_simdisk_flip_bit(w.disk, two, head.table_offset - 30, 2), 0);
        w.dir = root_of(w.port);
        assert_int_equal(dbk_log_verify(w.port, w.dir, &w.options, DBK_VERIFY_PROOF, NULL, &report, NULL), DBK_OK);
        assert_true(report.faults > 0);
        if (kind < 3) {
            assert_int_equal(report.faults, 1);
            assert_int_equal(report.entries, 240);
            assert_int_equal(world_open(&w, NULL), DBK_OK);
            check_entries(w.log, 0);
            world_close(&w);
            continue;
        }
        assert_true(report.entries < 240 && report.entries >= 240 - (head.last_position - head.first_position + 1));
        w.port->close_dir(w.port->ctx, w.dir);
        w.dir = NULL;
        (void)dbk_simdisk_remove(w.disk, "log/CATALOG"); /* which opening would believe */
        assert_int_equal(world_open(&w, NULL), DBK_CORRUPT);
        world_close(&w);
    }
    world_free(&w);
}

/* The file of a sealed segment shrinks, and an image of it reads byte for byte as the plain one. */
static void same_bytes(size_t count, size_t data_bytes)
{
    world plain, packed;
    dbk_image *image[2];
    dbk_unpacker *unpacker = NULL;
    uint8_t *bytes[2];
    size_t got;

    keep_plain = true;
    world_new(&plain, 5);
    keep_plain = false;
    world_new(&packed, 5);
    for (size_t i = 1; i < 80; i++) {
        size_t now = count ? count : i % 9;
        assert_int_equal(append_sized(plain.log, now, data_bytes, NULL), DBK_OK);
        assert_int_equal(append_sized(packed.log, now, data_bytes, NULL), DBK_OK);
    }
    check_entries(packed.log, data_bytes);
    int64_t size = dbk_simdisk_size(plain.disk, two);
    assert_true(dbk_simdisk_size(packed.disk, two) < size / 3);
    for (int i = 0; i < 2; i++) {
        world *w = i ? &packed : &plain;
        assert_int_equal(dbk_image_open(w->port, w->dir, "0000000000000002.seg", &image[i], NULL), DBK_OK);
        assert_int_equal(image[i]->packed, i);
        bytes[i] = malloc((size_t)size);
        assert_int_equal(dbk_image_read(image[i], &unpacker, 8192, bytes[i], (size_t)size - 8192, &got, NULL), DBK_OK);
        assert_int_equal(got, size - 8192);
    }
    assert_memory_equal(bytes[0], bytes[1], (size_t)size - 8192);
    for (uint64_t at = 8192; at < (uint64_t)size; at += 777) { /* any part of it */
        size_t want = (at * 31) % 3000;
        assert_int_equal(dbk_image_read(image[1], &unpacker, at, bytes[1], want, &got, NULL), DBK_OK);
        assert_memory_equal(bytes[1], bytes[0] + (at - 8192), got);
        assert_true(got == want || at + got == (uint64_t)size);
    }
    for (int i = 0; i < 2; i++) {
        dbk_image_close(image[i]);
        free(bytes[i]);
    }
    dbk_unpacker_free(unpacker);
    world_free(&plain);
    world_free(&packed);
}

/* Batches of no, one and several entries; single ones, whose heads are computed; and such as are cut. */
static void test_same_bytes(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        with_hashes = i;
        same_bytes(0, 0);
        same_bytes(1, 60);
        same_bytes(1, 3000);
        same_bytes(40, 900);
        same_bytes(3, 20000);
    }
    with_hashes = false;
}

/* ---- one block, and what damage to each part of it says */

typedef struct looker {
    world w;
    dbk_image *image;
    dbk_unpacker *unpacker;
    dbk_open_block *block;
    dbk_error err;
    uint32_t index; /* of a block with several cells */
} looker;

static void look_new(looker *l, bool hashes)
{
    memset(l, 0, sizeof(*l));
    with_hashes = hashes;
    world_packed(&l->w, 60, 6);
    with_hashes = false;
    l->w.dir = root_of(l->w.port);
    assert_int_equal(dbk_image_open(l->w.port, l->w.dir, two + 4, &l->image, NULL), DBK_OK);
    l->unpacker = dbk_unpacker_new(l->w.port);
    for (;; l->index++) {
        assert_true(l->index < l->image->head.block_count);
        assert_int_equal(dbk_image_open_block(l->image, l->unpacker, l->index, &l->block, NULL), DBK_OK);
        if (l->block->front.cell_count > 2) break;
    }
    assert_int_equal(l->block->front.hashes_apart, hashes);
}

static void look_free(looker *l)
{
    dbk_unpacker_free(l->unpacker);
    dbk_image_close(l->image);
    world_free(&l->w);
}

/* Opens the block anew. */
static dbk_result open_again(looker *l)
{
    l->block->place.salt = 0;
    l->err = (dbk_error){0};
    return dbk_image_open_block(l->image, l->unpacker, l->index, &l->block, &l->err);
}

static dbk_pack_cell *cell_of(looker *l, uint32_t cell)
{
    return (dbk_pack_cell *)(void *)l->block->cells.data + cell;
}

static dbk_result read_cell(looker *l, uint32_t cell)
{
    static uint8_t out[DBK_PACK_BLOCK_PLAIN];

    l->err = (dbk_error){0};
    return dbk_image_read_cell(l->image, l->unpacker, l->block, cell, out, &l->err);
}

static void expect_told(looker *l, dbk_result rc, const char *text)
{
    assert_int_equal(rc, DBK_CORRUPT);
    if (!strstr(l->err.text, text)) fail_msg("'%s' is not in: %s", text, l->err.text);
}

/* A bit of the file, in each of its bytes: of a front its checksum tells, of a cell the cell's, and the block's other
 * cells can be read. */
static void each_byte(bool hashes)
{
    looker l;

    look_new(&l, hashes);
    uint64_t offset = l.image->blocks[l.index].offset;
    uint32_t bytes = l.image->blocks[l.index].bytes, front = l.block->front.bytes;
    for (uint32_t at = 0; at < bytes; at++) {
        assert_int_equal(dbk_simdisk_flip_bit(l.w.disk, two, offset + at, at % 8), 0);
        dbk_result rc = open_again(&l);
        if (at < front) expect_told(&l, rc, "the checksum of a block differs");
        for (uint32_t i = 0; at >= front && i < l.block->front.cell_count; i++) {
            const dbk_pack_cell *cell = dbk_block_cell(l.block, i);
            bool hit = at >= cell->offset && at < cell->offset + cell->stored;
            rc = read_cell(&l, i);
            if (hit) expect_told(&l, rc, "the checksum of a cell differs");
            else assert_int_equal(rc, DBK_OK);
        }
        assert_int_equal(dbk_simdisk_flip_bit(l.w.disk, two, offset + at, at % 8), 0);
    }
    assert_int_equal(open_again(&l), DBK_OK);
    look_free(&l);
}

static void test_each_byte(void **state)
{
    (void)state;
    each_byte(false);
    each_byte(true);
}

/* What a front says of a cell is not what the cell is: its content has a checksum of its own, a cell is sound in its
 * place alone, and no more is decompressed than the front says. */
static void test_other_cells(void **state)
{
    looker l;

    (void)state;
    look_new(&l, true);
    dbk_pack_cell own = *cell_of(&l, 1);
    assert_int_equal(read_cell(&l, 1), DBK_OK);
    cell_of(&l, 1)->content_checksum ^= 1;
    expect_told(&l, read_cell(&l, 1), "the checksum of a cell's content differs");
    *cell_of(&l, 1) = own;
    cell_of(&l, 1)->stored_checksum ^= 1;
    expect_told(&l, read_cell(&l, 1), "the checksum of a cell differs");
    *cell_of(&l, 1) = *cell_of(&l, 2);
    expect_told(&l, read_cell(&l, 1), "the checksum of a cell differs");
    *cell_of(&l, 1) = own;
    for (int more = -1; more <= 1; more += 2) {
        cell_of(&l, 1)->content = own.content + (uint32_t)more;
        expect_told(&l, read_cell(&l, 1), "a cell does not decompress");
        *cell_of(&l, 1) = own;
        cell_of(&l, 1)->count = own.count + (uint32_t)more; /* other bytes are hashes then */
        expect_told(&l, read_cell(&l, 1), more > 0 ? "a cell does not decompress" : "a cell");
        *cell_of(&l, 1) = own;
    }
    assert_int_equal(read_cell(&l, 1), DBK_OK);
    look_free(&l);
}

/* Each entry is in the cell that begins at or before it, with the first one of each cell in its own. */
static void test_cell_of_entry(void **state)
{
    looker l;

    (void)state;
    look_new(&l, false);
    for (uint32_t i = 0, entry = 0; i < l.block->front.cell_count; i++) {
        const dbk_pack_cell *cell = dbk_block_cell(l.block, i);
        assert_int_equal(cell->first, entry);
        for (uint32_t k = 0; k < cell->count; k++) assert_int_equal(dbk_block_cell_of(l.block, entry++), i);
    }
    look_free(&l);
}

/* Both copies of the dictionary are another segment's, whole and sound: it is not used. */
static void test_another_dictionary(void **state)
{
    static const char three[] = "log/0000000000000003.seg";
    uint8_t other[32768];
    dbk_pack_head heads[2];
    dbk_error err = {0};
    dbk_image *image;
    world w;

    (void)state;
    world_packed(&w, 60, 6);
    for (int i = 0; i < 2; i++) heads[i] = pack_head_of(&w, i ? three : two);
    size_t size = heads[0].dictionary_bytes;
    assert_int_equal(heads[1].dictionary_bytes, size); /* as long, so that its length does not tell */
    assert_int_not_equal(heads[1].dictionary_checksum, heads[0].dictionary_checksum);
    assert_int_equal(dbk_simdisk_read(w.disk, three, DBK_PACK_HEAD_SIZE, other, size), size);
    assert_int_equal(dbk_simdisk_write(w.disk, two, DBK_PACK_HEAD_SIZE, other, size), 0);
    assert_int_equal(dbk_simdisk_write(w.disk, two, dbk_pack_blocks_end(&heads[0]), other, size), 0);
    w.dir = root_of(w.port);
    assert_int_equal(dbk_image_open(w.port, w.dir, two + 4, &image, &err), DBK_CORRUPT);
    assert_non_null(strstr(err.text, "its dictionary"));
    world_free(&w);
}

/* ---- fronts, by hand */

typedef struct hand {
    dbk_pack_block row;
    uint8_t bytes[512];
    size_t size;
    dbk_front front;
    dbk_buffer cells;
} hand;

static void put_number(hand *h, uint64_t value)
{
    for (; value > 0x7f; value >>= 7) h->bytes[h->size++] = (uint8_t)(value | 0x80);
    h->bytes[h->size++] = (uint8_t)value;
}

static hand hand_begin(uint8_t flags, uint64_t cells)
{
    hand h = {.row = {.plain_offset = 8192, .plain_bytes = 1024, .delta = 3, .received_ms = 9}};

    h.size = DBK_FRONT_HEAD_SIZE;
    h.bytes[h.size++] = flags;
    put_number(&h, cells);
    dbk_buffer_init(&h.cells, dbk_port_system());
    return h;
}

static void put_cell(hand *h, uint64_t stored, uint64_t content, uint64_t count)
{
    put_number(h, stored);
    put_number(h, content);
    put_number(h, count);
    h->size += 8; /* checksums */
}

/* Whether it decodes, with so many bytes of cells behind it. */
static bool hand_ends(hand *h, uint32_t stored)
{
    static const dbk_segment_header header = {.salt = 5};

    h->row.bytes = (uint32_t)h->size + stored;
    dbk_front_finish(&header, &h->row, h->bytes, h->size);
    bool right = dbk_front_decode(dbk_slice_of(h->bytes, h->size), &h->row, &h->front, &h->cells);
    dbk_buffer_release(&h->cells);
    return right;
}

/* Fronts that say more than there can be: of content than the plain form, of entries than content, of cells than
 * bytes. */
static void test_bounds_of_fronts(void **state)
{
    static const struct {
        uint8_t flags;
        uint64_t cells, stored, content, count;
        uint32_t behind;
        bool right;
    } cases[] = {
        {0, 1, 200, 900, 3, 200, true},
        {0, 2, 100, 512, 3, 200, true},
        {0, 2, 100, 513, 3, 200, false}, /* together more than the plain form */
        {0, 1, 200, 1025, 3, 200, false},
        {0, 1, 200, UINT32_MAX, 3, 200, false},
        {0, 1, 200, UINT64_MAX, 3, 200, false},
        {0, 1, 201, 900, 3, 200, false},
        {0, 1, 199, 900, 3, 200, false},
        {0, 1, UINT64_MAX, 900, 3, 200, false},
        {0, 1, 200, 900, 0, 200, false},
        {0, 1, 200, 900, 225, 200, true},
        {0, 1, 200, 900, 226, 200, false},
        {0, 40, 200, 900, 3, 200, false},
        {DBK_CELL_HASHES_APART, 1, 200, 900, 3, 200, true},
        {DBK_CELL_HASHES_APART, 1, 200, 929, 3, 200, false}, /* with hashes more than the plain form */
        {DBK_CELL_HASHES_APART, 1, 200, 700, 7, 200, false}, /* which it has not so many of */
        {64, 1, 200, 900, 3, 200, false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        hand h = hand_begin(cases[i].flags, cases[i].cells);
        for (uint64_t k = 0; k < cases[i].cells && k < 4; k++)
            put_cell(&h, cases[i].stored, cases[i].content, cases[i].count);
        if (hand_ends(&h, cases[i].behind) != cases[i].right) fail_msg("case %d", (int)i);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same_bytes),       cmocka_unit_test(test_two_dictionaries),
        cmocka_unit_test(test_each_byte),        cmocka_unit_test(test_other_cells),
        cmocka_unit_test(test_cell_of_entry),    cmocka_unit_test(test_another_dictionary),
        cmocka_unit_test(test_bounds_of_fronts),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
