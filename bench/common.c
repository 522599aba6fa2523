#include "bench/common.h"

#include <ftw.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

double bench_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double bench_percentile(double *values, size_t count, double part)
{
    if (count == 0) return 0;
    qsort(values, count, sizeof *values, compare);
    return values[(size_t)((double)(count - 1) * part)];
}

double bench_median(double *values, size_t count)
{
    return bench_percentile(values, count, 0.5);
}

void bench_die(const char *what, const char *why)
{
    fprintf(stderr, "bench: %s: %s\n", what, why);
    exit(1);
}

void bench_must(dbk_result result, const dbk_error *err, const char *what)
{
    if (result != DBK_OK) bench_die(what, err->text);
}

static char folder[4096];

static int remove_one(const char *path, const struct stat *info, int kind, struct FTW *at)
{
    (void)info, (void)kind, (void)at;
    return remove(path);
}

static void remove_folder(void)
{
    (void)nftw(folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

const char *bench_folder(void)
{
    if (folder[0]) return folder;
    const char *parent = getenv("DAYBOOK_BENCH_DIR");
    snprintf(folder, sizeof folder, "%s/daybook-bench-XXXXXX", parent ? parent : ".");
    if (!mkdtemp(folder)) bench_die("mkdtemp", folder);
    atexit(remove_folder);
    return folder;
}

uint64_t bench_random(void)
{
    static uint64_t state = 0x9e3779b97f4a7c15;
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
}

bool bench_figure(const char *name, double goal, double reached, bool at_least, const char *detail)
{
    bool met = at_least ? reached >= goal : reached <= goal;
    printf("%-58s %s %-9.4g %-9.4g %-6s %s\n", name, at_least ? ">=" : "<=", goal, reached, met ? "met" : "MISSED",
           detail);
    fflush(stdout);
    return met;
}

void bench_sql(sqlite3 *db, const char *sql)
{
    if (sqlite3_exec(db, sql, NULL, NULL, NULL) != SQLITE_OK) bench_die(sql, sqlite3_errmsg(db));
}

sqlite3_stmt *bench_prepare(sqlite3 *db, const char *sql)
{
    sqlite3_stmt *statement = NULL;
    if (sqlite3_prepare_v3(db, sql, -1, SQLITE_PREPARE_PERSISTENT, &statement, NULL) != SQLITE_OK)
        bench_die(sql, sqlite3_errmsg(db));
    return statement;
}

sqlite3 *bench_sqlite(const char *name, const char *synchronous, const char *schema)
{
    char path[4400];
    snprintf(path, sizeof path, "%s/%s.sqlite", bench_folder(), name);
    sqlite3 *db = NULL;
    if (sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX, NULL) != SQLITE_OK)
        bench_die(path, sqlite3_errmsg(db));
    bench_sql(db, "PRAGMA journal_mode=WAL");
    char pragma[64];
    snprintf(pragma, sizeof pragma, "PRAGMA synchronous=%s", synchronous);
    bench_sql(db, pragma);
    bench_sql(db, "PRAGMA wal_autocheckpoint=16384"); /* 64 MiB, as the store's */
    bench_sql(db, schema);
    return db;
}

static void write_text(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");
    if (!file || fputs(text, file) < 0 || fclose(file) != 0) bench_die(path, "cannot write");
}

void bench_write_app(const char *folder_path, const bench_app *app)
{
    const struct {
        const char *name, *text;
    } files[] = {{"schema.sql", app->schema},
                 {"projections.sql", app->projections},
                 {"commands.sql", app->commands},
                 {"app.json", app->json}};
    if (mkdir(folder_path, 0700) != 0) bench_die(folder_path, "cannot make the folder");
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        char file[4500];
        if (!files[i].text) continue;
        snprintf(file, sizeof file, "%s/%s", folder_path, files[i].name);
        write_text(file, files[i].text);
    }
}

dbk_store *bench_store_of(const char *name, const bench_app *app)
{
    char folder_path[4400], path[4400];
    dbk_error err = {0};
    dbk_text report = {0};
    dbk_store *store = NULL;
    snprintf(folder_path, sizeof folder_path, "%s/%s.app", bench_folder(), name);
    snprintf(path, sizeof path, "%s/%s.daybook", bench_folder(), name);
    bench_write_app(folder_path, app);
    if (dbk_create(path, folder_path, NULL, &report, &err) != DBK_OK)
        bench_die(err.text, report.data ? report.data : "");
    dbk_text_free(&report);
    bench_must(dbk_open(path, NULL, &store, &err), &err, "open");
    return store;
}

dbk_store *bench_store(const char *name, const char *schema, const char *projections)
{
    return bench_store_of(name, &(bench_app){.schema = schema, .projections = projections});
}

void bench_do(dbk_store *store, const char *json, size_t size)
{
    dbk_text receipt = {0};
    dbk_error err = {0};
    bench_must(dbk_do(store, json, size, &receipt, &err), &err, "do");
    if (strstr(receipt.data, "\"ok\":false")) bench_die("refused", receipt.data);
    dbk_text_free(&receipt);
}
