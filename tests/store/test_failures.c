/* What a store does when the disk, the model or the memory fails: what is answered, what is kept, and that
 * nothing acknowledged is ever gone. */
#include "tests/store/faulty_port.h"
#include "tests/store/folder_fixture.h"

#include <sqlite3.h>

#include "store/engine.h"
#include "store/queue.h"

static const char schema[] = "CREATE TABLE notes (id TEXT PRIMARY KEY NOT NULL, title TEXT UNIQUE);";

static const char app[] = "{\"daybook\":1,\"name\":\"failing\","
                          "\"search\":{\"find\":{\"table\":\"notes\",\"columns\":[\"title\"]}}}";

typedef struct failing_store {
    engine_fixture f;
    faulty_port port;
    char messages[4000]; /* what was published, one after the other */
} failing_store;

static void keep_message(void *arg, const char *table, const char *message, size_t size)
{
    failing_store *s = arg;
    size_t used = strlen(s->messages);
    (void)table;
    if (used + size + 2 < sizeof s->messages) snprintf(s->messages + used, sizeof s->messages - used, "%s\n", message);
}

static int setup(void **state)
{
    failing_store *s = calloc(1, sizeof *s);
    fixture_start(&s->f, schema, NULL);
    dbk_engine_close(s->f.engine);
    faulty_init(&s->port);
    s->f.options.port = &s->port.port;
    s->f.options.log.no_direct = true;
    s->f.options.publish = keep_message;
    s->f.options.publish_arg = s;
    fixture_open(&s->f);
    *state = s;
    return 0;
}

static int teardown(void **state)
{
    failing_store *s = *state;
    fixture_stop(&s->f);
    assert_int_equal(s->port.held, 0);
    assert_int_equal(s->port.opened, 0);
    assert_int_equal(sqlite3_memory_used(), 0);
    free(s);
    return 0;
}

static void put_text(char *out, size_t size, const char *id)
{
    snprintf(out, size, "{\"id\":\"%s\",\"do\":\"put\",\"table\":\"notes\",\"key\":\"%s\",\"data\":{\"title\":\"%s\"}}",
             id, id, id);
}

static void expect_part(const char *text, const char *part)
{
    if (!strstr(text, part)) print_error("%s\n%s\n", part, text);
    assert_non_null(strstr(text, part));
}

static void put_expect(failing_store *s, const char *id, const char *part)
{
    char command[200];
    put_text(command, sizeof command, id);
    char *receipt = decide(&s->f, command);
    expect_part(receipt, part);
    free(receipt);
}

/* Through the queue, as any client. */
static void ask_expect(failing_store *s, const char *request, const char *part)
{
    dbk_text answer;
    assert_int_equal(dbk_queue_call(s->f.engine->queue, request, strlen(request), &answer, &s->f.error), DBK_OK);
    expect_part(answer.data, part);
    s->port.port.free(&s->port, answer.data);
}

/* Past the queue: no turn comes before it, that would bring up a model that is behind. */
static void peek_expect(failing_store *s, const char *request, const char *part)
{
    const dbk_json_node *root;
    dbk_buffer answer;
    dbk_json_parser *parser = dbk_json_parser_new(dbk_port_system());
    dbk_buffer_init(&answer, dbk_port_system());
    assert_int_equal(dbk_json_parse(parser, dbk_slice_text(request), &root, &s->f.error), DBK_OK);
    assert_int_equal(dbk_request_answer(s->f.engine, root, &answer, &s->f.error), DBK_OK);
    expect_part(dbk_buffer_text(&answer), part);
    dbk_buffer_release(&answer);
    dbk_json_parser_free(parser);
}

static void reopen(failing_store *s)
{
    dbk_engine_close(s->f.engine);
    fixture_open(&s->f);
}

/* ---- the log cannot be written */

/* Sent twice in one turn, a command is known by an entry that is not durable yet. */
static void a_failed_write_refuses_what_was_sent_twice(void **state)
{
    failing_store *s = *state;
    const char *turn[] = {"[{\"id\":\"a\",\"do\":\"put\",\"table\":\"notes\",\"key\":\"a\"},"
                          "{\"id\":\"a\",\"do\":\"put\",\"table\":\"notes\",\"key\":\"a\"}]",
                          "{\"id\":\"a\",\"do\":\"put\",\"table\":\"notes\",\"key\":\"a\"}"};
    char *receipts[2];
    s->port.writes_only = true;
    s->port.fail_at = 1;
    decide_turn(&s->f, turn, 2, receipts);
    for (int i = 0; i < 2; i++) {
        expect_part(receipts[i], "\"id\":\"a\",\"ok\":false,\"error\":\"unavailable\"");
        assert_null(strstr(receipts[i], "\"ok\":true"));
        free(receipts[i]);
    }
    faulty_calm(&s->port);
    decide_turn(&s->f, turn, 2, receipts);
    expect_part(receipts[0], "[{\"id\":\"a\",\"ok\":true,\"position\":1,");
    expect_part(receipts[1], "\"again\":true}");
    for (int i = 0; i < 2; i++) free(receipts[i]);
}

static void a_full_disk_refuses_and_leaves_no_trace(void **state)
{
    failing_store *s = *state;
    put_expect(s, "a", "\"ok\":true,\"position\":1,");
    s->port = (faulty_port){.port = s->port.port,
                            .held = s->port.held,
                            .opened = s->port.opened,
                            .writes_only = true,
                            .fail_at = 1,
                            .for_ever = true,
                            .error = ENOSPC};
    const char *turn[] = {"[{\"id\":\"b\",\"do\":\"put\",\"table\":\"notes\",\"key\":\"b\"},{\"id\":\"c\",\"do\":"
                          "\"put\",\"table\":\"nots\"},"
                          "{\"id\":\"d\",\"do\":\"put\",\"table\":\"notes\",\"key\":\"d\"}]",
                          "{\"id\":\"a\",\"do\":\"put\",\"table\":\"notes\",\"key\":\"a\",\"data\":{\"title\":\"a\"}}"};
    char *receipts[2];
    decide_turn(&s->f, turn, 2, receipts);
    expect_part(receipts[0], "[{\"id\":\"b\",\"ok\":false,\"error\":\"no_space\",\"class\":\"critical\"");
    expect_part(receipts[0], "\"outcome\":\"none\"},{\"id\":\"c\",\"ok\":false,\"error\":\"unknown_table\"");
    expect_part(receipts[0], "\"outcome\":\"none\"},{\"id\":\"d\",\"ok\":false,\"error\":\"no_space\"");
    expect_part(receipts[1], "\"position\":1,");
    expect_part(receipts[1], "\"again\":true}");
    free(receipts[0]);
    free(receipts[1]);
    assert_int_equal(dbk_log_position(s->f.engine->log), 1);
    ask_expect(s, "{\"do\":\"query\",\"sql\":\"SELECT count(*) AS c FROM notes\"}", "\"rows\":[[1]]");
    faulty_calm(&s->port);
    put_expect(s, "b", "\"ok\":true,\"position\":2,");
    reopen(s);
    put_expect(s, "b", "\"again\":true");
}

static void a_failed_write_is_answered_and_over(void **state)
{
    failing_store *s = *state;
    s->port.writes_only = true;
    s->port.fail_at = 1;
    put_expect(s, "a", "\"ok\":false,\"error\":\"unavailable\",\"class\":\"critical\"");
    faulty_calm(&s->port);
    put_expect(s, "a", "\"ok\":true,\"position\":1,");
    ask_expect(s, "{\"do\":\"status\"}", "\"condition\":\"ok\"");
}

/* The row was named by the turn that failed: who reads it is told of no position that the log does not have. */
static void a_failed_write_leaves_no_version(void **state)
{
    static const char again[] =
        "{\"id\":\"b\",\"do\":\"put\",\"table\":\"notes\",\"key\":\"a\",\"data\":{\"title\":\"b\"}}";
    failing_store *s = *state;
    put_expect(s, "a", "\"ok\":true,\"position\":1,");
    s->port.writes_only = true;
    s->port.fail_at = 1;
    char *receipt = decide(&s->f, again);
    expect_part(receipt, "\"ok\":false,\"error\":\"unavailable\"");
    free(receipt);
    faulty_calm(&s->port);
    ask_expect(s, "{\"do\":\"get\",\"table\":\"notes\",\"key\":\"a\"}",
               "\"title\":\"a\"},\"version\":1,\"position\":1}");
}

static void a_failed_sync_poisons_and_reading_goes_on(void **state)
{
    failing_store *s = *state;
    put_expect(s, "a", "\"ok\":true,\"position\":1,");
    s->port.syncs_only = true;
    s->port.fail_at = 1;
    char *receipt;
    char command[200];
    put_text(command, sizeof command, "b");
    receipt = decide(&s->f, command);
    expect_part(receipt, "{\"id\":\"b\",\"ok\":false,\"error\":\"poisoned\",\"class\":\"critical\"");
    expect_part(receipt, "\"outcome\":\"unknown\"}");
    free(receipt);
    faulty_calm(&s->port);
    put_expect(s, "c",
               "\"error\":\"poisoned\",\"class\":\"critical\",\"message\":\"a sync of the log failed "
               "earlier\",\"hint\":\"close the "
               "store and open it again; the same ids are safe to send again\",\"outcome\":\"none\"");
    ask_expect(s, "{\"do\":\"query\",\"sql\":\"SELECT count(*) AS c FROM notes\"}", "\"rows\":[[1]]");
    ask_expect(s, "{\"do\":\"log\"}", "\"position\":1");
    ask_expect(s, "{\"do\":\"get\",\"table\":\"notes\",\"key\":\"a\"}", "\"title\":\"a\"");
    ask_expect(s, "{\"do\":\"status\"}", "\"condition\":\"poisoned\"");
    uint64_t logged, parked;
    assert_int_equal(dbk_engine_import(s->f.engine, NULL, 0, s->f.now_ms, &logged, &parked, &s->f.error), DBK_POISONED);
    reopen(s);
    put_expect(s, "b", "\"ok\":true,\"position\":2,");
    put_expect(s, "c", "\"ok\":true,\"position\":3,");
    ask_expect(s, "{\"do\":\"query\",\"sql\":\"SELECT count(*) AS c FROM notes\"}", "\"rows\":[[3]]");
}

/* ---- the model cannot commit */

static int refuse_commit(void *arg)
{
    unsigned *times = arg;
    if (*times == 0) return 0;
    --*times;
    return 1;
}

static void a_failed_commit_is_durable_and_caught_up(void **state)
{
    failing_store *s = *state;
    unsigned times = 1;
    put_expect(s, "a", "\"ok\":true,\"position\":1,");
    (void)sqlite3_commit_hook(dbk_model_handle(s->f.engine->model), refuse_commit, &times);
    s->messages[0] = 0;
    const char *turn = "[{\"id\":\"b\",\"do\":\"put\",\"table\":\"notes\",\"key\":\"b\"},{\"do\":\"put\"},{\"id\":"
                       "\"a\",\"do\":\"put\",\"table\":\"notes\","
                       "\"key\":\"a\",\"data\":{\"title\":\"a\"}}]";
    char *receipt = decide(&s->f, turn);
    expect_part(receipt, "[{\"id\":\"b\",\"ok\":true,\"position\":2,");
    expect_part(receipt, "\"cursor\":[\"t\",1,2],\"projected\":false},{\"ok\":false,");
    expect_part(receipt, "\"again\":true}]");
    free(receipt);
    assert_string_equal(s->messages, "");
    peek_expect(s, "{\"do\":\"status\"}", "\"condition\":\"behind\"");
    peek_expect(s, "{\"do\":\"query\",\"sql\":\"SELECT count(*) AS c FROM notes\"}", "\"rows\":[[1]]");
    put_expect(s, "c", "\"ok\":true,\"position\":3,");
    const char *caught = strstr(s->messages, "\"position\":2,\"previous\":1,\"table\":\"notes\"");
    assert_non_null(caught);
    expect_part(caught, "\"position\":3,\"previous\":2,\"table\":\"notes\"");
    ask_expect(s, "{\"do\":\"status\"}", "\"condition\":\"ok\"");
    ask_expect(s, "{\"do\":\"query\",\"sql\":\"SELECT count(*) AS c FROM notes\"}", "\"rows\":[[3]]");
}

static void a_model_that_fails_twice_stops_deciding(void **state)
{
    failing_store *s = *state;
    unsigned times = 1000;
    put_expect(s, "a", "\"ok\":true,\"position\":1,");
    (void)sqlite3_commit_hook(dbk_model_handle(s->f.engine->model), refuse_commit, &times);
    put_expect(s, "b", "\"projected\":false}");
    put_expect(s, "c", "\"error\":\"unavailable\",\"class\":\"transient\",\"message\":\"the model is behind the log: ");
    put_expect(s, "c",
               "\"message\":\"the model failed at position 2\",\"hint\":\"look at the disk of 'models', then open the "
               "store again\",\"outcome\":\"none\"");
    ask_expect(s, "{\"do\":\"status\"}", "\"condition\":\"failed\"");
    ask_expect(s, "{\"do\":\"get\",\"table\":\"notes\",\"key\":\"a\"}", "\"title\":\"a\"");
    reopen(s);
    put_expect(s, "b", "\"again\":true");
    put_expect(s, "c", "\"ok\":true,\"position\":3,");
}

static void a_rebuild_heals_a_model_that_failed(void **state)
{
    failing_store *s = *state;
    unsigned times = 1000;
    (void)sqlite3_commit_hook(dbk_model_handle(s->f.engine->model), refuse_commit, &times);
    put_expect(s, "a", "\"projected\":false}");
    put_expect(s, "b", "the model is behind the log");
    put_expect(s, "b", "the model failed at position 1");
    ask_expect(s, "{\"do\":\"rebuild\"}", "\"ok\":true");
    put_expect(s, "b", "\"ok\":true,\"position\":2,");
    ask_expect(s, "{\"do\":\"query\",\"sql\":\"SELECT count(*) AS c FROM notes\"}", "\"rows\":[[2]]");
}

/* ---- every call in turn */

enum { ACKS_MAX = 16 };

typedef struct scene {
    engine_fixture *f;
    faulty_port *port;
    char acked[ACKS_MAX][16];
    size_t acked_count;
    unsigned changes;
} scene;

static void count_change(void *arg, const char *message, size_t size)
{
    (void)message;
    (void)size;
    ((scene *)arg)->changes++;
}

static void try_put(scene *sc, dbk_engine *engine, const char *id)
{
    char command[200];
    dbk_buffer receipt;
    dbk_error error = {0};
    put_text(command, sizeof command, id);
    dbk_slice text = dbk_slice_text(command);
    dbk_buffer_init(&receipt, dbk_port_system());
    receipt.port = &sc->port->port;
    dbk_result result = dbk_engine_decide(engine, &text, 1, sc->f->now_ms += 1000, &receipt, &error);
    const char *got = dbk_buffer_text(&receipt);
    if (result == DBK_OK && got && strstr(got, "\"ok\":true") && sc->acked_count < ACKS_MAX)
        snprintf(sc->acked[sc->acked_count++], 16, "%s", id);
    dbk_buffer_release(&receipt);
}

/* The answer goes through the port's memory too; whatever it is, it is text or an error. */
static void try_ask(scene *sc, dbk_engine *engine, const char *request)
{
    dbk_text answer = {0};
    dbk_error error = {0};
    dbk_result result = dbk_queue_call(engine->queue, request, strlen(request), &answer, &error);
    assert_int_equal(result == DBK_OK, answer.data != NULL);
    if (result != DBK_OK) assert_true(error.text[0] != 0);
    if (answer.data) sc->port->port.free(sc->port, answer.data);
}

static void ignore_answer(void *arg, const char *receipt, size_t size)
{
    (void)size;
    assert_non_null(strstr(receipt, "\"ok\":"));
    ++*(unsigned *)arg;
}

static void play_open(scene *sc, dbk_engine *engine)
{
    void *subscription = NULL;
    uint64_t count;
    unsigned answers = 0, sent = 0;
    dbk_result result = dbk_engine_subscribe(engine, "notes", "[\"t\",1,0]", count_change, sc, &subscription, NULL);
    try_put(sc, engine, "a");
    try_put(sc, engine, "b");
    try_ask(sc, engine,
            "[{\"id\":\"c\",\"do\":\"batch\",\"commands\":[{\"do\":\"delete\",\"table\":\"notes\",\"key\":\"b\"}]},{"
            "\"do\":\"status\"}]");
    try_ask(sc, engine,
            "[{\"id\":\"d\",\"do\":\"put\",\"table\":\"notes\",\"key\":\"d\"},{\"id\":\"e\",\"do\":\"put\",\"table\":"
            "\"nots\"}]");
    try_ask(sc, engine, "{\"do\":\"query\",\"sql\":\"SELECT * FROM notes\"}");
    try_ask(sc, engine, "{\"do\":\"query\",\"sql\":\"SELECT * FROM notes\",\"at\":1}");
    try_ask(sc, engine, "{\"do\":\"list\",\"table\":\"notes\"}");
    try_ask(sc, engine, "{\"do\":\"log\",\"stream\":\"notes/a\"}");
    try_ask(sc, engine, "{\"do\":\"changes\",\"table\":\"notes\",\"from\":[\"t\",1,1]}");
    try_ask(sc, engine, "{\"do\":\"rebuild\"}");
    try_ask(sc, engine, "{\"do\":\"verify\"}");
    try_ask(sc, engine, "{\"do\":\"fingerprint\"}");
    static const char dismissal[] =
        "{\"id\":\"f\",\"do\":\"dismiss\",\"entry\":\"72727272727272727272727272727272.1.1\"}";
    if (dbk_queue_send(engine->queue, dismissal, strlen(dismissal), ignore_answer, &answers, NULL) == DBK_OK) sent++;
    assert_int_equal(answers, sent);
    (void)!dbk_engine_upgrade(engine, sc->f->definition, sc->f->now_ms, false, NULL, NULL, &count, NULL);
    try_put(sc, engine, "g");
    if (result == DBK_OK) dbk_engine_unsubscribe(engine, subscription);
}

static void play(scene *sc)
{
    dbk_engine *engine = NULL;
    dbk_engine_options options = sc->f->options;
    options.port = &sc->port->port;
    dbk_error error = {0};
    dbk_result result = dbk_engine_create(sc->f->path, NULL, &options, NULL, &error);
    if (result != DBK_OK) assert_true(error.text[0] != 0);
    for (int i = 0; result == DBK_OK && i < 2; i++) {
        memset(&error, 0, sizeof error);
        result = dbk_engine_open(sc->f->path, &options, &engine, &error);
        if (result != DBK_OK) {
            assert_int_equal(strncmp(error.text, "cannot open store", 17), 0);
            break;
        }
        if (i == 0) play_open(sc, engine);
        else try_put(sc, engine, "h");
        dbk_engine_close(engine);
    }
}

/* With a sound port: it opens, knows what it acknowledged, and its model is the log's. */
static void check_after(scene *sc)
{
    engine_fixture *f = sc->f;
    char identity[4300];
    dbk_hash128 counted;
    dbk_model_state state;
    uint64_t rows;
    snprintf(identity, sizeof identity, "%s/daybook.json", f->path);
    if (access(identity, F_OK) != 0) {
        assert_int_equal(sc->acked_count, 0);
        return;
    }
    fixture_open(f);
    for (size_t i = 0; i < sc->acked_count; i++) {
        char command[200];
        put_text(command, sizeof command, sc->acked[i]);
        char *receipt = decide(f, command);
        expect_part(receipt, "\"again\":true");
        free(receipt);
    }
    dbk_model_get_state(f->engine->model, &state);
    assert_int_equal(state.position, dbk_log_position(f->engine->log));
    assert_int_equal(dbk_model_recount(f->engine->model, &counted, &rows, &f->error), DBK_OK);
    assert_true(counted.low == state.fingerprint.low && counted.high == state.fingerprint.high);
    assert_int_equal(dbk_model_check(f->engine->model, &f->error), DBK_OK);
    assert_int_equal(dbk_model_check_search(f->engine->model, &f->error), DBK_OK);
    dbk_engine_close(f->engine);
    f->engine = NULL;
}

/* One run of the scene in a fresh folder; how often the counted calls came. */
static size_t run_scene(faulty_port *port, size_t number)
{
    engine_fixture f = {.now_ms = 1700000000000};
    scene sc = {.f = &f, .port = port};
    _Atomic size_t *counter = port->fail_at ? &port->calls : &port->allocs;
    f.folder = temporary_dir();
    snprintf(f.path, sizeof f.path, "%s/t%zu.daybook", f.folder, number);
    const dbk_source sources[] = {{"schema.sql", dbk_slice_text(schema)}, {"app.json", dbk_slice_text(app)}};
    f.definition = definition_of_sources(sources, 2);
    f.options = (dbk_engine_options){
        .definition = f.definition, .no_threads = true, .given_ids = true, .incarnation = 1, .timeline = "t"};
    f.options.log.no_direct = true;
    memset(f.options.replica, 'r', 16);
    memset(f.options.lineage, 'l', 16);
    play(&sc);
    size_t came = *counter;
    assert_int_equal(port->held, 0);
    assert_int_equal(port->opened, 0);
    check_after(&sc);
    dbk_definition_free(f.definition);
    remove_temporary_dir(f.folder);
    return came;
}

static void sweep(bool memory, bool for_ever, int error, size_t dense, size_t step)
{
    for (size_t n = 1;; n += n < dense ? 1 : step) {
        faulty_port port;
        faulty_init(&port);
        port.error = error;
        port.for_ever = for_ever;
        *(memory ? &port.fail_alloc_at : &port.fail_at) = n;
        size_t came = run_scene(&port, n);
        assert_int_equal(sqlite3_memory_used(), 0);
        if (came >= n) continue;
        assert_true(n > dense); /* else it saw nothing */
        return;
    }
}

static void every_call_of_the_disk_fails_once(void **state)
{
    (void)state;
    sweep(false, false, EIO, 60, 3);
}

static void every_call_of_the_disk_fails_from_then_on(void **state)
{
    (void)state;
    sweep(false, true, ENOSPC, 60, 5);
}

static void every_allocation_fails_once(void **state)
{
    (void)state;
    sweep(true, false, ENOMEM, 120, 7);
}

static void every_allocation_fails_from_then_on(void **state)
{
    (void)state;
    sweep(true, true, ENOMEM, 120, 11);
}

/* ---- opening with threads that cannot be had */

static void threads_and_locks_that_cannot_be_had_refuse_the_opening(void **state)
{
    failing_store *s = *state;
    size_t refused = 0;
    dbk_engine_close(s->f.engine);
    s->f.engine = NULL;
    s->f.options.no_threads = false;
    for (size_t n = 1; n < 2000; n++) {
        faulty_calm(&s->port);
        s->port.fail_alloc_at = n;
        dbk_result result = dbk_engine_open(s->f.path, &s->f.options, &s->f.engine, &s->f.error);
        size_t came = s->port.allocs;
        faulty_calm(&s->port);
        if (result == DBK_OK) {
            dbk_engine_close(s->f.engine);
            s->f.engine = NULL;
            if (came < n) break;
        } else {
            refused++;
        }
        assert_int_equal(s->port.held, 0);
    }
    assert_true(refused > 20);
    s->f.options.no_threads = true;
    fixture_open(&s->f);
    put_expect(s, "a", "\"ok\":true,\"position\":1,");
}

/* ---- what the file system is */

static const dbk_port *usual;
static int say_nfs(void *ctx, dbk_dir *dir, dbk_space *out)
{
    (void)ctx;
    int rc = usual->space(NULL, dir, out);
    out->suits_live_store = false;
    out->fs_name = "nfs";
    return rc;
}

static void a_network_file_system_is_refused_unless_forced(void **state)
{
    failing_store *s = *state;
    put_expect(s, "a", "\"ok\":true,\"position\":1,");
    dbk_engine_close(s->f.engine);
    s->f.engine = NULL;
    usual = dbk_port_system();
    s->port.port.space = say_nfs;
    assert_int_equal(dbk_engine_open(s->f.path, &s->f.options, &s->f.engine, &s->f.error), DBK_UNSUPPORTED_FS);
    expect_part(s->f.error.text, "is on a file system of kind nfs");
    assert_string_equal(s->f.error.hint, "keep the live store on a local disk, or force it with --force-location");
    s->f.options.read_only = true;
    fixture_open(&s->f);
    dbk_engine_close(s->f.engine);
    s->f.options.read_only = false;
    s->f.options.force_fs = true;
    fixture_open(&s->f);
    put_expect(s, "b", "\"ok\":true,\"position\":2,");
}

/* Where a pointer is, a whole file stands behind it: else `verify` would name a model that nobody ever had. */
static void points_at_a_file(const char *store)
{
    char serial[64];
    if (!file_exists(store, "models/current")) return;
    char *pointer = file_text(store, "models/current");
    snprintf(serial, sizeof serial, "models/%.8s/main.sqlite", pointer);
    free(pointer);
    if (!file_exists(store, serial)) print_error("'%s' is missing\n", serial);
    assert_true(file_exists(store, serial));
}

static void a_first_opening_that_fails_leaves_no_pointer_to_nothing(void **state)
{
    (void)state;
    bool opened = false;
    for (size_t at = 1; !opened; at++) {
        engine_fixture f;
        faulty_port faulty;
        dbk_error error = {0};
        fixture_start(&f, schema, NULL);
        dbk_engine_close(f.engine);
        f.engine = NULL;
        folder_remove(f.path, "models");
        faulty_init(&faulty);
        f.options.port = &faulty.port;
        faulty.fail_at = at;
        opened = dbk_engine_open(f.path, &f.options, &f.engine, &error) == DBK_OK && faulty.calls < at;
        points_at_a_file(f.path);
        faulty_calm(&faulty);
        dbk_engine_close(f.engine);
        f.engine = NULL;
        points_at_a_file(f.path);
        f.options.port = NULL;
        fixture_stop(&f);
    }
}

int main(void)
{
    /* Thousands of stores are made and synced: where the machine has a file system in memory, there. */
    if (access("/dev/shm", W_OK) == 0) (void)setenv("TMPDIR", "/dev/shm", 0);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_failed_write_refuses_what_was_sent_twice, setup, teardown),
        cmocka_unit_test_setup_teardown(a_full_disk_refuses_and_leaves_no_trace, setup, teardown),
        cmocka_unit_test_setup_teardown(a_failed_write_is_answered_and_over, setup, teardown),
        cmocka_unit_test_setup_teardown(a_failed_write_leaves_no_version, setup, teardown),
        cmocka_unit_test_setup_teardown(a_failed_sync_poisons_and_reading_goes_on, setup, teardown),
        cmocka_unit_test_setup_teardown(a_failed_commit_is_durable_and_caught_up, setup, teardown),
        cmocka_unit_test_setup_teardown(a_model_that_fails_twice_stops_deciding, setup, teardown),
        cmocka_unit_test_setup_teardown(a_rebuild_heals_a_model_that_failed, setup, teardown),
        cmocka_unit_test(every_call_of_the_disk_fails_once),
        cmocka_unit_test(every_call_of_the_disk_fails_from_then_on),
        cmocka_unit_test(every_allocation_fails_once),
        cmocka_unit_test(every_allocation_fails_from_then_on),
        cmocka_unit_test_setup_teardown(threads_and_locks_that_cannot_be_had_refuse_the_opening, setup, teardown),
        cmocka_unit_test_setup_teardown(a_network_file_system_is_refused_unless_forced, setup, teardown),
        cmocka_unit_test(a_first_opening_that_fails_leaves_no_pointer_to_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
