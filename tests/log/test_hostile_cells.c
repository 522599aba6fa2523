/* Fronts that lie, under checksums that are right, and cells of other bytes: nothing is lost silently, no entry is
 * given for another one, and little memory is asked for. */
#include "lies.h"

#include "log/cells_read.h"
#include "log/cells_write.h"

#include "tests/support/step.h"

typedef struct celled {
    dbk_segment_header header;
    dbk_pack_head head;
    uint8_t file[32768];
} celled;

static const char two[] = "log/0000000000000002.seg";

static void read_celled(world *w, celled *c)
{
    assert_int_equal(dbk_simdisk_read(w->disk, two, 0, c->file, sizeof(c->file)), dbk_simdisk_size(w->disk, two));
    assert_int_equal(dbk_pack_head_decode(c->file, &c->header, &c->head), DBK_DECODED_OK);
    assert_true(c->head.celled);
}

/* The caller's to free. */
static celled *celled_of(world *w)
{
    celled *c = malloc(sizeof(*c));

    assert_non_null(c);
    read_celled(w, c);
    return c;
}

/* A block of the file with everything right above its cells: the front's checksum, the block's, the table's. */
static void mend_block(world *w, celled *c, uint32_t index, dbk_pack_block *block)
{
    uint8_t *front = c->file + block->offset,
            *row = c->file + c->head.table_offset + DBK_PACK_BLOCK_ROW * (size_t)index;
    size_t size = dbk_load_u32(front + 4);

    dbk_front_finish(&c->header, block, front, size);
    block->checksum = dbk_pack_block_checksum(&c->header, index, dbk_slice_of(front, size));
    dbk_pack_block_encode(block, row);
    dbk_simdisk_write(w->disk, two, block->offset, front, block->bytes);
    mend_table(w, two, c->head.table_offset, c->file + c->head.table_offset, (size_t)dbk_pack_table_bytes(&c->head));
}

static dbk_pack_block block_of(const celled *c, uint32_t index)
{
    dbk_pack_block *blocks = calloc(c->head.block_count, sizeof(*blocks));

    assert_true(index < c->head.block_count);
    assert_true(dbk_pack_blocks_decode(
        &c->head, dbk_slice_of(c->file + c->head.table_offset, (size_t)c->head.block_count * DBK_PACK_BLOCK_ROW),
        blocks));
    dbk_pack_block out = blocks[index];
    free(blocks);
    return out;
}

static uint32_t step = 1;

/* Entry by entry, and by type and stream: right, or told. */
static void ask_slowly(world *w, const char *what)
{
    const dbk_log_wish wishes[] = {{.type = dbk_slice_text("note.put"), .first = 3},
                                   {.type = dbk_slice_text("note.none"), .reverse = true},
                                   {.stream = dbk_slice_text("note/3")}};

    w->options.read_only = true;
    if (world_open(w, NULL) == DBK_OK) {
        ask_each(w->log, what);
        for (size_t i = 0; i < COUNT(wishes); i++) {
            dbk_log_selection *selection;
            uint64_t position;
            dbk_slice origin;
            dbk_result rc = dbk_log_selection_open(w->log, &wishes[i], &selection, NULL);
            while (rc == DBK_OK) rc = dbk_log_selection_next(selection, &position, NULL, &origin, NULL);
            assert_true(rc == DBK_END || rc == DBK_CORRUPT);
            dbk_log_selection_close(selection);
        }
    }
    world_close(w);
    w->options.read_only = false;
}

/* Each byte of fronts, with others in its place: numbers of cells and of entries, lengths, checksums, shells. */
static void test_fronts(void **state)
{
    static const uint8_t twists[] = {1, 0x80};
    world w;

    (void)state;
    if (keep_plain) return;
    dbk_simdisk_image *image = make_log(&w);
    celled *c = celled_of(&w);
    for (uint32_t index = 0; index < c->head.block_count; index++) {
        dbk_pack_block block = block_of(c, index);
        uint32_t size = dbk_load_u32(c->file + block.offset + 4);
        for (uint32_t at = DBK_FRONT_HEAD_SIZE; at < size; at += step * (at < DBK_FRONT_HEAD_SIZE + 40 ? 1 : 7)) {
            for (size_t k = 0; k < COUNT(twists); k++) {
                dbk_simdisk_restore(w.disk, image);
                read_celled(&w, c);
                c->file[block.offset + at] ^= twists[k];
                mend_block(&w, c, index, &block);
                if (at % 3 == 0) ask_slowly(&w, "a front");
                look(&w, "a front");
                lies++;
            }
        }
    }
    free(c);
    world_free(&w);
}

/* A front and its row say the same of the block, and it is not so: where it lies, how long it is, how many entries are
 * in front of it. With the table, and without, when only the front can tell. */
static void test_rows(void **state)
{
    world w;

    (void)state;
    if (keep_plain) return;
    dbk_simdisk_image *image = make_log(&w);
    celled *c = celled_of(&w);
    uint32_t count = c->head.block_count;
    for (uint32_t lie = 0; lie < 30 * count; lie += step) {
        static const int64_t by[] = {1, -1, 512, -512, 0x7fffffff, 100000};
        uint32_t index = lie / 30;
        dbk_simdisk_restore(w.disk, image);
        read_celled(&w, c);
        dbk_pack_block block = block_of(c, index);
        uint64_t next = block_of(c, (index + 1) % count).offset;
        int64_t more = by[lie % 6];
        if (lie / 6 % 5 == 0) block.plain_offset += (uint32_t)more;
        if (lie / 6 % 5 == 1) block.plain_bytes += (uint32_t)more;
        if (lie / 6 % 5 == 2) block.delta += (uint32_t)more;
        if (lie / 6 % 5 == 3) block.received_ms += more;
        uint64_t blocks_end = dbk_pack_blocks_end(&c->head);
        if (lie / 6 % 5 == 4) block.bytes = lie % 2 ? (uint32_t)(blocks_end - block.offset) : block.bytes - 1;
        mend_block(&w, c, index, &block);
        ask_slowly(&w, "a row");
        look(&w, "a row");
        (void)dbk_simdisk_remove(w.disk, "log/CATALOG");
        dbk_simdisk_flip_bit(w.disk, two, c->head.table_offset + 3, 3);
        if (lie % 5 == 0) dbk_simdisk_flip_bit(w.disk, two, next + 41, 3);
        ask_slowly(&w, "a row without the table");
        look(&w, "a row without the table");
        lies += 2;
    }
    free(c);
    world_free(&w);
}

/* Cells of other bytes in a log that is open, with their checksum as they are stored right or not: no other entry is
 * given for one, and a cell that is damaged is told. */
static void test_cells(void **state)
{
    world w;

    (void)state;
    if (keep_plain) return;
    with_hashes = true;
    dbk_simdisk_image *image = make_log(&w);
    celled *c = celled_of(&w);
    dbk_buffer cells;
    dbk_buffer_init(&cells, dbk_port_system());
    for (uint32_t i = 0; i < 2 * 40; i++) {
        dbk_simdisk_restore(w.disk, image);
        read_celled(&w, c);
        uint32_t index = i % c->head.block_count, front_bytes;
        dbk_pack_block block = block_of(c, index);
        dbk_front front;
        front_bytes = dbk_load_u32(c->file + block.offset + 4);
        if (front_bytes == block.bytes) continue; /* no cells: a start or a seal alone */
        assert_true(dbk_front_decode(dbk_slice_of(c->file + block.offset, front_bytes), &block, &front, &cells));
        uint32_t at = front_bytes + (uint32_t)((uint64_t)i * 7919 % (block.bytes - front_bytes));
        w.options.read_only = true;
        assert_int_equal(world_open(&w, NULL), DBK_OK);
        c->file[block.offset + at] ^= (uint8_t)(1 << i % 8);
        const dbk_pack_cell *cell = (const dbk_pack_cell *)(const void *)cells.data;
        while (at >= cell->offset + cell->stored) cell++;
        uint32_t number = (uint32_t)(cell - (const dbk_pack_cell *)(const void *)cells.data);
        uint8_t sum[4];
        dbk_store_u32(sum, cell->stored_checksum);
        uint8_t *place = memmem(c->file + block.offset, front_bytes, sum, 4);
        assert_non_null(place);
        uint32_t right = dbk_cell_checksum(&c->header, &block, number, false,
                                           dbk_slice_of(c->file + block.offset + cell->offset, cell->stored));
        if (i % 2) dbk_store_u32(place, right);
        mend_block(&w, c, index, &block);
        bool hash = i % 2 && at >= cell->offset + cell->stored - cell->count * DBK_COMMAND_HASH_SIZE;
        if (!hash) ask_each(w.log, "a cell"); /* of hashes under a checksum that is right the block's plain one tells */
        if (!hash) world_close(&w);
        w.options.read_only = false;
        if (hash) world_close(&w);
        lies++;
    }
    with_hashes = false;
    dbk_buffer_release(&cells);
    free(c);
    world_free(&w);
}

static void put_sum(celled *c, const dbk_pack_block *block, uint32_t front_bytes, uint32_t own, uint32_t sum)
{
    uint8_t bytes[4];

    dbk_store_u32(bytes, own);
    uint8_t *place = memmem(c->file + block->offset, front_bytes, bytes, 4);
    assert_non_null(place);
    dbk_store_u32(place, sum);
}

/* The first entry of a cell is said to have another length: packed, it has as many bytes as before. False: no such length was found. */
static bool lie_in_cell(celled *c, dbk_image *image, uint32_t index, dbk_packer *packer)
{
    dbk_unpacker *unpacker = dbk_unpacker_new(image->port);
    const dbk_pack_block *block = &image->blocks[index];
    dbk_open_block *open;
    bool done = false;

    assert_int_equal(dbk_image_open_block(image, unpacker, index, &open, NULL), DBK_OK);
    size_t apart = open->front.hashes_apart ? DBK_COMMAND_HASH_SIZE : 0;
    for (uint32_t number = 0; number < open->front.cell_count && !done; number++) {
        const dbk_pack_cell *cell = dbk_block_cell(open, number);
        uint8_t *content = malloc(cell->content), *stored = c->file + block->offset + cell->offset;
        size_t size = cell->stored - cell->count * apart;
        assert_non_null(content);
        assert_true(
            dbk_unpacker_run_cell(unpacker, dbk_slice_of(stored, size), image->dictionary, content, cell->content));
        uint8_t own = content[0];
        for (unsigned other = 0; other < 256 && !done; other++) {
            dbk_slice packed;
            content[0] = (uint8_t)other;
            done = other != own && dbk_packer_run(packer, dbk_slice_of(content, cell->content), &packed) &&
                   packed.size == size;
            if (done) memcpy(stored, packed.data, size);
        }
        if (done) {
            put_sum(c, block, open->front.bytes, cell->stored_checksum,
                    dbk_cell_checksum(&c->header, block, number, false, dbk_slice_of(stored, cell->stored)));
            put_sum(c, block, open->front.bytes, cell->content_checksum,
                    dbk_cell_checksum(&c->header, block, number, true, dbk_slice_of(content, cell->content)));
        }
        free(content);
    }
    dbk_unpacker_free(unpacker);
    return done;
}

/* From each position on: it ends. */
static void walk_from_each(world *w)
{
    w->options.read_only = true;
    assert_int_equal(world_open(w, NULL), DBK_OK);
    for (uint64_t position = 1; position <= BATCHES * BATCH; position++) {
        dbk_log_cursor *cursor;
        dbk_slice origin;
        assert_int_equal(dbk_log_cursor_open(w->log, position, 0, &cursor, NULL), DBK_OK);
        dbk_result rc;
        while ((rc = dbk_log_cursor_next(cursor, NULL, NULL, &origin, NULL)) == DBK_OK) {
        }
        assert_true(rc == DBK_END || rc == DBK_CORRUPT);
        dbk_log_cursor_close(cursor);
    }
    world_close(w);
    w->options.read_only = false;
}

static void lie_in_cells(bool apart)
{
    unsigned told = 0;
    world w;

    with_hashes = apart;
    dbk_simdisk_image *sound = make_log(&w);
    celled *c = celled_of(&w);
    for (uint32_t index = 0; index < c->head.block_count; index++) {
        dbk_pack_block block = block_of(c, index);
        dbk_image *image;
        dbk_simdisk_restore(w.disk, sound);
        read_celled(&w, c);
        w.dir = root_of(w.port);
        assert_int_equal(dbk_image_open(w.port, w.dir, two + 4, &image, NULL), DBK_OK);
        dbk_packer *packer =
            dbk_packer_new(w.port, dbk_slice_of(c->file + DBK_PACK_HEAD_SIZE, c->head.dictionary_bytes));
        assert_non_null(packer);
        bool lied = lie_in_cell(c, image, index, packer);
        dbk_packer_free(packer);
        dbk_image_close(image);
        world_close(&w);
        if (!lied) continue;
        mend_block(&w, c, index, &block);
        (void)dbk_simdisk_remove(w.disk, "log/CATALOG");
        if (apart) ask_slowly(&w, "lengths in a cell");
        else walk_from_each(&w); /* entries are others under right checksums: the proof tells */
        look(&w, "lengths in a cell");
        told++;
        lies++;
    }
    assert_true(told > 0);
    with_hashes = false;
    free(c);
    world_free(&w);
}

static void test_joined(void **state)
{
    (void)state;
    if (keep_plain) return;
    lie_in_cells(true);
    lie_in_cells(false);
}

/* What a packed head says again of its records: verification holds each part of it to them. */
static void test_heads_are_held(void **state)
{
    static const size_t parts[] = {136, 144, 168, 176, 184, 192, 200, 232, 264, 304};
    static const char path[] = "log/0000000000000002.seg";
    uint8_t bytes[DBK_PACK_HEAD_SIZE];
    dbk_log_report report;
    world w;

    (void)state;
    dbk_simdisk_image *image = make_log(&w);
    for (size_t i = 0; i < sizeof(parts) / sizeof(*parts); i++) {
        dbk_simdisk_restore(w.disk, image);
        (void)dbk_simdisk_remove(w.disk, "log/CATALOG"); /* it has another copy of the head */
        assert_int_equal(dbk_simdisk_read(w.disk, path, 0, bytes, sizeof(bytes)), sizeof(bytes));
        bytes[parts[i]] ^= 1;
        mend_head(&w, path, 0, bytes, sizeof(bytes));
        w.dir = root_of(w.port);
        assert_int_equal(dbk_log_verify(w.port, w.dir, &w.options, DBK_VERIFY_PROOF, NULL, &report, NULL), DBK_OK);
        if (report.faults == 0) fail_msg("another byte %zu, and verification finds nothing", parts[i]);
        w.log = NULL;
        world_close(&w);
    }
    world_free(&w);
}

int main(int argc, char **argv)
{
    checkpoint_bytes = 512;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_heads_are_held), cmocka_unit_test(test_fronts), cmocka_unit_test(test_rows),
        cmocka_unit_test(test_cells),          cmocka_unit_test(test_joined),
    };
    step = (uint32_t)step_argument(argc, argv, 1);
    int red = cmocka_run_group_tests(tests, NULL, NULL);
    printf("%llu lies, none believed silently\n", (unsigned long long)lies);
    return red;
}
