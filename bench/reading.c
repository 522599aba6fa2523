/* What reading a store costs: a rebuild beside a plain SQLite load of the same rows, verification beside
 * the memory's own BLAKE2b, opening after a process that never closed, bytes per entry, memory.
 * `reading --quick` takes a log a sixteenth as long. */
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench/common.h"

enum { BATCH = 500, SMALL_BATCH = 16, BODY = 400, LONG_BODY = 4000, ROUNDS = 3 };

static const char schema[] =
    "CREATE TABLE package(name TEXT PRIMARY KEY NOT NULL, version TEXT, section TEXT, body TEXT) WITHOUT ROWID;"
    "CREATE INDEX package_section ON package(section);";
static char body[LONG_BODY + 1];

/* ---- rows in the order of a hash, as commands and as bindings */

static void row_of(int i, char key[24], char version[24], char section[24])
{
    snprintf(key, 24, "p%08x", (uint32_t)i * 2654435761u);
    snprintf(version, 24, "1.%d", i);
    snprintf(section, 24, "s%d", i % 60);
}

static void put_rows(dbk_store *store, int count)
{
    char *array = malloc(BATCH * (BODY + 300));
    if (!array) bench_die("memory", "none");
    for (int i = 0; i < count; i += BATCH) {
        size_t size = 0;
        for (int k = i; k < i + BATCH; k++) {
            char key[24], version[24], section[24];
            row_of(k, key, version, section);
            size += (size_t)sprintf(array + size,
                                    "%c{\"id\":\"r%d\",\"do\":\"put\",\"table\":\"package\",\"key\":\"%s\",\"data\":{"
                                    "\"version\":\"%s\",\"section\":\"%s\",\"body\":\"%.*s\"}}",
                                    k == i ? '[' : ',', k, key, version, section, BODY, body);
        }
        array[size++] = ']';
        bench_do(store, array, size);
    }
    free(array);
}

static double load_plain(int round, int count)
{
    char name[32];
    snprintf(name, sizeof name, "load%d", round);
    double begin = bench_now();
    sqlite3 *db = bench_sqlite(name, "NORMAL", schema);
    sqlite3_stmt *insert = bench_prepare(db, "INSERT INTO package VALUES(?1,?2,?3,?4)");
    for (int i = 0; i < count; i++) {
        char key[24], version[24], section[24];
        row_of(i, key, version, section);
        if (i % 4096 == 0) bench_sql(db, i ? "COMMIT;BEGIN" : "BEGIN");
        sqlite3_bind_text(insert, 1, key, -1, SQLITE_STATIC);
        sqlite3_bind_text(insert, 2, version, -1, SQLITE_STATIC);
        sqlite3_bind_text(insert, 3, section, -1, SQLITE_STATIC);
        sqlite3_bind_text(insert, 4, body, BODY, SQLITE_STATIC);
        if (sqlite3_step(insert) != SQLITE_DONE) bench_die("insert", sqlite3_errmsg(db));
        sqlite3_reset(insert);
    }
    bench_sql(db, "COMMIT");
    sqlite3_finalize(insert);
    sqlite3_close(db);
    return bench_now() - begin;
}

static double rebuild(dbk_store *store)
{
    static const char command[] = "{\"do\":\"rebuild\"}";
    double begin = bench_now();
    bench_do(store, command, sizeof command - 1);
    return bench_now() - begin;
}

static void store_path(char path[4400], const char *name)
{
    snprintf(path, 4400, "%s/%s.daybook", bench_folder(), name);
}

static void rebuild_rounds(dbk_store *store, int count, const char *name)
{
    static int loads;
    double ours[ROUNDS], theirs[ROUNDS], ratios[ROUNDS];
    for (int round = 0; round < ROUNDS; round++) {
        ours[round] = rebuild(store);
        theirs[round] = load_plain(loads++, count);
        ratios[round] = theirs[round] / ours[round];
    }
    char detail[160];
    double a = bench_median(ours, ROUNDS), b = bench_median(theirs, ROUNDS);
    snprintf(detail, sizeof detail, "%.0f rows/s, plain SQLite %.0f rows/s", count / a, count / b);
    bench_figure(name, 0.75, bench_median(ratios, ROUNDS), true, detail);
}

/* From segments as they were written, then from packed ones. */
static void rebuild_figures(int count)
{
    char path[4400];
    dbk_error err = {0};
    dbk_engine *engine = NULL;
    dbk_engine_options options = {.log = {.keep_plain = true}};
    dbk_store *store = NULL;
    dbk_close(bench_store("rebuild", schema, NULL));
    store_path(path, "rebuild");
    bench_must(dbk_engine_open(path, &options, &engine, &err), &err, "open");
    bench_must(dbk_engine_wrap(engine, &store, &err), &err, "wrap");
    put_rows(store, count);
    rebuild_rounds(store, count, "rebuild, plain segments / plain SQLite load");
    dbk_close(store);
    bench_must(dbk_engine_open(path, &(dbk_engine_options){0}, &engine, &err), &err, "open");
    bench_must(dbk_engine_wrap(engine, &store, &err), &err, "wrap");
    dbk_log_report report;
    do { /* a store packs what has ended by itself */
        usleep(20000);
        bench_must(dbk_log_stats(dbk_engine_log(engine), &report, NULL), NULL, "stats");
    } while (report.packed_segments + 2 < report.segments);
    rebuild_rounds(store, count, "rebuild, packed segments / plain SQLite load");
    dbk_close(store);
}

/* ---- a long log, written by a process that ends without a close */

static void write_long(dbk_store *store, uint64_t bytes)
{
    enum { EACH = 200 };
    char *array = malloc(EACH * (LONG_BODY + 200));
    if (!array) bench_die("memory", "none");
    uint64_t entry = 0;
    for (uint64_t written = 0; written < bytes; written += (uint64_t)EACH * LONG_BODY) {
        size_t size = 0;
        for (int i = 0; i < EACH; i++, entry++)
            size += (size_t)sprintf(array + size,
                                    "%c{\"id\":\"e%llu\",\"do\":\"append\",\"stream\":\"job/"
                                    "%llu\",\"type\":\"job.noted\",\"data\":{\"text\":\"%s\"}}",
                                    i ? ',' : '[', (unsigned long long)entry, (unsigned long long)(entry % 5000), body);
        array[size++] = ']';
        bench_do(store, array, size);
    }
    free(array);
}

/* The child's folder is the parent's, and _exit leaves it alone. */
static void leave_long(const char *name, uint64_t bytes)
{
    fflush(stdout);
    pid_t child = fork();
    if (child < 0) bench_die("fork", "failed");
    if (child == 0) {
        write_long(bench_store(name, schema, NULL), bytes);
        _exit(0);
    }
    int status = 0;
    if (waitpid(child, &status, 0) != child || status != 0) bench_die("the writing process", "failed");
}

static void reopen_figure(const char *name, uint64_t bytes)
{
    char path[4400], detail[160];
    dbk_error err = {0};
    dbk_store *store = NULL;
    store_path(path, name);
    double begin = bench_now();
    bench_must(dbk_open(path, NULL, &store, &err), &err, "open");
    double took = bench_now() - begin;
    dbk_close(store);
    snprintf(detail, sizeof detail, "a log of %llu MiB, not closed", (unsigned long long)(bytes >> 20));
    bench_figure("open after a process that died, s", 1, took, false, detail);
}

/* ---- verification */

/* MB of records a second, as the store itself verifies. */
static double verify(dbk_store *store, const char *depth, uint64_t *bytes)
{
    char command[64];
    dbk_text answer = {0};
    dbk_error err = {0};
    int size = snprintf(command, sizeof command, "{\"do\":\"verify\",\"depth\":\"%s\"}", depth);
    double begin = bench_now();
    bench_must(dbk_do(store, command, (size_t)size, &answer, &err), &err, "verify");
    double took = bench_now() - begin;
    const char *found = strstr(answer.data, "\"bytes\":");
    if (!found || strstr(answer.data, "\"ok\":false") || !strstr(answer.data, "\"faults\":[]"))
        bench_die("verify", answer.data);
    *bytes = strtoull(found + strlen("\"bytes\":"), NULL, 10);
    dbk_text_free(&answer);
    return (double)*bytes / took / 1e6;
}

static double blake_rate(void)
{
    enum { TIMES = 40000 };
    uint8_t digest[DBK_LEAF_SIZE];
    double begin = bench_now();
    for (int i = 0; i < TIMES; i++) {
        dbk_digest(DBK_DIGEST_LEAF, dbk_slice_of(body, LONG_BODY), digest, sizeof digest);
        body[0] = (char)('a' + (digest[0] & 7));
    }
    double took = bench_now() - begin;
    body[0] = 'b';
    return (double)TIMES * LONG_BODY / took / 1e6;
}

static void verify_figures(const char *name)
{
    double checksums[ROUNDS], proof[ROUNDS], blake[ROUNDS];
    char path[4400];
    dbk_error err = {0};
    dbk_store *store = NULL;
    uint64_t bytes = 0;
    store_path(path, name);
    bench_must(dbk_open(path, NULL, &store, &err), &err, "open");
    for (int round = 0; round < ROUNDS; round++) {
        checksums[round] = verify(store, "checksums", &bytes);
        proof[round] = verify(store, "proof", &bytes);
        blake[round] = blake_rate();
    }
    dbk_close(store);
    char detail[160];
    double rate = bench_median(blake, ROUNDS), proven = bench_median(proof, ROUNDS);
    snprintf(detail, sizeof detail, "%.0f MB in entries of 4 kB", (double)bytes / 1e6);
    bench_figure("verify, checksums, MB/s", 700, bench_median(checksums, ROUNDS), true, detail);
    snprintf(detail, sizeof detail, "%.0f MB/s, BLAKE2b alone %.0f MB/s", proven, rate);
    bench_figure("verify, proof / BLAKE2b of as many bytes", 0.7, proven / rate, true, detail);
}

/* ---- bytes per entry, memory */

/* The log alone: what a batch of 16 takes in its segment beside the origin bytes given to it. */
static void bytes_figure(void)
{
    enum { BATCHES = 400 };
    char path[4400], detail[160];
    dbk_error err = {0};
    dbk_dir *dir = NULL;
    dbk_log *log = NULL;
    dbk_log_options options = {0};
    dbk_log_report report;
    snprintf(path, sizeof path, "%s/bytes", bench_folder());
    bench_must(dbk_io_open_dir(dbk_port_system(), NULL, path, DBK_OPEN_DIRECTORY, &dir, &err), &err, "folder");
    bench_must(dbk_log_create(dbk_port_system(), dir, &options, &err), &err, "create log");
    bench_must(dbk_log_open(dbk_port_system(), dir, &options, &log, &err), &err, "open log");
    dbk_buffer events, origins[SMALL_BATCH];
    dbk_buffer_init(&events, dbk_port_system());
    for (int i = 0; i < SMALL_BATCH; i++) dbk_buffer_init(&origins[i], dbk_port_system());
    bench_must(dbk_log_stats(log, &report, &err), &err, "stats");
    uint64_t before = report.bytes, given = 0, seq = 0;
    for (int batch = 0; batch < BATCHES; batch++) {
        dbk_slice slices[SMALL_BATCH];
        for (int i = 0; i < SMALL_BATCH; i++) {
            dbk_event event = {.stream = dbk_slice_text("job/1"),
                               .type = dbk_slice_text("job.noted"),
                               .type_version = 1,
                               .data = dbk_slice_of(body, 100 + bench_random() % 200)};
            seq++;
            dbk_entry entry = {.id = {{0}, 1, seq}, .hlc = seq << 16, .event_count = 1};
            dbk_buffer_clear(&events);
            dbk_buffer_clear(&origins[i]);
            dbk_event_encode(&events, &event);
            entry.events = dbk_buffer_slice(&events);
            dbk_entry_encode(&origins[i], &entry);
            slices[i] = dbk_buffer_slice(&origins[i]);
            given += slices[i].size;
        }
        bench_must(dbk_log_append(log, slices, SMALL_BATCH, 0, NULL, &err), &err, "append");
    }
    bench_must(dbk_log_stats(log, &report, &err), &err, "stats");
    snprintf(detail, sizeof detail, "origin %.0f bytes on average, with seals and starts", (double)given / (double)seq);
    bench_figure("bytes per entry beyond its origin, 16 a batch", 64,
                 (double)(report.bytes - before - given) / (double)seq, false, detail);
    dbk_log_close(log);
    dbk_buffer_release(&events);
    for (int i = 0; i < SMALL_BATCH; i++) dbk_buffer_release(&origins[i]);
    dbk_port_system()->close_dir(dbk_port_system()->ctx, dir);
}

/* In a process of its own: the peak of one that opens, puts and asks. */
static void memory_figure(const char *name, int count)
{
    fflush(stdout);
    pid_t child = fork();
    if (child < 0) bench_die("fork", "failed");
    if (child == 0) {
        char path[4400];
        dbk_error err = {0};
        dbk_store *store = NULL;
        store_path(path, name);
        if (dbk_open(path, NULL, &store, &err) != DBK_OK) _exit(1);
        put_rows(store, count);
        dbk_close(store);
        _exit(0);
    }
    int status = 0;
    struct rusage usage;
    if (wait4(child, &status, 0, &usage) != child || status != 0) bench_die("the measured process", "failed");
    bench_figure("peak resident memory of an open store, MiB", 50, (double)usage.ru_maxrss / 1024, false,
                 "opens the long log, then puts in arrays of 500");
}

int main(int argc, char **argv)
{
    bool quick = argc > 1 && strcmp(argv[1], "--quick") == 0;
    uint64_t bytes = (uint64_t)(quick ? 64 : 1024) << 20;
    memset(body, 'b', LONG_BODY);
    (void)bench_folder();
    bytes_figure();
    leave_long("long", bytes);
    reopen_figure("long", bytes);
    verify_figures("long");
    memory_figure("long", quick ? 10000 : 50000);
    rebuild_figures(quick ? 20000 : 100000);
    return 0;
}
