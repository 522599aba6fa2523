/* A run of the index whose bytes were changed: opening, asking, merging it with another. The input is a list of
 * changes of 5 bytes: which of two files (bit 0) and whether the page's checksum stays wrong (bit 1), offset (3),
 * value. Any answer is allowed, within the positions that the run is of. */
#include <stdio.h>
#include <stdlib.h>

#include "base/simdisk.h"
#include "log/index_internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { FIRST = 1000, EACH = 600, CHANGE_BYTES = 5 };
static const char *const names[] = {"a.run", "b.run"};
static const uint8_t store_id[16] = "a store of fuzz";
static dbk_simdisk *disk;
static const dbk_port *port;
static dbk_simdisk_image *image;
static dbk_dir *dir;

static void check(bool holds)
{
    if (!holds) abort();
}

static dbk_index_source source_of(int which)
{
    dbk_index_source source = {.segment = 1 + 2 * (uint64_t)which, .segments = 2, .salt = 77 + (uint64_t)which};

    source.first_position = FIRST + (uint64_t)which * EACH;
    source.last_position = source.first_position + EACH - 1;
    return source;
}

static dbk_slice name_of(uint64_t position, bool command)
{
    static char text[24];
    int size = snprintf(text, sizeof(text), "%s%llu", command ? "c" : "s",
                        (unsigned long long)(command ? position : position % 9));

    return dbk_slice_of(text, (size_t)size);
}

static void write_run(int which)
{
    dbk_index_source source = source_of(which);
    dbk_index_table *table = dbk_index_table_new(port, store_id, source.first_position);
    dbk_buffer events;

    check(table);
    dbk_buffer_init(&events, port);
    for (uint64_t position = source.first_position; position <= source.last_position; position++) {
        dbk_index_batch batch = {position, (uint32_t)position * 16, 16, (int64_t)position};
        dbk_event event = {.stream = name_of(position, false)};
        dbk_entry entry = {.event_count = 1, .id = {.seq = position % 100 + 1}};
        dbk_buffer_clear(&events);
        dbk_event_encode(&events, &event);
        entry.events = dbk_buffer_slice(&events);
        entry.command_id = name_of(position, true);
        check(dbk_index_table_add_batch(table, &batch, NULL) == DBK_OK);
        check(dbk_index_table_add(table, position, &entry, NULL) == DBK_OK);
    }
    check(dbk_index_run_write(port, dir, names[which], table, &source, NULL) == DBK_OK);
    dbk_buffer_release(&events);
    dbk_index_table_free(table);
}

static void change(const uint8_t *input)
{
    const char *name = names[input[0] & 1];
    uint64_t offset = input[1] | (uint64_t)input[2] << 8 | (uint64_t)(input[3] & 1) << 16;
    uint64_t number = offset / DBK_INDEX_PAGE_SIZE;
    uint8_t page[DBK_INDEX_PAGE_SIZE];

    if (offset >= (uint64_t)dbk_simdisk_size(disk, name)) return;
    check(dbk_simdisk_write(disk, name, offset, input + 4, 1) == 0);
    if (input[0] & 2) return;
    check(dbk_simdisk_read(disk, name, number * sizeof(page), page, sizeof(page)) == (int64_t)sizeof(page));
    dbk_index_page_seal(page, number, 77 + (input[0] & 1));
    check(dbk_simdisk_write(disk, name, number * sizeof(page), page, sizeof(page)) == 0);
}

static dbk_index_run *open_run(int which, bool with_batches)
{
    dbk_index_source expect = source_of(which), found;
    dbk_index_run *run;

    expect.without_batches = !with_batches;
    expect.page_limit = 4;
    (void)!dbk_index_run_open(port, dir, names[which], store_id, &expect, &found, &run, NULL);
    return run;
}

static dbk_result find(dbk_index_run *run, dbk_index_kind kind, dbk_slice name, uint64_t before, uint64_t *position)
{
    dbk_hash128 hash;

    check(dbk_index_hash(store_id, kind, name, &hash));
    return dbk_index_run_find_hash(run, hash, before, position, NULL);
}

static void ask(int which, dbk_index_run *run)
{
    dbk_index_source source = source_of(which);

    for (uint64_t at = source.first_position; at <= source.last_position + 1; at += 41) {
        uint64_t found = 0;
        dbk_index_batch batch;
        if (find(run, DBK_INDEX_COMMAND, name_of(at, true), 0, &found) == DBK_OK && found)
            check(found >= source.first_position && found <= source.last_position);
        if (find(run, DBK_INDEX_STREAM, name_of(at, false), at, &found) == DBK_OK && found)
            check(found >= source.first_position && found <= source.last_position && found < at);
        (void)!dbk_index_run_find_batch(run, at, &batch, NULL);
    }
}

static bool go_on(void *arg)
{
    (void)arg;
    return false;
}

static void merge(dbk_index_run *a, dbk_index_run *b)
{
    dbk_index_run *const runs[] = {a, b};
    const bool with_batches[] = {true, true};
    dbk_index_source source = source_of(0), found;
    dbk_index_merge job = {.runs = runs, .count = 2, .with_batches = with_batches, .source = &source, .stop = go_on};
    dbk_index_run *merged;
    size_t bad;

    source.segments = 4;
    source.last_position = source_of(1).last_position;
    if (dbk_index_runs_merge(port, dir, "m.run", &job, &bad, NULL) != DBK_OK) return;
    check(bad == 2);
    if (dbk_index_run_open(port, dir, "m.run", store_id, &source, &found, &merged, NULL) == DBK_OK) ask(0, merged);
    dbk_index_run_close(merged);
}

static void begin(void)
{
    disk = dbk_simdisk_new(1);
    port = dbk_simdisk_port(disk);
    check(port->open_dir(port->ctx, NULL, "/", 0, &dir) == 0);
    for (int which = 0; which < 2; which++) write_run(which);
    port->close_dir(port->ctx, dir);
    image = dbk_simdisk_snapshot(disk);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (!disk) begin();
    dbk_simdisk_restore(disk, image);
    check(port->open_dir(port->ctx, NULL, "/", 0, &dir) == 0);
    for (size_t at = 0; at + CHANGE_BYTES <= size && at < 64 * CHANGE_BYTES; at += CHANGE_BYTES) change(data + at);
    for (int which = 0; which < 2; which++) {
        dbk_index_run *run = open_run(which, true);
        if (run) ask(which, run);
        dbk_index_run_close(run);
    }
    dbk_index_run *a = open_run(0, false), *b = open_run(1, false);
    if (a && b) merge(a, b);
    dbk_index_run_close(a);
    dbk_index_run_close(b);
    port->close_dir(port->ctx, dir);
    check(dbk_simdisk_memory_count(disk) == 0);
    return 0;
}
