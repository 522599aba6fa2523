/* Which indexes a build does without, and that all are there at its end. */
#include "projector/model/shadow_index.h"
#include "tests/projector/fold_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static const char schema[] = "CREATE TABLE parents(id TEXT PRIMARY KEY, word TEXT);\n"
                             "CREATE TABLE children(id TEXT PRIMARY KEY, parent TEXT REFERENCES parents ON DELETE "
                             "CASCADE, word TEXT, size INTEGER);\n"
                             "CREATE TABLE jobs(id TEXT PRIMARY KEY, state TEXT, at TEXT);\n"
                             "CREATE INDEX children_by_parent ON children(Parent, size);\n"
                             "CREATE INDEX children_by_size ON children(size) -- the last one\n;\n"
                             "CREATE UNIQUE INDEX children_by_word ON children(word);\n"
                             "CREATE INDEX parents_by_word ON parents(word) WHERE word > 'a';\n"
                             "CREATE INDEX jobs_by_state ON jobs(state);\n"
                             "CREATE INDEX jobs_by_at ON jobs(at);\n";
static const char projections[] =
    "-- on job.queued\nINSERT INTO jobs(id, state, at) VALUES($id, 'queued', CURRENT_TIMESTAMP);\n"
    "-- on job.swept\n-- may change nothing\nDELETE FROM jobs WHERE state = 'done';\n";
static dbk_definition *parse(const char *text)
{
    dbk_source sources[2] = {{"schema.sql", dbk_slice_text(text)}, {"projections.sql", dbk_slice_text(projections)}};
    dbk_definition *definition = NULL;
    dbk_findings findings = {0};
    dbk_error err = {0};
    dbk_result result = dbk_definition_parse(dbk_port_system(), sources, 2, "index", &definition, &findings, &err);
    if (result != DBK_OK) fail_msg("%s: %s", err.text, findings.count ? findings.items[0].text : "");
    dbk_findings_free(&findings);
    return definition;
}

/* Names and SQL of the indexes that were written out, by name. */
static char *indexes_of(dbk_model *model, const char *what)
{
    sqlite3_stmt *rows = NULL;
    dbk_buffer out;
    dbk_buffer_init(&out, dbk_port_system());
    char *sql =
        sqlite3_mprintf("SELECT %s FROM sqlite_schema WHERE type = 'index' AND sql IS NOT NULL ORDER BY name", what);
    assert_int_equal(sqlite3_prepare_v2(dbk_model_handle(model), sql, -1, &rows, NULL), SQLITE_OK);
    sqlite3_free(sql);
    while (sqlite3_step(rows) == SQLITE_ROW) dbk_buffer_printf(&out, "%s|", (const char *)sqlite3_column_text(rows, 0));
    sqlite3_finalize(rows);
    char *text = strdup(dbk_buffer_text(&out));
    dbk_buffer_release(&out);
    return text;
}

static void assert_indexes(dbk_model *model, const char *names)
{
    char *text = indexes_of(model, "name");
    assert_string_equal(text, names);
    free(text);
}

static const char all[] =
    "children_by_parent|children_by_size|children_by_word|jobs_by_at|jobs_by_state|parents_by_word|";

/* Foreign key, UNIQUE and the plan of a projection keep theirs; the rest goes, and comes back as it was. */
static void test_only_unused_ones_are_set_aside(void **state)
{
    (void)state;
    fold_place place;
    dbk_buffer create;
    dbk_definition *definition = parse(schema);
    place_open(&place, definition);
    dbk_buffer_init(&create, place.port);
    dbk_model *model = place_model(&place);
    char *before = indexes_of(model, "sql");
    assert_indexes(model, all);
    assert_int_equal(dbk_indexes_set_aside(model, &create, &place.err), DBK_OK);
    assert_indexes(model, "children_by_parent|children_by_word|jobs_by_state|");
    assert_int_equal(dbk_indexes_put_back(model, &create, &place.err), DBK_OK);
    assert_indexes(model, all);
    char *after = indexes_of(model, "sql");
    assert_string_equal(before, after);
    free(before);
    free(after);
    dbk_buffer_release(&create);
    dbk_model_close(model);
    place_close(&place);
    dbk_definition_free(definition);
}

/* A build ends with all of them, filled. */
static void test_a_build_ends_with_all(void **state)
{
    (void)state;
    fold_place place;
    dbk_definition *definition = parse(schema);
    dbk_arena *arena = dbk_arena_new(dbk_port_system(), 4096);
    place_open(&place, definition);
    fact one = make_fact(arena, definition,
                         &(fact_text){0, 1, 5, "a", "parents/1", "parents.put", "{\"id\":\"1\",\"word\":\"z\"}"});
    place_append(&place, &one, 1);
    dbk_model *model = place_build(&place, (dbk_shadow_options){0});
    assert_indexes(model, all);
    sqlite3_stmt *row = NULL;
    const char *sql =
        "SELECT (SELECT count(*) FROM parents INDEXED BY parents_by_word WHERE word > 'a'), integrity_check"
        " FROM pragma_integrity_check";
    assert_int_equal(sqlite3_prepare_v2(dbk_model_handle(model), sql, -1, &row, NULL), SQLITE_OK);
    assert_int_equal(sqlite3_step(row), SQLITE_ROW);
    assert_int_equal(sqlite3_column_int(row, 0), 1);
    assert_string_equal(sqlite3_column_text(row, 1), "ok");
    sqlite3_finalize(row);
    dbk_model_close(model);
    place_close(&place);
    dbk_arena_free(arena);
    dbk_definition_free(definition);
}

/* What an image notes is text of a file that anybody may have made: it makes indexes, and does nothing else. */
static void test_a_note_does_nothing_but_ddl(void **state)
{
    (void)state;
    fold_place place;
    dbk_buffer create;
    char path[192], note[512];
    dbk_definition *definition = parse(schema);
    place_open(&place, definition);
    dbk_buffer_init(&create, place.port);
    dbk_model *model = place_model(&place);
    place_path(&place, path);
    (void)snprintf(note, sizeof note, "CREATE INDEX more ON jobs(at); ATTACH '%s' AS other; CREATE TABLE other.t(x)",
                   path);
    const char *const notes[] = {note, "INSERT INTO _daybook_meta VALUES('more', 1)", "DROP TABLE jobs",
                                 "PRAGMA synchronous=OFF"};
    for (size_t i = 0; i < sizeof notes / sizeof *notes; i++) {
        dbk_buffer_clear(&create);
        dbk_buffer_put(&create, notes[i], strlen(notes[i]) + 1);
        assert_int_equal(dbk_indexes_put_back(model, &create, &place.err), DBK_CORRUPT);
    }
    assert_int_equal(access(path, F_OK), -1);
    dbk_buffer_release(&create);
    dbk_model_close(model);
    place_close(&place);
    dbk_definition_free(definition);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_only_unused_ones_are_set_aside),
        cmocka_unit_test(test_a_build_ends_with_all),
        cmocka_unit_test(test_a_note_does_nothing_but_ddl),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
