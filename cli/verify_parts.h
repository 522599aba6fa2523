/* What `verify` looks at beside the log. Internal to cli/. */
#ifndef DBK_CLI_VERIFY_PARTS_H
#define DBK_CLI_VERIFY_PARTS_H

#include "cli/cli.h"

typedef struct dbk_verify_fault {
    const char *error; /* precise name of the code */
    const char *file;  /* within the store */
    uint64_t offset, first_position, last_position;
    const char *text;
    unsigned law; /* of the four, which is at stake */
} dbk_verify_fault;
typedef void (*dbk_verify_fn)(void *arg, const dbk_verify_fault *fault);

enum { DBK_STORE_FORMAT = 1 };
/* The format number in daybook.json; 0: it cannot be read. */
int64_t dbk_verify_format(const dbk_port *port, dbk_dir *store);
/* daybook.json; its ids are put where the log's files are held against them. false: told (where `tell` is
 * not NULL), and unusable. */
bool dbk_verify_identity(const dbk_port *port, dbk_dir *store, dbk_log_options *options, dbk_verify_fn tell, void *arg);
/* Where daybook.json says no id: those that most of the log's files bear, so that they are at least held
 * against each other. */
void dbk_verify_borrow_id(const dbk_port *port, dbk_dir *log, dbk_log_options *options);
/* The definition in app/ loads, and is the one that the log recorded last. `file` becomes the name of the inline
 * model's file; "": the definition does not say it. */
enum { DBK_VERIFY_FILE_SIZE = 80 };
void dbk_verify_app(const dbk_port *port, const char *path, dbk_dir *log, const dbk_log_options *options,
                    dbk_verify_fn tell, void *arg, char file[DBK_VERIFY_FILE_SIZE]);
/* models/current names a whole SQLite file, and that of each async model too. Looked at as bytes: SQLite itself would
 * write beside it. A file of another name than `file` is that of an upgrade which the next opening ends. */
void dbk_verify_models(const dbk_port *port, dbk_dir *store, const char *file, dbk_verify_fn tell, void *arg);

/* Mends the log from another folder by proof (dbk_log_mend), under the store's lock, and puts what was done
 * into `out`: lines, or members of a JSON array. */
dbk_result dbk_verify_repair(const dbk_port *port, dbk_dir *store, const char *from, bool json, dbk_buffer *out,
                             dbk_error *err) DBK_MUST_USE;

#endif
