/* Projections that would run for ever, or nearly: the entry is skipped, in every fold at the same step. */
#include "tests/projector/fold_fixture.h"

#include <stdio.h>
#include <stdlib.h>

enum { THOUSANDS = 20, FACTS = 30 };

static const char schema[] =
    "CREATE TABLE lines(work TEXT NOT NULL, n INTEGER NOT NULL, text TEXT, PRIMARY KEY(work, n));\n"
    "CREATE INDEX lines_by_text ON lines(text, n);\n"
    "CREATE INDEX lines_by_n ON lines(n);\n"
    "CREATE TABLE sizes(id TEXT PRIMARY KEY NOT NULL, size INTEGER);\n";
static const char projections[] =
    "-- on work.lines\n"
    "INSERT INTO lines(work, n, text) WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < $n)\n"
    "  SELECT $id, i, 'line ' || i FROM c;\n"
    "-- on work.endless\n"
    "INSERT INTO sizes(id, size) VALUES ($id, 0);\n"
    "UPDATE sizes SET size = (WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c) SELECT count(*) FROM c)\n"
    "  WHERE id = $id;\n"
    "-- on work.long\n"
    "INSERT INTO sizes(id, size) VALUES ($id, length(printf('%.*c', $n, 'x')));\n"
    "-- on work.pattern\n"
    "INSERT INTO sizes(id, size) VALUES ($id, $id LIKE printf('%.*c', $n, 'a'));\n"
    "-- on work.sorts\n"
    "INSERT INTO sizes(id, size) WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < $n)\n"
    "  SELECT $id, count(DISTINCT printf('%.500c', 'x') || i) FROM c;\n"
    "-- on work.again\n"
    "INSERT INTO sizes(id, size) WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < $n)\n"
    "  SELECT $id, i FROM c WHERE true ON CONFLICT(id) DO UPDATE SET size = excluded.size;\n"
    "-- on work.writes\n"
    "INSERT INTO lines(work, n, text) WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < $n)\n"
    "  SELECT $id, i, printf('%.1000000c', 'x') FROM c;\n"
    "-- on work.grows\n"
    "INSERT INTO sizes(id, size) WITH RECURSIVE c(i, t) AS (SELECT 1, $id UNION ALL SELECT i + 1, t || t FROM c\n"
    "  WHERE i < 200) SELECT $id, max(length(t)) FROM c;\n";

static dbk_definition *make_definition(void)
{
    dbk_source sources[2] = {{"schema.sql", dbk_slice_text(schema)}, {"projections.sql", dbk_slice_text(projections)}};
    dbk_definition *definition = NULL;
    dbk_findings findings = {0};
    dbk_error err = {0};
    dbk_result result = dbk_definition_parse(dbk_port_system(), sources, 2, "bound", &definition, &findings, &err);
    for (size_t i = 0; i < findings.errors; i++) print_error("%s\n", findings.items[i].text);
    dbk_findings_free(&findings);
    assert_int_equal(result, DBK_OK);
    return definition;
}

typedef struct bench {
    fold_place place;
    dbk_definition *definition;
    dbk_arena *arena;
    dbk_model *live; /* caught up after each entry */
    uint64_t seq;
    const dbk_model_options *options;
} bench;

static const dbk_model_options options = {.fold_thousands = THOUSANDS};
static const dbk_model_options small = {.fold_thousands = 100 * 1000, .fold_mib = 8, .written_mib = 16};

static int set_up_with(void **state, const dbk_model_options *chosen)
{
    bench *b = calloc(1, sizeof *b);
    char path[192];
    b->definition = make_definition();
    b->arena = dbk_arena_new(dbk_port_system(), 64 * 1024);
    place_open(&b->place, b->definition);
    place_path(&b->place, path);
    assert_int_equal(
        dbk_model_create(b->place.port, path, b->definition, b->place.log, chosen, &b->live, &b->place.err), DBK_OK);
    b->options = chosen;
    *state = b;
    return 0;
}

static int set_up(void **state)
{
    return set_up_with(state, &options);
}

static int set_up_small(void **state)
{
    return set_up_with(state, &small);
}

static int tear_down(void **state)
{
    bench *b = *state;
    dbk_model_close(b->live);
    place_close(&b->place);
    dbk_arena_free(b->arena);
    dbk_definition_free(b->definition);
    free(b);
    return 0;
}

static void add(bench *b, const char *type, const char *id, long n)
{
    char data[100];
    fact_text text = {0, ++b->seq, b->seq * 10, NULL, "work/1", type, data};
    snprintf(data, sizeof data, "{\"id\":\"%s\",\"n\":%ld}", id, n);
    fact one = make_fact(b->arena, b->definition, &text);
    place_append(&b->place, &one, 1);
}

static void catch_up(bench *b)
{
    bool shadow = false;
    dbk_result result = dbk_model_catch_up(b->live, 0, NULL, NULL, NULL, &shadow, &b->place.err);
    if (result != DBK_OK) fail_msg("%s", b->place.err.text);
    assert_false(shadow);
}

static dbk_result put_skip(void *arg, const dbk_skip *skip)
{
    dbk_buffer_printf(arg, "%s: %s\n", skip->state, skip->reason);
    return DBK_OK;
}

static char *text_of(bench *b, dbk_model *model)
{
    dbk_buffer out;
    dbk_model_state state;
    char fingerprint[33];
    dbk_buffer_init(&out, dbk_port_system());
    dbk_model_get_state(model, &state);
    dbk_fingerprint_text(state.fingerprint, fingerprint);
    dbk_buffer_printf(&out, "%s\n", fingerprint);
    assert_int_equal(dbk_model_skips(model, put_skip, &out, &b->place.err), DBK_OK);
    char *text = strdup(dbk_buffer_text(&out));
    dbk_buffer_release(&out);
    return text;
}

/* The skip list with its fingerprint, the same of the model that lived through it and of one that is built. */
static char *judged(bench *b, unsigned *skipped)
{
    dbk_model *built = place_build(&b->place, (dbk_shadow_options){.model = *b->options});
    char *live = text_of(b, b->live), *cold = text_of(b, built);
    assert_string_equal(live, cold);
    dbk_model_close(built);
    free(cold);
    *skipped = 0;
    for (const char *at = live; (at = strstr(at, "skipped: ")) != NULL; at++) ++*skipped;
    return live;
}

/* So many entries are skipped, live as in a build, and for this reason. */
static void must_skip(bench *b, unsigned wanted, const char *reason)
{
    unsigned count;
    catch_up(b);
    char *text = judged(b, &count);
    assert_int_equal(count, wanted);
    assert_non_null(strstr(text, reason));
    free(text);
}

/* Recursions of all lengths around the bound, over a table whose indexes a build sets aside. */
static void the_bound_is_the_same_in_every_fold(void **state)
{
    bench *b = *state;
    char id[20];
    for (long n = 0; n < FACTS; n++) {
        snprintf(id, sizeof id, "w%ld", n);
        add(b, "work.lines", id, 100 + n * 40);
        catch_up(b);
    }
    unsigned count;
    free(judged(b, &count));
    assert_true(count > 0 && count < FACTS);
}

static void what_has_no_end_is_skipped_with_the_reason(void **state)
{
    bench *b = *state;
    add(b, "work.lines", "a", 3);
    add(b, "work.endless", "b", 1);
    add(b, "work.endless", "c", 1);
    add(b, "work.lines", "d", 3);
    must_skip(b, 2, "projections.sql:6: the projection takes more than 20 thousand steps");
}

static void values_without_measure_are_not_made(void **state)
{
    bench *b = *state;
    add(b, "work.long", "a", 1000);
    add(b, "work.long", "b", 1000000000);
    add(b, "work.grows", "c", 1);
    must_skip(b, 2, "too big");
}

/* LIKE is one step, however long it looks: its pattern is bounded. */
static void patterns_are_short(void **state)
{
    bench *b = *state;
    add(b, "work.pattern", "a", 256);
    add(b, "work.pattern", "b", 257);
    must_skip(b, 1, "pattern too complex");
}

/* Sorting keeps what it sorts: above the bound the entry is skipped, live as in a build, and the next one is not. */
static void memory_is_bounded(void **state)
{
    bench *b = *state;
    add(b, "work.sorts", "a", 3000);
    add(b, "work.sorts", "b", 30000);
    add(b, "work.sorts", "c", 3000);
    must_skip(b, 1, "projections.sql:13: the projection takes more than 8 MiB of memory");
}

/* One row, changed without end, and few rows that are large: the entry's changes are kept to take it back. */
static void what_an_entry_writes_is_bounded(void **state)
{
    bench *b = *state;
    add(b, "work.again", "a", 1000);
    add(b, "work.again", "b", 1000 * 1000);
    add(b, "work.writes", "c", 1000 * 10);
    add(b, "work.lines", "d", 200 * 1000);
    add(b, "work.writes", "e", 3);
    catch_up(b);
    unsigned count;
    char *text = judged(b, &count);
    assert_int_equal(count, 3);
    assert_non_null(strstr(text, "projections.sql:16: the projection writes more than 16 MiB for one entry"));
    assert_non_null(strstr(text, "projections.sql:19: the projection writes more than 16 MiB for one entry"));
    assert_non_null(strstr(text, "projections.sql:2: the projection changes more than 100000 rows for one entry"));
    free(text);
}

/* A trail hears of each entry once, however often the fold began again. */
static dbk_result count_told(void *arg, uint64_t position, const dbk_entry *entry, const dbk_trail_row *rows,
                             size_t count, dbk_error *err)
{
    (void)entry, (void)rows, (void)count, (void)err;
    ((unsigned *)arg)[position]++;
    return DBK_OK;
}

static void a_trail_hears_of_each_entry_once(void **state)
{
    bench *b = *state;
    unsigned told[8] = {0};
    dbk_trail trail = {.each = count_told, .arg = told};
    add(b, "work.lines", "a", 3);
    add(b, "work.endless", "b", 1);
    add(b, "work.lines", "c", 3);
    add(b, "work.endless", "d", 1);
    add(b, "work.lines", "e", 3);
    dbk_model *built = place_build(&b->place, (dbk_shadow_options){.model = options, .trail = &trail});
    dbk_model_close(built);
    for (int i = 1; i <= 5; i++) assert_int_equal(told[i], i % 2);
    memset(told, 0, sizeof told);
    dbk_model_follow(b->live, &trail);
    catch_up(b);
    dbk_model_follow(b->live, NULL);
    for (int i = 1; i <= 5; i++) assert_int_equal(told[i], i % 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_bound_is_the_same_in_every_fold, set_up, tear_down),
        cmocka_unit_test_setup_teardown(what_has_no_end_is_skipped_with_the_reason, set_up, tear_down),
        cmocka_unit_test_setup_teardown(values_without_measure_are_not_made, set_up, tear_down),
        cmocka_unit_test_setup_teardown(patterns_are_short, set_up, tear_down),
        cmocka_unit_test_setup_teardown(memory_is_bounded, set_up_small, tear_down),
        cmocka_unit_test_setup_teardown(what_an_entry_writes_is_bounded, set_up_small, tear_down),
        cmocka_unit_test_setup_teardown(a_trail_hears_of_each_entry_once, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
