/* Settings by path: what counts is what was set, else the default; a change writes what differs and nothing else. */
#include "tests/store/engine_fixture.h"

static const char app[] =
    "{\"daybook\":1,\"name\":\"set\",\"settings\":{"
    "\"ui\":{\"table\":\"settings\",\"defaults\":{\"theme\":\"light\",\"editor\":{\"font\":"
    "\"mono\",\"size\":12}},\"schema\":\"ui.json\"},"
    "\"paths\":{\"table\":\"settings\",\"row\":\"p\"},"
    "\"tool:{id}\":{\"table\":\"settings\",\"schema\":\"plug\"},"
    "\"box:{id}\":{\"table\":\"prefs\",\"where\":{\"scope\":\"box-{id}\"},\"schema\":\"plug\"},"
    "\"flags\":{\"table\":\"flags\",\"where\":{ }},"
    "\"plugin\":{\"table\":\"prefs\",\"key\":\"name\",\"where\":{\"scope\":\"plugin\"},\"schema\":\"plug\","
    "\"defaults\":{\"a\":{\"on\":true}}}}}";
static const char schema[] = "CREATE TABLE settings(name TEXT PRIMARY KEY NOT NULL, value JSON);\n"
                             "CREATE TABLE flags(name TEXT PRIMARY KEY NOT NULL, value JSON);\n"
                             "CREATE TABLE prefs(scope TEXT NOT NULL, name TEXT NOT NULL, value JSON, PRIMARY "
                             "KEY(scope, name)) WITHOUT ROWID;\n";
static const char ui[] = "{\"properties\":{\"theme\":{\"enum\":[\"light\",\"dark\"]},\"editor\":{\"properties\":{"
                         "\"size\":{\"type\":\"integer\",\"minimum\":6}}}}}";

static const char plug[] = "{\"properties\":{\"level\":{\"maximum\":9}}}";
static const char commands[] = "-- command ui.write(document JSON)\n-- put settings\n"
                               "SELECT 'ui' AS name, :document AS value;\n";

static int setup(void **state)
{
    dbk_source sources[] = {{"app.json", dbk_slice_text(app)},
                            {"schema.sql", dbk_slice_text(schema)},
                            {"schemas/ui.json", dbk_slice_text(ui)},
                            {"schemas/plug.json", dbk_slice_text(plug)},
                            {"commands.sql", dbk_slice_text(commands)}};
    asked *a = calloc(1, sizeof *a);
    fixture_start_with(&a->f, definition_of_sources(sources, 5));
    asked_wrap(a);
    *state = a;
    return 0;
}

#define SET(id, ns, path, value)                                                                                       \
    "{\"id\":\"" id "\",\"do\":\"set\",\"namespace\":\"" ns "\",\"path\":\"" path "\",\"value\":" value "}"
#define UNSET(id, ns, path) "{\"id\":\"" id "\",\"do\":\"unset\",\"namespace\":\"" ns "\",\"path\":\"" path "\"}"
#define GET(ns, path)       "{\"do\":\"get\",\"namespace\":\"" ns "\",\"path\":\"" path "\"}"

static void what_is_set_counts_before_its_default(void **state)
{
    asked *a = *state;
    asked_contains(a, GET("ui", "editor.size"), "\"value\":12,\"set\":false");
    must_accept(&a->f, SET("1", "ui", "editor.size", "14"));
    asked_contains(a, GET("ui", "editor.size"), "\"value\":14,\"set\":true,\"position\":1");
    asked_contains(a, GET("ui", "editor"), "\"value\":{\"font\":\"mono\",\"size\":14}");
    asked_contains(a, "{\"do\":\"get\",\"namespace\":\"ui\"}",
                   "\"value\":{\"theme\":\"light\",\"editor\":{\"font\":\"mono\",\"size\":14}}");
    must_accept(&a->f, SET("2", "ui", "flags.beta", "false"));
    asked_contains(a, GET("ui", "flags.beta"), "\"value\":false,\"set\":true");
    must_accept(&a->f, UNSET("3", "ui", "editor.size"));
    asked_contains(a, GET("ui", "editor.size"), "\"value\":12,\"set\":false");
    must_refuse(&a->f, UNSET("4", "ui", "editor.size"), "not_found", "nothing is set there in 'ui'");
    asked_contains(a, GET("ui", "nothing"), "\"error\":\"not_found\"");
    must_accept(&a->f, "{\"id\":\"5\",\"do\":\"reset\",\"namespace\":\"ui\"}");
    asked_contains(a, GET("ui", "flags.beta"), "\"error\":\"not_found\"");
    must_accept(&a->f, "{\"id\":\"6\",\"do\":\"reset\",\"namespace\":\"ui\",\"path\":\"theme\"}");
}

static void an_object_replaces_and_only_what_differs_is_logged(void **state)
{
    asked *a = *state;
    must_accept(&a->f, SET("1", "paths", "a", "{\"x\":1,\"y\":{\"z\":[1.10]},\"w\":2}"));
    must_accept(&a->f, SET("2", "paths", "a", "{\"x\":1,\"y\":{\"q\":3}}"));
    asked_contains(a, GET("paths", "a"), "\"value\":{\"x\":1,\"y\":{\"q\":3}}");
    asked_contains(a, "{\"do\":\"get\",\"table\":\"settings\",\"key\":\"p\"}",
                   "\"row\":{\"name\":\"p\",\"value\":{\"a\":{\"x\":1,\"y\":{\"q\":3}}}}");
    must_accept(&a->f, SET("3", "paths", "a.x", "1"));
    asked_contains(a, "{\"do\":\"query\",\"sql\":\"SELECT count(*) FROM events\"}", "[[2]]");
    must_accept(
        &a->f,
        "{\"id\":\"4\",\"do\":\"set\",\"namespace\":\"paths\",\"path\":[\"dotted.name\",\"b\"],\"value\":\"v\"}");
    asked_contains(a, "{\"do\":\"get\",\"namespace\":\"paths\",\"path\":[\"dotted.name\",\"b\"]}", "\"value\":\"v\"");
    must_accept(&a->f, "{\"id\":\"5\",\"do\":\"set\",\"namespace\":\"paths\",\"value\":{\"only\":true}}");
    asked_contains(a, "{\"do\":\"get\",\"namespace\":\"paths\"}", "\"value\":{\"only\":true}");
    must_accept(&a->f, SET("6", "paths", "only.deeper", "1"));
    asked_contains(a, "{\"do\":\"get\",\"namespace\":\"paths\"}", "\"value\":{\"only\":{\"deeper\":1}}");
}

static void a_namespace_may_have_a_row_per_member(void **state)
{
    asked *a = *state;
    must_accept(&a->f, SET("1", "plugin", "b", "7"));
    must_accept(&a->f, SET("2", "plugin", "a.level", "2"));
    asked_contains(a, GET("plugin", "a"), "\"value\":{\"on\":true,\"level\":2}");
    asked_contains(a, "{\"do\":\"get\",\"namespace\":\"plugin\"}",
                   "\"value\":{\"a\":{\"on\":true,\"level\":2},\"b\":7}");
    asked_contains(a, "{\"do\":\"list\",\"table\":\"prefs\"}",
                   "\"rows\":[{\"scope\":\"plugin\",\"name\":\"a\",\"value\":{\"level\":2}},{\"scope\":\"plugin\","
                   "\"name\":\"b\",\"value\":7}]");
    must_accept(&a->f, UNSET("3", "plugin", "b"));
    asked_contains(a, GET("plugin", "b"), "\"error\":\"not_found\"");
    must_accept(&a->f, SET("4", "plugin", "c", "\"x\""));
    must_accept(&a->f, "{\"id\":\"5\",\"do\":\"reset\",\"namespace\":\"plugin\"}");
    asked_contains(a, "{\"do\":\"list\",\"table\":\"prefs\"}", "\"rows\":[]");
    must_refuse(&a->f, "{\"id\":\"6\",\"do\":\"set\",\"namespace\":\"plugin\",\"value\":{}}", "bad_command",
                "'path' names a member");
}

static void what_is_wrong_is_refused(void **state)
{
    asked *a = *state;
    must_refuse(&a->f, SET("1", "ui", "theme", "\"blue\""), "schema",
                "settings 'ui': '/theme' is none of \\\"light\\\", \\\"dark\\\"");
    must_refuse(&a->f, SET("1", "ui", "editor.size", "5"), "schema", "\"errors\":[{\"pointer\":\"/editor/size\"");
    must_refuse(&a->f, SET("1", "ui", "a", "{\"b\":null}"), "schema", "null is no value of a setting");
    must_refuse(&a->f, SET("1", "uI", "a", "1"), "unknown_field", "did you mean 'ui'?");
    must_refuse(&a->f, SET("1", "ui", "a..b", "1"), "bad_command", "'path' is names with dots between");
    must_refuse(&a->f, "{\"id\":\"1\",\"do\":\"set\",\"namespace\":\"ui\",\"value\":7}", "schema", "are an object");
    must_refuse(&a->f, "{\"id\":\"1\",\"do\":\"unset\",\"namespace\":\"ui\"}", "bad_command", "needs 'path'");
    must_refuse(&a->f,
                "{\"id\":\"1\",\"do\":\"batch\",\"commands\":[{\"do\":\"set\",\"namespace\":\"ui\",\"path\":\"theme\","
                "\"value\":\"dark\"},"
                "{\"do\":\"set\",\"namespace\":\"ui\",\"path\":\"theme\",\"value\":\"blue\"}]}",
                "schema", "\"at\":1");
    asked_contains(a, GET("ui", "theme"), "\"value\":\"light\",\"set\":false");
    asked_contains(a, "{\"do\":\"get\",\"key\":\"x\"}", "'get' needs 'table'");
    asked_contains(a, "{\"do\":\"get\",\"table\":\"settings\",\"key\":\"x\",\"path\":\"a\"}",
                   "\"error\":\"bad_command\"");
}

/* No column of the key is fixed: the name is all of it. */
#define WRITE(id, verb, table, key, value)                                                                             \
    "{\"id\":\"" id "\",\"do\":\"" verb "\",\"table\":\"" table "\",\"key\":" key ",\"data\":{\"value\":" value "}}"

static void whoever_writes_its_row_is_judged_as_a_set(void **state)
{
    asked *a = *state;
    must_refuse(&a->f, WRITE("1", "put", "settings", "\"ui\"", "{\"theme\":\"pink\"}"), "schema",
                "\"errors\":[{\"pointer\":\"/theme\"");
    must_refuse(&a->f, WRITE("1", "put", "settings", "\"p\"", "[1]"), "schema", "the settings 'paths' are an object");
    must_refuse(&a->f, "{\"id\":\"1\",\"do\":\"ui.write\",\"args\":{\"document\":{\"theme\":\"pink\"}}}", "schema",
                "settings 'ui': '/theme' is none of");
    must_refuse(&a->f, WRITE("1", "put", "prefs", "[\"plugin\",\"level\"]", "10"), "schema", "settings 'plugin'");
    must_accept(&a->f, WRITE("2", "put", "prefs", "[\"plugin\",\"level\"]", "9"));
    must_refuse(&a->f, WRITE("3", "patch", "prefs", "[\"plugin\",\"level\"]", "10"), "schema", "'/level'");
    must_refuse(&a->f, WRITE("3", "put", "prefs", "[\"plugin\",\"a\"]", "{\"b\":null}"), "schema", "null is no value");
    must_accept(&a->f, WRITE("4", "put", "prefs", "[\"other\",\"level\"]", "10"));
    must_accept(&a->f, WRITE("5", "put", "settings", "\"uI\"", "[1]"));
    must_refuse(&a->f, WRITE("6", "put", "settings", "\"ui\"", "null"), "schema", "the settings 'ui' are an object");
    must_refuse(&a->f, WRITE("6", "put", "prefs", "[\"plugin\",\"level\"]", "null"), "schema", "null is no value");
    must_accept(&a->f, "{\"id\":\"7\",\"do\":\"ui.write\",\"args\":{\"document\":{\"theme\":\"dark\"}}}");
    must_refuse(&a->f, WRITE("8", "patch", "settings", "\"ui\"", "{\"editor\":{\"size\":1}}"), "schema",
                "/editor/size");
    must_refuse(&a->f, WRITE("8", "put", "settings", "\"tool:x\"", "{\"level\":10}"), "schema",
                "settings 'tool:x': '/level'");
    must_refuse(&a->f, WRITE("8", "put", "prefs", "[\"box-a\",\"level\"]", "10"), "schema",
                "settings 'box:a': '/level'");
    must_accept(&a->f, WRITE("8", "put", "prefs", "[\"box-\",\"level\"]", "10"));
    must_accept(&a->f, WRITE("9", "patch", "settings", "\"ui\"", "{\"theme\":null}"));
}

static void a_namespace_may_have_all_rows_of_a_table(void **state)
{
    asked *a = *state;
    must_accept(&a->f, SET("1", "flags", "b", "7"));
    must_accept(&a->f, SET("2", "flags", "a.level", "2"));
    asked_contains(a, "{\"do\":\"get\",\"namespace\":\"flags\"}", "\"value\":{\"a\":{\"level\":2},\"b\":7}");
    asked_contains(a, GET("flags", "a.level"), "\"value\":2,\"set\":true");
    must_accept(&a->f, SET("3", "flags", "b", "8"));
    must_accept(&a->f, UNSET("4", "flags", "a"));
    asked_contains(a, "{\"do\":\"list\",\"table\":\"flags\"}", "\"rows\":[{\"name\":\"b\",\"value\":8}]");
    must_accept(&a->f, "{\"id\":\"5\",\"do\":\"reset\",\"namespace\":\"flags\"}");
    asked_contains(a, "{\"do\":\"get\",\"namespace\":\"flags\"}", "\"value\":{}");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_namespace_may_have_all_rows_of_a_table, setup, asked_teardown),
        cmocka_unit_test_setup_teardown(what_is_set_counts_before_its_default, setup, asked_teardown),
        cmocka_unit_test_setup_teardown(an_object_replaces_and_only_what_differs_is_logged, setup, asked_teardown),
        cmocka_unit_test_setup_teardown(a_namespace_may_have_a_row_per_member, setup, asked_teardown),
        cmocka_unit_test_setup_teardown(whoever_writes_its_row_is_judged_as_a_set, setup, asked_teardown),
        cmocka_unit_test_setup_teardown(what_is_wrong_is_refused, setup, asked_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
