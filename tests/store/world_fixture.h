/* Several stores of one lineage beside each other, for the tests of facts, requests, replay and feed. */
#ifndef DBK_TEST_STORE_WORLD_FIXTURE_H
#define DBK_TEST_STORE_WORLD_FIXTURE_H

#include "tests/store/engine_fixture.h"

#include "store/engine.h"

enum { WORLD_STORES = 3 };

typedef struct world {
    char *folder;
    char paths[WORLD_STORES][4200];
    dbk_definition *definition;
    dbk_engine_options options[WORLD_STORES];
    dbk_engine *engines[WORLD_STORES];
    int64_t now_ms[WORLD_STORES];
    uint64_t seed, commands;
    dbk_json_parser *parser;
    dbk_error error;
} world;

static const char world_schema[] =
    "CREATE TABLE notes (id TEXT PRIMARY KEY NOT NULL, title TEXT UNIQUE, stars INTEGER DEFAULT 0, done BOOLEAN);\n"
    "CREATE TABLE tags (note TEXT NOT NULL REFERENCES notes(id) ON DELETE CASCADE, name TEXT NOT NULL,\n"
    "                   PRIMARY KEY (note, name)) WITHOUT ROWID;\n"
    "CREATE TABLE free (id INTEGER PRIMARY KEY NOT NULL, what TEXT);\n"
    "CREATE INDEX free_what ON free(what);\n"
    "CREATE TABLE progress (job TEXT PRIMARY KEY NOT NULL, pct INTEGER NOT NULL CHECK (pct <= 100));\n";
static const char world_projections[] = "-- on job.started\n"
                                        "INSERT INTO progress(job, pct) VALUES ($id, 0);\n"
                                        "-- on job.progressed\n"
                                        "UPDATE progress SET pct = $pct WHERE job = $id;\n";

static inline void world_open(world *w, size_t i)
{
    dbk_result result = dbk_engine_open(w->paths[i], &w->options[i], &w->engines[i], &w->error);
    if (result != DBK_OK) print_error("%s\n", w->error.text);
    assert_int_equal(result, DBK_OK);
}

/* The definition is the world's from here on. */
static inline void world_start_with(world *w, uint64_t seed, dbk_definition *definition)
{
    static const char *const timelines[WORLD_STORES] = {"a", "b", "c"};
    memset(w, 0, sizeof *w);
    w->seed = seed;
    w->folder = temporary_dir();
    w->definition = definition;
    w->parser = dbk_json_parser_new(dbk_port_system());
    for (size_t i = 0; i < WORLD_STORES; i++) {
        snprintf(w->paths[i], sizeof w->paths[i], "%s/%s.daybook", w->folder, timelines[i]);
        w->options[i] = (dbk_engine_options){.definition = w->definition,
                                             .no_threads = true,
                                             .given_ids = true,
                                             .incarnation = 1,
                                             .timeline = timelines[i]};
        w->options[i].log.no_direct = true;
        w->options[i].model = (dbk_model_options){.journal_rows = 16, .keys_only_over = 4, .reset_table_over = 8};
        memset(w->options[i].replica, 'a' + (int)i, 16);
        memset(w->options[i].lineage, 'l', 16);
        w->now_ms[i] = 1700000000000;
        assert_int_equal(dbk_engine_create(w->paths[i], NULL, &w->options[i], NULL, &w->error), DBK_OK);
        world_open(w, i);
    }
}

static inline void world_start(world *w, uint64_t seed)
{
    world_start_with(w, seed, definition_of(world_schema, world_projections));
}

static inline void world_stop(world *w)
{
    for (size_t i = 0; i < WORLD_STORES; i++) dbk_engine_close(w->engines[i]);
    dbk_json_parser_free(w->parser);
    dbk_definition_free(w->definition);
    remove_temporary_dir(w->folder);
}

/* For cmocka: a world of a test's own, and its end. */
static inline world *world_new(void **state, uint64_t seed)
{
    world *w = calloc(1, sizeof *w);
    assert_non_null(w);
    world_start(w, seed);
    *state = w;
    return w;
}
static inline int world_teardown(void **state)
{
    world_stop(*state);
    free(*state);
    return 0;
}

static inline uint64_t world_random(world *w, uint64_t below)
{
    w->seed ^= w->seed << 13;
    w->seed ^= w->seed >> 7;
    w->seed ^= w->seed << 17;
    return w->seed % below;
}

/* The receipt of one command; the caller's to free. */
static inline char *world_decide(world *w, size_t i, const char *command)
{
    dbk_slice text = dbk_slice_text(command);
    dbk_buffer receipt;
    dbk_buffer_init(&receipt, dbk_port_system());
    w->now_ms[i] += 1000;
    assert_int_equal(dbk_engine_decide(w->engines[i], &text, 1, w->now_ms[i], &receipt, &w->error), DBK_OK);
    assert_non_null(dbk_buffer_text(&receipt));
    return (char *)receipt.data;
}

static inline void world_accept(world *w, size_t i, const char *command)
{
    char *receipt = world_decide(w, i, command);
    if (!strstr(receipt, "\"ok\":true")) print_error("%s\n%s\n", command, receipt);
    assert_non_null(strstr(receipt, "\"ok\":true"));
    free(receipt);
}

/* The answer of a request, or the text of its error; the caller's to free. */
static inline char *world_ask(world *w, size_t i, const char *request)
{
    const dbk_json_node *root;
    dbk_buffer answer;
    dbk_json_parser *parser = dbk_json_parser_new(dbk_port_system());
    dbk_error error = {0};
    dbk_buffer_init(&answer, dbk_port_system());
    assert_int_equal(dbk_json_parse(parser, dbk_slice_text(request), &root, &error), DBK_OK);
    assert_true(dbk_request_is(root));
    dbk_result result = dbk_request_answer(w->engines[i], root, &answer, &error);
    if (result != DBK_OK)
        dbk_buffer_printf(&answer, "%s: %s%s%s", dbk_result_wire_name(result), error.text, error.hint[0] ? " | " : "",
                          error.hint);
    dbk_json_parser_free(parser);
    assert_non_null(dbk_buffer_text(&answer));
    return (char *)answer.data;
}

static inline void world_expect(world *w, size_t i, const char *request, const char *answer)
{
    char *got = world_ask(w, i, request);
    if (strcmp(got, answer) != 0) print_error("%s\n", request);
    assert_string_equal(got, answer);
    free(got);
}

static inline void world_contains(world *w, size_t i, const char *request, const char *part)
{
    char *got = world_ask(w, i, request);
    if (!strstr(got, part)) print_error("%s\n%s\n%s\n", request, part, got);
    assert_non_null(strstr(got, part));
    free(got);
}

/* A random command of any kind on few keys, so that stores get into each other's way. */
static inline void world_random_command(world *w, size_t i)
{
    char command[400], id[40];
    unsigned key = (unsigned)world_random(w, 4), other = (unsigned)world_random(w, 6);
    snprintf(id, sizeof id, "%c%llu", (char)('a' + i), (unsigned long long)w->commands++);
    switch (world_random(w, 9)) {
    case 0:
    case 1:
        snprintf(command, sizeof command,
                 "{\"id\":\"%s\",\"do\":\"put\",\"table\":\"notes\",\"key\":\"n%u\",\"data\":{\"title\":\"t%u\","
                 "\"done\":true}}",
                 id, key, other);
        break;
    case 2:
        snprintf(command, sizeof command,
                 "{\"id\":\"%s\",\"do\":\"patch\",\"table\":\"notes\",\"key\":\"n%u\",\"data\":{\"stars\":%u}}", id,
                 key, other);
        break;
    case 3:
        snprintf(command, sizeof command, "{\"id\":\"%s\",\"do\":\"delete\",\"table\":\"notes\",\"key\":\"n%u\"}", id,
                 key);
        break;
    case 4:
        snprintf(command, sizeof command, "{\"id\":\"%s\",\"do\":\"put\",\"table\":\"tags\",\"key\":[\"n%u\",\"x%u\"]}",
                 id, key, other);
        break;
    case 5:
        snprintf(command, sizeof command,
                 "{\"id\":\"%s\",\"do\":\"put\",\"table\":\"free\",\"key\":%u,\"data\":{\"what\":\"w%u\"}}", id, key,
                 other);
        break;
    case 6:
        snprintf(
            command, sizeof command,
            "{\"id\":\"%s\",\"do\":\"append\",\"stream\":\"job/%u\",\"type\":\"job.started\",\"data\":{\"id\":\"%u\"}}",
            id, key, key);
        break;
    case 7:
        snprintf(command, sizeof command,
                 "{\"id\":\"%s\",\"do\":\"append\",\"stream\":\"job/"
                 "%u\",\"type\":\"job.progressed\",\"data\":{\"id\":\"%u\",\"pct\":%u}}",
                 id, key, key, other);
        break;
    default:
        snprintf(command, sizeof command,
                 "{\"id\":\"shared%u\",\"do\":\"put\",\"table\":\"free\",\"key\":%u,\"data\":{\"what\":\"%c\"}}", other,
                 key, (char)('a' + i));
        break;
    }
    free(world_decide(w, i, command));
}

/* Entries of one log, as bytes. */
typedef struct facts {
    dbk_buffer bytes[512];
    dbk_slice slices[512];
    size_t count;
} facts;

static inline void facts_take(facts *f, world *w, size_t i, uint64_t position)
{
    assert_true(f->count < 512);
    dbk_buffer *bytes = &f->bytes[f->count];
    dbk_buffer_init(bytes, dbk_port_system());
    assert_int_equal(dbk_log_read(dbk_engine_log(w->engines[i]), position, bytes, NULL, &w->error), DBK_OK);
    f->slices[f->count++] = dbk_buffer_slice(bytes);
}

static inline void facts_clear(facts *f)
{
    for (size_t i = 0; i < f->count; i++) dbk_buffer_release(&f->bytes[i]);
    f->count = 0;
}

static inline dbk_result facts_deliver(facts *f, world *w, size_t to, uint64_t *logged, uint64_t *parked)
{
    return dbk_engine_import(w->engines[to], f->slices, f->count, w->now_ms[to], logged, parked, &w->error);
}

static inline void world_fingerprint(world *w, size_t i, char out[33])
{
    dbk_model_state state;
    dbk_model_get_state(dbk_engine_model(w->engines[i]), &state);
    dbk_fingerprint_text(state.fingerprint, out);
}

/* The model is what a fold of the log alone gives. */
static inline void world_assert_folds(world *w, size_t i)
{
    char path[4300], live[33], cold[33];
    dbk_model_state state;
    snprintf(path, sizeof path, "%s/cold.sqlite", w->folder);
    assert_int_equal(dbk_engine_replay(w->engines[i], NULL, path, true, NULL, NULL, &state, &w->error), DBK_OK);
    remove(path);
    dbk_fingerprint_text(state.fingerprint, cold);
    world_fingerprint(w, i, live);
    assert_string_equal(live, cold);
}

#endif
