/* What a damaged log still says of itself: whose it is when daybook.json is gone, and the header of a
 * segment that has lost both copies. Reads only. */
#include "log/load.h"

#include <stdio.h>

enum { IDENTITIES_MAX = 8 }; /* different ones in one folder; more are not counted */

dbk_result dbk_segment_count_headers(const dbk_port *port, dbk_file *file, const char *name,
                                     const dbk_segment_header *header, unsigned *count, dbk_error *err)
{
    static const uint64_t copies[] = {0, DBK_SEGMENT_COPY_OFFSET};
    uint8_t bytes[DBK_SEGMENT_HEADER_SIZE];
    dbk_segment_header found;
    dbk_result rc = DBK_OK;

    *count = 0;
    for (size_t i = 0; i < 2 && rc == DBK_OK; i++) {
        size_t got = 0;
        rc = dbk_io_read(port, file, name, copies[i], bytes, sizeof(bytes), &got, err);
        if (rc != DBK_OK || got < sizeof(bytes)) continue;
        if (dbk_segment_header_decode(bytes, &found) != DBK_DECODED_OK) continue;
        *count += found.number == header->number && found.salt == header->salt && found.size == header->size &&
                  found.unit == header->unit;
    }
    return rc;
}

/* The unit decides how long a record is, and nothing but the header names it: the one for which the
 * record is sound. */
static dbk_result try_units(dbk_scanner *scanner, uint64_t at, bool *sound, dbk_error *err)
{
    dbk_expect expect = {0, 0, true};

    *sound = false;
    for (uint32_t unit = DBK_UNIT_MIN; unit <= DBK_UNIT_MAX && !*sound; unit *= 2) {
        dbk_record record;
        const uint8_t *bytes;
        uint64_t size;
        dbk_head head;
        dbk_result rc = dbk_scanner_view(scanner, at, DBK_RECORD_HEADER_SIZE, &bytes, err);
        if (rc != DBK_OK) return rc;
        if (!dbk_record_decode(bytes, scanner->store_id, &record)) return DBK_OK;
        expect.position = record.first_position;
        scanner->header.unit = unit;
        scanner->header.salt = record.salt;
        rc = dbk_scan_record(scanner, at, &expect, &record, &bytes, &size, &head, err);
        if (rc != DBK_OK) return rc;
        *sound = head == DBK_HEAD_RECORD;
    }
    return DBK_OK;
}

dbk_result dbk_segment_rebuild_header(const dbk_port *port, dbk_file *file, const char *name,
                                      const dbk_log_options *options, uint64_t number, uint64_t file_bytes,
                                      dbk_segment_header *header, bool *rebuilt, dbk_error *err)
{
    dbk_image image = {.port = port, .file = file}; /* the plain form */
    dbk_segment place = {.header = {.number = number}};
    dbk_scanner scanner;
    dbk_result rc = DBK_OK;

    *rebuilt = false;
    memcpy(image.name, name, strnlen(name, sizeof(image.name) - 1));
    memcpy(place.header.store_id, options->store_id, 16);
    memcpy(place.header.lineage, options->lineage, 16);
    snprintf(place.name, sizeof(place.name), "%s", name);
    place.header.size = file_bytes / DBK_UNIT_MIN * DBK_UNIT_MIN;
    if (place.header.size > DBK_SEGMENT_SIZE_MAX) place.header.size = DBK_SEGMENT_SIZE_MAX;
    dbk_scanner_init(&scanner, &image, &place);
    scanner.store_id = options->store_id;
    for (uint64_t at = DBK_SEGMENT_DATA_OFFSET; at < place.header.size && rc == DBK_OK && !*rebuilt;
         at += DBK_UNIT_MIN) {
        rc = try_units(&scanner, at, rebuilt, err);
    }
    *header = scanner.header;
    dbk_scanner_release(&scanner);
    return rc;
}

/* ---- whose log it is */

typedef struct dbk_named {
    uint8_t store_id[16], lineage[16];
    unsigned votes;
} dbk_named;

static void vote(dbk_named *named, const dbk_segment_header *header)
{
    for (size_t i = 0; i < IDENTITIES_MAX; i++) {
        bool same =
            memcmp(named[i].store_id, header->store_id, 16) == 0 && memcmp(named[i].lineage, header->lineage, 16) == 0;
        if (named[i].votes && !same) continue;
        memcpy(named[i].store_id, header->store_id, 16);
        memcpy(named[i].lineage, header->lineage, 16);
        named[i].votes++;
        return;
    }
}

static void vote_of(const dbk_port *port, dbk_dir *dir, uint64_t number, dbk_named *named)
{
    char name[DBK_SEGMENT_NAME_SIZE];
    dbk_segment_header header;
    dbk_decoded decoded;
    dbk_file *file;

    dbk_segment_name(number, "seg", name);
    if (dbk_io_open(port, dir, name, DBK_OPEN_READ, &file, NULL) != DBK_OK) return;
    if (dbk_segment_read_header(port, file, name, &header, &decoded, NULL) == DBK_OK && decoded == DBK_DECODED_OK) {
        vote(named, &header);
    }
    port->close_file(port->ctx, file);
}

static bool ask_watermark(const dbk_port *port, dbk_dir *dir, uint8_t store_id[16])
{
    uint8_t slot[DBK_WATERMARK_SLOT_SIZE];
    dbk_watermark mark;
    dbk_file *file;
    bool found = false;

    if (dbk_io_open(port, dir, DBK_WATERMARK_NAME, DBK_OPEN_READ, &file, NULL) != DBK_OK) return false;
    for (uint64_t i = 0; i < 2 && !found; i++) {
        size_t got = 0;
        dbk_result rc =
            dbk_io_read(port, file, DBK_WATERMARK_NAME, i * DBK_WATERMARK_STRIDE, slot, sizeof(slot), &got, NULL);
        found = rc == DBK_OK && got == sizeof(slot) && dbk_watermark_decode(slot, &mark) == DBK_DECODED_OK;
    }
    port->close_file(port->ctx, file);
    if (found) memcpy(store_id, mark.store_id, 16);
    return found;
}

dbk_result dbk_log_identify(const dbk_port *port, dbk_dir *dir, uint8_t store_id[16], uint8_t lineage[16],
                            dbk_error *err)
{
    dbk_named named[IDENTITIES_MAX] = {{{0}, {0}, 0}};
    const dbk_named *most = named;
    dbk_buffer numbers;

    dbk_buffer_init(&numbers, port);
    dbk_result rc = dbk_load_list(port, dir, &numbers, err);
    for (size_t i = 0; rc == DBK_OK && i < numbers.size / 8; i++)
        vote_of(port, dir, dbk_load_u64(numbers.data + i * 8), named);
    dbk_buffer_release(&numbers);
    if (rc != DBK_OK) return rc;
    for (size_t i = 1; i < IDENTITIES_MAX; i++)
        if (named[i].votes > most->votes) most = &named[i];
    memcpy(store_id, most->store_id, 16);
    memcpy(lineage, most->lineage, 16);
    if (most->votes || ask_watermark(port, dir, store_id)) return DBK_OK;
    return dbk_fail(err, DBK_MISSING, "no file of the log says whose it is");
}
