/* models.<m>.budget of app.json: what the files of models may hold. Decisions that would make `main` grow beyond it are
 * refused and leave no trace; facts, deletes and what takes no room go. An async model stops, and the log does not. */
#include "store/model_folder.h"
#include "store/request.h"
#include "tests/store/ask_fixture.h"
#include "tests/store/folder_fixture.h"

static const char schema[] = "CREATE TABLE notes (id TEXT PRIMARY KEY NOT NULL, title TEXT);\n"
                             "CREATE INDEX notes_by_title ON notes(title);\n";
static const char stats_schema[] = "CREATE TABLE heard (id TEXT PRIMARY KEY NOT NULL, text TEXT);\n"
                                   "CREATE INDEX heard_by_text ON heard(text);\n";
static const char stats_projections[] = "-- on said\nINSERT INTO heard(id, text) VALUES ($id, $text);\n"
                                        "-- on unsaid\nDELETE FROM heard WHERE id = $id;\n";
enum { TEXT_BYTES = 1500, MANY = 200 };

/* ---- main */

static void start(engine_fixture *f, const char *main_rules, const char *more)
{
    char app[300];
    snprintf(app, sizeof app, "{\"daybook\": 1, \"name\": \"b\", \"models\": {\"main\": %s}%s}", main_rules, more);
    dbk_source sources[2] = {{"schema.sql", dbk_slice_text(schema)}, {"app.json", dbk_slice_text(app)}};
    fixture_start_with(f, definition_of_sources(sources, 2));
}

static const char *put_of(int number, int bytes)
{
    static char command[TEXT_BYTES + 200];
    static int ids;
    snprintf(command, sizeof command,
             "{\"id\":\"%d\",\"do\":\"put\",\"table\":\"notes\",\"key\":\"n%d\",\"data\":{\"title\":\"%0*d\"}}", ++ids,
             number, bytes, number);
    return command;
}

static uint64_t used(engine_fixture *f)
{
    uint64_t bytes;
    assert_int_equal(dbk_model_used(f->engine->model, &bytes, &f->error), DBK_OK);
    return bytes;
}

static uint64_t end(engine_fixture *f)
{
    return dbk_log_position(dbk_engine_log(f->engine));
}

static bool says(engine_fixture *f, const char *request, const char *part)
{
    char *answer = ask_of(f->engine, request);
    bool has = strstr(answer, part) != NULL;
    if (!has) print_message("%s\n%s\n", part, answer);
    free(answer);
    return has;
}

/* Puts until one is refused; how many went. */
static int fill(engine_fixture *f, uint64_t budget)
{
    for (int i = 0; i < MANY; i++) {
        char *receipt = decide(f, put_of(i, TEXT_BYTES));
        bool ok = strstr(receipt, "\"ok\":true") != NULL;
        if (!ok) {
            assert_non_null(strstr(receipt, "\"error\":\"no_space\""));
            assert_non_null(strstr(receipt, "the model 'main' would hold "));
            assert_non_null(strstr(receipt, "models.main.budget"));
        }
        free(receipt);
        if (!ok) return i;
        assert_true(used(f) <= budget + DBK_MODEL_PAGE_BYTES); /* the commit's own row is beyond it */
    }
    fail_msg("%d puts found room", MANY);
    return 0;
}

static void what_grows_is_refused_and_leaves_no_trace(void **state)
{
    engine_fixture f;
    char command[600];
    (void)state;
    start(&f, "{\"budget\": \"128 KiB\"}", "");
    int count = fill(&f, 128 * 1024);
    assert_true(count > 10);
    uint64_t before = end(&f), full = used(&f);
    must_refuse(&f, put_of(count, TEXT_BYTES), "no_space", "over its budget of 131072");
    must_refuse(&f, put_of(count, TEXT_BYTES), "no_space", "over its budget");
    assert_int_equal(end(&f), before);
    assert_int_equal(used(&f), full);
    snprintf(command, sizeof command, "{\"do\":\"get\",\"table\":\"notes\",\"key\":\"n%d\"}", count);
    assert_true(says(&f, command, "not_found"));
    /* a batch is one decision: refused whole; and what it takes away counts for what it puts */
    snprintf(
        command, sizeof command,
        "{\"id\":\"b1\",\"do\":\"batch\",\"commands\":[{\"do\":\"patch\",\"table\":\"notes\",\"key\":\"n0\",\"data\":{"
        "\"title\":\"x\"}},{\"do\":\"put\",\"table\":\"notes\",\"key\":\"m\",\"data\":{\"title\":\"%0*d\"}},"
        "{\"do\":\"put\",\"table\":\"notes\",\"key\":\"z\",\"data\":{\"title\":\"%0*d\"}}]}",
        100, 1, 100, 2);
    must_accept(&f, command);
    for (int i = 1; i < 4; i++) {
        snprintf(command, sizeof command, "{\"id\":\"d%d\",\"do\":\"delete\",\"table\":\"notes\",\"key\":\"n%d\"}", i,
                 i);
        must_accept(&f, command);
    }
    assert_true(used(&f) < full);
    must_accept(&f, put_of(count, TEXT_BYTES));
    assert_true(says(&f, "{\"do\":\"models\",\"model\":\"main\"}", "\"budget\":{\"bytes\":131072,\"used\":1"));
    fixture_stop(&f);
}

/* All of a full model goes, one by one, and with a search that keeps words of what went. */
static void deletes_and_what_takes_no_room_go(void **state)
{
    static const char search[] = ", \"search\": {\"find\": {\"table\": \"notes\", \"columns\": [\"title\"]}}";
    (void)state;
    for (int i = 0; i < 2; i++) {
        engine_fixture f;
        char command[200];
        start(&f, "{\"budget\": \"256 KiB\"}", i ? search : "");
        int count = fill(&f, 256 * 1024);
        for (int k = 0; k < count; k++) {
            snprintf(command, sizeof command,
                     "{\"id\":\"p%d\",\"do\":\"patch\",\"table\":\"notes\",\"key\":\"n%d\",\"data\":{\"title\":null}}",
                     k, k);
            if (k % 2 && !i) must_accept(&f, command);
            snprintf(command, sizeof command, "{\"id\":\"d%d\",\"do\":\"delete\",\"table\":\"notes\",\"key\":\"n%d\"}",
                     k, k);
            must_accept(&f, command);
        }
        must_accept(&f, put_of(0, TEXT_BYTES));
        fixture_stop(&f);
    }
}

/* Those that are decided with it in one transaction stay. */
static void others_of_its_turn_are_as_without_it(void **state)
{
    engine_fixture f;
    char big[TEXT_BYTES + 200], *receipts[4];
    (void)state;
    start(&f, "{\"budget\": \"128 KiB\"}", "");
    int count = fill(&f, 128 * 1024);
    snprintf(big, sizeof big, "%s", put_of(count, TEXT_BYTES));
    const char *const turn[4] = {
        "{\"id\":\"t1\",\"do\":\"put\",\"table\":\"notes\",\"key\":\"r\",\"data\":{\"title\":\"one\"}}", big,
        "{\"id\":\"t2\",\"do\":\"delete\",\"table\":\"notes\",\"key\":\"n2\"}",
        "{\"id\":\"t3\",\"do\":\"put\",\"table\":\"notes\",\"key\":\"s\",\"data\":{\"title\":\"small\"}}"};
    decide_turn(&f, turn, 4, receipts);
    for (int i = 0; i < 4; i++) {
        const char *part = i == 1 ? "\"error\":\"no_space\",\"class\":" : "\"ok\":true";
        if (!strstr(receipts[i], part)) print_message("%s\n", receipts[i]);
        assert_non_null(strstr(receipts[i], part));
        free(receipts[i]);
    }
    assert_int_equal(end(&f), count + 3);
    assert_true(says(&f, "{\"do\":\"get\",\"table\":\"notes\",\"key\":\"r\"}", "\"title\":\"one\""));
    dbk_engine_close(f.engine);
    fixture_open(&f);
    assert_true(says(&f, "{\"do\":\"get\",\"table\":\"notes\",\"key\":\"s\"}", "\"title\":\"small\""));
    fixture_stop(&f);
}

/* Also where something is written down of each. */
static void a_delete_goes_though_it_takes_room(void **state)
{
    static const char gone[] = "CREATE TABLE notes (id TEXT PRIMARY KEY NOT NULL, title TEXT);\n"
                               "CREATE TABLE gone (id TEXT PRIMARY KEY NOT NULL, title TEXT);\n";
    static const char projections[] =
        "-- on notes.deleted\nINSERT INTO gone(id, title) VALUES ($id, hex(zeroblob(3000)));\n";
    dbk_source sources[3] = {
        {"schema.sql", dbk_slice_text(gone)},
        {"projections.sql", dbk_slice_text(projections)},
        {"app.json",
         dbk_slice_text("{\"daybook\": 1, \"name\": \"b\", \"models\": {\"main\": {\"budget\": \"128 KiB\"}}}")}};
    engine_fixture f;
    char command[200];
    (void)state;
    fixture_start_with(&f, definition_of_sources(sources, 3));
    int count = fill(&f, 128 * 1024);
    uint64_t full = used(&f);
    for (int k = 0; k < count; k++) {
        snprintf(command, sizeof command, "{\"id\":\"d%d\",\"do\":\"delete\",\"table\":\"notes\",\"key\":\"n%d\"}", k,
                 k);
        must_accept(&f, command);
    }
    assert_true(used(&f) > full);
    snprintf(command, sizeof command, "[[%d]]", count);
    assert_true(says(&f, "{\"do\":\"query\",\"sql\":\"SELECT count(*) FROM gone\"}", command));
    fixture_stop(&f);
}

/* K3: an imported entry is logged and folded whatever the file holds, and a model is built anew from all of them. */
static void facts_and_rebuilds_know_no_budget(void **state)
{
    engine_fixture author, f;
    uint64_t logged, parked;
    dbk_buffer origins[MANY];
    dbk_slice slices[MANY];
    dbk_model_state before, after;
    (void)state;
    start(&author, "{}", "");
    start(&f, "{\"budget\": \"128 KiB\"}", "");
    dbk_engine_close(author.engine);
    folder_remove(author.folder, "t.daybook");
    memset(author.options.replica, 'q', 16);
    assert_int_equal(dbk_engine_create(author.path, NULL, &author.options, NULL, &author.error), DBK_OK);
    fixture_open(&author);
    for (int i = 0; i < MANY; i++) {
        must_accept(&author, put_of(i, TEXT_BYTES));
        dbk_buffer_init(&origins[i], dbk_port_system());
        assert_int_equal(dbk_log_read(dbk_engine_log(author.engine), (uint64_t)i + 1, &origins[i], NULL, &author.error),
                         DBK_OK);
        slices[i] = dbk_buffer_slice(&origins[i]);
    }
    assert_int_equal(dbk_engine_import(f.engine, slices, MANY, author.now_ms + 1000, &logged, &parked, &f.error),
                     DBK_OK);
    assert_int_equal(logged, MANY);
    f.now_ms = author.now_ms + 2000;
    assert_true(says(&f, "{\"do\":\"query\",\"sql\":\"SELECT count(*) FROM notes\"}", "[[200]]"));
    assert_true(says(&f, "{\"do\":\"inbox\"}", "\"items\":[]"));
    assert_true(used(&f) > 2 * 128 * 1024);
    must_refuse(&f, put_of(MANY, TEXT_BYTES), "no_space", "over its budget");
    must_accept(&f,
                "{\"id\":\"s\",\"do\":\"patch\",\"table\":\"notes\",\"key\":\"n5\",\"data\":{\"title\":\"short\"}}");
    must_accept(&f, "{\"id\":\"g\",\"do\":\"delete\",\"table\":\"notes\",\"key\":\"n7\"}");
    dbk_model_get_state(f.engine->model, &before);
    assert_true(says(&f, "{\"do\":\"rebuild\"}", "\"position\":202"));
    dbk_model_get_state(f.engine->model, &after);
    assert_memory_equal(&before.fingerprint, &after.fingerprint, sizeof before.fingerprint);
    dbk_engine_close(f.engine);
    fixture_open(&f);
    assert_true(says(&f, "{\"do\":\"query\",\"sql\":\"SELECT count(*) FROM notes\",\"at\":200}", "[[200]]"));
    must_refuse(&f, put_of(MANY, TEXT_BYTES), "no_space", "over its budget");
    for (int i = 0; i < MANY; i++) dbk_buffer_release(&origins[i]);
    fixture_stop(&author);
    fixture_stop(&f);
}

/* What check takes for the size of an empty model is that, within a few pages. */
static void check_knows_what_an_empty_model_takes(void **state)
{
    engine_fixture f;
    (void)state;
    start(&f, "{}", "");
    uint64_t empty = used(&f);
    fixture_stop(&f);
    for (int i = 0; i < 2; i++) {
        char app[200];
        dbk_findings findings = {0};
        dbk_definition *definition = NULL;
        uint64_t budget = i ? empty + 3 * DBK_MODEL_PAGE_BYTES : empty - 3 * DBK_MODEL_PAGE_BYTES;
        snprintf(app, sizeof app, "{\"daybook\": 1, \"name\": \"b\", \"models\": {\"main\": {\"budget\": \"%llu B\"}}}",
                 (unsigned long long)budget);
        dbk_source sources[2] = {{"schema.sql", dbk_slice_text(schema)}, {"app.json", dbk_slice_text(app)}};
        assert_int_equal(dbk_definition_parse(dbk_port_system(), sources, 2, "test", &definition, &findings, &f.error),
                         DBK_OK);
        assert_int_equal(findings.count, i ? 0 : 1);
        if (!i) assert_non_null(strstr(findings.items[0].text, "the empty model takes"));
        dbk_findings_free(&findings);
        dbk_definition_free(definition);
    }
}

/* ---- an async model */

static const char *projections_now = stats_projections;

static void write_app(const engine_fixture *f, const char *name, const char *stats, char path[4300])
{
    char app[300];
    snprintf(path, 4300, "%s/%s", f->folder, name);
    folder_make(f->folder, name);
    folder_make(path, "stats");
    snprintf(app, sizeof app, "{\"daybook\": 1, \"name\": \"b\", \"models\": {\"stats\": {\"mode\": \"async\"%s}}}",
             stats);
    file_write(path, "schema.sql", schema, strlen(schema));
    file_write(path, "app.json", app, strlen(app));
    file_write(path, "stats/schema.sql", stats_schema, strlen(stats_schema));
    file_write(path, "stats/projections.sql", projections_now, strlen(projections_now));
}

static void begin(engine_fixture *f, const char *stats)
{
    char app[4300];
    memset(f, 0, sizeof *f);
    f->folder = temporary_dir();
    snprintf(f->path, sizeof f->path, "%s/t.daybook", f->folder);
    f->options = (dbk_engine_options){.no_threads = true};
    f->options.log.no_direct = true;
    f->now_ms = 1700000000000;
    write_app(f, "v1", stats, app);
    assert_int_equal(dbk_engine_create(f->path, app, &f->options, NULL, &f->error), DBK_OK);
    fixture_open(f);
}

static void say(engine_fixture *f, const char *type, int number)
{
    char command[TEXT_BYTES + 200];
    snprintf(command, sizeof command,
             "{\"id\":\"%s%d\",\"do\":\"append\",\"stream\":\"talk\",\"type\":\"%s\",\"data\":{\"id\":\"%d\",\"text\":"
             "\"%0*d\"}}",
             type, number, type, number, TEXT_BYTES, number);
    must_accept(f, command);
}

static const char list[] = "{\"do\":\"models\",\"model\":\"stats\"}";

static long long number_in(engine_fixture *f, const char *request, const char *name)
{
    char *answer = ask_of(f->engine, request);
    const char *at = strstr(answer, name);
    long long number = at ? strtoll(at + strlen(name), NULL, 10) : -1;
    free(answer);
    return number;
}

static void upgrade(engine_fixture *f, const char *name, const char *stats)
{
    char app[4300], request[4600];
    write_app(f, name, stats, app);
    snprintf(request, sizeof request, "{\"do\":\"upgrade\",\"app\":\"%s\"}", app);
    assert_true(says(f, request, "\"upgraded\":true"));
}

static void it_stops_and_the_log_goes_on(void **state)
{
    engine_fixture f;
    char into[4400], request[4600];
    (void)state;
    begin(&f, ", \"budget\": \"128 KiB\"");
    for (int i = 0; i < MANY; i++) say(&f, "said", i);
    assert_true(says(&f, list, "\"state\":\"failed\""));
    assert_true(says(&f, list, "\"over_budget\":true"));
    assert_true(
        says(&f, list, "over its budget of 131072: raise 'models.stats.budget' of app.json and upgrade, or keep less"));
    long long stopped = number_in(&f, list, "\"failed\":{\"position\":"), at = number_in(&f, list, "\"position\":");
    assert_true(stopped > 5 && stopped < 100 && at == stopped - 1);
    assert_true(number_in(&f, list, "\"used\":") <= 128 * 1024 + DBK_MODEL_PAGE_BYTES);
    snprintf(request, sizeof request, "[[%lld]]", stopped - 2); /* the definition is the first entry */
    assert_true(says(&f, "{\"do\":\"query\",\"sql\":\"SELECT count(*) FROM heard\"}", request));
    assert_true(says(&f, "{\"do\":\"model.skip\",\"model\":\"stats\"}", "leaving an entry out makes no room"));
    assert_true(says(&f, "{\"do\":\"model.retry\",\"model\":\"stats\"}", "\"over_budget\":true"));
    dbk_engine_close(f.engine);
    fixture_open(&f);
    assert_int_equal(number_in(&f, list, "\"failed\":{\"position\":"), stopped);
    assert_true(says(&f, "{\"do\":\"model.skip\",\"model\":\"stats\"}", "leaving an entry out makes no room"));
    /* a moment and a replay are not its file */
    snprintf(into, sizeof into, "%s/stats.sqlite", f.folder);
    snprintf(request, sizeof request, "{\"do\":\"replay\",\"model\":\"stats\",\"into\":\"%s\"}", into);
    assert_true(says(&f, request, "\"position\":201"));
    /* built anew it stops too, and at the size it may have */
    assert_true(says(&f, "{\"do\":\"rebuild\",\"model\":\"stats\"}", "\"over_budget\":true"));
    assert_true(number_in(&f, list, "\"used\":") <= 128 * 1024 + DBK_MODEL_PAGE_BYTES);
    upgrade(&f, "v2", ", \"budget\": \"256 KiB\"");
    long long later = number_in(&f, list, "\"failed\":{\"position\":");
    assert_true(later > stopped + 5);
    upgrade(&f, "v3", ", \"budget\": \"4 MiB\"");
    assert_true(says(&f, list, "\"state\":\"running\""));
    assert_true(says(&f, list, "\"position\":201"));
    assert_true(says(&f, list, "\"builds\":0")); /* it went on where it stood */
    fixture_stop(&f);
}

static void what_makes_room_goes_on_over_a_lowered_budget(void **state)
{
    engine_fixture f;
    (void)state;
    begin(&f, ", \"on_error\": \"pause\"");
    for (int i = 0; i < MANY; i++) say(&f, "said", i);
    upgrade(&f, "v2", ", \"on_error\": \"pause\", \"budget\": \"128 KiB\"");
    assert_true(says(&f, list, "\"state\":\"running\"")); /* what is there stays */
    for (int i = 0; i < MANY - 10; i++) say(&f, "unsaid", i);
    assert_true(says(&f, list, "\"state\":\"running\""));
    for (int i = 0; i < MANY - 10; i++) say(&f, "unsaid.not", i);
    for (int i = MANY; i < 2 * MANY; i++) say(&f, "said", i);
    assert_true(says(&f, list, "\"state\":\"paused\""));
    dbk_engine_close(f.engine);
    fixture_open(&f); /* what is known of it outlives the process */
    assert_true(says(&f, list, "\"over_budget\":true"));
    assert_true(says(&f, "{\"do\":\"model.skip\",\"model\":\"stats\"}", "leaving an entry out makes no room"));
    upgrade(&f, "v3", ", \"on_error\": \"pause\", \"budget\": \"4 MiB\"");
    assert_true(says(&f, list, "\"state\":\"paused\"")); /* as after other failures: somebody says so */
    assert_true(says(&f, "{\"do\":\"model.resume\",\"model\":\"stats\"}", "\"state\":\"running\""));
    fixture_stop(&f);
}

/* An upgrade builds it beside the one that answers: no more than the budget. */
static void what_an_upgrade_builds_has_its_budget(void **state)
{
    static const char doubled[] = "-- on said\nINSERT INTO heard(id, text) VALUES ($id, $text || $text);\n";
    engine_fixture f;
    (void)state;
    begin(&f, "");
    for (int i = 0; i < MANY; i++) say(&f, "said", i);
    projections_now = doubled;
    upgrade(&f, "v2", ", \"budget\": \"256 KiB\"");
    projections_now = stats_projections;
    assert_true(says(&f, list, "\"over_budget\":true"));
    assert_true(number_in(&f, list, "\"used\":") <= 256 * 1024 + DBK_MODEL_PAGE_BYTES);
    fixture_stop(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_grows_is_refused_and_leaves_no_trace),
        cmocka_unit_test(deletes_and_what_takes_no_room_go),
        cmocka_unit_test(others_of_its_turn_are_as_without_it),
        cmocka_unit_test(a_delete_goes_though_it_takes_room),
        cmocka_unit_test(facts_and_rebuilds_know_no_budget),
        cmocka_unit_test(check_knows_what_an_empty_model_takes),
        cmocka_unit_test(it_stops_and_the_log_goes_on),
        cmocka_unit_test(what_makes_room_goes_on_over_a_lowered_budget),
        cmocka_unit_test(what_an_upgrade_builds_has_its_budget),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
