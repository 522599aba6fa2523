/* Rules of tables from app.json: what the engine adds to a row, what it refuses, what is recorded, and that
 * the same history folded anew gives the same rows. */
#include "tests/projector/row_fixture.h"

#include <ctype.h>
#include <stdio.h>

static const char app[] =
    "{\"daybook\": 1, \"name\": \"rules\", \"version\": 3, \"tables\": {\n"
    " \"jobs\": {\"id\": \"uuid7\", \"version\": 7, \"stamps\": {\"created\": \"made\", \"updated\": \"changed\"},\n"
    "  \"states\": {\"status\": {\"start\": [\"queued\", \"draft\"], \"moves\": {\"queued\": [\"running\", "
    "\"canceled\"],\n"
    "   \"running\": [\"done\", null], \"null\": [\"queued\"], \"draft\": [\"queued\"]}}},\n"
    "  \"messages\": {\"UNIQUE jobs.title\": \"This title is taken\"}},\n"
    " \"files\": {\"id\": \"text\", \"sanitize\": {\"name\": [\"trim\", \"strip-control\", \"no-traversal\"]}, "
    "\"max_row\": \"100 B\"},\n"
    " \"boards\": {\"id\": \"uuid4\", \"derived\": [\"cards\"]},\n"
    " \"cards\": {\"id\": \"integer\"},\n"
    " \"docs\": {\"sync\": {\"delete\": \"edit_wins\", \"conflict\": {\"n\": \"counter\"}}}, \"names\": {\"sync\": "
    "{\"unique\": \"suffix\"}},\n"
    " \"stats\": {\"sync\": {\"conflict\": {\"n\": \"counter\", \"ratio\": \"counter\", \"best\": \"max\", \"least\": "
    "\"min\", \"owner\": \"fww\","
    "  \"tags\": \"set\"}}}},\n"
    " \"retention\": [{\"name\": \"few-logs\", \"table\": \"logs\", \"keep\": {\"last\": 2, \"by\": \"at\", \"per\": "
    "\"job\"}},\n"
    "  {\"name\": \"one-beat\", \"table\": \"beats\", \"keep\": {\"last\": 1, \"by\": \"at\"}}]}";
static const char schema[] =
    "CREATE TABLE jobs(id UUID NOT NULL PRIMARY KEY, title TEXT UNIQUE, status TEXT DEFAULT 'queued', note JSON, made "
    "DATETIME, changed DATETIME);\n"
    "CREATE TABLE files(id TEXT NOT NULL PRIMARY KEY, name TEXT, body TEXT);\n"
    "CREATE TABLE boards(id TEXT NOT NULL PRIMARY KEY, title TEXT, cards INTEGER NOT NULL DEFAULT 0);\n"
    "CREATE TABLE cards(id INTEGER PRIMARY KEY, board TEXT);\n"
    "CREATE TABLE stats(id TEXT NOT NULL PRIMARY KEY, n INTEGER DEFAULT 5, ratio REAL, best INTEGER, least TEXT, owner "
    "TEXT, tags JSON);\n"
    "CREATE TABLE logs(id TEXT NOT NULL PRIMARY KEY, job TEXT, at INTEGER);\n"
    "CREATE INDEX logs_job ON logs(job, at);\n"
    "CREATE TABLE docs(id TEXT NOT NULL PRIMARY KEY, body TEXT, n INTEGER);\n"
    "CREATE TABLE names(id TEXT NOT NULL PRIMARY KEY, name TEXT UNIQUE);\n"
    "CREATE TABLE beats(id TEXT NOT NULL PRIMARY KEY, at INTEGER);\n";
static const char projections[] = "-- on cards.put\nUPDATE boards SET cards = cards + 1 WHERE id = $board;\n"
                                  "-- on beat\nINSERT INTO beats VALUES($id, $at);\n";

static row_bench bench;

static int set_up(void **state)
{
    (void)state;
    bench_open_with(&bench, app, schema, projections);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    bench_close(&bench);
    return 0;
}

#define J                       "\"11111111-1111-7111-8111-111111111111\""
#define JOB                     "jobs/11111111-1111-7111-8111-111111111111 "
#define PUT(table, key, data)   "{\"do\":\"put\",\"table\":\"" table "\",\"key\":" key ",\"data\":" data "}"
#define PATCH(table, key, data) "{\"do\":\"patch\",\"table\":\"" table "\",\"key\":" key ",\"data\":" data "}"
#define FACT(...)               log_fact(&bench, &(row_fact){__VA_ARGS__})

/* ---- stamps */

static void stamps_are_the_events_time(void **state)
{
    (void)state;
    accept(&bench, PUT("jobs", J, "{\"title\":\"a\"}"),
           JOB "jobs.put {\"changed\":\"2023-11-14 22:13:20.123\",\"id\":" J
               ",\"made\":\"2023-11-14 22:13:20.123\",\"note\":null,"
               "\"status\":\"queued\",\"title\":\"a\"} +changed,made,note,status");
    bench.time_ms += 1877;
    accept(&bench, PATCH("jobs", J, "{\"title\":\"b\"}"),
           JOB "jobs.patched {\"changed\":\"2023-11-14 22:13:22\",\"title\":\"b\"} ^1");
    bench.time_ms += 1000;
    accept(&bench, PATCH("jobs", J, "{\"title\":\"b\"}"), ""); /* nothing changes: the stamp stays */
    accept(&bench, PUT("jobs", J, "{\"title\":\"b\",\"changed\":\"1999-01-01\",\"made\":\"1999-01-01\"}"), "");
    assert_rows(bench.model, "SELECT made, changed FROM jobs", "2023-11-14 22:13:20.123|2023-11-14 22:13:22");
    assert_replay(&bench);
}

static void a_put_keeps_the_stamps_and_resets_the_rest(void **state)
{
    (void)state;
    accept(&bench, PUT("jobs", J, "{\"title\":\"a\",\"note\":{\"x\":1},\"made\":\"2020-01-01T00:00:00Z\"}"), NULL);
    bench.time_ms += 1000;
    accept(&bench, PUT("jobs", J, "{\"title\":\"c\"}"),
           JOB "jobs.patched {\"changed\":\"2023-11-14 22:13:21.123\",\"note\":null,\"title\":\"c\"} ^1");
    assert_rows(bench.model, "SELECT made, note FROM jobs", "2020-01-01 00:00:00|NULL");
}

static void events_have_the_tables_version(void **state)
{
    dbk_event event;
    dbk_slice rest;

    (void)state;
    accept(&bench, PUT("jobs", J, "{}"), NULL);
    rest = dbk_buffer_slice(&bench.draft.events);
    assert_true(dbk_event_next(&rest, &event));
    assert_int_equal(event.type_version, 7);
}

/* ---- states */

static void states_are_checked_on_every_road(void **state)
{
    (void)state;
    refuse(&bench, PUT("jobs", J, "{\"status\":\"done\"}"), DBK_REJECTED,
           "'jobs.status' cannot begin as 'done': a new row begins as 'queued' or 'draft'", NULL);
    refuse(&bench, PUT("jobs", J, "{\"status\":null}"), DBK_REJECTED,
           "'jobs.status' cannot begin without a value: a new row begins as 'queued' or 'draft'", NULL);
    accept(&bench, PUT("jobs", J, "{}"), NULL);
    refuse(&bench, PATCH("jobs", J, "{\"status\":\"done\"}"), DBK_REJECTED,
           "'jobs.status' cannot go from 'queued' to 'done': from 'queued' it goes to 'running' or 'canceled'", NULL);
    refuse(&bench, PUT("jobs", J, "{\"status\":\"done\"}"), DBK_REJECTED,
           "'jobs.status' cannot go from 'queued' to 'done': from 'queued' it goes to 'running' or 'canceled'", NULL);
    refuse(&bench, "[" PATCH("jobs", J, "{\"status\":\"running\"}") "," PATCH("jobs", J, "{\"status\":\"draft\"}") "]",
           DBK_REJECTED,
           "'jobs.status' cannot go from 'running' to 'draft': from 'running' it goes to 'done' or no value", NULL);
    assert_rows(bench.model, "SELECT status FROM jobs", "queued");
    accept(&bench, PATCH("jobs", J, "{\"status\":\"queued\"}"), ""); /* no move */
    accept(&bench, "[" PATCH("jobs", J, "{\"status\":\"running\"}") "," PATCH("jobs", J, "{\"status\":null}") "]",
           NULL);
    accept(&bench, PUT("jobs", J, "{}"), NULL); /* the default is queued, and null goes there */
    accept(&bench, PATCH("jobs", J, "{\"status\":\"canceled\"}"), NULL);
    refuse(&bench, PATCH("jobs", J, "{\"status\":\"queued\"}"), DBK_REJECTED,
           "'jobs.status' cannot go from 'canceled' to 'queued': 'canceled' is final", NULL);
    assert_replay(&bench);
}

/* ---- keys */

static const char *key_made(void)
{
    static char text[64];
    snprintf(text, sizeof(text), "%.*s", DBK_SLICE_ARG(dbk_buffer_slice(&bench.draft.key)));
    return text;
}

static void the_engine_makes_keys(void **state)
{
    char first[64];

    (void)state;
    accept(&bench, "{\"do\":\"put\",\"table\":\"jobs\",\"data\":{}}", NULL);
    assert_int_equal(strlen(key_made()), 38);
    assert_memory_equal(key_made(), "\"018bcfe5-687b-7", 16); /* the event's time, version 7 */
    accept(&bench, "{\"do\":\"put\",\"table\":\"boards\",\"data\":{\"title\":\"x\"}}", NULL);
    assert_int_equal(key_made()[15], '4');
    accept(&bench, "{\"do\":\"put\",\"table\":\"files\"}", NULL);
    strcpy(first, key_made());
    assert_int_equal(strlen(first), 28);
    for (int i = 1; i < 27; i++) assert_true(islower((unsigned char)first[i]) || isdigit((unsigned char)first[i]));
    bench.time_ms += 1;
    accept(&bench, "{\"do\":\"put\",\"table\":\"files\"}", NULL);
    assert_true(strcmp(first, key_made()) < 0); /* sorts by time */
    accept(&bench, "{\"do\":\"put\",\"table\":\"files\",\"key\":\"mine\"}", NULL);
    assert_string_equal(key_made(), "\"mine\"");
    assert_replay(&bench);
}

/* ---- messages, derived columns, texts, sizes */

static void the_app_words_a_constraint(void **state)
{
    (void)state;
    accept(&bench, PUT("jobs", J, "{\"title\":\"a\"}"), NULL);
    refuse(&bench, "{\"do\":\"put\",\"table\":\"jobs\",\"data\":{\"title\":\"a\"}}", DBK_CONSTRAINT,
           "This title is taken", "\"constraint\":\"UNIQUE jobs.title\"");
}

static void projections_alone_write_derived_columns(void **state)
{
    (void)state;
    accept(&bench, PUT("boards", "\"b\"", "{\"title\":\"x\"}"), NULL);
    accept(&bench, PUT("cards", "1", "{\"board\":\"b\"}"), NULL);
    assert_rows(bench.model, "SELECT title, cards FROM boards", "x|1");
    accept(&bench, PUT("boards", "\"b\"", "{}"),
           "boards/b boards.patched {\"title\":null} ^2"); /* the projection's entry wrote it last */
    accept(&bench, PATCH("boards", "\"b\"", "{\"cards\":1,\"title\":\"y\"}"),
           "boards/b boards.patched {\"title\":\"y\"} ^3");
    refuse(&bench, PATCH("boards", "\"b\"", "{\"cards\":2}"), DBK_REJECTED,
           "'boards.cards' is derived: projections write it", NULL);
    refuse(&bench, PUT("boards", "\"c\"", "{\"cards\":2}"), DBK_REJECTED,
           "'boards.cards' is derived: projections write it", NULL);
    assert_rows(bench.model, "SELECT title, cards FROM boards", "y|1");
    assert_replay(&bench);
}

static void texts_are_cleaned(void **state)
{
    (void)state;
    accept(&bench, PUT("files", "\"f\"", "{\"name\":\"  ../a\\\\b\\u0007\\u0085c.txt \\n\",\"body\":\" ../x \"}"),
           "files/f files.put {\"body\":\" ../x \",\"id\":\"f\",\"name\":\"__a_bc.txt\"}");
    accept(&bench, PATCH("files", "\"f\"", "{\"name\":\" __a_bc.txt\"}"), "");
    accept(&bench, PATCH("files", "\"f\"", "{\"name\":\"a..b\"}"), "files/f files.patched {\"name\":\"a_b\"} ^1");
    accept(&bench, PATCH("files", "\"f\"", "{\"name\":null}"), NULL);
}

static void rows_have_a_greatest_size(void **state)
{
    char command[400], body[81];

    (void)state;
    memset(body, 'x', 80);
    body[80] = '\0';
    snprintf(command, sizeof(command), PUT("files", "\"f\"", "{\"body\":\"%s\"}"), body);
    refuse(&bench, command, DBK_TOO_BIG, "'files/f' would have 102 bytes, over the 100 of 'max_row'", NULL);
    body[70] = '\0';
    snprintf(command, sizeof(command), PUT("files", "\"f\"", "{\"body\":\"%s\"}"), body);
    accept(&bench, command, NULL);
    refuse(&bench, PATCH("files", "\"f\"", "{\"name\":\"abcdefghijkl\"}"), DBK_TOO_BIG,
           "'files/f' would have 102 bytes, over the 100 of 'max_row'", NULL);
    accept(&bench, PATCH("files", "\"f\"", "{\"name\":\"abcdefghijkl\",\"body\":null}"), NULL);
}

/* ---- columns that meet */

static void changes_are_recorded_so_that_they_add_up(void **state)
{
    (void)state;
    accept(&bench, PUT("stats", "\"s\"", "{\"ratio\":0.5,\"tags\":[\"b\",\"a\",\"b\",3]}"),
           "stats/s stats.put "
           "{\"best\":null,\"id\":\"s\",\"least\":null,\"n\":{\"+\":5},\"owner\":null,\"ratio\":{\"+\":0.5},"
           "\"tags\":{\"add\":[3,\"a\",\"b\"],\"remove\":[]}} +best,least,n,owner");
    accept(&bench, PATCH("stats", "\"s\"", "{\"n\":7,\"tags\":{\"add\":[\"c\"],\"remove\":[\"a\"]}}"),
           "stats/s stats.patched {\"n\":{\"+\":2},\"tags\":{\"add\":[\"c\"],\"remove\":[\"a\"]}} ^1");
    accept(&bench, PATCH("stats", "\"s\"", "{\"n\":{\"+\":-3},\"best\":4,\"least\":\"m\",\"owner\":\"me\"}"), NULL);
    assert_rows(bench.model, "SELECT n, ratio, best, least, owner, tags FROM stats", "4|0.5|4|m|me|[3,\"b\",\"c\"]");
    accept(&bench,
           PATCH("stats", "\"s\"", "{\"best\":3,\"least\":\"z\",\"owner\":\"you\",\"n\":4,\"tags\":[\"c\",\"b\",3]}"),
           "");
    accept(&bench, PATCH("stats", "\"s\"", "{\"best\":9,\"least\":\"a\"}"),
           "stats/s stats.patched {\"best\":9,\"least\":\"a\"} ^3");
    assert_replay(&bench);
}

static void what_cannot_be_counted_is_refused(void **state)
{
    (void)state;
    accept(&bench, PUT("stats", "\"s\"", "{\"n\":9223372036854775807}"), NULL);
    refuse(&bench, PATCH("stats", "\"s\"", "{\"n\":{\"+\":1}}"), DBK_SCHEMA, "'stats.n' takes no more: it has 64 bits",
           NULL);
    refuse(&bench, PATCH("stats", "\"s\"", "{\"n\":{\"+\":1.5}}"), DBK_SCHEMA,
           "'stats.n' takes an integer of 64 bits, or {\"+\": an integer}", NULL);
    refuse(&bench, PATCH("stats", "\"s\"", "{\"n\":{\"-\":1}}"), DBK_SCHEMA,
           "'stats.n' takes an integer of 64 bits, or {\"+\": an integer}", NULL);
    refuse(&bench, PATCH("stats", "\"s\"", "{\"tags\":[[1]]}"), DBK_SCHEMA,
           "'stats.tags' takes a list of texts and numbers, or {\"add\": […], \"remove\": […]}", NULL);
    refuse(&bench, PATCH("stats", "\"s\"", "{\"tags\":{\"set\":[1]}}"), DBK_SCHEMA,
           "'stats.tags' takes a list of texts and numbers, or {\"add\": […], \"remove\": […]}", NULL);
    accept(&bench, PATCH("stats", "\"s\"", "{\"n\":null,\"tags\":null}"), NULL); /* nothing counted, nothing in it */
    assert_rows(bench.model, "SELECT n, tags FROM stats", "0|[]");
}

/* A late fact of another device, and the values that two devices say of one row. */
static void devices_add_up_in_any_order(void **state)
{
    (void)state;
    FACT(.author = 0, .seq = 1, .ms = 1, .stream = "stats/s", .type = "stats.put",
         .data = "{\"id\":\"s\",\"n\":{\"+\":1},\"best\":3,\"owner\":\"a\",\"tags\":{\"add\":[\"x\"],\"remove\":[]}}");
    fold(&bench);
    FACT(.author = 0, .seq = 2, .ms = 9, .stream = "stats/s", .type = "stats.patched",
         .data = "{\"n\":{\"+\":10},\"best\":8,\"tags\":{\"add\":[],\"remove\":[\"x\"]}}");
    fold(&bench);
    FACT(.author = 1, .seq = 1, .ms = 4, .stream = "stats/s", .type = "stats.put",
         .data = "{\"id\":\"s\",\"n\":{\"+\":100},\"best\":5,\"owner\":\"b\",\"tags\":{\"add\":[\"x\",\"y\"],"
                 "\"remove\":[]}}");
    fold(&bench);
    assert_rows(bench.model, "SELECT n, best, owner, tags FROM stats", "111|8|a|[\"y\"]");
    assert_rows(bench.model, "SELECT state FROM _daybook_skips", "");
    assert_replay(&bench);
}

/* A column that counted under an older definition still counts where it has no rule any more. */
static void a_step_without_its_rule_still_adds(void **state)
{
    (void)state;
    FACT(.author = 0, .seq = 1, .ms = 1, .stream = "cards/7", .type = "cards.put",
         .data = "{\"id\":7,\"board\":\"b\"}");
    FACT(.author = 0, .seq = 2, .ms = 2, .stream = "beats/b", .type = "beat.none", .data = "{}");
    FACT(.author = 0, .seq = 3, .ms = 3, .stream = "logs/l", .type = "logs.put",
         .data = "{\"id\":\"l\",\"at\":{\"+\":4}}");
    fold(&bench);
    assert_rows(bench.model, "SELECT at FROM logs", "4");
}

/* A delete whose author had not seen the row as it stands gives way; a patch behind a delete that had
 * brings the row back. */
static void an_edit_wins_over_a_delete(void **state)
{
    (void)state;
    FACT(.author = 0, .seq = 1, .ms = 1, .stream = "docs/d", .type = "docs.put",
         .data = "{\"id\":\"d\",\"body\":\"b\",\"n\":{\"+\":2}}");
    FACT(.author = 1, .seq = 1, .ms = 2, .stream = "docs/d", .type = "docs.deleted", .data = "{}");
    fold(&bench);
    assert_rows(bench.model, "SELECT body, n FROM docs", "b|2");
    assert_rows(bench.model, "SELECT state, substr(against, 1, 2) FROM _daybook_skips", "superseded|41");
    bench.time_ms += 10;
    accept(&bench, "{\"do\":\"delete\",\"table\":\"docs\",\"key\":\"d\"}", "docs/d docs.deleted {} ^1");
    assert_rows(bench.model, "SELECT gone FROM _daybook_rows", "{\"id\":\"d\",\"body\":\"b\",\"n\":2}");
    FACT(.author = 1, .seq = 2, .ms = 40, .stream = "docs/d", .type = "docs.patched", .data = "{\"n\":{\"+\":3}}");
    fold(&bench);
    assert_rows(bench.model, "SELECT body, n FROM docs", "b|5");
    assert_rows(bench.model, "SELECT gone FROM _daybook_rows", "NULL");
    assert_replay(&bench);
}

/* What had to be named otherwise applies: it is listed, and it is the row's writer. */
static void a_taken_name_gets_a_number(void **state)
{
    (void)state;
    FACT(.author = 0, .seq = 1, .ms = 1, .stream = "names/1", .type = "names.put",
         .data = "{\"id\":\"1\",\"name\":\"a\"}");
    FACT(.author = 1, .seq = 5, .ms = 2, .stream = "names/2", .type = "names.put",
         .data = "{\"id\":\"2\",\"name\":\"a\"}");
    FACT(.author = 2, .seq = 1, .ms = 3, .stream = "names/3", .type = "names.put",
         .data = "{\"id\":\"3\",\"name\":\"a\"}");
    fold(&bench);
    assert_rows(bench.model, "SELECT id, name FROM names ORDER BY id", "1|a\n2|a~2\n3|a~3");
    assert_rows(bench.model, "SELECT substr(entry, 1, 2), state, reason FROM _daybook_skips ORDER BY 1",
                "42|suffixed|name was taken\n43|suffixed|name was taken");
    bench.time_ms += 10;
    accept(&bench, PATCH("names", "\"2\"", "{\"name\":\"b\"}"), "names/2 names.patched {\"name\":\"b\"} ^5");
    assert_int_equal(decide(&bench, PATCH("names", "\"2\"", "{\"name\":\"a\"}")),
                     DBK_CONSTRAINT); /* never when deciding */
    assert_replay(&bench);
}

/* ---- the last n */

static void only_the_last_rows_stay(void **state)
{
    (void)state;
    for (int i = 1; i <= 4; i++) {
        char command[160];
        snprintf(command, sizeof(command), PUT("logs", "\"l%d\"", "{\"job\":\"j%d\",\"at\":%d}"), i, i % 2, i);
        accept(&bench, command, NULL);
    }
    assert_rows(bench.model, "SELECT id FROM logs ORDER BY id", "l1\nl2\nl3\nl4");
    accept(&bench, PUT("logs", "\"l5\"", "{\"job\":\"j1\",\"at\":5}"), NULL);
    assert_rows(bench.model, "SELECT id FROM logs ORDER BY id", "l2\nl3\nl4\nl5");
    accept(&bench, PUT("logs", "\"l0\"", "{\"job\":\"j1\",\"at\":0}"), NULL); /* comes and goes */
    assert_rows(bench.model, "SELECT id FROM logs ORDER BY id", "l2\nl3\nl4\nl5");
    for (int i = 0; i < 3; i++) {
        char command[160];
        snprintf(command, sizeof(command),
                 "{\"do\":\"append\",\"stream\":\"b\",\"type\":\"beat\",\"data\":{\"id\":\"b%d\",\"at\":%d}}", i,
                 9 - i);
        accept(&bench, command, NULL);
    }
    assert_rows(bench.model, "SELECT id FROM beats", "b0");
    assert_replay(&bench);
}

/* A late row takes its place among the last, on whatever device. */
static void a_late_row_pushes_out_the_same(void **state)
{
    (void)state;
    for (uint64_t i = 1; i <= 3; i++) {
        static const char *const data[] = {"{\"id\":\"a\",\"job\":\"j\",\"at\":1}",
                                           "{\"id\":\"b\",\"job\":\"j\",\"at\":2}",
                                           "{\"id\":\"c\",\"job\":\"j\",\"at\":3}"};
        static const char *const streams[] = {"logs/a", "logs/b", "logs/c"};
        FACT(.author = 0, .seq = i, .ms = 10 * i, .stream = streams[i - 1], .type = "logs.put", .data = data[i - 1]);
        fold(&bench);
    }
    assert_rows(bench.model, "SELECT id FROM logs ORDER BY id", "b\nc");
    FACT(.author = 1, .seq = 1, .ms = 15, .stream = "logs/d", .type = "logs.put",
         .data = "{\"id\":\"d\",\"job\":\"j\",\"at\":9}");
    fold(&bench);
    assert_rows(bench.model, "SELECT id FROM logs ORDER BY id", "c\nd");
    assert_replay(&bench);
}

/* Memory for small texts only: a key that must go cannot be kept while the others are dropped, for a row that stays
 * by chance stays on this replica alone. */
static void *little(void *ctx, void *memory, size_t size)
{
    return size > 300 ? NULL : dbk_port_system()->resize(ctx, memory, size);
}
static void *little_anew(void *ctx, size_t size)
{
    return little(ctx, NULL, size);
}

static void rows_too_many_go_all_or_the_command_is_refused(void **state)
{
    dbk_port small = *dbk_port_system();
    char command[1024], key[401];
    dbk_buffer *place = &bench.model->work->place;

    (void)state;
    small.alloc = little_anew;
    small.resize = little;
    memset(key, 'k', sizeof(key) - 1);
    key[sizeof(key) - 1] = '\0';
    accept(&bench, PUT("logs", "\"a\"", "{\"job\":\"j\",\"at\":1}"), NULL);
    snprintf(command, sizeof(command),
             "[" PUT("logs", "\"%s\"", "{\"job\":\"j\",\"at\":2}") "," PUT(
                 "logs", "\"b\"", "{\"job\":\"j\",\"at\":3}") "," PUT("logs", "\"c\"", "{\"job\":\"j\",\"at\":4}") "]",
             key);
    dbk_buffer_release(place);
    dbk_buffer_init(place, &small);
    assert_int_equal(decide(&bench, command), DBK_NO_MEMORY);
    assert_rows(bench.model, "SELECT id FROM logs", "a");
    dbk_buffer_release(place);
    dbk_buffer_init(place, dbk_port_system());
    assert_int_equal(decide(&bench, command), DBK_OK);
    assert_rows(bench.model, "SELECT id FROM logs ORDER BY id", "b\nc");
}

/* ---- events */

static void only_known_events_are_appended(void **state)
{
    const dbk_source sources[] = {
        {"app.json",
         dbk_slice_text(
             "{\"daybook\":1,\"name\":\"a\",\"events\":{\"unknown\":\"refuse\",\"known\":[\"job.seen\",\"log.*\"]}}")},
        {"projections.sql", dbk_slice_text("-- on beat\nINSERT INTO t VALUES($id);\n")},
        {"schema.sql", dbk_slice_text("CREATE TABLE t(id TEXT NOT NULL PRIMARY KEY);")},
        {"schemas/judged.json", dbk_slice_text("{}")}};
    static const char *const known[] = {"job.seen", "log.a.b", "beat", "judged"};
    char command[160];

    bench_close(&bench);
    bench_open_definition(&bench, definition_of_all(sources, 4));
    (void)state;
    for (size_t i = 0; i < 4; i++) {
        snprintf(command, sizeof(command),
                 "{\"do\":\"append\",\"stream\":\"s\",\"type\":\"%s\",\"data\":{\"id\":\"1\"}}", known[i]);
        accept(&bench, command, NULL);
    }
    refuse(&bench, "{\"do\":\"append\",\"stream\":\"s\",\"type\":\"job.sen\"}", DBK_UNKNOWN_TYPE,
           "there is no event type 'job.sen'", NULL);
    assert_string_equal(bench.err.hint, "did you mean 'job.seen'?");
}

/* The row that goes lets go of its child, which then is one too many itself. */
static void what_goes_may_bring_another_one_too_many(void **state)
{
    const dbk_source sources[] = {
        {"app.json", dbk_slice_text("{\"daybook\":1,\"name\":\"a\",\"retention\":[{\"name\":\"tail\",\"table\":\"t\","
                                    "\"keep\":{\"last\":1,\"by\":\"at\",\"per\":\"up\"}}]}")},
        {"schema.sql", dbk_slice_text("CREATE TABLE t(id TEXT NOT NULL PRIMARY KEY, at INTEGER, up TEXT REFERENCES "
                                      "t(id) ON DELETE SET NULL);")}};

    bench_close(&bench);
    bench_open_definition(&bench, definition_of_all(sources, 2));
    (void)state;
    accept(&bench, PUT("t", "\"a\"", "{\"at\":1}"), NULL);
    accept(&bench, PUT("t", "\"b\"", "{\"at\":5,\"up\":\"a\"}"), NULL);
    accept(&bench, PUT("t", "\"c\"", "{\"at\":9}"), NULL);
    assert_rows(bench.model, "SELECT id, up FROM t", "c|NULL");
}

/* ---- schemas */

/* A JSON Schema of the table judges the row as the rules make it: stamped, counted, cleaned. */
static void a_schema_judges_what_the_rules_make(void **state)
{
    static const char json[] = "{\"properties\":{\"n\":{\"maximum\":9},\"name\":{\"type\":\"string\",\"maxLength\":3},"
                               "\"made\":{\"type\":\"string\"}},\"required\":[\"made\"]}";
    const dbk_source sources[] = {
        {"app.json", dbk_slice_text("{\"daybook\":1,\"name\":\"a\",\"tables\":{\"t\":{\"stamps\":{\"created\":\"made\"}"
                                    ",\"sanitize\":{\"name\":[\"trim\"]},"
                                    "\"sync\":{\"conflict\":{\"n\":\"counter\"}}}}}")},
        {"schema.sql",
         dbk_slice_text(
             "CREATE TABLE t(id TEXT NOT NULL PRIMARY KEY, n INTEGER DEFAULT 0, name TEXT, made DATETIME);")},
        {"schemas/t.json", dbk_slice_text(json)}};

    bench_close(&bench);
    bench_open_definition(&bench, definition_of_all(sources, 3));
    (void)state;
    accept(&bench, PUT("t", "\"a\"", "{\"name\":\"  abc \"}"), NULL);
    accept(&bench, PATCH("t", "\"a\"", "{\"n\":{\"+\":9}}"), NULL);
    assert_int_equal(decide(&bench, PATCH("t", "\"a\"", "{\"n\":{\"+\":1}}")), DBK_SCHEMA);
    assert_int_equal(decide(&bench, PATCH("t", "\"a\"", "{\"name\":\" abcd\"}")), DBK_SCHEMA);
    assert_int_equal(decide(&bench, PUT("t", "\"b\"", "{\"n\":{\"+\":10}}")), DBK_SCHEMA);
    assert_int_equal(decide(&bench, PUT("t", "\"b\"", "{\"name\":null}")),
                     DBK_SCHEMA);                                 /* a null of a put counts as sent */
    accept(&bench, PATCH("t", "\"a\"", "{\"name\":null}"), NULL); /* of a patch it is left out */
    accept(&bench, PUT("t", "\"a\"", "{\"n\":1}"), NULL);
    assert_rows(bench.model, "SELECT n, name FROM t", "1|NULL");
    /* also where the row has it already */
    assert_int_equal(decide(&bench, PUT("t", "\"a\"", "{\"name\":null}")), DBK_SCHEMA);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(stamps_are_the_events_time),
        TEST(a_put_keeps_the_stamps_and_resets_the_rest),
        TEST(events_have_the_tables_version),
        TEST(states_are_checked_on_every_road),
        TEST(the_engine_makes_keys),
        TEST(the_app_words_a_constraint),
        TEST(projections_alone_write_derived_columns),
        TEST(texts_are_cleaned),
        TEST(rows_have_a_greatest_size),
        TEST(changes_are_recorded_so_that_they_add_up),
        TEST(what_cannot_be_counted_is_refused),
        TEST(devices_add_up_in_any_order),
        TEST(a_step_without_its_rule_still_adds),
        TEST(an_edit_wins_over_a_delete),
        TEST(a_taken_name_gets_a_number),
        TEST(only_the_last_rows_stay),
        TEST(a_late_row_pushes_out_the_same),
        TEST(rows_too_many_go_all_or_the_command_is_refused),
        TEST(what_goes_may_bring_another_one_too_many),
        TEST(only_known_events_are_appended),
        TEST(a_schema_judges_what_the_rules_make),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
