/* The switch to a shadow that was folded ahead of the log, and a loss of power behind it that leaves any part of it on disk:
 * the rows are what the log folds to, and who goes on from a position of the same generation is told of no state that the
 * log never had. */
#include "tests/sim/fault_bench.h"

#include <sqlite3.h>

/* Nothing is left out here and no row is written by another one's event: such a model is not believed in another boot. */
static const char schema[] = "CREATE TABLE notes(id TEXT PRIMARY KEY NOT NULL, title TEXT UNIQUE);\n"
                             "CREATE TABLE plain(id TEXT PRIMARY KEY NOT NULL, a TEXT);\n";
static const char app[] = "{\"daybook\":1,\"name\":\"switch\"}";
static const int64_t START_MS = 1700000000000;

enum { KNOWN = 6, HERE = 12, FACTS = 10, BESIDE = 20 };

typedef struct bench {
    fault_bench s;
    dbk_simdisk_image *torn; /* behind the switch */
    dbk_buffer facts[FACTS];
    dbk_hash128 rows;
    uint64_t generation;
    int beside;
} bench;

static void put(bench *b, int64_t now_ms, const char *table, const char *column, char prefix, int key)
{
    char json[160];
    dbk_slice text;
    dbk_buffer receipt;
    dbk_buffer_init(&receipt, dbk_port_system());
    snprintf(json, sizeof json,
             "{\"id\":\"%c%d\",\"do\":\"put\",\"table\":\"%s\",\"key\":\"%c%d\",\"data\":{\"%s\":\"%c%d\"}}", prefix,
             key, table, prefix, key, column, prefix, key);
    text = dbk_slice_text(json);
    dbk_result result = dbk_engine_decide(b->s.engine, &text, 1, now_ms, &receipt, &b->s.error);
    if (result != DBK_OK || !strstr(dbk_buffer_text(&receipt), "\"ok\":true")) bench_fail(&b->s, json);
    dbk_buffer_release(&receipt);
}

static void make_store(bench *b, const char *path, char replica)
{
    memset(b->s.options.replica, replica, 16);
    if (dbk_engine_create(path, NULL, &b->s.options, NULL, &b->s.error) != DBK_OK || !bench_open(&b->s, path))
        bench_fail(&b->s, "no store");
}

/* The author wrote them between what the store knew first and what it wrote since. */
static void fill(bench *b)
{
    make_store(b, "/author", 'b');
    for (int i = 0; i < FACTS; i++) {
        put(b, START_MS + 10000 + i, "notes", "title", 'b', i);
        dbk_buffer_init(&b->facts[i], dbk_port_system());
        if (dbk_log_read(dbk_engine_log(b->s.engine), (uint64_t)i + 1, &b->facts[i], NULL, &b->s.error) != DBK_OK)
            bench_fail(&b->s, "no fact");
    }
    bench_close(&b->s);
    make_store(b, "/store", 'a');
    for (int i = 0; i < KNOWN; i++) put(b, START_MS + i, "notes", "title", 'k', i);
    for (int i = 0; i < HERE; i++)
        put(b, START_MS + 50000 + i, i % 2 ? "plain" : "notes", i % 2 ? "a" : "title", 'a', i);
}

static void deliver(bench *b)
{
    dbk_slice origins[FACTS];
    uint64_t logged, parked;
    for (int i = 0; i < FACTS; i++) origins[i] = dbk_buffer_slice(&b->facts[i]);
    if (dbk_engine_import(b->s.engine, origins, FACTS, START_MS + 100000, &logged, &parked, &b->s.error) != DBK_OK)
        bench_fail(&b->s, "the round does not come");
}

/* More is decided beside the fold than the round has, so that the shadow's own journal has a commit between the round and
 * the switch. The image is taken before anything of the switch is synced. */
static int at_point(void *arg, dbk_engine *engine, const char *point, dbk_slice id)
{
    bench *b = arg;
    (void)id;
    if (strcmp(point, "ahead") == 0)
        for (; b->beside < BESIDE; b->beside++) put(b, START_MS + 60000 + b->beside, "plain", "a", 'm', b->beside);
    if (!b->torn && engine->counts.aheads == 1 && strcmp(point, "committed") == 0)
        b->torn = dbk_simdisk_snapshot(b->s.disk);
    return 0;
}

/* ---- the power goes */

/* All names and sizes got there, of the sectors the first ones. */
static unsigned first_sectors(void *arg, dbk_simdisk_question question, unsigned options)
{
    uint64_t *left = arg;
    (void)options;
    if (question != DBK_SIM_ASK_SECTOR) return DBK_SIM_NEW;
    if (*left == 0) return DBK_SIM_OLD;
    --*left;
    return DBK_SIM_NEW;
}

static void check_journal(bench *b)
{
    dbk_log *log = dbk_engine_log(b->s.engine);
    uint8_t head[DBK_LEAF_SIZE];
    sqlite3_stmt *commits = NULL;
    if (sqlite3_prepare_v2(dbk_model_handle(dbk_engine_model(b->s.engine)),
                           "SELECT position, head FROM _daybook_commits, (SELECT floor AS f FROM _daybook_commits"
                           " ORDER BY position DESC LIMIT 1) WHERE position > f",
                           -1, &commits, NULL) != SQLITE_OK)
        bench_fail(&b->s, "no journal");
    while (sqlite3_step(commits) == SQLITE_ROW)
        if (dbk_log_head_at(log, (uint64_t)sqlite3_column_int64(commits, 0), head, &b->s.error) != DBK_OK ||
            memcmp(head, sqlite3_column_blob(commits, 1), sizeof head) != 0)
            bench_fail(&b->s, "the journal tells of a state that the log never had");
    sqlite3_finalize(commits);
}

static bool opens_anew(bench *b)
{
    dbk_model_state state;
    const char *timeline;
    uint64_t generation, position;
    if (!bench_open(&b->s, "/store")) bench_fail(&b->s, "it does not open afterwards");
    bench_check_rows(&b->s);
    dbk_model_get_state(dbk_engine_model(b->s.engine), &state);
    if (memcmp(&state.fingerprint, &b->rows, sizeof b->rows) != 0) bench_fail(&b->s, "other rows");
    check_journal(b);
    dbk_engine_cursor(b->s.engine, &timeline, &generation, &position);
    bench_close(&b->s);
    return generation != b->generation;
}

static void switch_once(bench *b)
{
    dbk_model_state state;
    const char *timeline;
    uint64_t position;
    deliver(b);
    if (!b->torn) bench_fail(&b->s, "no shadow was folded beside the turns");
    dbk_model_get_state(dbk_engine_model(b->s.engine), &state);
    b->rows = state.fingerprint;
    dbk_engine_cursor(b->s.engine, &timeline, &b->generation, &position);
    check_journal(b);
    bench_close(&b->s);
}

/* Whole, it is the model of the same generation; otherwise the log is folded anew. */
static uint64_t torn(bench *b)
{
    uint64_t count = 0, left = 0, kept = 0;
    while (left == 0) {
        left = count++;
        snprintf(b->s.context, sizeof b->s.context, "%llu sectors of the switch", (unsigned long long)left);
        dbk_simdisk_restore(b->s.disk, b->torn);
        dbk_simdisk_crash_with(b->s.disk, first_sectors, &left, count);
        kept += !opens_anew(b);
    }
    printf("%llu torn switches, %llu of them whole\n", (unsigned long long)count, (unsigned long long)kept);
    return kept > 0 && kept < count / 2 ? count : 0;
}

int main(void)
{
    static bench b;
    bench_start(&b.s, "switch", 5);
    bench_define(&b.s, schema, app);
    b.s.options.base_least = 1;
    b.s.options.hook = at_point;
    b.s.options.hook_arg = &b;
    fill(&b);
    dbk_simdisk_sync_all(b.s.disk);
    snprintf(b.s.context, sizeof b.s.context, "the switch");
    switch_once(&b);
    uint64_t count = torn(&b);
    for (int i = 0; i < FACTS; i++) dbk_buffer_release(&b.facts[i]);
    dbk_simdisk_image_free(b.s.disk, b.torn);
    bench_end(&b.s);
    return count < 20; /* it saw nothing */
}
