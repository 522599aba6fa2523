/* Internal to projector/: how much memory SQL of the app and of clients may take (model/memory.c).
 *
 * Counted is what SQLite takes between begin and end in the thread that called begin, less what it gives back:
 * sorting, temporary tables, values in work. Where it would take more than the bound, it is told that there is
 * none: the statement fails with SQLITE_NOMEM, and all others go on.
 *
 * What a connection keeps of its file, pages and the journal in memory, is given by its settings and bounded by them.
 * It is left out for a connection that says so: a build keeps more than the model that serves, and both must skip the
 * same entries. */
#ifndef DBK_PROJECTOR_MODEL_MEMORY_H
#define DBK_PROJECTOR_MODEL_MEMORY_H

#include <stdbool.h>
#include <stdint.h>

typedef struct dbk_memory_bound {
    int64_t used, most, max; /* bytes */
    bool exceeded;
    uint32_t words;     /* of MATCH */
    struct sqlite3 *db; /* whose file is left out; NULL: none is */
    int64_t kept;       /* of it, at the begin */
    struct dbk_memory_bound *outer;
} dbk_memory_bound;

enum {
    DBK_SQL_VALUE_MAX_BYTES = 32 * 1024 * 1024, /* of what SQL of the app makes */
    DBK_SQL_MEMORY_MIB = 64,                    /* a query, a decision, an upcast, a look of retention, each */
    DBK_SQL_FOLD_MEMORY_MIB = 256,              /* a statement of a projection in the fold */
    DBK_SQL_WORDS = 16384,                      /* of MATCH within one bound; 16 bytes in quotes count as one */
    DBK_SQL_MEMORY_RETURNED_MIB = 16            /* what took more gives it back to the machine at once */
};

/* Before SQLite wakes; refused (false) in a program that has used it already: nothing is bounded there. */
bool dbk_memory_install(void);
void dbk_memory_begin(dbk_memory_bound *bound, struct sqlite3 *db, int64_t max_bytes);
/* Whether the bound was met. In the thread of begin, the last begun first. */
bool dbk_memory_end(dbk_memory_bound *bound);
/* A word, or what stands in quotes, of a text of MATCH; false: more than this thread's statement may have. */
bool dbk_memory_take_words(int bytes);

#endif
