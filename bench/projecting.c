/* What projecting costs: commands 64 a batch into one table with one index, each round beside plain SQLite
 * with the same rows, keys, batch and settings, and beside the log's sync of as many bytes. A figure is the
 * median of the rounds' ratios (plain SQLite + sync) / store.
 * `projecting --quick` takes smaller tables. */
#include <fcntl.h>
#include <unistd.h>

#include "bench/common.h"

enum { BATCH = 64, BATCHES = 20, FILL = 1000, BODY = 330, COLUMNS = 11, SYNC_BYTES = 48 * 1024 };

static const char schema[] =
    "CREATE TABLE package(name TEXT PRIMARY KEY NOT NULL, version TEXT, section TEXT, size INTEGER, arch TEXT, "
    "maintainer TEXT, homepage TEXT, priority INTEGER, depends TEXT, summary TEXT, body TEXT) WITHOUT ROWID;"
    "CREATE INDEX package_section ON package(section);";
static const char commands[] = "-- command package.rate(name TEXT, version TEXT, size INTEGER)\n"
                               "-- patch package\n"
                               "SELECT :name AS name, :version AS version, :size AS size;\n";
static const char insert_sql[] =
    "INSERT INTO package VALUES(?1,?2,?3,?4,?5,?6,?7,?8,?9,?10,?11) ON CONFLICT(name) DO UPDATE SET "
    "version=excluded.version,section=excluded.section,size=excluded.size,arch=excluded.arch,maintainer="
    "excluded.maintainer,homepage=excluded.homepage,priority=excluded.priority,depends=excluded.depends,summary="
    "excluded.summary,body=excluded.body";
static const char update_sql[] = "UPDATE package SET version=?2,size=?4,priority=?8 WHERE name=?1";
static const char rate_sql[] = "UPDATE package SET version=?2,size=?4 WHERE name=?1";

typedef enum load { PUT, PATCH, COMMAND } load;

typedef struct side { /* one store and one SQLite file of the same rows */
    dbk_store *store;
    sqlite3 *db;
    sqlite3_stmt *statements[3]; /* by load */
    bool sorted;
    int rows;
    uint64_t commands;
} side;

typedef struct row {
    char name[24], version[24], section[24], maintainer[64], depends[64];
    int64_t size, priority;
} row;

static char body[BODY + 1];
static int sync_file;
static uint8_t *sync_block;

static void make_row(const side *s, int number, uint64_t salt, row *out)
{
    uint32_t key = s->sorted ? (uint32_t)number : (uint32_t)number * 2654435761u;
    snprintf(out->name, sizeof out->name, s->sorted ? "p%010u" : "p%08x", key);
    snprintf(out->version, sizeof out->version, "1.%llu", (unsigned long long)salt);
    snprintf(out->section, sizeof out->section, "s%d", number % 60);
    snprintf(out->maintainer, sizeof out->maintainer, "Maintainer %d <m%d@example.org>", number % 997, number % 997);
    snprintf(out->depends, sizeof out->depends, "libc6 (>= 2.%d), libfoo%d", number % 40, number % 300);
    out->size = (int64_t)salt * 37 % 1000003;
    out->priority = (int64_t)(salt % 7);
}

static size_t put_json(char *out, size_t room, load kind, uint64_t id, const row *r)
{
    if (kind == COMMAND)
        return (size_t)snprintf(
            out, room,
            "{\"id\":\"c%llu\",\"do\":\"package.rate\",\"args\":{\"name\":\"%s\",\"version\":\"%s\",\"size\":%lld}}",
            (unsigned long long)id, r->name, r->version, (long long)r->size);
    if (kind == PATCH)
        return (size_t)snprintf(out, room,
                                "{\"id\":\"c%llu\",\"do\":\"patch\",\"table\":\"package\",\"key\":\"%s\",\"data\":{"
                                "\"version\":\"%s\",\"size\":%lld,\"priority\":%lld}}",
                                (unsigned long long)id, r->name, r->version, (long long)r->size,
                                (long long)r->priority);
    return (size_t)snprintf(
        out, room,
        "{\"id\":\"c%llu\",\"do\":\"put\",\"table\":\"package\",\"key\":\"%s\",\"data\":{\"version\":\"%s\","
        "\"section\":"
        "\"%s\",\"size\":%lld,\"arch\":\"amd64\",\"maintainer\":\"%s\",\"homepage\":\"https://example.org/%s\","
        "\"priority\":%lld,\"depends\":\"%s\",\"summary\":\"a package of section %s\",\"body\":\"%s\"}}",
        (unsigned long long)id, r->name, r->version, r->section, (long long)r->size, r->maintainer, r->name,
        (long long)r->priority, r->depends, r->section, body);
}

static void bind_row(sqlite3_stmt *statement, load kind, const row *r, char homepage[64], char summary[64])
{
    sqlite3_bind_text(statement, 1, r->name, -1, SQLITE_STATIC);
    sqlite3_bind_text(statement, 2, r->version, -1, SQLITE_STATIC);
    sqlite3_bind_int64(statement, 4, r->size);
    if (kind == COMMAND) return;
    sqlite3_bind_int64(statement, 8, r->priority);
    if (kind == PATCH) return;
    snprintf(homepage, 64, "https://example.org/%s", r->name);
    snprintf(summary, 64, "a package of section %s", r->section);
    sqlite3_bind_text(statement, 3, r->section, -1, SQLITE_STATIC);
    sqlite3_bind_text(statement, 5, "amd64", -1, SQLITE_STATIC);
    sqlite3_bind_text(statement, 6, r->maintainer, -1, SQLITE_STATIC);
    sqlite3_bind_text(statement, 7, homepage, -1, SQLITE_STATIC);
    sqlite3_bind_text(statement, 9, r->depends, -1, SQLITE_STATIC);
    sqlite3_bind_text(statement, 10, summary, -1, SQLITE_STATIC);
    sqlite3_bind_text(statement, 11, body, BODY, SQLITE_STATIC);
}

static double sqlite_batch(side *s, load kind, const row *rows, int count)
{
    char homepage[64], summary[64];
    double begin = bench_now();
    bench_sql(s->db, "BEGIN IMMEDIATE");
    for (int i = 0; i < count; i++) {
        bind_row(s->statements[kind], kind, &rows[i], homepage, summary);
        if (sqlite3_step(s->statements[kind]) != SQLITE_DONE) bench_die("sqlite", sqlite3_errmsg(s->db));
        sqlite3_reset(s->statements[kind]);
    }
    bench_sql(s->db, "COMMIT");
    return bench_now() - begin;
}

static double store_batch(side *s, load kind, const row *rows, int count)
{
    static char array[FILL * (BODY + 600)];
    size_t size = 0;
    for (int i = 0; i < count; i++) {
        array[size++] = i ? ',' : '[';
        size += put_json(array + size, sizeof array - size, kind, ++s->commands, &rows[i]);
    }
    array[size++] = ']';
    double begin = bench_now(); /* the input is there: a client writes it elsewhere */
    bench_do(s->store, array, size);
    return bench_now() - begin;
}

/* The bytes of a batch of the log, as the log writes them. */
static double sync_once(size_t bytes)
{
    static off_t at;
    bytes = (bytes + 511) / 512 * 512;
    if (at + (off_t)bytes > 16 << 20) at = 0;
    double begin = bench_now();
    if (pwrite(sync_file, sync_block, bytes, at) != (ssize_t)bytes) bench_die("pwrite", "short");
    double took = bench_now() - begin;
    at += (off_t)bytes;
    return took;
}

static void open_sync_file(void)
{
    char path[4400];
    snprintf(path, sizeof path, "%s/sync", bench_folder());
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    sync_block = aligned_alloc(4096, 1 << 20);
    if (fd < 0 || !sync_block) bench_die(path, "cannot open");
    memset(sync_block, 'x', 1 << 20);
    for (int i = 0; i < 16; i++)
        if (pwrite(fd, sync_block, 1 << 20, (off_t)i << 20) != 1 << 20) bench_die(path, "cannot fill");
    if (fsync(fd) != 0 || close(fd) != 0) bench_die(path, "cannot sync");
    sync_file = open(path, O_RDWR | O_CLOEXEC | O_DIRECT | O_DSYNC);
    if (sync_file < 0) sync_file = open(path, O_RDWR | O_CLOEXEC | O_DSYNC);
    if (sync_file < 0) bench_die(path, "cannot open");
}

static void pick_rows(side *s, load kind, row *rows, int count)
{
    for (int i = 0; i < count; i++) {
        int number = kind == PUT ? s->rows++ : (int)(bench_random() % (uint64_t)s->rows);
        make_row(s, number, s->commands + (uint64_t)i, &rows[i]);
    }
}

static void open_side(side *s, const char *name, bool sorted, int fill)
{
    static row rows[FILL];
    *s = (side){.sorted = sorted};
    s->store = bench_store_of(name, &(bench_app){.schema = schema, .commands = commands});
    s->db = bench_sqlite(name, "NORMAL", schema);
    s->statements[PUT] = bench_prepare(s->db, insert_sql);
    s->statements[PATCH] = bench_prepare(s->db, update_sql);
    s->statements[COMMAND] = bench_prepare(s->db, rate_sql);
    for (int i = 0; i < fill; i += FILL) {
        pick_rows(s, PUT, rows, FILL);
        (void)store_batch(s, PUT, rows, FILL);
        (void)sqlite_batch(s, PUT, rows, FILL);
    }
}

static void close_side(side *s)
{
    dbk_close(s->store);
    for (int i = 0; i < 3; i++) sqlite3_finalize(s->statements[i]);
    sqlite3_close(s->db);
}

static void figure(side *s, load kind, const char *name, double goal, int rounds)
{
    static const size_t entry_bytes[] = {720, 330, 330};
    double ratios[200], ours = 0, theirs = 0, syncs = 0;
    row rows[BATCH];
    for (int round = 0; round < rounds; round++) {
        double a = 0, b = 0, c = 0;
        for (int batch = 0; batch < BATCHES; batch++) {
            pick_rows(s, kind, rows, BATCH);
            a += store_batch(s, kind, rows, BATCH);
            b += sqlite_batch(s, kind, rows, BATCH);
            c += sync_once(BATCH * entry_bytes[kind]);
        }
        ratios[round] = (b + c) / a;
        ours += a;
        theirs += b;
        syncs += c;
    }
    char detail[160];
    double all = (double)rounds * BATCHES * BATCH / 1e6;
    snprintf(detail, sizeof detail, "%.1f us, plain SQLite %.1f us, sync %.1f us a command", ours / all, theirs / all,
             syncs / all);
    bench_figure(name, goal, bench_median(ratios, (size_t)rounds), true, detail);
}

int main(int argc, char **argv)
{
    bool quick = argc > 1 && strcmp(argv[1], "--quick") == 0;
    int rounds = quick ? 15 : 60, fill = quick ? 20000 : 160000;
    side random, sorted;
    memset(body, 'b', BODY);
    open_sync_file();
    open_side(&random, "random", false, fill);
    figure(&random, PUT, "64 a batch, put, random keys / (SQLite + sync)", 0.75, rounds);
    figure(&random, PATCH, "64 a batch, patch / (SQLite + sync)", 0.75, rounds);
    figure(&random, COMMAND, "64 a batch, command of one step / (SQLite + sync)", 0.6, rounds);
    close_side(&random);
    open_side(&sorted, "sorted", true, fill);
    figure(&sorted, PUT, "64 a batch, put, sorted keys / (SQLite + sync)", 0.65, rounds);
    close_side(&sorted);
    return 0;
}
