/* SQLite's allocator, behind a count by thread (docs/decisions/0030-memory-of-sql.md). Nothing is counted, and nothing
 * but a look at one variable of the thread is paid, outside a bound. */
#include "projector/model/memory.h"

#include "base/base.h"
#include <assert.h>
#include <sqlite3.h>

/* JOURNAL_SHARE: of a journal in memory, that its chunks' heads take. */
enum { JOURNAL_SHARE = 64, WORD_BYTES = 16 };

/* Found without a call: a library that is loaded late has room for so little, too. */
static _Thread_local dbk_memory_bound *bound_here __attribute__((tls_model("initial-exec")));
static sqlite3_mem_methods usual;

static void count(dbk_memory_bound *bound, int64_t bytes)
{
    bound->used += bytes;
    if (bound->used > bound->most) bound->most = bound->used;
}

/* Pages and the journal of the connection's file. Both calls only read counters, so that they may be asked from
 * within an allocation; and they are asked only where the count without them is over the bound. */
static int64_t kept_of_file(sqlite3 *db)
{
    int cache = 0, highest;
    sqlite3_file *journal = NULL;
    sqlite3_int64 size = 0;
    (void)sqlite3_db_status(db, SQLITE_DBSTATUS_CACHE_USED, &cache, &highest, 0);
    if (sqlite3_file_control(db, "main", SQLITE_FCNTL_JOURNAL_POINTER, &journal) != SQLITE_OK || !journal) return cache;
    if (!journal->pMethods || journal->pMethods->xFileSize(journal, &size) != SQLITE_OK) size = 0;
    return cache + size + size / JOURNAL_SHARE;
}

static bool has_room(dbk_memory_bound *bound, int64_t bytes)
{
    if (bound->used + bytes <= bound->max) return true;
    if (bound->db && bound->used + bytes - (kept_of_file(bound->db) - bound->kept) <= bound->max) return true;
    bound->exceeded = true;
    return false;
}

static void *take(int size)
{
    dbk_memory_bound *bound = bound_here;
    if (!bound) return usual.xMalloc(size);
    void *memory = has_room(bound, size) ? usual.xMalloc(size) : NULL;
    if (memory) count(bound, usual.xSize(memory));
    return memory;
}

static void give_back(void *memory)
{
    if (bound_here && memory) count(bound_here, -(int64_t)usual.xSize(memory));
    usual.xFree(memory);
}

static void *resize(void *memory, int size)
{
    dbk_memory_bound *bound = bound_here;
    if (!bound) return usual.xRealloc(memory, size);
    int64_t before = memory ? usual.xSize(memory) : 0;
    void *resized = has_room(bound, size - before) ? usual.xRealloc(memory, size) : NULL;
    if (resized) count(bound, usual.xSize(resized) - before);
    return resized;
}

bool dbk_memory_install(void)
{
    if (sqlite3_config(SQLITE_CONFIG_GETMALLOC, &usual) != SQLITE_OK) return false;
    sqlite3_mem_methods counted = usual;
    counted.xMalloc = take;
    counted.xFree = give_back;
    counted.xRealloc = resize;
    return sqlite3_config(SQLITE_CONFIG_MALLOC, &counted) == SQLITE_OK;
}

void dbk_memory_begin(dbk_memory_bound *bound, sqlite3 *db, int64_t max_bytes)
{
    *bound = (dbk_memory_bound){.max = max_bytes, .outer = bound_here, .db = db};
    if (db) bound->kept = kept_of_file(db);
    bound_here = bound;
}

bool dbk_memory_take_words(int bytes)
{
    if (!bound_here) return true;
    bound_here->words += 1 + (uint32_t)(bytes > 0 ? bytes : 0) / WORD_BYTES;
    return bound_here->words <= DBK_SQL_WORDS;
}

bool dbk_memory_end(dbk_memory_bound *bound)
{
    assert(bound_here == bound);
    bound_here = bound->outer;
    if (bound->most > (int64_t)DBK_SQL_MEMORY_RETURNED_MIB << 20) dbk_port_trim_memory();
    return bound->exceeded;
}
