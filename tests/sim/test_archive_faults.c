/* Rules of time with an archive under failing I/O, failing allocations, deaths and lost power. Whatever happens, a row is
 * in its table or whole in its archive; and a sweep that nothing disturbs ends what is left.
 *   test_archive_faults [STRIDE]   every STRIDE-th call fails (1: all) */
#include "base/simdisk.h"
#include "tests/sim/folds.h"
#include "tests/sim/weather.h"
#include "tests/support/simvfs.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

static const char schema[] = "CREATE TABLE lines(id TEXT PRIMARY KEY NOT NULL, body TEXT, n INTEGER);\n"
                             "CREATE TABLE cells(id TEXT PRIMARY KEY NOT NULL, body TEXT, n INTEGER);\n";
static const char app[] =
    "{\"daybook\":1,\"name\":\"archive\",\"retention\":["
    "{\"name\":\"one\",\"table\":\"lines\",\"where\":\"n > 0\",\"every\":\"1m\",\"archive\":\"old/{rule}.ndjson\"},"
    "{\"name\":\"two\",\"table\":\"cells\",\"where\":\"n > 0\",\"every\":\"1m\",\"archive\":\"{rule}.csv\"}]}";
static const int64_t START_MS = 1700000000000, MINUTE_MS = 60000, MS_NS = 1000000;

enum { ROWS = 8, EARLIER = 3, FILE_BYTES = 256 * 1024 };

typedef struct bench {
    dbk_simdisk *disk;
    simvfs *vfs;
    dbk_definition *definition;
    dbk_engine_options options;
    dbk_engine *engine;
    dbk_json_parser *parser;
    dbk_simdisk_image *fresh, *later; /* nothing is archived yet; the first rows are */
    int64_t now_ms;
    size_t memory, handles; /* while the store is closed */
    uint64_t twice;         /* lines that were written a second time, of all runs */
    char body[400];
    char context[120];
    dbk_error error;
} bench;

_Noreturn static void fail(const bench *b, const char *what)
{
    printf("%s: %s\n  %s\n", b->context, what, b->error.text);
    fflush(stdout);
    _Exit(1);
}

static bool open_store(bench *b)
{
    b->engine = NULL;
    return dbk_engine_open("/store", &b->options, &b->engine, &b->error) == DBK_OK;
}

static void close_store(bench *b)
{
    dbk_engine_close(b->engine);
    b->engine = NULL;
    if (dbk_simdisk_memory_count(b->disk) != b->memory) fail(b, "memory is not given back");
    if (dbk_simdisk_handle_count(b->disk) != b->handles) fail(b, "handles are not closed");
}

/* ---- the rows that are left, and those that were kept */

static bool is_in_table(bench *b, const char *table, int number)
{
    char key[8];
    dbk_buffer row;
    const dbk_table *found = dbk_definition_table(b->definition, dbk_slice_text(table));
    snprintf(key, sizeof key, "k%d", number);
    dbk_buffer_init(&row, dbk_port_system());
    dbk_result result = dbk_model_row_json(dbk_engine_model(b->engine), found, dbk_slice_text(key), &row, &b->error);
    dbk_buffer_release(&row);
    if (result != DBK_OK && result != DBK_NONE) fail(b, "a row cannot be read");
    return result == DBK_OK;
}

static dbk_slice read_archive(bench *b, const char *path)
{
    static char text[FILE_BYTES];
    int64_t size = dbk_simdisk_read(b->disk, path, 0, text, sizeof text);
    return dbk_slice_of(text, size > 0 ? (size_t)size : 0);
}

/* How often each row stands whole in the file, added to counts. */
static void count_lines(bench *b, const char *path, int *counts)
{
    dbk_slice rest = read_archive(b, path);
    while (rest.size) {
        const uint8_t *end = memchr(rest.data, '\n', rest.size);
        const dbk_json_node *root, *row;
        if (!end) return;
        dbk_slice line = dbk_slice_of(rest.data, (size_t)(end - rest.data));
        rest = dbk_slice_of(end + 1, rest.size - line.size - 1);
        if (dbk_json_parse(b->parser, line, &root, NULL) != DBK_OK) continue;
        const dbk_json_node *key = dbk_json_member(root, "key");
        row = dbk_json_member(root, "row");
        int number = key && key->kind == DBK_JSON_STRING && key->text.size > 1 ? key->text.data[1] - '0' : -1;
        if (number < 0 || number >= ROWS || !row || !dbk_json_member(row, "body")) fail(b, "a line of no row");
        if (dbk_json_text_is(dbk_json_member(row, "body"), b->body)) counts[number]++;
    }
}

/* The next field of a CSV in `out`; false: there is none that ends. *last: a record ends with it. */
static bool next_field(dbk_slice *rest, char *out, size_t size, bool *last)
{
    size_t at = 0, used = 0;
    bool quoted = rest->size && rest->data[0] == '"';
    for (at = quoted; at < rest->size; at++) {
        char c = (char)rest->data[at];
        if (quoted && c == '"' && at + 1 < rest->size && rest->data[at + 1] == '"') at++;
        else if (quoted && c == '"') {
            at++;
            break;
        } else if (!quoted && (c == ',' || c == '\r')) break;
        if (used + 1 < size) out[used++] = c;
    }
    out[used] = 0;
    if (at + 1 >= rest->size) return false;
    *last = rest->data[at] == '\r' && rest->data[at + 1] == '\n';
    if (!*last && rest->data[at] != ',') return false;
    at += *last ? 2 : 1;
    *rest = dbk_slice_of(rest->data + at, rest->size - at);
    return true;
}

/* Where a record is broken, all behind it counts as lost: nobody writes there. */
static void count_records(bench *b, const char *path, int *counts)
{
    static char field[9][2000];
    dbk_slice rest = read_archive(b, path);
    for (bool header = true;; header = false) {
        size_t fields = 0;
        bool last = false;
        while (!last && fields < 9)
            if (!next_field(&rest, field[fields++], sizeof field[0], &last)) return;
        if (!last || fields != 9) return;
        int number = field[6][1] - '0';
        if (!header && number >= 0 && number < ROWS && strcmp(field[7], b->body) == 0) counts[number]++;
    }
}

static void check_rows(bench *b, bool all_gone)
{
    int lines[ROWS] = {0}, records[ROWS] = {0};
    char path[40];
    count_lines(b, "store/files/old/one.ndjson", lines);
    for (int i = 1; i < 6; i++) {
        if (i == 1) snprintf(path, sizeof path, "store/files/two.csv");
        else snprintf(path, sizeof path, "store/files/two-%d.csv", i);
        if (dbk_simdisk_exists(b->disk, path)) count_records(b, path, records);
    }
    for (int i = 0; i < ROWS; i++) {
        bool line = is_in_table(b, "lines", i), cell = is_in_table(b, "cells", i);
        if ((!line && !lines[i]) || (!cell && !records[i])) fail(b, "a row is gone and was not kept");
        if (all_gone && (line || cell)) fail(b, "a row is left");
        if (lines[i] > 2 || records[i] > 2) fail(b, "a row was kept again and again");
        b->twice += lines[i] > 1;
    }
}

/* ---- sweeps */

/* Each is later than the one before: a clock that goes back is not believed. */
static dbk_result sweep(bench *b)
{
    uint64_t deleted;
    int64_t mono_ns = b->now_ms * MS_NS;
    b->now_ms += 5 * MINUTE_MS;
    dbk_result result = dbk_engine_retain(b->engine, b->now_ms - 3 * MINUTE_MS, mono_ns, &deleted, &b->error);
    if (result != DBK_OK) return result;
    return dbk_engine_retain(b->engine, b->now_ms, mono_ns + 3 * MINUTE_MS * MS_NS, &deleted, &b->error);
}

/* Afterwards, without faults. */
static void check_store(bench *b)
{
    if (!open_store(b)) fail(b, "it does not open afterwards");
    const char *wrong = wrong_rows(b->engine, b->disk, &b->error);
    if (wrong) fail(b, wrong);
    check_rows(b, false);
    if (sweep(b) != DBK_OK) fail(b, "a sweep without faults fails");
    check_rows(b, true);
    close_store(b);
}

static void begin(bench *b, const dbk_simdisk_image *image)
{
    dbk_simdisk_restore(b->disk, image);
    b->now_ms = START_MS + 10 * MINUTE_MS;
    b->error = (dbk_error){0};
    if (!open_store(b)) fail(b, "it does not open");
}

/* ---- faults */

static const weather weathers[] = {
    {"EIO once", DBK_SIM_IO, 1, DBK_SIM_FAIL, EIO},
    {"EIO", DBK_SIM_IO, 0, DBK_SIM_FAIL, EIO},
    {"EIO of syncs", DBK_SIM_SYNC | DBK_SIM_SYNC_DIR, 1, DBK_SIM_FAIL, EIO},
    {"ENOSPC", DBK_SIM_CHANGES, 0, DBK_SIM_FAIL, ENOSPC},
    {"ENOSPC of writes", DBK_SIM_WRITE, 1, DBK_SIM_FAIL, ENOSPC},
    {"EINTR once", DBK_SIM_IO, 1, DBK_SIM_FAIL, EINTR},
    {"short once", DBK_SIM_READ | DBK_SIM_WRITE, 1, DBK_SIM_SHORT, 0},
    {"no memory once", DBK_SIM_MEMORY, 1, DBK_SIM_FAIL, ENOMEM},
    {"no memory", DBK_SIM_MEMORY, 0, DBK_SIM_FAIL, ENOMEM},
};

/* false: the fault hit nothing, the calls are all through. Then the power goes: what was not durable is as the disk has
 * it, which a failed sync may not have told. `dies`: another process goes on before that, with what the system shows. */
static bool fail_once(bench *b, const dbk_simdisk_image *image, const weather *w, uint64_t skip, bool dies)
{
    dbk_simdisk_fault fault = weather_fault(w, skip);
    snprintf(b->context, sizeof b->context, "%s at call %llu%s%s", w->name, (unsigned long long)skip,
             image == b->fresh ? ", first sweep" : "", dies ? ", another process goes on" : "");
    begin(b, image);
    dbk_simdisk_add_fault(b->disk, &fault);
    dbk_result result = sweep(b);
    bool hit = dbk_simdisk_fault_hits(b->disk) > 0;
    dbk_simdisk_clear_faults(b->disk);
    if (result != DBK_OK && !hit) fail(b, "it failed without a fault");
    check_rows(b, false);
    if (dies) {
        close_store(b);
        if (!open_store(b)) fail(b, "it does not open afterwards");
    }
    (void)!sweep(b);
    check_rows(b, false);
    close_store(b);
    dbk_simdisk_crash(b->disk, DBK_SIM_ALL_OLD, skip);
    check_store(b);
    return hit;
}

static uint64_t fail_all(bench *b, const dbk_simdisk_image *image, uint64_t stride)
{
    uint64_t runs = 0;
    for (size_t i = 0; i < sizeof weathers / sizeof *weathers; i++)
        for (int dies = 0; dies < 2; dies++)
            for (uint64_t skip = i % stride; fail_once(b, image, &weathers[i], skip, dies); skip += stride) runs++;
    return runs;
}

/* ---- lost power */

/* A write harms nothing beside it, which an append to a file in use takes for granted: sectors are old or new. */
static unsigned old_or_new(void *arg, dbk_simdisk_question question, unsigned options)
{
    uint64_t *state = arg;
    *state = *state * 6364136223846793005ULL + 1442695040888963407ULL;
    unsigned drawn = (unsigned)(*state >> 40);
    return question == DBK_SIM_ASK_SIZE ? drawn % options : drawn % 2;
}

static bool lose_power(bench *b, const dbk_simdisk_image *image, uint64_t at, uint64_t how)
{
    uint64_t state = at * 31 + how;
    snprintf(b->context, sizeof b->context, "power lost at change %llu, %llu%s", (unsigned long long)at,
             (unsigned long long)how, image == b->fresh ? ", first sweep" : "");
    begin(b, image);
    dbk_simdisk_power_off_at(b->disk, at);
    (void)!sweep(b);
    bool off = dbk_simdisk_power_is_off(b->disk);
    close_store(b);
    if (how < 2) dbk_simdisk_crash(b->disk, how ? DBK_SIM_ALL_NEW : DBK_SIM_ALL_OLD, at);
    else if (image == b->fresh && how < 5)
        dbk_simdisk_crash(b->disk,
                          how == 2   ? DBK_SIM_ALL_ZERO
                          : how == 3 ? DBK_SIM_ALL_GARBAGE
                                     : DBK_SIM_RANDOM_MIX,
                          at);
    else dbk_simdisk_crash_with(b->disk, old_or_new, &state, at);
    check_store(b);
    return off;
}

static uint64_t lose_all(bench *b, const dbk_simdisk_image *image)
{
    uint64_t runs = 0;
    for (uint64_t how = 0; how < 8; how++)
        for (uint64_t at = 1; lose_power(b, image, at, how); at++) runs++;
    return runs;
}

/* ---- before all that */

static void put(bench *b, const char *table, int number)
{
    dbk_slice text;
    dbk_buffer json, receipt;
    dbk_buffer_init(&json, dbk_port_system());
    dbk_buffer_init(&receipt, dbk_port_system());
    dbk_buffer_printf(&json,
                      "{\"id\":\"%s%d\",\"do\":\"put\",\"table\":\"%s\",\"key\":\"k%d\",\"data\":{\"body\":", table,
                      number, table, number);
    dbk_json_put_string(&json, dbk_slice_text(b->body));
    dbk_buffer_put_text(&json, ",\"n\":1}}");
    text = dbk_buffer_slice(&json);
    if (dbk_engine_decide(b->engine, &text, 1, b->now_ms, &receipt, &b->error) != DBK_OK ||
        !strstr(dbk_buffer_text(&receipt), "\"ok\":true"))
        fail(b, "no row");
    dbk_buffer_release(&json);
    dbk_buffer_release(&receipt);
}

/* The rows up to `end` that are not there yet. */
static void put_rows(bench *b, int begin, int end)
{
    for (int i = begin; i < end; i++) {
        put(b, "lines", i);
        put(b, "cells", i);
    }
}

static dbk_simdisk_image *take_image(bench *b)
{
    dbk_engine_close(b->engine);
    b->engine = NULL;
    dbk_simdisk_sync_all(b->disk);
    b->memory = dbk_simdisk_memory_count(b->disk);
    b->handles = dbk_simdisk_handle_count(b->disk);
    return dbk_simdisk_snapshot(b->disk);
}

static void fill(bench *b)
{
    memset(b->body, 'b', sizeof b->body - 1);
    memcpy(b->body, "a \"text\",\r\nof two lines\n", 24);
    snprintf(b->context, sizeof b->context, "without faults");
    b->now_ms = START_MS;
    if (dbk_engine_create("/store", NULL, &b->options, NULL, &b->error) != DBK_OK) fail(b, "no store");
    dbk_simdisk_image *empty = dbk_simdisk_snapshot(b->disk);
    if (!open_store(b)) fail(b, "it does not open");
    put_rows(b, 0, ROWS);
    b->fresh = take_image(b);
    dbk_simdisk_restore(b->disk, empty);
    dbk_simdisk_image_free(b->disk, empty);
    if (!open_store(b)) fail(b, "it does not open");
    put_rows(b, 0, EARLIER);
    if (sweep(b) != DBK_OK) fail(b, "no sweep");
    put_rows(b, EARLIER, ROWS);
    b->later = take_image(b);
}

static void start(bench *b)
{
    dbk_source sources[] = {{"schema.sql", dbk_slice_text(schema)}, {"app.json", dbk_slice_text(app)}};
    dbk_findings findings = {0};
    memset(b, 0, sizeof *b);
    b->disk = dbk_simdisk_new(11);
    b->vfs = simvfs_register("archive", dbk_simdisk_port(b->disk), NULL);
    b->parser = dbk_json_parser_new(dbk_port_system());
    if (!b->vfs || !b->parser) abort();
    if (dbk_definition_parse(dbk_port_system(), sources, 2, "archive", &b->definition, &findings, &b->error) != DBK_OK)
        fail(b, "no definition");
    dbk_findings_free(&findings);
    b->options = (dbk_engine_options){.port = dbk_simdisk_port(b->disk),
                                      .definition = b->definition,
                                      .no_threads = true,
                                      .given_ids = true,
                                      .ignore_place = true,
                                      .incarnation = 1,
                                      .timeline = "t"};
    memset(b->options.replica, 'a', 16);
    memset(b->options.lineage, 'l', 16);
    b->options.disk.off = true;
    b->options.model.vfs = "archive";
    b->options.log = (dbk_log_options){.no_background = true, .no_direct = true, .segment_first_bytes = 65536};
    fill(b);
}

int main(int argc, char **argv)
{
    static bench b;
    uint64_t stride = argc > 1 ? strtoull(argv[1], NULL, 10) : 1;
    if (stride == 0) stride = 1;
    start(&b);
    uint64_t powers = lose_all(&b, b.fresh) + lose_all(&b, b.later);
    uint64_t faults = fail_all(&b, b.fresh, stride) + fail_all(&b, b.later, stride);
    dbk_simdisk_image_free(b.disk, b.fresh);
    dbk_simdisk_image_free(b.disk, b.later);
    dbk_definition_free(b.definition);
    dbk_json_parser_free(b.parser);
    simvfs_unregister(b.vfs);
    dbk_simdisk_free(b.disk);
    if (b.twice) fail(&b, "lines of a dead sweep were written again");
    printf("%llu losses of power, %llu faults\n", (unsigned long long)powers, (unsigned long long)faults);
    return powers < 200 || faults * stride < 1000; /* it saw nothing */
}
