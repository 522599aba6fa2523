/* Rows that a rule of time ends are kept in a file first (retention[].archive of app.json).
 *
 *   1. the file of the day's path below files/ is opened, folders are made, what stands in it is looked at
 *   2. lines of the piece that it has not are written behind its end; a torn line there gets an end
 *   3. file and folders are synced
 *   4. only then the caller ends the rows
 *
 * A crash before 4 leaves lines of rows that are still there: the next sweep finds them at the file's end and writes
 * them no second time. A crash within 2 leaves a torn line. Nothing that was written is ever cut off but what this very
 * call wrote and could not end. Of a CSV that cannot be written on (archive_look.c) the next number begins: jobs.csv,
 * jobs-2.csv. That a write harms no byte beside it is what SQLite takes a disk for, too. */
#include "store/archive.h"

#include <stdio.h>

#include "store/disk.h"
#include "store/folders.h"

enum { NAME_SIZE = 256, NUMBER_MAX = 9999, KNOWN_MAX = 4000 };

typedef struct dbk_keeping { /* one call */
    dbk_engine *engine;
    const dbk_port *port;
    dbk_archive *archive;
    const dbk_archive_piece *piece;
    dbk_buffer path, out;
    dbk_folders folders;
    char name[NAME_SIZE];
    dbk_file *file;
    dbk_identity identity;
    dbk_archive_sight sight;
    bool looked; /* the file's end was read: it is not known that its name is durable */
} dbk_keeping;

/* ---- the path */

/* {year}, {month}, {day} and {date} of the sweep, UTC. */
static dbk_result put_path(dbk_keeping *k, dbk_error *err)
{
    static const struct {
        const char *name;
        size_t at, size;
    } pieces[] = {{"{year}", 0, 4}, {"{month}", 5, 2}, {"{day}", 8, 2}, {"{date}", 0, 10}};
    char time[DBK_TIME_TEXT_SIZE];

    dbk_time_rfc3339(k->piece->now_ms, time);
    for (const char *at = k->piece->rule->archive; *at;) {
        size_t i = 0;
        while (i < 4 && strncmp(at, pieces[i].name, strlen(pieces[i].name)) != 0) i++;
        if (i < 4) dbk_buffer_put(&k->path, time + pieces[i].at, pieces[i].size);
        else dbk_buffer_put_u8(&k->path, (uint8_t)*at);
        at += i < 4 ? strlen(pieces[i].name) : 1;
    }
    if (!dbk_buffer_text(&k->path)) return dbk_fail(err, DBK_NO_MEMORY, "no memory for the path of an archive");
    uint64_t sum = dbk_checksum(dbk_buffer_slice(&k->path), 1) | 1;
    if (sum != k->archive->path) *k->archive = (dbk_archive){.path = sum, .number = 1, .known = k->archive->known};
    return DBK_OK;
}

static void name_file(dbk_keeping *k, const char *file)
{
    const char *dot = strrchr(file, '.');

    if (k->archive->number == 1) (void)snprintf(k->name, sizeof k->name, "%s", file);
    else (void)snprintf(k->name, sizeof k->name, "%.*s-%u%s", (int)(dot - file), file, k->archive->number, dot);
}

/* ---- the file */

static bool is_as_it_was_left(const dbk_keeping *k)
{
    const dbk_archive *a = k->archive;
    return a->inode && a->inode == k->identity.inode && a->device == k->identity.device &&
           a->size == k->identity.size_bytes;
}

static dbk_result open_file(dbk_keeping *k, dbk_error *err)
{
    int flags = DBK_OPEN_READ | DBK_OPEN_WRITE | DBK_OPEN_CREATE;
    dbk_result result = dbk_io_open(k->port, dbk_folders_last(&k->folders), k->name, flags, &k->file, err);

    if (result != DBK_OK) return result;
    int rc = k->port->identify_file(k->port->ctx, k->file, &k->identity);
    if (rc < 0) return dbk_fail_os(err, dbk_result_of_errno(rc), rc, "cannot look at '%s'", k->name);
    if (is_as_it_was_left(k)) {
        bool fits = !k->piece->rule->archive_csv || k->identity.size_bytes <= DBK_ARCHIVE_CSV_BYTES_MAX;
        k->sight = (dbk_archive_sight){.fits = fits, .size = k->identity.size_bytes};
        return DBK_OK;
    }
    k->looked = true;
    return dbk_archive_look(k->port, k->file, k->name, k->piece->rule, &k->sight, &k->archive->known, err);
}

static void close_file(dbk_keeping *k)
{
    if (k->file) k->port->close_file(k->port->ctx, k->file);
    k->file = NULL;
}

/* The first number whose file may be written on, from the one that was last. */
static dbk_result find_file(dbk_keeping *k, dbk_error *err)
{
    const char *file;
    dbk_result result = dbk_folders_open(k->engine, &k->folders, (const char *)k->path.data, true, &file, err);

    while (result == DBK_OK) {
        name_file(k, file);
        result = open_file(k, err);
        if (result != DBK_OK || k->sight.fits) return result;
        close_file(k);
        dbk_archive_doubt(k->archive);
        if (k->archive->number == NUMBER_MAX)
            result = dbk_fail(err, DBK_TOO_BIG, "there are %d files of '%s' already", NUMBER_MAX, file);
        else k->archive->number++;
    }
    return result;
}

/* ---- what is written */

static bool is_known(const dbk_archive *archive, const uint8_t *digest)
{
    for (size_t at = 0; at < archive->known.size; at += DBK_ARCHIVE_DIGEST_SIZE)
        if (memcmp(archive->known.data + at, digest, DBK_ARCHIVE_DIGEST_SIZE) == 0) return true;
    return false;
}

static dbk_archive_mark mark_of(const dbk_archive_piece *piece, size_t index)
{
    dbk_archive_mark mark;
    memcpy(&mark, piece->marks.data + index * sizeof mark, sizeof mark);
    return mark;
}

static dbk_result put_new_lines(dbk_keeping *k, dbk_error *err)
{
    size_t at = 0, count = k->piece->marks.size / sizeof(dbk_archive_mark);

    if (k->sight.torn) dbk_buffer_put_u8(&k->out, '\n');
    if (k->sight.size == 0) dbk_archive_put_header(k->piece->rule, &k->out);
    for (size_t i = 0; i < count; i++) {
        dbk_archive_mark mark = mark_of(k->piece, i);
        if (!is_known(k->archive, mark.digest)) dbk_buffer_put(&k->out, k->piece->lines.data + at, (size_t)mark.size);
        at += (size_t)mark.size;
    }
    return k->out.failed ? dbk_fail(err, DBK_NO_MEMORY, "no memory for lines of an archive") : DBK_OK;
}

/* What could not be made durable is taken back: what a failed sync leaves nobody knows, and a full disk needs the room. */
static dbk_result write_lines(dbk_keeping *k, dbk_error *err)
{
    dbk_result result = put_new_lines(k, err);

    if (result != DBK_OK) return result;
    if (k->out.size) {
        result = dbk_io_write(k->port, k->file, k->name, k->sight.size, k->out.data, k->out.size, err);
        if (result == DBK_OK) result = dbk_io_sync(k->port, k->file, k->name, err);
        if (result != DBK_OK) (void)k->port->truncate(k->port->ctx, k->file, k->sight.size);
    }
    return result == DBK_OK && k->looked ? dbk_folders_sync(k->engine, &k->folders, err) : result;
}

static dbk_result keep(dbk_keeping *k, dbk_error *err)
{
    dbk_archive *archive = k->archive;
    dbk_result result = DBK_OK;

    dbk_disk_look(k->engine);
    if (k->engine->disk.full) result = dbk_disk_refuse(k->engine, err);
    if (result == DBK_OK) result = put_path(k, err);
    if (result == DBK_OK) result = find_file(k, err);
    dbk_archive_doubt(archive);
    if (result == DBK_OK) result = write_lines(k, err);
    if (result != DBK_OK) return result;
    archive->device = k->identity.device;
    archive->inode = k->identity.inode;
    archive->size = k->sight.size + k->out.size;
    return DBK_OK;
}

dbk_result dbk_archive_keep(dbk_engine *engine, dbk_archive *archive, const dbk_archive_piece *piece, dbk_error *err)
{
    dbk_keeping k = {.engine = engine, .port = engine->port, .archive = archive, .piece = piece};

    dbk_buffer_init(&k.path, engine->port);
    dbk_buffer_init(&k.out, engine->port);
    dbk_result result = keep(&k, err);
    close_file(&k);
    dbk_folders_close(engine, &k.folders);
    dbk_buffer_release(&k.path);
    dbk_buffer_release(&k.out);
    if (result == DBK_OK) return DBK_OK;
    return dbk_error_wrap(err, result, "cannot archive what the retention rule '%s' ends", piece->rule->name);
}

void dbk_archive_stays(dbk_archive *archive, const dbk_archive_piece *piece, size_t index)
{
    dbk_archive_mark mark = mark_of(piece, index);
    dbk_buffer *known = &archive->known;

    if (is_known(archive, mark.digest)) return;
    if (known->size >= (size_t)KNOWN_MAX * DBK_ARCHIVE_DIGEST_SIZE) {
        known->size -= DBK_ARCHIVE_DIGEST_SIZE;
        memmove(known->data, known->data + DBK_ARCHIVE_DIGEST_SIZE, known->size);
    }
    dbk_buffer_put(known, mark.digest, sizeof mark.digest);
    if (!known->failed) return;
    known->failed = false;
    dbk_archive_doubt(archive);
}
