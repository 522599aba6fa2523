/* Every public call under failing I/O and failing allocations: what store.h and daybook.h offer beyond the turn itself
 * (test_store_faults has that, and the laws of what was acknowledged).
 *   test_call_faults [STRIDE]   every STRIDE-th call fails (1: all)
 * Each call is made on the same store while its n-th call of the port fails, once or from there on. It never crashes
 * and gives all back; an answer that it gives is the one it gives without faults; what a receipt says of a command is
 * true when the same command is sent again; and afterwards the store opens and its rows are what the log folds to.
 * SQLite's own allocations are not the port's and do not fail here. */
#include "store/engine.h"
#include "store/request.h"
#include "tests/sim/fault_bench.h"
#include "tests/sim/weather.h"

#include <errno.h>

/* The files of models are measured with each command; the definition of `next` names the inline model's anew. */
static const char app_format[] =
    "{\"daybook\":1,\"name\":\"calls\",\"version\":2,\"models\":{\"stats\":{\"mode\":\"async\",\"budget\":"
    "\"1 MiB\"},\"main\":{\"budget\":\"4 MiB\"%s}},"
    "\"settings\":{\"ui\":{\"table\":\"settings\",\"schema\":\"ui\",\"mirror\":\"ui.json\",\"defaults\":{\"size\":12}},"
    "\"app\":{\"table\":\"settings\",\"mirror\":\"config/a/app.json\"},"
    "\"tags\":{\"query\":\"tag_list\",\"import\":\"tags.import\",\"mirror\":\"tags.json\"},"
    "\"tool:{id}\":{\"table\":\"settings\",\"row\":\"t-{id}\",\"mirror\":\"tools/{id}/data.json\"},"
    "\"plugin:{id}\":{\"table\":\"prefs\",\"where\":{\"scope\":\"p-{id}\"}},"
    "\"plugin\":{\"table\":\"prefs\",\"where\":{\"scope\":\"plugin\"},\"key\":\"name\"}},"
    "\"search\":{\"find\":{\"table\":\"notes\",\"columns\":[\"title\"]}},"
    "\"retention\":[{\"name\":\"old\",\"table\":\"notes\",\"where\":\"stars > 90\",\"every\":\"1m\"}]}";
static const char schema[] =
    "CREATE TABLE notes (id TEXT PRIMARY KEY NOT NULL, title TEXT UNIQUE, stars INTEGER DEFAULT 0, body JSON);\n"
    "CREATE TABLE tags (note TEXT NOT NULL REFERENCES notes(id) ON DELETE CASCADE, name TEXT NOT NULL,\n"
    "  PRIMARY KEY (note, name)) WITHOUT ROWID;\n"
    "CREATE TABLE settings (name TEXT PRIMARY KEY NOT NULL, value JSON);\n"
    "CREATE TABLE prefs (scope TEXT NOT NULL, name TEXT NOT NULL, value JSON, PRIMARY KEY (scope, name)) WITHOUT "
    "ROWID;\n"
    "CREATE TABLE progress (job TEXT PRIMARY KEY NOT NULL, pct INTEGER NOT NULL);\n";
static const char projections[] = "-- on job.started\nINSERT INTO progress(job, pct) VALUES ($id, $pct);\n"
                                  "-- on job.ended\nDELETE FROM progress WHERE job = $id;\n";
static const char commands[] = "-- command note.star(id TEXT)\n-- let now\nSELECT stars FROM notes WHERE id = :id;\n"
                               "-- else 'there is none'\n-- patch notes\n"
                               "SELECT id, :now + 1 AS stars FROM notes WHERE id = :id;\n"
                               "-- return\nSELECT stars FROM notes WHERE id = :id;\n"
                               "-- command tags.import(rows JSON)\n-- put tags\n"
                               "SELECT value->>'note' AS note, value->>'name' AS name FROM json_each(:rows);\n"
                               "-- undo job.started\n"
                               "SELECT 'job.ended' AS type, :stream AS stream, :data AS data;\n";
static const char queries[] = "-- query tag_list()\nSELECT note, name FROM tags ORDER BY note, name;\n"
                              "-- query found(word TEXT)\n"
                              "SELECT n.id, n.title FROM find AS s JOIN notes AS n ON n.id = s.id\n"
                              "WHERE find MATCH :word ORDER BY n.id;\n";
static const char upcasts[] = "-- upcast job.started 1 -> 2\nSELECT json_set(:data, '$.pct', 1);\n";
static const char ui[] = "{\"properties\":{\"size\":{\"maximum\":20}}}";
static const char stats_schema[] = "CREATE TABLE counts (type TEXT PRIMARY KEY NOT NULL, n INTEGER CHECK (n < 3));\n";
static const char stats_projections[] = "-- on job.*\nINSERT INTO counts(type, n) VALUES (:type, 1)\n"
                                        "ON CONFLICT(type) DO UPDATE SET n = n + 1;\n";
static const int64_t START_MS = 1700000000000, MINUTE_MS = 60000, MS_NS = 1000000;

typedef struct bench {
    fault_bench s;
    dbk_json_parser *parser;
    dbk_simdisk_image *image;
    dbk_buffer answer;      /* of the call at hand */
    dbk_buffer plain;       /* of the same call without faults */
    dbk_hash128 plain_rows; /* and what the rows were behind it */
    dbk_result result;
    dbk_buffer facts[4];
} bench;

typedef struct call {
    const char *name;
    const char *json; /* a request or a command; NULL: */
    void (*run)(bench *b);
    bool varies; /* its answer has times, sizes or counts of this process */
    bool makes;  /* a store: one that failed is not in the way of the next one */
} call;

_Noreturn static void fail(const bench *b, const char *what)
{
    printf("%s: %s\n  %s\n  %.*s\n  %.*s\n", b->s.context, what, b->s.error.text,
           DBK_SLICE_ARG(dbk_buffer_slice(&b->answer)), DBK_SLICE_ARG(dbk_buffer_slice(&b->plain)));
    fflush(stdout);
    _Exit(1);
}

/* ---- the store */

static void put_file(bench *b, const char *path, const char *text)
{
    if (dbk_simdisk_write(b->s.disk, path, 0, text, strlen(text)) != 0) abort();
}

static void make_folder(bench *b, dbk_dir *parent, const char *name)
{
    if (b->s.options.port->make_dir(b->s.options.port->ctx, parent, name, 0700) != 0) abort();
}

static void write_app(bench *b, const char *folder, const char *schema_text)
{
    char app[sizeof app_format + 40];
    const struct {
        const char *name, *text;
    } files[] = {
        {"app.json", app},          {"schema.sql", schema_text},        {"projections.sql", projections},
        {"commands.sql", commands}, {"queries.sql", queries},           {"upcasts.sql", upcasts},
        {"schemas/ui.json", ui},    {"stats/schema.sql", stats_schema}, {"stats/projections.sql", stats_projections}};
    char path[80];
    dbk_dir *root = NULL, *dir = NULL;
    snprintf(app, sizeof app, app_format, strcmp(folder, "next") == 0 ? ",\"file\":\"calls.db\"" : "");
    if (dbk_io_open_dir(b->s.options.port, NULL, "/", 0, &root, NULL) != DBK_OK) abort();
    make_folder(b, root, folder);
    if (dbk_io_open_dir(b->s.options.port, root, folder, 0, &dir, NULL) != DBK_OK) abort();
    make_folder(b, dir, "schemas");
    make_folder(b, dir, "stats");
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        snprintf(path, sizeof path, "%s/%s", folder, files[i].name);
        put_file(b, path, files[i].text);
    }
    b->s.options.port->close_dir(b->s.options.port->ctx, dir);
    b->s.options.port->close_dir(b->s.options.port->ctx, root);
}

/* ---- calls */

/* As the queue has it: a command is decided, what asks is answered. */
static void send(bench *b, const char *json)
{
    const dbk_json_node *root;
    dbk_slice text = dbk_slice_text(json);
    dbk_buffer receipt; /* may end in memory of the port */
    dbk_buffer_init(&receipt, dbk_port_system());
    if (dbk_json_parse(b->parser, text, &root, NULL) != DBK_OK) abort();
    bool asks = dbk_request_is(root) || dbk_json_text_is(dbk_json_member(root, "do"), "undo") ||
                dbk_json_text_is(dbk_json_member(root, "do"), "apply");
    b->s.now_ms += 1000;
    b->s.error = (dbk_error){0};
    if (asks) b->result = dbk_request_answer_all(b->s.engine, text, &receipt, &b->s.error);
    else b->result = dbk_engine_decide(b->s.engine, &text, 1, b->s.now_ms, &receipt, &b->s.error);
    dbk_buffer_clear(&b->answer);
    dbk_buffer_put_slice(&b->answer, dbk_buffer_slice(&receipt));
    dbk_buffer_release(&receipt);
}

static bool says(const bench *b, const char *part)
{
    return b->answer.size && memmem(b->answer.data, b->answer.size, part, strlen(part));
}

static void must(bench *b, const char *json)
{
    send(b, json);
    if (b->result != DBK_OK || !says(b, "\"ok\":true")) fail(b, json);
}

static void run_feed(bench *b)
{
    b->result = dbk_engine_head_message(b->s.engine, &b->answer, &b->s.error);
}

static void take_change(void *arg, const char *message, size_t size)
{
    bench *b = arg;
    dbk_buffer_put(&b->answer, message, size);
}

static void run_subscribe(bench *b)
{
    void *subscription = NULL;
    b->result = dbk_engine_subscribe(b->s.engine, NULL, "[\"t\",1,2]", take_change, b, &subscription, &b->s.error);
    if (b->result != DBK_OK) return;
    dbk_slice text = dbk_slice_text("{\"id\":\"s\",\"do\":\"put\",\"table\":\"notes\",\"key\":\"s\",\"data\":{}}");
    dbk_buffer receipt;
    dbk_buffer_init(&receipt, dbk_port_system());
    b->result = dbk_engine_decide(b->s.engine, &text, 1, b->s.now_ms, &receipt, &b->s.error);
    dbk_buffer_release(&receipt);
    dbk_engine_unsubscribe(b->s.engine, subscription);
}

static void run_retain(bench *b)
{
    uint64_t deleted = 0, first;
    b->result = dbk_engine_retain(b->s.engine, b->s.now_ms, 1000 * MS_NS, &first, &b->s.error);
    if (b->result == DBK_OK)
        b->result = dbk_engine_retain(b->s.engine, b->s.now_ms + 2 * MINUTE_MS, (1000 + 2 * MINUTE_MS) * MS_NS,
                                      &deleted, &b->s.error);
    dbk_buffer_printf(&b->answer, "%llu", (unsigned long long)deleted);
}

static void run_mirror(bench *b)
{
    b->result = dbk_engine_mirror(b->s.engine, &b->s.error);
}

static void run_mirror_edit(bench *b)
{
    put_file(b, "store/files/ui.json", "{\"size\": 19, \"theme\": \"dark\"}   \n");
    b->result = dbk_engine_mirror(b->s.engine, &b->s.error);
}

/* Its folders are made. */
static void run_mirror_in_folder(bench *b)
{
    send(b, "{\"id\":\"app\",\"do\":\"set\",\"namespace\":\"app\",\"path\":\"x\",\"value\":1}");
    if (b->result == DBK_OK) b->result = dbk_engine_mirror(b->s.engine, &b->s.error);
}

/* One that comes, one that is edited, and one that is gone on both sides. */
static void run_mirrors_of_template(bench *b)
{
    put_file(b, "store/files/tools/a/data.json", "{\"x\": 5}     \n");
    send(b, "{\"id\":\"t1\",\"do\":\"set\",\"namespace\":\"tool:Z\",\"path\":\"x\",\"value\":1}");
    if (b->result == DBK_OK) b->result = dbk_engine_mirror(b->s.engine, &b->s.error);
    if (b->result == DBK_OK) b->result = dbk_engine_mirror(b->s.engine, &b->s.error);
}

static void run_mirror_of_rows_edit(bench *b)
{
    char text[400];
    int size = snprintf(text, sizeof text, "[{\"note\": \"n1\", \"name\": \"z\"}]");
    memset(text + size, ' ', sizeof text - (size_t)size - 1); /* more than stands there */
    text[sizeof text - 1] = 0;
    put_file(b, "store/files/tags.json", text);
    b->result = dbk_engine_mirror(b->s.engine, &b->s.error);
    if (b->result == DBK_OK)
        dbk_buffer_printf(&b->answer, "%llu", (unsigned long long)dbk_log_position(b->s.engine->log));
}

static void run_import(bench *b)
{
    dbk_slice origins[2] = {dbk_buffer_slice(&b->facts[2]), dbk_buffer_slice(&b->facts[3])};
    uint64_t logged = 0, parked = 0;
    b->result = dbk_engine_import(b->s.engine, origins, 2, b->s.now_ms, &logged, &parked, &b->s.error);
    dbk_buffer_printf(&b->answer, "%llu %llu", (unsigned long long)logged, (unsigned long long)parked);
}

static void run_copy(bench *b)
{
    b->result = dbk_engine_copy(b->s.engine, 6, "/copy", 7, "u", &b->s.options, &b->s.error);
}

static void run_replay(bench *b)
{
    dbk_moment at = {.position = 5};
    dbk_model_state state = {0};
    b->result = dbk_engine_replay(b->s.engine, &at, "/then.sqlite", true, NULL, NULL, &state, &b->s.error);
    if (b->result == DBK_OK) dbk_buffer_put(&b->answer, &state.fingerprint, sizeof state.fingerprint);
}

static void run_salvage(bench *b)
{
    dbk_salvage_report report = {0};
    dbk_salvage_watcher watcher = {0};
    bench_close(&b->s);
    b->result = dbk_engine_salvage("/store", "/saved", NULL, &b->s.options, &watcher, &report, &b->s.error);
    dbk_buffer_printf(&b->answer, "%llu", (unsigned long long)report.kept);
}

static void run_create(bench *b)
{
    b->result = dbk_engine_create("/other", "/app", &b->s.options, NULL, &b->s.error);
}

static dbk_result host(void *arg, dbk_call *inner, const char *args, size_t size, dbk_error *err)
{
    static const char patch[] = "{\"do\":\"patch\",\"table\":\"notes\",\"key\":\"n1\",\"data\":{\"stars\":50}}";
    dbk_text rows = {0};
    (void)arg, (void)args, (void)size;
    dbk_result result = dbk_call_query(inner, "SELECT stars FROM notes WHERE id = :id", "{\"id\":\"n1\"}", &rows, err);
    if (result == DBK_OK) result = dbk_call_emit(inner, patch, sizeof patch - 1, err);
    if (result == DBK_OK) result = dbk_call_return(inner, rows.data, rows.size, err);
    dbk_text_free(&rows);
    return result;
}

static void run_host(bench *b)
{
    b->result = dbk_engine_register(b->s.engine, "note.host", host, NULL, &b->s.error);
    if (b->result == DBK_OK) send(b, "{\"id\":\"h\",\"do\":\"note.host\",\"args\":{}}");
}

/* daybook.h over the engine, which then is the store's. */
static void run_handle(bench *b)
{
    dbk_store *store = NULL;
    dbk_text receipt = {0};
    static const char json[] =
        "{\"id\":\"w\",\"do\":\"patch\",\"table\":\"notes\",\"key\":\"n1\",\"data\":{\"stars\":7}}";
    b->result = dbk_engine_wrap(b->s.engine, &store, &b->s.error);
    if (b->result != DBK_OK) return;
    b->s.engine = NULL;
    b->result = dbk_do(store, json, sizeof json - 1, &receipt, &b->s.error);
    dbk_buffer_put(&b->answer, receipt.data, receipt.size);
    dbk_free(b->s.options.port, receipt.data); /* of the store's port, which is not the system's here */
    dbk_close(store);
}

static void on_stage(void *arg, dbk_stage stage, const char *receipt, size_t size, bool last)
{
    bench *b = arg;
    (void)stage;
    if (last) dbk_buffer_put(&b->answer, receipt, size);
}

static void run_staged(bench *b)
{
    dbk_store *store = NULL;
    static const char json[] = "[{\"id\":\"w\",\"do\":\"delete\",\"table\":\"notes\",\"key\":\"n1\"},{\"do\":\"put\"}]";
    b->result = dbk_engine_wrap(b->s.engine, &store, &b->s.error);
    if (b->result != DBK_OK) return;
    b->s.engine = NULL;
    b->result = dbk_send_staged(store, json, sizeof json - 1, on_stage, b, &b->s.error);
    dbk_close(store);
}

static const call calls[] = {
    {.name = "get", .json = "{\"do\":\"get\",\"table\":\"notes\",\"key\":\"n1\"}"},
    {.name = "get a setting", .json = "{\"do\":\"get\",\"namespace\":\"ui\",\"path\":\"size\"}"},
    {.name = "list", .json = "{\"do\":\"list\",\"table\":\"tags\",\"limit\":1}"},
    {.name = "query", .json = "{\"do\":\"query\",\"sql\":\"SELECT * FROM notes ORDER BY id\"}"},
    {.name = "query by name", .json = "{\"do\":\"query\",\"name\":\"found\",\"args\":{\"word\":\"hello\"}}"},
    {.name = "query at", .json = "{\"do\":\"query\",\"sql\":\"SELECT title FROM notes ORDER BY id\",\"at\":3}"},
    {.name = "query at a time",
     .json = "{\"do\":\"query\",\"sql\":\"SELECT name FROM tags\",\"order_time\":1700000003000}"},
    {.name = "query the log",
     .json = "{\"do\":\"query\",\"sql\":\"SELECT position, type FROM events WHERE position < 5\"}"},
    {.name = "query a plan", .json = "{\"do\":\"query\",\"sql\":\"SELECT id FROM notes\",\"explain\":true}"},
    {.name = "query an async model", .json = "{\"do\":\"query\",\"sql\":\"SELECT * FROM counts\"}"},
    {.name = "query it at", .json = "{\"do\":\"query\",\"sql\":\"SELECT * FROM counts\",\"at\":7}"},
    {.name = "changes", .json = "{\"do\":\"changes\",\"table\":\"notes\",\"from\":[\"t\",1,2]}"},
    {.name = "log", .json = "{\"do\":\"log\",\"from\":2,\"limit\":3}"},
    {.name = "log backward", .json = "{\"do\":\"log\",\"reverse\":true,\"stream\":\"notes/n1\"}"},
    {.name = "inbox", .json = "{\"do\":\"inbox\"}"},
    {.name = "status", .json = "{\"do\":\"status\"}", .varies = true},
    {.name = "stats", .json = "{\"do\":\"stats\"}", .varies = true},
    {.name = "hello", .json = "{\"do\":\"hello\"}", .varies = true},
    {.name = "models", .json = "{\"do\":\"models\"}", .varies = true},
    {.name = "fingerprint", .json = "{\"do\":\"fingerprint\"}"},
    {.name = "fingerprint at", .json = "{\"do\":\"fingerprint\",\"at\":6}"},
    {.name = "fingerprint of an async model", .json = "{\"do\":\"fingerprint\",\"model\":\"stats\"}"},
    {.name = "history", .json = "{\"do\":\"history\",\"table\":\"notes\",\"key\":\"n1\"}"},
    {.name = "history of a cascade", .json = "{\"do\":\"history\",\"table\":\"tags\",\"key\":[\"n2\",\"x\"]}"},
    {.name = "history of a row alone", .json = "{\"do\":\"history\",\"table\":\"prefs\",\"key\":[\"font\",\"font\"]}"},
    {.name = "explain", .json = "{\"do\":\"explain\",\"position\":5}"},
    {.name = "diff", .json = "{\"do\":\"diff\",\"from\":2,\"to\":6}"},
    {.name = "verify", .json = "{\"do\":\"verify\",\"depth\":\"proof\"}", .varies = true},
    {.name = "replay", .run = run_replay},
    {.name = "replay of an async model",
     .json = "{\"do\":\"replay\",\"model\":\"stats\",\"into\":\"/s.sqlite\"}",
     .varies = true},
    {.name = "rebuild of an async model", .json = "{\"do\":\"rebuild\",\"model\":\"stats\"}", .varies = true},
    {.name = "model.retry", .json = "{\"do\":\"model.retry\",\"model\":\"stats\"}", .varies = true},
    {.name = "model.pause", .json = "{\"do\":\"model.pause\",\"model\":\"stats\"}", .varies = true},
    {.name = "model.skip", .json = "{\"do\":\"model.skip\",\"model\":\"stats\"}", .varies = true},
    {.name = "upgrade, tried", .json = "{\"do\":\"upgrade\",\"app\":\"/next\",\"dry_run\":true}", .varies = true},
    {.name = "upgrade", .json = "{\"do\":\"upgrade\",\"app\":\"/next\"}", .varies = true},
    {.name = "set", .json = "{\"id\":\"w\",\"do\":\"set\",\"namespace\":\"ui\",\"path\":\"size\",\"value\":15}"},
    {.name = "set a member",
     .json = "{\"id\":\"w\",\"do\":\"set\",\"namespace\":\"plugin\",\"path\":\"font\",\"value\":15}"},
    {.name = "unset a member", .json = "{\"id\":\"w\",\"do\":\"unset\",\"namespace\":\"plugin\",\"path\":\"font\"}"},
    {.name = "unset", .json = "{\"id\":\"w\",\"do\":\"unset\",\"namespace\":\"ui\",\"path\":\"theme\"}"},
    {.name = "reset", .json = "{\"id\":\"w\",\"do\":\"reset\",\"namespace\":\"ui\"}"},
    {.name = "command", .json = "{\"id\":\"w\",\"do\":\"note.star\",\"args\":{\"id\":\"n1\"}}"},
    {.name = "append",
     .json = "{\"id\":\"w\",\"do\":\"append\",\"stream\":\"job/9\",\"type\":\"job.started\",\"data\":"
             "{\"id\":\"9\",\"pct\":4}}"},
    {.name = "delete", .json = "{\"id\":\"w\",\"do\":\"delete\",\"table\":\"notes\",\"key\":\"n1\"}"},
    {.name = "undo", .json = "{\"id\":\"w\",\"do\":\"undo\",\"of_correlation\":\"k\"}"},
    {.name = "undo of an event", .json = "{\"id\":\"w\",\"do\":\"undo\",\"position\":8}"},
    {.name = "apply", .json = "{\"id\":\"w\",\"do\":\"apply\",\"entry\":\"62626262626262626262626262626262.1.2\"}"},
    {.name = "dismiss", .json = "{\"id\":\"w\",\"do\":\"dismiss\",\"entry\":\"62626262626262626262626262626262.1.1\"}"},
    {.name = "head", .run = run_feed, .varies = true},
    {.name = "subscribe", .run = run_subscribe, .varies = true},
    {.name = "retain", .run = run_retain, .varies = true},
    {.name = "mirror", .run = run_mirror},
    {.name = "mirror, edited", .run = run_mirror_edit},
    {.name = "mirror in a folder", .run = run_mirror_in_folder},
    {.name = "mirrors of a template", .run = run_mirrors_of_template},
    {.name = "set of a template",
     .json = "{\"id\":\"w\",\"do\":\"set\",\"namespace\":\"tool:b\",\"path\":\"x\",\"value\":{\"y\":2}}"},
    {.name = "set of a member of a template",
     .json = "{\"id\":\"w\",\"do\":\"set\",\"namespace\":\"plugin:b\",\"path\":\"x\",\"value\":2}"},
    {.name = "reset of a template", .json = "{\"id\":\"w\",\"do\":\"reset\",\"namespace\":\"tool:a\"}"},
    {.name = "get of a template", .json = "{\"do\":\"get\",\"namespace\":\"tool:a\"}"},
    {.name = "get of no template", .json = "{\"do\":\"get\",\"namespace\":\"plugin:c\"}"},
    {.name = "mirror of rows, edited", .run = run_mirror_of_rows_edit},
    {.name = "import", .run = run_import},
    {.name = "copy", .run = run_copy, .makes = true},
    {.name = "salvage", .run = run_salvage, .makes = true},
    {.name = "create", .run = run_create, .makes = true},
    {.name = "host command", .run = run_host},
    {.name = "dbk_do", .run = run_handle},
    {.name = "dbk_send_staged", .run = run_staged, .varies = true},
};

/* ---- faults */

static const weather weathers[] = {
    {"EIO once", DBK_SIM_IO, 1, DBK_SIM_FAIL, EIO},
    {"EIO", DBK_SIM_IO, 0, DBK_SIM_FAIL, EIO},
    {"ENOSPC", DBK_SIM_CHANGES, 0, DBK_SIM_FAIL, ENOSPC},
    {"EINTR once", DBK_SIM_IO, 1, DBK_SIM_FAIL, EINTR},
    {"short once", DBK_SIM_READ | DBK_SIM_WRITE, 1, DBK_SIM_SHORT, 0},
    {"no memory once", DBK_SIM_MEMORY, 1, DBK_SIM_FAIL, ENOMEM},
    {"no memory", DBK_SIM_MEMORY, 0, DBK_SIM_FAIL, ENOMEM},
};

static void perform(bench *b, const call *c)
{
    dbk_buffer_clear(&b->answer);
    b->s.error = (dbk_error){0};
    b->s.now_ms = START_MS + 60000;
    if (c->run) c->run(b);
    else send(b, c->json);
}

/* A receipt may say that the rows show it later. */
static bool is_same_answer(const bench *b)
{
    return says(b, "\"projected\":false") || dbk_slice_equal(dbk_buffer_slice(&b->answer), dbk_buffer_slice(&b->plain));
}

static bool is_refusal(const bench *b)
{
    return b->result != DBK_OK || (b->answer.size && b->answer.data[0] == '{' && says(b, "\"ok\":false"));
}

static dbk_hash128 rows_of(const bench *b)
{
    dbk_model_state state;
    dbk_model_get_state(dbk_engine_model(b->s.engine), &state);
    return state.fingerprint;
}

/* What the first receipt said is so. */
static void check_receipt(bench *b, const call *c, bool accepted, bool none)
{
    if (!c->json || !strstr(c->json, "\"id\":\"w\"")) return;
    send(b, c->json);
    if (b->result != DBK_OK) fail(b, "it cannot be sent again");
    if (accepted && !says(b, "\"again\":true")) fail(b, "it was accepted, and is not there");
    if (none && says(b, "\"again\":true")) fail(b, "it was refused, and is there");
}

/* Where one call alone failed, what was made by then could be removed. */
static void check_made(bench *b, const call *c, const weather *w)
{
    if (!c->makes || w->times != 1 || !is_refusal(b)) return;
    if (b->s.engine) bench_close(&b->s);
    if (!bench_open(&b->s, "/store")) fail(b, "it does not open to be run again");
    perform(b, c);
    if (is_refusal(b)) fail(b, "what a failed one left is in its way");
}

/* false: the fault hit nothing, the calls are all through. */
static bool run_once(bench *b, const call *c, const weather *w, uint64_t skip)
{
    dbk_simdisk_fault fault = weather_fault(w, skip);
    snprintf(b->s.context, sizeof b->s.context, "%s, %s at call %llu", c->name, w->name, (unsigned long long)skip);
    dbk_simdisk_restore(b->s.disk, b->image);
    if (!bench_open(&b->s, "/store")) fail(b, "it does not open");
    dbk_simdisk_add_fault(b->s.disk, &fault);
    perform(b, c);
    bool hit = dbk_simdisk_fault_hits(b->s.disk) > 0;
    bool accepted = !is_refusal(b) && b->answer.size, none = says(b, "\"outcome\":\"none\"");
    if (accepted && !c->varies && !is_same_answer(b)) fail(b, "another answer than without faults");
    if (!hit && is_refusal(b)) fail(b, "refused without a fault");
    dbk_simdisk_clear_faults(b->s.disk);
    check_made(b, c, w);
    bench_close(&b->s);
    bench_check_given_back(&b->s);
    if (!bench_open(&b->s, "/store")) fail(b, "it does not open afterwards");
    bench_check_rows(&b->s);
    dbk_hash128 rows = rows_of(b);
    if (accepted && !c->varies && memcmp(&rows, &b->plain_rows, sizeof rows) != 0) fail(b, "it changed other rows");
    check_receipt(b, c, accepted, none);
    bench_close(&b->s);
    bench_check_given_back(&b->s);
    return hit;
}

static uint64_t run_call(bench *b, const call *c, uint64_t stride)
{
    uint64_t runs = 0;
    dbk_simdisk_restore(b->s.disk, b->image);
    snprintf(b->s.context, sizeof b->s.context, "%s", c->name);
    if (!bench_open(&b->s, "/store")) fail(b, "it does not open");
    perform(b, c);
    if (is_refusal(b)) fail(b, "refused without any fault");
    bench_close(&b->s);
    if (!bench_open(&b->s, "/store")) fail(b, "it does not open again");
    b->plain_rows = rows_of(b);
    bench_close(&b->s);
    dbk_buffer_clear(&b->plain);
    dbk_buffer_put_slice(&b->plain, dbk_buffer_slice(&b->answer));
    for (size_t i = 0; i < sizeof weathers / sizeof *weathers; i++)
        for (uint64_t skip = i % stride; run_once(b, c, &weathers[i], skip); skip += stride) runs++;
    printf("%-32s %6llu runs\n", c->name, (unsigned long long)runs);
    fflush(stdout);
    return runs;
}

/* ---- before all that */

static void take_facts(bench *b)
{
    static const char *const notes[] = {"{\"title\":\"Hello\"}", "{\"title\":\"World\"}", "{\"title\":\"far\"}",
                                        "{\"title\":\"away\"}"};
    char command[160];
    memset(b->s.options.replica, 'b', 16);
    if (dbk_engine_create("/author", "/app", &b->s.options, NULL, &b->s.error) != DBK_OK ||
        !bench_open(&b->s, "/author"))
        fail(b, "no author");
    for (int i = 0; i < 4; i++) {
        snprintf(command, sizeof command,
                 "{\"id\":\"b%d\",\"do\":\"put\",\"table\":\"notes\",\"key\":\"b%d\",\"data\":%s}", i, i, notes[i]);
        must(b, command);
        dbk_buffer_init(&b->facts[i], dbk_port_system());
        if (dbk_log_read(dbk_engine_log(b->s.engine), (uint64_t)i + 1, &b->facts[i], NULL, &b->s.error) != DBK_OK)
            fail(b, "no fact");
    }
    bench_close(&b->s);
}

/* So that whoever needs them makes them. */
static void remove_folders(bench *b)
{
    const dbk_port *port = b->s.options.port;
    static const char *const folders[] = {"/store/files/config", "/store/files"}, *const names[] = {"a", "config"};
    if (dbk_simdisk_remove(b->s.disk, "store/files/config/a/app.json") != 0) abort();
    for (size_t i = 0; i < 2; i++) {
        dbk_dir *dir;
        if (port->open_dir(port->ctx, NULL, folders[i], 0, &dir) != 0) abort();
        if (port->remove_dir(port->ctx, dir, names[i]) != 0) abort();
        port->close_dir(port->ctx, dir);
    }
}

static void fill_store(bench *b)
{
    static const char *const all[] = {
        "{\"id\":\"1\",\"do\":\"put\",\"table\":\"notes\",\"key\":\"n1\",\"data\":{\"title\":\"Hello\",\"body\":{\"a\":"
        "[1,2]}}}",
        "{\"id\":\"2\",\"do\":\"put\",\"table\":\"notes\",\"key\":\"n2\",\"data\":{\"title\":\"World\",\"stars\":95}}",
        "{\"id\":\"3\",\"do\":\"put\",\"table\":\"tags\",\"key\":[\"n2\",\"x\"],\"correlation\":\"k\"}",
        "{\"id\":\"4\",\"do\":\"put\",\"table\":\"tags\",\"key\":[\"n1\",\"y\"]}",
        "{\"id\":\"5\",\"do\":\"patch\",\"table\":\"notes\",\"key\":\"n1\",\"data\":{\"stars\":4},\"correlation\":"
        "\"k\"}",
        "{\"id\":\"6\",\"do\":\"set\",\"namespace\":\"ui\",\"path\":\"theme\",\"value\":\"light\"}",
        "{\"id\":\"7\",\"do\":\"append\",\"stream\":\"job/"
        "1\",\"type\":\"job.started\",\"data\":{\"id\":\"1\",\"pct\":3}}",
        "{\"id\":\"8\",\"do\":\"append\",\"stream\":\"job/"
        "2\",\"type\":\"job.started\",\"data\":{\"id\":\"2\",\"pct\":3}}",
        "{\"id\":\"9\",\"do\":\"append\",\"stream\":\"job/"
        "3\",\"type\":\"job.started\",\"data\":{\"id\":\"3\",\"pct\":3}}"};
    dbk_slice origins[2] = {dbk_buffer_slice(&b->facts[0]), dbk_buffer_slice(&b->facts[1])};
    uint64_t logged, parked;
    b->s.now_ms = START_MS;
    memset(b->s.options.replica, 'a', 16);
    if (dbk_engine_create("/store", "/app", &b->s.options, NULL, &b->s.error) != DBK_OK || !bench_open(&b->s, "/store"))
        fail(b, "no store");
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) must(b, all[i]);
    b->s.now_ms += 60000;
    if (dbk_engine_import(b->s.engine, origins, 2, b->s.now_ms, &logged, &parked, &b->s.error) != DBK_OK || logged != 2)
        fail(b, "no import");
    /* the titles of the facts become free, so that what was skipped can be said again */
    must(b, "{\"id\":\"10\",\"do\":\"patch\",\"table\":\"notes\",\"key\":\"n2\",\"data\":{\"title\":\"hello world\"}}");
    /* a member, and a row of another scope that is named as it is */
    must(b, "{\"id\":\"11\",\"do\":\"set\",\"namespace\":\"plugin\",\"path\":\"font\",\"value\":9}");
    must(b, "{\"id\":\"12\",\"do\":\"put\",\"table\":\"prefs\",\"key\":[\"font\",\"font\"],\"data\":{\"value\":1}}");
    must(b, "{\"id\":\"13\",\"do\":\"set\",\"namespace\":\"tool:a\",\"path\":\"x\",\"value\":9}");
    must(b, "{\"id\":\"14\",\"do\":\"set\",\"namespace\":\"tool:gone\",\"path\":\"x\",\"value\":9}");
    must(b, "{\"do\":\"models\"}");
    if (dbk_engine_mirror(b->s.engine, &b->s.error) != DBK_OK) fail(b, "no mirror");
    must(b, "{\"id\":\"15\",\"do\":\"reset\",\"namespace\":\"tool:gone\"}");
    bench_close(&b->s);
    if (dbk_simdisk_remove(b->s.disk, "store/files/tools/gone/data.json") != 0) abort();
    remove_folders(b);
}

static void start(bench *b)
{
    char more[sizeof schema + 80];
    memset(b, 0, sizeof *b);
    bench_start(&b->s, "calls", 5);
    b->s.options.image_every = 3;
    b->s.now_ms = START_MS;
    b->parser = dbk_json_parser_new(dbk_port_system());
    if (!b->parser) abort();
    dbk_buffer_init(&b->answer, dbk_port_system());
    dbk_buffer_init(&b->plain, dbk_port_system());
    write_app(b, "app", schema);
    snprintf(more, sizeof more, "%sCREATE TABLE more (id TEXT PRIMARY KEY NOT NULL);\n", schema);
    write_app(b, "next", more);
    take_facts(b);
    fill_store(b);
    b->image = bench_take_image(&b->s);
}

int main(int argc, char **argv)
{
    static bench b;
    uint64_t stride = argc > 1 ? strtoull(argv[1], NULL, 10) : 1, runs = 0;
    const char *only = argc > 2 ? argv[2] : NULL;
    if (stride == 0) stride = 1;
    start(&b);
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++)
        if (!only || strcmp(only, calls[i].name) == 0) runs += run_call(&b, &calls[i], stride);
    for (int i = 0; i < 4; i++) dbk_buffer_release(&b.facts[i]);
    dbk_buffer_release(&b.answer);
    dbk_buffer_release(&b.plain);
    dbk_json_parser_free(b.parser);
    bench_end(&b.s);
    printf("%llu faults in %zu calls\n", (unsigned long long)runs, sizeof calls / sizeof *calls);
    return !only && runs * stride < 10000; /* no faults: it saw nothing */
}
