/* Packing one segment into a file beside it (internal). */
#ifndef DBK_LOG_PACK_WRITE_H
#define DBK_LOG_PACK_WRITE_H

#include "log/cells_write.h"
#include "log/internal.h"

typedef struct dbk_pack_job {
    const dbk_port *port;
    dbk_dir *dir;
    dbk_segment segment; /* a copy: sealed, with its places and positions */
    dbk_image *image;    /* its plain form */
    const char *name;    /* of the file to be made; one that is there is overwritten */
    bool (*stop)(void *arg);
    void *arg;
} dbk_pack_job;

/* Reads the plain form through, with all checks down to the heads, and writes the packed one: synced,
 * then read back from the disk and checked. DBK_CORRUPT: the plain form is damaged, or what was
 * written did not read back. DBK_END: stopped. The file is left behind in any case. */
dbk_result dbk_pack_write(const dbk_pack_job *job, dbk_pack_head *head, dbk_error *err) DBK_MUST_USE;

/* dictionary.c: one made of the segment's entries, for as long as `out` has it; none where there are too few of them,
 * or it cannot be made. */
dbk_result dbk_pack_train(const dbk_pack_job *job, dbk_buffer *out, dbk_error *err) DBK_MUST_USE;

/* pack_sink.c: blocks go into a file in pieces, synced now and then so that no sync is long. */
typedef struct dbk_pack_sink {
    const dbk_port *port;
    const char *name;
    dbk_file *file;
    dbk_packer *packer;
    dbk_cell_writer cells;
    dbk_slice dictionary; /* the caller's */
    dbk_buffer out;       /* not written yet */
    dbk_buffer rows;      /* of the blocks so far */
    uint64_t written, synced;
    uint32_t block_count;
} dbk_pack_sink;
dbk_result dbk_pack_sink_open(dbk_pack_sink *sink, const dbk_port *port, dbk_dir *dir, const char *name,
                              const dbk_segment_header *header, dbk_slice dictionary, dbk_error *err) DBK_MUST_USE;
void dbk_pack_sink_release(dbk_pack_sink *sink);
/* Compresses a block; delta, continued, received_ms and plain_offset are the caller's, and `before`: the entries of the
 * log in front of it. */
dbk_result dbk_pack_sink_put(dbk_pack_sink *sink, dbk_slice plain, dbk_pack_block *block, const dbk_range *before,
                             dbk_error *err) DBK_MUST_USE;
/* Table and heads; `rest` is what stands behind the rows. Synced when it returns DBK_OK. */
dbk_result dbk_pack_sink_finish(dbk_pack_sink *sink, dbk_slice rest, dbk_pack_head *head, dbk_error *err) DBK_MUST_USE;

#endif
