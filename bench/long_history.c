/* A store with a million entries: opening it, moments of its past, the pause of a switch, late facts of another
 * replica. `long_history --quick` takes a tenth, `--late` only the late facts, `--tied` these in a table with a foreign
 * key, `--told` in one whose events a projection counts;
 * `--recent`: of the last hundredth. */
#include <dirent.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "bench/common.h"

enum { BATCH = 1000, MOMENTS = 8, ROUNDS = 5, AUTHOR = 7 };

static const char schema[] =
    "CREATE TABLE package(name TEXT PRIMARY KEY NOT NULL, version TEXT, section TEXT, body TEXT) WITHOUT ROWID;"
    "CREATE INDEX package_section ON package(section);";
static const char tied_schema[] = "CREATE TABLE part(id TEXT PRIMARY KEY NOT NULL);"
                                  "CREATE TABLE package(name TEXT PRIMARY KEY NOT NULL, version TEXT, section TEXT "
                                  "REFERENCES part, body TEXT) WITHOUT "
                                  "ROWID;CREATE INDEX package_section ON package(section);";
static const char told_schema[] =
    "CREATE TABLE package(name TEXT PRIMARY KEY NOT NULL, version TEXT, section TEXT, body TEXT) WITHOUT ROWID;"
    "CREATE INDEX package_section ON package(section);"
    "CREATE TABLE section(name TEXT PRIMARY KEY NOT NULL, put INTEGER NOT NULL) WITHOUT ROWID;";
static const char told_projections[] =
    "-- on package.put\nINSERT INTO section(name, put) VALUES(coalesce($section, '-'), 1) ON "
    "CONFLICT(name) DO UPDATE SET put = put + 1;\n";
static const char newer_schema[] =
    "CREATE TABLE package(name TEXT PRIMARY KEY NOT NULL, version TEXT, section TEXT, body TEXT, note TEXT) WITHOUT "
    "ROWID;CREATE INDEX package_section ON package(section);";
static const char name[] = "history";

typedef struct history {
    dbk_engine *engine;
    dbk_store *store;
    uint64_t entries;
} history;

static void path_of(char path[4400], const char *end)
{
    snprintf(path, 4400, "%s/%s%s", bench_folder(), name, end);
}

static void open_history(history *h)
{
    char path[4400];
    dbk_error err = {0};
    dbk_engine_options options = {0};
    path_of(path, ".daybook");
    bench_must(dbk_engine_open(path, &options, &h->engine, &err), &err, "open");
    bench_must(dbk_engine_wrap(h->engine, &h->store, &err), &err, "wrap");
}

/* What the rows of a tied table refer to. */
static void fill_parts(dbk_store *store)
{
    char command[100];
    for (int i = 0; i < 60; i++) {
        int size = snprintf(command, sizeof command,
                            "{\"id\":\"part%d\",\"do\":\"put\",\"table\":\"part\",\"key\":\"s%d\"}", i, i);
        bench_do(store, command, (size_t)size);
    }
}

/* A fifth as many rows as entries, each put several times over. */
static void fill(dbk_store *store, uint64_t count)
{
    static char array[BATCH * 400];
    for (uint64_t i = 0; i < count; i += BATCH) {
        size_t size = 0;
        for (uint64_t k = i; k < i + BATCH; k++)
            size += (size_t)snprintf(
                array + size, sizeof array - size,
                "%c{\"id\":\"r%llu\",\"do\":\"put\",\"table\":\"package\",\"key\":\"p%08x\",\"data\":{\"version\":"
                "\"1.%llu\",\"section\":\"s%llu\",\"body\":\"%016llx%016llx a package\"}}",
                k == i ? '[' : ',', (unsigned long long)k, (uint32_t)(k % (count / 5)) * 2654435761u,
                (unsigned long long)k, (unsigned long long)(k % 60), (unsigned long long)bench_random(),
                (unsigned long long)bench_random());
        array[size++] = ']';
        bench_do(store, array, size);
    }
}

/* ---- opening */

static void open_figure(history *h)
{
    double took[ROUNDS];
    char detail[160];
    for (int i = 0; i < ROUNDS; i++) {
        dbk_close(h->store);
        double begin = bench_now();
        open_history(h);
        took[i] = bench_now() - begin;
    }
    snprintf(detail, sizeof detail, "%llu entries, a current model", (unsigned long long)h->entries);
    bench_figure("open, ms", 50, bench_median(took, ROUNDS) * 1e3, false, detail);
}

/* ---- moments */

static uint64_t bytes_below(const char *folder)
{
    uint64_t bytes = 0;
    DIR *dir = opendir(folder);
    for (struct dirent *entry; dir && (entry = readdir(dir));) {
        char path[4800];
        struct stat st;
        snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        if (entry->d_name[0] == '.' || stat(path, &st) != 0) continue;
        bytes += S_ISDIR(st.st_mode) ? bytes_below(path) : (uint64_t)st.st_size;
    }
    if (dir) closedir(dir);
    return bytes;
}

/* Of the file that answers, without its WAL. */
static uint64_t bytes_of_model(void)
{
    char path[4400], file[4800], serial[64] = "";
    struct stat st = {0};
    path_of(path, ".daybook/models");
    snprintf(file, sizeof file, "%s/current", path);
    FILE *pointer = fopen(file, "r");
    if (!pointer || !fgets(serial, sizeof serial, pointer)) bench_die(file, "cannot be read");
    fclose(pointer);
    serial[strcspn(serial, "\n")] = '\0';
    snprintf(file, sizeof file, "%s/%s/main.sqlite", path, serial);
    if (stat(file, &st) != 0) bench_die(file, "is not there");
    return (uint64_t)st.st_size;
}

static double ask_at(history *h, dbk_moment at)
{
    dbk_text answer = {0};
    dbk_error err = {0};
    double begin = bench_now();
    bench_must(dbk_query(h->store, "SELECT version FROM package WHERE name='p00000000'", NULL, &at, &answer, &err),
               &err, "query");
    double took = bench_now() - begin;
    dbk_text_free(&answer);
    return took;
}

/* Of all threads of the process: what the machine's load does not change. */
static double processor_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static double ask(history *h, uint64_t position)
{
    return ask_at(h, (dbk_moment){.position = position});
}

static void moment_figures(history *h)
{
    double first = 0, next = 0, processor = 0, firsts[MOMENTS];
    char detail[160], images[4400];
    for (int i = 0; i < MOMENTS; i++) {
        uint64_t position = 1 + bench_random() % h->entries;
        double begin = processor_now();
        firsts[i] = ask(h, position);
        double used = processor_now() - begin, again = ask(h, position);
        processor = used > processor ? used : processor;
        first = firsts[i] > first ? firsts[i] : first;
        next = again > next ? again : next;
    }
    snprintf(detail, sizeof detail, "slowest of %d, median %.2f s; at most %.2f s of processor", MOMENTS,
             bench_median(firsts, MOMENTS), processor);
    bench_figure("as of any position, first query, s", 2, first, false, detail);
    bench_figure("as of the same position, next query, ms", 20, next * 1e3, false, detail);
    path_of(images, ".daybook/images");
    double ladder = (double)bytes_below(images), model = (double)bytes_of_model();
    snprintf(detail, sizeof detail, "%.1f MB of images, %.1f MB of model", ladder / 1e6, model / 1e6);
    bench_figure("bytes of the ladder of images / model's bytes", 0.4, ladder / model, false, detail);
}

/* ---- what else looks at the past, each twice at places of its own: the slower one counts */

__attribute__((format(printf, 2, 3))) static double request(history *h, const char *format, ...)
{
    char text[300];
    va_list args;
    va_start(args, format);
    int size = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    double begin = bench_now();
    bench_do(h->store, text, (size_t)size);
    return bench_now() - begin;
}

static double replay(history *h, uint64_t position)
{
    char path[4400];
    dbk_moment at = {.position = position};
    dbk_model_state state;
    dbk_error err = {0};
    path_of(path, ".replayed");
    double begin = bench_now();
    bench_must(dbk_engine_replay(h->engine, &at, path, true, NULL, NULL, &state, &err), &err, "replay");
    double took = bench_now() - begin;
    (void)remove(path);
    return took;
}

static void past_figure(const char *what, double goal, double first, double second)
{
    char detail[160];
    snprintf(detail, sizeof detail, "of two; the other %.3f", first > second ? second : first);
    bench_figure(what, goal, first > second ? first : second, false, detail);
}

static void past_figures(history *h, int64_t begin_ms, int64_t end_ms)
{
    unsigned long long n = h->entries, part = n / 100;
    double took[2][6];
    for (unsigned i = 0; i < 2; i++) {
        int64_t time_ms = begin_ms + (end_ms - begin_ms) * (i ? 82 : 23) / 100;
        unsigned long long at = (i ? 91 : 37) * part;
        took[i][0] = ask_at(h, (dbk_moment){.time_ms = time_ms});
        took[i][1] = ask_at(h, (dbk_moment){.order_time_ms = time_ms + (end_ms - begin_ms) / 10});
        took[i][2] = request(h, "{\"do\":\"diff\",\"from\":%llu,\"to\":%llu}", at, at + part);
        took[i][3] = request(h, "{\"do\":\"explain\",\"position\":%llu}", at + part / 2);
        took[i][4] = replay(h, at + part / 3);
        took[i][5] = request(h, "{\"do\":\"history\",\"table\":\"package\",\"key\":\"p%08x\"}", i * 2654435761u);
    }
    past_figure("as of a time, first query, s", 2, took[0][0], took[1][0]);
    past_figure("as of an order time, first query, s", 2, took[0][1], took[1][1]);
    past_figure("diff of two moments, s", 4, took[0][2], took[1][2]);
    past_figure("explain of an entry, s", 2, took[0][3], took[1][3]);
    past_figure("replay to a position, into a file, s", 2, took[0][4], took[1][4]);
    past_figure("history of a row, ms", 20, took[0][5] * 1e3, took[1][5] * 1e3);
}

/* ---- pauses: a client that puts all the while, and waits for the decision only */

typedef struct client {
    dbk_store *store;
    atomic_bool stop;
    double took[100000];
    _Atomic size_t count;
} client;

static void *put_on(void *arg)
{
    client *c = arg;
    char command[300];
    static uint64_t number;
    while (!atomic_load(&c->stop)) {
        number++;
        int size = snprintf(command, sizeof command,
                            "{\"id\":\"w%llu\",\"do\":\"put\",\"table\":\"package\",\"key\":\"w%llu\",\"wait\":"
                            "\"accepted\",\"data\":{\"version\":\"1\"}}",
                            (unsigned long long)number, (unsigned long long)(number % 50));
        double begin = bench_now();
        bench_do(c->store, command, (size_t)size);
        size_t at = atomic_load(&c->count);
        if (at < sizeof c->took / sizeof *c->took) c->took[at] = bench_now() - begin, atomic_store(&c->count, at + 1);
        usleep(1000);
    }
    return NULL;
}

/* Of this thread: what the machine's other work does not stretch. */
static double processor_seconds(void)
{
    struct timespec used;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used);
    return (double)used.tv_sec + (double)used.tv_nsec / 1e9;
}

/* How much longer the slowest put beside the work took than those of the same client mostly do without it. */
static double pause_while(history *h, void (*work)(history *h), double *took, char detail[200])
{
    static client c;
    pthread_t thread;
    memset(&c, 0, sizeof c);
    c.store = h->store;
    if (pthread_create(&thread, NULL, put_on, &c) != 0) bench_die("thread", "failed");
    usleep(1000000);
    size_t alone = atomic_load(&c.count);
    double begin = bench_now(), used = processor_seconds();
    work(h);
    *took = bench_now() - begin;
    used = processor_seconds() - used;
    size_t end = atomic_load(&c.count) + 1; /* with the one that is under way */
    usleep(50000);
    atomic_store(&c.stop, true);
    pthread_join(thread, NULL);
    if (end > c.count) end = c.count;
    double usual = bench_percentile(c.took, alone, 0.99), slowest = bench_percentile(c.took + alone, end - alone, 1);
    snprintf(detail, 200,
             "%.1f s in all, %.1f of this processor, %zu puts beside it, half of them within %.1f ms, 99 %% of those "
             "before %.1f",
             *took, used, end - alone, bench_percentile(c.took + alone, end - alone, 0.5) * 1e3, usual * 1e3);
    return slowest > usual ? slowest - usual : 0;
}

static void upgrade(history *h)
{
    char command[4600], app[4400];
    path_of(app, ".newer");
    bench_write_app(app, &(bench_app){.schema = newer_schema});
    int size = snprintf(command, sizeof command, "{\"do\":\"upgrade\",\"app\":\"%s\"}", app);
    bench_do(h->store, command, (size_t)size);
}

static void rebuild(history *h)
{
    static const char command[] = "{\"do\":\"rebuild\"}";
    bench_do(h->store, command, sizeof command - 1);
}

/* ---- late facts: a replica that wrote beside the last tenth of the log is heard of now. A half of them make rows,
 * a half change rows of others. */

static dbk_slice *facts;
static size_t fact_count;
static unsigned share = 10; /* of the log, from its end */

static uint64_t hlc_at(dbk_log *log, uint64_t position)
{
    dbk_buffer origin;
    dbk_entry entry;
    dbk_error err = {0};
    dbk_buffer_init(&origin, dbk_port_system());
    bench_must(dbk_log_read(log, position, &origin, NULL, &err), &err, "read");
    bench_must(dbk_entry_decode(dbk_buffer_slice(&origin), &entry, &err), &err, "decode");
    dbk_buffer_release(&origin);
    return entry.hlc;
}

static dbk_slice make_fact(const history *h, const dbk_entry *stamp, uint64_t i)
{
    char stream[64], data[160];
    dbk_buffer event, origin;
    dbk_entry entry = *stamp;
    bool made = i % 2 == 0;
    uint32_t row = (uint32_t)(made ? i : bench_random() % (h->entries / 5)) * 2654435761u;
    snprintf(stream, sizeof stream, made ? "package/late%08x" : "package/p%08x", row);
    int size = made ? snprintf(data, sizeof data,
                               "{\"body\":\"late\",\"name\":\"late%08x\",\"section\":\"s%llu\",\"version\":\"2\"}", row,
                               (unsigned long long)i % 60)
                    : snprintf(data, sizeof data, "{\"version\":\"2.%llu\"}", (unsigned long long)i);
    dbk_buffer_init(&event, dbk_port_system());
    dbk_buffer_init(&origin, dbk_port_system());
    dbk_event_encode(&event, &(dbk_event){.stream = dbk_slice_text(stream),
                                          .type = dbk_slice_text(made ? "package.put" : "package.patched"),
                                          .type_version = 1,
                                          .data = dbk_slice_of(data, (size_t)size)});
    entry.events = dbk_buffer_slice(&event);
    dbk_entry_encode(&origin, &entry);
    dbk_buffer_release(&event);
    return dbk_buffer_slice(&origin);
}

static void make_facts(const history *h)
{
    dbk_log *log = dbk_engine_log(h->engine);
    uint8_t store_id[16];
    dbk_entry entry = {.id = {{AUTHOR}, 1, 0}, .event_count = 1, .flags = DBK_ENTRY_APP};
    uint64_t end, begin = hlc_at(log, h->entries - h->entries / share);
    dbk_log_ids(log, store_id, entry.lineage);
    dbk_log_clock(log, &entry.epoch, &end);
    fact_count = h->entries / share;
    facts = calloc(fact_count, sizeof *facts);
    for (size_t i = 0; facts && i < fact_count; i++) {
        entry.id.seq = i + 1;
        entry.hlc = begin + (end - begin) / fact_count * i;
        entry.time_ms = (int64_t)(entry.hlc >> 16);
        facts[i] = make_fact(h, &entry, i);
    }
}

static void import(history *h)
{
    uint64_t logged = 0, parked = 0;
    dbk_error err = {0};
    bench_must(dbk_engine_import(h->engine, facts, fact_count, dbk_engine_now(h->engine), &logged, &parked, &err), &err,
               "import");
    if (logged != fact_count) bench_die("import", "not all were logged");
}

static bool asked(int argc, char **argv, const char *option)
{
    for (int i = 1; i < argc; i++)
        if (strcmp(argv[i], option) == 0) return true;
    return false;
}

static void late_figures(history *h, const char *kind)
{
    char detail[200], name_of[2][80];
    double took, pause;
    make_facts(h);
    pause = pause_while(h, import, &took, detail);
    snprintf(name_of[0], sizeof name_of[0], "late facts%s, %s of the log: s", kind,
             share == 10 ? "a tenth" : "a hundredth");
    snprintf(name_of[1], sizeof name_of[1], "late facts%s: local writes paused, ms", kind);
    bench_figure(name_of[0], 5, took, false, detail);
    bench_figure(name_of[1], 20, pause * 1e3, false, detail);
}

int main(int argc, char **argv)
{
    bool quick = asked(argc, argv, "--quick"), tied = asked(argc, argv, "--tied"), told = asked(argc, argv, "--told"),
         late = tied || told || asked(argc, argv, "--late");
    history h = {.entries = quick ? 100000 : 1000000};
    char detail[200];
    double took;
    dbk_close(bench_store(name, tied ? tied_schema : told ? told_schema : schema, told ? told_projections : NULL));
    open_history(&h);
    if (tied) fill_parts(h.store);
    int64_t begin_ms = dbk_engine_now(h.engine);
    fill(h.store, h.entries);
    int64_t end_ms = dbk_engine_now(h.engine);
    if (asked(argc, argv, "--recent")) share = 100;
    if (late) {
        late_figures(&h, tied ? " with links" : told ? " with projections" : "");
        dbk_close(h.store);
        return 0;
    }
    open_figure(&h);
    moment_figures(&h);
    past_figures(&h, begin_ms, end_ms);
    double pause = pause_while(&h, rebuild, &took, detail);
    bench_figure("rebuild: local writes paused, ms", 20, pause * 1e3, false, detail);
    late_figures(&h, "");
    pause = pause_while(&h, upgrade, &took, detail);
    bench_figure("upgrade: local writes paused, ms", 20, pause * 1e3, false, detail);
    dbk_close(h.store);
    return 0;
}
