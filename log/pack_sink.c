/* Writing the file of a packed segment: blocks one behind the other, then the table and the second head, a sync, and
 * only then the first head and another sync. A file that a crash cut short therefore has no head at its begin, or
 * none at its end, and is made anew. It is synced on the way, each SYNC_BYTES, so that no sync beside the writer's
 * is a long one. */
#include "log/pack_write.h"

enum { WRITE_BYTES = 256 * 1024, SYNC_BYTES = 1024 * 1024 };

dbk_result dbk_pack_sink_open(dbk_pack_sink *sink, const dbk_port *port, dbk_dir *dir, const char *name,
                              const dbk_segment_header *header, dbk_slice dictionary, dbk_error *err)
{
    memset(sink, 0, sizeof(*sink));
    sink->port = port;
    sink->name = name;
    sink->dictionary = dictionary;
    dbk_buffer_init(&sink->out, port);
    dbk_buffer_init(&sink->rows, port);
    sink->packer = dbk_packer_new(port, dictionary);
    dbk_cell_writer_init(&sink->cells, port, header, sink->packer);
    uint8_t *head = dbk_buffer_extend(&sink->out, DBK_PACK_HEAD_SIZE); /* written last */
    if (!sink->packer || !head) return dbk_fail(err, DBK_NO_MEMORY, "cannot pack into '%s': out of memory", name);
    memset(head, 0, DBK_PACK_HEAD_SIZE);
    dbk_buffer_put_slice(&sink->out, dictionary);
    dbk_result rc = dbk_io_open(port, dir, name, DBK_OPEN_READ | DBK_OPEN_WRITE | DBK_OPEN_CREATE, &sink->file, err);
    if (rc != DBK_OK) return rc;
    int done = port->truncate(port->ctx, sink->file, 0);
    return done == 0 ? DBK_OK : dbk_fail_os(err, dbk_result_of_errno(done), done, "cannot empty '%s'", name);
}

void dbk_pack_sink_release(dbk_pack_sink *sink)
{
    if (sink->file) sink->port->close_file(sink->port->ctx, sink->file);
    if (sink->port) dbk_cell_writer_release(&sink->cells);
    dbk_packer_free(sink->packer);
    dbk_buffer_release(&sink->out);
    dbk_buffer_release(&sink->rows);
    memset(sink, 0, sizeof(*sink));
}

static dbk_result write_out(dbk_pack_sink *sink, dbk_error *err)
{
    if (sink->out.failed) return dbk_fail(err, DBK_NO_MEMORY, "cannot pack into '%s': out of memory", sink->name);
    dbk_result rc =
        dbk_io_write(sink->port, sink->file, sink->name, sink->written, sink->out.data, sink->out.size, err);
    if (rc != DBK_OK) return rc;
    sink->written += sink->out.size;
    dbk_buffer_clear(&sink->out);
    if (sink->written - sink->synced < SYNC_BYTES) return DBK_OK;
    sink->synced = sink->written;
    return dbk_io_sync(sink->port, sink->file, sink->name, err);
}

dbk_result dbk_pack_sink_put(dbk_pack_sink *sink, dbk_slice plain, dbk_pack_block *block, const dbk_range *before,
                             dbk_error *err)
{
    uint8_t row[DBK_PACK_BLOCK_ROW];
    dbk_slice packed;

    if (!dbk_cell_writer_put(&sink->cells, plain, block, before, &packed))
        return dbk_fail(err, DBK_NO_MEMORY, "cannot pack into '%s': out of memory", sink->name);
    dbk_pack_block_encode(block, row);
    dbk_buffer_put(&sink->rows, row, sizeof(row));
    dbk_buffer_put_slice(&sink->out, packed);
    sink->block_count++;
    return sink->out.size >= WRITE_BYTES || sink->out.failed ? write_out(sink, err) : DBK_OK;
}

/* The head is written when all behind it is synced: a file that was cut short has none. */
dbk_result dbk_pack_sink_finish(dbk_pack_sink *sink, dbk_slice rest, dbk_pack_head *head, dbk_error *err)
{
    uint8_t bytes[DBK_PACK_HEAD_SIZE], zeros[DBK_PACK_HEAD_SIZE] = {0};

    dbk_buffer_put_slice(&sink->out, sink->dictionary);
    head->celled = true;
    head->dictionary_bytes = (uint32_t)sink->dictionary.size;
    head->dictionary_checksum = sink->dictionary.size ? dbk_pack_dictionary_checksum(sink->dictionary) : 0;
    head->block_count = sink->block_count;
    head->table_offset = sink->written + sink->out.size;
    dbk_buffer_put_slice(&sink->rows, rest);
    if (sink->rows.failed) return dbk_fail(err, DBK_NO_MEMORY, "cannot pack into '%s': out of memory", sink->name);
    head->table_checksum = dbk_pack_table_checksum(sink->cells.header, dbk_buffer_slice(&sink->rows));
    dbk_buffer_put_slice(&sink->out, dbk_buffer_slice(&sink->rows));
    uint64_t end = sink->written + sink->out.size;
    dbk_buffer_put(&sink->out, zeros, (size_t)(dbk_round_up(end, sizeof(zeros)) - end));
    head->file_bytes = dbk_round_up(end, sizeof(zeros)) + sizeof(bytes);
    dbk_pack_head_encode(sink->cells.header, head, bytes);
    dbk_buffer_put(&sink->out, bytes, sizeof(bytes));
    dbk_result rc = write_out(sink, err);
    if (rc == DBK_OK) rc = dbk_io_sync(sink->port, sink->file, sink->name, err);
    if (rc == DBK_OK) rc = dbk_io_write(sink->port, sink->file, sink->name, 0, bytes, sizeof(bytes), err);
    return rc == DBK_OK ? dbk_io_sync(sink->port, sink->file, sink->name, err) : rc;
}
