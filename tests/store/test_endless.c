/* An entry whose projection is more work than the fold may do: import, replay and rebuild go on without it. */
#include "tests/store/engine_fixture.h"

#include "store/engine.h"

static const char schema[] = "CREATE TABLE sums(id TEXT PRIMARY KEY NOT NULL, sum INTEGER);";
static const char projections[] =
    "-- on work.sum\n"
    "INSERT INTO sums(id, sum) WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < $n)\n"
    "  SELECT $id, count(*) FROM c;\n";

/* A store of the same lineage, by another replica, whose fold may do little. */
static void start_other(engine_fixture *f)
{
    fixture_start(f, schema, projections);
    dbk_engine_close(f->engine);
    snprintf(f->path, sizeof f->path, "%s/other.daybook", f->folder);
    memset(f->options.replica, 's', 16);
    f->options.timeline = "u";
    f->options.model.fold_thousands = 20;
    assert_int_equal(dbk_engine_create(f->path, NULL, &f->options, NULL, &f->error), DBK_OK);
    fixture_open(f);
}

static dbk_result note(void *arg, const dbk_skip *skip)
{
    assert_string_equal(skip->state, "skipped");
    assert_non_null(strstr(skip->reason, "the projection takes more than 20 thousand steps"));
    ++*(int *)arg;
    return DBK_OK;
}

static void skips_one(engine_fixture *f)
{
    int count = 0;
    dbk_model_state state;
    assert_int_equal(dbk_model_skips(dbk_engine_model(f->engine), note, &count, &f->error), DBK_OK);
    assert_int_equal(count, 1);
    dbk_model_get_state(dbk_engine_model(f->engine), &state);
    assert_int_equal(state.position, dbk_log_position(dbk_engine_log(f->engine)));
}

static void import_replay_and_rebuild_go_on(void **state)
{
    engine_fixture author, reader;
    dbk_buffer origins[3];
    dbk_slice facts[3];
    dbk_model_state replayed, live;
    uint64_t logged = 0, parked = 0;
    char path[4300];
    (void)state;
    fixture_start(&author, schema, projections);
    start_other(&reader);
    must_accept(
        &author,
        "{\"id\":\"1\",\"do\":\"append\",\"stream\":\"w\",\"type\":\"work.sum\",\"data\":{\"id\":\"a\",\"n\":9}}");
    must_accept(
        &author,
        "{\"id\":\"2\",\"do\":\"append\",\"stream\":\"w\",\"type\":\"work.sum\",\"data\":{\"id\":\"b\",\"n\":90000}}");
    must_accept(
        &author,
        "{\"id\":\"3\",\"do\":\"append\",\"stream\":\"w\",\"type\":\"work.sum\",\"data\":{\"id\":\"c\",\"n\":9}}");
    for (uint64_t i = 0; i < 3; i++) {
        dbk_buffer_init(&origins[i], dbk_port_system());
        assert_int_equal(dbk_log_read(dbk_engine_log(author.engine), i + 1, &origins[i], NULL, &author.error), DBK_OK);
        facts[i] = dbk_buffer_slice(&origins[i]);
    }
    assert_int_equal(dbk_engine_import(reader.engine, facts, 3, author.now_ms + 1000, &logged, &parked, &reader.error),
                     DBK_OK);
    assert_int_equal(logged, 3);
    skips_one(&reader);
    reader.now_ms = author.now_ms + 1000;
    must_accept(
        &reader,
        "{\"id\":\"4\",\"do\":\"append\",\"stream\":\"w\",\"type\":\"work.sum\",\"data\":{\"id\":\"d\",\"n\":9}}");
    snprintf(path, sizeof path, "%s/out.sqlite", reader.folder);
    assert_int_equal(dbk_engine_replay(reader.engine, NULL, path, true, NULL, NULL, &replayed, &reader.error), DBK_OK);
    dbk_model_get_state(dbk_engine_model(reader.engine), &live);
    assert_true(replayed.fingerprint.low == live.fingerprint.low && replayed.fingerprint.high == live.fingerprint.high);
    assert_int_equal(dbk_engine_reset_generation(reader.engine, NULL, NULL, &reader.error), DBK_OK);
    skips_one(&reader);
    for (int i = 0; i < 3; i++) dbk_buffer_release(&origins[i]);
    fixture_stop(&reader);
    fixture_stop(&author);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(import_replay_and_rebuild_go_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
