/* A late round in slices under failing I/O and failing allocations, deaths between its slices and lost power; and the undo
 * of what it brought. Afterwards the store opens, its rows are what the log folds to, and sending the round again brings
 * the rows that it brings without faults.
 *   test_late_faults [STRIDE]   every STRIDE-th call fails (1: all) */
#include "base/simdisk.h"
#include "tests/sim/folds.h"
#include "tests/sim/weather.h"
#include "tests/support/simvfs.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

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
    dbk_simdisk *disk;
    simvfs *vfs;
    dbk_definition *definition;
    dbk_engine_options options;
    dbk_engine *engine;
    dbk_simdisk_image *before, *amid; /* none of the round is in the log; its first half is */
    size_t memory, handles;           /* while the store is closed */
    dbk_buffer facts[FACTS];
    dbk_hash128 rows, undone; /* of the whole round without faults; and with the undo of one of its entries */
    int64_t now_ms;
    int deaths; /* the next ones are outlived */
    const char *point;
    char context[120];
    dbk_error error;
} bench;

_Noreturn static void fail(const bench *b, const char *what)
{
    printf("%s: %s\n  %s\n", b->context, what, b->error.text);
    fflush(stdout);
    _Exit(1);
}

static bool open_store(bench *b, const char *path)
{
    b->engine = NULL;
    return dbk_engine_open(path, &b->options, &b->engine, &b->error) == DBK_OK;
}

static void close_store(bench *b)
{
    dbk_engine_close(b->engine);
    b->engine = NULL;
}

static void check_given_back(bench *b)
{
    if (dbk_simdisk_memory_count(b->disk) != b->memory) fail(b, "memory is not given back");
    if (dbk_simdisk_handle_count(b->disk) != b->handles) fail(b, "handles are not closed");
}

/* ---- what is done */

static bool decide(bench *b, const char *json)
{
    dbk_slice text = dbk_slice_text(json);
    dbk_buffer receipt;
    dbk_buffer_init(&receipt, dbk_port_system());
    b->now_ms += 1000;
    dbk_result result = dbk_engine_decide(b->engine, &text, 1, b->now_ms, &receipt, &b->error);
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
    b->now_ms = START_MS + 100000;
    return dbk_engine_import(b->engine, origins, end - first, b->now_ms, &logged, parked, &b->error);
}

/* Of the first fact, which patches a row. */
static bool undo(bench *b, bool *accepted)
{
    static const char json[] = "{\"id\":\"undo\",\"do\":\"undo\",\"entry\":\"62626262626262626262626262626262.1.1\"}";
    dbk_buffer receipt;
    dbk_buffer_init(&receipt, dbk_port_system());
    b->now_ms = START_MS + 200000;
    dbk_result result = dbk_engine_undo(b->engine, dbk_slice_text(json), b->now_ms, &receipt, &b->error);
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
    const char *wrong = wrong_rows(b->engine, b->disk, &b->error);
    if (wrong) fail(b, wrong);
    dbk_model_get_state(dbk_engine_model(b->engine), &live);
    if (live.position != dbk_log_position(dbk_engine_log(b->engine))) fail(b, "the model is behind the log");
    return live.fingerprint;
}

static void expect_rows(bench *b, const dbk_hash128 *rows, const char *what)
{
    dbk_hash128 now = check_rows(b);
    if (memcmp(&now, rows, sizeof now) != 0) fail(b, what);
}

/* The store opens as it was left; the round sent again is whole. */
static void check_round(bench *b, const dbk_hash128 *rows)
{
    uint64_t parked = 0;
    if (!open_store(b, "/store")) fail(b, "it does not open afterwards");
    (void)check_rows(b);
    if (deliver(b, 0, FACTS, &parked) != DBK_OK) fail(b, "the round cannot come again");
    if (parked != 0) fail(b, "some of it waits");
    expect_rows(b, rows, "the round sent again gives other rows");
    close_store(b);
    check_given_back(b);
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
    dbk_simdisk_restore(b->disk, image);
    b->error = (dbk_error){0};
    if (!open_store(b, "/store")) fail(b, "it does not open");
}

/* false: the fault hit nothing, the calls are all through. After a failure a client goes on where it can. */
static bool import_once(bench *b, const weather *w, uint64_t skip)
{
    dbk_simdisk_fault fault = weather_fault(w, skip);
    uint64_t parked;
    snprintf(b->context, sizeof b->context, "import, %s at call %llu", w->name, (unsigned long long)skip);
    begin(b, b->before);
    dbk_simdisk_add_fault(b->disk, &fault);
    dbk_result result = deliver(b, 0, FACTS, &parked);
    bool hit = dbk_simdisk_fault_hits(b->disk) > 0;
    dbk_simdisk_clear_faults(b->disk);
    if (result != DBK_OK && !hit) fail(b, "refused without a fault");
    if (result == DBK_OK && dbk_log_position(dbk_engine_log(b->engine)) < FACTS) fail(b, "facts are missing");
    close_store(b);
    check_given_back(b);
    check_round(b, &b->rows);
    return hit;
}

static bool undo_once(bench *b, const weather *w, uint64_t skip)
{
    dbk_simdisk_fault fault = weather_fault(w, skip);
    bool accepted = false, again;
    snprintf(b->context, sizeof b->context, "undo, %s at call %llu", w->name, (unsigned long long)skip);
    begin(b, b->amid);
    dbk_simdisk_add_fault(b->disk, &fault);
    bool none = undo(b, &accepted);
    bool hit = dbk_simdisk_fault_hits(b->disk) > 0;
    dbk_simdisk_clear_faults(b->disk);
    if (!accepted && !hit) fail(b, "refused without a fault");
    uint64_t end = dbk_log_position(dbk_engine_log(b->engine));
    close_store(b);
    check_given_back(b);
    if (!open_store(b, "/store")) fail(b, "it does not open afterwards");
    uint64_t now = dbk_log_position(dbk_engine_log(b->engine));
    if (accepted && now < end) fail(b, "it was accepted, and is not there");
    (void)check_rows(b);
    (void)undo(b, &again);
    if (!again) fail(b, "it cannot be sent again");
    if (none && dbk_log_position(dbk_engine_log(b->engine)) == now) fail(b, "it was refused, and is there");
    close_store(b);
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
    snprintf(b->context, sizeof b->context, "death %d at '%s'%s%s", deaths, point, power ? ", power lost" : "",
             undoes ? ", undo" : "");
    begin(b, b->before);
    b->point = point;
    b->deaths = deaths;
    dbk_result result = deliver(b, 0, FACTS, &parked);
    bool died = result == DBK_UNAVAILABLE;
    if (!died && result != DBK_OK) fail(b, "it failed without a fault");
    b->point = NULL;
    close_store(b);
    if (power) dbk_simdisk_crash(b->disk, DBK_SIM_RANDOM_MIX, (uint64_t)deaths + 1);
    if (undoes && died) {
        if (!open_store(b, "/store")) fail(b, "it does not open afterwards");
        (void)check_rows(b);
        (void)undo(b, &accepted);
        (void)check_rows(b);
        close_store(b);
        if (!accepted) undoes = false; /* the entry is not there yet */
    }
    check_round(b, undoes && died ? &b->undone : &b->rows);
    return died;
}

static uint64_t deaths(bench *b)
{
    static const char *const points[] = {"logged", "committed"};
    uint64_t runs = 0;
    for (int power = 0; power < 2; power++)
        for (int undoes = 0; undoes < 2; undoes++)
            for (size_t i = 0; i < 2; i++)
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
    memset(b->options.replica, replica, 16);
    if (dbk_engine_create(path, NULL, &b->options, NULL, &b->error) != DBK_OK || !open_store(b, path))
        fail(b, "no store");
}

/* The author has heard of what was known then, and of nothing since. */
static void take_facts(bench *b, const dbk_buffer *known)
{
    dbk_slice origins[KNOWN];
    uint64_t logged, parked;
    for (size_t i = 0; i < KNOWN; i++) origins[i] = dbk_buffer_slice(&known[i]);
    make_store(b, "/author", 'b');
    b->now_ms = START_MS + 10000;
    if (dbk_engine_import(b->engine, origins, KNOWN, b->now_ms, &logged, &parked, &b->error) != DBK_OK)
        fail(b, "no import");
    for (size_t i = 0; i < FACTS; i++) {
        if (!decide(b, written_there[i])) fail(b, written_there[i]);
        dbk_buffer_init(&b->facts[i], dbk_port_system());
        if (dbk_log_read(dbk_engine_log(b->engine), KNOWN + i + 1, &b->facts[i], NULL, &b->error) != DBK_OK)
            fail(b, "no fact");
    }
    close_store(b);
}

static void fill(bench *b)
{
    dbk_buffer known[KNOWN];
    make_store(b, "/store", 'a');
    b->now_ms = START_MS;
    for (size_t i = 0; i < KNOWN; i++) {
        if (!decide(b, known_to_both[i])) fail(b, known_to_both[i]);
        dbk_buffer_init(&known[i], dbk_port_system());
        if (dbk_log_read(dbk_engine_log(b->engine), i + 1, &known[i], NULL, &b->error) != DBK_OK) fail(b, "no entry");
    }
    b->now_ms = START_MS + 50000;
    for (size_t i = 0; i < HERE; i++)
        if (!decide(b, written_here[i])) fail(b, written_here[i]);
    close_store(b);
    take_facts(b, known);
    memset(b->options.replica, 'a', 16);
    for (size_t i = 0; i < KNOWN; i++) dbk_buffer_release(&known[i]);
}

/* What the round comes to without faults, with and without the undo in its middle. */
static void look_ahead(bench *b)
{
    uint64_t parked;
    bool accepted;
    dbk_simdisk_sync_all(b->disk);
    b->memory = dbk_simdisk_memory_count(b->disk);
    b->handles = dbk_simdisk_handle_count(b->disk);
    b->before = dbk_simdisk_snapshot(b->disk);
    snprintf(b->context, sizeof b->context, "without faults");
    begin(b, b->before);
    if (deliver(b, 0, FACTS / 2, &parked) != DBK_OK) fail(b, "the first half does not come");
    close_store(b);
    dbk_simdisk_sync_all(b->disk);
    b->amid = dbk_simdisk_snapshot(b->disk);
    begin(b, b->amid);
    if (deliver(b, 0, FACTS, &parked) != DBK_OK) fail(b, "the rest does not come");
    if (b->engine->counts.bases != 1) fail(b, "no shadow was begun beside the turns");
    b->rows = check_rows(b);
    close_store(b);
    begin(b, b->amid);
    (void)undo(b, &accepted);
    if (!accepted || deliver(b, 0, FACTS, &parked) != DBK_OK) fail(b, "no undo");
    b->undone = check_rows(b);
    close_store(b);
}

static void start(bench *b)
{
    dbk_source sources[] = {{"schema.sql", dbk_slice_text(schema)}, {"app.json", dbk_slice_text(app)}};
    dbk_findings findings = {0};
    memset(b, 0, sizeof *b);
    b->disk = dbk_simdisk_new(5);
    b->vfs = simvfs_register("late", dbk_simdisk_port(b->disk), NULL);
    if (!b->vfs) abort();
    if (dbk_definition_parse(dbk_port_system(), sources, 2, "late", &b->definition, &findings, &b->error) != DBK_OK)
        fail(b, "no definition");
    dbk_findings_free(&findings);
    b->options = (dbk_engine_options){.port = dbk_simdisk_port(b->disk),
                                      .no_threads = true,
                                      .given_ids = true,
                                      .ignore_place = true,
                                      .incarnation = 1,
                                      .timeline = "t",
                                      .definition = b->definition,
                                      .import_slice = SLICE,
                                      .base_least = 1,
                                      .hook = at_point,
                                      .hook_arg = b};
    memset(b->options.lineage, 'l', 16);
    b->options.disk.off = true;
    b->options.model.vfs = "late";
    b->options.log = (dbk_log_options){.no_background = true, .no_direct = true, .segment_first_bytes = 65536};
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
    dbk_simdisk_image_free(b.disk, b.before);
    dbk_simdisk_image_free(b.disk, b.amid);
    dbk_definition_free(b.definition);
    simvfs_unregister(b.vfs);
    dbk_simdisk_free(b.disk);
    printf("%llu deaths, %llu faults in imports, %llu in undos\n", (unsigned long long)ends,
           (unsigned long long)imports, (unsigned long long)undos);
    return ends < 20 || imports * stride < 600 || undos * stride < 600; /* no slices, no faults: it saw nothing */
}
