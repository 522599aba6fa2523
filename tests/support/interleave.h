/* Threads that run one at a time, in an order drawn from a seed: a port over the simulated machine whose mutexes,
 * conditions, threads and clock are this file's. At each of these calls, and at calls on files, another thread may go
 * on in place of the caller. Time passes only where all wait, and now and then by a leap. All of them run on the
 * caller's own thread of the machine, each on a stack of its own, so that a run follows from its seed alone.
 *
 * SQLite is not to be given this port but the disk's own: no thread may be left while it is inside SQLite's locks. */
#ifndef TESTS_SUPPORT_INTERLEAVE_H
#define TESTS_SUPPORT_INTERLEAVE_H

#include "base/simdisk.h"

typedef struct interleave interleave;

/* One at a time. `disk` must outlive it; memory is the host's. `on_stuck` is told why the run cannot go on: all wait
 * for each other, or it does not end; it does not return. */
interleave *interleave_new(dbk_simdisk *disk, uint64_t seed, void (*on_stuck)(const char *why));
/* All threads have been joined. */
void interleave_free(interleave *i);
const dbk_port *interleave_port(const interleave *i);
uint64_t interleave_draw(interleave *i, uint64_t limit); /* 0 … limit - 1, of the same seed */
void interleave_yield(interleave *i);                    /* another thread's turn, perhaps */
uint64_t interleave_switches(const interleave *i);

#endif
