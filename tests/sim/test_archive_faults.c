/* Rules of time with an archive under failing I/O, failing allocations, deaths and lost power. Whatever happens, a row is
 * in its table or whole in its archive; and a sweep that nothing disturbs ends what is left.
 *   test_archive_faults [STRIDE]   every STRIDE-th call fails (1: all) */
#include "tests/sim/fault_bench.h"
#include "tests/sim/weather.h"

#include <errno.h>

static const char schema[] = "CREATE TABLE lines(id TEXT PRIMARY KEY NOT NULL, body TEXT, n INTEGER);\n"
                             "CREATE TABLE cells(id TEXT PRIMARY KEY NOT NULL, body TEXT, n INTEGER);\n";
static const char app[] =
    "{\"daybook\":1,\"name\":\"archive\",\"retention\":["
    "{\"name\":\"one\",\"table\":\"lines\",\"where\":\"n > 0\",\"every\":\"1m\",\"archive\":\"old/{rule}.ndjson\"},"
    "{\"name\":\"two\",\"table\":\"cells\",\"where\":\"n > 0\",\"every\":\"1m\",\"archive\":\"{rule}.csv\"}]}";
static const int64_t START_MS = 1700000000000, MINUTE_MS = 60000, MS_NS = 1000000;

enum { ROWS = 8, EARLIER = 3, FILE_BYTES = 256 * 1024 };

typedef struct bench {
    fault_bench s;
    dbk_json_parser *parser;
    dbk_simdisk_image *fresh, *later; /* nothing is archived yet; the first rows are */
    uint64_t twice;                   /* lines that were written a second time, of all runs */
    char body[400];
} bench;

static bool open_store(bench *b)
{
    return bench_open(&b->s, "/store");
}

static void close_store(bench *b)
{
    bench_close(&b->s);
    bench_check_given_back(&b->s);
}

/* ---- the rows that are left, and those that were kept */

static bool is_in_table(bench *b, const char *table, int number)
{
    char key[8];
    dbk_buffer row;
    const dbk_table *found = dbk_definition_table(b->s.definition, dbk_slice_text(table));
    snprintf(key, sizeof key, "k%d", number);
    dbk_buffer_init(&row, dbk_port_system());
    dbk_result result =
        dbk_model_row_json(dbk_engine_model(b->s.engine), found, dbk_slice_text(key), &row, &b->s.error);
    dbk_buffer_release(&row);
    if (result != DBK_OK && result != DBK_NONE) bench_fail(&b->s, "a row cannot be read");
    return result == DBK_OK;
}

static dbk_slice read_archive(bench *b, const char *path)
{
    static char text[FILE_BYTES];
    int64_t size = dbk_simdisk_read(b->s.disk, path, 0, text, sizeof text);
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
        if (number < 0 || number >= ROWS || !row || !dbk_json_member(row, "body"))
            bench_fail(&b->s, "a line of no row");
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
        if (dbk_simdisk_exists(b->s.disk, path)) count_records(b, path, records);
    }
    for (int i = 0; i < ROWS; i++) {
        bool line = is_in_table(b, "lines", i), cell = is_in_table(b, "cells", i);
        if ((!line && !lines[i]) || (!cell && !records[i])) bench_fail(&b->s, "a row is gone and was not kept");
        if (all_gone && (line || cell)) bench_fail(&b->s, "a row is left");
        if (lines[i] > 2 || records[i] > 2) bench_fail(&b->s, "a row was kept again and again");
        b->twice += lines[i] > 1;
    }
}

/* ---- sweeps */

/* Each is later than the one before: a clock that goes back is not believed. */
static dbk_result sweep(bench *b)
{
    uint64_t deleted;
    int64_t mono_ns = b->s.now_ms * MS_NS;
    b->s.now_ms += 5 * MINUTE_MS;
    dbk_result result = dbk_engine_retain(b->s.engine, b->s.now_ms - 3 * MINUTE_MS, mono_ns, &deleted, &b->s.error);
    if (result != DBK_OK) return result;
    return dbk_engine_retain(b->s.engine, b->s.now_ms, mono_ns + 3 * MINUTE_MS * MS_NS, &deleted, &b->s.error);
}

/* Afterwards, without faults. */
static void check_store(bench *b)
{
    if (!open_store(b)) bench_fail(&b->s, "it does not open afterwards");
    bench_check_rows(&b->s);
    check_rows(b, false);
    if (sweep(b) != DBK_OK) bench_fail(&b->s, "a sweep without faults fails");
    check_rows(b, true);
    close_store(b);
}

static void begin(bench *b, const dbk_simdisk_image *image)
{
    dbk_simdisk_restore(b->s.disk, image);
    b->s.now_ms = START_MS + 10 * MINUTE_MS;
    b->s.error = (dbk_error){0};
    if (!open_store(b)) bench_fail(&b->s, "it does not open");
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
    snprintf(b->s.context, sizeof b->s.context, "%s at call %llu%s%s", w->name, (unsigned long long)skip,
             image == b->fresh ? ", first sweep" : "", dies ? ", another process goes on" : "");
    begin(b, image);
    dbk_simdisk_add_fault(b->s.disk, &fault);
    dbk_result result = sweep(b);
    bool hit = dbk_simdisk_fault_hits(b->s.disk) > 0;
    dbk_simdisk_clear_faults(b->s.disk);
    if (result != DBK_OK && !hit) bench_fail(&b->s, "it failed without a fault");
    check_rows(b, false);
    if (dies) {
        close_store(b);
        if (!open_store(b)) bench_fail(&b->s, "it does not open afterwards");
    }
    (void)!sweep(b);
    check_rows(b, false);
    close_store(b);
    dbk_simdisk_crash(b->s.disk, DBK_SIM_ALL_OLD, skip);
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
    snprintf(b->s.context, sizeof b->s.context, "power lost at change %llu, %llu%s", (unsigned long long)at,
             (unsigned long long)how, image == b->fresh ? ", first sweep" : "");
    begin(b, image);
    dbk_simdisk_power_off_at(b->s.disk, at);
    (void)!sweep(b);
    bool off = dbk_simdisk_power_is_off(b->s.disk);
    close_store(b);
    if (how < 2) dbk_simdisk_crash(b->s.disk, how ? DBK_SIM_ALL_NEW : DBK_SIM_ALL_OLD, at);
    else if (image == b->fresh && how < 5)
        dbk_simdisk_crash(b->s.disk,
                          how == 2   ? DBK_SIM_ALL_ZERO
                          : how == 3 ? DBK_SIM_ALL_GARBAGE
                                     : DBK_SIM_RANDOM_MIX,
                          at);
    else dbk_simdisk_crash_with(b->s.disk, old_or_new, &state, at);
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
    if (dbk_engine_decide(b->s.engine, &text, 1, b->s.now_ms, &receipt, &b->s.error) != DBK_OK ||
        !strstr(dbk_buffer_text(&receipt), "\"ok\":true"))
        bench_fail(&b->s, "no row");
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

static void fill(bench *b)
{
    memset(b->body, 'b', sizeof b->body - 1);
    memcpy(b->body, "a \"text\",\r\nof two lines\n", 24);
    snprintf(b->s.context, sizeof b->s.context, "without faults");
    b->s.now_ms = START_MS;
    if (dbk_engine_create("/store", NULL, &b->s.options, NULL, &b->s.error) != DBK_OK) bench_fail(&b->s, "no store");
    dbk_simdisk_image *empty = dbk_simdisk_snapshot(b->s.disk);
    if (!open_store(b)) bench_fail(&b->s, "it does not open");
    put_rows(b, 0, ROWS);
    bench_close(&b->s);
    b->fresh = bench_take_image(&b->s);
    dbk_simdisk_restore(b->s.disk, empty);
    dbk_simdisk_image_free(b->s.disk, empty);
    if (!open_store(b)) bench_fail(&b->s, "it does not open");
    put_rows(b, 0, EARLIER);
    if (sweep(b) != DBK_OK) bench_fail(&b->s, "no sweep");
    put_rows(b, EARLIER, ROWS);
    bench_close(&b->s);
    b->later = bench_take_image(&b->s);
}

static void start(bench *b)
{
    bench_start(&b->s, "archive", 11);
    bench_define(&b->s, schema, app);
    b->parser = dbk_json_parser_new(dbk_port_system());
    if (!b->parser) abort();
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
    dbk_simdisk_image_free(b.s.disk, b.fresh);
    dbk_simdisk_image_free(b.s.disk, b.later);
    dbk_json_parser_free(b.parser);
    bench_end(&b.s);
    if (b.twice) bench_fail(&b.s, "lines of a dead sweep were written again");
    printf("%llu losses of power, %llu faults\n", (unsigned long long)powers, (unsigned long long)faults);
    return powers < 200 || faults * stride < 1000; /* it saw nothing */
}
