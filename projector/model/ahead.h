/* Internal to projector/: what a model asks of a round that the log does not have yet (model/ahead.c). */
#ifndef DBK_PROJECTOR_AHEAD_H
#define DBK_PROJECTOR_AHEAD_H

#include "projector/rows/internal.h"

/* An entry of the round; all borrowed from it. */
typedef struct dbk_ahead_entry {
    dbk_slice origin;
    const uint8_t *key; /* DBK_ORDER_KEY_SIZE */
} dbk_ahead_entry;

/* The last one before *index that has an event on the stream; *index becomes its own. false: there is none. */
bool dbk_ahead_find_stream(const dbk_ahead *ahead, dbk_slice stream, size_t *index, dbk_ahead_entry *out);
/* Its order key; NULL: it is not of the round. `entry` is an entry id as text. */
const uint8_t *dbk_ahead_key_of(const dbk_ahead *ahead, const char *entry);

#endif
