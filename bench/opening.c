/* What opening costs, warm: the log alone and the store, for reading and for writing, after a close in good order, each
 * in the median of rounds in turns. Beside them SQLite opens the store's model and asks for one row. usage: opening
 * [--quick] [STORE]    (STORE: one that is there; it is opened and closed, and nothing else) */
#include <time.h>

#include "bench/common.h"
#include "log/log.h"

enum { ENTRIES = 1000000, QUICK_ENTRIES = 100000, BATCH = 1000, ROUNDS = 15, WAYS = 5 };

static const char schema[] = "CREATE TABLE note(id TEXT PRIMARY KEY NOT NULL, body TEXT) WITHOUT ROWID;";

static void fill(dbk_store *store, int entries)
{
    char *array = malloc(BATCH * 400);
    if (!array) bench_die("memory", "for a batch");
    for (int i = 0; i < entries; i += BATCH) {
        size_t size = 0;
        for (int k = i; k < i + BATCH; k++)
            size += (size_t)snprintf(array + size, BATCH * 400 - size,
                                     "%c{\"id\":\"e%d\",\"do\":\"append\",\"stream\":\"job/%d\",\"type\":\"job.noted\","
                                     "\"data\":{\"n\":%d,\"text\":\"%0150d\"}}",
                                     k == i ? '[' : ',', k, k % 20000, k, k);
        array[size++] = ']';
        bench_do(store, array, size);
    }
    free(array);
}

typedef struct clocks {
    double wall, cpu; /* seconds; the second of the opening thread alone, which another's load does not lengthen */
} clocks;

static clocks clocks_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (clocks){bench_now(), (double)t.tv_sec + (double)t.tv_nsec / 1e9};
}

static clocks clocks_since(clocks begin)
{
    clocks now = clocks_now();
    return (clocks){now.wall - begin.wall, now.cpu - begin.cpu};
}

static clocks open_log(const char *path, bool reads)
{
    dbk_log_options options = {.read_only = reads};
    const dbk_port *port = dbk_port_system();
    dbk_dir *dir = NULL;
    dbk_log *log = NULL;
    dbk_error err = {0};
    char folder[4500];
    snprintf(folder, sizeof folder, "%s/log", path);
    bench_must(dbk_io_open_dir(port, NULL, folder, DBK_OPEN_DIRECTORY, &dir, &err), &err, "folder");
    bench_must(dbk_log_identify(port, dir, options.store_id, options.lineage, &err), &err, "ids");
    clocks begin = clocks_now();
    bench_must(dbk_log_open(port, dir, &options, &log, &err), &err, "log");
    clocks took = clocks_since(begin);
    dbk_log_close(log);
    port->close_dir(port->ctx, dir);
    return took;
}

static clocks open_store(const char *path, bool reads)
{
    dbk_options options = {.read_only = reads};
    dbk_store *store = NULL;
    dbk_error err = {0};
    clocks begin = clocks_now();
    bench_must(dbk_open(path, &options, &store, &err), &err, "store");
    clocks took = clocks_since(begin);
    dbk_close(store);
    return took;
}

static clocks open_sqlite(const char *path)
{
    char file[4600];
    sqlite3 *db = NULL;
    snprintf(file, sizeof file, "%s/models/00000001/main.sqlite", path);
    clocks begin = clocks_now();
    if (sqlite3_open_v2(file, &db, SQLITE_OPEN_READWRITE, NULL) != SQLITE_OK) bench_die("sqlite", sqlite3_errmsg(db));
    bench_sql(db, "SELECT * FROM sqlite_master LIMIT 1");
    clocks took = clocks_since(begin);
    sqlite3_close(db);
    return took;
}

static void print(const char *name, double goal, double wall, double cpu, double reads, const char *more, bool figures)
{
    char detail[160];
    snprintf(detail, sizeof detail, "%.2f ms of CPU; to read %.2f ms%s", cpu, reads, more);
    if (figures) bench_figure(name, goal, wall, false, detail);
    else printf("%s %.2f: %s\n", name, wall, detail);
}

static void measure(const char *path, bool figures)
{
    double wall[WAYS][ROUNDS], cpu[WAYS][ROUNDS], w[WAYS], c[WAYS];
    for (int i = 0; i < ROUNDS; i++) {
        clocks took[WAYS] = {open_log(path, true), open_log(path, false), open_store(path, true),
                             open_store(path, false), open_sqlite(path)};
        for (int way = 0; way < WAYS; way++) wall[way][i] = took[way].wall, cpu[way][i] = took[way].cpu;
    }
    for (int way = 0; way < WAYS; way++) {
        w[way] = bench_median(wall[way], ROUNDS) * 1000;
        c[way] = bench_median(cpu[way], ROUNDS) * 1000;
    }
    char more[80];
    snprintf(more, sizeof more, "; SQLite opens the model's file in %.2f", w[4]);
    print("clean open of the log, to write, ms", 2, w[1], c[1], w[0], "", figures);
    print("clean open of the store, to write, ms", 8, w[3], c[3], w[2], more, figures);
}

int main(int argc, char **argv)
{
    bool quick = argc > 1 && strcmp(argv[1], "--quick") == 0;
    if (argc > 1 + quick) {
        measure(argv[1 + quick], false);
        return 0;
    }
    dbk_store *store = bench_store("opening", schema, NULL);
    char path[4400];
    fill(store, quick ? QUICK_ENTRIES : ENTRIES);
    dbk_close(store);
    snprintf(path, sizeof path, "%s/opening.daybook", bench_folder());
    measure(path, true);
    return 0;
}
