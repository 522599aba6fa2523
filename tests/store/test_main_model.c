/* models.main of app.json: the memory of the inline model's writer, and how many readers wait for queries. */
#include "store/engine.h"
#include "store/request.h"
#include "tests/store/engine_fixture.h"

#include <sqlite3.h>

static const char schema[] = "CREATE TABLE notes (id TEXT PRIMARY KEY NOT NULL, title TEXT);\n";
enum { BORROWED = 6 };

static void start(engine_fixture *f, const char *main_rules)
{
    char app[200];
    snprintf(app, sizeof app, "{\"daybook\": 1, \"name\": \"main\", \"models\": {\"main\": %s}}", main_rules);
    dbk_source sources[2] = {{"schema.sql", dbk_slice_text(schema)}, {"app.json", dbk_slice_text(app)}};
    fixture_start_with(f, definition_of_sources(sources, 2));
}

static int cache_of(engine_fixture *f)
{
    sqlite3_stmt *row = NULL;
    assert_int_equal(sqlite3_prepare_v2(dbk_model_handle(f->engine->model), "PRAGMA cache_size", -1, &row, NULL),
                     SQLITE_OK);
    assert_int_equal(sqlite3_step(row), SQLITE_ROW);
    int pages = sqlite3_column_int(row, 0);
    sqlite3_finalize(row);
    return pages;
}

/* All borrowed at a time and given back: those that are kept. */
static size_t readers_of(engine_fixture *f)
{
    dbk_lent_reader lent[BORROWED];
    size_t kept = 0;
    for (int i = 0; i < BORROWED; i++) assert_int_equal(dbk_reader_borrow(f->engine, &lent[i], &f->error), DBK_OK);
    for (int i = 0; i < BORROWED; i++) dbk_reader_give_back(f->engine, &lent[i]);
    for (size_t i = 0; i < DBK_MODEL_READERS_MAX; i++) kept += f->engine->readers[i] != NULL;
    return kept;
}

static void its_cache_and_readers_are_as_app_json_says(void **state)
{
    static const struct {
        const char *rules;
        int pages;
        size_t readers;
    } cases[] = {{"{}", 512, 4},
                 {"{\"cache\": \"8 MiB\", \"readers\": 1}", 2048, 1},
                 {"{\"cache\": \"1 MiB\", \"readers\": 64}", 256, BORROWED}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        engine_fixture f;
        start(&f, cases[i].rules);
        assert_int_equal(cache_of(&f), cases[i].pages);
        assert_int_equal(readers_of(&f), cases[i].readers);
        assert_int_equal(readers_of(&f), cases[i].readers);
        fixture_stop(&f);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(its_cache_and_readers_are_as_app_json_says)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
