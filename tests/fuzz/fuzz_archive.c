/* Any bytes as the file of a rule's archive; the first byte says of which form, and whether a header stands in front. What
 * may be written on is whole: an .ndjson always (a torn line gets an end), a CSV with the header and no open quote, by a
 * count of its own. The digests are those of whole lines. */
#include <stdlib.h>

#include "base/simdisk.h"
#include "store/archive.h"

#define REQUIRE(condition)                                                                                             \
    do {                                                                                                               \
        if (!(condition)) abort();                                                                                     \
    } while (0)

enum { LINES_MAX = 1000 };

/* Lines that end, and whether the last byte is such an end. */
static size_t count_lines(dbk_slice text, bool csv, bool *whole)
{
    size_t count = 0, quotes = 0;
    *whole = true;
    for (size_t i = 0; i < text.size; i++) {
        quotes += csv && text.data[i] == '"';
        *whole = text.data[i] == '\n' && quotes % 2 == 0;
        count += *whole;
    }
    return count;
}

static void check_csv(dbk_slice text, dbk_slice header, const dbk_archive_sight *sight, const dbk_buffer *known)
{
    bool whole;
    size_t lines = count_lines(text, true, &whole);
    bool begins = text.size >= header.size && memcmp(text.data, header.data, header.size) == 0;
    bool fits = text.size == 0 || (begins && whole && !memchr(text.data, 0, text.size));
    REQUIRE(sight->fits == fits);
    REQUIRE(!fits || known->size / DBK_ARCHIVE_DIGEST_SIZE == (lines < LINES_MAX ? lines : LINES_MAX));
}

static void check_ndjson(dbk_slice text, const dbk_archive_sight *sight, const dbk_buffer *known)
{
    bool whole;
    size_t lines = count_lines(text, false, &whole), kept = lines < LINES_MAX ? lines : LINES_MAX;
    uint8_t digest[DBK_ARCHIVE_DIGEST_SIZE];
    REQUIRE(sight->fits && sight->torn == !whole);
    REQUIRE(known->size / DBK_ARCHIVE_DIGEST_SIZE == kept);
    const uint8_t *end = kept && text.size ? memchr(text.data, '\n', text.size) : NULL;
    if (!end || kept < lines) return;
    dbk_archive_digest(dbk_slice_of(text.data, (size_t)(end - text.data) + 1), digest);
    REQUIRE(memcmp(known->data, digest, sizeof digest) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    dbk_column columns[] = {{.name = "id"}, {.name = "body"}};
    dbk_table table = {.name = "notes", .columns = columns, .column_count = 2};
    dbk_retention_rule rule = {.name = "old", .table = &table};
    dbk_archive_sight sight;
    dbk_buffer header, text, known;
    dbk_file *file;
    dbk_dir *root;
    if (size == 0) return 0;
    rule.archive_csv = data[0] & 1;
    dbk_simdisk *disk = dbk_simdisk_new(1);
    const dbk_port *port = dbk_simdisk_port(disk);
    dbk_buffer_init(&header, dbk_port_system());
    dbk_buffer_init(&text, dbk_port_system());
    dbk_buffer_init(&known, dbk_port_system());
    dbk_archive_put_header(&rule, &header);
    if (data[0] & 2) dbk_buffer_put_slice(&text, dbk_buffer_slice(&header));
    dbk_buffer_put(&text, data + 1, size - 1);
    REQUIRE(dbk_simdisk_write(disk, "file", 0, text.size ? text.data : data, text.size) == 0);
    REQUIRE(dbk_io_open_dir(port, NULL, "/", 0, &root, NULL) == DBK_OK);
    REQUIRE(dbk_io_open(port, root, "file", DBK_OPEN_READ | DBK_OPEN_WRITE, &file, NULL) == DBK_OK);
    REQUIRE(dbk_archive_look(port, file, "file", &rule, &sight, &known, NULL) == DBK_OK);
    REQUIRE(sight.size == text.size);
    if (rule.archive_csv) check_csv(dbk_buffer_slice(&text), dbk_buffer_slice(&header), &sight, &known);
    else check_ndjson(dbk_buffer_slice(&text), &sight, &known);
    port->close_file(port->ctx, file);
    port->close_dir(port->ctx, root);
    dbk_buffer_release(&header);
    dbk_buffer_release(&text);
    dbk_buffer_release(&known);
    REQUIRE(dbk_simdisk_memory_count(disk) == 0 && dbk_simdisk_handle_count(disk) == 0);
    dbk_simdisk_free(disk);
    return 0;
}
