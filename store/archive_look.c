/* What stands in the file of an archive, before it is written on.
 *
 * It is read as it is on the disk: synced first, and then not from memory, for after a failed sync the system may show
 * what the disk never got (R12). Of an .ndjson only the end is read, a line ends where a line ends. Where a line of a CSV
 * ends is known from its beginning alone (within quotes an end of line is text): it is read whole, which its greatest
 * size bounds, and what is torn, or is another table's, or of other columns, is left as it is. */
#include "store/archive.h"

enum {
    BLOCK = 64 * 1024,
    END_BYTES = 4 * 1024 * 1024, /* of an .ndjson: more than a piece */
    LINES = 1000,                /* whose digests are of use: a piece */
    LINE_BYTES_MAX = 4 * 1024 * 1024,
};

typedef struct dbk_look {
    const dbk_port *port;
    dbk_file *file;
    const char *name;
    uint8_t *block;
    bool csv, quoted, zeros;
    uint64_t size;
    uint64_t ends[LINES + 1]; /* offsets behind lines, in a ring */
    uint64_t count;           /* of them ever */
} dbk_look;

static void note_end(dbk_look *look, uint64_t offset)
{
    look->ends[look->count++ % (LINES + 1)] = offset;
}

static uint64_t last_end(const dbk_look *look)
{
    return look->count ? look->ends[(look->count - 1) % (LINES + 1)] : 0;
}

static void pass_block(dbk_look *look, uint64_t offset, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        uint8_t c = look->block[i];
        look->quoted ^= look->csv && c == '"';
        look->zeros |= c == 0;
        if (c == '\n' && !look->quoted) note_end(look, offset + i + 1);
    }
}

static dbk_result find_ends(dbk_look *look, uint64_t from, dbk_error *err)
{
    dbk_result result = DBK_OK;
    size_t got = BLOCK;

    if (from == 0) note_end(look, 0);
    for (uint64_t at = from; result == DBK_OK && at < look->size && got > 0; at += got) {
        result = dbk_io_read(look->port, look->file, look->name, at, look->block, BLOCK, &got, err);
        if (result == DBK_OK) pass_block(look, at, got);
    }
    return result;
}

/* Of the lines between the ends that are known. */
static dbk_result put_digests(dbk_look *look, dbk_buffer *known, dbk_error *err)
{
    uint64_t first = look->count > LINES + 1 ? look->count - (LINES + 1) : 0;
    uint8_t digest[DBK_ARCHIVE_DIGEST_SIZE];
    dbk_buffer line;
    dbk_result result = DBK_OK;

    dbk_buffer_init(&line, look->port);
    for (uint64_t i = first; result == DBK_OK && i + 1 < look->count; i++) {
        uint64_t begin = look->ends[i % (LINES + 1)], size = look->ends[(i + 1) % (LINES + 1)] - begin;
        size_t got = 0;
        if (size > LINE_BYTES_MAX) continue; /* it may come twice */
        dbk_buffer_clear(&line);
        uint8_t *into = dbk_buffer_extend(&line, (size_t)size);
        if (!into) result = dbk_fail(err, DBK_NO_MEMORY, "no memory for a line of an archive");
        if (result == DBK_OK)
            result = dbk_io_read(look->port, look->file, look->name, begin, into, (size_t)size, &got, err);
        if (result != DBK_OK || got < size) break;
        dbk_archive_digest(dbk_buffer_slice(&line), digest);
        dbk_buffer_put(known, digest, sizeof digest);
    }
    dbk_buffer_release(&line);
    if (result == DBK_OK && known->failed) result = dbk_fail(err, DBK_NO_MEMORY, "no memory for lines of an archive");
    return result;
}

static dbk_result has_header(const dbk_look *look, const dbk_retention_rule *rule, bool *has, dbk_error *err)
{
    dbk_buffer header;
    size_t got = 0;
    dbk_result result = DBK_OK;

    dbk_buffer_init(&header, look->port);
    dbk_archive_put_header(rule, &header);
    size_t size = header.size;
    uint8_t *found = dbk_buffer_extend(&header, size);
    if (!found) result = dbk_fail(err, DBK_NO_MEMORY, "no memory for the header of an archive");
    if (result == DBK_OK) result = dbk_io_read(look->port, look->file, look->name, 0, found, size, &got, err);
    *has = result == DBK_OK && got == size && memcmp(header.data, found, size) == 0;
    dbk_buffer_release(&header);
    return result;
}

static dbk_result look_at(dbk_look *look, const dbk_retention_rule *rule, dbk_archive_sight *sight, dbk_buffer *known,
                          dbk_error *err)
{
    bool has = true;
    uint64_t from = !look->csv && look->size > END_BYTES ? look->size - END_BYTES : 0;
    dbk_result result = DBK_OK;

    *sight = (dbk_archive_sight){.fits = true, .size = look->size};
    if (look->size == 0) return DBK_OK;
    if (look->csv) result = has_header(look, rule, &has, err);
    if (result != DBK_OK || !has || (look->csv && look->size > DBK_ARCHIVE_CSV_BYTES_MAX)) {
        sight->fits = false;
        return result;
    }
    result = find_ends(look, from, err);
    sight->torn = look->quoted || last_end(look) != look->size;
    sight->fits = !look->csv || (!sight->torn && !look->zeros);
    return result == DBK_OK && sight->fits ? put_digests(look, known, err) : result;
}

dbk_result dbk_archive_look(const dbk_port *port, dbk_file *file, const char *name, const dbk_retention_rule *rule,
                            dbk_archive_sight *sight, dbk_buffer *known, dbk_error *err)
{
    dbk_look *look = dbk_alloc_zero(port, 1, sizeof *look);
    dbk_result result;

    dbk_buffer_clear(known);
    if (!look) return dbk_fail(err, DBK_NO_MEMORY, "no memory to look at an archive");
    look->port = port;
    look->file = file;
    look->name = name;
    look->csv = rule->archive_csv;
    look->block = dbk_alloc(port, BLOCK);
    result = look->block ? dbk_io_sync(port, file, name, err)
                         : dbk_fail(err, DBK_NO_MEMORY, "no memory to look at an archive");
    if (result == DBK_OK) result = dbk_io_size(port, file, name, &look->size, err);
    if (result == DBK_OK) (void)port->drop_cache(port->ctx, file, 0, look->size);
    if (result == DBK_OK) result = look_at(look, rule, sight, known, err);
    dbk_free(port, look->block);
    dbk_free(port, look);
    return result;
}
