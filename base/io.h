/* Files as the engine uses them: whole reads and writes around the port's raw calls, with error
 * records that name the file. EINTR and short counts are taken care of here, once (F20). */
#ifndef DBK_IO_H
#define DBK_IO_H

#include "base/bytes.h"
#include "base/error.h"
#include "base/port.h"

/* All of it blocks, and may be called by any thread; one file is written by one thread at a time. Codes are those of
 * dbk_result_of_errno, so DBK_MISSING, DBK_EXISTS, DBK_NO_SPACE, DBK_NO_FILES, DBK_READ_ONLY, else DBK_IO. What is
 * opened is the caller's: port->close_dir, port->close_file.
 *
 * Where there is a file or directory too, `name` appears in error texts only. Flags are DBK_OPEN_…; a parent of NULL
 * makes `name` a path. */
dbk_result dbk_io_open_dir(const dbk_port *port, dbk_dir *parent, const char *name, int flags, dbk_dir **out,
                           dbk_error *err) DBK_MUST_USE;
dbk_result dbk_io_open(const dbk_port *port, dbk_dir *dir, const char *name, int flags, dbk_file **out,
                       dbk_error *err) DBK_MUST_USE; /* mode 0600 */
/* Up to `size` bytes from `offset`; *got is less only at the end of the file. */
dbk_result dbk_io_read(const dbk_port *port, dbk_file *file, const char *name, uint64_t offset, void *out, size_t size,
                       size_t *got, dbk_error *err) DBK_MUST_USE;
/* All of it or a failure, after which some may be written. Not durable before dbk_io_sync (DIRECT: when it returns). */
dbk_result dbk_io_write(const dbk_port *port, dbk_file *file, const char *name, uint64_t offset, const void *data,
                        size_t size, dbk_error *err) DBK_MUST_USE;
/* Content and size are durable when it returns. After a failure nobody knows what is, and a second sync may say
 * that all is well: it is never tried again (R12). */
dbk_result dbk_io_sync(const dbk_port *port, dbk_file *file, const char *name, dbk_error *err) DBK_MUST_USE;
/* The names in it are durable when it returns. */
dbk_result dbk_io_sync_dir(const dbk_port *port, dbk_dir *dir, const char *name, dbk_error *err) DBK_MUST_USE;
dbk_result dbk_io_size(const dbk_port *port, dbk_file *file, const char *name, uint64_t *size,
                       dbk_error *err) DBK_MUST_USE;
/* The whole file into `out` (cleared first); DBK_TOO_BIG over `limit` bytes, DBK_MISSING. */
dbk_result dbk_io_read_file(const dbk_port *port, dbk_dir *dir, const char *name, size_t limit, dbk_buffer *out,
                            dbk_error *err) DBK_MUST_USE;
/* Replaces or creates `name` whole: temporary file in the same directory, sync, rename, directory
 * sync (R16). After a failure the old content stands, or the new one: never a mixture. */
dbk_result dbk_io_replace_file(const dbk_port *port, dbk_dir *dir, const char *name, dbk_slice content,
                               dbk_error *err) DBK_MUST_USE;
/* The same for a file that others write too: `may` (NULL: always) is asked when all is done but the rename; where it
 * says no, `name` stays as it is and the answer is DBK_NONE. */
dbk_result dbk_io_replace_file_if(const dbk_port *port, dbk_dir *dir, const char *name, dbk_slice content,
                                  bool (*may)(void *arg), void *arg, dbk_error *err) DBK_MUST_USE;

/* What of an identity stays with the inode and leaves with no copy: the time it was made, else its number. */
enum { DBK_IDENTITY_TEXT_SIZE = 24 };
void dbk_identity_text(const dbk_identity *identity, char out[DBK_IDENTITY_TEXT_SIZE]);

/* Short forms of the port's memory calls; free accepts NULL. */
static inline void *dbk_alloc(const dbk_port *port, size_t size)
{
    return port->alloc(port->ctx, size);
}
static inline void dbk_free(const dbk_port *port, void *memory)
{
    if (memory) port->free(port->ctx, memory);
}
/* NULL: out of memory, of dbk_alloc_zero on overflow too. What they give is the caller's: dbk_free. */
void *dbk_alloc_zero(const dbk_port *port, size_t count, size_t size);
char *dbk_copy_text(const dbk_port *port, const char *text);

/* What the process's environment says; NULL: nothing. For defaults that an operator may override. */
const char *dbk_io_environment(const char *name);

#endif
