/* Async models: what follows the log by itself, where it stops, how it heals, and that nothing else waits for it. */
#include <errno.h>

#include <dirent.h>
#include <sqlite3.h>

#include "store/async.h"
#include "tests/store/ask_fixture.h"
#include "tests/store/folder_fixture.h"
#include "tests/store/world_fixture.h"

static const char app_json[] = "{\"daybook\": 1, \"name\": \"shop\", \"models\": {\"stats\": {\"mode\": \"async\"}}}";
static const char schema[] =
    "CREATE TABLE orders(id TEXT PRIMARY KEY NOT NULL, customer TEXT NOT NULL, total INTEGER NOT NULL);\n";
static const char stats_schema[] =
    "CREATE TABLE totals(customer TEXT PRIMARY KEY NOT NULL, sum INTEGER NOT NULL "
    "CHECK (sum < 1000));\nCREATE VIEW rich AS SELECT customer FROM totals WHERE sum > 50;\n";
static const char stats_projections[] =
    "-- on orders.put\nINSERT INTO totals(customer, sum) VALUES ($customer, $total) "
    "ON CONFLICT(customer) DO UPDATE SET sum = sum + $total;\n"
    "-- on order.paid\nUPDATE totals SET sum = sum - $paid WHERE customer = $by;\n"
    "-- on orders.deleted\nINSERT INTO totals(customer, sum) VALUES ('without ' || $id, 0);\n";
static const char stats_queries[] = "-- query richest()\nSELECT customer FROM rich;\n";

enum { SOURCES = 5 };
static void sources_of(dbk_source out[SOURCES])
{
    out[0] = (dbk_source){"app.json", dbk_slice_text(app_json)};
    out[1] = (dbk_source){"schema.sql", dbk_slice_text(schema)};
    out[2] = (dbk_source){"stats/schema.sql", dbk_slice_text(stats_schema)};
    out[3] = (dbk_source){"stats/projections.sql", dbk_slice_text(stats_projections)};
    out[4] = (dbk_source){"stats/queries.sql", dbk_slice_text(stats_queries)};
}

static int setup(void **state)
{
    dbk_source sources[SOURCES];
    engine_fixture *f = calloc(1, sizeof *f);
    sources_of(sources);
    fixture_start_with(f, definition_of_sources(sources, SOURCES));
    must_accept(f, "{\"id\":\"0\",\"do\":\"append\",\"stream\":\"shop\",\"type\":\"shop.opened\",\"data\":{}}");
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    fixture_stop(*state);
    free(*state);
    return 0;
}

static void put(engine_fixture *f, const char *id, const char *customer, int total)
{
    char command[300];
    snprintf(command, sizeof command,
             "{\"id\":\"%s\",\"do\":\"put\",\"table\":\"orders\",\"key\":\"%s\",\"data\":{\"customer\":\"%s\","
             "\"total\":%d}}",
             id, id, customer, total);
    must_accept(f, command);
}

static void says(engine_fixture *f, const char *request, const char *part)
{
    char *answer = ask_of(f->engine, request);
    if (!strstr(answer, part)) print_error("%s\n%s\nlacks %s\n", request, answer, part);
    assert_non_null(strstr(answer, part));
    free(answer);
}

static const char list[] = "{\"do\":\"models\",\"model\":\"stats\"}";
static const char totals[] = "{\"do\":\"query\",\"sql\":\"SELECT customer, sum FROM totals ORDER BY customer\"}";

static void reopen(engine_fixture *f)
{
    dbk_engine_close(f->engine);
    f->engine = NULL;
    fixture_open(f);
}

/* ---- it follows */

static void test_it_follows_the_log(void **state)
{
    engine_fixture *f = *state;
    put(f, "o1", "ann", 10);
    put(f, "o2", "ann", 50);
    put(f, "o3", "bob", 7);
    says(f, totals, "\"rows\":[[\"ann\",60],[\"bob\",7]],\"position\":4");
    says(f, list, "\"state\":\"running\",\"position\":4,\"behind\":0");
    says(f, "{\"do\":\"query\",\"name\":\"richest\"}", "\"rows\":[[\"ann\"]]");
    says(f, "{\"do\":\"query\",\"sql\":\"SELECT * FROM rich\"}", "[\"ann\"]");
    says(f, "{\"do\":\"query\",\"sql\":\"SELECT sum FROM totals\",\"model\":\"main\"}",
         "'totals' is of the model 'stats', and this query reads 'main'");
    says(f, "{\"do\":\"query\",\"sql\":\"SELECT count(*) FROM totals, orders\"}",
         "'orders' is of the model 'main', and this query reads 'stats'");
    says(f, "{\"do\":\"query\",\"sql\":\"SELECT count(*) FROM events\",\"model\":\"stats\"}", "\"rows\":[[4]]");
    says(f, "{\"do\":\"query\",\"sql\":\"SELECT 1\",\"model\":\"stat\"}", "not_found: there is no model 'stat'");
    says(f, "{\"do\":\"get\",\"table\":\"totals\",\"key\":\"ann\"}",
         "unknown_table: 'totals' is of the async model 'stats'");
    says(f, "{\"do\":\"hello\"}", "\"queries\":[\"richest\"]");
    says(f, "{\"do\":\"status\"}", "\"models\":[{\"model\":\"stats\"");
    says(f, "{\"do\":\"stats\"}", "\"models\":[{\"model\":\"stats\"");
    reopen(f);
    says(f, totals, "\"rows\":[[\"ann\",60],[\"bob\",7]],\"position\":4");
    says(f, list, "\"builds\":0");
}

/* The key stands in the stream, and whose key it is in the definition of the whole. */
static void test_a_delete_offers_its_key(void **state)
{
    engine_fixture *f = *state;
    dbk_source sources[SOURCES];
    put(f, "o1", "ann", 10);
    must_accept(f, "{\"id\":\"d\",\"do\":\"delete\",\"table\":\"orders\",\"key\":\"o1\"}");
    says(f, totals, "\"rows\":[[\"ann\",10],[\"without o1\",0]],\"position\":3");
    sources_of(sources);
    dbk_definition *before = definition_of_sources(sources, SOURCES);
    sources[1].text = dbk_slice_text(
        "CREATE TABLE orders(id INTEGER PRIMARY KEY NOT NULL, customer TEXT NOT NULL, total INTEGER NOT NULL);\n");
    dbk_definition *other_key = definition_of_sources(sources, SOURCES);
    sources[1].text =
        dbk_slice_text("CREATE TABLE orders(id TEXT PRIMARY KEY NOT NULL, customer TEXT, total INTEGER);\n");
    dbk_definition *same_key = definition_of_sources(sources, SOURCES);
    assert_memory_not_equal(before->models[0]->hash, other_key->models[0]->hash, 16);
    assert_memory_equal(before->models[0]->hash, same_key->models[0]->hash, 16);
    dbk_definition_free(before);
    dbk_definition_free(other_key);
    dbk_definition_free(same_key);
}

static void test_as_of_and_replay(void **state)
{
    engine_fixture *f = *state;
    char request[4600], made[4400];
    put(f, "o1", "ann", 10);
    put(f, "o2", "ann", 50);
    says(f, "{\"do\":\"query\",\"sql\":\"SELECT sum FROM totals\",\"at\":2}", "\"rows\":[[10]]");
    says(f, "{\"do\":\"query\",\"sql\":\"SELECT sum FROM totals\",\"at\":1}", "\"rows\":[]");
    says(f, "{\"do\":\"query\",\"name\":\"richest\",\"at\":3}", "\"rows\":[[\"ann\"]]");
    char *now = ask_of(f->engine, "{\"do\":\"fingerprint\",\"model\":\"stats\"}");
    char *then = ask_of(f->engine, "{\"do\":\"fingerprint\",\"model\":\"stats\",\"at\":3}");
    assert_string_equal(now, then);
    free(now);
    free(then);
    snprintf(made, sizeof made, "%s/made.sqlite", f->folder);
    snprintf(request, sizeof request, "{\"do\":\"replay\",\"model\":\"stats\",\"into\":\"%s\"}", made);
    says(f, request, "\"position\":3");
}

/* ---- it stops */

static void test_it_stops_at_what_it_refuses(void **state)
{
    engine_fixture *f = *state;
    put(f, "o1", "ann", 10);
    put(f, "big", "ann", 5000);
    put(f, "o3", "bob", 7);
    says(f, totals, "\"rows\":[[\"ann\",10]],\"position\":2");
    says(f, list, "\"state\":\"failed\",\"position\":2,\"behind\":2,\"failed\":{\"position\":3,\"entry\":");
    says(f, list, "\"type\":\"orders.put\",\"error\":\"stats/projections.sql:2: CHECK sum < 1000\"");
    says(f, "{\"do\":\"get\",\"table\":\"orders\",\"key\":\"o3\"}", "bob"); /* the inline model went on */
    reopen(f);
    says(f, list, "\"state\":\"failed\",\"position\":2");
    says(f, "{\"do\":\"query\",\"sql\":\"SELECT sum FROM totals\",\"at\":4}", "\"rows\":[[10]],\"position\":2");
    says(f, "{\"do\":\"rebuild\",\"model\":\"stats\"}", "\"state\":\"failed\",\"position\":2");
    says(f, "{\"do\":\"model.retry\",\"model\":\"stats\"}", "\"failed\":{\"position\":3");
}

/* A statement that changes nothing, unmarked, is a failure too; the first entry of all may be the one. */
static void test_it_stops_at_the_first_entry(void **state)
{
    engine_fixture *f = *state;
    must_accept(f, "{\"id\":\"p\",\"do\":\"append\",\"stream\":\"order/1\",\"type\":\"order.paid\",\"data\":{\"by\":"
                   "\"ann\",\"paid\":5}}");
    says(f, list, "\"position\":1,\"behind\":1,\"failed\":{\"position\":2,");
    says(f, list, "stats/projections.sql:4");
    says(f, list, "order.paid changes no row");
    says(f, "{\"do\":\"rebuild\",\"model\":\"stats\"}", "\"state\":\"failed\",\"position\":1");
    says(f, totals, "\"rows\":[],\"position\":1");
}

static void test_skip_and_unskip(void **state)
{
    engine_fixture *f = *state;
    put(f, "o1", "ann", 10);
    says(f, "{\"do\":\"model.skip\",\"model\":\"stats\"}", "rejected: the model 'stats' has not failed");
    put(f, "big", "ann", 5000);
    put(f, "o3", "bob", 7);
    says(f, "{\"do\":\"model.skip\",\"model\":\"stats\",\"position\":4}", "has not failed at 4 but at 3");
    says(f, "{\"do\":\"model.skip\",\"model\":\"stats\",\"position\":3}", "\"state\":\"running\",\"position\":5");
    says(f, totals, "[[\"ann\",10],[\"bob\",7]]");
    reopen(f);
    says(f, list, "\"state\":\"running\",\"position\":5");
    says(f, "{\"do\":\"rebuild\",\"model\":\"stats\"}", "\"state\":\"running\",\"position\":5"); /* the log has it */
    says(f, totals, "[[\"ann\",10],[\"bob\",7]]");
    says(f, "{\"do\":\"model.skip\",\"model\":\"stats\",\"position\":3,\"skip\":false}",
         "\"state\":\"failed\",\"position\":2");
    says(f, "{\"do\":\"model.skip\",\"model\":\"main\"}", "bad_command: 'main' is no async model");
}

static void test_pause_outlives_the_process(void **state)
{
    engine_fixture *f = *state;
    put(f, "o1", "ann", 10);
    says(f, "{\"do\":\"model.pause\",\"model\":\"stats\"}", "\"state\":\"paused\",\"position\":2");
    put(f, "o2", "ann", 10);
    says(f, list, "\"state\":\"paused\",\"position\":2,\"behind\":1");
    says(f, "{\"do\":\"model.retry\",\"model\":\"stats\"}", "rejected: the model 'stats' is paused");
    reopen(f);
    put(f, "o3", "ann", 10);
    says(f, list, "\"state\":\"paused\",\"position\":2,\"behind\":2");
    says(f, totals, "[[\"ann\",10]]");
    says(f, "{\"do\":\"model.resume\",\"model\":\"stats\"}", "\"state\":\"running\",\"position\":4");
    says(f, totals, "[[\"ann\",30]]");
}

/* ---- it heals */

static void file_of_model(const engine_fixture *f, char out[200])
{
    char *serial = file_text(f->path, "models/async-stats/current");
    snprintf(out, 200, "models/async-stats/%.8s/stats.sqlite", serial);
    free(serial);
}

static void test_a_deleted_file_is_built_anew(void **state)
{
    engine_fixture *f = *state;
    char name[200];
    put(f, "o1", "ann", 10);
    file_of_model(f, name);
    file_remove(f->path, name); /* while it is open */
    put(f, "o2", "ann", 10);
    says(f, list, "\"state\":\"running\",\"position\":3,\"behind\":0");
    says(f, list, "\"builds\":2");
    says(f, totals, "[[\"ann\",20]]");
    dbk_engine_close(f->engine);
    folder_remove(f->path, "models/async-stats");
    fixture_open(f);
    says(f, totals, "[[\"ann\",20]]");
    dbk_engine_close(f->engine);
    folder_remove(f->path, "models/async-stats");
    file_write(f->path, "models/async-stats", "in the way", 10);
    fixture_open(f);
    says(f, totals, "[[\"ann\",20]]");
    dbk_engine_close(f->engine);
    folder_remove(f->path, "models");
    fixture_open(f);
    says(f, totals, "[[\"ann\",20]]");
}

static void test_damage_and_swapped_files(void **state)
{
    engine_fixture *f = *state;
    char name[200];
    size_t size;
    put(f, "o1", "ann", 10);
    dbk_engine_close(f->engine);
    file_of_model(f, name);
    char *old = file_bytes(f->path, name, &size);
    fixture_open(f);
    put(f, "o2", "ann", 10);
    dbk_engine_close(f->engine);
    file_of_model(f, name);
    file_write(f->path, name, old, size); /* an older one: it goes on from there */
    free(old);
    fixture_open(f);
    says(f, totals, "[[\"ann\",20]]");
    says(f, list, "\"builds\":0");
    dbk_engine_close(f->engine);
    file_write(f->path, name, "no database at all", 18);
    fixture_open(f);
    says(f, totals, "[[\"ann\",20]]");
    says(f, list, "\"builds\":1");
    dbk_engine_close(f->engine);
    file_write(f->path, "models/async-stats/current", "99999999", 8);
    file_write(f->path, "models/async-stats/state", "{\"paused\":tru", 13);
    fixture_open(f);
    says(f, totals, "[[\"ann\",20]]");
    says(f, list, "\"state\":\"running\"");
}

static int serials_of(const engine_fixture *f)
{
    char path[4400];
    int count = 0;
    snprintf(path, sizeof path, "%s/models/async-stats", f->path);
    DIR *dir = opendir(path);
    assert_non_null(dir);
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;) count += strspn(entry->d_name, "0123456789") == 8;
    closedir(dir);
    return count;
}

/* While the store is served: file or folder go, another file comes in its place, the file is written over. Each is
 * seen at the next entry, built anew, and told; and nothing is left lying about. */
static void test_it_heals_while_it_serves(void **state)
{
    engine_fixture *f = *state;
    char name[200];
    put(f, "o1", "ann", 10);
    file_of_model(f, name);
    file_write(f->path, name, "no database at all", 18);
    put(f, "o2", "ann", 10);
    says(f, totals, "[[\"ann\",20]]");
    says(f, list, "\"healed\":\"its file was written over\"");
    assert_int_equal(serials_of(f), 1);
    file_of_model(f, name);
    file_remove(f->path, name);
    file_write(f->path, name, "of another store", 16);
    put(f, "o3", "ann", 10);
    says(f, totals, "[[\"ann\",30]]");
    says(f, list, "\"healed\":\"its file was replaced\"");
    assert_int_equal(serials_of(f), 1);
    folder_remove(f->path, "models/async-stats");
    put(f, "o4", "ann", 10);
    says(f, totals, "[[\"ann\",40]]");
    says(f, list,
         "\"state\":\"running\",\"position\":5,\"behind\":0,\"healed\":\"its folder was deleted or replaced\"");
    assert_int_equal(serials_of(f), 1);
    dbk_engine_close(f->engine);
    fixture_open(f);
    says(f, totals, "[[\"ann\",40]]");
    says(f, list, "\"builds\":0");
}

static void set_most_pages(const engine_fixture *f, int pages)
{
    char sql[80];
    snprintf(sql, sizeof sql, "PRAGMA max_page_count=%d", pages);
    sqlite3 *db = dbk_model_handle(f->engine->asyncs->items[0].model);
    assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
}

/* The disk fills up in the middle of a write: it is no failure of the engine, and passes. */
static void test_a_disk_that_fills_up(void **state)
{
    engine_fixture *f = *state;
    char customer[3000];
    memset(customer, 'c', sizeof customer - 1);
    put(f, "o1", "ann", 10);
    set_most_pages(f, 1);
    for (int i = 0; i < 4; i++) {
        char id[8], command[3200];
        customer[0] = (char)('a' + i);
        customer[sizeof customer - 1] = 0;
        snprintf(id, sizeof id, "p%d", i);
        snprintf(command, sizeof command,
                 "{\"id\":\"%s\",\"do\":\"put\",\"table\":\"orders\",\"key\":\"%s\",\"data\":{\"customer\":\"%.2000s\","
                 "\"total\":1}}",
                 id, id, customer);
        must_accept(f, command);
    }
    says(f, list, "\"state\":\"paused\"");
    says(f, list, "\"trouble\":{\"error\":\"no_space\"");
    set_most_pages(f, 1000000);
    put(f, "o2", "ann", 10);
    says(f, list, "\"state\":\"running\",\"position\":7,\"behind\":0");
}

static bool is_full;

static int make_dir_if_there_is_room(void *ctx, dbk_dir *dir, const char *name, uint32_t mode)
{
    return is_full ? -ENOSPC : dbk_port_system()->make_dir(ctx, dir, name, mode);
}

/* A disk without room keeps a model from being built, and nothing else; with room it goes on by itself. */
static void test_a_full_disk(void **state)
{
    engine_fixture *f = *state;
    dbk_port port = *dbk_port_system();
    char name[200];
    port.make_dir = make_dir_if_there_is_room;
    put(f, "o1", "ann", 10);
    dbk_engine_close(f->engine);
    f->options.port = &port;
    fixture_open(f);
    file_of_model(f, name);
    file_remove(f->path, name);
    is_full = true;
    put(f, "o2", "ann", 10);
    says(f, list, "\"state\":\"paused\",");
    says(f, list, "\"trouble\":{\"error\":\"no_space\"");
    says(f, totals, "unavailable: the model 'stats' cannot be built");
    put(f, "o3", "ann", 10);
    is_full = false;
    put(f, "o4", "ann", 10);
    says(f, list, "\"state\":\"running\",\"position\":5,\"behind\":0");
    says(f, totals, "[[\"ann\",40]]");
    dbk_engine_close(f->engine);
    f->options.port = NULL;
    fixture_open(f);
}

/* Whoever only reads sees what was left, and folds what is not there. */
static void test_reading_only(void **state)
{
    engine_fixture *f = *state;
    put(f, "o1", "ann", 10);
    put(f, "big", "ann", 5000);
    dbk_engine_close(f->engine);
    f->options.read_only = true;
    fixture_open(f);
    says(f, totals, "[[\"ann\",10]]");
    says(f, list, "\"state\":\"failed\",\"position\":2,\"behind\":1,\"failed\":{\"position\":3,");
    says(f, "{\"do\":\"model.retry\",\"model\":\"stats\"}", "read_only");
    dbk_engine_close(f->engine);
    folder_remove(f->path, "models/async-stats");
    fixture_open(f);
    says(f, totals, "[[\"ann\",10]]");
}

/* ---- definitions */

static void write_app(const engine_fixture *f, const char *name, const char *stats, char path[4300])
{
    char inner[4400];
    snprintf(path, 4300, "%s/%s", f->folder, name);
    folder_make(f->folder, name);
    file_write(path, "schema.sql", schema, strlen(schema));
    if (!stats) {
        const char plain[] = "{\"daybook\": 1, \"name\": \"shop\"}";
        file_write(path, "app.json", plain, strlen(plain));
        return;
    }
    file_write(path, "app.json", app_json, strlen(app_json));
    snprintf(inner, sizeof inner, "%s/stats", path);
    folder_make(path, "stats");
    file_write(inner, "schema.sql", stats_schema, strlen(stats_schema));
    file_write(inner, "projections.sql", stats, strlen(stats));
    file_write(inner, "queries.sql", stats_queries, strlen(stats_queries));
}

static void upgrade(engine_fixture *f, const char *app, const char *more, const char *part)
{
    char request[4600];
    snprintf(request, sizeof request, "{\"do\":\"upgrade\",\"app\":\"%s\"%s}", app, more);
    says(f, request, part);
}

/* A model comes, changes and goes; the inline model is the same file of the same generation all the while. */
static void test_a_model_comes_changes_and_goes(void **state)
{
    engine_fixture *f = calloc(1, sizeof *f);
    char plain[4300], with[4300], other[4300];
    (void)state;
    f->folder = temporary_dir();
    snprintf(f->path, sizeof f->path, "%s/t.daybook", f->folder);
    f->options = (dbk_engine_options){.no_threads = true};
    f->now_ms = 1700000000000;
    write_app(f, "plain", NULL, plain);
    write_app(f, "with", stats_projections, with);
    write_app(
        f, "other",
        "-- on orders.put\nINSERT INTO totals(customer, sum) VALUES ($customer, 1) ON CONFLICT(customer) DO UPDATE "
        "SET sum = sum + 1;\n",
        other);
    assert_int_equal(dbk_engine_create(f->path, plain, &f->options, NULL, &f->error), DBK_OK);
    fixture_open(f);
    put(f, "o1", "ann", 10);
    put(f, "o2", "ann", 10);
    char *before = ask_of(f->engine, "{\"do\":\"fingerprint\"}");
    upgrade(f, with, ",\"dry_run\":true", "\"upgraded\":false");
    says(f, "{\"do\":\"models\"}", "\"models\":[{\"model\":\"main\"");
    upgrade(f, with, "", "\"upgraded\":true");
    says(f, totals, "[[\"ann\",20]]");
    upgrade(f, with, "", "\"same\":true");
    upgrade(f, other, "", "\"upgraded\":true");
    says(f, totals, "[[\"ann\",2]]");
    reopen(f);
    says(f, totals, "[[\"ann\",2]]");
    says(f, list, "\"builds\":0");
    char *after = ask_of(f->engine, "{\"do\":\"fingerprint\"}");
    assert_string_equal(before, after);
    says(f, "{\"do\":\"log\"}", "daybook.definition");
    upgrade(f, plain, "", "\"upgraded\":true");
    says(f, totals, "no such table: totals");
    assert_false(file_exists(f->path, "models/async-stats"));
    says(f, "{\"do\":\"status\"}", "\"generation\":1,");
    free(before);
    free(after);
    dbk_engine_close(f->engine);
    remove_temporary_dir(f->folder);
    free(f);
}

static size_t entries_of(const char *folder, const char *name)
{
    DIR *dir = opendir(path_in(folder, name).text);
    size_t count = 0;
    assert_non_null(dir);
    for (const struct dirent *entry; (entry = readdir(dir));) count += entry->d_name[0] != '.';
    closedir(dir);
    return count;
}

/* Its file has another name from now on: the model of before is one of ours all the same, and goes. */
static void test_its_file_gets_another_name(void **state)
{
    static const char renamed[] = "{\"daybook\": 1, \"name\": \"shop\", \"models\": {\"stats\": {\"mode\": \"async\", "
                                  "\"file\": \"numbers.db\"}}}";
    engine_fixture *f = *state;
    char app[4300], file[200];
    put(f, "o1", "ann", 10);
    write_app(f, "renamed", stats_projections, app);
    file_write(app, "app.json", renamed, strlen(renamed));
    upgrade(f, app, "", "\"upgraded\":true");
    says(f, totals, "[[\"ann\",10]]");
    file_of_model(f, file);
    assert_string_equal(strrchr(file, '/'), "/stats.sqlite"); /* of its folder; the file is the new one */
    memcpy(strrchr(file, '/'), "/numbers.db", sizeof "/numbers.db");
    assert_true(file_exists(f->path, file));
    assert_int_equal(entries_of(f->path, "models/async-stats"), 2); /* `current`, and what it names */
}

static int dies_at(void *arg, dbk_engine *engine, const char *point, dbk_slice command_id)
{
    (void)engine;
    (void)command_id;
    return strcmp(arg, point) == 0;
}

/* Whatever step the process dies in, opening has the one definition or the other, and its model whole. */
static void test_a_crash_in_an_upgrade_of_a_model(void **state)
{
    static const struct {
        char point[16];
        bool second;
    } steps[] = {{"staged", false}, {"app", true}};
    (void)state;
    for (size_t i = 0; i < sizeof steps / sizeof *steps; i++) {
        engine_fixture *f = calloc(1, sizeof *f);
        char with[4300], other[4300];
        f->folder = temporary_dir();
        snprintf(f->path, sizeof f->path, "%s/t.daybook", f->folder);
        f->options = (dbk_engine_options){.no_threads = true};
        f->now_ms = 1700000000000;
        write_app(f, "with", stats_projections, with);
        write_app(f, "other", "-- on orders.put\nINSERT INTO totals(customer, sum) VALUES ($id, 1);\n", other);
        assert_int_equal(dbk_engine_create(f->path, with, &f->options, NULL, &f->error), DBK_OK);
        fixture_open(f);
        put(f, "o1", "ann", 10);
        dbk_engine_close(f->engine);
        f->options.hook = dies_at;
        f->options.hook_arg = (void *)steps[i].point;
        fixture_open(f);
        upgrade(f, other, "", "unavailable: stopped");
        dbk_engine_close(f->engine);
        f->options.hook = NULL;
        fixture_open(f);
        says(f, totals, steps[i].second ? "[[\"o1\",1]]" : "[[\"ann\",10]]");
        assert_false(file_exists(f->path, "app.new"));
        upgrade(f, other, "", steps[i].second ? "\"same\":true" : "\"upgraded\":true");
        says(f, totals, "[[\"o1\",1]]");
        dbk_engine_close(f->engine);
        remove_temporary_dir(f->folder);
        free(f);
    }
}

/* ---- facts of others */

static void test_late_facts_and_skips_of_others(void **state)
{
    world w;
    facts f = {.count = 0};
    uint64_t logged = 0, parked = 0;
    dbk_source sources[SOURCES];
    (void)state;
    sources_of(sources);
    world_start(&w, 7);
    for (size_t i = 0; i < WORLD_STORES; i++) dbk_engine_close(w.engines[i]);
    dbk_definition *definition = definition_of_sources(sources, SOURCES);
    for (size_t i = 0; i < WORLD_STORES; i++) {
        remove_temporary_dir(strdup(w.paths[i]));
        w.options[i].definition = definition;
        assert_int_equal(dbk_engine_create(w.paths[i], NULL, &w.options[i], NULL, &w.error), DBK_OK);
        world_open(&w, i);
    }
    world_accept(&w, 0,
                 "{\"id\":\"a1\",\"do\":\"put\",\"table\":\"orders\",\"key\":\"a1\",\"data\":{\"customer\":"
                 "\"ann\",\"total\":10}}");
    w.now_ms[1] += 60000;
    world_accept(&w, 1,
                 "{\"id\":\"b1\",\"do\":\"append\",\"stream\":\"order/a1\",\"type\":\"order.paid\",\"data\":{"
                 "\"by\":\"ann\",\"paid\":4}}");
    world_contains(&w, 1, list, "order.paid changes no row");
    facts_take(&f, &w, 0, 1); /* it sorts before, and cures it */
    assert_int_equal(facts_deliver(&f, &w, 1, &logged, &parked), DBK_OK);
    assert_int_equal(logged, 1);
    world_contains(&w, 1, list, "\"state\":\"running\",\"position\":2");
    world_contains(&w, 1, totals, "[[\"ann\",6]]");
    facts_clear(&f);
    w.now_ms[1] += 1000;
    world_accept(&w, 1,
                 "{\"id\":\"b2\",\"do\":\"put\",\"table\":\"orders\",\"key\":\"b2\",\"data\":{\"customer\":"
                 "\"ann\",\"total\":9999}}");
    world_contains(&w, 1, "{\"do\":\"model.skip\",\"model\":\"stats\"}", "\"state\":\"running\"");
    for (uint64_t p = 1; p <= dbk_log_position(dbk_engine_log(w.engines[1])); p++) facts_take(&f, &w, 1, p);
    w.now_ms[2] = dbk_port_system()->wall_ms(dbk_port_system()->ctx); /* at which the skip was written */
    assert_int_equal(facts_deliver(&f, &w, 2, &logged, &parked), DBK_OK);
    assert_int_equal(parked, 0);
    world_contains(&w, 2, list, "\"state\":\"running\"");
    world_contains(&w, 2, totals, "[[\"ann\",6]]");
    facts_clear(&f);
    world_stop(&w);
    dbk_definition_free(definition);
}

/* Named like the folder of a model that the definition does not have: only what the engine makes there is deleted. */
static void test_what_is_not_of_a_model_that_went_stays(void **state)
{
    engine_fixture *f = *state;
    struct stat info;
    dbk_engine_close(f->engine);
    f->engine = NULL;
    assert_int_equal(mkfifo(path_in(f->path, "models/async-pipe").text, 0600), 0);
    folder_make(f->path, "models/async-mine");
    file_write(f->path, "models/async-mine/letter", "mine", 4);
    file_write(f->path, "models/async-mine/current", "00000001", 8);
    folder_make(f->path, "models/async-links");
    assert_int_equal(symlink("nowhere", path_in(f->path, "models/async-links/state").text), 0);
    folder_make(f->path, "models/async-gone");
    file_write(f->path, "models/async-gone/state", "{}", 2);
    folder_make(f->path, "models/async-gone/00000001");
    file_write(f->path, "models/async-gone/00000001/gone.sqlite", "", 0);
    folder_make(f->path, "models/async-held");
    folder_make(f->path, "models/async-held/00000001");
    file_write(f->path, "models/async-held/00000001/letter", "of nobody's making but mine", 27);
    for (int i = 0; i < 2; i++) {
        fixture_open(f);
        says(f, "{\"do\":\"stats\"}", "models/async-pipe.aside-1");
        assert_int_equal(lstat(path_in(f->path, "models/async-pipe.aside-1").text, &info), 0);
        assert_true(S_ISFIFO(info.st_mode));
        assert_true(file_exists(f->path, "models/async-mine.aside-1/letter"));
        assert_false(file_exists(f->path, "models/async-mine.aside-1/current"));
        assert_int_equal(lstat(path_in(f->path, "models/async-links.aside-1/state").text, &info), 0);
        assert_false(file_exists(f->path, "models/async-gone"));
        assert_false(file_exists(f->path, "models/async-gone.aside-1"));
        assert_true(file_exists(f->path, "models/async-held.aside-1/00000001.aside-1/letter"));
        if (i == 0) dbk_engine_close(f->engine);
    }
}

/* Whatever stands where its folder or a file of it was: put aside, and the model is built anew. */
static void test_what_stands_in_its_way_is_put_aside(void **state)
{
    static const char *const names[] = {"models/async-stats", "models/async-stats/current", "models/async-stats/state"};
    engine_fixture *f = *state;
    put(f, "o1", "ann", 10);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char aside[100];
        struct stat info;
        dbk_engine_close(f->engine);
        f->engine = NULL;
        if (file_exists(f->path, names[i])) file_move(f->path, names[i], "kept");
        assert_int_equal(mkfifo(path_in(f->path, names[i]).text, 0600), 0);
        fixture_open(f);
        says(f, totals, "\"rows\":[[\"ann\",10]]");
        snprintf(aside, sizeof aside, "%s.aside-1", names[i]);
        says(f, "{\"do\":\"stats\"}", aside);
        assert_int_equal(lstat(path_in(f->path, aside).text, &info), 0);
        assert_true(S_ISFIFO(info.st_mode));
        if (file_exists(f->path, "kept"))
            assert_int_equal(nftw(path_in(f->path, "kept").text, remove_one, 16, FTW_DEPTH | FTW_PHYS), 0);
    }
    reopen(f); /* nor is it deleted with the folders of models that are no more */
    says(f, "{\"do\":\"stats\"}", "models/async-stats.aside-1");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_it_follows_the_log, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_delete_offers_its_key, setup, teardown),
        cmocka_unit_test_setup_teardown(test_as_of_and_replay, setup, teardown),
        cmocka_unit_test_setup_teardown(test_it_stops_at_what_it_refuses, setup, teardown),
        cmocka_unit_test_setup_teardown(test_it_stops_at_the_first_entry, setup, teardown),
        cmocka_unit_test_setup_teardown(test_skip_and_unskip, setup, teardown),
        cmocka_unit_test_setup_teardown(test_pause_outlives_the_process, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_deleted_file_is_built_anew, setup, teardown),
        cmocka_unit_test_setup_teardown(test_damage_and_swapped_files, setup, teardown),
        cmocka_unit_test_setup_teardown(test_what_stands_in_its_way_is_put_aside, setup, teardown),
        cmocka_unit_test_setup_teardown(test_what_is_not_of_a_model_that_went_stays, setup, teardown),
        cmocka_unit_test_setup_teardown(test_it_heals_while_it_serves, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_disk_that_fills_up, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_full_disk, setup, teardown),
        cmocka_unit_test_setup_teardown(test_reading_only, setup, teardown),
        cmocka_unit_test(test_a_model_comes_changes_and_goes),
        cmocka_unit_test_setup_teardown(test_its_file_gets_another_name, setup, teardown),
        cmocka_unit_test(test_a_crash_in_an_upgrade_of_a_model),
        cmocka_unit_test(test_late_facts_and_skips_of_others),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
