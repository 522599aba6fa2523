/* Internal to store/: daybook.json. */
#ifndef DBK_STORE_IDENTITY_H
#define DBK_STORE_IDENTITY_H

#include "store/engine.h"

/* DBK_MISSING: no such file; DBK_CORRUPT: not readable as one; DBK_VERSION: a newer format. */
dbk_result dbk_identity_read(const dbk_port *port, dbk_dir *dir, dbk_identity_file *identity,
                             dbk_error *err) DBK_MUST_USE;
dbk_result dbk_identity_write(const dbk_port *port, dbk_dir *dir, const dbk_identity_file *identity,
                              dbk_error *err) DBK_MUST_USE;
/* New random ids, or the given ones of the options. */
dbk_result dbk_identity_fresh(const dbk_engine_options *options, const dbk_port *port, dbk_identity_file *identity,
                              dbk_error *err) DBK_MUST_USE;
/* create.c: a new store; daybook.json comes last, behind what `fill` puts into it (NULL: nothing). The
 * texts of the definition go to app/ with keep_sources. */
typedef dbk_result (*dbk_fill_fn)(void *arg, const dbk_port *port, dbk_dir *dir, const dbk_engine_options *options,
                                  const dbk_identity_file *identity, dbk_error *err);
typedef struct dbk_store_plan {
    const dbk_definition *definition;
    bool keep_sources;
    dbk_fill_fn fill;
    void *fill_arg;
} dbk_store_plan;
dbk_result dbk_store_make(const char *path, const dbk_store_plan *plan, const dbk_engine_options *options,
                          dbk_error *err) DBK_MUST_USE;

#endif
