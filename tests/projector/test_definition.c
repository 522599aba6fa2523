/* What a definition may hold: every case of tests/bad-definitions, and of the good ones of
 * tests/data/definitions, gives exactly its expected.txt,
 * and what loads is filled as the header says. usage: test_definition FOLDER */
#include "tests/base/fixture.h"

#include <dirent.h>

#include "projector/definition.h"

static const char *bad_cases, *good_cases;

static dbk_result parse_texts(const dbk_port *port, const char *schema, const char *projections, const char *queries,
                              dbk_definition **out, dbk_findings *findings, dbk_error *err)
{
    dbk_source sources[3];
    size_t count = 0;

    if (queries) sources[count++] = (dbk_source){"queries.sql", dbk_slice_text(queries)};
    if (schema) sources[count++] = (dbk_source){"schema.sql", dbk_slice_text(schema)};
    if (projections) sources[count++] = (dbk_source){"projections.sql", dbk_slice_text(projections)};
    return dbk_definition_parse(port, sources, count, "notes", out, findings, err);
}

static dbk_definition *must_parse(const char *schema, const char *projections, const char *queries)
{
    dbk_definition *definition;
    dbk_findings findings;
    dbk_error err = {0};

    assert_int_equal(parse_texts(dbk_port_system(), schema, projections, queries, &definition, &findings, &err),
                     DBK_OK);
    assert_int_equal(findings.errors, 0);
    dbk_findings_free(&findings);
    return definition;
}

static const dbk_table *table_of(const dbk_definition *definition, const char *name)
{
    const dbk_table *table = dbk_definition_table(definition, dbk_slice_text(name));

    assert_non_null(table);
    return table;
}

/* ---- golden cases */

static char *read_text(const char *path)
{
    FILE *file = fopen(path, "rb");
    static char text[64 * 1024];

    if (!file) fail_msg("cannot open %s", path);
    size_t size = fread(text, 1, sizeof(text) - 1, file);
    text[size] = '\0';
    assert_int_equal(fclose(file), 0);
    return text;
}

/* The number of errors. */
static size_t check_case(const char *cases, const char *name)
{
    char path[1024];
    dbk_definition *definition;
    dbk_findings findings;
    dbk_error err = {0};
    dbk_buffer text;

    assert_true(snprintf(path, sizeof(path), "%s/%s", cases, name) < (int)sizeof(path) - 20);
    dbk_result result = dbk_definition_load(dbk_port_system(), path, &definition, &findings, &err);
    assert_int_equal(result, findings.errors ? DBK_SCHEMA : DBK_OK);
    assert_int_equal(definition == NULL, findings.errors > 0);
    dbk_buffer_init(&text, dbk_port_system());
    dbk_findings_print(&findings, &text);
    dbk_buffer_printf(&text, "%zu errors\n", findings.errors);
    strcat(path, "/expected.txt");
    if (strcmp(dbk_buffer_text(&text), read_text(path)) != 0) fail_msg("%s: got\n%s", name, dbk_buffer_text(&text));
    size_t errors = findings.errors;
    dbk_buffer_release(&text);
    dbk_findings_free(&findings);
    dbk_definition_free(definition);
    return errors;
}

/* Each folder of bad and good definitions is checked from disk and its findings compared whole. */
static unsigned check_cases(const char *cases, bool bad)
{
    DIR *dir = opendir(cases);
    unsigned count = 0;

    assert_non_null(dir);
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        if (entry->d_name[0] == '.') continue;
        if ((check_case(cases, entry->d_name) > 0) != bad) fail_msg("%s: stands in the wrong folder", entry->d_name);
        count++;
    }
    assert_int_equal(closedir(dir), 0);
    return count;
}

static void test_golden(void **state)
{
    (void)state;
    assert_true(check_cases(bad_cases, true) >= 100);
    assert_true(check_cases(good_cases, false) >= 10);
}

/* ---- what is filled */

static void test_columns(void **state)
{
    dbk_definition *d = must_parse("CREATE TABLE n(b BOOLEAN NOT NULL DEFAULT 0, a TEXT, r REAL, j JSON, x,\n"
                                   "  d DATETIME DEFAULT CURRENT_TIMESTAMP, u UUID, f BLOB, v VARCHAR(3), i BIGINT,\n"
                                   "  PRIMARY KEY(i, a)) WITHOUT ROWID;\nCREATE TABLE k(id INTEGER PRIMARY KEY);",
                                   NULL, NULL);
    static const dbk_column_type types[] = {DBK_TYPE_BOOLEAN, DBK_TYPE_TEXT,     DBK_TYPE_REAL, DBK_TYPE_JSON,
                                            DBK_TYPE_ANY,     DBK_TYPE_DATETIME, DBK_TYPE_UUID, DBK_TYPE_BLOB,
                                            DBK_TYPE_TEXT,    DBK_TYPE_INTEGER};
    static const uint16_t by_name[] = {1, 0, 5, 7, 9, 3, 2, 6, 8, 4};
    const dbk_table *n = table_of(d, "n");

    (void)state;
    assert_int_equal(n->column_count, 10);
    for (int i = 0; i < 10; i++) assert_int_equal(n->columns[i].type, types[i]);
    assert_memory_equal(n->by_name, by_name, sizeof(by_name));
    assert_int_equal(n->key_count, 2);
    assert_int_equal(n->key_columns[0], 9);
    assert_int_equal(n->key_columns[1], 1);
    assert_int_equal(n->columns[9].key_part, 1);
    assert_true(n->without_rowid && n->columns[0].not_null && n->columns[2].real_affinity &&
                !n->columns[0].real_affinity);
    assert_string_equal(n->columns[5].default_sql, "CURRENT_TIMESTAMP");
    assert_null(n->columns[1].default_sql);
    assert_string_equal(n->columns[8].declared, "VARCHAR(3)");
    assert_int_equal(dbk_table_column(n, dbk_slice_text("v")), 8);
    assert_int_equal(dbk_table_column(n, dbk_slice_text("vv")), -1);
    assert_false(n->integer_key);
    assert_true(table_of(d, "k")->integer_key);
    assert_null(dbk_definition_table(d, dbk_slice_text("N")));
    dbk_definition_free(d);
}

/* Each table shows one reason why it does or does not stand alone. */
static void test_classes(void **state)
{
    static const struct {
        const char *name;
        bool collection, row_local, deferrable, self_contained;
    } wanted[] = {
        {"alone", true, true, false, true},  {"named", true, false, false, true}, {"parent", true, false, false, false},
        {"child", true, false, false, true}, {"plain", true, false, false, true}, {"late", true, false, true, false},
        {"early", true, false, true, false}, {"root", true, false, true, false},  {"source", true, false, false, true},
        {"seen", true, true, false, false},  {"view", false, false, false, true},
    };
    dbk_definition *d =
        must_parse("CREATE TABLE alone(id TEXT PRIMARY KEY);\nCREATE TABLE named(id TEXT PRIMARY KEY, name "
                   "TEXT UNIQUE);\n"
                   "CREATE TABLE parent(id TEXT PRIMARY KEY);\n"
                   "CREATE TABLE child(id TEXT PRIMARY KEY, p TEXT REFERENCES parent ON DELETE CASCADE, q "
                   "TEXT REFERENCES plain);\n"
                   "CREATE TABLE plain(id TEXT PRIMARY KEY);\n"
                   "CREATE TABLE late(id TEXT PRIMARY KEY, e TEXT REFERENCES early DEFERRABLE INITIALLY "
                   "DEFERRED,\n"
                   "  r TEXT REFERENCES root ON DELETE SET NULL);\n"
                   "CREATE TABLE early(id TEXT PRIMARY KEY);\nCREATE TABLE root(id TEXT PRIMARY KEY);\n"
                   "CREATE TABLE source(id TEXT PRIMARY KEY, n INTEGER);\nCREATE TABLE seen(id TEXT PRIMARY "
                   "KEY);\n"
                   "CREATE TABLE view(id TEXT PRIMARY KEY, n INTEGER);\n",
                   "-- on x, seen.*\nINSERT INTO view(id, n) SELECT $id, max(n) FROM source;\n", NULL);

    (void)state;
    for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++) {
        const dbk_table *table = table_of(d, wanted[i].name);
        if (table->collection != wanted[i].collection || table->row_local != wanted[i].row_local ||
            table->deferrable != wanted[i].deferrable || table->self_contained != wanted[i].self_contained)
            fail_msg("%s: %d %d %d %d", table->name, table->collection, table->row_local, table->deferrable,
                     table->self_contained);
    }
    dbk_definition_free(d);
}

static void test_projections(void **state)
{
    dbk_definition *d = must_parse("CREATE TABLE n(id TEXT PRIMARY KEY);",
                                   "-- on a.b, c\n\nDELETE FROM n WHERE id = $id;\n-- may change "
                                   "nothing\nDELETE FROM n\n;\n-- on *\nDELETE FROM n",
                                   NULL);

    (void)state;
    assert_int_equal(d->projection_count, 3);
    assert_string_equal(d->projections[0].pattern, "a.b");
    assert_string_equal(d->projections[1].pattern, "c");
    assert_string_equal(d->projections[2].pattern, "*");
    assert_int_equal(d->projections[1].statement_count, 2);
    assert_string_equal(d->projections[1].statements[0].sql, "DELETE FROM n WHERE id = $id");
    assert_false(d->projections[1].statements[0].may_change_nothing);
    assert_int_equal(d->projections[1].statements[0].line, 3);
    assert_string_equal(d->projections[1].statements[1].sql, "DELETE FROM n");
    assert_true(d->projections[1].statements[1].may_change_nothing);
    assert_int_equal(d->projections[1].statements[1].line, 5);
    assert_string_equal(d->projections[2].statements[0].file, "projections.sql");
    dbk_definition_free(d);
}

static void test_queries(void **state)
{
    dbk_definition *d = must_parse("CREATE TABLE n(id TEXT PRIMARY KEY);", NULL,
                                   "-- query q(a, b INTEGER?, c JSON = '{}') returns (x TEXT, "
                                   "JSON)\nSELECT :a || :b, :c;\n-- query r()\nSELECT 1");
    const dbk_named_query *q = dbk_definition_query(d, dbk_slice_text("q"));

    (void)state;
    assert_non_null(q);
    assert_string_equal(q->sql, "SELECT :a || :b, :c");
    assert_int_equal(q->argument_count, 3);
    assert_string_equal(q->arguments[0].name, "a");
    assert_int_equal(q->arguments[0].type, DBK_TYPE_TEXT);
    assert_true(!q->arguments[0].optional && q->arguments[1].optional && !q->arguments[2].optional);
    assert_int_equal(q->arguments[1].type, DBK_TYPE_INTEGER);
    assert_string_equal(q->arguments[2].default_sql, "'{}'");
    assert_int_equal(q->return_count, 2);
    assert_int_equal(q->returns[1], DBK_TYPE_JSON);
    assert_null(dbk_definition_query(d, dbk_slice_text("r"))->returns);
    assert_null(dbk_definition_query(d, dbk_slice_text("s")));
    dbk_definition_free(d);
}

static void test_patterns(void **state)
{
    static const struct {
        const char *pattern, *type;
        bool matches;
    } wanted[] = {
        {"*", "a", true},           {"*", "", true},          {"job.*", "job.a", true},
        {"job.*", "job.a.b", true}, {"job.*", "job", false},  {"job.*", "job.", false},
        {"job.*", "jobs.a", false}, {"job.a", "job.a", true}, {"job.a", "job.a.b", false},
        {"job", "job.a", false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++)
        assert_int_equal(dbk_pattern_matches(wanted[i].pattern, dbk_slice_text(wanted[i].type)), wanted[i].matches);
}

static void test_row_events(void **state)
{
    dbk_definition *d = must_parse("CREATE TABLE n(id TEXT PRIMARY KEY);", NULL, NULL);
    const dbk_table *table = NULL;
    dbk_row_op op = DBK_OP_PUT;

    (void)state;
    assert_true(dbk_definition_row_event(d, dbk_slice_text("n.patched"), &table, &op));
    assert_int_equal(op, DBK_OP_PATCHED);
    assert_ptr_equal(table, &d->tables[0]);
    assert_true(dbk_definition_row_event(d, dbk_slice_text("n.deleted"), &table, &op));
    assert_int_equal(op, DBK_OP_DELETED);
    assert_false(dbk_definition_row_event(d, dbk_slice_text("m.put"), &table, &op));
    assert_false(dbk_definition_row_event(d, dbk_slice_text("n.patch"), &table, &op));
    assert_false(dbk_definition_row_event(d, dbk_slice_text("n"), &table, &op));
    assert_false(dbk_definition_row_event(d, dbk_slice_text("n.put.x"), &table, &op));
    dbk_definition_free(d);
}

/* The hash is over names and texts in order of name: any order of sources gives the same. */
static void test_hash(void **state)
{
    dbk_definition *a = must_parse("CREATE TABLE n(id TEXT PRIMARY KEY);", "-- on a\nDELETE FROM n;", NULL);
    dbk_definition *b = must_parse("CREATE TABLE n(id TEXT PRIMARY KEY);", "-- on a\nDELETE FROM n;\n", NULL);
    dbk_definition *c;
    dbk_findings findings;
    uint8_t bytes[200], hash[16];
    size_t size = 0;
    static const uint8_t other[2][16] = {{1}, {2}};

    (void)state;
    assert_int_equal(dbk_definition_parse(dbk_port_system(), a->sources, a->source_count, "z", &c, &findings, NULL),
                     DBK_OK);
    dbk_findings_free(&findings);
    assert_memory_equal(a->hash, c->hash, 16);
    assert_memory_not_equal(a->hash, b->hash, 16);
    for (size_t i = 0; i < a->source_count; i++) {
        size_t name = strlen(a->sources[i].name);
        dbk_store_u32(bytes + size, (uint32_t)name);
        memcpy(bytes + size + 4, a->sources[i].name, name);
        size += 4 + name;
        dbk_store_u32(bytes + size, (uint32_t)a->sources[i].text.size);
        memcpy(bytes + size + 4, a->sources[i].text.data, a->sources[i].text.size);
        size += 4 + a->sources[i].text.size;
    }
    dbk_digest(DBK_DIGEST_DEFINITION, dbk_slice_of(bytes, size), hash, 16);
    assert_memory_equal(a->hash, hash, 16);
    assert_int_equal(dbk_definition_set_ancestors(a, other, 2, other[1], NULL), DBK_OK);
    assert_int_equal(a->ancestor_count, 2);
    assert_memory_equal(a->ancestors, other, sizeof(other));
    assert_memory_equal(a->hash, other[1], 16);
    dbk_definition_free(a);
    dbk_definition_free(b);
    dbk_definition_free(c);
    dbk_definition_free(NULL);
}

static dbk_definition *with_app(const char *app, const char *projections)
{
    dbk_source sources[] = {
        {"app.json", dbk_slice_text(app)},
        {"s/projections.sql", dbk_slice_text(projections)},
        {"s/schema.sql", dbk_slice_text("CREATE TABLE t(id TEXT PRIMARY KEY NOT NULL);")},
        {"schema.sql", dbk_slice_text("CREATE TABLE n(id TEXT PRIMARY KEY NOT NULL);")},
    };
    dbk_definition *definition;
    dbk_findings findings;
    dbk_error err = {0};

    if (!strstr(app, "\"s\"")) sources[1] = sources[3];
    size_t count = strstr(app, "\"s\"") ? 4 : 2;
    assert_int_equal(dbk_definition_parse(dbk_port_system(), sources, count, "x", &definition, &findings, &err),
                     DBK_OK);
    dbk_findings_free(&findings);
    return definition;
}

/* The whole is the same with and without its async model, wherever that was written into app.json; the model is
 * another one when its projections are. */
static void test_async_models_do_not_count_in_the_hash(void **state)
{
    static const char *const pairs[][2] = {
        {"{\"daybook\": 1, \"name\": \"a\"}", "{\"daybook\": 1, \"name\": \"a\", \"models\": {\"s\": {}}}"},
        {"{\"daybook\": 1, \"name\": \"a\"}",
         "{\"daybook\": 1, \"models\": {\"s\": {\"readers\": 2}}, \"name\": \"a\"}"},
        {"{\n \"env\": {\"A\": \"x}\\\"{,\"}, \"daybook\": 1,\n \"name\": \"a\"\n}\n",
         "{\n \"models\": {\"s\": {}},\n \"env\": {\"A\": \"x}\\\"{,\"}, \"daybook\": 1,\n \"name\": \"a\"\n}\n"},
        {"{\n \"daybook\": 1,\n \"name\": \"a\"\n}\n",
         "{\n \"daybook\": 1,\n \"name\": \"a\",\n \"models\": {\n  \"s\": {\"mode\": \"async\"}\n }\n}\n"},
        {"{\"daybook\":1,\"name\":\"a\",\"models\":{\"main\":{}}}",
         "{\"daybook\":1,\"name\":\"a\",\"models\":{\"main\":{},\"s\":{}}}"},
        {"{\"daybook\":1,\"name\":\"a\",\"models\":{\"main\":{}}}",
         "{\"daybook\":1,\"name\":\"a\",\"models\":{\"s\":{},\"main\":{}}}"},
    };
    static const char one[] = "-- on n.put\nINSERT INTO t(id) VALUES ($id);\n",
                      other[] = "-- on n.put\nDELETE FROM t WHERE id = $id;\n";

    (void)state;
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        dbk_definition *without = with_app(pairs[i][0], one), *with = with_app(pairs[i][1], one),
                       *changed = with_app(pairs[i][1], other);
        assert_int_equal(with->model_count, 1);
        assert_memory_equal(without->hash, with->hash, 16);
        assert_memory_equal(with->hash, changed->hash, 16);
        assert_memory_not_equal(with->models[0]->hash, changed->models[0]->hash, 16);
        assert_memory_not_equal(with->models[0]->hash, with->hash, 16);
        dbk_definition_free(without);
        dbk_definition_free(with);
        dbk_definition_free(changed);
    }
}

/* One file is the schema under any name; findings call it by its own. */
static void test_single_file(void **state)
{
    char *dir = temporary_dir(), path[600];
    dbk_definition *definition;
    dbk_findings findings;
    dbk_error err = {0};

    (void)state;
    (void)snprintf(path, sizeof(path), "%s/shop.sql", dir);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs("CREATE TABLE a(id TEXT PRIMARY KEY, v VARCHAR(3));\n", file) >= 0);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(dbk_definition_load(dbk_port_system(), path, &definition, &findings, &err), DBK_OK);
    assert_string_equal(definition->name, "shop");
    assert_int_equal(definition->version, 1);
    assert_string_equal(definition->sources[0].name, "schema.sql");
    assert_int_equal(findings.count, 1);
    assert_string_equal(findings.items[0].file, "shop.sql");
    dbk_findings_free(&findings);
    dbk_definition_free(definition);
    (void)snprintf(path, sizeof(path), "%s/none.sql", dir);
    assert_int_equal(dbk_definition_load(dbk_port_system(), path, &definition, &findings, &err), DBK_MISSING);
    assert_null(definition);
    dbk_findings_free(&findings);
    (void)snprintf(path, sizeof(path), "%s/none", dir);
    assert_int_equal(dbk_definition_load(dbk_port_system(), path, &definition, &findings, &err), DBK_MISSING);
    dbk_findings_free(&findings);
    remove_temporary_dir(dir);
}

/* File systems hold names of any bytes, findings are UTF-8. */
static void test_names_that_are_no_text(void **state)
{
    static const dbk_source sources[] = {
        {"schema.sql", {(const uint8_t *)"CREATE TABLE a(id TEXT PRIMARY KEY);", 36}},
        {"\x87t\xc3\xa4\xf0\x9f\x98s/queries.sql", {(const uint8_t *)"", 0}},
    };
    dbk_definition *definition;
    dbk_findings findings;

    (void)state;
    assert_int_equal(dbk_definition_parse(dbk_port_system(), sources, 2, "b", &definition, &findings, NULL),
                     DBK_SCHEMA);
    assert_int_equal(findings.count, 1);
    assert_string_equal(findings.items[0].file,
                        "\xef\xbf\xbdt\xc3\xa4\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbds/queries.sql");
    assert_string_equal(findings.items[0].text,
                        "the folder '\xef\xbf\xbdt\xc3\xa4\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbds' is of no model");
    assert_string_equal(findings.items[0].advice,
                        "\"models\": {\"\xef\xbf\xbdt\xc3\xa4\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbds\": {\"mode\": "
                        "\"async\"}} in app.json");
    dbk_findings_free(&findings);
}

/* A text of more than its 511 bytes ends between two characters, wherever the cut falls. */
static void test_a_cut_text_is_whole_characters(void **state)
{
    (void)state;
    for (size_t shift = 0; shift < 8; shift++) {
        char name[700] = "";
        dbk_source sources[] = {{"schema.sql", dbk_slice_text("CREATE TABLE a(id TEXT PRIMARY KEY);")},
                                {name, {(const uint8_t *)"", 0}}};
        dbk_definition *definition;
        dbk_findings findings;
        for (size_t i = 0; i < shift; i++) strcat(name, "x");
        for (size_t i = 0; i < 150; i++) strcat(name, "\xf0\x9f\x98\x80");
        strcat(name, "/queries.sql");
        assert_int_equal(dbk_definition_parse(dbk_port_system(), sources, 2, "b", &definition, &findings, NULL),
                         DBK_SCHEMA);
        assert_int_equal(findings.count, 1);
        assert_string_equal(findings.items[0].file, name);
        dbk_slice text = dbk_slice_text(findings.items[0].text);
        assert_true(text.size >= 507 && text.size < 512 && dbk_utf8_valid(text));
        assert_memory_equal(text.data + text.size - 4, "\xf0\x9f\x98\x80", 4);
        dbk_findings_free(&findings);
    }
}

/* Errors are counted beyond what is shown, warnings leave them room. */
static void test_many_findings(void **state)
{
    dbk_buffer text;
    dbk_definition *definition;
    dbk_findings findings;

    (void)state;
    dbk_buffer_init(&text, dbk_port_system());
    for (int i = 0; i < 150; i++) dbk_buffer_printf(&text, "CREATE TABLE a%d(id TEXT PRIMARY KEY, v VARCHAR(3));\n", i);
    for (int i = 0; i < 300; i++) dbk_buffer_printf(&text, "PRAGMA x%d;\n", i);
    assert_int_equal(parse_texts(dbk_port_system(), dbk_buffer_text(&text), NULL, NULL, &definition, &findings, NULL),
                     DBK_SCHEMA);
    assert_int_equal(findings.errors, 300);
    assert_int_equal(findings.count, 200);
    assert_string_equal(findings.items[199].text, "there is more: correct what is listed and check again");
    dbk_findings_free(&findings);
    dbk_buffer_release(&text);
}

static void test_json(void **state)
{
    dbk_definition *definition;
    dbk_findings findings;
    dbk_buffer text;

    (void)state;
    assert_int_equal(
        parse_texts(dbk_port_system(), "CREATE TABLE a(x TEXT);", NULL, NULL, &definition, &findings, NULL),
        DBK_SCHEMA);
    dbk_buffer_init(&text, dbk_port_system());
    dbk_findings_json(&findings, &text);
    assert_string_equal(dbk_buffer_text(&text),
                        "{\"level\":\"error\",\"file\":\"schema.sql\",\"line\":1,\"column\":14,\"length\":1,"
                        "\"source\":\"CREATE TABLE a(x TEXT);\",\"text\":\"table 'a' has no PRIMARY KEY\","
                        "\"advice\":\"id TEXT PRIMARY KEY, or PRIMARY KEY(a, b) at the end\"}\n");
    dbk_buffer_release(&text);
    dbk_findings_free(&findings);
}

/* Memory runs out at the first, second, third … allocation until the run passes; nothing is lost.
 */
static void test_memory(void **state)
{
    dbk_result result = DBK_NO_MEMORY;

    (void)state;
    for (size_t at = 1; result == DBK_NO_MEMORY; at++) {
        thrifty_port thrifty;
        dbk_definition *definition;
        dbk_findings findings;
        dbk_error err = {0};

        thrifty_init(&thrifty, at);
        result = parse_texts(&thrifty.port, "CREATE TABLE a(id TEXT PRIMARY KEY, v VARCHAR(3), b TEXT REFERENCES a);",
                             "-- on a, b.*\nDELETE FROM a WHERE id = $id;\n",
                             "-- query q(a JSON = '{\"a\":1}')\nSELECT :a;\n", &definition, &findings, &err);
        assert_true(result == DBK_NO_MEMORY || result == DBK_OK);
        assert_int_equal(definition == NULL, result != DBK_OK);
        dbk_definition_free(definition);
        dbk_findings_free(&findings);
        assert_int_equal(thrifty.held, 0);
    }
    assert_int_equal(result, DBK_OK);
}

/* The same of a definition with async models, one of them wrong; also when one allocation alone fails: either that is
 * told, or all that is wrong. */
static void test_memory_of_models(void **state)
{
    dbk_source sources[] = {
        {"app.json", dbk_slice_text("{\"daybook\":1,\"name\":\"a\",\"models\":{\"s\":{},\"bad\":{},\"main\":{}}}")},
        {"bad/projections.sql", dbk_slice_text("-- on n.put\nINSERT INTO b(id) VALUES ($it);\n")},
        {"bad/schema.sql", dbk_slice_text("CREATE TABLE b(id TEXT PRIMARY KEY NOT NULL REFERENCES n(id));")},
        {"s/projections.sql", dbk_slice_text("-- on n.put\nINSERT INTO t(id) VALUES ($id);\n"
                                             "-- on seen\nINSERT INTO t(id) VALUES ($ad);\n")},
        {"s/queries.sql", dbk_slice_text("-- query q()\nSELECT id FROM v;\n")},
        {"s/schema.sql",
         dbk_slice_text("CREATE TABLE t(id TEXT PRIMARY KEY NOT NULL);\nCREATE VIEW v AS SELECT id FROM t;")},
        {"schema.sql", dbk_slice_text("CREATE TABLE n(id TEXT PRIMARY KEY NOT NULL);")},
        {"schemas/seen.json", dbk_slice_text("{\"additionalProperties\": false, \"properties\": {\"id\": {}}}")},
    };

    (void)state;
    for (int once = 0; once < 2; once++) {
        bool through = false;
        for (size_t at = 1; !through; at++) {
            thrifty_port thrifty;
            dbk_definition *definition;
            dbk_findings findings;
            dbk_error err = {0};

            thrifty_init(&thrifty, at);
            thrifty.once = once;
            dbk_result result = dbk_definition_parse(&thrifty.port, sources, sizeof sources / sizeof *sources, "x",
                                                     &definition, &findings, &err);
            through = thrifty.calls < at;
            assert_true(result == DBK_SCHEMA || (result == DBK_NO_MEMORY && !through));
            assert_null(definition);
            if (result == DBK_SCHEMA && findings.errors != 3)
                fail_msg("without allocation %zu there are %zu errors", at, findings.errors);
            dbk_findings_free(&findings);
            assert_int_equal(thrifty.held, 0);
        }
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_golden),
        cmocka_unit_test(test_columns),
        cmocka_unit_test(test_classes),
        cmocka_unit_test(test_projections),
        cmocka_unit_test(test_queries),
        cmocka_unit_test(test_patterns),
        cmocka_unit_test(test_row_events),
        cmocka_unit_test(test_hash),
        cmocka_unit_test(test_async_models_do_not_count_in_the_hash),
        cmocka_unit_test(test_single_file),
        cmocka_unit_test(test_json),
        cmocka_unit_test(test_names_that_are_no_text),
        cmocka_unit_test(test_a_cut_text_is_whole_characters),
        cmocka_unit_test(test_many_findings),
        cmocka_unit_test(test_memory),
        cmocka_unit_test(test_memory_of_models),
    };

    if (argc != 3) return fprintf(stderr, "usage: %s FOLDER\n", argv[0]), 2;
    bad_cases = argv[1];
    good_cases = argv[2];
    return cmocka_run_group_tests(tests, NULL, NULL);
}
