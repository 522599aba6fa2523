/* One waiting caller, durable: raw synced writes, the log alone, the store with one inline model, plain
 * SQLite with synchronous=FULL; in turns, medians of the time per command. */
#include <fcntl.h>
#include <unistd.h>

#include "bench/common.h"

enum { ROUNDS = 12, PER_ROUND = 150, BODY = 520 };

static const char schema[] = "CREATE TABLE package(name TEXT PRIMARY KEY NOT NULL, version TEXT, section TEXT, body "
                             "TEXT, size INTEGER) WITHOUT ROWID;"
                             "CREATE INDEX package_section ON package(section);"
                             "CREATE TABLE setting(name TEXT PRIMARY KEY NOT NULL, value TEXT) WITHOUT ROWID;";

typedef struct samples {
    double at[ROUNDS * PER_ROUND];
    size_t count;
} samples;

static samples raw, raw_plain, log_alone, put, patch, small, full_put, full_patch, full_small;
static char body[BODY + 1];
static uint64_t counter;

static void raw_round(int fd, const uint8_t *block, off_t *at, bool direct, samples *out)
{
    for (int i = 0; i < PER_ROUND; i++) {
        double begin = bench_now();
        if (pwrite(fd, block, 1024, *at) != 1024) bench_die("pwrite", "short");
        if (!direct && fdatasync(fd) != 0) bench_die("fdatasync", "failed");
        out->at[out->count++] = bench_now() - begin;
        *at = (*at + 1024) % (16 << 20);
    }
}

static int raw_open(const char *name, int flags)
{
    char path[4400];
    snprintf(path, sizeof path, "%s/%s", bench_folder(), name);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    char *zeros = calloc(1, 1 << 20);
    for (int i = 0; i < 16; i++)
        if (!zeros || pwrite(fd, zeros, 1 << 20, (off_t)i << 20) != 1 << 20) bench_die(path, "cannot prezero");
    free(zeros);
    fsync(fd);
    close(fd);
    return open(path, O_RDWR | O_CLOEXEC | flags);
}

static void log_round(dbk_log *log, dbk_slice origin_like)
{
    (void)origin_like;
    for (int i = 0; i < PER_ROUND; i++) {
        counter++;
        dbk_entry entry = {.id = {{0}, 1, counter}, .hlc = counter << 16, .event_count = 1};
        dbk_event event = {.stream = dbk_slice_text("job/1"),
                           .type = dbk_slice_text("job.done"),
                           .type_version = 1,
                           .data = dbk_slice_of(body, BODY)};
        dbk_buffer events, origin;
        dbk_error err = {0};
        dbk_buffer_init(&events, dbk_port_system());
        dbk_buffer_init(&origin, dbk_port_system());
        dbk_event_encode(&events, &event);
        entry.events = dbk_buffer_slice(&events);
        dbk_entry_encode(&origin, &entry);
        dbk_slice slice = dbk_buffer_slice(&origin);
        double begin = bench_now();
        bench_must(dbk_log_append(log, &slice, 1, 0, NULL, &err), &err, "append");
        log_alone.at[log_alone.count++] = bench_now() - begin;
        dbk_buffer_release(&events);
        dbk_buffer_release(&origin);
    }
}

static dbk_log *log_open(void)
{
    char path[4400];
    dbk_error err = {0};
    dbk_dir *dir = NULL;
    dbk_log *log = NULL;
    dbk_log_options options = {0};
    snprintf(path, sizeof path, "%s/log-alone", bench_folder());
    bench_must(dbk_io_open_dir(dbk_port_system(), NULL, path, DBK_OPEN_DIRECTORY, &dir, &err), &err, "folder");
    bench_must(dbk_log_create(dbk_port_system(), dir, &options, &err), &err, "create log");
    bench_must(dbk_log_open(dbk_port_system(), dir, &options, &log, &err), &err, "open log");
    return log;
}

static void store_round(dbk_store *store, int kind, samples *out)
{
    char command[1200];
    for (int i = 0; i < PER_ROUND; i++) {
        uint64_t id = ++counter, key = bench_random() % 100000;
        int size =
            kind == 0   ? snprintf(command, sizeof command,
                                   "{\"id\":\"c%llu\",\"do\":\"put\",\"table\":\"package\",\"key\":\"p%llu\",\"data\":{"
                                     "\"version\":\"1.%llu\",\"section\":\"s%llu\",\"size\":%llu,\"body\":\"%s\"}}",
                                   (unsigned long long)id, (unsigned long long)id * 7919 % 1000003,
                                   (unsigned long long)id, (unsigned long long)key % 60, (unsigned long long)key, body)
            : kind == 1 ? snprintf(command, sizeof command,
                                   "{\"id\":\"c%llu\",\"do\":\"patch\",\"table\":\"package\",\"key\":\"base%llu\","
                                   "\"data\":{\"version\":\"2.%llu\",\"size\":%llu}}",
                                   (unsigned long long)id, (unsigned long long)key % 500, (unsigned long long)id,
                                   (unsigned long long)id)
                        : snprintf(command, sizeof command,
                                   "{\"id\":\"c%llu\",\"do\":\"put\",\"table\":\"setting\",\"key\":\"k%llu\",\"data\":{"
                                   "\"value\":\"%llu\"}}",
                                   (unsigned long long)id, (unsigned long long)key % 1000, (unsigned long long)id);
        double begin = bench_now();
        bench_do(store, command, (size_t)size);
        out->at[out->count++] = bench_now() - begin;
    }
}

static void sqlite_round(sqlite3 *db, sqlite3_stmt *statement, int kind, samples *out)
{
    for (int i = 0; i < PER_ROUND; i++) {
        uint64_t id = ++counter, key = bench_random() % 100000;
        char name[40], value[40];
        snprintf(name, sizeof name,
                 kind == 0   ? "p%llu"
                 : kind == 1 ? "base%llu"
                             : "k%llu",
                 (unsigned long long)(kind == 0   ? id * 7919 % 1000003
                                      : kind == 1 ? key % 500
                                                  : key % 1000));
        snprintf(value, sizeof value, "1.%llu", (unsigned long long)id);
        double begin = bench_now();
        bench_sql(db, "BEGIN IMMEDIATE");
        sqlite3_bind_text(statement, 1, name, -1, SQLITE_STATIC);
        sqlite3_bind_text(statement, 2, value, -1, SQLITE_STATIC);
        sqlite3_bind_int64(statement, 3, (sqlite3_int64)id);
        if (kind == 0) sqlite3_bind_text(statement, 4, body, BODY, SQLITE_STATIC);
        if (sqlite3_step(statement) != SQLITE_DONE) bench_die("sqlite", sqlite3_errmsg(db));
        sqlite3_reset(statement);
        bench_sql(db, "COMMIT");
        out->at[out->count++] = bench_now() - begin;
    }
}

static void fill_base(dbk_store *store, sqlite3 *db)
{
    char command[1200];
    for (int i = 0; i < 500; i++) {
        int size = snprintf(command, sizeof command,
                            "{\"id\":\"base%d\",\"do\":\"put\",\"table\":\"package\",\"key\":\"base%d\",\"data\":{"
                            "\"version\":\"1\",\"section\":\"s\",\"size\":1,\"body\":\"%s\"}}",
                            i, i, body);
        bench_do(store, command, (size_t)size);
        snprintf(command, sizeof command, "INSERT INTO package VALUES('base%d','1','s','%s',1)", i, body);
        bench_sql(db, command);
    }
}

static double us(samples *s)
{
    return bench_median(s->at, s->count) * 1e6;
}

int main(void)
{
    memset(body, 'b', BODY);
    dbk_store *store = bench_store("one", schema, NULL);
    sqlite3 *db = bench_sqlite("full", "FULL", schema);
    sqlite3_stmt *insert =
        bench_prepare(db, "INSERT INTO package(name,version,section,size,body) VALUES(?1,?2,'s'||(?3%60),?3,?4) ON "
                          "CONFLICT(name) DO UPDATE SET version=excluded.version,size=excluded.size");
    sqlite3_stmt *update = bench_prepare(db, "UPDATE package SET version=?2,size=?3 WHERE name=?1");
    sqlite3_stmt *set = bench_prepare(
        db, "INSERT INTO setting(name,value) VALUES(?1,?2||?3) ON CONFLICT(name) DO UPDATE SET value=excluded.value");
    fill_base(store, db);
    dbk_log *log = log_open();
    int direct = raw_open("raw.direct", O_DIRECT | O_DSYNC), plain = raw_open("raw.plain", 0);
    uint8_t *block = aligned_alloc(4096, 4096);
    if (!block) bench_die("memory", "none");
    memset(block, 'x', 4096);
    off_t at_direct = 0, at_plain = 0;
    for (int round = 0; round < ROUNDS; round++) {
        if (direct >= 0) raw_round(direct, block, &at_direct, true, &raw);
        log_round(log, (dbk_slice){NULL, 0});
        raw_round(plain, block, &at_plain, false, &raw_plain);
        store_round(store, 0, &put);
        sqlite_round(db, insert, 0, &full_put);
        store_round(store, 1, &patch);
        sqlite_round(db, update, 1, &full_patch);
        store_round(store, 2, &small);
        sqlite_round(db, set, 2, &full_small);
    }
    double best = us(&raw_plain);
    if (raw.count > 0 && us(&raw) < best) best = us(&raw);
    char detail[160];
    snprintf(detail, sizeof detail, "raw %.1f us, log %.1f us", best, us(&log_alone));
    bench_figure("one caller: log alone / raw synced write", 0.85, best / us(&log_alone), true, detail);
    snprintf(detail, sizeof detail, "put %.1f us", us(&put));
    bench_figure("one caller: store, 600-byte put / raw", 0.45, best / us(&put), true, detail);
    snprintf(detail, sizeof detail, "patch %.1f us", us(&patch));
    bench_figure("one caller: store, patch / raw", 0.5, best / us(&patch), true, detail);
    snprintf(detail, sizeof detail, "small put %.1f us", us(&small));
    bench_figure("one caller: store, small row / raw", 0.5, best / us(&small), true, detail);
    snprintf(detail, sizeof detail, "patch %.2f, small row %.2f", us(&patch) / us(&log_alone),
             us(&small) / us(&log_alone));
    bench_figure("one waiting caller: store, put / log append alone", 2, us(&put) / us(&log_alone), false, detail);
    snprintf(detail, sizeof detail, "SQLite FULL %.1f us", us(&full_put));
    bench_figure("one caller: SQLite WAL FULL / store, put", 1, us(&full_put) / us(&put), true, detail);
    snprintf(detail, sizeof detail, "SQLite FULL %.1f us", us(&full_patch));
    bench_figure("one caller: SQLite WAL FULL / store, patch", 1, us(&full_patch) / us(&patch), true, detail);
    snprintf(detail, sizeof detail, "SQLite FULL %.1f us", us(&full_small));
    bench_figure("one caller: SQLite WAL FULL / store, small row", 1, us(&full_small) / us(&small), true, detail);
    dbk_close(store);
    dbk_log_close(log);
    sqlite3_finalize(insert);
    sqlite3_finalize(update);
    sqlite3_finalize(set);
    sqlite3_close(db);
    return 0;
}
