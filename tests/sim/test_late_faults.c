/* A late round in slices under failing I/O and failing allocations, deaths between its slices and lost power; and the undo
 * of what it brought. Afterwards the store opens, its rows are what the log folds to, and sending the round again brings
 * the rows that it brings without faults.
 *   test_late_faults [STRIDE]   every STRIDE-th call fails (1: all) */
#include "tests/sim/fault_bench.h"
#include "tests/sim/weather.h"

#include <errno.h>

static const char schema[] =
    "CREATE TABLE talks(id TEXT PRIMARY KEY NOT NULL, title TEXT);\n"
    "CREATE TABLE messages(id TEXT PRIMARY KEY NOT NULL, talk TEXT NOT NULL REFERENCES talks, body TEXT, n INTEGER);\n"
    "CREATE INDEX messages_talk ON messages(talk);\n"
    "CREATE TABLE plain(id TEXT PRIMARY KEY NOT NULL, a TEXT, b TEXT);\n"
    "CREATE TABLE lines(id TEXT PRIMARY KEY NOT NULL, at INTEGER);\n";
static const char app[] = "{\"daybook\":1,\"name\":\"late\",\"retention\":[{\"name\":\"tail\",\"table\":\"lines\","
                          "\"keep\":{\"last\":2,\"by\":\"at\"}}]}";
static const int64_t START_MS = 1700000000000;

enum { SLICE = 3, FACTS = 16 };

typedef struct bench {
    fault_bench s;
    dbk_simdisk_image *before, *amid; /* none of the round is in the log; its first half is */
    dbk_buffer facts[FACTS];
    dbk_hash128 rows, undone; /* of the whole round without faults; and with the undo of one of its entries */
    int deaths;               /* the next ones are outlived */
    const char *point;
} bench;

/* ---- what is done */

static bool decide(bench *b, const char *json)
{
    dbk_slice text = dbk_slice_text(json);
    dbk_buffer receipt;
    dbk_buffer_init(&receipt, dbk_port_system());
    b->s.now_ms += 1000;
    dbk_result result = dbk_engine_decide(b->s.engine, &text, 1, b->s.now_ms, &receipt, &b->s.error);
    const char *answer = result == DBK_OK ? dbk_buffer_text(&receipt) : NULL;
    bool accepted = answer && strstr(answer, "\"ok\":true");
    if (!accepted) printf("%s\n%s\n", json, answer ? answer : "");
    dbk_buffer_release(&receipt);
    return accepted;
}

static dbk_result deliver(bench *b, size_t first, size_t end, uint64_t *parked)
{
    dbk_slice origins[FACTS];
    uint64_t logged;
    for (size_t i = first; i < end; i++) origins[i - first] = dbk_buffer_slice(&b->facts[i]);
    b->s.now_ms = START_MS + 100000;
    return dbk_engine_import(b->s.engine, origins, end - first, b->s.now_ms, &logged, parked, &b->s.error);
}

/* Of the first fact, which patches a row. */
static bool undo(bench *b, bool *accepted)
{
    static const char json[] = "{\"id\":\"undo\",\"do\":\"undo\",\"entry\":\"62626262626262626262626262626262.1.1\"}";
    dbk_buffer receipt;
    dbk_buffer_init(&receipt, dbk_port_system());
    b->s.now_ms = START_MS + 200000;
    dbk_result result = dbk_engine_undo(b->s.engine, dbk_slice_text(json), b->s.now_ms, &receipt, &b->s.error);
    const char *answer = result == DBK_OK ? dbk_buffer_text(&receipt) : NULL;
    *accepted = answer && strstr(answer, "\"ok\":true");
    bool refused = answer && strstr(answer, "\"outcome\":\"none\"");
    dbk_buffer_release(&receipt);
    return refused;
}

static int at_point(void *arg, dbk_engine *engine, const char *point, dbk_slice id)
{
    bench *b = arg;
    (void)engine, (void)id;
    return b->point && strcmp(point, b->point) == 0 && b->deaths-- == 0;
}

/* ---- what holds afterwards */

static dbk_hash128 check_rows(bench *b)
{
    dbk_model_state live;
    bench_check_rows(&b->s);
    dbk_model_get_state(dbk_engine_model(b->s.engine), &live);
    if (live.position != dbk_log_position(dbk_engine_log(b->s.engine)))
        bench_fail(&b->s, "the model is behind the log");
    return live.fingerprint;
}

static void expect_rows(bench *b, const dbk_hash128 *rows, const char *what)
{
    dbk_hash128 now = check_rows(b);
    if (memcmp(&now, rows, sizeof now) != 0) bench_fail(&b->s, what);
}

/* The store opens as it was left; the round sent again is whole. */
static void check_round(bench *b, const dbk_hash128 *rows)
{
    uint64_t parked = 0;
    if (!bench_open(&b->s, "/store")) bench_fail(&b->s, "it does not open afterwards");
    (void)check_rows(b);
    if (deliver(b, 0, FACTS, &parked) != DBK_OK) bench_fail(&b->s, "the round cannot come again");
    if (parked != 0) bench_fail(&b->s, "some of it waits");
    expect_rows(b, rows, "the round sent again gives other rows");
    bench_close(&b->s);
    bench_check_given_back(&b->s);
}

/* ---- faults */

static const weather weathers[] = {
    {"EIO once", DBK_SIM_IO, 1, DBK_SIM_FAIL, EIO},
    {"EIO", DBK_SIM_IO, 0, DBK_SIM_FAIL, EIO},
    {"ENOSPC", DBK_SIM_CHANGES, 0, DBK_SIM_FAIL, ENOSPC},
    {"short once", DBK_SIM_READ | DBK_SIM_WRITE, 1, DBK_SIM_SHORT, 0},
    {"no memory once", DBK_SIM_MEMORY, 1, DBK_SIM_FAIL, ENOMEM},
    {"no memory", DBK_SIM_MEMORY, 0, DBK_SIM_FAIL, ENOMEM},
};

static void begin(bench *b, const dbk_simdisk_image *image)
{
    dbk_simdisk_restore(b->s.disk, image);
    b->s.error = (dbk_error){0};
    if (!bench_open(&b->s, "/store")) bench_fail(&b->s, "it does not open");
}

/* false: the fault hit nothing, the calls are all through. After a failure a client goes on where it can. */
static bool import_once(bench *b, const weather *w, uint64_t skip)
{
    dbk_simdisk_fault fault = weather_fault(w, skip);
    uint64_t parked;
    snprintf(b->s.context, sizeof b->s.context, "import, %s at call %llu", w->name, (unsigned long long)skip);
    begin(b, b->before);
    dbk_simdisk_add_fault(b->s.disk, &fault);
    dbk_result result = deliver(b, 0, FACTS, &parked);
    bool hit = dbk_simdisk_fault_hits(b->s.disk) > 0;
    dbk_simdisk_clear_faults(b->s.disk);
    if (result != DBK_OK && !hit) bench_fail(&b->s, "refused without a fault");
    if (result == DBK_OK && dbk_log_position(dbk_engine_log(b->s.engine)) < FACTS)
        bench_fail(&b->s, "facts are missing");
    bench_close(&b->s);
    bench_check_given_back(&b->s);
    check_round(b, &b->rows);
    return hit;
}

static bool undo_once(bench *b, const weather *w, uint64_t skip)
{
    dbk_simdisk_fault fault = weather_fault(w, skip);
    bool accepted = false, again;
    snprintf(b->s.context, sizeof b->s.context, "undo, %s at call %llu", w->name, (unsigned long long)skip);
    begin(b, b->amid);
    dbk_simdisk_add_fault(b->s.disk, &fault);
    bool none = undo(b, &accepted);
    bool hit = dbk_simdisk_fault_hits(b->s.disk) > 0;
    dbk_simdisk_clear_faults(b->s.disk);
    if (!accepted && !hit) bench_fail(&b->s, "refused without a fault");
    uint64_t end = dbk_log_position(dbk_engine_log(b->s.engine));
    bench_close(&b->s);
    bench_check_given_back(&b->s);
    if (!bench_open(&b->s, "/store")) bench_fail(&b->s, "it does not open afterwards");
    uint64_t now = dbk_log_position(dbk_engine_log(b->s.engine));
    if (accepted && now < end) bench_fail(&b->s, "it was accepted, and is not there");
    (void)check_rows(b);
    (void)undo(b, &again);
    if (!again) bench_fail(&b->s, "it cannot be sent again");
    if (none && dbk_log_position(dbk_engine_log(b->s.engine)) == now) bench_fail(&b->s, "it was refused, and is there");
    bench_close(&b->s);
    check_round(b, &b->undone);
    return hit;
}

static uint64_t under_all(bench *b, uint64_t stride, bool (*once)(bench *b, const weather *w, uint64_t skip))
{
    uint64_t runs = 0;
    for (size_t i = 0; i < sizeof weathers / sizeof *weathers; i++)
        for (uint64_t skip = i % stride; once(b, &weathers[i], skip); skip += stride) runs++;
    return runs;
}

/* The process dies at a point of the n-th slice, or the machine does; what comes next is the undo or the rest. */
static bool die_once(bench *b, const char *point, int deaths, bool power, bool undoes)
{
    bool accepted = true;
    uint64_t parked;
    snprintf(b->s.context, sizeof b->s.context, "death %d at '%s'%s%s", deaths, point, power ? ", power lost" : "",
             undoes ? ", undo" : "");
    begin(b, b->before);
    b->point = point;
    b->deaths = deaths;
    dbk_result result = deliver(b, 0, FACTS, &parked);
    bool died = result == DBK_UNAVAILABLE;
    if (!died && result != DBK_OK) bench_fail(&b->s, "it failed without a fault");
    b->point = NULL;
    bench_close(&b->s);
    if (power) dbk_simdisk_crash(b->s.disk, DBK_SIM_RANDOM_MIX, (uint64_t)deaths + 1);
    if (undoes && died) {
        if (!bench_open(&b->s, "/store")) bench_fail(&b->s, "it does not open afterwards");
        (void)check_rows(b);
        (void)undo(b, &accepted);
        (void)check_rows(b);
        bench_close(&b->s);
        if (!accepted) undoes = false; /* the entry is not there yet */
    }
    check_round(b, undoes && died ? &b->undone : &b->rows);
    return died;
}

static uint64_t deaths(bench *b)
{
    static const char *const points[] = {"logged", "committed", "ahead"};
    uint64_t runs = 0;
    for (int power = 0; power < 2; power++)
        for (int undoes = 0; undoes < 2; undoes++)
            for (size_t i = 0; i < 3; i++)
                for (int n = 0; die_once(b, points[i], n, power, undoes); n++) runs++;
    return runs;
}

/* ---- before all that */

static const char *const written_there[FACTS] = {
    "{\"id\":\"b0\",\"do\":\"patch\",\"table\":\"plain\",\"key\":\"p\",\"data\":{\"a\":\"late\"}}",
    "{\"id\":\"b1\",\"do\":\"put\",\"table\":\"messages\",\"key\":\"b1\",\"data\":{\"talk\":\"t\",\"body\":\"x\"}}",
    "{\"id\":\"b2\",\"do\":\"patch\",\"table\":\"messages\",\"key\":\"m\",\"data\":{\"body\":\"late\",\"n\":7}}",
    "{\"id\":\"b3\",\"do\":\"put\",\"table\":\"plain\",\"key\":\"q\",\"data\":{\"a\":\"late\"}}",
    "{\"id\":\"b4\",\"do\":\"put\",\"table\":\"talks\",\"key\":\"u\",\"data\":{\"title\":\"u\"}}",
    "{\"id\":\"b5\",\"do\":\"put\",\"table\":\"messages\",\"key\":\"b5\",\"data\":{\"talk\":\"u\",\"body\":\"x\"}}",
    "{\"id\":\"b6\",\"do\":\"patch\",\"table\":\"messages\",\"key\":\"b1\",\"data\":{\"n\":1}}",
    "{\"id\":\"b7\",\"do\":\"delete\",\"table\":\"messages\",\"key\":\"b5\"}",
    "{\"id\":\"b8\",\"do\":\"patch\",\"table\":\"plain\",\"key\":\"q\",\"data\":{\"b\":\"late\"}}",
    "{\"id\":\"b9\",\"do\":\"put\",\"table\":\"plain\",\"key\":\"v\",\"data\":{\"a\":\"late\"}}",
    "{\"id\":\"b10\",\"do\":\"batch\",\"commands\":[{\"do\":\"put\",\"table\":\"plain\",\"key\":\"s\",\"data\":{\"a\":"
    "\"1\"}},"
    "{\"do\":\"put\",\"table\":\"messages\",\"key\":\"s\",\"data\":{\"talk\":\"t\"}}]}",
    "{\"id\":\"b11\",\"do\":\"patch\",\"table\":\"talks\",\"key\":\"t\",\"data\":{\"title\":\"late\"}}",
    "{\"id\":\"b12\",\"do\":\"delete\",\"table\":\"plain\",\"key\":\"r\"}",
    "{\"id\":\"b13\",\"do\":\"put\",\"table\":\"lines\",\"key\":\"l9\",\"data\":{\"at\":9}}",
    "{\"id\":\"b14\",\"do\":\"put\",\"table\":\"lines\",\"key\":\"l0\",\"data\":{\"at\":2}}",
    "{\"id\":\"b15\",\"do\":\"put\",\"table\":\"messages\",\"key\":\"b15\",\"data\":{\"talk\":\"t\",\"n\":15}}"};
static const char *const known_to_both[] = {
    "{\"id\":\"1\",\"do\":\"put\",\"table\":\"talks\",\"key\":\"t\",\"data\":{\"title\":\"t\"}}",
    "{\"id\":\"2\",\"do\":\"put\",\"table\":\"messages\",\"key\":\"m\",\"data\":{\"talk\":\"t\",\"body\":\"m\"}}",
    "{\"id\":\"3\",\"do\":\"put\",\"table\":\"plain\",\"key\":\"p\",\"data\":{\"a\":\"p\",\"b\":\"p\"}}",
    "{\"id\":\"4\",\"do\":\"put\",\"table\":\"plain\",\"key\":\"r\",\"data\":{\"a\":\"r\"}}"};
static const char *const written_here[] = {
    "{\"id\":\"a1\",\"do\":\"patch\",\"table\":\"plain\",\"key\":\"p\",\"data\":{\"b\":\"here\"}}",
    "{\"id\":\"a2\",\"do\":\"put\",\"table\":\"plain\",\"key\":\"q\",\"data\":{\"b\":\"here\"}}",
    "{\"id\":\"a3\",\"do\":\"patch\",\"table\":\"messages\",\"key\":\"m\",\"data\":{\"body\":\"here\"}}",
    "{\"id\":\"a4\",\"do\":\"patch\",\"table\":\"plain\",\"key\":\"r\",\"data\":{\"b\":\"here\"}}",
    "{\"id\":\"a5\",\"do\":\"put\",\"table\":\"lines\",\"key\":\"l1\",\"data\":{\"at\":1}}",
    "{\"id\":\"a6\",\"do\":\"put\",\"table\":\"lines\",\"key\":\"l2\",\"data\":{\"at\":3}}",
    "{\"id\":\"a7\",\"do\":\"put\",\"table\":\"lines\",\"key\":\"l3\",\"data\":{\"at\":4}}",
    "{\"id\":\"a8\",\"do\":\"put\",\"table\":\"messages\",\"key\":\"a8\",\"data\":{\"talk\":\"t\",\"body\":\"here\"}}"};
enum { KNOWN = sizeof known_to_both / sizeof *known_to_both, HERE = sizeof written_here / sizeof *written_here };

static void make_store(bench *b, const char *path, char replica)
{
    memset(b->s.options.replica, replica, 16);
    if (dbk_engine_create(path, NULL, &b->s.options, NULL, &b->s.error) != DBK_OK || !bench_open(&b->s, path))
        bench_fail(&b->s, "no store");
}

/* The author has heard of what was known then, and of nothing since. */
static void take_facts(bench *b, const dbk_buffer *known)
{
    dbk_slice origins[KNOWN];
    uint64_t logged, parked;
    for (size_t i = 0; i < KNOWN; i++) origins[i] = dbk_buffer_slice(&known[i]);
    make_store(b, "/author", 'b');
    b->s.now_ms = START_MS + 10000;
    if (dbk_engine_import(b->s.engine, origins, KNOWN, b->s.now_ms, &logged, &parked, &b->s.error) != DBK_OK)
        bench_fail(&b->s, "no import");
    for (size_t i = 0; i < FACTS; i++) {
        if (!decide(b, written_there[i])) bench_fail(&b->s, written_there[i]);
        dbk_buffer_init(&b->facts[i], dbk_port_system());
        if (dbk_log_read(dbk_engine_log(b->s.engine), KNOWN + i + 1, &b->facts[i], NULL, &b->s.error) != DBK_OK)
            bench_fail(&b->s, "no fact");
    }
    bench_close(&b->s);
}

static void fill(bench *b)
{
    dbk_buffer known[KNOWN];
    make_store(b, "/store", 'a');
    b->s.now_ms = START_MS;
    for (size_t i = 0; i < KNOWN; i++) {
        if (!decide(b, known_to_both[i])) bench_fail(&b->s, known_to_both[i]);
        dbk_buffer_init(&known[i], dbk_port_system());
        if (dbk_log_read(dbk_engine_log(b->s.engine), i + 1, &known[i], NULL, &b->s.error) != DBK_OK)
            bench_fail(&b->s, "no entry");
    }
    b->s.now_ms = START_MS + 50000;
    for (size_t i = 0; i < HERE; i++)
        if (!decide(b, written_here[i])) bench_fail(&b->s, written_here[i]);
    bench_close(&b->s);
    take_facts(b, known);
    memset(b->s.options.replica, 'a', 16);
    for (size_t i = 0; i < KNOWN; i++) dbk_buffer_release(&known[i]);
}

/* What the round comes to without faults, with and without the undo in its middle. */
static void look_ahead(bench *b)
{
    uint64_t parked;
    bool accepted;
    b->before = bench_take_image(&b->s);
    snprintf(b->s.context, sizeof b->s.context, "without faults");
    begin(b, b->before);
    if (deliver(b, 0, FACTS / 2, &parked) != DBK_OK) bench_fail(&b->s, "the first half does not come");
    bench_close(&b->s);
    bench_check_given_back(&b->s);
    b->amid = bench_take_image(&b->s);
    begin(b, b->amid);
    if (deliver(b, 0, FACTS, &parked) != DBK_OK) bench_fail(&b->s, "the rest does not come");
    if (b->s.engine->counts.aheads != 1) bench_fail(&b->s, "no shadow was folded beside the turns");
    b->rows = check_rows(b);
    bench_close(&b->s);
    begin(b, b->amid);
    (void)undo(b, &accepted);
    if (!accepted || deliver(b, 0, FACTS, &parked) != DBK_OK) bench_fail(&b->s, "no undo");
    b->undone = check_rows(b);
    bench_close(&b->s);
}

static void start(bench *b)
{
    memset(b, 0, sizeof *b);
    bench_start(&b->s, "late", 5);
    bench_define(&b->s, schema, app);
    b->s.options.import_slice = SLICE;
    b->s.options.base_least = 1;
    b->s.options.hook = at_point;
    b->s.options.hook_arg = b;
    fill(b);
    look_ahead(b);
}

int main(int argc, char **argv)
{
    static bench b;
    uint64_t stride = argc > 1 ? strtoull(argv[1], NULL, 10) : 1;
    if (stride == 0) stride = 1;
    start(&b);
    uint64_t ends = deaths(&b), imports = under_all(&b, stride, import_once), undos = under_all(&b, stride, undo_once);
    for (int i = 0; i < FACTS; i++) dbk_buffer_release(&b.facts[i]);
    dbk_simdisk_image_free(b.s.disk, b.before);
    dbk_simdisk_image_free(b.s.disk, b.amid);
    bench_end(&b.s);
    printf("%llu deaths, %llu faults in imports, %llu in undos\n", (unsigned long long)ends,
           (unsigned long long)imports, (unsigned long long)undos);
    return ends < 20 || imports * stride < 600 || undos * stride < 600; /* no slices, no faults: it saw nothing */
}
