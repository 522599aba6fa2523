/* What a store holds costs the one who adds a little: a setting changed beside 10 MB of settings, memory with a
 * model of 1 GiB (`holding --quick`: 128 MiB). */
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench/common.h"

enum { MEMBER = 480, ROUNDS = 60, EACH = 20, ROW = 1800, BATCH = 500 };

static const char settings_schema[] =
    "CREATE TABLE prefs(scope TEXT NOT NULL, name TEXT NOT NULL, value JSON, PRIMARY KEY(scope, name)) WITHOUT ROWID;";
static const char settings_json[] = "{\"daybook\":1,\"name\":\"bench\",\"version\":1,\"settings\":{\"plugin\":{"
                                    "\"table\":\"prefs\",\"where\":{\"scope\":"
                                    "\"plugin\"},\"key\":\"name\"}}}";
static const char rows_schema[] =
    "CREATE TABLE package(name TEXT PRIMARY KEY NOT NULL, version TEXT, section TEXT, body TEXT) WITHOUT ROWID;"
    "CREATE INDEX package_section ON package(section);";
static char body[ROW + 1];

static dbk_store *open_settings(const char *name, int members)
{
    static char array[BATCH * (MEMBER + 200)];
    dbk_store *store = bench_store_of(name, &(bench_app){.schema = settings_schema, .json = settings_json});
    for (int i = 0; i < members;) {
        size_t size = 0;
        for (int k = 0; k < BATCH && i < members; k++, i++)
            size += (size_t)snprintf(array + size, sizeof array - size,
                                     "%c{\"id\":\"m%d\",\"do\":\"put\",\"table\":\"prefs\",\"data\":{\"scope\":"
                                     "\"plugin\",\"name\":\"member%d\",\"value\":{\"size\":1,\"text\":\"%.*s\"}}}",
                                     k ? ',' : '[', i, i, MEMBER, body);
        array[size++] = ']';
        bench_do(store, array, size);
    }
    return store;
}

/* Always the same few: what else there is must not matter. */
static double change(dbk_store *store, int members)
{
    static unsigned number;
    char command[300];
    double begin = bench_now();
    for (int i = 0; i < EACH; i++) {
        number++;
        int size = snprintf(command, sizeof command,
                            "{\"id\":\"s%u\",\"do\":\"set\",\"namespace\":\"plugin\",\"path\":\"member%d.size\","
                            "\"value\":%u}",
                            number, (int)(bench_random() % (uint64_t)members), number);
        bench_do(store, command, (size_t)size);
    }
    return bench_now() - begin;
}

static void settings_figure(void)
{
    enum { FEW = 10000 / MEMBER, MANY = 10000000 / MEMBER };
    double ratios[ROUNDS], few = 0, many = 0;
    char detail[160];
    dbk_store *small = open_settings("few", FEW), *large = open_settings("many", MANY);
    for (int i = 0; i < ROUNDS; i++) {
        bool turned = i % 2;
        double a = turned ? 0 : change(small, FEW), b = change(large, FEW);
        if (turned) a = change(small, FEW);
        ratios[i] = b / a;
        few += a;
        many += b;
    }
    snprintf(detail, sizeof detail, "%.0f us, with 10 kB %.0f us", many / ROUNDS / EACH * 1e6,
             few / ROUNDS / EACH * 1e6);
    bench_figure("a setting changed beside 10 MB / 10 kB of them", 1.1, bench_median(ratios, ROUNDS), false, detail);
    dbk_close(small);
    dbk_close(large);
}

/* ---- memory: each in a process of its own, whose peak it is */

static dbk_store *open_rows(void)
{
    char path[4400];
    dbk_error err = {0};
    dbk_store *store = NULL;
    snprintf(path, sizeof path, "%s/large.daybook", bench_folder());
    bench_must(dbk_open(path, NULL, &store, &err), &err, "open");
    return store;
}

static void put_rows(dbk_store *store, uint64_t from, uint64_t count)
{
    static char array[BATCH * (ROW + 200)];
    for (uint64_t i = from; i < from + count; i += BATCH) {
        size_t size = 0;
        for (uint64_t k = i; k < i + BATCH; k++)
            size += (size_t)snprintf(array + size, sizeof array - size,
                                     "%c{\"id\":\"r%llu\",\"do\":\"put\",\"table\":\"package\",\"key\":\"p%08x\","
                                     "\"data\":{\"version\":\"1.%llu\",\"section\":\"s%llu\",\"body\":\"%s\"}}",
                                     k == i ? '[' : ',', (unsigned long long)k, (uint32_t)k * 2654435761u,
                                     (unsigned long long)k, (unsigned long long)k % 60, body);
        array[size++] = ']';
        bench_do(store, array, size);
    }
}

/* Opens, puts, asks for rows, a count of all of them and a page in the order of the index. */
static void use(uint64_t rows)
{
    static const char *const queries[] = {"SELECT version FROM package WHERE name='p00000000'",
                                          "SELECT count(*) FROM package",
                                          "SELECT name FROM package ORDER BY section, name LIMIT 100"};
    dbk_store *store = open_rows();
    put_rows(store, rows, 20 * BATCH);
    for (int i = 0; i < 30; i++) {
        dbk_text answer = {0};
        dbk_error err = {0};
        if (dbk_query(store, queries[i % 3], NULL, NULL, &answer, &err) != DBK_OK && err.code != DBK_BUSY)
            bench_die("query", err.text);
        dbk_text_free(&answer);
    }
    dbk_close(store);
}

static double peak_of(uint64_t rows, bool fills)
{
    fflush(stdout);
    pid_t child = fork();
    if (child < 0) bench_die("fork", "failed");
    if (child == 0) {
        if (fills) {
            dbk_store *store = open_rows();
            put_rows(store, 0, rows);
            dbk_close(store);
        } else {
            use(rows);
        }
        _exit(0);
    }
    int status = 0;
    struct rusage usage;
    if (wait4(child, &status, 0, &usage) != child || status != 0) bench_die("the measured process", "failed");
    return (double)usage.ru_maxrss / 1024;
}

static void memory_figure(uint64_t bytes)
{
    uint64_t rows = bytes / (ROW + 200) / BATCH * BATCH;
    char detail[160];
    dbk_close(bench_store("large", rows_schema, NULL));
    double filling = peak_of(rows, true), using = peak_of(rows, false);
    snprintf(detail, sizeof detail, "opens, puts, asks; while it was filled %.0f MiB", filling);
    bench_figure(bytes >> 30 ? "peak memory with a model of 1 GiB, MiB" : "peak memory with a model of 128 MiB, MiB",
                 50, using, false, detail);
}

int main(int argc, char **argv)
{
    bool quick = argc > 1 && strcmp(argv[1], "--quick") == 0;
    memset(body, 'b', ROW);
    (void)bench_folder();
    memory_figure((uint64_t)(quick ? 128 : 1024) << 20);
    settings_figure();
    return 0;
}
