/* The catalog: what opening would read of each packed segment, in one file, so that opening a log of thousands of
 * segments does not open thousands of files. Each row has the head of a packed file as it stands there, and what the
 * file system says of that file: number, size, time of change, time of birth. A file that is not that one any more is
 * read as if there were no catalog; so is one whose row does not decode.
 *
 * Like the index it is a cache that may be missing. It is written at close, once a sixteenth of the segments is not in
 * it; the rows that still hold are taken over. */
#include "log/load.h"

enum { HEADER_BYTES = 32, HEAD_AT = 0, FILE_AT = DBK_PACK_HEAD_SIZE, SUM_AT = FILE_AT + 32, ROW_BYTES = SUM_AT + 8 };
enum { VERSION = 1, WRITE_PART = 16, CATALOG_MAX = 256 * 1024 * 1024 };
#define MAGIC "dbkfiles"

static void put_header(const uint8_t store_id[16], uint8_t out[HEADER_BYTES])
{
    memcpy(out, MAGIC, 8);
    dbk_store_u32(out + 8, VERSION);
    dbk_store_u32(out + 12, ROW_BYTES);
    memcpy(out + 16, store_id, 16);
}

static uint64_t checksum_of(const uint8_t *row, uint64_t number)
{
    return dbk_checksum(dbk_slice_of(row, SUM_AT), number);
}

static void put_file(const dbk_identity *identity, uint8_t out[32])
{
    dbk_store_u64(out, identity->inode);
    dbk_store_u64(out + 8, identity->size_bytes);
    dbk_store_u64(out + 16, (uint64_t)identity->modified_ms);
    dbk_store_u64(out + 24, (uint64_t)identity->created_ns);
}

void dbk_catalog_read(dbk_log *log, dbk_buffer *catalog)
{
    uint8_t header[HEADER_BYTES];

    dbk_result rc = dbk_io_read_file(log->port, log->dir, DBK_CATALOG_NAME, CATALOG_MAX, catalog, NULL);
    put_header(log->options.store_id, header);
    if (rc != DBK_OK || catalog->size < HEADER_BYTES || memcmp(catalog->data, header, HEADER_BYTES) != 0)
        dbk_buffer_clear(catalog); /* the files say the same */
}

static uint64_t count_rows(const dbk_buffer *catalog)
{
    return catalog->size < HEADER_BYTES ? 0 : (catalog->size - HEADER_BYTES) / ROW_BYTES;
}

/* The row, where the file of that number still is the one that it was made from; else NULL. */
static const uint8_t *find_row(const dbk_port *port, dbk_dir *dir, const dbk_buffer *catalog, uint64_t number,
                               const char *name)
{
    dbk_identity identity;
    uint8_t file[32];

    if (number > count_rows(catalog)) return NULL;
    const uint8_t *row = catalog->data + HEADER_BYTES + (number - 1) * ROW_BYTES;
    if (dbk_load_u64(row + SUM_AT) != checksum_of(row, number)) return NULL;
    if (port->identify(port->ctx, dir, name, &identity) != 0) return NULL;
    put_file(&identity, file);
    return identity.kind == DBK_IS_FILE && memcmp(file, row + FILE_AT, sizeof(file)) == 0 ? row : NULL;
}

bool dbk_catalog_find(dbk_log *log, const dbk_buffer *catalog, uint64_t number, const char *name,
                      dbk_segment_header *header, dbk_pack_head *head)
{
    const uint8_t *row = find_row(log->port, log->dir, catalog, number, name);

    return row && dbk_pack_head_decode(row + HEAD_AT, header, head) == DBK_DECODED_OK &&
           dbk_load_u64(row + FILE_AT + 8) == head->file_bytes;
}

/* From the file itself. It is asked before and after: a head that was read while another took its place has no row. */
static bool make_row(const dbk_port *port, dbk_dir *dir, uint64_t number, const char *name, uint8_t row[ROW_BYTES])
{
    dbk_segment_header header;
    dbk_identity identity;
    dbk_pack_head head;
    dbk_file *file;
    size_t got;

    if (dbk_io_open(port, dir, name, DBK_OPEN_READ, &file, NULL) != DBK_OK) return false;
    bool right = port->identify_file(port->ctx, file, &identity) == 0 &&
                 dbk_io_read(port, file, name, 0, row + HEAD_AT, DBK_PACK_HEAD_SIZE, &got, NULL) == DBK_OK &&
                 got == DBK_PACK_HEAD_SIZE && dbk_pack_head_decode(row + HEAD_AT, &header, &head) == DBK_DECODED_OK &&
                 header.number == number;
    port->close_file(port->ctx, file);
    if (!right || identity.size_bytes != head.file_bytes) return false;
    put_file(&identity, row + FILE_AT);
    dbk_store_u64(row + SUM_AT, checksum_of(row, number));
    return true;
}

/* A segment without a row ends it: the ones behind are the younger ones, and will be packed soon. */
static void put_rows(dbk_log *log, const dbk_buffer *before, uint64_t count, dbk_buffer *out)
{
    for (uint64_t number = 1; number <= count; number++) {
        const dbk_segment *segment = log->segments[number - 1];
        const uint8_t *known = find_row(log->port, log->dir, before, number, segment->name);
        uint8_t row[ROW_BYTES] = {0};
        if (!known && !make_row(log->port, log->dir, number, segment->name, row)) return;
        dbk_buffer_put(out, known ? known : row, ROW_BYTES);
    }
}

void dbk_catalog_save(dbk_log *log)
{
    uint8_t header[HEADER_BYTES];
    dbk_buffer before, content;
    uint64_t count = 0;

    while (count + 1 < log->segment_count && log->segments[count]->packed) count++;
    if ((count - (log->cataloged < count ? log->cataloged : count)) * WRITE_PART < count || count == 0) return;
    dbk_buffer_init(&before, log->port);
    dbk_buffer_init(&content, log->port);
    dbk_catalog_read(log, &before);
    put_header(log->options.store_id, header);
    dbk_buffer_put(&content, header, sizeof(header));
    put_rows(log, &before, count, &content);
    if (!content.failed)
        (void)!dbk_io_replace_file(log->port, log->dir, DBK_CATALOG_NAME, dbk_buffer_slice(&content), NULL);
    dbk_buffer_release(&before);
    dbk_buffer_release(&content);
}

/* A row that stands for the file there is, and says another head than it: whoever opens would believe it. */
static const char *wrong_row(const dbk_port *port, dbk_dir *dir, const dbk_buffer *catalog, uint64_t number)
{
    const uint8_t *row = catalog->data + HEADER_BYTES + (number - 1) * ROW_BYTES;
    char name[DBK_SEGMENT_NAME_SIZE];
    uint8_t fresh[ROW_BYTES];

    if (dbk_load_u64(row + SUM_AT) != checksum_of(row, number)) return "a row is damaged";
    dbk_segment_name(number, "seg", name);
    if (!find_row(port, dir, catalog, number, name) || !make_row(port, dir, number, name, fresh)) return NULL;
    bool same = memcmp(row + FILE_AT, fresh + FILE_AT, SUM_AT - FILE_AT) != 0 || memcmp(row, fresh, FILE_AT) == 0;
    return same ? NULL : "a row says another head than the segment's file";
}

dbk_result dbk_catalog_check(const dbk_port *port, dbk_dir *dir, const uint8_t store_id[16],
                             void (*tell)(void *arg, uint64_t offset, const char *wrong), void *arg, dbk_error *err)
{
    uint8_t header[HEADER_BYTES];
    dbk_error local = {0};
    dbk_buffer catalog;

    dbk_buffer_init(&catalog, port);
    put_header(store_id, header);
    dbk_result rc = dbk_io_read_file(port, dir, DBK_CATALOG_NAME, CATALOG_MAX, &catalog, &local);
    if (rc == DBK_NO_MEMORY && err) *err = local;
    if (rc != DBK_OK && rc != DBK_NO_MEMORY && rc != DBK_MISSING) tell(arg, 0, local.text);
    bool known = rc == DBK_OK && catalog.size >= HEADER_BYTES && memcmp(catalog.data, header, HEADER_BYTES) == 0;
    if (rc == DBK_OK && !known) tell(arg, 0, "it is no catalog of this version and store");
    for (uint64_t number = 1; known && number <= count_rows(&catalog); number++) {
        const char *wrong = wrong_row(port, dir, &catalog, number);
        if (wrong) tell(arg, HEADER_BYTES + (number - 1) * ROW_BYTES, wrong);
    }
    if (known && (catalog.size - HEADER_BYTES) % ROW_BYTES) tell(arg, catalog.size, "it ends within a row");
    dbk_buffer_release(&catalog);
    return rc == DBK_NO_MEMORY ? rc : DBK_OK;
}
