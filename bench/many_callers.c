/* Many commands outstanding: completions by callback without a model, with one table and one index beside
 * plain SQLite at the same batch size, and 64 blocked threads beside a bare wake-up loop.
 * usage: many_callers [events|rows|tables|blocked] [COMMANDS]    (rows: no figure, for who counts instructions) */
#include <pthread.h>

#include "bench/common.h"

enum { OUTSTANDING = 64, EVENTS = 200000, ROWS = 60000, BODY = 300, BATCH = 64, THREADS = 64 };

static const char schema[] =
    "CREATE TABLE package(name TEXT PRIMARY KEY NOT NULL, version TEXT, section TEXT, body TEXT) WITHOUT ROWID;"
    "CREATE INDEX package_section ON package(section);";
static char body[BODY + 1];

/* ---- a window of outstanding commands */

typedef struct window {
    pthread_mutex_t mutex;
    pthread_cond_t room;
    int free;
    uint64_t refused;
} window;

static void done(void *arg, const char *receipt, size_t size)
{
    window *w = arg;
    bool ok = size > 0 && strstr(receipt, "\"ok\":true") != NULL;
    pthread_mutex_lock(&w->mutex);
    w->refused += !ok;
    w->free++; /* the sender is woken once for many: answers come by the turn; the drain waits for all */
    if (w->free == OUTSTANDING / 2 || w->free == OUTSTANDING) pthread_cond_signal(&w->room);
    pthread_mutex_unlock(&w->mutex);
}

static void window_send(window *w, dbk_store *store, const char *command, size_t size)
{
    dbk_error err = {0};
    pthread_mutex_lock(&w->mutex);
    while (w->free == 0) pthread_cond_wait(&w->room, &w->mutex);
    w->free--;
    pthread_mutex_unlock(&w->mutex);
    bench_must(dbk_send(store, command, size, done, w, &err), &err, "send");
}

static void window_drain(window *w)
{
    pthread_mutex_lock(&w->mutex);
    while (w->free < OUTSTANDING) pthread_cond_wait(&w->room, &w->mutex);
    pthread_mutex_unlock(&w->mutex);
    if (w->refused) bench_die("refused", "a command");
}

static double commands_per_second(dbk_store *store, int count, bool rows)
{
    window w = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, OUTSTANDING, 0};
    char command[600];
    double begin = bench_now();
    for (int i = 0; i < count; i++) {
        int size = rows ? snprintf(command, sizeof command,
                                   "{\"id\":\"e%d\",\"do\":\"put\",\"table\":\"package\",\"key\":\"p%d\",\"data\":"
                                   "{\"version\":\"1.%d\",\"section\":\"s%d\",\"body\":\"%.200s\"}}",
                                   i, i, i, i % 60, body)
                        : snprintf(command, sizeof command,
                                   "{\"id\":\"e%d\",\"do\":\"append\",\"stream\":\"job/"
                                   "%d\",\"type\":\"job.noted\",\"data\":{\"n\":%d,\"text\":\"%.200s\"}}",
                                   i, i % 1000, i, body);
        window_send(&w, store, command, (size_t)size);
    }
    window_drain(&w);
    return count / (bench_now() - begin);
}

/* ---- a table beside plain SQLite */

static void key_of(char *out, size_t size, int i, bool sorted)
{
    uint32_t k = sorted ? (uint32_t)i : (uint32_t)i * 2654435761u;
    snprintf(out, size, sorted ? "p%010u" : "p%08x", k);
}

static double store_rows(dbk_store *store, int from, int count, bool sorted)
{
    static char array[BATCH * 700];
    double spent = 0;
    for (int i = from; i < from + count; i += BATCH) {
        size_t size = 0;
        for (int k = i; k < i + BATCH; k++) {
            char key[24];
            key_of(key, sizeof key, k, sorted);
            size += (size_t)snprintf(array + size, sizeof array - size,
                                     "%c{\"id\":\"r%d%d\",\"do\":\"put\",\"table\":\"package\",\"key\":\"%s\",\"data\":"
                                     "{\"version\":\"1.%d\",\"section\":\"s%d\",\"body\":\"%s\"}}",
                                     k == i ? '[' : ',', sorted, k, key, k, k % 60, body);
        }
        array[size++] = ']';
        double begin = bench_now(); /* the input is there: a client writes it elsewhere */
        bench_do(store, array, size);
        spent += bench_now() - begin;
    }
    return spent;
}

static double sqlite_rows(sqlite3 *db, sqlite3_stmt *insert, int from, int count, bool sorted)
{
    double spent = 0;
    for (int i = from; i < from + count; i += BATCH) {
        static char keys[BATCH][24], versions[BATCH][24], sections[BATCH][24];
        for (int k = 0; k < BATCH; k++) {
            key_of(keys[k], sizeof keys[k], i + k, sorted);
            snprintf(versions[k], sizeof versions[k], "1.%d", i + k);
            snprintf(sections[k], sizeof sections[k], "s%d", (i + k) % 60);
        }
        double begin = bench_now();
        bench_sql(db, "BEGIN IMMEDIATE");
        for (int k = 0; k < BATCH; k++) {
            sqlite3_bind_text(insert, 1, keys[k], -1, SQLITE_STATIC);
            sqlite3_bind_text(insert, 2, versions[k], -1, SQLITE_STATIC);
            sqlite3_bind_text(insert, 3, sections[k], -1, SQLITE_STATIC);
            sqlite3_bind_text(insert, 4, body, BODY, SQLITE_STATIC);
            if (sqlite3_step(insert) != SQLITE_DONE) bench_die("insert", sqlite3_errmsg(db));
            sqlite3_reset(insert);
        }
        bench_sql(db, "COMMIT");
        spent += bench_now() - begin;
    }
    return spent;
}

static void table_figure(bool sorted, double goal)
{
    dbk_store *store = bench_store(sorted ? "sorted" : "random", schema, NULL);
    sqlite3 *db = bench_sqlite(sorted ? "sorted" : "random", "NORMAL", schema);
    sqlite3_stmt *insert = bench_prepare(db, "INSERT INTO package VALUES(?1,?2,?3,?4) ON CONFLICT(name) DO UPDATE SET "
                                             "version=excluded.version,section=excluded.section,body=excluded.body");
    enum { STEP = BATCH * 40 };
    double ours = 0, theirs = 0;
    for (int i = 0; i + STEP <= ROWS; i += STEP) {
        ours += store_rows(store, i, STEP, sorted);
        theirs += sqlite_rows(db, insert, i, STEP, sorted);
    }
    char detail[160];
    snprintf(detail, sizeof detail, "%.0f/s, plain SQLite WAL NORMAL %.0f/s", ROWS / ours, ROWS / theirs);
    bench_figure(sorted ? "64 a batch, one table and index, sorted keys / SQLite"
                        : "64 a batch, one table and index, random keys / SQLite",
                 goal, theirs / ours, true, detail);
    sqlite3_finalize(insert);
    sqlite3_close(db);
    dbk_close(store);
}

/* ---- blocked threads */

typedef struct crowd {
    dbk_store *store;
    int number, count;
} crowd;

static void *call_blocked(void *arg)
{
    crowd *c = arg;
    char command[600];
    for (int i = 0; i < c->count; i++) {
        int size = snprintf(command, sizeof command,
                            "{\"id\":\"t%d.%d\",\"do\":\"append\",\"stream\":\"job/"
                            "%d\",\"type\":\"job.noted\",\"data\":{\"text\":\"%.200s\"}}",
                            c->number, i, c->number, body);
        bench_do(c->store, command, (size_t)size);
    }
    return NULL;
}

/* The same hand-over with nothing behind it: each thread puts itself in a list, one worker writes and
 * syncs for all in it and wakes each. */
typedef struct bare {
    pthread_mutex_t mutex;
    pthread_cond_t work, ready[THREADS];
    bool waiting[THREADS];
    int waiters;
    bool closing;
    dbk_file *file;
    dbk_slice block;
} bare;

static void *bare_work(void *arg)
{
    bare *b = arg;
    pthread_mutex_lock(&b->mutex);
    while (!b->closing || b->waiters > 0) {
        if (b->waiters == 0) {
            pthread_cond_wait(&b->work, &b->mutex);
            continue;
        }
        bool taken[THREADS];
        memcpy(taken, b->waiting, sizeof taken);
        memset(b->waiting, 0, sizeof b->waiting);
        b->waiters = 0;
        pthread_mutex_unlock(&b->mutex);
        dbk_error err = {0};
        bench_must(dbk_io_write(dbk_port_system(), b->file, "raw", 0, b->block.data, 512, &err), &err, "write");
        bench_must(dbk_io_sync(dbk_port_system(), b->file, "raw", &err), &err, "sync");
        pthread_mutex_lock(&b->mutex);
        for (int i = 0; i < THREADS; i++)
            if (taken[i]) pthread_cond_signal(&b->ready[i]);
    }
    pthread_mutex_unlock(&b->mutex);
    return NULL;
}

typedef struct bare_caller {
    bare *bare;
    int number, count;
} bare_caller;

static void *bare_call(void *arg)
{
    bare_caller *c = arg;
    bare *b = c->bare;
    for (int i = 0; i < c->count; i++) {
        pthread_mutex_lock(&b->mutex);
        b->waiting[c->number] = true;
        if (b->waiters++ == 0) pthread_cond_signal(&b->work);
        while (b->waiting[c->number]) pthread_cond_wait(&b->ready[c->number], &b->mutex);
        pthread_mutex_unlock(&b->mutex);
    }
    return NULL;
}

static double bare_rate(int count)
{
    char path[4400];
    snprintf(path, sizeof path, "%s/bare", bench_folder());
    dbk_error err = {0};
    dbk_dir *dir = NULL;
    dbk_file *file = NULL;
    static uint8_t block[512];
    bench_must(dbk_io_open_dir(dbk_port_system(), NULL, path, DBK_OPEN_DIRECTORY, &dir, &err), &err, "folder");
    bench_must(
        dbk_io_open(dbk_port_system(), dir, "file", DBK_OPEN_READ | DBK_OPEN_WRITE | DBK_OPEN_CREATE, &file, &err),
        &err, "file");
    bare b = {.mutex = PTHREAD_MUTEX_INITIALIZER,
              .work = PTHREAD_COND_INITIALIZER,
              .file = file,
              .block = dbk_slice_of(block, sizeof block)};
    for (int i = 0; i < THREADS; i++) pthread_cond_init(&b.ready[i], NULL);
    pthread_t worker, threads[THREADS];
    bare_caller callers[THREADS];
    pthread_create(&worker, NULL, bare_work, &b);
    double begin = bench_now();
    for (int i = 0; i < THREADS; i++) {
        callers[i] = (bare_caller){&b, i, count};
        pthread_create(&threads[i], NULL, bare_call, &callers[i]);
    }
    for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
    double rate = THREADS * count / (bench_now() - begin);
    pthread_mutex_lock(&b.mutex);
    b.closing = true;
    pthread_cond_signal(&b.work);
    pthread_mutex_unlock(&b.mutex);
    pthread_join(worker, NULL);
    return rate;
}

static void blocked_figure(void)
{
    enum { COUNT = 300 };
    dbk_store *store = bench_store("blocked", schema, NULL);
    pthread_t threads[THREADS];
    crowd crowds[THREADS];
    double begin = bench_now();
    for (int i = 0; i < THREADS; i++) {
        crowds[i] = (crowd){store, i, COUNT};
        pthread_create(&threads[i], NULL, call_blocked, &crowds[i]);
    }
    for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
    double ours = THREADS * COUNT / (bench_now() - begin), theirs = bare_rate(COUNT);
    char detail[160];
    snprintf(detail, sizeof detail, "%.0f/s, bare %.0f/s", ours, theirs);
    bench_figure("64 blocked threads / bare wake-up loop", 0.5, ours / theirs, true, detail);
    dbk_close(store);
}

static void events_figure(void)
{
    dbk_store *store = bench_store("events", schema, NULL);
    double rate = commands_per_second(store, EVENTS, false);
    dbk_close(store);
    bench_figure("64 outstanding, 256-byte events, no model, entries/s", 250000, rate, true, "completions by callback");
}

int main(int argc, char **argv)
{
    const char *only = argc > 1 ? argv[1] : "";
    memset(body, 'b', BODY);
    if (argc > 2) {
        dbk_store *store = bench_store("counted", schema, NULL);
        printf("%.0f commands/s\n", commands_per_second(store, atoi(argv[2]), strcmp(only, "rows") == 0));
        dbk_close(store);
        return 0;
    }
    if (!*only || strcmp(only, "events") == 0) events_figure();
    if (!*only || strcmp(only, "tables") == 0) {
        table_figure(false, 0.65);
        table_figure(true, 0.5);
    }
    if (!*only || strcmp(only, "blocked") == 0) blocked_figure();
    return 0;
}
