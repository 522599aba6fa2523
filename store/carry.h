/* Internal to store/: entries carried into the log of a new store, in batches as they were received. */
#ifndef DBK_STORE_CARRY_H
#define DBK_STORE_CARRY_H

#include "store/identity.h"

enum { DBK_CARRY_MAX_ENTRIES = 1000, DBK_CARRY_MAX_BYTES = 4 * 1024 * 1024 };

typedef struct dbk_carry {
    const dbk_port *port;
    dbk_dir *folder;
    dbk_log *log;
    dbk_buffer bytes; /* origin bytes of the batch */
    size_t sizes[DBK_CARRY_MAX_ENTRIES];
    size_t count;
    int64_t received_ms;
} dbk_carry;

/* Opens the log that dbk_store_make has put into `dir`. Close it in any case. */
dbk_result dbk_carry_open(dbk_carry *carry, const dbk_port *port, dbk_dir *dir, const dbk_engine_options *options,
                          const dbk_identity_file *identity, dbk_error *err) DBK_MUST_USE;
dbk_result dbk_carry_add(dbk_carry *carry, dbk_slice origin, int64_t received_ms, dbk_error *err) DBK_MUST_USE;
dbk_result dbk_carry_flush(dbk_carry *carry, dbk_error *err) DBK_MUST_USE;
void dbk_carry_close(dbk_carry *carry);

/* A random timeline, and a random incarnation where *incarnation is 0: neither the first store's nor `other`. */
dbk_result dbk_draw_life(const dbk_port *port, uint32_t other, uint32_t *incarnation, char timeline[17],
                         dbk_error *err) DBK_MUST_USE;

#endif
