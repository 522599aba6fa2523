/* Segment files: names, headers, preparation, and the handles that readers share.
 *
 * A segment is prepared one ahead: allocated, zeroed, synced; then both headers, synced; then its
 * name. So a file with a sound header has durable zeros (or records) everywhere behind it, and one
 * without is an unfinished preparation that holds nothing. */
#include "log/internal.h"

#include <assert.h>
#include <stdio.h>

/* By hand: opening a log asks for thousands of names. */
void dbk_segment_name(uint64_t number, const char *suffix, char out[DBK_SEGMENT_NAME_SIZE])
{
    size_t size = strnlen(suffix, DBK_SEGMENT_NAME_SIZE - DBK_NAME_DIGITS - 2);

    for (int i = 0; i < DBK_NAME_DIGITS; i++) out[i] = "0123456789abcdef"[number >> (60 - 4 * i) & 15];
    out[DBK_NAME_DIGITS] = '.';
    memcpy(out + DBK_NAME_DIGITS + 1, suffix, size);
    out[DBK_NAME_DIGITS + 1 + size] = '\0';
}

bool dbk_segment_digits_parse(const char *name, uint64_t *number)
{
    *number = 0;
    for (int i = 0; i < DBK_NAME_DIGITS; i++) {
        char c = name[i];
        bool letter = c >= 'a' && c <= 'f';
        if (!letter && !(c >= '0' && c <= '9')) return false;
        *number = *number << 4 | (uint64_t)(letter ? c - 'a' + 10 : c - '0');
    }
    return *number != 0;
}

bool dbk_segment_name_parse(const char *name, const char *suffix, uint64_t *number)
{
    return dbk_segment_digits_parse(name, number) && name[DBK_NAME_DIGITS] == '.' &&
           strcmp(name + DBK_NAME_DIGITS + 1, suffix) == 0;
}

dbk_segment *dbk_segment_new(const dbk_port *port, uint64_t number)
{
    dbk_segment *segment = dbk_alloc_zero(port, 1, sizeof(*segment));

    if (!segment) return NULL;
    segment->header.number = number;
    segment->ordered = true;
    dbk_segment_name(number, "seg", segment->name);
    return segment;
}

void dbk_segment_free(const dbk_port *port, dbk_segment *segment)
{
    if (!segment) return;
    dbk_index_table_free(segment->table);
    if (segment->prefix) dbk_index_run_close(segment->prefix);
    dbk_index_table_free(segment->prefix_table);
    dbk_image_close(segment->image);
    dbk_free(port, segment);
}

dbk_result dbk_segment_read_header(const dbk_port *port, dbk_file *file, const char *name, dbk_segment_header *header,
                                   dbk_decoded *decoded, dbk_error *err)
{
    static const uint64_t copies[] = {0, DBK_SEGMENT_COPY_OFFSET};
    uint8_t bytes[DBK_SEGMENT_HEADER_SIZE];
    dbk_segment_header candidate;

    *decoded = DBK_DECODED_BAD;
    for (size_t i = 0; i < 2; i++) {
        size_t got;
        dbk_result rc = dbk_io_read(port, file, name, copies[i], bytes, sizeof(bytes), &got, err);
        if (rc != DBK_OK) return rc;
        if (got < sizeof(bytes)) continue;
        dbk_decoded found = dbk_segment_header_decode(bytes, &candidate);
        if (found == DBK_DECODED_BAD || *decoded == DBK_DECODED_OK) continue;
        *decoded = found;
        *header = candidate;
    }
    if (*decoded != DBK_DECODED_BAD) return DBK_OK;
    dbk_pack_head head; /* a packed file has the copy at its end */
    return dbk_pack_head_read(port, file, name, header, &head, decoded, err);
}

uint64_t dbk_segment_next_size(const dbk_log_options *options, uint64_t size)
{
    uint64_t max = options->segment_max_bytes;

    return size == 0 ? options->segment_first_bytes : size >= max / 2 ? max : size * 2;
}

/* Synced on the way, so that no sync of the writer's waits for the whole of it. */
static dbk_result write_zeros(const dbk_port *port, dbk_file *file, const char *name, uint64_t size, dbk_error *err)
{
    size_t chunk = size < DBK_SCAN_CHUNK_BYTES ? (size_t)size : DBK_SCAN_CHUNK_BYTES;
    uint8_t *zeros = dbk_alloc_zero(port, 1, chunk);
    dbk_result rc = DBK_OK;

    if (!zeros) return dbk_fail(err, DBK_NO_MEMORY, "cannot prepare segment '%s': out of memory", name);
    for (uint64_t at = 0; at < size; at += chunk) {
        size_t now = size - at < chunk ? (size_t)(size - at) : chunk;
        rc = dbk_io_write(port, file, name, at, zeros, now, err);
        if (rc == DBK_OK) rc = dbk_io_sync(port, file, name, err);
        if (rc != DBK_OK) break;
    }
    dbk_free(port, zeros);
    return rc;
}

static dbk_result write_headers(const dbk_port *port, dbk_file *file, const dbk_segment *segment, dbk_error *err)
{
    uint8_t bytes[DBK_SEGMENT_HEADER_SIZE];

    dbk_segment_header_encode(&segment->header, bytes);
    dbk_result rc = dbk_io_write(port, file, segment->name, 0, bytes, sizeof(bytes), err);
    if (rc == DBK_OK) {
        rc = dbk_io_write(port, file, segment->name, DBK_SEGMENT_COPY_OFFSET, bytes, sizeof(bytes), err);
    }
    return rc == DBK_OK ? dbk_io_sync(port, file, segment->name, err) : rc;
}

/* Writes the headers if all went well so far; the handle is then the segment's, or closed. */
static dbk_result finish_prepared(const dbk_log *log, dbk_segment *segment, dbk_file *file, dbk_result rc,
                                  dbk_error *err)
{
    const dbk_port *port = log->port;

    if (rc == DBK_OK) rc = write_headers(port, file, segment, err);
    if (rc == DBK_OK) rc = dbk_io_sync_dir(port, log->dir, "log", err);
    if (rc == DBK_OK) return dbk_image_of(port, file, segment->name, &segment->image, err);
    port->close_file(port->ctx, file);
    return rc;
}

static dbk_result fill_prepared(const dbk_log *log, dbk_segment *segment, dbk_error *err)
{
    const dbk_port *port = log->port;
    uint64_t size = segment->header.size;
    int flags = DBK_OPEN_READ | DBK_OPEN_WRITE | DBK_OPEN_CREATE;
    dbk_file *file;

    dbk_result rc = dbk_io_open(port, log->dir, segment->name, flags, &file, err);
    if (rc != DBK_OK) return rc;
    int done = port->truncate(port->ctx, file, 0);
    if (done == 0) done = port->allocate(port->ctx, file, 0, size);
    if (done != 0) {
        rc = dbk_fail_os(err, dbk_result_of_errno(done), done, "cannot allocate segment '%s' of %llu bytes",
                         segment->name, (unsigned long long)size);
    }
    if (rc == DBK_OK) rc = write_zeros(port, file, segment->name, size, err);
    return finish_prepared(log, segment, file, rc, err);
}

dbk_result dbk_segment_prepare(const dbk_log *log, uint64_t number, uint64_t size, dbk_segment **out, dbk_error *err)
{
    const dbk_port *port = log->port;
    dbk_segment *segment = dbk_segment_new(port, number);

    *out = NULL;
    if (!segment) return dbk_fail(err, DBK_NO_MEMORY, "cannot prepare a segment: out of memory");
    memcpy(segment->header.store_id, log->options.store_id, 16);
    memcpy(segment->header.lineage, log->options.lineage, 16);
    segment->header.size = dbk_round_up(size, DBK_UNIT_MAX);
    segment->header.unit = log->unit;
    int drawn = port->random(port->ctx, &segment->header.salt, sizeof(segment->header.salt));
    segment->header.salt |= 1; /* 0 stands for unknown */
    dbk_result rc = drawn == 0 ? fill_prepared(log, segment, err)
                               : dbk_fail_os(err, DBK_IO, drawn, "cannot draw a salt for segment '%s'", segment->name);
    if (rc != DBK_OK) {
        dbk_segment_free(port, segment);
        return rc;
    }
    *out = segment;
    return DBK_OK;
}

dbk_result dbk_segment_adopt(const dbk_log *log, dbk_segment *segment, dbk_error *err)
{
    const dbk_port *port = log->port;
    int flags = DBK_OPEN_READ | DBK_OPEN_WRITE;
    dbk_file *file;

    dbk_result rc = dbk_io_open(port, log->dir, segment->name, flags, &file, err);
    return rc == DBK_OK ? finish_prepared(log, segment, file, rc, err) : rc;
}

/* Takes away the image unused for longest when too many are open (the active segment's stays). */
static dbk_image *evict(dbk_log *log)
{
    dbk_segment *oldest = NULL;
    size_t open = 0, memory = 0;

    for (size_t i = 0; i + 1 < log->segment_count; i++) {
        dbk_segment *segment = log->segments[i];
        if (!segment->image) continue;
        open++;
        memory += segment->image->memory;
        if (segment->image->pins) continue;
        if (!oldest || segment->image->used < oldest->image->used) oldest = segment;
    }
    if (!oldest || (open < DBK_OPEN_FILES_MAX && memory < DBK_OPEN_FILES_BYTES)) return NULL;
    dbk_image *image = oldest->image;
    oldest->image = NULL;
    return image;
}

dbk_image *dbk_segment_detach(dbk_segment *segment)
{
    dbk_image *image = segment->image;

    segment->image = NULL;
    if (!image || image->pins == 0) return image;
    image->detached = true;
    return NULL;
}

dbk_result dbk_segment_pin(dbk_log *log, dbk_segment *segment, dbk_image **image, dbk_error *err)
{
    dbk_image *opened = NULL, *spare = NULL;

    dbk_log_lock(log);
    if (!segment->image) {
        dbk_log_unlock(log);
        dbk_result rc = dbk_image_open(log->port, log->dir, segment->name, &opened, err);
        if (rc != DBK_OK) return rc;
        dbk_log_lock(log);
        spare = opened; /* another reader may have been quicker */
        if (!segment->image) {
            spare = evict(log);
            segment->image = opened;
        }
        segment->table_lost = segment->table_lost || opened->table_lost;
        log->parts_wanting = log->parts_wanting || opened->table_lost;
    }
    segment->image->pins++;
    segment->image->used = ++log->pins_given;
    *image = segment->image;
    dbk_log_unlock(log);
    dbk_image_close(spare);
    return DBK_OK;
}

void dbk_segment_unpin(dbk_log *log, dbk_image *image)
{
    dbk_log_lock(log);
    assert(image->pins > 0);
    bool last = --image->pins == 0 && image->detached;
    dbk_log_unlock(log);
    if (last) dbk_image_close(image);
}

dbk_result dbk_log_reserve_segment(dbk_log *log, dbk_error *err)
{
    size_t room = log->segment_room ? log->segment_room * 2 : 64;

    if (log->segment_count < log->segment_room) return DBK_OK;
    dbk_segment **grown = dbk_alloc_zero(log->port, room, sizeof(dbk_segment *));
    if (!grown) return dbk_fail(err, DBK_NO_MEMORY, "cannot take in a segment: out of memory");
    dbk_log_lock(log);
    dbk_segment **old = log->segments;
    if (old) memcpy(grown, old, log->segment_count * sizeof(dbk_segment *));
    log->segments = grown;
    log->segment_room = room;
    dbk_log_unlock(log);
    dbk_free(log->port, old);
    return DBK_OK;
}

dbk_result dbk_log_add_segment(dbk_log *log, dbk_segment *segment, dbk_error *err)
{
    dbk_result rc = dbk_log_reserve_segment(log, err);

    if (rc != DBK_OK) return rc;
    dbk_log_lock(log);
    log->segments[log->segment_count++] = segment;
    dbk_log_unlock(log);
    return DBK_OK;
}

void dbk_segment_source(const dbk_segment *segment, dbk_index_source *source)
{
    memset(source, 0, sizeof(*source));
    source->segment = segment->header.number;
    source->first_position = segment->first_position;
    source->last_position = segment->last_position;
    source->salt = segment->header.salt;
    memcpy(source->head, segment->head, sizeof(source->head));
    memcpy(source->top, segment->top, sizeof(source->top));
    source->ordered = segment->ordered;
}
