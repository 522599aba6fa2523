/* Clients' SQL: answers, arguments, limits, and what is refused. */
#include "tests/projector/model_fixture.h"

typedef struct reader_place {
    model_place place;
    dbk_model *model;
    dbk_model_reader *reader;
    dbk_json_parser *parser;
    dbk_buffer out;
} reader_place;

static void setup(reader_place *self)
{
    place_init(&self->place, NULL);
    self->model = place_create(&self->place, "model", NULL);
    commit_sql(self->model, 4,
               "INSERT INTO notes VALUES('n1', 'one', 3, 2, x'0102', 7, '2026-11-21 07:00:00', 1, '{\"x\":1.10}'),"
               "('n2', 'two', 1, NULL, NULL, NULL, NULL, 0, NULL)");
    assert_ok(dbk_reader_open(self->place.port, place_file(&self->place, "model"), NULL, self->place.definition,
                              &self->reader, &self->place.err),
              &self->place.err);
    self->parser = dbk_json_parser_new(self->place.port);
    dbk_buffer_init(&self->out, self->place.port);
}

static void teardown(reader_place *self)
{
    dbk_buffer_release(&self->out);
    dbk_json_parser_free(self->parser);
    dbk_reader_close(self->reader);
    dbk_model_close(self->model);
    place_done(&self->place);
}

static const dbk_json_node *json(reader_place *self, const char *text)
{
    const dbk_json_node *root = NULL;
    if (text) assert_ok(dbk_json_parse(self->parser, dbk_slice_text(text), &root, &self->place.err), &self->place.err);
    return root;
}

static void check(reader_place *self, const char *query, const char *args, const char *expected)
{
    assert_ok(
        dbk_reader_query(self->reader, dbk_slice_text(query), json(self, args), NULL, &self->out, &self->place.err),
        &self->place.err);
    assert_text(&self->out, expected);
}

static void check_named(reader_place *self, const char *name, const char *args, const char *expected)
{
    assert_ok(
        dbk_reader_named(self->reader, dbk_slice_text(name), json(self, args), NULL, &self->out, &self->place.err),
        &self->place.err);
    assert_text(&self->out, expected);
}

/* A refusal has its code and leaves the buffer as it was; the reader answers the next query. */
static void check_refused(reader_place *self, const char *query, const char *args, const dbk_reader_limits *limits,
                          dbk_result expected)
{
    dbk_buffer_put_text(&self->out, "before");
    dbk_result result =
        dbk_reader_query(self->reader, dbk_slice_text(query), json(self, args), limits, &self->out, &self->place.err);
    if (result != expected) print_error("%s\n", query);
    assert_result(result, expected, &self->place.err);
    assert_text(&self->out, "before");
    check(self, "SELECT 1 AS a", NULL, "\"columns\":[\"a\"],\"rows\":[[1]],\"position\":4");
}

static void test_values_by_declared_type(void **state)
{
    reader_place self;
    (void)state;
    setup(&self);
    check(&self, "SELECT * FROM notes ORDER BY id", NULL,
          "\"columns\":[\"id\",\"title\",\"stars\",\"score\",\"raw\",\"amount\",\"at\",\"ok\",\"doc\"],\"rows\":["
          "[\"n1\",\"one\",3,2.0,\"AQI=\",7,\"2026-11-21T07:00:00.000Z\",true,{\"x\":1.10}],"
          "[\"n2\",\"two\",1,null,null,null,null,false,null]],\"position\":4");
    check(&self, "SELECT ok, ok + 0, id AS ok FROM notes WHERE id='n1'; -- the end", NULL,
          "\"columns\":[\"ok\",\"ok + 0\",\"ok\"],\"rows\":[[true,1,\"n1\"]],\"position\":4");
    check(&self, "SELECT id FROM notes WHERE 0", NULL, "\"columns\":[\"id\"],\"rows\":[],\"position\":4");
    teardown(&self);
}

static void test_arguments_of_a_query(void **state)
{
    reader_place self;
    (void)state;
    setup(&self);
    check(&self, "SELECT :a AS x, typeof(:a) AS y, @b AS z", "{\"a\":5,\"b\":\"t\"}",
          "\"columns\":[\"x\",\"y\",\"z\"],\"rows\":[[5,\"integer\",\"t\"]],\"position\":4");
    check(&self, "SELECT ? AS a, ? AS b, ? AS c, ? AS d, ? AS e, ? AS f", "[null,true,5.0,1e2,[1, 2],\"\"]",
          "\"columns\":[\"a\",\"b\",\"c\",\"d\",\"e\",\"f\"],\"rows\":[[null,1,5.0,100.0,\"[1,2]\",\"\"]],\"position\":"
          "4");
    check(&self, "SELECT ? AS a, ? AS b", "[12345678901234567890,false]",
          "\"columns\":[\"a\",\"b\"],\"rows\":[[1.2345678901234567e+19,0]],\"position\":4");
    check_refused(&self, "SELECT :a", "{}", NULL, DBK_BAD_COMMAND);
    check_refused(&self, "SELECT :a", NULL, NULL, DBK_BAD_COMMAND);
    check_refused(&self, "SELECT :a", "{\"a\":1,\"b\":2}", NULL, DBK_UNKNOWN_FIELD);
    check_refused(&self, "SELECT ?", "{\"a\":1}", NULL, DBK_BAD_COMMAND);
    check_refused(&self, "SELECT ?", "[]", NULL, DBK_BAD_COMMAND);
    check_refused(&self, "SELECT ?", "[1,2]", NULL, DBK_BAD_COMMAND);
    check_refused(&self, "SELECT 1", "7", NULL, DBK_BAD_COMMAND);
    check(&self, "SELECT 1 AS a", "null", "\"columns\":[\"a\"],\"rows\":[[1]],\"position\":4");
    teardown(&self);
}

static void test_what_a_query_may_not_do(void **state)
{
    static const struct {
        const char *sql;
        dbk_result expected;
    } cases[] = {
        {"DELETE FROM notes", DBK_DENIED},
        {"INSERT INTO notes(id) VALUES('x') RETURNING id", DBK_DENIED},
        {"CREATE TABLE x(y)", DBK_DENIED},
        {"CREATE TEMP TABLE x(y)", DBK_DENIED},
        {"PRAGMA query_only=OFF", DBK_DENIED},
        {"PRAGMA journal_mode", DBK_DENIED},
        {"ATTACH 'other' AS o", DBK_DENIED},
        {"BEGIN", DBK_DENIED},
        {"COMMIT", DBK_DENIED},
        {"SAVEPOINT s", DBK_DENIED},
        {"VACUUM", DBK_DENIED},
        {"SELECT * FROM _daybook_commits", DBK_DENIED},
        {"SELECT * FROM main._daybook_meta", DBK_DENIED},
        {"SELECT load_extension('x')", DBK_DENIED},
        {"", DBK_BAD_COMMAND},
        {" -- nothing\n", DBK_BAD_COMMAND},
        {"SELECT 1; SELECT 2", DBK_BAD_COMMAND},
        {"SELECT 1; garbage", DBK_BAD_COMMAND},
        {"SELEC 1", DBK_BAD_COMMAND},
        {"SELECT nothing_such FROM notes", DBK_BAD_COMMAND},
        {"SELECT json('{')", DBK_BAD_COMMAND},
        {"SELECT 1+1+1+1+1+1+1+1+1+1+1+1", DBK_BAD_COMMAND},
        {"SELECT 1 UNION SELECT 2 UNION SELECT 3 UNION SELECT 4", DBK_BAD_COMMAND},
        {"SELECT zeroblob(3000000)", DBK_TOO_BIG},
    };
    reader_place self;
    (void)state;
    setup(&self);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        check_refused(&self, cases[i].sql, NULL, NULL, cases[i].expected);
    assert_int_equal(
        dbk_reader_query(self.reader, dbk_slice_of("SELECT 1\0; DROP", 15), NULL, NULL, &self.out, &self.place.err),
        DBK_BAD_COMMAND);
    assert_recount(self.model);
    teardown(&self);
}

/* A client is shown what the app has, and not how the engine keeps it. */
static void test_the_app_is_shown_without_the_engine(void **state)
{
    static const char *const asked[] = {
        "SELECT name FROM sqlite_master",
        "SELECT name FROM sqlite_schema",
        "SELECT name FROM main.SQLITE_MASTER",
        "SELECT (SELECT group_concat(sql) FROM sqlite_schema)",
        "WITH s AS (SELECT * FROM sqlite_schema) SELECT * FROM s",
        "SELECT id FROM notes WHERE id IN (SELECT name FROM sqlite_master)",
        "EXPLAIN SELECT name FROM sqlite_master",
        "SELECT * FROM pragma_table_list",
        "SELECT * FROM pragma_table_info('notes')",
        "PRAGMA table_list",
        "PRAGMA table_info(_daybook_commits)",
        "SELECT * FROM _daybook_commits",
        "SELECT * FROM main._DAYBOOK_META",
        "SELECT * FROM sqlite_temp_schema",
    };
    reader_place self;
    dbk_error err = {0};
    (void)state;
    setup(&self);
    for (size_t i = 0; i < sizeof asked / sizeof *asked; i++) {
        dbk_buffer_clear(&self.out);
        assert_int_equal(dbk_reader_query(self.reader, dbk_slice_text(asked[i]), NULL, NULL, &self.out, &err),
                         DBK_DENIED);
        assert_int_equal(self.out.size, 0);
    }
    assert_int_equal(
        dbk_reader_query(self.reader, dbk_slice_text("SELECT 1 FROM sqlite_schema"), NULL, NULL, &self.out, &err),
        DBK_DENIED);
    assert_non_null(strstr(err.text, "ask 'daybook_schema'"));
    check(&self, "SELECT count(*) FROM daybook_schema WHERE name LIKE '%daybook%' OR name LIKE 'sqlite%'", NULL,
          "\"columns\":[\"count(*)\"],\"rows\":[[0]],\"position\":4");
    check(&self,
          "SELECT type, name, tbl_name, sql LIKE 'CREATE TABLE%' AS made FROM daybook_schema WHERE name = 'notes'",
          NULL,
          "\"columns\":[\"type\",\"name\",\"tbl_name\",\"made\"],\"rows\":[[\"table\",\"notes\",\"notes\",1]],"
          "\"position\":4");
    /* twice in one statement, and again after it */
    check(&self,
          "SELECT count(*) FROM daybook_schema a JOIN daybook_schema b ON a.name = b.name WHERE a.name = 'notes'", NULL,
          "\"columns\":[\"count(*)\"],\"rows\":[[1]],\"position\":4");
    assert_int_equal(
        dbk_reader_query(self.reader, dbk_slice_text("SELECT 1 FROM sqlite_schema"), NULL, NULL, &self.out, &err),
        DBK_DENIED);
    teardown(&self);
}

static void test_limits_of_an_answer(void **state)
{
    static const char many[] =
        "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n+1 FROM c WHERE n < 100) SELECT n FROM c";
    static const char endless[] =
        "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n+1 FROM c) SELECT count(*) FROM c";
    reader_place self;
    (void)state;
    setup(&self);
    check_refused(&self, many, NULL, &(dbk_reader_limits){.rows = 99}, DBK_TOO_BIG);
    check_refused(&self, many, NULL, &(dbk_reader_limits){.answer_bytes = 300}, DBK_TOO_BIG);
    assert_ok(
        dbk_reader_query(self.reader, dbk_slice_text(many), NULL,
                         &(dbk_reader_limits){.time_ms = 10000, .answer_bytes = 1000, .rows = 100, .memory_mib = 1},
                         &self.out, &self.place.err),
        &self.place.err);
    dbk_buffer_clear(&self.out);
    check_refused(&self, endless, NULL, &(dbk_reader_limits){.time_ms = 5}, DBK_BUSY);
    assert_string_equal(self.place.err.text, "the query took too long");
    teardown(&self);
}

/* What is sorted has to be kept; the refusal is of the query alone, and the next one has all its memory again. */
static void test_memory_of_a_query(void **state)
{
    static const char sorted[] = "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n+1 FROM c WHERE n < 20000)"
                                 " SELECT n FROM c ORDER BY printf('%.100c', 'x') || n LIMIT 1 OFFSET 19999";
    reader_place self;
    (void)state;
    setup(&self);
    check(&self, sorted, NULL, "\"columns\":[\"n\"],\"rows\":[[9999]],\"position\":4");
    for (int i = 0; i < 2; i++) {
        check_refused(&self, sorted, NULL, &(dbk_reader_limits){.memory_mib = 1}, DBK_TOO_BIG);
        assert_string_equal(self.place.err.text, "the query takes more than 1 MiB of memory");
    }
    teardown(&self);
}

static void test_named_queries(void **state)
{
    reader_place self;
    (void)state;
    setup(&self);
    check_named(&self, "by_stars", "{\"stars\":1}",
                "\"columns\":[\"id\",\"title\"],\"rows\":[[\"n1\",\"one\"],[\"n2\",\"two\"]],\"position\":4");
    check_named(&self, "by_stars", "{\"stars\":1,\"title\":\"two\"}",
                "\"columns\":[\"id\",\"title\"],\"rows\":[[\"n2\",\"two\"]],\"position\":4");
    check_named(&self, "by_stars", "{\"stars\":2.0,\"title\":null}",
                "\"columns\":[\"id\",\"title\"],\"rows\":[[\"n1\",\"one\"]],\"position\":4");
    check_named(&self, "flags", NULL,
                "\"columns\":[\"id\",\"stars >= :least\"],\"rows\":[[\"n1\",true],[\"n2\",false]],\"position\":4");
    check_named(&self, "flags", "{\"least\":1}",
                "\"columns\":[\"id\",\"stars >= :least\"],\"rows\":[[\"n1\",true],[\"n2\",true]],\"position\":4");
    static const struct {
        const char *name, *args;
        dbk_result expected;
    } cases[] = {
        {"nobody", NULL, DBK_UNKNOWN_COMMAND},
        {"by_stars", NULL, DBK_BAD_COMMAND},
        {"by_stars", "{}", DBK_BAD_COMMAND},
        {"by_stars", "[1]", DBK_BAD_COMMAND},
        {"by_stars", "{\"star\":1}", DBK_UNKNOWN_FIELD},
        {"by_stars", "{\"stars\":null}", DBK_SCHEMA},
        {"by_stars", "{\"stars\":\"1\"}", DBK_SCHEMA},
        {"by_stars", "{\"stars\":1,\"title\":2}", DBK_SCHEMA},
        {"all_notes", "{\"x\":1}", DBK_UNKNOWN_FIELD},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        dbk_result result = dbk_reader_named(self.reader, dbk_slice_text(cases[i].name), json(&self, cases[i].args),
                                             NULL, &self.out, &self.place.err);
        assert_result(result, cases[i].expected, &self.place.err);
        assert_int_equal(self.out.size, 0);
    }
    teardown(&self);
}

/* Each answer is of one committed state: its position and rows belong together; nothing uncommitted. */
static void test_position_and_rows_of_one_state(void **state)
{
    reader_place self;
    (void)state;
    setup(&self);
    assert_ok(dbk_model_begin(self.model, &self.place.err), &self.place.err);
    sql(self.model, "DELETE FROM notes");
    check(&self, "SELECT count(*) AS n FROM notes", NULL, "\"columns\":[\"n\"],\"rows\":[[2]],\"position\":4");
    commit_at(self.model, 9, NULL);
    check(&self, "SELECT count(*) AS n FROM notes", NULL, "\"columns\":[\"n\"],\"rows\":[[0]],\"position\":9");
    assert_int_equal(
        sqlite3_wal_checkpoint_v2(dbk_model_handle(self.model), NULL, SQLITE_CHECKPOINT_TRUNCATE, NULL, NULL),
        SQLITE_OK);
    teardown(&self);
}

/* A port whose first growth of a buffer commits: after the position was read, before the first row. */
static dbk_model *to_commit;

static void *committing_resize(void *ctx, void *memory, size_t size)
{
    dbk_model *model = to_commit;
    to_commit = NULL;
    if (model) commit_sql(model, 5, "DELETE FROM notes");
    return dbk_port_system()->resize(ctx, memory, size);
}

static void test_commit_between_position_and_rows(void **state)
{
    reader_place self;
    dbk_port port = *dbk_port_system();
    dbk_buffer out;
    (void)state;
    setup(&self);
    port.resize = committing_resize;
    dbk_buffer_init(&out, &port);
    to_commit = self.model;
    assert_ok(dbk_reader_query(self.reader, dbk_slice_text("SELECT count(*) AS n FROM notes"), NULL, NULL, &out,
                               &self.place.err),
              &self.place.err);
    assert_null(to_commit);
    assert_text(&out, "\"columns\":[\"n\"],\"rows\":[[2]],\"position\":4");
    dbk_buffer_release(&out);
    teardown(&self);
}

/* A plain file is at position 0 and needs no definition; a missing one and other bytes are refused. */
static void test_files_of_other_kinds(void **state)
{
    reader_place self;
    dbk_model_reader *reader;
    (void)state;
    setup(&self);
    dbk_model *plain = place_create(&self.place, "plain", &(dbk_model_options){.bulk = true});
    commit_sql(plain, 2, "INSERT INTO pairs VALUES(1, 'a', 'x')");
    assert_ok(dbk_model_finish(plain, true, &self.place.err), &self.place.err);
    dbk_model_close(plain);
    assert_ok(dbk_reader_open(self.place.port, place_file(&self.place, "plain"), NULL, NULL, &reader, &self.place.err),
              &self.place.err);
    assert_ok(dbk_reader_query(reader, dbk_slice_text("SELECT b FROM pairs"), NULL, NULL, &self.out, &self.place.err),
              &self.place.err);
    assert_text(&self.out, "\"columns\":[\"b\"],\"rows\":[[\"a\"]],\"position\":0");
    assert_int_equal(dbk_reader_named(reader, dbk_slice_text("flags"), NULL, NULL, &self.out, &self.place.err),
                     DBK_UNKNOWN_COMMAND);
    dbk_reader_close(reader);
    assert_int_equal(
        dbk_reader_open(self.place.port, place_file(&self.place, "none"), NULL, NULL, &reader, &self.place.err),
        DBK_MISSING);
    FILE *file = fopen(place_file(&self.place, "text"), "w");
    for (int i = 0; i < 100; i++) fputs("not a database ", file);
    fclose(file);
    assert_int_equal(
        dbk_reader_open(self.place.port, place_file(&self.place, "text"), NULL, NULL, &reader, &self.place.err),
        DBK_CORRUPT);
    assert_null(reader);
    dbk_reader_close(NULL);
    teardown(&self);
}

static void test_memory_runs_out(void **state)
{
    reader_place self;
    thrifty_port thrifty;
    dbk_model_reader *reader;
    bool done = false;
    (void)state;
    setup(&self);
    for (size_t n = 1; !done; n++) {
        thrifty_place(&thrifty, n);
        dbk_buffer out;
        dbk_buffer_init(&out, &thrifty.port);
        dbk_result result = dbk_reader_open(&thrifty.port, place_file(&self.place, "model"), NULL,
                                            self.place.definition, &reader, &self.place.err);
        if (result == DBK_OK)
            result = dbk_reader_query(reader, dbk_slice_text("SELECT * FROM notes, (SELECT ?)"), json(&self, "[[1,2]]"),
                                      NULL, &out, &self.place.err);
        if (result == DBK_OK)
            result = dbk_reader_named(reader, dbk_slice_text("flags"), NULL, NULL, &out, &self.place.err);
        done = result == DBK_OK;
        if (!done) assert_int_equal(result, DBK_NO_MEMORY);
        dbk_reader_close(reader);
        dbk_buffer_release(&out);
        assert_int_equal(thrifty.held, 0);
    }
    teardown(&self);
}

static sqlite3 *holder;

static int let_go(sqlite3_vfs *vfs, int microseconds)
{
    (void)vfs;
    assert_int_equal(sqlite3_close(holder), SQLITE_OK);
    holder = NULL;
    return microseconds;
}

/* As while the writer of a killed process' model recovers its WAL. */
static void test_a_file_that_is_held_is_waited_for(void **state)
{
    reader_place self;
    static sqlite3_vfs waking;
    (void)state;
    waking = *sqlite3_vfs_find(NULL);
    setup(&self);
    dbk_reader_close(self.reader);
    dbk_model_close(self.model);
    self.model = NULL;
    waking.zName = "waking";
    waking.xSleep = let_go;
    assert_int_equal(sqlite3_vfs_register(&waking, 0), SQLITE_OK);
    assert_int_equal(sqlite3_open(place_file(&self.place, "model"), &holder), SQLITE_OK);
    assert_int_equal(sqlite3_exec(holder, "PRAGMA locking_mode=EXCLUSIVE; SELECT * FROM notes", NULL, NULL, NULL),
                     SQLITE_OK);
    assert_ok(dbk_reader_open(self.place.port, place_file(&self.place, "model"), "waking", self.place.definition,
                              &self.reader, &self.place.err),
              &self.place.err);
    assert_null(holder);
    check(&self, "SELECT count(*) FROM notes", NULL, "\"columns\":[\"count(*)\"],\"rows\":[[2]],\"position\":4");
    teardown(&self);
    assert_int_equal(sqlite3_vfs_unregister(&waking), SQLITE_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values_by_declared_type),
        cmocka_unit_test(test_a_file_that_is_held_is_waited_for),
        cmocka_unit_test(test_arguments_of_a_query),
        cmocka_unit_test(test_what_a_query_may_not_do),
        cmocka_unit_test(test_the_app_is_shown_without_the_engine),
        cmocka_unit_test(test_limits_of_an_answer),
        cmocka_unit_test(test_memory_of_a_query),
        cmocka_unit_test(test_named_queries),
        cmocka_unit_test(test_position_and_rows_of_one_state),
        cmocka_unit_test(test_commit_between_position_and_rows),
        cmocka_unit_test(test_files_of_other_kinds),
        cmocka_unit_test(test_memory_runs_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
