/* Internal to store/: files that keep the rows which a rule of time is about to end (retention[].archive). The caller
 * holds engine->turn. archive.c: which file, and writing it; archive_look.c: what stands in it; archive_line.c: a row
 * as a line. */
#ifndef DBK_STORE_ARCHIVE_H
#define DBK_STORE_ARCHIVE_H

#include "projector/rules.h"
#include "store/engine.h"

/* What is known of a rule's file from piece to piece, so that it is not read again; zero at first, but for
 * `known`, which its owner initialises and releases. */
typedef struct dbk_archive {
    uint64_t path;                /* checksum of its path; 0: nothing is known */
    uint32_t number;              /* of several of that path, from 1 */
    uint64_t device, inode, size; /* of the file as it was left: whole, and durable with its name; inode 0: not known */
    dbk_buffer known;             /* digests of lines that it has, and whose rows may come again */
} dbk_archive;

/* Lines of rows, in their order. */
typedef struct dbk_archive_piece {
    const dbk_retention_rule *rule;
    dbk_json_parser *parser;
    int64_t now_ms;
    dbk_buffer row;          /* of the next line, as a JSON object */
    dbk_buffer lines, marks; /* marks: a dbk_archive_mark for each line */
} dbk_archive_piece;

enum {
    DBK_ARCHIVE_DIGEST_SIZE = 16,
    DBK_ARCHIVE_CSV_BYTES_MAX = 32 * 1024 * 1024, /* of a CSV: above it the next number begins */
};
typedef struct dbk_archive_mark {
    uint8_t digest[DBK_ARCHIVE_DIGEST_SIZE];
    uint64_t size; /* of the line with its end */
} dbk_archive_mark;

/* All lines are in the file and durable when it returns DBK_OK; those that its end has already are not written again.
 * After a failure it is as it was or has some lines more, which the next call finds. */
dbk_result dbk_archive_keep(dbk_engine *engine, dbk_archive *archive, const dbk_archive_piece *piece,
                            dbk_error *err) DBK_MUST_USE;
/* The row of the line at `index` was not ended and comes again: its line is not written twice. */
void dbk_archive_stays(dbk_archive *archive, const dbk_archive_piece *piece, size_t index);
/* What was written may not have counted: the file's end is read before anything else is written. */
static inline void dbk_archive_doubt(dbk_archive *archive)
{
    archive->inode = 0;
}

/* ---- archive_line.c */

/* `engine`, its parser and `rule` are borrowed, until release. Clear forgets the lines, not the rule. */
void dbk_archive_piece_init(dbk_archive_piece *piece, dbk_engine *engine, const dbk_retention_rule *rule,
                            int64_t now_ms);
void dbk_archive_piece_release(dbk_archive_piece *piece);
void dbk_archive_piece_clear(dbk_archive_piece *piece);
/* The line of piece->row. `id`: of the command that ends it; `base`: the entry that wrote it last, "" where there is
 * none. */
dbk_result dbk_archive_piece_add(dbk_archive_piece *piece, dbk_slice key, dbk_slice id, const char *base,
                                 dbk_error *err) DBK_MUST_USE;
/* The first line of a CSV; nothing of another form. */
void dbk_archive_put_header(const dbk_retention_rule *rule, dbk_buffer *out);
/* Equal for lines that say the same of a row; the time at which they say it is left out. */
void dbk_archive_digest(dbk_slice line, uint8_t out[DBK_ARCHIVE_DIGEST_SIZE]);

/* ---- archive_look.c */

typedef struct dbk_archive_sight {
    bool fits; /* may be written on: it has room, and of a CSV the header is the rule's and the end that of a line */
    bool torn; /* the last line has no end */
    uint64_t size;
} dbk_archive_sight;
/* The file as it is on the disk; the digests of its last lines are put to `known`, which is cleared first. */
dbk_result dbk_archive_look(const dbk_port *port, dbk_file *file, const char *name, const dbk_retention_rule *rule,
                            dbk_archive_sight *sight, dbk_buffer *known, dbk_error *err) DBK_MUST_USE;

#endif
