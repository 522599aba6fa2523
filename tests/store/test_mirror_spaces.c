/* Namespaces of a template: each has a row, and a file that comes with it, and only names that fit are one. */
#include "tests/store/mirror_fixture.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <time.h>

static const char app[] =
    "{\"daybook\":1,\"name\":\"set\",\"settings\":{"
    "\"plugin:{id}\":{\"table\":\"settings\",\"mirror\":\"plugins/{id}/data.json\",\"schema\":\"plugin\","
    "\"defaults\":{\"font\":{\"size\":9}}},"
    "\"plugin:core\":{\"table\":\"settings\",\"mirror\":\"plugins/core/data.json\"},"
    "\"plugin:x:{id}\":{\"table\":\"settings\"},"
    "\"theme:{name}\":{\"table\":\"settings\",\"row\":\"t/{name}!\",\"mirror\":\"themes/{name}.json\"},"
    "\"scope:{s}\":{\"table\":\"prefs\",\"where\":{\"scope\":\"\\u007bs}-{s}\"},\"defaults\":{\"a\":1}},"
    "\"ui\":{\"table\":\"settings\",\"mirror\":\"ui.json\"}}}";
static const char schema[] =
    "CREATE TABLE settings(name TEXT PRIMARY KEY NOT NULL, value JSON);\n"
    "CREATE TABLE prefs(scope TEXT NOT NULL, name TEXT NOT NULL, value JSON, PRIMARY KEY(scope, name));\n";
static const char plugin[] = "{\"properties\":{\"font\":{\"properties\":{\"size\":{\"type\":\"integer\"}}}}}";

static int setup(void **state)
{
    dbk_source sources[] = {{"app.json", dbk_slice_text(app)},
                            {"schema.sql", dbk_slice_text(schema)},
                            {"schemas/plugin.json", dbk_slice_text(plugin)}};
    return start(state, sources, 3);
}

static const char *name_of(const engine_fixture *f, const char *name)
{
    static char path[4400];
    snprintf(path, sizeof path, "%s/%s", f->path, name);
    return path;
}

static bool is_there(const engine_fixture *f, const char *name)
{
    return access(name_of(f, name), F_OK) == 0;
}

/* As if it had been written a while ago. */
static void let_rest(const engine_fixture *f, const char *name)
{
    struct timespec times[2] = {{.tv_sec = time(NULL) - 100}, {.tv_sec = time(NULL) - 100}};
    assert_int_equal(utimensat(AT_FDCWD, name_of(f, name), times, 0), 0);
}

static void write_file(const engine_fixture *f, const char *name, const char *text)
{
    FILE *file = fopen(name_of(f, name), "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static void expect_file(const engine_fixture *f, const char *name, const char *text)
{
    char found[4096];
    FILE *file = fopen(name_of(f, name), "r");
    if (!file) print_error("%s\n", name);
    assert_non_null(file);
    found[fread(found, 1, sizeof found - 1, file)] = 0;
    fclose(file);
    assert_string_equal(found, text);
}

static bool answers(engine_fixture *f, const char *ask, const char *part)
{
    dbk_store *store;
    dbk_text answer = {0};
    assert_int_equal(dbk_engine_wrap(f->engine, &store, &f->error), DBK_OK);
    assert_int_equal(dbk_do(store, ask, strlen(ask), &answer, &f->error), DBK_OK);
    bool found = strstr(answer.data, part) != NULL;
    if (!found) print_message("%s\n", answer.data);
    dbk_text_free(&answer);
    dbk_free(dbk_port_system(), store);
    return found;
}

#define SET(id, space, path, value)                                                                                    \
    "{\"id\":\"" id "\",\"do\":\"set\",\"namespace\":\"" space "\",\"path\":\"" path "\",\"value\":" value "}"
#define GET(space)    "{\"do\":\"get\",\"namespace\":\"" space "\"}"
#define ROW(key)      "{\"do\":\"get\",\"table\":\"settings\",\"key\":\"" key "\"}"
#define STATUS        "{\"do\":\"status\"}"
#define SPACE_65      "plugin:yx234567890123456789012345678901234567890123456789012345678901234"
#define VALUE_64      "x234567890123456789012345678901234567890123456789012345678901234"
#define NO_SPACE      "there are no settings"
#define RESET(id, ns) "{\"id\":\"" id "\",\"do\":\"reset\",\"namespace\":\"" ns "\"}"

static void each_has_a_row_of_its_own(void **state)
{
    engine_fixture *f = *state;
    must_accept(f, SET("1", "plugin:dict", "font.size", "12"));
    must_accept(f, SET("2", "plugin:Dict", "font.size", "13"));
    must_accept(f, SET("3", "plugin:core", "font.size", "\"any\"")); /* by its own rule, which has no schema */
    must_accept(f, SET("4", "plugin:x:dict", "font", "\"any\""));
    must_accept(f, SET("5", "theme:dark", "c", "1"));
    must_accept(f, SET("6", "scope:q", "a", "5"));
    must_accept(f, SET("7", "plugin:" VALUE_64, "a", "1"));
    assert_true(answers(f, GET("plugin:dict"), "\"value\":{\"font\":{\"size\":12}}"));
    assert_true(answers(f, GET("plugin:other"), "\"value\":{\"font\":{\"size\":9}},\"set\":false"));
    assert_true(answers(f, ROW("plugin:Dict"), "\"value\":{\"font\":{\"size\":13}}"));
    assert_true(answers(f, ROW("plugin:x:dict"), "\"value\":{\"font\":\"any\"}"));
    assert_true(answers(f, ROW("t/dark!"), "\"value\":{\"c\":1}"));
    assert_true(answers(f, "{\"do\":\"get\",\"table\":\"prefs\",\"key\":[\"q-q\",\"a\"]}", "\"value\":5"));
    assert_true(answers(f, GET("scope:q"), "\"value\":{\"a\":5}"));
    assert_true(answers(f, GET("scope:r"), "\"value\":{\"a\":1}"));
    must_refuse(f, SET("8", "plugin:dict", "font.size", "\"big\""), "schema", "settings 'plugin:dict'");
    must_accept(f, "{\"id\":\"9\",\"do\":\"unset\",\"namespace\":\"plugin:dict\",\"path\":\"font.size\"}");
    must_refuse(f, "{\"id\":\"10\",\"do\":\"unset\",\"namespace\":\"plugin:dict\",\"path\":\"font.size\"}", "not_found",
                "in 'plugin:dict'");
    must_accept(f, RESET("11", "plugin:dict"));
    must_accept(f, RESET("12", "scope:q"));
    assert_true(answers(f, ROW("plugin:dict"), "\"not_found\""));
    assert_true(answers(f, ROW("plugin:Dict"), "\"value\":{\"font\":{\"size\":13}}"));
    assert_true(answers(f, GET("scope:q"), "\"value\":{\"a\":1}"));
}

static void what_is_no_value_names_no_namespace(void **state)
{
    static const char *const names[] = {"plugin:",    "plugin:.x",      "plugin:-x",  "plugin:a/b",
                                        "plugin:a b", "plugin:{id}",    "plugin:a:b", "plugin:\xc3\xa4",
                                        SPACE_65,     "plugin:a\\u0000"};
    engine_fixture *f = *state;
    char command[300];
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        snprintf(command, sizeof command,
                 "{\"id\":\"%zu\",\"do\":\"set\",\"namespace\":\"%s\",\"path\":\"a\",\"value\":1}", i, names[i]);
        must_refuse(f, command, "unknown_field", NO_SPACE);
        must_refuse(f, command, "unknown_field", "of 'plugin:{id}', {id} is 1 to 64 letters");
    }
    must_refuse(f, SET("n", "plugn:dict", "a", "1"), "unknown_field", NO_SPACE);
    must_refuse(f, SET("n", "uix", "a", "1"), "unknown_field", "did you mean 'ui'?");
    look(f);
    assert_int_equal(dbk_log_position(dbk_engine_log(f->engine)), 0);
    assert_false(is_there(f, "files/plugins/dict"));
}

static void files_come_with_rows_and_edits_are_taken(void **state)
{
    engine_fixture *f = *state;
    look(f);
    must_accept(f, SET("1", "plugin:dict", "font.size", "12"));
    must_accept(f, SET("2", "plugin:core", "x", "1"));
    must_accept(f, SET("3", "theme:dark", "c", "1"));
    look(f);
    expect_file(f, "files/plugins/dict/data.json", "{\n  \"font\": {\n    \"size\": 12\n  }\n}\n");
    expect_file(f, "files/plugins/core/data.json", "{\n  \"x\": 1\n}\n");
    expect_file(f, "files/themes/dark.json", "{\n  \"c\": 1\n}\n");
    assert_true(is_there(f, "mirrors/=plugin=3adict.json"));
    assert_true(is_there(f, "mirrors/plugin:core.json"));
    assert_false(is_there(f, "mirrors/=plugin=3acore.json"));
    write_file(f, "files/plugins/dict/data.json", "{\"mine\":true}");
    write_file(f, "files/themes/dark.json", "{\"c\":[2");
    look(f);
    assert_true(answers(f, ROW("plugin:dict"), "\"value\":{\"mine\":true}"));
    expect_file(f, "files/themes/dark.json.rejected", "{\"c\":[2");
    assert_true(answers(f, STATUS, "\"mirrors_rejected\":[\"themes/dark.json\"]"));
    must_accept(f, RESET("4", "plugin:dict"));
    look(f);
    expect_file(f, "files/plugins/dict/data.json", "{}\n");
    /* with its base it is known again, also without a row, and edits between are taken */
    dbk_engine_close(f->engine);
    write_file(f, "files/plugins/dict/data.json", "{\"again\":1}");
    fixture_open(f);
    look(f);
    assert_true(answers(f, ROW("plugin:dict"), "\"value\":{\"again\":1}"));
}

/* A plugin that is gone leaves nothing behind that comes again. */
static void without_row_and_file_it_is_forgotten(void **state)
{
    engine_fixture *f = *state;
    for (int folder = 0; folder < 2; folder++) {
        must_accept(f, folder ? SET("1", "plugin:dict", "a", "1") : SET("2", "plugin:dict", "a", "1"));
        look(f);
        assert_int_equal(remove(name_of(f, "files/plugins/dict/data.json")), 0);
        look(f);
        expect_file(f, "files/plugins/dict/data.json", "{\n  \"a\": 1\n}\n"); /* something is set */
        must_accept(f, folder ? RESET("3", "plugin:dict") : RESET("4", "plugin:dict"));
        look(f);
        assert_int_equal(remove(name_of(f, "files/plugins/dict/data.json")), 0);
        if (folder) assert_int_equal(remove(name_of(f, "files/plugins/dict")), 0);
        look(f);
        look(f);
        assert_false(is_there(f, folder ? "files/plugins/dict" : "files/plugins/dict/data.json"));
        assert_false(is_there(f, "mirrors/=plugin=3adict.json"));
    }
    must_accept(f, SET("5", "plugin:dict", "a", "2"));
    look(f);
    expect_file(f, "files/plugins/dict/data.json", "{\n  \"a\": 2\n}\n");
    assert_int_equal(remove(name_of(f, "files/ui.json")), 0);
    look(f);
    assert_true(is_there(f, "files/ui.json")); /* of no template */
}

static void of_names_that_differ_in_case_one_has_a_file(void **state)
{
    engine_fixture *f = *state;
    must_accept(f, SET("1", "plugin:dict", "a", "1"));
    look(f);
    must_accept(f, SET("2", "plugin:Dict", "a", "2"));
    must_accept(f, SET("3", "plugin:CORE", "a", "3"));
    for (int i = 0; i < 2; i++) {
        look(f);
        expect_file(f, "files/plugins/dict/data.json", "{\n  \"a\": 1\n}\n");
        assert_false(is_there(f, "files/plugins/Dict"));
        assert_false(is_there(f, "files/plugins/CORE"));
        assert_true(answers(f, STATUS, "\"plugins/Dict/data.json\":\"'plugin:Dict' has no file"));
        assert_true(answers(f, STATUS, "\"plugins/CORE/data.json\":\"'plugin:CORE' has no file"));
        dbk_engine_close(f->engine);
        fixture_open(f);
    }
    must_accept(f, RESET("4", "plugin:dict"));
    look(f);
    assert_int_equal(remove(name_of(f, "files/plugins/dict/data.json")), 0);
    look(f);
    look(f);
    expect_file(f, "files/plugins/Dict/data.json", "{\n  \"a\": 2\n}\n");
    assert_true(is_there(f, "mirrors/=plugin=3a=dict.json"));
}

/* A base that somebody else put there names no namespace. */
static void other_files_among_the_bases_are_none(void **state)
{
    static const char *const names[] = {"=plugin=3aDict.json",
                                        "=plugin=3a=1.json",
                                        "=plugin:dict.json",
                                        "=.json",
                                        "=",
                                        "=plugin=3a.json",
                                        "=ui.json",
                                        "=plugin=3a=",
                                        "plugin=3adict.json",
                                        "=scope=3aa.json",
                                        "=plugin=3acore.json"};
    engine_fixture *f = *state;
    char path[200];
    dbk_engine_close(f->engine);
    (void)mkdir(name_of(f, "mirrors"), 0700);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        snprintf(path, sizeof path, "mirrors/%s", names[i]);
        write_file(f, path, "{}");
    }
    fixture_open(f);
    look(f);
    assert_true(is_there(f, "files/plugins/core/data.json"));
    assert_false(is_there(f, "files/plugins/dict"));
    assert_false(is_there(f, "files/plugins/Dict"));
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        snprintf(path, sizeof path, "mirrors/%s", names[i]);
        if (i != 2) assert_true(is_there(f, path));
    }
}

/* ---- many */

/* A port that counts what a look does, and syncs nothing. */
typedef struct counting_port {
    dbk_port port;
    size_t files, allocs;
    int64_t now_ms; /* its clock stands */
} counting_port;

static int counted_open(void *ctx, dbk_dir *dir, const char *name, int flags, uint32_t mode, dbk_file **out)
{
    ((counting_port *)ctx)->files++;
    return dbk_port_system()->open_file(NULL, dir, name, flags, mode, out);
}

static void *counted_alloc(void *ctx, size_t size)
{
    ((counting_port *)ctx)->allocs++;
    return dbk_port_system()->alloc(NULL, size);
}

static int64_t standing(void *ctx)
{
    return ((counting_port *)ctx)->now_ms;
}

static int no_sync(void *ctx, dbk_file *file)
{
    (void)ctx, (void)file;
    return 0;
}

static int no_sync_dir(void *ctx, dbk_dir *dir)
{
    (void)ctx, (void)dir;
    return 0;
}

static void count_on(engine_fixture *f, counting_port *counting)
{
    *counting = (counting_port){.port = *dbk_port_system(), .now_ms = dbk_port_system()->wall_ms(NULL)};
    counting->port.ctx = counting;
    counting->port.open_file = counted_open;
    counting->port.alloc = counted_alloc;
    counting->port.wall_ms = standing;
    counting->port.sync_file = no_sync;
    counting->port.sync_dir = no_sync_dir;
    dbk_engine_close(f->engine);
    f->options.port = &counting->port;
    fixture_open(f);
}

static void count_off(engine_fixture *f)
{
    dbk_engine_close(f->engine);
    f->options.port = NULL;
    fixture_open(f);
}

static void a_look_at_what_did_not_change_is_cheap(void **state)
{
    engine_fixture *f = *state;
    counting_port counting;
    count_on(f, &counting);
    must_accept(f, SET("1", "plugin:dict", "a", "1"));
    look(f);
    static const char *const files[] = {"files/plugins/dict/data.json", "files/plugins/core/data.json",
                                        "files/ui.json"};
    for (size_t i = 0; i < 3; i++) let_rest(f, files[i]);
    look(f);
    counting.files = counting.allocs = 0;
    look(f);
    assert_int_equal(counting.files, 0);
    assert_true(counting.allocs <= 2);                                   /* of the report */
    write_file(f, "files/plugins/dict/data.json", "{\n  \"a\": 2\n}\n"); /* as long as it was */
    look(f);
    assert_true(answers(f, ROW("plugin:dict"), "\"value\":{\"a\":2}"));
    look(f);
    let_rest(f, files[0]);
    look(f);
    look(f);
    must_accept(f, SET("2", "plugin:dict", "a", "3"));
    look(f);
    expect_file(f, "files/plugins/dict/data.json", "{\n  \"a\": 3\n}\n");
    /* one that was changed a moment ago is read again, whatever its clock says */
    look(f);
    counting.files = 0;
    look(f);
    assert_true(counting.files > 0);
    count_off(f);
}

static void beyond_a_thousand_it_is_told(void **state)
{
    enum { MOST = 1000, TURN = 50 };
    engine_fixture *f = *state;
    counting_port counting;
    char texts[TURN][120], name[80];
    const char *commands[TURN];
    char *receipts[TURN];
    count_on(f, &counting);
    for (int from = 0; from < MOST; from += TURN) {
        for (int i = 0; i < TURN; i++) {
            snprintf(texts[i], sizeof texts[i],
                     "{\"id\":\"p%d\",\"do\":\"set\",\"namespace\":\"plugin:p%d\",\"path\":\"a\",\"value\":%d}",
                     from + i, from + i, i);
            commands[i] = texts[i];
        }
        decide_turn(f, commands, TURN, receipts);
        for (int i = 0; i < TURN; i++) free(receipts[i]);
    }
    look(f);
    for (int i = 0; i < MOST; i++) {
        snprintf(name, sizeof name, "files/plugins/p%d/data.json", i);
        assert_true(is_there(f, name));
    }
    assert_false(answers(f, STATUS, "mirror_faults"));
    must_accept(f, SET("more", "theme:dark", "a", "1"));
    look(f);
    assert_false(is_there(f, "files/themes/dark.json"));
    assert_true(
        answers(f, STATUS, "\"themes/{name}.json\":\"more than 1000 'theme:{name}': the others have no file\""));
    must_accept(f, RESET("less", "plugin:p7"));
    look(f);
    assert_int_equal(remove(name_of(f, "files/plugins/p7/data.json")), 0);
    look(f);
    look(f);
    assert_true(is_there(f, "files/themes/dark.json"));
    assert_false(answers(f, STATUS, "mirror_faults"));
    count_off(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(each_has_a_row_of_its_own, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_no_value_names_no_namespace, setup, teardown),
        cmocka_unit_test_setup_teardown(files_come_with_rows_and_edits_are_taken, setup, teardown),
        cmocka_unit_test_setup_teardown(without_row_and_file_it_is_forgotten, setup, teardown),
        cmocka_unit_test_setup_teardown(of_names_that_differ_in_case_one_has_a_file, setup, teardown),
        cmocka_unit_test_setup_teardown(other_files_among_the_bases_are_none, setup, teardown),
        cmocka_unit_test_setup_teardown(a_look_at_what_did_not_change_is_cheap, setup, teardown),
        cmocka_unit_test_setup_teardown(beyond_a_thousand_it_is_told, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
